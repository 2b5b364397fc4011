//! A form that was refused: its page is shown once more, with what was sent in its fields and with the reason.

use std::cell::Cell;

use maud::{Markup, html};

use super::before::Before;
use super::changes::{Change, Form};
use super::view::{self, Answered};
use super::{Context, Page, Visit, context, made, pairs_of};
use crate::app::projects::FIRST;
use crate::error::Error;
use crate::http::message::{Request, Response};
use crate::http::respond;

/// What was sent, and what became of it.
#[derive(Clone, Copy)]
pub struct Sent<'a> {
    change: Change,
    form: &'a Form,
    error: &'a Error,
}

/// Pages that are made without a report, so that nobody waits for one to read that a form was wrong.
const SHOWN: [Page; 6] =
    [Page::Settings, Page::Projects, Page::DeleteProject, Page::Merge, Page::Unmerge, Page::Erase];

/// The answer to a form that was refused.
pub fn refused(visit: &Visit<'_>, change: Change, request: &Request, form: &Form, error: &Error) -> Response {
    let before = Before::of(request).filter(|before| {
        SHOWN.contains(&before.page)
            && before.role <= visit.who.role
            && before.project.unwrap_or(FIRST) == visit.project.id
    });
    let page = before.as_ref().and_then(|before| {
        let (asked, snapshot) = (before.request(request), visit.app.snapshot());
        let mut context = context(visit.app, &snapshot, Some(visit), &asked, pairs_of(&asked.query));
        context.sent = Some(Sent { change, form, error });
        let made = made(&context, before.page, &before.identity).ok()?;
        let told = context.told.get();
        let body = html! { @if !told { (view::problem(error)) } (made.body) };
        let made = Answered::new(made.title, body).with_status(respond::status(error.kind()));
        Some(view::respond(visit, before.page, made.with_zone(&context.zone_name())))
    });
    page.unwrap_or_else(|| stopped(visit, request, error))
}

/// A page that says why something is not done, with the way back to where it was asked for.
pub fn stopped(visit: &Visit<'_>, request: &Request, error: &Error) -> Response {
    let back = Before::address(request);
    let (page, words) = match Before::of(request) {
        Some(before) => (before.page, "Back"),
        None => (Page::Overview, "To the overview"),
    };
    view::respond(visit, page, Answered::stopped(error, &back, words))
}

impl Context<'_> {
    /// What a field of a form shows: what was sent in it if that was refused, or else what there is.
    pub fn kept<'v>(&'v self, change: Change, name: &str, otherwise: &'v str) -> &'v str {
        match &self.sent {
            Some(sent) if sent.change == change => sent.form.raw(name),
            _ => otherwise,
        }
    }

    /// Whether it is this form that was refused.
    pub fn refuses(&self, change: Change) -> bool {
        self.sent.is_some_and(|sent| sent.change == change)
    }

    /// Why a form was refused, in its place.
    pub fn refusal(&self, change: Change) -> Markup {
        let Some(sent) = self.sent.filter(|sent| sent.change == change) else { return html! {} };
        self.told.set(true);
        html! { div.refused tabindex="-1" autofocus { (view::problem(sent.error)) } }
    }
}

/// Whether a page has said why a form was refused.
pub type Told = Cell<bool>;
