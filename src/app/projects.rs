//! The projects of a server. A project is a directory that is a whole store, with its own keys and everything saved. The first is the
//! data directory itself; the others are `projects/2`, `projects/3` and so on in it. No other list of them is kept, so a directory has its
//! number while all of it is there: it is made under another name, and loses its own when it is deleted.

use std::path::{Path, PathBuf};

use super::{App, Dashboard, Memory, StoredKeys, keys};
use crate::disk::{Folders, RealFolders, RealVfs, Vfs, names_in};
use crate::engine::read_only;
use crate::error::{Error, ErrorKind, Result};
use crate::limits;

/// The number of the project whose store is the data directory itself.
pub const FIRST: u32 = 1;

/// Where the others lie in a data directory.
pub const DIR: &str = "projects";

/// A project beside the first: its number, its store and its keys.
pub type Opened = (u32, App, StoredKeys);

/// The directory of a project in the data directory `data`.
pub fn dir(data: &Path, project: u32) -> PathBuf {
    if project == FIRST { data.to_owned() } else { data.join(DIR).join(project.to_string()) }
}

/// What the directory of a project is called while it is made, behind its number.
const NEW: &str = ".new";

/// What the directory of a deleted project is called, behind its number. It stays, empty, so that nobody else gets the number: accounts
/// and links may name it.
const GONE: &str = ".gone";

fn number(name: &str) -> Option<u32> {
    name.parse().ok().filter(|n: &u32| *n > FIRST && n.to_string() == name)
}

/// The directories of projects in `data` whose names end so behind their numbers.
fn named_so(data: &Path, ending: &str) -> Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for (name, is_dir) in names_in(&data.join(DIR))? {
        let Some(number) = name.strip_suffix(ending).and_then(number) else { continue };
        if !is_dir {
            let message = format!("{}: what lies there is no directory", data.join(DIR).join(name).display());
            return Err(Error::new(ErrorKind::Corrupt, "corrupt", message).hint(
                "put the directory of the project itself in its place, or move it away to do without",
            ));
        }
        numbers.push(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Numbers of the directories of projects beside the first in `data`, in order.
pub fn numbers(data: &Path) -> Result<Vec<u32>> {
    named_so(data, "")
}

/// Whether the directory of further projects in `data`, which is there, is ours: one with other names alone is somebody else's.
pub fn are_in(data: &Path) -> Result<bool> {
    let names = names_in(&data.join(DIR))?;
    Ok(names.is_empty() || names.iter().any(|(name, _)| number(name).is_some()))
}

/// Numbers of the projects that were deleted.
fn gone(data: &Path) -> Result<Vec<u32>> {
    named_so(data, GONE)
}

/// Whether there is a project of a number that has a directory: earlier versions left those whose making was cut short, without keys and
/// with nothing stored.
fn is_one(data: &Path, number: u32) -> bool {
    let dir = dir(data, number);
    let keys = RealVfs::existing(&dir).and_then(|vfs| Ok(vfs.list()?.iter().any(|name| name == keys::FILE)));
    // Whoever opens what cannot be looked into is told.
    !matches!(keys, Ok(false))
        || match read_only(&dir) {
            Ok(store) => store.persons.identities() > 0 || !store.damaged.is_empty(),
            Err(error) => error.kind() != ErrorKind::NotFound,
        }
}

/// Numbers of the projects beside the first in `data`, in order. One that has lost its keys is one all the same.
pub fn others(data: &Path) -> Result<Vec<u32>> {
    let mut others = numbers(data)?;
    others.retain(|number| is_one(data, *number));
    Ok(others)
}

/// Numbers of all projects in `data`, the first among them.
pub fn all(data: &Path) -> Result<Vec<u32>> {
    Ok(std::iter::once(FIRST).chain(others(data)?).collect())
}

/// What a file of a project begins with in messages about the whole data directory.
pub fn prefix(project: u32) -> String {
    if project == FIRST { String::new() } else { format!("projects/{project}/") }
}

/// An error about a file of a project, by its name in the data directory.
pub fn named(project: u32, error: Error) -> Error {
    let prefix = prefix(project);
    let unnamed = project != FIRST && !error.message().contains(&prefix);
    match error.kind() {
        ErrorKind::Corrupt | ErrorKind::Unsupported if unnamed => {
            error.in_directory(prefix.trim_end_matches('/'))
        }
        _ => error,
    }
}

/// Opens all projects in `data` but the first, each within its part of a budget, and removes what is left of those whose making or deletion
/// was cut short.
pub fn open(data: &Path, memory: Memory) -> Result<Vec<Opened>> {
    for number in gone(data)? {
        remove_gone(data, number)?;
    }
    for number in named_so(data, NEW)? {
        remove_new(data, number)?;
    }
    let mut opened = Vec::new();
    for number in numbers(data)? {
        let dir = dir(data, number);
        if !is_one(data, number) {
            log::warn!("{} is no project: its making was cut short; remove it", dir.display());
            continue;
        }
        let keys = StoredKeys::of_project(&RealVfs::existing(&dir)?)?;
        let app = App::open_within(&dir, memory).map_err(|error| named(number, error))?;
        opened.push((number, app, keys));
    }
    Ok(opened)
}

/// Makes a project with a name and its keys; returns once it is durable. Until the next start it has as large a part of the budget as the
/// others have.
pub fn create(data: &Path, name: &str, keys: StoredKeys, memory: Memory) -> Result<Opened> {
    let taken = numbers(data)?;
    if taken.len() >= limits::PROJECTS_MAX {
        let message = format!("there are {} projects already", limits::PROJECTS_MAX);
        return Err(Error::invalid("too_many", message).hint("delete one that nobody needs"));
    }
    Dashboard::default().rename(name)?;
    let number = taken.into_iter().chain(gone(data)?).max().unwrap_or(FIRST) + 1;
    remove_new(data, number)?;
    let new = data.join(DIR).join(format!("{number}{NEW}"));
    let make = || {
        let app = App::open_within(&new, memory)?;
        app.change_dashboard(|dashboard| dashboard.rename(name))?;
        keys.store(&new)?;
        app.close()
    };
    if let Err(error) = make() {
        remove_new(data, number)?;
        return Err(error);
    }
    let all = RealVfs::existing(&data.join(DIR))?;
    all.rename(&format!("{number}{NEW}"), &number.to_string())?;
    all.sync_dir()?;
    let app = App::open_within(&dir(data, number), memory)?;
    Ok((number, app, keys))
}

/// Removes a project that is being made, if there is one of this number.
fn remove_new(data: &Path, number: u32) -> Result<()> {
    let (all, new) = (RealFolders::new(&data.join(DIR)), format!("{number}{NEW}"));
    if all.list()?.contains(&new) { all.remove(&new) } else { Ok(()) }
}

/// What a project is called.
pub fn name(dashboard: &Dashboard, project: u32) -> String {
    match (dashboard.name.is_empty(), project) {
        (false, _) => dashboard.name.clone(),
        (true, FIRST) => "First project".to_owned(),
        (true, number) => format!("Project {number}"),
    }
}

/// An error if a project cannot be deleted, whoever asks for it.
pub fn deletable(project: u32) -> Result<()> {
    if project != FIRST {
        return Ok(());
    }
    let message = "the first project is the directory of the server itself and cannot be deleted";
    Err(Error::new(ErrorKind::Conflict, "first_project", message)
        .hint("stop the server and remove the directory, which ends all projects"))
}

/// That there is no project of a number.
pub fn none() -> Error {
    Error::new(ErrorKind::NotFound, "no_such_project", "there is no such project")
}

/// Deletes a project that nobody has open. Its directory gets another name first, which is what makes it none: before that it is whole,
/// afterwards each start removes what is left of it.
pub fn delete(data: &Path, project: u32) -> Result<()> {
    let all = RealVfs::existing(&data.join(DIR))?;
    all.rename(&project.to_string(), &format!("{project}{GONE}"))?;
    all.sync_dir()?;
    if let Err(error) = remove_gone(data, project) {
        log::error!(
            "project {project} is deleted, but some of its files are left until the next start: {error}"
        );
    }
    Ok(())
}

fn remove_gone(data: &Path, project: u32) -> Result<()> {
    let dir = RealVfs::existing(&data.join(DIR).join(format!("{project}{GONE}")))?;
    dir.clear()?;
    dir.sync_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(name: &str) -> StoredKeys {
        StoredKeys::new(name.to_owned(), String::new())
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
        for nobodys in ["3", "007", "x", "4.new/wal", "5.new"] {
            std::fs::create_dir_all(data.path().join("projects").join(nobodys)).unwrap();
        }
        let (next, app, _) = create(data.path(), "Blog", keys("c"), Memory::default()).unwrap();
        drop(app);
        let opened: Vec<(u32, String)> = open(data.path(), Memory::default())
            .unwrap()
            .into_iter()
            .map(|(n, app, _)| (n, app.dashboard().name.clone()))
            .collect();
        assert_eq!(opened, [(2, "Shop".to_owned()), (next, "Blog".to_owned())]);
        assert_eq!(next, 4, "the third was cut short");
        let left = |name: &str| data.path().join("projects").join(name).exists();
        assert!(left("3") && left("x") && !left("4.new") && !left("5.new"));
    }

    #[test]
    fn a_deleted_project_is_whole_or_gone() {
        let data = tempfile::tempdir().unwrap();
        let make = |name| {
            create(data.path(), name, keys(name), Memory::default())
                .map(|(number, app, _)| (number, app.close()))
                .unwrap()
                .0
        };
        assert_eq!((make("Shop"), make("Blog"), make("News")), (2, 3, 4));
        delete(data.path(), 4).unwrap();
        assert_eq!(others(data.path()).unwrap(), [2, 3]);
        let left = |name: &str| std::fs::read_dir(data.path().join("projects").join(name)).unwrap().count();
        assert_eq!(left("4.gone"), 0);
        assert_eq!(make("Next"), 5, "its number is nobody else's");
        // A crash between the two steps, and one in the middle of the second.
        std::fs::rename(data.path().join("projects/2"), data.path().join("projects/2.gone")).unwrap();
        std::fs::rename(data.path().join("projects/3"), data.path().join("projects/3.gone")).unwrap();
        std::fs::remove_file(data.path().join("projects/3.gone/MANIFEST")).unwrap();
        std::fs::create_dir(data.path().join("projects/3.gone/folder")).unwrap();
        assert_eq!(numbers(data.path()).unwrap(), [5]);
        let opened: Vec<u32> =
            open(data.path(), Memory::default()).unwrap().into_iter().map(|(number, ..)| number).collect();
        assert_eq!((opened, left("2.gone"), left("3.gone")), (vec![5], 0, 0));
        assert!(delete(data.path(), 9).is_err());
    }
}
