//! The page of trends: events, people or amounts over time.

use maud::{Markup, html};

use super::chart::{self, Layer};
use super::edit::Pairs;
use super::table::{Cell, Table};
use super::view::{self, Answered, for_list, link, list, without};
use super::words;
use super::{Context, form, title};
use crate::error::Result;
use crate::model::Json;

const KNOWN: [&str; 5] = ["series", "measure", "unit", "by", "property"];
const MEASURES: [(&str, &str); 6] = [
    ("", "times done"),
    ("people", "people"),
    ("per_person", "times per person"),
    ("sum", "sum of a property"),
    ("mean", "mean of a property"),
    ("median", "median of a property"),
];
/// Segments drawn; the table has all.
const DRAWN_MAX: usize = 6;

/// Events over time.
pub fn page(context: &Context<'_>) -> Result<Answered> {
    let pairs = without(&context.pairs, &["add"]);
    let ready = !context.value("series").is_empty() && context.value("add").is_empty();
    let result = ready.then(|| context.ask("trend", &pairs));
    let body = html! {
        @if !context.shared() { (builder(context)?) }
        (context.shown("trend", result, "How often something was done over time, by how many people, or what it came to.", |answer| series(context, answer, &pairs)))
    };
    Ok(Answered::new(title::report(context, "Trends"), body))
}

fn builder(context: &Context<'_>) -> Result<Markup> {
    let fields = html! {
        fieldset {
            legend { "Over time" }
            (form::events(context, "Event", "series", 1))
            button.quiet name="add" value="event" { "Add event" }
        }
        div.row {
            (form::choice("Measure", "measure", context.value("measure"), &MEASURES))
            (form::field("Property", "property", context.value("property"), "properties"))
            (form::choice("By", "unit", context.value_or("unit", "day"), &form::UNITS))
            (form::field("Segment by", "by", context.value("by"), "splits"))
        }
        (form::show(context))
    };
    form::report(context, "/trends", &KNOWN, &fields)
}

fn values(part: &Json) -> Vec<f64> {
    let amount = |value: &Json| value.as_f64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0.0);
    list(part, "points").iter().map(|p| amount(&p["value"])).collect()
}

fn series(context: &Context<'_>, answer: &Json, pairs: &Pairs) -> Markup {
    let all = list(answer, "series");
    let names: Vec<String> = all.iter().map(|one| context.pattern(one)).collect();
    let axis = |series: &Json| -> Vec<String> {
        list(series, "points").iter().map(|p| words::value(&p["start"])).collect()
    };
    let split = all.iter().any(|series| !list(series, "segments").is_empty());
    let layers: Vec<Layer<'_>> =
        all.iter().zip(&names).map(|(series, name)| Layer { name, values: values(series) }).collect();
    let query = &answer["receipt"]["query"];
    let open = all.first().and_then(|series| words::open_from(answer, list(series, "points")));
    html! {
        p.rule { "By " (query["unit"].as_str().unwrap_or("day")) (context.range(query))
            (context.only_people(query)) "." }
        @if !split && layers.len() > 1 { (chart::lines(&layers, &all.first().map(axis).unwrap_or_default(), open, "")) }
        @for (at, series) in all.iter().enumerate() {
            h2 { (names.get(at).map_or("", String::as_str)) ": " (measure(series, &query["series"][at])) }
            @if split {
                @let parts: Vec<(String, &Json)> = list(series, "segments").iter().take(DRAWN_MAX).map(|s| (words::clipped(&words::segment(s)).into_owned(), s)).collect();
                (chart::lines(&parts.iter().map(|(name, part)| Layer { name, values: values(part) }).collect::<Vec<_>>(), &axis(series), open, ""))
            } @else if layers.len() == 1 {
                (chart::lines(&layers, &axis(series), open, ""))
            }
            (numbers(context, series, at + 1, pairs, open))
        }
        (view::not_over(open))
    }
}

fn measure(series: &Json, asked: &Json) -> String {
    let name = series["measure"].as_str().unwrap_or("events");
    let words = MEASURES.iter().find(|(known, _)| *known == name).map_or("times done", |(_, words)| words);
    words.replace("a property", &words::value(&asked["property"]))
}

fn numbers(
    context: &Context<'_>,
    series: &Json,
    number: usize,
    pairs: &Pairs,
    open: Option<usize>,
) -> Markup {
    let base = for_list(pairs);
    let number = number.to_string();
    let behind = |start: Option<&str>, segment: Option<&str>| {
        let mut more = vec![("number", number.as_str())];
        more.extend(start.map(|start| ("start_of", start)));
        more.extend(segment.map(|segment| ("segment", segment)));
        segment.is_none_or(words::is_short).then(|| link("/trends/people", &base, &more))
    };
    let segments = list(series, "segments");
    let labels: Vec<String> = segments.iter().map(words::segment_label).collect();
    let labelled = || segments.iter().zip(&labels);
    let mut table =
        Table::new(format!("series{number}"), format!("Numbers of event {number}"), &["From", "#Value"]);
    segments.iter().for_each(|segment| table.column(&format!("#{}", words::segment(segment))));
    let mut whole = vec![Cell::head("In all"), Cell::measured(&series["total"]).link(behind(None, None))];
    whole.extend(
        labelled().map(|(segment, label)| Cell::measured(&segment["total"]).link(behind(None, Some(label)))),
    );
    table.sum(whole);
    let all = context.wants(&table.name);
    table.rows(list(series, "points").iter().enumerate(), all, |(row, point)| {
        let start = point["start"].as_str();
        let mut cells = vec![
            Cell::unit(&point["start"], open.is_some_and(|open| row >= open)),
            Cell::measured(&point["value"]).link(behind(start, None)),
        ];
        cells.extend(labelled().map(|(segment, label)| {
            Cell::measured(&segment["points"][row]["value"]).link(behind(start, Some(label)))
        }));
        cells
    });
    context.table(&table)
}
