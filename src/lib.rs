//! `whodid` answers who did what: person-based product analytics in one process, on a log-structured store of its own.

#![doc = include_str!("../docs/embedding.md")]

pub mod app;
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod demo;
#[doc(hidden)]
pub mod disk;
pub mod engine;
#[doc(hidden)]
pub mod enrich;
pub mod error;
pub mod exec;
#[doc(hidden)]
pub mod http;
pub mod limits;
pub mod model;
pub mod report;
#[doc(hidden)]
pub mod store;
#[doc(hidden)]
pub mod testing;
#[doc(hidden)]
pub mod threads;
#[doc(hidden)]
pub mod tracker;
#[doc(hidden)]
pub mod transfer;

pub use error::{Error, ErrorKind, Result};
