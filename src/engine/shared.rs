//! What the threads of an engine share.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::feed::Feed;
use super::load::Numbering;
use super::meters::Meters;
use super::{Options, Snapshot};
use crate::disk::Vfs;
use crate::error::{Error, ErrorKind, Result};
use crate::store::manifest::Manifest;
use crate::store::refusals::Refusals;
use crate::store::segment::Segment;

/// What the threads share.
pub(crate) struct Shared {
    pub(crate) vfs: Arc<dyn Vfs>,
    pub(crate) options: Options,
    pub(crate) current: RwLock<Arc<Snapshot>>,
    pub(crate) manifest: Mutex<Manifest>,
    pub(crate) refusals: Mutex<Refusals>,
    pub(crate) feed: Feed,
    pub(crate) meters: Meters,
    /// The first failure of a write, after which nothing is written any more.
    pub(crate) poison: Mutex<Option<(ErrorKind, String)>>,
    pub(crate) closing: AtomicBool,
    /// Only one merge of segments at a time, whoever asks for it.
    pub(crate) merging: Mutex<()>,
    /// The same of identities. Who takes both takes this one last.
    pub(crate) merging_identities: Mutex<()>,
    /// Segments that somebody found damaged, for the compactor to leave out.
    pub(crate) suspects: Mutex<Vec<(Arc<Segment>, Error)>>,
    pub(crate) compactions: AtomicU64,
    pub(crate) flushes: AtomicU64,
    /// A flush waits for room on the disk: nothing more is taken until it has some.
    pub(crate) cramped: AtomicBool,
    /// In an engine without a log, where values are numbered.
    pub(crate) numbering: Option<Arc<Numbering>>,
    /// Of the batches that were loaded, those that are durable.
    pub(crate) durable: AtomicU64,
    /// Duplicates that were found by a flush.
    pub(crate) repeated: AtomicU64,
}

impl Shared {
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the snapshot by what `change` makes of it.
    pub(crate) fn publish(&self, change: impl FnOnce(&mut Snapshot)) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = Snapshot::clone(&current);
        change(&mut next);
        *current = Arc::new(next);
    }

    /// Remembers the first failure of a write.
    pub(crate) fn fail(&self, error: &Error) {
        let mut poison = self.poison.lock().unwrap_or_else(PoisonError::into_inner);
        if poison.is_none() {
            log::error!("the store is read-only from now on: {error}");
            *poison = Some((error.kind(), error.to_string()));
        }
    }

    /// The same, but of a full disk, which has changed nothing.
    pub(crate) fn fail_unless_full(&self, error: &Error) {
        if error.kind() != ErrorKind::Full {
            self.fail(error);
        }
    }

    /// An error if a write has failed before.
    pub(crate) fn healthy(&self) -> Result<()> {
        match &*self.poison.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some((kind, message)) => {
                let (kind, code) = match kind {
                    ErrorKind::Full => (ErrorKind::Full, "disk_full"),
                    _ => (ErrorKind::Poisoned, "read_only"),
                };
                let message = format!("a write failed earlier, so nothing more is written: {message}");
                Err(Error::new(kind, code, message).hint("make the disk writable and restart whodid"))
            }
        }
    }
}
