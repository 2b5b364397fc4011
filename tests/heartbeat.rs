//! A project whose events stay away for much longer than is usual for it is silent.

use whodid::app::App;
use whodid::model::{Millis, Record, RecordKind};

use crate::support::{Server, run};

const HOUR: Millis = 3_600_000;

/// Whether a store with events so many hours ago is silent, and the longest pause before, in hours.
fn silent(hours: &[Millis]) -> Option<Millis> {
    let dir = tempfile::tempdir().unwrap();
    let app = App::open(dir.path()).unwrap();
    assert_eq!(app.heartbeat().unwrap(), None, "nothing ever came");
    let now = app.now();
    let event = |hours: &Millis| Record {
        kind: RecordKind::Event,
        identity: "a".to_owned(),
        name: format!("E{}", hours % 3),
        time: Some(now - hours * HOUR - HOUR / 2),
        properties: Vec::new(),
        id: None,
    };
    let (old, new) = hours.split_at(hours.len() / 2);
    app.engine().write(old.iter().map(event).collect()).unwrap();
    // Half of them lie in a file.
    app.engine().flush().unwrap();
    app.engine().write(new.iter().map(event).collect()).unwrap();
    let beat = app.heartbeat().unwrap().unwrap();
    assert_eq!(app.heartbeat().unwrap().unwrap().silent, beat.silent, "what is known is the same");
    let least = hours.iter().min().unwrap() * HOUR + HOUR / 2;
    assert!((least..least + 60_000).contains(&beat.age), "{beat:?}");
    beat.silent.map(|pause| pause / HOUR)
}

#[test]
fn silence_is_twice_the_longest_pause_and_two_hours() {
    let every_hour = |from: Millis| (from..from + 100).collect::<Vec<_>>();
    assert_eq!(silent(&every_hour(0)), None);
    assert_eq!(silent(&every_hour(1)), None, "an hour and a half is no silence");
    assert_eq!(silent(&every_hour(2)), Some(1));
    // By day only: a night is usual.
    let by_day =
        |from: Millis| (0..20).flat_map(|day| (0..12).map(move |h| from + day * 24 + h)).collect::<Vec<_>>();
    assert_eq!(silent(&by_day(12)), None);
    assert_eq!(silent(&by_day(25)), None);
    assert_eq!(silent(&by_day(26)), Some(13));
    // What was longer ago than four weeks says nothing.
    assert_eq!(silent(&[3, 4, 28 * 24 + 5, 28 * 24 + 6]), Some(1));
    assert_eq!(silent(&[3, 4, 27 * 24]), None);
    assert_eq!(silent(&[5]), Some(0));
}

#[test]
fn the_overview_and_the_metrics_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("store");
    let line = b"{\"type\":\"event\",\"person\":\"a\",\"event\":\"Did\",\"time\":\"2025-03-01T10:00:00Z\"}\n";
    assert!(run(&data, &["import"], line).status.success());
    let server = Server::start(&data);
    let metrics = || server.client().get("/metrics").text();
    assert!(metrics().contains("whodid_silent{project=\"1\"} 1\n"), "{}", metrics());
    server.import("{\"type\":\"event\",\"person\":\"a\",\"event\":\"Did\"}\n");
    let text = metrics();
    assert!(text.contains("whodid_silent{project=\"1\"} 0\n"), "{text}");
    let age = text
        .lines()
        .find_map(|line| line.strip_prefix("whodid_last_event_age_seconds{project=\"1\"} "))
        .unwrap();
    assert!(age.parse::<f64>().unwrap() < 10.0, "{age}");
}
