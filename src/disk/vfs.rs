//! The file system as the store sees it: one directory, flat names, files that are written once and then read.
//! The store's whole crash safety rests on these few calls, and `testing::disk` implements them with power cuts.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::map::{self, Bytes};
use crate::error::{Error, ErrorKind, Result};

/// A file being written, from its creation to its last sync.
pub trait WriteFile: Send {
    /// Appends all of `bytes`.
    fn write_all(&mut self, bytes: &[u8]) -> Result<()>;
    /// Returns once everything written so far survives a power cut (given that the name does).
    fn sync(&mut self) -> Result<()>;
}

/// One directory of files.
pub trait Vfs: Send + Sync {
    /// Creates a new, empty file; an existing one of that name is an error.
    fn create(&self, name: &str) -> Result<Box<dyn WriteFile>>;
    /// The whole content of a file, mapped where that is possible. The file must never change afterwards. Something else of that name,
    /// a symbolic link to a file among it, is damage: what replaces a file would not reach where the link leads.
    fn open(&self, name: &str) -> Result<Bytes>;
    /// Reads a file to its end without mapping it, whatever it says. A sector that cannot be read is damage here, where it ends the
    /// process of whoever looks at it in a mapped file.
    fn read_through(&self, name: &str) -> Result<()>;
    /// The names of all that lies there, sorted. What is no file is there as well, so that nobody takes it for missing.
    fn list(&self) -> Result<Vec<String>>;
    /// Renames, replacing the file `to`; durable after [`Vfs::sync_dir`].
    fn rename(&self, from: &str, to: &str) -> Result<()>;
    /// Removes a name; durable after [`Vfs::sync_dir`].
    fn remove(&self, name: &str) -> Result<()>;
    /// Makes creations, renames and removals durable.
    fn sync_dir(&self) -> Result<()>;
    /// Takes the directory for this process until the guard is dropped.
    fn lock(&self) -> Result<Box<dyn Send + Sync>>;
    /// Bytes that can still be written to this disk.
    fn free_bytes(&self) -> Result<u64>;
    /// The name of the directory, for messages.
    fn describe(&self) -> String;
}

/// A directory of directories, each of which has files as a [`Vfs`] has them: where backups lie.
pub trait Folders: Send + Sync {
    /// The names of all directories, sorted.
    fn list(&self) -> Result<Vec<String>>;
    /// Makes a new, empty directory; its name is durable after [`Folders::sync`].
    fn make(&self, name: &str) -> Result<Arc<dyn Vfs>>;
    /// A directory that is there.
    fn open(&self, name: &str) -> Result<Arc<dyn Vfs>>;
    /// Gives a file of the directory `from` the same name in the directory `to` as well; durable after the sync of `to`. False if the
    /// disk cannot do that.
    fn link(&self, file: &str, from: &str, to: &str) -> Result<bool>;
    /// Removes a directory with all its files; durable after [`Folders::sync`].
    fn remove(&self, name: &str) -> Result<()>;
    /// Makes the names of directories durable.
    fn sync(&self) -> Result<()>;
    /// The name of the directory, for messages.
    fn describe(&self) -> String;
}

/// The file that a directory is taken by.
pub const LOCK: &str = "LOCK";

/// A directory of the operating system.
#[derive(Debug)]
pub struct RealVfs {
    dir: PathBuf,
}

impl RealVfs {
    /// Opens `dir`, making it (readable by its owner only) if it is not there.
    pub fn new(dir: &Path) -> Result<Self> {
        make_durably(dir)?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// Makes the file `name` and takes `bytes` of the disk for it, to be given back by removing it.
    pub fn hold(&self, name: &str, bytes: u64) -> Result<()> {
        let path = self.path(name);
        let failed = |e| Error::io("cannot reserve", &path, e);
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let mut file = file.map_err(failed)?;
        give_to_owner(&file, &self.dir).map_err(failed)?;
        let taken = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes);
        let taken = match taken {
            // Some file systems cannot: then it is written.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                std::io::copy(&mut std::io::repeat(0).take(bytes), &mut file).map(drop)
            }
            taken => taken.map_err(Into::into),
        };
        taken.and_then(|()| file.sync_all()).map_err(|e| {
            // What went wrong first is what is told.
            let _ = fs::remove_file(&path);
            failed(e)
        })
    }

    /// Whether there is a file of this name, without looking into it; an error if something else has the name.
    pub fn has_file(&self, name: &str) -> Result<bool> {
        let path = self.path(name);
        no_other_than_a_file(&path)?;
        Ok(path.exists())
    }

    /// Opens `dir`, which is there.
    pub fn existing(dir: &Path) -> Result<Self> {
        if !dir.is_dir() {
            let message = format!("there is no directory {}", dir.display());
            return Err(Error::new(ErrorKind::NotFound, "no_directory", message));
        }
        Ok(Self { dir: dir.to_owned() })
    }

    /// Removes everything in the directory.
    pub fn clear(&self) -> Result<()> {
        let failed = |e| Error::io("cannot empty", &self.dir, e);
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let folder = entry.file_type().map_err(failed)?.is_dir();
            let removed =
                if folder { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
            removed.map_err(failed)?;
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// Makes a directory and those above it that are not there, and makes their names durable.
fn make_durably(dir: &Path) -> Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let above = match dir.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    };
    make_durably(above)?;
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        // Somebody else was faster.
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        Err(e) => Err(Error::io("cannot make the directory", dir, e)),
        Ok(()) => {
            give_directory(dir, above)?;
            sync_names(above)
        }
    }
}

/// Gives a directory that was made to whoever has the one `above` it.
fn give_directory(dir: &Path, above: &Path) -> Result<()> {
    let given = File::open(dir).and_then(|opened| give_to_owner(&opened, above));
    given.map_err(|e| Error::io("cannot give away", dir, e))
}

/// Makes the names in a directory durable.
fn sync_names(dir: &Path) -> Result<()> {
    let opened = File::open(dir).map_err(|e| Error::io("cannot open", dir, e))?;
    opened.sync_all().map_err(|e| Error::sync(dir, e))
}

/// The names in `dir`, sorted, and whether each is a directory; none if `dir` is not there.
pub fn names_in(dir: &Path) -> Result<Vec<(String, bool)>> {
    let failed = |e| Error::io("cannot list", dir, e);
    let mut names = Vec::new();
    let entries = match fs::read_dir(dir) {
        // A link that leads nowhere is there.
        Err(_) if fs::symlink_metadata(dir).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound) => {
            return Ok(names);
        }
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let is_dir = entry.file_type().map_err(failed)?.is_dir();
        names.extend(entry.file_name().into_string().ok().map(|name| (name, is_dir)));
    }
    names.sort();
    Ok(names)
}

/// The names of the directories in `dir`, sorted; none if it is not there.
fn directories(dir: &Path) -> Result<Vec<String>> {
    Ok(names_in(dir)?.into_iter().filter_map(|(name, is_dir)| is_dir.then_some(name)).collect())
}

/// An error if something lies at `path` that is no file. Not even looked into: opening a pipe waits for its other end.
fn no_other_than_a_file(path: &Path) -> Result<()> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    let what = match found.file_type() {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_symlink() => "a symbolic link",
        kind if kind.is_dir() => "a directory",
        _ => "a pipe, socket or device",
    };
    let message = format!("{}: {what} lies there, and no file", path.display());
    Err(Error::new(ErrorKind::Corrupt, "corrupt", message).hint("put the file itself in its place"))
}

/// Opens a file to read it.
fn open_file(path: &Path) -> Result<File> {
    no_other_than_a_file(path)?;
    File::open(path).map_err(|e| Error::io("cannot open", path, e))
}

/// Bytes at the end of a file that are read before it is mapped: what opening looks at first.
const END: u64 = 1 << 20;

/// Reads what there is from an offset on.
fn read_from(file: &File, path: &Path, from: u64) -> Result<()> {
    let (mut scratch, mut at) = (vec![0; 1 << 18], from);
    loop {
        match file.read_at(&mut scratch, at) {
            Ok(0) => return Ok(()),
            Ok(read) => at += read as u64,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::corrupt(path.display(), at, format!("it cannot be read ({e})"))),
        }
    }
}

struct RealFile {
    file: File,
    path: PathBuf,
}

/// Gives a file that root made to whoever has the directory: what an operator does by hand may not lock a service out.
fn give_to_owner(file: &File, dir: &Path) -> std::io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let (whose, now) = (fs::metadata(dir)?, file.metadata()?);
    if (now.uid(), now.gid()) == (whose.uid(), whose.gid()) {
        return Ok(());
    }
    fchown(file, Some(whose.uid()), Some(whose.gid()))
}

impl WriteFile for RealFile {
    fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| Error::io("cannot write", &self.path, e))
    }

    fn sync(&mut self) -> Result<()> {
        self.file.sync_data().map_err(|e| Error::sync(&self.path, e))
    }
}

impl Vfs for RealVfs {
    fn create(&self, name: &str) -> Result<Box<dyn WriteFile>> {
        let path = self.path(name);
        let file = fs::OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(|e| Error::io("cannot create", &path, e))?;
        give_to_owner(&file, &self.dir).map_err(|e| Error::io("cannot give away", &path, e))?;
        Ok(Box::new(RealFile { file, path }))
    }

    fn open(&self, name: &str) -> Result<Bytes> {
        let path = self.path(name);
        let file = open_file(&path)?;
        let length = file.metadata().map_err(|e| Error::io("cannot stat", &path, e))?.len();
        read_from(&file, &path, length.saturating_sub(END))?;
        map::map(&file).map_err(|e| Error::io("cannot map", &path, e))
    }

    fn read_through(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        read_from(&open_file(&path)?, &path, 0)
    }

    fn list(&self) -> Result<Vec<String>> {
        let failed = |e| Error::io("cannot list", &self.dir, e);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            names.extend(entry.map_err(failed)?.file_name().into_string().ok());
        }
        names.sort();
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let path = self.path(from);
        no_other_than_a_file(&self.path(to))?;
        fs::rename(&path, self.path(to)).map_err(|e| Error::io("cannot rename", &path, e))
    }

    fn remove(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        fs::remove_file(&path).map_err(|e| Error::io("cannot remove", &path, e))
    }

    fn sync_dir(&self) -> Result<()> {
        sync_names(&self.dir)
    }

    fn lock(&self) -> Result<Box<dyn Send + Sync>> {
        let path = self.path(LOCK);
        no_other_than_a_file(&path)?;
        let file = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(|e| Error::io("cannot open", &path, e))?;
        give_to_owner(&file, &self.dir).map_err(|e| Error::io("cannot give away", &path, e))?;
        let dir = File::open(&self.dir).map_err(|e| Error::io("cannot open", &self.dir, e))?;
        // The directory as well, as the file may be removed by hand; behind the file, so that of two starts at once one goes on. Not every
        // file system of a network can lock it.
        let locked = file.try_lock().map(|()| dir.try_lock());
        match locked {
            Err(fs::TryLockError::WouldBlock) | Ok(Err(fs::TryLockError::WouldBlock)) => {
                let message = format!("{} is in use by another whodid process", self.dir.display());
                Err(Error::new(ErrorKind::Locked, "locked", message)
                    .hint("stop that process, or name another directory with --data"))
            }
            Err(fs::TryLockError::Error(e)) => Err(Error::io("cannot lock", &path, e)),
            Ok(_) => Ok(Box::new((file, dir))),
        }
    }

    fn free_bytes(&self) -> Result<u64> {
        let stat =
            rustix::fs::statvfs(&self.dir).map_err(|e| Error::io("cannot stat", &self.dir, e.into()))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn describe(&self) -> String {
        self.dir.display().to_string()
    }
}

/// A path without links and steps back, as far as it is there.
fn resolved(path: &Path) -> PathBuf {
    let whole = |above: &Path| {
        let there = fs::canonicalize(if above.as_os_str().is_empty() { Path::new(".") } else { above });
        Some(there.ok()?.join(path.strip_prefix(above).ok()?))
    };
    path.ancestors().find_map(whole).unwrap_or_else(|| path.to_owned())
}

/// A directory of directories of the operating system.
#[derive(Debug)]
pub struct RealFolders {
    dir: PathBuf,
}

impl RealFolders {
    /// Those in `dir`, which is made when the first one is.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Those beside the directory `one`, and its name among them.
    pub fn around(one: &Path) -> Result<(Self, String)> {
        let whole = fs::canonicalize(one).map_err(|e| Error::io("cannot find", one, e))?;
        let name = whole.file_name().and_then(|name| name.to_str());
        match (whole.parent(), name) {
            (Some(above), Some(name)) => Ok((Self::new(above), name.to_owned())),
            _ => Err(Error::invalid("bad_directory", format!("{} is in no directory", one.display()))),
        }
    }

    /// Whether they lie in the directory `above`, or would, by whatever path.
    pub fn lie_in(&self, above: &Path) -> bool {
        resolved(&self.dir).starts_with(resolved(above))
    }

    /// The name of the directory `one` among these, if it is one of them, by whatever path.
    pub fn name_of(&self, one: &Path) -> Result<Option<String>> {
        let (around, name) = Self::around(one)?;
        Ok(fs::canonicalize(&self.dir).is_ok_and(|dir| dir == around.dir).then_some(name))
    }
}

impl Folders for RealFolders {
    fn list(&self) -> Result<Vec<String>> {
        directories(&self.dir)
    }

    fn make(&self, name: &str) -> Result<Arc<dyn Vfs>> {
        make_durably(&self.dir)?;
        let path = self.dir.join(name);
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|e| Error::io("cannot make the directory", &path, e))?;
        give_directory(&path, &self.dir)?;
        self.open(name)
    }

    fn open(&self, name: &str) -> Result<Arc<dyn Vfs>> {
        Ok(Arc::new(RealVfs::existing(&self.dir.join(name))?))
    }

    fn link(&self, file: &str, from: &str, to: &str) -> Result<bool> {
        use std::io::ErrorKind::{CrossesDevices, NotFound, PermissionDenied, TooManyLinks, Unsupported};
        let new = self.dir.join(to).join(file);
        match fs::hard_link(self.dir.join(from).join(file), &new) {
            Ok(()) => Ok(true),
            Err(e)
                if [CrossesDevices, NotFound, PermissionDenied, TooManyLinks, Unsupported]
                    .contains(&e.kind()) =>
            {
                Ok(false)
            }
            Err(e) => Err(Error::io("cannot link", &new, e)),
        }
    }

    fn remove(&self, name: &str) -> Result<()> {
        let path = self.dir.join(name);
        fs::remove_dir_all(&path).map_err(|e| Error::io("cannot remove", &path, e))
    }

    fn sync(&self) -> Result<()> {
        sync_names(&self.dir)
    }

    fn describe(&self) -> String {
        self.dir.display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        let vfs = RealVfs::new(dir.path()).unwrap();
        fs::write(dir.path().join("good"), vec![7; 3 << 20]).unwrap();
        // Reading it fails as a bad sector does: after it was opened.
        let folder = File::open(dir.path()).unwrap();
        assert_eq!(read_from(&folder, dir.path(), 0).unwrap_err().kind(), ErrorKind::Corrupt);
        fs::create_dir(dir.path().join("folder")).unwrap();
        std::os::unix::fs::symlink("good", dir.path().join("link")).unwrap();
        assert_eq!(vfs.list().unwrap(), ["folder", "good", "link"]);
        for bad in ["folder", "link"] {
            for error in [vfs.read_through(bad).unwrap_err(), vfs.open(bad).err().unwrap()] {
                assert!(error.kind() == ErrorKind::Corrupt && error.message().contains("no file"), "{error}");
            }
        }
        vfs.read_through("good").unwrap();
        assert_eq!(vfs.read_through("none").unwrap_err().kind(), ErrorKind::Io);
    }
}
