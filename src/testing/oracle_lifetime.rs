//! The oracle's lifetimes: for every unit and person two instants, and at each all payments looked through.

use jiff::{Timestamp, ToSpan, civil::Date};
use serde_json::{Value as Json, json};

use super::oracle::{Oracle, Person, sum};
use super::oracle_audience;
use super::oracle_query::{field, text, wrong};
use super::oracle_revenue::{Query, failed};
use crate::error::Result;
use crate::model::{Millis, Number, Sum, Value, parse_duration};

/// A payment, until when it counts, and if it is for a period what it is in a month, in 24th parts.
struct Payment {
    time: Millis,
    until: Millis,
    recurring: Option<Number>,
}

/// Somebody who ever paid.
struct Customer<'a> {
    person: Person<'a>,
    payments: Vec<Payment>,
    amounts: Vec<(Date, Number)>,
}

/// Where somebody stands: paying, ever paid, recurring revenue, ever subscribed.
type Standing = (bool, bool, Sum, bool);

fn times(n: Number, factor: i128) -> Number {
    Number::new(n.mantissa() * factor, n.scale())
}

/// Weeks as 0, or months.
fn period(value: Option<&Value>) -> Option<i64> {
    let name = value.filter(|v| !matches!(v, Value::Bool(_)))?.to_string().trim().to_lowercase();
    match name.as_str() {
        "week" => Some(0),
        "month" => Some(1),
        "annual" => Some(12),
        "2" => Some(2),
        _ => None,
    }
}

fn shifted(query: &Query, t: Millis, period: Option<i64>) -> Result<Millis> {
    let span = match period {
        None => return Ok(t),
        Some(0) => 7.days(),
        Some(months) => months.months(),
    };
    let local = Timestamp::from_millisecond(t).map_err(failed)?.to_zoned(query.zone.clone()).datetime();
    let later = local.checked_add(span).map_err(failed)?;
    Ok(later.to_zoned(query.zone.clone()).map_err(failed)?.timestamp().as_millisecond())
}

fn until(query: &Query, person: &Person<'_>, time: Millis, period: Option<i64>) -> Result<Millis> {
    let seen = query.scope.as_of;
    match field(&query.map, "lost_by") {
        Some(names) => {
            let names: Vec<&str> = names.as_array().into_iter().flatten().filter_map(Json::as_str).collect();
            let ends =
                person.events.iter().filter(|e| e.time <= seen && names.contains(&e.name)).map(|e| e.time);
            Ok(ends.filter(|t| *t > time).min().unwrap_or(Millis::MAX))
        }
        None => {
            let after = parse_duration(text(&query.map, "lost_after")?.unwrap_or("30d"))?;
            Ok(shifted(query, time, period)? + after)
        }
    }
}

fn customers<'a>(oracle: &'a Oracle, query: &Query) -> Result<Vec<Customer<'a>>> {
    let property = text(&query.map, "property")?.unwrap_or("Revenue");
    let period_of = text(&query.map, "period")?.unwrap_or("Billing Period");
    let mut out = Vec::new();
    for person in oracle.everybody() {
        if let Some(audience) = field(&query.map, "people")
            && !oracle_audience::holds(audience, &person, &query.scope)?
        {
            continue;
        }
        let (mut payments, mut amounts) = (Vec::new(), Vec::new());
        for event in person.events.iter().filter(|e| e.time <= query.scope.as_of) {
            let Some(Value::Number(amount)) = event.property(property) else { continue };
            amounts.push((query.day_of(event.time)?, *amount));
            if amount.mantissa() <= 0 {
                continue;
            }
            let period = period(event.property(period_of));
            let recurring = period.map(|p| times(*amount, if p == 0 { 104 } else { i128::from(24 / p) }));
            payments.push(Payment {
                time: event.time,
                until: until(query, &person, event.time, period)?,
                recurring,
            });
        }
        if !payments.is_empty() {
            out.push(Customer { person, payments, amounts });
        }
    }
    Ok(out)
}

impl Customer<'_> {
    fn at(&self, x: Millis) -> Standing {
        let paying = self.payments.iter().any(|p| p.time <= x && x < p.until);
        let paid = self.payments.iter().any(|p| p.time <= x);
        let latest =
            self.payments.iter().filter(|p| p.time <= x && p.recurring.is_some()).map(|p| p.time).max();
        let counted: Vec<&Payment> =
            self.payments.iter().filter(|p| Some(p.time) == latest && p.recurring.is_some()).collect();
        let recurring = if counted.iter().any(|p| x < p.until) {
            sum(counted.iter().filter_map(|p| p.recurring))
        } else {
            Sum::ZERO
        };
        (paying, paid, recurring, latest.is_some())
    }

    /// Every unit in which anything changes.
    fn days(&self, query: &Query) -> Result<Vec<Date>> {
        let changes = self.payments.iter().flat_map(|p| [p.time, p.until]);
        changes.filter(|t| *t <= query.scope.as_of).map(|t| query.day_of(t)).collect()
    }
}

/// The last instant before the unit of `day`, and its own last that is seen.
fn borders(query: &Query, day: Date) -> Result<(Millis, Millis, bool)> {
    let start = |day: Date| -> Result<Millis> {
        Ok(day.to_zoned(query.zone.clone()).map_err(failed)?.timestamp().as_millisecond())
    };
    let (begin, end) = (start(day)? - 1, start(query.next(day)?)? - 1);
    Ok((begin, end.min(query.scope.as_of), end <= query.scope.as_of))
}

/// Whether somebody moved so.
fn moved(which: &str, before: Standing, after: Standing) -> Result<bool> {
    let (old, new) = (before.2.is_positive(), after.2.is_positive());
    Ok(match which {
        "at_start" => before.0,
        "at_end" => after.0,
        "gained" => !before.0 && after.0 && !before.1,
        "regained" => !before.0 && after.0 && before.1,
        "kept" => before.0 && after.0,
        "lost" => before.0 && !after.0,
        "new" => !old && new && !before.3,
        "reactivation" => !old && new && before.3,
        "expansion" => old && new && after.2 > before.2,
        "contraction" => old && new && after.2 < before.2,
        "churn" => old && !new,
        _ => return Err(wrong(which)),
    })
}

/// What the answer says of lifetimes. Quotients are floats: they are compared with tolerance.
pub(super) fn report(oracle: &Oracle, query: &Query) -> Result<Json> {
    let customers = customers(oracle, query)?;
    let now: Vec<Standing> = customers.iter().map(|c| c.at(query.scope.as_of)).collect();
    let revenue = sum(customers.iter().flat_map(|c| c.amounts.iter().map(|(_, n)| *n)));
    let mut days = Vec::new();
    for customer in &customers {
        days.extend(customer.days(query)?);
    }
    let end = query.range.to.map_or(query.scope.as_of, |to| query.scope.as_of.min(to - 1));
    let first = query.range.from.map(|t| query.day_of(t)).transpose()?.or(days.iter().min().copied());
    let last = query.range.to.map(|_| query.day_of(end)).transpose()?.or(days.iter().max().copied());
    let mut series = Vec::new();
    let (mut active, mut at_start, mut lost, mut earned) = (0.0, 0.0, 0.0, Sum::ZERO);
    if let (Some(mut day), Some(last)) = (first, last) {
        while day <= last {
            let (before, after, complete) = borders(query, day)?;
            let pairs: Vec<(Standing, Standing)> =
                customers.iter().map(|c| (c.at(before), c.at(after))).collect();
            let of = |which: &str| -> Result<Vec<(Standing, Standing)>> {
                let mut found = Vec::new();
                for (a, b) in &pairs {
                    if moved(which, *a, *b)? {
                        found.push((*a, *b));
                    }
                }
                Ok(found)
            };
            let mut point = json!({"start": day.to_string(), "complete": complete});
            for which in ["at_start", "gained", "regained", "kept", "lost", "at_end"] {
                point[which] = of(which)?.len().into();
            }
            let count = |which: &str| of(which).map_or(0.0, |list| list.len() as f64);
            point["churn"] =
                if count("at_start") > 0.0 { json!(count("lost") / count("at_start")) } else { Json::Null };
            let mut mrr = json!({
                "start": json!(sum(pairs.iter().map(|(a, _)| a.2)).to_f64() / 24.0),
                "end": json!(sum(pairs.iter().map(|(_, b)| b.2)).to_f64() / 24.0),
            });
            for which in ["new", "reactivation", "expansion", "contraction", "churn"] {
                let change =
                    of(which)?.into_iter().map(|(a, b)| (b.2.to_f64() - a.2.to_f64()).abs()).sum::<f64>();
                mrr[which] = json!(change / 24.0);
            }
            point["mrr"] = mrr;
            series.push(point);
            if complete {
                active += count("at_start") + count("gained") + count("regained");
                at_start += count("at_start");
                lost += count("lost");
                let here =
                    customers.iter().flat_map(|c| &c.amounts).filter(|(d, _)| *d == day).map(|(_, n)| *n);
                earned = sum([earned, sum(here)]);
            }
            day = query.next(day)?;
        }
    }
    let share = |a: f64, b: f64| if b > 0.0 { json!(a / b) } else { Json::Null };
    let expected = earned.to_f64() * at_start / (active * lost);
    Ok(json!({
        "customers": customers.len(),
        "current": now.iter().filter(|s| s.0).count(),
        "mrr": json!(sum(now.iter().map(|s| s.2)).to_f64() / 24.0),
        "revenue": revenue.to_string(),
        "ltv": if customers.is_empty() { Json::Null } else { json!(revenue.to_f64() / customers.len() as f64) },
        "ltv_expected": if lost > 0.0 && active > 0.0 { json!(expected) } else { Json::Null },
        "churn": share(lost, at_start),
        "series": series,
    }))
}

/// Who is behind a number of it.
pub(super) fn people(oracle: &Oracle, query: &Query, which: &str, start: Option<&str>) -> Result<Json> {
    let mut people = Vec::new();
    for customer in customers(oracle, query)? {
        let wanted = match which {
            "customers" => true,
            "current" => customer.at(query.scope.as_of).0,
            _ => {
                let day: Date = start.unwrap_or("").parse().map_err(failed)?;
                let (before, after, _) = borders(query, day)?;
                before < query.scope.as_of && moved(which, customer.at(before), customer.at(after))?
            }
        };
        if wanted {
            people.push(json!({"person": customer.person.display, "identities": customer.person.identities}));
        }
    }
    Ok(json!({"total": people.len(), "people": people}))
}
