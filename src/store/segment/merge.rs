//! Merges segments into one: the same rows, under the persons of today.
//!
//! 1. Dictionaries: the values of all inputs, in order; each input's codes map to the new ones.
//! 2. Members: every (person of today, identity) of the inputs.
//! 3. For each name and each chunk of persons: the rows of that chunk in each input, but for persons with identities that moved
//!    since the input was written; and the rows of such persons that belong here today. Sorted, they are the new block.
//!
//! Memory is bounded by the dictionaries, the members, the clocks, one block, and the rows of moved persons of one name; of a segment
//! before version 005 also by the times and arrival numbers of its sets and identifies. Exact
//! duplicates were refused when they came in, so equal rows here are different records and all are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::block::{Block, Column};
use super::build::HashId;
use super::clock::{Clock, RECORDS, write_clock};
use super::dictionary::order_raw;
use super::encoded::{BlockBuilder, EncodedBlock};
use super::members::MemberTable;
use super::sieve::Sieve;
use super::writer::{Frame, SegmentFile, SegmentWriter};
use super::{Segment, chunk_of};
use crate::disk::Vfs;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{IdentityId, Millis, NameId, PersonId, PropertyId, ValueRef};
use crate::store::persons::Persons;
use crate::threads::in_order;

/// What a merge needs besides its inputs.
pub struct Merge<'a> {
    /// Where files are.
    pub vfs: &'a dyn Vfs,
    /// The file to write.
    pub name: &'a str,
    /// Who is who today.
    pub persons: &'a Persons,
    /// The store's secret, for the filter.
    pub secret: u64,
    /// Hashes a client's record id.
    pub hash_id: HashId<'a>,
    /// What is left out.
    pub sieve: &'a Sieve,
    /// Threads that make blocks.
    pub threads: usize,
    /// Ends the merge early when it says true.
    pub cancelled: &'a (dyn Fn() -> bool + Sync),
}

/// A row of an input, with the person it belongs to today.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// The person.
    pub person: PersonId,
    /// When.
    pub time: Millis,
    /// The identity it arrived under.
    pub identity: IdentityId,
    /// Which input.
    pub input: u32,
    /// The place of the block among those of the name.
    pub chunk_at: u32,
    /// The row of the block.
    pub row: u32,
}

/// Merges `inputs` into one file.
pub fn merge_segments(merge: &Merge<'_>, inputs: &[Arc<Segment>]) -> Result<SegmentFile> {
    let (dictionaries, codes) = merge_dictionaries(merge.sieve, inputs)?;
    let members = Arc::new(merge_members(merge, inputs)?);
    let clock = Arc::new(write_clock(arrivals(inputs)?.iter().copied(), 1));
    let frame = Frame {
        identity_version: merge.persons.version(),
        rows: inputs.iter().fold(0, |sum, s| sum.saturating_add(s.directory().rows)),
        dictionaries,
        members: Arc::clone(&members),
        clock: Arc::clone(&clock),
    };
    let clock = Clock::parse(&clock).unwrap_or_default();
    let filter = frame.is_filtered().then_some(merge.secret);
    let moved: Vec<RoaringBitmap> =
        inputs.iter().map(|s| moved_since(merge.persons, s.identity_version())).collect();
    let names: BTreeSet<u32> =
        inputs.iter().flat_map(|s| s.directory().names.iter().map(|n| n.name)).collect();
    let mut writer = SegmentWriter::create(merge.vfs, merge.name, frame)?;
    for name in names.into_iter().map(NameId) {
        let (codes, moved, members) = (&codes, &moved, (&*members, clock));
        let of_name = OfName { merge, inputs, codes, moved, members, filter, name };
        of_name.write(&mut writer)?;
    }
    writer.finish()
}

/// What the blocks of one name are merged with.
struct OfName<'a> {
    merge: &'a Merge<'a>,
    inputs: &'a [Arc<Segment>],
    codes: &'a [CodeMap],
    moved: &'a [RoaringBitmap],
    members: (&'a MemberTable, Clock<'a>),
    filter: Option<u64>,
    name: NameId,
}

impl OfName<'_> {
    /// Makes the blocks, several at once, and writes them in order.
    fn write(&self, writer: &mut SegmentWriter) -> Result<()> {
        let movers = find_movers(self.merge.persons, self.inputs, self.moved, self.name)?;
        let mut chunks: BTreeSet<u32> = movers.iter().map(|f| chunk_of(f.person)).collect();
        for input in self.inputs {
            let entry = input.find_name(self.name).and_then(|at| input.name_entry(at));
            chunks.extend(entry.into_iter().flat_map(|e| e.chunks.iter().map(|c| c.chunk)));
        }
        let mut started = false;
        let mut write = |block: Result<Option<EncodedBlock>>| {
            let Some(block) = block? else { return Ok(()) };
            if !std::mem::replace(&mut started, true) {
                writer.start_name(self.name);
            }
            writer.block(&block)
        };
        let mut chunks = chunks.into_iter();
        match self.merge.threads.min(chunks.len()) {
            0 | 1 => chunks.try_for_each(|chunk| write(self.block(chunk, &movers)))?,
            threads => in_order(|| Ok(chunks.next()), threads, 1, |chunk| self.block(chunk, &movers), write)?,
        }
        if started { writer.end_name() } else { Ok(()) }
    }

    /// The block of a chunk; `None` if no row is left for it.
    fn block(&self, chunk: u32, movers: &[Found]) -> Result<Option<EncodedBlock>> {
        if (self.merge.cancelled)() {
            return Err(Error::new(ErrorKind::Busy, "cancelled", "the merge was cancelled"));
        }
        let mut rows = gather(self.inputs, self.moved, self.name, chunk, None)?;
        let from = movers.partition_point(|f| chunk_of(f.person) < chunk);
        let to = movers.partition_point(|f| chunk_of(f.person) <= chunk);
        rows.extend_from_slice(movers.get(from..to).unwrap_or(&[]));
        self.merge.sieve.retain(self.inputs, self.name, &mut rows)?;
        rows.sort_by_key(|f| (f.person, f.time, f.identity));
        let mut block = BlockBuilder::new(self.members, self.name, self.filter, rows.len());
        let mut open: Vec<Vec<Opened<'_>>> = self.inputs.iter().map(|_| Vec::new()).collect();
        let mut values = Vec::new();
        for found in &rows {
            let Some(opened) = opened(&mut open, self.inputs, self.codes, self.name, found)? else {
                continue;
            };
            let id = self.values_of(found, opened, &mut values)?;
            block.row(found.person, found.time, found.identity, values.drain(..));
            if let Some(id) = id {
                block.record_id((self.merge.hash_id)(id));
            }
        }
        Ok(block.finish())
    }

    /// The values of a row under the new codes, and the client's id of the record.
    fn values_of(
        &self,
        found: &Found,
        block: &Opened<'_>,
        values: &mut Vec<(PropertyId, u64)>,
    ) -> Result<Option<&str>> {
        let (row, segment) = (found.row as usize, self.inputs.get(found.input as usize));
        let mut record_id = None;
        for (property, column, codes) in &block.columns {
            let Some(codes) = codes else {
                let number = match (*property, segment) {
                    (PropertyId::TARGET, Some(segment)) => {
                        u64::from(block.block.target(row, segment.owner_of_row(&block.block, row)?))
                    }
                    _ => block.block.arrival(row, found.time),
                };
                values.push((*property, number));
                continue;
            };
            let Some(code) = column.code(row) else { continue };
            let named = segment.map_or("", |segment| segment.name());
            let new = codes.get(code as usize);
            let new = new.ok_or_else(|| Error::corrupt(named, 0, "a code outside its dictionary"))?;
            values.push((*property, u64::from(*new) + 1));
            if *property == PropertyId::RECORD_ID
                && let Some(dictionary) = segment.map(|s| s.dictionary(*property)).transpose()?.flatten()
                && let ValueRef::Text(id) = dictionary.value(code)
            {
                record_id = Some(id);
            }
        }
        Ok(record_id)
    }
}

/// Persons of `version` with an identity that has gone to another person since.
pub fn moved_since(persons: &Persons, version: u32) -> RoaringBitmap {
    persons.moves_since(version).map(|m| m.from).collect()
}

/// Old code to new code, for one property of one input.
type CodeMap = BTreeMap<PropertyId, Vec<u32>>;
type Dictionaries = Vec<(PropertyId, Vec<Vec<u8>>)>;

fn merge_dictionaries(sieve: &Sieve, inputs: &[Arc<Segment>]) -> Result<(Dictionaries, Vec<CodeMap>)> {
    let used = inputs.iter().map(|s| sieve.used_codes(s)).collect::<Result<Vec<_>>>()?;
    let is_used = |input: usize, property: PropertyId, code: u32| match used.get(input) {
        Some(Some(used)) => used.get(&property).is_some_and(|codes| codes.contains(code)),
        _ => true,
    };
    let properties: BTreeSet<u32> =
        inputs.iter().flat_map(|s| s.directory().properties.iter().map(|p| p.property)).collect();
    let mut codes: Vec<CodeMap> = inputs.iter().map(|_| CodeMap::new()).collect();
    let mut dictionaries = Dictionaries::new();
    for property in properties.into_iter().map(PropertyId) {
        // (value, input, old code), brought into the order of values: inputs are sorted, so the sort only merges runs.
        let mut all: Vec<(&[u8], u32, u32)> = Vec::new();
        for (input, segment) in (0..).zip(inputs) {
            if let Some(dictionary) = segment.dictionary(property)? {
                all.extend((0..dictionary.len()).map(|code| (dictionary.raw(code), input, code)));
            }
        }
        all.sort_by(|a, b| order_raw(a.0, b.0));
        let mut values: Vec<Vec<u8>> = Vec::new();
        for (raw, input, code) in all {
            let input = input as usize;
            if is_used(input, property, code) && values.last().is_none_or(|last| last != raw) {
                values.push(raw.to_vec());
            }
            if let Some(map) = codes.get_mut(input) {
                // Codes of one input come in order, so the place in the map is the old code. No row has one that is not used.
                map.entry(property).or_default().push((values.len() as u32).saturating_sub(1));
            }
        }
        if !values.is_empty() {
            dictionaries.push((property, values));
        }
    }
    Ok((dictionaries, codes))
}

/// The points of the clocks of some segments.
fn arrivals(inputs: &[Arc<Segment>]) -> Result<Vec<(Millis, u64)>> {
    let mut all = Vec::new();
    for segment in inputs {
        if segment.has_clock() {
            all.extend(segment.clock()?.points());
            continue;
        }
        let mut records = Vec::new();
        for name_at in [NameId::SET, NameId::IDENTIFY].into_iter().filter_map(|name| segment.find_name(name))
        {
            segment.each_row(name_at, &mut |block, row, owner| {
                let time = block.time(row, owner);
                records.push((time, block.arrival(row, time)));
            })?;
        }
        let clock = write_clock(records.iter().copied(), RECORDS);
        all.extend(Clock::parse(&clock).unwrap_or_default().points());
    }
    Ok(all)
}

fn merge_members(merge: &Merge<'_>, inputs: &[Arc<Segment>]) -> Result<MemberTable> {
    let mut all = Vec::new();
    for input in inputs {
        for at in 0..input.directory().members.len() {
            let members = input.members(at)?;
            for rank in 0..members.len() {
                let since = members.since_about(rank);
                let kept = members.identities(rank).filter(|identity| !merge.sieve.is_erased(*identity));
                all.extend(kept.map(|identity| (merge.persons.person_of(identity), identity, since)));
            }
        }
    }
    all.sort_unstable_by_key(|(person, identity, since)| (*person, *identity, since.unwrap_or(Millis::MAX)));
    all.dedup_by_key(|(person, identity, _)| (*person, *identity));
    Ok(MemberTable::new(all.iter().copied()))
}

/// The rows of one name of persons that have moved, with the person of today, in its order.
pub fn find_movers(
    persons: &Persons,
    inputs: &[Arc<Segment>],
    moved: &[RoaringBitmap],
    name: NameId,
) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for (input, (segment, moved)) in inputs.iter().zip(moved).enumerate() {
        let Some(name_at) = segment.find_name(name).filter(|_| !moved.is_empty()) else { continue };
        let chunks = segment.name_entry(name_at).map_or(0, |e| e.chunks.len());
        for chunk_at in 0..chunks {
            let mut visit = |row: Found| found.push(Found { person: persons.person_of(row.identity), ..row });
            let wanted = |person| moved.contains(person);
            visit_rows(segment, (input, name_at, chunk_at), Some(moved), wanted, &mut visit)?;
        }
    }
    found.sort_by_key(|f| f.person);
    Ok(found)
}

/// The rows of one name and chunk of persons that have not moved: of all of them, or of those in `only`.
pub fn gather(
    inputs: &[Arc<Segment>],
    moved: &[RoaringBitmap],
    name: NameId,
    chunk: u32,
    only: Option<&RoaringBitmap>,
) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for (input, (segment, moved)) in inputs.iter().zip(moved).enumerate() {
        let Some(name_at) = segment.find_name(name) else { continue };
        let Some(entry) = segment.name_entry(name_at) else { continue };
        let Ok(chunk_at) = entry.chunks.binary_search_by_key(&chunk, |c| c.chunk) else { continue };
        let wanted = |person| only.is_none_or(|only| only.contains(person)) && !moved.contains(person);
        visit_rows(segment, (input, name_at, chunk_at), only, wanted, &mut |row| found.push(row))?;
    }
    Ok(found)
}

/// How many persons of a block there are to each one that is wanted, so that a search for each costs less than to pass all.
const FEW: usize = 16;

/// Visits the rows of a block (the input, the places of its name and of its chunk) whose persons, as the segment stores them, are
/// wanted. If given, they are all in `among`.
fn visit_rows(
    segment: &Segment,
    (input, name_at, chunk_at): (usize, usize, usize),
    among: Option<&RoaringBitmap>,
    wanted: impl Fn(PersonId) -> bool,
    visit: &mut dyn FnMut(Found),
) -> Result<()> {
    let block = segment.block(name_at, chunk_at)?;
    let chunk = segment.name_entry(name_at).and_then(|e| e.chunks.get(chunk_at)).map_or(0, |c| c.chunk);
    let mut visit_person = |person: PersonId, rows: std::ops::Range<usize>| -> Result<()> {
        let owner = segment.owner(&block, person as u16)?;
        for row in rows {
            let (time, identity) = (block.time(row, owner), block.identity(row, owner));
            let (input, chunk_at, row_at) = (input as u32, chunk_at as u32, row as u32);
            visit(Found { person, time, identity, input, chunk_at, row: row_at });
        }
        Ok(())
    };
    let all = chunk << 16..=chunk << 16 | 0xffff;
    let few = |among: &&RoaringBitmap| among.range_cardinality(all.clone()) as usize * FEW < block.persons();
    if let Some(few) = among.filter(few) {
        for person in few.range(all).filter(|person| wanted(*person)) {
            let rank = block.rank_of(person as u16);
            rank.map_or(Ok(()), |rank| visit_person(person, block.rows_of(rank)))?;
        }
        return Ok(());
    }
    for (low, rows) in block.each_person() {
        let person = chunk << 16 | u32::from(low);
        if wanted(person) {
            visit_person(person, rows)?;
        }
    }
    Ok(())
}

/// A block of an input as its rows are copied.
struct Opened<'a> {
    chunk_at: u32,
    block: Block<'a>,
    /// Each column, and of a client's property the new code of each old one.
    columns: Vec<(PropertyId, Column<'a>, Option<&'a [u32]>)>,
}

impl<'a> Opened<'a> {
    fn new(segment: &'a Segment, codes: &'a CodeMap, name: NameId, chunk_at: u32) -> Result<Self> {
        let name_at = segment.find_name(name).unwrap_or(usize::MAX);
        let block = segment.block(name_at, chunk_at as usize)?;
        let columns = block.columns().iter().map(|(property, column)| {
            let own = matches!(*property, PropertyId::ARRIVAL | PropertyId::TARGET);
            let codes = codes.get(property).map(Vec::as_slice).unwrap_or_default();
            (*property, *column, (!own).then_some(codes))
        });
        let columns = columns.collect();
        Ok(Self { chunk_at, block, columns })
    }
}

/// The block that a row lies in, opened when its first row comes. An input has one for a name and chunk, and for each chunk that
/// somebody has moved from.
fn opened<'a, 'o>(
    open: &'o mut [Vec<Opened<'a>>],
    inputs: &'a [Arc<Segment>],
    codes: &'a [CodeMap],
    name: NameId,
    found: &Found,
) -> Result<Option<&'o Opened<'a>>> {
    let input = found.input as usize;
    let (Some(open), Some(segment), Some(codes)) = (open.get_mut(input), inputs.get(input), codes.get(input))
    else {
        return Ok(None);
    };
    let at = match open.iter().position(|o| o.chunk_at == found.chunk_at) {
        Some(at) => at,
        None => {
            open.push(Opened::new(segment, codes, name, found.chunk_at)?);
            open.len() - 1
        }
    };
    Ok(open.get(at))
}
