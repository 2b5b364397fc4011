//! Instants, zones and durations. An instant is a number of milliseconds since the Unix epoch, UTC. The only
//! place that reads the wall clock and that knows calendars.

use crate::error::{Error, Result};

/// Milliseconds since the Unix epoch, UTC.
pub type Millis = i64;

/// Where "now" comes from; tests bring their own.
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> Millis;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        jiff::Timestamp::now().as_millisecond()
    }
}

/// A time zone: calendar days, weeks and months are counted in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(jiff::tz::TimeZone);

impl Zone {
    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self(jiff::tz::TimeZone::UTC)
    }

    /// The zone of an IANA name such as `Europe/Berlin`.
    pub fn parse(name: &str) -> Result<Self> {
        jiff::tz::TimeZone::get(name).map(Self).map_err(|_| {
            Error::invalid("unknown_zone", format!("no time zone named \"{name}\""))
                .hint("use an IANA name such as \"Europe/Berlin\"")
        })
    }

    /// Its IANA name.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// The offset from UTC, in milliseconds, at the start of the year `from`, and each change of it before the year `to`, with its
    /// instant.
    pub(super) fn offsets(&self, from: i64, to: i64) -> (i64, Vec<(Millis, i64)>) {
        // Years of 365.2425 days are near enough: only where to begin and to stop.
        let second_of = |year: i64| (year - 1970) * 31_556_952;
        let Ok(first) = jiff::Timestamp::from_second(second_of(from)) else { return (0, Vec::new()) };
        let millis = |offset: jiff::tz::Offset| i64::from(offset.seconds()) * 1000;
        let last = second_of(to);
        let changes = self.0.following(first).take_while(|c| c.timestamp().as_second() < last);
        let changes = changes.map(|c| (c.timestamp().as_millisecond(), millis(c.offset()))).collect();
        (millis(self.0.to_offset(first)), changes)
    }

    /// The first instant of a calendar day of this zone.
    pub fn start_of(&self, day: jiff::civil::Date) -> Result<Millis> {
        let zoned = day.to_zoned(self.0.clone()).map_err(out_of_range)?;
        Ok(zoned.timestamp().as_millisecond())
    }

    /// The start of the range that `text` names: a date is the first instant of that day here.
    pub fn parse_from(&self, text: &str) -> Result<Millis> {
        match parse_date(text) {
            Some(day) => self.start_of(day),
            None => parse_instant(text).map_err(or_day),
        }
    }

    /// The exclusive end of the range that `text` names: a date includes that whole day here.
    pub fn parse_to(&self, text: &str) -> Result<Millis> {
        match parse_date(text) {
            Some(day) => self.start_of(day.tomorrow().map_err(out_of_range)?),
            None => parse_instant(text).map_err(or_day),
        }
    }

    /// The last instant that `text` names: of a date that of the whole day here, as what happened in it can still be seen.
    pub fn parse_last(&self, text: &str) -> Result<Millis> {
        match parse_date(text) {
            Some(_) => Ok(self.parse_to(text)? - 1),
            None => parse_instant(text),
        }
    }
}

fn out_of_range(e: jiff::Error) -> Error {
    Error::invalid("bad_time", format!("the date is out of range: {e}"))
}

/// Where a day will do as well, which is what most people mean.
fn or_day(error: Error) -> Error {
    error.hint("a day such as 2025-03-01, or an instant such as 2025-03-01T10:00:00Z")
}

fn parse_date(text: &str) -> Option<jiff::civil::Date> {
    let plain = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    if plain { text.parse().ok() } else { None }
}

/// An instant in RFC 3339 (`2025-03-01T10:00:00Z`, with any offset; up to milliseconds count).
pub fn parse_instant(text: &str) -> Result<Millis> {
    let bad = || {
        Error::invalid("bad_time", format!("\"{}\" is no time", text.chars().take(40).collect::<String>()))
            .hint("use RFC 3339 such as 2025-03-01T10:00:00Z")
    };
    let stamp: jiff::Timestamp = text.trim().parse().map_err(|_| bad())?;
    // Towards the past, so that an instant before the epoch keeps its millisecond too.
    i64::try_from(stamp.as_nanosecond().div_euclid(1_000_000)).map_err(|_| bad())
}

/// As [`parse_instant`], also with a space and without a zone (then UTC), or a date alone (its first instant in UTC).
pub fn parse_loose_instant(text: &str) -> Result<Millis> {
    let joined = text.trim().replacen(' ', "T", 1);
    let whole = if joined.len() == 10 { format!("{joined}T00:00:00Z") } else { joined };
    parse_instant(&whole).or_else(|_| parse_instant(&format!("{whole}Z")))
}

/// An instant in RFC 3339 with the milliseconds that it has.
pub fn format_millis(millis: Millis) -> String {
    match jiff::Timestamp::from_millisecond(millis) {
        Ok(stamp) => stamp.to_string(),
        Err(_) => millis.to_string(),
    }
}

/// A duration in milliseconds: a whole number and one of `s`, `m`, `h`, `d` (24 hours), `w`.
pub fn parse_duration(text: &str) -> Result<i64> {
    let bad = || {
        Error::invalid(
            "bad_duration",
            format!("\"{}\" is no duration", text.chars().take(40).collect::<String>()),
        )
        .hint("a whole number and s, m, h, d or w, such as \"30d\"")
    };
    let text = text.trim();
    let unit_at = text.len().checked_sub(1).filter(|at| text.is_char_boundary(*at)).ok_or_else(bad)?;
    let (digits, unit) = text.split_at(unit_at);
    let seconds: i64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err(bad()),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    let n: i64 = digits.parse().map_err(|_| bad())?;
    n.checked_mul(seconds * 1000).ok_or_else(bad)
}

/// A duration as [`parse_duration`] reads it, in the largest unit that it is a whole number of. Whole seconds only.
pub fn duration_text(millis: i64) -> String {
    let seconds = millis / 1000;
    let units = [("w", 604_800), ("d", 86_400), ("h", 3600), ("m", 60)];
    let unit = units.into_iter().find(|(_, size)| seconds != 0 && seconds % size == 0);
    let (name, size) = unit.unwrap_or(("s", 1));
    format!("{}{name}", seconds / size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_the_whole_day_of_its_zone() {
        let berlin = Zone::parse("Europe/Berlin").unwrap();
        let from = berlin.parse_from("2025-03-30").unwrap();
        let to = berlin.parse_to("2025-03-30").unwrap();
        assert_eq!(format_millis(from), "2025-03-29T23:00:00Z");
        assert_eq!(to - from, 23 * 3_600_000, "the clocks go forward on that day");
        assert_eq!(
            berlin.parse_to("2025-03-30T00:00:00Z").unwrap(),
            parse_instant("2025-03-30T00:00:00Z").unwrap()
        );
    }

    #[test]
    fn only_a_date_ends_with_its_day() {
        let berlin = Zone::parse("Europe/Berlin").unwrap();
        let last = |text: &str| format_millis(berlin.parse_last(text).unwrap());
        assert_eq!(last("2025-03-30"), "2025-03-30T21:59:59.999Z");
        for text in ["2025-03-01T10:00:00Z", "2025-03-01 10:00:00Z", "2025-03-01t10:00:00z"] {
            assert_eq!(last(text), "2025-03-01T10:00:00Z", "{text}");
        }
    }

    #[test]
    fn instants_keep_milliseconds() {
        let t = parse_instant("2025-03-01T10:00:00.125+01:00").unwrap();
        assert_eq!(format_millis(t), "2025-03-01T09:00:00.125Z");
        assert!(parse_instant("yesterday").unwrap_err().to_string().contains("RFC 3339"));
        for wrong in ["yesterday", "2025-02-30", "01.03.2025"] {
            for error in [Zone::utc().parse_from(wrong), Zone::utc().parse_to(wrong)].map(Result::unwrap_err)
            {
                let hint = "(a day such as 2025-03-01, or an instant such as 2025-03-01T10:00:00Z)";
                assert!(error.code() == "bad_time" && error.to_string().contains(hint), "{error}");
            }
        }
    }

    #[test]
    fn durations_are_a_number_and_a_unit() {
        assert_eq!(parse_duration("30d").unwrap(), 30 * 86_400_000);
        assert_eq!(parse_duration("0s").unwrap(), 0);
        for text in ["0s", "90s", "90m", "25h", "6d", "2w"] {
            assert_eq!(duration_text(parse_duration(text).unwrap()), text);
        }
        for text in ["", "d", "1.5h", "-1d", "1 month", "9999999999999999w", "1\u{e9}"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
