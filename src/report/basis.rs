//! What every report has in common: when it is about, as of when, and which people; and the receipt that says how it was read.

use serde::Serialize;

use super::audience::Audience;
use super::json::{Fields, Node};
use super::period::Period;
use super::saved::Terms;
use crate::error::Result;
use crate::model::{Json, Millis, Zone, format_millis};

/// The part of a definition that all reports share.
#[derive(Clone, Debug)]
pub struct Basis {
    /// When.
    pub period: Period,
    /// Only these people.
    pub people: Option<Audience>,
    /// Whether the answer says what was read for it.
    pub explain: bool,
}

/// A report's definition.
pub trait Definition {
    /// The part that all reports share.
    fn basis(&self) -> &Basis;

    /// Its own fields, as the query has them, with every default written out.
    fn fields(&self) -> Json;
}

impl Basis {
    /// Takes `from`, `to`, `tz`, `as_of`, `people` and `explain`. Without `tz` dates are of the project's zone.
    pub fn read(fields: &mut Fields, terms: &Terms<'_>) -> Result<Self> {
        Self::read_at(fields, &terms.time().zone, terms, 0)
    }

    /// As [`Basis::read`], for a definition inside an audience at nesting `depth`.
    pub(super) fn read_at(fields: &mut Fields, zone: &Zone, terms: &Terms<'_>, depth: usize) -> Result<Self> {
        let period = Period::read(fields, zone)?;
        let people = fields
            .take("people")
            .map(|node| Audience::read_at(node, &period.zone, terms, depth + 1))
            .transpose()?;
        let explain = fields.take("explain").map_or(Ok(false), Node::boolean)?;
        Ok(Self { period, people, explain })
    }

    /// The instant that the report pretends it is.
    pub fn as_of(&self, now: Millis) -> Millis {
        self.period.as_of.unwrap_or(now)
    }

    /// As [`Basis::as_of`], inside a report that pretends it is `outer`: what is later is not seen there.
    pub fn as_of_inside(&self, outer: Millis) -> Millis {
        self.as_of(outer).min(outer)
    }

    /// The first instant, or the beginning of time.
    pub fn from(&self) -> Millis {
        self.period.from.unwrap_or(Millis::MIN)
    }

    /// The instant behind the last, or the end of time.
    pub fn to(&self) -> Millis {
        self.period.to.unwrap_or(Millis::MAX)
    }

    /// What can be seen: events from `from` on and before the instant given here.
    pub fn seen_to(&self, as_of: Millis) -> Millis {
        self.to().min(as_of.saturating_add(1))
    }
}

/// How a query was understood, and what it was asked of: with it the same answer can be had again.
#[derive(Clone, Debug, Serialize)]
pub struct Receipt {
    /// The definition with every default, name and date resolved.
    pub query: Json,
    /// The same as text, as the command line and URLs take it.
    pub text: String,
    /// The zone of dates.
    pub tz: String,
    /// The instant that the report pretends it is.
    pub as_of: String,
    /// Records in the store when it was asked.
    pub records: u64,
}

impl Receipt {
    /// The receipt of `definition`, a report called `report`, asked as of `as_of` of a store with so many records.
    pub fn new(report: &str, definition: &dyn Definition, as_of: Millis, records: u64) -> Self {
        let query = resolved(definition, Some(as_of));
        let text = super::params::text(report, &query);
        let tz = definition.basis().period.zone.name().to_owned();
        Self { query, text, tz, as_of: format_millis(as_of), records }
    }
}

/// The whole definition as JSON: reading it again gives the same definition.
pub(super) fn resolved(definition: &dyn Definition, as_of: Option<Millis>) -> Json {
    let mut out = definition.fields();
    let basis = definition.basis();
    let mut put = |name: &str, value: Option<Json>| {
        if let Some(value) = value {
            out.set(name, value);
        }
    };
    let instant = |t: Option<Millis>| t.map(|t| Json::from(format_millis(t)));
    put("from", instant(basis.period.from));
    put("to", instant(basis.period.to));
    put("tz", Some(basis.period.zone.name().into()));
    put("as_of", instant(as_of.or(basis.period.as_of)));
    put("people", basis.people.as_ref().map(Audience::to_json));
    out
}
