//! The list of events as a table.

use super::answer;
use super::format;
use super::table::{Align, Table};
use crate::model::Json;

/// The list for a terminal of `width` columns.
pub fn render(events: &Json, width: usize) -> String {
    let mut table = Table::new(&[
        ("Event", Align::Left),
        ("Count", Align::Right),
        ("People", Align::Right),
        ("First (UTC)", Align::Left),
        ("Last (UTC)", Align::Left),
    ]);
    for event in answer::list(events, "events") {
        table.row(vec![
            answer::text(event, "event").to_owned(),
            answer::count(event, "count"),
            answer::count(event, "people"),
            format::instant_to_the_second(answer::text(event, "first")),
            format::instant_to_the_second(answer::text(event, "last")),
        ]);
    }
    let mut out = table.render(width);
    let warnings = answer::warnings(events);
    if !warnings.is_empty() {
        out.push('\n');
        out.push_str(&warnings);
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::model::json_of as json;

    use super::*;

    #[test]
    fn events_are_listed_with_warnings_below() {
        let events = json!({"events": [
            {"event": "Billed", "count": 12_345, "people": 678, "first": "2025-03-01T10:00:00Z",
             "last": "2025-04-01T10:00:00Z"},
        ], "warnings": ["\"Billed\" and \"billed\" differ only in case and are two events"]});
        let expected = "\
Event    Count  People  First (UTC)          Last (UTC)
------  ------  ------  -------------------  -------------------
Billed  12,345     678  2025-03-01 10:00:00  2025-04-01 10:00:00

warning: \"Billed\" and \"billed\" differ only in case and are two events
";
        assert_eq!(render(&events, 80), expected);
    }
}
