//! Damage in one file: the check names it, wherever it is; a damaged segment is left out and everything else goes on.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use whodid::disk::Vfs;
use whodid::engine::{Engine, check_on};
use whodid::model::{Record, RecordKind};
use whodid::testing::disk::SimDisk;
use whodid::testing::random::{NOW, Random};

use crate::store_check::open_with;
use crate::support::{API_KEY, Server, WRITE_KEY};

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
        assert!(crate::support::run(&data, &["import"], lines(from).as_bytes()).status.success());
        assert!(crate::support::run(&data, &["compact"], b"").status.success());
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
    let dropped = crate::support::run(&data, &["check", "--drop-damaged"], b"");
    let told = String::from_utf8_lossy(&dropped.stdout).into_owned();
    assert!(dropped.status.success() && told.contains(name), "{told}");
    assert!(!segment.exists() && crate::support::run(&data, &["check"], b"").status.success());
}
