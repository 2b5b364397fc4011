//! The page of funnels.

use jiff::{Span, Timestamp, ToSpan, civil::Date};
use maud::{Markup, html};

use super::chart::{self, Layer};
use super::edit::{self, Pairs};
use super::table::{Cell, Table};
use super::view::{Answered, for_list, link, list, number, without};
use super::words::{self, percent};
use super::{Context, form, title};
use crate::error::Result;
use crate::limits::SERIES_MAX;
use crate::model::Json;
use crate::report::HISTOGRAM_SECONDS;

/// Parameters that the form has fields for.
const KNOWN: [&str; 7] = ["step", "order", "within", "by", "until", "exclude", "over"];
/// Units that a course over time shows at most: each is a funnel of its own.
const UNITS_MAX: usize = 26;
/// A window that most units of a course have had.
const WINDOW: &str = "30d";

/// A funnel: how many went how far, and where they stopped.
pub fn page(context: &Context<'_>) -> Result<Answered> {
    let steps = context.values("step");
    let pairs = without(&context.pairs, &["add", "over"]);
    let ready = !steps.is_empty() && context.value("add").is_empty();
    let result = ready.then(|| context.ask("funnel", &pairs));
    let over = match words::length(context.value("over")) {
        Some(length) if ready => {
            let receipt = result.as_ref().and_then(|result| Some(&result.as_ref().ok()?["receipt"]));
            Some(over_time(context, &pairs, length, receipt.unwrap_or(&Json::Null))?)
        }
        _ => None,
    };
    let body = html! {
        @if !context.shared() { (builder(context)?) }
        (context.shown("funnel", result, "Choose events by name: the people who did the first, and how many of them went on to the next. Without a limit of time they may take as long as they like.", |answer| html! {
            (rule(context, answer))
            (headline(context, answer, &pairs))
            (bars(context, answer, &pairs))
            @if let Some(over) = &over { (over) }
            (steps_table(context, answer, &pairs))
            (times(context, answer))
            @if answer.get("segments").is_some() { (segments_table(context, answer, &pairs)) }
        }))
    };
    Ok(Answered::new(title::report(context, "Funnels"), body))
}

fn builder(context: &Context<'_>) -> Result<Markup> {
    let orders = [("", "in this order"), ("strict", "nothing in between"), ("any", "in any order")];
    let ends = [("", "whenever it comes"), ("to", "until the last day")];
    let excluded = context.values("exclude");
    let steps = context.values("step").len().max(2);
    let fields = html! {
        fieldset {
            legend { "People who did" }
            (form::events(context, "Step", "step", 2))
            button.quiet name="add" value="step" { "Add step" }
        }
        div.row {
            (form::choice("Order", "order", context.value("order"), &orders))
            (form::field("Within", "within", context.value("within"), "windows"))
            (form::field("Segment by", "by", context.value("by"), "splits"))
            (form::choice("Over time", "over", context.value("over"), &[("", "no"), ("day", "by day"), ("week", "by week"), ("month", "by month")]))
        }
        div.row {
            (form::narrowed(context))
            details.more open[!excluded.is_empty() || !context.value("until").is_empty()] {
                summary { "Leave out" }
                @for at in 0..=excluded.len() {
                    @let (event, after) = excluded.get(at).map(|text| edit::excluded(text)).unwrap_or_default();
                    div.row {
                        (form::field(&format!("Did not {}", at + 1), "exclude", &event, "events"))
                        (form::choice(&format!("Between {}", at + 1), "after", &after, &between(steps).iter().map(|(n, t)| (n.as_str(), t.as_str())).collect::<Vec<_>>()))
                    }
                }
                div.row { (form::choice("Later steps count", "until", context.value("until"), &ends)) }
            }
            button.go { "Show" }
        }
        (form::offers("windows", &["1h", "1d", "7d", "14d", "30d", "90d"].map(str::to_owned)))
    };
    form::report(context, "/funnels", &KNOWN, &fields)
}

fn between(steps: usize) -> Vec<(String, String)> {
    (1..steps.max(2)).map(|at| (at.to_string(), format!("steps {at} and {}", at + 1))).collect()
}

/// The rule of a funnel in words, from how it was understood.
pub fn rule(context: &Context<'_>, answer: &Json) -> Markup {
    let query = &answer["receipt"]["query"];
    html! {
        p.rule {
            "People who did " (context.wording().funnel(query))
            (context.only_people(query))
            ". Entered" (Some(context.range(query)).filter(|r| !r.is_empty()).unwrap_or_else(|| " at any time".into()))
            @if query["until"] == "to" { ", and all steps in that time" }
            ". Each person counts once."
        }
    }
}

/// What compares variants is no part of a list.
fn listed(pairs: &[(String, String)]) -> Pairs {
    for_list(&without(pairs, &["control"]))
}

fn behind(pairs: &[(String, String)], at: usize, outcome: &str) -> String {
    link("/funnels/people", &listed(pairs), &[("at_step", &(at + 1).to_string()), ("outcome", outcome)])
}

/// The people of an outcome at whichever step they are.
fn anywhere(pairs: &[(String, String)], outcome: &str) -> String {
    link("/funnels/people", &listed(pairs), &[("outcome", outcome)])
}

/// How many may still go on, over all steps.
fn in_progress(steps: &[Json]) -> u64 {
    steps.iter().map(|step| number(&step["in_progress"])).sum()
}

fn headline(context: &Context<'_>, answer: &Json, pairs: &Pairs) -> Markup {
    let steps = list(answer, "steps");
    let (Some(first), Some(last)) = (steps.first(), steps.last()) else { return html! {} };
    let entered = words::some_people(number(&first["people"]));
    let open = in_progress(steps);
    html! {
        p.headline { strong { (percent(&answer["conversion"])) } " of " (entered) " did " @if steps.len() == 1 { "the step" } @else { "all " (steps.len()) " steps" }
            ": " (context.people(&last["people"], &behind(pairs, steps.len() - 1, "reached"))) "."
            @if open > 0 { small { " " (context.people(&open.into(), &anywhere(pairs, "in_progress"))) " more are still on their way; of those whose time is over " (percent(&answer["conversion_decided"])) " did." } }
        }
    }
}

/// One bar for each step: how many of the people there went on, may still go on, and were lost.
fn bars(context: &Context<'_>, answer: &Json, pairs: &Pairs) -> Markup {
    let steps = list(answer, "steps");
    let entered = steps.first().map_or(0, |s| number(&s["people"]));
    let people = |step: &Json, name: &str, at: usize, outcome: &str| {
        context.people(&step[name], &behind(pairs, at, outcome))
    };
    html! {
        ul.legend { li.on { "went on" } li.open { "in progress" } li.lost { "lost" } }
        ol.funnel { @for (at, step) in steps.iter().enumerate() {
            @let next = steps.get(at + 1);
            @let (here, open, lost) = (number(&step["people"]), number(&step["in_progress"]), number(&step["lost"]));
            @let on = here.saturating_sub(open + lost);
            li {
                div.top { b { (context.pattern(step)) } span { (people(step, "people", at, "reached")) " " (words::plural(here, "person", "people")) @if at > 0 { ", " (percent(&step["from_first"])) } } }
                (chart::bar(on, open, lost, entered))
                @if let Some(next) = next {
                    div.bottom {
                        span { (percent(&next["from_previous"])) " went on" @if !next["seconds"]["median"].is_null() { ", half of them within " (words::duration(&next["seconds"]["median"])) } }
                        span { (people(step, "lost", at, "lost")) " lost" @if open > 0 { ", " (people(step, "in_progress", at, "in_progress")) " in progress" } }
                    }
                }
            }
        } }
    }
}

fn steps_table(context: &Context<'_>, answer: &Json, pairs: &Pairs) -> Markup {
    let head = [
        "Step",
        "Event",
        "#People",
        "#From previous",
        "#From first",
        "#Lost",
        "#In progress",
        "#Median time",
    ];
    let mut table = Table::new("steps", "Steps of the funnel", &head);
    for (at, step) in list(answer, "steps").iter().enumerate() {
        table.row(vec![
            Cell::text((at + 1).to_string()),
            Cell::head(context.pattern(step)),
            Cell::people(&step["people"], behind(pairs, at, "reached")),
            Cell::percent(&step["from_previous"]),
            Cell::percent(&step["from_first"]),
            Cell::people(&step["lost"], behind(pairs, at, "lost")),
            Cell::people(&step["in_progress"], behind(pairs, at, "in_progress")),
            Cell::duration(&step["seconds"]["median"]),
        ]);
    }
    html! { h2 { "Steps" } (context.table(&table)) }
}

/// How long people took from step to step.
fn times(context: &Context<'_>, answer: &Json) -> Markup {
    let steps = list(answer, "steps");
    let timed: Vec<(usize, &Json)> =
        steps.iter().enumerate().filter(|(_, step)| !step["seconds"]["median"].is_null()).collect();
    let mut table = Table::new(
        "times",
        "Time between steps",
        &[
            "To",
            "#A quarter within",
            "#Half within",
            "#Three quarters within",
            "#Nine tenths within",
            "#Mean",
        ],
    );
    for (_, step) in &timed {
        let mut cells = vec![Cell::head(context.pattern(step))];
        cells.extend(
            ["p25", "median", "p75", "p90", "mean"].map(|name| Cell::duration(&step["seconds"][name])),
        );
        table.row(cells);
    }
    html! { @if context.shows(&table) {
        h2 { "How long it took" }
        div.small { @for (at, step) in &timed {
            figure { figcaption { "From step " (at) " to " (context.pattern(step)) } (histogram(&step["seconds"])) }
        } }
        (context.table(&table))
        details.more {
            summary { "Numbers of the drawings" }
            @for (at, step) in &timed { (context.table(&times_table(context, *at, step))) }
        }
    } }
}

/// The bars of a histogram as numbers.
fn times_table(context: &Context<'_>, at: usize, step: &Json) -> Table {
    let caption = format!("Time from step {at} to {}", context.pattern(step));
    let mut table = Table::new(format!("times{}", at + 1), caption, &["From", "To", "#People"]);
    for bar in list(&step["seconds"], "histogram") {
        let cells = ["from", "to"].map(|edge| Cell::duration(&bar[edge]));
        table.row(cells.into_iter().chain([Cell::number(&bar["people"])]).collect());
    }
    table
}

/// Bars of a histogram; those between the first and the last that somebody is in.
fn histogram(seconds: &Json) -> Markup {
    let bars = list(seconds, "histogram");
    let starts: Vec<u64> = bars.iter().map(|bar| number(&bar["from"])).collect();
    let (Some(first), Some(last)) = (starts.first(), starts.last()) else { return html! {} };
    let edges = HISTOGRAM_SECONDS
        .iter()
        .filter_map(|edge| u64::try_from(*edge).ok())
        .filter(|edge| edge >= first && edge <= last);
    let mut places: Vec<u64> = starts.iter().copied().chain(edges).collect();
    places.sort_unstable();
    places.dedup();
    let people = |start: &u64| {
        bars.iter().find(|bar| number(&bar["from"]) == *start).map_or(0, |bar| number(&bar["people"]))
    };
    let values = places.iter().map(|start| people(start) as f64).collect();
    let axis: Vec<String> =
        places.iter().map(|start| format!("{}+", words::duration_of(*start as f64))).collect();
    chart::columns(&[Layer { name: "people", values }], &axis, None, "")
}

/// The first days of the units in which people entered. In any order each step is a way in.
fn units(context: &Context<'_>, pairs: &Pairs, length: Span) -> Result<Vec<Date>> {
    let steps = context.values("step");
    let ways_in = if context.value("order") == "any" { steps.len() } else { 1 };
    let mut starts = Vec::new();
    for some in steps[..ways_in].chunks(SERIES_MAX) {
        let own = |name: &str| ["from", "to", "tz", "as_of", "people"].contains(&name);
        let mut ask: Pairs = pairs.iter().filter(|(name, _)| own(name)).cloned().collect();
        ask.push(("unit".to_owned(), context.value("over").to_owned()));
        ask.extend(some.iter().map(|step| ("series".to_owned(), (*step).to_owned())));
        let trend = context.ask("trend", &ask)?;
        let points = list(&trend["series"][0], "points").iter();
        starts.extend(points.filter_map(|point| point["start"].as_str()?.parse::<Date>().ok()));
    }
    // A day that the zone never had is none.
    let (zone, by_day) = (context.zone(), context.value("over") == "day");
    let has = |day: &Date| !by_day || day.to_zoned(zone.clone()).is_ok_and(|first| first.date() == *day);
    let ends = starts.iter().min().zip(starts.iter().max());
    Ok(ends.map_or_else(Vec::new, |(first, last)| {
        first.series(length).take_while(|start| start <= last).filter(has).collect()
    }))
}

/// A funnel that is closed by its last day, as one that is not but counts the same whenever people entered, for the funnels of units:
/// `until` would end each with its unit. None if there is no such one.
fn unclosed(pairs: &Pairs, receipt: &Json) -> Option<Pairs> {
    let (query, mut open) = (&receipt["query"], without(pairs, &["until"]));
    let instant = |value: &Json| value.as_str()?.parse::<Timestamp>().ok();
    // What can be seen ends before.
    let Some(to) =
        instant(&query["to"]).filter(|to| instant(&receipt["as_of"]).is_some_and(|as_of| *to <= as_of))
    else {
        return Some(open);
    };
    // Seen from its last instant it has the same events. But people may be others then, and some still be in progress.
    if query.get("people").is_some() || query.get("within").is_some() {
        return None;
    }
    open.retain(|(name, _)| name != "as_of");
    open.push(("as_of".to_owned(), to.checked_sub(1.millisecond()).ok()?.to_string()));
    Some(open)
}

/// The funnel of each unit in which people entered.
fn over_time(context: &Context<'_>, pairs: &Pairs, length: Span, receipt: &Json) -> Result<Markup> {
    let starts = units(context, pairs, length)?;
    let left_out = starts.len().saturating_sub(UNITS_MAX);
    let steps = context.values("step").len();
    let closes = context.value("until") == "to";
    let open = if closes { unclosed(pairs, receipt) } else { None };
    let closes = closes && open.is_none();
    let base = open.as_ref().unwrap_or(pairs);
    let today = words::day_after(receipt);
    let mut table = Table::new(
        "over",
        "Conversion by when people entered",
        &["From", "#Entered", "#Converted", "#Conversion", "#In progress"],
    );
    let (mut axis, mut values, mut open_from) = (Vec::new(), Vec::new(), None);
    for (at, start) in starts.iter().enumerate().skip(left_out) {
        let mut own = without(base, &["by", "limit", "control", "times"]);
        // The first and the last unit begin and end with the whole, if that says when.
        let mut bound = |name: &str, day: Option<Date>, outermost: bool| {
            if !outermost || !own.iter().any(|(known, _)| known == name) {
                own.retain(|(known, _)| known != name);
                own.extend(day.map(|day| (name.to_owned(), day.to_string())));
            }
        };
        bound("from", Some(*start), at == 0);
        let last = start.checked_add(length).and_then(Date::yesterday).ok();
        bound("to", last, at + 1 == starts.len());
        let mut timeless = own.clone();
        timeless.push(("times".to_owned(), "false".to_owned()));
        let answer = context.ask("funnel", &timeless)?;
        let rows = list(&answer, "steps");
        let open = in_progress(rows);
        let unfinished = start.checked_add(length).is_ok_and(|end| today.is_some_and(|today| end > today));
        if (open > 0 || unfinished) && open_from.is_none() {
            open_from = Some(values.len());
        }
        axis.push(start.to_string());
        // Of nobody there is no share.
        values.push(answer["conversion"].as_f64().map_or(f64::NAN, |share| share * 100.0));
        table.row(vec![
            Cell::unit(&start.to_string().into(), unfinished),
            Cell::people(
                &rows.first().map_or(Json::Null, |s| s["people"].clone()),
                behind(&own, 0, "reached"),
            ),
            Cell::people(
                &rows.last().map_or(Json::Null, |s| s["people"].clone()),
                behind(&own, steps.saturating_sub(1), "reached"),
            ),
            Cell::percent(&answer["conversion"]),
            Cell::people(&open.into(), anywhere(&own, "in_progress")),
        ]);
    }
    Ok(html! {
        h2 { "Over time" }
        (chart::lines(&[Layer { name: "conversion", values }], &axis, open_from, " %"))
        p.hint { "A funnel for each " (context.value("over")) " of entry, dotted where people are still on their way or it is not over (*). Who entered in two of them counts in both."
            @if context.value("within").is_empty() {
                " Without a limit of time the later ones have had less of it"
                @if !context.shared() { ": " a href=(link(&context.path, &context.pairs, &[("within", WINDOW)])) { "compare them within " (WINDOW) } }
                "."
            }
            @if closes { " Steps count until the end of the " (context.value("over")) " of entry here." }
            @if left_out > 0 { " The last " (UNITS_MAX) " are shown." } }
        (context.table(&table))
    })
}

/// A bar that is as long as everybody's would be if all converted.
fn share_bar(part: &Json) -> Cell {
    let share = part["conversion"].as_f64().unwrap_or(0.0);
    Cell::marked(chart::bar((share * 1e6) as u64, 0, 0, 1_000_000), "").class("wide")
}

fn segments_table(context: &Context<'_>, answer: &Json, pairs: &Pairs) -> Markup {
    let steps = list(answer, "steps").len();
    let base = listed(pairs);
    let behind = |value: &str, at: usize| {
        let at = (at + 1).to_string();
        let more = [("at_step", at.as_str()), ("outcome", "reached"), ("segment", value)];
        words::is_short(value).then(|| link("/funnels/people", &base, &more))
    };
    let mut table = Table::new("segments", "The funnel by segment", &["Segment"]);
    (1..=steps).for_each(|at| table.column(&format!("#Step {at}")));
    table.column("#Conversion");
    table.column("");
    let segments = list(answer, "segments");
    if !segments.is_empty() {
        let people = list(answer, "steps").iter().enumerate();
        let people =
            people.map(|(at, step)| Cell::people(&step["people"], self::behind(pairs, at, "reached")));
        let ends = [Cell::percent(&answer["conversion"]), share_bar(answer)];
        table.sum([Cell::head("In all")].into_iter().chain(people).chain(ends).collect());
    }
    for segment in segments {
        let mut cells = vec![Cell::value(words::segment(segment)).heading()];
        let (value, people) = (words::segment_label(segment), list(segment, "steps").iter().enumerate());
        cells.extend(people.map(|(at, step)| Cell::people(&step["people"], behind(&value, at))));
        cells.extend([Cell::percent(&segment["conversion"]), share_bar(segment)]);
        table.row(cells);
    }
    html! { @if context.shows(&table) { h2 { "By segment" } (context.table(&table)) } }
}
