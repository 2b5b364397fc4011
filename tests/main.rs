//! The one integration binary.

mod conformance;
mod engine_backend;
mod histories;
mod house;
