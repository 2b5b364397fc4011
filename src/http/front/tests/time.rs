//! Clients that are slow, many or silent, handlers that are slow or panic, and the end of the server.

use super::*;
use crate::limits;

#[test]
fn dripping_heads_and_bodies_end_at_their_deadline() {
    let site = Site::new();
    for (start, drip) in [
        (get("/e", "").trim_end().to_owned(), "x"),
        (post("/e", "Content-Length: 1000\r\n", ""), "x"),
        (post("/e", "Transfer-Encoding: chunked\r\n", ""), "1\r\nx\r\n"),
        (post("/api/v1/import", "Content-Length: 1000\r\n", ""), "x"),
    ] {
        let mut stream = site.connect();
        stream.write_all(start.as_bytes()).unwrap();
        let started = Instant::now();
        let mut dripper = stream.try_clone().unwrap();
        let thread = thread::spawn(move || {
            for _ in 0..60 {
                if dripper.write_all(drip.as_bytes()).is_err() {
                    break;
                }
                thread::sleep(Duration::from_millis(25));
            }
        });
        let answer = rest(&mut stream);
        let took = started.elapsed();
        assert_eq!(status_of(&answer), 408, "{start}");
        assert!(took < Duration::from_millis(1200), "{took:?}");
        stream.shutdown(Shutdown::Both).ok();
        thread.join().unwrap();
    }
    assert_eq!(site.calls(), 0);
}

#[test]
fn a_silent_connection_ends() {
    let site = Site::new();
    let started = Instant::now();
    assert_eq!(rest(&mut site.connect()), "");
    let took = started.elapsed();
    assert!(took > Duration::from_millis(600) && took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_burst_of_keep_alive_connections_is_answered() {
    let site = Site::new();
    let mut streams: Vec<_> = (0..64).map(|_| site.connect()).collect();
    for round in 0..3 {
        for target in ["/e?x=1", "/healthz"] {
            for stream in &mut streams {
                write!(stream, "GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            }
            for (at, stream) in streams.iter_mut().enumerate() {
                let answer = one_answer(stream);
                assert_eq!(status_of(&answer), 200, "connection {at}, round {round}: {answer}");
            }
        }
    }
    assert_eq!(site.calls(), 64 * 6);
}

#[test]
fn a_pipelining_client_that_reads_nothing_holds_no_worker() {
    let site = Site::new();
    let mut stream = site.connect();
    let large = "GET /api/v1/events?do=large HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(10);
    stream.write_all(large.as_bytes()).unwrap();
    thread::sleep(Duration::from_millis(100));
    for _ in 0..4 {
        assert_eq!(site.status(get("/api/v1/events", "")), 200);
    }
    thread::sleep(Duration::from_millis(900));
    assert!(site.calls() < 7, "the connection ended at its write deadline");
}

#[test]
fn a_panic_costs_one_answer() {
    let site = Site::new();
    let mut stream = site.connect();
    for target in ["/e?do=panic", "/api/v1/events?do=panic"] {
        for _ in 0..12 {
            write!(stream, "GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            assert_eq!(status_of(&one_answer(&mut stream)), 500);
        }
    }
    site.assert_alive();
}

#[test]
fn streams_are_few_and_the_rest_is_told_to_come_back() {
    let site = Site::with(|config| config.deadlines.progress = Duration::from_secs(5));
    let open: Vec<_> = (0..limits::IMPORTS_MAX)
        .map(|_| {
            let mut stream = site.connect();
            stream.write_all(post("/api/v1/import", "Content-Length: 9\r\n", "x").as_bytes()).unwrap();
            stream
        })
        .collect();
    while site.echo.streams.load(Ordering::SeqCst) < limits::IMPORTS_MAX {
        thread::sleep(Duration::from_millis(2));
    }
    let answer = site.send(post("/api/v1/import", "Content-Length: 1\r\n", "x"));
    assert!(status_of(&answer) == 503 && answer.contains("Retry-After: "), "{answer}");
    site.assert_alive();
    drop(open);
    thread::sleep(Duration::from_millis(50));
    assert_eq!(site.status(post("/api/v1/import", "Content-Length: 1\r\n", "x")), 200);
}

#[test]
fn a_busy_pool_starves_no_other() {
    let site = Site::new();
    let slow: Vec<_> = (0..4)
        .map(|_| {
            let mut stream = site.connect();
            stream.write_all(get("/api/v1/events?do=nap", "").as_bytes()).unwrap();
            stream
        })
        .collect();
    while site.calls() < 4 {
        thread::sleep(Duration::from_millis(2));
    }
    let started = Instant::now();
    site.assert_alive();
    assert_eq!(site.status(get("/e", "")), 200);
    assert!(started.elapsed() < Duration::from_millis(700));
    assert_eq!(site.status(get("/api/v1/events", "")), 503, "no worker within its turn");
    for mut stream in slow {
        assert_eq!(status_of(&rest(&mut stream)), 200);
    }
}

#[test]
fn an_idle_flood_evicts_itself() {
    let site = Site::with(|config| {
        config.connections = 24;
        config.deadlines.idle = Duration::from_secs(20);
    });
    let mut flood = Vec::new();
    for n in 0..300 {
        let mut stream = site.connect();
        if n % 2 == 0 {
            stream.write_all(b"GET /e HTTP/1.1\r\nHo").unwrap();
        }
        flood.push(stream);
    }
    for _ in 0..5 {
        site.assert_alive();
        assert_eq!(site.status(get("/e", "")), 200);
    }
}

#[test]
fn one_address_has_its_share_only() {
    let site = Site::with(|config| config.uncapped.clear());
    let mut streams: Vec<_> = (0..40).map(|_| site.connect()).collect();
    let mut answered = 0;
    // All of them are accepted before the first speaks.
    thread::sleep(Duration::from_millis(300));
    for stream in &mut streams {
        let sent = write!(stream, "GET /e HTTP/1.1\r\nHost: localhost\r\n\r\n").is_ok();
        if sent && status_of(&one_answer(stream)) == 200 {
            answered += 1;
        }
    }
    assert_eq!(answered, 32, "the oldest gave way");
    site.assert_alive();
}

#[test]
fn stopping_finishes_what_runs_and_ends_what_waits() {
    let mut site = Site::with(|config| config.deadlines.idle = Duration::from_secs(20));
    let addr = site.addr();
    let mut running = site.connect();
    running.write_all(get("/api/v1/events?do=sleep", "").as_bytes()).unwrap();
    let mut idle = site.connect();
    while site.calls() < 1 {
        thread::sleep(Duration::from_millis(2));
    }
    let started = Instant::now();
    site.server.stop();
    assert!(started.elapsed() < Duration::from_millis(1400), "{:?}", started.elapsed());
    assert_eq!(status_of(&rest(&mut running)), 200);
    assert_eq!(rest(&mut idle), "");
    assert!(TcpStream::connect(addr).is_err(), "nobody listens any more");
}

#[test]
fn a_worker_that_gives_no_answer_is_replaced() {
    let site = Site::with(|config| config.deadlines.answer = Duration::from_millis(150));
    let slow: Vec<_> = (0..4)
        .map(|_| {
            let mut stream = site.connect();
            stream.write_all(get("/api/v1/stats?do=sleep", "").as_bytes()).unwrap();
            stream
        })
        .collect();
    for mut stream in slow {
        let answer = rest(&mut stream);
        assert!(status_of(&answer) == 503 && answer.contains("no_answer"), "{answer}");
    }
    thread::sleep(Duration::from_millis(350));
    for _ in 0..8 {
        let answer = site.send(get("/api/v1/stats", ""));
        assert_eq!(status_of(&answer), 200, "{answer}");
    }
}

#[test]
fn a_reader_that_drips_is_cut_at_the_deadline() {
    let site = Site::new();
    let mut stream = site.connect();
    rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 16 * 1024).unwrap();
    stream.write_all(get("/e?do=large", "").as_bytes()).unwrap();
    let mut piece = vec![0; 16 * 1024];
    let mut received = 0;
    while let Ok(n @ 1..) = stream.read(&mut piece) {
        received += n;
        thread::sleep(Duration::from_millis(4));
    }
    assert!(received > 16 * 1024 && received < 8 << 20, "{received} bytes came");
}

/// Four reports that never end would otherwise keep all others out.
#[test]
fn a_report_ends_at_its_deadline_and_with_its_client() {
    let site = Site::with(|config| config.deadlines.report = Duration::from_millis(600));
    let toil = "GET /api/v1/events?do=toil HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let begin = Instant::now();
    let told = site.send(toil);
    assert!(status_of(&told) == 503 && told.contains("too_long"), "{told}");
    assert!(begin.elapsed() >= Duration::from_millis(600));
    let site = Site::with(|config| config.deadlines.report = Duration::from_secs(60));
    for _ in 0..8 {
        let mut stream = site.connect();
        stream.write_all(toil.as_bytes()).unwrap();
        thread::sleep(Duration::from_millis(20));
    }
    let begin = Instant::now();
    while site.echo.given_up.load(Ordering::SeqCst) < 4 {
        assert!(begin.elapsed() < Duration::from_secs(5), "clients have gone and their reports go on");
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(site.status(toil.replace("toil", "nothing")), 200);
}
