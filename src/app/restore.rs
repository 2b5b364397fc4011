//! Restores: a new store of a backup, from which everybody is erased again who was erased since. It has its manifest only after that.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::backup::{Frozen, PROJECTS, finish, put, sound};
use super::backups::{Backup, erased, finished, lost, one};
use super::unfinished::{Unfinished, not_unfinished};
use super::{Dashboard, StoredKeys, accounts, beside, erase, keys, projects};
use crate::disk::{Folders, LOCK, RealFolders, RealVfs, Vfs};
use crate::engine::{Engine, Erased, Options, read_only_on};
use crate::error::{Error, ErrorKind, Result};
use crate::store::erasures::{ERASED, Erasures};
use crate::store::manifest::MANIFEST;

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestoreReport {
    /// The backup it was made from.
    pub from: PathBuf,
    /// Records in it now.
    pub records: u64,
    /// Who was erased since the backup, and now again.
    pub erased: Erased,
    /// What lets in, as it was then.
    pub access: Access,
    /// The same of the projects that came with it, by their numbers.
    #[serde(skip)]
    pub projects: Vec<(u32, RestoreReport)>,
}

/// What of a backup lets somebody in: what was taken away since is back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Access {
    /// Whether there are a write key and an API key.
    pub first_keys: bool,
    /// The names of more keys, each with its scope.
    pub keys: Vec<String>,
    /// Who has an account, each with its role.
    pub accounts: Vec<String>,
    /// Reports that can be seen by whoever has their link, and when it was made.
    pub links: Vec<String>,
}

impl Access {
    fn of(vfs: &dyn Vfs) -> Result<Self> {
        let keys = StoredKeys::load_on(vfs)?;
        let more = keys.iter().flat_map(|keys| &keys.more);
        let (users, shares) = (accounts::stored(vfs)?, Dashboard::load_on(vfs)?.shares);
        Ok(Self {
            first_keys: keys.is_some(),
            keys: more.map(|key| format!("{} ({})", key.name, key.scope.name())).collect(),
            accounts: users.iter().map(|(email, user)| format!("{email} ({})", user.role.name())).collect(),
            links: shares.iter().map(|share| format!("{} ({})", share.path, share.made)).collect(),
        })
    }
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

    /// Takes the directory of the new store for this process.
    fn take(&self) -> Result<Arc<Unfinished>> {
        Ok(Arc::new(Unfinished::take(Arc::new(RealVfs::new(&self.dir)?))?))
    }

    fn restore(
        &self,
        lists: &[(Erasures, String)],
        into: &Arc<Unfinished>,
        options: Options,
    ) -> Result<RestoreReport> {
        let own = lists.iter().filter(|(list, _)| self.backup.is_of(list.store_id)).cloned().collect();
        let made = restore_one(&self.beside, Some(&self.backup.name), own, &|| Ok(Arc::clone(into)), options);
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
    nothing_in(dir)?;
    let new = parts().map(|part| part.dir.clone()).chain([dir.join(projects::DIR)]);
    let new: Vec<PathBuf> = new.filter(|dir| !dir.is_dir()).collect();
    let mut taken = Vec::new();
    let made = restore_parts(&first, &others, &given, &options, &mut taken);
    if made.is_err()
        && let Err(error) = undo(&taken, &new)
    {
        log::error!("what was restored in part is still there: {error}");
    }
    made
}

/// An error if there is anything in the directory of the new store.
fn nothing_in(dir: &Path) -> Result<()> {
    if !dir.is_dir() {
        return Ok(());
    }
    not_unfinished(dir)?;
    // A new disk has a directory of its own.
    let of_nobody = [LOCK, "lost+found"];
    if RealVfs::existing(dir)?.list()?.iter().all(|name| of_nobody.contains(&name.as_str())) {
        return Ok(());
    }
    let message = format!("{} is not empty", dir.display());
    Err(Error::new(ErrorKind::Conflict, "not_empty", message).hint("name a new directory"))
}

/// All of them; the directories stay `taken`, each from before it is looked into, so that no server begins in one meanwhile.
fn restore_parts(
    first: &Part,
    others: &[(u32, Part)],
    lists: &[(Erasures, String)],
    options: &Options,
    taken: &mut Vec<Arc<Unfinished>>,
) -> Result<RestoreReport> {
    let mut take = |part: &Part| {
        let into = part.take()?;
        taken.push(Arc::clone(&into));
        Ok::<_, Error>(into)
    };
    let into_first = take(first)?;
    nothing_in(&first.dir)?;
    // The first comes last: without it the others are no server.
    let mut projects = Vec::new();
    for (number, part) in others {
        projects.push((*number, part.restore(lists, &take(part)?, options.clone())?));
    }
    Ok(RestoreReport { projects, ..first.restore(lists, &into_first, options.clone())? })
}

/// Takes back what was made in directories that are still taken, and removes those that were not there before, unless somebody has put
/// something into them.
fn undo(taken: &[Arc<Unfinished>], new: &[PathBuf]) -> Result<()> {
    taken.iter().try_for_each(|into| into.take_back())?;
    // What lies in another comes before it.
    let mut new: Vec<&PathBuf> = new.iter().filter(|dir| dir.is_dir()).collect();
    new.sort_by_key(|dir| std::cmp::Reverse(dir.components().count()));
    for dir in new {
        if RealVfs::existing(dir)?.list()?.is_empty() {
            let (folders, name) = RealFolders::around(dir)?;
            folders.remove(&name)?;
        }
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
    restore_one(beside, one, lists, &|| Ok(Arc::new(Unfinished::take(dir()?)?)), options)
}

fn restore_one(
    beside: &dyn Folders,
    one: Option<&str>,
    lists: Vec<(Erasures, String)>,
    dir: &dyn Fn() -> Result<Arc<Unfinished>>,
    options: Options,
) -> Result<RestoreReport> {
    let from = chosen(beside, one)?;
    sound(beside::unreadable(from.vfs.as_ref()))?;
    sound(lost(from.vfs.as_ref())?)?;
    let found = Frozen::take(from.vfs.as_ref())?;
    let store_id = found.manifest.store_id;
    let mut erased = erased(beside, store_id, !lists.is_empty())?;
    for (list, name) in lists {
        if list.store_id != store_id {
            return Err(Error::invalid("foreign_list", format!("{name} is the list of another store")));
        }
        erased.add(list.entries);
    }
    let copy = dir()?;
    let restored = restore_into(&found, &copy, &erased, options);
    // Nothing of it is of use then, and it would have people in it who were erased.
    if restored.is_err()
        && let Err(error) = copy.take_back()
    {
        log::error!("what was restored in part is still there: {error}");
    }
    let report = restored?;
    Ok(RestoreReport { from: PathBuf::from(&from.name), ..report })
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
    copy: &Arc<Unfinished>,
    lists: &Erasures,
    options: Options,
) -> Result<RestoreReport> {
    copy.begin()?;
    let names = found.files.iter().map(|(file, bytes)| (&file.name, bytes));
    for (name, bytes) in names.chain(found.others.iter().map(|(name, bytes)| (name, bytes))) {
        put(copy.as_ref(), name, bytes)?;
    }
    finish(copy.as_ref(), &found.manifest_bytes)?;
    let engine = Engine::open_on(Arc::clone(copy) as Arc<dyn Vfs>, options)?;
    if let Some(damage) = engine.check().into_iter().next() {
        return Err(damage);
    }
    let listed = engine.listed(lists)?;
    erase::redact_on(copy.as_ref(), &listed)?;
    let erased = engine.erase_only(&listed)?;
    let records = engine.snapshot().rows();
    engine.close()?;
    let access = Access::of(copy.as_ref())?;
    copy.show()?;
    Ok(RestoreReport { from: PathBuf::new(), records, erased, access, projects: Vec::new() })
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
