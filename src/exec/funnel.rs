//! Funnels: counts, and the people behind each of them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::attempt::{Stop, Want};
use super::audience;
use super::binder::Binder;
use super::cell::{Cell, RowRef};
use super::fitting::{Page, fitting};
use super::funnel_fast::{self, Entry};
use super::funnel_plan::FunnelPlan;
use super::funnel_walk::{self, Walked};
use super::labels::{Asked, values_of};
use super::listing;
use super::person::named_properties;
use super::persons::PersonSet;
use super::scope::{Scope, View, map_scopes};
use super::several::Several;
use super::split::{Groups, Split, Splitter};
use crate::engine::{Names, Snapshot};
use crate::error::Result;
use crate::limits;
use crate::model::{Millis, NameId, PersonId, PropertyId, Value, format_millis};
use crate::report::{
    Chosen, Funnel, FunnelOutcome, FunnelPeople, FunnelReport, FunnelTally, Order, Outcome, Tally, Warning,
    shown,
};

/// Answers a funnel.
pub fn funnel(view: &View, definition: &Funnel, as_of: Millis) -> Result<FunnelReport> {
    let plan = FunnelPlan::new(definition, &view.source.snapshot, as_of)?;
    let mut whole = FunnelTally::new(plan.rules.steps);
    let mut groups = Groups::default();
    let mut several = 0;
    tally(view, &plan, definition, |part| {
        whole.merge(part.whole)?;
        several += part.several;
        groups.merge(part.groups)
    })?;
    let groups = plan.by.as_ref().map(|_| groups.into_vec());
    FunnelReport::new(definition, whole, groups, several, plan.warnings, as_of)
}

/// Calls `fold` with what each scope adds.
fn tally(
    view: &View,
    plan: &FunnelPlan,
    definition: &Funnel,
    fold: impl FnMut(Tallies) -> Result<()>,
) -> Result<()> {
    let scopes = view.scopes(&plan.entry_names())?;
    map_scopes(&scopes, |scope| tally_scope(plan, scope, definition), fold)
}

/// What a scope adds to the report.
struct Tallies {
    whole: FunnelTally,
    groups: Groups<FunnelTally>,
    /// Entrants who have had several of the values that they are split by; counted for experiments only.
    several: u64,
}

fn tally_scope(plan: &FunnelPlan, scope: &Scope<'_>, definition: &Funnel) -> Result<Tallies> {
    let compared = compared(plan).filter(|_| definition.control.is_some());
    let only = plan.people.as_ref().map(|a| audience::decide(a, scope, plan.rules.as_of)).transpose()?;
    let splitter = plan.by.as_ref().map(|split| Splitter::new(split, scope, plan.rules.as_of)).transpose()?;
    let mut adder = Adder {
        times: definition.times,
        steps: plan.rules.steps,
        whole: FunnelTally::new(plan.rules.steps),
        splitter,
        by_number: Vec::new(),
        several_values: compared.map(|p| Several::new(p, scope, plan.rules.as_of)).transpose()?,
        several: 0,
    };
    let chosen = matches!(plan.by, Some(Split::Row(..)));
    if plan.rules.order == Order::Ordered && plan.rules.disjoint && !plan.rules.blockers && !chosen {
        let cells = step_cells(plan, scope)?;
        let cells: Vec<&Cell> = cells.iter().map(AsRef::as_ref).collect();
        funnel_fast::walk(&plan.rules, &cells, scope.allowed(only).as_ref(), &mut adder)?;
    } else {
        let want = if chosen { Want::Hits } else { Want::Times };
        funnel_walk::walk(plan, scope, only.as_ref(), want, |walked| {
            let row = chosen_row(plan.by.as_ref(), Some(walked));
            adder.add(walked.person, walked.attempt.times(), walked.attempt.in_progress, row)
        })?;
    }
    adder.finish()
}

/// The property whose values an experiment compares.
fn compared(plan: &FunnelPlan) -> Option<PropertyId> {
    if let Some(Split::Person(_, property) | Split::AtEntry(property)) = plan.by { property } else { None }
}

/// Adds attempts to tallies.
struct Adder<'a> {
    times: bool,
    steps: usize,
    /// Everybody, where there is no split; else everybody is all groups together.
    whole: FunnelTally,
    splitter: Option<Splitter<'a>>,
    by_number: Vec<FunnelTally>,
    several_values: Option<Several<'a>>,
    several: u64,
}

impl Adder<'_> {
    fn add(
        &mut self,
        person: PersonId,
        times: &[Millis],
        in_progress: bool,
        row: Option<(NameId, RowRef)>,
    ) -> Result<()> {
        let wants_times = self.times;
        let tally = match &mut self.splitter {
            None => &mut self.whole,
            Some(splitter) => {
                let number = splitter.number(person, times.first().copied().unwrap_or(0), row)? as usize;
                group(&mut self.by_number, number, self.steps)
            }
        };
        if wants_times {
            tally.add(times, in_progress)
        } else {
            tally.add_depth(times.len(), in_progress)
        }
        if let Some(values) = &mut self.several_values {
            self.several += u64::from(values.has(person)?);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Tallies> {
        self.whole.seal();
        let Some(splitter) = self.splitter else {
            return Ok(Tallies { whole: self.whole, groups: Groups::default(), several: self.several });
        };
        for tally in &mut self.by_number {
            tally.seal();
            self.whole.merge(tally.clone())?;
        }
        let groups = Groups::of_numbers(self.by_number, &splitter.table);
        Ok(Tallies { whole: self.whole, groups, several: self.several })
    }
}

fn group(tallies: &mut Vec<FunnelTally>, number: usize, steps: usize) -> &mut FunnelTally {
    if tallies.len() <= number {
        tallies.resize_with(number + 1, || FunnelTally::new(steps));
    }
    &mut tallies[number]
}

impl funnel_fast::Visitor for Adder<'_> {
    fn wants_attempts(&self) -> bool {
        self.several_values.is_some() || self.splitter.as_ref().is_some_and(Splitter::at_entry)
    }

    fn attempt(&mut self, person: PersonId, times: &[Millis], in_progress: bool) -> Result<()> {
        self.add(person, times, in_progress, None)
    }

    fn group(&mut self, person: PersonId) -> Result<u32> {
        self.splitter.as_mut().map_or(Ok(0), |splitter| splitter.number(person, 0, None))
    }

    fn entered(&mut self, persons: &PersonSet) -> Result<()> {
        let Some(splitter) = &mut self.splitter else {
            self.whole.enter(persons.len());
            return Ok(());
        };
        for (number, count) in splitter.count(persons)? {
            group(&mut self.by_number, number as usize, self.steps).enter(count);
        }
        Ok(())
    }

    fn went_on(&mut self, step: usize, persons: &[Entry], later: &[i64]) -> Result<()> {
        let later = if self.times { Some(later) } else { None };
        if self.splitter.is_none() {
            self.whole.go_on(step, persons.len() as u64, later.unwrap_or(&[]));
            return Ok(());
        }
        for (at, entry) in persons.iter().enumerate() {
            let duration = later.and_then(|later| later.get(at)).copied();
            group(&mut self.by_number, entry.group as usize, self.steps).goes_on(step, duration);
        }
        Ok(())
    }
}

/// The row whose property a funnel is split by.
fn chosen_row(split: Option<&Split>, walked: Option<&Walked<'_>>) -> Option<(NameId, RowRef)> {
    let Some(Split::Row(Some(step), _)) = split else { return None };
    let (_, name, at) = walked?.chosen(*step)?;
    Some((name, at))
}

/// One cell for each step: the rows of its events that meet its conditions.
fn step_cells(plan: &FunnelPlan, scope: &Scope<'_>) -> Result<Vec<std::sync::Arc<Cell>>> {
    let mut cells = Vec::with_capacity(plan.rules.steps);
    for step in 0..plan.rules.steps {
        let mut of_step = Vec::new();
        for name_use in &plan.uses {
            let Some((_, at)) = name_use.steps.iter().find(|(s, _)| *s == step) else { continue };
            let mut cell = scope.cell(name_use.name)?;
            let conditions = plan.conditions.get(*at).map_or(&[][..], Vec::as_slice);
            if !conditions.is_empty() {
                cell =
                    std::sync::Arc::new(scope.source().conditions(name_use.name, conditions).filter(&cell)?);
            }
            of_step.push(cell);
        }
        cells.push(match of_step.len() {
            1 => of_step.remove(0),
            _ => std::sync::Arc::new(Cell::union(&of_step)),
        });
    }
    Ok(cells)
}

/// A page of the people behind a number.
#[derive(Clone, Debug, Serialize)]
pub struct FunnelPeoplePage {
    /// The people.
    pub people: Vec<FunnelPerson>,
    /// How many there are on all pages: exactly the number of the report.
    pub total: u64,
    /// Where the next page begins.
    pub cursor: Option<String>,
    /// What nobody ever sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// One of them.
#[derive(Clone, Debug, Serialize)]
pub struct FunnelPerson {
    /// What it is called.
    #[serde(flatten)]
    pub names: Names,
    /// The events that were chosen as its steps, in the order of time.
    pub steps: Vec<ChosenEvent>,
    /// Why it went no further; nothing if it converted or is in progress.
    pub stopped: Option<Stopped>,
    /// Until when it may go further, if it is in progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_progress_until: Option<String>,
}

/// An event that was chosen as a step.
#[derive(Clone, Debug, Serialize)]
pub struct ChosenEvent {
    /// The step of the definition, from 1.
    pub step: usize,
    /// What.
    pub event: String,
    /// When.
    pub time: String,
    /// The identity it arrived under.
    pub identity: String,
    /// Its properties.
    pub properties: BTreeMap<String, Value>,
    /// How many more it has than are listed here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more_properties: Option<usize>,
}

/// Why a person went no further.
#[derive(Clone, Debug, Serialize)]
pub struct Stopped {
    /// `nothing_came`, `window_ended`, `excluded`, `other_event` or `closed`.
    pub reason: &'static str,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The event that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// By how much the next step came too late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missed_by_seconds: Option<f64>,
}

/// Lists the people behind a number of a funnel, in the order of their ids.
pub fn people(view: &View, query: &FunnelPeople, as_of: Millis) -> Result<FunnelPeoplePage> {
    let plan = FunnelPlan::new(&query.funnel, &view.source.snapshot, as_of)?;
    let scopes = view.scopes(&plan.entry_names())?;
    let tallies = || {
        let mut groups = Groups::default();
        tally(view, &plan, &query.funnel, |part| groups.merge(part.groups))?;
        Ok(groups.into_vec())
    };
    let asked = Asked { by: query.funnel.by.as_ref(), label: query.segment.as_ref(), at: "segment" };
    let chosen = asked.label.map(|label| Chosen::new(label, || shown(tallies()?, query.funnel.limit)));
    let mut binder = Binder::of_list(&view.source.snapshot, &plan.warnings);
    let found = asked.gather(
        chosen.transpose()?,
        || Ok(values_of(tallies()?)),
        |chosen| listing::gather(&scopes, |scope| matching(&plan, query, chosen, scope)),
        &mut binder,
    )?;
    let (page, cursor) = listing::page(&found, query.limit, query.cursor.as_deref())?;
    let total = found.len();
    let mut filled = Page::new();
    for scope in &scopes {
        funnel_walk::walk(&plan, scope, Some(&scope.of(&page)), Want::Explain, |walked| {
            if filled.has_room(walked.person) {
                filled.add(walked.person, explain(&plan, scope, walked)?);
            }
            Ok(())
        })?;
    }
    let (people, cursor) = filled.finish(cursor);
    Ok(FunnelPeoplePage { people, total, cursor, warnings: binder.warnings })
}

/// Whether a person is behind the number of `outcome` at `step`, from 0, or at any.
fn behind(outcome: FunnelOutcome, step: Option<usize>, steps: usize, walked: &Walked<'_>) -> bool {
    let (depth, in_progress) = (walked.attempt.depth, walked.attempt.in_progress);
    let stopped_here = step.is_none_or(|step| depth == step + 1) && depth < steps;
    match outcome {
        FunnelOutcome::Reached => step.is_none_or(|step| depth > step),
        FunnelOutcome::Lost => stopped_here && !in_progress,
        FunnelOutcome::InProgress => stopped_here && in_progress,
        FunnelOutcome::Converted => depth == steps,
    }
}

/// The plan of a funnel inside an audience, which sees no more than the report around it.
pub fn outcome_plan(inner: &Outcome, snapshot: &Snapshot, as_of: Millis) -> Result<FunnelPlan> {
    FunnelPlan::new(&inner.funnel, snapshot, inner.funnel.basis.as_of_inside(as_of))
}

/// The persons of a scope behind a number of a funnel.
pub fn decide_outcome(inner: &Outcome, scope: &Scope<'_>, as_of: Millis) -> Result<PersonSet> {
    let plan = outcome_plan(inner, &scope.source().snapshot, as_of)?;
    let only = plan.people.as_ref().map(|a| audience::decide(a, scope, plan.rules.as_of)).transpose()?;
    let mut found = scope.none();
    funnel_walk::walk(&plan, scope, only.as_ref(), Want::Times, |walked| {
        if behind(inner.outcome, inner.step, plan.rules.steps, walked) {
            found.insert(walked.person);
        }
        Ok(())
    })?;
    Ok(found)
}

fn matching(
    plan: &FunnelPlan,
    query: &FunnelPeople,
    chosen: Option<&Chosen>,
    scope: &Scope<'_>,
) -> Result<PersonSet> {
    let only = plan.people.as_ref().map(|a| audience::decide(a, scope, plan.rules.as_of)).transpose()?;
    let splitting = plan.by.as_ref().filter(|_| chosen.is_some());
    let mut splitter = splitting.map(|split| Splitter::new(split, scope, plan.rules.as_of)).transpose()?;
    let want = if matches!(splitting, Some(Split::Row(..))) { Want::Hits } else { Want::Times };
    let several = compared(plan).filter(|_| query.several_variants);
    let mut several = several.map(|p| Several::new(p, scope, plan.rules.as_of)).transpose()?;
    let mut found = scope.none();
    funnel_walk::walk(plan, scope, only.as_ref(), want, |walked| {
        let mut meets = behind(query.outcome, query.step, plan.rules.steps, walked);
        if meets && query.several_variants {
            // Of a property that nobody ever sent nobody has had several values.
            meets = several.as_mut().map_or(Ok(false), |several| several.has(walked.person))?;
        }
        if !meets {
            return Ok(());
        }
        if let (Some(splitter), Some(chosen)) = (&mut splitter, chosen) {
            let entry = walked.attempt.times().first().copied().unwrap_or(0);
            let number = splitter.number(walked.person, entry, chosen_row(splitting, Some(walked)))?;
            if !chosen.has(splitter.table.value(number)) {
                return Ok(());
            }
        }
        found.insert(walked.person);
        Ok(())
    })?;
    Ok(found)
}

fn explain(plan: &FunnelPlan, scope: &Scope<'_>, walked: &Walked<'_>) -> Result<FunnelPerson> {
    let source = scope.source();
    let snapshot = &source.snapshot;
    let mut chosen = Vec::new();
    for step in 0..plan.rules.steps {
        let Some((time, name, at)) = walked.chosen(step) else { continue };
        let identity = source.identities(name, &[at])?.first().copied().unwrap_or(0);
        // At one instant: as the steps follow each other, or where they need not, as the matcher prefers events.
        let any = plan.rules.order == Order::Any;
        let place = if any { walked.attempt.hit(step).unwrap_or(step) } else { step };
        let (properties, more_properties) =
            fitting(named_properties(source, name, at)?, limits::LISTED_PROPERTIES_BYTES);
        chosen.push((
            (time, place),
            ChosenEvent {
                step: step + 1,
                event: snapshot.catalog.event_name(name).to_owned(),
                time: format_millis(time),
                identity: snapshot.identity(identity)?,
                properties,
                more_properties,
            },
        ));
    }
    chosen.sort_by_key(|(place, _)| *place);
    let blocker =
        |hit: usize| walked.row_of(hit).map(|(_, name, _)| snapshot.catalog.event_name(name).to_owned());
    let plain = |reason| Stopped { reason, at: None, by: None, missed_by_seconds: None };
    let stopped = walked.attempt.stop.map(|stop| match stop {
        Stop::NothingCame => plain("nothing_came"),
        Stop::Closed => plain("closed"),
        Stop::WindowEnded { at, missed_by } => Stopped {
            at: Some(format_millis(at)),
            missed_by_seconds: missed_by.map(|ms| ms as f64 / 1000.0),
            ..plain("window_ended")
        },
        Stop::Excluded { hit, at } => Stopped {
            at: Some(format_millis(at)),
            by: blocker(hit),
            ..plain(if plan.rules.order == Order::Strict { "other_event" } else { "excluded" })
        },
    });
    let open = walked.attempt.in_progress;
    Ok(FunnelPerson {
        names: snapshot.names_of(walked.person, limits::LISTED_IDENTITIES_BYTES)?,
        steps: chosen.into_iter().map(|(_, event)| event).collect(),
        stopped,
        in_progress_until: open.then(|| format_millis(walked.attempt.open_until)),
    })
}
