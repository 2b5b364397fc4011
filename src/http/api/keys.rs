//! The keys of a project beside its first two.

use serde_json::json;

use super::{body, named, written};
use crate::app::{Scope, ScopedKey};
use crate::error::Result;
use crate::http::auth::{KeyHash, new_key};
use crate::http::message::{Request, Response};
use crate::http::projects::Project;
use crate::http::router::{Action, Route};
use crate::report::Node;

/// The answer to whoever asks for them or changes them.
pub(super) fn answer(project: &Project, route: &Route, request: &Request) -> Result<Response> {
    match route.action {
        Action::AddKey => add(project, &body(request)?),
        Action::RemoveKey => remove(project, &named(route, request)?),
        _ => listed(project),
    }
}

/// Their names, and what they are good for.
fn listed(project: &Project) -> Result<Response> {
    let of = |key: &ScopedKey| json!({ "name": key.name, "scope": key.scope.name() });
    written(&json!({ "keys": project.stored_keys()?.more.iter().map(of).collect::<Vec<_>>() }))
}

/// Makes one, which is told this once.
fn add(project: &Project, body: &str) -> Result<Response> {
    let mut fields = Node::parse(body)?.object()?;
    let (name, scope) = (fields.require("name")?.name()?, fields.require("scope")?.text()?);
    fields.end()?;
    let scope = Scope::parse(&scope)?;
    let secret = new_key(scope)?;
    let key = ScopedKey { name: name.clone(), scope, sha256: KeyHash::of(&secret).to_hex() };
    project.edit_keys(|keys| keys.add(key))?;
    written(&json!({ "name": name, "scope": scope.name(), "key": secret }))
}

/// Takes one away.
fn remove(project: &Project, name: &str) -> Result<Response> {
    project.edit_keys(|keys| keys.remove(name))?;
    written(&json!({ "deleted": name }))
}
