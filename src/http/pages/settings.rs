//! The settings: the snippet and the keys, days and weeks, saved reports and links, the dictionary of events, what was refused.

use maud::{Markup, html};

use super::table::{Cell, Table};
use super::view::{Answered, link, person_path};
use super::{Change, Context, accounts, dictionary, form, keys, overview, projects, retention, words};
use crate::app::Role;
use crate::error::Result;
use crate::model::{Json, WEEKDAYS, format_millis};

/// Refusals shown; the API has all that are kept.
const REFUSALS: usize = 100;

/// Everything that is set or looked up now and then.
pub fn page(context: &Context<'_>) -> Result<Answered> {
    let body = html! {
        h2 { "Your pages" }
        p { "Put this before the end of each page\u{2019}s head. Pages that have the snippet of Kissmetrics only need another host in it." }
        (snippet(context))
        (keys::section(context)?)
        h2 { "Project" }
        (projects::section(context))
        (accounts::section(context))
        @if context.may(Role::Editor) { h2 { "Days, weeks and who counts" } (counting(context)) }
        (retention::section(context)?)
        (saved(context))
        h2 #events { "Events" }
        (dictionary::section(context)?)
        (merges(context))
        h2 { "Refused" }
        (refused(context))
    };
    Ok(Answered::new("Settings", body))
}

/// What goes into pages.
pub fn snippet(context: &Context<'_>) -> Markup {
    snippet_of(context.write_key, &context.host)
}

/// What goes into the pages of the project of a write key.
pub fn snippet_of(write_key: &str, host: &str) -> Markup {
    let text = format!(
        "<script>var _kmq = _kmq || []; var _kmk = _kmk || '{write_key}';</script>\n<script async src=\"//{host}/i.js\"></script>"
    );
    html! { pre tabindex="0" { code { (text) } } }
}

/// How days and weeks are counted, and who counts as somebody.
fn counting(context: &Context<'_>) -> Markup {
    let named = WEEKDAYS.map(words::sentence);
    let days: Vec<(&str, &str)> = WEEKDAYS.into_iter().zip(named.iter().map(String::as_str)).collect();
    let zones: Vec<String> =
        jiff::tz::db().available().map(|name| name.to_string()).filter(|name| name.contains('/')).collect();
    let (set, counted) =
        (&context.dashboard, [("with", "count like people"), ("without", "are left out of pages")]);
    let robots = if set.without_robots { "without" } else { "with" };
    let tz = if set.tz.is_empty() { "UTC" } else { &set.tz };
    let kept = |name, otherwise| context.kept(Change::Settings, name, otherwise);
    html! {
        form.row method="post" action="/settings" {
            (context.refusal(Change::Settings))
            (form::field("Time zone", "tz", kept("tz", tz), "zones"))
            (form::choice("Weeks begin on", "week_start", kept("week_start", &set.week_start), &days))
            (form::choice("Robots", "robots", kept("robots", robots), &counted))
            (form::field("Words for nobody", "nobody", context.kept(Change::Settings, "nobody", &set.nobody.text()), ""))
            button { "Save settings" }
            (form::offers("zones", &zones))
        }
        p.hint { "Robots are whoever sends with a robot\u{2019}s user agent. Nothing is dropped: each report can be asked either way under \u{201c}Filter people\u{201d}. The API counts everybody unless it is asked not to." }
        p.hint { "Words for nobody are what your pages send when they know nobody, with commas between them: whoever is identified with one is refused, as strangers would become one person. Left empty they are the usual ones." }
    }
}

/// A form of one button that names what it is about.
pub fn button(action: &str, name: &str, value: &str, text: &str, label: &str) -> Markup {
    html! { form.inline method="post" action=(action) { input type="hidden" name=(name) value=(value); button.quiet aria-label=(label) { (text) } } }
}

fn saved(context: &Context<'_>) -> Markup {
    let (saved, edits) = (context.app.reports().saved(), context.may(Role::Editor));
    let mut reports = Table::new("reports", "Saved reports", &["Report", "Kind", "Days", ""]);
    for (name, report) in &saved.reports {
        let query = Json::parse(&report.query).unwrap_or_default();
        let pinned = context.dashboard.pinned.contains(name);
        let (action, text) = if pinned { ("/reports/unpin", "Unpin") } else { ("/reports/pin", "Pin") };
        let buttons = html! { @if edits { (button(action, "name", name, text, &format!("{text} {name}"))) " " (button("/reports/delete", "name", name, "Delete", &format!("Delete {name}"))) } };
        reports.row(vec![
            Cell::head(name.as_str()).link(overview::address(&context.dashboard, &report.report, &query)),
            Cell::text(report.report.as_str()),
            Cell::text(overview::days(context, &report.report, &query)),
            Cell::marked(buttons, ""),
        ]);
    }
    let mut audiences = Table::new("audiences", "Saved audiences", &["Audience", "Who", ""]);
    for (name, text) in &saved.audiences {
        let words = Json::parse(text).map_or_else(|_| text.clone(), |people| context.audience(&people));
        audiences.row(vec![
            Cell::head(name.as_str()).link(link("/people", &[], &[("among", name)])),
            Cell::text(words),
            Cell::marked(
                html! { @if edits { (button("/audiences/delete", "name", name, "Delete", &format!("Delete {name}"))) } },
                "",
            ),
        ]);
    }
    let mut shares = Table::new("shares", "Links to reports", &["Report", "Made", ""]);
    for share in &context.dashboard.shares {
        shares.row(vec![
            Cell::head(words_of(&share.path, &share.query)).link(format!("{}?{}", share.path, share.query)),
            context.instant(&share.made.as_str().into()),
            Cell::marked(
                html! { @if edits { (button("/shares/delete", "hash", &share.token_sha256, "End", &format!("End the link to {}", share.path))) } },
                "",
            ),
        ]);
    }
    html! { @for (title, table) in [("Saved reports", &reports), ("Saved audiences", &audiences), ("Links", &shares)] {
        @if context.shows(table) { h2 id=(table.name) { (title) } (context.table(table)) }
    } }
}

fn words_of(path: &str, query: &str) -> String {
    let pairs = super::pairs_of(query);
    let values: Vec<&str> = pairs.iter().map(|(_, value)| value.as_str()).collect();
    format!("{} {}", path.trim_start_matches('/'), values.join(", "))
}

/// Identifies that would have joined two people who are known apart.
fn merges(context: &Context<'_>) -> Markup {
    let refusals = context.app.refusals();
    let mut table = Table::new("merges", "Merges that were refused", &["When", "One", "Other", ""]);
    for refusal in refusals.latest().filter(|r| r.reason == "merge_refused").take(REFUSALS) {
        let compare =
            link(&format!("{}/merge", person_path(&refusal.identity)), &[], &[("into", &refusal.name)]);
        table.row(vec![
            context.instant(&format_millis(refusal.time).into()),
            Cell::head(refusal.identity.as_str()).link(person_path(&refusal.identity)),
            Cell::text(refusal.name.as_str()).link(person_path(&refusal.name)),
            Cell::text("Compare").link(compare),
        ]);
    }
    html! { @if context.shows(&table) { h2 { "Merges that were refused" } p { "Tracking said that these are one person, but both were identified. If they are, join them." } (context.table(&table)) } }
}

fn refused(context: &Context<'_>) -> Markup {
    let refusals = context.app.refusals();
    let mut table =
        Table::new("refusals", "What was refused", &["When", "Reason", "Message", "Identity", "Name"]);
    for refusal in refusals.latest().take(REFUSALS) {
        table.row(vec![
            context.instant(&format_millis(refusal.time).into()),
            Cell::head(refusal.reason.as_str()),
            Cell::text(refusal.message.as_str()),
            Cell::text(refusal.identity.as_str()),
            Cell::text(refusal.name.as_str()),
        ]);
    }
    html! {
        @if !context.shows(&table) { p { "Nothing was refused." } }
        @else {
            ul.chips aria-label="Refusals by reason" { @for (reason, number) in refusals.counts() { li { (reason) ": " (words::count(*number)) } } }
            (context.table(&table))
        }
    }
}
