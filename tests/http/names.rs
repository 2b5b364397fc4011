//! Somebody with the public key who made as many and as long names as there may be: answers and pages about names stay of a size that can
//! be sent, and what is left out is counted.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::fresh;
use super::pages::log_in;
use crate::support::Server;

/// A name of 255 characters of four bytes each but for its number.
fn long(number: usize) -> String {
    format!("{number:0>5}{}", "\u{1f4a3}".repeat(250))
}

fn send(server: &Server, lines: &[String]) {
    for part in lines.chunks(20) {
        let counts = server.import(&part.join("\n"));
        assert_eq!(counts["stored"], part.len(), "{counts}");
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
