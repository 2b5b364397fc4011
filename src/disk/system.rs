//! What the operating system says about this process and its disk.

use std::fs;
use std::os::fd::AsFd;
use std::path::{Component, Path};

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

/// Memory that could be taken now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Available {
    /// How many bytes.
    pub bytes: u64,
    /// Whether it is a control group of this process that leaves no more: the machine has it.
    pub grouped: bool,
}

/// Memory that this process could take now: what the machine has left, or less where its control groups end before.
pub fn available() -> Available {
    let all = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let machine = kilobytes_free(&all).unwrap_or(0);
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    match left_in_groups(&groups, Path::new("/sys/fs/cgroup")) {
        Some(left) if left < machine => Available { bytes: left, grouped: true },
        _ => Available { bytes: machine, grouped: false },
    }
}

/// See [`available`].
pub fn memory_available() -> u64 {
    available().bytes
}

fn kilobytes_free(meminfo: &str) -> Option<u64> {
    let rest = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    rest.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// What a version of control groups calls the files of a group: its limits, what is taken, and in `memory.stat` the files of which
/// it only keeps copies, which the system takes back.
struct Names {
    limits: &'static [&'static str],
    taken: &'static str,
    copies: [&'static str; 2],
}

const FIRST_VERSION: Names = Names {
    limits: &["memory.limit_in_bytes"],
    taken: "memory.usage_in_bytes",
    copies: ["total_inactive_file", "total_active_file"],
};
/// Above `high` a process is held up, so what lies there is none to count on.
const SECOND_VERSION: Names = Names {
    limits: &["memory.max", "memory.high"],
    taken: "memory.current",
    copies: ["inactive_file", "active_file"],
};

/// What the control groups below `mount` leave to a process whose `/proc/self/cgroup` says `groups`, if any limits it: each group
/// that it is in has a say, and each one above that.
fn left_in_groups(groups: &str, mount: &Path) -> Option<u64> {
    let mut least: Option<u64> = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (names, root) = match controllers {
            "" => (SECOND_VERSION, mount.to_owned()),
            _ if controllers.split(',').any(|c| c == "memory") => (FIRST_VERSION, mount.join("memory")),
            _ => continue,
        };
        let path = Path::new(path.trim_start_matches('/'));
        // Of a group outside of what this process may see nothing but the root is there.
        let seen = path.components().all(|part| matches!(part, Component::Normal(_)));
        for group in if seen { path } else { Path::new("") }.ancestors() {
            least = [least, names.left_in(&root.join(group))].into_iter().flatten().min();
        }
    }
    least
}

impl Names {
    /// What one group leaves, if it has a limit.
    fn left_in(&self, group: &Path) -> Option<u64> {
        let number = |name: &str| fs::read_to_string(group.join(name)).ok()?.trim().parse::<u64>().ok();
        let limit = self.limits.iter().filter_map(|name| number(name)).min()?;
        let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
        let copies = stat.lines().filter_map(|line| line.split_once(' '));
        let copies = copies.filter(|(name, _)| self.copies.contains(name));
        let copies = copies.filter_map(|(_, bytes)| bytes.trim().parse::<u64>().ok());
        let copies = copies.fold(0, u64::saturating_add);
        Some(limit.saturating_sub(number(self.taken).unwrap_or(0).saturating_sub(copies)))
    }
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

    const MIB: u64 = 1 << 20;

    /// A directory with files of control groups.
    fn groups(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        dir
    }

    #[test]
    fn a_control_group_and_those_above_it_say_how_much_memory_is_left() {
        let dir = groups(&[
            // The root has no limit.
            ("memory.stat", b"anon 1\n"),
            ("system.slice/memory.max", b"max\n"),
            ("system.slice/memory.current", b"99999999999\n"),
            ("system.slice/whodid.service/memory.max", b"1572864000\n"),
            ("system.slice/whodid.service/memory.high", b"1073741824\n"),
            ("system.slice/whodid.service/memory.current", b"734003200\n"),
            (
                "system.slice/whodid.service/memory.stat",
                b"anon 5\ninactive_file 104857600\nactive_file 104857600\n",
            ),
            ("small/memory.max", b"314572800"),
            ("small/memory.current", b"104857600"),
            ("small/wide/memory.max", b"9999999999"),
            // Of the first version, where no limit is a number that no machine has.
            ("memory/memory.limit_in_bytes", b"9223372036854771712\n"),
            ("memory/box/memory.limit_in_bytes", b"209715200\n"),
            ("memory/box/memory.usage_in_bytes", b"104857600\n"),
            ("memory/box/memory.stat", b"inactive_file 7\ntotal_inactive_file 52428800\n"),
        ]);
        let left = |groups: &str| left_in_groups(groups, dir.path()).map(|bytes| bytes / MIB);
        assert_eq!(left("0::/system.slice/whodid.service\n"), Some(1024 - 700 + 200));
        assert_eq!(left("0::/system.slice\n"), None);
        assert_eq!(left("0::/small/wide\n"), Some(200));
        assert_eq!(left("0::/../../small\n"), None);
        assert_eq!(left("5:devices:/box\n4:cpu,memory:/box\n0::/\n"), Some(150));
        // A group that is not there, as in a container: the one above is.
        assert!(left("4:memory:/gone/away\n").is_some_and(|mib| mib > 1 << 40));
    }

    #[test]
    fn a_control_group_may_say_anything() {
        let dir = groups(&[
            ("words/memory.max", b"much"),
            ("bytes/memory.max", b"\xff\xfe"),
            ("huge/memory.max", b"99999999999999999999999999"),
            ("full/memory.max", b"1000"),
            ("full/memory.current", b"2000"),
            ("full/memory.stat", b"inactive_file\nactive_file x\n\n"),
            ("odd/memory.max", b"1000"),
            ("odd/memory.current", b"-1"),
            ("odd/memory.stat", b"inactive_file 18446744073709551615\nactive_file 18446744073709551615"),
        ]);
        for (groups, left) in [
            ("", None),
            ("0", None),
            ("0:", None),
            ("\n::\n:::::\n0::", None),
            ("0::/words", None),
            ("0::/bytes", None),
            ("0::/huge", None),
            ("0::/full", Some(0)),
            ("0::/odd", Some(1000)),
        ] {
            assert_eq!(left_in_groups(groups, dir.path()), left, "{groups:?}");
        }
        assert_eq!(kilobytes_free("MemTotal: 5 kB\nMemAvailable:   7 kB\n"), Some(7168));
        assert_eq!(kilobytes_free("MemAvailable: 18446744073709551615 kB"), None);
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
