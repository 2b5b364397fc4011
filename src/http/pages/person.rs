//! One person: who they are, what is known of them, what they did; and what a merge or an unmerge would do.

use maud::{Markup, html};

use super::table::{Cell, Table};
use super::view::{self, Answered, count, facts, link, list, number, person_link, person_path};
use super::words;
use super::{Context, form};
use crate::app::Role;
use crate::error::{Error, Result};
use crate::limits;
use crate::model::{Json, parse_instant};

/// Events on a page of the time line.
const PAGE: usize = 100;
/// Identities that a page shows of one person: whoever has thousands is no person, but a mistake in tracking.
const IDENTITIES_SHOWN: usize = 1000;

fn profile(context: &Context<'_>, identity: &str) -> Result<Json> {
    Json::parse(&context.app.reports().person(context.snapshot, identity, context.app.now())?)
}

fn timeline(context: &Context<'_>, identity: &str, limit: usize) -> Result<Json> {
    // A file begins with the latest, wherever the page does.
    let cursor = if context.wanted.is_some() { "" } else { context.value("cursor") };
    timeline_from(context, identity, limit, cursor)
}

/// The time line from a cursor on; from the latest if there is none.
fn timeline_from(context: &Context<'_>, identity: &str, limit: usize, cursor: &str) -> Result<Json> {
    let given = |text| Some(text).filter(|text: &&str| !text.is_empty());
    let (event, cursor, now) = (given(context.value("event")), given(cursor), context.app.now());
    Json::parse(&context.app.reports().timeline(context.snapshot, identity, now, event, limit, cursor)?)
}

/// Puts the events behind the first page into the file, page by page: only its text is kept.
fn fill_file(context: &Context<'_>, identity: &str, first: &Json) -> Result<()> {
    let mut cursor = first["cursor"].as_str().filter(|_| context.wants("events")).map(str::to_owned);
    while let Some(at) = cursor {
        let line = timeline_from(context, identity, limits::PAGE_MAX, &at)?;
        context.add_to_file(&events_table(context, &line))?;
        cursor = line["cursor"].as_str().map(str::to_owned);
    }
    Ok(())
}

/// The page of the person of an identity.
pub fn page(context: &Context<'_>, identity: &str) -> Result<Answered> {
    let person = profile(context, identity)?;
    let limit = if context.wanted.is_some() { limits::PAGE_MAX } else { PAGE };
    let line = timeline(context, identity, limit)?;
    let links = Json::parse(&context.app.reports().links(context.snapshot, identity, PAGE)?)?;
    let name = person["person"].as_str().unwrap_or(identity).to_owned();
    let revenue = if person["revenue"] == "0" { Json::Null } else { person["revenue"].clone() };
    let body = html! {
        (facts(&[
            ("First seen", html! { (context.local(&person["first_seen"])) }),
            ("Last seen", html! { (context.local(&person["last_seen"])) }),
            ("Events", html! { (count(number(&person["events"]))) }),
            ("Revenue", html! { (words::money(&revenue)) }),
        ]))
        div.columns {
            section { h2 { "Identities" } (identities(context, &person, &name, &links)) }
            section { h2 { "Properties" } (properties(context, &person)) }
        }
        h2 { "What they did" }
        (events(context, &person, &line, identity))
        p.under { a href=(link("/api/v1/export", &[], &[("person", &name)])) download { "All records of this person" } " (JSON lines)" }
        @if context.may(Role::Owner) { p.under { a href=(format!("{}/erase", person_path(&name))) { "Erase this person\u{2026}" } } }
    };
    fill_file(context, identity, &line)?;
    Ok(Answered::new(name, body))
}

fn identities(context: &Context<'_>, person: &Json, name: &str, links: &Json) -> Markup {
    let several = identities_in_all(person) > 1;
    html! {
        p.hint { @if person["identified"] == true { "Identified." } @else { "Anonymous so far." } }
        (identity_list(person, |one| html! {
            @if several && context.may(Role::Editor) { " " a href=(format!("{}/unmerge", person_path(one))) aria-label=(format!("Take out {one}")) { "Take out" } }
        }))
        @if let Some(links) = links.as_array().filter(|links| !links.is_empty()) {
            details.more {
                summary { "How they were linked" }
                ol.timeline { @for link in links { li {
                    time { (context.local(&link["time"])) } " " code { (words::value(&link["identity"])) } " is " code { (words::value(&link["other"])) }
                    @if link["joined"] != true { small { " (known apart)" } }
                } } }
            }
        }
        @if context.may(Role::Editor) { form.row method="get" action=(format!("{}/merge", person_path(name))) {
            (form::needed("Is the same person as", "into"))
            button.quiet { "Compare" }
        } }
    }
}

/// How many identities a person has, listed or not.
fn identities_in_all(person: &Json) -> u64 {
    list(person, "identities").len() as u64 + number(&person["more_identities"])
}

/// The first identities of a person, each with what `beside` makes, and how many more there are.
fn identity_list(person: &Json, beside: impl Fn(&str) -> Markup) -> Markup {
    let shown: Vec<&str> =
        list(person, "identities").iter().filter_map(Json::as_str).take(IDENTITIES_SHOWN).collect();
    let more = identities_in_all(person) - shown.len() as u64;
    html! {
        ul.identities { @for one in shown { li { code { (one) } (beside(one)) } } }
        @if more > 0 { p.hint { "And " (count(more)) " more." } }
    }
}

fn properties(context: &Context<'_>, person: &Json) -> Markup {
    let mut table = Table::new("properties", "Properties", &["Property", "Now", "First", "Changes"]);
    table.class = "known";
    for (name, history) in person["property_history"].as_object().into_iter().flatten() {
        let changes = list(history, "changes");
        let shown = html! {
            @if changes.len() < 2 { (changes.len()) } @else { details {
                summary { (changes.len()) span.unseen { " changes of " (name) } }
                ol.changes { @for change in changes { li { time { (context.local(&change["time"])) } " " (words::value(&change["value"])) } } }
            } }
        };
        table.row(vec![
            Cell::head(name.as_str()),
            Cell::text(words::value(&history["last"])),
            Cell::text(words::value(&history["first"])),
            Cell::marked(shown, changes.len().to_string()),
        ]);
    }
    html! { @if context.shows(&table) { (context.table(&table)) } @else { p.hint { "Nothing is known of them." } } }
}

/// A time line as the table of its file.
fn events_table(context: &Context<'_>, line: &Json) -> Table {
    let mut table = Table::new("events", "Events", &["Time", "Event", "Identity", "Properties"]);
    for event in list(line, "events") {
        let [what, who] = ["event", "identity"].map(|name| Cell::text(words::value(&event[name])));
        let properties = Cell::text(event["properties"].to_string());
        table.row(vec![context.instant(&event["time"]), what, who, properties]);
    }
    table
}

fn events(context: &Context<'_>, person: &Json, line: &Json, identity: &str) -> Markup {
    if context.wanted.is_some() {
        return context.table(&events_table(context, line));
    }
    let (own, zone, event) = (person_path(identity), context.zone(), context.value("event"));
    let known: Vec<String> =
        list(person, "counts").iter().filter_map(|c| c["event"].as_str()).map(str::to_owned).collect();
    let mut day = String::new();
    let mut turned = |time: &str| {
        let today = time.get(..10).unwrap_or("").to_owned();
        let new = today != day;
        day.clone_from(&today);
        new.then_some(today)
    };
    let same = |more: (&str, &str)| {
        let given = [("event", event), more].into_iter().filter(|(_, value)| !value.is_empty());
        link(&own, &[], &given.collect::<Vec<_>>())
    };
    let earlier = line["cursor"].as_str().map(|cursor| same(("cursor", cursor)));
    html! {
        form.row method="get" action=(own) {
            (form::field("Event", "event", event, "events"))
            button.quiet { "Show" }
            (form::offers("events", &known))
        }
        (view::warnings(context, line))
        @if list(line, "events").is_empty() { p.hint { @if event.is_empty() { "No events yet." } @else { "No event of theirs is called \u{201c}" (event) "\u{201d}." } } }
        ol.timeline { @for event in list(line, "events") {
            @let time = words::to_the_second(&zone, &event["time"]);
            @if let Some(day) = turned(&time) { li.day { (day) } }
            li { time { (time.get(11..).unwrap_or("")) } " " b { (context.event(&event["event"])) } " "
                @for (name, value) in event["properties"].as_object().into_iter().flatten() { span.property { (name) ": " (words::value(value)) } " " }
                small { (event["identity"].as_str().unwrap_or_default()) } }
        } }
        p.under { a.file href=(same(("csv", "events"))) download { "CSV" } }
        @if let Some(earlier) = earlier { p { a href=(earlier) { "Earlier" } } }
    }
}

/// What would become of two persons if they were one.
pub fn merge(context: &Context<'_>, identity: &str) -> Result<Answered> {
    let other = context.value("into");
    if other.is_empty() {
        return Err(Error::invalid("missing_field", "who they are is missing").at("into"));
    }
    let (one, two) = (profile(context, identity)?, profile(context, other)?);
    let mut table = Table::new(
        "merge",
        "The two and what they would be",
        &["What", "This person", "That person", "Both"],
    );
    let names = |person: &Json| {
        let all: Vec<&str> = list(person, "identities").iter().filter_map(Json::as_str).collect();
        words::names(&all, number(&person["more_identities"]), IDENTITIES_SHOWN)
    };
    table.row(vec![
        Cell::head("Identities"),
        Cell::text(names(&one)),
        Cell::text(names(&two)),
        Cell::text(format!("{}, {}", names(&two), names(&one))),
    ]);
    let (a, b) = (number(&one["events"]), number(&two["events"]));
    table.row(vec![
        Cell::head("Events"),
        Cell::text(count(a)),
        Cell::text(count(b)),
        Cell::text(count(a + b)),
    ]);
    for (name, field) in [("First seen", "first_seen"), ("Last seen", "last_seen")] {
        // As text 10:00:00.5Z would come before 10:00:00Z.
        let seen = [&one[field], &two[field]].into_iter().filter_map(|text| {
            let text = text.as_str()?;
            Some((parse_instant(text).ok()?, text))
        });
        let both = if field == "first_seen" { seen.min() } else { seen.max() };
        table.row(vec![
            Cell::head(name),
            context.instant(&one[field]),
            context.instant(&two[field]),
            context.instant(&both.map_or(Json::Null, |(_, text)| text.into())),
        ]);
    }
    let same = one["person"] == two["person"];
    let body = html! {
        p { a href=(person_path(identity)) { "Back to " (identity) } }
        @if same { p.headline { "They are one person already." } }
        @else {
            (context.table(&table))
            p { "All reports will count them as one person, for all time. It can be undone: each identity can be taken out again." }
            @if context.may(Role::Editor) { form method="post" action=(format!("{}/merge", person_path(identity))) {
                input type="hidden" name="into" value=(other);
                button { "Join the two" }
            } }
        }
    };
    Ok(Answered::new("Join two people?", body))
}

/// What would leave the person of an identity with it.
pub fn unmerge(context: &Context<'_>, identity: &str) -> Result<Answered> {
    let person = profile(context, identity)?;
    let line = timeline(context, identity, limits::PAGE_MAX)?;
    let all = list(&line, "events");
    let own = all.iter().filter(|event| event["identity"] == identity).count();
    let more = if line["cursor"].is_null() { "" } else { " of the latest" };
    let alone = identities_in_all(&person) < 2;
    let body = html! {
        p { a href=(person_path(identity)) { "Back to " (identity) } }
        @if alone { p.headline { "It is the only identity of its person." } }
        @else {
            p.headline { code { (identity) } " leaves " (person_link(person["person"].as_str().unwrap_or_default())) " and is a person of its own again" }
            p { (count(own as u64)) (more) " of " (count(all.len() as u64)) " " (words::plural(all.len() as u64, "event goes", "events go")) " with it: those that came under this identity. So do the properties that were set under it." }
            @if context.may(Role::Editor) { form method="post" action=(format!("{}/unmerge", person_path(identity))) { button { "Take it out" } } }
        }
    };
    Ok(Answered::new("Take an identity out?", body))
}

/// What would be gone if a person were erased, and the form that does it.
pub fn erase(context: &Context<'_>, identity: &str) -> Result<Answered> {
    let person = profile(context, identity)?;
    let name = person["person"].as_str().unwrap_or(identity).to_owned();
    let properties =
        person["properties"].as_object().map_or(0, <[_]>::len) as u64 + number(&person["more_properties"]);
    let body = html! {
        p { a href=(person_path(&name)) { "Back to " (name) } }
        (facts(&[
            ("Identities", html! { (count(identities_in_all(&person))) }),
            ("Properties", html! { (count(properties)) }),
            ("Events", html! { (count(number(&person["events"]))) }),
            ("First seen", html! { (context.local(&person["first_seen"])) }),
            ("Last seen", html! { (context.local(&person["last_seen"])) }),
        ]))
        (identity_list(&person, |_| html! {}))
        p { "All of it leaves every report and every file of this store, at once and for good: it cannot be undone. Numbers about the past change, too. Backups are not touched, but restoring one of this store erases them again." }
        form.row method="post" action=(format!("{}/erase", person_path(&name))) {
            (form::needed(&format!("Type {name} to confirm"), "confirm"))
            button { "Erase for good" }
        }
    };
    Ok(Answered::new(format!("Erase {name}?"), body))
}
