//! What every page owes to everybody: it can be used without eyes or mouse, fits a telephone, is small, and asks nobody else.

use serde_json::json;

use super::driver::{Browser, Driver};
use super::walk::{fill, history, logged_in, press};
use crate::sdks::installed;
use crate::support::Server;

const PAGES: [&str; 26] = [
    "/",
    "/funnels",
    "/funnels?step=Visited&step=Signed+Up&step=Paid&by=person.Campaign+Source&exclude=Now%401&over=week&people=%7B%22did%22%3A%22Visited%22%7D",
    "/funnels/people?step=Visited&step=Paid&at_step=1&outcome=lost",
    "/cohorts",
    "/cohorts?start=Visited&return=Paid&cohort=week&bucket=week",
    "/cohorts/people?start=Visited&return=Paid&cohort=week&bucket=week",
    "/revenue?lifetime=true&by=person.Campaign+Source",
    "/experiments?step=Visited&step=Paid&by=person.Campaign+Source&control=google",
    "/trends?series=Visited&series=Paid&unit=week",
    "/trends?series=Visited&by=person.Campaign+Source&unit=day",
    "/paths?start=Visited&goal=Paid",
    "/people",
    "/people?people=%7B%22did%22%3A%22Paid%22%7D&columns=Campaign+Source",
    "/people/p1%40example.com",
    "/people/p1%40example.com/merge?into=p2%40example.com",
    "/people/p1%40example.com/unmerge",
    "/people/p1%40example.com/erase",
    "/live",
    "/settings",
    "/funnels?stp=1",
    "/projects",
    "/p/1/projects/delete?project=2",
    "/people?robots=without&people=%7B%22did%22%3A%22Paid%22%7D",
    "/settings?describe=Paid",
    "/p/2/funnels?step=Visited&compare=before&from=2025-03-01",
];

/// Bytes of the first page with all that it loads.
const FIRST_LOAD_BYTES: u64 = 300 * 1024;

/// The checker of accessibility, where it is installed.
pub fn axe() -> Option<String> {
    installed("node_modules/axe-core").map(|dir| std::fs::read_to_string(dir.join("axe.min.js")).unwrap())
}

/// What it finds wrong with the page.
pub fn faults(browser: &mut Browser, axe: &str) -> Vec<String> {
    let faults = browser.run_async(&format!(
        "var done = arguments[0]; {axe};
         axe.run({{resultTypes: ['violations']}}).then(r => done(r.violations.filter(v => v.impact === 'serious' || v.impact === 'critical')
            .map(v => v.id + ': ' + v.nodes.slice(0, 3).map(n => n.html + n.any.map(a => a.message).join()).join(' | '))), e => done([String(e)]))"
    ));
    serde_json::from_value(faults).unwrap()
}

#[test]
fn pages_are_for_everybody() {
    let Some(driver) = Driver::start() else { return };
    let axe = axe();
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    server.import(&history());
    // Somebody whose properties have changed.
    server.import("{\"type\":\"set\",\"person\":\"p1@example.com\",\"time\":\"2025-03-09T09:00:00Z\",\"properties\":{\"Campaign Source\":\"google\"}}\n");
    let mut browser = driver.browser();
    logged_in(&mut browser, &server, "/");
    let loaded = browser.run(
        "var all = performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'));
         return {bytes: all.reduce((sum, e) => sum + e.transferSize, 0), hosts: Array.from(new Set(all.map(e => new URL(e.name).host))),
                 millis: performance.getEntriesByType('navigation')[0].loadEventStart}",
    );
    assert_eq!(loaded["hosts"], json!([server.addr]));
    assert!(
        loaded["bytes"].as_u64().unwrap() < FIRST_LOAD_BYTES && loaded["millis"].as_f64().unwrap() < 500.0,
        "{loaded}"
    );
    // With two projects and an account pages have all that they ever have.
    browser.go(&format!("http://{}/projects", server.addr));
    fill(&mut browser, "Project name", "A shop with quite a long name");
    press(&mut browser, "Create project");
    browser.go(&format!("http://{}/settings", server.addr));
    fill(&mut browser, "E-mail", "somebody.with.a.long.name@example.com");
    press(&mut browser, "Give access");
    let join =
        browser.run("return document.querySelector('main pre').innerText").as_str().unwrap().to_owned();
    let mut found = Vec::new();
    for (width, scheme) in [(1440, "light"), (390, "dark")] {
        browser.appear(width, scheme);
        let open = ["/login", join.trim_start_matches(&format!("http://{}", server.addr))];
        for (number, page) in PAGES.into_iter().chain(open).enumerate() {
            browser.go(&format!("http://{}{page}", server.addr));
            let wide = browser
                .run("return document.documentElement.scrollWidth - document.documentElement.clientWidth");
            assert_eq!(wide, 0, "{page} is wider than {width}");
            // What the schemes differ in are colours, which all pages share: half of them show all.
            let Some(axe) = axe.as_ref().filter(|_| scheme == "light" || number % 2 == 0) else { continue };
            found.extend(
                faults(&mut browser, axe).into_iter().map(|fault| format!("{page} in {scheme}: {fault}")),
            );
        }
    }
    assert_eq!(found, [""; 0]);
    browser.appear(1280, "light");
    browser.go(&format!("http://{}{}", server.addr, PAGES[8]));
    let cut = browser.run("var t = document.querySelector('.scroll'); return t.scrollWidth - t.clientWidth");
    assert_eq!(cut, 0, "the table of variants is whole beside its form");
    assert_eq!(browser.errors(), [""; 0]);
}
