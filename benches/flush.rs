//! Claim: a memtable becomes a segment faster than the next one fills.

use criterion::{BatchSize, Criterion, SamplingMode, Throughput};

use crate::inputs::{empty, records, still};

pub fn flush(c: &mut Criterion) {
    let mut group = c.benchmark_group("flush");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    let records = records(50_000);
    group.throughput(Throughput::Elements(records.len() as u64));
    let full = || {
        let (dir, engine) = empty(still());
        engine.write(records.clone()).unwrap();
        (dir, engine)
    };
    group.bench_function("50000 events", |b| {
        b.iter_batched(
            full,
            |(dir, engine)| {
                engine.flush().unwrap();
                (engine, dir)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}
