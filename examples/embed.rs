//! The store and its reports inside another program: somebody visits anonymously, signs up, and a funnel counts one person.
//!
//!     cargo run --example embed

use whodid::Result;
use whodid::engine::{Engine, Options};
use whodid::exec::Executor;
use whodid::model::{Admission, Clock, Record, SystemClock};
use whodid::report::{Funnel, Saved};

fn main() -> Result<()> {
    let dir = std::env::temp_dir().join(format!("whodid-embed-{}", std::process::id()));
    let engine = Engine::open(&dir, Options::default())?;
    let admission = Admission::usual(SystemClock.now());
    let records = [
        Record::event("anon-7f3a", "Visited Pricing Page"),
        Record::identify("anon-7f3a", "jane@example.com"),
        Record::event("jane@example.com", "Purchased").with("Revenue", 99).known_by("order-17"),
        Record::event("anon-2b90", "Visited Pricing Page"),
    ];
    let records = records.into_iter().map(|record| record.checked(admission)).collect::<Result<_>>()?;
    // When this returns the records are on the disk; of each it says what became of it.
    println!("{:?}", engine.write(records)?);

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
