//! Random histories against the oracle: every outcome, every report, every list, with flushes, compactions, restarts and merges in
//! between. `WHODID_HISTORIES=N` runs N of them (from `WHODID_SEED` on); the default is what a test run can afford.

use serde_json::{Value as Json, json};
use whodid::model::{Admission, Value, format_millis};
use whodid::testing::oracle::Oracle;
use whodid::testing::random::{Action, Grid, History, NOW, random_funnel};

use crate::engine_backend::EngineBackend;

pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// What else might be written for a value: text for a number, a number for its text.
pub fn other_form(value: &Json) -> Option<Json> {
    let other = Value::from_json(&value.to_string()).unwrap()?.other_form()?;
    Some(serde_json::from_str(&other.to_json()).unwrap())
}

/// The places where two answers differ. Numbers may differ in the last bits.
pub fn differences(at: &str, ours: &Json, oracle: &Json, out: &mut Vec<String>) {
    match (ours, oracle) {
        (Json::Object(a), Json::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|k| !a.contains_key(*k))) {
                let (a, b) = (a.get(key).unwrap_or(&Json::Null), b.get(key).unwrap_or(&Json::Null));
                differences(&format!("{at}.{key}"), a, b, out);
            }
        }
        (Json::Array(a), Json::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{at}[{i}]"), a, b, out);
            }
        }
        (Json::Number(a), Json::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            if (a - b).abs() > 1e-9 * a.abs().max(1.0) {
                out.push(format!("{at}: {a}, oracle {b}"));
            }
        }
        (a, b) if a == b => {}
        (a, b) => out.push(format!("{at}: {a}, oracle {b}")),
    }
}

/// Only what both sides give, and what is about people.
pub fn comparable(mut answer: Json) -> Json {
    if let Some(map) = answer.as_object_mut() {
        for field in ["warnings", "elapsed_ms", "as_of", "from", "to", "tz", "cursor"] {
            map.remove(field);
        }
    }
    if let Some(people) = answer.get_mut("people").and_then(Json::as_array_mut) {
        for person in people {
            let map = person.as_object_mut().unwrap();
            map.remove("stopped");
            map.remove("in_progress_until");
        }
    }
    answer
}

pub fn check(what: &str, ours: Json, oracle: Json, context: &str) {
    let mut wrong = Vec::new();
    differences("", &comparable(ours), &comparable(oracle), &mut wrong);
    assert!(wrong.is_empty(), "{context}\n{what}\n{}", wrong.join("\n"));
}

fn run_history(seed: u64, queries: u64) {
    let context = format!("history {seed}");
    let mut oracle = Oracle::new();
    let mut engine = EngineBackend::varied(seed);
    let mut identities: Vec<String> = Vec::new();
    for action in played(seed, Grid::HOURS) {
        match &action {
            Action::Record(record) => {
                let Ok(record) = record.clone().checked(Admission::usual(NOW)) else { continue };
                let (a, b) = (engine.apply(&record, NOW), oracle.apply(&record, NOW));
                assert_eq!(format!("{a:?}"), format!("{b:?}"), "{context} {record:?}");
                identities.push(record.identity.clone());
            }
            Action::Merge(a, b) => assert_eq!(
                format!("{:?}", engine.merge(a, b)),
                format!("{:?}", oracle.merge(a, b)),
                "{context} merge {a} {b}"
            ),
            Action::Unmerge(a) => assert_eq!(
                format!("{:?}", engine.unmerge(a)),
                format!("{:?}", oracle.unmerge(a)),
                "{context} unmerge {a}"
            ),
            Action::Erase(a) => assert_eq!(
                format!("{:?}", engine.erase(a)),
                format!("{:?}", oracle.erase(a)),
                "{context} erase {a}"
            ),
            Action::Flush => engine.engine().flush().unwrap(),
            Action::Compact => engine.engine().compact().unwrap(),
            Action::Reopen => engine.reopen(),
        }
        if matches!(action, Action::Flush | Action::Compact | Action::Reopen) {
            warm(&mut engine);
        }
        // Asked in between as well, so that what is kept for the next report is not stale.
        if identities.len() as u64 % 16 == seed % 16 {
            let query = random_funnel(seed.wrapping_mul(31).wrapping_add(identities.len() as u64));
            check(&query, engine.funnel(&query, NOW), oracle.funnel(&query, NOW), &context);
        }
    }
    identities.sort();
    identities.dedup();
    for identity in &identities {
        let mut ours = engine.person(identity);
        if ours.get("error").is_some() {
            // It came with nothing but duplicates of records by their id.
            assert_eq!(oracle.person(identity)["error"]["code"], "unknown_person", "{context} {identity}");
            continue;
        }
        for field in ["property_history", "counts", "revenue"] {
            ours.as_object_mut().unwrap().remove(field);
        }
        check(identity, ours, oracle.person(identity), &context);
        let theirs = oracle.person_events(identity).into_iter().map(|(time, event, identity, properties)| {
            let properties: serde_json::Map<String, Json> =
                properties.into_iter().map(|(n, v)| (n, serde_json::to_value(v).unwrap())).collect();
            json!({"time": format_millis(time), "event": event, "identity": identity, "properties": properties})
        });
        let sorted = |mut list: Vec<Json>| {
            list.sort_by_key(ToString::to_string);
            list
        };
        let ours = engine.timeline(identity, 1 + seed as usize % 7);
        assert!(ours.windows(2).all(|w| time_of(&w[0]) >= time_of(&w[1])));
        check("timeline", sorted(ours).into(), sorted(theirs.collect()).into(), &context);
    }
    check("events", engine.events(), oracle.events(), &context);
    for n in 0..queries {
        let query = random_funnel(seed.wrapping_mul(1009).wrapping_add(n));
        let ours = engine.funnel(&query, NOW);
        assert!(ours.get("error").is_none(), "{context}\n{query}\n{ours}");
        check(&query, ours.clone(), oracle.funnel(&query, NOW), &context);
        let mut list: Json = serde_json::from_str(&query).unwrap();
        let shown = list.as_object_mut().unwrap().remove("limit").unwrap_or(Json::Null);
        let steps = ours["steps"].as_array().unwrap();
        for (k, step) in steps.iter().enumerate() {
            for (outcome, field) in [("reached", "people"), ("lost", "lost"), ("in_progress", "in_progress")]
            {
                list["step"] = (k + 1).into();
                list["outcome"] = outcome.into();
                let query = list.to_string();
                let ours = engine.funnel_people(&query, NOW);
                assert_eq!(ours["total"], step[field], "{context}: a list is as long as its number\n{query}");
                check(&query, ours, oracle.funnel_people(&query, NOW), &context);
            }
        }
        // At whatever step they are.
        for outcome in ["lost", "in_progress"] {
            list.as_object_mut().unwrap().remove("step");
            list["outcome"] = outcome.into();
            let query = list.to_string();
            let ours = engine.funnel_people(&query, NOW);
            let sum: u64 = steps.iter().map(|step| step[outcome].as_u64().unwrap()).sum();
            assert_eq!(ours["total"], sum, "{context}\n{query}");
            check(&query, ours, oracle.funnel_people(&query, NOW), &context);
        }
        for segment in ours.get("segments").and_then(Json::as_array).into_iter().flatten() {
            list["step"] = 1.into();
            list["outcome"] = "reached".into();
            list["segment"] = segment.get("value").cloned().unwrap_or(json!({"other": true}));
            list["shown"] = shown.clone();
            let query = list.to_string();
            let ours = engine.funnel_people(&query, NOW);
            assert_eq!(ours["total"], segment["steps"][0]["people"], "{context}\n{query}");
            if segment.get("value").is_none() {
                continue;
            }
            list.as_object_mut().unwrap().remove("shown");
            let query = list.to_string();
            check(&query, ours, oracle.funnel_people(&query, NOW), &context);
            if let Some(other) = other_form(&list["segment"]) {
                list["segment"] = other;
                let query = list.to_string();
                let ours = engine.funnel_people(&query, NOW);
                check(&query, ours, oracle.funnel_people(&query, NOW), &context);
            }
        }
    }
}

fn time_of(event: &Json) -> whodid::model::Millis {
    whodid::model::parse_instant(event["time"].as_str().unwrap()).unwrap()
}

#[test]
fn random_histories_agree_with_the_oracle() {
    each_seed(300, |seed| run_history(seed, 3));
}

/// Calls `run` with every seed that is asked for, `default` of them unless told otherwise, on two threads.
pub fn each_seed(default: u64, run: impl Fn(u64) + Sync) {
    let (count, first) = (number("WHODID_HISTORIES", default), number("WHODID_SEED", 1));
    let next = std::sync::atomic::AtomicU64::new(first);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    if seed >= first + count {
                        break;
                    }
                    run(seed);
                }
            });
        }
    });
}

/// Asks for anything, so that what is decoded is of this moment, and later rows and moves are laid over it.
fn warm(engine: &mut EngineBackend) {
    engine.events();
}

/// A random history. Every other one is written out shortly before its end: else nearly everybody has recent rows when reports are asked,
/// and is read from these alone.
fn played(seed: u64, grid: Grid) -> Vec<Action> {
    let mut actions = History::on(seed, grid);
    if seed.is_multiple_of(2) {
        let later = seed as usize / 2 % 4;
        actions.insert(actions.len().saturating_sub(later), Action::Flush);
    }
    actions
}

/// What is asked of both: with the seed, the grid of the history, and what to say where they differ.
type Ask<'a> = &'a (dyn Fn(&mut EngineBackend, &Oracle, u64, Grid, &str) + Sync);

/// Plays random histories on `grids` to the engine and to the oracle, `default` of them unless told otherwise, and asks both at the end of
/// each, of some when everything is compacted, and in the middle of some.
pub fn play_all(default: u64, grids: &[Grid], ask: Ask<'_>) {
    each_seed(default, |seed| {
        let grid = grids[seed as usize / 2 % grids.len()];
        let context = format!("history {seed}");
        let (mut oracle, mut engine) = (Oracle::new(), EngineBackend::varied(seed));
        let actions = played(seed, grid);
        let middle = if seed % 3 == 0 { actions.len() / 2 } else { actions.len() };
        for (place, action) in actions.into_iter().enumerate() {
            if place == middle {
                ask(&mut engine, &oracle, seed, grid, &format!("{context}, before action {place}"));
            }
            match &action {
                Action::Record(record) => {
                    let Ok(record) = record.clone().checked(Admission::usual(grid.now)) else { continue };
                    engine.apply(&record, grid.now);
                    oracle.apply(&record, grid.now);
                }
                Action::Merge(a, b) => {
                    engine.merge(a, b);
                    oracle.merge(a, b);
                }
                Action::Unmerge(a) => {
                    engine.unmerge(a);
                    oracle.unmerge(a);
                }
                Action::Erase(a) => {
                    engine.erase(a);
                    oracle.erase(a);
                }
                Action::Flush => engine.engine().flush().unwrap(),
                Action::Compact => engine.engine().compact().unwrap(),
                Action::Reopen => engine.reopen(),
            }
            if matches!(action, Action::Flush | Action::Compact | Action::Reopen) {
                warm(&mut engine);
            }
        }
        if seed % 5 < 2 {
            engine.engine().flush().unwrap();
            engine.engine().compact().unwrap();
        }
        ask(&mut engine, &oracle, seed, grid, &context);
    });
}
