//! The one integration binary.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod attacks;
mod backup;
mod browser;
mod cli;
mod cli_shown;
mod cli_start;
mod clients;
mod conformance;
mod copies;
mod crash;
mod damage;
mod embedding;
mod engine_backend;
mod enrich;
mod erasure;
mod experiments;
mod exports;
mod faults;
mod fixture;
mod formats;
mod heartbeat;
mod histories;
mod histories_cohort;
mod histories_paths;
mod histories_people;
mod histories_revenue;
mod histories_shared;
mod histories_trend;
mod house;
mod http;
mod loads;
mod losses;
mod memory;
mod operations;
mod refusals;
mod restores;
mod retention;
mod sdks;
mod soak;
mod store_check;
mod support;
mod torture;
mod transfer;
mod webdriver;
