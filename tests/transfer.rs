//! Files in and out: rejected lines that can be mended, imports that are interrupted and go on, and exports that give the same
//! answers once they are imported.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;

use crate::support::{run, sorted_lines, sorted_records, whodid};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn counts(output: &Output) -> Vec<u64> {
    let text = text(&output.stdout);
    text.split(|c: char| !c.is_ascii_digit()).filter(|n| !n.is_empty()).map(|n| n.parse().unwrap()).collect()
}

fn stats(data: &Path) -> Json {
    serde_json::from_slice(&run(data, &["stats", "--json"], b"").stdout).unwrap()
}

#[test]
fn rejected_lines_are_written_down_mended_and_imported() {
    let dir = tempfile::tempdir().unwrap();
    let good = r#"{"type":"event","person":"a","event":"x","time":1740823200}"#;
    let long = format!("{{\"type\":\"{}\"}}", "y".repeat(5 << 20));
    let cases = [
        (
            "a.ndjson",
            format!("{good}\n  {{\"type\":\"event\",\"person\":\"\u{e9}\",\"event\":\"\"}}\n\n{long}\nnonsense \"\\\r\n{good}\n"),
            vec![
                (2, "bad_event", Some("{\"type\":\"event\",\"person\":\"\u{e9}\",\"event\":\"\"}")),
                (4, "line_too_long", None),
                (5, "bad_json", Some("nonsense \"\\")),
            ],
            [1, 1, 3],
        ),
        (
            "b.csv",
            "Identity,Timestamp,Event,Note\r\nb,1740823200,x,\"two\nlines\"\r\nb,soon,x,\"also \"\"two\"\"\nlines\"\r\n,1740823200,x,\r\n".to_owned(),
            vec![
                (4, "bad_time", Some("b,soon,x,\"also \"\"two\"\"\nlines\"")),
                (6, "bad_identity", Some(",1740823200,x,")),
            ],
            [1, 0, 2],
        ),
        (
            "c.json",
            "{\"_p\":\"c\",\"_n\":\"x\",\"_t\":1740823200}\n{\"_n\":\"caf\\303\\251\"}\n".to_owned(),
            vec![(2, "missing_field", Some("{\"_n\":\"caf\\303\\251\"}"))],
            [1, 0, 1],
        ),
    ];
    for (name, content, expected, sums) in cases {
        let (data, file, rejects) =
            (dir.path().join(format!("{name}.store")), dir.path().join(name), dir.path().join("rejects"));
        fs::write(&file, content).unwrap();
        let (file, rejects) = (file.to_str().unwrap(), rejects.to_str().unwrap());
        let output = run(&data, &["import", "--rejects", rejects, file], b"");
        assert_eq!((output.status.code(), &counts(&output)[..3]), (Some(3), &sums[..]), "{name}");
        let told = if sums[2] == 1 {
            "1 rejected line is".into()
        } else {
            format!("{} rejected lines are", sums[2])
        };
        assert!(
            text(&output.stderr).ends_with(&format!("{told} in {rejects}\n")),
            "{}",
            text(&output.stderr)
        );
        let written = fs::read_to_string(rejects).unwrap();
        let lines: Vec<Json> = written.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let found: Vec<_> = lines
            .iter()
            .map(|l| (l["line"].as_u64().unwrap(), l["code"].as_str().unwrap(), l["text"].as_str()))
            .collect();
        assert_eq!(found, expected, "{name}");
        assert!(lines.iter().all(|l| l["file"] == file && l["message"].is_string()));
        let overwrite = run(&data, &["import", "--rejects", file, file], b"");
        assert_eq!(overwrite.status.code(), Some(2), "{}", text(&overwrite.stderr));
    }
    // Mended as the document says.
    let data = dir.path().join("b.csv.store");
    let mended = "Identity,Timestamp,Event,Note\nb,1740823300,x,\"also \"\"two\"\"\nlines\"\n";
    let rejects = dir.path().join("none");
    let output = run(
        &data,
        &["import", "--format", "csv", "--rejects", rejects.to_str().unwrap(), "-"],
        mended.as_bytes(),
    );
    assert_eq!((output.status.code(), counts(&output)[0]), (Some(0), 1));
    assert_eq!((fs::read_to_string(rejects).unwrap(), text(&output.stderr)), (String::new(), String::new()));
}

/// Many records, a kilobyte each: most with a time, some with an id, some with neither, some with two identities; every thousandth
/// line is none. An import reads some 20 MB ahead of what is stored, so there have to be more.
fn many(count: u32) -> String {
    let mut lines = String::new();
    let pad = " ".repeat(1000);
    for n in 0..count {
        let time = 1_740_823_200 + n;
        lines.push_str(&match n % 10 {
            3 => format!("{{\"type\":\"event\",\"person\":\"p{}\",\"event\":\"Untimed\"}}\n", n % 70),
            5 => format!("{{\"type\":\"event\",\"person\":\"p{n}\",\"event\":\"Known\",\"id\":\"id-{n}\"}}\n"),
            7 => format!("{{\"type\":\"identify\",\"person\":\"a{n}\",\"identity\":\"p{n}\",\"time\":{time}}}\n"),
            9 if n % 1000 == 999 => "nonsense\n".to_owned(),
            _ => format!(
                "{{\"type\":\"event\",\"person\":\"p{}\",\"event\":\"Visited {}\",\"time\":{time},\"properties\":{{\"Page\":\"/{n}\"}}}}\n",
                n % 5000,
                n % 7
            ),
        });
        lines.insert_str(lines.len() - 1, &pad);
    }
    lines
}

/// Starts an import of `file` that writes a piece now and then, and waits until it has written some.
fn half_imported(data: &Path, file: &Path) -> Child {
    let mut command = whodid(data);
    command
        .args(["import", "--memory", "1MiB"])
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let begun = Instant::now();
    // The second segment begins when the first is durable.
    let mut segments = std::collections::BTreeSet::new();
    while segments.len() < 2 && child.try_wait().unwrap().is_none() {
        let files = fs::read_dir(data).into_iter().flatten().flatten().map(|file| file.file_name());
        segments.extend(files.filter(|name| name.to_string_lossy().starts_with("seg-")));
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing is stored");
        thread::sleep(Duration::from_millis(1));
    }
    child
}

/// Ends an import of `file` by a signal after some of its `total` records; its store, how many are there, and what it said. It may be
/// through before the signal comes, or not have anything durable; then another is tried.
fn ended_halfway(dir: &Path, file: &Path, signal: Signal, total: u64) -> (PathBuf, u64, Output) {
    for attempt in 0..20 {
        let data = dir.join(format!("{signal:?}-{attempt}"));
        let mut child = half_imported(&data, file);
        if child.try_wait().unwrap().is_none() {
            kill_process(Pid::from_child(&child), signal).unwrap();
        }
        let ended = child.wait_with_output().unwrap();
        let there = stats(&data)["records"].as_u64().unwrap();
        if there > 0 && there < total {
            return (data, there, ended);
        }
    }
    panic!("the import was always through before it could be interrupted");
}

/// What can be compared of a store: its counts, and the records that do not have the time of their import.
fn content(data: &Path) -> (Vec<u64>, Vec<String>) {
    let stats = stats(data);
    let counts = ["records", "people", "identities"].map(|name| stats[name].as_u64().unwrap());
    let lines = sorted_lines(&text(&run(data, &["export"], b"").stdout));
    (counts.to_vec(), lines.into_iter().filter(|l| !l.contains("Untimed") && !l.contains("Known")).collect())
}

/// Imports a file that takes longer than other commands on a busy machine.
fn import(data: &Path, file: &str) -> Output {
    whodid(data).args(["import", file]).output().unwrap()
}

#[test]
fn an_import_that_was_interrupted_goes_on_and_stores_nothing_twice() {
    const LINES: u32 = 100_000;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("many.ndjson");
    fs::write(&file, many(LINES)).unwrap();
    let path = file.to_str().unwrap();
    let whole = dir.path().join("whole");
    let rejected = u64::from(LINES) / 1000;
    let total = u64::from(LINES) - rejected;
    let output = import(&whole, path);
    assert_eq!((output.status.code(), counts(&output)[..3].to_vec()), (Some(3), vec![total, 0, rejected]));
    let expected = content(&whole);

    for signal in [Signal::KILL, Signal::INT] {
        let (data, there, ended) = ended_halfway(dir.path(), &file, signal, total);
        if signal == Signal::INT {
            assert_eq!(
                (ended.status.code(), counts(&ended)[0]),
                (Some(130), there),
                "what it says is what is there"
            );
            assert!(text(&ended.stderr).contains("give the same command again"), "{}", text(&ended.stderr));
        }
        let again = import(&data, path);
        assert_eq!(again.status.code(), Some(3), "{}", text(&again.stderr));
        assert_eq!(counts(&again)[..3], [total - there, there, rejected], "{signal:?}");
        // What was killed has a mark only if it was time for one.
        let marked = text(&again.stderr).contains("going on behind");
        assert!(marked || signal == Signal::KILL, "{}", text(&again.stderr));
        assert!(content(&data) == expected, "{signal:?}: another store");
        assert!(!data.join("imports.json").exists());
    }
    // An import that ended is no interrupted one: what has neither time nor id is new each time (S6).
    let untimed = u64::from(LINES) / 10;
    let again = import(&whole, path);
    assert_eq!(counts(&again)[..3], [untimed, total - untimed, rejected]);
}

#[test]
fn an_import_that_waits_for_input_can_be_interrupted() {
    use std::io::Write;
    let dir = tempfile::tempdir().unwrap();
    // Nothing shows when the line was read; on a busy machine it may take a while.
    for seconds in [1, 4, 16, 60] {
        let data = dir.path().join(format!("store-{seconds}"));
        let mut command = whodid(&data);
        command.args(["import", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"{\"type\":\"event\",\"person\":\"a\",\"event\":\"x\"}\n").unwrap();
        thread::sleep(Duration::from_secs(seconds));
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        let output = child.wait_with_output().unwrap();
        drop(stdin);
        if output.status.code() == Some(130) {
            let there = counts(&output)[0];
            assert_eq!(stats(&data)["records"].as_u64(), Some(there), "what it says is what is there");
            if there == 1 {
                return;
            }
        }
    }
    panic!("a line was never read");
}

/// A store with something of everything: kinds of values, ids, long numbers, merges, refused merges.
fn filled(data: &Path) {
    let generated =
        run(data, &["generate", "--people", "300", "--events", "3000", "--seed", "5"], b"").stdout;
    let own = concat!(
        r#"{"type":"event","person":"=jane","event":"'Paid","time":"2025-03-01T10:00:00.125Z","properties":{"Revenue":12345678901234567890.1234567,"a":true,"b":"\u00e9,\n\"","n":"007"},"id":"-1"}"#,
        "\n",
        r#"{"type":"event","person":"=jane","event":"'Paid","time":"2025-03-01T10:00:01Z","properties":{},"id":"o-2"}"#,
        "\n",
        r#"{"type":"set","person":"=jane","time":"2025-03-01T10:00:00Z","properties":{"Plan":"Pro","Since":2020}}"#,
        "\n",
        r#"{"type":"identify","person":"anon","identity":"=jane","time":"2025-03-01T10:00:00Z"}"#,
        "\n",
        r#"{"type":"identify","person":"x","identity":"ben","time":"2025-03-01T10:00:01Z"}"#,
        "\n",
        r#"{"type":"identify","person":"ben","identity":"=jane","time":"2025-03-01T10:00:02Z"}"#,
        "\n",
    );
    let input = [generated, own.as_bytes().to_vec()].concat();
    assert_eq!(run(data, &["import", "-"], &input).status.code(), Some(0));
    // What an operator decides is kept as well.
    for decided in [&["merge", "ben", "=jane"][..], &["unmerge", "anon"], &["merge", "anon", "x"]] {
        assert_eq!(run(data, decided, b"").status.code(), Some(0), "{decided:?}");
    }
}

/// Lists in an order that says nothing: people come in the order in which a store met them.
fn unordered(json: &mut Json) {
    if let Json::Object(fields) = json {
        for (name, value) in fields {
            unordered(value);
            if let ("people", Json::Array(list)) = (name.as_str(), value) {
                list.iter_mut().for_each(unordered);
                list.sort_by_key(Json::to_string);
            }
        }
    }
}

/// The answers of reports of all kinds, without what differs between two askings.
fn answers(data: &Path) -> Vec<Json> {
    let asked: [&[&str]; 8] = [
        &[
            "funnel",
            "--step",
            "Visited Pricing Page",
            "--step",
            "Signed Up",
            "--step",
            "Purchased",
            "--by",
            "first:person.Campaign Source",
        ],
        &["cohort", "--start", "Signed Up", "--return", "Logged In", "--bucket", "week"],
        &["revenue", "--lifetime"],
        &[
            "trend",
            "--series",
            "Purchased",
            "--measure",
            "sum",
            "--property",
            "Revenue",
            "--by",
            "event.Plan",
        ],
        &["paths", "--start", "Signed Up", "--events", "4"],
        &["lifecycle", "--unit", "month"],
        &["people", "--people", r#"{"did":"Logged In","at_least":3}"#, "--limit", "1000"],
        &["person", "anon"],
    ];
    asked
        .iter()
        .map(|arguments| {
            let at: &[&str] = if arguments[0] == "person" {
                &["--json"]
            } else {
                &["--as-of", "2026-02-01T00:00:00Z", "--json"]
            };
            let output = run(data, &[arguments, at].concat(), b"");
            assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
            let mut answer: Json = serde_json::from_slice(&output.stdout).unwrap();
            if let Some(answer) = answer.as_object_mut() {
                answer.remove("elapsed_ms");
            }
            unordered(&mut answer);
            answer
        })
        .collect()
}

/// Whether Python can read Parquet here.
fn has_pyarrow() -> bool {
    let there = std::process::Command::new("python3")
        .args(["-c", "import pyarrow.parquet"])
        .stderr(Stdio::null())
        .status();
    let there = there.is_ok_and(|status| status.success());
    if !there {
        eprintln!(
            "SKIPPED: python3 has no pyarrow here, so no Parquet file was read back; pip install pyarrow"
        );
    }
    there
}

/// Prints the rows of a Parquet file as lines of `import`, and fails if a column is not what it should be.
const ROWS: &str = r#"
import json, sys
import pyarrow.parquet as parquet
file = parquet.ParquetFile(sys.argv[1])
fields = [(f.name, str(f.type).replace("extension<arrow.json>", "string"), f.nullable) for f in file.schema_arrow]
assert fields == [("type", "string", False), ("person", "string", False), ("event", "string", True), ("identity", "string", True),
                  ("time", "timestamp[ms, tz=UTC]", False), ("properties", "string", True), ("id", "string", True)], fields
for batch in file.iter_batches(500):
    for row in batch.to_pylist():
        parts = [json.dumps(k) + ":" + json.dumps(v) for k, v in row.items() if v is not None and k not in ("time", "properties")]
        parts.append('"time":' + json.dumps(row["time"].isoformat()))
        if row["properties"] is not None:
            parts.append('"properties":' + row["properties"])
        print("{" + ",".join(parts) + "}")
"#;

#[test]
fn what_is_exported_gives_the_same_answers_once_it_is_imported() {
    let dir = tempfile::tempdir().unwrap();
    let first = dir.path().join("first");
    filled(&first);
    let (expected, lines) = (answers(&first), sorted_lines(&text(&run(&first, &["export"], b"").stdout)));
    let records = sorted_records(&lines.join("\n"));
    assert!(lines.len() >= records.len() + 3);
    assert!(
        lines.len() > 3000 && expected.iter().all(|answer| answer.as_object().is_some_and(|a| !a.is_empty()))
    );
    for (form, name) in [("ndjson", "all.ndjson.gz"), ("csv", "all.csv"), ("parquet", "all.parquet")] {
        let path = dir.path().join(name);
        let file = path.to_str().unwrap();
        let output = run(&first, &["export", "--format", form, "--out", file], b"");
        assert_eq!(
            (output.status.code(), text(&output.stderr)),
            (Some(0), format!("{} records\n", whodid::model::thousands(records.len() as u64)))
        );
        let second = dir.path().join(form);
        let output = if form == "parquet" {
            if !has_pyarrow() {
                continue;
            }
            let rows = std::process::Command::new("python3").args(["-c", ROWS, file]).output().unwrap();
            assert!(rows.status.success(), "{}", text(&rows.stderr));
            run(&second, &["import", "-"], &rows.stdout)
        } else {
            run(&second, &["import", file], b"")
        };
        let again = text(&run(&second, &["export"], b"").stdout);
        if form == "parquet" {
            // A table for others, of records alone.
            assert_eq!(counts(&output)[..3], [records.len() as u64, 0, 0], "{}", text(&output.stderr));
            assert!(sorted_records(&again) == records);
            continue;
        }
        assert_eq!(counts(&output)[..3], [lines.len() as u64, 0, 0], "{form}: {}", text(&output.stderr));
        assert!(sorted_lines(&again) == lines, "{form}: other lines");
        for (answer, expected) in answers(&second).iter().zip(&expected) {
            assert_eq!(answer, expected, "{form}");
        }
    }
}
