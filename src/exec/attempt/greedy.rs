//! The common case: steps in order, no hit serves two of them, nothing is excluded. One pass, no memory.
//!
//! Without a window the earliest start with the earliest hit for each step is the deepest attempt. With one:
//! 1. `latest[d]` is the latest start from which d steps can be done by now. It only grows with time and falls
//!    with d, so a hit of step d hands `latest[d]` on to `latest[d + 1]`.
//! 2. The depth is the largest d that was handed on within the window; `reached` is when that first happened.
//! 3. The attempt that counts ends at `reached` too: a start before the latest is done no later than it. So
//!    it is the first start from `reached - within` on.

use super::{Attempt, Hit, Rules, Want, instant_end};
use crate::limits::FUNNEL_STEPS_MAX;
use crate::model::Millis;

pub(super) fn run(rules: &Rules, hits: &[Hit], out: &mut Attempt, want: Want) {
    let Some(within) = rules.within else {
        if let Some(begin) = first_start(rules, hits, rules.from) {
            take(hits, begin, rules.steps, out);
        }
        return;
    };
    let Some((depth, reached, latest)) = furthest(rules, within, hits) else { return };
    out.depth = depth;
    rules.note_progress(latest, out);
    if want >= Want::Times {
        let from = rules.from.max(reached.saturating_sub(within));
        if let Some(begin) = first_start(rules, hits, from) {
            take(hits, begin, depth, out);
        }
    }
}

/// The index of the first hit of the first instant, from `from` on, at which an attempt may start.
fn first_start(rules: &Rules, hits: &[Hit], from: Millis) -> Option<usize> {
    let at = hits.iter().position(|h| h.time >= from && h.steps & 1 == 1)?;
    let time = hits.get(at).map(|h| h.time).filter(|time| *time < rules.to)?;
    let before = hits.get(..at)?;
    Some(at - before.iter().rev().take_while(|h| h.time == time).count())
}

/// Takes for each step, up to `depth` of them, the earliest hit from `begin` on.
fn take(hits: &[Hit], begin: usize, depth: usize, out: &mut Attempt) {
    let (mut done, mut begin) = (0, begin);
    while done < depth && begin < hits.len() {
        let end = instant_end(hits, begin);
        let instant = hits.get(begin..end).unwrap_or(&[]);
        // Searched anew for each step: within an instant the hits come in any order of steps.
        while done < depth {
            let Some(at) = instant.iter().position(|h| h.steps >> done & 1 == 1) else { break };
            out.times[done] = instant[at].time;
            out.hits[done] = (begin + at) as u32;
            done += 1;
        }
        begin = end;
    }
    out.depth = done;
}

/// The depth, when it was first reached, and the latest start that reaches it.
fn furthest(rules: &Rules, within: i64, hits: &[Hit]) -> Option<(usize, Millis, Millis)> {
    const NEVER: Millis = Millis::MIN;
    let mut latest = [NEVER; FUNNEL_STEPS_MAX + 1];
    let (mut depth, mut reached) = (0, 0);
    let mut begin = 0;
    while let Some(first) = hits.get(begin) {
        let time = first.time;
        let mut steps = first.steps;
        begin += 1;
        while let Some(more) = hits.get(begin).filter(|h| h.time == time) {
            steps |= more.steps;
            begin += 1;
        }
        latest[0] = if rules.may_start(time) { time } else { NEVER };
        // In ascending order, so that one instant can do several steps.
        while steps != 0 {
            let step = steps.trailing_zeros() as usize;
            steps &= steps - 1;
            let start = latest[step];
            if start == NEVER {
                continue;
            }
            latest[step + 1] = start;
            if step >= depth && time - start <= within {
                (depth, reached) = (step + 1, time);
            }
        }
        if depth == rules.steps {
            break;
        }
    }
    (depth > 0).then_some((depth, reached, latest[depth]))
}
