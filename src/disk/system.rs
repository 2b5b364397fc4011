//! What the operating system says about this process and its disk.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use crate::error::{Error, Result};

/// What this process uses and may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of memory it holds now.
    pub memory: u64,
    /// Of these, the bytes that are its own: not those of files that are mapped, which the system takes back when it needs them.
    pub memory_own: u64,
    /// The most it ever held.
    pub memory_peak: u64,
    /// Open files, sockets included.
    pub files: u64,
    /// How many it may have open.
    pub files_max: u64,
    /// Threads.
    pub threads: u64,
}

/// What this process uses now. What the system does not tell is zero.
pub fn usage() -> Usage {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    Usage {
        memory: number("VmRSS") * 1024,
        memory_own: number("RssAnon") * 1024,
        memory_peak: number("VmHWM") * 1024,
        files: fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64),
        files_max: limit.current.unwrap_or(u64::MAX),
        threads: number("Threads"),
    }
}

/// Bytes of memory that programs could take now.
pub fn memory_available() -> u64 {
    let all = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = all.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Keeps this process to pages of the usual size, where the system has such a setting. A huge page is cleared as a whole when its
/// first byte is written: memory that a report needs for the first time then takes several times as long as the report.
pub fn keep_to_small_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        log::debug!("huge pages stay: {error}");
    }
}

/// Columns of the terminal behind `out`, if it is one and knows.
pub fn terminal_columns(out: &impl AsFd) -> Option<usize> {
    let columns = rustix::termios::tcgetwinsize(out).ok()?.ws_col;
    (columns > 0).then_some(usize::from(columns))
}

/// Bytes of all files in `dir`: those of the store with its logs, and whatever else lies there.
pub fn bytes_in(dir: &Path) -> Result<u64> {
    let failed = |e| Error::io("cannot list", dir, e);
    let mut sum = 0;
    for entry in fs::read_dir(dir).map_err(failed)? {
        // A file that goes meanwhile is no longer one of them.
        sum += entry.map_err(failed)?.metadata().ok().filter(|m| m.is_file()).map_or(0, |m| m.len());
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_uses_something() {
        let usage = usage();
        assert!(
            usage.memory > 1 << 20
                && (1..usage.memory).contains(&usage.memory_own)
                && usage.memory_peak >= usage.memory / 2,
            "{usage:?}"
        );
        assert!(usage.files > 2 && usage.files < usage.files_max && usage.threads > 0, "{usage:?}");
    }

    #[test]
    fn a_directory_has_the_bytes_of_its_files() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), [0; 100]).unwrap();
        fs::write(dir.path().join("b"), [0; 11]).unwrap();
        fs::create_dir(dir.path().join("sockets")).unwrap();
        assert_eq!(bytes_in(dir.path()).unwrap(), 111);
        assert!(bytes_in(&dir.path().join("gone")).is_err());
    }
}
