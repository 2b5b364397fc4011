//! The oracle's search for people: everybody is asked, one by one.

use serde_json::{Map, Value as Json, json};

use super::oracle::{Event, Oracle, value_json};
use super::oracle_audience;
use super::oracle_query::{Range, Scope, as_of, field, list, object, only, parse, text};
use super::random::PROPERTIES;
use crate::error::Result;
use crate::model::{Millis, Zone, format_millis};

/// Everybody who meets the audience; all pages in one. Without columns the properties that histories have are given.
pub(super) fn people(oracle: &Oracle, query: &str, now: Millis) -> Result<Json> {
    let map = object(&parse(query)?)?.clone();
    only(&map, &["people", "columns", "limit", "cursor", "from", "to", "tz", "as_of"])?;
    let zone = text(&map, "tz")?.map_or(Ok(Zone::utc()), Zone::parse)?;
    let range = Range::read(&map, &zone)?;
    let scope = Scope { as_of: as_of(&map, &zone, now)?, zone };
    let mut columns: Vec<String> =
        list(&map, "columns")?.iter().filter_map(|c| c.as_str().map(str::to_owned)).collect();
    if columns.is_empty() {
        columns = PROPERTIES.iter().map(|p| format!("person.{p}")).collect();
    }
    let mut out = Vec::new();
    for person in oracle.everybody() {
        if let Some(audience) = field(&map, "people")
            && !oracle_audience::holds(audience, &person, &scope)?
        {
            continue;
        }
        let seen: Vec<&Event<'_>> = person.events.iter().filter(|e| e.time <= scope.as_of).collect();
        let bounded = range.from.is_some() || range.to.is_some();
        if bounded && !seen.iter().any(|e| range.holds(e.time)) {
            continue;
        }
        let mut properties = Map::new();
        for column in &columns {
            let (name, value) = match column.strip_prefix("first:person.") {
                Some(name) => (format!("first:{name}"), person.first(name, scope.as_of)),
                None => {
                    let name = column.strip_prefix("person.").unwrap_or_default();
                    (name.to_owned(), person.latest(name, scope.as_of))
                }
            };
            if value.is_some() {
                properties.insert(name, value_json(value));
            }
        }
        out.push(json!({"person": person.display, "identities": person.identities, "properties": properties,
            "first_seen": seen.first().map(|e| format_millis(e.time)),
            "last_seen": seen.last().map(|e| format_millis(e.time)), "events": seen.len()}));
    }
    Ok(json!({"total": out.len(), "people": out}))
}
