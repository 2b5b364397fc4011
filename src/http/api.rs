//! What the routes do: each turns a request into a call of the app and its answer into a response.

use std::io::Read;
use std::sync::Arc;

use serde_json::json;

use super::auth::{self, KeyHash, Keys};
use super::collect::{self, Outcome as Tracked};
use super::message::{Method, Request, Response};
use super::pages::session::{self, Sessions};
use super::pages::{self, Change, Page};
use super::router::{Access, Action, Route, SCRIPT_PATH};
use super::{Handler, metrics, respond, script, segment};
use crate::app::{App, Form, Sent, export, live, saved};
use crate::engine::Outcome;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::properties::{Owner, ValueQuery};
use crate::limits;
use crate::model::RecordKind;
use crate::transfer::format::{ExportFormat, Format};

/// The routes over one app.
pub struct Api {
    app: Arc<App>,
    keys: Keys,
    write_key: String,
    sessions: Sessions,
}

impl Api {
    /// Over `app`, for senders with `write_key` and readers with the key of this SHA-256 in hex.
    pub fn new(app: Arc<App>, write_key: &str, api_key_sha256: &str) -> Result<Self> {
        let bad = || Error::invalid("bad_key", "the stored hash of the API key is not 64 hex digits");
        let read = KeyHash::from_hex(api_key_sha256).ok_or_else(bad)?;
        let sessions = Sessions::default();
        Ok(Self {
            app,
            write_key: write_key.to_owned(),
            sessions,
            keys: Keys { write: vec![KeyHash::of(write_key)], read: vec![read] },
        })
    }

    fn answer(&self, route: &Route, request: &Request) -> Result<Response> {
        self.may(route, request)?;
        let identity = || route.parameter(&request.path);
        let (app, snapshot) = (&self.app, self.app.snapshot());
        let reports = app.reports();
        match route.action {
            Action::Report(report) => {
                reports.answer(report, &snapshot, &query(report, request)?, app.now()).map(Response::json)
            }
            Action::SavedList(kind) => saved::list(&reports.saved(), kind).map(Response::json),
            Action::SavedGet(kind) => saved::get(&reports.saved(), kind, &identity()?).map(Response::json),
            Action::SavedPut(kind) => app.save(kind, &identity()?, &body(request)?).map(Response::json),
            Action::SavedDelete(kind) => {
                let name = identity()?;
                app.forget(kind, &name)?;
                Ok(Response::json(json!({ "deleted": name }).to_string()))
            }
            Action::Person => reports.person(&snapshot, &identity()?).map(Response::json),
            Action::PersonEvents => {
                let limit = page_limit(request)?;
                let (event, cursor) = (request.parameter("event"), request.parameter("cursor"));
                let page =
                    reports.timeline(&snapshot, &identity()?, event.as_deref(), limit, cursor.as_deref());
                page.map(Response::json)
            }
            Action::Merge => {
                let identity = identity()?;
                app.merge(&identity, &into(request)?)?;
                reports.person(&app.snapshot(), &identity).map(Response::json)
            }
            Action::Unmerge => {
                let identity = identity()?;
                app.unmerge(&identity)?;
                reports.person(&app.snapshot(), &identity).map(Response::json)
            }
            Action::Events => reports.events(&snapshot).map(Response::json),
            Action::Properties => reports.properties(&snapshot, owner(request)?).map(Response::json),
            Action::PropertyValues => {
                let query = value_query(identity()?, request)?;
                reports.property_values(&snapshot, &query, app.now()).map(Response::json)
            }
            Action::Refusals => Ok(Response::json(self.refusals())),
            Action::Live => self.live(request),
            Action::Stats => Ok(Response::json(metrics::stats(app).to_string())),
            Action::Compact => {
                app.engine().compact()?;
                Ok(Response::json(metrics::stats(app).to_string()))
            }
            Action::Metrics => Ok(Response::new(
                200,
                "text/plain; version=0.0.4; charset=utf-8",
                metrics::text(app).into_bytes(),
            )),
            Action::Export => {
                let (snapshot, form) = (snapshot.as_ref().clone(), export_format(request)?);
                let body = move |out: &mut dyn std::io::Write| {
                    export(&snapshot, form, out).map(drop).map_err(|e| std::io::Error::other(e.to_string()))
                };
                let disposition = format!("attachment; filename=\"whodid.{}\"", form.name());
                Response::stream(form.media_type(), Box::new(body))
                    .with_value("Content-Disposition", disposition)
            }
            _ => Err(Error::new(ErrorKind::NotFound, "no_such_path", "there is no such path")),
        }
    }

    /// What needs no key.
    fn open(&self, route: &Route, request: &Request) -> Result<Response> {
        match route.action {
            Action::SegmentSettings => Ok(segment::settings(request, &route.parameter(&request.path)?)),
            Action::Script => self.script(route, request),
            Action::LoginPage => Ok(session::page(request)),
            Action::Login => {
                self.sessions.log_in(request, |key| self.keys.check(Access::Read, Some(key)).is_ok())
            }
            Action::Logout => self.sessions.log_out(request),
            Action::Shared => pages::shared(&self.app, request, &route.parameter(&request.path)?),
            Action::Asset => pages::asset(&route.parameter(&request.path)?),
            _ => Ok(self.health()),
        }
    }

    /// Whether a request may have what the route gives. A session is as good as the API key for what changes nothing. The browser sends
    /// its cookie by itself, so to change anything it takes a page of ours that asks for it.
    fn may(&self, route: &Route, request: &Request) -> Result<()> {
        let safe = request.method == Method::Get || pages::from_own_page(request);
        if route.access == Access::Read && safe && self.sessions.has(request) {
            return Ok(());
        }
        self.keys.check(route.access, auth::presented(request).as_deref())
    }

    /// A page, for whoever has a session.
    fn page(&self, page: Page, route: &Route, request: &Request) -> Result<Response> {
        if !self.sessions.has(request) {
            return session::ask(request);
        }
        let of_person = matches!(page, Page::Person | Page::Merge | Page::Unmerge);
        let identity = if of_person { route.parameter(&request.path)? } else { String::new() };
        pages::answer(&self.app, &self.write_key, page, request, &identity)
    }

    /// A change that a page asks for, for whoever has a session.
    fn change(&self, change: Change, route: &Route, request: &Request) -> Result<Response> {
        if !self.sessions.has(request) {
            return session::ask(request);
        }
        if !pages::from_own_page(request) {
            let message = "only pages of this server can change anything with a session";
            return Err(Error::new(ErrorKind::Forbidden, "foreign_page", message)
                .hint("use the API with its key, or the page itself"));
        }
        if change == Change::EndSessions {
            self.sessions.end_others(request);
        }
        let identity =
            if route.pattern.contains('{') { route.parameter(&request.path)? } else { String::new() };
        pages::change(&self.app, change, request, &identity)
    }

    /// The path of a link that logs in once.
    pub fn login_link(&self) -> Result<String> {
        self.sessions.link()
    }

    fn track(&self, kind: RecordKind, request: &Request) -> Response {
        let collected = collect::read(kind, request, self.app.now());
        let key = collected.key.or_else(|| auth::presented(request));
        let checked = self.keys.check(Access::Write, key.as_deref());
        let stored = match (checked, collected.record) {
            (Ok(()), Ok(record)) => self.app.track(Sent { record, agent: collected.agent }),
            (Err(error), _) | (Ok(()), Err(error)) => {
                let text = |text: &Option<String>| text.clone().unwrap_or_default();
                self.app.refuse(&error, &text(&collected.person), &text(&collected.name));
                Err(error)
            }
        };
        match &stored {
            // That two persons stay apart is no error to the sender, but one who asks is told.
            Ok(Outcome::MergeRefused) => collect::answer(collected.wants_json, &Tracked::MergeRefused),
            Ok(Outcome::Duplicate) => collect::answer(collected.wants_json, &Tracked::Duplicate),
            Ok(_) => collect::answer(collected.wants_json, &Tracked::Stored),
            Err(error) => collect::answer(collected.wants_json, &Tracked::Refused(error)),
        }
    }

    /// The tracker. Under a name with a key that is not ours it would only be refused later, so it is missed at once.
    fn script(&self, route: &Route, request: &Request) -> Result<Response> {
        if route.pattern != SCRIPT_PATH {
            let key = route.parameter(&request.path)?;
            self.keys.check(Access::Write, Some(&key)).map_err(|_| {
                let message = "the name of the script holds no write key of ours";
                Error::new(ErrorKind::NotFound, "unknown_key", message)
                    .at("path")
                    .hint("the write key is printed when the server starts")
            })?;
        }
        script::answer(request)
    }

    fn import(&self, request: &Request, body: &mut (dyn Read + Send)) -> Result<Response> {
        self.keys.check(Access::WriteOrRead, auth::presented(request).as_deref())?;
        self.app.engine().healthy()?;
        let by_type = (request.media_type().as_deref() == Some("text/csv")).then(|| "csv".to_owned());
        let format = request.parameter("format").or(by_type).unwrap_or_else(|| "ndjson".to_owned());
        let format = Format::parse(&format).ok_or_else(|| {
            let error = Error::invalid("bad_format", format!("there is no form \"{format}\"")).at("format");
            error.hint("ndjson, csv or kissmetrics")
        })?;
        let form = Form { format: Some(format), ..Form::default() };
        let report = self.app.import(body, &form, |_| {}, |_| {})?;
        let text = serde_json::to_string(&report);
        text.map(Response::json).map_err(|e| Error::new(ErrorKind::Io, "encoding", e.to_string()))
    }

    fn refusals(&self) -> String {
        let refusals = self.app.refusals();
        let latest: Vec<_> = refusals
            .latest()
            .map(|r| {
                json!({
                    "time": crate::model::format_millis(r.time),
                    "reason": r.reason,
                    "message": r.message,
                    "identity": r.identity,
                    "name": r.name,
                })
            })
            .collect();
        json!({ "counts": refusals.counts(), "refusals": latest }).to_string()
    }

    /// The header is what a browser's event source sends when it comes back; the address that it was opened with stays.
    fn live(&self, request: &Request) -> Result<Response> {
        let since = request.headers.get("last-event-id").map(str::to_owned).filter(|id| !id.is_empty());
        let since = since.or_else(|| request.parameter("since"));
        let number = |text: String| {
            text.parse().map_err(|_| Error::invalid("bad_number", "the id of an event expected").at("since"))
        };
        let watch = live::Watch {
            event: request.parameter("event"),
            person: request.parameter("person"),
            since: since.map(number).transpose()?,
        };
        let app = Arc::clone(&self.app);
        let body = move |out: &mut dyn std::io::Write| live::watch(app.engine(), &watch, out);
        // Proxies that collect answers would hold events back.
        Ok(Response::stream("text/event-stream", Box::new(body)).with("X-Accel-Buffering", "no"))
    }

    fn health(&self) -> Response {
        match self.app.engine().healthy() {
            Ok(()) => Response::json(json!({ "status": "ok" }).to_string()),
            Err(error) => {
                let body = json!({ "status": "unavailable", "error": respond::value(&error) }).to_string();
                Response::new(503, "application/json", body.into_bytes())
            }
        }
    }
}

impl Handler for Api {
    fn handle(&self, route: &Route, request: Request) -> Response {
        match route.action {
            Action::TrackEvent => self.track(RecordKind::Event, &request),
            Action::TrackSet => self.track(RecordKind::Set, &request),
            Action::TrackAlias => self.track(RecordKind::Identify, &request),
            Action::Segment(kind) => {
                segment::answer(&self.app, kind, &request, |key| self.keys.check(Access::Write, key))
            }
            Action::Page(page) => private(route, self.page(page, route, &request)),
            Action::Change(change) => private(route, self.change(change, route, &request)),
            _ if route.access == Access::Open => private(route, self.open(route, &request)),
            _ => private(route, self.answer(route, &request)),
        }
    }

    fn stream(&self, route: &Route, request: &Request, body: &mut (dyn Read + Send)) -> Response {
        let answer = match route.action {
            Action::Import => self.import(request, body),
            _ => self.answer(route, request),
        };
        private(route, answer)
    }

    fn stopping(&self) {
        self.app.end_watching();
    }
}

/// The response of an answer or error. What a key was needed to read is nothing for caches.
fn private(route: &Route, answer: Result<Response>) -> Response {
    let response = answer.unwrap_or_else(|error| respond::error(&error));
    if route.access == Access::Read { response.with("Cache-Control", "no-store") } else { response }
}

/// The JSON query of a report: the body, or `?q=`, or its text form as the parameters of the URL.
fn query(report: &str, request: &Request) -> Result<String> {
    if request.method != Method::Get {
        return body(request);
    }
    if let Some(query) = request.parameter("q") {
        return Ok(query);
    }
    if request.query.is_empty() {
        return Err(Error::new(ErrorKind::Malformed, "no_query", "the query is missing")
            .at("q")
            .hint("send it as ?q={...}, as parameters such as ?step=Signed+Up, or as the body of a POST"));
    }
    crate::report::params::read_text(report, &request.query)
}

fn body(request: &Request) -> Result<String> {
    String::from_utf8(request.body.clone())
        .map_err(|_| Error::new(ErrorKind::Malformed, "bad_utf8", "the query is not UTF-8"))
}

/// The form of an export.
fn export_format(request: &Request) -> Result<ExportFormat> {
    let name = request.parameter("format").unwrap_or_else(|| ExportFormat::Ndjson.name().to_owned());
    ExportFormat::parse(&name).ok_or_else(|| {
        let error = Error::invalid("bad_format", format!("there is no form \"{name}\"")).at("format");
        error.hint("ndjson, csv or parquet")
    })
}

fn page_limit(request: &Request) -> Result<usize> {
    let Some(text) = request.parameter("limit") else { return Ok(limits::PAGE_DEFAULT) };
    text.parse().ok().filter(|n| (1..=limits::PAGE_MAX).contains(n)).ok_or_else(|| {
        Error::invalid("out_of_range", format!("a whole number from 1 to {} expected", limits::PAGE_MAX))
            .at("limit")
    })
}

/// Whose properties are asked for.
fn owner(request: &Request) -> Result<Option<Owner>> {
    match request.parameter("of").as_deref() {
        None => Ok(None),
        Some("person") => Ok(Some(Owner::Person)),
        Some("event") => Ok(Some(Owner::Event)),
        Some(other) => {
            let message = format!("\"{other}\" has no properties");
            Err(Error::invalid("bad_owner", message).at("of").hint("\"person\" or \"event\""))
        }
    }
}

fn value_query(property: String, request: &Request) -> Result<ValueQuery> {
    let of = owner(request)?.unwrap_or(Owner::Person);
    let (event, containing) = (request.parameter("event"), request.parameter("containing"));
    if event.is_some() && of == Owner::Person {
        return Err(Error::invalid("not_used", "people's properties are of no event").at("event"));
    }
    Ok(ValueQuery { property, of, event, containing, limit: page_limit(request)? })
}

fn into(request: &Request) -> Result<String> {
    let mut fields = crate::report::Node::parse(&body(request)?)?.object()?;
    let into = fields.require("into")?.name()?;
    fields.end()?;
    Ok(into)
}
