//! A split-block Bloom filter: whether a row of (name, identity, time) may be in a segment. One miss costs one cache line, so
//! checking every incoming record for duplicates is cheap; what passes (about 1 %) is looked up exactly.
//!
//! Layout: blocks of 32 bytes, eight words of 32 bits; a key sets one bit in each word of one block.

use crate::model::{IdentityId, Millis, NameId};

/// Odd multipliers, one for each word, as in the Parquet format's filter.
const SALT: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// The key of a row under the store's secret.
pub fn row_key(secret: u64, name: NameId, identity: IdentityId, time: Millis) -> u64 {
    let mut x = secret ^ (u64::from(name.0) << 32 | u64::from(identity));
    x = mix(x);
    mix(x ^ time as u64)
}

/// The finaliser of splitmix64.
pub fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn block_of(key: u64, blocks: usize) -> usize {
    (((key >> 32) * blocks as u64) >> 32) as usize
}

fn bits(key: u64) -> [u32; 8] {
    SALT.map(|salt| 1 << ((key as u32).wrapping_mul(salt) >> 27))
}

/// A filter being filled, or in memory for good.
#[derive(Debug)]
pub struct FilterWriter {
    words: Vec<[u32; 8]>,
}

impl FilterWriter {
    /// For `rows` keys: 10.7 bits for each.
    pub fn new(rows: u64) -> Self {
        let blocks = (rows as usize).div_ceil(24).max(1);
        Self { words: vec![[0; 8]; blocks] }
    }

    /// Adds a key.
    pub fn add(&mut self, key: u64) {
        let block = block_of(key, self.words.len());
        if let Some(words) = self.words.get_mut(block) {
            for (word, bit) in words.iter_mut().zip(bits(key)) {
                *word |= bit;
            }
        }
    }

    /// Whether a key may have been added.
    pub fn may_contain(&self, key: u64) -> bool {
        let words = self.words.get(block_of(key, self.words.len()));
        words.is_some_and(|words| words.iter().zip(bits(key)).all(|(word, bit)| word & bit != 0))
    }

    /// Its bytes.
    pub fn finish(self) -> Vec<u8> {
        self.words.iter().flatten().flat_map(|w| w.to_le_bytes()).collect()
    }
}

/// Whether a key may have been added. Without a filter any may.
pub fn may_contain(filter: &[u8], key: u64) -> bool {
    let blocks = filter.len() / 32;
    if blocks == 0 {
        return true;
    }
    let block = filter.chunks_exact(32).nth(block_of(key, blocks)).unwrap_or(&[]);
    block
        .chunks_exact(4)
        .zip(bits(key))
        .all(|(word, bit)| word.first_chunk::<4>().is_some_and(|w| u32::from_le_bytes(*w) & bit != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_missed_and_few_are_taken_for_others() {
        let key = |i: u32| row_key(42, NameId(i % 5), i, i64::from(i) * 1000);
        let mut writer = FilterWriter::new(10_000);
        (0..10_000).for_each(|i| writer.add(key(i)));
        assert!((0..10_000).all(|i| writer.may_contain(key(i))));
        assert!((10_000..110_000).filter(|i| writer.may_contain(key(*i))).count() < 2_500);
        let filter = writer.finish();
        assert!((0..10_000).all(|i| may_contain(&filter, key(i))));
        let wrong = (10_000..110_000).filter(|i| may_contain(&filter, key(*i))).count();
        assert!(wrong < 2_500, "{wrong} of 100,000");
    }
}
