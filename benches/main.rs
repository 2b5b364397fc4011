//! Benchmarks: one file per claim about speed, one program so that it is linked once.
//!
//! `cargo bench --locked` runs all of them, `cargo bench --locked -- funnel` those whose name holds that.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails has nothing to tell")]
#![allow(missing_docs, reason = "criterion's macro makes a function without")]

mod append;
mod candidates;
mod cohort;
mod compaction;
mod flush;
mod funnel;
mod identify;
mod inputs;
mod open;
mod replay;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};

/// Short: differences of a few percent need `-- --measurement-time 10` and a quiet machine.
fn config() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! {
    name = claims;
    config = config();
    targets = append::append, replay::replay, flush::flush, compaction::compaction, candidates::candidates,
        funnel::funnel, cohort::cohort, identify::identify, open::open
}
criterion_main!(claims);
