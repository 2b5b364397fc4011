//! A pattern: any of some events that meet conditions. Steps, starts, goals and series are patterns.

use serde::Serialize;

use super::condition::PropertyCondition;
use super::json::{Fields, Node};
use crate::error::Result;
use crate::limits;
use crate::model::Json;

/// Any of some events that meet conditions.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern {
    /// The events.
    pub events: Vec<String>,
    /// Whether they were given as a list.
    pub listed: bool,
    /// What each must meet.
    pub conditions: Vec<PropertyCondition>,
}

impl Pattern {
    /// Reads `{"event":...,"where":[...]}`.
    pub fn read(node: Node) -> Result<Self> {
        let mut fields = node.object()?;
        let pattern = Self::take(&mut fields)?;
        fields.end()?;
        Ok(pattern)
    }

    /// Takes `event` and `where`.
    pub fn take(fields: &mut Fields) -> Result<Self> {
        let event = fields.require("event")?;
        let listed = !event.is_text();
        let events = event.names(limits::STEP_EVENTS_MAX)?;
        let conditions = PropertyCondition::read_all(fields.take("where"))?;
        Ok(Self { events, listed, conditions })
    }

    /// The events as they were asked for.
    pub fn name(&self) -> Events {
        if self.listed {
            Events::Many(self.events.clone())
        } else {
            Events::One(self.events.first().cloned().unwrap_or_default())
        }
    }

    /// As the query has it.
    pub fn to_json(&self) -> Json {
        let mut out = Json::object([("event", self.name().to_json())]);
        if !self.conditions.is_empty() {
            out.set("where", self.conditions.iter().map(PropertyCondition::to_json).collect());
        }
        out
    }
}

/// One event or several.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Events {
    /// One.
    One(String),
    /// Any of these.
    Many(Vec<String>),
}

impl Events {
    fn to_json(&self) -> Json {
        match self {
            Self::One(event) => event.into(),
            Self::Many(events) => events.iter().collect(),
        }
    }
}
