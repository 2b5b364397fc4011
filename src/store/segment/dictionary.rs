//! A dictionary: the distinct values of one property in a segment, in order. A value's place is its code, so comparing codes
//! is comparing values, and a condition is decided once per distinct value.
//!
//! ```text
//! offsets   (values + 1) x u32     where each value's bytes begin, from the end of the offsets
//! values    canonical value bytes, see disk::codec
//! ```

use crate::disk::codec::Reader;
use crate::model::ValueRef;

/// A dictionary, borrowed from its segment.
#[derive(Clone, Copy)]
pub struct Dictionary<'a> {
    offsets: &'a [u8],
    values: &'a [u8],
    count: u32,
}

impl<'a> Dictionary<'a> {
    /// A dictionary of `count` values; `None` if `bytes` cannot hold it.
    pub fn parse(bytes: &'a [u8], count: u32) -> Option<Self> {
        let split = (count as usize).checked_add(1)?.checked_mul(4)?;
        Some(Self { offsets: bytes.get(..split)?, values: bytes.get(split..)?, count })
    }

    /// Distinct values.
    pub fn len(&self) -> u32 {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The bytes of the value of a code; empty past the end.
    pub fn raw(&self, code: u32) -> &'a [u8] {
        let offset = |at: u32| {
            let at = at as usize * 4;
            self.offsets
                .get(at..at + 4)
                .and_then(|b| b.first_chunk())
                .map_or(0, |b| u32::from_le_bytes(*b) as usize)
        };
        if code >= self.count {
            return &[];
        }
        self.values.get(offset(code)..offset(code + 1)).unwrap_or(&[])
    }

    /// The value of a code; false past the end.
    pub fn value(&self, code: u32) -> ValueRef<'a> {
        Reader::new(self.raw(code)).value().unwrap_or(ValueRef::Bool(false))
    }

    /// The code of a value, if it occurs.
    pub fn find(&self, value: ValueRef<'_>) -> Option<u32> {
        let (mut from, mut to) = (0, self.count);
        while from < to {
            let middle = u32::midpoint(from, to);
            match self.value(middle).cmp(&value) {
                std::cmp::Ordering::Less => from = middle + 1,
                std::cmp::Ordering::Greater => to = middle,
                std::cmp::Ordering::Equal => return Some(middle),
            }
        }
        None
    }
}

/// Appends a dictionary of raw values that are distinct and in order. False if it passes 4 GiB.
pub fn write_dictionary<'a>(
    values: impl ExactSizeIterator<Item = &'a [u8]> + Clone,
    out: &mut Vec<u8>,
) -> bool {
    let mut offset = 0u32;
    for value in values.clone() {
        out.extend_from_slice(&offset.to_le_bytes());
        let Some(next) = u32::try_from(value.len()).ok().and_then(|n| offset.checked_add(n)) else {
            return false;
        };
        offset = next;
    }
    out.extend_from_slice(&offset.to_le_bytes());
    for value in values {
        out.extend_from_slice(value);
    }
    true
}

/// Orders raw values as [`Value`] does.
pub fn order_raw(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    // Text, the common case, compares without its tag and length.
    let read = |bytes| Reader::new(bytes).value();
    read(a).cmp(&read(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::codec::put_value;
    use crate::model::{Number, Value};

    #[test]
    fn codes_are_in_the_order_of_values() {
        let values = [
            Value::Bool(true),
            Value::Number(Number::new(-5, 1)),
            Value::Number(7.into()),
            Value::from("a"),
            Value::from("b"),
        ];
        let raw: Vec<Vec<u8>> = values
            .iter()
            .map(|v| {
                let mut b = Vec::new();
                put_value(v.as_ref(), &mut b);
                b
            })
            .collect();
        let mut out = Vec::new();
        assert!(write_dictionary(raw.iter().map(Vec::as_slice), &mut out));
        let dictionary = Dictionary::parse(&out, 5).unwrap();
        for (code, value) in values.iter().enumerate() {
            assert_eq!(dictionary.find(value.as_ref()), Some(code as u32));
            assert_eq!(&dictionary.value(code as u32).to_owned(), value);
        }
        assert_eq!(dictionary.find(ValueRef::Text("aa")), None);
        assert!(Dictionary::parse(&out[..8], 5).is_none());
    }
}
