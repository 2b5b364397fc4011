//! A person's profile and time line as tables.

use super::answer;
use super::table::{Align, Table, visible};
use crate::model::Json;

/// The profile for a terminal of `width` columns.
pub fn profile(person: &Json, width: usize) -> String {
    let identified = person.get("identified").and_then(Json::as_bool).unwrap_or(false);
    let mut out = format!(
        "{} ({})\n{} from {} to {} UTC",
        visible(answer::text(person, "person")),
        if identified { "identified" } else { "anonymous" },
        answer::counted(person, "events", "event", "events"),
        visible(&answer::instant(person, "first_seen")),
        visible(&answer::instant(person, "last_seen")),
    );
    if let Some(revenue) = person.get("revenue").filter(|revenue| !revenue.is_null()) {
        out.push_str(&format!(", revenue {}", visible(&answer::money(revenue))));
    }
    out.push_str("\n\n");
    let mut identities = Table::new(&[("Identity", Align::Left)]);
    for identity in answer::list(person, "identities") {
        identities.row(vec![answer::value(identity)]);
    }
    out.push_str(&identities.render(width));
    out.push_str(&more(person, "more_identities"));
    if let Some(properties) = person.get("properties").and_then(Json::as_object).filter(|p| !p.is_empty()) {
        let mut table = Table::new(&[("Property", Align::Left), ("Value", Align::Left)]);
        for (name, value) in properties {
            table.row(vec![name.clone(), answer::value(value)]);
        }
        out.push('\n');
        out.push_str(&table.render(width));
        out.push_str(&more(person, "more_properties"));
    }
    if !answer::list(person, "counts").is_empty() {
        out.push('\n');
        out.push_str(&counts(person, width));
    }
    out
}

/// How many more there are than the table above shows.
fn more(person: &Json, name: &str) -> String {
    answer::more(person, name).map_or_else(String::new, |more| format!("{more}\n"))
}

fn counts(person: &Json, width: usize) -> String {
    let mut table = Table::new(&[
        ("Event", Align::Left),
        ("Count", Align::Right),
        ("First (UTC)", Align::Left),
        ("Last (UTC)", Align::Left),
    ]);
    for event in answer::list(person, "counts") {
        table.row(vec![
            answer::text(event, "event").to_owned(),
            answer::count(event, "count"),
            answer::instant(event, "first"),
            answer::instant(event, "last"),
        ]);
    }
    table.render(width)
}

/// A page of the time line for a terminal of `width` columns.
pub fn timeline(page: &Json, width: usize) -> String {
    let mut table = Table::new(&[
        ("Time (UTC)", Align::Left),
        ("Event", Align::Left),
        ("Identity", Align::Left),
        ("Properties", Align::Left),
    ]);
    for event in answer::list(page, "events") {
        table.row(vec![
            answer::instant(event, "time"),
            answer::text(event, "event").to_owned(),
            answer::text(event, "identity").to_owned(),
            properties(event),
        ]);
    }
    let mut out = table.render(width);
    if let Some(cursor) = page.get("cursor").and_then(Json::as_str) {
        out.push_str(&format!("\nmore with --cursor {}\n", visible(cursor)));
    }
    out
}

fn properties(event: &Json) -> String {
    let Some(properties) = event.get("properties").and_then(Json::as_object) else { return String::new() };
    let pairs = properties.iter().map(|(name, value)| format!("{name}={}", answer::value(value)));
    pairs.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use crate::model::json_of as json;

    use super::*;

    #[test]
    fn a_profile_says_who_and_what() {
        let person = json!({
            "person": "jane@x.example", "identities": ["jane@x.example", "anon\u{202e}7"], "identified": true,
            "properties": {"Plan": "Pro", "Seats": 12}, "events": 1234, "revenue": "99.98",
            "counts": [{"event": "Logged In", "count": 1230, "first": "2025-03-01T10:00:00Z",
                        "last": "2025-04-01T10:00:00.5Z"}],
            "first_seen": "2025-03-01T10:00:00Z", "last_seen": "2025-04-01T10:00:00.5Z",
        });
        let expected = "\
jane@x.example (identified)
1,234 events from 2025-03-01 10:00:00 to 2025-04-01 10:00:00.5 UTC, revenue 99.98

Identity
--------------
jane@x.example
anon\\u{202e}7

Property  Value
--------  -----
Plan      Pro
Seats     12

Event      Count  First (UTC)          Last (UTC)
---------  -----  -------------------  ---------------------
Logged In  1,230  2025-03-01 10:00:00  2025-04-01 10:00:00.5
";
        assert_eq!(profile(&person, 80), expected);
        assert!(profile(&json!({}), 80).starts_with("- (anonymous)\n- events"));
    }

    #[test]
    fn a_time_line_names_the_identity_and_what_comes_next() {
        let page = json!({"events": [
            {"event": "Purchased", "time": "2025-03-02T10:00:00Z", "identity": "jane@x.example",
             "properties": {"Plan": "Pro", "Revenue": 49.99}},
            {"event": "Visited Site", "time": "2025-03-01T10:00:00Z", "identity": "anon-7", "properties": {}},
        ], "cursor": "c2"});
        let expected = "\
Time (UTC)           Event         Identity        Properties
-------------------  ------------  --------------  -----------------------
2025-03-02 10:00:00  Purchased     jane@x.example  Plan=Pro, Revenue=49.99
2025-03-01 10:00:00  Visited Site  anon-7

more with --cursor c2
";
        assert_eq!(timeline(&page, 80), expected);
    }
}
