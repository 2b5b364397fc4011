//! A funnel bound to a snapshot: which names matter, for which steps, and what is warned of.

use crate::engine::Snapshot;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::attempt::Rules;
use crate::exec::audience;
use crate::limits::ANY_EXCLUDE_STEPS_MAX;
use crate::model::{Millis, NameId, PropertyId};
use crate::report::{Audience, By, Funnel, Order, PropertyCondition, Warning, nearest};

/// What rows of one name can be in a funnel.
#[derive(Clone, Debug)]
pub struct NameUse {
    /// The name.
    pub name: NameId,
    /// The steps it can serve, each with the place of its conditions in [`FunnelPlan::conditions`].
    pub steps: Vec<(usize, usize)>,
    /// The steps after which it is excluded, likewise.
    pub blocks: Vec<(usize, usize)>,
    /// Whether it blocks every step, whatever it says: any event does in strict order.
    pub blocks_all: bool,
}

/// A funnel bound to a snapshot.
#[derive(Clone, Debug)]
pub struct FunnelPlan {
    /// The rules of the matcher.
    pub rules: Rules,
    /// The names that matter.
    pub uses: Vec<NameUse>,
    /// Lists of conditions; the first is empty.
    pub conditions: Vec<Vec<PropertyCondition>>,
    /// What people are split by.
    pub by: Option<Split>,
    /// Only these people.
    pub people: Option<Audience>,
    /// What nobody ever sent.
    pub warnings: Vec<Warning>,
}

/// What people are split by. Without a property everybody has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// The latest value of a person property.
    Latest(Option<PropertyId>),
    /// The first one.
    First(Option<PropertyId>),
    /// The one at entry.
    AtEntry(Option<PropertyId>),
    /// A property of the event chosen for a step.
    Step(usize, Option<PropertyId>),
}

impl FunnelPlan {
    /// Binds `funnel` to `snapshot`, as of `as_of`.
    pub fn new(funnel: &Funnel, snapshot: &Snapshot, as_of: Millis) -> Result<Self> {
        let mut plan = Self {
            rules: Rules {
                steps: funnel.steps.len(),
                order: funnel.order,
                within: funnel.within,
                from: funnel.period.from.unwrap_or(Millis::MIN),
                to: funnel.period.to.unwrap_or(Millis::MAX),
                until_to: funnel.until_to,
                as_of,
                disjoint: true,
                blockers: false,
            },
            uses: Vec::new(),
            conditions: vec![Vec::new()],
            by: None,
            people: funnel.people.clone(),
            warnings: Vec::new(),
        };
        for (k, step) in funnel.steps.iter().enumerate() {
            let conditions = plan.keep(&step.conditions, &format!("steps[{k}]"), snapshot);
            for event in &step.events {
                if let Some(name) = plan.find(event, &format!("steps[{k}]"), snapshot) {
                    plan.name_use(name).steps.push((k, conditions));
                }
            }
        }
        for (k, exclude) in funnel.exclude.iter().enumerate() {
            let conditions = plan.keep(&exclude.conditions, &format!("exclude[{k}]"), snapshot);
            for event in &exclude.events {
                if let Some(name) = plan.find(event, &format!("exclude[{k}]"), snapshot) {
                    plan.name_use(name).blocks.push((exclude.after, conditions));
                }
            }
        }
        if funnel.order == Order::Strict {
            for (name, _) in snapshot.catalog.events() {
                plan.name_use(name).blocks_all = true;
            }
        }
        plan.rules.disjoint = plan.uses.iter().all(|u| u.steps.len() <= 1);
        plan.rules.blockers = funnel.order == Order::Strict || !funnel.exclude.is_empty();
        if funnel.order == Order::Any && plan.rules.blockers && funnel.steps.len() > ANY_EXCLUDE_STEPS_MAX {
            let message = format!("in any order, exclusions work with at most {ANY_EXCLUDE_STEPS_MAX} steps");
            return Err(Error::new(ErrorKind::Invalid, "out_of_range", message).at("exclude"));
        }
        match (funnel.period.from, funnel.period.to) {
            (Some(from), Some(to)) if from > to => {
                plan.warn("to", "\"to\" lies before \"from\"".into(), None)
            }
            (_, None) if funnel.until_to => {
                plan.warn("until", "there is no \"to\" that could close it".into(), None)
            }
            _ => {}
        }
        plan.by = funnel.by.as_ref().map(|by| plan.split(by, snapshot));
        if let Some(audience) = &funnel.people {
            plan.warn_audience(audience, snapshot);
        }
        Ok(plan)
    }

    /// The names of which the report reads rows.
    pub fn names(&self, snapshot: &Snapshot) -> Vec<NameId> {
        let mut names: Vec<NameId> = self.uses.iter().map(|u| u.name).collect();
        if matches!(self.by, Some(Split::Latest(_) | Split::First(_) | Split::AtEntry(_))) {
            names.push(NameId::SET);
        }
        if let Some(audience) = &self.people {
            audience::names(audience, snapshot, &mut names);
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The names that can begin an attempt.
    pub fn entry_names(&self) -> Vec<NameId> {
        let any = self.rules.order == Order::Any;
        let begins = |u: &&NameUse| u.steps.iter().any(|(step, _)| any || *step == 0);
        self.uses.iter().filter(begins).map(|u| u.name).collect()
    }

    fn name_use(&mut self, name: NameId) -> &mut NameUse {
        let at = match self.uses.iter().position(|u| u.name == name) {
            Some(at) => at,
            None => {
                self.uses.push(NameUse { name, steps: Vec::new(), blocks: Vec::new(), blocks_all: false });
                self.uses.len() - 1
            }
        };
        &mut self.uses[at]
    }

    fn keep(&mut self, conditions: &[PropertyCondition], at: &str, snapshot: &Snapshot) -> usize {
        if conditions.is_empty() {
            return 0;
        }
        for (k, condition) in conditions.iter().enumerate() {
            self.warn_property(&condition.property, &format!("{at}.where[{k}]"), snapshot);
        }
        self.conditions.push(conditions.to_vec());
        self.conditions.len() - 1
    }

    fn find(&mut self, event: &str, at: &str, snapshot: &Snapshot) -> Option<NameId> {
        let found = snapshot.event(event);
        if found.is_none() {
            let near = nearest(event, snapshot.catalog.events().map(|(_, name)| name));
            self.warn(at, format!("no event named \"{event}\" has come in"), near);
        }
        found
    }

    fn warn_property(&mut self, property: &str, at: &str, snapshot: &Snapshot) -> Option<PropertyId> {
        let found = snapshot.property(property);
        if found.is_none() {
            let near = nearest(property, snapshot.catalog.properties().map(|(_, name)| name));
            self.warn(at, format!("no property named \"{property}\" has come in"), near);
        }
        found
    }

    fn warn(&mut self, at: &str, message: String, near: Option<&str>) {
        let hint = near.map(|near| format!("did you mean \"{near}\"?"));
        let warning = Warning { at: at.to_owned(), message, hint };
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    fn warn_audience(&mut self, audience: &Audience, snapshot: &Snapshot) {
        match audience {
            Audience::All(list) | Audience::Any(list) => {
                list.iter().for_each(|a| self.warn_audience(a, snapshot))
            }
            Audience::Not(inner) => self.warn_audience(inner, snapshot),
            Audience::Did(did) => {
                for event in &did.events {
                    self.find(event, "people", snapshot);
                }
                for condition in &did.conditions {
                    self.warn_property(&condition.property, "people", snapshot);
                }
            }
            Audience::Has { condition, .. } => {
                self.warn_property(&condition.property, "people", snapshot);
            }
            Audience::Seen { .. } | Audience::Identified(_) => {}
        }
    }

    fn split(&mut self, by: &By, snapshot: &Snapshot) -> Split {
        match by {
            By::Latest(name) => Split::Latest(self.warn_property(name, "by", snapshot)),
            By::First(name) => Split::First(self.warn_property(name, "by", snapshot)),
            By::AtEntry(name) => Split::AtEntry(self.warn_property(name, "by", snapshot)),
            By::Step(step, name) => Split::Step(*step, self.warn_property(name, "by", snapshot)),
        }
    }
}
