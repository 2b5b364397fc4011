//! A person in front of the dashboard: what is written on pages, filled in and pressed.

use serde_json::Value as Json;

use super::driver::Browser;
use crate::support::{API_KEY, Server};

/// People of the history.
pub const PEOPLE: usize = 40;

/// People who visit, sign up and pay; one of them has a name that would like to be markup.
pub fn history() -> String {
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

/// What the page says.
pub fn text(browser: &mut Browser) -> String {
    browser.run("return document.querySelector('main').innerText").as_str().unwrap().to_owned()
}

/// Types into the field with this label.
pub fn fill(browser: &mut Browser, label: &str, value: &str) {
    let id = browser.run(&format!(
        "var l = Array.from(document.querySelectorAll('label')).find(l => l.textContent === {}); return l ? l.htmlFor : null",
        Json::from(label)
    ));
    let id = id.as_str().unwrap_or_else(|| panic!("no field {label}")).to_owned();
    browser.run(&format!("document.getElementById('{id}').value = ''"));
    browser.type_into(&format!("#{id}"), value);
}

/// Marks what a page shows, so that it can be told from what comes next.
pub const MARK: &str = "document.querySelector('main').marked = 1;";

/// Waits until what was marked has made place for what comes next, on another page or in this one.
pub fn next(browser: &mut Browser) {
    browser.wait_for(
        "var m = document.querySelector('main'); return m && !m.marked && document.readyState === 'complete'",
    );
}

/// Presses the button or link with this text, and waits for the next page.
pub fn press(browser: &mut Browser, name: &str) {
    browser.run(MARK);
    let pressed = browser.run(&format!(
        "var e = Array.from(document.querySelectorAll('main button, main a, nav a, header button')).find(e => e.textContent.trim() === {});
         if (e) {{ e.click(); }} return !!e",
        Json::from(name)
    ));
    assert_eq!(pressed, true, "nothing is called {name}: {}", text(browser));
    next(browser);
}

/// Asks for a page, and logs in to get it.
pub fn logged_in(browser: &mut Browser, server: &Server, path: &str) {
    browser.go(&format!("http://{}{path}", server.addr));
    assert!(browser.run("return document.cookie") == "");
    fill(browser, "API key", API_KEY);
    press(browser, "Log in");
}

/// Follows the number in the row that begins with `row`; how many people the page says there are.
pub fn open_number(browser: &mut Browser, row: &str, column: usize) -> String {
    let number = browser.run(&format!(
        "var r = Array.from(document.querySelectorAll('tbody tr')).find(r => r.innerText.includes({}));
         {MARK} var a = r.querySelectorAll('a.number')[{column}]; a.click(); return a.textContent",
        Json::from(row)
    ));
    next(browser);
    number.as_str().unwrap().to_owned()
}

/// Presses keys as a person does, with nothing in focus.
pub fn keys(browser: &mut Browser, keys: &str) {
    browser.run("document.activeElement.blur()");
    keys.chars().for_each(|key| browser.type_into("body", &key.to_string()));
}

/// Waits until the address holds this.
pub fn arrived(browser: &mut Browser, part: &str) {
    let part = Json::from(part);
    browser.wait_for(&format!("return location.href.includes({part}) && document.readyState === 'complete'"));
}

/// The cells of the rows of the table with this caption, links and all as text.
pub fn rows(browser: &mut Browser, caption: &str) -> Vec<Vec<String>> {
    let rows = browser.run(&format!(
        "var t = Array.from(document.querySelectorAll('table')).find(t => t.caption && t.caption.textContent === {});
         return t && Array.from(t.tBodies[0].rows).map(r => Array.from(r.cells).map(c => c.textContent))",
        Json::from(caption)
    ));
    serde_json::from_value(rows).unwrap_or_else(|_| panic!("no table {caption}: {}", text(browser)))
}
