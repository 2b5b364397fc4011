//! A server on a real disk, killed at random moments while clients send and an operator erases people and compacts. After each kill
//! everything that was acknowledged is there once, who was erased is in no file, and nothing else is there. `WHODID_KILLS=N` sets the
//! number of kills; the suite has time for a few.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use serde_json::Value as Json;
use whodid::testing::random::Random;

use crate::histories::number;
use crate::support::{Client, Server, WRITE_KEY, authorized};

/// Kills of one store: its whole content is compared after each.
const KILLS_OF_A_STORE: u64 = 20;
const SENDERS: u64 = 4;

/// What must be there, and what may.
#[derive(Default)]
struct Known {
    /// By the key of an event its person.
    acknowledged: BTreeMap<String, String>,
    in_flight: BTreeMap<String, String>,
    erased: BTreeSet<String>,
    /// Whose erasure was cut short.
    perhaps_erased: BTreeSet<String>,
}

/// One request on a connection of its own; `None` if the server was killed before it answered.
fn send(client: &mut Client, method: &str, target: &str, headers: &[(&str, &str)]) -> Option<(u16, String)> {
    let bytes = [client.head(method, target.as_bytes(), headers), b"\r\n".to_vec()].concat();
    let reply = if client.write(&bytes) { client.reply(false) } else { None }?;
    Some((reply.status, reply.text()))
}

/// Sends events until the server is gone.
fn sender(mut client: Client, round: u64, which: u64, known: &Mutex<Known>) {
    for n in 0.. {
        let key = format!("r{round}s{which}n{n}");
        // Some are of a person who will be erased in the next round.
        let person = if n % 5 == 0 { doomed(round) } else { format!("p{which}-{}", n % 17) };
        known.lock().unwrap().in_flight.insert(key.clone(), person.clone());
        let target = format!("/e?_k={WRITE_KEY}&_p={person}&_n=Sent&k={key}");
        let Some((status, text)) = send(&mut client, "GET", &target, &[]) else { return };
        assert_eq!(status, 200, "{text}");
        let mut known = known.lock().unwrap();
        known.in_flight.remove(&key);
        known.acknowledged.insert(key, person);
    }
}

fn doomed(round: u64) -> String {
    format!("doomed-{round}@gone.example")
}

/// Erases the doomed of the round before and compacts, until the server is gone.
fn operator(mut client: Client, round: u64, known: &Mutex<Known>) {
    let person = doomed(round.wrapping_sub(1));
    known.lock().unwrap().perhaps_erased.insert(person.clone());
    let target = format!("/api/v1/people/{}", person.replace('@', "%40"));
    match send(&mut client, "DELETE", &target, &[authorized()]) {
        Some((200 | 404, _)) => {
            let mut known = known.lock().unwrap();
            known.perhaps_erased.remove(&person);
            known.erased.insert(person);
        }
        Some((status, text)) => panic!("{status} {text}"),
        None => return,
    }
    while let Some((status, text)) =
        send(&mut client, "POST", "/api/v1/compact", &[authorized(), ("Content-Length", "0")])
    {
        assert_eq!(status, 200, "{text}");
    }
}

/// Compares everything that is stored with what is known; what was in doubt is decided.
fn compare(server: &Server, known: &mut Known, context: &str) {
    let mut stored: BTreeMap<String, String> = BTreeMap::new();
    for line in server.export() {
        let record: Json = serde_json::from_str(&line).unwrap();
        let text = |json: &Json| json.as_str().unwrap().to_owned();
        let twice = stored.insert(text(&record["properties"]["k"]), text(&record["person"]));
        assert!(twice.is_none(), "{context}: twice: {line}");
    }
    let people: BTreeSet<&String> = stored.values().collect();
    for person in &known.erased {
        assert!(!people.contains(person), "{context}: {person} was erased");
        for file in std::fs::read_dir(&server.data).unwrap().map(|f| f.unwrap().path()) {
            let bytes = if file.is_file() { std::fs::read(&file).unwrap() } else { Vec::new() };
            let found = bytes.windows(person.len()).any(|w| w == person.as_bytes());
            assert!(!found, "{context}: {} holds {person}", file.display());
        }
    }
    // All or nothing of whose erasure was cut short.
    let gone: BTreeSet<String> =
        known.perhaps_erased.iter().filter(|person| !people.contains(person)).cloned().collect();
    known.perhaps_erased.clear();
    let is_gone = |person: &String| gone.contains(person) || known.erased.contains(person);
    known.acknowledged.retain(|_, person| !is_gone(person));
    for (key, person) in &known.acknowledged {
        assert_eq!(stored.get(key), Some(person), "{context}: {key} was acknowledged");
    }
    for (key, person) in stored {
        let new = known.acknowledged.insert(key.clone(), person.clone()).is_none();
        assert!(!new || known.in_flight.get(&key) == Some(&person), "{context}: {key} was never sent");
    }
    known.in_flight.clear();
    known.erased.extend(gone);
}

/// Kills one store `kills` times.
fn torture(data: &Path, first: u64, kills: u64) -> usize {
    let (mut known, mut random) = (Known::default(), Random::new(first));
    for round in first..first + kills {
        let server = Server::start(data);
        compare(&server, &mut known, &format!("before kill {round}"));
        let shared = Mutex::new(std::mem::take(&mut known));
        thread::scope(|scope| {
            for which in 0..SENDERS {
                // Connected before the kill can come.
                let (client, shared) = (server.client(), &shared);
                scope.spawn(move || sender(client, round, which, shared));
            }
            let client = server.client();
            scope.spawn(|| operator(client, round, &shared));
            thread::sleep(Duration::from_millis(5 + random.below(250)));
            server.kill_now();
        });
        server.reap();
        known = shared.into_inner().unwrap();
    }
    let server = Server::start(data);
    compare(&server, &mut known, "at the end");
    assert_eq!(server.get("/healthz")["status"], "ok");
    known.acknowledged.len() + known.erased.len()
}

#[test]
fn kills_lose_nothing_and_bring_nobody_back() {
    let kills = number("WHODID_KILLS", 4);
    let mut kept = 0;
    for first in (0..kills).step_by(KILLS_OF_A_STORE as usize) {
        let dir = tempfile::tempdir().unwrap();
        kept += torture(&dir.path().join("store"), first, KILLS_OF_A_STORE.min(kills - first));
    }
    println!("{kills} kills, {kept} events and erasures compared");
    assert!(kept > 0);
}
