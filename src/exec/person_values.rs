//! A person property over many persons: its latest value, its first, or the one at a moment. Values are numbered in a table of
//! the query, so that groups are compared by number.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::cell::Cell;
use super::kept::Weighed;
use super::persons::{PersonSet, WORDS_BYTES};
use super::source::{CellValue, ColumnReader, RowReader, Source};
use crate::error::Result;
use crate::model::{Millis, NameId, PersonId, PropertyId, Value, ValueRef};

/// Which value of a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Which {
    /// The one set last.
    Latest,
    /// The one set first.
    First,
}

/// The distinct values that a query has met, numbered from 1; 0 stands for no value.
#[derive(Debug, Default)]
pub struct ValueTable {
    values: Vec<Value>,
    numbers: HashMap<Value, u32>,
    /// By property and segment the number of each code, so that a stored value is looked at once.
    of_code: Vec<(PropertyId, u32, Vec<u32>)>,
}

/// No value.
pub const NOT_SET: u32 = 0;

impl ValueTable {
    /// The number of a value.
    pub fn number(&mut self, value: ValueRef<'_>) -> u32 {
        let value = value.to_owned();
        if let Some(number) = self.numbers.get(&value) {
            return *number;
        }
        self.values.push(value.clone());
        self.numbers.insert(value, self.values.len() as u32);
        self.values.len() as u32
    }

    /// The number of what a column has.
    pub fn number_of<'a>(
        &mut self,
        property: PropertyId,
        reader: &ColumnReader<'a>,
        found: CellValue<'a>,
    ) -> Result<u32> {
        let CellValue::Code { source, code } = found else {
            return Ok(reader.value(found)?.map_or(NOT_SET, |value| self.number(value)));
        };
        // A handful of segments: a list is quicker than a map.
        let list = match self.of_code.iter().position(|(p, s, _)| (*p, *s) == (property, source)) {
            Some(list) => list,
            None => {
                self.of_code.push((property, source, Vec::new()));
                self.of_code.len() - 1
            }
        };
        let known = self.of_code.get(list).and_then(|(.., codes)| codes.get(code as usize)).copied();
        if let Some(number) = known.filter(|n| *n != NOT_SET) {
            return Ok(number);
        }
        let number = reader.value(found)?.map_or(NOT_SET, |value| self.number(value));
        if let Some((.., codes)) = self.of_code.get_mut(list) {
            if codes.len() <= code as usize {
                codes.resize(code as usize + 1, NOT_SET);
            }
            if let Some(slot) = codes.get_mut(code as usize) {
                *slot = number;
            }
        }
        Ok(number)
    }

    /// The value of a number.
    pub fn value(&self, number: u32) -> Option<&Value> {
        self.values.get((number as usize).checked_sub(1)?)
    }
}

/// Reads one person property from cells of `set` rows.
pub struct PersonProperty<'a> {
    property: PropertyId,
    values: ColumnReader<'a>,
    rows: RowReader<'a>,
}

impl<'a> PersonProperty<'a> {
    /// Of `property`.
    pub fn new(source: &'a Source, property: PropertyId) -> Self {
        let (values, rows) = (source.column(NameId::SET, property), source.row_reader(NameId::SET));
        Self { property, values, rows }
    }

    /// What the person at `rank` of a cell of `set` rows has, as of `as_of`; and the reader's view of it.
    pub fn find(&mut self, cell: &Cell, rank: usize, which: Which, as_of: Millis) -> Result<CellValue<'a>> {
        let rows = cell.rows(rank);
        let times = cell.times(rank);
        let seen = rows.start..rows.start + times.partition_point(|t| *t <= as_of);
        match which {
            Which::Latest => self.winner(cell, seen.rev(), |arrival, best| arrival > best),
            Which::First => self.winner(cell, seen, |arrival, best| arrival < best),
        }
    }

    /// The value of the first row that has one; among rows of the same time the one whose arrival is better.
    fn winner(
        &mut self,
        cell: &Cell,
        rows: impl Iterator<Item = usize>,
        better: impl Fn(u64, u64) -> bool,
    ) -> Result<CellValue<'a>> {
        let mut best: Option<(Millis, Option<u64>, usize, CellValue<'a>)> = None;
        for row in rows {
            let time = cell.times.get(row).copied().unwrap_or(0);
            if best.as_ref().is_some_and(|b| b.0 != time) {
                break;
            }
            let value = self.values.get(cell.row_ref(row))?;
            if value == CellValue::None {
                continue;
            }
            match &mut best {
                None => best = Some((time, None, row, value)),
                Some((_, known, at, held)) => {
                    // Arrivals are read only where there is a tie.
                    let other = match known {
                        Some(arrival) => *arrival,
                        None => self.rows.arrival(cell.row_ref(*at), time)?,
                    };
                    let arrival = self.rows.arrival(cell.row_ref(row), time)?;
                    let wins = better(arrival, other);
                    *known = Some(if wins { arrival } else { other });
                    if wins {
                        (*at, *held) = (row, value);
                    }
                }
            }
        }
        Ok(best.map_or(CellValue::None, |b| b.3))
    }

    /// Its number in `table`.
    pub fn number(&self, found: CellValue<'a>, table: &mut ValueTable) -> Result<u32> {
        table.number_of(self.property, &self.values, found)
    }
}

/// One person property of all persons of a cell.
#[derive(Debug, Default)]
pub struct PersonColumn {
    /// The values that occur, numbered from 1 by their place.
    pub values: Vec<Value>,
    /// The number of each person's value.
    numbers: Numbers,
    /// The latest time of any row: as of then and later, the column is the same.
    pub last_time: Millis,
    /// Of few values the persons who have each, made when they are first asked for.
    sets: OnceLock<Vec<PersonSet>>,
}

/// Numbers of persons: a report looks up one after the other, and most properties of people have few values.
#[derive(Debug)]
enum Numbers {
    /// Of all persons from one on, in a byte each, where that is enough.
    Bytes(PersonId, Vec<u8>),
    /// The same in four bytes each.
    Wide(PersonId, Vec<u32>),
    /// Of persons who lie far apart: who, rising, and the numbers.
    Sparse(Vec<PersonId>, Vec<u32>),
}

/// Ids from the first to the last person, for each person there is, above which they lie far apart.
const FAR_APART: usize = 16;

impl Default for Numbers {
    fn default() -> Self {
        Self::Bytes(0, Vec::new())
    }
}

impl Numbers {
    /// Of persons, rising, and the number of each.
    fn new(persons: &[PersonId], numbers: Vec<u32>) -> Self {
        let (Some(first), Some(last)) = (persons.first().copied(), persons.last().copied()) else {
            return Self::default();
        };
        let count = (last - first) as usize + 1;
        if count > persons.len() * FAR_APART {
            return Self::Sparse(persons.to_vec(), numbers);
        }
        let places = persons.iter().map(|person| (person - first) as usize);
        if numbers.iter().all(|number| u8::try_from(*number).is_ok()) {
            let mut bytes = vec![0; count];
            for (place, number) in places.zip(numbers) {
                bytes[place] = number as u8;
            }
            return Self::Bytes(first, bytes);
        }
        let mut wide = vec![NOT_SET; count];
        for (place, number) in places.zip(numbers) {
            wide[place] = number;
        }
        Self::Wide(first, wide)
    }

    #[inline]
    fn of(&self, person: PersonId) -> Option<u32> {
        let from = |first: PersonId| person.checked_sub(first).map(|place| place as usize);
        match self {
            Self::Bytes(first, bytes) => bytes.get(from(*first)?).map(|number| u32::from(*number)),
            Self::Wide(first, wide) => wide.get(from(*first)?).copied(),
            Self::Sparse(persons, numbers) => numbers.get(persons.binary_search(&person).ok()?).copied(),
        }
    }

    /// The first and the last person.
    fn ends(&self) -> Option<(PersonId, PersonId)> {
        let until = |first: PersonId, count: usize| Some((first, first + count.checked_sub(1)? as u32));
        match self {
            Self::Bytes(first, bytes) => until(*first, bytes.len()),
            Self::Wide(first, wide) => until(*first, wide.len()),
            Self::Sparse(persons, _) => persons.first().copied().zip(persons.last().copied()),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Bytes(_, bytes) => bytes.len(),
            Self::Wide(_, wide) => wide.len() * size_of::<u32>(),
            Self::Sparse(persons, _) => persons.len() * 2 * size_of::<u32>(),
        }
    }
}

/// Values up to which a column has a set of persons for each.
const SETS_MAX: usize = 32;

impl PersonColumn {
    /// Reads `property` from a cell of `set` rows, as of `as_of`.
    pub fn read(
        source: &Source,
        cell: &Cell,
        property: PropertyId,
        which: Which,
        as_of: Millis,
    ) -> Result<Self> {
        let mut numbers = vec![NOT_SET; cell.persons.len()];
        let mut reader = PersonProperty::new(source, property);
        let mut table = ValueTable::default();
        for (rank, slot) in numbers.iter_mut().enumerate() {
            let found = reader.find(cell, rank, which, as_of)?;
            if found != CellValue::None {
                *slot = reader.number(found, &mut table)?;
            }
        }
        let last_time = cell.times.iter().copied().max().unwrap_or(Millis::MIN);
        let numbers = Numbers::new(&cell.persons, numbers);
        Ok(Self { values: table.values, numbers, last_time, sets: OnceLock::new() })
    }

    /// The number of a person's value.
    #[inline]
    pub fn number(&self, person: PersonId) -> u32 {
        self.numbers.of(person).unwrap_or(NOT_SET)
    }

    /// The chunk, where the values are few and all persons of one.
    fn chunk_of_sets(&self) -> Option<u32> {
        let (first, last) = self.numbers.ends().unwrap_or((0, 0));
        (self.values.len() <= SETS_MAX && first >> 16 == last >> 16).then_some(first >> 16)
    }

    /// The persons who have each of the values, if these are few and the column is of one chunk.
    pub fn sets(&self) -> Option<&[PersonSet]> {
        let chunk = self.chunk_of_sets()?;
        let (first, last) = self.numbers.ends().unwrap_or((0, 0));
        Some(self.sets.get_or_init(|| {
            let mut sets = vec![PersonSet::none(Some(chunk)); self.values.len()];
            for person in first..=last {
                let number = self.number(person) as usize;
                if let Some(set) = number.checked_sub(1).and_then(|at| sets.get_mut(at)) {
                    set.insert(person);
                }
            }
            sets
        }))
    }
}

impl Weighed for PersonColumn {
    fn bytes(&self) -> usize {
        // The sets are made later, if at all.
        let sets = self.chunk_of_sets().map_or(0, |_| self.values.len() * WORDS_BYTES);
        self.numbers.bytes() + self.values.len() * 64 + sets
    }
}
