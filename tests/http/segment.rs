//! The Segment HTTP API over real connections: keys in every place, what is sent again, what is refused.

use serde_json::json;

use super::fresh;
use crate::support::{API_KEY, Reply, Server, WRITE_KEY};

fn send(server: &Server, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    server.client().send("POST", path, headers, body)
}

#[test]
fn the_key_can_be_anywhere_and_has_to_be_known() {
    let (_dir, server) = fresh();
    let body = |n: u32| format!(r#"{{"userId":"u{n}","event":"A","messageId":"m{n}"}}"#);
    // base64("0123456789abcdef0123456789abcdef01234567:")
    let basic = [("Authorization", "Basic MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzo=")];
    let in_body = format!(r#"{{"writeKey":"{WRITE_KEY}","userId":"u2","event":"A"}}"#);
    let text = [("Content-Type", "text/plain")];
    for reply in [
        send(&server, "/v1/track", &basic, body(1).as_bytes()),
        send(&server, "/v1/t/", &text, in_body.as_bytes()),
        send(
            &server,
            &format!("/beacon/v1/batch?writeKey={WRITE_KEY}"),
            &[],
            br#"{"batch":[{"type":"page","userId":"u3"}]}"#,
        ),
    ] {
        assert_eq!((reply.status, reply.json()), (200, json!({"success": true})), "{}", reply.text());
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    }
    let bearer = format!("Bearer {API_KEY}");
    for (headers, status) in [(vec![], 401), (vec![("Authorization", bearer.as_str())], 403)] {
        let reply = send(&server, "/v1/track", &headers, body(9).as_bytes());
        let told = reply.json();
        assert_eq!((reply.status, &told["success"]), (status, &json!(false)));
        for field in ["code", "message"] {
            assert!(told[field].is_string() && told[field] == told["error"][field], "{told}");
        }
    }
    assert_eq!(server.export().len(), 3);
    let settings = server.client().open(format!("/v1/projects/{WRITE_KEY}/settings"));
    assert_eq!(settings.header("cache-control"), Some("private, max-age=300"));
    assert_eq!(settings.json()["integrations"]["Segment.io"]["apiHost"], format!("{}/v1", server.addr));
}

#[test]
fn a_batch_is_stored_once_and_what_is_bad_in_it_is_listed() {
    let (_dir, server) = fresh();
    let batch = format!(
        r#"{{"writeKey":"{WRITE_KEY}","sentAt":"2026-01-01T00:00:00Z","batch":[
        {{"type":"identify","userId":"u1","anonymousId":"a1","traits":{{"plan":"Pro"}},"messageId":"1"}},
        {{"type":"track","userId":"u1","anonymousId":"a1","event":"Paid","properties":{{"total":5}},"messageId":"2"}},
        {{"type":"track","userId":"u1","messageId":"3"}},{{"type":"alias","userId":"undefined","previousId":"u1","messageId":"4"}}]}}"#
    );
    for _ in 0..3 {
        let reply = send(
            &server,
            "/v1/batch",
            &[("Content-Type", "application/x-www-form-urlencoded")],
            batch.as_bytes(),
        );
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let person = server.get("/api/v1/people/u1");
    assert_eq!(
        (&person["identities"], &person["events"], &person["revenue"]),
        (&json!(["a1", "u1"]), &json!(1), &json!("5"))
    );
    assert_eq!(server.export().len(), 3, "an identify, a set and an event");
    let refusals = server.get("/api/v1/refusals");
    assert_eq!(refusals["counts"], json!({"bad_event": 3, "nobody": 3}));
    for refusal in refusals["refusals"].as_array().unwrap().iter().filter(|r| r["reason"] == "bad_event") {
        assert_eq!(refusal["identity"], "u1");
    }
    for (body, code) in
        [(&b"{\"batch\":["[..], "bad_json"), (b"\x1f\x8b\x08", "bad_json"), (b"[7", "bad_json")]
    {
        let headers = [("Authorization", format!("Bearer {WRITE_KEY}"))];
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let reply = send(&server, "/v1/batch", &headers, body);
        assert_eq!(
            (reply.status, reply.json()["error"]["code"].as_str()),
            (400, Some(code)),
            "{}",
            reply.text()
        );
    }
}

#[test]
fn an_alias_inside_a_person_still_names_its_target() {
    let (_dir, server) = fresh();
    // d is named by the first; c, which is one with it, by the second: so the third may bring x to c (S8).
    for (previous, user) in [("c", "d"), ("d", "c"), ("c", "x")] {
        let body = format!(r#"{{"writeKey":"{WRITE_KEY}","previousId":"{previous}","userId":"{user}"}}"#);
        assert_eq!(send(&server, "/v1/alias", &[], body.as_bytes()).status, 200);
    }
    assert_eq!(server.get("/api/v1/people/c")["identities"], json!(["c", "d", "x"]));
    let again = format!(r#"{{"writeKey":"{WRITE_KEY}","previousId":"d","userId":"c"}}"#);
    assert_eq!(send(&server, "/v1/alias", &[], again.as_bytes()).status, 200);
    assert_eq!(server.export().len(), 3, "what changes nothing is not stored");
}
