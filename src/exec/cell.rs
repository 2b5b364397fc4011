//! A cell: the rows of one name and one chunk of persons, decoded, in the order of person and time, whatever number of segments
//! and memtable runs they came from. Reports walk cells.

use std::sync::Arc;

use crate::model::{Millis, NameId, PersonId};

/// Where a row lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowRef {
    /// A segment of the snapshot, or from [`RowRef::RECENT`] on one of its runs.
    pub source: u32,
    /// The place of the block among those of the name; 0 in a run.
    pub chunk_at: u32,
    /// The row of the block or run.
    pub row: u32,
}

impl RowRef {
    /// The first source that is a run of recent rows.
    pub const RECENT: u32 = 1 << 31;

    /// The run, if the row is recent.
    pub fn run(self) -> Option<usize> {
        self.source.checked_sub(Self::RECENT).map(|run| run as usize)
    }
}

/// Where the rows of a cell lie.
#[derive(Clone, Debug)]
enum Refs {
    /// Row r of the cell is row r of one block.
    Block { source: u32, chunk_at: u32 },
    /// One by one.
    Each(Vec<RowRef>),
}

/// Decoded rows.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The name they are of.
    pub name: NameId,
    /// Persons, rising.
    pub persons: Vec<PersonId>,
    /// The first row of each person, and at the end the number of rows.
    pub starts: Vec<u32>,
    /// The time of each row; rising within a person.
    pub times: Vec<Millis>,
    refs: Refs,
}

impl Cell {
    /// A cell without rows.
    pub fn empty(name: NameId) -> Self {
        Self { name, persons: Vec::new(), starts: vec![0], times: Vec::new(), refs: Refs::Each(Vec::new()) }
    }

    /// A cell that is one whole block.
    pub fn of_block(
        name: NameId,
        persons: Vec<PersonId>,
        starts: Vec<u32>,
        times: Vec<Millis>,
        source: u32,
        chunk_at: u32,
    ) -> Self {
        Self { name, persons, starts, times, refs: Refs::Block { source, chunk_at } }
    }

    /// A cell of rows that are in the order of person and time.
    pub fn of_rows(name: NameId, rows: impl ExactSizeIterator<Item = (PersonId, Millis, RowRef)>) -> Self {
        let mut cell = Self::empty(name);
        let mut refs = Vec::with_capacity(rows.len());
        cell.starts.clear();
        cell.times.reserve(rows.len());
        for (person, time, row) in rows {
            if cell.persons.last() != Some(&person) {
                cell.persons.push(person);
                cell.starts.push(refs.len() as u32);
            }
            cell.times.push(time);
            refs.push(row);
        }
        cell.starts.push(refs.len() as u32);
        cell.refs = Refs::Each(refs);
        cell
    }

    /// The rows of several cells as one; what they are of is lost.
    pub fn union(cells: &[Arc<Self>]) -> Self {
        let mut rows = Vec::new();
        for cell in cells {
            for (rank, person) in cell.persons.iter().enumerate() {
                for row in cell.rows(rank) {
                    rows.push((*person, cell.times.get(row).copied().unwrap_or(0), cell.row_ref(row)));
                }
            }
        }
        rows.sort_by_key(|(person, time, _)| (*person, *time));
        Self::of_rows(NameId::SET, rows.into_iter())
    }

    /// The rows of the person at `rank`.
    #[inline]
    pub fn rows(&self, rank: usize) -> std::ops::Range<usize> {
        let at = |i: usize| self.starts.get(i).map_or(0, |s| *s as usize);
        at(rank)..at(rank + 1)
    }

    /// The times of the person at `rank`.
    #[inline]
    pub fn times(&self, rank: usize) -> &[Millis] {
        self.times.get(self.rows(rank)).unwrap_or(&[])
    }

    /// The rank of a person, if it is here.
    pub fn rank_of(&self, person: PersonId) -> Option<usize> {
        self.persons.binary_search(&person).ok()
    }

    /// Where a row lies.
    pub fn row_ref(&self, row: usize) -> RowRef {
        match &self.refs {
            Refs::Block { source, chunk_at } => {
                RowRef { source: *source, chunk_at: *chunk_at, row: row as u32 }
            }
            Refs::Each(refs) => refs.get(row).copied().unwrap_or(RowRef { source: 0, chunk_at: 0, row: 0 }),
        }
    }

    /// The rows that `keep` says true for.
    pub fn filter(&self, mut keep: impl FnMut(usize) -> bool) -> Self {
        let mut rows = Vec::new();
        for (rank, person) in self.persons.iter().enumerate() {
            for row in self.rows(rank) {
                if keep(row) {
                    rows.push((*person, self.times.get(row).copied().unwrap_or(0), self.row_ref(row)));
                }
            }
        }
        Self::of_rows(self.name, rows.into_iter())
    }

    /// Bytes it takes in memory, about.
    pub fn bytes(&self) -> usize {
        let refs = if let Refs::Each(refs) = &self.refs { refs.len() * size_of::<RowRef>() } else { 0 };
        self.persons.len() * 8 + self.times.len() * 8 + refs + 128
    }
}
