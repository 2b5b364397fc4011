//! What owners set in the pages: keys that are good at once, how long events are kept, and whether robots count.

use super::accounts::{get, joined, send};
use super::pages::{FORM, OWN, log_in, post};
use super::projects::create;
use super::{fresh, history};
use crate::support::{API_KEY, Reply, Server, WRITE_KEY};

fn with_key(server: &Server, method: &str, target: &str, key: &str, body: &str) -> Reply {
    server.client().send(method, target, &[("Authorization", &format!("Bearer {key}"))], body.as_bytes())
}

/// What a page shows once.
fn shown(reply: &Reply) -> String {
    let text = reply.text();
    assert_eq!(reply.status, 200, "{text}");
    text.split("<code>").nth(1).unwrap().split('<').next().unwrap().to_owned()
}

#[test]
fn keys_are_good_at_once_and_end_at_once() {
    let (_dir, server) = fresh();
    let owner = log_in(&server);
    let (_, own) = create(&server, &owner, "Shop");
    let line = r#"{"type":"event","person":"a","event":"Came","time":"2025-03-01T10:00:00Z"}"#;
    for base in ["", "/p/2"] {
        let make = |name: &str, scope: &str| {
            send(&server, &owner, &format!("{base}/keys"), &[("name", name), ("scope", scope)])
        };
        let [write, read, manage] =
            ["write", "read", "manage"].map(|scope| shown(&make(&format!("<i>{scope}"), scope)));
        assert_eq!(make("<i>read", "read").status, 409, "a name is taken once");
        assert_eq!((make("x", "all").status, make(" ", "read").status), (422, 422));
        let uses = |key: &str| {
            [
                with_key(&server, "POST", "/api/v1/import", key, line).status,
                with_key(&server, "GET", "/api/v1/stats", key, "").status,
                with_key(&server, "PUT", "/api/v1/audiences/A", key, r#"{"people":{"did":"Came"}}"#).status,
            ]
        };
        assert_eq!(uses(&write), [200, 403, 403], "{base}");
        assert_eq!(uses(&read), [403, 200, 403], "{base}");
        assert_eq!(uses(&manage), [200, 200, 200], "{base}");
        assert_eq!(with_key(&server, "GET", "/api/v1/stats", &read, "").json()["events"], 1);
        let page = get(&server, &format!("{base}/settings"), &owner).text();
        assert!(page.contains("&lt;i&gt;read") && !page.contains(&read) && !page.contains(&write), "{page}");
        let by_key = post(&server, "/login", &[FORM], &format!("key={manage}"));
        let by_key = by_key.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        assert_eq!(get(&server, &format!("{base}/people"), &by_key).status, 200);
        for (key, scope) in [(&write, "write"), (&read, "read"), (&manage, "manage")] {
            let gone = [("name", format!("<i>{scope}")), ("confirm", "1".to_owned())];
            let gone = gone.each_ref().map(|(name, value)| (*name, value.as_str()));
            assert_eq!(send(&server, &owner, &format!("{base}/keys/delete"), &gone).status, 303);
            assert_eq!(uses(key), [401, 401, 401], "{scope} of {base:?} is good for nothing any more");
            assert_eq!(send(&server, &owner, &format!("{base}/keys/delete"), &gone).status, 404);
        }
        assert_eq!(get(&server, &format!("{base}/people"), &by_key).status, 303, "nor is who came with it");
    }
    // The API key of a project can be changed, whoever lost it or knows it.
    let next = shown(&send(&server, &owner, "/p/2/keys/replace", &[("confirm", "1")]));
    let stats = |key: &str| with_key(&server, "GET", "/api/v1/stats", key, "").status;
    assert_eq!((stats(&own), stats(&next), stats(API_KEY)), (401, 200, 200));
    let kept = shown(&send(&server, &owner, "/p/2/keys", &[("name", "kept"), ("scope", "read")]));
    let file = std::fs::read_to_string(server.data.join("projects/2/keys.json")).unwrap();
    assert!(!file.contains(&kept) && !file.contains(&next) && file.contains("\"kept\""), "{file}");
    let data = server.data.clone();
    server.stop();
    let server = Server::start(&data);
    let stats = |key: &str| with_key(&server, "GET", "/api/v1/stats", key, "").status;
    assert_eq!((stats(&own), stats(&next), stats(&kept)), (401, 200, 200));
}

#[test]
fn keys_are_for_owners_of_their_project() {
    let (_dir, server) = fresh();
    let owner = log_in(&server);
    let (write, _) = create(&server, &owner, "Shop");
    server.client().open(format!("/e?_k={write}&_p=a&_n=Came"));
    let shopkeeper = joined(&server, &owner, "shop@example.com", "owner", "2");
    let editor = joined(&server, &owner, "editor@example.com", "editor", "");
    let pairs = [("name", "K"), ("scope", "manage")];
    assert_eq!(send(&server, &shopkeeper, "/p/2/keys", &pairs).status, 200);
    for (session, target) in [(&shopkeeper, "/keys"), (&editor, "/keys"), (&editor, "/p/2/keys")] {
        assert_eq!(send(&server, session, target, &pairs).status, 403, "{target}");
        assert_eq!(send(&server, session, &format!("{target}/delete"), &pairs).status, 403, "{target}");
        assert_eq!(send(&server, session, &format!("{target}/replace"), &pairs).status, 403, "{target}");
    }
    // Whoever owns the first project alone gets no key of the whole server.
    let first = joined(&server, &owner, "first@example.com", "owner", "1");
    let key = shown(&send(&server, &first, "/keys", &pairs));
    let by_key = post(&server, "/login", &[FORM], &format!("key={key}"));
    let by_key = by_key.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    for session in [&first, &by_key] {
        assert_eq!(get(&server, "/settings", session).status, 200);
        assert!(!get(&server, "/settings", session).text().contains("Replace"));
        for target in ["/keys/replace", "/users", "/projects", "/p/2/keys"] {
            let pairs = [("name", "X"), ("scope", "read"), ("email", "eve@example.com"), ("role", "owner")];
            assert_eq!(send(&server, session, target, &pairs).status, 403, "{target}");
        }
        assert_eq!(get(&server, "/p/2/people", session).status, 403);
    }
    assert_eq!(with_key(&server, "POST", "/api/v1/backup", &key, "").code(), "other_project");
    assert!(!with_key(&server, "GET", "/metrics", &key, "").text().contains("project=\"2\""));
    let page = get(&server, "/p/2/settings", &editor).text();
    assert!(page.contains(">K<") && !page.contains("Create key") && !page.contains("Revoke"), "{page}");
}

#[test]
fn what_nothing_takes_back_is_asked_first() {
    let (_dir, server) = fresh();
    server.import(&history());
    let owner = log_in(&server);
    create(&server, &owner, "Shop");
    joined(&server, &owner, "jane@example.com", "viewer", "");
    let query = r#"{"steps":[{"event":"Paid"}]}"#;
    for base in ["", "/p/2"] {
        let change =
            |target: &str, pairs: &[(&str, &str)]| send(&server, &owner, &format!("{base}{target}"), pairs);
        change("/keys", &[("name", "<i>K"), ("scope", "manage")]);
        change("/reports", &[("name", "R"), ("report", "funnel"), ("query", query), ("pinned", "1")]);
        change("/audiences", &[("name", "A"), ("people", r#"{"did":"Paid"}"#)]);
        change("/shares", &[("address", "/funnels?step=Paid")]);
    }
    let settings = |base: &str| get(&server, &format!("{base}/settings"), &owner).text();
    let hash =
        settings("").split("name=\"hash\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    for (target, name, value, says, left) in [
        ("/reports/delete", "name", "R", "it leaves the overview", "Delete R"),
        ("/audiences/delete", "name", "A", "programs that name it are refused", "Delete A"),
        ("/shares/delete", "hash", hash.as_str(), "sees nothing any more", "End the link"),
        ("/keys/delete", "name", "<i>K", "logged in with it is logged out", "Revoke &lt;i&gt;K"),
        ("/users/delete", "email", "jane@example.com", "logged out at once", "Remove jane@example.com"),
        ("/keys/replace", "key", "api", "is refused until it has the new one", "Replace the API key"),
    ] {
        let asked = send(&server, &owner, target, &[(name, value)]);
        let text = asked.text();
        assert!(asked.status == 200 && text.contains(says), "{target}: {text}");
        assert!(
            text.contains(&format!("action=\"{target}\"")) && text.contains("name=\"confirm\""),
            "{text}"
        );
        assert!(settings("").contains(left) && server.get("/api/v1/stats")["people"] == 60, "{target}");
        if target != "/keys/replace" {
            assert_eq!(send(&server, &owner, target, &[(name, value), ("confirm", "1")]).status, 303);
            assert!(!settings("").contains(left), "{target}");
            // Accounts are of all projects.
            assert_eq!(
                settings("/p/2").contains(left),
                !left.contains("jane"),
                "another project keeps its own"
            );
            let again = send(&server, &owner, target, &[(name, value)]).status;
            assert!(matches!(again, 303 | 404), "what is not there is not asked for: {target} {again}");
        }
    }
    let other = send(&server, &owner, "/p/2/reports/delete", &[("name", "R")]).text();
    assert!(other.contains("action=\"/p/2/reports/delete\""), "{other}");
}

#[test]
fn a_refused_form_is_shown_once_more_with_what_was_sent() {
    let (_dir, server) = fresh();
    server.import(&history());
    let owner = log_in(&server);
    let (write, _) = create(&server, &owner, "Shop");
    server.client().open(format!("/e?_k={write}&_p=a&_n=Came"));
    let from = |target: &str, page: &str, pairs: &[(&str, &str)]| {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let page = format!("http://{}{page}", server.addr);
        post(&server, target, &[("Cookie", &owner), OWN, FORM, ("Referer", &page)], &body)
    };
    for base in ["", "/p/2"] {
        let settings = format!("{base}/settings");
        for (target, pairs, fields) in [
            (
                "/settings",
                &[
                    ("tz", "Europe/Nowhere"),
                    ("week_start", "sunday"),
                    ("robots", "without"),
                    ("nobody", "me, you"),
                ][..],
                &[
                    "value=\"Europe/Nowhere\"",
                    "value=\"sunday\" selected",
                    "value=\"without\" selected",
                    "value=\"me, you\"",
                ][..],
            ),
            (
                "/retention",
                &[("event", "Paid"), ("days", "soon")][..],
                &["value=\"Paid\"", "value=\"soon\""][..],
            ),
            (
                "/events",
                &[("event", "Piad"), ("shown_as", "Bought"), ("description", "<i>"), ("hidden", "1")][..],
                &["value=\"Piad\"", "value=\"Bought\"", "value=\"&lt;i&gt;\"", "value=\"1\" checked"][..],
            ),
            ("/keys", &[("name", "K"), ("scope", "all")][..], &["name=\"name\" value=\"K\""][..]),
            (
                "/users",
                &[("email", "nobody"), ("role", "editor")][..],
                &["value=\"nobody\"", "value=\"editor\" selected"][..],
            ),
        ] {
            let reply = from(&format!("{base}{target}"), &settings, pairs);
            let text = reply.text();
            assert_eq!((reply.status, text.matches("role=\"alert\"").count()), (422, 1), "{target}: {text}");
            assert!(text.contains("<h1>Settings</h1>"), "{target}: {text}");
            let form = text.split("role=\"alert\"").nth(1).unwrap().split("</form>").next().unwrap();
            fields.iter().for_each(|field| assert!(form.contains(field), "{target}: {field}: {form}"));
        }
    }
    let erase = "/people/person1%40example.com/erase";
    let wrong = from(erase, erase, &[("confirm", "person2@example.com")]);
    assert!(
        wrong.status == 422 && wrong.text().contains("<h1>Erase person1@example.com?</h1>"),
        "{}",
        wrong.text()
    );
    assert!(wrong.text().contains("nobody was erased"));
    // Whose page is no form of settings, or another project's, is led back to it.
    let stopped = from("/shares", "/funnels?step=Paid", &[("address", "/people")]).text();
    assert!(stopped.contains("href=\"/funnels?step=Paid\">Back</a>"), "{stopped}");
    let stopped = from("/p/2/retention", "/settings", &[("days", "soon")]).text();
    assert!(!stopped.contains("<h1>Settings</h1>"), "{stopped}");
    let stopped = send(&server, &owner, "/retention", &[("days", "soon")]).text();
    assert!(stopped.contains("href=\"/\">To the overview</a>"), "{stopped}");
}

#[test]
fn events_are_kept_as_long_as_the_page_says() {
    let (_dir, server) = fresh();
    let owner = log_in(&server);
    create(&server, &owner, "Shop");
    let key = shown(&send(&server, &owner, "/p/2/keys", &[("name", "k"), ("scope", "manage")]));
    let imported = with_key(&server, "POST", "/api/v1/import", &key, &history());
    assert_eq!(imported.status, 200, "{}", imported.text());
    let keep = |pairs: &[(&str, &str)]| send(&server, &owner, "/p/2/retention", pairs);
    let events = || with_key(&server, "GET", "/api/v1/stats", &key, "").json()["events"].as_u64().unwrap();
    assert_eq!((keep(&[("days", "x")]).status, keep(&[("days", "0")]).status, events()), (422, 422, 105));
    let asked = keep(&[("event", "Visited"), ("days", "30")]);
    assert!(asked.status == 200 && asked.text().contains("<strong>60</strong> events are older and go"));
    assert_eq!(events(), 105, "a look changes nothing");
    assert_eq!(get(&server, "/p/2/api/v1/retention", &owner).json()["days"], serde_json::Value::Null);
    assert_eq!(keep(&[("event", "Visited"), ("days", "30"), ("confirm", "1")]).status, 303);
    assert_eq!(events(), 45);
    // What takes nothing out is done at once.
    assert_eq!(keep(&[("event", "Paid"), ("days", "")]).status, 303);
    let asked = keep(&[("days", "30")]);
    assert!(asked.text().contains("<strong>30</strong> events are older and go"), "{}", asked.text());
    assert_eq!(keep(&[("days", "30"), ("confirm", "1")]).status, 303);
    let page = get(&server, "/p/2/settings", &owner).text();
    assert!(page.contains("All others") && page.contains("30 days") && page.contains("for ever"), "{page}");
    assert_eq!(events(), 15, "those that are kept for ever");
    assert!(keep(&[("as_all", "Paid")]).text().contains("<strong>15</strong> events are older"));
    assert_eq!(keep(&[("as_all", "Paid"), ("confirm", "1")]).status, 303);
    assert_eq!(
        (events(), server.get("/api/v1/retention")["days"].as_u64()),
        (0, None),
        "the other keeps all"
    );
}

#[test]
fn pages_leave_robots_out_if_the_settings_say_so() {
    let (_dir, server) = fresh();
    server.import(&history());
    let robot = |n: u32| {
        format!(
            "{{\"type\":\"set\",\"person\":\"person{n}@example.com\",\"time\":\"2025-03-01T11:00:00Z\",\"properties\":{{\"User Agent\":\"Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)\"}}}}\n"
        )
    };
    server.import(&(robot(0) + &robot(1)));
    let owner = log_in(&server);
    let says = |target: &str, words: &str| {
        let page = get(&server, target, &owner).text();
        assert!(page.contains(words), "{target} does not say {words}: {page}");
        page
    };
    says("/funnels?step=Visited", "of 60 people did");
    says("/funnels?step=Visited&robots=without", "of 58 people did");
    assert_eq!(send(&server, &owner, "/settings", &[("tz", "UTC"), ("robots", "without")]).status, 303);
    let page = says("/funnels?step=Visited&step=Paid", "of 58 people did");
    assert!(page.contains("Only people: no robots") && !page.contains("bot/"), "the list is not spelt out");
    assert!(
        page.contains("href=\"/funnels?step=Visited&amp;step=Paid&amp;robots=with\""),
        "a chip takes it away"
    );
    says("/funnels?step=Visited&robots=with", "of 60 people did");
    says("/funnels/people?step=Visited&at_step=1&outcome=reached", "<strong>58</strong> people");
    says("/people", "<strong>58</strong> people");
    says("/people?robots=with", "<strong>60</strong> people");
    says("/trends?series=Visited", "58");
    says("/people?people=%7B%22bot%22%3Atrue%7D", "<strong>2</strong> people");
    // Every number of the overview is as long as the list that it opens.
    let page = says("/", "<dd><a class=\"number\" href=\"/people\">58</a></dd>");
    let all = page.split("%22Visited%22").nth(1).unwrap().split("</a>").next().unwrap();
    assert!(all.ends_with("robots=with\">60"), "{all}");
    assert_eq!(super::people(&super::funnel(&server, r#"{"steps":[{"event":"Visited"}]}"#)), [60]);
    let saved = [("name", "R"), ("report", "funnel"), ("query", r#"{"steps":[{"event":"Paid"}]}"#)];
    assert_eq!(send(&server, &owner, "/reports", &saved).status, 303);
    let form = says("/funnels?step=Paid", "Save report");
    assert!(form.contains("&quot;bot&quot;:false"), "a report is saved as it was seen");
}

#[test]
fn the_projects_zone_and_week_are_those_of_every_report() {
    let (dir, server) = fresh();
    let line = |person: &str, time: &str| {
        format!(
            "{{\"type\":\"event\",\"person\":\"{person}\",\"event\":\"Paid\",\"time\":\"{time}\",\"properties\":{{\"Revenue\":5}}}}\n"
        )
    };
    // The first is still January in New York, and a Saturday there; the second a Sunday.
    server.import(&(line("a", "2025-02-01T02:00:00Z") + &line("b", "2025-02-02T17:00:00Z")));
    let owner = log_in(&server);
    let starts = |query: &str| -> Vec<String> {
        let answer = with_key(&server, "POST", "/api/v1/revenue", API_KEY, query).json();
        let list = answer["series"].as_array().unwrap().clone();
        list.iter().map(|point| point["start"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(starts(r#"{"unit":"month"}"#), ["2025-02-01"]);
    assert_eq!(starts(r#"{"unit":"week"}"#), ["2025-01-27"]);
    let said = [("tz", "America/New_York"), ("week_start", "sunday"), ("robots", "with")];
    assert_eq!(send(&server, &owner, "/settings", &said).status, 303);
    assert_eq!(starts(r#"{"unit":"month"}"#), ["2025-01-01", "2025-02-01"]);
    assert_eq!(starts(r#"{"unit":"week"}"#), ["2025-01-26", "2025-02-02"]);
    assert_eq!(starts(r#"{"unit":"month","tz":"UTC"}"#), ["2025-02-01"]);
    assert_eq!(starts(r#"{"unit":"week","week_start":"monday"}"#), ["2025-01-27"]);
    let february = r#"{"steps":[{"event":"Paid"}],"from":"2025-02-01","to":"2025-02-28"}"#;
    let answer = super::funnel(&server, february);
    assert_eq!(
        (super::people(&answer), answer["receipt"]["tz"].as_str()),
        (vec![1], Some("America/New_York"))
    );
    // The command line, on the files.
    let read = crate::support::whodid(&dir.path().join("store"))
        .args(["revenue", "--unit", "month", "--json"])
        .output()
        .unwrap();
    let read: serde_json::Value = serde_json::from_slice(&read.stdout).unwrap();
    assert_eq!(read["series"].as_array().unwrap().len(), 2, "{read}");
    let page = get(&server, "/revenue?unit=month", &owner).text();
    assert!(page.contains("2025-01") || page.contains("January"), "{page}");
}

#[test]
fn only_own_pages_log_in_and_out() {
    let (_dir, server) = fresh();
    let owner = log_in(&server);
    let by = |path: &str, headers: &[(&str, &str)]| {
        let mut all = vec![FORM, ("Cookie", owner.as_str())];
        all.extend(headers);
        post(&server, path, &all, &format!("key={API_KEY}")).status
    };
    let foreign = [("Origin", "http://evil.example"), ("Sec-Fetch-Site", "cross-site")];
    for path in ["/login", "/logout", "/join"] {
        assert_eq!(
            (by(path, &foreign), by(path, &foreign[..1]), by(path, &foreign[1..])),
            (403, 403, 403),
            "{path}"
        );
    }
    assert_eq!(get(&server, "/people", &owner).status, 200, "still logged in");
    assert_eq!((by("/login", &[]), by("/login", &[("Sec-Fetch-Site", "same-origin")])), (303, 303));
    assert_eq!(by("/logout", &[("Sec-Fetch-Site", "same-origin")]), 303);
}

#[test]
fn a_key_that_was_replaced_is_not_good_again_after_a_restart() {
    let (dir, server) = fresh();
    let owner = log_in(&server);
    let next = shown(&send(&server, &owner, "/keys/replace", &[("confirm", "1")]));
    let good = |server: &Server| {
        [API_KEY, next.as_str()].map(|key| with_key(server, "GET", "/api/v1/stats", key, "").status)
    };
    assert_eq!(good(&server), [401, 200]);
    drop(server);
    // Started with the old one, as a service is by its file.
    let server = Server::start(&dir.path().join("store"));
    assert_eq!(good(&server), [401, 200]);
    let log = std::fs::read_to_string(dir.path().join("store.log")).unwrap();
    assert!(log.contains("was replaced"), "{log}");
}

#[test]
fn words_for_nobody_are_those_of_the_settings() {
    let (_dir, server) = fresh();
    let owner = log_in(&server);
    let _ = create(&server, &owner, "Shop");
    let identify = |word: &str| {
        let line = format!(
            r#"{{"type":"identify","person":"anon-{word}","identity":"{word}","time":"2025-03-01T10:00:00Z"}}"#
        );
        let report = with_key(&server, "POST", "/api/v1/import", API_KEY, &line).json();
        report["accepted"] == 1
    };
    let track = |word: &str| {
        let body = format!(
            r#"{{"writeKey":"{WRITE_KEY}","batch":[{{"type":"track","userId":"{word}","anonymousId":"a-{word}","event":"Paid"}}]}}"#
        );
        assert_eq!(server.client().send("POST", "/v1/batch", &[], body.as_bytes()).status, 200);
        with_key(&server, "GET", &format!("/api/v1/people/{word}"), API_KEY, "").status == 200
    };
    assert_eq!((identify("guest"), track("nil")), (false, false));
    let set = |words: &str| {
        let said = [("tz", "UTC"), ("week_start", ""), ("robots", "with"), ("nobody", words)];
        send(&server, &owner, "/settings", &said).status
    };
    assert_eq!(set(" Tester, -1,tester"), 303);
    assert_eq!(
        (identify("guest"), track("nil"), identify("TESTER"), track("-1")),
        (true, true, false, false)
    );
    // The wire of Kissmetrics: who is known counts at once.
    server.client().open(format!("/a?_k={WRITE_KEY}&_p=anon-9&_n=tester"));
    assert_eq!(with_key(&server, "GET", "/api/v1/people/tester", API_KEY, "").status, 404);
    let page = get(&server, "/settings", &owner).text();
    assert!(page.contains(r#"name="nobody" value="tester, -1""#), "{page}");
    let other = get(&server, "/p/2/settings", &owner).text();
    assert!(other.contains(r#"value="null, nil,"#), "each project has its own: {other}");
    assert_eq!(set(&"x,".repeat(400)), 303, "one word");
    assert_eq!(set(&(0..101).map(|n| format!("{n},")).collect::<String>()), 422);
    assert_eq!(set(""), 303);
    assert_eq!((identify("Guest"), identify("-1")), (false, true));
}
