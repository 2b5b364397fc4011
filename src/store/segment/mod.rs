//! Segments: immutable files of rows, grouped by event name and, within a name, by person and time.
//!
//! ```text
//! magic             8   "WDSEG005"
//! dictionaries          one per property: its distinct values in order (see dictionary.rs)
//! clock                 at which time the store was at which arrival number (see clock.rs)
//! blocks                one per name and chunk of 65,536 persons (see block.rs)
//! person sets           one per name: who is in its blocks, one after the other (see low_ids.rs)
//! members               one per chunk: the identities of each person, its first and last event and their number (see members.rs)
//! filter                split-block Bloom filter over (name, identity, time) of all rows (see filter.rs); empty in a large segment
//! record ids            20 bytes each, sorted: hash u64, name u32, chunk u32, row u32
//! directory             where all of that is, with a checksum for each piece (bincode of `Directory`, and of the clock's `Section`)
//! footer           28   directory offset u64, length u64, crc u32, magic 8
//! ```
//! Integers are little-endian. A piece is checked against its checksum when it is first touched, and decoded only then.

pub mod block;
pub mod build;
pub mod clock;
pub mod dictionary;
mod encoded;
pub mod filter;
pub mod low_ids;
mod marks;
pub mod members;
pub mod merge;
mod patched;
pub mod reader;
pub mod sieve;
pub mod writer;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::model::{Millis, PersonId};

pub use encoded::{EncodedBlock, Visit};
pub use reader::Segment;

/// Which form the pieces of a segment have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// Members do not know how many events a person has.
    V002,
    /// Blocks have their persons in them, and person sets are roaring bitmaps.
    V003,
    /// Columns have one width, times count from the earliest of their block, identifies have the number of the other identity.
    V004,
    /// As it is written now.
    V005,
}

impl Version {
    /// All that are read, the newest first.
    pub const ALL: [Self; 4] = [Self::V005, Self::V004, Self::V003, Self::V002];

    /// First and last bytes of a segment file.
    pub fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::V002 => b"WDSEG002",
            Self::V003 => b"WDSEG003",
            Self::V004 => b"WDSEG004",
            Self::V005 => b"WDSEG005",
        }
    }
}

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
