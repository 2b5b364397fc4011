//! The store and its reports inside another program: somebody visits anonymously, signs up, and a funnel counts one person.
//!
//!     cargo run --example embed

use whodid::Result;
use whodid::engine::{Engine, Options};
use whodid::exec::Executor;
use whodid::model::{Admission, Clock, Record, RecordKind, SystemClock};
use whodid::report::{Funnel, Saved};

fn record(kind: RecordKind, identity: &str, name: &str) -> Result<Record> {
    let record = Record {
        kind,
        identity: identity.to_owned(),
        name: name.to_owned(),
        time: None,
        properties: Vec::new(),
        id: None,
    };
    record.checked(Admission::usual(SystemClock.now()))
}

fn main() -> Result<()> {
    let dir = std::env::temp_dir().join(format!("whodid-embed-{}", std::process::id()));
    let engine = Engine::open(&dir, Options::default())?;
    // When this returns the records are on the disk.
    engine.write(vec![
        record(RecordKind::Event, "anon-7f3a", "Visited Pricing Page")?,
        record(RecordKind::Identify, "anon-7f3a", "jane@example.com")?,
        record(RecordKind::Event, "jane@example.com", "Purchased")?,
        record(RecordKind::Event, "anon-2b90", "Visited Pricing Page")?,
    ])?;

    let query = r#"{"steps":[{"event":"Visited Pricing Page"},{"event":"Purchased"}]}"#;
    let funnel = Funnel::from_json(query, &Saved::default())?;
    // One executor for all questions: it keeps what it has decoded.
    let executor = Executor::default();
    let report = executor.funnel(&engine.snapshot(), &funnel, SystemClock.now())?.answer;
    for (step, name) in report.whole.steps.iter().zip(["visited", "purchased"]) {
        println!("{name}: {}", step.people);
    }
    engine.close()?;
    let _ = std::fs::remove_dir_all(&dir);
    Ok(())
}
