//! Names that nobody would think of: as long as they may be without a place to break, or dots alone. Whoever knows the public write key
//! can send them.

use super::driver::{Browser, Driver};
use super::walk::{logged_in, text};
use crate::support::Server;

/// Events of long names and large amounts, today.
fn history(long: &str) -> String {
    let time = jiff::Timestamp::now();
    let event = |person: &str, event: &str, more: &str| {
        format!(
            "{{\"type\":\"event\",\"person\":\"{person}\",\"event\":\"{event}\",\"time\":\"{time}\",\"properties\":{{{more}}}}}\n"
        )
    };
    let set = |person: &str, name: &str| {
        format!(
            "{{\"type\":\"set\",\"person\":\"{person}\",\"time\":\"{time}\",\"properties\":{{\"{name}\":\"{long}\"}}}}\n"
        )
    };
    let people = [long, ".", "..", "jane"].map(|who| event(who, long, "") + &event(who, "Visited", ""));
    let paid = event(long, "Paid", "\"Revenue\":99999999999999.99");
    people.concat() + &paid + &set(long, long) + &set(long, "Campaign Source")
}

/// How much wider than the window the page is, and whether any amount is cut off or the first number of a table out of sight.
fn faults(browser: &mut Browser) -> String {
    let found = browser.run(
        "var root = document.documentElement, width = root.clientWidth, found = [];
         if (root.scrollWidth > width) found.push('as wide as ' + root.scrollWidth);
         document.querySelectorAll('.facts > div').forEach(e => { if (e.scrollWidth > e.clientWidth) found.push('cut: ' + e.innerText); });
         document.querySelectorAll('.scroll').forEach(t => {
             var number = t.querySelector('tbody .n');
             // The smallest windows are too narrow for such an amount beside anything.
             if (number && width > 320 && number.getBoundingClientRect().right > width) found.push('out of sight in ' + t.getAttribute('aria-label'));
         });
         return found.join('; ')",
    );
    found.as_str().unwrap().to_owned()
}

#[test]
fn names_without_end_break_no_page() {
    let Some(driver) = Driver::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    let long = "Z".repeat(250);
    server.import(&history(&long));
    let mut browser = driver.browser();
    logged_in(&mut browser, &server, "/");
    let nobody = "Y".repeat(250);
    let pages = [
        "/".to_owned(),
        format!("/funnels?step={long}&step={nobody}&by=person.{long}"),
        format!("/funnels?step=Visited&by=person.{nobody}"),
        format!("/funnels/people?step={long}&at_step=1&outcome=reached"),
        format!("/cohorts?start={long}&return=Visited&by=person.{long}"),
        "/revenue?lifetime=true".to_owned(),
        format!("/trends?series={long}&series=Visited"),
        format!("/trends?series=Visited&by=person.{long}"),
        format!("/paths?start=Visited&goal={long}"),
        format!("/people/{long}"),
        format!("/people/{nobody}"),
        format!("/people/{long}/merge?into=jane"),
        format!("/people/{long}/erase"),
        "/settings".to_owned(),
    ];
    for width in [1440, 390, 320] {
        browser.appear(width, "light");
        for page in &pages {
            browser.go(&format!("http://{}{page}", server.addr));
            assert_eq!(faults(&mut browser), "", "{width}: {page}");
        }
    }
    browser.appear(1440, "light");
    for page in ["/people", "/live"] {
        browser.go(&format!("http://{}{page}", server.addr));
        if page == "/live" {
            browser.wait_for("return document.getElementById('state').textContent === 'Waiting for events.'");
            server.import(&history(&long));
            browser.wait_for("return document.querySelectorAll('#live tbody tr').length > 5");
        }
        assert_eq!(faults(&mut browser), "", "{page}");
        let wide = "var t = document.querySelector('.scroll'); return t.scrollWidth - t.clientWidth";
        assert_eq!(browser.run(wide), 0, "the table of {page} is whole");
    }
}

#[test]
fn a_person_called_like_a_folder_is_opened() {
    let Some(driver) = Driver::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    server.import(&history("x"));
    let mut browser = driver.browser();
    logged_in(&mut browser, &server, "/people");
    for name in [".", ".."] {
        browser.go(&format!("http://{}/people", server.addr));
        let link = format!(
            "Array.from(document.querySelectorAll('tbody th a')).find(a => a.textContent === '{name}')"
        );
        browser.run(&format!("{link}.click()"));
        browser.wait_for(&format!("return document.querySelector('h1').textContent === '{name}'"));
        browser.run("Array.from(document.querySelectorAll('a')).find(a => a.textContent.indexOf('Erase') === 0).click()");
        browser.wait_for(&format!("return document.querySelector('h1').textContent === 'Erase {name}?'"));
        assert!(text(&mut browser).contains(&format!("Back to {name}")));
    }
}
