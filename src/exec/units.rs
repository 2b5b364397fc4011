//! The calendar units that a series shows.

use crate::error::{Error, Result};
use crate::limits::SERIES_POINTS_MAX;
use crate::model::{Calendar, Millis, Unit};
use crate::report::Basis;

/// From the unit of `from`, or of the first data, to the unit of the last instant before `to`, or of the last data; never past `as_of`.
/// `data` are the first and the last unit with data. A day that the zone never had is none.
pub fn range_of_units(
    calendar: &Calendar,
    unit: Unit,
    basis: &Basis,
    as_of: Millis,
    data: Option<(i64, i64)>,
) -> Result<Vec<i64>> {
    let end = basis.seen_to(as_of).saturating_sub(1);
    let first = basis.period.from.map(|from| calendar.number(unit, from)).or(data.map(|d| d.0));
    let last = basis.period.to.map(|_| calendar.number(unit, end)).or(data.map(|d| d.1));
    // Nothing was asked for and nothing is there.
    let (Some(first), Some(last)) = (first, last) else { return Ok(Vec::new()) };
    if last - first >= SERIES_POINTS_MAX as i64 {
        let message = format!("there would be more than {SERIES_POINTS_MAX} points");
        return Err(Error::invalid("out_of_range", message)
            .at("unit")
            .hint("a larger unit, or a shorter range"));
    }
    Ok((first..=last).filter(|number| calendar.has(unit, *number)).collect())
}
