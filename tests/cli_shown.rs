//! What the command line shows of answers, and the forms that it takes questions in.

use serde_json::{Value as Json, json};
use whodid::limits;

use crate::cli::{Place, code, err, out};
use crate::support::{Server, whodid};

#[test]
fn a_funnel_takes_patterns_audiences_and_every_split() {
    let place = Place::filled();
    let people = |arguments: &[&str]| {
        let answer = place.json(&[&["funnel", "--json"], arguments].concat());
        let of = |step: &Json| step["people"].as_u64().unwrap();
        answer["steps"].as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    };
    let either = r#"{"event":["Paid","Visited"]}"#;
    assert_eq!(people(&["--step", either]), [12]);
    let dear = r#"{"event":"Paid","where":[{"property":"Revenue","gt":10}]}"#;
    assert_eq!(people(&["--step", "Visited", "--step", dear]), [12, 0]);
    let payers = r#"{"did":"Paid"}"#;
    assert_eq!(people(&["--step", "Visited", "--people", payers]), [6]);
    let table = out(&place.run(&["funnel", "--step", either, "--people", payers]));
    assert!(table.starts_with("People who did Paid or Visited. Only people: did Paid\n"), "{table}");
    for by in ["source", "channel"] {
        assert_eq!(people(&["--step", "Visited", "--by", by]), [12]);
    }
    // A flag beside a whole query would say nothing.
    let query = place.file("query.json", b"{\"steps\":[{\"event\":\"Visited\"}]}");
    assert_eq!(people(&["--spec", &query]), [12]);
    for flags in [["--people", payers], ["--by", "source"], ["--from", "2025-01-01"]] {
        let output = place.run(&[&["funnel", "--spec", &query], &flags[..]].concat());
        assert!(code(&output) == 2 && err(&output).contains("--spec"), "{flags:?}: {}", err(&output));
    }
}

#[test]
fn only_a_terminal_or_a_variable_clips_tables() {
    let place = Place::new();
    let name = "Something With a Long Name ".repeat(5);
    let record = format!("{{\"type\":\"event\",\"person\":\"a\",\"event\":\"{}\"}}", name.trim());
    assert_eq!(code(&place.run_with(&["import"], record.as_bytes())), 0);
    assert!(out(&place.run(&["events"])).contains(name.trim()));
    let narrow = whodid(&place.data).arg("events").env("COLUMNS", "80").output().unwrap();
    assert!(out(&narrow).lines().all(|line| line.len() <= 80) && out(&narrow).contains("..."));
}

#[test]
fn a_time_line_goes_on_where_it_ended() {
    let place = Place::filled();
    let mut arguments = vec!["person".to_owned(), "p0".into(), "--limit".into(), "1".into()];
    let run = |arguments: &[String]| {
        let output = place.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(code(&output), 0, "{}", err(&output));
        out(&output)
    };
    let first = run(&arguments);
    let cursor = first.trim_end().rsplit_once("more with --cursor ").expect("there are two events").1;
    arguments.extend(["--cursor".into(), cursor.into()]);
    let second = run(&arguments);
    let time_line = |text: &str| text.split_once("Properties\n").unwrap().1.to_owned();
    assert!(time_line(&first).contains("Paid") && !time_line(&first).contains("Visited"), "{first}");
    assert!(time_line(&second).contains("Visited") && !time_line(&second).contains("Paid"), "{second}");
    assert!(!second.contains("--cursor"), "{second}");
}

#[test]
fn what_is_rejected_reads_as_it_was_sent() {
    let place = Place::new();
    let bad = "{\"type\":\"event\",\"person\":\"a\",\"event\":\"x\",\"time\":\"soon\\u001b[2J\\u202e\"}";
    let told = err(&place.run_with(&["import"], bad.as_bytes()));
    assert!(told.contains("time: \"soon\\u001b[2J\\u202e\" is no time"), "{told}");
    assert!(!told.contains("\\\"") && !told.contains('\u{1b}') && !told.contains('\u{202e}'), "{told}");
}

#[test]
fn money_is_grouped_and_has_cents() {
    let place = Place::new();
    let lines: String = [("1234.5", 1), ("-58", 2), ("29", 3)].iter().map(|(amount, month)| format!(
        "{{\"type\":\"event\",\"person\":\"p{month}\",\"event\":\"Paid\",\"time\":\"2025-0{month}-10T00:00:00Z\",\"properties\":{{\"Revenue\":{amount}}}}}\n"
    )).collect();
    assert_eq!(code(&place.run_with(&["import"], lines.as_bytes())), 0);
    let revenue = out(&place.run(&["revenue"]));
    assert!(revenue.starts_with("1,205.50 from 2 of 3 people (refunds -58.00)\n"), "{revenue}");
    assert!(revenue.contains(" 1,234.50 ") && revenue.contains(" 29.00 "), "{revenue}");
    let profile = out(&place.run(&["person", "p1"]));
    assert!(profile.contains("\n1 event from") && profile.contains(", revenue 1,234.50\n"), "{profile}");
    let trend = ["trend", "--series", "Paid", "--measure", "sum", "--property", "Revenue", "--unit", "month"];
    let trend = out(&place.run(&trend));
    assert!(
        trend.contains("  1,234.50\n2025-02-01    -58.00\n2025-03-01     29.00\nin all      1,205.50\n"),
        "{trend}"
    );
}

#[test]
fn memory_is_a_size_everywhere() {
    let place = Place::filled();
    let import = |memory: &str| place.run_with(&["import", "--memory", memory], b"");
    assert_eq!(code(&import("64MiB")), 0, "{}", err(&import("64MiB")));
    let few = import("512");
    assert!(code(&few) == 2 && err(&few).contains("at least 1MiB"), "{}", err(&few));
}

#[test]
fn users_are_managed_where_the_server_can() {
    let place = Place::new();
    let _server = Server::start(&place.data);
    let refused = err(&place.run(&["user", "add", "jane@example.com"]));
    assert!(refused.contains("Settings") && !refused.contains("API"), "{refused}");
}

#[test]
fn what_is_listed_is_json_as_well() {
    let place = Place::new();
    Server::start(&place.data).stop();
    assert_eq!(place.json(&["key", "list", "--json"]), json!({"keys": []}));
    assert_eq!(code(&place.run(&["key", "add", "Ann's", "--scope", "write"])), 0);
    assert_eq!(
        place.json(&["key", "list", "--json"]),
        json!({"keys": [{"name": "Ann's", "scope": "write"}]})
    );
    assert_eq!(place.json(&["user", "list", "--json"]), json!({"users": []}));
    assert_eq!(code(&place.run(&["user", "add", "jane@example.com", "--role", "editor"])), 0);
    let jane = json!({"email": "jane@example.com", "role": "editor", "projects": [], "password": false});
    assert_eq!(place.json(&["user", "list", "--json"]), json!({"users": [jane]}));
    assert_eq!(place.json(&["retention", "--json"]), json!({"days": null, "events": {}}));
    let changed = place.json(&["retention", "--days", "1", "--event", "Paid=forever", "--json"]);
    assert_eq!(changed, json!({"days": 1, "events": {"Paid": null}}));
    assert_eq!(out(&place.run(&["retention"])), "events are kept 1 day\nPaid: for ever\n");
    let stats = out(&place.run(&["stats"]));
    let bytes = stats.lines().find_map(|line| line.strip_prefix("directory bytes")).expect("a size");
    assert_ne!(bytes.trim(), "0", "{stats}");
}

#[test]
fn whoever_says_nothing_gets_the_help() {
    let place = Place::filled();
    for (arguments, words) in
        [(&[][..], "compact "), (&["--data", "elsewhere"], "compact "), (&["key"], "whodid key [OPTIONS]")]
    {
        let output = place.run(arguments);
        assert_eq!((code(&output), out(&output).as_str()), (2, ""), "{arguments:?}");
        assert!(err(&output).lines().count() > 8 && err(&output).contains(words), "{}", err(&output));
    }
    assert!(out(&place.run(&["compact"])).starts_with("1 segment, "));
}

#[test]
fn the_help_says_what_is_taken_and_what_holds_without_it() {
    let place = Place::filled();
    let help = |command: &[&str]| {
        let text = out(&place.run(&[command, &["--help"]].concat()));
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    // What makes data of nothing needs no store, but a script may name one for all commands.
    assert!(!help(&["generate"]).contains("--data") && help(&["import"]).contains("--data"));
    let made = |more: &[&str]| {
        let sizes = ["generate", "--people", "3", "--events", "300"];
        place.run(&[&sizes[..], more].concat())
    };
    assert_eq!(out(&made(&[])), out(&made(&["--data", "elsewhere"])));
    for (command, words) in [
        (&["funnel"][..], "Segments shown (25 if not given)"),
        (&["cohort"], "Values shown (25 if not given)"),
        (&["cohort"], "Buckets shown (12 if not given)"),
        (&["revenue"], "Segments shown (25 if not given)"),
        (&["trend"], "Segments shown (25 if not given)"),
        (&["paths"], "Paths shown (50 if not given)"),
        (&["people"], "People shown (50 if not given)"),
        (&["serve"], "believed, with commas between"),
        (&["serve"], "The key that reads, changes and erases everything"),
        (&["user", "add"], "print the path of the link"),
    ] {
        assert!(help(command).contains(words), "{command:?}: {words}");
    }
    assert_eq!((limits::SEGMENTS_DEFAULT, limits::SEGMENTS_MAX), (25, 1000));
}

#[test]
fn what_is_done_is_told_as_json_as_well() {
    let place = Place::filled();
    let checked = place.json(&["check", "--json"]);
    let contents = json!({"project": 1, "segments": 1, "in_segments": 31, "in_log": 0});
    let sound = json!({"damaged": [], "notes": [], "projects": [contents], "given_up": []});
    assert_eq!(checked, sound);
    assert_eq!(place.json(&["merge", "p1", "p3", "--json"]), json!({"merged": "p1", "into": "p3"}));
    assert_eq!(place.json(&["unmerge", "p1", "--json"]), json!({"unmerged": "p1"}));
    let compacted = place.json(&["compact", "--json"]);
    let sizes = |when: &str| ["segments", "disk_bytes"].map(|field| compacted[when][field].as_u64().unwrap());
    assert!(sizes("after")[0] == 1 && sizes("before")[1] > 0, "{compacted}");
    let doctor = place.run(&["doctor", "--json", "--listen", "127.0.0.1:0"]);
    let found: Json = serde_json::from_slice(&doctor.stdout).unwrap();
    assert_eq!((code(&doctor), &found["ok"]), (0, &true.into()), "{found}");
    let first = &found["findings"][0];
    assert!(first["what"] == "directory" && first["text"].as_str().is_some(), "{found}");
    // Damage is told in the one answer, with the exit code that lines have.
    let names = std::fs::read_dir(&place.data).unwrap().map(|file| file.unwrap().file_name());
    let segment = names.map(|name| name.into_string().unwrap()).find(|name| name.starts_with("seg-"));
    let segment = place.data.join(segment.expect("a segment"));
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let damaged = place.run(&["check", "--json"]);
    let found: Json = serde_json::from_slice(&damaged.stdout).unwrap();
    assert_eq!((code(&damaged), found["damaged"].as_array().unwrap().len()), (1, 1), "{found}");
    let dropped = place.json(&["check", "--json", "--drop-damaged"]);
    assert!(dropped["given_up"][0].as_str().unwrap().contains("is given up"), "{dropped}");
}

#[test]
fn an_export_writes_over_no_file() {
    let place = Place::filled();
    let path = place.file("all.csv", b"the only copy");
    let refused = place.run(&["export", "--out", &path]);
    assert_eq!(code(&refused), 2);
    assert!(err(&refused).contains("all.csv is there already") && err(&refused).contains("--force"));
    assert_eq!(std::fs::read(&path).unwrap(), b"the only copy");
    assert_eq!(code(&place.run(&["export", "--out", &path, "--force"])), 0);
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("type,person,event,"));
}

#[test]
fn a_server_takes_its_settings_from_variables() {
    let place = Place::new();
    // Whatever it makes of them, no second one goes on.
    let _server = Server::start(&place.data);
    for (variable, wrong, said) in [
        ("WHODID_LOG_SIZE", "10 apples", "--log-size"),
        ("WHODID_DISK_WARNING", "much", "--disk-warning"),
        ("WHODID_SILENT_AFTER", "long", "--silent-after"),
        ("WHODID_SERVER_NAME", "stats.example.com,https://x", "--name"),
    ] {
        let mut serve = whodid(&place.data);
        let output = serve.args(["serve", "--listen", "127.0.0.1:0"]).env(variable, wrong).output().unwrap();
        assert!(code(&output) == 2 && err(&output).contains(said), "{variable}: {}", err(&output));
    }
}
