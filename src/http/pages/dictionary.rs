//! The events there are, what is said of them, and which may be one event under two names. What is said is for pages only: reports and
//! the API go by the names that were sent.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::changes::Form;
use super::table::{Cell, Table};
use super::view::{link, list};
use super::{Change, Context, Visit, form, words};
use crate::app::{Described, Role};
use crate::error::{Error, Result};
use crate::limits;
use crate::model::Json;

/// Groups of names alike that are told of, and names of each: more of them are no slip.
const ALIKE_GROUPS: usize = 30;
const ALIKE_NAMES: usize = 10;

/// The part of the settings.
pub fn section(context: &Context<'_>) -> Result<Markup> {
    let events = Json::parse(&context.app.reports().events(context.snapshot, context.app.now())?)?;
    let every: Vec<&Json> = list(&events, "events").iter().collect();
    let mut table = event_table(context, "dictionary", "Every event", &every);
    table.column("Said of it");
    table.column("Offered");
    Ok(html! {
        (alike(&every))
        @if !context.shows(&table) { p.hint { "None yet." } } @else {
            @if context.may(Role::Editor) { (describe(context)) }
            (context.table(&table))
        }
    })
}

/// A table of events, each of which opens into its people. In the dictionary with what is said of them.
pub fn event_table(context: &Context<'_>, name: &str, caption: &str, events: &[&Json]) -> Table {
    let mut table = Table::new(name, caption, &["Event", "#People", "#Times", "First", "Last"]);
    table.rows(events.iter(), context.wants(name), |event| {
        let event_name = event["event"].as_str().unwrap_or_default();
        let did = Json::object([("did", event_name.into())]).to_string();
        // Here robots are counted.
        let robots: &[_] = if context.dashboard.without_robots { &[("robots", "with")] } else { &[] };
        let people = link("/people", &[], &[&[("people", did.as_str())], robots].concat());
        let said = context.dashboard.events.get(event_name);
        let title = said.map(|said| format!("{event_name} {}", said.description));
        let mut head =
            Cell::head(context.event(&event["event"])).link(link("/trends", &[], &[("series", event_name)]));
        if let Some(title) = title {
            head = head.title(title);
        }
        let mut row = vec![
            head,
            Cell::people(&event["people"], people),
            Cell::number(&event["count"]),
            context.instant(&event["first"]),
            context.instant(&event["last"]),
        ];
        if name == "dictionary" {
            let mut words: Vec<&str> = Vec::new();
            if context.dashboard.shown(event_name) != event_name {
                words.push(event_name);
            }
            words.extend(said.map(|said| said.description.as_str()).filter(|text| !text.is_empty()));
            row.push(Cell::text(words.join(": ")).class("others"));
            let offered = if context.dashboard.offers(event_name) { "yes" } else { "hidden" };
            let edit = link("/settings", &[], &[("describe", event_name)]);
            let shown = html! { (offered) @if context.may(Role::Editor) { " " a href=(format!("{edit}#describe")) aria-label=(format!("Describe {event_name}")) { "Describe" } } };
            row.push(Cell::marked(shown, offered).class("date"));
        }
        row
    });
    table
}

/// Names that people take for one: the same but for case, spaces and signs.
fn alike(events: &[&Json]) -> Markup {
    let mut groups: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for name in events.iter().filter_map(|e| e["event"].as_str()) {
        let letters = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
        groups.entry(letters).or_default().push(name);
    }
    groups.retain(|_, names| names.len() > 1);
    let further = groups.len().saturating_sub(ALIKE_GROUPS) as u64;
    html! {
        @for names in groups.values().take(ALIKE_GROUPS) {
            p.warning role="status" { "These differ only in how they are written: " (words::names(names, 0, ALIKE_NAMES)) }
        }
        @if further > 0 {
            p.warning role="status" { (words::count(further)) " more " (words::plural(further, "group of names differs", "groups of names differ")) " only in how they are written." }
        }
    }
}

/// The form for one event.
fn describe(context: &Context<'_>) -> Markup {
    let kept = |name, otherwise| context.kept(Change::DescribeEvent, name, otherwise);
    let event = kept("event", context.value("describe"));
    let said = context.dashboard.events.get(event).cloned().unwrap_or_default();
    let hidden =
        !context.kept(Change::DescribeEvent, "hidden", if said.hidden { "1" } else { "" }).is_empty();
    html! {
        details.more #describe open[!event.is_empty() || context.refuses(Change::DescribeEvent)] {
            summary { "Describe or hide an event" }
            form.row method="post" action="/events" {
                (context.refusal(Change::DescribeEvent))
                (form::field("Event", "event", event, "every-event"))
                (form::field("Shown as", "shown_as", context.kept(Change::DescribeEvent, "shown_as", &said.shown_as), ""))
                (form::field("Description", "description", context.kept(Change::DescribeEvent, "description", &said.description), ""))
                label.check { input type="checkbox" name="hidden" value="1" checked[hidden]; " Hide it from lists of events to choose from" }
                button { "Save event" }
                (form::offers("every-event", &context.most_frequent(|_| true)))
            }
            p.hint { "For these pages only: reports and the API go by the name that was sent. An empty form takes back what was said." }
        }
    }
}

/// Says something of an event.
pub fn change(visit: &Visit<'_>, form: &Form) -> Result<String> {
    let event = form.required("event")?;
    if !visit.app.snapshot().catalog.events().any(|(_, name)| name == event) {
        let error = Error::invalid("unknown_event", format!("no event is called \"{event}\"")).at("event");
        return Err(error.hint("its name is the one that was sent"));
    }
    let text = |name| form.get(name).to_owned();
    let hidden = !form.get("hidden").is_empty();
    let said = Described { hidden, shown_as: text("shown_as"), description: text("description") };
    visit.app.change_dashboard(|dashboard| {
        if dashboard.events.len() >= limits::NAMES_MAX {
            return Err(Error::invalid("too_many", "too many events are described"));
        }
        dashboard.describe(event, said)
    })?;
    Ok("/settings#events".to_owned())
}
