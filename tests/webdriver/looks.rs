//! What is in sight: the button of a form that is higher than the window, a table on paper, what stands beside names that are written
//! from right to left, and whether the live view goes on.

use super::driver::Driver;
use super::walk::{history, logged_in, press, text};
use crate::support::{Server, WRITE_KEY};

#[test]
fn the_button_of_a_long_form_is_in_sight_of_a_laptop() {
    let Some(driver) = Driver::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    server.import(&history());
    let mut browser = driver.browser();
    browser.sized(1366, 768);
    logged_in(&mut browser, &server, "/funnels?step=Visited&step=Signed+Up&step=Paid&step=Visited");
    let seen = "var b = document.querySelector('.side .go').getBoundingClientRect(); return b.top > 0 && b.bottom <= innerHeight";
    assert_eq!(browser.run(seen), true);
    browser.run("document.querySelector('.side').scrollTop = 9999");
    assert_eq!(browser.run(seen), true, "and at the end of the form");
    // What is unfolded beside the button is no cover for what is above it.
    browser.run("document.querySelector('.side .row:has(> .go) details').open = true");
    let covers = "return getComputedStyle(document.querySelector('.side .row:has(> .go)')).position";
    assert_eq!(browser.run(covers), "static");
}

#[test]
fn paper_has_tables_as_a_whole_and_nothing_to_press() {
    let Some(driver) = Driver::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    server.import(&history());
    let mut browser = driver.browser();
    logged_in(&mut browser, &server, "/cohorts?start=Visited&return=Paid&cohort=week&bucket=week&count=26");
    browser.medium("print");
    let pressed = browser.run(
        "return Array.from(document.querySelectorAll('header, form, button, .periods, .keep, a.file'))
             .filter(e => e.getClientRects().length).map(e => e.outerHTML)",
    );
    assert_eq!(pressed, serde_json::json!([]));
    let scroll = browser.run(
        "var s = getComputedStyle(document.querySelector('.scroll')); return [s.overflow, s.maxHeight, s.printColorAdjust]",
    );
    assert_eq!(scroll, serde_json::json!(["visible", "none", "exact"]));
    // Chromium makes a page as narrow as two thirds to have it on paper, which is some 720 pixels wide.
    browser.sized(720, 1000);
    let width = browser.run("return document.documentElement.scrollWidth").as_u64().unwrap();
    assert!(width < 1080, "{width}");
}

#[test]
fn names_from_right_to_left_turn_nothing_around() {
    let Some(driver) = Driver::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    let bought = "\u{62a}\u{645} \u{627}\u{644}\u{634}\u{631}\u{627}\u{621}";
    let time = jiff::Timestamp::now();
    server.import(&format!(
        "{{\"type\":\"event\",\"person\":\"42\",\"event\":\"{bought}\",\"time\":\"{time}\",\"properties\":{{}}}}\n"
    ));
    let mut browser = driver.browser();
    logged_in(&mut browser, &server, "/people/42");
    let places = browser.run(
        "var li = document.querySelector('.timeline li:not(.day)');
         return ['time', 'b', 'small'].map(tag => li.querySelector(tag).getBoundingClientRect()).map(r => [r.left, r.right]).flat()",
    );
    let places: Vec<f64> = places.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
    assert!(places.is_sorted(), "time, event and identity in their order: {places:?}");
}

#[test]
fn the_live_view_says_when_it_pauses() {
    let Some(driver) = Driver::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    server.import(&history());
    let mut browser = driver.browser();
    logged_in(&mut browser, &server, "/live");
    let green = "return document.getElementById('state').matches('.on')";
    browser.wait_for(green);
    let track = |name: &str| {
        server.client().open(format!("/e?_k={WRITE_KEY}&_p=jane&_n={name}&Plan=Pro&Seats=3"));
    };
    track("One");
    browser.wait_for("return document.querySelectorAll('#live tbody tr').length === 1");
    assert!(text(&mut browser).contains("1 since this page was opened."));
    let known = browser.run("return document.querySelector('#live tbody tr').lastElementChild.innerText");
    assert_eq!(known, "Plan: Pro, Seats: 3");
    browser.run("document.getElementById('pause').click()");
    assert!(text(&mut browser).contains("Paused.") && browser.run(green) == false);
    track("Two");
    browser.wait_for("return document.getElementById('state').textContent === 'Paused: 1 came since.'");
    assert_eq!(browser.run("return document.querySelectorAll('#live tbody tr').length"), 1);
    assert_eq!(browser.run(green), false);
    browser.run("document.getElementById('pause').click()");
    assert_eq!(browser.run("return document.querySelectorAll('#live tbody tr').length"), 2);
    assert!(text(&mut browser).contains("2 since this page was opened.") && browser.run(green) == true);
    press(&mut browser, "Overview");
    assert_eq!(browser.errors(), [""; 0]);
}
