//! Numbers that double precision cannot hold are the same numbers wherever they pass: answers, addresses, pages, what is saved, tables.

use super::accounts::get;
use super::pages::log_in;
use super::{fresh, live::Watcher};
use crate::support::{authorized, run};

/// The first two and the last two are the same doubles.
const SCORES: [&str; 5] = [
    "0.12345678901234567891",
    "0.12345678901234567892",
    "12345678901234567890123",
    "9007199254740993.5",
    "9007199254740993.25",
];

fn lines() -> String {
    let mut lines = String::new();
    for (person, score) in SCORES.iter().enumerate() {
        lines.push_str(&format!(
            "{{\"type\":\"set\",\"person\":\"p{person}\",\"time\":\"2025-03-01T09:00:00Z\",\"properties\":{{\"Score\":{score}}}}}\n\
             {{\"type\":\"event\",\"person\":\"p{person}\",\"event\":\"Did\",\"time\":\"2025-03-01T10:00:00Z\",\"properties\":{{\"n\":{score}}}}}\n"
        ));
    }
    lines
}

/// Every address in a page that begins so, as browsers read it.
fn links(page: &str, begin: &str) -> Vec<String> {
    let found = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    found.filter(|link| link.starts_with(begin)).map(|link| link.replace("&amp;", "&")).collect()
}

#[test]
fn answers_and_addresses_keep_every_digit() {
    let (dir, server) = fresh();
    server.import(&lines());
    let (all, segments) = (r#""steps":[{"event":"Did"}],"by":"person.Score""#, "step=Did&by=person.Score");
    for (person, score) in SCORES.iter().enumerate() {
        let name = format!("{{\"person\":\"p{person}\"");
        let one = |text: &str| text.contains("\"total\":1,") && text.contains(&name);
        for (target, body) in [
            ("funnel/people", format!("{{{all},\"step\":1,\"outcome\":\"reached\",\"segment\":{score}}}")),
            ("people", format!("{{\"people\":{{\"property\":\"Score\",\"is\":{score}}}}}")),
        ] {
            let text = server.post(&format!("/api/v1/{target}"), &body).text();
            assert!(one(&text), "{score}: {text}");
        }
        for target in [
            format!("funnel/people?{segments}&at_step=1&outcome=reached&segment={score}"),
            format!("people?people=%7B%22property%22:%22Score%22,%22is%22:{score}%7D"),
        ] {
            let text = server.client().send("GET", format!("/api/v1/{target}"), &[authorized()], b"").text();
            assert!(one(&text), "{target}: {text}");
        }
        let saved = format!("{{\"people\":{{\"property\":\"Score\",\"is\":{score}}}}}");
        let path = format!("/api/v1/audiences/{person}");
        assert_eq!(server.client().send("PUT", &path, &[authorized()], saved.as_bytes()).text(), saved);
    }
    let table = run(&dir.path().join("store"), &["funnel", "--step", "Did", "--by", "person.Score"], b"");
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(SCORES.iter().all(|score| table.contains(score)), "{table}");
}

#[test]
fn pages_open_into_whom_they_count() {
    let (_dir, server) = fresh();
    server.import(&lines());
    let session = log_in(&server);
    let page = |target: &str| get(&server, target, &session).text();
    let funnel = page("/funnels?step=Did&by=person.Score");
    let behind = links(&funnel, "/funnels/people?");
    for (person, score) in SCORES.iter().enumerate() {
        assert!(funnel.contains(score), "{score}: {funnel}");
        let own: Vec<&String> =
            behind.iter().filter(|link| link.contains(&format!("segment={score}"))).collect();
        assert!(!own.is_empty(), "{score}: {behind:?}");
        assert!(links(&page(own[0]), "/people/").contains(&format!("/people/p{person}")), "{own:?}");
        let profile = page(&format!("/people/p{person}"));
        assert_eq!(profile.matches(score).count(), 3, "the property now and first, the event's: {profile}");
        // What a form sends becomes the report, whose people are shown.
        let form = format!("/people?only=Score&op=is&val={score}");
        let to = get(&server, &form, &session).header("location").expect("the report's address").to_owned();
        let found = links(&page(&to), "/people/");
        assert_eq!(found, [format!("/people/p{person}")], "{to}");
    }
}

#[test]
fn rows_of_cohorts_open_whatever_their_values_look_like() {
    let (_dir, server) = fresh();
    let values = [
        "true",
        "null",
        "90210",
        "[x]",
        "{{7*7}}",
        "[\"a\",\"b\"]",
        "\u{2028}edge ",
        "a b&c=d",
        "{\"other\":true}",
    ];
    let mut lines = String::new();
    for (at, value) in values.iter().enumerate() {
        for person in 0..=at {
            let value = serde_json::Value::from(*value);
            lines.push_str(&format!(
                "{{\"type\":\"set\",\"person\":\"p{at}-{person}\",\"time\":\"2025-03-01T09:00:00Z\",\"properties\":{{\"Tag\":{value}}}}}\n\
                 {{\"type\":\"event\",\"person\":\"p{at}-{person}\",\"event\":\"Did\",\"time\":\"2025-03-01T10:00:00Z\"}}\n"
            ));
        }
    }
    server.import(&lines);
    let session = log_in(&server);
    let page = |target: &str| get(&server, target, &session).text();
    let cohorts = page("/cohorts?start=Did&return=Did&count=1&by=person.Tag");
    let mut sizes: Vec<usize> = Vec::new();
    for link in
        links(&cohorts, "/cohorts/people?").iter().filter(|l| l.contains("row=") && !l.contains("column="))
    {
        let people = page(link);
        let found = links(&people, "/people/").len();
        assert!(people.contains(&format!("<strong>{found}</strong>")), "{link}: {people}");
        sizes.push(found);
    }
    sizes.sort_unstable();
    sizes.dedup();
    assert_eq!(sizes, (1..=values.len()).collect::<Vec<_>>());
}

#[test]
fn the_live_view_keeps_every_digit() {
    let (_dir, server) = fresh();
    let mut watcher = Watcher::new(&server, "", &[]);
    for score in SCORES {
        server.import(&format!(
            "{{\"type\":\"event\",\"person\":\"p\",\"event\":\"Did\",\"properties\":{{\"n\":{score}}}}}"
        ));
        let message = watcher.block().expect("a message");
        assert!(message.contains(&format!("\"n\":{score}")), "{message}");
    }
}
