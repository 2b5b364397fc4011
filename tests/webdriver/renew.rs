//! A report that is refined is renewed in place: no other document, yet a title, an address and a way back as if there were one.

use serde_json::json;

use super::driver::{Browser, Driver};
use super::walk::{MARK, fill, history, keys, logged_in, next, press, text};
use crate::support::Server;

/// Whether the document is still the one that was loaded before.
fn same_document(browser: &mut Browser) -> bool {
    browser.run("return window.loaded === 1") == true
}

#[test]
fn a_report_that_is_refined_is_renewed_in_place() {
    let Some(driver) = Driver::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    server.import(&history());
    let mut browser = driver.browser();
    logged_in(&mut browser, &server, "/funnels?step=Visited&step=Paid");
    let first = browser.run("return location.href");
    assert!(text(&mut browser).contains("25.0 % of 40 people"));
    browser.run("window.loaded = 1");
    browser.run("document.querySelectorAll('details').forEach(d => d.open = true)");
    fill(&mut browser, "Did not 1", "Visited");
    fill(&mut browser, "Only people whose: property", "Campaign Source");
    fill(&mut browser, "Only people whose: value", "google");
    browser.run("scrollTo(0, 120)");
    press(&mut browser, "Show");
    assert!(same_document(&mut browser) && text(&mut browser).contains("without Visited"));
    let state = browser.run("return [scrollY, document.activeElement.id, document.querySelector('main').ariaBusy, history.length]");
    assert_eq!((&state[0], &state[1], &state[2]), (&json!(0), &json!("main"), &json!(null)));
    let second = browser.run("return location.href");
    assert_ne!(first, second);
    // The same once more is no other place to come back to.
    press(&mut browser, "Show");
    assert_eq!(browser.run("return history.length"), state[3]);
    // A chip that is taken away, and a key.
    browser.run(&format!("{MARK} document.querySelector('ul.chips a').click()"));
    next(&mut browser);
    assert!(same_document(&mut browser));
    browser.run(MARK);
    keys(&mut browser, "y");
    next(&mut browser);
    assert!(
        same_document(&mut browser)
            && browser.run("return location.href").as_str().unwrap().contains("from=")
    );
    // Back to the first, where it was scrolled to, and forth again.
    for (steps, address) in [(-3, &first), (1, &second)] {
        browser.run(&format!("{MARK} history.go({steps})"));
        next(&mut browser);
        assert_eq!(&browser.run("return location.href"), address);
        assert!(same_document(&mut browser));
        assert_eq!(text(&mut browser).contains("without Visited"), *address == second);
        assert_eq!(browser.run("return scrollY"), if *address == first { 120 } else { 0 });
    }
    // What is reloaded is the same, and other pages are other documents.
    browser.run(&format!("{MARK} location.reload()"));
    next(&mut browser);
    assert!(!same_document(&mut browser) && text(&mut browser).contains("without Visited"));
    browser.run("window.loaded = 1");
    press(&mut browser, "Cohorts");
    assert!(!same_document(&mut browser));
    browser.run("history.back()");
    browser.wait_for(
        "var m = document.querySelector('main'); return m && m.innerText.includes('without Visited')",
    );
    assert_eq!(browser.errors(), [""; 0]);
}

#[test]
fn what_cannot_be_shown_in_place_is_loaded() {
    let Some(driver) = Driver::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    server.import(&history());
    let mut browser = driver.browser();
    logged_in(&mut browser, &server, "/funnels?step=Visited&step=Paid");
    // Somebody who was logged out meanwhile is asked to log in, and gets what they asked for.
    browser.run("fetch('/logout', {method: 'POST'}).then(function () { window.out = 1; })");
    browser.wait_for("return window.out");
    browser.run(&format!("{MARK} document.querySelector('form.builder button.go').click()"));
    next(&mut browser);
    assert!(browser.run("return location.pathname") == "/login", "{}", text(&mut browser));
    fill(&mut browser, "API key", crate::support::API_KEY);
    press(&mut browser, "Log in");
    assert!(text(&mut browser).contains("25.0 % of 40 people"));
    // What is wrong is said in place.
    browser.run("window.loaded = 1");
    fill(&mut browser, "Step 1", "Nobody did this");
    press(&mut browser, "Show");
    assert!(same_document(&mut browser));
}

#[test]
fn a_telephone_shows_the_answer_and_not_the_form_above_it() {
    let Some(driver) = Driver::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    server.import(&history());
    let mut browser = driver.browser();
    browser.appear(390, "light");
    logged_in(&mut browser, &server, "/funnels?step=Visited");
    let headline = "var box = document.querySelector('.headline').getBoundingClientRect(); return box.top >= 0 && box.bottom <= innerHeight";
    browser.run("scrollTo(0, 150)");
    press(&mut browser, "Add step");
    assert_eq!(browser.run("return scrollY"), 150, "the form is gone on with");
    fill(&mut browser, "Step 2", "Paid");
    press(&mut browser, "Show");
    assert!(text(&mut browser).contains("25.0 % of 40 people"));
    assert!(browser.run(headline) == true, "{}", browser.run("return scrollY"));
    assert_eq!(browser.errors(), [""; 0]);
}
