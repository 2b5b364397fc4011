//! Loading without a log: random histories in batches of any size, with flushes, small caches and power cuts in between. What is there
//! is what the oracle says of the batches up to some point, which is never before what was said to be durable; and loading all of it
//! again brings the rest, and nothing twice. `WHODID_CRASHES=N` sets how many, `WHODID_SEED` where to begin.

use std::sync::Arc;

use whodid::Error;
use whodid::disk::Vfs;
use whodid::engine::{Engine, Options, Outcome};
use whodid::model::{Admission, Correction, Record};
use whodid::testing::disk::SimDisk;
use whodid::testing::random::{Action, History, NOW, Random};

use crate::histories::number;
use crate::store_check::{Op, Told, check, expected, options};

/// What one batch brings. Records have a time, so that they are known when they come again.
fn batches(seed: u64) -> Vec<Vec<Op>> {
    let mut random = Random::new(seed);
    let ops = History::random(2 * seed).into_iter().chain(History::random(2 * seed + 1));
    let ops = ops.filter_map(|action| match action {
        Action::Record(record) => {
            let record = Record { time: record.time.or(Some(NOW)), ..record };
            record.checked(Admission::usual(NOW)).ok().map(Op::Record)
        }
        Action::Merge(a, b) => Some(Op::Merge(a, b)),
        Action::Unmerge(a) => Some(Op::Unmerge(a)),
        _ => None,
    });
    let mut ops: Vec<Op> = ops.collect();
    // Some of it comes twice.
    for _ in 0..ops.len() / 8 {
        let again = ops[random.below(ops.len() as u64) as usize].clone();
        ops.insert(random.below(ops.len() as u64) as usize, again);
    }
    let mut batches = Vec::new();
    while !ops.is_empty() {
        let size = (1 + random.below(12) as usize).min(ops.len());
        batches.push(ops.drain(..size).collect());
    }
    batches
}

fn open(disk: &SimDisk, seed: u64) -> Result<Engine, Error> {
    let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
    let load_bytes = Some([1, 1500, 6000, 1 << 20][seed as usize % 4]);
    let identity_cache = [3, 1 << 10][seed as usize / 4 % 2];
    Engine::open_on(vfs, Options { load_bytes, identity_cache, merge_threads: 2, ..options(12) })
}

/// Loads all batches; how many records were stored, and how many batches are durable for certain.
fn load(engine: &Engine, batches: &[Vec<Op>], random: &mut Random) -> (Result<u64, Error>, usize) {
    let mut numbers = Vec::new();
    let mut run = || {
        let mut stored = 0;
        for ops in batches {
            let mut batch = engine.batch(1000);
            for op in ops {
                match op.clone() {
                    Op::Record(record) => batch.add(record),
                    Op::Merge(identity, into) => batch.correct(Correction::Merge { identity, into }),
                    Op::Unmerge(identity) => batch.correct(Correction::Unmerge(identity)),
                    Op::Erase(_) | Op::Expire(_) => {}
                }
            }
            let ticket = engine.begin_write(batch.finish())?;
            numbers.push(ticket.number());
            let outcomes = ticket.wait()?;
            let is_stored = |(op, outcome): &(&Op, Outcome)| {
                matches!(op, Op::Record(_)) && matches!(outcome, Outcome::Stored | Outcome::MergeRefused)
            };
            stored += ops.iter().zip(outcomes).filter(is_stored).count() as u64;
            if random.chance(5) {
                engine.flush()?;
            }
            if random.chance(3) {
                engine.compact()?;
            }
        }
        engine.flush()?;
        Ok(stored)
    };
    let done = run();
    (done, numbers.into_iter().filter(|number| engine.is_durable(*number)).count())
}

fn flat(batches: &[Vec<Op>]) -> Vec<Op> {
    batches.iter().flatten().cloned().collect()
}

#[test]
fn what_is_loaded_is_what_a_log_would_have_stored() {
    let (count, first) = (number("WHODID_CRASHES", 100), number("WHODID_SEED", 1));
    let mut late = 0;
    for seed in first..first + count {
        let (disk, batches) = (SimDisk::new(), batches(seed));
        let engine = open(&disk, seed).unwrap();
        let (stored, durable) = load(&engine, &batches, &mut Random::new(seed));
        assert_eq!(durable, batches.len(), "{seed}");
        let ops = flat(&batches);
        let rows = stored.unwrap() - engine.found_late();
        assert_eq!(expected(&ops)["rows"], rows, "{seed}: what was told of duplicates");
        late += engine.found_late();
        engine.close().unwrap();
        let mut told = Told { acknowledged: ops, ..Told::default() };
        let store: Arc<dyn Vfs> = Arc::new(disk);
        check(&store, &mut told, &[]).map_err(|what| format!("{seed}: {what}")).unwrap();
    }
    assert!(count < 100 || late > 20, "only {late} duplicates were found by flushes");
}

#[test]
fn no_power_cut_while_loading_loses_what_is_durable_or_stores_twice() {
    let (count, first) = (number("WHODID_CRASHES", 200), number("WHODID_SEED", 1));
    let mut cut = 0;
    for seed in first..first + count {
        let mut random = Random::new(seed);
        let batches = batches(seed / 10);
        let whole = SimDisk::new();
        drop(load(&open(&whole, seed).unwrap(), &batches, &mut Random::new(seed)));
        let disk = SimDisk::new();
        disk.power_off_after(random.below(whole.ops()));
        let engine = open(&disk, seed);
        let durable = engine.map_or(0, |engine| load(&engine, &batches, &mut Random::new(seed)).1);
        cut += usize::from(durable > 0 && durable < batches.len());
        let found = if random.chance(15) { disk.copy() } else { disk.crashed(random.bits()) };
        let mut told = Told { acknowledged: flat(&batches[..durable]), ..Told::default() };
        let store: Arc<dyn Vfs> = Arc::new(found.copy());
        let checked = check(&store, &mut told, &flat(&batches[durable..]));
        checked.map_err(|what| format!("{seed}, after {durable} durable batches: {what}")).unwrap();

        // The same once more, from its beginning.
        let again = found.copy();
        let engine = open(&again, seed).unwrap();
        load(&engine, &batches, &mut random).0.unwrap();
        engine.close().unwrap();
        told.acknowledged.extend(flat(&batches));
        let store: Arc<dyn Vfs> = Arc::new(again);
        check(&store, &mut told, &[]).map_err(|what| format!("{seed}, loaded again: {what}")).unwrap();
    }
    assert!(count < 200 || cut > 30, "only {cut} were cut in the middle");
}
