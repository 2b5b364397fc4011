//! Pages with nothing but a keyboard: where the tab key goes, that whoever looks sees where it is, and a funnel built without a mouse.

use serde_json::Value as Json;

use super::driver::{Browser, Driver};
use super::walk::{arrived, history, keys, logged_in, text};
use crate::support::Server;

/// Keys as WebDriver writes them.
const TAB: char = '\u{e004}';
const ENTER: char = '\u{e007}';
const ARROW_DOWN: char = '\u{e015}';

/// Goes on with the tab key until the focus is on what is called so.
fn tab_to(browser: &mut Browser, name: &str) {
    for _ in 0..80 {
        browser.press_keys(&TAB.to_string());
        let label = browser.run(
            "var e = document.activeElement; return (e.labels && e.labels[0] ? e.labels[0].textContent : e.getAttribute('aria-label') || e.textContent).trim()",
        );
        if label == name {
            return;
        }
    }
    panic!("the tab key never comes to {name}");
}

#[test]
fn the_tab_key_goes_through_each_page_in_order_and_in_sight() {
    let Some(driver) = Driver::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    server.import(&history());
    let mut browser = driver.browser();
    logged_in(&mut browser, &server, "/");
    for page in [
        "/",
        "/funnels?step=Visited&step=Paid&exclude=Now%401&by=person.Campaign+Source",
        "/cohorts?start=Visited&return=Paid&cohort=week&bucket=week",
        "/people",
        "/people/p1%40example.com",
        "/settings",
    ] {
        browser.go(&format!("http://{}{page}", server.addr));
        // What can be reached, in the order of the page; its places are what the walk is compared with.
        let all = browser.run(
            "window.all = Array.from(document.querySelectorAll('a[href], button, input:not([type=hidden]), select, summary, [tabindex=\"0\"]'))
                .filter(e => e.tabIndex >= 0 && e.checkVisibility({visibilityProperty: true})); return all.length",
        );
        let (all, mut seen) = (all.as_u64().unwrap(), Vec::new());
        for _ in 0..all.min(60) {
            browser.press_keys(&TAB.to_string());
            let focus = browser.run(
                "var e = document.activeElement, s = getComputedStyle(e), r = e.getBoundingClientRect();
                 return [all.indexOf(e), s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2, r.width > 0 && r.height > 0,
                         r.bottom > 0 && r.top < innerHeight, e.outerHTML.slice(0, 120)]",
            );
            let is = |at: usize| focus[at] == true;
            assert!(is(1) && is(2) && is(3), "{page}: the focus is not to be seen on {focus}");
            seen.push(focus[0].as_i64().unwrap());
        }
        // A date has several places to stop at, and so the same element may come again.
        seen.dedup();
        let expected: Vec<i64> = (0..seen.len() as i64).collect();
        assert_eq!(seen, expected, "{page}");
    }
    assert_eq!(browser.errors(), [""; 0]);
}

#[test]
fn a_funnel_is_built_read_and_opened_by_keys_alone() {
    let Some(driver) = Driver::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    server.import(&history());
    let mut browser = driver.browser();
    logged_in(&mut browser, &server, "/");
    // The first stop jumps over the navigation.
    browser.press_keys(&TAB.to_string());
    assert_eq!(browser.run("return document.activeElement.textContent"), "Skip to the page");
    browser.press_keys(&ENTER.to_string());
    assert_eq!(browser.run("return document.activeElement.id"), "main");
    keys(&mut browser, "gf");
    arrived(&mut browser, "/funnels");
    keys(&mut browser, "/");
    browser.press_keys("Visited");
    tab_to(&mut browser, "Step 2");
    browser.press_keys("Paid");
    tab_to(&mut browser, "Order");
    browser.press_keys(&[ARROW_DOWN, ARROW_DOWN].iter().collect::<String>());
    tab_to(&mut browser, "Leave out");
    browser.press_keys(&ENTER.to_string());
    tab_to(&mut browser, "Did not 1");
    browser.press_keys(&format!("Now{ENTER}"));
    arrived(&mut browser, "order=any");
    let page = text(&mut browser);
    assert!(page.contains("25.0 % of 40 people") && page.contains("without Now after step 1"), "{page}");
    tab_to(&mut browser, "10");
    browser.press_keys(&ENTER.to_string());
    arrived(&mut browser, "/funnels/people");
    assert!(text(&mut browser).contains("10 people"), "{}", text(&mut browser));
    for (key, path) in [("gh", "/"), ("gs", "/settings"), ("r", "/live"), ("0", "/live")] {
        keys(&mut browser, key);
        browser.wait_for(&format!(
            "return location.pathname === {} && document.readyState === 'complete'",
            Json::from(path)
        ));
    }
    assert_eq!(browser.errors(), [""; 0]);
}
