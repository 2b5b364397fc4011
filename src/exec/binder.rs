//! Binding: the names of a definition become ids of a snapshot, and what nobody ever sent is warned of.

use crate::engine::Snapshot;
use crate::error::Result;
use crate::exec::cell::Cell;
use crate::exec::scope::Scope;
use crate::model::{NameId, PropertyId};
use crate::report::{Audience, Basis, Pattern, PropertyCondition, Warning, nearest};
use std::sync::Arc;

/// Binds definitions to a snapshot.
pub struct Binder<'a> {
    /// What they are bound to.
    pub snapshot: &'a Snapshot,
    /// What nobody ever sent.
    pub warnings: Vec<Warning>,
}

/// A pattern bound to a snapshot.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// The events that somebody has done, rising.
    pub names: Vec<NameId>,
    /// What each must meet.
    pub conditions: Vec<PropertyCondition>,
}

impl<'a> Binder<'a> {
    /// To `snapshot`.
    pub fn new(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, warnings: Vec::new() }
    }

    /// The name of an event, if anybody has done it.
    pub fn event(&mut self, event: &str, at: &str) -> Option<NameId> {
        let found = self.snapshot.event(event);
        if found.is_none() {
            let near = nearest(event, self.snapshot.catalog.events().map(|(_, name)| name));
            self.warn(at, format!("no event named \"{event}\" has come in"), near);
        }
        found
    }

    /// A property, if any record has it.
    pub fn property(&mut self, property: &str, at: &str) -> Option<PropertyId> {
        let found = self.snapshot.property(property);
        if found.is_none() {
            let near = nearest(property, self.snapshot.catalog.properties().map(|(_, name)| name));
            self.warn(at, format!("no property named \"{property}\" has come in"), near);
        }
        found
    }

    /// Warns of the properties of conditions at `at`.
    pub fn conditions(&mut self, conditions: &[PropertyCondition], at: &str) {
        for (k, condition) in conditions.iter().enumerate() {
            self.property(&condition.property, &format!("{at}.where[{k}]"));
        }
    }

    /// A pattern at `at`.
    pub fn pattern(&mut self, pattern: &Pattern, at: &str) -> Selection {
        self.conditions(&pattern.conditions, at);
        let mut names: Vec<NameId> = pattern.events.iter().filter_map(|e| self.event(e, at)).collect();
        names.sort_unstable();
        names.dedup();
        Selection { names, conditions: pattern.conditions.clone() }
    }

    /// The audience and the period of a definition.
    pub fn basis(&mut self, basis: &Basis) {
        if let (Some(from), Some(to)) = (basis.period.from, basis.period.to)
            && from > to
        {
            self.warn("to", "\"to\" lies before \"from\"".into(), None);
        }
        if let Some(audience) = &basis.people {
            self.audience(audience);
        }
    }

    /// What an audience names.
    pub fn audience(&mut self, audience: &Audience) {
        match audience {
            Audience::All(list) | Audience::Any(list) => list.iter().for_each(|a| self.audience(a)),
            Audience::Not(inner) => self.audience(inner),
            Audience::Did(did) => {
                for event in &did.events {
                    self.event(event, "people");
                }
                for condition in &did.conditions {
                    self.property(&condition.property, "people");
                }
            }
            Audience::Has { condition, .. } => {
                self.property(&condition.property, "people");
            }
            Audience::Funnel(inner) => {
                let funnel = &inner.funnel;
                for event in funnel.steps.iter().flat_map(|s| &s.events) {
                    self.event(event, "people");
                }
                if let Some(people) = &funnel.basis.people {
                    self.audience(people);
                }
            }
            Audience::Seen { .. } | Audience::Identified(_) => {}
        }
    }

    /// Adds a warning, once.
    pub fn warn(&mut self, at: &str, message: String, near: Option<&str>) {
        let hint = near.map(|near| format!("did you mean \"{near}\"?"));
        let warning = Warning { at: at.to_owned(), message, hint };
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}

impl Selection {
    /// The rows of a scope that it selects, a cell for each name.
    pub fn cells(&self, scope: &Scope<'_>) -> Result<Vec<Arc<Cell>>> {
        let mut cells = Vec::with_capacity(self.names.len());
        for name in &self.names {
            let cell = scope.cell(*name)?;
            cells.push(if self.conditions.is_empty() {
                cell
            } else {
                Arc::new(scope.source().conditions(*name, &self.conditions).filter(&cell)?)
            });
        }
        Ok(cells)
    }
}
