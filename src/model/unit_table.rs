//! The calendar units of a span of time, laid out so that placing an instant costs a look in a table and a comparison.

use super::calendar::{Calendar, Unit};
use super::time::Millis;

/// A slot is 2^24 ms, some 4.7 hours: shorter than any day, so that nearly all lie in one unit.
const SLOT_BITS: u32 = 24;

/// The units of a span.
pub struct UnitTable {
    first: i64,
    origin: Millis,
    /// The instant at which each unit ends; the last one never does.
    ends: Vec<Millis>,
    /// The unit at the start of each slot, counted from the first.
    of_slot: Vec<u32>,
}

impl UnitTable {
    /// The units of `span`, which holds its last instant; one unit if the span is empty.
    pub fn new(calendar: &Calendar, unit: Unit, span: (Millis, Millis)) -> Self {
        let (from, to) = (span.0, span.1.max(span.0));
        let (first, last) = (calendar.number(unit, from), calendar.number(unit, to));
        let mut ends: Vec<Millis> = (first..last).map(|number| calendar.start(unit, number + 1)).collect();
        ends.push(Millis::MAX);
        let slots = (to.saturating_sub(from) >> SLOT_BITS) as usize + 1;
        let mut of_slot = Vec::with_capacity(slots);
        let mut place = 0;
        for slot in 0..slots {
            let begin = from + ((slot as i64) << SLOT_BITS);
            while ends.get(place).is_some_and(|end| *end <= begin) {
                place += 1;
            }
            of_slot.push(place as u32);
        }
        Self { first, origin: from, ends, of_slot }
    }

    /// The number of the first unit.
    pub fn first(&self) -> i64 {
        self.first
    }

    /// How many units there are.
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// The unit of an instant of the span, counted from the first.
    #[inline]
    pub fn place(&self, time: Millis) -> usize {
        let slot = (time.wrapping_sub(self.origin) >> SLOT_BITS) as usize;
        let mut place = self.of_slot.get(slot).map_or(0, |place| *place as usize);
        while self.ends.get(place).is_some_and(|end| *end <= time) {
            place += 1;
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::super::time::{Zone, parse_instant};
    use super::*;

    #[test]
    fn instants_are_placed_as_the_calendar_places_them() {
        for zone in ["UTC", "Europe/Berlin", "Pacific/Apia"] {
            let calendar = Calendar::new(&Zone::parse(zone).unwrap(), 0).unwrap();
            let (from, to) = ("2011-10-07T05:17:00Z", "2012-03-30T22:11:05Z");
            let span = (parse_instant(from).unwrap(), parse_instant(to).unwrap());
            for unit in [Unit::Day, Unit::Week, Unit::Month] {
                let table = UnitTable::new(&calendar, unit, span);
                for time in (span.0..=span.1).step_by(599_999).chain([span.1]) {
                    let number = table.first() + table.place(time) as i64;
                    assert_eq!(number, calendar.number(unit, time), "{zone} {unit:?} {time}");
                }
                assert_eq!(table.count() as i64, calendar.number(unit, span.1) - table.first() + 1);
            }
        }
    }
}
