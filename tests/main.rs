//! The one integration binary.

mod conformance;
mod crash;
mod engine_backend;

mod histories;
mod store_check;
