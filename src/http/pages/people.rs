//! The search for people, and the lists behind numbers.

use maud::html;
use serde_json::{Value as Json, json};

use super::Context;
use super::view::{self, Answered, count, number};
use crate::error::Result;
use crate::report::params;

/// A search: who somebody is, what they did, what they are.
pub fn search(context: &Context<'_>) -> Result<Answered> {
    let known = ["who", "did", "times", "not", "property", "is", "cursor", "people"];
    let found = match context.value("who") {
        "" => None,
        who => Some(
            context.snapshot.find_person(who)?.map(|person| context.snapshot.display(person)).transpose()?,
        ),
    };
    let cursor = Some(context.value("cursor")).filter(|c| !c.is_empty());
    let query = json!({"people": {"all": conditions(context)}, "limit": 50, "cursor": cursor});
    let result = context.ask_json("people", &query.to_string());
    let (_, chips) = view::others("/people", &context.pairs, &known);
    let body = html! {
        form.builder method="get" action="/people" {
            (view::field("Search people", "who", context.value("who"), ""))
            (view::field("Did", "did", context.value("did"), "events"))
            (view::field("At least so often", "times", context.value("times"), ""))
            (view::field("Did not", "not", context.value("not"), "events"))
            (view::field("Property", "property", context.value("property"), "properties"))
            (view::field("Is", "is", context.value("is"), ""))
            button { "Search" }
            (view::offers("events", &context.event_names()))
            (view::offers("properties", &context.splits()?.iter().map(|s| s.replacen("person.", "", 1)).collect::<Vec<_>>()))
        }
        (chips)
        @match &found {
            Some(Some(person)) => p.headline { "\u{201c}" (context.value("who")) "\u{201d} is " (view::person_link(person)) },
            Some(None) => p.warning role="status" { "Nobody is known as \u{201c}" (context.value("who")) "\u{201d}. Identities are looked up whole." },
            None => {}
        }
        @match result {
            Err(error) => (view::problem(&error)),
            Ok(answer) => {
                (view::warnings(&answer))
                p.headline { strong { (count(number(&answer["total"]))) } " people" }
                div.scroll { table {
                    thead { tr { th { "Person" } th { "Properties" } th.n { "Events" } th { "First seen" } th { "Last seen" } } }
                    tbody { @for person in view::list(&answer, "people") { tr {
                        th scope="row" { (view::person_link(person["person"].as_str().unwrap_or_default())) }
                        td { @for (name, value) in person["properties"].as_object().into_iter().flatten().take(4) {
                            span.property { (name) ": " (view::value(value)) } " " } }
                        td.n { (count(number(&person["events"]))) }
                        td { (view::instant(&person["first_seen"])) } td { (view::instant(&person["last_seen"])) }
                    } } }
                } }
                (more(context, "/people", &answer))
                (view::footing(&answer))
            }
        }
    };
    Ok(Answered::new("People", body))
}

/// What the fields of the form ask of people, all of it.
fn conditions(context: &Context<'_>) -> Vec<Json> {
    let mut all: Vec<Json> = Vec::new();
    if !context.value("did").is_empty() {
        let times = context.value("times").parse::<u64>().unwrap_or(1).max(1);
        all.push(json!({"did": context.value("did"), "at_least": times}));
    }
    if !context.value("not").is_empty() {
        all.push(json!({"not": {"did": context.value("not")}}));
    }
    if !context.value("property").is_empty() {
        let value: Json = match context.value("is") {
            "" => json!({"property": context.value("property"), "set": true}),
            // A number or a truth, or else text.
            text => {
                let value =
                    serde_json::from_str::<Json>(text).ok().filter(|v| v.is_number() || v.is_boolean());
                json!({"property": context.value("property"), "is": value.unwrap_or_else(|| text.into())})
            }
        };
        all.push(value);
    }
    if !context.value("people").is_empty() {
        let given = context.value("people");
        all.push(serde_json::from_str(given).unwrap_or_else(|_| json!({"audience": given})));
    }
    all
}

/// The link to the next page.
fn more(context: &Context<'_>, path: &str, answer: &Json) -> maud::Markup {
    let rest: Vec<_> = context.pairs.iter().filter(|(name, _)| name != "cursor").cloned().collect();
    html! { @if let Some(cursor) = answer["cursor"].as_str() {
        p { a href=(view::link(path, &rest, &[("cursor", cursor)])) { "Next people" } }
    } }
}

/// The people behind a number of a report.
pub fn list(context: &Context<'_>, report: &str) -> Result<Answered> {
    let name = format!("{report}/people");
    let query = params::query(&name, context.pairs.iter().map(|(n, v)| (n, v)))?;
    let answer = context.ask_json(&name, &query)?;
    let page = match report {
        "funnel" | "cohort" | "trend" => format!("/{report}s"),
        _ => format!("/{report}"),
    };
    let of_list = [
        "at_step", "outcome", "segment", "shown", "row", "column", "number", "start_of", "which", "path",
        "cursor", "limit",
    ];
    let back: Vec<_> =
        context.pairs.iter().filter(|(n, _)| !of_list.contains(&n.as_str())).cloned().collect();
    let body = html! {
        p { a href=(view::link(&page, &back, &[])) { "Back to the report" } }
        ul.chips aria-label="Which people" {
            @for (name, value) in context.pairs.iter().filter(|(n, _)| of_list.contains(&n.as_str()) && n != "cursor") { li { (name.replace('_', " ")) ": " (value) } }
        }
        p.headline { strong { (count(number(&answer["total"]))) } " people" }
        div.scroll { table {
            thead { tr { th { "Person" } th { "Also known as" } @if report == "funnel" { th { "What they did" } th { "Why no further" } } } }
            tbody { @for person in view::list(&answer, "people") {
                @let name = person["person"].as_str().unwrap_or_default();
                tr {
                    th scope="row" { (view::person_link(name)) }
                    td { (view::list(person, "identities").iter().filter_map(Json::as_str).filter(|i| *i != name).collect::<Vec<_>>().join(", ")) }
                    @if report == "funnel" {
                        td { @for (at, step) in view::list(person, "steps").iter().enumerate() {
                            @if at > 0 { " \u{2192} " } span title=(view::instant(&step["time"])) { (view::value(&step["event"])) " " small { (view::instant(&step["time"])) } } } }
                        td { (person["stopped"]["reason"].as_str().unwrap_or("").replace('_', " ")) }
                    }
                }
            } }
        } }
        (more(context, &format!("{page}/people"), &answer))
        (view::footing(&answer))
    };
    Ok(Answered::new("People behind a number", body))
}
