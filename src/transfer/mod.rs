//! Import and export.

pub mod lines;
pub mod ndjson;
