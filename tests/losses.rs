//! What is not there, or is something else than a file: it is told, and never taken for what was not made yet.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use whodid::app::saved::SavedKind;
use whodid::app::{App, Memory, StoredKeys, backup, backup_on, projects, restore, restore_on};
use whodid::disk::{Bytes, Vfs, WriteFile};
use whodid::engine::{Options, check_on};
use whodid::model::Record;
use whodid::testing::disk::SimDisk;
use whodid::testing::random::NOW;
use whodid::{Error, Result};

use crate::store_check::{open_with, options};
use crate::support::{API_KEY, Server, WRITE_KEY, run};

const CHECK: &[&str] = &["check"];
const DOCTOR: &[&str] = &["doctor", "--listen", "127.0.0.1:0"];
const SERVE: &[&str] = &["serve", "--listen", "127.0.0.1:0"];

fn event(identity: &str) -> Record {
    Record::event(identity, "Did").at(NOW)
}

/// What a command says, and how it ends.
fn told(data: &Path, args: &[&str]) -> (Option<i32>, String) {
    let output = run(data, args, b"");
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// Fails unless all of these commands refuse, and name what they refuse for.
fn refused(data: &Path, commands: &[&[&str]], what: &str) {
    for command in commands {
        let (code, said) = told(data, command);
        assert!(
            code == Some(1) && said.contains(what),
            "{command:?} ends with {code:?}, not {what:?}: {said}"
        );
    }
}

fn sound(data: &Path) {
    for command in [CHECK, DOCTOR] {
        let (code, said) = told(data, command);
        assert_eq!(code, Some(0), "{command:?}: {said}");
    }
}

/// A server's data with a second project, and where its backups go.
fn two_projects(dir: &Path) -> (PathBuf, PathBuf) {
    let (data, target) = (dir.join("store"), dir.join("backups"));
    let app = App::open(&data).unwrap();
    app.engine().write(vec![event("ann@example.com"), event("ben@example.com")]).unwrap();
    app.engine().flush().unwrap();
    app.close().unwrap();
    let keys = || StoredKeys::new(WRITE_KEY.to_owned(), "0".repeat(64));
    keys().store(&data).unwrap();
    let (number, app, _) = projects::create(&data, "Shop", keys(), Memory::default()).unwrap();
    app.engine().write(vec![event("cid@example.com"), event("eve@example.com")]).unwrap();
    app.engine().flush().unwrap();
    app.close().unwrap();
    assert_eq!(number, 2);
    (data, target)
}

#[test]
fn a_project_that_has_lost_its_keys_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = two_projects(dir.path());
    let backup = ["backup", target.to_str().unwrap()];
    let keys = data.join("projects/2/keys.json");
    let good = std::fs::read(&keys).unwrap();
    std::fs::remove_file(&keys).unwrap();
    refused(&data, &[CHECK, DOCTOR, SERVE, &backup], "projects/2/keys.json");
    std::fs::create_dir(&keys).unwrap();
    refused(&data, &[CHECK, DOCTOR, SERVE, &backup], "projects/2/keys.json");
    std::fs::remove_dir(&keys).unwrap();
    std::fs::write(&keys, good).unwrap();
    sound(&data);
    // Nor is one passed over because its directory is none.
    let (two, away) = (data.join("projects/2"), dir.path().join("away"));
    std::fs::rename(&two, &away).unwrap();
    symlink(&away, &two).unwrap();
    refused(&data, &[CHECK, DOCTOR, SERVE, &backup], "projects/2");
    std::fs::remove_file(&two).unwrap();
    std::fs::rename(&away, &two).unwrap();
    // What an earlier version left of one whose making was cut short is none, and goes on being none.
    std::fs::create_dir(data.join("projects/3")).unwrap();
    App::open(&data.join("projects/4")).unwrap().close().unwrap();
    // What this one leaves goes with the next start.
    std::fs::create_dir(data.join("projects/5.new")).unwrap();
    std::fs::write(data.join("projects/5.new/keys.json"), "{").unwrap();
    sound(&data);
    assert_eq!(told(&data, &backup).0, Some(0));
    Server::start(&data).stop();
    assert!(data.join("projects/4").exists() && !data.join("projects/5.new").exists());
}

#[test]
fn what_is_no_file_is_never_taken_for_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = two_projects(dir.path());
    let backup = ["backup", target.to_str().unwrap()];
    for args in [&["user", "add", "jane@example.com", "--role", "owner"][..], &["retention", "--days", "900"]]
    {
        assert_eq!(told(&data, args).0, Some(0), "{args:?}");
    }
    let app = App::open(&data).unwrap();
    app.save(SavedKind::Audience, "Payers", r#"{"people":{"did":"Purchased"}}"#).unwrap();
    app.change_dashboard(|dashboard| dashboard.rename("Shop")).unwrap();
    app.close().unwrap();
    let away = dir.path().join("away");
    for name in ["keys.json", "accounts.json", "saved.json", "dashboard.json", "retention.json", "MANIFEST"] {
        let path = data.join(name);
        let shown = path.to_str().unwrap();
        std::fs::rename(&path, &away).unwrap();
        symlink(&away, &path).unwrap();
        refused(&data, &[CHECK, DOCTOR, &backup], shown);
        refused(&data, &[CHECK, DOCTOR, &backup], "symbolic link");
        // What takes events out is only not done.
        if name != "retention.json" {
            refused(&data, &[SERVE], shown);
        }
        if name == "accounts.json" {
            refused(&data, &[&["user", "list"]], shown);
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        refused(&data, &[CHECK, DOCTOR, &backup], "directory");
        std::fs::remove_dir(&path).unwrap();
        std::fs::rename(&away, &path).unwrap();
        sound(&data);
    }
    assert!(!target.exists(), "nothing half done is left");
    // A segment is left out, as a damaged one is.
    let segment = segment_in(&data);
    std::fs::rename(&segment, &away).unwrap();
    symlink(&away, &segment).unwrap();
    refused(&data, &[CHECK, DOCTOR], "symbolic link");
    let app = App::open(&data).unwrap();
    assert_eq!((app.snapshot().damaged.len(), app.snapshot().rows()), (1, 0));
}

#[test]
fn a_lock_or_a_reserve_that_is_no_file_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (data, _) = two_projects(dir.path());
    let away = dir.path().join("away");
    for (name, two) in [("LOCK", true), ("LOCK", false), ("reserve", true), ("reserve", false)] {
        let path = if two { data.join("projects/2").join(name) } else { data.join(name) };
        std::fs::remove_file(&path).unwrap();
        let commands: &[&[&str]] = if name == "LOCK" { &[DOCTOR, SERVE] } else { &[CHECK, DOCTOR, SERVE] };
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        refused(&data, commands, path.to_str().unwrap());
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        refused(&data, commands, path.to_str().unwrap());
        std::fs::remove_dir(&path).unwrap();
        symlink(&away, &path).unwrap();
        refused(&data, commands, path.to_str().unwrap());
        std::fs::remove_file(&path).unwrap();
    }
    sound(&data);
}

fn segment_in(dir: &Path) -> PathBuf {
    let mut files = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    files.find(|file| file.file_name().unwrap().to_str().unwrap().starts_with("seg-")).unwrap()
}

#[test]
fn the_doctor_sees_what_keeps_a_further_project_from_being_served() {
    let dir = tempfile::tempdir().unwrap();
    let (data, _) = two_projects(dir.path());
    let two = data.join("projects/2");
    std::fs::set_permissions(&two, std::fs::Permissions::from_mode(0o500)).unwrap();
    refused(&data, &[DOCTOR], "projects/2 has the rights 500");
    std::fs::set_permissions(&two, std::fs::Permissions::from_mode(0o700)).unwrap();
    sound(&data);
    let server = Server::start(&data);
    assert_eq!(told(&data, DOCTOR).0, Some(0), "a server that holds it is no damage");
    server.stop();
}

#[test]
fn a_lost_list_of_the_erased_stops_everything_until_it_is_back_or_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = two_projects(dir.path());
    let old = backup(&data, &target, None, NOW).unwrap().path;
    let two = data.join("projects/2");
    for (store, person) in [(&data, "ann@example.com"), (&two, "cid@example.com")] {
        assert_eq!(told(store, &["erase", "--yes", person]).0, Some(0));
    }
    let (list, away) = (data.join("ERASED"), dir.path().join("away"));
    // While a server runs, no erasure hides it.
    let app = App::open(&data).unwrap();
    std::fs::rename(&list, &away).unwrap();
    let error = app.erase(&["ben@example.com".to_owned()]).unwrap_err();
    assert!(error.message().contains("ERASED: it names none of 1") && !list.exists(), "{error}");
    assert!(app.snapshot().find_person("ben@example.com").unwrap().is_some());
    app.close().unwrap();
    let (new, backups) = (dir.path().join("new"), dir.path().join("other"));
    let restored =
        ["restore", old.to_str().unwrap(), new.to_str().unwrap(), "--erased", data.to_str().unwrap()];
    let backup = ["backup", backups.to_str().unwrap()];
    refused(&data, &[CHECK, DOCTOR, SERVE, &["stats"], &backup, &restored], "ERASED: it names none of 1");
    let (_, said) = told(&data, CHECK);
    assert!(
        said.matches("ERASED").count() == 2 && said.contains("1 piece is damaged"),
        "once, with advice: {said}"
    );
    assert!(!new.exists());
    std::fs::rename(&away, &list).unwrap();
    sound(&data);
    assert_eq!(told(&data, &restored).0, Some(0));
    std::fs::remove_file(two.join("ERASED")).unwrap();
    refused(&data, &[CHECK, DOCTOR, SERVE], "projects/2/ERASED: it names none of 1");
    // Another store's is no help: what is added to it would be looked for by nobody.
    std::fs::copy(&list, two.join("ERASED")).unwrap();
    refused(&data, &[CHECK, DOCTOR, SERVE], "it is another store's");
    // Without a backup of it the loss is accepted, by saying so.
    let (code, said) = told(&data, &["check", "--drop-damaged"]);
    assert!(code == Some(0) && said.contains("projects/2/ERASED is given up"), "{said}");
    sound(&data);
    let (_, said) = told(&data, CHECK);
    assert!(said.contains("projects/2/ERASED: it names 0 of 1 identities"), "it stays to be seen: {said}");
    assert_eq!(told(&two, &["erase", "--yes", "eve@example.com"]).0, Some(0));
    sound(&data);
}

#[test]
fn nothing_of_a_change_that_was_cut_short_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let (data, _) = two_projects(dir.path());
    let names =
        ["keys", "saved", "dashboard", "accounts", "retention"].map(|name| format!("{name}.json.new"));
    let left = |dir: &Path| names.iter().filter(|name| dir.join(name).exists()).count();
    let leave =
        |dir: &Path| names.iter().for_each(|name| std::fs::write(dir.join(name), "ben@example.com").unwrap());
    let two = data.join("projects/2");
    [&data, &two].into_iter().for_each(|dir| leave(dir));
    Server::start(&data).stop();
    assert_eq!((left(&data), left(&two)), (0, 0), "behind a start");
    let app = App::open(&data).unwrap();
    leave(&data);
    app.erase(&["ben@example.com".to_owned()]).unwrap();
    let named = |name: &str| data.join(name).exists();
    assert!(!named("saved.json.new") && !named("dashboard.json.new"), "behind an erasure");
    // One that fails takes back what it wrote.
    std::fs::create_dir(data.join("saved.json")).unwrap();
    let audience = r#"{"people":{"property":"Email","is":"ann@example.com"}}"#;
    assert!(app.save(SavedKind::Audience, "Ann", audience).is_err() && !named("saved.json.new"));
    app.close().unwrap();
}

#[test]
fn a_restore_that_was_cut_short_is_no_server() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = two_projects(dir.path());
    let new = dir.path().join("new");
    let args = ["restore", target.to_str().unwrap(), new.to_str().unwrap()];
    assert_eq!(told(&data, &["backup", target.to_str().unwrap()]).0, Some(0));
    // Its first project is behind the others, and shown last.
    let commands: [&[&str]; 5] = [CHECK, DOCTOR, SERVE, &["import"], &args];
    std::fs::create_dir_all(new.join("projects")).unwrap();
    refused(&new, &commands, "restore");
    std::fs::remove_dir_all(&new).unwrap();
    assert_eq!(told(&data, &args).0, Some(0));
    std::fs::rename(new.join("MANIFEST"), new.join("MANIFEST.unfinished")).unwrap();
    refused(&new, &commands, "restore");
    for file in
        std::fs::read_dir(&new).unwrap().map(|file| file.unwrap().path()).filter(|file| file.is_file())
    {
        std::fs::remove_file(file).unwrap();
    }
    refused(&new, &commands, "restore");
    assert!(!new.join("MANIFEST").exists() && !new.join("keys.json").exists());
}

#[test]
fn a_power_cut_in_a_restore_leaves_no_small_file_without_a_sign_of_it() {
    let whole = SimDisk::new();
    let engine = open_with(&(Arc::new(whole.clone()) as Arc<dyn Vfs>), 100).unwrap();
    engine.write(vec![event("ann@example.com")]).unwrap();
    engine.close().unwrap();
    whole.put("keys.json", b"{\"write_key\":\"w\",\"api_key_sha256\":\"0\"}");
    backup_on(&whole, &whole.folders("backups"), None, NOW).unwrap();
    for n in 0.. {
        let disk = whole.copy();
        let (backups, restored) = (disk.folders("backups"), disk.folders("restored"));
        let make = || Ok(Arc::new(restored.make_disk("new")?) as Arc<dyn Vfs>);
        disk.power_off_after(n);
        let done = restore_on(&backups, None, Vec::new(), &make, options(100)).is_ok();
        for seed in 0..4 {
            let found = if seed == 0 { disk.copy() } else { disk.crashed(n * 10 + seed) };
            let files = found.folders("restored").disk("new").files();
            let sign = files.keys().any(|name| name.starts_with("MANIFEST"));
            assert!(sign || !files.contains_key("keys.json"), "after {n}: {:?}", files.keys());
        }
        if done {
            assert!(n > 20, "{n} operations only");
            return;
        }
    }
}

#[test]
fn a_restore_takes_no_directory_in_which_there_is_anything() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = two_projects(dir.path());
    assert_eq!(told(&data, &["backup", target.to_str().unwrap()]).0, Some(0));
    let target = target.to_str().unwrap();
    let (_, said) = told(&data, &["restore", target, target]);
    assert!(said.contains("is not empty") && !Path::new(target).join("MANIFEST").exists(), "{said}");
    let new = dir.path().join("new");
    std::fs::create_dir_all(new.join("photos")).unwrap();
    refused(&data, &[&["restore", target, new.to_str().unwrap()]], "is not empty");
    std::fs::remove_dir(new.join("photos")).unwrap();
    assert_eq!(told(&data, &["restore", target, new.to_str().unwrap()]).0, Some(0));
}

#[test]
fn a_backup_is_not_made_where_the_server_clears() {
    let dir = tempfile::tempdir().unwrap();
    let (data, _) = two_projects(dir.path());
    for within in ["sockets", "sockets/all", "projects/../sockets"] {
        let target = data.join(within);
        let (code, said) = told(&data, &["backup", target.to_str().unwrap()]);
        assert!(
            code == Some(2) && said.contains("sockets") && !data.join("sockets").exists(),
            "{within}: {said}"
        );
    }
}

#[test]
fn damage_in_a_further_project_is_told_with_its_number() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = two_projects(dir.path());
    assert_eq!(told(&data, &["backup", target.to_str().unwrap()]).0, Some(0));
    let flip = |path: &Path| {
        let mut bytes = std::fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::remove_file(path).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    let segment = segment_in(&data.join("projects/2"));
    let name = format!("projects/2/{}", segment.file_name().unwrap().to_str().unwrap());
    flip(&segment);
    let other = dir.path().join("other");
    refused(&data, &[CHECK, &["backup", other.to_str().unwrap()]], &name);
    let (server, _) =
        Server::start_with(&data, &[("WHODID_API_KEY", API_KEY), ("WHODID_WRITE_KEY", "another key")]);
    let begin = Instant::now();
    while server.get("/healthz")["detail"].is_null() {
        assert!(begin.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(server.get("/healthz")["detail"]["damaged_segments"][0], name.as_str());
    server.stop();
    let log = std::fs::read_to_string(data.with_extension("log")).unwrap();
    assert!(log.contains(&name), "{log}");
    let copy = std::fs::read_dir(target.join("projects/2")).unwrap().next().unwrap().unwrap().path();
    let segment = segment_in(&copy);
    flip(&segment);
    let error = restore(&target, &dir.path().join("new"), &[], Options::default()).unwrap_err();
    assert!(error.message().contains(segment.to_str().unwrap()), "{error}");
}

/// A disk of which some files cannot be read by whoever runs this.
struct Forbidden(SimDisk, Vec<String>);

impl Vfs for Forbidden {
    fn create(&self, name: &str) -> Result<Box<dyn WriteFile>> {
        self.0.create(name)
    }
    fn open(&self, name: &str) -> Result<Bytes> {
        self.read_through(name)?;
        self.0.open(name)
    }
    fn read_through(&self, name: &str) -> Result<()> {
        match self.1.iter().any(|forbidden| name == forbidden) {
            true => {
                let denied = std::io::ErrorKind::PermissionDenied.into();
                Err(Error::io("cannot open", Path::new(name), denied))
            }
            false => self.0.read_through(name),
        }
    }
    fn list(&self) -> Result<Vec<String>> {
        self.0.list()
    }
    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, name: &str) -> Result<()> {
        self.0.remove(name)
    }
    fn sync_dir(&self) -> Result<()> {
        self.0.sync_dir()
    }
    fn lock(&self) -> Result<Box<dyn Send + Sync>> {
        self.0.lock()
    }
    fn free_bytes(&self) -> Result<u64> {
        self.0.free_bytes()
    }
    fn describe(&self) -> String {
        self.0.describe()
    }
}

#[test]
fn a_check_goes_on_behind_a_file_that_it_may_not_read() {
    let disk = SimDisk::new();
    let engine = open_with(&(Arc::new(disk.clone()) as Arc<dyn Vfs>), 100).unwrap();
    for person in ["ann@example.com", "ben@example.com"] {
        engine.write(vec![event(person)]).unwrap();
        engine.flush().unwrap();
    }
    engine.erase(&["ann@example.com".to_owned()]).unwrap();
    engine.write(vec![event("cid@example.com")]).unwrap();
    engine.close().unwrap();
    let all: Vec<String> = disk.files().into_keys().filter(|name| name != "MANIFEST").collect();
    for kind in ["seg-", "ids-", "state-", "wal-", "ERASED"] {
        assert!(all.iter().any(|name| name.starts_with(kind)), "{kind}");
    }
    let found = check_on(&Forbidden(disk.clone(), all.clone())).unwrap().damaged;
    assert!(all.iter().all(|name| found.iter().any(|error| error.message().contains(name))), "{found:?}");
    for name in all.into_iter().chain(["MANIFEST".to_owned()]) {
        let found = check_on(&Forbidden(disk.clone(), vec![name.clone()])).unwrap().damaged;
        assert!(found.len() == 1 && found[0].message().contains(&name), "{name}: {found:?}");
    }
    // The rest of a server is looked at as well.
    let dir = tempfile::tempdir().unwrap();
    let (data, _) = two_projects(dir.path());
    std::fs::remove_file(data.join("projects/2/keys.json")).unwrap();
    std::fs::rename(data.join("MANIFEST"), dir.path().join("away")).unwrap();
    std::fs::create_dir(data.join("MANIFEST")).unwrap();
    let (code, said) = told(&data, CHECK);
    assert!(code == Some(1) && said.contains("MANIFEST") && said.contains("projects/2/keys.json"), "{said}");
}

#[test]
fn a_refusal_of_an_imported_line_goes_with_whoever_it_names() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    let line = |fields: &str| format!("{{\"type\":\"event\",\"event\":\"Did\",{fields}}}\n");
    server.import(&line(r#""person":"jane@example.com""#));
    server.import(&line(r#""person":"jane@example.com","time":"soon-in-the-street""#));
    server.import(&line(r#""person":"someone","time":"soon-elsewhere""#));
    let csv = "type,person,event,time\nevent,jane@example.com,Did,soon-by-csv\n";
    assert_eq!(server.post("/api/v1/import?format=csv", csv).status, 200);
    let refusals = || server.client().get("/api/v1/refusals").text();
    let before = refusals();
    assert!(
        before.contains("in-the-street") && before.contains("elsewhere") && before.contains("by-csv"),
        "{before}"
    );
    let path = "/api/v1/people/jane%40example.com";
    let erased = server.client().send("DELETE", path, &[crate::support::authorized()], b"");
    assert_eq!(erased.json()["erased"]["refusals"], 2, "{}", erased.text());
    let after = refusals();
    assert!(
        !after.contains("in-the-street") && !after.contains("by-csv") && after.contains("elsewhere"),
        "{after}"
    );
}
