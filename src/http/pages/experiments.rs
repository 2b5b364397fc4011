//! The page of experiments: a funnel's variants, with a verdict in words.

use maud::{Markup, html};

use super::table::{Cell, Table};
use super::view::{Answered, list, number, without};
use super::words::{self, percent};
use super::{Context, form, funnels, title};
use crate::error::Result;
use crate::model::Json;

const KNOWN: [&str; 4] = ["step", "within", "by", "control"];

/// Variants of something compared by how many people convert.
pub fn page(context: &Context<'_>) -> Result<Answered> {
    let pairs = without(&context.pairs, &["add"]);
    let given = ["step", "by", "control"].iter().all(|name| !context.value(name).is_empty());
    let result = (given && context.value("add").is_empty()).then(|| context.ask("funnel", &pairs));
    let hint = "Which variant makes more people convert? Say what they see first and what they should do, which property holds the variant (such as person.Pricing Page Experiment), and which value is the control.";
    let body = html! {
        @if !context.shared() { (builder(context)?) }
        (context.shown("funnel", result, hint, |answer| html! {
            (verdict(context, &answer["experiment"]))
            (funnels::rule(context, answer))
            (variants(context, answer))
        }))
    };
    Ok(Answered::new(title::report(context, "Experiments"), body))
}

fn builder(context: &Context<'_>) -> Result<Markup> {
    let fields = html! {
        fieldset {
            legend { "People who did" }
            (form::events(context, "Step", "step", 2))
            button.quiet name="add" value="step" { "Add step" }
        }
        div.row {
            (form::field("Segment by", "by", context.value("by"), "splits"))
            (form::field("Control", "control", context.value("control"), ""))
            (form::field("Within", "within", context.value("within"), ""))
        }
        (form::show(context))
    };
    form::report(context, "/experiments", &KNOWN, &fields)
}

/// What the numbers say.
fn verdict(context: &Context<'_>, experiment: &Json) -> Markup {
    let variants = list(experiment, "variants");
    let won = &experiment["winner"];
    let winner = variants.iter().find(|v| !won.is_null() && v["value"] == *won);
    let doubts = experiment["sample_ratio_p"].as_f64().is_some_and(|p| p < 0.01);
    let several = number(&experiment["several_variants"]);
    html! {
        @match winner {
            _ if experiment["enough_data"] != true => p.headline.verdict { strong { "Too early to tell." } " Each variant needs 30 people, 5 who converted and 5 who did not." }
            Some(variant) => p.headline.verdict.good {
                strong { (words::value(won)) " wins" } ": " (percent(&variant["lift"])) " more of its people convert than of the control\u{2019}s"
                @if let Some(p) = variant["p_value"].as_f64() { ". By chance alone so large a difference comes up in " (if p < 0.001 { "fewer than 0.1 %".to_owned() } else { percent(&p.into()) }) " of experiments." }
            }
            None => p.headline.verdict { strong { "No winner." } " No variant is better than the control by more than chance explains." }
        }
        @if doubts { p.warning role="status" { "The variants have very unequal numbers of people. If they were meant to be equal, something assigns them wrongly, and the result cannot be trusted." } }
        @if several > 0 { p.warning role="status" { a href=(super::view::link("/funnels/people", &without(&context.pairs, &["limit", "add"]), &[("at_step", "1"), ("several_variants", "true")])) { (words::some_people(several)) } " had more than one variant." } }
    }
}

fn variants(context: &Context<'_>, answer: &Json) -> Markup {
    let head = [
        "Variant",
        "#People",
        "#Converted",
        "#Rate",
        "Rate within 95 %",
        "#Lift",
        "#p",
        "#Chance of being best",
    ];
    let mut table = Table::new("variants", "Variants compared with the control", &head);
    for variant in list(&answer["experiment"], "variants") {
        let name = words::value(&variant["value"]);
        let control = variant["value"] == answer["experiment"]["control"];
        let p = variant["p_value"].as_f64().map_or_else(
            || "\u{2013}".to_owned(),
            |p| if p < 0.0001 { "< 0.0001".to_owned() } else { format!("{p:.4}") },
        );
        let nobody = number(&variant["people"]) == 0;
        let interval = match nobody {
            true => "\u{2013}".to_owned(),
            false => format!("{} to {}", percent(&variant["interval"][0]), percent(&variant["interval"][1])),
        };
        // Of a variant that nobody had anything is as likely.
        let best = if nobody { &Json::Null } else { &variant["probability_best"] };
        let behind = |outcome: &str| {
            let last = list(answer, "steps").len().to_string();
            let at = if outcome == "reached" { "1" } else { last.as_str() };
            let value = variant["value"].to_string();
            let base = without(&context.pairs, &["limit", "control", "add"]);
            let more = [("at_step", at), ("outcome", outcome), ("segment", &value)];
            words::is_short(&value).then(|| super::view::link("/funnels/people", &base, &more))
        };
        table.row(vec![
            Cell::value(if control { format!("{name} (control)") } else { name }).heading(),
            Cell::people(&variant["people"], behind("reached")),
            Cell::people(&variant["converted"], behind("converted")),
            Cell::percent(&variant["rate"]),
            Cell::text(interval).class("n"),
            Cell::percent(&variant["lift"]),
            Cell::shown_number(p, &variant["p_value"]),
            Cell::percent(best),
        ]);
    }
    html! {
        (context.table(&table))
        p.hint { "Intervals are Wilson\u{2019}s, p values two-sided. Looking again and again until somebody wins finds winners where there are none: decide before how many people to wait for." }
    }
}
