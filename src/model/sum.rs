//! Exact sums. Numbers have up to 27 digits, of which 20 may stand behind the point: one of the largest and one of the smallest
//! together have more digits than an `i128`. A sum must not fail for that, since anybody may send both.

use std::cmp::Ordering;
use std::fmt;

use super::Number;
use crate::error::{Error, ErrorKind, Result};
use crate::limits;

/// 10^-20 is the unit of what is behind the point.
const BEHIND: i128 = 10i128.pow(limits::NUMBER_SCALE_MAX as u32);

/// An exact sum: `whole` + `mantissa` x 10^-`scale`. As long as the mantissa holds everything, `whole` is 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    whole: i128,
    mantissa: i128,
    scale: u8,
}

impl Sum {
    /// Of nothing.
    pub const ZERO: Self = Self { whole: 0, mantissa: 0, scale: 0 };

    /// Of an integer and of `mantissa` x 10^-`scale`.
    pub fn new(whole: i128, mantissa: i128, scale: u8) -> Self {
        Self { whole, mantissa, scale }
    }

    /// Adds a number; an error if there are more than 38 digits before the point.
    #[inline]
    pub fn add(&mut self, number: Number) -> Result<()> {
        self.add_sum(number.into())
    }

    /// Adds another sum; an error as in [`Sum::add`].
    #[inline]
    pub fn add_sum(&mut self, other: Self) -> Result<()> {
        if other.scale == self.scale
            && other.whole == 0
            && let Some(mantissa) = self.mantissa.checked_add(other.mantissa)
        {
            self.mantissa = mantissa;
            return Ok(());
        }
        self.add_slowly(other).ok_or_else(overflow)
    }

    fn add_slowly(&mut self, other: Self) -> Option<()> {
        let scale = self.scale.max(other.scale);
        let aligned = self.at_scale(scale).zip(other.at_scale(scale));
        let sum = aligned.and_then(|(mine, theirs)| mine.mantissa.checked_add(theirs.mantissa));
        let (mine, theirs, mantissa) = match sum {
            Some(mantissa) => (*self, other, mantissa),
            None => {
                // Without what is before the point each is below 10^20.
                let (mine, theirs) = (self.parted()?, other.parted()?);
                (mine, theirs, mine.at_scale(scale)?.mantissa + theirs.at_scale(scale)?.mantissa)
            }
        };
        *self = Self { whole: mine.whole.checked_add(theirs.whole)?, mantissa, scale };
        Some(())
    }

    fn at_scale(self, scale: u8) -> Option<Self> {
        let up = 10i128.checked_pow(u32::from(scale - self.scale))?;
        Some(Self { mantissa: self.mantissa.checked_mul(up)?, scale, ..self })
    }

    /// With nothing in the mantissa but what is behind the point, which is not negative.
    fn parted(self) -> Option<Self> {
        let unit = 10i128.checked_pow(u32::from(self.scale))?;
        let whole = self.whole.checked_add(self.mantissa.div_euclid(unit))?;
        Some(Self { whole, mantissa: self.mantissa.rem_euclid(unit), ..self })
    }

    /// The largest integer that is not above it, and what is more than that, in 10^-20.
    fn parts(self) -> (i128, i128) {
        let parted = self.parted().and_then(|parted| parted.at_scale(limits::NUMBER_SCALE_MAX));
        parted.map_or((self.whole, 0), |parted| (parted.whole, parted.mantissa))
    }

    /// So many times as much.
    pub fn times(self, factor: i128) -> Result<Self> {
        let product = |of: Self| {
            let (whole, mantissa) = (of.whole.checked_mul(factor)?, of.mantissa.checked_mul(factor)?);
            Some(Self { whole, mantissa, ..of })
        };
        product(self).or_else(|| product(self.parted()?)).ok_or_else(overflow)
    }

    /// A `count`th of it, rounded half to even at `digits` behind the point; nothing for a count of 0.
    pub fn over(self, count: u64, digits: u8) -> Result<Option<Self>> {
        let divisor = i128::from(count);
        if divisor == 0 {
            return Ok(None);
        }
        let (whole, behind) = self.parts();
        let unit = divisor.checked_mul(BEHIND).filter(|unit| *unit < i128::MAX / 10).ok_or_else(overflow)?;
        // Long division: what is left is always below the unit.
        let (mut left, mut mantissa) = (whole.rem_euclid(divisor) * BEHIND + behind, 0);
        for _ in 0..digits {
            left *= 10;
            mantissa = mantissa * 10 + left / unit;
            left %= unit;
        }
        if left * 2 > unit || (left * 2 == unit && mantissa % 2 != 0) {
            mantissa += 1;
        }
        Ok(Some(Self::new(whole.div_euclid(divisor), mantissa, digits)))
    }

    /// The nearest binary float, for display and statistics only.
    pub fn to_f64(self) -> f64 {
        self.to_string().parse().unwrap_or(f64::NAN)
    }

    /// Whether it is above zero.
    pub fn is_positive(self) -> bool {
        self > Self::ZERO
    }
}

/// The error of a sum of too many digits.
pub fn overflow() -> Error {
    Error::new(ErrorKind::TooLarge, "sum_overflow", "the sum passes the range of exact numbers")
}

impl From<Number> for Sum {
    fn from(number: Number) -> Self {
        Self { whole: 0, mantissa: number.mantissa(), scale: number.scale() }
    }
}

impl Ord for Sum {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts().cmp(&other.parts())
    }
}

impl PartialOrd for Sum {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Sum {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for Sum {}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut whole, mut behind) = self.parts();
        if whole < 0 && behind > 0 {
            // -4 and two thirds more are written as -3 and a third.
            (whole, behind) = (whole + 1, BEHIND - behind);
            if whole == 0 {
                f.write_str("-")?;
            }
        }
        write!(f, "{whole}")?;
        if behind > 0 {
            let digits = format!("{behind:0width$}", width = usize::from(limits::NUMBER_SCALE_MAX));
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        Ok(())
    }
}

impl serde::Serialize for Sum {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let raw = serde_json::value::RawValue::from_string(self.to_string());
        serde::Serialize::serialize(&raw.map_err(serde::ser::Error::custom)?, serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(texts: &[&str]) -> Sum {
        let mut sum = Sum::ZERO;
        for text in texts {
            sum.add(Number::parse(text).unwrap()).unwrap();
        }
        sum
    }

    #[test]
    fn sums_keep_every_digit() {
        assert_eq!(
            sum(&["0.1", "0.2", "100000000000000000000", "-0.00001"]).to_string(),
            "100000000000000000000.29999"
        );
        assert_eq!(sum(&["-1", "0.25"]).to_string(), "-0.75");
        assert_eq!(sum(&["-3", "-0.5"]).to_string(), "-3.5");
        assert_eq!(sum(&["1.25", "0.75", "-2"]), Sum::ZERO);
    }

    #[test]
    fn the_largest_and_the_smallest_number_have_a_sum() {
        let (large, small) = ("999999999999999999999999999", "0.00000000000000000001");
        let both = "999999999999999999999999999.00000000000000000001";
        for texts in [[large, small], [small, large]] {
            assert_eq!(sum(&texts).to_string(), both);
        }
        assert_eq!(
            sum(&["-999999999999999999999999999", "-0.00000000000000000001"]).to_string(),
            format!("-{both}")
        );
        assert_eq!(sum(&[large, small, "-999999999999999999999999999"]).to_string(), small);
        assert!(sum(&[large, small]) > sum(&[large]));
        let mut many = sum(&[small]);
        for _ in 0..100_000 {
            many.add(Number::parse(large).unwrap()).unwrap();
        }
        let mut twice = many;
        twice.add_sum(many).unwrap();
        assert_eq!(many.to_string(), "99999999999999999999999999900000.00000000000000000001");
        assert_eq!(twice, many.times(2).unwrap());
    }

    #[test]
    fn quotients_are_rounded_half_to_even() {
        let of = |text: &str, count| sum(&[text]).over(count, 6).unwrap().map(|q| q.to_string());
        assert_eq!(of("10", 3).as_deref(), Some("3.333333"));
        assert_eq!(of("-10", 3).as_deref(), Some("-3.333333"));
        assert_eq!(of("0.000005", 10).as_deref(), Some("0"));
        assert_eq!(of("0.000015", 10).as_deref(), Some("0.000002"));
        assert_eq!(of("20", 3).as_deref(), Some("6.666667"));
        assert_eq!(of("-0.0000005", 1).as_deref(), Some("0"));
        assert_eq!(of("1", 0), None);
        assert_eq!(
            sum(&["999999999999999999999999999", "0.5"]).over(2, 6).unwrap().unwrap().to_string(),
            "499999999999999999999999999.75"
        );
    }
}
