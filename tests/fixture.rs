//! Stores of the present format and of the ones before, kept with their answers: whoever changes a format learns here that stores are
//! out there. The present one is written by `WHODID_FIXTURE=write cargo test --test main fixture`, which replaces it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};
use whodid::app::{Reports, export};
use whodid::demo::Company;
use whodid::engine::{Engine, Options, Snapshot, read_only};
use whodid::model::{Admission, parse_instant};
use whodid::transfer::format::ExportFormat;

const UNTIL: &str = "2026-01-01T00:00:00Z";

fn place(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(version)
}

/// What a store answers: everything in it, and reports that read every kind of piece.
fn answers(snapshot: &Snapshot) -> Json {
    let (reports, now) = (Reports::new(Default::default()), parse_instant(UNTIL).unwrap());
    let mut out = BTreeMap::new();
    for (report, query) in [
        (
            "funnel",
            r#"{"steps":[{"event":"Visited Pricing Page"},{"event":"Purchased"}],"by":"first:person.Campaign Source"}"#,
        ),
        ("revenue", r#"{"unit":"month"}"#),
        ("people", r#"{"people":{"did":"Purchased"},"limit":20}"#),
    ] {
        let answer = reports.answer(report, snapshot, query, now).unwrap();
        let mut answer: Json = serde_json::from_str(&answer).unwrap();
        answer.as_object_mut().unwrap().remove("elapsed_ms");
        out.insert(report, answer);
    }
    let mut records = Vec::new();
    export(snapshot, ExportFormat::Ndjson, &mut records).unwrap();
    let lines = crate::support::sorted_records(&String::from_utf8(records).unwrap());
    json!({ "reports": out, "stats": {"people": snapshot.persons.persons()}, "records": lines })
}

/// Two segments, identities, a checkpoint, a log, merges and somebody who was erased.
fn write(dir: &Path) {
    let engine = Engine::open(dir, Options { compaction: false, ..Options::default() }).unwrap();
    let until = parse_instant(UNTIL).unwrap();
    let records: Vec<_> = Company::new(12, 150, 3, until)
        .unwrap()
        .records()
        .map(|r| r.checked(Admission::usual(until)).unwrap())
        .collect();
    let names: Vec<String> = records.iter().map(|r| r.identity.clone()).collect();
    for (at, part) in records.chunks(records.len() / 3 + 1).enumerate() {
        engine.write(part.to_vec()).unwrap();
        if at < 2 {
            engine.flush().unwrap();
        }
        if at == 1 {
            engine.erase(&names[..1]).unwrap();
            engine.merge(&names[names.len() / 4], &names[names.len() / 3]).unwrap();
        }
    }
    engine.close().unwrap();
    fs::remove_file(dir.join("LOCK")).unwrap();
}

#[test]
fn stores_of_before_open_and_answer_the_same() {
    opens_and_answers(&place("store-002"), "WDSEG002");
    opens_and_answers(&place("store-003"), "WDSEG003");
    opens_and_answers(&place("store-004"), "WDSEG004");
}

#[test]
fn a_store_of_now_opens_and_answers_the_same() {
    let place = place("store-005");
    if std::env::var_os("WHODID_FIXTURE").is_some_and(|what| what == "write") {
        if place.exists() {
            fs::remove_dir_all(&place).unwrap();
        }
        write(&place);
        let text = serde_json::to_string_pretty(&answers(&read_only(&place).unwrap())).unwrap();
        fs::write(place.with_extension("json"), text + "\n").unwrap();
    }
    opens_and_answers(&place, "WDSEG005");
}

/// How a definition is written as text may change, what it says may not.
fn without_text(mut answers: Json) -> Json {
    for answer in answers["reports"].as_object_mut().unwrap().values_mut() {
        answer["receipt"].as_object_mut().unwrap().remove("text");
    }
    answers
}

/// The first eight bytes of each file whose name begins so.
fn magics(dir: &Path, kind: &str) -> Vec<String> {
    let files = fs::read_dir(dir).unwrap().map(Result::unwrap);
    let of_kind = files.filter(|file| file.file_name().to_string_lossy().starts_with(kind));
    of_kind.map(|file| String::from_utf8(fs::read(file.path()).unwrap()[..8].to_vec()).unwrap()).collect()
}

/// A copy of a store, to be changed, in a folder that is removed in the end.
fn copied(place: &Path) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("store");
    fs::create_dir(&copy).unwrap();
    for file in fs::read_dir(place).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), copy.join(file.file_name())).unwrap();
    }
    (dir, copy)
}

#[test]
fn a_compaction_writes_the_present_version_of_files_that_need_no_merge() {
    let (_dir, copy) = copied(&place("store-004-compacted"));
    assert_eq!(
        (magics(&copy, "seg-"), magics(&copy, "ids-")),
        (vec!["WDSEG004".into()], vec!["WDIDS002".into()])
    );
    let before = answers(&read_only(&copy).unwrap());
    let engine = Engine::open(&copy, Options::default()).unwrap();
    engine.compact().unwrap();
    assert_eq!(
        (magics(&copy, "seg-"), magics(&copy, "ids-")),
        (vec!["WDSEG005".into()], vec!["WDIDS003".into()])
    );
    assert_eq!(answers(&engine.snapshot()), before);
    assert!(engine.check().is_empty());
}

fn opens_and_answers(place: &Path, magic: &str) {
    let (_dir, copy) = copied(place);
    let kept = fs::read_to_string(place.with_extension("json")).unwrap();
    let kept = without_text(serde_json::from_str(&kept).unwrap());
    assert_eq!(without_text(answers(&read_only(&copy).unwrap())), kept);
    let segments = magics(&copy, "seg-");
    assert!(segments.len() == 2 && segments.iter().all(|m| m == magic), "{segments:?}");
    let engine = Engine::open(&copy, Options::default()).unwrap();
    assert!(engine.check().is_empty());
    engine.compact().unwrap();
    let (snapshot, count) = (engine.snapshot(), kept["records"].as_array().unwrap().len());
    assert!(snapshot.segments.len() == 1 && count > 100, "{count}");
    assert_eq!(without_text(answers(&snapshot)), kept);
}
