//! HTTP: a front that reads requests strictly and bounds everything a client can make us hold, workers behind it, and
//! the list of routes. What routes do is the [`Handler`]'s business.

pub mod api;
pub mod auth;
pub mod collect;
mod front;
mod hosts;
pub mod limit;
pub mod message;
mod metrics;
pub mod operator;
pub mod pages;
mod pairs;
pub mod projects;
pub mod respond;
pub mod router;
mod script;
mod segment;
mod server;

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::limits;
use message::{Request, Response};
use router::Route;

/// What answers requests. It is called on many threads at once, and a panic in it costs that one answer only.
pub trait Handler: Send + Sync {
    /// The answer to a request that is not let in, such as that of a client that asks too often. It is asked before any byte of the
    /// body is read.
    fn turn_away(&self, _route: &Route, _request: &Request) -> Option<Response> {
        None
    }

    /// A request that might have brought records is refused before it was read: it is too large, or packed as nobody takes it.
    fn refused(&self, _request: &Request, _code: &'static str, _message: &str) {}

    /// Answers a request whose body is whole: routes of the direct and whole classes.
    fn handle(&self, route: &Route, request: Request) -> Response;

    /// Answers a request of the stream class. `body` is decompressed; an error from it means that the client broke
    /// off or broke the rules, and never that the body ended.
    fn stream(&self, route: &Route, request: &Request, body: &mut (dyn Read + Send)) -> Response;

    /// The server is about to stop: answers that go on for ever have to end.
    fn stopping(&self) {}
}

/// The request that a whole head makes, without a body, or the status and the sentence that refuse it. It is what the front reads
/// first of anybody, open to the fuzzer.
pub fn read_head(bytes: &[u8], peer: IpAddr) -> std::result::Result<Request, (u16, &'static str)> {
    front::read_head(bytes, peer)
}

/// How long the server waits for what.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// For the whole head of a request, from its first byte.
    pub head: Duration,
    /// For a whole body.
    pub body: Duration,
    /// For the next request of a connection.
    pub idle: Duration,
    /// For the client to take the whole answer, or each piece of a streamed one.
    pub write: Duration,
    /// For progress of a streamed body.
    pub progress: Duration,
    /// For a free worker, or the turn of a stream.
    pub turn: Duration,
    /// A report's work; it ends as well when its client has gone.
    pub report: Duration,
    /// For a worker's answer.
    pub answer: Duration,
    /// For the rest of a refused body.
    pub linger: Duration,
    /// For running requests when the server stops.
    pub stop: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(5),
            body: Duration::from_secs(10),
            idle: Duration::from_secs(10),
            write: Duration::from_secs(10),
            progress: Duration::from_secs(30),
            turn: Duration::from_secs(5),
            report: limits::REPORT_TIME,
            answer: Duration::from_secs(600),
            linger: Duration::from_secs(1),
            // Service managers and container runtimes kill after ten seconds.
            stop: Duration::from_secs(5),
        }
    }
}

/// Where and how to serve.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address to bind; port 0 takes a free one.
    pub listen: SocketAddr,
    /// A directory for sockets between the front and its workers; it is made private to this user.
    pub socket_dir: PathBuf,
    /// Names of this server besides loopback names and the address bound.
    pub names: Vec<String>,
    /// One more path of the tracker, such as `/js/app.js`.
    pub tracker_path: Option<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// Addresses that may hold any number of connections; trusted proxies may in any case.
    pub uncapped: Vec<IpAddr>,
    /// Connections at once; fewer if the system allows fewer descriptors.
    pub connections: usize,
    /// Descriptors that the rest of the program needs.
    pub reserved_files: usize,
    /// Bytes of request bodies that are held at once, and apart from them of answers.
    pub in_flight_bytes: usize,
    /// How long to wait for what.
    pub deadlines: Deadlines,
}

impl Config {
    /// The defaults for an address. Loopback is not capped: a proxy, if there is one, comes from there.
    pub fn new(listen: SocketAddr, socket_dir: PathBuf) -> Self {
        Self {
            listen,
            socket_dir,
            names: Vec::new(),
            tracker_path: None,
            trusted_proxies: Vec::new(),
            uncapped: vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)],
            connections: limits::CONNECTIONS_MAX,
            reserved_files: 128,
            in_flight_bytes: limits::IN_FLIGHT_BYTES_MAX,
            deadlines: Deadlines::default(),
        }
    }
}

/// A running server. Dropping it stops it.
pub struct Server {
    front: front::Front,
    handler: Arc<dyn Handler>,
    backend: Option<server::Backend>,
    patience: Duration,
}

impl Server {
    /// Binds, starts the workers, proves each connection to them, and begins to accept.
    pub fn start(config: Config, handler: Arc<dyn Handler>) -> Result<Self> {
        let patience = config.deadlines.stop;
        let listener = front::bind(config.listen)?;
        let backend = server::Backend::start(&config.socket_dir, &handler)?;
        let front = front::Front::start(listener, config, Arc::clone(&handler), &backend.paths())?;
        Ok(Self { front, handler, backend: Some(backend), patience })
    }

    /// The address bound.
    pub fn addr(&self) -> SocketAddr {
        self.front.addr()
    }

    /// Accepts no more, finishes what is running, and ends the threads. Requests that clients have not finished
    /// sending are dropped.
    pub fn stop(&mut self) {
        let deadline = Instant::now() + self.patience;
        self.handler.stopping();
        self.front.stop();
        if let Some(backend) = self.backend.take() {
            // Idle workers, too, need a moment to end.
            let left = deadline.saturating_duration_since(Instant::now());
            backend.stop(left.max(Duration::from_millis(500)));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
