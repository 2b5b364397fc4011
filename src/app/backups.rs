//! The backups in a directory: what they are called, in which order they were made, what each must hold, and which go when only some are
//! kept. Whatever else lies in the directory, a store that is served among it, is none of them.
//!
//! ```text
//! BACKUP    "WDBAK001", one frame: bincode of `Content`
//! ```

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::disk::{Folders, LOCK, Vfs, codec, frame};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Millis, format_millis};
use crate::store::erasures::{ERASED, Erasures};
use crate::store::manifest::{MANIFEST, MANIFEST_NEW, Manifest, known_format};
use crate::store::wal::parse_wal_name;

/// The name of the list of what a backup holds besides the files that its manifest vouches for.
pub const BACKUP: &str = "BACKUP";
/// What file systems have at their top, for root alone.
const LOST_AND_FOUND: &str = "lost+found";
/// First bytes of that list.
pub const BACKUP_MAGIC: &[u8; 8] = b"WDBAK001";

/// What must be in a backup: its manifest, the logs, and what lies beside the data. A log of a store may lack its end after a crash, one of
/// a backup may not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    files: Vec<Whole>,
}

/// A file as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Whole {
    name: String,
    bytes: u64,
    crc: u32,
}

impl Content {
    /// Adds a file that was put into the backup.
    pub fn add(&mut self, name: &str, bytes: &[u8]) {
        let (name, crc) = (name.to_owned(), crc32fast::hash(bytes));
        self.files.push(Whole { name, bytes: bytes.len() as u64, crc });
    }

    /// The bytes of the list's file.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        frame::write_single(BACKUP_MAGIC, &codec::encode(self)?)
    }

    /// The list in a directory. None if it is no backup, one from before there were lists, or one that was opened as a store since: that
    /// began a log of its own, and may have replaced everything else.
    pub fn load(vfs: &dyn Vfs) -> Result<Option<Self>> {
        let files = vfs.list()?;
        if !files.iter().any(|file| file == BACKUP) {
            return Ok(None);
        }
        let bytes = vfs.open(BACKUP)?;
        known_format(BACKUP, &bytes, BACKUP_MAGIC)?;
        let content: Self = codec::decode(BACKUP, frame::read_single(BACKUP, &bytes, BACKUP_MAGIC)?)?;
        let newest = |names: &mut dyn Iterator<Item = &String>| names.filter_map(|n| parse_wal_name(n)).max();
        let then = newest(&mut content.files.iter().map(|file| &file.name));
        Ok((newest(&mut files.iter()) <= then).then_some(content))
    }

    /// Says what of it is not in the directory as it was.
    pub fn lost(&self, vfs: &dyn Vfs) -> Result<Vec<Error>> {
        let (there, mut lost) = (vfs.list()?, Vec::new());
        for file in &self.files {
            let (name, bytes) = (&file.name, file.bytes);
            let what = if there.contains(name) {
                let found = match vfs.open(name) {
                    Ok(found) => found,
                    Err(error) => {
                        lost.push(error);
                        continue;
                    }
                };
                match found.len() as u64 {
                    other if other != bytes => format!("{other} bytes are left of {bytes}"),
                    _ if crc32fast::hash(&found) != file.crc => "it is not what was copied".to_owned(),
                    _ => continue,
                }
            } else {
                format!("it is missing, of {bytes} bytes")
            };
            let message = format!("the backup {} has lost something: {name}: {what}", vfs.describe());
            lost.push(
                Error::new(ErrorKind::Corrupt, "corrupt", format!("{message} at offset 0")).hint(instead()),
            );
        }
        Ok(lost)
    }
}

/// What to do with a backup that is not whole.
fn instead() -> String {
    format!("take another backup; without its file {BACKUP} this one is restored as it is")
}

/// Whether somebody served a backup that has its list, or that may be so.
fn was_opened(vfs: &dyn Vfs) -> bool {
    !Content::load(vfs).is_ok_and(|content| content.is_some())
}

/// What of the backup in a directory is not as it was made; nothing if it is no backup.
pub fn lost(vfs: &dyn Vfs) -> Result<Vec<Error>> {
    match Content::load(vfs) {
        Ok(content) => content.map_or(Ok(Vec::new()), |content| content.lost(vfs)),
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            Ok(vec![error.in_directory(&vfs.describe()).hint(instead())])
        }
        Err(error) if error.kind() == ErrorKind::Io => Ok(vec![error]),
        Err(error) => Err(error),
    }
}

/// A backup that was finished, whether it can be read or not.
pub struct Backup {
    /// The name of its directory.
    pub name: String,
    /// Its files.
    pub vfs: Arc<dyn Vfs>,
    /// What its manifest says.
    pub manifest: Result<Manifest>,
}

impl Backup {
    fn new(name: String, vfs: Arc<dyn Vfs>) -> Result<Option<Self>> {
        let files = vfs.list()?;
        // One without a manifest was not finished.
        let manifest = Manifest::load(vfs.as_ref(), &files).transpose();
        Ok(manifest.map(|manifest| Self { name, vfs, manifest }))
    }

    /// Whether it is known to be of this store.
    pub fn is_of(&self, store_id: u64) -> bool {
        self.manifest.as_ref().is_ok_and(|manifest| manifest.store_id == store_id)
    }
}

/// The finished backups in `target`, oldest first.
pub fn finished(target: &dyn Folders) -> Result<Vec<Backup>> {
    let made = stamps(target)?.into_iter().map(|name| Backup::new(name.clone(), target.open(&name)?));
    made.filter_map(Result::transpose).collect()
}

/// The newest of a store that can be looked into. What belongs to somebody else there keeps nobody from making a backup.
pub fn previous(target: &dyn Folders, store_id: u64) -> Result<Option<Backup>> {
    for name in stamps(target)?.into_iter().rev() {
        match target.open(&name).and_then(|vfs| Backup::new(name.clone(), vfs)) {
            Ok(Some(backup)) if backup.is_of(store_id) => return Ok(Some(backup)),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Io => {
                log::warn!("{name} in {} is passed over: {error}", target.describe());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// The finished backup called `name`, whatever that is: its directory may have been renamed.
pub fn one(target: &dyn Folders, name: &str) -> Result<Option<Backup>> {
    Backup::new(name.to_owned(), target.open(name)?)
}

/// Everybody who was erased from a store, as far as the directories in `beside` say. A list is of use even if the backup around it is not.
/// What is somebody else's and keeps us out may be the store itself: it is passed over only if its list is `told` apart from this.
pub fn erased(beside: &dyn Folders, store_id: u64, told: bool) -> Result<Erasures> {
    let mut erased = Erasures { store_id, entries: Vec::new() };
    for name in beside.list()?.into_iter().filter(|name| name != LOST_AND_FOUND) {
        match list_of(beside, &name, store_id) {
            Ok(list) => erased.add(list.into_iter().flat_map(|list| list.entries)),
            Err(error) if !is_stamp(&name) && is_forbidden(&error) => {
                if !told {
                    return Err(error.hint("move it away, or say with --erased who was erased since"));
                }
                log::warn!("{name} beside the backup is passed over: {error}");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(erased)
}

/// What the list in a directory says of a store; none if it is another store's, or says nothing.
fn list_of(beside: &dyn Folders, name: &str, store_id: u64) -> Result<Option<Erasures>> {
    let vfs = beside.open(name)?;
    let files = vfs.list()?;
    match (Erasures::load(vfs.as_ref(), &files, store_id), Manifest::load(vfs.as_ref(), &files)) {
        (Ok(list), _) => Ok(Some(list).filter(|list| list.store_id == store_id)),
        // That of another store, or one that was never finished.
        (Err(_), Ok(manifest)) if manifest.as_ref().is_none_or(|m| m.store_id != store_id) => Ok(None),
        (Err(error), _) => {
            let hint = format!("nobody knows who is in the list of {name}; move {name} away to do without");
            Err(error.in_directory(name).hint(hint))
        }
    }
}

/// Whether the operating system keeps us out.
fn is_forbidden(error: &Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::PermissionDenied)
}

/// Removes older backups of a store than its latest `keep`, the one called `made` among these, and what is left of backups that were
/// cut short. Files that a kept backup shares stay, under the name that they have there. The directory called `itself`, if there is one,
/// is the store that was copied; what somebody serves, or has served, is a store as well and no backup any more.
pub fn prune(
    target: &dyn Folders,
    made: &str,
    itself: Option<&str>,
    store_id: u64,
    keep: usize,
) -> Result<usize> {
    // By name alone: held, a thousand of them would be more files than a process may have open.
    let (mut older, mut gone) = (Vec::new(), Vec::new());
    for name in stamps(target)?.into_iter().filter(|name| name != made && Some(name.as_str()) != itself) {
        if let Some((what, _)) = take(target, &name, store_id)? {
            let kind = if what == Prunable::Older { &mut older } else { &mut gone };
            kind.push((name, what));
        }
    }
    let old = older.len().saturating_sub(keep.max(1) - 1);
    gone.extend(older.into_iter().take(old));
    let mut removed = 0;
    for (name, what) in gone {
        // Held until it is removed, so that nobody begins to serve it meanwhile; somebody may have since it was looked at.
        if let Some((now, _lock)) = take(target, &name, store_id)?
            && now == what
        {
            remove(target, &name)?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// What may be removed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Prunable {
    /// A finished backup of the store.
    Older,
    /// What is left of one that was cut short.
    CutShort,
}

/// Takes the directory `name` for this process, if it may be removed and nobody has it.
fn take(target: &dyn Folders, name: &str, store_id: u64) -> Result<Option<(Prunable, Box<dyn Send + Sync>)>> {
    let vfs = match target.open(name) {
        // Another backup has removed it meanwhile.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let Ok(lock) = vfs.lock() else { return Ok(None) };
    let files = vfs.list()?;
    let recorded = files.iter().any(|file| file == BACKUP);
    let what = match Manifest::load(vfs.as_ref(), &files) {
        Ok(None) if files.iter().all(|file| is_ours(file)) => Prunable::CutShort,
        Ok(Some(manifest)) if manifest.store_id == store_id && !(recorded && was_opened(vfs.as_ref())) => {
            Prunable::Older
        }
        _ => return Ok(None),
    };
    Ok(Some((what, lock)))
}

/// Removes a backup. Its manifest goes first, durably, so that a power cut leaves a whole backup or none.
pub fn remove(target: &dyn Folders, name: &str) -> Result<()> {
    let folder = target.open(name)?;
    if folder.list()?.iter().any(|file| file == MANIFEST) {
        folder.remove(MANIFEST)?;
        folder.sync_dir()?;
    }
    target.remove(name)?;
    target.sync()
}

/// Whether a backup that was cut short can have a file of this name.
fn is_ours(file: &str) -> bool {
    let begins = ["seg-", "ids-", "state-", "wal-"].iter().any(|kind| file.starts_with(kind));
    begins || file.ends_with(".json") || [MANIFEST_NEW, ERASED, BACKUP, LOCK].contains(&file)
}

/// A name for a new directory, behind all that are there already: also when older ones of the same second were removed, or the clock went
/// back.
pub fn next_name(target: &dyn Folders, now: Millis) -> Result<String> {
    let stamp: String = format_millis(now).chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let stamp = stamp.split(['.', 'Z']).next().unwrap_or_default().to_owned() + "Z";
    let last = stamps(target)?.pop();
    Ok(match last.as_deref().and_then(order) {
        Some((last, number)) if last >= stamp.as_str() => format!("{last}-{:03}", number + 1),
        _ => stamp,
    })
}

/// Whether a directory of this name is called as backups are.
pub fn is_stamp(name: &str) -> bool {
    order(name).is_some()
}

/// The names of the directories that are called as backups are, in the order in which they were made.
fn stamps(target: &dyn Folders) -> Result<Vec<String>> {
    let mut names: Vec<String> = target.list()?.into_iter().filter(|name| is_stamp(name)).collect();
    names.sort_by(|a, b| order(a).cmp(&order(b)));
    Ok(names)
}

/// The time in the name of a backup, and which of that time it is; none if it is no such name.
fn order(name: &str) -> Option<(&str, u32)> {
    let digits = |text: &str, n| text.len() >= n && text.bytes().all(|b| b.is_ascii_digit());
    let (stamp, rest) = name.split_at_checked("20260302T080000Z".len())?;
    let (day, time) = stamp.strip_suffix('Z')?.split_once('T')?;
    if day.len() != 8 || !digits(day, 8) || !digits(time, 6) {
        return None;
    }
    let number = match rest.strip_prefix('-') {
        Some(number) => number.parse().ok().filter(|_| digits(number, 3))?,
        None => rest.is_empty().then_some(1)?,
    };
    Some((stamp, number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealFolders;
    use crate::store::erasures::Erasure;

    /// Directories of which some keep us out.
    struct Closed(RealFolders, &'static [&'static str]);

    impl Folders for Closed {
        fn list(&self) -> Result<Vec<String>> {
            self.0.list()
        }
        fn make(&self, name: &str) -> Result<Arc<dyn Vfs>> {
            self.0.make(name)
        }
        fn open(&self, name: &str) -> Result<Arc<dyn Vfs>> {
            let why = std::io::ErrorKind::PermissionDenied.into();
            let closed = self.1.contains(&name);
            if closed { Err(Error::io("cannot list", name.as_ref(), why)) } else { self.0.open(name) }
        }
        fn link(&self, file: &str, from: &str, to: &str) -> Result<bool> {
            self.0.link(file, from, to)
        }
        fn remove(&self, name: &str) -> Result<()> {
            self.0.remove(name)
        }
        fn sync(&self) -> Result<()> {
            self.0.sync()
        }
        fn describe(&self) -> String {
            self.0.describe()
        }
    }

    #[test]
    fn what_is_somebody_else_s_keeps_no_list_from_being_read() {
        let dir = tempfile::tempdir().unwrap();
        let around = |closed| Closed(RealFolders::new(dir.path()), closed);
        let own = around(&[]).make("20260302T080000Z").unwrap();
        let entry = Erasure { hash: [1; 16], before: 7, at: 5 };
        let list = Erasures { store_id: 7, entries: vec![entry] };
        list.store(own.as_ref()).unwrap();
        for other in ["lost+found", "other"] {
            around(&[]).make(other).unwrap();
        }
        assert_eq!(erased(&around(&["lost+found"]), 7, false).unwrap(), list);
        assert_eq!(erased(&around(&["lost+found", "other"]), 7, true).unwrap(), list);
        let error = erased(&around(&["other"]), 7, false).unwrap_err();
        assert!(is_forbidden(&error), "it may be the store itself: {error}");
        let error = erased(&around(&["20260302T080000Z"]), 7, true).unwrap_err();
        assert!(is_forbidden(&error), "who is in the list of a backup is not known without it: {error}");
    }

    #[test]
    fn a_later_backup_has_a_name_behind_all_others() {
        let dir = tempfile::tempdir().unwrap();
        let target = RealFolders::new(dir.path());
        let now = crate::model::parse_instant("2026-03-02T08:00:00Z").unwrap();
        let next = |now| {
            let name = next_name(&target, now).unwrap();
            target.make(&name).map(|_| name).unwrap()
        };
        for other in
            ["new", "20260302T090000Z-2", "20260302T090000Z-old", "20260302T09000Z", "20260302T090000"]
        {
            std::fs::create_dir(dir.path().join(other)).unwrap();
        }
        assert_eq!([next(now), next(now)], ["20260302T080000Z", "20260302T080000Z-002"]);
        target.remove("20260302T080000Z").unwrap();
        assert_eq!(next(now), "20260302T080000Z-003", "the first name is free again");
        assert_eq!(next(now - 5000), "20260302T080000Z-004", "the clock went back");
        target.make("20260302T080000Z-1000").unwrap();
        assert_eq!(next(now), "20260302T080000Z-1001");
        assert_eq!(next(now + 1000), "20260302T080001Z");
        let all = stamps(&target).unwrap();
        assert_eq!(all.len(), 6);
        assert_eq!(all.last().unwrap(), "20260302T080001Z");
    }
}
