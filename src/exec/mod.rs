//! Answers reports from snapshots.
pub mod cell;
pub mod overlay;
pub mod settled;

