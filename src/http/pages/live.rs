//! What happens now.

use maud::{Markup, html};

use super::view::Answered;
use super::{Context, asset, form};
use crate::error::Result;

/// Says so if nothing that came so far would be shown: a name that is misspelt waits for ever.
fn unheard(context: &Context<'_>) -> Markup {
    let (event, person) = (context.value("event"), context.value("person"));
    let known = |(_, name): (_, &str)| name == event;
    html! {
        @if !event.is_empty() && !context.snapshot.catalog.events().any(known) {
            p.warning role="status" { "No event called \u{201c}" bdi { (event) } "\u{201d} has ever come. If one does, it is shown." }
        }
        @if !person.is_empty() && context.snapshot.person(person).is_err() {
            p.warning role="status" { "Nobody called \u{201c}" bdi { (person) } "\u{201d} has ever come. If they do, they are shown." }
        }
    }
}

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
        (unheard(context))
        p #state role="status" { noscript { "Nothing is shown here without a script; all other pages do without one." } }
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
        script src=(asset::link("live.js")) defer {}
    };
    Ok(Answered::new("Live", body))
}
