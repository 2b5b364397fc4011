//! `whodid` answers who did what: person-based product analytics in one process, on a log-structured store of
//! its own. It is a library with one program around it.

pub mod app;
pub mod cli;
pub mod demo;
pub mod disk;
pub mod engine;
pub mod enrich;
pub mod error;
pub mod exec;
pub mod http;
pub mod limits;
pub mod model;
pub mod report;
pub mod store;
#[doc(hidden)]
pub mod testing;
pub mod threads;
pub mod tracker;
pub mod transfer;

pub use error::{Error, ErrorKind, Result};
