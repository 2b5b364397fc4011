//! Client libraries as their vendors publish them, with nothing changed but the host. Where one is not installed its test says so and
//! passes; `tests/install` installs them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value as Json, json};

use crate::support::{Server, WRITE_KEY};

/// Where `tests/install` puts them.
pub fn installed(part: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/sdk").join(part);
    if !path.exists() {
        eprintln!("SKIPPED: {part} is not installed, so its clients were not tested; run tests/install");
        return None;
    }
    Some(path)
}

/// Runs a program that must end well and say nothing.
fn quietly(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    assert_eq!(said, "", "{command:?} warns");
}

fn person(server: &Server, identity: &str) -> Json {
    server.get(&format!("/api/v1/people/{identity}"))
}

/// The events of a person, oldest first: names and properties.
fn events(server: &Server, identity: &str) -> Vec<(String, Json)> {
    let line = server.get(&format!("/api/v1/people/{identity}/events"));
    let events = line["events"].as_array().unwrap().iter().rev();
    events.map(|e| (e["event"].as_str().unwrap().to_owned(), e["properties"].clone())).collect()
}

fn of<'e>(events: &'e [(String, Json)], name: &str) -> &'e Json {
    &events.iter().find(|(event, _)| event == name).unwrap_or_else(|| panic!("no {name} in {events:?}")).1
}

#[test]
fn python_clients() {
    let Some(packages) = installed("python") else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/clients.py");
    quietly(
        Command::new("python3")
            .arg(script)
            .args([&server.addr, WRITE_KEY])
            .env("PYTHONPATH", packages)
            .env("PYTHONDONTWRITEBYTECODE", "1"),
    );
    let known = person(&server, "py-1");
    assert_eq!(known["identities"], json!(["py-1", "py-anon", "py-old"]), "{known}");
    assert_eq!(
        known["properties"],
        json!({"Group": "acme", "Group name": "Acme", "email": "py@example.com", "plan.name": "Pro"})
    );
    let did = events(&server, "py-1");
    assert_eq!(did.len(), 2);
    assert_eq!(*of(&did, "Order Completed"), json!({"Revenue": 12.5, "revenue": 12.5, "products": "a,b"}));
    assert_eq!(of(&did, "Viewed Page")["Category"], "Docs");
    let known = person(&server, "km-1");
    assert_eq!(
        (&known["identities"], &known["properties"]),
        (&json!(["km-1", "km-anon"]), &json!({"gender": "x"}))
    );
    assert_eq!(events(&server, "km-1"), [("Signed Up".into(), json!({"Plan Name": "Pro", "ok": "True"}))]);
    assert_eq!(server.get("/api/v1/refusals")["counts"], json!({}));
}

#[test]
fn node_clients() {
    let Some(modules) = installed("node_modules") else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/servers.cjs");
    quietly(
        Command::new("node").arg("--no-deprecation").arg(script).arg(modules).args([&server.addr, WRITE_KEY]),
    );
    let known = person(&server, "node-1");
    assert_eq!(known["identities"], json!(["node-1", "node-anon", "node-old"]), "{known}");
    let did = events(&server, "node-1");
    assert_eq!(*of(&did, "Order Completed"), json!({"Revenue": 7, "total": 7}));
    assert_eq!(did.len(), 2);
    assert_eq!(*of(&events(&server, "rs-1"), "Order Completed"), json!({"Revenue": 3.5, "revenue": "3.5"}));
    assert_eq!(person(&server, "rs-1")["properties"]["email"], "rs@example.com");
    let known = person(&server, "km-node");
    assert_eq!(known["identities"], json!(["km-node-anon", "km-node"]), "{known}");
    assert_eq!(known["properties"], json!({"city": "Z\u{fc}rich"}));
    // It does not escape what divides parameters: the rest of such a value is a parameter of its own, as it was at Kissmetrics.
    let signed_up = json!({"Plan Name": "Pro ", "more": "", "price": 9.5});
    assert_eq!(events(&server, "km-node"), [("Signed Up".into(), signed_up)]);
    assert_eq!(server.get("/api/v1/people/km-node/events")["events"][0]["time"], "2025-03-01T10:00:00Z");
    assert_eq!(server.get("/api/v1/refusals")["counts"], json!({}));
}
