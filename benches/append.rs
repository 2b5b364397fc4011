//! Claim: an event is acknowledged after one sync, and whoever waits at the same time shares it.

use criterion::{Criterion, Throughput};
use whodid::engine::Batch;
use whodid::model::{Record, RecordKind};

use crate::inputs::{empty, records};

pub fn append(c: &mut Criterion) {
    let (_dir, engine) = empty(Default::default());
    // Without a time no record is a duplicate.
    let events: Vec<Record> = records(10_000)
        .into_iter()
        .filter(|record| record.kind == RecordKind::Event)
        .map(|record| Record { time: None, ..record })
        .collect();
    let mut group = c.benchmark_group("append");
    let mut next = events.iter().cycle().cloned();
    group.throughput(Throughput::Elements(1));
    group.bench_function("one event", |b| b.iter(|| engine.write(next.by_ref().take(1).collect()).unwrap()));
    for writers in [8, 64] {
        group.throughput(Throughput::Elements(writers));
        group.bench_function(format!("{writers} writers of one event"), |b| {
            b.iter(|| {
                let begun = next
                    .by_ref()
                    .take(writers as usize)
                    .map(|record| engine.begin_write(Batch::of(vec![record])));
                let tickets: Vec<_> = begun.collect::<Result<_, _>>().unwrap();
                tickets.into_iter().for_each(|ticket| drop(ticket.wait().unwrap()));
            });
        });
    }
    group.throughput(Throughput::Elements(1000));
    group.bench_function("a batch of 1000", |b| {
        b.iter(|| engine.write(next.by_ref().take(1000).collect()).unwrap());
    });
    group.finish();
}
