//! Audiences on one scope: the persons of it who meet an expression.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use super::cell::Cell;
use super::cohort;
use super::funnel;
use super::person_values::Which;
use super::persons::{self, PersonSet, Without};
use super::scope::Scope;
use crate::engine::Snapshot;
use crate::error::{Error, Result};
use crate::model::{Millis, NameId, PersonId};
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
        Audience::Cohort(inner) => {
            if let Ok(plan) = cohort::cell_plan(inner, snapshot, Millis::MAX) {
                out.extend(plan.names(snapshot));
            }
        }
    }
}

/// The persons of `scope` who meet `audience`, as of `as_of`.
pub fn decide(audience: &Audience, scope: &Scope<'_>, as_of: Millis) -> Result<PersonSet> {
    decide_all(std::slice::from_ref(audience), scope, as_of, None)
}

/// How many persons of `scope` meet `audience`, as of `as_of`. If cells say it all, they are only counted.
pub fn count(audience: &Audience, scope: &Scope<'_>, as_of: Millis) -> Result<u64> {
    let parts = parts(std::slice::from_ref(audience), scope, as_of)?;
    if let (Some(chunk), (cells, [])) = (scope.chunk, (&parts.0, parts.1.as_slice()))
        && cells.iter().any(|(_, without)| !*without)
        && scope.is_whole(chunk)
    {
        return Ok(persons::count(chunk, cells));
    }
    Ok(decide_parts(parts, scope, as_of, None)?.len())
}

/// What a list of audiences comes to: cells with an index, and the rest.
type Parts<'a> = (Vec<Without>, Vec<&'a Audience>);

fn parts<'a>(list: &'a [Audience], scope: &Scope<'_>, as_of: Millis) -> Result<Parts<'a>> {
    let (mut cells, mut rest) = (Vec::new(), Vec::new());
    each_part(list, &mut |part| {
        match as_cell(part, scope, as_of)? {
            Some(cell) => cells.push(cell),
            None => rest.push(part),
        }
        Ok(())
    })?;
    Ok((cells, rest))
}

/// The persons of `scope`, or of some of it, who meet all of `list`.
fn decide_all(
    list: &[Audience],
    scope: &Scope<'_>,
    as_of: Millis,
    among: Option<PersonSet>,
) -> Result<PersonSet> {
    decide_parts(parts(list, scope, as_of)?, scope, as_of, among)
}

/// The same of its parts. The fewer there are left, the less is read.
fn decide_parts(
    (mut cells, mut rest): Parts<'_>,
    scope: &Scope<'_>,
    as_of: Millis,
    among: Option<PersonSet>,
) -> Result<PersonSet> {
    rest.sort_by_key(|part| cost(part));
    let mut among = match among {
        Some(among) => among,
        None => begin(&mut cells, &rest, scope)?,
    };
    among.narrow(&cells);
    for part in rest {
        if among.is_empty() {
            break;
        }
        among = decide_part(part, scope, as_of, among)?;
    }
    Ok(among)
}

/// What all of `list` comes to: the parts of expressions that want all of their parts.
fn each_part<'a>(list: &'a [Audience], each: &mut impl FnMut(&'a Audience) -> Result<()>) -> Result<()> {
    list.iter().try_for_each(|part| match part {
        Audience::All(parts) => each_part(parts, each),
        part => each(part),
    })
}

/// The persons to begin with. Where all did one thing, however often, these are not everybody, but who is in its cell as well.
fn begin(cells: &mut Vec<Without>, rest: &[&Audience], scope: &Scope<'_>) -> Result<PersonSet> {
    if cells.iter().all(|(_, without)| *without) {
        for part in rest {
            if let Some(cell) = who_did(part, scope)? {
                cells.push((cell, false));
                break;
            }
        }
    }
    match scope.chunk {
        Some(chunk) if cells.iter().any(|(_, without)| !*without) => Ok(scope.all_ids(chunk)),
        _ => scope.universe(),
    }
}

/// A cell with an index that everybody who meets `audience` is in.
fn who_did(audience: &Audience, scope: &Scope<'_>) -> Result<Option<Arc<Cell>>> {
    let (Audience::Did(did), Some(chunk)) = (audience, scope.chunk) else { return Ok(None) };
    let ([event], true) = (did.events.as_slice(), did.at_least > 0) else { return Ok(None) };
    let Some(name) = scope.source().snapshot.event(event) else { return Ok(None) };
    Ok(Some(scope.cell(name)?).filter(|cell| cell.index_of(chunk).is_some()))
}

/// The persons among `among`, who are of `scope`, who meet `audience`.
fn decide_among(
    audience: &Audience,
    scope: &Scope<'_>,
    as_of: Millis,
    among: PersonSet,
) -> Result<PersonSet> {
    decide_all(std::slice::from_ref(audience), scope, as_of, Some(among))
}

/// As [`decide_among`], of an audience that is no cell.
fn decide_part(
    audience: &Audience,
    scope: &Scope<'_>,
    as_of: Millis,
    mut among: PersonSet,
) -> Result<PersonSet> {
    match audience {
        Audience::All(list) => decide_all(list, scope, as_of, Some(among)),
        Audience::Any(list) => {
            let mut any = scope.none();
            for inner in list {
                any.or(&decide_among(inner, scope, as_of, among.clone())?);
            }
            Ok(any)
        }
        Audience::Not(inner) => {
            let inside = decide_among(inner, scope, as_of, among.clone())?;
            among.minus(&inside);
            Ok(among)
        }
        Audience::Did(did) => decide_did(did, scope, as_of, among),
        Audience::Has { condition, first } => decide_has(condition, *first, scope, as_of, among),
        Audience::Seen { from, to } => decide_seen(*from, *to, scope, as_of, among),
        Audience::Identified(wanted) => {
            let persons = &scope.source().snapshot.persons;
            let mut found = scope.none();
            among.iter().filter(|p| persons.is_identified(*p) == *wanted).for_each(|p| found.insert(p));
            Ok(found)
        }
        Audience::Funnel(inner) => {
            among.and(&funnel::decide_outcome(inner, scope, as_of)?);
            Ok(among)
        }
        Audience::Cohort(inner) => {
            among.and(&cohort::decide_cell(inner, scope, as_of)?);
            Ok(among)
        }
    }
}

/// What deciding costs, roughly: sets that are there already, then look-ups, then rows, then attempts.
fn cost(audience: &Audience) -> u32 {
    match audience {
        Audience::All(list) | Audience::Any(list) => list.iter().map(cost).sum(),
        Audience::Not(inner) => cost(inner),
        Audience::Did(did) if did.is_ever() => 1,
        Audience::Has { .. } => 2,
        Audience::Identified(_) | Audience::Seen { .. } => 4,
        Audience::Did(did) if did.conditions.is_empty() => 8,
        Audience::Did(_) => 16,
        Audience::Funnel(_) | Audience::Cohort(_) => 64,
    }
}

/// The cell whose persons are those who meet `audience`, or with the flag those who do not, where there is one with an index.
fn as_cell(audience: &Audience, scope: &Scope<'_>, as_of: Millis) -> Result<Option<Without>> {
    let (did, without) = match audience {
        Audience::Did(did) => (did, false),
        Audience::Not(inner) => match inner.as_ref() {
            Audience::Did(did) => (did, true),
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    let [event] = did.events.as_slice() else { return Ok(None) };
    let once = did.at_least == 1 && did.at_most == u64::MAX && did.conditions.is_empty();
    let (Some(chunk), true) = (scope.chunk, once) else { return Ok(None) };
    let Some(name) = scope.source().snapshot.event(event) else { return Ok(None) };
    let cell = scope.cell(name)?;
    let whole = cell.lies_in(did.from, did.to.min(as_of.saturating_add(1)));
    Ok((whole && cell.index_of(chunk).is_some()).then_some((cell, without)))
}

fn decide_did(did: &Did, scope: &Scope<'_>, as_of: Millis, mut among: PersonSet) -> Result<PersonSet> {
    let source = scope.source();
    let mut events: Vec<NameId> = did.events.iter().filter_map(|e| source.snapshot.event(e)).collect();
    events.sort_unstable();
    events.dedup();
    let within = |times| did.is_met_by(times);
    let once = did.at_least == 1 && did.at_most == u64::MAX;
    let end = did.to.min(as_of.saturating_add(1));
    if let ([name], false, true) = (events.as_slice(), within(0), did.conditions.is_empty()) {
        let cell = scope.cell(*name)?;
        let mut found = scope.none();
        often(&cell, did, end, &among, &mut found);
        return Ok(found);
    }
    // Of one event nobody is met twice, so that nothing has to be kept.
    let one = events.len() == 1;
    let mut counts: HashMap<u32, u64> = HashMap::new();
    let mut found = scope.none();
    if one && within(0) {
        found.or(&among);
    }
    for name in events {
        let cell = scope.cell(name)?;
        if once && did.conditions.is_empty() && cell.lies_in(did.from, end) {
            cell.mark(&mut found);
            continue;
        }
        let mut conditions = source.conditions(name, &did.conditions);
        cell.each_in(&among, |rank, person| {
            let mut count = count_in(cell.times(rank), did.from, end);
            if count > 0 && !conditions.is_empty() {
                let from = cell.rows(rank).start + cell.times(rank).partition_point(|t| *t < did.from);
                let all = from..from + count as usize;
                count = 0;
                for row in all {
                    count += u64::from(conditions.matches(cell.row_ref(row))?);
                }
            }
            if one && within(0) && !within(count) {
                found.remove(person);
            } else if (one && within(count)) || (once && count > 0) {
                found.insert(person);
            } else if !one && count > 0 {
                *counts.entry(person).or_default() += count;
            }
            Ok::<(), Error>(())
        })?;
    }
    if once || one {
        among.and(&found);
        return Ok(among);
    }
    let mut found = if within(0) { among } else { scope.none() };
    for (person, count) in counts {
        if within(count) {
            found.insert(person)
        } else {
            found.remove(person)
        };
    }
    Ok(found)
}

/// How many of `times` lie in `from..to`. Most people have few rows, and to look at each costs less than a search whose every step is
/// a surprise.
fn count_in(times: &[Millis], from: Millis, to: Millis) -> u64 {
    times.iter().map(|t| u64::from(from <= *t) & u64::from(*t < to)).sum()
}

/// Candidates that are counted together. With debug assertions so few that the small histories of tests fill them.
const CANDIDATES: usize = if cfg!(debug_assertions) { 4 } else { 256 };

/// Puts those of `among` into `found` who did it, at least once, as often as they should before `end`. Of those with enough rows, who may
/// have is found without a branch: the k-th row must lie before the end, and the k-th from behind not before the beginning. Only of
/// these all rows are looked at.
fn often(cell: &Cell, did: &Did, end: Millis, among: &PersonSet, found: &mut PersonSet) {
    let least = usize::try_from(did.at_least).unwrap_or(usize::MAX);
    let time = |row: usize| cell.times.get(row).copied().unwrap_or(Millis::MAX);
    let mut candidates = [(0, 0); CANDIDATES];
    let mut count_all = |candidates: &[(usize, PersonId)]| {
        for (rank, person) in candidates {
            if did.is_met_by(count_in(cell.times(*rank), did.from, end)) {
                found.insert(*person);
            }
        }
    };
    let mut waiting = 0;
    let Ok(()) = cell.each_in(among, |rank, person| {
        let rows = cell.rows(rank);
        if rows.len() < least {
            return Ok(());
        }
        let likely = (time(rows.start + least - 1) < end) & (time(rows.end - least) >= did.from);
        candidates[waiting & (CANDIDATES - 1)] = (rank, person);
        waiting += usize::from(likely);
        if waiting == CANDIDATES {
            count_all(&candidates);
            waiting = 0;
        }
        Ok::<(), Infallible>(())
    });
    count_all(candidates.get(..waiting).unwrap_or(&[]));
}

fn decide_has(
    condition: &PropertyCondition,
    first: bool,
    scope: &Scope<'_>,
    as_of: Millis,
    mut among: PersonSet,
) -> Result<PersonSet> {
    let unset = condition.matches(None);
    let Some(property) = scope.source().snapshot.property(&condition.property) else {
        return Ok(if unset { among } else { scope.none() });
    };
    let which = if first { Which::First } else { Which::Latest };
    let column = scope.person_column(property, which, as_of)?;
    let decided: Vec<bool> = column.values.iter().map(|v| condition.matches(Some(v.as_ref()))).collect();
    if scope.chunk.is_some()
        && let Some(sets) = column.sets()
    {
        // Those without a value stay with those whose value does not decide otherwise.
        let mut meant = sets.iter().zip(&decided).filter(|(_, yes)| **yes != unset).map(|(set, _)| set);
        let cut =
            |among: &mut PersonSet, set: &PersonSet| if unset { among.minus(set) } else { among.and(set) };
        match (meant.next(), meant.next()) {
            (Some(set), None) => cut(&mut among, set),
            (first, second) => {
                let mut all = scope.none();
                first.into_iter().chain(second).chain(meant).for_each(|set| all.or(set));
                cut(&mut among, &all);
            }
        }
        return Ok(among);
    }
    let mut found = scope.none();
    for person in &among {
        let number = (column.number(person) as usize).checked_sub(1);
        if number.and_then(|number| decided.get(number)).copied().unwrap_or(unset) {
            found.insert(person);
        }
    }
    Ok(found)
}

fn decide_seen(
    from: Millis,
    to: Millis,
    scope: &Scope<'_>,
    as_of: Millis,
    mut among: PersonSet,
) -> Result<PersonSet> {
    let to = to.min(as_of.saturating_add(1));
    let events: Vec<NameId> = scope.source().snapshot.catalog.events().map(|(id, _)| id).collect();
    let (mut found, mut unknown) = scope.seen(&events, from, to)?;
    unknown.and(&among);
    for name in events {
        if unknown.is_empty() {
            break;
        }
        let cell = scope.cell(name)?;
        cell.each_in(&unknown, |rank, person| {
            let times = cell.times(rank);
            let first = times.partition_point(|t| *t < from);
            if times.get(first).is_some_and(|t| *t < to) {
                found.insert(person);
            }
            Ok::<(), Error>(())
        })?;
        unknown.minus(&found);
    }
    among.and(&found);
    Ok(among)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::cell::RowRef;
    use super::*;

    proptest! {
        #[test]
        fn who_did_it_often_is_found_as_by_counting_one_by_one(
            rows in prop::collection::vec((0u32..12, 0i64..8), 0..60), others in prop::collection::vec(0u32..12, 0..12),
            at_least in 1u64..4, more in 0u64..4, from in 0i64..8, end in 0i64..9, chunked in any::<bool>(),
        ) {
            let mut rows = rows;
            rows.sort_unstable();
            let at = RowRef { source: 0, chunk_at: 0, row: 0 };
            let cell = Cell::of_rows(NameId(2), rows.iter().map(|(person, time)| (*person, *time, at)).collect::<Vec<_>>().into_iter());
            let did = Did {
                events: Vec::new(), at_least, at_most: if more == 3 { u64::MAX } else { at_least + more }, from, to: end, conditions: Vec::new(),
            };
            let (mut among, mut found) = (PersonSet::none(chunked.then_some(0)), PersonSet::none(chunked.then_some(0)));
            among.extend(others.iter().copied());
            often(&cell, &did, end, &among, &mut found);
            let count = |person: u32| rows.iter().filter(|(p, t)| *p == person && (from..end).contains(t)).count() as u64;
            let wanted: Vec<u32> = among.iter().filter(|p| (at_least..=did.at_most).contains(&count(*p))).collect();
            prop_assert_eq!(found.iter().collect::<Vec<_>>(), wanted);
        }
    }
}
