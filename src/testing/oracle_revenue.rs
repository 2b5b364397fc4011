//! The oracle's revenue: every amount written down with its person, and every number counted from that list.

use jiff::{Timestamp, ToSpan, civil::Weekday, tz::TimeZone};
use serde_json::{Map, Value as Json, json};

use super::oracle::{Oracle, Person, sum, value_json};
use super::oracle_query::{Range, Scope, as_of, field, meant, object, only, parse, text, whole, wrong};
use super::oracle_units::is_there;
use super::{oracle_audience, oracle_lifetime};
use crate::error::Result;
use crate::model::{Millis, Number, Value, Zone};

const FIELDS: [&str; 18] = [
    "lifetime",
    "lost_after",
    "lost_by",
    "period",
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
    "start",
    "segment",
    "which",
    "cursor",
];

pub(super) struct Query {
    pub(super) map: Map<String, Json>,
    pub(super) zone: TimeZone,
    pub(super) scope: Scope,
    pub(super) range: Range,
}

/// Somebody with any event in the range.
struct Customer<'a> {
    person: Person<'a>,
    segment: Json,
    /// The day on which the unit begins, and the amount.
    amounts: Vec<(jiff::civil::Date, Number)>,
}

pub(super) fn failed(e: jiff::Error) -> crate::error::Error {
    wrong(&e.to_string())
}

impl Query {
    fn read(query: &str, now: Millis) -> Result<Self> {
        let map = object(&parse(query)?)?.clone();
        only(&map, &FIELDS)?;
        let name = text(&map, "tz")?.unwrap_or("UTC");
        let zone = Zone::parse(name)?;
        let as_of = as_of(&map, &zone, now)?;
        let range = Range::read(&map, &zone)?;
        Ok(Self { zone: TimeZone::get(name).map_err(failed)?, scope: Scope { zone, as_of }, range, map })
    }

    pub(super) fn unit(&self) -> &str {
        field(&self.map, "unit").and_then(Json::as_str).unwrap_or("month")
    }

    pub(super) fn day_of(&self, t: Millis) -> Result<jiff::civil::Date> {
        let stamp = Timestamp::from_millisecond(t).map_err(failed)?;
        let mut date = stamp.to_zoned(self.zone.clone()).date();
        match self.unit() {
            "day" => {}
            "week" => {
                let first = match field(&self.map, "week_start").and_then(Json::as_str) {
                    Some("sunday") => Weekday::Sunday,
                    _ => Weekday::Monday,
                };
                while date.weekday() != first {
                    date = date.yesterday().map_err(failed)?;
                }
            }
            _ => date = date.first_of_month(),
        }
        Ok(date)
    }

    pub(super) fn next(&self, day: jiff::civil::Date) -> Result<jiff::civil::Date> {
        let span = match self.unit() {
            "day" => 1.days(),
            "week" => 1.weeks(),
            _ => 1.months(),
        };
        let mut next = day.checked_add(span).map_err(failed)?;
        while self.unit() == "day" && !is_there(next, &self.zone)? {
            next = next.tomorrow().map_err(failed)?;
        }
        Ok(next)
    }

    fn segment(&self, person: &Person<'_>) -> Result<Json> {
        let as_of = self.scope.as_of;
        Ok(match text(&self.map, "by")?.unwrap_or("source") {
            "source" => match person.first("Campaign Source", as_of) {
                Some(value) => value_json(Some(value)),
                None => person
                    .first("Referrer", as_of)
                    .map_or(Json::Null, |v| crate::report::channel::of_referrer(&v.to_string()).into()),
            },
            by => match by.split_once('.') {
                Some(("person", name)) => value_json(person.latest(name, as_of)),
                Some(("first:person", name)) => value_json(person.first(name, as_of)),
                _ => return Err(wrong(by)),
            },
        })
    }
}

fn customers<'a>(oracle: &'a Oracle, query: &Query) -> Result<Vec<Customer<'a>>> {
    let property = text(&query.map, "property")?.unwrap_or("Revenue");
    let mut out = Vec::new();
    for person in oracle.everybody() {
        if let Some(audience) = field(&query.map, "people")
            && !oracle_audience::holds(audience, &person, &query.scope)?
        {
            continue;
        }
        let mut amounts = Vec::new();
        let mut any = false;
        for event in person.events.iter().filter(|e| e.time <= query.scope.as_of && query.range.holds(e.time))
        {
            any = true;
            if let Some(Value::Number(amount)) = event.property(property) {
                amounts.push((query.day_of(event.time)?, *amount));
            }
        }
        if any {
            let segment = query.segment(&person)?;
            out.push(Customer { person, segment, amounts });
        }
    }
    Ok(out)
}

fn negative(n: &Number) -> bool {
    n.mantissa() < 0
}

fn part(customers: &[&Customer<'_>]) -> Json {
    let amounts: Vec<Number> = customers.iter().flat_map(|c| c.amounts.iter().map(|(_, n)| *n)).collect();
    let total = sum(amounts.iter().copied());
    let paying = customers.iter().filter(|c| c.amounts.iter().any(|(_, n)| n.mantissa() > 0)).count();
    // As a float: the report rounds at the sixth digit, and comparisons allow for that.
    let over = |n: usize| if n == 0 { Json::Null } else { json!(total.to_f64() / n as f64) };
    json!({"total": total.to_string(), "refunds": sum(amounts.iter().copied().filter(negative)).to_string(),
        "events": amounts.len(), "people": customers.len(), "paying": paying,
        "per_person": over(customers.len()), "arppu": over(paying)})
}

/// The answer to a revenue query.
pub(super) fn revenue(oracle: &Oracle, query: &str, now: Millis) -> Result<Json> {
    let query = Query::read(query, now)?;
    let customers = customers(oracle, &query)?;
    let all: Vec<&Customer<'_>> = customers.iter().collect();
    let mut answer = part(&all);
    let days: Vec<_> = customers.iter().flat_map(|c| c.amounts.iter().map(|(day, _)| *day)).collect();
    let end = query.range.to.map_or(query.scope.as_of, |to| query.scope.as_of.min(to - 1));
    let first = query.range.from.map(|t| query.day_of(t)).transpose()?.or(days.iter().min().copied());
    let last = query.range.to.map(|_| query.day_of(end)).transpose()?.or(days.iter().max().copied());
    let mut series = Vec::new();
    if let (Some(mut day), Some(last)) = (first, last) {
        while day <= last {
            let here: Vec<Number> = customers
                .iter()
                .flat_map(|c| &c.amounts)
                .filter(|(d, _)| *d == day)
                .map(|(_, n)| *n)
                .collect();
            let paid = |c: &&Customer<'_>| c.amounts.iter().any(|(d, n)| *d == day && n.mantissa() > 0);
            series.push(json!({"start": day.to_string(), "total": sum(here.iter().copied()).to_string(),
                "refunds": sum(here.iter().copied().filter(negative)).to_string(), "events": here.len(),
                "paying": customers.iter().filter(paid).count()}));
            day = query.next(day)?;
        }
    }
    answer["series"] = series.into();
    let mut names: Vec<Json> = Vec::new();
    for customer in &customers {
        if !names.contains(&customer.segment) {
            names.push(customer.segment.clone());
        }
    }
    let of = |name: &Json| customers.iter().filter(|c| c.segment == *name).collect::<Vec<_>>();
    let total = |name: &Json| {
        let of = of(name);
        sum(of.iter().flat_map(|c| c.amounts.iter().map(|(_, n)| *n)))
    };
    let value = |name: &Json| Value::from_json(&name.to_string()).ok().flatten();
    names.sort_by(|a, b| total(b).cmp(&total(a)).then_with(|| value(a).cmp(&value(b))));
    let limit = whole(&query.map, "limit")?.unwrap_or(25);
    let mut segments = Vec::new();
    for name in names.iter().take(limit) {
        let mut segment = part(&of(name));
        segment["value"] = name.clone();
        segments.push(segment);
    }
    if names.len() > limit {
        let rest: Vec<_> = names.iter().skip(limit).flat_map(of).collect();
        let mut segment = part(&rest);
        segment["other"] = true.into();
        segments.push(segment);
    }
    answer["segments"] = segments.into();
    if query.map.get("lifetime") == Some(&Json::Bool(true)) {
        answer["lifetime"] = oracle_lifetime::report(oracle, &query)?;
    }
    Ok(answer)
}

/// Everybody behind a number of it.
pub(super) fn people(oracle: &Oracle, query: &str, now: Millis) -> Result<Json> {
    let query = Query::read(query, now)?;
    let start = text(&query.map, "start")?;
    let which = text(&query.map, "which")?.unwrap_or("paying");
    if which != "people" && which != "paying" {
        return oracle_lifetime::people(oracle, &query, which, start);
    }
    let all = which == "people";
    let customers = customers(oracle, &query)?;
    let values: Vec<Json> = customers.iter().map(|c| c.segment.clone()).collect();
    let segment = query.map.get("segment").map(|label| meant(label, &values));
    let wanted = |c: &&Customer<'_>| {
        let paid = |(day, n): &(jiff::civil::Date, Number)| {
            n.mantissa() > 0 && start.is_none_or(|start| day.to_string() == start)
        };
        let of_segment = segment.as_ref().is_none_or(|segment| *segment == c.segment);
        of_segment && (all || c.amounts.iter().any(paid))
    };
    let people: Vec<Json> = customers
        .iter()
        .filter(wanted)
        .map(|c| json!({"person": c.person.display, "identities": c.person.identities}))
        .collect();
    Ok(json!({"total": people.len(), "people": people}))
}
