//! Binding: the names of a definition become ids of a snapshot, and what nobody ever sent is warned of.

use crate::engine::Snapshot;
use crate::error::Result;
use crate::exec::cell::Cell;
use crate::exec::scope::Scope;
use crate::model::{NameId, PropertyId, Value, ValueRef};
use crate::report::{Audience, Basis, By, Label, Pattern, PropertyCondition, Test, Warning, nearest};
use crate::store::memtable::Run;
use crate::store::row::Row;
use crate::store::segment::Segment;
use std::sync::Arc;

/// Values among which one is looked for that was perhaps meant.
const NEAR_VALUES_MAX: u32 = 1000;

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

    /// The same for a list of people, to the warnings of the report that it is of.
    pub fn of_list(snapshot: &'a Snapshot, warnings: &[Warning]) -> Self {
        Self { snapshot, warnings: warnings.to_vec() }
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

    /// Warns of the properties and values of conditions at `at`.
    pub fn conditions(&mut self, conditions: &[PropertyCondition], at: &str) {
        for (k, condition) in conditions.iter().enumerate() {
            self.condition(condition, &format!("{at}.where[{k}]"));
        }
    }

    /// Warns of a property, or of values of it that something has to be equal to.
    fn condition(&mut self, condition: &PropertyCondition, at: &str) {
        let (name, test) = (&condition.property, &condition.test);
        let Some(property) = self.property(name, at) else { return };
        let wanted = match test {
            Test::Is(value) => std::slice::from_ref(value),
            Test::In(list) => list.as_slice(),
            _ => return,
        };
        // Who asks for a truth and its text takes whichever comes.
        let both = |truth: bool| {
            let either = [Value::Bool(truth), truth.to_string().as_str().into()];
            let asked = either.iter().all(|value| wanted.contains(value));
            asked.then_some(either).filter(|either| either.iter().any(|v| self.has_value(property, v)))
        };
        let came: Vec<Value> = [true, false].into_iter().filter_map(both).flatten().collect();
        for value in wanted.iter().filter(|value| !came.contains(value)) {
            // Conditions take text for a number, and for no truth.
            let is_truth = |value: &Value| matches!(value, Value::Bool(_));
            let other = value.other_form().filter(|other| !is_truth(value) && !is_truth(other));
            self.value(property, name, value, other.as_ref(), at);
        }
    }

    /// Warns of a segment by the value of a property, if no record has it in either form.
    pub fn segment(&mut self, by: Option<&By>, segment: Option<&Label>, at: &str) {
        if let Some(name) = by.and_then(By::property)
            && let Some(Label::Value(Some(value))) = segment
            && let Some(property) = self.snapshot.property(name)
        {
            self.value(property, name, value, value.other_form().as_ref(), at);
        }
    }

    /// Warns of a segment that is no value of a property, if it is not among those of the report.
    pub fn segment_of(&mut self, by: &By, given: &Value, values: &[Option<Value>], at: &str) {
        if by.property().is_none() && !values.iter().flatten().any(|value| value == given) {
            let texts: Vec<String> = values.iter().flatten().map(ToString::to_string).collect();
            let wanted = given.to_string();
            let near = nearest(&wanted, texts.iter().map(String::as_str).filter(|text| *text != wanted));
            self.warn(at, format!("nobody is in the segment \"{wanted}\""), near);
        }
    }

    /// Warns of a value that no record has, nor its other form.
    fn value(&mut self, property: PropertyId, name: &str, value: &Value, other: Option<&Value>, at: &str) {
        if !self.has_value(property, value) && !other.is_some_and(|other| self.has_value(property, other)) {
            let near = self.near_value(property, &value.to_string());
            self.warn(at, format!("no \"{name}\" that is \"{value}\" has come in"), near);
        }
    }

    /// Whether any record has this value of a property. What cannot be read may have it.
    pub fn has_value(&self, property: PropertyId, value: &Value) -> bool {
        let stored = |segment: &Arc<Segment>| match segment.dictionary(property) {
            Ok(Some(found)) => found.find(value.as_ref()).is_some(),
            Ok(None) => false,
            Err(_) => true,
        };
        let recent = |run: &Arc<Run>| {
            let mut values = run.rows().iter().flat_map(Row::properties);
            values.any(|(id, found)| id == property && found == value.as_ref())
        };
        self.snapshot.segments.iter().any(stored) || self.snapshot.runs().iter().any(recent)
    }

    /// A stored text that was perhaps meant, if there are few.
    fn near_value(&self, property: PropertyId, wanted: &str) -> Option<&'a str> {
        let found = self.snapshot.segments.iter().filter_map(|segment| segment.dictionary(property).ok()?);
        let few = found.filter(|dictionary| dictionary.len() <= NEAR_VALUES_MAX);
        let text = |value| if let ValueRef::Text(text) = value { Some(text) } else { None };
        nearest(wanted, few.flat_map(|d| (0..d.len()).filter_map(move |code| text(d.value(code)))))
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
            && from >= to
        {
            self.warn("to", "no time lies between \"from\" and \"to\"".into(), None);
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
                did.conditions.iter().for_each(|condition| self.condition(condition, "people"));
            }
            Audience::Has { condition, .. } => self.condition(condition, "people"),
            Audience::Funnel(inner) => {
                let funnel = &inner.funnel;
                for event in funnel.steps.iter().flat_map(|s| &s.events) {
                    self.event(event, "people");
                }
                if let Some(people) = &funnel.basis.people {
                    self.audience(people);
                }
            }
            Audience::Cohort(inner) => {
                for event in inner.cohort.start.events.iter().chain(&inner.cohort.returns.events) {
                    self.event(event, "people");
                }
                let row = inner.row.clone().map(Label::Value);
                self.segment(inner.cohort.by.as_ref(), row.as_ref(), "people");
                if let Some(people) = &inner.cohort.basis.people {
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
