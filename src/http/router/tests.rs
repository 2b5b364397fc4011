//! Paths find their routes, and nothing else does.

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
fn a_path_may_name_a_project() {
    for (path, number, rest) in [
        ("/p/2/funnels", Some(2), "/funnels"),
        ("/p/12/", Some(12), "/"),
        ("/p/2//e", Some(2), "//e"),
        ("/p/02/", None, "/p/02/"),
        ("/p/+2/", None, "/p/+2/"),
        ("/p/2", None, "/p/2"),
        ("/p/99999999999/", None, "/p/99999999999/"),
        ("/people", None, "/people"),
    ] {
        assert_eq!(split(path), (number, rest), "{path}");
    }
    assert_eq!(action(Method::Get, "/p/2/"), Some(Action::Page(Page::Overview)));
    assert_eq!(action(Method::Get, "/p/2/people/x"), Some(Action::Page(Page::Person)));
    for none in ["/p/2/e", "/p/2/i.js", "/p/2/p/3/", "/p/2", "/p/x/"] {
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
    assert_eq!(allow(&routes), "GET, POST, OPTIONS");
    let Found::WrongMethod(routes) = find(Method::Head, "/e") else { panic!("HEAD would record") };
    assert_eq!(allow(&routes), "GET, POST, OPTIONS");
    let Found::WrongMethod(routes) = find(Method::Delete, "/healthz") else { panic!("found") };
    assert_eq!(allow(&routes), "GET, HEAD, OPTIONS");
    assert!(matches!(find(Method::Get, "/nowhere"), Found::Nothing));
}

#[test]
fn only_scripts_tracking_and_import_are_open_to_other_origins() {
    for route in &ROUTES {
        let writes = matches!(route.access, Access::Write | Access::WriteOrRead);
        assert_eq!(
            route.cross_origin,
            writes
                || matches!(route.action, Action::Script | Action::SegmentSettings | Action::MobileSettings),
            "{}",
            route.pattern
        );
        assert!(!route.doc.is_empty() && route.pattern.starts_with('/'));
    }
}
