//! Structured payloads (manifest, checkpoint) through bincode, and the hand-laid pieces of hot formats: variable
//! length integers, text and property values. Readers never panic and never trust a length.
//!
//! bincode is confined to this file: 1.3.3 with fixed-width integers, a limit, from slices, only on bytes whose
//! checksum was verified.

use bincode::Options;

use crate::error::{Error, Result};
use crate::limits;
use crate::model::{Number, Value, ValueRef};

fn options(limit: u64) -> impl Options {
    bincode::DefaultOptions::new()
        .with_fixint_encoding()
        .with_little_endian()
        .with_limit(limit)
        .reject_trailing_bytes()
}

/// The payload of `value`.
pub fn encode<T: serde::Serialize>(value: &T) -> Result<Vec<u8>> {
    options(u64::MAX).serialize(value).map_err(|e| Error::corrupt("encoder", 0, e))
}

/// The value of a payload of `file`.
pub fn decode<T: serde::de::DeserializeOwned>(file: &str, payload: &[u8]) -> Result<T> {
    // Anything decoded is at most as large as its bytes, so the payload itself is the limit.
    options(payload.len() as u64).deserialize(payload).map_err(|e| Error::corrupt(file, 24, e))
}

/// Appends a LEB128 integer.
#[inline]
pub fn put_varint(n: u128, out: &mut Vec<u8>) {
    // Nearly all fit 64 bits, which are far quicker to shift.
    let mut wide = n;
    while wide > u128::from(u64::MAX) {
        out.push(wide as u8 | 0x80);
        wide >>= 7;
    }
    let mut n = wide as u64;
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Appends a length and the bytes.
pub fn put_text(text: &str, out: &mut Vec<u8>) {
    put_varint(text.len() as u128, out);
    out.extend_from_slice(text.as_bytes());
}

fn zigzag(n: i128) -> u128 {
    ((n << 1) ^ (n >> 127)) as u128
}

fn unzigzag(n: u128) -> i128 {
    (n >> 1) as i128 ^ -((n & 1) as i128)
}

/// Appends a signed integer.
pub fn put_signed(n: i128, out: &mut Vec<u8>) {
    put_varint(zigzag(n), out);
}

/// Appends the canonical form of a value: equal values, and only they, have equal bytes.
///
/// ```text
/// 0 | 1                                 false, true
/// 2  scale u8  mantissa zigzag varint   number
/// 3  length varint  UTF-8               text
/// ```
pub fn put_value(value: ValueRef<'_>, out: &mut Vec<u8>) {
    match value {
        ValueRef::Bool(b) => out.push(u8::from(b)),
        ValueRef::Number(n) => {
            out.extend_from_slice(&[2, n.scale()]);
            put_signed(n.mantissa(), out);
        }
        ValueRef::Text(t) => {
            out.push(3);
            put_text(t, out);
        }
    }
}

/// Reads hand-laid bytes from front to back; every method is `None` where the bytes end or are impossible.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from their start.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The offset of the next byte.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(n)?)?;
        self.at += n;
        Some(taken)
    }

    /// The next byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    /// The next little-endian u32.
    pub fn u32(&mut self) -> Option<u32> {
        self.take(4)?.first_chunk().map(|b| u32::from_le_bytes(*b))
    }

    /// The next little-endian u64.
    pub fn u64(&mut self) -> Option<u64> {
        self.take(8)?.first_chunk().map(|b| u64::from_le_bytes(*b))
    }

    /// The next little-endian i64.
    pub fn i64(&mut self) -> Option<i64> {
        self.take(8)?.first_chunk().map(|b| i64::from_le_bytes(*b))
    }

    /// The next LEB128 integer.
    #[inline]
    pub fn varint(&mut self) -> Option<u128> {
        // Most take one byte, and nearly all fit 64 bits, which are far quicker to shift.
        let rest = self.bytes.get(self.at..)?;
        let mut n: u64 = 0;
        for (at, byte) in rest.iter().take(9).enumerate() {
            n |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                self.at += at + 1;
                return Some(u128::from(n));
            }
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Option<u128> {
        let mut n: u128 = 0;
        for shift in (0..126).step_by(7) {
            let byte = self.u8()?;
            n |= u128::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(n);
            }
        }
        None
    }

    /// The next LEB128 integer, if it fits.
    #[inline]
    pub fn varint_u32(&mut self) -> Option<u32> {
        u32::try_from(self.short()?).ok()
    }

    /// The next LEB128 integer, if it fits.
    pub fn varint_u64(&mut self) -> Option<u64> {
        u64::try_from(self.varint()?).ok()
    }

    /// The next signed integer.
    pub fn signed(&mut self) -> Option<i128> {
        self.varint().map(unzigzag)
    }

    /// The next text.
    pub fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.varint()?).ok()?;
        std::str::from_utf8(self.take(length)?).ok()
    }

    /// The next LEB128 integer that is a length or a small number: nearly all take one byte.
    #[inline]
    fn short(&mut self) -> Option<usize> {
        match self.bytes.get(self.at) {
            Some(byte) if *byte < 0x80 => {
                self.at += 1;
                Some(usize::from(*byte))
            }
            _ => usize::try_from(self.varint()?).ok(),
        }
    }

    /// The bytes of the next value.
    #[inline]
    pub fn raw_value(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        match self.u8()? {
            0 | 1 => {}
            2 => {
                self.u8()?;
                self.varint()?;
            }
            3 => {
                let length = self.short()?;
                self.take(length)?;
            }
            _ => return None,
        }
        self.bytes.get(start..self.at)
    }

    /// The next value.
    pub fn value(&mut self) -> Option<ValueRef<'a>> {
        Some(match self.u8()? {
            0 => ValueRef::Bool(false),
            1 => ValueRef::Bool(true),
            2 => {
                let scale = self.u8().filter(|scale| *scale <= limits::NUMBER_SCALE_MAX)?;
                ValueRef::Number(Number::new(self.signed()?, scale))
            }
            3 => ValueRef::Text(self.text()?),
            _ => return None,
        })
    }
}

/// The one value in `bytes`; `false` for bytes that are none, which the checksum of their file excludes.
pub fn value_of(bytes: &[u8]) -> Value {
    Reader::new(bytes).value().map_or(Value::Bool(false), ValueRef::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_round_trip_and_cut_bytes_are_none() {
        for value in [
            Value::Bool(true),
            Value::Number(Number::new(-4999, 2)),
            Value::from("z\u{e9}ro"),
            Value::from(""),
        ] {
            let mut out = Vec::new();
            put_value(value.as_ref(), &mut out);
            assert_eq!(value_of(&out), value);
            assert_eq!(Reader::new(&out).raw_value(), Some(out.as_slice()));
            for cut in 0..out.len() {
                assert!(Reader::new(&out[..cut]).value().is_none());
                assert!(Reader::new(&out[..cut]).raw_value().is_none());
            }
        }
        assert!(Reader::new(&[0xff; 40]).varint().is_none());
        let number = |scale: u8| [2, scale, 3];
        assert!(Reader::new(&number(limits::NUMBER_SCALE_MAX)).value().is_some());
        assert!(Reader::new(&number(limits::NUMBER_SCALE_MAX + 1)).value().is_none(), "no number of ours");
    }

    #[test]
    fn integers_of_every_length_round_trip() {
        for bit in 0..126u32 {
            for n in [(1u128 << bit) - 1, 1 << bit, (1 << bit) + 1] {
                let mut out = Vec::new();
                put_varint(n, &mut out);
                assert_eq!(out.len(), ((128 - n.leading_zeros()).div_ceil(7)).max(1) as usize);
                let mut reader = Reader::new(&out);
                assert_eq!((reader.varint(), reader.is_empty()), (Some(n), true));
                (0..out.len()).for_each(|cut| assert_eq!(Reader::new(&out[..cut]).varint(), None));
            }
        }
    }
}
