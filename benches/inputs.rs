//! What is measured with: records of the generated company, and stores filled with them.

use std::path::Path;

use tempfile::TempDir;
use whodid::demo::Company;
use whodid::engine::{Engine, Options};
use whodid::model::{Admission, Millis, Record};

/// The end of the year that records lie in, and the instant of all reports: 2026-01-01.
pub const NOW: Millis = 1_767_225_600_000;

/// Records of so many events by a tenth as many people, in the order in which they arrive.
pub fn records(events: u64) -> Vec<Record> {
    let people = u32::try_from(events / 10).unwrap();
    let company = Company::new(people, events, 1, NOW).unwrap();
    company.records().map(|record| record.checked(Admission::usual(NOW)).unwrap()).collect()
}

/// A store that flushes and merges only when it is told to.
pub fn still() -> Options {
    Options { memtable_rows: usize::MAX, log_bytes: u64::MAX, compaction: false, ..Options::default() }
}

/// An empty store in a directory of its own.
pub fn empty(options: Options) -> (TempDir, Engine) {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(dir.path(), options).unwrap();
    (dir, engine)
}

/// A store with so many events, settled in one segment.
pub fn settled(events: u64) -> (TempDir, Engine) {
    let (dir, engine) = empty(still());
    engine.write(records(events)).unwrap();
    engine.compact().unwrap();
    (dir, engine)
}

/// A copy of a store that is not open.
pub fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let file = entry.unwrap().path();
        std::fs::copy(&file, to.path().join(file.file_name().unwrap())).unwrap();
    }
    to
}
