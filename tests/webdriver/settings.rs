//! What an owner does in the settings: keys, how long events are kept, robots, and the end of a project; with the keyboard where a form
//! can be sent with it.

use super::access::{axe, faults};
use super::driver::{Browser, Driver};
use super::walk::{arrived, fill, history, keys, logged_in, press, text};
use crate::support::Server;

/// The Enter key, as WebDriver writes it.
const ENTER: &str = "\u{e007}";

fn secret(browser: &mut Browser) -> String {
    browser.run("return document.querySelector('main pre').innerText").as_str().unwrap().to_owned()
}

/// Events that a key reads; none if it reads nothing.
fn events(server: &Server, key: &str) -> Option<u64> {
    let authorization = format!("Bearer {key}");
    let reply = server.client().send("GET", "/api/v1/stats", &[("Authorization", &authorization)], b"");
    (reply.status == 200).then(|| reply.json()["events"].as_u64().unwrap())
}

#[test]
fn keys_and_ages_are_changed_in_the_settings() {
    let Some(driver) = Driver::start() else { return };
    let axe = axe();
    let accessible = |browser: &mut Browser| {
        let found = axe.as_ref().map(|axe| faults(browser, axe)).unwrap_or_default();
        assert_eq!(found, [""; 0]);
    };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    server.import(&history());
    let mut browser = driver.browser();
    logged_in(&mut browser, &server, "/settings");
    browser.run("document.getElementById('f-key-name').focus()");
    fill(&mut browser, "Key name", &format!("<b>Nightly</b>{ENTER}"));
    browser.wait_for("return document.querySelector('h1').innerText === 'The key <b>Nightly</b>'");
    accessible(&mut browser);
    let key = secret(&mut browser);
    assert_eq!(events(&server, &key), Some(70));
    press(&mut browser, "Back to the settings");
    let row = browser.run(
        "var t = Array.from(document.querySelectorAll('table')).find(t => t.caption.innerText === 'Keys');
         var r = Array.from(t.tBodies[0].rows).find(r => r.querySelector('th[scope=row]').innerText === '<b>Nightly</b>');
         return [r.cells[1].innerText, r.querySelector('button').getAttribute('aria-label')]",
    );
    assert_eq!(row, serde_json::json!(["read", "Revoke <b>Nightly</b>"]));
    assert!(!text(&mut browser).contains(&key));
    press(&mut browser, "Revoke");
    assert!(text(&mut browser).contains("Revoke the key <b>Nightly</b>?") && events(&server, &key).is_some());
    accessible(&mut browser);
    press(&mut browser, "Revoke the key");
    assert!(!text(&mut browser).contains("Nightly"));
    assert_eq!(events(&server, &key), None);

    fill(&mut browser, "Event, or all", "Visited");
    fill(&mut browser, "Days, or for ever", &format!("30{ENTER}"));
    browser.wait_for("return document.querySelector('h1').innerText === 'Keep events for less?'");
    assert!(text(&mut browser).contains("40 events are older and go, for good"), "{}", text(&mut browser));
    accessible(&mut browser);
    press(&mut browser, "Take them out");
    assert!(text(&mut browser).contains("Visited\t30 days"), "{}", text(&mut browser));
    assert_eq!(server.get("/api/v1/stats")["events"], 30);
    press(&mut browser, "As all others");
    assert_eq!(server.get("/api/v1/retention")["events"], serde_json::json!({}));
    assert_eq!(browser.errors(), [""; 0]);
}

#[test]
fn robots_are_a_filter_that_can_be_taken_away() {
    let Some(driver) = Driver::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    server.import(&history());
    server.import("{\"type\":\"set\",\"person\":\"p4@example.com\",\"time\":\"2025-03-01T11:00:00Z\",\"properties\":{\"User Agent\":\"Googlebot/2.1\"}}\n");
    let mut browser = driver.browser();
    logged_in(&mut browser, &server, "/settings");
    browser.run("var s = document.getElementById('f-robots'); s.value = 'without'");
    press(&mut browser, "Save settings");
    browser.go(&format!("http://{}/funnels?step=Visited&step=Paid", server.addr));
    let page = text(&mut browser);
    assert!(page.contains("23.1 % of 39 people") && page.contains("Only people: no robots"), "{page}");
    browser.run("document.querySelector('[aria-label=\"Remove no robots\"]').click()");
    arrived(&mut browser, "robots=with");
    assert!(text(&mut browser).contains("25.0 % of 40 people"));
    browser.run("history.back()");
    browser.wait_for("return document.querySelector('main') && document.querySelector('main').innerText.includes('39 people')");
    press(&mut browser, "Overview");
    let people = browser.run("return document.querySelector('dl.facts a.number').innerText");
    browser.run("document.querySelector('dl.facts a.number').click()");
    arrived(&mut browser, "/people");
    assert!(people == "39" && text(&mut browser).contains("39 people"), "{people}");
    assert_eq!(browser.errors(), [""; 0]);
}

#[test]
fn a_project_ends_when_its_name_is_typed() {
    let Some(driver) = Driver::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    server.import(&history());
    let mut browser = driver.browser();
    logged_in(&mut browser, &server, "/projects");
    fill(&mut browser, "Project name", "A shop");
    press(&mut browser, "Create project");
    let key = secret(&mut browser);
    press(&mut browser, "Go to A shop");
    keys(&mut browser, "0");
    arrived(&mut browser, "/projects");
    assert!(text(&mut browser).contains("none yet"), "{}", text(&mut browser));
    assert!(text(&mut browser).contains("silent"), "history is long ago: {}", text(&mut browser));
    press(&mut browser, "Delete");
    assert!(text(&mut browser).contains("Delete A shop?"));
    fill(&mut browser, "Type A shop to confirm", &format!("Another{ENTER}"));
    browser.wait_for("return document.querySelector('main .problem')");
    assert!(text(&mut browser).contains("nothing was deleted") && events(&server, &key) == Some(0));
    assert!(text(&mut browser).contains("Delete A shop?"), "the form is there once more");
    fill(&mut browser, "Type A shop to confirm", "A shop");
    press(&mut browser, "Delete for good");
    assert!(!text(&mut browser).contains("A shop") && text(&mut browser).contains("First project"));
    assert_eq!(events(&server, &key), None);
    // The refusal of the wrong name is the one error that the browser logged.
    let errors = browser.errors();
    assert!(errors.iter().all(|e| e.contains("422")) && errors.len() == 1, "{errors:?}");
}
