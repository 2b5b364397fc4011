//! The matcher once more, by trying everything: the definition of an attempt as directly as it can be written.

use super::{Hit, Rules};
use crate::model::Millis;
use crate::report::Order;

/// What the attempt that counts is, for comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) depth: usize,
    pub(super) times: Vec<Millis>,
    /// Per step of the definition the index of its hit; `usize::MAX` if none.
    pub(super) hits: Vec<usize>,
    pub(super) in_progress: bool,
    /// Whether an excluded event has ended every attempt of this start and depth.
    pub(super) excluded: bool,
}

/// Tries every way to give hits to steps.
pub(super) fn best(rules: &Rules, hits: &[Hit]) -> Option<Expected> {
    let mut all = Vec::new();
    let mut chosen = vec![usize::MAX; rules.steps];
    assign(rules, hits, 0, &mut chosen, &mut all);
    let best = all.iter().min_by(|a, b| rank(a).cmp(&rank(b)))?.clone();
    let closed = rules.until_to && rules.as_of >= rules.to;
    let in_progress = best.depth < rules.steps
        && !closed
        && rules.within.is_some_and(|within| {
            all.iter().any(|a| a.depth == best.depth && a.times[0] + within >= rules.as_of)
        });
    let excluded = all
        .iter()
        .filter(|a| a.depth == best.depth && a.times[0] == best.times[0])
        .all(|a| ended(rules, hits, a));
    Some(Expected { in_progress, excluded, ..best })
}

/// Whether an excluded event came after the last step while the attempt could have gone on.
fn ended(rules: &Rules, hits: &[Hit], attempt: &Expected) -> bool {
    let last = attempt.times[attempt.depth - 1];
    let in_time = |h: &Hit| rules.within.is_none_or(|within| h.time - attempt.times[0] <= within);
    let in_range = |h: &Hit| !rules.until_to || h.time < rules.to;
    let blocks = |h: &Hit| h.blocks >> (attempt.depth - 1) & 1 == 1;
    hits.iter().any(|h| h.time > last && in_time(h) && in_range(h) && blocks(h))
}

/// Deepest first, then earliest start, then earliest steps, then the first hits.
fn rank(a: &Expected) -> (std::cmp::Reverse<usize>, Millis, &[Millis], &[usize]) {
    (std::cmp::Reverse(a.depth), a.times[0], &a.times, &a.hits)
}

fn assign(rules: &Rules, hits: &[Hit], step: usize, chosen: &mut Vec<usize>, all: &mut Vec<Expected>) {
    if step > 0 && (rules.order != Order::Any || step == rules.steps) {
        all.extend(attempt(rules, hits, chosen));
    }
    if step == rules.steps {
        return;
    }
    for at in 0..hits.len() {
        if hits[at].steps >> step & 1 == 1 && !chosen.contains(&at) {
            chosen[step] = at;
            assign(rules, hits, step + 1, chosen, all);
            chosen[step] = usize::MAX;
        }
    }
    if rules.order == Order::Any {
        assign(rules, hits, step + 1, chosen, all);
    }
}

/// The attempt that consists of the chosen hits, if it is one.
fn attempt(rules: &Rules, hits: &[Hit], chosen: &[usize]) -> Option<Expected> {
    let mut times: Vec<Millis> = chosen.iter().filter(|c| **c != usize::MAX).map(|c| hits[*c].time).collect();
    if rules.order == Order::Any {
        times.sort_unstable();
    }
    let (first, last) = (*times.first()?, *times.last()?);
    let starts = rules.from <= first && first < rules.to;
    let fits = rules.within.is_none_or(|within| last - first <= within);
    let open = !rules.until_to || last < rules.to;
    let in_order = times.is_sorted();
    let clear = times.windows(2).enumerate().all(|(k, pair)| {
        !hits.iter().any(|h| h.blocks >> k & 1 == 1 && pair[0] < h.time && h.time < pair[1])
    });
    (starts && fits && open && in_order && clear).then(|| Expected {
        depth: times.len(),
        times,
        hits: chosen.to_vec(),
        in_progress: false,
        excluded: false,
    })
}
