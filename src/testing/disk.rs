//! A disk in memory that loses power: one directory, and others in it. It keeps apart what a program has written and what is durable, as a disk does: a
//! file's sync makes its bytes durable but not its name, only the directory's sync does that. Tests cut the power at any
//! operation, look at what a disk may hold afterwards, or let a single operation fail.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::random::Random;
use crate::disk::{Bytes, Vfs, WriteFile};
use crate::error::{Error, ErrorKind, Result};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;
/// Free space of a disk that was told nothing else.
const FREE: u64 = 1 << 50;

/// How a single operation fails. All but `ShortWrite` and `Full` leave nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A file's sync fails, and what was to be synced never reaches the disk, though a later sync says so.
    SyncError,
    /// A write fails.
    WriteError,
    /// A write fails in the middle.
    ShortWrite,
    /// The disk is full in the middle of a write.
    Full,
    /// A file cannot be created.
    CreateError,
    /// A rename fails.
    RenameError,
    /// A removal fails.
    RemoveError,
    /// The directory's sync fails; its changes stay undurable.
    SyncDirError,
    /// A file cannot be opened to be read.
    OpenError,
}

impl Fault {
    /// All kinds that strike what changes the disk.
    pub const ALL: [Self; 8] = [
        Self::SyncError,
        Self::WriteError,
        Self::ShortWrite,
        Self::Full,
        Self::CreateError,
        Self::RenameError,
        Self::RemoveError,
        Self::SyncDirError,
    ];

    fn strikes(self) -> Operation {
        match self {
            Self::SyncError => Operation::Sync,
            Self::WriteError | Self::ShortWrite | Self::Full => Operation::Write,
            Self::CreateError => Operation::Create,
            Self::RenameError => Operation::Rename,
            Self::RemoveError => Operation::Remove,
            Self::SyncDirError => Operation::SyncDir,
            Self::OpenError => Operation::Open,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Create,
    Write,
    Sync,
    Rename,
    Remove,
    SyncDir,
    Open,
}

/// A file, whatever its name. Files are only appended to.
#[derive(Clone, Default)]
struct Node {
    /// What a reader sees.
    data: Vec<u8>,
    /// What is on the platter.
    durable: Vec<u8>,
    /// Where the bytes begin that a sync would write.
    dirty: usize,
}

#[derive(Clone)]
enum DirOp {
    Name(String, u64),
    Forget(String),
    Rename(String, String, u64),
}

#[derive(Clone, Default)]
struct State {
    nodes: BTreeMap<u64, Node>,
    next_node: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    /// Changes of names since the directory's last sync.
    pending: Vec<DirOp>,
    ops: u64,
    /// The power goes off at the operation of this number.
    off_at: Option<u64>,
    /// The fault to come, and how many operations of its kind come before it.
    fault: Option<(Fault, u64)>,
    struck: bool,
    free: u64,
    /// A file with a sector that cannot be read.
    bad: Option<String>,
    /// Directories that are locked.
    locked: BTreeSet<String>,
    /// How many of them were at once, at most.
    most_locked: usize,
}

/// A directory of the simulated disk. Clones are handles of the same one; all directories of a disk lose power together.
#[derive(Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    /// What the paths of its files begin with: nothing, or names that end in slashes.
    path: String,
}

fn failed(what: &str, name: &str, why: &str) -> Error {
    Error::io(what, Path::new(name), std::io::Error::other(why.to_owned()))
}

fn full(name: &str) -> Error {
    Error::io("cannot write", Path::new(name), std::io::ErrorKind::StorageFull.into())
}

impl State {
    /// Counts an operation: an error if the power is off, the fault if one strikes it.
    fn step(&mut self, operation: Operation, name: &str) -> Result<Option<Fault>> {
        if self.is_off() {
            // From here on nothing leaves a trace; see `write`.
            self.off_at = Some(0);
            return Err(failed("cannot reach", name, "the power is off"));
        }
        self.ops += 1;
        Ok(self.strike(operation))
    }

    /// The fault, if it strikes this operation.
    fn strike(&mut self, operation: Operation) -> Option<Fault> {
        match &mut self.fault {
            Some((fault, before)) if fault.strikes() == operation => {
                if *before == 0 {
                    let fault = *fault;
                    (self.fault, self.struck) = (None, true);
                    return Some(fault);
                }
                *before -= 1;
            }
            _ => {}
        }
        None
    }

    fn is_off(&self) -> bool {
        self.off_at.is_some_and(|at| self.ops >= at)
    }

    fn find(&self, what: &str, name: &str) -> Result<u64> {
        self.names.get(name).copied().ok_or_else(|| failed(what, name, "no such file"))
    }

    /// Changes names; it is durable after the sync of their directory.
    fn change(&mut self, op: DirOp) {
        apply(&op, &mut self.names);
        self.pending.push(op);
    }

    fn append(&mut self, node: u64, bytes: &[u8]) {
        if let Some(node) = self.nodes.get_mut(&node) {
            node.data.extend_from_slice(bytes);
        }
    }

    /// Makes the names in one directory durable.
    fn sync_names(&mut self, folder: &str) {
        let (done, left) =
            std::mem::take(&mut self.pending).into_iter().partition(|op| op.folder() == folder);
        let done: Vec<DirOp> = done;
        self.pending = left;
        done.iter().for_each(|op| apply(op, &mut self.durable_names));
        let pending = self.pending.iter().filter_map(|op| match op {
            DirOp::Name(_, node) | DirOp::Rename(_, _, node) => Some(*node),
            DirOp::Forget(_) => None,
        });
        let named = self.names.values().chain(self.durable_names.values()).copied();
        let named: BTreeSet<u64> = named.chain(pending).collect();
        self.nodes.retain(|node, _| named.contains(node));
    }

    /// As [`WriteFile::write_all`]; a write that is cut leaves a part of the bytes.
    fn write(&mut self, node: u64, name: &str, bytes: &[u8]) -> Result<()> {
        let part = bytes.len() * (self.ops % 11) as usize / 11;
        let part = bytes.get(..part).unwrap_or(&[]);
        let cut = self.off_at == Some(self.ops);
        match self.step(Operation::Write, name) {
            Err(error) => {
                // Only the write during which the power fails leaves something.
                if cut {
                    self.append(node, part);
                }
                Err(error)
            }
            Ok(Some(Fault::ShortWrite)) => {
                self.append(node, part);
                Err(failed("cannot write", name, "input/output error"))
            }
            Ok(Some(Fault::Full)) => {
                self.append(node, part);
                Err(full(name))
            }
            Ok(Some(_)) => Err(failed("cannot write", name, "input/output error")),
            Ok(None) => {
                let room = usize::try_from(self.free).unwrap_or(usize::MAX).min(bytes.len());
                self.append(node, bytes.get(..room).unwrap_or(bytes));
                self.free -= room as u64;
                if room < bytes.len() { Err(full(name)) } else { Ok(()) }
            }
        }
    }

    fn sync(&mut self, node: u64, name: &str) -> Result<()> {
        let fault = self.step(Operation::Sync, name)?;
        let Some(node) = self.nodes.get_mut(&node) else { return Ok(()) };
        let from = std::mem::replace(&mut node.dirty, node.data.len());
        if fault.is_some() {
            return Err(failed("cannot sync", name, "input/output error"));
        }
        // What a failed sync dropped before is never written.
        node.durable.resize(node.data.len(), 0);
        if let (Some(to), Some(bytes)) = (node.durable.get_mut(from..), node.data.get(from..)) {
            to.copy_from_slice(bytes);
        }
        Ok(())
    }
}

/// The directory of a path, with its slash; that of a directory, whose path ends in one, is the one above.
fn folder_of(path: &str) -> &str {
    let name = path.strip_suffix('/').unwrap_or(path);
    name.rfind('/').and_then(|slash| path.get(..=slash)).unwrap_or("")
}

impl DirOp {
    /// The directory that it changes.
    fn folder(&self) -> &str {
        match self {
            Self::Name(path, _) | Self::Forget(path) | Self::Rename(path, _, _) => folder_of(path),
        }
    }
}

fn apply(op: &DirOp, names: &mut BTreeMap<String, u64>) {
    match op {
        DirOp::Name(name, node) => {
            names.insert(name.clone(), *node);
        }
        DirOp::Forget(name) => {
            names.remove(name);
        }
        DirOp::Rename(from, to, node) => {
            names.remove(from);
            names.insert(to.clone(), *node);
        }
    }
}

/// A file's bytes as found after the power came back.
fn surviving(node: &Node, random: &mut Random) -> Vec<u8> {
    let mut found = node.durable.clone();
    let unsynced = node.dirty..node.data.len();
    if unsynced.is_empty() || random.chance(25) {
        return found;
    }
    let all = random.chance(33);
    let fill = random.pick(&[0u8, 0, 0xaa]);
    // The size may be durable without the data, or be cut at any sector.
    let mut size = node.data.len();
    if !all && random.chance(40) {
        let sectors = (size - node.dirty).div_ceil(SECTOR) as u64 + 1;
        let cut = (node.dirty / SECTOR + random.below(sectors) as usize) * SECTOR;
        size = cut.clamp(node.durable.len(), size);
    }
    found.resize(size.max(found.len()), fill);
    let mut at = unsynced.start;
    while at < size {
        let end = ((at / SECTOR + 1) * SECTOR).min(size);
        let kept = all || random.chance(50);
        if kept && let (Some(to), Some(bytes)) = (found.get_mut(at..end), node.data.get(at..end)) {
            to.copy_from_slice(bytes);
        }
        at = end;
    }
    found
}

impl SimDisk {
    /// An empty disk.
    pub fn new() -> Self {
        let disk = Self::default();
        disk.state().free = FREE;
        disk
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Operations so far: creations, writes, syncs, renames, removals and syncs of the directory.
    pub fn ops(&self) -> u64 {
        self.state().ops
    }

    /// Lets `n` more operations succeed; the next and everything after it fails. A write that it hits may be there in part.
    pub fn power_off_after(&self, n: u64) {
        let mut state = self.state();
        state.off_at = Some(state.ops.saturating_add(n));
    }

    /// Whether the power is off.
    pub fn is_off(&self) -> bool {
        self.state().is_off()
    }

    /// Lets the fault strike once, after `n` more operations of the kind that it can strike.
    pub fn fail_at(&self, n: u64, fault: Fault) {
        self.state().fault = Some((fault, n));
    }

    /// Whether the fault has struck.
    pub fn struck(&self) -> bool {
        self.state().struck
    }

    /// Directories of it that were locked at once, at most: each is an open file.
    pub fn most_locked(&self) -> usize {
        self.state().most_locked
    }

    /// Sets the room that is left.
    pub fn set_free(&self, bytes: u64) {
        self.state().free = bytes;
    }

    /// A sector of a file cannot be read from now on.
    pub fn set_bad(&self, name: &str) {
        self.state().bad = Some(name.to_owned());
    }

    /// Another disk with the same content, in good order: what the next process finds if only the process dies.
    pub fn copy(&self) -> Self {
        let state = State {
            off_at: None,
            fault: None,
            struck: false,
            ops: 0,
            locked: BTreeSet::new(),
            ..self.state().clone()
        };
        Self { state: Arc::new(Mutex::new(state)), path: self.path.clone() }
    }

    /// The disk as found when the power is back: what was synced, and of the rest whatever `seed` decides.
    pub fn crashed(&self, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let state = self.state();
        let mut names = state.durable_names.clone();
        // Journals keep the order of changes of names; nothing but a sync promises it.
        let ordered = random.chance(50);
        let kept = random.below(state.pending.len() as u64 + 1) as usize;
        for (at, op) in state.pending.iter().enumerate() {
            if if ordered { at < kept } else { random.chance(50) } {
                apply(op, &mut names);
            }
        }
        // Who cannot reach a directory cannot reach its files.
        let folders: BTreeSet<String> = names.keys().filter(|path| path.ends_with('/')).cloned().collect();
        names.retain(|path, _| folder_of(path).is_empty() || folders.contains(folder_of(path)));
        let mut found = State { free: state.free, next_node: state.next_node, ..State::default() };
        for node in names.values() {
            let data = state.nodes.get(node).map(|n| surviving(n, &mut random)).unwrap_or_default();
            let dirty = data.len();
            found.nodes.insert(*node, Node { durable: data.clone(), data, dirty });
        }
        found.durable_names = names.clone();
        found.names = names;
        Self { state: Arc::new(Mutex::new(found)), path: self.path.clone() }
    }

    /// Puts a file on the disk, durably, replacing one of that name: for damage.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let mut state = self.state();
        let node = state.next_node;
        state.next_node += 1;
        state.nodes.insert(node, Node { data: bytes.to_vec(), durable: bytes.to_vec(), dirty: bytes.len() });
        state.names.insert(self.at(name), node);
        state.durable_names.insert(self.at(name), node);
    }

    /// All files with their bytes.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state();
        let bytes = |node| state.nodes.get(node).map(|n| n.data.clone()).unwrap_or_default();
        let mine = state.names.iter().filter_map(|(path, node)| Some((self.own(path)?, node)));
        mine.map(|(name, node)| (name.to_owned(), bytes(node))).collect()
    }

    /// The path of a file of this directory.
    fn at(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    /// The name of a file by its path, if it lies in this directory.
    fn own<'p>(&self, path: &'p str) -> Option<&'p str> {
        path.strip_prefix(&self.path).filter(|name| !name.is_empty() && !name.contains('/'))
    }
}

struct SimFile {
    state: Arc<Mutex<State>>,
    node: u64,
    name: String,
}

impl WriteFile for SimFile {
    fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).write(self.node, &self.name, bytes)
    }

    fn sync(&mut self) -> Result<()> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).sync(self.node, &self.name)
    }
}

struct SimLock(Arc<Mutex<State>>, String);

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).locked.remove(&self.1);
    }
}

impl Vfs for SimDisk {
    fn create(&self, name: &str) -> Result<Box<dyn WriteFile>> {
        let mut state = self.state();
        if state.step(Operation::Create, name)?.is_some() {
            return Err(failed("cannot create", name, "too many open files"));
        }
        if state.names.contains_key(&self.at(name)) {
            return Err(failed("cannot create", name, "the file exists"));
        }
        let node = state.next_node;
        state.next_node += 1;
        state.nodes.insert(node, Node::default());
        state.change(DirOp::Name(self.at(name), node));
        Ok(Box::new(SimFile { state: Arc::clone(&self.state), node, name: name.to_owned() }))
    }

    fn open(&self, name: &str) -> Result<Bytes> {
        let mut state = self.state();
        if state.is_off() {
            return Err(failed("cannot open", name, "the power is off"));
        }
        if state.strike(Operation::Open).is_some() {
            return Err(failed("cannot open", name, "too many open files"));
        }
        let node = state.find("cannot open", &self.at(name))?;
        // A segment may be opened by its end; whoever opens another file looks at all of it.
        assert!(name.starts_with("seg-") || state.bad.as_deref() != Some(name), "{name} has a bad sector");
        Ok(Bytes::from_vec(state.nodes.get(&node).map(|n| n.data.clone()).unwrap_or_default()))
    }

    fn read_through(&self, name: &str) -> Result<()> {
        let state = self.state();
        if state.bad.as_deref() == Some(name) {
            return Err(Error::corrupt(name, 1, "it cannot be read"));
        }
        if state.is_off() {
            return Err(failed("cannot read", name, "the power is off"));
        }
        state.find("cannot open", &self.at(name)).map(drop)
    }

    fn list(&self) -> Result<Vec<String>> {
        let state = self.state();
        if state.is_off() {
            return Err(failed("cannot list", "the directory", "the power is off"));
        }
        Ok(state.names.keys().filter_map(|path| self.own(path)).map(str::to_owned).collect())
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let mut state = self.state();
        if state.step(Operation::Rename, from)?.is_some() {
            return Err(failed("cannot rename", from, "input/output error"));
        }
        let node = state.find("cannot rename", &self.at(from))?;
        state.change(DirOp::Rename(self.at(from), self.at(to), node));
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        let mut state = self.state();
        if state.step(Operation::Remove, name)?.is_some() {
            return Err(failed("cannot remove", name, "input/output error"));
        }
        state.find("cannot remove", &self.at(name))?;
        state.change(DirOp::Forget(self.at(name)));
        Ok(())
    }

    fn sync_dir(&self) -> Result<()> {
        let mut state = self.state();
        if state.step(Operation::SyncDir, "the directory")?.is_some() {
            return Err(failed("cannot sync", "the directory", "input/output error"));
        }
        state.sync_names(&self.path);
        Ok(())
    }

    fn lock(&self) -> Result<Box<dyn Send + Sync>> {
        let mut state = self.state();
        if !state.locked.insert(self.path.clone()) {
            return Err(Error::new(ErrorKind::Locked, "locked", "the simulated disk is in use"));
        }
        state.most_locked = state.most_locked.max(state.locked.len());
        drop(state);
        Ok(Box::new(SimLock(Arc::clone(&self.state), self.path.clone())))
    }

    fn free_bytes(&self) -> Result<u64> {
        Ok(self.state().free)
    }

    fn describe(&self) -> String {
        "the simulated disk".to_owned()
    }
}

#[path = "disk_folders.rs"]
mod folders;
pub use folders::SimFolders;

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
