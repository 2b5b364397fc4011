//! Bytes and files: everything that touches a disk goes through [`Vfs`], so that tests can crash it.

pub mod bits;
pub mod codec;
pub mod frame;
pub mod map;
pub mod system;
pub mod vfs;

pub use map::Bytes;
pub use vfs::{Folders, LOCK, RealFolders, RealVfs, Vfs, WriteFile, names_in};
