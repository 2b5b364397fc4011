//! Claim: who came back is one pass over two events.

use criterion::Criterion;
use whodid::exec::Executor;
use whodid::report::{Cohort, Saved};

use crate::inputs::{NOW, settled};

const COHORTS: [(&str, &str); 3] = [
    (
        "months by weeks of their own",
        r#"{"start":{"event":"Signed Up"},"return":{"event":"Logged In"},"bucket":"week","count":27}"#,
    ),
    (
        "months by months of the calendar",
        r#"{"start":{"event":"Signed Up"},"return":{"event":"Logged In"},"buckets":"calendar"}"#,
    ),
    (
        "by source",
        r#"{"start":{"event":"Signed Up"},"return":{"event":"Logged In"},"by":"person.Campaign Source"}"#,
    ),
];

pub fn cohort(c: &mut Criterion) {
    let (_dir, engine) = settled(300_000);
    let (snapshot, executor) = (engine.snapshot(), Executor::default());
    let mut group = c.benchmark_group("cohort");
    for (name, query) in COHORTS {
        let query = Cohort::from_json(query, &Saved::default()).unwrap();
        group.bench_function(name, |b| b.iter(|| executor.cohort(&snapshot, &query, NOW).unwrap()));
    }
    group.finish();
}
