//! Counts, for each of 64 places, in how many of many words its bit is set.

/// Words that the planes hold before they are emptied.
const PENDING_MAX: u32 = 255;

/// The counts. Plane k holds bit k of each place's count, so adding a word is a carry through eight planes without a branch, whatever
/// its bits are.
#[derive(Clone, Debug)]
pub struct MaskCounter {
    planes: [u64; 8],
    pending: u32,
    counts: [u64; 64],
}

impl Default for MaskCounter {
    fn default() -> Self {
        Self { planes: [0; 8], pending: 0, counts: [0; 64] }
    }
}

impl MaskCounter {
    /// Adds a word.
    #[inline]
    pub fn add(&mut self, word: u64) {
        let mut carry = word;
        for plane in &mut self.planes {
            let both = *plane & carry;
            *plane ^= carry;
            carry = both;
        }
        self.pending += 1;
        if self.pending == PENDING_MAX {
            self.empty();
        }
    }

    fn empty(&mut self) {
        for (place, count) in self.counts.iter_mut().enumerate() {
            for (power, plane) in self.planes.iter().enumerate() {
                *count += (plane >> place & 1) << power;
            }
        }
        self.planes = [0; 8];
        self.pending = 0;
    }

    /// The count of each place.
    pub fn finish(mut self) -> [u64; 64] {
        self.empty();
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_every_word_is_counted() {
        for words in [0, 1, 254, 255, 256, 1000] {
            let (mut counter, mut plain) = (MaskCounter::default(), [0u64; 64]);
            for n in 0..words {
                let word = (n + 1u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) | (n % 2);
                counter.add(word);
                plain.iter_mut().enumerate().for_each(|(place, count)| *count += word >> place & 1);
            }
            assert_eq!(counter.finish(), plain);
        }
    }
}
