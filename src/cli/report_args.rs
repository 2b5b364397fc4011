//! The flags of reports: each is a parameter of the text form, so that command line and API mean the same.

use std::path::Path;

use super::args::{Basis, Cohort, Funnel, Lifecycle, Paths, People, Revenue, Trend};
use crate::error::{Error, Result};
use crate::report::params;

/// Names and values of flags that were given.
#[derive(Default)]
pub struct Pairs(Vec<(&'static str, String)>);

impl Pairs {
    /// Adds a flag that may not have been given.
    pub fn put(&mut self, name: &'static str, value: Option<impl ToString>) -> &mut Self {
        self.0.extend(value.map(|value| (name, value.to_string())));
        self
    }

    /// The JSON query: what `--spec` names, or the flags.
    pub fn query(mut self, report: &str, basis: &Basis) -> Result<String> {
        self.put("from", basis.from.as_ref()).put("to", basis.to.as_ref()).put("tz", basis.tz.as_ref());
        self.put("as_of", basis.as_of.as_ref()).put("people", basis.people.as_ref());
        match &basis.spec {
            None => params::query(report, self.0),
            Some(path) if self.0.is_empty() => spec(path),
            Some(_) => Err(Error::invalid("spec_and_flags", "the file has the whole query")
                .at("--spec")
                .hint("leave out all other flags but --json, or --spec")),
        }
    }
}

/// A query from a file, or from standard input for `-`.
fn spec(path: &Path) -> Result<String> {
    let text = if path.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    text.map_err(|e| Error::io("cannot read", path, e))
}

/// The query of a funnel.
pub fn funnel(args: &Funnel) -> Result<String> {
    let mut pairs = Pairs::default();
    for step in &args.steps {
        pairs.put("step", Some(step));
    }
    for event in &args.exclude {
        pairs.put("exclude", Some(event));
    }
    pairs.put("within", args.within.as_ref()).put("order", args.order.as_ref()).put("by", args.by.as_ref());
    pairs.put("until", args.until.as_ref()).put("control", args.control.as_ref()).put("limit", args.limit);
    pairs.query("funnel", &args.basis)
}

/// The query of a cohort report.
pub fn cohort(args: &Cohort) -> Result<String> {
    let mut pairs = Pairs::default();
    pairs.put("start", args.start.as_ref()).put("return", args.returns.as_ref());
    pairs.put("cohort", args.cohort.as_ref()).put("bucket", args.bucket.as_ref()).put("count", args.count);
    pairs
        .put("buckets", args.calendar.then_some("calendar"))
        .put("mode", args.at_least.then_some("at_least"));
    pairs.put("measure", args.measure.as_ref()).put("property", args.property.as_ref());
    pairs.put("by", args.by.as_ref()).put("limit", args.limit).put("week_start", args.week_start.as_ref());
    pairs.query("cohort", &args.basis)
}

/// The query for paths.
pub fn paths(args: &Paths) -> Result<String> {
    let mut pairs = Pairs::default();
    pairs.put("start", args.start.as_ref()).put("goal", args.goal.as_ref()).put("events", args.events);
    pairs.put("side", args.side.as_ref()).put("limit", args.limit);
    pairs.query("paths", &args.basis)
}

/// The query of a revenue report.
pub fn revenue(args: &Revenue) -> Result<String> {
    let mut pairs = Pairs::default();
    pairs.put("property", args.property.as_ref()).put("unit", args.unit.as_ref()).put("by", args.by.as_ref());
    pairs.put("limit", args.limit).put("week_start", args.week_start.as_ref());
    pairs.put("lifetime", args.lifetime.then_some(true)).put("lost_after", args.lost_after.as_ref());
    for event in &args.lost_by {
        pairs.put("lost_by", Some(event));
    }
    pairs.put("period", args.period.as_ref());
    pairs.query("revenue", &args.basis)
}

/// A search for people.
pub fn people(args: &People) -> Result<String> {
    let mut pairs = Pairs::default();
    for column in &args.columns {
        pairs.put("columns", Some(column));
    }
    pairs.put("limit", args.limit).put("cursor", args.cursor.as_ref());
    pairs.query("people", &args.basis)
}

/// The query for trends.
pub fn trend(args: &Trend) -> Result<String> {
    let mut pairs = Pairs::default();
    for series in &args.series {
        pairs.put("series", Some(series));
    }
    pairs.put("measure", args.measure.as_ref()).put("property", args.property.as_ref());
    pairs.put("unit", args.unit.as_ref()).put("by", args.by.as_ref()).put("limit", args.limit);
    pairs.put("week_start", args.week_start.as_ref());
    pairs.query("trend", &args.basis)
}

/// The query for a lifecycle.
pub fn lifecycle(args: &Lifecycle) -> Result<String> {
    let mut pairs = Pairs::default();
    pairs.put("event", args.event.as_ref()).put("unit", args.unit.as_ref());
    pairs.put("week_start", args.week_start.as_ref());
    pairs.query("lifecycle", &args.basis)
}
