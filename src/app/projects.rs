//! The projects of a server. A project is a directory that is a whole store, with its own keys and everything saved. The first is the
//! data directory itself; the others are `projects/2`, `projects/3` and so on in it. No other list of them is kept.

use std::path::{Path, PathBuf};

use super::{App, Memory, StoredKeys};
use crate::disk::{RealVfs, directories};
use crate::error::{Error, Result};
use crate::limits;

/// The number of the project whose store is the data directory itself.
pub const FIRST: u32 = 1;

/// A project beside the first: its number, its store and its keys.
pub type Opened = (u32, App, StoredKeys);

/// The directory of a project in the data directory `data`.
pub fn dir(data: &Path, project: u32) -> PathBuf {
    if project == FIRST { data.to_owned() } else { data.join("projects").join(project.to_string()) }
}

/// Numbers of the directories of projects beside the first in `data`, in order, finished or not.
pub fn numbers(data: &Path) -> Result<Vec<u32>> {
    let number = |name: String| name.parse().ok().filter(|n: &u32| *n > FIRST && n.to_string() == name);
    let mut numbers: Vec<u32> = directories(&data.join("projects"))?.into_iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Numbers of the finished projects beside the first in `data`, in order.
pub fn finished(data: &Path) -> Result<Vec<u32>> {
    let mut finished = numbers(data)?;
    let mut failure = None;
    finished.retain(|number| match StoredKeys::load(&dir(data, *number)) {
        Ok(keys) => keys.is_some(),
        Err(error) => {
            failure.get_or_insert(error);
            false
        }
    });
    failure.map_or(Ok(finished), Err)
}

/// Opens all projects in `data` but the first, each within its part of a budget.
pub fn open(data: &Path, memory: Memory) -> Result<Vec<Opened>> {
    let mut opened = Vec::new();
    for number in numbers(data)? {
        let dir = dir(data, number);
        // Keys are written last: without them the making of the project was cut short.
        if let Some(keys) = StoredKeys::load(&dir)? {
            opened.push((number, App::open_within(&dir, memory)?, keys));
        }
    }
    Ok(opened)
}

/// Makes a project with a name and its keys; returns once it is durable. Until the next start it has as large a part of the budget as the
/// others have.
pub fn create(data: &Path, name: &str, keys: StoredKeys, memory: Memory) -> Result<Opened> {
    let numbers = numbers(data)?;
    if numbers.len() >= limits::PROJECTS_MAX {
        let message = format!("there are {} projects already", limits::PROJECTS_MAX);
        return Err(Error::invalid("too_many", message)
            .hint("remove the directory of one while the server is stopped"));
    }
    let number = numbers.last().copied().unwrap_or(FIRST) + 1;
    let dir = dir(data, number);
    let app = App::open_within(&dir, memory)?;
    app.change_dashboard(|dashboard| dashboard.rename(name))?;
    keys.store(&dir)?;
    for above in [data.join("projects"), data.to_owned()] {
        use crate::disk::Vfs;
        RealVfs::new(&above)?.sync_dir()?;
    }
    Ok((number, app, keys))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(name: &str) -> StoredKeys {
        StoredKeys { write_key: name.to_owned(), api_key_sha256: String::new(), more: Vec::new() }
    }

    #[test]
    fn projects_are_directories() {
        let data = tempfile::tempdir().unwrap();
        assert!(open(data.path(), Memory::default()).unwrap().is_empty(), "a store of before has none");
        let (two, app, _) = create(data.path(), " Shop ", keys("a"), Memory::default()).unwrap();
        assert_eq!((two, app.dashboard().name.as_str()), (2, "Shop"));
        assert_eq!(
            create(data.path(), "  ", keys("b"), Memory::default()).map(drop).unwrap_err().code(),
            "bad_name"
        );
        drop(app);
        // What was cut short or is nothing of ours is left alone, and its number is not taken again.
        std::fs::create_dir_all(data.path().join("projects/007")).unwrap();
        std::fs::create_dir_all(data.path().join("projects/x")).unwrap();
        let (next, app, _) = create(data.path(), "Blog", keys("c"), Memory::default()).unwrap();
        drop(app);
        let opened: Vec<(u32, String)> = open(data.path(), Memory::default())
            .unwrap()
            .into_iter()
            .map(|(n, app, _)| (n, app.dashboard().name.clone()))
            .collect();
        assert_eq!(opened, [(2, "Shop".to_owned()), (next, "Blog".to_owned())]);
        assert_eq!(next, 4, "the third was cut short for want of a name");
    }
}
