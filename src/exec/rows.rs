//! Every row of a name, as it was stored.

use std::sync::Arc;

use super::person;
use super::source::Source;
use crate::engine::Snapshot;
use crate::error::Result;
use crate::model::{IdentityId, Millis, NameId, PropertyId, Value};
use crate::store::lookup;
use crate::store::memtable::Run;

/// A row as it was stored.
#[derive(Clone, Debug)]
pub struct StoredRow {
    /// The identity it arrived under.
    pub identity: IdentityId,
    /// When.
    pub time: Millis,
    /// Of an identify the other identity.
    pub target: IdentityId,
    /// Of a set or identify the arrival number.
    pub arrival: u64,
    /// Its properties, the client's record id among them.
    pub properties: Vec<(PropertyId, Value)>,
}

/// All that is stored of the person of `identity`, with its name: sets and identifies in the order of their arrival, then events by time.
///
/// # Errors
/// `unknown_person`; of reading the store.
pub fn rows_of_person(snapshot: &Snapshot, identity: &str) -> Result<Vec<(NameId, StoredRow)>> {
    person::records(&Source::new(snapshot.clone()), identity)
}

/// Calls `each` with every row of `name`, in no particular order.
pub fn stored_rows(
    snapshot: &Snapshot,
    name: NameId,
    each: &mut dyn FnMut(StoredRow) -> Result<()>,
) -> Result<()> {
    for segment in snapshot.segments.iter() {
        let Some(name_at) = segment.find_name(name) else { continue };
        let Some(entry) = segment.name_entry(name_at) else { continue };
        for chunk_at in 0..entry.chunks.len() {
            let block = segment.block(name_at, chunk_at)?;
            for (low, rows) in block.each_person() {
                let owner = segment.owner(&block, low)?;
                for row in rows {
                    let (time, identity) = (block.time(row, owner), block.identity(row, owner));
                    let target = if name == NameId::IDENTIFY { block.target(row, owner) } else { 0 };
                    let arrival = if name.is_event() { 0 } else { block.arrival(row, time) };
                    let properties = lookup::properties_of(segment, &block, row)?;
                    let properties = properties.into_iter().map(|(p, v)| (p, v.to_owned())).collect();
                    each(StoredRow { identity, time, target, arrival, properties })?;
                }
            }
        }
    }
    for run in snapshot.runs() {
        for row in run.of_name(name) {
            let properties = row.properties().map(|(p, v)| (p, v.to_owned())).collect();
            let (identity, time) = (row.identity, row.time);
            each(StoredRow { identity, time, target: row.target, arrival: row.arrival, properties })?;
        }
    }
    Ok(())
}

/// The first and the last time of the rows of `name`, with the recent ones of `runs`; reads none of those in segments.
pub fn span_of(snapshot: &Snapshot, runs: &[Arc<Run>], name: NameId) -> Option<(Millis, Millis)> {
    let stored = snapshot.segments.iter().filter_map(|s| s.name_entry(s.find_name(name)?));
    let stored = stored.map(|e| (e.time_min, e.time_max));
    let recent = runs.iter().flat_map(|r| r.of_name(name)).map(|r| (r.time, r.time));
    stored.chain(recent).reduce(|(a, b), (c, d)| (a.min(c), b.max(d)))
}

/// How many rows of `name` are from before an instant.
pub fn events_before(snapshot: &Snapshot, name: NameId, before: Millis) -> Result<u64> {
    let mut sum = 0;
    for segment in snapshot.segments.iter() {
        let Some(at) = segment.find_name(name) else { continue };
        if segment.name_entry(at).is_none_or(|entry| entry.time_min >= before) {
            continue;
        }
        segment.each_row(at, &mut |block, row, owner| sum += u64::from(block.time(row, owner) < before))?;
    }
    let runs = snapshot.runs();
    sum += runs.iter().flat_map(|run| run.of_name(name)).filter(|row| row.time < before).count() as u64;
    Ok(sum)
}
