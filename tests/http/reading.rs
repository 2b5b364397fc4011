//! Reports and people over HTTP: the numbers, the lists behind them, pages of them.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::{STEPS, fresh, funnel, history, people};
use crate::support::{Server, WRITE_KEY, authorized};

fn encoded(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

/// Every person of a list, page by page, and the total that each page told.
fn listed(server: &Server, query: &Json, page: usize) -> (Vec<String>, u64) {
    let (mut out, mut query) = (Vec::new(), query.clone());
    query["limit"] = page.into();
    for _ in 0..1000 {
        let reply = server.post("/api/v1/funnel/people", &query.to_string());
        assert_eq!(reply.status, 200, "{query}: {}", reply.text());
        let answer = reply.json();
        let names = answer["people"].as_array().unwrap().iter();
        out.extend(names.map(|p| p["person"].as_str().unwrap().to_owned()));
        if answer["cursor"].is_null() {
            return (out, answer["total"].as_u64().unwrap());
        }
        query["cursor"] = answer["cursor"].clone();
    }
    panic!("the pages of {query} do not end");
}

#[test]
fn spaces_around_the_name_of_an_event_are_none_of_it() {
    let (_dir, server) = fresh();
    server.import(&history());
    for of in
        ["/api/v1/people/person0@example.com/events?event=", "/api/v1/properties/n/values?of=event&event="]
    {
        let (plain, spaced) = (server.get(&format!("{of}Paid")), server.get(&format!("{of}+Paid+")));
        assert!(plain.get("warnings").is_none(), "{of}: {plain}");
        assert_eq!(plain, spaced, "{of}");
    }
}

#[test]
fn both_methods_give_the_same_funnel() {
    let (_dir, server) = fresh();
    server.import(&history());
    let query = format!("{{{STEPS},\"as_of\":\"2025-05-01\"}}");
    for path in ["/api/v1/funnel", "/api/v1/funnel/people"] {
        let query = match path {
            "/api/v1/funnel" => query.clone(),
            _ => query.replace("\"as_of\"", "\"step\":2,\"outcome\":\"lost\",\"as_of\""),
        };
        let mut get = server.get(&format!("{path}?q={}", encoded(&query)));
        let mut post = server.post(path, &query).json();
        get["elapsed_ms"] = Json::Null;
        post["elapsed_ms"] = Json::Null;
        assert_eq!(get, post);
        let head =
            server.client().send("HEAD", format!("{path}?q={}", encoded(&query)), &[authorized()], b"");
        assert_eq!((head.status, head.header("cache-control")), (200, Some("no-store")));
    }
    let answer = funnel(&server, &query);
    assert_eq!(people(&answer), [60, 30, 15]);
    assert_eq!(answer["steps"][1]["from_previous"], 0.5);
    assert_eq!(answer["steps"][1]["seconds"]["median"], 86400.0);
}

#[test]
fn every_number_is_the_length_of_its_list() {
    let (_dir, server) = fresh();
    server.import(&history());
    for order in ["ordered", "strict", "any"] {
        let base: Json = serde_json::from_str(&format!(
            "{{{STEPS},\"order\":\"{order}\",\"within\":\"36h\",\"as_of\":\"2025-03-03T12:00:00Z\",\
             \"by\":\"person.Plan\",\"until\":\"to\"}}"
        ))
        .unwrap();
        let answer = funnel(&server, &base.to_string());
        let whole = (None, answer["steps"].clone());
        let segments = answer["segments"].as_array().unwrap().iter();
        let parts = segments.map(|s| (Some(s["value"].clone()), s["steps"].clone()));
        for (segment, steps) in std::iter::once(whole).chain(parts) {
            for (at, step) in steps.as_array().unwrap().iter().enumerate() {
                for (outcome, field) in
                    [("reached", "people"), ("lost", "lost"), ("in_progress", "in_progress")]
                {
                    let mut query = base.clone();
                    query["step"] = (at + 1).into();
                    query["outcome"] = outcome.into();
                    if let Some(segment) = &segment {
                        query["segment"] = segment.clone();
                    }
                    let (names, total) = listed(&server, &query, 7);
                    assert_eq!(Some(total), step[field].as_u64(), "{query} {answer}");
                    assert_eq!(total, names.len() as u64);
                    let distinct: BTreeSet<&String> = names.iter().collect();
                    assert_eq!(distinct.len(), names.len(), "nobody is listed twice");
                }
            }
        }
    }
}

#[test]
fn what_nobody_sent_is_nobody_and_a_warning() {
    let (_dir, server) = fresh();
    server.import(&history());
    let answer = funnel(&server, r#"{"steps":[{"event":"Visited"},{"event":"Signed up"}]}"#);
    assert_eq!(people(&answer), [60, 0]);
    assert_eq!(answer["warnings"][0]["at"], "steps[1]");
    assert!(answer["warnings"][0]["hint"].as_str().unwrap().contains("Signed Up"), "{answer}");
}

#[test]
fn a_list_and_a_time_line_warn_of_what_nobody_sent() {
    let (_dir, server) = fresh();
    server.import(&history());
    let (visited, nope) = (r#"{"event":"Visited"}"#, r#"{"event":"Nope"}"#);
    for (list, query, at, total) in [
        ("funnel", format!(r#"{{"steps":[{nope}],"step":1}}"#), "steps[0]", 0),
        ("funnel", format!(r#"{{"steps":[{visited}],"step":1,"people":{{"did":"Nope"}}}}"#), "people", 0),
        (
            "funnel",
            format!(r#"{{"steps":[{visited}],"step":1,"by":"person.Plan","segment":"Prof"}}"#),
            "segment",
            0,
        ),
        ("cohort", format!(r#"{{"start":{visited},"return":{nope},"column":0}}"#), "return", 0),
        (
            "cohort",
            format!(r#"{{"start":{visited},"return":{visited},"by":"person.Plan","row":"Nope"}}"#),
            "row",
            0,
        ),
        ("paths", format!(r#"{{"start":{nope}}}"#), "start", 0),
        ("paths", format!(r#"{{"start":{visited},"path":[{{"event":"Nope","times":1}}]}}"#), "path", 0),
        ("revenue", r#"{"property":"Nope"}"#.to_owned(), "property", 0),
        ("revenue", r#"{"property":"n","by":"person.Plan","segment":"Nope"}"#.to_owned(), "segment", 0),
        ("revenue", r#"{"property":"n","lifetime":true,"period":"Nope"}"#.to_owned(), "period", 59),
        ("trend", format!(r#"{{"series":[{nope}]}}"#), "series[0]", 0),
        ("trend", format!(r#"{{"series":[{visited}],"by":"event.Nope"}}"#), "by", 60),
        (
            "lifecycle",
            r#"{"event":"Nope","unit":"day","start":"2025-03-01","which":"new"}"#.to_owned(),
            "event",
            0,
        ),
    ] {
        let reply = server.post(&format!("/api/v1/{list}/people"), &query);
        assert_eq!(reply.status, 200, "{query}: {}", reply.text());
        let answer = reply.json();
        assert_eq!(
            (&answer["total"], &answer["warnings"][0]["at"]),
            (&json!(total), &json!(at)),
            "{query}: {answer}"
        );
        assert!(answer["warnings"][0]["message"].as_str().unwrap().starts_with("no "), "{answer}");
    }
    let line = |query: &str| server.get(&format!("/api/v1/people/person0@example.com/events{query}"));
    let nobodys = line("?event=Payed");
    let warning = json!([{"at": "event", "message": "no event named \"Payed\" has come in", "hint": "did you mean \"Paid\"?"}]);
    assert_eq!(nobodys, json!({"events": [], "cursor": null, "warnings": warning}));
    // What is right says nothing.
    assert_eq!(line("?event=Paid").get("warnings"), None);
    let fine = [
        ("funnel", format!(r#"{{"steps":[{visited}],"step":1,"by":"person.Plan","segment":"Pro"}}"#)),
        ("funnel", format!(r#"{{"steps":[{visited}],"step":1,"by":"person.Plan","segment":null}}"#)),
        ("revenue", r#"{"property":"n","lifetime":true}"#.to_owned()),
        ("trend", format!(r#"{{"series":[{visited}],"by":"event.n","segment":3}}"#)),
    ];
    for (list, query) in fine {
        let answer = server.post(&format!("/api/v1/{list}/people"), &query).json();
        assert!(answer["total"].is_u64() && answer.get("warnings").is_none(), "{query}: {answer}");
    }
}

#[test]
fn a_row_of_cohorts_by_time_is_one_that_there_can_be() {
    let (_dir, server) = fresh();
    server.import(&history());
    let list = |rest: &str| {
        let query = format!(r#"{{"start":{{"event":"Visited"}},"return":{{"event":"Paid"}},{rest}}}"#);
        server.post("/api/v1/cohort/people", &query).json()
    };
    for (rest, total) in [
        (r#""row":null"#, 60),
        (r#""row":"2025-03""#, 60),
        (r#""row":"2025-04""#, 0),
        (r#""row":"2025-03-01","cohort":"day""#, 60),
        (r#""row":"2025-02-24","cohort":"week""#, 60),
        (r#""row":null,"by":"person.Plan""#, 0),
    ] {
        assert_eq!(list(rest)["total"], total, "{rest}");
    }
    for (rest, code) in [
        (r#""row":"2025-3""#, "bad_start"),
        (r#""row":"2025-03-01""#, "bad_start"),
        (r#""row":"2025-03-01T00:00:00Z","cohort":"day""#, "bad_start"),
        (r#""row":"2025-02-25","cohort":"week""#, "bad_start"),
        (r#""row":2025"#, "bad_start"),
        (r#""row":{"other":true}"#, "no_segments"),
    ] {
        let error = list(rest)["error"].clone();
        assert_eq!((&error["code"], &error["at"]), (&json!(code), &json!("row")), "{rest}: {error}");
    }
    let inside =
        r#"{"people":{"cohort":{"start":{"event":"Visited"},"return":{"event":"Paid"}},"row":"2025-3"}}"#;
    let error = server.post("/api/v1/people", inside).json()["error"].clone();
    assert_eq!((&error["code"], &error["at"]), (&json!("bad_start"), &json!("people.row")));
}

#[test]
fn a_person_and_pages_of_what_it_did() {
    let (_dir, server) = fresh();
    let mut lines = String::new();
    for n in 0..25 {
        // Five at each instant: a page may end in the midst of them.
        let (name, second) = (if n % 2 == 0 { "even" } else { "odd" }, n / 5);
        lines.push_str(&format!(
            "{{\"type\":\"event\",\"person\":\"p\",\"event\":\"{name}\",\"time\":\"2025-03-01T00:00:0{second}Z\",\
             \"properties\":{{\"n\":{n},\"Revenue\":0.1}}}}\n"
        ));
    }
    server.import(&lines);
    for (filter, count) in [("", 25), ("&event=even", 13), ("&event=nothing", 0)] {
        let (mut seen, mut times, mut cursor) = (BTreeSet::new(), Vec::new(), String::new());
        loop {
            let page = server.get(&format!("/api/v1/people/p/events?limit=3{filter}{cursor}"));
            for event in page["events"].as_array().unwrap() {
                assert!(seen.insert(event["properties"]["n"].as_u64().unwrap()), "{event} twice");
                times.push(event["time"].as_str().unwrap().to_owned());
            }
            match page["cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={}", encoded(next)),
                None => break,
            }
        }
        assert_eq!(seen.len(), count, "{filter}");
        assert!(times.is_sorted_by(|a, b| a >= b), "newest first");
    }
    let profile = server.get("/api/v1/people/p");
    assert_eq!((&profile["events"], &profile["revenue"]), (&25.into(), &"2.5".into()));
    let mut client = server.client();
    for bad in ["limit=0", "limit=x", "limit=10001", "cursor=x"] {
        assert_eq!(client.get(&format!("/api/v1/people/p/events?{bad}")).status, 422, "{bad}");
    }
}

#[test]
fn identities_of_any_characters_have_a_path() {
    let (_dir, server) = fresh();
    for identity in
        ["a/b", "50%", "a%2Fb", "caf\u{e9}", "\u{5c71}\u{7530}", "a b+c?d#e", "..", "a;b\\c", "\"<script>"]
    {
        let line = json!({"type": "event", "person": identity, "event": "x"}).to_string();
        assert_eq!(server.import(&line)["accepted"], 1);
        for tail in ["", "/events"] {
            let answer = server.get(&format!("/api/v1/people/{}{tail}", encoded(identity)));
            if tail.is_empty() {
                assert_eq!((&answer["person"], &answer["events"]), (&identity.into(), &1.into()));
            }
        }
    }
    let mut client = server.client();
    assert_eq!(client.get("/api/v1/people/%ff").status, 400);
    assert_eq!(client.get("/api/v1/people/%2").status, 400);
}

#[test]
fn people_are_merged_and_taken_apart() {
    let (_dir, server) = fresh();
    server.import(&history());
    let path = |identity: &str, verb: &str| format!("/api/v1/people/{identity}%40example.com/{verb}");
    let merge = |identity: &str, into: &str| {
        server.post(&path(identity, "merge"), &json!({"into": format!("{into}@example.com")}).to_string())
    };
    let merged = merge("person0", "person1");
    assert_eq!(merged.status, 200, "{}", merged.text());
    assert_eq!(merged.json()["identities"], json!(["person0@example.com", "person1@example.com"]));
    assert_eq!(server.get("/api/v1/stats")["people"], 59);
    for (reply, status, code) in [
        (merge("person0", "person1"), 409, "same_person"),
        (merge("person0", "nobody"), 404, "unknown_person"),
        (merge("nobody", "person1"), 404, "unknown_person"),
        (server.post(&path("person0", "merge"), "{}"), 422, "missing_field"),
        (server.post(&path("person0", "merge"), r#"{"into":"x","force":true}"#), 422, "unknown_field"),
        (server.post(&path("person0", "merge"), ""), 400, "bad_json"),
        (server.post(&path("person2", "unmerge"), ""), 409, "not_merged"),
        (server.post(&path("nobody", "unmerge"), ""), 404, "unknown_person"),
    ] {
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{}", reply.text());
    }
    let apart = server.post(&path("person1", "unmerge"), "");
    assert_eq!((apart.status, &apart.json()["identities"]), (200, &json!(["person1@example.com"])));
    assert_eq!(server.get("/api/v1/stats")["people"], 60);
}

#[test]
fn lists_and_counters_agree_with_what_was_sent() {
    let (_dir, server) = fresh();
    server.import(&history());
    let events = server.get("/api/v1/events");
    let visited = events["events"].as_array().unwrap().iter().find(|e| e["event"] == "Visited").unwrap();
    assert_eq!((&visited["count"], &visited["people"]), (&60.into(), &60.into()));
    assert_eq!(
        (&visited["first"], &visited["last"]),
        (&"2025-03-01T10:00:00Z".into(), &"2025-03-01T10:00:00Z".into())
    );
    let stats = server.get("/api/v1/stats");
    assert_eq!(
        (&stats["events"], &stats["sets"], &stats["people"]),
        (&105.into(), &60.into(), &60.into()),
        "{stats}"
    );
    let compacted = server.post("/api/v1/compact", "");
    assert_eq!((compacted.status, &compacted.json()["segments"]), (200, &1.into()));
    assert_eq!(people(&funnel(&server, &format!("{{{STEPS}}}"))), [60, 30, 15]);
    let mut client = server.client();
    let health = client.open("/healthz");
    assert_eq!((health.status, health.json()), (200, json!({"status": "ok", "disk": "ok"})));
    let metrics = client.get("/metrics");
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain"));
    let text = metrics.text();
    assert!(text.contains("\nwhodid_records 165\n") && text.contains("\nwhodid_people 60\n"), "{text}");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("whodid_") && value.parse::<f64>().is_ok(), "{line}");
    }
}

#[test]
fn properties_and_their_values_are_listed() {
    let (_dir, server) = fresh();
    server.import(&history());
    server.client().open(format!("/e?_k={WRITE_KEY}&_p=person0@example.com&_n=Paid&Plan=Pro&n=3"));
    let of = |query: &str| server.get(&format!("/api/v1/properties{query}"))["properties"].clone();
    let plan_of_events = json!({"property": "Plan", "of": "event", "events": ["Paid"]});
    let n = json!({"property": "n", "of": "event", "events": ["Paid", "Signed Up", "Visited"]});
    assert_eq!(of("?of=person"), json!([{"property": "Plan", "of": "person"}]));
    assert_eq!(of("?of=event"), json!([plan_of_events, n]));
    assert_eq!(of("").as_array().unwrap().len(), 3);
    let values = |query: &str| server.get(&format!("/api/v1/properties/{query}"));
    let plans = json!([{"value": "Free", "people": 20}, {"value": "Pro", "people": 20}, {"value": "Team", "people": 20}]);
    assert_eq!(values("Plan/values")["values"], plans);
    let most = values("n/values?of=event&limit=1");
    assert_eq!((&most["values"], &most["distinct"]), (&json!([{"value": 0, "events": 3}]), &json!(60)));
    let paid = values("n/values?of=event&event=Paid&containing=3");
    assert_eq!(
        paid["values"],
        json!([{"value": 3, "events": 1}, {"value": 32, "events": 1}, {"value": 36, "events": 1}])
    );
    let code = |query: &str| server.client().get(&format!("/api/v1/properties{query}")).code();
    let nobodys = values("Plam/values");
    let warning = json!([{"at": "property", "message": "no property named \"Plam\" has come in", "hint": "did you mean \"Plan\"?"}]);
    assert_eq!(nobodys, json!({"values": [], "distinct": 0, "warnings": warning}));
    let nobodys = values("n/values?of=event&event=Payed");
    assert_eq!((&nobodys["distinct"], &nobodys["warnings"][0]["at"]), (&json!(0), &json!("event")));
    assert_eq!(paid.get("warnings"), None);
    assert_eq!(code("?of=cat"), "bad_owner");
    assert_eq!(code("/Plan/values?event=Paid"), "not_used");
}

#[test]
fn the_people_of_a_cohort_came_when_its_cells_say() {
    let (_dir, server) = fresh();
    server.import(&history());
    // Long behind the last bucket.
    server.import(
        r#"{"type":"event","person":"person1@example.com","event":"Paid","time":"2025-03-20T10:00:00Z"}"#,
    );
    assert_eq!(came(&server, "in"), [0, 30, 15]);
    assert_eq!(came(&server, "at_least"), [31, 31, 16]);
}

/// How many came in each bucket, by the cells and by the people.
fn came(server: &Server, mode: &str) -> Vec<u64> {
    let query = json!({"start": {"event": "Visited"}, "return": {"event": ["Signed Up", "Paid", "Visited"]},
        "cohort": "month", "bucket": "day", "count": 3, "mode": mode});
    let cells = server.post("/api/v1/cohort", &query.to_string()).json()["cohorts"][0]["cells"].clone();
    let mut came = vec![0; cells.as_array().unwrap().len()];
    let mut list = query.clone();
    list["limit"] = 7.into();
    loop {
        let page = server.post("/api/v1/cohort/people", &list.to_string()).json();
        for person in page["people"].as_array().unwrap() {
            assert_eq!((&person["start"], &page["total"]), (&"2025-03-01T10:00:00Z".into(), &60.into()));
            person["came"].as_array().unwrap().iter().for_each(|at| came[at.as_u64().unwrap() as usize] += 1);
        }
        if page["cursor"].is_null() {
            break;
        }
        list["cursor"] = page["cursor"].clone();
    }
    let said: Vec<u64> =
        cells.as_array().unwrap().iter().map(|cell| cell["people"].as_u64().unwrap()).collect();
    assert_eq!(came, said, "{cells}");
    came
}
