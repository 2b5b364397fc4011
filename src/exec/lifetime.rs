//! Lifetimes of paying people: from every payment the instants at which something changes, and where the person stands
//! before and after each unit that holds one.

use std::sync::Arc;

use super::amounts::AmountReader;
use super::audience;
use super::persons::PersonSet;
use super::revenue::RevenuePlan;
use super::scope::{Scope, View, map_scopes};
use super::units::range_of_units;
use crate::error::Result;
use crate::model::{Calendar, Millis, NameId, Number, PersonId, PropertyId, Sum, Unit};
use crate::report::{
    Lifetime, LifetimePeriod, LifetimeReport, LifetimeTally, Lost, Movement, Standing, Warning,
};

/// Lifetimes bound to a snapshot.
pub struct LifetimePlan {
    /// How long payments are for.
    pub period: Option<PropertyId>,
    /// How long behind that somebody is lost; `None` if events decide.
    pub after: Option<i64>,
    /// Those events.
    pub by: Vec<NameId>,
}

impl LifetimePlan {
    /// How long a payment counts without what ends it.
    fn after(definition: &Lifetime) -> Option<i64> {
        if let Lost::After(after) = definition.lost { Some(after) } else { None }
    }

    /// Binds `definition`, of which the property and the events were found already.
    pub fn new(definition: &Lifetime, period: Option<PropertyId>, by: Vec<NameId>) -> Self {
        Self { period, after: Self::after(definition), by }
    }
}

/// An amount of a person.
#[derive(Clone, Copy)]
struct Amount {
    person: PersonId,
    time: Millis,
    amount: Number,
    period: Option<LifetimePeriod>,
}

/// What payments make of a person, in order of time.
#[derive(Default)]
struct History {
    /// For each payment its instant and until when this or an earlier one counts.
    payments: Vec<(Millis, Millis)>,
    /// For each instant with payments for a period the instant, until when they count, and their recurring revenue.
    subscriptions: Vec<(Millis, Millis, Sum)>,
    /// Every instant at which something changes.
    changes: Vec<Millis>,
}

impl History {
    fn new(
        plan: &LifetimePlan,
        calendar: &Calendar,
        amounts: &[Amount],
        ends: &[(PersonId, Millis)],
    ) -> Result<Self> {
        let mut history = Self::default();
        let mut longest = Millis::MIN;
        for paid in amounts.iter().filter(|paid| paid.amount.is_positive()) {
            let until = match plan.after {
                Some(after) => covered(calendar, paid).saturating_add(after),
                None => {
                    ends.get(ends.partition_point(|(_, t)| *t <= paid.time)).map_or(Millis::MAX, |(_, t)| *t)
                }
            };
            longest = longest.max(until);
            history.payments.push((paid.time, longest));
            history.changes.extend([paid.time, until]);
            let Some(period) = paid.period else { continue };
            let monthly = period.monthly(paid.amount)?;
            match history.subscriptions.last_mut() {
                // Two at once are two subscriptions.
                Some((time, last, sum)) if *time == paid.time => {
                    *last = until.max(*last);
                    sum.add_sum(monthly)?;
                }
                _ => history.subscriptions.push((paid.time, until, monthly)),
            }
        }
        Ok(history)
    }

    /// Where the person stands at the instant `at`, with everything that happened then.
    fn at(&self, at: Millis) -> Standing {
        let paid = self.payments.partition_point(|(time, _)| *time <= at);
        let subscribed = self.subscriptions.partition_point(|(time, ..)| *time <= at);
        let last = paid.checked_sub(1).and_then(|last| self.payments.get(last));
        let subscription = subscribed.checked_sub(1).and_then(|last| self.subscriptions.get(last));
        Standing {
            paying: last.is_some_and(|(_, until)| *until > at),
            paid: paid > 0,
            recurring: subscription.filter(|(_, until, _)| *until > at).map_or(Sum::ZERO, |s| s.2),
            subscribed: subscribed > 0,
        }
    }
}

/// The end of what a payment is for.
fn covered(calendar: &Calendar, paid: &Amount) -> Millis {
    match paid.period {
        None => paid.time,
        Some(LifetimePeriod::Week) => calendar.shifted(Unit::Week, paid.time, 1),
        Some(LifetimePeriod::Months(months)) => calendar.shifted(Unit::Month, paid.time, i64::from(months)),
    }
}

/// Everybody of a scope who ever paid, by person.
struct Customers {
    amounts: Vec<Amount>,
    ends: Vec<(PersonId, Millis)>,
    unknown_periods: u64,
}

fn read(plan: &RevenuePlan<'_>, lifetime: &LifetimePlan, scope: &Scope<'_>) -> Result<Customers> {
    let only = plan.basis().people.as_ref().map(|a| audience::decide(a, scope, plan.as_of)).transpose()?;
    let wanted = |person| only.as_ref().map_or_else(|| scope.holds(person), |only| only.contains(person));
    let (mut amounts, mut ends, mut unknown_periods) = (Vec::new(), Vec::new(), 0);
    if let Some(property) = plan.property {
        for name in &plan.names {
            let cell = scope.cell(*name)?;
            let mut amount_of = AmountReader::new(scope, Arc::clone(&cell), property)?;
            let mut period_of = lifetime.period.map(|property| scope.source().column(*name, property));
            for (rank, person) in cell.persons.iter().copied().enumerate() {
                if !wanted(person) {
                    continue;
                }
                let base = cell.rows(rank).start;
                for (row, time) in (base..).zip(cell.times(rank).iter().take_while(|t| **t <= plan.as_of)) {
                    let Some(amount) = amount_of.read(row)? else { continue };
                    let mut period = None;
                    if let Some(column) = &mut period_of {
                        let found = column.get(cell.row_ref(row))?;
                        period = column.value(found)?.map(LifetimePeriod::of);
                    }
                    unknown_periods += u64::from(period == Some(None) && amount.is_positive());
                    amounts.push(Amount { person, time: *time, amount, period: period.flatten() });
                }
            }
        }
    }
    for name in &lifetime.by {
        let cell = scope.cell(*name)?;
        for (rank, person) in cell.persons.iter().copied().enumerate().filter(|(_, p)| wanted(*p)) {
            ends.extend(cell.times(rank).iter().take_while(|t| **t <= plan.as_of).map(|t| (person, *t)));
        }
    }
    amounts.sort_by_key(|a| (a.person, a.time));
    ends.sort_unstable();
    Ok(Customers { amounts, ends, unknown_periods })
}

impl Customers {
    /// Calls `visit` with every person who ever paid: amounts and history.
    fn each(
        &self,
        plan: &RevenuePlan<'_>,
        lifetime: &LifetimePlan,
        mut visit: impl FnMut(&[Amount], History) -> Result<()>,
    ) -> Result<()> {
        for amounts in self.amounts.chunk_by(|a, b| a.person == b.person) {
            let Some(person) = amounts.first().map(|a| a.person) else { continue };
            let from = self.ends.partition_point(|(p, _)| *p < person);
            let to = self.ends.partition_point(|(p, _)| *p <= person);
            let ends = self.ends.get(from..to).unwrap_or(&[]);
            let history = History::new(lifetime, &plan.calendar, amounts, ends)?;
            if !history.payments.is_empty() {
                visit(amounts, history)?;
            }
        }
        Ok(())
    }
}

/// The last instant before a unit, and its own last one as far as it is seen.
fn borders(plan: &RevenuePlan<'_>, unit: i64) -> (Millis, Millis) {
    let start = |number| plan.calendar.start(plan.unit(), number);
    (start(unit) - 1, (start(unit + 1) - 1).min(plan.as_of))
}

fn tally_scope(plan: &RevenuePlan<'_>, lifetime: &LifetimePlan, scope: &Scope<'_>) -> Result<LifetimeTally> {
    let customers = read(plan, lifetime, scope)?;
    let mut tally = LifetimeTally::default();
    tally.unknown_periods = customers.unknown_periods;
    let end = plan.calendar.number(plan.unit(), plan.as_of) + 1;
    customers.each(plan, lifetime, |amounts, mut history| {
        for paid in amounts {
            tally.amount(plan.calendar.number(plan.unit(), paid.time), paid.amount)?;
        }
        tally.customer(&history.at(plan.as_of))?;
        let seen = |t: &Millis| *t <= plan.as_of;
        let changes = std::mem::take(&mut history.changes);
        let mut units: Vec<i64> =
            changes.into_iter().filter(seen).map(|t| plan.calendar.number(plan.unit(), t)).collect();
        units.sort_unstable();
        units.dedup();
        for (place, unit) in units.iter().enumerate() {
            let (before, after) = borders(plan, *unit);
            let after = history.at(after);
            tally.moved(*unit, &history.at(before), &after)?;
            tally.stays(unit + 1, units.get(place + 1).copied().unwrap_or(end), &after)?;
        }
        Ok(())
    })?;
    Ok(tally)
}

/// Answers what a revenue query asks about lifetimes, and counts payments for periods that are not known.
pub fn lifetime(
    view: &View,
    plan: &RevenuePlan<'_>,
    lifetime: &LifetimePlan,
    warnings: &mut Vec<Warning>,
) -> Result<(LifetimeReport, u64)> {
    let mut tally = LifetimeTally::default();
    map_scopes(&view.all_scopes(), |scope| tally_scope(plan, lifetime, scope), |part| tally.merge(part))?;
    let units =
        range_of_units(&plan.calendar, plan.unit(), plan.basis(), plan.as_of, tally.span(), warnings)?;
    let shown = units.into_iter().map(|unit| {
        let complete = plan.calendar.start(plan.unit(), unit + 1) - 1 <= plan.as_of;
        (unit, plan.calendar.date(plan.unit(), unit), complete)
    });
    Ok((LifetimeReport::new(&tally, shown)?, tally.unknown_periods))
}

/// The persons of a scope who ever paid, or pay now, or moved so in a unit.
pub fn persons(
    plan: &RevenuePlan<'_>,
    lifetime: &LifetimePlan,
    scope: &Scope<'_>,
    wanted: Wanted,
) -> Result<PersonSet> {
    let mut found = scope.none();
    read(plan, lifetime, scope)?.each(plan, lifetime, |amounts, history| {
        let is_wanted = match wanted {
            Wanted::Customers => true,
            Wanted::Current => history.at(plan.as_of).paying,
            Wanted::Moved(unit, movement) => {
                let (before, after) = borders(plan, unit);
                // Of a unit that has not begun nothing is seen: what was paid for would only run out.
                before < plan.as_of && movement.is_of(&history.at(before), &history.at(after))
            }
        };
        found.extend(amounts.first().filter(|_| is_wanted).map(|a| a.person));
        Ok(())
    })?;
    Ok(found)
}

/// Which of the people who ever paid.
#[derive(Clone, Copy)]
pub enum Wanted {
    /// All.
    Customers,
    /// Those who pay now.
    Current,
    /// Those who moved so in this unit.
    Moved(i64, Movement),
}
