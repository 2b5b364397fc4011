//! Directories in a directory of the simulated disk.

use std::sync::Arc;

use super::{DirOp, Node, Operation, SimDisk, failed};
use crate::disk::{Folders, Vfs};
use crate::error::Result;

/// The directories in one, which is always there.
#[derive(Clone)]
pub struct SimFolders {
    above: SimDisk,
}

impl SimDisk {
    /// The directories in the one called `name`, which is there, durably.
    pub fn folders(&self, name: &str) -> SimFolders {
        let path = format!("{}{name}/", self.path);
        let mut state = self.state();
        if !state.names.contains_key(&path) {
            let node = state.next_node;
            state.next_node += 1;
            state.nodes.insert(node, Node::default());
            state.names.insert(path.clone(), node);
            state.durable_names.insert(path.clone(), node);
        }
        drop(state);
        SimFolders { above: Self { state: Arc::clone(&self.state), path } }
    }
}

impl SimFolders {
    /// A directory, whether it is there or not.
    pub fn disk(&self, name: &str) -> SimDisk {
        SimDisk { state: Arc::clone(&self.above.state), path: format!("{}{name}/", self.above.path) }
    }

    /// As [`Folders::make`].
    pub fn make_disk(&self, name: &str) -> Result<SimDisk> {
        let disk = self.disk(name);
        let mut state = self.above.state();
        if state.step(Operation::Create, name)?.is_some() {
            return Err(failed("cannot make", name, "too many links"));
        }
        if state.names.contains_key(&disk.path) {
            return Err(failed("cannot make", name, "the directory exists"));
        }
        let node = state.next_node;
        state.next_node += 1;
        state.nodes.insert(node, Node::default());
        state.change(DirOp::Name(disk.path.clone(), node));
        drop(state);
        Ok(disk)
    }
}

impl Folders for SimFolders {
    fn list(&self) -> Result<Vec<String>> {
        let state = self.above.state();
        if state.is_off() {
            return Err(failed("cannot list", "the directory", "the power is off"));
        }
        let names =
            state.names.keys().filter_map(|path| path.strip_prefix(&self.above.path)?.strip_suffix('/'));
        let mut names: Vec<String> = names.filter(|name| !name.contains('/')).map(str::to_owned).collect();
        // Paths end in a stroke, which other characters sort before.
        names.sort_unstable();
        Ok(names)
    }

    fn make(&self, name: &str) -> Result<Arc<dyn Vfs>> {
        Ok(Arc::new(self.make_disk(name)?))
    }

    fn open(&self, name: &str) -> Result<Arc<dyn Vfs>> {
        let disk = self.disk(name);
        self.above.state().find("cannot open", &disk.path)?;
        Ok(Arc::new(disk))
    }

    fn link(&self, file: &str, from: &str, to: &str) -> Result<bool> {
        let (from, to) = (self.disk(from), self.disk(to));
        let mut state = self.above.state();
        if state.step(Operation::Create, file)?.is_some() {
            return Err(failed("cannot link", file, "input/output error"));
        }
        let Some(node) = state.names.get(&from.at(file)).copied() else { return Ok(false) };
        state.change(DirOp::Name(to.at(file), node));
        Ok(true)
    }

    fn remove(&self, name: &str) -> Result<()> {
        let disk = self.disk(name);
        for file in disk.list()? {
            disk.remove(&file)?;
        }
        let mut state = self.above.state();
        if state.step(Operation::Remove, name)?.is_some() {
            return Err(failed("cannot remove", name, "input/output error"));
        }
        state.change(DirOp::Forget(disk.path.clone()));
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.above.sync_dir()
    }

    fn describe(&self) -> String {
        self.above.describe()
    }
}
