//! Revenue: the amounts of all events that carry them, person by person, and who paid.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::amounts::AmountReader;
use super::audience;
use super::binder::Binder;
use super::cell::Cell;
use super::labels::{Asked, values_of};
use super::lifetime::{self, LifetimePlan, Wanted};
use super::listing::{self, PeoplePage};
use super::persons::PersonSet;
use super::properties;
use super::revenue_columns::Columns;
use super::scope::{Scope, View, map_scopes};
use super::split::{Groups, Split, Splitter};
use super::units::range_of_units;
use crate::engine::Snapshot;
use crate::error::Result;
use crate::model::{Calendar, Millis, NameId, Number, PersonId, PropertyId, Unit};
use crate::report::{
    Amounts, Audience, Basis, Chosen, Lost, PERIOD_DEFAULT, Payers, Point, Revenue, RevenuePeople,
    RevenueReport, Tally, Warning, by_total, unit_that_begins,
};

/// A revenue report bound to a snapshot.
pub struct RevenuePlan<'d> {
    definition: &'d Revenue,
    pub(super) property: Option<PropertyId>,
    /// The events that carry it, found when there is a view.
    pub(super) names: Vec<NameId>,
    split: Split,
    lifetime: Option<LifetimePlan>,
    pub(super) calendar: Calendar,
    pub(super) as_of: Millis,
    warnings: Vec<Warning>,
}

impl<'d> RevenuePlan<'d> {
    /// Binds `definition` to `snapshot`, as of `as_of`.
    pub fn new(definition: &'d Revenue, snapshot: &Snapshot, as_of: Millis) -> Result<Self> {
        let mut binder = Binder::new(snapshot);
        let property = binder.property(&definition.property, "property");
        let split = Split::new(&definition.by, &mut binder);
        binder.basis(&definition.basis);
        let lifetime = definition.lifetime.as_ref().map(|lifetime| {
            let by: Vec<NameId> = match &lifetime.lost {
                Lost::After(_) => Vec::new(),
                Lost::By(events) => events.iter().filter_map(|e| binder.event(e, "lost_by")).collect(),
            };
            // That nothing is billed by period is no mistake of who asked for none.
            let period = match lifetime.period.as_str() {
                PERIOD_DEFAULT => snapshot.property(PERIOD_DEFAULT),
                named => binder.property(named, "period"),
            };
            LifetimePlan::new(lifetime, period, by)
        });
        let warnings = binder.warnings;
        let calendar = Calendar::new(&definition.basis.period.zone, definition.units.week_start)?;
        let names = Vec::new();
        Ok(Self { definition, property, names, split, lifetime, calendar, as_of, warnings })
    }

    /// When, and which people.
    pub(super) fn basis(&self) -> &Basis {
        &self.definition.basis
    }

    /// The unit of the series.
    pub(super) fn unit(&self) -> Unit {
        self.definition.units.unit
    }

    /// The names of which the report reads rows: people are those with any event.
    pub fn names(&self, snapshot: &Snapshot) -> Vec<NameId> {
        let mut names: Vec<NameId> = snapshot.catalog.events().map(|(id, _)| id).collect();
        self.split.names(snapshot, &mut names);
        if let Some(audience) = &self.definition.basis.people {
            audience::names(audience, snapshot, &mut names);
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The persons of a scope with any event in the range, of those in the audience.
    fn people(&self, scope: &Scope<'_>) -> Result<PersonSet> {
        let basis = &self.definition.basis;
        let seen = Audience::Seen { from: basis.from(), to: basis.to() };
        let all = basis.people.iter().cloned().chain([seen]).collect();
        audience::decide(&Audience::All(all), scope, self.as_of)
    }
}

/// The events of which any row has a property.
fn carriers(view: &View, property: Option<PropertyId>) -> Result<Vec<NameId>> {
    let mut names = Vec::new();
    let Some(property) = property else { return Ok(names) };
    for (name, _) in view.source.snapshot.catalog.events() {
        if properties::of_name(view, name)?.contains(&property) {
            names.push(name);
        }
    }
    Ok(names)
}

/// The amounts of one event while a scope is walked.
pub(super) struct Carrier<'a> {
    pub(super) cell: Arc<Cell>,
    pub(super) amounts: AmountReader<'a>,
    near: usize,
}

/// The amounts of a scope, person by person.
pub(super) struct Walker<'a> {
    pub(super) carriers: Vec<Carrier<'a>>,
    /// Of these people.
    pub(super) people: PersonSet,
    /// The first and the last time of any of their rows.
    pub(super) span: (Millis, Millis),
}

impl<'a> Walker<'a> {
    fn new(plan: &RevenuePlan<'_>, scope: &Scope<'a>, people: &PersonSet) -> Result<Self> {
        let mut carriers = Vec::new();
        let mut paid = scope.none();
        let mut span = (Millis::MAX, Millis::MIN);
        for (name, property) in plan.names.iter().zip(std::iter::repeat(plan.property)) {
            let Some(property) = property else { continue };
            let cell = scope.cell(*name)?;
            if cell.persons.is_empty() {
                continue;
            }
            cell.mark(&mut paid);
            span = (span.0.min(cell.span.0), span.1.max(cell.span.1));
            let amounts = AmountReader::new(scope, Arc::clone(&cell), property)?;
            carriers.push(Carrier { cell, amounts, near: 0 });
        }
        paid.and(people);
        Ok(Self { carriers, people: paid, span })
    }

    /// Calls `visit` with everybody who has amounts in the range, and these: the unit of time, the amount.
    fn each(
        mut self,
        plan: &RevenuePlan<'_>,
        mut visit: impl FnMut(PersonId, &[(i64, Number)]) -> Result<()>,
    ) -> Result<()> {
        let basis = &plan.definition.basis;
        let (from, to) = (basis.from(), basis.seen_to(plan.as_of));
        let unit = plan.definition.units.unit;
        let mut found: Vec<(i64, Number)> = Vec::new();
        for person in &self.people {
            found.clear();
            for Carrier { cell, amounts, near } in &mut self.carriers {
                let Some(rank) = cell.find(person, near) else { continue };
                for (row, time) in (cell.rows(rank).start..).zip(cell.times(rank)) {
                    if *time < from || *time >= to {
                        continue;
                    }
                    let Some(amount) = amounts.read(row)? else { continue };
                    found.push((plan.calendar.number(unit, *time), amount));
                }
            }
            if !found.is_empty() {
                visit(person, &found)?;
            }
        }
        Ok(())
    }
}

/// What a scope adds to the report.
#[derive(Default)]
struct Tallies {
    whole: Amounts,
    by_unit: BTreeMap<i64, Amounts>,
    by_value: Groups<Amounts>,
}

impl Tallies {
    /// From the amounts by number of value, and by unit from `base` on.
    fn new(by_number: ByNumber, base: i64, by_unit: ByNumber, splitter: &Splitter<'_>) -> Result<Self> {
        let mut whole = Amounts::default();
        by_number.0.iter().try_for_each(|amounts| whole.merge(*amounts))?;
        let by_unit = (base..).zip(by_unit.0).filter(|(_, amounts)| amounts.size() > 0).collect();
        Ok(Self { whole, by_unit, by_value: Groups::of_numbers(by_number.0, &splitter.table) })
    }
}

/// Amounts by the number of a value.
#[derive(Default)]
pub(super) struct ByNumber(Vec<Amounts>);

impl ByNumber {
    /// Those of a number.
    pub(super) fn at(&mut self, number: usize) -> &mut Amounts {
        if self.0.len() <= number {
            self.0.resize(number + 1, Amounts::default());
        }
        &mut self.0[number]
    }
}

fn tally_scope(plan: &RevenuePlan<'_>, scope: &Scope<'_>) -> Result<Tallies> {
    let people = plan.people(scope)?;
    let mut splitter = Splitter::new(&plan.split, scope, plan.as_of)?;
    let (mut by_number, mut by_unit) = (ByNumber::default(), ByNumber::default());
    for (number, count) in splitter.count(&people)? {
        by_number.at(number as usize).people += count;
    }
    let walker = Walker::new(plan, scope, &people)?;
    if let Some(quick) = Columns::new(plan, &walker) {
        let base = quick.first_unit();
        quick.add(plan, &mut splitter, &mut by_number, &mut by_unit)?;
        return Tallies::new(by_number, base, by_unit, &splitter);
    }
    let unit = plan.definition.units.unit;
    let base = plan.calendar.number(unit, walker.span.0);
    let mut paid_in: Vec<i64> = Vec::new();
    walker.each(plan, |person, amounts| {
        let number = splitter.number(person, Millis::MAX, None)? as usize;
        let of_value = by_number.at(number);
        paid_in.clear();
        for (unit, amount) in amounts {
            of_value.add(*amount)?;
            by_unit.at((unit - base).max(0) as usize).add(*amount)?;
            if amount.is_positive() {
                paid_in.push(*unit);
            }
        }
        of_value.paying += u64::from(!paid_in.is_empty());
        paid_in.sort_unstable();
        paid_in.dedup();
        paid_in.iter().for_each(|unit| by_unit.at((unit - base).max(0) as usize).paying += 1);
        Ok(())
    })?;
    Tallies::new(by_number, base, by_unit, &splitter)
}

/// Answers a revenue query.
pub fn revenue(view: &View, mut plan: RevenuePlan<'_>) -> Result<RevenueReport> {
    plan.names = carriers(view, plan.property)?;
    let all = tallies(view, &plan)?;
    let (definition, unit) = (plan.definition, plan.definition.units.unit);
    let data = all.by_unit.keys().next().copied().zip(all.by_unit.keys().last().copied());
    let mut warnings = std::mem::take(&mut plan.warnings);
    let units = range_of_units(&plan.calendar, unit, &definition.basis, plan.as_of, data, &mut warnings)?;
    let nothing = Amounts::default();
    let point =
        |number| Point::new(plan.calendar.date(unit, number), all.by_unit.get(&number).unwrap_or(&nothing));
    let series = units.into_iter().map(point).collect();
    let mut lifetime = None;
    if let Some(wanted) = &plan.lifetime {
        let (report, unknown) = lifetime::lifetime(view, &plan, wanted, &mut warnings)?;
        lifetime = Some(report);
        if unknown > 0 {
            warnings.push(unknown_periods(unknown));
        }
    }
    RevenueReport::new(definition, &all.whole, series, all.by_value.into_vec(), lifetime, warnings)
}

/// What all scopes add up to.
fn tallies(view: &View, plan: &RevenuePlan<'_>) -> Result<Tallies> {
    let mut all = Tallies::default();
    map_scopes(
        &view.all_scopes(),
        |scope| tally_scope(plan, scope),
        |part| {
            all.whole.merge(part.whole)?;
            for (unit, amounts) in part.by_unit {
                all.by_unit.entry(unit).or_default().merge(amounts)?;
            }
            all.by_value.merge(part.by_value)
        },
    )?;
    Ok(all)
}

fn unknown_periods(count: u64) -> Warning {
    Warning {
        at: "period".to_owned(),
        message: format!("{count} payments are for a period that is not known, so they count for none"),
        hint: Some("week, month, quarter, half-year, year, or 1, 2, 3, 4, 6, 12 or 24 months".to_owned()),
    }
}

/// Which people of a lifetime are wanted, if any.
fn of_lifetime(which: Payers, unit: Option<i64>) -> Option<Wanted> {
    match which {
        Payers::Paying | Payers::People => None,
        Payers::Customers => Some(Wanted::Customers),
        Payers::Current => Some(Wanted::Current),
        Payers::Moved(movement) => unit.map(|unit| Wanted::Moved(unit, movement)),
    }
}

/// Lists the people behind a number of a revenue report.
pub fn people(view: &View, mut plan: RevenuePlan<'_>, query: &RevenuePeople) -> Result<PeoplePage> {
    plan.names = carriers(view, plan.property)?;
    let plan = &plan;
    let unit = plan.definition.units.unit;
    let zone = &plan.definition.basis.period.zone;
    let wanted_unit = query.start.as_ref().map(|start| unit_that_begins(&plan.calendar, unit, zone, start));
    let wanted_unit = wanted_unit.transpose()?;
    let segments = || Ok(tallies(view, plan)?.by_value.into_vec());
    let asked = Asked { by: Some(&plan.definition.by), label: query.segment.as_ref(), at: "segment" };
    let chosen = asked.label.map(|label| Chosen::new(label, || by_total(segments()?, plan.definition.limit)));
    let work = |scope: &Scope<'_>, chosen: Option<&Chosen>| {
        if let (Some(lifetime), Some(wanted)) = (&plan.lifetime, of_lifetime(query.which, wanted_unit)) {
            return lifetime::persons(plan, lifetime, scope, wanted);
        }
        let people = plan.people(scope)?;
        let mut found = scope.none();
        if query.which == Payers::People {
            found = people;
        } else {
            Walker::new(plan, scope, &people)?.each(plan, |person, amounts| {
                let wanted = |unit: i64| wanted_unit.is_none_or(|wanted| wanted == unit);
                if amounts.iter().any(|(unit, amount)| amount.is_positive() && wanted(*unit)) {
                    found.insert(person);
                }
                Ok(())
            })?;
        }
        let Some(chosen) = chosen else { return Ok(found) };
        let mut splitter = Splitter::new(&plan.split, scope, plan.as_of)?;
        let mut of_segment = scope.none();
        for person in &found {
            let number = splitter.number(person, Millis::MAX, None)?;
            if chosen.has(splitter.table.value(number)) {
                of_segment.insert(person);
            }
        }
        Ok(of_segment)
    };
    let mut binder = Binder::of_list(&view.source.snapshot, &plan.warnings);
    let found = asked.gather(
        chosen.transpose()?,
        || Ok(values_of(segments()?)),
        |chosen| listing::gather(&view.all_scopes(), |scope| work(scope, chosen)),
        &mut binder,
    )?;
    listing::list(view, &found, query.limit, query.cursor.as_deref(), binder.warnings)
}
