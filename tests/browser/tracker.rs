//! The tracker on a site that still has the snippet of the hosted service, with another host in it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use super::driver::{Browser, Driver};
use super::site::{Page, serve};
use crate::support::{Server, WRITE_KEY};

/// The two scripts as customers pasted them, asking `host` for them.
fn snippet(host: &str) -> String {
    format!(
        "var _kmq = _kmq || [];
var _kmk = _kmk || '{WRITE_KEY}';
function _kms(u){{
  setTimeout(function(){{
    var d = document, f = d.getElementsByTagName('script')[0],
    s = d.createElement('script');
    s.type = 'text/javascript'; s.async = true; s.src = u;
    f.parentNode.insertBefore(s, f);
  }}, 1);
}}
_kms('//{host}/i.js');
_kms('//{host}/' + _kmk + '.2.js');"
    )
}

fn html(head: &str, body: &str) -> String {
    format!("<!doctype html><html><head><meta charset=\"utf-8\">{head}</head><body>{body}</body></html>")
}

/// The site; its origin.
fn site(host: &str) -> String {
    let page = |text: String, policy: Option<String>| Page { kind: "text/html; charset=utf-8", policy, text };
    let strict = || Some(format!("script-src 'self' http://{host}"));
    let inline = format!("<script>{}</script>", snippet(host));
    let external = "<script src=\"/setup.js\"></script>".to_owned();
    let shop = "<a id=\"pricing\" href=\"#p\">Pricing</a>
        <a class=\"external\" href=\"http://partner.test:PORT/\">Partner</a>
        <button data-km-event=\"Opened Menu\" data-km-props='{\"Place\":\"top\"}'><span>Menu</span></button>
        <form id=\"signup\" action=\"/thanks\"><input name=\"email\" type=\"email\"><input name=\"user[plan]\" value=\"Pro\">
          <input type=\"password\" name=\"password\" value=\"secret\"><input name=\"card-num\" value=\"4111\">
          <input type=\"checkbox\" name=\"news[]\" value=\"b\" checked><input type=\"checkbox\" name=\"news[]\" value=\"a\" checked>
          <input type=\"checkbox\" name=\"terms\" value=\"yes\"><button>Sign up</button></form>";
    let quiet = "<script>Object.defineProperty(navigator, 'doNotTrack', {get: function () { return '1'; }});</script>";
    let mut pages = HashMap::new();
    let setup = format!(
        "{}
_kmq.push(['trackClick', 'pricing', 'Clicked Pricing', {{Place: 'menu'}}]);
_kmq.push(['trackClickOnOutboundLink', 'a.external', 'Left']);
_kmq.push(['trackSubmit', '#signup', 'Submitted']);
window.KM_PAGE_VIEW = location.pathname === '/app';",
        snippet(host)
    );
    pages.insert("/setup.js", Page { kind: "text/javascript", policy: None, text: setup });
    pages.insert("/", page(html(&external, shop), strict()));
    pages.insert("/thanks", page(html(&external, "Thanks"), strict()));
    pages.insert("/app", page(html(&external, "App"), strict()));
    let queued = "<script>_kmq.push(['record', 'Viewed Offer', {Price: 9.5, List: [1, 2], No: null}]);
        _kmq.push(function () { window.ready = KM.i(); });</script>";
    pages.insert("/offer", page(html(&format!("{inline}{queued}"), "Offer"), None));
    pages.insert("/quiet", page(html(&format!("{quiet}{inline}{queued}"), "Quiet"), None));
    let search = "<a id=\"hit\" href=\"http://shop.test:PORT/\">Shop</a>";
    let open = "<meta name=\"referrer\" content=\"unsafe-url\">";
    pages.insert("/search", page(html(open, search), None));
    // The pages are made before the port is known, so links to it are put in by the browser.
    let port = serve(pages);
    format!("shop.test:{port}")
}

/// What the server has, oldest first; each line once.
fn records(server: &Server) -> Vec<Json> {
    let mut lines: Vec<Json> =
        server.export().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.sort_by(|a, b| a["time"].as_f64().partial_cmp(&b["time"].as_f64()).unwrap());
    lines
}

fn named<'r>(records: &'r [Json], event: &str) -> Vec<&'r Json> {
    records.iter().filter(|r| r["event"] == event).collect()
}

/// Waits until `check` is content with what the server has.
fn until(server: &Server, what: &str, check: impl Fn(&[Json]) -> bool) -> Vec<Json> {
    let begin = Instant::now();
    loop {
        let records = records(server);
        if check(&records) {
            return records;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "{what} did not come: {records:#?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn loaded(browser: &mut Browser) {
    browser.wait_for("return !!(window.KM && window.KM.whodid)");
}

fn people(server: &Server) -> u64 {
    server.get("/api/v1/stats")["people"].as_u64().unwrap()
}

#[test]
fn a_site_with_the_old_snippet_goes_through() {
    let Some(driver) = Driver::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    let shop = site(&server.addr);
    let mut browser = driver.browser();

    // A campaign, and commands that waited for the script.
    browser.go(&format!(
        "http://{shop}/offer?utm_source=news&utm_medium=email&utm_campaign=May&kme=Came&km_ref=x"
    ));
    let visitor = browser.wait_for("return window.ready").as_str().unwrap().to_owned();
    let all = until(&server, "the landing", |r| {
        !named(r, "Ad Campaign Hit").is_empty() && !named(r, "Came").is_empty()
    });
    assert_eq!(visitor.len(), 28);
    assert_eq!(
        named(&all, "Viewed Offer")[0]["properties"],
        serde_json::json!({"Price": 9.5, "List": "1,2", "No": ""})
    );
    assert_eq!(named(&all, "Visited Site")[0]["properties"]["Referrer"], "Direct");
    assert_eq!(named(&all, "Ad Campaign Hit")[0]["properties"]["Campaign Name"], "May");
    assert_eq!(named(&all, "Came")[0]["properties"], serde_json::json!({"ref": "x"}));
    assert!(all.iter().any(|r| r["type"] == "set" && r["properties"]["Campaign Source"] == "news"));
    assert!(all.iter().all(|r| r["person"] == visitor.as_str()), "{all:#?}");

    // Clicks, by id, by attribute and outwards; under a policy that allows no inline script.
    browser.go(&format!("http://{shop}/"));
    loaded(&mut browser);
    browser.run(&format!(
        "document.querySelector('a.external').href = 'http://partner.test:{}/search'",
        &shop[10..]
    ));
    browser.click("#pricing");
    browser.click("button[data-km-event] span");
    browser.click("a.external");
    let all = until(&server, "the clicks", |r| !named(r, "Left").is_empty());
    assert_eq!(named(&all, "Clicked Pricing")[0]["properties"], serde_json::json!({"Place": "menu"}));
    assert_eq!(named(&all, "Opened Menu")[0]["properties"], serde_json::json!({"Place": "top"}));
    assert_eq!(named(&all, "Visited Site").len(), 1, "it is one visit");

    // A form: its fields but no secrets; the address says who it is.
    browser.go(&format!("http://{shop}/"));
    loaded(&mut browser);
    browser.type_into("input[name=email]", "jane@example.com");
    browser.click("form button");
    let all = until(&server, "the form", |r| {
        !named(r, "Submitted").is_empty() && r.iter().any(|r| r["type"] == "identify")
    });
    let sent = &named(&all, "Submitted")[0]["properties"];
    assert_eq!(*sent, serde_json::json!({"email": "jane@example.com", "user_plan": "Pro", "news": "a,b"}));
    assert_eq!(people(&server), 1);
    assert_eq!(server.get("/api/v1/people/jane%40example.com")["identities"].as_array().unwrap().len(), 2);

    // Somebody else on the same browser, and a page that changes its own address.
    browser.go(&format!("http://{shop}/app"));
    loaded(&mut browser);
    browser.run("_kmq.push(['clearIdentity']); _kmq.push(['record', 'Logged Out'])");
    browser.run("history.pushState({}, '', '/app?tab=2'); history.replaceState({}, '', '/app?tab=2#x'); history.back()");
    let all = until(&server, "page views", |r| {
        named(r, "Page View").len() == 3 && !named(r, "Logged Out").is_empty()
    });
    let other = named(&all, "Logged Out")[0]["person"].as_str().unwrap();
    assert!(other.len() == 28 && other != visitor, "{other}");
    assert_eq!(people(&server), 2);
    // Our own machine answers all, so the only thing that may be missing is the icon of a page.
    let errors: Vec<String> = browser.errors().into_iter().filter(|e| !e.contains("favicon")).collect();
    assert_eq!(errors, [""; 0]);

    // The same person on another browser, come from a search.
    let mut second = driver.browser();
    let engine = format!("http://search.lycos.com:{}/search?query=red+shoes", &shop[10..]);
    second.go(&engine);
    second.run(&format!("document.getElementById('hit').href = 'http://{shop}/'"));
    second.click("#hit");
    loaded(&mut second);
    second.run("_kmq.push(['identify', 'jane@example.com']); _kmq.push(['signedUp', 'Pro', {Seats: 2}])");
    let all = until(&server, "the search", |r| {
        !named(r, "Signed Up").is_empty() && !named(r, "Search Engine Hit").is_empty()
    });
    let hit = &named(&all, "Search Engine Hit")[0]["properties"];
    assert_eq!(*hit, serde_json::json!({"Search Engine": "Lycos", "Search Terms": "red shoes"}));
    assert_eq!(
        named(&all, "Signed Up")[0]["properties"],
        serde_json::json!({"Plan Name": "Pro", "Seats": 2})
    );
    assert!(all.iter().any(|r| r["type"] == "set" && r["properties"]["Referrer"] == engine.as_str()));
    assert_eq!(server.get("/api/v1/people/jane%40example.com")["identities"].as_array().unwrap().len(), 3);
    assert_eq!(people(&server), 2);

    // Who does not want to be followed is not.
    let before = records(&server).len();
    let mut third = driver.browser();
    third.go(&format!("http://{shop}/quiet"));
    loaded(&mut third);
    third.run("_kmq.push(['record', 'Quiet']); _kmq.push(['identify', 'quiet@example.com'])");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(third.run("return document.cookie + Object.keys(localStorage).length"), "0");
    assert_eq!(records(&server).len(), before);
}

#[test]
fn nothing_is_lost_while_the_server_is_down() {
    let Some(driver) = Driver::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("store");
    let server = Server::start(&data);
    let (addr, shop) = (server.addr.clone(), site(&server.addr));
    let mut browser = driver.browser();
    browser.go(&format!("http://{shop}/"));
    loaded(&mut browser);
    until(&server, "the visit", |r| !named(r, "Visited Site").is_empty());
    server.stop();
    browser.run("for (var i = 0; i < 3; i++) _kmq.push(['record', 'While Down', {n: i}])");
    browser.run("_kmq.push(['identify', 'jane@example.com'])");
    // Another page, without the script: it could not be loaded. Then the server is back.
    browser.go(&format!("http://{shop}/thanks"));
    std::thread::sleep(Duration::from_millis(1500));
    let server = Server::start_at(&data, &addr);
    browser.go(&format!("http://{shop}/?again"));
    loaded(&mut browser);
    browser.run("_kmq.push(['record', 'Back'])");
    let all = until(&server, "what was kept", |r| {
        named(r, "While Down").len() == 3
            && !named(r, "Back").is_empty()
            && r.iter().any(|r| r["type"] == "identify")
    });
    let times: Vec<f64> = named(&all, "While Down").iter().map(|r| r["time"].as_f64().unwrap()).collect();
    let back = named(&all, "Back")[0]["time"].as_f64().unwrap();
    assert!(times.iter().all(|t| back - t > 1.4), "they keep the time that they were made: {times:?} {back}");
    assert_eq!(people(&server), 1);
    // Everything that is sent once more by this page is stored once.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(named(&records(&server), "While Down").len(), 3);
    assert_eq!(browser.run("return localStorage.getItem('km_uq')"), Json::Null);
}
