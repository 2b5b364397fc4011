//! Runs the text cases in `tests/conformance/` against every backend. Anyone can add a case without Rust:
//! `tests/conformance/FORMAT.md` says how they are written.

use std::path::Path;

use serde_json::{Value as Json, json};
use whodid::model::{
    Admission, Millis, Properties, Record, RecordKind, Value, format_millis, parse_duration, parse_instant,
};
use whodid::testing::oracle::{Applied, Oracle, Regrouped};

use crate::engine_backend::EngineBackend;

/// Something that takes records and answers questions about them.
trait Backend {
    fn label(&self) -> &'static str;
    fn apply(&mut self, record: &Record, now: Millis) -> Applied;
    fn merge(&mut self, a: &str, b: &str) -> Regrouped;
    fn unmerge(&mut self, identity: &str) -> Regrouped;
    fn funnel(&mut self, query: &str, now: Millis) -> Json;
    fn funnel_people(&mut self, query: &str, now: Millis) -> Json;
    fn person(&mut self, identity: &str) -> Json;
    /// The answer to any report, such as `cohort` or `cohort/people`.
    fn report(&mut self, report: &str, query: &str, now: Millis) -> Json;
}

impl Backend for Oracle {
    fn label(&self) -> &'static str {
        "oracle"
    }
    fn apply(&mut self, record: &Record, now: Millis) -> Applied {
        Oracle::apply(self, record, now)
    }
    fn merge(&mut self, a: &str, b: &str) -> Regrouped {
        Oracle::merge(self, a, b)
    }
    fn unmerge(&mut self, identity: &str) -> Regrouped {
        Oracle::unmerge(self, identity)
    }
    fn funnel(&mut self, query: &str, now: Millis) -> Json {
        Oracle::funnel(self, query, now)
    }
    fn funnel_people(&mut self, query: &str, now: Millis) -> Json {
        Oracle::funnel_people(self, query, now)
    }
    fn person(&mut self, identity: &str) -> Json {
        Oracle::person(self, identity)
    }
    fn report(&mut self, report: &str, query: &str, now: Millis) -> Json {
        Oracle::report(self, report, query, now)
    }
}

impl Backend for EngineBackend {
    fn label(&self) -> &'static str {
        "engine"
    }
    fn apply(&mut self, record: &Record, now: Millis) -> Applied {
        EngineBackend::apply(self, record, now)
    }
    fn merge(&mut self, a: &str, b: &str) -> Regrouped {
        EngineBackend::merge(self, a, b)
    }
    fn unmerge(&mut self, identity: &str) -> Regrouped {
        EngineBackend::unmerge(self, identity)
    }
    fn funnel(&mut self, query: &str, now: Millis) -> Json {
        EngineBackend::funnel(self, query, now)
    }
    fn funnel_people(&mut self, query: &str, now: Millis) -> Json {
        EngineBackend::funnel_people(self, query, now)
    }
    fn person(&mut self, identity: &str) -> Json {
        EngineBackend::person(self, identity)
    }
    fn report(&mut self, report: &str, query: &str, now: Millis) -> Json {
        EngineBackend::report(self, report, query, now)
    }
}

/// Makers of empty backends; every case gets a new one of each.
const BACKENDS: [fn() -> Box<dyn Backend>; 2] =
    [|| Box::new(Oracle::new()), || Box::new(EngineBackend::new())];

/// Where `+10m` counts from.
const BASE: &str = "2025-01-01T00:00:00Z";
/// The server's clock, unless a case says otherwise.
const NOW: &str = "2025-06-01T00:00:00Z";
/// The words that begin a section of a case.
const SECTIONS: [&str; 11] =
    ["name", "rule", "about", "now", "records", "query", "list", "person", "report", "expect", "chosen"];

/// One part of a case: its word, its lines with their numbers.
struct Section {
    word: &'static str,
    lines: Vec<(usize, String)>,
}

impl Section {
    fn text(&self) -> String {
        self.lines.iter().map(|(_, line)| line.as_str()).collect::<Vec<_>>().join("\n").trim().to_owned()
    }
}

struct Case {
    place: String,
    sections: Vec<Section>,
}

fn section_of(line: &str) -> Option<(&'static str, &str)> {
    SECTIONS.iter().find_map(|word| Some((*word, line.strip_prefix(word)?.strip_prefix(':')?)))
}

/// The cases of one file. Each begins with `name:`.
fn read_cases(file: &str, text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for (number, line) in text.lines().enumerate().map(|(n, line)| (n + 1, line.trim_end())) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some((word, rest)) = section_of(line) {
            if word == "name" {
                cases.push(Case { place: format!("{file}: {}", rest.trim()), sections: Vec::new() });
            }
            let case = cases.last_mut().unwrap_or_else(|| panic!("{file}:{number}: no name: before this"));
            case.sections.push(Section { word, lines: vec![(number, rest.trim().to_owned())] });
        } else {
            let section = cases.last_mut().and_then(|c| c.sections.last_mut());
            let section = section.unwrap_or_else(|| panic!("{file}:{number}: this is in no section"));
            section.lines.push((number, line.trim().to_owned()));
        }
    }
    cases
}

/// `+10m` and the like, or RFC 3339; `now` for none.
fn read_time(text: &str) -> Result<Option<Millis>, String> {
    let base = parse_instant(BASE).map_err(|e| e.to_string())?;
    let bad = |e: whodid::Error| e.to_string();
    match text.strip_prefix('+') {
        _ if text == "now" => Ok(None),
        None => Ok(Some(parse_instant(text).map_err(bad)?)),
        Some(later) => match later.strip_suffix("ms") {
            Some(millis) => Ok(Some(base + millis.parse::<Millis>().map_err(|e| e.to_string())?)),
            None => Ok(Some(base + parse_duration(later).map_err(bad)?)),
        },
    }
}

fn read_value(text: &str) -> Result<Value, String> {
    match text {
        "true" | "false" => Ok(Value::Bool(text == "true")),
        quoted if quoted.starts_with('"') => {
            Value::from_json(quoted).map_err(|e| e.to_string())?.ok_or_else(|| "no value".to_owned())
        }
        plain => Ok(Value::from_wire(plain)),
    }
}

/// What one line of `records:` does.
enum Line {
    Record(Record),
    Merge(String, String),
    Unmerge(String),
}

fn read_line(line: &str) -> Result<Line, String> {
    if line.starts_with('{') {
        return read_json_record(line).map(Line::Record);
    }
    let mut fields = line.split("  ").map(str::trim).filter(|f| !f.is_empty());
    let mut next = |what: &str| fields.next().map(str::to_owned).ok_or_else(|| format!("no {what}"));
    let (identity, what) = (next("identity")?, next("event")?);
    let (kind, name) = match what.as_str() {
        "[merge]" => return Ok(Line::Merge(identity, next("other identity")?)),
        "[unmerge]" => return Ok(Line::Unmerge(identity)),
        "[set]" => (RecordKind::Set, String::new()),
        "[identify]" => (RecordKind::Identify, next("other identity")?),
        _ => (RecordKind::Event, what),
    };
    let time = read_time(&next("time")?)?;
    let (mut properties, mut id) = (Properties::new(), None);
    for field in fields {
        match (field.strip_prefix('#'), field.split_once('=')) {
            (Some(given), _) => id = Some(given.to_owned()),
            (None, Some((property, value))) => properties.push((property.to_owned(), read_value(value)?)),
            (None, None) => return Err(format!("\"{field}\" is neither property=value nor #id")),
        }
    }
    Ok(Line::Record(Record { kind, identity, name, time, properties, id }))
}

/// A record in the form that imports take.
fn read_json_record(line: &str) -> Result<Record, String> {
    let json: Json = serde_json::from_str(line).map_err(|e| e.to_string())?;
    let text = |key: &str| json.get(key).and_then(Json::as_str).map(str::to_owned);
    let (kind, name) = match text("type").as_deref() {
        Some("event") => (RecordKind::Event, text("event")),
        Some("set") => (RecordKind::Set, None),
        Some("identify") => (RecordKind::Identify, text("identity")),
        other => return Err(format!("the type {other:?}")),
    };
    let time = match json.get("time") {
        None => None,
        Some(Json::String(instant)) => Some(parse_instant(instant).map_err(|e| e.to_string())?),
        Some(seconds) => seconds.as_f64().map(|s| (s * 1000.0).floor() as Millis),
    };
    let mut properties = Properties::new();
    for (property, value) in json.get("properties").and_then(Json::as_object).into_iter().flatten() {
        if let Some(value) = Value::from_json(&value.to_string()).map_err(|e| e.to_string())? {
            properties.push((property.clone(), value));
        }
    }
    let identity = text("person").ok_or("no person")?;
    Ok(Record { kind, identity, name: name.unwrap_or_default(), time, properties, id: text("id") })
}

/// Does what a line says; answers with the word that may stand behind `->`.
fn apply(line: Line, backend: &mut dyn Backend, now: Millis) -> &'static str {
    let regrouped = match line {
        Line::Merge(a, b) => backend.merge(&a, &b),
        Line::Unmerge(x) => backend.unmerge(&x),
        Line::Record(record) => {
            return match record.checked(Admission::usual(now)).map(|r| backend.apply(&r, now)) {
                Ok(Applied::Stored) => "stored",
                Ok(Applied::Duplicate) => "duplicate",
                Ok(Applied::MergeRefused { .. }) => "refused",
                Err(e) => e.code(),
            };
        }
    };
    match regrouped {
        Regrouped::Changed => "stored",
        Regrouped::Unchanged => "unchanged",
        Regrouped::UnknownIdentity => "unknown",
    }
}

/// Where `got` does not contain what `expected` says; empty if it does.
fn differences(expected: &Json, got: Option<&Json>, at: &str, out: &mut Vec<String>) {
    match (expected, got) {
        (Json::String(absent), got) if absent == "<absent>" => {
            if let Some(got) = got {
                out.push(format!("{at}: there should be nothing, but is {got}"));
            }
        }
        (Json::Object(fields), Some(Json::Object(have))) => {
            for (key, value) in fields {
                differences(value, have.get(key), &format!("{at}.{key}"), out);
            }
        }
        (Json::Array(wanted), Some(Json::Array(have))) => {
            if wanted.len() != have.len() {
                out.push(format!("{at}: {} entries expected, {} found: {have:?}", wanted.len(), have.len()));
            }
            for (k, (wanted, have)) in wanted.iter().zip(have).enumerate() {
                differences(wanted, Some(have), &format!("{at}[{k}]"), out);
            }
        }
        (Json::Number(a), Some(Json::Number(b))) => {
            let (a, b) = (a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::INFINITY));
            // A share may be written with as many digits as a reader needs.
            if (a - b).abs() > 1e-6 * a.abs().max(1.0) {
                out.push(format!("{at}: {a} expected, {b} found"));
            }
        }
        // Money is text; the oracle, which divides in binary, has its quotients as numbers.
        (Json::String(text), Some(Json::Number(_))) if text.parse::<f64>().is_ok() => {
            let number = serde_json::from_str(text).unwrap_or(Json::Null);
            differences(&number, got, at, out);
        }
        (expected, Some(got)) if expected == got => {}
        (expected, got) => out.push(format!("{at}: {expected} expected, {got:?} found")),
    }
}

/// `jane  A +0m  B +10m` as the entry of the people list that it stands for.
fn read_chosen(line: &str) -> Result<Json, String> {
    let mut fields = line.split("  ").map(str::trim).filter(|f| !f.is_empty());
    let person = fields.next().ok_or("no person")?;
    let mut steps = Vec::new();
    for field in fields {
        let (event, time) = field.rsplit_once(' ').ok_or("no time")?;
        let time = read_time(time)?.ok_or("no time")?;
        steps.push(json!({"event": event, "time": format_millis(time)}));
    }
    Ok(json!({"person": person, "steps": steps}))
}

/// Everybody who entered a funnel.
fn entrants(query: &str, backend: &mut dyn Backend, now: Millis) -> Result<Json, String> {
    let mut query: Json = serde_json::from_str(query).map_err(|e| e.to_string())?;
    query["step"] = 1.into();
    query["outcome"] = "reached".into();
    Ok(backend.funnel_people(&query.to_string(), now))
}

/// Runs a case and says what went wrong, if anything.
fn run_case(case: &Case, backend: &mut dyn Backend) -> Result<(), String> {
    let mut now = parse_instant(NOW).map_err(|e| e.to_string())?;
    let (mut answer, mut asked) = (None, String::new());
    let mut checks = 0;
    let mut wrong = Vec::new();
    for section in &case.sections {
        let at = section.lines.first().map_or(0, |(number, _)| *number);
        let text = section.text();
        match section.word {
            "now" => now = read_time(&text)?.ok_or("now: needs a time")?,
            "records" => {
                for (number, line) in section.lines.iter().filter(|(_, line)| !line.is_empty()) {
                    let (line, expected) = line.split_once("->").unwrap_or((line, "stored"));
                    let got =
                        apply(read_line(line).map_err(|e| format!("line {number}: {e}"))?, backend, now);
                    checks += 1;
                    if got != expected.trim() {
                        wrong.push(format!("line {number}: {} expected, but it is {got}", expected.trim()));
                    }
                }
            }
            "query" => (answer, asked) = (Some(backend.funnel(&text, now)), text),
            "list" => answer = Some(backend.funnel_people(&text, now)),
            "person" => answer = Some(backend.person(&text)),
            "report" => {
                let (report, query) = text.split_once(' ').ok_or("report: needs a name and a query")?;
                answer = Some(backend.report(report, query, now));
            }
            "expect" => {
                let expected: Json =
                    serde_json::from_str(&text).map_err(|e| format!("line {at}: expect: {e}"))?;
                differences(&expected, answer.as_ref(), &format!("line {at}: answer"), &mut wrong);
                checks += 1;
            }
            "chosen" => {
                let lines = section.lines.iter().filter(|(_, line)| !line.is_empty());
                let people: Vec<Json> = lines.map(|(_, line)| read_chosen(line)).collect::<Result<_, _>>()?;
                let expected = json!({"total": people.len(), "people": people});
                let got = entrants(&asked, backend, now)?;
                differences(&expected, Some(&got), &format!("line {at}: chosen"), &mut wrong);
                checks += 1;
            }
            _ => {}
        }
    }
    if checks == 0 {
        wrong.push("checks nothing".to_owned());
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n    ")) }
}

fn all_cases() -> std::io::Result<Vec<Case>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut files = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    files.sort();
    let mut cases = Vec::new();
    for file in files.iter().filter(|f| f.extension().is_some_and(|e| e == "case")) {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        cases.extend(read_cases(&name, &std::fs::read_to_string(file)?));
    }
    Ok(cases)
}

#[test]
fn every_backend_gives_the_answers_that_the_cases_expect() {
    let cases = all_cases().unwrap();
    assert!(cases.len() >= 141, "only {} cases were found", cases.len());
    let mut failures = Vec::new();
    for case in &cases {
        for make in BACKENDS {
            let mut backend = make();
            if let Err(what) = run_case(case, backend.as_mut()) {
                failures.push(format!("{} [{}]\n    {what}", case.place, backend.label()));
            }
        }
    }
    assert!(failures.is_empty(), "{} of {} failed:\n{}", failures.len(), cases.len(), failures.join("\n"));
    println!("{} cases", cases.len());
}

#[test]
fn every_case_says_what_it_is_about() {
    let mut names = std::collections::BTreeSet::new();
    for case in all_cases().unwrap() {
        for word in ["rule", "about"] {
            let said = case.sections.iter().any(|s| s.word == word && !s.text().is_empty());
            assert!(said, "{} has no {word}:", case.place);
        }
        assert!(names.insert(case.place.clone()), "{} is there twice", case.place);
    }
}

#[test]
fn the_runner_notices_what_is_wrong() {
    for (text, complaint) in [
        ("name: x\nrecords:\n j  A  +0s -> duplicate", "but it is stored"),
        ("name: x\nrecords:\n j  A  +0s\nperson: j\nexpect: {\"events\":2}", "2 expected, 1 found"),
        ("name: x\nrecords:\n j  A  +0s\nperson: j\nexpect: {\"person\":\"<absent>\"}", "should be nothing"),
        ("name: x\nrecords:\n j  A  +0s\nperson: j\nexpect: {\"identities\":[]}", "0 entries expected"),
        (
            "name: x\nrecords:\n j  A  +0s\nquery: {\"steps\":[{\"event\":\"A\"}]}\nchosen: j  A +1s",
            "expected",
        ),
        ("name: x\nquery: {\"steps\":[]}", "checks nothing"),
    ] {
        let cases = read_cases("here", text);
        let failure = run_case(&cases[0], &mut Oracle::new()).unwrap_err();
        assert!(failure.contains(complaint), "{failure}");
    }
}
