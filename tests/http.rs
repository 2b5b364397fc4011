//! The server as trackers, importers, readers and attackers meet it: the real program, over real connections.

mod access;
mod accounts;
mod asked;
mod digits;
mod errors;
mod excess;
mod import;
mod limits;
mod live;
mod names;
mod numbers;
mod operator;
mod pages;
mod projects;
mod reading;
mod saved;
mod segment;
mod settings;
mod shown;
mod survival;
mod tracking;

use serde_json::Value as Json;

use crate::support::Server;

/// A server on an empty store, and the directory that holds it.
fn fresh() -> (tempfile::TempDir, Server) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    (dir, server)
}

/// The steps' numbers of people in a funnel's answer.
fn people(answer: &Json) -> Vec<u64> {
    answer["steps"].as_array().unwrap().iter().map(|step| step["people"].as_u64().unwrap()).collect()
}

/// `POST`s a funnel that must be answered.
fn funnel(server: &Server, query: &str) -> Json {
    let reply = server.post("/api/v1/funnel", query);
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

/// A history of 60 people: all visit, every second one signs up a day later, every fourth pays a day after that; each
/// third of them has another plan.
fn history() -> String {
    let mut lines = String::new();
    for n in 0..60 {
        let person = format!("person{n}@example.com");
        let plan = ["Free", "Pro", "Team"][n % 3];
        let mut event = |name: &str, day: usize| {
            lines.push_str(&format!(
                "{{\"type\":\"event\",\"person\":\"{person}\",\"event\":\"{name}\",\
                 \"time\":\"2025-03-{day:02}T10:00:00Z\",\"properties\":{{\"n\":{n}}}}}\n"
            ));
        };
        event("Visited", 1);
        if n % 2 == 0 {
            event("Signed Up", 2);
        }
        if n % 4 == 0 {
            event("Paid", 3);
        }
        lines.push_str(&format!(
            "{{\"type\":\"set\",\"person\":\"{person}\",\"time\":\"2025-03-01T09:00:00Z\",\
             \"properties\":{{\"Plan\":\"{plan}\"}}}}\n"
        ));
    }
    lines
}

/// The steps of that history.
const STEPS: &str = r#""steps":[{"event":"Visited"},{"event":"Signed Up"},{"event":"Paid"}]"#;
