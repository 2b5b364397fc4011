//! Attacks on a whole server over raw sockets. Each asserts what the client sees, and that the server still answers
//! afterwards.

mod answers;
mod framing;
mod time;

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::http::message::{Request, Response};
use crate::http::router::{Action, Route};
use crate::http::{Config, Handler, Server};
use crate::threads::{go_on, spread};

/// Answers with what it saw.
#[derive(Default)]
struct Echo {
    calls: AtomicUsize,
    streams: AtomicUsize,
    given_up: AtomicUsize,
}

/// Works as a report does that never ends.
fn toil(given_up: &AtomicUsize) -> Response {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(20) {
        // Over threads, as reports do.
        if let Err(error) = spread(&[1, 2, 3], 2, |_| go_on()) {
            given_up.fetch_add(1, Ordering::SeqCst);
            return crate::http::respond::error(&error);
        }
        thread::sleep(Duration::from_millis(2));
    }
    Response::new(200, "text/plain", "done".as_bytes())
}

impl Handler for Echo {
    fn handle(&self, route: &Route, request: Request) -> Response {
        self.calls.fetch_add(1, Ordering::SeqCst);
        match request.parameter("do").as_deref() {
            Some("panic") => panic!("asked for"),
            Some("sleep") => thread::sleep(Duration::from_millis(400)),
            Some("toil") => return toil(&self.given_up),
            Some("nap") => thread::sleep(Duration::from_millis(1200)),
            Some("large") => return Response::new(200, "text/plain", vec![b'x'; 8 << 20]),
            Some("reflect") => {
                let value = request.parameter("value").unwrap_or_default();
                return match Response::json(String::new()).with_value("X-Reflected", value) {
                    Ok(response) => response,
                    Err(e) => crate::http::respond::error(&e),
                };
            }
            _ => {}
        }
        let text = format!(
            "{:?} {} {} ?{} peer={} referer={:?} guard={:?} operator={} body={}",
            route.action,
            request.method.name(),
            request.path,
            request.query,
            request.peer,
            request.headers.get("referer"),
            request.headers.get("x-guard-peer"),
            crate::http::operator::asks(&request),
            String::from_utf8_lossy(&request.body)
        );
        Response::new(200, "text/plain", text.into_bytes())
    }

    fn stream(&self, route: &Route, request: &Request, body: &mut (dyn Read + Send)) -> Response {
        self.streams.fetch_add(1, Ordering::SeqCst);
        if route.action == Action::Export {
            let fail = request.query == "fail";
            return Response::stream(
                "application/x-ndjson",
                Box::new(move |out| {
                    for line in 0..10_000 {
                        writeln!(out, "{{\"line\":{line}}}")?;
                    }
                    if fail { Err(std::io::Error::other("asked for")) } else { Ok(()) }
                }),
            );
        }
        if request.query == "unread" {
            return Response::new(401, "text/plain", "not read".as_bytes());
        }
        let mut scratch = vec![0; 4096];
        let mut total = 0;
        loop {
            match body.read(&mut scratch) {
                Ok(0) => return Response::new(200, "text/plain", format!("bytes={total}").into_bytes()),
                Ok(n) => total += n,
                Err(_) => return Response::new(200, "text/plain", "wrongly accepted".as_bytes()),
            }
        }
    }
}

struct Site {
    server: Server,
    echo: Arc<Echo>,
    dir: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        Self::with(|_| {})
    }

    /// A server with short deadlines, changed by `change`.
    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new("127.0.0.1:0".parse().unwrap(), dir.path().join("sockets"));
        config.deadlines.head = Duration::from_millis(300);
        config.deadlines.body = Duration::from_millis(400);
        config.deadlines.idle = Duration::from_millis(800);
        config.deadlines.write = Duration::from_millis(500);
        config.deadlines.progress = Duration::from_millis(400);
        config.deadlines.turn = Duration::from_millis(300);
        config.deadlines.linger = Duration::from_millis(300);
        config.deadlines.stop = Duration::from_millis(1500);
        change(&mut config);
        let echo = Arc::new(Echo::default());
        let server = Server::start(config, Arc::clone(&echo) as Arc<dyn Handler>).unwrap();
        Self { server, echo, dir }
    }

    fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    fn sockets(&self) -> std::path::PathBuf {
        self.dir.path().join("sockets")
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        stream
    }

    /// Sends `bytes`, gives back all that comes until the end of the connection.
    fn send(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect();
        // A refusal may come before everything is sent.
        let _ = stream.write_all(bytes.as_ref());
        rest(&mut stream)
    }

    fn status(&self, bytes: impl AsRef<[u8]>) -> u16 {
        status_of(&self.send(bytes))
    }

    fn calls(&self) -> usize {
        self.echo.calls.load(Ordering::SeqCst)
    }

    fn assert_alive(&self) {
        let answer = self.send(get("/healthz", ""));
        assert!(answer.starts_with("HTTP/1.1 200 "), "health: {answer}");
    }
}

fn get(target: &str, headers: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")
}

fn post(target: &str, headers: &str, body: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n{body}")
}

fn rest(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    // A timeout or a reset leaves what came before it.
    let _ = stream.read_to_end(&mut all);
    String::from_utf8_lossy(&all).into_owned()
}

fn status_of(answer: &str) -> u16 {
    answer.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// One answer of a connection that stays open.
fn one_answer(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return String::from_utf8_lossy(&bytes).into_owned();
        }
        bytes.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let mut body = vec![0; length.and_then(|n| n.parse().ok()).unwrap_or(0)];
    stream.read_exact(&mut body).unwrap();
    head + &String::from_utf8_lossy(&body)
}
