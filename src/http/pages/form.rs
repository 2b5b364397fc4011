//! The forms of pages: fields with labels, lists of events and the filters that all reports have. They work without a script, as
//! buttons are ways to send the form.

use jiff::{ToSpan, civil::Date};
use maud::{Markup, html};

use super::Context;
use super::edit::{self, Pairs};
use super::view::{link, without};
use super::words;
use crate::error::Result;
use crate::model::{format_millis, within};

/// Bytes of a list that fields offer: a report has three, and whoever has the write key can make names of a kilobyte each.
const OFFERED_BYTES: usize = 512 * 1024;

/// Calendar units.
pub const UNITS: [(&str, &str); 3] = [("day", "day"), ("week", "week"), ("month", "month")];

fn id(label: &str) -> String {
    format!("f-{}", label.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-"))
}

/// A text field with its label, which offers the entries of a list.
pub fn field(label: &str, name: &str, value: &str, offered: &str) -> Markup {
    any_field(label, name, value, offered, false)
}

/// A text field without which its form says nothing.
pub fn needed(label: &str, name: &str) -> Markup {
    any_field(label, name, "", "", true)
}

/// The same with what was typed into it before.
pub fn needed_as(label: &str, name: &str, value: &str) -> Markup {
    any_field(label, name, value, "", true)
}

fn any_field(label: &str, name: &str, value: &str, offered: &str, needed: bool) -> Markup {
    let id = id(label);
    html! {
        div.field {
            label for=(id) { (label) }
            input id=(id) name=(name) value=(value) list=[(!offered.is_empty()).then_some(offered)] required[needed] autocomplete="off" spellcheck="false";
        }
    }
}

/// A choice with its label.
pub fn choice(label: &str, name: &str, value: &str, options: &[(&str, &str)]) -> Markup {
    let id = id(label);
    html! {
        div.field {
            label for=(id) { (label) }
            select id=(id) name=(name) {
                @for (option, text) in options { option value=(option) selected[*option == value] { (text) } }
            }
        }
    }
}

/// A day with its label; with `to` the last day of what the parameter ends. An instant that no day begins with stays as it is, in a
/// field that can hold it, so that sending the form changes nothing.
pub fn date(context: &Context<'_>, label: &str, name: &str) -> Markup {
    let (id, value) = (id(label), context.value(name));
    match value.parse::<Date>().ok().or_else(|| day_of(context, name, value)) {
        None if !value.is_empty() => field(label, name, value, ""),
        day => html! {
            div.field.short {
                label for=(id) { (label) }
                input id=(id) name=(name) type="date" value=(day.map(|day| day.to_string()).unwrap_or_default());
            }
        },
    }
}

/// The day that an instant stands for: an end is the instant behind it.
fn day_of(context: &Context<'_>, name: &str, instant: &str) -> Option<Date> {
    let day = words::day_from(&context.zone(), &instant.into())?;
    if name == "to" { day.yesterday().ok() } else { Some(day) }
}

/// Entries that fields can offer, as far as they take no more than [`OFFERED_BYTES`].
pub fn offers(id: &str, entries: &[String]) -> Markup {
    let options = entries.iter().map(|entry| html! { option value=(entry) {} });
    let options = within(options, OFFERED_BYTES, |option| option.0.len());
    html! { datalist id=(id) { @for option in options { (option) } } }
}

/// The lists that fields of every report offer: events, properties, what reports are split by.
fn all_offers(context: &Context<'_>) -> Result<Markup> {
    let (splits, properties) = (context.splits()?, context.properties()?);
    Ok(html! {
        (offers("events", &context.event_names()))
        (offers("properties", &properties))
        (offers("splits", &splits))
    })
}

/// An event with a condition on it. `label` says which it is.
pub fn event(label: &str, name: &str, text: &str) -> Markup {
    let [event, property, operator, value] = edit::fields(text);
    html! {
        (field(label, name, &event, "events"))
        details.where open[!property.is_empty()] {
            summary { "where\u{2026}" span.unseen { " for " (label) } }
            div.row { (condition(label, "where", &property, &operator, &value)) }
        }
    }
}

/// The fields of a condition on a property.
fn condition(of: &str, name: &str, property: &str, operator: &str, value: &str) -> Markup {
    let mut operators: Vec<(&str, &str)> = words::OPERATORS.to_vec();
    operators.push(("unset", "is not known"));
    html! {
        (field(&format!("{of}: property"), name, property, "properties"))
        (choice(&format!("{of}: test"), "op", operator, &operators))
        (field(&format!("{of}: value"), "val", value, ""))
    }
}

/// A list of events in their order, each with buttons that move it and take it out. With the parameter `add` it has one field more.
pub fn events(context: &Context<'_>, label: &str, name: &str, fewest: usize) -> Markup {
    let given = context.values(name);
    let fields = given.len().max(fewest) + usize::from(!context.value("add").is_empty());
    html! {
        ol.events { @for at in 0..fields {
            @let number = at + 1;
            @let own = format!("{label} {number}");
            li {
                (event(&own, name, given.get(at).copied().unwrap_or("")))
                @if given.len() > 1 && at < given.len() {
                    span.moves {
                        @if at > 0 { button.icon name="up" value=(format!("{name}:{number}")) aria-label=(format!("Move {own} up")) { "\u{2191}" } }
                        button.icon name="drop" value=(format!("{name}:{number}")) aria-label=(format!("Remove {own}")) { "\u{d7}" }
                    }
                }
            }
        } }
    }
}

/// When, and which people: what every report can be narrowed to.
pub fn narrowed(context: &Context<'_>) -> Markup {
    let audiences: Vec<String> = context.app.reports().saved().audiences.keys().cloned().collect();
    html! {
        (date(context, "From", "from"))
        (date(context, "To", "to"))
        details.more {
            summary { "Filter people" }
            div.row {
                (condition("Only people whose", "only", "", "", ""))
                @if !audiences.is_empty() { (field("Only people in", "among", "", "audiences")) (offers("audiences", &audiences)) }
                (robots(context))
            }
        }
    }
}

/// Whether robots count, which the settings say unless it is said here.
pub fn robots(context: &Context<'_>) -> Markup {
    let set = if context.dashboard.without_robots { "as set: left out" } else { "as set: count" };
    choice(
        "Robots",
        "robots",
        context.value("robots"),
        &[("", set), ("with", "count"), ("without", "left out")],
    )
}

/// Ways to a period in one step, by link and by key.
fn periods(context: &Context<'_>, path: &str) -> Markup {
    let Some(today) = context.today() else { return html! {} };
    let (from, to) = (context.value("from"), context.value("to"));
    let rest: Pairs = context
        .pairs
        .iter()
        .filter(|(n, _)| !["from", "to", "cursor"].contains(&n.as_str()))
        .cloned()
        .collect();
    let to_period = |from: Option<Date>, to: Option<Date>| {
        let (from, to) = (from.map(|d| d.to_string()), to.map(|d| d.to_string()));
        let more: Vec<(&str, &str)> = [("from", from.as_deref()), ("to", to.as_deref())]
            .into_iter()
            .filter_map(|(n, v)| Some((n, v?)))
            .collect();
        link(path, &rest, &more)
    };
    let hours = format_millis(context.app.now() - 24 * 3_600_000);
    let days = |count: i64| today.checked_sub((count - 1).days()).ok();
    let month = today.first_of_month();
    let known: [(&str, &str, Option<Date>, Option<Date>); 12] = [
        ("d", "Today", Some(today), Some(today)),
        ("e", "Yesterday", today.yesterday().ok(), today.yesterday().ok()),
        ("w", "7 days", days(7), Some(today)),
        ("f", "28 days", days(28), Some(today)),
        ("t", "30 days", days(30), Some(today)),
        ("n", "91 days", days(91), Some(today)),
        ("m", "This month", Some(month), Some(today)),
        ("p", "Last month", month.yesterday().ok().map(Date::first_of_month), month.yesterday().ok()),
        ("y", "This year", Some(today.first_of_year()), Some(today)),
        ("s", "6 months", today.checked_sub(6.months()).ok(), Some(today)),
        ("l", "12 months", today.checked_sub(12.months()).ok(), Some(today)),
        ("a", "All time", None, None),
    ];
    let chosen = |one: &(&str, &str, Option<Date>, Option<Date>)| {
        let same = |text: &str, day: Option<Date>| text == day.map(|d| d.to_string()).unwrap_or_default();
        same(from, one.2) && same(to, one.3)
    };
    html! {
        nav.periods aria-label="Period" {
            @for one in &known {
                a href=(to_period(one.2, one.3)) data-key=(one.0) aria-current=[chosen(one).then_some("true")] { (one.1) }
            }
            a href=(link(path, &rest, &[("from", &hours)])) data-key="h" aria-current=[(from.contains('T') && to.is_empty()).then_some("true")] { "24 hours" }
            @if let (Ok(from), Ok(to)) = (from.parse::<Date>(), to.parse::<Date>()) {
                @let length = from.until(to).map_or(0, |span| span.get_days()) + 1;
                @let shifted = |sign: i32| (from.checked_add((sign * length).days()).ok(), to.checked_add((sign * length).days()).ok());
                a href=(to_period(shifted(-1).0, shifted(-1).1)) data-key="ArrowLeft" aria-label="Previous period" { "\u{2190}" }
                a href=(to_period(shifted(1).0, shifted(1).1)) data-key="ArrowRight" aria-label="Following period" { "\u{2192}" }
            }
            @let compares = !context.value("compare").is_empty();
            @let other = without(&context.pairs, &["compare", "cursor"]);
            a href=(link(path, &other, if compares { &[] } else { &[("compare", "before")] })) data-key="x" aria-current=[compares.then_some("true")] { "Compare" }
        }
    }
}

/// The form of a report at `path` around its own `fields`, whose parameters are `known`, with what they offer; under it periods
/// and filters.
pub fn report(context: &Context<'_>, path: &str, known: &[&str], fields: &Markup) -> Result<Markup> {
    let (hidden, chips) = others(path, context, known);
    Ok(html! {
        form.builder.side method="get" action=(path) {
            (hidden)
            // The first button of a form is the one that the Enter key presses.
            button.unseen tabindex="-1" aria-hidden="true" {}
            (fields)
            (all_offers(context)?)
        }
        (periods(context, path))
        (chips)
    })
}

/// The last row of most forms: what every report can be narrowed to, and the button.
pub fn show(context: &Context<'_>) -> Markup {
    html! { div.row { (narrowed(context)) button.go { "Show" } } }
}

/// Parameters that the form of a page has no field for: kept, shown, and each can be taken away.
pub fn others(path: &str, context: &Context<'_>, known: &[&str]) -> (Markup, Markup) {
    let pairs = &context.pairs;
    let unknown = |name: &str| {
        !known.contains(&name) && !matches!(name, "from" | "to" | "add" | "people" | "compare" | "robots")
    };
    let kept: Vec<usize> =
        (0..pairs.len()).filter(|at| pairs.get(*at).is_some_and(|(n, _)| unknown(n))).collect();
    let without = |at: usize| -> Pairs {
        pairs
            .iter()
            .enumerate()
            .filter(|(k, (n, _))| *k != at && n != "cursor")
            .map(|(_, p)| p.clone())
            .collect()
    };
    let mut chips: Vec<(String, String)> = Vec::new();
    for (at, (name, value)) in pairs.iter().enumerate() {
        if name == "people" {
            let all = edit::all_of(value);
            for number in 0..all.len() {
                let Some(words) = all.get(number).map(|one| context.audience(one)) else { continue };
                let rest = all
                    .iter()
                    .enumerate()
                    .filter(|(k, _)| *k != number)
                    .map(|(_, one)| one.clone())
                    .collect();
                let rest = edit::written(rest);
                let more: Vec<(&str, &str)> = rest.iter().map(|text| ("people", text.as_str())).collect();
                chips.push((words, link(path, &without(at), &more)));
            }
        } else if kept.contains(&at) {
            chips.push((format!("{name}: {value}"), link(path, &without(at), &[])));
        }
    }
    if context.leaves_robots_out() {
        let other: &[_] = if context.dashboard.without_robots { &[("robots", "with")] } else { &[] };
        chips.push((
            "no robots".to_owned(),
            link(path, &super::view::without(pairs, &["robots", "cursor"]), other),
        ));
    } else if !context.value("robots").is_empty() && context.dashboard.without_robots {
        chips.push((
            "robots, too".to_owned(),
            link(path, &super::view::without(pairs, &["robots", "cursor"]), &[]),
        ));
    }
    let hidden = html! {
        @for (name, value) in pairs.iter().filter(|(n, _)| unknown(n) || matches!(n.as_str(), "people" | "compare")) { input type="hidden" name=(name) value=(value); }
    };
    let chips = html! {
        @if !chips.is_empty() {
            ul.chips aria-label="Filters" { @for (words, target) in &chips {
                li { span { (words) } @if !context.shared() { " " a href=(target) aria-label=(format!("Remove {words}")) { "\u{d7}" } } }
            } }
        }
    };
    (hidden, chips)
}
