//! The page of revenue: what came in, from whom, and how recurring revenue moves.

use maud::{Markup, html};

use super::chart::{self, Layer};
use super::edit::Pairs;
use super::table::{Cell, Table};
use super::view::{self, Answered, facts, for_list, link, list, number};
use super::words::{self, money, percent};
use super::{Context, form};
use crate::error::Result;
use crate::model::Json;

const KNOWN: [&str; 4] = ["unit", "by", "lifetime", "property"];

/// What came in.
pub fn page(context: &Context<'_>) -> Result<Answered> {
    let result = Some(context.ask("revenue", &context.pairs));
    let body = html! {
        @if !context.shared() { (builder(context)?) }
        (context.shown("revenue", result, "", |answer| amounts(context, answer)))
    };
    Ok(Answered::new("Revenue", body))
}

fn builder(context: &Context<'_>) -> Result<Markup> {
    let fields = html! {
        div.row {
            (form::choice("By", "unit", context.value_or("unit", "month"), &form::UNITS))
            (form::field("Segment by", "by", context.value("by"), "splits"))
            (form::field("Property", "property", context.value("property"), "properties"))
            (form::choice("Lifetimes", "lifetime", context.value("lifetime"), &[("", "no"), ("true", "gained, kept and lost")]))
        }
        (form::show(context))
    };
    form::report(context, "/revenue", &KNOWN, &fields)
}

fn amount(value: &Json) -> f64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or(0.0)
}

fn amounts(context: &Context<'_>, answer: &Json) -> Markup {
    let base = for_list(&context.pairs);
    let behind = |more: &[(&str, &str)]| link("/revenue/people", &base, more);
    let series = list(answer, "series");
    let axis: Vec<String> = series.iter().map(|p| words::value(&p["start"])).collect();
    let total = Layer { name: "total", values: series.iter().map(|p| amount(&p["total"])).collect() };
    let query = &answer["receipt"]["query"];
    let open = words::open_from(answer, series);
    html! {
        p.rule { "The sum of " (words::value(&query["property"])) " of all events" (context.range(query)) ", refunds taken off"
            (context.only_people(query)) "." }
        p.headline { strong { (money(&answer["total"])) } " from " (context.people(&answer["paying"], &behind(&[])))
            " of " (context.people(&answer["people"], &behind(&[("which", "people")]))) " " (words::plural(number(&answer["people"]), "person", "people")) }
        (facts(&[
            ("Refunds", html! { (money(&answer["refunds"])) }),
            ("Per paying person", html! { (money(&answer["arppu"])) }),
            ("Per person", html! { (money(&answer["per_person"])) }),
        ]))
        (chart::columns(&[total], &axis, open, ""))
        (series_table(context, series, &base, open))
        (view::not_over(open))
        h2 { "Where they came from" }
        (segments_table(context, answer, &base))
        @if let Some(lifetime) = answer.get("lifetime") { (lifetimes(context, lifetime, &base)) }
    }
}

fn series_table(context: &Context<'_>, series: &[Json], base: &Pairs, open: Option<usize>) -> Markup {
    let mut table = Table::new(
        "series",
        "Revenue over time",
        &["From", "#Total", "#Refunds", "#Payments and refunds", "#Paying people"],
    );
    let all = context.wants(&table.name);
    table.rows(series.iter().enumerate(), all, |(at, point)| {
        let start = point["start"].as_str().unwrap_or_default();
        vec![
            Cell::unit(&point["start"], open.is_some_and(|open| at >= open)),
            Cell::money(&point["total"]),
            Cell::money(&point["refunds"]),
            Cell::number(&point["events"]),
            Cell::people(&point["paying"], link("/revenue/people", base, &[("start_of", start)])),
        ]
    });
    context.table(&table)
}

fn segments_table(context: &Context<'_>, answer: &Json, base: &Pairs) -> Markup {
    let head = ["Segment", "#Total", "#Refunds", "#People", "#Paying", "#Per person", "#Per paying person"];
    let mut table = Table::new("segments", "Revenue by segment", &head);
    for segment in list(answer, "segments") {
        let value = words::segment_label(segment);
        let behind = |more: &[(&str, &str)]| {
            let mut all = vec![("segment", value.as_str())];
            all.extend(more);
            words::is_short(&value).then(|| link("/revenue/people", base, &all))
        };
        table.row(vec![
            Cell::value(words::segment(segment)).heading(),
            Cell::money(&segment["total"]),
            Cell::money(&segment["refunds"]),
            Cell::people(&segment["people"], behind(&[("which", "people")])),
            Cell::people(&segment["paying"], behind(&[])),
            Cell::money(&segment["per_person"]),
            Cell::money(&segment["arppu"]),
        ]);
    }
    context.table(&table)
}

fn lifetimes(context: &Context<'_>, lifetime: &Json, base: &Pairs) -> Markup {
    let which = |name: &str| link("/revenue/people", base, &[("which", name)]);
    let series = list(lifetime, "series");
    let axis: Vec<String> = series.iter().map(|p| words::value(&p["start"])).collect();
    let mrr = Layer {
        name: "monthly recurring revenue",
        values: series.iter().map(|p| amount(&p["mrr"]["end"])).collect(),
    };
    let open = series.iter().position(|point| point["complete"] != true);
    html! {
        h2 { "Lifetimes" }
        (facts(&[
            ("Ever paid", context.people(&lifetime["customers"], &which("customers"))),
            ("Pay now", context.people(&lifetime["current"], &which("current"))),
            ("Recurring each month", html! { (money(&lifetime["mrr"])) }),
            ("Lifetime value so far", html! { (money(&lifetime["ltv"])) }),
            ("Lifetime value expected", html! { (money(&lifetime["ltv_expected"])) }),
            ("Churn", html! { (percent(&lifetime["churn"])) }),
        ]))
        @if mrr.values.iter().all(|value| *value == 0.0) && !context.wants("mrr") { p.hint { "No recurring revenue: no payment says with a property \u{201c}Billing Period\u{201d} how long it is for." } }
        @else {
            h3 { "Monthly recurring revenue" }
            (chart::lines(&[mrr], &axis, open.map(|at| at.max(1)), ""))
            (movements(context, lifetime, base))
        }
        h3 { "Who began, stayed and left" }
        (standing(context, lifetime, base))
        (view::not_over(open))
    }
}

fn start_of(point: &Json) -> Cell {
    Cell::unit(&point["start"], point["complete"] != true)
}

fn behind(base: &Pairs, which: &str, point: &Json) -> String {
    link(
        "/revenue/people",
        base,
        &[("which", which), ("start_of", point["start"].as_str().unwrap_or_default())],
    )
}

fn movements(context: &Context<'_>, lifetime: &Json, base: &Pairs) -> Markup {
    let head =
        ["From", "#At start", "#New", "#Reactivation", "#Expansion", "#Contraction", "#Churn", "#At end"];
    let mut table = Table::new("mrr", "Movements of monthly recurring revenue", &head);
    let all = context.wants(&table.name);
    table.rows(list(lifetime, "series").iter(), all, |point| {
        let mut cells = vec![start_of(point), Cell::money(&point["mrr"]["start"])];
        cells.extend(
            ["new", "reactivation", "expansion", "contraction", "churn"]
                .map(|name| Cell::money(&point["mrr"][name]).link(behind(base, name, point))),
        );
        cells.push(Cell::money(&point["mrr"]["end"]));
        cells
    });
    context.table(&table)
}

fn standing(context: &Context<'_>, lifetime: &Json, base: &Pairs) -> Markup {
    let head = ["From", "#At start", "#Gained", "#Regained", "#Kept", "#Lost", "#At end", "#Churn"];
    let mut table = Table::new("lifetimes", "Paying people over time", &head);
    let all = context.wants(&table.name);
    table.rows(list(lifetime, "series").iter(), all, |point| {
        let mut cells = vec![start_of(point)];
        cells.extend(
            ["at_start", "gained", "regained", "kept", "lost", "at_end"]
                .map(|name| Cell::people(&point[name], behind(base, name, point))),
        );
        cells.push(Cell::percent(&point["churn"]));
        cells
    });
    context.table(&table)
}
