//! Paths as a table: how many people, how long, and the way.

use super::answer;
use super::format;
use super::table::{Align, STEP, Table};
use crate::model::Json;

/// The answer for a terminal of `width` columns.
pub fn render(report: &Json, width: usize) -> String {
    let paths = answer::list(report, "paths");
    let timed = paths.iter().any(|path| path.get("seconds").is_some());
    let mut headers = vec![("People", Align::Right), ("Share", Align::Right)];
    headers.extend(timed.then_some(("Median\ntime", Align::Right)));
    headers.push(("Path", Align::Steps));
    let mut table = Table::new(&headers);
    for path in paths {
        let median = path.get("seconds").and_then(|s| s.get("median")).and_then(Json::as_f64);
        let events: Vec<String> = answer::list(path, "events").iter().map(event).collect();
        let mut row = vec![answer::count(path, "people"), answer::share(path, "share")];
        row.extend(timed.then(|| median.map_or_else(|| "-".to_owned(), format::duration)));
        row.push(if events.is_empty() { "(nothing between)".to_owned() } else { events.join(STEP) });
        table.row(row);
    }
    let mut out = table.render(width);
    let others = report.get("other").and_then(Json::as_u64).unwrap_or(0);
    out.push_str(&answer::counted(report, "people", "person", "people"));
    if others > 0 {
        out.push_str(&format!(", {} of them on other paths", crate::model::thousands(others)));
    }
    out.push('\n');
    out.push_str(&answer::warnings(report));
    out
}

fn event(event: &Json) -> String {
    let times = event.get("times").and_then(Json::as_u64).unwrap_or(1);
    let name = answer::text(event, "event");
    if times > 1 { format!("{name} x{times}") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use crate::model::json_of as json;

    use super::*;

    #[test]
    fn a_way_is_one_line() {
        let report = json!({"people": 3, "other": 1, "paths": [
            {"events": [{"event": "Visited Site", "times": 2}, {"event": "Signed Up", "times": 1}], "people": 2,
                "share": 0.6667, "seconds": {"median": 90.0}}]});
        let text = render(&report, 80);
        assert!(
            text.contains("Visited Site x2 > Signed Up") && text.contains("1 of them on other paths"),
            "{text}"
        );
        let narrow = render(&report, 45);
        assert!(narrow.contains("  Visited Site x2 >\n") && narrow.contains("  Signed Up\n"), "{narrow}");
    }
}
