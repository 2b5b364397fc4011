//! The oracle's cohorts. Every cell is counted from the list of its people, and every period is asked of the calendar library.

use jiff::{Timestamp, ToSpan, civil::Weekday, tz::TimeZone};
use serde_json::{Map, Value as Json, json};

use super::oracle::{Event, Oracle, Person, sum, value_json};
use super::oracle_audience;
use super::oracle_query::{
    Pattern, Range, Scope, as_of, field, meant, object, only, parse, text, whole, wrong,
};
use super::oracle_units::is_there;
use crate::error::Result;
use crate::model::{Millis, Number, Value, Zone, format_millis};

const FIELDS: [&str; 20] = [
    "start",
    "return",
    "cohort",
    "bucket",
    "count",
    "buckets",
    "mode",
    "measure",
    "property",
    "by",
    "limit",
    "week_start",
    "from",
    "to",
    "tz",
    "as_of",
    "people",
    "row",
    "column",
    "cursor",
];

struct Query {
    map: Map<String, Json>,
    zone: TimeZone,
    scope: Scope,
}

/// Somebody who started, with all their returns.
struct Member<'a> {
    person: Person<'a>,
    start: Millis,
    /// Bucket and what the event adds to a sum.
    returns: Vec<(i64, Number)>,
    /// Its unit of time or its value.
    row: Json,
}

impl Query {
    fn read(query: &str, now: Millis) -> Result<Self> {
        let map = object(&parse(query)?)?.clone();
        only(&map, &FIELDS)?;
        let name = text(&map, "tz")?.unwrap_or("UTC");
        let zone = Zone::parse(name)?;
        let as_of = as_of(&map, &zone, now)?;
        let zone_of_library = TimeZone::get(name).map_err(|e| wrong(&e.to_string()))?;
        Ok(Self { map, zone: zone_of_library, scope: Scope { zone, as_of } })
    }

    fn is(&self, name: &str, value: &str) -> bool {
        field(&self.map, name).and_then(Json::as_str) == Some(value)
    }

    fn unit(&self, name: &str, default: &'static str) -> String {
        field(&self.map, name).and_then(Json::as_str).unwrap_or(default).to_owned()
    }

    fn cohort_unit(&self) -> String {
        self.unit("cohort", "month")
    }

    fn bucket_unit(&self) -> String {
        let cohort = self.cohort_unit();
        field(&self.map, "bucket").and_then(Json::as_str).map_or(cohort, str::to_owned)
    }

    fn count(&self) -> usize {
        whole(&self.map, "count").ok().flatten().unwrap_or(12)
    }

    fn week_start(&self) -> Weekday {
        match field(&self.map, "week_start").and_then(Json::as_str) {
            Some("sunday") => Weekday::Sunday,
            Some("wednesday") => Weekday::Wednesday,
            _ => Weekday::Monday,
        }
    }

    /// The instant `count` units after `t`.
    fn shift(&self, t: Millis, unit: &str, count: i64) -> Result<Millis> {
        let span = match unit {
            "day" => count.days(),
            "week" => count.weeks(),
            _ => count.months(),
        };
        let zoned =
            stamp(t)?.to_zoned(self.zone.clone()).checked_add(span).map_err(|e| wrong(&e.to_string()))?;
        Ok(zoned.timestamp().as_millisecond())
    }

    /// The first day of the unit that holds `t`.
    fn day_of(&self, t: Millis, unit: &str) -> Result<jiff::civil::Date> {
        let date = stamp(t)?.to_zoned(self.zone.clone()).date();
        Ok(match unit {
            "day" => date,
            "week" => {
                let mut date = date;
                while date.weekday() != self.week_start() {
                    date = date.yesterday().map_err(|e| wrong(&e.to_string()))?;
                }
                date
            }
            _ => date.first_of_month(),
        })
    }

    /// The instant at which bucket `k` of somebody who started at `start` begins.
    fn begin(&self, start: Millis, k: i64) -> Result<Millis> {
        let unit = self.bucket_unit();
        if !self.is("buckets", "calendar") {
            return self.shift(start, &unit, k);
        }
        let span = if unit == "week" { k.weeks() } else { k.months() };
        let mut day = self.day_of(start, &unit)?;
        if unit == "day" {
            // A day that the zone never had is none.
            for _ in 0..k {
                day = self.tomorrow(day)?;
            }
        } else {
            day = day.checked_add(span).map_err(|e| wrong(&e.to_string()))?;
        }
        self.scope.zone.start_of(day)
    }

    /// The next day that there is.
    fn tomorrow(&self, day: jiff::civil::Date) -> Result<jiff::civil::Date> {
        let failed = |e: jiff::Error| wrong(&e.to_string());
        let mut next = day.tomorrow().map_err(failed)?;
        while !is_there(next, &self.zone)? {
            next = next.tomorrow().map_err(failed)?;
        }
        Ok(next)
    }

    fn bucket(&self, start: Millis, t: Millis) -> Result<i64> {
        let mut k = 0;
        while self.begin(start, k + 1)? <= t {
            k += 1;
        }
        Ok(k)
    }

    fn row(&self, person: &Person<'_>, start: Millis) -> Result<Json> {
        let value = |v: Option<&Value>| value_json(v);
        match text(&self.map, "by")? {
            None => {
                let unit = self.cohort_unit();
                let date = self.day_of(start, &unit)?.to_string();
                Ok(if unit == "month" { date.get(..7).unwrap_or_default().into() } else { date.into() })
            }
            Some(by) => match by.split_once('.') {
                Some(("person", name)) => Ok(value(person.latest(name, self.scope.as_of))),
                Some(("first:person", name)) => Ok(value(person.first(name, self.scope.as_of))),
                Some(("at:person", name)) => Ok(value(person.latest(name, start))),
                _ => Err(wrong(by)),
            },
        }
    }
}

fn stamp(t: Millis) -> Result<Timestamp> {
    Timestamp::from_millisecond(t).map_err(|e| wrong(&e.to_string()))
}

fn members<'a>(oracle: &'a Oracle, query: &Query) -> Result<Vec<Member<'a>>> {
    let start = Pattern::read(object(query.map.get("start").unwrap_or(&Json::Null))?, "event")?;
    let returns = Pattern::read(object(query.map.get("return").unwrap_or(&Json::Null))?, "event")?;
    let range = Range::read(&query.map, &query.scope.zone)?;
    let property = text(&query.map, "property")?;
    let mut out = Vec::new();
    for person in oracle.everybody() {
        if let Some(audience) = field(&query.map, "people")
            && !oracle_audience::holds(audience, &person, &query.scope)?
        {
            continue;
        }
        let seen: Vec<Event<'_>> =
            person.events.iter().copied().filter(|e| e.time <= query.scope.as_of).collect();
        let Some(begin) = seen.iter().filter(|e| start.matches(e)).map(|e| e.time).min() else { continue };
        if !range.holds(begin) {
            continue;
        }
        // The start itself is no return: an event that cannot be one if there is such, else the first of the instant.
        let starts: Vec<usize> = (0..seen.len())
            .filter(|i| seen.get(*i).is_some_and(|e| e.time == begin && start.matches(e)))
            .collect();
        let is_return = |i: &usize| seen.get(*i).is_some_and(|e| returns.matches(e));
        let itself = starts.iter().find(|i| !is_return(i)).or(starts.first()).copied();
        let mut list = Vec::new();
        for (i, event) in seen.iter().enumerate() {
            if event.time >= begin && returns.matches(event) && Some(i) != itself {
                let amount = property.and_then(|p| event.property(p)).and_then(|v| match v {
                    Value::Number(n) => Some(*n),
                    _ => None,
                });
                list.push((query.bucket(begin, event.time)?, amount.unwrap_or(Number::ZERO)));
            }
        }
        let row = query.row(&person, begin)?;
        out.push(Member { person, start: begin, returns: list, row });
    }
    Ok(out)
}

fn came(query: &Query, member: &Member<'_>, k: usize) -> bool {
    let k = k as i64;
    let at_least = query.is("mode", "at_least");
    member.returns.iter().any(|(bucket, _)| *bucket == k || (at_least && *bucket > k))
}

fn row_json(query: &Query, name: Option<&Json>, members: &[&Member<'_>]) -> Result<Json> {
    let mut cells = Vec::new();
    for k in 0..query.count() {
        let people = members.iter().filter(|m| came(query, m, k)).count();
        let mut complete = true;
        for member in members {
            complete &= query.begin(member.start, k as i64 + 1)? <= query.scope.as_of + 1;
        }
        let share = if members.is_empty() { Json::Null } else { json!(people as f64 / members.len() as f64) };
        let mut cell = json!({"people": people, "share": share, "complete": complete});
        let at_least = query.is("mode", "at_least");
        let counted = members.iter().flat_map(|m| &m.returns);
        let counted = counted.filter(|(b, _)| *b == k as i64 || (at_least && *b > k as i64));
        if query.is("measure", "events") {
            cell["value"] = counted.count().into();
        } else if query.is("measure", "sum") {
            cell["value"] = json!(sum(counted.map(|(_, n)| *n)));
        }
        cells.push(cell);
    }
    let mut row = json!({"size": members.len(), "cells": cells});
    match name {
        Some(name) => row["cohort"] = name.clone(),
        None => row["other"] = true.into(),
    }
    Ok(row)
}

/// The members of each cohort in the order of the report; those of the others last, without a name.
fn rows<'m, 'a>(
    query: &Query,
    members: &'m [Member<'a>],
) -> Result<Vec<(Option<Json>, Vec<&'m Member<'a>>)>> {
    let of = |name: &Json| members.iter().filter(|m| m.row == *name).collect::<Vec<_>>();
    if field(&query.map, "by").is_none() {
        let mut out = Vec::new();
        let (first, last) = (
            members.iter().map(|m| m.start).min().unwrap_or(1),
            members.iter().map(|m| m.start).max().unwrap_or(0),
        );
        let unit = query.cohort_unit();
        if first > last {
            return Ok(out);
        }
        let (mut day, last) = (query.day_of(first, &unit)?, query.day_of(last, &unit)?);
        while day <= last {
            let date = day.to_string();
            let name: Json =
                if unit == "month" { date.get(..7).unwrap_or_default().into() } else { date.as_str().into() };
            out.push((Some(name.clone()), of(&name)));
            day = match unit.as_str() {
                "day" => query.tomorrow(day)?,
                "week" => day.checked_add(1.weeks()).map_err(|e| wrong(&e.to_string()))?,
                _ => day.checked_add(1.months()).map_err(|e| wrong(&e.to_string()))?,
            };
        }
        return Ok(out);
    }
    let mut names: Vec<Json> = Vec::new();
    for member in members {
        if !names.contains(&member.row) {
            names.push(member.row.clone());
        }
    }
    names.sort_by_key(|name| (std::cmp::Reverse(of(name).len()), order_of(name)));
    let limit = whole(&query.map, "limit")?.unwrap_or(25);
    let shown = names.get(..limit.min(names.len())).unwrap_or(&[]).to_vec();
    let mut out: Vec<_> = shown.iter().map(|name| (Some(name.clone()), of(name))).collect();
    if shown.len() < names.len() {
        out.push((None, members.iter().filter(|m| !shown.contains(&m.row)).collect()));
    }
    Ok(out)
}

/// No value, then booleans, numbers and text.
fn order_of(value: &Json) -> Option<Value> {
    Value::from_json(&value.to_string()).ok().flatten()
}

/// The answer to a cohort query.
pub(super) fn cohort(oracle: &Oracle, query: &str, now: Millis) -> Result<Json> {
    let query = Query::read(query, now)?;
    let members = members(oracle, &query)?;
    let rows = rows(&query, &members)?;
    let cohorts = rows
        .iter()
        .map(|(name, members)| row_json(&query, name.as_ref(), members))
        .collect::<Result<Vec<_>>>()?;
    let average: Vec<Json> = (0..query.count())
        .map(|k| {
            let complete = cohorts.iter().filter(|c| c["cells"][k]["complete"] == true);
            let (mut people, mut size) = (0, 0);
            for row in complete {
                people += row["cells"][k]["people"].as_u64().unwrap_or(0);
                size += row["size"].as_u64().unwrap_or(0);
            }
            if size == 0 { Json::Null } else { json!(people as f64 / size as f64) }
        })
        .collect();
    Ok(json!({"cohorts": cohorts, "average": average}))
}

/// Everybody in a cell, or in a whole cohort.
pub(super) fn people(oracle: &Oracle, query: &str, now: Millis) -> Result<Json> {
    let query = Query::read(query, now)?;
    let column = whole(&query.map, "column")?;
    let members = members(oracle, &query)?;
    let values: Vec<Json> = members.iter().map(|m| m.row.clone()).collect();
    let row = query.map.get("row").map(|row| meant(row, &values));
    let wanted = |m: &&Member<'_>| {
        let row = row.as_ref().is_none_or(|row| *row == m.row);
        row && column.is_none_or(|k| came(&query, m, k))
    };
    let people: Vec<Json> = members
        .iter()
        .filter(wanted)
        .map(|m| {
            let came: Vec<usize> = (0..query.count()).filter(|k| came(&query, m, *k)).collect();
            let (person, start) = (&m.person, format_millis(m.start));
            json!({"person": person.display, "identities": person.identities, "start": start, "came": came})
        })
        .collect();
    Ok(json!({"total": people.len(), "people": people}))
}
