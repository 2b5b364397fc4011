//! Looking for damage: every byte of every file of a store against its checksum, whatever else is wrong. Changes nothing, and works
//! beside a process that has the store.

use std::path::Path;

use super::erase::{LIST_LOST, PUT_LIST_BACK};
use super::recovery;
use super::snapshot::Snapshot;
use crate::disk::{RealVfs, Vfs};
use crate::error::{Error, ErrorKind, Result};
use crate::store::erasures::{ERASED, Erasures};
use crate::store::identity_file::IdentityFile;
use crate::store::manifest::{Checkpoint, FileRef, Manifest};
use crate::store::segment::Segment;
use crate::store::wal::{WalContent, parse_wal_name, read_wal};

/// What was found.
pub struct Checked {
    /// The store, if it can be opened.
    pub snapshot: Option<Snapshot>,
    /// What is damaged: each names file and offset, and what to do.
    pub damaged: Vec<Error>,
    /// What looks odd and may be as it should.
    pub notes: Vec<String>,
}

/// What to do about a segment.
const REPLACE: &str =
    "put the file of this name from a backup in its place; until then the store works without it";
/// What to do about a file that the store cannot do without.
const RESTORE: &str = "restore a backup into a new directory (whodid restore)";
/// What to do about a file that could not be looked into.
const LET_READ: &str = "let the user who runs whodid read it, or see what the disk says; then check again";

/// Reads every byte of the store in `dir`.
pub fn check_files(dir: &Path) -> Result<Checked> {
    let vfs = RealVfs::existing(dir).map_err(|_| super::no_store(dir))?;
    check_on(&vfs)
}

/// The same on any [`Vfs`]. A writer may replace files meanwhile; then it is all read again.
pub fn check_on(vfs: &dyn Vfs) -> Result<Checked> {
    let mut tries = 0;
    loop {
        let mut checked = Checked { snapshot: None, damaged: Vec::new(), notes: Vec::new() };
        let files = vfs.list()?;
        let manifest = match Manifest::load(vfs, &files) {
            Ok(Some(manifest)) => manifest,
            Ok(None) => {
                recovery::read_only(vfs).map(drop).or_else(|error| checked.note(error, RESTORE))?;
                return Ok(checked);
            }
            Err(error) => {
                checked.note(error, RESTORE)?;
                return Ok(checked);
            }
        };
        let logs = files.iter().filter(|name| parse_wal_name(name).is_some_and(|n| n >= manifest.first_log));
        let needed: Vec<&String> = manifest.files().map(|file| &file.name).chain(logs).collect();
        let result = check_files_of(vfs, &manifest, &files, checked);
        let there = vfs.list()?;
        let gone = match &result {
            Ok(checked) => !checked.damaged.is_empty() && needed.iter().any(|name| !there.contains(name)),
            Err(_) => true,
        };
        if tries == recovery::TRIES || !gone || !recovery::is_replaced(vfs, &manifest)? {
            return result;
        }
        tries += 1;
    }
}

/// Reads every byte of the files of a manifest.
fn check_files_of(
    vfs: &dyn Vfs,
    manifest: &Manifest,
    files: &[String],
    mut checked: Checked,
) -> Result<Checked> {
    for file in &manifest.segments {
        let opened = vfs.read_through(&file.name).and_then(|()| Segment::open(vfs, &file.name, file.bytes));
        let found = match opened {
            Ok(segment) => segment.check(),
            Err(error) => vec![error],
        };
        checked.file(vfs, file, found, REPLACE)?;
    }
    let of_segments = checked.damaged.len();
    for file in &manifest.identities {
        let read = || {
            vfs.read_through(&file.name)?;
            IdentityFile::open(&file.name, vfs.open(&file.name)?)?.for_each(|_| Ok(()))
        };
        checked.file(vfs, file, read().err().into_iter().collect(), RESTORE)?;
    }
    if let Some(file) = &manifest.checkpoint {
        let read = vfs.read_through(&file.name).and_then(|()| Checkpoint::load(vfs, file).map(drop));
        let found = read.err().into_iter().collect();
        checked.file(vfs, file, found, RESTORE)?;
    }
    for (name, number) in files.iter().filter_map(|f| Some((f, parse_wal_name(f)?))) {
        if number >= manifest.first_log {
            let bytes = vfs.read_through(name).and_then(|()| vfs.open(name));
            let content =
                bytes.and_then(|bytes| Ok((read_wal(name, &bytes, number, manifest.store_id)?, bytes.len())));
            match content {
                Ok((content, length)) => checked.notes.extend(torn(name, length, content.as_ref())),
                Err(error) => checked.note(error, RESTORE)?,
            }
        }
    }
    let list = Erasures::load(vfs, &vfs.list()?, manifest.store_id);
    list.map(drop).or_else(|error| checked.note(error, PUT_LIST_BACK))?;
    // What each file says may be sound, and still contradict another. Without a file that is not, it cannot be opened.
    if checked.damaged.len() == of_segments {
        match recovery::read_only(vfs) {
            Ok(snapshot) => {
                checked.notes.extend(fewer(vfs, manifest, &snapshot)?);
                checked.snapshot = Some(snapshot);
            }
            Err(error) if error.code() == LIST_LOST => checked.note(error, PUT_LIST_BACK)?,
            Err(_) if of_segments > 0 => {}
            Err(error) => checked.note(error, RESTORE)?,
        }
    }
    Ok(checked)
}

/// Says that the list of the erased has not as many entries as there are erased. That is as it should be where one stands for somebody who
/// was erased more than once; one that was put back from a backup lacks those who were erased since.
fn fewer(vfs: &dyn Vfs, manifest: &Manifest, snapshot: &Snapshot) -> Result<Option<String>> {
    let erased = snapshot.persons.erased() as usize;
    let list = Erasures::load(vfs, &vfs.list()?, manifest.store_id)?;
    let named = list.entries.iter().filter(|entry| entry.before > 0).count();
    Ok((named < erased).then(|| {
        format!("{ERASED}: it names {named} of {erased} identities that were erased; older backups may bring back the others")
    }))
}

impl Checked {
    /// Keeps an error about a file; any other ends the check. A version that is not known may be damage as well.
    fn note(&mut self, error: Error, advice: &str) -> Result<()> {
        let message = match error.kind() {
            ErrorKind::Corrupt => error.message().to_owned(),
            ErrorKind::Io => {
                self.damaged.push(error.hint(LET_READ));
                return Ok(());
            }
            ErrorKind::Unsupported => format!("{} at offset 0; unless a newer one wrote it", error.message()),
            _ => return Err(error),
        };
        self.damaged.push(Error::new(ErrorKind::Corrupt, "corrupt", message).hint(advice));
        Ok(())
    }

    /// Keeps what was found in a file; if nothing was, it may still be another one than the manifest names.
    fn file(&mut self, vfs: &dyn Vfs, file: &FileRef, found: Vec<Error>, advice: &str) -> Result<()> {
        if recovery::is_missing(vfs, file)? {
            return self.note(recovery::missing(file), advice);
        }
        if found.is_empty()
            && let Err(error) = file.verify(vfs)
        {
            return self.note(error, advice);
        }
        found.into_iter().try_for_each(|error| self.note(error, advice))
    }
}

/// Says that a log does not end with a whole write.
fn torn(name: &str, bytes: usize, content: Option<&WalContent>) -> Option<String> {
    let torn = content?.torn_bytes;
    let at = bytes as u64 - torn;
    (torn > 0).then(|| {
        format!("{name}: {torn} bytes at offset {at} are no whole write: a crash cut it short before it was answered")
    })
}
