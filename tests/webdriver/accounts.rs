//! Several people and several projects: how somebody is let in, what they see of it, and how one goes from project to project.

use super::driver::{Browser, Driver};
use super::walk::{arrived, fill, history, keys, logged_in, press, text};
use crate::support::Server;

fn address(browser: &mut Browser) -> String {
    browser.run("return location.pathname + location.search").as_str().unwrap().to_owned()
}

#[test]
fn somebody_is_let_in_as_a_viewer() {
    let Some(driver) = Driver::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    server.import(&history());
    let mut owner = driver.browser();
    logged_in(&mut owner, &server, "/settings");
    fill(&mut owner, "E-mail", "Jane@Example.com");
    press(&mut owner, "Give access");
    let link = owner.run("return document.querySelector('main pre').innerText").as_str().unwrap().to_owned();
    let mut jane = driver.browser();
    jane.go(&link);
    assert!(text(&mut jane).contains("Choose a password for jane@example.com"));
    fill(&mut jane, "Password", "correct horse");
    press(&mut jane, "Save and log in");
    assert!(text(&mut jane).contains("Active, 7 days"), "{}", text(&mut jane));
    press(&mut jane, "Log out");
    jane.go(&format!("http://{}/funnels?step=Visited&step=Paid", server.addr));
    fill(&mut jane, "E-mail", "jane@example.com");
    fill(&mut jane, "Password", "correct horse");
    press(&mut jane, "Log in");
    let page = text(&mut jane);
    assert!(page.contains("25.0 % of 40 people") && !page.contains("Share"), "{page}");
    press(&mut jane, "Settings");
    let page = text(&mut jane);
    assert!(page.contains("You are jane@example.com, viewer.") && !page.contains("Give access"), "{page}");
    press(&mut owner, "Back to the settings");
    owner.run("document.querySelector('[aria-label=\"Role of jane@example.com\"]').value = 'editor'");
    press(&mut owner, "Change");
    jane.go(&format!("http://{}/funnels?step=Visited&step=Paid", server.addr));
    assert!(text(&mut jane).contains("Share"), "an editor now");
    press(&mut owner, "Remove");
    press(&mut owner, "Take it away");
    jane.go(&format!("http://{}/people", server.addr));
    assert!(text(&mut jane).contains("API key"), "nobody any more");
    assert_eq!((owner.errors(), jane.errors()), (Vec::new(), Vec::new()));
}

#[test]
fn projects_are_apart_and_one_key_away() {
    let Some(driver) = Driver::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    server.import(&history());
    let mut browser = driver.browser();
    logged_in(&mut browser, &server, "/settings");
    press(&mut browser, "All projects");
    fill(&mut browser, "Project name", "<b>Shop</b>");
    press(&mut browser, "Create project");
    let snippet = text(&mut browser);
    let write = snippet.split("_kmk || '").nth(1).unwrap().split('\'').next().unwrap().to_owned();
    press(&mut browser, "Go to <b>Shop</b>");
    assert!(text(&mut browser).contains("Waiting for the first event"));
    std::thread::sleep(std::time::Duration::from_millis(300));
    server.client().open(format!("/e?_k={write}&_p=jane&_n=Bought"));
    browser.wait_for("return document.querySelector('#first.came')");
    press(&mut browser, "See who that is");
    assert_eq!(address(&mut browser), "/p/2/people/jane");
    press(&mut browser, "Live");
    assert_eq!(address(&mut browser), "/p/2/live");
    std::thread::sleep(std::time::Duration::from_millis(300));
    server.client().open(format!("/e?_k={write}&_p=jane&_n=Again"));
    browser.wait_for(
        "var r = document.querySelector('#live tbody tr'); return r && r.innerText.includes('Again')",
    );
    keys(&mut browser, "1");
    arrived(&mut browser, &format!("{}/", server.addr));
    browser.wait_for("return document.querySelector('main').innerText.includes('Visited')");
    assert_eq!(address(&mut browser), "/p/1/");
    keys(&mut browser, "0");
    arrived(&mut browser, "/projects");
    assert!(text(&mut browser).contains("<b>Shop</b>") && text(&mut browser).contains("First project"));
    keys(&mut browser, "2");
    arrived(&mut browser, "/p/2/");
    browser.run("document.querySelector('details.projects').open = true");
    let offered = browser.run("return document.querySelector('details.projects ul').innerText");
    assert_eq!(offered, "First project\n<b>Shop</b>\nAll projects");
    assert_eq!(browser.errors(), [""; 0]);
}

#[test]
fn keys_set_the_hours_the_unit_and_the_comparison() {
    let Some(driver) = Driver::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    server.import(&history());
    let mut browser = driver.browser();
    logged_in(&mut browser, &server, "/trends?series=Visited&from=2025-03-04&to=2025-03-06&unit=day");
    keys(&mut browser, "x");
    arrived(&mut browser, "compare=before");
    assert!(text(&mut browser).contains("Before, 2025-03-01 to 2025-03-03"), "{}", text(&mut browser));
    keys(&mut browser, "i");
    arrived(&mut browser, "unit=week");
    assert!(text(&mut browser).contains("By week") && address(&mut browser).contains("compare=before"));
    keys(&mut browser, "x");
    browser.wait_for("return !location.search.includes('compare') && document.readyState === 'complete'");
    keys(&mut browser, "h");
    browser.wait_for("return location.search.includes('T') && !location.search.includes('to=') && document.readyState === 'complete'");
    assert!(text(&mut browser).contains("0"), "nothing was done in the last 24 hours");
    keys(&mut browser, "?");
    let listed = browser.run("return document.getElementById('help').innerText");
    for words in ["24 hours", "By day, week, month", "Compare with the period before", "all projects"] {
        assert!(listed.as_str().unwrap().contains(words), "{listed}");
    }
    browser.run("document.getElementById('help').close()");
    browser.go(&format!("http://{}/settings?describe=Paid", server.addr));
    fill(&mut browser, "Shown as", "Bought it");
    fill(&mut browser, "Description", "Money came");
    press(&mut browser, "Save event");
    assert!(text(&mut browser).contains("Paid: Money came"), "{}", text(&mut browser));
    browser.go(&format!("http://{}/funnels?step=Visited&step=Paid", server.addr));
    assert!(text(&mut browser).contains("then Bought it"));
    assert_eq!(browser.errors(), [""; 0]);
}
