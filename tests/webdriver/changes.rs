//! What a person changes in the dashboard: reports and audiences under names, links for others, who is who, the first event.

use super::driver::{Browser, Driver};
use super::walk::{arrived, fill, history, logged_in, press, text};
use crate::support::{Server, WRITE_KEY};

/// Opens what is folded under these words.
fn unfold(browser: &mut Browser, words: &str) {
    let found = browser.run(&format!(
        "var d = Array.from(document.querySelectorAll('details')).find(d => d.firstElementChild.textContent === '{words}'); d.open = true; return !!d"
    ));
    assert_eq!(found, true, "nothing is folded under {words}");
}

#[test]
fn reports_are_kept_pinned_and_shared() {
    let Some(driver) = Driver::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    server.import(&history());
    let mut browser = driver.browser();
    logged_in(&mut browser, &server, "/funnels?step=Visited&step=Paid");
    unfold(&mut browser, "Save");
    fill(&mut browser, "Report name", "<b>Sales</b>");
    press(&mut browser, "Save report");
    arrived(&mut browser, "/funnels?step=Visited");
    assert_eq!(server.get("/api/v1/reports/%3Cb%3ESales%3C%2Fb%3E")["query"]["steps"][1]["event"], "Paid");
    press(&mut browser, "Overview");
    assert!(
        text(&mut browser).contains("<b>Sales</b>") && text(&mut browser).contains("25.0 % of 40 people")
    );
    press(&mut browser, "<b>Sales</b>");
    unfold(&mut browser, "Share");
    press(&mut browser, "Make a link");
    let target = browser.run("return document.querySelector('main pre a').href").as_str().unwrap().to_owned();
    let mut other = driver.browser();
    other.go(&target);
    let seen = text(&mut other);
    assert!(seen.contains("25.0 % of 40 people") && seen.contains("Steps"), "{seen}");
    assert_eq!(
        other.run("return document.querySelectorAll('a:not(.skip), form, script').length"),
        0,
        "it leads nowhere"
    );
    other.go(&format!("http://{}/funnels?step=Visited", server.addr));
    assert!(text(&mut other).contains("API key"), "and opens nothing else");
    assert_eq!(other.errors(), [""; 0]);
    press(&mut browser, "All links");
    press(&mut browser, "End");
    press(&mut browser, "End the link");
    other.go(&target);
    assert!(
        other
            .run("return document.body.innerText")
            .as_str()
            .unwrap()
            .contains("This link shows nothing, or no longer")
    );
    press(&mut browser, "Unpin");
    press(&mut browser, "Overview");
    assert!(!text(&mut browser).contains("Sales"));

    press(&mut browser, "People");
    fill(&mut browser, "Did", "Paid");
    // The count comes while the search is built.
    browser.wait_for("return document.getElementById('count').innerText === '10 people with this'");
    press(&mut browser, "Add to the search");
    fill(&mut browser, "Did not", "Signed Up");
    press(&mut browser, "Add to the search");
    assert!(text(&mut browser).contains("0 people"));
    browser.run("document.querySelector('[aria-label^=\"Remove not\"]').click()");
    browser.wait_for(
        "return document.querySelectorAll('ul.chips li').length === 1 && document.readyState === 'complete'",
    );
    assert!(text(&mut browser).contains("10 people"));
    unfold(&mut browser, "Save as audience");
    fill(&mut browser, "Audience name", "Payers");
    press(&mut browser, "Save audience");
    arrived(&mut browser, "people=Payers");
    assert!(
        text(&mut browser).contains("in \u{201c}Payers\u{201d}") && text(&mut browser).contains("10 people")
    );
    press(&mut browser, "Settings");
    fill(&mut browser, "Time zone", "Europe/Berlin");
    press(&mut browser, "Save settings");
    browser.go(&format!("http://{}/trends?series=Paid", server.addr));
    assert!(text(&mut browser).contains("Days and times of Europe/Berlin."));
    assert_eq!(browser.errors(), [""; 0]);
}

#[test]
fn people_are_joined_and_taken_apart_after_a_look() {
    let Some(driver) = Driver::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    server.import(&history());
    let mut browser = driver.browser();
    logged_in(&mut browser, &server, "/people/p1%40example.com");
    fill(&mut browser, "Is the same person as", "p4@example.com");
    press(&mut browser, "Compare");
    assert!(text(&mut browser).contains("p4@example.com, p1@example.com"));
    assert_eq!(server.get("/api/v1/people/p1%40example.com")["events"], 1, "a look changes nothing");
    press(&mut browser, "Join the two");
    assert_eq!(server.get("/api/v1/people/p1%40example.com")["events"], 4);
    browser.run("document.querySelector('[aria-label=\"Take out p1@example.com\"]').click()");
    arrived(&mut browser, "/unmerge");
    assert!(text(&mut browser).contains("1 of 4 events go with it"), "{}", text(&mut browser));
    press(&mut browser, "Take it out");
    assert_eq!(server.get("/api/v1/people/p1%40example.com")["events"], 1);
    assert_eq!(server.get("/api/v1/people/p4%40example.com")["events"], 3);
    // What tracking said about who is who can be looked at, also what was not believed.
    server.import(
        "{\"type\":\"identify\",\"person\":\"anon-2\",\"identity\":\"p2@example.com\",\"time\":\"2025-03-02T10:00:00Z\"}\n\
         {\"type\":\"identify\",\"person\":\"anon-6\",\"identity\":\"p6@example.com\",\"time\":\"2025-03-02T10:00:00Z\"}\n\
         {\"type\":\"identify\",\"person\":\"p2@example.com\",\"identity\":\"p6@example.com\",\"time\":\"2025-03-03T10:00:00Z\"}\n",
    );
    browser.go(&format!("http://{}/people/p2%40example.com", server.addr));
    unfold(&mut browser, "How they were linked");
    let page = text(&mut browser);
    assert!(page.contains("2025-03-02 10:00 anon-2 is p2@example.com"), "{page}");
    assert!(page.contains("2025-03-03 10:00 p2@example.com is p6@example.com (known apart)"), "{page}");
    press(&mut browser, "Settings");
    assert!(text(&mut browser).contains("Merges that were refused"));
    press(&mut browser, "Compare");
    assert!(text(&mut browser).contains("Join two people?"));
    assert_eq!(browser.errors(), [""; 0]);
}

#[test]
fn the_first_event_is_seen_to_come() {
    let Some(driver) = Driver::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    let mut browser = driver.browser();
    logged_in(&mut browser, &server, "/");
    assert!(
        text(&mut browser).contains(WRITE_KEY) && text(&mut browser).contains("Waiting for the first event")
    );
    browser.appear(390, "light");
    let wide =
        browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth");
    assert_eq!(wide, 0, "it fits a telephone");
    std::thread::sleep(std::time::Duration::from_millis(300));
    server.client().open(format!("/e?_k={WRITE_KEY}&_p=<i>jane&_n=<b>Hello"));
    browser.wait_for("return document.querySelector('#first.came')");
    assert!(text(&mut browser).contains("It came: <b>Hello of <i>jane"));
    assert!(text(&mut browser).contains("It works. Go on to the overview"), "{}", text(&mut browser));
    press(&mut browser, "See who that is");
    assert!(text(&mut browser).contains("<b>Hello"));
    press(&mut browser, "Overview");
    assert!(text(&mut browser).contains("Active, 7 days"), "{}", text(&mut browser));
    assert_eq!(browser.errors(), [""; 0]);
}
