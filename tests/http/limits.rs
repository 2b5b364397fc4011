//! What bounds senders: methods, rates, names; and what every answer and the metrics say.

use std::time::{Duration, Instant};

use serde_json::json;
use whodid::http::message::Method;
use whodid::http::router::{Found, ROUTES, find};

use super::{STEPS, fresh, history};
use crate::support::{API_KEY, Client, Reply, Server, WRITE_KEY, authorized, run};

/// A server with more variables on an empty store.
fn with(variables: &[(&str, &str)]) -> (tempfile::TempDir, Server) {
    let dir = tempfile::tempdir().unwrap();
    let keys = [("WHODID_API_KEY", API_KEY), ("WHODID_WRITE_KEY", WRITE_KEY)];
    let server = Server::start_with(&dir.path().join("store"), &[&keys, variables].concat()).0;
    (dir, server)
}

fn event(client: &mut Client, name: &str, headers: &[(&str, &str)]) -> Reply {
    client.send("GET", format!("/e?_k={WRITE_KEY}&_p=a&_n={name}&_debug=1"), headers, b"")
}

/// The value of a line of the metrics.
fn metric(server: &Server, name: &str) -> f64 {
    let text = server.client().get("/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

#[test]
fn no_other_method_records_or_changes_anything() {
    let (_dir, server) = fresh();
    let mut client = server.client();
    let parameters = format!("?_k={WRITE_KEY}&_p=jane&_n=x&into=y&name=n");
    for route in &ROUTES {
        let path =
            route.pattern.replace("{identity}", "jane").replace("{name}", "n").replace("{key}", WRITE_KEY);
        let path = path.replace("{token}", "t");
        for name in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "get", "POSTX"] {
            if matches!(find(Method::parse(name), &path), Found::Route(_)) {
                continue;
            }
            let override_it = [authorized(), ("X-HTTP-Method-Override", route.method.name())];
            let reply = client.send(name, format!("{path}{parameters}"), &override_it, b"");
            assert_eq!(reply.status, 405, "{name} {path}");
            assert!(reply.header("allow").is_some(), "{name} {path}");
            if reply.header("connection") == Some("close") {
                client = server.client();
            }
        }
    }
    for path in ["/e", "/s", "/a"] {
        let reply = server.client().send("HEAD", format!("{path}{parameters}"), &[], b"");
        assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, POST, OPTIONS")));
    }
    assert_eq!(server.export(), Vec::<String>::new());
}

#[test]
fn every_answer_tells_browsers_what_they_may_not_do() {
    let (_dir, server) = fresh();
    for (path, status) in [
        ("/api/v1/stats", 200),
        ("/healthz", 200),
        ("/nothing", 404),
        ("/", 303),
        ("/login", 200),
        ("/assets/app.css", 200),
    ] {
        let reply = server.client().send("GET", path, &[authorized()], b"");
        assert_eq!(reply.status, status, "{path}");
        let policy =
            reply.header("content-security-policy").unwrap_or_else(|| panic!("{path} has no policy"));
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(reply.header("x-frame-options"), Some("DENY"), "{path}");
        assert_eq!(reply.header("cross-origin-resource-policy"), Some("same-origin"), "{path}");
        assert!(reply.header("referrer-policy").is_some() && reply.header("server").is_none(), "{path}");
        let names: Vec<_> = reply.headers.iter().map(|(name, _)| name).collect();
        assert!(
            names.iter().all(|name| names.iter().filter(|n| n == &name).count() == 1),
            "twice: {names:?}"
        );
    }
    let pixel = event(&mut server.client(), "x", &[]);
    assert_eq!(pixel.header("cross-origin-resource-policy"), Some("cross-origin"));
    assert_eq!(pixel.header("x-content-type-options"), Some("nosniff"));
}

/// A batch of so many messages, from an address behind the proxy.
fn batch(server: &Server, messages: usize, address: &str) -> u16 {
    let message = r#"{"type":"track","userId":"a","event":"x"}"#;
    let body = format!("{{\"writeKey\":\"{WRITE_KEY}\",\"batch\":[{}]}}", vec![message; messages].join(","));
    let headers = [("X-Forwarded-For", address), ("Content-Type", "application/json")];
    server.client().send("POST", "/v1/batch", &headers, body.as_bytes()).status
}

#[test]
fn an_address_that_sends_too_often_waits_and_others_do_not() {
    let (_dir, server) = with(&[("WHODID_RATE", "2"), ("WHODID_TRUSTED_PROXY", "127.0.0.1")]);
    let mut client = server.client();
    let from = |address| [("X-Forwarded-For", address)];
    assert_eq!(event(&mut client, "x", &from("198.51.100.1, 203.0.113.9")).status, 200);
    // Each message counts: this takes what the address may send in eight minutes.
    assert_eq!(batch(&server, 1000, "203.0.113.9"), 200);
    for path in ["/e", "/s", "/a"] {
        let target = format!("{path}?_k={WRITE_KEY}&_p=a&_n=x&y=1");
        let reply = client.send("GET", &target, &from("203.0.113.9"), b"");
        assert_eq!((reply.status, reply.code().as_str()), (429, "too_many_requests"), "{path}: and no pixel");
        assert!(reply.header("retry-after").unwrap().parse::<u64>().unwrap() > 300);
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"), "pages can read it");
    }
    assert_eq!(batch(&server, 1, "203.0.113.9"), 429);
    assert_eq!(event(&mut client, "x", &from("203.0.113.10")).status, 200, "another address");
    // What the client itself wrote into the list does not count.
    assert_eq!(event(&mut client, "x", &from("203.0.113.77, 203.0.113.9")).status, 429);
    // Bulk work is not held to it.
    let bulk =
        client.send("POST", "/api/v1/import", &[authorized(), from("203.0.113.9")[0]], history().as_bytes());
    assert_eq!((bulk.status, &bulk.json()["accepted"]), (200, &165.into()));
    assert_eq!(metric(&server, "whodid_turned_away_total{by=\"address\"}"), 5.0);
    assert_eq!(server.get("/api/v1/refusals")["counts"], serde_json::json!({}), "the sender comes again");
}

#[test]
fn an_address_that_no_proxy_vouches_for_is_the_connection_s_own() {
    let (_dir, server) = with(&[("WHODID_RATE", "2")]);
    assert_eq!(batch(&server, 1000, "203.0.113.9"), 200);
    assert_eq!(event(&mut server.client(), "x", &[("X-Forwarded-For", "203.0.113.9")]).status, 200);
}

#[test]
fn a_key_can_be_held_to_a_rate() {
    let (_dir, server) = with(&[("WHODID_KEY_RATE", "1")]);
    assert_eq!(batch(&server, 1000, "127.0.0.1"), 200);
    let reply = server.client().open(format!("/e?_k={WRITE_KEY}&_p=a&_n=x"));
    assert_eq!((reply.status, reply.code().as_str()), (429, "too_many_requests"), "and no pixel");
    assert_eq!(batch(&server, 1, "127.0.0.1"), 429);
    assert_eq!(server.import(&history())["accepted"], 165, "the key that imports is not held to it");
    assert_eq!(metric(&server, "whodid_turned_away_total{by=\"key\"}"), 2.0);
}

#[test]
fn names_beyond_the_quota_are_refused_and_counted() {
    let (_dir, server) = with(&[("WHODID_NAMES", "20")]);
    let mut client = server.client();
    let codes: Vec<u16> = (0..25).map(|n| event(&mut client, &format!("name{n}"), &[]).status).collect();
    assert_eq!(codes, [vec![200; 20], vec![413; 5]].concat());
    assert_eq!(event(&mut client, "name3", &[]).status, 200, "known names go on");
    let target = format!("/s?_k={WRITE_KEY}&_p=a&_debug=1");
    let many: String = (0..21).map(|n| format!("&p{n}=1")).collect();
    assert_eq!(client.open(format!("{target}{many}")).code(), "too_many_names");
    assert_eq!(client.open(format!("{target}&p1=1")).status, 200);
    let lines: String = (0..30)
        .map(|n| format!("{{\"type\":\"event\",\"person\":\"a\",\"event\":\"import{n}\"}}\n"))
        .collect();
    let bearer = format!("Bearer {WRITE_KEY}");
    let public =
        client.send("POST", "/api/v1/import", &[("Authorization", &bearer)], lines.as_bytes()).json();
    assert_eq!((&public["accepted"], &public["rejected"]), (&0.into(), &30.into()), "{public}");
    assert_eq!(public["errors"][0]["code"], "too_many_names");
    let trusted = server.import(&lines);
    assert_eq!((&trusted["accepted"], &trusted["rejected"]), (&30.into(), &0.into()), "{trusted}");
    assert_eq!(server.get("/api/v1/refusals")["counts"]["too_many_names"], 36);
    assert_eq!(metric(&server, "whodid_refused_total{reason=\"too_many_names\"}"), 36.0);
    assert_eq!(metric(&server, "whodid_event_names"), 50.0);
}

#[test]
fn the_metrics_say_what_matters() {
    let (_dir, server) = fresh();
    let mut client = server.client();
    for n in 0..50 {
        assert_eq!(event(&mut client, &format!("n{}", n % 3), &[]).status, 200);
    }
    let text = client.get("/metrics").text();
    let value = |name: &str| metric(&server, name);
    assert_eq!(value("whodid_ack_seconds_count"), 50.0);
    assert_eq!(value("whodid_ack_seconds_bucket{le=\"+Inf\"}"), 50.0);
    assert!(value("whodid_ack_seconds_sum") >= value("whodid_sync_seconds_sum"));
    assert_eq!(value("whodid_sync_seconds_count"), 50.0);
    assert!(value("whodid_log_bytes") > 50.0 * 20.0);
    assert!(value("whodid_directory_bytes") >= value("whodid_log_bytes") + value("whodid_disk_bytes"));
    assert!(value("whodid_memory_bytes") > 1e6 && value("whodid_open_files") > 5.0);
    assert_eq!(
        (value("whodid_queue"), value("whodid_rows_to_merge"), value("whodid_writable")),
        (0.0, 0.0, 1.0)
    );
    assert!(value("whodid_last_record_timestamp_seconds") > 1.7e9);
    assert_eq!((value("whodid_event_names"), value("whodid_records")), (3.0, 50.0));
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, number) = line.rsplit_once(' ').unwrap();
        let bare = name.split('{').next().unwrap();
        let family =
            ["_bucket", "_sum", "_count"].iter().find_map(|end| bare.strip_suffix(end)).unwrap_or(bare);
        let described = [family, bare].iter().any(|name| text.contains(&format!("# TYPE {name} ")));
        assert!(number.parse::<f64>().is_ok() && described, "{line}");
    }
}

#[test]
fn a_key_for_reading_changes_nothing_and_can_be_taken_away() {
    let (_dir, server) = fresh();
    server.import(&history());
    let key = |arguments: &[&str]| {
        let output = run(&server.data, &[&["key"], arguments].concat(), b"");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let (reads, writes) =
        (key(&["add", "grafana", "--scope", "read"]), key(&["add", "shop", "--scope", "write"]));
    assert_eq!(key(&["list"]), "read    grafana\nwrite   shop");
    let file = std::fs::read_to_string(server.data.join("keys.json")).unwrap();
    assert!(!file.contains(&reads) && !file.contains(&writes), "only hashes are kept");
    let ask = |method: &str, path: &str, body: &str| {
        let bearer = format!("Bearer {reads}");
        server.client().send(method, path, &[("Authorization", &bearer)], body.as_bytes()).status
    };
    assert_eq!(ask("GET", "/api/v1/stats", ""), 200, "at once");
    assert_eq!(server.get("/api/v1/keys")["keys"][1], json!({"name": "shop", "scope": "write"}));
    assert_eq!(ask("POST", "/api/v1/funnel", &format!("{{{STEPS}}}")), 200);
    assert_eq!(ask("GET", "/metrics", ""), 200);
    for (method, path) in [
        ("POST", "/api/v1/people/person0%40example.com/merge"),
        ("POST", "/api/v1/people/person0%40example.com/unmerge"),
        ("PUT", "/api/v1/audiences/x"),
        ("DELETE", "/api/v1/reports/x"),
        ("POST", "/api/v1/compact"),
        ("POST", "/api/v1/import"),
        ("POST", "/api/v1/keys"),
        ("DELETE", "/api/v1/keys/shop"),
    ] {
        assert_eq!(ask(method, path, "{}"), 403, "{method} {path}");
    }
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let body = format!("key={reads}");
    assert_eq!(
        server.client().send("POST", "/login", &[form], body.as_bytes()).status,
        401,
        "sessions change things"
    );
    assert_eq!(server.client().open(format!("/e?_k={writes}&_p=a&_n=x&_debug=1")).status, 200);
    key(&["remove", "grafana"]);
    assert_eq!(ask("GET", "/api/v1/stats", ""), 401);
    assert_eq!(server.client().open(format!("/e?_k={writes}&_p=a&_n=x&_debug=1")).status, 200);
    assert!(!run(&server.data, &["key", "remove", "grafana"], b"").status.success());
    // What others write into the file is taken when the server is told to.
    let path = server.data.join("keys.json");
    let mut file: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let more = server.post("/api/v1/keys", r#"{"name":"late","scope":"write"}"#).json()["key"].clone();
    let sends =
        || server.client().open(format!("/e?_k={}&_p=a&_n=x&_debug=1", more.as_str().unwrap())).status;
    assert_eq!(sends(), 200);
    file.as_object_mut().unwrap().remove("crc");
    std::fs::write(&path, file.to_string()).unwrap();
    server.hang_up();
    let begun = Instant::now();
    while sends() != 401 {
        assert!(begun.elapsed() < Duration::from_secs(5), "the keys were not read again");
    }
}
