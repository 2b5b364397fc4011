//! What an import reads: a file or standard input, until somebody says stop (Ctrl-C, or a service manager's SIGTERM).

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::app::Source;
use crate::error::{Error, ErrorKind, Result};

/// The exit code of what was interrupted: 128 and the number of SIGINT, as shells have it.
pub const INTERRUPTED: u8 = 130;

/// Becomes true once somebody says stop. Who says it twice does not want to wait: that ends the process.
pub fn stop_flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order, so that the first signal does not find the flag set.
        signal_hook::flag::register_conditional_shutdown(signal, i32::from(INTERRUPTED), Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .map_err(|e| Error::new(ErrorKind::Io, "signals", format!("cannot wait for signals: {e}")))?;
    }
    Ok(stop)
}

/// An open file or standard input.
pub struct Input {
    file: File,
    stop: Arc<AtomicBool>,
}

impl Input {
    /// Opens `path`, which is `-` for standard input. Its bytes end with an error once `stop` is true.
    pub fn open(path: &Path, stop: &Arc<AtomicBool>) -> Result<Self> {
        let failed = |e| Error::io("cannot open", path, e);
        let file = if path.as_os_str() == "-" {
            // Without the buffer of the library: what lies in it could not be waited for.
            io::stdin().as_fd().try_clone_to_owned().map(File::from).map_err(failed)?
        } else {
            File::open(path).map_err(failed)?
        };
        Ok(Self { file, stop: Arc::clone(stop) })
    }

    /// Its size, if it is a file.
    pub fn length(&self) -> Option<u64> {
        self.file.metadata().ok().filter(|m| m.is_file()).map(|m| m.len())
    }

    /// What it is known by, if it is a file, when it is read as `form`.
    pub fn source(&self, path: &Path, form: String) -> Result<Option<Source>> {
        let failed = |e| Error::io("cannot open", path, e);
        let there = self.file.metadata().map_err(failed)?;
        if path.as_os_str() == "-" || !there.is_file() {
            return Ok(None);
        }
        let file = std::fs::canonicalize(path).map_err(failed)?.to_string_lossy().into_owned();
        let modified = (there.mtime(), there.mtime_nsec());
        Ok(Some(Source { file, bytes: there.len(), modified, form }))
    }
}

impl Read for Input {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        // A signal ends the wait; the bound is for one that comes just before it.
        let wait = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(io::Error::other("interrupted"));
            }
            match poll(&mut [PollFd::new(&self.file, PollFlags::IN)], Some(&wait)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return self.file.read(out),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
