//! The dashboard as a person uses it: by what is written on the pages.

use serde_json::Value as Json;

use super::driver::{Browser, Driver};
use crate::support::{API_KEY, Server};

const PEOPLE: usize = 40;

/// People who visit, sign up and pay; one of them has a name that would like to be markup.
fn history() -> String {
    let mut lines = String::new();
    for n in 0..PEOPLE {
        let person =
            if n == 0 { "<img src=x onerror=alert(1)>".to_owned() } else { format!("p{n}@example.com") };
        let person = Json::from(person).to_string();
        let mut add = |event: &str, day: usize, more: &str| {
            lines.push_str(&format!(
                "{{\"type\":\"event\",\"person\":{person},\"event\":\"{event}\",\"time\":\"2025-03-{day:02}T10:00:00Z\",\"properties\":{{{more}}}}}\n"
            ));
        };
        add("Visited", 1 + n % 5, "");
        if n % 2 == 0 {
            add("Signed Up", 8, "\"Plan\":\"Pro\"");
        }
        if n % 4 == 0 {
            add("Paid", 15, "\"Revenue\":10.5");
        }
        lines.push_str(&format!(
            "{{\"type\":\"set\",\"person\":{person},\"time\":\"2025-03-01T09:00:00Z\",\"properties\":{{\"Campaign Source\":\"{}\"}}}}\n",
            ["google", "<b>news</b>"][n % 2]
        ));
    }
    lines
}

fn text(browser: &mut Browser) -> String {
    browser.run("return document.querySelector('main').innerText").as_str().unwrap().to_owned()
}

/// Types into the field with this label.
fn fill(browser: &mut Browser, label: &str, value: &str) {
    let id = browser.run(&format!(
        "var l = Array.from(document.querySelectorAll('label')).find(l => l.textContent === {}); return l ? l.htmlFor : null",
        Json::from(label)
    ));
    let id = id.as_str().unwrap_or_else(|| panic!("no field {label}")).to_owned();
    browser.run(&format!("document.getElementById('{id}').value = ''"));
    browser.type_into(&format!("#{id}"), value);
}

/// Presses the button or link with this text, and waits for the next page.
fn press(browser: &mut Browser, name: &str) {
    browser.run("window.before = 1");
    let pressed = browser.run(&format!(
        "var e = Array.from(document.querySelectorAll('main button, main a, nav a, header button')).find(e => e.textContent.trim() === {});
         if (e) {{ e.click(); }} return !!e",
        Json::from(name)
    ));
    assert_eq!(pressed, true, "nothing is called {name}: {}", text(browser));
    browser.wait_for("return !window.before && document.readyState === 'complete'");
}

fn logged_in(browser: &mut Browser, server: &Server, path: &str) {
    browser.go(&format!("http://{}{path}", server.addr));
    assert!(browser.run("return document.cookie") == "");
    fill(browser, "API key", API_KEY);
    press(browser, "Log in");
}

/// Follows the number in the row that begins with `row`; how many people the page says there are.
fn open_number(browser: &mut Browser, row: &str, column: usize) -> String {
    let number = browser.run(&format!(
        "var r = Array.from(document.querySelectorAll('tbody tr')).find(r => r.innerText.includes({}));
         window.before = 1; var a = r.querySelectorAll('a.number')[{column}]; a.click(); return a.textContent",
        Json::from(row)
    ));
    browser.wait_for("return !window.before && document.readyState === 'complete'");
    number.as_str().unwrap().to_owned()
}

#[test]
fn a_person_logs_in_and_finds_out_who_did_what() {
    let Some(driver) = Driver::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    server.import(&history());
    let mut browser = driver.browser();
    browser.go(&format!("http://{}/funnels", server.addr));
    fill(&mut browser, "API key", "wrong");
    press(&mut browser, "Log in");
    assert!(text(&mut browser).contains("This is not the API key."));
    // The browser notes that this was refused; from here on there is nothing to note.
    assert_eq!(browser.errors().len(), 1);
    logged_in(&mut browser, &server, "/funnels?step=Visited");
    assert!(text(&mut browser).contains("Funnels"), "the page that was asked for");

    press(&mut browser, "Add step");
    fill(&mut browser, "Step 1", "Visited");
    fill(&mut browser, "Step 2", "Signed Up");
    fill(&mut browser, "Step 3", "Paid");
    fill(&mut browser, "Segment by", "person.Campaign Source");
    press(&mut browser, "Show");
    let page = text(&mut browser);
    assert!(page.contains("25.0 % of 40 people did all 3 steps") && page.contains("<b>news</b>"), "{page}");
    let number = open_number(&mut browser, "Signed Up", 1);
    let listed = text(&mut browser);
    assert!(number == "10" && listed.contains("10 people"), "lost behind step 2: {number} {listed}");
    press(&mut browser, "Back to the report");
    assert_eq!(open_number(&mut browser, "google", 0), "20");
    assert!(text(&mut browser).contains("<img src=x onerror=alert(1)>"), "shown as text");
    press(&mut browser, "<img src=x onerror=alert(1)>");
    let person = text(&mut browser);
    assert!(
        person.contains("Signed Up") && person.contains("Revenue: 10.5") && person.contains("2025-03-08"),
        "{person}"
    );

    for (page, words) in [
        ("Overview", "Signed Up"),
        ("Cohorts", "Start event"),
        ("Revenue", "105.00 from 10 of 40 people"),
        ("Experiments", "Control"),
        ("Trends", "Event 1"),
        ("Paths", "Goal event"),
        ("People", "40 people"),
        ("Live", "Waiting for events."),
        ("Settings", "_kmk"),
    ] {
        press(&mut browser, page);
        assert!(text(&mut browser).contains(words), "{page}: {}", text(&mut browser));
    }
    press(&mut browser, "Cohorts");
    fill(&mut browser, "Start event", "Visited");
    fill(&mut browser, "Return event", "Paid");
    press(&mut browser, "Show");
    assert_eq!(open_number(&mut browser, "2025-03", 1), "25.0 %");
    assert!(text(&mut browser).contains("10 people"));

    press(&mut browser, "Live");
    browser.wait_for("return window.EventSource && document.getElementById('state').textContent");
    std::thread::sleep(std::time::Duration::from_millis(300));
    server.client().open(format!("/e?_k={}&_p=<i>x&_n=Now&a=%3Cb%3E", crate::support::WRITE_KEY));
    let row = browser.wait_for("var r = document.querySelector('#live tbody tr'); return r && r.innerText");
    assert!(row.as_str().unwrap().contains("Now") && row.as_str().unwrap().contains("a: <b>"), "{row}");
    assert_eq!(browser.errors(), [""; 0]);
    press(&mut browser, "Log out");
    browser.go(&format!("http://{}/people", server.addr));
    assert!(text(&mut browser).contains("API key"));
}
