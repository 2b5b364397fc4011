//! The log-structured store: what is on disk, and the structures that are flushed to it. It knows neither the
//! writer thread nor any report.

pub mod catalog;
pub mod compaction;
pub mod entry;
pub mod erasures;
pub mod id_table;
pub mod identities;
pub mod identity_file;
pub mod identity_writer;
pub mod lookup;
pub mod manifest;
pub mod memtable;
pub mod packed;
pub mod paged;
pub mod persons;
pub mod places;
pub mod refusals;
pub mod row;
pub mod segment;
pub mod symbols;
pub mod values;
pub mod wal;
