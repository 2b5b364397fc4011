//! Steps in any order, nothing excluded: an attempt from an instant has done as many steps as its hits within
//! the window can be matched with.
//!
//! Without a window the earliest start sees most. With one, the starts are tried in order of time; one whose
//! window holds hits of no more steps than the best so far is passed over. The k-th step is done at the
//! first instant at which k can be.

use super::choose::Chooser;
use super::matching::{Matching, rank};
use super::ordered::low_bits;
use super::{Attempt, Hit, Rules, Want, instant_end};
use crate::limits::FUNNEL_STEPS_MAX;
use crate::model::Millis;

pub(super) fn run(rules: &Rules, hits: &[Hit], out: &mut Attempt, chooser: &mut Chooser, want: Want) {
    let Some((begin, depth)) = furthest(rules, hits) else { return };
    out.depth = depth;
    let may_progress = rules.within.is_some() && depth < rules.steps;
    if let Some(latest) = may_progress.then(|| latest_start(rules, hits, depth)).flatten() {
        rules.note_progress(latest, out);
    }
    if want >= Want::Times {
        take(rules, hits, begin, out, chooser, want);
    }
}

/// Where the attempt that counts begins, as the first hit of its instant, and its depth.
fn furthest(rules: &Rules, hits: &[Hit]) -> Option<(usize, usize)> {
    let mut counts = [0u32; FUNNEL_STEPS_MAX];
    let (mut depth, mut found) = (0, None);
    let mut begin = hits.partition_point(|h| h.time < rules.from);
    let mut end = begin;
    while let Some(first) = hits.get(begin).filter(|h| h.time < rules.to) {
        let limit = rules.limit(first.time);
        while let Some(hit) = hits.get(end).filter(|h| h.time <= limit) {
            count(&mut counts, hit.steps, 1);
            end += 1;
        }
        let seen = counts.iter().filter(|c| **c > 0).count();
        let next = instant_end(hits, begin);
        let starts = hits[begin..next].iter().any(|h| h.steps != 0);
        if starts && seen > depth {
            let masks = hits[begin..end].iter().map(|h| h.steps);
            let size = if rules.disjoint { seen } else { rank(masks, seen) };
            if size > depth {
                (depth, found) = (size, Some(begin));
            }
        }
        if depth == rules.steps || (rules.within.is_none() && starts) {
            break;
        }
        for hit in &hits[begin..next] {
            count(&mut counts, hit.steps, u32::MAX);
        }
        begin = next;
    }
    found.map(|begin| (begin, depth))
}

/// Adds `by` (or, as `u32::MAX`, takes one) at each step of `mask`.
fn count(counts: &mut [u32; FUNNEL_STEPS_MAX], mut mask: u32, by: u32) {
    while mask != 0 {
        let step = mask.trailing_zeros() as usize;
        counts[step] = counts[step].wrapping_add(by);
        mask &= mask - 1;
    }
}

/// The latest instant that an attempt may start at from which, had it time to the end, `depth` steps are done.
/// A start whose window is open sees all up to the end.
fn latest_start(rules: &Rules, hits: &[Hit], depth: usize) -> Option<Millis> {
    let mut matching = Matching::default();
    let mut from = None;
    for hit in hits.iter().rev() {
        if from.is_none() && matching.add(hit.steps) && matching.size() >= depth {
            from = Some(hit.time);
        }
        let far_enough = from.is_some_and(|time| hit.time <= time);
        if far_enough && hit.steps != 0 && rules.may_start(hit.time) {
            return Some(hit.time);
        }
    }
    None
}

/// Fills in when each step was done from `begin` on, and which hits did them.
fn take(rules: &Rules, hits: &[Hit], begin: usize, out: &mut Attempt, chooser: &mut Chooser, want: Want) {
    let mut matching = Matching::default();
    let mut at = begin;
    while matching.size() < out.depth && at < hits.len() {
        let end = instant_end(hits, at);
        let before = matching.size();
        for hit in &hits[at..end] {
            if matching.add(hit.steps) {
                out.times[matching.size() - 1] = hit.time;
            }
        }
        let due = matching.size() - before;
        if want >= Want::Hits && due > 0 {
            chooser.add(hits, at, end, low_bits(rules.steps), due);
        }
        at = end;
    }
    if want >= Want::Hits {
        out.hits = [super::NO_HIT; FUNNEL_STEPS_MAX];
        chooser.run(low_bits(rules.steps), out);
    }
}
