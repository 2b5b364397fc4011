//! What forms and links of pages ask is what was typed and shown.

use super::fresh;
use super::pages::log_in;
use crate::support::Server;

/// What a page holds, for whoever has the session; of a form that of its report.
fn look(server: &Server, session: &str, target: &str) -> String {
    let prefer = ("Prefer", "return=representation");
    let reply = server.client().send("GET", target, &[("Cookie", session), prefer], b"");
    assert_eq!(reply.status, 200, "{target}: {}", reply.text());
    reply.text()
}

/// Whom a page of people lists.
fn listed(page: &str) -> Vec<&str> {
    let rows = page.split("<th scope=\"row\"><a href=\"/people/").skip(1);
    rows.filter_map(|rest| rest.split('"').next()).collect()
}

/// The field of a form with this name, up to the next one.
fn field<'a>(page: &'a str, name: &str) -> &'a str {
    let at = page.find(&format!(" name=\"{name}\"")).unwrap_or_else(|| panic!("no {name}: {page}"));
    let rest = &page[at..];
    rest.find("<label").map_or(rest, |end| &rest[..end])
}

fn event(person: &str, event: &str, time: &str) -> String {
    format!("{{\"type\":\"event\",\"person\":\"{person}\",\"event\":\"{event}\",\"time\":\"{time}\"}}\n")
}

#[test]
fn a_value_is_compared_as_it_was_typed() {
    let (_dir, server) = fresh();
    let properties = [
        ("long", r#""App Version":"1.10","Paying":"true","Sku":"5e3""#),
        ("short", r#""App Version":"1.1","Paying":true,"Sku":5000"#),
        ("number", r#""App Version":1.1,"Paying":"false","Sku":"5000""#),
    ];
    for (person, properties) in properties {
        let at = "\"time\":\"2025-03-01T10:00:00Z\"";
        server.import(&format!(
            "{{\"type\":\"set\",\"person\":\"{person}\",{at},\"properties\":{{{properties}}}}}\n\
             {{\"type\":\"event\",\"person\":\"{person}\",\"event\":\"Did\",{at},\"properties\":{{{properties}}}}}\n"
        ));
    }
    let session = log_in(&server);
    for (test, found) in [
        ("App+Version&op=is&val=1.10", &["long", "number"][..]),
        ("App+Version&op=is&val=1.1", &["short", "number"]),
        ("App+Version&op=is_not&val=1.10", &["short"]),
        ("App+Version&op=contains&val=1.10", &["long"]),
        ("App+Version&op=gte&val=1.10", &["number"]),
        ("Sku&op=is&val=5e3", &["long"]),
        ("Sku&op=is&val=5000", &["short", "number"]),
        ("Paying&op=is&val=true", &["long", "short"]),
        ("Paying&op=is&val=false", &["number"]),
        ("Paying&op=is_not&val=true", &["number"]),
        ("Paying&op=is&val=TRUE", &[]),
    ] {
        let page = look(&server, &session, &format!("/people?only={test}"));
        assert_eq!(listed(&page), found, "{test}");
        assert_eq!(page.contains("has come in"), found.is_empty(), "{test}: {page}");
        let funnel = look(&server, &session, &format!("/funnels?step=Did&where={test}"));
        let (people, noun) = (found.len(), if found.len() == 1 { "person" } else { "people" });
        assert!(funnel.contains(&format!("of {people} {noun} did the step")), "{test}: {funnel}");
        let value = test.rsplit('=').next().unwrap();
        assert!(field(&funnel, "val").contains(&format!("value=\"{value}\"")), "{test}: {funnel}");
    }
    let page = look(&server, &session, "/funnels?step=Did&where=Paying&op=is&val=true");
    assert!(page.contains("People who did Did where Paying is true."), "{page}");
}

#[test]
fn a_span_is_compared_with_one_of_the_same_length() {
    let (_dir, server) = fresh();
    server.import(
        &[event("a", "Paid", "2024-12-31T23:00:00Z"), event("a", "Paid", "2025-01-20T10:00:00Z")].concat(),
    );
    let session = log_in(&server);
    for (range, before, from, to) in [
        // An end that is an instant is behind the last day.
        (
            "from=2025-01-01T00:00:00Z&to=2025-02-01T00:00:00Z",
            "2024-12-01 to 2024-12-31",
            "type=\"date\" value=\"2025-01-01\"",
            "type=\"date\" value=\"2025-01-31\"",
        ),
        (
            "from=2025-01-01&to=2025-01-31",
            "2024-12-01 to 2024-12-31",
            "type=\"date\" value=\"2025-01-01\"",
            "type=\"date\" value=\"2025-01-31\"",
        ),
        (
            "from=2024-12-31T23:00:00Z&to=2025-01-31T23:00:00Z&tz=Europe%2FBerlin",
            "2024-12-01 to 2024-12-31",
            "type=\"date\" value=\"2025-01-01\"",
            "type=\"date\" value=\"2025-01-31\"",
        ),
        (
            "from=2025-01-20T06:30:00Z&as_of=2025-01-21T06:29:59.999Z",
            "2025-01-19 06:30 until 2025-01-20 06:30",
            "value=\"2025-01-20T06:30:00Z\"",
            "type=\"date\" value=\"\"",
        ),
        (
            "from=2025-01-20T06:00:00Z&to=2025-01-20T18:00:00Z",
            "2025-01-19 18:00 until 2025-01-20 06:00",
            "value=\"2025-01-20T06:00:00Z\"",
            "value=\"2025-01-20T18:00:00Z\"",
        ),
    ] {
        let page = look(&server, &session, &format!("/trends?series=Paid&unit=day&compare=before&{range}"));
        assert!(page.contains(&format!("<dt>Before, {before}</dt>")), "{range}: {page}");
        assert!(field(&page, "from").contains(from), "{range}: {}", field(&page, "from"));
        assert!(field(&page, "to").contains(to), "{range}: {}", field(&page, "to"));
    }
}

#[test]
fn an_excluded_event_keeps_its_step_whatever_it_is_called() {
    let (_dir, server) = fresh();
    let day = |n: u32| format!("2025-03-0{n}T10:00:00Z");
    let lines = ["A", "B", "Mail@home", "C"].iter().zip(1..).map(|(name, n)| event("a", name, &day(n)));
    server.import(&lines.collect::<String>());
    let session = log_in(&server);
    let page =
        look(&server, &session, "/funnels?step=A&step=B&step=C&exclude=Mail%40home&after=2&exclude=&after=1");
    assert!(page.contains("without Mail@home after step 2") && !page.contains("has come in"), "{page}");
    assert!(field(&page, "exclude").contains("value=\"Mail@home\""), "{page}");
    assert!(field(&page, "after").contains("<option value=\"2\" selected>"), "{page}");
    assert!(page.contains("<strong>0.0 %</strong>"), "{page}");
    let page = look(&server, &session, "/funnels?step=A&step=B&exclude=Mail%40home");
    assert!(page.contains("without Mail@home after step 1"), "{page}");
    assert!(field(&page, "exclude").contains("value=\"Mail@home\""), "{page}");
}

#[test]
fn units_of_a_closed_funnel_count_as_the_whole_does_or_say_so() {
    let (_dir, server) = fresh();
    let (mut lines, session) = (String::new(), log_in(&server));
    for (person, entered, paid) in [("a", "2025-01-20", "2025-02-10"), ("b", "2025-02-01", "2025-03-10")] {
        lines += &event(person, "Came", &format!("{entered}T10:00:00Z"));
        lines += &event(person, "Paid", &format!("{paid}T10:00:00Z"));
    }
    server.import(&lines);
    let over = "step=Came&step=Paid&from=2025-01-01&until=to&over=month";
    let (file, says) = ("csv=over", "Steps count until the end of the month of entry here.");
    let rows = |query: &str| {
        let text = look(&server, &session, &format!("/funnels?{query}&{file}"));
        text.lines()
            .skip(1)
            .map(|line| line.split(',').take(3).collect::<Vec<_>>().join(","))
            .collect::<Vec<_>>()
    };
    for query in [format!("{over}&to=2025-02-28"), format!("{over}&to=2025-02-28&as_of=2025-06-01")] {
        assert_eq!(rows(&query), ["\"2025-01-01\",1,1", "\"2025-02-01\",1,0"], "{query}");
        let page = look(&server, &session, &format!("/funnels?{query}"));
        assert!(page.contains("50.0 %") && !page.contains(says), "{page}");
        // The people behind a number of a unit are as many, and an audience of them, too.
        let link = page.split("/funnels/people?").find(|link| link.contains("as_of=2025-02-28T23")).unwrap();
        let link = link.split('"').next().unwrap().replace("&amp;", "&").replace("at_step=1", "at_step=2");
        let behind = look(&server, &session, &format!("/funnels/people?{link}"));
        assert_eq!(listed(&behind), ["a"], "{link}");
        let search = behind.split("<a href=\"/people?").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(listed(&look(&server, &session, &format!("/people?{search}"))), ["a"], "{search}");
    }
    // Nothing closes it before it is asked.
    for query in [over.to_owned(), format!("{over}&to=2025-03-31&as_of=2025-03-15&within=90d")] {
        assert_eq!(rows(&query)[..2], ["\"2025-01-01\",1,1", "\"2025-02-01\",1,1"], "{query}");
    }
    for query in [format!("{over}&to=2025-02-28&within=90d"), format!("{over}&to=2025-02-28&robots=without")]
    {
        assert_eq!(rows(&query), ["\"2025-01-01\",1,0", "\"2025-02-01\",1,0"], "{query}");
        assert!(look(&server, &session, &format!("/funnels?{query}")).contains(says), "{query}");
    }
}

#[test]
fn paths_say_which_events_they_keep_and_can_keep_the_others() {
    let (_dir, server) = fresh();
    let lines = ["Came", "First", "Last", "Paid"].iter().zip(1..);
    server.import(
        &lines.map(|(name, n)| event("a", name, &format!("2025-03-0{n}T10:00:00Z"))).collect::<String>(),
    );
    let session = log_in(&server);
    for (query, side, way) in [
        ("goal=Paid&events=1", "last", "Last"),
        ("goal=Paid&events=1&side=first", "first", "Came"),
        ("start=Came&goal=Paid&events=1", "first", "First"),
        ("start=Came&goal=Paid&events=1&side=last", "last", "Last"),
    ] {
        let page = look(&server, &session, &format!("/paths?{query}"));
        assert!(page.contains(&format!("<ol class=\"way\"><li>{way}</li></ol>")), "{query}: {page}");
        assert!(
            field(&page, "side").contains(&format!("<option value=\"{side}\" selected>")),
            "{query}: {page}"
        );
        assert!(!field(&page, "side").contains("<option value=\"\""), "{page}");
    }
    assert!(field(&look(&server, &session, "/paths"), "side").contains("<option value=\"\" selected>"));
}

#[test]
fn a_page_says_what_it_leaves_out_and_its_file_leaves_out_nothing() {
    let (_dir, server) = fresh();
    let names = ["A", "B", "C", "D", "E", "F"];
    let properties = names.map(|name| format!("\"{name}\":\"is {name}\"")).join(",");
    let time = "\"time\":\"2025-03-01T10:00:00Z\"";
    let mut lines = format!("{{\"type\":\"set\",\"person\":\"x\",{time},\"properties\":{{{properties}}}}}\n");
    lines += &event("x", "Tick", "2025-03-01T10:00:00.500Z");
    lines += &event("x", "Tock", "2025-03-01T10:00:01Z");
    lines += &event("y", "Tick", "2025-03-01T10:00:00Z");
    lines += &event("y", "Tock", "2025-03-01T10:00:01.500Z");
    server.import(&lines);
    let session = log_in(&server);
    let page = look(&server, &session, "/people?who=x");
    assert!(
        page.contains("D: is D") && page.contains("<small>and 2 more</small>") && !page.contains("is E"),
        "{page}"
    );
    let file = look(&server, &session, "/people?csv=people");
    assert!(names.iter().all(|name| file.contains(&format!("{name}: is {name}"))), "{file}");
    let page = look(&server, &session, "/people/x?event=Tick");
    let link = page.split("href=\"").find(|link| link.contains("csv=events")).unwrap();
    let file = look(&server, &session, &link.split('"').next().unwrap().replace("&amp;", "&"));
    assert!(file.contains("Tick") && !file.contains("Tock"), "{file}");
    // Text puts 10:00:00.5Z before 10:00:00Z.
    let file = look(&server, &session, "/people/x/merge?into=y&csv=merge");
    let both = |name: &str| {
        file.lines().find(|line| line.contains(name)).unwrap().rsplit(',').next().unwrap().to_owned()
    };
    assert_eq!(both("First seen"), "\"2025-03-01T10:00:00Z\"", "{file}");
    assert_eq!(both("Last seen"), "\"2025-03-01T10:00:01.5Z\"", "{file}");
}

#[test]
fn a_file_has_all_however_many_there_are() {
    const MANY: usize = 10_002;
    let (_dir, server) = fresh();
    let mut lines = String::new();
    for n in 0..MANY {
        lines += &event(&format!("p{n}"), "Came", "2025-03-01T10:00:00Z");
        lines += &event(
            "busy",
            "Tick",
            &format!("2025-03-01T10:{:02}:{:02}.{:03}Z", n / 60_000, n / 1000 % 60, n % 1000),
        );
    }
    // The last one needs more columns than all before.
    lines += &event(&format!("p{}", MANY - 1), "Back", "2025-05-02T10:00:00Z");
    server.import(&lines);
    let session = log_in(&server);
    let cohort = "/cohorts/people?start=Came&return=Back&count=4&row=2025-03&csv=people";
    for (target, rows) in [
        ("/people?csv=people", MANY + 1),
        ("/people?columns=Plan&limit=5&cursor=7&csv=people", MANY + 1),
        ("/funnels/people?step=Came&at_step=1&outcome=reached&csv=people", MANY),
        ("/trends/people?series=Came&number=1&csv=people", MANY),
        (cohort, MANY),
        ("/people/busy?csv=events", MANY),
    ] {
        let text = look(&server, &session, target);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let read: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        let firsts: std::collections::BTreeSet<&str> = read.iter().map(|row| &row[0]).collect();
        assert_eq!((read.len(), firsts.len()), (rows, rows), "{target}");
    }
    let text = look(&server, &session, cohort);
    assert!(
        text.starts_with("\"Person\",\"Began\",\"month 0\",\"month 1\",\"month 2\"\r\n"),
        "{}",
        &text[..80]
    );
    assert!(text.ends_with("\"\",\"\",\"1\"\r\n"));
}

#[test]
fn pages_are_called_by_what_they_are_of() {
    let (_dir, server) = fresh();
    server.import(&super::history());
    let session = log_in(&server);
    let page = |target: &str| look(&server, &session, target);
    for (target, title, rest) in [
        ("/funnels?step=Visited&step=Paid", "Funnels: Visited \u{2192} Paid", ""),
        ("/trends?series=Visited&series=Paid", "Trends: Visited, Paid", ""),
        ("/cohorts?start=Visited&return=Paid", "Cohorts: Visited \u{2192} Paid", ""),
        (
            "/funnels/people?step=Visited&step=Paid&at_step=1&outcome=lost&within=1d&from=2025-03-01&to=2025-03-31",
            "Lost after Visited",
            "<li>step 1: Visited</li><li>lost</li></ul><p class=\"rule\">People who did Visited, then Paid, all within 1d of the first. \
             Entered from 2025-03-01 to 2025-03-31. Each person counts once.",
        ),
        ("/funnels/people?step=Visited&step=Paid&at_step=2&outcome=reached", "Did Paid", ""),
        ("/funnels/people?step=Visited&step=Paid&outcome=converted", "Converted", ""),
        (
            "/trends/people?series=Visited&series=Paid&number=2&start_of=2025-03-03&unit=day",
            "Did Paid, day from 2025-03-03",
            "<li>event 2: Paid</li>",
        ),
        (
            "/cohorts/people?start=Visited&return=Paid&row=2025-03&column=0",
            "Began with Visited, back in month 0",
            "",
        ),
        (
            "/paths/people?start=Visited&goal=Paid&people=%7B%22did%22%3A%22Paid%22%7D",
            "Went from Visited to Paid",
            "Only people: did Paid.",
        ),
        ("/revenue/people?property=n", "Paid", ""),
    ] {
        let text = page(target);
        assert!(text.contains(&format!("<h1>{title}</h1>")), "{target}: {text}");
        assert!(text.contains(&format!("<title>{title} ")) && text.contains(rest), "{target}: {text}");
    }
}

#[test]
fn a_list_says_why_people_went_no_further() {
    let (_dir, server) = fresh();
    server.import(&super::history());
    let session = log_in(&server);
    let lost = "/funnels/people?step=Visited&step=Paid&at_step=1";
    for (more, why) in [
        ("outcome=lost&within=1d", "window ended 2025-03-02 10:00, the next step came 1 d later"),
        ("outcome=lost&within=1d", "window ended 2025-03-02 10:00, no next step came"),
        ("outcome=lost", "nothing came"),
        ("outcome=lost&exclude=Signed+Up", "excluded by Signed Up, 2025-03-02 10:00"),
        ("outcome=lost&order=strict", "Signed Up came instead, 2025-03-02 10:00"),
        ("outcome=lost&until=to&to=2025-03-01", "its last day was over"),
        ("outcome=in_progress&within=1d&as_of=2025-03-01T12:00:00Z", "in progress until 2025-03-02 10:00"),
    ] {
        let text = look(&server, &session, &format!("{lost}&{more}"));
        assert!(text.contains(&format!("<td>{why}</td>")), "{more}: {text}");
    }
}

#[test]
fn nobody_of_a_name_is_not_everybody() {
    let (_dir, server) = fresh();
    server.import(&super::history());
    let page = look(&server, &log_in(&server), "/people?who=zzz");
    assert!(page.contains("Nobody is known as") && !page.contains("headline total"), "{page}");
    assert!(listed(&page).is_empty(), "{page}");
}

#[test]
fn a_course_has_gaps_and_says_which_units_had_less_time() {
    let (_dir, server) = fresh();
    let mut lines = String::new();
    for (n, day) in ["01", "02", "04", "05"].into_iter().enumerate() {
        lines += &event(&format!("p{n}"), "Came", &format!("2025-03-{day}T10:00:00Z"));
        lines += &event(&format!("p{n}"), "Paid", &format!("2025-03-{day}T11:00:00Z"));
    }
    server.import(&lines);
    let session = log_in(&server);
    let over = "/funnels?step=Came&step=Paid&over=day&as_of=2025-03-05T12:00:00Z";
    let page = look(&server, &session, over);
    let course = &page[page.find("<h2>Over time</h2>").unwrap()..page.find("<h2>Steps</h2>").unwrap()];
    // The 3rd, when nobody came, parts the line; the 5th is not over.
    let count = |what: &str| course.matches(what).count();
    assert_eq!((count("<polyline points"), count("<polyline class=\"open\"")), (2, 1), "{course}");
    assert!(course.contains("2025-03-05*") && !course.contains("2025-03-04*"), "{course}");
    assert!(
        course.contains("have had less of it") && course.contains("within=30d\">compare them within 30d"),
        "{course}"
    );
    assert!(!look(&server, &session, &format!("{over}&within=1h")).contains("have had less"));
}

#[test]
fn drawings_and_segments_of_a_funnel_have_all_their_numbers() {
    let (_dir, server) = fresh();
    server.import(&super::history());
    let (funnel, session) = ("/funnels?step=Visited&step=Paid&by=person.Plan", log_in(&server));
    let drawn = look(&server, &session, &format!("{funnel}&csv=times2"));
    assert_eq!(drawn, "\"From (seconds)\",\"To (seconds)\",\"People\"\r\n86400,259200,15\r\n");
    let split = look(&server, &session, &format!("{funnel}&csv=segments"));
    assert_eq!(split.lines().nth(1), Some("\"In all\",60,15,0.25"), "{split}");
    // A quarter looks like a quarter.
    let page = look(&server, &session, funnel);
    let row = page[page.find(">In all</th>").unwrap()..].split("</tr>").next().unwrap();
    assert!(row.contains("<rect class=\"on\" width=\"25.00%\""), "{row}");
}
