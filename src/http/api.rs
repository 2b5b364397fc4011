//! What the routes do: each turns a request into a call of the app and its answer into a response.

mod import;
mod keys;
mod live;

use std::io::Read;
use std::sync::Arc;

use serde_json::json;

use super::auth::{self, KeyHash};
use super::collect::{self, Outcome as Tracked};
use super::limit::{self, Limits};
use super::message::{Method, Request, Response};
use super::pages::session::{self, Sessions, Who};
use super::pages::{self, Change, Page, Visit};
use super::projects::{self, Project, Projects};
use super::router::{self, Access, Action, Route, SCRIPT_PATH};
use super::{Handler, metrics, operator, respond, script, segment};
use crate::app::projects::{FIRST, prefix};
use crate::app::{Accounts, App, Retention, Sent, export, export_person, saved};
use crate::engine::{Damaged, Outcome, Snapshot};
use crate::error::{Error, ErrorKind, Result};
use crate::exec::properties::{Owner, ValueQuery};
use crate::limits;
use crate::model::RecordKind;
use crate::transfer::format::ExportFormat;

/// The routes over all projects. Clones are over the same.
#[derive(Clone)]
pub struct Api {
    projects: Arc<Projects>,
    sessions: Arc<Sessions>,
    accounts: Arc<Accounts>,
    limits: Arc<Limits>,
}

impl Api {
    /// Over `projects`, for senders and readers with their keys and for people with an account.
    pub fn new(projects: Projects, accounts: Accounts) -> Self {
        let (projects, accounts) = (Arc::new(projects), Arc::new(accounts));
        Self { projects, accounts, sessions: Arc::default(), limits: Arc::default() }
    }

    /// With other limits than those of `limits.rs` on how often senders may send.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = Arc::new(limits);
        self
    }

    /// Takes the keys of all projects from their files again; those whose keys stay as they were, and why.
    pub fn reload_keys(&self) -> Vec<(u32, Error)> {
        let all = self.projects.all();
        all.iter().filter_map(|project| Some((project.id, project.reload_keys().err()?))).collect()
    }

    fn answer(&self, project: &Project, route: &Route, request: &Request) -> Result<Response> {
        let owns_all = self.may(project, route, request)?;
        route.check_parameters(request)?;
        let identity = || named(route, request);
        let (app, snapshot, reports) = (&project.app, project.app.snapshot(), project.app.reports());
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
            Action::Person => reports.person(&snapshot, &identity()?, app.now()).map(Response::json),
            Action::PersonEvents => {
                let limit = page_limit(request)?.unwrap_or(limits::PAGE_DEFAULT);
                let (event, cursor) = (event(request), request.parameter("cursor"));
                let (event, cursor) = (event.as_deref(), cursor.as_deref());
                let page = reports.timeline(&snapshot, &identity()?, app.now(), event, limit, cursor);
                page.map(Response::json)
            }
            Action::Merge | Action::Unmerge => {
                let identity = identity()?;
                match route.action {
                    Action::Merge => app.merge(&identity, &into(request)?)?,
                    _ => app.unmerge(&identity)?,
                }
                reports.person(&app.snapshot(), &identity, app.now()).map(Response::json)
            }
            Action::Erase => written(&app.erase(&[identity()?])?),
            Action::Projects => Ok(Response::json(projects::listed(&self.seen(project, owns_all)))),
            Action::DeleteProject => {
                let named = self.projects.meant(&identity()?).map(|project| (project.id, project.name()));
                self.delete_project(project, owns_all, named)
            }
            Action::Keys | Action::AddKey | Action::RemoveKey => keys::answer(project, route, request),
            Action::Backup => self.backup(project, owns_all),
            Action::Retention => written(&app.retention()?),
            Action::Retain => retained(app, request),
            Action::Events => {
                let (limit, cursor) = (page_limit(request)?, request.parameter("cursor"));
                reports.events_part(&snapshot, app.now(), limit, cursor.as_deref()).map(Response::json)
            }
            Action::Properties => reports.properties(&snapshot, owner(request)?).map(Response::json),
            Action::PropertyValues => {
                let query = value_query(identity()?, request)?;
                reports.property_values(&snapshot, &query, app.now()).map(Response::json)
            }
            Action::Refusals => Ok(Response::json(refusals(app))),
            Action::Live => self.watch(project, route, request),
            Action::Stats => Ok(Response::json(metrics::stats(app).to_string())),
            Action::Compact => {
                app.engine().compact().map(|()| Response::json(metrics::stats(app).to_string()))
            }
            Action::Metrics => Ok(Response::new(
                200,
                "text/plain; version=0.0.4; charset=utf-8",
                metrics::text(app, &self.seen(project, owns_all), &self.limits)?.into_bytes(),
            )),
            Action::Export => exported(app, &snapshot, request),
            _ => Err(Error::new(ErrorKind::NotFound, "no_such_path", "there is no such path")),
        }
    }

    /// What needs no key.
    fn open(&self, project: &Project, route: &Route, request: &Request) -> Result<Response> {
        let app = &project.app;
        if matches!(route.action, Action::Login | Action::Join | Action::Logout)
            && pages::from_foreign_page(request)
        {
            return Err(foreign_page());
        }
        match route.action {
            Action::SegmentSettings => Ok(segment::settings(request, &route.parameter(&request.path)?)),
            Action::MobileSettings => Ok(collect::mobile_settings(request, self.projects.first().app.now())),
            Action::Script => self.script(route, request),
            Action::LoginPage => Ok(session::page(request, &self.accounts)),
            Action::Login => self.sessions.log_in(request, &self.accounts, &self.projects),
            Action::JoinPage => {
                let token = request.parameter("token").unwrap_or_default();
                Ok(session::joining(&self.accounts, &token, app.now(), None))
            }
            Action::Join => self.sessions.join(request, &self.accounts, &self.projects, app.now()),
            Action::Logout => self.sessions.log_out(request),
            Action::Shared => {
                let shown = pages::shared(app, request, &route.parameter(&request.path)?);
                Ok(shown.unwrap_or_else(|error| pages::lost(request, &error)))
            }
            Action::Asset => {
                pages::asset::respond(&route.parameter(&request.path)?, request.parameter("v").as_deref())
            }
            _ => Ok(self.health()),
        }
    }

    /// The project that a request is about: that of its path, or of its key, or the first.
    fn project(&self, route: &Route, request: &Request) -> Result<Arc<Project>> {
        if let (Some(id), _) = router::split(&request.path) {
            let nothing = || Error::new(ErrorKind::NotFound, "no_such_project", "there is no such project");
            return self.projects.get(id).ok_or_else(|| nothing().at("path"));
        }
        let keyed = matches!(route.access, Access::Read | Access::WriteOrRead);
        Ok(self.projects.of_key(auth::presented(request).filter(|_| keyed).as_deref()))
    }

    /// Whose session counts on a route of the API. The browser sends its cookie by itself, so to change anything it takes a page of ours
    /// that asks for it.
    fn in_session(&self, route: &Route, request: &Request) -> Option<Who> {
        let safe = request.method == Method::Get || pages::from_own_page(request);
        if route.access == Access::Read && safe { self.who(request) } else { None }
    }

    /// Whether a request may have what the route gives. A session may what its role may. Says whether whoever asks sees all projects.
    fn may(&self, project: &Project, route: &Route, request: &Request) -> Result<bool> {
        if operator::asks(request) {
            return Ok(true);
        }
        if let Some(who) = self.in_session(route, request) {
            allowed(project, route, &who)?;
            return Ok(who.projects.is_empty());
        }
        let key = auth::presented(request);
        project.check(route.needs(), key.as_deref())?;
        Ok(project.is_of_server(key.as_deref()))
    }

    /// The projects that whoever asks for one may hear of.
    fn seen(&self, project: &Project, all: bool) -> Vec<Arc<Project>> {
        if all { self.projects.all().to_vec() } else { self.projects.get(project.id).into_iter().collect() }
    }

    /// A backup of all projects: whoever has one alone cannot make it.
    fn backup(&self, project: &Project, owns_all: bool) -> Result<Response> {
        if !owns_all || project.id != FIRST {
            let message = "a backup has all projects, and is for who owns the whole server";
            return Err(Error::new(ErrorKind::Forbidden, "other_project", message)
                .hint("ask with the API key of the first project"));
        }
        let mut reports = project.app.back_up()?.into_iter();
        let mut answer = json!(reports.next());
        answer["projects"] = json!(reports.collect::<Vec<_>>());
        Ok(Response::json(answer.to_string()))
    }

    /// Deletes a project, for whoever owns all.
    fn delete_project(
        &self,
        asked_in: &Project,
        owns_all: bool,
        named: Result<(u32, String)>,
    ) -> Result<Response> {
        if !owns_all {
            let message = "projects are deleted by who owns the whole server";
            return Err(Error::new(ErrorKind::Forbidden, "other_project", message)
                .hint("ask with the API key of the first project"));
        }
        let (id, name) = named.map_err(|e| e.at("path"))?;
        self.projects.delete(id, asked_in.id, &self.accounts)?;
        written(&json!({ "deleted": id, "name": name }))
    }

    fn who(&self, request: &Request) -> Option<Who> {
        self.sessions.who(request, &self.accounts, &self.projects)
    }

    /// A page, for whoever has a session.
    fn page(&self, project: &Project, page: Page, route: &Route, request: &Request) -> Result<Response> {
        let Some(who) = self.who(request) else { return session::ask(request) };
        if !who.sees(project.id)
            && page == Page::Overview
            && let Some(own) = self.projects.all().iter().find(|other| who.sees(other.id))
        {
            return Ok(session::see(&format!("{}/", own.base())));
        }
        let visit = self.visit(project, who);
        if let Err(error) = allowed(project, route, &visit.who) {
            return Ok(pages::stopped(&visit, request, &error));
        }
        let of_person = matches!(page, Page::Person | Page::Merge | Page::Unmerge | Page::Erase);
        let identity = if of_person { named(route, request)? } else { String::new() };
        pages::answer(&visit, page, request, &identity)
    }

    /// A change that a page asks for, for whoever has a session.
    fn change(
        &self,
        project: &Project,
        change: Change,
        route: &Route,
        request: &Request,
    ) -> Result<Response> {
        let Some(who) = self.who(request) else { return session::ask(request) };
        if !pages::from_own_page(request) {
            return Err(foreign_page());
        }
        let identity = if route.pattern.contains('{') { named(route, request)? } else { String::new() };
        let visit = self.visit(project, who);
        match allowed(project, route, &visit.who) {
            Ok(()) => pages::change(&visit, change, request, &identity),
            Err(error) => Ok(pages::stopped(&visit, request, &error)),
        }
    }

    fn visit<'a>(&'a self, project: &'a Project, who: Who) -> Visit<'a> {
        let (projects, accounts, sessions) = (&self.projects, &self.accounts, &self.sessions);
        Visit { app: &project.app, project, who, projects, accounts, sessions }
    }

    /// The path of a link that logs in once.
    pub fn login_link(&self) -> Result<String> {
        self.sessions.link()
    }

    /// Whether a key may send so many records now. The first of them was counted when the request came.
    fn may_send(
        &self,
        project: &Project,
        request: &Request,
        key: Option<&str>,
        records: usize,
    ) -> Result<()> {
        project.check(Access::Write, key)?;
        self.limits.sends(request.peer, KeyHash::of(key.unwrap_or_default()).short(), records)
    }

    fn track(&self, kind: RecordKind, request: &Request) -> Response {
        let collected = collect::read(kind, request, self.projects.first().app.now());
        let key = collected.key.or_else(|| auth::presented(request));
        let project = self.projects.of_key(key.as_deref());
        let checked = self.may_send(&project, request, key.as_deref(), 1);
        let stored = match (checked, collected.record) {
            (Ok(()), Ok(record)) => project.app.track(Sent { record, agent: collected.agent }),
            (Err(error), _) | (Ok(()), Err(error)) => {
                let text = |text: &Option<String>| text.clone().unwrap_or_default();
                project.app.refuse(&error, &text(&collected.person), &text(&collected.name));
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
            let project = self.projects.of_key(Some(&key));
            project.check(Access::Write, Some(&key)).map_err(|error| {
                if error.is_passing() {
                    return error;
                }
                let message = "the name of the script holds no write key of ours";
                Error::new(ErrorKind::NotFound, "unknown_key", message)
                    .at("path")
                    .hint("the write key is printed when the server starts")
            })?;
        }
        script::answer(request)
    }

    fn health(&self) -> Response {
        let projects = self.projects.all();
        match projects.iter().try_for_each(|project| project.app.engine().healthy()) {
            Ok(()) => {
                // They lie on one disk.
                let room = self.projects.first().app.room();
                let disk = room.map_or("unknown", |(room, _)| room.name());
                let mut body = json!({ "status": "ok", "disk": disk });
                let damaged = |project: &Arc<Project>| {
                    let (prefix, snapshot) = (prefix(project.id), project.app.snapshot());
                    let named = |damaged: &Damaged| format!("{prefix}{}", damaged.file);
                    snapshot.damaged.iter().map(named).collect::<Vec<_>>()
                };
                let files: Vec<String> = projects.iter().flat_map(damaged).collect();
                if !files.is_empty() {
                    body["detail"] = json!({ "damaged_segments": files });
                }
                Response::json(body.to_string())
            }
            Err(error) => {
                let body = json!({ "status": "unavailable", "error": respond::value(&error) }).to_string();
                Response::new(503, "application/json", body.into_bytes())
            }
        }
    }
}

/// What the path names, as it is stored: without spaces around it.
fn named(route: &Route, request: &Request) -> Result<String> {
    Ok(route.parameter(&request.path)?.trim().to_owned())
}

fn foreign_page() -> Error {
    let message = "only pages of this server can change anything with a session";
    Error::new(ErrorKind::Forbidden, "foreign_page", message)
        .hint("use the API with its key, or the page itself")
}

impl Handler for Api {
    fn turn_away(&self, route: &Route, request: &Request) -> Option<Response> {
        match route.access {
            Access::Open => return None,
            Access::Write => {
                let seconds = self.limits.comes(request.peer).err()?;
                return Some(limit::too_often(seconds, "this address sends too often"));
            }
            Access::Session | Access::Read | Access::Manage | Access::WriteOrRead => {}
        }
        let project = match self.project(route, request) {
            Ok(project) => project,
            Err(error) => return Some(pages::lost(request, &error)),
        };
        let answer = if route.access != Access::Session {
            Err(self.may(&project, route, request).err()?)
        } else if self.who(request).is_some() {
            return None;
        } else {
            let path = router::split(&request.path).1.to_owned();
            session::ask(&Request { path, ..request.clone() })
        };
        Some(projects::within(&project.base(), private(route, request, answer)))
    }

    fn refused(&self, request: &Request, code: &'static str, message: &str) {
        let said = |name| request.parameter(name);
        let key = said("_k").or_else(|| auth::presented(request)).or_else(|| said("writeKey"));
        let error = Error::new(ErrorKind::TooLarge, code, message);
        let (identity, name) = (said("_p").unwrap_or_default(), said("_n").unwrap_or_default());
        self.projects.of_key(key.as_deref()).app.refuse(&error, &identity, &name);
    }

    fn handle(&self, route: &Route, mut request: Request) -> Response {
        match route.action {
            Action::TrackEvent => return self.track(RecordKind::Event, &request),
            Action::TrackSet => return self.track(RecordKind::Set, &request),
            Action::TrackAlias => return self.track(RecordKind::Identify, &request),
            Action::Segment(kind) => {
                let allowed = |project: &Project, key: Option<&str>, records| {
                    self.may_send(project, &request, key, records)
                };
                return segment::answer(&self.projects, kind, &request, &self.limits.unpacked, allowed);
            }
            _ => {}
        }
        let project = match self.project(route, &request) {
            Ok(project) => project,
            Err(error) => return pages::lost(&request, &error),
        };
        request.path = router::split(&request.path).1.to_owned();
        let answer = match route.action {
            Action::Page(page) => self.page(&project, page, route, &request),
            Action::Change(change) => self.change(&project, change, route, &request),
            _ if route.access == Access::Open => self.open(&project, route, &request),
            _ => self.answer(&project, route, &request),
        };
        projects::within(&project.base(), private(route, &request, answer))
    }

    fn stream(&self, route: &Route, request: &Request, body: &mut (dyn Read + Send)) -> Response {
        let answer = match route.action {
            Action::Import => self.import(route, request, body),
            _ => self.project(route, request).and_then(|project| {
                let mut request = request.clone();
                request.path = router::split(&request.path).1.to_owned();
                self.answer(&project, route, &request)
            }),
        };
        private(route, request, answer)
    }

    fn stopping(&self) {
        self.projects.all().iter().for_each(|project| project.app.end_watching());
    }
}

/// What was refused, by reason and the latest.
fn refusals(app: &App) -> String {
    let refusals = app.refusals();
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

/// An error if whoever asks does not see the project, or their role is not enough for the route.
fn allowed(project: &Project, route: &Route, who: &Who) -> Result<()> {
    if !who.sees(project.id) {
        let error = Error::new(ErrorKind::Forbidden, "other_project", "you have no access to this project");
        return Err(error.hint("ask an owner of the server for it"));
    }
    if who.role >= route.role() {
        return Ok(());
    }
    let message = format!("this is for {}s, and your role is {}", route.role().name(), who.role.name());
    Err(Error::new(ErrorKind::Forbidden, "role", message)
        .hint("ask an owner to do it, or to change your role"))
}

/// The response of an answer or error, which is a page where pages are. What a key or a session was needed to read is nothing for caches.
fn private(route: &Route, request: &Request, answer: Result<Response>) -> Response {
    let response = answer.unwrap_or_else(|error| match route.access {
        Access::Session | Access::Open => pages::lost(request, &error),
        _ => respond::error(&error),
    });
    let told = response.headers().any(|(name, _)| name == "Cache-Control");
    let read = matches!(route.access, Access::Read | Access::Session);
    if read && !told { response.with("Cache-Control", "no-store") } else { response }
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

/// Everything, or all of a person, piece by piece.
fn exported(app: &App, snapshot: &Snapshot, request: &Request) -> Result<Response> {
    let (snapshot, form) = (snapshot.clone(), export_format(request)?);
    let person = request.parameter("person");
    if let Some(person) = &person {
        // Nothing can be said any more once the answer has begun.
        snapshot.person(person)?;
    }
    let zone = pages::words::zone(&app.dashboard().tz);
    let now = pages::words::instant(&zone, &crate::model::format_millis(app.now()).into());
    let parts = person.as_deref().map_or(vec!["export"], |person| vec!["person", person]);
    let disposition = respond::attachment(&parts, now.get(..10).unwrap_or_default(), form.name());
    let body = move |out: &mut dyn std::io::Write| {
        let written = match &person {
            Some(person) => export_person(&snapshot, person, form, out),
            None => export(&snapshot, form, out),
        };
        written.map(drop).map_err(|e| std::io::Error::other(e.to_string()))
    };
    Response::stream(form.media_type(), Box::new(body)).with_value("Content-Disposition", disposition)
}

/// What was done, as JSON.
fn written(report: &impl serde::Serialize) -> Result<Response> {
    let text = serde_json::to_string(report);
    text.map(Response::json).map_err(|e| Error::new(ErrorKind::Io, "encoding", e.to_string()))
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

fn page_limit(request: &Request) -> Result<Option<usize>> {
    let Some(text) = request.parameter("limit") else { return Ok(None) };
    let limit = text.parse().ok().filter(|n| (1..=limits::PAGE_MAX).contains(n));
    limit.map(Some).ok_or_else(|| {
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
    let (event, containing) = (event(request), request.parameter("containing"));
    if event.is_some() && of == Owner::Person {
        return Err(Error::invalid("not_used", "people's properties are of no event").at("event"));
    }
    let limit = page_limit(request)?.unwrap_or(limits::PAGE_DEFAULT);
    Ok(ValueQuery { property, of, event, containing, limit })
}

/// The event that is meant, as names are stored: without spaces around it.
fn event(request: &Request) -> Option<String> {
    request.parameter("event").map(|name| name.trim().to_owned())
}

fn into(request: &Request) -> Result<String> {
    let mut fields = crate::report::Node::parse(&body(request)?)?.object()?;
    let into = fields.require("into")?.name()?;
    fields.end()?;
    Ok(into)
}

/// Says how long events are kept, and takes out those that are older.
fn retained(app: &App, request: &Request) -> Result<Response> {
    let retention = Retention::from_json(&body(request)?)?;
    let removed = app.retain(&retention)?;
    written(&json!({ "retention": retention, "removed": removed }))
}
