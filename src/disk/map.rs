//! The only unsafe code: read-only mappings of immutable files.
//!
//! Sound as long as no one changes or truncates a mapped file. The store guarantees its side: files are mapped
//! only after they were written, synced and named in the manifest, they are made readable by their owner
//! only, nothing ever opens them for writing again, and removing one only unlinks its name.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::sync::Arc;

/// The bytes of one immutable file, mapped or in memory. Clones share them.
#[derive(Clone)]
pub enum Bytes {
    /// Mapped.
    Map(Arc<memmap2::Mmap>),
    /// In memory.
    Heap(Arc<[u8]>),
}

impl Bytes {
    /// Bytes that live in memory.
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        Self::Heap(bytes.into())
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Map(map) => map,
            Self::Heap(bytes) => bytes,
        }
    }
}

/// Maps the whole of `file`.
#[expect(unsafe_code, reason = "mapping a file is unsafe by nature; the argument is at the top of this file")]
pub fn map(file: &File) -> io::Result<Bytes> {
    if file.metadata()?.len() == 0 {
        return Ok(Bytes::from_vec(Vec::new()));
    }
    // SAFETY: the file is immutable from here on, as argued at the top of this file.
    let map = unsafe { memmap2::Mmap::map(file)? };
    Ok(Bytes::Map(Arc::new(map)))
}
