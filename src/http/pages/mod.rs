//! The dashboard: pages made on the server from the same answers that the API gives. A page's address is its report in the text form,
//! so every view is a link. They work without a script; only the live view needs one, and keys are a comfort.

mod accounts;
mod again;
pub mod asset;
mod before;
mod changes;
mod chart;
mod cohorts;
mod confirm;
mod dictionary;
mod edit;
mod experiments;
mod form;
mod funnels;
mod keys;
mod live;
mod overview;
mod paths;
mod people;
mod person;
mod projects;
mod retention;
mod revenue;
pub mod session;
mod settings;
mod table;
mod title;
mod trends;
mod tries;
mod view;
pub mod words;

use std::cell::RefCell;
use std::sync::Arc;

use jiff::tz::TimeZone;
use maud::{Markup, html};

use self::session::{Sessions, Who};
use super::auth::KeyHash;
use super::message::{Request, Response};
use super::projects::{Project, Projects};
use super::respond;
use crate::app::{Accounts, App, Dashboard, Role};
use crate::engine::Snapshot;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::properties::Owner;
use crate::limits;
use crate::model::Json;
use crate::report::params;
use edit::Pairs;
use table::{Cell, Table};
use view::Answered;
use words::Wording;

pub use again::stopped;
pub use changes::{Change, change, from_foreign_page, from_own_page};

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
    /// What a merge would do.
    Merge,
    /// What an unmerge would do.
    Unmerge,
    /// What would be erased.
    Erase,
    /// What happens now.
    Live,
    /// Keys, the snippet, the events there are, what was refused.
    Settings,
    /// All projects.
    Projects,
    /// What would be gone with one.
    DeleteProject,
    /// The people behind a number of a report.
    List(&'static str),
}

/// Who asks for a page, and of what.
pub struct Visit<'a> {
    /// The store of the project.
    pub app: &'a App,
    /// The project.
    pub project: &'a Project,
    /// Who it is.
    pub who: Who,
    /// All projects.
    pub projects: &'a Projects,
    /// Everybody with access.
    pub accounts: &'a Accounts,
    /// Everybody at work.
    pub sessions: &'a Sessions,
}

/// Names that a field offers at most: some 20 KB of a page, as names are.
const OFFERED_MAX: usize = 1000;

/// What a page is made of.
pub struct Context<'a> {
    app: &'a App,
    snapshot: &'a Snapshot,
    write_key: &'a str,
    /// Who looks; nobody that is known, if it is shared.
    visit: Option<&'a Visit<'a>>,
    dashboard: Arc<Dashboard>,
    /// The path of the address.
    path: String,
    /// The address's parameters that say something.
    pairs: Pairs,
    host: String,
    /// `http`, or `https` behind a proxy that has it.
    scheme: &'static str,
    /// The table that is wanted as a file instead of the page, and once it was made, the file.
    wanted: Option<String>,
    file: RefCell<Option<String>>,
    /// What kept a report from being made.
    failed: RefCell<Option<Error>>,
    /// A form of the page that was refused, and whether the page has said so.
    sent: Option<again::Sent<'a>>,
    told: again::Told,
}

impl Context<'_> {
    /// Whether it is for somebody who has nothing but a link to it.
    fn shared(&self) -> bool {
        self.visit.is_none()
    }

    /// Whether whoever looks has at least this role.
    fn may(&self, role: Role) -> bool {
        self.visit.is_some_and(|visit| visit.who.role >= role)
    }

    /// The first value of a parameter; empty if there is none.
    fn value(&self, name: &str) -> &str {
        self.pairs.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// The first value of a parameter, or what stands for none.
    fn value_or<'v>(&'v self, name: &str, otherwise: &'v str) -> &'v str {
        Some(self.value(name)).filter(|value| !value.is_empty()).unwrap_or(otherwise)
    }

    /// An event as people call it.
    fn event(&self, event: &Json) -> String {
        words::event(&self.dashboard, event)
    }

    /// Events with what they must meet, in words.
    fn pattern(&self, pattern: &Json) -> String {
        words::pattern(&self.dashboard, pattern)
    }

    /// Which people, in words.
    fn audience(&self, people: &Json) -> String {
        self.wording().audience(people)
    }

    /// Whom a report is narrowed to, as the end of a sentence.
    fn only_people(&self, query: &Json) -> String {
        self.wording().only_people(query)
    }

    /// The days of a range, as a part of a sentence.
    fn range(&self, range: &Json) -> String {
        self.wording().range(range)
    }

    fn wording(&self) -> Wording<'_> {
        Wording { names: &self.dashboard, zone: self.zone() }
    }

    fn values(&self, name: &str) -> Vec<&str> {
        self.pairs.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
    }

    /// Answers a report of the text form.
    fn ask(&self, report: &str, pairs: &[(String, String)]) -> Result<Json> {
        self.ask_json(report, &params::query(report, self.with_defaults(pairs))?)
    }

    /// The parameters of an address as the API takes them.
    fn with_defaults(&self, pairs: &[(String, String)]) -> Pairs {
        let mut pairs = pairs.to_vec();
        // People have all the properties that a page can show.
        for (_, column) in pairs.iter_mut().filter(|(name, _)| name == "columns") {
            if !column.starts_with("person.") && !column.starts_with("first:person.") {
                *column = format!("person.{column}");
            }
        }
        // What is compared is asked apart, and robots are a matter of people.
        pairs.retain(|(name, _)| name != "compare" && name != "robots");
        let people: Vec<Json> = pairs
            .iter()
            .filter(|(name, _)| name == "people")
            .flat_map(|(_, text)| edit::all_of(text))
            .collect();
        pairs.retain(|(name, _)| name != "people");
        pairs.extend(
            edit::written(self.with_or_without_robots(people)).map(|text| ("people".to_owned(), text)),
        );
        pairs
    }

    /// Whether robots are left out: as the address says, or else the dashboard.
    fn leaves_robots_out(&self) -> bool {
        match self.value("robots") {
            "" => self.dashboard.without_robots,
            said => said == "without",
        }
    }

    /// The conditions of a report, and that its people are no robots if those are left out.
    fn with_or_without_robots(&self, mut all: Vec<Json>) -> Vec<Json> {
        if self.leaves_robots_out() && !edit::speaks_of_robots(&all) {
            all.push(Json::object([("bot", false.into())]));
        }
        all
    }

    fn ask_json(&self, report: &str, query: &str) -> Result<Json> {
        Json::parse(&self.app.reports().answer(report, self.snapshot, query, self.app.now())?)
    }

    /// Whose days and clocks the page shows: the dashboard's, unless the address names another.
    fn zone(&self) -> TimeZone {
        words::zone(self.value_or("tz", &self.dashboard.tz))
    }

    fn zone_name(&self) -> String {
        self.zone().iana_name().unwrap_or("UTC").to_owned()
    }

    /// Today.
    fn today(&self) -> Option<jiff::civil::Date> {
        let now = jiff::Timestamp::from_millisecond(self.app.now()).ok()?;
        Some(self.zone().to_datetime(now).date())
    }

    /// An instant to the minute.
    fn local(&self, instant: &Json) -> String {
        words::instant(&self.zone(), instant)
    }

    /// A cell with an instant.
    fn instant(&self, instant: &Json) -> Cell {
        Cell::instant(instant, self.local(instant))
    }

    /// The names of events, for fields that take one, without those that are hidden: of very many only the most frequent, as lists are
    /// sent with every page.
    fn event_names(&self) -> Vec<String> {
        let mut names = self.most_frequent(|name| self.dashboard.offers(name));
        names.sort_unstable();
        names
    }

    /// The names of events that may be offered: of very many only the most frequent.
    fn most_frequent(&self, offered: impl Fn(&str) -> bool) -> Vec<String> {
        let mut names: Vec<_> = self.snapshot.catalog.events().filter(|(_, name)| offered(name)).collect();
        if names.len() > OFFERED_MAX {
            names.sort_by_cached_key(|(id, _)| std::cmp::Reverse(self.snapshot.rows_of(*id)));
            names.truncate(OFFERED_MAX);
        }
        names.into_iter().map(|(_, name)| name.to_owned()).collect()
    }

    /// The properties of people and events.
    fn properties(&self) -> Result<Vec<String>> {
        self.properties_of(None)
    }

    fn properties_of(&self, owner: Option<Owner>) -> Result<Vec<String>> {
        self.app.reports().property_names(self.snapshot, owner, OFFERED_MAX)
    }

    /// What reports can be split by: where people came from, their properties, saved audiences.
    fn splits(&self) -> Result<Vec<String>> {
        let mut all: Vec<String> = ["source", "channel"].map(str::to_owned).to_vec();
        all.extend(self.properties_of(Some(Owner::Person))?.iter().map(|name| format!("person.{name}")));
        all.extend(self.app.reports().saved().audiences.keys().map(|name| format!("audience:{name}")));
        Ok(all)
    }

    /// A table, with a link to its file; when this file is wanted, it is made.
    fn table(&self, table: &Table) -> Markup {
        if self.wants(&table.name) {
            *self.file.borrow_mut() = Some(table.csv());
        }
        let pairs = view::without(&self.pairs, &["cursor"]);
        let file = (!self.shared()).then(|| view::link(&self.path, &pairs, &[("csv", &table.name)]));
        table.html(!self.shared(), file.as_deref())
    }

    /// Puts the rows of a further page of a table behind those that its file has, unless it becomes too large by them.
    fn add_to_file(&self, table: &Table) -> Result<()> {
        let mut file = self.file.borrow_mut();
        let Some(file) = file.as_mut() else { return Ok(()) };
        file.push_str(&table.csv_rows());
        if file.len() > limits::ANSWER_BYTES_MAX { Err(respond::too_large()) } else { Ok(()) }
    }

    /// Whether the file of the table of this name is wanted.
    fn wants(&self, table: &str) -> bool {
        self.wanted.as_deref() == Some(table)
    }

    /// Whether a table has rows to be shown, or its file is wanted, which has a head in any case.
    fn shows(&self, table: &Table) -> bool {
        !table.is_empty() || self.wants(&table.name)
    }

    /// The file that was wanted, once the page is made: none if it has no such table.
    fn file(&self, page: Page, name: &str) -> Result<Response> {
        let nothing = || {
            let message = format!("there is no table \"{name}\" on this page");
            Error::new(ErrorKind::NotFound, "no_such_table", message).at("csv")
        };
        let failed = || self.failed.take().unwrap_or_else(nothing);
        let file = self.file.take().ok_or_else(failed)?;
        let day = self.today().map(|day| day.to_string()).unwrap_or_default();
        Response::new(200, "text/csv; charset=utf-8", file.into_bytes())
            .with_value("Content-Disposition", respond::attachment(&[view::kind(page), name], &day, "csv"))
    }

    /// A number of people that opens into them.
    fn people(&self, number: &Json, target: &str) -> Markup {
        let text = view::count(view::number(number));
        html! { @if self.shared() { (text) } @else { a.number href=(target) { (text) } } }
    }

    /// The result of a report, or what kept it from being made, or without a result `hint`.
    fn shown(
        &self,
        report: &str,
        result: Option<Result<Json>>,
        hint: &str,
        show: impl FnOnce(&Json) -> Markup,
    ) -> Markup {
        match result {
            None => html! { p.hint { (hint) } },
            Some(Err(error)) => {
                let problem = view::problem(&error);
                *self.failed.borrow_mut() = Some(error);
                problem
            }
            Some(Ok(answer)) => html! {
                (view::warnings(self, &answer)) (overview::compared(self, report, &answer)) (show(&answer)) (view::footing(self, report, &answer))
            },
        }
    }
}

fn pairs_of(query: &str) -> Pairs {
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

fn context<'a>(
    app: &'a App,
    snapshot: &'a Snapshot,
    visit: Option<&'a Visit<'a>>,
    request: &Request,
    pairs: Pairs,
) -> Context<'a> {
    let wanted = pairs.iter().find(|(name, _)| name == "csv").map(|(_, table)| table.clone());
    Context {
        app,
        snapshot,
        write_key: visit.map_or("", |visit| visit.project.write_key.as_str()),
        visit,
        dashboard: app.dashboard(),
        path: request.path.clone(),
        pairs: view::without(&pairs, &["csv", changes::SAVED_AS]),
        host: request.headers.get("host").unwrap_or("localhost").to_owned(),
        scheme: request.scheme(),
        wanted,
        file: RefCell::default(),
        failed: RefCell::default(),
        sent: None,
        told: again::Told::default(),
    }
}

/// Makes a page. `identity` is that of its address.
pub fn answer(visit: &Visit<'_>, page: Page, request: &Request, identity: &str) -> Result<Response> {
    let raw = pairs_of(&request.query);
    let pairs = edit::tidy(&raw);
    // A form asks with fields of its own; its report has an address without them.
    let address = (pairs != raw).then(|| view::link(&request.path, &pairs, &[]));
    if let Some(address) = &address
        && !request.headers.get("prefer").is_some_and(|wish| wish.contains("return=representation"))
    {
        return Response::new(303, "", Vec::new()).with_value("Location", address.clone());
    }
    let snapshot = visit.app.snapshot();
    let saved = pairs.iter().find(|(name, _)| name == changes::SAVED_AS).map(|(_, name)| name.clone());
    let context = context(visit.app, &snapshot, Some(visit), request, pairs);
    let made = made(&context, page, identity);
    if let Some(name) = &context.wanted {
        let file = made.and_then(|_| context.file(page, name));
        return Ok(file.unwrap_or_else(|error| lost(request, &error)));
    }
    let made = made.map(|made| made.with_zone(&context.zone_name()).with_notice(saved_as(&context, saved)));
    let response = view::respond(visit, page, made.unwrap_or_else(|error| Answered::failed(page, &error)));
    match address {
        Some(address) => response.with_value("Content-Location", address),
        None => Ok(response),
    }
}

/// Says under which name a report was saved, if there is one of that name.
fn saved_as(context: &Context<'_>, name: Option<String>) -> Option<Markup> {
    let name = name.filter(|name| context.app.reports().saved().reports.contains_key(name))?;
    let pinned = context.dashboard.pinned.contains(&name);
    Some(html! {
        "Saved as " b { (name) } ". "
        @if pinned { a href="/" { "It is on the overview" } } @else { a href="/settings#reports" { "All saved reports" } }
        "."
    })
}

fn made(context: &Context<'_>, page: Page, identity: &str) -> Result<Answered> {
    match page {
        Page::Overview => overview::page(context),
        Page::Funnels => funnels::page(context),
        Page::Experiments => experiments::page(context),
        Page::Cohorts => cohorts::page(context),
        Page::Revenue => revenue::page(context),
        Page::Trends => trends::page(context),
        Page::Paths => paths::page(context),
        Page::People => people::search(context),
        Page::Person => person::page(context, identity),
        Page::Merge => person::merge(context, identity),
        Page::Unmerge => person::unmerge(context, identity),
        Page::Erase => person::erase(context, identity),
        Page::Live => live::page(context),
        Page::Settings => settings::page(context),
        Page::Projects => projects::page(context),
        Page::DeleteProject => projects::deletion(context),
        Page::List(report) => people::list(context, report),
    }
}

/// The report of a link that was made for it, for anybody who has the link.
pub fn shared(app: &App, request: &Request, token: &str) -> Result<Response> {
    let hash = KeyHash::of(token).to_hex();
    let nothing = || {
        Error::new(ErrorKind::NotFound, "no_such_link", "this link shows nothing, or no longer").at("path")
    };
    let dashboard = app.dashboard();
    let share = dashboard.shares.iter().find(|s| s.token_sha256 == hash).ok_or_else(nothing)?;
    let page = changes::shared_page(&share.path).ok_or_else(nothing)?;
    let snapshot = app.snapshot();
    let context = context(app, &snapshot, None, request, pairs_of(&share.query));
    let made = made(&context, page, "").map(|made| made.with_zone(&context.zone_name()));
    Ok(view::shared(&made.unwrap_or_else(|error| Answered::failed(page, &error))))
}

/// An error where there is no page: as one to who looks with a browser, and to all others as errors are.
pub fn lost(request: &Request, error: &Error) -> Response {
    if !looks(request) {
        return respond::error(error);
    }
    alone(respond::status(error.kind()), error.message())
}

/// A refusal of HTTP itself, before there was a page or a session to think of: as [`lost`] shows errors.
pub fn refusal(request: &Request, status: u16, code: &str, message: &str) -> Response {
    refusal_to(looks(request), status, code, message)
}

/// The same, to whoever looks with a browser or not.
pub fn refusal_to(looks: bool, status: u16, code: &str, message: &str) -> Response {
    match status {
        _ if !looks => respond::refusal(status, code, message),
        405 => alone(status, "nothing is shown here: this address takes what a form or a program sends"),
        _ => alone(status, message),
    }
}

/// Whether whoever asks looks with a browser.
pub fn looks(request: &Request) -> bool {
    request.headers.get("accept").is_some_and(|kinds| kinds.contains("text/html"))
}

/// A page that says nothing but why there is no other.
fn alone(status: u16, message: &str) -> Response {
    let title = if matches!(status, 404 | 405) { "Nothing here" } else { "That did not work" };
    let body = html! {
        main.login #main { h1 { "whodid" } p.problem role="alert" { (words::sentence(message)) } p { a href="/" { "To the overview" } } }
    };
    respond::with_retry(view::framed(title, &body, status))
}
