//! The one integration binary.

mod conformance;
mod crash;
mod engine_backend;
mod faults;

mod formats;
mod histories;
mod store_check;
