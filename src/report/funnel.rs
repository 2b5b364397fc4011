//! The definition of a funnel, read from JSON and checked.

use super::basis::{Basis, Definition};
use super::by::{Allowed, By};
use super::condition::PropertyCondition;
use super::json::{Fields, Node};
use super::order::Order;
use super::pattern::Pattern;
use super::saved::{Saved, Terms};
use super::segment::{Label, take_shown};
use crate::error::Result;
use crate::limits;
use crate::model::{Json, Value, Zone, duration_text, parse_duration};

/// A funnel.
#[derive(Clone, Debug)]
pub struct Funnel {
    /// 1 to 20 steps.
    pub steps: Vec<Pattern>,
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
    /// The variant that the others are compared with.
    pub control: Option<Value>,
    /// Whether the times between steps are wanted.
    pub times: bool,
    /// When, and which people.
    pub basis: Basis,
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
    /// The step, from 0; none for whoever is lost or in progress at any.
    pub step: Option<usize>,
    /// Which of the people at it.
    pub outcome: FunnelOutcome,
    /// Only of this segment.
    pub segment: Option<Label>,
    /// Only those who have had more than one variant of the experiment.
    pub several_variants: bool,
    /// People on a page.
    pub limit: usize,
    /// Where the page begins.
    pub cursor: Option<String>,
}

impl Funnel {
    /// Reads a funnel query.
    pub fn from_json(text: &str, saved: &Saved) -> Result<Self> {
        let mut fields = Node::parse(text)?.object()?;
        let funnel = Self::read(&mut fields, saved)?;
        fields.end()?;
        Ok(funnel)
    }

    fn read(fields: &mut Fields, saved: &Saved) -> Result<Self> {
        let terms = Terms::new(saved);
        Self::read_at(fields, &terms.time().zone, &terms, 0)
    }

    /// Reads a funnel inside an audience at nesting `depth`, whose dates are of `zone` unless it says otherwise.
    pub(super) fn read_at(fields: &mut Fields, zone: &Zone, terms: &Terms<'_>, depth: usize) -> Result<Self> {
        let basis = Basis::read_at(fields, zone, terms, depth)?;
        let steps = read_steps(fields.require("steps")?)?;
        let order = match fields.take("order") {
            None => Order::default(),
            Some(node) => node.choice(
                "order",
                &[("ordered", Order::Ordered), ("strict", Order::Strict), ("any", Order::Any)],
            )?,
        };
        let within = fields.take("within").map(|node| {
            let at = node.at.clone();
            parse_duration(&node.text()?).map_err(|e| e.at(at))
        });
        let until = fields.take("until");
        let until_to = until.map_or(Ok(false), |node| node.choice("end", &[("to", true)]))?;
        let exclude = match fields.take("exclude") {
            None => Vec::new(),
            Some(node) => {
                node.list()?.into_iter().map(|n| read_exclude(n, steps.len())).collect::<Result<_>>()?
            }
        };
        let by = fields
            .take("by")
            .map(|node| {
                let allowed = Allowed { steps: steps.len(), entry: true, event: false };
                By::read(node, allowed, &basis.period.zone, terms)
            })
            .transpose()?;
        let limit = fields.take("limit").map(|n| n.integer(1, limits::SEGMENTS_MAX as u64)).transpose()?;
        let times = fields.take("times").map_or(Ok(true), Node::boolean)?;
        let control = match fields.take("control") {
            None => None,
            Some(node) if matches!(by, Some(By::Latest(_) | By::First(_) | By::AtEntry(_))) => {
                Some(node.value()?)
            }
            Some(node) => {
                let error = node.error("control_needs_by", "a control needs variants to be compared with");
                return Err(
                    error.hint("split by the person property that holds the variant, \"by\":\"person.NAME\"")
                );
            }
        };
        Ok(Self {
            steps,
            order,
            within: within.transpose()?,
            until_to,
            exclude,
            by,
            limit: limit.map_or(limits::SEGMENTS_DEFAULT, |n| n as usize),
            control,
            times,
            basis,
        })
    }
}

impl FunnelPeople {
    /// Reads a query for the people of a funnel.
    pub fn from_json(text: &str, saved: &Saved) -> Result<Self> {
        let mut fields = Node::parse(text)?.object()?;
        // `limit` here is that of the list, so it is taken before the funnel can.
        let limit = fields.take("limit").map(|n| n.integer(1, limits::PAGE_MAX as u64)).transpose()?;
        let place = Node::of_text("", "");
        let mut funnel = Funnel::read(&mut fields, saved)?;
        funnel.limit = take_shown(&mut fields)?;
        let (step, outcome) = read_outcome(&mut fields, funnel.steps.len(), &place)?;
        let segment = fields.take_with_null("segment");
        if let Some(node) = segment.as_ref().filter(|_| funnel.by.is_none()) {
            return Err(node.error("no_segments", "\"segment\" needs \"by\""));
        }
        let segment = segment.map(Label::read).transpose()?;
        let several = fields.take("several_variants");
        if let Some(node) = several.as_ref().filter(|_| funnel.control.is_none()) {
            return Err(node.error("no_segments", "\"several_variants\" needs \"control\""));
        }
        let several_variants = several.map_or(Ok(false), Node::boolean)?;
        let cursor = fields.take("cursor").map(Node::text).transpose()?;
        fields.end()?;
        let limit = limit.map_or(limits::PAGE_DEFAULT, |n| n as usize);
        Ok(Self { funnel, step, outcome, segment, several_variants, limit, cursor })
    }
}

impl Definition for Funnel {
    fn basis(&self) -> &Basis {
        &self.basis
    }

    fn fields(&self) -> Json {
        let mut out = Json::object([]);
        let mut put = |name: &str, value: Json| out.set(name, value);
        put("steps", self.steps.iter().map(Pattern::to_json).collect());
        put("order", self.order.name().into());
        if let Some(within) = self.within {
            put("within", duration_text(within).into());
        }
        if self.until_to {
            put("until", "to".into());
        }
        if !self.exclude.is_empty() {
            put("exclude", self.exclude.iter().map(Exclude::to_json).collect());
        }
        if let Some(by) = &self.by {
            put("by", by.text().into());
            put("limit", self.limit.into());
        }
        if let Some(control) = &self.control {
            put("control", control.into());
        }
        put("times", self.times.into());
        out
    }
}

impl Exclude {
    fn to_json(&self) -> Json {
        let mut out =
            Json::object([("event", self.events.iter().collect()), ("after", (self.after + 1).into())]);
        if let [event] = self.events.as_slice() {
            out.set("event", event.as_str().into());
        }
        if !self.conditions.is_empty() {
            out.set("where", self.conditions.iter().map(PropertyCondition::to_json).collect());
        }
        out
    }
}

impl FunnelOutcome {
    const ALL: [Self; 4] = [Self::Reached, Self::Lost, Self::InProgress, Self::Converted];

    /// Its name in a query.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reached => "reached",
            Self::Lost => "lost",
            Self::InProgress => "in_progress",
            Self::Converted => "converted",
        }
    }
}

/// Takes `step`, as a number from 0, and `outcome` of a funnel of so many steps; `place` is where they belong. Whoever is lost or in
/// progress is so at one step, so that all of them together are a list, too.
pub(super) fn read_outcome(
    fields: &mut Fields,
    steps: usize,
    place: &Node,
) -> Result<(Option<usize>, FunnelOutcome)> {
    let outcomes = FunnelOutcome::ALL.map(|outcome| (outcome.name(), outcome));
    let outcome =
        fields.take("outcome").map_or(Ok(FunnelOutcome::Reached), |n| n.choice("outcome", &outcomes))?;
    let step = match fields.take("step") {
        Some(node) => Some(node.integer(1, steps as u64)? as usize - 1),
        None if outcome == FunnelOutcome::Converted => Some(steps - 1),
        None if matches!(outcome, FunnelOutcome::Lost | FunnelOutcome::InProgress) => None,
        None => return Err(place.error("missing_field", "\"step\" is missing")),
    };
    Ok((step, outcome))
}

fn read_steps(node: Node) -> Result<Vec<Pattern>> {
    let place = node.clone();
    let nodes = node.list()?;
    if nodes.is_empty() || nodes.len() > limits::FUNNEL_STEPS_MAX {
        let message = format!("a funnel has 1 to {} steps", limits::FUNNEL_STEPS_MAX);
        return Err(place.error("out_of_range", message));
    }
    nodes.into_iter().map(Pattern::read).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_query_is_read() {
        let funnel = Funnel::from_json(
            r#"{"steps":[{"event":"A"},{"event":["B","C"],"where":[{"property":"Plan","is":"Pro"}]},{"event":"D"}],
            "from":"2025-01-01","to":"2025-03-31","order":"strict","within":"30d","until":"to",
            "exclude":[{"event":"X","after":2}],"by":"step2.Plan","limit":3,"people":{"did":"A"},"times":false,"tz":"Europe/Berlin"}"#,
            &Saved::default(),
        )
        .unwrap();
        assert_eq!(
            (funnel.steps.len(), funnel.order, funnel.until_to, funnel.limit),
            (3, Order::Strict, true, 3)
        );
        assert_eq!(funnel.exclude[0].after, 1);
        assert!(matches!(funnel.by, Some(By::Step(1, name)) if name == "Plan"));
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
            let error = Funnel::from_json(json, &Saved::default()).map(drop).unwrap_err();
            assert_eq!((error.code(), error.place()), (code, at), "{json}");
        }
    }
}
