//! The search for people, and the lists behind numbers.

use maud::{Markup, html};

use super::table::{Cell, Table};
use super::view::{self, Answered, count, link, number, person_link, person_path, without};
use super::words;
use super::{Context, edit, form};
use crate::app::Role;
use crate::error::Result;
use crate::limits;
use crate::model::Json;
use crate::report::params;

/// People on a page of a search.
const PAGE: usize = 50;
/// Properties shown where no columns were chosen.
const PROPERTIES: usize = 4;

/// A search: who somebody is, what they did, what they are.
pub fn search(context: &Context<'_>) -> Result<Answered> {
    let people = edit::all_of(context.value("people"));
    let people: Vec<Json> = if context.value("people").is_empty() { Vec::new() } else { people };
    let people = context.with_or_without_robots(people);
    let columns = context.values("columns");
    let limit = if context.wanted.is_some() { limits::PAGE_MAX } else { PAGE };
    let mut query = edit::search(people.clone());
    query.set("limit", (limit as u64).into());
    for (name, value) in [("cursor", context.value("cursor")), ("tz", &context.zone_name())] {
        if !value.is_empty() {
            query.set(name, value.into());
        }
    }
    if !columns.is_empty() {
        let columns: Vec<Json> = columns.iter().map(|name| format!("person.{name}").into()).collect();
        query.set("columns", columns.into());
    }
    // What no field and no parameter of a search means is refused as the API refuses it.
    let sound = params::query("people", without(&context.pairs, &["people", "robots", "compare", "who"]));
    let result = sound.and_then(|_| context.ask_json("people", &query.to_string()));
    let (_, chips) = form::others("/people", context, &["who", "columns", "cursor"]);
    let body = html! {
        (builder(context)?)
        (chips)
        (known(context)?)
        (context.shown("people", Some(result), "", |answer| html! {
            (headcount(answer))
            (found(context, answer, &columns))
            (more(context, "/people", answer))
            @if context.may(Role::Editor) && let Some(people) = edit::written(people) { (keep_audience(&people)) }
        }))
    };
    Ok(Answered::new("People", body))
}

fn builder(context: &Context<'_>) -> Result<Markup> {
    let properties = context.properties_of(Some(crate::exec::properties::Owner::Person))?;
    let audiences: Vec<String> = context.app.reports().saved().audiences.keys().cloned().collect();
    Ok(html! {
        form.builder method="get" action="/people" role="search" {
            @for (name, value) in context.pairs.iter().filter(|(n, _)| n == "people" || n == "columns") { input type="hidden" name=(name) value=(value); }
            div.row {
                (form::field("Search people", "who", context.value("who"), ""))
                button.go { "Search" }
            }
            fieldset {
                legend { "and who" }
                div.row {
                    (form::field("Did", "did", "", "events"))
                    (form::field("At least so often", "often", "", ""))
                    (form::date("Since", "since", ""))
                    (form::date("Until", "before", ""))
                    (form::field("Did not", "not", "", "events"))
                }
                div.row {
                    (form::field("Property", "only", "", "properties"))
                    (form::choice("Test", "op", "", &words::OPERATORS))
                    (form::field("Value", "val", "", ""))
                    @if !audiences.is_empty() { (form::field("In audience", "among", "", "audiences")) (form::offers("audiences", &audiences)) }
                    (form::field("Show property", "columns", "", "properties"))
                    (form::robots(context))
                }
            }
            div.row { button.quiet { "Add to the search" } p.hint #count role="status" {} }
            (form::offers("events", &context.event_names()))
            (form::offers("properties", &properties))
        }
    })
}

fn headcount(answer: &Json) -> Markup {
    let total = number(&answer["total"]);
    html! { p.headline.total { strong { (count(total)) } @if total == 1 { " person" } @else { " people" } } }
}

/// Whose identity was looked for.
fn known(context: &Context<'_>) -> Result<Markup> {
    let who = context.value("who");
    if who.is_empty() {
        return Ok(html! {});
    }
    let person =
        context.snapshot.find_person(who)?.map(|person| context.snapshot.display(person)).transpose()?;
    Ok(match person {
        Some(person) => html! { p.headline { "\u{201c}" (who) "\u{201d} is " (person_link(&person)) } },
        None => {
            html! { p.warning role="status" { "Nobody is known as \u{201c}" (who) "\u{201d}. Identities are looked up whole." } }
        }
    })
}

fn found(context: &Context<'_>, answer: &Json, columns: &[&str]) -> Markup {
    let mut table = Table::new("people", "People", &["Person"]);
    if columns.is_empty() {
        table.column("Properties")
    } else {
        columns.iter().for_each(|name| table.column(name))
    }
    ["#Events", "First seen", "Last seen"].iter().for_each(|name| table.column(name));
    for person in view::list(answer, "people") {
        let name = person["person"].as_str().unwrap_or_default();
        let mut cells = vec![Cell::head(name).link(person_path(name))];
        if columns.is_empty() {
            let some: Vec<&(String, Json)> =
                person["properties"].as_object().into_iter().flatten().take(PROPERTIES).collect();
            let shown = html! { @for (name, value) in &some { span.property { (name) ": " (words::value(value)) } " " } };
            let plain: Vec<String> =
                some.iter().map(|(name, value)| format!("{name}: {}", words::value(value))).collect();
            cells.push(Cell::marked(shown, plain.join("; ")).class("properties"));
        } else {
            cells.extend(columns.iter().map(|name| Cell::text(words::value(&person["properties"][*name]))));
        }
        cells.extend([
            Cell::number(&person["events"]),
            context.instant(&person["first_seen"]),
            context.instant(&person["last_seen"]),
        ]);
        table.row(cells);
    }
    some(context, &table)
}

/// A table, unless nobody is in it: the headline has said so.
fn some(context: &Context<'_>, table: &Table) -> Markup {
    html! { @if !table.is_empty() || context.wanted.is_some() { (context.table(table)) } }
}

fn keep_audience(people: &str) -> Markup {
    html! {
        section.keep aria-label="Keep these people" { details {
            summary { "Save as audience" }
            form.row method="post" action="/audiences" {
                input type="hidden" name="people" value=(people);
                div.field { label for="audience-name" { "Audience name" } input #audience-name name="name" required maxlength="255" autocomplete="off"; }
                button { "Save audience" }
            }
        } }
    }
}

/// The link to the next page.
fn more(context: &Context<'_>, path: &str, answer: &Json) -> Markup {
    html! { @if let Some(cursor) = answer["cursor"].as_str() {
        p { a href=(link(path, &without(&context.pairs, &["cursor"]), &[("cursor", cursor)])) { "Next people" } }
    } }
}

/// Parameters of a list that are none of its report.
const OF_LIST: [&str; 13] = [
    "at_step",
    "outcome",
    "segment",
    "several_variants",
    "shown",
    "row",
    "column",
    "number",
    "start_of",
    "which",
    "path",
    "cursor",
    "limit",
];

/// The people behind a number of a report.
pub fn list(context: &Context<'_>, report: &str) -> Result<Answered> {
    let name = format!("{report}/people");
    let mut pairs = without(&context.pairs, &["over", "add"]);
    if context.wanted.is_some() {
        pairs.retain(|(name, _)| name != "limit" && name != "cursor");
        pairs.push(("limit".to_owned(), limits::PAGE_MAX.to_string()));
    }
    let answer = context.ask_json(&name, &params::query(&name, context.with_defaults(&pairs))?)?;
    let page = view::report_page(report);
    let back = without(&context.pairs, &OF_LIST);
    let which = context.pairs.iter().filter(|(n, _)| {
        OF_LIST.contains(&n.as_str()) && !matches!(n.as_str(), "cursor" | "shown" | "limit")
    });
    let body = html! {
        p { a href=(link(page, if report == "lifecycle" { &[] } else { &back }, &[])) { "Back to the report" } }
        ul.chips aria-label="Which people" {
            @for (name, value) in which { li { (chip(context, name, value)) } }
        }
        (headcount(&answer))
        @if let Some(people) = as_audience(context, report, &answer) {
            p { a href=(link("/people", &[], &[("people", &people)])) { "Search among these people" } ", or save them as an audience there." }
        }
        (behind(context, report, &answer))
        (more(context, &context.path, &answer))
        (view::warnings(context, &answer))
        p.footing { (format!("{:.1} ms", answer["elapsed_ms"].as_f64().unwrap_or(0.0))) }
    };
    Ok(Answered::new("People behind a number", body))
}

/// The people behind a number of a funnel as an audience, whoever they are by then; those of one segment, or of several, are none.
fn as_audience(context: &Context<'_>, report: &str, answer: &Json) -> Option<String> {
    let some = ["segment", "several_variants"].iter().any(|name| !context.value(name).is_empty());
    if report != "funnel" || some {
        return None;
    }
    let mut funnel = answer["receipt"]["query"].clone();
    ["as_of", "by", "limit", "times"].iter().for_each(|name| drop(funnel.remove(name)));
    let outcome = context.value_or("outcome", "reached").into();
    let mut people = Json::object([("funnel", funnel), ("outcome", outcome)]);
    if let Ok(step) = context.value("at_step").parse::<u64>() {
        people.set("step", step.into());
    }
    Some(people.to_string())
}

fn chip(context: &Context<'_>, name: &str, value: &str) -> String {
    let read = Json::parse(value).ok();
    match (name, read) {
        ("at_step", _) => format!("step {value}"),
        ("start_of", _) => format!("from {value}"),
        ("number", _) => format!("event {value}"),
        ("column", _) => {
            let unit = context.value_or("bucket", context.value_or("cohort", "month"));
            format!("{unit} {value}")
        }
        ("segment" | "row", read) => {
            let name = if name == "row" { "cohort" } else { name };
            match read {
                Some(Json::Object(_)) => format!("{name}: (other)"),
                Some(read) => format!("{name}: {}", words::value(&read)),
                None => format!("{name}: {value}"),
            }
        }
        ("path", Some(Json::Object(_))) => "other ways".to_owned(),
        ("path", Some(Json::Array(events))) => {
            events.iter().map(|e| context.event(&e["event"])).collect::<Vec<_>>().join(" \u{2192} ")
        }
        ("several_variants", _) => "more than one variant".to_owned(),
        ("outcome" | "which", _) => value.replace('_', " "),
        _ => format!("{}: {value}", name.replace('_', " ")),
    }
}

/// Columns for when the people of a cohort came back: as many as anybody of this page needs.
fn buckets(table: &mut Table, answer: &Json) -> u64 {
    let unit = answer["receipt"]["query"]["bucket"].as_str().unwrap_or("month");
    let came = view::list(answer, "people").iter().flat_map(|person| view::list(person, "came"));
    let buckets = came.map(|bucket| number(bucket) + 1).max().unwrap_or(0);
    table.column("Began");
    (0..buckets).for_each(|bucket| table.column(&format!("{unit} {bucket}")));
    buckets
}

fn behind(context: &Context<'_>, report: &str, answer: &Json) -> Markup {
    let mut table = Table::new("people", "The people behind a number", &["Person"]);
    // A cohort is a grid: what is long has no place in it.
    let grid = report == "cohort";
    if !grid {
        table.column("Also known as");
    }
    if report == "funnel" {
        table.column("What they did");
        table.column("Why no further");
    }
    let buckets = if grid { buckets(&mut table, answer) } else { 0 };
    for person in view::list(answer, "people") {
        let name = person["person"].as_str().unwrap_or_default();
        let others: Vec<&str> =
            view::list(person, "identities").iter().filter_map(Json::as_str).filter(|i| *i != name).collect();
        let mut cells = vec![Cell::head(name).link(person_path(name))];
        if !grid {
            cells.push(Cell::text(others.join(", ")).class("others"));
        }
        if report == "funnel" {
            let steps: Vec<(String, Json)> = view::list(person, "steps")
                .iter()
                .map(|step| (context.event(&step["event"]), step["time"].clone()))
                .collect();
            let shown = html! { ol.way { @for (event, time) in &steps { li { (event) " " small.date { (context.local(time)) } } } } };
            let plain = steps
                .iter()
                .map(|(event, time)| format!("{event} {}", words::value(time)))
                .collect::<Vec<_>>()
                .join(" > ");
            cells.push(Cell::marked(shown, plain));
            cells.push(Cell::text(person["stopped"]["reason"].as_str().unwrap_or("").replace('_', " ")));
        }
        if grid {
            cells.push(context.instant(&person["start"]));
            let came: Vec<u64> = view::list(person, "came").iter().map(number).collect();
            cells.extend((0..buckets).map(|bucket| match came.contains(&bucket) {
                true => Cell::marked(html! { span.unseen { "came back" } }, "1").class("came"),
                false => Cell::text(""),
            }));
        }
        table.row(cells);
    }
    some(context, &table)
}
