//! The workers behind the front: tiny_http on unix sockets, one for each pool. Only the front connects to them, with
//! whole and normalised requests, so nothing that a client claims ever reaches tiny_http.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::Handler;
use super::message::{Headers, Method, Request, Response, ResponseBody};
use super::respond;
use super::router::{self, Found, Pool};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;

/// Marks the request that proves a new connection.
pub(super) const PROBE_HEADER: &str = "X-Guard-Probe";
/// Carries the client's address.
pub(super) const PEER_HEADER: &str = "X-Guard-Peer";
/// Every pool, in the order of [`limits::WORKERS`].
pub(super) const POOLS: [Pool; 3] = [Pool::Write, Pool::Bulk, Pool::Health];
/// A unix socket's path has to fit `sockaddr_un`.
const PATH_BYTES_MAX: usize = 107;

/// All pools.
pub(super) struct Backend {
    pools: Vec<Workers>,
    stopping: Arc<AtomicBool>,
}

struct Workers {
    server: Arc<tiny_http::Server>,
    path: PathBuf,
    threads: Vec<JoinHandle<()>>,
}

impl Backend {
    /// Starts every pool on a socket in `dir`, which becomes private to this user.
    pub fn start(dir: &Path, handler: &Arc<dyn Handler>) -> Result<Self> {
        make_private(dir)?;
        let stopping = Arc::new(AtomicBool::new(false));
        let mut pools = Vec::new();
        for (pool, workers) in POOLS.into_iter().zip(limits::WORKERS) {
            pools.push(start_pool(dir, pool, workers, handler, &stopping)?);
        }
        Ok(Self { pools, stopping })
    }

    /// The sockets, in the order of [`POOLS`].
    pub fn paths(&self) -> Vec<PathBuf> {
        self.pools.iter().map(|workers| workers.path.clone()).collect()
    }

    /// Ends the workers. One that is still at work after `patience` is left alone.
    pub fn stop(self, patience: Duration) {
        self.stopping.store(true, Ordering::Release);
        let deadline = Instant::now() + patience;
        for workers in self.pools {
            // Each call wakes one worker.
            workers.threads.iter().for_each(|_| workers.server.unblock());
            for thread in workers.threads {
                while !thread.is_finished() && Instant::now() < deadline {
                    thread::sleep(Duration::from_millis(1));
                }
                if !thread.is_finished() {
                    log::warn!("a worker is still busy and was left behind");
                } else if thread.join().is_err() {
                    log::error!("a worker had panicked");
                }
            }
        }
    }
}

fn make_private(dir: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .and_then(|()| fs::set_permissions(dir, fs::Permissions::from_mode(0o700)))
        .map_err(|e| Error::io("make the socket directory", dir, e))
}

/// The name of a pool's socket.
pub(super) fn socket_name(pool: Pool) -> &'static str {
    match pool {
        Pool::Write => "write.sock",
        Pool::Bulk => "bulk.sock",
        Pool::Health => "health.sock",
    }
}

fn start_pool(
    dir: &Path,
    pool: Pool,
    workers: usize,
    handler: &Arc<dyn Handler>,
    stopping: &Arc<AtomicBool>,
) -> Result<Workers> {
    let path = dir.join(socket_name(pool));
    if path.as_os_str().len() > PATH_BYTES_MAX {
        let message = format!("the path of the socket {} is too long", path.display());
        return Err(Error::invalid("socket_path", message).hint("use a data directory with a shorter path"));
    }
    match fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(Error::io("remove the stale socket", &path, e));
        }
        _ => {}
    }
    let server = tiny_http::Server::http_unix(&path)
        .map_err(|e| Error::new(ErrorKind::Io, "io", format!("listen on {}: {e}", path.display())))?;
    let server = Arc::new(server);
    let mut threads = Vec::new();
    for _ in 0..workers {
        let (server, handler, stopping) = (Arc::clone(&server), Arc::clone(handler), Arc::clone(stopping));
        let thread = thread::Builder::new()
            .name(format!("{pool:?}").to_lowercase())
            .spawn(move || work(&server, handler.as_ref(), &stopping))
            .map_err(|e| Error::io("start a worker for", &path, e))?;
        threads.push(thread);
    }
    Ok(Workers { server, path, threads })
}

fn work(server: &tiny_http::Server, handler: &dyn Handler, stopping: &AtomicBool) {
    while !stopping.load(Ordering::Acquire) {
        match server.recv() {
            Ok(request) => serve(request, handler),
            Err(_) if stopping.load(Ordering::Acquire) => return,
            Err(e) => {
                log::error!("the worker's socket: {e}");
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// Answers one request of the front.
fn serve(mut raw: tiny_http::Request, handler: &dyn Handler) {
    let probe = raw.headers().iter().any(|header| header.field.equiv(PROBE_HEADER));
    let response = if probe {
        Response::new(204, "", Vec::new())
    } else {
        match translate(&mut raw) {
            Ok(request) => run(handler, request),
            Err(error) => respond::error(&error),
        }
    };
    let mut headers = Vec::new();
    // tiny_http would panic for the date of a clock before 1970. The front leaves this one out and says its own.
    let own = [("Content-Type", response.content_type.as_ref()), ("Date", "Thu, 01 Jan 1970 00:00:00 GMT")];
    let fields = response.headers().chain(own);
    for (name, value) in fields.filter(|(_, value)| !value.is_empty()) {
        match tiny_http::Header::from_bytes(name, value) {
            Ok(header) => headers.push(header),
            Err(()) => log::error!("the response header {name} was left out"),
        }
    }
    let bytes = response.bytes();
    let status = tiny_http::StatusCode(response.status);
    let answer = tiny_http::Response::new(status, headers, bytes, Some(bytes.len()), None)
        .with_chunked_threshold(usize::MAX);
    if let Err(e) = raw.respond(answer) {
        log::debug!("an answer found nobody: {e}");
    }
}

/// The front's request, back in our form.
fn translate(raw: &mut tiny_http::Request) -> Result<Request> {
    let mut headers = Headers::default();
    let mut peer = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    for header in raw.headers() {
        if header.field.equiv(PEER_HEADER) {
            peer = header.value.as_str().parse().unwrap_or(peer);
        } else {
            headers.push(header.field.as_str().as_str(), header.value.as_str());
        }
    }
    let (path, query) = raw.url().split_once('?').unwrap_or((raw.url(), ""));
    let (path, query) = (path.to_owned(), query.to_owned());
    let method = Method::parse(raw.method().as_str());
    let claimed = raw.body_length().unwrap_or(0);
    let mut body = Vec::new();
    let limit = limits::QUERY_BYTES_MAX as u64 + 1;
    let read = raw.as_reader().take(limit).read_to_end(&mut body);
    match read {
        // A body cut short reads as a complete one there, so the length is compared.
        Ok(n) if n == claimed => Ok(Request { method, path, query, headers, body, peer }),
        Ok(n) => Err(Error::new(ErrorKind::Malformed, "cut_short", format!("{n} of {claimed} bytes came"))),
        Err(e) => Err(Error::new(ErrorKind::Io, "io", format!("read a request: {e}"))),
    }
}

fn run(handler: &dyn Handler, request: Request) -> Response {
    let Found::Route(route) = router::find(request.method, &request.path) else {
        return respond::refusal(404, "not_found", "there is no such path");
    };
    let whole = AssertUnwindSafe(|| make_whole(handler.handle(route, request)));
    match catch_unwind(whole) {
        Ok(Ok(response)) => response,
        Ok(Err(e)) => {
            log::error!("{}: {e}", route.pattern);
            if e.kind() == TOO_LARGE {
                return respond::error(&respond::too_large());
            }
            respond::error(&Error::new(ErrorKind::Io, "answer_failed", "the answer could not be made"))
        }
        Err(_) => {
            log::error!("the handler of {} panicked", route.pattern);
            respond::refusal(500, "internal", "an internal error; it was logged")
        }
    }
}

/// Streamed bodies are for routes of the stream class; here they are collected, up to the size of an answer.
fn make_whole(mut response: Response) -> io::Result<Response> {
    if let ResponseBody::Stream(_) = response.body {
        let body = std::mem::replace(&mut response.body, ResponseBody::Whole(Vec::new().into()));
        let mut out = Bounded(Vec::new());
        if let ResponseBody::Stream(write) = body {
            write(&mut out)?;
        }
        response.body = ResponseBody::Whole(out.0.into());
    }
    if response.bytes().len() > limits::ANSWER_BYTES_MAX {
        return Err(TOO_LARGE.into());
    }
    Ok(response)
}

const TOO_LARGE: io::ErrorKind = io::ErrorKind::FileTooLarge;

struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > limits::ANSWER_BYTES_MAX {
            return Err(TOO_LARGE.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
