//! Somebody with the public key who made as many and as long names as there may be: answers and pages about names stay of a size that can
//! be sent, and what is left out is counted.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use whodid::model::thousands;

use super::fresh;
use super::pages::log_in;
use crate::support::Server;

/// A name of 254 characters, which take four bytes each but for those of its number.
fn long(number: usize) -> String {
    format!("{number:0>5}{}", "\u{1f4a3}".repeat(249))
}

fn send(server: &Server, lines: &[String]) {
    for part in lines.chunks(20) {
        let counts = server.import(&part.join("\n"));
        assert_eq!(counts["accepted"], part.len(), "{counts}");
    }
}

fn event(name: &str, properties: impl Iterator<Item = String>) -> String {
    let properties: Map<String, Value> = properties.map(|name| (name, 1.into())).collect();
    json!({"type": "event", "person": "eve", "event": name, "properties": properties}).to_string()
}

fn page(server: &Server, cookie: &str, target: &str) -> String {
    let reply = server.client().send("GET", target, &[("Cookie", cookie)], b"");
    assert_eq!(reply.status, 200, "{target}: {}", reply.text());
    reply.text()
}

#[test]
fn properties_are_listed_with_some_of_very_many_events() {
    let (_dir, server) = fresh();
    // 300 events with 60 properties each would be 18 MB of names.
    let lines: Vec<String> = (0..300).map(|n| event(&long(n), (0..60).map(long))).collect();
    send(&server, &lines);
    send(&server, &[event("Signed Up", ["Plan".to_owned()].into_iter())]);
    let reply = server.client().get("/api/v1/properties");
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.text().len() < 8 << 20, "{}", reply.text().len());
    let answer = reply.json();
    let listed = answer["properties"].as_array().unwrap();
    assert_eq!((listed.len(), answer.get("more_properties")), (61, None));
    for (number, property) in listed.iter().take(60).enumerate() {
        assert_eq!(property["property"], long(number));
        let events = property["events"].as_array().unwrap();
        assert!(events.len() > 10 && events.iter().enumerate().all(|(n, event)| *event == long(n)));
        assert_eq!(property["more_events"], 300 - events.len());
    }
    assert_eq!(listed[60], json!({"property": "Plan", "of": "event", "events": ["Signed Up"]}));
}

#[test]
fn very_many_properties_are_listed_as_far_as_they_fit() {
    let (_dir, server) = fresh();
    // 70 events with 250 properties of their own each: 17,500 names.
    let of = |n: usize| (0..250).map(move |m| long(n * 250 + m));
    let lines: Vec<String> = (0..70).map(|n| event(&format!("Event {n}"), of(n))).collect();
    send(&server, &lines);
    let reply = server.client().get("/api/v1/properties?of=event");
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.json();
    let listed = answer["properties"].as_array().unwrap();
    assert!(reply.text().len() < 8 << 20 && listed.len() > 3000, "{}", reply.text().len());
    assert_eq!(answer["more_properties"], 17_500 - listed.len());
    for (number, property) in listed.iter().enumerate() {
        let events = json!([format!("Event {}", number / 250)]);
        assert_eq!(*property, json!({"property": long(number), "of": "event", "events": events}));
    }
    // What forms offer are the first of all names, as ever.
    let cookie = log_in(&server);
    let live = page(&server, &cookie, "/live");
    let offered = live.split_once("<datalist id=\"properties\">").unwrap().1;
    let offered = offered.split_once("</datalist>").unwrap().0;
    let first: Vec<&str> = offered.split("<option value=\"").skip(1).map(|one| &one[..5]).collect();
    assert!(first.len() > 400 && first.iter().enumerate().all(|(n, one)| one.parse() == Ok(n)), "{first:?}");
    assert!(live.len() < 2 << 20, "{}", live.len());
}

#[test]
fn events_are_listed_in_parts() {
    let (_dir, server) = fresh();
    for name in ["Paid", "Signed Up", "Visited"] {
        send(&server, &[event(name, std::iter::empty())]);
    }
    let all = server.get("/api/v1/events");
    let names = |answer: &Value| -> Vec<String> {
        let events = answer["events"].as_array().unwrap();
        events.iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((names(&all).len(), all.get("cursor"), all.get("warnings")), (3, None, None));
    assert_eq!(server.get("/api/v1/events?limit=3"), all, "there is no more");
    let first = server.get("/api/v1/events?limit=2");
    let second = server.get(&format!("/api/v1/events?cursor={}", first["cursor"].as_str().unwrap()));
    assert_eq!((names(&first), names(&second)), (names(&all)[..2].to_vec(), names(&all)[2..].to_vec()));
    assert_eq!((&second["events"][0], second.get("cursor")), (&all["events"][2], None));
    for (query, code) in [
        ("limit=0", "out_of_range"),
        ("limit=10001", "out_of_range"),
        ("cursor=x", "bad_cursor"),
        ("cursor=1", "bad_cursor"),
        ("cursor=4000000000", "bad_cursor"),
        ("event=Paid", "unknown_field"),
    ] {
        assert_eq!(server.client().get(&format!("/api/v1/events?{query}")).code(), code, "{query}");
    }
}

#[test]
fn very_many_events_end_a_part_and_warnings_early() {
    let (_dir, server) = fresh();
    // 10 MB of names, each pair of which differs only in case.
    let name =
        |number: usize| format!("{}{}", if number.is_multiple_of(2) { "A" } else { "a" }, long(number / 2));
    let lines: Vec<String> = (0..9000).map(|n| event(&name(n), std::iter::empty())).collect();
    for part in lines.chunks(1000) {
        server.import(&part.join("\n"));
    }
    let mut seen = BTreeSet::new();
    let (mut target, mut parts) = ("/api/v1/events".to_owned(), 0);
    loop {
        let reply = server.client().get(&target);
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(reply.text().len() < 9 << 20, "{}", reply.text().len());
        let part = reply.json();
        for event in part["events"].as_array().unwrap() {
            assert_eq!((&event["count"], &event["people"]), (&json!(1), &json!(1)));
            assert!(seen.insert(event["event"].as_str().unwrap().to_owned()));
        }
        let warnings = part["warnings"].as_array().unwrap();
        assert_eq!(
            (warnings.len(), &warnings[50]),
            (51, &json!("further pairs of names that differ only in case: 4450"))
        );
        parts += 1;
        match part["cursor"].as_str() {
            Some(cursor) => target = format!("/api/v1/events?cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!((seen.len(), parts), (9000, 2));
    assert!((0..9000).all(|number| seen.contains(&name(number))));

    // Whoever owns the server still finds everything in the settings.
    let cookie = log_in(&server);
    let settings = page(&server, &cookie, "/settings");
    assert!(settings.len() < 8 << 20, "{}", settings.len());
    for place in ["action=\"/keys\"", "<h2 id=\"events\">", "Nothing was refused."] {
        assert!(settings.contains(place), "{place}");
    }
    let offered = settings.split_once("<datalist id=\"every-event\">").unwrap().1;
    assert!((400..600).contains(&offered.split_once("</datalist>").unwrap().0.matches("<option").count()));
    assert_eq!(settings.matches("These differ only in how they are written").count(), 30);
    assert!(settings.contains("4,470 more groups of names differ only in how they are written."));
    let rows = settings.matches("#describe\"").count();
    assert!(
        rows > 200
            && settings.contains(&format!("{} more rows are in the file.", thousands(9000 - rows as u64)))
    );
    assert_eq!(page(&server, &cookie, "/settings?csv=dictionary").lines().count(), 9001);
}
