//! Amounts: the numbers that rows have in a property. Those of a whole cell are kept at one scale, whatever segments its rows lie in;
//! where they do not fit, and of recent rows, they are read one by one.

use std::sync::Arc;

use super::cell::{Cell, RowRef};
use super::kept::Weighed;
use super::scope::Scope;
use super::source::{CellValue, ColumnReader, Source};
use crate::error::Result;
use crate::model::{Number, PropertyId, ValueRef};
use crate::store::segment::Segment;

/// The mantissa of a row without an amount.
pub const NO_AMOUNT: i64 = i64::MIN;

/// Values of a property up to which the numbers among them are kept.
const NUMBERS_MAX: u32 = 256 * 1024;

/// The numbers among the values of a property in a segment, by code; empty if there are too many to keep.
pub struct Numbers(Vec<Option<Number>>);

impl Numbers {
    /// Those of `property`.
    pub fn of(segment: &Segment, property: PropertyId) -> Result<Self> {
        let dictionary = segment.dictionary(property)?.filter(|dictionary| dictionary.len() <= NUMBERS_MAX);
        let number = |code| dictionary.as_ref().and_then(|dictionary| dictionary.value(code).number());
        Ok(Self((0..dictionary.as_ref().map_or(0, |d| d.len())).map(number).collect()))
    }
}

impl Weighed for Numbers {
    fn bytes(&self) -> usize {
        self.0.len() * size_of::<Option<Number>>()
    }
}

/// The amounts of the rows of a cell. No sum of them leaves 64 bits.
pub struct CellAmounts {
    /// Digits behind the decimal point.
    pub scale: u8,
    /// The mantissa of each row, or [`NO_AMOUNT`].
    pub mantissas: Vec<i64>,
    /// Whether every row has one, and a positive one.
    pub positive: bool,
}

impl CellAmounts {
    /// Reads them, if they fit; `numbers` gives those of a segment.
    pub fn read(
        source: &Source,
        cell: &Cell,
        property: PropertyId,
        numbers: impl Fn(u32) -> Result<Arc<Numbers>>,
    ) -> Result<Option<Self>> {
        let mut column = source.column(cell.name, property);
        let mut known: Option<(u32, Arc<Numbers>)> = None;
        let mut amounts: Vec<Option<Number>> = Vec::with_capacity(cell.times.len());
        for row in 0..cell.times.len() {
            let at = cell.row_ref(row);
            let of_segment = match &known {
                Some((segment, numbers)) if *segment == at.source => numbers,
                _ => &known.insert((at.source, numbers(at.source)?)).1,
            };
            amounts.push(read_one(&mut column, at, of_segment)?);
        }
        Ok(Self::at_one_scale(&amounts))
    }

    fn at_one_scale(amounts: &[Option<Number>]) -> Option<Self> {
        let scale = amounts.iter().flatten().map(|amount| amount.scale()).max().unwrap_or(0);
        let mantissa = |amount: &Option<Number>| match amount {
            None => Some(NO_AMOUNT),
            Some(amount) => {
                let up = 10i64.checked_pow(u32::from(scale - amount.scale()))?;
                // One that looks like none does not fit.
                i64::try_from(amount.mantissa()).ok()?.checked_mul(up).filter(|amount| *amount != NO_AMOUNT)
            }
        };
        let mantissas: Vec<i64> = amounts.iter().map(mantissa).collect::<Option<_>>()?;
        let sizes = mantissas.iter().filter(|mantissa| **mantissa != NO_AMOUNT).map(|m| m.unsigned_abs());
        sizes.max().unwrap_or(0).checked_mul(mantissas.len() as u64).filter(|sum| *sum < 1 << 62)?;
        let positive = mantissas.iter().all(|mantissa| *mantissa > 0);
        Some(Self { scale, mantissas, positive })
    }

    /// Bytes it takes in memory, about.
    pub fn bytes(&self) -> usize {
        self.mantissas.len() * size_of::<i64>()
    }
}

fn read_one(column: &mut ColumnReader<'_>, at: RowRef, numbers: &Numbers) -> Result<Option<Number>> {
    let found = column.get(at)?;
    if let CellValue::Code { code, .. } = found
        && let Some(number) = numbers.0.get(code as usize)
    {
        return Ok(*number);
    }
    Ok(column.value(found)?.and_then(ValueRef::number))
}

/// Reads the amounts of the rows of a cell.
pub enum AmountReader<'a> {
    /// From those that are kept.
    Kept(Arc<CellAmounts>),
    /// One by one.
    Each(Arc<Cell>, Box<ColumnReader<'a>>),
}

impl<'a> AmountReader<'a> {
    /// Over a cell of `scope`, as [`Scope::cell`] gave it.
    pub fn new(scope: &Scope<'a>, cell: Arc<Cell>, property: PropertyId) -> Result<Self> {
        if let Some(chunk) = scope.chunk
            && let Some(kept) = scope.view.settled.amounts(scope.source(), &cell, chunk, property)?
        {
            return Ok(Self::Kept(kept));
        }
        let column = scope.source().column(cell.name, property);
        Ok(Self::Each(cell, Box::new(column)))
    }

    /// The amounts of the whole cell, if they are kept.
    pub fn kept(&self) -> Option<&Arc<CellAmounts>> {
        if let Self::Kept(kept) = self { Some(kept) } else { None }
    }

    /// The amount of a row.
    #[inline]
    pub fn read(&mut self, row: usize) -> Result<Option<Number>> {
        match self {
            Self::Kept(kept) => {
                let mantissa = kept.mantissas.get(row).copied().filter(|mantissa| *mantissa != NO_AMOUNT);
                Ok(mantissa.map(|mantissa| Number::new(i128::from(mantissa), kept.scale)))
            }
            Self::Each(cell, column) => {
                let found = column.get(cell.row_ref(row))?;
                Ok(column.value(found)?.and_then(ValueRef::number))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_that_would_be_taken_for_none_is_kept_nowhere() {
        let amounts = |mantissa: i64| [None, Some(Number::new(i128::from(mantissa), 2))];
        assert!(CellAmounts::at_one_scale(&amounts(NO_AMOUNT)).is_none());
        assert!(CellAmounts::at_one_scale(&amounts(NO_AMOUNT + 1)).is_none(), "two of them may be too much");
        let kept = CellAmounts::at_one_scale(&amounts(-5)).unwrap();
        assert_eq!((kept.scale, kept.mantissas, kept.positive), (2, vec![NO_AMOUNT, -5], false));
    }
}
