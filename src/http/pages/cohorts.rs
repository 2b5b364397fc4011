//! The page of cohorts: who came back, as a sentence to fill in, a curve and a triangle.

use maud::{Markup, html};

use super::chart::{self, Layer};
use super::table::{Cell, Table};
use super::view::{Answered, count, for_list, link, list, number};
use super::words;
use super::{Context, form, title};
use crate::error::Result;
use crate::model::Json;

const KNOWN: [&str; 9] =
    ["start", "return", "cohort", "bucket", "count", "by", "measure", "property", "mode"];

/// Who came back.
pub fn page(context: &Context<'_>) -> Result<Answered> {
    let ready = !context.value("start").is_empty() && !context.value("return").is_empty();
    let result = ready.then(|| context.ask("cohort", &context.pairs));
    let body = html! {
        @if !context.shared() { (builder(context)?) }
        (context.shown("cohort", result, "Fill in the sentence: who begins by doing what, and what counts as coming back.", |answer| html! {
            (rule(context, answer))
            (curve(answer))
            (triangle(context, answer))
        }))
    };
    Ok(Answered::new(title::report(context, "Cohorts"), body))
}

fn builder(context: &Context<'_>) -> Result<Markup> {
    let cohort = context.value_or("cohort", "month");
    let modes = [("", "in that time"), ("at_least", "then or later")];
    let measures = [("", "people"), ("events", "times"), ("sum", "sum of a property")];
    let fields = html! {
        fieldset {
            legend { "People who first did \u{2026} and came back to do \u{2026}" }
            ol.events.plain {
                li { (form::event("Start event", "start", context.value("start"))) }
                li { (form::event("Return event", "return", context.value("return"))) }
            }
        }
        div.row {
            (form::choice("Cohorts by", "cohort", cohort, &form::UNITS))
            (form::choice("Came back in", "bucket", context.value_or("bucket", cohort), &form::UNITS))
            (form::choice("Counted", "mode", context.value("mode"), &modes))
            (form::field("Columns", "count", context.value("count"), ""))
            (form::field("Segment by", "by", context.value("by"), "splits"))
        }
        div.row {
            (form::choice("In each cell", "measure", context.value("measure"), &measures))
            (form::field("Property", "property", context.value("property"), "properties"))
        }
        (form::show(context))
    };
    form::report(context, "/cohorts", &KNOWN, &fields)
}

fn rule(context: &Context<'_>, answer: &Json) -> Markup {
    let query = &answer["receipt"]["query"];
    let unit = |name: &str| query[name].as_str().unwrap_or("month").to_owned();
    html! {
        p.rule {
            "People who first did " (context.pattern(&query["start"])) (context.range(query))
            @match query["by"].as_str() { Some(by) => { ", by " (by) } None => { ", by the " (unit("cohort")) " in which they did" } }
            "; and " (measured(query)) " came back to do " (context.pattern(&query["return"])) ", by " (unit("bucket")) " since"
            (context.only_people(query))
            "."
        }
    }
}

/// What a cell counts of those who came back, if not them.
fn is_valued(query: &Json) -> bool {
    !matches!(query["measure"].as_str(), None | Some("people"))
}

/// What the triangle shows of who came back, before they did.
fn measured(query: &Json) -> String {
    match query["measure"].as_str() {
        Some("events") => "how many times they".to_owned(),
        Some("sum") => format!("the sum of {} of those who", query["property"].as_str().unwrap_or_default()),
        _ => "the share of them who".to_owned(),
    }
}

/// The pooled curve: of all cohorts that are old enough, how many came back.
fn curve(answer: &Json) -> Markup {
    let values: Vec<f64> =
        list(answer, "average").iter().map_while(Json::as_f64).map(|share| share * 100.0).collect();
    let unit = answer["receipt"]["query"]["bucket"].as_str().unwrap_or("month").to_owned();
    let axis: Vec<String> = (0..values.len()).map(|at| format!("{unit} {at}")).collect();
    html! { @if values.len() > 1 && !is_valued(&answer["receipt"]["query"]) { (chart::lines(&[Layer { name: "came back", values }], &axis, None, " %")) } }
}

fn triangle(context: &Context<'_>, answer: &Json) -> Markup {
    let rows = list(answer, "cohorts");
    let columns = rows.iter().map(|row| list(row, "cells").len()).max().unwrap_or(0);
    let base = for_list(&context.pairs);
    let behind = |label: &str, column: Option<usize>| {
        let column = column.map(|c| c.to_string());
        let mut more = vec![("row", label)];
        more.extend(column.as_deref().map(|c| ("column", c)));
        words::is_short(label).then(|| link("/cohorts/people", &base, &more))
    };
    let unit = answer["receipt"]["query"]["bucket"].as_str().unwrap_or("month");
    let query = &answer["receipt"]["query"];
    let caption = match query["measure"].as_str() {
        Some("events") => "How many times each cohort came back".to_owned(),
        Some("sum") => format!("Sum of {} of each cohort", query["property"].as_str().unwrap_or_default()),
        _ => "Share of each cohort that came back".to_owned(),
    };
    let mut table = Table::new("cohorts", &caption, &["Cohort", "#People"]);
    table.class = "triangle";
    (0..columns).for_each(|at| table.column(&format!("#{unit} {at}")));
    let valued = is_valued(query);
    if !valued {
        let all: u64 = rows.iter().map(|row| number(&row["size"])).sum();
        let mut pooled = vec![
            Cell::head("All that are over"),
            Cell::people(&all.into(), link("/cohorts/people", &base, &[])),
        ];
        pooled.extend((0..columns).map(|at| {
            let share = list(answer, "average").get(at).cloned().unwrap_or_default();
            Cell::percent(&share).class(shade(&share))
        }));
        table.sum(pooled);
    }
    for row in rows {
        let name = row.get("cohort").map_or_else(|| "(other)".to_owned(), words::value);
        let label = words::row_label(row);
        let mut cells =
            vec![Cell::value(name).heading().class("date"), Cell::people(&row["size"], behind(&label, None))];
        for (at, cell) in list(row, "cells").iter().enumerate() {
            cells.push(shown(cell, &row["size"], valued).link(behind(&label, Some(at))));
        }
        table.row(cells);
    }
    html! {
        (context.table(&table))
        p.hint { "A hatched cell (in the file a star, or nothing) is not over: more may still come back." @if !valued { " The first row pools the cells that are." } }
    }
}

/// A cell, of the share that came back or of what they did.
fn shown(cell: &Json, size: &Json, valued: bool) -> Cell {
    let people = number(&cell["people"]);
    let (value, title) = if valued {
        (Cell::measured(&cell["value"]), words::some_people(people))
    } else {
        (Cell::percent(&cell["share"]), format!("{} of {}", words::some_people(people), count(number(size))))
    };
    if cell["complete"] == true {
        let value = if valued { value } else { value.class(shade(&cell["share"])) };
        return value.title(title);
    }
    // Nothing has come of a time that has not begun; a share would read as a bad one.
    let cell = match people {
        0 => Cell::shown_number("\u{b7}".to_owned(), &Json::Null),
        _ => value.starred(),
    };
    cell.class("open").title(format!("{title}, not over yet"))
}

/// A class of a cell, by how much of the cohort came back.
fn shade(share: &Json) -> &'static str {
    const SHADES: [&str; 11] = ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10"];
    let at = (share.as_f64().unwrap_or(0.0) * 10.0).ceil().clamp(0.0, 10.0);
    SHADES.get(at as usize).copied().unwrap_or("s0")
}
