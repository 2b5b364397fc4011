//! The manifest: which files are the store. It is replaced whole, by writing a new file, syncing it, renaming it over the old
//! one and syncing the directory; what it does not name is garbage. The checkpoint is the state that the log replays into, as
//! of the first log file that the manifest names.
//!
//! ```text
//! MANIFEST        "WDMAN001", one frame: bincode of `Manifest`
//! state-N         "WDSTA002", one frame: bincode of `Checkpoint`
//! ```

use serde::{Deserialize, Serialize};

use super::catalog::CatalogImage;
use super::persons::PersonsImage;
use super::refusals::RefusalsImage;
use crate::disk::{Vfs, codec, frame};
use crate::error::{Error, ErrorKind, Result};

/// The manifest's file name.
pub const MANIFEST: &str = "MANIFEST";
/// The manifest while it is written.
pub const MANIFEST_NEW: &str = "MANIFEST.new";
/// First bytes of a manifest.
pub const MANIFEST_MAGIC: &[u8; 8] = b"WDMAN001";
/// First bytes of a checkpoint.
pub const CHECKPOINT_MAGIC: &[u8; 8] = b"WDSTA002";

/// The numbers of files, writes and arrivals that anything but the manifest and the checkpoint may give: none is ever reached by counting.
pub const NUMBER_MAX: u64 = 1 << 62;
/// The same of the manifest and the checkpoint, which count on from those: counting on from it overflows nothing.
pub const COUNTED_MAX: u64 = 1 << 63;

/// What the store consists of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Random, made with the store: its files carry it, so that a file of another store cannot pass.
    pub store_id: u64,
    /// Secret of the store for filters and hashes of hostile text.
    pub secret: [u64; 2],
    /// The number of the next file of any kind.
    pub next_file: u64,
    /// The first log file that is not in segments yet.
    pub first_log: u64,
    /// The sequence number of that log's first frame.
    pub first_sequence: u64,
    /// The checkpoint, if there is one.
    pub checkpoint: Option<FileRef>,
    /// Identity files, in the order of their identities.
    pub identities: Vec<FileRef>,
    /// Segments, oldest first.
    pub segments: Vec<FileRef>,
}

/// A finished file, and enough about it to know it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRef {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
    /// CRC-32 of its first and last bytes. They hold the checksums of the rest, so no other sound file passes for it.
    pub ends: u32,
}

impl FileRef {
    /// The finished file `name` as it is.
    pub fn of(vfs: &dyn Vfs, name: &str) -> Result<Self> {
        let bytes = vfs.open(name)?;
        Ok(Self { name: name.to_owned(), bytes: bytes.len() as u64, ends: crc_of_ends(&bytes) })
    }

    /// An error if another file is in its place now.
    pub fn verify(&self, vfs: &dyn Vfs) -> Result<()> {
        let found = Self::of(vfs, &self.name)?;
        if found == *self {
            return Ok(());
        }
        let what = format!("not the file of {} bytes that the manifest names", self.bytes);
        Err(Error::corrupt(&self.name, 0, what))
    }
}

fn crc_of_ends(bytes: &[u8]) -> u32 {
    const END: usize = 64;
    let mut crc = crc32fast::Hasher::new();
    crc.update(bytes.get(..END).unwrap_or(bytes));
    crc.update(bytes.get(bytes.len().saturating_sub(END)..).unwrap_or(bytes));
    crc.finalize()
}

/// The state that the log replays into.
#[derive(Serialize, Deserialize)]
pub struct Checkpoint {
    /// Names and ids.
    pub catalog: CatalogImage,
    /// Who is who.
    pub persons: PersonsImage,
    /// The next arrival number.
    pub next_arrival: u64,
    /// Counters and the latest refusals.
    pub refusals: RefusalsImage,
}

impl Manifest {
    /// Reads the manifest; `None` if there is none.
    pub fn load(vfs: &dyn Vfs, files: &[String]) -> Result<Option<Self>> {
        if !files.iter().any(|f| f == MANIFEST) {
            return Ok(None);
        }
        let bytes = vfs.open(MANIFEST)?;
        known_format(MANIFEST, &bytes, MANIFEST_MAGIC)?;
        let manifest: Self = codec::decode(MANIFEST, frame::read_single(MANIFEST, &bytes, MANIFEST_MAGIC)?)?;
        let counted = [manifest.next_file, manifest.first_log, manifest.first_sequence];
        match counted.into_iter().find(|number| *number > COUNTED_MAX) {
            Some(number) => Err(Error::corrupt(MANIFEST, 8, format!("nothing has the number {number}"))),
            None => Ok(Some(manifest)),
        }
    }

    /// Makes this the manifest. Everything it names is synced already, but for the directory.
    pub fn store(&self, vfs: &dyn Vfs) -> Result<()> {
        let bytes = frame::write_single(MANIFEST_MAGIC, &codec::encode(self)?)?;
        // Left by a crash, or by an attempt that failed.
        if vfs.list()?.iter().any(|f| f == MANIFEST_NEW) {
            vfs.remove(MANIFEST_NEW)?;
        }
        let mut file = vfs.create(MANIFEST_NEW)?;
        file.write_all(&bytes)?;
        file.sync()?;
        drop(file);
        // The names of the new files must be durable before a manifest that needs them can be.
        vfs.sync_dir()?;
        vfs.rename(MANIFEST_NEW, MANIFEST)?;
        vfs.sync_dir()
    }

    /// All files but the logs.
    pub fn files(&self) -> impl Iterator<Item = &FileRef> {
        self.segments.iter().chain(&self.identities).chain(&self.checkpoint)
    }

    /// Takes the next file number.
    pub fn next_number(&mut self) -> u64 {
        self.next_file += 1;
        self.next_file - 1
    }
}

impl Checkpoint {
    /// Writes and syncs the file `name`; its name is not durable yet.
    pub fn store(&self, vfs: &dyn Vfs, name: &str) -> Result<FileRef> {
        let bytes = frame::write_single(CHECKPOINT_MAGIC, &codec::encode(self)?)?;
        let mut file = vfs.create(name)?;
        file.write_all(&bytes)?;
        file.sync()?;
        drop(file);
        FileRef::of(vfs, name)
    }

    /// Reads the checkpoint that the manifest names.
    pub fn load(vfs: &dyn Vfs, file: &FileRef) -> Result<Self> {
        let bytes = vfs.open(&file.name)?;
        known_format(&file.name, &bytes, CHECKPOINT_MAGIC)?;
        codec::decode(&file.name, frame::read_single(&file.name, &bytes, CHECKPOINT_MAGIC)?)
    }
}

/// Refuses a file of the right kind in a version that this program does not know.
pub fn known_format(file: &str, bytes: &[u8], magic: &[u8; 8]) -> Result<()> {
    match bytes.get(..8) {
        Some(found) if found != magic && found.get(..5) == magic.get(..5) => {
            let message = format!("{file} has a format that this version does not know");
            let (code, hint) = match found < magic.as_slice() {
                true => ("older_format", "export it with the whodid that wrote it, and import that"),
                false => ("newer_format", "use a newer whodid"),
            };
            Err(Error::new(ErrorKind::Unsupported, code, message).hint(hint))
        }
        _ => Ok(()),
    }
}

/// The number of a file by its name, which is this prefix and the number; none if it is called otherwise.
pub fn number_of(name: &str, prefix: &str) -> Option<u64> {
    name.strip_prefix(prefix)?.parse().ok().filter(|number| *number < NUMBER_MAX)
}

/// The name of segment `number`.
pub fn segment_name(number: u64) -> String {
    format!("seg-{number:012}")
}

/// The name of identity file `number`.
pub fn identities_name(number: u64) -> String {
    format!("ids-{number:012}")
}

/// The name of checkpoint `number`.
pub fn checkpoint_name(number: u64) -> String {
    format!("state-{number:012}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealVfs;

    #[test]
    fn a_number_that_nothing_can_be_counted_on_from_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        let vfs = RealVfs::new(dir.path()).unwrap();
        let load = |manifest: Manifest| {
            manifest.store(&vfs).unwrap();
            Manifest::load(&vfs, &vfs.list().unwrap())
        };
        let good = Manifest { next_file: 7, ..Manifest::default() };
        assert_eq!(load(good.clone()).unwrap().unwrap().next_number(), 7);
        for bad in [
            Manifest { next_file: u64::MAX, ..good.clone() },
            Manifest { first_log: u64::MAX, ..good.clone() },
            Manifest { first_sequence: u64::MAX, ..good },
        ] {
            assert_eq!(load(bad).unwrap_err().kind(), ErrorKind::Corrupt);
        }
        assert_eq!(number_of("seg-000000000007", "seg-"), Some(7));
        for name in ["seg-18446744073709551615", "seg-9223372036854775808", "x-000000000007", "seg-"] {
            assert_eq!(number_of(name, "seg-"), None, "{name}");
        }
    }
}
