//! The pages of funnels and experiments.

use maud::{Markup, html};
use serde_json::Value as Json;

use super::Context;
use super::view::{self, Answered, count, list, number, percent};
use crate::error::Result;

/// Parameters that the form has fields for.
const KNOWN: [&str; 8] = ["step", "order", "within", "by", "from", "to", "control", "add"];

/// A funnel, or with `compared` its variants against a control.
pub fn page(context: &Context<'_>, compared: bool) -> Result<Answered> {
    let (path, title) = if compared { ("/experiments", "Experiments") } else { ("/funnels", "Funnels") };
    let steps = context.values("step");
    let pairs: Vec<(String, String)> =
        context.pairs.iter().filter(|(name, _)| name != "add").cloned().collect();
    let ready = !steps.is_empty() && context.value("add").is_empty();
    let ready =
        ready && !(compared && (context.value("by").is_empty() || context.value("control").is_empty()));
    let result = if ready { Some(context.ask("funnel", &pairs)) } else { None };
    let (hidden, chips) = view::others(path, &context.pairs, &KNOWN);
    let fields = steps.len().max(2) + usize::from(!context.value("add").is_empty());
    let body = html! {
        form.builder method="get" action=(path) {
            (hidden)
            fieldset {
                legend { "People who did, in this order" }
                @for at in 0..fields {
                    (view::field(&format!("Step {}", at + 1), "step", steps.get(at).copied().unwrap_or(""), "events"))
                }
                button.quiet name="add" value="step" { "Add step" }
            }
            (view::choice("Order", "order", context.value("order"), &[("", "one after the other"), ("strict", "nothing in between"), ("any", "in any order")]))
            (view::field("Within", "within", context.value("within"), "windows"))
            (view::field("Segment by", "by", context.value("by"), "splits"))
            @if compared { (view::field("Control", "control", context.value("control"), "")) }
            (view::date("From", "from", context.value("from")))
            (view::date("To", "to", context.value("to")))
            button { "Show" }
            (view::offers("events", &context.event_names()))
            (view::offers("windows", &["1h", "1d", "7d", "30d", "90d"].map(str::to_owned)))
            (view::offers("splits", &context.splits()?))
        }
        (chips)
        @match result {
            None => p.hint { "Choose events by name. Without a limit of time, people may take as long as they like." },
            Some(Err(error)) => (view::problem(&error)),
            Some(Ok(answer)) => {
                (view::warnings(&answer))
                @if compared { (experiment(&answer)) }
                (steps_table(&answer, &pairs))
                @if !list(&answer, "segments").is_empty() { (segments_table(&answer, &pairs)) }
                (view::footing(&answer))
            }
        }
    };
    Ok(Answered::new(title, body))
}

fn event(step: &Json) -> String {
    match &step["event"] {
        Json::Array(several) => several.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(" or "),
        other => view::value(other),
    }
}

fn steps_table(answer: &Json, pairs: &[(String, String)]) -> Markup {
    let steps = list(answer, "steps");
    let entered = steps.first().map_or(0, |s| number(&s["people"]));
    let behind = |at: usize, outcome: &str| {
        view::link(
            "/funnels/people",
            &report_only(pairs),
            &[("at_step", &(at + 1).to_string()), ("outcome", outcome)],
        )
    };
    html! {
        p.headline { strong { (percent(&answer["conversion"])) } " of " (count(entered)) " people did all " (steps.len()) " steps" }
        div.scroll { table {
            thead { tr { th { "Step" } th { "Event" } th { "" } th.n { "People" } th.n { "From previous" } th.n { "From first" } th.n { "Lost" } th.n { "In progress" } th.n { "Median time" } } }
            tbody { @for (at, step) in steps.iter().enumerate() { tr {
                td { (at + 1) }
                th scope="row" { (event(step)) }
                td.wide { (view::bar(number(&step["people"]), number(&step["in_progress"]), entered)) }
                td.n { (view::people(&step["people"], &behind(at, "reached"))) }
                td.n { (percent(&step["from_previous"])) }
                td.n { (percent(&step["from_first"])) }
                td.n { (view::people(&step["lost"], &behind(at, "lost"))) }
                td.n { (view::people(&step["in_progress"], &behind(at, "in_progress"))) }
                td.n { (view::duration(&step["seconds"]["median"])) }
            } } }
        } }
    }
}

/// The list's page has a limit of its own; what compares variants is no part of it.
fn report_only(pairs: &[(String, String)]) -> Vec<(String, String)> {
    pairs.iter().filter(|(name, _)| !["limit", "control"].contains(&name.as_str())).cloned().collect()
}

fn segments_table(answer: &Json, pairs: &[(String, String)]) -> Markup {
    let steps = list(answer, "steps").len();
    let shown = pairs.iter().find(|(name, _)| name == "limit").map_or("25", |(_, value)| value.as_str());
    let behind = |segment: &Json, at: usize| {
        let value = segment.get("value").map_or_else(|| "{\"other\":true}".to_owned(), Json::to_string);
        let at = (at + 1).to_string();
        view::link(
            "/funnels/people",
            &report_only(pairs),
            &[("at_step", &at), ("outcome", "reached"), ("segment", &value), ("shown", shown)],
        )
    };
    html! {
        h2 { "By segment" }
        div.scroll { table {
            thead { tr { th { "Segment" } @for at in 1..=steps { th.n { "Step " (at) } } th.n { "Conversion" } } }
            tbody { @for segment in list(answer, "segments") { tr {
                th scope="row" { (view::segment(segment)) }
                @for (at, step) in list(segment, "steps").iter().enumerate() {
                    td.n { (view::people(&step["people"], &behind(segment, at))) }
                }
                td.n { (percent(&segment["conversion"])) }
            } } }
        } }
    }
}

fn experiment(answer: &Json) -> Markup {
    let experiment = &answer["experiment"];
    html! {
        @if experiment["enough_data"] == true {
            @match experiment["winner"].as_str() {
                Some(winner) => p.headline { strong { (winner) } " is better than the control." },
                None => p.headline { "No variant is clearly better than the control." },
            }
        } @else { p.headline { "Not enough data yet." } }
        div.scroll { table {
            thead { tr { th { "Variant" } th.n { "People" } th.n { "Converted" } th.n { "Rate" } th.n { "95 % interval" } th.n { "Lift" } th.n { "p" } th.n { "Chance of being best" } } }
            tbody { @for variant in list(experiment, "variants") { tr {
                th scope="row" { (view::value(&variant["value"])) @if variant["control"] == true { " (control)" } }
                td.n { (count(number(&variant["people"]))) }
                td.n { (count(number(&variant["converted"]))) }
                td.n { (percent(&variant["rate"])) }
                td.n { (percent(&variant["interval"][0])) " to " (percent(&variant["interval"][1])) }
                td.n { (percent(&variant["lift"])) }
                td.n { (variant["p_value"].as_f64().map_or_else(|| "-".to_owned(), |p| format!("{p:.4}"))) }
                td.n { (percent(&variant["probability_best"])) }
            } } }
        } }
    }
}
