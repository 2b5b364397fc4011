//! The calendar units that a report shows one by one.

use crate::error::{Error, Result};
use crate::limits::{COHORTS_MAX, SERIES_POINTS_MAX};
use crate::model::{Calendar, Millis, Unit};
use crate::report::{Basis, Warning};

/// How many units are shown at most, and what they are.
pub struct Bound {
    most: usize,
    what: &'static str,
    /// The field that says how long they are.
    at: &'static str,
}

/// Of a series.
const POINTS: Bound = Bound { most: SERIES_POINTS_MAX, what: "points", at: "unit" };

/// Of the rows of cohorts.
pub const COHORTS: Bound = Bound { most: COHORTS_MAX, what: "cohorts", at: "cohort" };

impl Bound {
    /// The first unit that is shown of those from `first` to `last`. Where nobody asked from when, the last ones are shown, and a warning
    /// says so: one record with the clock of another decade must not take a report from everybody.
    pub fn first_shown(
        &self,
        calendar: &Calendar,
        unit: Unit,
        basis: &Basis,
        (first, last): (i64, i64),
        warnings: &mut Vec<Warning>,
    ) -> Result<i64> {
        let Self { most, what, at } = *self;
        let shown = last - most as i64 + 1;
        if first >= shown {
            return Ok(first);
        }
        if basis.period.from.is_some() {
            let error = Error::invalid("out_of_range", format!("there would be more than {most} {what}"));
            return Err(error.at(at).hint("a larger unit, or a shorter range"));
        }
        // Two series of one report are one matter.
        if !warnings.iter().any(|warning| warning.at == at) {
            let message = format!(
                "there is more than {most} {what}: those from {} on are shown",
                calendar.date(unit, shown)
            );
            let hint = Some("a larger unit, or a range that says from when".to_owned());
            warnings.push(Warning { at: at.to_owned(), message, hint });
        }
        Ok(shown)
    }
}

/// From the unit of `from`, or of the first data, to the unit of the last instant before `to`, or of the last data; never past `as_of`.
/// `data` are the first and the last unit with data. A day that the zone never had is none.
pub fn range_of_units(
    calendar: &Calendar,
    unit: Unit,
    basis: &Basis,
    as_of: Millis,
    data: Option<(i64, i64)>,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<i64>> {
    let end = basis.seen_to(as_of).saturating_sub(1);
    let first = basis.period.from.map(|from| calendar.number(unit, from)).or(data.map(|d| d.0));
    let last = basis.period.to.map(|_| calendar.number(unit, end)).or(data.map(|d| d.1));
    // Nothing was asked for and nothing is there.
    let (Some(first), Some(last)) = (first, last) else { return Ok(Vec::new()) };
    let first = POINTS.first_shown(calendar, unit, basis, (first, last), warnings)?;
    Ok((first..=last).filter(|number| calendar.has(unit, *number)).collect())
}
