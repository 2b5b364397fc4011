//! Somebody with more identities, changes of properties or text in events than fits into an answer: everybody else is listed as ever,
//! and what is left out is counted.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::fresh;
use super::pages::log_in;
use crate::support::Server;

const JANE: &str = "jane@example.com";
/// Identities that are joined to Jane: 12,000 of 250 characters take 3 MB of JSON.
const DEVICES: usize = 12_000;

fn device(number: usize) -> String {
    format!("{number:0>250}")
}

/// Jane's devices, 600 values of 8 KB for one property and 300 events of as many.
fn crowd(server: &Server) {
    let text = |number: usize| format!("{number:0>8000}");
    let mut lines: Vec<Value> = (0..DEVICES)
        .map(|n| json!({"type": "identify", "person": device(n), "identity": JANE, "time": 1_740_823_200}))
        .collect();
    lines.extend((0..600).map(|n| {
        json!({"type": "set", "person": JANE, "time": 1_740_823_200 + n, "properties": {"Note": text(n)}})
    }));
    lines.extend((0..300).map(|n| {
        json!({"type": "event", "person": JANE, "event": "Wrote", "time": 1_740_823_200 + n,
               "properties": {"Text": text(n)}})
    }));
    lines.push(json!({"type": "event", "person": "ben", "event": "Wrote", "time": 1_740_823_200}));
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    for part in lines.chunks(1000) {
        server.import(&part.join("\n"));
    }
}

/// The identities that an answer lists of a person, and how many more it speaks of.
fn listed(person: &Value) -> (usize, usize) {
    let number = |name: &str| person[name].as_u64().unwrap_or(0) as usize;
    (person["identities"].as_array().unwrap().len(), number("more_identities"))
}

#[test]
fn somebody_with_a_great_many_identities_is_listed_with_some_of_them() {
    let (_dir, server) = fresh();
    crowd(&server);
    for (path, query) in [
        ("people", "{}"),
        ("funnel/people", r#"{"steps":[{"event":"Wrote"}],"step":1}"#),
        ("cohort/people", r#"{"start":{"event":"Wrote"},"return":{"event":"Wrote"},"row":"2025-03"}"#),
        ("trend/people", r#"{"series":[{"event":"Wrote","measure":"people"}],"start":"2025-03-01"}"#),
    ] {
        let reply = server.post(&format!("/api/v1/{path}"), query);
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        let answer = reply.json();
        assert_eq!(answer["total"], 2, "{path}");
        let of =
            |name: &str| answer["people"].as_array().unwrap().iter().find(|p| p["person"] == name).unwrap();
        let (some, more) = listed(of(JANE));
        assert!((1..200).contains(&some) && some + more == DEVICES + 1, "{path}: {some} and {more}");
        assert_eq!(of("ben")["identities"], json!(["ben"]), "{path}");
        assert_eq!(of("ben").get("more_identities"), None, "{path}");
    }
    let profile = server.get(&format!("/api/v1/people/{}", device(7)));
    let (some, more) = listed(&profile);
    assert!(profile["person"] == JANE && some > 4000 && some + more == DEVICES + 1, "{some} and {more}");
    let note = &profile["property_history"]["Note"];
    let changes = note["changes"].as_array().unwrap();
    assert_eq!(changes.len() + note["more_changes"].as_u64().unwrap() as usize, 600);
    assert_eq!(
        (&changes.last().unwrap()["value"], &note["last"]),
        (&note["last"], &profile["properties"]["Note"])
    );

    let cookie = log_in(&server);
    let page = |target: &str| {
        let reply = server.client().send("GET", target, &[("Cookie", cookie.as_str())], b"");
        assert_eq!(reply.status, 200, "{target}: {}", reply.text());
        reply.text()
    };
    let person = page(&format!("/people/{JANE}"));
    assert!(person.contains("And 11,001 more.") && person.matches("/unmerge\"").count() == 1000);
    assert!(page(&format!("/people/{JANE}/erase")).contains("And 11,001 more."));
    let list = page("/funnels/people?step=Wrote&at_step=1");
    assert!(list.contains(" and 11,980 more"), "{}", list.len());
}

#[test]
fn a_page_of_a_time_line_ends_where_its_events_are_too_large() {
    let (_dir, server) = fresh();
    crowd(&server);
    let (mut seen, mut pages, mut cursor) = (BTreeSet::new(), 0, String::new());
    loop {
        let page = server.get(&format!("/api/v1/people/{JANE}/events?limit=1000{cursor}"));
        let events = page["events"].as_array().unwrap();
        assert!(!events.is_empty() && page.to_string().len() < 3 << 20);
        for event in events {
            assert!(seen.insert(event["properties"]["Text"].as_str().unwrap().to_owned()));
        }
        pages += 1;
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((seen.len(), pages), (300, 2));
}

/// People with far more text than honest ones: each a `set` and an event of 96 KB of JSON, 19 MB of either in all.
const HOGS: usize = 200;

/// These, with `text` in their properties, and Ben.
fn hogs(server: &Server, text: &str) {
    let properties = json!({"Alpha": text, "Beta": text, "City": "Rome"});
    let lines: Vec<String> = (0..HOGS)
        .flat_map(|n| {
            let (person, time) = (format!("hog{n}"), 1_740_823_200 + n);
            [
                json!({"type": "set", "person": person, "time": time, "properties": properties}),
                json!({"type": "event", "person": person, "event": "Wrote", "time": time, "properties": properties}),
            ]
        })
        .map(|line| line.to_string())
        .collect();
    lines.chunks(50).for_each(|part| drop(server.import(&part.join("\n"))));
    server.import(&format!(
        "{}\n{}",
        json!({"type": "set", "person": "ben", "time": 1_740_823_200, "properties": {"Plan": "Pro"}}),
        json!({"type": "event", "person": "ben", "event": "Wrote", "time": 1_740_823_200, "properties": {"Text": "short"}}),
    ));
}

/// Everybody of a list, page by page, and how many pages there were.
fn all_pages(server: &Server, path: &str, query: &Value) -> (Vec<Value>, usize) {
    let (mut people, mut pages, mut query) = (Vec::new(), 0, query.clone());
    loop {
        let reply = server.post(path, &query.to_string());
        assert_eq!(reply.status, 200, "{path} {query}: {}", reply.text());
        assert!(reply.text().len() < (8 << 20) + 4096, "{path}: {}", reply.text().len());
        let page = reply.json();
        assert_eq!(page["total"], HOGS + 1, "{path}");
        people.extend(page["people"].as_array().unwrap().iter().cloned());
        pages += 1;
        match page["cursor"].as_str() {
            Some(next) if pages < 100 => query["cursor"] = next.into(),
            Some(_) => panic!("the pages of {path} do not end"),
            None => break,
        }
    }
    let names: BTreeSet<&str> = people.iter().map(|person| person["person"].as_str().unwrap()).collect();
    assert_eq!((people.len(), names.len()), (HOGS + 1, HOGS + 1), "{path}: everybody once");
    (people, pages)
}

#[test]
fn people_with_very_long_properties_are_listed_with_some_of_them_and_break_no_page() {
    let (_dir, server) = fresh();
    hogs(&server, &"\u{1}".repeat(8000));
    let of = |people: &[Value], name: &str| people.iter().find(|p| p["person"] == name).unwrap().clone();

    let (people, pages) = all_pages(&server, "/api/v1/people", &json!({"limit": 10_000}));
    assert_eq!(pages, 2);
    let hog = of(&people, "hog7");
    let names: Vec<&str> = hog["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!((names, &hog["more_properties"]), (vec!["Alpha"], &json!(2)));
    let ben = of(&people, "ben");
    assert_eq!((&ben["properties"], ben.get("more_properties")), (&json!({"Plan": "Pro"}), None));
    // A page that is short enough is as long as was asked.
    assert_eq!(all_pages(&server, "/api/v1/people", &json!({"limit": 67})).1, 3);

    let columns = json!({"columns": ["person.City", "person.Alpha", "person.Beta"], "limit": 10_000});
    let (people, pages) = all_pages(&server, "/api/v1/people", &columns);
    let hog = of(&people, "hog7");
    assert_eq!(
        (pages, hog["properties"].as_object().unwrap().len(), hog.get("more_properties")),
        (3, 3, None)
    );

    let query = json!({"steps": [{"event": "Wrote"}], "step": 1, "limit": 10_000});
    let (people, pages) = all_pages(&server, "/api/v1/funnel/people", &query);
    assert_eq!(pages, 2);
    let step = of(&people, "hog7")["steps"][0].clone();
    assert_eq!((step["properties"].as_object().unwrap().len(), &step["more_properties"]), (1, &json!(2)));
    let step = of(&people, "ben")["steps"][0].clone();
    assert_eq!((&step["properties"], step.get("more_properties")), (&json!({"Text": "short"}), None));
}

#[test]
fn an_answer_that_is_too_large_says_what_to_do() {
    let (_dir, server) = fresh();
    let lines: Vec<String> = (0..150)
        .map(|n| {
            json!({"type": "event", "person": "ann", "event": "Wrote", "time": 1_740_823_200 + n, "properties": {"N": n}})
                .to_string()
        })
        .collect();
    server.import(&lines.join("\n"));
    // 150 segments of 4,700 points of 30 bytes.
    let query = |limit: usize| {
        let series = json!([{"event": "Wrote"}]);
        json!({"series": series, "unit": "day", "by": "event.N", "limit": limit, "from": "2014-01-01", "to": "2026-11-01"})
            .to_string()
    };
    let all = server.post("/api/v1/trend", &query(150));
    assert_eq!((all.status, all.code().as_str()), (500, "answer_too_large"), "{}", all.text().len());
    assert!(all.json()["error"]["hint"].as_str().unwrap().contains("a smaller limit"));
    assert_eq!(server.post("/api/v1/trend", &query(20)).status, 200);
}

#[test]
fn a_page_of_very_long_values_stays_small_and_its_file_has_them_whole() {
    let (_dir, server) = fresh();
    hogs(&server, &"\"".repeat(8000));
    let text = |n: usize| format!("{n:0>3}{}", "&".repeat(7900));
    let lines: Vec<String> = (0..30)
        .map(|n| {
            json!({"type": "event", "person": "ann", "event": "Noted", "time": 1_704_067_200 + 86_400 * n,
                   "properties": {"Text": text(n), "Short": n}})
            .to_string()
        })
        .collect();
    server.import(&lines.join("\n"));
    let cookie = log_in(&server);
    let look = |target: &str| {
        let reply = server.client().send("GET", target, &[("Cookie", cookie.as_str())], b"");
        assert_eq!(reply.status, 200, "{target}: {}", reply.text());
        reply.text()
    };
    // 25 values of 24 KB in an address, in 366 rows: 217 MB of links. In the names of columns and on the drawing 170 characters of each.
    let trend = "/trends?series=Noted&unit=day&from=2024-01-01&to=2024-12-31";
    let (long, short) = (look(&format!("{trend}&by=event.Text")), look(&format!("{trend}&by=event.Short")));
    assert!(long.len() < short.len(), "{} {}", long.len(), short.len());
    assert!(long.contains("&amp;\u{2026}") && short.contains("segment=7"));
    assert!(look(&format!("{trend}&by=event.Text&csv=series1")).contains(&text(7)));
    // 200 people with two of 8,000 characters, of which HTML makes six bytes each.
    let people = look("/people?limit=1000");
    assert!(
        people.len() < 1 << 20 && people.contains("hog199") && people.contains("Rome"),
        "{}",
        people.len()
    );
    let columns = look("/people?limit=1000&columns=Alpha&columns=Beta");
    assert!(columns.len() < 1 << 20 && columns.contains("&quot;\u{2026}"), "{}", columns.len());
}

#[test]
fn a_file_that_becomes_too_large_says_so() {
    let (_dir, server) = fresh();
    let text = "\"".repeat(8000);
    let lines: Vec<String> = (0..800)
        .map(|n| {
            json!({"type": "event", "person": "ann", "event": "Wrote", "time": 1_740_823_200 + n, "properties": {"Text": text}})
                .to_string()
        })
        .collect();
    lines.chunks(100).for_each(|part| drop(server.import(&part.join("\n"))));
    let cookie = log_in(&server);
    let get = |target: &str| server.client().send("GET", target, &[("Cookie", cookie.as_str())], b"");
    // Each character is three in a file: a backslash, and a quotation mark twice.
    let reply = get("/people/ann?csv=events");
    assert_eq!((reply.status, reply.code().as_str()), (500, "answer_too_large"), "{}", reply.text().len());
    assert_eq!(get("/people/ann?csv=properties").status, 200);
}

#[test]
fn one_record_of_another_decade_takes_no_report_by_day_from_everybody() {
    let (_dir, server) = fresh();
    let event = |person: &str, time: &str| {
        json!({"type": "event", "person": person, "event": "Bought", "time": time, "properties": {"Revenue": 5}}).to_string()
    };
    // 6,268 days before the last: as whoever has only the write key may send it.
    server.import(&[event("clock", "2009-01-01T00:00:00Z"), event("ann", "2026-03-01T10:00:00Z")].join("\n"));
    let bought = r#"{"event":"Bought"}"#;
    for (report, query, list, rows, begin) in [
        ("trend", format!(r#"{{"series":[{bought}]"#), "series", 5000, "2012-06-23"),
        ("revenue", r#"{"unit":"day""#.to_owned(), "series", 5000, "2012-06-23"),
        ("lifecycle", r#"{"unit":"day""#.to_owned(), "points", 5000, "2012-06-23"),
        (
            "cohort",
            format!(r#"{{"start":{bought},"return":{bought},"cohort":"day","count":1"#),
            "cohorts",
            1000,
            "2023-06-06",
        ),
    ] {
        let ask = |more: &str| server.post(&format!("/api/v1/{report}"), &format!("{query}{more}}}"));
        let reply = ask("");
        assert_eq!(reply.status, 200, "{report}: {}", reply.text());
        let answer = reply.json();
        let points = if report == "trend" { &answer["series"][0]["points"] } else { &answer[list] };
        let name = |row: &Value| row.get("start").or(row.get("cohort")).unwrap().as_str().unwrap().to_owned();
        let points = points.as_array().unwrap();
        assert_eq!((points.len(), name(&points[0]).as_str()), (rows, begin), "{report}");
        let warnings = answer["warnings"].as_array().unwrap();
        let message = warnings[0]["message"].as_str().unwrap();
        assert!(
            warnings.len() == 1 && message.contains(&format!("from {begin} on")),
            "{report}: {warnings:?}"
        );
        match report {
            "trend" => assert_eq!(answer["series"][0]["total"], 2),
            "revenue" => assert_eq!(answer["total"], "10"),
            _ => {}
        }
        // Who says from when is told, and of months there are few enough.
        let asked = ask(r#","from":"2009-01-01""#);
        assert_eq!(
            (asked.status, asked.code().as_str()),
            (422, "out_of_range"),
            "{report}: {}",
            asked.text()
        );
        let later = ask(r#","from":"2026-01-01""#);
        assert_eq!(
            (later.status, later.json().get("warnings").is_none()),
            (200, true),
            "{report}: {}",
            later.text()
        );
    }
    let lifetimes = server.post("/api/v1/revenue", r#"{"unit":"day","lifetime":true}"#);
    assert_eq!((lifetimes.status, lifetimes.json()["warnings"].as_array().map(Vec::len)), (200, Some(1)));
}
