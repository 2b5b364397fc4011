//! Builds a segment from the rows of a memtable.

use super::block::BlockRow;
use super::chunk_of;
use super::codes::Codes;
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

/// What a row is sorted by, in one number: name, person, time, and the low bits of the identity. Times of records lie between 2009
/// and tomorrow, which fits; whatever does not, and equal keys, [`Row::order`] decides.
fn key_of(persons: &Persons, row: &Row) -> u128 {
    let time = row.time.saturating_sub(limits::TIME_MIN_MS).clamp(0, (1 << 44) - 1);
    u128::from(row.name.0) << 108
        | u128::from(persons.person_of(row.identity)) << 76
        | u128::from(time.unsigned_abs()) << 32
        | u128::from(row.identity)
}

fn person_of(key: u128) -> PersonId {
    (key >> 76) as PersonId
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
    let mut rows: Vec<(u128, &Row)> =
        memtable.runs().iter().flat_map(|r| r.rows()).map(|r| (key_of(persons, r), r)).collect();
    rows.sort_unstable_by(|(p, a), (q, b)| p.cmp(q).then_with(|| a.order(b)));
    let rows: Vec<(PersonId, &Row)> = rows.into_iter().map(|(key, row)| (person_of(key), row)).collect();
    let mut codes = Codes::new(secret, rows.len());
    rows.iter().for_each(|(_, row)| codes.add(row));
    let mut members: Vec<_> = rows.iter().map(|(p, r)| (*p, r.identity)).collect();
    members.sort_unstable();
    members.dedup();
    let frame = Frame {
        identity_version: persons.version(),
        secret,
        rows: rows.len() as u64,
        dictionaries: codes.settle(),
        members,
    };
    let mut writer = SegmentWriter::create(vfs, name, frame)?;
    let mut row_at = 0;
    for of_name in rows.chunk_by(|a, b| a.1.name == b.1.name) {
        let Some((_, first)) = of_name.first() else { continue };
        writer.start_name(first.name);
        for of_chunk in of_name.chunk_by(|a, b| chunk_of(a.0) == chunk_of(b.0)) {
            let (mut block, mut values, mut ids) =
                (Vec::with_capacity(of_chunk.len()), Vec::new(), Vec::new());
            for (at, (person, row)) in of_chunk.iter().enumerate() {
                let values_from = values.len() as u32;
                values.extend(
                    codes.of_row(row_at).iter().map(|(property, code)| (*property, u64::from(*code) + 1)),
                );
                row_at += 1;
                if !row.name.is_event() {
                    values.push((PropertyId::ARRIVAL, row.arrival));
                    values.push((PropertyId::TARGET, u64::from(row.target)));
                }
                let slot = writer.slot(*person, row.identity);
                block.push(BlockRow {
                    person: *person,
                    time: row.time,
                    slot,
                    values_from,
                    values_to: values.len() as u32,
                });
                ids.extend(row.record_id().map(|id| (at as u32, hash_id(id))));
            }
            writer.block(&block, &values, &ids)?;
        }
        writer.end_name()?;
    }
    writer.finish()
}
