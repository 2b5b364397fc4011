//! Every error that the interface names, as the client sees it.

use whodid::http::router::ROUTES;

use super::{fresh, history};
use crate::support::{WRITE_KEY, authorized};

#[test]
fn what_is_no_key_is_none() {
    let (_dir, server) = fresh();
    let mut client = server.client();
    let reply = client.send("GET", "/api/v1/stats", &[("Authorization", "guess")], b"");
    assert_eq!((reply.status, reply.code().as_str()), (401, "no_key"));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    // The key that reads does not track: it must not stand in pages.
    let reply = client.open("/e?_k=rk_test_key_of_the_suite&_p=a&_n=x&_debug=1");
    assert_eq!((reply.status, reply.code().as_str()), (403, "wrong_key"));
}

#[test]
fn queries_that_mean_nothing_say_where_and_what_instead() {
    let (_dir, server) = fresh();
    server.import(&history());
    for (query, status, code, at) in [
        ("", 400, "bad_json", ""),
        ("{\"steps\":", 400, "bad_json", ""),
        ("{}", 422, "missing_field", ""),
        ("[]", 422, "bad_type", ""),
        (r#"{"steps":[]}"#, 422, "", "steps"),
        (r#"{"steps":[{"event":"Visited"}],"whithin":"7d"}"#, 422, "unknown_field", "whithin"),
        (r#"{"steps":[{"event":"Visited"}],"within":"soon"}"#, 422, "", "within"),
        (r#"{"steps":[{"event":"Visited"}],"from":"2025-13-01"}"#, 422, "", "from"),
        (r#"{"steps":[{"event":"Visited"}],"tz":"Mars/Base"}"#, 422, "", "tz"),
        (r#"{"steps":[{"event":"Visited"}],"by":"plan"}"#, 422, "", "by"),
        (
            r#"{"steps":[{"event":"Visited"},{"event":"Paid","where":[{"property":"n","like":1}]}]}"#,
            422,
            "unknown_operator",
            "steps[1].where[0]",
        ),
    ] {
        let reply = server.post("/api/v1/funnel", query);
        let error = reply.json()["error"].clone();
        assert_eq!(reply.status, status, "{query}: {error}");
        assert!(code.is_empty() || error["code"] == code, "{query}: {error}");
        assert!(at.is_empty() || error["at"].as_str().unwrap().starts_with(at), "{query}: {error}");
        assert!(!error["message"].as_str().unwrap().is_empty());
    }
    let reply = server.post("/api/v1/funnel", r#"{"steps":[{"event":"Visited"}],"whithin":"7d"}"#);
    assert!(reply.text().contains("within"), "the hint names what was meant: {}", reply.text());
    for (open, core, close) in [("{\"not\":", "{\"identified\":true}", "}"), ("[", "", "]"), ("[", "", "")] {
        let deep = [&open.repeat(100_000), core, &close.repeat(100_000)].concat();
        let query = format!("{{\"steps\":[{{\"event\":\"Visited\"}}],\"people\":{deep}}}");
        assert_eq!(server.post("/api/v1/funnel", &query).status, 400, "and the server lives on");
        let path = "/api/v1/people/person0%40example.com/merge";
        assert_eq!(server.post(path, &format!("{{\"into\":{deep}}}")).status, 400);
    }
    let reply = server.client().send("POST", "/api/v1/funnel", &[authorized()], b"{\"steps\":\"\xff\"}");
    assert_eq!((reply.status, reply.code().as_str()), (400, "bad_utf8"));
    assert_eq!(server.client().get("/api/v1/funnel").code(), "no_query");
}

#[test]
fn a_parameter_that_a_route_does_not_take_is_an_error() {
    let (_dir, server) = fresh();
    server.import(&history());
    let refused = |method: &str, target: &str, code: &str, at: &str| {
        let body: &[u8] = if method == "GET" { b"" } else { b"{}" };
        let reply = server.client().send(method, target, &[authorized()], body);
        assert_eq!((reply.status, reply.code().as_str()), (422, code), "{method} {target}");
        assert_eq!(reply.json()["error"]["at"], at, "{method} {target}");
    };
    let of_api: Vec<_> = ROUTES.iter().filter(|route| route.pattern.starts_with("/api/")).collect();
    assert!(of_api.len() > 50);
    for route in of_api {
        let path = route.pattern.replace("{identity}", "person0%40example.com");
        let path = path.replace("{project}", "1").replace("{name}", "Plan");
        refused(route.method.name(), &format!("{path}?bogus=1"), "unknown_field", "bogus");
    }
    for (target, code, at) in [
        ("/api/v1/export?persn=person0%40example.com", "unknown_field", "persn"),
        ("/api/v1/export?person=person0%40example.com&person=x", "given_twice", "person"),
        ("/api/v1/people/person0%40example.com/events?limit=2&limit=3", "given_twice", "limit"),
        ("/api/v1/people/person0%40example.com?limit=2", "unknown_field", "limit"),
        ("/api/v1/properties/Plan/values?like=a", "unknown_field", "like"),
        ("/api/v1/funnel?q=%7B%7D&from=2030-01-01", "unknown_field", "from"),
        ("/api/v1/funnel?from=2030-01-01&q=%7B%7D", "unknown_field", "from"),
        ("/api/v1/funnel?q=%7B%7D&q=%7B%7D", "given_twice", "q"),
        ("/api/v1/funnel?step=Visited&limit=1&limit=2", "given_twice", "limit"),
    ] {
        refused("GET", target, code, at);
    }
    refused("POST", "/api/v1/funnel?step=Visited", "unknown_field", "step");
    let hint = server.client().get("/api/v1/export?persn=x").json()["error"]["hint"].clone();
    assert_eq!(hint, "did you mean \"person\"?");
    assert_eq!(server.get("/api/v1/stats")["people"], 60, "nothing was erased or imported");
}

#[test]
fn wrong_paths_methods_sizes_and_codings_have_their_status() {
    let (_dir, server) = fresh();
    for path in
        ["/nothing", "/api/v1/", "/api/v2/funnel", "/e/", "/../etc/passwd", "/%2e%2e/etc/passwd", "/i.js.map"]
    {
        assert_eq!(server.client().get(path).status, 404, "{path}");
    }
    for (method, path, allow) in [
        ("DELETE", "/e", "GET, POST, OPTIONS"),
        ("HEAD", "/e", "GET, POST, OPTIONS"),
        ("PUT", "/api/v1/funnel", "POST, GET, HEAD, OPTIONS"),
        ("GET", "/api/v1/import", "POST, OPTIONS"),
        ("POST", "/healthz", "GET, HEAD, OPTIONS"),
        ("TRACE", "/api/v1/export", "GET, HEAD, OPTIONS"),
    ] {
        let reply = server.client().send(method, path, &[authorized()], b"");
        assert_eq!((reply.status, reply.header("allow")), (405, Some(allow)), "{method} {path}");
    }
    let big = vec![b' '; (1 << 20) + 1];
    for path in ["/e", "/api/v1/funnel"] {
        assert_eq!(server.client().send("POST", path, &[authorized()], &big).status, 413, "{path}");
        let pieces: Vec<&[u8]> = big.chunks(60_000).collect();
        assert_eq!(server.client().send_chunked(path, &[authorized()], &pieces).status, 413, "{path}");
    }
    for (path, coding) in [("/api/v1/funnel", "gzip"), ("/e", "gzip"), ("/api/v1/import", "br")] {
        let headers = [authorized(), ("Content-Encoding", coding)];
        assert_eq!(server.client().send("POST", path, &headers, b"x").status, 415, "{path} {coding}");
    }
    let mut client = server.client();
    let head = [client.head("POST", b"/api/v1/import", &[authorized()]), b"\r\n".to_vec()].concat();
    client.write(&head);
    assert_eq!(client.reply(false).unwrap().status, 411);
    let long = format!("/e?a={}", "x".repeat(20_000));
    assert!([414, 431].contains(&server.client().open(long).status));
}

#[test]
fn foreign_names_get_nothing_but_tracking() {
    let (_dir, server) = fresh();
    for path in ["/api/v1/stats", "/api/v1/funnel?q={}", "/", "/healthz", "/metrics"] {
        let headers = [authorized(), ("Host", "rebound.example")];
        let reply = server.client().send("GET", path, &headers, b"");
        assert_eq!((reply.status, reply.code().as_str()), (421, "foreign_host"), "{path}");
        let reply = server.client().send("GET", path, &[authorized(), ("Host", "localhost:1")], b"");
        assert_ne!(reply.status, 421, "{path}");
    }
    let target = format!("/e?_k={WRITE_KEY}&_p=a&_n=x");
    let reply = server.client().send("GET", target, &[("Host", "stats.example.com")], b"");
    assert_eq!((reply.status, reply.body.len()), (200, 43));
}
