//! Columns of unsigned integers of which most need fewer bits than the largest: a bit for each says whether it is one of the others,
//! whose high bits lie apart. Any row can still be read alone.
//!
//! ```text
//! narrow = wide    packed, and nothing else
//! else
//!   bits           one per row, lowest first, in words of 64: set where the value is a wide one
//!   samples        u32, for every 512 rows how many wide ones lie before them, and at the end all
//!   low            packed, the low `narrow` bits of every row
//!   high           packed, the other bits of the wide ones
//! ```
//! Method: patched frames of reference, M. Zukowski, S. Heman, N. Nes, P. Boncz, "Super-Scalar RAM-CPU Cache Compression", ICDE 2006,
//! with the exceptions found by counting bits instead of following a chain.

use super::Version;
use crate::disk::bits::{Packed, pack, packed_len, width_of, word_at};
use crate::disk::codec::Reader;

/// Words of bits from one sample to the next.
const SAMPLE_WORDS: usize = 8;

/// Bits of padding and samples that a column of two widths has more than one of one, whatever its rows.
const FIXED_BITS: usize = 192;

/// How many bits most values of a column have, and how many all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Widths {
    /// Of most.
    pub narrow: u8,
    /// Of all.
    pub wide: u8,
}

impl Widths {
    /// Those of a column in a segment of a version: before 005 there is one.
    pub fn read(reader: &mut Reader<'_>, version: Version) -> Option<Self> {
        let narrow = reader.u8()?;
        Some(Self { narrow, wide: if version >= Version::V005 { reader.u8()? } else { narrow } })
    }
}

/// How many of some values need how many bits.
pub struct Histogram([usize; 65]);

impl Histogram {
    /// Of some values.
    pub fn of(values: impl Iterator<Item = u64>) -> Self {
        let mut counts = [0; 65];
        for value in values {
            counts.get_mut(usize::from(width_of(value))).into_iter().for_each(|count| *count += 1);
        }
        Self(counts)
    }

    /// The widths by which `rows` values take least, the widest of which has `wide` bits, if those of which this is the histogram tell of
    /// all; any that are not in it are wide ones.
    pub fn widths(&self, wide: u8, rows: usize) -> Widths {
        let wide = usize::from(wide);
        let bits = rows + rows / (2 * SAMPLE_WORDS) + FIXED_BITS;
        let mut best = (rows * wide, wide);
        let mut small = 0;
        for (narrow, count) in self.0.iter().enumerate().take(wide) {
            small += count;
            let all = bits + rows * narrow + rows.saturating_sub(small) * (wide - narrow);
            best = best.min((all, narrow));
        }
        Widths { narrow: best.1 as u8, wide: wide as u8 }
    }

    /// The same, of one value in so many.
    pub fn times(self, many: usize) -> Self {
        Self(self.0.map(|count| count * many))
    }
}

/// A column, borrowed.
#[derive(Clone, Copy)]
pub struct Patched<'a> {
    low: Packed<'a>,
    /// If not all values are as wide.
    wide: Option<Wide<'a>>,
}

#[derive(Clone, Copy)]
struct Wide<'a> {
    bits: &'a [u8],
    samples: &'a [u8],
    high: Packed<'a>,
    narrow: u8,
}

impl<'a> Patched<'a> {
    /// A column of `rows` values, and the bytes behind; `None` if the bytes cannot hold them.
    pub fn parse(bytes: &'a [u8], rows: usize, widths: Widths) -> Option<(Self, &'a [u8])> {
        let Widths { narrow, wide } = widths;
        let packed = |bytes: &'a [u8], count: usize, width: u8| {
            Some((Packed::new(bytes, count, width)?, bytes.get(packed_len(count, width)?..)?))
        };
        if narrow == wide {
            let (low, rest) = packed(bytes, rows, wide)?;
            return Some((Self { low, wide: None }, rest));
        }
        let words = rows.div_ceil(64);
        let (bits, rest) = bytes.split_at_checked(words.checked_mul(8)?)?;
        let (samples, rest) = rest.split_at_checked((words.div_ceil(SAMPLE_WORDS) + 1) * 4)?;
        let count = samples.last_chunk::<4>().map(|last| u32::from_le_bytes(*last))?;
        let (low, rest) = packed(rest, rows, narrow)?;
        let (high, rest) = packed(rest, count as usize, wide.checked_sub(narrow)?)?;
        Some((Self { low, wide: Some(Wide { bits, samples, high, narrow }) }, rest))
    }

    /// The value of a row.
    #[inline]
    pub fn get(&self, row: usize) -> u64 {
        self.find(row).0
    }

    /// The value of a row, and whether it is a wide one: all are if there is one width.
    #[inline]
    pub fn find(&self, row: usize) -> (u64, bool) {
        let low = self.low.get(row);
        match &self.wide {
            None => (low, true),
            Some(wide) => wide.rank(row).map_or((low, false), |rank| (low | wide.high(rank), true)),
        }
    }
}

impl Wide<'_> {
    #[inline]
    fn word(&self, at: usize) -> u64 {
        word_at(self.bits, at)
    }

    /// How many wide rows lie before a row, if it is one itself.
    #[inline]
    fn rank(&self, row: usize) -> Option<usize> {
        let word = self.word(row / 64);
        if word >> (row % 64) & 1 == 0 {
            return None;
        }
        let sample = row / 64 / SAMPLE_WORDS;
        let before = self.samples.get(sample * 4..).and_then(|b| b.first_chunk::<4>());
        let before = before.map_or(0, |bytes| u32::from_le_bytes(*bytes)) as usize;
        let words = (sample * SAMPLE_WORDS..row / 64).map(|at| self.word(at).count_ones() as usize);
        let here = (word & !(u64::MAX << (row % 64))).count_ones() as usize;
        Some(before + words.sum::<usize>() + here)
    }

    /// The high bits of a wide row, in their place.
    #[inline]
    fn high(&self, rank: usize) -> u64 {
        self.high.get(rank).checked_shl(u32::from(self.narrow)).unwrap_or(0)
    }
}

/// Appends a column; of each value whether it is a wide one, which only those below 2^`narrow` need not be.
pub fn write_patched(
    values: impl Iterator<Item = (u64, bool)> + Clone,
    Widths { narrow, wide }: Widths,
    out: &mut Vec<u8>,
) {
    if narrow == wide {
        return pack(values.map(|(value, _)| value), wide, out);
    }
    let (mut words, mut word) = (Vec::new(), 0);
    let mut rows = 0u32;
    for (_, is_wide) in values.clone() {
        word |= u64::from(is_wide) << (rows % 64);
        rows += 1;
        if rows.is_multiple_of(64) {
            words.push(std::mem::take(&mut word));
        }
    }
    if !rows.is_multiple_of(64) {
        words.push(word);
    }
    words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
    let mut sum = 0u32;
    for words in words.chunks(SAMPLE_WORDS) {
        out.extend_from_slice(&sum.to_le_bytes());
        sum += words.iter().map(|word| word.count_ones()).sum::<u32>();
    }
    out.extend_from_slice(&sum.to_le_bytes());
    let mask = !(u64::MAX << narrow);
    pack(values.clone().map(|(value, _)| value & mask), narrow, out);
    pack(values.filter(|(_, is_wide)| *is_wide).map(|(value, _)| value >> narrow), wide - narrow, out);
}

/// One value in how many tells what a column of so many is like.
pub fn step(rows: usize) -> usize {
    if rows < 1 << 12 { 1 } else { 8 }
}

/// Appends a column of numbers; its widths.
pub fn write_numbers(values: impl Iterator<Item = u64> + Clone, out: &mut Vec<u8>) -> Widths {
    let (rows, all) = values.clone().fold((0, 0), |(rows, all), value| (rows + 1, all | value));
    let step = step(rows);
    let sample = Histogram::of(values.clone().step_by(step)).times(step);
    let widths = sample.widths(width_of(all), rows);
    if widths.narrow == widths.wide {
        pack(values, widths.wide, out);
    } else {
        write_patched(values.map(|value| (value, value >> widths.narrow > 0)), widths, out);
    }
    widths
}

#[cfg(test)]
mod tests {
    use super::super::tests::noise;
    use super::*;

    fn columns() -> Vec<Vec<u64>> {
        let few_large =
            |rows: u64, every: u64| (0..rows).map(move |i| if i % every == 3 { i << 30 } else { i % 5 });
        vec![
            vec![],
            vec![7],
            (0..1000).collect(),
            few_large(64, 9).collect(),
            few_large(5000, 40).collect(),
            few_large(513, 512).collect(),
            [0, 0, u64::MAX, 0].repeat(300),
            [u64::MAX].repeat(3),
            [0].repeat(100),
        ]
    }

    #[test]
    fn every_value_comes_back_in_no_more_bytes_than_packed_and_cut_bytes_do_not() {
        for values in columns() {
            let mut out = Vec::new();
            let widths = write_numbers(values.iter().copied(), &mut out);
            let packed = packed_len(values.len(), widths.wide).unwrap();
            assert!(out.len() <= packed + 32, "{} {packed} {widths:?}", out.len());
            let (column, rest) = Patched::parse(&out, values.len(), widths).unwrap();
            assert!(rest.is_empty());
            let read: Vec<u64> = (0..values.len()).map(|row| column.get(row)).collect();
            assert_eq!(read, values);
            for cut in 0..out.len() {
                assert!(Patched::parse(&out[..cut], values.len(), widths).is_none(), "{cut}");
            }
        }
        let mostly_small = &columns()[4];
        let mut out = Vec::new();
        assert_eq!(write_numbers(mostly_small.iter().copied(), &mut out).narrow, 3);
        assert!(out.len() * 5 < packed_len(mostly_small.len(), 43).unwrap());
    }

    #[test]
    fn a_small_value_can_be_a_wide_one() {
        let values = [(5, true), (5, false), (700, true), (0, true)];
        let widths = Widths { narrow: 3, wide: 10 };
        let mut out = Vec::new();
        write_patched(values.into_iter(), widths, &mut out);
        let (column, _) = Patched::parse(&out, 4, widths).unwrap();
        assert!(values.iter().enumerate().all(|(row, value)| column.find(row) == *value));
    }

    #[test]
    fn any_bytes_give_some_values() {
        let mut random = 88172645463325252u64;
        for _ in 0..500 {
            let mut bytes = noise(&mut random, 1500);
            // So few wide ones that there is room for them.
            let at = 1024 / 8 + 8;
            bytes[at..at + 4].copy_from_slice(&[100, 0, 0, 0]);
            for widths in [
                Widths { narrow: 0, wide: 64 },
                Widths { narrow: 7, wide: 7 },
                Widths { narrow: 9, wide: 12 },
            ] {
                let Some((column, _)) = Patched::parse(&bytes, 1024, widths) else { panic!("{widths:?}") };
                (0..2000).for_each(|row| _ = column.find(row));
            }
            assert!(Patched::parse(&bytes, 1024, Widths { narrow: 9, wide: 8 }).is_none());
            assert!(Patched::parse(&bytes, usize::MAX, Widths { narrow: 1, wide: 8 }).is_none());
        }
    }
}
