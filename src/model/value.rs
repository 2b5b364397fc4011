//! Property values: text, exact decimal numbers, booleans. Their total order (booleans, then numbers, then
//! text) and their canonical byte form are what dictionaries, duplicates and conditions rest on.

use std::cmp::Ordering;
use std::fmt;

use crate::error::{Error, Result};
use crate::limits;

/// An exact decimal: `mantissa` x 10^-`scale`, without trailing zeros behind the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Number {
    mantissa: i128,
    scale: u8,
}

impl Number {
    /// Zero.
    pub const ZERO: Self = Self { mantissa: 0, scale: 0 };

    /// `mantissa` x 10^-`scale`, brought to canonical form.
    pub fn new(mut mantissa: i128, mut scale: u8) -> Self {
        // Divisions of 128 bits are calls; nearly all numbers fit 64.
        if let Ok(mut short) = i64::try_from(mantissa) {
            while scale > 0 && short % 10 == 0 {
                short /= 10;
                scale -= 1;
            }
            return Self { mantissa: i128::from(short), scale };
        }
        while scale > 0 && mantissa % 10 == 0 {
            mantissa /= 10;
            scale -= 1;
        }
        Self { mantissa, scale }
    }

    /// From the mantissa and scale of a number, which are canonical already.
    #[inline]
    pub fn new_canonical(mantissa: i64, scale: u8) -> Self {
        let number = Self { mantissa: i128::from(mantissa), scale };
        debug_assert!(scale == 0 || mantissa % 10 != 0, "{number} is not canonical");
        number
    }

    /// The digits as one integer.
    pub fn mantissa(self) -> i128 {
        self.mantissa
    }

    /// Digits behind the decimal point.
    pub fn scale(self) -> u8 {
        self.scale
    }

    /// Reads a decimal literal as JSON has it (`-12.50`, `1e3`), exactly. `None` if it is no such literal or
    /// has more digits than [`limits::NUMBER_DIGITS_MAX`] and [`limits::NUMBER_SCALE_MAX`] allow.
    pub fn parse(text: &str) -> Option<Self> {
        Self::parse_short(text).or_else(|| Self::parse_any(text))
    }

    /// As [`Number::parse`] of up to 18 digits without an exponent, as nearly all are; `None` of anything else.
    fn parse_short(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
        let (mut mantissa, mut scale, mut behind) = (0i64, 0u8, false);
        if digits.len() > 18 || !digits.first()?.is_ascii_digit() || !digits.last()?.is_ascii_digit() {
            return None;
        }
        for digit in digits {
            match digit {
                b'0'..=b'9' => {
                    mantissa = mantissa * 10 + i64::from(digit - b'0');
                    scale += u8::from(behind);
                }
                b'.' if !behind => behind = true,
                _ => return None,
            }
        }
        let leading_zero = digits.first() == Some(&b'0') && digits.get(1).is_some_and(u8::is_ascii_digit);
        let mantissa = if text.starts_with('-') { -mantissa } else { mantissa };
        (!leading_zero).then(|| Self::new(i128::from(mantissa), scale))
    }

    fn parse_any(text: &str) -> Option<Self> {
        let Literal { negative, digits, power } = Literal::read(text)?;
        if digits.len() > limits::NUMBER_DIGITS_MAX {
            return None;
        }
        let mantissa: i128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
        let mantissa = if negative { -mantissa } else { mantissa };
        if power >= 0 {
            if digits.len() as i64 + power > limits::NUMBER_DIGITS_MAX as i64 {
                return None;
            }
            return Some(Self { mantissa: mantissa * 10i128.pow(power as u32), scale: 0 });
        }
        let scale = u8::try_from(-power).ok().filter(|s| *s <= limits::NUMBER_SCALE_MAX)?;
        Some(Self { mantissa, scale })
    }

    /// As [`Number::parse`]; of a literal with more digits behind the point than a number can have, the nearest number (halves away
    /// from zero). Clients compute with binary fractions, which have dozens: 1.1102230246251565e-16.
    pub fn parse_nearest(text: &str) -> Option<Self> {
        Self::parse(text).or_else(|| {
            let Literal { negative, digits, power } = Literal::read(text)?;
            let behind = usize::try_from(-power).ok()?;
            let beyond_scale = behind.saturating_sub(usize::from(limits::NUMBER_SCALE_MAX));
            let cut = beyond_scale.max(digits.len().saturating_sub(limits::NUMBER_DIGITS_MAX));
            let scale = u8::try_from(behind.checked_sub(cut)?).ok()?;
            let kept = digits.len().saturating_sub(cut);
            let up = digits.len() >= cut && digits.as_bytes().get(kept).is_some_and(|digit| *digit >= b'5');
            let mantissa: i128 =
                digits.get(..kept).filter(|d| !d.is_empty()).map_or(Some(0), |d| d.parse().ok())?;
            let mantissa = mantissa + i128::from(up);
            let rounded = Self::new(if negative { -mantissa } else { mantissa }, scale);
            // Rounding up may have made a digit more.
            (rounded.mantissa.unsigned_abs() < 10u128.pow(limits::NUMBER_DIGITS_MAX as u32))
                .then_some(rounded)
        })
    }

    /// Reads a number as the tracking wire has it: plain digits, an optional minus and fraction, no exponent.
    pub fn parse_plain(text: &str) -> Option<Self> {
        if text.contains(['e', 'E']) { None } else { Self::parse(text) }
    }

    /// The nearest binary float, for display and statistics only, never for sums.
    pub fn to_f64(self) -> f64 {
        // Through text: correctly rounded whatever the size of the mantissa.
        self.to_string().parse().unwrap_or(f64::NAN)
    }

    /// The mantissa when written with `scale` digits behind the point; `None` if that loses digits or overflows.
    pub fn at_scale(self, scale: u8) -> Option<i128> {
        let up = scale.checked_sub(self.scale)?;
        self.mantissa.checked_mul(10i128.checked_pow(u32::from(up))?)
    }

    /// Whether it is above zero.
    pub fn is_positive(self) -> bool {
        self.mantissa > 0
    }
}

/// A decimal literal: `digits` x 10^`power`, without zeros at either end; no digits stand for zero.
struct Literal {
    negative: bool,
    digits: String,
    power: i64,
}

impl Literal {
    fn read(text: &str) -> Option<Self> {
        let (digits, exponent) = match text.find(['e', 'E']) {
            None => (text, 0),
            Some(at) => (text.get(..at)?, parse_exponent(text.get(at + 1..)?)?),
        };
        let (negative, digits) = match digits.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, digits),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let plain = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        let leading_zero = whole.len() > 1 && whole.starts_with('0');
        if whole.is_empty() || leading_zero || !plain(whole) || !plain(fraction) {
            return None;
        }
        if digits.contains('.') && fraction.is_empty() {
            return None;
        }
        let fraction = fraction.trim_end_matches('0');
        let all = format!("{whole}{fraction}");
        let significant = all.trim_start_matches('0');
        let digits = significant.trim_end_matches('0').to_owned();
        let zeros = (significant.len() - digits.len()) as i64;
        let power = if digits.is_empty() { 0 } else { zeros - fraction.len() as i64 + exponent };
        Some(Self { negative, digits, power })
    }
}

/// Digits in groups of three: `1,234,567`.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || digits.len() > 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let n: i64 = digits.parse().ok()?;
    Some(if text.starts_with('-') { -n } else { n })
}

impl From<i64> for Number {
    fn from(n: i64) -> Self {
        Self { mantissa: i128::from(n), scale: 0 }
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let scale = self.scale.max(other.scale);
        // If one of them has too many digits at the other's scale, they are so far apart that floats tell them.
        match (self.at_scale(scale), other.at_scale(scale)) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => self.to_f64().total_cmp(&other.to_f64()),
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let digits = self.mantissa.unsigned_abs();
        if self.scale == 0 {
            return write!(f, "{sign}{digits}");
        }
        let unit = 10u128.pow(u32::from(self.scale));
        write!(f, "{sign}{}.{:0width$}", digits / unit, digits % unit, width = usize::from(self.scale))
    }
}

/// A property value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// An exact decimal.
    Number(Number),
    /// UTF-8 text.
    Text(String),
}

/// Whether a character hides itself or others, or turns the order in which they are read. The joiners that scripts and emoji need are
/// not meant.
pub fn is_deceptive(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
    ) || matches!(c, '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// A property value that borrows its text, as decoded from stored bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ValueRef<'a> {
    /// `true` or `false`.
    Bool(bool),
    /// An exact decimal.
    Number(Number),
    /// UTF-8 text.
    Text(&'a str),
}

impl Value {
    /// Borrows it.
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Bool(b) => ValueRef::Bool(*b),
            Self::Number(n) => ValueRef::Number(*n),
            Self::Text(t) => ValueRef::Text(t),
        }
    }

    /// What else somebody may mean who writes it: of text the number or truth that it reads as, of these their text.
    pub fn other_form(&self) -> Option<Self> {
        match self {
            Self::Bool(truth) => Some(Self::Text(truth.to_string())),
            Self::Number(number) => Some(Self::Text(number.to_string())),
            Self::Text(text) => match text.as_str() {
                "true" => Some(Self::Bool(true)),
                "false" => Some(Self::Bool(false)),
                text => Number::parse_plain(text).map(Self::Number),
            },
        }
    }

    /// What `given` means among the values that exist: itself if it does, else its other form if that does.
    pub fn meant(given: &Self, exists: impl Fn(&Self) -> bool) -> Self {
        let other = if exists(given) { None } else { given.other_form().filter(exists) };
        other.unwrap_or_else(|| given.clone())
    }

    /// A value as the tracking wire has it: what reads as a plain number is one, all else is text.
    pub fn from_wire(text: &str) -> Self {
        Number::parse_plain(text).map_or_else(|| Self::Text(text.to_owned()), Self::Number)
    }

    /// A value from one JSON literal (`"a"`, `12.50`, `true`); `None` for JSON's `null`, which says nothing.
    /// A fraction with too many digits becomes the nearest number; arrays, objects and numbers that are too large are errors.
    pub fn from_json(raw: &str) -> Result<Option<Self>> {
        match raw.as_bytes().first() {
            Some(b'"') => {
                let text: String = serde_json::from_str(raw)
                    .map_err(|e| Error::invalid("bad_value", format!("text is not valid JSON: {e}")))?;
                Ok(Some(Self::Text(text)))
            }
            Some(b't') => Ok(Some(Self::Bool(true))),
            Some(b'f') => Ok(Some(Self::Bool(false))),
            Some(b'n') => Ok(None),
            Some(b'{' | b'[') => Err(Error::invalid("bad_value", "a value is text, a number or a boolean")
                .hint("send nested data as separate properties, such as \"address.city\"")),
            _ => Number::parse_nearest(raw).map(|n| Some(Self::Number(n))).ok_or_else(|| {
                Error::invalid("bad_number", format!("{} is outside the range of exact numbers", clip(raw)))
                    .hint("up to 27 digits before the point; send it as text to keep it as it is")
            }),
        }
    }

    /// Its JSON form.
    pub fn to_json(&self) -> String {
        self.as_ref().to_json()
    }

    /// Bytes of its JSON form.
    pub fn json_len(&self) -> usize {
        self.as_ref().json_len()
    }
}

/// Bytes of a text as JSON, quotes included.
pub fn json_text_len(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 2,
        0..=0x1f => 6,
        _ => 1,
    };
    2 + text.bytes().map(escaped).sum::<usize>()
}

fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}

impl ValueRef<'_> {
    /// Owns it.
    pub fn to_owned(self) -> Value {
        match self {
            Self::Bool(b) => Value::Bool(b),
            Self::Number(n) => Value::Number(n),
            Self::Text(t) => Value::Text(t.to_owned()),
        }
    }

    /// The number in it, if it is one.
    pub fn number(self) -> Option<Number> {
        if let Self::Number(n) = self { Some(n) } else { None }
    }

    /// Its JSON form.
    pub fn to_json(self) -> String {
        match self {
            Self::Bool(b) => b.to_string(),
            Self::Number(n) => n.to_string(),
            Self::Text(t) => serde_json::Value::String(t.to_owned()).to_string(),
        }
    }

    /// Bytes of its JSON form.
    pub fn json_len(self) -> usize {
        if let Self::Text(text) = self { json_text_len(text) } else { self.to_json().len() }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(b) => write!(f, "{b}"),
            Self::Number(n) => write!(f, "{n}"),
            Self::Text(t) => f.write_str(t),
        }
    }
}

impl serde::Serialize for Value {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Bool(b) => serializer.serialize_bool(*b),
            Self::Text(t) => serializer.serialize_str(t),
            Self::Number(n) => {
                let raw = serde_json::value::RawValue::from_string(n.to_string());
                serde::Serialize::serialize(&raw.map_err(serde::ser::Error::custom)?, serializer)
            }
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(bool: bool) -> Self {
        Self::Bool(bool)
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Self::Number(n.into())
    }
}

impl From<i32> for Value {
    fn from(n: i32) -> Self {
        i64::from(n).into()
    }
}

impl From<Number> for Value {
    fn from(number: Number) -> Self {
        Self::Number(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        for (n, shown) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(n), shown);
        }
        assert_eq!(thousands(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn numbers_keep_their_decimal_meaning() {
        for (text, shown) in [
            ("0", "0"),
            ("-0", "0"),
            ("1.50", "1.5"),
            ("-49.99", "-49.99"),
            ("1e3", "1000"),
            ("1.5E-2", "0.015"),
            ("0.000", "0"),
            ("123456789012345678901234567", "123456789012345678901234567"),
        ] {
            assert_eq!(Number::parse(text).map(|n| n.to_string()), Some(shown.to_owned()), "{text}");
        }
        for text in ["", "-", "01", "1.", ".5", "1e", "0x1", "NaN", " 1", "1 ", "1e400", "+1"] {
            assert_eq!(Number::parse(text), None, "{text}");
        }
        for text in [
            "0",
            "-0",
            "0.0",
            "-0.50",
            "10.010",
            "999999999999999999",
            "00",
            "0.",
            ".0",
            "-",
            "1..2",
            "1.2.3",
            "1-2",
        ] {
            assert_eq!(Number::parse(text), Number::parse_any(text), "{text}");
        }
        assert_eq!(Number::parse_plain("1e5"), None);
        assert!(Number::parse("-3").unwrap() < Number::parse("0.5").unwrap());
    }

    #[test]
    fn a_fraction_with_too_many_digits_becomes_the_nearest_number() {
        for (text, shown) in [
            ("1.2345678901234567e-7", "0.00000012345678901235"),
            ("-1.1102230246251565e-16", "-0.00000000000000011102"),
            ("1e-400", "0"),
            ("4e-21", "0"),
            ("-5e-21", "-0.00000000000000000001"),
            ("49e-22", "0"),
            ("0.99999999999999999999999", "1"),
            ("123456789.1234567890123456789", "123456789.123456789012345679"),
            ("999999999999999999999999999.4", "999999999999999999999999999"),
            ("12.5", "12.5"),
        ] {
            assert_eq!(Number::parse_nearest(text).map(|n| n.to_string()), Some(shown.to_owned()), "{text}");
        }
        for text in ["999999999999999999999999999.5", "1e27", "1e400", "1234567890123456789012345678", "x"] {
            assert_eq!(Number::parse_nearest(text), None, "{text}");
        }
    }

    #[test]
    fn the_wire_decides_types_by_the_value() {
        for (text, number) in [
            ("123", true),
            ("-49.99", true),
            ("$100", false),
            ("0123", false),
            ("1e5", false),
            ("NaN", false),
            (" 12", false),
        ] {
            assert_eq!(matches!(Value::from_wire(text), Value::Number(_)), number, "{text}");
        }
    }

    #[test]
    fn nested_json_and_endless_digits_are_refused() {
        assert!(Value::from_json("[1]").is_err());
        assert!(Value::from_json("1e300").is_err());
        assert_eq!(Value::from_json("null").unwrap(), None);
        assert_eq!(Value::from_json("12.50").unwrap().unwrap().to_json(), "12.5");
    }
}
