//! Who the tracker takes a visitor for: on the hosts of a site, by name, and after a choice.

use serde_json::{Value as Json, json};

use super::{SHOP, World};

const BLOG: &str = "http://blog.shop.example/";

#[test]
fn the_hosts_of_a_site_know_and_forget_one_visitor() {
    let Some(mut world) = World::new() else { return };
    for parent in [SHOP, "http://shop.example/"] {
        let tab = world.visitor();
        world.open(&tab, parent);
        world.run(&tab, "KM.optIn(); KM.identify('jane')");
        world.delivered(&tab);
        world.open(&tab, BLOG);
        assert_eq!(world.id(&tab), "jane");
        world.run(&tab, "KM.identify('bob')");
        assert_eq!(world.id(&tab), "bob");
        world.run(&tab, "KM.clearIdentity()");
        let stranger = world.id(&tab);
        assert_eq!(stranger.len(), 28, "nobody is known any more: {stranger}");
        world.delivered(&tab);
        world.open(&tab, parent);
        let other = world.id(&tab);
        assert!(other.len() == 28 && other != stranger, "a host's own visitor: {other}");
        world.delivered(&tab);
        world.open(&tab, BLOG);
        world.run(&tab, "KM.optOut()");
        assert_eq!(world.run(&tab, "document.cookie"), "km_oo=1");
        world.browser.open(&tab, parent);
        assert_eq!(world.run(&tab, "document.cookie"), "km_oo=1");
    }
}

#[test]
fn cookies_of_both_levels_become_one() {
    let Some(mut world) = World::new() else { return };
    let tab = world.visitor();
    world.browser.open(&tab, &format!("{BLOG}there"));
    for (cookie, domain) in [
        ("km_ni=jane", "shop.example"),
        ("km_ni=bob", "blog.shop.example"),
        ("km_lv=1700000000", "shop.example"),
    ] {
        world.run(&tab, &format!("document.cookie = '{cookie};path=/;max-age=9999;domain={domain}'"));
    }
    for _ in 0..3 {
        world.open(&tab, BLOG);
        world.delivered(&tab);
        let names = "document.cookie.split('; ').map((pair) => pair.split('=')[0]).sort().join()";
        // The visit is new, and this host's.
        assert_eq!(world.run(&tab, names), "km_lv,km_ni,km_vs");
        assert_eq!(world.id(&tab), "jane", "what was found first goes on");
    }
    let returning = |record: &&Json| record["properties"]["Returning"] == 1;
    assert_eq!(world.records().iter().filter(returning).count(), 1, "once for each browser");
}

#[test]
fn cookies_are_never_everybodys() {
    let Some(mut world) = World::new() else { return };
    let tab = world.visitor();
    let others = "/km_(?!ai=|lv=|vs=)/.test(document.cookie)";
    world.open(&tab, "http://blog.shop.co.uk/");
    let first = world.id(&tab);
    assert_eq!(world.run(&tab, others), false, "what was tried is gone");
    world.open(&tab, "http://www.shop.co.uk/");
    let parents = world.id(&tab);
    assert_ne!(parents, first);
    world.open(&tab, "http://app.shop.co.uk/");
    assert_eq!(world.id(&tab), parents, "what the parent keeps is seen below it");
    world.open(&tab, "http://www.other.co.uk/");
    assert_ne!(world.id(&tab), first);
    // Neither has a domain to share.
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("http://{host}:{}/", world.site.rsplit(':').next().unwrap());
        world.open(&tab, &url);
        let id = world.id(&tab);
        world.open(&tab, &url);
        assert_eq!(world.id(&tab), id, "{host}");
        assert_eq!(world.run(&tab, others), false);
    }
    // A site may keep a host to itself.
    world.browser.before_pages(&tab, "KM_COOKIE_DOMAIN = '.blog.shop.example'");
    world.open(&tab, BLOG);
    world.run(&tab, "KM.identify('jane')");
    world.delivered(&tab);
    world.open(&tab, SHOP);
    assert_ne!(world.id(&tab), "jane");
    // And join them later, when visitors of before come back.
    let back = world.visitor();
    world.open(&back, BLOG);
    world.run(&back, "KM.optIn(); KM.identify('jane')");
    world.delivered(&back);
    world.browser.before_pages(&back, "KM_COOKIE_DOMAIN = '.shop.example'");
    world.open(&back, BLOG);
    world.run(&back, "KM.identify('bob')");
    assert_eq!(world.id(&back), "bob");
    world.delivered(&back);
    world.run(&back, "KM.optOut()");
    assert_eq!(world.run(&back, "KM.isOptedOut()"), true);
}

#[test]
fn a_visitor_arrives_once_whenever_the_consent_comes() {
    let Some(mut world) = World::new() else { return };
    let signal = "Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', { get: () => true });";
    let mut expected = Vec::new();
    for (path, signal) in [("asks", ""), ("", signal)] {
        let tab = world.visitor();
        let commands = format!("{signal} KM_PAGE_VIEWS = 1; _kmq = [['optIn'], ['record', 'Own']]");
        world.browser.before_pages(&tab, &commands);
        world.open(&tab, &format!("{SHOP}{path}?utm_source=news&kme=Clicked"));
        world.delivered(&tab);
        expected.extend(["Own", "Clicked", "Visited Site", "Ad Campaign Hit", "Page View"]);
        world.expect_events(&expected);
        let id = world.id(&tab);
        let mut own: Vec<Json> = world
            .records()
            .into_iter()
            .filter(|r| r["person"] == id.as_str() && r["event"] != Json::Null)
            .collect();
        own.sort_by(|a, b| a["time"].as_f64().unwrap().total_cmp(&b["time"].as_f64().unwrap()));
        assert_eq!(own[0]["event"], "Own", "the page's commands come first: {own:?}");
        world.run(&tab, "KM.optOut(); KM.optIn(); KM.record('Again')");
        world.delivered(&tab);
        expected.push("Again");
        world.expect_events(&expected);
    }
}

#[test]
fn only_names_that_the_server_takes_are_kept() {
    let Some(mut world) = World::new() else { return };
    let tab = world.visitor();
    world.open(&tab, SHOP);
    for refused in ["Jane\\nDoe", "Jane\\tDoe", "Jane\\0Doe", "Jane\\x7fDoe", "Jane\\x85Doe"] {
        world.run(&tab, &format!("KM.identify('{refused}')"));
        assert_eq!(world.run(&tab, "KM.gc('ni')"), Json::Null, "{refused}");
    }
    world.run(&tab, "KM.identify('\\u{1f600}'.repeat(256)); KM.record('Before')");
    assert_eq!(world.run(&tab, "KM.gc('ni')"), Json::Null);
    world.run(&tab, "KM.identify('\\n' + '\\u{1f600}'.repeat(255) + ' '); KM.record('After')");
    world.delivered(&tab);
    let name = "\u{1f600}".repeat(255);
    assert_eq!(world.person(&name)["events"], json!(3), "characters count, not their halves");
    assert_eq!(world.server.get("/api/v1/refusals")["counts"], json!({}));
}

#[test]
fn an_id_goes_through_a_link_as_it_is() {
    let Some(mut world) = World::new() else { return };
    // The worst of chances: in base64 these bytes are pluses and slashes.
    let dice = "crypto.getRandomValues = (bytes) => bytes.map((_, at) => [251, 239, 191][at % 3]);";
    let old = "ab+cd/ef+ghijklmnopqrstuvw+=";
    for (id, before) in [("", dice.to_owned()), (old, format!("KMCID = '{old}'"))] {
        let tab = world.visitor();
        world.browser.before_pages(&tab, &before);
        world.open(&tab, SHOP);
        let here = world.id(&tab);
        assert!(here == id || here.chars().all(|c| c == '-' || c.is_ascii_alphanumeric()), "{here}");
        world.delivered(&tab);
        let other = world.visitor();
        world.open(&other, &format!("http://other.example/?kmi={here}"));
        assert_eq!(world.id(&other), here);
    }
}
