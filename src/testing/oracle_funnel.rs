//! The oracle's funnel report: reads the query, finds the attempt of each person, counts. Numbers are
//! computed from the list of people every time, so a number and the people behind it cannot differ.

use serde_json::{Map, Value as Json, json};

use super::oracle::{Oracle, Person, value_json};
use super::oracle_audience;
use super::oracle_match::{Attempt, Order, Rules, conversion};
use super::oracle_query::{
    Pattern, Range, Scope, as_of, field, list, meant, object, only, parse, text, whole, wrong,
};
use crate::error::{Error, Result};
use crate::limits;
use crate::model::{Millis, Value, Zone, format_millis, parse_duration};

const FIELDS: [&str; 17] = [
    "steps", "from", "to", "tz", "as_of", "people", "order", "within", "until", "exclude", "by", "limit",
    "times", "step", "outcome", "segment", "cursor",
];

/// Lower edges of the histogram's buckets, in seconds.
const EDGES: [i64; 14] = [
    0, 60, 600, 3600, 21_600, 86_400, 259_200, 604_800, 1_209_600, 2_592_000, 5_184_000, 7_776_000,
    15_552_000, 31_536_000,
];

/// What people are told apart by.
enum By {
    Latest(String),
    First(String),
    AtEntry(String),
    /// Of the event chosen for a step, counted from 0.
    Step(usize, String),
}

/// Somebody who entered.
struct Entrant<'a> {
    person: Person<'a>,
    attempt: Attempt<'a>,
    segment: Option<Value>,
}

impl Entrant<'_> {
    fn depth(&self) -> usize {
        self.attempt.picks.len()
    }
}

struct Query {
    map: Map<String, Json>,
    scope: Scope,
    rules: Rules,
    by: Option<By>,
}

impl Query {
    fn read(query: &str, now: Millis) -> Result<Self> {
        let map = object(&parse(query)?)?.clone();
        only(&map, &FIELDS)?;
        let zone = text(&map, "tz")?.map_or(Ok(Zone::utc()), Zone::parse)?;
        let as_of = as_of(&map, &zone, now)?;
        let mut steps = Vec::new();
        for step in list(&map, "steps")? {
            only(object(step)?, &["event", "where"])?;
            steps.push(Pattern::read(object(step)?, "event")?);
        }
        let mut exclude = Vec::new();
        for excluded in list(&map, "exclude")? {
            let excluded = object(excluded)?;
            only(excluded, &["event", "where", "after"])?;
            exclude.push((whole(excluded, "after")?.unwrap_or(1), Pattern::read(excluded, "event")?));
        }
        let order = match text(&map, "order")? {
            None | Some("ordered") => Order::Ordered,
            Some("strict") => Order::Strict,
            Some("any") => Order::Any,
            Some(other) => return Err(wrong(&format!("the order {other}"))),
        };
        let rules = Rules {
            steps,
            exclude,
            order,
            within: text(&map, "within")?.map(parse_duration).transpose()?,
            entry: Range::read(&map, &zone)?,
            until_to: text(&map, "until")? == Some("to"),
            as_of,
        };
        let by = text(&map, "by")?.map(read_by).transpose()?;
        Ok(Self { map, scope: Scope { zone, as_of }, rules, by })
    }

    fn entrants<'a>(&self, oracle: &'a Oracle) -> Result<Vec<Entrant<'a>>> {
        let mut out = Vec::new();
        for person in oracle.everybody() {
            let asked_for = field(&self.map, "people")
                .map_or(Ok(true), |audience| oracle_audience::holds(audience, &person, &self.scope))?;
            if !asked_for {
                continue;
            }
            if let Some(attempt) = conversion(&self.rules, &person.events) {
                let segment = self.segment(&person, &attempt).cloned();
                out.push(Entrant { person, attempt, segment });
            }
        }
        Ok(out)
    }

    fn segment<'p>(&self, person: &'p Person<'_>, attempt: &'p Attempt<'_>) -> Option<&'p Value> {
        let entry = attempt.picks.first().map(|(_, event)| event.time)?;
        match self.by.as_ref()? {
            By::Latest(property) => person.latest(property, self.scope.as_of),
            By::First(property) => person.first(property, self.scope.as_of),
            By::AtEntry(property) => person.latest(property, entry),
            By::Step(step, property) => {
                let (_, event) = attempt.picks.iter().find(|(s, _)| s == step)?;
                event.property(property)
            }
        }
    }

    /// Steps and shares of some of the people.
    fn counts(&self, people: &[&Entrant<'_>]) -> Result<Map<String, Json>> {
        let last = self.rules.steps.len();
        let reached = |step: usize| people.iter().filter(|e| e.depth() >= step).count();
        let in_progress =
            |step: usize| people.iter().filter(|e| e.depth() == step && e.attempt.in_progress).count();
        let mut steps = Vec::new();
        for (at, asked) in list(&self.map, "steps")?.iter().enumerate() {
            let step = at + 1;
            let here = reached(step);
            let previous = if step == 1 { here } else { reached(step - 1) };
            let lost = if step == last { 0 } else { here - reached(step + 1) - in_progress(step) };
            let mut row = json!({
                "event": object(asked)?.get("event"), "people": here,
                "from_previous": share(here, previous), "from_first": share(here, reached(1)),
                "lost": lost, "in_progress": in_progress(step),
            });
            if step > 1 && self.map.get("times") != Some(&Json::Bool(false)) {
                row["seconds"] = seconds(people, step);
            }
            steps.push(row);
        }
        let undecided: usize = (1..=last).map(in_progress).sum();
        let mut out = Map::new();
        out.insert("steps".to_owned(), steps.into());
        out.insert("conversion".to_owned(), share(reached(last), people.len()));
        out.insert("conversion_decided".to_owned(), share(reached(last), people.len() - undecided));
        Ok(out)
    }

    fn segments(&self, entrants: &[Entrant<'_>]) -> Result<Vec<Json>> {
        let mut values: Vec<(Option<Value>, Vec<&Entrant<'_>>)> = Vec::new();
        for entrant in entrants {
            match values.iter_mut().find(|(value, _)| *value == entrant.segment) {
                Some((_, members)) => members.push(entrant),
                None => values.push((entrant.segment.clone(), vec![entrant])),
            }
        }
        // No value comes before any value.
        values.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then_with(|| a.0.cmp(&b.0)));
        let limit = whole(&self.map, "limit")?.unwrap_or(limits::SEGMENTS_DEFAULT);
        let rest = values.split_off(limit.min(values.len()));
        let mut out = Vec::new();
        for (value, members) in &values {
            let mut row = self.counts(members)?;
            row.insert("value".to_owned(), value_json(value.as_ref()));
            out.push(row.into());
        }
        if !rest.is_empty() {
            let members: Vec<&Entrant<'_>> = rest.into_iter().flat_map(|(_, members)| members).collect();
            let mut row = self.counts(&members)?;
            row.insert("other".to_owned(), true.into());
            out.push(row.into());
        }
        Ok(out)
    }
}

fn read_by(by: &str) -> Result<By> {
    let named = |prefix: &str| by.strip_prefix(prefix).map(|name| name.trim().to_owned());
    if let Some(name) = named("audience:") {
        return Err(Error::invalid("unknown_audience", format!("there is no audience \"{name}\"")).at("by"));
    }
    let person = named("person.")
        .map(By::Latest)
        .or_else(|| named("first:person.").map(By::First))
        .or_else(|| named("at:person.").map(By::AtEntry));
    let step = || {
        let (number, name) = by.strip_prefix("step")?.split_once('.')?;
        Some(By::Step(number.parse::<usize>().ok()?.checked_sub(1)?, name.trim().to_owned()))
    };
    person.or_else(step).ok_or_else(|| wrong(&format!("what to segment by in \"{by}\"")))
}

fn share(part: usize, whole: usize) -> Json {
    if whole == 0 { Json::Null } else { json!(part as f64 / whole as f64) }
}

/// How long people took from the previous step to this one, counted from 1.
fn seconds(people: &[&Entrant<'_>], step: usize) -> Json {
    let time = |e: &Entrant<'_>, at: usize| e.attempt.picks.get(at).map(|(_, event)| event.time);
    let mut gaps: Vec<i64> =
        people.iter().filter_map(|e| Some(time(e, step - 1)? - time(e, step.checked_sub(2)?)?)).collect();
    gaps.sort_unstable();
    let mean = match gaps.len() {
        0 => Json::Null,
        n => json!(gaps.iter().map(|g| i128::from(*g)).sum::<i128>() as f64 / n as f64 / 1000.0),
    };
    json!({
        "median": quantile(&gaps, 50), "mean": mean, "p25": quantile(&gaps, 25),
        "p75": quantile(&gaps, 75), "p90": quantile(&gaps, 90), "histogram": histogram(&gaps),
    })
}

/// Type 7: the value at (n-1)p, on the line between the two neighbours. In whole numbers as far as it goes.
fn quantile(sorted: &[i64], percent: usize) -> Json {
    let Some(last) = sorted.len().checked_sub(1) else { return Json::Null };
    let hundredths = last * percent;
    let (below, part) = (hundredths / 100, hundredths % 100);
    let low = sorted.get(below).copied().unwrap_or(0);
    let high = sorted.get(below + 1).copied().unwrap_or(low);
    json!((low as f64 + (high - low) as f64 * part as f64 / 100.0) / 1000.0)
}

fn histogram(gaps: &[i64]) -> Vec<Json> {
    let bucket = |from: i64, to: Option<i64>| {
        gaps.iter().filter(|g| **g >= from * 1000 && to.is_none_or(|to| **g < to * 1000)).count()
    };
    let ends = EDGES.iter().skip(1).map(|e| Some(*e)).chain([None]);
    let mut rows: Vec<(i64, Option<i64>, usize)> =
        EDGES.iter().zip(ends).map(|(from, to)| (*from, to, bucket(*from, to))).collect();
    while rows.last().is_some_and(|row| row.2 == 0) {
        rows.pop();
    }
    let listed = rows.into_iter().skip_while(|row| row.2 == 0);
    listed.map(|(from, to, people)| json!({"from": from, "to": to, "people": people})).collect()
}

/// The report.
pub(super) fn funnel(oracle: &Oracle, query: &str, now: Millis) -> Result<Json> {
    let query = Query::read(query, now)?;
    let entrants = query.entrants(oracle)?;
    let mut out = query.counts(&entrants.iter().collect::<Vec<_>>())?;
    if query.by.is_some() {
        out.insert("segments".to_owned(), query.segments(&entrants)?.into());
    }
    out.insert("as_of".to_owned(), format_millis(query.scope.as_of).into());
    for (name, bound) in [("from", query.rules.entry.from), ("to", query.rules.entry.to)] {
        if let Some(instant) = bound {
            out.insert(name.to_owned(), format_millis(instant).into());
        }
    }
    out.insert("tz".to_owned(), query.scope.zone.name().into());
    Ok(out.into())
}

/// The people behind one of its numbers.
pub(super) fn people(oracle: &Oracle, query: &str, now: Millis) -> Result<Json> {
    let query = Query::read(query, now)?;
    let last = query.rules.steps.len();
    let step = whole(&query.map, "step")?;
    let outcome = text(&query.map, "outcome")?.unwrap_or("reached");
    let mut rows = Vec::new();
    let entrants = query.entrants(oracle)?;
    let values: Vec<Json> = entrants.iter().map(|e| value_json(e.segment.as_ref())).collect();
    let segment = query.map.get("segment").map(|label| meant(label, &values));
    for entrant in entrants {
        let (depth, in_progress) = (entrant.depth(), entrant.attempt.in_progress);
        let belongs = match outcome {
            "reached" => depth >= step.unwrap_or(1),
            "lost" => step.is_none_or(|step| depth == step) && !in_progress && depth != last,
            "in_progress" => step.is_none_or(|step| depth == step) && in_progress,
            "converted" => depth == last,
            other => return Err(wrong(&format!("the outcome {other}"))),
        };
        let wanted = segment.as_ref().is_none_or(|s| *s == value_json(entrant.segment.as_ref()));
        if belongs && wanted {
            rows.push(row(&entrant));
        }
    }
    Ok(json!({"total": rows.len(), "people": rows, "cursor": null}))
}

fn row(entrant: &Entrant<'_>) -> Json {
    let steps: Vec<Json> = entrant
        .attempt
        .picks
        .iter()
        .map(|(step, event)| {
            let mut shown = event.to_json();
            shown["step"] = json!(step + 1);
            shown
        })
        .collect();
    json!({"person": entrant.person.display, "identities": entrant.person.identities, "steps": steps})
}
