//! Funnels: counts, and the people behind each of them.

use std::collections::{BTreeMap, HashMap};

use roaring::RoaringBitmap;
use serde::Serialize;

use super::attempt::{Stop, Want};
use super::audience;
use super::cell::Cell;
use super::funnel_fast;
use super::funnel_plan::{FunnelPlan, Split};
use super::funnel_walk::{self, Walked};
use super::person::named_properties;
use super::person_values::{NOT_SET, PersonColumn, PersonProperty, ValueTable, Which};
use super::scope::{Scope, View, map_scopes};
use super::source::CellValue;
use crate::error::{Error, Result};
use crate::model::{Millis, NameId, PersonId, Value, format_millis};
use crate::report::{Funnel, FunnelOutcome, FunnelPeople, FunnelReport, FunnelTally, Order};

/// Tallies by value.
type ByValue = HashMap<Option<Value>, FunnelTally>;

/// The value of each person of a scope that the report is split by.
struct Splitter<'a> {
    split: Split,
    table: ValueTable,
    /// A person property that does not depend on the attempt, and for each of its numbers the one in `table`.
    of_person: Option<(std::sync::Arc<PersonColumn>, Vec<u32>)>,
    at_entry: Option<(PersonProperty<'a>, std::sync::Arc<Cell>)>,
}

impl<'a> Splitter<'a> {
    fn new(split: Split, scope: &Scope<'a>, as_of: Millis) -> Result<Self> {
        let mut splitter = Self { split, table: ValueTable::default(), of_person: None, at_entry: None };
        let source = scope.source();
        match split {
            Split::Latest(Some(property)) | Split::First(Some(property)) => {
                let which = if matches!(split, Split::First(_)) { Which::First } else { Which::Latest };
                let column = scope.person_column(property, which, as_of)?;
                let numbers = column.values.iter().map(|value| splitter.table.number(value.as_ref()));
                let numbers = std::iter::once(NOT_SET).chain(numbers).collect();
                splitter.of_person = Some((column, numbers));
            }
            Split::AtEntry(Some(property)) => {
                splitter.at_entry = Some((PersonProperty::new(source, property), scope.cell(NameId::SET)?));
            }
            _ => {}
        }
        Ok(splitter)
    }

    fn number(
        &mut self,
        person: PersonId,
        entry: Millis,
        scope: &Scope<'a>,
        walked: Option<&Walked<'_>>,
    ) -> Result<u32> {
        match self.split {
            Split::Latest(_) | Split::First(_) => {
                let Some((column, numbers)) = &self.of_person else { return Ok(NOT_SET) };
                Ok(numbers.get(column.number(person) as usize).copied().unwrap_or(NOT_SET))
            }
            Split::AtEntry(_) => {
                let Some((reader, cell)) = &mut self.at_entry else { return Ok(NOT_SET) };
                let Some(rank) = cell.rank_of(person) else { return Ok(NOT_SET) };
                let found = reader.find(cell, rank, Which::Latest, entry)?;
                if found == CellValue::None { Ok(NOT_SET) } else { reader.number(found, &mut self.table) }
            }
            Split::Step(step, property) => {
                let chosen = walked.and_then(|w| w.chosen(step));
                let (Some((_, name, at)), Some(property)) = (chosen, property) else { return Ok(NOT_SET) };
                let mut column = scope.source().column(name, property);
                let found = column.get(at)?;
                self.table.number_of(property, &column, found)
            }
        }
    }
}

/// Answers a funnel.
pub fn funnel(view: &View, definition: &Funnel, as_of: Millis) -> Result<FunnelReport> {
    let plan = FunnelPlan::new(definition, &view.source.snapshot, as_of)?;
    let scopes = view.scopes(&plan.entry_names())?;
    let mut whole = FunnelTally::new(plan.rules.steps);
    let mut by_value = ByValue::new();
    let work = |scope: &Scope<'_>| tally_scope(&plan, scope, definition.times);
    map_scopes(&scopes, work, |(part, values)| {
        whole.merge(part);
        for (value, tally) in values {
            match by_value.entry(value) {
                std::collections::hash_map::Entry::Occupied(mut known) => known.get_mut().merge(tally),
                std::collections::hash_map::Entry::Vacant(new) => {
                    new.insert(tally);
                }
            }
        }
    })?;
    let by_value = plan.by.map(|_| by_value.into_iter().collect());
    Ok(FunnelReport::new(definition, whole, by_value, plan.warnings, as_of))
}

fn tally_scope(plan: &FunnelPlan, scope: &Scope<'_>, times: bool) -> Result<(FunnelTally, ByValue)> {
    let steps = plan.rules.steps;
    let only = plan.people.as_ref().map(|a| audience::decide(a, scope, plan.rules.as_of)).transpose()?;
    let mut whole = FunnelTally::new(steps);
    let mut splitter = plan.by.map(|split| Splitter::new(split, scope, plan.rules.as_of)).transpose()?;
    let mut by_number: Vec<FunnelTally> = Vec::new();
    let mut add = |person: PersonId, times_of: &[Millis], in_progress: bool, walked: Option<&Walked<'_>>| {
        let record = |tally: &mut FunnelTally| {
            if times {
                tally.add(times_of, in_progress)
            } else {
                tally.add_depth(times_of.len(), in_progress)
            }
        };
        record(&mut whole);
        if let Some(splitter) = &mut splitter {
            let entry = times_of.first().copied().unwrap_or(0);
            let number = splitter.number(person, entry, scope, walked)? as usize;
            if by_number.len() <= number {
                by_number.resize_with(number + 1, || FunnelTally::new(steps));
            }
            by_number.get_mut(number).map(record);
        }
        Ok(())
    };
    let chosen = matches!(plan.by, Some(Split::Step(..)));
    if plan.rules.order == Order::Ordered && plan.rules.disjoint && !plan.rules.blockers && !chosen {
        let cells = step_cells(plan, scope)?;
        let cells: Vec<&Cell> = cells.iter().map(AsRef::as_ref).collect();
        let holds = |person| scope.holds(person) && only.as_ref().is_none_or(|o| o.contains(person));
        let mut failure = None;
        funnel_fast::walk(&plan.rules, &cells, holds, |found| {
            if let Err(error) = add(found.person, found.times, found.in_progress, None) {
                failure.get_or_insert(error);
            }
        });
        failure.map_or(Ok(()), Err)?;
    } else {
        let want = if chosen { Want::Hits } else { Want::Times };
        funnel_walk::walk(plan, scope, only.as_ref(), want, |walked| {
            add(walked.person, walked.attempt.times(), walked.attempt.in_progress, Some(walked))
        })?;
    }
    let mut by_value = ByValue::new();
    if let Some(splitter) = splitter {
        for (number, tally) in by_number.into_iter().enumerate() {
            by_value.insert(splitter.table.value(number as u32).cloned(), tally);
        }
    }
    Ok((whole, by_value))
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
            _ => std::sync::Arc::new(union(&of_step)),
        });
    }
    Ok(cells)
}

/// The rows of several cells as one; what they are of is lost.
fn union(cells: &[std::sync::Arc<Cell>]) -> Cell {
    let mut rows = Vec::new();
    for cell in cells {
        for (rank, person) in cell.persons.iter().enumerate() {
            for row in cell.rows(rank) {
                rows.push((*person, cell.times.get(row).copied().unwrap_or(0), cell.row_ref(row)));
            }
        }
    }
    rows.sort_by_key(|(person, time, _)| (*person, *time));
    Cell::of_rows(NameId::SET, rows.into_iter())
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
}

/// One of them.
#[derive(Clone, Debug, Serialize)]
pub struct FunnelPerson {
    /// The identity that stands for the person.
    pub person: String,
    /// All of its identities.
    pub identities: Vec<String>,
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
    let mut found: Vec<PersonId> = Vec::new();
    map_scopes(&scopes, |scope| matching(&plan, query, scope), |part| found.extend(part))?;
    found.sort_unstable();
    let total = found.len() as u64;
    let begin = match &query.cursor {
        None => 0,
        Some(cursor) => {
            let last: PersonId = cursor
                .parse()
                .map_err(|_| Error::invalid("bad_cursor", "no cursor of this list").at("cursor"))?;
            found.partition_point(|p| *p <= last)
        }
    };
    let end = found.len().min(begin + query.limit);
    let page = found.get(begin..end).unwrap_or(&[]);
    let cursor = page.last().filter(|_| end < found.len()).map(ToString::to_string);
    let only: RoaringBitmap = page.iter().copied().collect();
    let mut people: Vec<(PersonId, FunnelPerson)> = Vec::new();
    for scope in &scopes {
        funnel_walk::walk(&plan, scope, Some(&only), Want::Explain, |walked| {
            people.push((walked.person, explain(&plan, scope, walked)?));
            Ok(())
        })?;
    }
    people.sort_unstable_by_key(|(person, _)| *person);
    Ok(FunnelPeoplePage { people: people.into_iter().map(|(_, p)| p).collect(), total, cursor })
}

fn matching(plan: &FunnelPlan, query: &FunnelPeople, scope: &Scope<'_>) -> Result<Vec<PersonId>> {
    let only = plan.people.as_ref().map(|a| audience::decide(a, scope, plan.rules.as_of)).transpose()?;
    let wanted_value = query.segment.as_ref().filter(|_| plan.by.is_some());
    let splitting = plan.by.filter(|_| wanted_value.is_some());
    let mut splitter = splitting.map(|split| Splitter::new(split, scope, plan.rules.as_of)).transpose()?;
    let want = if matches!(splitting, Some(Split::Step(..))) { Want::Hits } else { Want::Times };
    let mut found = Vec::new();
    funnel_walk::walk(plan, scope, only.as_ref(), want, |walked| {
        let (depth, in_progress) = (walked.attempt.depth, walked.attempt.in_progress);
        let (at_step, last) = (depth == query.step + 1, plan.rules.steps);
        let meets = match query.outcome {
            FunnelOutcome::Reached => depth > query.step,
            FunnelOutcome::Lost => at_step && !in_progress && depth < last,
            FunnelOutcome::InProgress => at_step && in_progress && depth < last,
            FunnelOutcome::Converted => depth == last,
        };
        if !meets {
            return Ok(());
        }
        if let (Some(splitter), Some(wanted)) = (&mut splitter, wanted_value) {
            let entry = walked.attempt.times().first().copied().unwrap_or(0);
            let number = splitter.number(walked.person, entry, scope, Some(walked))?;
            if splitter.table.value(number) != wanted.as_ref() {
                return Ok(());
            }
        }
        found.push(walked.person);
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
        chosen.push((
            (time, place),
            ChosenEvent {
                step: step + 1,
                event: snapshot.catalog.event_name(name).to_owned(),
                time: format_millis(time),
                identity: snapshot.identity(identity)?,
                properties: named_properties(source, name, at)?,
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
        person: snapshot.display(walked.person)?,
        identities: snapshot.identities_of(walked.person)?,
        steps: chosen.into_iter().map(|(_, event)| event).collect(),
        stopped,
        in_progress_until: open.then(|| format_millis(walked.attempt.open_until)),
    })
}
