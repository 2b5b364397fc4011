//! Builds a segment from the rows of a memtable.

use std::cmp::Ordering;
use std::hint::black_box;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::chunk_of;
use super::codes::Codes;
use super::encoded::BlockBuilder;
use super::members::MemberTable;
use super::writer::{Frame, SegmentFile, SegmentWriter};
use crate::disk::Vfs;
use crate::error::Result;
use crate::limits;
use crate::model::{PersonId, PropertyId};
use crate::store::memtable::Memtable;
use crate::store::persons::Persons;
use crate::store::row::Row;

/// Hashes a client's record id under the store's secret.
pub type HashId<'a> = &'a (dyn Fn(&str) -> u64 + Sync);

/// What a row is sorted by, in one number: name, person and time. Times of records lie between 2009 and tomorrow, which fits;
/// whatever does not, and equal keys, [`Row::order`] decides. The low bits are the row's place.
fn key_of(persons: &Persons, row: &Row, place: u32) -> u128 {
    let time = row.time.saturating_sub(limits::TIME_MIN_MS).clamp(0, (1 << 44) - 1);
    u128::from(row.name.0) << 108
        | u128::from(persons.person_of(row.identity)) << 76
        | u128::from(time.unsigned_abs()) << 32
        | u128::from(place)
}

fn person_of(key: u128) -> PersonId {
    (key >> 76) as PersonId
}

fn place_of(key: u128) -> usize {
    key as u32 as usize
}

/// The places of rows in their order, with their persons.
fn sorted(rows: &[&Row], persons: &Persons) -> Vec<u128> {
    let mut keys: Vec<u128> = (0..).zip(rows).map(|(place, row)| key_of(persons, row, place)).collect();
    keys.sort_unstable();
    let row_of = |key: &u128| rows.get(place_of(*key));
    for equal in keys.chunk_by_mut(|a, b| *a >> 32 == *b >> 32).filter(|equal| equal.len() > 1) {
        equal.sort_by(|a, b| row_of(a).zip(row_of(b)).map_or(Ordering::Equal, |(a, b)| a.order(b)));
    }
    keys
}

/// Rows that are looked at together before each is written: they lie far apart, and such looks overlap.
const LOOK_AHEAD: usize = 32;

/// Looks at a row and its first code.
fn look(rows: &[&Row], codes: &Codes<'_>, place: usize) -> u32 {
    let code = codes.of_row(place).first().map_or(0, |(_, code)| *code);
    rows.get(place).map_or(0, |row| row.identity).wrapping_add(code)
}

/// Writes `memtable` as the segment file `name`, with the persons that `persons` says.
pub fn write_memtable(
    vfs: &dyn Vfs,
    name: &str,
    memtable: &Memtable,
    persons: &Persons,
    secret: u64,
    hash_id: HashId<'_>,
) -> Result<SegmentFile> {
    // What needs every byte of the rows is done as they lie in memory, before they are sorted.
    let rows: Vec<&Row> = memtable.runs().iter().flat_map(|r| r.unsorted()).collect();
    let mut codes = Codes::new(secret, rows.len());
    rows.iter().for_each(|row| codes.add(row));
    let identities: RoaringBitmap = rows.iter().map(|row| row.identity).collect();
    let mut members: Vec<_> = identities.iter().map(|i| (persons.person_of(i), i)).collect();
    members.sort_unstable();
    let members = Arc::new(MemberTable::new(&members));
    let frame = Frame {
        identity_version: persons.version(),
        rows: rows.len() as u64,
        dictionaries: codes.settle(),
        members: Arc::clone(&members),
    };
    let filter = frame.is_filtered().then_some(secret);
    let mut writer = SegmentWriter::create(vfs, name, frame)?;
    let keys = sorted(&rows, persons);
    for of_name in keys.chunk_by(|a, b| *a >> 108 == *b >> 108) {
        let Some(name) = of_name.first().and_then(|key| rows.get(place_of(*key))).map(|row| row.name) else {
            continue;
        };
        writer.start_name(name);
        for of_chunk in of_name.chunk_by(|a, b| chunk_of(person_of(*a)) == chunk_of(person_of(*b))) {
            let mut block = BlockBuilder::new(&members, name, filter, of_chunk.len());
            for (at, key) in of_chunk.iter().enumerate() {
                if at.is_multiple_of(LOOK_AHEAD) {
                    let ahead = of_chunk.iter().skip(at).take(LOOK_AHEAD).map(|key| place_of(*key));
                    black_box(ahead.map(|place| look(&rows, &codes, place)).fold(0, u32::wrapping_add));
                }
                let Some(row) = rows.get(place_of(*key)) else { continue };
                let own = [(PropertyId::ARRIVAL, row.arrival), (PropertyId::TARGET, u64::from(row.target))];
                let own = own.into_iter().filter(|_| !row.name.is_event());
                let codes = codes.of_row(place_of(*key));
                let values = codes.iter().map(|(property, code)| (*property, u64::from(*code) + 1));
                block.row(person_of(*key), row.time, row.identity, values.chain(own));
                // The codes say whether there is one: the bytes of the row are far away.
                let identified =
                    codes.first().is_some_and(|(property, _)| *property == PropertyId::RECORD_ID);
                if let Some(id) = identified.then(|| row.record_id()).flatten() {
                    block.record_id(hash_id(id));
                }
            }
            if let Some(block) = block.finish() {
                writer.block(&block)?;
            }
        }
        writer.end_name()?;
    }
    writer.finish()
}
