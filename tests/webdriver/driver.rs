//! A browser, through the WebDriver protocol of chromedriver.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::support::Client;

/// What WebDriver calls an element in JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Chromium is heavy: one test at a time has browsers.
static TURN: Mutex<()> = Mutex::new(());

/// A check of a whole page by axe takes seconds, and many beside other work.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running chromedriver.
pub struct Driver {
    child: Child,
    addr: String,
    _turn: std::sync::MutexGuard<'static, ()>,
}

/// Times that the driver is started before it is given up.
const STARTS: usize = 3;

impl Driver {
    /// Starts it; `None`, said aloud, where it is not installed.
    pub fn start() -> Option<Self> {
        let turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // On a machine that is short of everything it sometimes ends before it has begun.
        for _ in 0..STARTS {
            let started = Command::new("chromedriver")
                .arg("--port=0")
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn();
            let Ok(mut child) = started else {
                eprintln!(
                    "SKIPPED: no chromedriver here, so nothing was tested in a browser; run tests/install"
                );
                return None;
            };
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let port = lines.map_while(Result::ok).find_map(|line| {
                let rest = line.split_once("started successfully on port ")?.1;
                Some(rest.trim_end_matches('.').to_owned())
            });
            if let Some(port) = port {
                return Some(Self { child, addr: format!("127.0.0.1:{port}"), _turn: turn });
            }
            eprintln!("chromedriver ended with {}", child.wait().unwrap());
        }
        panic!("chromedriver ended {STARTS} times before it said its port");
    }

    /// A browser with a profile of its own, in which every host is this machine.
    pub fn browser(&self) -> Browser {
        let profile = tempfile::tempdir().unwrap();
        let data = format!("--user-data-dir={}", profile.path().display());
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--host-resolver-rules=MAP * 127.0.0.1",
            "--window-size=1440,900",
            &data,
        ];
        let options = json!({"args": arguments});
        let wanted = json!({"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"}, "timeouts": {"pageLoad": 20_000, "script": 10_000}}}});
        let mut browser = Browser {
            client: Client::connect(&self.addr).patient(PATIENCE),
            session: String::new(),
            _profile: profile,
        };
        let answer = browser.ask("POST", "/session", &wanted);
        browser.session = answer["sessionId"].as_str().expect("a session").to_owned();
        browser
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

/// One browser.
pub struct Browser {
    client: Client,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    fn ask(&mut self, method: &str, path: &str, body: &Json) -> Json {
        self.try_ask(method, path, body).unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    /// One command and its result, or what the browser has against it.
    fn try_ask(&mut self, method: &str, path: &str, body: &Json) -> Result<Json, Json> {
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let reply = self.client.send(method, path, &[("Content-Type", "application/json")], body.as_bytes());
        let answer = reply.json()["value"].clone();
        if reply.status == 200 { Ok(answer) } else { Err(answer) }
    }

    fn command(&mut self, method: &str, path: &str, body: Json) -> Json {
        let path = format!("/session/{}{path}", self.session);
        self.ask(method, &path, &body)
    }

    /// Opens a page and waits until it is loaded.
    pub fn go(&mut self, url: &str) {
        self.command("POST", "/url", json!({"url": url}));
    }

    /// Runs a script in the page; what it returns.
    pub fn run(&mut self, script: &str) -> Json {
        self.command("POST", "/execute/sync", json!({"script": script, "args": []}))
    }

    /// Runs a script in the page that calls its last argument with the result.
    pub fn run_async(&mut self, script: &str) -> Json {
        self.command("POST", "/execute/async", json!({"script": script, "args": []}))
    }

    /// Shows pages at this width, in a light or dark scheme.
    pub fn appear(&mut self, width: u32, scheme: &str) {
        let path = format!("/session/{}/goog/cdp/execute", self.session);
        let metrics = json!({"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": false});
        self.ask("POST", &path, &json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics}));
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.ask("POST", &path, &json!({"cmd": "Emulation.setEmulatedMedia", "params": media}));
    }

    /// Shows pages in a window of this size.
    pub fn sized(&mut self, width: u32, height: u32) {
        let path = format!("/session/{}/goog/cdp/execute", self.session);
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.ask("POST", &path, &json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics}));
    }

    /// Shows pages as on this medium, such as `print`.
    pub fn medium(&mut self, medium: &str) {
        let path = format!("/session/{}/goog/cdp/execute", self.session);
        let media = json!({"media": medium});
        self.ask("POST", &path, &json!({"cmd": "Emulation.setEmulatedMedia", "params": media}));
    }

    fn find(&mut self, css: &str) -> String {
        let found = self.command("POST", "/element", json!({"using": "css selector", "value": css}));
        found[ELEMENT].as_str().expect("an element").to_owned()
    }

    /// Types into a field.
    pub fn type_into(&mut self, css: &str, text: &str) {
        let element = self.find(css);
        self.command("POST", &format!("/element/{element}/value"), json!({"text": text}));
    }

    /// Presses keys one after the other, on whatever has the focus.
    pub fn press_keys(&mut self, keys: &str) {
        let strokes = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key.to_string()})));
        let device = json!({"type": "key", "id": "keyboard", "actions": strokes.collect::<Vec<_>>()});
        self.command("POST", "/actions", json!({"actions": [device]}));
    }

    /// What the page has logged as errors since it was last asked.
    pub fn errors(&mut self) -> Vec<String> {
        let log = self.command("POST", "/se/log", json!({"type": "browser"}));
        let severe = log.as_array().into_iter().flatten().filter(|entry| entry["level"] == "SEVERE");
        severe.map(|entry| entry["message"].to_string()).collect()
    }

    /// Waits until a script returns something true, also over a change of pages: a page that goes away
    /// while it is asked, or is not whole yet, ends the question with an error, and it is asked again.
    pub fn wait_for(&mut self, script: &str) -> Json {
        let begin = Instant::now();
        let path = format!("/session/{}/execute/sync", self.session);
        loop {
            let found = self.try_ask("POST", &path, &json!({"script": script, "args": []}));
            if let Ok(found) = &found
                && !matches!(found, Json::Null | Json::Bool(false))
            {
                return found.clone();
            }
            assert!(begin.elapsed() < Duration::from_secs(15), "{script} never came true: {found:?}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.command("DELETE", "", json!({}));
        }
    }
}
