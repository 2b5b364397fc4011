//! The dashboard: pages made on the server from the same answers that the API gives. A page's address is its report in the text form,
//! so every view is a link. They work without a script; only the live view has one.

mod funnels;
mod live;
mod people;
mod person;
pub mod session;
mod tables;
mod view;

use serde_json::Value as Json;

use super::message::{Request, Response};
use crate::app::App;
use crate::engine::Snapshot;
use crate::error::{Error, ErrorKind, Result};
use crate::report::params;
use view::Answered;

/// A page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// How much there is, and the latest.
    Overview,
    /// Funnels.
    Funnels,
    /// Who came back.
    Cohorts,
    /// What came in.
    Revenue,
    /// Variants compared.
    Experiments,
    /// Events over time.
    Trends,
    /// The ways people take.
    Paths,
    /// A search.
    People,
    /// One person.
    Person,
    /// What happens now.
    Live,
    /// Keys, the snippet, the events there are, what was refused.
    Settings,
    /// The people behind a number of a report.
    List(&'static str),
}

/// What a page is made of.
pub struct Context<'a> {
    app: &'a App,
    snapshot: &'a Snapshot,
    write_key: &'a str,
    /// The address's parameters that say something.
    pairs: Vec<(String, String)>,
    host: String,
}

impl Context<'_> {
    /// The first value of a parameter; empty if there is none.
    fn value(&self, name: &str) -> &str {
        self.pairs.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    fn values(&self, name: &str) -> Vec<&str> {
        self.pairs.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
    }

    /// Answers a report of the text form.
    fn ask(&self, report: &str, pairs: &[(String, String)]) -> Result<Json> {
        let query = params::query(report, pairs.iter().map(|(n, v)| (n, v)))?;
        self.ask_json(report, &query)
    }

    fn ask_json(&self, report: &str, query: &str) -> Result<Json> {
        let answer = self.app.reports().answer(report, self.snapshot, query, self.app.now())?;
        json(&answer)
    }

    /// The names of all events, for fields that take one.
    fn event_names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.snapshot.catalog.events().map(|(_, name)| name.to_owned()).collect();
        names.sort_unstable();
        names
    }

    /// The properties that people have, as reports are split by them.
    fn splits(&self) -> Result<Vec<String>> {
        let listed = json(
            &self.app.reports().properties(self.snapshot, Some(crate::exec::properties::Owner::Person))?,
        )?;
        let names = listed["properties"].as_array().into_iter().flatten();
        Ok(names.filter_map(|p| p["property"].as_str()).map(|name| format!("person.{name}")).collect())
    }
}

fn json(text: &str) -> Result<Json> {
    serde_json::from_str(text).map_err(|e| Error::new(ErrorKind::Io, "encoding", e.to_string()))
}

/// Makes a page. `identity` is that of its address.
pub fn answer(app: &App, write_key: &str, page: Page, request: &Request, identity: &str) -> Response {
    let snapshot = app.snapshot();
    let pairs = form_urlencoded::parse(request.query.as_bytes())
        .map(|(name, value)| (name.into_owned(), value.trim().to_owned()))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    let host = request.headers.get("host").unwrap_or("localhost").to_owned();
    let context = Context { app, snapshot: &snapshot, write_key, pairs, host };
    let made = match page {
        Page::Overview => live::overview(&context),
        Page::Funnels => funnels::page(&context, false),
        Page::Experiments => funnels::page(&context, true),
        Page::Cohorts => tables::cohorts(&context),
        Page::Revenue => tables::revenue(&context),
        Page::Trends => tables::trends(&context),
        Page::Paths => tables::paths(&context),
        Page::People => people::search(&context),
        Page::Person => person::page(&context, identity),
        Page::Live => live::page(&context),
        Page::Settings => live::settings(&context),
        Page::List(report) => people::list(&context, report),
    };
    let made = made.unwrap_or_else(|error| Answered::failed(page, &error));
    view::respond(page, made)
}

/// A style or script of the pages.
pub fn asset(name: &str) -> Result<Response> {
    let (kind, text) = match name {
        "app.css" => ("text/css; charset=utf-8", include_str!("app.css")),
        "live.js" => ("text/javascript; charset=utf-8", include_str!("live.js")),
        _ => return Err(Error::new(ErrorKind::NotFound, "no_such_path", "there is no such path").at("path")),
    };
    Ok(Response::new(200, kind, text.as_bytes()).with("Cache-Control", "no-cache"))
}
