//! Calendar days, weeks and months of a zone, and a person's own periods counted from an instant. The zone's changes of offset are
//! laid out as tables once, so that placing an instant costs a search in a few numbers and no call per event.

use std::sync::OnceLock;

use super::time::{Millis, Zone};
use crate::error::Result;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// Years that the tables cover: what records can have, and the periods after them.
const YEARS: std::ops::RangeInclusive<i16> = 1969..=2199;

/// A unit of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// From midnight to midnight.
    Day,
    /// Seven days, from Monday unless set.
    Week,
    /// A month.
    Month,
}

impl Unit {
    /// Its name in a definition.
    pub fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }
}

/// The days on which weeks can begin, in the order of their numbers.
pub const WEEKDAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// A change of a zone's offset.
#[derive(Clone, Copy, Debug)]
struct Change {
    /// The instant from which the offset holds.
    at: Millis,
    /// The first local time that is read with it. Local times that are skipped or come twice are read with the offset before,
    /// as RFC 5545 has it.
    local: i64,
    /// Milliseconds that local time is ahead of UTC.
    offset: i64,
}

/// All months, the same for every zone.
#[derive(Debug)]
struct Months {
    /// The first day of each, in days since the epoch, from January of the first year on.
    starts: Vec<i64>,
    /// The month of each day, from the first one on.
    of_day: Vec<u16>,
}

impl Months {
    fn all() -> &'static Self {
        static ALL: OnceLock<Months> = OnceLock::new();
        ALL.get_or_init(|| {
            let mut starts = Vec::new();
            let mut of_day = Vec::new();
            let epoch = jiff::civil::date(1970, 1, 1);
            for (number, (year, month)) in (0u16..).zip(YEARS.flat_map(|y| (1..=12).map(move |m| (y, m)))) {
                let first = jiff::civil::date(year, month, 1);
                // Dates of these years are some thousand days apart.
                let day = (first - epoch).get_days();
                starts.push(i64::from(day));
                of_day.extend((0..first.days_in_month()).map(|_| number));
            }
            Self { starts, of_day }
        })
    }

    /// The month of a day; the first or the last for days outside.
    #[inline]
    fn of(&self, day: i64) -> i64 {
        let last = self.of_day.len().saturating_sub(1);
        let place = usize::try_from(day - self.start(0)).unwrap_or(0).min(last);
        self.of_day.get(place).map_or(0, |month| i64::from(*month))
    }

    /// The first day of a month, or of the nearest that there is.
    fn start(&self, number: i64) -> i64 {
        let last = self.starts.len().saturating_sub(1);
        let place = usize::try_from(number).unwrap_or(0).min(last);
        self.starts.get(place).copied().unwrap_or(0)
    }
}

/// The calendar of a zone.
#[derive(Clone, Debug)]
pub struct Calendar {
    changes: Vec<Change>,
    first_offset: i64,
    months: &'static Months,
    week_start: i64,
    /// Days that the zone never had, as a zone that moves over the date line leaves one out.
    skipped: Vec<i64>,
}

impl Calendar {
    /// The calendar of `zone`, with weeks that begin on the day `week_start` of [`WEEKDAYS`].
    pub fn new(zone: &Zone, week_start: u8) -> Result<Self> {
        let (first_offset, found) = zone.offsets(i64::from(*YEARS.start()), i64::from(*YEARS.end()));
        let mut before = first_offset;
        let mut changes = Vec::with_capacity(found.len());
        for (at, offset) in found {
            changes.push(Change { at, local: at + before.max(offset), offset });
            before = offset;
        }
        let week_start = i64::from(week_start);
        let mut calendar =
            Self { changes, first_offset, months: Months::all(), week_start, skipped: Vec::new() };
        calendar.skipped = calendar.days_without_length();
        Ok(calendar)
    }

    /// The days that lie wholly in a local time that clocks left out.
    fn days_without_length(&self) -> Vec<i64> {
        let mut before = self.first_offset;
        let mut skipped = Vec::new();
        for change in &self.changes {
            let days = (change.at + before).div_euclid(DAY)..=(change.at + change.offset).div_euclid(DAY);
            let long = change.offset - before >= DAY;
            let lost = |day: &i64| self.start(Unit::Day, *day) == self.start(Unit::Day, day + 1);
            skipped.extend(days.filter(|day| long && lost(day)));
            before = change.offset;
        }
        skipped
    }

    /// Whether a unit has any instant: some zones never had a certain day.
    pub fn has(&self, unit: Unit, number: i64) -> bool {
        unit != Unit::Day || !self.skipped.contains(&number)
    }

    /// The unit that follows.
    pub fn after(&self, unit: Unit, number: i64) -> i64 {
        (number + 1..).find(|next| self.has(unit, *next)).unwrap_or(number + 1)
    }

    /// How many units later than `from` the unit `to` is, which is not earlier.
    pub fn between(&self, unit: Unit, from: i64, to: i64) -> i64 {
        let skipped = self.skipped.iter().filter(|day| unit == Unit::Day && (from..to).contains(*day));
        to - from - skipped.count() as i64
    }

    /// The local time of an instant, in milliseconds as if the zone were UTC.
    fn local(&self, t: Millis) -> i64 {
        let place = self.changes.partition_point(|c| c.at <= t);
        let change = place.checked_sub(1).and_then(|at| self.changes.get(at));
        t + change.map_or(self.first_offset, |c| c.offset)
    }

    /// The instant of a local time.
    fn instant(&self, local: i64) -> Millis {
        let place = self.changes.partition_point(|c| c.local <= local);
        let change = place.checked_sub(1).and_then(|at| self.changes.get(at));
        local - change.map_or(self.first_offset, |c| c.offset)
    }

    /// The number of the unit that holds `t`. Numbers of a unit follow each other.
    pub fn number(&self, unit: Unit, t: Millis) -> i64 {
        let t = self.covered(t);
        let mut number = self.number_of_day(unit, self.local(t).div_euclid(DAY));
        if self.changes.is_empty() {
            return number;
        }
        // Where clocks go back over midnight a local date comes twice; the unit's first instant decides.
        while self.start(unit, number + 1) <= t {
            number += 1;
        }
        while self.start(unit, number) > t {
            number -= 1;
        }
        number
    }

    /// The first instant of a unit.
    pub fn start(&self, unit: Unit, number: i64) -> Millis {
        self.instant(self.first_day(unit, number) * DAY)
    }

    /// What a unit is called: `2025-01` for a month, else its first day.
    pub fn label(&self, unit: Unit, number: i64) -> String {
        let date = date_of(self.first_day(unit, number));
        match unit {
            Unit::Month => date.get(..7).unwrap_or(&date).to_owned(),
            Unit::Day | Unit::Week => date,
        }
    }

    /// The first day of a unit, as a date.
    pub fn date(&self, unit: Unit, number: i64) -> String {
        date_of(self.first_day(unit, number))
    }

    /// The instant `count` units after `t`: the same local time, on the last day of a month that is too short.
    pub fn shifted(&self, unit: Unit, t: Millis, count: i64) -> Millis {
        if count == 0 {
            return t;
        }
        let local = self.local(t);
        let (day, time) = (local.div_euclid(DAY), local.rem_euclid(DAY));
        let day = match unit {
            Unit::Day => day + count,
            Unit::Week => day + 7 * count,
            Unit::Month => {
                let month = self.number_of_day(Unit::Month, day);
                let of_month = day - self.months.start(month);
                let begin = self.months.start(month + count);
                begin + of_month.min(self.months.start(month + count + 1) - begin - 1)
            }
        };
        self.instant(day * DAY + time)
    }

    /// How many whole units lie between `from` and `to`, which is not earlier: the largest count whose shift of `from` is not
    /// after `to`.
    pub fn elapsed(&self, unit: Unit, from: Millis, to: Millis) -> i64 {
        let (from, to) = (self.covered(from), self.covered(to));
        let (a, b) = (self.local(from), self.local(to));
        let mut count = match unit {
            Unit::Day => (b - a).div_euclid(DAY),
            Unit::Week => (b - a).div_euclid(7 * DAY),
            Unit::Month => {
                self.number_of_day(Unit::Month, b.div_euclid(DAY))
                    - self.number_of_day(Unit::Month, a.div_euclid(DAY))
            }
        };
        if self.fixed_length(unit).is_some() {
            return count;
        }
        while self.shifted(unit, from, count + 1) <= to {
            count += 1;
        }
        while count > 0 && self.shifted(unit, from, count) > to {
            count -= 1;
        }
        count
    }

    /// How long every unit is, where all are equally long: weeks and days of a zone that never changes its clocks.
    pub fn fixed_length(&self, unit: Unit) -> Option<i64> {
        match unit {
            Unit::Day if self.changes.is_empty() => Some(DAY),
            Unit::Week if self.changes.is_empty() => Some(7 * DAY),
            _ => None,
        }
    }

    /// The nearest instant that the tables cover with a year to spare.
    fn covered(&self, t: Millis) -> Millis {
        let starts = &self.months.starts;
        let bound = |day: Option<&i64>| day.copied().unwrap_or(0) * DAY;
        t.clamp(bound(starts.get(12)), bound(starts.get(starts.len().saturating_sub(12))))
    }

    fn number_of_day(&self, unit: Unit, day: i64) -> i64 {
        match unit {
            Unit::Day => day,
            // 1970-01-01 was a Thursday.
            Unit::Week => (day + 3 - self.week_start).div_euclid(7),
            Unit::Month => self.months.of(day),
        }
    }

    fn first_day(&self, unit: Unit, number: i64) -> i64 {
        match unit {
            Unit::Day => number,
            Unit::Week => number * 7 - 3 + self.week_start,
            Unit::Month => self.months.start(number),
        }
    }
}

/// The date of a day since the epoch.
fn date_of(day: i64) -> String {
    let text = super::time::format_millis(day * DAY);
    text.get(..10).unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::time::{format_millis, parse_instant};
    use super::*;

    fn calendar(zone: &str) -> Calendar {
        Calendar::new(&Zone::parse(zone).unwrap(), 0).unwrap()
    }

    fn at(text: &str) -> Millis {
        parse_instant(text).unwrap()
    }

    #[test]
    fn units_begin_at_local_midnight_and_have_names() {
        let berlin = calendar("Europe/Berlin");
        let t = at("2025-03-30T22:30:00Z");
        for (unit, label, start) in [
            (Unit::Day, "2025-03-31", "2025-03-30T22:00:00Z"),
            (Unit::Week, "2025-03-31", "2025-03-30T22:00:00Z"),
            (Unit::Month, "2025-03", "2025-02-28T23:00:00Z"),
        ] {
            let number = berlin.number(unit, t);
            assert_eq!(berlin.label(unit, number), label);
            assert_eq!(format_millis(berlin.start(unit, number)), start);
        }
        let sundays = Calendar::new(&Zone::utc(), 6).unwrap();
        assert_eq!(sundays.label(Unit::Week, sundays.number(Unit::Week, t)), "2025-03-30");
    }

    #[test]
    fn a_day_that_a_zone_never_had_is_no_unit() {
        let apia = calendar("Pacific/Apia");
        let last = apia.number(Unit::Day, at("2011-12-30T09:59:59Z"));
        let next = apia.number(Unit::Day, at("2011-12-30T10:00:00Z"));
        assert_eq!([last, next].map(|day| apia.date(Unit::Day, day)), ["2011-12-29", "2011-12-31"]);
        assert_eq!((apia.after(Unit::Day, last), apia.between(Unit::Day, last, next)), (next, 1));
        assert!(!apia.has(Unit::Day, last + 1) && apia.has(Unit::Week, last + 1));
        assert_eq!(apia.skipped.len(), 1);
        for zone in ["UTC", "Europe/Berlin", "America/St_Johns"] {
            assert_eq!(calendar(zone).skipped, [0; 0], "{zone}");
        }
    }

    #[test]
    fn shifts_keep_the_local_time_and_stay_in_the_month() {
        let berlin = calendar("Europe/Berlin");
        for (from, unit, count, to) in [
            ("2025-03-29T12:00:00Z", Unit::Day, 1, "2025-03-30T11:00:00Z"),
            // 02:30 does not exist on the day: it is read with the offset before.
            ("2025-03-29T01:30:00Z", Unit::Day, 1, "2025-03-30T01:30:00Z"),
            // It comes twice in autumn: the first is taken.
            ("2025-10-25T00:30:00Z", Unit::Day, 1, "2025-10-26T00:30:00Z"),
            ("2025-01-31T10:00:00Z", Unit::Month, 1, "2025-02-28T10:00:00Z"),
            ("2025-01-31T10:00:00Z", Unit::Month, 2, "2025-03-31T09:00:00Z"),
            ("2025-03-25T10:00:00Z", Unit::Week, 1, "2025-04-01T09:00:00Z"),
        ] {
            assert_eq!(format_millis(berlin.shifted(unit, at(from), count)), to, "{from}");
        }
    }

    #[test]
    fn instants_out_of_all_reason_are_placed_at_the_ends() {
        for zone in ["UTC", "Europe/Berlin"] {
            let calendar = calendar(zone);
            for t in [Millis::MIN / 4, -1, 0, Millis::MAX / 4] {
                for unit in [Unit::Day, Unit::Week, Unit::Month] {
                    assert!(calendar.label(unit, calendar.number(unit, t)).len() >= 7);
                    assert!(calendar.elapsed(unit, 0, t) >= 0);
                }
            }
        }
    }

    /// Every shift and every number is compared with the calendar library, around all changes of three zones.
    #[test]
    fn tables_agree_with_the_calendar_library() {
        use jiff::{Timestamp, ToSpan, tz::TimeZone};
        for name in ["Europe/Berlin", "America/St_Johns", "Pacific/Apia", "Australia/Lord_Howe"] {
            let (calendar, zone) = (calendar(name), TimeZone::get(name).unwrap());
            for hours in (0..24 * 900).step_by(7) {
                let t = at("2009-10-01T00:15:00Z") + hours * HOUR;
                let zoned = Timestamp::from_millisecond(t).unwrap().to_zoned(zone.clone());
                for k in [1, 2, 11] {
                    for (unit, span) in
                        [(Unit::Day, k.days()), (Unit::Week, k.weeks()), (Unit::Month, k.months())]
                    {
                        let expected = zoned.checked_add(span).unwrap().timestamp().as_millisecond();
                        let shifted = calendar.shifted(unit, t, k);
                        assert_eq!(format_millis(shifted), format_millis(expected), "{name} {zoned} {span}");
                        let elapsed = calendar.elapsed(unit, t, shifted);
                        assert!(elapsed >= k && (unit == Unit::Month || elapsed <= k + 1));
                        assert!(calendar.shifted(unit, t, elapsed) <= shifted);
                        assert!(calendar.shifted(unit, t, elapsed + 1) > shifted);
                    }
                }
                for unit in [Unit::Day, Unit::Week, Unit::Month] {
                    let number = calendar.number(unit, t);
                    assert!(calendar.start(unit, number) <= t && t < calendar.start(unit, number + 1));
                }
                let day = Zone::parse(name).unwrap().start_of(zoned.date()).unwrap();
                assert!(day <= t || calendar.number(Unit::Day, day) >= calendar.number(Unit::Day, t));
            }
        }
    }
}
