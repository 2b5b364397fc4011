//! Amounts: the numbers among the values of a property, and those of the rows of one block at one scale.

use crate::error::Result;
use crate::model::PropertyId;
use crate::store::segment::Segment;
use crate::store::segment::block::Column;

/// The scale of a value that is no number.
pub const NO_NUMBER: u8 = u8::MAX;
/// The mantissa of a value that is no number, and of a row without one.
pub const NO_AMOUNT: i64 = i64::MIN;

/// Values of a property up to which the numbers among them are kept.
const NUMBERS_MAX: u32 = 256 * 1024;

/// The numbers among the values of a property in a segment.
pub struct Numbers {
    /// By its code the number that a value is: the mantissa, and the scale or [`NO_NUMBER`].
    pub each: Vec<(i64, u8)>,
    /// All of them at one scale, if they fit.
    scaled: Option<Scaled>,
}

/// Numbers at one scale.
struct Scaled {
    /// Digits behind the decimal point.
    scale: u8,
    /// By its code the mantissa of a value, or [`NO_AMOUNT`].
    mantissas: Vec<i64>,
    /// Their largest size.
    largest: u64,
}

impl Numbers {
    /// Those of `property`; none if there are too many, or if any is too large.
    pub fn of(segment: &Segment, property: PropertyId) -> Result<Option<Self>> {
        let dictionary = segment.dictionary(property)?;
        if dictionary.as_ref().is_some_and(|d| d.len() > NUMBERS_MAX) {
            return Ok(None);
        }
        let mut each = Vec::new();
        if let Some(dictionary) = &dictionary {
            for code in 0..dictionary.len() {
                each.push(match dictionary.value(code).number() {
                    None => (0, NO_NUMBER),
                    Some(number) => match i64::try_from(number.mantissa()) {
                        Ok(mantissa) => (mantissa, number.scale()),
                        Err(_) => return Ok(None),
                    },
                });
            }
        }
        let scaled = Scaled::of(&each);
        Ok(Some(Self { each, scaled }))
    }
}

impl Scaled {
    fn of(each: &[(i64, u8)]) -> Option<Self> {
        let scale =
            each.iter().map(|(_, scale)| *scale).filter(|scale| *scale != NO_NUMBER).max().unwrap_or(0);
        let at_scale = |(mantissa, own): &(i64, u8)| match *own {
            NO_NUMBER => Some(NO_AMOUNT),
            own => mantissa.checked_mul(10i64.checked_pow(u32::from(scale - own))?),
        };
        let mantissas: Vec<i64> = each.iter().map(at_scale).collect::<Option<_>>()?;
        let numbers = mantissas.iter().filter(|m| **m != NO_AMOUNT);
        let largest = numbers.map(|m| m.unsigned_abs()).max().unwrap_or(0);
        Some(Self { scale, mantissas, largest })
    }
}

/// The amounts of the rows of one block. No sum of them leaves 64 bits.
pub struct CellAmounts {
    /// Digits behind the decimal point.
    pub scale: u8,
    /// The mantissa of each row, or [`NO_AMOUNT`].
    pub mantissas: Vec<i64>,
    /// Whether every row has one, and a positive one.
    pub positive: bool,
}

impl CellAmounts {
    /// Those of `rows` rows with a column, if they fit.
    pub fn of(numbers: &Numbers, column: Option<&Column<'_>>, rows: usize) -> Option<Self> {
        let scaled = numbers.scaled.as_ref()?;
        scaled.largest.checked_mul(rows as u64).filter(|sum| *sum < 1 << 62)?;
        let mantissa = |row| {
            let code = column.and_then(|column| column.code(row));
            code.and_then(|code| scaled.mantissas.get(code as usize)).copied().unwrap_or(NO_AMOUNT)
        };
        let mantissas: Vec<i64> = (0..rows).map(mantissa).collect();
        let positive = mantissas.iter().all(|mantissa| *mantissa > 0);
        Some(Self { scale: scaled.scale, mantissas, positive })
    }

    /// Bytes it takes in memory, about.
    pub fn bytes(&self) -> usize {
        self.mantissas.len() * size_of::<i64>() + 64
    }
}
