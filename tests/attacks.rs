//! The server under attack, over loopback: while hostile clients do their worst, `/healthz` answers within a second, honest clients get
//! half of what they get in peace, and nothing acknowledged is lost.
//!
//! The short form runs with the suite. The long one: `WHODID_ATTACK_SECONDS=60 cargo test --release --test main attacks -- --nocapture`.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::histories::number;
use crate::support::{API_KEY, Client, Reply, Server, WRITE_KEY, authorized};

/// Descriptors that the server may have, and hostile connections at once.
const FILES: u32 = 500;
const HOSTILE: usize = 2000;
/// Connections that are opened every five milliseconds while there are fewer.
const REOPENED: usize = 10;
/// Honest clients.
const HONEST: usize = 4;
const SECOND: Duration = Duration::from_secs(1);
/// How soon its health is told, and the share of their quiet throughput that honest clients keep. Without optimisation, and beside the rest of
/// the suite, the share says more about the machine than about the server: it is printed only.
const HEALTH: Duration = if cfg!(debug_assertions) { Duration::from_secs(8) } else { SECOND };
const SHARE: f64 = if cfg!(debug_assertions) { 0.0 } else { 0.5 };
/// Hostile connections without which it was no attack: on a busy machine the attacker is slow, too.
const CAME_ABOUT: usize = if cfg!(debug_assertions) { 100 } else { HOSTILE };

/// Gzip of `pieces` times `piece`.
fn packed(piece: &[u8], pieces: usize) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    for _ in 0..pieces {
        out.write_all(piece).unwrap();
    }
    out.finish().unwrap()
}

/// Asks as real clients do: whose connection was closed to make room, as it kept the server waiting longest, asks again on another. On a
/// machine that does not come to run a client it may be an honest one. Not more than twice, though.
fn asked(client: &mut Client, addr: &str, target: &str) -> Reply {
    for _ in 0..2 {
        if let Some(reply) = client.try_send("GET", target, &[], b"") {
            return reply;
        }
        *client = Client::connect(addr);
    }
    client.open(target)
}

/// Is set when it is dropped, so that a failure beside what it ends does not wait for that.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Asks for its health again and again until dropped; the slowest answer. Between two questions it asks a server of its own, which has
/// nothing else to do: what that takes is the machine's fault.
struct Pulse {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<(Duration, Duration)>>,
}

impl Pulse {
    fn of(server: &Server) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, addr) = (Arc::clone(&stop), server.addr.clone());
        let idle = TcpListener::bind("127.0.0.1:0").unwrap();
        let idle_at = idle.local_addr().unwrap();
        thread::spawn(move || idle.incoming().try_for_each(|stream| stream?.write_all(b"x")));
        let thread = thread::spawn(move || {
            let (mut worst, mut machine) = (Duration::ZERO, Duration::ZERO);
            loop {
                let begun = Instant::now();
                TcpStream::connect(idle_at).unwrap().read_exact(&mut [0]).unwrap();
                machine = machine.max(begun.elapsed());
                let begun = Instant::now();
                let reply = asked(&mut Client::connect(&addr), &addr, "/healthz");
                assert_eq!(reply.status, 200, "{}", reply.text());
                worst = worst.max(begun.elapsed());
                if stopped.load(Ordering::SeqCst) {
                    return (worst, machine);
                }
                thread::sleep(Duration::from_millis(20));
            }
        });
        Self { stop, thread: Some(thread) }
    }

    /// The slowest answer, which has to have come within the bound.
    fn end(mut self, attack: &str) -> Duration {
        self.stop.store(true, Ordering::SeqCst);
        let (worst, machine) = self.thread.take().unwrap().join().unwrap();
        let bound = HEALTH.max(8 * machine);
        assert!(worst < bound, "{attack}: /healthz took {worst:?}, a server with nothing to do {machine:?}");
        worst
    }
}

/// Honest clients that send events one by one, for a time; how many were acknowledged in each second of it.
fn honest(server: &Server, time: Duration, acknowledged: &Mutex<BTreeSet<String>>, round: &str) -> f64 {
    let begun = Instant::now();
    let count = AtomicU64::new(0);
    thread::scope(|scope| {
        for sender in 0..HONEST {
            let (count, acknowledged) = (&count, &acknowledged);
            scope.spawn(move || {
                let mut client = server.client();
                let mut mine = Vec::new();
                for n in 0.. {
                    if begun.elapsed() > time {
                        break;
                    }
                    let person = format!("{round}-{sender}-{n}");
                    let target = format!("/e?_k={WRITE_KEY}&_p={person}&_n=Sent&_debug=1");
                    let reply = asked(&mut client, &server.addr, &target);
                    assert_eq!(reply.status, 200, "{}", reply.text());
                    mine.push(person);
                    count.fetch_add(1, Ordering::Relaxed);
                }
                acknowledged.lock().unwrap().extend(mine);
            });
        }
    });
    count.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64()
}

/// What a hostile connection does once it is there.
fn hostile(kind: usize, stream: &mut TcpStream) {
    // Whatever becomes of it: an attacker does not care.
    let _ = match kind % 5 {
        // Says nothing.
        0 => Ok(()),
        // Begins a request and never ends it.
        1 => stream.write_all(b"GET /e?_k="),
        // Claims a body that does not come.
        2 => stream.write_all(b"POST /e HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n_k="),
        // Asks again and again and reads nothing.
        3 => stream.write_all(&b"GET /i.js HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(5)),
        // No HTTP at all.
        _ => stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    };
}

/// Keeps up to [`HOSTILE`] connections open for a time: what the server closes is opened again, a byte of each drips now and then.
fn flood(addr: &str, stop: &AtomicBool) -> usize {
    let mut open: Vec<(usize, TcpStream)> = Vec::new();
    let mut opened = 0;
    let to = addr.parse().unwrap();
    let mut at = 0;
    while !stop.load(Ordering::SeqCst) {
        for _ in 0..REOPENED {
            if open.len() >= HOSTILE {
                break;
            }
            if let Ok(mut stream) = TcpStream::connect_timeout(&to, Duration::from_millis(20)) {
                stream.set_nonblocking(true).unwrap();
                hostile(opened, &mut stream);
                open.push((opened, stream));
                opened += 1;
            }
        }
        for _ in 0..open.len().min(100) {
            at = (at + 1) % open.len().max(1);
            let Some((kind, stream)) = open.get_mut(at) else { break };
            let dripped = if *kind % 5 == 1 { stream.write(b"x").map(drop) } else { Ok(()) };
            let closed = match stream.peek(&mut [0]) {
                Ok(0) => true,
                Ok(_) => false,
                Err(e) => e.kind() != std::io::ErrorKind::WouldBlock,
            };
            if closed || dripped.is_err() {
                open.swap_remove(at);
            }
        }
        thread::sleep(Duration::from_millis(5));
    }
    opened
}

/// Nothing that clients send makes a thread of the server panic: its log would say so.
fn no_panic(server: &Server) {
    let log = std::fs::read_to_string(server.data.with_extension("log")).unwrap();
    assert!(!log.contains("panicked"), "{log}");
}

/// Lets this process hold as many connections as it attacks with.
fn many_files() -> bool {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let enough = limit.maximum.is_none_or(|most| most >= HOSTILE as u64 + 500);
    enough && setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).is_ok()
}

#[test]
fn two_thousand_hostile_connections_on_five_hundred_descriptors() {
    if !many_files() {
        eprintln!(
            "SKIPPED: a flood of connections could not be tried, as this process may not open enough files"
        );
        return;
    }
    let time = Duration::from_secs(number("WHODID_ATTACK_SECONDS", 2));
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with_files(&dir.path().join("store"), FILES);
    let acknowledged = Mutex::new(BTreeSet::new());
    let mut shares = Vec::new();
    // Other work on the machine comes and goes: a round that it spoiled is repeated.
    for round in 0..4 {
        let quiet = honest(&server, time, &acknowledged, &format!("quiet{round}"));
        let stop = AtomicBool::new(false);
        let pulse = Pulse::of(&server);
        let (under, opened) = thread::scope(|scope| {
            let flooding = scope.spawn(|| flood(&server.addr, &stop));
            thread::sleep(SECOND / 2);
            let end = Stop(&stop);
            let under = honest(&server, time, &acknowledged, &format!("attack{round}"));
            drop(end);
            (under, flooding.join().unwrap())
        });
        let worst = pulse.end("a flood of connections");
        println!(
            "{quiet:.0} records/s, under {opened} hostile connections {under:.0}/s, /healthz within {worst:?}"
        );
        assert!(opened > CAME_ABOUT, "only {opened} hostile connections came about");
        shares.push(under / quiet);
        if under >= quiet * SHARE {
            break;
        }
    }
    assert!(
        shares.iter().any(|share| *share >= SHARE),
        "honest clients got {shares:?} of what they get in peace"
    );
    Pulse::of(&server).end("after the flood");
    no_panic(&server);
    let data = server.data.clone();
    server.kill();
    let server = Server::start(&data);
    let stored: BTreeSet<String> = server
        .export()
        .iter()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["person"].as_str().unwrap().to_owned()
        })
        .collect();
    let acknowledged = acknowledged.into_inner().unwrap();
    let lost: Vec<&String> = acknowledged.difference(&stored).collect();
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged records are lost: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
}

#[test]
fn bombs_and_depths_cost_no_more_than_their_limits() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    server.import("{\"type\":\"event\",\"person\":\"a\",\"event\":\"before\"}\n");
    let quiet = server.memory_peak();
    let pulse = Pulse::of(&server);
    let megabyte = vec![b' '; 1 << 20];
    let gzip = ("Content-Encoding", "gzip");
    // Unpacked they are 32 MiB: of one line, of a message, of no JSON at all, and of gzip within gzip.
    let spaces = packed(&megabyte, 32);
    let text = packed(&vec![b'x'; 1 << 20], 32);
    let nested = packed(&spaces, 1);
    let zeros = packed(&vec![0; 1 << 20], 32);
    for bomb in [&spaces, &text, &nested, &zeros] {
        for (path, headers) in [
            ("/api/v1/import", vec![authorized(), gzip]),
            ("/api/v1/import", vec![authorized()]),
            ("/api/v1/import?format=csv", vec![authorized(), gzip]),
            ("/v1/batch", vec![gzip]),
            ("/v1/track", vec![]),
            ("/api/v1/funnel", vec![authorized(), gzip]),
        ] {
            let reply = server.client().send("POST", path, &headers, bomb);
            let refused = (400..=422).contains(&reply.status);
            let rejected = reply.status == 200 && reply.json()["accepted"] == 0;
            assert!(refused || rejected, "{path}: {} {}", reply.status, reply.text());
        }
    }
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        let record = format!(
            "{{\"type\":\"event\",\"person\":\"a\",\"event\":\"deep\",\"properties\":{{\"p\":{deep}}}}}"
        );
        let reply = server.import(&record);
        assert_eq!((&reply["accepted"], &reply["rejected"]), (&0.into(), &1.into()), "{reply}");
        let message = format!(
            "{{\"writeKey\":\"{WRITE_KEY}\",\"type\":\"track\",\"event\":\"deep\",\"userId\":\"a\",\"properties\":{deep}}}"
        );
        // Anybody may send these: a message is refused and counted, whatever the key.
        for path in ["/v1/track", "/v1/identify", "/v1/batch"] {
            let reply = server.client().send("POST", path, &[], message.as_bytes());
            assert!([200, 400, 401].contains(&reply.status), "{path}: {} {}", reply.status, reply.text());
        }
        for path in ["/api/v1/funnel", "/api/v1/cohort", "/api/v1/people"] {
            let reply = server.post(path, &message);
            assert_eq!((reply.status, reply.code().as_str()), (400, "too_deep"), "{path}");
        }
    }
    pulse.end("bombs");
    no_panic(&server);
    let more = server.memory_peak().saturating_sub(quiet) >> 20;
    println!("bombs took {more} MiB at most");
    assert!(more < 192, "bombs took {more} MiB");
    assert_eq!(server.export().len(), 1);
}

/// Bodies that are small on their way or as text, and were large once they were read: of very many values, names or columns, or with texts
/// that errors quote.
fn swelling() -> Vec<(&'static str, bool, Vec<u8>)> {
    let key = format!("\"writeKey\":\"{WRITE_KEY}\"");
    let ones = ",1".repeat(5 << 20);
    let names: String = (0..1 << 20).map(|n| format!("\"{n}\":1,")).collect();
    let wide: String = (0..100_000).map(|n| format!("p!{}#,", "$".repeat(n % 50))).collect();
    vec![
        ("/v1/batch", true, format!("{{{key},\"batch\":[1{ones}]}}").into()),
        ("/v1/batch", true, format!("{{{key},{names}\"batch\":[]}}").into()),
        (
            "/v1/batch",
            true,
            format!("{{{key},\"batch\":[{{\"userId\":\"u\",\"type\":\"{}\"}}]}}", "A".repeat(19 << 20))
                .into(),
        ),
        (
            "/v1/track",
            true,
            format!("{{{key},\"userId\":\"u\",\"event\":\"E\",\"properties\":{{\"a\":[1{ones}]}}}}").into(),
        ),
        (
            "/e",
            false,
            format!("{{\"_k\":\"{WRITE_KEY}\",\"_p\":\"a\",\"_n\":\"E\",\"{}\":[1]}}", "A".repeat(1 << 19))
                .into(),
        ),
        ("/e", false, format!("_k={WRITE_KEY}&_p=a&_n=E&{}", "a&".repeat(500_000)).into()),
        (
            "/api/v1/import?format=csv",
            true,
            format!("a,person\n{}", format!("{}\n", "x".repeat(4 << 20)).repeat(24)).into(),
        ),
        ("/api/v1/import?format=csv", true, format!("{wide}event\njane,E\n").into()),
        (
            "/api/v1/import?format=kissmetrics",
            true,
            format!("{{\"_p\":\"a\",\"_n\":\"E\",\"_t\":1740823200,\"x\":[1{}]}}\n", ",1".repeat(2_000_000))
                .into(),
        ),
        (
            "/api/v1/import",
            true,
            format!(
                "{{\"type\":\"event\",\"person\":\"a\",\"event\":\"E\",\"time\":\"{}\"}}\n",
                "9".repeat(3 << 20)
            )
            .repeat(20)
            .into(),
        ),
    ]
}

#[test]
fn what_is_small_on_its_way_stays_small() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    let pulse = Pulse::of(&server);
    let quiet = server.memory_peak();
    for (path, is_packed, body) in swelling() {
        let body = if is_packed { packed(&body, 1) } else { body };
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let own =
                        if path.starts_with("/v1/") { None } else { Some(("Content-Encoding", "gzip")) };
                    let bearer = format!("Bearer {WRITE_KEY}");
                    let mut headers = vec![("Authorization", bearer.as_str())];
                    headers.extend(own.filter(|_| is_packed));
                    let reply = server.client().send("POST", path, &headers, &body);
                    let stored = reply.status == 200 && reply.text().contains("\"accepted\":1");
                    assert!(
                        [200, 400, 413, 422, 503].contains(&reply.status) && !stored,
                        "{path}: {} {}",
                        reply.status,
                        reply.text()
                    );
                });
            }
        });
        let more = server.memory_peak().saturating_sub(quiet) >> 20;
        println!("{path} of {} bytes: {more} MiB at most", body.len());
        assert!(more < 400, "{path}: {more} MiB");
    }
    pulse.end("bodies that swell");
    no_panic(&server);
    let refusals = server.client().get("/api/v1/refusals").text();
    assert!(refusals.len() < 1 << 20 && refusals.contains("too_many_values"), "{}", refusals.len());
    assert_eq!(server.export(), Vec::<String>::new());
}

#[test]
fn slow_imports_with_the_public_key_leave_room_for_others() {
    let dir = tempfile::tempdir().unwrap();
    let keys = [("WHODID_API_KEY", API_KEY), ("WHODID_WRITE_KEY", WRITE_KEY)];
    let server = Server::start_behind("127.0.0.1", &dir.path().join("store"), &keys).0;
    let bearer = format!("Bearer {WRITE_KEY}");
    let slow = |address: &str| {
        let mut client = server.client();
        let headers = [("Authorization", bearer.as_str()), ("X-Forwarded-For", address)];
        let head = client.head("POST", b"/api/v1/import", &headers);
        client.write(&[&head[..], b"Transfer-Encoding: chunked\r\n\r\n1\r\n \r\n"].concat());
        client.patient(SECOND / 2)
    };
    let status = |mut client: Client| client.reply(false).map(|reply| reply.status);
    let first = slow("203.0.113.1");
    thread::sleep(SECOND / 2);
    for _ in 0..4 {
        assert_eq!(status(slow("203.0.113.1")), Some(503), "one of an address");
    }
    let others = [2, 3, 4].map(|n| slow(&format!("203.0.113.{n}")));
    thread::sleep(SECOND / 2);
    assert_eq!(status(slow("203.0.113.5")), Some(503), "four in all");
    let line = "{\"type\":\"event\",\"person\":\"a\",\"event\":\"x\"}\n";
    assert_eq!(server.import(line)["accepted"], 1);
    drop((first, others));
    thread::sleep(SECOND / 2);
    // Nor do those hold a turn for long who send the first byte of what is packed and then nothing.
    let packed: Vec<Client> = (0..5)
        .map(|_| {
            let mut client = server.client();
            let headers = [
                ("Authorization", bearer.as_str()),
                ("X-Forwarded-For", "203.0.113.9"),
                ("Content-Encoding", "gzip"),
            ];
            let head = client.head("POST", b"/api/v1/import", &headers);
            client.write(&[&head[..], b"Transfer-Encoding: chunked\r\n\r\n1\r\n\x1f\r\n"].concat());
            client
        })
        .collect();
    thread::sleep(SECOND / 2);
    assert_eq!(server.import(line)["accepted"], 1);
    drop(packed);
    thread::sleep(SECOND / 2);
    let mut last = slow("203.0.113.5").patient(5 * SECOND);
    last.write(b"0\r\n\r\n");
    assert_eq!(status(last), Some(200), "it is let in");
}

/// Connections that each claim a megabyte and keep its last byte back.
fn withheld(server: &Server, path: &str) -> Vec<TcpStream> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\n\r\n");
    let bytes = [head.as_bytes(), &vec![b' '; (1 << 20) - 1]].concat();
    let send = |_| {
        let mut stream = TcpStream::connect(&server.addr).unwrap();
        // The server may answer and close before it has all of it.
        let _ = stream.write_all(&bytes);
        stream
    };
    (0..70).map(send).collect()
}

#[test]
fn bodies_of_strangers_keep_nobody_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    let event = format!("_k={WRITE_KEY}&_p=a&_n=x&_debug=1");
    for path in ["/api/v1/funnel", "/api/v1/compact", "/settings", "/login"] {
        let held = withheld(&server, path);
        let form = ("Content-Type", "application/x-www-form-urlencoded");
        let reply = server.client().send("POST", "/e", &[form], event.as_bytes());
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        drop(held);
    }
    // Records may come with their key in the body, so it has to be read; who showed a key before is not kept waiting by it.
    let held = withheld(&server, "/e");
    assert_eq!(server.post("/api/v1/people", "{}").status, 200);
    drop(held);
}

#[test]
fn no_bytes_make_the_server_fall_or_lie() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    let pulse = Pulse::of(&server);
    let mut random = whodid::testing::random::Random::new(number("WHODID_SEED", 7));
    let good = [
        format!("GET /e?_k={WRITE_KEY}&_p=a&_n=x HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes(),
        format!("POST /e HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60\r\n\r\n_k={WRITE_KEY}&_p=a&_n=x&y=z").into_bytes(),
        b"POST /api/v1/import HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_vec(),
    ];
    let begun = Instant::now();
    let time = Duration::from_secs(number("WHODID_ATTACK_SECONDS", 1));
    let mut sent = 0;
    while begun.elapsed() < time {
        let Some(mut bytes) = good.get(sent % good.len()).cloned() else { break };
        for _ in 0..1 + random.bits() % 8 {
            let at = (random.bits() as usize) % bytes.len();
            match random.bits() % 4 {
                0 => bytes.truncate(at.max(1)),
                1 => bytes.insert(at, random.bits() as u8),
                2 => bytes.extend_from_within(at..),
                _ => bytes[at] = random.bits() as u8,
            }
        }
        let mut stream = TcpStream::connect(&server.addr).unwrap();
        stream.set_read_timeout(Some(5 * SECOND)).unwrap();
        // The server may have closed before it has read everything.
        let _ = stream.write_all(&bytes).and_then(|()| stream.shutdown(std::net::Shutdown::Write));
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let whole = answer.is_empty() || answer.starts_with(b"HTTP/1.1 ");
        assert!(whole && !matches!(&read, Err(e) if e.kind() == std::io::ErrorKind::WouldBlock), "{bytes:?}");
        assert!(!answer.starts_with(b"HTTP/1.1 500"), "{bytes:?}: {}", String::from_utf8_lossy(&answer));
        sent += 1;
    }
    println!("{sent} broken requests");
    pulse.end("broken requests");
    no_panic(&server);
    assert!(sent > 20, "only {sent} requests");
}
