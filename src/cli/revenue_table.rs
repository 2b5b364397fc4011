//! Revenue as tables: the whole, the series, and where people came from.

use super::answer::{self, Open};
use super::table::{Align, Table};
use crate::model::Json;

/// The answer for a terminal of `width` columns.
pub fn render(report: &Json, width: usize) -> String {
    let mut out = format!(
        "{} from {} of {} (refunds {})\n{} per person, {} per paying person\n\n",
        money(report, "total"),
        answer::count(report, "paying"),
        answer::counted(report, "people", "person", "people"),
        money(report, "refunds"),
        money(report, "per_person"),
        money(report, "arppu"),
    );
    let mut series = Table::new(&[
        ("From", Align::Whole),
        ("Total", Align::Right),
        ("Refunds", Align::Right),
        ("Events", Align::Right),
        ("Paying", Align::Right),
    ]);
    let points = answer::list(report, "series");
    let open = Open::of(report, points);
    for (at, point) in points.iter().enumerate() {
        series.row(vec![
            open.start(at, point),
            money(point, "total"),
            money(point, "refunds"),
            answer::count(point, "events"),
            answer::count(point, "paying"),
        ]);
    }
    out.push_str(&series.render(width));
    out.push_str(open.note());
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
            money(segment, "total"),
            answer::count(segment, "people"),
            answer::count(segment, "paying"),
            money(segment, "per_person"),
            money(segment, "arppu"),
        ]);
    }
    out.push_str(&segments.render(width));
    if let Some(lifetime) = report.get("lifetime") {
        out.push_str(&lifetimes(lifetime, width));
    }
    out.push_str(&answer::warnings(report));
    out
}

fn lifetimes(lifetime: &Json, width: usize) -> String {
    let churn = |part: &Json| answer::share(part, "churn");
    let mut out = format!(
        "\n{} ever paid, {} now\nThey brought {}, {} each; expected {}; churn {}\nMonthly recurring revenue {}\n\n",
        answer::counted(lifetime, "customers", "person", "people"),
        answer::counted(lifetime, "current", "pays", "pay"),
        money(lifetime, "revenue"),
        money(lifetime, "ltv"),
        money(lifetime, "ltv_expected"),
        churn(lifetime),
        money(lifetime, "mrr"),
    );
    let (mut people, mut recurring) = (Vec::new(), Vec::new());
    let mut subscribed = false;
    for point in answer::list(lifetime, "series") {
        let mark = if point.get("complete") == Some(&Json::Bool(false)) { "*" } else { "" };
        let start = format!("{}{mark}", answer::text(point, "start"));
        let mut row = vec![start.clone()];
        row.extend(
            ["at_start", "gained", "regained", "kept", "lost", "at_end"].map(|f| answer::count(point, f)),
        );
        row.push(churn(point));
        people.push(row);
        let mrr = point.get("mrr").unwrap_or(&Json::Null);
        let fields = ["start", "new", "reactivation", "expansion", "contraction", "churn", "end"];
        subscribed |= fields.iter().any(|field| answer::text(mrr, field) != "0");
        let mut row = vec![start];
        row.extend(fields.map(|field| money(mrr, field)));
        recurring.push(row);
    }
    let titles = ["From", "At start", "Gained", "Regained", "Kept", "Lost", "At end", "Churn"];
    out.push_str(&table(&titles, people, width));
    if subscribed {
        let titles = ["MRR from", "At start", "New", "React.", "Expan.", "Contr.", "Churn", "At end"];
        out.push('\n');
        out.push_str(&table(&titles, recurring, width));
    }
    if answer::list(lifetime, "series").last().is_some_and(|p| p.get("complete") == Some(&Json::Bool(false)))
    {
        out.push_str(answer::NOT_OVER);
    }
    out
}

fn table(titles: &[&'static str], rows: Vec<Vec<String>>, width: usize) -> String {
    let align = |at| if at == 0 { Align::Left } else { Align::Right };
    let columns: Vec<_> = titles.iter().enumerate().map(|(at, title)| (*title, align(at))).collect();
    let mut table = Table::new(&columns);
    for row in rows {
        table.row(row);
    }
    table.render(width)
}

fn money(part: &Json, field: &str) -> String {
    answer::money(&part[field])
}

#[cfg(test)]
mod tests {
    use crate::model::json_of as json;

    use super::*;

    #[test]
    fn money_is_shown_to_the_cent() {
        let part = json!({"total": "2130.5", "refunds": "-20", "events": 3, "people": 3, "paying": 2,
            "per_person": "43.333333", "arppu": "65", "value": null});
        let mut report = part.clone();
        report.set("segments", vec![part].into());
        let text = render(&report, 80);
        assert!(
            text.starts_with(
                "2,130.50 from 2 of 3 people (refunds -20.00)\n43.33 per person, 65.00 per paying person\n"
            ),
            "{text}"
        );
        assert!(!text.contains("Regained") && !text.contains('*'));
        let of =
            |start: &str| json!({"start": start, "total": "5", "refunds": "0", "events": 1, "paying": 1});
        let mut running = report.clone();
        running.set("series", vec![of("2025-01-01"), of("2025-02-01")].into());
        running.set(
            "receipt",
            json!({"query": {"unit": "month"}, "tz": "UTC", "as_of": "2025-02-27T09:00:00Z"}),
        );
        let text_of_running = render(&running, 80);
        assert!(
            text_of_running.contains("\n2025-01-01    5.00")
                && text_of_running
                    .contains("\n2025-02-01*   5.00     0.00       1       1\n* not over yet\n\n"),
            "{text_of_running}"
        );
        report.set("lifetime", json!({"customers": 2, "current": 1, "mrr": "10", "revenue": "130", "ltv": "65", "churn": 0.5,
            "ltv_expected": null, "series": [{"start": "2025-01-01", "complete": false, "at_start": 2, "gained": 0,
                "regained": 0, "kept": 1, "lost": 1, "at_end": 1, "churn": 0.5, "mrr": {"start": "20", "new": "0",
                "reactivation": "0", "expansion": "0", "contraction": "0", "churn": "10", "end": "10"}}]}));
        let with_lifetime = render(&report, 80);
        assert!(
            with_lifetime.contains("They brought 130.00, 65.00 each; expected -; churn 50.0 %"),
            "{with_lifetime}"
        );
        assert!(with_lifetime.contains("2025-01-01*") && with_lifetime.contains("MRR from"));
        assert!(text.contains("(not set)") && text.lines().all(|line| line.len() <= 90));
    }
}
