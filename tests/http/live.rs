//! The live view over HTTP: what comes, in which order, to whom, and what happens when a watcher falls behind or the server ends.

use serde_json::{Value as Json, json};

use super::accounts::{joined, send};
use super::fresh;
use super::pages::log_in;
use crate::support::{Client, Server, WRITE_KEY, authorized};

/// One message of the stream.
#[derive(Debug)]
struct Message {
    id: u64,
    kind: String,
    data: Json,
}

pub struct Watcher {
    client: Client,
    text: String,
}

impl Watcher {
    pub fn new(server: &Server, query: &str, headers: &[(&str, &str)]) -> Self {
        let all: Vec<_> = [authorized()].into_iter().chain(headers.iter().copied()).collect();
        Self::with(server, query, &all)
    }

    /// With what lets them in among the headers.
    fn with(server: &Server, query: &str, headers: &[(&str, &str)]) -> Self {
        let mut client = server.client();
        let head = client.head("GET", format!("/api/v1/live{query}").as_bytes(), headers);
        client.write(&[head, b"\r\n".to_vec()].concat());
        let head = client.reply(true).unwrap();
        assert_eq!(head.status, 200);
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        assert_eq!(head.header("cache-control"), Some("no-store"));
        let mut watcher = Self { client, text: String::new() };
        // From here on the server has noted where this watcher begins.
        assert!(watcher.block().unwrap().starts_with("retry: "));
        watcher
    }

    /// The lines up to the next empty one; `None` at the end of the stream.
    pub fn block(&mut self) -> Option<String> {
        while !self.text.contains("\n\n") {
            let chunk = self.client.chunk().filter(|chunk| !chunk.is_empty())?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        let (block, rest) = self.text.split_once("\n\n").map(|(a, b)| (a.to_owned(), b.to_owned()))?;
        self.text = rest;
        Some(block)
    }

    fn next(&mut self) -> Message {
        let block = self.block().expect("a message");
        let field = |name: &str| {
            block.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_else(|| panic!("{name} in {block}"))
        };
        let data = serde_json::from_str(field("data: ")).unwrap();
        Message { id: field("id: ").parse().unwrap(), kind: field("event: ").to_owned(), data }
    }
}

fn track(server: &Server, path_and_query: &str) {
    server.client().open(format!("{path_and_query}&_k={WRITE_KEY}"));
}

#[test]
fn records_come_with_their_person_and_refusals_in_between() {
    let (_dir, server) = fresh();
    let mut all = Watcher::new(&server, "", &[]);
    let mut of_jane = Watcher::new(&server, "?person=jane%40example.com", &[]);
    let mut paid = Watcher::new(&server, "?event=Paid", &[]);
    track(&server, "/e?_p=anon1&_n=Visited&Page=%2Fa%0Ab");
    track(&server, "/a?_p=anon1&_n=jane@example.com");
    track(&server, "/e?_p=&_n=Nobody");
    track(&server, "/e?_p=anon1&_n=Paid&Revenue=9.90&_d=1&_t=1740823200");
    track(&server, "/s?_p=jane@example.com&Plan=Pro");
    let messages: Vec<Message> = (0..5).map(|_| all.next()).collect();
    let kinds: Vec<_> = messages.iter().map(|m| m.kind.as_str()).collect();
    assert_eq!(kinds, ["record", "record", "refusal", "record", "record"]);
    assert!(messages.is_sorted_by(|a, b| a.id < b.id));
    let data = |at: usize| &messages[at].data;
    assert_eq!((&data(0)["type"], &data(0)["identity"]), (&json!("event"), &json!("anon1")));
    assert_eq!(data(0)["properties"], json!({"Page": "/a\nb"}));
    assert_eq!((&data(1)["type"], &data(1)["to"]), (&json!("identify"), &json!("jane@example.com")));
    assert_eq!(data(2)["record"]["name"], "Nobody");
    assert_eq!(
        *data(3),
        json!({"type": "event", "person": "jane@example.com", "identity": "anon1", "event": "Paid",
               "time": "2025-03-01T10:00:00Z", "properties": {"Revenue": 9.9}})
    );
    assert_eq!((&data(4)["type"], &data(4)["properties"]), (&json!("set"), &json!({"Plan": "Pro"})));
    assert_eq!(paid.next().id, messages[3].id);
    // Before the identify nobody knew that the visitor was Jane, unless the two came in one batch.
    let seen: Vec<u64> = std::iter::from_fn(|| Some(of_jane.next().id)).take(3).collect();
    assert!(seen.ends_with(&[messages[3].id, messages[4].id]) || seen.contains(&messages[1].id), "{seen:?}");
}

#[test]
fn a_name_that_never_came_is_said_to_be_none() {
    let (_dir, server) = fresh();
    track(&server, "/e?_p=jane&_n=Bill");
    let session = log_in(&server);
    let page = |target: &str| super::accounts::get(&server, target, &session).text();
    for known in ["/live", "/live?event=Bill", "/live?person=jane&event=Bill"] {
        assert!(!page(known).contains("has ever come"), "{known}");
    }
    let unheard = page("/live?event=%3Ci%3Ebill&person=joan");
    assert!(
        unheard.contains("No event called \u{201c}<bdi>&lt;i&gt;bill</bdi>\u{201d} has ever come"),
        "{unheard}"
    );
    assert!(unheard.contains("Nobody called \u{201c}<bdi>joan</bdi>\u{201d} has ever come"), "{unheard}");
    assert!(!unheard.contains("Waiting for events"), "without a script nothing waits");
}

#[test]
fn a_watcher_resumes_by_id_and_learns_what_it_missed() {
    let (dir, server) = fresh();
    let mut first = Watcher::new(&server, "", &[]);
    for n in 0..4 {
        track(&server, &format!("/e?_p=p{n}&_n=Visited"));
    }
    let seen = first.next().id;
    let mut by_query = Watcher::new(&server, &format!("?since={seen}"), &[]);
    assert_eq!([by_query.next().id, by_query.next().id], [seen + 1, seen + 2]);
    let header = (seen + 1).to_string();
    let mut by_header = Watcher::new(&server, &format!("?since={seen}"), &[("Last-Event-ID", &header)]);
    assert_eq!(by_header.next().id, seen + 2, "the header is newer than the address");
    let lines: String = (0..5000)
        .map(|n| format!("{{\"type\":\"event\",\"person\":\"i{n}\",\"event\":\"Imported\",\"time\":\"2025-03-01T00:00:00Z\"}}\n"))
        .collect();
    server.import(&lines);
    let mut late = Watcher::new(&server, &format!("?since={seen}"), &[]);
    let gap = late.next();
    let missed = gap.data["missed"].as_u64().unwrap();
    assert_eq!((gap.kind.as_str(), gap.id), ("gap", seen + missed));
    let next = late.next();
    assert_eq!((next.id, next.kind.as_str()), (gap.id + 1, "record"));
    assert!((3003..=5003).contains(&missed), "{missed} missed, 2,000 kept");
    server.stop();
    assert!(late.block().is_none_or(|b| !b.is_empty()));
    let server = Server::start(&dir.path().join("store"));
    let mut after = Watcher::new(&server, &format!("?since={seen}"), &[]);
    track(&server, "/e?_p=p9&_n=Visited");
    let (gap, next) = (after.next(), after.next());
    assert_eq!(
        (gap.kind.as_str(), &gap.data["missed"]),
        ("gap", &Json::Null),
        "nobody counted across the restart"
    );
    assert!(gap.id > seen && next.id > gap.id && next.kind == "record");
}

#[test]
fn whoever_is_let_in_no_longer_sees_nothing_more() {
    let (_dir, server) = fresh();
    let owner = log_in(&server);
    let page = send(&server, &owner, "/keys", &[("name", "K"), ("scope", "read")]).text();
    let key = format!("Bearer rk_{}", page.split("<code>rk_").nth(1).unwrap().split('<').next().unwrap());
    let [left, gone, other] =
        ["left@x", "gone@x", "other@x"].map(|email| joined(&server, &owner, email, "viewer", ""));
    let second = log_in(&server);
    let mut all: Vec<Watcher> = [&left, &gone, &other, &second]
        .into_iter()
        .map(|session| Watcher::with(&server, "", &[("Cookie", session)]))
        .chain([Watcher::with(&server, "", &[("Authorization", &key)]), Watcher::new(&server, "", &[])])
        .collect();
    track(&server, "/e?_p=p&_n=Before");
    assert!(all.iter_mut().all(|watcher| watcher.next().data["event"] == "Before"));
    send(&server, &left, "/logout", &[]);
    send(&server, &owner, "/users/delete", &[("email", "gone@x"), ("confirm", "1")]);
    send(&server, &owner, "/keys/delete", &[("name", "K"), ("confirm", "1")]);
    track(&server, "/e?_p=p&_n=After");
    let seen: Vec<bool> =
        all.iter_mut().map(|watcher| watcher.block().is_some_and(|b| b.contains("After"))).collect();
    assert_eq!(seen, [false, false, true, true, false, true]);
    assert!(all[0].client.ended_well(), "and the stream has an end");
}

#[test]
fn watchers_are_bounded_and_end_with_the_server() {
    let (_dir, server) = fresh();
    assert_eq!(server.client().get("/api/v1/live?since=x").code(), "bad_number");
    assert_eq!(server.client().open("/api/v1/live").status, 401);
    let mut watchers: Vec<_> = (0..16).map(|_| Watcher::new(&server, "?event=+Visited+", &[])).collect();
    assert_eq!(server.client().get("/api/v1/live").status, 503);
    track(&server, "/e?_p=p&_n=Visited");
    assert!(watchers.iter_mut().all(|w| w.next().data["event"] == "Visited"));
    let begin = std::time::Instant::now();
    server.stop();
    assert!(begin.elapsed() < std::time::Duration::from_secs(3), "watchers hold the server up");
    for watcher in &mut watchers {
        while watcher.block().is_some() {}
        assert!(watcher.client.ended_well(), "the last chunk came");
    }
}
