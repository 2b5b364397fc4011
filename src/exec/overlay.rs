//! The unsettled part of a snapshot: every person who has recent rows of the names that a report reads, or who took part in a merge
//! since the settled part began, and all their rows. Reports walk the settled cells without these persons, then these persons by
//! themselves; the two results add up.
//!
//! The rows of a name are gathered when they are asked for. Whether somebody did anything at all, or ever did one thing, is known
//! without.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use roaring::RoaringBitmap;

use super::cell::{Cell, RowRef};
use super::persons::PersonSet;
use super::settled::Settled;
use super::source::Source;
use crate::error::Result;
use crate::model::{Millis, NameId, PersonId};
use crate::store::persons::Persons;

/// Persons whose settled rows are not the whole truth.
pub struct Overlay {
    /// The persons, by today's and by the settled part's identities: none of them may be read from settled cells.
    pub touched: RoaringBitmap,
    /// Those of them who took part in a merge.
    moved: RoaringBitmap,
    /// The recent rows of each name.
    recent: HashMap<NameId, Vec<(PersonId, Millis, RowRef)>>,
    /// All their rows, of the names that were asked for.
    cells: Mutex<HashMap<NameId, Arc<Cell>>>,
}

impl Overlay {
    /// Finds the persons, for a report on `names`.
    pub fn new(source: &Source, settled: &Settled, names: &[NameId]) -> Self {
        let persons = &source.snapshot.persons;
        let mut moved = RoaringBitmap::new();
        for step in persons.moves_since(settled.version) {
            moved.insert(step.from);
            moved.insert(step.to);
        }
        let mut recent: HashMap<NameId, Vec<(PersonId, Millis, RowRef)>> = HashMap::new();
        let mut active: Vec<PersonId> = Vec::new();
        for (number, run) in source.runs().iter().enumerate() {
            for name in names {
                let rows = run.of_name(*name);
                let Some(first) = rows.first() else { continue };
                let base = run.rows().partition_point(|r| r.name < first.name);
                let list = recent.entry(*name).or_default();
                for (at, row) in rows.iter().enumerate() {
                    let person = persons.person_of(row.identity);
                    active.push(person);
                    let source = RowRef::RECENT + number as u32;
                    list.push((person, row.time, RowRef { source, chunk_at: 0, row: (base + at) as u32 }));
                }
            }
        }
        active.sort_unstable();
        active.dedup();
        // They rise, so they are always taken.
        let touched = RoaringBitmap::from_sorted_iter(active).unwrap_or_default() | &moved;
        Self { touched, moved, recent, cells: Mutex::default() }
    }

    /// The rows of a name.
    pub fn cell(&self, source: &Source, settled: &Settled, name: NameId) -> Result<Arc<Cell>> {
        if self.touched.is_empty() {
            return Ok(Arc::new(Cell::empty(name)));
        }
        if let Some(cell) = self.cells.lock().unwrap_or_else(PoisonError::into_inner).get(&name) {
            return Ok(Arc::clone(cell));
        }
        let cell = Arc::new(self.gather(source, settled, name)?);
        self.cells.lock().unwrap_or_else(PoisonError::into_inner).insert(name, Arc::clone(&cell));
        Ok(cell)
    }

    /// The persons who have rows of a name.
    pub fn persons(&self, source: &Source, settled: &Settled, name: NameId) -> Result<RoaringBitmap> {
        let today = &source.snapshot.persons;
        let recent = self.recent.get(&name).into_iter().flatten();
        let mut found: RoaringBitmap = recent.map(|(person, ..)| *person).collect();
        let stored = settled.persons(name)? & &self.touched;
        for person in &stored & &self.moved {
            match heir(settled, today, person) {
                Some(heir) => drop(found.insert(heir)),
                None => return Ok(self.cell(source, settled, name)?.persons.iter().copied().collect()),
            }
        }
        Ok(found | (stored - &self.moved))
    }

    /// The persons with any of `events` in `from..to`, and those of whom only their rows can tell.
    pub fn seen(
        &self,
        source: &Source,
        settled: &Settled,
        events: &[NameId],
        (from, to): (Millis, Millis),
    ) -> Result<(PersonSet, PersonSet)> {
        let today = &source.snapshot.persons;
        let (mut found, mut unknown) = (PersonSet::none(None), PersonSet::none(None));
        for (person, time, _) in events.iter().filter_map(|name| self.recent.get(name)).flatten() {
            if (from..to).contains(time) {
                found.insert(*person);
            }
        }
        let mut rest = self.touched.iter().filter(|person| *person < settled.identities()).peekable();
        while let Some(chunk) = rest.peek().map(|person| person >> 16) {
            let (within, around) = settled.seen_within(events, chunk, from, to)?;
            while let Some(person) = rest.next_if(|person| person >> 16 == chunk) {
                if !within.contains(person) && !around.contains(person) {
                    continue;
                }
                let heir =
                    if self.moved.contains(person) { heir(settled, today, person) } else { Some(person) };
                match heir {
                    Some(heir) if within.contains(person) => found.insert(heir),
                    Some(heir) => unknown.insert(heir),
                    // Its rows are those of several persons now.
                    None => {
                        unknown.extend(settled.identities_of(person).iter().map(|id| today.person_of(*id)))
                    }
                }
            }
        }
        unknown.minus(&found);
        Ok((found, unknown))
    }

    fn gather(&self, source: &Source, settled: &Settled, name: NameId) -> Result<Cell> {
        let persons = &source.snapshot.persons;
        let mut rows = self.recent.get(&name).cloned().unwrap_or_default();
        let settled = settled.rows_of(name, &self.touched)?;
        for of_person in settled.rows.chunk_by(|a, b| a.person == b.person) {
            let Some(person) = of_person.first().map(|found| found.person) else { continue };
            if !self.touched.contains(person) {
                continue;
            }
            let moved = self.moved.contains(person);
            for found in of_person {
                // Of the others no identity has gone to another person.
                let person = if moved { persons.person_of(found.identity) } else { person };
                let at = RowRef { source: found.input, chunk_at: found.chunk_at, row: found.row };
                rows.push((person, found.time, at));
            }
        }
        rows.sort_by_key(|(person, time, _)| (*person, *time));
        Ok(Cell::of_rows(name, rows.into_iter()))
    }
}

/// The person of today to whom all identities of a person of the settled part belong, if it is one.
fn heir(settled: &Settled, today: &Persons, person: PersonId) -> Option<PersonId> {
    let mut heirs = settled.identities_of(person).into_iter().map(|identity| today.person_of(identity));
    let first = heirs.next()?;
    heirs.all(|heir| heir == first).then_some(first)
}
