//! Calendar units as the oracle has them: asked of the calendar library, day by day.

use jiff::{Timestamp, ToSpan, civil::Date, civil::Weekday, tz::TimeZone};
use serde_json::{Map, Value as Json};

use super::oracle_query::{Range, field, text, wrong};
use crate::error::{Error, Result};
use crate::model::Millis;

/// The units of a query.
pub(super) struct Units {
    zone: TimeZone,
    unit: String,
    week_start: Weekday,
}

fn failed(e: jiff::Error) -> Error {
    wrong(&e.to_string())
}

/// Whether a zone has had a day at all: Samoa left out 2011-12-30.
pub(super) fn is_there(day: Date, zone: &TimeZone) -> Result<bool> {
    Ok(day.to_zoned(zone.clone()).map_err(failed)?.date() == day)
}

impl Units {
    /// Reads `tz`, `unit` and `week_start`.
    pub(super) fn read(map: &Map<String, Json>, default: &str) -> Result<Self> {
        let zone = TimeZone::get(text(map, "tz")?.unwrap_or("UTC")).map_err(failed)?;
        let week_start = match field(map, "week_start").and_then(Json::as_str) {
            Some("sunday") => Weekday::Sunday,
            _ => Weekday::Monday,
        };
        Ok(Self { zone, unit: text(map, "unit")?.unwrap_or(default).to_owned(), week_start })
    }

    /// The first day of the unit that holds `t`.
    pub(super) fn day_of(&self, t: Millis) -> Result<Date> {
        let stamp = Timestamp::from_millisecond(t).map_err(failed)?;
        let mut date = stamp.to_zoned(self.zone.clone()).date();
        match self.unit.as_str() {
            "day" => {}
            "week" => {
                while date.weekday() != self.week_start {
                    date = date.yesterday().map_err(failed)?;
                }
            }
            _ => date = date.first_of_month(),
        }
        Ok(date)
    }

    /// Whether the zone has had the day at all, where units are days.
    fn has(&self, day: Date) -> Result<bool> {
        Ok(self.unit != "day" || is_there(day, &self.zone)?)
    }

    /// The first day of the unit before.
    pub(super) fn before(&self, day: Date) -> Result<Date> {
        let mut before = self.later(day, -1)?;
        while !self.has(before)? {
            before = self.later(before, -1)?;
        }
        Ok(before)
    }

    /// The first day `count` units later.
    fn later(&self, day: Date, count: i64) -> Result<Date> {
        let span = match self.unit.as_str() {
            "day" => count.days(),
            "week" => count.weeks(),
            _ => count.months(),
        };
        day.checked_add(span).map_err(failed)
    }

    /// The units that are shown, where `days` are those with data.
    pub(super) fn shown(&self, range: Range, as_of: Millis, days: &[Date]) -> Result<Vec<Date>> {
        let end = range.to.map_or(as_of, |to| as_of.min(to - 1));
        let first = range.from.map(|t| self.day_of(t)).transpose()?.or(days.iter().min().copied());
        let last = range.to.map(|_| self.day_of(end)).transpose()?.or(days.iter().max().copied());
        let mut out = Vec::new();
        if let (Some(mut day), Some(last)) = (first, last) {
            while day <= last {
                out.extend(self.has(day)?.then_some(day));
                day = self.later(day, 1)?;
            }
        }
        Ok(out)
    }
}
