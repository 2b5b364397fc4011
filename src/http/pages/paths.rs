//! The page of paths: the ways people take.

use maud::{Markup, html};

use super::chart;
use super::table::{Cell, Table};
use super::view::{Answered, count, for_list, link, list, number};
use super::{Context, form, title, words};
use crate::error::Result;
use crate::model::Json;

const KNOWN: [&str; 4] = ["start", "goal", "events", "side"];

/// What people did after a start, before a goal, or between the two.
pub fn page(context: &Context<'_>) -> Result<Answered> {
    let ready = !context.value("start").is_empty() || !context.value("goal").is_empty();
    let result = ready.then(|| context.ask("paths", &context.pairs));
    // Which events are kept depends on what is given: the answer knows.
    let side = result.as_ref().and_then(|result| result.as_ref().ok()?["receipt"]["query"]["side"].as_str());
    let body = html! {
        @if !context.shared() { (builder(context, side)?) }
        (context.shown("paths", result, "What people did after a start, before a goal, or between the two.", |answer| html! {
            (rule(context, answer))
            p.headline { (context.people(&answer["people"], &behind(context, &[]))) " " (words::plural(number(&answer["people"]), "person", "people"))
                @if number(&answer["other"]) > 0 { ", " (context.people(&answer["other"], &behind(context, &[("path", "{\"other\":true}")]))) " of them on ways that are not shown" } }
            (ways(context, answer))
        }))
    };
    Ok(Answered::new(title::report(context, "Paths"), body))
}

fn behind(context: &Context<'_>, more: &[(&str, &str)]) -> String {
    link("/paths/people", &for_list(&context.pairs), more)
}

fn builder(context: &Context<'_>, side: Option<&str>) -> Result<Markup> {
    let sides = [
        ("", "nearest the start, if there is one"),
        ("first", "nearest the start"),
        ("last", "nearest the goal"),
    ];
    let (side, sides) = match side {
        Some(side) => (side, sides.get(1..).unwrap_or_default()),
        None => (context.value("side"), sides.as_slice()),
    };
    let fields = html! {
        fieldset {
            legend { "The ways from \u{2026} to \u{2026}" }
            ol.events.plain {
                li { (form::event("Start event", "start", context.value("start"))) }
                li { (form::event("Goal event", "goal", context.value("goal"))) }
            }
        }
        div.row {
            (form::field("Events", "events", context.value_or("events", "5"), ""))
            (form::choice("Which of them", "side", side, sides))
        }
        (form::show(context))
    };
    form::report(context, "/paths", &KNOWN, &fields)
}

fn rule(context: &Context<'_>, answer: &Json) -> Markup {
    let query = &answer["receipt"]["query"];
    let (start, goal) = (
        query.get("start").map(|one| context.pattern(one)),
        query.get("goal").map(|one| context.pattern(one)),
    );
    html! {
        p.rule {
            "One way a person"
            @if let Some(start) = start { ", from their first " (start) }
            @if let Some(goal) = goal { ", to the first " (goal) " after it" }
            (context.range(query)) ". The same event several times in a row counts as one (\u{d7} says how often)."
        }
    }
}

fn ways(context: &Context<'_>, answer: &Json) -> Markup {
    let mut table =
        Table::new("paths", "The most common ways", &["Way", "", "#People", "#Share", "#Median time"]);
    let most = list(answer, "paths").first().map_or(0, |path| number(&path["people"]));
    for path in list(answer, "paths") {
        let events: Vec<String> = list(path, "events")
            .iter()
            .map(|event| match number(&event["times"]) {
                0 | 1 => context.event(&event["event"]),
                times => format!("{} \u{d7}{}", context.event(&event["event"]), count(times)),
            })
            .collect();
        let way = html! {
            @if events.is_empty() { "(nothing in between)" }
            @else { ol.way { @for event in &events { li { (event) } } } }
        };
        table.row(vec![
            Cell::marked(way, events.join(" > ")).heading(),
            Cell::marked(chart::bar(number(&path["people"]), 0, 0, most), "").class("wide"),
            Cell::people(&path["people"], behind(context, &[("path", &path["events"].to_string())])),
            Cell::percent(&path["share"]),
            Cell::duration(&path["seconds"]["median"]),
        ]);
    }
    context.table(&table)
}
