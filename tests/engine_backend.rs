//! The engine as a backend of the conformance cases and of the comparison with the oracle.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use serde_json::{Value as Json, json};
use whodid::app::Reports;
use whodid::engine::{Engine, Options, Outcome, Snapshot};
use whodid::exec::Executor;
use whodid::model::{Clock, Millis, Record, RecordKind};
use whodid::report::Saved;
use whodid::testing::oracle::{Applied, Regrouped};
use whodid::testing::random::START;
use whodid::{Error, ErrorKind};

/// A clock that the test sets.
#[derive(Default)]
pub struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> Millis {
        self.0.load(Ordering::SeqCst)
    }
}

/// A store in a directory of memory where there is one, and what reads it.
pub struct EngineBackend {
    engine: Option<Engine>,
    executor: Executor,
    reports: Reports,
    cache_bytes: Option<usize>,
    clock: Arc<SetClock>,
    dir: tempfile::TempDir,
}

impl EngineBackend {
    pub fn new() -> Self {
        Self::in_dir(directory(), None)
    }

    /// As it differs with `seed`: one that keeps next to nothing of what it has decoded, and one whose first identities are the last of
    /// a chunk of persons.
    pub fn varied(seed: u64) -> Self {
        let dir = directory();
        if seed % 5 == 1 {
            static ALMOST_A_CHUNK: OnceLock<tempfile::TempDir> = OnceLock::new();
            let template = ALMOST_A_CHUNK.get_or_init(almost_a_chunk).path();
            for entry in std::fs::read_dir(template).unwrap().map(Result::unwrap) {
                std::fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
            }
        }
        Self::in_dir(dir, (seed % 7 == 1).then_some(3000))
    }

    fn in_dir(dir: tempfile::TempDir, cache_bytes: Option<usize>) -> Self {
        let clock = Arc::new(SetClock::default());
        let engine = Some(Self::open(&dir, &clock));
        let reports = Reports::keeping(Saved::default(), cache_bytes);
        Self { engine, executor: Executor::default(), reports, cache_bytes, clock, dir }
    }

    fn open(dir: &tempfile::TempDir, clock: &Arc<SetClock>) -> Engine {
        let clock: Arc<dyn Clock> = Arc::<SetClock>::clone(clock);
        let options = Options { memtable_rows: 12, compaction: true, clock, ..Options::default() };
        // Other tests start processes, and until its exec a new one holds every lock that this one had.
        for _ in 0..200 {
            match Engine::open(dir.path(), options.clone()) {
                Err(error) if error.kind() == ErrorKind::Locked => {
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
                opened => return opened.unwrap(),
            }
        }
        panic!("the store stays locked for two seconds")
    }

    pub fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    pub fn reopen(&mut self) {
        self.engine.take().unwrap().close().unwrap();
        self.executor = Executor::default();
        self.reports = Reports::keeping(Saved::default(), self.cache_bytes);
        self.engine = Some(Self::open(&self.dir, &self.clock));
    }

    pub fn apply(&mut self, record: &Record, now: Millis) -> Applied {
        self.clock.0.store(now, Ordering::SeqCst);
        let outcomes = self.engine().write(vec![record.clone()]).unwrap();
        match outcomes[0] {
            Outcome::Stored => Applied::Stored,
            Outcome::Duplicate => Applied::Duplicate,
            Outcome::MergeRefused => {
                Applied::MergeRefused { identity: record.identity.clone(), target: record.name.clone() }
            }
            outcome @ (Outcome::TooManyNames | Outcome::Unknown) => panic!("{outcome:?}"),
        }
    }

    pub fn merge(&mut self, a: &str, b: &str) -> Regrouped {
        regrouped(self.engine().merge(a, b))
    }

    pub fn unmerge(&mut self, identity: &str) -> Regrouped {
        regrouped(self.engine().unmerge(identity))
    }

    pub fn erase(&mut self, identity: &str) -> Regrouped {
        regrouped(self.engine().erase(&[identity.to_owned()]).map(|erased| erased.people == 1))
    }

    /// The answer to a report without its receipt; people in the order of the identity that stands for them.
    pub fn report(&mut self, report: &str, query: &str, now: Millis) -> Json {
        let answer = match self.reports.answer(report, &self.engine().snapshot(), query, now) {
            Ok(text) => Ok(serde_json::from_str::<Json>(&text).unwrap()),
            Err(error) => Err(error),
        };
        let mut answer = to_json(answer);
        answer.as_object_mut().unwrap().remove("receipt");
        if let Some(people) = answer.get_mut("people").and_then(Json::as_array_mut) {
            people.sort_by(|a, b| a["person"].as_str().cmp(&b["person"].as_str()));
        }
        answer
    }

    pub fn funnel(&mut self, query: &str, now: Millis) -> Json {
        self.report("funnel", query, now)
    }

    /// All people behind a number.
    pub fn funnel_people(&mut self, query: &str, now: Millis) -> Json {
        let mut query: Json = serde_json::from_str(query).unwrap();
        query["limit"] = 10_000.into();
        self.report("funnel/people", &query.to_string(), now)
    }

    pub fn person(&mut self, identity: &str) -> Json {
        to_json(person(&self.executor, &self.engine().snapshot(), identity))
    }

    pub fn timeline(&mut self, identity: &str, limit: usize) -> Vec<Json> {
        timeline(&self.executor, &self.engine().snapshot(), identity, limit).unwrap()
    }

    pub fn events(&mut self) -> Json {
        let answer = self.reports.events(&self.engine().snapshot(), Millis::MAX);
        to_json(answer.map(|text| serde_json::from_str::<Json>(&text).unwrap()))
    }
}

fn directory() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// A store of nobody, whose next identity is the last but two of the first 65,536: as many others were erased.
fn almost_a_chunk() -> tempfile::TempDir {
    let dir = directory();
    let engine = Engine::open(dir.path(), Options { compaction: false, ..Options::default() }).unwrap();
    let names: Vec<String> = (0..65_533).map(|n| format!("nobody-{n}")).collect();
    let record = |identity: &String| Record {
        kind: RecordKind::Event,
        identity: identity.clone(),
        name: "A".to_owned(),
        time: Some(START),
        properties: Vec::new(),
        id: None,
    };
    engine.write(names.iter().map(record).collect()).unwrap();
    engine.erase(&names).unwrap();
    engine.close().unwrap();
    dir
}

/// A profile in the form of the oracle's, and more.
pub fn person(executor: &Executor, snapshot: &Snapshot, identity: &str) -> Result<Json, Error> {
    let mut answer = to_json(Ok(executor.profile(snapshot, identity, Millis::MAX)?));
    // The oracle gives values with the time since which they hold.
    if let Some(history) = answer.get("property_history").cloned() {
        let properties: serde_json::Map<String, Json> = history
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, h)| {
                let changes = h["changes"].as_array().unwrap();
                let latest = json!({"value": h["last"], "time": changes.last().unwrap()["time"]});
                let first = json!({"value": h["first"], "time": changes[0]["time"]});
                (name.clone(), json!({"latest": latest, "first": first}))
            })
            .collect();
        answer["properties"] = properties.into();
    }
    Ok(answer)
}

/// A whole time line, read in pages of `limit`.
pub fn timeline(
    executor: &Executor,
    snapshot: &Snapshot,
    identity: &str,
    limit: usize,
) -> Result<Vec<Json>, Error> {
    let (mut out, mut cursor) = (Vec::new(), None);
    loop {
        let page = executor.timeline(snapshot, identity, Millis::MAX, None, limit, cursor.as_deref())?;
        out.extend(page.events.iter().map(|e| serde_json::to_value(e).unwrap()));
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(out);
        }
    }
}

fn regrouped(result: Result<bool, Error>) -> Regrouped {
    match result {
        Ok(true) => Regrouped::Changed,
        Ok(false) => Regrouped::Unchanged,
        Err(e) if e.kind() == ErrorKind::NotFound => Regrouped::UnknownIdentity,
        Err(e) => panic!("{e}"),
    }
}

pub fn to_json<T: serde::Serialize>(answer: Result<T, Error>) -> Json {
    match answer {
        Ok(answer) => serde_json::to_value(&answer).unwrap(),
        Err(e) => json!({"error": {"code": e.code(), "message": e.message(), "at": e.place()}}),
    }
}
