//! Somebody with more identities, changes of properties or text in events than fits into an answer: everybody else is listed as ever,
//! and what is left out is counted.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::fresh;
use super::pages::log_in;
use crate::support::Server;

const JANE: &str = "jane@example.com";
/// Identities that are joined to Jane: 12,000 of 250 characters take 3 MB of JSON.
const DEVICES: usize = 12_000;

fn device(number: usize) -> String {
    format!("{number:0>250}")
}

/// Jane's devices, 600 values of 8 KB for one property and 300 events of as many.
fn crowd(server: &Server) {
    let text = |number: usize| format!("{number:0>8000}");
    let mut lines: Vec<Value> = (0..DEVICES)
        .map(|n| json!({"type": "identify", "person": device(n), "identity": JANE, "time": 1_740_823_200}))
        .collect();
    lines.extend((0..600).map(|n| {
        json!({"type": "set", "person": JANE, "time": 1_740_823_200 + n, "properties": {"Note": text(n)}})
    }));
    lines.extend((0..300).map(|n| {
        json!({"type": "event", "person": JANE, "event": "Wrote", "time": 1_740_823_200 + n,
               "properties": {"Text": text(n)}})
    }));
    lines.push(json!({"type": "event", "person": "ben", "event": "Wrote", "time": 1_740_823_200}));
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    for part in lines.chunks(1000) {
        server.import(&part.join("\n"));
    }
}

/// The identities that an answer lists of a person, and how many more it speaks of.
fn listed(person: &Value) -> (usize, usize) {
    let number = |name: &str| person[name].as_u64().unwrap_or(0) as usize;
    (person["identities"].as_array().unwrap().len(), number("more_identities"))
}

#[test]
fn somebody_with_a_great_many_identities_is_listed_with_some_of_them() {
    let (_dir, server) = fresh();
    crowd(&server);
    for (path, query) in [
        ("people", "{}"),
        ("funnel/people", r#"{"steps":[{"event":"Wrote"}],"step":1}"#),
        ("cohort/people", r#"{"start":{"event":"Wrote"},"return":{"event":"Wrote"},"row":"2025-03"}"#),
        ("trend/people", r#"{"series":[{"event":"Wrote","measure":"people"}],"start":"2025-03-01"}"#),
    ] {
        let reply = server.post(&format!("/api/v1/{path}"), query);
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        let answer = reply.json();
        assert_eq!(answer["total"], 2, "{path}");
        let of =
            |name: &str| answer["people"].as_array().unwrap().iter().find(|p| p["person"] == name).unwrap();
        let (some, more) = listed(of(JANE));
        assert!((1..200).contains(&some) && some + more == DEVICES + 1, "{path}: {some} and {more}");
        assert_eq!(of("ben")["identities"], json!(["ben"]), "{path}");
        assert_eq!(of("ben").get("more_identities"), None, "{path}");
    }
    let profile = server.get(&format!("/api/v1/people/{}", device(7)));
    let (some, more) = listed(&profile);
    assert!(profile["person"] == JANE && some > 4000 && some + more == DEVICES + 1, "{some} and {more}");
    let note = &profile["property_history"]["Note"];
    let changes = note["changes"].as_array().unwrap();
    assert_eq!(changes.len() + note["more_changes"].as_u64().unwrap() as usize, 600);
    assert_eq!(
        (&changes.last().unwrap()["value"], &note["last"]),
        (&note["last"], &profile["properties"]["Note"])
    );

    let cookie = log_in(&server);
    let page = |target: &str| {
        let reply = server.client().send("GET", target, &[("Cookie", cookie.as_str())], b"");
        assert_eq!(reply.status, 200, "{target}: {}", reply.text());
        reply.text()
    };
    let person = page(&format!("/people/{JANE}"));
    assert!(person.contains("And 11,001 more.") && person.matches("/unmerge\"").count() == 1000);
    assert!(page(&format!("/people/{JANE}/erase")).contains("And 11,001 more."));
    let list = page("/funnels/people?step=Wrote&at_step=1");
    assert!(list.contains(" and 11,980 more"), "{}", list.len());
}

#[test]
fn a_page_of_a_time_line_ends_where_its_events_are_too_large() {
    let (_dir, server) = fresh();
    crowd(&server);
    let (mut seen, mut pages, mut cursor) = (BTreeSet::new(), 0, String::new());
    loop {
        let page = server.get(&format!("/api/v1/people/{JANE}/events?limit=1000{cursor}"));
        let events = page["events"].as_array().unwrap();
        assert!(!events.is_empty() && page.to_string().len() < 3 << 20);
        for event in events {
            assert!(seen.insert(event["properties"]["Text"].as_str().unwrap().to_owned()));
        }
        pages += 1;
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((seen.len(), pages), (300, 2));
}

#[test]
fn an_answer_that_is_too_large_says_what_to_do() {
    let (_dir, server) = fresh();
    let text = "\u{1}".repeat(8000);
    let lines: Vec<String> = (0..400)
        .map(|n| json!({"type": "set", "person": format!("p{n}"), "properties": {"Note": text}}).to_string())
        .collect();
    for part in lines.chunks(50) {
        server.import(&part.join("\n"));
    }
    let all = server.post("/api/v1/people", r#"{"columns":["person.Note"],"limit":400}"#);
    assert_eq!((all.status, all.code().as_str()), (500, "answer_too_large"), "{}", all.text().len());
    assert!(all.json()["error"]["hint"].as_str().unwrap().contains("a smaller limit"));
    assert_eq!(server.post("/api/v1/people", r#"{"columns":["person.Note"],"limit":50}"#).status, 200);
}
