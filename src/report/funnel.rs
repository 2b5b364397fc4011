//! The definition of a funnel, read from JSON and checked.

use super::audience::Audience;
use super::condition::PropertyCondition;
use super::json::{Fields, Node};
use super::order::Order;
use super::period::Period;
use crate::error::{Error, Result};
use crate::limits;
use crate::model::{Value, parse_duration};

/// A funnel.
#[derive(Clone, Debug)]
pub struct Funnel {
    /// 1 to 20 steps.
    pub steps: Vec<Step>,
    /// In which order they count.
    pub order: Order,
    /// Milliseconds that a whole attempt may take.
    pub within: Option<i64>,
    /// Whether steps after the end of the period do not count.
    pub until_to: bool,
    /// What must not happen between steps.
    pub exclude: Vec<Exclude>,
    /// What people are split by.
    pub by: Option<By>,
    /// Segments shown.
    pub limit: usize,
    /// Only these people.
    pub people: Option<Audience>,
    /// Whether the times between steps are wanted.
    pub times: bool,
    /// When.
    pub period: Period,
}

/// One step: any of some events that meet conditions.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The events.
    pub events: Vec<String>,
    /// Whether they were given as a list.
    pub listed: bool,
    /// What each must meet.
    pub conditions: Vec<PropertyCondition>,
}

/// Events that end the choice of a step when they lie between it and the next.
#[derive(Clone, Debug, PartialEq)]
pub struct Exclude {
    /// The events.
    pub events: Vec<String>,
    /// What each must meet.
    pub conditions: Vec<PropertyCondition>,
    /// The step after which they count, from 0.
    pub after: usize,
}

/// What people are split by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// The latest value of a person property.
    Latest(String),
    /// The first value of a person property.
    First(String),
    /// The value of a person property at the moment of entry.
    AtEntry(String),
    /// A property of the event chosen for a step, from 0.
    Step(usize, String),
}

/// Which people behind a number of a funnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunnelOutcome {
    /// Reached the step.
    Reached,
    /// Reached the step and not the next, and will not.
    Lost,
    /// Reached the step and may still reach the next.
    InProgress,
    /// Did the last step.
    Converted,
}

/// The people behind a number of a funnel, a page at a time.
#[derive(Clone, Debug)]
pub struct FunnelPeople {
    /// The funnel.
    pub funnel: Funnel,
    /// The step, from 0.
    pub step: usize,
    /// Which of the people at it.
    pub outcome: FunnelOutcome,
    /// Only of the segment with this value.
    pub segment: Option<Option<Value>>,
    /// People on a page.
    pub limit: usize,
    /// Where the page begins.
    pub cursor: Option<String>,
}

impl Funnel {
    /// Reads a funnel query.
    pub fn from_json(text: &str) -> Result<Self> {
        let mut fields = Node::parse(text)?.object()?;
        let funnel = Self::read(&mut fields)?;
        fields.end()?;
        Ok(funnel)
    }

    fn read(fields: &mut Fields) -> Result<Self> {
        let period = Period::read(fields)?;
        let steps = read_steps(fields.require("steps")?)?;
        let order = match fields.take("order") {
            None => Order::default(),
            Some(node) => choice(
                node,
                "order",
                &[("ordered", Order::Ordered), ("strict", Order::Strict), ("any", Order::Any)],
            )?,
        };
        let within = fields.take("within").map(|node| {
            let at = node.at.clone();
            parse_duration(&node.text()?).map_err(|e| e.at(at))
        });
        let until = fields.take("until");
        let until_to = until.map_or(Ok(false), |node| choice(node, "end", &[("to", true)]))?;
        let exclude = match fields.take("exclude") {
            None => Vec::new(),
            Some(node) => {
                node.list()?.into_iter().map(|n| read_exclude(n, steps.len())).collect::<Result<_>>()?
            }
        };
        let by = fields.take("by").map(|node| read_by(node, steps.len())).transpose()?;
        let limit = fields.take("limit").map(|n| n.integer(1, limits::SEGMENTS_MAX as u64)).transpose()?;
        let people = fields.take("people").map(|node| Audience::read(node, &period.zone)).transpose()?;
        let times = fields.take("times").map_or(Ok(true), Node::boolean)?;
        if let Some(node) = fields.take("control") {
            return Err(node.error("not_available", "experiments are not available yet"));
        }
        Ok(Self {
            steps,
            order,
            within: within.transpose()?,
            until_to,
            exclude,
            by,
            limit: limit.map_or(limits::SEGMENTS_DEFAULT, |n| n as usize),
            people,
            times,
            period,
        })
    }
}

impl FunnelPeople {
    /// Reads a query for the people of a funnel.
    pub fn from_json(text: &str) -> Result<Self> {
        let mut fields = Node::parse(text)?.object()?;
        // `limit` here is that of the list, so it is taken before the funnel can.
        let limit = fields.take("limit").map(|n| n.integer(1, limits::PAGE_MAX as u64)).transpose()?;
        let funnel = Funnel::read(&mut fields)?;
        let outcomes = [
            ("reached", FunnelOutcome::Reached),
            ("lost", FunnelOutcome::Lost),
            ("in_progress", FunnelOutcome::InProgress),
            ("converted", FunnelOutcome::Converted),
        ];
        let outcome =
            fields.take("outcome").map_or(Ok(FunnelOutcome::Reached), |n| choice(n, "outcome", &outcomes))?;
        let steps = funnel.steps.len() as u64;
        let step = match fields.take("step") {
            Some(node) => node.integer(1, steps)? as usize - 1,
            None if outcome == FunnelOutcome::Converted => funnel.steps.len() - 1,
            None => return Err(Error::invalid("missing_field", "\"step\" is missing")),
        };
        let segment = fields.take_with_null("segment");
        if let Some(node) = segment.as_ref().filter(|_| funnel.by.is_none()) {
            return Err(node.error("no_segments", "\"segment\" needs \"by\""));
        }
        let segment = segment.map(Node::value_or_null).transpose()?;
        let cursor = fields.take("cursor").map(Node::text).transpose()?;
        fields.end()?;
        let limit = limit.map_or(limits::PAGE_DEFAULT, |n| n as usize);
        Ok(Self { funnel, step, outcome, segment, limit, cursor })
    }
}

fn choice<T: Copy>(node: Node, what: &str, choices: &[(&str, T)]) -> Result<T> {
    let place = node.clone();
    let text = node.text()?;
    choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        place.error("unknown_choice", format!("no {what} \"{text}\"")).hint(names.join(", "))
    })
}

fn read_steps(node: Node) -> Result<Vec<Step>> {
    let place = node.clone();
    let nodes = node.list()?;
    if nodes.is_empty() || nodes.len() > limits::FUNNEL_STEPS_MAX {
        let message = format!("a funnel has 1 to {} steps", limits::FUNNEL_STEPS_MAX);
        return Err(place.error("out_of_range", message));
    }
    let read = |node: Node| {
        let mut fields = node.object()?;
        let event = fields.require("event")?;
        let listed = !event.is_text();
        let events = event.names(limits::STEP_EVENTS_MAX)?;
        let conditions = PropertyCondition::read_all(fields.take("where"))?;
        fields.end()?;
        Ok(Step { events, listed, conditions })
    };
    nodes.into_iter().map(read).collect()
}

fn read_exclude(node: Node, steps: usize) -> Result<Exclude> {
    let place = node.clone();
    let mut fields = node.object()?;
    let events = fields.require("event")?.names(limits::STEP_EVENTS_MAX)?;
    let conditions = PropertyCondition::read_all(fields.take("where"))?;
    let after = match fields.take("after") {
        None => 0,
        Some(node) => node.integer(1, limits::FUNNEL_STEPS_MAX as u64)? as usize - 1,
    };
    fields.end()?;
    if after + 1 >= steps {
        let message = format!("nothing follows step {} that could be excluded", after + 1);
        return Err(place.error("out_of_range", message));
    }
    Ok(Exclude { events, conditions, after })
}

fn read_by(node: Node, steps: usize) -> Result<By> {
    let place = node.clone();
    let text = node.text()?;
    let bad = || {
        place
            .error("bad_by", format!("cannot split by \"{text}\""))
            .hint("person.NAME, first:person.NAME, at:person.NAME or step1.NAME")
    };
    if let Some(name) = text.strip_prefix("audience:") {
        return Err(place.error("unknown_audience", format!("no saved audience \"{name}\"")));
    }
    let (kind, name) = text.split_once('.').ok_or_else(bad)?;
    let name = name.trim();
    if name.is_empty() {
        return Err(bad());
    }
    match kind {
        "person" => Ok(By::Latest(name.to_owned())),
        "first:person" => Ok(By::First(name.to_owned())),
        "at:person" => Ok(By::AtEntry(name.to_owned())),
        _ => {
            let number = kind.strip_prefix("step").and_then(|n| n.parse::<usize>().ok()).ok_or_else(bad)?;
            let step = number.checked_sub(1).filter(|s| *s < steps);
            let step =
                step.ok_or_else(|| place.error("out_of_range", format!("there is no step {number}")))?;
            Ok(By::Step(step, name.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_query_is_read() {
        let funnel = Funnel::from_json(
            r#"{"steps":[{"event":"A"},{"event":["B","C"],"where":[{"property":"Plan","is":"Pro"}]},{"event":"D"}],
            "from":"2025-01-01","to":"2025-03-31","order":"strict","within":"30d","until":"to",
            "exclude":[{"event":"X","after":2}],"by":"step2.Plan","limit":3,"people":{"did":"A"},"times":false,"tz":"Europe/Berlin"}"#,
        )
        .unwrap();
        assert_eq!(
            (funnel.steps.len(), funnel.order, funnel.until_to, funnel.limit),
            (3, Order::Strict, true, 3)
        );
        assert_eq!((funnel.exclude[0].after, funnel.by), (1, Some(By::Step(1, "Plan".into()))));
        assert_eq!(funnel.within, Some(30 * 86_400_000));
    }

    #[test]
    fn mistakes_name_their_place() {
        for (json, code, at) in [
            (r#"[]"#, "bad_type", None),
            (r#"{"steps":[]}"#, "out_of_range", Some("steps")),
            (r#"{"steps":[{"event":""}]}"#, "empty_name", Some("steps[0].event")),
            (r#"{"steps":[{"event":"A"},{"evnet":"B"}]}"#, "missing_field", Some("steps[1]")),
            (
                r#"{"steps":[{"event":"A","where":[{"property":"p","start_with":"x"}]}]}"#,
                "unknown_operator",
                Some("steps[0].where[0]"),
            ),
            (r#"{"steps":[{"event":"A"}],"within":"soon"}"#, "bad_duration", Some("within")),
            (r#"{"steps":[{"event":"A"}],"by":"Plan"}"#, "bad_by", Some("by")),
            (r#"{"steps":[{"event":"A"}],"by":"step2.P"}"#, "out_of_range", Some("by")),
            (r#"{"steps":[{"event":"A"}],"exclude":[{"event":"X"}]}"#, "out_of_range", Some("exclude[0]")),
            (r#"{"steps":[{"event":"A"}],"order":"random"}"#, "unknown_choice", Some("order")),
            (r#"{"steps":[{"event":"A"}],"tz":"Mars"}"#, "unknown_zone", Some("tz")),
            (r#"{"steps":[{"event":"A"}],"from":"2025-02-31"}"#, "bad_time", Some("from")),
            (r#"{"steps":[{"event":"A"}],"limits":3}"#, "unknown_field", Some("limits")),
            (r#"{"steps":[{"event":"A"}],"steps":[]}"#, "bad_json", None),
            (r#"{"steps":"#, "bad_json", None),
        ] {
            let error = Funnel::from_json(json).map(drop).unwrap_err();
            assert_eq!((error.code(), error.place()), (code, at), "{json}");
        }
    }
}
