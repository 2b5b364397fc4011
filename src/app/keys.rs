//! The keys of a store: a file beside its data. The write key is public and stands there as it is, of the API key only
//! its hash.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::disk::{RealVfs, Vfs};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;

/// The name of the file.
pub const FILE: &str = "keys.json";
const FILE_NEW: &str = "keys.json.new";

/// What the file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredKeys {
    /// Sends records.
    pub write_key: String,
    /// SHA-256 of the key that may do everything but track, in hex.
    pub api_key_sha256: String,
    /// More keys, each for less.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<ScopedKey>,
    /// The same of API keys that were replaced, the latest last: they are never taken again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<String>,
}

/// What a key is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// To send records. It may stand in pages.
    Write,
    /// To read everything and change nothing.
    Read,
    /// To read and to change everything.
    Manage,
}

/// All scopes with their names.
pub const SCOPES: [(Scope, &str); 3] =
    [(Scope::Write, "write"), (Scope::Read, "read"), (Scope::Manage, "manage")];

impl Scope {
    /// The scope of a name.
    pub fn parse(name: &str) -> Result<Self> {
        SCOPES.iter().find(|(_, known)| *known == name).map(|(scope, _)| *scope).ok_or_else(|| {
            let error = Error::invalid("unknown_choice", format!("no scope is called \"{name}\""));
            error.at("scope").hint("write, read or manage")
        })
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        SCOPES.iter().find(|(scope, _)| *scope == self).map_or("", |(_, name)| name)
    }
}

/// A key besides the first two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopedKey {
    /// What the operator calls it.
    pub name: String,
    /// What it is good for.
    pub scope: Scope,
    /// Its SHA-256 in hex.
    pub sha256: String,
}

impl StoredKeys {
    /// The first two, the second as its hash.
    pub fn new(write_key: String, api_key_sha256: String) -> Self {
        Self { write_key, api_key_sha256, more: Vec::new(), replaced: Vec::new() }
    }

    /// The keys in the store directory `dir`, if it has any.
    pub fn load(dir: &Path) -> Result<Option<Self>> {
        Self::load_on(&RealVfs::new(dir)?)
    }

    /// The same on any disk.
    pub fn load_on(vfs: &dyn Vfs) -> Result<Option<Self>> {
        read_checked(vfs, FILE, "restore the file from a backup, or remove it to have new keys made")
    }

    /// Those of a project beside the first, which has some from its beginning.
    pub fn of_project(vfs: &dyn Vfs) -> Result<Self> {
        Self::load_on(vfs)?.ok_or_else(|| {
            let hint = format!(
                "restore the file from a backup, or have new keys made: whodid --data {} serve",
                vfs.describe()
            );
            damaged(vfs, FILE, "it is missing").hint(hint)
        })
    }

    /// Puts another API key, given as its hash, in the place of the one that is lost or known.
    pub fn replace_api_key(&mut self, sha256: String) {
        self.replaced.push(std::mem::replace(&mut self.api_key_sha256, sha256));
    }

    /// Adds a key under a name that no other has.
    pub fn add(&mut self, key: ScopedKey) -> Result<()> {
        let named = !key.name.trim().is_empty() && key.name.chars().count() <= limits::NAME_CHARS_MAX;
        if !named || key.name.chars().any(char::is_control) {
            return Err(Error::invalid("bad_name", "a key needs a name of 1 to 255 characters"));
        }
        if self.more.iter().any(|known| known.name == key.name) {
            let message = format!("there is a key \"{}\" already", key.name);
            return Err(Error::new(ErrorKind::Conflict, "name_taken", message)
                .hint("remove it first, or take another name"));
        }
        if self.more.len() >= limits::KEYS_MAX {
            let message = format!("there are {} keys already", limits::KEYS_MAX);
            return Err(
                Error::new(ErrorKind::TooLarge, "too_many_keys", message).hint("remove one that nobody uses")
            );
        }
        self.more.push(key);
        Ok(())
    }

    /// Takes a key away.
    pub fn remove(&mut self, name: &str) -> Result<()> {
        let before = self.more.len();
        self.more.retain(|key| key.name != name);
        if self.more.len() == before {
            return Err(Error::new(
                ErrorKind::NotFound,
                "no_such_key",
                format!("there is no key \"{name}\""),
            ));
        }
        Ok(())
    }

    /// Takes them out of the store directory `dir`: the next start makes others.
    pub fn forget(dir: &Path) -> Result<()> {
        let vfs = RealVfs::existing(dir)?;
        vfs.remove(FILE)?;
        vfs.sync_dir()
    }

    /// Puts them in the store directory `dir`.
    pub fn store(&self, dir: &Path) -> Result<()> {
        self.store_on(&RealVfs::new(dir)?, || ())
    }

    /// The same on any disk; `taken` is called once they are what the file says, as by [`replace_on`].
    pub fn store_on(&self, vfs: &dyn Vfs, taken: impl FnOnce()) -> Result<()> {
        replace_on(vfs, FILE, FILE_NEW, &checked(FILE, self)?, taken)
    }
}

/// What the small JSON file `name` holds, if it is there; `hint` says what to do when it is damaged.
pub fn read<T: DeserializeOwned>(vfs: &dyn Vfs, name: &str, hint: &str) -> Result<Option<T>> {
    if !vfs.list()?.iter().any(|f| f == name) {
        return Ok(None);
    }
    let value = serde_json::from_slice(&vfs.open(name)?);
    value.map(Some).map_err(|e| damaged(vfs, name, e).hint(hint))
}

fn damaged(vfs: &dyn Vfs, name: &str, what: impl std::fmt::Display) -> Error {
    Error::corrupt(Path::new(&vfs.describe()).join(name).display(), 0, what)
}

/// As [`read`], of a file that has a checksum, `crc`, of the rest of it: a bit that flips may leave it JSON. Files from before have none,
/// nor do those that were written by hand.
pub fn read_checked<T: DeserializeOwned>(vfs: &dyn Vfs, name: &str, hint: &str) -> Result<Option<T>> {
    let Some(mut json) = read::<serde_json::Value>(vfs, name, hint)? else { return Ok(None) };
    let crc = json.as_object_mut().and_then(|fields| fields.remove("crc"));
    if crc.is_some_and(|crc| crc != sum(&json)) {
        let error = damaged(vfs, name, "it does not match its checksum");
        return Err(error.hint(format!("{hint}; whoever writes it by hand leaves out crc")));
    }
    serde_json::from_value(json).map(Some).map_err(|e| damaged(vfs, name, e).hint(hint))
}

/// The bytes of a file that says this, for [`read_checked`].
pub fn checked(name: &str, value: &impl Serialize) -> Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Checked<'a, T> {
        #[serde(flatten)]
        value: &'a T,
        crc: u32,
    }
    let crc = serde_json::to_value(value).map(|json| sum(&json));
    let bytes = crc.and_then(|crc| serde_json::to_vec_pretty(&Checked { value, crc }));
    bytes.map_err(|e| Error::corrupt(name, 0, e))
}

/// The checksum of what a file says, however it is laid out.
fn sum(json: &serde_json::Value) -> u32 {
    crc32fast::hash(json.to_string().as_bytes())
}

/// Replaces the small file `name` in `dir` as a whole, by way of the file `new`.
pub fn replace(dir: &Path, name: &str, new: &str, bytes: &[u8]) -> Result<()> {
    replace_on(&RealVfs::new(dir)?, name, new, bytes, || ())
}

/// The same on any disk. `taken` is called once the file says the new: from then on whoever reads it finds that, so what is kept in memory
/// has to follow. An error of the sync behind it says only that a power cut may bring the old back.
pub fn replace_on(vfs: &dyn Vfs, name: &str, new: &str, bytes: &[u8], taken: impl FnOnce()) -> Result<()> {
    discard(vfs, new)?;
    let put = || {
        let mut file = vfs.create(new)?;
        file.write_all(bytes)?;
        file.sync()?;
        vfs.rename(new, name)
    };
    if let Err(error) = put() {
        // It may name somebody, and nobody looks for that here.
        if let Err(left) = discard(vfs, new) {
            log::error!("{new} in {} stays until the next start: {left}", vfs.describe());
        }
        return Err(error);
    }
    taken();
    vfs.sync_dir()
}

/// Removes the file `new`, if an attempt to replace another has left it.
pub fn discard(vfs: &dyn Vfs, new: &str) -> Result<()> {
    if !vfs.list()?.iter().any(|f| f == new) {
        return Ok(());
    }
    vfs.remove(new)?;
    vfs.sync_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_is_no_other_key() {
        let dir = tempfile::tempdir().unwrap();
        let mut keys = StoredKeys::new("w".to_owned(), "0123456789abcdef".to_owned());
        keys.add(ScopedKey { name: "crc".to_owned(), scope: Scope::Read, sha256: "ff".to_owned() }).unwrap();
        keys.store(dir.path()).unwrap();
        let path = dir.path().join(FILE);
        let good = std::fs::read(&path).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &bad).unwrap();
            match StoredKeys::load(dir.path()) {
                // Between words, or in the name of the checksum.
                Ok(same) => assert_eq!(same.as_ref(), Some(&keys), "bit {bit}"),
                Err(error) => assert!(error.message().contains(FILE), "{error}"),
            }
        }
        // A file from before gets its checksum when it is written again.
        std::fs::write(&path, serde_json::to_vec(&keys).unwrap()).unwrap();
        StoredKeys::load(dir.path()).unwrap().unwrap().store(dir.path()).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), good);
    }
}
