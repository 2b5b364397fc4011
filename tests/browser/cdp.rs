//! A headless Chromium, told what to do over the two pipes of its debugging protocol: JSON between zero bytes.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

const PATIENCE: Duration = Duration::from_secs(30);
const NAMES: [&str; 5] =
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome-headless-shell"];

/// The browser to test with: `WHODID_BROWSER`, or the first of the usual names on the path.
pub fn find() -> Option<PathBuf> {
    if let Some(chosen) = std::env::var_os("WHODID_BROWSER") {
        return Some(chosen.into());
    }
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    NAMES.iter().find_map(|name| folders.iter().map(|f| f.join(name)).find(|p| p.is_file()))
}

/// A running browser with a new profile. Dropping it ends it.
pub struct Browser {
    child: Child,
    input: ChildStdin,
    messages: Receiver<Json>,
    last: u64,
    _profile: tempfile::TempDir,
}

/// A tab. Tabs of different contexts share no cookies and no storage.
pub struct Tab {
    session: String,
    context: Json,
}

impl Browser {
    /// Starts `program`. `hosts` maps names to addresses.
    pub fn start(program: &Path, hosts: &[(&str, String)]) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let rules: Vec<String> = hosts.iter().map(|(name, addr)| format!("MAP {name} {addr}")).collect();
        let mut flag = OsString::from("--user-data-dir=");
        flag.push(profile.path());
        // The protocol wants descriptors 3 and 4; a shell moves ours there.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 0</dev/null 1>/dev/null"])
            .arg(program)
            .args([
                "--headless",
                "--remote-debugging-pipe",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
            ])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-quic", "--disable-dev-shm-usage", "--disable-default-apps", "--mute-audio"])
            .arg("--disable-features=HttpsUpgrades,HttpsFirstBalancedModeAutoEnable,LocalNetworkAccessChecks")
            .arg(format!("--host-resolver-rules={}", rules.join(",")))
            .arg(flag)
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let (sender, messages) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            while output.read_until(0, &mut bytes).is_ok_and(|n| n > 0) {
                bytes.pop();
                let message = serde_json::from_slice(&bytes).unwrap_or(Json::Null);
                if sender.send(message).is_err() {
                    return;
                }
                bytes.clear();
            }
        });
        Self { child, input, messages, last: 0, _profile: profile }
    }

    /// One command and its result.
    fn call(&mut self, session: Option<&str>, method: &str, params: Json) -> Json {
        self.try_call(session, method, params).unwrap_or_else(|e| panic!("{method}: {e}"))
    }

    /// One command and its result, or what the browser has against it.
    fn try_call(&mut self, session: Option<&str>, method: &str, params: Json) -> Result<Json, Json> {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": params });
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.input.write_all(&bytes).unwrap();
        let begin = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(begin.elapsed());
            let answer = self.messages.recv_timeout(left).unwrap_or_else(|e| {
                panic!("{method}: {e} after {:?}; the browser: {:?}", begin.elapsed(), self.child.try_wait())
            });
            if answer["id"] == self.last {
                return match answer.get("error") {
                    Some(error) => Err(error.clone()),
                    None => Ok(answer["result"].clone()),
                };
            }
        }
    }

    /// A tab in a context of its own: another browser, as far as a site can tell.
    pub fn visitor(&mut self) -> Tab {
        let context = self.call(None, "Target.createBrowserContext", json!({}));
        self.tab(context["browserContextId"].clone())
    }

    /// Another tab of the same browser.
    pub fn beside(&mut self, tab: &Tab) -> Tab {
        self.tab(tab.context.clone())
    }

    fn tab(&mut self, context: Json) -> Tab {
        let target = json!({ "url": "about:blank", "browserContextId": context });
        let target = self.call(None, "Target.createTarget", target);
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session =
            self.call(None, "Target.attachToTarget", attach)["sessionId"].as_str().unwrap().to_owned();
        self.call(Some(&session), "Page.enable", json!({}));
        Tab { session, context }
    }

    /// Runs `script` in every page of the tab before the page's own.
    pub fn before_pages(&mut self, tab: &Tab, script: &str) {
        let source = json!({ "source": script });
        self.call(Some(&tab.session), "Page.addScriptToEvaluateOnNewDocument", source);
    }

    /// Goes to `url`, as if it had been typed, and waits until the page and its scripts are there.
    pub fn open(&mut self, tab: &Tab, url: &str) {
        self.call(Some(&tab.session), "Page.navigate", json!({ "url": url }));
        self.wait(tab, "document.readyState === 'complete' && location.href !== 'about:blank'");
    }

    /// The value of an expression.
    pub fn value(&mut self, tab: &Tab, expression: &str) -> Json {
        self.try_value(tab, expression).unwrap_or_else(|e| panic!("{expression}: {e}"))
    }

    fn try_value(&mut self, tab: &Tab, expression: &str) -> Result<Json, Json> {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let result = self.try_call(Some(&tab.session), "Runtime.evaluate", params)?;
        assert!(result.get("exceptionDetails").is_none(), "{expression}: {result}");
        Ok(result["result"]["value"].clone())
    }

    /// Waits until an expression is true, also over a change of pages: a page that goes away while it is
    /// asked ends the question with an error, and the next page is asked.
    pub fn wait(&mut self, tab: &Tab, condition: &str) {
        let begin = Instant::now();
        let guarded =
            format!("(() => {{ try {{ return !!({condition}) }} catch (e) {{ return false }} }})()");
        loop {
            let answer = self.try_value(tab, &guarded);
            if answer.as_ref().is_ok_and(|value| *value == true) {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "never true: {condition}: {answer:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Clicks into the middle of an element, with a real mouse as far as the page can tell.
    pub fn click(&mut self, tab: &Tab, selector: &str) {
        let place = format!(
            "(() => {{ const r = document.querySelector('{selector}').getBoundingClientRect(); \
             return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
        );
        let place = self.value(tab, &place);
        for kind in ["mousePressed", "mouseReleased"] {
            let event =
                json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
            self.call(Some(&tab.session), "Input.dispatchMouseEvent", event);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Asked, it ends its own processes, and nothing is written to the profile while that is removed.
        let asked = self.input.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0").is_ok();
        let begin = Instant::now();
        while asked && begin.elapsed() < Duration::from_secs(5) {
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        if self.child.kill().is_ok() {
            self.child.wait().map(drop).unwrap_or_default();
        }
    }
}
