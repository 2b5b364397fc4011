//! Rows on their way into a segment, as small as they can be and still be added one by one: values are numbers (see `values`), and
//! nothing is allocated for a row. An import gathers millions of them; a memtable is brought into this form when it is flushed.
//!
//! The rows of a name lie together, in the order in which they came: a segment is written name by name, and who is next to whom in time
//! mostly is among the persons, too.

use super::memtable::Memtable;
use super::row::Row;
use super::values::Table;
use crate::model::{IdentityId, Millis, NameId};

/// Rows of one piece of memory.
const CHUNK: usize = 1 << 13;
/// Numbers before the values of a set or an identify: its arrival, low and high half, and the other identity.
const OWN: usize = 3;

/// One row, sixteen bytes.
#[derive(Clone, Copy, Debug)]
pub struct PackedRow {
    /// Low and high half.
    time: [u32; 2],
    /// Who, as it arrived.
    pub identity: IdentityId,
    /// Twice where its numbers begin in its chunk, up to those of the next row; and one if a row before it that says the same makes it
    /// a duplicate.
    from: u32,
}

impl PackedRow {
    /// When.
    #[inline]
    pub fn time(&self) -> Millis {
        (u64::from(self.time[0]) | u64::from(self.time[1]) << 32) as Millis
    }

    /// Whether it may be a duplicate of another one.
    #[inline]
    pub fn may_repeat(&self) -> bool {
        self.from & 1 == 1
    }

    #[inline]
    fn from(&self) -> usize {
        (self.from >> 1) as usize
    }
}

/// What is to be stored besides the values.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// The event, or the kind of record.
    pub name: NameId,
    /// Who, as it arrived.
    pub identity: IdentityId,
    /// When.
    pub time: Millis,
    /// Of an identify the other identity.
    pub target: IdentityId,
    /// Of a set or identify the arrival number.
    pub arrival: u64,
    /// Whether a row before it that says the same makes it a duplicate.
    pub may_repeat: bool,
}

#[derive(Debug, Default)]
struct Chunk {
    rows: Vec<PackedRow>,
    numbers: Vec<u32>,
}

impl Chunk {
    /// The numbers of its row at a place.
    #[inline]
    fn numbers(&self, row: &PackedRow, at: usize) -> &[u32] {
        let end = self.rows.get(at + 1).map_or(self.numbers.len(), PackedRow::from);
        self.numbers.get(row.from()..end).unwrap_or(&[])
    }
}

/// The rows of one name; each has a place, from 0 on.
#[derive(Debug, Default)]
pub struct RowsOfName {
    is_event: bool,
    chunks: Vec<Chunk>,
    rows: usize,
}

impl RowsOfName {
    fn push(&mut self, head: &Head, numbers: &[u32]) {
        if self.rows.is_multiple_of(CHUNK) {
            // The first may be all there is; the others mostly are alike.
            let full = self.chunks.last().map(|chunk| (chunk.rows.len(), chunk.numbers.len() * 17 / 16));
            let (rows, numbers) = full.unwrap_or_default();
            self.chunks.push(Chunk { rows: Vec::with_capacity(rows), numbers: Vec::with_capacity(numbers) });
        }
        let Some(chunk) = self.chunks.last_mut() else { return };
        let from = chunk.numbers.len();
        if !self.is_event {
            chunk.numbers.extend([head.arrival as u32, (head.arrival >> 32) as u32, head.target]);
        }
        chunk.numbers.extend_from_slice(numbers);
        chunk.rows.push(PackedRow {
            time: [head.time as u32, (head.time >> 32) as u32],
            identity: head.identity,
            from: (from as u32) << 1 | u32::from(head.may_repeat),
        });
        self.rows += 1;
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// All of them, in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = &PackedRow> + Clone {
        self.chunks.iter().flat_map(|chunk| &chunk.rows)
    }

    /// The row at a place.
    #[inline]
    pub fn row(&self, place: u32) -> Option<&PackedRow> {
        self.chunks.get(place as usize / CHUNK)?.rows.get(place as usize % CHUNK)
    }

    /// Of a row at a place its target, its arrival and the numbers of its values.
    #[inline]
    pub fn content(&self, place: u32, row: &PackedRow) -> (IdentityId, u64, &[u32]) {
        let chunk = self.chunks.get(place as usize / CHUNK);
        match chunk.map_or(&[][..], |chunk| chunk.numbers(row, place as usize % CHUNK)) {
            [low, high, target, values @ ..] if !self.is_event => {
                (*target, u64::from(*low) | u64::from(*high) << 32, values)
            }
            values => (0, 0, values),
        }
    }

    /// Marks the numbers of values that occur.
    fn mark(&self, used: &mut [bool]) {
        let own = if self.is_event { 0 } else { OWN };
        for chunk in &self.chunks {
            for (at, row) in chunk.rows.iter().enumerate() {
                for number in chunk.numbers(row, at).get(own..).unwrap_or(&[]) {
                    used.get_mut(*number as usize).into_iter().for_each(|used| *used = true);
                }
            }
        }
    }

    fn memory(&self) -> usize {
        self.rows * size_of::<PackedRow>()
            + self.chunks.iter().map(|chunk| chunk.numbers.len() * 4).sum::<usize>()
    }
}

/// Rows, by name.
#[derive(Debug, Default)]
pub struct PackedRows {
    names: Vec<RowsOfName>,
    rows: usize,
}

impl PackedRows {
    /// The rows of a memtable, whose values `table` numbers. None is a duplicate.
    pub fn of(memtable: &Memtable, table: &mut Table) -> Self {
        let mut packed = Self::default();
        let mut numbers = Vec::new();
        for row in memtable.runs().iter().flat_map(|run| run.rows()) {
            numbers.clear();
            table.numbers(&row.properties, &mut numbers);
            let Row { name, identity, time, target, arrival, .. } = *row;
            packed.push(&Head { name, identity, time, target, arrival, may_repeat: false }, &numbers);
        }
        packed
    }

    /// Adds a row with the numbers of its values.
    pub fn push(&mut self, head: &Head, numbers: &[u32]) {
        let at = head.name.0 as usize;
        if self.names.len() <= at {
            let named = (self.names.len()..=at)
                .map(|name| RowsOfName { is_event: NameId(name as u32).is_event(), ..RowsOfName::default() });
            self.names.extend(named.collect::<Vec<_>>());
        }
        if let Some(of_name) = self.names.get_mut(at) {
            of_name.push(head, numbers);
            self.rows += 1;
        }
    }

    /// The rows of one name.
    pub fn of_name(&self, name: NameId) -> Option<&RowsOfName> {
        self.names.get(name.0 as usize)
    }

    /// Those of all names, in the order of their ids.
    pub fn names(&self) -> &[RowsOfName] {
        &self.names
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Bytes that it takes in memory, about.
    pub fn memory(&self) -> usize {
        self.names.iter().map(RowsOfName::memory).sum()
    }

    /// Which numbers of values occur, among `count`.
    pub fn used(&self, count: usize) -> Vec<bool> {
        let mut used = vec![false; count];
        self.names.iter().for_each(|of_name| of_name.mark(&mut used));
        used
    }
}
