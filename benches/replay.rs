//! Claim: what is only in the log comes back several times faster than it was written.

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use whodid::engine::read_only;

use crate::inputs::{empty, records, still};

pub fn replay(c: &mut Criterion) {
    let mut group = c.benchmark_group("replay");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    for events in [10_000, 100_000] {
        let (dir, engine) = empty(still());
        let records = records(events);
        group.throughput(Throughput::Elements(records.len() as u64));
        engine.write(records).unwrap();
        // Closing flushes nothing.
        engine.close().unwrap();
        group.bench_with_input(BenchmarkId::from_parameter(events), &dir, |b, dir| {
            b.iter(|| read_only(dir.path()).unwrap());
        });
    }
    group.finish();
}
