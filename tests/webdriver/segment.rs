//! Segment's own client in a browser, with nothing changed but where it loads its settings from.

use super::driver::Driver;
use super::site::{Page, serve};
use crate::sdks::installed;
use crate::support::{Server, WRITE_KEY};

#[test]
fn the_client_of_segment_in_a_browser() {
    let Some(modules) = installed("node_modules") else { return };
    let Some(driver) = Driver::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("store"));
    let bundle = std::fs::read_to_string(modules.join("@segment/analytics-next/dist/umd/index.js")).unwrap();
    let html = "<!doctype html><script src=\"/analytics.js\"></script>".to_owned();
    let port = serve(move |path| match path {
        "/" => Some(Page { kind: "text/html", fields: "", text: html.clone() }),
        "/analytics.js" => Some(Page { kind: "text/javascript", fields: "", text: bundle.clone() }),
        _ => None,
    });
    let mut browser = driver.browser();
    browser.go(&format!("http://shop.test:{port}/?utm_source=news"));
    browser.run(&format!(
        "window.a = AnalyticsNext.AnalyticsBrowser.load({{writeKey: '{WRITE_KEY}', cdnURL: 'http://{}'}});
         a.page('Home'); a.track('Clicked', {{n: 1.5}}); a.identify('jane@example.com', {{plan: 'Pro'}}); a.track('Paid', {{revenue: 9.9}});
         a.alias('jane@example.com');",
        server.addr
    ));
    let begin = std::time::Instant::now();
    let known = loop {
        let reply = server.client().get("/api/v1/people/jane%40example.com");
        // The client's requests overtake each other.
        if reply.status == 200 && reply.json()["events"] == 3 && !reply.json()["properties"]["plan"].is_null()
        {
            break reply.json();
        }
        assert!(begin.elapsed().as_secs() < 15, "{} {}", reply.text(), server.export().join("\n"));
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    assert_eq!(known["identities"].as_array().unwrap().len(), 2);
    assert_eq!((&known["properties"]["plan"], &known["revenue"]), (&"Pro".into(), &"9.9".into()));
    assert_eq!(known["properties"]["Campaign Source"], "news");
    assert_eq!(server.get("/api/v1/stats")["people"], 1);
    assert_eq!(server.get("/api/v1/refusals")["counts"], serde_json::json!({}));
    let errors: Vec<String> = browser.errors().into_iter().filter(|e| !e.contains("favicon")).collect();
    assert_eq!(errors, [""; 0]);
}
