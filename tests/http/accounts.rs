//! Accounts as their holders and attackers meet them: invitations, passwords, roles on every route, and what ends sessions.

use std::cell::Cell;

use whodid::app::Role;
use whodid::http::message::Method;
use whodid::http::router::{Access, Action, Found, ROUTES, find};

use super::pages::{FORM, OWN, log_in, post};
use super::projects::create;
use super::{fresh, history};
use crate::support::{API_KEY, Reply, Server, WRITE_KEY, run};

const PASSWORD: &str = "a long enough one";

fn encoded(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

pub fn get(server: &Server, target: &str, session: &str) -> Reply {
    server.client().send("GET", target, &[("Cookie", session)], b"")
}

/// Sends a form of a page of ours with a session.
pub fn send(server: &Server, session: &str, target: &str, pairs: &[(&str, &str)]) -> Reply {
    post(server, target, &[FORM, OWN, ("Cookie", session)], &encoded(pairs))
}

fn cookie(reply: &Reply) -> Option<String> {
    Some(reply.header("set-cookie")?.split(';').next()?.to_owned())
}

/// The token of the link on a page.
fn token(page: &str) -> String {
    let behind = page.split("/join?token=").nth(1).unwrap_or_else(|| panic!("no link: {page}"));
    behind.split(['"', '<', '\n']).next().unwrap().to_owned()
}

/// Gives somebody access to a project, or to all; their session.
pub fn joined(server: &Server, owner: &str, email: &str, role: &str, project: &str) -> String {
    let pairs = [("email", email), ("role", role), ("project", project)];
    let page = send(server, owner, "/users", &pairs).text();
    let token = token(&page);
    let reply = post(server, "/join", &[FORM], &encoded(&[("token", &token), ("password", PASSWORD)]));
    assert_eq!(reply.status, 303, "{}", reply.text());
    cookie(&reply).unwrap()
}

#[test]
fn somebody_is_invited_logs_in_and_is_removed() {
    let (dir, server) = behind_proxy();
    // Each try comes from another address: none of them is a guess.
    let addresses = Cell::new(0);
    let enter = |path: &str, pairs: &[(&str, &str)]| {
        addresses.set(addresses.get() + 1);
        let from = format!("203.0.113.{}", addresses.get());
        post(&server, path, &[FORM, ("X-Forwarded-For", &from)], &encoded(pairs))
    };
    let owner = log_in(&server);
    let page = send(&server, &owner, "/users", &[("email", "Jane@Example.com"), ("role", "editor")]).text();
    let invitation = token(&page);
    let stored = || std::fs::read_to_string(server.data.join("accounts.json")).unwrap();
    assert!(!stored().contains(&invitation) && stored().contains("jane@example.com"));
    let try_in = |password: &str| enter("/login", &[("email", "jane@example.com"), ("password", password)]);
    assert_eq!(try_in("").status, 401, "there is no password yet");
    let look = server.client().open(format!("/join?token={invitation}"));
    assert!(look.status == 200 && look.text().contains("jane@example.com"), "{}", look.text());
    assert_eq!(server.client().open("/join?token=x").status, 404);
    let join = |password: &str| enter("/join", &[("token", &invitation), ("password", password)]);
    assert_eq!(join("short").status, 422);
    let first = cookie(&join(PASSWORD)).unwrap();
    assert_eq!(join(PASSWORD).status, 404, "a link works once");
    assert!(!stored().contains(PASSWORD) && stored().contains("$argon2id$v=19$m=19456,t=2,p=1$"));
    let (unknown, wrong) =
        (enter("/login", &[("email", "eve@example.com"), ("password", PASSWORD)]), try_in("wrong password"));
    assert_eq!((unknown.status, unknown.text()), (401, wrong.text()), "nobody learns who has an account");
    let second = cookie(&try_in(PASSWORD)).unwrap();
    assert!(get(&server, "/settings", &second).text().contains("You are <b>jane@example.com</b>, editor."));
    // A new password ends the other sessions of its holder, and nobody else's.
    let change = |present: &str| {
        send(&server, &second, "/account/password", &[("present", present), ("password", "another long one")])
    };
    assert_eq!(change("guessed").status, 422);
    assert_eq!(change(PASSWORD).status, 303);
    assert_eq!([&first, &second, &owner].map(|s| get(&server, "/settings", s).status), [303, 200, 200]);
    assert_eq!(try_in(PASSWORD).status, 401);
    send(&server, &owner, "/users/role", &[("email", "jane@example.com"), ("role", "viewer")]);
    assert!(get(&server, "/settings", &second).text().contains("viewer."), "a role changes at once");
    let gone = [("email", "jane@example.com"), ("confirm", "1")];
    assert_eq!(send(&server, &owner, "/users/delete", &gone).status, 303);
    assert_eq!(get(&server, "/settings", &second).status, 303, "and access ends at once");
    assert_eq!(try_in("another long one").status, 401);
    drop(server);
    drop(dir);
}

/// A server on an empty store that believes what the tests say of where they come from.
fn behind_proxy() -> (tempfile::TempDir, Server) {
    let dir = tempfile::tempdir().unwrap();
    let variables = [("WHODID_API_KEY", API_KEY), ("WHODID_WRITE_KEY", WRITE_KEY)];
    let (server, _) = Server::start_behind("127.0.0.1", &dir.path().join("store"), &variables);
    (dir, server)
}

#[test]
fn a_cookie_is_for_the_way_that_a_trusted_proxy_tells() {
    let entered = |server: &Server, headers: &[(&str, &str)]| {
        let reply = post(server, "/login", &[&[FORM], headers].concat(), &format!("key={API_KEY}"));
        reply.header("set-cookie").unwrap().to_owned()
    };
    let (_dir, server) = behind_proxy();
    let by_tls = [("X-Forwarded-For", "203.0.113.5"), ("X-Forwarded-Proto", "https")];
    let ends = |cookie: &str, secure: bool| {
        let attributes: Vec<_> = cookie.split("; ").skip(1).collect();
        let known = ["Path=/", "HttpOnly", "SameSite=Strict", "Max-Age=43200", "Secure"];
        assert_eq!(attributes, known[..if secure { 5 } else { 4 }], "{cookie}");
    };
    ends(&entered(&server, &by_tls), true);
    ends(&entered(&server, &by_tls[..1]), false);
    ends(&entered(&server, &[by_tls[0], ("X-Forwarded-Proto", "http")]), false);
    // From anybody else it says nothing.
    let (_dir, server) = fresh();
    ends(&entered(&server, &by_tls), false);
}

#[test]
fn an_account_that_is_gone_leaves_no_session_to_the_next_of_its_name() {
    let (_dir, server) = fresh();
    let owner = log_in(&server);
    create(&server, &owner, "Shop");
    let viewer = joined(&server, &owner, "jane@example.com", "viewer", "2");
    assert_eq!(get(&server, "/p/2/settings", &viewer).status, 200);
    let gone = send(&server, &owner, "/projects/delete", &[("project", "2"), ("confirm", "Shop")]);
    assert_eq!(gone.status, 303, "{}", gone.text());
    let pairs = [("email", "jane@example.com"), ("role", "owner")];
    let link = token(&send(&server, &owner, "/users", &pairs).text());
    let looks = || get(&server, "/settings", &viewer).status;
    assert_eq!(looks(), 303);
    let reply = post(&server, "/join", &[FORM], &encoded(&[("token", &link), ("password", PASSWORD)]));
    assert_eq!(get(&server, "/settings", &cookie(&reply).unwrap()).status, 200);
    assert_eq!(looks(), 303, "with the same password");
}

#[test]
fn guessing_is_slow_for_the_guesser_and_for_nobody_else() {
    let (_dir, server) = behind_proxy();
    let try_from = |address: &str, key: &str| {
        post(&server, "/login", &[FORM, ("X-Forwarded-For", address)], &format!("key={key}"))
    };
    let tries: Vec<u16> = (0..7).map(|n| try_from("203.0.113.5", &format!("guess{n}")).status).collect();
    assert_eq!(tries, [401, 401, 401, 401, 401, 429, 429]);
    let refused = try_from("203.0.113.5", API_KEY);
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("60")));
    assert_eq!(try_from("203.0.113.6", API_KEY).status, 303, "others are not kept waiting");
    // Who has a way in gets no more guesses by it.
    let tries =
        ["a", "b", "c", "d", API_KEY, API_KEY, "e", "f", API_KEY].map(|key| try_from("203.0.113.7", key));
    assert_eq!(tries.map(|reply| reply.status), [401, 401, 401, 401, 303, 303, 401, 429, 429]);
    // Nor does who has somebody's session.
    let owner = log_in(&server);
    let jane = joined(&server, &owner, "jane@example.com", "viewer", "");
    let change = |present: &str, address: &str| {
        let headers = [FORM, OWN, ("Cookie", jane.as_str()), ("X-Forwarded-For", address)];
        let body = encoded(&[("present", present), ("password", "another long one")]);
        post(&server, "/account/password", &headers, &body).status
    };
    let tries = ["a", "b", "c", "d", "e", "f", PASSWORD].map(|present| change(present, "203.0.113.8"));
    assert_eq!(tries, [422, 422, 422, 422, 422, 429, 429]);
    assert_eq!(change(PASSWORD, "203.0.113.9"), 303);
}

#[test]
fn another_password_ends_the_sessions_of_its_account_alone() {
    let (_dir, server) = fresh();
    let by_key = log_in(&server);
    let viewer = joined(&server, &by_key, "viewer@example.com", "viewer", "");
    let other = joined(&server, &by_key, "owner@example.com", "owner", "");
    let pairs = [("email", "owner@example.com"), ("password", PASSWORD)];
    let owner = cookie(&post(&server, "/login", &[FORM], &encoded(&pairs))).unwrap();
    let change = [("present", PASSWORD), ("password", "another long one")];
    assert_eq!(send(&server, &owner, "/account/password", &change).status, 303);
    let alive =
        || [&by_key, &viewer, &other, &owner].map(|session| get(&server, "/settings", session).status);
    assert_eq!(alive(), [200, 200, 303, 200]);
    // Who owns the server can end all of them.
    assert_eq!(send(&server, &owner, "/sessions/end", &[]).status, 303);
    assert_eq!(alive(), [303, 303, 303, 200]);
}

#[test]
fn every_route_that_changes_anything_asks_for_a_role() {
    let (_dir, server) = fresh();
    server.import(&history());
    let owner = log_in(&server);
    let viewer = joined(&server, &owner, "viewer@example.com", "viewer", "");
    let editor = joined(&server, &owner, "editor@example.com", "editor", "");
    let mut seen = 0;
    for route in ROUTES.iter().filter(|r| matches!(r.access, Access::Session | Access::Read)) {
        // Streams that go on for ever need no body to be refused, but would be to be allowed.
        if matches!(route.action, Action::Live | Action::Compact) {
            continue;
        }
        let target = route
            .pattern
            .replace("{identity}", "nobody")
            .replace("{name}", "N")
            .replace("{token}", "t")
            .replace("{project}", "9");
        for (session, role) in [(&viewer, Role::Viewer), (&editor, Role::Editor)] {
            let headers = [("Cookie", session.as_str()), OWN, FORM];
            let reply = server.client().send(route.method.name(), &target, &headers, b"");
            let refused = reply.status == 403;
            assert_eq!(
                refused,
                role < route.role(),
                "{} {target} for {role:?}: {}",
                route.method.name(),
                reply.text()
            );
            seen += u32::from(refused);
        }
    }
    assert!(seen >= 20, "{seen}");
    // What the roles are is written down once more here: who adds a route must think of it.
    for route in ROUTES.iter().filter(|r| r.method != Method::Get && r.access == Access::Session) {
        let least = match route.pattern {
            "/account/password" | "/sessions/end" => Role::Viewer,
            p if p.starts_with("/reports") || p.starts_with("/audiences") || p.starts_with("/shares") => {
                Role::Editor
            }
            "/events" | "/settings" | "/people/{identity}/merge" | "/people/{identity}/unmerge" => {
                Role::Editor
            }
            _ => Role::Owner,
        };
        assert_eq!(route.role(), least, "{}", route.pattern);
    }
    let page = get(&server, "/funnels?step=Visited&step=Paid", &viewer).text();
    assert!(
        page.contains("Visited") && !page.contains("Save report") && !page.contains("Make a link"),
        "{page}"
    );
    assert!(get(&server, "/funnels?step=Visited&step=Paid", &editor).text().contains("Save report"));
    assert!(!get(&server, "/settings", &editor).text().contains("Give access"));
    assert!(get(&server, "/settings", &owner).text().contains("Give access"));
    // Nobody gives access from another page, or with the form of an old session.
    let body = encoded(&[("email", "eve@example.com"), ("role", "owner")]);
    assert_eq!(post(&server, "/users", &[FORM, ("Cookie", &owner)], &body).status, 403);
    assert_eq!(post(&server, "/users", &[FORM, OWN, ("Cookie", &editor)], &body).status, 403);
}

#[test]
fn the_command_line_lets_a_locked_out_owner_in() {
    let (dir, server) = fresh();
    let data = server.data.clone();
    let add =
        |data: &std::path::Path| run(data, &["user", "add", "Jane@example.com", "--role", "owner"], b"");
    let held = add(&data);
    assert_eq!(held.status.code(), Some(1), "a server runs");
    assert!(String::from_utf8_lossy(&held.stderr).contains("stop it first"));
    server.stop();
    let printed = String::from_utf8(add(&data).stdout).unwrap();
    assert_eq!(run(&data, &["user", "add", "x@y", "--role", "king"], b"").status.code(), Some(2));
    let listed = run(&data, &["user", "list"], b"").stdout;
    assert_eq!(String::from_utf8(listed).unwrap(), "owner   jane@example.com  (no password yet)\n");
    let server = Server::start(&data);
    let body = encoded(&[("token", &token(&printed)), ("password", PASSWORD)]);
    let session = cookie(&post(&server, "/join", &[FORM], &body)).unwrap();
    assert!(get(&server, "/settings", &session).text().contains("Give access"));
    server.stop();
    let printed =
        String::from_utf8(run(&data, &["user", "password", "jane@example.com"], b"").stdout).unwrap();
    let server = Server::start(&data);
    let again = encoded(&[("token", &token(&printed)), ("password", "another long one")]);
    assert_eq!(post(&server, "/join", &[FORM], &again).status, 303);
    server.stop();
    assert!(run(&data, &["user", "remove", "jane@example.com"], b"").status.success());
    assert_eq!(run(&data, &["user", "list"], b"").stdout, b"");
    drop(dir);
}

/// Where the forms of a page send what they change.
fn forms(page: &str) -> Vec<String> {
    let tags = page.split("<form ").skip(1).map(|form| form.split('>').next().unwrap());
    let sent = tags.filter(|tag| tag.contains("method=\"post\""));
    sent.map(|tag| tag.split("action=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()).collect()
}

#[test]
fn nobody_is_offered_what_would_be_refused() {
    let (_dir, server) = fresh();
    server.import(&history());
    let owner = log_in(&server);
    send(&server, &owner, "/projects", &[("name", "Shop")]);
    let saved =
        [("name", "R"), ("report", "funnel"), ("query", r#"{"steps":[{"event":"Paid"}]}"#), ("pinned", "1")];
    send(&server, &owner, "/reports", &saved);
    send(&server, &owner, "/audiences", &[("name", "A"), ("people", r#"{"did":"Paid"}"#)]);
    send(&server, &owner, "/shares", &[("address", "/funnels?step=Paid")]);
    send(&server, &owner, "/keys", &[("name", "K"), ("scope", "read")]);
    send(&server, &owner, "/retention", &[("event", "Nothing"), ("days", "30")]);
    send(&server, &owner, "/people/person1%40example.com/merge", &[("into", "person2@example.com")]);
    let pages = [
        "/",
        "/p/2/",
        "/funnels?step=Visited&step=Paid",
        "/people?people=%7B%22did%22%3A%22Paid%22%7D",
        "/people/person1%40example.com",
        "/people/person1%40example.com/merge?into=person3%40example.com",
        "/people/person1%40example.com/unmerge",
        "/people/person1%40example.com/erase",
        "/live",
        "/settings?describe=Paid",
        "/p/2/settings",
        "/projects",
        "/p/1/projects/delete?project=2",
    ];
    let mut offered = Vec::new();
    for role in [Role::Viewer, Role::Editor, Role::Owner] {
        let session = joined(&server, &owner, &format!("{}@example.com", role.name()), role.name(), "");
        let mut all = 0;
        for page in pages {
            let reply = get(&server, page, &session);
            let text = reply.text();
            assert!(reply.status == 200 || role < Role::Owner && reply.status == 403, "{page}: {text}");
            for action in forms(&text) {
                let path = action.split('?').next().unwrap();
                let Found::Route(route) = find(Method::Post, path) else {
                    panic!("{page} sends to {action}")
                };
                assert!(
                    route.access == Access::Open || role >= route.role(),
                    "{page} offers {action} to {role:?}"
                );
                all += 1;
            }
            for link in text.split(" href=\"/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
                let path = format!("/{}", link.split(['?', '#']).next().unwrap());
                let Found::Route(route) = find(Method::Get, &path) else { panic!("{page} leads to {path}") };
                assert!(
                    route.access == Access::Open || role >= route.role(),
                    "{page} leads {role:?} to {path}"
                );
            }
        }
        offered.push(all);
    }
    assert!(offered.is_sorted_by(|less, more| less < more), "who may more is offered more: {offered:?}");
}
