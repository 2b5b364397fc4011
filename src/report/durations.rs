//! How durations are distributed: exact quantiles, mean and histogram of any number of them, in two passes and without sorting.
//!
//! The first pass counts durations by the highest bits of their milliseconds. The counts say in which of these classes each
//! quantile lies, and most of the histogram; the second pass takes out only the durations of the few classes that are left open.

use std::sync::Arc;

use serde::Serialize;

/// Borders of the histogram, in seconds. The last bar has no end.
pub const HISTOGRAM_SECONDS: [i64; 14] = [
    0, 60, 600, 3600, 21_600, 86_400, 259_200, 604_800, 1_209_600, 2_592_000, 5_184_000, 7_776_000,
    15_552_000, 31_536_000,
];

/// Quantiles told, in percent.
const PERCENTS: [usize; 4] = [25, 50, 75, 90];
/// Classes of one doubling.
const PER_DOUBLING: u32 = 32;
const CLASSES: usize = 2 * PER_DOUBLING as usize + 58 * PER_DOUBLING as usize;
/// Fewer than these are simply sorted.
const FEW: usize = 4096;
/// So many are kept in one piece (64 KiB): a list that grew on would be copied again and again, each time into fresh memory.
const PIECE: usize = 8192;

/// Milliseconds, none negative. Clones share what was sealed.
#[derive(Clone, Debug, Default)]
pub struct Durations {
    open: Vec<i64>,
    sealed: Vec<Arc<Vec<i64>>>,
}

impl Durations {
    /// Adds one.
    #[inline]
    pub fn push(&mut self, millis: i64) {
        self.make_room(1);
        self.open.push(millis);
    }

    /// Adds several.
    #[inline]
    pub fn extend(&mut self, millis: &[i64]) {
        self.make_room(millis.len());
        self.open.extend_from_slice(millis);
    }

    #[inline]
    fn make_room(&mut self, count: usize) {
        if self.open.len() + count > PIECE && !self.open.is_empty() {
            self.seal();
            self.open.reserve_exact(count.max(PIECE));
        }
    }

    /// Makes clones cheap.
    pub fn seal(&mut self) {
        if !self.open.is_empty() {
            self.sealed.push(Arc::new(std::mem::take(&mut self.open)));
        }
    }

    /// Adds others.
    pub fn append(&mut self, mut other: Self) {
        if other.open.len() > FEW {
            other.seal();
        }
        self.open.append(&mut other.open);
        self.sealed.append(&mut other.sealed);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.open.len() + self.sealed.iter().map(|part| part.len()).sum::<usize>()
    }

    /// Whether they are so few that no pass by classes is worth it.
    pub fn are_few(&self) -> bool {
        self.len() <= FEW
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn iter(&self) -> impl Iterator<Item = &[i64]> {
        self.sealed.iter().map(|part| part.as_slice()).chain([self.open.as_slice()])
    }
}

/// How durations are distributed, in seconds. Quantiles are exact: linear between neighbours (type 7).
#[derive(Clone, Debug, Serialize)]
pub struct Seconds {
    /// Half took at most so long.
    pub median: Option<f64>,
    /// On average.
    pub mean: Option<f64>,
    /// A quarter took at most so long.
    pub p25: Option<f64>,
    /// Three quarters did.
    pub p75: Option<f64>,
    /// Nine tenths did.
    pub p90: Option<f64>,
    /// People by duration.
    pub histogram: Vec<Bar>,
}

/// People who took `from` seconds or more and less than `to`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bar {
    /// Seconds, inclusive.
    pub from: i64,
    /// Seconds, exclusive; none in the last.
    pub to: Option<i64>,
    /// How many.
    pub people: u64,
}

/// The class of a duration: exact below 64, then 32 to each doubling. Classes rise with durations.
#[inline]
fn class_of(millis: i64) -> usize {
    let millis = millis.max(0) as u64;
    let doubling = 63 - (millis | 63).leading_zeros();
    let shift = doubling - 5;
    (shift * PER_DOUBLING) as usize + (millis >> shift) as usize
}

/// The place of a quantile among `count` sorted values, and how far it lies towards the next, in hundredths.
fn place(count: usize, percent: usize) -> (usize, usize) {
    let last = count.saturating_sub(1);
    (last * percent / 100, last * percent % 100)
}

/// How many durations there are of each class, and what they add up to: what the first pass finds. Those of disjoint durations add up.
#[derive(Clone, Debug)]
pub struct Classes {
    counts: Vec<u32>,
    count: usize,
    sum: i128,
}

impl Default for Classes {
    fn default() -> Self {
        Self { counts: vec![0; CLASSES], count: 0, sum: 0 }
    }
}

impl Classes {
    /// Of these durations; none if they are so few that no pass is worth it.
    pub fn of(durations: &Durations) -> Option<Self> {
        (!durations.are_few()).then(|| {
            let mut classes = Self::default();
            classes.add(durations, None);
            classes
        })
    }

    /// How many durations there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Adds durations, of which the classes may be known.
    pub fn add(&mut self, durations: &Durations, known: Option<&Self>) {
        self.count += durations.len();
        match known {
            None => durations.iter().for_each(|part| self.add_part(part)),
            Some(known) => {
                self.sum += known.sum;
                self.counts.iter_mut().zip(&known.counts).for_each(|(mine, theirs)| *mine += theirs);
            }
        }
    }

    fn add_part(&mut self, part: &[i64]) {
        let mut sum = 0i128;
        for millis in part {
            sum += i128::from(*millis);
            if let Some(count) = self.counts.get_mut(class_of(*millis)) {
                *count += 1;
            }
        }
        self.sum += sum;
    }
}

impl Seconds {
    /// Of these durations, whose classes are known unless they are few.
    pub fn of(durations: &Durations, classes: Option<&Classes>) -> Self {
        let Some(Classes { counts, count, sum }) = classes else {
            let mut sorted: Vec<i64> = durations.iter().flatten().copied().collect();
            sorted.sort_unstable();
            return Self::of_sorted(&sorted);
        };
        let (count, sum) = (*count, *sum);
        let open = Open::new(counts, count, durations);
        let quantile = |percent| {
            let (at, part) = place(count, percent);
            let low = open.value(at);
            let high = if part > 0 { open.value(at + 1) } else { low };
            Some(between(low, high, part))
        };
        let [p25, median, p75, p90] = PERCENTS.map(quantile);
        let mean = Some(sum as f64 / count as f64 / 1000.0);
        Self {
            median,
            mean,
            p25,
            p75,
            p90,
            histogram: bars(&HISTOGRAM_SECONDS.map(|s| open.below(s * 1000)), count),
        }
    }

    fn of_sorted(sorted: &[i64]) -> Self {
        let quantile = |percent| {
            let (at, part) = place(sorted.len(), percent);
            let low = *sorted.get(at)?;
            let high = sorted.get(at + 1).copied().unwrap_or(low);
            Some(between(low, high, part))
        };
        let [p25, median, p75, p90] = PERCENTS.map(quantile);
        let sum: i128 = sorted.iter().map(|d| i128::from(*d)).sum();
        let mean = (!sorted.is_empty()).then(|| sum as f64 / sorted.len() as f64 / 1000.0);
        let below = HISTOGRAM_SECONDS.map(|s| sorted.partition_point(|d| *d < s * 1000));
        Self { median, mean, p25, p75, p90, histogram: bars(&below, sorted.len()) }
    }
}

/// The median of durations in milliseconds, in seconds, by selection. Reorders them.
pub fn median_seconds(values: &mut [i64]) -> Option<f64> {
    let (at, part) = place(values.len(), 50);
    if values.is_empty() {
        return None;
    }
    let (_, low, above) = values.select_nth_unstable(at);
    let low = *low;
    let high = above.iter().copied().min().filter(|_| part > 0).unwrap_or(low);
    Some(between(low, high, part))
}

/// Seconds `part` hundredths of the way between two neighbours.
fn between(low: i64, high: i64, part: usize) -> f64 {
    (low as f64 + (high - low) as f64 * (part as f64 / 100.0)) / 1000.0
}

/// The bars, of how many lie below each border and how many there are.
fn bars(below: &[usize], count: usize) -> Vec<Bar> {
    let bars: Vec<Bar> = below
        .iter()
        .enumerate()
        .map(|(k, from)| Bar {
            from: HISTOGRAM_SECONDS.get(k).copied().unwrap_or(0),
            to: HISTOGRAM_SECONDS.get(k + 1).copied(),
            people: (below.get(k + 1).copied().unwrap_or(count) - from) as u64,
        })
        .collect();
    let first = bars.iter().position(|b| b.people > 0);
    let last = bars.iter().rposition(|b| b.people > 0);
    first.zip(last).and_then(|(first, last)| bars.get(first..=last)).unwrap_or(&[]).to_vec()
}

/// The classes whose durations were taken out and sorted, because a quantile or a border lies in them.
struct Open {
    /// By class how many durations lie below it.
    ranks: Vec<usize>,
    /// Classes and their durations, sorted.
    taken: Vec<(usize, Vec<i64>)>,
}

impl Open {
    fn new(counts: &[u32], count: usize, durations: &Durations) -> Self {
        let mut ranks = Vec::with_capacity(counts.len());
        let mut below = 0;
        for count in counts {
            ranks.push(below);
            below += *count as usize;
        }
        let class_at = |place: usize| ranks.partition_point(|rank| *rank <= place).saturating_sub(1);
        let mut wanted: Vec<usize> = HISTOGRAM_SECONDS.iter().map(|s| class_of(s * 1000)).collect();
        for percent in PERCENTS {
            let (at, _) = place(count, percent);
            wanted.extend([class_at(at), class_at((at + 1).min(count - 1))]);
        }
        wanted.sort_unstable();
        wanted.dedup();
        let mut slots = vec![u8::MAX; counts.len()];
        let mut taken: Vec<(usize, Vec<i64>)> = Vec::with_capacity(wanted.len());
        for class in wanted {
            if let Some(slot) = slots.get_mut(class) {
                *slot = taken.len() as u8;
            }
            let size = counts.get(class).map_or(0, |count| *count as usize);
            taken.push((class, Vec::with_capacity(size)));
        }
        for millis in durations.iter().flatten() {
            let slot = slots.get(class_of(*millis)).copied().unwrap_or(u8::MAX);
            if let Some((_, values)) = taken.get_mut(usize::from(slot)) {
                values.push(*millis);
            }
        }
        taken.iter_mut().for_each(|(_, values)| values.sort_unstable());
        Self { ranks, taken }
    }

    /// The duration at a place, of which the class was taken out.
    fn value(&self, place: usize) -> i64 {
        let in_class = |(class, values): &&(usize, Vec<i64>)| {
            let rank = self.ranks.get(*class).copied().unwrap_or(0);
            (rank..rank + values.len()).contains(&place)
        };
        let found = self.taken.iter().find(in_class);
        let value = found.and_then(|(class, values)| values.get(place - self.ranks.get(*class)?));
        debug_assert!(value.is_some(), "the class of a quantile was not taken out");
        value.copied().unwrap_or(0)
    }

    /// How many are shorter than a border, whose class was taken out.
    fn below(&self, millis: i64) -> usize {
        let class = class_of(millis);
        let rank = self.ranks.get(class).copied().unwrap_or(0);
        let own = self.taken.iter().find(|(c, _)| *c == class);
        rank + own.map_or(0, |(_, values)| values.partition_point(|d| *d < millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn durations(values: &[i64]) -> Durations {
        let mut durations = Durations::default();
        for part in values.chunks(5000) {
            let mut one = Durations::default();
            part.iter().for_each(|d| one.push(*d));
            durations.append(one);
        }
        durations
    }

    fn seconds_of(durations: &Durations) -> Seconds {
        Seconds::of(durations, Classes::of(durations).as_ref())
    }

    #[test]
    fn quantiles_are_linear_between_neighbours() {
        let seconds = seconds_of(&durations(&[9, 1, 4, 2].map(|s| s * 1000)));
        assert_eq!((seconds.p25, seconds.median, seconds.p75), (Some(1.75), Some(3.0), Some(5.25)));
        assert_eq!(seconds.mean, Some(4.0));
        assert!((seconds.p90.unwrap() - 7.5).abs() < 1e-9);
        assert_eq!(seconds_of(&durations(&[])).median, None);
        assert_eq!(seconds_of(&durations(&[5])).p90, Some(0.005));
    }

    #[test]
    fn the_histogram_runs_from_the_first_to_the_last_bar() {
        let bars = seconds_of(&durations(&[59_999, 60_000, 86_400_000, 40_000_000_000])).histogram;
        assert_eq!(bars.first(), Some(&Bar { from: 0, to: Some(60), people: 1 }));
        assert_eq!(bars.last(), Some(&Bar { from: 31_536_000, to: None, people: 1 }));
        assert_eq!(bars.iter().map(|b| b.people).sum::<u64>(), 4);
        assert!(seconds_of(&durations(&[])).histogram.is_empty());
    }

    #[test]
    fn classes_rise_and_hold_every_duration() {
        let mut last = 0;
        for power in 0..63 {
            for step in 0..64i64 {
                let millis = (1i64 << power).saturating_add(step.saturating_mul(1 << power) / 64);
                let class = class_of(millis);
                assert!(class >= last && class < CLASSES, "{millis}");
                last = class;
            }
        }
        assert_eq!((class_of(0), class_of(63), class_of(64), class_of(65)), (0, 63, 64, 64));
    }

    #[test]
    fn classes_of_parts_are_those_of_all() {
        let values: Vec<i64> = (0..30_000).map(|n| n * n % 86_400_001).collect();
        let (few, many) = values.split_at(2000);
        let (few, many, all) = (durations(few), durations(many), durations(&values));
        let mut classes = Classes::default();
        classes.add(&few, Classes::of(&few).as_ref());
        classes.add(&many, Classes::of(&many).as_ref());
        assert_eq!(classes.count(), values.len());
        let told = |seconds: Seconds| serde_json::to_value(seconds).unwrap();
        assert_eq!(told(Seconds::of(&all, Some(&classes))), told(seconds_of(&all)));
    }

    #[test]
    fn two_passes_give_what_sorting_gives() {
        let mut seed = 7u64;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            seed >> 33
        };
        for spread in [1, 50, 3_000, 2_000_000, 40_000_000_000i64] {
            let mut values: Vec<i64> =
                (0..20_011).map(|_| (next() as i64).wrapping_mul(977) % spread).collect();
            values.iter_mut().step_by(97).for_each(|d| *d = 60_000);
            let ours = seconds_of(&durations(&values));
            values.sort_unstable();
            let sorted = Seconds::of_sorted(&values);
            assert_eq!(
                serde_json::to_string(&ours).unwrap(),
                serde_json::to_string(&sorted).unwrap(),
                "{spread}"
            );
        }
    }
}
