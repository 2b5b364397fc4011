//! A directory whose manifest goes by another name, so that what is being made in it is no store for anybody else yet.

use std::sync::Arc;

use crate::disk::{Bytes, Vfs, WriteFile};
use crate::error::Result;
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

impl Unfinished {
    pub(super) fn new(inner: Arc<dyn Vfs>) -> Self {
        Self { inner }
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
