//! The dashboard as a person uses it: by what is written on the pages.

use serde_json::{Value as Json, json};

use super::driver::Driver;
use super::walk::{MARK, arrived, fill, history, keys, logged_in, next, open_number, press, rows, text};
use crate::support::Server;

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
    press(&mut browser, "Search among these people");
    let searched = text(&mut browser);
    assert!(
        searched.contains("10 people") && searched.contains("lost at step 2 of Visited, then"),
        "{searched}"
    );
    browser.run("history.back()");
    arrived(&mut browser, "/funnels/people");
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
    let top = browser.run(
        "return ['events', 'people', 'properties'].map(l => document.getElementById('top-' + l).innerText)",
    );
    assert_eq!(top, json!(["Now 1", "<i>x 1", "a 1"]));
    press(&mut browser, "a");
    server.client().open(format!("/e?_k={}&_p=y&_n=Other&b=1", crate::support::WRITE_KEY));
    std::thread::sleep(std::time::Duration::from_millis(300));
    server.client().open(format!("/e?_k={}&_p=y&_n=Wanted&a=1", crate::support::WRITE_KEY));
    let row = browser.wait_for("var r = document.querySelector('#live tbody'); return r && r.innerText");
    assert!(row.as_str().unwrap().contains("Wanted") && !row.as_str().unwrap().contains("Other"), "{row}");
    assert_eq!(browser.errors(), [""; 0]);
    press(&mut browser, "Log out");
    browser.go(&format!("http://{}/people", server.addr));
    assert!(text(&mut browser).contains("API key"));
}

fn percent(share: &Json) -> String {
    format!("{:.1} %", share.as_f64().unwrap() * 100.0)
}

#[test]
fn pages_say_what_the_api_says() {
    let Some(driver) = Driver::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    server.import(&history());
    let mut browser = driver.browser();
    let address = |path: &str| format!("http://{}{path}", server.addr);
    let funnel = "step=Visited&step=Signed+Up&step=Paid&within=9d&by=person.Campaign+Source";
    logged_in(&mut browser, &server, &format!("/funnels?{funnel}"));
    let answer = server.get(&format!("/api/v1/funnel?{funnel}"));
    let shown = rows(&mut browser, "Steps of the funnel");
    for (step, row) in answer["steps"].as_array().unwrap().iter().zip(&shown) {
        let expected = ["people", "lost", "in_progress"].map(|name| step[name].to_string());
        assert_eq!((&row[2], &row[5], &row[6]), (&expected[0], &expected[1], &expected[2]), "{row:?}");
        assert_eq!((&row[3], &row[4]), (&percent(&step["from_previous"]), &percent(&step["from_first"])));
    }
    let segments = rows(&mut browser, "The funnel by segment");
    let parts = answer["segments"].as_array().unwrap();
    assert_eq!((segments[0][0].as_str(), segments.len()), ("In all", parts.len() + 1));
    for (segment, row) in [&answer].into_iter().chain(parts).zip(&segments) {
        let people = segment["steps"].as_array().unwrap().iter().map(|step| step["people"].to_string());
        assert_eq!(&row[1..4], people.collect::<Vec<_>>(), "{row:?}");
    }
    assert!(text(&mut browser).contains("People who did Visited, then Signed Up, then Paid, all within 9d"));

    browser.go(&address("/cohorts?start=Visited&return=Paid&cohort=week&bucket=week&count=4"));
    let answer = server.get("/api/v1/cohort?start=Visited&return=Paid&cohort=week&bucket=week&count=4");
    let shown = rows(&mut browser, "Share of each cohort that came back");
    for (cohort, row) in answer["cohorts"].as_array().unwrap().iter().zip(&shown[1..]) {
        assert_eq!(
            (&row[0], &row[1]),
            (&cohort["cohort"].as_str().unwrap().to_owned(), &cohort["size"].to_string())
        );
        let cells = cohort["cells"].as_array().unwrap().iter().map(|cell| percent(&cell["share"]));
        assert_eq!(row[2..], cells.collect::<Vec<_>>());
    }
    assert_eq!(open_number(&mut browser, "All that are over", 0), "40");
    assert!(text(&mut browser).contains("40 people"), "{}", text(&mut browser));
    browser.go(&address("/trends?series=Paid&measure=sum&property=Revenue&unit=month"));
    assert_eq!(rows(&mut browser, "Numbers of event 1"), [["In all", "105"], ["2025-03-01", "105"]]);
    browser.go(&address("/trends?series=Visited&measure=people&unit=month&by=person.Campaign+Source"));
    assert_eq!(open_number(&mut browser, "2025-03", 1), "20", "of one segment");
    assert!(text(&mut browser).contains("20 people"), "{}", text(&mut browser));
    browser.go(&address("/paths?start=Visited&goal=Paid"));
    assert_eq!(rows(&mut browser, "The most common ways")[0][2..4], ["10", "100.0 %"]);
    browser.go(&address("/paths?start=Visited&limit=1"));
    assert!(text(&mut browser).contains("40 people, 20 of them on ways that are not shown"));
    press(&mut browser, "20");
    let page = text(&mut browser);
    assert!(page.contains("other ways") && page.contains("20 people"), "{page}");
    browser.go(&address("/revenue?by=person.Campaign+Source"));
    assert_eq!(
        rows(&mut browser, "Revenue by segment")[0],
        ["google", "105.00", "0.00", "20", "10", "5.25", "10.50"]
    );
    browser.go(&address("/experiments?step=Visited&step=Paid&by=person.Campaign+Source&control=google"));
    assert!(text(&mut browser).contains("Too early to tell."));
    let variants = rows(&mut browser, "Variants compared with the control");
    assert!(variants.iter().any(|row| row[..3] == ["google (control)", "20", "10"]), "{variants:?}");
    // A number opens into so many people, on every page.
    assert_eq!(open_number(&mut browser, "google", 1), "10");
    assert_eq!(rows(&mut browser, "The people behind a number").len(), 10);
    let file = browser.run(
        "var x = new XMLHttpRequest(); x.open('GET', document.querySelector('a.file').href, false); x.send();
         return x.getResponseHeader('content-disposition') + x.responseText",
    );
    assert!(
        file.as_str().unwrap().starts_with("attachment; filename=\"whodid-funnel-people-20")
            && file.as_str().unwrap().contains(".csv\"\"Person\",\"Also known as\""),
        "{file}"
    );
    assert_eq!(file.as_str().unwrap().lines().count(), 11);
    assert_eq!(browser.errors(), [""; 0]);
}

#[test]
fn steps_conditions_and_periods_are_changed_by_hand_and_by_key() {
    let Some(driver) = Driver::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    server.import(&history());
    let mut browser = driver.browser();
    logged_in(&mut browser, &server, "/funnels?step=Visited&step=Paid&step=Signed+Up");
    let label = |browser: &mut super::driver::Browser, name: &str| {
        browser.run(MARK);
        let pressed = browser.run(&format!(
            "var e = document.querySelector('[aria-label={}]'); e.click(); return !!e",
            json!(name)
        ));
        assert_eq!(pressed, true);
        next(browser);
    };
    label(&mut browser, "Move Step 3 up");
    arrived(&mut browser, "step=Visited&step=Signed+Up&step=Paid");
    label(&mut browser, "Remove Step 1");
    arrived(&mut browser, "/funnels?step=Signed+Up&step=Paid");
    browser.run("document.querySelectorAll('details').forEach(d => d.open = true)");
    fill(&mut browser, "Step 1: property", "Plan");
    fill(&mut browser, "Step 1: value", "Pro");
    fill(&mut browser, "Only people whose: property", "Campaign Source");
    fill(&mut browser, "Only people whose: value", "google");
    fill(&mut browser, "Did not 1", "Visited");
    press(&mut browser, "Show");
    let page = text(&mut browser);
    assert!(
        page.contains("People who did Signed Up where Plan is Pro, then Paid, without Visited after step 1"),
        "{page}"
    );
    assert!(
        page.contains("50.0 % of 20 people") && page.contains("Only people: Campaign Source is google"),
        "{page}"
    );
    // Loading the page again, and going back and forth, shows the same.
    browser.run("location.reload()");
    browser.wait_for("return document.readyState === 'complete' && document.querySelector('.funnel')");
    assert!(text(&mut browser).contains("50.0 % of 20 people"));
    keys(&mut browser, "p");
    arrived(&mut browser, "from=");
    assert!(text(&mut browser).contains("of 0 people"), "nobody last month");
    browser.run("history.back()");
    browser.wait_for("return !location.href.includes('from=') && document.querySelector('.funnel')");
    label(&mut browser, "Remove Campaign Source is google");
    browser.wait_for("return !document.querySelector('ul.chips') && document.querySelector('.funnel')");

    keys(&mut browser, "?");
    assert_eq!(browser.run("return document.getElementById('help').open"), true);
    browser.run("document.getElementById('help').close()");
    for (jump, path) in [("r", "/cohorts"), ("p", "/people"), ("h", "/"), ("f", "/funnels")] {
        keys(&mut browser, &format!("g{jump}"));
        browser.wait_for(&format!(
            "return location.pathname === '{path}' && document.readyState === 'complete'"
        ));
    }
    assert_eq!(browser.errors(), [""; 0]);
}
