//! Cohorts whose buckets are all equally long, at most 64, and of which nothing but people is counted: the buckets of a person are
//! the bits of a word.

use std::sync::Arc;

use super::cell::Cell;
use super::mask_counter::MaskCounter;
use super::persons::{PersonSet, WORDS};
use crate::model::{Millis, PersonId};

/// Buckets of equal length.
pub struct EqualBuckets {
    /// Milliseconds of all of them together.
    span: u64,
    /// An instant's bucket is its distance from the start, shifted, times this, past the 64th bit: the shift and the factor are those
    /// of a division by the length (T. Granlund, P. Montgomery, "Division by invariant integers", 1994).
    shift: u32,
    factor: u64,
    as_of: Millis,
}

impl EqualBuckets {
    /// `count` buckets of `length` milliseconds, which is at least three and no power of two; rows after `as_of` are not seen.
    pub fn new(length: i64, count: usize, as_of: Millis) -> Self {
        let length = length.unsigned_abs();
        let shift = length.trailing_zeros();
        Self { span: length * count as u64, shift, factor: u64::MAX / (length >> shift) + 1, as_of }
    }

    #[inline]
    fn of(&self, distance: u64) -> u32 {
        ((u128::from(distance >> self.shift) * u128::from(self.factor)) >> 64) as u32
    }

    /// The buckets of a person who started at `begin` and came back at `times`. No branch depends on a time.
    #[inline]
    fn mask(&self, begin: Millis, times: &[Millis]) -> u64 {
        let seen = self.as_of.saturating_sub(begin).saturating_add(1).max(0).unsigned_abs();
        let end = self.span.min(seen);
        let mut mask = 0;
        for time in times {
            // A time before the start wraps to one far behind the end.
            let distance = time.wrapping_sub(begin) as u64;
            mask |= u64::from(distance < end) << (self.of(distance) & 63);
        }
        mask
    }

    /// Calls `visit` with every person of `start` who is in `allowed` and began in `range`: when, and the buckets.
    pub fn walk<E>(
        &self,
        start: &Cell,
        returns: &[Arc<Cell>],
        allowed: Option<&PersonSet>,
        range: (Millis, Millis),
        mut visit: impl FnMut(PersonId, Millis, u64) -> Result<(), E>,
    ) -> Result<(), E> {
        let wanted = |person, begin: Millis| {
            range.0 <= begin && begin < range.1 && allowed.is_none_or(|allowed| allowed.contains(person))
        };
        if let [one] = returns
            && let (Some(index), Some(theirs)) = (&start.index, &one.index)
            && index.chunk == theirs.chunk
        {
            // Both lists of persons are gone through at once, by the bits of who is in either.
            let (mut rank, mut their_rank) = (0, 0);
            for word in 0..WORDS {
                let (own, other) = (index.words[word], theirs.words[word]);
                let mut bits = own | other;
                while bits != 0 {
                    let bit = bits & bits.wrapping_neg();
                    bits ^= bit;
                    let (here, there) = (own & bit != 0, other & bit != 0);
                    if here {
                        let person = index.chunk << 16 | (word as u32) << 6 | bit.trailing_zeros();
                        let begin = start.first(rank);
                        if wanted(person, begin) {
                            let times = if there { one.times(their_rank) } else { &[] };
                            visit(person, begin, self.mask(begin, times))?;
                        }
                    }
                    rank += usize::from(here);
                    their_rank += usize::from(there);
                }
            }
            return Ok(());
        }
        let mut near = vec![0; returns.len()];
        for (rank, person) in start.persons.iter().enumerate() {
            let begin = start.first(rank);
            if !wanted(*person, begin) {
                continue;
            }
            let mut mask = 0;
            for (cell, near) in returns.iter().zip(&mut near) {
                if let Some(rank) = cell.find(*person, near) {
                    mask |= self.mask(begin, cell.times(rank));
                }
            }
            visit(*person, begin, mask)?;
        }
        Ok(())
    }
}

/// A cohort of which only people are counted.
#[derive(Clone, Debug)]
pub struct MaskTally {
    /// People in it.
    pub size: u64,
    /// When the last of them started, for whom the fewest buckets have ended.
    pub latest: Millis,
    /// How many came back in each bucket.
    pub came: MaskCounter,
}

impl Default for MaskTally {
    fn default() -> Self {
        Self { size: 0, latest: Millis::MIN, came: MaskCounter::default() }
    }
}

impl MaskTally {
    /// Adds a person.
    #[inline]
    pub fn add(&mut self, begin: Millis, mask: u64) {
        self.size += 1;
        self.latest = self.latest.max(begin);
        self.came.add(mask);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_distance_is_in_the_bucket_that_a_division_gives() {
        for length in [86_400_000i64, 604_800_000] {
            let buckets = EqualBuckets::new(length, 64, Millis::MAX);
            for bucket in 0..64 {
                for near in [-1, 0, 1, 1023, 1024, length / 2, length - 1] {
                    let distance = (bucket * length + near).max(0);
                    assert_eq!(i64::from(buckets.of(distance as u64)), distance / length);
                }
            }
        }
    }

    #[test]
    fn what_lies_before_the_start_behind_the_last_bucket_or_after_now_is_left_out() {
        let day = 86_400_000;
        let buckets = EqualBuckets::new(day, 3, 10 * day);
        let times = [0, 5 * day - 1, 5 * day, 6 * day, 8 * day - 1, 8 * day];
        assert_eq!(buckets.mask(5 * day, &times), 0b111);
        assert_eq!(buckets.mask(9 * day, &[9 * day, 10 * day, 10 * day + 1]), 0b11);
        assert_eq!(buckets.mask(10 * day, &[10 * day, 11 * day]), 0b1);
    }
}
