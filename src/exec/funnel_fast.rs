//! The common funnel: ordered steps whose events are different, nothing excluded. Each step is one cell; a person's times of each
//! step are slices, and the attempt is found by moving forward through them. Nothing is allocated per person, and of persons who
//! did nothing but the first step nothing is read where only their number matters.

use super::attempt::Rules;
use super::cell::Cell;
use super::persons::{PersonSet, WORDS};
use crate::error::Result;
use crate::limits::FUNNEL_STEPS_MAX;
use crate::model::{Millis, PersonId};

/// What is done with the attempts.
pub trait Visitor {
    /// The persons `first`, `first + 1` and so on whose bits are set did the first step, no later one, and are not in progress.
    fn lost(&mut self, first: PersonId, bits: u64) -> Result<()>;

    /// Whether it has to see each person with the time of entry, even those who did nothing but the first step.
    fn needs_entry(&self) -> bool;

    /// A person's counted attempt: when each step was done, and whether it may still go on.
    fn attempt(&mut self, person: PersonId, times: &[Millis], in_progress: bool) -> Result<()>;
}

/// Gives `visitor` the counted attempt of every person who enters, of those in `allowed` if given.
pub fn walk(
    rules: &Rules,
    steps: &[&Cell],
    allowed: Option<&PersonSet>,
    visitor: &mut impl Visitor,
) -> Result<()> {
    let Some((first, later)) = steps.split_first() else { return Ok(()) };
    let mut walker = Walker { rules, first, later, near: [0; FUNNEL_STEPS_MAX], end: end_of(rules) };
    if let (Some(index), Some(second)) = (&first.index, later.first())
        && !visitor.needs_entry()
        && walker.all_enter()
        && walker.never_open()
    {
        let chunk = first.persons.first().map_or(0, |person| person >> 16);
        let everybody = [u64::MAX; WORDS];
        let allowed = match allowed {
            Some(PersonSet::Chunk(_, words)) => words.as_ref(),
            _ => &everybody,
        };
        let mut did_second = PersonSet::none(Some(chunk));
        second.mark(&mut did_second);
        let PersonSet::Chunk(_, did_second) = &did_second else { return Ok(()) };
        for word in 0..WORDS {
            let entered = index.words[word] & allowed[word];
            let base = chunk << 16 | (word as u32) << 6;
            visitor.lost(base, entered & !did_second[word])?;
            let mut bits = entered & did_second[word];
            while bits != 0 {
                let bit = bits & bits.wrapping_neg();
                bits ^= bit;
                walker.person(base | bit.trailing_zeros(), index.rank(word, bit), visitor)?;
            }
        }
        return Ok(());
    }
    for (rank, person) in first.persons.iter().enumerate() {
        if allowed.is_none_or(|allowed| allowed.contains(*person)) {
            walker.person(*person, rank, visitor)?;
        }
    }
    Ok(())
}

struct Walker<'a> {
    rules: &'a Rules,
    first: &'a Cell,
    later: &'a [&'a Cell],
    near: [usize; FUNNEL_STEPS_MAX],
    /// The last instant that any step may have.
    end: Millis,
}

/// An attempt that is being made.
struct Best {
    times: [Millis; FUNNEL_STEPS_MAX],
    depth: usize,
    /// The latest start that gets as deep.
    latest: Millis,
}

impl<'a> Walker<'a> {
    /// Whether everybody's first event is an entry.
    fn all_enter(&self) -> bool {
        self.first.lies_in(self.rules.from, self.rules.to.min(self.rules.as_of.saturating_add(1)))
    }

    fn is_closed(&self) -> bool {
        self.rules.until_to && self.rules.as_of >= self.rules.to
    }

    /// Whether no start can be in progress any more.
    fn never_open(&self) -> bool {
        let over = |within: i64| self.first.span.1.saturating_add(within) < self.rules.as_of;
        self.is_closed() || self.rules.within.is_none_or(over)
    }

    fn person(&mut self, person: PersonId, rank: usize, visitor: &mut impl Visitor) -> Result<()> {
        let starts = self.first.times(rank);
        let from = match starts.first() {
            Some(first) if *first >= self.rules.from => 0,
            _ => starts.partition_point(|t| *t < self.rules.from),
        };
        let starts = starts.get(from..).unwrap_or(&[]);
        if starts.first().is_none_or(|t| *t >= self.rules.to || *t > self.rules.as_of) {
            return Ok(());
        }
        let mut best = Best { times: [0; FUNNEL_STEPS_MAX], depth: 0, latest: 0 };
        match self.rules.within {
            None => self.chain(person, starts, &mut best),
            Some(within) => self.windows(person, within, starts, &mut best),
        }
        let open = |within: i64| best.latest.saturating_add(within) >= self.rules.as_of;
        let in_progress =
            best.depth <= self.later.len() && !self.is_closed() && self.rules.within.is_some_and(open);
        visitor.attempt(person, best.times.get(..best.depth).unwrap_or(&[]), in_progress)
    }

    /// A person's times of a later step.
    fn times_of(&mut self, step: usize, person: PersonId) -> &'a [Millis] {
        let (Some(cell), Some(near)) = (self.later.get(step), self.near.get_mut(step)) else { return &[] };
        let cell: &'a Cell = cell;
        cell.find(person, near).map_or(&[], |rank| cell.times(rank))
    }

    /// Without a window the earliest start gets as deep as any.
    fn chain(&mut self, person: PersonId, starts: &[Millis], best: &mut Best) {
        let Some(start) = starts.first() else { return };
        (best.times[0], best.depth) = (*start, 1);
        let mut at = *start;
        for step in 0..self.later.len() {
            let times = self.times_of(step, person);
            let Some(next) = times.iter().find(|t| **t >= at).filter(|t| **t <= self.end) else { return };
            at = *next;
            if let Some(slot) = best.times.get_mut(step + 1) {
                *slot = at;
            }
            best.depth += 1;
        }
    }

    /// With a window every start is tried; the places in later steps only move forward, as a later start is never served by an
    /// earlier event than the start before it.
    fn windows(&mut self, person: PersonId, within: i64, starts: &[Millis], best: &mut Best) {
        let mut slices: [&[Millis]; FUNNEL_STEPS_MAX] = [&[]; FUNNEL_STEPS_MAX];
        let mut known = 0;
        let (to, as_of) = (self.rules.to, self.rules.as_of);
        for start in starts.iter().take_while(|t| **t < to && **t <= as_of) {
            let limit = start.saturating_add(within).min(self.end);
            let mut times = [0; FUNNEL_STEPS_MAX];
            times[0] = *start;
            let (mut depth, mut at) = (1, *start);
            for (step, slice) in slices.iter_mut().enumerate().take(self.later.len()) {
                if step >= known {
                    *slice = self.times_of(step, person);
                    known = step + 1;
                }
                // What is too early for this start is for every later one.
                while slice.first().is_some_and(|t| *t < at) {
                    *slice = slice.get(1..).unwrap_or(&[]);
                }
                let Some(next) = slice.first().filter(|t| **t <= limit) else { break };
                at = *next;
                if let Some(slot) = times.get_mut(step + 1) {
                    *slot = at;
                }
                depth += 1;
            }
            if depth > best.depth {
                (best.times, best.depth) = (times, depth);
            }
            if depth == best.depth {
                best.latest = *start;
            }
            if best.depth > self.later.len() {
                return;
            }
        }
    }
}

/// The last instant that any step may have.
fn end_of(rules: &Rules) -> Millis {
    if rules.until_to { rules.as_of.min(rules.to.saturating_sub(1)) } else { rules.as_of }
}
