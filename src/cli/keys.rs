//! The `key` command: keys beside the first two. It changes their file, which a running server reads again when it is told to.

use std::path::Path;

use serde_json::json;

use super::access_args::{KeyCommand, KeyScope};
use super::{output, table};
use crate::app::{Scope, ScopedKey, StoredKeys};
use crate::engine::no_store;
use crate::error::{Error, ErrorKind, Result};
use crate::http::auth::{KeyHash, new_key};

/// Makes, lists or removes keys.
pub fn run(data: &Path, command: &KeyCommand) -> Result<()> {
    if !data.is_dir() {
        return Err(no_store(data));
    }
    let mut keys = StoredKeys::load(data)?.ok_or_else(|| {
        let message = format!("{} has no keys yet", data.display());
        Error::new(ErrorKind::NotFound, "no_keys", message)
            .hint("start the server once, which makes the first two")
    })?;
    match command {
        KeyCommand::List { json: true } => {
            let of = |key: &ScopedKey| json!({ "name": key.name, "scope": key.scope.name() });
            output::line(&json!({ "keys": keys.more.iter().map(of).collect::<Vec<_>>() }).to_string())
        }
        KeyCommand::List { json: false } => {
            if keys.more.is_empty() {
                output::note("there is no key beside the write key and the API key");
            }
            for key in &keys.more {
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
            let secret = new_key(scope)?;
            keys.add(ScopedKey { name: name.clone(), scope, sha256: KeyHash::of(&secret).to_hex() })?;
            keys.store(data)?;
            output::line(&secret)?;
            output::note("shown this once: only its hash is kept. A running server takes it on SIGHUP");
            Ok(())
        }
        KeyCommand::Remove { name } => {
            keys.remove(name)?;
            keys.store(data)?;
            output::note("a running server goes on taking it until SIGHUP");
            Ok(())
        }
    }
}
