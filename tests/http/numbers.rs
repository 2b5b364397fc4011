//! Numbers of pages: what is behind them, and what the API says of the same question.

use serde_json::json;

use super::pages::{FORM, OWN, log_in, post};
use super::{fresh, history};
use crate::support::{Server, authorized};

/// A server with somebody who looks at its pages.
struct Looked {
    _dir: tempfile::TempDir,
    server: Server,
    session: String,
}

impl Looked {
    fn at(records: &str) -> Self {
        let (dir, server) = fresh();
        server.import(records);
        let session = log_in(&server);
        Self { _dir: dir, server, session }
    }

    fn page(&self, target: &str) -> String {
        let cookie = ("Cookie", self.session.as_str());
        let reply = self.server.client().send("GET", target, &[cookie], b"");
        assert_eq!(reply.status, 200, "{target}: {}", reply.text());
        reply.text()
    }

    /// The rows of a table's file.
    fn rows(&self, target: &str) -> Vec<Vec<String>> {
        let text = self.page(target);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
    }

    /// When people entered and how many, by the table over time.
    fn entered(&self, funnel: &str) -> Vec<(String, String)> {
        let rows = self.rows(&format!("/funnels?{funnel}&csv=over"));
        rows.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect()
    }

    fn post(&self, target: &str, fields: &[(&str, &str)]) {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let cookie = ("Cookie", self.session.as_str());
        let reply = post(&self.server, target, &[cookie, OWN, FORM], &body);
        assert_eq!(reply.status, 303, "{}", reply.text());
    }

    /// Opens the list behind every number of people on a page, and gives how many there are.
    fn follow(&self, target: &str) -> usize {
        let page = self.page(target);
        let mut pieces = page.split("<a class=\"number\" href=\"");
        let (mut before, mut followed) = (pieces.next().unwrap(), 0);
        for piece in pieces {
            let (link, rest) = piece.split_once("\">").unwrap();
            let tag = &before[before.rfind('<').unwrap()..];
            // Where a share is shown the number is what it says to whoever stays on it.
            let number = tag.split_once("title=\"").map_or(rest, |(_, title)| title);
            before = piece;
            // A search is none of these lists.
            if !link.contains("/people?") || link.starts_with("/people?") {
                continue;
            }
            let list = self.page(&link.replace("&amp;", "&"));
            assert_eq!(first_number(number), total(&list), "{target}: {link}");
            followed += 1;
        }
        followed
    }
}

/// The number that a text begins with.
fn first_number(text: &str) -> u64 {
    let digits = text.chars().filter(|c| *c != ',').take_while(char::is_ascii_digit);
    digits
        .collect::<String>()
        .parse()
        .unwrap_or_else(|_| panic!("no number: {}", &text[..text.len().min(80)]))
}

/// How many people a page lists.
fn total(page: &str) -> u64 {
    let found = page.split_once("<p class=\"headline total\"><strong>");
    first_number(found.unwrap_or_else(|| panic!("no total: {page}")).1)
}

/// What the field of this name sends unseen.
fn hidden(page: &str, name: &str) -> String {
    let field = format!("type=\"hidden\" name=\"{name}\" value=\"");
    let value = page.split_once(&field).unwrap_or_else(|| panic!("no {name}: {page}")).1;
    value.split('"').next().unwrap().replace("&quot;", "\"").replace("&amp;", "&")
}

fn event(person: &str, event: &str, time: &str) -> String {
    let line = json!({"type": "event", "person": person, "event": event, "time": time});
    format!("{line}\n")
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(start, number)| ((*start).to_owned(), (*number).to_owned())).collect()
}

#[test]
fn the_list_behind_every_number_is_as_long() {
    let looked = Looked::at(&history());
    let steps = "step=Visited&step=Signed+Up&step=Paid";
    for (target, least) in [
        (format!("/funnels?{steps}&by=person.Plan&limit=1&over=day"), 20),
        (format!("/funnels?{steps}&order=any&as_of=2025-03-02&over=day"), 15),
        ("/cohorts?start=Visited&return=Paid&by=person.Plan&limit=1".to_owned(), 10),
        ("/revenue?property=n&by=person.Plan&limit=1&lifetime=true&lost_after=30d".to_owned(), 10),
        ("/trends?series=Visited&series=Paid&measure=people&by=person.Plan&limit=1".to_owned(), 12),
        ("/paths?start=Visited&limit=1".to_owned(), 3),
        ("/?weeks=show".to_owned(), 8),
    ] {
        let followed = looked.follow(&target);
        assert!(followed >= least, "{target}: {followed}");
        if target.contains("limit=1") {
            let page = looked.page(&target);
            let other = form_urlencoded::byte_serialize(b"{\"other\":true}").collect::<String>();
            assert!(page.contains(&other), "{target}: {page}");
        }
    }
    let list = looked.page("/cohorts/people?start=Visited&return=Paid&by=person.Plan&shown=1&row=Pro");
    assert!(list.contains("by=person.Plan&amp;limit=1\">Back to the report"), "{list}");
}

#[test]
fn a_winner_need_not_be_text() {
    let mut lines = String::new();
    for (n, converted) in [(1, 20), (2, 35)] {
        for k in 0..100 {
            let person = format!("{n}-{k}");
            let mut variant = json!({"Number": n, "Truth": n == 2, "Text": format!("Variant {n}")});
            variant["Told"] = (n == 2).to_string().into();
            variant["Version"] = ["1.10", "1.9"][n - 1].into();
            let set = json!({"type": "set", "person": person, "time": "2025-03-01T09:00:00Z", "properties": variant});
            lines.push_str(&format!("{set}\n{}", event(&person, "A", "2025-03-01T10:00:00Z")));
            if k < converted {
                lines.push_str(&event(&person, "B", "2025-03-01T11:00:00Z"));
            }
        }
    }
    let looked = Looked::at(&lines);
    for (property, control, winner) in [
        ("Text", "Variant+1", "Variant 2"),
        ("Number", "1", "2"),
        ("Truth", "false", "true"),
        ("Told", "false", "true"),
        ("Version", "1.10", "1.9"),
    ] {
        let page = looked.page(&format!("/experiments?step=A&step=B&by=person.{property}&control={control}"));
        assert!(page.contains(&format!("<strong>{winner} wins</strong>")), "{property}: {page}");
    }
    let page = looked.page("/experiments?step=A&step=B&by=person.Number&control=2");
    assert!(page.contains("No winner."), "{page}");
    let asked = json!({"steps": [{"event": "A"}, {"event": "B"}], "by": "person.Number", "control": "1"});
    let answer = looked.server.post("/api/v1/funnel", &asked.to_string()).json();
    assert_eq!((&answer["experiment"]["control"], &answer["experiment"]["winner"]), (&json!(1), &json!(2)));
    assert_eq!(answer["receipt"]["query"]["control"], "1");
}

#[test]
fn a_label_that_nobody_has_is_warned_of() {
    let mut lines = String::new();
    for (person, tier) in [("ann", json!(5)), ("ben", json!(5)), ("cy", json!("7")), ("dee", json!("true"))] {
        let properties = json!({"Tier": tier, "Campaign Source": "google"});
        let set = json!({"type": "set", "person": person, "time": "2025-03-01T09:00:00Z", "properties": properties});
        lines.push_str(&format!("{set}\n{}", event(person, "A", "2025-03-01T10:00:00Z")));
    }
    // Somebody else has the number as text, but not in these reports.
    lines.push_str("{\"type\":\"set\",\"person\":\"eve\",\"time\":\"2025-03-01T09:00:00Z\",\"properties\":{\"Tier\":\"5\"}}\n");
    let looked = Looked::at(&lines);
    let cohort = json!({"start": {"event": "A"}, "return": {"event": "A"}, "by": "person.Tier"});
    for (label, total) in [(json!("5"), 2), (json!(5), 2), (json!(7), 1), (json!(true), 1), (json!("8"), 0)] {
        let mut list = cohort.clone();
        list["row"] = label.clone();
        let search = json!({"people": {"cohort": cohort, "row": label}});
        for (path, query) in [("cohort/people", &list), ("people", &search)] {
            let answer = looked.server.post(&format!("/api/v1/{path}"), &query.to_string()).json();
            assert_eq!(answer["total"], total, "{query}: {answer}");
            assert_eq!(answer.get("warnings").is_some(), total == 0, "{query}: {answer}");
        }
    }
    let by_source = json!({"which": "people", "segment": "gogle"}).to_string();
    let answer = looked.server.post("/api/v1/revenue/people", &by_source).json();
    let warned = answer["warnings"].as_array().unwrap().iter().find(|warning| warning["at"] == "segment");
    assert_eq!((&answer["total"], &warned.unwrap()["hint"]), (&json!(0), &json!("did you mean \"google\"?")));
}

#[test]
fn the_first_unit_of_a_funnel_begins_as_the_funnel_does() {
    let mut lines = event("early", "Entered", "2024-12-10T10:00:00Z");
    for day in 4..10 {
        lines.push_str(&event(&format!("p{day}"), "Entered", &format!("2025-01-{day:02}T10:00:00Z")));
    }
    let looked = Looked::at(&lines);
    for (range, entered) in [
        ("over=month&from=2025-01-07", "3"),
        ("over=month&from=2025-01-07T12:00:00Z", "2"),
        ("over=month&from=2025-01-05&to=2025-01-08", "4"),
        ("over=month&from=2025-01-01", "6"),
    ] {
        let funnel = format!("step=Entered&{range}");
        assert_eq!(looked.entered(&funnel), pairs(&[("2025-01-01", entered)]), "{range}");
        looked.follow(&format!("/funnels?{funnel}"));
    }
    let samoa = looked.entered("step=Entered&over=day&tz=Pacific/Apia&from=2011-12-29&to=2011-12-31");
    assert_eq!(samoa, pairs(&[("2011-12-29", "0"), ("2011-12-31", "0")]), "it never had the 30th");
    let days = looked.entered("step=Entered&over=day&from=2024-12-01&to=2025-01-20");
    let people: u64 = days.iter().map(|(_, number)| number.parse::<u64>().unwrap()).sum();
    assert_eq!((days.len(), people), (26, 6), "the first day shown is not the first: {days:?}");
}

#[test]
fn a_funnel_in_any_order_is_entered_by_each_of_its_steps() {
    let lines = [
        event("one", "OA", "2025-01-15T10:00:00Z"),
        event("two", "OB", "2025-03-10T10:00:00Z"),
        event("three", "OB", "2025-03-11T10:00:00Z"),
    ];
    let looked = Looked::at(&lines.concat());
    let all = pairs(&[("2025-01-01", "1"), ("2025-02-01", "0"), ("2025-03-01", "2")]);
    let between: String = (0..10).map(|n| format!("&step=X{n}")).collect();
    for steps in ["step=OA&step=OB".to_owned(), format!("step=OA{between}&step=OB")] {
        assert_eq!(looked.entered(&format!("{steps}&order=any&over=month")), all, "{steps}");
    }
    let funnel = "step=OA&step=OB&order=any&over=month";
    let page = looked.page(&format!("/funnels?{funnel}"));
    for (first, last) in
        [("2025-01-01", "2025-01-31"), ("2025-02-01", "2025-02-28"), ("2025-03-01", "2025-03-31")]
    {
        assert!(page.contains(&format!("from={first}&amp;to={last}")), "{first}: {page}");
    }
    assert_eq!(looked.entered("step=OA&step=OB&over=month"), all[..1]);
    assert_eq!(looked.entered(&format!("{funnel}&as_of=2025-02-10")), all[..1]);
    let year = format!("{funnel}&from=2025-01-01&to=2025-12-31");
    // February is not over, and what is later is no row.
    let begun = pairs(&[("2025-01-01", "1"), ("2025-02-01*", "0")]);
    assert_eq!(looked.entered(&format!("{year}&as_of=2025-02-10")), begun);
    assert_eq!(looked.entered(&format!("{year}&as_of=2025-03-10")).last().unwrap().1, "1");
}

#[test]
fn a_search_finds_whom_the_api_finds() {
    let looked = Looked::at(&history());
    for query in [
        "from=2025-03-02",
        "from=2025-03-03&to=2025-03-03",
        "to=2025-02-28",
        "from=2025-03-02T10:00:01Z&tz=Europe%2FBerlin",
        "from=2025-03-02&as_of=2025-03-01",
        "from=2025-03-03&people=%7B%22property%22%3A%22Plan%22%2C%22is%22%3A%22Team%22%7D",
        "limit=3",
        "limit=0",
    ] {
        let said = &looked.server.get(&format!("/api/v1/people?{query}"))["total"];
        assert_eq!(&json!(total(&looked.page(&format!("/people?{query}")))), said, "{query}");
    }
    // What was asked stays asked when more is.
    let page = looked.page("/people?from=2025-03-02&as_of=2025-03-05&columns=Plan");
    assert!(page.contains("name=\"from\" type=\"date\" value=\"2025-03-02\""), "{page}");
    let kept = ["as_of", "columns"].map(|name| hidden(&page, name));
    assert_eq!(kept, ["2025-03-05", "Plan"]);
    // Whoever is kept as an audience is whoever was found.
    let page = looked.page("/people?from=2025-03-03&tz=Europe%2FBerlin");
    looked.post("/audiences", &[("name", "Found"), ("people", &hidden(&page, "people"))]);
    assert_eq!(total(&looked.page("/people?people=Found")), 15);
}

#[test]
fn columns_are_named_as_the_api_names_them_or_without_the_person() {
    let changed = json!({"type": "set", "person": "person0@example.com", "time": "2025-03-02T09:00:00Z", "properties": {"Plan": "Team"}});
    let looked = Looked::at(&(history() + &changed.to_string() + "\n"));
    let who = "people=%7B%22property%22%3A%22Plan%22%2C%22is%22%3A%22Team%22%7D&limit=1";
    for (columns, head, values) in [
        ("columns=Plan", vec!["Plan"], vec!["Team"]),
        ("columns=person.Plan", vec!["Plan"], vec!["Team"]),
        ("columns=first:person.Plan&columns=Plan", vec!["first Plan", "Plan"], vec!["Free", "Team"]),
    ] {
        let page = looked.page(&format!("/people?{who}&{columns}"));
        for name in head {
            assert!(page.contains(&format!("<th scope=\"col\">{name}</th>")), "{columns}: {page}");
        }
        let row = &looked.rows(&format!("/people?{who}&{columns}&csv=people"))[0];
        assert_eq!(row[1..=values.len()], values[..], "{columns}");
    }
    let page = looked.page("/people?columns=first:person.Plan&columns=Email");
    let chips = page.split_once("aria-label=\"Filters\"").expect("chips").1.split("</ul>").next().unwrap();
    assert!(chips.contains("columns: first:person.Plan") && chips.contains("href=\"/people?columns=Email\""));
}

#[test]
fn a_saved_search_says_the_same_everywhere() {
    let robot = json!({"type": "set", "person": "person2@example.com", "time": "2025-03-01T11:00:00Z", "properties": {"User Agent": "Googlebot/2.1"}});
    let looked = Looked::at(&(history() + &robot.to_string() + "\n"));
    let query = json!({"from": "2025-03-02", "columns": ["person.Plan", "first:person.Plan"], "limit": 5});
    let report = json!({"report": "people", "query": query}).to_string();
    let put = looked.server.client().send("PUT", "/api/v1/reports/Sent", &[authorized()], report.as_bytes());
    assert_eq!(put.status, 200, "{}", put.text());
    looked.post("/reports/pin", &[("name", "Sent")]);
    let page = looked.page("/people?from=2025-03-02&columns=Plan&who=person1%40example.com");
    let query = hidden(&page, "query");
    assert_eq!(query, r#"{"from":"2025-03-02","columns":["person.Plan"]}"#);
    let fields = [("name", "Kept"), ("report", "people"), ("query", query.as_str()), ("pinned", "1")];
    looked.post("/reports", &fields);
    for robots in ["with", "without"] {
        looked.post("/settings", &[("tz", "UTC"), ("week_start", "monday"), ("robots", robots)]);
        for name in ["Sent", "Kept"] {
            let (overview, settings) = (looked.page("/"), looked.page("/settings"));
            let link = settings.split_once(&format!("\">{name}</a>")).expect("a link").0;
            let link = link.rsplit('"').next().unwrap().replace("&amp;", "&");
            let card = overview.split_once(&format!("\">{name}</a><p>")).expect("a card").1;
            let numbers = (first_number(card), total(&looked.page(&link)));
            assert_eq!(numbers, (30, 30), "{name} {robots}: {link}");
        }
    }
    // Who asks without them keeps that.
    let page = looked.page("/people?from=2025-03-02");
    assert_eq!((total(&page), hidden(&page, "query").contains("\"bot\":false")), (29, true));
}

#[test]
fn what_a_clock_that_runs_ahead_sends_is_seen_when_it_is_time() {
    let of = |kind: &str, hours: i64, event: &str, properties: serde_json::Value| {
        let time = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours)).to_string();
        let mut line = json!({"type": kind, "person": "ann", "time": time, "properties": properties});
        if kind == "event" {
            line["event"] = event.into();
        }
        format!("{line}\n")
    };
    let lines = [
        of("set", -2, "", json!({"Plan": "Free"})),
        of("event", -2, "Bought", json!({"Revenue": 5})),
        of("set", 2, "", json!({"Plan": "Pro"})),
        of("event", 2, "Bought", json!({"Revenue": 7})),
        of("event", 2, "Only later", json!({})),
    ];
    let looked = Looked::at(&lines.concat());
    let server = &looked.server;
    let person = server.get("/api/v1/people/ann");
    assert_eq!((&person["properties"]["Plan"], &person["revenue"]), (&json!("Free"), &json!("5")));
    assert_eq!((&person["events"], person["counts"].as_array().unwrap().len()), (&json!(1), 1));
    assert_eq!(server.get("/api/v1/people/ann/events")["events"].as_array().unwrap().len(), 1);
    let listed = server.get("/api/v1/events");
    let events = &listed["events"];
    assert_eq!((&events[0]["count"], &events[0]["people"], &events[1]), (&json!(1), &json!(1), &json!(null)));
    assert_eq!(events[0]["first"], events[0]["last"]);
    let values = server.get("/api/v1/properties/Revenue/values?of=event");
    assert_eq!(values["values"], json!([{"value": 5, "events": 1}]));
    for page in ["/", "/settings", "/people/ann"] {
        assert!(!looked.page(page).contains("Only later<"), "{page}");
    }
    // Everything that is stored is erased and handed out.
    let all = server.client().get("/api/v1/export?person=ann").text();
    assert_eq!(all.lines().count(), 5, "{all}");
}
