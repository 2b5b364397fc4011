//! Lifecycle: who is new, who returns, who comes back after a pause and who stays away, unit by unit.

use serde::Serialize;

use super::basis::{Basis, Definition};
use super::json::{Fields, Node};
use super::period::Units;
use super::saved::{Saved, Terms};
use super::tally::Warning;
use crate::error::Result;
use crate::limits;
use crate::model::{Json, Unit};

/// A lifecycle report.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    /// What counts as being active; any event if not given.
    pub events: Option<Vec<String>>,
    /// The units.
    pub units: Units,
    /// Which units, and which people.
    pub basis: Basis,
}

/// What somebody is in a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Active for the first time ever.
    New,
    /// Active, and in the unit before.
    Returning,
    /// Active, and before, but not in the unit before.
    Resurrected,
    /// Not active, but in the unit before.
    Dormant,
}

/// The people of a stage in a unit, a page at a time.
#[derive(Clone, Debug)]
pub struct LifecyclePeople {
    /// The report.
    pub lifecycle: Lifecycle,
    /// The unit, by its first day.
    pub start: String,
    /// The stage.
    pub stage: Stage,
    /// People on a page.
    pub limit: usize,
    /// Where the page begins.
    pub cursor: Option<String>,
}

impl Stage {
    /// All of them, in the order of [`Stages`].
    pub const ALL: [Self; 4] = [Self::New, Self::Returning, Self::Resurrected, Self::Dormant];

    fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Returning => "returning",
            Self::Resurrected => "resurrected",
            Self::Dormant => "dormant",
        }
    }
}

impl Lifecycle {
    /// Reads a lifecycle query.
    pub fn from_json(text: &str, saved: &Saved) -> Result<Self> {
        let mut fields = Node::parse(text)?.object()?;
        let lifecycle = Self::read(&mut fields, saved)?;
        fields.end()?;
        Ok(lifecycle)
    }

    fn read(fields: &mut Fields, saved: &Saved) -> Result<Self> {
        let terms = Terms::new(saved);
        let basis = Basis::read(fields, &terms)?;
        let events = fields.take("event").map(|node| node.names(limits::STEP_EVENTS_MAX)).transpose()?;
        let units = Units::take(fields, "unit", Unit::Week, &terms)?;
        Ok(Self { events, units, basis })
    }
}

impl LifecyclePeople {
    /// Reads a query for the people of a stage.
    pub fn from_json(text: &str, saved: &Saved) -> Result<Self> {
        let mut fields = Node::parse(text)?.object()?;
        let limit = fields.take("limit").map(|n| n.integer(1, limits::PAGE_MAX as u64)).transpose()?;
        let lifecycle = Lifecycle::read(&mut fields, saved)?;
        let start = fields.require("start")?.text()?;
        let stages = Stage::ALL.map(|stage| (stage.name(), stage));
        let stage = fields.require("which")?.choice("stage", &stages)?;
        let cursor = fields.take("cursor").map(Node::text).transpose()?;
        fields.end()?;
        let limit = limit.map_or(limits::PAGE_DEFAULT, |n| n as usize);
        Ok(Self { lifecycle, start, stage, limit, cursor })
    }
}

impl Definition for Lifecycle {
    fn basis(&self) -> &Basis {
        &self.basis
    }

    fn fields(&self) -> Json {
        let mut out = Json::object([]);
        let mut put = |name: &str, value: Json| out.set(name, value);
        match self.events.as_deref() {
            None => {}
            Some([one]) => put("event", one.as_str().into()),
            Some(several) => put("event", several.iter().collect()),
        }
        put("unit", self.units.unit.name().into());
        put("week_start", self.units.week_start().into());
        out
    }
}

/// People by stage.
pub type Stages = [u64; 4];

/// The answer to a lifecycle query.
#[derive(Clone, Debug, Serialize)]
pub struct LifecycleReport {
    /// Unit by unit.
    pub points: Vec<LifecyclePoint>,
    /// What nobody ever sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// One unit.
#[derive(Clone, Debug, Serialize)]
pub struct LifecyclePoint {
    /// Its first day.
    pub start: String,
    /// Active for the first time ever.
    pub new: u64,
    /// Active, and in the unit before.
    pub returning: u64,
    /// Active again after a pause.
    pub resurrected: u64,
    /// No longer active.
    pub dormant: u64,
}

impl LifecyclePoint {
    /// The point of the unit that begins on the day `start`.
    pub fn new(start: String, [new, returning, resurrected, dormant]: Stages) -> Self {
        Self { start, new, returning, resurrected, dormant }
    }
}
