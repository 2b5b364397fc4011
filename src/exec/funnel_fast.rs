//! The common funnel: ordered steps whose events are different, nothing excluded. Each step is one cell; a person's times of each
//! step are slices, and the attempt is found by moving forward through them. Nothing is allocated per person.

use super::attempt::Rules;
use super::cell::Cell;
use crate::limits::FUNNEL_STEPS_MAX;
use crate::model::{Millis, PersonId};

/// The counted attempt of one person.
pub struct FastAttempt<'a> {
    /// Who.
    pub person: PersonId,
    /// When each step was done.
    pub times: &'a [Millis],
    /// Whether it may still go on.
    pub in_progress: bool,
}

/// Calls `visit` with the counted attempt of every person who enters and whom `holds` says true for.
pub fn walk(
    rules: &Rules,
    steps: &[&Cell],
    holds: impl Fn(PersonId) -> bool,
    mut visit: impl FnMut(FastAttempt<'_>),
) {
    let Some((first, later)) = steps.split_first() else { return };
    let mut ranks = [0usize; FUNNEL_STEPS_MAX];
    for (rank, person) in first.persons.iter().enumerate() {
        let starts = first.times(rank);
        let from = starts.partition_point(|t| *t < rules.from);
        let starts = starts.get(from..).unwrap_or(&[]);
        if starts.first().is_none_or(|t| *t >= rules.to || *t > rules.as_of) || !holds(*person) {
            continue;
        }
        let mut slices: [&[Millis]; FUNNEL_STEPS_MAX] = [&[]; FUNNEL_STEPS_MAX];
        for ((cell, rank), slice) in later.iter().zip(&mut ranks).zip(&mut slices) {
            *rank += gallop(cell.persons.get(*rank..).unwrap_or(&[]), *person);
            if cell.persons.get(*rank) != Some(person) {
                break;
            }
            *slice = cell.times(*rank);
        }
        let mut best = Best { times: [0; FUNNEL_STEPS_MAX], depth: 0, latest: 0 };
        match rules.within {
            None => chain_from(rules, starts, slices.get(..later.len()).unwrap_or(&[]), &mut best),
            Some(within) => {
                windows(rules, within, starts, slices.get(..later.len()).unwrap_or(&[]), &mut best)
            }
        }
        let open = |within: i64| best.latest.saturating_add(within) >= rules.as_of;
        let closed = rules.until_to && rules.as_of >= rules.to;
        let in_progress = best.depth < steps.len() && !closed && rules.within.is_some_and(open);
        let times = best.times.get(..best.depth).unwrap_or(&[]);
        visit(FastAttempt { person: *person, times, in_progress });
    }
}

struct Best {
    times: [Millis; FUNNEL_STEPS_MAX],
    depth: usize,
    /// The latest start that gets as deep.
    latest: Millis,
}

/// How many of `persons`, which rise, lie below `person`.
#[inline]
pub fn gallop(persons: &[PersonId], person: PersonId) -> usize {
    let mut step = 1;
    while persons.get(step - 1).is_some_and(|p| *p < person) {
        if step > 32 {
            return persons.partition_point(|p| *p < person);
        }
        step += 1;
    }
    step - 1
}

/// Without a window the earliest start gets as deep as any.
fn chain_from(rules: &Rules, starts: &[Millis], later: &[&[Millis]], best: &mut Best) {
    let Some(start) = starts.first() else { return };
    let end = end_of(rules);
    (best.times[0], best.depth) = (*start, 1);
    let mut at = *start;
    for (slice, slot) in later.iter().zip(best.times.iter_mut().skip(1)) {
        let Some(next) = slice.iter().find(|t| **t >= at).filter(|t| **t <= end) else { return };
        (*slot, at) = (*next, *next);
        best.depth += 1;
    }
}

/// With a window every start is tried; the places in later steps only move forward, as a later start is never served by an
/// earlier event than the start before it.
fn windows(rules: &Rules, within: i64, starts: &[Millis], later: &[&[Millis]], best: &mut Best) {
    let mut places = [0usize; FUNNEL_STEPS_MAX];
    let end = end_of(rules);
    for start in starts.iter().take_while(|t| **t < rules.to && **t <= rules.as_of) {
        let limit = start.saturating_add(within).min(end);
        let mut times = [0; FUNNEL_STEPS_MAX];
        times[0] = *start;
        let (mut depth, mut at) = (1, *start);
        for ((slice, place), slot) in later.iter().zip(&mut places).zip(times.iter_mut().skip(1)) {
            while slice.get(*place).is_some_and(|t| *t < at) {
                *place += 1;
            }
            let Some(next) = slice.get(*place).filter(|t| **t <= limit) else { break };
            (*slot, at) = (*next, *next);
            depth += 1;
        }
        if depth > best.depth {
            (best.times, best.depth) = (times, depth);
        }
        if depth == best.depth {
            best.latest = *start;
        }
        if best.depth > later.len() {
            return;
        }
    }
}

/// The last instant that any step may have.
fn end_of(rules: &Rules) -> Millis {
    if rules.until_to { rules.as_of.min(rules.to.saturating_sub(1)) } else { rules.as_of }
}
