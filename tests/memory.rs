//! A server with a budget of memory stays within it, whatever comes in and is asked, and says so.

use crate::histories::number;
use crate::support::{API_KEY, Server, WRITE_KEY, run, whodid};

/// Lines of events: of many people, names and values, so that everything that may be kept is.
fn lines(from: u64, count: u64) -> String {
    let line = |n: u64| {
        format!(
            "{{\"type\":\"event\",\"person\":\"p{}\",\"event\":\"Did {}\",\"time\":{},\"properties\":{{\"Amount\":{},\"Text\":\"{:060}\"}}}}\n\
             {{\"type\":\"set\",\"person\":\"p{}\",\"time\":{},\"properties\":{{\"Plan\":\"{}\"}}}}\n",
            n * 7919 % 100_000,
            n % 9,
            1_740_787_200 + n,
            n % 1000,
            n % 5000,
            n * 104_729 % 100_000,
            1_740_787_200 + n,
            n % 1000
        )
    };
    (from..from + count).map(line).collect()
}

fn metric(server: &Server, name: &str) -> u64 {
    let text = server.client().get("/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("whodid_{name} "))).unwrap();
    line.parse::<f64>().unwrap() as u64
}

#[test]
fn a_budget_of_memory_holds() {
    let (mib, records) = (number("WHODID_MEMORY_MIB", 256), number("WHODID_MEMORY_RECORDS", 200_000));
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("store");
    let variables = [
        ("WHODID_API_KEY", API_KEY),
        ("WHODID_WRITE_KEY", WRITE_KEY),
        ("WHODID_MEMORY", &format!("{mib}MiB")),
    ];
    let (server, _) = Server::start_with(&data, &variables);
    // Three memtables in 7 of 32 parts of what is divided, and one group.
    let rows_most = ((mib - 64) << 20) / 32 * 7 / 600 + 64 * 1024;
    let mut most = 0;
    for from in (0..records / 2).step_by(10_000) {
        server.import(&lines(from, 10_000));
        most = most.max(server.memory_own());
        assert!(metric(&server, "memory_rows") <= rows_most, "flushed in time");
    }
    let mut patience = 100;
    while metric(&server, "flushes_total") == 0 {
        patience -= 1;
        assert!(patience > 0, "nothing was flushed");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    for _ in 0..2 {
        for (report, query) in [
            (
                "funnel",
                r#"{"steps":[{"event":"Did 1"},{"event":"Did 2"},{"event":"Did 3"}],"by":"person.Plan"}"#,
            ),
            ("cohort", r#"{"start":{"event":"Did 1"},"return":{"event":"Did 2"},"cohort":"day","count":10}"#),
            (
                "trend",
                r#"{"series":[{"event":"Did 4","measure":"sum","property":"Amount"}],"by":"event.Text"}"#,
            ),
            ("paths", r#"{"start":{"event":"Did 5"},"events":5}"#),
            ("revenue", r#"{"property":"Amount","unit":"day","by":"person.Plan"}"#),
            ("lifecycle", r#"{"unit":"day"}"#),
            ("people", r#"{"people":{"did":"Did 6"},"columns":["person.Plan"],"limit":10000}"#),
        ] {
            let reply = server.post(&format!("/api/v1/{report}"), query);
            assert_eq!(reply.status, 200, "{report}: {}", reply.text());
            most = most.max(server.memory_own());
        }
    }
    println!("{} MiB at most of {mib}", most >> 20);
    assert!(most <= mib << 20, "{} MiB", most >> 20);
    assert_eq!(metric(&server, "memory_budget_bytes"), mib << 20);
    assert!(metric(&server, "memory_own_bytes") > 1 << 20);
    assert!(metric(&server, "cached_bytes") <= (mib << 20) / 4);
    server.stop();
}

#[test]
fn a_budget_that_is_too_small_is_refused_with_what_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("store");
    let output = run(&data, &["serve", "--listen", "127.0.0.1:0", "--memory", "100MiB"], b"");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("at least 256 MiB are needed"), "{said}");
    let doctor = |memory: &str| {
        let output = whodid(&data)
            .args(["doctor", "--listen", "127.0.0.1:0"])
            .env("WHODID_MEMORY", memory)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().find(|line| line.contains(" memory ")).unwrap().to_owned()
    };
    assert!(doctor("300MiB").contains("a budget of 300 MiB: 29 MiB of decoded rows"), "{}", doctor("300MiB"));
    assert!(doctor("64MiB").starts_with("FAILED"), "{}", doctor("64MiB"));
}
