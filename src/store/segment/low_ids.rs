//! The persons of one chunk that something is about: the low 16 bits of their ids, rising.
//!
//! ```text
//! fewer than 1,024     packed, 16 bits each
//! else                 packed, for each high byte how many ids lie before it, and at the end all of them; then each low byte
//! ```

use crate::disk::bits::{Packed, pack, packed_len, width_of};

/// Ids from which 8 bits each and the starts of 256 groups take less than 16 bits each.
const GROUPED_MIN: usize = 1024;
/// Groups, and the end of the last.
const STARTS: usize = 257;

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
}

impl<'a> LowIds<'a> {
    /// `count` ids, and the bytes behind; `None` if the bytes cannot hold them.
    pub fn parse(bytes: &'a [u8], count: usize) -> Option<(Self, &'a [u8])> {
        if count < GROUPED_MIN {
            let list = Packed::new(bytes, count, 16)?;
            return Some((Self { count, form: Form::List(list) }, bytes.get(packed_len(count, 16)?..)?));
        }
        let width = width_of(count as u64);
        let starts = Packed::new(bytes, STARTS, width)?;
        let (lows, rest) = bytes.get(packed_len(STARTS, width)?..)?.split_at_checked(count)?;
        Some((Self { count, form: Form::Grouped { starts, lows } }, rest))
    }

    /// The id at `rank`; 0 past the end.
    pub fn get(&self, rank: usize) -> u16 {
        match &self.form {
            Form::List(list) => list.get(rank) as u16,
            Form::Grouped { starts, lows } => {
                let (mut from, mut to) = (0, STARTS - 1);
                while from + 1 < to {
                    let middle = usize::midpoint(from, to);
                    if starts.get(middle) as usize <= rank { from = middle } else { to = middle }
                }
                (from as u16) << 8 | u16::from(lows.get(rank).copied().unwrap_or(0))
            }
        }
    }

    /// The rank of an id, if it is here.
    pub fn find(&self, low: u16) -> Option<usize> {
        match &self.form {
            Form::List(list) => list.find(self.count, u64::from(low)),
            Form::Grouped { starts, lows } => {
                let group = usize::from(low >> 8);
                let (from, to) = (starts.get(group) as usize, starts.get(group + 1) as usize);
                lows.get(from..to)?.binary_search(&(low as u8)).ok().map(|at| from + at)
            }
        }
    }

    /// All ids, in order.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        let (list, grouped) = match &self.form {
            Form::List(list) => (Some((0..self.count).map(|rank| list.get(rank) as u16)), None),
            Form::Grouped { starts, lows } => {
                let of_group = |group: usize| {
                    let (from, to) = (starts.get(group) as usize, starts.get(group + 1) as usize);
                    let lows = lows.get(from..to).unwrap_or(&[]);
                    lows.iter().map(move |low| (group as u16) << 8 | u16::from(*low))
                };
                (None, Some((0..STARTS - 1).flat_map(of_group)))
            }
        };
        // Damaged starts may tell of more or fewer.
        list.into_iter().flatten().chain(grouped.into_iter().flatten()).take(self.count)
    }
}

/// Appends ids, which rise.
pub fn write_low_ids(ids: &[u16], out: &mut Vec<u8>) {
    if ids.len() < GROUPED_MIN {
        return pack(ids.iter().map(|id| u64::from(*id)), 16, out);
    }
    let before = |group: usize| ids.partition_point(|id| usize::from(*id >> 8) < group) as u64;
    pack((0..STARTS).map(before), width_of(ids.len() as u64), out);
    out.extend(ids.iter().map(|id| *id as u8));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_give_back_every_id_and_no_other() {
        for (count, step) in [(0, 1), (5, 13_000), (1023, 64), (1024, 64), (9362, 7), (65_536, 1)] {
            let ids: Vec<u16> = (0..count).map(|i| (i * step) as u16).collect();
            let mut out = Vec::new();
            write_low_ids(&ids, &mut out);
            let (read, rest) = LowIds::parse(&out, ids.len()).unwrap();
            assert!(rest.is_empty());
            assert_eq!(read.iter().collect::<Vec<_>>(), ids);
            assert!(ids.iter().enumerate().all(|(rank, id)| read.get(rank) == *id));
            for id in 0..=u16::MAX {
                assert_eq!(read.find(id), ids.binary_search(&id).ok(), "{count} {id}");
            }
            for cut in [0, out.len() / 2, out.len().saturating_sub(1)] {
                assert!(cut == out.len() || LowIds::parse(&out[..cut], ids.len()).is_none());
            }
        }
    }
}
