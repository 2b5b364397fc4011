//! Claim: who can matter is found from bitmaps and a few columns, without looking at anybody.

use criterion::Criterion;
use whodid::exec::Executor;
use whodid::report::{People, Saved};

use crate::inputs::{NOW, settled};

/// Searches that count.
const SEARCHES: [(&str, &str); 3] = [
    (
        "three events and not a fourth",
        r#"{"people":{"all":[{"did":"Used Feature A"},{"did":"Used Feature B"},{"did":"Exported Report"},
            {"not":{"did":"Cancelled"}}]},"limit":0}"#,
    ),
    ("a property", r#"{"people":{"property":"Industry","is":"Healthcare"},"limit":0}"#),
    (
        "an event three times in a month",
        r#"{"people":{"did":"Used Feature A","at_least":3,"from":"2025-09-01","to":"2025-09-30"},"limit":0}"#,
    ),
];

pub fn candidates(c: &mut Criterion) {
    let (_dir, engine) = settled(300_000);
    let (snapshot, executor) = (engine.snapshot(), Executor::default());
    let mut group = c.benchmark_group("candidates");
    for (name, query) in SEARCHES {
        let query = People::from_json(query, &Saved::default()).unwrap();
        assert!(executor.people(&snapshot, &query, NOW).unwrap().answer.total > 0, "{name}: nobody");
        group.bench_function(name, |b| b.iter(|| executor.people(&snapshot, &query, NOW).unwrap()));
    }
    group.finish();
}
