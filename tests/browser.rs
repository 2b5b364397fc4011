//! The tracker in a real browser: a site is visited, and then every record is in the store exactly once, at the right
//! person. Without a Chromium these tests say so and pass; `tests/install` installs one.

mod cdp;
mod delivery;
mod site;
mod visitors;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::support::{API_KEY, Server, WRITE_KEY};
use cdp::{Browser, Tab};

const SHOP: &str = "http://www.shop.example/";
const VARIABLES: [(&str, &str); 3] =
    [("WHODID_API_KEY", API_KEY), ("WHODID_WRITE_KEY", WRITE_KEY), ("WHODID_TRACKER_PATH", "/js/app.js")];

/// A server, a site and a browser that finds both.
struct World {
    server: Server,
    browser: Browser,
    site: String,
    _dir: tempfile::TempDir,
}

impl World {
    /// `None`, loudly, where there is no browser.
    fn new() -> Option<Self> {
        let Some(program) = cdp::find() else {
            // Past the capture of `eprintln!`, which would keep it from those who need to know.
            let why =
                "SKIPPED: no Chromium on this machine, so the tracker was not tested; run tests/install";
            std::io::stderr().write_all(format!("{why}\n").as_bytes()).unwrap();
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start_with(&dir.path().join("store"), &VARIABLES).0;
        let site = site::start();
        let mut hosts = vec![("stats.example", server.addr.clone())];
        let names = ["shop.example", "*.shop.example", "other.example", "search.lycos.com", "*.co.uk"];
        hosts.extend(names.map(|name| (name, site.clone())));
        let browser = Browser::start(&program, &hosts);
        Some(Self { server, browser, site, _dir: dir })
    }

    fn visitor(&mut self) -> Tab {
        self.browser.visitor()
    }

    /// Opens a page and waits for the tracker.
    fn open(&mut self, tab: &Tab, url: &str) {
        self.browser.open(tab, url);
        self.tracked(tab);
    }

    fn tracked(&mut self, tab: &Tab) {
        self.browser.wait(tab, "document.readyState === 'complete' && KM.version && !Array.isArray(_kmq)");
    }

    /// Runs a script in the page.
    fn run(&mut self, tab: &Tab, script: &str) -> Json {
        self.browser.value(tab, script)
    }

    /// Waits until everything of the tab is answered for.
    fn delivered(&mut self, tab: &Tab) {
        self.browser.wait(tab, "!Object.keys(localStorage).some((name) => name.startsWith('kmq.'))");
    }

    /// Every record of the store.
    fn records(&self) -> Vec<Json> {
        let text = self.server.client().get("/api/v1/export").text();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits until the store has these events and no other, each as often as it stands here; in any order.
    fn expect_events(&self, expected: &[&str]) {
        let mut expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
        expected.sort();
        let begin = Instant::now();
        loop {
            let mut found: Vec<String> =
                self.records().iter().filter_map(|r| r["event"].as_str().map(ToOwned::to_owned)).collect();
            found.sort();
            if found == expected {
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(20), "found {found:?}, expected {expected:?}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The only event of this name.
    fn event(&self, name: &str) -> Json {
        let mut found: Vec<Json> = self.records().into_iter().filter(|r| r["event"] == name).collect();
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        found.remove(0)
    }

    fn person(&self, identity: &str) -> Json {
        let encoded: String = form_urlencoded::byte_serialize(identity.as_bytes()).collect();
        self.server.get(&format!("/api/v1/people/{encoded}"))
    }

    fn id(&mut self, tab: &Tab) -> String {
        self.run(tab, "KM.i()").as_str().unwrap().to_owned()
    }
}

#[test]
fn people_are_followed_from_an_advertisement_over_two_browsers() {
    let Some(mut world) = World::new() else { return };
    let phone = world.visitor();
    let landing = format!(
        "{SHOP}?utm_source=news&utm_medium=email&utm_campaign=Spring+Sale&token=abc&kme=Clicked+Mail&km_list=9"
    );
    world.open(&phone, &landing);
    world.expect_events(&["Clicked Mail", "Visited Site", "Ad Campaign Hit"]);
    let anonymous = world.id(&phone);
    assert_eq!(anonymous.len(), 28);
    let url = landing.replace("token=abc", "token=");
    assert_eq!(world.event("Visited Site")["properties"], json!({ "URL": url, "Referrer": "Direct" }));
    assert_eq!(world.event("Ad Campaign Hit")["properties"]["Campaign Name"], "Spring Sale");
    assert_eq!(world.event("Clicked Mail")["properties"], json!({ "list": 9 }));
    let person = world.person(&anonymous);
    assert_eq!(person["properties"]["Campaign Medium"], "email");
    assert_eq!(person["properties"]["Referrer"], "Direct");
    assert_eq!((&person["identified"], &person["properties"]["Returning"]), (&json!(false), &Json::Null));

    // A second page of the same visit, on another host of the same site.
    world.open(&phone, "http://blog.shop.example/");
    assert_eq!(world.id(&phone), anonymous, "the cookie is the whole site's");
    world.run(&phone, "_kmq.push(['identify', 'undefined']); _kmq.push(['identify', 'jane@example.com'])");
    world.run(
        &phone,
        "new Promise((done) => KM.record('Signed Up', { Plan: 'Pro', tags: [1, 2], no: {} }, done))",
    );
    let signed_up = world.event("Signed Up");
    assert_eq!(signed_up["person"], "jane@example.com");
    assert_eq!(signed_up["properties"], json!({ "Plan": "Pro", "tags": "1,2" }));

    let laptop = world.visitor();
    world.browser.open(&laptop, "http://search.lycos.com/links?query=red+shoes");
    world.browser.click(&laptop, "#go");
    world.tracked(&laptop);
    world.run(&laptop, "_kmq.push(['identify', 'jane@example.com']); _kmq.push(['signedUp', 'Team', {}])");
    world.delivered(&laptop);
    world.run(&laptop, "_kmq.push(['clearIdentity']); _kmq.push(['record', 'Looked Around'])");
    world.delivered(&laptop);
    world.expect_events(&[
        "Clicked Mail",
        "Visited Site",
        "Ad Campaign Hit",
        "Signed Up",
        "Visited Site",
        "Search Engine Hit",
        "Signed Up",
        "Looked Around",
    ]);
    let hit = world.event("Search Engine Hit");
    assert_eq!(hit["properties"], json!({ "Search Engine": "Lycos", "Search Terms": "red shoes" }));
    let jane = world.person("jane@example.com");
    assert_eq!((&jane["events"], &jane["identified"]), (&json!(7), &json!(true)));
    assert_eq!(jane["identities"].as_array().unwrap().len(), 3, "{jane}");
    let stranger = world.id(&laptop);
    assert_eq!(world.event("Looked Around")["person"], stranger.as_str());
    assert_eq!(world.person(&stranger)["events"], 1);
    assert_eq!(world.server.get("/api/v1/refusals")["counts"], json!({}));
}

#[test]
fn clicks_forms_and_outbound_links_are_recorded_once() {
    let Some(mut world) = World::new() else { return };
    let tab = world.visitor();
    world.open(&tab, SHOP);
    world.run(
        &tab,
        "_kmq.push(['trackClick', 'buy', 'Bought', { by: 'id' }]);\
         _kmq.push(['trackClick', '.maybe', 'Hesitated']);\
         _kmq.push(['trackClick', 'button.later', 'Came Later']);\
         _kmq.push(['trackClickOnOutboundLink', 'a.external', 'Left', { to: 'other' }]);\
         _kmq.push(['trackSubmit', '#signup', 'Submitted', { form: 1 }]);\
         document.body.insertAdjacentHTML('afterbegin', '<button class=later>Later</button>'); 0",
    );
    for button in ["#buy", ".maybe b", ".later", "[data-km-event]"] {
        world.browser.click(&tab, button);
    }
    // From the keyboard there is no press of a mouse. Half a second must have passed.
    thread::sleep(Duration::from_millis(600));
    world.run(&tab, "document.querySelector('.later').click()");
    world.browser.click(&tab, "#send");
    world.browser.wait(&tab, "location.pathname === '/thanks'");
    world.tracked(&tab);
    world.delivered(&tab);
    // A field hides the member of its form that is called like it.
    world.run(
        &tab,
        "document.body.insertAdjacentHTML('afterbegin', `<form id=hiding data-km-event=Hidden \
         data-km-prop-a=1 data-km-props='{\"b\":5}'><input name=elements value=2><input name=attributes value=3>\
         <input name=getAttribute value=4></form>`);\
         hiding.onsubmit = () => false; hiding.requestSubmit()",
    );
    world.delivered(&tab);
    let hidden = json!({ "a": 1, "b": 5, "elements": 2, "attributes": 3, "getAttribute": 4 });
    assert_eq!(world.event("Hidden")["properties"], hidden);
    world.run(&tab, "_kmq.push(['trackClickOnOutboundLink', '#out', 'Left', { to: 'other' }])");
    world.browser.click(&tab, "#out");
    world.browser.wait(&tab, "location.pathname === '/there' && document.readyState === 'complete'");
    world.expect_events(&[
        "Visited Site",
        "Bought",
        "Hesitated",
        "Came Later",
        "Came Later",
        "Asked",
        "Submitted",
        "Hidden",
        "Left",
    ]);
    assert_eq!(world.event("Bought")["properties"], json!({ "by": "id" }));
    assert_eq!(world.event("Asked")["properties"], json!({ "topic": "prices" }));
    let submitted = world.event("Submitted");
    let fields = json!({ "user_name": "Jane", "email": "jane@example.com", "plan": "Pro", "likes": "cake,tea",
                         "shipping": "Post", "source": "footer", "country": "DE", "form": 1 });
    assert_eq!(submitted["properties"], fields);
    assert_eq!(submitted["person"], "jane@example.com", "the field says who");
    assert_eq!(world.person("jane@example.com")["events"], 9);
}

#[test]
fn routes_of_a_single_page_are_page_views() {
    let Some(mut world) = World::new() else { return };
    let tab = world.visitor();
    world.open(&tab, &format!("{SHOP}spa"));
    world.run(
        &tab,
        "history.replaceState({}, '', '/spa'); location.hash = 'top'; history.pushState({}, '', '/spa/one')",
    );
    world.run(&tab, "new Promise((done) => setTimeout(done, 50))");
    world.run(&tab, "history.pushState({}, '', '/spa/two?x=1'); 0");
    world.run(&tab, "new Promise((done) => setTimeout(done, 50))");
    world.run(&tab, "history.back(); 0");
    world.expect_events(&["Visited Site", "Page View", "Page View", "Page View", "Page View"]);
    world.run(&tab, "_kmq.push(['page', 'Overlay', { n: 1 }])");
    world.delivered(&tab);
    let views: Vec<Json> = world.records().into_iter().filter(|r| r["event"] == "Page View").collect();
    let mut urls: Vec<&str> = views.iter().filter_map(|v| v["properties"]["Viewed URL"].as_str()).collect();
    urls.sort_unstable();
    let base = "http://www.shop.example/spa";
    let expected = [
        base,
        &format!("{base}/one"),
        &format!("{base}/one"),
        &format!("{base}/one"),
        &format!("{base}/two?x=1"),
    ];
    assert_eq!(urls, expected);
    let overlay = views.iter().find(|v| v["properties"]["Page Name"] == "Overlay").unwrap();
    assert_eq!(overlay["properties"]["n"], 1);
}

#[test]
fn strict_policies_let_it_work() {
    let Some(mut world) = World::new() else { return };
    for (path, events) in [("strict", 1), ("images", 2)] {
        let tab = world.visitor();
        world.open(&tab, &format!("{SHOP}{path}"));
        world.delivered(&tab);
        let violations = world.run(&tab, "violations");
        assert_eq!(violations == 0, path == "strict", "{path}: {violations}");
        world.expect_events(&["Loaded", "Visited Site"].repeat(events));
    }
    let records = world.records();
    let (of_browser, own): (Vec<&Json>, Vec<_>) = records
        .iter()
        .filter(|r| r["type"] == "set")
        .partition(|r| r["properties"]["User Agent"].is_string());
    assert_eq!((own.len(), of_browser.len()), (2, 2), "each visitor came from somewhere, with a browser");
}

#[test]
fn who_does_not_want_it_is_not_tracked() {
    let Some(mut world) = World::new() else { return };
    for sign in ["doNotTrack', { get: () => '1' }", "globalPrivacyControl', { get: () => true }"] {
        let tab = world.visitor();
        world.browser.before_pages(&tab, &format!("Object.defineProperty(Navigator.prototype, '{sign})"));
        world.open(&tab, SHOP);
        let traces = "KM.record('Never'); KM.identify('jane'); KM.ab('t', ['a', 'b']); \
                      [KM.i(), document.cookie, localStorage.length]";
        assert_eq!(world.run(&tab, traces), json!(["", "", 0]), "{sign}");
        // The page goes on.
        world.run(&tab, "new Promise((done) => KM.record('Never', {}, done))");
        world.run(&tab, "KM.optIn(); KM.record('Agreed')");
        world.delivered(&tab);
    }
    let both = ["Agreed", "Agreed", "Visited Site", "Visited Site"];
    world.expect_events(&both);

    let asked = world.visitor();
    world.open(&asked, &format!("{SHOP}asks"));
    world.run(&asked, "KM.record('Never')");
    assert_eq!(world.run(&asked, "document.cookie"), "");
    // What came before the consent is not made up for.
    world.run(&asked, "KM.optIn(); KM.record('Agreed')");
    world.delivered(&asked);
    let both = [&both[..], &["Agreed", "Visited Site"]].concat();
    let out = world.visitor();
    world.open(&out, &format!("{SHOP}thanks"));
    world.delivered(&out);
    world.run(&out, "_kmq.push(['optOut']); _kmq.push(['record', 'Never'])");
    assert_eq!(world.run(&out, "document.cookie"), "km_oo=1");
    world.open(&out, SHOP);
    assert_eq!(world.run(&out, "document.cookie"), "km_oo=1");

    let bare = world.visitor();
    world.open(&bare, &format!("{SHOP}bare"));
    world.run(&bare, "new Promise((done) => KM.record('Bare', {}, done))");
    assert_eq!(world.run(&bare, "[document.cookie, localStorage.length]"), json!(["", 0]));
    world.expect_events(&[&both[..], &["Visited Site", "Visited Site", "Bare"]].concat());
}

#[test]
fn a_server_that_was_down_gets_everything_once() {
    let Some(mut world) = World::new() else { return };
    let tab = world.visitor();
    world.open(&tab, SHOP);
    world.delivered(&tab);
    let (addr, data): (String, PathBuf) = (world.server.addr.clone(), world.server.data.clone());
    stop(&mut world, &data);
    let begin = Instant::now();
    world.run(&tab, "KM.record('Alone 1'); KM.identify('jane'); KM.record('Alone 2'); 0");
    world.run(&tab, "new Promise((done) => KM.record('Alone 3', { n: 3 }, done))");
    assert!(begin.elapsed() < Duration::from_secs(10), "a page is not kept waiting");
    // Whatever was on its way when the page was left counts once, too.
    world.browser.open(&tab, "http://other.example/there");
    world.server = Server::start_at(&addr, &data, &VARIABLES).0;
    world.open(&tab, SHOP);
    world.run(&tab, "for (let n = 0; n < 20; n++) KM.record('Many', { n }); location.href = '/thanks'; 0");
    world.browser.wait(&tab, "location.pathname === '/thanks'");
    world.tracked(&tab);
    world.delivered(&tab);
    let mut expected = vec!["Visited Site", "Alone 1", "Alone 2", "Alone 3"];
    expected.extend(["Many"; 20]);
    world.expect_events(&expected);
    assert_eq!(world.event("Alone 3")["properties"], json!({ "n": 3 }));
    let records = world.records();
    let time = |record: &Json| record["time"].as_f64().unwrap();
    let mut many: Vec<&Json> = records.iter().filter(|r| r["event"] == "Many").collect();
    many.sort_by_key(|record| record["properties"]["n"].as_u64());
    assert!(many.is_sorted_by(|a, b| time(a) < time(b)), "in the order in which it happened: {many:?}");
    assert_eq!(world.event("Alone 2")["person"], "jane");
    let jane = world.person("jane");
    assert_eq!((&jane["events"], jane["identities"].as_array().unwrap().len()), (&json!(24), 2), "{jane}");
}

/// Ends the server of `world`; a server on a store of its own takes the place meanwhile.
fn stop(world: &mut World, data: &Path) {
    let other = Server::start(&data.with_file_name("other"));
    std::mem::replace(&mut world.server, other).stop();
}

#[test]
fn the_helpers_of_the_library_answer() {
    let Some(mut world) = World::new() else { return };
    let tab = world.visitor();
    world.open(&tab, &format!("{SHOP}?a=1&B=two#part"));
    for (script, expected) in [
        (
            "KM.um('/') && KM.um('http://x.example/?a=1') && KM.um('/?b=*') && KM.um('/index.html')",
            json!(true),
        ),
        ("KM.um('/?a=2') || KM.um('/shop') || KM.um('/?c=*')", json!(false)),
        ("KM.urm('a=[0-9]')", json!(true)),
        (
            "KM.p({ a: null, b: [1, 'x'], c: {}, d: () => 1, e: true, 'f g': '\\ud800&' })",
            json!("a=&b=1%2Cx&e=true&f%20g=%EF%BF%BD%26"),
        ),
        (
            "KM.uprts('https://h.example:81/p?q=1')",
            json!({ "scheme": "https", "host": "h.example", "port": "81", "path": "/p", "query": "q=1", "params": { "q": "1" } }),
        ),
        ("KM.gc('ai') === KM.i() && KM.u() === location.href && KM.rf() === ''", json!(true)),
        ("Math.abs(KM.ts() - Date.now() / 1000) < 5", json!(true)),
        ("new Set(Array.from({ length: 9 }, () => KM.ab('t', { a: 1, b: 1 }))).size", json!(1)),
        ("KM.ab('all', { a: 0, b: 5 })", json!("b")),
        (
            "let n = {}; for (let i = 0; i < 400; i++) { const v = KM.ab('x' + i, ['a', 'b']); n[v] = (n[v] || 0) + 1 } n.a > 150 && n.b > 150",
            json!(true),
        ),
    ] {
        assert_eq!(world.run(&tab, script), expected, "{script}");
    }
    let mistakes = "_kmq.push(['nothing', 1]); _kmq.push(null); _kmq.push(['um']); _kmq.push(function () { window.ran = 1 }); ran";
    assert_eq!(world.run(&tab, mistakes), 1, "a mistake of the page stops nothing");
}

#[test]
fn a_visitor_known_from_before_stays_one_person() {
    let Some(mut world) = World::new() else { return };
    let tab = world.visitor();
    let cookies = "document.cookie = 'km_ai=b2xk%2BaWQ%3D'; document.cookie = 'km_lv=1700000000'; KM_SKIP_VISITED_SITE = 1";
    world.browser.before_pages(&tab, cookies);
    world.open(&tab, &format!("{SHOP}?gclid=1&kmi=kim%40example.com&km_plan=Pro"));
    world.delivered(&tab);
    world.expect_events(&["Ad Campaign Hit"]);
    let kim = world.person("b2xk+aWQ=");
    assert_eq!((&kim["person"], &kim["events"]), (&json!("kim@example.com"), &json!(1)));
    let known = json!({ "plan": "Pro", "Returning": 1, "Referrer": "Direct", "Campaign Source": "google", "Campaign Medium": "cpc" });
    let mut properties = kim["properties"].clone();
    let agent = properties.as_object_mut().unwrap().remove("User Agent").unwrap();
    assert!(agent.as_str().unwrap().contains("HeadlessChrome"), "{agent}");
    assert_eq!(
        properties.as_object_mut().unwrap().remove("Device Type").unwrap(),
        "Bot",
        "nobody sits before it"
    );
    assert_eq!(properties, known);
    let url = world.event("Ad Campaign Hit")["properties"]["URL"].to_string();
    assert!(url.contains("kmi=&km_plan=Pro"), "the name does not stay in the address: {url}");
    // Somebody else at this browser: two named people are never joined, and nothing is refused.
    world.run(&tab, "KM.identify('lee@example.com'); KM.record('Seen'); KM.alias('lee@example.com', 'lee')");
    world.delivered(&tab);
    assert_eq!(world.person("lee@example.com")["identities"], json!(["lee@example.com", "lee"]));
    assert_eq!(world.person("kim@example.com")["events"], 1);
    assert_eq!(world.server.get("/api/v1/refusals")["counts"], json!({}));
}

#[test]
fn an_old_browser_and_two_tabs_send_everything_once() {
    let Some(mut world) = World::new() else { return };
    let old = world.visitor();
    world.browser.before_pages(&old, "delete Navigator.prototype.sendBeacon; delete window.fetch");
    world.open(&old, SHOP);
    world.run(&old, "KM.trackClickOnOutboundLink('out', 'Left')");
    world.browser.click(&old, "#out");
    world.browser.wait(&old, "location.pathname === '/there'");
    let first = world.visitor();
    world.open(&first, SHOP);
    let second = world.browser.beside(&first);
    world.open(&second, &format!("{SHOP}thanks"));
    let many = "for (let n = 0; n < 30; n++) KM.record('Many', { n, tab: location.pathname })";
    world.run(&first, many);
    world.run(&second, many);
    world.delivered(&second);
    world.delivered(&first);
    let mut expected = vec!["Visited Site", "Left", "Visited Site"];
    expected.extend(["Many"; 60]);
    world.expect_events(&expected);
    assert_eq!(world.id(&first), world.id(&second));
    let id = world.id(&first);
    assert_eq!(world.person(&id)["events"], 61);
}

#[test]
fn a_clock_that_is_wrong_is_not_believed() {
    let Some(mut world) = World::new() else { return };
    // The last is in 2067, when times have a digit more.
    for days in [-400, 3, 15_000] {
        let tab = world.visitor();
        let clock = format!("{{ const now = Date.now; Date.now = () => now() + {days} * 86400000 }}");
        world.browser.before_pages(&tab, &clock);
        world.open(&tab, &format!("{SHOP}?utm_source={days}"));
        world.run(&tab, "KM.record('Much Later', { _d: 1, _t: 1740823200 })");
        world.delivered(&tab);
    }
    world.expect_events(&["Visited Site", "Ad Campaign Hit", "Much Later"].repeat(3));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    for record in world.records() {
        let time = record["time"].as_f64().unwrap();
        // The browser that sent it was the visitor's then, too.
        let earlier = record["event"] == "Much Later"
            || !record["properties"]["User Agent"].is_null() && time < now - 60.0;
        let expected = if earlier { 1_740_823_200.0 } else { now };
        assert!((time - expected).abs() < 60.0, "{record}");
    }
}

#[test]
fn addresses_keep_no_secrets() {
    let Some(mut world) = World::new() else { return };
    let tab = world.visitor();
    let secrets = [
        "token",
        "apikey",
        "authtoken",
        "accessToken",
        "user[email]",
        "user%5Bemail%5D",
        "a[b][password]",
        "x-key",
    ];
    let with = |value: &str| secrets.map(|name| format!("{name}={value}")).join("&");
    let rest = |value: &str| format!("?author=me&{}&keys=2#top;session={value}", with(value));
    world.open(&tab, &format!("{SHOP}{}", rest("abc")));
    world.delivered(&tab);
    assert_eq!(world.event("Visited Site")["properties"]["URL"], format!("{SHOP}{}", rest("")));
}
