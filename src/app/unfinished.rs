//! A directory whose manifest goes by another name, so that what is being made in it is no store for anybody else yet. It is taken for
//! this process all the while, so that nobody begins another store in it, and it is known which files were made here: no others are removed.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::backups::is_stamp;
use super::projects;
use crate::disk::{Bytes, LOCK, RealVfs, Vfs, WriteFile};
use crate::engine::has_nothing_of_a_store;
use crate::error::{Error, ErrorKind, Result};
use crate::store::manifest::MANIFEST;

/// The manifest's name meanwhile.
const HIDDEN: &str = "MANIFEST.unfinished";

/// The directory as it looks from inside: the manifest has its right name.
pub(super) struct Unfinished {
    inner: Arc<dyn Vfs>,
    /// The names of the files that were made here and are there.
    made: Mutex<BTreeSet<String>>,
    /// Whether there was no file of the lock before.
    new_lock: bool,
    _lock: Box<dyn Send + Sync>,
}

fn hidden(name: &str) -> &str {
    if name == MANIFEST { HIDDEN } else { name }
}

/// An error if a restore into `dir` was cut short: no other store shall be begun there in the place of the one that was meant. The first
/// project of a server comes behind the others.
pub fn not_unfinished(dir: &Path) -> Result<()> {
    let files = RealVfs::existing(dir)?.list()?;
    let there = |name: &str| files.iter().any(|file| file == name);
    // Backups have those of further projects beside them as well.
    let empty = has_nothing_of_a_store(&files) && !files.iter().any(|file| is_stamp(file));
    let alone = empty && there(projects::DIR) && projects::are_in(dir)?;
    if there(MANIFEST) || !(alone || there(HIDDEN)) {
        return Ok(());
    }
    // While it is at work the directory is in use.
    RealVfs::existing(dir)?
        .lock()
        .err()
        .filter(|error| error.kind() == ErrorKind::Locked)
        .map_or(Ok(()), Err)?;
    let message = format!("a restore into {} was cut short, so there is no store yet", dir.display());
    Err(Error::new(ErrorKind::Conflict, "unfinished_restore", message)
        .hint("restore the backup again into a new directory, and remove this one if nothing else is in it"))
}

impl Unfinished {
    /// Takes a directory for this process.
    pub(super) fn take(inner: Arc<dyn Vfs>) -> Result<Self> {
        let new_lock = !inner.list()?.iter().any(|name| name == LOCK);
        let lock = inner.lock()?;
        Ok(Self { inner, made: Mutex::default(), new_lock, _lock: lock })
    }

    /// Begins a store: from now on whoever finds it sees that it is none.
    pub(super) fn begin(&self) -> Result<()> {
        self.create(MANIFEST)?.sync()?;
        self.inner.sync_dir()
    }

    /// Removes all that was made, first what makes it a store, and last what says that it is not finished. The directory stays taken.
    pub(super) fn take_back(&self) -> Result<()> {
        let made = std::mem::take(&mut *self.made());
        if made.contains(MANIFEST) {
            self.inner.remove(MANIFEST)?;
            self.inner.sync_dir()?;
        }
        let others = made.iter().filter(|name| ![MANIFEST, HIDDEN].contains(&name.as_str()));
        let (hidden, lock) = (made.get(HIDDEN), Some(LOCK.to_owned()).filter(|_| self.new_lock));
        others.chain(hidden).chain(&lock).try_for_each(|name| self.remove_if_there(name))
    }

    fn remove_if_there(&self, name: &String) -> Result<()> {
        if self.inner.list()?.contains(name) { self.inner.remove(name) } else { Ok(()) }
    }

    /// Gives the manifest its name, durably: from now on it is a store for everybody.
    pub(super) fn show(&self) -> Result<()> {
        self.inner.rename(HIDDEN, MANIFEST)?;
        self.was_renamed(HIDDEN, MANIFEST);
        self.inner.sync_dir()
    }

    fn made(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn was_renamed(&self, from: &str, to: &str) {
        let mut made = self.made();
        if made.remove(from) {
            made.insert(to.to_owned());
        }
    }
}

impl Vfs for Unfinished {
    fn create(&self, name: &str) -> Result<Box<dyn WriteFile>> {
        let file = self.inner.create(hidden(name))?;
        self.made().insert(hidden(name).to_owned());
        Ok(file)
    }

    fn open(&self, name: &str) -> Result<Bytes> {
        self.inner.open(hidden(name))
    }

    fn read_through(&self, name: &str) -> Result<()> {
        self.inner.read_through(hidden(name))
    }

    fn list(&self) -> Result<Vec<String>> {
        let shown = |name| if name == HIDDEN { MANIFEST.to_owned() } else { name };
        Ok(self.inner.list()?.into_iter().map(shown).collect())
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.inner.rename(hidden(from), hidden(to))?;
        self.was_renamed(hidden(from), hidden(to));
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.inner.remove(hidden(name))?;
        self.made().remove(hidden(name));
        Ok(())
    }

    fn sync_dir(&self) -> Result<()> {
        self.inner.sync_dir()
    }

    fn lock(&self) -> Result<Box<dyn Send + Sync>> {
        // Whoever works in it does so for this process, which has the directory.
        Ok(Box::new(()))
    }

    fn free_bytes(&self) -> Result<u64> {
        self.inner.free_bytes()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
