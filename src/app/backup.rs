//! Backups: copies of a store, running or not, each a whole store of its own. Files that an earlier backup has are shared with it by
//! hard links, which is safe since they never change. A copy counts once it has its manifest, which comes last.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::projects;
use crate::disk::{Bytes, RealVfs, Vfs, directories};
use crate::engine::{Engine, Erased, Options, read_only};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Millis, format_millis};
use crate::store::erasures::{ERASED, Erasures};
use crate::store::manifest::{FileRef, MANIFEST, MANIFEST_NEW, Manifest};
use crate::store::wal::parse_wal_name;

/// How often the copying begins anew because the store has replaced its files meanwhile.
const TRIES: usize = 20;

/// What a backup is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackupReport {
    /// The directory of this backup.
    pub path: PathBuf,
    /// Files copied, and their bytes.
    pub copied: usize,
    /// See `copied`.
    pub copied_bytes: u64,
    /// Files shared with the backup before.
    pub shared: usize,
    /// Records in it.
    pub records: u64,
    /// When.
    pub at: String,
}

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestoreReport {
    /// The backup it was made from.
    pub from: PathBuf,
    /// Records in it now.
    pub records: u64,
    /// Who was erased since the backup, and now again.
    pub erased: Erased,
}

/// Copies the store in `data` into a new directory in `target`, reads every byte of the copy, and says what is in it. The store may be
/// running, and is not touched. An error leaves no backup.
pub fn backup(data: &Path, target: &Path, now: Millis) -> Result<BackupReport> {
    let source = RealVfs::existing(data)?;
    let found = Frozen::take(&source)?;
    let previous = newest(target, found.manifest.store_id)?;
    let path = free_name(target, now)?;
    match make(&found, &path, previous.as_ref(), now) {
        // What the last backup has may be damaged, so nothing of it is shared this time.
        Err(error) if error.kind() == ErrorKind::Corrupt && previous.is_some() => {
            log::warn!("the last backup is damaged, copying all anew: {error}");
            make(&found, &path, None, now)
        }
        made => made,
    }
}

/// Copies the store in `data`, and that of each further project into a directory of its own below; `done` is told of each.
pub fn backup_all(
    data: &Path,
    target: &Path,
    now: Millis,
    mut done: impl FnMut(BackupReport) -> Result<()>,
) -> Result<()> {
    done(backup(data, target, now)?)?;
    for project in projects::finished(data)? {
        let dir = projects::dir(data, project);
        match backup(&dir, &projects::dir(target, project), now) {
            Ok(report) => done(report)?,
            // It was deleted meanwhile.
            Err(_) if !dir.is_dir() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn make(
    found: &Frozen,
    path: &Path,
    previous: Option<&(RealVfs, Manifest)>,
    now: Millis,
) -> Result<BackupReport> {
    let copy = RealVfs::new(path)?;
    let (path, at) = (path.to_owned(), format_millis(now));
    let mut report = BackupReport { path, copied: 0, copied_bytes: 0, shared: 0, records: 0, at };
    match fill(found, &copy, previous, &mut report).and_then(|()| verify(&report.path)) {
        Ok(records) => Ok(BackupReport { records, ..report }),
        Err(error) => {
            if let Err(error) = copy.remove_all() {
                log::warn!("cannot remove the unfinished backup {}: {error}", report.path.display());
            }
            Err(error)
        }
    }
}

/// The files of a store as they are at one moment: they stay readable when the store removes them.
struct Frozen {
    manifest: Manifest,
    manifest_bytes: Bytes,
    /// Named by the manifest.
    files: Vec<(FileRef, Bytes)>,
    /// Logs, and what lies beside the data.
    others: Vec<(String, Bytes)>,
}

impl Frozen {
    fn take(source: &RealVfs) -> Result<Self> {
        for _ in 0..TRIES {
            let manifest = load(source)?;
            match Self::open(source, &manifest) {
                // Nothing was replaced in between, so these are files of one moment.
                Ok(frozen) if load(source)? == manifest => return Ok(frozen),
                Err(error) if load(source)? == manifest => return Err(error),
                _ => {}
            }
        }
        Err(Error::new(
            ErrorKind::Busy,
            "busy",
            "the store replaces its files faster than they can be opened",
        )
        .hint("try again"))
    }

    fn open(source: &RealVfs, manifest: &Manifest) -> Result<Self> {
        let manifest_bytes = source.open(MANIFEST)?;
        let open = |file: &FileRef| Ok((file.clone(), source.open(&file.name)?));
        let files = manifest.files().map(open).collect::<Result<Vec<_>>>()?;
        let mut others = Vec::new();
        for name in source.list()? {
            let log = parse_wal_name(&name).is_some_and(|n| n >= manifest.first_log);
            if log || name == ERASED || name.ends_with(".json") {
                let bytes = source.open(&name)?;
                others.push((name, bytes));
            }
        }
        Ok(Self { manifest: manifest.clone(), manifest_bytes, files, others })
    }
}

fn load(source: &RealVfs) -> Result<Manifest> {
    Manifest::load(source, &source.list()?)?.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "no_store", format!("there is no store in {}", source.describe()))
    })
}

fn put(to: &dyn Vfs, name: &str, bytes: &[u8]) -> Result<()> {
    let mut file = to.create(name)?;
    file.write_all(bytes)?;
    file.sync()
}

fn fill(
    found: &Frozen,
    copy: &RealVfs,
    previous: Option<&(RealVfs, Manifest)>,
    report: &mut BackupReport,
) -> Result<()> {
    for (file, bytes) in &found.files {
        let before = previous.filter(|(_, manifest)| manifest.files().any(|f| f == file));
        if let Some((before, _)) = before
            && before.link(&file.name, copy)?
        {
            report.shared += 1;
            continue;
        }
        put(copy, &file.name, bytes)?;
        report.copied += 1;
        report.copied_bytes += bytes.len() as u64;
    }
    for (name, bytes) in &found.others {
        put(copy, name, bytes)?;
        report.copied += 1;
        report.copied_bytes += bytes.len() as u64;
    }
    finish(copy, &found.manifest_bytes)
}

/// Puts the manifest in its place, durably: from now on it is a store.
fn finish(copy: &RealVfs, manifest: &[u8]) -> Result<()> {
    put(copy, MANIFEST_NEW, manifest)?;
    copy.sync_dir()?;
    copy.rename(MANIFEST_NEW, MANIFEST)?;
    copy.sync_dir()
}

/// Reads every byte of a store; the records in it.
fn verify(path: &Path) -> Result<u64> {
    let snapshot = read_only(path)?;
    if let Some(damaged) = snapshot.damaged.first() {
        return Err(Error::new(ErrorKind::Corrupt, "corrupt", damaged.message.clone())
            .hint("run `whodid check` on the store"));
    }
    let damaged = snapshot.segments.iter().flat_map(|s| s.check()).chain(snapshot.identities.check()).next();
    damaged.map_or(Ok(snapshot.rows()), Err)
}

/// The whole backups in `target`, oldest first, each with its manifest.
fn backups(target: &Path) -> Result<Vec<(PathBuf, RealVfs, Manifest)>> {
    let mut found = Vec::new();
    for name in directories(target)? {
        let path = target.join(name);
        let vfs = RealVfs::existing(&path)?;
        // One without a manifest was not finished; one that cannot be read is of no use here.
        if let Ok(Some(manifest)) = vfs.list().and_then(|files| Manifest::load(&vfs, &files)) {
            found.push((path, vfs, manifest));
        }
    }
    Ok(found)
}

fn newest(target: &Path, store_id: u64) -> Result<Option<(RealVfs, Manifest)>> {
    let ours = backups(target)?.into_iter().filter(|(_, _, manifest)| manifest.store_id == store_id);
    Ok(ours.map(|(_, vfs, manifest)| (vfs, manifest)).next_back())
}

/// A directory that is not there yet, named so that later ones sort behind.
fn free_name(target: &Path, now: Millis) -> Result<PathBuf> {
    let stamp: String = format_millis(now).chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let stamp = stamp.split(['.', 'Z']).next().unwrap_or("backup").to_owned() + "Z";
    let names = std::iter::once(stamp.clone()).chain((2..1000).map(|n| format!("{stamp}-{n:03}")));
    let free = names.map(|name| target.join(name)).find(|path| !path.exists());
    free.ok_or_else(|| Error::new(ErrorKind::Conflict, "exists", format!("{stamp} is there already")))
}

/// Makes a new store in `dir` of a backup, or of the newest one in a directory of backups, and erases everybody again who was erased
/// since: by the lists of all backups beside it, and those in `lists` (a list, a store or a backup).
pub fn restore(from: &Path, dir: &Path, lists: &[PathBuf], options: Options) -> Result<RestoreReport> {
    let from = the_backup(from)?;
    let source = RealVfs::existing(&from)?;
    let found = Frozen::take(&source)?;
    if dir.is_dir() && RealVfs::existing(dir)?.list()?.iter().any(|name| name != "LOCK") {
        let message = format!("{} is not empty", dir.display());
        return Err(Error::new(ErrorKind::Conflict, "not_empty", message).hint("name a new directory"));
    }
    let lists = lists_at_hand(&from, found.manifest.store_id, lists)?;
    let restored = restore_into(&found, RealVfs::new(dir)?, &lists, options);
    if restored.is_err() {
        // It would have people in it who were erased.
        RealVfs::existing(dir)?.remove_all()?;
    }
    let (records, erased) = restored?;
    Ok(RestoreReport { from, records, erased })
}

fn restore_into(found: &Frozen, copy: RealVfs, lists: &Erasures, options: Options) -> Result<(u64, Erased)> {
    let names = found.files.iter().map(|(file, bytes)| (&file.name, bytes));
    for (name, bytes) in names.chain(found.others.iter().map(|(name, bytes)| (name, bytes))) {
        put(&copy, name, bytes)?;
    }
    finish(&copy, &found.manifest_bytes)?;
    let engine = Engine::open_on(Arc::new(copy), options)?;
    if let Some(damage) = engine.check().into_iter().next() {
        return Err(damage);
    }
    let erased = engine.erase_listed(lists)?;
    let records = engine.snapshot().rows();
    engine.close()?;
    Ok((records, erased))
}

/// The backup that is meant: the directory itself, or the newest in it.
fn the_backup(from: &Path) -> Result<PathBuf> {
    if RealVfs::existing(from)?.list()?.iter().any(|name| name == MANIFEST) {
        return Ok(from.to_owned());
    }
    let newest = backups(from)?.into_iter().map(|(path, ..)| path).next_back();
    newest.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "no_backup", format!("there is no backup in {}", from.display()))
            .hint("name the directory that `whodid backup` was given, or one of those in it")
    })
}

/// All that is known of who was erased from a store.
fn lists_at_hand(from: &Path, store_id: u64, lists: &[PathBuf]) -> Result<Erasures> {
    let mut all = Erasures { store_id, entries: Vec::new() };
    let mut add = |list: Erasures, name: &Path| {
        if list.store_id != store_id {
            let message = format!("{} is the list of another store", name.display());
            return Err(Error::invalid("foreign_list", message));
        }
        all.add(list.entries);
        Ok(())
    };
    let beside = from.parent().map(backups).transpose()?.unwrap_or_default();
    for (path, vfs, manifest) in &beside {
        if manifest.store_id == store_id {
            add(Erasures::load(vfs, &vfs.list()?, store_id)?, path)?;
        }
    }
    for path in lists {
        let (folder, name) = if path.is_dir() {
            (path.as_path(), ERASED)
        } else {
            let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            (parent, path.file_name().and_then(|n| n.to_str()).unwrap_or(ERASED))
        };
        add(Erasures::parse(name, &RealVfs::existing(folder)?.open(name)?)?, path)?;
    }
    Ok(all)
}
