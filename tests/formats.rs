//! Hostile files: a store with one file cut, flipped, replaced or from the future is opened and read in whole. It gives an error
//! that names the file, or the right answers. `WHODID_FLIPS=N` sets the number of random flips.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::Value as Json;
use whodid::disk::Vfs;
use whodid::engine::Engine;
use whodid::exec::Executor;
use whodid::report::Funnel;
use whodid::testing::disk::SimDisk;
use whodid::testing::random::{NOW, Random, random_funnel};
use whodid::{Error, ErrorKind};

use crate::engine_backend::to_json;
use crate::histories::number;
use crate::store_check::{Op, Step, expected, open_with, readings, workload, wrong};

/// A closed store and what it must answer.
struct Sample {
    disk: SimDisk,
    files: BTreeMap<String, Vec<u8>>,
    last_log: String,
    whole: Answers,
    /// What it may answer when its last log is cut.
    shorter: Vec<Json>,
}

#[derive(PartialEq)]
struct Answers {
    readings: Json,
    funnels: Vec<Json>,
}

/// With memtables so large that only a flush that is asked for ends one.
fn open(disk: &SimDisk) -> Result<Engine, Error> {
    let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
    open_with(&vfs, 1000)
}

fn answers(engine: &Engine) -> Result<Answers, Error> {
    let executor = Executor::default();
    let funnels = (0..3).map(|seed| {
        let funnel = Funnel::from_json(&random_funnel(seed), &Default::default())?;
        let mut answer = to_json(Ok(executor.funnel(&engine.snapshot(), &funnel, NOW)?.answer));
        answer.as_object_mut().unwrap().remove("elapsed_ms");
        Ok(answer)
    });
    let funnels = funnels.collect::<Result<_, Error>>()?;
    Ok(Answers { readings: readings(engine)?, funnels })
}

/// Groups of records of one workload.
fn groups(seed: u64) -> Vec<Vec<whodid::model::Record>> {
    let steps = (seed..).flat_map(workload);
    steps.filter_map(|s| if let Step::Write(group) = s { Some(group) } else { None }).take(18).collect()
}

/// Two segments or more, identities, a checkpoint, and two logs with several writes each.
fn sample(seed: u64) -> Sample {
    let disk = SimDisk::new();
    let (mut told, mut shorter) = (Vec::new(), Vec::new());
    let mut engine = open(&disk).unwrap();
    for (at, group) in groups(seed).into_iter().enumerate() {
        match at {
            5 | 10 => engine.flush().unwrap(),
            14 => {
                engine.close().unwrap();
                engine = open(&disk).unwrap();
            }
            _ => {}
        }
        if at >= 14 {
            shorter.push(expected(&told));
        }
        told.extend(group.iter().cloned().map(Op::Record));
        engine.write(group).unwrap();
    }
    let whole = answers(&engine).unwrap();
    assert!(wrong(&whole.readings, &told).is_empty());
    engine.close().unwrap();
    let files = disk.files();
    let last_log = files.keys().rfind(|f| f.starts_with("wal-")).unwrap().clone();
    for (prefix, least) in [("seg-", 2), ("ids-", 1), ("state-", 1), ("wal-", 2), ("MANIFEST", 1)] {
        assert!(
            files.keys().filter(|f| f.starts_with(prefix)).count() >= least,
            "{prefix} {:?}",
            files.keys()
        );
    }
    Sample { disk, files, last_log, whole, shorter }
}

impl Sample {
    /// Opens and reads the store with other bytes in one file; what is wrong with the outcome. True if damage was reported.
    fn with(&self, file: &str, bytes: &[u8]) -> Result<bool, String> {
        let disk = self.disk.copy();
        disk.put(file, bytes);
        let outcome = catch_unwind(AssertUnwindSafe(|| self.read(&disk, file)));
        outcome.unwrap_or_else(|_| Err("it panics".into()))
    }

    fn read(&self, disk: &SimDisk, file: &str) -> Result<bool, String> {
        let named = |e: Error| {
            let text = e.to_string();
            if text.contains(file) {
                Ok(true)
            } else {
                Err(format!("the error does not name {file}: {text}"))
            }
        };
        let engine = match open(disk) {
            Ok(engine) => engine,
            Err(error) => return named(error),
        };
        let mut damaged = false;
        for error in engine.check() {
            damaged |= named(error)?;
        }
        match answers(&engine) {
            Err(error) if damaged => drop(named(error)?),
            Err(error) => return Err(format!("only reading finds: {error}")),
            Ok(found) if found == self.whole => {}
            // It is left out, and said to be.
            Ok(_) if damaged && file.starts_with("seg-") => {}
            Ok(found) if file == self.last_log && self.shorter.iter().any(|s| same(&found.readings, s)) => {}
            Ok(_) => return Err("other answers".into()),
        }
        engine.close().map_err(|e| format!("cannot close: {e}"))?;
        Ok(damaged)
    }
}

fn same(found: &Json, expected: &Json) -> bool {
    let mut out = Vec::new();
    crate::histories::differences("", found, expected, &mut out);
    out.is_empty()
}

/// The most memory that this process has had, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

#[test]
fn cut_files_are_errors_or_give_the_right_answers() {
    let sample = sample(1);
    for (name, bytes) in &sample.files {
        let mut random = Random::new(bytes.len() as u64);
        let edges = (0..40).chain(bytes.len().saturating_sub(40)..bytes.len());
        let within = (0..60).map(|_| random.below(bytes.len() as u64) as usize);
        for cut in edges.chain(within).filter(|c| *c < bytes.len()) {
            if let Err(what) = sample.with(name, &bytes[..cut]) {
                panic!("{name} cut to {cut} of {}: {what}", bytes.len());
            }
        }
        let mut longer = bytes.clone();
        longer.extend([0; 700]);
        sample.with(name, &longer).unwrap_or_else(|what| panic!("{name} with zeros behind it: {what}"));
    }
}

#[test]
fn flipped_bits_and_garbage_are_errors_or_give_the_right_answers() {
    let sample = sample(2);
    let (flips, mut random, before) = (number("WHODID_FLIPS", 2000), Random::new(7), peak_kib());
    let mut found = 0;
    for (name, bytes) in &sample.files {
        for _ in 0..flips / sample.files.len() as u64 {
            let (at, bit) = (random.below(bytes.len() as u64) as usize, random.below(8));
            let mut bad = bytes.clone();
            bad[at] ^= 1 << bit;
            match sample.with(name, &bad) {
                Ok(damaged) => found += u64::from(damaged),
                Err(what) => panic!("{name}, bit {bit} of byte {at} of {}: {what}", bytes.len()),
            }
        }
        for _ in 0..20 {
            let garbage: Vec<u8> = bytes.iter().map(|_| random.bits() as u8).collect();
            sample.with(name, &garbage).unwrap_or_else(|what| panic!("{name} of garbage: {what}"));
            // A piece of garbage in the middle: behind sound magic and length.
            let (from, length) = (random.below(bytes.len() as u64) as usize, random.below(64) as usize);
            let mut bad = bytes.clone();
            bad.iter_mut().skip(from).take(length).for_each(|b| *b = random.bits() as u8);
            sample.with(name, &bad).unwrap_or_else(|what| panic!("{name}, {length} bad at {from}: {what}"));
        }
    }
    assert!(found > flips / 2, "{found} of {flips} flips were found");
    assert!(peak_kib() - before < 512 * 1024, "a damaged length was allocated");
}

#[test]
fn files_of_another_store_are_errors() {
    let (ours, same_records, others) = (sample(3), sample(3), sample(4));
    let kind = |name: &str| name.split('-').next().unwrap_or("").to_owned();
    for (name, bytes) in &ours.files {
        for other in [&ours, &same_records, &others] {
            for (other_name, other_bytes) in
                other.files.iter().filter(|f| f.1 != bytes && kind(f.0) == kind(name))
            {
                if name == &ours.last_log && std::ptr::eq(other, &ours) {
                    continue;
                }
                match ours.with(name, other_bytes) {
                    Ok(true) => {}
                    // The store it comes from has the same records, and the file says nothing else.
                    Ok(false) => panic!("{name} replaced by another store's {other_name} is not noticed"),
                    // The manifest of another store leads to files that are not there or not its own.
                    Err(what) if name == "MANIFEST" && what.contains("does not name") => {}
                    Err(what) => panic!("{name} replaced by another store's {other_name}: {what}"),
                }
            }
        }
    }
}

#[test]
fn missing_files_are_errors_but_for_segments_which_are_left_out() {
    let sample = sample(6);
    for name in sample.files.keys().filter(|f| **f != sample.last_log) {
        let disk = sample.disk.copy();
        disk.remove(name).unwrap();
        if name.starts_with("seg-") {
            let damaged = open(&disk).unwrap().snapshot().damaged.clone();
            assert!(damaged.len() == 1 && damaged[0].file == *name, "{name} is not left out");
            continue;
        }
        let error = open(&disk).map(drop).unwrap_err();
        assert!(error.to_string().contains(name.as_str()), "{name}: {error}");
        assert_eq!(disk.files().len() + 1, sample.files.len(), "{name}: nothing is swept or begun");
    }
}

#[test]
fn other_formats_are_refused_and_untouched() {
    let sample = sample(5);
    for ((name, bytes), newer) in sample.files.iter().flat_map(|file| [(file, true), (file, false)]) {
        let mut other = bytes.clone();
        assert!((b'1'..=b'5').contains(&other[7]), "{name}");
        // Of segments three versions before are read, too, and two of identities.
        let known = match name.split('-').next() {
            Some("seg") => 4,
            Some("ids") => 3,
            _ => 1,
        };
        other[7] = if newer { other[7] + 1 } else { other[7] - known };
        if name.starts_with("wal-") {
            let crc = crc32fast::hash(&other[..32]);
            other[32..36].copy_from_slice(&crc.to_le_bytes());
        }
        let disk = sample.disk.copy();
        disk.put(name, &other);
        let before = disk.files();
        let error = open(&disk).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{name}: {error}");
        assert_eq!(error.code(), if newer { "newer_format" } else { "older_format" }, "{name}");
        assert!(error.to_string().contains(name.as_str()), "{error}");
        assert!(disk.files() == before, "{name}: the store was changed");
    }
}
