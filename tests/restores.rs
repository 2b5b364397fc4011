//! Backups and restores while others are at work: servers that start in the same directory, erasures, and directories of somebody else.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use whodid::app::{App, Memory, StoredKeys, backup, backup_on, export, projects, restore, restore_on};
use whodid::disk::{Folders, RealFolders, RealVfs, Vfs};
use whodid::engine::{Engine, Options, read_only};
use whodid::model::Record;
use whodid::testing::random::NOW;
use whodid::transfer::format::ExportFormat;
use whodid::{Error, ErrorKind, Result};

use crate::support::WRITE_KEY;

fn event(identity: &str) -> Record {
    Record::event(identity, "Did").at(NOW)
}

fn open(data: &Path) -> Engine {
    Engine::open_on(Arc::new(RealVfs::new(data).unwrap()), Options::default()).unwrap()
}

fn everything(data: &Path) -> String {
    let mut out = Vec::new();
    export(&read_only(data).unwrap(), ExportFormat::Ndjson, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// A server's data with a second project, and a backup of both.
fn backed_up(data: &Path, target: &Path) {
    let app = App::open(data).unwrap();
    app.engine().write(vec![event("ann"), event("ben")]).unwrap();
    app.close().unwrap();
    let keys = StoredKeys::new(WRITE_KEY.to_owned(), "0".repeat(64));
    keys.store(data).unwrap();
    let (number, app, _) = projects::create(data, "Shop", keys, Memory::default()).unwrap();
    app.engine().write(vec![event("eve")]).unwrap();
    app.close().unwrap();
    for project in [projects::FIRST, number] {
        backup(&projects::dir(data, project), &projects::dir(target, project), None, NOW).unwrap();
    }
}

fn names_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_restore_takes_back_what_it_made_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target, new) = (dir.path().join("store"), dir.path().join("backups"), dir.path().join("new"));
    backed_up(&data, &target);
    // A server that began there before the directory was taken.
    let begun = || {
        let vfs = RealVfs::new(&new)?;
        let app = App::open(&new)?;
        app.engine().write(vec![event("kim")])?;
        StoredKeys::new(WRITE_KEY.to_owned(), "1".repeat(64)).store(&new)?;
        app.close()?;
        Ok(Arc::new(vfs) as Arc<dyn Vfs>)
    };
    let beside = RealFolders::new(&target);
    assert!(restore_on(&beside, None, Vec::new(), &begun, Options::default()).is_err());
    assert!(everything(&new).contains("kim") && names_in(&new).contains(&"keys.json".to_owned()));
    assert!(!names_in(&new).iter().any(|name| name.contains("unfinished")), "{:?}", names_in(&new));
    App::open(&new).unwrap().close().unwrap();
}

#[test]
fn a_restore_has_its_directory_to_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target, new) = (dir.path().join("store"), dir.path().join("backups"), dir.path().join("new"));
    backed_up(&data, &target);
    // One that is empty yet belongs to whoever has just begun there.
    let vfs = RealVfs::new(&new).unwrap();
    let lock = vfs.lock().unwrap();
    assert_eq!(restore(&target, &new, &[], Options::default()).unwrap_err().code(), "locked");
    assert_eq!(names_in(&new), ["LOCK"]);
    drop(lock);
    std::fs::remove_dir_all(&new).unwrap();
    // Whoever comes first has it: never both, and never less than there was.
    let mut restored = 0;
    for round in 0..6 {
        let stop = AtomicBool::new(false);
        let (made, served) = std::thread::scope(|scope| {
            let server = scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    match App::open(&new) {
                        Ok(app) => return Some(app),
                        Err(error) => {
                            let expected = ["locked", "unfinished_restore"].contains(&error.code());
                            assert!(expected, "{error}");
                        }
                    }
                }
                None
            });
            // Now before it, now behind it.
            std::thread::sleep(std::time::Duration::from_millis(if round % 2 == 0 { 0 } else { 30 }));
            let made = restore(&target, &new, &[], Options::default());
            std::thread::sleep(std::time::Duration::from_millis(300));
            stop.store(true, Ordering::SeqCst);
            (made, server.join().unwrap())
        });
        let app = served.expect("a server gets in before or behind it");
        app.engine().write(vec![event("kim")]).unwrap();
        let rows = match made {
            Ok(report) => {
                assert!(new.join("keys.json").exists() && new.join("projects/2/MANIFEST").exists());
                restored += 1;
                report.records + 1
            }
            Err(error) => {
                assert!(["locked", "not_empty"].contains(&error.code()), "{error}");
                1
            }
        };
        app.close().unwrap();
        assert_eq!(everything(&new).lines().count() as u64, rows);
        std::fs::remove_dir_all(&new).unwrap();
    }
    println!("{restored} of 6 came first");
}

/// Directories in one of which something is done when it is made, or that are not all ours.
struct Hooked<F: Fn() + Send + Sync> {
    inner: RealFolders,
    made: F,
    locked_out: Option<String>,
}

impl<F: Fn() + Send + Sync> Folders for Hooked<F> {
    fn list(&self) -> Result<Vec<String>> {
        self.inner.list()
    }
    fn make(&self, name: &str) -> Result<Arc<dyn Vfs>> {
        (self.made)();
        self.inner.make(name)
    }
    fn open(&self, name: &str) -> Result<Arc<dyn Vfs>> {
        if self.locked_out.as_deref() == Some(name) {
            return Err(Error::io(
                "cannot list",
                Path::new(name),
                std::io::ErrorKind::PermissionDenied.into(),
            ));
        }
        self.inner.open(name)
    }
    fn link(&self, file: &str, from: &str, to: &str) -> Result<bool> {
        self.inner.link(file, from, to)
    }
    fn remove(&self, name: &str) -> Result<()> {
        self.inner.remove(name)
    }
    fn sync(&self) -> Result<()> {
        self.inner.sync()
    }
    fn describe(&self) -> String {
        self.inner.describe()
    }
}

#[test]
fn a_backup_that_is_copied_during_an_erasure_brings_nobody_back() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = (dir.path().join("store"), dir.path().join("backups"));
    let engine = open(&data);
    engine.write(vec![event("jane@example.com"), event("ben@example.com")]).unwrap();
    engine.flush().unwrap();
    let erase = || assert_eq!(engine.erase(&["jane@example.com".to_owned()]).unwrap().people, 1);
    let folders = Hooked { inner: RealFolders::new(&target), made: erase, locked_out: None };
    let vfs = RealVfs::existing(&data).unwrap();
    let made = backup_on(&vfs, &folders, None, NOW).unwrap();
    assert_eq!(made.records, 2, "the files are those of before");
    engine.close().unwrap();
    let (made, new) = (target.join(made.path), dir.path().join("new"));
    assert_eq!(crate::support::run(&made, &["check"], b"").status.code(), Some(0));
    let report = restore(&target, &new, &[], Options::default()).unwrap();
    assert_eq!((report.erased.people, report.records), (1, 1));
    assert!(!everything(&new).contains("jane"));
}

#[test]
fn what_belongs_to_somebody_else_keeps_nobody_from_making_backups() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = (dir.path().join("store"), dir.path().join("backups"));
    let engine = open(&data);
    engine.write(vec![event("ann")]).unwrap();
    engine.flush().unwrap();
    let old = backup(&data, &target, None, NOW).unwrap();
    let foreign = backup(&data, &target, None, NOW + 1000).unwrap();
    let locked_out = foreign.path.file_name().unwrap().to_str().map(str::to_owned);
    let folders = Hooked { inner: RealFolders::new(&target), made: || (), locked_out };
    let vfs = RealVfs::existing(&data).unwrap();
    let made = backup_on(&vfs, &folders, None, NOW + 2000).unwrap();
    assert!(made.shared > 0, "with the one before: {made:?} {old:?}");
    // Nobody knows whose list is in it, so a restore has to be told.
    let new: &dyn Fn() -> Result<Arc<dyn Vfs>> = &|| unreachable!();
    let error = restore_on(&folders, None, Vec::new(), new, Options::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    engine.close().unwrap();
}

#[test]
fn a_restore_says_whom_it_lets_in() {
    use whodid::app::{Access, Scope, ScopedKey, Share};
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = (dir.path().join("store"), dir.path().join("backups"));
    backed_up(&data, &target);
    let run = |args: &[&str]| {
        let output = crate::support::run(&data, args, b"");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let mut keys = StoredKeys::load(&data).unwrap().unwrap();
    keys.add(ScopedKey { name: "CI".to_owned(), scope: Scope::Read, sha256: "1".repeat(64) }).unwrap();
    keys.store(&data).unwrap();
    run(&["user", "add", "jane@example.com", "--role", "owner"]);
    let app = App::open(&data).unwrap();
    let (path, made) = ("/funnels".to_owned(), "2025-03-01".to_owned());
    app.change_dashboard(|dashboard| {
        dashboard.shares.push(Share { token_sha256: String::new(), path, query: String::new(), made });
        Ok(())
    })
    .unwrap();
    app.close().unwrap();
    backup(&data, &target, None, NOW + 1000).unwrap();
    // All of it is taken away behind the backup.
    for file in ["keys.json", "accounts.json", "dashboard.json"] {
        std::fs::remove_file(data.join(file)).unwrap();
    }
    let new = dir.path().join("new");
    let said = run(&["restore", target.to_str().unwrap(), new.to_str().unwrap()]);
    let expected = [
        "check these",
        "the write key and the API key",
        "keys: CI (read)",
        "accounts: jane@example.com (owner)",
        "links: /funnels (2025-03-01)",
    ];
    assert!(expected.iter().all(|what| said.contains(what)), "{said}");
    let report = restore(&target, &dir.path().join("other"), &[], Options::default()).unwrap();
    let shop = Access { first_keys: true, ..Access::default() };
    assert_eq!((report.access.accounts.len(), &report.projects[0].1.access), (1, &shop));
}
