//! Segments: immutable files of rows, grouped by event name and, within a name, by person and time.
//!
//! ```text
//! magic             8   "WDSEG004"
//! blocks                one per name and chunk of 65,536 persons (see block.rs)
//! person sets           one per name: who is in its blocks, one after the other (see low_ids.rs)
//! dictionaries          one per property: its distinct values in order (see dictionary.rs)
//! members               one per chunk: the identities of each person, its first and last event and their number (see members.rs)
//! filter                split-block Bloom filter over (name, identity, time) of all rows (see filter.rs); empty in a large segment
//! record ids            20 bytes each, sorted: hash u64, name u32, chunk u32, row u32
//! directory             where all of that is, with a checksum for each piece (bincode of `Directory`)
//! footer           28   directory offset u64, length u64, crc u32, magic 8
//! ```
//! Integers are little-endian. A piece is checked against its checksum when it is first touched, and decoded only then.

pub mod block;
pub mod build;
pub mod dictionary;
mod encoded;
pub mod filter;
pub mod low_ids;
mod marks;
pub mod members;
pub mod merge;
pub mod reader;
pub mod sieve;
pub mod writer;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::model::{Millis, PersonId};

pub use reader::Segment;

/// First and last bytes of a segment file.
pub const MAGIC: &[u8; 8] = b"WDSEG004";
/// Those of a segment whose blocks have their persons in them, and whose person sets are roaring bitmaps.
pub const MAGIC_003: &[u8; 8] = b"WDSEG003";
/// Those of a segment that, besides, does not know how many events a person has.
pub const MAGIC_002: &[u8; 8] = b"WDSEG002";
/// Bytes of the footer.
pub const FOOTER_BYTES: usize = 28;
/// Bytes of one entry of the record id index.
pub const RECORD_ID_BYTES: usize = 20;

/// The chunk of a person: persons are handled 65,536 at a time, the size of a roaring container.
pub fn chunk_of(person: PersonId) -> u32 {
    person >> 16
}

/// A piece of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// Where it begins.
    pub offset: u64,
    /// Its bytes.
    pub length: u64,
    /// Their CRC-32.
    pub crc: u32,
}

/// Where everything is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// Rows of all names.
    pub rows: u64,
    /// The identity version that its persons are of.
    pub identity_version: u32,
    /// In the order of their ids.
    pub names: Vec<NameEntry>,
    /// In the order of their ids.
    pub properties: Vec<PropertyEntry>,
    /// In the order of their chunks.
    pub members: Vec<MembersEntry>,
    /// The filter.
    pub filter: Section,
    /// The record id index.
    pub record_ids: Section,
}

/// One event name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameEntry {
    /// Its id.
    pub name: u32,
    /// Its rows.
    pub rows: u64,
    /// Earliest time of them.
    pub time_min: Millis,
    /// Latest time of them.
    pub time_max: Millis,
    /// Its person set.
    pub persons: Section,
    /// Its blocks, in the order of their chunks.
    pub chunks: Vec<ChunkEntry>,
}

/// One block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkEntry {
    /// Which 65,536 persons.
    pub chunk: u32,
    /// Persons in it.
    pub persons: u32,
    /// Rows in it.
    pub rows: u32,
    /// The block.
    pub block: Section,
}

/// One property's dictionary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PropertyEntry {
    /// Its id.
    pub property: u32,
    /// Distinct values.
    pub values: u32,
    /// The dictionary.
    pub dictionary: Section,
}

/// The identities of one chunk of persons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembersEntry {
    /// Which 65,536 persons.
    pub chunk: u32,
    /// Persons in it.
    pub persons: u32,
    /// Identities in it.
    pub identities: u32,
    /// The members.
    pub members: Section,
}
