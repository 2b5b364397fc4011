//! Claim: a store is open long before its files could be read: they are mapped, and decoded when a report touches them.

use criterion::{BenchmarkId, Criterion};
use whodid::engine::Engine;

use crate::inputs::{settled, still};

pub fn open(c: &mut Criterion) {
    let mut group = c.benchmark_group("open");
    for events in [10_000, 100_000, 300_000] {
        let (dir, engine) = settled(events);
        engine.close().unwrap();
        group.bench_with_input(BenchmarkId::from_parameter(events), &dir, |b, dir| {
            b.iter(|| Engine::open(dir.path(), still()).unwrap().close().unwrap());
        });
    }
    group.finish();
}
