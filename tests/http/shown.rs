//! What pages say of days, of units that are not over, and of reports that were saved.

use super::pages::{FORM, OWN, log_in, post};
use super::{fresh, history};
use crate::support::Server;

/// What a page holds, for whoever has the session.
fn look(server: &Server, session: &str, target: &str) -> String {
    let reply = server.client().send("GET", target, &[("Cookie", session)], b"");
    assert_eq!(reply.status, 200, "{target}: {}", reply.text());
    reply.text()
}

#[test]
fn a_report_names_its_first_and_its_last_day() {
    let (_dir, server) = fresh();
    server.import(&history());
    let session = log_in(&server);
    let reports = [
        "/funnels?step=Visited",
        "/cohorts?start=Visited&return=Paid",
        "/revenue?property=n",
        "/trends?series=Visited",
        "/paths?start=Visited",
        "/experiments?step=Visited&step=Paid&by=person.Plan&control=Team",
    ];
    let ranges = [
        ("from=2025-03-01&to=2025-03-31", " from 2025-03-01 to 2025-03-31"),
        ("from=2025-03-01&to=2025-03-31&tz=Europe%2FBerlin", " from 2025-03-01 to 2025-03-31"),
        // Midnight is skipped there on that day, which begins at one.
        ("from=2025-03-01&to=2025-09-06&tz=America%2FSantiago", " from 2025-03-01 to 2025-09-06"),
        ("to=2025-03-31", " up to 2025-03-31"),
        ("from=2025-03-01&to=2025-03-01", " on 2025-03-01"),
        ("from=2025-03-01&to=2025-03-31T12:00:00Z", " from 2025-03-01 until 2025-03-31 12:00"),
        ("to=2025-03-31T12:00:00Z", " before 2025-03-31 12:00"),
    ];
    for report in reports {
        for (range, said) in ranges {
            let page = look(&server, &session, &format!("{report}&{range}"));
            let rule = page.split("class=\"rule\">").nth(1).unwrap().split("</p>").next().unwrap();
            assert!(rule.contains(said), "{report} {range}: {rule}");
        }
    }
}

#[test]
fn a_unit_that_is_not_over_is_marked() {
    let (_dir, server) = fresh();
    server.import(&history());
    let session = log_in(&server);
    let months = [("2025-03-02", true), ("2025-03-30", true), ("2025-03-31", false)];
    // A Saturday and a Sunday.
    let weeks = [("2025-03-01", true), ("2025-03-02", false)];
    for (report, table, ends) in [
        ("/trends?series=Visited&series=Paid&unit=month", "series2", &months[..]),
        ("/trends?series=Visited&by=person.Plan&unit=month", "series1", &months[..]),
        ("/trends?series=Visited&unit=week", "series1", &weeks[..]),
        ("/revenue?property=n", "series", &months[..]),
    ] {
        for (as_of, open) in ends {
            let target = format!("{report}&as_of={as_of}");
            let page = look(&server, &session, &target);
            let drawn = page.contains("<polyline class=\"open\"") || page.contains(" open\" x=");
            assert_eq!((page.contains("* not over yet;"), drawn), (*open, *open), "{target}: {page}");
            let file = look(&server, &session, &format!("{target}&csv={table}"));
            assert_eq!(file.lines().last().unwrap().contains("*\""), *open, "{target}: {file}");
        }
    }
}

#[test]
fn nobody_has_gone_quiet_in_a_week_that_is_not_over() {
    let (_dir, server) = fresh();
    let now = jiff::Timestamp::now();
    let came = |person: &str, days: i64| {
        let time = now - jiff::SignedDuration::from_hours(24 * days);
        format!("{{\"type\":\"event\",\"person\":\"{person}\",\"event\":\"Visited\",\"time\":\"{time}\"}}\n")
    };
    server.import(&[came("a", 14), came("b", 14), came("b", 7), came("c", 0)].concat());
    let session = log_in(&server);
    let file = look(&server, &session, "/?csv=weeks");
    let rows: Vec<Vec<&str>> = file.lines().skip(1).map(|line| line.split(',').collect()).collect();
    assert!(rows[0][0].ends_with("*\"") && rows[0][1..] == ["1", "0", "0", ""], "{file}");
    assert!(!rows[1][0].contains('*') && rows[1][1..] == ["0", "1", "0", "1"], "{file}");
    let page = look(&server, &session, "/");
    assert!(page.contains("* not over yet;") && page.contains("class=\"c0 open\""), "{page}");
}

#[test]
fn a_file_of_cohorts_holds_what_the_page_shows() {
    let (_dir, server) = fresh();
    server.import(&history());
    let session = log_in(&server);
    let target = "/cohorts?start=Visited&return=Paid&count=3&as_of=2025-03-20";
    let page = look(&server, &session, target);
    assert!(page.contains("25.0 %*") && page.matches(">\u{b7}<").count() == 2, "{page}");
    let file = look(&server, &session, &format!("{target}&csv=cohorts"));
    assert_eq!(file.lines().last(), Some("\"2025-03\",60,0.25*,,"), "{file}");
    for (measure, value, said) in [
        ("events", "15", "how many times they came back"),
        ("sum&property=n", "420", "the sum of n of those who came back"),
    ] {
        let target = format!("{target}&measure={measure}");
        let page = look(&server, &session, &target);
        assert!(page.contains(&format!(">{value}*<")) && page.contains(said), "{page}");
        let file = look(&server, &session, &format!("{target}&csv=cohorts"));
        assert_eq!(file.lines().last(), Some(format!("\"2025-03\",60,{value}*,,").as_str()), "{file}");
    }
}

#[test]
fn a_saved_report_says_its_days_and_what_is_not_kept() {
    let (_dir, server) = fresh();
    server.import(&history());
    let session = log_in(&server);
    let plain = look(&server, &session, "/funnels?step=Visited");
    assert!(!plain.contains("It keeps its days") && !plain.contains("Not kept"), "{plain}");
    let full = "/funnels?step=Visited&over=month&compare=before&from=2025-03-01&to=2025-03-31";
    let page = look(&server, &session, full);
    assert!(page.contains("It keeps its days: from 2025-03-01 to 2025-03-31."), "{page}");
    assert!(page.contains("Not kept: the course over time, the period before. A link to share"), "{page}");
    let search = look(&server, &session, "/people?columns=Plan&who=person1%40example.com");
    assert!(search.contains("Not kept: whose identity was looked for.") && !search.contains("to share"));
    let cookie = ("Cookie", session.as_str());
    for (name, days) in [("March", r#","from":"2025-03-01","to":"2025-03-31""#), ("Ever", "")] {
        let query = format!(r#"{{"steps":[{{"event":"Visited"}}]{days}}}"#);
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.append_pair("name", name).append_pair("report", "funnel").append_pair("query", &query);
        let body = body.append_pair("pinned", "1").finish();
        assert_eq!(post(&server, "/reports", &[cookie, OWN, FORM], &body).status, 303);
    }
    let overview = look(&server, &session, "/");
    for days in ["All time", "From 2025-03-01 to 2025-03-31"] {
        assert!(overview.contains(&format!("<small>{days}</small>")), "{overview}");
    }
    let file = look(&server, &session, "/settings?csv=reports");
    assert!(
        file.contains("\"Ever\",\"funnel\",\"All time\"")
            && file.contains("\"March\",\"funnel\",\"From 2025-03-01 to 2025-03-31\""),
        "{file}"
    );
}

#[test]
fn pages_speak_plainly() {
    let (_dir, server) = fresh();
    server.import(&history());
    let session = log_in(&server);
    let page = |target: &str| look(&server, &session, target);
    assert!(page("/funnels?step=Visited").contains("of 60 people did the step: "));
    assert!(page("/funnels?step=Visited&step=Paid").contains("of 60 people did all 2 steps: "));
    assert!(page("/settings").contains(">Monday</option>"));
    let unknown = page("/funnels?step=Visited&people=Nobody");
    assert!(!unknown.contains("/api/v1") && unknown.contains("save them as an audience"), "{unknown}");
}
