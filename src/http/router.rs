//! The one list of routes: method, path, who may call it, how it is run and what it is. What is not on the list
//! does not exist; help, checks of access and dispatch all read it from here.

mod parameters;
mod paths;
mod routes;
#[cfg(test)]
mod tests;

use super::message::{Method, decode_segment};
pub use paths::split;
pub use routes::ROUTES;

use paths::captured;

use crate::app::Role;
use crate::app::saved::SavedKind;
use crate::error::{Error, ErrorKind, Result};
use crate::http::pages::{Change, Page};
use crate::transfer::segment::Kind;

/// Which key a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// None.
    Open,
    /// The write key, which is public.
    Write,
    /// The API key or another that reads, or a session.
    Read,
    /// The API key or another that changes, or a session.
    Manage,
    /// A session; without one the log-in page.
    Session,
    /// Either.
    WriteOrRead,
}

/// Workers kept apart, so that one kind of work cannot use up those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Changes that wait for the disk.
    Write,
    /// Work of minutes.
    Bulk,
    /// Answers that monitoring waits for.
    Health,
}

/// How a route is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// On the connection's own thread, with a whole body: for work of microseconds.
    Direct,
    /// On the connection's own thread, a few at a time, with a whole body and a whole answer: reports, which are too quick to be
    /// handed to a worker.
    Query,
    /// On the connection's own thread, few at a time, the body read or the answer written piece by piece.
    Stream,
    /// Like it, with an answer that goes on until the client leaves or the server stops.
    Watch,
    /// By a worker of a pool, with a whole body and a whole answer.
    Whole(Pool),
}

/// What a route does; the handler matches on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Record an event.
    TrackEvent,
    /// Set properties of a person.
    TrackSet,
    /// Join two identities.
    TrackAlias,
    /// Messages of Segment clients: one of a kind, or a batch.
    Segment(Option<Kind>),
    /// What such a client asks for first.
    SegmentSettings,
    /// What Kissmetrics' clients in apps ask for first.
    MobileSettings,
    /// The browser's tracker.
    Script,
    /// Bulk import.
    Import,
    /// A report, or the people behind a number of one.
    Report(&'static str),
    /// The saved definitions of a kind.
    SavedList(SavedKind),
    /// One of them.
    SavedGet(SavedKind),
    /// Save one.
    SavedPut(SavedKind),
    /// Delete one.
    SavedDelete(SavedKind),
    /// One person's profile.
    Person,
    /// One person's time line.
    PersonEvents,
    /// Join two people.
    Merge,
    /// Undo that.
    Unmerge,
    /// Erase a person.
    Erase,
    /// The list of events.
    Events,
    /// The properties there are.
    Properties,
    /// The values of one.
    PropertyValues,
    /// What was refused of late.
    Refusals,
    /// What happens, as it happens.
    Live,
    /// Counts and sizes of the store.
    Stats,
    /// Everything, as records.
    Export,
    /// Merge the store's segments.
    Compact,
    /// The projects.
    Projects,
    /// Delete one.
    DeleteProject,
    /// The keys beside the first two.
    Keys,
    /// Make one.
    AddKey,
    /// Take one away.
    RemoveKey,
    /// Copy the store.
    Backup,
    /// How long events are kept.
    Retention,
    /// Change that.
    Retain,
    /// Whether records can be stored.
    Health,
    /// Counters for Prometheus.
    Metrics,
    /// A page of the dashboard.
    Page(Page),
    /// Something that a page changes.
    Change(Change),
    /// A report for whoever has its link.
    Shared,
    /// The log-in page.
    LoginPage,
    /// Begin a session.
    Login,
    /// The page of an invitation.
    JoinPage,
    /// Choose a password with it.
    Join,
    /// End it.
    Logout,
    /// A style or script of the pages.
    Asset,
}

/// One route.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Its method; `GET` answers `HEAD` too.
    pub method: Method,
    /// Its path; `{name}` stands for one segment.
    pub pattern: &'static str,
    /// Who may call it.
    pub access: Access,
    /// How it is run.
    pub class: Class,
    /// Whether pages of any origin may call it. Such routes answer to every `Host` too.
    pub cross_origin: bool,
    /// What it does.
    pub action: Action,
    /// One line for people.
    pub doc: &'static str,
}

/// Where the tracker is found; an operator may give it one more name, which stands for this one.
pub const SCRIPT_PATH: &str = "/i.js";

/// What a method and a path come to.
#[derive(Debug)]
pub enum Found {
    /// This route.
    Route(&'static Route),
    /// The path exists, not with this method; these are the routes that it has.
    WrongMethod(Vec<&'static Route>),
    /// There is no such path.
    Nothing,
}

impl Found {
    /// Whether pages of any origin may read the answer.
    pub fn is_cross_origin(&self) -> bool {
        match self {
            Self::Route(route) => route.cross_origin,
            Self::WrongMethod(routes) => routes.iter().any(|route| route.cross_origin),
            Self::Nothing => false,
        }
    }
}

/// Looks a request up by its raw path. `HEAD` finds what `GET` does, unless that records something: who only looks changes nothing.
pub fn find(method: Method, path: &str) -> Found {
    let (project, path) = split(path);
    // Some of Segment's clients have a slash at the end.
    let path = if path.starts_with("/v1/") { path.strip_suffix('/').unwrap_or(path) } else { path };
    let wanted = if method == Method::Head { Method::Get } else { method };
    let mut others = Vec::new();
    for route in &ROUTES {
        // What senders call is of the project of their key.
        let open_to_all = project.is_some() && route.cross_origin;
        if captured(route.pattern, path).is_some() && !open_to_all {
            if route.method == wanted && (method != Method::Head || route.answers_head()) {
                return Found::Route(route);
            }
            others.push(route);
        }
    }
    if others.is_empty() { Found::Nothing } else { Found::WrongMethod(others) }
}

/// The `Allow` header of a path with these routes.
pub fn allow(routes: &[&Route]) -> String {
    let mut names = Vec::new();
    for route in routes {
        names.push(route.method.name());
        if route.answers_head() {
            names.push(Method::Head.name());
        }
    }
    names.push(Method::Options.name());
    names.join(", ")
}

impl Route {
    /// What a session needs to be allowed this. Whatever is new and changes anything is for owners until it is listed here.
    pub fn role(&self) -> Role {
        use Change::{DeleteAudience, DeleteReport, EndShare, Pin, SaveAudience, SaveReport, Share, Unpin};
        match self.action {
            Action::Report(_) | Action::Change(Change::OwnPassword | Change::EndSessions) => Role::Viewer,
            Action::SavedPut(_) | Action::SavedDelete(_) | Action::Merge | Action::Unmerge => Role::Editor,
            Action::Change(SaveReport | DeleteReport | Pin | Unpin | SaveAudience | DeleteAudience) => {
                Role::Editor
            }
            Action::Change(Share | EndShare | Change::Merge | Change::Unmerge) => Role::Editor,
            Action::Change(Change::Settings | Change::DescribeEvent) => Role::Editor,
            Action::Page(Page::DeleteProject | Page::Erase) => Role::Owner,
            _ if self.method == Method::Get => Role::Viewer,
            _ => Role::Owner,
        }
    }

    /// What it takes to call it: to change anything takes more than to read, whatever the list says.
    pub fn needs(&self) -> Access {
        let reads = self.method == Method::Get || matches!(self.action, Action::Report(_));
        if self.access == Access::Read && !reads { Access::Manage } else { self.access }
    }

    /// Whether `HEAD` may ask for the head of its answer.
    pub fn answers_head(&self) -> bool {
        let records = matches!(self.action, Action::TrackEvent | Action::TrackSet | Action::TrackAlias);
        self.method == Method::Get && !records
    }

    /// Whether a body that says it is gzip is taken as it is: its own bytes decide.
    pub fn unpacks(&self) -> bool {
        matches!(self.action, Action::Segment(_))
    }

    /// The decoded part of `path` that the pattern's `{name}` stands for; empty if it has none.
    pub fn parameter(&self, path: &str) -> Result<String> {
        match captured(self.pattern, path) {
            Some(raw) => decode_segment(raw),
            None => Err(Error::new(ErrorKind::NotFound, "no_such_path", "there is no such path").at("path")),
        }
    }
}
