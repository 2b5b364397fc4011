//! What all pages share: the frame with its navigation, forms, links that are reports, and how numbers read.

use maud::{DOCTYPE, Markup, html};
use serde_json::Value as Json;

use super::Page;
use crate::error::Error;
use crate::http::message::Response;
use crate::http::respond;

/// What a page shows.
pub struct Answered {
    pub title: String,
    pub body: Markup,
    pub status: u16,
}

impl Answered {
    pub fn new(title: impl Into<String>, body: Markup) -> Self {
        Self { title: title.into(), body, status: 200 }
    }

    /// A page that could not be made says why.
    pub fn failed(page: Page, error: &Error) -> Self {
        let body = html! { (problem(error)) p { a href=(path(page)) { "Start over" } } };
        Self { title: "That did not work".into(), body, status: respond::status(error.kind()) }
    }
}

const NAVIGATION: [(Page, &str, &str); 10] = [
    (Page::Overview, "/", "Overview"),
    (Page::Funnels, "/funnels", "Funnels"),
    (Page::Cohorts, "/cohorts", "Cohorts"),
    (Page::Revenue, "/revenue", "Revenue"),
    (Page::Experiments, "/experiments", "Experiments"),
    (Page::Trends, "/trends", "Trends"),
    (Page::Paths, "/paths", "Paths"),
    (Page::People, "/people", "People"),
    (Page::Live, "/live", "Live"),
    (Page::Settings, "/settings", "Settings"),
];

/// The page of the navigation that a page belongs to.
fn path(page: Page) -> &'static str {
    match page {
        Page::Person => "/people",
        Page::List("funnel") => "/funnels",
        Page::List("cohort") => "/cohorts",
        Page::List("revenue") => "/revenue",
        Page::List("trend") => "/trends",
        Page::List("paths") => "/paths",
        _ => NAVIGATION.iter().find(|(one, ..)| *one == page).map_or("/", |(_, path, _)| path),
    }
}

/// The whole page.
pub fn respond(page: Page, made: Answered) -> Response {
    let body = html! {
        header {
            a.skip href="#main" { "Skip to the page" }
            strong { "whodid" }
            nav aria-label="Pages" {
                @for (_, target, name) in NAVIGATION {
                    @if target == path(page) { a href=(target) aria-current="page" { (name) } }
                    @else { a href=(target) { (name) } }
                }
            }
            form method="post" action="/logout" { button.quiet { "Log out" } }
        }
        main #main { h1 { (made.title) } (made.body) }
    };
    framed(&made.title, &body, made.status)
}

/// A page without navigation.
pub fn framed(title: &str, body: &Markup, status: u16) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " - whodid" }
                link rel="stylesheet" href="/assets/app.css";
                link rel="icon" href="data:,";
            }
            body { (body) }
        }
    };
    Response::new(status, "text/html; charset=utf-8", page.into_string().into_bytes())
        .with("Content-Security-Policy", POLICY)
        .with("Referrer-Policy", "same-origin")
        .with("Cache-Control", "no-store")
}

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// An error as people read it.
pub fn problem(error: &Error) -> Markup {
    html! {
        p.problem role="alert" {
            (error.message())
            @if let Some(at) = error.place() { " (at " code { (at) } ")" }
            @if let Some(hint) = error.advice() { ". " (hint) }
        }
    }
}

/// What an answer warns of.
pub fn warnings(answer: &Json) -> Markup {
    html! {
        @for warning in list(answer, "warnings") {
            p.warning role="status" {
                (warning["message"].as_str().unwrap_or_default())
                @if let Some(hint) = warning["hint"].as_str() { ": " (hint) }
            }
        }
    }
}

/// How long it took, and how many records there are.
pub fn footing(answer: &Json) -> Markup {
    let records = answer["receipt"]["records"].as_u64().unwrap_or(0);
    let millis = answer["elapsed_ms"].as_f64().unwrap_or(0.0);
    html! { p.footing { (format!("{millis:.1}")) " ms, " (count(records)) " records, as of " (answer["receipt"]["as_of"].as_str().unwrap_or_default()) } }
}

pub fn list<'j>(answer: &'j Json, name: &str) -> &'j [Json] {
    answer[name].as_array().map_or(&[], Vec::as_slice)
}

/// A number with its digits grouped.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

pub fn number(value: &Json) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// A share in percent.
pub fn percent(value: &Json) -> String {
    value.as_f64().map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

/// A property value as it reads.
pub fn value(value: &Json) -> String {
    match value {
        Json::Null => "(not set)".to_owned(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The name of a segment.
pub fn segment(part: &Json) -> String {
    part.get("value").map_or_else(|| "(other)".to_owned(), value)
}

/// A duration in seconds as people say it.
pub fn duration(seconds: &Json) -> String {
    let Some(seconds) = seconds.as_f64() else { return "-".to_owned() };
    let (unit, size) = match seconds {
        s if s < 60.0 => ("s", 1.0),
        s if s < 3600.0 => ("min", 60.0),
        s if s < 86_400.0 => ("h", 3600.0),
        _ => ("d", 86_400.0),
    };
    format!("{:.1} {unit}", seconds / size)
}

/// An instant without the letters of its notation.
pub fn instant(value: &Json) -> String {
    let text = value.as_str().unwrap_or("-");
    text.get(..19).unwrap_or(text).replace('T', " ")
}

/// An address with parameters.
pub fn link(path: &str, pairs: &[(String, String)], more: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs {
        query.append_pair(name, value);
    }
    for (name, value) in more {
        query.append_pair(name, value);
    }
    format!("{path}?{}", query.finish())
}

/// A number of people that opens into them.
pub fn people(number: &Json, target: &str) -> Markup {
    html! { a.number href=(target) { (count(self::number(number))) } }
}

/// The address of a person.
pub fn person_link(identity: &str) -> Markup {
    let path: String = form_urlencoded::byte_serialize(identity.as_bytes()).collect();
    // A plus means a space in forms only.
    html! { a href=(format!("/people/{}", path.replace('+', "%20"))) { (identity) } }
}

/// A text field with its label, which offers the entries of a list.
pub fn field(label: &str, name: &str, value: &str, offered: &str) -> Markup {
    let id = format!("f-{}", label.to_lowercase().replace(' ', "-"));
    html! {
        div.field {
            label for=(id) { (label) }
            input id=(id) name=(name) value=(value) list=[(!offered.is_empty()).then_some(offered)] autocomplete="off";
        }
    }
}

/// A choice with its label.
pub fn choice(label: &str, name: &str, value: &str, options: &[(&str, &str)]) -> Markup {
    let id = format!("f-{}", label.to_lowercase().replace(' ', "-"));
    html! {
        div.field {
            label for=(id) { (label) }
            select id=(id) name=(name) {
                @for (option, text) in options {
                    option value=(option) selected[*option == value] { (text) }
                }
            }
        }
    }
}

/// A date with its label.
pub fn date(label: &str, name: &str, value: &str) -> Markup {
    let id = format!("f-{}", label.to_lowercase());
    html! { div.field { label for=(id) { (label) } input id=(id) name=(name) type="date" value=(value); } }
}

/// Entries that fields can offer.
pub fn offers(id: &str, entries: &[String]) -> Markup {
    html! { datalist id=(id) { @for entry in entries { option value=(entry) {} } } }
}

/// Parameters that the form of a page has no field for: kept, shown, and each can be taken away.
pub fn others(path: &str, pairs: &[(String, String)], known: &[&str]) -> (Markup, Markup) {
    let kept = || pairs.iter().enumerate().filter(|(_, (name, _))| !known.contains(&name.as_str()));
    let without = |at: usize| {
        let rest: Vec<_> =
            pairs.iter().enumerate().filter(|(k, _)| *k != at).map(|(_, p)| p.clone()).collect();
        link(path, &rest, &[])
    };
    let hidden =
        html! { @for (_, (name, value)) in kept() { input type="hidden" name=(name) value=(value); } };
    let chips = html! {
        @if kept().next().is_some() {
            ul.chips aria-label="Filters" {
                @for (at, (name, value)) in kept() {
                    li { (name) ": " (value) " " a href=(without(at)) aria-label=(format!("Remove {name}")) { "\u{d7}" } }
                }
            }
        }
    };
    (hidden, chips)
}

/// A bar of `part` of `whole`, filled further by `open`; the table beside it has the numbers.
pub fn bar(part: u64, open: u64, whole: u64) -> Markup {
    let width = |n: u64| format!("{:.2}", if whole == 0 { 0.0 } else { n as f64 * 100.0 / whole as f64 });
    html! {
        svg.bar viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" {
            rect.back width="100" height="8" {}
            rect.open width=(width(part + open)) height="8" {}
            rect.fill width=(width(part)) height="8" {}
        }
    }
}

/// A line through values, for a glance; the table has the numbers.
pub fn line(values: &[f64]) -> Markup {
    let most = values.iter().copied().fold(0.0, f64::max);
    let step = 300.0 / (values.len().saturating_sub(1)).max(1) as f64;
    let y = |v: f64| if most > 0.0 { 58.0 - v / most * 54.0 } else { 58.0 };
    let points: Vec<String> =
        values.iter().enumerate().map(|(at, v)| format!("{:.1},{:.1}", at as f64 * step, y(*v))).collect();
    html! { svg.line viewBox="0 0 300 60" preserveAspectRatio="none" aria-hidden="true" { polyline points=(points.join(" ")) {} } }
}
