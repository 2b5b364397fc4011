//! At which time the store was at which arrival number. Most records arrive as they happen, so the arrival number of a set or identify
//! is nearly that of its time, and only by how much it differs is stored.
//!
//! ```text
//! base i64, shift u8       a cell is 2^shift milliseconds
//! first u64, count u32, width u8
//! arrivals                 packed, for the begin of each cell: the arrival number then - first
//! ```

use crate::disk::bits::{Packed, pack, width_of};
use crate::disk::codec::Reader;
use crate::model::Millis;

/// Records for each cell, on average.
pub const RECORDS: usize = 32;
/// Of so many records the earliest and the latest may lie outside: a wrong clock shall not make all cells long.
const OUTSIDE: usize = 512;

/// Arrival numbers by time, borrowed. The default is that of nothing: 0 at any time.
#[derive(Clone, Copy, Default)]
pub struct Clock<'a> {
    base: Millis,
    shift: u8,
    first: u64,
    count: usize,
    width: u8,
    arrivals: Option<Packed<'a>>,
}

impl<'a> Clock<'a> {
    /// Reads it; `None` if the bytes cannot hold it. No bytes are the default.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::default());
        }
        let mut reader = Reader::new(bytes);
        let (base, shift, first) = (reader.i64()?, reader.u8()?, reader.u64()?);
        let (count, width) = (reader.u32()? as usize, reader.u8()?);
        let arrivals = Packed::new(bytes.get(reader.offset()..)?, count, width)?;
        (shift < 64 && count > 0).then_some(Self {
            base,
            shift,
            first,
            count,
            width,
            arrivals: Some(arrivals),
        })
    }

    fn arrival(&self, cell: usize) -> u64 {
        self.arrivals.map_or(0, |arrivals| arrivals.get(cell.min(self.count.saturating_sub(1))))
    }

    /// About the arrival number of a record of this time.
    #[inline]
    pub fn about(&self, time: Millis) -> u64 {
        let since = time.saturating_sub(self.base).max(0) as u64;
        let cell = usize::try_from(since >> self.shift).unwrap_or(usize::MAX);
        let (from, to) = (self.arrival(cell), self.arrival(cell.saturating_add(1)));
        let within = since & !(u64::MAX << self.shift);
        let more = (u128::from(to.saturating_sub(from)) * u128::from(within)) >> self.shift;
        self.first.wrapping_add(from).wrapping_add(more as u64)
    }

    /// What is stored of the arrival number of a record: small if it came in time.
    pub fn stored(&self, time: Millis, arrival: u64) -> u64 {
        let late = arrival.wrapping_sub(self.about(time)) as i64;
        ((late << 1) ^ (late >> 63)) as u64
    }

    /// The arrival number of which this is stored.
    pub fn restored(&self, time: Millis, stored: u64) -> u64 {
        let late = (stored >> 1) as i64 ^ -((stored & 1) as i64);
        self.about(time).wrapping_add(late as u64)
    }

    /// The begin of each cell before which something arrived, and the arrival number then: for a segment that its rows go to.
    pub fn points(&self) -> impl Iterator<Item = (Millis, u64)> + '_ {
        let differs = |cell: &usize| *cell == 0 || self.arrival(*cell) != self.arrival(*cell - 1);
        // Without a bit for each cell they are all alike, however many a damaged clock tells of.
        let count = if self.width == 0 { self.count.min(1) } else { self.count };
        (0..count).filter(differs).map(|cell| {
            let since = (cell as i64).wrapping_shl(u32::from(self.shift));
            (self.base.wrapping_add(since), self.first.wrapping_add(self.arrival(cell)))
        })
    }
}

/// The bytes of the clock of some records, of each its time and arrival number, and [`RECORDS`] for each cell; or of the points of other
/// clocks, and one for each cell.
pub fn write_clock(points: impl Iterator<Item = (Millis, u64)> + Clone, for_each_cell: usize) -> Vec<u8> {
    // Some tell well enough from when to when all are.
    let step = for_each_cell.div_ceil(2);
    let mut times: Vec<Millis> = points.clone().step_by(step).map(|(time, _)| time).collect();
    let outside = times.len() / OUTSIDE;
    let Some(last) = times.len().checked_sub(1 + outside) else { return Vec::new() };
    let base = *times.select_nth_unstable(outside).1;
    let range = times.select_nth_unstable(last).1.saturating_sub(base).max(0) as u64;
    let cells = (times.len() * step / for_each_cell).max(1) as u64;
    let shift = (0..63).find(|shift| range >> shift < cells).unwrap_or(63);
    let mut least = vec![u64::MAX; (range >> shift) as usize + 2];
    for (time, arrival) in points {
        let cell = (time.saturating_sub(base).max(0) as u64 >> shift) as usize;
        let cell = cell.min(least.len() - 1);
        least.get_mut(cell).into_iter().for_each(|least| *least = arrival.min(*least));
    }
    // What came late raises nothing, as the least counts; what has a time to come lowers nothing, as the number never falls.
    let first = least.iter().copied().min().unwrap_or(0);
    let mut reached = first;
    for arrival in &mut least {
        reached = reached.max(if *arrival == u64::MAX { 0 } else { *arrival });
        *arrival = reached - first;
    }
    let width = width_of(reached - first);
    let mut out = Vec::new();
    out.extend_from_slice(&base.to_le_bytes());
    out.push(shift);
    out.extend_from_slice(&first.to_le_bytes());
    out.extend_from_slice(&(least.len() as u32).to_le_bytes());
    out.push(width);
    pack(least.iter().copied(), width, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records every second, every hundredth of which came an hour late and every thousandth of which is a day ahead.
    fn records() -> Vec<(Millis, u64)> {
        let time = |at: u64| match at {
            _ if at % 1000 == 7 => (at + 86_400) * 1000,
            _ if at % 100 == 3 => at.saturating_sub(3600) * 1000,
            _ => at * 1000,
        };
        (0..20_000).map(|at| (1_700_000_000_000 + time(at) as i64, 5_000_000_000 + at)).collect()
    }

    #[test]
    fn what_is_stored_is_small_and_gives_the_number_back() {
        let records = records();
        let bytes = write_clock(records.iter().copied(), RECORDS);
        let again = Clock::parse(&bytes).unwrap().points().collect::<Vec<_>>();
        let again = write_clock(again.into_iter(), 1);
        assert!(bytes.len() < 3000, "{}", bytes.len());
        for bytes in [&bytes, &again, &Vec::new()] {
            let clock = Clock::parse(bytes).unwrap();
            let restored = |(time, arrival)| clock.restored(time, clock.stored(time, arrival));
            assert!(records.iter().all(|record| restored(*record) == record.1));
            let small = records.iter().filter(|(time, arrival)| clock.stored(*time, *arrival) < 128).count();
            assert!(bytes.is_empty() || small > 19_000, "{small}");
        }
    }

    #[test]
    fn odd_records_and_odd_bytes_harm_nobody() {
        for records in [vec![], vec![(i64::MIN, 3)], vec![(i64::MAX, u64::MAX), (i64::MIN, 0), (0, 7)]] {
            let bytes = write_clock(records.iter().copied(), RECORDS);
            let clock = Clock::parse(&bytes).unwrap();
            for (time, arrival) in records.iter().chain(&[(5, 9)]) {
                assert_eq!(clock.restored(*time, clock.stored(*time, *arrival)), *arrival);
            }
            assert!((1..bytes.len()).all(|cut| Clock::parse(&bytes[..cut]).is_none()));
        }
        let mut endless = write_clock([(5, 9)].into_iter(), 1);
        endless[17..21].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Clock::parse(&endless).unwrap().points().count(), 1);
        let mut bytes = write_clock(records().into_iter(), RECORDS);
        for at in 0..60 {
            bytes[at] ^= 0xa5;
            let Some(clock) = Clock::parse(&bytes) else { continue };
            assert_eq!(clock.restored(3, clock.stored(3, 4)), 4);
            clock.points().for_each(drop);
        }
    }
}
