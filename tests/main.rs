//! The one integration binary.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod backup;
mod browser;
mod cli;
mod conformance;
mod crash;
mod damage;
mod engine_backend;
mod erasure;
mod experiments;
mod faults;
mod fixture;
mod formats;
mod histories;
mod histories_cohort;
mod histories_paths;
mod histories_people;
mod histories_revenue;
mod histories_trend;
mod house;
mod http;
mod retention;
mod sdks;
mod store_check;
mod support;
mod torture;
mod webdriver;
