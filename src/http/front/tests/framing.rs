//! Where a request begins and ends, and what a second reader could take for another one.

use super::*;

#[test]
fn lengths_that_nobody_can_mean_are_refused_before_any_byte() {
    let site = Site::new();
    for length in ["100000000000000", "18446744073709551615", "99999999999999999999999", "1048577"] {
        for target in ["/e", "/api/v1/funnel", "/api/v1/compact"] {
            let request = post(target, &format!("Content-Length: {length}\r\n"), "");
            assert_eq!(site.status(request), 413, "{target} {length}");
        }
        assert_eq!(site.status(get("/healthz", &format!("Content-Length: {length}\r\n"))), 413);
    }
    assert_eq!(site.calls(), 0);
    site.assert_alive();
}

#[test]
fn framing_that_can_be_read_in_two_ways_smuggles_nothing() {
    let site = Site::new();
    let inner = "GET /e?smuggled=1 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for headers in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: abc\r\n",
        "Content-Length: 0x05\r\n",
        "Content-Length:\r\n",
        "X: y\r\n folded: z\r\n",
        "Content-Length : 5\r\n",
        "Host: other\r\n",
    ] {
        let request = format!("POST /e HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{inner}");
        let answer = site.send(request);
        assert_eq!(status_of(&answer), 400, "{headers:?}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{headers:?}: {answer}");
        assert!(answer.contains("Connection: close"));
    }
    for coding in ["gzip", "chunked, gzip", "xchunked", "identity", "chunked\r\nTransfer-Encoding: chunked"] {
        let request = post("/e", &format!("Transfer-Encoding: {coding}\r\n"), "0\r\n\r\n");
        assert_eq!(site.status(request), 501, "{coding}");
    }
    assert_eq!(site.calls(), 0);
}

#[test]
fn request_lines_are_read_strictly() {
    let site = Site::new();
    for (line, status) in [
        ("GET / HTTP/2.0", 505),
        ("GET / HTTP/3.0", 505),
        ("GET / HTTP/0.9", 505),
        ("PRI * HTTP/2.0", 400),
        ("GET /", 400),
        ("GET  /e HTTP/1.1", 400),
        ("GET /e\tx HTTP/1.1", 400),
        ("GET /e\u{1b}[31m HTTP/1.1", 400),
        ("GET /e\nX: HTTP/1.1", 400),
        ("GET /e\0 HTTP/1.1", 400),
        ("GET http://localhost/e HTTP/1.1", 400),
        ("CONNECT localhost:80 HTTP/1.1", 400),
        ("G\u{e9}T /e HTTP/1.1", 400),
        ("BREW /e HTTP/1.1", 405),
        ("get /e HTTP/1.1", 405),
    ] {
        let request = format!("{line}\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        assert_eq!(site.status(request), status, "{line:?}");
    }
    assert_eq!(site.status("GET /e HTTP/1.1\r\n\r\n"), 400, "without Host");
    assert_eq!(site.status("GET /e HTTP/1.1\nHost: localhost\n\n"), 400, "bare line feeds, at once");
    assert_eq!(site.calls(), 0);
    assert_eq!(site.status("\r\nGET /e HTTP/1.0\r\n\r\n"), 200, "HTTP/1.0 and an empty line before it");
}

#[test]
fn heads_without_end_are_bounded() {
    let site = Site::new();
    assert_eq!(site.status(format!("GET /{} HTTP/1.1\r\n", "x".repeat(17_000))), 414);
    assert_eq!(site.status(get(&format!("/e?{}", "x".repeat(8_200)), "")), 414);
    assert_eq!(site.status(get("/e", &format!("X: {}\r\n", "y".repeat(17_000)))), 431);
    assert_eq!(site.status(get("/e", &"X: y\r\n".repeat(99))), 431);
    assert_eq!(site.status(get("/e", &"X: y\r\n".repeat(90))), 200);
    let mut stream = site.connect();
    let mut sent = 0;
    while sent < 4 << 20 && stream.write_all(b"X-Endless: abcdefghijklmnopqrstuvwxyz\r\n").is_ok() {
        sent += 39;
    }
    assert!(sent < 4 << 20, "the server took {sent} bytes of a head");
    site.assert_alive();
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let site = Site::new();
    let mut stream = site.connect();
    let mut all = String::new();
    for n in 0..50 {
        all += &format!("POST /e?n={n}. HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc");
        all += &format!("GET /api/v1/events?n={n}. HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    stream.write_all(all.as_bytes()).unwrap();
    for n in 0..50 {
        for _ in 0..2 {
            assert!(one_answer(&mut stream).contains(&format!("?n={n}. ")));
        }
    }
}

#[test]
fn a_body_cut_short_calls_no_handler() {
    let site = Site::new();
    for request in [
        post("/e", "Content-Length: 5000\r\n", "five."),
        post("/e", "Transfer-Encoding: chunked\r\n", "5\r\nfive.\r\n"),
        post("/e", "Transfer-Encoding: chunked\r\n", "5\r\nfi"),
        post("/api/v1/funnel", "Content-Length: 5000\r\n", "five."),
    ] {
        let mut stream = site.connect();
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&mut stream), "");
    }
    assert_eq!(site.calls(), 0);
    let mut stream = site.connect();
    stream.write_all(post("/api/v1/import", "Content-Length: 5000\r\n", "five.").as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut stream), "", "a cut import is not acknowledged");
}

#[test]
fn chunks_are_read_strictly() {
    let site = Site::new();
    for (body, status) in [
        ("5\r\nhello\r\n0\r\n\r\n", 200),
        ("00000005\r\nhello\r\n0\r\n\r\n", 200),
        ("A\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n", 200),
        ("000000005\r\nhello\r\n0\r\n\r\n", 400),
        ("5;ext=1\r\nhello\r\n0\r\n\r\n", 400),
        ("5 \r\nhello\r\n0\r\n\r\n", 400),
        ("+5\r\nhello\r\n0\r\n\r\n", 400),
        ("0x5\r\nhello\r\n0\r\n\r\n", 400),
        ("\r\nhello\r\n0\r\n\r\n", 400),
        ("5\nhello\r\n0\r\n\r\n", 400),
        ("5\r\nhelloo\r\n0\r\n\r\n", 400),
        ("5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n", 400),
        ("FFFFFFFFFFFFFFFF\r\nhello", 400),
        ("-1\r\nhello\r\n0\r\n\r\n", 400),
    ] {
        for target in ["/e", "/api/v1/import"] {
            let answer = site.send(post(target, "Transfer-Encoding: chunked\r\n", body));
            assert_eq!(status_of(&answer), status, "{target} {body:?}: {answer}");
        }
    }
    assert_eq!(site.calls(), 3);
    let body = format!("{}0\r\n\r\n", format!("10000\r\n{}\r\n", "x".repeat(65_536)).repeat(17));
    assert_eq!(site.status(post("/e", "Transfer-Encoding: chunked\r\n", &body)), 413, "over 1 MiB in chunks");
    assert_eq!(site.calls(), 3);
}

#[test]
fn an_unread_body_is_never_the_next_request() {
    let site = Site::new();
    let inner = "GET /e?smuggled=1 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for target in ["/nowhere", "/healthz", "/api/v1/import?unread"] {
        let length = inner.len();
        let request =
            format!("POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{inner}");
        let answer = site.send(request);
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{target}: {answer}");
        assert!(status_of(&answer) >= 400);
    }
    assert_eq!(site.calls(), 0);
}

#[test]
fn expectations_are_met_after_the_checks() {
    let site = Site::new();
    let answer = site.send(post("/e", "Expect: 100-continue\r\nContent-Length: 2000000\r\n", ""));
    assert_eq!(status_of(&answer), 413);
    assert_eq!(site.status(post("/e", "Expect: something\r\nContent-Length: 5\r\n", "hello")), 417);
    for (target, seen) in [("/e", "body=hello"), ("/api/v1/import", "bytes=5")] {
        let mut stream = site.connect();
        stream
            .write_all(post(target, "Expect: 100-continue\r\nContent-Length: 5\r\n", "").as_bytes())
            .unwrap();
        assert_eq!(one_answer(&mut stream), "HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(b"hello").unwrap();
        assert!(rest(&mut stream).contains(seen));
    }
    let refused =
        site.send(post("/api/v1/import?unread", "Expect: 100-continue\r\nContent-Length: 5\r\n", ""));
    assert_eq!(status_of(&refused), 401, "a handler that wants no body asks for none");
}

#[test]
fn bytes_above_ascii_are_repaired_on_every_way() {
    let site = Site::new();
    for target in ["/e?caf\u{e9}=\u{20ac}", "/api/v1/events?caf\u{e9}=\u{20ac}"] {
        let answer = site.send(get(target, "Cookie: n=\u{fc}\r\nReferer: http://x/\u{e9}\r\n"));
        assert!(answer.contains("?caf%C3%A9=%E2%82%AC "), "{answer}");
        assert!(answer.contains("referer=Some(\"http://x/??\")"), "{answer}");
    }
    let answer = site.send(b"GET /e?caf\xe9 HTTP/1.0\r\n\r\n");
    assert!(answer.contains("?caf%E9 "), "{answer}");
    let answer = site.send(post("/api/v1/funnel", "Content-Length: 5\r\n", "caf\u{e9}"));
    assert!(answer.contains("body=caf\u{e9}"), "{answer}");
}

#[test]
fn who_sends_reads_nothing_and_leaves_is_heard_to_the_end() {
    let site = Site::new();
    let kept = |target: &str, body: &str| {
        let (method, length) = if body.is_empty() {
            ("GET", String::new())
        } else {
            ("POST", format!("Content-Length: {}\r\n", body.len()))
        };
        format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{length}\r\n{body}")
    };
    // What reads is not worth its while: nobody takes the answer. What follows it is not known to be meant.
    let requests = [
        kept("/e?n=1", "").repeat(50),
        kept("/v1/track", "{}").repeat(10),
        kept("/healthz", ""),
        kept("/e", ""),
    ];
    let mut stream = site.connect();
    stream.write_all(requests.concat().as_bytes()).unwrap();
    drop(stream);
    let until = Instant::now() + Duration::from_secs(10);
    while site.calls() < 60 && Instant::now() < until {
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(Duration::from_millis(100));
    assert_eq!(site.calls(), 60);
    site.assert_alive();
}

#[test]
fn a_page_may_send_whatever_headers_it_asks_for() {
    let site = Site::new();
    let options = |target: &str, asked: &str| {
        site.send(format!("OPTIONS {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccess-Control-Request-Headers: {asked}\r\n\r\n"))
    };
    assert!(
        options("/v1/batch", "anonymousid, x_retry.count")
            .contains("Access-Control-Allow-Headers: anonymousid, x_retry.count\r\n")
    );
    for odd in ["a b", "", "x,,y", "x; y", &"x".repeat(1025)] {
        assert!(options("/v1/batch", odd).contains("Access-Control-Allow-Headers: Authorization, "), "{odd}");
    }
    assert!(!options("/api/v1/funnel", "x").contains("Access-Control"));
}
