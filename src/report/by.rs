//! What a report is split by.

use super::audience::Audience;
use super::json::Node;
use super::saved::Terms;
use crate::error::Result;
use crate::model::Zone;

/// What people or events are split by.
#[derive(Clone, Debug)]
pub enum By {
    /// The latest value of a person property.
    Latest(String),
    /// The first value of a person property.
    First(String),
    /// The value of a person property at the moment of entry.
    AtEntry(String),
    /// A property of the event chosen for a step, from 0.
    Step(usize, String),
    /// A property of each event.
    Event(String),
    /// Whether people are in a saved audience: true or false.
    Audience(String, Box<Audience>),
    /// Where people first came from: their first campaign source, or else the channel of their first referrer.
    Source,
    /// The channel through which people first came: of their first campaign medium, or else of their first referrer.
    Channel,
}

/// What a report can be split by, besides properties of people as such.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowed {
    /// Steps whose events have properties; those of a funnel.
    pub steps: usize,
    /// Whether people enter at a moment.
    pub entry: bool,
    /// Whether each event counts by itself.
    pub event: bool,
}

impl By {
    /// Reads `person.NAME` and what else is allowed. Dates of saved audiences are of `zone`.
    pub fn read(node: Node, allowed: Allowed, zone: &Zone, terms: &Terms<'_>) -> Result<Self> {
        let place = node.clone();
        let text = node.text()?;
        let mut ways = vec!["person.NAME", "first:person.NAME"];
        ways.extend(allowed.entry.then_some("at:person.NAME"));
        ways.extend((allowed.steps > 0).then_some("step1.NAME"));
        ways.extend(allowed.event.then_some("event.NAME"));
        ways.extend(["audience:NAME", "source", "channel"]);
        let bad = || {
            place
                .error("bad_by", format!("cannot split by \"{text}\""))
                .hint(format!("one of {}", ways.join(", ")))
        };
        match text.as_str() {
            "source" => return Ok(Self::Source),
            "channel" => return Ok(Self::Channel),
            _ => {}
        }
        if let Some(name) = text.strip_prefix("audience:") {
            let (name, audience) = terms.audience(Node::of_text(&place.at, name), zone, 0)?;
            return Ok(Self::Audience(name, Box::new(audience)));
        }
        let (kind, name) = text.split_once('.').ok_or_else(bad)?;
        let name = name.trim();
        if name.is_empty() {
            return Err(bad());
        }
        match kind {
            "person" => Ok(Self::Latest(name.to_owned())),
            "first:person" => Ok(Self::First(name.to_owned())),
            "at:person" if allowed.entry => Ok(Self::AtEntry(name.to_owned())),
            "event" if allowed.event => Ok(Self::Event(name.to_owned())),
            _ if allowed.steps > 0 => {
                let number =
                    kind.strip_prefix("step").and_then(|n| n.parse::<usize>().ok()).ok_or_else(bad)?;
                let step = number.checked_sub(1).filter(|s| *s < allowed.steps);
                let step =
                    step.ok_or_else(|| place.error("out_of_range", format!("there is no step {number}")))?;
                Ok(Self::Step(step, name.to_owned()))
            }
            _ => Err(bad()),
        }
    }

    /// The property whose values are the segments, if one is.
    pub fn property(&self) -> Option<&str> {
        match self {
            Self::Latest(name) | Self::First(name) | Self::AtEntry(name) => Some(name),
            Self::Step(_, name) | Self::Event(name) => Some(name),
            Self::Audience(..) | Self::Source | Self::Channel => None,
        }
    }

    /// As the query has it.
    pub fn text(&self) -> String {
        match self {
            Self::Latest(name) => format!("person.{name}"),
            Self::First(name) => format!("first:person.{name}"),
            Self::AtEntry(name) => format!("at:person.{name}"),
            Self::Step(step, name) => format!("step{}.{name}", step + 1),
            Self::Event(name) => format!("event.{name}"),
            Self::Audience(name, _) => format!("audience:{name}"),
            Self::Source => "source".to_owned(),
            Self::Channel => "channel".to_owned(),
        }
    }
}
