//! One operation of the disk fails, at each place in turn: nothing acknowledged is lost, the store refuses to write from then on, and
//! reading goes on. And a disk that fills up.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use whodid::disk::{Bytes, Vfs, WriteFile};
use whodid::engine::{Engine, Options, Outcome};
use whodid::limits;
use whodid::model::{Admission, Record, RecordKind, Value};
use whodid::store::manifest::Manifest;
use whodid::testing::disk::{Fault, SimDisk};
use whodid::testing::random::{NOW, Random};
use whodid::{Error, ErrorKind};

use crate::copies::{Place, check_copies, workload_with_copies};
use crate::histories::number;
use crate::store_check::{
    Op, Step, Stopped, Told, check, drive, go_on, open, open_with, options, readings, workload, wrong,
};

fn probe(name: &str) -> Record {
    Record {
        kind: RecordKind::Event,
        identity: "anon-1".into(),
        name: name.into(),
        time: Some(NOW),
        properties: Vec::new(),
        id: None,
    }
}

fn on(disk: &SimDisk) -> Arc<dyn Vfs> {
    Arc::new(disk.clone())
}

/// Writes one more record and expects success.
fn write_one(engine: &Engine, name: &str, told: &mut Told) -> Result<(), String> {
    engine.write(vec![probe(name)]).map_err(|e| format!("cannot write: {e}"))?;
    told.acknowledged.push(Op::Record(probe(name)));
    Ok(())
}

/// After a step failed: reads go on, and nothing more is written.
fn read_only(engine: &Engine, fault: Fault, told: &mut Told, in_flight: &[Op]) -> Result<(), String> {
    let found = readings(engine).map_err(|e| format!("cannot read any more: {e}"))?;
    let wrong = wrong(&found, &told.acknowledged);
    // An erasure may be done, but for files that cannot be removed.
    let erased = in_flight.iter().any(|op| matches!(op, Op::Erase(_)));
    let after: Vec<Op> = told.acknowledged.iter().chain(in_flight).cloned().collect();
    let done = erased && crate::store_check::wrong(&found, &after).is_empty();
    if !wrong.is_empty() && !done {
        return Err(format!("reads after the fault:\n{}", wrong.join("\n")));
    }
    match engine.write(vec![probe("Probe")]) {
        // A merge that found the disk full costs nothing.
        Ok(_) if fault == Fault::Full => told.acknowledged.push(Op::Record(probe("Probe"))),
        Ok(_) => return Err("it writes on".into()),
        Err(e) if matches!(e.kind(), ErrorKind::Poisoned | ErrorKind::Full) => {}
        Err(e) => return Err(format!("the wrong refusal: {e}")),
    }
    Ok(())
}

/// What comes after a fault: the next process, with and without a power cut, once more, and then the rest of the workload.
fn aftermath(disk: &SimDisk, steps: &[Step], told: &Told, in_flight: &[Op], seed: u64) -> Result<(), String> {
    let mut random = Random::new(seed);
    for _ in 0..2 {
        let crashed = disk.crashed(random.bits());
        check(&on(&crashed), &mut told.clone(), in_flight).map_err(|e| format!("crashed: {e}"))?;
    }
    let (next, mut told) = (disk.copy(), told.clone());
    check(&on(&next), &mut told, in_flight).map_err(|e| format!("restarted: {e}"))?;
    // What the restarted store has shown, or called a duplicate, is promised from then on.
    for _ in 0..4 {
        let crashed = next.crashed(random.bits());
        check(&on(&crashed), &mut told.clone(), &[]).map_err(|e| format!("shown, then crashed: {e}"))?;
    }
    {
        let engine = open(&on(&next)).map_err(|e| format!("restarted twice: {e}"))?;
        write_one(&engine, "Later", &mut told)?;
        let crashed = next.crashed(random.bits());
        check(&on(&crashed), &mut told.clone(), &[]).map_err(|e| format!("restarted, then crashed: {e}"))?;
    }
    let (engine, done) = drive(&Place::of(&next), steps, &mut told);
    done.map_err(|s| format!("going on: {}", s.error))?;
    drop(engine);
    check(&on(&next.crashed(random.bits())), &mut told, &[]).map_err(|e| format!("at the end: {e}"))
}

/// False if the workload ended before the fault.
fn fault_at(steps: &[Step], n: u64, fault: Fault) -> Result<bool, String> {
    let disk = SimDisk::new();
    disk.fail_at(n, fault);
    let mut told = Told::default();
    let (engine, done) = drive(&Place::of(&disk), steps, &mut told);
    let in_flight = match done {
        Ok(()) => Vec::new(),
        Err(Stopped { error, .. }) if !disk.struck() => return Err(format!("step {}: {error}", told.at)),
        Err(Stopped { in_flight, .. }) => {
            engine.as_ref().map_or(Ok(()), |engine| read_only(engine, fault, &mut told, &in_flight))?;
            in_flight
        }
    };
    drop(engine);
    aftermath(&disk, steps, &told, &in_flight, n)?;
    Ok(disk.struck())
}

#[test]
fn no_fault_of_the_disk_loses_or_invents_anything() {
    let (count, first) = (number("WHODID_FAULTS", 1), number("WHODID_SEED", 2));
    for which in first..first + count {
        let steps = workload(which);
        std::thread::scope(|scope| {
            for fault in Fault::ALL {
                let steps = &steps;
                scope.spawn(move || {
                    for n in 0.. {
                        match fault_at(steps, n, fault) {
                            Ok(true) => {}
                            Ok(false) => {
                                assert!(n > 5, "{fault:?} struck {n} times only");
                                return;
                            }
                            Err(what) => panic!("workload {which}, {fault:?} {n}: {what}"),
                        }
                    }
                });
            }
        });
    }
}

/// A disk that is full once, at its write `n`: whatever failed is tried again with the same engine, and nothing is lost or doubled.
/// False if the workload ended before.
fn full_once(steps: &[Step], n: u64) -> Result<bool, String> {
    let disk = SimDisk::new();
    disk.fail_at(n, Fault::Full);
    let (place, mut told) = (Place::of(&disk), Told::default());
    let (mut engine, mut done) = drive(&place, steps, &mut told);
    if let Err(Stopped { error, in_flight }) = done {
        if !disk.struck() || error.kind() != ErrorKind::Full {
            return Err(format!("step {}: {error}", told.at));
        }
        (engine, done) = match engine {
            // It was being opened.
            None => drive(&place, steps, &mut told),
            Some(engine) => {
                // A flush that was caught waits a moment before it tries again.
                let mut patience = 200;
                while let Err(error) = engine.healthy() {
                    patience -= 1;
                    if patience == 0 || error.kind() != ErrorKind::Full {
                        return Err(format!("there is room again: {error}"));
                    }
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
                let found = readings(&engine).map_err(|e| format!("cannot read: {e}"))?;
                // Files lose their old events one by one.
                let differences = match in_flight.as_slice() {
                    [Op::Expire(_)] => Vec::new(),
                    _ => wrong(&found, &told.acknowledged),
                };
                if !differences.is_empty() {
                    return Err(format!("while it is full:\n{}", differences.join("\n")));
                }
                go_on(engine, &place, steps, &mut told)
            }
        };
        done.map_err(|s| format!("going on at {}: {}", told.at, s.error))?;
    }
    let engine = engine.ok_or("no engine")?;
    let found = readings(&engine).map_err(|e| format!("cannot read: {e}"))?;
    let differences = wrong(&found, &told.acknowledged);
    if !differences.is_empty() {
        return Err(format!("at the end:\n{}", differences.join("\n")));
    }
    drop(engine);
    for seed in 0..2 {
        let crashed = disk.crashed(seed);
        check_copies(&crashed, &mut told.clone(), true)
            .and_then(|()| check(&on(&crashed), &mut told.clone(), &[]))
            .map_err(|e| format!("crashed at the end: {e}"))?;
    }
    Ok(disk.struck())
}

#[test]
fn a_disk_that_is_full_for_a_moment_costs_nothing() {
    let (count, first) = (number("WHODID_FAULTS", 2), number("WHODID_SEED", 5));
    for which in first..first + count {
        let steps = workload_with_copies(which);
        let next = AtomicU64::new(0);
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !ended.load(Ordering::SeqCst) {
                        let n = next.fetch_add(1, Ordering::SeqCst);
                        match full_once(&steps, n) {
                            Ok(struck) => ended.fetch_or(!struck, Ordering::SeqCst),
                            Err(what) => panic!("workload {which}, write {n}: {what}"),
                        };
                    }
                });
            }
        });
        let writes = next.into_inner();
        assert!(writes > 50, "{writes} writes");
    }
}

#[test]
fn a_group_of_many_frames_is_kept_as_far_as_it_was_durable() {
    let disk = SimDisk::new();
    let engine = open_with(&on(&disk), 100_000).unwrap();
    engine.write(vec![probe("First")]).unwrap();
    let many: Vec<Record> = (0..1500)
        .map(|n| Record {
            time: Some(NOW - n),
            identity: format!("p{n}"),
            properties: vec![("Text".into(), Value::Text(format!("{n:08000}")))],
            ..probe(&format!("Many {}", n % 7))
        })
        .collect();
    // The first frame of three fits.
    disk.fail_at(1, Fault::Full);
    let error = engine.write(many.clone()).unwrap_err();
    assert_eq!((error.kind(), disk.struck()), (ErrorKind::Full, true));
    let rows = engine.snapshot().rows();
    assert!((400..700).contains(&rows), "{rows}");
    assert_eq!(disk.crashed(1).files().len(), disk.files().len());
    let outcomes = engine.write(many.clone()).unwrap();
    let stored = outcomes.iter().filter(|o| **o == Outcome::Stored).count() as u64;
    assert_eq!((engine.snapshot().rows(), stored), (1501, 1501 - rows));
    drop(engine);
    for seed in 0..4 {
        let engine = open_with(&on(&disk.crashed(seed)), 100_000).unwrap();
        assert_eq!(engine.snapshot().rows(), 1501);
        let again = engine.write(many.clone()).unwrap();
        assert!(again.iter().all(|o| *o == Outcome::Duplicate));
    }
}

#[test]
fn a_log_that_is_in_the_way_is_flushed() {
    let disk = SimDisk::new();
    let engine = Engine::open_on(on(&disk), Options::default()).unwrap();
    let large = |n: usize| {
        let properties = (0..100)
            .map(|p| (format!("p{p}"), Value::from(format!("{n}-{p}-").repeat(30).as_str())))
            .collect();
        let record = Record { identity: format!("p{n}"), time: Some(NOW), properties, ..probe("Large") };
        record.checked(Admission::usual(NOW)).unwrap()
    };
    engine.write((0..100).map(large).collect()).unwrap();
    let vfs = on(&disk);
    let logs = vfs.list().unwrap().into_iter().filter(|name| name.starts_with("wal-"));
    let log: u64 = logs.map(|name| vfs.open(&name).unwrap().len() as u64).sum();
    assert!(log > 1 << 20, "{log}");
    // Room for a flush of the log, but not for as much again.
    disk.set_free(limits::FREE_BYTES_MIN + log + log / 2);
    assert_eq!(engine.healthy().unwrap_err().kind(), ErrorKind::Full, "it says what the writer will say");
    assert_eq!(engine.write(vec![probe("B")]).unwrap_err().kind(), ErrorKind::Full);
    let begin = std::time::Instant::now();
    while engine.write(vec![probe("B")]).is_err() {
        assert!(begin.elapsed() < std::time::Duration::from_secs(10), "it never makes room");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    engine.healthy().unwrap();
    while engine.snapshot().segments.is_empty() {
        assert!(begin.elapsed() < std::time::Duration::from_secs(10), "it never flushes");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(engine.snapshot().rows(), 101);
}

#[test]
fn a_full_disk_refuses_writes_and_takes_them_again_when_there_is_room() {
    let disk = SimDisk::new();
    let engine = open(&on(&disk)).unwrap();
    let mut told = Told::default();
    write_one(&engine, "A", &mut told).unwrap();
    disk.set_free(1 << 20);
    let error = engine.write(vec![probe("B")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full);
    assert_eq!(engine.healthy().unwrap_err().kind(), ErrorKind::Full);
    assert!(wrong(&readings(&engine).unwrap(), &told.acknowledged).is_empty());
    disk.set_free(1 << 30);
    engine.healthy().unwrap();
    write_one(&engine, "C", &mut told).unwrap();
    assert!(wrong(&readings(&engine).unwrap(), &told.acknowledged).is_empty());
    drop(engine);
    check(&on(&disk.crashed(1)), &mut told, &[]).unwrap();
}

/// Four segments and four identity files, which nothing merges by itself.
fn four_of_each(disk: &SimDisk) -> Engine {
    let engine = Engine::open_on(on(disk), Options { compaction: false, ..options(100) }).unwrap();
    for who in ["ann", "bob", "cy", "dan"] {
        engine.write(vec![Record { identity: who.into(), ..probe("Did") }]).unwrap();
        engine.flush().unwrap();
    }
    engine
}

/// Files that no manifest names, though only one makes sense of them.
fn unnamed(disk: &SimDisk) -> Vec<String> {
    let files = disk.list().unwrap();
    let manifest = Manifest::load(disk, &files).unwrap().unwrap();
    let named: Vec<&str> = manifest.files().map(|file| file.name.as_str()).collect();
    let ours = |file: &String| ["seg-", "ids-", "state-"].iter().any(|kind| file.starts_with(kind));
    files.iter().filter(|file| ours(file) && !named.contains(&file.as_str())).cloned().collect()
}

/// Such a file could hold somebody who is erased before the next start.
#[test]
fn a_full_disk_leaves_no_file_that_no_manifest_names() {
    for erases in [false, true] {
        for n in 0.. {
            let disk = SimDisk::new();
            let engine = four_of_each(&disk);
            disk.fail_at(n, Fault::Full);
            let done = if erases { engine.erase(&["bob".to_owned()]).map(drop) } else { engine.compact() };
            if !disk.struck() {
                done.unwrap();
                assert!(n > 5, "{n} writes only");
                break;
            }
            assert!(done.is_err_and(|error| error.kind() == ErrorKind::Full), "write {n}");
            // A flush waits a moment before it tries again, and then removes what it has replaced.
            let begun = std::time::Instant::now();
            while !unnamed(&disk).is_empty() {
                assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{n}: {:?}", unnamed(&disk));
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
    }
}

#[test]
fn identities_are_merged_where_there_is_room() {
    let disk = SimDisk::new();
    let engine = four_of_each(&disk);
    let files = || disk.files().into_keys().filter(|name| name.starts_with("ids-")).count();
    disk.set_free(limits::FREE_BYTES_MIN);
    assert_eq!(engine.compact().unwrap_err().kind(), ErrorKind::Full);
    assert_eq!(files(), 4);
    disk.set_free(1 << 30);
    engine.compact().unwrap();
    assert_eq!(files(), 1);
}

/// A disk that is full for some segments.
struct FullForSegments {
    disk: SimDisk,
    is_full: Box<dyn Fn() -> bool + Send + Sync>,
}

impl Vfs for FullForSegments {
    fn create(&self, name: &str) -> whodid::Result<Box<dyn WriteFile>> {
        if name.starts_with("seg-") && (self.is_full)() {
            return Err(Error::new(ErrorKind::Full, "disk_full", "no room for now"));
        }
        self.disk.create(name)
    }
    fn open(&self, name: &str) -> whodid::Result<Bytes> {
        self.disk.open(name)
    }
    fn read_through(&self, name: &str) -> whodid::Result<()> {
        self.disk.read_through(name)
    }
    fn list(&self) -> whodid::Result<Vec<String>> {
        self.disk.list()
    }
    fn rename(&self, from: &str, to: &str) -> whodid::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> whodid::Result<()> {
        self.disk.remove(name)
    }
    fn sync_dir(&self) -> whodid::Result<()> {
        self.disk.sync_dir()
    }
    fn lock(&self) -> whodid::Result<Box<dyn Send + Sync>> {
        self.disk.lock()
    }
    fn free_bytes(&self) -> whodid::Result<u64> {
        self.disk.free_bytes()
    }
    fn describe(&self) -> String {
        self.disk.describe()
    }
}

/// What a flush leaves undone because the store closes is in the log, which a later flush that finds room would take away.
#[test]
fn a_store_that_closes_on_a_full_disk_flushes_nothing_behind_what_it_could_not() {
    let disk = SimDisk::new();
    let (open_gate, gate) = channel();
    // For the first one, which waits until it is told so.
    let gate = Mutex::new(Some(gate));
    let is_full = move || gate.lock().unwrap().take().is_some_and(|gate| gate.recv().is_ok());
    let full = FullForSegments { disk: disk.clone(), is_full: Box::new(is_full) };
    let engine = open_with(&(Arc::new(full) as Arc<dyn Vfs>), 2).unwrap();
    let mut told = Told::default();
    // One flush at work, and another that waits for it.
    for name in ["A", "B", "C", "D", "E"] {
        write_one(&engine, name, &mut told).unwrap();
    }
    std::thread::scope(|scope| {
        let closed = scope.spawn(|| engine.close());
        // It says that it closes before it waits for the flushes.
        std::thread::sleep(std::time::Duration::from_millis(200));
        open_gate.send(()).unwrap();
        closed.join().unwrap().unwrap();
    });
    check(&on(&disk), &mut told, &[]).unwrap();
}

/// A flush that waits behind the one that finds the disk full is told as well, and the writer goes on refusing.
#[test]
fn who_waits_behind_a_flush_learns_that_the_disk_is_full() {
    let disk = SimDisk::new();
    let (begin, begun) = channel();
    let begun = Mutex::new(begun);
    let is_full = move || begun.lock().unwrap().recv().is_ok();
    let vfs = FullForSegments { disk: disk.clone(), is_full: Box::new(is_full) };
    let engine = open_with(&(Arc::new(vfs) as Arc<dyn Vfs>), 100).unwrap();
    let mut told = Told::default();
    std::thread::scope(|scope| {
        // One at work, one in the queue, and the writer with another.
        let waiting: Vec<_> = ["A", "B", "C"]
            .into_iter()
            .map(|name| {
                write_one(&engine, name, &mut told).unwrap();
                let flush = scope.spawn(|| engine.flush());
                std::thread::sleep(std::time::Duration::from_millis(100));
                flush
            })
            .collect();
        begin.send(()).unwrap();
        for flush in waiting {
            assert_eq!(flush.join().unwrap().unwrap_err().kind(), ErrorKind::Full);
        }
        assert_eq!(engine.write(vec![probe("D")]).unwrap_err().kind(), ErrorKind::Full);
        drop(begin);
    });
    let begun = std::time::Instant::now();
    while engine.healthy().is_err() {
        assert!(begun.elapsed() < std::time::Duration::from_secs(10), "it never goes on");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    engine.flush().unwrap();
    assert!(wrong(&readings(&engine).unwrap(), &told.acknowledged).is_empty());
}

/// There may be some room, but less than it needs, for days.
#[test]
fn a_flush_that_finds_no_room_is_tried_less_and_less_often() {
    let (disk, tries) = (SimDisk::new(), Arc::new(AtomicU64::new(0)));
    let tried = Arc::clone(&tries);
    let is_full = Box::new(move || tried.fetch_add(1, Ordering::SeqCst) < u64::MAX);
    let engine = open_with(&(Arc::new(FullForSegments { disk, is_full }) as Arc<dyn Vfs>), 100).unwrap();
    engine.write(vec![probe("A")]).unwrap();
    assert_eq!(engine.flush().unwrap_err().kind(), ErrorKind::Full);
    std::thread::sleep(std::time::Duration::from_secs(1));
    let tries = tries.load(Ordering::SeqCst);
    assert!((2..12).contains(&tries), "{tries} in a second");
}

/// More of them than the flusher takes at once.
#[test]
fn who_waits_for_a_flush_learns_that_the_disk_is_full() {
    let disk = SimDisk::new();
    let full = Arc::new(AtomicBool::new(true));
    let is_full = Arc::clone(&full);
    let vfs =
        FullForSegments { disk: disk.clone(), is_full: Box::new(move || is_full.load(Ordering::SeqCst)) };
    let engine = open_with(&(Arc::new(vfs) as Arc<dyn Vfs>), 100).unwrap();
    let mut told = Told::default();
    write_one(&engine, "A", &mut told).unwrap();
    for _ in 0..4 {
        let refused = [
            engine.flush().unwrap_err(),
            engine.compact().unwrap_err(),
            engine.erase(&["anon-1".to_owned()]).unwrap_err(),
        ];
        assert!(refused.iter().all(|error| error.kind() == ErrorKind::Full), "{refused:?}");
        assert!(wrong(&readings(&engine).unwrap(), &told.acknowledged).is_empty());
    }
    full.store(false, Ordering::SeqCst);
    let begun = std::time::Instant::now();
    while engine.healthy().is_err() {
        assert!(begun.elapsed() < std::time::Duration::from_secs(10), "it never goes on");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    write_one(&engine, "B", &mut told).unwrap();
    engine.flush().unwrap();
    assert!(wrong(&readings(&engine).unwrap(), &told.acknowledged).is_empty());
    drop(engine);
    check(&on(&disk.crashed(1)), &mut told, &[]).unwrap();
}
