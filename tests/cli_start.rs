//! How `serve` starts: the keys that it makes, and what it says of itself.

use std::fs;
use std::net::TcpListener;

use crate::cli::{Place, code, err};
use crate::support::Server;

/// The API key among what was printed.
fn printed_key(lines: &[String]) -> Option<String> {
    lines.iter().find_map(|line| line.strip_prefix("API key:")).map(|key| key.trim().to_owned())
}

#[test]
fn a_start_that_fails_loses_no_key() {
    let place = Place::new();
    let bad_name = place.run(&["serve", "--listen", "127.0.0.1:0", "--name", "https://stats.example.com"]);
    assert_eq!(code(&bad_name), 2, "{}", err(&bad_name));
    assert!(err(&bad_name).contains("--name") && !place.data.exists(), "{}", err(&bad_name));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = place.run(&["serve", "--listen", &taken.local_addr().unwrap().to_string()]);
    assert_eq!((code(&busy), busy.stdout.as_slice()), (1, &b""[..]), "{}", err(&busy));
    assert!(!place.data.join("keys.json").exists());
    let full = crate::support::whodid(&place.data)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stdout(fs::File::options().write(true).open("/dev/full").unwrap())
        .output()
        .unwrap();
    assert_eq!(code(&full), 1, "{}", err(&full));
    assert!(!place.data.join("keys.json").exists(), "nobody has seen them");
    let (server, lines) = Server::start_as(&place.data, &[]);
    let key = printed_key(&lines).unwrap_or_else(|| panic!("no API key in {lines:?}"));
    let works = |server: &Server, key: &str| {
        let bearer = format!("Bearer {key}");
        server.client().send("GET", "/api/v1/stats", &[("Authorization", &bearer)], b"").status
    };
    assert_eq!(works(&server, &key), 200);
    server.stop();
    let (server, lines) = Server::start_as(&place.data, &[]);
    assert_eq!((printed_key(&lines), works(&server, &key)), (None, 200));
    // The ways back of docs/operations.md.
    let added = place.run(&["key", "add", "back", "--scope", "manage"]);
    let added = String::from_utf8(added.stdout).unwrap();
    assert_eq!(works(&server, added.trim()), 200, "a key that was added is taken");
    server.stop();
    let own = "a key of my own";
    let (server, _) = Server::start_as(&place.data, &["--api-key", own]);
    server.stop();
    let (server, _) = Server::start_as(&place.data, &[]);
    assert_eq!((works(&server, own), works(&server, &key)), (200, 401));
}

#[test]
fn what_is_printed_leads_to_the_name_of_the_server() {
    let place = Place::new();
    let (server, lines) = Server::start_as(&place.data, &["--name", "stats.example.com"]);
    let text = lines.join("\n");
    assert!(text.contains("dashboard: https://stats.example.com/\n"), "{text}");
    assert!(text.contains("log in:    https://stats.example.com/login?token="), "{text}");
    assert!(text.contains(&format!("listens on http://{}", server.addr)), "{text}");
}
