//! The pages of cohorts, revenue, trends and paths.

use maud::{Markup, html};
use serde_json::Value as Json;

use super::Context;
use super::view::{self, Answered, count, list, number, percent};
use crate::error::Result;

const UNITS: [(&str, &str); 3] = [("month", "month"), ("week", "week"), ("day", "day")];

/// The parameters without those that mean something else in a list.
fn without(pairs: &[(String, String)], names: &[&str]) -> Vec<(String, String)> {
    pairs.iter().filter(|(name, _)| !names.contains(&name.as_str())).cloned().collect()
}

/// The result of a page, or what kept it from being made.
fn shown(result: Option<Result<Json>>, hint: &str, show: impl FnOnce(&Json) -> Markup) -> Markup {
    match result {
        None => html! { p.hint { (hint) } },
        Some(Err(error)) => view::problem(&error),
        Some(Ok(answer)) => html! { (view::warnings(&answer)) (show(&answer)) (view::footing(&answer)) },
    }
}

/// Who came back.
pub fn cohorts(context: &Context<'_>) -> Result<Answered> {
    let known = ["start", "return", "cohort", "bucket", "count", "by", "from", "to"];
    let (hidden, chips) = view::others("/cohorts", &context.pairs, &known);
    let ready = !context.value("start").is_empty() && !context.value("return").is_empty();
    let result = ready.then(|| context.ask("cohort", &context.pairs));
    let unit = |name| if context.value(name).is_empty() { "month" } else { context.value(name) };
    let body = html! {
        form.builder method="get" action="/cohorts" {
            (hidden)
            (view::field("Start event", "start", context.value("start"), "events"))
            (view::field("Return event", "return", context.value("return"), "events"))
            (view::choice("Cohorts by", "cohort", unit("cohort"), &UNITS))
            (view::choice("Came back in", "bucket", if context.value("bucket").is_empty() { unit("cohort") } else { context.value("bucket") }, &UNITS))
            (view::field("Columns", "count", context.value("count"), ""))
            (view::field("Segment by", "by", context.value("by"), "splits"))
            (view::date("From", "from", context.value("from")))
            (view::date("To", "to", context.value("to")))
            button { "Show" }
            (view::offers("events", &context.event_names()))
            (view::offers("splits", &context.splits()?))
        }
        (chips)
        (shown(result, "People who first did the start event, and came back to do the return event.", |answer| triangle(context, answer)))
    };
    Ok(Answered::new("Cohorts", body))
}

fn triangle(context: &Context<'_>, answer: &Json) -> Markup {
    let rows = list(answer, "cohorts");
    let columns = rows.first().map_or(0, |row| list(row, "cells").len());
    let base = without(&context.pairs, &["limit"]);
    let row_name = |row: &Json| match row.get("cohort") {
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "{\"other\":true}".to_owned(),
    };
    let behind = |row: &Json, column: Option<usize>| {
        let (name, column) = (row_name(row), column.map(|c| c.to_string()));
        let mut more = vec![("row", name.as_str())];
        more.extend(column.as_deref().map(|c| ("column", c)));
        view::link("/cohorts/people", &base, &more)
    };
    let averages: Vec<f64> = list(answer, "average").iter().map(|a| a.as_f64().unwrap_or(0.0)).collect();
    html! {
        (view::line(&averages))
        div.scroll { table.triangle {
            thead { tr { th { "Cohort" } th.n { "People" } @for column in 0..columns { th.n { (column) } } } }
            tbody {
                tr.pooled { th scope="row" { "All complete" } td {}
                    @for average in list(answer, "average") { td.n { (percent(average)) } } }
                @for row in rows { tr {
                    th scope="row" { (row.get("cohort").map_or_else(|| "(other)".to_owned(), view::value)) }
                    td.n { (view::people(&row["size"], &behind(row, None))) }
                    @for (at, cell) in list(row, "cells").iter().enumerate() {
                        @let open = cell["complete"] != true;
                        td.n.(shade(&cell["share"])).open[open] title=[open.then_some("not over yet")] {
                            a.number href=(behind(row, Some(at))) title=(format!("{} people", count(number(&cell["people"])))) {
                                @if open && number(&cell["people"]) == 0 { "-" } @else { (percent(&cell["share"])) @if open { "*" } }
                            }
                        }
                    }
                } }
            }
        } }
        p.hint { "* not over yet: more people may still come back." }
    }
}

/// A class of a cell, by how much of the cohort came back.
fn shade(share: &Json) -> String {
    format!("s{}", (share.as_f64().unwrap_or(0.0) * 10.0).ceil().clamp(0.0, 10.0))
}

/// What came in.
pub fn revenue(context: &Context<'_>) -> Result<Answered> {
    let known = ["unit", "by", "from", "to", "lifetime", "property"];
    let (hidden, chips) = view::others("/revenue", &context.pairs, &known);
    let result = Some(context.ask("revenue", &context.pairs));
    let unit = if context.value("unit").is_empty() { "month" } else { context.value("unit") };
    let body = html! {
        form.builder method="get" action="/revenue" {
            (hidden)
            (view::choice("By", "unit", unit, &UNITS))
            (view::field("Segment by", "by", context.value("by"), "splits"))
            (view::field("Property", "property", context.value("property"), ""))
            (view::choice("Lifetimes", "lifetime", context.value("lifetime"), &[("", "no"), ("true", "gained, kept and lost")]))
            (view::date("From", "from", context.value("from")))
            (view::date("To", "to", context.value("to")))
            button { "Show" }
            (view::offers("splits", &context.splits()?))
        }
        (chips)
        (shown(result, "", |answer| amounts(context, answer)))
    };
    Ok(Answered::new("Revenue", body))
}

/// Money with its digits grouped.
fn money(value: &Json) -> String {
    let text = value.as_str().unwrap_or("-");
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (whole, cents) = rest.split_once('.').map_or((rest, None), |(whole, cents)| (whole, Some(cents)));
    let Ok(whole) = whole.parse::<u64>() else { return text.to_owned() };
    let cents = cents.map(|c| format!(".{c:0<2}")).unwrap_or_default();
    format!("{sign}{}{cents}", count(whole))
}

fn amounts(context: &Context<'_>, answer: &Json) -> Markup {
    let base = without(&context.pairs, &["limit"]);
    let behind = |more: &[(&str, &str)]| view::link("/revenue/people", &base, more);
    let values: Vec<f64> = list(answer, "series")
        .iter()
        .map(|p| p["total"].as_str().and_then(|t| t.parse().ok()).unwrap_or(0.0))
        .collect();
    html! {
        p.headline { strong { (money(&answer["total"])) } " from " (view::people(&answer["paying"], &behind(&[])))
            " of " (view::people(&answer["people"], &behind(&[("which", "people")]))) " people; refunds " (money(&answer["refunds"]))
            "; " (money(&answer["arppu"])) " per paying person" }
        (view::line(&values))
        div.scroll { table {
            thead { tr { th { "From" } th.n { "Total" } th.n { "Refunds" } th.n { "Payments" } th.n { "Paying people" } } }
            tbody { @for point in list(answer, "series") { tr {
                th scope="row" { (view::value(&point["start"])) }
                td.n { (money(&point["total"])) } td.n { (money(&point["refunds"])) } td.n { (count(number(&point["events"]))) }
                td.n { (view::people(&point["paying"], &behind(&[("start_of", point["start"].as_str().unwrap_or_default())]))) }
            } } }
        } }
        h2 { "Where they came from" }
        div.scroll { table {
            thead { tr { th { "Segment" } th.n { "Total" } th.n { "People" } th.n { "Paying" } th.n { "Per person" } th.n { "Per paying person" } } }
            tbody { @for segment in list(answer, "segments") {
                @let value = segment.get("value").map_or_else(|| "{\"other\":true}".to_owned(), Json::to_string);
                tr {
                    th scope="row" { (view::segment(segment)) }
                    td.n { (money(&segment["total"])) }
                    td.n { (view::people(&segment["people"], &behind(&[("segment", &value), ("which", "people")]))) }
                    td.n { (view::people(&segment["paying"], &behind(&[("segment", &value)]))) }
                    td.n { (money(&segment["per_person"])) } td.n { (money(&segment["arppu"])) }
                }
            } }
        } }
        @if let Some(lifetime) = answer.get("lifetime") { (lifetimes(lifetime, &base)) }
    }
}

fn lifetimes(lifetime: &Json, base: &[(String, String)]) -> Markup {
    let behind = |which: &str, start: &Json| {
        view::link(
            "/revenue/people",
            base,
            &[("which", which), ("start_of", start.as_str().unwrap_or_default())],
        )
    };
    html! {
        h2 { "Lifetimes" }
        p { (view::people(&lifetime["customers"], &view::link("/revenue/people", base, &[("which", "customers")]))) " people ever paid, "
            (view::people(&lifetime["current"], &view::link("/revenue/people", base, &[("which", "current")]))) " pay now. Lifetime value "
            (money(&lifetime["ltv"])) ", expected " (money(&lifetime["ltv_expected"])) "; churn " (percent(&lifetime["churn"]))
            "; monthly recurring revenue " (money(&lifetime["mrr"])) "." }
        div.scroll { table {
            thead { tr { th { "From" } th.n { "At start" } th.n { "Gained" } th.n { "Regained" } th.n { "Kept" } th.n { "Lost" } th.n { "At end" } th.n { "Churn" } th.n { "MRR" } } }
            tbody { @for point in list(lifetime, "series") { tr {
                th scope="row" { (view::value(&point["start"])) @if point["complete"] != true { "*" } }
                @for which in ["at_start", "gained", "regained", "kept", "lost", "at_end"] {
                    td.n { (view::people(&point[which], &behind(which, &point["start"]))) }
                }
                td.n { (percent(&point["churn"])) } td.n { (money(&point["mrr"]["end"])) }
            } } }
        } }
    }
}

/// Events over time.
pub fn trends(context: &Context<'_>) -> Result<Answered> {
    let known = ["series", "measure", "unit", "by", "from", "to", "property", "add"];
    let (hidden, chips) = view::others("/trends", &context.pairs, &known);
    let series = context.values("series");
    let pairs = without(&context.pairs, &["add"]);
    let ready = !series.is_empty() && context.value("add").is_empty();
    let result = ready.then(|| context.ask("trend", &pairs));
    let fields = series.len().max(1) + usize::from(!context.value("add").is_empty());
    let unit = if context.value("unit").is_empty() { "day" } else { context.value("unit") };
    let measures = [
        ("", "events"),
        ("people", "people"),
        ("per_person", "events per person"),
        ("sum", "sum of a property"),
        ("mean", "mean"),
        ("median", "median"),
    ];
    let body = html! {
        form.builder method="get" action="/trends" {
            (hidden)
            @for at in 0..fields { (view::field(&format!("Event {}", at + 1), "series", series.get(at).copied().unwrap_or(""), "events")) }
            button.quiet name="add" value="event" { "Add event" }
            (view::choice("Measure", "measure", context.value("measure"), &measures))
            (view::field("Property", "property", context.value("property"), ""))
            (view::choice("By", "unit", unit, &UNITS))
            (view::field("Segment by", "by", context.value("by"), "splits"))
            (view::date("From", "from", context.value("from")))
            (view::date("To", "to", context.value("to")))
            button { "Show" }
            (view::offers("events", &context.event_names()))
            (view::offers("splits", &context.splits()?))
        }
        (chips)
        (shown(result, "How often, or by how many people, an event was done over time.", |answer| series_tables(&pairs, answer)))
    };
    Ok(Answered::new("Trends", body))
}

fn series_tables(pairs: &[(String, String)], answer: &Json) -> Markup {
    let base = without(pairs, &["limit"]);
    let plain = |value: &Json| value.as_u64().map_or_else(|| view::value(value), count);
    html! { @for (at, series) in list(answer, "series").iter().enumerate() {
        @let number = (at + 1).to_string();
        @let values: Vec<f64> = list(series, "points").iter().map(|p| p["value"].as_f64().unwrap_or(0.0)).collect();
        h2 { (view::value(&series["event"])) ", " (view::value(&series["measure"])) }
        (view::line(&values))
        div.scroll { table {
            thead { tr { th { "From" } th.n { "Value" }
                @for segment in list(series, "segments") { th.n { (view::segment(segment)) } } } }
            tbody {
                tr.pooled { th scope="row" { "In all" } td.n { a.number href=(view::link("/trends/people", &base, &[("number", &number)])) { (plain(&series["total"])) } }
                    @for segment in list(series, "segments") { td.n { (plain(&segment["total"])) } } }
                @for (row, point) in list(series, "points").iter().enumerate() { tr {
                    th scope="row" { (view::value(&point["start"])) }
                    td.n { a.number href=(view::link("/trends/people", &base, &[("number", &number), ("start_of", point["start"].as_str().unwrap_or_default())])) { (plain(&point["value"])) } }
                    @for segment in list(series, "segments") { td.n { (plain(&segment["points"][row]["value"])) } }
                } }
            }
        } }
    } }
}

/// The ways people take.
pub fn paths(context: &Context<'_>) -> Result<Answered> {
    let known = ["start", "goal", "events", "from", "to"];
    let (hidden, chips) = view::others("/paths", &context.pairs, &known);
    let ready = !context.value("start").is_empty() || !context.value("goal").is_empty();
    let result = ready.then(|| context.ask("paths", &context.pairs));
    let base = without(&context.pairs, &["limit"]);
    let body = html! {
        form.builder method="get" action="/paths" {
            (hidden)
            (view::field("Start event", "start", context.value("start"), "events"))
            (view::field("Goal event", "goal", context.value("goal"), "events"))
            (view::field("Events", "events", context.value("events"), ""))
            (view::date("From", "from", context.value("from")))
            (view::date("To", "to", context.value("to")))
            button { "Show" }
            (view::offers("events", &context.event_names()))
        }
        (chips)
        (shown(result, "What people did after a start, before a goal, or between the two.", |answer| html! {
            p.headline { (view::people(&answer["people"], &view::link("/paths/people", &base, &[]))) " people, " (count(number(&answer["other"]))) " of them on other ways than these" }
            div.scroll { table {
                thead { tr { th { "Way" } th.n { "People" } th.n { "Share" } th.n { "Median time" } } }
                tbody { @for path in list(answer, "paths") { tr {
                    th scope="row" { @if list(path, "events").is_empty() { "(nothing in between)" }
                        @for (at, event) in list(path, "events").iter().enumerate() {
                            @if at > 0 { " \u{2192} " } (view::value(&event["event"])) @if number(&event["times"]) > 1 { " \u{d7}" (count(number(&event["times"]))) }
                        } }
                    td.n { (view::people(&path["people"], &view::link("/paths/people", &base, &[("path", &path["events"].to_string())]))) }
                    td.n { (percent(&path["share"])) }
                    td.n { (view::duration(&path["seconds"]["median"])) }
                } } }
            } }
        }))
    };
    Ok(Answered::new("Paths", body))
}
