//! The command line as people and scripts meet it: what it prints where, and with which code it ends.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::Value as Json;

use crate::support::{Server, run, sorted_lines, whodid};

pub struct Place {
    dir: tempfile::TempDir,
    pub data: PathBuf,
}

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("store");
        Self { dir, data }
    }

    /// One with the records of [`records`] in it.
    pub fn filled() -> Self {
        let place = Self::new();
        assert_eq!(code(&place.run_with(&["import"], records().as_bytes())), 0);
        place
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(arguments, b"")
    }

    pub fn run_with(&self, arguments: &[&str], input: &[u8]) -> Output {
        run(&self.data, arguments, input)
    }

    pub fn json(&self, arguments: &[&str]) -> Json {
        let output = self.run(arguments);
        assert_eq!(code(&output), 0, "{arguments:?}: {}", err(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub fn file(&self, name: &str, content: &[u8]) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

pub fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Twelve people: all visit, every second pays a day later; two plans.
pub fn records() -> String {
    let mut lines = String::new();
    for n in 0..12 {
        let plan = if n < 4 { "Pro" } else { "Free" };
        lines.push_str(&format!(
            "{{\"type\":\"set\",\"person\":\"p{n}\",\"time\":\"2025-03-01T08:00:00Z\",\"properties\":{{\"Plan\":\"{plan}\"}}}}\n\
             {{\"type\":\"event\",\"person\":\"p{n}\",\"event\":\"Visited\",\"time\":\"2025-03-01T10:00:00Z\"}}\n"
        ));
        if n % 2 == 0 {
            lines.push_str(&format!(
                "{{\"type\":\"event\",\"person\":\"p{n}\",\"event\":\"Paid\",\"time\":\"2025-03-02T10:00:00Z\",\"properties\":{{\"Revenue\":9.5}}}}\n"
            ));
        }
    }
    lines.push_str(
        "{\"type\":\"identify\",\"person\":\"anon\",\"identity\":\"p0\",\"time\":\"2025-03-01T07:00:00Z\"}\n",
    );
    lines
}

const RECORDS: usize = 31;

#[test]
fn import_takes_files_and_standard_input_and_tells_what_it_rejects() {
    let place = Place::new();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(records().as_bytes()).unwrap();
    let packed = place.file("packed.ndjson.gz", &gzip.finish().unwrap());
    let plain = place.file("plain.ndjson", records().replace('\n', "\r\n").as_bytes());
    let first = place.run(&["import", &packed]);
    assert_eq!(
        (code(&first), out(&first).as_str()),
        (0, "31 accepted, 0 duplicates, 0 rejected, 0 merges refused\n")
    );
    let again = place.json(&["import", "--json", &plain]);
    assert_eq!((&again["accepted"], &again["duplicates"]), (&0.into(), &31.into()));
    let bad = "{\"type\":\"event\",\"person\":\"a\",\"event\":\"\\u001b[31m\"}\n\nnonsense\n{\"type\":\"event\",\"person\":\"a\",\"event\":\"x\"}\n";
    let some = place.run_with(&["import", "-"], bad.as_bytes());
    assert_eq!(code(&some), 3);
    assert!(out(&some).starts_with("1 accepted, 0 duplicates, 2 rejected"), "{}", out(&some));
    let told = err(&some);
    assert!(told.contains("line 1: bad_event") && told.contains("line 3: bad_json"), "{told}");
    assert!(!told.contains('\u{1b}'), "hostile text stays text");
    let two = place.run(&["import", &plain, &place.file("bad.ndjson", b"x\n")]);
    assert_eq!(code(&two), 3);
    assert!(err(&two).contains("bad.ndjson: line 1: bad_json"), "{}", err(&two));
}

#[test]
fn import_that_cannot_be_done_says_why() {
    let place = Place::new();
    let cut = {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(records().repeat(50).as_bytes()).unwrap();
        let bytes = gzip.finish().unwrap();
        place.file("cut.gz", &bytes[..bytes.len() / 2])
    };
    let directory = place.dir.path().to_str().unwrap().to_owned();
    for (arguments, status, words) in [
        (vec!["import", "nothing.ndjson"], 1, "nothing.ndjson"),
        (vec!["import", &directory], 1, "directory"),
        (vec!["import", &cut], 1, "cut.gz"),
        (vec!["import", "x.csv"], 1, "cannot open x.csv"),
        (vec!["import", "--map", "person", "-"], 2, "--map person=Customer"),
        (vec!["export", "--format", "kissmetrics"], 2, "ndjson, csv, parquet"),
        (vec!["import", "--format", "xml"], 2, "xml"),
    ] {
        let output = place.run(&arguments);
        assert_eq!(code(&output), status, "{arguments:?}: {}", err(&output));
        assert!(err(&output).contains(words), "{arguments:?}: {}", err(&output));
    }
}

#[test]
fn a_funnel_takes_all_its_flags() {
    let place = Place::filled();
    let steps = ["funnel", "--step", "Visited", "--step", "Paid"];
    let people = |flags: &[&str]| {
        let answer = place.json(&[&steps[..], flags, &["--json"]].concat());
        let of = |step: &Json| step["people"].as_u64().unwrap();
        answer["steps"].as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(people(&[]), [12, 6]);
    for (flags, expected) in [
        (&["--within", "23h"][..], [12, 0]),
        (&["--within", "1d"], [12, 6]),
        (&["--order", "strict"], [12, 6]),
        (&["--order", "any"], [12, 6]),
        (&["--from", "2025-03-02"], [0, 0]),
        (&["--from", "2025-03-01", "--to", "2025-03-01"], [12, 6]),
        (&["--from", "2025-03-01", "--to", "2025-03-01", "--until", "to"], [12, 0]),
        (&["--to", "2025-02-28", "--tz", "Europe/Berlin"], [0, 0]),
        (&["--as-of", "2025-03-02T00:00:00Z"], [12, 0]),
        (&["--exclude", "Visited@1"], [12, 6]),
    ] {
        assert_eq!(people(flags), expected, "{flags:?}");
    }
    let by = place.json(&[&steps[..], &["--by", "person.Plan", "--limit", "1", "--json"]].concat());
    let segments = by["segments"].as_array().unwrap();
    assert_eq!((&segments[0]["value"], &segments[0]["steps"][0]["people"]), (&"Free".into(), &8.into()));
    assert_eq!((&segments[1]["other"], &segments[1]["steps"][0]["people"]), (&true.into(), &4.into()));
    let table = place.run(&steps);
    assert_eq!(code(&table), 0);
    assert!(out(&table).contains("Visited") && out(&table).contains("12") && !out(&table).contains('\u{1b}'));
    let query = r#"{"steps":[{"event":"Paid"},{"event":"Visited"}],"order":"any"}"#;
    for spec in [&place.file("query.json", query.as_bytes()), "-"] {
        let output = place.run_with(&["funnel", "--json", "--spec", spec], query.as_bytes());
        let answer: Json = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer["steps"][1]["people"], 6, "{answer}");
    }
}

#[test]
fn wrong_use_is_two_and_failure_is_one() {
    let place = Place::filled();
    let broken = place.file("broken.json", b"{\"steps\":");
    for (arguments, status, words) in [
        (&["funnel"][..], 2, "--step"),
        (&["funnel", "--step"], 2, "--step"),
        (&["funnel", "--step", "Visited", "--order", "sideways"], 2, "order"),
        (&["funnel", "--step", "Visited", "--within", "soon"], 2, "within"),
        (&["funnel", "--step", "Visited", "--from", "someday"], 2, "from"),
        (&["funnel", "--step", "Visited", "--by", "Plan"], 2, "by"),
        (&["funnel", "--step", "Visited", "--spec", "x"], 2, "--spec"),
        (&["funnel", "--spec", &broken], 2, "whodid: "),
        (&["funnel", "--spec", "nothing.json"], 1, "nothing.json"),
        (&["funel"], 2, "funnel"),
        (&["person", "stranger"], 1, "stranger"),
        (&["merge", "p0"], 2, "INTO"),
        (&["merge", "p0", "stranger"], 1, "stranger"),
        (&["merge", "anon", "p0"], 1, "one person already"),
        (&["unmerge", "p1"], 1, "only identity"),
        (&["export", "--format", "xml"], 2, "parquet"),
        (&["export", "--out", "/nowhere/at/all"], 1, "/nowhere/at/all"),
        (&["serve", "--listen", "here"], 2, "--listen"),
        (&["import", "no\nsuch"], 1, "no\\nsuch"),
    ] {
        let output = place.run(arguments);
        assert_eq!(code(&output), status, "{arguments:?}: {}", err(&output));
        assert!(err(&output).contains(words), "{arguments:?}: {}", err(&output));
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert_eq!(err(&output).lines().count(), 1, "{arguments:?}: {}", err(&output));
    }
}

#[test]
fn a_store_that_is_not_there_is_not_made() {
    let place = Place::new();
    for arguments in [
        &["stats"][..],
        &["events"],
        &["check"],
        &["compact"],
        &["export"],
        &["person", "a"],
        &["funnel", "--step", "a"],
        &["merge", "a", "b"],
        &["unmerge", "a"],
    ] {
        let output = place.run(arguments);
        assert_eq!(code(&output), 1, "{arguments:?}");
        let told = err(&output);
        assert!(told.contains("no store") && told.contains("--data"), "{arguments:?}: {told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(!place.data.exists(), "{arguments:?}");
    }
}

#[test]
fn events_people_and_sizes_are_told() {
    let place = Place::filled();
    let events = place.json(&["events", "--json"]);
    let paid = events["events"].as_array().unwrap().iter().find(|e| e["event"] == "Paid").unwrap();
    assert_eq!((&paid["count"], &paid["people"]), (&6.into(), &6.into()));
    assert!(out(&place.run(&["events"])).contains("Paid"));
    let person = place.json(&["person", "anon", "--json"]);
    assert_eq!((&person["profile"]["person"], &person["profile"]["revenue"]), (&"p0".into(), &"9.5".into()));
    assert_eq!(person["timeline"]["events"][0]["event"], "Paid");
    assert_eq!(
        place.json(&["person", "p0", "--limit", "1", "--json"])["timeline"]["events"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let table = out(&place.run(&["person", "p0"]));
    assert!(table.contains("p0") && table.contains("anon") && table.contains("Paid"), "{table}");
    let stats = place.json(&["stats", "--json"]);
    assert_eq!(
        (&stats["records"], &stats["people"], &stats["identities"]),
        (&31.into(), &12.into(), &13.into())
    );
    assert!(out(&place.run(&["stats"])).lines().any(|l| l.starts_with("records") && l.ends_with(" 31")));
}

#[test]
fn people_are_merged_and_taken_apart() {
    let place = Place::filled();
    let people = || place.json(&["stats", "--json"])["people"].as_u64().unwrap();
    let merged = place.run(&["merge", "p1", "p2"]);
    assert_eq!((code(&merged), people()), (0, 11), "{}", err(&merged));
    assert!(out(&merged).contains("unmerge p1"), "it says how to undo it");
    assert_eq!(code(&place.run(&["compact"])), 0);
    assert_eq!(people(), 11);
    assert_eq!((code(&place.run(&["unmerge", "p1"])), people()), (0, 12));
    assert_eq!(code(&place.run(&["merge", "--", "p1", "-x"])), 1, "an identity may look like a flag");
}

#[test]
fn check_finds_a_flipped_byte_and_says_where() {
    let place = Place::filled();
    let sound = place.run(&["check"]);
    assert_eq!(code(&sound), 0);
    assert!(out(&sound).contains("31 records") && out(&sound).contains("sound"), "{}", out(&sound));
    let segment = files(&place.data).into_iter().find(|f| f.starts_with("seg-")).unwrap();
    let path = place.data.join(&segment);
    let good = fs::read(&path).unwrap();
    for at in [0, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 0x20;
        fs::write(&path, bad).unwrap();
        let output = place.run(&["check"]);
        assert_eq!(code(&output), 1, "byte {at}");
        let told = format!("{}{}", out(&output), err(&output));
        assert!(
            told.contains(&segment) && told.contains("offset") && told.contains("backup"),
            "byte {at}: {told}"
        );
        assert!(!told.contains("whodid check"), "that is what was run: {told}");
    }
    fs::write(&path, &good[..good.len() - 1]).unwrap();
    let output = place.run(&["check"]);
    assert!(code(&output) == 1 && out(&output).contains(&segment), "{}", out(&output));
    fs::write(&path, good).unwrap();
    assert_eq!(code(&place.run(&["check"])), 0);
}

fn files(dir: &Path) -> Vec<String> {
    fs::read_dir(dir).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn export_and_import_make_the_same_store() {
    let place = Place::filled();
    let exported = place.run(&["export"]);
    assert_eq!((code(&exported), out(&exported).lines().count()), (0, RECORDS));
    assert_eq!(err(&exported), "31 records\n");
    let packed = place.dir.path().join("out.ndjson.gz");
    let packed = packed.to_str().unwrap();
    assert_eq!(code(&place.run(&["export", "--out", packed])), 0);
    assert!(fs::read(packed).unwrap().starts_with(&[0x1f, 0x8b]));
    for (name, input) in [("-", exported.stdout.clone()), (packed, Vec::new())] {
        let other = Place::new();
        assert_eq!(code(&other.run_with(&["import", name], &input)), 0);
        assert_eq!(sorted_lines(&out(&other.run(&["export"]))), sorted_lines(&out(&exported)));
        let query = [
            "funnel",
            "--step",
            "Visited",
            "--step",
            "Paid",
            "--by",
            "person.Plan",
            "--as-of",
            "2025-05-01",
            "--json",
        ];
        let (mut one, mut two) = (place.json(&query), other.json(&query));
        one["elapsed_ms"] = 0.into();
        two["elapsed_ms"] = 0.into();
        assert_eq!(one, two);
    }
    assert_eq!(out(&place.run(&["export", "--out", "-"])), out(&exported));
    let again = place.json(&["import", "--json", packed]);
    assert_eq!((&again["accepted"], &again["duplicates"]), (&0.into(), &31.into()));
}

#[test]
fn commands_beside_a_running_server() {
    let place = Place::new();
    let server = Server::start(&place.data);
    server.import(&records());
    assert_eq!(place.json(&["funnel", "--step", "Visited", "--json"])["steps"][0]["people"], 12);
    assert_eq!(place.json(&["person", "p0", "--json"])["profile"]["events"], 2);
    assert_eq!(out(&place.run(&["export"])).lines().count(), RECORDS);
    assert_eq!(code(&place.run(&["check"])), 0);
    for arguments in [&["import"][..], &["retention", "--days", "3"]] {
        let output = place.run(arguments);
        assert_eq!(code(&output), 1, "{arguments:?}");
        assert!(
            err(&output).contains("in use") && err(&output).contains("server"),
            "{arguments:?}: {}",
            err(&output)
        );
    }
    let second = place.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(code(&second) == 1 && err(&second).contains("in use"), "{}", err(&second));
    assert_eq!(server.post("/api/v1/compact", "").status, 200);
    assert_eq!(place.json(&["stats", "--json"])["records"], 31);
    server.stop();
    assert_eq!(code(&place.run(&["compact"])), 0, "it holds nothing any more");
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let place = Place::new();
    let line = "{\"type\":\"event\",\"person\":\"somebody\",\"event\":\"Something\"}\n";
    assert_eq!(code(&place.run_with(&["import"], line.repeat(20_000).as_bytes())), 0);
    let mut child =
        whodid(&place.data).arg("export").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 20];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), err(&output).as_str()), (0, ""));
    // Nor is one of standard error, which many rejected lines go to.
    let bad = place.file("bad.ndjson", "nonsense\n".repeat(20_000).as_bytes());
    let mut child = whodid(&place.data)
        .args(["import", &bad])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 3);
    assert!(out(&output).starts_with("0 accepted, 0 duplicates, 20000 rejected"), "{}", out(&output));
}

/// The lines of a table that are wider than a terminal of 80 columns.
fn too_wide(text: &str) -> Vec<String> {
    text.lines().filter(|line| line.chars().count() > 80).map(str::to_owned).collect()
}

#[test]
fn every_report_is_a_table_of_80_columns_and_the_json_of_the_api() {
    let place = Place::new();
    let data = place.run(&["generate", "--people", "800", "--events", "8000", "--seed", "3"]);
    assert_eq!(code(&place.run_with(&["import"], &data.stdout)), 0);
    let reports: [(&[&str], &str); 11] = [
        (
            &["funnel", "--step", "Signed Up", "--step", "Purchased", "--by", "person.Campaign Source"],
            "steps",
        ),
        (&["cohort", "--start", "Signed Up", "--return", "Logged In", "--count", "6"], "cohorts"),
        (&["cohort", "--start", "Signed Up", "--return", "Logged In", "--bucket", "week"], "cohorts"),
        (&["revenue", "--lifetime", "--lost-after", "45d"], "series"),
        (&["trend", "--series", "Logged In", "--series", "Purchased", "--unit", "month"], "series"),
        (
            &[
                "trend",
                "--series",
                "Page View",
                "--unit",
                "month",
                "--by",
                "person.Campaign Source",
                "--limit",
                "20",
            ],
            "series",
        ),
        (&["paths", "--start", "Signed Up", "--events", "3", "--limit", "5"], "paths"),
        (&["people", "--limit", "200"], "people"),
        (&["lifecycle", "--unit", "month"], "points"),
        (&["people", "--people", r#"{"did":"Purchased"}"#, "--column", "person.Campaign Source"], "people"),
        (&["events"], "events"),
    ];
    for (arguments, list) in reports {
        let output = whodid(&place.data).args(arguments).env("COLUMNS", "80").output().unwrap();
        assert_eq!(code(&output), 0, "{arguments:?}: {}", err(&output));
        let (text, json) = (out(&output), place.json(&[arguments, &["--json"]].concat()));
        assert!(text.lines().count() > 3, "{arguments:?} shows next to nothing:\n{text}");
        assert_eq!(too_wide(&text), [""; 0], "{arguments:?}\n{text}");
        assert!(json[list].as_array().is_some_and(|l| !l.is_empty()), "{arguments:?}: {json}");
    }
    let wrong = place.run(&["trend", "--series", "Logged in"]);
    assert!(
        code(&wrong) == 0 && out(&wrong).contains("Logged In"),
        "a name that nobody sent has a near one: {}",
        out(&wrong)
    );
    let wrong =
        place.run(&["cohort", "--start", "Signed Up", "--return", "Logged In", "--bucket", "fortnight"]);
    assert!(code(&wrong) == 2 && err(&wrong).contains("fortnight"), "{}", err(&wrong));
}

#[test]
fn tables_and_exports_of_kissmetrics_are_imported_and_tables_go_round() {
    let place = Place::filled();
    let table = out(&place.run(&["export", "--format", "csv"]));
    assert!(
        table.starts_with("type,person,event,identity,time,properties,id\n")
            && table.lines().count() == RECORDS + 1
    );
    let copy = Place::new();
    let file = copy.file("all.csv", table.as_bytes());
    assert_eq!(code(&copy.run(&["import", &file])), 0);
    let lines = |place: &Place| sorted_lines(&out(&place.run(&["export"])));
    assert_eq!(lines(&copy), lines(&place), "the same records");
    // A table of somebody else, and one that the columns have to be told of.
    let other = Place::new();
    let file = other.file(
        "km.csv",
        b"Identity,Timestamp,Event,Alias,Prop:Plan\njane,1740823200,Signed Up,anon,Pro\n,1,x,,\n",
    );
    let output = other.run(&["import", &file]);
    assert_eq!(
        (code(&output), out(&output).trim()),
        (3, "2 accepted, 0 duplicates, 1 rejected, 0 merges refused")
    );
    assert!(err(&output).contains("line 3: bad_identity"), "{}", err(&output));
    let file = other.file("crm.csv", b"Customer,When,Stage\nann,2025-03-01 10:00:00,Won\n");
    assert_eq!(
        code(&other.run(&[
            "import",
            &file,
            "--map",
            "person=Customer",
            "--map",
            "time=When",
            "--map",
            "event=Stage"
        ])),
        0
    );
    let unknown = other.run(&["import", &file]);
    assert!(code(&unknown) == 2 && err(&unknown).contains("no column says who"), "{}", err(&unknown));
    assert!(out(&other.run(&["events"])).contains("Won"));
    // Kissmetrics' lines, known by what is in them, the alias before what it joins; packed by zstd.
    let lines = b"{\"_p\":\"anon\",\"_p2\":\"caf\\303\\251\",\"_t\":1740823200}\n{\"_n\":\"Visited\",\"_p\":\"anon\",\"_t\":1740823100,\"url\":\"/\"}\n";
    let km = Place::new();
    let file = km.file(
        "1.json.zst",
        &ruzstd::encoding::compress_to_vec(&lines[..], ruzstd::encoding::CompressionLevel::Fastest),
    );
    assert_eq!(code(&km.run(&["import", &file])), 0);
    let person = km.json(&["person", "caf\u{e9}", "--json"])["profile"].clone();
    assert_eq!(
        (&person["identities"], &person["events"]),
        (&serde_json::json!(["anon", "caf\u{e9}"]), &1.into())
    );
}

#[test]
fn erasing_shows_first_and_asks() {
    let place = Place::filled();
    let refused = place.run(&["erase", "p0"]);
    assert_eq!(code(&refused), 2);
    assert!(err(&refused).contains("p0: 2 identities, 1 property, 2 events"), "{}", err(&refused));
    assert!(place.run(&["person", "p0"]).status.success(), "nobody was erased");
    let unknown = place.run(&["erase", "p1", "nobody", "--yes"]);
    assert_eq!(code(&unknown), 1);
    assert!(place.run(&["person", "p1"]).status.success(), "all or none");
    let receipt = place.json(&["erase", "p0", "p2", "--yes", "--json"]);
    let erased = &receipt["erased"];
    assert_eq!(
        (&erased["people"], &erased["identities"], &erased["events"]),
        (&2.into(), &3.into(), &4.into())
    );
    assert_eq!(code(&place.run(&["person", "anon"])), 1);
    assert!(out(&place.run(&["check"])).contains("all sound"));
    assert_eq!(place.json(&["stats", "--json"])["identities"], 10);
}

#[test]
fn an_export_has_the_form_that_its_file_is_called_by() {
    let place = Place::filled();
    let path = place.file("all.csv", b"");
    assert_eq!(code(&place.run(&["export", "--out", &path])), 0);
    assert!(fs::read_to_string(&path).unwrap().starts_with("type,person,event,"));
    let other = Place::new();
    assert_eq!(code(&other.run(&["import", &path])), 0, "what goes out under a name comes in under it");
    let lines = |place: &Place| sorted_lines(&out(&place.run(&["export"])));
    assert_eq!(lines(&other), lines(&place));
}

#[test]
fn a_variable_that_is_empty_says_nothing() {
    let place = Place::filled();
    let data = place.data.to_str().unwrap();
    let mut command = whodid(&place.data);
    let output = command.args(["--data", data, "stats", "--json"]).env("WHODID_DATA", "").output().unwrap();
    assert_eq!(code(&output), 0, "{}", err(&output));
}

#[test]
fn whoever_reads_the_begin_of_a_table_has_what_it_wanted() {
    let place = Place::new();
    let lines = (0..20_000)
        .map(|n| format!("{{\"type\":\"event\",\"person\":\"p{n}\",\"event\":\"E\",\"time\":1740823200}}\n"));
    assert_eq!(code(&place.run_with(&["import"], lines.collect::<String>().as_bytes())), 0);
    let mut command = whodid(&place.data);
    command.args(["export", "--format", "csv"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut begin = [0; 100];
    child.stdout.take().unwrap().read_exact(&mut begin).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), err(&output).as_str()), (0, ""));
}
