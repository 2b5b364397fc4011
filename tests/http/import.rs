//! Records in bulk: whole, in pieces, compressed, broken.

use std::io::Write;

use serde_json::json;

use super::{STEPS, fresh, funnel, history, people};
use crate::support::{Server, WRITE_KEY, authorized};

const IMPORT: &str = "/api/v1/import";

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn event(person: &str) -> String {
    format!(
        "{{\"type\":\"event\",\"person\":\"{person}\",\"event\":\"x\",\"time\":\"2025-03-01T10:00:00Z\"}}"
    )
}

#[test]
fn the_same_records_come_in_whatever_way_they_are_sent() {
    let (_dir, server) = fresh();
    let mut client = server.client();
    let text = history();
    let first = server.import(&text);
    assert_eq!((&first["accepted"], &first["rejected"]), (&165.into(), &0.into()), "{first}");
    let coded = [authorized(), ("Content-Encoding", "gzip")];
    let packed = gzip(&text);
    let pieces: Vec<&[u8]> = text.as_bytes().chunks(97).collect();
    let packed_pieces: Vec<&[u8]> = packed.chunks(11).collect();
    for reply in [
        client.send("POST", IMPORT, &[authorized()], text.replace('\n', "\r\n").as_bytes()),
        client.send("POST", IMPORT, &coded, &packed),
        client.send("POST", IMPORT, &[authorized()], &packed),
        client.send_chunked(IMPORT, &[authorized()], &pieces),
        client.send_chunked(IMPORT, &coded, &packed_pieces),
    ] {
        assert_eq!(reply.status, 200, "{}", reply.text());
        let counts = reply.json();
        assert_eq!((&counts["accepted"], &counts["duplicates"]), (&0.into(), &165.into()), "{counts}");
    }
    assert_eq!(server.get("/api/v1/stats")["records"], 165);
    assert_eq!(people(&funnel(&server, &format!("{{{STEPS}}}"))), [60, 30, 15]);
}

#[test]
fn ids_make_records_without_time_repeatable() {
    let (_dir, server) = fresh();
    let line = r#"{"type":"event","person":"a","event":"x","id":"order-1"}"#;
    assert_eq!(server.import(line)["accepted"], 1);
    assert_eq!(server.import(&format!("{line}\n{line}\n"))["duplicates"], 2);
    let plain = r#"{"type":"event","person":"a","event":"x"}"#;
    assert_eq!(server.import(&format!("{plain}\n{plain}\n"))["accepted"], 2);
}

#[test]
fn bad_lines_are_told_by_number_and_cost_no_good_one() {
    let (_dir, server) = fresh();
    let huge = format!("{{\"person\":\"{}\"}}", "x".repeat(5 << 20));
    let deep = format!("{{\"type\":\"set\",\"person\":\"a\",\"properties\":{{\"a\":{}", "[".repeat(100_000));
    let lines = [
        event("one"),
        "{".into(),
        String::new(),
        "null".into(),
        event("two").replace("2025", "1999"),
        huge,
        event("three"),
        r#"{"type":"event","person":"a","event":"x","tiem":1}"#.into(),
        deep,
        r#"{"type":"identify","person":"a","identity":"undefined"}"#.into(),
        "\u{1}\u{2}".into(),
        event("four"),
    ];
    let counts = server.import(&lines.join("\r\n"));
    assert_eq!((&counts["accepted"], &counts["rejected"]), (&3.into(), &8.into()), "{counts}");
    let errors = counts["errors"].as_array().unwrap();
    let told: Vec<(u64, &str)> =
        errors.iter().map(|e| (e["line"].as_u64().unwrap(), e["code"].as_str().unwrap())).collect();
    let expected = [
        (2, "bad_json"),
        (4, "bad_type"),
        (5, "bad_time"),
        (6, "line_too_long"),
        (8, "unknown_field"),
        (9, "bad_json"),
        (10, "nobody"),
        (11, "bad_json"),
    ];
    assert_eq!(told, expected);
    assert!(errors.iter().all(|e| !e["message"].as_str().unwrap().is_empty()));
    for person in ["one", "three", "four"] {
        assert_eq!(server.get(&format!("/api/v1/people/{person}"))["events"], 1);
    }
    let many = "bad\n".repeat(250);
    let counts = server.import(&many);
    assert_eq!((&counts["rejected"], counts["errors"].as_array().unwrap().len()), (&250.into(), 100));
}

#[test]
fn a_body_cut_short_is_no_success_and_what_came_whole_stays() {
    let (_dir, server) = fresh();
    let line = event("whole");
    for framing in [
        format!("Content-Length: {}\r\n\r\n{line}\n{{\"type\"", line.len() + 500),
        format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{line}\n\r\n", line.len() + 1),
        format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{line}\n\r\nnonsense\r\n", line.len() + 1),
    ] {
        let mut client = server.client();
        let mut bytes = client.head("POST", IMPORT.as_bytes(), &[authorized()]);
        bytes.extend_from_slice(framing.as_bytes());
        client.write(&bytes);
        client.end();
        if let Some(reply) = client.reply(false) {
            assert_eq!(reply.status, 400, "{}", reply.text());
        }
    }
    let mut client = server.client();
    let packed = gzip(&history());
    let cut = &packed[..packed.len() / 2];
    let coded = [authorized(), ("Content-Encoding", "gzip")];
    let reply = client.send("POST", IMPORT, &coded, cut);
    assert_eq!((reply.status, reply.code().as_str()), (400, "bad_input"));
    let reply = client.send("POST", IMPORT, &coded, b"no gzip at all");
    assert_eq!((reply.status, reply.code().as_str()), (400, "bad_input"));
    assert_eq!(server.get("/api/v1/people/whole")["events"], 1);
    // The connections that broke hold nothing that others need.
    assert_eq!(server.import(&event("after"))["accepted"], 1);
}

#[test]
fn either_key_imports_and_none_does_not() {
    let (_dir, server) = fresh();
    let mut client = server.client();
    let bearer = format!("Bearer {WRITE_KEY}");
    for (headers, status) in [
        (vec![authorized()], 200),
        (vec![("Authorization", bearer.as_str())], 200),
        (vec![], 401),
        (vec![("Authorization", "Bearer wrong")], 401),
        (vec![("Authorization", "")], 401),
    ] {
        let reply = client.send("POST", IMPORT, &headers, event("k").as_bytes());
        assert_eq!(reply.status, status, "{headers:?} {}", reply.text());
        if status == 401 {
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
            client = server.client();
        }
    }
}

#[test]
fn who_is_who_is_for_operators_to_say() {
    let (dir, server) = fresh();
    server.import(&[event("ann"), event("bob")].join("\n"));
    let lines = concat!(
        r#"{"type":"seen","person":"cy"}"#,
        "\n",
        r#"{"type":"merge","person":"ann","identity":"bob"}"#,
        "\n",
        r#"{"type":"unmerge","person":"cy"}"#,
        "\n",
        r#"{"type":"merge","person":"ann","identity":"nobody"}"#,
        "\n",
        r#"{"type":"merge","person":"ann"}"#,
        "\n",
    );
    let bearer = format!("Bearer {WRITE_KEY}");
    let refused =
        server.client().send("POST", IMPORT, &[("Authorization", &bearer)], lines.as_bytes()).json();
    assert_eq!((&refused["accepted"], &refused["rejected"]), (&json!(0), &json!(5)));
    assert!((0..4).all(|at| refused["errors"][at]["code"] == "bad_type"), "{refused}");
    assert_eq!(server.get("/api/v1/people/ann")["events"], 1);
    let made = server.import(lines);
    assert_eq!(
        (&made["accepted"], &made["duplicates"], &made["rejected"]),
        (&json!(2), &json!(1), &json!(2))
    );
    let codes =
        [&made["errors"][0], &made["errors"][1]].map(|error| (error["line"].clone(), error["code"].clone()));
    assert_eq!(codes, [(json!(5), json!("missing_field")), (json!(4), json!("unknown_person"))], "{made}");
    assert_eq!(server.get("/api/v1/people/ann")["identities"], json!(["ann", "bob"]));
    assert_eq!(server.get("/api/v1/people/cy")["events"], 0);
    // Once more, nothing is new; and it lasts.
    assert_eq!(server.import(lines)["duplicates"], 3);
    // All of one person.
    let export = |who: &str| server.client().get(&format!("/api/v1/export?person={who}"));
    assert_eq!((export("bob").text(), export("ann").status), (export("ann").text(), 200));
    assert_eq!(export("bob").text().lines().count(), 2);
    assert_eq!((export("dan").status, export("dan").code().as_str()), (404, "unknown_person"));
    let before = lines_in_order(&server);
    server.kill();
    let server = Server::start(&dir.path().join("store"));
    assert_eq!(lines_in_order(&server), before);
    assert_eq!(server.get("/api/v1/people/bob")["events"], 2);
}

#[test]
fn names_without_a_character_are_no_names() {
    let (_dir, server) = fresh();
    let known = r#"{"type":"event","person":"jane","event":"Signed Up","time":1740823100,"properties":{"Plan":"Free"}}"#;
    server.import(known);
    let before = server.get("/api/v1/stats");
    // The store's own names must not be met by them, now that it knows all others of these lines.
    for (line, code) in [
        (
            r#"{"type":"event","person":"jane","event":"","time":1740823200,"properties":{"Plan":"Pro"}}"#,
            "bad_event",
        ),
        (r#"{"type":"event","person":"jane","event":"","time":1740823200}"#, "bad_event"),
        (
            r#"{"type":"event","person":"jane","event":"Signed Up","time":1740823200,"properties":{"":1,"Plan":"Pro"}}"#,
            "bad_property",
        ),
        (
            r#"{"type":"event","person":"jane","event":"Signed Up","time":1740823200,"properties":{"":"order-1"}}"#,
            "bad_property",
        ),
        (r#"{"type":"set","person":"jane","time":1740823200,"properties":{"":1}}"#, "bad_property"),
    ] {
        let counts = server.import(line);
        assert_eq!((&counts["accepted"], &counts["rejected"]), (&0.into(), &1.into()), "{line}: {counts}");
        assert_eq!(counts["errors"][0]["code"], code, "{line}: {counts}");
    }
    let after = server.get("/api/v1/stats");
    assert_eq!((&after["events"], &after["sets"]), (&before["events"], &before["sets"]));
    assert_eq!(server.get("/api/v1/people/jane")["properties"], serde_json::json!({}));
}

#[test]
fn an_export_makes_the_same_store_again() {
    let (_dir, server) = fresh();
    server.import(&history());
    server.import(concat!(
        r#"{"type":"identify","person":"anon","identity":"person0@example.com","time":"2025-03-01T08:00:00Z"}"#,
        "\n",
        r#"{"type":"event","person":"anon","event":"Visited","time":"2025-02-27T08:00:00.125Z","id":"v-1","#,
        r#""properties":{"a":true,"b":"\u00e9\n\"","c":-0.001,"d":"0123"}}"#,
        "\n",
        r#"{"type":"identify","person":"anon2","identity":"person1@example.com","time":"2025-03-01T08:00:00Z"}"#,
        "\n",
        r#"{"type":"identify","person":"person0@example.com","identity":"person1@example.com","time":1740823200}"#,
    ));
    let records = server.export();
    assert_eq!(records.len(), 169);
    let (_second_dir, second) = fresh();
    let counts = second.import(&lines_in_order(&server));
    assert_eq!((&counts["accepted"], &counts["merges_refused"]), (&169.into(), &1.into()), "{counts}");
    assert_eq!(second.export(), records);
    let query = format!("{{{STEPS},\"by\":\"person.Plan\",\"within\":\"10d\",\"as_of\":\"2025-05-01\"}}");
    let (mut one, mut other) = (funnel(&server, &query), funnel(&second, &query));
    assert_eq!(people(&one), [60, 30, 15]);
    one["elapsed_ms"] = 0.into();
    other["elapsed_ms"] = 0.into();
    assert_eq!(one, other);
    assert_eq!(second.get("/api/v1/people/anon")["person"], "person0@example.com");
}

fn lines_in_order(server: &Server) -> String {
    server.client().get("/api/v1/export").text()
}

#[test]
fn an_export_has_the_form_that_was_asked_for() {
    let (_dir, server) = fresh();
    server.import(&history());
    let mut client = server.client();
    for (form, kind, begin, end) in [
        ("ndjson", "application/x-ndjson", &b"{\"type\":\""[..], &b"}\n"[..]),
        ("csv", "text/csv", b"type,person,event,identity,time,properties,id\n", b"\n"),
        ("parquet", "application/vnd.apache.parquet", b"PAR1", b"PAR1"),
    ] {
        let reply = client.get(&format!("/api/v1/export?format={form}"));
        assert_eq!((reply.status, reply.header("content-type")), (200, Some(kind)));
        assert!(reply.body.starts_with(begin) && reply.body.ends_with(end), "{form}: {}", reply.text());
        let name = reply.header("content-disposition").unwrap();
        assert!(name.starts_with("attachment; filename=\"whodid-export-20"), "{name}");
        assert!(name.ends_with(&format!(".{form}\"")), "{name}");
    }
    let person = client.get("/api/v1/export?person=person1%40example.com");
    let name = person.header("content-disposition").unwrap();
    assert!(name.starts_with("attachment; filename=\"whodid-person-person1-example-com-20"), "{name}");
    let refused = client.get("/api/v1/export?format=xml");
    assert_eq!((refused.status, refused.code().as_str()), (422, "bad_format"));
}
