//! The overview, what happens now, and the settings.

use maud::html;
use serde_json::Value as Json;

use super::view::{self, Answered, count, list, number};
use super::{Context, json};
use crate::error::Result;
use crate::model::format_millis;

/// How much there is, and where to go on.
pub fn overview(context: &Context<'_>) -> Result<Answered> {
    let stats = context.app.reports().stats(context.snapshot);
    let events = json(&context.app.reports().events(context.snapshot)?)?;
    let mut top: Vec<&Json> = list(&events, "events").iter().collect();
    top.sort_by_key(|event| std::cmp::Reverse(number(&event["people"])));
    let last =
        list(&events, "events").iter().filter_map(|e| e["last"].as_str()).max().unwrap_or("-").to_owned();
    let body = html! {
        @if top.is_empty() {
            p.headline { "Nothing has come yet." }
            p { "Put the snippet of " a href="/settings" { "Settings" } " into your pages, or import a file: " code { "whodid import events.ndjson" } }
        }
        section aria-label="Summary" { dl.facts {
            div { dt { "People" } dd { a.number href="/people" { (count(number(&stats["people"]))) } } }
            div { dt { "Events" } dd { (count(number(&stats["events"]))) } }
            div { dt { "Kinds of events" } dd { (count(number(&stats["event_names"]))) } }
            div { dt { "Latest" } dd { (view::instant(&Json::from(last))) } }
        } }
        h2 { "Events" }
        div.scroll { table {
            thead { tr { th { "Event" } th.n { "People" } th.n { "Times" } th { "First" } th { "Last" } } }
            tbody { @for event in top.iter().take(50) {
                @let name = event["event"].as_str().unwrap_or_default();
                tr {
                    th scope="row" { a href=(view::link("/trends", &[], &[("series", name)])) { (name) } }
                    td.n { a.number href=(view::link("/people", &[], &[("did", name)])) { (count(number(&event["people"]))) } }
                    td.n { (count(number(&event["count"]))) }
                    td { (view::instant(&event["first"])) } td { (view::instant(&event["last"])) }
                }
            } }
        } }
    };
    Ok(Answered::new("Overview", body))
}

/// What happens now; a script adds to the table.
pub fn page(context: &Context<'_>) -> Result<Answered> {
    let body = html! {
        form.builder method="get" action="/live" {
            (view::field("Event", "event", context.value("event"), "events"))
            (view::field("Person", "person", context.value("person"), ""))
            button { "Filter" }
            button.quiet #pause type="button" aria-pressed="false" { "Pause" }
            (view::offers("events", &context.event_names()))
        }
        p #state role="status" { "Waiting for events." }
        div.scroll { table #live {
            thead { tr { th { "Time" } th { "What" } th { "Person" } th { "Properties" } } }
            tbody {}
        } }
        noscript { p.hint { "This page needs a script to show what comes; all others do not." } }
        script src="/assets/live.js" defer {}
    };
    Ok(Answered::new("Live", body))
}

/// The snippet, the events there are, what was refused.
pub fn settings(context: &Context<'_>) -> Result<Answered> {
    let refusals = context.app.refusals();
    let events = json(&context.app.reports().events(context.snapshot)?)?;
    let snippet = format!(
        "<script>var _kmq = _kmq || []; var _kmk = _kmk || '{}';</script>\n<script async src=\"//{}/i.js\"></script>",
        context.write_key, context.host
    );
    let body = html! {
        h2 { "Your pages" }
        p { "Put this before the end of each page's head. Pages that have the snippet of Kissmetrics only need another host in it." }
        pre tabindex="0" { code { (snippet) } }
        dl.facts { div { dt { "Write key" } dd { code { (context.write_key) } } } }
        h2 { "Refused" }
        @if refusals.counts().is_empty() { p { "Nothing was refused." } }
        @else {
            div.scroll { table {
                thead { tr { th { "When" } th { "Reason" } th { "Message" } th { "Identity" } th { "Name" } } }
                tbody { @for refusal in refusals.latest().take(100) { tr {
                    td { (view::instant(&Json::from(format_millis(refusal.time)))) } td { code { (refusal.reason) } } td { (refusal.message) }
                    td { (refusal.identity) } td { (refusal.name) }
                } } }
            } }
        }
        @for warning in list(&events, "warnings") { p.warning { (warning.as_str().unwrap_or_default()) } }
    };
    Ok(Answered::new("Settings", body))
}
