//! What happens now.

use maud::html;

use super::view::Answered;
use super::{Context, asset, form};
use crate::error::Result;

/// A table that a script adds to.
pub fn page(context: &Context<'_>) -> Result<Answered> {
    let body = html! {
        form.builder method="get" action="/live" { div.row {
            (form::field("Event", "event", context.value("event"), "events"))
            (form::field("Person", "person", context.value("person"), ""))
            (form::field("Property", "property", context.value("property"), "properties"))
            button { "Filter" }
            button.quiet #pause type="button" aria-pressed="false" { "Pause" }
            (form::offers("events", &context.event_names()))
            (form::offers("properties", &context.properties()?))
        } }
        p #state role="status" { "Waiting for events." }
        div.columns.top {
            section { h2 { "Events" } ol #top-events {} }
            section { h2 { "People" } ol #top-people {} }
            section { h2 { "Properties" } ol #top-properties {} }
        }
        div.scroll role="region" aria-label="What happens" tabindex="0" { table #live data-zone=(context.zone_name()) {
            caption { "What happens" }
            thead { tr { th scope="col" { "Time" } th scope="col" { "What" } th scope="col" { "Person" } th scope="col" { "Properties" } } }
            tbody {}
        } }
        noscript { p.hint { "This page needs a script to show what comes; all others do not." } }
        script src=(asset::link("live.js")) defer {}
    };
    Ok(Answered::new("Live", body))
}
