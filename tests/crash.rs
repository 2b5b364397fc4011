//! Power cuts at random operations of random workloads, again inside recovery and again later: what was acknowledged is there, once,
//! and nothing else. `WHODID_CRASHES=N` sets how many, `WHODID_SEED` where to begin. Disks that lie show that the test can see.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use whodid::disk::{Bytes, Folders, Vfs, WriteFile};
use whodid::testing::disk::{Fault, SimDisk, SimFolders};
use whodid::testing::random::Random;
use whodid::{ErrorKind, Result};

use crate::copies::{Place, check_copies, workload_with_copies};
use crate::histories::number;
use crate::store_check::{Step, Told, check, drive, go_on, open};

/// Crashes of one workload.
const CRASHES_EACH: u64 = 10;

/// How often a store was cut off and opened again, in runs and in recoveries.
static CUTS: AtomicU64 = AtomicU64::new(0);

/// Puts a disk behind what a store sees of it.
type Wrap = fn(SimDisk) -> Place;

fn honest(disk: SimDisk) -> Place {
    Place::of(&disk)
}

/// Operations of the whole workload without a crash.
fn operations(steps: &[Step], wrap: Wrap) -> u64 {
    let disk = SimDisk::new();
    drop(drive(&wrap(disk.clone()), steps, &mut Told::default()));
    disk.ops()
}

/// The disk that the next process finds, and whether all of it is durable: after a power cut, or now and then after a kill, which
/// leaves what is not durable yet.
fn next(disk: &SimDisk, random: &mut Random) -> (SimDisk, bool) {
    CUTS.fetch_add(1, Ordering::SeqCst);
    if random.chance(15) { (disk.copy(), false) } else { (disk.crashed(random.bits()), true) }
}

/// Runs a workload over a power cut after `n` operations, and in a third of the cases over others; what is wrong then.
fn crash(steps: &[Step], n: u64, operations: u64, seed: u64, wrap: Wrap) -> std::result::Result<(), String> {
    let mut random = Random::new(seed);
    let mut told = Told::default();
    let mut disk = SimDisk::new();
    disk.power_off_after(n);
    let mut cuts = if random.chance(33) { 3 } else { 1 };
    loop {
        // Now and then the disk is full for a moment, before the power goes or while it is on.
        if random.chance(25) {
            disk.fail_at(random.below(operations / 2 + 1), Fault::Full);
        }
        let place = wrap(disk.clone());
        let (mut engine, mut done) = drive(&place, steps, &mut told);
        while let Err(stopped) = &done
            && stopped.error.kind() == ErrorKind::Full
        {
            (engine, done) = match engine {
                Some(engine) => go_on(engine, &place, steps, &mut told),
                None => drive(&place, steps, &mut told),
            };
        }
        drop(engine);
        let in_flight = match done {
            Ok(()) if cuts == 0 => {
                let copies = check_copies(&disk, &mut told, false);
                let store = copies.and_then(|()| check(&wrap(disk.copy()).store, &mut told, &[]));
                return store.map_err(|e| format!("at the end: {e}"));
            }
            Ok(()) => Vec::new(),
            Err(stopped) if disk.is_off() => stopped.in_flight,
            Err(stopped) => {
                return Err(format!("step {} ({:?}): {}", told.at, steps.get(told.at), stopped.error));
            }
        };
        let mut durable;
        (disk, durable) = next(&disk, &mut random);
        while random.chance(33) {
            disk.power_off_after(random.below(16));
            drop(open(&wrap(disk.clone()).store));
            let is_durable;
            (disk, is_durable) = next(&disk, &mut random);
            durable |= is_durable;
        }
        check_copies(&disk, &mut told, durable)
            .and_then(|()| check(&wrap(disk.clone()).store, &mut told, &in_flight))
            .map_err(|e| format!("after a crash: {e}"))?;
        disk = disk.copy();
        cuts -= 1;
        if cuts > 0 {
            // Often soon, so that what was found after the last cut is cut again.
            let most = if random.chance(50) { 24 } else { operations };
            disk.power_off_after(random.below(most));
        }
    }
}

/// Violations among `count` crashes from number `first` on, in order, at most `limit`.
fn violations(first: u64, count: u64, limit: usize, wrap: Wrap) -> Vec<String> {
    let mut out = Vec::new();
    let mut prepared: Option<(u64, Vec<Step>, u64)> = None;
    for number in first..first + count {
        let which = number / CRASHES_EACH;
        if prepared.as_ref().is_none_or(|(w, _, _)| *w != which) {
            let steps = workload_with_copies(which);
            let operations = operations(&steps, wrap);
            prepared = Some((which, steps, operations));
        }
        let Some((_, steps, operations)) = &prepared else { continue };
        let mut random = Random::new(number);
        let (n, seed) = (random.below(operations + 2), random.bits());
        if let Err(what) = crash(steps, n, *operations, seed, wrap) {
            out.push(format!(
                "crash {number}: workload {which}, power off after {n} of {operations}, seed {seed}: {what}"
            ));
            if out.len() >= limit {
                break;
            }
        }
    }
    out
}

#[test]
fn no_power_cut_loses_or_invents_anything() {
    let (count, first) = (number("WHODID_CRASHES", 300), number("WHODID_SEED", 1));
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let from = next.fetch_add(CRASHES_EACH, Ordering::SeqCst);
                    if from >= count {
                        break;
                    }
                    let found =
                        violations(first * CRASHES_EACH + from, CRASHES_EACH.min(count - from), 1, honest);
                    assert!(found.is_empty(), "{}", found.join("\n"));
                }
            });
        }
    });
    println!("{count} workloads cut off {} times", CUTS.load(Ordering::SeqCst));
}

/// What a lying disk does not do.
#[derive(Clone, Copy)]
enum Lie {
    /// Syncs of the directory.
    Directory,
    /// The sync of the directory before a manifest is renamed.
    DirectoryBeforeManifest,
    /// Syncs of the files whose names begin so.
    Files(&'static str),
    /// It forgets old logs as soon as a manifest is begun.
    OldLogs,
}

/// A simulated disk that says it did what it did not: each lie is a mistake that the store could make.
struct LyingDisk {
    disk: SimDisk,
    lie: Lie,
}

struct LyingFile(Box<dyn WriteFile>);

impl WriteFile for LyingFile {
    fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes)
    }
    fn sync(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Vfs for LyingDisk {
    fn create(&self, name: &str) -> Result<Box<dyn WriteFile>> {
        if matches!(self.lie, Lie::OldLogs) && name.starts_with("MANIFEST") {
            let mut logs = self.disk.list()?;
            logs.retain(|f| f.starts_with("wal-"));
            logs.pop();
            for log in logs {
                self.disk.remove(&log)?;
            }
        }
        let file = self.disk.create(name)?;
        Ok(if matches!(self.lie, Lie::Files(prefix) if name.starts_with(prefix)) {
            Box::new(LyingFile(file))
        } else {
            file
        })
    }
    fn open(&self, name: &str) -> Result<Bytes> {
        self.disk.open(name)
    }
    fn read_through(&self, name: &str) -> Result<()> {
        self.disk.read_through(name)
    }
    fn list(&self) -> Result<Vec<String>> {
        self.disk.list()
    }
    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> Result<()> {
        self.disk.remove(name)
    }
    fn sync_dir(&self) -> Result<()> {
        match self.lie {
            Lie::Directory => Ok(()),
            Lie::DirectoryBeforeManifest if self.disk.list()?.iter().any(|f| f == "MANIFEST.new") => Ok(()),
            _ => self.disk.sync_dir(),
        }
    }
    fn lock(&self) -> Result<Box<dyn Send + Sync>> {
        self.disk.lock()
    }
    fn free_bytes(&self) -> Result<u64> {
        self.disk.free_bytes()
    }
    fn describe(&self) -> String {
        self.disk.describe()
    }
}

/// Directories of backups that lie.
struct LyingFolders {
    folders: SimFolders,
    /// In each of them.
    lie: Option<Lie>,
    /// Whether their names are synced.
    names: bool,
}

impl Folders for LyingFolders {
    fn list(&self) -> Result<Vec<String>> {
        self.folders.list()
    }
    fn make(&self, name: &str) -> Result<Arc<dyn Vfs>> {
        let disk = self.folders.make_disk(name)?;
        Ok(if let Some(lie) = self.lie { Arc::new(LyingDisk { disk, lie }) } else { Arc::new(disk) })
    }
    fn open(&self, name: &str) -> Result<Arc<dyn Vfs>> {
        self.folders.open(name)
    }
    fn link(&self, file: &str, from: &str, to: &str) -> Result<bool> {
        self.folders.link(file, from, to)
    }
    fn remove(&self, name: &str) -> Result<()> {
        self.folders.remove(name)
    }
    fn sync(&self) -> Result<()> {
        if self.names { self.folders.sync() } else { Ok(()) }
    }
    fn describe(&self) -> String {
        self.folders.describe()
    }
}

fn lying(disk: SimDisk, lie: Lie) -> Place {
    Place { store: Arc::new(LyingDisk { disk: disk.clone(), lie }), ..Place::of(&disk) }
}

fn lying_copies(disk: SimDisk, lie: Option<Lie>) -> Place {
    let lying = |name| Arc::new(LyingFolders { folders: disk.folders(name), lie, names: lie.is_some() });
    Place { backups: lying("backups"), restored: lying("restored"), ..Place::of(&disk) }
}

/// The first violation of a disk that lies, which must come soon.
fn caught(what: &str, wrap: Wrap) {
    let found = violations(0, 3000, 1, wrap);
    assert!(!found.is_empty(), "not caught: {what}");
    if std::env::var_os("WHODID_VERBOSE").is_some() {
        println!("{what}: {}", found.join("\n").lines().take(2).collect::<Vec<_>>().join(" "));
    }
}

#[test]
fn mistakes_of_the_store_would_be_seen() {
    caught("no sync of the directory", |d| lying(d, Lie::Directory));
    caught("no sync of the directory before the manifest", |d| lying(d, Lie::DirectoryBeforeManifest));
    caught("log not synced before the answer", |d| lying(d, Lie::Files("wal-")));
    caught("segment not synced", |d| lying(d, Lie::Files("seg-")));
    caught("identities not synced", |d| lying(d, Lie::Files("ids-")));
    caught("checkpoint not synced", |d| lying(d, Lie::Files("state-")));
    caught("manifest not synced", |d| lying(d, Lie::Files("MANIFEST")));
    caught("old logs removed before the manifest", |d| lying(d, Lie::OldLogs));
    caught("log not synced in copies", |d| lying_copies(d, Some(Lie::Files("wal-"))));
    caught("segment not synced in copies", |d| lying_copies(d, Some(Lie::Files("seg-"))));
    caught("manifest not synced in copies", |d| lying_copies(d, Some(Lie::Files("MANIFEST"))));
    caught("no sync of the directory of a copy", |d| lying_copies(d, Some(Lie::Directory)));
    caught("no sync of the names of copies", |d| lying_copies(d, None));
}
