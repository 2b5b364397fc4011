//! Backups and restores in the workloads of crashes: after a power cut the backups that were reported are there and right, and whatever
//! else looks like a backup or a restored store is right as well.

use std::sync::Arc;

use whodid::app::{backup_on, restore_on};
use whodid::disk::{Folders, Vfs};
use whodid::engine::{Engine, read_only_on};
use whodid::testing::disk::SimDisk;
use whodid::testing::random::{NOW, Random, START};
use whodid::{Error, ErrorKind};

use crate::store_check::{Op, Step, Told, open, options, oracle, readings, workload, wrong};

/// Backups that are kept.
const KEPT: usize = 2;

/// A disk as a store, its backups and the stores that are restored from them see it.
pub struct Place {
    pub store: Arc<dyn Vfs>,
    pub backups: Arc<dyn Folders>,
    pub restored: Arc<dyn Folders>,
}

impl Place {
    pub fn of(disk: &SimDisk) -> Self {
        let (backups, restored) = (disk.folders("backups"), disk.folders("restored"));
        Self { store: Arc::new(disk.clone()), backups: Arc::new(backups), restored: Arc::new(restored) }
    }
}

/// A directory, and how much of what was acknowledged it holds.
#[derive(Clone, Debug)]
struct Copy {
    name: String,
    ops: usize,
    /// Reported, or found after a power cut: it must stay. What a process that was killed has left is not durable yet.
    certain: bool,
}

/// The copies that were reported.
#[derive(Clone, Debug, Default)]
pub struct Copies {
    backups: Vec<Copy>,
    /// With how much was acknowledged when it was restored: erasures until then hold for it as well.
    restored: Vec<(Copy, usize)>,
}

/// A workload with three backups, two restores and two expiries in it.
pub fn workload_with_copies(seed: u64) -> Vec<Step> {
    let mut steps = workload(seed);
    let mut random = Random::new(seed);
    let mut put = |step: Step, from: usize| {
        let at = from + random.below((steps.len() - from + 1) as u64) as usize;
        steps.insert(at, step);
        at
    };
    let first = put(Step::Backup, 0);
    put(Step::Backup, first + 1);
    put(Step::Backup, first + 1);
    put(Step::Restore, first + 1);
    put(Step::Restore, first + 1);
    for quarters in [10, 20] {
        put(Step::Expire(START + quarters * 15 * 60_000), 0);
    }
    steps
}

pub fn backup(place: &Place, told: &mut Told) -> Result<(), Error> {
    let now = NOW + told.at as i64 * 1000;
    let report = backup_on(place.store.as_ref(), place.backups.as_ref(), Some(KEPT), now)?;
    let name = report.path.to_str().unwrap().to_owned();
    told.copies.backups.push(Copy { name, ops: told.acknowledged.len(), certain: true });
    Ok(())
}

pub fn restore(place: &Place, engine: &Engine, told: &mut Told) -> Result<(), Error> {
    let taken = place.restored.list()?;
    let name = (0..).map(|n| format!("r{n}")).find(|name| !taken.contains(name)).unwrap();
    let dir = || {
        let dir = place.restored.make(&name)?;
        place.restored.sync()?;
        Ok(dir)
    };
    let lists = vec![(engine.erasures()?, "the store".to_owned())];
    match restore_on(place.backups.as_ref(), None, lists, &dir, options(12)) {
        // Before the first backup, which a random place may be.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(report) => {
            let from = told.copies.backups.iter().find(|b| report.from.to_str() == Some(&b.name)).unwrap();
            let copy = Copy { name, ops: from.ops, certain: true };
            told.copies.restored.push((copy, told.acknowledged.len()));
            Ok(())
        }
    }
}

/// What is wrong with the copies on a disk. What was being made when the power went is right, or nothing that could be taken for a
/// store; from now on it counts as reported, if all of the disk is `durable`.
pub fn check_copies(disk: &SimDisk, told: &mut Told, durable: bool) -> Result<(), String> {
    let now = told.acknowledged.len();
    told.copies.forget_what_is_gone(disk);
    let newest = told.copies.backups.iter().rfind(|b| b.certain).map(|b| b.name.clone());
    let at = |folders: &str, name: &str| disk.copy().folders(folders).disk(name);
    let there = disk.folders("backups").list().unwrap();
    let sound: Vec<&String> = there.iter().filter(|n| read_only_on(&at("backups", n)).is_ok()).collect();
    // One that is newer still may have been made, and older ones be half removed, before the report could be given.
    let replaced = |name: &String| sound.iter().any(|other| *other > name);
    for name in there.iter().cloned() {
        let copy = at("backups", &name);
        let known = told.copies.backups.iter().find(|b| b.name == name).cloned();
        match (read_only_on(&copy), &known) {
            (Err(error), None) if is_plain(&error) => continue,
            (Err(error), Some(_))
                if is_plain(&error) && (newest.as_ref() != Some(&name) || replaced(&name)) =>
            {
                continue;
            }
            (Err(error), _) => return Err(format!("backup {name}: {error}")),
            (Ok(_), _) => {}
        }
        let copied = known.clone().unwrap_or(Copy { name: name.clone(), ops: now, certain: durable });
        compare(&copy, told, &copied, copied.ops).map_err(|e| format!("backup {name}: {e}"))?;
        match told.copies.backups.iter_mut().find(|b| b.name == name) {
            Some(known) => known.certain |= durable,
            None => told.copies.backups.push(copied),
        }
    }
    let there = disk.folders("backups").list().unwrap();
    // One that is newer still may have been made, and older ones removed, before the report could be given.
    let newer = |than: &String| told.copies.backups.iter().any(|b| b.name > *than && there.contains(&b.name));
    if let Some(newest) = newest.filter(|newest| !there.contains(newest) && !newer(newest)) {
        return Err(format!("the backup {newest} is gone"));
    }
    let there = disk.folders("restored").list().unwrap();
    if let Some((gone, _)) =
        told.copies.restored.iter().find(|(copy, _)| copy.certain && !there.contains(&copy.name))
    {
        return Err(format!("the restored {} is gone", gone.name));
    }
    for name in there {
        let copy = at("restored", &name);
        let known = told.copies.restored.iter().find(|(copy, _)| copy.name == name).cloned();
        match (read_only_on(&copy), &known) {
            (Err(error), None) if is_plain(&error) => continue,
            (Err(error), _) => return Err(format!("restored {name}: {error}")),
            (Ok(_), _) => {}
        }
        let of_newest = || told.copies.backups.last().map(|b| b.ops).unwrap_or_default();
        let (copied, until) = known
            .clone()
            .unwrap_or_else(|| (Copy { name: name.clone(), ops: of_newest(), certain: durable }, now));
        compare(&copy, told, &copied, until).map_err(|e| format!("restored {name}: {e}"))?;
        match told.copies.restored.iter_mut().find(|(copy, _)| copy.name == name) {
            Some((known, _)) => known.certain |= durable,
            None => told.copies.restored.push((copied, until)),
        }
    }
    Ok(())
}

impl Copies {
    /// What was never certain may be gone, or no store; another may be made under its name.
    fn forget_what_is_gone(&mut self, disk: &SimDisk) {
        let is_there = |folders: &str, name: &String| {
            let folders = disk.copy().folders(folders);
            let listed = folders.list().unwrap().contains(name);
            listed && !read_only_on(&folders.disk(name)).is_err_and(|error| is_plain(&error))
        };
        self.backups.retain(|copy| copy.certain || is_there("backups", &copy.name));
        self.restored.retain(|(copy, _)| copy.certain || is_there("restored", &copy.name));
    }
}

/// A refusal that nobody can take for a store with less in it.
fn is_plain(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt)
}

/// Compares a copy with what was acknowledged when it was made; whoever was erased until `until` must be gone from it.
fn compare(copy: &SimDisk, told: &Told, copied: &Copy, until: usize) -> Result<(), String> {
    let vfs: Arc<dyn Vfs> = Arc::new(copy.clone());
    let engine = open(&vfs).map_err(|e| format!("cannot open: {e}"))?;
    if let Some(damage) = engine.check().first() {
        return Err(format!("damage: {damage}"));
    }
    let found = readings(&engine).map_err(|e| format!("cannot read: {e}"))?;
    let (ops, since) = told.acknowledged.split_at(copied.ops);
    let mut expected = ops.to_vec();
    for (at, op) in since.iter().take(until - copied.ops).enumerate() {
        let Op::Erase(identity) = op else { continue };
        // Those leave who were one person then, and nobody else who is one with them in the copy.
        let then = oracle(told.acknowledged.iter().take(copied.ops + at)).person(identity);
        for member in then["identities"].as_array().into_iter().flatten() {
            let member = member.as_str().unwrap().to_owned();
            expected.extend([Op::Unmerge(member.clone()), Op::Erase(member)]);
        }
    }
    let differences = wrong(&found, &expected);
    if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
}

/// They may be a thousand, which is more files than a process may have open.
#[test]
fn old_backups_are_taken_one_by_one() {
    let disk = SimDisk::new();
    let place = Place::of(&disk);
    drop(open(&place.store).unwrap());
    let backup = |n: i64, keep| {
        let report = backup_on(place.store.as_ref(), place.backups.as_ref(), keep, NOW + n * 1000).unwrap();
        (report.removed, place.backups.list().unwrap())
    };
    let all = (0..12).map(|n| backup(n, None).1).collect::<Vec<_>>().pop().unwrap();
    assert_eq!(all.len(), 12);
    // Somebody serves one, which does not count.
    let served = place.backups.open(&all[3]).unwrap();
    let lock = served.lock().unwrap();
    let (removed, left) = backup(12, Some(8));
    assert_eq!((removed, left.len()), (4, 9));
    assert!(left.contains(&all[3]) && !left.contains(&all[4]) && left.contains(&all[5]), "{left:?}");
    assert!(disk.most_locked() <= 3, "{} at once", disk.most_locked());
    drop(lock);
    assert_eq!(backup(13, Some(8)).0, 2);
}
