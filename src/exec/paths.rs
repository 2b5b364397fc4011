//! Paths: each person's way from the first start to the first goal after it, and the people of a way.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::audience;
use super::binder::{Binder, Selection};
use super::cell::gallop;
use super::cell::{Cell, RowRef};
use super::cohort::instant_rows;
use super::listing::{self, PeoplePage};
use super::scope::{Scope, View, map_scopes};
use crate::engine::Snapshot;
use crate::error::Result;
use crate::model::{Millis, NameId, PersonId};
use crate::report::{ChosenPath, PathEvent, Paths, PathsPeople, PathsReport, Warning};

/// A way: names by their rank in the order of bytes, each with how often it came in a row.
type Way = Box<[(u32, u32)]>;

/// A report on paths bound to a snapshot.
pub struct PathsPlan<'d> {
    definition: &'d Paths,
    start: Option<Selection>,
    goal: Option<Selection>,
    /// All events, in the order of their bytes, which decides at one instant.
    names: Vec<NameId>,
    as_of: Millis,
    warnings: Vec<Warning>,
}

impl<'d> PathsPlan<'d> {
    /// Binds `definition` to `snapshot`, as of `as_of`.
    pub fn new(definition: &'d Paths, snapshot: &Snapshot, as_of: Millis) -> Self {
        let mut binder = Binder::new(snapshot);
        let start = definition.start.as_ref().map(|p| binder.pattern(p, "start"));
        let goal = definition.goal.as_ref().map(|p| binder.pattern(p, "goal"));
        binder.basis(&definition.basis);
        let mut names: Vec<(&str, NameId)> = snapshot.catalog.events().map(|(id, name)| (name, id)).collect();
        names.sort_unstable();
        let names = names.into_iter().map(|(_, id)| id).collect();
        Self { definition, start, goal, names, as_of, warnings: binder.warnings }
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

    /// The names that everybody on a path has done.
    fn entry(&self) -> &[NameId] {
        self.start.as_ref().or(self.goal.as_ref()).map_or(&[], |s| &s.names)
    }
}

/// The time in which a person's path lies, both ends excluded.
struct Span {
    person: PersonId,
    after: Millis,
    before: Millis,
}

fn one_cell(selection: &Selection, scope: &Scope<'_>) -> Result<(Vec<Arc<Cell>>, Arc<Cell>)> {
    let cells = selection.cells(scope)?;
    let one = match cells.as_slice() {
        [one] => Arc::clone(one),
        several => Arc::new(Cell::union(several)),
    };
    Ok((cells, one))
}

fn spans(plan: &PathsPlan<'_>, scope: &Scope<'_>) -> Result<Vec<Span>> {
    let basis = &plan.definition.basis;
    let only = basis.people.as_ref().map(|a| audience::decide(a, scope, plan.as_of)).transpose()?;
    let Some(entry) = plan.start.as_ref().or(plan.goal.as_ref()) else { return Ok(Vec::new()) };
    let (entries, first) = one_cell(entry, scope)?;
    let goal = plan.goal.as_ref().filter(|_| plan.start.is_some()).map(|g| one_cell(g, scope)).transpose()?;
    let (from, to) = (basis.from(), basis.seen_to(plan.as_of));
    let mut goal_rank = 0;
    let mut out = Vec::new();
    for (rank, person) in first.persons.iter().copied().enumerate() {
        let times = first.times(rank);
        let Some(begin) = times.get(times.partition_point(|t| *t < from)).copied().filter(|t| *t < to) else {
            continue;
        };
        if !scope.holds(person) || only.as_ref().is_some_and(|only| !only.contains(person)) {
            continue;
        }
        let Some((goals, cell)) = &goal else {
            let end = plan.as_of.saturating_add(1);
            out.push(match plan.start {
                Some(_) => Span { person, after: begin, before: end },
                None => Span { person, after: Millis::MIN, before: begin },
            });
            continue;
        };
        goal_rank += gallop(cell.persons.get(goal_rank..).unwrap_or(&[]), person);
        if cell.persons.get(goal_rank) != Some(&person) {
            continue;
        }
        let later = cell.times(goal_rank);
        let place = later.partition_point(|t| *t < begin);
        let mut goal_time = later.get(place).copied();
        // At the instant of the start another event must be the goal: two events of which one can be each.
        if goal_time == Some(begin) && !other_event(&entries, goals, person, begin) {
            goal_time = later.get(later.partition_point(|t| *t <= begin)).copied();
        }
        if let Some(end) = goal_time.filter(|t| *t <= plan.as_of) {
            out.push(Span { person, after: begin, before: end });
        }
    }
    Ok(out)
}

/// Whether two different events of one instant are start and goal.
fn other_event(starts: &[Arc<Cell>], goals: &[Arc<Cell>], person: PersonId, at: Millis) -> bool {
    let rows = |cells: &[Arc<Cell>]| -> Vec<(NameId, RowRef)> {
        cells.iter().flat_map(|c| instant_rows(c, person, at).into_iter().map(|row| (c.name, row))).collect()
    };
    let (starts, goals) = (rows(starts), rows(goals));
    starts.len() > 1 || goals.len() > 1 || starts != goals
}

/// Calls `visit` with the way of everybody in `scope` and the milliseconds that it took.
fn walk(
    plan: &PathsPlan<'_>,
    scope: &Scope<'_>,
    mut visit: impl FnMut(PersonId, &[(u32, u32)], i64) -> Result<()>,
) -> Result<()> {
    let spans = spans(plan, scope)?;
    let mut done: Vec<(u32, Millis, u32)> = Vec::new();
    for (place, name) in (0u32..).zip(&plan.names) {
        let cell = scope.cell(*name)?;
        let mut rank = 0;
        for (at, span) in (0u32..).zip(&spans) {
            rank += gallop(cell.persons.get(rank..).unwrap_or(&[]), span.person);
            if cell.persons.get(rank) != Some(&span.person) {
                continue;
            }
            let times = cell.times(rank);
            let begin = times.partition_point(|t| *t <= span.after);
            let between = times.get(begin..).unwrap_or(&[]).iter().take_while(|t| **t < span.before);
            done.extend(between.map(|time| (at, *time, place)));
        }
    }
    done.sort_unstable();
    let mut rows = done.as_slice();
    let mut way: Vec<(u32, u32)> = Vec::new();
    for (at, span) in (0u32..).zip(&spans) {
        let mine = rows.partition_point(|(owner, ..)| *owner == at);
        let (here, rest) = rows.split_at_checked(mine).unwrap_or((&[], &[]));
        rows = rest;
        way.clear();
        for (_, _, name) in here {
            match way.last_mut().filter(|(last, _)| last == name) {
                Some((_, times)) => *times += 1,
                None => way.push((*name, 1)),
            }
        }
        let most = plan.definition.events.min(way.len());
        let kept = if plan.definition.last { way.get(way.len() - most..) } else { way.get(..most) };
        visit(span.person, kept.unwrap_or(&[]), span.before.saturating_sub(span.after))?;
    }
    Ok(())
}

/// All ways with the milliseconds that each of their people took, the most common first.
fn ranked(view: &View, plan: &PathsPlan<'_>) -> Result<Vec<(Way, Vec<i64>)>> {
    let scopes = view.scopes(plan.entry())?;
    let mut all: FxHashMap<Way, Vec<i64>> = FxHashMap::default();
    let work = |scope: &Scope<'_>| {
        let mut ways: FxHashMap<Way, Vec<i64>> = FxHashMap::default();
        walk(plan, scope, |_, way, took| {
            match ways.get_mut(way) {
                Some(people) => people.push(took),
                None => drop(ways.insert(way.into(), vec![took])),
            }
            Ok(())
        })?;
        Ok(ways)
    };
    map_scopes(&scopes, work, |part| {
        for (way, people) in part {
            all.entry(way).or_default().extend(people);
        }
        Ok(())
    })?;
    // Names are ranked as their bytes are, so the largest can be chosen before any is spelt out.
    let mut ways: Vec<(Way, Vec<i64>)> = all.into_iter().collect();
    ways.sort_by(|(a, x), (b, y)| y.len().cmp(&x.len()).then_with(|| a.cmp(b)));
    Ok(ways)
}

/// Answers a query for paths.
pub fn paths(view: &View, plan: PathsPlan<'_>) -> Result<PathsReport> {
    let mut ways = ranked(view, &plan)?;
    let catalog = &view.source.snapshot.catalog;
    let named = |way: Way| {
        let event = |(place, times): &(u32, u32)| PathEvent {
            event: plan.names.get(*place as usize).map_or("", |id| catalog.event_name(*id)).to_owned(),
            times: u64::from(*times),
        };
        way.iter().map(event).collect::<Vec<_>>()
    };
    let rest: Vec<_> = ways.split_off(plan.definition.limit.min(ways.len()));
    let other = rest.iter().map(|(_, people)| people.len() as u64).sum();
    let taken = ways.into_iter().map(|(way, people)| (named(way), people)).collect();
    Ok(PathsReport::new(plan.definition, taken, other, plan.warnings))
}

/// Lists the people of one path, of those that are not shown, or of all.
pub fn people(view: &View, plan: &PathsPlan<'_>, query: &PathsPeople) -> Result<PeoplePage> {
    let snapshot = &view.source.snapshot;
    let place = |event: &PathEvent| {
        let id = snapshot.event(&event.event)?;
        let place = plan.names.iter().position(|name| *name == id)?;
        Some((u32::try_from(place).ok()?, u32::try_from(event.times).ok()?))
    };
    // A path with an event that nobody has done is nobody's.
    let (this, shown): (Option<Option<Way>>, FxHashSet<Way>) = match &query.path {
        Some(ChosenPath::This(path)) => (Some(path.iter().map(place).collect()), FxHashSet::default()),
        Some(ChosenPath::Other) => {
            let all = ranked(view, plan)?.into_iter().take(plan.definition.limit);
            (None, all.map(|(way, _)| way).collect())
        }
        None => (None, FxHashSet::default()),
    };
    let scopes = view.scopes(plan.entry())?;
    let work = |scope: &Scope<'_>| {
        let mut found = scope.none();
        walk(plan, scope, |person, way, _| {
            let is_this = this.as_ref().is_none_or(|this| this.as_deref() == Some(way));
            if is_this && !shown.contains(way) {
                found.insert(person);
            }
            Ok(())
        })?;
        Ok(found)
    };
    let found = listing::gather(&scopes, work)?;
    let mut binder = Binder::of_list(snapshot, &plan.warnings);
    if let Some(ChosenPath::This(path)) = &query.path {
        for event in path {
            binder.event(&event.event, "path");
        }
    }
    listing::list(view, &found, query.limit, query.cursor.as_deref(), binder.warnings)
}
