//! Revenue as tables: the whole, the series, and where people came from.

use serde_json::Value as Json;

use super::answer;
use super::table::{Align, Table};

/// The answer for a terminal of `width` columns.
pub fn render(report: &Json, width: usize) -> String {
    let text = |field| answer::text(report, field);
    let mut out = format!(
        "{} from {} of {} people (refunds {}); {} per person, {} per paying person\n\n",
        text("total"),
        answer::count(report, "paying"),
        answer::count(report, "people"),
        text("refunds"),
        cents(report, "per_person"),
        cents(report, "arppu"),
    );
    let mut series = Table::new(&[
        ("From", Align::Left),
        ("Total", Align::Right),
        ("Refunds", Align::Right),
        ("Events", Align::Right),
        ("Paying", Align::Right),
    ]);
    for point in answer::list(report, "series") {
        series.row(vec![
            answer::text(point, "start").to_owned(),
            answer::text(point, "total").to_owned(),
            answer::text(point, "refunds").to_owned(),
            answer::count(point, "events"),
            answer::count(point, "paying"),
        ]);
    }
    out.push_str(&series.render(width));
    out.push('\n');
    let mut segments = Table::new(&[
        ("Segment", Align::Left),
        ("Total", Align::Right),
        ("People", Align::Right),
        ("Paying", Align::Right),
        ("Per person", Align::Right),
        ("Per paying", Align::Right),
    ]);
    for segment in answer::list(report, "segments") {
        segments.row(vec![
            segment.get("value").map_or_else(|| "(other)".to_owned(), answer::value),
            answer::text(segment, "total").to_owned(),
            answer::count(segment, "people"),
            answer::count(segment, "paying"),
            cents(segment, "per_person"),
            cents(segment, "arppu"),
        ]);
    }
    out.push_str(&segments.render(width));
    out.push_str(&answer::warnings(report));
    out
}

/// A quotient to the cent: more digits help nobody who reads a table.
fn cents(part: &Json, field: &str) -> String {
    let number = part.get(field).and_then(Json::as_str).and_then(|text| text.parse::<f64>().ok());
    number.map_or_else(|| "-".to_owned(), |number| format!("{number:.2}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn money_is_shown_to_the_cent() {
        let part = json!({"total": "130", "refunds": "-20", "events": 3, "people": 3, "paying": 2,
            "per_person": "43.333333", "arppu": "65", "value": null});
        let mut report = part.clone();
        report["segments"] = json!([part]);
        let text = render(&report, 80);
        assert!(
            text.starts_with(
                "130 from 2 of 3 people (refunds -20); 43.33 per person, 65.00 per paying person\n"
            ),
            "{text}"
        );
        assert!(text.contains("(not set)") && text.lines().all(|line| line.len() <= 90));
    }
}
