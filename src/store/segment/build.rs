//! Builds a segment from rows in the order in which they came.
//!
//! 1. Values: those that occur are sorted once; the code of each number follows.
//! 2. Members: every (person, identity) of the rows.
//! 3. The rows of each name are sorted by person, and each chunk of persons is a piece of work for any thread: its rows are fetched,
//!    sorted by time within each person, freed of duplicates, and made a block.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use super::chunk_of;
use super::clock::{Clock, RECORDS, write_clock};
use super::encoded::{BlockBuilder, EncodedBlock};
use super::members::MemberTable;
use super::writer::{Frame, SegmentFile, SegmentWriter};
use crate::disk::Vfs;
use crate::disk::bits::width_of;
use crate::disk::codec::Reader;
use crate::error::Result;
use crate::model::{IdentityId, Millis, NameId, PersonId, PropertyId, ValueRef};
use crate::store::packed::{PackedRow, PackedRows, RowsOfName};
use crate::store::persons::Persons;
use crate::store::values::Table;
use crate::threads::in_order;

/// Hashes a client's record id under the store's secret.
pub type HashId<'a> = &'a (dyn Fn(&str) -> u64 + Sync);

/// What a segment is built with.
pub struct Build<'a> {
    /// Where files are.
    pub vfs: &'a dyn Vfs,
    /// The file to write.
    pub name: &'a str,
    /// The rows.
    pub rows: &'a PackedRows,
    /// Their values.
    pub values: &'a Table,
    /// Who is who.
    pub persons: &'a Persons,
    /// The store's secret, for the filter.
    pub secret: u64,
    /// Hashes a client's record id.
    pub hash_id: HashId<'a>,
    /// Threads that make blocks.
    pub threads: usize,
}

/// Pieces that wait for each thread: those of one name are worked on while the keys of the next are sorted.
const PIECES_AHEAD: usize = 8;

/// The rows of one name and chunk of persons: parts of its keys.
struct Piece<'a> {
    name: NameId,
    rows: &'a RowsOfName,
    keys: Arc<Vec<u64>>,
    range: Range<usize>,
}

/// A row that was fetched.
#[derive(Clone, Copy)]
struct Fetched {
    person: PersonId,
    place: u32,
    row: PackedRow,
}

/// The person of a row and its place among those of its name, in one number.
fn key_of(person: PersonId, place: u32) -> u64 {
    u64::from(person) << 32 | u64::from(place)
}

fn person_of(key: u64) -> PersonId {
    (key >> 32) as PersonId
}

/// Writes the segment; the file, and how many rows were duplicates of rows before them.
pub fn write_rows(build: &Build<'_>) -> Result<(SegmentFile, u64)> {
    let used = build.rows.used(build.values.len());
    let (codes, dictionaries) =
        build.values.codes(|number| used.get(number as usize).is_some_and(|used| *used));
    let rows = build.rows.names().iter().flat_map(RowsOfName::iter).map(|row| (row.identity, row.time()));
    let members = Arc::new(MemberTable::of(build.persons, rows, build.rows.len()));
    let clock = Arc::new(write_clock(arrivals(build.rows), RECORDS));
    let frame = Frame {
        identity_version: build.persons.version(),
        rows: build.rows.len() as u64,
        dictionaries,
        members: Arc::clone(&members),
        clock: Arc::clone(&clock),
    };
    let filter = frame.is_filtered().then_some(build.secret);
    let mut writer = SegmentWriter::create(build.vfs, build.name, frame)?;
    let clock = Clock::parse(&clock).unwrap_or_default();
    let work = Blocks { build, codes: &codes, members: &members, clock, filter };
    let mut pieces = Pieces { build, next: 0, keys: Arc::default(), done: 0 };
    let (mut current, mut repeated) = (None, 0);
    let mut write = |(name, (block, duplicates)): (NameId, (Option<EncodedBlock>, u64))| {
        repeated += duplicates;
        let Some(block) = block else { return Ok(()) };
        if current != Some(name) {
            if current.is_some() {
                writer.end_name()?;
            }
            writer.start_name(name);
            current = Some(name);
        }
        writer.block(&block)
    };
    let make = |piece: Piece<'_>| (piece.name, work.block(&piece));
    if build.threads > 1 {
        in_order(move || Ok(pieces.next()), build.threads, PIECES_AHEAD, make, write)?;
    } else {
        pieces.map(make).try_for_each(&mut write)?;
    }
    if current.is_some() {
        writer.end_name()?;
    }
    Ok((writer.finish()?, repeated))
}

/// The times and arrival numbers of all sets and identifies.
fn arrivals(rows: &PackedRows) -> impl Iterator<Item = (Millis, u64)> + Clone + '_ {
    let own = (0..).zip(rows.names()).filter(|(name, _)| !NameId(*name).is_event());
    own.flat_map(|(_, rows)| {
        (0..).zip(rows.iter()).map(|(place, row)| (row.time(), rows.content(place, row).1))
    })
}

/// All pieces, name by name.
struct Pieces<'a> {
    build: &'a Build<'a>,
    /// The next name.
    next: usize,
    /// The keys of the one before it, in the order of persons, and how many of them are dealt.
    keys: Arc<Vec<u64>>,
    done: usize,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        while self.done == self.keys.len() {
            let persons = self.build.persons;
            let rows = (0..).zip(self.build.rows.names().get(self.next)?.iter());
            let keys = rows.map(|(place, row)| key_of(persons.person_of(row.identity), place)).collect();
            self.keys = Arc::new(sorted_by_person(keys, persons.identities()));
            (self.next, self.done) = (self.next + 1, 0);
        }
        let rest = self.keys.get(self.done..)?;
        let chunk = chunk_of(person_of(*rest.first()?));
        let from = self.done;
        self.done += rest.partition_point(|key| chunk_of(person_of(*key)) == chunk);
        let at = self.next - 1;
        let (name, rows) = (NameId(at as u32), self.build.rows.names().get(at)?);
        Some(Piece { name, rows, keys: Arc::clone(&self.keys), range: from..self.done })
    }
}

/// Bits of a person that one pass of the sort looks at.
const DIGIT: u32 = 11;

/// Sorts keys by person, of which there are `persons`; those of one person stay in their order.
fn sorted_by_person(mut keys: Vec<u64>, persons: u32) -> Vec<u64> {
    if keys.len() < 1 << DIGIT {
        keys.sort_by_key(|key| person_of(*key));
        return keys;
    }
    let mut other = vec![0; keys.len()];
    for shift in (32..32 + u32::from(width_of(u64::from(persons)))).step_by(DIGIT as usize) {
        let digit = |key: u64| (key >> shift) as usize & ((1 << DIGIT) - 1);
        let mut starts = [0usize; 1 << DIGIT];
        for key in &keys {
            starts.get_mut(digit(*key)).into_iter().for_each(|count| *count += 1);
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += std::mem::replace(start, sum);
        }
        for key in &keys {
            let Some(start) = starts.get_mut(digit(*key)) else { continue };
            other.get_mut(*start).into_iter().for_each(|slot| *slot = *key);
            *start += 1;
        }
        std::mem::swap(&mut keys, &mut other);
    }
    keys
}

impl Piece<'_> {
    /// Its rows, in the order of person, time and identity, and else as they came.
    fn fetch(&self) -> Vec<Fetched> {
        let keys = self.keys.get(self.range.clone()).unwrap_or(&[]);
        let fetched = |key: &u64| {
            let place = *key as u32;
            self.rows.row(place).map(|row| Fetched { person: person_of(*key), place, row: *row })
        };
        let mut rows: Vec<Fetched> = Vec::with_capacity(keys.len());
        rows.extend(keys.iter().filter_map(fetched));
        for of_person in rows.chunk_by_mut(|a, b| a.person == b.person) {
            let order = |f: &Fetched| (f.row.time(), f.row.identity);
            if !of_person.is_sorted_by_key(order) {
                of_person.sort_by_key(order);
            }
        }
        rows
    }
}

/// What blocks are made with.
struct Blocks<'a> {
    build: &'a Build<'a>,
    codes: &'a [(PropertyId, u32)],
    members: &'a MemberTable,
    clock: Clock<'a>,
    filter: Option<u64>,
}

impl Blocks<'_> {
    /// The block of a piece, and how many of its rows are duplicates.
    fn block(&self, piece: &Piece<'_>) -> (Option<EncodedBlock>, u64) {
        let rows = piece.fetch();
        let mut block = BlockBuilder::new((self.members, self.clock), piece.name, self.filter, rows.len());
        let mut duplicates = 0;
        // What was said before under one identity at one time.
        let mut said = HashSet::new();
        for (at, Fetched { person, place, row }) in rows.iter().enumerate() {
            let (target, arrival, numbers) = piece.rows.content(*place, row);
            let is_alike = |other: Option<&Fetched>| {
                let what = |row: &PackedRow| (row.time(), row.identity);
                other.is_some_and(|other| other.person == *person && what(&other.row) == what(row))
            };
            let again = is_alike(at.checked_sub(1).and_then(|before| rows.get(before)));
            if !again {
                said.clear();
            }
            if again || is_alike(rows.get(at + 1)) {
                let is_new = said.insert((target, self.said(numbers)));
                if !is_new && row.may_repeat() {
                    duplicates += 1;
                    continue;
                }
            }
            let arrival = (PropertyId::ARRIVAL, arrival);
            let arrival = [arrival].into_iter().filter(|_| !piece.name.is_event());
            let target = (PropertyId::TARGET, u64::from(target));
            let target = [target].into_iter().filter(|_| piece.name == NameId::IDENTIFY);
            let codes = numbers.iter().filter_map(|number| self.codes.get(*number as usize));
            let values = codes.map(|(property, code)| (*property, u64::from(*code) + 1));
            block.row(*person, row.time(), row.identity, values.chain(arrival).chain(target));
            if let Some(id) = self.record_id(numbers) {
                block.record_id((self.build.hash_id)(id));
            }
        }
        (block.finish(), duplicates)
    }

    /// Whether the first of the numbers is that of a client's record id.
    fn is_identified(&self, numbers: &[u32]) -> bool {
        let first = numbers.first().and_then(|number| self.codes.get(*number as usize));
        first.is_some_and(|(property, _)| *property == PropertyId::RECORD_ID)
    }

    /// The numbers without that of a client's record id.
    fn said<'n>(&self, numbers: &'n [u32]) -> &'n [u32] {
        numbers.get(usize::from(self.is_identified(numbers))..).unwrap_or(&[])
    }

    fn record_id(&self, numbers: &[u32]) -> Option<&str> {
        let number = numbers.first().filter(|_| self.is_identified(numbers))?;
        match Reader::new(self.build.values.get(*number)?.1).value()? {
            ValueRef::Text(id) => Some(id),
            ValueRef::Bool(_) | ValueRef::Number(_) => None,
        }
    }
}

/// How many identities there are to each row, so that sorting the rows costs less than an entry for each identity.
const FEW_ROWS: usize = 8;

/// Every identity that occurs, once, with its person and its least time, in order.
impl MemberTable {
    fn of(persons: &Persons, rows: impl Iterator<Item = (IdentityId, Millis)>, count: usize) -> Self {
        let least: Vec<(IdentityId, Millis)> = if count < persons.identities() as usize / FEW_ROWS {
            let mut least: Vec<_> = rows.collect();
            least.sort_unstable();
            least.dedup_by_key(|(identity, _)| *identity);
            least
        } else {
            let mut least = vec![Millis::MAX; persons.identities() as usize];
            for (identity, time) in rows {
                least.get_mut(identity as usize).into_iter().for_each(|least| *least = time.min(*least));
            }
            (0..).zip(least).filter(|(_, time)| *time < Millis::MAX).collect()
        };
        let keys = (0..).zip(&least).map(|(at, (identity, _))| key_of(persons.person_of(*identity), at));
        let sorted = sorted_by_person(keys.collect(), persons.identities());
        Self::new(sorted.iter().filter_map(|key| {
            let (identity, time) = least.get(*key as u32 as usize)?;
            Some((person_of(*key), *identity, Some(*time)))
        }))
    }
}
