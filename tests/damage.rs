//! Damage in one file: the check names it, wherever it is; a damaged segment is left out and everything else goes on.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use whodid::app::saved::SavedKind;
use whodid::app::{App, Memory, StoredKeys, projects};
use whodid::disk::Vfs;
use whodid::engine::{Engine, Options, check_on};
use whodid::error::ErrorKind;
use whodid::model::{NameId, PropertyId, Record, RecordKind, ValueRef};
use whodid::store::entry::put_row;
use whodid::store::manifest::{Checkpoint, Manifest};
use whodid::store::row::{Row, put_property};
use whodid::store::wal::{WalWriter, wal_name};
use whodid::testing::disk::SimDisk;
use whodid::testing::random::{NOW, Random};

use crate::store_check::{open_with, options};
use crate::support::{API_KEY, Server, WRITE_KEY, run};

fn on(disk: &SimDisk) -> Arc<dyn Vfs> {
    Arc::new(disk.clone())
}

fn event(n: u64) -> Record {
    Record {
        kind: if n.is_multiple_of(9) { RecordKind::Identify } else { RecordKind::Event },
        identity: format!("anon-{}", n % 90),
        name: if n.is_multiple_of(9) { format!("user{}@example.com", n % 90) } else { "Did".to_owned() },
        time: Some(NOW - 1_000_000 + n as i64),
        properties: Vec::new(),
        id: (n % 9 == 1).then(|| format!("id-{n}")),
    }
}

/// Two segments of 300 rows, and 30 rows in the log; somebody was erased.
fn sample() -> SimDisk {
    let disk = SimDisk::new();
    let engine = open_with(&on(&disk), 10_000).unwrap();
    for part in 0..2 {
        engine.write((part * 300..part * 300 + 300).map(event).collect()).unwrap();
        engine.flush().unwrap();
    }
    engine.write(vec![Record { identity: "gone".into(), ..event(1000) }]).unwrap();
    engine.erase(&["gone".to_owned()]).unwrap();
    for n in 600..630 {
        engine.write(vec![event(n)]).unwrap();
    }
    engine.close().unwrap();
    disk
}

/// The offset that a message names.
fn offset(message: &str) -> u64 {
    let number = message.split("offset ").nth(1).unwrap_or_else(|| panic!("no offset: {message}"));
    number.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

#[test]
fn a_check_names_every_flipped_byte() {
    let disk = sample();
    let files = disk.files();
    let sound = check_on(&disk).unwrap();
    assert!(sound.damaged.is_empty() && sound.notes.is_empty() && sound.snapshot.is_some());
    let last_log = files.keys().rfind(|f| f.starts_with("wal-")).unwrap().clone();
    for kind in ["seg-", "ids-", "state-", "wal-", "MANIFEST", "ERASED"] {
        assert!(files.keys().any(|f| f.starts_with(kind)), "{kind}");
    }
    for (name, bytes) in files.iter().filter(|(_, bytes)| !bytes.is_empty()) {
        let mut random = Random::new(bytes.len() as u64);
        for _ in 0..120 {
            let at = random.below(bytes.len() as u64) as usize;
            let mut bad = bytes.clone();
            bad[at] ^= 1 << random.below(8);
            let damaged = disk.copy();
            damaged.put(name, &bad);
            let before = damaged.files();
            let found = check_on(&damaged).unwrap_or_else(|e| panic!("{name} byte {at}: {e}"));
            assert!(damaged.files() == before, "a check changes nothing");
            if found.damaged.is_empty() {
                // The last write, which nobody can tell from one that a crash cut short.
                let note = found.notes.first().unwrap_or_else(|| panic!("{name} byte {at} is not found"));
                assert!(*name == last_log && note.contains(name.as_str()), "{name} byte {at}: {note}");
                assert!(offset(note) <= at as u64 && at as u64 - offset(note) < 200);
                continue;
            }
            for error in &found.damaged {
                assert!(error.message().contains(name.as_str()), "{name} byte {at}: {error}");
                assert!(offset(error.message()) <= bytes.len() as u64, "{error}");
                assert!(error.advice().is_some_and(|a| a.contains("backup")), "{error}");
            }
        }
    }
}

#[test]
fn a_damaged_segment_is_left_out_and_comes_back_with_a_sound_file() {
    let disk = sample();
    let files = disk.files();
    let (name, good) = files.iter().find(|(name, _)| name.starts_with("seg-")).unwrap();
    for at in [good.len() / 4, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 16;
        let damaged = disk.copy();
        damaged.put(name, &bad);
        let engine = open_with(&on(&damaged), 10_000).unwrap();
        left_out(&engine, name);
        // Everything else goes on.
        assert_eq!(engine.snapshot().rows(), 330, "byte {at}");
        engine.write((700..720).map(event).collect()).unwrap();
        engine.merge("anon-1", "anon-2").unwrap();
        engine.compact().unwrap();
        assert_eq!(engine.erase(&["anon-3".to_owned()]).unwrap_err().code(), "damaged");
        assert!(engine.check().iter().all(|e| e.message().contains(name.as_str())));
        assert_eq!(engine.snapshot().rows(), 350);
        engine.close().unwrap();
        assert!(damaged.files().contains_key(name), "the manifest goes on naming it");
        // A sound copy in its place, and all is well, the merge since included.
        let healed = damaged.copy();
        healed.put(name, good);
        let engine = open_with(&on(&healed), 10_000).unwrap();
        assert!(engine.check().is_empty() && engine.snapshot().damaged.is_empty());
        let snapshot = engine.snapshot();
        assert_eq!(snapshot.rows(), 650);
        assert_eq!(snapshot.find_person("anon-1").unwrap(), snapshot.find_person("anon-2").unwrap());
        engine.erase(&["anon-3".to_owned()]).unwrap();
        engine.close().unwrap();
        // Or it is given up.
        let engine = open_with(&on(&damaged.copy()), 10_000).unwrap();
        left_out(&engine, name);
        assert_eq!(engine.drop_damaged().unwrap(), [name.as_str()]);
        assert!(engine.check().is_empty() && engine.snapshot().rows() == 350);
        engine.erase(&["anon-3".to_owned()]).unwrap();
    }
}

/// What no store writes, under sound checksums: an error, and never a panic or a store that cannot go on.
#[test]
fn what_a_sound_checksum_covers_is_looked_at_too() {
    let disk = SimDisk::new();
    let engine = open_with(&on(&disk), 10_000).unwrap();
    engine.write(vec![Record { properties: vec![("P".into(), 7.into())], ..event(1) }]).unwrap();
    engine.flush().unwrap();
    engine.close().unwrap();
    let manifest = Manifest::load(&disk, &disk.list().unwrap()).unwrap().unwrap();
    let row = |name, property, arrival| {
        let mut properties = Vec::new();
        put_property(PropertyId(property), ValueRef::Text("x"), &mut properties);
        let properties = properties.as_slice().into();
        Row { name, identity: 0, time: NOW, target: 0, arrival, properties }
    };
    let first = PropertyId::FIRST;
    let event = NameId(NameId::FIRST_EVENT);
    for (row, good) in [
        (row(event, first, 0), true),
        (row(event, PropertyId::RECORD_ID.0, 0), true),
        (row(NameId::SET, first, 7), true),
        (row(NameId(u32::MAX), first, 0), false),
        (row(NameId(NameId::FIRST_EVENT + 1), first, 0), false),
        (row(event, first + 1, 0), false),
        (row(event, PropertyId::ARRIVAL.0, 0), false),
        (row(NameId::SET, first, u64::MAX), false),
    ] {
        let (mut payload, bad, made) = (Vec::new(), disk.copy(), SimDisk::new());
        put_row(&row, &mut payload);
        let Manifest { store_id, first_log, first_sequence, .. } = manifest;
        let mut log = WalWriter::create(&made, first_log, store_id, first_sequence).unwrap();
        log.append(&payload).unwrap();
        let name = wal_name(first_log);
        bad.put(&name, &made.files()[&name]);
        match open_with(&on(&bad), 10_000) {
            Ok(engine) => {
                assert!(good, "{row:?}");
                engine.flush().unwrap();
            }
            Err(error) => assert!(!good && error.kind() == ErrorKind::Corrupt, "{row:?}: {error}"),
        }
    }
    let file = manifest.checkpoint.as_ref().unwrap();
    let checkpoint = Checkpoint { next_arrival: u64::MAX, ..Checkpoint::load(&disk, file).unwrap() };
    let bad = disk.copy();
    let checkpoint = Some(checkpoint.store(&bad, "state-000000000900").unwrap());
    Manifest { checkpoint, ..manifest }.store(&bad).unwrap();
    assert_eq!(open_with(&on(&bad), 10_000).map(drop).unwrap_err().kind(), ErrorKind::Corrupt);
    // Names of nobody's files.
    for stray in ["x-18446744073709551615", "wal-18446744073709551615", "seg-18446744073709551614"] {
        let odd = disk.copy();
        odd.put(stray, b"stray");
        let engine = open_with(&on(&odd), 10_000).unwrap_or_else(|e| panic!("{stray}: {e}"));
        engine.write(vec![Record { time: Some(NOW - 5), ..crate::damage::event(2) }]).unwrap();
        engine.flush().unwrap();
        engine.close().unwrap();
        open_with(&on(&odd), 10_000).unwrap();
    }
}

/// Waits until the damage is known: what the opening does not see is found by reading everything behind it.
fn left_out(engine: &Engine, name: &str) {
    let begin = Instant::now();
    while engine.snapshot().damaged.is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(5), "the damage is not found");
        std::thread::sleep(Duration::from_millis(2));
    }
    let damaged = engine.snapshot().damaged.clone();
    assert!(damaged.len() == 1 && damaged[0].file == name && damaged[0].message.contains("offset"));
}

/// A server may run for a year.
#[test]
fn damage_is_found_while_the_store_is_open() {
    let disk = sample();
    let options = Options { scrub_every: Duration::from_secs(1), ..options(10_000) };
    let engine = Engine::open_on(on(&disk), options).unwrap();
    let name = disk.files().into_keys().find(|name| name.starts_with("seg-")).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(engine.snapshot().damaged.is_empty());
    disk.set_bad(&name);
    let begin = Instant::now();
    while engine.snapshot().damaged.is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(30), "the damage is not found");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(engine.snapshot().damaged[0].file, name);
}

#[test]
fn a_bad_sector_is_damage_before_anybody_looks_at_it() {
    let sample = sample();
    for name in sample.files().into_keys() {
        let kind = name.split('-').next().unwrap();
        if !["seg", "ids", "state", "wal"].contains(&kind) {
            continue;
        }
        let disk = sample.copy();
        disk.set_bad(&name);
        let found = check_on(&disk).unwrap().damaged;
        assert!(found.len() == 1 && found[0].message().contains("cannot be read"), "{name}: {found:?}");
        let engine = open_with(&on(&disk), 10_000);
        if kind == "seg" {
            left_out(&engine.unwrap(), &name);
        } else {
            assert_eq!(engine.err().unwrap().kind(), ErrorKind::Corrupt, "{name}");
        }
    }
}

#[test]
fn a_missing_segment_is_a_damaged_one() {
    let disk = sample();
    let files = disk.files();
    let name = files.keys().find(|name| name.starts_with("seg-")).unwrap();
    disk.remove(name).unwrap();
    let found = check_on(&disk).unwrap();
    assert!(found.damaged.len() == 1 && found.damaged[0].message().contains(name.as_str()));
    assert_eq!(found.snapshot.unwrap().rows(), 330);
    let healed = disk.copy();
    healed.put(name, &files[name]);
    assert!(check_on(&healed).unwrap().damaged.is_empty());
    let engine = open_with(&on(&disk), 10_000).unwrap();
    left_out(&engine, name);
    assert_eq!(engine.drop_damaged().unwrap(), [name.as_str()]);
    assert!(engine.check().is_empty() && engine.snapshot().rows() == 330);
    engine.close().unwrap();
    assert!(check_on(&disk).unwrap().damaged.is_empty());
    // Nothing else can be done without.
    for kind in ["ids-", "state-"] {
        let bad = healed.copy();
        let name = healed.files().into_keys().find(|name| name.starts_with(kind)).unwrap();
        bad.remove(&name).unwrap();
        let lost = check_on(&bad).unwrap().damaged;
        assert!(open_with(&on(&bad), 10_000).is_err() && lost.len() == 1, "{kind}: {lost:?}");
        assert!(lost[0].message().contains(&format!("{name}: the file is missing")), "{lost:?}");
    }
    // Nor can it be known without the list who must not come back; the store itself knows how many.
    let bad = healed.copy();
    bad.remove("ERASED").unwrap();
    let lost = check_on(&bad).unwrap().damaged;
    assert!(lost.len() == 1 && lost[0].message().contains("ERASED: it names none of 1"), "{lost:?}");
    assert_eq!(open_with(&on(&bad), 10_000).map(drop).unwrap_err().code(), "list_lost");
    healed.remove("MANIFEST").unwrap();
    let lost = check_on(&healed).unwrap();
    assert!(lost.damaged[0].message().contains("MANIFEST: it is missing"), "{}", lost.damaged[0]);
}

#[test]
fn files_that_are_merged_beside_a_check_are_not_missing() {
    let disk = SimDisk::new();
    let engine = open_with(&on(&disk), 10_000).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0.. {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                engine.write((n * 50..n * 50 + 50).map(event).collect()).unwrap();
                engine.flush().unwrap();
                engine.compact().unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        for _ in 0..100 {
            let found = check_on(&disk);
            let damaged = found.as_ref().map(|found| found.damaged.first().map(ToString::to_string));
            if !matches!(damaged, Ok(None)) {
                stop.store(true, Ordering::SeqCst);
            }
            assert_eq!(damaged.unwrap(), None);
        }
        stop.store(true, Ordering::SeqCst);
    });
    engine.close().unwrap();
}

#[test]
fn all_projects_and_all_that_lies_beside_them_are_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let (data, backups) = (dir.path().join("store"), dir.path().join("backups"));
    let line = br#"{"type":"event","person":"a","event":"Did","time":"2025-03-01T10:00:00Z"}"#;
    assert!(run(&data, &["import"], line).status.success());
    let keys = StoredKeys::new(WRITE_KEY.to_owned(), "0".repeat(64));
    let (_, app, _) = projects::create(&data, "Shop", keys, Memory::default()).unwrap();
    app.close().unwrap();
    let look = |command: &[&str]| {
        let output = run(&data, command, b"");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let (check, doctor) = (["check"], ["doctor", "--listen", "127.0.0.1:0"]);
    let backup = ["backup", backups.to_str().unwrap()];
    for command in [&check[..], &doctor, &backup] {
        let (code, said) = look(command);
        assert_eq!(code, Some(0), "{said}");
    }
    let files = ["retention.json", "keys.json", "saved.json", "dashboard.json", "accounts.json"];
    for file in files.into_iter().flat_map(|file| [file.to_owned(), format!("projects/2/{file}")]) {
        let path = data.join(&file);
        let good = std::fs::read(&path).ok();
        std::fs::write(&path, "{\"").unwrap();
        for command in [&check[..], &doctor, &backup] {
            let (code, said) = look(command);
            assert!(code == Some(1) && said.contains(path.to_str().unwrap()), "{file} {command:?}: {said}");
            assert!(command != check || said.contains("1 piece is damaged"), "{file}: {said}");
        }
        good.map_or_else(|| std::fs::remove_file(&path), |good| std::fs::write(&path, good)).unwrap();
    }
    // What is JSON still.
    let said = |args: &[&str]| assert_eq!(run(&data, args, b"").status.code(), Some(0), "{args:?}");
    said(&["user", "add", "jane@example.com", "--role", "owner"]);
    said(&["retention", "--days", "900"]);
    let app = App::open(&data).unwrap();
    app.save(SavedKind::Audience, "Payers", r#"{"people":{"did":"Purchased"}}"#).unwrap();
    app.change_dashboard(|dashboard| dashboard.rename("Shop")).unwrap();
    app.close().unwrap();
    StoredKeys::new(WRITE_KEY.to_owned(), "0".repeat(64)).store(&data).unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    for (file, word, other) in [
        ("retention.json", "900", "100"),
        ("keys.json", "00000", "00001"),
        ("saved.json", "Purchased", "Qurchased"),
        ("dashboard.json", "Shop", "Chop"),
        ("accounts.json", "token_sha256\": \"", "token_sha256\": \"0"),
    ] {
        let path = data.join(file);
        let good = std::fs::read_to_string(&path).unwrap();
        assert!(good.contains(word), "{good}");
        std::fs::write(&path, good.replacen(word, other, 1)).unwrap();
        for command in [&check[..], &doctor, &backup] {
            let (code, said) = look(command);
            assert!(code == Some(1) && said.contains(path.to_str().unwrap()), "{file} {command:?}: {said}");
            assert!(said.contains("checksum") || command == doctor, "{said}");
        }
        // What takes events out is only not done; anything else stops the start.
        if file != "retention.json" {
            let (code, said) = look(&serve);
            assert!(code == Some(1) && said.contains(path.to_str().unwrap()), "{file}: {said}");
        }
        std::fs::write(&path, good).unwrap();
    }
    let manifest = data.join("projects/2/MANIFEST");
    let good = std::fs::read(&manifest).unwrap();
    flip(&manifest);
    for command in [&check[..], &doctor, &serve] {
        let (code, said) = look(command);
        assert!(code == Some(1) && said.contains("projects/2/MANIFEST"), "{command:?}: {said}");
    }
    std::fs::remove_file(&manifest).unwrap();
    std::fs::write(&manifest, good).unwrap();
    std::fs::remove_file(data.join("MANIFEST")).unwrap();
    for command in [&check[..], &doctor, &serve] {
        let (code, said) = look(command);
        assert!(code == Some(1) && said.contains("MANIFEST: it is missing"), "{command:?}: {said}");
    }
}

fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_server_with_a_damaged_segment_says_so_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("store");
    let lines = |from: u64| -> String {
        let line = |n| {
            format!(
                "{{\"type\":\"event\",\"person\":\"p{n}\",\"event\":\"Did\",\"time\":{}}}\n",
                1_740_000_000 + n
            )
        };
        (from..from + 50).map(line).collect()
    };
    let import = |from| {
        assert!(run(&data, &["import"], lines(from).as_bytes()).status.success());
        assert!(run(&data, &["compact"], b"").status.success());
    };
    import(0);
    let segment = std::fs::read_dir(&data).unwrap().map(|f| f.unwrap().path());
    let segment = segment.into_iter().find(|f| f.to_string_lossy().contains("seg-")).unwrap();
    flip(&segment);
    let name = segment.file_name().unwrap().to_str().unwrap();
    let (server, _) =
        Server::start_with(&data, &[("WHODID_API_KEY", API_KEY), ("WHODID_WRITE_KEY", WRITE_KEY)]);
    let begin = Instant::now();
    while server.get("/healthz")["detail"].is_null() {
        assert!(begin.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(server.get("/healthz")["detail"]["damaged_segments"][0], name);
    server.import(&lines(100));
    assert!(server.client().get("/metrics").text().contains("whodid_damaged_segments 1\n"));
    let answer = server.post("/api/v1/funnel", r#"{"steps":[{"event":"Did"}]}"#).json();
    assert_eq!(answer["steps"][0]["people"], 50);
    assert!(answer["warnings"][0]["message"].as_str().unwrap().contains(name), "{answer}");
    let log = std::fs::read_to_string(data.with_extension("log")).unwrap();
    assert!(log.contains(name) && log.contains("offset"), "{log}");
    server.stop();
    let dropped = run(&data, &["check", "--drop-damaged"], b"");
    let told = String::from_utf8_lossy(&dropped.stdout).into_owned();
    assert!(dropped.status.success() && told.contains(name), "{told}");
    assert!(!segment.exists() && run(&data, &["check"], b"").status.success());
}
