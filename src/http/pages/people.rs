//! The search for people, and the lists behind numbers.

use maud::{Markup, html};

use super::edit::{self, Pairs};
use super::table::{Cell, Table};
use super::view::{self, Answered, count, link, number, person_link, person_path, without};
use super::words;
use super::{Context, form, funnels, title};
use crate::app::Role;
use crate::error::Result;
use crate::limits;
use crate::model::Json;

/// Properties that a page shows where no columns were chosen; a file has those of the answer.
const PROPERTIES: usize = 4;
/// Other identities of somebody that a row shows; a file has those of the answer.
const OTHERS_SHOWN: usize = 20;

/// A search: who somebody is, what they did, what they are.
pub fn search(context: &Context<'_>) -> Result<Answered> {
    let pairs = paged(context, &["who"]);
    let result = context.ask("people", &pairs);
    // Nobody is not everybody.
    let nobody =
        !context.value("who").is_empty() && context.snapshot.find_person(context.value("who"))?.is_none();
    let first = result.as_ref().ok().filter(|_| context.wants("people")).cloned();
    let (hidden, chips) = form::others("/people", context, &["who", "cursor"]);
    let body = html! {
        (builder(context, &hidden)?)
        (chips)
        (known(context)?)
        @if !nobody || context.wanted.is_some() { (context.shown("people", Some(result), "", |answer| html! {
            (headcount(answer))
            (some(context, &found(context, answer)))
            (more(context, "/people", answer))
            @if context.may(Role::Editor) { (keep_audience(context, answer)) }
        })) }
    };
    if let Some(first) = first {
        further(context, "people", &pairs, &first, |page| context.add_to_file(&found(context, page)))?;
    }
    Ok(Answered::new("People", body))
}

/// Looks at the pages behind the first one, which a file has too: one after the other, so that no more than one is held, and as of
/// the instant of the first.
fn further(
    context: &Context<'_>,
    report: &str,
    pairs: &Pairs,
    first: &Json,
    mut look: impl FnMut(&Json) -> Result<()>,
) -> Result<()> {
    let mut pairs = without(pairs, &["as_of"]);
    pairs.push(("as_of".to_owned(), words::value(&first["receipt"]["as_of"])));
    let next = |page: &Json| page["cursor"].as_str().map(|at| ("cursor".to_owned(), at.to_owned()));
    let mut cursor = next(first);
    while let Some(at) = cursor {
        let page = context.ask(report, &[pairs.as_slice(), &[at]].concat())?;
        look(&page)?;
        cursor = next(&page);
    }
    Ok(())
}

/// The parameters of a page of people without some. A file has all people.
fn paged(context: &Context<'_>, names: &[&str]) -> Pairs {
    let mut pairs = without(&context.pairs, names);
    if context.wanted.is_some() {
        pairs.retain(|(name, _)| name != "limit" && name != "cursor");
        pairs.push(("limit".to_owned(), limits::PAGE_MAX.to_string()));
    }
    pairs
}

fn builder(context: &Context<'_>, hidden: &Markup) -> Result<Markup> {
    let properties = context.properties_of(Some(crate::exec::properties::Owner::Person))?;
    let audiences: Vec<String> = context.app.reports().saved().audiences.keys().cloned().collect();
    Ok(html! {
        form.builder method="get" action="/people" role="search" {
            (hidden)
            div.row {
                (form::field("Search people", "who", context.value("who"), ""))
                button.go { "Search" }
            }
            fieldset {
                legend { "and who" }
                div.row {
                    (form::field("Did", "did", "", "events"))
                    (form::field("At least so often", "often", "", ""))
                    (form::date(context, "Since", "since"))
                    (form::date(context, "Until", "before"))
                    (form::field("Did not", "not", "", "events"))
                }
                div.row {
                    (form::field("Property", "only", "", "properties"))
                    (form::choice("Test", "op", "", &words::OPERATORS))
                    (form::field("Value", "val", "", ""))
                    @if !audiences.is_empty() { (form::field("In audience", "among", "", "audiences")) (form::offers("audiences", &audiences)) }
                    (form::date(context, "Seen from", "from"))
                    (form::date(context, "Seen to", "to"))
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

fn found(context: &Context<'_>, answer: &Json) -> Table {
    // Each as an answer calls it: the latest value by the name of the property, the first one with `first:` before.
    let columns: Vec<String> = view::list(&answer["receipt"]["query"], "columns")
        .iter()
        .map(|column| words::value(column).replacen("person.", "", 1))
        .collect();
    let mut table = Table::new("people", "People", &["Person"]);
    if columns.is_empty() {
        table.column("Properties")
    } else {
        columns.iter().for_each(|name| table.column(&name.replacen("first:", "first ", 1)))
    }
    ["#Events", "First seen", "Last seen"].iter().for_each(|name| table.column(name));
    for person in view::list(answer, "people") {
        let name = person["person"].as_str().unwrap_or_default();
        let mut cells = vec![Cell::head(name).link(person_path(name))];
        if columns.is_empty() {
            let all = person["properties"].as_object().unwrap_or_default();
            let unlisted = number(&person["more_properties"]);
            let more = all.len().saturating_sub(PROPERTIES) as u64 + unlisted;
            let shown = html! {
                @for (name, value) in all.iter().take(PROPERTIES) { span.property { (name) ": " (words::clipped(&words::value(value))) } " " }
                @if more > 0 { small { "and " (count(more)) " more" } }
            };
            let mut plain: Vec<String> =
                all.iter().map(|(name, value)| format!("{name}: {}", words::value(value))).collect();
            plain.extend((unlisted > 0).then(|| format!("and {} more", count(unlisted))));
            cells.push(Cell::marked(shown, plain.join("; ")).class("properties"));
        } else {
            cells.extend(
                columns.iter().map(|name| Cell::value(words::value(&person["properties"][name.as_str()]))),
            );
        }
        cells.extend([
            Cell::number(&person["events"]),
            context.instant(&person["first_seen"]),
            context.instant(&person["last_seen"]),
        ]);
        table.row(cells);
    }
    table
}

/// A table, unless nobody is in it: the headline has said so.
fn some(context: &Context<'_>, table: &Table) -> Markup {
    html! { @if context.shows(table) { (context.table(table)) } }
}

/// The people of a search as an audience, unless they are everybody.
fn keep_audience(context: &Context<'_>, answer: &Json) -> Markup {
    let people = context.values("people").into_iter().flat_map(edit::all_of).collect();
    let mut people = context.with_or_without_robots(people);
    let query = &answer["receipt"]["query"];
    let days =
        ["from", "to"].into_iter().filter_map(|name| Some((name.to_owned(), query.get(name)?.clone())));
    let days: Vec<(String, Json)> = days.collect();
    if !days.is_empty() {
        people.push(Json::object([("seen", Json::Object(days))]));
    }
    let Some(people) = edit::written(people) else { return html! {} };
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
    let pairs = paged(context, &["over", "add"]);
    let answer = context.ask(&name, &pairs)?;
    let mut buckets = came(&answer);
    let file = context.wants("people");
    // The columns of a grid are as many as anybody in it needs.
    if file && report == "cohort" {
        further(context, &name, &pairs, &answer, |page| {
            buckets = buckets.max(came(page));
            Ok(())
        })?;
    }
    let page = view::report_page(report);
    let (back, shown) = (without(&context.pairs, &OF_LIST), context.value("shown"));
    let back = match shown {
        _ if report == "lifecycle" => page.to_owned(),
        "" => link(page, &back, &[]),
        shown => link(page, &back, &[("limit", shown)]),
    };
    let query = &answer["receipt"]["query"];
    let which = context.pairs.iter().filter(|(n, _)| {
        OF_LIST.contains(&n.as_str()) && !matches!(n.as_str(), "cursor" | "shown" | "limit")
    });
    let body = html! {
        p { a href=(back) { "Back to the report" } }
        ul.chips aria-label="Which people" {
            @for (name, value) in which { li { (chip(context, query, name, value)) } }
        }
        @if report == "funnel" { (funnels::rule(context, &answer)) } @else { (narrowed(context, query)) }
        (headcount(&answer))
        @if let Some(people) = as_audience(context, report, &answer) {
            p { a href=(link("/people", &[], &[("people", &people)])) { "Search among these people" } ", or save them as an audience there." }
        }
        (some(context, &behind(context, report, &answer, buckets)))
        (more(context, &context.path, &answer))
        (view::warnings(context, &answer))
        p.footing { (format!("{:.1} ms", answer["elapsed_ms"].as_f64().unwrap_or(0.0))) }
    };
    if file {
        let add = |page: &Json| context.add_to_file(&behind(context, report, page, buckets));
        further(context, &name, &pairs, &answer, add)?;
    }
    Ok(Answered::new(title::people(context, report, query), body))
}

/// When, and which people, a list is of; nothing if it is of all.
fn narrowed(context: &Context<'_>, query: &Json) -> Markup {
    let said = [context.range(query), context.only_people(query)].concat();
    let said = words::sentence(said.trim_start_matches(['.', ' ']));
    html! { @if !said.is_empty() { p.rule { (said) "." } } }
}

/// The people behind a number of a funnel as an audience, whoever they are by then unless it says as of when; those of one segment, or of several, are none.
fn as_audience(context: &Context<'_>, report: &str, answer: &Json) -> Option<String> {
    let some = ["segment", "several_variants"].iter().any(|name| !context.value(name).is_empty());
    if report != "funnel" || some {
        return None;
    }
    let mut funnel = answer["receipt"]["query"].clone();
    ["by", "limit", "times"].iter().for_each(|name| drop(funnel.remove(name)));
    if context.value("as_of").is_empty() {
        funnel.remove("as_of");
    }
    let outcome = context.value_or("outcome", "reached").into();
    let mut people = Json::object([("funnel", funnel), ("outcome", outcome)]);
    if let Ok(step) = context.value("at_step").parse::<u64>() {
        people.set("step", step.into());
    }
    Some(people.to_string())
}

fn chip(context: &Context<'_>, query: &Json, name: &str, value: &str) -> String {
    let read = Json::parse(value).ok();
    let named = |list: &str| title::numbered(context, query, list, value).unwrap_or_default();
    match (name, read) {
        ("at_step", _) => format!("step {value}: {}", named("steps")),
        ("start_of", _) => format!("from {value}"),
        ("number", _) => format!("event {value}: {}", named("series")),
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

/// In how many buckets of a cohort people of a page can be seen to have come back.
fn came(answer: &Json) -> u64 {
    let came = view::list(answer, "people").iter().flat_map(|person| view::list(person, "came"));
    came.map(|bucket| number(bucket) + 1).max().unwrap_or(0)
}

/// Why somebody went no further in a funnel, or until when they may.
fn why(context: &Context<'_>, person: &Json) -> String {
    let stopped = &person["stopped"];
    let (at, by) = (context.local(&stopped["at"]), context.event(&stopped["by"]));
    let late = stopped["missed_by_seconds"].as_f64().map(words::duration_of);
    match (stopped["reason"].as_str(), person["in_progress_until"].as_str()) {
        (None, Some(until)) => format!("in progress until {}", context.local(&until.into())),
        (None, None) => String::new(),
        (Some("window_ended"), _) => match late {
            Some(late) => format!("window ended {at}, the next step came {late} later"),
            None => format!("window ended {at}, no next step came"),
        },
        (Some("excluded"), _) => format!("excluded by {by}, {at}"),
        (Some("other_event"), _) => format!("{by} came instead, {at}"),
        (Some("closed"), _) => "its last day was over".to_owned(),
        (Some(reason), _) => reason.replace('_', " "),
    }
}

/// A page of people as a table; for a cohort with so many buckets.
fn behind(context: &Context<'_>, report: &str, answer: &Json, buckets: u64) -> Table {
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
    if grid {
        let unit = answer["receipt"]["query"]["bucket"].as_str().unwrap_or("month");
        table.column("Began");
        (0..buckets).for_each(|bucket| table.column(&format!("{unit} {bucket}")));
    }
    for person in view::list(answer, "people") {
        let name = person["person"].as_str().unwrap_or_default();
        let others: Vec<&str> =
            view::list(person, "identities").iter().filter_map(Json::as_str).filter(|i| *i != name).collect();
        let mut cells = vec![Cell::head(name).link(person_path(name))];
        if !grid {
            let unlisted = number(&person["more_identities"]);
            let [shown, all] = [OTHERS_SHOWN, usize::MAX].map(|most| words::names(&others, unlisted, most));
            cells.push(Cell::marked(html! { (shown) }, all).class("others"));
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
            cells.push(Cell::text(why(context, person)));
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
    table
}
