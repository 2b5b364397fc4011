//! Steps in order, in general: hits that serve several steps, excluded events, and strict order.
//!
//! A chain with d steps done whose last hit is of instant i is the node (i, d). From it a later instant j can
//! do the next m steps at once if its hits can be matched with them and no hit strictly between the two
//! instants blocks step d. What follows depends on (i, d) alone, so:
//! 1. Forward, `best[d]` is the latest start of a chain that is at d and not blocked since; an instant that
//!    blocks d leaves only the chains that stand at it. The depth is the largest d reached within the window.
//! 2. Backward, `done_by(i, d)` is the earliest time at which a chain at (i, d) gets to that depth. The
//!    attempt that counts starts at the first instant from which that is within the window.
//! 3. Forward again from there, always to the first instant, and to the most steps at it, from which the
//!    depth is still reached in time.

use super::choose::Chooser;
use super::matching::rank;
use super::{Attempt, Hit, Rules, Want, instant_end};
use crate::limits::FUNNEL_STEPS_MAX;
use crate::model::Millis;

/// No start: nothing is earlier.
const NEVER: Millis = Millis::MIN;
/// No end: nothing is later.
const UNREACHED: Millis = Millis::MAX;

/// The hits of one time.
#[derive(Clone, Copy)]
struct Instant {
    time: Millis,
    begin: u32,
    end: u32,
    blocks: u32,
}

/// Memory that is used again for each person.
#[derive(Default)]
pub(super) struct Tables {
    instants: Vec<Instant>,
    /// Per instant and step d: how many of the steps d, d + 1, ... its hits can do at once.
    runs: Vec<u8>,
    /// Per instant and depth d of 1..=steps: see `done_by` above.
    done_by: Vec<Millis>,
}

/// Fills `out`; returns the hit that ended the attempt, if one did and `want` asks why.
pub(super) fn run(
    rules: &Rules,
    hits: &[Hit],
    out: &mut Attempt,
    tables: &mut Tables,
    chooser: &mut Chooser,
    want: Want,
) -> Option<usize> {
    tables.fill(rules, hits);
    let (depth, latest) = tables.furthest(rules)?;
    out.depth = depth;
    rules.note_progress(latest, out);
    if want == Want::Depth {
        return None;
    }
    let start = tables.first_start(rules, depth)?;
    let limit = rules.limit(tables.instants[start].time);
    tables.walk(rules, hits, start, limit, out, want, chooser);
    if want >= Want::Explain { tables.ended_by(rules, hits, start, limit, depth) } else { None }
}

impl Tables {
    fn fill(&mut self, rules: &Rules, hits: &[Hit]) {
        self.instants.clear();
        self.runs.clear();
        let mut begin = 0;
        while let Some(first) = hits.get(begin) {
            let end = instant_end(hits, begin);
            let instant = hits.get(begin..end).unwrap_or(&[]);
            let blocks = instant.iter().fold(0, |all, h| all | h.blocks);
            let steps = instant.iter().fold(0, |all, h| all | h.steps);
            if blocks | steps != 0 {
                let (time, begin, end) = (first.time, begin as u32, end as u32);
                self.instants.push(Instant { time, begin, end, blocks });
                push_runs(&mut self.runs, rules, instant, steps);
            }
            begin = end;
        }
    }

    /// How many steps from `done` on the instant `at` can do at once.
    fn run_from(&self, rules: &Rules, at: usize, done: usize) -> usize {
        if done >= rules.steps { 0 } else { usize::from(self.runs[at * rules.steps + done]) }
    }

    /// The depth, and the latest start that reaches it.
    fn furthest(&self, rules: &Rules) -> Option<(usize, Millis)> {
        let n = rules.steps;
        let mut best = [NEVER; FUNNEL_STEPS_MAX + 1];
        let (mut depth, mut latest) = (0, NEVER);
        for (at, instant) in self.instants.iter().enumerate() {
            let mut here = [NEVER; FUNNEL_STEPS_MAX + 1];
            best[0] = if rules.may_start(instant.time) { instant.time } else { NEVER };
            for done in (0..n).filter(|done| best[*done] != NEVER) {
                let end = done + self.run_from(rules, at, done);
                here[done + 1..=end].iter_mut().for_each(|start| *start = best[done].max(*start));
            }
            for done in 1..=n {
                let start = here[done];
                if start != NEVER && done >= depth && instant.time - start <= rules.width() {
                    latest = if done > depth { start } else { latest.max(start) };
                    depth = done;
                }
                let blocked = instant.blocks >> (done - 1) & 1 == 1;
                best[done] = if blocked { start } else { best[done].max(start) };
            }
            // Nothing is deeper, and a conversion is never in progress.
            if depth == n {
                break;
            }
        }
        (depth > 0).then_some((depth, latest))
    }

    /// Fills `done_by` for `depth` and returns the first instant from which it is reached in time.
    fn first_start(&mut self, rules: &Rules, depth: usize) -> Option<usize> {
        let n = rules.steps;
        self.done_by.clear();
        self.done_by.resize(self.instants.len() * n, UNREACHED);
        let mut next = [UNREACHED; FUNNEL_STEPS_MAX + 1];
        let mut found = None;
        for at in (0..self.instants.len()).rev() {
            let instant = self.instants[at];
            next[depth] = instant.time;
            let row = at * n;
            self.done_by[row..row + depth].copy_from_slice(&next[1..=depth]);
            for (done, next) in next.iter_mut().enumerate().take(depth) {
                let end = (done + self.run_from(rules, at, done)).min(depth);
                let entered = self.done_by[row + done..row + end].iter().copied().min().unwrap_or(UNREACHED);
                if done == 0 {
                    let in_time = entered != UNREACHED && entered - instant.time <= rules.width();
                    if in_time && rules.may_start(instant.time) {
                        found = Some(at);
                    }
                    continue;
                }
                let blocked = instant.blocks >> (done - 1) & 1 == 1;
                *next = if blocked { entered } else { entered.min(*next) };
            }
        }
        found
    }

    /// Takes the earliest steps from the instant `start` that still reach the depth by `limit`.
    #[expect(clippy::too_many_arguments, reason = "one step of `run`, split off for its length")]
    fn walk(
        &self,
        rules: &Rules,
        hits: &[Hit],
        start: usize,
        limit: Millis,
        out: &mut Attempt,
        want: Want,
        chooser: &mut Chooser,
    ) {
        let depth = out.depth;
        let mut done = 0;
        for (at, instant) in self.instants.iter().enumerate().skip(start) {
            if done == depth {
                break;
            }
            let end = (done + self.run_from(rules, at, done)).min(depth);
            let row = at * rules.steps;
            // The last is the most steps that this instant can do and still be in time.
            let Some(last) = (done..end).rev().find(|d| self.done_by[row + d] <= limit) else { continue };
            for step in done..=last {
                out.times[step] = instant.time;
            }
            if want >= Want::Hits {
                let (begin, end) = (instant.begin as usize, instant.end as usize);
                if end - begin == 1 {
                    out.hits[done] = instant.begin;
                } else {
                    let steps = low_bits(last + 1) & !low_bits(done);
                    chooser.add(hits, begin, end, steps, last + 1 - done);
                    chooser.run(steps, out);
                }
            }
            done = last + 1;
        }
        debug_assert_eq!(done, depth, "the way back found a way forward");
    }

    /// The hit that blocked the last chain from `start` that had got to `depth`, if all are blocked.
    fn ended_by(
        &self,
        rules: &Rules,
        hits: &[Hit],
        start: usize,
        limit: Millis,
        depth: usize,
    ) -> Option<usize> {
        let mut alive = 0u32;
        let mut ended_by = None;
        for (at, instant) in self.instants.iter().enumerate().skip(start) {
            if instant.time > limit {
                break;
            }
            let mut here = 0;
            let from = if at == start { 1 } else { alive };
            for done in (0..depth).filter(|done| from >> done & 1 == 1) {
                let run = self.run_from(rules, at, done).min(depth - done);
                here |= low_bits(done + run + 1) & !low_bits(done + 1);
            }
            // Bit d of `blocks` is of step d, so of the depth d + 1.
            let before = alive >> depth & 1 == 1;
            alive = here | alive & !(instant.blocks << 1);
            if alive >> depth & 1 == 1 {
                ended_by = None;
            } else if before {
                let end = instant.end as usize;
                ended_by = (instant.begin as usize..end).find(|h| hits[*h].blocks >> (depth - 1) & 1 == 1);
            }
        }
        ended_by
    }
}

/// A mask of the first `n` steps.
pub(super) fn low_bits(n: usize) -> u32 {
    if n >= 32 { u32::MAX } else { (1 << n) - 1 }
}

/// Appends for each step how many steps from it on the hits of one instant can do at once.
fn push_runs(runs: &mut Vec<u8>, rules: &Rules, instant: &[Hit], steps: u32) {
    if let [only] = instant {
        runs.extend((0..rules.steps).map(|step| (only.steps >> step & 1) as u8));
        return;
    }
    // What is matched from a step on stays matched without that step: the end never goes back.
    let mut end = 0;
    for step in 0..rules.steps {
        end = end.max(step);
        while end < rules.steps && steps >> end & 1 == 1 {
            let wanted = low_bits(end + 1) & !low_bits(step);
            let size = end + 1 - step;
            if !rules.disjoint && rank(instant.iter().map(|h| h.steps & wanted), size) < size {
                break;
            }
            end += 1;
        }
        runs.push((end - step) as u8);
    }
}
