//! A scope: some persons and all their rows. A snapshot is cut into disjoint scopes: each chunk of 65,536 settled persons, and the
//! unsettled ones. Reports run on each scope alone, on several threads, and add up what they get.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::cell::Cell;
use super::overlay::Overlay;
use super::person_values::{PersonColumn, Which};
use super::persons::PersonSet;
use super::settled::Settled;
use super::source::Source;
use crate::error::Result;
use crate::model::{Millis, NameId, PersonId, PropertyId, Value};
use crate::threads::{go_on, processors, spread};

/// A snapshot as reports read it.
pub struct View {
    /// The rows.
    pub source: Source,
    /// The settled part.
    pub settled: Arc<Settled>,
    /// What is laid over it.
    pub overlay: Overlay,
    /// What was read so far.
    pub reads: Reads,
    /// The rows that audiences mean which are cells of cohort reports, where the whole report had to be looked at for that.
    pub meant: Mutex<HashMap<String, Value>>,
}

/// What a report has read.
#[derive(Debug, Default)]
pub struct Reads {
    cells: AtomicU64,
    rows: AtomicU64,
}

/// What was read for an answer, and how it was had.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Explanation {
    /// Pieces of the store that were read: the rows of one name and up to 65,536 people each.
    pub cells: u64,
    /// Rows in them.
    pub rows: u64,
    /// People whose recent rows or merges were laid over what is stored.
    pub unsettled_people: u64,
    /// Segments of the store.
    pub segments: u64,
}

impl View {
    /// What was read so far.
    pub fn explanation(&self) -> Explanation {
        Explanation {
            cells: self.reads.cells.load(Ordering::Relaxed),
            rows: self.reads.rows.load(Ordering::Relaxed),
            unsettled_people: self.overlay.touched.len(),
            segments: self.source.snapshot.segments.len() as u64,
        }
    }
}

/// Some persons of a view.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// The view.
    pub view: &'a View,
    /// The chunk of settled persons; `None` for the unsettled ones.
    pub chunk: Option<u32>,
}

impl<'a> Scope<'a> {
    /// The rows of a name, of persons of this scope and perhaps of others, which [`Scope::holds`] tells apart.
    pub fn cell(&self, name: NameId) -> Result<Arc<Cell>> {
        go_on()?;
        let cell = match self.chunk {
            Some(chunk) => self.view.settled.cell(name, chunk)?,
            None => self.view.overlay.cell(self.source(), &self.view.settled, name)?,
        };
        self.view.reads.cells.fetch_add(1, Ordering::Relaxed);
        self.view.reads.rows.fetch_add(cell.times.len() as u64, Ordering::Relaxed);
        Ok(cell)
    }

    /// One person property of the persons of this scope, and perhaps of others.
    pub fn person_column(
        &self,
        property: PropertyId,
        which: Which,
        as_of: Millis,
    ) -> Result<Arc<PersonColumn>> {
        let source = self.source();
        match self.chunk {
            Some(chunk) => self.view.settled.person_column(source, property, which, chunk, as_of),
            None => {
                let cell = self.view.overlay.cell(source, &self.view.settled, NameId::SET)?;
                PersonColumn::read(source, &cell, property, which, as_of).map(Arc::new)
            }
        }
    }

    /// The persons of this scope, and perhaps others, with any of `events`, which are all there are, in `from..to`; and those of whom
    /// only their rows can tell.
    pub fn seen(&self, events: &[NameId], from: Millis, to: Millis) -> Result<(PersonSet, PersonSet)> {
        match self.chunk {
            Some(chunk) => self.view.settled.seen_within(events, chunk, from, to),
            None => self.view.overlay.seen(self.source(), &self.view.settled, events, (from, to)),
        }
    }

    /// Whether a person that a cell names is of this scope.
    #[inline]
    pub fn holds(&self, person: PersonId) -> bool {
        self.chunk.is_none()
            || self.view.overlay.touched.is_empty()
            || !self.view.overlay.touched.contains(person)
    }

    /// Nobody of this scope.
    pub fn none(&self) -> PersonSet {
        PersonSet::none(self.chunk)
    }

    /// All persons of this scope.
    pub fn universe(&self) -> Result<PersonSet> {
        let persons = &self.source().snapshot.persons;
        let alive = |person: &PersonId| persons.person_of(*person) == *person;
        let Some(chunk) = self.chunk else {
            return Ok(PersonSet::Any(self.view.overlay.touched.iter().filter(alive).collect()));
        };
        let settled = &self.view.settled;
        let mut all = PersonSet::Chunk(chunk, settled.alive(chunk)?.as_ref().clone());
        // Who came since has no settled rows, but is somebody.
        let end = ((u64::from(chunk) + 1) << 16).min(u64::from(persons.identities())) as PersonId;
        for id in (settled.identities().max(chunk << 16)..end).filter(alive) {
            all.insert(id);
        }
        all.minus_any(&self.view.overlay.touched);
        Ok(all)
    }

    /// All ids of a chunk but those of the unsettled.
    pub fn all_ids(&self, chunk: u32) -> PersonSet {
        let mut all = PersonSet::all_ids(chunk);
        all.minus_any(&self.view.overlay.touched);
        all
    }

    /// Who of the persons that cells name may be read here, if that is not everybody: those of this scope, of those in `only`.
    pub fn allowed(&self, only: Option<PersonSet>) -> Option<PersonSet> {
        let Some(chunk) = self.chunk.filter(|_| only.is_none()) else { return only };
        (!self.is_whole(chunk)).then(|| self.all_ids(chunk))
    }

    /// Whether nobody of a chunk is unsettled.
    pub fn is_whole(&self, chunk: u32) -> bool {
        self.view.overlay.touched.range_cardinality(chunk << 16..=chunk << 16 | 0xffff) == 0
    }

    /// Those of some persons who are of this scope.
    pub fn of(&self, persons: &[PersonId]) -> PersonSet {
        let mut set = self.none();
        for person in persons {
            let touched = self.view.overlay.touched.contains(*person);
            if self.chunk.map_or(touched, |chunk| !touched && person >> 16 == chunk) {
                set.insert(*person);
            }
        }
        set
    }

    /// The rows of the snapshot.
    pub fn source(&self) -> &'a Source {
        &self.view.source
    }
}

impl View {
    /// The scopes of everybody.
    pub fn all_scopes(&self) -> Vec<Scope<'_>> {
        let chunks = self.source.snapshot.persons.identities().div_ceil(1 << 16);
        let mut scopes: Vec<Scope<'_>> =
            (0..chunks).map(|chunk| Scope { view: self, chunk: Some(chunk) }).collect();
        if !self.overlay.touched.is_empty() {
            scopes.push(Scope { view: self, chunk: None });
        }
        scopes
    }

    /// The scopes in which any of `names` has rows.
    pub fn scopes(&self, names: &[NameId]) -> Result<Vec<Scope<'_>>> {
        let mut chunks = Vec::new();
        for name in names {
            chunks.extend(self.settled.chunks(*name)?);
        }
        chunks.sort_unstable();
        chunks.dedup();
        let mut scopes: Vec<Scope<'_>> =
            chunks.into_iter().map(|chunk| Scope { view: self, chunk: Some(chunk) }).collect();
        if !self.overlay.touched.is_empty() {
            scopes.push(Scope { view: self, chunk: None });
        }
        Ok(scopes)
    }
}

/// Work below which threads cost more than they save. The guess is made from the first scope, which is the slowest.
const ALONE: Duration = Duration::from_micros(500);

/// Runs `work` on every scope, on as many threads as there are processors, and folds the results in no particular order.
pub fn map_scopes<'a, T: Send>(
    scopes: &[Scope<'a>],
    work: impl Fn(&Scope<'a>) -> Result<T> + Sync,
    mut fold: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    let begin = Instant::now();
    let work = |scope: &Scope<'a>| go_on().and_then(|()| work(scope));
    let mut rest = scopes;
    // As long as the rest is likely done before a thread would have begun, it is done here.
    while let Some((scope, later)) = rest.split_first() {
        let done = scopes.len() - rest.len();
        let ahead = begin.elapsed().checked_div(done as u32).unwrap_or(ALONE) * rest.len() as u32;
        if done > 0 && ahead > ALONE && rest.len() > 1 {
            break;
        }
        fold(work(scope)?)?;
        rest = later;
    }
    spread(rest, processors(), work)?.into_iter().try_for_each(fold)
}
