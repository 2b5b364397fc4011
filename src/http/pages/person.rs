//! One person: who they are, what is known of them, what they did.

use maud::html;
use serde_json::Value as Json;

use super::view::{self, Answered, count, list, number};
use super::{Context, json};
use crate::error::Result;

/// The page of the person of an identity.
pub fn page(context: &Context<'_>, identity: &str) -> Result<Answered> {
    let reports = context.app.reports();
    let person = json(&reports.person(context.snapshot, identity)?)?;
    let event = Some(context.value("event")).filter(|e| !e.is_empty());
    let cursor = Some(context.value("cursor")).filter(|c| !c.is_empty());
    let line = json(&reports.timeline(context.snapshot, identity, event, 100, cursor)?)?;
    let name = person["person"].as_str().unwrap_or(identity).to_owned();
    let own = format!(
        "/people/{}",
        form_urlencoded::byte_serialize(identity.as_bytes()).collect::<String>().replace('+', "%20")
    );
    let mut day = String::new();
    let mut turned = |time: &Json| {
        let today = time.as_str().and_then(|t| t.get(..10)).unwrap_or("").to_owned();
        let new = today != day;
        day.clone_from(&today);
        new.then_some(today)
    };
    let body = html! {
        section aria-label="Summary" { dl.facts {
            div { dt { "First seen" } dd { (view::instant(&person["first_seen"])) } }
            div { dt { "Last seen" } dd { (view::instant(&person["last_seen"])) } }
            div { dt { "Events" } dd { (count(number(&person["events"]))) } }
            div { dt { "Revenue" } dd { (person["revenue"].as_str().unwrap_or("0")) } }
        } }
        h2 { "Identities" }
        ul { @for one in list(&person, "identities") { li { code { (one.as_str().unwrap_or_default()) } } } }
        h2 { "Properties" }
        div.scroll { table {
            thead { tr { th { "Property" } th { "Now" } th { "First" } th.n { "Changes" } } }
            tbody { @for (name, history) in person["property_history"].as_object().into_iter().flatten() { tr {
                th scope="row" { (name) }
                td { (view::value(&history["last"])) } td { (view::value(&history["first"])) }
                td.n { (list(history, "changes").len()) }
            } } }
        } }
        h2 { "What they did" }
        form.builder method="get" action=(own) {
            (view::field("Event", "event", context.value("event"), "events"))
            button { "Show" }
            (view::offers("events", &list(&person, "counts").iter().filter_map(|c| c["event"].as_str()).map(str::to_owned).collect::<Vec<_>>()))
        }
        ol.timeline { @for event in list(&line, "events") {
            @if let Some(day) = turned(&event["time"]) { li.day { (day) } }
            li { time { (view::instant(&event["time"]).get(11..).unwrap_or("")) } " " strong { (view::value(&event["event"])) } " "
                @for (name, value) in event["properties"].as_object().into_iter().flatten() { span.property { (name) ": " (view::value(value)) } " " }
                small { (event["identity"].as_str().unwrap_or_default()) } }
        } }
        @if let Some(cursor) = line["cursor"].as_str() {
            p { a href=(view::link(&own, &[], &[("event", context.value("event")), ("cursor", cursor)].into_iter().filter(|(_, v)| !v.is_empty()).collect::<Vec<_>>())) { "Earlier" } }
        }
    };
    Ok(Answered::new(name, body))
}
