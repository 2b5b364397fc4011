//! Pages as browsers of attackers meet them: who may look, who may change, and what files hold.

use super::{fresh, history};
use crate::support::{API_KEY, Reply, Server, authorized};

pub const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
pub const OWN: (&str, &str) = ("Sec-Fetch-Site", "same-origin");

pub fn post(server: &Server, target: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    server.client().send("POST", target, headers, body.as_bytes())
}

/// The cookie of a new session.
pub fn log_in(server: &Server) -> String {
    let reply = post(server, "/login", &[FORM], &format!("key={API_KEY}"));
    let cookie = reply.header("set-cookie").expect("a cookie").to_owned();
    assert!(cookie.contains("; HttpOnly; SameSite=Strict;"), "{cookie}");
    cookie.split(';').next().unwrap().to_owned()
}

#[test]
fn a_search_is_not_made_with_parameters_that_mean_nothing() {
    let (_dir, server) = fresh();
    server.import(&history());
    let session = log_in(&server);
    let page = |target: &str| {
        server.client().send("GET", target, &[("Cookie", &session), ("Accept", "text/html")], b"").text()
    };
    let text = page("/people?search=person1");
    assert!(text.contains("There is no parameter") && !text.contains("class=\"headline total\""), "{text}");
    for good in ["/people", "/people?who=person1%40example.com", "/people?columns=Plan&tz=Europe%2FBerlin"] {
        assert!(page(good).contains("class=\"headline total\""), "{good}");
    }
}

#[test]
fn nothing_is_changed_for_other_pages() {
    let (_dir, server) = fresh();
    server.import(&history());
    let session = log_in(&server);
    let cookie = ("Cookie", session.as_str());
    let own_origin = format!("http://{}", server.addr);
    let targets = [
        ("/settings", "tz=Europe%2FBerlin&week_start=monday"),
        ("/people/person1%40example.com/merge", "into=person2%40example.com"),
        ("/people/person3%40example.com/erase", "confirm=person3%40example.com"),
        ("/reports", "name=R&report=funnel&query=%7B%22steps%22%3A%5B%7B%22event%22%3A%22A%22%7D%5D%7D"),
        ("/audiences", "name=A&people=%7B%22did%22%3A%22Paid%22%7D"),
        ("/shares", "address=%2Ffunnels%3Fstep%3DPaid"),
        ("/keys", "name=K&scope=read"),
        ("/keys/delete", "name=K&confirm=1"),
        ("/retention", "event=Nothing&days=30"),
        ("/projects", "name=Shop"),
        ("/projects/delete", "project=2&confirm=Shop"),
        // The last one, as it ends the key that all others are asked with.
        ("/keys/replace", "confirm=1"),
    ];
    for (target, body) in targets {
        for foreign in [
            vec![cookie, FORM],
            vec![cookie, FORM, ("Origin", "https://evil.test")],
            vec![cookie, FORM, ("Origin", "null")],
            vec![cookie, ("Content-Type", "text/plain"), ("Sec-Fetch-Site", "cross-site")],
            vec![cookie, FORM, ("Sec-Fetch-Site", "same-site"), ("Origin", own_origin.as_str())],
        ] {
            let reply = post(&server, target, &foreign, body);
            assert_eq!(
                (reply.status, reply.code()),
                (403, "foreign_page".to_owned()),
                "{target} {foreign:?}"
            );
        }
        let reply = post(&server, target, &[FORM, OWN], body);
        assert_eq!(
            (reply.status, reply.header("location").is_some_and(|l| l.starts_with("/login"))),
            (303, true)
        );
    }
    let data = server.data.join("dashboard.json");
    assert!(!data.exists() && server.get("/api/v1/stats")["people"] == 60);
    for (target, body) in targets {
        if target == "/keys/replace" {
            assert_eq!(server.get("/api/v1/stats")["people"], 58, "one is merged, one erased");
        }
        let reply = post(&server, target, &[cookie, FORM, ("Origin", own_origin.as_str())], body);
        assert!(matches!(reply.status, 200 | 303), "{target}: {} {}", reply.status, reply.text());
    }
    assert_eq!(server.client().get("/api/v1/stats").status, 401);
    assert!(std::fs::read_to_string(&data).unwrap().contains("Europe/Berlin"));
}

#[test]
fn a_session_uses_the_api_from_own_pages_only() {
    let (_dir, server) = fresh();
    server.import(&history());
    let session = log_in(&server);
    let cookie = ("Cookie", session.as_str());
    let query = r#"{"steps":[{"event":"Paid"}]}"#;
    assert_eq!(post(&server, "/api/v1/funnel", &[cookie], query).status, 401);
    assert_eq!(
        post(&server, "/api/v1/funnel", &[cookie, ("Sec-Fetch-Site", "cross-site")], query).status,
        401
    );
    assert_eq!(post(&server, "/api/v1/funnel", &[cookie, OWN], query).status, 200);
    let merge = |headers: &[(&str, &str)]| {
        post(
            &server,
            "/api/v1/people/person1%40example.com/merge",
            headers,
            r#"{"into":"person2@example.com"}"#,
        )
        .status
    };
    assert_eq!((merge(&[cookie]), merge(&[cookie, OWN])), (401, 200));
    let other = log_in(&server);
    let looks = |session: &str| server.client().send("GET", "/settings", &[("Cookie", session)], b"").status;
    assert_eq!((looks(&session), looks(&other)), (200, 200));
    post(&server, "/sessions/end", &[cookie, OWN, FORM], "");
    assert_eq!((looks(&session), looks(&other)), (200, 303), "all other sessions are ended");
    post(&server, "/logout", &[cookie, FORM], "");
    assert_eq!(post(&server, "/api/v1/funnel", &[cookie, OWN], query).status, 401);
}

#[test]
fn a_link_shows_one_report_and_ends() {
    let (_dir, server) = fresh();
    server.import(&history());
    let session = log_in(&server);
    let cookie = ("Cookie", session.as_str());
    let share = |address: &str| {
        let body = form_urlencoded::Serializer::new(String::new()).append_pair("address", address).finish();
        post(&server, "/shares", &[cookie, OWN, FORM], &body)
    };
    for other in
        ["/people", "/settings", "/people/person1%40example.com", "https://evil.test/funnels", "/nothing"]
    {
        assert_eq!(share(other).status, 422, "{other}");
    }
    let page = share("/funnels?step=Visited&step=Paid").text();
    let token = page.split("/shared/").nth(1).unwrap().split(['"', '<']).next().unwrap().to_owned();
    let stored = std::fs::read_to_string(server.data.join("dashboard.json")).unwrap();
    assert!(!stored.contains(&token) && stored.contains("/funnels"));
    let seen = server.client().open(format!("/shared/{token}?step=Signed+Up&csv=steps"));
    let text = seen.text();
    assert!(
        seen.status == 200
            && text.contains("25.0 %")
            && !text.contains("Signed Up")
            && !text.contains("/people"),
        "{text}"
    );
    assert!(
        seen.header("content-security-policy").is_some() && seen.header("cache-control") == Some("no-store")
    );
    for other in [format!("/shared/{token}x"), "/shared/".to_owned(), format!("/shared/{}", "0".repeat(43))] {
        assert_eq!(server.client().open(&other).status, 404, "{other}");
    }
    assert_eq!(server.client().open(format!("/funnels?step=Paid&token={token}")).status, 303);
    let hash = stored.split("token_sha256\": \"").nth(1).unwrap().split('"').next().unwrap();
    post(&server, "/shares/delete", &[cookie, OWN, FORM], &format!("hash={hash}&confirm=1"));
    assert_eq!(server.client().open(format!("/shared/{token}")).status, 404);
}

#[test]
fn the_printed_link_logs_in_once() {
    let dir = tempfile::tempdir().unwrap();
    let (server, printed) = Server::start_with(&dir.path().join("store"), &[]);
    let line = printed.iter().find(|line| line.contains("/login?token=")).expect("a link is printed");
    let token = line.split("token=").nth(1).unwrap().trim().to_owned();
    let page = server.client().open(format!("/login?token={token}"));
    assert!(page.status == 200 && page.header("set-cookie").is_none(), "looking does not use it up");
    let body = format!("token={token}");
    let reply = post(&server, "/login", &[FORM], &body);
    let cookie = reply.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(server.client().send("GET", "/settings", &[("Cookie", &cookie)], b"").status, 200);
    assert_eq!(post(&server, "/login", &[FORM], &body).status, 401);
    assert_eq!(post(&server, "/login", &[FORM], "token=wrong").status, 401);
    server.stop();
    // From then on nothing that is printed lets anybody in.
    let (_server, printed) = Server::start_with(&dir.path().join("store"), &[]);
    assert!(!printed.iter().any(|line| line.contains("token=")), "{printed:?}");
}

#[test]
fn files_hold_no_formulas_and_pages_no_markup_of_senders() {
    let (_dir, server) = fresh();
    let hostile = [
        "=cmd|' /C calc'!A0",
        "+1",
        "-1+1",
        "@SUM(1)",
        "\t=1",
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "\" onmouseover=\"x",
        "\u{202e}evil",
    ];
    let mut lines = String::new();
    for text in hostile {
        let text = serde_json::json!(text);
        lines.push_str(&format!("{{\"type\":\"event\",\"person\":{text},\"event\":\"Did\",\"time\":\"2025-03-01T10:00:00Z\",\"properties\":{{\"p\":{text}}}}}\n"));
        lines.push_str(&format!("{{\"type\":\"set\",\"person\":{text},\"time\":\"2025-03-01T09:00:00Z\",\"properties\":{{\"Plan\":{text}}}}}\n"));
    }
    server.import(&lines);
    let session = log_in(&server);
    let get = |target: &str| server.client().send("GET", target, &[("Cookie", session.as_str())], b"");
    for target in [
        "/people?csv=people",
        "/funnels?step=Did&by=person.Plan&csv=segments",
        "/funnels/people?step=Did&at_step=1&outcome=reached&csv=people",
    ] {
        let reply = get(target);
        let name = reply.header("content-disposition").unwrap();
        let kind = if target.starts_with("/people") { "people" } else { "funnel" };
        let table =
            target.split("csv=").nth(1).filter(|table| *table != kind).map(|table| format!("{table}-"));
        let begin = format!("attachment; filename=\"whodid-{kind}-{}20", table.unwrap_or_default());
        assert!(name.starts_with(&begin) && name.ends_with(".csv\""), "{target}: {name}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        let text = reply.text();
        assert!(text.lines().count() > 5, "{text}");
        for cell in text.split([',', '\n']).map(|cell| cell.trim_start_matches('"')) {
            assert!(!cell.starts_with(['=', '+', '-', '@', '\t']), "{target}: {cell}");
        }
    }
    for target in [
        "/",
        "/people",
        "/people?columns=Plan",
        "/funnels?step=Did&by=person.Plan",
        "/trends?series=Did&by=event.p&unit=month",
        "/paths?start=Did",
        "/revenue?by=person.Plan",
        "/settings",
        "/funnels?step=%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "/people/%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    ] {
        let page = get(target).text();
        assert!(
            page.contains("<main")
                && !page.contains("<script>alert")
                && !page.contains("<img")
                && !page.contains("\" onmouseover=\""),
            "{target}: {page}"
        );
    }
}

#[test]
fn a_person_is_erased_from_its_page_once_its_name_is_typed() {
    let (_dir, server) = fresh();
    server.import(&history());
    let session = log_in(&server);
    let cookie = ("Cookie", session.as_str());
    let path = "/people/person1%40example.com";
    let get = |target: &str| server.client().send("GET", target, &[cookie], b"");
    let audience = r#"{"people":{"property":"Email","is":"person1@example.com"}}"#;
    let saved = server.client().send("PUT", "/api/v1/audiences/A", &[authorized()], audience.as_bytes());
    assert_eq!(saved.status, 200, "{}", saved.text());
    let before = server.get("/api/v1/people/person1%40example.com");
    let preview = get(&format!("{path}/erase")).text();
    assert!(get(path).text().contains("/erase\""), "the page leads there");
    assert!(preview.contains("Erase person1@example.com?") && preview.contains("Type person1@example.com"));
    for identity in before["identities"].as_array().unwrap() {
        assert!(preview.contains(identity.as_str().unwrap()), "{preview}");
    }
    let erase = |headers: &[(&str, &str)], body: &str| post(&server, &format!("{path}/erase"), headers, body);
    assert_eq!(erase(&[cookie, FORM], "confirm=person1%40example.com").code(), "foreign_page");
    assert_eq!(erase(&[cookie, OWN, FORM], "confirm=person2%40example.com").status, 422);
    assert_eq!(server.get("/api/v1/stats")["people"], 60, "nothing has changed so far");
    let done = erase(&[cookie, OWN, FORM], "confirm=person1%40example.com");
    assert!(done.status == 200 && done.text().contains("It is done"), "{}", done.text());
    assert_eq!(get(path).status, 404);
    assert_eq!(server.client().get("/api/v1/people/person1%40example.com").status, 404);
    assert_eq!(server.get("/api/v1/stats")["people"], 59);
    for file in std::fs::read_dir(&server.data).unwrap().map(Result::unwrap) {
        if file.file_type().unwrap().is_file() {
            let bytes = std::fs::read(file.path()).unwrap();
            assert!(!bytes.windows(19).any(|w| w == b"person1@example.com"), "{:?}", file.path());
        }
    }
    assert!(server.get("/api/v1/audiences").to_string().contains("(erased 1)"));
    // The API says the same in its own way.
    let erase =
        |id: &str| server.client().send("DELETE", format!("/api/v1/people/{id}"), &[authorized()], b"");
    let receipt = erase("person2%40example.com").json();
    let before = (&receipt["erased"]["people"], &receipt["saved"]);
    assert_eq!(before, (&1.into(), &0.into()), "{receipt}");
    assert!(!receipt.to_string().contains("person2"), "a receipt names nobody");
    assert_eq!(erase("person2%40example.com").status, 404);
    assert_eq!(server.client().send("DELETE", path, &[], b"").status, 405);
}

#[test]
fn errors_are_pages_for_who_looks_with_a_browser() {
    let (_dir, server) = fresh();
    let browser = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    for (target, code) in
        [("/nothing", "not_found"), ("/shared/x", "no_such_link"), ("/p/9/funnels", "no_such_project")]
    {
        let page = server.client().send("GET", target, &[browser], b"");
        assert_eq!((page.status, page.header("content-type")), (404, Some("text/html; charset=utf-8")));
        assert!(page.text().contains("role=\"alert\"") && page.header("content-security-policy").is_some());
        let program = server.client().send("GET", target, &[("Accept", "application/json")], b"");
        assert_eq!((program.status, program.code()), (404, code.to_owned()), "{target}");
    }
}

#[test]
fn what_only_takes_forms_is_a_page_all_the_same() {
    let (_dir, server) = fresh();
    let browser = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    for target in
        ["/reports", "/keys", "/users", "/shares", "/audiences", "/retention", "/sessions/end", "/p/2/keys"]
    {
        let page = server.client().send("GET", target, &[browser], b"");
        let seen = (page.status, page.header("content-type"), page.header("allow"));
        assert_eq!(seen, (405, Some("text/html; charset=utf-8"), Some("POST, OPTIONS")), "{target}");
        assert!(page.text().contains("Nothing is shown here"), "{}", page.text());
        assert_eq!(server.client().send("GET", target, &[], b"").code(), "method_not_allowed");
    }
    let foreign = server.client().send("GET", "/settings", &[browser, ("Host", "rebound.example")], b"");
    assert_eq!((foreign.status, foreign.header("content-type")), (421, Some("text/html; charset=utf-8")));
    let (large, session) = (vec![b'x'; (1 << 20) + 1], log_in(&server));
    let cookie = ("Cookie", session.as_str());
    let reply = server.client().send("POST", "/reports", &[browser, cookie, OWN, FORM], &large);
    assert_eq!((reply.status, reply.header("content-type")), (413, Some("text/html; charset=utf-8")));
    let reply = server.client().send("POST", "/reports", &[browser, cookie, FORM], b"name=x");
    assert_eq!((reply.status, reply.header("content-type")), (403, Some("text/html; charset=utf-8")));
}

#[test]
fn a_form_that_comes_after_its_session_leads_back_to_its_page() {
    let (_dir, server) = fresh();
    let sent = |target: &str, referer: &str| {
        let from = format!("http://{}{referer}", server.addr);
        let headers = [FORM, OWN, ("Cookie", "whodid_session=gone"), ("Referer", from.as_str())];
        post(&server, target, &headers, "name=x").header("location").unwrap().to_owned()
    };
    let login = sent("/reports", "/funnels?step=Paid&within=30d");
    assert_eq!(login, "/login?next=%2Ffunnels%3Fstep%3DPaid%26within%3D30d&ended=1");
    let page = server.client().open(&login).text();
    assert!(page.contains("Your session ended, so nothing was saved."), "{page}");
    assert!(page.contains("value=\"/funnels?step=Paid&amp;within=30d\""), "{page}");
    assert!(!server.client().open("/login?next=%2Ffunnels").text().contains("nothing was saved"));
    // What shows nothing, or is no page, is no place to go on at.
    for nowhere in ["/reports", "/api/v1/stats", "//evil.test/settings"] {
        assert_eq!(sent("/keys", nowhere), "/login?next=%2F&ended=1", "{nowhere}");
    }
    let origin = format!("http://{}", server.addr);
    let foreign = [FORM, ("Sec-Fetch-Site", "cross-site"), ("Referer", &format!("{origin}/people"))];
    assert_eq!(post(&server, "/keys", &foreign, "").header("location"), Some("/login?next=%2F&ended=1"));
}

#[test]
fn a_form_has_the_address_of_its_report() {
    let (_dir, server) = fresh();
    server.import(&history());
    let session = log_in(&server);
    super::projects::create(&server, &session, "Shop");
    let (form, report) = (
        "/funnels?step=Visited&where=&op=is&val=&step=Paid&only=Plan&op=is&val=Team",
        "step=Visited&step=Paid&people=",
    );
    for base in ["", "/p/2"] {
        let target = format!("{base}{form}");
        let get = |headers: &[(&str, &str)]| {
            server.client().send(
                "GET",
                target.as_str(),
                &[&[("Cookie", session.as_str())], headers].concat(),
                b"",
            )
        };
        let sent = get(&[]);
        let address = sent.header("location").expect("an address").to_owned();
        assert!(sent.status == 303 && address.starts_with(&format!("{base}/funnels?{report}")), "{address}");
        // Who renews a page in place asks for it at once.
        let page = get(&[("Prefer", "return=representation")]);
        assert_eq!((page.status, page.header("content-location")), (200, Some(address.as_str())));
        let same = server.client().send("GET", address.as_str(), &[("Cookie", session.as_str())], b"");
        assert_eq!((same.status, same.header("content-location")), (200, None));
        let builder = |reply: &Reply| {
            let text = reply.text();
            text[text.find("<form class=\"builder").unwrap()..].split("</form>").next().unwrap().to_owned()
        };
        assert_eq!(builder(&page), builder(&same));
    }
}

#[test]
fn every_table_is_a_file_too() {
    let (_dir, server) = fresh();
    server.import(&history());
    let session = log_in(&server);
    let get = |target: &str| server.client().send("GET", target, &[("Cookie", session.as_str())], b"");
    let (mut tables, steps) = (0, "step=Visited&step=Signed+Up&step=Paid");
    for target in [
        "/".to_owned(),
        format!("/funnels?{steps}&by=person.Plan&over=week"),
        format!("/funnels/people?{steps}&at_step=2&outcome=lost"),
        "/cohorts?start=Visited&return=Paid".to_owned(),
        "/revenue?property=n&by=person.Plan&lifetime=true&lost_after=30d".to_owned(),
        format!("/experiments?{steps}&by=person.Plan&control=Team"),
        "/trends?series=Visited&series=Paid&unit=week".to_owned(),
        "/paths?start=Visited".to_owned(),
        "/people".to_owned(),
        "/people/person1%40example.com".to_owned(),
        "/people/person1%40example.com/merge?into=person2%40example.com".to_owned(),
        "/settings".to_owned(),
        "/projects".to_owned(),
    ] {
        let page = get(&target).text();
        let main = &page[page.find("<main").unwrap()..];
        let files: Vec<String> = main
            .split("class=\"file\" href=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .filter(|link| link.contains("csv="))
            .map(|link| link.replace("&amp;", "&"))
            .collect();
        let shown = main.matches("<table").count();
        assert!(files.len() >= shown, "{target}: {shown} tables, {files:?}");
        tables += shown;
        for file in files {
            let reply = get(&file);
            let kind = (reply.status, reply.header("content-type").map(str::to_owned));
            assert_eq!(kind, (200, Some("text/csv; charset=utf-8".to_owned())), "{file}");
            assert_eq!(reply.header("cache-control"), Some("no-store"), "{file}");
            assert!(reply.text().lines().count() > 1, "{file}");
        }
    }
    assert!(tables > 20, "{tables}");
}

#[test]
fn a_file_is_a_table_of_the_page_or_an_error() {
    let (_dir, server) = fresh();
    server.import(&history());
    let anonymous = r#"{"type":"event","person":"zed","event":"Visited","time":"2025-03-01T10:00:00Z"}"#;
    server.import(anonymous);
    let session = log_in(&server);
    let get = |target: &str| server.client().send("GET", target, &[("Cookie", session.as_str())], b"");
    for (target, head) in [
        ("/settings?csv=reports", "\"Report\",\"Kind\",\"Days\"\r\n"),
        ("/settings?csv=audiences", "\"Audience\",\"Who\"\r\n"),
        ("/settings?csv=shares", "\"Report\",\"Made\"\r\n"),
        ("/settings?csv=merges", "\"When\",\"One\",\"Other\"\r\n"),
        ("/settings?csv=access", "\"E-mail\",\"Role\",\"Password\"\r\n"),
        ("/settings?csv=refusals", "\"When\",\"Reason\",\"Message\",\"Identity\",\"Name\"\r\n"),
        ("/people/zed?csv=properties", "\"Property\",\"Now\",\"First\",\"Changes\"\r\n"),
        ("/people/zed?event=Nope&csv=events", "\"Time\",\"Event\",\"Identity\",\"Properties\"\r\n"),
        ("/?csv=sources", "\"First came from\",\"People\",\"Paying\",\"Revenue\"\r\n"),
        ("/funnels?step=Nope&by=person.Plan&csv=segments", "\"Segment\",\"Step 1\",\"Conversion\"\r\n"),
        ("/paths?start=Nope&csv=paths", "\"Way\",\"People\",\"Share\",\"Median time\"\r\n"),
    ] {
        let reply = get(target);
        let kind = (reply.status, reply.header("content-type"));
        assert_eq!(kind, (200, Some("text/csv; charset=utf-8")), "{target}: {}", reply.text());
        assert_eq!(reply.text(), head, "{target}");
    }
    for target in [
        "/settings?csv=nope",
        "/people?csv=nope",
        "/trends?series=Visited&csv=series2",
        "/funnels?step=Visited&csv=over",
        "/funnels?step=Visited&csv=segments",
        "/funnels?csv=steps",
    ] {
        let (reply, name) = (get(target), target.split("csv=").nth(1).unwrap());
        assert_eq!((reply.status, reply.code().as_str()), (404, "no_such_table"), "{target}");
        assert!(reply.text().contains(&format!("\\\"{name}\\\"")), "{}", reply.text());
    }
    assert_eq!(
        get("/funnels?step=Visited&within=soon&csv=steps").status,
        422,
        "what kept it from being made"
    );
    // Each column has a name of its own.
    for target in [
        "/funnels?step=Visited&step=Paid&over=month&csv=over",
        "/funnels?step=Visited&step=Paid&by=person.Plan&csv=segments",
        "/paths?start=Visited&csv=paths",
        "/people/zed/merge?into=person1%40example.com&csv=merge",
        "/settings?csv=keys",
        "/settings?csv=retention",
        "/projects?csv=projects",
    ] {
        let text = get(target).text();
        let rows: Vec<csv::StringRecord> = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(text.as_bytes())
            .records()
            .map(Result::unwrap)
            .collect();
        let names: std::collections::BTreeSet<&str> = rows[0].iter().collect();
        assert!(names.len() == rows[0].len() && !names.contains(""), "{target}: {text}");
        assert!(rows.len() > 1, "{target}");
    }
}

#[test]
fn a_search_says_what_is_missing_instead_of_finding_more() {
    let (_dir, server) = fresh();
    server.import(&history());
    let session = log_in(&server);
    let page = |form: &str| {
        let prefer = ("Prefer", "return=representation");
        let target = format!("/people?{form}");
        server.client().send("GET", target, &[("Cookie", session.as_str()), prefer], b"").text()
    };
    for (form, at) in [
        ("did=Paid&often=x", "people.at_least"),
        ("did=Paid&often=2.5", "people.at_least"),
        ("did=Paid&often=-1", "people.at_least"),
        ("did=Paid&often=1,5", "people.at_least"),
        ("did=&often=2", "people.did"),
        ("did=&often=&since=2025-01-01", "people.did"),
        ("only=&op=is&val=Pro", "people.property"),
        ("only=&op=set&val=", "people.property"),
    ] {
        let text = page(form);
        assert!(text.contains(&format!("(at <code>{at}</code>)")), "{form}: {text}");
        assert!(!text.contains("headline total"), "{form}");
    }
    let text = page("did=Paid&often=1,000");
    assert!(text.contains("<strong>0</strong> people") && text.contains("1000"), "{text}");
    assert!(page("did=&often=&since=&before=&not=&only=&op=is&val=").contains("<strong>60</strong> people"));
    let steps = server.client().send(
        "GET",
        "/funnels?step=Visited&where=&op=is&val=3",
        &[("Cookie", session.as_str()), ("Prefer", "return=representation")],
        b"",
    );
    assert!(steps.text().contains("(at <code>steps[0].where[0].property</code>)"), "{}", steps.text());
}

#[test]
fn a_person_without_such_events_is_said_to_have_none() {
    let (_dir, server) = fresh();
    server.import(&history());
    let session = log_in(&server);
    let page = |query: &str| {
        let target = format!("/people/person1%40example.com{query}");
        server.client().send("GET", target, &[("Cookie", session.as_str())], b"").text()
    };
    let text = page("?event=Payed");
    assert!(
        text.contains("No event named \u{201c}") || text.contains("No event named &quot;Payed&quot;"),
        "{text}"
    );
    assert!(text.contains("No event of theirs is called \u{201c}Payed\u{201d}."), "{text}");
    let text = page("?event=Paid");
    assert!(text.contains("No event of theirs is called") && !text.contains("class=\"warning\""), "{text}");
    assert!(!page("").contains("No event of theirs"));
}

#[test]
fn people_whose_names_are_dots_have_pages() {
    let (_dir, server) = fresh();
    let event = |who: &str| {
        format!(
            "{{\"type\":\"event\",\"person\":\"{who}\",\"event\":\"Visited\",\"time\":\"2025-03-01T10:00:00Z\"}}\n"
        )
    };
    server.import(&[event("."), event(".."), event("...")].concat());
    let session = log_in(&server);
    let cookie = ("Cookie", session.as_str());
    let get = |target: &str| server.client().send("GET", target, &[cookie], b"");
    let search = get("/people").text();
    // A browser takes a segment of dots alone for a way through folders, even if they are encoded.
    let links = ["/people/%20.", "/people/%20..", "/people/..."];
    for (link, name) in links.into_iter().zip([".", "..", "..."]) {
        assert!(search.contains(&format!("href=\"{link}\"")), "{search}");
        let page = get(link);
        assert!(page.status == 200 && page.text().contains(&format!("<h1>{name}</h1>")), "{}", page.text());
        assert!(page.text().contains(&format!("action=\"{link}/merge\"")), "{}", page.text());
        assert_eq!(get(&format!("{link}/erase")).status, 200);
        assert_eq!(server.get(&format!("/api/v1{link}"))["person"], name);
    }
    let merged = post(&server, "/people/%20./merge", &[cookie, OWN, FORM], "into=...");
    assert_eq!((merged.status, merged.header("location")), (303, Some("/people/%20.")));
    let erased = post(&server, "/people/%20../erase", &[cookie, OWN, FORM], "confirm=..");
    assert_eq!(erased.status, 200, "{}", erased.text());
    assert_eq!(server.get("/api/v1/stats")["people"], 1);
}
