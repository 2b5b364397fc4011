//! Sets of persons of one scope. Those of a chunk are one bit each in 1,024 words, so that sets are cut and joined word by word
//! without a look at who is in them; the unsettled persons, who are few and of any id, are a roaring bitmap.

use std::sync::Arc;

use roaring::RoaringBitmap;

use super::cell::Cell;
use crate::model::PersonId;

/// Words of the bits of one chunk of 65,536 persons.
pub const WORDS: usize = 1024;

/// Bytes of these.
pub const WORDS_BYTES: usize = WORDS * size_of::<u64>();

/// Words that are narrowed together: what the registers of any processor hold.
const LINE: usize = 16;

/// The bits of a chunk.
pub type Words = Box<[u64; WORDS]>;

/// No bits.
pub fn no_words() -> Words {
    Box::new([0; WORDS])
}

/// A cell, and whether those who are in it are to be left out.
pub type Without = (Arc<Cell>, bool);

/// Words that are counted side by side, so that the compiler uses vector registers.
const LANES: usize = 4;

/// How many bits are set. Carry-save adders add eight words of each lane before any bit is counted, which without an instruction for
/// it is slow (W. Wilson, S. Harley; D. Lemire et al., "Faster population counts using AVX2 instructions", 2018).
fn count_ones(words: &[u64; WORDS]) -> u64 {
    type Lane = [u64; LANES];
    let add = |a: Lane, b: Lane, c: Lane| -> (Lane, Lane) {
        let half: Lane = std::array::from_fn(|i| a[i] ^ b[i]);
        (std::array::from_fn(|i| (a[i] & b[i]) | (half[i] & c[i])), std::array::from_fn(|i| half[i] ^ c[i]))
    };
    let bits = |lane: Lane| lane.iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
    let (mut ones, mut twos, mut fours) = ([0; LANES], [0; LANES], [0; LANES]);
    let mut eights = 0;
    for w in words.as_chunks::<LANES>().0.as_chunks::<8>().0 {
        let (a, sum) = add(ones, w[0], w[1]);
        let (b, sum) = add(sum, w[2], w[3]);
        let (c, sum) = add(sum, w[4], w[5]);
        let (d, sum) = add(sum, w[6], w[7]);
        ones = sum;
        let (e, sum) = add(twos, a, b);
        let (f, sum) = add(sum, c, d);
        twos = sum;
        let (eight, sum) = add(fours, e, f);
        fours = sum;
        eights += bits(eight);
    }
    8 * eights + 4 * bits(fours) + 2 * bits(twos) + bits(ones)
}

/// A set of persons.
#[derive(Clone, Debug)]
pub enum PersonSet {
    /// Of a chunk.
    Chunk(u32, Words),
    /// Of any ids.
    Any(RoaringBitmap),
}

/// The word and the bit of a person in its chunk.
#[inline]
fn place(person: PersonId) -> (usize, u64) {
    ((person as usize & 0xffff) >> 6, 1 << (person & 63))
}

impl PersonSet {
    /// Nobody of a chunk, or of the unsettled.
    pub fn none(chunk: Option<u32>) -> Self {
        match chunk {
            Some(chunk) => Self::Chunk(chunk, no_words()),
            None => Self::Any(RoaringBitmap::new()),
        }
    }

    /// All ids of a chunk, whether or not they are persons.
    pub fn all_ids(chunk: u32) -> Self {
        Self::Chunk(chunk, Box::new([u64::MAX; WORDS]))
    }

    /// The chunk, if it is of one.
    pub fn chunk(&self) -> Option<u32> {
        if let Self::Chunk(chunk, _) = self { Some(*chunk) } else { None }
    }

    /// Adds a person of the scope.
    #[inline]
    pub fn insert(&mut self, person: PersonId) {
        match self {
            Self::Chunk(_, words) => {
                let (word, bit) = place(person);
                words[word & (WORDS - 1)] |= bit;
            }
            Self::Any(any) => {
                any.insert(person);
            }
        }
    }

    /// Adds some persons of the scope.
    pub fn extend(&mut self, persons: impl IntoIterator<Item = PersonId>) {
        persons.into_iter().for_each(|person| self.insert(person));
    }

    /// Takes a person of the scope out.
    #[inline]
    pub fn remove(&mut self, person: PersonId) {
        match self {
            Self::Chunk(_, words) => {
                let (word, bit) = place(person);
                words[word & (WORDS - 1)] &= !bit;
            }
            Self::Any(any) => {
                any.remove(person);
            }
        }
    }

    /// Whether a person of the scope is in it.
    #[inline]
    pub fn contains(&self, person: PersonId) -> bool {
        match self {
            Self::Chunk(_, words) => {
                let (word, bit) = place(person);
                words[word & (WORDS - 1)] & bit != 0
            }
            Self::Any(any) => any.contains(person),
        }
    }

    /// How many are in it.
    pub fn len(&self) -> u64 {
        match self {
            Self::Chunk(_, words) => count_ones(words),
            Self::Any(any) => any.len(),
        }
    }

    /// Whether nobody is.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Chunk(_, words) => words.iter().all(|word| *word == 0),
            Self::Any(any) => any.is_empty(),
        }
    }

    /// How many are in both.
    pub fn shared(&self, other: &Self) -> u64 {
        match (self, other) {
            (Self::Chunk(_, a), Self::Chunk(_, b)) => count_ones(&std::array::from_fn(|at| a[at] & b[at])),
            (Self::Any(a), Self::Any(b)) => a.intersection_len(b),
            // Unreachable: scopes do not mix.
            (a, b) => a.iter().filter(|person| b.contains(*person)).count() as u64,
        }
    }

    /// Leaves those who are in both. The sets are of one scope, here and below.
    pub fn and(&mut self, other: &Self) {
        self.combine(other, |a, b| a & b, |a, b| *a &= b);
    }

    /// Adds those of the other.
    pub fn or(&mut self, other: &Self) {
        self.combine(other, |a, b| a | b, |a, b| *a |= b);
    }

    /// Takes those of the other out.
    pub fn minus(&mut self, other: &Self) {
        self.combine(other, |a, b| a & !b, |a, b| *a -= b);
    }

    fn combine(
        &mut self,
        other: &Self,
        words: impl Fn(u64, u64) -> u64,
        any: impl Fn(&mut RoaringBitmap, &RoaringBitmap),
    ) {
        match (self, other) {
            (Self::Chunk(_, mine), Self::Chunk(_, theirs)) => {
                mine.iter_mut().zip(theirs.iter()).for_each(|(a, b)| *a = words(*a, *b));
            }
            (Self::Any(mine), Self::Any(theirs)) => any(mine, theirs),
            // Unreachable: scopes do not mix.
            (mine, theirs) => {
                let mut all = mine.to_roaring();
                any(&mut all, &theirs.to_roaring());
                *mine = Self::Any(all);
            }
        }
    }

    /// Leaves those who are in all of some cells, in one pass that holds some words at a time in registers. The cells have an index of the chunk,
    /// and the set is of it.
    pub fn narrow(&mut self, cells: &[Without]) {
        let Self::Chunk(chunk, words) = self else { return };
        let indexed = cells.iter().filter_map(|(cell, without)| Some((cell.index_of(*chunk)?, *without)));
        let (without, within): (Vec<_>, Vec<_>) = indexed.partition(|(_, without)| *without);
        for at in (0..WORDS).step_by(LINE) {
            let mut line: [u64; LINE] = std::array::from_fn(|i| words[(at + i) & (WORDS - 1)]);
            for (index, _) in &within {
                line = std::array::from_fn(|i| line[i] & index.words[(at + i) & (WORDS - 1)]);
            }
            for (index, _) in &without {
                line = std::array::from_fn(|i| line[i] & !index.words[(at + i) & (WORDS - 1)]);
            }
            (0..LINE).for_each(|i| words[(at + i) & (WORDS - 1)] = line[i]);
        }
    }

    /// Takes those of a roaring bitmap out.
    pub fn minus_any(&mut self, other: &RoaringBitmap) {
        match self {
            Self::Chunk(chunk, words) => {
                if !other.is_empty() {
                    for person in other.range(*chunk << 16..=*chunk << 16 | 0xffff) {
                        let (word, bit) = place(person);
                        words[word] &= !bit;
                    }
                }
            }
            Self::Any(any) => *any -= other,
        }
    }

    /// Leaves those of a roaring bitmap.
    pub fn and_any(&mut self, other: &RoaringBitmap) {
        match self {
            Self::Chunk(chunk, words) => {
                let mut kept = no_words();
                for person in other.range(*chunk << 16..=*chunk << 16 | 0xffff) {
                    let (word, bit) = place(person);
                    kept[word] |= bit;
                }
                words.iter_mut().zip(kept.iter()).for_each(|(a, b)| *a &= b);
            }
            Self::Any(any) => *any &= other,
        }
    }

    /// Everybody in it, rising.
    pub fn iter(&self) -> Iter<'_> {
        match self {
            Self::Chunk(chunk, words) => {
                Iter::Words(Bits { base: *chunk << 16, words: words.as_slice(), word: 0, bits: words[0] })
            }
            Self::Any(any) => Iter::Any(any.iter()),
        }
    }

    /// As a roaring bitmap.
    pub fn to_roaring(&self) -> RoaringBitmap {
        match self {
            Self::Any(any) => any.clone(),
            // They rise, so they are always taken.
            Self::Chunk(..) => RoaringBitmap::from_sorted_iter(self.iter()).unwrap_or_default(),
        }
    }
}

impl<'a> IntoIterator for &'a PersonSet {
    type Item = PersonId;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// The persons of a set.
pub enum Iter<'a> {
    /// Of a chunk.
    Words(Bits<'a>),
    /// Of any ids.
    Any(roaring::bitmap::Iter<'a>),
}

/// The set bits of words.
pub struct Bits<'a> {
    base: PersonId,
    words: &'a [u64],
    word: usize,
    bits: u64,
}

impl Iterator for Bits<'_> {
    type Item = PersonId;

    #[inline]
    fn next(&mut self) -> Option<PersonId> {
        while self.bits == 0 {
            self.word += 1;
            self.bits = *self.words.get(self.word)?;
        }
        let bit = self.bits.trailing_zeros();
        self.bits &= self.bits - 1;
        Some(self.base | (self.word as u32) << 6 | bit)
    }
}

impl Iterator for Iter<'_> {
    type Item = PersonId;

    #[inline]
    fn next(&mut self) -> Option<PersonId> {
        match self {
            Self::Words(bits) => bits.next(),
            Self::Any(any) => any.next(),
        }
    }
}

/// Disjoint sets that are one list of people together.
#[derive(Debug, Default)]
pub struct People(Vec<PersonSet>);

impl People {
    /// Adds the set of another scope.
    pub fn add(&mut self, set: PersonSet) {
        if !set.is_empty() {
            self.0.push(set);
        }
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.0.iter().map(PersonSet::len).sum()
    }

    /// The first `most` behind `after`, in the order of their ids.
    pub fn page(&self, after: Option<PersonId>, most: usize) -> Vec<PersonId> {
        let mut page: Vec<PersonId> = Vec::new();
        let mut chunks: Vec<&PersonSet> = self.0.iter().collect();
        let first = |set: &&PersonSet| if let PersonSet::Chunk(chunk, _) = set { *chunk } else { 0 };
        chunks.sort_by_key(first);
        let behind = |person: &PersonId| after.is_none_or(|after| *person > after);
        let (settled, any): (Vec<_>, Vec<_>) =
            chunks.into_iter().partition(|set| matches!(set, PersonSet::Chunk(..)));
        let from = after.map_or(0, |after| after >> 16);
        let settled = settled.into_iter().filter(|set| first(set) >= from);
        page.extend(settled.flat_map(PersonSet::iter).filter(behind).take(most));
        for set in any {
            page.extend(set.iter().filter(behind).take(most));
        }
        page.sort_unstable();
        page.truncate(most);
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(chunk: Option<u32>, persons: &[PersonId]) -> PersonSet {
        let mut set = PersonSet::none(chunk);
        persons.iter().for_each(|p| set.insert(*p));
        set
    }

    #[test]
    fn bits_are_counted_one_by_one_and_in_lanes_alike() {
        let mut words = no_words();
        for round in 0..50u64 {
            for (at, word) in (0u64..).zip(words.iter_mut()) {
                *word = (at + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left((round % 64) as u32)
                    >> (round % 7);
            }
            let plain: u64 = words.iter().map(|word| u64::from(word.count_ones())).sum();
            assert_eq!(count_ones(&words), plain);
            words[round as usize] = u64::MAX;
            let plain: u64 = words.iter().map(|word| u64::from(word.count_ones())).sum();
            assert_eq!(count_ones(&words), plain);
        }
    }

    #[test]
    fn both_kinds_are_the_same_sets() {
        for (chunk, base) in [(Some(3), 3 << 16), (None, 3 << 16)] {
            let persons = |list: &[u32]| list.iter().map(|p| base + p).collect::<Vec<_>>();
            let a = of(chunk, &persons(&[0, 1, 63, 64, 65_535]));
            let b = of(chunk, &persons(&[1, 64, 70]));
            let list = |set: &PersonSet| set.iter().map(|p| p - base).collect::<Vec<_>>();
            let mut both = a.clone();
            both.and(&b);
            let mut any = a.clone();
            any.or(&b);
            let mut rest = a.clone();
            rest.minus(&b);
            assert_eq!(list(&both), [1, 64]);
            assert_eq!(list(&any), [0, 1, 63, 64, 70, 65_535]);
            assert_eq!(list(&rest), [0, 63, 65_535]);
            rest.minus_any(&[base + 63, base + 70, 5].into_iter().collect());
            any.and_any(&[base + 63, base + 70, 5].into_iter().collect());
            assert_eq!((list(&rest), list(&any)), (vec![0, 65_535], vec![63, 70]));
            rest.remove(base);
            assert_eq!((rest.len(), rest.contains(base), rest.contains(base + 65_535)), (1, false, true));
            assert_eq!(a.to_roaring().len(), a.len());
        }
    }

    #[test]
    fn pages_go_through_all_sets_in_order() {
        let mut people = People::default();
        people.add(of(Some(1), &[65_536, 65_540]));
        people.add(of(Some(0), &[7, 9]));
        people.add(of(None, &[8, 65_538]));
        assert_eq!((people.len(), people.page(None, 3)), (6, vec![7, 8, 9]));
        assert_eq!(people.page(Some(9), 2), [65_536, 65_538]);
        assert_eq!(people.page(Some(65_538), 5), [65_540]);
        assert!(people.page(Some(65_540), 5).is_empty());
    }
}
