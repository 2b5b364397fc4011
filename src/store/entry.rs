//! What the write-ahead log holds: each frame is one group of writers, as a series of entries. Ids are the ones that the entries
//! before gave, so replaying the log in order gives the same store.
//!
//! ```text
//! 1  text                                   a new event name
//! 2  text                                   a new property name
//! 3  text                                   a new identity
//! 4  name, identity, time, target, arrival, length, property bytes      a row
//! 5  identity, into                         two persons joined by an operator
//! 6  identity                               an identity taken out of its person by an operator
//! ```
//! Integers are LEB128, times zigzag; text is a length and UTF-8.

use super::row::Row;
use crate::disk::codec::{Reader, put_signed, put_text, put_varint};
use crate::model::{IdentityId, NameId};

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// The next event name.
    Event(&'a str),
    /// The next property name.
    Property(&'a str),
    /// The next identity.
    Identity(&'a str),
    /// A stored record.
    Row(Row),
    /// Two persons joined by an operator.
    Merge(IdentityId, IdentityId),
    /// An identity taken out by an operator.
    Unmerge(IdentityId),
}

/// Appends one entry.
pub fn put_entry(entry: &Entry<'_>, out: &mut Vec<u8>) {
    match entry {
        Entry::Event(name) => put_tagged(1, name, out),
        Entry::Property(name) => put_tagged(2, name, out),
        Entry::Identity(identity) => put_tagged(3, identity, out),
        Entry::Row(row) => put_row(row, out),
        Entry::Merge(identity, into) => {
            out.push(5);
            put_varint(u128::from(*identity), out);
            put_varint(u128::from(*into), out);
        }
        Entry::Unmerge(identity) => {
            out.push(6);
            put_varint(u128::from(*identity), out);
        }
    }
}

fn put_tagged(tag: u8, text: &str, out: &mut Vec<u8>) {
    out.push(tag);
    put_text(text, out);
}

/// Appends the entry of a row.
pub fn put_row(row: &Row, out: &mut Vec<u8>) {
    out.push(4);
    put_varint(u128::from(row.name.0), out);
    put_varint(u128::from(row.identity), out);
    put_signed(i128::from(row.time), out);
    put_varint(u128::from(row.target), out);
    put_varint(u128::from(row.arrival), out);
    put_varint(row.properties.len() as u128, out);
    out.extend_from_slice(&row.properties);
}

/// Reads the next entry; `None` at the end and at bytes that are none (then the reader is not empty).
pub fn read_entry<'a>(reader: &mut Reader<'a>) -> Option<Entry<'a>> {
    Some(match reader.u8()? {
        1 => Entry::Event(reader.text()?),
        2 => Entry::Property(reader.text()?),
        3 => Entry::Identity(reader.text()?),
        4 => {
            let (name, identity) = (NameId(reader.varint_u32()?), reader.varint_u32()?);
            let time = i64::try_from(reader.signed()?).ok()?;
            let (target, arrival) = (reader.varint_u32()?, reader.varint_u64()?);
            let length = usize::try_from(reader.varint()?).ok()?;
            let properties = reader.take(length)?.into();
            Entry::Row(Row { name, identity, time, target, arrival, properties })
        }
        5 => Entry::Merge(reader.varint_u32()?, reader.varint_u32()?),
        6 => Entry::Unmerge(reader.varint_u32()?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_round_trip() {
        let row = Row {
            name: NameId(9),
            identity: 7,
            time: -3,
            target: 2,
            arrival: 1 << 40,
            properties: [3u8, 0].as_slice().into(),
        };
        let entries = [
            Entry::Event("Signed Up"),
            Entry::Property("Plan"),
            Entry::Identity("jane"),
            Entry::Row(row),
            Entry::Merge(1, 2),
            Entry::Unmerge(300),
        ];
        let mut out = Vec::new();
        entries.iter().for_each(|e| put_entry(e, &mut out));
        let mut reader = Reader::new(&out);
        for entry in &entries {
            assert_eq!(read_entry(&mut reader).as_ref(), Some(entry));
        }
        assert!(reader.is_empty() && read_entry(&mut reader).is_none());
    }
}
