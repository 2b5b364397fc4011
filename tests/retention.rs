//! Events that are older than they are kept leave answers and files; what is known of people stays.

use std::collections::BTreeMap;
use std::sync::Arc;

use whodid::disk::{RealVfs, Vfs};
use whodid::model::{Record, RecordKind, Value};
use whodid::testing::random::NOW;

use crate::store_check::open_with;
use crate::support::{Server, run};

const DAY: i64 = 86_400_000;

fn record(kind: RecordKind, name: &str, days: i64, value: &str) -> Record {
    let properties =
        if kind == RecordKind::Identify { Vec::new() } else { vec![("V".into(), Value::Text(value.into()))] };
    let (identity, name) = (format!("p{}", days % 5), name.to_owned());
    Record { kind, identity, name, time: Some(NOW - days * DAY - 1), properties, id: None }
}

#[test]
fn old_events_leave_answers_and_files() {
    let dir = tempfile::tempdir().unwrap();
    let vfs: Arc<dyn Vfs> = Arc::new(RealVfs::new(dir.path()).unwrap());
    let engine = open_with(&vfs, 10_000).unwrap();
    for days in 0..100 {
        engine
            .write(vec![
                record(RecordKind::Event, "Seen", days, &format!("seen-{days}-end")),
                record(RecordKind::Event, "Bought", days, "b"),
                record(RecordKind::Set, "", days, &format!("set-{days}-end")),
                record(RecordKind::Identify, &format!("p{}@example.com", days % 5), days, ""),
            ])
            .unwrap();
        if days == 50 {
            engine.flush().unwrap();
        }
    }
    let (rows, people) = (engine.snapshot().rows(), engine.snapshot().persons.persons());
    assert_eq!((rows, people), (400, 5));
    let of = |name: &str| engine.snapshot().rows_of(engine.snapshot().event(name).unwrap());
    let by_name = BTreeMap::from([("Bought".to_owned(), NOW - 80 * DAY), ("Nothing".to_owned(), NOW)]);
    // Too little to write anything anew.
    assert_eq!(engine.expire(Some(NOW - 98 * DAY), &BTreeMap::new(), 5 * DAY).unwrap(), 0);
    assert_eq!(engine.expire(Some(NOW - 30 * DAY), &by_name, DAY).unwrap(), 70 + 20);
    assert_eq!((of("Seen"), of("Bought"), engine.snapshot().rows()), (30, 80, 310));
    assert_eq!(engine.expire(Some(NOW - 30 * DAY), &by_name, 0).unwrap(), 0, "all is done");
    assert_eq!(engine.snapshot().persons.persons(), people);
    engine.close().unwrap();
    let files: Vec<Vec<u8>> = vfs.list().unwrap().iter().map(|f| vfs.open(f).unwrap().to_vec()).collect();
    let found = |text: &str| files.iter().any(|f| f.windows(text.len()).any(|w| w == text.as_bytes()));
    assert!(!found("seen-30-end") && !found("seen-99-end") && found("seen-29-end") && found("set-99-end"));
    let engine = open_with(&vfs, 10_000).unwrap();
    assert!(engine.snapshot().rows() == 310 && engine.check().is_empty());
}

#[test]
fn retention_is_said_on_the_command_line_and_over_http() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("store");
    let old = "{\"type\":\"event\",\"person\":\"a\",\"event\":\"Seen\",\"time\":\"2020-03-01T10:00:00Z\"}\n\
               {\"type\":\"event\",\"person\":\"a\",\"event\":\"Bought\",\"time\":\"2020-03-01T10:00:00Z\"}\n\
               {\"type\":\"event\",\"person\":\"a\",\"event\":\"Seen\"}\n";
    assert!(run(&data, &["import"], old.as_bytes()).status.success());
    let said = |arguments: &[&str]| {
        let output = run(&data, &[&["retention"], arguments].concat(), b"");
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(said(&[]), (Some(0), "events are kept for ever\n".to_owned()));
    assert_eq!(said(&["--days", "x"]).0, Some(2));
    // Nobody at a terminal to ask is a no.
    let keep = ["--days", "30", "--event", "Bought=forever"];
    let asked = run(&data, &[&["retention"], &keep[..]].concat(), b"yes\n");
    let text = String::from_utf8(asked.stderr).unwrap();
    assert_eq!((asked.status.code(), asked.stdout.as_slice()), (Some(2), b"".as_slice()), "{text}");
    assert!(
        text.starts_with("events are kept 30 days\nBought: for ever\n1 event is older and goes for good;"),
        "{text}"
    );
    assert!(text.contains("nothing was changed (say --yes to do it)"), "{text}");
    assert_eq!(said(&[]).1, "events are kept for ever\n");
    assert_eq!(said(&["--days", "9000"]).1, "events are kept 9,000 days\n0 events were older and are gone\n");
    let told = said(&[&keep[..], &["--yes"]].concat()).1;
    assert_eq!(told, "events are kept 30 days\nBought: for ever\n1 event was older and is gone\n");
    let server = Server::start(&data);
    assert_eq!(server.get("/api/v1/retention")["days"], 30);
    let put = |body: &str| {
        server.client().send("PUT", "/api/v1/retention", &[crate::support::authorized()], body.as_bytes())
    };
    assert_eq!(put("{\"days\":0}").status, 422);
    assert_eq!(put("{\"days\":60}").json()["removed"], 1);
    assert_eq!(server.get("/api/v1/stats")["records"], 1);
    server.stop();
}
