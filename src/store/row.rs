//! One stored record as the memtable, the log and the segment builder have it: names are ids, properties are
//! canonical bytes, so that equal records are equal bytes.
//!
//! Property bytes: for each property in the order of its id, `id varint, value` (see `disk::codec`). The client's own
//! id of the record, where there is one, comes first, under [`PropertyId::RECORD_ID`].

use std::cmp::Ordering;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::disk::codec::{Reader, put_value, put_varint};
use crate::model::{IdentityId, Millis, NameId, PropertyId, ValueRef};

/// One stored record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The event, or the kind of record.
    pub name: NameId,
    /// Who, as it arrived.
    pub identity: IdentityId,
    /// When.
    pub time: Millis,
    /// Of an identify the other identity, else 0.
    pub target: IdentityId,
    /// Of a set or identify the arrival number, else 0.
    pub arrival: u64,
    /// Canonical property bytes.
    pub properties: PropertyBytes,
}

/// Property bytes: a piece of bytes that many rows may share, so that a row costs no allocation.
#[derive(Clone)]
pub struct PropertyBytes {
    shared: Arc<Vec<u8>>,
    from: u32,
    to: u32,
}

impl PropertyBytes {
    /// A piece of `shared`.
    pub fn piece(shared: &Arc<Vec<u8>>, from: u32, to: u32) -> Self {
        Self { shared: Arc::clone(shared), from, to }
    }
}

impl From<&[u8]> for PropertyBytes {
    fn from(bytes: &[u8]) -> Self {
        // A record is far from 4 GiB.
        Self { shared: Arc::new(bytes.to_vec()), from: 0, to: bytes.len() as u32 }
    }
}

impl Deref for PropertyBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.shared.get(self.from as usize..self.to as usize).unwrap_or(&[])
    }
}

impl PartialEq for PropertyBytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for PropertyBytes {}

impl fmt::Debug for PropertyBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl Row {
    /// The order of rows in the memtable: by name, identity, time, then content.
    pub fn order(&self, other: &Self) -> Ordering {
        (self.name, self.identity, self.time, self.target, self.arrival)
            .cmp(&(other.name, other.identity, other.time, other.target, other.arrival))
            .then_with(|| (*self.properties).cmp(&*other.properties))
    }

    /// Whether the two are the same record sent twice: everything but the client's record id and the arrival.
    pub fn says_the_same(&self, other: &Self) -> bool {
        (self.name, self.identity, self.time, self.target)
            == (other.name, other.identity, other.time, other.target)
            && without_record_id(&self.properties) == without_record_id(&other.properties)
    }

    /// Its properties in the order of their ids.
    pub fn properties(&self) -> PropertyIter<'_> {
        PropertyIter { reader: Reader::new(&self.properties) }
    }

    /// The client's id of the record.
    pub fn record_id(&self) -> Option<&str> {
        // Its property is 0 and would be the first.
        if self.properties.first() != Some(&0) {
            return None;
        }
        match self.properties().next() {
            Some((PropertyId::RECORD_ID, ValueRef::Text(id))) => Some(id),
            _ => None,
        }
    }
}

/// Appends one property; call in the order of the ids.
pub fn put_property(property: PropertyId, value: ValueRef<'_>, out: &mut Vec<u8>) {
    put_varint(u128::from(property.0), out);
    put_value(value, out);
}

/// The property bytes behind the client's record id.
pub fn without_record_id(properties: &[u8]) -> &[u8] {
    if properties.first() != Some(&0) {
        return properties;
    }
    let mut reader = Reader::new(properties);
    match (reader.varint(), reader.value()) {
        (Some(_), Some(_)) => properties.get(reader.offset()..).unwrap_or(&[]),
        _ => properties,
    }
}

/// Iterates over property bytes.
#[derive(Clone)]
pub struct PropertyIter<'a> {
    reader: Reader<'a>,
}

impl<'a> PropertyIter<'a> {
    /// Over `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { reader: Reader::new(bytes) }
    }

    /// The next property with the bytes of its value.
    pub fn next_raw(&mut self) -> Option<(PropertyId, &'a [u8])> {
        let id = PropertyId(self.reader.varint_u32()?);
        Some((id, self.reader.raw_value()?))
    }
}

impl<'a> Iterator for PropertyIter<'a> {
    type Item = (PropertyId, ValueRef<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let id = PropertyId(self.reader.varint_u32()?);
        Some((id, self.reader.value()?))
    }
}
