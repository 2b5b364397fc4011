//! People as a table: who, since when, what they are.

use super::answer;
use super::format;
use super::table::{Align, Table};
use crate::model::Json;

/// The answer for a terminal of `width` columns.
pub fn render(report: &Json, width: usize) -> String {
    let mut table = Table::new(&[
        ("Person", Align::Left),
        ("Events", Align::Right),
        ("Last seen (UTC)", Align::Left),
        ("Properties", Align::Left),
    ]);
    let people = answer::list(report, "people");
    for person in people {
        let properties = person.get("properties").and_then(Json::as_object);
        let properties =
            properties.into_iter().flatten().map(|(name, value)| format!("{name}={}", answer::value(value)));
        table.row(vec![
            answer::text(person, "person").to_owned(),
            answer::count(person, "events"),
            format::instant_to_the_second(answer::text(person, "last_seen")),
            properties.collect::<Vec<_>>().join(", "),
        ]);
    }
    let mut out = if people.is_empty() { String::new() } else { table.render(width) };
    out.push_str(&answer::counted(report, "total", "person", "people"));
    if let Some(cursor) = report.get("cursor").and_then(Json::as_str) {
        out.push_str(&format!(", more with --cursor {cursor}"));
    }
    out.push('\n');
    out.push_str(&answer::warnings(report));
    out
}

#[cfg(test)]
mod tests {
    use crate::model::json_of as json;

    use super::*;

    #[test]
    fn a_page_says_how_to_go_on() {
        let report = json!({"total": 1200, "cursor": "77", "people": [{"person": "jane", "events": 3,
            "last_seen": "2025-01-01T00:00:00Z", "properties": {"Plan": "Pro"}}]});
        let text = render(&report, 80);
        assert!(
            text.contains("Plan=Pro") && text.ends_with("1,200 people, more with --cursor 77\n"),
            "{text}"
        );
    }
}
