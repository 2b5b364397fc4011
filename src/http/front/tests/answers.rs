//! What answers say and to whom: headers, hosts, origins, methods, streams.

use super::*;
use std::os::unix::net::UnixStream;

use crate::http::message::Method;

#[test]
fn clients_cannot_speak_as_the_front() {
    let site = Site::new();
    let forged = "X-Guard-Peer: 6.6.6.6\r\nx-guard-probe: 1\r\nX-Forwarded-For: 7.7.7.7\r\n";
    for target in ["/e", "/api/v1/events"] {
        let answer = site.send(get(target, forged));
        assert!(answer.contains("peer=127.0.0.1 "), "{answer}");
        assert!(answer.contains("guard=None"), "{answer}");
    }
    // The door of the operator is for its socket only.
    let front = site.send(get("/e?do=operator", "X-Guard-Operator: 1\r\n"));
    assert!(front.contains("operator=false"), "{front}");
    let sockets = site.sockets();
    let own = crate::http::operator::ask(&sockets, Method::Get, "/e", "").unwrap();
    let own = String::from_utf8_lossy(own.bytes()).into_owned();
    assert!(own.contains("operator=true"), "{own}");
    let proxy = Site::with(|config| config.trusted_proxies = vec![IpAddr::from([127, 0, 0, 1])]);
    let answer = proxy.send(get("/api/v1/events", "X-Forwarded-For: 6.6.6.6, 7.7.7.7\r\n"));
    assert!(answer.contains("peer=7.7.7.7 "), "only what the proxy itself added counts: {answer}");
    let two = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 8.8.8.8, 127.0.0.1\r\n";
    let answer = proxy.send(get("/e", two));
    assert!(answer.contains("peer=8.8.8.8 "), "{answer}");
}

#[test]
fn reflected_values_inject_no_header() {
    let site = Site::new();
    for target in ["/e", "/api/v1/events"] {
        let answer = site.send(get(&format!("{target}?do=reflect&value=a%0d%0aSet-Cookie:%20x=1"), ""));
        assert_eq!(status_of(&answer), 422, "{answer}");
        assert!(!answer.contains("\r\nSet-Cookie"));
        let answer = site.send(get(&format!("{target}?do=reflect&value=plain"), ""));
        assert!(answer.contains("\r\nX-Reflected: plain\r\n"), "{answer}");
    }
}

#[test]
fn foreign_host_names_reach_tracking_only() {
    let site = Site::with(|config| config.names = vec!["stats.example.com".to_owned()]);
    let ask = |target: &str, host: &str| {
        site.status(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
    };
    for target in ["/healthz", "/", "/api/v1/events", "/api/v1/export"] {
        assert_eq!(ask(target, "evil.example"), 421, "{target}");
        assert_eq!(ask(target, "stats.example.com"), 200, "{target}");
    }
    assert_eq!(ask("/e", "trk.example"), 200);
}

#[test]
fn other_origins_may_track_and_import_only() {
    let site = Site::new();
    let origin = "Origin: https://shop.example\r\n";
    for (target, allowed) in [("/e", true), ("/api/v1/import", true), ("/api/v1/funnel", false)] {
        let options = get(target, origin).replacen("GET", "OPTIONS", 1);
        let answer = site.send(options);
        assert_eq!(status_of(&answer), 204, "{answer}");
        assert_eq!(answer.contains("Access-Control-Allow-Origin: *"), allowed, "{answer}");
        assert_eq!(answer.contains("Access-Control-Max-Age: 86400"), allowed);
        assert!(!answer.contains("Credentials"));
        let answer = site.send(post(target, &format!("{origin}Content-Length: 0\r\n"), ""));
        assert_eq!(status_of(&answer), 200);
        assert_eq!(
            answer.matches("Access-Control-Allow-Origin: *").count(),
            usize::from(allowed),
            "{answer}"
        );
    }
}

#[test]
fn wrong_methods_and_encodings_have_their_answers() {
    let site = Site::new();
    let answer = site.send(get("/e", "").replacen("GET", "DELETE", 1));
    assert!(status_of(&answer) == 405 && answer.contains("Allow: GET, POST, OPTIONS"), "{answer}");
    assert_eq!(site.status(get("/nowhere", "")), 404);
    let answer = site.send(post("/e", "Content-Encoding: gzip\r\nContent-Length: 1\r\n", "x"));
    assert!(status_of(&answer) == 415 && answer.contains("Allow-Origin: *"), "pages may read why: {answer}");
    assert_eq!(
        site.status(post("/api/v1/import", "Content-Encoding: br\r\nContent-Length: 1\r\n", "x")),
        415
    );
    assert_eq!(site.status(post("/api/v1/import", "", "")), 411);
    // A look at a route that records would record.
    for (target, status) in [("/e", 405), ("/healthz", 200), ("/api/v1/export", 200)] {
        let answer = site.send(get(target, "").replacen("GET", "HEAD", 1));
        assert!(status_of(&answer) == status && answer.ends_with("\r\n\r\n"), "no body: {answer}");
    }
}

#[test]
fn imports_stream_plain_and_compressed_without_a_limit() {
    let site = Site::new();
    let plain = "x".repeat(3 << 20);
    let answer = site.send(post("/api/v1/import", &format!("Content-Length: {}\r\n", plain.len()), &plain));
    assert!(answer.contains("bytes=3145728"), "{answer}");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain.as_bytes()).unwrap();
    let packed = encoder.finish().unwrap();
    let ask = |bytes: &[u8]| {
        let headers = format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", bytes.len());
        site.send([post("/api/v1/import", &headers, "").as_bytes(), bytes].concat())
    };
    assert!(ask(&packed).contains("bytes=3145728"));
    let twice = [&packed[..], &packed[..]].concat();
    assert!(ask(&twice).contains("bytes=6291456"), "every member counts");
    assert!(
        ask(&packed[..packed.len() / 2]).contains("wrongly accepted"),
        "the handler is told, and decides"
    );
}

#[test]
fn exports_stream_and_show_when_they_are_cut() {
    let site = Site::new();
    let answer = site.send(get("/api/v1/export", ""));
    assert!(answer.contains("Transfer-Encoding: chunked") && answer.ends_with("\r\n0\r\n\r\n"));
    assert!(answer.contains("{\"line\":9999}"));
    let cut = site.send(get("/api/v1/export?fail", ""));
    assert!(status_of(&cut) == 200 && !cut.ends_with("0\r\n\r\n"), "no last chunk");
    // At once, also where the connection would have been kept.
    let begin = Instant::now();
    let kept = site.send("GET /api/v1/export?fail HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(kept.contains("chunked") && begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    let old = site.send("GET /api/v1/export HTTP/1.0\r\n\r\n");
    assert!(
        !old.contains("chunked") && old.ends_with("{\"line\":9999}\n") && old.contains("Connection: close")
    );
}

#[test]
fn the_sockets_are_private_and_stale_ones_are_replaced() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let start = |sockets: &std::path::Path| {
        let config = Config::new("127.0.0.1:0".parse().unwrap(), sockets.to_path_buf());
        Server::start(config, Arc::new(Echo::default()))
    };
    let sockets = dir.path().join("s");
    std::fs::create_dir(&sockets).unwrap();
    std::fs::write(sockets.join("write.sock"), "stale").unwrap();
    let server = start(&sockets).unwrap();
    assert_eq!(std::fs::metadata(&sockets).unwrap().permissions().mode() & 0o777, 0o700);
    drop(server);
    let long = dir.path().join("x".repeat(120));
    assert_eq!(start(&long).err().unwrap().code(), "socket_path");
}

#[test]
fn workers_name_a_date_that_no_clock_can_break() {
    let site = Site::new();
    let mut worker = UnixStream::connect(site.sockets().join("health.sock")).unwrap();
    worker.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    worker.write_all(b"GET /e HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    worker.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"), "{answer}");
    let front = site.send(get("/api/v1/stats", ""));
    assert!(!front.contains("1970") && front.matches("\r\nDate: ").count() == 1, "{front}");
}
