//! Trends and lifecycles as tables: a row for each unit of time.

use super::answer::{self, Open};
use super::table::{Align, Table};
use crate::http::pages::words;
use crate::model::Json;

/// A trend for a terminal of `width` columns: a table for each series, its segments as columns, in as many blocks as they need.
pub fn trend(report: &Json, width: usize) -> String {
    let mut out = String::new();
    for series in answer::list(report, "series") {
        let name = match &series["event"] {
            Json::Array(names) => names.iter().map(answer::value).collect::<Vec<_>>().join(" or "),
            name => answer::value(name),
        };
        out.push_str(&format!("{}: {}\n", super::table::visible(&name), answer::text(series, "measure")));
        let segments = answer::list(series, "segments");
        let names: Vec<String> = segments.iter().map(label).collect();
        let mut headers = vec![("From", Align::Whole), ("All", Align::Right)];
        headers.extend(names.iter().map(|name| (name.as_str(), Align::Right)));
        let mut table = Table::new(&headers);
        // All alike, so that the digits of a column stand below each other.
        let fractions = segments.iter().chain([series]).any(has_fractions);
        let number = |value: &Json| number(value, fractions);
        let points = answer::list(series, "points");
        let open = Open::of(report, points);
        for (k, point) in points.iter().enumerate() {
            let mut row = vec![open.start(k, point), number(&point["value"])];
            row.extend(segments.iter().map(|segment| number(&segment["points"][k]["value"])));
            table.row(row);
        }
        let mut row = vec!["in all".to_owned(), number(&series["total"])];
        row.extend(segments.iter().map(|segment| number(&segment["total"])));
        table.row(row);
        out.push_str(&table.render_in_blocks(width));
        out.push_str(open.note());
        out.push('\n');
    }
    out.push_str(&answer::warnings(report));
    out
}

fn label(segment: &Json) -> String {
    // Headers may have several lines, values may not.
    segment
        .get("value")
        .map_or_else(|| "(other)".to_owned(), |value| super::table::visible(&answer::value(value)))
}

/// Whether any number of a series or segment is not whole.
fn has_fractions(part: &Json) -> bool {
    let points = answer::list(part, "points").iter().map(|point| &point["value"]);
    points.chain([&part["total"]]).filter_map(Json::as_f64).any(|number| number.fract() != 0.0)
}

/// Digits grouped, and two of them behind the point if the series has fractions.
fn number(value: &Json, fractions: bool) -> String {
    let text = match (value.as_u64(), value.as_f64()) {
        (Some(whole), _) => whole.to_string(),
        (None, Some(_)) => words::decimal(value),
        (None, None) => return "-".to_owned(),
    };
    let text = answer::money(&text.into());
    if fractions { text } else { text.trim_end_matches(".00").to_owned() }
}

/// A lifecycle for a terminal of `width` columns.
pub fn lifecycle(report: &Json, width: usize) -> String {
    let mut table = Table::new(&[
        ("From", Align::Whole),
        ("New", Align::Right),
        ("Returning", Align::Right),
        ("Resurrected", Align::Right),
        ("Dormant", Align::Right),
    ]);
    let points = answer::list(report, "points");
    let open = Open::of(report, points);
    for (at, point) in points.iter().enumerate() {
        let mut row = vec![open.start(at, point)];
        row.extend(["new", "returning", "resurrected"].map(|stage| answer::count(point, stage)));
        // Whoever has not come so far may still come.
        row.push(if open.has(at) { "-".to_owned() } else { answer::count(point, "dormant") });
        table.row(row);
    }
    format!("{}{}{}", table.render(width), open.note(), answer::warnings(report))
}

#[cfg(test)]
mod tests {
    use crate::model::json_of as json;

    use super::*;

    #[test]
    fn segments_are_columns() {
        let points = json!([{"start": "2025-01-01", "value": 1200}]);
        let report = json!({"series": [{"event": ["A", "B"], "measure": "events", "points": points, "total": 1200,
            "segments": [{"value": null, "points": points, "total": 12.5}]}]});
        let text = trend(&report, 80);
        assert!(text.starts_with("A or B: events\n") && text.contains("(not set)"), "{text}");
        assert!(
            text.contains("2025-01-01  1,200.00   1,200.00\nin all      1,200.00      12.50\n"),
            "{text}"
        );
        let whole = json!({"series": [{"event": "A", "points": [{"start": "2025-01-01", "value": -5800}], "total": null}]});
        assert!(
            trend(&whole, 80).contains("2025-01-01  -5,800\nin all           -\n"),
            "{}",
            trend(&whole, 80)
        );
    }

    #[test]
    fn what_is_not_over_has_a_star() {
        let receipt =
            json!({"query": {"unit": "month"}, "tz": "Europe/Berlin", "as_of": "2025-02-28T22:00:00Z"});
        let months = ["2025-01-01", "2025-02-01"];
        let points: Vec<Json> = months.map(|start| json!({"start": start, "value": 3})).into();
        let series = json!([{"event": "A", "measure": "events", "total": 6, "points": points}]);
        let mut report = json!({"series": series, "receipt": receipt});
        let text = trend(&report, 80);
        assert!(
            text.ends_with("2025-01-01     3\n2025-02-01*    3\nin all         6\n* not over yet\n\n"),
            "{text}"
        );
        let stages =
            |start: &str| json!({"start": start, "new": 4, "returning": 3, "resurrected": 2, "dormant": 9});
        report.set("points", months.map(stages).to_vec().into());
        let text = lifecycle(&report, 80);
        assert!(text.contains("\n2025-01-01     4          3            2        9\n"), "{text}");
        assert!(
            text.ends_with("\n2025-02-01*    4          3            2        -\n* not over yet\n"),
            "{text}"
        );
        // Its last millisecond in that zone.
        report.set(
            "receipt",
            json!({"query": {"unit": "month"}, "tz": "Europe/Berlin", "as_of": "2025-02-28T22:59:59.999Z"}),
        );
        assert!(!trend(&report, 80).contains('*') && !lifecycle(&report, 80).contains('*'));
    }
}
