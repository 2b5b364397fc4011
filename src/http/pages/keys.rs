//! The keys of a project: a part of the settings, and what owners change there. A secret is shown once, only its hash is kept.

use maud::{Markup, html};

use super::changes::{Change, Form};
use super::session::see;
use super::table::{Cell, Table};
use super::view::{self, Answered};
use super::{Context, Page, Visit, form, settings};
use crate::app::projects::FIRST;
use crate::app::{Role, SCOPES, Scope, ScopedKey};
use crate::error::{Error, ErrorKind, Result};
use crate::http::auth::{KeyHash, new_api_key, new_key};
use crate::http::message::Response;

/// What a key of a scope can do.
pub fn good_for(scope: Scope) -> &'static str {
    match scope {
        Scope::Write => "sends records, may stand in pages",
        Scope::Read => "reads everything, changes nothing",
        Scope::Manage => "reads and changes everything, and logs in",
    }
}

/// All keys, for owners with what changes them.
pub fn section(context: &Context<'_>) -> Result<Markup> {
    let Some(visit) = context.visit else { return Ok(html! {}) };
    let owns = context.may(Role::Owner);
    let mut table = Table::new("keys", "Keys", &["Key", "Scope", "Good for", ""]);
    let mut row = |name: &str, scope: Scope, change: Markup| {
        table.row(vec![
            Cell::head(name),
            Cell::text(scope.name()),
            Cell::text(good_for(scope)),
            Cell::marked(change, ""),
        ]);
    };
    let replace = settings::button("/keys/replace", "key", "api", "Replace", "Replace the API key");
    row("Write key", Scope::Write, html! { code { (context.write_key) } });
    let replaces = owns && may_replace(visit).is_ok();
    row("API key", Scope::Manage, html! { @if replaces { (replace) } });
    for key in &visit.project.stored_keys()?.more {
        let label = format!("Revoke {}", key.name);
        let revoke = settings::button("/keys/delete", "name", &key.name, "Revoke", &label);
        row(&key.name, key.scope, html! { @if owns { (revoke) } });
    }
    let scopes = SCOPES.map(|(_, name)| (name, name));
    Ok(html! {
        h2 #keys { "Keys" }
        (context.table(&table))
        @if owns {
            form.row method="post" action="/keys" {
                (context.refusal(Change::CreateKey))
                (form::needed_as("Key name", "name", context.kept(Change::CreateKey, "name", "")))
                (form::choice("Scope", "scope", context.kept(Change::CreateKey, "scope", "read"), &scopes))
                button { "Create key" }
            }
            p.hint {
                @for (scope, name) in SCOPES { b { (name) } ": " (good_for(scope)) ". " }
                "All of it in this project alone, at once, and no longer from the moment when the key is revoked. Projects and accounts are for the API key of the first project."
            }
        }
    })
}

/// An error if whoever asks may not have the API key: that of the first project owns the whole server.
pub fn may_replace(visit: &Visit<'_>) -> Result<()> {
    if visit.project.id != FIRST || visit.who.owns_all() {
        return Ok(());
    }
    let message = "this is the API key of the whole server, for who owns all of it";
    Err(Error::new(ErrorKind::Forbidden, "role", message))
}

/// Makes, replaces or revokes a key.
pub fn change(visit: &Visit<'_>, change: Change, form: &Form) -> Result<Response> {
    match change {
        Change::CreateKey => {
            let (name, scope) = (form.required("name")?.to_owned(), Scope::parse(form.get("scope"))?);
            let secret = new_key(scope)?;
            let sha256 = KeyHash::of(&secret).to_hex();
            let made = format!("The key {name}");
            visit.project.edit_keys(|keys| keys.add(ScopedKey { name, scope, sha256 }))?;
            Ok(shown(visit, made, &format!("It {}.", good_for(scope)), &secret))
        }
        Change::ReplaceKey => {
            may_replace(visit)?;
            let secret = new_api_key()?;
            visit.project.edit_keys(|keys| {
                keys.replace_api_key(KeyHash::of(&secret).to_hex());
                Ok(())
            })?;
            let said = "The one before is good for nothing any more, and who logged in with it is logged out. If the server is \
                        started with an API key, take it out there: it is passed over from now on.";
            Ok(shown(visit, "The new API key".to_owned(), said, &secret))
        }
        _ => {
            visit.project.edit_keys(|keys| keys.remove(form.required("name")?))?;
            Ok(see("/settings#keys"))
        }
    }
}

fn shown(visit: &Visit<'_>, title: String, said: &str, secret: &str) -> Response {
    let body = html! {
        p { (said) " It is shown this once, only its hash is kept:" }
        pre tabindex="0" { code { (secret) } }
        p { a href="/settings#keys" { "Back to the settings" } }
    };
    view::respond(visit, Page::Settings, Answered::new(title, body))
}
