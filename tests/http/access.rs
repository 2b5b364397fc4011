//! Every route for everybody who may come with a key, without one or with a session. Who adds a route says here whom it is for.

use whodid::http::router::{Access, Action, ROUTES, Route};

use super::accounts::joined;
use super::fresh;
use super::pages::{FORM, OWN, log_in};
use super::projects::create;
use crate::support::{API_KEY, Reply, Server, WRITE_KEY};

/// Routes with their methods before them, by whom they are for.
const OPEN: &str = "
    GET /v1/projects/{key}/settings /m/trk /i.js /{key}.2.js /{key}.1.js /healthz /shared/{token} /login
    GET /join /assets/{name}
    POST /login /join /logout";
const SENDS: &str = "
    GET /e /s /a
    POST /e /s /a /v1/track /v1/t /v1/identify /v1/i /v1/alias /v1/a /v1/page /v1/p /v1/screen /v1/s
    POST /v1/group /v1/g /v1/batch /v1/b /v1/import /beacon/v1/batch";
const IMPORTS: &str = "
    POST /api/v1/import";
const READS: &str = "
    POST /api/v1/funnel /api/v1/funnel/people /api/v1/cohort /api/v1/cohort/people /api/v1/paths
    POST /api/v1/paths/people /api/v1/revenue /api/v1/revenue/people /api/v1/people /api/v1/trend
    POST /api/v1/trend/people /api/v1/lifecycle /api/v1/lifecycle/people
    GET /api/v1/funnel /api/v1/funnel/people /api/v1/cohort /api/v1/cohort/people /api/v1/paths
    GET /api/v1/paths/people /api/v1/revenue /api/v1/revenue/people /api/v1/people /api/v1/trend
    GET /api/v1/trend/people /api/v1/lifecycle /api/v1/lifecycle/people /api/v1/people/{identity}
    GET /api/v1/people/{identity}/events /api/v1/audiences /api/v1/audiences/{name} /api/v1/reports
    GET /api/v1/reports/{name} /api/v1/events /api/v1/properties /api/v1/properties/{name}/values
    GET /api/v1/refusals /api/v1/live /api/v1/stats /api/v1/export /api/v1/projects /api/v1/keys
    GET /api/v1/retention /metrics";
const CHANGES: &str = "
    DELETE /api/v1/people/{identity} /api/v1/audiences/{name} /api/v1/reports/{name}
    DELETE /api/v1/projects/{project} /api/v1/keys/{name}
    POST /api/v1/people/{identity}/merge /api/v1/people/{identity}/unmerge /api/v1/compact /api/v1/backup
    POST /api/v1/keys
    PUT /api/v1/audiences/{name} /api/v1/reports/{name} /api/v1/retention";
const LOOKS: &str = "
    GET / /funnels /cohorts /revenue /experiments /trends /paths /people /live /settings /projects
    GET /people/{identity} /funnels/people /cohorts/people /revenue/people /trends/people /paths/people
    GET /lifecycle/people /people/{identity}/merge /people/{identity}/unmerge
    POST /sessions/end /account/password";
const PAGES_CHANGE: &str = "
    GET /people/{identity}/erase /projects/delete
    POST /people/{identity}/erase /people/{identity}/merge /people/{identity}/unmerge /reports
    POST /reports/delete /reports/pin /reports/unpin /audiences /audiences/delete /shares /shares/delete
    POST /settings /users /users/role /users/link /users/delete /projects /projects/name /projects/delete
    POST /keys /keys/replace /keys/delete /retention /events /demo";

/// The callers, in this order, and what becomes of each: `in`, or the code of the refusal; `login` is the way to that page.
const CALLERS: [&str; 7] =
    ["nobody", "unknown", "write key", "reading key", "key of another", "viewer", "API key"];
const LISTED: [(&str, Access, [&str; 7]); 7] = [
    (OPEN, Access::Open, ["in"; 7]),
    (SENDS, Access::Write, ["no_key", "unknown_key", "in", "wrong_key", "wrong_key", "no_key", "wrong_key"]),
    // Into the project of the key that it is sent with.
    (IMPORTS, Access::WriteOrRead, ["no_key", "unknown_key", "in", "wrong_key", "in", "no_key", "in"]),
    (READS, Access::Read, ["no_key", "unknown_key", "wrong_key", "in", "unknown_key", "in", "in"]),
    (
        CHANGES,
        Access::Manage,
        ["no_key", "unknown_key", "wrong_key", "wrong_key", "unknown_key", "role", "in"],
    ),
    (LOOKS, Access::Session, ["login", "login", "login", "login", "login", "in", "login"]),
    (PAGES_CHANGE, Access::Session, ["login", "login", "login", "login", "login", "role", "login"]),
];

/// What is listed of a route; a panic if it is not, or twice.
fn listed(route: &Route) -> (Access, [&'static str; 7]) {
    let is_in = |list: &str| {
        list.lines().any(|line| {
            let mut words = line.split_whitespace();
            words.next() == Some(route.method.name()) && words.any(|pattern| pattern == route.pattern)
        })
    };
    let found: Vec<_> = LISTED.iter().filter(|(list, ..)| is_in(list)).collect();
    assert_eq!(found.len(), 1, "whom is {} {} for?", route.method.name(), route.pattern);
    (found[0].1, found[0].2)
}

fn address(route: &Route, caller: &str) -> String {
    let path = route.pattern.replace("{identity}", "nobody").replace("{name}", "N").replace("{project}", "9");
    let path = path.replace("{token}", "t").replace("{key}", WRITE_KEY);
    // Without a project in its path, a question goes to that of the key.
    let base = if caller == "key of another" && !route.cross_origin { "/p/1" } else { "" };
    let query = match route.action {
        // It would go on for ever.
        Action::Live => "?since=x",
        Action::TrackEvent | Action::TrackSet | Action::TrackAlias => "?_debug=1",
        _ => "",
    };
    format!("{base}{path}{query}")
}

/// What became of a request.
fn verdict(reply: &Reply) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(&reply.body).ok();
    let code = json.as_ref().and_then(|json| json["error"]["code"].as_str()).unwrap_or_default();
    match (reply.status, code) {
        (303, _) if reply.header("location").is_some_and(|to| to.starts_with("/login?next=")) => {
            "login".to_owned()
        }
        (403, "") => "role".to_owned(),
        (401 | 403, code) if !code.is_empty() => code.to_owned(),
        _ => "in".to_owned(),
    }
}

/// What each caller has with it.
fn credentials(server: &Server) -> Vec<(&'static str, String)> {
    let owner = log_in(server);
    let reading = server.post("/api/v1/keys", r#"{"name":"reads","scope":"read"}"#).json()["key"].clone();
    let (_, other) = create(server, &owner, "Other");
    let bearer = |key: &str| format!("Bearer {key}");
    vec![
        ("X-Nothing", "1".to_owned()),
        ("Authorization", bearer("guess")),
        ("Authorization", bearer(WRITE_KEY)),
        ("Authorization", bearer(reading.as_str().unwrap())),
        ("Authorization", bearer(&other)),
        ("Cookie", joined(server, &owner, "viewer@example.com", "viewer", "")),
        ("Authorization", bearer(API_KEY)),
    ]
}

#[test]
fn every_route_with_every_key() {
    let (_dir, server) = fresh();
    let credentials = credentials(&server);
    let lists = LISTED.iter().flat_map(|(list, ..)| list.lines());
    let words: usize = lists.map(|line| line.split_whitespace().count().saturating_sub(1)).sum();
    assert_eq!(words, ROUTES.len(), "what is listed is there");
    let mut wrong = Vec::new();
    for route in &ROUTES {
        let (access, expected) = listed(route);
        let what = format!("{} {}", route.method.name(), route.pattern);
        assert_eq!(route.needs(), access, "{what}");
        for ((caller, (header, value)), expected) in CALLERS.iter().zip(&credentials).zip(expected) {
            let mut headers = vec![(*header, value.as_str())];
            if *caller == "viewer" {
                headers.extend([OWN, FORM]);
            }
            let reply = server.client().send(route.method.name(), address(route, caller), &headers, b"");
            let found = verdict(&reply);
            if found != expected {
                wrong.push(format!("{what} for {caller}: {found}, not {expected} ({})", reply.status));
            }
            if matches!(access, Access::Read | Access::Manage | Access::Session) {
                let cached = reply.headers.iter().filter(|(name, _)| name == "cache-control");
                let cached: Vec<_> = cached.map(|(_, value)| value.as_str()).collect();
                assert_eq!(cached, ["no-store"], "{what} for {caller}");
            }
            if ["no_key", "unknown_key", "wrong_key"].contains(&found.as_str()) {
                assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{what}");
                let told = route.access != Access::Write;
                assert!(
                    !told || reply.header("www-authenticate").is_some() == (reply.status == 401),
                    "{what}"
                );
                let key = value.trim_start_matches("Bearer ");
                assert!(key == "1" || !reply.text().contains(key), "no key comes back: {what}");
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
