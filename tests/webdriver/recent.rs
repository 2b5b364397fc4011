//! What only shows while people come: the numbers of the overview, who is still on their way, refunds, and the clocks of a zone. All of
//! it over people who came in the last weeks.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value as Json, json};

use super::driver::{Browser, Driver};
use super::walk::{MARK, arrived, fill, logged_in, next, press, rows, text};
use crate::support::{Server, WRITE_KEY};

const DAY: u64 = 86_400;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn event(person: &str, event: &str, seconds_ago: u64, properties: Json) -> String {
    let time = now() - seconds_ago;
    format!(
        "{}\n",
        json!({"type": "event", "person": person, "event": event, "time": time, "properties": properties})
    )
}

/// 3 who came long ago, 5 who came long ago and yesterday, 10 who were new ten days ago, 4 of them back, and 6 who are new.
fn arrivals() -> String {
    let mut lines = String::new();
    let mut came = |person: String, source: &str, days: &[u64]| {
        for day in days {
            lines += &event(&person, "Visited", day * DAY, json!({}));
        }
        lines += &format!(
            "{}\n",
            json!({"type": "set", "person": person, "time": now() - 90 * DAY, "properties": {"Campaign Source": source}})
        );
    };
    (0..3).for_each(|n| came(format!("gone{n}"), "google", &[60]));
    (0..5).for_each(|n| came(format!("old{n}"), "<b>news</b>", &[60, 1]));
    (0..10).for_each(|n| came(format!("fresh{n}"), "google", if n < 4 { &[10, 3] } else { &[10] }));
    (0..6).for_each(|n| came(format!("new{n}"), "bing", &[2]));
    lines
}

/// Follows a number; what it was and how many people there are behind it.
fn opened(browser: &mut Browser, script: &str) -> (String, String) {
    let found = browser.run(&format!("{MARK} var a = {script}; a.click(); return a.textContent"));
    next(browser);
    let total = browser.run("return document.querySelector('.total strong').textContent");
    (found.as_str().unwrap().to_owned(), total.as_str().unwrap().to_owned())
}

#[test]
fn the_overview_says_who_is_new_who_came_back_and_from_where() {
    let Some(driver) = Driver::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    server.import(&arrivals());
    server.import(&event("new0", "Paid", DAY, json!({"Revenue": 10})));
    let mut browser = driver.browser();
    logged_in(&mut browser, &server, "/");
    let facts = browser.run(
        "return Array.from(document.querySelectorAll('dl.facts div')).map(d => d.firstChild.textContent + ': ' + d.lastChild.textContent)",
    );
    let expected = [
        "People: 24",
        "New, 7 days: 6",
        "Active, 7 days: 15",
        "Back in second week: 40.0 % 4 of 10",
        "Revenue, 30 days: 10.00",
        "Events: 34",
    ];
    assert_eq!(facts, json!(expected));
    let sources = rows(&mut browser, "Where the people of 30 days came from");
    assert_eq!(
        sources,
        [["google", "10", "0", "0.00"], ["bing", "6", "1", "10.00"], ["<b>news</b>", "5", "0", "0.00"]]
    );
    for (at, number) in ["24", "6", "15", "4", "10"].into_iter().enumerate() {
        let (shown, total) =
            opened(&mut browser, &format!("document.querySelectorAll('dl.facts a.number')[{at}]"));
        assert_eq!((shown.as_str(), total.as_str()), (number, number));
        browser.go(&format!("http://{}/", server.addr));
    }
    for (row, cell, number) in [("google", 1, "10"), ("bing", 2, "1"), ("<b>news</b>", 1, "5")] {
        let script = format!(
            "Array.from(document.querySelectorAll('tr')).find(r => r.cells[0].textContent === {}).cells[{cell}].firstChild",
            Json::from(row)
        );
        assert_eq!(opened(&mut browser, &script), (number.to_owned(), number.to_owned()));
        browser.go(&format!("http://{}/", server.addr));
    }
    assert_eq!(browser.errors(), [""; 0]);
}

#[test]
fn whoever_is_still_on_their_way_is_listed() {
    let Some(driver) = Driver::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    server.import(&arrivals());
    // Two went on to the second step, and may still do the third.
    for person in ["fresh0", "new0"] {
        server.import(&event(person, "Signed Up", DAY, json!({})));
    }
    let mut browser = driver.browser();
    let funnel = "step=Visited&step=Signed+Up&step=Paid&within=30d&over=month";
    logged_in(&mut browser, &server, &format!("/funnels?{funnel}"));
    let answer = server.get(&format!("/api/v1/funnel?{}", funnel.replace("&over=month", "")));
    let open: u64 =
        answer["steps"].as_array().unwrap().iter().map(|step| step["in_progress"].as_u64().unwrap()).sum();
    assert_eq!(open, 21, "{answer}");
    let rows = rows(&mut browser, "Conversion by when people entered");
    let by_month: u64 = rows.iter().map(|row| row[4].parse::<u64>().unwrap()).sum();
    // Who was there before and came again counts in the month of each.
    assert!(by_month >= open, "{rows:?}");
    for row in &rows {
        let script = format!(
            "Array.from(document.querySelectorAll('tr')).find(r => r.cells[0].textContent === '{}').cells[4].firstChild",
            row[0]
        );
        let (shown, total) = opened(&mut browser, &script);
        assert_eq!((&shown, &total), (&row[4], &row[4]));
        browser.go(&format!("http://{}/funnels?{funnel}", server.addr));
    }
    let (shown, total) = opened(&mut browser, "document.querySelector('.headline small a')");
    assert_eq!((shown.as_str(), total.as_str()), ("21", "21"));
    assert!(text(&mut browser).contains("in progress"));
    press(&mut browser, "Search among these people");
    let page = text(&mut browser);
    assert!(page.contains("21 people") && page.contains("in progress of Visited, then Signed Up"), "{page}");
    assert_eq!(browser.errors(), [""; 0]);
}

#[test]
fn months_of_refunds_hang_below_zero() {
    let Some(driver) = Driver::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    let paid = |day: &str, amount: i64| {
        format!(
            "{}\n",
            json!({"type": "event", "person": "jane", "event": "Paid", "time": format!("{day}T10:00:00Z"), "properties": {"Revenue": amount}})
        )
    };
    server.import(&[paid("2025-01-10", 30), paid("2025-02-10", -50), paid("2025-03-10", 20)].concat());
    let mut browser = driver.browser();
    logged_in(&mut browser, &server, "/revenue?unit=month");
    let totals: Vec<String> =
        rows(&mut browser, "Revenue over time").into_iter().map(|row| row[1].clone()).collect();
    assert_eq!(totals, ["30.00", "\u{2212}50.00", "20.00"]);
    // Where the columns are on the screen: above the line of zero, or below it, as high as the amount.
    let drawn = browser.run(
        "var zero = document.querySelector('.chart .zero').getBoundingClientRect().top;
         return Array.from(document.querySelectorAll('.chart rect')).map(r => r.getBoundingClientRect())
            .map(r => Math.round((Math.abs(r.bottom - zero) < 1.5 ? r.height : -r.height) * 10))",
    );
    let drawn: Vec<i64> = serde_json::from_value(drawn).unwrap();
    let of = |amount: i64| drawn[0] * amount / 30;
    assert!((drawn[1] - of(-50)).abs() < 20 && (drawn[2] - of(20)).abs() < 20 && drawn[0] > 0, "{drawn:?}");
    assert!(text(&mut browser).contains("\u{2212}50"), "the axis goes below zero");
    assert_eq!(browser.errors(), [""; 0]);
}

#[test]
fn pages_show_the_clocks_of_the_project() {
    let Some(driver) = Driver::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    // Half past one at night in Berlin is the day before in UTC and in New York.
    let visited = |person: &str| {
        format!(
            "{}\n",
            json!({"type": "event", "person": person, "event": "Visited", "time": "2025-07-01T23:30:00Z"})
        )
    };
    server.import(&[visited("jane"), visited("joe")].concat());
    server.client().open(format!("/e?_k={WRITE_KEY}&_p=jane"));
    let mut browser = driver.browser();
    logged_in(&mut browser, &server, "/settings");
    fill(&mut browser, "Time zone", "Europe/Berlin");
    press(&mut browser, "Save settings");
    let did = "%7B%22did%22%3A%22Visited%22%2C%22from%22%3A%222025-07-02%22%2C%22to%22%3A%222025-07-02%22%7D";
    for (page, shown) in [
        ("/".to_owned(), "2025-07-02 01:30"),
        ("/people".to_owned(), "2025-07-02 01:30"),
        (format!("/people?people={did}"), "2 people"),
        (format!("/funnels?step=Visited&people={did}"), "did Visited on 2025-07-02"),
        ("/funnels?step=Visited&from=2025-07-02".to_owned(), "Entered from 2025-07-02 on"),
        ("/funnels/people?step=Visited&at_step=1".to_owned(), "2025-07-02 01:30"),
        ("/cohorts/people?start=Visited&return=Visited".to_owned(), "2025-07-02 01:30"),
        ("/people/jane".to_owned(), "01:30:00"),
        ("/people/jane/merge?into=joe".to_owned(), "2025-07-02 01:30"),
        ("/people/jane/erase".to_owned(), "2025-07-02 01:30"),
        ("/settings".to_owned(), "2025-07-02 01:30"),
        ("/projects".to_owned(), "2025-07-02 01:30"),
        ("/trends?series=Visited&unit=day".to_owned(), "2025-07-02"),
    ] {
        browser.go(&format!("http://{}{page}", server.addr));
        let said = text(&mut browser);
        assert!(said.contains(shown), "{page} without {shown}: {said}");
        assert!(!said.contains("23:30"), "{page} in UTC: {said}");
        assert_eq!(said.matches("Europe/Berlin").count(), 1, "{page} names the zone: {said}");
    }
    browser.go(&format!(
        "http://{}/funnels?step=Visited&from=2025-07-01&to=2025-07-01&tz=America/New_York",
        server.addr
    ));
    let said = text(&mut browser);
    assert!(said.contains("of 2 people") && said.contains("of America/New_York"), "{said}");
    browser.go(&format!("http://{}/live", server.addr));
    arrived(&mut browser, "/live");
    std::thread::sleep(std::time::Duration::from_millis(300));
    server.client().open(format!("/e?_k={WRITE_KEY}&_p=jane&_n=Now&_d=1&_t={}", 1_751_412_600));
    let row = browser.wait_for("var r = document.querySelector('#live tbody tr'); return r && r.innerText");
    assert!(row.as_str().unwrap().starts_with("2025-07-02 01:30:00"), "{row}");
    assert_eq!(browser.errors(), [""; 0]);
}
