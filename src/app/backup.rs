//! Backups: copies of a store, running or not, each a whole store of its own. Files that an earlier backup has are shared with it by
//! hard links, which is safe since they never change. A copy counts once it has its manifest, which comes last; one that is removed
//! loses it first.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::backups::{BACKUP, Backup, Content, erased, finished, lost, next_name, one, prune, remove};
use super::unfinished::{Unfinished, not_unfinished};
use super::{SOCKETS, StoredKeys, beside, erase, keys, projects};
use crate::disk::{Bytes, Folders, RealFolders, RealVfs, Vfs};
use crate::engine::{Engine, Erased, Options, read_only_on};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Millis, format_millis};
use crate::store::erasures::{ERASED, Erasures};
use crate::store::manifest::{FileRef, MANIFEST, MANIFEST_NEW, Manifest};
use crate::store::wal::parse_wal_name;

/// In a backup: the numbers of the projects that lived then.
const PROJECTS: &str = "projects.json";
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

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestoreReport {
    /// The backup it was made from.
    pub from: PathBuf,
    /// Records in it now.
    pub records: u64,
    /// Who was erased since the backup, and now again.
    pub erased: Erased,
    /// The same of the projects that came with it, by their numbers.
    #[serde(skip)]
    pub projects: Vec<(u32, RestoreReport)>,
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
    let previous = finished(target)?.into_iter().rfind(|b| b.is_of(store_id));
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
struct Frozen {
    manifest: Manifest,
    manifest_bytes: Bytes,
    /// Named by the manifest.
    files: Vec<(FileRef, Bytes)>,
    /// Logs, and what lies beside the data.
    others: Vec<(String, Bytes)>,
}

impl Frozen {
    fn take(source: &dyn Vfs) -> Result<Self> {
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

    fn open(source: &dyn Vfs, manifest: &Manifest) -> Result<Self> {
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
        Ok(Self { manifest: manifest.clone(), manifest_bytes, files, others })
    }
}

fn load(source: &dyn Vfs) -> Result<Manifest> {
    Manifest::load(source, &source.list()?)?.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "no_store", format!("there is no store in {}", source.describe()))
    })
}

fn put(to: &dyn Vfs, name: &str, bytes: &[u8]) -> Result<()> {
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
    for (name, bytes) in &found.others {
        put(copy, name, bytes)?;
        content.add(name, bytes);
        report.copied += 1;
        report.copied_bytes += bytes.len() as u64;
    }
    put(copy, BACKUP, &content.to_bytes()?)?;
    finish(copy, &found.manifest_bytes)
}

/// Puts the manifest in its place, durably: from now on it is a store.
fn finish(copy: &dyn Vfs, manifest: &[u8]) -> Result<()> {
    put(copy, MANIFEST_NEW, manifest)?;
    copy.sync_dir()?;
    copy.rename(MANIFEST_NEW, MANIFEST)?;
    copy.sync_dir()
}

/// An error if anything is damaged: the first of it.
fn sound(damaged: Vec<Error>) -> Result<()> {
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

/// A backup that is to be restored.
struct Part {
    /// Its path, and where it lies.
    from: PathBuf,
    beside: RealFolders,
    backup: Backup,
    /// Where the new store will be.
    dir: PathBuf,
}

impl Part {
    /// The backup `from`, or the newest of those in it.
    fn new(from: &Path, dir: PathBuf) -> Result<Self> {
        if is_store(from)? {
            let (beside, name) = RealFolders::around(from)?;
            let backup = chosen(&beside, Some(&name))?;
            return Ok(Self { from: from.to_owned(), beside, backup, dir });
        }
        let beside = RealFolders::new(from);
        let backup = chosen(&beside, None)?;
        Ok(Self { from: from.join(&backup.name), beside, backup, dir })
    }

    /// That of a server's first project, and those of the others that lived when it was made. One from before that was written down
    /// comes with all that there are.
    fn all(from: &Path, dir: &Path) -> Result<(Self, Vec<(u32, Self)>)> {
        let first = Self::new(from, dir.to_owned())?;
        let read = |vfs| keys::read(vfs, PROJECTS, "take another backup");
        let lived = if is_store(from)? { None } else { read(first.backup.vfs.as_ref())? };
        let numbers: Vec<u32> = lived.map_or_else(|| projects::numbers(from), Ok)?;
        let others = numbers.into_iter().filter(|number| *number != projects::FIRST).map(|number| {
            let part = Self::new(&projects::dir(from, number), projects::dir(dir, number));
            let part = part.map_err(|error| match error.kind() {
                ErrorKind::NotFound => error.hint(format!(
                    "project {number} lived when the backup was made; to restore without it, name the backup of each project itself"
                )),
                _ => error,
            });
            Ok((number, part?))
        });
        let others = others.collect::<Result<Vec<_>>>()?;
        Ok((first, others))
    }

    fn restore(&self, lists: &[(Erasures, String)], options: Options) -> Result<RestoreReport> {
        let own = lists.iter().filter(|(list, _)| self.backup.is_of(list.store_id)).cloned().collect();
        let dir: &dyn Fn() -> Result<Arc<dyn Vfs>> = &|| Ok(Arc::new(RealVfs::new(&self.dir)?));
        let made = restore_on(&self.beside, Some(&self.backup.name), own, dir, options);
        let made = made.map_err(|error| within(&self.from, error))?;
        Ok(RestoreReport { from: self.from.clone(), ..made })
    }
}

/// An error about a file of the store in `dir`, by its whole path: other stores have files of the same names.
fn within(dir: &Path, error: Error) -> Error {
    let dir = dir.display().to_string();
    match error.kind() {
        ErrorKind::Corrupt | ErrorKind::Unsupported if !error.message().contains(&dir) => {
            error.in_directory(&dir)
        }
        _ => error,
    }
}

fn is_store(dir: &Path) -> Result<bool> {
    Ok(RealVfs::existing(dir)?.list()?.iter().any(|name| name == MANIFEST))
}

/// Makes a new store in `dir` of a backup, or of the newest one in a directory of backups, with the newest of each further project, and
/// erases everybody again who was erased since: by the lists of all backups beside it, and those in `lists` (a list, or a store or a
/// backup with those of its projects), of which each project is given its own. All of them are restored or none.
pub fn restore(from: &Path, dir: &Path, lists: &[PathBuf], options: Options) -> Result<RestoreReport> {
    let (first, others) = Part::all(from, dir)?;
    let parts = || std::iter::once(&first).chain(others.iter().map(|(_, part)| part));
    let mut given = Vec::new();
    for path in lists {
        let (found, name) = (lists_in(path)?, path.display().to_string());
        if !found.iter().any(|list| parts().any(|part| part.backup.is_of(list.store_id))) {
            return Err(Error::invalid("foreign_list", format!("{name} is the list of another store")));
        }
        given.extend(found.into_iter().map(|list| (list, name.clone())));
    }
    if dir.is_dir() {
        not_unfinished(dir)?;
        // A new disk has a directory of its own.
        let of_nobody = ["LOCK", "lost+found"];
        if RealVfs::existing(dir)?.list()?.iter().any(|name| !of_nobody.contains(&name.as_str())) {
            let message = format!("{} is not empty", dir.display());
            return Err(Error::new(ErrorKind::Conflict, "not_empty", message).hint("name a new directory"));
        }
    }
    let new = parts().map(|part| part.dir.clone()).chain([dir.join(projects::DIR)]);
    let new: Vec<PathBuf> = new.filter(|dir| !dir.is_dir()).collect();
    let mut done = Vec::new();
    let mut restore = |part: &Part| {
        let report = part.restore(&given, options.clone())?;
        done.push(part.dir.clone());
        Ok(report)
    };
    // The first comes last: without it the others are no server.
    let projects =
        others.iter().map(|(number, part)| Ok((*number, restore(part)?))).collect::<Result<Vec<_>>>();
    let made = projects.and_then(|projects| Ok(RestoreReport { projects, ..restore(&first)? }));
    if made.is_err()
        && let Err(error) = undo(&done, &new)
    {
        log::error!("what was restored in part is still there: {error}");
    }
    made
}

/// Empties the directories in which a store was made, and removes those that were not there before.
fn undo(done: &[PathBuf], new: &[PathBuf]) -> Result<()> {
    for dir in done {
        let vfs = RealVfs::existing(dir)?;
        // Without its manifest it is no store.
        let (first, rest): (Vec<_>, Vec<_>) = vfs.list()?.into_iter().partition(|name| name == MANIFEST);
        first.iter().chain(&rest).try_for_each(|name| vfs.remove(name))?;
    }
    for dir in new.iter().filter(|dir| dir.is_dir()) {
        let (folders, name) = RealFolders::around(dir)?;
        folders.remove(&name)?;
    }
    Ok(())
}

/// The same on any disk: of the backup of this name, or of the newest, into what `dir` opens; `lists` have names for messages.
pub fn restore_on(
    beside: &dyn Folders,
    one: Option<&str>,
    lists: Vec<(Erasures, String)>,
    dir: &dyn Fn() -> Result<Arc<dyn Vfs>>,
    options: Options,
) -> Result<RestoreReport> {
    let from = chosen(beside, one)?;
    sound(beside::unreadable(from.vfs.as_ref()))?;
    sound(lost(from.vfs.as_ref())?)?;
    let found = Frozen::take(from.vfs.as_ref())?;
    let store_id = found.manifest.store_id;
    let mut erased = erased(beside, store_id)?;
    for (list, name) in lists {
        if list.store_id != store_id {
            return Err(Error::invalid("foreign_list", format!("{name} is the list of another store")));
        }
        erased.add(list.entries);
    }
    let copy = dir()?;
    let restored = restore_into(&found, &copy, &erased, options);
    if restored.is_err() {
        // Nothing of it is of use, and it would have people in it who were erased.
        Unfinished::take_back(copy.as_ref())?;
    }
    let (records, erased) = restored?;
    Ok(RestoreReport { from: PathBuf::from(&from.name), records, erased, projects: Vec::new() })
}

/// The backup of a name, or the newest. If that cannot be read it is an error all the same: in an older one would be people who were erased
/// since, so somebody must choose it.
fn chosen(beside: &dyn Folders, name: Option<&str>) -> Result<Backup> {
    let found = match name {
        Some(name) => one(beside, name)?,
        None => finished(beside)?.pop(),
    };
    let Some(found) = found else {
        let message = format!("there is no backup in {}", beside.describe());
        return Err(Error::new(ErrorKind::NotFound, "no_backup", message)
            .hint("name the directory that `whodid backup` was given, or one of those in it"));
    };
    match &found.manifest {
        Ok(_) => Ok(found),
        Err(error) => {
            let dir = found.vfs.describe();
            let hint = match name {
                None => format!(
                    "to take an older backup instead, name it: whodid restore {}/TIME",
                    beside.describe()
                ),
                Some(_) => "name another backup".to_owned(),
            };
            Err(error.again().in_directory(&dir).hint(hint))
        }
    }
}

/// The copy has a manifest only when everybody is erased from it who is to be: before that, no power cut leaves a store in `copy`.
fn restore_into(
    found: &Frozen,
    copy: &Arc<dyn Vfs>,
    lists: &Erasures,
    options: Options,
) -> Result<(u64, Erased)> {
    let hidden = Arc::new(Unfinished::begin(Arc::clone(copy))?);
    let names = found.files.iter().map(|(file, bytes)| (&file.name, bytes));
    for (name, bytes) in names.chain(found.others.iter().map(|(name, bytes)| (name, bytes))) {
        put(hidden.as_ref(), name, bytes)?;
    }
    finish(hidden.as_ref(), &found.manifest_bytes)?;
    let engine = Engine::open_on(Arc::clone(&hidden) as Arc<dyn Vfs>, options)?;
    if let Some(damage) = engine.check().into_iter().next() {
        return Err(damage);
    }
    let listed = engine.listed(lists)?;
    erase::redact_on(hidden.as_ref(), &listed)?;
    let erased = engine.erase_only(&listed)?;
    let records = engine.snapshot().rows();
    engine.close()?;
    hidden.show()?;
    Ok((records, erased))
}

/// The lists of who was erased at a path: a list, or those in a store or a backup and in its projects.
fn lists_in(path: &Path) -> Result<Vec<Erasures>> {
    let parse = |dir: &Path, name: &str| Erasures::parse(name, &RealVfs::existing(dir)?.open(name)?);
    if !path.is_dir() {
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        return Ok(vec![parse(parent, path.file_name().and_then(|n| n.to_str()).unwrap_or(ERASED))?]);
    }
    let mut found = Vec::new();
    let others = projects::numbers(path)?.into_iter().map(|number| projects::dir(path, number));
    for dir in std::iter::once(path.to_owned()).chain(others) {
        let vfs = RealVfs::existing(&dir)?;
        let files = vfs.list()?;
        let there = |name: &str| files.iter().any(|file| file == name);
        if there(ERASED) {
            found.push(parse(&dir, ERASED).map_err(|error| within(&dir, error))?);
        } else if there(MANIFEST) {
            // Without a list nobody was erased, or it is lost, which the store knows.
            let known = read_only_on(&vfs).map_err(|error| within(&dir, error));
            known.map_err(|error| error.hint("give the lists that there are themselves, as files"))?;
        }
    }
    if found.is_empty() { Ok(vec![parse(path, ERASED)?]) } else { Ok(found) }
}
