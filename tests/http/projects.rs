//! Several projects in one server: each with a store and keys of its own, and nobody sees another's.

use super::accounts::{get, joined, send};
use super::pages::{FORM, OWN, log_in, post};
use super::{fresh, history};
use crate::support::{API_KEY, Reply, Server, WRITE_KEY, run};

/// Makes a project from the page; its write key and its API key.
pub fn create(server: &Server, owner: &str, name: &str) -> (String, String) {
    let page = send(server, owner, "/projects", &[("name", name)]);
    assert_eq!(page.status, 200, "{}", page.text());
    let text = page.text();
    let api = text.split("<code>rk_").nth(1).unwrap().split('<').next().unwrap();
    let write = text.split("_kmk = _kmk || '").nth(1).unwrap().split('\'').next().unwrap();
    (write.to_owned(), format!("rk_{api}"))
}

fn events(server: &Server, key: &str) -> Vec<String> {
    let authorization = format!("Bearer {key}");
    let reply = server.client().send("GET", "/api/v1/events", &[("Authorization", &authorization)], b"");
    assert_eq!(reply.status, 200, "{}", reply.text());
    let mut names: Vec<String> = reply.json()["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["event"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_record_goes_to_the_project_of_its_key() {
    let (dir, server) = fresh();
    let owner = log_in(&server);
    let (write, api) = create(&server, &owner, "<i>Shop");
    let mut client = server.client();
    client.open(format!("/e?_k={WRITE_KEY}&_p=a&_n=First"));
    client.open(format!("/e?_k={write}&_p=a&_n=Tracked"));
    let form = format!("_k={write}&_p=a&_n=Posted");
    client.send("POST", "/e", &[FORM], form.as_bytes());
    let authorization = format!("Bearer {write}");
    let line = br#"{"type":"event","person":"b","event":"Imported","time":"2025-03-01T10:00:00Z"}"#;
    let imported = client.send("POST", "/api/v1/import", &[("Authorization", &authorization)], line);
    assert_eq!(imported.json()["accepted"], 1);
    let message = format!(r#"{{"writeKey":"{write}","type":"track","userId":"c","event":"Segmented"}}"#);
    assert_eq!(client.send("POST", "/v1/track", &[], message.as_bytes()).json()["success"], true);
    client.open("/e?_k=unknown&_p=a&_n=Lost");
    assert_eq!(client.open(format!("/{write}.2.js")).status, 200);
    assert_eq!(events(&server, API_KEY), ["First"]);
    let shop = ["Imported", "Posted", "Segmented", "Tracked"];
    assert_eq!(events(&server, &api), shop);
    assert_eq!(
        server.get("/api/v1/refusals")["counts"]["unknown_key"],
        1,
        "the first tells of what is nobody's"
    );
    // The key of one is nothing in another; a path that names a project is for its keys only.
    for (target, key, status) in [
        ("/p/2/api/v1/events", api.as_str(), 200),
        ("/p/2/api/v1/events", API_KEY, 401),
        ("/p/1/api/v1/events", &api, 401),
        ("/p/3/api/v1/events", API_KEY, 404),
        ("/p/2/e?_p=a&_n=X", &write, 404),
        ("/api/v1/events", &write, 403),
    ] {
        let authorization = format!("Bearer {key}");
        let reply = client.send("GET", target, &[("Authorization", &authorization)], b"");
        assert_eq!(reply.status, status, "{target} {}", reply.text());
    }
    // Whoever owns the server hears of all, whoever has one of that.
    let heard = |key: &str| {
        let authorization = format!("Bearer {key}");
        let text = server.client().send("GET", "/metrics", &[("Authorization", &authorization)], b"").text();
        [1, 2].map(|id| text.contains(&format!("whodid_silent{{project=\"{id}\"}} 0")))
    };
    assert_eq!((heard(API_KEY), heard(&api)), ([true, true], [false, true]));
    assert_eq!(client.open("/healthz").status, 200);
    server.stop();
    // A project is a store of its own for every command, and is served again after a restart.
    let own = dir.path().join("store/projects/2");
    let listed = String::from_utf8(run(&own, &["events", "--json"], b"").stdout).unwrap();
    assert!(shop.iter().all(|name| listed.contains(name)) && !listed.contains("First"), "{listed}");
    let server = Server::start(&dir.path().join("store"));
    assert_eq!(events(&server, &api), shop);
    let owner = log_in(&server);
    let page = get(&server, "/p/2/", &owner).text();
    assert!(page.contains("&lt;i&gt;Shop") && !page.contains("<i>Shop"), "{page}");
}

#[test]
fn pages_stay_in_their_project() {
    let (_dir, server) = fresh();
    server.import(&history());
    let owner = log_in(&server);
    let (write, _) = create(&server, &owner, "Shop");
    server.client().open(format!("/e?_k={write}&_p=jane&_n=Bought"));
    for target in
        ["/p/2/", "/p/2/people", "/p/2/people/jane", "/p/2/settings", "/p/2/funnels?step=Bought", "/p/2/live"]
    {
        let page = get(&server, target, &owner);
        assert_eq!(page.status, 200, "{target}");
        let text = page.text();
        for link in text.split(" href=\"").skip(1).chain(text.split(" action=\"").skip(1)) {
            let link = link.split('"').next().unwrap();
            assert!(link.starts_with("/p/") || link.starts_with('#'), "{target} leads to {link}");
        }
    }
    assert!(get(&server, "/p/2/people", &owner).text().contains("jane"));
    assert_eq!(get(&server, "/people/jane", &owner).status, 404, "she is nobody in the first");
    let saved = send(&server, &owner, "/p/2/audiences", &[("name", "A"), ("people", r#"{"did":"Bought"}"#)]);
    assert_eq!(saved.header("location"), Some("/p/2/people?among=A"));
    let tidied = get(&server, "/p/2/funnels?step=Bought&step=", &owner);
    assert_eq!(tidied.header("location"), Some("/p/2/funnels?step=Bought"));
    assert!(server.get("/api/v1/audiences")["audiences"].as_array().unwrap().is_empty());
    let page = send(&server, &owner, "/p/2/shares", &[("address", "/funnels?step=Bought")]).text();
    let link = page.split("<code><a href=\"http://").nth(1).unwrap().split('"').next().unwrap();
    let path = link.strip_prefix(&server.addr).unwrap();
    assert!(path.starts_with("/p/2/shared/"));
    let shared = server.client().open(path);
    assert!(shared.status == 200 && shared.text().contains("1 person"), "{}", shared.text());
    assert_eq!(server.client().open(path.strip_prefix("/p/2").unwrap()).status, 404);
    let gone = server.client().open("/p/2/settings?x=1");
    assert_eq!(gone.header("location"), Some("/p/2/login?next=%2Fsettings%3Fx%3D1"));
    send(&server, &owner, "/p/2/projects/name", &[("name", "Store")]);
    let all = get(&server, "/projects", &owner).text();
    assert!(all.contains("Store") && !all.contains("Shop") && all.contains("First project"), "{all}");
    assert_eq!(send(&server, &owner, "/projects", &[("name", " ")]).status, 422);
}

#[test]
fn who_has_one_project_sees_no_other() {
    let (_dir, server) = fresh();
    server.import(&history());
    let owner = log_in(&server);
    let (_, api) = create(&server, &owner, "Shop");
    create(&server, &owner, "Blog");
    let by_key = post(&server, "/login", &[FORM], &format!("key={api}"));
    let by_key = by_key.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let jane = joined(&server, &owner, "jane@example.com", "owner", "2");
    for session in [&by_key, &jane] {
        assert_eq!(get(&server, "/", session).header("location"), Some("/p/2/"));
        let page = get(&server, "/p/2/settings", session).text();
        assert!(!page.contains("Blog") && !page.contains("First project") && !page.contains("Give access"));
        assert_eq!(get(&server, "/p/2/api/v1/events", session).status, 200);
        for (target, status) in [
            ("/people", 403),
            ("/people?csv=people", 403),
            ("/settings", 403),
            ("/p/1/people", 403),
            ("/p/3/", 303),
            ("/p/3/people", 403),
            ("/api/v1/events", 403),
            ("/p/3/api/v1/events", 403),
            ("/api/v1/export", 403),
            ("/api/v1/people/person1%40example.com", 403),
        ] {
            let reply = get(&server, target, session);
            assert_eq!(reply.status, status, "{target}");
            assert!(!reply.text().contains("person1@"), "{target}");
        }
        for target in ["/projects", "/users", "/p/2/projects", "/p/2/users", "/p/3/projects/name", "/demo"] {
            let pairs = [("name", "X"), ("email", "eve@example.com"), ("role", "owner")];
            assert_eq!(send(&server, session, target, &pairs).status, 403, "{target}");
        }
        assert_eq!(send(&server, session, "/p/2/projects/name", &[("name", "Mine")]).status, 303);
    }
    // Their key ends nobody else's session, and no page of another origin makes a project.
    send(&server, &by_key, "/p/2/sessions/end", &[]);
    assert_eq!(get(&server, "/settings", &owner).status, 200);
    assert_eq!(post(&server, "/projects", &[FORM, ("Cookie", &owner)], "name=X").status, 403);
    assert_eq!(post(&server, "/projects", &[FORM, OWN], "name=X").status, 303, "to the log-in page");
    assert!(!get(&server, "/projects", &owner).text().contains("/p/4/"));
}

#[test]
fn a_project_is_deleted_once_its_name_is_typed() {
    let (_dir, server) = fresh();
    server.import(&history());
    let owner = log_in(&server);
    let (write, api) = create(&server, &owner, "<i>Shop");
    let jane = joined(&server, &owner, "jane@example.com", "owner", "2");
    let both = joined(&server, &owner, "both@example.com", "editor", "");
    server.client().open(format!("/e?_k={write}&_p=a&_n=Bought"));
    let by_key = post(&server, "/login", &[FORM], &format!("key={api}"));
    let by_key = by_key.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let page = get(&server, "/p/2/projects", &owner).text();
    let (target, form) = ("/p/1/projects/delete?project=2", "/p/1/projects/delete");
    assert!(page.contains(&format!("href=\"{target}\"")) && !page.contains("project=1\""), "{page}");
    let page = get(&server, target, &owner).text();
    assert!(
        page.contains("Delete &lt;i&gt;Shop?")
            && page.contains("jane@example.com")
            && !page.contains("both@")
    );
    let delete = |session: &str, target: &str, project: &str, name: &str| {
        send(&server, session, target, &[("project", project), ("confirm", name)]).status
    };
    for session in [&jane, &both, &by_key] {
        assert_eq!(get(&server, target, session).status, 403);
        assert_eq!(delete(session, form, "2", "<i>Shop"), 403);
        assert_eq!(delete(session, "/p/2/projects/delete", "2", "<i>Shop"), 403);
    }
    assert_eq!(delete(&owner, form, "2", "Shop"), 422);
    assert_eq!(delete(&owner, form, "1", "First project"), 409, "the first stays");
    assert_eq!((delete(&owner, form, "3", ""), delete(&owner, form, "x", "")), (404, 404));
    assert_eq!(delete(&owner, "/p/2/projects/delete", "2", "<i>Shop"), 409, "from a page of its own");
    assert_eq!(events(&server, &api), ["Bought"], "nothing has changed so far");
    // Somebody who watches does not keep it.
    let live = std::net::TcpStream::connect(&server.addr).unwrap();
    let head = format!(
        "GET /p/2/api/v1/live HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {api}\r\n\r\n",
        server.addr
    );
    std::io::Write::write_all(&mut &live, head.as_bytes()).unwrap();
    assert!(std::io::Read::read(&mut &live, &mut [0; 100]).unwrap() > 0);
    assert_eq!(delete(&owner, form, "2", "<i>Shop"), 303);
    let authorization = format!("Bearer {api}");
    let keyed = server.client().send("GET", "/api/v1/events", &[("Authorization", &authorization)], b"");
    assert_eq!((keyed.status, get(&server, "/p/2/", &owner).status), (401, 404));
    server.client().open(format!("/e?_k={write}&_p=a&_n=Lost"));
    assert_eq!(server.get("/api/v1/refusals")["counts"]["unknown_key"], 1);
    for session in [&jane, &by_key] {
        assert_eq!(get(&server, "/projects", session).status, 303, "nobody any more");
    }
    assert_eq!(get(&server, "/people", &both).status, 200);
    assert!(!std::fs::read_to_string(server.data.join("accounts.json")).unwrap().contains("jane"));
    assert_eq!(std::fs::read_dir(server.data.join("projects/2.gone")).unwrap().count(), 0);
    create(&server, &owner, "Next");
    assert!(get(&server, "/projects", &owner).text().contains("href=\"/p/3/\""), "numbers are used once");
    let data = server.data.clone();
    server.stop();
    let server = Server::start(&data);
    let owner = log_in(&server);
    assert_eq!([2, 3].map(|id| get(&server, &format!("/p/{id}/settings"), &owner).status), [404, 200]);
}

#[test]
fn a_project_is_deleted_by_script() {
    let (_dir, server) = fresh();
    server.import(&history());
    let owner = log_in(&server);
    let (write, shop) = create(&server, &owner, "Shop");
    let (_, blog) = create(&server, &owner, "Blog");
    let viewer = joined(&server, &owner, "viewer@example.com", "viewer", "");
    let editor = joined(&server, &owner, "editor@example.com", "editor", "");
    let of_shop = joined(&server, &owner, "shop@example.com", "owner", "2");
    server.client().open(format!("/e?_k={write}&_p=a&_n=Bought"));
    let ask = |method: &str, target: &str, headers: &[(&str, &str)]| {
        server.client().send(method, target, headers, b"")
    };
    let with_key = |method: &str, target: &str, key: &str| {
        ask(method, target, &[("Authorization", &format!("Bearer {key}"))])
    };
    let names = |key: &str| {
        let listed = with_key("GET", "/api/v1/projects", key).json();
        let all = listed["projects"].as_array().unwrap().clone();
        let one =
            |p: &serde_json::Value| format!("{} {} {} {}", p["project"], p["name"], p["people"], p["events"]);
        all.iter().map(one).collect::<Vec<_>>()
    };
    assert_eq!(names(API_KEY), ["1 \"First project\" 60 105", "2 \"Shop\" 1 1", "3 \"Blog\" 0 0"]);
    assert_eq!(names(&shop), ["2 \"Shop\" 1 1"], "whoever has one sees no other");
    let refusal = |reply: Reply| (reply.status, reply.code());
    // Keys of one project, also a key of it that manages, and the public key of pages.
    for (key, code) in [(shop.as_str(), "other_project"), (&blog, "other_project"), (&write, "wrong_key")] {
        assert_eq!(refusal(with_key("DELETE", "/api/v1/projects/2", key)), (403, code.to_owned()));
    }
    assert_eq!(refusal(with_key("DELETE", "/api/v1/projects/2", "rk_x")), (401, "unknown_key".to_owned()));
    for (session, code) in [(&viewer, "role"), (&editor, "role"), (&of_shop, "other_project")] {
        let headers = [OWN, ("Cookie", session.as_str())];
        assert_eq!(refusal(ask("DELETE", "/api/v1/projects/2", &headers)), (403, code.to_owned()));
    }
    assert_eq!(
        ask("DELETE", "/api/v1/projects/2", &[("Cookie", &owner)]).status,
        401,
        "from no page of ours"
    );
    for (target, status, code) in [
        ("/api/v1/projects/1", 409, "first_project"),
        ("/api/v1/projects/9", 404, "no_such_project"),
        ("/api/v1/projects/x", 404, "no_such_project"),
    ] {
        assert_eq!(refusal(with_key("DELETE", target, API_KEY)), (status, code.to_owned()), "{target}");
    }
    let inside = ask("DELETE", "/p/2/api/v1/projects/2", &[OWN, ("Cookie", &owner)]);
    assert_eq!(refusal(inside), (409, "own_project".to_owned()));
    assert_eq!(names(API_KEY).len(), 3, "nothing has changed so far");
    let gone = with_key("DELETE", "/api/v1/projects/2", API_KEY);
    assert_eq!((gone.status, gone.json()), (200, serde_json::json!({"deleted": 2, "name": "Shop"})));
    assert_eq!(with_key("GET", "/api/v1/events", &shop).status, 401);
    assert_eq!(get(&server, "/projects", &of_shop).status, 303, "nobody any more");
    let by_session = ask("DELETE", "/api/v1/projects/3", &[OWN, ("Cookie", &owner)]);
    assert_eq!(by_session.json()["name"], "Blog");
    assert_eq!(names(API_KEY), ["1 \"First project\" 60 105"]);
    assert_eq!(std::fs::read_dir(server.data.join("projects/2.gone")).unwrap().count(), 0);
}

#[test]
fn a_project_is_deleted_from_the_terminal() {
    let (_dir, server) = fresh();
    let owner = log_in(&server);
    let (write, _) = create(&server, &owner, "Shop\u{202e}");
    create(&server, &owner, "Blog");
    joined(&server, &owner, "shop@example.com", "owner", "2");
    server.client().open(format!("/e?_k={write}&_p=a&_n=Bought"));
    let data = server.data.clone();
    let told = |arguments: &[&str]| {
        let output = run(&data, &[&["project"], arguments].concat(), b"");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, listed, _) = told(&["list"]);
    assert_eq!(code, Some(0));
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(
        lines,
        [
            "    1  First project (people: 0, events: 0)",
            "    2  Shop\\u{202e} (people: 1, events: 1)",
            "    3  Blog (people: 0, events: 0)"
        ]
    );
    let (code, _, error) = told(&["delete", "2", "--yes"]);
    assert!(code == Some(1) && error.contains("a server runs on it"), "{error}");
    server.stop();
    let (code, _, error) = told(&["delete", "2"]);
    assert!(code == Some(2) && error.contains("nothing was deleted"), "nobody was there to say yes: {error}");
    assert_eq!(told(&["delete", "1", "--yes"]).0, Some(1), "the first stays");
    assert_eq!(told(&["delete", "7", "--yes"]).0, Some(1));
    assert_eq!(told(&["list"]).1.lines().count(), 3, "nothing has changed so far");
    // Somebody who works on it keeps it.
    let held = whodid::disk::RealVfs::new(&data.join("projects/2")).unwrap();
    let lock = whodid::disk::Vfs::lock(&held).unwrap();
    assert_eq!(told(&["delete", "2", "--yes"]).0, Some(1));
    drop(lock);
    let (code, said, _) = told(&["delete", "2", "--yes"]);
    assert_eq!((code, said.as_str()), (Some(0), "project 2 is deleted\n"));
    let listed: serde_json::Value = serde_json::from_str(&told(&["list", "--json"]).1).unwrap();
    assert_eq!(
        (listed["projects"][1]["project"].as_u64(), listed["projects"][1]["name"].as_str()),
        (Some(3), Some("Blog"))
    );
    assert!(!std::fs::read_to_string(data.join("accounts.json")).unwrap().contains("shop@"));
    let server = Server::start(&data);
    let owner = log_in(&server);
    assert_eq!([2, 3].map(|id| get(&server, &format!("/p/{id}/settings"), &owner).status), [404, 200]);
}

#[test]
fn events_are_shown_as_they_are_described() {
    let (_dir, server) = fresh();
    server.import(&history());
    let owner = log_in(&server);
    let describe = |pairs: &[(&str, &str)]| send(&server, &owner, "/events", pairs);
    assert_eq!(describe(&[("event", "Nothing"), ("shown_as", "X")]).status, 422);
    assert_eq!(describe(&[("event", "Paid"), ("shown_as", &"x".repeat(256))]).status, 422);
    let said = [("event", "Paid"), ("shown_as", "<b>Bought"), ("description", "Money came"), ("hidden", "1")];
    assert_eq!(describe(&said).status, 303);
    let page = get(&server, "/funnels?step=Visited&step=Paid", &owner).text();
    assert!(page.contains("then &lt;b&gt;Bought") && !page.contains("<b>Bought"), "{page}");
    assert!(page.contains("<option value=\"Visited\">") && !page.contains("<option value=\"Paid\">"));
    let settings = get(&server, "/settings", &owner).text();
    assert!(
        settings.contains("Money came")
            && settings.contains("hidden")
            && settings.contains("&lt;b&gt;Bought")
    );
    assert!(get(&server, "/people/person0%40example.com", &owner).text().contains("&lt;b&gt;Bought"));
    let names: Vec<String> = events(&server, API_KEY);
    assert_eq!(names, ["Paid", "Signed Up", "Visited"], "the API goes by the names that were sent");
    assert_eq!(describe(&[("event", "Paid")]).status, 303);
    let page = get(&server, "/funnels?step=Visited&step=Paid", &owner).text();
    assert!(page.contains("<option value=\"Paid\">") && !page.contains("Bought"));
    assert_eq!(
        std::fs::read_to_string(server.data.join("dashboard.json")).unwrap().matches("Paid").count(),
        0
    );
}

#[test]
fn a_period_is_compared_with_the_one_before() {
    let (_dir, server) = fresh();
    server.import(&history());
    let owner = log_in(&server);
    let page =
        get(&server, "/trends?series=Visited&from=2025-03-01&to=2025-03-02&compare=before", &owner).text();
    assert!(page.contains("<dt>In this period</dt><dd>60 in all</dd>"), "{page}");
    let before = "<a href=\"/trends?series=Visited&amp;compare=before&amp;from=2025-02-27&amp;to=2025-02-28\">0 in all</a>";
    assert!(page.contains(&format!("Before, 2025-02-27 to 2025-02-28</dt><dd>{before}</dd>")), "{page}");
    let page =
        get(&server, "/trends?series=Paid&from=2025-03-05&to=2025-03-08&compare=before", &owner).text();
    assert!(
        page.contains("<dd>0 in all</dd>")
            && page.contains("&amp;from=2025-03-01&amp;to=2025-03-04\">15 in all</a></dd>"),
        "{page}"
    );
    assert!(get(&server, "/funnels?step=Paid&compare=before", &owner).text().contains("Choose a period"));
}
