//! The list of who was erased, so that a backup from before an erasure does not bring anybody back. It holds no identity, only keyed
//! hashes of them, and for each how many identities the store had then: whoever comes under the same identity later has a higher
//! number and is somebody new.
//!
//! ```text
//! ERASED    "WDERA001", one frame: bincode of `Erasures`
//! ```

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::manifest::{FileRef, known_format};
use crate::disk::{Vfs, codec, frame};
use crate::error::{Error, Result};
use crate::model::{IdentityId, Millis};

/// The name of the list.
pub const ERASED: &str = "ERASED";
/// The list while it is written.
pub const ERASED_NEW: &str = "ERASED.new";
/// First bytes of the list.
pub const ERASED_MAGIC: &[u8; 8] = b"WDERA001";

/// Who was erased.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasures {
    /// The store it belongs to: another one's hashes mean nothing.
    pub store_id: u64,
    /// In the order of erasure.
    pub entries: Vec<Erasure>,
}

/// One identity that was erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// Its keyed hash.
    pub hash: [u8; 16],
    /// Identities the store had then: only one with a lower number is meant.
    pub before: IdentityId,
    /// When.
    pub at: Millis,
}

/// The hash under which an identity is remembered: without the store's secret nobody can try identities out.
pub fn erasure_hash(secret: [u64; 2], identity: &str) -> [u8; 16] {
    let mut hasher = Sha256::new();
    hasher.update(b"whodid erased\0");
    secret.iter().for_each(|word| hasher.update(word.to_le_bytes()));
    hasher.update(identity.as_bytes());
    let digest = hasher.finalize();
    let mut hash = [0; 16];
    hash.iter_mut().zip(digest).for_each(|(slot, byte)| *slot = byte);
    hash
}

impl Erasures {
    /// The list of a store; an empty one if nobody was erased.
    pub fn load(vfs: &dyn Vfs, files: &[String], store_id: u64) -> Result<Self> {
        if !files.iter().any(|f| f == ERASED) {
            return Ok(Self { store_id, entries: Vec::new() });
        }
        let list = Self::parse(ERASED, &vfs.open(ERASED)?)?;
        // What is added to another store's would be looked for by nobody.
        if list.store_id == store_id {
            Ok(list)
        } else {
            Err(Error::corrupt(ERASED, 0, "it is another store's"))
        }
    }

    /// The list in the bytes of the file `name`.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self> {
        known_format(name, bytes, ERASED_MAGIC)?;
        codec::decode(name, frame::read_single(name, bytes, ERASED_MAGIC)?)
    }

    /// Makes this the list; durable when it returns.
    pub fn store(&self, vfs: &dyn Vfs) -> Result<FileRef> {
        let bytes = frame::write_single(ERASED_MAGIC, &codec::encode(self)?)?;
        // Left by a crash, or by an attempt that failed.
        if vfs.list()?.iter().any(|f| f == ERASED_NEW) {
            vfs.remove(ERASED_NEW)?;
        }
        let mut file = vfs.create(ERASED_NEW)?;
        file.write_all(&bytes)?;
        file.sync()?;
        drop(file);
        vfs.rename(ERASED_NEW, ERASED)?;
        vfs.sync_dir()?;
        FileRef::of(vfs, ERASED)
    }

    /// Adds the entries that are not here yet.
    pub fn add(&mut self, entries: impl IntoIterator<Item = Erasure>) {
        let mut index = self.index();
        for entry in entries {
            if !index.covers(&entry) {
                index.add(&entry);
                self.entries.push(entry);
            }
        }
    }

    /// The list, to be asked about many: one person may have a hundred thousand identities.
    pub fn index(&self) -> ErasureIndex {
        let mut index = ErasureIndex { before: HashMap::with_capacity(self.entries.len()) };
        self.entries.iter().for_each(|entry| index.add(entry));
        index
    }
}

/// [`Erasures`] by hash.
pub struct ErasureIndex {
    /// For each hash the highest of its bounds.
    before: HashMap<[u8; 16], IdentityId>,
}

impl ErasureIndex {
    fn add(&mut self, entry: &Erasure) {
        let before = self.before.entry(entry.hash).or_insert(entry.before);
        *before = entry.before.max(*before);
    }

    fn covers(&self, entry: &Erasure) -> bool {
        self.before.get(&entry.hash).is_some_and(|before| *before >= entry.before)
    }

    /// Whether the identity of this number and hash is one that was erased.
    pub fn names(&self, hash: &[u8; 16], id: IdentityId) -> bool {
        self.before.get(hash).is_some_and(|before| id < *before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealVfs;

    /// A quarter of a million, within seconds even without optimization: each looked up among all would take hours.
    #[test]
    fn a_long_list_is_made_and_asked_at_once() {
        let entry = |n: u128| Erasure { hash: n.to_le_bytes(), before: 7, at: 5 };
        let mut list = Erasures { store_id: 7, entries: (0..250_000).map(entry).collect() };
        list.add((125_000..375_000).map(entry));
        assert_eq!(list.entries.len(), 375_000);
        let index = list.index();
        assert!((0..375_000_u128).all(|n| index.names(&n.to_le_bytes(), 6)));
        assert!(!index.names(&400_000_u128.to_le_bytes(), 6));
    }

    #[test]
    fn the_list_holds_hashes_and_knows_who_came_later() {
        let dir = tempfile::tempdir().unwrap();
        let vfs = RealVfs::new(dir.path()).unwrap();
        let mut list = Erasures::load(&vfs, &[], 7).unwrap();
        let jane = erasure_hash([1, 2], "jane@example.com");
        assert_ne!(jane, erasure_hash([1, 3], "jane@example.com"));
        let erasure = |before| Erasure { hash: jane, before, at: 5 };
        list.add([erasure(9), erasure(10), erasure(10), erasure(9)]);
        assert_eq!(list.entries.len(), 2);
        list.store(&vfs).unwrap();
        list.store(&vfs).unwrap();
        let again = Erasures::load(&vfs, &vfs.list().unwrap(), 7).unwrap();
        assert_eq!(again, list);
        let index = again.index();
        assert!(index.names(&jane, 9) && !index.names(&jane, 10) && !index.names(&[0; 16], 3));
        assert!(!vfs.open(ERASED).unwrap().windows(4).any(|w| w == b"jane"));
        let good = vfs.open(ERASED).unwrap().to_vec();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Erasures::parse(ERASED, &bad).is_err(), "bit {bit}");
        }
    }
}
