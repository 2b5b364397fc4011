//! A cell: the rows of one name and one chunk of persons, decoded, in the order of person and time, whatever number of segments
//! and memtable runs they came from. Reports walk cells.

use std::sync::Arc;

use super::kept::Weighed;
use super::persons::{PersonSet, WORDS, Words, no_words};
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

/// Who is in a cell of one chunk, so that a person is found without a search.
#[derive(Clone, Debug)]
pub struct Index {
    /// Of which chunk.
    pub chunk: u32,
    /// A bit for each person.
    pub words: Words,
    /// How many persons lie before each word.
    ranks: Box<[u16; WORDS]>,
}

/// Persons from which an index is worth its 10 KiB. With debug assertions nearly every cell has one, so that the small histories
/// of tests go both ways.
const INDEX_PERSONS_MIN: usize = if cfg!(debug_assertions) { 3 } else { 512 };

impl Index {
    fn new(persons: &[PersonId]) -> Option<Self> {
        let chunk = persons.first()? >> 16;
        if persons.len() < INDEX_PERSONS_MIN || persons.last()? >> 16 != chunk {
            return None;
        }
        let (mut words, mut ranks) = (no_words(), Box::new([0; WORDS]));
        for person in persons {
            words[(person & 0xffff) as usize >> 6] |= 1 << (person & 63);
        }
        let mut rank = 0u16;
        for (slot, word) in ranks.iter_mut().zip(words.iter()) {
            *slot = rank;
            rank = rank.wrapping_add(word.count_ones() as u16);
        }
        Some(Self { chunk, words, ranks })
    }

    /// Whether a person of the chunk is here.
    #[inline]
    pub fn has(&self, person: PersonId) -> bool {
        self.words[(person & 0xffff) as usize >> 6] & 1 << (person & 63) != 0
    }

    /// The rank of the person that is this bit of this word, which is set.
    #[inline]
    pub fn rank(&self, word: usize, bit: u64) -> usize {
        let (word, before) = (word & (WORDS - 1), bit - 1);
        usize::from(self.ranks[word]) + (self.words[word] & before).count_ones() as usize
    }
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
    /// The first time of each person, where these lie far apart in `times`: most look no further.
    firsts: Option<Vec<Millis>>,
    /// The first and the last time of any row.
    pub span: (Millis, Millis),
    /// Where it is worth having.
    pub index: Option<Index>,
    refs: Refs,
}

impl Cell {
    /// A cell without rows.
    pub fn empty(name: NameId) -> Self {
        let span = (Millis::MAX, Millis::MIN);
        let (persons, times, refs) = (Vec::new(), Vec::new(), Refs::Each(Vec::new()));
        Self { name, persons, starts: vec![0], times, firsts: None, span, index: None, refs }
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
        let span = span_of(&times);
        let index = Index::new(&persons);
        let firsts = firsts_of(&persons, &starts, &times);
        Self { name, persons, starts, times, firsts, span, index, refs: Refs::Block { source, chunk_at } }
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
        cell.span = span_of(&cell.times);
        cell.index = Index::new(&cell.persons);
        cell.firsts = firsts_of(&cell.persons, &cell.starts, &cell.times);
        cell
    }

    /// Whether all of its rows lie in `from..to`.
    pub fn lies_in(&self, from: Millis, to: Millis) -> bool {
        from <= self.span.0 && self.span.1 < to
    }

    /// Its index, if it has one and is of this chunk.
    pub fn index_of(&self, chunk: u32) -> Option<&Index> {
        self.index.as_ref().filter(|index| index.chunk == chunk)
    }

    /// Adds its persons to a set.
    pub fn mark(&self, set: &mut PersonSet) {
        match (&self.index, &mut *set) {
            (Some(index), PersonSet::Chunk(chunk, words)) if *chunk == index.chunk => {
                words.iter_mut().zip(index.words.iter()).for_each(|(a, b)| *a |= b);
            }
            _ => self.persons.iter().for_each(|person| set.insert(*person)),
        }
    }

    /// Calls `visit` with the rank and the id of each of its persons in `set`, rising.
    pub fn each_in<E>(
        &self,
        set: &PersonSet,
        mut visit: impl FnMut(usize, PersonId) -> Result<(), E>,
    ) -> Result<(), E> {
        if let (Some(index), PersonSet::Chunk(chunk, words)) = (&self.index, set)
            && *chunk == index.chunk
        {
            for (word, (own, wanted)) in index.words.iter().zip(words.iter()).enumerate() {
                let mut bits = own & wanted;
                while bits != 0 {
                    let bit = bits & bits.wrapping_neg();
                    bits ^= bit;
                    let low = (word as u32) << 6 | bit.trailing_zeros();
                    visit(index.rank(word, bit), chunk << 16 | low)?;
                }
            }
            return Ok(());
        }
        for (rank, person) in self.persons.iter().enumerate() {
            if set.contains(*person) {
                visit(rank, *person)?;
            }
        }
        Ok(())
    }

    /// The rank of a person, if it is here. Persons are asked for in rising order, and `near` is where the last one was looked for.
    #[inline]
    pub fn find(&self, person: PersonId, near: &mut usize) -> Option<usize> {
        if let Some(index) = &self.index {
            let (word, bit) = ((person & 0xffff) as usize >> 6, 1u64 << (person & 63));
            let here = index.words[word] & bit != 0 && person >> 16 == index.chunk;
            return here.then(|| index.rank(word, bit));
        }
        *near += gallop(self.persons.get(*near..).unwrap_or(&[]), person);
        (self.persons.get(*near) == Some(&person)).then_some(*near)
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

    /// The first time of the person at `rank`.
    #[inline]
    pub fn first(&self, rank: usize) -> Millis {
        match &self.firsts {
            Some(firsts) => firsts.get(rank).copied(),
            None => self.starts.get(rank).and_then(|start| self.times.get(*start as usize)).copied(),
        }
        .unwrap_or(Millis::MAX)
    }

    /// The first time of the person at `rank` from `at` on.
    #[inline]
    pub fn first_from(&self, rank: usize, at: Millis) -> Option<Millis> {
        let first = self.first(rank);
        if first >= at { Some(first) } else { self.times(rank).iter().copied().find(|t| *t >= at) }
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

    /// The first row of the block that the cell is, if it is one.
    pub fn block(&self) -> Option<RowRef> {
        match self.refs {
            Refs::Block { source, chunk_at } => Some(RowRef { source, chunk_at, row: 0 }),
            Refs::Each(_) => None,
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
}

impl Weighed for Cell {
    fn bytes(&self) -> usize {
        let refs = if let Refs::Each(refs) = &self.refs { refs.len() * size_of::<RowRef>() } else { 0 };
        let index = if self.index.is_some() { WORDS * 10 } else { 0 };
        let firsts = self.firsts.as_ref().map_or(0, |firsts| firsts.len() * 8);
        self.persons.len() * 8 + self.times.len() * 8 + firsts + refs + index + 128
    }
}

/// Rows a person from which the first times are kept apart.
const FIRSTS_ROWS_MIN: usize = 2;

fn firsts_of(persons: &[PersonId], starts: &[u32], times: &[Millis]) -> Option<Vec<Millis>> {
    let first = |start: &u32| times.get(*start as usize).copied().unwrap_or(Millis::MAX);
    let far_apart = times.len() >= FIRSTS_ROWS_MIN * persons.len();
    far_apart.then(|| starts.iter().take(persons.len()).map(first).collect())
}

fn span_of(times: &[Millis]) -> (Millis, Millis) {
    times.iter().fold((Millis::MAX, Millis::MIN), |(first, last), t| (first.min(*t), last.max(*t)))
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
