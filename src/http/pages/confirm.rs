//! The question before what nothing takes back: it names what stops working, and sends the same form with a yes.

use maud::{Markup, html};

use super::changes::{Change, Form};
use super::view::{self, Answered};
use super::{Page, Visit, keys};
use crate::app::Scope;
use crate::error::Result;
use crate::http::message::{Request, Response};

/// The field that says yes.
const YES: &str = "confirm";

struct Question {
    title: String,
    says: Markup,
    button: &'static str,
    back: &'static str,
}

/// The question before a change; none if it was answered, or if there is nothing to ask, as what is to go is not there.
pub fn before(visit: &Visit<'_>, change: Change, request: &Request, form: &Form) -> Result<Option<Response>> {
    if !form.get(YES).is_empty() {
        return Ok(None);
    }
    let question = match change {
        Change::ReplaceKey | Change::RevokeKey => of_key(visit, change, form)?,
        Change::RemoveUser => of_user(visit, form),
        Change::DeleteReport | Change::DeleteAudience | Change::EndShare => of_saved(visit, change, form),
        _ => None,
    };
    Ok(question.map(|question| asked(visit, request, form, &question)))
}

fn asked(visit: &Visit<'_>, request: &Request, form: &Form, question: &Question) -> Response {
    let body = html! {
        p { (question.says) }
        form method="post" action=(request.path) {
            (form.hidden())
            input type="hidden" name=(YES) value="1";
            button { (question.button) }
        }
        p { a href=(question.back) { "Back to the settings" } }
    };
    view::respond(visit, Page::Settings, Answered::new(question.title.as_str(), body))
}

fn of_key(visit: &Visit<'_>, change: Change, form: &Form) -> Result<Option<Question>> {
    let (says, title, button) = if change == Change::ReplaceKey {
        if keys::may_replace(visit).is_err() {
            return Ok(None);
        }
        let says = html! {
            "The present API key is good for nothing from then on: every program that reads, sends or imports with it is refused until it \
             has the new one. Whoever logged in with it is logged out" @if visit.who.email.is_none() { ", you as well if you did" } "."
        };
        (says, "Replace the API key?".to_owned(), "Make another API key")
    } else {
        let keys = visit.project.stored_keys()?;
        let name = form.get("name");
        let Some(key) = keys.more.iter().find(|key| key.name == name) else { return Ok(None) };
        let says = html! {
            "Whatever uses this key is refused from then on. It " (keys::good_for(key.scope)) "."
            @if key.scope == Scope::Manage { " Whoever logged in with it is logged out." }
        };
        (says, format!("Revoke the key {name}?"), "Revoke the key")
    };
    Ok(Some(Question { title, says, button, back: "/settings#keys" }))
}

fn of_user(visit: &Visit<'_>, form: &Form) -> Option<Question> {
    let email = form.get("email").to_lowercase();
    if !visit.who.owns_all() || !visit.accounts.users().contains_key(&email) {
        return None;
    }
    let own = visit.who.email.as_deref() == Some(email.as_str());
    let says = html! {
        @if own { "This is your own account. " }
        "They are logged out at once and cannot log in any more; a link to choose a password that they have leads nowhere. What they saved and shared stays."
    };
    let title = format!("Take the access of {email} away?");
    Some(Question { title, says, button: "Take it away", back: "/settings#access" })
}

fn of_saved(visit: &Visit<'_>, change: Change, form: &Form) -> Option<Question> {
    let (saved, dashboard) = (visit.app.reports().saved(), visit.app.dashboard());
    let name = form.get("name");
    let (title, says, button) = match change {
        Change::DeleteReport if saved.reports.contains_key(name) => (
            format!("Delete the report {name}?"),
            html! {
                "What it asks is forgotten, and so is its name"
                @if dashboard.pinned.contains(name) { "; it leaves the overview" } ". No event and no person goes with it."
            },
            "Delete the report",
        ),
        Change::DeleteAudience if saved.audiences.contains_key(name) => (
            format!("Delete the audience {name}?"),
            html! { "What it means is forgotten: addresses and programs that name it are refused from then on. No person goes with it." },
            "Delete the audience",
        ),
        Change::EndShare => {
            let share = dashboard.shares.iter().find(|share| share.token_sha256 == form.get("hash"))?;
            (
                format!("End the link to {}?", share.path),
                html! { "Whoever has it sees nothing any more. It cannot be had back: another link has another address." },
                "End the link",
            )
        }
        _ => return None,
    };
    Some(Question { title, says, button, back: "/settings" })
}
