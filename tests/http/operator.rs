//! Commands on a store that a server has: they go through it.

use std::fs;

use serde_json::json;

use super::accounts::send;
use super::pages::log_in;
use super::projects::create;
use super::{fresh, history};
use crate::cli::{code, err};
use crate::support::run;

const P0: &str = "person0@example.com";
const P1: &str = "person1@example.com";

#[test]
fn a_revoked_key_does_not_come_back_through_the_command() {
    let (_dir, server) = fresh();
    let owner = log_in(&server);
    let add = |name: &str| {
        let output = run(&server.data, &["key", "add", name], b"");
        assert_eq!(code(&output), 0, "{}", err(&output));
        format!("Bearer {}", String::from_utf8(output.stdout).unwrap().trim())
    };
    let reads =
        |key: &str| server.client().send("GET", "/api/v1/stats", &[("Authorization", key)], b"").status;
    let revoked = add("revoked");
    assert_eq!(reads(&revoked), 200);
    // The command and the page change the keys at the same time, many times.
    std::thread::scope(|scope| {
        let adding = scope.spawn(|| (0..20).for_each(|n| drop(add(&format!("a{n}")))));
        for n in 0..20 {
            let name = format!("b{n}");
            send(&server, &owner, "/keys", &[("name", name.as_str()), ("scope", "read")]);
            send(&server, &owner, "/keys/delete", &[("name", name.as_str()), ("confirm", "1")]);
        }
        send(&server, &owner, "/keys/delete", &[("name", "revoked"), ("confirm", "1")]);
        adding.join().unwrap();
    });
    let names = |keys: serde_json::Value| {
        let names =
            keys["keys"].as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    let all: Vec<String> = (0..20).map(|n| format!("a{n}")).collect();
    assert_eq!((names(server.get("/api/v1/keys")), reads(&revoked)), (all, 401));
    let second = run(&server.data.join("projects/2"), &["key", "list"], b"");
    assert_eq!(code(&second), 1, "there is none");
    create(&server, &owner, "Shop");
    let second = run(&server.data.join("projects/2"), &["key", "add", "own", "--scope", "read"], b"");
    let key = format!("Bearer {}", String::from_utf8(second.stdout).unwrap().trim());
    let asked = server.client().send("GET", "/p/2/api/v1/keys", &[("Authorization", &key)], b"");
    assert_eq!((names(asked.json()), reads(&revoked)), (vec!["own".to_owned()], 401));
}

#[test]
fn changes_go_through_the_server_that_has_the_store() {
    let (dir, server) = fresh();
    let data = dir.path().join("store");
    server.import(&history());
    let owner = log_in(&server);
    let (_, key) = create(&server, &owner, "Shop");
    let own = |name: &str| {
        format!(
            "{{\"type\":\"event\",\"person\":\"{name}\",\"event\":\"Bought\",\"time\":\"2025-03-01T10:00:00Z\"}}\n"
        )
    };
    let bearer = format!("Bearer {key}");
    let lines = own("ann") + &own("zo\u{eb}/1");
    let sent =
        server.client().send("POST", "/api/v1/import", &[("Authorization", &bearer)], lines.as_bytes());
    assert_eq!(sent.json()["accepted"], 2);
    let said = |arguments: &[&str]| {
        let output = run(&data, arguments, b"");
        assert_eq!(code(&output), 0, "{arguments:?}: {}", err(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let compacted = said(&["compact"]);
    assert!(compacted.starts_with("1 segment, ") && compacted.contains("; before "), "{compacted}");
    assert_eq!(server.get("/api/v1/stats")["segments"], 1);
    let stats: serde_json::Value = serde_json::from_str(&said(&["stats", "--json"])).unwrap();
    assert!(
        stats["since_start"]["stored"] == 165 && stats["refused"].is_object(),
        "as the server says: {stats}"
    );
    assert!(said(&["merge", P0, P1]).contains("are one person now"));
    assert_eq!(server.get(&format!("/api/v1/people/{P0}"))["identities"].as_array().unwrap().len(), 2);
    assert!(said(&["unmerge", P0]).contains("is a person of its own now"));
    let erased = said(&["erase", P0, P1, "--yes"]);
    assert_eq!(erased.matches("1 person with 1 identity").count(), 2, "{erased}");
    assert_eq!(server.client().get(&format!("/api/v1/people/{P0}")).status, 404);
    let unknown = run(&data, &["merge", "nobody", "person2@example.com"], b"");
    assert!(code(&unknown) == 1 && err(&unknown).contains("nobody"), "{}", err(&unknown));
    // Of a further project, too, whose server is that of the first.
    let second = data.join("projects/2");
    let output = run(&second, &["merge", "ann", "zo\u{eb}/1"], b"");
    assert_eq!(code(&output), 0, "{}", err(&output));
    let ann = server.client().send("GET", "/api/v1/people/ann", &[("Authorization", &bearer)], b"").json();
    assert_eq!(ann["identities"], json!(["ann", "zo\u{eb}/1"]));
    // The lock of a directory is more than a file that can be removed.
    fs::remove_file(data.join("LOCK")).unwrap();
    let other = run(&data, &["serve", "--listen", "127.0.0.1:0"], b"");
    assert!(code(&other) == 1 && err(&other).contains("in use by another"), "{}", err(&other));
    server.stop();
    assert!(said(&["compact"]).starts_with("1 segment, "));
}
