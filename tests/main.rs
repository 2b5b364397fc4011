//! The one integration binary.

mod cli;
mod conformance;
mod engine_backend;
mod histories;
mod http;
mod support;
