//! The engine over its own files: outcomes, restarts, flushes and compactions in between.

use std::sync::Arc;

use super::{Engine, Options, Outcome, Snapshot, background};
use crate::disk::Bytes;
use crate::error::{Error, ErrorKind};
use crate::model::{Clock, Millis, NameId, Record, RecordKind, Value};
use crate::store::manifest::Manifest;
use crate::store::segment::Segment;

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Millis {
        1_750_000_000_000
    }
}

fn options() -> Options {
    Options { memtable_rows: 1000, clock: Arc::new(Fixed), ..Options::default() }
}

fn event(identity: &str, name: &str, time: Option<Millis>, value: i64) -> Record {
    let properties = vec![("n".to_owned(), Value::Number(value.into()))];
    let (identity, name) = (identity.to_owned(), name.to_owned());
    Record { kind: RecordKind::Event, identity, name, time, properties, id: None }
}

fn identify(identity: &str, name: &str) -> Record {
    let (identity, name) = (identity.to_owned(), name.to_owned());
    Record {
        kind: RecordKind::Identify,
        identity,
        name,
        time: Some(1_740_000_000_000),
        properties: Vec::new(),
        id: None,
    }
}

fn persons_of(snapshot: &Snapshot, identities: &[&str]) -> Vec<String> {
    identities.iter().map(|i| snapshot.display(snapshot.find_person(i).unwrap().unwrap()).unwrap()).collect()
}

#[test]
fn duplicates_are_found_in_the_group_the_memtable_and_segments() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), options()).unwrap();
    let time = Some(1_740_000_000_000);
    let a = event("a", "Did", time, 1);
    let with_id = |id: &str| Record { id: Some(id.to_owned()), ..event("a", "Did", None, 1) };
    use Outcome::{Duplicate, Stored};
    let check = |records: &[Record], outcomes: &[Outcome]| {
        assert_eq!(engine.write(records.to_vec()).unwrap(), outcomes);
    };
    check(
        &[a.clone(), a.clone(), event("a", "Did", time, 2), event("b", "Did", time, 1)],
        &[Stored, Duplicate, Stored, Stored],
    );
    check(
        &[with_id("x"), with_id("x"), event("a", "Did", None, 1), event("a", "Did", None, 1)],
        &[Stored, Duplicate, Stored, Stored],
    );
    check(
        &[a.clone(), with_id("x"), identify("a", "b"), identify("a", "b")],
        &[Duplicate, Duplicate, Stored, Duplicate],
    );
    engine.flush().unwrap();
    check(
        &[a.clone(), with_id("x"), identify("a", "b"), event("a", "Did", time, 3)],
        &[Duplicate, Duplicate, Duplicate, Stored],
    );
    engine.compact().unwrap();
    check(&[a, with_id("x"), identify("a", "b"), event("a", "Did", time, 3)], &[Duplicate; 4]);
    assert_eq!(engine.snapshot().segments.len(), 1);
    assert_eq!(engine.snapshot().rows(), 8);
}

#[test]
fn a_restart_finds_the_same_store() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..4 {
        let engine = Engine::open(dir.path(), options()).unwrap();
        let snapshot = engine.snapshot();
        assert_eq!(snapshot.rows(), round * 2404);
        for i in 0..24 {
            let batch = (0..100).map(|k| event(&format!("p{}", k * i % 97), "Did", None, k)).collect();
            engine.write(batch).unwrap();
        }
        let id = |i: u64| (format!("p{}", i + round * 3), format!("name{}", i + round));
        for (p, n) in (0..4).map(id) {
            engine.write(vec![Record { time: None, ..identify(&p, &n) }]).unwrap();
        }
        let before = engine.snapshot();
        let all: Vec<String> = (0..97).map(|i| format!("p{i}")).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let persons = persons_of(&before, &all);
        drop(before);
        if round % 2 == 0 {
            engine.compact().unwrap();
        }
        engine.close().unwrap();
        let again = Engine::open(dir.path(), options()).unwrap();
        assert_eq!(persons_of(&again.snapshot(), &all), persons);
        let did = again.snapshot().event("Did").unwrap();
        assert_eq!(again.snapshot().rows_of(did), (round + 1) * 2400);
        assert_eq!(again.snapshot().rows_of(NameId::IDENTIFY), (round + 1) * 4);
        assert!(again.check().is_empty());
    }
}

#[test]
fn an_operator_merges_and_unmerges_and_strangers_are_not_found() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), options()).unwrap();
    engine.write(vec![event("a", "Did", None, 1), event("b", "Did", None, 1)]).unwrap();
    assert!(engine.merge("a", "b").unwrap() && !engine.merge("a", "b").unwrap());
    assert_eq!(engine.snapshot().persons.persons(), 1);
    assert_eq!(engine.merge("a", "nobody").unwrap_err().kind(), ErrorKind::NotFound);
    engine.flush().unwrap();
    assert!(engine.unmerge("a").unwrap() && !engine.unmerge("a").unwrap());
    engine.close().unwrap();
    let engine = Engine::open(dir.path(), options()).unwrap();
    assert_eq!(engine.snapshot().persons.persons(), 2);
}

#[test]
fn a_second_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _engine = Engine::open(dir.path(), options()).unwrap();
    let error = Engine::open(dir.path(), options()).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
}

/// A merge that was at work when a write failed, and one that was about to begin.
#[test]
fn behind_a_failed_write_nothing_is_merged_or_named() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), Options { compaction: false, ..options() }).unwrap();
    for who in ["a", "b", "c"] {
        engine.write(vec![event(who, "Did", Some(1_740_000_000_000), 1)]).unwrap();
        engine.flush().unwrap();
    }
    let files = || engine.shared.vfs.list().unwrap();
    let manifest = || Manifest::load(engine.shared.vfs.as_ref(), &files()).unwrap().unwrap();
    let (before, named) = (files(), manifest());
    engine.shared.fail(&Error::new(ErrorKind::Io, "io", "cannot sync"));
    let error = background::edit_manifest(&engine.shared, |manifest| manifest.segments.clear()).unwrap_err();
    assert_eq!((error.kind(), manifest()), (ErrorKind::Poisoned, named));
    assert_eq!(background::compact_all(&engine.shared).unwrap_err().kind(), ErrorKind::Poisoned);
    assert_eq!(files(), before);
}

#[test]
fn an_engine_without_a_log_erases_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), Options { load_bytes: Some(1 << 20), ..options() }).unwrap();
    engine.write(vec![event("a", "Did", Some(1_740_000_000_000), 1)]).unwrap();
    let (told, answer) = std::sync::mpsc::channel();
    std::thread::spawn(move || told.send(engine.erase(&["a".to_owned()]).unwrap_err().kind()));
    assert_eq!(answer.recv_timeout(std::time::Duration::from_secs(20)), Ok(ErrorKind::Conflict));
}

/// Damage that a search for duplicates meets before anything else: the segment is left out, and what was sent is taken the next time.
#[test]
fn a_damaged_segment_holds_up_writers_for_a_moment() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), Options { merge_segments: 2, ..options() }).unwrap();
    let old = |who: &str| event(who, "Did", Some(1_740_000_000_000), 1);
    let begun = std::time::Instant::now();
    let patient = || {
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "it never comes");
        std::thread::sleep(std::time::Duration::from_millis(2));
    };
    for who in ["a", "b"] {
        engine.write(vec![old(who)]).unwrap();
        engine.flush().unwrap();
    }
    // Merged: by then the reading behind the start is over, which would find the damage itself.
    while engine.work_done().1 == 0 {
        patient();
    }
    let segment = Arc::clone(&engine.snapshot().segments[0]);
    let good = engine.shared.vfs.open(segment.name()).unwrap().to_vec();
    // What is looked at for a duplicate, and not by opening.
    let damaged = (0..good.len()).find_map(|at| {
        let mut bad = good.clone();
        bad[at] ^= 16;
        let parse = |bytes: &[u8]| Segment::parse(segment.name(), Bytes::from_vec(bytes.to_vec()));
        parse(&bad).ok()?.may_contain(0).is_err().then(|| parse(&bad).unwrap())
    });
    let damaged = Arc::new(damaged.expect("a byte of the filter"));
    engine.shared.publish(|next| next.segments = [damaged].into());
    let records = vec![event("new", "New", Some(1_740_000_000_000), 1), old("a")];
    let error = engine.write(records.clone()).unwrap_err();
    assert!(error.kind() == ErrorKind::Busy && error.message().contains(segment.name()), "{error}");
    while engine.snapshot().damaged.is_empty() {
        patient();
    }
    assert_eq!(engine.write(records).unwrap(), [Outcome::Stored; 2], "nothing of them was stored before");
    let snapshot = engine.snapshot();
    assert_eq!((snapshot.rows(), snapshot.persons.identities(), snapshot.segments.len()), (2, 3, 0));
    engine.close().unwrap();
}
