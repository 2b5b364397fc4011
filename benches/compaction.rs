//! Claim: segments merge at a rate well above that at which records come in, with the persons of today.

use criterion::{BatchSize, Criterion, SamplingMode, Throughput};
use whodid::engine::Engine;

use crate::inputs::{copy, empty, records, still};

/// Segments that are merged.
const SEGMENTS: usize = 8;

pub fn compaction(c: &mut Criterion) {
    let mut group = c.benchmark_group("compaction");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    let records = records(100_000);
    group.throughput(Throughput::Elements(records.len() as u64));
    let (dir, engine) = empty(still());
    for part in records.chunks(records.len().div_ceil(SEGMENTS)) {
        engine.write(part.to_vec()).unwrap();
        engine.flush().unwrap();
    }
    assert_eq!(engine.snapshot().segments.len(), SEGMENTS);
    engine.close().unwrap();
    let apart = || {
        let dir = copy(dir.path());
        let engine = Engine::open(dir.path(), still()).unwrap();
        (dir, engine)
    };
    group.bench_function("100000 events in 8 segments", |b| {
        b.iter_batched(
            apart,
            |(dir, engine)| {
                engine.compact().unwrap();
                (engine, dir)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}
