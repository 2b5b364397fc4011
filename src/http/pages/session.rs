//! Who is logged in: a random token in a cookie for whoever showed the API key, kept in memory as its hash. A restart logs everybody
//! out, and nothing of it is on disk.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use maud::{Markup, html};

use super::view::framed;
use crate::error::Result;
use crate::http::auth::{KeyHash, new_token};
use crate::http::message::{Request, Response};

/// How long a session lasts.
const LASTS: Duration = Duration::from_secs(12 * 3600);
/// Sessions at once; the oldest end first.
const SESSIONS_MAX: usize = 1000;
/// Wrong keys that are looked at in a minute: guessing 256 bits is hopeless anyway, this keeps the log readable.
const WRONG_MAX: usize = 20;
/// How long the link that is printed at the start can be used.
const LINK_LASTS: Duration = Duration::from_secs(3600);
const COOKIE: &str = "whodid_session";

/// All sessions.
#[derive(Default)]
pub struct Sessions(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    ends: HashMap<String, Instant>,
    wrong: VecDeque<Instant>,
    /// The hash of what the link that `serve` prints logs in with, until when.
    first: Option<(KeyHash, Instant)>,
}

impl Sessions {
    /// Whether a request belongs to a session.
    pub fn has(&self, request: &Request) -> bool {
        let Some(token) = token_of(request) else { return false };
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.ends.get(&KeyHash::of(&token).to_hex()).is_some_and(|end| *end > Instant::now())
    }

    /// The path of a link that logs in once.
    pub fn link(&self) -> Result<String> {
        let token = new_token()?;
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.first = Some((KeyHash::of(&token), Instant::now() + LINK_LASTS));
        Ok(format!("/login?token={token}"))
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
        let by_link = !value("token").is_empty();
        let right = if by_link { inner.take_link(value("token"), now) } else { known(value("key").trim()) };
        if !right {
            inner.wrong.push_back(now);
            let problem =
                if by_link { "This link was used, or is too old." } else { "This is not the API key." };
            return Ok(framed("Log in", &form_page(&next, Some(problem)), 401));
        }
        inner.ends.retain(|_, end| *end > now);
        if inner.ends.len() >= SESSIONS_MAX
            && let Some(oldest) =
                inner.ends.iter().min_by_key(|(_, end)| **end).map(|(token, _)| token.clone())
        {
            inner.ends.remove(&oldest);
        }
        let token = new_token()?;
        inner.ends.insert(KeyHash::of(&token).to_hex(), now + LASTS);
        see(&next).with_value("Set-Cookie", cookie(request, &token, LASTS.as_secs()))
    }

    /// Ends all sessions but that of a request.
    pub fn end_others(&self, request: &Request) {
        let own = token_of(request).map(|token| KeyHash::of(&token).to_hex());
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.ends.retain(|token, _| Some(token) == own.as_ref());
        inner.first = None;
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

impl Inner {
    /// Whether `token` is that of the link; if so, it was used.
    fn take_link(&mut self, token: &str, now: Instant) -> bool {
        let right = self.first.is_some_and(|(hash, until)| hash == KeyHash::of(token) && now < until);
        if right {
            self.first = None;
        }
        right
    }
}

/// The log-in page. A link that logs in has a button on it all the same: what only looks at links must not use them up.
pub fn page(request: &Request) -> Response {
    if let Some(token) = request.parameter("token") {
        let body = html! {
            main.login #main {
                h1 { "whodid" }
                form method="post" action="/login" { input type="hidden" name="token" value=(token); button autofocus { "Log in" } }
                p { a href="/login" { "With the API key instead" } }
            }
        };
        return framed("Log in", &body, 200);
    }
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

/// Sends the browser on to a page.
pub fn see(path: &str) -> Response {
    let response = Response::new(303, "", Vec::new()).with("Cache-Control", "no-store");
    response
        .with_value("Location", path.to_owned())
        .unwrap_or_else(|_| Response::new(303, "", Vec::new()).with("Location", "/"))
}

/// A path of this server, never the address of another.
pub fn local(next: &str) -> String {
    let fine = next.starts_with('/') && !next.starts_with("//") && !next.contains('\\') && next.is_ascii();
    if fine && !next.chars().any(char::is_control) { next.to_owned() } else { "/".to_owned() }
}

fn cookie(request: &Request, token: &str, seconds: u64) -> String {
    let secure = if request.scheme() == "https" { "; Secure" } else { "" };
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
