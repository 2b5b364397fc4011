//! Claim: a funnel costs what the events that it names cost, whatever else is in the store.

use criterion::{BenchmarkId, Criterion, Throughput};
use whodid::exec::Executor;
use whodid::report::{Funnel, Saved};

use crate::inputs::{NOW, settled};

const STEPS: &str = r#""steps":[{"event":"Visited Pricing Page"},{"event":"Started Free Trial"},
    {"event":"Completed Onboarding"},{"event":"Purchased"}]"#;
/// What is added to the steps.
const KINDS: [(&str, &str); 5] = [
    ("medians", ""),
    ("counts", r#","times":false"#),
    ("within", r#","within":"7d""#),
    ("by property", r#","by":"person.Campaign Source""#),
    ("excluded", r#","exclude":[{"event":"Cancelled"}]"#),
];

pub fn funnel(c: &mut Criterion) {
    let mut group = c.benchmark_group("funnel");
    for events in [30_000, 300_000] {
        let (_dir, engine) = settled(events);
        let (snapshot, executor) = (engine.snapshot(), Executor::default());
        group.throughput(Throughput::Elements(events));
        for (name, more) in KINDS {
            let funnel = Funnel::from_json(&format!("{{{STEPS}{more}}}"), &Saved::default()).unwrap();
            let reached = executor.funnel(&snapshot, &funnel, NOW).unwrap().answer;
            assert!(reached.whole.steps.iter().all(|step| step.people > 0), "{name}: nobody gets through");
            group.bench_with_input(BenchmarkId::new(name, events), &funnel, |b, funnel| {
                b.iter(|| executor.funnel(&snapshot, funnel, NOW).unwrap());
            });
        }
    }
    group.finish();
}
