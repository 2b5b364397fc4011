//! A cohort report as a triangle: shares of each cohort or what is measured of it, bucket by bucket, as many blocks of buckets as the
//! terminal needs.

use super::answer;
use super::table::{Align, Table};
use crate::model::{Json, thousands};

/// Columns of a bucket with the gap before it.
const CELL: usize = 6;
/// Columns between two cells.
const GAP: usize = 2;
/// Columns of the names and sizes of cohorts.
const NAMES: usize = 24;

/// The answer for a terminal of `width` columns.
pub fn render(report: &Json, width: usize) -> String {
    let cohorts = answer::list(report, "cohorts");
    let average = answer::list(report, "average");
    if cohorts.is_empty() {
        return format!("Nobody started in that time.\n{}", answer::warnings(report));
    }
    let rows: Vec<Vec<String>> =
        cohorts.iter().map(|cohort| answer::list(cohort, "cells").iter().map(cell).collect()).collect();
    let measured = cohorts.iter().flat_map(|c| answer::list(c, "cells")).any(|c| c.get("value").is_some());
    let widest = rows.iter().flatten().map(|text| text.len() + GAP).max().unwrap_or(0);
    let fit = (width.saturating_sub(NAMES) / widest.max(CELL)).max(1);
    let mut out = String::new();
    for begin in (0..average.len()).step_by(fit) {
        let buckets = begin..average.len().min(begin + fit);
        let names: Vec<String> = buckets.clone().map(|k| k.to_string()).collect();
        let mut headers = vec![("Cohort", Align::Left), ("People", Align::Right)];
        headers.extend(names.iter().map(|name| (name.as_str(), Align::Right)));
        let mut table = Table::new(&headers);
        for (cohort, cells) in cohorts.iter().zip(&rows) {
            let name = match cohort.get("cohort") {
                Some(name) => answer::value(name),
                None => "(other)".to_owned(),
            };
            let mut row = vec![name, answer::count(cohort, "size")];
            row.extend(buckets.clone().map(|k| cells.get(k).cloned().unwrap_or_default()));
            table.row(row);
        }
        // The average is one of shares.
        if !measured {
            let mut row = vec!["average".to_owned(), String::new()];
            row.extend(buckets.map(|k| percent(average.get(k).and_then(Json::as_f64))));
            table.row(row);
        }
        if begin > 0 {
            out.push('\n');
        }
        out.push_str(&table.render(width));
    }
    let open = cohorts.iter().flat_map(|c| answer::list(c, "cells")).any(|c| c["complete"] == false);
    if open {
        let average = if measured { "" } else { "; left out of the average" };
        out.push_str(&format!("* not over for everybody yet{average}\n"));
    }
    out.push_str(&answer::warnings(report));
    out
}

fn cell(cell: &Json) -> String {
    let text = match cell.get("value") {
        Some(value) => value.as_u64().map_or_else(|| answer::value(value), thousands),
        None => percent(cell.get("share").and_then(Json::as_f64)),
    };
    if cell.get("complete").and_then(Json::as_bool) == Some(false) { format!("{text}*") } else { text }
}

/// A share in whole percents: a triangle is looked at, not read.
fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.0}%", share * 100.0))
}

#[cfg(test)]
mod tests {
    use crate::model::json_of as json;

    use super::*;

    #[test]
    fn a_triangle_is_cut_into_blocks_and_marks_what_is_open() {
        let cell = |share: f64, complete| json!({"people": 1, "share": share, "complete": complete});
        let report = json!({
            "cohorts": [{"cohort": "2025-01", "size": 1200, "cells": [cell(0.5, true), cell(0.25, false)]}],
            "average": [0.5, null],
        });
        let text = render(&report, 30);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["Cohort", "People", "0"]);
        assert_eq!(lines[2], ["2025-01", "1,200", "50%"]);
        assert_eq!(lines[7], ["2025-01", "1,200", "25%*"], "{text}");
        assert_eq!(lines[8], ["average", "-"]);
        assert!(text.ends_with("left out of the average\n"));
        assert!(render(&report, 80).lines().all(|line| line.len() <= 80));
    }

    #[test]
    fn what_is_measured_is_shown_instead_of_shares() {
        let cell =
            |value: Json, complete| json!({"people": 1, "share": 0.5, "complete": complete, "value": value});
        let report = json!({
            "cohorts": [{"cohort": "2025-01", "size": 2, "cells": [cell(json!(3), true), cell(json!("1234567.25"), false)]}],
            "average": [0.5, 0.5],
        });
        let text = render(&report, 80);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[2], ["2025-01", "2", "3", "1234567.25*"], "{text}");
        assert!(!text.contains('%') && !text.contains("average"), "{text}");
        assert!(render(&report, 40).lines().all(|line| line.len() <= 40));
    }
}
