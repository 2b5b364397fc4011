//! Columns of unsigned integers, packed with a fixed number of bits each so that any row can be read alone.
//!
//! Layout: `width` bits per value, values back to back, lowest bit first, little-endian, then 8 bytes of
//! padding so that a value can always be read with one unaligned 8-byte load (widths up to 57) or two.

/// The word at a place of little-endian words of 64 bits; 0 behind the end.
#[inline]
pub fn word_at(bytes: &[u8], at: usize) -> u64 {
    let bytes = bytes.get(at * 8..at * 8 + 8).and_then(|b| b.first_chunk::<8>());
    bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Bits that `max` needs; 0 for 0.
pub fn width_of(max: u64) -> u8 {
    (64 - max.leading_zeros()) as u8
}

/// Bytes that `count` values of `width` bits take, padding included; `None` if that overflows.
pub fn packed_len(count: usize, width: u8) -> Option<usize> {
    if width == 0 {
        return Some(0);
    }
    count.checked_mul(usize::from(width))?.div_ceil(8).checked_add(8)
}

/// Appends `values`, each below 2^`width`.
pub fn pack(values: impl Iterator<Item = u64>, width: u8, out: &mut Vec<u8>) {
    if width == 0 {
        return;
    }
    let (mut pending, mut bits) = (0u64, 0u32);
    let width = u32::from(width);
    for value in values {
        debug_assert!(width == 64 || value < 1 << width, "a value is wider than its column");
        pending |= value << bits;
        bits += width;
        if bits >= 64 {
            out.extend_from_slice(&pending.to_le_bytes());
            bits -= 64;
            // What of the value did not go into the word; nothing if it fitted.
            pending = value.checked_shr(width - bits).unwrap_or(0);
        }
    }
    out.extend_from_slice(&pending.to_le_bytes()[..(bits as usize).div_ceil(8)]);
    out.extend_from_slice(&[0; 8]);
}

/// A packed column, borrowed.
#[derive(Clone, Copy)]
pub struct Packed<'a> {
    bytes: &'a [u8],
    width: u8,
    mask: u64,
}

impl<'a> Packed<'a> {
    /// A column of `count` values of `width` bits at the start of `bytes`; `None` if `bytes` is too short or
    /// the width impossible.
    pub fn new(bytes: &'a [u8], count: usize, width: u8) -> Option<Self> {
        if width > 64 {
            return None;
        }
        let bytes = bytes.get(..packed_len(count, width)?)?;
        let mask = if width == 64 { u64::MAX } else { (1u64 << width) - 1 };
        Some(Self { bytes, width, mask })
    }

    /// The value of row `row`; 0 past the end, which callers have excluded.
    #[inline]
    pub fn get(&self, row: usize) -> u64 {
        if self.width == 0 {
            return 0;
        }
        let bit = row * usize::from(self.width);
        let (byte, shift) = (bit / 8, (bit % 8) as u32);
        let Some(eight) = self.bytes.get(byte..byte + 8).and_then(|b| b.first_chunk::<8>()) else {
            return 0;
        };
        let mut value = u64::from_le_bytes(*eight) >> shift;
        if u32::from(self.width) + shift > 64 {
            let next = self.bytes.get(byte + 8).copied().unwrap_or(0);
            value |= u64::from(next) << (64 - shift);
        }
        value & self.mask
    }

    /// The row of `value` among the first `count`, whose values rise. They are mostly spread evenly over what the width holds, so
    /// the search begins where it would then lie, and goes on in steps that double.
    pub fn find(&self, count: usize, value: u64) -> Option<usize> {
        let guess = ((u128::from(value) * count as u128) >> self.width) as usize;
        let (mut from, mut to) = (0, count);
        let mut step = 1;
        let mut at = guess.min(count.checked_sub(1)?);
        loop {
            match self.get(at).cmp(&value) {
                std::cmp::Ordering::Equal => return Some(at),
                std::cmp::Ordering::Less => {
                    from = at + 1;
                    at += step;
                }
                std::cmp::Ordering::Greater => {
                    to = at;
                    at = at.saturating_sub(step);
                }
            }
            if from >= to {
                return None;
            }
            // Once both ends are known, or the step would pass them, halving is best.
            if at < from || at >= to {
                at = usize::midpoint(from, to);
            }
            step *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_round_trips() {
        for width in 0..=64u8 {
            let mask = if width == 64 { u64::MAX } else { (1 << width) - 1 };
            let values: Vec<u64> =
                (0..100u64).map(|i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15) & mask).collect();
            let mut out = Vec::new();
            pack(values.iter().copied(), width, &mut out);
            assert_eq!(Some(out.len()), packed_len(100, width));
            let packed = Packed::new(&out, 100, width).unwrap();
            for (i, v) in values.iter().enumerate() {
                assert_eq!(packed.get(i), *v, "width {width} row {i}");
            }
            assert!(width == 0 || Packed::new(&out[..out.len() - 1], 100, width).is_none());
        }
    }

    #[test]
    fn every_value_is_found_and_no_other() {
        for (count, step) in [(0, 1), (1, 7), (2, 60_000), (300, 3), (300, 218), (65_536, 1), (9000, 7)] {
            let values: Vec<u64> = (0..count).map(|i| i * step).collect();
            let mut out = Vec::new();
            pack(values.iter().copied(), 16, &mut out);
            let packed = Packed::new(&out, values.len(), 16).unwrap();
            for value in 0..=65_535 {
                assert_eq!(
                    packed.find(values.len(), value),
                    values.binary_search(&value).ok(),
                    "{count} {value}"
                );
            }
        }
    }
}
