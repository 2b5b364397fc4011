//! What has just become durable, for those who watch: the latest records and refusals with rising numbers. Writers never wait
//! for a watcher; one that is too slow learns how much it missed.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::limits;
use crate::model::Millis;
use crate::store::refusals::Refusal;
use crate::store::row::Row;

/// What happened.
#[derive(Clone, Debug)]
pub enum Happening {
    /// This row is durable, and every snapshot taken from now on has it.
    Stored(Row),
    /// This was refused.
    Refused(Refusal),
}

/// What a watcher gets at once.
#[derive(Debug, Default)]
pub struct Batch {
    /// What is no longer kept of what came after the number that was asked for; `None` if that is not known, because the
    /// store was closed in between.
    pub missed: Option<u64>,
    /// What happened, with its number, in order.
    pub happenings: Vec<(u64, Happening)>,
    /// The number to go on from.
    pub last: u64,
    /// Whether nothing will ever follow.
    pub closed: bool,
}

/// The feed. Numbers begin at the microsecond of its making, so that they rise across restarts too.
#[derive(Debug)]
pub struct Feed {
    first: u64,
    kept: Mutex<Kept>,
    grown: Condvar,
}

#[derive(Debug)]
struct Kept {
    latest: VecDeque<(u64, Happening)>,
    bytes: usize,
    last: u64,
    closed: bool,
}

fn size(happening: &Happening) -> usize {
    match happening {
        Happening::Stored(row) => row.properties.len(),
        Happening::Refused(refusal) => refusal.message.len() + refusal.identity.len() + refusal.name.len(),
    }
}

impl Feed {
    /// An empty feed, begun at `now`.
    pub fn new(now: Millis) -> Self {
        let first = u64::try_from(now).unwrap_or(0).saturating_mul(1000);
        let kept = Kept { latest: VecDeque::new(), bytes: 0, last: first, closed: false };
        Self { first, kept: Mutex::new(kept), grown: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds `total` happenings, the last of which are `tail`; the others are counted only.
    pub(crate) fn add(&self, total: usize, tail: impl Iterator<Item = Happening>) {
        if total == 0 {
            return;
        }
        let tail: Vec<Happening> = tail.collect();
        let mut kept = self.lock();
        kept.last += total as u64;
        let first = kept.last + 1 - tail.len() as u64;
        if tail.len() < total {
            kept.latest.clear();
            kept.bytes = 0;
        }
        for (number, happening) in (first..).zip(tail) {
            kept.bytes += size(&happening);
            kept.latest.push_back((number, happening));
        }
        while kept.latest.len() > limits::FEED_KEPT || kept.bytes > limits::FEED_BYTES_MAX {
            let Some((_, oldest)) = kept.latest.pop_front() else { break };
            kept.bytes -= size(&oldest);
        }
        drop(kept);
        self.grown.notify_all();
    }

    /// Forgets happenings; whoever watches finds a gap.
    pub(crate) fn forget(&self, gone: impl Fn(&Happening) -> bool) {
        let mut kept = self.lock();
        kept.latest.retain(|(_, happening)| !gone(happening));
        kept.bytes = kept.latest.iter().map(|(_, happening)| size(happening)).sum();
    }

    /// The number of the latest happening.
    pub fn last(&self) -> u64 {
        self.lock().last
    }

    /// What came after number `since`, at most `most`. Waits up to `patience` for something. A number that is yet to come is of before a
    /// restart over which the clock went back: what was missed is not known then, and it goes on from here.
    pub fn after(&self, since: u64, most: usize, patience: Duration) -> Batch {
        let deadline = Instant::now() + patience;
        let mut kept = self.lock();
        let known = (self.first..=kept.last).contains(&since);
        let since = since.min(kept.last);
        while known && kept.last <= since && !kept.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            kept = self.grown.wait_timeout(kept, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let from = kept.latest.partition_point(|(number, _)| *number <= since);
        let happenings: Vec<_> = kept.latest.iter().skip(from).take(most).cloned().collect();
        let last = happenings.last().map_or(kept.last.max(since), |(number, _)| *number);
        let next = happenings.first().map_or(last + 1, |(number, _)| *number);
        let missed = known.then(|| next.saturating_sub(since + 1));
        Batch { missed, happenings, last, closed: kept.closed }
    }

    /// Nothing more will come: everybody who waits returns.
    pub fn close(&self) {
        self.lock().closed = true;
        self.grown.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_WAIT: Duration = Duration::ZERO;

    fn refused(n: usize) -> Happening {
        let text = |t: &str| t.to_owned();
        let name = n.to_string();
        Happening::Refused(Refusal {
            time: 0,
            reason: text("r"),
            message: text(""),
            identity: text(""),
            name,
        })
    }

    #[test]
    fn numbers_rise_and_a_watcher_goes_on_where_it_was() {
        let feed = Feed::new(5);
        assert_eq!(feed.last(), 5000);
        feed.add(3, (0..3).map(refused));
        let batch = feed.after(5000, 2, NO_WAIT);
        assert_eq!(batch.happenings.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [5001, 5002]);
        assert_eq!((batch.missed, batch.last), (Some(0), 5002));
        let batch = feed.after(5002, 2, NO_WAIT);
        assert_eq!((batch.happenings.len(), batch.missed, batch.last), (1, Some(0), 5003));
        let batch = feed.after(5003, 2, NO_WAIT);
        assert_eq!((batch.happenings.len(), batch.missed, batch.last), (0, Some(0), 5003));
    }

    #[test]
    fn what_is_no_longer_kept_is_counted() {
        let feed = Feed::new(5);
        feed.add(1, (0..1).map(refused));
        feed.add(10_000, (0..2).map(refused));
        let batch = feed.after(5001, 100, NO_WAIT);
        assert_eq!((batch.happenings.len(), batch.missed, batch.last), (2, Some(9_998), 15_001));
        feed.add(limits::FEED_KEPT, (0..limits::FEED_KEPT).map(refused));
        assert_eq!(feed.after(15_000, 1, NO_WAIT).missed, Some(1));
        assert_eq!(feed.after(17, 1, NO_WAIT).missed, None, "a number of before the restart");
        let last = feed.last();
        let batch = feed.after(u64::MAX, 1, Duration::from_secs(60));
        assert_eq!(
            (batch.happenings.len(), batch.missed, batch.last),
            (0, None, last),
            "the clock went back"
        );
        feed.add(1, (0..1).map(refused));
        assert_eq!(feed.after(batch.last, 1, NO_WAIT).happenings.len(), 1);
    }

    #[test]
    fn closing_ends_the_wait() {
        let feed = Feed::new(5);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| feed.after(5000, 1, Duration::from_secs(60)));
            std::thread::sleep(Duration::from_millis(20));
            feed.close();
            assert!(waiting.join().unwrap().closed);
        });
    }
}
