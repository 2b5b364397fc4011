//! The `doctor` command: looks at what surrounds a store and says what would keep it from being served well. It changes nothing.

use std::fs;
use std::io::{ErrorKind as Io, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use rustix::fs::{Access, access};
use serde_json::{Value as Json, json};

use super::{format, output, table};
use crate::app::{Memory, beside, not_unfinished, projects};
use crate::disk::{RealVfs, Vfs, system};
use crate::engine::{self, Snapshot};
use crate::error::{ErrorKind, Result};
use crate::limits;
use crate::model::{Clock, SystemClock, format_millis};

/// What one look found.
enum Finding {
    Good(String),
    /// Works, but not well.
    Poor(String),
    /// Does not work.
    Bad(String),
}

use Finding::{Bad, Good, Poor};

impl Finding {
    fn parts(&self) -> (&'static str, &str) {
        match self {
            Good(text) => ("ok", text),
            Poor(text) => ("warning", text),
            Bad(text) => ("FAILED", text),
        }
    }

    fn tell(&self, name: &str) -> Result<()> {
        let (word, text) = self.parts();
        output::line(&format!("{word:<8} {name:<11} {}", table::visible(text)))
    }

    fn as_json(&self, name: &str) -> Json {
        let (word, text) = self.parts();
        json!({ "what": name, "found": word.to_ascii_lowercase(), "text": text })
    }
}

/// Earliest time that a clock can show: this program was not there before.
const NOT_BEFORE_MS: i64 = 1_735_689_600_000;
/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Looks at everything and says what it found; fails if something does not work.
pub fn run(data: &Path, listen: SocketAddr, budget: Option<u64>, as_json: bool) -> Result<ExitCode> {
    let findings = [
        ("directory", directory(data)),
        ("room", room(data)),
        ("memory", memory(data, budget)),
        ("open files", files()),
        ("clock", clock(data)),
        ("store", store(data)),
        ("projects", others(data)),
        ("settings", settings(data)),
        ("port", port(listen)),
    ];
    let bad = findings.iter().any(|(_, finding)| matches!(finding, Bad(_)));
    if as_json {
        let all: Vec<_> = findings.iter().map(|(name, finding)| finding.as_json(name)).collect();
        output::json(&json!({ "ok": !bad, "findings": all }))?;
    } else {
        findings.iter().try_for_each(|(name, finding)| finding.tell(name))?;
    }
    Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn directory(data: &Path) -> Finding {
    let shown = data.display();
    let found = match fs::metadata(data) {
        Ok(found) if found.is_dir() => found,
        Ok(_) => return Bad(format!("{shown} is no directory")),
        Err(e) if e.kind() == Io::NotFound => {
            return Poor(format!("{shown} is not there yet: the first start makes it"));
        }
        Err(e) => return Bad(format!("{shown}: {e}")),
    };
    let me = rustix::process::geteuid().as_raw();
    let mode = found.permissions().mode() & 0o777;
    if found.uid() != me && me != 0 {
        return Bad(format!("{shown} belongs to user {}, this is user {me}: chown it", found.uid()));
    }
    if mode & 0o700 != 0o700 {
        return Bad(format!("{shown} has the rights {mode:o}: its owner cannot use it; chmod 700"));
    }
    let all = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    if let Err(error) = access(data, all) {
        return Bad(format!("{shown} cannot be read and written: {}", std::io::Error::from(error)));
    }
    if let Some(kind) = network_file_system(data) {
        return Bad(format!(
            "{shown} is on {kind}, where locks and syncs cannot be relied on: use a local disk"
        ));
    }
    if mode & 0o077 != 0 {
        return Poor(format!("{shown} has the rights {mode:o}: others may read it; chmod 700"));
    }
    Good(format!("{shown} is for its owner only"))
}

fn network_file_system(data: &Path) -> Option<&'static str> {
    let kind = rustix::fs::statfs(data).ok()?.f_type;
    [(0x6969, "NFS"), (0xff53_4d42, "CIFS"), (0xfe53_4d42, "SMB"), (0x517b, "SMB")]
        .into_iter()
        .find_map(|(magic, name)| (i128::from(kind) & 0xffff_ffff == magic).then_some(name))
}

fn room(data: &Path) -> Finding {
    // Of a directory that is not there yet: the disk that it will be on.
    let Some(there) = data.ancestors().find(|at| at.is_dir()).or(Some(Path::new("."))) else {
        return Bad("no directory above it".into());
    };
    let free = match RealVfs::new(there).and_then(|vfs| vfs.free_bytes()) {
        Ok(free) => free,
        Err(error) => return Bad(error.to_string()),
    };
    let used = system::bytes_in(data).unwrap_or(0);
    let text = format!("{} MiB are free, the store takes {} MiB", free >> 20, used >> 20);
    match free {
        free if free < limits::FREE_BYTES_MIN => Bad(format!("{text}: records would be refused")),
        free if free < limits::FREE_BYTES_WARN => Poor(text),
        free if free < used => Poor(format!("{text}: to merge all segments takes as much again")),
        _ => Good(text),
    }
}

fn memory(data: &Path, budget: Option<u64>) -> Finding {
    let memory = match Memory::of(budget, data) {
        Ok(memory) => memory,
        // What is wrong with the store is said below.
        Err(error) if error.code() != "memory_too_small" => return Poor(error.to_string()),
        Err(error) => return Bad(error.to_string()),
    };
    let (text, available) = (memory.describe(), system::available());
    let within = if available.grouped { " within the limits of its control group" } else { "" };
    let text = format!("{text}; {} MiB are available{within}", available.bytes >> 20);
    if budget.is_some_and(|budget| budget > available.bytes) { Poor(text) } else { Good(text) }
}

fn files() -> Finding {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    // Connections, what stands behind them, segments while they are opened.
    let wanted = limits::CONNECTIONS_MAX as u64 + 300;
    let text = format!("{most} may be open at once");
    match most {
        most if most < 256 => Bad(format!("{text}: too few to serve; raise LimitNOFILE or ulimit -n")),
        most if most < wanted => {
            Poor(format!("{text}: for {} connections {wanted} are needed", limits::CONNECTIONS_MAX))
        }
        _ => Good(text),
    }
}

fn clock(data: &Path) -> Finding {
    let now = SystemClock.now();
    let text = format_millis(now);
    if now < NOT_BEFORE_MS {
        return Bad(format!("{text}: the clock is not set"));
    }
    let newest = fs::read_dir(data).ok().and_then(|entries| {
        let times = entries.filter_map(|e| Some(e.ok()?.metadata().ok()?.mtime()));
        times.max()
    });
    match newest {
        Some(seconds) if seconds > now / 1000 + 3600 => Bad(format!(
            "{text}, but a file of the store was written at {}: the clock went back",
            format_millis(seconds * 1000)
        )),
        _ => Good(text),
    }
}

fn store(data: &Path) -> Finding {
    if data.is_dir()
        && let Err(error) = not_unfinished(data)
    {
        return Bad(error.to_string());
    }
    let snapshot = match engine::read_only(data) {
        Ok(snapshot) => snapshot,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Poor("there is none yet: the first start makes it".into());
        }
        Err(error) => return Bad(error.to_string()),
    };
    if let Some(damaged) = left_out(&snapshot) {
        return Bad(damaged);
    }
    let text = format!(
        "opens: {}, {}",
        format::counted(snapshot.rows(), "record", "records"),
        format::counted(snapshot.segments.len() as u64, "segment", "segments")
    );
    // Held and given back at once.
    match RealVfs::new(data).and_then(|vfs| vfs.lock().map(drop)) {
        Ok(()) => Good(format!("{text}; nobody serves it")),
        Err(error) if error.kind() == ErrorKind::Locked => {
            Good(format!("{text}; a server or a command holds it"))
        }
        Err(error) => Bad(error.to_string()),
    }
}

/// That a store opens, but without a part of it.
fn left_out(snapshot: &Snapshot) -> Option<String> {
    let first = snapshot.damaged.first()?;
    Some(format!("{}; everything else is served without it: whodid check says what to do", first.message))
}

/// The stores of further projects.
fn others(data: &Path) -> Finding {
    let others = match projects::others(data) {
        Ok(others) => others,
        Err(error) => return Bad(error.to_string()),
    };
    let above = data.join(projects::DIR);
    if above.is_dir()
        && let Bad(text) = directory(&above)
    {
        return Bad(text);
    }
    if let Some(text) = others.iter().find_map(|number| unserved(data, *number)) {
        return Bad(text);
    }
    match others.len() {
        0 => Good("there are no others".to_owned()),
        1 => Good("1 more opens".to_owned()),
        more => Good(format!("{more} more open")),
    }
}

/// What keeps a further project from being served.
fn unserved(data: &Path, number: u32) -> Option<String> {
    let dir = projects::dir(data, number);
    if let Bad(text) = directory(&dir) {
        return Some(text);
    }
    let opened = not_unfinished(&dir).and_then(|()| Ok((engine::read_only(&dir)?, RealVfs::existing(&dir)?)));
    match opened {
        Err(error) => Some(projects::named(number, error).to_string()),
        Ok((store, vfs)) => match (left_out(&store), vfs.lock()) {
            (Some(damaged), _) => Some(format!("{}{damaged}", projects::prefix(number))),
            (None, Err(error)) if error.kind() != ErrorKind::Locked => Some(error.to_string()),
            _ => None,
        },
    }
}

/// What lies beside the data of all projects, which a server does not start without.
fn settings(data: &Path) -> Finding {
    let there = projects::all(data).unwrap_or_default().into_iter();
    let there = there.filter(|number| projects::dir(data, *number).is_dir());
    let damaged: Result<Vec<_>> = there.map(|number| beside::damaged(data, number)).collect();
    match damaged.map(|damaged| damaged.into_iter().flatten().map(|e| e.to_string()).collect::<Vec<_>>()) {
        Ok(damaged) if damaged.is_empty() => Good("what is saved beside the data can be read".to_owned()),
        Ok(damaged) => Bad(damaged.join("; ")),
        Err(error) => Bad(error.to_string()),
    }
}

fn port(listen: SocketAddr) -> Finding {
    match TcpListener::bind(listen) {
        Ok(_) => Good(format!("{listen} is free")),
        Err(e) if e.kind() == Io::AddrInUse => match health(listen) {
            Some(answer) => Good(format!("{listen}: a server answers {answer}")),
            None => Bad(format!("{listen}: another program listens there: choose another port")),
        },
        Err(e) if e.kind() == Io::PermissionDenied => {
            Bad(format!("{listen}: ports below 1024 need privileges: choose a higher one"))
        }
        Err(e) => Bad(format!("{listen}: {e}")),
    }
}

/// What a server of ours says of its health.
fn health(listen: SocketAddr) -> Option<String> {
    let mut to = listen;
    if to.ip().is_unspecified() {
        to.set_ip(if to.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.take(64 * 1024).read_to_string(&mut answer).ok()?;
    let body = answer.split_once("\r\n\r\n")?.1;
    let json: Json = serde_json::from_str(body).ok()?;
    let status = json.get("status")?.as_str()?;
    Some(format!("{status:?}, disk {}", json.get("disk").and_then(|d| d.as_str()).unwrap_or("unknown")))
}
