//! People search: the bitmap of those who meet an audience, and a page of what is known of them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::audience;
use super::binder::Binder;
use super::fitting::{Page, fitting};
use super::listing;
use super::person::{PersonRow, rows_of, totals_of};
use super::scope::{Scope, View, map_scopes};
use super::source::{RowReader, Source};
use crate::engine::{Names, Snapshot};
use crate::error::Result;
use crate::limits;
use crate::model::{Millis, NameId, PersonId, PropertyId, Value, ValueRef, format_millis};
use crate::report::{Audience, Column, People, Warning};
use crate::store::segment::members::Totals;
use crate::threads::{processors, spread};

/// The answer to a search.
#[derive(Clone, Debug, Serialize)]
pub struct PeopleReport {
    /// How many meet it, on all pages.
    pub total: u64,
    /// A page of them, in the order of their ids.
    pub people: Vec<Found>,
    /// Where the next page begins.
    pub cursor: Option<String>,
    /// What nobody ever sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// One of them.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// What it is called.
    #[serde(flatten)]
    pub names: Names,
    /// The properties asked for that it has.
    pub properties: BTreeMap<String, Value>,
    /// How many more of them it has than are listed here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more_properties: Option<usize>,
    /// Time of the first event.
    pub first_seen: Option<String>,
    /// Time of the last event.
    pub last_seen: Option<String>,
    /// Events in all.
    pub events: u64,
}

/// The audience of a search: with a range only those with any event in it.
fn audience_of(query: &People) -> Audience {
    let basis = &query.basis;
    let mut all: Vec<Audience> = basis.people.iter().cloned().collect();
    if basis.period.from.is_some() || basis.period.to.is_some() {
        all.push(Audience::Seen { from: basis.from(), to: basis.to() });
    }
    Audience::All(all)
}

/// The names of which a search reads the rows of everybody.
pub fn names(query: &People, snapshot: &Snapshot) -> Vec<NameId> {
    let mut names = Vec::new();
    audience::names(&audience_of(query), snapshot, &mut names);
    names.sort_unstable();
    names.dedup();
    names
}

/// Answers a search.
pub fn people(view: &View, query: &People, as_of: Millis) -> Result<PeopleReport> {
    let snapshot = &view.source.snapshot;
    let mut binder = Binder::new(snapshot);
    binder.basis(&query.basis);
    for column in &query.columns {
        binder.property(&column.property, "columns");
    }
    let audience = audience_of(query);
    let (scopes, warnings) = (view.all_scopes(), binder.warnings);
    if query.limit == 0 {
        let mut total = 0;
        let count = |scope: &Scope<'_>| audience::count(&audience, scope, as_of);
        map_scopes(&scopes, count, |part| {
            total += part;
            Ok(())
        })?;
        return Ok(PeopleReport { total, people: Vec::new(), cursor: None, warnings });
    }
    let found = listing::gather(&scopes, |scope| audience::decide(&audience, scope, as_of))?;
    let (page, cursor) = listing::page(&found, query.limit, query.cursor.as_deref())?;
    let (people, cursor) = describe(&view.source, &page, query, as_of)?.finish(cursor);
    Ok(PeopleReport { total: found.len(), people, cursor, warnings })
}

/// Persons of a page for which another thread is worth its start.
const SHARED_PERSONS: usize = 200;

/// What is known of the persons of a page, as far as they fit. Half of a longer page is looked up beside the other half.
fn describe(source: &Source, persons: &[PersonId], query: &People, as_of: Millis) -> Result<Page<Found>> {
    let part = |persons: &[PersonId]| -> Result<Page<Found>> {
        let sets = rows_of(source, persons, |name| name == NameId::SET)?;
        let totals = totals_of(source, persons, as_of)?;
        let mut reader = source.row_reader(NameId::SET);
        let mut page = Page::new();
        for ((id, sets), totals) in persons.iter().zip(sets).zip(totals) {
            if !page.has_room(*id) {
                break;
            }
            let properties = properties(&source.snapshot, &mut reader, sets, query, as_of)?;
            page.add(*id, found(&source.snapshot, *id, properties, totals)?);
        }
        Ok(page)
    };
    if persons.len() < SHARED_PERSONS {
        return part(persons);
    }
    let (mine, others) = persons.split_at(persons.len() / 2);
    let mut page = Page::new();
    spread(&[mine, others], processors(), |half| part(half))?.into_iter().for_each(|half| page.join(half));
    Ok(page)
}

fn found(
    snapshot: &Snapshot,
    id: PersonId,
    (properties, more_properties): (BTreeMap<String, Value>, Option<usize>),
    totals: Option<Totals>,
) -> Result<Found> {
    Ok(Found {
        names: snapshot.names_of(id, limits::LISTED_IDENTITIES_BYTES)?,
        properties,
        more_properties,
        first_seen: totals.map(|t| format_millis(t.first)),
        last_seen: totals.map(|t| format_millis(t.last)),
        events: totals.map_or(0, |t| t.events),
    })
}

/// The properties asked for of the person of some `set` rows, as far as they fit, and how many more there are.
fn properties(
    snapshot: &Snapshot,
    reader: &mut RowReader<'_>,
    mut sets: Vec<PersonRow>,
    query: &People,
    as_of: Millis,
) -> Result<(BTreeMap<String, Value>, Option<usize>)> {
    sets.retain(|row| row.time <= as_of);
    let values = ends(reader, &sets)?;
    if query.columns.is_empty() {
        let named = |property: PropertyId| snapshot.catalog.property_name(property);
        let latest = values.into_iter().map(|(property, (_, latest))| (named(property), latest));
        return Ok(fitting(latest.collect(), limits::LISTED_PROPERTIES_BYTES));
    }
    let value = |column: &Column| {
        let (first, latest) = *values.get(&snapshot.property(&column.property)?)?;
        Some((column.name(), if column.first { first } else { latest }))
    };
    Ok(fitting(query.columns.iter().filter_map(value).collect(), limits::LISTED_COLUMNS_BYTES))
}

/// The first and the latest value of each property that `set` rows have.
fn ends<'a>(
    reader: &mut RowReader<'a>,
    sets: &[PersonRow],
) -> Result<BTreeMap<PropertyId, (ValueRef<'a>, ValueRef<'a>)>> {
    let mut ordered = Vec::with_capacity(sets.len());
    for row in sets {
        ordered.push((row.time, reader.arrival(row.at, row.time)?, row.at));
    }
    ordered.sort_by_key(|(time, arrival, _)| (*time, *arrival));
    let mut out = BTreeMap::new();
    for (_, _, at) in ordered {
        reader.properties(at, |property, value| {
            if property != PropertyId::RECORD_ID {
                out.entry(property).and_modify(|(_, latest)| *latest = value).or_insert((value, value));
            }
        })?;
    }
    Ok(out)
}
