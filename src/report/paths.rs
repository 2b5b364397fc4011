//! Paths: what people did between a start and a goal, the most common ways first.

use serde::Serialize;

use super::basis::{Basis, Definition};
use super::durations::median_seconds;
use super::json::{Fields, Node};
use super::pattern::Pattern;
use super::saved::{Saved, Terms};
use super::tally::{Warning, share};
use crate::error::{Error, Result};
use crate::limits;
use crate::model::Json;

/// Paths shown unless asked otherwise.
const LIMIT_DEFAULT: usize = 50;
/// Events of a path unless asked otherwise.
const EVENTS_DEFAULT: usize = 5;

/// A report on paths.
#[derive(Clone, Debug)]
pub struct Paths {
    /// Where they begin; without it they lead to the goal from wherever.
    pub start: Option<Pattern>,
    /// Where they end; without it they lead from the start to wherever.
    pub goal: Option<Pattern>,
    /// Events of a path at most, repeats counted once.
    pub events: usize,
    /// Whether the last events are kept instead of the first.
    pub last: bool,
    /// Paths shown.
    pub limit: usize,
    /// When people started, and which people.
    pub basis: Basis,
}

/// The people of one path, of those that are not shown, or of all.
#[derive(Clone, Debug)]
pub struct PathsPeople {
    /// The report.
    pub paths: Paths,
    /// Which paths; all of them if not given.
    pub path: Option<ChosenPath>,
    /// People on a page.
    pub limit: usize,
    /// Where the page begins.
    pub cursor: Option<String>,
}

/// One event of a path, done so often in a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct PathEvent {
    /// The event.
    pub event: String,
    /// How often in a row.
    pub times: u64,
}

/// The path whose people are listed.
#[derive(Clone, Debug)]
pub enum ChosenPath {
    /// This one.
    This(Vec<PathEvent>),
    /// All that the report does not show.
    Other,
}

impl Paths {
    /// Reads a query for paths.
    pub fn from_json(text: &str, saved: &Saved) -> Result<Self> {
        let mut fields = Node::parse(text)?.object()?;
        let limit = fields.take("limit").map(|n| n.integer(1, limits::SEGMENTS_MAX as u64)).transpose()?;
        let paths = Self::read(&mut fields, limit.map_or(LIMIT_DEFAULT, |n| n as usize), saved)?;
        fields.end()?;
        Ok(paths)
    }

    fn read(fields: &mut Fields, limit: usize, saved: &Saved) -> Result<Self> {
        let basis = Basis::read(fields, &Terms::new(saved))?;
        let start = fields.take("start").map(Pattern::read).transpose()?;
        let goal = fields.take("goal").map(Pattern::read).transpose()?;
        if start.is_none() && goal.is_none() {
            return Err(Error::invalid("missing_field", "paths need a \"start\" or a \"goal\"").at("start"));
        }
        let events =
            fields.take("events").map(|n| n.integer(1, limits::PATH_EVENTS_MAX as u64)).transpose()?;
        // Without a start the end is what all paths have in common.
        let last = fields
            .take("side")
            .map_or(Ok(start.is_none()), |node| node.choice("side", &[("first", false), ("last", true)]))?;
        Ok(Self { start, goal, events: events.map_or(EVENTS_DEFAULT, |n| n as usize), last, limit, basis })
    }
}

impl PathsPeople {
    /// Reads a query for the people of a path.
    pub fn from_json(text: &str, saved: &Saved) -> Result<Self> {
        let mut fields = Node::parse(text)?.object()?;
        let limit = fields.take("limit").map(|n| n.integer(1, limits::PAGE_MAX as u64)).transpose()?;
        let shown = fields.take("shown").map(|n| n.integer(1, limits::SEGMENTS_MAX as u64)).transpose()?;
        let paths = Paths::read(&mut fields, shown.map_or(LIMIT_DEFAULT, |n| n as usize), saved)?;
        let path = fields.take("path").map(read_path);
        let cursor = fields.take("cursor").map(Node::text).transpose()?;
        fields.end()?;
        let limit = limit.map_or(limits::PAGE_DEFAULT, |n| n as usize);
        Ok(Self { paths, path: path.transpose()?, limit, cursor })
    }
}

fn read_path(node: Node) -> Result<ChosenPath> {
    if let Ok(mut fields) = node.clone().object() {
        let other = fields.require("other")?;
        if !other.clone().boolean()? {
            return Err(other.error("bad_path", "\"other\" can only be true"));
        }
        return fields.end().map(|()| ChosenPath::Other);
    }
    node.list()?.into_iter().map(read_event).collect::<Result<_>>().map(ChosenPath::This)
}

fn read_event(node: Node) -> Result<PathEvent> {
    let mut fields = node.object()?;
    let event = fields.require("event")?.name()?;
    let times = fields.take("times").map_or(Ok(1), |n| n.integer(1, u64::MAX))?;
    fields.end()?;
    Ok(PathEvent { event, times })
}

impl Definition for Paths {
    fn basis(&self) -> &Basis {
        &self.basis
    }

    fn fields(&self) -> Json {
        let mut out = Json::object([]);
        for (name, pattern) in [("start", &self.start), ("goal", &self.goal)] {
            if let Some(pattern) = pattern {
                out.set(name, pattern.to_json());
            }
        }
        out.set("events", self.events.into());
        out.set("side", if self.last { "last" } else { "first" }.into());
        out.set("limit", self.limit.into());
        out
    }
}

/// The answer to a query for paths.
#[derive(Clone, Debug, Serialize)]
pub struct PathsReport {
    /// The most common first.
    pub paths: Vec<Path>,
    /// People on all paths.
    pub people: u64,
    /// Of these, people on paths that are not shown.
    pub other: u64,
    /// What nobody ever sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// One path.
#[derive(Clone, Debug, Serialize)]
pub struct Path {
    /// What was done between start and goal.
    pub events: Vec<PathEvent>,
    /// People who went this way.
    pub people: u64,
    /// Of all.
    pub share: Option<f64>,
    /// How long they took from start to goal, where there are both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<PathSeconds>,
}

/// How long people took.
#[derive(Clone, Debug, Serialize)]
pub struct PathSeconds {
    /// Half took at most so long.
    pub median: Option<f64>,
}

/// A path with the milliseconds that each of its people took.
pub type Taken = (Vec<PathEvent>, Vec<i64>);

impl PathsReport {
    /// Makes the report of the paths shown, in their order, and the people on `other` paths.
    pub fn new(definition: &Paths, taken: Vec<Taken>, other: u64, warnings: Vec<Warning>) -> Self {
        let people = other + taken.iter().map(|(_, people)| people.len() as u64).sum::<u64>();
        let timed = definition.start.is_some() && definition.goal.is_some();
        let path = |(events, mut durations): Taken| {
            let count = durations.len() as u64;
            let seconds = timed.then(|| PathSeconds { median: median_seconds(&mut durations) });
            Path { events, people: count, share: share(count, people), seconds }
        };
        Self { paths: taken.into_iter().map(path).collect(), people, other, warnings }
    }
}
