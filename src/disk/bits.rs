//! Columns of unsigned integers, packed with a fixed number of bits each so that any row can be read alone.
//!
//! Layout: `width` bits per value, values back to back, lowest bit first, little-endian, then 8 bytes of
//! padding so that a value can always be read with one unaligned 8-byte load (widths up to 57) or two.

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
    let mut pending: u128 = 0;
    let mut bits = 0u32;
    for value in values {
        debug_assert!(width == 64 || value < 1 << width, "a value is wider than its column");
        pending |= u128::from(value) << bits;
        bits += u32::from(width);
        while bits >= 64 {
            out.extend_from_slice(&(pending as u64).to_le_bytes());
            pending >>= 64;
            bits -= 64;
        }
    }
    let rest = (bits as usize).div_ceil(8);
    out.extend_from_slice(&(pending as u64).to_le_bytes()[..rest]);
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

    /// The row of `value` among the first `count`, whose values rise.
    pub fn find(&self, count: usize, value: u64) -> Option<usize> {
        let (mut from, mut to) = (0, count);
        while from < to {
            let middle = usize::midpoint(from, to);
            match self.get(middle).cmp(&value) {
                std::cmp::Ordering::Less => from = middle + 1,
                std::cmp::Ordering::Greater => to = middle,
                std::cmp::Ordering::Equal => return Some(middle),
            }
        }
        None
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
}
