//! What Kissmetrics' clients send, and what hostile ones do.

use super::fresh;
use crate::support::{Client, Server, WRITE_KEY};

/// Tracks with `_debug=1`: status and JSON as text.
fn told(client: &mut Client, rest: &str) -> (u16, String) {
    let reply = client.open(format!("{rest}&_k={WRITE_KEY}&_debug=1"));
    (reply.status, reply.text())
}

fn status_of(client: &mut Client, rest: &str) -> String {
    let (status, text) = told(client, rest);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    format!("{status} {}", json["reason"].as_str().unwrap_or_else(|| json["status"].as_str().unwrap()))
}

/// The properties of the latest event of a person, as JSON text.
fn latest(server: &Server, person: &str) -> String {
    let page = server.get(&format!("/api/v1/people/{person}/events?limit=1"));
    page["events"][0].to_string()
}

#[test]
fn three_routes_take_gets_and_forms_and_answer_with_a_pixel() {
    let (_dir, server) = fresh();
    let mut client = server.client();
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    for (path, rest) in [
        ("/e", "_p=jane%40example.com&_n=Signed+Up&Plan=Pro"),
        ("/s", "_p=jane%40example.com&Plan=Pro"),
        ("/a", "_p=anon-1&_n=jane%40example.com"),
    ] {
        let get = client.open(format!("{path}?_k={WRITE_KEY}&{rest}"));
        let post = client.send("POST", path, &form, format!("_k={WRITE_KEY}&{rest}").as_bytes());
        let query = client.send("POST", format!("{path}?_k={WRITE_KEY}&{rest}"), &[], b"");
        for reply in [get, post, query] {
            assert_eq!((reply.status, reply.header("content-type")), (200, Some("image/gif")));
            assert!(
                reply.body.len() == 43 && reply.body.starts_with(b"GIF89a") && reply.body.ends_with(b";")
            );
            assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
            assert_eq!(reply.header("access-control-allow-credentials"), None);
            assert_eq!(reply.header("cache-control"), Some("no-store"));
        }
    }
    let jane = server.get("/api/v1/people/anon-1");
    assert_eq!(jane["person"], "jane@example.com");
    assert_eq!((&jane["events"], &jane["properties"]["Plan"]), (&3.into(), &"Pro".into()));
    assert_eq!(server.get("/api/v1/stats")["records"], 9);
}

#[test]
fn oddities_of_real_clients_are_stored_as_far_as_they_go() {
    let (_dir, server) = fresh();
    let mut client = server.client();
    for (person, query, expected) in [
        ("empty-pair", "&&_n=x&&a=1&", r#"{"a":1}"#),
        ("unescaped", "_n=x&mail=a@b.c:d,e+f=g", r#"{"mail":"a@b.c:d,e f=g"}"#),
        ("split", "_n=x&name=A & B", r#"{"B":"","name":"A "}"#),
        ("no-value", "_n=x&flag&b=", r#"{"b":"","flag":""}"#),
        ("percent", "_n=x&a=100%&b=%zz&c=%C3%28", "{\"a\":\"100%\",\"b\":\"%zz\",\"c\":\"\u{c3}(\"}"),
        ("raw", "_n=caf\u{e9}&gr\u{f6}\u{df}e=\u{fc}", "{\"gr\u{f6}\u{df}e\":\"\u{fc}\"}"),
        (
            "types",
            "_n=x&a=-49.99&b=0123&c=1e5&d=NaN&e=%2412",
            r#"{"a":-49.99,"b":"0123","c":"1e5","d":"NaN","e":"$12"}"#,
        ),
        ("reserved", "_n=x&_c=mobile_app&_u=kissmetrics-ios/2.4.0&_x=1&list[0]=q", r#"{"list[0]":"q"}"#),
        ("twice", "_n=x&a=1&a=2", r#"{"a":2}"#),
    ] {
        // A space cannot stand in a request's target; clients that put one there send a form.
        let text = format!("_p={person}&_k={WRITE_KEY}&{query}");
        let reply = if query.contains(' ') {
            client.send(
                "POST",
                "/e",
                &[("Content-Type", "application/x-www-form-urlencoded")],
                text.as_bytes(),
            )
        } else {
            client.open(format!("/e?{text}"))
        };
        assert_eq!((reply.status, reply.body.len()), (200, 43), "{person}");
        let stored: serde_json::Value = serde_json::from_str(&latest(&server, person)).unwrap();
        let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
        assert_eq!(stored["properties"], expected, "{person}");
    }
    let bytes = [b"/e?_p=latin1&_n=x&_k=", WRITE_KEY.as_bytes(), b"&v=caf\xe9"].concat();
    assert_eq!(client.open(bytes).status, 200);
    assert!(latest(&server, "latin1").contains("caf\u{e9}"));
    // Were what is no UTF-8 one mark, these two would be one person.
    for name in ["M%FCller", "M%F6ller"] {
        assert_eq!(client.open(format!("/e?_p={name}&_n=x&_k={WRITE_KEY}")).status, 200);
    }
    for name in ["M%C3%BCller", "M%C3%B6ller"] {
        assert_eq!(server.get(&format!("/api/v1/people/{name}"))["events"], 1);
    }
}

#[test]
fn an_app_is_told_where_to_send_to() {
    let (_dir, server) = fresh();
    let reply = server.client().open("/m/trk?product_key=k&install_uuid=u");
    let told = reply.json();
    assert_eq!((reply.status, &told["tracking"]), (200, &true.into()));
    assert_eq!(told["tracking_endpoint"], server.addr);
    let expires = reply.header("expires").unwrap();
    assert!(expires.ends_with(" GMT") && expires != reply.header("date").unwrap(), "{expires}");
}

#[test]
fn who_asks_for_json_is_told_the_truth() {
    let (_dir, server) = fresh();
    let mut client = server.client();
    let long = "x".repeat(256);
    for (rest, expected) in [
        ("/e?_p=a&_n=x", "200 stored"),
        ("/e?_p=a&_n=x&_d=1&_t=1740823200", "200 stored"),
        ("/e?_p=a&_n=x&_d=1&_t=1740823200", "200 duplicate"),
        ("/e?_p=a&_n=x&_d=1&_t=1740823200000", "200 duplicate"),
        ("/e?_p=a&_n=x&_d=1&_t=1740823200.5", "200 stored"),
        ("/e?_p=a&_n=x&_t=1740823200", "200 stored"),
        ("/e?_p=a&_n=x&_i=one", "200 stored"),
        ("/e?_p=a&_n=x&_i=one&_d=1&_t=1740823300", "200 duplicate"),
        ("/s?_p=b&x=1&_i=one", "200 duplicate"),
        ("/e?_p=a&_n=x&_d=0&_t=yesterday", "200 stored"),
        ("/e?_p=a&_n=x&_d=1&_t=yesterday", "422 bad_time"),
        ("/e?_p=a&_n=x&_d=1&_t=4102444800", "422 bad_time"),
        ("/e?_p=a&_n=x&_d=1&_t=1", "422 bad_time"),
        ("/e?_p=a", "422 bad_event"),
        ("/e?_n=x", "422 bad_identity"),
        ("/e?_p=a%00b&_n=x", "422 bad_identity"),
        ("/e?_p=a&_n=x%0d%0aX-Evil:1", "422 bad_event"),
        ("/s?_p=a", "422 no_properties"),
        ("/a?_p=a&_n=undefined", "422 nobody"),
        ("/a?_p=a", "422 bad_identity"),
        (&format!("/e?_p={long}&_n=x"), "413 bad_identity"),
        (&format!("/e?_p=a&_n={long}"), "413 bad_event"),
    ] {
        assert_eq!(status_of(&mut client, rest), expected, "{rest}");
    }
    let accept = [("Accept", "application/json")];
    let reply = client.send("GET", format!("/e?_k={WRITE_KEY}&_p=a"), &accept, b"");
    assert_eq!((reply.status, reply.json()["error"]["at"].as_str()), (422, Some("_n")));
    let multipart = [("Content-Type", "multipart/form-data; boundary=x"), ("Accept", "application/json")];
    let reply = client.send("POST", format!("/e?_k={WRITE_KEY}&_p=a&_n=x"), &multipart, b"--x--");
    assert_eq!((reply.status, reply.code().as_str()), (415, "bad_content_type"));
    // Without asking, all of it is a pixel.
    let reply = client.open("/e?_k=nonsense");
    assert_eq!((reply.status, reply.body.len()), (200, 43));
}

#[test]
fn refusals_are_counted_and_shown_with_both_identities() {
    let (_dir, server) = fresh();
    let mut client = server.client();
    for rest in ["/a?_p=anon1&_n=jane%40x", "/a?_p=anon2&_n=bob%40x"] {
        assert_eq!(status_of(&mut client, rest), "200 stored");
    }
    let (status, text) = told(&mut client, "/a?_p=jane%40x&_n=bob%40x");
    assert_eq!(status, 200, "the record is stored");
    assert!(text.contains("\"merged\":false") && text.contains("merge_refused"), "{text}");
    told(&mut client, "/a?_p=anon1&_n=null");
    told(&mut client, "/e?_p=carl&_n=x&_d=1&_t=never");
    for _ in 0..3 {
        assert_eq!(client.open("/e?_k=stolen&_p=dora&_n=y").body.len(), 43);
    }
    assert_eq!(client.open("/e?_p=dora&_n=y").body.len(), 43, "no key at all");
    let answer = server.get("/api/v1/refusals");
    let counts = [("merge_refused", 1), ("nobody", 1), ("bad_time", 1), ("unknown_key", 3), ("no_key", 1)];
    for (reason, count) in counts {
        assert_eq!(answer["counts"][reason], count, "{reason}: {answer}");
    }
    let listed = answer["refusals"].as_array().unwrap();
    let of = |reason: &str| {
        let found = listed.iter().find(|r| r["reason"] == reason).unwrap();
        (found["identity"].as_str().unwrap().to_owned(), found["name"].as_str().unwrap().to_owned())
    };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(of("merge_refused"), pair("jane@x", "bob@x"));
    assert_eq!(of("nobody"), pair("anon1", "null"));
    assert_eq!(of("bad_time"), pair("carl", "x"));
    assert_eq!(of("unknown_key"), pair("dora", "y"));
    assert_eq!(server.client().get("/api/v1/people/dora").status, 404, "what is refused is not stored");
}

#[test]
fn pages_of_any_origin_may_track_and_none_may_read() {
    let (_dir, server) = fresh();
    let mut client = server.client();
    let origin = [("Origin", "https://shop.example"), ("Host", "stats.example.com")];
    for path in ["/e", "/s", "/a", "/api/v1/import"] {
        let reply = client.send("OPTIONS", path, &origin, b"");
        assert_eq!(reply.status, 204, "{path}");
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
        assert_eq!(reply.header("access-control-max-age"), Some("86400"));
        assert_eq!(reply.header("access-control-allow-credentials"), None);
    }
    let (long, longer) = (format!("/e?{}", "x".repeat(9000)), format!("/e?{}", "x".repeat(20_000)));
    for (method, path, status) in [
        ("PUT", "/e", 405),
        ("HEAD", "/e", 405),
        ("GET", "/v1/track", 405),
        ("GET", &long, 414),
        ("GET", &longer, 414),
    ] {
        let reply = server.client().send(method, path, &origin, b"");
        assert_eq!(
            (reply.status, reply.header("access-control-allow-origin")),
            (status, Some("*")),
            "{path:.9}"
        );
        assert_eq!(reply.header("cross-origin-resource-policy"), Some("cross-origin"));
    }
    for path in ["/api/v1/funnel", "/api/v1/events", "/api/v1/export", "/api/v1/people/x", "/metrics", "/"] {
        let options = client.send("OPTIONS", path, &[("Origin", "https://shop.example")], b"");
        let get = client.send("GET", path, &[("Origin", "https://shop.example")], b"");
        for reply in [options, get] {
            assert_eq!(reply.header("access-control-allow-origin"), None, "{path}");
        }
    }
}

#[test]
fn the_tracker_has_its_names_and_is_kept_by_browsers() {
    let dir = tempfile::tempdir().unwrap();
    let variables = [("WHODID_WRITE_KEY", WRITE_KEY), ("WHODID_TRACKER_PATH", "/js/app.js")];
    let (server, _) = Server::start_with(&dir.path().join("store"), &variables);
    let mut client = server.client();
    let foreign =
        [("Host", "stats.example"), ("Origin", "https://shop.example"), ("Accept-Encoding", "gzip")];
    let first = client.send("GET", "/i.js", &foreign, b"");
    for path in [&format!("/{WRITE_KEY}.2.js"), &format!("/{WRITE_KEY}.1.js"), "/js/app.js", "/i.js?x=1"] {
        let reply = client.send("GET", path, &foreign, b"");
        assert_eq!((reply.status, &reply.body), (200, &first.body), "{path}");
        assert_eq!(reply.header("content-type"), Some("text/javascript; charset=utf-8"));
        assert_eq!(reply.header("content-encoding"), Some("gzip"));
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
        assert_eq!(reply.header("cross-origin-resource-policy"), Some("cross-origin"));
        assert!(reply.header("cache-control").unwrap().starts_with("public, max-age=3600"));
    }
    assert!(first.body.len() <= 6 * 1024, "{} bytes", first.body.len());
    let plain = client.open("/i.js");
    assert!(plain.header("content-encoding").is_none() && plain.text().contains("Visited Site"));
    let tag = first.header("etag").unwrap().to_owned();
    let known = [("If-None-Match", tag.as_str())];
    client.write(&[client.head("GET", b"/js/app.js", &known), b"\r\n".to_vec()].concat());
    assert_eq!(client.reply(true).unwrap().status, 304);
    let forever = client.open(format!("/i.js?v={}", tag.trim_start_matches("W/").trim_matches('"')));
    assert_eq!(forever.header("cache-control"), Some("public, max-age=31536000, immutable"));
    for (path, code) in
        [("/0123.2.js", "unknown_key"), ("/js/other.js", "not_found"), ("/.2.js", "not_found")]
    {
        let reply = client.open(path);
        assert_eq!((reply.status, reply.code().as_str()), (404, code), "{path}");
    }
    assert_eq!(client.send("POST", "/i.js", &[], b"").status, 405);
}
