//! The small files of JSON that lie beside the data of a store: whether each can be read. The store opens without them, a server does not.

use std::path::Path;

use super::{Accounts, Dashboard, Retention, StoredKeys, backups, saved};
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

/// What is wrong beside the data of the store in `dir`; if that is a backup, what it has lost as well.
pub fn damaged(dir: &Path) -> Result<Vec<Error>> {
    let vfs = RealVfs::existing(dir)?;
    let mut damaged = unreadable(&vfs);
    damaged.extend(backups::lost(&vfs)?);
    Ok(damaged)
}
