//! The refusals of `docs/http-api.md`: each listed one is met, and none is met that is not listed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::support::{API_KEY, Server, WRITE_KEY, authorized};

/// Where records are read and checked.
const READERS: [&str; 11] = [
    "src/model/depth.rs",
    "src/model/record.rs",
    "src/model/value.rs",
    "src/transfer/csv.rs",
    "src/transfer/kissmetrics.rs",
    "src/transfer/lines.rs",
    "src/transfer/ndjson.rs",
    "src/transfer/segment.rs",
    "src/http/collect.rs",
    "src/http/auth.rs",
    "src/engine/state.rs",
];
/// Errors of these files that are no refusal of a record: of a whole import, of the server, of a login.
const OTHERS: [&str; 5] = ["bad_input", "bad_line_ends", "bad_mapping", "no_person_column", "no_randomness"];
/// What the front gives itself, before anything is read.
const FRONT: [&str; 5] =
    ["target_too_long", "content_encoding", "bad_request", "head_too_long", "too_many_headers"];
/// Takes 65,535 names to be met; its test is in the engine.
const NOT_MET: &str = "too_many_names";

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The codes of the table: rows that begin with a code, of which a row can have several.
fn listed() -> BTreeSet<String> {
    let text = file("docs/http-api.md");
    let table = text.split("| refusal | why |").nth(1).expect("the table of refusals");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| row.split('|').nth(1).map(str::to_owned));
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// The codes that the readers can give.
fn written() -> BTreeSet<String> {
    let is_code = |text: &str| {
        let begin = text.split('_').next().unwrap_or("");
        let known =
            ["bad", "no", "missing", "unknown", "duplicate", "too", "line", "empty", "merge", "wrong"];
        text == "nobody"
            || (text.contains('_')
                && known.contains(&begin)
                && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'))
    };
    let mut found: BTreeSet<String> = [NOT_MET].into_iter().chain(FRONT).map(str::to_owned).collect();
    for path in READERS {
        let text = file(path);
        let code = text.split("\nmod tests {").next().unwrap_or("");
        let quoted = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .flat_map(|line| line.split('"').skip(1).step_by(2));
        found.extend(quoted.filter(|text| is_code(text)).map(str::to_owned));
    }
    found.retain(|code| !OTHERS.contains(&code.as_str()));
    found
}

#[test]
fn the_refusals_of_the_document_are_those_of_the_code() {
    let listed = listed();
    assert_eq!(listed, written());
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    let mut client = server.client();
    let long = "x".repeat(300);
    let many: Vec<String> = (0..300).map(|n| format!("\"p{n}\":1")).collect();
    let lines = [
        r#"{"type":"event","person":" ","event":"x"}"#.to_owned(),
        format!(r#"{{"type":"event","person":"a","event":"{long}"}}"#),
        r#"{"type":"event","person":"a","event":"x","properties":{"":1}}"#.to_owned(),
        r#"{"type":"event","person":"a","event":"x","properties":{"p":[1]}}"#.to_owned(),
        r#"{"type":"event","person":"a","event":"x","properties":{"p":1234567890123456789012345678901}}"#
            .to_owned(),
        r#"{"type":"event","person":"a","event":"x","time":1}"#.to_owned(),
        r#"{"type":"event","person":"a","event":"x","id":""}"#.to_owned(),
        r#"{"type":"set","person":"a","properties":{}}"#.to_owned(),
        format!(r#"{{"type":"set","person":"a","properties":{{{}}}}}"#, many.join(",")),
        r#"{"type":"identify","person":"a","identity":"null"}"#.to_owned(),
        r#"{"type":"#.to_owned(),
        r#"{"type":"evnt","person":"a"}"#.to_owned(),
        r#"{"type":"event","person":"a"}"#.to_owned(),
        r#"{"type":"event","person":"a","event":"x","what":1}"#.to_owned(),
        r#"{"type":"event","person":"a","person":"a","event":"x"}"#.to_owned(),
        format!("{{\"x\":\"{}\"}}", "y".repeat(5 << 20)),
        r#"{"type":"identify","person":"a","identity":"b"}"#.to_owned(),
        r#"{"type":"identify","person":"c","identity":"d"}"#.to_owned(),
        r#"{"type":"identify","person":"b","identity":"d"}"#.to_owned(),
    ];
    server.import(&lines.join("\n"));
    let mut import = |format: &str, body: &[u8]| {
        let reply = client.send("POST", format!("/api/v1/import?format={format}"), &[authorized()], body);
        assert_eq!(reply.status, 200, "{}", reply.text());
    };
    import("ndjson", b"{\"type\":\"event\",\"person\":\"\xff\",\"event\":\"x\"}");
    import("csv", b"person,event\na,\na,b,c\n");
    let form = |key: &str| format!("/e?_k={key}&_p=a&_n=b");
    let mut client = server.client();
    client.send("GET", "/e?_p=a&_n=b", &[], b"");
    client.send("GET", form("stranger"), &[], b"");
    client.send("GET", form(API_KEY), &[], b"");
    client.send("POST", form(WRITE_KEY), &[("Content-Type", "multipart/form-data; boundary=x")], b"{}");
    let bomb = {
        use std::io::Write;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&vec![b' '; (20 << 20) + 1]).unwrap();
        gzip.finish().unwrap()
    };
    client.send("POST", format!("/v1/batch?writeKey={WRITE_KEY}"), &[], &bomb);
    let tiny = format!("[1{}]", ",1".repeat(200_000));
    client.send("POST", format!("/v1/batch?writeKey={WRITE_KEY}"), &[], tiny.as_bytes());
    let (open, close) = ("{\"a\":".repeat(100), "}".repeat(100));
    let deep = format!("{{\"userId\":\"u\",\"event\":\"A\",\"properties\":{open}1{close}}}");
    client.send("POST", format!("/v1/track?writeKey={WRITE_KEY}"), &[], deep.as_bytes());
    let counts = || -> BTreeMap<String, u64> {
        serde_json::from_value(server.get("/api/v1/refusals")["counts"].clone()).unwrap()
    };
    let before = counts();
    let large = vec![b'x'; (1 << 20) + 1];
    for (path, headers, body, status) in [
        (form(WRITE_KEY), &[][..], &large[..], 413),
        (form(WRITE_KEY), &[("Content-Encoding", "gzip")], b"x", 415),
        (format!("{}&_d={}", form(WRITE_KEY), "x".repeat(9000)), &[], b"", 414),
        (format!("{}&_d={}", form(WRITE_KEY), "x".repeat(20_000)), &[], b"", 414),
        (format!("/v1/batch?writeKey={WRITE_KEY}"), &[], &large, 413),
    ] {
        let mut client = server.client();
        assert_eq!(client.send("POST", &path, headers, body).status, status, "{}", &path[..20]);
    }
    for (rest, headers, status) in [
        ("&Plan=Pro Annual", String::new(), 400),
        ("", format!("X: {}\r\n", "x".repeat(20_000)), 431),
        ("", "X: y\r\n".repeat(101), 431),
    ] {
        let mut client = server.client();
        let target = format!("{}{rest}", form(WRITE_KEY));
        client.write(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").as_bytes());
        assert_eq!(client.reply(false).unwrap().status, status, "{rest}");
    }
    let counts = counts();
    let more = |code: &str| counts[code] - before.get(code).copied().unwrap_or(0);
    assert_eq!((more("too_large"), more("content_encoding"), more("target_too_long")), (2, 1, 2));
    let latest = &server.get("/api/v1/refusals")["refusals"][7];
    assert_eq!((latest["identity"].as_str(), latest["name"].as_str()), (Some("a"), Some("b")));
    let mut met: BTreeSet<String> = counts.into_keys().collect();
    met.insert(NOT_MET.to_owned());
    assert_eq!(met, listed);
}
