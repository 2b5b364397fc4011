//! The common funnel: ordered steps whose events are different, nothing excluded. Each step is one cell; a person's times of each
//! step are slices, and the attempt is found by moving forward through them. Nothing is allocated per person, and without a window of persons
//! who did nothing but the first step nothing is read.

use super::attempt::Rules;
use super::cell::Cell;
use super::persons::PersonSet;
use crate::error::Result;
use crate::limits::FUNNEL_STEPS_MAX;
use crate::model::{Millis, PersonId};

/// What is done with the attempts.
pub trait Visitor {
    /// Whether it has to see each attempt as a whole.
    fn wants_attempts(&self) -> bool;

    /// A person's counted attempt: when each step was done, and whether it may still go on.
    fn attempt(&mut self, person: PersonId, times: &[Millis], in_progress: bool) -> Result<()>;

    /// The number of the group that a person is counted in.
    fn group(&mut self, person: PersonId) -> Result<u32>;

    /// These persons did the first step. If they did more, [`Visitor::went_on`] tells; nobody is in progress.
    fn entered(&mut self, persons: &PersonSet) -> Result<()>;

    /// These persons, who had done the steps before, did step `step`, from 0, so many milliseconds later.
    fn went_on(&mut self, step: usize, persons: &[Entry], later: &[i64]) -> Result<()>;
}

/// A person on the way through the steps, and when the last of them was done.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Who.
    pub person: PersonId,
    /// What [`Visitor::group`] said of the person.
    pub group: u32,
    /// When.
    pub at: Millis,
}

/// Gives `visitor` the counted attempt of every person who enters, of those in `allowed` if given.
pub fn walk(
    rules: &Rules,
    steps: &[&Cell],
    allowed: Option<&PersonSet>,
    visitor: &mut impl Visitor,
) -> Result<()> {
    let Some((first, later)) = steps.split_first() else { return Ok(()) };
    let all_enter = first.lies_in(rules.from, rules.to.min(rules.as_of.saturating_add(1)));
    // Whether nobody who entered can be in progress any more.
    let over = |within: i64| first.span.1.saturating_add(within) < rules.as_of;
    let never_open = rules.is_closed() || rules.within.is_none_or(over);
    let by_sets = first.index.as_ref().filter(|_| all_enter && never_open && !visitor.wants_attempts());
    let mut left = None;
    if let (Some(index), Some(second)) = (by_sets, later.first()) {
        let mut entered = PersonSet::none(Some(index.chunk));
        first.mark(&mut entered);
        if let Some(allowed) = allowed {
            entered.and(allowed);
        }
        let mut going = PersonSet::none(Some(index.chunk));
        second.mark(&mut going);
        going.and(&entered);
        if rules.within.is_none() {
            visitor.entered(&entered)?;
            return step_by_step(first, later, &going, end_of(rules), visitor);
        }
        entered.minus(&going);
        visitor.entered(&entered)?;
        left = Some(going);
    }
    let no_times = [0; FUNNEL_STEPS_MAX];
    let slices: [&[Millis]; FUNNEL_STEPS_MAX] = [&[]; FUNNEL_STEPS_MAX];
    let (near, end) = ([0; FUNNEL_STEPS_MAX], end_of(rules));
    let mut walker = Walker { rules, first, later, near, end, times: no_times, trial: no_times, slices };
    match left.as_ref().or(allowed) {
        Some(allowed) => first.each_in(allowed, |rank, person| walker.person(person, rank, visitor)),
        None => {
            let mut persons = first.persons.iter().enumerate();
            persons.try_for_each(|(rank, person)| walker.person(*person, rank, visitor))
        }
    }
}

/// Persons that take their steps together: their entries stay in the nearest memory.
const TOGETHER: usize = 1024;

/// Without a window the earliest start and then always the earliest next step get as deep as any. All persons take one step, then
/// those who are left the next, so that no branch depends on the data of one person but for the rare search.
fn step_by_step(
    first: &Cell,
    later: &[&Cell],
    going: &PersonSet,
    end: Millis,
    visitor: &mut impl Visitor,
) -> Result<()> {
    let mut entries: Vec<Entry> = Vec::with_capacity(TOGETHER);
    let mut durations: Vec<i64> = Vec::with_capacity(TOGETHER);
    let mut near = [0; FUNNEL_STEPS_MAX];
    let mut run = |entries: &mut Vec<Entry>, visitor: &mut _| -> Result<()> {
        for (step, (cell, near)) in later.iter().zip(&mut near).enumerate() {
            take_step(cell, near, end, entries, &mut durations);
            if entries.is_empty() {
                break;
            }
            Visitor::went_on(visitor, step + 1, entries, &durations)?;
        }
        entries.clear();
        Ok(())
    };
    first.each_in(going, |rank, person| {
        entries.push(Entry { person, group: visitor.group(person)?, at: first.first(rank) });
        if entries.len() == TOGETHER { run(&mut entries, visitor) } else { Ok(()) }
    })?;
    run(&mut entries, visitor)
}

/// Leaves those who do a step from where they are until `end`, and how long it took them.
fn take_step(cell: &Cell, near: &mut usize, end: Millis, entries: &mut Vec<Entry>, durations: &mut Vec<i64>) {
    if let Some(index) = &cell.index {
        let mut left = 0;
        for at in 0..entries.len() {
            let entry = entries[at];
            entries[left] = entry;
            left += usize::from(index.has(entry.person));
        }
        entries.truncate(left);
    }
    durations.clear();
    durations.resize(entries.len(), 0);
    let mut left = 0;
    for at in 0..entries.len() {
        let Entry { person, group, at: since } = entries[at];
        let next = cell.find(person, near).and_then(|rank| cell.first_from(rank, since));
        let next = next.unwrap_or(Millis::MAX);
        entries[left] = Entry { person, group, at: next };
        durations[left] = next.wrapping_sub(since);
        left += usize::from(next <= end);
    }
    entries.truncate(left);
    durations.truncate(left);
}

/// Memory of the walk is used again for each person: it is too much to clear each time.
struct Walker<'a> {
    rules: &'a Rules,
    first: &'a Cell,
    later: &'a [&'a Cell],
    near: [usize; FUNNEL_STEPS_MAX],
    /// The last instant that any step may have.
    end: Millis,
    /// When the steps of the best attempt were done, as deep as it goes.
    times: [Millis; FUNNEL_STEPS_MAX],
    /// The same of an attempt that is being made.
    trial: [Millis; FUNNEL_STEPS_MAX],
    /// A person's times of the later steps that were looked up, without those that are too early for any start to come.
    slices: [&'a [Millis]; FUNNEL_STEPS_MAX],
}

impl<'a> Walker<'a> {
    #[inline]
    fn person(&mut self, person: PersonId, rank: usize, visitor: &mut impl Visitor) -> Result<()> {
        let Some(start) = self.first.first_from(rank, self.rules.from) else { return Ok(()) };
        if start >= self.rules.to || start > self.rules.as_of {
            return Ok(());
        }
        let Some(within) = self.rules.within else {
            let depth = self.chain(person, start);
            return visitor.attempt(person, self.times.get(..depth).unwrap_or(&[]), false);
        };
        let starts = self.first.times(rank);
        let starts = starts.get(starts.partition_point(|t| *t < self.rules.from)..).unwrap_or(&[]);
        let (depth, latest) = self.windows(person, within, starts);
        let open = latest.saturating_add(within) >= self.rules.as_of;
        let in_progress = open && depth <= self.later.len() && !self.rules.is_closed();
        visitor.attempt(person, self.times.get(..depth).unwrap_or(&[]), in_progress)
    }

    /// A person's times of a later step.
    #[inline]
    fn times_of(&mut self, step: usize, person: PersonId) -> &'a [Millis] {
        let (Some(cell), Some(near)) = (self.later.get(step), self.near.get_mut(step)) else { return &[] };
        let cell: &'a Cell = cell;
        cell.find(person, near).map_or(&[], |rank| cell.times(rank))
    }

    /// Without a window the earliest start gets as deep as any. Returns how deep.
    #[inline]
    fn chain(&mut self, person: PersonId, start: Millis) -> usize {
        self.times[0] = start;
        let mut at = start;
        for (step, (cell, near)) in self.later.iter().zip(&mut self.near).enumerate() {
            let next = cell.find(person, near).and_then(|rank| cell.first_from(rank, at));
            let Some(next) = next.filter(|t| *t <= self.end) else { return step + 1 };
            at = next;
            if let Some(slot) = self.times.get_mut(step + 1) {
                *slot = at;
            }
        }
        self.later.len() + 1
    }

    /// With a window every start is tried; the places in later steps only move forward, as a later start is never served by an
    /// earlier event than the start before it. Returns how deep the best attempt gets, and the latest start that gets as deep.
    fn windows(&mut self, person: PersonId, within: i64, starts: &[Millis]) -> (usize, Millis) {
        let (to, as_of) = (self.rules.to, self.rules.as_of);
        let (mut best, mut latest, mut known) = (0, 0, 0);
        for start in starts.iter().take_while(|t| **t < to && **t <= as_of) {
            let limit = start.saturating_add(within).min(self.end);
            self.trial[0] = *start;
            let (mut depth, mut at) = (1, *start);
            for step in 0..self.later.len() {
                if step >= known {
                    self.slices[step] = self.times_of(step, person);
                    known = step + 1;
                }
                let mut slice = self.slices[step];
                while let Some((first, rest)) = slice.split_first()
                    && *first < at
                {
                    slice = rest;
                }
                self.slices[step] = slice;
                let Some(next) = slice.first().filter(|t| **t <= limit) else { break };
                at = *next;
                if let Some(slot) = self.trial.get_mut(step + 1) {
                    *slot = at;
                }
                depth += 1;
            }
            if depth > best {
                best = depth;
                self.times[..depth].copy_from_slice(&self.trial[..depth]);
            }
            if depth == best {
                latest = *start;
            }
            if best > self.later.len() {
                break;
            }
        }
        (best, latest)
    }
}

/// The last instant that any step may have.
fn end_of(rules: &Rules) -> Millis {
    if rules.until_to { rules.as_of.min(rules.to.saturating_sub(1)) } else { rules.as_of }
}
