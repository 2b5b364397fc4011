//! The one integration binary.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod conformance;
mod engine_backend;
mod histories;
mod house;
