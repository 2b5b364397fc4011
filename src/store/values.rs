//! Values of properties, numbered as they come: rows that wait to be written hold a number of four bytes for each value, and what a
//! segment needs of values (which there are, and their order) is found once for each number instead of once for each row.
//!
//! Several threads number at the same time. Most values come again and again, so each thread has a [`ValueCache`] of its own, and
//! only what it does not know goes to the table they share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::row::PropertyIter;
use super::segment::dictionary::order_raw;
use super::segment::filter::mix;
use crate::disk::codec::{put_value, put_varint};
use crate::model::{PropertyId, ValueRef};

/// Hashes the bytes of a value eight at a time under the store's secret: whoever chooses values cannot know what collides.
fn hash_of(secret: u64, property: PropertyId, bytes: &[u8]) -> u64 {
    // Both halves of a product: each bit of the word reaches all of the hash in one step.
    let fold = |hash: u64, word: u64| {
        let product = u128::from(hash ^ word) * 0x9e37_79b9_7f4a_7c15;
        (product as u64) ^ (product >> 64) as u64
    };
    let start = mix(secret ^ (u64::from(property.0) << 32 | bytes.len() as u64));
    let (words, rest) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(start, |hash, word| fold(hash, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(slot, byte)| *slot = *byte);
    mix(fold(hash, u64::from_le_bytes(last)))
}

/// A value of the table.
#[derive(Clone, Copy)]
struct Entry {
    property: PropertyId,
    hash: u32,
    from: usize,
    length: u32,
}

/// All values, by number.
pub struct Table {
    secret: u64,
    entries: Vec<Entry>,
    bytes: Vec<u8>,
    /// Open addressing: a number and one, or 0. As many as a power of two, half of them free at least.
    slots: Vec<u32>,
}

impl Table {
    /// An empty one in a store with this secret.
    pub fn new(secret: u64) -> Self {
        Self { secret, entries: Vec::new(), bytes: Vec::new(), slots: vec![0; 1024] }
    }

    /// Values in it.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes that it takes in memory, about.
    pub fn memory(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<Entry>() + self.slots.capacity() * 4
    }

    /// The property and the canonical bytes of a value.
    pub fn get(&self, number: u32) -> Option<(PropertyId, &[u8])> {
        let entry = self.entries.get(number as usize)?;
        Some((entry.property, self.bytes.get(entry.from..entry.from + entry.length as usize)?))
    }

    /// Where the number of a value is, or would be.
    fn slot(&self, property: PropertyId, raw: &[u8], hash: u64) -> (usize, Option<u32>) {
        let mut slot = (hash >> 32) as usize & (self.slots.len() - 1);
        while let Some(number) = self.slots.get(slot).and_then(|next| next.checked_sub(1)) {
            let alike = self.entries.get(number as usize).is_some_and(|e| e.hash == hash as u32);
            if alike && self.get(number) == Some((property, raw)) {
                return (slot, Some(number));
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        (slot, None)
    }

    /// The number of a value, if it has one.
    pub fn find(&self, property: PropertyId, raw: &[u8]) -> Option<u32> {
        self.slot(property, raw, hash_of(self.secret, property, raw)).1
    }

    /// The number of a value, given as canonical bytes; a new one if it has none.
    pub fn number(&mut self, property: PropertyId, raw: &[u8]) -> u32 {
        let hash = hash_of(self.secret, property, raw);
        let (slot, known) = self.slot(property, raw, hash);
        if let Some(number) = known {
            return number;
        }
        let number = self.entries.len() as u32;
        let (from, length) = (self.bytes.len(), raw.len() as u32);
        self.entries.push(Entry { property, hash: hash as u32, from, length });
        self.bytes.extend_from_slice(raw);
        if let Some(free) = self.slots.get_mut(slot) {
            *free = number + 1;
        }
        if self.entries.len() * 2 > self.slots.len() {
            self.grow();
        }
        number
    }

    /// Appends the numbers of all values of some property bytes (see `row`).
    pub fn numbers(&mut self, properties: &[u8], out: &mut Vec<u32>) {
        let mut properties = PropertyIter::new(properties);
        while let Some((property, raw)) = properties.next_raw() {
            out.push(self.number(property, raw));
        }
    }

    /// Appends the property bytes of some numbers.
    pub fn put_properties(&self, numbers: &[u32], out: &mut Vec<u8>) {
        for (property, raw) in numbers.iter().filter_map(|number| self.get(*number)) {
            put_varint(u128::from(property.0), out);
            out.extend_from_slice(raw);
        }
    }

    fn grow(&mut self) {
        let mut slots = vec![0u32; self.slots.len() * 2];
        let last = slots.len() - 1;
        for number in 0..self.entries.len() as u32 {
            let Some((property, raw)) = self.get(number) else { continue };
            let mut slot = (hash_of(self.secret, property, raw) >> 32) as usize & last;
            while slots.get(slot).is_some_and(|taken| *taken != 0) {
                slot = (slot + 1) & last;
            }
            if let Some(free) = slots.get_mut(slot) {
                *free = number + 1;
            }
        }
        self.slots = slots;
    }

    /// For each number the property and its code in the dictionary of that property, and the dictionaries, in the order of
    /// properties: of the numbers that `used` tells.
    pub fn codes(&self, used: impl Fn(u32) -> bool) -> (Vec<(PropertyId, u32)>, Dictionaries) {
        let mut codes = vec![(PropertyId(0), 0); self.entries.len()];
        let mut order: Vec<u32> = (0..self.entries.len() as u32).filter(|number| used(*number)).collect();
        let value = |number: &u32| self.get(*number).unwrap_or((PropertyId(0), &[]));
        order.sort_unstable_by(|a, b| {
            let (a, b) = (value(a), value(b));
            a.0.cmp(&b.0).then_with(|| order_raw(a.1, b.1))
        });
        let mut dictionaries = Dictionaries::new();
        for number in order {
            let (property, raw) = value(&number);
            if dictionaries.last().is_none_or(|(last, _)| *last != property) {
                dictionaries.push((property, Vec::new()));
            }
            let Some((_, values)) = dictionaries.last_mut() else { continue };
            if let Some(code) = codes.get_mut(number as usize) {
                *code = (property, values.len() as u32);
            }
            values.push(raw.to_vec());
        }
        (codes, dictionaries)
    }
}

/// Per property, in the order of ids, its distinct raw values in order.
pub type Dictionaries = Vec<(PropertyId, Vec<Vec<u8>>)>;

/// A [`Table`] that threads share.
pub struct Values {
    secret: u64,
    table: Mutex<Table>,
}

impl Values {
    /// None yet, in a store with this secret.
    pub fn new(secret: u64) -> Self {
        Self { secret, table: Mutex::new(Table::new(secret)) }
    }

    /// The table, for whoever needs more than one value.
    pub fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Pairs of slots of a cache, and bytes of values in it: what stays in the cache of a processor.
const PAIRS: usize = 1 << 13;
const BYTES: usize = 1 << 20;

/// A value that was met lately.
#[derive(Clone, Copy, Default)]
struct Known {
    /// What its hash begins with.
    hash: u32,
    property: u32,
    from: u32,
    length: u32,
    /// Its number and one; 0 if there is none.
    next: u32,
}

/// The values that one thread met lately: of those that fall into a pair of slots two, the latest first.
pub struct ValueCache {
    values: Arc<Values>,
    slots: Vec<[Known; 2]>,
    /// What the values are known by: text as it is, others as their canonical bytes.
    bytes: Vec<u8>,
    scratch: Vec<u8>,
}

impl ValueCache {
    /// For values that are numbered in `values`.
    pub fn new(values: Arc<Values>) -> Self {
        Self { values, slots: vec![<[Known; 2]>::default(); PAIRS], bytes: Vec::new(), scratch: Vec::new() }
    }

    /// Where values are numbered.
    pub fn values(&self) -> &Arc<Values> {
        &self.values
    }

    /// The number of a value.
    #[inline]
    pub fn number(&mut self, property: PropertyId, value: ValueRef<'_>) -> u32 {
        if let ValueRef::Text(text) = value {
            return self.number_of(property, text.as_bytes(), value);
        }
        // One byte more, which begins no text: else a text could be taken for a number.
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch.push(0xff);
        put_value(value, &mut scratch);
        let number = self.number_of(property, &scratch, value);
        self.scratch = scratch;
        number
    }

    /// The number of a value, which is known by `key`.
    #[inline]
    fn number_of(&mut self, property: PropertyId, key: &[u8], value: ValueRef<'_>) -> u32 {
        let hash = hash_of(self.values.secret, property, key);
        for known in self.slots.get(hash as usize % PAIRS).unwrap_or(&[Known::default(); 2]) {
            if known.next != 0
                && (known.hash, known.property) == ((hash >> 32) as u32, property.0)
                && self.bytes.get(known.from as usize..(known.from + known.length) as usize) == Some(key)
            {
                return known.next - 1;
            }
        }
        self.learn(property, key, value, hash)
    }

    #[cold]
    fn learn(&mut self, property: PropertyId, key: &[u8], value: ValueRef<'_>, hash: u64) -> u32 {
        let mut raw = Vec::with_capacity(key.len() + 4);
        put_value(value, &mut raw);
        let number = self.values.table().number(property, &raw);
        if self.bytes.len() + key.len() > BYTES {
            self.bytes.clear();
            self.slots.fill(<[Known; 2]>::default());
        }
        let (from, length) = (self.bytes.len() as u32, key.len() as u32);
        self.bytes.extend_from_slice(key);
        if let Some(pair) = self.slots.get_mut(hash as usize % PAIRS) {
            let hash = (hash >> 32) as u32;
            *pair = [Known { hash, property: property.0, from, length, next: number + 1 }, pair[0]];
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::codec::value_of;
    use crate::model::{Number, Value};

    fn some(n: u32) -> (PropertyId, Value) {
        let value = match n % 4 {
            0 => Value::Bool(n.is_multiple_of(8)),
            1 => Value::Number(Number::new(i128::from(n % 900) - 450, (n % 3) as u8)),
            _ => Value::from(format!("value {}", n % 5000).as_str()),
        };
        (PropertyId(n % 3), value)
    }

    #[test]
    fn equal_values_of_a_property_have_one_number_on_all_threads() {
        let values = Arc::new(Values::new(7));
        let numbered = || {
            let mut cache = ValueCache::new(Arc::clone(&values));
            (0..40_000).map(|n| cache.number(some(n).0, some(n).1.as_ref())).collect::<Vec<_>>()
        };
        let (a, b) = std::thread::scope(|scope| {
            let other = scope.spawn(numbered);
            (numbered(), other.join().unwrap())
        });
        assert_eq!(a, b);
        let table = values.table();
        for (n, number) in (0..40_000).zip(a) {
            let (property, value) = some(n);
            let (found, raw) = table.get(number).unwrap();
            assert_eq!((found, value_of(raw)), (property, value));
            assert_eq!(table.find(property, raw), Some(number));
        }
        assert_eq!(table.find(PropertyId(9), b"\x01"), None);
    }

    #[test]
    fn text_is_never_taken_for_a_value_of_another_kind() {
        let mut cache = ValueCache::new(Arc::new(Values::new(1)));
        let texts = ["", "\u{1}", "\u{2}\u{0}\u{2}", "a"];
        let others = [ValueRef::Bool(true), ValueRef::Bool(false), ValueRef::Number(Number::new(1, 0))];
        let all = texts.map(ValueRef::Text).into_iter().chain(others);
        let numbers: Vec<u32> = all.clone().map(|value| cache.number(PropertyId(3), value)).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6]);
        assert!(all.map(|value| cache.number(PropertyId(3), value)).eq(numbers));
    }

    #[test]
    fn codes_are_the_places_of_used_values_in_their_order() {
        let mut table = Table::new(1);
        let mut number = |property: u32, text: &str| {
            let mut raw = Vec::new();
            put_value(ValueRef::Text(text), &mut raw);
            table.number(PropertyId(property), &raw)
        };
        let numbers = [number(4, "x"), number(3, "b"), number(3, "unused"), number(3, "a"), number(3, "b")];
        assert_eq!(numbers, [0, 1, 2, 3, 1]);
        let (codes, dictionaries) = table.codes(|number| number != 2);
        assert_eq!(
            (codes[0], codes[1], codes[3]),
            ((PropertyId(4), 0), (PropertyId(3), 1), (PropertyId(3), 0))
        );
        let lengths: Vec<(u32, usize)> = dictionaries.iter().map(|(p, values)| (p.0, values.len())).collect();
        assert_eq!(lengths, [(3, 2), (4, 1)]);
    }
}
