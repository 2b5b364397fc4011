//! The oracle's paths: everybody's way written down, equal ways counted.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::oracle::{Event, Oracle, Person};
use super::oracle_audience;
use super::oracle_query::{Pattern, Range, Scope, as_of, field, object, only, parse, text, whole, wrong};
use crate::error::Result;
use crate::model::{Millis, Zone};

const FIELDS: [&str; 13] = [
    "start", "goal", "events", "side", "limit", "from", "to", "tz", "as_of", "people", "path", "shown",
    "cursor",
];

/// The person, the way, and how long it took.
type Went<'a> = (Person<'a>, Vec<(String, u64)>, Millis);

fn pattern(map: &Map<String, Json>, name: &str) -> Result<Option<Pattern>> {
    field(map, name).map(|p| Pattern::read(object(p)?, "event")).transpose()
}

fn ways<'a>(oracle: &'a Oracle, map: &Map<String, Json>, now: Millis) -> Result<Vec<Went<'a>>> {
    only(map, &FIELDS)?;
    let zone = text(map, "tz")?.map_or(Ok(Zone::utc()), Zone::parse)?;
    let as_of = as_of(map, &zone, now)?;
    let range = Range::read(map, &zone)?;
    let scope = Scope { zone, as_of };
    let (start, goal) = (pattern(map, "start")?, pattern(map, "goal")?);
    let most = whole(map, "events")?.unwrap_or(5);
    let last = text(map, "side")?.map_or(start.is_none(), |side| side == "last");
    let mut out = Vec::new();
    for person in oracle.everybody() {
        if let Some(audience) = field(map, "people")
            && !oracle_audience::holds(audience, &person, &scope)?
        {
            continue;
        }
        let seen: Vec<Event<'_>> = person.events.iter().copied().filter(|e| e.time <= as_of).collect();
        let first = |pattern: &Pattern| {
            seen.iter().filter(|e| range.holds(e.time) && pattern.matches(e)).map(|e| e.time).min()
        };
        let ends = match (&start, &goal) {
            (Some(start), None) => first(start).map(|t| (t, Millis::MAX)),
            (None, Some(goal)) => first(goal).map(|t| (Millis::MIN, t)),
            (Some(start), Some(goal)) => first(start).and_then(|begin| {
                let mut best: Option<Millis> = None;
                for (i, s) in seen.iter().enumerate() {
                    for (j, g) in seen.iter().enumerate() {
                        let pair = s.time == begin
                            && start.matches(s)
                            && goal.matches(g)
                            && g.time >= begin
                            && i != j;
                        if pair && best.is_none_or(|b| g.time < b) {
                            best = Some(g.time);
                        }
                    }
                }
                best.map(|end| (begin, end))
            }),
            (None, None) => return Err(wrong("paths without ends")),
        };
        let Some((after, before)) = ends else { continue };
        let mut way: Vec<(String, u64)> = Vec::new();
        for event in seen.iter().filter(|e| after < e.time && e.time < before) {
            match way.last_mut().filter(|(name, _)| name == event.name) {
                Some((_, times)) => *times += 1,
                None => way.push((event.name.to_owned(), 1)),
            }
        }
        let drop = way.len().saturating_sub(most);
        if last {
            way.drain(..drop);
        } else {
            way.truncate(most);
        }
        out.push((person, way, before.saturating_sub(after)));
    }
    Ok(out)
}

/// The answer to a query for paths.
pub(super) fn paths(oracle: &Oracle, query: &str, now: Millis) -> Result<Json> {
    let map = object(&parse(query)?)?.clone();
    let all = ways(oracle, &map, now)?;
    let mut counted: BTreeMap<Vec<(String, u64)>, Vec<Millis>> = BTreeMap::new();
    for (_, way, took) in &all {
        counted.entry(way.clone()).or_default().push(*took);
    }
    let mut counted: Vec<_> = counted.into_iter().collect();
    // Stable: equally common ones stay in the order of their names.
    counted.sort_by_key(|(_, people)| std::cmp::Reverse(people.len()));
    let limit = whole(&map, "limit")?.unwrap_or(50);
    let timed = field(&map, "start").is_some() && field(&map, "goal").is_some();
    let mut shown = Vec::new();
    let mut people_shown = 0;
    for (way, mut took) in counted.into_iter().take(limit) {
        took.sort_unstable();
        let (low, high) = (took.get((took.len() - 1) / 2), took.get(took.len() / 2));
        let median = low.zip(high).map(|(a, b)| (*a as f64 + *b as f64) / 2000.0);
        let events: Vec<Json> =
            way.iter().map(|(name, times)| json!({"event": name, "times": times})).collect();
        let share = took.len() as f64 / all.len() as f64;
        let mut path = json!({"events": events, "people": took.len(), "share": share});
        if timed {
            path["seconds"] = json!({ "median": median });
        }
        people_shown += took.len();
        shown.push(path);
    }
    Ok(json!({"paths": shown, "people": all.len(), "other": all.len() - people_shown}))
}

/// Everybody on one path, on those that the report does not show, or on all.
pub(super) fn people(oracle: &Oracle, query: &str, now: Millis) -> Result<Json> {
    let map = object(&parse(query)?)?.clone();
    let read = |path: &Json| -> Vec<(String, u64)> {
        let event =
            |e: &Json| (e["event"].as_str().unwrap_or_default().to_owned(), e["times"].as_u64().unwrap_or(1));
        path.as_array().into_iter().flatten().map(event).collect()
    };
    let (mut wanted, mut shown) = (None, Vec::new());
    match field(&map, "path") {
        Some(Json::Object(_)) => {
            let mut report = map.clone();
            report.remove("path");
            let limit = report.remove("shown").unwrap_or(Json::from(50));
            report.insert("limit".to_owned(), limit);
            let answer = paths(oracle, &Json::Object(report).to_string(), now)?;
            let all = answer["paths"].as_array().into_iter().flatten();
            shown = all.map(|path| read(&path["events"])).collect();
        }
        Some(path) => wanted = Some(read(path)),
        None => {}
    }
    let all = ways(oracle, &map, now)?;
    let people: Vec<Json> = all
        .iter()
        .filter(|(_, way, _)| wanted.as_ref().is_none_or(|wanted| wanted == way) && !shown.contains(way))
        .map(|(person, ..)| json!({"person": person.display, "identities": person.identities}))
        .collect();
    Ok(json!({"total": people.len(), "people": people}))
}
