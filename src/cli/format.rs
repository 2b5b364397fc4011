//! Numbers, shares and durations as people read them.

use crate::model::thousands;

/// "1 segment", "2 segments".
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(count), if count == 1 { one } else { many })
}

/// A share as `43.2 %`; a share of nothing is `-`.
pub fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

/// A duration in its largest unit, and in the next smaller one while the number is below ten: `1.2 s`, `45 s`,
/// `9 min 5 s`, `12 min`, `2 d 3 h`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "-".to_owned();
    }
    // Tenths decide on the unit, so that 59.97 s is a minute and not "60 s".
    if (seconds * 10.0).round() < 100.0 {
        let tenths = (seconds * 10.0).round() / 10.0;
        return format!("{tenths} s");
    }
    let whole = seconds.round() as u64;
    const UNITS: [(u64, &str, u64, &str); 3] =
        [(60, "min", 1, "s"), (3600, "h", 60, "min"), (86_400, "d", 3600, "h")];
    let mut shown = format!("{whole} s");
    for (unit, name, part, part_name) in UNITS {
        // Rounded to what will be shown first: 59 min 59 s and more is an hour.
        let fine = (whole + part / 2) / part * part;
        if fine < unit {
            break;
        }
        let (count, rest) = (fine / unit, fine % unit / part);
        shown = match (count, rest) {
            (0..=9, 1..) => format!("{count} {name} {rest} {part_name}"),
            (0..=9, 0) => format!("{count} {name}"),
            _ => format!("{} {name}", (whole + unit / 2) / unit),
        };
    }
    shown
}

/// The words of a text in lines of at most `width` columns; a longer word has a line of its own.
pub fn wrap(text: &str, width: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > width {
            out.push('\n');
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}

/// An instant of an answer without the letters of its notation; the column says that it is in UTC.
pub fn instant(text: &str) -> String {
    text.trim_end_matches('Z').replacen('T', " ", 1)
}

/// The same without a fraction of a second, for lists in which it does not matter.
pub fn instant_to_the_second(text: &str) -> String {
    instant(text.split('.').next().unwrap_or(text))
}

/// The same to the minute, where even seconds find no room.
pub fn instant_to_the_minute(text: &str) -> String {
    let whole = instant_to_the_second(text);
    whole.get(..16).unwrap_or(&whole).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_wrapped_between_words() {
        assert_eq!(wrap("one two  three", 8), "one two\nthree");
        assert_eq!(wrap("unbreakable a", 5), "unbreakable\na");
    }

    #[test]
    fn one_is_not_many() {
        let shown = [0, 1, 1200].map(|count| counted(count, "person", "people"));
        assert_eq!(shown, ["0 people", "1 person", "1,200 people"]);
    }

    #[test]
    fn shares_are_percents() {
        assert_eq!((percent(Some(0.4321)), percent(None)), ("43.2 %".into(), "-".into()));
    }

    #[test]
    fn durations_have_the_unit_that_fits() {
        for (seconds, shown) in [
            (0.0, "0 s"),
            (1.24, "1.2 s"),
            (9.96, "10 s"),
            (45.0, "45 s"),
            (59.7, "1 min"),
            (545.0, "9 min 5 s"),
            (720.0, "12 min"),
            (749.0, "12 min"),
            (3590.0, "1 h"),
            (7500.0, "2 h 5 min"),
            (86_399.0, "1 d"),
            (183_600.0, "2 d 3 h"),
            (2_592_000.0, "30 d"),
            (-1.0, "-"),
            (f64::NAN, "-"),
        ] {
            assert_eq!(duration(seconds), shown, "{seconds}");
        }
        assert_eq!(instant("2025-03-01T10:00:00.5Z"), "2025-03-01 10:00:00.5");
    }
}
