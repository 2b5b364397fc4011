//! Import and export.

pub mod lines;
pub mod ndjson;
pub mod segment;
