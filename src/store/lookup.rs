//! Finding single rows in segments without decoding blocks: for duplicates and for one person's history.

use super::persons::Persons;
use super::row::{Row, without_record_id};
use super::segment::block::{Block, Column, Owner};
use super::segment::filter::row_key;
use super::segment::{NameEntry, Segment, chunk_of};
use crate::error::Result;
use crate::model::{IdentityId, NameId, PropertyId, ValueRef};
use crate::store::row::PropertyIter;

/// Whether `segment` holds a record that says the same as `row`.
pub fn contains(segment: &Segment, persons: &Persons, secret: u64, row: &Row) -> Result<bool> {
    // What comes in is mostly newer than everything that is stored.
    if !segment.covers(row.time) {
        return Ok(false);
    }
    let Some(name_at) = segment.find_name(row.name) else { return Ok(false) };
    let within = |e: &NameEntry| (e.time_min..=e.time_max).contains(&row.time);
    if !segment.name_entry(name_at).is_some_and(within) {
        return Ok(false);
    }
    if !segment.may_contain(row_key(secret, row.name, row.identity, row.time))? {
        return Ok(false);
    }
    let Some((block, rows, slot)) = rows_of_identity(segment, persons, name_at, row.identity)? else {
        return Ok(false);
    };
    let owner = segment.owner_of_row(&block, rows.start)?;
    let from = partition(rows.clone(), |r| block.time(r, owner) < row.time);
    let to = partition(from..rows.end, |r| block.time(r, owner) == row.time);
    for candidate in (from..to).filter(|r| block.slot(*r) == slot) {
        if same_content(segment, &block, (candidate, owner), row)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The rows of one name that the segment stores under the person of `identity`, and the identity's slot among them.
pub fn rows_of_identity<'a>(
    segment: &'a Segment,
    persons: &Persons,
    name_at: usize,
    identity: IdentityId,
) -> Result<Option<(Block<'a>, std::ops::Range<usize>, usize)>> {
    let person = persons.person_at(identity, segment.identity_version());
    let low = (person & 0xffff) as u16;
    let Some(block) = segment.block_of(name_at, chunk_of(person))? else { return Ok(None) };
    let Some(rank) = block.rank_of(low) else { return Ok(None) };
    let Some(slot) = segment.slot_of(person, identity)? else { return Ok(None) };
    let rows = block.rows_of(rank);
    Ok(Some((block, rows, slot)))
}

/// Whether `segment` holds a record with this client's id, whose hash is `hash`.
pub fn contains_record_id(segment: &Segment, id: &str, hash: u64) -> Result<bool> {
    if !segment.has_record_ids() {
        return Ok(false);
    }
    for (name, chunk, row) in segment.record_ids(hash)? {
        let Some(name_at) = segment.find_name(name) else { continue };
        let Some(block) = segment.block_of(name_at, chunk)? else { continue };
        let code = block.column(PropertyId::RECORD_ID).and_then(|c| c.code(row));
        let (Some(code), Some(dictionary)) = (code, segment.dictionary(PropertyId::RECORD_ID)?) else {
            continue;
        };
        if dictionary.value(code) == ValueRef::Text(id) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The client's properties of a row of a block, in the order of their ids.
pub fn properties_of<'a>(
    segment: &'a Segment,
    block: &Block<'_>,
    row: usize,
) -> Result<Vec<(PropertyId, ValueRef<'a>)>> {
    let mut properties = Vec::new();
    for (property, column) in client_columns(block) {
        if let (Some(code), Some(dictionary)) = (column.code(row), segment.dictionary(property)?) {
            properties.push((property, dictionary.value(code)));
        }
    }
    Ok(properties)
}

/// The columns of a block that hold the client's properties, in the order of their ids.
pub fn client_columns<'a>(block: &Block<'a>) -> impl Iterator<Item = (PropertyId, Column<'a>)> {
    let own = [PropertyId::ARRIVAL, PropertyId::TARGET];
    block.columns().iter().copied().filter(move |(property, _)| !own.contains(property))
}

fn same_content(
    segment: &Segment,
    block: &Block<'_>,
    (at, owner): (usize, Owner),
    row: &Row,
) -> Result<bool> {
    if row.name == NameId::IDENTIFY && block.target(at, owner) != row.target {
        return Ok(false);
    }
    let bytes = without_record_id(&row.properties);
    let mut wanted = 0;
    for (property, value) in PropertyIter::new(bytes) {
        wanted += 1;
        let code = block.column(property).and_then(|c| c.code(at));
        let (Some(code), Some(dictionary)) = (code, segment.dictionary(property)?) else { return Ok(false) };
        if dictionary.value(code) != value {
            return Ok(false);
        }
    }
    let own = [PropertyId::RECORD_ID, PropertyId::ARRIVAL, PropertyId::TARGET];
    let has = block.columns().iter().filter(|(p, c)| !own.contains(p) && c.code(at).is_some()).count();
    Ok(has == wanted)
}

fn partition(range: std::ops::Range<usize>, before: impl Fn(usize) -> bool) -> usize {
    let (mut from, mut to) = (range.start, range.end);
    while from < to {
        let middle = usize::midpoint(from, to);
        if before(middle) { from = middle + 1 } else { to = middle }
    }
    from
}
