//! The amounts of a scope event by event, a column at a time: where each event's rows are one block, its amounts fit 64 bits at one
//! scale, and there are at most 64 units. So it nearly always is; revenue.rs has the way that always goes.

use std::sync::Arc;

use super::cell::Cell;
use super::persons::{PersonSet, WORDS};
use super::revenue::{ByNumber, RevenuePlan, Walker};
use super::settled::{NO_AMOUNT, Numbers, Scaled};
use super::split::Splitter;
use crate::error::Result;
use crate::model::{Millis, Number, PersonId, UnitTable};
use crate::store::segment::block::Column;

/// The amounts of one event.
struct AmountColumn<'a> {
    cell: Arc<Cell>,
    codes: Column<'a>,
    numbers: Arc<Numbers>,
}

/// The amounts of a scope.
pub struct Columns<'a, 'w> {
    walker: &'w Walker<'a>,
    columns: Vec<AmountColumn<'a>>,
    units: UnitTable,
}

/// Sums of some amounts at the scale of a column.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    events: u64,
    total: i64,
    refunds: i64,
    /// People whose first positive amount this is.
    paying: u64,
}

impl Sums {
    /// Adds an amount, if it is one, and whether it is the first positive one of its person.
    #[inline]
    fn add(&mut self, is_one: bool, amount: i64, first: bool) {
        self.events += u64::from(is_one);
        self.total += amount;
        self.refunds += amount.min(0);
        self.paying += u64::from(first);
    }

    fn add_to(self, scale: u8, by_number: &mut ByNumber, number: usize) -> Result<()> {
        if self.events > 0 {
            let at_scale = |sum: i64| Number::new(i128::from(sum), scale);
            let amounts = by_number.at(number);
            amounts.add_sums(self.events, at_scale(self.total), at_scale(self.refunds))?;
            amounts.paying += self.paying;
        }
        Ok(())
    }
}

impl<'a, 'w> Columns<'a, 'w> {
    /// The columns of what `walker` would walk through, if they serve.
    pub fn new(plan: &RevenuePlan<'_>, walker: &'w Walker<'a>) -> Option<Self> {
        let span = (walker.span.0 <= walker.span.1).then_some(walker.span)?;
        let units = UnitTable::new(&plan.calendar, plan.unit(), span);
        if units.count() > 64 || walker.people.chunk().is_none() {
            return None;
        }
        let mut columns = Vec::with_capacity(walker.carriers.len());
        for carrier in &walker.carriers {
            let (codes, numbers) = carrier.amounts.packed()?;
            let largest = numbers.scaled.as_ref()?.largest;
            largest.checked_mul(carrier.cell.times.len() as u64).filter(|sum| *sum < 1 << 62)?;
            // A block without the property adds nothing.
            if let Some(codes) = codes {
                columns.push(AmountColumn { cell: Arc::clone(&carrier.cell), codes, numbers });
            }
        }
        Some(Self { walker, columns, units })
    }

    /// The number of the unit from which units are counted.
    pub fn first_unit(&self) -> i64 {
        self.units.first()
    }

    /// Adds all amounts by the number of the person's value, and by unit.
    pub fn add(
        &self,
        plan: &RevenuePlan<'_>,
        splitter: &mut Splitter<'_>,
        by_number: &mut ByNumber,
        by_unit: &mut ByNumber,
    ) -> Result<()> {
        let range = (plan.basis().from(), plan.basis().seen_to(plan.as_of));
        let places = Places::new(&self.walker.people);
        // Of each person the units with a positive amount; the last entry is that of everybody else.
        let mut paid = vec![0; places.count + 1];
        for column in &self.columns {
            let Some(scaled) = &column.numbers.scaled else { continue };
            let numbers = splitter.numbers(&column.cell.persons)?;
            let mut units = vec![Sums::default(); self.units.count()];
            let mut values = vec![Sums::default(); numbers.iter().max().map_or(0, |most| *most as usize + 1)];
            let of =
                column.cell.persons.iter().zip(numbers).map(|(person, number)| (places.of(*person), number));
            let persons = Persons { of: of.collect(), paid: &mut paid };
            self.add_rows(column, scaled, range, persons, (&mut values, &mut units));
            for (number, sums) in values.into_iter().enumerate() {
                sums.add_to(scaled.scale, by_number, number)?;
            }
            for (unit, sums) in units.into_iter().enumerate() {
                sums.add_to(scaled.scale, by_unit, unit)?;
            }
        }
        Ok(())
    }

    /// Adds all rows of an event, one after the other: whose row it is and whether it counts decides no branch.
    fn add_rows(
        &self,
        column: &AmountColumn<'_>,
        scaled: &Scaled,
        range: (Millis, Millis),
        persons: Persons<'_>,
        (values, units): (&mut [Sums], &mut [Sums]),
    ) {
        let (cell, paid) = (&column.cell, persons.paid);
        let nobody = paid.len() - 1;
        let mut rank = 0;
        for (row, time) in cell.times.iter().enumerate() {
            rank += usize::from(cell.starts.get(rank + 1).is_some_and(|next| *next as usize == row));
            let Some((place, number)) = persons.of.get(rank) else { break };
            let place = *place as usize;
            let code = column.codes.code(row);
            let amount =
                code.and_then(|code| scaled.mantissas.get(code as usize)).copied().unwrap_or(NO_AMOUNT);
            let counts = (amount != NO_AMOUNT) & (range.0 <= *time) & (*time < range.1) & (place != nobody);
            let amount = if counts { amount } else { 0 };
            let unit = self.units.place(*time);
            let (Some(of_unit), Some(of_value), Some(paid)) =
                (units.get_mut(unit), values.get_mut(*number as usize), paid.get_mut(place))
            else {
                continue;
            };
            let bit = u64::from(amount > 0) << (unit & 63);
            of_unit.add(counts, amount, bit & !*paid != 0);
            of_value.add(counts, amount, bit != 0 && *paid == 0);
            *paid |= bit;
        }
    }
}

/// The persons of a column by their rank.
struct Persons<'a> {
    /// Their places in `paid`, and the numbers of their values.
    of: Vec<(u32, u32)>,
    paid: &'a mut [u64],
}

/// Numbers the persons of a set of one chunk in their order, so that what is kept of each takes no more room than there are.
struct Places<'a> {
    words: &'a [u64; WORDS],
    /// Persons before each word.
    before: Vec<u32>,
    count: usize,
}

impl<'a> Places<'a> {
    fn new(people: &'a PersonSet) -> Self {
        static NOBODY: [u64; WORDS] = [0; WORDS];
        let words = if let PersonSet::Chunk(_, words) = people { words.as_ref() } else { &NOBODY };
        let mut count = 0;
        let mut before = Vec::with_capacity(WORDS);
        for word in words {
            before.push(count);
            count += word.count_ones();
        }
        Self { words, before, count: count as usize }
    }

    /// The place of a person; that behind all of them if it is none of them.
    #[inline]
    fn of(&self, person: PersonId) -> u32 {
        let (at, bit) = ((person & 0xffff) as usize >> 6, 1u64 << (person & 63));
        match (self.words.get(at), self.before.get(at)) {
            (Some(word), Some(before)) if word & bit != 0 => before + (word & (bit - 1)).count_ones(),
            _ => self.count as u32,
        }
    }
}
