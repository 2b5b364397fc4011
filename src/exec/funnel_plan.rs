//! A funnel bound to a snapshot: which names matter, for which steps, and what is warned of.

use crate::engine::Snapshot;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::attempt::Rules;
use crate::exec::audience;
use crate::exec::binder::Binder;
use crate::exec::split::Split;
use crate::limits::{ANY_EXCLUDE_STEPS_MAX, FUNNEL_STEPS_MAX};
use crate::model::{Millis, NameId};
use crate::report::{Audience, Funnel, Order, PropertyCondition, Warning};

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
    /// The names that matter, rising.
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

/// A definition that was read has a number of steps that the matcher can keep apart; one that a program put together may have any.
fn check_steps(funnel: &Funnel) -> Result<()> {
    let steps = funnel.steps.len();
    let after = funnel.exclude.iter().map(|exclude| exclude.after).max();
    if !(1..=FUNNEL_STEPS_MAX).contains(&steps) || after.is_some_and(|after| after >= steps.saturating_sub(1))
    {
        let message = format!("a funnel has 1 to {FUNNEL_STEPS_MAX} steps, and excludes between two of them");
        return Err(Error::invalid("bad_steps", message).at("steps"));
    }
    Ok(())
}

impl FunnelPlan {
    /// Binds `funnel` to `snapshot`, as of `as_of`.
    pub fn new(funnel: &Funnel, snapshot: &Snapshot, as_of: Millis) -> Result<Self> {
        check_steps(funnel)?;
        let mut binder = Binder::new(snapshot);
        let mut plan = Self {
            rules: Rules {
                steps: funnel.steps.len(),
                order: funnel.order,
                within: funnel.within,
                from: funnel.basis.from(),
                to: funnel.basis.to(),
                until_to: funnel.until_to,
                as_of,
                disjoint: true,
                blockers: false,
            },
            uses: Vec::new(),
            conditions: vec![Vec::new()],
            by: None,
            people: funnel.basis.people.clone(),
            warnings: Vec::new(),
        };
        for (k, step) in funnel.steps.iter().enumerate() {
            let conditions = plan.keep(&step.conditions, &format!("steps[{k}]"), &mut binder);
            for event in &step.events {
                if let Some(name) = binder.event(event, &format!("steps[{k}]")) {
                    plan.name_use(name).steps.push((k, conditions));
                }
            }
        }
        for (k, exclude) in funnel.exclude.iter().enumerate() {
            let conditions = plan.keep(&exclude.conditions, &format!("exclude[{k}]"), &mut binder);
            for event in &exclude.events {
                if let Some(name) = binder.event(event, &format!("exclude[{k}]")) {
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
        if funnel.until_to && funnel.basis.period.to.is_none() {
            binder.warn("until", "there is no \"to\" that could close it".into(), None);
        }
        binder.basis(&funnel.basis);
        plan.by = funnel.by.as_ref().map(|by| Split::new(by, &mut binder));
        plan.warnings = binder.warnings;
        Ok(plan)
    }

    /// The names of which the report reads rows.
    pub fn names(&self, snapshot: &Snapshot) -> Vec<NameId> {
        let mut names: Vec<NameId> = self.uses.iter().map(|u| u.name).collect();
        if let Some(split) = &self.by {
            split.names(snapshot, &mut names);
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
        let at = self.uses.binary_search_by_key(&name, |u| u.name).unwrap_or_else(|at| {
            let unused = NameUse { name, steps: Vec::new(), blocks: Vec::new(), blocks_all: false };
            self.uses.insert(at, unused);
            at
        });
        &mut self.uses[at]
    }

    fn keep(&mut self, conditions: &[PropertyCondition], at: &str, binder: &mut Binder<'_>) -> usize {
        if conditions.is_empty() {
            return 0;
        }
        binder.conditions(conditions, at);
        self.conditions.push(conditions.to_vec());
        self.conditions.len() - 1
    }
}
