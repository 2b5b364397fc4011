//! A day of a busy company in minutes: bulk imports and single events over HTTP, people joined, parted and erased, segments merged, and
//! every report asked all the time, while memory, files and bytes are watched. At the end the answers are compared with a count that
//! knows nothing of the server. `WHODID_SOAK=N` sets how many records; the suite has time for few.

mod model;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::histories::number;
use crate::support::{API_KEY, Client, Server, WRITE_KEY, authorized};
use model::{EVENTS, Fates, Load, STEPS};

/// Records of one import at most, and how many imports there are at least.
const LINES: u64 = 20_000;
const IMPORTS: u64 = 60;
/// Imports at once: the server has two processors, and so has the load.
const IMPORTERS: usize = 2;
/// Rows of the table.
const ROWS: u64 = 24;
/// The budget of the server; `WHODID_MEMORY_MIB` sets another.
const MEMORY_MIB: u64 = 512;
/// A merge of all segments takes minutes when there are many.
const PATIENCE: Duration = Duration::from_secs(1800);

/// What the threads share.
struct Soak<'a> {
    server: &'a Server,
    load: Mutex<Load>,
    fates: Mutex<Fates>,
    records: u64,
    /// Lines that are durable.
    stored: AtomicU64,
    /// Single events that are.
    ticked: AtomicU64,
    answers: AtomicU64,
    /// How long the funnel took last, in microseconds.
    funnel: AtomicU64,
    over: AtomicBool,
}

impl Soak<'_> {
    fn client(&self) -> Client {
        self.server.client().patient(PATIENCE)
    }

    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::SeqCst)
    }

    /// Waits until so many of a hundred records are stored; false if the end comes before.
    fn wait_for(&self, percent: u64) -> bool {
        while self.stored.load(Ordering::SeqCst) * 100 < self.records * percent {
            if !self.goes_on() {
                return false;
            }
            thread::sleep(Duration::from_millis(20));
        }
        true
    }

    /// Sends the bulk of the records.
    fn import(&self) {
        let (mut client, mut lines) = (self.client(), Vec::new());
        let most = (self.records / IMPORTS).min(LINES);
        let own = format!("Bearer {API_KEY}");
        loop {
            let count = self.load.lock().unwrap().next(most, &mut lines);
            if count == 0 {
                return;
            }
            let reply = client.send("POST", "/api/v1/import", &[("Authorization", &own)], &lines);
            let report = reply.json();
            assert_eq!((reply.status, &report["accepted"]), (200, &count.into()), "{report}");
            self.stored.fetch_add(count, Ordering::SeqCst);
        }
    }

    /// Single events, as pages send them.
    fn tick(&self) {
        let mut client = self.client();
        for n in 0.. {
            if !self.goes_on() {
                return;
            }
            let reply = client.open(format!("/e?_k={WRITE_KEY}&_p=tick{}&_n=Ticked&n={n}", n % 100));
            assert_eq!(reply.status, 200, "{}", reply.text());
            self.ticked.fetch_add(1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Joins, parts and erases people, and merges segments.
    fn operate(&self) {
        if !self.wait_for(20) {
            return;
        }
        let (kept, doomed) = self.load.lock().unwrap().specials();
        let known: Vec<u64> = kept.into_iter().filter(|person| Load::anonymous(*person).is_some()).collect();
        let (pairs, parted) = known.split_at(known.len() / 2);
        let pairs: Vec<(u64, u64)> =
            pairs.chunks_exact(2).filter_map(|pair| Some((*pair.first()?, *pair.last()?))).collect();
        for (at, percent) in [20, 35, 50, 65, 80].into_iter().enumerate() {
            if !self.wait_for(percent) {
                return;
            }
            // The server closes a connection that is silent for as long as this waits.
            let mut client = self.client();
            for (from, into) in pairs.iter().skip(at).step_by(5) {
                let body = json!({"into": Load::name(*into)}).to_string();
                post(&mut client, &format!("/api/v1/people/{}/merge", Load::name(*from)), &body);
                self.fates.lock().unwrap().merged.push((*from, *into));
            }
            for person in parted.iter().skip(at).step_by(5) {
                let anonymous = Load::anonymous(*person).unwrap();
                post(&mut client, &format!("/api/v1/people/{anonymous}/unmerge"), "");
                self.fates.lock().unwrap().parted.insert(*person);
            }
            if let Some(person) = doomed.get(at) {
                let target = format!("/api/v1/people/{}", Load::name(*person));
                let reply = client.send("DELETE", target, &[authorized()], b"");
                assert_eq!(reply.status, 200, "{}", reply.text());
                self.fates.lock().unwrap().erased.insert(*person);
            }
            if at % 2 == 1 {
                post(&mut client, "/api/v1/compact", "");
            }
        }
    }

    /// Asks every report, over and over, with pauses as people make them.
    fn ask(&self) {
        let mut client = self.client();
        for (report, query) in questions().iter().cycle() {
            if !self.goes_on() {
                return;
            }
            let begun = Instant::now();
            let reply = client.send("POST", format!("/api/v1/{report}"), &[authorized()], query.as_bytes());
            assert_eq!(reply.status, 200, "{report}: {}", reply.text());
            if *report == "funnel" {
                self.funnel.store(begun.elapsed().as_micros() as u64, Ordering::SeqCst);
            }
            self.answers.fetch_add(1, Ordering::SeqCst);
            for target in ["/api/v1/events", "/api/v1/stats", "/api/v1/people/u1@x.example/events?limit=100"]
            {
                let status = client.get(target).status;
                assert!(matches!(status, 200 | 404), "{target}: {status}");
            }
            // Half of one processor at most, and not so long that the server closes the connection.
            thread::sleep(begun.elapsed().clamp(Duration::from_millis(20), Duration::from_secs(5)));
        }
    }

    /// Prints a line each time so much more is stored, and holds the server to its bounds.
    fn watch(&self, budget: u64) {
        let begun = Instant::now();
        println!(
            "{:>5} {:>11} {:>9} {:>9} {:>8} {:>6} {:>9} {:>9}",
            "hour", "records", "a second", "own MiB", "disk MiB", "files", "answers", "funnel ms"
        );
        for hour in 1..=ROWS {
            self.wait_for(hour * 100 / ROWS);
            let stored = self.stored.load(Ordering::SeqCst) + self.ticked.load(Ordering::SeqCst);
            let (own, (files, bytes)) = (self.server.memory_own(), self.server.files());
            println!(
                "{hour:>5} {stored:>11} {:>9.0} {:>9} {:>8} {files:>6} {:>9} {:>9.1}",
                stored as f64 / begun.elapsed().as_secs_f64(),
                own >> 20,
                bytes >> 20,
                self.answers.load(Ordering::SeqCst),
                self.funnel.load(Ordering::SeqCst) as f64 / 1000.0
            );
            assert!(own <= budget, "{} MiB of memory, the budget is {} MiB", own >> 20, budget >> 20);
            assert!(files < 200, "{files} files");
            if !self.goes_on() {
                return;
            }
        }
    }
}

fn post(client: &mut Client, target: &str, body: &str) {
    let reply = client.send("POST", target, &[authorized()], body.as_bytes());
    assert_eq!(reply.status, 200, "{target}: {}", reply.text());
}

fn funnel() -> Json {
    let steps: Vec<Json> = STEPS.iter().map(|step| json!({"event": EVENTS[*step]})).collect();
    json!({"steps": steps})
}

/// One query of each kind of report.
fn questions() -> Vec<(&'static str, String)> {
    let split = json!({"steps": funnel()["steps"], "within": "2h", "by": "step1.Plan"});
    vec![
        ("funnel", funnel().to_string()),
        ("funnel", split.to_string()),
        (
            "cohort",
            r#"{"start":{"event":"Signed Up"},"return":{"event":"Visited"},"cohort":"day","count":3}"#.into(),
        ),
        (
            "trend",
            r#"{"series":[{"event":"Purchased","measure":"sum","property":"Amount"}],"by":"event.Plan"}"#
                .into(),
        ),
        ("paths", r#"{"start":{"event":"Signed Up"},"goal":{"event":"Purchased"},"events":4}"#.into()),
        ("revenue", r#"{"property":"Amount","unit":"day"}"#.into()),
        ("lifecycle", r#"{"event":"Visited","unit":"day"}"#.into()),
        (
            "people",
            r#"{"people":{"all":[{"did":"Purchased"},{"not":{"did":"Cancelled"}}]},"limit":10}"#.into(),
        ),
    ]
}

/// Compares every answer with the independent count.
fn compare(server: &Server, load: &Load, fates: &Fates, ticked: u64) {
    let counted = load.count(fates);
    let mut client = server.client().patient(PATIENCE);
    let stats = client.get("/api/v1/stats").json();
    let tickers = ticked.min(100);
    assert_eq!(stats["people"], counted.people + tickers, "{stats}");
    let events = client.get("/api/v1/events").json();
    let of = |name: &str| {
        let found = events["events"].as_array().unwrap().iter().find(|e| e["event"] == *name);
        found.map_or((0, 0), |e| (e["count"].as_u64().unwrap(), e["people"].as_u64().unwrap()))
    };
    for (name, expected) in EVENTS.iter().zip(counted.events) {
        assert_eq!(of(name), expected, "{name}");
    }
    assert_eq!(of("Ticked"), (ticked, tickers));
    let reply = client.send("POST", "/api/v1/funnel", &[authorized()], funnel().to_string().as_bytes());
    let steps: Vec<u64> = reply.json()["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["people"].as_u64().unwrap())
        .collect();
    assert_eq!(steps, counted.funnel);
}

#[test]
fn a_day_of_load_is_counted_right_within_bounds() {
    let records = number("WHODID_SOAK", 120_000);
    let budget = number("WHODID_MEMORY_MIB", MEMORY_MIB) << 20;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("store");
    let memory = budget.to_string();
    let variables =
        [("WHODID_API_KEY", API_KEY), ("WHODID_WRITE_KEY", WRITE_KEY), ("WHODID_MEMORY", memory.as_str())];
    let (server, _) = Server::start_with(&data, &variables);
    let soak = Soak {
        server: &server,
        load: Mutex::new(Load::new(records)),
        fates: Mutex::default(),
        records,
        stored: AtomicU64::new(0),
        ticked: AtomicU64::new(0),
        answers: AtomicU64::new(0),
        funnel: AtomicU64::new(0),
        over: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        let importers: Vec<_> = (0..IMPORTERS).map(|_| scope.spawn(|| soak.import())).collect();
        let operator = scope.spawn(|| soak.operate());
        for work in [Soak::tick, Soak::ask] {
            let soak = &soak;
            scope.spawn(move || work(soak));
        }
        scope.spawn(|| soak.watch(budget));
        let ended: Vec<_> = importers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        let operated = operator.join();
        soak.over.store(true, Ordering::SeqCst);
        assert!(ended.iter().all(Result::is_ok) && operated.is_ok());
    });
    let (load, fates) = (soak.load.into_inner().unwrap(), soak.fates.into_inner().unwrap());
    assert!(fates.merged.len() > 5 && fates.parted.len() > 5 && fates.erased.len() > 2);
    let ticked = soak.ticked.into_inner();
    assert!(ticked > 0 && soak.answers.into_inner() > 0);
    compare(&server, &load, &fates, ticked);
    assert!(server.memory_own() <= budget);
    server.stop();
    // The same from the files alone.
    let (server, _) = Server::start_with(&data, &variables);
    compare(&server, &load, &fates, ticked);
}
