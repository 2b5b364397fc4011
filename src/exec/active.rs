//! In which hours the persons of a chunk did anything. Whether somebody was there in a range of time follows from it, but for those
//! who only were in the hours in which the range begins or ends.

use super::cell::Cell;
use super::kept::Weighed;
use super::persons::PersonSet;
use crate::model::{Calendar, Millis, PersonId, Unit};

/// An hour: zones are apart by whole hours, but for a few, and days and weeks begin with one.
const HOUR: i64 = 3_600_000;
/// Persons of a chunk.
const PERSONS: usize = 1 << 16;

/// The hours of the persons of one chunk.
pub struct Active {
    /// Where the first slot begins, and the last time of all.
    base: Millis,
    last: Millis,
    /// Milliseconds of a slot: an hour, or as many as it takes for 16 bits to number all slots.
    unit: i64,
    /// By the low bits of a person where its slots begin, and at the end their number.
    starts: Vec<u32>,
    /// Numbers of slots, rising and distinct for each person.
    slots: Vec<u16>,
}

impl Active {
    /// From all cells of a chunk.
    pub fn of(cells: &[impl AsRef<Cell>]) -> Self {
        let spans = cells.iter().map(|cell| cell.as_ref().span).filter(|(first, last)| first <= last);
        let (first, last) = spans.reduce(|(a, b), (c, d)| (a.min(c), b.max(d))).unwrap_or((0, 0));
        let base = first.div_euclid(HOUR) * HOUR;
        let hours = last.saturating_sub(base) / HOUR + 1;
        let unit = HOUR * (hours / (1 << 16) + 1);
        let low = |person: &PersonId| (person & 0xffff) as usize;
        // Rows are dealt to their persons by counting.
        let mut ends = vec![0u32; PERSONS + 1];
        for cell in cells.iter().map(AsRef::as_ref) {
            for (rank, person) in cell.persons.iter().enumerate() {
                if let Some(end) = ends.get_mut(low(person)) {
                    *end += cell.rows(rank).len() as u32;
                }
            }
        }
        let mut sum = 0;
        for end in &mut ends {
            (*end, sum) = (sum, sum + *end);
        }
        let mut dealt = vec![0u16; sum as usize];
        for cell in cells.iter().map(AsRef::as_ref) {
            for (rank, person) in cell.persons.iter().enumerate() {
                let Some(end) = ends.get_mut(low(person)) else { continue };
                for time in cell.times(rank) {
                    if let Some(slot) = dealt.get_mut(*end as usize) {
                        *slot = ((time - base) / unit) as u16;
                    }
                    *end += 1;
                }
            }
        }
        let (mut starts, mut slots, mut begin) = (Vec::with_capacity(PERSONS + 1), Vec::new(), 0);
        for end in ends.into_iter().map(|end| end as usize).take(PERSONS) {
            starts.push(slots.len() as u32);
            let of_person = dealt.get_mut(begin..end).unwrap_or_default();
            of_person.sort_unstable();
            slots.extend(of_person.chunk_by(|a, b| a == b).filter_map(|same| same.first()));
            begin = end;
        }
        starts.push(slots.len() as u32);
        slots.shrink_to_fit();
        Self { base, last, unit, starts, slots }
    }

    /// Of some persons of the chunk those with anything in `from..to`, and those of whom only rows can tell.
    pub fn within(&self, persons: &PersonSet, from: Millis, to: Millis) -> (PersonSet, PersonSet) {
        let (mut found, mut unknown) = (PersonSet::none(persons.chunk()), PersonSet::none(persons.chunk()));
        let (from, to) = (from.saturating_sub(self.base), to.saturating_sub(self.base));
        // Slots that the range touches, and those that lie in it.
        let touched = from.div_euclid(self.unit)..to.saturating_add(self.unit - 1).div_euclid(self.unit);
        let inside = from.saturating_add(self.unit - 1).div_euclid(self.unit)..to.div_euclid(self.unit);
        for person in persons {
            let of_person = self.of_person(person).iter().map(|slot| i64::from(*slot));
            let mut of_person = of_person.filter(|slot| touched.contains(slot)).peekable();
            if of_person.peek().is_none() {
                continue;
            }
            if of_person.any(|slot| inside.contains(&slot)) {
                found.insert(person);
            } else {
                unknown.insert(person);
            }
        }
        (found, unknown)
    }

    /// The number of the calendar's unit that each slot lies in; none if one begins within a slot, or if anything was done after `as_of`.
    pub fn units(&self, calendar: &Calendar, unit: Unit, as_of: Millis) -> Option<Vec<i64>> {
        let mut number = calendar.number(unit, self.base);
        let mut end = calendar.start(unit, number + 1);
        let mut units = Vec::new();
        let mut begin = self.base;
        while begin <= self.last {
            while end <= begin {
                number += 1;
                end = calendar.start(unit, number + 1);
            }
            if end < begin + self.unit {
                return None;
            }
            units.push(number);
            begin += self.unit;
        }
        (self.last <= as_of).then_some(units)
    }

    /// The low bits of each person with anything, rising, and the slots.
    pub fn each(&self) -> impl Iterator<Item = (u16, &[u16])> {
        (0..=u16::MAX)
            .map(|low| (low, self.of_person(PersonId::from(low))))
            .filter(|(_, slots)| !slots.is_empty())
    }

    fn of_person(&self, person: PersonId) -> &[u16] {
        let low = (person & 0xffff) as usize;
        let at = |place: usize| self.starts.get(place).map_or(0, |start| *start as usize);
        self.slots.get(at(low)..at(low + 1)).unwrap_or(&[])
    }
}

impl Weighed for Active {
    fn bytes(&self) -> usize {
        self.starts.len() * size_of::<u32>() + self.slots.len() * size_of::<u16>()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::cell::RowRef;
    use super::*;
    use crate::model::{NameId, Zone};

    #[test]
    fn hours_lie_in_units_unless_a_zone_is_apart_by_half_an_hour() {
        let times: Vec<Millis> = (0..500).map(|n| 1_740_000_000_123 + n * 7_777_777).collect();
        let at = RowRef { source: 0, chunk_at: 0, row: 0 };
        let cell = Arc::new(Cell::of_rows(
            NameId(9),
            times.iter().map(|time| (5, *time, at)).collect::<Vec<_>>().into_iter(),
        ));
        let active = Active::of(&[cell]);
        let last = times[times.len() - 1];
        for zone in ["UTC", "Europe/Berlin", "America/New_York"] {
            let calendar = Calendar::new(&Zone::parse(zone).unwrap(), 0).unwrap();
            for unit in [Unit::Day, Unit::Week, Unit::Month] {
                let units = active.units(&calendar, unit, last).unwrap();
                let of = |time: &Millis| units[((time - active.base) / active.unit) as usize];
                assert!(times.iter().all(|time| of(time) == calendar.number(unit, *time)), "{zone} {unit:?}");
                assert!(active.units(&calendar, unit, last - 1).is_none());
            }
        }
        let calendar = Calendar::new(&Zone::parse("Asia/Kolkata").unwrap(), 0).unwrap();
        assert!(active.units(&calendar, Unit::Day, last).is_none());
    }

    #[test]
    fn hours_tell_of_all_but_those_at_the_ends() {
        for years in [1, 20] {
            let base = 1_700_000_000_000;
            // Persons 0 to 99 of the third chunk, each with a few rows at times of their own.
            let time = |person: u32, row: u32| {
                base + i64::from(person * 7919 + row * 104_729) * 977_777 % (years * 31_536_000_000)
            };
            let rows = |from: u32, to: u32| {
                let mut rows: Vec<_> =
                    (0..100).flat_map(|p| (from..to).map(move |r| (2 << 16 | p, time(p, r)))).collect();
                rows.sort_unstable();
                let at = RowRef { source: 0, chunk_at: 0, row: 0 };
                Arc::new(Cell::of_rows(
                    NameId(9),
                    rows.into_iter().map(|(p, t)| (p, t, at)).collect::<Vec<_>>().into_iter(),
                ))
            };
            let active = Active::of(&[rows(0, 3), rows(3, 8)]);
            let mut everybody = PersonSet::none(Some(2));
            everybody.extend((0..100).map(|p| 2 << 16 | p));
            let mut told = 0;
            for n in 0..200i64 {
                let from = base + n * 139_999_999 % (years * 31_536_000_000);
                let to = if n % 7 == 0 { Millis::MAX } else { from + n * n * 1_000_003 };
                let from = if n % 11 == 0 { Millis::MIN } else { from };
                let (found, unknown) = active.within(&everybody, from, to);
                for p in 0..100 {
                    let truth = (0..8).any(|row| (from..to).contains(&time(p, row)));
                    let person = 2 << 16 | p;
                    assert!(!(found.contains(person) && unknown.contains(person)));
                    assert!(unknown.contains(person) || found.contains(person) == truth, "{from} {to} {p}");
                    told += u64::from(!unknown.contains(person));
                }
            }
            assert!(told > 19_000, "of 20000 only {told} were told");
        }
    }
}
