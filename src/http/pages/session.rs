//! Who is logged in: a random token in a cookie for whoever showed a key, a password or a link, kept in memory as its hash. A restart
//! logs everybody out, and nothing of it is on disk.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use maud::{Markup, html};

use super::before::Before;
use super::tries::Tries;
use super::view::framed;
use crate::app::Role;
use crate::app::accounts::{Accounts, Proved};
use crate::error::{Error, ErrorKind, Result};
use crate::http::auth::{KeyHash, new_token};
use crate::http::message::{Method, Request, Response};
use crate::http::projects::Projects;
use crate::http::respond;
use crate::limits;
use crate::model::Millis;

/// How long a session lasts.
const LASTS: Duration = Duration::from_secs(12 * 3600);
/// Sessions at once, of everybody.
const SESSIONS_MAX: usize = 1000;
/// Those of one account or key; the oldest end first.
const HOLDER_SESSIONS_MAX: usize = 20;
/// How long the link that is printed at the start can be used.
const LINK_LASTS: Duration = Duration::from_secs(3600);
const COOKIE: &str = "whodid_session";

/// Who is at work in the dashboard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// The address of their account; `None` for whoever came with a key or the printed link.
    pub email: Option<String>,
    /// What they may do.
    pub role: Role,
    /// The projects they may see; none for all.
    pub projects: BTreeSet<u32>,
}

impl Who {
    /// Whether they may see a project.
    pub fn sees(&self, project: u32) -> bool {
        self.projects.is_empty() || self.projects.contains(&project)
    }

    /// Whether they own the whole server: its accounts and projects.
    pub fn owns_all(&self) -> bool {
        self.role == Role::Owner && self.projects.is_empty()
    }
}

/// What a session was opened with. What that allows is looked up anew for each request.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pass {
    /// The link that `serve` printed, to whoever owns the server.
    Link,
    /// A key that manages a project, or the whole server, as its hash.
    Key(KeyHash),
    /// A password, or the link to choose one: the address of the account, and a fingerprint of the password that it has while this is
    /// good. So a session ends with its password and its account, however long ago that was looked at and whoever has the address next.
    User(String, KeyHash),
}

impl Pass {
    fn of(proved: &Proved) -> Self {
        Self::User(proved.email.clone(), KeyHash::of(&proved.kept))
    }

    /// Whoever has it, and what they may do now.
    fn who(&self, accounts: &Accounts, projects: &Projects) -> Option<Who> {
        match self {
            Self::Link => Some(Who { email: None, role: Role::Owner, projects: BTreeSet::new() }),
            Self::Key(hash) => {
                Some(Who { email: None, role: Role::Owner, projects: projects.managed_with(hash)? })
            }
            Self::User(email, fingerprint) => {
                let user = accounts.user(email)?;
                let same = !user.password.is_empty() && KeyHash::of(&user.password) == *fingerprint;
                same.then(|| Who { email: Some(email.clone()), role: user.role, projects: user.projects })
            }
        }
    }

    /// Whose sessions are counted together.
    fn holder(&self) -> String {
        match self {
            Self::Link => String::new(),
            Self::Key(hash) => hash.to_hex(),
            Self::User(email, _) => email.clone(),
        }
    }

    fn is_of(&self, account: &str) -> bool {
        matches!(self, Self::User(email, _) if email == account)
    }
}

struct Session {
    ends: Instant,
    pass: Pass,
}

/// All sessions.
#[derive(Default)]
pub struct Sessions(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// By the hash of their token.
    open: HashMap<String, Session>,
    tries: Tries,
    /// The hash of what the link that `serve` prints logs in with, until when.
    first: Option<(KeyHash, Instant)>,
}

impl Sessions {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose session a request belongs to.
    pub fn who(&self, request: &Request, accounts: &Accounts, projects: &Projects) -> Option<Who> {
        let token = hash_of(request)?;
        let pass = {
            let inner = self.inner();
            inner.open.get(&token).filter(|session| session.ends > Instant::now())?.pass.clone()
        };
        pass.who(accounts, projects)
    }

    /// The path of a link that logs in once.
    pub fn link(&self) -> Result<String> {
        let token = new_token()?;
        self.inner().first = Some((KeyHash::of(&token), Instant::now() + LINK_LASTS));
        Ok(format!("/login?token={token}"))
    }

    /// The answer to a log-in.
    pub fn log_in(&self, request: &Request, accounts: &Accounts, projects: &Projects) -> Result<Response> {
        let form: HashMap<String, String> = form_urlencoded::parse(&request.body).into_owned().collect();
        let value = |name: &str| form.get(name).map_or("", String::as_str);
        let next = local(value("next"));
        let many = !accounts.users().is_empty();
        let again = |problem: &str, status| framed("Log in", &form_page(&next, many, Some(problem)), status);
        if !self.inner().tries.begin(request.peer, Instant::now()) {
            return Ok(again("Too many failed log-ins. Wait a minute.", 429).with("Retry-After", "60"));
        }
        let (pass, problem) = if !value("token").is_empty() {
            (
                self.inner().take_link(value("token")).then_some(Pass::Link),
                "This link was used, or is too old.",
            )
        } else if !value("key").trim().is_empty() {
            let key = KeyHash::of(value("key").trim());
            (projects.managed_with(&key).map(|_| Pass::Key(key)), "This is not the API key.")
        } else {
            let found = match accounts.check(value("email"), value("password")) {
                Ok(found) => found,
                Err(error) => return Ok(again(error.message(), respond::status(error.kind()))),
            };
            (found.as_ref().map(Pass::of), "This e-mail address and password do not belong together.")
        };
        let good = |pass: &Pass| pass.who(accounts, projects).is_some();
        match pass.inspect(|pass| self.inner().make_room(&pass.holder(), good)) {
            Some(pass) => self.open(request, pass, &next),
            None => Ok(again(problem, 401)),
        }
    }

    /// The answer to a password that somebody chose with the link of an invitation: they are logged in.
    pub fn join(
        &self,
        request: &Request,
        accounts: &Accounts,
        projects: &Projects,
        now: Millis,
    ) -> Result<Response> {
        let form: HashMap<String, String> = form_urlencoded::parse(&request.body).into_owned().collect();
        let value = |name: &str| form.get(name).map_or("", String::as_str);
        if !self.inner().tries.begin(request.peer, Instant::now()) {
            return Ok(joining(accounts, value("token"), now, Some(&too_many())).with("Retry-After", "60"));
        }
        match accounts.accept(&KeyHash::of(value("token")).to_hex(), value("password"), now) {
            Ok(proved) => {
                self.end_of(&proved.email);
                self.inner().make_room(&proved.email, |pass| pass.who(accounts, projects).is_some());
                self.open(request, Pass::of(&proved), "/")
            }
            Err(error) => Ok(joining(accounts, value("token"), now, Some(&error))),
        }
    }

    /// Runs what asks for somebody's password once more: whoever has their session guesses it no faster than at the door.
    pub fn tried<T>(&self, request: &Request, tried: impl FnOnce() -> Result<T>) -> Result<T> {
        if !self.inner().tries.begin(request.peer, Instant::now()) {
            return Err(too_many());
        }
        let done = tried();
        if !done.as_ref().is_err_and(|error| error.code() == "wrong_password") {
            self.inner().tries.succeeded(request.peer);
        }
        done
    }

    fn open(&self, request: &Request, pass: Pass, next: &str) -> Result<Response> {
        let (token, now) = (new_token()?, Instant::now());
        let mut inner = self.inner();
        inner.tries.succeeded(request.peer);
        inner.open.insert(KeyHash::of(&token).to_hex(), Session { ends: now + LASTS, pass });
        see(next).with_value("Set-Cookie", cookie(request, &token, LASTS.as_secs()))
    }

    /// Ends the other sessions of whoever asks, or everybody's if they own the server.
    pub fn end_others(&self, request: &Request, who: &Who) {
        if !who.owns_all() {
            return self.end_own(request);
        }
        let own = hash_of(request);
        let mut inner = self.inner();
        inner.open.retain(|token, _| Some(token) == own.as_ref());
        inner.first = None;
    }

    /// Ends the other sessions that were opened with the same as that of a request.
    fn end_own(&self, request: &Request) {
        let own = hash_of(request);
        let mut inner = self.inner();
        let pass = own.as_ref().and_then(|own| inner.open.get(own)).map(|session| session.pass.clone());
        inner
            .open
            .retain(|token, session| Some(token) == own.as_ref() || Some(&session.pass) != pass.as_ref());
    }

    /// Ends the other sessions of an account whose password was changed in that of a request, which goes on with the new one.
    pub fn renew(&self, request: &Request, proved: &Proved) {
        let own = hash_of(request);
        let mut inner = self.inner();
        inner.open.retain(|token, session| Some(token) == own.as_ref() || !session.pass.is_of(&proved.email));
        if let Some(session) = own.and_then(|own| inner.open.get_mut(&own)) {
            session.pass = Pass::of(proved);
        }
    }

    /// Ends all sessions of an account.
    pub fn end_of(&self, email: &str) {
        let email = email.trim().to_lowercase();
        self.inner().open.retain(|_, session| !session.pass.is_of(&email));
    }

    /// Ends the session of a request.
    pub fn log_out(&self, request: &Request) -> Result<Response> {
        if let Some(token) = hash_of(request) {
            self.inner().open.remove(&token);
        }
        see("/login").with_value("Set-Cookie", cookie(request, "", 0))
    }
}

impl Inner {
    /// Makes room for one more session of a holder. Whoever has too many loses their own oldest; if all are too many, whoever has most loses
    /// one. So nobody logs others out by logging in.
    fn make_room(&mut self, holder: &str, good: impl Fn(&Pass) -> bool) {
        let now = Instant::now();
        self.open.retain(|_, session| session.ends > now);
        if self.open.len() >= SESSIONS_MAX {
            self.open.retain(|_, session| good(&session.pass));
        }
        loop {
            let mut counts: HashMap<String, usize> = HashMap::new();
            for session in self.open.values() {
                *counts.entry(session.pass.holder()).or_default() += 1;
            }
            let own = counts.get(holder).is_some_and(|count| *count >= HOLDER_SESSIONS_MAX);
            let most = counts.into_iter().max_by_key(|(_, count)| *count).map(|(holder, _)| holder);
            match most.filter(|_| self.open.len() >= SESSIONS_MAX) {
                _ if own => self.end_oldest_of(holder),
                Some(most) => self.end_oldest_of(&most),
                None => return,
            }
        }
    }

    fn end_oldest_of(&mut self, holder: &str) {
        let of_holder = self.open.iter().filter(|(_, session)| session.pass.holder() == holder);
        let oldest = of_holder.min_by_key(|(_, session)| session.ends).map(|(token, _)| token.clone());
        oldest.and_then(|token| self.open.remove(&token));
    }

    /// Whether `token` is that of the link; if so, it was used.
    fn take_link(&mut self, token: &str) -> bool {
        let right =
            self.first.is_some_and(|(hash, until)| hash == KeyHash::of(token) && Instant::now() < until);
        if right {
            self.first = None;
        }
        right
    }
}

/// The log-in page. A link that logs in has a button on it all the same: what only looks at links must not use them up.
pub fn page(request: &Request, accounts: &Accounts) -> Response {
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
    let next = local(&request.parameter("next").unwrap_or_default());
    let ended = request.parameter("ended").map(|_| "Your session ended, so nothing was saved.");
    framed("Log in", &form_page(&next, !accounts.users().is_empty(), ended), 200)
}

/// Sends a visitor without a session to the log-in page, and back afterwards: to the page with the form if it was one that was sent,
/// as nothing came of it and its own address shows nothing.
pub fn ask(request: &Request) -> Result<Response> {
    let looks = request.method == Method::Get;
    let asked = match (looks, request.query.as_str()) {
        (false, _) => Before::address(request),
        (true, "") => request.path.clone(),
        (true, query) => format!("{}?{query}", request.path),
    };
    let next: String = form_urlencoded::byte_serialize(asked.as_bytes()).collect();
    let ended = if looks { "" } else { "&ended=1" };
    Response::new(303, "", Vec::new()).with_value("Location", format!("/login?next={next}{ended}"))
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

/// The hash of the token of a request.
fn hash_of(request: &Request) -> Option<String> {
    let cookies = request.headers.get("cookie")?;
    let mut pairs = cookies.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, token)| KeyHash::of(token).to_hex())
}

fn too_many() -> Error {
    Error::new(ErrorKind::TooOften, "too_many_tries", "too many tries; wait a minute")
}

fn form_page(next: &str, many: bool, problem: Option<&str>) -> Markup {
    html! {
        main.login #main {
            h1 { "whodid" }
            @if let Some(problem) = problem { p.problem role="alert" { (problem) } }
            form method="post" action="/login" {
                @if many {
                    div.field { label for="email" { "E-mail" } input #email name="email" type="email" autocomplete="username" autofocus; }
                    (password("Password", "password", "current-password", false))
                    p.or { "or" }
                }
                div.field {
                    label for="key" { "API key" }
                    input #key name="key" type="password" autocomplete="off" required[!many] autofocus[!many];
                }
                input type="hidden" name="next" value=(next);
                button { "Log in" }
            }
            p.hint { "The key was printed when the server was started for the first time. If it is lost: " code { "whodid key add NAME --scope manage" } " on the server makes another." }
        }
    }
}

/// A field for a password.
pub fn password(label: &str, name: &str, autocomplete: &str, new: bool) -> Markup {
    let shortest = new.then_some(limits::PASSWORD_CHARS_MIN);
    html! {
        div.field {
            label for=(name) { (label) }
            input id=(name) name=(name) type="password" autocomplete=(autocomplete) required[new] minlength=[shortest];
        }
    }
}

/// The page of an invitation, or what came of it.
pub fn joining(accounts: &Accounts, token: &str, now: Millis, problem: Option<&Error>) -> Response {
    let email = accounts.invited(&KeyHash::of(token).to_hex(), now);
    let status = match (&email, problem) {
        (_, Some(error)) => respond::status(error.kind()),
        (None, None) => 404,
        (Some(_), None) => 200,
    };
    let body = html! {
        main.login #main {
            h1 { "whodid" }
            @if let Some(email) = email {
                @if let Some(error) = problem { p.problem role="alert" { (error.message()) } }
                p { "Choose a password for " b { (email) } ", of at least " (limits::PASSWORD_CHARS_MIN) " characters. Nobody else will know it." }
                form method="post" action="/join" {
                    input type="hidden" name="token" value=(token);
                    input type="hidden" name="email" value=(email) autocomplete="username";
                    (password("Password", "password", "new-password", true))
                    button { "Save and log in" }
                }
            } @else {
                p.problem role="alert" { "This link was used, or is too old. Ask for a new one." }
                p { a href="/login" { "Log in" } }
            }
        }
    };
    framed("Welcome", &body, status)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::app::accounts::{Invitation, User};
    use crate::app::{App, Scope, ScopedKey, StoredKeys};
    use crate::http::message::{Headers, Method};

    fn request(peer: [u8; 4], cookie: Option<&Response>) -> Request {
        let mut headers = Headers::default();
        let set = cookie.and_then(|reply| reply.headers().find(|(name, _)| *name == "Set-Cookie"));
        set.inspect(|(_, cookie)| headers.push("Cookie", cookie.split(';').next().unwrap()));
        let (path, query) = ("/".to_owned(), String::new());
        Request { method: Method::Post, path, query, headers, body: Vec::new(), peer: peer.into() }
    }

    /// A server's accounts and projects, of which the second has this key.
    fn served() -> (tempfile::TempDir, Accounts, Projects, String) {
        let data = tempfile::tempdir().unwrap();
        let first = Arc::new(App::open(data.path()).unwrap());
        let keys = StoredKeys::new("w".to_owned(), KeyHash::of("first").to_hex());
        let projects = Projects::open(data.path().to_owned(), first, &keys).unwrap();
        let (_, key) = projects.create("Shop").unwrap();
        let accounts = Accounts::load(data.path()).unwrap();
        for name in ["jane", "eve"] {
            let invitation = Some(Invitation { token_sha256: name.to_owned(), until: 1 });
            let (projects, password) = (BTreeSet::new(), String::new());
            accounts
                .add(&format!("{name}@x"), User { role: Role::Viewer, projects, password, invitation })
                .unwrap();
        }
        (data, accounts, projects, key)
    }

    #[test]
    fn a_session_is_as_good_as_the_password_that_opened_it() {
        let (_data, accounts, projects, _) = served();
        let (sessions, here) = (Sessions::default(), request([10, 0, 0, 1], None));
        let open = |proved: &Proved| sessions.open(&here, Pass::of(proved), "/").unwrap();
        let who = |session: &Response| {
            let who = sessions.who(&request([10, 0, 0, 1], Some(session)), &accounts, &projects);
            who.and_then(|who| who.email)
        };
        let joined = accounts.accept("jane", "the first password", 0).unwrap();
        let own = open(&joined);
        assert_eq!(who(&own).as_deref(), Some("jane@x"));
        // Whoever was found to know it, but has the session only when it was changed and others were ended.
        let slow = accounts.check("jane@x", "the first password").unwrap().unwrap();
        let changed = accounts.set_password("jane@x", "the first password", "another password").unwrap();
        sessions.renew(&request([10, 0, 0, 1], Some(&own)), &changed);
        let late = open(&slow);
        assert_eq!((who(&own).as_deref(), who(&late)), (Some("jane@x"), None));
        // The same password once more is another one.
        let again = accounts.set_password("jane@x", "another password", "another password").unwrap();
        assert_eq!((who(&own), who(&open(&again)).as_deref()), (None, Some("jane@x")));
        // An account that has the address of one that is gone.
        let last = open(&again);
        accounts.remove("jane@x").unwrap();
        let invitation = Some(Invitation { token_sha256: "new".to_owned(), until: 1 });
        let next = User { role: Role::Owner, projects: BTreeSet::new(), password: String::new(), invitation };
        accounts.add("jane@x", next).unwrap();
        assert_eq!(who(&last), None, "before it has a password");
        accounts.accept("new", "another password", 0).unwrap();
        assert_eq!(who(&last), None, "nor with the same");
    }

    #[test]
    fn nobody_logs_others_out_by_logging_in() {
        let (_data, accounts, projects, key) = served();
        let sessions = Sessions::default();
        let enter = |peer, body: String| {
            let request = Request { body: body.into_bytes(), ..request(peer, None) };
            let reply = sessions.log_in(&request, &accounts, &projects).unwrap();
            assert_eq!(reply.status, 303);
            reply
        };
        let is_in = |session: &Response| {
            sessions.who(&request([10, 0, 0, 1], Some(session)), &accounts, &projects).is_some()
        };
        accounts.accept("jane", "the first password", 0).unwrap();
        let jane = enter([10, 0, 0, 1], "email=jane@x&password=the+first+password".to_owned());
        let owner = enter([10, 0, 0, 2], "key=first".to_owned());
        let own: Vec<Response> = (0..30).map(|_| enter([10, 0, 0, 3], format!("key={key}"))).collect();
        let left: Vec<bool> = own.iter().map(is_in).collect();
        assert_eq!((left.iter().filter(|is_in| **is_in).count(), left[9], left[10]), (20, false, true));
        // With one key after the other.
        let shop = projects.get(2).unwrap();
        let names: Vec<String> = (0..60).map(|n| format!("k{n}")).collect();
        for name in names.iter().cloned() {
            let key = ScopedKey { sha256: KeyHash::of(&name).to_hex(), name, scope: Scope::Manage };
            shop.edit_keys(|keys| keys.add(key)).unwrap();
        }
        for name in names.iter().cycle().take(1200) {
            enter([10, 0, 0, 4], format!("key={name}"));
        }
        assert!(is_in(&jane) && is_in(&owner) && is_in(&own[29]));
        assert_eq!(sessions.inner().open.len(), SESSIONS_MAX);
        // Those of keys that are gone go first.
        shop.edit_keys(|keys| names.iter().try_for_each(|name| keys.remove(name))).unwrap();
        enter([10, 0, 0, 5], "key=first".to_owned());
        assert!(is_in(&jane) && is_in(&owner));
        assert!(sessions.inner().open.len() < 30);
    }

    #[test]
    fn nobody_is_sent_elsewhere_after_logging_in() {
        for bad in ["https://evil.test/", "//evil.test", "/\\evil.test", "", "evil", "/a\nb"] {
            assert_eq!(local(bad), "/", "{bad:?}");
        }
        assert_eq!(local("/funnels?step=A%20B"), "/funnels?step=A%20B");
    }
}
