//! Audiences: boolean expressions over what people did, have and are.

use super::basis::resolved;
use super::cohort::InCohort;
use super::condition::{PropertyCondition, Test};
use super::funnel::{Funnel, FunnelOutcome};
use super::json::{Fields, Node};
use super::period::read_range;
use super::saved::{Saved, Terms};
use crate::enrich::USER_AGENT;
use crate::enrich::bot::MARKS;
use crate::error::Result;
use crate::limits;
use crate::model::{Json, Millis, Zone, format_millis};

/// Which people.
#[derive(Clone, Debug)]
pub enum Audience {
    /// All of these.
    All(Vec<Audience>),
    /// Any of these.
    Any(Vec<Audience>),
    /// Not this.
    Not(Box<Audience>),
    /// Did something.
    Did(Did),
    /// Has a property.
    Has {
        /// The condition.
        condition: PropertyCondition,
        /// On the first value instead of the latest.
        first: bool,
    },
    /// Did any event at all in the range.
    Seen {
        /// The first instant.
        from: Millis,
        /// The instant behind the last.
        to: Millis,
    },
    /// Some identity was the target of an identify; or none was.
    Identified(bool),
    /// Is behind a number of a funnel.
    Funnel(Box<Outcome>),
    /// Is in a cell of a cohort report.
    Cohort(Box<InCohort>),
}

/// Being behind a number of a funnel.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The funnel.
    pub funnel: Funnel,
    /// The step, from 0; none for any.
    pub step: Option<usize>,
    /// Which of the people at it.
    pub outcome: FunnelOutcome,
}

/// Did something some number of times.
#[derive(Clone, Debug, PartialEq)]
pub struct Did {
    /// Any of these events.
    pub events: Vec<String>,
    /// At least so often.
    pub at_least: u64,
    /// At most so often.
    pub at_most: u64,
    /// From this instant on.
    pub from: Millis,
    /// Before this one.
    pub to: Millis,
    /// Counting events that meet all of these.
    pub conditions: Vec<PropertyCondition>,
}

impl Did {
    /// Whether so many times are as often as it asks for.
    pub fn is_met_by(&self, times: u64) -> bool {
        (self.at_least..=self.at_most).contains(&times)
    }

    /// Whether it asks for no more than that the event was ever done.
    pub fn is_ever(&self) -> bool {
        let whenever = self.from == Millis::MIN && self.to == Millis::MAX;
        self.at_least == 1 && self.at_most == u64::MAX && self.conditions.is_empty() && whenever
    }
}

const KINDS: &str = "all, any, not, did, property, seen, identified, bot, audience, funnel, cohort";

impl Audience {
    /// Reads an audience from JSON text, dates in `zone`.
    pub fn from_json(text: &str, zone: &Zone, saved: &Saved) -> Result<Self> {
        Self::read(Node::parse(text)?, zone, &Terms::new(saved))
    }

    /// Reads an audience.
    pub fn read(node: Node, zone: &Zone, terms: &Terms<'_>) -> Result<Self> {
        Self::read_at(node, zone, terms, 0)
    }

    /// Reads an audience at nesting `depth`.
    pub(super) fn read_at(node: Node, zone: &Zone, terms: &Terms<'_>, depth: usize) -> Result<Self> {
        if depth > limits::AUDIENCE_DEPTH_MAX {
            return Err(node.error("too_deep", "the audience is nested too deeply"));
        }
        terms.count(&node)?;
        let whole = node.clone();
        let mut fields = node.clone().object()?;
        let list = |node: Node| -> Result<Vec<Self>> {
            node.list()?.into_iter().map(|n| Self::read_at(n, zone, terms, depth + 1)).collect()
        };
        let audience = if let Some(node) = fields.take("all") {
            Self::All(list(node)?)
        } else if let Some(node) = fields.take("any") {
            Self::Any(list(node)?)
        } else if let Some(node) = fields.take("not") {
            Self::Not(Box::new(Self::read_at(node, zone, terms, depth + 1)?))
        } else if let Some(node) = fields.take("did") {
            Self::Did(read_did(node, &mut fields, zone)?)
        } else if fields.take("property").is_some() {
            return read_has(whole);
        } else if let Some(node) = fields.take("seen") {
            let mut range = node.object()?;
            let (from, to) = read_range(&mut range, zone)?;
            range.end()?;
            Self::Seen { from: from.unwrap_or(Millis::MIN), to: to.unwrap_or(Millis::MAX) }
        } else if let Some(node) = fields.take("identified") {
            Self::Identified(node.boolean()?)
        } else if let Some(node) = fields.take("bot") {
            let bots = bots();
            if node.boolean()? { bots } else { Self::Not(Box::new(bots)) }
        } else if let Some(node) = fields.take("audience") {
            terms.audience(node, zone, depth)?.1
        } else if let Some(node) = fields.take("funnel") {
            let mut inner = node.object()?;
            let funnel = Funnel::read_at(&mut inner, zone, terms, depth + 1)?;
            inner.end()?;
            let (step, outcome) = super::funnel::read_outcome(&mut fields, funnel.steps.len(), &whole)?;
            Self::Funnel(Box::new(Outcome { funnel, step, outcome }))
        } else if let Some(node) = fields.take("cohort") {
            Self::Cohort(Box::new(InCohort::read_at(node, &mut fields, zone, terms, depth + 1)?))
        } else {
            fields.end()?;
            return Err(whole.error("bad_audience", "the audience is empty").hint(format!("one of {KINDS}")));
        };
        fields.end()?;
        Ok(audience)
    }

    /// As a query has it, with dates as instants and saved audiences written out.
    pub fn to_json(&self) -> Json {
        let list = |list: &[Self]| list.iter().map(Self::to_json).collect::<Json>();
        match self {
            Self::All(all) => Json::object([("all", list(all))]),
            Self::Any(any) => Json::object([("any", list(any))]),
            Self::Not(inner) => Json::object([("not", inner.to_json())]),
            Self::Did(did) => did.to_json(),
            Self::Has { condition, first } => {
                let mut out = condition.to_json();
                if *first {
                    out.set("which", "first".into());
                }
                out
            }
            Self::Seen { from, to } => {
                let mut range = Json::object([]);
                put_range(&mut range, *from, *to);
                Json::object([("seen", range)])
            }
            Self::Identified(wanted) => Json::object([("identified", (*wanted).into())]),
            Self::Funnel(inner) => {
                let funnel = resolved(&inner.funnel, None);
                let mut out = Json::object([("funnel", funnel), ("outcome", inner.outcome.name().into())]);
                if let Some(step) = inner.step {
                    out.set("step", (step + 1).into());
                }
                out
            }
            Self::Cohort(inner) => inner.to_json(),
        }
    }
}

/// Whoever sent with a robot's browser last, by the list of today. It is written out, so that an answer says by which list it was made.
fn bots() -> Audience {
    let marks = MARKS.map(str::to_owned).to_vec();
    let condition = PropertyCondition { property: USER_AGENT.to_owned(), test: Test::Contains(marks) };
    Audience::Has { condition, first: false }
}

impl Did {
    fn to_json(&self) -> Json {
        let mut out = Json::object([("did", self.events.iter().collect())]);
        put_range(&mut out, self.from, self.to);
        out.set("at_least", self.at_least.into());
        if self.at_most < u64::MAX {
            out.set("at_most", self.at_most.into());
        }
        if !self.conditions.is_empty() {
            out.set("where", self.conditions.iter().map(PropertyCondition::to_json).collect());
        }
        out
    }
}

fn put_range(out: &mut Json, from: Millis, to: Millis) {
    if from > Millis::MIN {
        out.set("from", format_millis(from).into());
    }
    if to < Millis::MAX {
        out.set("to", format_millis(to).into());
    }
}

fn read_did(node: Node, fields: &mut Fields, zone: &Zone) -> Result<Did> {
    let events = node.names(limits::STEP_EVENTS_MAX)?;
    let at_least = fields.take("at_least").map(|n| n.integer(0, u64::MAX)).transpose()?;
    let at_most = fields.take("at_most").map(|n| n.integer(0, u64::MAX)).transpose()?;
    let (from, to) = read_range(fields, zone)?;
    let conditions = PropertyCondition::read_all(fields.take("where"))?;
    // `at_most` alone includes those who never did it.
    let least = at_least.unwrap_or(if at_most.is_some() { 0 } else { 1 });
    let most = at_most.unwrap_or(u64::MAX);
    Ok(Did {
        events,
        at_least: least,
        at_most: most,
        from: from.unwrap_or(Millis::MIN),
        to: to.unwrap_or(Millis::MAX),
        conditions,
    })
}

fn read_has(node: Node) -> Result<Audience> {
    let (condition, which) = PropertyCondition::read(node, Some("which"))?;
    let first = match which {
        None => false,
        Some(node) => {
            let place = node.clone();
            match node.text()?.as_str() {
                "first" => true,
                "latest" => false,
                other => {
                    return Err(place
                        .error("bad_which", format!("no value \"{other}\""))
                        .hint("first or latest"));
                }
            }
        }
    };
    Ok(Audience::Has { condition, first })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audiences_are_read_and_mistakes_named() {
        let read = |json: &str| Audience::from_json(json, &Zone::utc(), &Saved::default());
        let did = read(
            r#"{"all":[{"did":"A","at_most":2},{"not":{"property":"P","is":1,"which":"first"}},{"seen":{"from":"2025-01-01"}}]}"#,
        );
        let Ok(Audience::All(list)) = did else { panic!("{did:?}") };
        assert!(matches!(&list[0], Audience::Did(d) if d.at_least == 0 && d.at_most == 2));
        for (json, code) in [
            ("{}", "bad_audience"),
            (r#"{"did":"A","atleast":2}"#, "unknown_field"),
            (r#"{"audience":"x"}"#, "unknown_audience"),
            (r#"{"any":{}}"#, "bad_type"),
            (r#"{"seen":{"from":"never"}}"#, "bad_time"),
        ] {
            assert_eq!(read(json).map(drop).unwrap_err().code(), code, "{json}");
        }
        let deep = format!("{}{{\"identified\":true}}{}", "{\"not\":".repeat(40), "}".repeat(40));
        assert_eq!(read(&deep).map(drop).unwrap_err().code(), "too_deep");
    }
}
