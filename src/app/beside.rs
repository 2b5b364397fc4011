//! The small files of JSON that lie beside the data of a store: whether each can be read. The store opens without them, a server does not.

use std::path::Path;

use super::keys::discard;
use super::{Accounts, Dashboard, Retention, StoredKeys, backups, projects, saved, space};
use crate::disk::{RealVfs, Vfs};
use crate::error::{Error, Result};

/// What is wrong with those in a directory.
pub fn unreadable(vfs: &dyn Vfs) -> Vec<Error> {
    let all = [
        StoredKeys::load_on(vfs).err(),
        saved::load_on(vfs).err(),
        Dashboard::load_on(vfs).err(),
        Retention::load_on(vfs).err(),
        Accounts::readable(vfs).err(),
    ];
    all.into_iter().flatten().collect()
}

/// What is wrong beside the data of a project in `data`; if that is a backup, what it has lost as well.
pub fn damaged(data: &Path, project: u32) -> Result<Vec<Error>> {
    let vfs = RealVfs::existing(&projects::dir(data, project))?;
    let mut damaged = unreadable(&vfs);
    // The first project is given its keys by the first start.
    if project != projects::FIRST && matches!(StoredKeys::load_on(&vfs), Ok(None)) {
        damaged.extend(StoredKeys::of_project(&vfs).err());
    }
    damaged.extend(space::reserve(&vfs).err());
    damaged.extend(backups::lost(&vfs)?);
    Ok(damaged)
}

/// Removes what changes of such files that were cut short have left in a directory: it may name somebody who is erased by now.
pub fn sweep(vfs: &dyn Vfs) -> Result<()> {
    let left = vfs.list()?.into_iter().filter(|name| name.ends_with(".json.new"));
    left.into_iter().try_for_each(|name| discard(vfs, &name))
}
