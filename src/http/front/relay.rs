//! Warm connections to the workers: opened at the start, proved one by one, kept for ever, one request in flight on
//! each. tiny_http may leave a connection of a burst unserved, so none is used before it has answered once.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::budget::{Budget, Reserved};
use super::head::{Refusal, end_of_head, refuse};
use crate::error::{Error, Result};
use crate::http::message::{Request, Response, ResponseBody};
use crate::http::router::Pool;
use crate::http::server::{PEER_HEADER, POOLS, PROBE_HEADER};
use crate::limits;

/// Time for a new connection to prove itself.
const PROBE_TIME: Duration = Duration::from_secs(2);
/// Bytes of the head of a worker's answer.
const ANSWER_HEAD_MAX: usize = 16 * 1024;

const BUSY: Refusal = refuse(503, "busy", "every worker is busy: try again");
const NO_ANSWER: Refusal = refuse(503, "no_answer", "the worker gave no answer in time");
const NO_ROOM: Refusal = refuse(503, "busy", "too many bytes at once: try again");

/// The connections of every pool.
pub(super) struct Relay {
    pools: Vec<Upstreams>,
    turn: Duration,
    answer: Duration,
}

struct Upstreams {
    path: PathBuf,
    idle: Mutex<Idle>,
    returned: Condvar,
    /// Held while dialling, so that connections are opened one at a time.
    dialling: Mutex<()>,
}

struct Idle {
    streams: Vec<UnixStream>,
    /// Connections that broke and were not opened again yet.
    missing: usize,
}

enum Fault {
    Io(io::Error),
    NoRoom,
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Relay {
    /// Opens as many connections to each of `paths` as there are workers behind it.
    pub fn start(paths: &[PathBuf], turn: Duration, answer: Duration) -> Result<Self> {
        let mut pools = Vec::new();
        for (path, workers) in paths.iter().zip(limits::WORKERS) {
            let mut streams = Vec::new();
            for _ in 0..workers {
                streams.push(dial(path).map_err(|e| Error::io("reach the workers at", path, e))?);
            }
            let idle = Mutex::new(Idle { streams, missing: 0 });
            let (path, returned, dialling) = (path.clone(), Condvar::new(), Mutex::new(()));
            pools.push(Upstreams { path, idle, returned, dialling });
        }
        Ok(Self { pools, turn, answer })
    }

    /// Has a request answered by a worker of `pool`. The answer is whole before anything of it goes to the client, so
    /// slow readers hold no worker.
    pub fn exchange(
        &self,
        pool: Pool,
        request: &Request,
        reserved: &mut Reserved<'_>,
    ) -> std::result::Result<Response, Refusal> {
        let index = POOLS.iter().position(|one| *one == pool);
        let upstreams = index.and_then(|index| self.pools.get(index)).ok_or(BUSY)?;
        let mut stream = upstreams.take(self.turn)?;
        match exchange(&mut stream, request, reserved, self.answer) {
            Ok(response) => {
                upstreams.give_back(Some(stream));
                Ok(response)
            }
            Err(fault) => {
                // Bytes of this exchange may still come: the connection cannot be used again.
                upstreams.give_back(None);
                match fault {
                    Fault::NoRoom => Err(NO_ROOM),
                    Fault::Io(e) => {
                        log::error!("no answer from {}: {e}", upstreams.path.display());
                        Err(NO_ANSWER)
                    }
                }
            }
        }
    }
}

impl Upstreams {
    fn take(&self, patience: Duration) -> std::result::Result<UnixStream, Refusal> {
        let deadline = Instant::now() + patience;
        let mut idle = self.lock();
        loop {
            if let Some(stream) = idle.streams.pop() {
                return Ok(stream);
            }
            if idle.missing > 0 {
                idle.missing -= 1;
                drop(idle);
                return self.redial();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(BUSY);
            }
            idle = self.returned.wait_timeout(idle, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn redial(&self) -> std::result::Result<UnixStream, Refusal> {
        let _one_at_a_time = self.dialling.lock().unwrap_or_else(PoisonError::into_inner);
        dial(&self.path).map_err(|e| {
            log::error!("reach the workers at {}: {e}", self.path.display());
            self.give_back(None);
            BUSY
        })
    }

    fn give_back(&self, stream: Option<UnixStream>) {
        let mut idle = self.lock();
        match stream {
            Some(stream) => idle.streams.push(stream),
            None => idle.missing += 1,
        }
        drop(idle);
        self.returned.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has one request answered over a connection of its own, however long that takes.
pub(in crate::http) fn ask_worker(path: &Path, request: &Request) -> io::Result<Response> {
    const PATIENCE: Duration = Duration::from_secs(24 * 3600);
    let budget = Budget::new(limits::ANSWER_BYTES_MAX);
    let mut stream = dial(path)?;
    exchange(&mut stream, request, &mut budget.reserve(), PATIENCE).map_err(|fault| match fault {
        Fault::Io(error) => error,
        Fault::NoRoom => io::Error::other("the answer is longer than it may be"),
    })
}

/// Opens a connection and has it answer once.
fn dial(path: &Path) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PROBE_TIME))?;
    stream.set_write_timeout(Some(PROBE_TIME))?;
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: workers\r\n{PROBE_HEADER}: 1\r\n\r\n").as_bytes())?;
    let (response, _, _) = read_head(&mut stream)?;
    if response.status == 204 { Ok(stream) } else { Err(io::Error::other("the probe was refused")) }
}

fn exchange(
    stream: &mut UnixStream,
    request: &Request,
    reserved: &mut Reserved<'_>,
    patience: Duration,
) -> std::result::Result<Response, Fault> {
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(&normalised(request))?;
    stream.write_all(&request.body)?;
    let (mut response, length, mut body) = read_head(stream)?;
    if response.status == 204 || response.status == 304 {
        return Ok(response);
    }
    let length = length.ok_or_else(|| io::Error::other("the answer has no length"))?;
    if length > limits::ANSWER_BYTES_MAX || body.len() > length {
        return Err(io::Error::other("the answer is longer than it may be").into());
    }
    if !reserved.grow_to(length) {
        return Err(Fault::NoRoom);
    }
    let have = body.len();
    body.resize(length, 0);
    stream.read_exact(body.get_mut(have..).unwrap_or(&mut []))?;
    response.body = ResponseBody::Whole(body.into());
    Ok(response)
}

/// Reads the head of an answer: the response without its body, the body's length, and what came of the body.
fn read_head(stream: &mut UnixStream) -> io::Result<(Response, Option<usize>, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(4096);
    let mut piece = [0; 4096];
    let end = loop {
        let searched = bytes.len();
        match stream.read(&mut piece) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => bytes.extend_from_slice(piece.get(..n).unwrap_or(&[])),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        if let Some(end) = end_of_head(&bytes, searched) {
            break end;
        }
        if bytes.len() > ANSWER_HEAD_MAX {
            return Err(io::Error::other("the head of the answer is too long"));
        }
    };
    let body = bytes.split_off(end);
    let mut fields = [httparse::EMPTY_HEADER; limits::HEADERS_MAX];
    let mut raw = httparse::Response::new(&mut fields);
    raw.parse(&bytes).map_err(io::Error::other)?;
    let mut response = Response::new(raw.code.unwrap_or(500), "", Vec::new());
    let mut length = None;
    for field in raw.headers.iter() {
        let value = String::from_utf8_lossy(field.value).into_owned();
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            length = value.parse().ok();
        } else if is("content-type") {
            response.content_type = value.into();
        } else if !["date", "server", "connection", "transfer-encoding"].iter().any(|name| is(name)) {
            response = response.with_value(field.name.to_owned(), value).map_err(io::Error::other)?;
        }
    }
    Ok((response, length, body))
}

/// The one form in which workers ever see a request.
fn normalised(request: &Request) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let mut push = |parts: &[&str]| parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
    let mark = if request.query.is_empty() { "" } else { "?" };
    push(&[request.method.name(), " ", &request.path, mark, &request.query, " HTTP/1.1\r\n"]);
    for (name, value) in request.headers.iter() {
        push(&[name, ": ", value, "\r\n"]);
    }
    push(&[PEER_HEADER, ": ", &request.peer.to_string(), "\r\n"]);
    push(&["Content-Length: ", &request.body.len().to_string(), "\r\n\r\n"]);
    out
}
