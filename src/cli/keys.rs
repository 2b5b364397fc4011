//! The `key` command: keys beside the first two. A server that runs has their file, so changes go through it, and count at once.

use std::path::Path;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::access_args::{KeyCommand, KeyScope};
use super::running::Running;
use super::{output, served_by, table};
use crate::app::{Scope, ScopedKey, StoredKeys};
use crate::disk::{RealVfs, Vfs};
use crate::engine::no_store;
use crate::error::{Error, ErrorKind, Result};
use crate::http::auth::{KeyHash, new_key};
use crate::http::message::Method;

/// Makes, lists or removes keys.
pub fn run(data: &Path, command: &KeyCommand) -> Result<()> {
    if !data.is_dir() {
        return Err(no_store(data));
    }
    match command {
        KeyCommand::List { json: true } => {
            let of = |key: &ScopedKey| json!({ "name": key.name, "scope": key.scope.name() });
            let keys = stored(data)?.more;
            output::line(&json!({ "keys": keys.iter().map(of).collect::<Vec<_>>() }).to_string())
        }
        KeyCommand::List { json: false } => {
            let keys = stored(data)?.more;
            if keys.is_empty() {
                output::note("there is no key beside the write key and the API key");
            }
            for key in &keys {
                output::line(&format!("{:<7} {}", key.scope.name(), table::visible(&key.name)))?;
            }
            Ok(())
        }
        KeyCommand::Add { name, scope } => {
            let scope = match scope {
                KeyScope::Write => Scope::Write,
                KeyScope::Read => Scope::Read,
                KeyScope::Manage => Scope::Manage,
            };
            let add = |keys: &mut StoredKeys| {
                let (name, secret) = (name.trim().to_owned(), new_key(scope)?);
                keys.add(ScopedKey { name, scope, sha256: KeyHash::of(&secret).to_hex() })?;
                Ok(secret)
            };
            let secret = change(data, add, |server| {
                let body = json!({ "name": name, "scope": scope.name() }).to_string();
                let made = server.ask(Method::Post, "/keys", &body)?;
                Ok(made["key"].as_str().unwrap_or_default().to_owned())
            })?;
            output::line(&secret)?;
            output::note("shown this once: only its hash is kept");
            Ok(())
        }
        KeyCommand::Remove { name } => change(
            data,
            |keys| keys.remove(name),
            |server| {
                let path = format!("/keys/{}", utf8_percent_encode(name, NON_ALPHANUMERIC));
                server.ask(Method::Delete, &path, "").map(drop)
            },
        ),
    }
}

fn stored(data: &Path) -> Result<StoredKeys> {
    StoredKeys::load(data)?.ok_or_else(|| {
        let message = format!("{} has no keys yet", data.display());
        Error::new(ErrorKind::NotFound, "no_keys", message)
            .hint("start the server once, which makes the first two")
    })
}

/// Changes the keys of a store while nobody else has it, or has the server that runs on it do so: of two that change them beside each
/// other one would take back what the other did, a revocation too.
fn change<T>(
    data: &Path,
    edit: impl FnOnce(&mut StoredKeys) -> Result<T>,
    ask: impl FnOnce(&Running) -> Result<T>,
) -> Result<T> {
    let _lock = match RealVfs::existing(data)?.lock() {
        Err(error) if error.kind() == ErrorKind::Locked => {
            return match Running::of(data) {
                Some(server) => ask(&server),
                None => Err(served_by(error, "the page \"Settings\" of the dashboard")),
            };
        }
        lock => lock?,
    };
    let mut keys = stored(data)?;
    let done = edit(&mut keys)?;
    keys.store(data)?;
    Ok(done)
}
