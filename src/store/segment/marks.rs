//! Where groups of rows begin: a bit for each row, set on the first one of each group, and samples from which the first row of any
//! group is found. Some 1.2 bits a row, where a packed list of first rows takes twenty for each group.
//!
//! ```text
//! bits       one per row, lowest first, in words of 64
//! samples    packed, the first row of every 64th group
//! ```

use std::ops::Range;

use crate::disk::bits::{Packed, pack, packed_len, width_of, word_at};

/// Groups from one sample to the next.
const SAMPLE: usize = 64;

/// First rows of groups, borrowed.
#[derive(Clone, Copy)]
pub struct Marks<'a> {
    bits: &'a [u8],
    samples: Packed<'a>,
    rows: usize,
    groups: usize,
}

impl<'a> Marks<'a> {
    /// Of `groups` groups of `rows` rows, and the bytes behind; `None` if the bytes cannot hold them.
    pub fn parse(bytes: &'a [u8], rows: usize, groups: usize) -> Option<(Self, &'a [u8])> {
        let (bits, rest) = bytes.split_at_checked(rows.div_ceil(64).checked_mul(8)?)?;
        let (count, width) = (groups.div_ceil(SAMPLE), width_of(rows as u64));
        let samples = Packed::new(rest, count, width)?;
        let rest = rest.get(packed_len(count, width)?..)?;
        Some((Self { bits, samples, rows, groups }, rest))
    }

    #[inline]
    fn word(&self, at: usize) -> u64 {
        word_at(self.bits, at)
    }

    /// The first marked row at or behind `row`, or the number of rows.
    #[inline]
    fn next(&self, row: usize) -> usize {
        let mut at = row / 64;
        let mut word = self.word(at) & (u64::MAX << (row % 64));
        while word == 0 {
            at += 1;
            if at * 64 >= self.rows {
                return self.rows;
            }
            word = self.word(at);
        }
        (at * 64 + word.trailing_zeros() as usize).min(self.rows)
    }

    /// The first row of a group, or the number of rows where there is none.
    pub fn first_row(&self, group: usize) -> usize {
        if group >= self.groups {
            return self.rows;
        }
        let mut row = (self.samples.get(group / SAMPLE) as usize).min(self.rows);
        let mut left = group % SAMPLE;
        let mut at = row / 64;
        let mut word = self.word(at) & (u64::MAX << (row % 64));
        loop {
            let here = word.count_ones() as usize;
            if here > left {
                (0..left).for_each(|_| word &= word - 1);
                row = at * 64 + word.trailing_zeros() as usize;
                return row.min(self.rows);
            }
            left -= here;
            at += 1;
            if at * 64 >= self.rows {
                return self.rows;
            }
            word = self.word(at);
        }
    }

    /// The rows of a group.
    pub fn rows_of(&self, group: usize) -> Range<usize> {
        let from = self.first_row(group);
        from..if from < self.rows { self.next(from + 1) } else { from }
    }

    /// The group of a row.
    pub fn group_of(&self, row: usize) -> usize {
        let (mut from, mut to) = (0, self.groups.div_ceil(SAMPLE));
        while from + 1 < to {
            let middle = usize::midpoint(from, to);
            if self.samples.get(middle) as usize <= row { from = middle } else { to = middle }
        }
        let first = self.samples.get(from) as usize;
        // Marks behind the sampled one, up to the row.
        let (begin, end) = (first + 1, row + 1);
        let mut marks = 0;
        for at in begin / 64..end.div_ceil(64) {
            let mut word = self.word(at);
            if at == begin / 64 {
                word &= u64::MAX << (begin % 64);
            }
            if at == end / 64 {
                word &= !(u64::MAX << (end % 64));
            }
            marks += word.count_ones() as usize;
        }
        from * SAMPLE + marks
    }

    /// The rows of each group, in order.
    pub fn iter(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let mut from = 0;
        (0..self.groups).map(move |_| {
            let to = if from < self.rows { self.next(from + 1) } else { from };
            let rows = from..to;
            from = to;
            rows
        })
    }
}

/// Appends the marks of groups whose first rows are `firsts`, the first of them 0.
pub fn write_marks(firsts: &[usize], rows: usize, out: &mut Vec<u8>) {
    let mut words = vec![0u64; rows.div_ceil(64)];
    for first in firsts {
        words.get_mut(first / 64).into_iter().for_each(|word| *word |= 1 << (first % 64));
    }
    words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
    pack(firsts.iter().step_by(SAMPLE).map(|first| *first as u64), width_of(rows as u64), out);
}

#[cfg(test)]
mod tests {
    use super::super::tests::noise;
    use super::*;

    #[test]
    fn every_group_is_found_and_cut_bytes_are_none() {
        for lengths in [vec![], vec![1], vec![1; 700], vec![3, 1, 200, 64, 1, 5000, 2], vec![65; 130]] {
            let firsts: Vec<usize> = lengths
                .iter()
                .scan(0, |sum, length| {
                    *sum += length;
                    Some(*sum - length)
                })
                .collect();
            let rows: usize = lengths.iter().sum();
            let mut out = Vec::new();
            write_marks(&firsts, rows, &mut out);
            let (marks, rest) = Marks::parse(&out, rows, firsts.len()).unwrap();
            assert!(rest.is_empty());
            let ends = firsts.iter().skip(1).copied().chain([rows]);
            let expected: Vec<Range<usize>> = firsts.iter().copied().zip(ends).map(|(a, b)| a..b).collect();
            assert_eq!(marks.iter().collect::<Vec<_>>(), expected);
            let each: Vec<Range<usize>> = (0..firsts.len()).map(|group| marks.rows_of(group)).collect();
            assert_eq!(each, expected);
            assert!(marks.rows_of(firsts.len()).is_empty());
            for (group, rows) in expected.iter().enumerate() {
                assert!(rows.clone().all(|row| marks.group_of(row) == group));
            }
            for cut in 0..out.len() {
                assert!(Marks::parse(&out[..cut], rows, firsts.len()).is_none());
            }
        }
    }

    #[test]
    fn any_bytes_give_rows_that_exist() {
        let mut random = 88172645463325252u64;
        for _ in 0..200 {
            let bytes = noise(&mut random, 200);
            let Some((marks, _)) = Marks::parse(&bytes, 300, 100) else { continue };
            assert!((0..200).all(|group| marks.rows_of(group).end <= 300));
            assert!(marks.iter().all(|rows| rows.start <= rows.end && rows.end <= 300));
        }
    }
}
