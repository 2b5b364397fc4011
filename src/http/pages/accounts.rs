//! Who has access: a part of the settings, and what owners change there. Nobody but its owner ever knows a password: an owner hands on
//! a link, and whoever has it chooses one.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::changes::{Change, Form};
use super::session::{password, see};
use super::table::{Cell, Table};
use super::view::{self, Answered};
use super::{Context, Page, Visit, form, settings};
use crate::app::Role;
use crate::app::accounts::{INVITATION_MS, Invitation, ROLES, User};
use crate::error::{Error, ErrorKind, Result};
use crate::http::auth::{KeyHash, new_token};
use crate::http::message::{Request, Response};

/// Everybody with access, for who owns the server; and one's own password.
pub fn section(context: &Context<'_>) -> Markup {
    let Some(visit) = context.visit else { return html! {} };
    html! {
        h2 #access { "Access" }
        @match &visit.who.email {
            Some(email) => {
                p { "You are " b { (email) } ", " (visit.who.role.name()) "." }
                details.more open[context.refuses(Change::OwnPassword)] {
                    summary { "Change your password" }
                    form.row method="post" action="/account/password" {
                        (context.refusal(Change::OwnPassword))
                        input type="hidden" name="email" value=(email) autocomplete="username";
                        (password("Present password", "present", "current-password", false))
                        (password("New password", "password", "new-password", true))
                        button { "Change password" }
                    }
                }
            }
            None => p { "You came with the API key, which may do everything. Give people an account of their own." },
        }
        @if visit.who.owns_all() { (everybody(context, visit)) }
        form method="post" action="/sessions/end" {
            button.quiet { @if visit.who.owns_all() { "End all other sessions" } @else { "End my other sessions" } }
        }
    }
}

fn everybody(context: &Context<'_>, visit: &Visit<'_>) -> Markup {
    let (users, all) = (visit.accounts.users(), visit.projects.all());
    let seen = |user: &User| -> String {
        let names: Vec<String> = all
            .iter()
            .filter(|project| user.projects.contains(&project.id))
            .map(|project| project.name())
            .collect();
        if user.projects.is_empty() { "all".to_owned() } else { names.join(", ") }
    };
    let mut table = Table::new("access", "Who has access", &["E-mail", "Role"]);
    if all.len() > 1 {
        table.column("Projects");
    }
    ["Password", ""].iter().for_each(|name| table.column(name));
    for (email, user) in users.iter() {
        let role = html! { form.inline.pair method="post" action="/users/role" {
            input type="hidden" name="email" value=(email);
            select name="role" aria-label=(format!("Role of {email}")) { (roles(user.role)) }
            button.quiet aria-label=(format!("Change the role of {email}")) { "Change" }
        } };
        let change = html! {
            (settings::button("/users/link", "email", email, "New link", &format!("New link for {email}"))) " "
            (settings::button("/users/delete", "email", email, "Remove", &format!("Remove {email}")))
        };
        let mut cells = vec![Cell::head(email.as_str()), Cell::marked(role, user.role.name())];
        if all.len() > 1 {
            cells.push(Cell::text(seen(user)));
        }
        cells.push(Cell::text(if user.password.is_empty() { "not chosen yet" } else { "chosen" }));
        cells.push(Cell::marked(change, ""));
        table.row(cells);
    }
    let role = Role::parse(context.kept(Change::AddUser, "role", "")).unwrap_or(Role::Viewer);
    let chosen = context.kept(Change::AddUser, "project", "");
    html! {
        @if context.shows(&table) { (context.table(&table)) }
        form.row method="post" action="/users" {
            (context.refusal(Change::AddUser))
            (form::needed_as("E-mail", "email", context.kept(Change::AddUser, "email", "")))
            div.field { label for="new-role" { "Role" } select #new-role name="role" { (roles(role)) } }
            @if all.len() > 1 { div.field {
                label for="new-project" { "Projects" }
                select #new-project name="project" {
                    option value="" { "all projects" }
                    @for project in all.iter() { option value=(project.id) selected[project.id.to_string() == chosen] { (project.name()) } }
                }
            } }
            button { "Give access" }
        }
        p.hint { "Viewers look. Editors save and share reports as well, and join people. Owners do everything. The API key stays an owner\u{2019}s way in." }
    }
}

fn roles(chosen: Role) -> Markup {
    html! { @for (role, name) in ROLES { option value=(name) selected[role == chosen] { (name) } } }
}

/// Makes a change of accounts.
pub fn change(visit: &Visit<'_>, change: Change, request: &Request, form: &Form) -> Result<Response> {
    if change == Change::OwnPassword {
        let nobody = || Error::invalid("no_account", "the API key has no password");
        let email = visit.who.email.as_deref().ok_or_else(nobody)?;
        let (present, next) = (form.raw("present"), form.raw("password"));
        let proved = visit.sessions.tried(request, || visit.accounts.set_password(email, present, next))?;
        visit.sessions.renew(request, &proved);
        return Ok(see("/settings#access"));
    }
    if !visit.who.owns_all() {
        let message = "accounts are for who owns the whole server";
        return Err(Error::new(ErrorKind::Forbidden, "role", message));
    }
    let email = form.required("email")?;
    match change {
        Change::AddUser => {
            let (role, token) = (Role::parse(form.get("role"))?, new_token()?);
            let (projects, password) = (chosen(form)?, String::new());
            let invitation = Some(invitation(visit, &token));
            visit.accounts.add(email, User { role, projects, password, invitation })?;
            Ok(link(visit, request, email, &token))
        }
        Change::NewLink => {
            let token = new_token()?;
            visit.accounts.edit(email, |user| user.invitation = Some(invitation(visit, &token)))?;
            Ok(link(visit, request, email, &token))
        }
        Change::SetRole => {
            let role = Role::parse(form.get("role"))?;
            visit.accounts.edit(email, |user| user.role = role)?;
            Ok(see("/settings#access"))
        }
        _ => {
            let removed = visit.accounts.remove(email);
            visit.sessions.end_of(email);
            removed?;
            Ok(see("/settings#access"))
        }
    }
}

/// The project that somebody is to see; none for all.
fn chosen(form: &Form) -> Result<BTreeSet<u32>> {
    let project = form.get("project");
    if project.is_empty() {
        return Ok(BTreeSet::new());
    }
    let bad = |_| Error::invalid("bad_number", "the number of a project expected").at("project");
    project.parse().map(|id| BTreeSet::from([id])).map_err(bad)
}

fn invitation(visit: &Visit<'_>, token: &str) -> Invitation {
    Invitation { token_sha256: KeyHash::of(token).to_hex(), until: visit.app.now() + INVITATION_MS }
}

/// Shows the link, this once.
fn link(visit: &Visit<'_>, request: &Request, email: &str, token: &str) -> Response {
    let host = request.headers.get("host").unwrap_or("localhost");
    let target = format!("{}://{host}/join?token={token}", request.scheme());
    let body = html! {
        p { "Send this link to " b { (email) } ". Whoever opens it chooses the password of this account. It works once, within a week, and is shown this once:" }
        pre tabindex="0" { code { (target) } }
        p { a href="/settings#access" { "Back to the settings" } }
    };
    view::respond(visit, Page::Settings, Answered::new("A link to choose a password", body))
}
