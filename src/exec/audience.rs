//! Audiences on one scope: the persons of it who meet an expression.

use std::collections::HashMap;

use roaring::RoaringBitmap;

use super::funnel;
use super::person_values::Which;
use super::scope::Scope;
use crate::engine::Snapshot;
use crate::error::Result;
use crate::model::{Millis, NameId};
use crate::report::{Audience, Did, PropertyCondition};

/// The names that deciding an audience reads.
pub fn names(audience: &Audience, snapshot: &Snapshot, out: &mut Vec<NameId>) {
    match audience {
        Audience::All(list) | Audience::Any(list) => list.iter().for_each(|a| names(a, snapshot, out)),
        Audience::Not(inner) => names(inner, snapshot, out),
        Audience::Did(did) => out.extend(did.events.iter().filter_map(|e| snapshot.event(e))),
        Audience::Has { .. } => out.push(NameId::SET),
        Audience::Seen { .. } => out.extend(snapshot.catalog.events().map(|(id, _)| id)),
        Audience::Identified(_) => {}
        Audience::Funnel(inner) => {
            if let Ok(plan) = funnel::outcome_plan(inner, snapshot, Millis::MAX) {
                out.extend(plan.names(snapshot));
            }
        }
    }
}

/// The persons of `scope` who meet `audience`, as of `as_of`.
pub fn decide(audience: &Audience, scope: &Scope<'_>, as_of: Millis) -> Result<RoaringBitmap> {
    Ok(match audience {
        Audience::All(list) => {
            let mut all = scope.universe();
            for inner in list {
                all &= decide(inner, scope, as_of)?;
            }
            all
        }
        Audience::Any(list) => {
            let mut any = RoaringBitmap::new();
            for inner in list {
                any |= decide(inner, scope, as_of)?;
            }
            any
        }
        Audience::Not(inner) => scope.universe() - decide(inner, scope, as_of)?,
        Audience::Did(did) => decide_did(did, scope, as_of)?,
        Audience::Has { condition, first } => decide_has(condition, *first, scope, as_of)?,
        Audience::Seen { from, to } => decide_seen(*from, *to, scope, as_of)?,
        Audience::Identified(wanted) => {
            let persons = &scope.source().snapshot.persons;
            scope.universe().into_iter().filter(|p| persons.is_identified(*p) == *wanted).collect()
        }
        Audience::Funnel(inner) => funnel::decide_outcome(inner, scope, as_of)?,
    })
}

fn decide_did(did: &Did, scope: &Scope<'_>, as_of: Millis) -> Result<RoaringBitmap> {
    let source = scope.source();
    let mut counts: HashMap<u32, u64> = HashMap::new();
    let mut once = RoaringBitmap::new();
    let mut events: Vec<NameId> = did.events.iter().filter_map(|e| source.snapshot.event(e)).collect();
    events.sort_unstable();
    events.dedup();
    let only_once = did.at_least == 1 && did.at_most == u64::MAX;
    for name in events {
        let cell = scope.cell(name)?;
        let mut conditions = source.conditions(name, &did.conditions);
        for (rank, person) in cell.persons.iter().enumerate() {
            if !scope.holds(*person) {
                continue;
            }
            let times = cell.times(rank);
            let from = times.partition_point(|t| *t < did.from);
            let to = times.partition_point(|t| *t < did.to && *t <= as_of).max(from);
            let mut count = (to - from) as u64;
            if !conditions.is_empty() {
                let base = cell.rows(rank).start;
                count = 0;
                for row in base + from..base + to {
                    count += u64::from(conditions.matches(cell.row_ref(row))?);
                }
            }
            if count > 0 && only_once {
                once.insert(*person);
            } else if count > 0 {
                *counts.entry(*person).or_default() += count;
            }
        }
    }
    if only_once {
        return Ok(once);
    }
    let within = |n: u64| did.at_least <= n && n <= did.at_most;
    let mut found: RoaringBitmap = if within(0) { scope.universe() } else { RoaringBitmap::new() };
    for (person, count) in counts {
        if within(count) {
            found.insert(person)
        } else {
            found.remove(person)
        };
    }
    Ok(found)
}

fn decide_has(
    condition: &PropertyCondition,
    first: bool,
    scope: &Scope<'_>,
    as_of: Millis,
) -> Result<RoaringBitmap> {
    let source = scope.source();
    let unset = condition.matches(None);
    let mut found = if unset { scope.universe() } else { RoaringBitmap::new() };
    let Some(property) = source.snapshot.property(&condition.property) else { return Ok(found) };
    let which = if first { Which::First } else { Which::Latest };
    let column = scope.person_column(property, which, as_of)?;
    let decided: Vec<bool> = column.values.iter().map(|v| condition.matches(Some(v.as_ref()))).collect();
    let cell = scope.cell(NameId::SET)?;
    for person in cell.persons.iter().copied().filter(|p| scope.holds(*p)) {
        let number = (column.number(person) as usize).checked_sub(1);
        match number.and_then(|number| decided.get(number)) {
            Some(true) => found.insert(person),
            Some(false) => found.remove(person),
            None => continue,
        };
    }
    Ok(found)
}

fn decide_seen(from: Millis, to: Millis, scope: &Scope<'_>, as_of: Millis) -> Result<RoaringBitmap> {
    let to = to.min(as_of.saturating_add(1));
    let events: Vec<NameId> = scope.source().snapshot.catalog.events().map(|(id, _)| id).collect();
    if let Some(chunk) = scope.chunk
        && let Some(seen) = scope.view.settled.seen(&events, chunk, from, to)?
    {
        return Ok(seen - &scope.view.overlay.touched);
    }
    let mut found = RoaringBitmap::new();
    for name in events {
        let cell = scope.cell(name)?;
        for (rank, person) in cell.persons.iter().enumerate() {
            let times = cell.times(rank);
            let first = times.partition_point(|t| *t < from);
            if times.get(first).is_some_and(|t| *t < to) && scope.holds(*person) {
                found.insert(*person);
            }
        }
    }
    Ok(found)
}
