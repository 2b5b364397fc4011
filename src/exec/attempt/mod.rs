//! The matcher of funnels: of everything that one person did, which attempt counts, how far it got, which
//! events were its steps and why it stopped. A pure function over that person's hits, in order of time.
//!
//! The events of one millisecond are a set without order, so all work is by *instant*: the hits of one time.
//! Of a person's attempts the deepest counts, then the one that starts earliest, then the one whose steps are
//! earliest one after the other; among hits of one instant the first in the order given wins, step by step.
//!
//! `greedy` is the common case (no hit serves two steps, nothing is excluded) in one pass without memory;
//! `ordered` is the general case of steps in order; `any` and `any_exclude` are steps in any order. All take
//! the hits for their steps by `choose` and say why they stopped by `explain`.

mod any;
mod any_exclude;
mod choose;
mod explain;
mod greedy;
mod matching;
mod ordered;

#[cfg(test)]
mod brute;
#[cfg(test)]
mod tests;

use crate::limits::FUNNEL_STEPS_MAX;
use crate::model::Millis;
use crate::report::Order;

/// In [`Attempt`]: no hit was chosen for this step.
const NO_HIT: u32 = u32::MAX;

/// One event of a person that matters to the funnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// When.
    pub time: Millis,
    /// Bit k: the event can serve the definition's step k, from 0.
    pub steps: u32,
    /// Bit k: the event may not lie between step k and the next (in any order: between the k-th done and the
    /// next, from 0).
    pub blocks: u32,
    /// The caller's handle of the event.
    pub row: u32,
}

/// A funnel as the matcher sees it.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How many steps, at most [`FUNNEL_STEPS_MAX`].
    pub steps: usize,
    /// In which order. `Strict` is `Ordered` where every event of the person is a hit that blocks all steps.
    pub order: Order,
    /// The longest time from the first step to the last, inclusive.
    pub within: Option<i64>,
    /// Attempts start from here, inclusive.
    pub from: Millis,
    /// Attempts start before this.
    pub to: Millis,
    /// Whether later steps must lie before `to` as well.
    pub until_to: bool,
    /// The instant the report pretends it is; later hits are not given.
    pub as_of: Millis,
    /// No hit serves more than one step: the caller's promise, which allows the fast path.
    pub disjoint: bool,
    /// Some hit may block.
    pub blockers: bool,
}

/// How much of an attempt to find out. Each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Want {
    /// How deep, and whether in progress.
    Depth,
    /// Also when each step was done.
    Times,
    /// Also which hits were the steps.
    Hits,
    /// Also why it stopped.
    Explain,
}

/// Why an attempt went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// No event of the next step.
    NothingCame,
    /// The window ended.
    WindowEnded {
        /// The last instant of the window.
        at: Millis,
        /// By how many milliseconds the first event of the next step came too late; `None` if none came.
        missed_by: Option<i64>,
    },
    /// An excluded event (strict: any other event) came first.
    Excluded {
        /// Which, as an index into the hits given.
        hit: usize,
        /// When.
        at: Millis,
    },
    /// The range closed while the attempt could have gone on.
    Closed,
}

/// The attempt that counts.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// How many steps were done, from 1.
    pub depth: usize,
    /// Not converted, and some attempt of this depth may still go on.
    pub in_progress: bool,
    /// The last instant at which it may, if in progress.
    pub open_until: Millis,
    /// When the k-th step was done, for k below `depth`.
    times: [Millis; FUNNEL_STEPS_MAX],
    /// For each step of the definition the index of the hit that was chosen, or [`NO_HIT`].
    hits: [u32; FUNNEL_STEPS_MAX],
    /// Why it stopped; `None` if it converted or is in progress.
    pub stop: Option<Stop>,
}

impl Default for Attempt {
    fn default() -> Self {
        Self {
            depth: 0,
            in_progress: false,
            open_until: 0,
            times: [0; FUNNEL_STEPS_MAX],
            hits: [NO_HIT; FUNNEL_STEPS_MAX],
            stop: None,
        }
    }
}

impl Attempt {
    /// When each step done was done: in any order, the instants at which one more was.
    pub fn times(&self) -> &[Millis] {
        self.times.get(..self.depth).unwrap_or(&[])
    }

    /// The index of the hit chosen for step `step` of the definition, from 0.
    pub fn hit(&self, step: usize) -> Option<usize> {
        self.hits.get(step).filter(|hit| **hit != NO_HIT).map(|hit| *hit as usize)
    }
}

/// Memory that one thread uses again for each person.
#[derive(Default)]
pub struct Scratch {
    attempt: Attempt,
    ordered: ordered::Tables,
    subsets: any_exclude::Tables,
    chooser: choose::Chooser,
}

impl Rules {
    /// The window as a plain number: without one nothing is too far.
    fn width(&self) -> i64 {
        self.within.unwrap_or(i64::MAX)
    }

    fn may_start(&self, time: Millis) -> bool {
        self.from <= time && time < self.to
    }

    /// The last instant that an attempt from `start` may use; always before `Millis::MAX`, which means never.
    fn limit(&self, start: Millis) -> Millis {
        let end = start.saturating_add(self.width()).min(Millis::MAX - 1);
        if self.until_to { end.min(self.to.saturating_sub(1)) } else { end }
    }

    /// Whether the report is closed, so that nobody is in progress.
    pub fn is_closed(&self) -> bool {
        self.until_to && self.as_of >= self.to
    }

    /// Notes in `out` whether an attempt of its depth that starts at `latest` may still go on.
    fn note_progress(&self, latest: Millis, out: &mut Attempt) {
        let Some(within) = self.within else { return };
        let ends = latest.saturating_add(within);
        if out.depth < self.steps && ends >= self.as_of && !self.is_closed() {
            out.in_progress = true;
            out.open_until = self.limit(latest);
        }
    }
}

/// The attempt that counts among `hits`, which are sorted by time and, within one instant, by preference.
/// `None` if nobody started. What `want` does not ask for is not filled in.
pub fn best_attempt<'s>(
    rules: &Rules,
    hits: &[Hit],
    scratch: &'s mut Scratch,
    want: Want,
) -> Option<&'s Attempt> {
    debug_assert!(rules.steps >= 1 && rules.steps <= FUNNEL_STEPS_MAX, "checked with the definition");
    debug_assert!(hits.is_sorted_by_key(|h| h.time), "hits come in order of time");
    let hits = if rules.until_to { hits.get(..hits.partition_point(|h| h.time < rules.to))? } else { hits };
    let out = &mut scratch.attempt;
    out.depth = 0;
    out.in_progress = false;
    out.stop = None;
    let excluded = match rules.order {
        Order::Ordered | Order::Strict if rules.disjoint && !rules.blockers => {
            greedy::run(rules, hits, out, want);
            None
        }
        Order::Ordered | Order::Strict => {
            ordered::run(rules, hits, out, &mut scratch.ordered, &mut scratch.chooser, want)
        }
        Order::Any if rules.blockers => {
            any_exclude::run(rules, hits, out, &mut scratch.subsets, &mut scratch.chooser, want)
        }
        Order::Any => {
            any::run(rules, hits, out, &mut scratch.chooser, want);
            None
        }
    };
    if out.depth == 0 {
        return None;
    }
    if want >= Want::Hits && rules.order != Order::Any {
        // What the last person did further on.
        out.hits.iter_mut().skip(out.depth).for_each(|hit| *hit = NO_HIT);
    }
    if want >= Want::Explain {
        explain::run(rules, hits, out, excluded);
    }
    Some(&scratch.attempt)
}

/// The index behind the last hit of the instant that begins at `begin`.
fn instant_end(hits: &[Hit], begin: usize) -> usize {
    let Some(first) = hits.get(begin) else { return begin };
    let mut end = begin + 1;
    while hits.get(end).is_some_and(|h| h.time == first.time) {
        end += 1;
    }
    end
}
