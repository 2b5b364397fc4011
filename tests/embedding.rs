//! What another program relies on that uses the library.

use std::sync::Arc;

use tempfile::{TempDir, tempdir};
use whodid::engine::{Batch, Engine, Options, Outcome};
use whodid::exec::Executor;
use whodid::limits;
use whodid::model::{Admission, Clock, Record, SystemClock};
use whodid::report::{Exclude, Funnel, Saved};

fn funnel(steps: &[&str]) -> Funnel {
    let steps: Vec<_> = steps.iter().map(|event| serde_json::json!({ "event": event })).collect();
    Funnel::from_json(&serde_json::json!({ "steps": steps }).to_string(), &Saved::default()).unwrap()
}

fn entered(executor: &Executor, engine: &Engine, event: &str) -> u64 {
    let report = executor.funnel(&engine.snapshot(), &funnel(&[event]), SystemClock.now()).unwrap();
    report.answer.whole.steps[0].people
}

fn events(people: std::ops::Range<usize>, event: &str) -> Vec<Record> {
    let admission = Admission::usual(SystemClock.now());
    people.map(|n| Record::event(&format!("p{n}"), event).checked(admission).unwrap()).collect()
}

fn open(options: Options) -> (TempDir, Engine) {
    let dir = tempdir().unwrap();
    let engine = Engine::open(dir.path(), options).unwrap();
    (dir, engine)
}

#[test]
fn shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Engine>();
    shared::<Executor>();
    shared::<whodid::engine::Snapshot>();
}

/// Two stores number their names and people alike, and openings begin to count epochs anew.
#[test]
fn one_executor_may_be_asked_about_any_store() {
    let executor = Executor::default();
    let (_here, few) = open(Options::default());
    let (there, many) = open(Options::default());
    for (engine, people) in [(&few, 0..3), (&many, 0..7)] {
        engine.write(events(people, "Came")).unwrap();
        engine.flush().unwrap();
    }
    for _ in 0..2 {
        assert_eq!(entered(&executor, &few, "Came"), 3);
        assert_eq!(entered(&executor, &many, "Came"), 7);
    }
    many.close().unwrap();
    let many = Engine::open(there.path(), Options::default()).unwrap();
    many.write(events(7..9, "Came")).unwrap();
    many.flush().unwrap();
    assert_eq!(entered(&executor, &many, "Came"), 9);
    assert_eq!(entered(&executor, &few, "Came"), 3);
}

#[test]
fn an_unchecked_record_is_refused_with_all_beside_it() {
    let (_dir, engine) = open(Options::default());
    let huge = "x".repeat(limits::FRAME_BYTES_MAX as usize);
    for (bad, code) in [
        (Record::event("", "Came"), "bad_identity"),
        (Record::event(" p1 ", "Came"), "not_checked"),
        (Record::event("p1", "Came").with("b", 1).with("a", 1), "not_checked"),
        (Record::event("p1", "Came").at(i64::MAX), "bad_time"),
        (Record::event("p1", "Came").with("a", huge), "bad_value"),
    ] {
        let mut records = events(0..2, "Came");
        records.push(bad);
        let error = engine.write(records.clone()).unwrap_err();
        assert_eq!(error.code(), code);
        assert!(error.place().unwrap().starts_with("records[2]."), "{error}");
        assert_eq!(engine.try_write(records).unwrap_err().code(), code);
    }
    assert_eq!(engine.snapshot().rows(), 0);
    assert_eq!(engine.write(events(0..2, "Came")).unwrap(), [Outcome::Stored; 2]);
}

#[test]
fn a_batch_is_of_one_opening() {
    let (_here, one) = open(Options::default());
    let (_there, other) = open(Options::bulk());
    for engine in [&one, &other] {
        engine.write(events(0..1, "Came")).unwrap();
    }
    let (here, there) = (one.batch(100), other.batch(100));
    let refused = |batch: Batch, engine: &Engine| engine.begin_write(batch).err().unwrap().code();
    assert_eq!(refused(here.finish(), &other), "foreign_batch");
    assert_eq!(refused(there.finish(), &one), "foreign_batch");
    assert!(one.begin_write(one.batch(100).finish()).unwrap().wait().unwrap().is_empty());
    assert_eq!(one.begin_write(Batch::of(events(1..2, "Came"))).unwrap().wait().unwrap(), [Outcome::Stored]);
}

/// There is no log: what was taken and not flushed is nowhere else.
#[test]
fn closing_flushes_what_a_bulk_engine_has_taken() {
    let (dir, engine) = open(Options::bulk());
    let ticket = engine.begin_write(Batch::of(events(0..5, "Came"))).unwrap();
    assert_eq!(ticket.wait().unwrap(), [Outcome::Stored; 5]);
    engine.close().unwrap();
    let engine = Engine::open(dir.path(), Options::default()).unwrap();
    assert_eq!(engine.snapshot().rows(), 5);
}

#[test]
fn options_and_definitions_that_cannot_work_are_refused() {
    let dir = tempdir().unwrap();
    let usual = Options::default;
    for options in [
        Options { memtable_rows: 0, ..usual() },
        Options { log_bytes: 0, ..usual() },
        Options { merge_segments: 1, ..usual() },
        Options { identities_merged: 0, ..usual() },
        Options { merge_threads: 0, ..usual() },
    ] {
        assert_eq!(Engine::open(dir.path(), options).err().unwrap().code(), "bad_options");
    }
    let engine = Engine::open(dir.path(), usual()).unwrap();
    let snapshot = engine.snapshot();
    let executor = Arc::new(Executor::default());
    let asked = |funnel: &Funnel| executor.funnel(&snapshot, funnel, 0).err().map(|error| error.code());
    let good = funnel(&["A", "B"]);
    assert_eq!(asked(&good), None);
    let exclude = Exclude { events: vec!["C".into()], conditions: Vec::new(), after: 1 };
    for bad in [
        Funnel { steps: Vec::new(), ..good.clone() },
        Funnel {
            steps: good.steps.iter().cycle().take(limits::FUNNEL_STEPS_MAX + 1).cloned().collect(),
            ..good.clone()
        },
        Funnel { exclude: vec![exclude], ..good.clone() },
        Funnel {
            exclude: vec![Exclude { events: Vec::new(), conditions: Vec::new(), after: usize::MAX }],
            ..good
        },
    ] {
        assert_eq!(asked(&bad), Some("bad_steps"));
    }
}
