//! Who is logged in: a random token in a cookie for whoever showed the API key, kept in memory as its hash. A restart logs everybody
//! out, and nothing of it is on disk.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use maud::{Markup, html};

use super::view::framed;
use crate::error::Result;
use crate::http::auth::{KeyHash, new_api_key};
use crate::http::message::{Request, Response};

/// How long a session lasts.
const LASTS: Duration = Duration::from_secs(12 * 3600);
/// Sessions at once; the oldest end first.
const SESSIONS_MAX: usize = 1000;
/// Wrong keys that are looked at in a minute: guessing 256 bits is hopeless anyway, this keeps the log readable.
const WRONG_MAX: usize = 20;
const COOKIE: &str = "whodid_session";

/// All sessions.
#[derive(Default)]
pub struct Sessions(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    ends: HashMap<String, Instant>,
    wrong: VecDeque<Instant>,
}

impl Sessions {
    /// Whether a request belongs to a session.
    pub fn has(&self, request: &Request) -> bool {
        let Some(token) = token_of(request) else { return false };
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.ends.get(&KeyHash::of(&token).to_hex()).is_some_and(|end| *end > Instant::now())
    }

    /// The answer to a log-in with a key of which `known` says whether it is the right one.
    pub fn log_in(&self, request: &Request, known: impl Fn(&str) -> bool) -> Result<Response> {
        let form: HashMap<String, String> = form_urlencoded::parse(&request.body).into_owned().collect();
        let value = |name: &str| form.get(name).map_or("", String::as_str);
        let next = local(value("next"));
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        inner.wrong.retain(|at| now.duration_since(*at) < Duration::from_secs(60));
        if inner.wrong.len() >= WRONG_MAX {
            let page = form_page(&next, Some("Too many wrong keys. Wait a minute."));
            return Ok(framed("Log in", &page, 429).with("Retry-After", "60"));
        }
        if !known(value("key").trim()) {
            inner.wrong.push_back(now);
            return Ok(framed("Log in", &form_page(&next, Some("This is not the API key.")), 401));
        }
        inner.ends.retain(|_, end| *end > now);
        if inner.ends.len() >= SESSIONS_MAX
            && let Some(oldest) =
                inner.ends.iter().min_by_key(|(_, end)| **end).map(|(token, _)| token.clone())
        {
            inner.ends.remove(&oldest);
        }
        let token = new_api_key()?;
        inner.ends.insert(KeyHash::of(&token).to_hex(), now + LASTS);
        see(&next).with_value("Set-Cookie", cookie(request, &token, LASTS.as_secs()))
    }

    /// Ends the session of a request.
    pub fn log_out(&self, request: &Request) -> Result<Response> {
        if let Some(token) = token_of(request) {
            let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            inner.ends.remove(&KeyHash::of(&token).to_hex());
        }
        see("/login").with_value("Set-Cookie", cookie(request, "", 0))
    }
}

/// The log-in page.
pub fn page(request: &Request) -> Response {
    framed("Log in", &form_page(&local(&request.parameter("next").unwrap_or_default()), None), 200)
}

/// Sends a visitor without a session to the log-in page, and back afterwards.
pub fn ask(request: &Request) -> Result<Response> {
    let asked = if request.query.is_empty() {
        request.path.clone()
    } else {
        format!("{}?{}", request.path, request.query)
    };
    let next: String = form_urlencoded::byte_serialize(asked.as_bytes()).collect();
    Response::new(303, "", Vec::new()).with_value("Location", format!("/login?next={next}"))
}

fn see(path: &str) -> Response {
    let response = Response::new(303, "", Vec::new()).with("Cache-Control", "no-store");
    response
        .with_value("Location", path.to_owned())
        .unwrap_or_else(|_| Response::new(303, "", Vec::new()).with("Location", "/"))
}

/// A path of this server, never the address of another.
fn local(next: &str) -> String {
    let fine = next.starts_with('/') && !next.starts_with("//") && !next.contains('\\') && next.is_ascii();
    if fine && !next.chars().any(char::is_control) { next.to_owned() } else { "/".to_owned() }
}

fn cookie(request: &Request, token: &str, seconds: u64) -> String {
    let secure = if request.headers.get("x-forwarded-proto") == Some("https") { "; Secure" } else { "" };
    format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}")
}

fn token_of(request: &Request) -> Option<String> {
    let cookies = request.headers.get("cookie")?;
    let mut pairs = cookies.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, token)| token.to_owned())
}

fn form_page(next: &str, problem: Option<&str>) -> Markup {
    html! {
        main.login #main {
            h1 { "whodid" }
            @if let Some(problem) = problem { p.problem role="alert" { (problem) } }
            form method="post" action="/login" {
                div.field {
                    label for="key" { "API key" }
                    input #key name="key" type="password" autocomplete="current-password" required autofocus;
                }
                input type="hidden" name="next" value=(next);
                button { "Log in" }
            }
            p { "The key was printed when the server was started for the first time." }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere_after_logging_in() {
        for bad in ["https://evil.test/", "//evil.test", "/\\evil.test", "", "evil", "/a\nb"] {
            assert_eq!(local(bad), "/", "{bad:?}");
        }
        assert_eq!(local("/funnels?step=A%20B"), "/funnels?step=A%20B");
    }
}
