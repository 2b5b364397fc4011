//! Saved definitions over HTTP, the three forms of a query, and the receipt that leads back to it.

use serde_json::{Value as Json, json};

use super::{STEPS, fresh, history};
use crate::support::{Reply, Server, authorized};

fn send(server: &Server, method: &str, target: &str, body: &str) -> Reply {
    server.client().send(method, target, &[authorized()], body.as_bytes())
}

#[test]
fn a_saved_audience_filters_and_splits_reports_and_survives_a_restart() {
    let (dir, server) = fresh();
    server.import(&history());
    let path = "/api/v1/audiences/Team%20people";
    let saved = send(&server, "PUT", path, r#"{"people":{"property":"Plan","is":"Team"}}"#);
    assert_eq!(saved.json(), json!({"people": {"property": "Plan", "is": "Team"}}));
    server.stop();
    let server = Server::start(&dir.path().join("store"));
    assert_eq!(server.get("/api/v1/audiences")["audiences"][0]["name"], "Team people");
    let whole = format!("{{{STEPS},\"people\":{{\"audience\":\"Team people\"}}}}");
    assert_eq!(server.post("/api/v1/funnel", &whole).json()["steps"][0]["people"], 20);
    let split = format!("{{{STEPS},\"by\":\"audience:Team people\"}}");
    let answer = server.post("/api/v1/funnel", &split).json();
    let sizes: Vec<(&Json, &Json)> = answer["segments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (&s["value"], &s["steps"][0]["people"]))
        .collect();
    assert_eq!(sizes, [(&json!(false), &json!(40)), (&json!(true), &json!(20))]);
    let outcome =
        format!("{{\"people\":{{\"funnel\":{{{STEPS}}},\"step\":2,\"outcome\":\"lost\"}},\"limit\":0}}");
    assert_eq!(server.post("/api/v1/people", &outcome).json()["total"], 15);
    let report = format!("{{\"report\":\"funnel\",\"query\":{split}}}");
    assert_eq!(send(&server, "PUT", "/api/v1/reports/F", &report).status, 200);
    assert_eq!(send(&server, "DELETE", path, "").code(), "in_use");
    assert_eq!(send(&server, "DELETE", "/api/v1/reports/F", "").json(), json!({"deleted": "F"}));
    assert_eq!(send(&server, "DELETE", path, "").status, 200);
    assert_eq!(send(&server, "GET", path, "").status, 404);
    assert_eq!(server.post("/api/v1/funnel", &whole).code(), "unknown_audience");
}

#[test]
fn the_text_form_and_the_receipt_give_the_same_answer() {
    let (_dir, server) = fresh();
    server.import(&history());
    for (report, query) in [
        ("funnel", format!("{{{STEPS},\"within\":\"2d\",\"by\":\"person.Plan\",\"as_of\":\"2025-05-01\"}}")),
        (
            "cohort",
            r#"{"start":{"event":"Visited"},"return":{"event":["Signed Up","Paid"]},"as_of":"2025-05-01"}"#
                .into(),
        ),
        (
            "revenue",
            r#"{"property":"n","unit":"day","from":"2025-03-01","tz":"Europe/Berlin","as_of":"2025-05-01"}"#
                .into(),
        ),
        (
            "revenue",
            r#"{"property":"n","lifetime":true,"lost_by":["Paid","Visited"],"period":"n","as_of":"2025-05-01"}"#
                .into(),
        ),
        (
            "trend",
            r#"{"series":[{"event":"Paid","where":[{"property":"n","gt":7}]}],"as_of":"2025-05-01"}"#.into(),
        ),
        ("paths", r#"{"start":{"event":"Visited"},"goal":{"event":"Paid"},"as_of":"2025-05-01"}"#.into()),
        ("lifecycle", r#"{"event":"Paid","people":{"did":"Visited"},"as_of":"2025-05-01"}"#.into()),
        ("lifecycle", r#"{"event":["Paid","Visited"],"unit":"day","as_of":"2025-05-01"}"#.into()),
        ("people", r#"{"people":{"not":{"did":"Paid"}},"limit":3,"as_of":"2025-05-01"}"#.into()),
        ("people", r#"{"limit":3,"cursor":"7","as_of":"2025-05-01"}"#.into()),
    ] {
        let path = format!("/api/v1/{report}");
        let bare = |mut answer: Json| {
            for field in ["elapsed_ms", "explanation"] {
                answer.as_object_mut().unwrap().remove(field);
            }
            answer
        };
        let first = bare(server.post(&path, &query).json());
        let receipt = &first["receipt"];
        assert_eq!(receipt["records"], 165, "{first}");
        let again = bare(server.post(&path, &receipt["query"].to_string()).json());
        assert_eq!(again, first, "the resolved query is the query");
        let text = bare(server.get(&format!("{path}?{}", receipt["text"].as_str().unwrap())));
        assert_eq!(text, first, "so is its text");
    }
    let explained = server.get("/api/v1/funnel?step=Visited&explain=true");
    assert_eq!(explained["explanation"]["rows"], 60, "{explained}");
    assert_eq!(server.client().get("/api/v1/funnel?stp=Visited").code(), "unknown_field");
}

#[test]
fn a_value_that_nobody_ever_sent_is_warned_of() {
    let (_dir, server) = fresh();
    server.import(&history());
    let lines = [("Pro", "1"), ("Trial", "\"x\"")].map(|(plan, n)| {
        format!("{{\"type\":\"event\",\"person\":\"v\",\"event\":\"Valued\",\"properties\":{{\"Tier\":\"{plan}\",\"Code\":{n}}}}}\n")
    });
    let asked = |condition: &str| -> Vec<(String, Option<String>)> {
        let query = format!(r#"{{"steps":[{{"event":"Valued","where":[{condition}]}}]}}"#);
        let answer = server.post("/api/v1/funnel", &query).json();
        let list = answer["warnings"].as_array().cloned().unwrap_or_default();
        let text = |value: &Json| value.as_str().map(str::to_owned);
        list.iter().map(|w| (text(&w["at"]).unwrap(), text(&w["hint"]))).collect()
    };
    server.import(&lines.concat());
    // In memory, and in a segment.
    for compacted in [false, true] {
        if compacted {
            server.post("/api/v1/compact", "");
        }
        for known in [
            r#"{"property":"Tier","is":"Pro"}"#,
            r#"{"property":"Code","is":1}"#,
            r#"{"property":"Code","is":"1"}"#,
            r#"{"property":"Code","in":["x",1]}"#,
            r#"{"property":"Tier","is_not":"Prx"}"#,
            r#"{"property":"Tier","contains":"q"}"#,
        ] {
            assert_eq!(asked(known), [], "{known}");
        }
        let near = compacted.then(|| "did you mean \"Pro\"?".to_owned());
        assert_eq!(asked(r#"{"property":"Tier","is":"Prx"}"#), [("steps[0].where[0]".to_owned(), near)]);
        assert_eq!(asked(r#"{"property":"Code","in":[1,2,true]}"#).len(), 2);
        let query = r#"{"people":{"property":"Tier","is":"None"}}"#;
        let people = server.post("/api/v1/people", query).json();
        assert_eq!(
            (&people["total"], &people["warnings"][0]["at"]),
            (&0.into(), &"people".into()),
            "{people}"
        );
    }
}

#[test]
fn a_report_takes_no_name_of_another_unasked() {
    let (_dir, server) = fresh();
    server.import(&history());
    let session = super::pages::log_in(&server);
    let save = |pairs: &[(&str, &str)]| super::accounts::send(&server, &session, "/reports", pairs);
    let funnel = [
        ("name", "Mine <i>"),
        ("report", "funnel"),
        ("query", r#"{"steps":[{"event":"Paid"}]}"#),
        ("back", "/funnels?step=Paid"),
        ("pinned", "1"),
    ];
    let saved = save(&funnel);
    assert_eq!(saved.header("location"), Some("/funnels?step=Paid&saved_as=Mine+%3Ci%3E"));
    let page = super::accounts::get(&server, saved.header("location").unwrap(), &session).text();
    let notice = "Saved as <b>Mine &lt;i&gt;</b>. <a href=\"/\">";
    assert!(page.contains(notice) && !page.contains("saved_as"), "{page}");
    let unsaved = super::accounts::get(&server, "/funnels?step=Paid&saved_as=Nothing", &session).text();
    assert!(!unsaved.contains("Saved as"), "{unsaved}");
    let trend = [
        ("name", "Mine <i>"),
        ("report", "trend"),
        ("query", r#"{"series":[{"event":"Paid"}]}"#),
        ("back", "/trends?series=Paid"),
    ];
    let taken = save(&trend);
    let text = taken.text();
    assert!(taken.status == 409 && text.contains("another report of this name"), "{text}");
    assert!(text.contains("name=\"replace\"") && text.contains("value=\"/trends?series=Paid\""), "{text}");
    let kept = || server.get("/api/v1/reports/Mine%20%3Ci%3E")["report"].clone();
    assert_eq!(kept(), "funnel");
    // The same report once more, as when it is pinned, is no other.
    assert_eq!((save(&funnel).status, kept()), (303, "funnel".into()));
    let replaced = save(&[&trend[..], &[("replace", "1")]].concat());
    assert_eq!((replaced.status, kept()), (303, "trend".into()));
    let page = super::accounts::get(&server, replaced.header("location").unwrap(), &session).text();
    assert!(page.contains("<a href=\"/settings#reports\">"), "no longer pinned: {page}");
}
