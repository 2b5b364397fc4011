//! The keys of a store: a file beside its data. The write key is public and stands there as it is, of the API key only
//! its hash.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::disk::{RealVfs, Vfs};
use crate::error::{Error, Result};

const FILE: &str = "keys.json";
const FILE_NEW: &str = "keys.json.new";

/// What the file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredKeys {
    /// Sends records.
    pub write_key: String,
    /// SHA-256 of the key that reads, in hex.
    pub api_key_sha256: String,
}

impl StoredKeys {
    /// The keys in the store directory `dir`, if it has any.
    pub fn load(dir: &Path) -> Result<Option<Self>> {
        let vfs = RealVfs::new(dir)?;
        if !vfs.list()?.iter().any(|f| f == FILE) {
            return Ok(None);
        }
        let keys = serde_json::from_slice(&vfs.open(FILE)?);
        keys.map(Some).map_err(|e| {
            Error::corrupt(dir.join(FILE).display(), 0, e).hint("remove the file to have new keys made")
        })
    }

    /// Puts them in the store directory `dir`.
    pub fn store(&self, dir: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(|e| Error::corrupt(FILE, 0, e))?;
        replace(dir, FILE, FILE_NEW, &text)
    }
}

/// Replaces the small file `name` in `dir` as a whole, by way of the file `new`.
pub fn replace(dir: &Path, name: &str, new: &str, bytes: &[u8]) -> Result<()> {
    let vfs = RealVfs::new(dir)?;
    if vfs.list()?.iter().any(|f| f == new) {
        vfs.remove(new)?;
    }
    let mut file = vfs.create(new)?;
    file.write_all(bytes)?;
    file.sync()?;
    vfs.rename(new, name)?;
    vfs.sync_dir()
}
