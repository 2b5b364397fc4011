//! What all pages share: the frame with its navigation, and links that are reports.

use maud::{DOCTYPE, Markup, html};

use super::{Context, Page, Visit, asset, projects, words};
use crate::app::Role;
use crate::enrich::USER_AGENT;
use crate::error::Error;
use crate::http::message::Response;
use crate::http::respond;
use crate::model::Json;

pub use super::words::{count, list, number};

/// What a page shows.
pub struct Answered {
    pub title: String,
    pub body: Markup,
    pub status: u16,
    /// Whose days and clocks it shows; empty if it shows none.
    zone: String,
    /// What was just done.
    notice: Option<Markup>,
}

impl Answered {
    pub fn new(title: impl Into<String>, body: Markup) -> Self {
        Self { title: title.into(), body, status: 200, zone: String::new(), notice: None }
    }

    /// Says whose days and clocks it shows.
    pub fn with_zone(self, zone: &str) -> Self {
        Self { zone: zone.to_owned(), ..self }
    }

    /// Has another status.
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// Says what was just done.
    pub fn with_notice(self, notice: Option<Markup>) -> Self {
        Self { notice, ..self }
    }

    fn main(&self) -> Markup {
        html! {
            main #main tabindex="-1" {
                h1 { (self.title) }
                @if let Some(notice) = &self.notice { p.notice role="status" { (notice) } }
                (self.body)
                @if !self.zone.is_empty() { p.footing { "Days and times of " (self.zone) "." } }
            }
        }
    }

    /// A page that could not be made says why.
    pub fn failed(page: Page, error: &Error) -> Self {
        Self::stopped(error, path(page), "Start over")
    }

    /// The same, with the way back to an address.
    pub fn stopped(error: &Error, back: &str, words: &str) -> Self {
        let body = html! { (problem(error)) p { a href=(back) { (words) } } };
        Self { status: respond::status(error.kind()), ..Self::new("That did not work", body) }
    }
}

/// Page, address, name, and the key that follows `g` to get there.
pub const NAVIGATION: [(Page, &str, &str, &str); 10] = [
    (Page::Overview, "/", "Overview", "h"),
    (Page::Funnels, "/funnels", "Funnels", "f"),
    (Page::Cohorts, "/cohorts", "Cohorts", "r"),
    (Page::Revenue, "/revenue", "Revenue", "m"),
    (Page::Experiments, "/experiments", "Experiments", "x"),
    (Page::Trends, "/trends", "Trends", "t"),
    (Page::Paths, "/paths", "Paths", "w"),
    (Page::People, "/people", "People", "p"),
    (Page::Live, "/live", "Live", "v"),
    (Page::Settings, "/settings", "Settings", "s"),
];

/// The page of the navigation that a page belongs to.
pub fn path(page: Page) -> &'static str {
    match page {
        Page::Person | Page::Merge | Page::Unmerge | Page::Erase => "/people",
        Page::Projects | Page::DeleteProject => "/projects",
        Page::List(report) => report_page(report),
        _ => NAVIGATION.iter().find(|(one, ..)| *one == page).map_or("/", |(_, path, ..)| path),
    }
}

/// What a page has one of, as the names of its files say.
pub fn kind(page: Page) -> &'static str {
    match page {
        Page::Funnels => "funnel",
        Page::Cohorts => "cohort",
        Page::Experiments => "experiment",
        Page::Trends => "trend",
        Page::Person => "person",
        Page::List(report) => report,
        Page::Overview => "overview",
        _ => path(page).trim_start_matches('/'),
    }
}

/// The address of the page of a report.
pub fn report_page(report: &str) -> &'static str {
    match report {
        "funnel" => "/funnels",
        "cohort" => "/cohorts",
        "revenue" => "/revenue",
        "trend" => "/trends",
        "paths" => "/paths",
        "people" => "/people",
        _ => "/",
    }
}

/// The whole page.
pub fn respond(visit: &Visit<'_>, page: Page, made: Answered) -> Response {
    let body = html! {
        a.skip href="#main" { "Skip to the page" }
        header {
            a.brand href="/" { "whodid" }
            (projects::switcher(visit))
            nav aria-label="Pages" {
                @for (own, target, name, key) in NAVIGATION {
                    a href=(target) data-jump=(key) data-key=[(own == Page::Live).then_some("r")] aria-current=[(target == path(page)).then_some("page")] { (name) }
                }
            }
            form method="post" action="/logout" { button.quiet title=[visit.who.email.as_deref()] { "Log out" } }
        }
        (made.main())
        dialog #help aria-labelledby="help-title" {
            h2 #help-title { "Keys" }
            dl.keys {
                @for (_, _, name, key) in NAVIGATION { div { dt { kbd { "g" } " " kbd { (key) } } dd { (name) } } }
                div { dt { kbd { "/" } } dd { "To the first field" } }
                div { dt { kbd { "?" } } dd { "This list" } }
                div { dt { kbd { "Esc" } } dd { "Clear filters" } }
                div { dt { kbd { "\u{2190}" } " " kbd { "\u{2192}" } } dd { "Period before, period after" } }
                div { dt { kbd { "d" } " " kbd { "e" } " " kbd { "h" } } dd { "Today, yesterday, 24 hours" } }
                div { dt { kbd { "w" } " " kbd { "f" } " " kbd { "t" } " " kbd { "n" } } dd { "7, 28, 30, 91 days" } }
                div { dt { kbd { "m" } " " kbd { "p" } } dd { "This month, last month" } }
                div { dt { kbd { "y" } " " kbd { "s" } " " kbd { "l" } } dd { "This year, 6 months, 12 months" } }
                div { dt { kbd { "r" } } dd { "What happens now" } }
                div { dt { kbd { "a" } " " kbd { "c" } } dd { "All time, choose days" } }
                div { dt { kbd { "i" } } dd { "By day, week, month" } }
                div { dt { kbd { "x" } } dd { "Compare with the period before" } }
                div { dt { kbd { "1" } "\u{2026}" kbd { "9" } " " kbd { "0" } } dd { "A project, all projects" } }
            }
            form method="dialog" { button { "Close" } }
        }
        script src=(asset::link("app.js")) defer {}
    };
    framed(&made.title, &body, made.status)
}

/// A report for whoever has its link: nothing leads anywhere else.
pub fn shared(made: &Answered) -> Response {
    let body = html! {
        header { span.brand { "whodid" } }
        (made.main())
    };
    framed(&made.title, &body, made.status).with("X-Robots-Tag", "noindex")
}

/// A page without navigation.
pub fn framed(title: &str, body: &Markup, status: u16) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " \u{2013} whodid" }
                link rel="stylesheet" href=(asset::link("app.css"));
                link rel="icon" href=(asset::link("icon.svg")) type="image/svg+xml";
            }
            body {
                svg.defs aria-hidden="true" width="0" height="0" {
                    pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                        rect.under width="6" height="6" {}
                        rect.over width="3" height="6" {}
                    }
                }
                (body)
            }
        }
    };
    Response::new(status, "text/html; charset=utf-8", words::visible(&page.into_string()).into_bytes())
        .with("Content-Security-Policy", POLICY)
        .with("Referrer-Policy", "same-origin")
        .with("Cache-Control", "no-store")
}

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// An error as people read it.
pub fn problem(error: &Error) -> Markup {
    html! {
        p.problem role="alert" {
            (words::sentence(error.message()))
            @if let Some(at) = error.place() { " (at " code { (at) } ")" }
            @if let Some(hint) = error.advice() { ": " (in_pages(hint)) }
        }
    }
}

/// A hint in the terms of pages, where it names a route.
fn in_pages(hint: &str) -> &str {
    if hint.starts_with("PUT /api/v1/audiences/") {
        "search for them under People and save them as an audience"
    } else {
        hint
    }
}

/// What an answer warns of. That nobody has a user agent is nothing to warn of when robots are left out: then there are none.
pub fn warnings(context: &Context<'_>, answer: &Json) -> Markup {
    let of_robots = |warning: &&Json| {
        context.leaves_robots_out()
            && warning["message"].as_str().is_some_and(|text| text.contains(USER_AGENT))
    };
    html! {
        @for warning in list(answer, "warnings").iter().filter(|warning| !of_robots(warning)) {
            p.warning role="status" {
                (words::sentence(warning["message"].as_str().unwrap_or_default()))
                @if let Some(hint) = warning["hint"].as_str() { ": " (hint) }
            }
        }
    }
}

/// How long it took, and how many records there are; and what can be done with the report.
pub fn footing(context: &Context<'_>, report: &str, answer: &Json) -> Markup {
    let records = answer["receipt"]["records"].as_u64().unwrap_or(0);
    let millis = answer["elapsed_ms"].as_f64().unwrap_or(0.0);
    let as_of = context.local(&answer["receipt"]["as_of"]);
    html! {
        p.footing { (format!("{millis:.1}")) " ms over " (count(records)) " " (words::plural(records, "record", "records")) ", as of " (as_of) }
        @if context.may(Role::Editor) { (keep(context, report, answer)) }
    }
}

/// What pages show beside a report, which is no part of its query.
const NOT_KEPT: [(&str, &str); 3] = [
    ("over", "the course over time"),
    ("compare", "the period before"),
    ("who", "whose identity was looked for"),
];

/// Ways to keep a report: under a name, and as a link for others.
fn keep(context: &Context<'_>, report: &str, answer: &Json) -> Markup {
    let address = link(&context.path, &context.pairs, &[]);
    let days = context.range(&answer["receipt"]["query"]);
    let lost: Vec<&str> =
        NOT_KEPT.iter().filter(|(name, _)| !context.value(name).is_empty()).map(|(_, what)| *what).collect();
    html! {
        section.keep aria-label="Keep this report" {
            details {
                summary { "Save" }
                form.row method="post" action="/reports" {
                    input type="hidden" name="report" value=(report);
                    input type="hidden" name="query" value=(super::changes::kept_query(context, report, answer));
                    input type="hidden" name="back" value=(address);
                    div.field { label for="keep-name" { "Report name" } input #keep-name name="name" required maxlength="255" autocomplete="off"; }
                    label.check { input type="checkbox" name="pinned" value="1" checked; " Pin to the overview" }
                    button { "Save report" }
                    @if !days.is_empty() { p.hint { "It keeps its days:" (days) ". One of all time goes on with every new day." } }
                    @if !lost.is_empty() { p.hint { "Not kept: " (lost.join(", ")) "." @if report != "people" { " A link to share keeps all." } } }
                }
            }
            @if report != "people" {
                details {
                    summary { "Share" }
                    form.row method="post" action="/shares" {
                        input type="hidden" name="address" value=(address);
                        p { "Makes a link that shows this report, read-only, to anybody who has it. It can be ended in the settings." }
                        button { "Make a link" }
                    }
                }
            }
        }
    }
}

/// An address with parameters.
pub fn link(path: &str, pairs: &[(String, String)], more: &[(&str, &str)]) -> String {
    if pairs.is_empty() && more.is_empty() {
        return path.to_owned();
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs {
        query.append_pair(name, value);
    }
    for (name, value) in more {
        query.append_pair(name, value);
    }
    format!("{path}?{}", query.finish())
}

/// The parameters without some.
pub fn without(pairs: &[(String, String)], names: &[&str]) -> Vec<(String, String)> {
    pairs.iter().filter(|(name, _)| !names.contains(&name.as_str())).cloned().collect()
}

/// The parameters of a report as the lists behind its numbers take them: their `limit` is another one.
pub fn for_list(pairs: &[(String, String)]) -> Vec<(String, String)> {
    let named = |name: &str| if name == "limit" { "shown".to_owned() } else { name.to_owned() };
    pairs.iter().map(|(name, value)| (named(name), value.clone())).collect()
}

/// The address of a person's page.
pub fn person_path(identity: &str) -> String {
    // A plus means a space in forms only.
    let path: String = form_urlencoded::byte_serialize(identity.as_bytes()).collect();
    // Browsers take dots alone, encoded or not, for a way through folders. No identity begins with a space.
    let space = if matches!(identity, "." | "..") { "%20" } else { "" };
    format!("/people/{space}{}", path.replace('+', "%20"))
}

/// A link to a person.
pub fn person_link(identity: &str) -> Markup {
    html! { a href=(person_path(identity)) { (identity) } }
}

/// What the star of a unit means, if there is one from a place `open` on.
pub fn not_over(open: Option<usize>) -> Markup {
    html! { @if open.is_some() { p.hint { "* not over yet; dotted or pale in the drawing." } } }
}

/// Figures that say what a page is about.
pub fn facts(facts: &[(&str, Markup)]) -> Markup {
    html! { section aria-label="Summary" { dl.facts { @for (name, value) in facts { div { dt { (name) } dd { (value) } } } } } }
}
