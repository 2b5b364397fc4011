//! How long events are kept: a part of the settings, and what owners change there. What a change would take out is said before it does.

use maud::{Markup, html};

use super::changes::Form;
use super::session::see;
use super::table::{Cell, Table};
use super::view::{self, Answered, count};
use super::{Change, Context, Page, Visit, form, settings};
use crate::app::{Retention, Role};
use crate::error::{Error, Result};
use crate::http::message::Response;

fn told(days: Option<u32>) -> String {
    match days {
        None => "for ever".to_owned(),
        Some(1) => "1 day".to_owned(),
        Some(days) => format!("{days} days"),
    }
}

/// How long events are kept, for owners with what changes it.
pub fn section(context: &Context<'_>) -> Result<Markup> {
    let (retention, owns) = (context.app.retention()?, context.may(Role::Owner));
    let mut table = Table::new("retention", "How long events are kept", &["Events", "Kept", ""]);
    let all = if retention.events.is_empty() { "All events" } else { "All others" };
    for (event, days) in &retention.events {
        let label = format!("Keep {event} as all others");
        let shown =
            html! { @if owns { (settings::button("/retention", "as_all", event, "As all others", &label)) } };
        table.row(vec![Cell::head(event.as_str()), Cell::text(told(*days)), Cell::marked(shown, "")]);
    }
    table.row(vec![Cell::head(all), Cell::text(told(retention.days)), Cell::text("")]);
    Ok(html! {
        h2 #retention { "How long events are kept" }
        (context.table(&table))
        @if owns {
            form.row method="post" action="/retention" {
                (context.refusal(Change::Retain))
                (form::field("Event, or all", "event", context.kept(Change::Retain, "event", ""), "kept-events"))
                (form::field("Days, or for ever", "days", context.kept(Change::Retain, "days", ""), ""))
                button { "Change" }
                (form::offers("kept-events", &context.event_names()))
            }
            p.hint { "Older events leave every report and file, for good. Properties of people, and who is who, stay. An empty field means all events, and for ever." }
        }
    })
}

/// Changes how long events are kept, at once if that takes nothing out, or else after a look at what would go.
pub fn change(visit: &Visit<'_>, form: &Form) -> Result<Response> {
    let mut retention = visit.app.retention()?;
    let (event, days, as_all) = (form.get("event"), form.get("days"), form.get("as_all"));
    let bad = |_| Error::invalid("bad_number", format!("\"{days}\" is no number of days")).at("days");
    let number = if days.is_empty() { None } else { Some(days.parse().map_err(bad)?) };
    if !as_all.is_empty() {
        retention.events.remove(as_all);
    } else if event.is_empty() {
        retention.days = number;
    } else {
        retention.events.insert(event.to_owned(), number);
    }
    let retention = retention.checked()?;
    let older = visit.app.too_old(&retention)?;
    if older > 0 && form.get("confirm").is_empty() {
        return Ok(asked(visit, &retention, older, &[("event", event), ("days", days), ("as_all", as_all)]));
    }
    visit.app.retain(&retention)?;
    Ok(see("/settings#retention"))
}

fn asked(visit: &Visit<'_>, retention: &Retention, older: u64, sent: &[(&str, &str)]) -> Response {
    let body = html! {
        p.headline { strong { (count(older)) } @if older == 1 { " event is older and goes" } @else { " events are older and go" } ", for good" }
        ul {
            @for (event, days) in &retention.events { li { (event) ": " (told(*days)) } }
            li { @if retention.events.is_empty() { "All events: " } @else { "All others: " } (told(retention.days)) }
        }
        p { "It cannot be undone. Backups are not touched." }
        form method="post" action="/retention" {
            @for (name, value) in sent { input type="hidden" name=(name) value=(value); }
            input type="hidden" name="confirm" value="1";
            button { "Take them out" }
        }
        p { a href="/settings#retention" { "Back to the settings" } }
    };
    view::respond(visit, Page::Settings, Answered::new("Keep events for less?", body))
}
