//! One person: who it is, what it has, what it did. Rows are looked up one identity at a time; no block is decoded.

use std::collections::BTreeMap;

use serde::Serialize;

use super::binder::Binder;
use super::cell::RowRef;
use super::fitting::property_len;
use super::rows::StoredRow;
use super::source::Source;
use crate::error::{Error, Result};
use crate::limits;
use crate::model::{IdentityId, Millis, NameId, PersonId, PropertyId, Value, ValueRef, format_millis};
use crate::report::Warning;
use crate::store::segment::members::Totals;
use crate::store::segment::{Segment, chunk_of};

/// A row of one person.
#[derive(Clone, Copy, Debug)]
pub struct PersonRow {
    /// What.
    pub name: NameId,
    /// When.
    pub time: Millis,
    /// The identity it arrived under.
    pub identity: IdentityId,
    /// Where it lies.
    pub at: RowRef,
}

/// A page of a time line, newest first.
#[derive(Clone, Debug, Serialize)]
pub struct Timeline {
    /// The events.
    pub events: Vec<TimelineEvent>,
    /// Where the next page begins.
    pub cursor: Option<String>,
    /// What nobody ever sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// One event of a time line.
#[derive(Clone, Debug, Serialize)]
pub struct TimelineEvent {
    /// What.
    pub event: String,
    /// When.
    pub time: String,
    /// The identity it arrived under.
    pub identity: String,
    /// Its properties.
    pub properties: BTreeMap<String, Value>,
}

/// The person of an identity; an error of kind `NotFound` if it was never seen.
pub fn find(source: &Source, identity: &str) -> Result<PersonId> {
    source.snapshot.person(identity)
}

/// The rows of a person of the names that `wanted` says true for, in no particular order.
pub fn rows(source: &Source, person: PersonId, wanted: impl Fn(NameId) -> bool) -> Result<Vec<PersonRow>> {
    Ok(rows_of(source, &[person], wanted)?.pop().unwrap_or_default())
}

/// As [`rows`] of several persons. Those whose rows lie in the same blocks are looked up together.
pub fn rows_of(
    source: &Source,
    persons: &[PersonId],
    wanted: impl Fn(NameId) -> bool,
) -> Result<Vec<Vec<PersonRow>>> {
    let snapshot = &source.snapshot;
    let members: Vec<_> = persons.iter().map(|person| snapshot.persons.members(*person)).collect();
    let mut out = vec![Vec::new(); persons.len()];
    for (number, segment) in (0u32..).zip(snapshot.segments.iter()) {
        let mut stored = Vec::new();
        for (place, identity) in members.iter().enumerate().flat_map(|(p, m)| m.iter().map(move |i| (p, *i)))
        {
            let person = snapshot.persons.person_at(identity, segment.identity_version());
            stored.push(Stored { person, identity, place });
        }
        stored.sort_unstable_by_key(|s| (s.person, s.identity));
        for of_chunk in stored.chunk_by(|a, b| a.person >> 16 == b.person >> 16) {
            stored_rows(segment, number, of_chunk, &wanted, &mut out)?;
        }
    }
    for (members, out) in members.iter().zip(&mut out) {
        recent(source, members, &wanted, out);
    }
    Ok(out)
}

/// What each of some persons did in all until `as_of`. Segments know it of those who are as they were when the segment was written;
/// the rows of all others are looked up.
pub fn totals_of(source: &Source, persons: &[PersonId], as_of: Millis) -> Result<Vec<Option<Totals>>> {
    let mut out = Vec::with_capacity(persons.len());
    for person in persons {
        out.push(known_totals(source, *person, as_of)?);
    }
    let unknown: Vec<PersonId> =
        persons.iter().zip(&out).filter(|(_, known)| known.is_none()).map(|(person, _)| *person).collect();
    let mut rows = rows_of(source, &unknown, NameId::is_event)?.into_iter();
    let of_rows = |rows: Vec<PersonRow>| {
        let within = rows.iter().filter(|row| row.time <= as_of);
        within.map(|row| Totals { first: row.time, last: row.time, events: 1 }).reduce(Totals::and)
    };
    Ok(out.into_iter().map(|known| known.unwrap_or_else(|| rows.next().and_then(of_rows))).collect())
}

/// What a person did in all until `as_of`, if no row has to be looked at for it but recent ones.
fn known_totals(source: &Source, person: PersonId, as_of: Millis) -> Result<Option<Option<Totals>>> {
    let snapshot = &source.snapshot;
    let identities = snapshot.persons.members(person);
    let mut all: Option<Totals> = None;
    let mut add = |totals: Totals| all = Some(all.map_or(totals, |before| before.and(totals)));
    for segment in snapshot.segments.iter() {
        let stored_under = |i: &IdentityId| snapshot.persons.person_at(*i, segment.identity_version());
        let mut stored: Vec<PersonId> = identities.iter().map(stored_under).collect();
        stored.sort_unstable();
        stored.dedup();
        for person in stored {
            let Some(members) = segment.members_of(chunk_of(person))? else { continue };
            let Some(rank) = members.rank_of((person & 0xffff) as u16) else { continue };
            // Of somebody who was taken apart since, the segment knows what the parts did together.
            if members.identities(rank).any(|identity| identities.binary_search(&identity).is_err()) {
                return Ok(None);
            }
            let Some(events) = members.events(rank) else { return Ok(None) };
            match members.seen(rank) {
                Some((_, last)) if last > as_of => return Ok(None),
                Some((first, last)) => add(Totals { first, last, events }),
                None => {}
            }
        }
    }
    let mut rows = Vec::new();
    recent(source, &identities, &NameId::is_event, &mut rows);
    let within = rows.iter().filter(|row| row.time <= as_of);
    within.for_each(|row| add(Totals { first: row.time, last: row.time, events: 1 }));
    Ok(Some(all))
}

/// An identity whose rows a segment may hold.
struct Stored {
    /// The person it is stored under.
    person: PersonId,
    identity: IdentityId,
    /// The list its rows go to.
    place: usize,
}

/// Adds the rows of some identities of one chunk, in the order of the persons and of themselves.
fn stored_rows(
    segment: &Segment,
    number: u32,
    stored: &[Stored],
    wanted: &impl Fn(NameId) -> bool,
    out: &mut [Vec<PersonRow>],
) -> Result<()> {
    let Some(chunk) = stored.first().map(|s| s.person >> 16) else { return Ok(()) };
    let Some(members) = segment.members_of(chunk)? else { return Ok(()) };
    // Of each person that the segment knows, by the place of an identity among the person's, whether it is wanted.
    let mut slots: Vec<Option<&Stored>> = Vec::new();
    let mut persons = Vec::new();
    for of_person in stored.chunk_by(|a, b| a.person == b.person) {
        let low = of_person.first().map_or(0, |s| s.person as u16);
        let Some(rank) = members.rank_of(low) else { continue };
        let begin = slots.len();
        slots.extend(members.identities(rank).map(|identity| {
            let at = of_person.binary_search_by_key(&identity, |s| s.identity).ok()?;
            of_person.get(at)
        }));
        persons.push((low, begin..slots.len()));
    }
    for (name_at, entry) in segment.directory().names.iter().enumerate() {
        let name = NameId(entry.name);
        let Ok(chunk_at) = entry.chunks.binary_search_by_key(&chunk, |c| c.chunk) else { continue };
        if persons.is_empty() || !wanted(name) {
            continue;
        }
        let block = segment.block(name_at, chunk_at)?;
        for (low, places) in &persons {
            let (Some(rank), Some(slots)) = (block.rank_of(*low), slots.get(places.clone())) else {
                continue;
            };
            let owner = segment.owner(&block, *low)?;
            for row in block.rows_of(rank) {
                let Some(of) = slots.get(block.slot(row)).copied().flatten() else { continue };
                let at = RowRef { source: number, chunk_at: chunk_at as u32, row: row as u32 };
                if let Some(out) = out.get_mut(of.place) {
                    out.push(PersonRow { name, time: block.time(row, owner), identity: of.identity, at });
                }
            }
        }
    }
    Ok(())
}

/// Adds the recent rows of some identities.
fn recent(
    source: &Source,
    identities: &[IdentityId],
    wanted: &impl Fn(NameId) -> bool,
    out: &mut Vec<PersonRow>,
) {
    for (number, run) in source.runs().iter().enumerate() {
        for name in run.names().into_iter().filter(|n| wanted(*n)) {
            for identity in identities {
                let base = run.rows().partition_point(|r| (r.name, r.identity) < (name, *identity));
                for (at, row) in run.of_identity(name, *identity).iter().enumerate() {
                    let source = RowRef::RECENT + number as u32;
                    let at = RowRef { source, chunk_at: 0, row: (base + at) as u32 };
                    out.push(PersonRow { name, time: row.time, identity: *identity, at });
                }
            }
        }
    }
}

/// An identify: that two identities are one person.
#[derive(Clone, Debug, Serialize)]
pub struct Link {
    /// When.
    pub time: String,
    /// The identity that it came under.
    pub identity: String,
    /// The other.
    pub other: String,
    /// Whether the two are one person now.
    pub joined: bool,
}

/// What made the person of `identity` of its identities: the first `limit` identifies that came under them, in the order of their times.
pub fn links(source: &Source, identity: &str, limit: usize) -> Result<Vec<Link>> {
    let snapshot = &source.snapshot;
    let person = find(source, identity)?;
    let mut rows = rows(source, person, |name| name == NameId::IDENTIFY)?;
    rows.sort_by_key(|r| (r.time, r.identity, r.at));
    let links = rows.into_iter().take(limit).map(|row| {
        let target = source.target(row.at)?;
        Ok(Link {
            time: format_millis(row.time),
            identity: snapshot.identity(row.identity)?,
            other: snapshot.identity(target)?,
            joined: snapshot.persons.person_of(target) == person,
        })
    });
    links.collect()
}

/// All that is stored under the identities of the person of `identity`: sets and identifies in the order of their arrival, then events
/// by time.
pub fn records(source: &Source, identity: &str) -> Result<Vec<(NameId, StoredRow)>> {
    let person = find(source, identity)?;
    let (mut sets, mut identifies) = (source.row_reader(NameId::SET), source.row_reader(NameId::IDENTIFY));
    let stored = rows(source, person, |_| true)?.into_iter().map(|row| {
        let (arrival, target) = match row.name {
            NameId::SET => (sets.arrival(row.at, row.time)?, 0),
            NameId::IDENTIFY => (identifies.arrival(row.at, row.time)?, source.target(row.at)?),
            _ => (0, 0),
        };
        let properties = source.properties(row.name, row.at)?;
        let properties = properties.into_iter().map(|(p, v)| (p, v.to_owned())).collect();
        Ok((row.name, StoredRow { identity: row.identity, time: row.time, target, arrival, properties }))
    });
    let mut stored: Vec<(NameId, StoredRow)> = stored.collect::<Result<_>>()?;
    stored.sort_by_key(|(name, row)| (name.is_event(), row.arrival, row.time, *name, row.identity));
    Ok(stored)
}

/// A page of the time line of the person of `identity`: events that are not later than `now`, newest first, from where `cursor` says,
/// perhaps of one name; up to `limit`, and no more than fit into [`limits::TIMELINE_BYTES`] of properties.
pub fn timeline(
    source: &Source,
    identity: &str,
    now: Millis,
    event: Option<&str>,
    limit: usize,
    cursor: Option<&str>,
) -> Result<Timeline> {
    let snapshot = &source.snapshot;
    let person = find(source, identity)?;
    let mut binder = Binder::new(snapshot);
    let only = event.map(|name| binder.event(name, "event"));
    let mut rows = rows(source, person, |name| name.is_event() && only.is_none_or(|o| o == Some(name)))?;
    rows.retain(|row| row.time <= now);
    // Newest first; names and places only make the order of one instant definite.
    rows.sort_by_key(|r| (std::cmp::Reverse(r.time), r.name, r.identity, r.at));
    let skip = match cursor {
        None => 0,
        Some(cursor) => place_of(cursor, &rows)?,
    };
    let (mut events, mut bytes) = (Vec::new(), 0);
    for row in rows.iter().skip(skip).take(limit) {
        let properties = named_properties(source, row.name, row.at)?;
        bytes += properties.iter().map(|(name, value)| property_len(name, *value)).sum::<usize>();
        if bytes > limits::TIMELINE_BYTES && !events.is_empty() {
            break;
        }
        events.push(TimelineEvent {
            event: snapshot.catalog.event_name(row.name).to_owned(),
            time: format_millis(row.time),
            identity: snapshot.identity(row.identity)?,
            properties: properties
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        });
    }
    let end = skip + events.len();
    let cursor = rows.get(end).map(|next| {
        let given = rows.get(..end).unwrap_or(&[]).iter().rev().take_while(|r| r.time == next.time).count();
        format!("{}.{given}", next.time)
    });
    Ok(Timeline { events, cursor, warnings: binder.warnings })
}

/// A cursor is the time of the next event and how many of that time were given already.
fn place_of(cursor: &str, rows: &[PersonRow]) -> Result<usize> {
    let bad = || Error::invalid("bad_cursor", "no cursor of this list").at("cursor");
    let (time, given) = cursor.split_once('.').ok_or_else(bad)?;
    let (time, given): (Millis, usize) =
        (time.parse().map_err(|_| bad())?, given.parse().map_err(|_| bad())?);
    Ok(rows.partition_point(|r| r.time > time).saturating_add(given))
}

/// The client's properties of a row by name. They are borrowed: those of one row take megabytes.
pub fn named_properties(source: &Source, name: NameId, at: RowRef) -> Result<BTreeMap<&str, ValueRef<'_>>> {
    let properties = source.properties(name, at)?.into_iter().filter(|(p, _)| *p != PropertyId::RECORD_ID);
    Ok(properties.map(|(p, v)| (source.snapshot.catalog.property_name(p), v)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_to_its_place_or_behind_the_end_or_is_refused() {
        let at = RowRef { source: 0, chunk_at: 0, row: 0 };
        let rows = [9, 7, 7, 3].map(|time| PersonRow { name: NameId::SET, time, identity: 0, at });
        let place = |cursor: &str| place_of(cursor, &rows).ok();
        assert_eq!((place("7.0"), place("7.1"), place("3.0")), (Some(1), Some(2), Some(3)));
        let behind = format!("3.{}", usize::MAX);
        assert!(place(&behind).unwrap() >= rows.len());
        assert_eq!((place("7"), place("7.-1"), place("x.1")), (None, None, None));
    }
}
