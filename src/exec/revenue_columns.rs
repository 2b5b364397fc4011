//! The amounts of a scope event by event, a column at a time: where each event's amounts are kept and there are at most 64 units. So it nearly always is; revenue.rs has the way that always goes.

use super::amounts::{CellAmounts, NO_AMOUNT};
use super::cell::Cell;
use super::mask_counter::MaskCounter;
use super::persons::{PersonSet, WORDS};
use super::revenue::{ByNumber, Carrier, RevenuePlan, Walker};
use super::split::Splitter;
use crate::error::Result;
use crate::model::{Millis, Number, PersonId, UnitTable};

/// Units up to which a word says in which of them a person paid.
const UNITS_MAX: usize = u64::BITS as usize;

/// The amounts of one event.
struct AmountColumn<'w> {
    cell: &'w Cell,
    amounts: &'w CellAmounts,
}

/// The amounts of a scope.
pub struct Columns<'w> {
    people: &'w PersonSet,
    columns: Vec<AmountColumn<'w>>,
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
    /// Adds an amount, if it counts; one that does not is 0. No sum leaves 64 bits, so that none is checked.
    #[inline]
    fn add<const PLAIN: bool>(&mut self, counts: bool, amount: i64) {
        self.events = self.events.wrapping_add(u64::from(counts));
        self.total = self.total.wrapping_add(amount);
        if !PLAIN {
            self.refunds = self.refunds.wrapping_add(amount.min(0));
        }
    }

    #[inline]
    fn add_all(&mut self, other: Self) {
        self.events = self.events.wrapping_add(other.events);
        self.total = self.total.wrapping_add(other.total);
        self.refunds = self.refunds.wrapping_add(other.refunds);
        self.paying = self.paying.wrapping_add(other.paying);
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

impl<'w> Columns<'w> {
    /// The columns of what `walker` would walk through, if they serve.
    pub fn new(plan: &RevenuePlan<'_>, walker: &'w Walker<'_>) -> Option<Self> {
        let span = (walker.span.0 <= walker.span.1).then_some(walker.span)?;
        let units = UnitTable::new(&plan.calendar, plan.unit(), span);
        if units.count() > UNITS_MAX || walker.people.chunk().is_none() {
            return None;
        }
        let column = |carrier: &'w Carrier<'_>| {
            Some(AmountColumn { cell: &carrier.cell, amounts: carrier.amounts.kept()? })
        };
        let columns = walker.carriers.iter().map(column).collect::<Option<_>>()?;
        Some(Self { people: &walker.people, columns, units })
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
        let places = Places::new(self.people);
        let mut persons: Vec<Payer> = Vec::with_capacity(places.count);
        splitter.each_number(self.people, |number| persons.push(Payer { number, paid: 0 }))?;
        let most = persons.iter().map(|person| person.number as usize + 1).max().unwrap_or(0);
        for column in &self.columns {
            let mut units = vec![Sums::default(); self.units.count()];
            let mut values = vec![Sums::default(); most];
            let persons = (&places, persons.as_mut_slice());
            if column.amounts.positive && column.cell.lies_in(range.0, range.1) {
                self.add_rows::<true>(column, range, persons, (&mut values, &mut units));
            } else {
                self.add_rows::<false>(column, range, persons, (&mut values, &mut units));
            }
            for (number, sums) in values.into_iter().enumerate() {
                sums.add_to(column.amounts.scale, by_number, number)?;
            }
            for (unit, sums) in units.into_iter().enumerate() {
                sums.add_to(column.amounts.scale, by_unit, unit)?;
            }
        }
        let mut counter = MaskCounter::default();
        persons.iter().for_each(|person| counter.add(person.paid));
        for (unit, paying) in counter.finish().into_iter().enumerate().filter(|(_, paying)| *paying > 0) {
            by_unit.at(unit).paying += paying;
        }
        Ok(())
    }

    /// Adds the rows of an event that lie in `range`. `PLAIN` says that all do, with a positive amount each.
    fn add_rows<const PLAIN: bool>(
        &self,
        column: &AmountColumn<'_>,
        range: (Millis, Millis),
        (places, persons): (&Places<'_>, &mut [Payer]),
        (values, units): (&mut [Sums], &mut [Sums]),
    ) {
        let cell = column.cell;
        for (person, rows) in cell.persons.iter().zip(cell.starts.windows(2)) {
            let (Some(payer), &[from, to]) = (persons.get_mut(places.of(*person)), rows) else { continue };
            let rows = from as usize..to as usize;
            let (Some(times), Some(amounts)) =
                (cell.times.get(rows.clone()), column.amounts.mantissas.get(rows))
            else {
                continue;
            };
            let (mut sums, mut mask) = (Sums::default(), 0u64);
            for (time, amount) in times.iter().zip(amounts) {
                let counts = PLAIN || (*amount != NO_AMOUNT && range.0 <= *time && *time < range.1);
                let amount = if counts { *amount } else { 0 };
                let unit = self.units.place(*time);
                if let Some(of_unit) = units.get_mut(unit) {
                    of_unit.add::<PLAIN>(counts, amount);
                }
                sums.add::<PLAIN>(counts, amount);
                mask |= u64::from(PLAIN || amount > 0) << (unit & 63);
            }
            sums.paying = u64::from(payer.paid == 0 && mask != 0);
            payer.paid |= mask;
            if let Some(of_value) = values.get_mut(payer.number as usize) {
                of_value.add_all(sums);
            }
        }
    }
}

/// A person with amounts.
#[derive(Clone, Copy)]
struct Payer {
    /// The number of the person's value.
    number: u32,
    /// The units with a positive amount.
    paid: u64,
}

/// How many bits of each byte are set: without an instruction for it, to look is the quickest.
const ONES: [u8; 256] = {
    let mut ones = [0; 256];
    let mut byte = 1;
    while byte < 256 {
        ones[byte] = ones[byte >> 1] + (byte & 1) as u8;
        byte += 1;
    }
    ones
};

/// Numbers the persons of a set of one chunk in their order, so that what is kept of each takes no more room than there are.
struct Places<'a> {
    words: &'a [u64; WORDS],
    /// Persons before each byte of the words.
    before: Vec<u32>,
    count: usize,
}

impl<'a> Places<'a> {
    fn new(people: &'a PersonSet) -> Self {
        static NOBODY: [u64; WORDS] = [0; WORDS];
        let words = if let PersonSet::Chunk(_, words) = people { words.as_ref() } else { &NOBODY };
        let mut count = 0;
        let mut before = vec![0; WORDS * size_of::<u64>()];
        for (word, of_word) in words.iter().zip(before.as_chunks_mut::<8>().0) {
            // The bits of each byte are counted in place; a product adds up those of the bytes below each one.
            let pairs = word - (word >> 1 & 0x5555_5555_5555_5555);
            let fours = (pairs & 0x3333_3333_3333_3333) + (pairs >> 2 & 0x3333_3333_3333_3333);
            let bytes = (fours + (fours >> 4)) & 0x0f0f_0f0f_0f0f_0f0f;
            let sums = bytes.wrapping_mul(0x0101_0101_0101_0101);
            let below = sums << 8;
            for (slot, sum) in of_word.iter_mut().zip(below.to_le_bytes()) {
                *slot = count + u32::from(sum);
            }
            count += (sums >> 56) as u32;
        }
        Self { words, before, count: count as usize }
    }

    /// The place of a person; behind all of them if it is none of them.
    #[inline]
    fn of(&self, person: PersonId) -> usize {
        let low = (person & 0xffff) as usize;
        let byte = (self.words.get(low >> 6).map_or(0, |word| word >> (low & 56)) & 0xff) as usize;
        let bit = 1 << (low & 7);
        match self.before.get(low >> 3) {
            Some(before) if byte & bit != 0 => *before as usize + usize::from(ONES[byte & (bit - 1)]),
            _ => usize::MAX,
        }
    }
}
