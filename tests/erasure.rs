//! Erasing people: they leave every answer at once and every file, whatever layout the store has, and a crash leaves all or nothing.
//! Files are searched as they are, and through the packing of identities.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use whodid::Result;
use whodid::app::App;
use whodid::app::saved::SavedKind;
use whodid::disk::{RealVfs, Vfs};
use whodid::engine::{Engine, Erased, Options};
use whodid::exec::Executor;
use whodid::model::{Clock, Millis, Record, RecordKind, Value};
use whodid::store::erasures::Erasures;
use whodid::store::refusals::Refusal;
use whodid::testing::disk::{Fault, SimDisk};
use whodid::testing::oracle::Oracle;
use whodid::testing::random::NOW;

use crate::engine_backend::to_json;
use crate::histories::{comparable, differences};
use crate::store_check::open_with;
use crate::support::{Server, WRITE_KEY, authorized};

fn text(marker: &str) -> Value {
    Value::Text(marker.to_owned())
}

/// What one person sends: a device, a name, properties and ids of records that nobody else has.
fn records_of(n: u64) -> Vec<Record> {
    let (device, email) = (format!("{n:016x}"), format!("marker-{n}@example.com"));
    let record = |kind, identity: &str, name: &str, at: i64, properties, id| Record {
        kind,
        identity: identity.to_owned(),
        name: name.to_owned(),
        time: Some(NOW - 1_000_000 + at),
        properties,
        id,
    };
    let (event, set) = (RecordKind::Event, RecordKind::Set);
    let place = ("Place".to_owned(), text(&format!("marker-place-{n}-end")));
    let plan = ("Plan".to_owned(), text(if n.is_multiple_of(2) { "Pro" } else { "Free" }));
    vec![
        record(event, &device, "Visited", 1, vec![place, plan.clone()], None),
        record(RecordKind::Identify, &device, &email, 2, Vec::new(), None),
        record(event, &email, "Bought", 3, vec![plan], Some(format!("marker-order-{n}-end"))),
        record(
            set,
            &email,
            "",
            4,
            vec![("Street".to_owned(), text(&format!("marker-street-{n}-end")))],
            None,
        ),
    ]
}

/// What must not be found of a person, as bytes.
fn markers(n: u64) -> Vec<Vec<u8>> {
    let texts = [
        format!("marker-{n}@"),
        format!("marker-place-{n}-end"),
        format!("marker-order-{n}-end"),
        format!("marker-street-{n}-end"),
        format!("{n:016x}"),
    ];
    // Identities of hexadecimal digits are stored at half their length.
    texts.iter().map(|t| t.as_bytes().to_vec()).chain([n.to_be_bytes().to_vec()]).collect()
}

fn person(i: u64) -> u64 {
    0x00c0_ffee_0000_0000 + i * 0x1_0001
}

/// The files of a store, and what their packed blocks hold, in which any of `wanted` is found.
fn found_in(vfs: &dyn Vfs, engine: &Engine, wanted: &[Vec<u8>]) -> Vec<String> {
    let holds = |bytes: &[u8]| wanted.iter().any(|w| bytes.windows(w.len()).any(|window| window == *w));
    // A file that is merged with others meanwhile is found in the next listing.
    let listed = || -> Option<Vec<_>> {
        vfs.list().unwrap().into_iter().map(|file| Some((vfs.open(&file).ok()?, file))).collect()
    };
    let files = std::iter::repeat_with(listed).flatten().next().unwrap();
    let mut found: Vec<String> = files.into_iter().filter(|(b, _)| holds(b)).map(|(_, f)| f).collect();
    let unpacked =
        |_, identity: &str| found.extend(holds(identity.as_bytes()).then(|| "unpacked".to_owned()));
    engine.snapshot().identities.for_each_stored(unpacked).unwrap();
    found
}

/// Writes and tells the oracle.
fn write(engine: &Engine, oracle: &mut Oracle, records: Vec<Record>) {
    for record in &records {
        oracle.apply(record, NOW);
    }
    engine.write(records).unwrap();
}

fn erase(engine: &Engine, people: &[u64]) -> Erased {
    let names: Vec<String> = people.iter().map(|n| format!("marker-{n}@example.com")).collect();
    engine.erase(&names).unwrap()
}

/// Compares what is asked about everybody.
fn compare(engine: &Engine, oracle: &Oracle, executor: &Executor, context: &str) {
    let snapshot = engine.snapshot();
    let mut wrong = Vec::new();
    let events = comparable(to_json(Ok(executor.events(&snapshot, i64::MAX).unwrap())));
    differences("events", &events, &comparable(oracle.events()), &mut wrong);
    let reports = whodid::app::Reports::new(Default::default());
    for (report, query) in [
        ("funnel", r#"{"steps":[{"event":"Visited"},{"event":"Bought"}],"by":"step1.Plan"}"#),
        ("people", r#"{"people":{"not":{"did":"Nothing"}},"limit":1000}"#),
        ("funnel", r#"{"steps":[{"event":"Bought"}],"by":"person.Street","limit":1000,"times":false}"#),
    ] {
        let ours = reports.answer(report, &snapshot, query, NOW).unwrap();
        let mut ours: serde_json::Value = serde_json::from_str(&ours).unwrap();
        ours.as_object_mut().unwrap().remove("receipt");
        if let Some(people) = ours.get_mut("people").and_then(|p| p.as_array_mut()) {
            people.sort_by(|a, b| a["person"].as_str().cmp(&b["person"].as_str()));
            people.iter_mut().for_each(|p| drop(p.as_object_mut().unwrap().remove("properties")));
        }
        let mut theirs = oracle.report(report, query, NOW);
        for person in theirs.get_mut("people").and_then(|p| p.as_array_mut()).into_iter().flatten() {
            person.as_object_mut().unwrap().remove("properties");
        }
        differences(report, &comparable(ours), &comparable(theirs), &mut wrong);
    }
    assert!(wrong.is_empty(), "{context}:\n{}", wrong.join("\n"));
    assert_eq!(snapshot.rows() as usize, oracle.stored(), "{context}");
}

#[test]
fn nothing_of_an_erased_person_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let vfs: Arc<dyn Vfs> = Arc::new(RealVfs::new(dir.path()).unwrap());
    let engine = open_with(&vfs, 100_000).unwrap();
    let (mut oracle, executor) = (Oracle::new(), Executor::default());
    for i in 0..300 {
        write(&engine, &mut oracle, records_of(person(i)));
        if i % 70 == 69 {
            engine.flush().unwrap();
        }
    }
    let refusal = |n: u64| Refusal {
        time: NOW,
        reason: "bad_time".into(),
        message: "too early".into(),
        identity: format!("marker-{n}@example.com"),
        name: "Visited".into(),
    };
    engine.refuse(refusal(person(3)));
    engine.refuse(refusal(person(4)));
    engine.flush().unwrap();
    compare(&engine, &oracle, &executor, "before");
    // In a segment, in the latest one, and in memory.
    let all: Vec<u64> = [3, 150, 299, 300].map(person).to_vec();
    write(&engine, &mut oracle, records_of(person(300)));
    let wanted: Vec<Vec<u8>> = all.iter().flat_map(|n| markers(*n)).collect();
    let before = found_in(vfs.as_ref(), &engine, &wanted);
    for kind in ["seg-", "state-", "wal-", "unpacked"] {
        assert!(before.iter().any(|f| f.starts_with(kind)), "the search sees nothing in {kind}: {before:?}");
    }
    let erased = erase(&engine, &all);
    let expected = Erased {
        people: 4,
        identities: 8,
        events: 8,
        sets: 4,
        identifies: 4,
        refusals: 1,
        // As many as there are: some may be merged already.
        segments: erased.segments,
    };
    assert!(erased.segments >= 2);
    assert_eq!(erased, expected);
    for n in &all {
        oracle.erase(&format!("marker-{n}@example.com"));
    }
    compare(&engine, &oracle, &executor, "after");
    assert_eq!(found_in(vfs.as_ref(), &engine, &wanted), Vec::<String>::new());
    assert!(engine.snapshot().find_person("marker-3@example.com").unwrap().is_none());
    assert_eq!(engine.refusals().latest().count(), 1);
    // Whoever comes under the name is somebody new, and repeats are no duplicates.
    write(&engine, &mut oracle, records_of(person(3)));
    compare(&engine, &oracle, &executor, "come back");
    engine.compact().unwrap();
    compare(&engine, &oracle, &executor, "compacted");
    engine.close().unwrap();
    let engine = open_with(&vfs, 100_000).unwrap();
    compare(&engine, &oracle, &executor, "opened again");
    assert!(engine.check().is_empty());
    let others: Vec<Vec<u8>> = all.iter().skip(1).flat_map(|n| markers(*n)).collect();
    assert_eq!(found_in(vfs.as_ref(), &engine, &others), Vec::<String>::new());
}

/// A store with two segments, rows in memory, and who is to be erased: person 1.
fn sample(disk: &SimDisk) -> (Engine, Oracle) {
    let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
    let engine = open_with(&vfs, 100_000).unwrap();
    let mut oracle = Oracle::new();
    for i in 0..6 {
        write(&engine, &mut oracle, records_of(person(i)));
        if i == 1 || i == 3 {
            engine.flush().unwrap();
        }
    }
    let more = records_of(person(1)).remove(0);
    write(&engine, &mut oracle, vec![Record { time: Some(NOW), ..more }]);
    (engine, oracle)
}

/// What such a store must answer once somebody is erased.
fn sample_without(email: &str) -> Oracle {
    let mut after = Oracle::new();
    for i in 0..6 {
        records_of(person(i)).iter().for_each(|r| drop(after.apply(r, NOW)));
    }
    let more = records_of(person(1)).remove(0);
    after.apply(&Record { time: Some(NOW), ..more }, NOW);
    after.erase(email);
    after
}

#[test]
fn a_crash_leaves_an_erasure_done_or_undone() {
    let (whole, executor) = (SimDisk::new(), Executor::default());
    let (engine, _) = sample(&whole);
    let begin = whole.ops();
    erase(&engine, &[person(1)]);
    let operations = whole.ops() - begin;
    assert!(operations > 25, "{operations} operations only");
    let (mut done, mut undone) = (0, 0);
    for n in 0..operations {
        let disk = SimDisk::new();
        let (engine, oracle) = sample(&disk);
        disk.power_off_after(n);
        assert!(engine.erase(&[format!("marker-{}@example.com", person(1))]).is_err());
        drop(engine);
        for seed in 0..3 {
            let found = if seed == 0 { disk.copy() } else { disk.crashed(n * 10 + seed) };
            let vfs: Arc<dyn Vfs> = Arc::new(found.clone());
            let engine = open_with(&vfs, 100_000).unwrap_or_else(|e| panic!("after {n}: {e}"));
            let email = format!("marker-{}@example.com", person(1));
            let context = format!("after {n} of {operations}, {seed}");
            if engine.snapshot().find_person(&email).unwrap().is_some() {
                undone += 1;
                compare(&engine, &oracle, &executor, &context);
                erase(&engine, &[person(1)]);
            } else {
                done += 1;
            }
            compare(&engine, &sample_without(&email), &executor, &context);
            let left = found_in(vfs.as_ref(), &engine, &markers(person(1)));
            assert!(left.is_empty(), "{context}: {left:?}");
        }
    }
    assert!(done > 3 && undone > 20, "{done} done, {undone} undone");
}

/// What the manifest names stays, whatever fails behind its replacement.
#[test]
fn a_fault_leaves_an_erasure_done_or_undone() {
    let (executor, email) = (Executor::default(), format!("marker-{}@example.com", person(1)));
    let after = sample_without(&email);
    for fault in [Fault::RemoveError, Fault::SyncDirError, Fault::OpenError] {
        for n in 0.. {
            let disk = SimDisk::new();
            let (engine, before) = sample(&disk);
            disk.fail_at(n, fault);
            let erased = engine.erase(std::slice::from_ref(&email));
            drop(engine);
            for found in [disk.copy(), disk.crashed(n)] {
                let context = format!("{fault:?} {n}");
                let vfs: Arc<dyn Vfs> = Arc::new(found);
                let engine = open_with(&vfs, 100_000).unwrap_or_else(|e| panic!("{context}: {e}"));
                assert!(engine.check().is_empty(), "{context}: {:?}", engine.check());
                let there = engine.snapshot().find_person(&email).unwrap().is_some();
                assert!(!there || erased.is_err(), "{context}: it said that they are gone");
                compare(&engine, if there { &before } else { &after }, &executor, &context);
                let left = found_in(vfs.as_ref(), &engine, &markers(person(1)));
                assert!(there || left.is_empty(), "{context}: {left:?}");
            }
            if !disk.struck() {
                erased.unwrap();
                assert!(n > 2, "{fault:?} struck {n} times only");
                break;
            }
        }
    }
}

/// Whatever lies there may hold the erased: a merge leaves a file behind if it can neither name nor remove it.
#[test]
fn an_erasure_removes_what_no_manifest_names() {
    let disk = SimDisk::new();
    let (engine, _) = sample(&disk);
    let strays = ["seg-000000009999", "ids-000000009998", "state-000000009997"];
    strays.iter().for_each(|name| disk.put(name, &markers(person(1)).concat()));
    erase(&engine, &[person(1)]);
    let files = disk.files();
    assert!(strays.iter().all(|name| !files.contains_key(*name)), "{:?}", files.keys());
    assert!(engine.check().is_empty());
}

/// Erases those in a list from an older copy.
fn again(copy: &Engine, list: &Erasures) -> Result<Erased> {
    copy.erase_only(&copy.listed(list)?)
}

#[test]
fn an_older_copy_of_the_store_learns_who_was_erased_since() {
    let disk = SimDisk::new();
    let (engine, mut oracle) = sample(&disk);
    let older = disk.copy();
    erase(&engine, &[person(1), person(5)]);
    let list = engine.erasures().unwrap();
    assert_eq!(list.entries.len(), 4);
    let vfs: Arc<dyn Vfs> = Arc::new(older.clone());
    let copy = open_with(&vfs, 100_000).unwrap();
    assert_eq!(again(&copy, &list).unwrap().people, 2);
    for n in [1, 5].map(person) {
        oracle.erase(&format!("marker-{n}@example.com"));
    }
    compare(&copy, &oracle, &Executor::default(), "the copy");
    assert_eq!(again(&copy, &list).unwrap(), Erased::default());
    // Somebody new under an old name is not who was erased.
    write(&copy, &mut oracle, records_of(person(1)));
    assert_eq!(again(&copy, &list).unwrap(), Erased::default());
    compare(&copy, &oracle, &Executor::default(), "somebody new");
    let other = tempfile::tempdir().unwrap();
    let stranger = Engine::open(Path::new(other.path()), Default::default()).unwrap();
    assert_eq!(again(&stranger, &list).unwrap_err().code(), "foreign_list");
}

#[test]
fn whoever_was_one_with_the_erased_in_an_older_copy_stays() {
    let disk = SimDisk::new();
    let (engine, _) = sample(&disk);
    let name = |i: u64| format!("marker-{}@example.com", person(i));
    // One person then: two with a device each, and of a third only what came under its name.
    engine.merge(&name(1), &name(0)).unwrap();
    engine.merge(&name(2), &name(0)).unwrap();
    let older = disk.copy();
    engine.unmerge(&name(0)).unwrap();
    engine.unmerge(&name(2)).unwrap();
    let erased = engine.erase(&[name(1)]).unwrap();
    assert_eq!((erased.people, erased.identities), (1, 4), "the devices of all three stayed together");
    let vfs: Arc<dyn Vfs> = Arc::new(older);
    let copy = open_with(&vfs, 100_000).unwrap();
    let receipt = again(&copy, &engine.erasures().unwrap()).unwrap();
    assert_eq!(receipt, Erased { segments: receipt.segments, ..erased });
    let (then, now) = (copy.snapshot(), engine.snapshot());
    assert_eq!(then.rows(), now.rows());
    let rest = then.person(&name(0)).unwrap();
    assert_eq!(
        (then.identities_of(rest).unwrap(), then.display(rest).unwrap()),
        (vec![name(0), name(2)], name(0))
    );
    assert!(copy.check().is_empty());
    assert_eq!(found_in(vfs.as_ref(), &copy, &markers(person(1))), Vec::<String>::new());
}

#[test]
fn an_erasure_that_is_refused_leaves_what_was_saved_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let app = App::open(dir.path()).unwrap();
    app.engine().write(records_of(person(1))).unwrap();
    app.engine().flush().unwrap();
    let name = format!("marker-{}@example.com", person(1));
    let audience = format!(r#"{{"people":{{"property":"Email","is":"{name}"}}}}"#);
    app.save(SavedKind::Audience, "One", &audience).unwrap();
    app.engine().write(records_of(person(2))).unwrap();
    app.engine().flush().unwrap();
    app.close().unwrap();
    let segment = std::fs::read_dir(dir.path()).unwrap().map(|f| f.unwrap().path());
    let segment = segment.filter(|f| f.to_string_lossy().contains("seg-")).max().unwrap();
    let good = std::fs::read(&segment).unwrap();
    std::fs::write(&segment, &good[..good.len() / 2]).unwrap();
    let app = App::open(dir.path()).unwrap();
    assert_eq!(app.erase(std::slice::from_ref(&name)).unwrap_err().code(), "damaged");
    let saved = || std::fs::read_to_string(dir.path().join("saved.json")).unwrap();
    assert!(saved().contains(&name) && app.reports().saved().audiences["One"].contains(&name), "{}", saved());
    app.close().unwrap();
    std::fs::write(&segment, good).unwrap();
    let app = App::open(dir.path()).unwrap();
    assert_eq!(app.erase(std::slice::from_ref(&name)).unwrap().saved, 1);
    assert!(!saved().contains(&name), "{}", saved());
    app.close().unwrap();
}

#[test]
fn the_browser_of_the_erased_is_somebody_new_s() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    let browser = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
    let robot = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
    for (person, agent) in [("jane", browser), ("robot", robot)] {
        let visit = || {
            let path = format!("/e?_k={WRITE_KEY}&_p={person}&_n=Visited");
            assert_eq!(server.client().send("GET", path, &[("User-Agent", agent)], b"").status, 200);
            server.get(&format!("/api/v1/people/{person}"))["properties"].clone()
        };
        let before = visit();
        assert!(before["User Agent"] == agent && visit() == before, "{before}");
        let path = format!("/api/v1/people/{person}");
        assert_eq!(server.client().send("DELETE", path, &[authorized()], b"").status, 200);
        assert_eq!(visit(), before);
    }
}

#[test]
fn erasing_goes_on_beside_writers_and_merges() {
    let dir = tempfile::tempdir().unwrap();
    let vfs: Arc<dyn Vfs> = Arc::new(RealVfs::new(dir.path()).unwrap());
    let engine = open_with(&vfs, 200).unwrap();
    let mut erased = BTreeMap::new();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for i in 0..400 {
                engine.write(records_of(person(i))).unwrap();
            }
        });
        scope.spawn(|| {
            for i in 0..150u64 {
                // Of people who may not have come yet, or are gone.
                let name = |i: u64| format!("marker-{}@example.com", person(i));
                drop(engine.merge(&name(i * 2), &name(i * 2 + 1)));
            }
        });
        // Around again and again: whoever has not come yet may have by then, and after the writer's end everybody has.
        let mut people = (0..400).step_by(37).cycle();
        while !writer.is_finished() || erased.is_empty() {
            let i = people.next().unwrap();
            let name = format!("marker-{}@example.com", person(i));
            match engine.erase(&[name]) {
                Ok(receipt) => drop(erased.insert(i, receipt)),
                Err(error) => assert!(matches!(error.code(), "unknown_person" | "busy"), "{error}"),
            }
        }
    });
    assert!(!erased.is_empty(), "{} erased", erased.len());
    let gone: u64 = erased.values().map(|e| e.events + e.sets + e.identifies).sum();
    assert_eq!(engine.snapshot().rows() + gone, 1600);
    for i in erased.keys() {
        assert_eq!(found_in(vfs.as_ref(), &engine, &markers(person(*i))), Vec::<String>::new());
    }
    let people: u64 = erased.values().map(|e| e.identities).sum();
    assert_eq!(u64::from(engine.snapshot().persons.erased()), people);
    assert!(engine.check().is_empty());
}

type Hook = Box<dyn FnOnce() + Send>;

/// Does something in the middle of an erasure: the instant is asked for when somebody is added to the list.
#[derive(Default)]
struct Hooked(Mutex<Option<Hook>>);

impl Clock for Hooked {
    fn now(&self) -> Millis {
        let is_writer = std::thread::current().name() == Some("writer");
        if let Some(hook) = is_writer.then(|| self.0.lock().unwrap().take()).flatten() {
            hook();
        }
        NOW
    }
}

#[test]
fn what_is_saved_and_refused_during_an_erasure_is_neither_kept_nor_lost() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Hooked::default());
    let options = Options { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..Options::default() };
    let app = Arc::new(App::open_with(dir.path(), options).unwrap());
    app.engine().write(records_of(1).into_iter().chain(records_of(2)).collect()).unwrap();
    let done = Arc::new(OnceLock::new());
    let (weak, told) = (Arc::downgrade(&app), Arc::clone(&done));
    *clock.0.lock().unwrap() = Some(Box::new(move || {
        let app = weak.upgrade().unwrap();
        let jane = r#"{"people":{"property":"Email","is":"marker-1@example.com"}}"#;
        app.save(SavedKind::Audience, "J", jane).unwrap();
        for reason in ["bad_time", "bad_name"] {
            app.engine().refuse(Refusal {
                time: NOW,
                reason: reason.to_owned(),
                message: "no".to_owned(),
                identity: if reason == "bad_time" { "marker-2@example.com" } else { "marker-1@example.com" }
                    .to_owned(),
                name: "X".to_owned(),
            });
        }
        told.set(()).unwrap();
    }));
    let receipt = app.erase(&["marker-1@example.com".to_owned()]).unwrap();
    assert!(done.get().is_some(), "it was in the middle");
    assert_eq!((receipt.saved, receipt.erased.refusals), (1, 1));
    let refused: Vec<String> = app.refusals().latest().map(|refusal| refusal.identity.clone()).collect();
    assert_eq!((refused, app.refusals().counts().len()), (vec!["marker-2@example.com".to_owned()], 2));
    let saved = std::fs::read_to_string(dir.path().join("saved.json")).unwrap();
    assert!(saved.contains("erased") && !saved.contains("marker-1@"), "{saved}");
    Arc::into_inner(app).unwrap().close().unwrap();
}
