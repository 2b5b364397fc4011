//! Import and export.

pub mod csv;
pub mod format;
pub mod kissmetrics;
pub mod lines;
pub mod ndjson;
pub mod parquet;
pub mod plain;
pub mod segment;
pub mod unpack;
