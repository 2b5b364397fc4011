//! Requests find their routes, and only those are open to everybody that must be.

use super::*;

fn action(method: Method, path: &str) -> Option<Action> {
    match find(method, path) {
        Found::Route(route) => Some(route.action),
        _ => None,
    }
}

#[test]
fn paths_find_their_routes() {
    assert_eq!(action(Method::Get, "/e"), Some(Action::TrackEvent));
    assert_eq!(action(Method::Head, "/healthz"), Some(Action::Health));
    assert_eq!(action(Method::Get, "/"), Some(Action::Page(Page::Overview)));
    assert_eq!(action(Method::Post, "/api/v1/people/a%2Fb/merge"), Some(Action::Merge));
    for script in ["/i.js", "/wk_1.2.js", "/wk_1.1.js"] {
        assert_eq!(action(Method::Get, script), Some(Action::Script), "{script}");
    }
    for none in ["/.js", "/app.js", "/.2.js", "/e/", "//e", "/E", "/api/v1/people/", "/api/v1/people/a/b", ""]
    {
        assert_eq!(action(Method::Get, none), None, "{none}");
    }
}

#[test]
fn the_variable_part_is_decoded_after_matching() {
    let Found::Route(route) = find(Method::Get, "/api/v1/people/jane%40x%2Fy/events") else {
        panic!("no route")
    };
    assert_eq!(route.parameter("/api/v1/people/jane%40x%2Fy/events").unwrap(), "jane@x/y");
    assert_eq!(route.parameter("/api/v1/people/%ff/events").unwrap_err().code(), "bad_path");
}

#[test]
fn a_wrong_method_names_the_right_ones() {
    let Found::WrongMethod(routes) = find(Method::Delete, "/e") else { panic!("found") };
    assert_eq!(allow(&routes), "GET, HEAD, POST, OPTIONS");
    assert!(matches!(find(Method::Get, "/nowhere"), Found::Nothing));
}

#[test]
fn only_scripts_tracking_and_import_are_open_to_other_origins() {
    for route in &ROUTES {
        let writes = matches!(route.access, Access::Write | Access::WriteOrRead);
        assert_eq!(
            route.cross_origin,
            writes || matches!(route.action, Action::Script | Action::SegmentSettings),
            "{}",
            route.pattern
        );
        assert!(!route.doc.is_empty() && route.pattern.starts_with('/'));
    }
}
