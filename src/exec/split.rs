//! Splitting: the value of each person, or of each row, that a report is split by, as a number of a table of the scope; and the
//! tallies by value, added up over scopes.

use std::collections::HashMap;
use std::sync::Arc;

use super::audience;
use super::binder::Binder;
use super::cell::{Cell, RowRef};
use super::person_values::{NOT_SET, PersonColumn, PersonProperty, ValueTable, Which};
use super::persons::PersonSet;
use super::scope::Scope;
use super::source::{CellValue, ColumnReader};
use crate::engine::Snapshot;
use crate::error::Result;
use crate::model::{Millis, NameId, PersonId, PropertyId, Value, ValueRef};
use crate::report::{Audience, By, Tally, channel};

/// What a report is split by, bound to a snapshot. Without a property nobody has a value.
#[derive(Clone, Debug)]
pub enum Split {
    /// The latest value of a person property, or its first.
    Person(Which, Option<PropertyId>),
    /// The one at entry.
    AtEntry(Option<PropertyId>),
    /// A property of a row: of the event chosen for a step, from 0, or of each event.
    Row(Option<usize>, Option<PropertyId>),
    /// Whether people are in an audience.
    Audience(Box<Audience>),
    /// What the first campaign says, or else the first referrer: a property and how its values are read, the first that has one.
    Origin([(Option<PropertyId>, Reading); 2]),
}

/// How a value says where somebody came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// It is the source.
    Source,
    /// It is the medium of a campaign.
    Medium,
    /// It is a referrer.
    Referrer,
}

impl Reading {
    fn read(self, value: &Value) -> Value {
        match self {
            Self::Source => value.clone(),
            Self::Medium => Value::Text(channel::of_medium(&value.to_string())),
            Self::Referrer => Value::from(channel::of_referrer(&value.to_string())),
        }
    }
}

impl Split {
    /// Binds what a report is split by.
    pub fn new(by: &By, binder: &mut Binder<'_>) -> Self {
        match by {
            By::Latest(name) => Self::Person(Which::Latest, binder.property(name, "by")),
            By::First(name) => Self::Person(Which::First, binder.property(name, "by")),
            By::AtEntry(name) => Self::AtEntry(binder.property(name, "by")),
            By::Step(step, name) => Self::Row(Some(*step), binder.property(name, "by")),
            By::Event(name) => Self::Row(None, binder.property(name, "by")),
            By::Audience(_, audience) => {
                binder.audience(audience);
                Self::Audience(audience.clone())
            }
            By::Source | By::Channel => {
                let (name, reading) = match by {
                    By::Source => ("Campaign Source", Reading::Source),
                    _ => ("Campaign Medium", Reading::Medium),
                };
                // Not every store has campaigns or referrers, so nobody is warned.
                let property = |name| binder.snapshot.property(name);
                Self::Origin([(property(name), reading), (property("Referrer"), Reading::Referrer)])
            }
        }
    }

    /// The names that it reads.
    pub fn names(&self, snapshot: &Snapshot, out: &mut Vec<NameId>) {
        match self {
            Self::Person(..) | Self::AtEntry(_) | Self::Origin(_) => out.push(NameId::SET),
            Self::Row(..) => {}
            Self::Audience(audience) => audience::names(audience, snapshot, out),
        }
    }
}

/// Finds the values of one scope.
pub struct Splitter<'a> {
    scope: Scope<'a>,
    /// The values met, numbered.
    pub table: ValueTable,
    way: Way<'a>,
}

enum Way<'a> {
    Nothing,
    /// A column, and for each of its numbers the one in the table.
    Person(Arc<PersonColumn>, Vec<u32>),
    AtEntry(Box<PersonProperty<'a>>, Arc<Cell>),
    Row(PropertyId, HashMap<NameId, ColumnReader<'a>>),
    /// Who is in, and the numbers of true and false.
    Audience(PersonSet, [u32; 2]),
    /// Columns, the first that has a value wins.
    Origin(Vec<(Arc<PersonColumn>, Vec<u32>)>),
}

impl<'a> Splitter<'a> {
    /// For the persons of `scope`.
    pub fn new(split: &Split, scope: &Scope<'a>, as_of: Millis) -> Result<Self> {
        let mut table = ValueTable::default();
        let way = match split {
            Split::Person(which, Some(property)) => {
                let column = scope.person_column(*property, *which, as_of)?;
                let numbers = column.values.iter().map(|value| table.number(value.as_ref()));
                let numbers = std::iter::once(NOT_SET).chain(numbers).collect();
                Way::Person(column, numbers)
            }
            Split::AtEntry(Some(property)) => {
                let reader = PersonProperty::new(scope.source(), *property);
                Way::AtEntry(Box::new(reader), scope.cell(NameId::SET)?)
            }
            Split::Row(_, Some(property)) => Way::Row(*property, HashMap::new()),
            Split::Audience(audience) => {
                let numbers = [true, false].map(|b| table.number(ValueRef::Bool(b)));
                Way::Audience(audience::decide(audience, scope, as_of)?, numbers)
            }
            Split::Origin(ways) => {
                let mut columns = Vec::new();
                for (property, reading) in ways {
                    let Some(property) = property else { continue };
                    let column = scope.person_column(*property, Which::First, as_of)?;
                    let numbers =
                        column.values.iter().map(|value| table.number(reading.read(value).as_ref()));
                    let numbers = std::iter::once(NOT_SET).chain(numbers).collect();
                    columns.push((column, numbers));
                }
                Way::Origin(columns)
            }
            Split::Person(_, None) | Split::AtEntry(None) | Split::Row(_, None) => Way::Nothing,
        };
        Ok(Self { scope: *scope, table, way })
    }

    /// How many of some people have each value, by its number. For values that do not depend on entry or row.
    pub fn count(&mut self, people: &PersonSet) -> Result<Vec<(u32, u64)>> {
        if matches!(self.way, Way::Nothing) {
            let all = Some((NOT_SET, people.len())).filter(|(_, count)| *count > 0);
            return Ok(all.into_iter().collect());
        }
        let mut counts: HashMap<u32, u64> = HashMap::new();
        let columns = match &self.way {
            Way::Person(column, numbers) => vec![(column, numbers)],
            Way::Origin(columns) => columns.iter().map(|(column, numbers)| (column, numbers)).collect(),
            _ => Vec::new(),
        };
        if !columns.is_empty() && self.scope.chunk.is_some() {
            let (mut rest, mut left) = (people.clone(), people.len());
            let last = columns.len() - 1;
            for (at, (column, numbers)) in columns.into_iter().enumerate() {
                left -= count_column(column, numbers, &mut rest, at < last, &mut counts);
            }
            *counts.entry(NOT_SET).or_default() += left;
        } else {
            let mut by_number: Vec<u64> = Vec::new();
            for person in people {
                let number = self.number(person, Millis::MAX, None)? as usize;
                if by_number.len() <= number {
                    by_number.resize(number + 1, 0);
                }
                by_number.get_mut(number).into_iter().for_each(|count| *count += 1);
            }
            counts = (0..).zip(by_number).collect();
        }
        Ok(counts.into_iter().filter(|(_, count)| *count > 0).collect())
    }

    /// Calls `put` with the number of the value of each person of a set, rising. For values that do not depend on entry or row.
    pub fn each_number(&mut self, persons: &PersonSet, mut put: impl FnMut(u32)) -> Result<()> {
        if let Way::Person(column, numbers) = &self.way {
            let number = |person| numbers.get(column.number(person) as usize).copied().unwrap_or(NOT_SET);
            persons.iter().for_each(|person| put(number(person)));
            return Ok(());
        }
        for person in persons {
            put(self.number(person, Millis::MAX, None)?);
        }
        Ok(())
    }

    /// Whether values depend on when somebody entered, or on a row.
    pub fn at_entry(&self) -> bool {
        matches!(self.way, Way::AtEntry(..) | Way::Row(..))
    }

    /// The number of the value of a person who entered at `entry`, or of a row of theirs.
    pub fn number(&mut self, person: PersonId, entry: Millis, row: Option<(NameId, RowRef)>) -> Result<u32> {
        match &mut self.way {
            Way::Nothing => Ok(NOT_SET),
            Way::Person(column, numbers) => {
                Ok(numbers.get(column.number(person) as usize).copied().unwrap_or(NOT_SET))
            }
            Way::AtEntry(reader, cell) => {
                let Some(rank) = cell.rank_of(person) else { return Ok(NOT_SET) };
                let found = reader.find(cell, rank, Which::Latest, entry)?;
                if found == CellValue::None { Ok(NOT_SET) } else { reader.number(found, &mut self.table) }
            }
            Way::Row(property, readers) => {
                let Some((name, at)) = row else { return Ok(NOT_SET) };
                let source = self.scope.source();
                let reader = readers.entry(name).or_insert_with(|| source.column(name, *property));
                let found = reader.get(at)?;
                self.table.number_of(*property, reader, found)
            }
            Way::Origin(columns) => {
                let number = |(column, numbers): &(Arc<PersonColumn>, Vec<u32>)| {
                    numbers.get(column.number(person) as usize).copied().filter(|n| *n != NOT_SET)
                };
                Ok(columns.iter().find_map(number).unwrap_or(NOT_SET))
            }
            Way::Audience(inside, [yes, no]) => Ok(if inside.contains(person) { *yes } else { *no }),
        }
    }
}

/// Counts those of `rest` who have a value in a column, by the number of the value, and if they are not to be counted again takes
/// them out. Returns how many they are.
fn count_column(
    column: &PersonColumn,
    numbers: &[u32],
    rest: &mut PersonSet,
    take_out: bool,
    counts: &mut HashMap<u32, u64>,
) -> u64 {
    let mut all = 0;
    if let Some(sets) = column.sets() {
        for (set, number) in sets.iter().zip(numbers.iter().skip(1)) {
            let count = set.shared(rest);
            *counts.entry(*number).or_default() += count;
            all += count;
        }
        sets.iter().filter(|_| take_out).for_each(|set| rest.minus(set));
        return all;
    }
    let mut counted = PersonSet::none(rest.chunk());
    for person in &*rest {
        let number = numbers.get(column.number(person) as usize).copied().unwrap_or(NOT_SET);
        if number != NOT_SET {
            *counts.entry(number).or_default() += 1;
            counted.insert(person);
        }
    }
    rest.minus(&counted);
    counted.len()
}

/// Tallies by value.
#[derive(Debug)]
pub struct Groups<T>(HashMap<Option<Value>, T>);

impl<T> Default for Groups<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Tally> Groups<T> {
    /// The tallies of a scope by the numbers of its table.
    pub fn of_numbers(tallies: Vec<T>, table: &ValueTable) -> Self {
        let named = tallies.into_iter().enumerate();
        Self(named.map(|(number, tally)| (table.value(number as u32).cloned(), tally)).collect())
    }

    /// Adds those of another scope.
    pub fn merge(&mut self, other: Self) -> Result<()> {
        for (value, tally) in other.0 {
            match self.0.entry(value) {
                std::collections::hash_map::Entry::Occupied(mut known) => known.get_mut().merge(tally)?,
                std::collections::hash_map::Entry::Vacant(new) => {
                    new.insert(tally);
                }
            }
        }
        Ok(())
    }

    /// Each value with its tally.
    pub fn into_vec(self) -> Vec<(Option<Value>, T)> {
        self.0.into_iter().collect()
    }
}
