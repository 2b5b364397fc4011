//! All projects on one page, how to make another, and the way from one to the other in the head of every page.

use maud::{Markup, html};

use super::changes::Form;
use super::session::see;
use super::table::{Cell, Table};
use super::view::{self, Answered};
use super::{Context, Page, Visit, form, settings};
use crate::error::{Error, ErrorKind, Result};
use crate::http::message::{Request, Response};
use crate::http::projects::{Project, base};

/// Keys of projects: one digit for each.
const KEYED: usize = 9;

/// The address of a project's overview. It names the first, too, so that it leads out of another.
fn home(project: &Project) -> String {
    format!("/p/{}/", project.id)
}

/// The projects that somebody sees, in the head of every page; nothing if there is but one.
pub fn switcher(visit: &Visit<'_>) -> Markup {
    let all = visit.projects.all();
    let seen: Vec<_> = all.iter().filter(|project| visit.who.sees(project.id)).collect();
    html! {
        @if seen.len() > 1 {
            details.projects {
                summary { @if visit.who.sees(visit.project.id) { (visit.project.name()) } @else { "Projects" } }
                ul {
                    @for (at, project) in seen.iter().enumerate() { li {
                        @let key = (at < KEYED).then(|| (at + 1).to_string());
                        a href=(home(project)) data-key=[key] aria-current=[(project.id == visit.project.id).then_some("true")] { (project.name()) }
                    } }
                    li { a href="/projects" data-key="0" { "All projects" } }
                }
            }
        }
    }
}

/// What there is in each project.
pub fn page(context: &Context<'_>) -> Result<Answered> {
    let Some(visit) = context.visit else { return Ok(Answered::new("Projects", html! {})) };
    let mut table = Table::new("projects", "Projects", &["Project", "#People", "#Events", "#Bytes"]);
    for project in visit.projects.all().iter().filter(|project| visit.who.sees(project.id)) {
        let stats = project.app.reports().stats(&project.app.snapshot());
        table.row(vec![
            Cell::head(project.name()).link(home(project)),
            Cell::number(&stats["people"]),
            Cell::number(&stats["events"]),
            Cell::number(&project.app.engine().disk_bytes().into()),
        ]);
    }
    let body = html! {
        p { "Each project has people, keys and settings of its own. Nothing is shared between them but the accounts." }
        (context.table(&table))
        @if visit.who.owns_all() {
            h2 { "Another project" }
            form.row method="post" action="/projects" { (form::field("Project name", "name", "", "")) button { "Create project" } }
        }
    };
    Ok(Answered::new("Projects", body))
}

/// The project's name, and the way to the others: a part of the settings.
pub fn section(context: &Context<'_>) -> Markup {
    let Some(visit) = context.visit else { return html! {} };
    html! {
        @if visit.who.role >= super::Role::Owner {
            form.row method="post" action="/projects/name" {
                (form::field("Name of this project", "name", &visit.project.name(), ""))
                button { "Rename" }
            }
        }
        p { a href="/projects" { "All projects" } @if visit.who.owns_all() { ", and how to create another" } "." }
    }
}

/// Gives this project another name.
pub fn rename(visit: &Visit<'_>, form: &Form) -> Result<Response> {
    visit.app.change_dashboard(|dashboard| dashboard.rename(form.get("name")))?;
    Ok(see("/settings"))
}

/// Makes a project, and shows its API key this once.
pub fn create(visit: &Visit<'_>, request: &Request, form: &Form) -> Result<Response> {
    if !visit.who.owns_all() {
        let message = "projects are made by who owns the whole server";
        return Err(Error::new(ErrorKind::Forbidden, "role", message));
    }
    let (made, api_key) = visit.projects.create(form.required("name")?)?;
    let host = request.headers.get("host").unwrap_or("localhost");
    let body = html! {
        p { "Its API key reads everything in it and logs in to it. It is shown this once, only its hash is kept:" }
        pre tabindex="0" { code { (api_key) } }
        p { "Put this into its pages, before the end of each page\u{2019}s head:" }
        (settings::snippet_of(&made.write_key, host))
        p { a href=(home(&made)) { "Go to " (made.name()) } }
    };
    Ok(view::respond(visit, Page::Projects, Answered::new(format!("{} is there", made.name()), body)))
}

/// The address of something in the visited project, as others have to write it.
pub fn absolute(visit: &Visit<'_>, request: &Request, path: &str) -> String {
    let host = request.headers.get("host").unwrap_or("localhost");
    format!("{}://{host}{}{path}", request.scheme(), base(visit.project.id))
}
