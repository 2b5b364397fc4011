//! Sets of persons of one scope. Those of a chunk are one bit each in 1,024 words, so that sets are cut and joined word by word
//! without a look at who is in them; the unsettled persons, who are few and of any id, are a roaring bitmap.

use std::sync::Arc;

use roaring::RoaringBitmap;

use super::cell::{Cell, Index};
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

/// Words that are counted together: eight for each lane.
const GROUP: usize = 8 * LANES;

/// One word for each lane.
type Lane = [u64; LANES];

/// Counts bits. Carry-save adders add eight words of each lane before any bit is counted, which without an instruction for it is slow
/// (W. Wilson, S. Harley; D. Lemire et al., "Faster population counts using AVX2 instructions", 2018).
#[derive(Default)]
struct Ones {
    ones: Lane,
    twos: Lane,
    fours: Lane,
    eights: u64,
}

impl Ones {
    #[inline(always)]
    fn add(&mut self, group: &[u64; GROUP]) {
        let add = |a: Lane, b: Lane, c: Lane| -> (Lane, Lane) {
            let half: Lane = std::array::from_fn(|i| a[i] ^ b[i]);
            (
                std::array::from_fn(|i| (a[i] & b[i]) | (half[i] & c[i])),
                std::array::from_fn(|i| half[i] ^ c[i]),
            )
        };
        let [w] = group.as_chunks::<LANES>().0.as_chunks::<8>().0 else { return };
        let (a, sum) = add(self.ones, w[0], w[1]);
        let (b, sum) = add(sum, w[2], w[3]);
        let (c, sum) = add(sum, w[4], w[5]);
        let (d, sum) = add(sum, w[6], w[7]);
        self.ones = sum;
        let (e, sum) = add(self.twos, a, b);
        let (f, sum) = add(sum, c, d);
        self.twos = sum;
        let (eight, sum) = add(self.fours, e, f);
        self.fours = sum;
        self.eights += bits(eight);
    }

    fn total(&self) -> u64 {
        8 * self.eights + 4 * bits(self.fours) + 2 * bits(self.twos) + bits(self.ones)
    }
}

fn bits(lane: Lane) -> u64 {
    lane.iter().map(|word| u64::from(word.count_ones())).sum()
}

/// How many bits are set.
fn count_ones(words: &[u64; WORDS]) -> u64 {
    let mut ones = Ones::default();
    words.as_chunks().0.iter().for_each(|group| ones.add(group));
    ones.total()
}

/// The indexes of some cells: of those that persons are to be in, and of those that they are not to be in.
struct Indexes<'a> {
    within: Vec<&'a Index>,
    without: Vec<&'a Index>,
}

impl<'a> Indexes<'a> {
    fn of(cells: &'a [Without], chunk: u32) -> Self {
        let of = |wanted: bool| {
            let cells = cells.iter().filter(|(_, without)| *without == wanted);
            cells.filter_map(|(cell, _)| cell.index_of(chunk)).collect()
        };
        Self { within: of(false), without: of(true) }
    }

    /// Leaves in the line of a number what all of them leave.
    #[inline(always)]
    fn cut(&self, number: usize, line: &mut [u64; LINE]) {
        for index in &self.within {
            let words = index.words.as_chunks().0.get(number).unwrap_or(&[0; LINE]);
            line.iter_mut().zip(words).for_each(|(mine, theirs)| *mine &= theirs);
        }
        for index in &self.without {
            let words = index.words.as_chunks().0.get(number).unwrap_or(&[0; LINE]);
            line.iter_mut().zip(words).for_each(|(mine, theirs)| *mine &= !theirs);
        }
    }
}

/// How many of a chunk meet all of some cells, which have an index of it. No set is made of them.
pub fn count(chunk: u32, cells: &[Without]) -> u64 {
    let indexes = Indexes::of(cells, chunk);
    let mut ones = Ones::default();
    for number in (0..WORDS / LINE).step_by(GROUP / LINE) {
        let mut group = [u64::MAX; GROUP];
        for (line, number) in group.as_chunks_mut().0.iter_mut().zip(number..) {
            indexes.cut(number, line);
        }
        ones.add(&group);
    }
    ones.total()
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

    /// Leaves those who meet all of some cells, in one pass. The cells have an index of the chunk, and the set is of it.
    pub fn narrow(&mut self, cells: &[Without]) {
        let Self::Chunk(chunk, words) = self else { return };
        let indexes = Indexes::of(cells, *chunk);
        for (number, line) in words.as_chunks_mut().0.iter_mut().enumerate() {
            let mut cut = *line;
            indexes.cut(number, &mut cut);
            *line = cut;
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
    use super::super::cell::RowRef;
    use super::*;
    use crate::model::NameId;

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
    fn cells_leave_and_count_those_whom_one_by_one_they_leave() {
        let did = |step: usize| -> Arc<Cell> {
            let persons = (3 << 16..4 << 16).step_by(step);
            Arc::new(Cell::of_rows(
                NameId(2),
                persons.map(|p| (p, 0, RowRef { source: 0, chunk_at: 0, row: 0 })),
            ))
        };
        for lists in
            [&[(2, false)][..], &[(2, true), (3, false)], &[(3, false), (5, false), (7, true), (31, true)]]
        {
            let cells: Vec<Without> = lists.iter().map(|(step, without)| (did(*step), *without)).collect();
            let mut set = PersonSet::all_ids(3);
            set.narrow(&cells);
            let is_left =
                |p: &u32| lists.iter().all(|(step, without)| p.is_multiple_of(*step as u32) != *without);
            let left: Vec<u32> = (0..1 << 16).filter(is_left).map(|p| (3 << 16) + p).collect();
            assert_eq!((set.iter().collect::<Vec<_>>(), count(3, &cells)), (left.clone(), left.len() as u64));
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
