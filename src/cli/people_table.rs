//! People as a table: who, since when, what they are.

use super::answer;
use super::format;
use super::table::{Align, Table};
use crate::model::Json;

/// The answer for a terminal of `width` columns. Identities are whole, so that `whodid person` takes them: first properties give way,
/// then seconds.
pub fn render(report: &Json, width: usize) -> String {
    let people = answer::list(report, "people");
    let mut table = table_of(people, format::instant_to_the_second);
    if !table.fits(width) {
        table = table_of(people, format::instant_to_the_minute);
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

fn table_of(people: &[Json], seen: fn(&str) -> String) -> Table {
    let mut table = Table::new(&[
        ("Person", Align::Whole),
        ("Events", Align::Right),
        ("Last seen (UTC)", Align::Whole),
        ("Properties", Align::Left),
    ]);
    for person in people {
        let properties = person.get("properties").and_then(Json::as_object);
        let properties =
            properties.into_iter().flatten().map(|(name, value)| format!("{name}={}", answer::value(value)));
        table.row(vec![
            answer::text(person, "person").to_owned(),
            answer::count(person, "events"),
            seen(answer::text(person, "last_seen")),
            properties.chain(answer::more(person, "more_properties")).collect::<Vec<_>>().join(", "),
        ]);
    }
    table
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

    #[test]
    fn an_identity_is_whole_and_all_else_gives_way() {
        let render_of = |length: usize| {
            let person = "p".repeat(length);
            let report = json!({"total": 1, "people": [{"person": person, "events": 12,
                "last_seen": "2025-01-01T10:20:30Z", "properties": {"Campaign Source": "google.com"}}]});
            let text = render(&report, 80);
            assert!(text.contains(&person) && text.lines().all(|line| line.len() <= 80), "{text}");
            text
        };
        assert!(render_of(20).contains("  2025-01-01 10:20:30  Campaign Source=google.com\n"));
        assert!(render_of(40).contains("  2025-01-01 10:20:30  Campai...\n"), "{}", render_of(40));
        assert!(render_of(44).contains("  2025-01-01 10:20  Campa...\n"), "{}", render_of(44));
    }
}
