//! A block: the rows of one name and one chunk of persons, in the order of person, time, identity and content.
//!
//! ```text
//! persons u32, rows u32, columns u32
//! time base i64, time unit u32           time of row r = base + unit * packed value
//! widths u8 x 2                          bits of: time, slot
//! columns x { property u32, width u8, base u64 }
//! starts           where each person's rows begin, see marks.rs
//! times            packed
//! slots            packed, which of the person's identities (see members.rs)
//! each column      packed: 0 = not set, else the value's code + 1; for the store's own columns value - base
//! ```
//! Every array can be read at any place alone: a look-up decodes nothing else. Who its persons are stands in the person set of its
//! name (see low_ids.rs); in segments before version 004 it stands behind the columns' table.

use super::low_ids::{LowIds, Sets};
use super::marks::{Marks, write_marks};
use crate::disk::bits::{Packed, pack, width_of};
use crate::disk::codec::Reader;
use crate::model::{Millis, PropertyId};

/// Bytes before the column table.
pub const BLOCK_HEADER_BYTES: usize = 26;
/// Bytes of one entry of the column table.
pub const COLUMN_ENTRY_BYTES: usize = 13;

/// A block, borrowed from its segment.
#[derive(Clone)]
pub struct Block<'a> {
    persons: LowIds<'a>,
    starts: Marks<'a>,
    times: Packed<'a>,
    slots: Packed<'a>,
    n_persons: usize,
    n_rows: usize,
    base: Millis,
    unit: i64,
    columns: Vec<(PropertyId, Column<'a>)>,
}

/// One column of a block, in row order.
#[derive(Clone, Copy)]
pub struct Column<'a> {
    packed: Packed<'a>,
    base: u64,
}

impl Column<'_> {
    /// The dictionary code of a row; `None` if the row has no value.
    #[inline]
    pub fn code(&self, row: usize) -> Option<u32> {
        (self.packed.get(row) as u32).checked_sub(1)
    }

    /// The number of a row, in the store's own columns.
    #[inline]
    pub fn raw(&self, row: usize) -> u64 {
        self.packed.get(row).wrapping_add(self.base)
    }
}

impl<'a> Block<'a> {
    /// Reads the head of a block with these persons, or with its own; `None` if it contradicts its length or its persons.
    pub fn parse(bytes: &'a [u8], persons: Option<LowIds<'a>>) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let (n_persons, n_rows, n_columns) =
            (reader.u32()? as usize, reader.u32()? as usize, reader.u32()? as usize);
        let base = reader.i64()?;
        let unit = i64::from(reader.u32()?);
        let [time_width, slot_width]: [u8; 2] = *reader.take(2)?.first_chunk()?;
        let table = reader.take(n_columns.checked_mul(COLUMN_ENTRY_BYTES)?)?;
        let rest = bytes.get(reader.offset()..)?;
        let (persons, rest) = match persons {
            Some(persons) => (persons, rest),
            None => LowIds::parse(rest, n_persons, Sets::Listed)?,
        };
        if persons.count() != n_persons {
            return None;
        }
        let (starts, mut rest) = Marks::parse(rest, n_rows, n_persons)?;
        let mut array = |count: usize, width: u8| -> Option<Packed<'a>> {
            let length = crate::disk::bits::packed_len(count, width)?;
            let packed = Packed::new(rest, count, width)?;
            rest = rest.get(length..)?;
            Some(packed)
        };
        let times = array(n_rows, time_width)?;
        let slots = array(n_rows, slot_width)?;
        let mut entries = Reader::new(table);
        let mut columns = Vec::with_capacity(n_columns);
        for _ in 0..n_columns {
            let (property, width, base) = (entries.u32()?, entries.u8()?, entries.u64()?);
            columns.push((PropertyId(property), Column { packed: array(n_rows, width)?, base }));
        }
        Some(Self { persons, starts, times, slots, n_persons, n_rows, base, unit, columns })
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
    pub fn each_person(&self) -> impl Iterator<Item = (u16, std::ops::Range<usize>)> + '_ {
        self.persons.iter().zip(self.starts.iter())
    }

    /// The rows of the person at `rank`.
    pub fn rows_of(&self, rank: usize) -> std::ops::Range<usize> {
        self.starts.rows_of(rank)
    }

    /// The rank of the person of a row.
    pub fn rank_of_row(&self, row: usize) -> usize {
        self.starts.group_of(row)
    }

    /// The time of a row.
    #[inline]
    pub fn time(&self, row: usize) -> Millis {
        self.base.wrapping_add((self.times.get(row) as i64).wrapping_mul(self.unit))
    }

    /// Which of its person's identities a row arrived under.
    #[inline]
    pub fn slot(&self, row: usize) -> usize {
        self.slots.get(row) as usize
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

/// One row on its way into a block.
#[derive(Clone, Copy, Debug)]
pub struct BlockRow {
    /// The person.
    pub person: u32,
    /// The time.
    pub time: Millis,
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
    let base = rows.iter().map(|r| r.time).min().unwrap_or(0);
    // Many clients send whole seconds: ten bits less for each time.
    let unit = if rows.iter().all(|r| (r.time - base) % 1000 == 0) { 1000 } else { 1 };
    let time_of = |r: &BlockRow| ((r.time - base) / unit) as u64;
    let time_width = width_of(rows.iter().map(time_of).max().unwrap_or(0));
    let slot_width = width_of(rows.iter().map(|r| u64::from(r.slot)).max().unwrap_or(0));
    let columns = columns.finish(rows.len());

    for n in [starts.len(), rows.len(), columns.len()] {
        out.extend_from_slice(&(n as u32).to_le_bytes());
    }
    out.extend_from_slice(&base.to_le_bytes());
    out.extend_from_slice(&(unit as u32).to_le_bytes());
    out.extend_from_slice(&[time_width, slot_width]);
    for column in &columns {
        out.extend_from_slice(&column.property.0.to_le_bytes());
        out.push(column.width);
        out.extend_from_slice(&column.base.to_le_bytes());
    }
    write_marks(&starts, rows.len(), out);
    pack(rows.iter().map(time_of), time_width, out);
    pack(rows.iter().map(|r| u64::from(r.slot)), slot_width, out);
    for column in &columns {
        pack(column.values.iter().map(|v| v.wrapping_sub(column.base)), column.width, out);
    }
}

struct ColumnToWrite {
    property: PropertyId,
    width: u8,
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
                self.0.push(ColumnToWrite { property, width: 0, base: 0, values: Vec::new() });
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
            // The store's own columns are set on every row, so the smallest value can be taken off.
            let own = matches!(column.property, PropertyId::ARRIVAL | PropertyId::TARGET);
            column.base = if own { column.values.iter().copied().min().unwrap_or(0) } else { 0 };
            column.width = width_of(column.values.iter().map(|v| v - column.base).max().unwrap_or(0));
        }
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::low_ids::write_low_ids;
    use super::*;

    #[test]
    fn rows_come_back_and_cut_blocks_do_not() {
        let values = [
            vec![(PropertyId(5), 3), (PropertyId::ARRIVAL, 1000)],
            vec![(PropertyId::ARRIVAL, 1007)],
            vec![(PropertyId::ARRIVAL, 1000)],
        ];
        let rows = [
            BlockRow { person: 65_536, time: 1_000_500, slot: 0 },
            BlockRow { person: 65_536, time: 1_000_500, slot: 2 },
            BlockRow { person: 65_600, time: 900, slot: 1 },
        ];
        let mut columns = Columns::default();
        values.into_iter().enumerate().for_each(|(at, values)| columns.row(at, values.into_iter()));
        let mut out = Vec::new();
        write_block(&rows, columns, &mut out);
        let mut ids = Vec::new();
        write_low_ids(&[0, 64], &mut ids);
        let persons = LowIds::parse(&ids, 2, Sets::Bits).map(|(persons, _)| persons);
        let block = Block::parse(&out, persons).unwrap();
        assert_eq!(
            (block.persons(), block.rows(), block.rank_of(64), block.rank_of(1)),
            (2, 3, Some(1), None)
        );
        assert_eq!((block.rows_of(0), block.rows_of(1)), (0..2, 2..3));
        assert_eq!((block.time(1), block.time(2), block.slot(1)), (1_000_500, 900, 2));
        let column = block.column(PropertyId(5)).unwrap();
        assert_eq!((column.code(0), column.code(1)), (Some(2), None));
        assert_eq!(block.column(PropertyId::ARRIVAL).unwrap().raw(1), 1007);
        for cut in 0..out.len() {
            assert!(Block::parse(&out[..cut], persons).is_none(), "{cut}");
        }
    }
}
