//! Paying people over their lifetimes: who begins to pay, keeps paying, stops and comes back, unit by unit, and what
//! recurring revenue that moves. Every figure compares two instants, so the figures of a unit add up.

use std::collections::BTreeMap;

use serde::Serialize;

use super::json::{Fields, Node};
use super::revenue::quotient;
use super::segment::Tally;
use crate::error::{Error, Result};
use crate::limits;
use crate::model::{Json, Number, Sum, ValueRef, duration_text, parse_duration};

/// How long after the end of what a payment is for somebody counts as lost, unless told otherwise: 30 days.
const LOST_AFTER_DEFAULT: i64 = 30 * 86_400_000;
/// Recurring revenue is summed in these parts of a month's amount, of which every period is a whole number.
const PARTS_OF_A_MONTH: u64 = 24;

/// The property that holds how long a payment is for, if none is named.
pub const PERIOD_DEFAULT: &str = "Billing Period";

/// When a paying person is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// So many milliseconds after the period of the payment, if there is no other.
    After(i64),
    /// With one of these events.
    By(Vec<String>),
}

/// What a revenue report is to say about lifetimes.
#[derive(Clone, Debug)]
pub struct Lifetime {
    /// When somebody is lost.
    pub lost: Lost,
    /// The property that holds how long a payment is for.
    pub period: String,
}

/// How long a payment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// A week.
    Week,
    /// So many months.
    Months(u8),
}

impl Period {
    /// Reads a property's value: a name such as `month` or `annual`, or a number of months.
    pub fn of(value: ValueRef<'_>) -> Option<Self> {
        let months = match value {
            ValueRef::Bool(_) => return None,
            ValueRef::Number(number) => number.at_scale(0)?,
            ValueRef::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
                "week" | "weekly" => return Some(Self::Week),
                "month" | "monthly" => 1,
                "quarter" | "quarterly" => 3,
                "half-year" | "half-yearly" | "semiannual" => 6,
                "year" | "yearly" | "annual" | "annually" => 12,
                digits => digits.parse().ok()?,
            },
        };
        // Each divides the parts, so that sums stay exact.
        [1, 2, 3, 4, 6, 12, 24].into_iter().find(|m| i128::from(*m) == months).map(Self::Months)
    }

    /// What an amount for this period is in a month, in parts.
    pub fn monthly(self, amount: Number) -> Result<Sum> {
        let parts = match self {
            // 52 weeks are 12 months.
            Self::Week => PARTS_OF_A_MONTH * 52 / 12,
            Self::Months(months) => PARTS_OF_A_MONTH / u64::from(months),
        };
        Sum::from(amount).times(i128::from(parts))
    }
}

impl Lifetime {
    /// Takes `lifetime` and what belongs to it.
    pub fn take(fields: &mut Fields) -> Result<Option<Self>> {
        let wanted = fields.take("lifetime").map_or(Ok(false), Node::boolean)?;
        let (after, by, period) = (fields.take("lost_after"), fields.take("lost_by"), fields.take("period"));
        if !wanted {
            return match after.or(by).or(period) {
                None => Ok(None),
                Some(node) => {
                    let error = node.error("not_used", "this is of use with \"lifetime\" only");
                    Err(error.hint("add \"lifetime\": true"))
                }
            };
        }
        let lost = match (after, by) {
            (Some(_), Some(by)) => {
                return Err(by.error("not_used", "people are lost after a time or by an event, not by both"));
            }
            (None, None) => Lost::After(LOST_AFTER_DEFAULT),
            (Some(after), None) => {
                let at = after.at.clone();
                Lost::After(parse_duration(&after.text()?).map_err(|e: Error| e.at(at))?)
            }
            (None, Some(by)) => Lost::By(by.names(limits::STEP_EVENTS_MAX)?),
        };
        let period = period.map(Node::name).transpose()?.unwrap_or_else(|| PERIOD_DEFAULT.to_owned());
        Ok(Some(Self { lost, period }))
    }

    /// The fields of the resolved definition.
    pub fn fields(&self, out: &mut Json) {
        let mut put = |name: &str, value: Json| out.set(name, value);
        put("lifetime", true.into());
        match &self.lost {
            Lost::After(after) => put("lost_after", duration_text(*after).into()),
            Lost::By(events) => put("lost_by", events.iter().collect()),
        }
        put("period", self.period.as_str().into());
    }
}

/// Where a person stands at an instant.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Whether a payment still counts.
    pub paying: bool,
    /// Whether there was any payment yet.
    pub paid: bool,
    /// Recurring revenue in parts of a month's amount.
    pub recurring: Sum,
    /// Whether there was any payment for a period yet.
    pub subscribed: bool,
}

/// What happens to a person in a unit of time, or at its borders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Movement {
    /// Paying when it begins.
    AtStart,
    /// Paying at its end, for the first time.
    Gained,
    /// Paying at its end again.
    Regained,
    /// Paying when it begins and at its end.
    Kept,
    /// No longer paying at its end.
    Lost,
    /// Paying at its end.
    AtEnd,
    /// Recurring revenue where there never was any.
    New,
    /// Recurring revenue again.
    Reactivation,
    /// More of it than at the beginning.
    Expansion,
    /// Less.
    Contraction,
    /// None any more.
    Churn,
}

impl Movement {
    /// All of them by name.
    pub const NAMES: [(&'static str, Self); 11] = [
        ("at_start", Self::AtStart),
        ("gained", Self::Gained),
        ("regained", Self::Regained),
        ("kept", Self::Kept),
        ("lost", Self::Lost),
        ("at_end", Self::AtEnd),
        ("new", Self::New),
        ("reactivation", Self::Reactivation),
        ("expansion", Self::Expansion),
        ("contraction", Self::Contraction),
        ("churn", Self::Churn),
    ];

    /// What becomes of somebody between two instants: the movement of the person, and that of the revenue.
    pub fn between(before: &Standing, after: &Standing) -> (Option<Self>, Option<Self>) {
        let person = match (before.paying, after.paying) {
            (false, false) => None,
            (false, true) if before.paid => Some(Self::Regained),
            (false, true) => Some(Self::Gained),
            (true, true) => Some(Self::Kept),
            (true, false) => Some(Self::Lost),
        };
        let (old, new) = (before.recurring, after.recurring);
        let revenue = match (old.is_positive(), new.is_positive()) {
            (false, true) if before.subscribed => Some(Self::Reactivation),
            (false, true) => Some(Self::New),
            (true, false) => Some(Self::Churn),
            _ if new > old => Some(Self::Expansion),
            _ if new < old => Some(Self::Contraction),
            _ => None,
        };
        (person, revenue)
    }

    /// Whether somebody who stood and stands so is of this movement.
    pub fn is_of(self, before: &Standing, after: &Standing) -> bool {
        let (person, revenue) = Self::between(before, after);
        match self {
            Self::AtStart => before.paying,
            Self::AtEnd => after.paying,
            _ => person == Some(self) || revenue == Some(self),
        }
    }
}

/// What moved in one unit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moves {
    at_start: u64,
    gained: u64,
    regained: u64,
    kept: u64,
    lost: u64,
    before: Sum,
    new: Sum,
    reactivation: Sum,
    expansion: Sum,
    contraction: Sum,
    churn: Sum,
}

impl Moves {
    /// Adds what became of a person.
    pub fn add(&mut self, before: &Standing, after: &Standing) -> Result<()> {
        let (person, revenue) = Movement::between(before, after);
        self.at_start += u64::from(before.paying);
        match person {
            Some(Movement::Gained) => self.gained += 1,
            Some(Movement::Regained) => self.regained += 1,
            Some(Movement::Kept) => self.kept += 1,
            Some(Movement::Lost) => self.lost += 1,
            _ => {}
        }
        self.before.add_sum(before.recurring)?;
        let (old, new) = (before.recurring, after.recurring);
        match revenue {
            Some(Movement::New) => self.new.add_sum(new),
            Some(Movement::Reactivation) => self.reactivation.add_sum(new),
            Some(Movement::Expansion) => self.expansion.add_sum(difference(new, old)?),
            Some(Movement::Contraction) => self.contraction.add_sum(difference(old, new)?),
            Some(Movement::Churn) => self.churn.add_sum(old),
            _ => Ok(()),
        }
    }

    fn after(&self) -> Result<Sum> {
        let mut after = self.before;
        for more in [self.new, self.reactivation, self.expansion] {
            after.add_sum(more)?;
        }
        for less in [self.contraction, self.churn] {
            after.add_sum(less.times(-1)?)?;
        }
        Ok(after)
    }

    fn at_end(&self) -> u64 {
        self.kept + self.gained + self.regained
    }
}

fn difference(mut a: Sum, b: Sum) -> Result<Sum> {
    a.add_sum(b.times(-1)?)?;
    Ok(a)
}

impl Tally for Moves {
    fn merge(&mut self, other: Self) -> Result<()> {
        self.at_start += other.at_start;
        self.gained += other.gained;
        self.regained += other.regained;
        self.kept += other.kept;
        self.lost += other.lost;
        for (mine, theirs) in [
            (&mut self.before, other.before),
            (&mut self.new, other.new),
            (&mut self.reactivation, other.reactivation),
            (&mut self.expansion, other.expansion),
            (&mut self.contraction, other.contraction),
            (&mut self.churn, other.churn),
        ] {
            mine.add_sum(theirs)?;
        }
        Ok(())
    }

    fn size(&self) -> u64 {
        self.at_start + self.gained + self.regained
    }
}

/// People who go on as they are, from one unit to another.
#[derive(Clone, Copy, Debug, Default)]
struct Steady {
    people: i64,
    recurring: Sum,
}

/// What some people add to the report.
#[derive(Clone, Debug, Default)]
pub struct LifetimeTally {
    moves: BTreeMap<i64, Moves>,
    /// By unit how many more go on from it than into it.
    steady: BTreeMap<i64, Steady>,
    revenue_by_unit: BTreeMap<i64, Sum>,
    revenue: Sum,
    customers: u64,
    current: u64,
    recurring: Sum,
    /// Payments for a period that is not known.
    pub unknown_periods: u64,
}

impl LifetimeTally {
    /// Adds what became of a person in a unit in which something changed.
    pub fn moved(&mut self, unit: i64, before: &Standing, after: &Standing) -> Result<()> {
        self.moves.entry(unit).or_default().add(before, after)
    }

    /// Adds a person for whom nothing changes from the unit `from` until before the unit `to`.
    pub fn stays(&mut self, from: i64, to: i64, standing: &Standing) -> Result<()> {
        if from < to && standing.paying {
            for (unit, sign) in [(from, 1), (to, -1)] {
                let steady = self.steady.entry(unit).or_default();
                steady.people += i64::from(sign);
                steady.recurring.add_sum(standing.recurring.times(i128::from(sign))?)?;
            }
        }
        Ok(())
    }

    /// Adds an amount of somebody who ever paid.
    pub fn amount(&mut self, unit: i64, amount: Number) -> Result<()> {
        self.revenue.add(amount)?;
        self.revenue_by_unit.entry(unit).or_default().add(amount)
    }

    /// Adds somebody who ever paid, as of now.
    pub fn customer(&mut self, now: &Standing) -> Result<()> {
        self.customers += 1;
        self.current += u64::from(now.paying);
        self.recurring.add_sum(now.recurring)
    }

    /// Adds what other people add.
    pub fn merge(&mut self, other: Self) -> Result<()> {
        for (unit, moves) in other.moves {
            self.moves.entry(unit).or_default().merge(moves)?;
        }
        for (unit, steady) in other.steady {
            let mine = self.steady.entry(unit).or_default();
            mine.people += steady.people;
            mine.recurring.add_sum(steady.recurring)?;
        }
        for (unit, sum) in other.revenue_by_unit {
            self.revenue_by_unit.entry(unit).or_default().add_sum(sum)?;
        }
        self.revenue.add_sum(other.revenue)?;
        self.customers += other.customers;
        self.current += other.current;
        self.recurring.add_sum(other.recurring)?;
        self.unknown_periods += other.unknown_periods;
        Ok(())
    }

    /// The first and the last unit in which anything changed.
    pub fn span(&self) -> Option<(i64, i64)> {
        self.moves.keys().next().copied().zip(self.moves.keys().last().copied())
    }
}

/// What a revenue report says about lifetimes.
#[derive(Clone, Debug, Serialize)]
pub struct LifetimeReport {
    /// People who ever paid.
    pub customers: u64,
    /// People who pay now.
    pub current: u64,
    /// Recurring revenue in a month, now.
    pub mrr: String,
    /// Revenue of people who ever paid, over all time.
    pub revenue: String,
    /// That over these people.
    pub ltv: Option<String>,
    /// What one is expected to bring: revenue of a unit for each paying person, over the churn of a unit.
    pub ltv_expected: Option<String>,
    /// Of those who paid at the beginning of a unit, the part that was lost, over all complete units shown.
    pub churn: Option<f64>,
    /// Unit by unit.
    pub series: Vec<LifetimePoint>,
}

/// One unit.
#[derive(Clone, Debug, Serialize)]
pub struct LifetimePoint {
    /// Its first day.
    pub start: String,
    /// Whether it is over.
    pub complete: bool,
    /// People who pay when it begins.
    pub at_start: u64,
    /// Who came to pay for the first time.
    pub gained: u64,
    /// Who came to pay again.
    pub regained: u64,
    /// Who went on paying.
    pub kept: u64,
    /// Who stopped.
    pub lost: u64,
    /// People who pay at its end.
    pub at_end: u64,
    /// `lost` over `at_start`.
    pub churn: Option<f64>,
    /// How recurring revenue moved.
    pub mrr: Recurring,
}

/// How recurring revenue moved: `start + new + reactivation + expansion - contraction - churn = end`.
#[derive(Clone, Debug, Serialize)]
pub struct Recurring {
    start: String,
    new: String,
    reactivation: String,
    expansion: String,
    contraction: String,
    churn: String,
    end: String,
}

impl Recurring {
    fn new(moves: &Moves) -> Result<Self> {
        Ok(Self {
            start: monthly(moves.before)?,
            new: monthly(moves.new)?,
            reactivation: monthly(moves.reactivation)?,
            expansion: monthly(moves.expansion)?,
            contraction: monthly(moves.contraction)?,
            churn: monthly(moves.churn)?,
            end: monthly(moves.after()?)?,
        })
    }
}

/// The amount of a month, from parts of it.
fn monthly(parts: Sum) -> Result<String> {
    Ok(quotient(parts, PARTS_OF_A_MONTH)?.unwrap_or_default())
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

impl LifetimeReport {
    /// Makes the report of the units of `shown`: number, first day, whether it is over.
    pub fn new(tally: &LifetimeTally, shown: impl Iterator<Item = (i64, String, bool)>) -> Result<Self> {
        let mut series = Vec::new();
        let (mut active, mut at_start, mut lost, mut revenue) = (0, 0, 0, Sum::default());
        let mut steady = Steady::default();
        let mut changes = tally.steady.iter().peekable();
        for (unit, start, complete) in shown {
            while let Some((_, change)) = changes.next_if(|(at, _)| **at <= unit) {
                steady.people += change.people;
                steady.recurring.add_sum(change.recurring)?;
            }
            let mut moves = tally.moves.get(&unit).copied().unwrap_or_default();
            let people = u64::try_from(steady.people).unwrap_or(0);
            moves.at_start += people;
            moves.kept += people;
            moves.before.add_sum(steady.recurring)?;
            if complete {
                active += moves.size();
                at_start += moves.at_start;
                lost += moves.lost;
                revenue.add_sum(tally.revenue_by_unit.get(&unit).copied().unwrap_or_default())?;
            }
            series.push(LifetimePoint {
                start,
                complete,
                at_start: moves.at_start,
                gained: moves.gained,
                regained: moves.regained,
                kept: moves.kept,
                lost: moves.lost,
                at_end: moves.at_end(),
                churn: share(moves.lost, moves.at_start),
                mrr: Recurring::new(&moves)?,
            });
        }
        let expected = active.checked_mul(lost).filter(|divisor| *divisor > 0);
        let expected = expected.map(|divisor| quotient(revenue.times(i128::from(at_start))?, divisor));
        Ok(Self {
            customers: tally.customers,
            current: tally.current,
            mrr: monthly(tally.recurring)?,
            revenue: tally.revenue.to_string(),
            ltv: quotient(tally.revenue, tally.customers)?,
            ltv_expected: expected.transpose()?.flatten(),
            churn: share(lost, at_start),
            series,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Value;

    #[test]
    fn periods_have_names_and_numbers_of_months() {
        let of = |value: Value| Period::of(value.as_ref());
        assert_eq!(of("Monthly".into()), Some(Period::Months(1)));
        assert_eq!(of(" annual ".into()), Some(Period::Months(12)));
        assert_eq!(of("3".into()), Some(Period::Months(3)));
        assert_eq!(of(Value::Number(Number::from(6))), Some(Period::Months(6)));
        assert_eq!(of("weekly".into()), Some(Period::Week));
        for none in ["fortnight", "", "0", "5", "-1"] {
            assert_eq!(of(none.into()), None, "{none}");
        }
        let parts = |period: Period, amount| period.monthly(Number::from(amount)).unwrap().to_string();
        assert_eq!(parts(Period::Months(12), 120), "240");
        assert_eq!(parts(Period::Week, 3), "312", "13 a month");
    }

    #[test]
    fn fields_that_mean_nothing_are_refused() {
        let take = |text: &str| Lifetime::take(&mut Node::parse(text).unwrap().object().unwrap());
        assert!(take("{}").unwrap().is_none());
        for (text, code, at) in [
            (r#"{"lost_after":"30d"}"#, "not_used", "lost_after"),
            (r#"{"lifetime":true,"lost_after":"30d","lost_by":"X"}"#, "not_used", "lost_by"),
            (r#"{"lifetime":true,"lost_after":"soon"}"#, "bad_duration", "lost_after"),
        ] {
            let error = take(text).unwrap_err();
            assert_eq!((error.code(), error.place()), (code, Some(at)), "{text}");
        }
    }
}
