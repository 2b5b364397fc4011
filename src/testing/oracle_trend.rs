//! The oracle's trends and lifecycles: every event written down with its person and unit, and every number counted from that list.

use jiff::civil::Date;
use serde_json::{Map, Value as Json, json};

use super::oracle::{Oracle, Person, sum, value_json};
use super::oracle_audience;
use super::oracle_query::{
    Pattern, Range, Scope, as_of, field, list, meant, object, only, parse, text, whole, wrong,
};
use super::oracle_units::Units;
use crate::error::Result;
use crate::model::{Millis, Number, Value, Zone};

const FIELDS: [&str; 16] = [
    "series",
    "measure",
    "property",
    "unit",
    "week_start",
    "by",
    "limit",
    "from",
    "to",
    "tz",
    "as_of",
    "people",
    "number",
    "start",
    "segment",
    "cursor",
];

struct Query {
    map: Map<String, Json>,
    scope: Scope,
    range: Range,
    units: Units,
}

/// A matching event: the place of its person, its unit, its segment, its number.
type Row = (usize, Date, Json, Option<Number>);

impl Query {
    fn read(query: &str, now: Millis, known: &[&str], unit: &str) -> Result<Self> {
        let map = object(&parse(query)?)?.clone();
        only(&map, known)?;
        let zone = text(&map, "tz")?.map_or(Ok(Zone::utc()), Zone::parse)?;
        let as_of = as_of(&map, &zone, now)?;
        let range = Range::read(&map, &zone)?;
        let units = Units::read(&map, unit)?;
        Ok(Self { range, units, scope: Scope { zone, as_of }, map })
    }

    fn people<'a>(&self, oracle: &'a Oracle) -> Result<Vec<Person<'a>>> {
        let mut out = Vec::new();
        for person in oracle.everybody() {
            let holds = match field(&self.map, "people") {
                Some(audience) => oracle_audience::holds(audience, &person, &self.scope)?,
                None => true,
            };
            if holds {
                out.push(person);
            }
        }
        Ok(out)
    }

    fn rows(&self, people: &[Person<'_>], series: &Map<String, Json>) -> Result<Vec<Row>> {
        let pattern = Pattern::read(series, "event")?;
        let property = text(series, "property")?.or(text(&self.map, "property")?);
        let mut out = Vec::new();
        for (place, person) in people.iter().enumerate() {
            for event in &person.events {
                if event.time > self.scope.as_of || !self.range.holds(event.time) || !pattern.matches(event) {
                    continue;
                }
                let segment = match text(&self.map, "by")?.map(|by| by.split_once('.')) {
                    None => Json::Null,
                    Some(Some(("event", name))) => value_json(event.property(name)),
                    Some(Some(("person", name))) => value_json(person.latest(name, self.scope.as_of)),
                    Some(Some(("first:person", name))) => value_json(person.first(name, self.scope.as_of)),
                    Some(_) => return Err(wrong("what it is split by")),
                };
                let number = match property.and_then(|p| event.property(p)) {
                    Some(Value::Number(n)) => Some(*n),
                    _ => None,
                };
                out.push((place, self.units.day_of(event.time)?, segment, number));
            }
        }
        Ok(out)
    }
}

fn measured(measure: &str, rows: &[&Row]) -> Json {
    let mut people: Vec<usize> = rows.iter().map(|r| r.0).collect();
    people.sort_unstable();
    people.dedup();
    let numbers: Vec<Number> = rows.iter().filter_map(|r| r.3).collect();
    let total = sum(numbers.iter().copied());
    let over = |a: f64, b: usize| if b == 0 { Json::Null } else { json!(a / b as f64) };
    match measure {
        "events" => json!(rows.len()),
        "people" => json!(people.len()),
        "per_person" => over(rows.len() as f64, people.len()),
        "sum" => json!(total),
        "mean" => over(total.to_f64(), numbers.len()),
        _ => {
            let mut values: Vec<f64> = numbers.iter().map(|n| n.to_f64()).collect();
            values.sort_by(f64::total_cmp);
            match values.len() {
                0 => Json::Null,
                n if n % 2 == 1 => json!(values.get(n / 2)),
                n => over(values.iter().skip(n / 2 - 1).take(2).sum(), 2),
            }
        }
    }
}

fn points(measure: &str, rows: &[&Row], days: &[Date]) -> Json {
    let point = |day: &Date| {
        let here: Vec<&Row> = rows.iter().copied().filter(|r| r.1 == *day).collect();
        json!({"start": day.to_string(), "value": measured(measure, &here)})
    };
    json!({"points": days.iter().map(point).collect::<Vec<_>>(), "total": measured(measure, rows)})
}

fn measure_of<'q>(query: &'q Query, series: &'q Map<String, Json>) -> Result<&'q str> {
    Ok(text(series, "measure")?.or(text(&query.map, "measure")?).unwrap_or("events"))
}

/// The answer to a query for trends.
pub(super) fn trend(oracle: &Oracle, query: &str, now: Millis) -> Result<Json> {
    let query = Query::read(query, now, &FIELDS, "day")?;
    let people = query.people(oracle)?;
    let mut all = Vec::new();
    for series in list(&query.map, "series")? {
        let series = object(series)?;
        all.push((series, query.rows(&people, series)?));
    }
    let days: Vec<Date> = all.iter().flat_map(|(_, rows)| rows.iter().map(|r| r.1)).collect();
    let days = query.units.shown(query.range, query.scope.as_of, &days)?;
    let limit = whole(&query.map, "limit")?.unwrap_or(25);
    let mut out = Vec::new();
    for (series, rows) in &all {
        let measure = measure_of(&query, series)?;
        let refs: Vec<&Row> = rows.iter().collect();
        let mut answer = points(measure, &refs, &days);
        answer["event"] = series.get("event").cloned().unwrap_or(Json::Null);
        answer["measure"] = measure.into();
        if field(&query.map, "by").is_some() {
            let mut names: Vec<Json> = Vec::new();
            for row in rows {
                if !names.contains(&row.2) {
                    names.push(row.2.clone());
                }
            }
            let of = |name: &Json| rows.iter().filter(|r| r.2 == *name).collect::<Vec<_>>();
            let value = |name: &Json| Value::from_json(&name.to_string()).ok().flatten();
            names.sort_by(|a, b| of(b).len().cmp(&of(a).len()).then_with(|| value(a).cmp(&value(b))));
            let mut segments = Vec::new();
            for name in names.iter().take(limit) {
                let mut segment = points(measure, &of(name), &days);
                segment["value"] = name.clone();
                segments.push(segment);
            }
            if names.len() > limit {
                let rest: Vec<&Row> = names.iter().skip(limit).flat_map(of).collect();
                let mut segment = points(measure, &rest, &days);
                segment["other"] = true.into();
                segments.push(segment);
            }
            answer["segments"] = segments.into();
        }
        out.push(answer);
    }
    Ok(json!({ "series": out }))
}

fn listed(people: &[Person<'_>], places: &[usize]) -> Json {
    let chosen: Vec<Json> = people
        .iter()
        .enumerate()
        .filter(|(place, _)| places.contains(place))
        .map(|(_, person)| json!({"person": person.display, "identities": person.identities}))
        .collect();
    json!({"total": chosen.len(), "people": chosen})
}

/// Everybody behind a point of it.
pub(super) fn people(oracle: &Oracle, query: &str, now: Millis) -> Result<Json> {
    let query = Query::read(query, now, &FIELDS, "day")?;
    let people = query.people(oracle)?;
    let number = whole(&query.map, "number")?.unwrap_or(1);
    let series = list(&query.map, "series")?.get(number - 1).ok_or_else(|| wrong("the number"))?;
    let start = text(&query.map, "start")?;
    let rows = query.rows(&people, object(series)?)?;
    let values: Vec<Json> = rows.iter().map(|r| r.2.clone()).collect();
    let segment = query.map.get("segment").map(|label| meant(label, &values));
    let wanted = rows.iter().filter(|r| {
        start.is_none_or(|start| r.1.to_string() == start) && segment.as_ref().is_none_or(|s| *s == r.2)
    });
    let places: Vec<usize> = wanted.map(|r| r.0).collect();
    Ok(listed(&people, &places))
}

const LIFECYCLE: [&str; 11] =
    ["event", "unit", "week_start", "from", "to", "tz", "as_of", "people", "start", "which", "cursor"];

/// What somebody is in the unit that begins on `day`, whose active units are `days`.
fn stage(query: &Query, days: &[Date], day: Date) -> Result<Option<&'static str>> {
    let before = query.units.before(day)?;
    Ok(match (days.contains(&day), days.contains(&before)) {
        (true, true) => Some("returning"),
        (true, false) if days.iter().any(|d| *d < day) => Some("resurrected"),
        (true, false) => Some("new"),
        (false, true) => Some("dormant"),
        (false, false) => None,
    })
}

fn active<'a>(oracle: &'a Oracle, query: &Query) -> Result<(Vec<Person<'a>>, Vec<Vec<Date>>)> {
    let people = query.people(oracle)?;
    let pattern = field(&query.map, "event").map(|_| Pattern::read(&query.map, "event")).transpose()?;
    let mut days = Vec::new();
    for person in &people {
        let seen = person.events.iter().filter(|e| e.time <= query.scope.as_of);
        let counted = seen.filter(|e| pattern.as_ref().is_none_or(|p| p.matches(e)));
        days.push(counted.map(|e| query.units.day_of(e.time)).collect::<Result<Vec<_>>>()?);
    }
    Ok((people, days))
}

/// The answer to a lifecycle query.
pub(super) fn lifecycle(oracle: &Oracle, query: &str, now: Millis) -> Result<Json> {
    let query = Query::read(query, now, &LIFECYCLE, "week")?;
    let (_, days) = active(oracle, &query)?;
    let all: Vec<Date> = days.iter().flatten().copied().collect();
    let mut points = Vec::new();
    for day in query.units.shown(query.range, query.scope.as_of, &all)? {
        let mut point =
            json!({"start": day.to_string(), "new": 0, "returning": 0, "resurrected": 0, "dormant": 0});
        for days in &days {
            if let Some(stage) = stage(&query, days, day)? {
                point[stage] = (point[stage].as_u64().unwrap_or(0) + 1).into();
            }
        }
        points.push(point);
    }
    Ok(json!({ "points": points }))
}

/// Everybody of a stage in a unit.
pub(super) fn lifecycle_people(oracle: &Oracle, query: &str, now: Millis) -> Result<Json> {
    let query = Query::read(query, now, &LIFECYCLE, "week")?;
    let (people, days) = active(oracle, &query)?;
    let start: Date =
        text(&query.map, "start")?.unwrap_or_default().parse().map_err(|_| wrong("the start"))?;
    let mut places = Vec::new();
    for (place, days) in days.iter().enumerate() {
        if stage(&query, days, start)? == text(&query.map, "which")? {
            places.push(place);
        }
    }
    Ok(listed(&people, &places))
}
