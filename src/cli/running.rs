//! The server that has the store while it runs: what changes a store goes through it then.

use std::path::{Path, PathBuf};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::served;
use crate::app::{App, SOCKETS, projects};
use crate::error::{Error, ErrorKind, Result};
use crate::http::message::Method;
use crate::http::operator;
use crate::model::Json;

/// The code of the error that nobody has an identity.
pub const UNKNOWN: &str = "unknown_person";

/// A server that has a store.
pub struct Running {
    sockets: PathBuf,
    /// What the paths of its project begin with.
    base: String,
}

impl Running {
    /// That of the store in `data`, which may be one of several projects; `None` if its sockets are not where they are looked for.
    pub fn of(data: &Path) -> Option<Self> {
        let data = data.canonicalize().ok()?;
        let own = Self { sockets: data.join(SOCKETS), base: String::new() };
        if operator::is_there(&own.sockets) {
            return Some(own);
        }
        let above = data.parent().filter(|dir| dir.ends_with(projects::DIR))?;
        let base = format!("/p/{}", data.file_name()?.to_str()?);
        let first = Self { sockets: above.parent()?.join(SOCKETS), base };
        operator::is_there(&first.sockets).then_some(first)
    }

    /// Its answer.
    pub fn ask(&self, method: Method, path: &str, body: &str) -> Result<Json> {
        let response = operator::ask(&self.sockets, method, &format!("{}/api/v1{path}", self.base), body)?;
        let text = String::from_utf8_lossy(response.bytes()).into_owned();
        let answer = Json::parse(&text).unwrap_or_default();
        if response.status < 400 {
            return Ok(answer);
        }
        let said = |field: &str| answer["error"][field].as_str().map(str::to_owned);
        let kind = match response.status {
            404 => ErrorKind::NotFound,
            422 | 400 => ErrorKind::Invalid,
            503 => ErrorKind::Busy,
            507 => ErrorKind::Full,
            _ => ErrorKind::Conflict,
        };
        let message = said("message").unwrap_or_else(|| format!("the server answered {}", response.status));
        let code = if said("code").as_deref() == Some(UNKNOWN) { UNKNOWN } else { "refused" };
        let error = Error::new(kind, code, message);
        Err(match said("hint") {
            Some(hint) => error.hint(hint),
            None => error,
        })
    }

    /// The same of a person.
    pub fn ask_of(&self, method: Method, identity: &str, what: &str, body: &str) -> Result<Json> {
        let identity = utf8_percent_encode(identity, NON_ALPHANUMERIC);
        self.ask(method, &format!("/people/{identity}{what}"), body)
    }
}

/// Opens a store that is there and changes it, or has the server that runs on it do so.
pub fn change<T>(
    data: &Path,
    act: impl FnOnce(&App) -> Result<T>,
    ask: impl FnOnce(&Running) -> Result<T>,
) -> Result<T> {
    match open(data) {
        Err(error) if error.kind() == ErrorKind::Locked => match Running::of(data) {
            Some(server) => ask(&server),
            None => Err(served(error)),
        },
        app => changed(app?, act),
    }
}

/// The same of what only the command itself can do.
pub fn change_here(data: &Path, act: impl FnOnce(&App) -> Result<()>) -> Result<()> {
    changed(open(data).map_err(served)?, act)
}

fn open(data: &Path) -> Result<App> {
    drop(crate::engine::read_only(data)?);
    App::open(data)
}

fn changed<T>(app: App, act: impl FnOnce(&App) -> Result<T>) -> Result<T> {
    let done = act(&app)?;
    app.close().map(|()| done)
}
