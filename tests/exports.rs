//! What was exported makes the same store: random histories with everything that operators do, out and in again.

use std::path::Path;
use std::sync::Arc;

use whodid::app::{App, Form, export, export_person};
use whodid::engine::{Options, Snapshot};
use whodid::model::{Clock, Record};
use whodid::testing::random::{Action, History, NOW};
use whodid::transfer::format::{ExportFormat, Format};
use whodid::{Error, ErrorKind};

use crate::histories::number;
use crate::support::sorted_records;

/// The clock stands still.
struct Still;

impl Clock for Still {
    fn now(&self) -> i64 {
        NOW
    }
}

/// In memory where there is such a place.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

fn open(dir: &Path) -> App {
    let clock: Arc<dyn Clock> = Arc::new(Still);
    let options = Options { memtable_rows: 12, compaction: true, clock, ..Options::default() };
    // Other tests start processes, and until its exec a new one holds every lock that this one had.
    for _ in 0..200 {
        match App::open_with(dir, options.clone()) {
            Err(error) if error.kind() == ErrorKind::Locked => {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            opened => return opened.unwrap(),
        }
    }
    panic!("the store stays locked for two seconds")
}

/// Of people who have not come yet, or are gone, nothing is changed.
fn known<T>(result: Result<T, Error>) -> Result<(), Error> {
    match result {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn act(app: App, dir: &Path, action: &Action) -> App {
    let engine = app.engine();
    match action {
        Action::Record(record) => {
            engine.write(vec![Record { time: record.time.or(Some(NOW)), ..record.clone() }]).map(drop)
        }
        Action::Merge(a, b) => known(engine.merge(a, b)),
        Action::Unmerge(a) => known(engine.unmerge(a)),
        Action::Erase(a) => known(engine.erase(std::slice::from_ref(a))),
        Action::Flush => engine.flush(),
        Action::Compact => engine.compact(),
        Action::Reopen => {
            app.close().unwrap();
            return open(dir);
        }
    }
    .unwrap();
    app
}

fn exported(snapshot: &Snapshot, form: ExportFormat) -> String {
    let mut out = Vec::new();
    export(snapshot, form, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// What is exported of one person is what the export of all has under its identities.
fn each_person_alone(snapshot: &Snapshot, lines: &str) {
    for (identities, _) in people(snapshot, false) {
        let mut out = Vec::new();
        export_person(snapshot, &identities[0], ExportFormat::Ndjson, &mut out).unwrap();
        let own = |line: &String| identities.iter().any(|i| line.contains(&format!("\"person\":\"{i}\"")));
        let expected: Vec<String> = sorted_records(lines).into_iter().filter(own).collect();
        assert_eq!(sorted_records(&String::from_utf8(out).unwrap()), expected, "{identities:?}");
    }
}

/// All names of a person; and what it is called, and whether it is identified.
type Known = (Vec<String>, Option<(String, bool)>);

/// Everybody; the last two if `all` is wanted.
fn people(snapshot: &Snapshot, all: bool) -> Vec<Known> {
    let persons = &snapshot.persons;
    let own = |id: &u32| !persons.is_erased(*id) && persons.person_of(*id) == *id;
    let called = |id| (snapshot.display(id).unwrap(), persons.is_identified(id));
    let person = |id| (snapshot.identities_of(id).unwrap(), all.then(|| called(id)));
    let mut people: Vec<Known> = (0..persons.identities()).filter(own).map(person).collect();
    people.sort_unstable();
    people
}

#[test]
fn one_with_an_id_and_one_without_that_say_the_same_both_come_back() {
    for compacted in [false, true] {
        let (dir, other) = (folder(), folder());
        let app = open(dir.path());
        let plain = r#"{"type":"event","person":"a","event":"E","time":1740823200}"#;
        let link = r#"{"type":"identify","person":"a","identity":"b","time":1740823200}"#;
        let with_id = r#"{"type":"event","person":"a","event":"E","time":1740823200,"id":"x"}"#;
        let take =
            |app: &App, text: &str| app.import(text.as_bytes(), &Form::default(), |_| {}, |_| {}).unwrap();
        for line in [plain, link, with_id] {
            take(&app, line);
            if compacted {
                app.engine().compact().unwrap();
            } else {
                app.engine().flush().unwrap();
            }
        }
        let lines = exported(&app.engine().snapshot(), ExportFormat::Ndjson);
        let again = open(other.path());
        let report = take(&again, &lines);
        assert_eq!((report.accepted, report.duplicates), (3, 0), "{lines}");
    }
}

#[test]
fn random_histories_come_back_the_same() {
    let (first, count) = (number("WHODID_SEED", 1), number("WHODID_HISTORIES", 60));
    let (mut corrected, mut seen) = (0, 0);
    for seed in first..first + count {
        let dir = folder();
        let mut app = open(dir.path());
        for action in History::random(seed) {
            app = act(app, dir.path(), &action);
        }
        let (original, lines) =
            (app.engine().snapshot(), exported(&app.engine().snapshot(), ExportFormat::Ndjson));
        // Identifies that named others are gone with whoever was erased.
        let all = original.persons.erased() == 0;
        each_person_alone(&original, &lines);
        corrected += lines.matches("merge\",\"person\"").count();
        seen += lines.matches("{\"type\":\"seen\"").count();
        for (form, read_as) in [(ExportFormat::Ndjson, Format::Ndjson), (ExportFormat::Csv, Format::Csv)] {
            let other = folder();
            let again = open(other.path());
            let text = exported(&original, form);
            // Once more changes nothing.
            for time in 0..2 {
                let form = Form { format: Some(read_as), ..Form::default() };
                let report = again.import(text.as_bytes(), &form, |_| {}, |_| {}).unwrap();
                assert_eq!((report.rejected, &report.errors.len()), (0, &0), "{seed}: {:?}", report.errors);
                assert!(time > 0 || report.duplicates == 0, "{seed}: {report:?}");
                let copy = again.engine().snapshot();
                let copied = exported(&copy, ExportFormat::Ndjson);
                assert_eq!(sorted_records(&copied), sorted_records(&lines), "{seed}");
                assert_eq!(people(&copy, all), people(&original, all), "{seed}");
                assert_eq!(
                    (copy.rows(), copy.persons.persons()),
                    (original.rows(), original.persons.persons())
                );
            }
            again.close().unwrap();
            // What is known of nobody but by name is kept as well.
            let reopened = open(other.path());
            assert_eq!(people(&reopened.engine().snapshot(), all), people(&original, all), "{seed}");
            assert!(reopened.engine().check().is_empty());
        }
    }
    assert!(count < 60 || (corrected > 30 && seen > 20), "{corrected} corrections, {seen} seen");
}
