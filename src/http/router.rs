//! The one list of routes: method, path, who may call it, how it is run and what it is. What is not on the list
//! does not exist; help, checks of access and dispatch all read it from here.

mod paths;
#[cfg(test)]
mod tests;

use super::message::{Method, decode_segment};
pub use paths::split;

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
#[derive(Debug)]
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

const fn route(
    method: Method,
    pattern: &'static str,
    access: Access,
    class: Class,
    action: Action,
    doc: &'static str,
) -> Route {
    Route { method, pattern, access, class, cross_origin: false, action, doc }
}

const fn tracking(method: Method, pattern: &'static str, action: Action, doc: &'static str) -> Route {
    let class = Class::Direct;
    Route { method, pattern, access: Access::Write, class, cross_origin: true, action, doc }
}

const fn segment(pattern: &'static str, kind: Option<Kind>, doc: &'static str) -> Route {
    tracking(Method::Post, pattern, Action::Segment(kind), doc)
}

const fn page(pattern: &'static str, page: Page, doc: &'static str) -> Route {
    route(Method::Get, pattern, Access::Session, QUERY, Action::Page(page), doc)
}

const fn change(pattern: &'static str, change: Change, doc: &'static str) -> Route {
    route(Method::Post, pattern, Access::Session, WRITE, Action::Change(change), doc)
}

const fn open(pattern: &'static str, method: Method, action: Action, doc: &'static str) -> Route {
    route(method, pattern, Access::Open, Class::Direct, action, doc)
}

const fn script(pattern: &'static str, doc: &'static str) -> Route {
    let (access, class) = (Access::Open, Class::Direct);
    Route { method: Method::Get, pattern, access, class, cross_origin: true, action: Action::Script, doc }
}

const fn report(method: Method, pattern: &'static str, report: &'static str, doc: &'static str) -> Route {
    route(method, pattern, Access::Read, QUERY, Action::Report(report), doc)
}

const QUERY: Class = Class::Query;
const WRITE: Class = Class::Whole(Pool::Write);
const BULK: Class = Class::Whole(Pool::Bulk);
const HEALTH: Class = Class::Whole(Pool::Health);

/// Where the tracker is found; an operator may give it one more name, which stands for this one.
pub const SCRIPT_PATH: &str = "/i.js";

/// Every route there is.
pub static ROUTES: [Route; 129] = [
    tracking(Method::Get, "/e", Action::TrackEvent, "record an event"),
    tracking(Method::Post, "/e", Action::TrackEvent, "record an event"),
    tracking(Method::Get, "/s", Action::TrackSet, "set properties of a person"),
    tracking(Method::Post, "/s", Action::TrackSet, "set properties of a person"),
    tracking(Method::Get, "/a", Action::TrackAlias, "say that two identities are one person"),
    tracking(Method::Post, "/a", Action::TrackAlias, "say that two identities are one person"),
    segment("/v1/track", Some(Kind::Track), "a track message of a Segment client"),
    segment("/v1/t", Some(Kind::Track), "the same, as browsers send it"),
    segment("/v1/identify", Some(Kind::Identify), "a identify message of a Segment client"),
    segment("/v1/i", Some(Kind::Identify), "the same, as browsers send it"),
    segment("/v1/alias", Some(Kind::Alias), "a alias message of a Segment client"),
    segment("/v1/a", Some(Kind::Alias), "the same, as browsers send it"),
    segment("/v1/page", Some(Kind::Page), "a page message of a Segment client"),
    segment("/v1/p", Some(Kind::Page), "the same, as browsers send it"),
    segment("/v1/screen", Some(Kind::Screen), "a screen message of a Segment client"),
    segment("/v1/s", Some(Kind::Screen), "the same, as browsers send it"),
    segment("/v1/group", Some(Kind::Group), "a group message of a Segment client"),
    segment("/v1/g", Some(Kind::Group), "the same, as browsers send it"),
    segment("/v1/batch", None, "messages of a Segment client"),
    segment("/v1/b", None, "the same, as browsers send it"),
    segment("/v1/import", None, "the same"),
    segment("/beacon/v1/batch", None, "the same"),
    Route {
        cross_origin: true,
        ..route(
            Method::Get,
            "/v1/projects/{key}/settings",
            Access::Open,
            Class::Direct,
            Action::SegmentSettings,
            "where a Segment client in a browser sends to",
        )
    },
    script(SCRIPT_PATH, "the browser's tracker"),
    script("/{key}.2.js", "the same, as pages of the hosted service ask for it"),
    script("/{key}.1.js", "the same"),
    Route {
        cross_origin: true,
        ..route(
            Method::Post,
            "/api/v1/import",
            Access::WriteOrRead,
            Class::Stream,
            Action::Import,
            "load records in bulk, one JSON object a line",
        )
    },
    report(Method::Post, "/api/v1/funnel", "funnel", "people by step of a funnel"),
    report(Method::Get, "/api/v1/funnel", "funnel", "the same, the query in the URL"),
    report(Method::Post, "/api/v1/funnel/people", "funnel/people", "the people behind a number of a funnel"),
    report(Method::Get, "/api/v1/funnel/people", "funnel/people", "the same, the query in the URL"),
    report(Method::Post, "/api/v1/cohort", "cohort", "who came back how long after the start"),
    report(Method::Get, "/api/v1/cohort", "cohort", "the same, the query in the URL"),
    report(Method::Post, "/api/v1/cohort/people", "cohort/people", "the people of a cohort or of a cell"),
    report(Method::Get, "/api/v1/cohort/people", "cohort/people", "the same, the query in the URL"),
    report(Method::Post, "/api/v1/paths", "paths", "the most common ways from a start to a goal"),
    report(Method::Get, "/api/v1/paths", "paths", "the same, the query in the URL"),
    report(Method::Post, "/api/v1/paths/people", "paths/people", "the people of a path"),
    report(Method::Get, "/api/v1/paths/people", "paths/people", "the same, the query in the URL"),
    report(Method::Post, "/api/v1/revenue", "revenue", "what came in, by time and by source"),
    report(Method::Get, "/api/v1/revenue", "revenue", "the same, the query in the URL"),
    report(Method::Post, "/api/v1/revenue/people", "revenue/people", "the people behind a number of it"),
    report(Method::Get, "/api/v1/revenue/people", "revenue/people", "the same, the query in the URL"),
    report(Method::Post, "/api/v1/people", "people", "who meets an audience, and how many"),
    report(Method::Get, "/api/v1/people", "people", "the same, the query in the URL"),
    report(Method::Post, "/api/v1/trend", "trend", "events, people or amounts over time"),
    report(Method::Get, "/api/v1/trend", "trend", "the same, the query in the URL"),
    report(Method::Post, "/api/v1/trend/people", "trend/people", "the people behind a point of a trend"),
    report(Method::Get, "/api/v1/trend/people", "trend/people", "the same, the query in the URL"),
    report(Method::Post, "/api/v1/lifecycle", "lifecycle", "who is new, returns, comes back, stays away"),
    report(Method::Get, "/api/v1/lifecycle", "lifecycle", "the same, the query in the URL"),
    report(Method::Post, "/api/v1/lifecycle/people", "lifecycle/people", "the people of a stage in a unit"),
    report(Method::Get, "/api/v1/lifecycle/people", "lifecycle/people", "the same, the query in the URL"),
    route(
        Method::Get,
        "/api/v1/people/{identity}",
        Access::Read,
        QUERY,
        Action::Person,
        "a person's profile",
    ),
    route(
        Method::Delete,
        "/api/v1/people/{identity}",
        Access::Read,
        BULK,
        Action::Erase,
        "erase a person for good",
    ),
    route(
        Method::Get,
        "/api/v1/people/{identity}/events",
        Access::Read,
        QUERY,
        Action::PersonEvents,
        "a person's events, newest first",
    ),
    route(
        Method::Post,
        "/api/v1/people/{identity}/merge",
        Access::Read,
        WRITE,
        Action::Merge,
        "join two people",
    ),
    route(
        Method::Post,
        "/api/v1/people/{identity}/unmerge",
        Access::Read,
        WRITE,
        Action::Unmerge,
        "take an identity out of its person again",
    ),
    route(
        Method::Get,
        "/api/v1/audiences",
        Access::Read,
        QUERY,
        Action::SavedList(SavedKind::Audience),
        "the saved audiences",
    ),
    route(
        Method::Get,
        "/api/v1/audiences/{name}",
        Access::Read,
        QUERY,
        Action::SavedGet(SavedKind::Audience),
        "a saved audience",
    ),
    route(
        Method::Put,
        "/api/v1/audiences/{name}",
        Access::Read,
        WRITE,
        Action::SavedPut(SavedKind::Audience),
        "save an audience",
    ),
    route(
        Method::Delete,
        "/api/v1/audiences/{name}",
        Access::Read,
        WRITE,
        Action::SavedDelete(SavedKind::Audience),
        "delete a saved audience",
    ),
    route(
        Method::Get,
        "/api/v1/reports",
        Access::Read,
        QUERY,
        Action::SavedList(SavedKind::Report),
        "the saved reports",
    ),
    route(
        Method::Get,
        "/api/v1/reports/{name}",
        Access::Read,
        QUERY,
        Action::SavedGet(SavedKind::Report),
        "a saved report",
    ),
    route(
        Method::Put,
        "/api/v1/reports/{name}",
        Access::Read,
        WRITE,
        Action::SavedPut(SavedKind::Report),
        "save a report",
    ),
    route(
        Method::Delete,
        "/api/v1/reports/{name}",
        Access::Read,
        WRITE,
        Action::SavedDelete(SavedKind::Report),
        "delete a saved report",
    ),
    route(Method::Get, "/api/v1/events", Access::Read, QUERY, Action::Events, "every event with its counts"),
    route(Method::Get, "/api/v1/properties", Access::Read, QUERY, Action::Properties, "every property"),
    route(
        Method::Get,
        "/api/v1/properties/{name}/values",
        Access::Read,
        QUERY,
        Action::PropertyValues,
        "the values of a property, the most frequent first",
    ),
    route(
        Method::Get,
        "/api/v1/refusals",
        Access::Read,
        QUERY,
        Action::Refusals,
        "what was refused, and why",
    ),
    route(
        Method::Get,
        "/api/v1/live",
        Access::Read,
        Class::Watch,
        Action::Live,
        "records and refusals as they come, as server-sent events",
    ),
    route(Method::Get, "/api/v1/stats", Access::Read, HEALTH, Action::Stats, "counts and sizes of the store"),
    route(
        Method::Get,
        "/api/v1/export",
        Access::Read,
        Class::Stream,
        Action::Export,
        "everything, as records that import takes back",
    ),
    route(Method::Post, "/api/v1/compact", Access::Read, BULK, Action::Compact, "merge the store's segments"),
    route(
        Method::Post,
        "/api/v1/backup",
        Access::Read,
        BULK,
        Action::Backup,
        "copy the store to the backups",
    ),
    route(
        Method::Get,
        "/api/v1/retention",
        Access::Read,
        QUERY,
        Action::Retention,
        "how long events are kept",
    ),
    route(Method::Put, "/api/v1/retention", Access::Read, BULK, Action::Retain, "change that, and apply it"),
    route(Method::Get, "/healthz", Access::Open, HEALTH, Action::Health, "whether records can be stored"),
    route(Method::Get, "/metrics", Access::Read, HEALTH, Action::Metrics, "counters for Prometheus"),
    page("/", Page::Overview, "page: how much there is"),
    page("/funnels", Page::Funnels, "page: funnels"),
    page("/cohorts", Page::Cohorts, "page: who came back"),
    page("/revenue", Page::Revenue, "page: what came in"),
    page("/experiments", Page::Experiments, "page: variants compared"),
    page("/trends", Page::Trends, "page: events over time"),
    page("/paths", Page::Paths, "page: the ways people take"),
    page("/people", Page::People, "page: a search"),
    page("/live", Page::Live, "page: what happens now"),
    page("/settings", Page::Settings, "page: the snippet, and what was refused"),
    page("/projects", Page::Projects, "page: all projects"),
    page("/people/{identity}", Page::Person, "page: one person"),
    page("/funnels/people", Page::List("funnel"), "page: the people behind a number"),
    page("/cohorts/people", Page::List("cohort"), "page: the people behind a number"),
    page("/revenue/people", Page::List("revenue"), "page: the people behind a number"),
    page("/trends/people", Page::List("trend"), "page: the people behind a number"),
    page("/paths/people", Page::List("paths"), "page: the people behind a number"),
    page("/lifecycle/people", Page::List("lifecycle"), "page: the people behind a number"),
    page("/people/{identity}/merge", Page::Merge, "page: what a merge would do"),
    page("/people/{identity}/unmerge", Page::Unmerge, "page: what an unmerge would do"),
    page("/people/{identity}/erase", Page::Erase, "page: what would be erased"),
    Route {
        class: BULK,
        ..change("/people/{identity}/erase", Change::Erase, "form: erase a person for good")
    },
    change("/people/{identity}/merge", Change::Merge, "form: join two people"),
    change("/people/{identity}/unmerge", Change::Unmerge, "form: take an identity out"),
    change("/reports", Change::SaveReport, "form: save a report"),
    change("/reports/delete", Change::DeleteReport, "form: delete one"),
    change("/reports/pin", Change::Pin, "form: pin one to the overview"),
    change("/reports/unpin", Change::Unpin, "form: take it off again"),
    change("/audiences", Change::SaveAudience, "form: save an audience"),
    change("/audiences/delete", Change::DeleteAudience, "form: delete one"),
    change("/shares", Change::Share, "form: make a link to a report"),
    change("/shares/delete", Change::EndShare, "form: end one"),
    change("/settings", Change::Settings, "form: time zone and week"),
    change("/sessions/end", Change::EndSessions, "form: end all other sessions"),
    change("/users", Change::AddUser, "form: give somebody access"),
    change("/users/role", Change::SetRole, "form: change what they may do"),
    change("/users/link", Change::NewLink, "form: make a link to choose a password"),
    change("/users/delete", Change::RemoveUser, "form: take somebody's access away"),
    change("/account/password", Change::OwnPassword, "form: change one's own password"),
    change("/projects", Change::CreateProject, "form: make a project"),
    change("/projects/name", Change::RenameProject, "form: give this one another name"),
    change("/events", Change::DescribeEvent, "form: say how pages show an event"),
    change("/demo", Change::Demo, "form: fill an empty store with generated data"),
    Route {
        class: QUERY,
        ..open("/shared/{token}", Method::Get, Action::Shared, "page: a report, for whoever has its link")
    },
    open("/login", Method::Get, Action::LoginPage, "page: log in"),
    open("/login", Method::Post, Action::Login, "begin a session"),
    open("/join", Method::Get, Action::JoinPage, "page: choose a password, for whoever has an invitation"),
    open("/join", Method::Post, Action::Join, "choose it, and begin a session"),
    open("/logout", Method::Post, Action::Logout, "end it"),
    open("/assets/{name}", Method::Get, Action::Asset, "what pages are made of"),
];

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
