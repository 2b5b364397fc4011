//! Reading what a row says: its identity, its properties, one column of many rows, and conditions on them. Conditions on stored
//! rows are decided once per distinct value that is met in a segment.

use std::collections::HashMap;
use std::sync::Arc;

use super::cell::{Cell, RowRef};
use crate::engine::Snapshot;
use crate::error::{Error, Result};
use crate::model::{IdentityId, Millis, NameId, PropertyId, ValueRef};
use crate::report::PropertyCondition;
use crate::store::lookup;
use crate::store::memtable::Run;
use crate::store::row::Row;
use crate::store::segment::Segment;
use crate::store::segment::block::{Block, Column};
use crate::store::segment::dictionary::Dictionary;

/// The rows of a snapshot.
pub struct Source {
    /// The snapshot.
    pub snapshot: Snapshot,
    runs: Vec<Arc<Run>>,
}

impl Source {
    /// Over `snapshot`.
    pub fn new(snapshot: Snapshot) -> Self {
        let runs = snapshot.runs();
        Self { snapshot, runs }
    }

    /// The runs of recent rows, as [`RowRef::run`] numbers them.
    pub fn runs(&self) -> &[Arc<Run>] {
        &self.runs
    }

    /// The recent row, if it is one.
    pub fn recent(&self, at: RowRef) -> Option<&Row> {
        self.runs.get(at.run()?)?.rows().get(at.row as usize)
    }

    fn segment(&self, at: RowRef) -> Result<&Segment> {
        let found = self.snapshot.segments.get(at.source as usize).map(Arc::as_ref);
        found.ok_or_else(|| Error::corrupt("snapshot", u64::from(at.source), "no such segment"))
    }

    fn block(&self, name: NameId, at: RowRef) -> Result<(&Segment, Block<'_>)> {
        let segment = self.segment(at)?;
        let name_at = segment.find_name(name).unwrap_or(usize::MAX);
        Ok((segment, segment.block(name_at, at.chunk_at as usize)?))
    }

    /// The identities that rows arrived under.
    pub fn identities(&self, name: NameId, rows: &[RowRef]) -> Result<Vec<IdentityId>> {
        let mut out = Vec::with_capacity(rows.len());
        let mut open: Option<(RowRef, &Segment, Block<'_>)> = None;
        for at in rows {
            if let Some(row) = self.recent(*at) {
                out.push(row.identity);
                continue;
            }
            if open.as_ref().is_none_or(|(o, ..)| (o.source, o.chunk_at) != (at.source, at.chunk_at)) {
                let (segment, block) = self.block(name, *at)?;
                open = Some((*at, segment, block));
            }
            let Some((_, segment, block)) = &open else { continue };
            let row = at.row as usize;
            out.push(block.identity(row, segment.owner_of_row(block, row)?));
        }
        Ok(out)
    }

    /// The other identity of an identify.
    pub fn target(&self, at: RowRef) -> Result<IdentityId> {
        if let Some(row) = self.recent(at) {
            return Ok(row.target);
        }
        let (segment, block) = self.block(NameId::IDENTIFY, at)?;
        let row = at.row as usize;
        Ok(block.target(row, segment.owner_of_row(&block, row)?))
    }

    /// The client's properties of a row, in the order of their ids.
    pub fn properties(&self, name: NameId, at: RowRef) -> Result<Vec<(PropertyId, ValueRef<'_>)>> {
        if let Some(row) = self.recent(at) {
            return Ok(row.properties().collect());
        }
        let (segment, block) = self.block(name, at)?;
        lookup::properties_of(segment, &block, at.row as usize)
    }

    /// For the properties of many rows of a name.
    pub fn row_reader(&self, name: NameId) -> RowReader<'_> {
        RowReader { source: self, name, open: None }
    }

    /// One column of the rows of a name.
    pub fn column(&self, name: NameId, property: PropertyId) -> ColumnReader<'_> {
        ColumnReader { source: self, name, property, open: HashMap::new(), last: None }
    }

    /// The conditions on rows of a name; `None` if no row can meet them all.
    pub fn conditions(&self, name: NameId, conditions: &[PropertyCondition]) -> Conditions<'_> {
        let list = conditions.iter().map(|condition| {
            let reader = self.snapshot.property(&condition.property).map(|p| self.column(name, p));
            OneCondition { condition: condition.clone(), reader, decided: HashMap::new() }
        });
        Conditions { list: list.collect() }
    }
}

/// What a row has in a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CellValue<'a> {
    /// Nothing.
    None,
    /// The value of a code of a segment's dictionary.
    Code {
        /// The segment.
        source: u32,
        /// The code.
        code: u32,
    },
    /// A value of a recent row.
    Recent(ValueRef<'a>),
}

/// Reads one column of many rows.
pub struct ColumnReader<'a> {
    source: &'a Source,
    name: NameId,
    property: PropertyId,
    open: HashMap<(u32, u32), Option<Column<'a>>>,
    last: Option<((u32, u32), Option<Column<'a>>)>,
}

impl<'a> ColumnReader<'a> {
    /// What `at` has.
    pub fn get(&mut self, at: RowRef) -> Result<CellValue<'a>> {
        if let Some(row) = self.source.recent(at) {
            let value = row.properties().find(|(p, _)| *p == self.property).map(|(_, v)| v);
            return Ok(value.map_or(CellValue::None, CellValue::Recent));
        }
        let column = self.column(at)?;
        let code = column.and_then(|c| c.code(at.row as usize));
        Ok(code.map_or(CellValue::None, |code| CellValue::Code { source: at.source, code }))
    }

    /// The value behind what [`ColumnReader::get`] gave.
    pub fn value(&self, value: CellValue<'a>) -> Result<Option<ValueRef<'a>>> {
        Ok(match value {
            CellValue::None => None,
            CellValue::Recent(value) => Some(value),
            CellValue::Code { source, code } => {
                let segment = self.source.segment(RowRef { source, chunk_at: 0, row: 0 })?;
                segment.dictionary(self.property)?.map(|d| d.value(code))
            }
        })
    }

    /// The column of the block that `at` lies in, which is stored.
    pub fn column(&mut self, at: RowRef) -> Result<Option<Column<'a>>> {
        let key = (at.source, at.chunk_at);
        if let Some((last, column)) = self.last
            && last == key
        {
            return Ok(column);
        }
        let column = match self.open.get(&key) {
            Some(column) => *column,
            None => {
                let (_, block) = self.source.block(self.name, at)?;
                let column = block.column(self.property);
                self.open.insert(key, column);
                column
            }
        };
        self.last = Some((key, column));
        Ok(column)
    }
}

/// Reads what many rows of a name say. Those of one block should come one after the other: it is opened once then.
pub struct RowReader<'a> {
    source: &'a Source,
    name: NameId,
    open: Option<OpenBlock<'a>>,
}

struct OpenBlock<'a> {
    /// The source, and the place of the block.
    of: (u32, u32),
    block: Block<'a>,
    columns: Vec<(PropertyId, Column<'a>, Dictionary<'a>)>,
}

impl<'a> RowReader<'a> {
    /// The arrival number of a set or identify of this time; 0 of an event.
    pub fn arrival(&mut self, at: RowRef, time: Millis) -> Result<u64> {
        if let Some(row) = self.source.recent(at) {
            return Ok(row.arrival);
        }
        if self.name.is_event() {
            return Ok(0);
        }
        Ok(self.block(at)?.block.arrival(at.row as usize, time))
    }

    /// Calls `each` with the client's properties of a row, in the order of their ids.
    pub fn properties(&mut self, at: RowRef, mut each: impl FnMut(PropertyId, ValueRef<'a>)) -> Result<()> {
        if let Some(row) = self.source.recent(at) {
            row.properties().for_each(|(property, value)| each(property, value));
            return Ok(());
        }
        for (property, column, dictionary) in &self.block(at)?.columns {
            if let Some(code) = column.code(at.row as usize) {
                each(*property, dictionary.value(code));
            }
        }
        Ok(())
    }

    fn block(&mut self, at: RowRef) -> Result<&OpenBlock<'a>> {
        let of = (at.source, at.chunk_at);
        let open = match self.open.take().filter(|open| open.of == of) {
            Some(open) => open,
            None => OpenBlock::new(self.source, self.name, at)?,
        };
        Ok(self.open.insert(open))
    }
}

impl<'a> OpenBlock<'a> {
    fn new(source: &'a Source, name: NameId, at: RowRef) -> Result<Self> {
        let (segment, block) = source.block(name, at)?;
        let mut columns = Vec::with_capacity(block.columns().len());
        for (property, column) in lookup::client_columns(&block) {
            if let Some(dictionary) = segment.dictionary(property)? {
                columns.push((property, column, dictionary));
            }
        }
        Ok(Self { of: (at.source, at.chunk_at), block, columns })
    }
}

struct OneCondition<'a> {
    condition: PropertyCondition,
    /// None if nobody ever sent the property.
    reader: Option<ColumnReader<'a>>,
    /// Per segment, whether each code that was met meets the condition.
    decided: HashMap<u32, Vec<Option<bool>>>,
}

/// Conditions that a row must all meet.
pub struct Conditions<'a> {
    list: Vec<OneCondition<'a>>,
}

impl Conditions<'_> {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether a row meets them all.
    pub fn matches(&mut self, at: RowRef) -> Result<bool> {
        for one in &mut self.list {
            if !one.matches(at)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The rows of a cell that meet them all.
    pub fn filter(&mut self, cell: &Cell) -> Result<Cell> {
        let mut failure = None;
        let kept = cell.filter(|row| match self.matches(cell.row_ref(row)) {
            Ok(keep) => keep,
            Err(error) => {
                failure.get_or_insert(error);
                false
            }
        });
        failure.map_or(Ok(kept), Err)
    }
}

impl OneCondition<'_> {
    fn matches(&mut self, at: RowRef) -> Result<bool> {
        let Some(reader) = &mut self.reader else { return Ok(self.condition.matches(None)) };
        match reader.get(at)? {
            CellValue::None => Ok(self.condition.matches(None)),
            CellValue::Recent(value) => Ok(self.condition.matches(Some(value))),
            found @ CellValue::Code { source, code } => {
                let decided = self.decided.entry(source).or_default();
                if let Some(Some(known)) = decided.get(code as usize) {
                    return Ok(*known);
                }
                let meets = reader.value(found)?.is_some_and(|value| self.condition.matches(Some(value)));
                if decided.len() <= code as usize {
                    decided.resize(code as usize + 1, None);
                }
                decided.get_mut(code as usize).into_iter().for_each(|slot| *slot = Some(meets));
                Ok(meets)
            }
        }
    }
}
