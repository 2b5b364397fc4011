//! Trends: the matching events of each series, person by person, and who is behind a point.

use super::audience;
use super::binder::{Binder, Selection};
use super::cell::RowRef;
use super::labels::{Asked, values_of};
use super::listing::{self, PeoplePage};
use super::persons::PersonSet;
use super::scope::{Scope, View, map_scopes};
use super::split::{Groups, Split, Splitter};
use super::units::range_of_units;
use crate::engine::Snapshot;
use crate::error::Result;
use crate::model::{Calendar, Millis, NameId, Number, PersonId, PropertyId, Value};
use crate::report::{
    Chosen, SeriesReport, SeriesTally, Tally, Trend, TrendPeople, TrendReport, Warning, shown,
    unit_that_begins,
};

/// A report on trends bound to a snapshot.
pub struct TrendPlan<'d> {
    definition: &'d Trend,
    /// What each series selects, and the property that it sums up.
    series: Vec<(Selection, Option<PropertyId>)>,
    split: Option<Split>,
    calendar: Calendar,
    as_of: Millis,
    warnings: Vec<Warning>,
}

impl<'d> TrendPlan<'d> {
    /// Binds `definition` to `snapshot`, as of `as_of`.
    pub fn new(definition: &'d Trend, snapshot: &Snapshot, as_of: Millis) -> Result<Self> {
        let mut binder = Binder::new(snapshot);
        let mut series = Vec::with_capacity(definition.series.len());
        for (k, one) in definition.series.iter().enumerate() {
            let at = format!("series[{k}]");
            let property = one.property.as_ref().and_then(|p| binder.property(p, &at));
            series.push((binder.pattern(&one.events, &at), property));
        }
        let split = definition.by.as_ref().map(|by| Split::new(by, &mut binder));
        binder.basis(&definition.basis);
        let calendar = Calendar::new(&definition.basis.period.zone, definition.units.week_start)?;
        Ok(Self { definition, series, split, calendar, as_of, warnings: binder.warnings })
    }

    /// The names of which the report reads rows.
    pub fn names(&self, snapshot: &Snapshot) -> Vec<NameId> {
        let mut names = self.entries();
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

    fn entries(&self) -> Vec<NameId> {
        self.series.iter().flat_map(|(selection, _)| selection.names.iter().copied()).collect()
    }
}

/// An event of a series.
struct Matched {
    person: PersonId,
    row: (NameId, RowRef),
    unit: i64,
    number: Option<Number>,
}

/// Calls `visit` with every event of a series in `scope`, of the people in `only`.
fn walk(
    plan: &TrendPlan<'_>,
    (selection, property): &(Selection, Option<PropertyId>),
    scope: &Scope<'_>,
    only: Option<&PersonSet>,
    mut visit: impl FnMut(Matched) -> Result<()>,
) -> Result<()> {
    let basis = &plan.definition.basis;
    let (from, to) = (basis.from(), basis.seen_to(plan.as_of));
    let unit = plan.definition.units.unit;
    let (mut number_of_unit, mut begin, mut end) = (0, Millis::MAX, Millis::MIN);
    for cell in selection.cells(scope)? {
        let mut column = property.map(|property| scope.source().column(cell.name, property));
        for (rank, person) in cell.persons.iter().copied().enumerate() {
            let base = cell.rows(rank).start;
            let times = cell.times(rank);
            let (first, last) = (times.partition_point(|t| *t < from), times.partition_point(|t| *t < to));
            if first >= last || !scope.holds(person) || only.is_some_and(|only| !only.contains(person)) {
                continue;
            }
            for (row, time) in (base + first..).zip(times.get(first..last).unwrap_or(&[])) {
                if !(begin..end).contains(time) {
                    number_of_unit = plan.calendar.number(unit, *time);
                    begin = plan.calendar.start(unit, number_of_unit);
                    end = plan.calendar.start(unit, number_of_unit + 1);
                }
                let at = cell.row_ref(row);
                let number = match &mut column {
                    Some(column) => {
                        let found = column.get(at)?;
                        column.value(found)?.and_then(|v| v.number())
                    }
                    None => None,
                };
                visit(Matched { person, row: (cell.name, at), unit: number_of_unit, number })?;
            }
        }
    }
    Ok(())
}

fn tally_scope(plan: &TrendPlan<'_>, scope: &Scope<'_>) -> Result<Vec<Groups<SeriesTally>>> {
    let basis = &plan.definition.basis;
    let only = basis.people.as_ref().map(|a| audience::decide(a, scope, plan.as_of)).transpose()?;
    let mut out = Vec::with_capacity(plan.series.len());
    for (series, selected) in plan.definition.series.iter().zip(&plan.series) {
        // Without a split everything is of no value.
        let split = plan.split.clone().unwrap_or(Split::Row(None, None));
        let mut splitter = Splitter::new(&split, scope, plan.as_of)?;
        let mut by_number: Vec<SeriesTally> = Vec::new();
        walk(plan, selected, scope, only.as_ref(), |event| {
            let number = splitter.number(event.person, Millis::MAX, Some(event.row))? as usize;
            if by_number.len() <= number {
                by_number.resize_with(number + 1, SeriesTally::default);
            }
            let Some(tally) = by_number.get_mut(number) else { return Ok(()) };
            tally.0.entry(event.unit).or_default().add(series.measure, event.person, event.number)
        })?;
        out.push(Groups::of_numbers(by_number, &splitter.table));
    }
    Ok(out)
}

/// The tallies of a series by value.
type ByValue = Vec<(Option<Value>, SeriesTally)>;

/// The tallies of each series by value, of those with any event.
fn grouped(view: &View, plan: &TrendPlan<'_>) -> Result<Vec<ByValue>> {
    let mut all: Vec<Groups<SeriesTally>> = plan.series.iter().map(|_| Groups::default()).collect();
    map_scopes(
        &view.scopes(&plan.entries())?,
        |scope| tally_scope(plan, scope),
        |part| all.iter_mut().zip(part).try_for_each(|(all, part)| all.merge(part)),
    )?;
    let any =
        |groups: Groups<SeriesTally>| groups.into_vec().into_iter().filter(|(_, t)| t.size() > 0).collect();
    Ok(all.into_iter().map(any).collect())
}

/// Answers a query for trends.
pub fn trend(view: &View, plan: TrendPlan<'_>) -> Result<TrendReport> {
    let definition = plan.definition;
    let all = grouped(view, &plan)?;
    let units_of = || all.iter().flatten().flat_map(|(_, tally)| tally.0.keys().copied());
    let data = units_of().min().zip(units_of().max());
    let unit = definition.units.unit;
    let mut warnings = plan.warnings;
    let numbers = range_of_units(&plan.calendar, unit, &definition.basis, plan.as_of, data, &mut warnings)?;
    let units: Vec<(i64, String)> =
        numbers.into_iter().map(|number| (number, plan.calendar.date(unit, number))).collect();
    let mut series = Vec::with_capacity(all.len());
    for (one, groups) in definition.series.iter().zip(all) {
        // Each event has one value, so the segments together are the whole.
        let mut whole = SeriesTally::default();
        for (_, tally) in &groups {
            whole.merge(tally.clone())?;
        }
        let segments = plan.split.as_ref().map(|_| shown(groups, definition.limit)).transpose()?;
        series.push(SeriesReport::new(one, &whole, segments, &units)?);
    }
    Ok(TrendReport { series, warnings })
}

/// Lists the people behind a point, or behind a whole series.
pub fn people(view: &View, plan: &TrendPlan<'_>, query: &TrendPeople) -> Result<PeoplePage> {
    let (basis, unit) = (&plan.definition.basis, plan.definition.units.unit);
    let wanted_unit =
        query.start.as_ref().map(|s| unit_that_begins(&plan.calendar, unit, &basis.period.zone, s));
    let wanted_unit = wanted_unit.transpose()?;
    let of_series = || {
        let mut groups = grouped(view, plan)?;
        Ok(if query.number < groups.len() { groups.swap_remove(query.number) } else { Vec::new() })
    };
    let asked = Asked { by: plan.definition.by.as_ref(), label: query.segment.as_ref(), at: "segment" };
    let chosen = asked.label.map(|label| Chosen::new(label, || shown(of_series()?, plan.definition.limit)));
    let work = |scope: &Scope<'_>, chosen: Option<&Chosen>| {
        let only = basis.people.as_ref().map(|a| audience::decide(a, scope, plan.as_of)).transpose()?;
        let split = plan.split.clone().unwrap_or(Split::Row(None, None));
        let mut splitter = Splitter::new(&split, scope, plan.as_of)?;
        let mut found = scope.none();
        let Some(selected) = plan.series.get(query.number) else { return Ok(found) };
        walk(plan, selected, scope, only.as_ref(), |event| {
            if wanted_unit.is_some_and(|wanted| wanted != event.unit) {
                return Ok(());
            }
            if let Some(chosen) = chosen {
                let number = splitter.number(event.person, Millis::MAX, Some(event.row))?;
                if !chosen.has(splitter.table.value(number)) {
                    return Ok(());
                }
            }
            found.insert(event.person);
            Ok(())
        })?;
        Ok(found)
    };
    let scopes = view.scopes(&plan.entries())?;
    let mut binder = Binder::of_list(&view.source.snapshot, &plan.warnings);
    let found = asked.gather(
        chosen.transpose()?,
        || Ok(values_of(of_series()?)),
        |chosen| listing::gather(&scopes, |scope| work(scope, chosen)),
        &mut binder,
    )?;
    listing::list(view, &found, query.limit, query.cursor.as_deref(), binder.warnings)
}
