//! Steps in any order with excluded events. Which steps are done decides what can follow, so a chain is the
//! set of its steps, and the tables have an entry for each of the up to 2^12 sets.
//!
//! 1. Forward, `latest[S]` is the latest start of a chain that has done S and is not blocked since.
//! 2. Backward, `earliest[U]` is the earliest end of a chain that has the steps U still before it; as the
//!    depth is known, so is how many were done before U, and with it which hits block there. This finds the
//!    first start.
//! 3. Forward from there, `ways[S]` are the instants of the earliest chain that does S: of two chains with
//!    the same steps the earlier can be followed by all that the other can.

use super::choose::Chooser;
use super::ordered::low_bits;
use super::{Attempt, Hit, NO_HIT, Rules, Want, instant_end};
use crate::limits::{ANY_EXCLUDE_STEPS_MAX, FUNNEL_STEPS_MAX};
use crate::model::Millis;

const NEVER: Millis = Millis::MIN;
const UNREACHED: Millis = Millis::MAX;

/// The first hits of the instants of a chain, as many as it has steps; `None` if there is no such chain.
type Way = Option<[u32; ANY_EXCLUDE_STEPS_MAX]>;

/// Memory that is used again for each person.
#[derive(Default)]
pub(super) struct Tables {
    masks: Vec<u32>,
    /// Step 1 and 2 of the above: chains that stand at an earlier instant, and those that end at this one.
    old: Vec<Millis>,
    here: Vec<Millis>,
    old_ways: Vec<Way>,
    here_ways: Vec<Way>,
}

/// Fills `out`; returns the hit that ended the attempt, if one did.
pub(super) fn run(
    rules: &Rules,
    hits: &[Hit],
    out: &mut Attempt,
    tables: &mut Tables,
    chooser: &mut Chooser,
    want: Want,
) -> Option<usize> {
    debug_assert!(rules.steps <= ANY_EXCLUDE_STEPS_MAX, "checked with the definition");
    let (depth, latest) = tables.furthest(rules, hits)?;
    out.depth = depth;
    rules.note_progress(latest, out);
    if want == Want::Depth {
        return None;
    }
    let begin = tables.first_start(rules, hits, depth)?;
    let (way, ended_by) = tables.earliest_way(rules, hits, begin, depth);
    let way = way?;
    let way = way.get(..depth)?;
    for (time, first) in out.times.iter_mut().zip(way) {
        *time = hits[*first as usize].time;
    }
    if want >= Want::Hits {
        out.hits = [NO_HIT; FUNNEL_STEPS_MAX];
        let steps = low_bits(rules.steps);
        for instant in way.chunk_by(|a, b| a == b) {
            let first = instant[0] as usize;
            chooser.add(hits, first, instant_end(hits, first), steps, instant.len());
        }
        chooser.run(steps, out);
    }
    ended_by
}

impl Tables {
    fn furthest(&mut self, rules: &Rules, hits: &[Hit]) -> Option<(usize, Millis)> {
        let sets = 1usize << rules.steps;
        refill(&mut self.old, sets, NEVER);
        refill(&mut self.here, sets, NEVER);
        let (mut depth, mut latest) = (0, NEVER);
        let mut begin = 0;
        while begin < hits.len() {
            let end = instant_end(hits, begin);
            let time = hits[begin].time;
            self.old[0] = if rules.may_start(time) { time } else { NEVER };
            spread(&mut self.masks, &hits[begin..end], &self.old, &mut self.here, NEVER, Ord::max);
            let blocks = blocks_of(&hits[begin..end]);
            for set in 1..sets {
                let done = set.count_ones() as usize;
                let start = std::mem::replace(&mut self.here[set], NEVER);
                if start != NEVER && done >= depth && time - start <= rules.width() {
                    latest = if done > depth { start } else { latest.max(start) };
                    depth = done;
                }
                let blocked = blocks >> (done - 1) & 1 == 1;
                self.old[set] = if blocked { start } else { self.old[set].max(start) };
            }
            if depth == rules.steps {
                break;
            }
            begin = end;
        }
        (depth > 0).then_some((depth, latest))
    }

    /// The first hit of the first instant from which `depth` is reached in time.
    fn first_start(&mut self, rules: &Rules, hits: &[Hit], depth: usize) -> Option<usize> {
        let sets = 1usize << rules.steps;
        refill(&mut self.old, sets, UNREACHED);
        refill(&mut self.here, sets, UNREACHED);
        let mut found = None;
        let mut end = hits.len();
        while end > 0 {
            let time = hits[end - 1].time;
            let begin = end - hits[..end].iter().rev().take_while(|h| h.time == time).count();
            self.old[0] = time;
            spread(&mut self.masks, &hits[begin..end], &self.old, &mut self.here, UNREACHED, Ord::min);
            let blocks = blocks_of(&hits[begin..end]);
            for set in 1..sets {
                let ends = std::mem::replace(&mut self.here[set], UNREACHED);
                let still = set.count_ones() as usize;
                if still >= depth {
                    let in_time = ends != UNREACHED && ends - time <= rules.width();
                    if still == depth && in_time && rules.may_start(time) {
                        found = Some(begin);
                    }
                    continue;
                }
                let blocked = blocks >> (depth - still - 1) & 1 == 1;
                self.old[set] = if blocked { ends } else { self.old[set].min(ends) };
            }
            end = begin;
        }
        found
    }

    /// The earliest chain of `depth` steps from the instant that begins at `begin`, and the hit that blocked
    /// the last such.
    fn earliest_way(
        &mut self,
        rules: &Rules,
        hits: &[Hit],
        begin: usize,
        depth: usize,
    ) -> (Way, Option<usize>) {
        let sets = 1usize << rules.steps;
        refill(&mut self.old_ways, sets, None);
        refill(&mut self.here_ways, sets, None);
        self.old_ways[0] = Some([0; ANY_EXCLUDE_STEPS_MAX]);
        let limit = rules.limit(hits[begin].time);
        let (mut best, mut ended_by): (Way, _) = (None, None);
        let mut begin = begin;
        while begin < hits.len() && hits[begin].time <= limit {
            let end = instant_end(hits, begin);
            self.spread_ways(&hits[begin..end], begin as u32);
            let blocks = blocks_of(&hits[begin..end]);
            let (mut before, mut after) = (false, false);
            // A chain begins at the first instant only.
            self.old_ways[0] = None;
            for set in 1..sets {
                let done = set.count_ones() as usize;
                let way = self.here_ways[set].take();
                if blocks >> (done - 1) & 1 == 1 {
                    before |= done == depth && self.old_ways[set].is_some();
                    self.old_ways[set] = way;
                } else {
                    self.old_ways[set] = earlier(self.old_ways[set], way, done);
                }
                if done == depth {
                    after |= self.old_ways[set].is_some();
                    best = earlier(best, way, done);
                }
            }
            if after {
                ended_by = None;
            } else if before {
                ended_by = (begin..end).find(|h| hits[*h].blocks >> (depth - 1) & 1 == 1);
            }
            begin = end;
        }
        (best, ended_by)
    }

    fn spread_ways(&mut self, instant: &[Hit], first: u32) {
        gather(&mut self.masks, instant);
        for mask in &self.masks {
            for set in (0..self.old_ways.len()).rev() {
                let done = set.count_ones() as usize;
                let Some(mut way) = earlier(self.old_ways[set], self.here_ways[set], done) else { continue };
                let mut open = mask & !(set as u32);
                if let Some(next) = way.get_mut(done) {
                    *next = first;
                }
                while open != 0 {
                    let bigger = set | 1 << open.trailing_zeros();
                    open &= open - 1;
                    self.here_ways[bigger] = earlier(self.here_ways[bigger], Some(way), done + 1);
                }
            }
        }
    }
}

/// Extends chains by the hits of one instant: `here[S | step]` from `old[S]` and `here[S]`, each hit once.
fn spread(
    masks: &mut Vec<u32>,
    instant: &[Hit],
    old: &[Millis],
    here: &mut [Millis],
    none: Millis,
    better: fn(Millis, Millis) -> Millis,
) {
    gather(masks, instant);
    for mask in masks.iter() {
        // From the largest set down: a set is read before this hit could have led to it.
        for set in (0..old.len()).rev() {
            let chain = better(old[set], here[set]);
            if chain == none {
                continue;
            }
            let mut open = mask & !(set as u32);
            while open != 0 {
                let bigger = set | 1 << open.trailing_zeros();
                open &= open - 1;
                here[bigger] = better(here[bigger], chain);
            }
        }
    }
}

/// The masks of the hits of one instant; more of one kind than it has steps are never needed.
fn gather(masks: &mut Vec<u32>, instant: &[Hit]) {
    masks.clear();
    masks.extend(instant.iter().map(|h| h.steps).filter(|mask| *mask != 0));
    if masks.len() < 2 {
        return;
    }
    masks.sort_unstable();
    let (mut last, mut same) = (0, 0);
    masks.retain(|mask| {
        same = if *mask == last { same + 1 } else { 1 };
        last = *mask;
        same <= mask.count_ones()
    });
}

fn blocks_of(instant: &[Hit]) -> u32 {
    instant.iter().fold(0, |all, h| all | h.blocks)
}

fn earlier(a: Way, b: Way, done: usize) -> Way {
    match (a, b) {
        (Some(x), Some(y)) => Some(if y[..done] < x[..done] { y } else { x }),
        (one, other) => one.or(other),
    }
}

fn refill<T: Clone>(table: &mut Vec<T>, len: usize, value: T) {
    table.clear();
    table.resize(len, value);
}
