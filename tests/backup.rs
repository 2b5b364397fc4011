//! Backups of stores at rest and at work: each is a store, files that did not change are shared, and a restore gives the same answers,
//! but for those who were erased since.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use whodid::app::saved::SavedKind;
use whodid::app::{App, Share, backup, export, restore};
use whodid::disk::RealVfs;
use whodid::engine::{Engine, Options, check_files, read_only};
use whodid::model::{Record, RecordKind, Value};
use whodid::testing::random::NOW;
use whodid::transfer::format::ExportFormat;

use crate::support::{API_KEY, Server, WRITE_KEY, sorted_lines};

fn event(identity: &str, n: u64) -> Record {
    Record {
        kind: RecordKind::Event,
        identity: identity.to_owned(),
        name: "Did".to_owned(),
        time: Some(NOW + n as i64),
        properties: vec![("n".to_owned(), Value::Number((n as i64).into()))],
        id: None,
    }
}

fn options() -> Options {
    Options { memtable_rows: 400, ..Options::default() }
}

fn open(data: &Path) -> Engine {
    Engine::open_on(Arc::new(RealVfs::new(data).unwrap()), options()).unwrap()
}

/// Everything in a store, as records.
fn everything(data: &Path) -> Vec<String> {
    let mut out = Vec::new();
    export(&read_only(data).unwrap(), ExportFormat::Ndjson, &mut out).unwrap();
    sorted_lines(&String::from_utf8(out).unwrap())
}

fn inodes(dir: &Path) -> BTreeMap<String, u64> {
    let files = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    files.map(|f| (f.file_name().into_string().unwrap(), f.metadata().unwrap().ino())).collect()
}

#[test]
fn a_second_backup_shares_what_did_not_change_and_a_restore_gives_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = (dir.path().join("store"), dir.path().join("backups"));
    let engine = open(&data);
    engine.write((0..300).map(|n| event(&format!("p{}", n % 40), n)).collect()).unwrap();
    engine.flush().unwrap();
    engine.write(vec![event("late", 1000)]).unwrap();
    std::fs::write(data.join("saved.json"), r#"{"audiences":{},"reports":{}}"#).unwrap();
    let first = backup(&data, &target, None, NOW).unwrap();
    assert_eq!((first.shared, first.records), (0, 301));
    engine.write(vec![event("later", 2000)]).unwrap();
    engine.flush().unwrap();
    let second = backup(&data, &target, None, NOW + 1000).unwrap();
    assert!(second.shared >= 2 && second.records == 302, "{second:?}");
    let (before, after, live) = (inodes(&first.path), inodes(&second.path), inodes(&data));
    let shared: Vec<_> = before.iter().filter(|(name, inode)| after.get(*name) == Some(*inode)).collect();
    assert!(shared.iter().any(|(name, _)| name.starts_with("seg-")), "{shared:?}");
    assert!(
        !after.values().any(|inode| live.values().any(|l| l == inode)),
        "nothing is shared with the store"
    );
    engine.close().unwrap();
    let restored = dir.path().join("restored");
    // The directory of backups stands for the newest.
    let report = restore(&target, &restored, &[], options()).unwrap();
    assert_eq!((report.from, report.records), (second.path.clone(), 302));
    assert_eq!(everything(&restored), everything(&data));
    assert!(restored.join("saved.json").exists());
    assert_eq!(restore(&target, &restored, &[], options()).unwrap_err().code(), "not_empty");
    // The first one is as it was, and works without the other.
    std::fs::remove_dir_all(&second.path).unwrap();
    assert_eq!(everything(&first.path).len(), 301);
}

#[test]
fn backups_of_a_store_at_work_are_each_a_moment_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = (dir.path().join("store"), dir.path().join("backups"));
    let engine = open(&data);
    let (begun, done, stop) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                let n = begun.fetch_add(1, Ordering::SeqCst);
                engine.write((0..20).map(|k| event(&format!("p{}", n % 50), n * 20 + k)).collect()).unwrap();
                done.fetch_add(1, Ordering::SeqCst);
                if n % 20 == 19 {
                    engine.compact().unwrap();
                }
            }
        });
        for round in 0..8 {
            let at_least = done.load(Ordering::SeqCst) * 20;
            let made = backup(&data, &target, None, NOW + round * 1000).unwrap();
            let at_most = begun.load(Ordering::SeqCst) * 20;
            assert!((at_least..=at_most).contains(&made.records), "{at_least} {made:?} {at_most}");
            // Whole writes, and no later one without an earlier one.
            let lines = everything(&made.path);
            assert_eq!((lines.len() as u64, lines.len() % 20), (made.records, 0));
            let all = lines.join("\n");
            assert!((0..lines.len()).all(|n| all.contains(&format!("\"n\":{n}}}"))));
        }
        stop.store(true, Ordering::SeqCst);
    });
    engine.close().unwrap();
}

#[test]
fn a_restore_does_not_bring_back_who_was_erased() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = (dir.path().join("store"), dir.path().join("backups"));
    let engine = open(&data);
    engine.write((0..60).map(|n| event(&format!("person-{}@example.com", n % 6), n)).collect()).unwrap();
    let old = backup(&data, &target, None, NOW).unwrap();
    engine.erase(&["person-2@example.com".to_owned()]).unwrap();
    let erased = |restored: &Path| {
        let left = everything(restored);
        assert!(left.len() == 50 && !left.iter().any(|line| line.contains("person-2@")));
        for file in std::fs::read_dir(restored).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            assert!(!bytes.windows(12).any(|w| w == b"person-2@exa"));
        }
    };
    // The list of the store that was.
    let first = dir.path().join("first");
    let report = restore(&old.path, &first, std::slice::from_ref(&data), options()).unwrap();
    assert_eq!((report.erased.people, report.records), (1, 50));
    erased(&first);
    // The list of a later backup beside it.
    backup(&data, &target, None, NOW + 1000).unwrap();
    let second = dir.path().join("second");
    restore(&old.path, &second, &[], options()).unwrap();
    erased(&second);
    // Without either nobody knows.
    let alone = dir.path().join("alone");
    std::fs::create_dir(&alone).unwrap();
    std::fs::rename(&old.path, alone.join("20250301T000000Z")).unwrap();
    let third = dir.path().join("third");
    assert_eq!(restore(&alone, &third, &[], options()).unwrap().records, 60);
    engine.close().unwrap();
}

#[test]
fn damage_is_no_backup_and_is_not_shared() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = (dir.path().join("store"), dir.path().join("backups"));
    let engine = open(&data);
    engine.write((0..300).map(|n| event(&format!("p{}", n % 40), n)).collect()).unwrap();
    engine.flush().unwrap();
    engine.close().unwrap();
    let flip = |dir: &Path| {
        let name = inodes(dir).into_keys().find(|name| name.starts_with("seg-")).unwrap();
        let mut bytes = std::fs::read(dir.join(&name)).unwrap();
        let middle = bytes.len() / 3;
        bytes[middle] ^= 4;
        std::fs::remove_file(dir.join(&name)).unwrap();
        std::fs::write(dir.join(&name), bytes).unwrap();
    };
    let first = backup(&data, &target, None, NOW).unwrap();
    flip(&first.path);
    assert_eq!(restore(&first.path, &dir.path().join("r"), &[], options()).unwrap_err().code(), "corrupt");
    assert!(!dir.path().join("r").exists(), "nothing half done is left");
    let second = backup(&data, &target, None, NOW + 1000).unwrap();
    assert_eq!(second.shared, 0);
    assert_eq!(everything(&second.path), everything(&data));
    flip(&data);
    // What is shared is sound: the damage of the store is not taken over.
    assert_eq!(backup(&data, &target, None, NOW + 2000).unwrap().records, 300);
    let other = dir.path().join("other");
    assert_eq!(backup(&data, &other, None, NOW).unwrap_err().code(), "corrupt");
    assert_eq!(std::fs::read_dir(&other).unwrap().count(), 0, "nothing half done is left");
}

#[test]
fn a_running_server_makes_backups_where_it_was_told() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = (dir.path().join("store"), dir.path().join("backups"));
    let keys = [("WHODID_API_KEY", API_KEY), ("WHODID_WRITE_KEY", WRITE_KEY)];
    let (server, _) = Server::start_with(&data, &keys);
    server.import(
        "{\"type\":\"event\",\"person\":\"a\",\"event\":\"Did\",\"time\":\"2025-03-01T10:00:00Z\"}\n",
    );
    let refused = server.post("/api/v1/backup", "");
    assert_eq!((refused.status, refused.code()), (409, "no_backups".to_owned()));
    // Beside it, without its lock.
    let beside = crate::support::run(&data, &["backup", target.to_str().unwrap(), "--json"], b"");
    assert!(beside.status.success(), "{}", String::from_utf8_lossy(&beside.stderr));
    server.stop();
    let (server, _) =
        Server::start_with(&data, &[keys[0], keys[1], ("WHODID_BACKUPS", target.to_str().unwrap())]);
    let made = server.post("/api/v1/backup", "").json();
    assert_eq!((&made["records"], &made["shared"]), (&1.into(), &0.into()), "{made}");
    let path = made["path"].as_str().unwrap().to_owned();
    server.stop();
    let restored = dir.path().join("restored");
    let done = crate::support::run(&data, &["restore", &path, restored.to_str().unwrap()], b"");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let (server, _) = Server::start_with(&restored, &[]);
    drop(server);
    let app = App::open(&restored).unwrap();
    assert_eq!(app.snapshot().rows(), 1);
    assert!(restored.join("keys.json").exists());
}

#[test]
fn further_projects_come_along() {
    use whodid::app::{Memory, StoredKeys, projects};
    let dir = tempfile::tempdir().unwrap();
    let (data, target, new) =
        (dir.path().join("store"), dir.path().join("backups"), dir.path().join("restored"));
    let engine = open(&data);
    engine.write(vec![event("first", 1)]).unwrap();
    engine.close().unwrap();
    let keys = StoredKeys::new(WRITE_KEY.to_owned(), "0".repeat(64));
    let (number, app, _) = projects::create(&data, "Shop", keys, Memory::default()).unwrap();
    app.engine().write(vec![event("second", 2), event("second", 3)]).unwrap();
    app.close().unwrap();
    // One whose making was cut short is nobody's.
    std::fs::create_dir_all(data.join("projects/7")).unwrap();
    let run = |data: &Path, args: &[&str]| {
        let output = crate::support::whodid(data).args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(run(&data, &["backup", target.to_str().unwrap()]).lines().count(), 2);
    run(&data, &["restore", target.to_str().unwrap(), new.to_str().unwrap()]);
    assert_eq!(everything(&new), everything(&data));
    let of = |data: &Path| everything(&projects::dir(data, number));
    assert_eq!((of(&new).len(), of(&new)), (2, of(&data)));
    assert!(projects::dir(&new, number).join("keys.json").exists());
    // The server does the same, for who owns all of it.
    let keys = [("WHODID_API_KEY", API_KEY), ("WHODID_WRITE_KEY", WRITE_KEY)];
    let (server, _) =
        Server::start_with(&data, &[keys[0], keys[1], ("WHODID_BACKUPS", target.to_str().unwrap())]);
    let made = server.post("/api/v1/backup", "").json();
    assert_eq!((&made["records"], &made["projects"][0]["records"]), (&1.into(), &2.into()), "{made}");
    assert!(made["projects"][0]["path"].as_str().unwrap().contains("/projects/2/"), "{made}");
    let other = server.client().send("POST", "/p/2/api/v1/backup", &[crate::support::authorized()], b"");
    assert_eq!(other.status, 401, "the key of the first is none of the second");
}

#[test]
fn of_old_backups_only_those_that_are_kept_are_left_and_each_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = (dir.path().join("store"), dir.path().join("backups"));
    let engine = open(&data);
    let mut made = Vec::new();
    for round in 0..5 {
        engine.write((0..30).map(|n| event(&format!("p{}", n % 7), round * 100 + n)).collect()).unwrap();
        engine.flush().unwrap();
        made.push(backup(&data, &target, None, NOW + round as i64 * 1000).unwrap().path);
    }
    // One that was cut short, one of another store, and what is no backup at all.
    let unfinished = target.join("20200101T000000Z");
    std::fs::create_dir(&unfinished).unwrap();
    std::fs::write(unfinished.join("seg-000000000001"), "half").unwrap();
    let other = dir.path().join("other");
    open(&other).close().unwrap();
    let foreign = backup(&other, &target, None, NOW - 1000).unwrap().path;
    std::fs::create_dir(target.join("notes")).unwrap();
    let contents: Vec<_> = made.iter().map(|path| everything(path)).collect();
    let run = |keep: &str| {
        crate::support::run(&data, &["backup", target.to_str().unwrap(), "--keep", keep, "--json"], b"")
    };
    assert_eq!(run("0").status.code(), Some(2));
    let output = run("3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    // The new one and two of five.
    assert_eq!(report["removed"], 4, "{report}");
    assert!(!unfinished.exists() && foreign.exists() && target.join("notes").exists());
    for (at, (path, content)) in made.iter().zip(contents).enumerate() {
        assert_eq!(path.exists(), at >= 3, "{at}");
        // Files that it shared with those that are gone are still there.
        assert!(at < 3 || everything(path) == content, "{at}");
        assert!(at < 3 || check_files(path).unwrap().damaged.is_empty());
    }
    engine.close().unwrap();
}

#[test]
fn what_is_no_backup_any_more_is_never_removed_as_an_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("all");
    let data = target.join("data");
    let engine = open(&data);
    engine.write((0..30).map(|n| event(&format!("p{}", n % 7), n)).collect()).unwrap();
    let mut made = (0..5).map(|n| backup(&data, &target, None, NOW + n * 1000).unwrap().path);
    let (served, was_served, old) = (made.next().unwrap(), made.next().unwrap(), made.collect::<Vec<_>>());
    // What lies there unfinished under such a name, but with files of somebody else.
    let notes = target.join("20200101T000000Z");
    std::fs::create_dir(&notes).unwrap();
    std::fs::write(notes.join("notes.txt"), "mine").unwrap();
    let server = open(&served);
    open(&was_served).close().unwrap();
    let report = backup(&data, &target, Some(2), NOW + 9000).unwrap();
    assert_eq!(report.removed, 2, "of four that are backups");
    assert!(served.exists() && was_served.exists() && notes.exists() && old[2].exists());
    assert_eq!(everything(&data).len(), 30, "the store that lies beside its backups");
    server.close().unwrap();
    // A store that is the directory of a backup, and is backed up beside itself.
    let report = backup(&old[2], &target, Some(1), NOW + 10_000).unwrap();
    assert!(old[2].exists() && report.path.exists() && report.removed == 1, "{report:?}");
    assert_eq!(everything(&report.path).len(), 30);
    engine.close().unwrap();
}

#[test]
fn the_newest_backup_is_restored_or_an_error_says_why_not() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = (dir.path().join("store"), dir.path().join("backups"));
    let engine = open(&data);
    engine.write((0..60).map(|n| event(&format!("person-{}@example.com", n % 6), n)).collect()).unwrap();
    let old = backup(&data, &target, None, NOW).unwrap().path;
    engine.erase(&["person-2@example.com".to_owned()]).unwrap();
    let new = backup(&data, &target, None, NOW + 1000).unwrap().path;
    engine.close().unwrap();
    // A store that was restored beside the backups is none of them.
    restore(&old, &target.join("restored"), &[], options()).unwrap();
    let to = |name: &str| dir.path().join(name);
    assert_eq!(restore(&target, &to("first"), &[], options()).unwrap().from, new);
    let manifest = new.join("MANIFEST");
    let mut bytes = std::fs::read(&manifest).unwrap();
    bytes[40] ^= 1;
    std::fs::remove_file(&manifest).unwrap();
    std::fs::write(&manifest, bytes).unwrap();
    std::fs::remove_dir_all(target.join("restored")).unwrap();
    let error = restore(&target, &to("second"), &[], options()).unwrap_err();
    assert!(error.code() == "corrupt" && error.message().contains(manifest.to_str().unwrap()), "{error}");
    assert!(error.advice().unwrap().contains("older") && !to("second").exists(), "{error}");
    // By its name an older one is taken, and the list in the damaged one still counts.
    let report = restore(&old, &to("third"), &[], options()).unwrap();
    assert_eq!((report.records, report.erased.people), (50, 1));
}

#[test]
fn a_backup_that_has_lost_something_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = (dir.path().join("store"), dir.path().join("backups"));
    let engine = open(&data);
    engine.write(vec![event("a", 1)]).unwrap();
    std::fs::write(data.join("saved.json"), r#"{"audiences":{},"reports":{}}"#).unwrap();
    engine.close().unwrap();
    let engine = open(&data);
    engine.write(vec![event("b", 2)]).unwrap();
    let made = backup(&data, &target, None, NOW).unwrap().path;
    engine.close().unwrap();
    let last = inodes(&made).into_keys().rfind(|name| name.starts_with("wal-")).unwrap();
    for name in [&last, "saved.json", "BACKUP"] {
        let good = std::fs::read(made.join(name)).unwrap();
        for bad in [None, Some(&good[..good.len() - 5])] {
            std::fs::remove_file(made.join(name)).unwrap();
            if let Some(bad) = bad {
                std::fs::write(made.join(name), bad).unwrap();
            }
            let restored = restore(&made, &dir.path().join("r"), &[], options());
            // Backups from before have no list.
            if (name, bad) == ("BACKUP", None) {
                assert_eq!(restored.unwrap().records, 2);
                std::fs::remove_dir_all(dir.path().join("r")).unwrap();
            } else {
                let error = restored.unwrap_err();
                assert!(error.code() == "corrupt" && error.message().contains(name), "{error}");
                assert!(!dir.path().join("r").exists());
                let check = crate::support::run(&made, &["check"], b"");
                let told = String::from_utf8(check.stdout).unwrap();
                assert!(check.status.code() == Some(1) && told.contains(name), "{told}");
            }
            std::fs::write(made.join(name), &good).unwrap();
        }
    }
    assert_eq!(restore(&made, &dir.path().join("r"), &[], options()).unwrap().records, 2);
    // Whoever works with the backup itself has a store, which goes on.
    let engine = open(&made);
    engine.write(vec![event("c", 3)]).unwrap();
    engine.close().unwrap();
    assert_eq!(restore(&made, &dir.path().join("s"), &[], options()).unwrap().records, 3);
}

/// A server's data with a second project, in each of which somebody did something.
fn two_projects(data: &Path) {
    use whodid::app::{Memory, StoredKeys, projects};
    let app = App::open(data).unwrap();
    app.engine().write(vec![event("ann@example.com", 1), event("ben@example.com", 2)]).unwrap();
    app.close().unwrap();
    let keys = StoredKeys::new(WRITE_KEY.to_owned(), "0".repeat(64));
    let (number, app, _) = projects::create(data, "Shop", keys, Memory::default()).unwrap();
    app.engine().write((3..6).map(|n| event("ann@example.com", n)).collect()).unwrap();
    app.engine().write(vec![event("eve@example.com", 6)]).unwrap();
    assert_eq!(number, 2);
    app.close().unwrap();
}

/// What a command says, and how it ends.
fn told(data: &Path, args: &[&str]) -> (Option<i32>, String) {
    let output = crate::support::run(data, args, b"");
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[test]
fn what_was_saved_names_nobody_who_is_erased_again() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target, new) =
        (dir.path().join("store"), dir.path().join("backups"), dir.path().join("restored"));
    let app = App::open(&data).unwrap();
    app.engine().write(vec![event("ben@example.com", 1), event("ann@example.com", 2)]).unwrap();
    let audience = r#"{"people":{"property":"Email","is":"ben@example.com"}}"#;
    app.save(SavedKind::Audience, "Ben", audience).unwrap();
    let report = r#"{"report":"people","query":{"people":{"audience":"Ben"}}}"#;
    app.save(SavedKind::Report, "Of ben@example.com", report).unwrap();
    let (path, made) = ("/people".to_owned(), String::new());
    let query = "people=%7B%22property%22%3A%22E%22%2C%22is%22%3A%22ben%40example.com%22%7D".to_owned();
    app.change_dashboard(|dashboard| {
        dashboard.pinned.insert("Of ben@example.com".to_owned());
        dashboard.shares.push(Share { token_sha256: String::new(), path, query, made });
        Ok(())
    })
    .unwrap();
    let old = backup(&data, &target, None, NOW).unwrap().path;
    app.erase(&["ben@example.com".to_owned()]).unwrap();
    app.close().unwrap();
    assert_eq!(restore(&old, &new, std::slice::from_ref(&data), options()).unwrap().records, 1);
    for file in ["saved.json", "dashboard.json"] {
        let text = std::fs::read_to_string(new.join(file)).unwrap();
        assert!(!text.contains("ben@") && !text.contains("ben%40") && text.contains("erased"), "{text}");
        assert_eq!(text, std::fs::read_to_string(data.join(file)).unwrap(), "as the erasure left it");
    }
    App::open(&new).unwrap().close().unwrap();
}

#[test]
fn each_project_is_given_its_own_list_of_the_erased() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = (dir.path().join("store"), dir.path().join("backups"));
    two_projects(&data);
    assert_eq!(told(&data, &["backup", target.to_str().unwrap()]).0, Some(0));
    let second = data.join("projects/2");
    for (store, person) in [(&data, "ben@example.com"), (&second, "ann@example.com")] {
        assert_eq!(told(store, &["erase", "--yes", person]).0, Some(0));
    }
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let restored = |lists: &[String], name: &str| {
        let new = dir.path().join(name);
        let mut args = vec!["restore".to_owned(), path(&target), path(&new)];
        args.extend(lists.iter().flat_map(|list| ["--erased".to_owned(), list.clone()]));
        let (code, said) = told(&data, &args.iter().map(String::as_str).collect::<Vec<_>>());
        let records = |dir: &Path| dir.join("MANIFEST").exists().then(|| everything(dir).len());
        (code, said, records(&new), records(&new.join("projects/2")), new)
    };
    let (code, said, first, shop, _) = restored(&[path(&data)], "all");
    assert_eq!((code, first, shop), (Some(0), Some(1), Some(1)), "{said}");
    let (code, said, first, shop, _) = restored(&[path(&second.join("ERASED"))], "shop");
    assert_eq!((code, first, shop), (Some(0), Some(2), Some(1)), "{said}");
    // One that is nobody's is refused before anything is made.
    let other = dir.path().join("other");
    let engine = open(&other);
    engine.write(vec![event("kim", 1)]).unwrap();
    engine.erase(&["kim".to_owned()]).unwrap();
    engine.close().unwrap();
    let (code, said, .., new) = restored(&[path(&data), path(&other)], "none");
    assert!(code == Some(2) && said.contains(other.to_str().unwrap()) && !new.exists(), "{said}");
    // Nor is one that lived then passed over, nor one kept that is there already.
    let away = dir.path().join("away");
    std::fs::rename(target.join("projects"), &away).unwrap();
    let (code, said, .., new) = restored(&[], "less");
    assert!(code == Some(1) && said.contains("project 2") && !new.exists(), "{said}");
    std::fs::rename(&away, target.join("projects")).unwrap();
    std::fs::create_dir_all(dir.path().join("more/projects/7")).unwrap();
    std::fs::write(dir.path().join("more/projects/7/MANIFEST"), "x").unwrap();
    let (code, said, ..) = restored(&[], "more");
    assert!(code == Some(1) && said.contains("more was cut short"), "{said}");
    // What stops one project stops all of them: those that were done are taken back, also out of a directory that was there.
    let wal_in = |dir: &Path| {
        std::fs::read_dir(dir).unwrap().map(|f| f.unwrap().path()).find(|f| path(f).contains("wal-")).unwrap()
    };
    let mut made = std::fs::read_dir(&target).unwrap().map(|f| f.unwrap().path());
    let log = wal_in(&made.find(|dir| dir.join("MANIFEST").exists()).unwrap());
    std::fs::rename(&log, &away).unwrap();
    let there = dir.path().join("there");
    std::fs::create_dir_all(&there).unwrap();
    let (code, said, ..) = restored(&[], "there");
    assert!(code == Some(1) && std::fs::read_dir(&there).unwrap().next().is_none(), "{said}");
    std::fs::rename(&away, &log).unwrap();
    let log = std::fs::read_dir(target.join("projects/2")).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(wal_in(&log)).unwrap();
    let (code, said, .., new) = restored(&[path(&data)], "half");
    assert!(code == Some(1) && said.contains("has lost something") && !new.exists(), "{said}");
}

#[test]
fn a_project_that_was_deleted_before_the_backup_stays_deleted() {
    use whodid::app::projects;
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = (dir.path().join("store"), dir.path().join("backups"));
    two_projects(&data);
    let run = |args: &[&str]| {
        let (code, said) = told(&data, args);
        assert_eq!(code, Some(0), "{said}");
    };
    run(&["backup", target.to_str().unwrap()]);
    projects::delete(&data, 2).unwrap();
    run(&["backup", target.to_str().unwrap()]);
    let new = dir.path().join("restored");
    run(&["restore", target.to_str().unwrap(), new.to_str().unwrap()]);
    assert!(everything(&new).len() == 2 && !new.join("projects").exists());
    // With the older one it lived, and nobody else's record of that comes along.
    let made: Vec<_> = std::fs::read_dir(&target).unwrap().map(|f| f.unwrap().path()).collect();
    let newest = made.iter().filter(|path| path.join("MANIFEST").exists()).max().unwrap();
    std::fs::rename(newest, dir.path().join("away")).unwrap();
    let before = dir.path().join("before");
    run(&["restore", target.to_str().unwrap(), before.to_str().unwrap()]);
    assert_eq!(everything(&before.join("projects/2")).len(), 4);
    assert!(!before.join("projects.json").exists());
    run(&["check"]);
    // A backup from before that was said brings all that lies there.
    for file in ["BACKUP", "projects.json"] {
        std::fs::remove_file(dir.path().join("away").join(file)).unwrap();
    }
    std::fs::rename(dir.path().join("away"), newest).unwrap();
    let older = dir.path().join("older");
    run(&["restore", target.to_str().unwrap(), older.to_str().unwrap()]);
    assert_eq!(everything(&older.join("projects/2")).len(), 4);
}
