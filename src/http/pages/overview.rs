//! The overview: how much there is, pinned reports, and for an empty store the way to its first event.

use jiff::{SignedDuration, Timestamp, ToSpan};
use maud::{Markup, html};

use super::chart::{self, Layer};
use super::dictionary::event_table;
use super::table::{Cell, Table};
use super::view::{self, Answered, count, facts, link, list, number};
use super::words::{self, money, percent};
use super::{Context, asset, edit, pairs_of, settings};
use crate::app::{Dashboard, Role};
use crate::error::Result;
use crate::limits;
use crate::model::{Json, format_millis};
use crate::report::params;

/// Pinned reports shown: each is made anew for every look.
const PINNED_MAX: usize = 24;
/// Records up to which weeks are shown unasked: they take a pass over every event, some 50 ms a million.
const WEEKS_RECORDS_MAX: u64 = 3_000_000;
/// Sources shown.
const SOURCES: usize = 8;
/// Events shown.
const EVENTS: usize = 50;
/// Weeks shown.
const WEEKS: usize = 26;

/// How much there is, and where to go on.
pub fn page(context: &Context<'_>) -> Result<Answered> {
    let stats = Json::from(context.app.reports().stats(context.snapshot));
    if number(&stats["events"]) == 0 && context.wanted.is_none() {
        return Ok(first_run(context));
    }
    let month = days_ago(context, 29);
    // With all of their sources: the ones that most came from may have brought nothing.
    let limit = limits::SEGMENTS_MAX.to_string();
    let revenue =
        context.ask("revenue", &[("from".to_owned(), month.clone()), ("limit".to_owned(), limit.clone())])?;
    let body = html! {
        (silence(context)?)
        (numbers(context, &stats, &revenue, &month)?)
        p.hint {
            "New is whose first event ever came in these days; back, who was new in the 7 days before and came in the last 7."
            @if context.dashboard.without_robots { " Robots are left out, but for the table of events." }
        }
        (pinned(context)?)
        (sources(context, &revenue, &month, &limit))
        @if number(&stats["records"]) <= WEEKS_RECORDS_MAX || !context.value("weeks").is_empty() || context.wants("weeks") { (weeks(context)?) }
        @else { p { a href="/?weeks=show" { "Active people by week" } } }
        (events(context)?)
    };
    Ok(Answered::new("Overview", body))
}

/// So many days before today, in the dashboard's zone.
fn days_ago(context: &Context<'_>, days: i64) -> String {
    context.today().and_then(|d| d.checked_sub(days.days()).ok()).map(|d| d.to_string()).unwrap_or_default()
}

/// How many people there are, are new, are active and came back, and what they brought.
fn numbers(context: &Context<'_>, stats: &Json, revenue: &Json, month: &str) -> Result<Markup> {
    let seen = |range: &[(&str, &str)]| {
        let range = range.iter().map(|(name, day)| ((*name).to_owned(), (*day).into()));
        Json::object([("seen", Json::Object(range.collect()))])
    };
    let (active, week_before) = (days_ago(context, 6), days_ago(context, 7));
    // Who was never seen before comes first: it leaves few to look at.
    let unseen = |to: &str| Json::object([("not", seen(&[("to", to)]))]);
    let now = seen(&[("from", &active)]);
    let first =
        [unseen(&days_ago(context, 14)), seen(&[("from", &days_ago(context, 13)), ("to", &week_before)])];
    let counted = |conditions: &[Json]| -> Result<(u64, String)> {
        let shown = edit::written(conditions.to_vec());
        let target =
            link("/people", &[], &shown.iter().map(|text| ("people", text.as_str())).collect::<Vec<_>>());
        let all = context.with_or_without_robots(conditions.to_vec());
        let mut query = edit::search(all);
        query.set("limit", 0_usize.into());
        query.set("tz", context.zone_name().into());
        Ok((number(&context.ask_json("people", &query.to_string())?["total"]), target))
    };
    let opens = |(total, target): &(u64, String)| html! { a.number href=(target) { (count(*total)) } };
    let (began, back) =
        (counted(&first)?, counted(&[first.as_slice(), std::slice::from_ref(&now)].concat())?);
    let share = if began.0 == 0 { Json::Null } else { (back.0 as f64 / began.0 as f64).into() };
    Ok(facts(&[
        ("People", opens(&counted(&[])?)),
        ("New, 7 days", opens(&counted(&[unseen(&week_before), now.clone()])?)),
        ("Active, 7 days", opens(&counted(&[now])?)),
        (
            "Back in second week",
            html! { (percent(&share)) " " small { (opens(&back)) " of " (opens(&began)) } },
        ),
        (
            "Revenue, 30 days",
            html! { a href=(link("/revenue", &[], &[("unit", "day"), ("from", month)])) { (money(&revenue["total"])) } },
        ),
        ("Events", html! { (count(number(&stats["events"]))) }),
    ]))
}

/// Where the people of the last thirty days came from first, by how many did.
fn sources(context: &Context<'_>, revenue: &Json, month: &str, limit: &str) -> Markup {
    let mut all: Vec<&Json> = list(revenue, "segments").iter().filter(|s| number(&s["people"]) > 0).collect();
    all.sort_by_key(|segment| std::cmp::Reverse(number(&segment["people"])));
    let head = ["First came from", "#People", "#Paying", "#Revenue"];
    let mut table = Table::new("sources", "Where the people of 30 days came from", &head);
    for segment in all.iter().take(SOURCES) {
        let value = words::segment_label(segment);
        let behind = |which: &[(&str, &str)]| {
            let of = [("from", month), ("segment", value.as_str()), ("shown", limit)];
            words::is_short(&value).then(|| link("/revenue/people", &[], &[&of, which].concat()))
        };
        table.row(vec![
            Cell::value(words::segment(segment)).heading(),
            Cell::people(&segment["people"], behind(&[("which", "people")])),
            Cell::people(&segment["paying"], behind(&[])),
            Cell::money(&segment["total"]),
        ]);
    }
    html! { @if context.shows(&table) {
        h2 { "Top sources, 30 days" }
        (context.table(&table))
        @if all.len() > SOURCES { p { a href=(link("/revenue", &[], &[("from", month)])) { "All " (count(all.len() as u64)) " sources" } } }
    } }
}

/// Says so if no event has come for much longer than is usual.
fn silence(context: &Context<'_>) -> Result<Markup> {
    let beat = context.app.heartbeat()?;
    let silent = beat.and_then(|beat| Some((beat, beat.silent?)));
    Ok(html! { @if let Some((beat, usual)) = silent {
        p.warning role="status" {
            "No event for " (words::duration_of((beat.age / 1000) as f64))
            ", which is unusual: the longest pause in the four weeks before was "
            @if usual == 0 { "under an hour" } @else { (words::duration_of((usual / 1000) as f64)) }
            ". The last one came at " (context.local(&format_millis(beat.last).into()))
            ". " a href="/live" { "Look whether any come" }
        }
    } })
}

/// Saved reports, the pinned ones with what they say now.
fn pinned(context: &Context<'_>) -> Result<Markup> {
    let saved = context.app.reports().saved();
    let mut cards = Vec::new();
    let pinned = saved.reports.iter().filter(|(name, _)| context.dashboard.pinned.contains(*name));
    for (name, report) in pinned.take(PINNED_MAX) {
        let query = Json::parse(&report.query).unwrap_or_default();
        let says = match context.ask_json(&report.report, &report.query) {
            Ok(answer) => says(&report.report, &answer),
            Err(error) => error.message().to_owned(),
        };
        let address = address(&context.dashboard, &report.report, &query);
        cards.push((name, address, says, days(context, &report.report, &query)));
    }
    Ok(html! {
        @if !cards.is_empty() {
            h2 { "Pinned" }
            ul.cards { @for (name, address, says, days) in &cards { li { a href=(address) { (name) } p { (says) } small { (days) } } } }
        } @else if context.may(Role::Editor) { p.hint { "Save a report, and it is pinned here with what it says now of the days it was saved with." } }
    })
}

/// The days that a saved report covers. Of a search they may be a matter of its conditions.
pub fn days(context: &Context<'_>, report: &str, query: &Json) -> String {
    match context.range(query) {
        days if !days.is_empty() => words::sentence(days.trim_start()),
        _ if report == "people" => String::new(),
        _ => "All time".to_owned(),
    }
}

/// The address of the page that shows a saved report.
pub fn address(dashboard: &Dashboard, report: &str, query: &Json) -> String {
    let page = if query.get("control").is_some() { "/experiments" } else { view::report_page(report) };
    // Robots count in it unless it says otherwise, whatever pages do.
    let spoken = edit::speaks_of_robots(&edit::all_of(&query["people"].to_string()));
    let robots: &[_] = if dashboard.without_robots && !spoken { &[("robots", "with")] } else { &[] };
    link(page, &pairs_of(&params::text(report, query)), robots)
}

/// A report's answer in a line.
fn says(report: &str, answer: &Json) -> String {
    match report {
        "funnel" => {
            let entered = list(answer, "steps").first().map_or(0, |s| number(&s["people"]));
            format!("{} of {}", percent(&answer["conversion"]), words::some_people(entered))
        }
        "cohort" => {
            let average = list(answer, "average");
            format!(
                "{} came back in {} 1, of {} {}",
                percent(average.get(1).unwrap_or(&Json::Null)),
                answer["receipt"]["query"]["bucket"].as_str().unwrap_or("month"),
                list(answer, "cohorts").len(),
                words::plural(list(answer, "cohorts").len() as u64, "cohort", "cohorts")
            )
        }
        "revenue" => {
            format!("{} from {}", money(&answer["total"]), words::some_people(number(&answer["paying"])))
        }
        "trend" => format!("{} in all", words::measured(&answer["series"][0]["total"])),
        "paths" => format!("{} on their ways", words::some_people(number(&answer["people"]))),
        "people" => words::some_people(number(&answer["total"])),
        _ => String::new(),
    }
}

/// The span of the same length before that of an answer, as its first and its last day; of a span that is not one of whole days as two
/// instants, the second not in it. None without a beginning.
fn span_before(answer: &Json) -> Option<(String, String)> {
    let (receipt, query) = (&answer["receipt"], &answer["receipt"]["query"]);
    let zone = words::zone(receipt["tz"].as_str().unwrap_or_default());
    let instant = |value: &Json| value.as_str()?.parse::<Timestamp>().ok();
    let (from, to, as_of) = (instant(&query["from"])?, query.get("to"), instant(&receipt["as_of"])?);
    let today = zone.to_datetime(as_of).date();
    let end = to.map_or_else(|| today.tomorrow().ok(), |to| words::day_from(&zone, to));
    if let (Some(first), Some(end)) = (words::day_from(&zone, &query["from"]), end) {
        let length = first.until(end).ok()?.get_days().max(1);
        let before = first.checked_sub(length.days()).ok()?;
        return Some((before.to_string(), first.yesterday().ok()?.to_string()));
    }
    let end = to.map_or_else(|| as_of.checked_add(1.millisecond()).ok(), instant)?;
    let before = from.checked_sub(end.duration_since(from).max(SignedDuration::ZERO)).ok()?;
    Some((before.to_string(), from.to_string()))
}

/// What a report says now and what it said in the span of the same length before, if that is wanted and it has a beginning.
pub fn compared(context: &Context<'_>, report: &str, answer: &Json) -> Markup {
    let wanted = !context.value("compare").is_empty();
    let Some((first, last)) = span_before(answer).filter(|_| wanted) else {
        return html! { @if wanted { p.hint { "Choose a period to compare it with the one before." } } };
    };
    let mut pairs = view::without(&context.pairs, &["from", "to", "add", "over", "who", "cursor"]);
    pairs.extend([("from".to_owned(), first.clone()), ("to".to_owned(), last.clone())]);
    let target = link(&context.path, &pairs, &[]);
    let before = match context.ask(report, &pairs) {
        Ok(before) => says(report, &before),
        Err(error) => error.message().to_owned(),
    };
    let shown = match last.parse::<Timestamp>() {
        Ok(_) => format!("{} until {}", context.local(&first.into()), context.local(&last.into())),
        Err(_) => format!("{first} to {last}"),
    };
    html! { dl.compared {
        div { dt { "In this period" } dd { (says(report, answer)) } }
        div { dt { "Before, " (shown) } dd { @if context.shared() { (before) } @else { a href=(target) { (before) } } } }
    } }
}

/// Who was active, week by week.
fn weeks(context: &Context<'_>) -> Result<Markup> {
    let answer = context.ask("lifecycle", &[("unit".to_owned(), "week".to_owned())])?;
    let all = list(&answer, "points");
    let shown = all.get(all.len().saturating_sub(WEEKS)..).unwrap_or(&[]);
    let stages = [("new", "New"), ("returning", "Returning"), ("resurrected", "Back after a pause")];
    let layers: Vec<Layer<'_>> = stages
        .iter()
        .map(|(field, name)| Layer {
            name,
            values: shown.iter().map(|p| number(&p[*field]) as f64).collect(),
        })
        .collect();
    let axis: Vec<String> = shown.iter().map(|p| words::value(&p["start"])).collect();
    let mut table = Table::new(
        "weeks",
        "Active people by week",
        &["Week from", "#New", "#Returning", "#Back after a pause", "#Gone quiet"],
    );
    let open = words::open_from(&answer, shown);
    for (at, point) in shown.iter().enumerate().rev() {
        let start = point["start"].as_str().unwrap_or_default();
        let unfinished = open.is_some_and(|open| at >= open);
        let mut cells = vec![Cell::unit(&point["start"], unfinished)];
        cells.extend(["new", "returning", "resurrected", "dormant"].map(|which| {
            Cell::people(
                &point[which],
                link("/lifecycle/people", &[], &[("unit", "week"), ("start_of", start), ("which", which)]),
            )
        }));
        // Whoever has not come so far may still come.
        if let Some(quiet) = cells.last_mut().filter(|_| unfinished) {
            *quiet = Cell::shown_number("\u{2013}".to_owned(), &Json::Null);
        }
        table.row(cells);
    }
    Ok(html! {
        h2 { "Active people by week" }
        (chart::columns(&layers, &axis, open, ""))
        (view::not_over(open))
        details.more { summary { "Numbers" } (context.table(&table)) }
    })
}

fn events(context: &Context<'_>) -> Result<Markup> {
    let events = Json::parse(&context.app.reports().events(context.snapshot, context.app.now())?)?;
    let mut top: Vec<&Json> = list(&events, "events").iter().collect();
    top.sort_by_key(|event| std::cmp::Reverse(number(&event["people"])));
    let all = top.len();
    top.truncate(EVENTS);
    Ok(html! {
        h2 { @if all > EVENTS { "Top events" } @else { "Events" } }
        (context.table(&event_table(context, "events", "Events", &top)))
        @if all > EVENTS { p { a href="/settings#events" { "All " (count(all as u64)) " events" } } }
    })
}

/// The way to the first event.
fn first_run(context: &Context<'_>) -> Answered {
    let body = html! {
        p.headline { "Nothing has come yet. Three ways to change that:" }
        ol.start {
            li {
                h2 { "Put this into your pages" }
                p { "Before the end of each page\u{2019}s head:" }
                (settings::snippet(context))
                p #first role="status" { "Waiting for the first event\u{2026}" noscript { " Load this page again to see whether it came." } }
            }
            li {
                h2 { "Or send one from here" }
                pre tabindex="0" { code { "curl '" (context.scheme) "://" (context.host) "/e?_k=" (context.write_key) "&_p=jane@example.com&_n=Signed+Up&_debug=1'" } }
                p { "Or load a file, one JSON object a line:" }
                pre tabindex="0" { code { "curl --data-binary @events.ndjson -H 'Authorization: Bearer " (context.write_key) "' " (context.scheme) "://" (context.host) "/api/v1/import" } }
            }
            li {
                h2 { "Or look around first" }
                p { "A year of a made-up company: 5,000 people, 100,000 events. It cannot be told from your own later, so use a directory for it that you can throw away." }
                @if context.may(Role::Owner) { form method="post" action="/demo" { button.quiet { "Fill with demo data" } } }
            }
        }
        script src=(asset::link("first.js")) defer {}
    };
    Answered::new("Welcome", body)
}
