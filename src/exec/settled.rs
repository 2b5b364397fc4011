//! The settled part of a snapshot: the rows of its segments under the persons of one identity version, decoded cell by cell on
//! demand and kept, within a bound, with what is made of them. What has happened since (recent rows, later merges) is small and is laid over it
//! (see overlay.rs); when it is no longer small, a new settled part is begun.

use std::sync::{Arc, Mutex, PoisonError};

use roaring::RoaringBitmap;
use rustc_hash::FxHashMap as HashMap;

use super::active::Active;
use super::amounts::{CellAmounts, Numbers};
use super::cell::{Cell, RowRef};
use super::kept::{Kept, Weighed};
use super::person_values::{PersonColumn, Which};
use super::persons::{PersonSet, WORDS_BYTES, Words, no_words};
use super::source::Source;
use crate::engine::{Opening, Snapshot};
use crate::error::{Error, Result};
use crate::model::{IdentityId, Millis, NameId, PersonId, PropertyId};
use crate::store::persons::Persons;
use crate::store::segment::Segment;
use crate::store::segment::merge::{Found, find_movers, gather, moved_since};

/// Segments under one identity version.
pub struct Settled {
    /// The opening of the store that it was read in.
    pub opening: Opening,
    /// The snapshot epoch that the segments are of.
    pub epoch: u64,
    /// The identity version.
    pub version: u32,
    segments: Arc<[Arc<Segment>]>,
    persons: Persons,
    /// Per segment, the persons it stores whose identities have moved since it was written.
    moved: Vec<RoaringBitmap>,
    /// Per name, the rows of such persons, by the person of `version`. To find them again for each cell would take too long.
    movers: Mutex<HashMap<NameId, Arc<Vec<Found>>>>,
    cells: Kept<(NameId, u32)>,
    made: Kept<Made>,
}

/// What is made of rows, of the persons of a chunk where it has one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Made {
    /// The rows of a name that some persons have.
    RowsOf(NameId),
    /// A property of people.
    Column(PropertyId, Which, u32),
    /// The properties that any row of a name has.
    Properties(NameId),
    /// In a segment the numbers among the values of a property.
    Numbers(u32, PropertyId),
    /// The amounts of the rows of a cell, or that they do not fit.
    Amounts(NameId, PropertyId, u32),
    /// Who is a person.
    Alive(u32),
    /// When people were seen.
    Seen(u32),
    /// In which hours they were.
    Active(u32),
}

/// The rows of a name that some persons have.
#[derive(Default)]
pub struct RowsOf {
    persons: RoaringBitmap,
    /// In the order of person and time.
    pub rows: Vec<Found>,
}

impl Weighed for RowsOf {
    fn bytes(&self) -> usize {
        self.rows.len() * size_of::<Found>() + self.persons.serialized_size()
    }
}

/// When the persons of a chunk did anything.
struct Seen {
    /// One entry for each person and segment, and for each row of those who have moved: the low bits of the id, the first and the
    /// last time.
    lows: Vec<u16>,
    spans: Vec<(Millis, Millis)>,
    /// Everybody.
    all: Words,
    /// The least and the greatest first time, and the greatest last.
    bounds: (Millis, Millis, Millis),
}

impl Seen {
    /// The persons of `chunk` with an event in `from..to`, and those of whom the spans do not tell because they lie around it.
    fn within(&self, chunk: u32, from: Millis, to: Millis) -> (PersonSet, PersonSet) {
        let mut found = PersonSet::none(Some(chunk));
        let mut around = PersonSet::none(Some(chunk));
        // People get their ids in the order in which they come, so that of most chunks it is the same for everybody.
        let (least, greatest, last) = self.bounds;
        if from <= least && greatest < to {
            return (PersonSet::Chunk(chunk, self.all.clone()), around);
        }
        if last < from || to <= least {
            return (found, around);
        }
        for (low, (first, last)) in self.lows.iter().zip(&self.spans) {
            let person = chunk << 16 | u32::from(*low);
            if (from..to).contains(first) || (from..to).contains(last) {
                found.insert(person);
            } else if *first < from && *last >= to {
                around.insert(person);
            }
        }
        around.minus(&found);
        (found, around)
    }
}

impl Weighed for Seen {
    fn bytes(&self) -> usize {
        self.lows.len() * size_of::<u16>() + self.spans.len() * size_of::<(Millis, Millis)>() + WORDS_BYTES
    }
}

impl Weighed for Vec<PropertyId> {
    fn bytes(&self) -> usize {
        self.len() * size_of::<PropertyId>()
    }
}

impl Weighed for Words {
    fn bytes(&self) -> usize {
        WORDS_BYTES
    }
}

impl Weighed for Option<Arc<CellAmounts>> {
    fn bytes(&self) -> usize {
        self.as_ref().map_or(0, |amounts| amounts.bytes())
    }
}

impl Settled {
    /// Begins with the identity version of `snapshot`, keeping so many bytes of cells, and half of that of what is made of them.
    pub fn new(snapshot: &Snapshot, most: usize) -> Self {
        let persons = snapshot.persons.clone();
        let moved = snapshot.segments.iter().map(|s| moved_since(&persons, s.identity_version())).collect();
        Self {
            opening: snapshot.opening,
            epoch: snapshot.epoch,
            version: persons.version(),
            segments: Arc::clone(&snapshot.segments),
            persons,
            moved,
            movers: Mutex::default(),
            cells: Kept::new(most),
            made: Kept::new(most / 2),
        }
    }

    /// One person property of the persons of a chunk, as of `as_of`. It is kept as of the end of time, which nearly all
    /// reports ask for.
    pub fn person_column(
        &self,
        source: &Source,
        property: PropertyId,
        which: Which,
        chunk: u32,
        as_of: Millis,
    ) -> Result<Arc<PersonColumn>> {
        let column = self.made.get_or(Made::Column(property, which, chunk), || {
            let cell = self.passing_cell(NameId::SET, chunk)?;
            PersonColumn::read(source, &cell, property, which, Millis::MAX)
        })?;
        if as_of >= column.last_time {
            return Ok(column);
        }
        let cell = self.passing_cell(NameId::SET, chunk)?;
        PersonColumn::read(source, &cell, property, which, as_of).map(Arc::new)
    }

    /// The chunks in which a name has rows, rising.
    pub fn chunks(&self, name: NameId) -> Result<Vec<u32>> {
        let mut chunks = Vec::new();
        let movers = self.movers(name)?;
        let mut rest = movers.as_slice();
        while let Some(chunk) = rest.first().map(|found| found.person >> 16) {
            chunks.push(chunk);
            rest = rest.get(rest.partition_point(|found| found.person >> 16 <= chunk)..).unwrap_or(&[]);
        }
        for segment in self.segments.iter() {
            let entry = segment.find_name(name).and_then(|at| segment.name_entry(at));
            chunks.extend(entry.into_iter().flat_map(|e| e.chunks.iter().map(|c| c.chunk)));
        }
        chunks.sort_unstable();
        chunks.dedup();
        Ok(chunks)
    }

    /// The persons who have rows of a name, from the bitmaps of the segments alone.
    pub fn persons(&self, name: NameId) -> Result<RoaringBitmap> {
        let mut all: RoaringBitmap = self.movers(name)?.iter().map(|f| f.person).collect();
        for (segment, moved) in self.segments.iter().zip(&self.moved) {
            if let Some(name_at) = segment.find_name(name) {
                all |= segment.persons(name_at)? - moved;
            }
        }
        Ok(all)
    }

    /// The properties that any row of a name has, from the heads of its blocks.
    pub fn properties(&self, name: NameId) -> Result<Arc<Vec<PropertyId>>> {
        self.made.get_or(Made::Properties(name), || {
            let mut found = Vec::new();
            for segment in self.segments.iter() {
                let Some(name_at) = segment.find_name(name) else { continue };
                let chunks = segment.name_entry(name_at).map_or(0, |entry| entry.chunks.len());
                for chunk_at in 0..chunks {
                    found.extend(segment.block(name_at, chunk_at)?.columns().iter().map(|(p, _)| *p));
                }
                found.sort_unstable();
                found.dedup();
            }
            Ok(found)
        })
    }

    /// The rows of a name in a chunk.
    pub fn cell(&self, name: NameId, chunk: u32) -> Result<Arc<Cell>> {
        self.cells.get_or((name, chunk), || self.decode(name, chunk))
    }

    /// The rows of a name in a chunk, which are not kept if they were not: where they are many, and what is made of them is kept.
    fn passing_cell(&self, name: NameId, chunk: u32) -> Result<Arc<Cell>> {
        self.cells.get((name, chunk)).map_or_else(|| self.decode(name, chunk).map(Arc::new), Ok)
    }

    /// Bytes of decoded cells.
    pub fn cached_bytes(&self) -> usize {
        self.cells.bytes()
    }

    /// The rows of a name that some persons have, and perhaps others. They are kept for the next report: those who have recent rows
    /// now will have them until the next flush.
    pub fn rows_of(&self, name: NameId, persons: &RoaringBitmap) -> Result<Arc<RowsOf>> {
        let known: Arc<RowsOf> = self.made.get(Made::RowsOf(name)).unwrap_or_default();
        let missing = persons - &known.persons;
        if missing.is_empty() {
            return Ok(known);
        }
        let mut rows = known.rows.clone();
        let movers = self.movers(name)?;
        for chunk in self.chunks(name)? {
            if missing.range_cardinality(chunk << 16..=chunk << 16 | 0xffff) > 0 {
                rows.extend(gather(&self.segments, &self.moved, name, chunk, Some(&missing))?);
                rows.extend(of_chunk(&movers, chunk).iter().filter(|found| missing.contains(found.person)));
            }
        }
        // Those that were known are sorted, which the stable sort makes use of.
        rows.sort_by_key(|found| (found.person, found.time));
        let all = Arc::new(RowsOf { persons: missing | &known.persons, rows });
        self.made.put(Made::RowsOf(name), &all);
        Ok(all)
    }

    fn decode(&self, name: NameId, chunk: u32) -> Result<Cell> {
        let movers = self.movers(name)?;
        let movers = of_chunk(&movers, chunk);
        let mut blocks = Vec::new();
        for (source, segment) in self.segments.iter().enumerate() {
            let Some(name_at) = segment.find_name(name) else { continue };
            let Some(entry) = segment.name_entry(name_at) else { continue };
            if let Ok(chunk_at) = entry.chunks.binary_search_by_key(&chunk, |c| c.chunk) {
                blocks.push((source, name_at, chunk_at));
            }
        }
        if let ([(source, name_at, chunk_at)], []) = (blocks.as_slice(), movers)
            && let (Some(segment), Some(moved)) = (self.segments.get(*source), self.moved.get(*source))
            && moved.range_cardinality(chunk << 16..=chunk << 16 | 0xffff) == 0
        {
            return decode_block(segment, name, *source, *name_at, *chunk_at, chunk);
        }
        let mut rows = gather(&self.segments, &self.moved, name, chunk, None)?;
        rows.extend_from_slice(movers);
        // The runs of the segments are sorted already, which the stable sort makes use of.
        rows.sort_by_key(|f| (f.person, f.time));
        Ok(Cell::of_rows(
            name,
            rows.iter()
                .map(|f| (f.person, f.time, RowRef { source: f.input, chunk_at: f.chunk_at, row: f.row })),
        ))
    }

    fn movers(&self, name: NameId) -> Result<Arc<Vec<Found>>> {
        if let Some(found) = self.movers.lock().unwrap_or_else(PoisonError::into_inner).get(&name) {
            return Ok(Arc::clone(found));
        }
        let found = Arc::new(find_movers(&self.persons, &self.segments, &self.moved, name)?);
        self.movers.lock().unwrap_or_else(PoisonError::into_inner).insert(name, Arc::clone(&found));
        Ok(found)
    }
}

/// The movers of a chunk, of those of a name.
fn of_chunk(movers: &[Found], chunk: u32) -> &[Found] {
    let from = movers.partition_point(|found| found.person >> 16 < chunk);
    let to = movers.partition_point(|found| found.person >> 16 <= chunk);
    movers.get(from..to).unwrap_or(&[])
}

fn decode_block(
    segment: &Segment,
    name: NameId,
    source: usize,
    name_at: usize,
    chunk_at: usize,
    chunk: u32,
) -> Result<Cell> {
    let block = segment.block(name_at, chunk_at)?;
    let (mut persons, mut starts) =
        (Vec::with_capacity(block.persons()), Vec::with_capacity(block.persons() + 1));
    let mut times = Vec::with_capacity(block.rows());
    for (low, rows) in block.each_person() {
        persons.push(chunk << 16 | u32::from(low));
        starts.push(rows.start as u32);
        let owner = segment.owner(&block, low)?;
        times.extend(rows.map(|row| block.time(row, owner)));
    }
    starts.push(times.len() as u32);
    Ok(Cell::of_block(name, persons, starts, times, source as u32, chunk_at as u32))
}

impl Settled {
    /// The numbers among the values of a property in a segment.
    fn numbers(&self, segment: u32, property: PropertyId) -> Result<Arc<Numbers>> {
        self.made.get_or(Made::Numbers(segment, property), || {
            let stored = self.segments.get(segment as usize);
            let missing = || Error::corrupt("snapshot", u64::from(segment), "no such segment");
            Numbers::of(stored.ok_or_else(missing)?, property)
        })
    }

    /// The amounts of the rows of a cell of `chunk`, if they fit.
    pub fn amounts(
        &self,
        source: &Source,
        cell: &Cell,
        chunk: u32,
        property: PropertyId,
    ) -> Result<Option<Arc<CellAmounts>>> {
        let amounts = self.made.get_or(Made::Amounts(cell.name, property, chunk), || {
            let numbers = |segment| self.numbers(segment, property);
            CellAmounts::read(source, cell, property, numbers).map(|fit| fit.map(Arc::new))
        })?;
        Ok(amounts.as_ref().clone())
    }

    /// The identities of a person when it began; none if nobody was named by it.
    pub fn identities_of(&self, person: PersonId) -> Vec<IdentityId> {
        let named = person < self.identities() && self.persons.person_of(person) == person;
        if named { self.persons.members(person) } else { Vec::new() }
    }

    /// The identities there were when it began.
    pub fn identities(&self) -> u32 {
        self.persons.identities()
    }

    /// The persons of a chunk when it began. A person is named by one of its identities, so an id that belongs to another person is
    /// nobody's.
    pub fn alive(&self, chunk: u32) -> Result<Arc<Words>> {
        self.made.get_or(Made::Alive(chunk), || {
            let mut words = no_words();
            let end = ((u64::from(chunk) + 1) << 16).min(u64::from(self.persons.identities())) as u32;
            for id in (chunk << 16..end).filter(|id| self.persons.person_of(*id) == *id) {
                words[(id & 0xffff) as usize >> 6] |= 1 << (id & 63);
            }
            Ok(words)
        })
    }

    /// The persons of a chunk with any of `events`, which are all there are, in `from..to`; and those of whom only their rows can tell.
    pub fn seen_within(
        &self,
        events: &[NameId],
        chunk: u32,
        from: Millis,
        to: Millis,
    ) -> Result<(PersonSet, PersonSet)> {
        let seen = self.made.get_or(Made::Seen(chunk), || self.seen(events, chunk))?;
        let (mut found, around) = seen.within(chunk, from, to);
        if around.is_empty() {
            return Ok((found, around));
        }
        let (inside, unknown) = self.active(events, chunk)?.within(&around, from, to);
        found.or(&inside);
        Ok((found, unknown))
    }

    /// In which hours the persons of a chunk did any of `events`, which are all there are.
    pub fn active(&self, events: &[NameId], chunk: u32) -> Result<Arc<Active>> {
        self.made.get_or(Made::Active(chunk), || {
            let cells: Vec<Arc<Cell>> =
                events.iter().map(|name| self.passing_cell(*name, chunk)).collect::<Result<_>>()?;
            Ok(Active::of(&cells))
        })
    }

    /// When the persons of a chunk did any of `names`, which are all events there are: from what segments know of the first and last
    /// events of persons who have not moved, and the rows of those who have.
    fn seen(&self, names: &[NameId], chunk: u32) -> Result<Seen> {
        let bounds = (Millis::MAX, Millis::MIN, Millis::MIN);
        let mut seen = Seen { lows: Vec::new(), spans: Vec::new(), all: no_words(), bounds };
        for (segment, moved) in self.segments.iter().zip(&self.moved) {
            let Some(members) = segment.members_of(chunk)? else { continue };
            let moved: RoaringBitmap = moved.range(chunk << 16..=chunk << 16 | 0xffff).collect();
            for (rank, low) in members.persons().enumerate() {
                let Some((first, last)) = members.seen(rank) else { continue };
                if moved.is_empty() || !moved.contains(chunk << 16 | u32::from(low)) {
                    seen.lows.push(low);
                    seen.spans.push((first, last));
                }
            }
        }
        for name in names {
            for found in of_chunk(&self.movers(*name)?, chunk) {
                seen.lows.push(found.person as u16);
                seen.spans.push((found.time, found.time));
            }
        }
        seen.lows.shrink_to_fit();
        seen.spans.shrink_to_fit();
        for (low, (first, last)) in seen.lows.iter().zip(&seen.spans) {
            seen.all[usize::from(*low) >> 6] |= 1 << (low & 63);
            let (least, greatest, latest) = seen.bounds;
            seen.bounds = (least.min(*first), greatest.max(*first), latest.max(*last));
        }
        Ok(seen)
    }
}
