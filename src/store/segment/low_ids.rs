//! The persons of one chunk that something is about: the low 16 bits of their ids, rising.
//!
//! ```text
//! fewer than 1,024     packed, 16 bits each
//! else                 packed, for each high byte how many ids lie before it, and at the end all of them; then
//!   fewer than 8,192   each low byte
//!   else               for each high byte 256 bits, lowest first, set where the id is here
//! ```
//! Segments before version 004 have no bits.

use roaring::RoaringBitmap;

use super::Version;
use crate::disk::bits::{Packed, pack, packed_len, width_of};

/// Ids from which 8 bits each and the starts of 256 groups take less than 16 bits each.
const GROUPED_MIN: usize = 1024;
/// Ids from which a bit for each id that could be here takes no more than 8 bits for each that is.
const BITS_MIN: usize = (1 << 16) / 8;
/// Groups, and the end of the last.
const STARTS: usize = 257;
/// Bytes of the bits of one group.
const GROUP_BYTES: usize = 32;

/// Low 16 bits of ids, borrowed.
#[derive(Clone, Copy)]
pub struct LowIds<'a> {
    count: usize,
    form: Form<'a>,
}

#[derive(Clone, Copy)]
enum Form<'a> {
    List(Packed<'a>),
    Grouped { starts: Packed<'a>, lows: &'a [u8] },
    Bits { starts: Packed<'a>, bits: &'a [u8] },
}

/// The bits of a group as four words.
fn words(bits: &[u8], group: usize) -> [u64; 4] {
    let bytes = bits.get(group * GROUP_BYTES..(group + 1) * GROUP_BYTES).unwrap_or(&[]);
    let mut words = [0; 4];
    let (eights, _) = bytes.as_chunks::<8>();
    words.iter_mut().zip(eights).for_each(|(word, bytes)| *word = u64::from_le_bytes(*bytes));
    words
}

impl<'a> LowIds<'a> {
    /// `count` ids, and the bytes behind; `None` if the bytes cannot hold them.
    pub fn parse(bytes: &'a [u8], count: usize, version: Version) -> Option<(Self, &'a [u8])> {
        if count > 1 << 16 {
            return None;
        }
        if count < GROUPED_MIN {
            let list = Packed::new(bytes, count, 16)?;
            return Some((Self { count, form: Form::List(list) }, bytes.get(packed_len(count, 16)?..)?));
        }
        let width = width_of(count as u64);
        let starts = Packed::new(bytes, STARTS, width)?;
        let bytes = bytes.get(packed_len(STARTS, width)?..)?;
        if count < BITS_MIN || version < Version::V004 {
            let (lows, rest) = bytes.split_at_checked(count)?;
            return Some((Self { count, form: Form::Grouped { starts, lows } }, rest));
        }
        let (bits, rest) = bytes.split_at_checked(GROUP_BYTES << 8)?;
        Some((Self { count, form: Form::Bits { starts, bits } }, rest))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes that `count` ids take from version 004 on.
    pub fn length(count: usize) -> Option<usize> {
        if count < GROUPED_MIN {
            return packed_len(count, 16);
        }
        let of_groups = if count < BITS_MIN { count } else { GROUP_BYTES << 8 };
        packed_len(STARTS, width_of(count as u64))?.checked_add(of_groups)
    }

    /// The id at `rank`; 0 past the end.
    pub fn get(&self, rank: usize) -> u16 {
        match &self.form {
            Form::List(list) => list.get(rank) as u16,
            Form::Grouped { starts, lows } => {
                (group_of(starts, rank) as u16) << 8 | u16::from(lows.get(rank).copied().unwrap_or(0))
            }
            Form::Bits { starts, bits } => {
                let group = group_of(starts, rank);
                let mut left = rank - (starts.get(group) as usize).min(rank);
                for (at, mut word) in (0u16..).zip(words(bits, group)) {
                    let here = word.count_ones() as usize;
                    if left < here {
                        (0..left).for_each(|_| word &= word - 1);
                        return (group as u16) << 8 | at << 6 | word.trailing_zeros() as u16;
                    }
                    left -= here;
                }
                0
            }
        }
    }

    /// The rank of an id, if it is here.
    pub fn find(&self, low: u16) -> Option<usize> {
        let group = usize::from(low >> 8);
        match &self.form {
            Form::List(list) => list.find(self.count, u64::from(low)),
            Form::Grouped { starts, lows } => {
                let (from, to) = (starts.get(group) as usize, starts.get(group + 1) as usize);
                lows.get(from..to)?.binary_search(&(low as u8)).ok().map(|at| from + at)
            }
            Form::Bits { starts, bits } => {
                let (words, at) = (words(bits, group), usize::from(low as u8) / 64);
                let (word, bit) = (words.get(at)?, 1u64 << (low % 64));
                let before = words.iter().take(at).map(|word| word.count_ones()).sum::<u32>();
                let rank = starts.get(group) as usize + (before + (word & (bit - 1)).count_ones()) as usize;
                (word & bit != 0 && rank < self.count).then_some(rank)
            }
        }
    }

    /// All ids, in order.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        let (list, grouped, bits) = match &self.form {
            Form::List(list) => (Some((0..self.count).map(|rank| list.get(rank) as u16)), None, None),
            Form::Grouped { starts, lows } => {
                let of_group = |group: usize| {
                    let (from, to) = (starts.get(group) as usize, starts.get(group + 1) as usize);
                    let lows = lows.get(from..to).unwrap_or(&[]);
                    lows.iter().map(move |low| (group as u16) << 8 | u16::from(*low))
                };
                (None, Some((0..STARTS - 1).flat_map(of_group)), None)
            }
            Form::Bits { bits, .. } => (None, None, Some(ids_of(bits))),
        };
        // Damaged starts may tell of more or fewer.
        let each = list.into_iter().flatten().chain(grouped.into_iter().flatten());
        each.chain(bits.into_iter().flatten()).take(self.count)
    }

    /// Adds the ids, as the low halves of persons of a chunk, to a set that has only lower ones; `None` if they do not rise.
    pub fn append_to(&self, set: &mut RoaringBitmap, chunk: u32) -> Option<()> {
        match &self.form {
            Form::Bits { bits, .. } => *set |= RoaringBitmap::from_lsb0_bytes(chunk << 16, bits),
            _ => drop(set.append(self.iter().map(|low| chunk << 16 | u32::from(low))).ok()?),
        }
        Some(())
    }
}

/// The group of the id at `rank`.
fn group_of(starts: &Packed<'_>, rank: usize) -> usize {
    let (mut from, mut to) = (0, STARTS - 1);
    while from + 1 < to {
        let middle = usize::midpoint(from, to);
        if starts.get(middle) as usize <= rank { from = middle } else { to = middle }
    }
    from
}

/// The places of the bits that are set.
fn ids_of(bits: &[u8]) -> impl Iterator<Item = u16> + '_ {
    let (eights, _) = bits.as_chunks::<8>();
    (0u16..).zip(eights).flat_map(|(at, bytes)| {
        let mut word = u64::from_le_bytes(*bytes);
        std::iter::from_fn(move || {
            let bit = (word != 0).then(|| word.trailing_zeros() as u16)?;
            word &= word - 1;
            Some(at << 6 | bit)
        })
    })
}

/// Appends ids, which rise.
pub fn write_low_ids(ids: &[u16], out: &mut Vec<u8>) {
    if ids.len() < GROUPED_MIN {
        return pack(ids.iter().map(|id| u64::from(*id)), 16, out);
    }
    let before = |group: usize| ids.partition_point(|id| usize::from(*id >> 8) < group) as u64;
    pack((0..STARTS).map(before), width_of(ids.len() as u64), out);
    if ids.len() < BITS_MIN {
        return out.extend(ids.iter().map(|id| *id as u8));
    }
    let begin = out.len();
    out.resize(begin + (GROUP_BYTES << 8), 0);
    for id in ids {
        let byte = out.get_mut(begin + usize::from(*id) / 8);
        byte.into_iter().for_each(|byte| *byte |= 1 << (id % 8));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_gives_back_every_id_and_no_other() {
        let cases =
            [(0, 1), (5, 13_000), (1023, 64), (1024, 64), (8191, 8), (8192, 8), (9362, 7), (65_536, 1)];
        for (count, step) in cases {
            let ids: Vec<u16> = (0..count).map(|i| (i * step) as u16).collect();
            let mut out = Vec::new();
            write_low_ids(&ids, &mut out);
            assert_eq!(LowIds::length(ids.len()), Some(out.len()));
            let (read, rest) = LowIds::parse(&out, ids.len(), Version::V005).unwrap();
            assert!(rest.is_empty());
            is_like(&read, &ids);
            for cut in [0, out.len() / 2, out.len().saturating_sub(1)] {
                assert!(cut == out.len() || LowIds::parse(&out[..cut], ids.len(), Version::V005).is_none());
            }
        }
    }

    fn is_like(read: &LowIds<'_>, ids: &[u16]) {
        assert_eq!(read.iter().collect::<Vec<_>>(), ids);
        assert!(ids.iter().enumerate().all(|(rank, id)| read.get(rank) == *id));
        for id in 0..=u16::MAX {
            assert_eq!(read.find(id), ids.binary_search(&id).ok(), "{} {id}", ids.len());
        }
        let mut set = RoaringBitmap::from([3]);
        read.append_to(&mut set, 1).unwrap();
        assert!(set.into_iter().eq([3].into_iter().chain(ids.iter().map(|id| 1 << 16 | u32::from(*id)))));
    }

    #[test]
    fn no_more_ids_than_there_can_be_are_read() {
        assert!(LowIds::parse(&[0; 20_000], 1 << 16, Version::V005).is_some());
        assert!(LowIds::parse(&[0; 20_000], (1 << 16) + 1, Version::V005).is_none());
    }

    #[test]
    fn many_ids_of_older_segments_are_listed() {
        let ids: Vec<u16> = (0..20_000).map(|i| i * 3).collect();
        let mut out = Vec::new();
        pack(
            (0..STARTS).map(|group| ids.partition_point(|id| usize::from(*id >> 8) < group) as u64),
            15,
            &mut out,
        );
        out.extend(ids.iter().map(|id| *id as u8));
        let (read, rest) = LowIds::parse(&out, ids.len(), Version::V003).unwrap();
        assert!(rest.is_empty());
        is_like(&read, &ids);
    }

    #[test]
    fn bits_that_contradict_their_starts_harm_nobody() {
        let ids: Vec<u16> = (0..30_000).map(|i| i * 2).collect();
        let mut out = Vec::new();
        write_low_ids(&ids, &mut out);
        for at in (0..out.len()).step_by(97) {
            out[at] ^= 0x5a;
            let (read, _) = LowIds::parse(&out, ids.len(), Version::V005).unwrap();
            assert!(read.iter().count() <= ids.len());
            assert!((0..=u16::MAX).step_by(31).all(|id| read.find(id).is_none_or(|rank| rank < ids.len())));
            (0..70_000).step_by(31).for_each(|rank| _ = read.get(rank));
        }
    }
}
