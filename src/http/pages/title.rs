//! What pages are called: tabs, bookmarks and links that were passed on are told apart by it.

use super::view::list;
use super::words;
use super::{Context, edit};
use crate::model::Json;

/// Events that a title names at most.
const EVENTS_MAX: usize = 4;

/// A report by the events it asks for.
pub fn report(context: &Context<'_>, kind: &str) -> String {
    let asked =
        ["step", "series", "start", "return", "goal"].into_iter().flat_map(|name| context.values(name));
    let mut events: Vec<String> = asked.map(|text| event(context, &edit::pattern(text))).collect();
    if events.len() > EVENTS_MAX {
        // What it begins with, and where it ends.
        events.splice(EVENTS_MAX - 2..events.len() - 1, ["\u{2026}".to_owned()]).for_each(drop);
    }
    let joined = events.join(if kind == "Trends" { ", " } else { " \u{2192} " });
    if joined.is_empty() { kind.to_owned() } else { format!("{kind}: {joined}") }
}

/// The events of a pattern, whatever it wants of them.
fn event(context: &Context<'_>, pattern: &Json) -> String {
    context.pattern(&Json::object([("event", pattern["event"].clone())]))
}

/// The people behind a number of a report.
pub fn people(context: &Context<'_>, report: &str, query: &Json) -> String {
    let at = |name: &str, parameter: &str| numbered(context, query, name, context.value(parameter));
    let from = Some(context.value("start_of")).filter(|start| !start.is_empty());
    let from =
        from.map_or_else(String::new, |start| format!(", {} from {start}", words::value(&query["unit"])));
    let which = context.value("which");
    match report {
        "funnel" => outcome(context.value_or("outcome", "reached"), at("steps", "at_step")),
        "trend" => {
            format!("Did {}{from}", at("series", "number").unwrap_or_else(|| "all of the events".into()))
        }
        "cohort" => {
            let unit = words::value(&query["bucket"]);
            let back = context.value("column").parse::<u64>().ok();
            let back = back.map_or_else(String::new, |n| format!(", back in {unit} {n}"));
            format!("Began with {}{back}", event(context, &query["start"]))
        }
        "paths" => {
            let ends = ["start", "goal"].map(|name| query.get(name).map(|one| event(context, one)));
            match ends {
                [Some(start), Some(goal)] => format!("Went from {start} to {goal}"),
                [Some(start), None] => format!("Went on from {start}"),
                [None, goal] => format!("Came to {}", goal.unwrap_or_default()),
            }
        }
        "lifecycle" => format!("{}{from}", words::sentence(which)),
        // Of revenue.
        _ => match which {
            "people" => format!("Came{from}"),
            "" | "paying" => format!("Paid{from}"),
            which => format!("{}{from}", words::sentence(which)),
        },
    }
}

/// What became of people at a step of a funnel, or at whichever.
fn outcome(outcome: &str, step: Option<String>) -> String {
    match (outcome, step) {
        ("reached", Some(step)) => format!("Did {step}"),
        (outcome, Some(step)) if outcome != "converted" => {
            format!("{} after {step}", words::sentence(&outcome.replace('_', " ")))
        }
        (outcome, _) => words::sentence(&outcome.replace('_', " ")),
    }
}

/// An event of a list of a query by its number, which begins at 1.
pub fn numbered(context: &Context<'_>, query: &Json, name: &str, number: &str) -> Option<String> {
    let place = number.parse::<usize>().ok()?.checked_sub(1)?;
    list(query, name).get(place).map(|pattern| event(context, pattern))
}
