//! Claim: a merge changes a few links and no row. What a report pays for persons that moved since the last compaction stands
//! beside it.

use criterion::{BatchSize, Criterion, Throughput};
use tempfile::TempDir;
use whodid::engine::{Engine, Outcome};
use whodid::exec::Executor;
use whodid::model::{Properties, Record, RecordKind};
use whodid::report::{Funnel, Saved};

use crate::inputs::{NOW, empty, settled, still};

/// Persons that are joined at once.
const MERGES: u64 = 1000;

pub fn identify(c: &mut Criterion) {
    merge(c);
    read_merged(c);
}

fn record(kind: RecordKind, identity: String, name: String) -> Record {
    Record { kind, identity, name, time: Some(NOW), properties: Properties::new(), id: None }
}

/// Two persons for each merge, both with an event.
fn strangers() -> (TempDir, Engine) {
    let (dir, engine) = empty(still());
    let did = |who: String| record(RecordKind::Event, who, "Visited Pricing Page".to_owned());
    let pairs = (0..MERGES).flat_map(|at| [did(format!("anonymous-{at}")), did(format!("known-{at}"))]);
    engine.write(pairs.collect()).unwrap();
    (dir, engine)
}

fn identifies(to: impl Fn(u64) -> String) -> Vec<Record> {
    (0..MERGES).map(|at| record(RecordKind::Identify, format!("anonymous-{at}"), to(at))).collect()
}

fn merge(c: &mut Criterion) {
    let mut group = c.benchmark_group("identify");
    group.sample_size(10);
    group.throughput(Throughput::Elements(MERGES));
    for (name, to) in [
        ("pairs", (|at| format!("known-{at}")) as fn(u64) -> String),
        ("all into one", |_| "known-0".to_owned()),
    ] {
        group.bench_function(name, |b| {
            b.iter_batched(
                || (strangers(), identifies(to)),
                |((dir, engine), records)| {
                    let outcomes = engine.write(records).unwrap();
                    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Stored));
                    (engine, dir)
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// A funnel over a settled store, before and after a thousand persons moved.
fn read_merged(c: &mut Criterion) {
    let mut group = c.benchmark_group("identify/funnel");
    let (_dir, engine) = settled(300_000);
    let executor = Executor::default();
    let steps = r#"{"steps":[{"event":"Visited Pricing Page"},{"event":"Purchased"}]}"#;
    let funnel = Funnel::from_json(steps, &Saved::default()).unwrap();
    let strangers = (0..MERGES)
        .map(|at| record(RecordKind::Event, format!("anonymous-{at}"), "Visited Pricing Page".to_owned()));
    engine.write(strangers.collect()).unwrap();
    engine.compact().unwrap();
    for state in ["settled", "1000 merged", "compacted"] {
        match state {
            "1000 merged" => drop(engine.write(identifies(|at| format!("new-{at}"))).unwrap()),
            "compacted" => engine.compact().unwrap(),
            _ => {}
        }
        let snapshot = engine.snapshot();
        group.bench_function(state, |b| b.iter(|| executor.funnel(&snapshot, &funnel, NOW).unwrap()));
    }
    group.finish();
}
