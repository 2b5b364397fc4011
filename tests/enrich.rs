//! Browsers, systems and devices of people, from the tracking routes to reports, and robots in and out of them.

use serde_json::{Value as Json, json};

use crate::support::{Client, Server, WRITE_KEY};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1";
const GOOGLEBOT: &str = "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Googlebot/2.1; +http://www.google.com/bot.html) Chrome/124.0.0.0 Safari/537.36";

fn send(client: &mut Client, path: &str, parameters: &str, agent: &str) {
    let reply =
        client.send("GET", format!("{path}?_k={WRITE_KEY}&{parameters}"), &[("User-Agent", agent)], b"");
    assert_eq!(reply.status, 200);
}

fn known(server: &Server, identity: &str) -> Json {
    server.get(&format!("/api/v1/people/{identity}"))["properties"].clone()
}

fn sets(server: &Server) -> u64 {
    server.get("/api/v1/stats")["sets"].as_u64().unwrap()
}

#[test]
fn what_a_browser_says_is_set_on_its_person_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    let mut client = server.client();
    let firefox =
        json!({"Browser": "Firefox", "System": "Linux", "Device Type": "Desktop", "User Agent": FIREFOX});
    for _ in 0..3 {
        send(&mut client, "/e", "_p=jane&_n=Visited", FIREFOX);
    }
    assert_eq!((known(&server, "jane"), sets(&server)), (firefox.clone(), 1));
    let line = server.get("/api/v1/people/jane/events");
    assert_eq!(
        (line["events"].as_array().unwrap().len(), &line["events"][0]["properties"]),
        (3, &json!({})),
        "events stay as sent"
    );
    send(&mut client, "/e", "_p=jane&_n=Visited", IPHONE);
    assert_eq!(known(&server, "jane")["Device Type"], "Mobile");
    // At the time of the record, so that a late one does not stand above a newer.
    send(&mut client, "/e", "_p=jane&_n=Visited&_t=1740823200&_d=1", FIREFOX);
    assert_eq!((&known(&server, "jane")["Browser"], sets(&server)), (&json!("Safari"), 3));
    // What a person's own set says stands above what its browser says.
    send(&mut client, "/s", "_p=ben&Device+Type=Fridge&Plan=Pro", FIREFOX);
    assert_eq!(
        (&known(&server, "ben")["Device Type"], &known(&server, "ben")["Browser"]),
        (&json!("Fridge"), &json!("Firefox"))
    );
    // Programs say nothing of those for whom they send, unless they pass it on; no address of anybody is anywhere.
    send(&mut client, "/e", "_p=eve&_n=Paid", "python-requests/2.32");
    assert_eq!(known(&server, "eve"), json!({}));
    let agent = form_urlencoded::byte_serialize(IPHONE.as_bytes()).collect::<String>();
    send(&mut client, "/e", &format!("_p=eve&_n=Paid&_ip=203.0.113.9&_ua={agent}"), "python-requests/2.32");
    assert_eq!(known(&server, "eve")["System"], "iOS");
    send(&mut client, "/a", "_p=anon&_n=kim", FIREFOX);
    assert_eq!(known(&server, "kim"), json!({}));
    assert!(server.export().iter().all(|line| !line.contains("203.0.113.9") && !line.contains("127.0.0.1")));
    // A server that was started anew says it once more, which changes nothing.
    let data = server.data.clone();
    server.stop();
    let server = Server::start(&data);
    send(&mut server.client(), "/e", "_p=jane&_n=Visited", IPHONE);
    let history = server.get("/api/v1/people/jane")["property_history"]["Browser"]["changes"].clone();
    assert_eq!(history.as_array().unwrap().len(), 2, "{history}");
}

#[test]
fn messages_of_segment_clients_say_it_in_their_context() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    let message = |user: &str, context: &str| {
        format!(r#"{{"type":"track","userId":"{user}","event":"Paid","context":{context}}}"#)
    };
    let context = format!("{{\"userAgent\":\"{FIREFOX}\"}}");
    let batch = [message("jane", &context), message("jane", &context), message("ben", "{}")].join(",");
    let body = format!("{{\"writeKey\":\"{WRITE_KEY}\",\"batch\":[{batch}]}}");
    for _ in 0..2 {
        let reply = server.client().send("POST", "/v1/batch", &[("User-Agent", IPHONE)], body.as_bytes());
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    assert_eq!((&known(&server, "jane")["Browser"], known(&server, "ben")), (&json!("Firefox"), json!({})));
    assert_eq!(sets(&server), 1, "once in a batch and after it");
}

#[test]
fn robots_are_kept_and_left_out_of_a_report_that_asks_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    let mut client = server.client();
    for (person, agent) in [("jane", FIREFOX), ("crawler", GOOGLEBOT), ("script", "curl/8.5.0")] {
        send(&mut client, "/e", &format!("_p={person}&_n=Visited"), agent);
    }
    // What an older list did not know: only the user agent says it now.
    let old = "Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)";
    server.import(&format!(
        "{{\"type\":\"event\",\"person\":\"old\",\"event\":\"Visited\"}}\n\
         {{\"type\":\"set\",\"person\":\"old\",\"properties\":{{\"User Agent\":\"{old}\",\"Device Type\":\"Desktop\"}}}}"
    ));
    assert_eq!(known(&server, "crawler"), json!({"Device Type": "Bot", "User Agent": GOOGLEBOT}));
    let people = |audience: &str| {
        let reply = server.post(
            "/api/v1/funnel",
            &format!("{{\"steps\":[{{\"event\":\"Visited\"}}],\"people\":{audience}}}"),
        );
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    };
    for (audience, expected) in [
        ("null", 4),
        (r#"{"bot":false}"#, 2),
        (r#"{"bot":true}"#, 2),
        (r#"{"all":[{"bot":true},{"property":"Device Type","is":"Bot"}]}"#, 1),
    ] {
        assert_eq!(people(audience)["steps"][0]["people"], expected, "{audience}");
    }
    let receipt = people(r#"{"bot":false}"#)["receipt"]["query"]["people"].to_string();
    assert!(
        receipt.contains("\"User Agent\"") && receipt.contains("spider"),
        "it says by which list: {receipt}"
    );
    assert_eq!(people(&receipt)["steps"][0]["people"], 2, "and can be asked again");
    let bad = server.post("/api/v1/funnel", r#"{"steps":[{"event":"Visited"}],"people":{"bot":"no"}}"#);
    assert_eq!((bad.status, bad.code().as_str()), (422, "bad_type"));
}
