//! The real program as its users meet it: started in a directory of its own, talked to over a plain socket, stopped by a
//! signal. Everything waits for a bounded time only.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;

/// The key that reads.
pub const API_KEY: &str = "rk_test_key_of_the_suite";
/// The key that sends.
pub const WRITE_KEY: &str = "0123456789abcdef0123456789abcdef01234567";
const PATIENCE: Duration = Duration::from_secs(10);

/// A running server. Dropping it stops it with SIGTERM and expects a clean end.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub addr: String,
    /// Its store.
    pub data: PathBuf,
    ended: bool,
}

impl Server {
    /// Serves the store in `data` on a free port, with the keys of this module.
    pub fn start(data: &Path) -> Self {
        Self::start_with(data, &[("WHODID_API_KEY", API_KEY), ("WHODID_WRITE_KEY", WRITE_KEY)]).0
    }

    /// Serves with these variables; gives what it printed up to the write key as well.
    pub fn start_with(data: &Path, variables: &[(&str, &str)]) -> (Self, Vec<String>) {
        Self::start_at("127.0.0.1:0", data, variables)
    }

    /// The same at an address, such as that of a server that ended.
    pub fn start_at(listen: &str, data: &Path, variables: &[(&str, &str)]) -> (Self, Vec<String>) {
        let mut command = whodid(data);
        command.args(["serve", "--listen", listen]).envs(variables.iter().copied());
        Self::spawn(command, data)
    }

    /// Serves on a free port behind a proxy at this address.
    pub fn start_behind(proxy: &str, data: &Path, variables: &[(&str, &str)]) -> (Self, Vec<String>) {
        let mut command = whodid(data);
        command.args(["serve", "--listen", "127.0.0.1:0", "--trusted-proxy", proxy]);
        command.envs(variables.iter().copied());
        Self::spawn(command, data)
    }

    /// Serves with the keys of this module and no more than so many files open.
    pub fn start_with_files(data: &Path, files: u32) -> Self {
        let served = whodid(data);
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {files}; exec \"$0\" serve --listen 127.0.0.1:0")]);
        command.arg(served.get_program()).env("WHODID_DATA", data);
        command.envs([("WHODID_API_KEY", API_KEY), ("WHODID_WRITE_KEY", WRITE_KEY)]);
        Self::spawn(command, data).0
    }

    /// Serves on a free port with these arguments and whatever keys the store has; gives what it printed as well.
    pub fn start_as(data: &Path, arguments: &[&str]) -> (Self, Vec<String>) {
        let mut command = whodid(data);
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(arguments);
        Self::spawn(command, data)
    }

    fn spawn(mut command: Command, data: &Path) -> (Self, Vec<String>) {
        let log = File::create(data.with_extension("log")).unwrap();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let first = lines.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            let log = std::fs::read_to_string(data.with_extension("log")).unwrap_or_default();
            panic!("the server did not start: {:?} {log}", child.try_wait())
        });
        let mut printed = vec![first];
        printed.extend(std::iter::from_fn(|| lines.recv_timeout(Duration::from_millis(100)).ok()));
        let addr = printed.iter().find_map(|line| line.split_once("http://")).unwrap().1;
        let addr = addr.split_whitespace().next().unwrap().to_owned();
        (Self { child, addr, data: data.to_owned(), ended: false }, printed)
    }

    /// Tells it to read its keys again.
    pub fn hang_up(&self) {
        kill_process(Pid::from_child(&self.child), Signal::HUP).unwrap();
    }

    /// The most memory that it ever had, in bytes.
    pub fn memory_peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
    }

    /// The memory that is its own now, in bytes: mapped files are not.
    pub fn memory_own(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
    }

    /// The files in its directory, and their bytes.
    pub fn files(&self) -> (usize, u64) {
        let found = std::fs::read_dir(&self.data).unwrap().filter_map(|f| f.unwrap().metadata().ok());
        let files: Vec<u64> = found.filter(|f| f.is_file()).map(|f| f.len()).collect();
        (files.len(), files.iter().sum())
    }

    /// A new connection.
    pub fn client(&self) -> Client {
        Client::connect(&self.addr)
    }

    /// One GET with the API key, its answer as JSON.
    pub fn get(&self, target: &str) -> Json {
        let reply = self.client().get(target);
        assert_eq!(reply.status, 200, "{target}: {}", reply.text());
        reply.json()
    }

    /// One POST of JSON with the API key.
    pub fn post(&self, target: &str, body: &str) -> Reply {
        self.client().send("POST", target, &[authorized()], body.as_bytes())
    }

    /// Imports lines with the API key; the counts.
    pub fn import(&self, lines: &str) -> Json {
        let reply = self.post("/api/v1/import", lines);
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    }

    /// The records of an export, sorted.
    pub fn export(&self) -> Vec<String> {
        let reply = self.client().get("/api/v1/export");
        assert_eq!(reply.status, 200);
        sorted_records(&reply.text())
    }

    /// Ends it as a power cut would.
    pub fn kill(self) {
        self.kill_now();
        self.reap();
    }

    /// The same, while others still talk to it; [`Server::reap`] comes next.
    pub fn kill_now(&self) {
        kill_process(Pid::from_child(&self.child), Signal::KILL).unwrap();
    }

    /// Waits for one that was killed.
    pub fn reap(mut self) {
        self.ended = true;
        self.child.wait().unwrap();
    }

    /// Ends it as a service manager would, and sees that it ended well.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let begin = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break Some(status),
                None if begin.elapsed() > PATIENCE => break None,
                None => thread::sleep(Duration::from_millis(5)),
            }
        };
        if status.is_none() {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
        // A second panic while a test fails would hide the first.
        if !thread::panicking() {
            let log = std::fs::read_to_string(self.data.with_extension("log")).unwrap_or_default();
            assert!(status.is_some_and(|s| s.success()), "the server ended with {status:?}: {log}");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// The header that presents the API key.
pub fn authorized() -> (&'static str, &'static str) {
    ("Authorization", "Bearer rk_test_key_of_the_suite")
}

/// Lines in an order that says nothing.
pub fn sorted_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// The records among the lines of an export: the others say who is who.
pub fn sorted_records(text: &str) -> Vec<String> {
    let is_record = |line: &String| {
        ["event", "set", "identify"].iter().any(|kind| line.starts_with(&format!("{{\"type\":\"{kind}\"")))
    };
    sorted_lines(text).into_iter().filter(is_record).collect()
}

/// The program on the store in `data`, without the variables of whoever runs the tests.
pub fn whodid(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whodid"));
    command.env_remove("WHODID_API_KEY").env_remove("WHODID_WRITE_KEY").env_remove("WHODID_LISTEN");
    command.env_remove("COLUMNS").env("WHODID_DATA", data);
    command
}

/// Runs a command to its end with `input`; it is killed after ten seconds.
pub fn run(data: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = whodid(data);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A command that does not read its input ends without it.
    thread::spawn(move || stdin.write_all(&input).is_ok());
    let pid = Pid::from_child(&child);
    let (done, waiting) = mpsc::channel();
    let waiter = thread::spawn(move || {
        let output = child.wait_with_output();
        done.send(()).unwrap_or_default();
        output
    });
    if waiting.recv_timeout(PATIENCE).is_err() {
        kill_process(pid, Signal::KILL).unwrap();
        panic!("whodid {arguments:?} did not end");
    }
    waiter.join().unwrap().unwrap()
}

/// A connection to the server, kept for several requests.
pub struct Client {
    stream: BufReader<TcpStream>,
    host: String,
    last_chunk: bool,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its header fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body, unframed.
    pub body: Vec<u8>,
}

impl Reply {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// The code of the error that it tells.
    pub fn code(&self) -> String {
        self.json()["error"]["code"]
            .as_str()
            .unwrap_or_else(|| panic!("no error: {}", self.text()))
            .to_owned()
    }
}

impl Client {
    /// Connects to `addr`.
    pub fn connect(addr: &str) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream), host: addr.to_owned(), last_chunk: false }
    }

    /// Waits so long for each piece of an answer.
    pub fn patient(self, patience: Duration) -> Self {
        self.stream.get_ref().set_read_timeout(Some(patience)).unwrap();
        self
    }

    /// A GET with the API key.
    pub fn get(&mut self, target: &str) -> Reply {
        self.send("GET", target, &[authorized()], b"")
    }

    /// A GET without any key but what the target holds.
    pub fn open(&mut self, target: impl AsRef<[u8]>) -> Reply {
        self.send("GET", target, &[], b"")
    }

    /// Any request; the body, if there is one or the method is POST, with its length.
    pub fn send(
        &mut self,
        method: &str,
        target: impl AsRef<[u8]>,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        self.try_send(method, target, headers, body).expect("an answer")
    }

    /// The same; `None` if the connection ended before there was an answer.
    pub fn try_send(
        &mut self,
        method: &str,
        target: impl AsRef<[u8]>,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Reply> {
        let mut head = self.head(method, target.as_ref(), headers);
        if method == "POST" || !body.is_empty() {
            head.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        head.extend_from_slice(b"\r\n");
        head.extend_from_slice(body);
        self.write(&head);
        self.reply(method == "HEAD")
    }

    /// A POST with the API key whose body comes in these chunks.
    pub fn send_chunked(&mut self, target: &str, headers: &[(&str, &str)], chunks: &[&[u8]]) -> Reply {
        let mut bytes = self.head("POST", target.as_bytes(), headers);
        bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
        for chunk in chunks {
            bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        self.write(&bytes);
        self.reply(false).expect("an answer")
    }

    /// The beginning of a request, up to the headers that frame it.
    pub fn head(&self, method: &str, target: &[u8], headers: &[(&str, &str)]) -> Vec<u8> {
        let mut head = [method.as_bytes(), b" ", target, b" HTTP/1.1\r\n"].concat();
        if !headers.iter().any(|(name, _)| *name == "Host") {
            head.extend_from_slice(format!("Host: {}\r\n", self.host).as_bytes());
        }
        for (name, value) in headers {
            head.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        head
    }

    /// Sends bytes as they are. A server that refused early may have closed: its answer tells.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.get_mut().write_all(bytes).is_ok()
    }

    /// Says that nothing more is sent.
    pub fn end(&self) {
        self.stream.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Reads an answer; `None` if the connection ended before one was whole.
    pub fn reply(&mut self, bodiless: bool) -> Option<Reply> {
        let status = self.line()?.split(' ').nth(1)?.parse().ok()?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_lowercase(), value.trim_start().to_owned()));
        }
        let mut reply = Reply { status, headers, body: Vec::new() };
        if bodiless || status == 204 {
            return Some(reply);
        }
        if reply.header("transfer-encoding") == Some("chunked") {
            loop {
                let chunk = self.chunk()?;
                if chunk.is_empty() {
                    return Some(reply);
                }
                reply.body.extend(chunk);
            }
        }
        let length = reply.header("content-length")?.parse().ok()?;
        self.exactly(length, &mut reply.body)?;
        Some(reply)
    }

    /// The next chunk of a body in chunks, empty at its end.
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        let mut chunk = Vec::new();
        let size = usize::from_str_radix(&self.line()?, 16).ok()?;
        self.exactly(size, &mut chunk)?;
        self.line()?;
        self.last_chunk = size == 0;
        Some(chunk)
    }

    /// Whether the last chunk of a body was read.
    pub fn ended_well(&self) -> bool {
        self.last_chunk
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).ok()?;
        line.strip_suffix("\r\n").map(str::to_owned)
    }

    fn exactly(&mut self, length: usize, into: &mut Vec<u8>) -> Option<()> {
        let from = into.len();
        into.resize(from + length, 0);
        self.stream.read_exact(&mut into[from..]).ok()
    }
}
