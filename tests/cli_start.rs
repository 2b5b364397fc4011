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
fn a_server_that_is_told_to_reload_while_it_starts_goes_on() {
    use rustix::process::{Pid, Signal, kill_process};
    use std::io::{BufRead, BufReader};
    let place = Place::new();
    let mut command = crate::support::whodid(&place.data);
    command.args(["serve", "--listen", "127.0.0.1:0", "--demo"]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.next().unwrap().contains("filling"));
    kill_process(Pid::from_child(&child), Signal::HUP).unwrap();
    let listens = lines.next();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let ended = child.wait().unwrap();
    assert!(listens.is_some_and(|line| line.contains("listens")), "{ended}");
}

#[test]
fn a_damaged_file_of_keys_keeps_no_other_project_s_from_being_taken() {
    use whodid::app::{App, Memory, StoredKeys, projects};
    let place = Place::new();
    App::open(&place.data).unwrap().close().unwrap();
    StoredKeys::new("w".repeat(40), "0".repeat(64)).store(&place.data).unwrap();
    let keys = StoredKeys::new("v".repeat(40), "0".repeat(64));
    let (number, app, _) = projects::create(&place.data, "Shop", keys, Memory::default()).unwrap();
    app.close().unwrap();
    let second = projects::dir(&place.data, number);
    let added = crate::support::run(&second, &["key", "add", "gone", "--scope", "read"], b"");
    let key = String::from_utf8(added.stdout).unwrap();
    let (server, _) = Server::start_as(&place.data, &[]);
    let works = || {
        let bearer = format!("Bearer {}", key.trim());
        server.client().send("GET", "/api/v1/stats", &[("Authorization", &bearer)], b"").status
    };
    assert_eq!(works(), 200);
    fs::write(place.data.join("keys.json"), "{").unwrap();
    assert_eq!(code(&crate::support::run(&second, &["key", "remove", "gone"], b"")), 0);
    server.hang_up();
    let gone = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        works() == 401
    });
    assert!(gone, "a key that was taken away is good no longer");
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
