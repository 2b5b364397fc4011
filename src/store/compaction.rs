//! Which segments to merge: a pure function of their sizes.
//!
//! Size-tiered: segments whose rows differ by less than a factor of four are one tier; a tier of four or more is merged into one
//! segment. So every row is rewritten about once for each factor of four that the store has grown, and the number of
//! segments stays below three for each tier.

use crate::limits;

/// Segments of one tier that are merged, unless said otherwise.
pub const TIER_SEGMENTS: usize = 4;
/// Rows of the largest segment of a tier over those of the smallest.
const TIER_FACTOR: u64 = 4;

/// The segments to merge next, as places in `rows`, which holds the rows of each segment; `None` if all is well. A tier of
/// `tier_segments` is merged.
pub fn pick(rows: &[u64], tier_segments: usize) -> Option<Vec<usize>> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let rows_of = |at: &usize| rows.get(*at).copied().unwrap_or(0);
    order.sort_by_key(|at| rows_of(at));
    for (start, smallest) in order.iter().enumerate() {
        let limit = rows_of(smallest).max(1).saturating_mul(TIER_FACTOR);
        let mut sum = 0;
        let tier: Vec<usize> = order
            .iter()
            .skip(start)
            .take_while(|at| rows_of(at) <= limit)
            .take_while(|at| {
                sum += rows_of(at);
                sum <= limits::SEGMENT_ROWS_MAX
            })
            .copied()
            .collect();
        if tier.len() >= tier_segments {
            return Some(tier);
        }
    }
    None
}

/// All segments in as few groups as the size limit allows, each worth merging.
pub fn pick_all(rows: &[u64]) -> Vec<Vec<usize>> {
    let mut groups: Vec<(u64, Vec<usize>)> = Vec::new();
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(rows.get(*at).copied().unwrap_or(0)));
    for at in order {
        let size = rows.get(at).copied().unwrap_or(0);
        match groups.iter_mut().find(|(sum, _)| sum + size <= limits::SEGMENT_ROWS_MAX) {
            Some((sum, group)) => {
                *sum += size;
                group.push(at);
            }
            None => groups.push((size, vec![at])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_alike_are_merged_and_unlike_ones_are_not() {
        assert_eq!(pick(&[100, 100, 100], TIER_SEGMENTS), None);
        assert_eq!(pick(&[1000, 100, 120, 90, 360], TIER_SEGMENTS), Some(vec![3, 1, 2, 4]));
        assert_eq!(pick(&[1, 10, 100, 1000, 10_000], TIER_SEGMENTS), None);
        assert_eq!(pick(&[5, 5, 5, 5, 4000], TIER_SEGMENTS), Some(vec![0, 1, 2, 3]));
    }

    #[test]
    fn stores_settle_into_few_segments() {
        let mut rows: Vec<u64> = Vec::new();
        for _ in 0..500 {
            rows.push(256 * 1024);
            while let Some(picked) = pick(&rows, TIER_SEGMENTS) {
                let sum = picked.iter().map(|at| rows[*at]).sum();
                let mut at = 0;
                rows.retain(|_| {
                    at += 1;
                    !picked.contains(&(at - 1))
                });
                rows.push(sum);
            }
        }
        assert!(rows.len() < 16, "{rows:?}");
        assert_eq!(pick_all(&[limits::SEGMENT_ROWS_MAX, 5, 7]).len(), 2);
    }
}
