//! What the tests of crashes, faults and damage share: workloads made of random histories, what was acknowledged of them, and the
//! comparison of everything that a store answers with the oracle.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};
use whodid::disk::Vfs;
use whodid::engine::{Engine, Options, Outcome};
use whodid::exec::Executor;
use whodid::model::{Admission, Clock, Millis, Record, format_millis};
use whodid::testing::oracle::Oracle;
use whodid::testing::random::{Action, History, NOW, Random};
use whodid::{Error, ErrorKind};

use crate::copies::{self, Copies, Place};
use crate::engine_backend::{person, timeline, to_json};
use crate::histories::{comparable, differences};

/// The identities of random histories.
const IDENTITIES: [&str; 6] = ["anon-1", "anon-2", "anon-3", "ann@x.org", "bob@x.org", "cy@x.org"];

/// What a store is asked to do.
#[derive(Clone, Debug)]
pub enum Step {
    Write(Vec<Record>),
    Merge(String, String),
    Unmerge(String),
    Erase(String),
    Flush,
    Compact,
    Reopen,
    /// Events from before an instant go.
    Expire(Millis),
    Backup,
    Restore,
}

/// What changes answers, one by one.
#[derive(Clone, Debug)]
pub enum Op {
    Record(Record),
    Merge(String, String),
    Unmerge(String),
    Erase(String),
    Expire(Millis),
}

/// How far a workload has come, and what was acknowledged.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub at: usize,
    pub acknowledged: Vec<Op>,
    pub copies: Copies,
}

/// Why a workload stopped, and what was not acknowledged then.
pub struct Stopped {
    pub error: Error,
    pub in_flight: Vec<Op>,
}

struct Still;

impl Clock for Still {
    fn now(&self) -> Millis {
        NOW
    }
}

/// Small memtables, so that a short workload flushes and compacts.
pub fn open(vfs: &Arc<dyn Vfs>) -> Result<Engine, Error> {
    Engine::open_on(Arc::clone(vfs), options(12))
}

/// With another size of the memtable.
pub fn open_with(vfs: &Arc<dyn Vfs>, memtable_rows: usize) -> Result<Engine, Error> {
    Engine::open_on(Arc::clone(vfs), options(memtable_rows))
}

/// How stores run here.
pub fn options(memtable_rows: usize) -> Options {
    Options { memtable_rows, compaction: true, clock: Arc::new(Still), ..Options::default() }
}

/// Two random histories, one after the other, their records written in groups of one to five.
pub fn workload(seed: u64) -> Vec<Step> {
    let mut random = Random::new(seed);
    let mut steps = Vec::new();
    let mut group: Vec<Record> = Vec::new();
    let mut room = 1;
    for action in History::random(2 * seed).into_iter().chain(History::random(2 * seed + 1)) {
        let step = match action {
            Action::Record(record) => {
                group.extend(record.checked(Admission::usual(NOW)).ok());
                if group.len() >= room {
                    steps.push(Step::Write(std::mem::take(&mut group)));
                    room = 1 + random.below(5) as usize;
                }
                continue;
            }
            Action::Merge(a, b) => Step::Merge(a, b),
            Action::Unmerge(a) => Step::Unmerge(a),
            Action::Erase(a) => Step::Erase(a),
            Action::Flush => Step::Flush,
            Action::Compact => Step::Compact,
            Action::Reopen => Step::Reopen,
        };
        if !group.is_empty() {
            steps.push(Step::Write(std::mem::take(&mut group)));
        }
        steps.push(step);
    }
    if !group.is_empty() {
        steps.push(Step::Write(group));
    }
    steps
}

fn ops_of(step: &Step) -> Vec<Op> {
    match step {
        Step::Write(records) => records.iter().cloned().map(Op::Record).collect(),
        Step::Merge(a, b) => vec![Op::Merge(a.clone(), b.clone())],
        Step::Unmerge(a) => vec![Op::Unmerge(a.clone())],
        Step::Erase(a) => vec![Op::Erase(a.clone())],
        Step::Expire(oldest) => vec![Op::Expire(*oldest)],
        Step::Flush | Step::Compact | Step::Reopen | Step::Backup | Step::Restore => Vec::new(),
    }
}

fn known(result: Result<bool, Error>) -> Result<(), Error> {
    match result {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Goes on with a workload until it ends or something fails; the engine as it is then.
pub fn drive(place: &Place, steps: &[Step], told: &mut Told) -> (Option<Engine>, Result<(), Stopped>) {
    match open(&place.store) {
        Ok(engine) => go_on(engine, place, steps, told),
        Err(error) => (None, Err(Stopped { error, in_flight: Vec::new() })),
    }
}

/// The same with an engine that is open.
#[expect(
    clippy::result_large_err,
    reason = "the error is taken apart where it is made, and tests do not hurry"
)]
pub fn go_on(
    mut engine: Engine,
    place: &Place,
    steps: &[Step],
    told: &mut Told,
) -> (Option<Engine>, Result<(), Stopped>) {
    let vfs = &place.store;
    let stopped = |error| Err(Stopped { error, in_flight: Vec::new() });
    while let Some(step) = steps.get(told.at) {
        let done = match step {
            Step::Write(records) => engine.write(records.clone()).map(drop),
            Step::Merge(a, b) => known(engine.merge(a, b)),
            Step::Unmerge(a) => known(engine.unmerge(a)),
            Step::Erase(a) => known(engine.erase(std::slice::from_ref(a)).map(|_| true)),
            Step::Flush => engine.flush(),
            Step::Compact => engine.compact(),
            Step::Expire(oldest) => engine.expire(Some(*oldest), &BTreeMap::new(), 0).map(drop),
            Step::Backup => copies::backup(place, told),
            Step::Restore => copies::restore(place, &engine, told),
            Step::Reopen => match engine.close().and_then(|()| open(vfs)) {
                Ok(opened) => {
                    engine = opened;
                    Ok(())
                }
                Err(error) => return (None, stopped(error)),
            },
        };
        if let Err(error) = done {
            return (Some(engine), Err(Stopped { error, in_flight: ops_of(step) }));
        }
        told.at += 1;
        told.acknowledged.extend(ops_of(step));
    }
    (Some(engine), Ok(()))
}

/// Everything that a store answers about the people of random histories.
pub fn readings(engine: &Engine) -> Result<Json, Error> {
    let (snapshot, executor) = (engine.snapshot(), Executor::default());
    let mut people = Map::new();
    for identity in IDENTITIES {
        let mut profile = match person(&executor, &snapshot, identity) {
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            profile => profile?,
        };
        for field in ["property_history", "counts", "revenue"] {
            profile.as_object_mut().unwrap().remove(field);
        }
        let lines = sorted(timeline(&executor, &snapshot, identity, 100)?);
        people.insert(identity.to_owned(), json!({"profile": profile, "timeline": lines}));
    }
    let events = comparable(to_json(Ok(executor.events(&snapshot, i64::MAX)?)));
    Ok(json!({"rows": snapshot.rows(), "people": people, "events": events}))
}

fn sorted(mut list: Vec<Json>) -> Vec<Json> {
    list.sort_by_key(ToString::to_string);
    list
}

/// The oracle once it was told `ops`.
pub fn oracle<'a>(ops: impl IntoIterator<Item = &'a Op>) -> Oracle {
    let mut oracle = Oracle::new();
    for op in ops {
        match op {
            Op::Record(record) => drop(oracle.apply(record, NOW)),
            Op::Merge(a, b) => drop(format!("{:?}", oracle.merge(a, b))),
            Op::Unmerge(a) => drop(format!("{:?}", oracle.unmerge(a))),
            Op::Erase(a) => drop(format!("{:?}", oracle.erase(a))),
            Op::Expire(oldest) => oracle.expire(*oldest),
        }
    }
    oracle
}

/// What the oracle answers once it was told `ops`.
pub fn expected(ops: &[Op]) -> Json {
    let oracle = oracle(ops);
    let mut people = Map::new();
    for identity in IDENTITIES {
        let profile = oracle.person(identity);
        if profile.get("error").is_some() {
            continue;
        }
        let lines = oracle.person_events(identity).into_iter().map(|(time, event, identity, properties)| {
            let properties: Map<String, Json> =
                properties.into_iter().map(|(n, v)| (n, serde_json::to_value(v).unwrap())).collect();
            json!({"time": format_millis(time), "event": event, "identity": identity, "properties": properties})
        });
        let lines = sorted(lines.collect());
        people.insert(identity.to_owned(), json!({"profile": profile, "timeline": lines}));
    }
    json!({"rows": oracle.stored(), "people": people, "events": comparable(oracle.events())})
}

/// What must be a duplicate when it is sent again: the records that no erasure or expiry came after.
fn repeatable(ops: &[Op]) -> Vec<Record> {
    let last = ops.iter().rposition(|op| matches!(op, Op::Erase(_) | Op::Expire(_))).map_or(0, |at| at + 1);
    let records = ops.iter().skip(last).filter_map(|op| match op {
        Op::Record(record) => Some(record.clone()),
        _ => None,
    });
    records.collect()
}

/// Where the store's answers differ from what they must be after `ops`.
pub fn wrong(found: &Json, ops: &[Op]) -> Vec<String> {
    let mut out = Vec::new();
    differences("", found, &expected(ops), &mut out);
    out
}

/// Opens the store and compares it with what was acknowledged, and perhaps the first few of what was in flight, which then counts
/// as acknowledged. What is wrong, if anything is.
pub fn check(vfs: &Arc<dyn Vfs>, told: &mut Told, in_flight: &[Op]) -> Result<(), String> {
    let engine = open(vfs).map_err(|e| format!("cannot open: {e}"))?;
    check_open(&engine, told, in_flight)?;
    engine.close().map_err(|e| format!("cannot close: {e}"))
}

fn check_open(engine: &Engine, told: &mut Told, in_flight: &[Op]) -> Result<(), String> {
    let damage = engine.check();
    if !damage.is_empty() {
        return Err(format!("damage: {damage:?}"));
    }
    if let [Op::Expire(oldest)] = in_flight {
        // Segments lose their old events one by one; what is left of it is done now, and costs nothing else.
        engine.expire(Some(*oldest), &BTreeMap::new(), 0).map_err(|e| format!("cannot expire: {e}"))?;
        told.acknowledged.push(Op::Expire(*oldest));
        return check_open(engine, told, &[]);
    }
    let found = readings(engine).map_err(|e| format!("cannot read: {e}"))?;
    let mut first = Vec::new();
    let fits = (0..=in_flight.len()).find(|kept| {
        let ops: Vec<Op> = told.acknowledged.iter().chain(in_flight.iter().take(*kept)).cloned().collect();
        let differences = wrong(&found, &ops);
        let fits = differences.is_empty();
        if first.is_empty() {
            first = differences;
        }
        fits
    });
    let Some(kept) = fits else {
        let (acknowledged, in_flight) = (told.acknowledged.len(), in_flight.len());
        return Err(format!(
            "after {acknowledged} acknowledged, {in_flight} in flight:\n{}",
            first.join("\n")
        ));
    };
    told.acknowledged.extend(in_flight.iter().take(kept).cloned());
    let again: Vec<Record> =
        repeatable(&told.acknowledged).into_iter().filter(|r| r.time.is_some() || r.id.is_some()).collect();
    let outcomes = engine.write(again.clone()).map_err(|e| format!("cannot write: {e}"))?;
    match outcomes.iter().zip(&again).find(|(o, _)| **o != Outcome::Duplicate) {
        Some((outcome, record)) => Err(format!("sent again, {record:?} is {outcome:?}")),
        None => Ok(()),
    }
}
