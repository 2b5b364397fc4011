//! Cohorts: the first start of each person, the buckets in which they came back, and the people of a cell.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use serde::Serialize;

use super::audience;
use super::binder::{Binder, Selection};
use super::cell::{Cell, RowRef};
use super::cohort_masks::{EqualBuckets, MaskTally};
use super::fitting::Page;
use super::funnel_walk::content_key;
use super::labels::{Asked, values_of};
use super::listing;
use super::persons::PersonSet;
use super::scope::{Scope, View, map_scopes};
use super::source::ColumnReader;
use super::split::{Groups, Split, Splitter};
use super::units::COHORTS;
use crate::engine::{Names, Snapshot};
use crate::error::{Error, Result};
use crate::limits;
use crate::model::{Calendar, Millis, NameId, PersonId, PropertyId, Sum, UnitTable, Value, format_millis};
use crate::report::{
    Bucket, By, Chosen, Cohort, CohortPeople, CohortReport, CohortTally, InCohort, Label, Measure, Segment,
    Tally, Warning, shown,
};

/// A cohort report bound to a snapshot.
pub struct CohortPlan<'d> {
    definition: &'d Cohort,
    start: Selection,
    returns: Selection,
    /// Names that can be start and return at once.
    shared: Vec<NameId>,
    /// The property of which returns are summed; none if nobody ever sent it.
    summed: Option<PropertyId>,
    split: Option<Split>,
    calendar: Calendar,
    as_of: Millis,
    warnings: Vec<Warning>,
}

impl<'d> CohortPlan<'d> {
    /// Binds `definition` to `snapshot`, as of `as_of`.
    pub fn new(definition: &'d Cohort, snapshot: &Snapshot, as_of: Millis) -> Result<Self> {
        let mut binder = Binder::new(snapshot);
        let start = binder.pattern(&definition.start, "start");
        let returns = binder.pattern(&definition.returns, "return");
        let summed = match &definition.measure {
            Measure::Sum(property) => binder.property(property, "property"),
            Measure::People | Measure::Events => None,
        };
        let split = definition.by.as_ref().map(|by| Split::new(by, &mut binder));
        binder.basis(&definition.basis);
        let shared = start.names.iter().copied().filter(|name| returns.names.contains(name)).collect();
        let calendar = Calendar::new(&definition.basis.period.zone, definition.cohort.week_start)?;
        let warnings = binder.warnings;
        Ok(Self { definition, start, returns, shared, summed, split, calendar, as_of, warnings })
    }

    /// The names of which the report reads rows.
    pub fn names(&self, snapshot: &Snapshot) -> Vec<NameId> {
        let mut names = self.start.names.clone();
        names.extend(&self.returns.names);
        if let Some(split) = &self.split {
            split.names(snapshot, &mut names);
        }
        if let Some(audience) = &self.definition.basis.people {
            audience::names(audience, snapshot, &mut names);
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// How many buckets of a person who started at `start` have ended.
    fn ended(&self, start: Millis) -> i64 {
        // Everything up to and including `as_of` is seen.
        let end = self.as_of.saturating_add(1);
        let unit = self.definition.bucket;
        if self.definition.calendar {
            let number = |at| self.calendar.number(unit, at);
            self.calendar.between(unit, number(start), number(end))
        } else {
            self.calendar.elapsed(unit, start, end)
        }
    }

    /// The length of the buckets, where [`EqualBuckets`] can do the work.
    fn equal_buckets(&self) -> Option<i64> {
        let plain = !self.definition.calendar && !self.definition.at_least && self.shared.is_empty();
        let people = matches!(self.definition.measure, Measure::People) && self.definition.count <= 64;
        self.calendar.fixed_length(self.definition.bucket).filter(|_| plain && people)
    }

    /// The bucket of `time` for a person who started at `start`, and the instant at which it ends.
    fn bucket(&self, start: Millis, time: Millis) -> (i64, Millis) {
        let unit = self.definition.bucket;
        if self.definition.calendar {
            let number = self.calendar.number(unit, time);
            let bucket = self.calendar.between(unit, self.calendar.number(unit, start), number);
            (bucket, self.calendar.start(unit, number + 1))
        } else {
            let number = self.calendar.elapsed(unit, start, time);
            (number, self.calendar.shifted(unit, start, number + 1))
        }
    }
}

/// A person of a cohort.
struct Member<'a> {
    person: PersonId,
    /// When they started.
    start: Millis,
    /// The buckets in which they came back, rising.
    buckets: &'a [Bucket],
}

/// The cells of returns while a scope is walked.
struct Returns<'a> {
    cell: Arc<Cell>,
    rank: usize,
    column: Option<ColumnReader<'a>>,
}

/// Calls `visit` with every person of `scope` who started in the period, of those in the audience, and in `page` if it is given.
fn walk(
    plan: &CohortPlan<'_>,
    scope: &Scope<'_>,
    page: Option<&PersonSet>,
    mut visit: impl FnMut(Member<'_>) -> Result<()>,
) -> Result<()> {
    let definition = plan.definition;
    let only =
        definition.basis.people.as_ref().map(|a| audience::decide(a, scope, plan.as_of)).transpose()?;
    let starts = plan.start.cells(scope)?;
    let start = match starts.as_slice() {
        [one] => Arc::clone(one),
        several => Arc::new(Cell::union(several)),
    };
    let column = |name| plan.summed.map(|property| scope.source().column(name, property));
    let cells = plan.returns.cells(scope)?.into_iter();
    let mut returns: Vec<Returns<'_>> =
        cells.map(|cell| Returns { column: column(cell.name), rank: 0, cell }).collect();
    let (from, to) = (definition.basis.from(), definition.basis.seen_to(plan.as_of));
    let mut buckets = Vec::new();
    for (rank, person) in start.persons.iter().enumerate() {
        let Some(begin) = start.times(rank).first().copied() else { continue };
        let wanted = from <= begin && begin < to && scope.holds(*person);
        let left_out = |set: Option<&PersonSet>| set.is_some_and(|set| !set.contains(*person));
        if !wanted || left_out(page) || left_out(only.as_ref()) {
            continue;
        }
        let excluded = if plan.shared.is_empty() {
            None
        } else {
            start_event(plan, scope, &starts, &returns, *person, begin)?
        };
        buckets.clear();
        for one in &mut returns {
            one.collect(plan, *person, begin, excluded, &mut buckets)?;
        }
        if returns.len() > 1 {
            combine(&mut buckets)?;
        }
        visit(Member { person: *person, start: begin, buckets: &buckets })?;
    }
    Ok(())
}

/// Where the rows of a person at one instant lie.
pub fn instant_rows(cell: &Cell, person: PersonId, at: Millis) -> Vec<RowRef> {
    let rows = cell.rank_of(person).map_or(0..0, |rank| cell.rows(rank));
    rows.filter(|row| cell.times.get(*row) == Some(&at)).map(|row| cell.row_ref(row)).collect()
}

/// The row that is the start itself where it could be taken for a return. Of several events at that instant one that is no return is
/// the start (then there is none to leave out), else the first by its content.
fn start_event(
    plan: &CohortPlan<'_>,
    scope: &Scope<'_>,
    starts: &[Arc<Cell>],
    returns: &[Returns<'_>],
    person: PersonId,
    begin: Millis,
) -> Result<Option<(NameId, RowRef)>> {
    let mut both: Vec<(NameId, RowRef)> = Vec::new();
    for cell in starts {
        let returning = match plan.shared.contains(&cell.name) {
            true => returns
                .iter()
                .find(|r| r.cell.name == cell.name)
                .map(|r| instant_rows(&r.cell, person, begin)),
            false => None,
        };
        for row in instant_rows(cell, person, begin) {
            if !returning.as_ref().is_some_and(|rows| rows.contains(&row)) {
                return Ok(None);
            }
            both.push((cell.name, row));
        }
    }
    if let [one] = both.as_slice() {
        return Ok(Some(*one));
    }
    let mut keyed = Vec::with_capacity(both.len());
    for (name, row) in both {
        keyed.push((content_key(scope.source(), name, row)?, (name, row)));
    }
    Ok(keyed.into_iter().min_by(|a, b| a.0.cmp(&b.0)).map(|(_, found)| found))
}

impl Returns<'_> {
    /// Adds the returns of a person, bucket by bucket.
    fn collect(
        &mut self,
        plan: &CohortPlan<'_>,
        person: PersonId,
        begin: Millis,
        excluded: Option<(NameId, RowRef)>,
        buckets: &mut Vec<Bucket>,
    ) -> Result<()> {
        // Persons rise, so the place in the cell only moves forward.
        let rest = self.cell.persons.get(self.rank..).unwrap_or(&[]);
        self.rank += super::cell::gallop(rest, person);
        if self.cell.persons.get(self.rank) != Some(&person) {
            return Ok(());
        }
        let rows = self.cell.rows(self.rank);
        let times = self.cell.times(self.rank);
        let (first, last) =
            (times.partition_point(|t| *t < begin), times.partition_point(|t| *t <= plan.as_of));
        let count = plan.definition.count;
        let excluded = excluded.filter(|(name, _)| *name == self.cell.name);
        let (mut number, mut end) = (0, Millis::MIN);
        let mut fresh = true;
        for (row, time) in (rows.start + first..).zip(times.get(first..last).unwrap_or(&[])) {
            if excluded.is_some_and(|(_, at)| at == self.cell.row_ref(row)) {
                continue;
            }
            if *time >= end {
                let (bucket, bucket_end) = plan.bucket(begin, *time);
                number = usize::try_from(bucket).unwrap_or(0).min(count);
                // All that is past the last bucket is one.
                end = if number == count { Millis::MAX } else { bucket_end };
                fresh = true;
            }
            if number == count && !plan.definition.at_least {
                return Ok(());
            }
            if fresh {
                buckets.push(Bucket { number, events: 0, sum: Sum::ZERO });
                fresh = false;
            }
            let Some(bucket) = buckets.last_mut() else { continue };
            bucket.events += 1;
            if let Some(column) = &mut self.column {
                let found = column.get(self.cell.row_ref(row))?;
                if let Some(amount) = column.value(found)?.and_then(|v| v.number()) {
                    bucket.sum.add(amount)?;
                }
            }
        }
        Ok(())
    }
}

/// Brings the buckets of several events together.
fn combine(buckets: &mut Vec<Bucket>) -> Result<()> {
    buckets.sort_by_key(|b| b.number);
    let mut out: Vec<Bucket> = Vec::with_capacity(buckets.len());
    for bucket in buckets.drain(..) {
        match out.last_mut().filter(|last| last.number == bucket.number) {
            Some(last) => {
                last.events += bucket.events;
                last.sum.add_sum(bucket.sum)?;
            }
            None => out.push(bucket),
        }
    }
    *buckets = out;
    Ok(())
}

/// Cohorts by time or by value.
#[derive(Default)]
struct Tallies {
    by_time: BTreeMap<i64, CohortTally>,
    by_value: Groups<CohortTally>,
}

/// The tallies of a scope while it is walked.
struct Rows<'p, 'a> {
    plan: &'p CohortPlan<'p>,
    by_time: BTreeMap<i64, CohortTally>,
    splitter: Option<Splitter<'a>>,
    by_number: Vec<CohortTally>,
}

impl Rows<'_, '_> {
    /// The tally of the cohort of a person who started at `start`.
    fn of(&mut self, person: PersonId, start: Millis) -> Result<&mut CohortTally> {
        let count = self.plan.definition.count;
        let Some(splitter) = &mut self.splitter else {
            let number = self.plan.calendar.number(self.plan.definition.cohort.unit, start);
            return Ok(self.by_time.entry(number).or_insert_with(|| CohortTally::new(count)));
        };
        let number = splitter.number(person, start, None)? as usize;
        if self.by_number.len() <= number {
            self.by_number.resize_with(number + 1, || CohortTally::new(count));
        }
        Ok(&mut self.by_number[number])
    }
}

fn tally_scope(plan: &CohortPlan<'_>, scope: &Scope<'_>) -> Result<Tallies> {
    if let Some(length) = plan.equal_buckets() {
        return tally_masks(plan, scope, length);
    }
    let splitter = plan.split.as_ref().map(|split| Splitter::new(split, scope, plan.as_of)).transpose()?;
    let mut rows = Rows { plan, by_time: BTreeMap::new(), splitter, by_number: Vec::new() };
    walk(plan, scope, None, |member| {
        let ended = plan.ended(member.start);
        rows.of(member.person, member.start)?.add(ended, member.buckets, plan.definition.at_least)
    })?;
    let by_value = match rows.splitter {
        Some(splitter) => Groups::of_numbers(rows.by_number, &splitter.table),
        None => Groups::default(),
    };
    Ok(Tallies { by_time: rows.by_time, by_value })
}

/// As [`tally_scope`], where [`EqualBuckets`] do the work.
fn tally_masks(plan: &CohortPlan<'_>, scope: &Scope<'_>, length: i64) -> Result<Tallies> {
    let basis = &plan.definition.basis;
    let count = plan.definition.count;
    let only = basis.people.as_ref().map(|a| audience::decide(a, scope, plan.as_of)).transpose()?;
    let allowed = scope.allowed(only);
    let starts = plan.start.cells(scope)?;
    let start = match starts.as_slice() {
        [one] => Arc::clone(one),
        several => Arc::new(Cell::union(several)),
    };
    let returns = plan.returns.cells(scope)?;
    let range = (basis.from(), basis.seen_to(plan.as_of));
    let buckets = EqualBuckets::new(length, count, plan.as_of);
    let finish = |tally: MaskTally| {
        CohortTally::of_people(tally.size, plan.ended(tally.latest), &tally.came.finish(), count)
    };
    let mut tallies: Vec<MaskTally> = Vec::new();
    let mut at = |place: usize, begin: Millis, mask: u64| {
        if tallies.len() <= place {
            tallies.resize_with(place + 1, MaskTally::default);
        }
        tallies[place].add(begin, mask);
    };
    if let Some(split) = &plan.split {
        let mut splitter = Splitter::new(split, scope, plan.as_of)?;
        buckets.walk(&start, &returns, allowed.as_ref(), range, |person, begin, mask| {
            at(splitter.number(person, begin, None)? as usize, begin, mask);
            Ok::<(), Error>(())
        })?;
        let tallies = tallies.into_iter().map(finish).collect();
        let by_value = Groups::of_numbers(tallies, &splitter.table);
        return Ok(Tallies { by_time: BTreeMap::new(), by_value });
    }
    if start.persons.is_empty() {
        return Ok(Tallies::default());
    }
    let table = UnitTable::new(&plan.calendar, plan.definition.cohort.unit, start.span);
    buckets.walk(&start, &returns, allowed.as_ref(), range, |_, begin, mask| {
        at(table.place(begin), begin, mask);
        Ok::<(), Error>(())
    })?;
    let named = (table.first()..).zip(tallies).filter(|(_, tally)| tally.size > 0);
    Ok(Tallies { by_time: named.map(|(n, tally)| (n, finish(tally))).collect(), by_value: Groups::default() })
}

/// What all scopes add up to.
fn summed(plan: &CohortPlan<'_>, view: &View) -> Result<Tallies> {
    let scopes = view.scopes(&plan.start.names)?;
    let mut all = Tallies::default();
    map_scopes(
        &scopes,
        |scope| tally_scope(plan, scope),
        |part| {
            for (number, tally) in part.by_time {
                match all.by_time.entry(number) {
                    std::collections::btree_map::Entry::Occupied(mut known) => {
                        known.get_mut().merge(tally)?
                    }
                    std::collections::btree_map::Entry::Vacant(new) => {
                        new.insert(tally);
                    }
                }
            }
            all.by_value.merge(part.by_value)
        },
    )?;
    Ok(all)
}

fn tallies(
    plan: &CohortPlan<'_>,
    view: &View,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Segment<CohortTally>>> {
    let mut all = summed(plan, view)?;
    if plan.split.is_some() {
        let mut values = all.by_value.into_vec();
        values.retain(|(_, tally)| tally.size() > 0);
        return shown(values, plan.definition.limit);
    }
    let (Some(first), Some(last)) = (all.by_time.keys().next().copied(), all.by_time.keys().last().copied())
    else {
        return Ok(Vec::new());
    };
    let unit = plan.definition.cohort.unit;
    let first = COHORTS.first_shown(&plan.calendar, unit, &plan.definition.basis, (first, last), warnings)?;
    let row = |number: i64| {
        let label = Value::Text(plan.calendar.label(unit, number));
        let part = all.by_time.remove(&number).unwrap_or_else(|| CohortTally::new(plan.definition.count));
        Segment { label: Label::Value(Some(label)), part }
    };
    Ok((first..=last).filter(|number| plan.calendar.has(unit, *number)).map(row).collect())
}

/// Answers a cohort query.
pub fn cohort(view: &View, plan: CohortPlan<'_>) -> Result<CohortReport> {
    let mut warnings = plan.warnings.clone();
    let rows = tallies(&plan, view, &mut warnings)?;
    CohortReport::new(plan.definition, rows, warnings)
}

/// A page of the people of a cohort or of a cell.
#[derive(Clone, Debug, Serialize)]
pub struct CohortPeoplePage {
    /// The people, in the order of their ids.
    pub people: Vec<CohortPerson>,
    /// How many there are on all pages: exactly the number that the list is behind.
    pub total: u64,
    /// Where the next page begins.
    pub cursor: Option<String>,
    /// What nobody ever sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// One of them.
#[derive(Clone, Debug, Serialize)]
pub struct CohortPerson {
    /// What it is called.
    #[serde(flatten)]
    pub names: Names,
    /// When they started.
    pub start: String,
    /// The buckets that they are counted in, from 0: those in which they came back, or with `at_least` all up to the last.
    pub came: Vec<usize>,
}

/// Lists the people of a cell, or of a whole cohort.
pub fn people(view: &View, plan: &CohortPlan<'_>, query: &CohortPeople) -> Result<CohortPeoplePage> {
    let (snapshot, count) = (&view.source.snapshot, plan.definition.count);
    let asked = Asked { by: query.cohort.by.as_ref(), label: query.row.as_ref(), at: "row" };
    let row = asked.label.map(|row| Chosen::new(row, || tallies(plan, view, &mut Vec::new()))).transpose()?;
    let scopes = view.scopes(&plan.start.names)?;
    let mut binder = Binder::of_list(snapshot, &plan.warnings);
    let found = asked.gather(
        row,
        || Ok(values_of(summed(plan, view)?.by_value.into_vec())),
        |row| listing::gather(&scopes, |scope| matching(plan, query.column, row, scope)),
        &mut binder,
    )?;
    let (page, cursor) = listing::page(&found, query.limit, query.cursor.as_deref())?;
    let mut filled = Page::new();
    for scope in &scopes {
        walk(plan, scope, Some(&scope.of(&page)), |member| {
            if !filled.has_room(member.person) {
                return Ok(());
            }
            let names = snapshot.names_of(member.person, limits::LISTED_IDENTITIES_BYTES)?;
            let buckets = &member.buckets;
            let came = match plan.definition.at_least {
                true => (0..buckets.last().map_or(0, |last| count.min(last.number + 1))).collect(),
                false => {
                    buckets.iter().map(|bucket| bucket.number).filter(|number| *number < count).collect()
                }
            };
            let start = format_millis(member.start);
            filled.add(member.person, CohortPerson { names, start, came });
            Ok(())
        })?;
    }
    let (people, cursor) = filled.finish(cursor);
    Ok(CohortPeoplePage { people, total: found.len(), cursor, warnings: binder.warnings })
}

/// A cell of a cohort report, bound to a snapshot.
pub fn cell_plan<'d>(inner: &'d InCohort, snapshot: &Snapshot, as_of: Millis) -> Result<CohortPlan<'d>> {
    CohortPlan::new(&inner.cohort, snapshot, inner.cohort.basis.as_of_inside(as_of))
}

/// The persons of a scope in a cell of a cohort report.
pub fn decide_cell(inner: &InCohort, scope: &Scope<'_>, as_of: Millis) -> Result<PersonSet> {
    let plan = cell_plan(inner, &scope.source().snapshot, as_of)?;
    let row = inner.row.as_ref().map(|row| match row {
        Some(given) => meant(inner, &plan, given, scope.view).map(Some),
        None => Ok(None),
    });
    let row = row.transpose()?.map(Chosen::Value);
    matching(&plan, inner.column, row.as_ref(), scope)
}

/// The value of the row that an audience means. The whole report decides, as it does for lists; it is made once, and only if the store
/// has both forms of the value.
fn meant(inner: &InCohort, plan: &CohortPlan<'_>, given: &Value, view: &View) -> Result<Value> {
    let (Some(by), Some(other)) = (&inner.cohort.by, given.other_form()) else { return Ok(given.clone()) };
    let snapshot = &view.source.snapshot;
    let stored = |value: &Value| match by.property() {
        Some(name) => snapshot.property(name).is_some_and(|id| Binder::new(snapshot).has_value(id, value)),
        None => matches!(value, Value::Bool(_)) == matches!(by, By::Audience(..)),
    };
    if !(stored(given) && stored(&other)) {
        return Ok(Value::meant(given, stored));
    }
    let question = format!("{} {}", inner.to_json(), plan.as_of);
    if let Some(value) = view.meant.lock().unwrap_or_else(PoisonError::into_inner).get(&question) {
        return Ok(value.clone());
    }
    let values = values_of(summed(plan, view)?.by_value.into_vec());
    let value = Value::meant(given, |value| values.iter().flatten().any(|known| known == value));
    view.meant.lock().unwrap_or_else(PoisonError::into_inner).insert(question, value.clone());
    Ok(value)
}

fn matching(
    plan: &CohortPlan<'_>,
    column: Option<usize>,
    row: Option<&Chosen>,
    scope: &Scope<'_>,
) -> Result<PersonSet> {
    let mut splitter =
        plan.split.as_ref().map(|split| Splitter::new(split, scope, plan.as_of)).transpose()?;
    let mut found = scope.none();
    walk(plan, scope, None, |member| {
        if let Some(column) = column {
            let came = match plan.definition.at_least {
                true => member.buckets.last().is_some_and(|b| b.number >= column),
                false => member.buckets.iter().any(|b| b.number == column),
            };
            if !came {
                return Ok(());
            }
        }
        let of_row = match (row, &mut splitter) {
            (None, _) => true,
            (Some(row), Some(splitter)) => {
                let number = splitter.number(member.person, member.start, None)?;
                row.has(splitter.table.value(number))
            }
            (Some(Chosen::Value(Some(Value::Text(label)))), None) => {
                let unit = plan.definition.cohort.unit;
                *label == plan.calendar.label(unit, plan.calendar.number(unit, member.start))
            }
            (Some(_), None) => false,
        };
        if of_row {
            found.insert(member.person);
        }
        Ok(())
    })?;
    Ok(found)
}
