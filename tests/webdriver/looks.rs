//! What is in sight: the button of a form that is higher than the window, a table on paper, what stands beside names that are written
//! from right to left, and whether the live view goes on.

use super::driver::Driver;
use super::walk::{history, logged_in};
use crate::support::Server;

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
