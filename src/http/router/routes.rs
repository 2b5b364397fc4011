//! The routes themselves, in the order in which the documents list them.

use super::{Access, Action, Class, Pool, Route, SCRIPT_PATH};
use crate::app::saved::SavedKind;
use crate::http::message::Method;
use crate::http::pages::{Change, Page};
use crate::transfer::segment::Kind;

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

/// Every route there is.
pub static ROUTES: [Route; 141] = [
    tracking(Method::Get, "/e", Action::TrackEvent, "record an event"),
    tracking(Method::Post, "/e", Action::TrackEvent, "record an event"),
    tracking(Method::Get, "/s", Action::TrackSet, "set properties of a person"),
    tracking(Method::Post, "/s", Action::TrackSet, "set properties of a person"),
    tracking(Method::Get, "/a", Action::TrackAlias, "say that two identities are one person"),
    tracking(Method::Post, "/a", Action::TrackAlias, "say that two identities are one person"),
    segment("/v1/track", Some(Kind::Track), "a track message of a Segment client"),
    segment("/v1/t", Some(Kind::Track), "the same, as browsers send it"),
    segment("/v1/identify", Some(Kind::Identify), "an identify message of a Segment client"),
    segment("/v1/i", Some(Kind::Identify), "the same, as browsers send it"),
    segment("/v1/alias", Some(Kind::Alias), "an alias message of a Segment client"),
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
    Route {
        cross_origin: true,
        ..open("/m/trk", Method::Get, Action::MobileSettings, "where a Kissmetrics client in an app sends to")
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
        "everything, or all of a person, as records that import takes back",
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
        "/api/v1/projects",
        Access::Read,
        QUERY,
        Action::Projects,
        "the projects and how much there is in each",
    ),
    route(
        Method::Delete,
        "/api/v1/projects/{project}",
        Access::Read,
        BULK,
        Action::DeleteProject,
        "delete one with everything in it",
    ),
    route(Method::Get, "/api/v1/keys", Access::Read, QUERY, Action::Keys, "the keys beside the first two"),
    route(Method::Post, "/api/v1/keys", Access::Read, WRITE, Action::AddKey, "make a key"),
    route(Method::Delete, "/api/v1/keys/{name}", Access::Read, WRITE, Action::RemoveKey, "take a key away"),
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
    page("/settings", Page::Settings, "page: keys, projects, access, and what was refused"),
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
    change("/settings", Change::Settings, "form: time zone, week, robots and words for nobody"),
    change("/sessions/end", Change::EndSessions, "form: end all other sessions"),
    change("/users", Change::AddUser, "form: give somebody access"),
    change("/users/role", Change::SetRole, "form: change what they may do"),
    change("/users/link", Change::NewLink, "form: make a link to choose a password"),
    change("/users/delete", Change::RemoveUser, "form: take somebody's access away"),
    change("/account/password", Change::OwnPassword, "form: change one's own password"),
    change("/projects", Change::CreateProject, "form: make a project"),
    change("/projects/name", Change::RenameProject, "form: give this one another name"),
    page("/projects/delete", Page::DeleteProject, "page: what would be gone with a project"),
    change("/projects/delete", Change::DeleteProject, "form: delete one with everything in it"),
    change("/keys", Change::CreateKey, "form: make a key"),
    change("/keys/replace", Change::ReplaceKey, "form: make another API key in the place of the first"),
    change("/keys/delete", Change::RevokeKey, "form: end a key"),
    Route { class: BULK, ..change("/retention", Change::Retain, "form: change how long events are kept") },
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
