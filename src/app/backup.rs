//! Backups: copies of a store, running or not, each a whole store of its own. Files that an earlier backup has are shared with it by
//! hard links, which is safe since they never change. A copy counts once it has its manifest, which comes last; one that is removed
//! loses it first.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::backups::{BACKUP, Backup, Content, lost, next_name, previous, prune, remove};
use super::{SOCKETS, StoredKeys, beside, projects};
use crate::disk::{Bytes, Folders, RealFolders, RealVfs, Vfs};
use crate::engine::read_only_on;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Millis, format_millis};
use crate::store::erasures::ERASED;
use crate::store::manifest::{FileRef, MANIFEST, MANIFEST_NEW, Manifest};
use crate::store::wal::parse_wal_name;

/// In a backup: the numbers of the projects that lived then.
pub(super) const PROJECTS: &str = "projects.json";
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
    /// Older backups, and unfinished ones, that were removed.
    pub removed: usize,
    /// When.
    pub at: String,
}

/// Copies the store in `data` into a new directory in `target`, reads every byte of the copy, and says what is in it. The store may be
/// running, and is not touched. An error leaves no backup. Then, of the backups of this store only the latest `keep` are left, if that
/// is said, this one among them.
pub fn backup(data: &Path, target: &Path, keep: Option<usize>, now: Millis) -> Result<BackupReport> {
    let (source, folders) = (RealVfs::existing(data)?, RealFolders::new(target));
    if folders.lie_in(&data.join(SOCKETS)) {
        let message = format!("{} is where the server has its sockets: it is emptied", target.display());
        return Err(
            Error::invalid("bad_directory", message).hint("name another directory, on another disk at best")
        );
    }
    // The store itself may lie among its backups, or be one.
    let itself = folders.name_of(data)?;
    let lived = serde_json::to_vec(&projects::all(data)?).map_err(|e| Error::corrupt(PROJECTS, 0, e))?;
    let lived = Some(Bytes::from_vec(lived));
    let made = backup_beside(&source, &folders, itself.as_deref(), lived, keep, now)?;
    Ok(BackupReport { path: target.join(&made.path), ..made })
}

/// The same on any disk; the path of the report is the name of the directory.
pub fn backup_on(
    source: &dyn Vfs,
    target: &dyn Folders,
    keep: Option<usize>,
    now: Millis,
) -> Result<BackupReport> {
    backup_beside(source, target, None, None, keep, now)
}

/// The same of a source that is the directory called `itself` in `target`, with a list of the projects that live in it.
fn backup_beside(
    source: &dyn Vfs,
    target: &dyn Folders,
    itself: Option<&str>,
    lived: Option<Bytes>,
    keep: Option<usize>,
    now: Millis,
) -> Result<BackupReport> {
    sound(beside::unreadable(source))?;
    let mut found = Frozen::take(source)?;
    found.others.extend(lived.map(|lived| (PROJECTS.to_owned(), lived)));
    let store_id = found.manifest.store_id;
    let previous = previous(target, store_id)?;
    let name = next_name(target, now)?;
    let mut made = match make(&found, target, &name, previous.as_ref(), now) {
        // What the last backup has may be damaged, so nothing of it is shared this time.
        Err(error) if error.kind() == ErrorKind::Corrupt && previous.is_some() => {
            log::warn!("the last backup is damaged, copying all anew: {error}");
            make(&found, target, &name, None, now)
        }
        made => made,
    }?;
    if let Some(keep) = keep {
        made.removed = prune(target, &name, itself, store_id, keep)?;
    }
    Ok(made)
}

/// Copies the store in `data`, and that of each further project into a directory of its own below; `done` is told of each.
pub fn backup_all(
    data: &Path,
    target: &Path,
    keep: Option<usize>,
    now: Millis,
    mut done: impl FnMut(BackupReport) -> Result<()>,
) -> Result<()> {
    done(backup(data, target, keep, now)?)?;
    for project in projects::others(data)? {
        let dir = projects::dir(data, project);
        let made = RealVfs::existing(&dir)
            .and_then(|vfs| StoredKeys::of_project(&vfs))
            .and_then(|_| backup(&dir, &projects::dir(target, project), keep, now));
        match made {
            Ok(report) => done(report)?,
            // It was deleted meanwhile.
            Err(_) if !dir.is_dir() => {}
            Err(error) => return Err(projects::named(project, error)),
        }
    }
    Ok(())
}

fn make(
    found: &Frozen,
    target: &dyn Folders,
    name: &str,
    previous: Option<&Backup>,
    now: Millis,
) -> Result<BackupReport> {
    let copy = target.make(name)?;
    // Held until it is finished: whoever removes unfinished ones leaves this one alone.
    let lock = copy.lock()?;
    let (path, at) = (PathBuf::from(name), format_millis(now));
    let mut report = BackupReport { path, copied: 0, copied_bytes: 0, shared: 0, records: 0, removed: 0, at };
    let previous = previous.map(|previous| (target, previous, name));
    let done = fill(found, copy.as_ref(), previous, &mut report)
        .and_then(|()| target.sync())
        .and_then(|()| verify(copy.as_ref()));
    drop(lock);
    match done {
        Ok(records) => Ok(BackupReport { records, ..report }),
        Err(error) => {
            if let Err(error) = remove(target, name) {
                log::warn!("cannot remove the unfinished backup {name} in {}: {error}", target.describe());
            }
            Err(error)
        }
    }
}

/// The files of a store as they are at one moment: they stay readable when the store removes them.
pub(super) struct Frozen<'a> {
    source: &'a dyn Vfs,
    pub(super) manifest: Manifest,
    pub(super) manifest_bytes: Bytes,
    /// Named by the manifest.
    pub(super) files: Vec<(FileRef, Bytes)>,
    /// Logs, and what lies beside the data.
    pub(super) others: Vec<(String, Bytes)>,
}

impl<'a> Frozen<'a> {
    pub(super) fn take(source: &'a dyn Vfs) -> Result<Self> {
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

    fn open(source: &'a dyn Vfs, manifest: &Manifest) -> Result<Self> {
        let manifest_bytes = source.open(MANIFEST)?;
        let open = |file: &FileRef| Ok((file.clone(), source.open(&file.name)?));
        let files = manifest.files().map(open).collect::<Result<Vec<_>>>()?;
        let mut others = Vec::new();
        for name in source.list()? {
            let log = parse_wal_name(&name).is_some_and(|n| n >= manifest.first_log);
            // The list of projects is of another moment, if this was a backup once.
            if log || name == ERASED || (name.ends_with(".json") && name != PROJECTS) {
                let bytes = source.open(&name)?;
                others.push((name, bytes));
            }
        }
        Ok(Self { source, manifest: manifest.clone(), manifest_bytes, files, others })
    }

    /// Logs, and what lies beside the data, with the list of the erased as it is now. Whoever was erased since is in these files: the list
    /// says so to whoever restores them.
    fn others_now(&self) -> Result<Vec<(&str, Bytes)>> {
        let others = self.others.iter().filter(|(name, _)| name != ERASED);
        let mut others: Vec<_> = others.map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
        if self.source.list()?.iter().any(|name| name == ERASED) {
            others.push((ERASED, self.source.open(ERASED)?));
        }
        Ok(others)
    }
}

fn load(source: &dyn Vfs) -> Result<Manifest> {
    Manifest::load(source, &source.list()?)?.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "no_store", format!("there is no store in {}", source.describe()))
    })
}

pub(super) fn put(to: &dyn Vfs, name: &str, bytes: &[u8]) -> Result<()> {
    let mut file = to.create(name)?;
    file.write_all(bytes)?;
    file.sync()
}

/// Puts all files into `copy`, of which those that the previous backup has are shared: it lies in these folders, and the new one has
/// this name there.
fn fill(
    found: &Frozen,
    copy: &dyn Vfs,
    previous: Option<(&dyn Folders, &Backup, &str)>,
    report: &mut BackupReport,
) -> Result<()> {
    for (file, bytes) in &found.files {
        let names = |manifest: &Manifest| manifest.files().any(|f| f == file);
        let before = previous.filter(|(_, before, _)| before.manifest.as_ref().is_ok_and(names));
        if let Some((target, before, name)) = before
            && target.link(&file.name, &before.name, name)?
        {
            report.shared += 1;
            continue;
        }
        put(copy, &file.name, bytes)?;
        report.copied += 1;
        report.copied_bytes += bytes.len() as u64;
    }
    let mut content = Content::default();
    content.add(MANIFEST, &found.manifest_bytes);
    // The last that is read: copying the files has taken a while.
    for (name, bytes) in found.others_now()? {
        put(copy, name, &bytes)?;
        content.add(name, &bytes);
        report.copied += 1;
        report.copied_bytes += bytes.len() as u64;
    }
    put(copy, BACKUP, &content.to_bytes()?)?;
    finish(copy, &found.manifest_bytes)
}

/// Puts the manifest in its place, durably: from now on it is a store.
pub(super) fn finish(copy: &dyn Vfs, manifest: &[u8]) -> Result<()> {
    put(copy, MANIFEST_NEW, manifest)?;
    copy.sync_dir()?;
    copy.rename(MANIFEST_NEW, MANIFEST)?;
    copy.sync_dir()
}

/// An error if anything is damaged: the first of it.
pub(super) fn sound(damaged: Vec<Error>) -> Result<()> {
    damaged.into_iter().next().map_or(Ok(()), Err)
}

/// Reads every byte of a backup; the records in it.
fn verify(store: &dyn Vfs) -> Result<u64> {
    sound(lost(store)?)?;
    let snapshot = read_only_on(store)?;
    if let Some(damaged) = snapshot.damaged.first() {
        return Err(Error::new(ErrorKind::Corrupt, "corrupt", damaged.message.clone())
            .hint("run `whodid check` on the store"));
    }
    let damaged = snapshot.segments.iter().flat_map(|s| s.check()).chain(snapshot.identities.check()).next();
    damaged.map_or(Ok(snapshot.rows()), Err)
}
