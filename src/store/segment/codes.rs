//! The distinct values of each property of some rows, and the codes that stand for them in a dictionary.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

use super::dictionary::order_raw;
use super::filter::mix;
use crate::model::PropertyId;
use crate::store::row::{PropertyIter, Row};

/// Hashes the bytes of values eight at a time under the store's secret: whoever chooses values cannot know what collides.
#[derive(Clone, Copy)]
struct Keyed(u64);

impl BuildHasher for Keyed {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        *self
    }
}

impl Hasher for Keyed {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.write_u64(u64::from_le_bytes(*word)));
        if !rest.is_empty() {
            let mut word = [0; 8];
            word.iter_mut().zip(rest).for_each(|(slot, byte)| *slot = *byte);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = mix(self.0 ^ word);
    }

    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The values met of one property, numbered as they came.
struct Values<'a> {
    numbers: HashMap<&'a [u8], u32, Keyed>,
    /// By number the place of the value in the order of all.
    codes: Vec<u32>,
}

/// The values of rows: each is looked at once.
pub struct Codes<'a> {
    secret: u64,
    /// By the number of the property, those that occur.
    by_property: Vec<Option<Values<'a>>>,
    /// The values of all rows, one row after the other, by number until [`Codes::settle`] and by code after.
    values: Vec<(PropertyId, u32)>,
    /// Where the values of each row end.
    ends: Vec<u32>,
}

impl<'a> Codes<'a> {
    /// Of no rows yet, which will be so many.
    pub fn new(secret: u64, rows: usize) -> Self {
        let (values, ends) = (Vec::with_capacity(rows * 4), Vec::with_capacity(rows));
        Self { secret, by_property: Vec::new(), values, ends }
    }

    /// Adds the next row.
    pub fn add(&mut self, row: &'a Row) {
        let mut properties = PropertyIter::new(&row.properties);
        while let Some((property, raw)) = properties.next_raw() {
            let at = property.0 as usize;
            if self.by_property.len() <= at {
                self.by_property.resize_with(at + 1, || None);
            }
            let Some(slot) = self.by_property.get_mut(at) else { continue };
            let known = slot.get_or_insert_with(|| Values {
                numbers: HashMap::with_hasher(Keyed(self.secret)),
                codes: Vec::new(),
            });
            let next = known.numbers.len() as u32;
            self.values.push((property, *known.numbers.entry(raw).or_insert(next)));
        }
        self.ends.push(self.values.len() as u32);
    }

    /// Ends the adding: values get their codes. Per property, in the order of ids, its distinct values in order.
    pub fn settle(&mut self) -> Vec<(PropertyId, Vec<Vec<u8>>)> {
        let mut dictionaries = Vec::new();
        for (property, values) in (0..).map(PropertyId).zip(&mut self.by_property) {
            let Some(values) = values else { continue };
            let mut sorted: Vec<(&[u8], u32)> = values.numbers.drain().collect();
            sorted.sort_unstable_by(|a, b| order_raw(a.0, b.0));
            values.codes.resize(sorted.len(), 0);
            for (code, (_, number)) in (0..).zip(&sorted) {
                if let Some(slot) = values.codes.get_mut(*number as usize) {
                    *slot = code;
                }
            }
            dictionaries.push((property, sorted.into_iter().map(|(raw, _)| raw.to_vec()).collect()));
        }
        for (property, number) in &mut self.values {
            let codes = self.by_property.get(property.0 as usize).and_then(Option::as_ref);
            *number = codes
                .map(|values| values.codes.as_slice())
                .and_then(|codes| codes.get(*number as usize))
                .copied()
                .unwrap_or(0);
        }
        dictionaries
    }

    /// The codes of a row, by its place among those added.
    pub fn of_row(&self, at: usize) -> &[(PropertyId, u32)] {
        let from = at.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let to = self.ends.get(at).copied().unwrap_or(from);
        self.values.get(from as usize..to as usize).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{NameId, ValueRef};
    use crate::store::row::put_property;

    #[test]
    fn codes_are_the_places_of_values_in_their_order() {
        let row = |values: &[(u32, &str)]| {
            let mut properties = Vec::new();
            values.iter().for_each(|(p, v)| put_property(PropertyId(*p), ValueRef::Text(v), &mut properties));
            let properties = properties.as_slice().into();
            Row { name: NameId(2), identity: 0, time: 0, target: 0, arrival: 0, properties }
        };
        let rows = [row(&[(3, "b"), (4, "x")]), row(&[]), row(&[(3, "a")]), row(&[(3, "b")])];
        let mut codes = Codes::new(7, rows.len());
        rows.iter().for_each(|row| codes.add(row));
        let dictionaries = codes.settle();
        let names: Vec<(u32, usize)> = dictionaries.iter().map(|(p, values)| (p.0, values.len())).collect();
        assert_eq!(names, [(3, 2), (4, 1)]);
        assert_eq!(codes.of_row(0), [(PropertyId(3), 1), (PropertyId(4), 0)]);
        assert_eq!(codes.of_row(1), []);
        assert_eq!(
            (codes.of_row(2), codes.of_row(3)),
            (&[(PropertyId(3), 0)][..], &[(PropertyId(3), 1)][..])
        );
    }
}
