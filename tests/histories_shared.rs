//! Reports beside a writer, from two threads that share what is kept: whatever is written, flushed, merged and erased meanwhile, an
//! answer is the one that somebody gives who knows nothing but the snapshot.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::Value as Json;
use whodid::app::Reports;
use whodid::engine::{Engine, Snapshot};
use whodid::model::{Admission, Properties, Record, RecordKind};
use whodid::report::Saved;
use whodid::testing::random::{Action, Grid, History, NOW, random_funnel};
use whodid::testing::random_cohort::random_cohort;
use whodid::testing::random_revenue::random_revenue;
use whodid::testing::random_trend::{random_lifecycle, random_trend};

use crate::engine_backend::EngineBackend;
use crate::histories::{check, each_seed};
use crate::histories_people::random_people;

/// Histories one after the other in one store.
const HISTORIES: u64 = 4;

fn play(engine: &Engine, action: Action) {
    // Merges and erasures of somebody who never came are refused.
    match action {
        Action::Record(mut record) => {
            record.time.get_or_insert(NOW);
            drop(engine.write(vec![record.checked(Admission::usual(NOW)).unwrap()]).unwrap());
        }
        Action::Merge(a, b) => drop(engine.merge(&a, &b)),
        Action::Unmerge(a) => drop(engine.unmerge(&a)),
        Action::Erase(a) => drop(engine.erase(&[a])),
        Action::Flush => engine.flush().unwrap(),
        Action::Compact => engine.compact().unwrap(),
        Action::Reopen => {}
    }
}

/// A report, and a query of it.
fn random_query(seed: u64) -> (&'static str, String) {
    match seed % 6 {
        0 => ("cohort", random_cohort(seed, Grid::HOURS)),
        1 => ("revenue", random_revenue(seed, Grid::HOURS)),
        2 => ("trend", random_trend(seed, Grid::HOURS)),
        3 => ("lifecycle", random_lifecycle(seed, Grid::HOURS)),
        4 => ("people", random_people(seed, Grid::HOURS).to_string()),
        _ => ("funnel", random_funnel(seed)),
    }
}

/// The answer, but for what was read for it; none if somebody in it was erased meanwhile.
fn answer(reports: &Reports, snapshot: &Snapshot, (report, query): &(&str, String)) -> Option<Json> {
    match reports.answer(report, snapshot, query, NOW) {
        Ok(text) => {
            let mut answer: Json = serde_json::from_str(&text).unwrap();
            let fields = answer.as_object_mut().unwrap();
            fields.remove("receipt");
            fields.remove("elapsed_ms");
            Some(answer)
        }
        Err(error) => {
            assert_eq!(error.code(), "erased", "{error}");
            None
        }
    }
}

fn read(engine: &Engine, reports: &Reports, seed: u64, ended: &AtomicBool) -> u64 {
    let (mut older, mut compared) = (VecDeque::new(), 0);
    for n in 0.. {
        let last = ended.load(Ordering::SeqCst);
        let query = random_query(seed.wrapping_mul(1049).wrapping_add(n));
        older.push_back(engine.snapshot());
        // Those who read an older one are not to spoil what is kept for the others.
        let back = if n % 3 == 0 { n as usize / 3 % older.len() } else { 0 };
        let snapshot = older.iter().rev().nth(back).cloned().unwrap();
        if older.len() > 5 {
            older.pop_front();
        }
        let shared = answer(reports, &snapshot, &query);
        let alone = answer(&Reports::default(), &snapshot, &query);
        if let (Some(shared), Some(alone)) = (shared, alone) {
            check(&query.1, shared, alone, &format!("{} of seed {seed}, query {n}", query.0));
            compared += 1;
        }
        if last {
            break;
        }
    }
    compared
}

#[test]
fn answers_beside_a_writer_are_those_of_their_snapshots() {
    let compared = AtomicU64::new(0);
    each_seed(6, |seed| {
        let backend = EngineBackend::varied(seed);
        let engine = backend.engine();
        let reports = Reports::keeping(Saved::default(), seed.is_multiple_of(2).then_some(3000));
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let readers = [1, 2].map(|reader| {
                let (reports, ended) = (&reports, &ended);
                scope.spawn(move || read(engine, reports, seed.wrapping_mul(3) + reader, ended))
            });
            for action in (0..HISTORIES).flat_map(|n| History::random(seed * HISTORIES + n)) {
                play(engine, action);
                // So that the readers see most of what there is between two flushes.
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            ended.store(true, Ordering::SeqCst);
            for reader in readers {
                compared.fetch_add(reader.join().unwrap(), Ordering::SeqCst);
            }
        });
    });
    assert!(compared.into_inner() > 50);
}

#[test]
fn an_older_snapshot_knows_nobody_who_came_later() {
    let backend = EngineBackend::varied(0);
    let (engine, reports) = (backend.engine(), Reports::default());
    let came = |identity: &str| {
        let (identity, name) = (identity.to_owned(), "Came".to_owned());
        let (kind, properties) = (RecordKind::Event, Properties::default());
        let record = Record { kind, identity, name, time: Some(NOW), properties, id: None };
        drop(engine.write(vec![record.checked(Admission::usual(NOW)).unwrap()]).unwrap());
        engine.snapshot()
    };
    let (older, newer) = (came("ann@x.org"), came("bob@x.org"));
    let total =
        |snapshot: &Snapshot| answer(&reports, snapshot, &("people", "{}".into())).unwrap()["total"].clone();
    assert_eq!((total(&newer), total(&older), total(&newer)), (2.into(), 1.into(), 2.into()));
}
