//! Cohorts: who started when, and who came back how much later. The definition, the tally of a cohort and the report.

use serde::Serialize;

use super::basis::{Basis, Definition, resolved};
use super::by::{Allowed, By};
use super::json::{Fields, Node};
use super::pattern::Pattern;
use super::period::{Units, take_unit};
use super::saved::{Saved, Terms};
use super::segment::{Label, Segment, Tally, take_shown};
use super::tally::{Warning, share};
use crate::error::{Error, Result};
use crate::limits;
use crate::model::{Calendar, Json, Sum, Unit, Value, Zone};

/// Buckets shown unless asked otherwise.
const COUNT_DEFAULT: usize = 12;

/// A cohort report.
#[derive(Clone, Debug)]
pub struct Cohort {
    /// What begins: a person belongs to the unit of the first time ever.
    pub start: Pattern,
    /// What counts as coming back.
    pub returns: Pattern,
    /// The calendar units that cohorts are of.
    pub cohort: Units,
    /// The unit of buckets.
    pub bucket: Unit,
    /// How many buckets.
    pub count: usize,
    /// Whether buckets are units of the calendar instead of the person's own.
    pub calendar: bool,
    /// Whether people count in every bucket up to their last return.
    pub at_least: bool,
    /// What cells measure besides people.
    pub measure: Measure,
    /// Cohorts by value instead of by time.
    pub by: Option<By>,
    /// Values shown.
    pub limit: usize,
    /// When people started, and which people.
    pub basis: Basis,
}

/// What cells measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Measure {
    /// People only.
    People,
    /// Also returns.
    Events,
    /// Also the sum of a property of the returns.
    Sum(String),
}

/// The people of a cell, or of a whole cohort, a page at a time.
#[derive(Clone, Debug)]
pub struct CohortPeople {
    /// The report.
    pub cohort: Cohort,
    /// The cohort; all of them if not given.
    pub row: Option<Label>,
    /// The bucket, from 0; the whole cohort if not given.
    pub column: Option<usize>,
    /// People on a page.
    pub limit: usize,
    /// Where the page begins.
    pub cursor: Option<String>,
}

impl Cohort {
    /// Reads a cohort query.
    pub fn from_json(text: &str, saved: &Saved) -> Result<Self> {
        let mut fields = Node::parse(text)?.object()?;
        let limit = read_limit(&mut fields)?;
        let cohort = Self::read(&mut fields, limit, saved)?;
        fields.end()?;
        Ok(cohort)
    }

    fn read(fields: &mut Fields, limit: usize, saved: &Saved) -> Result<Self> {
        let terms = Terms::new(saved);
        Self::read_at(fields, limit, &terms.time().zone, &terms, 0)
    }

    /// Reads a definition inside an audience at nesting `depth`, dates in `zone`.
    fn read_at(
        fields: &mut Fields,
        limit: usize,
        zone: &Zone,
        terms: &Terms<'_>,
        depth: usize,
    ) -> Result<Self> {
        let basis = Basis::read_at(fields, zone, terms, depth)?;
        let start = Pattern::read(fields.require("start")?)?;
        let returns = Pattern::read(fields.require("return")?)?;
        let cohort = Units::take(fields, "cohort", Unit::Month, terms)?;
        let bucket = take_unit(fields, "bucket")?.unwrap_or(cohort.unit);
        let count =
            fields.take("count").map(|n| n.integer(1, limits::COHORT_BUCKETS_MAX as u64)).transpose()?;
        let calendar = fields.take("buckets").map_or(Ok(false), |node| {
            node.choice("kind of buckets", &[("relative", false), ("calendar", true)])
        })?;
        let at_least = fields
            .take("mode")
            .map_or(Ok(false), |node| node.choice("mode", &[("in", false), ("at_least", true)]))?;
        let measure = read_measure(fields)?;
        let by = fields.take("by").map(|node| {
            let allowed = Allowed { entry: true, ..Allowed::default() };
            By::read(node, allowed, &basis.period.zone, terms)
        });
        Ok(Self {
            start,
            returns,
            cohort,
            bucket,
            count: count.map_or(COUNT_DEFAULT, |n| n as usize),
            calendar,
            at_least,
            measure,
            by: by.transpose()?,
            limit,
            basis,
        })
    }
}

fn read_limit(fields: &mut Fields) -> Result<usize> {
    let limit = fields.take("limit").map(|n| n.integer(1, limits::SEGMENTS_MAX as u64)).transpose()?;
    Ok(limit.map_or(limits::SEGMENTS_DEFAULT, |n| n as usize))
}

fn read_measure(fields: &mut Fields) -> Result<Measure> {
    let kind = fields
        .take("measure")
        .map_or(Ok(0), |node| node.choice("measure", &[("people", 0), ("events", 1), ("sum", 2)]))?;
    let property = fields.take("property");
    match (kind, property) {
        (2, Some(node)) => Ok(Measure::Sum(node.name()?)),
        (2, None) => Err(Error::invalid("missing_field", "a sum needs a \"property\"").at("property")),
        (_, Some(node)) => Err(node.error("not_used", "only the measure \"sum\" has a \"property\"")),
        (1, None) => Ok(Measure::Events),
        _ => Ok(Measure::People),
    }
}

impl CohortPeople {
    /// Reads a query for the people of a cell.
    pub fn from_json(text: &str, saved: &Saved) -> Result<Self> {
        let mut fields = Node::parse(text)?.object()?;
        let limit = fields.take("limit").map(|n| n.integer(1, limits::PAGE_MAX as u64)).transpose()?;
        let shown = take_shown(&mut fields)?;
        let cohort = Cohort::read(&mut fields, shown, saved)?;
        let row = take_row(&mut fields, &cohort)?;
        let column = take_column(&mut fields, &cohort)?;
        let cursor = fields.take("cursor").map(Node::text).transpose()?;
        fields.end()?;
        let limit = limit.map_or(limits::PAGE_DEFAULT, |n| n as usize);
        Ok(Self { cohort, row, column, limit, cursor })
    }
}

/// Takes which cohort is meant: by value one of these, with null for people without one; by time the name of a unit.
fn take_row(fields: &mut Fields, cohort: &Cohort) -> Result<Option<Label>> {
    if cohort.by.is_some() {
        return Label::take(fields, "row");
    }
    let Some(node) = fields.take("row") else { return Ok(None) };
    let (unit, place) = (cohort.cohort.unit, node.clone());
    let label = match Label::read(node)? {
        Label::Other => return Err(place.error("no_segments", "\"other\" needs \"by\"")),
        Label::Value(value) => value.map(|value| value.to_string()).unwrap_or_default(),
    };
    let (day, such_as) = match unit {
        Unit::Month => (format!("{label}-01"), "2025-01"),
        Unit::Day | Unit::Week => (label.clone(), "its first day, such as 2025-01-06"),
    };
    let zone = &cohort.basis.period.zone;
    let calendar = Calendar::new(zone, cohort.cohort.week_start)?;
    if zone.parse_from(&day).is_ok_and(|at| calendar.label(unit, calendar.number(unit, at)) == label) {
        return Ok(Some(Label::Value(Some(Value::Text(label)))));
    }
    Err(place.error("bad_start", format!("no {} is called \"{label}\"", unit.name())).hint(such_as))
}

fn take_column(fields: &mut Fields, cohort: &Cohort) -> Result<Option<usize>> {
    let column = fields.take("column").map(|n| n.integer(0, cohort.count as u64 - 1)).transpose()?;
    Ok(column.map(|n| n as usize))
}

/// Being in a cell of a cohort report.
#[derive(Clone, Debug)]
pub struct InCohort {
    /// The report.
    pub cohort: Cohort,
    /// The value of the cohort; all of them if not given.
    pub row: Option<Option<Value>>,
    /// The bucket, from 0; the whole cohort if not given.
    pub column: Option<usize>,
}

impl InCohort {
    /// Takes `row` and `column`, of the report that `node` is, inside an audience at nesting `depth`.
    pub(super) fn read_at(
        node: Node,
        fields: &mut Fields,
        zone: &Zone,
        terms: &Terms<'_>,
        depth: usize,
    ) -> Result<Self> {
        let mut inner = node.object()?;
        let limit = read_limit(&mut inner)?;
        let cohort = Cohort::read_at(&mut inner, limit, zone, terms, depth)?;
        inner.end()?;
        let row = match take_row(fields, &cohort)? {
            None => None,
            Some(Label::Value(value)) => Some(value),
            Some(Label::Other) => {
                let error =
                    Error::invalid("bad_segment", "who is in none of the cohorts shown is no audience");
                return Err(error.at("row").hint("name a cohort"));
            }
        };
        let column = take_column(fields, &cohort)?;
        Ok(Self { cohort, row, column })
    }

    /// As a query has it.
    pub fn to_json(&self) -> Json {
        let mut out = Json::object([("cohort", resolved(&self.cohort, None))]);
        if let Some(row) = &self.row {
            out.set("row", row.as_ref().map_or(Json::Null, Json::from));
        }
        if let Some(column) = self.column {
            out.set("column", column.into());
        }
        out
    }
}

impl Definition for Cohort {
    fn basis(&self) -> &Basis {
        &self.basis
    }

    fn fields(&self) -> Json {
        let mut out = Json::object([]);
        let mut put = |name: &str, value: Json| out.set(name, value);
        put("start", self.start.to_json());
        put("return", self.returns.to_json());
        put("cohort", self.cohort.unit.name().into());
        put("week_start", self.cohort.week_start().into());
        put("bucket", self.bucket.name().into());
        put("count", self.count.into());
        put("buckets", if self.calendar { "calendar" } else { "relative" }.into());
        put("mode", if self.at_least { "at_least" } else { "in" }.into());
        match &self.measure {
            Measure::People => put("measure", "people".into()),
            Measure::Events => put("measure", "events".into()),
            Measure::Sum(property) => {
                put("measure", "sum".into());
                put("property", property.as_str().into());
            }
        }
        if let Some(by) = &self.by {
            put("by", by.text().into());
            put("limit", self.limit.into());
        }
        out
    }
}

/// What one person did in one bucket.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// Which, from 0. What lies past the last bucket asked for is in one that follows it.
    pub number: usize,
    /// Returns.
    pub events: u64,
    /// The sum of the property of the returns.
    pub sum: Sum,
}

/// One cohort, as counts that add up.
#[derive(Clone, Debug)]
pub struct CohortTally {
    size: u64,
    /// Buckets that have ended for every member.
    ended: i64,
    /// By bucket, one more than asked for: people in it, or by their last one.
    people: Vec<u64>,
    events: Vec<u64>,
    sums: Vec<Sum>,
}

impl CohortTally {
    /// Of nobody.
    pub fn new(count: usize) -> Self {
        let (people, events, sums) = (vec![0; count + 1], vec![0; count + 1], vec![Sum::ZERO; count + 1]);
        Self { size: 0, ended: i64::MAX, people, events, sums }
    }

    /// Adds a person for whom so many buckets have ended, and who came back in `buckets`, which rise.
    pub fn add(&mut self, ended: i64, buckets: &[Bucket], at_least: bool) -> Result<()> {
        self.size += 1;
        self.ended = self.ended.min(ended);
        for (place, bucket) in buckets.iter().enumerate() {
            if let Some(people) = self.people.get_mut(bucket.number)
                && (!at_least || place + 1 == buckets.len())
            {
                *people += 1;
            }
            if let Some(events) = self.events.get_mut(bucket.number) {
                *events += bucket.events;
            }
            if let Some(sum) = self.sums.get_mut(bucket.number) {
                sum.add_sum(bucket.sum)?;
            }
        }
        Ok(())
    }

    /// Of `size` people, of whom nothing is counted but how many came back in each of `count` buckets.
    pub fn of_people(size: u64, ended: i64, came: &[u64], count: usize) -> Self {
        let mut tally = Self { size, ended, ..Self::new(count) };
        tally.people.iter_mut().take(count).zip(came).for_each(|(people, came)| *people = *came);
        tally
    }

    /// The cells of the cohort.
    fn finish(mut self, cohort: &Cohort) -> Result<CohortRow> {
        if cohort.at_least {
            // Whoever came back later came back "on or after" every bucket before.
            for k in (0..cohort.count).rev() {
                let (people, events) = (self.people.get(k + 1).copied(), self.events.get(k + 1).copied());
                let sum = self.sums.get(k + 1).copied().unwrap_or(Sum::ZERO);
                if let (Some(a), Some(b), Some(c)) =
                    (self.people.get_mut(k), self.events.get_mut(k), self.sums.get_mut(k))
                {
                    *a += people.unwrap_or(0);
                    *b += events.unwrap_or(0);
                    c.add_sum(sum)?;
                }
            }
        }
        let cell = |k: usize| {
            let people = self.people.get(k).copied().unwrap_or(0);
            let value = match cohort.measure {
                Measure::People => None,
                Measure::Events => Some(Sum::new(i128::from(self.events.get(k).copied().unwrap_or(0)), 0, 0)),
                Measure::Sum(_) => self.sums.get(k).copied(),
            };
            CohortCell { people, share: share(people, self.size), complete: (k as i64) < self.ended, value }
        };
        Ok(CohortRow { size: self.size, cells: (0..cohort.count).map(cell).collect() })
    }
}

impl Tally for CohortTally {
    fn merge(&mut self, other: Self) -> Result<()> {
        self.size += other.size;
        self.ended = self.ended.min(other.ended);
        self.people.iter_mut().zip(other.people).for_each(|(a, b)| *a += b);
        self.events.iter_mut().zip(other.events).for_each(|(a, b)| *a += b);
        for (a, b) in self.sums.iter_mut().zip(other.sums) {
            a.add_sum(b)?;
        }
        Ok(())
    }

    fn size(&self) -> u64 {
        self.size
    }
}

/// The answer to a cohort query.
#[derive(Clone, Debug, Serialize)]
pub struct CohortReport {
    /// The cohorts: by time the earliest first, by value the largest first.
    pub cohorts: Vec<NamedCohort>,
    /// By bucket, the people who came back over all people of the cohorts whose cell is complete.
    pub average: Vec<Option<f64>>,
    /// What nobody ever sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// A cohort with what it is called.
#[derive(Clone, Debug, Serialize)]
pub struct NamedCohort {
    /// Its unit of time or its value; nothing for the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cohort: Option<Option<Value>>,
    /// Set for all whose values are not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other: Option<bool>,
    /// Its people and cells.
    #[serde(flatten)]
    pub row: CohortRow,
}

/// The people of a cohort and its cells.
#[derive(Clone, Debug, Serialize)]
pub struct CohortRow {
    /// People who started.
    pub size: u64,
    /// Bucket by bucket.
    pub cells: Vec<CohortCell>,
}

/// A cohort in a bucket.
#[derive(Clone, Debug, Serialize)]
pub struct CohortCell {
    /// People who came back in it.
    pub people: u64,
    /// Of the cohort.
    pub share: Option<f64>,
    /// Whether it has ended for every member.
    pub complete: bool,
    /// Returns, or the sum of their property.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Sum>,
}

impl CohortReport {
    /// Makes the report of the cohorts in their order.
    pub fn new(cohort: &Cohort, tallies: Vec<Segment<CohortTally>>, warnings: Vec<Warning>) -> Result<Self> {
        let mut cohorts = Vec::with_capacity(tallies.len());
        for tally in tallies {
            let (name, other) = match tally.label {
                Label::Value(value) => (Some(value), None),
                Label::Other => (None, Some(true)),
            };
            cohorts.push(NamedCohort { cohort: name, other, row: tally.part.finish(cohort)? });
        }
        let average = (0..cohort.count).map(|k| {
            let cells = cohorts.iter().filter_map(|c| Some((c.row.size, c.row.cells.get(k)?)));
            let complete = cells.filter(|(_, cell)| cell.complete);
            let (people, size) = complete.fold((0, 0), |(p, s), (size, cell)| (p + cell.people, s + size));
            share(people, size)
        });
        Ok(Self { average: average.collect(), cohorts, warnings })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_name_their_place() {
        for (json, code, at) in [
            (r#"{"return":{"event":"B"}}"#, "missing_field", None),
            (
                r#"{"start":{"event":"A"},"return":{"event":"B"},"cohort":"year"}"#,
                "unknown_choice",
                Some("cohort"),
            ),
            (
                r#"{"start":{"event":"A"},"return":{"event":"B"},"measure":"sum"}"#,
                "missing_field",
                Some("property"),
            ),
            (r#"{"start":{"event":"A"},"return":{"event":"B"},"count":0}"#, "out_of_range", Some("count")),
            (r#"{"start":{"event":"A"},"return":{"event":"B"},"by":"step1.X"}"#, "bad_by", Some("by")),
            (
                r#"{"start":{"event":"A"},"return":{"event":"B"},"week_start":"pi"}"#,
                "unknown_choice",
                Some("week_start"),
            ),
        ] {
            let error = Cohort::from_json(json, &Saved::default()).map(drop).unwrap_err();
            assert_eq!((error.code(), error.place()), (code, at), "{json}");
        }
    }
}
