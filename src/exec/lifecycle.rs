//! Lifecycle: the units in which each person was active, and what that makes them in each.

use std::collections::BTreeMap;

use super::audience;
use super::binder::Binder;
use super::listing::{self, PeoplePage};
use super::persons::PersonSet;
use super::scope::{Scope, View, map_scopes};
use super::units::range_of_units;
use crate::engine::Snapshot;
use crate::error::Result;
use crate::model::{Calendar, Millis, NameId, PersonId, Unit};
use crate::report::{
    Lifecycle, LifecyclePeople, LifecyclePoint, LifecycleReport, Stage, Warning, unit_that_begins,
};

/// A lifecycle report bound to a snapshot.
pub struct LifecyclePlan<'d> {
    definition: &'d Lifecycle,
    names: Vec<NameId>,
    calendar: Calendar,
    as_of: Millis,
    warnings: Vec<Warning>,
}

impl<'d> LifecyclePlan<'d> {
    /// Binds `definition` to `snapshot`, as of `as_of`.
    pub fn new(definition: &'d Lifecycle, snapshot: &Snapshot, as_of: Millis) -> Result<Self> {
        let mut binder = Binder::new(snapshot);
        let mut names: Vec<NameId> = match &definition.events {
            Some(events) => events.iter().filter_map(|event| binder.event(event, "event")).collect(),
            None => snapshot.catalog.events().map(|(id, _)| id).collect(),
        };
        names.sort_unstable();
        names.dedup();
        binder.basis(&definition.basis);
        let calendar = Calendar::new(&definition.basis.period.zone, definition.units.week_start)?;
        Ok(Self { definition, names, calendar, as_of, warnings: binder.warnings })
    }

    /// The names of which the report reads rows.
    pub fn names(&self, snapshot: &Snapshot) -> Vec<NameId> {
        let mut names = self.names.clone();
        if let Some(audience) = &self.definition.basis.people {
            audience::names(audience, snapshot, &mut names);
        }
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// The persons of a scope of settled ones with the units in which they did anything at all, in order, where it follows from hours.
fn activity_by_hours(
    plan: &LifecyclePlan<'_>,
    scope: &Scope<'_>,
    only: Option<&PersonSet>,
) -> Result<Option<Vec<(PersonId, i64)>>> {
    let (Some(chunk), None) = (scope.chunk, &plan.definition.events) else { return Ok(None) };
    let hours = scope.view.settled.active(&plan.names, chunk)?;
    let Some(units) = hours.units(&plan.calendar, plan.definition.units.unit, plan.as_of) else {
        return Ok(None);
    };
    let mut active = Vec::new();
    for (low, slots) in hours.each() {
        let person = chunk << 16 | PersonId::from(low);
        if !scope.holds(person) || only.is_some_and(|only| !only.contains(person)) {
            continue;
        }
        let mut last = None;
        for number in slots.iter().filter_map(|slot| units.get(usize::from(*slot)).copied()) {
            if last != Some(number) {
                active.push((person, number));
                last = Some(number);
            }
        }
    }
    Ok(Some(active))
}

/// The persons of a scope with the units in which they were active, in order.
fn activity(plan: &LifecyclePlan<'_>, scope: &Scope<'_>) -> Result<Vec<(PersonId, i64)>> {
    let basis = &plan.definition.basis;
    let only = basis.people.as_ref().map(|a| audience::decide(a, scope, plan.as_of)).transpose()?;
    if let Some(active) = activity_by_hours(plan, scope, only.as_ref())? {
        return Ok(active);
    }
    let unit = plan.definition.units.unit;
    let mut active = Vec::new();
    for name in &plan.names {
        let cell = scope.cell(*name)?;
        for (rank, person) in cell.persons.iter().copied().enumerate() {
            if !scope.holds(person) || only.as_ref().is_some_and(|only| !only.contains(person)) {
                continue;
            }
            let mut end = Millis::MIN;
            for time in cell.times(rank).iter().take_while(|t| **t <= plan.as_of) {
                if *time >= end {
                    let number = plan.calendar.number(unit, *time);
                    end = plan.calendar.start(unit, number + 1);
                    active.push((person, number));
                }
            }
        }
    }
    active.sort_unstable();
    active.dedup();
    Ok(active)
}

/// Calls `visit` with every unit in which the person of these units is something, and what.
fn stages(calendar: &Calendar, unit: Unit, active: &[(PersonId, i64)], mut visit: impl FnMut(i64, Stage)) {
    // The unit that follows the last one with activity.
    let mut due: Option<i64> = None;
    for (place, (_, number)) in active.iter().enumerate() {
        visit(
            *number,
            match due {
                None => Stage::New,
                Some(due) if due == *number => Stage::Returning,
                Some(_) => Stage::Resurrected,
            },
        );
        let next = calendar.after(unit, *number);
        if active.get(place + 1).is_none_or(|(_, number)| *number != next) {
            visit(next, Stage::Dormant);
        }
        due = Some(next);
    }
}

/// What a scope adds: people by unit and stage, and the first and last unit with activity.
type Counts = (BTreeMap<i64, [u64; 4]>, Option<(i64, i64)>);

fn tally_scope(plan: &LifecyclePlan<'_>, scope: &Scope<'_>) -> Result<Counts> {
    let active = activity(plan, scope)?;
    let mut counts: BTreeMap<i64, [u64; 4]> = BTreeMap::new();
    for units in active.chunk_by(|a, b| a.0 == b.0) {
        stages(&plan.calendar, plan.definition.units.unit, units, |unit, stage| {
            if let Some(count) = counts.entry(unit).or_default().get_mut(stage as usize) {
                *count += 1;
            }
        });
    }
    let units = || active.iter().map(|(_, unit)| *unit);
    Ok((counts, units().min().zip(units().max())))
}

/// Answers a lifecycle query.
pub fn lifecycle(view: &View, plan: LifecyclePlan<'_>) -> Result<LifecycleReport> {
    let mut all: BTreeMap<i64, [u64; 4]> = BTreeMap::new();
    let mut data: Option<(i64, i64)> = None;
    map_scopes(
        &view.scopes(&plan.names)?,
        |scope| tally_scope(&plan, scope),
        |(counts, span)| {
            for (unit, stages) in counts {
                all.entry(unit).or_default().iter_mut().zip(stages).for_each(|(a, b)| *a += b);
            }
            let both = data.into_iter().chain(span);
            data = both.reduce(|(a, b), (c, d)| (a.min(c), b.max(d)));
            Ok(())
        },
    )?;
    let (basis, unit) = (&plan.definition.basis, plan.definition.units.unit);
    let mut warnings = plan.warnings;
    let units = range_of_units(&plan.calendar, unit, basis, plan.as_of, data, &mut warnings)?;
    let point = |number: i64| {
        LifecyclePoint::new(plan.calendar.date(unit, number), all.get(&number).copied().unwrap_or_default())
    };
    Ok(LifecycleReport { points: units.into_iter().map(point).collect(), warnings })
}

/// Lists the people of a stage in a unit.
pub fn people(view: &View, plan: &LifecyclePlan<'_>, query: &LifecyclePeople) -> Result<PeoplePage> {
    let (basis, unit) = (&plan.definition.basis, plan.definition.units.unit);
    let wanted = unit_that_begins(&plan.calendar, unit, &basis.period.zone, &query.start)?;
    let work = |scope: &Scope<'_>| {
        let mut found = scope.none();
        for units in activity(plan, scope)?.chunk_by(|a, b| a.0 == b.0) {
            stages(&plan.calendar, unit, units, |unit, stage| {
                if unit == wanted && stage == query.stage {
                    found.extend(units.first().map(|(person, _)| *person));
                }
            });
        }
        Ok(found)
    };
    let found = listing::gather(&view.scopes(&plan.names)?, work)?;
    listing::list(view, &found, query.limit, query.cursor.as_deref(), plan.warnings.clone())
}
