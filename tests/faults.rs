//! One operation of the disk fails, at each place in turn: nothing acknowledged is lost, the store refuses to write from then on, and
//! reading goes on. And a disk that fills up.

use std::sync::Arc;

use whodid::ErrorKind;
use whodid::disk::Vfs;
use whodid::engine::Engine;
use whodid::model::{Record, RecordKind};
use whodid::testing::disk::{Fault, SimDisk};
use whodid::testing::random::{NOW, Random};

use crate::copies::Place;
use crate::histories::number;
use crate::store_check::{Op, Step, Stopped, Told, check, drive, open, readings, workload, wrong};

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
