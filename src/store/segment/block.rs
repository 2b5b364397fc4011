//! A block: the rows of one name and one chunk of persons, in the order of person, time, identity and content.
//!
//! ```text
//! persons u32, rows u32, columns u32
//! time base i64, time unit u32
//! widths u8 x 4    narrow and wide (see patched.rs) of: time, slot
//! columns x { property u32, widths u8 x 2, base u64 }
//! starts           where each person's rows begin, see marks.rs
//! times            narrow: units since that of the person (see members.rs); wide: units since the base
//! slots            which of the person's identities (see members.rs)
//! each column      number - base
//! ```
//! Client columns hold 0 where nothing is set, else the value's code + 1; the arrival number what clock.rs makes of it; the other
//! identity of an identify its slot, if it is one of the person's, else its number + 8.
//!
//! Every array can be read at any place alone: a look-up decodes nothing else. Who its persons are stands in the person set of its
//! name (see low_ids.rs); in segments before version 004 it stands behind the columns' table. Before version 005 there is one width
//! for each array, all times are since the base, and arrival numbers and other identities are what they are.

use std::ops::Range;

use super::Version;
use super::clock::Clock;
use super::low_ids::LowIds;
use super::marks::{Marks, write_marks};
use super::members::{MemberTable, Members};
use super::patched::{Histogram, Patched, Widths, step, write_numbers, write_patched};
use crate::disk::bits::width_of;
use crate::disk::codec::Reader;
use crate::model::{IdentityId, Millis, PropertyId};

/// Bytes before the column table.
pub const BLOCK_HEADER_BYTES: usize = 28;
/// Bytes of one entry of the column table.
pub const COLUMN_ENTRY_BYTES: usize = 14;
/// Slots that the other identity of an identify can have.
const TARGET_SLOTS: u32 = 8;

/// A block, borrowed from its segment.
#[derive(Clone)]
pub struct Block<'a> {
    version: Version,
    persons: LowIds<'a>,
    members: Members<'a>,
    clock: Clock<'a>,
    starts: Marks<'a>,
    times: Patched<'a>,
    slots: Patched<'a>,
    n_persons: usize,
    n_rows: usize,
    base: Millis,
    unit: i64,
    columns: Vec<(PropertyId, Column<'a>)>,
}

/// What a block has to know of a person to read its rows.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// Its rank among the members.
    member: usize,
    /// From when on its times are counted.
    since: Millis,
}

/// One column of a block, in row order.
#[derive(Clone, Copy)]
pub struct Column<'a> {
    numbers: Patched<'a>,
    base: u64,
}

impl Column<'_> {
    /// The dictionary code of a row; `None` if the row has no value.
    #[inline]
    pub fn code(&self, row: usize) -> Option<u32> {
        (self.number(row) as u32).checked_sub(1)
    }

    #[inline]
    fn number(&self, row: usize) -> u64 {
        self.numbers.get(row).wrapping_add(self.base)
    }
}

/// What a block has to be read with.
pub struct Around<'a> {
    /// That of the segment.
    pub version: Version,
    /// Its persons; none if they are in the block, as before version 004.
    pub persons: Option<LowIds<'a>>,
    /// Those of its chunk.
    pub members: Members<'a>,
    /// That of the segment.
    pub clock: Clock<'a>,
}

impl<'a> Block<'a> {
    /// Reads the head of a block; `None` if it contradicts its length or its persons.
    pub fn parse(bytes: &'a [u8], around: Around<'a>) -> Option<Self> {
        let Around { version, persons, members, clock } = around;
        let mut reader = Reader::new(bytes);
        let (n_persons, n_rows, n_columns) =
            (reader.u32()? as usize, reader.u32()? as usize, reader.u32()? as usize);
        let base = reader.i64()?;
        let unit = i64::from(reader.u32()?);
        let (time_widths, slot_widths) =
            (Widths::read(&mut reader, version)?, Widths::read(&mut reader, version)?);
        let mut table = Vec::new();
        for _ in 0..n_columns {
            let property = PropertyId(reader.u32()?);
            table.push((property, Widths::read(&mut reader, version)?, reader.u64()?));
        }
        let rest = bytes.get(reader.offset()..)?;
        let (persons, rest) = match persons {
            Some(persons) => (persons, rest),
            None => LowIds::parse(rest, n_persons, version)?,
        };
        if persons.count() != n_persons {
            return None;
        }
        let (starts, rest) = Marks::parse(rest, n_rows, n_persons)?;
        let (times, rest) = Patched::parse(rest, n_rows, time_widths)?;
        let (slots, mut rest) = Patched::parse(rest, n_rows, slot_widths)?;
        let mut columns = Vec::with_capacity(table.len());
        for (property, widths, base) in table {
            let (numbers, behind) = Patched::parse(rest, n_rows, widths)?;
            columns.push((property, Column { numbers, base }));
            rest = behind;
        }
        Some(Self {
            version,
            persons,
            members,
            clock,
            starts,
            times,
            slots,
            n_persons,
            n_rows,
            base,
            unit,
            columns,
        })
    }

    /// Persons in it.
    pub fn persons(&self) -> usize {
        self.n_persons
    }

    /// Rows in it.
    pub fn rows(&self) -> usize {
        self.n_rows
    }

    /// The low 16 bits of the person at `rank`.
    #[inline]
    pub fn person(&self, rank: usize) -> u16 {
        self.persons.get(rank)
    }

    /// The rank of a person, if it is here.
    pub fn rank_of(&self, low: u16) -> Option<usize> {
        self.persons.find(low)
    }

    /// The low 16 bits of each person and its rows, in order.
    pub fn each_person(&self) -> impl Iterator<Item = (u16, Range<usize>)> + '_ {
        self.persons.iter().zip(self.starts.iter())
    }

    /// The rows of the person at `rank`.
    pub fn rows_of(&self, rank: usize) -> Range<usize> {
        self.starts.rows_of(rank)
    }

    /// The rank of the person of a row.
    pub fn rank_of_row(&self, row: usize) -> usize {
        self.starts.group_of(row)
    }

    /// What reading the rows of a person needs; `None` if the members do not know it, which no sound segment has.
    pub fn owner(&self, low: u16) -> Option<Owner> {
        let member = self.members.rank_of(low)?;
        Some(Owner { member, since: self.members.since(member) })
    }

    /// The time of a row of a person.
    #[inline]
    pub fn time(&self, row: usize, owner: Owner) -> Millis {
        let (units, is_wide) = self.times.find(row);
        let base = if is_wide { self.base } else { owner.since };
        base.wrapping_add((units as i64).wrapping_mul(self.unit))
    }

    /// Which of its person's identities a row arrived under.
    #[inline]
    pub fn slot(&self, row: usize) -> usize {
        // A slot is 32 bits, whatever a damaged block says.
        self.slots.get(row) as u32 as usize
    }

    /// The identity that a row of a person arrived under.
    pub fn identity(&self, row: usize, owner: Owner) -> IdentityId {
        self.members.identity(owner.member, self.slot(row))
    }

    /// The arrival number of a set or identify of this time.
    pub fn arrival(&self, row: usize, time: Millis) -> u64 {
        let stored = self.column(PropertyId::ARRIVAL).map_or(0, |column| column.number(row));
        if self.version < Version::V005 { stored } else { self.clock.restored(time, stored) }
    }

    /// The other identity of an identify of a person.
    pub fn target(&self, row: usize, owner: Owner) -> IdentityId {
        let stored = self.column(PropertyId::TARGET).map_or(0, |column| column.number(row));
        if self.version < Version::V005 {
            return stored as IdentityId;
        }
        match stored.checked_sub(u64::from(TARGET_SLOTS)) {
            Some(identity) => identity as IdentityId,
            None => self.members.identity(owner.member, stored as usize),
        }
    }

    /// The column of a property, if any row has it.
    pub fn column(&self, property: PropertyId) -> Option<Column<'a>> {
        self.columns.iter().find(|(p, _)| *p == property).map(|(_, c)| *c)
    }

    /// All columns, in the order of their properties.
    pub fn columns(&self) -> &[(PropertyId, Column<'a>)] {
        &self.columns
    }
}

/// The number that stands for the other identity of an identify of the person at `member`.
pub fn target_number(members: &MemberTable, member: Option<usize>, target: IdentityId) -> u64 {
    let slot = member.and_then(|at| members.slot(at, target)).filter(|slot| *slot < TARGET_SLOTS);
    slot.map_or(u64::from(target) + u64::from(TARGET_SLOTS), u64::from)
}

/// One row on its way into a block.
#[derive(Clone, Copy, Debug)]
pub struct BlockRow {
    /// The person.
    pub person: u32,
    /// The time.
    pub time: Millis,
    /// From when on the times of the person are counted.
    pub since: Millis,
    /// The identity, as its place among the person's identities in this segment.
    pub slot: u32,
}

/// Writes one block but for its persons. `rows` are in order.
pub fn write_block(rows: &[BlockRow], columns: Columns, out: &mut Vec<u8>) {
    let mut starts: Vec<usize> = Vec::new();
    let mut previous = None;
    for (at, row) in rows.iter().enumerate() {
        if previous != Some(row.person) {
            starts.push(at);
            previous = Some(row.person);
        }
    }
    let columns = columns.finish(rows.len());
    for n in [starts.len(), rows.len(), columns.len()] {
        out.extend_from_slice(&(n as u32).to_le_bytes());
    }
    let base = rows.iter().map(|r| r.time).min().unwrap_or(0);
    // Many clients send whole seconds: ten bits less for each time.
    let unit = if rows.iter().all(|r| r.time.wrapping_sub(base) % 1000 == 0) { 1000 } else { 1 };
    out.extend_from_slice(&base.to_le_bytes());
    out.extend_from_slice(&(unit as u32).to_le_bytes());
    let widths_at = out.len();
    out.resize(widths_at + 4, 0);
    let table_at = out.len();
    out.resize(table_at + columns.len() * COLUMN_ENTRY_BYTES, 0);
    write_marks(&starts, rows.len(), out);
    let widths =
        [write_times(rows, base, unit, out), write_numbers(rows.iter().map(|r| u64::from(r.slot)), out)];
    let bytes = widths.iter().flat_map(|widths| [widths.narrow, widths.wide]);
    out.iter_mut().skip(widths_at).zip(bytes).for_each(|(byte, width)| *byte = width);
    for (at, column) in columns.iter().enumerate() {
        let widths = write_numbers(column.values.iter().map(|v| v.wrapping_sub(column.base)), out);
        let entry = column.property.0.to_le_bytes().into_iter().chain([widths.narrow, widths.wide]);
        let entry = entry.chain(column.base.to_le_bytes());
        let place = out.iter_mut().skip(table_at + at * COLUMN_ENTRY_BYTES);
        place.zip(entry).for_each(|(byte, value)| *byte = value);
    }
}

/// Appends the times; their widths. Those that lie shortly behind the time from which their person's are counted take few bits.
fn write_times(rows: &[BlockRow], base: Millis, unit: i64, out: &mut Vec<u8>) -> Widths {
    // A division takes longer than all else here, and mostly there is nothing to divide by.
    let units = |millis: Millis| if unit == 1 { millis } else { millis / unit } as u64;
    let is_whole = |millis: Millis| unit == 1 || millis % unit == 0;
    let from_since =
        |r: &BlockRow| r.time.checked_sub(r.since).filter(|after| *after >= 0 && is_whole(*after)).map(units);
    let step = step(rows.len());
    let near = Histogram::of(rows.iter().step_by(step).filter_map(from_since)).times(step);
    let latest = rows.iter().map(|r| r.time).max().unwrap_or(base);
    let widths = near.widths(width_of(units(latest.wrapping_sub(base))), rows.len());
    let mut times = Vec::with_capacity(rows.len());
    times.extend(rows.iter().map(|r| {
        let near = if widths.narrow < widths.wide { from_since(r) } else { None };
        let near = near.filter(|units| units >> widths.narrow == 0);
        near.map_or_else(|| (units(r.time.wrapping_sub(base)), true), |units| (units, false))
    }));
    write_patched(times.iter().copied(), widths, out);
    widths
}

struct ColumnToWrite {
    property: PropertyId,
    base: u64,
    values: Vec<u64>,
}

/// The values of a block on their way into it, column by column.
#[derive(Default)]
pub struct Columns(Vec<ColumnToWrite>);

impl Columns {
    /// Adds the values (code + 1, or own number) of the row at `at`, behind those of rows before it.
    pub fn row(&mut self, at: usize, values: impl Iterator<Item = (PropertyId, u64)>) {
        // Rows of one name mostly have the same properties in the same order.
        let mut next = 0;
        for (property, value) in values {
            let here = self.0.get(next).is_some_and(|c| c.property == property);
            let place = if here { Some(next) } else { self.0.iter().position(|c| c.property == property) };
            let place = place.unwrap_or_else(|| {
                self.0.push(ColumnToWrite { property, base: 0, values: Vec::new() });
                self.0.len() - 1
            });
            next = place + 1;
            if let Some(column) = self.0.get_mut(place) {
                if column.values.len() < at {
                    column.values.resize(at, 0);
                }
                column.values.push(value);
            }
        }
    }

    /// The columns of so many rows, in the order of their properties.
    fn finish(mut self, rows: usize) -> Vec<ColumnToWrite> {
        self.0.sort_by_key(|c| c.property);
        for column in &mut self.0 {
            column.values.resize(rows, 0);
            column.base = column.values.iter().copied().min().unwrap_or(0);
        }
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::low_ids::write_low_ids;
    use super::*;

    /// Three persons, the first of whom has two identities of its own.
    fn members(out: &mut Vec<u8>) -> Members<'_> {
        let pairs = [(0, 0, 900), (0, 70_000, 950), (64, 64, 900), (70, 9, 900)];
        let pairs = pairs.map(|(person, identity, since)| (65_536 + person, 65_536 + identity, Some(since)));
        MemberTable::new(pairs.into_iter()).write(0..3, &[None; 3], out);
        Members::parse(out, Version::V005, 1, (3, 4)).unwrap()
    }

    #[test]
    fn rows_come_back_and_cut_blocks_do_not() {
        let values = [
            vec![(PropertyId(5), 3), (PropertyId::ARRIVAL, 1000), (PropertyId::TARGET, 1)],
            vec![(PropertyId::ARRIVAL, 1007), (PropertyId::TARGET, 8)],
            vec![(PropertyId::ARRIVAL, 1000), (PropertyId::TARGET, 0)],
        ];
        let row = |person, time, slot| BlockRow { person, time, since: 900, slot };
        let rows = [row(65_536, 1_000_500, 0), row(65_536, 1_000_500, 1), row(65_600, 800, 0)];
        let mut columns = Columns::default();
        values.into_iter().enumerate().for_each(|(at, values)| columns.row(at, values.into_iter()));
        let (mut out, mut ids, mut of_members) = (Vec::new(), Vec::new(), Vec::new());
        write_block(&rows, columns, &mut out);
        write_low_ids(&[0, 64], &mut ids);
        let members = members(&mut of_members);
        let parse = |bytes| {
            let persons = Some(LowIds::parse(&ids, 2, Version::V005)?.0);
            Block::parse(bytes, Around { version: Version::V005, persons, members, clock: Clock::default() })
        };
        let block = parse(&out).unwrap();
        assert_eq!(
            (block.persons(), block.rows(), block.rank_of(64), block.rank_of(1)),
            (2, 3, Some(1), None)
        );
        assert_eq!((block.rows_of(0), block.rows_of(1)), (0..2, 2..3));
        let (first, second) = (block.owner(0).unwrap(), block.owner(64).unwrap());
        assert!(block.owner(1).is_none());
        assert_eq!((block.time(1, first), block.time(2, second)), (1_000_500, 800));
        assert_eq!((block.identity(1, first), block.identity(2, second)), (135_536, 65_600));
        assert_eq!([0, 1].map(|row| block.target(row, first)), [135_536, 0]);
        assert_eq!(block.target(2, second), 65_600);
        let column = block.column(PropertyId(5)).unwrap();
        assert_eq!((column.code(0), column.code(1)), (Some(2), None));
        assert_eq!(block.arrival(1, 0), Clock::default().restored(0, 1007));
        for cut in 0..out.len() {
            assert!(parse(&out[..cut]).is_none(), "{cut}");
        }
    }

    #[test]
    fn times_near_those_of_their_person_take_few_bits() {
        for (unit, step) in [(1, 7), (1000, 1000)] {
            let since = |person: u32| 1_700_000_000_000 + i64::from(person) * 86_400_000;
            let rows: Vec<BlockRow> = (0..1000u32)
                .map(|at| {
                    let person = at / 4;
                    let time = since(person) + if at % 9 == 5 { -unit } else { i64::from(at % 4) * step };
                    BlockRow { person, time, since: since(person), slot: 0 }
                })
                .collect();
            let mut out = Vec::new();
            write_block(&rows, Columns::default(), &mut out);
            assert!(out.len() < 2000, "{}", out.len());
            let pairs = (0..250).map(|person| (person, person, Some(since(person))));
            let (mut of_members, mut ids) = (Vec::new(), Vec::new());
            MemberTable::new(pairs).write(0..250, &[None; 250], &mut of_members);
            let members = Members::parse(&of_members, Version::V005, 0, (250, 250)).unwrap();
            write_low_ids(&(0..250).collect::<Vec<_>>(), &mut ids);
            let persons = Some(LowIds::parse(&ids, 250, Version::V005).unwrap().0);
            let around = Around { version: Version::V005, persons, members, clock: Clock::default() };
            let block = Block::parse(&out, around).unwrap();
            for (at, row) in rows.iter().enumerate() {
                assert_eq!(block.time(at, block.owner(row.person as u16).unwrap()), row.time, "{at}");
            }
        }
    }
}
