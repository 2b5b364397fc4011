//! A directory whose manifest goes by another name, so that what is being made in it is no store for anybody else yet.

use std::path::Path;
use std::sync::Arc;

use super::backups::is_stamp;
use super::projects;
use crate::disk::{Bytes, RealVfs, Vfs, WriteFile};
use crate::engine::has_nothing_of_a_store;
use crate::error::{Error, ErrorKind, Result};
use crate::store::manifest::MANIFEST;

/// The manifest's name meanwhile.
const HIDDEN: &str = "MANIFEST.unfinished";

/// The directory as it looks from inside: the manifest has its right name.
pub(super) struct Unfinished {
    inner: Arc<dyn Vfs>,
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
    let message = format!("a restore into {} was cut short, so there is no store yet", dir.display());
    Err(Error::new(ErrorKind::Conflict, "unfinished_restore", message)
        .hint("restore the backup again into a new directory, and remove this one if nothing else is in it"))
}

impl Unfinished {
    /// Begins one in an empty directory: from now on whoever finds it sees that it is none.
    pub(super) fn begin(inner: Arc<dyn Vfs>) -> Result<Self> {
        inner.create(HIDDEN)?.sync()?;
        inner.sync_dir()?;
        Ok(Self { inner })
    }

    /// Removes all of it, and last what says that it is not finished.
    pub(super) fn take_back(inner: &dyn Vfs) -> Result<()> {
        let files = inner.list()?.into_iter().filter(|name| name != projects::DIR);
        let (last, first): (Vec<_>, Vec<_>) = files.partition(|name| name == HIDDEN);
        first.iter().chain(&last).try_for_each(|name| inner.remove(name))
    }

    /// Gives the manifest its name, durably: from now on it is a store for everybody.
    pub(super) fn show(&self) -> Result<()> {
        self.inner.rename(HIDDEN, MANIFEST)?;
        self.inner.sync_dir()
    }
}

impl Vfs for Unfinished {
    fn create(&self, name: &str) -> Result<Box<dyn WriteFile>> {
        self.inner.create(hidden(name))
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
        self.inner.rename(hidden(from), hidden(to))
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.inner.remove(hidden(name))
    }

    fn sync_dir(&self) -> Result<()> {
        self.inner.sync_dir()
    }

    fn lock(&self) -> Result<Box<dyn Send + Sync>> {
        self.inner.lock()
    }

    fn free_bytes(&self) -> Result<u64> {
        self.inner.free_bytes()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
