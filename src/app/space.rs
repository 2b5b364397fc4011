//! Room on the disk: how much there is, when to warn, and a reserve, so that a store whose disk others have filled can
//! still be opened.

use std::path::Path;

use super::App;
use crate::disk::{RealVfs, Vfs};
use crate::error::Result;
use crate::limits;

const RESERVE: &str = "reserve";

/// How much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Enough.
    Enough,
    /// Little: time to do something.
    Low,
    /// None: records are refused.
    Full,
}

impl Room {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enough => "ok",
            Self::Low => "low",
            Self::Full => "full",
        }
    }
}

impl App {
    /// How much room there is on the disk of the store, and the bytes that are free.
    pub fn room(&self) -> Result<(Room, u64)> {
        let free = RealVfs::new(&self.dir)?.free_bytes()?;
        let refused = self.engine.healthy().is_err_and(|e| e.kind() == crate::ErrorKind::Full);
        let room = match free {
            _ if refused => Room::Full,
            free if free < self.warn_below => Room::Low,
            _ => Room::Enough,
        };
        Ok((room, free))
    }

    /// Sets the reserve aside, if there is none and plenty of room.
    pub(super) fn keep_reserve(&self) -> Result<()> {
        after_opening(&self.dir)
    }
}

/// Whether there is a reserve; an error if something else has its name.
pub(super) fn reserve(vfs: &RealVfs) -> Result<bool> {
    vfs.has_file(RESERVE)
}

/// Gives the reserve to the opening of the store in `dir`, if there is no other room.
pub(super) fn before_opening(dir: &Path) -> Result<()> {
    let vfs = RealVfs::new(dir)?;
    if vfs.free_bytes()? < limits::FREE_BYTES_MIN && reserve(&vfs)? {
        // Where a server has the store nobody else opens it.
        let Ok(_lock) = vfs.lock() else { return Ok(()) };
        log::warn!("the disk of {} is full: the reserve is used to open the store", vfs.describe());
        vfs.remove(RESERVE)?;
        vfs.sync_dir()?;
    }
    Ok(())
}

/// Sets the reserve aside, if there is plenty of room.
pub(super) fn after_opening(dir: &Path) -> Result<()> {
    let vfs = RealVfs::new(dir)?;
    let plenty = 16 * limits::RESERVE_BYTES;
    if !reserve(&vfs)? && vfs.free_bytes()? >= plenty {
        vfs.hold(RESERVE, limits::RESERVE_BYTES)?;
    }
    Ok(())
}
