//! All projects on one page, how to make another, and the way from one to the other in the head of every page.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::changes::Form;
use super::session::see;
use super::table::{Cell, Table};
use super::view::{self, Answered, count, facts, number};
use super::{Change, Context, Page, Visit, form, settings};
use crate::app::projects::{FIRST, deletable};
use crate::error::{Error, ErrorKind, Result};
use crate::http::message::{Request, Response};
use crate::http::projects::{Project, base};
use crate::model::{Json, format_millis};

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
    let owns = visit.who.owns_all();
    let mut table =
        Table::new("projects", "Projects", &["Project", "#People", "#Events", "#Bytes", "Last event", ""]);
    for project in visit.projects.all().iter().filter(|project| visit.who.sees(project.id)) {
        let stats = Json::from(project.app.reports().stats(&project.app.snapshot()));
        table.row(vec![
            Cell::head(project.name()).link(home(project)),
            Cell::people(&stats["people"], format!("{}people?robots=with", home(project))),
            Cell::number(&stats["events"]),
            Cell::number(&project.app.engine().disk_bytes().into()),
            last_event(context, project)?,
            Cell::marked(
                html! { @if owns && project.id != FIRST { a href=(deletion_of(project)) aria-label=(format!("Delete {}", project.name())) { "Delete" } } },
                "",
            ),
        ]);
    }
    let body = html! {
        p { "Each project has people, keys and settings of its own. Nothing is shared between them but the accounts." }
        (context.table(&table))
        @if owns {
            h2 { "Another project" }
            form.row method="post" action="/projects" { (context.refusal(Change::CreateProject)) (form::needed_as("Project name", "name", context.kept(Change::CreateProject, "name", ""))) button { "Create project" } }
        }
    };
    Ok(Answered::new("Projects", body))
}

/// When the last event of a project was, and whether that is too long ago.
fn last_event(context: &Context<'_>, project: &Project) -> Result<Cell> {
    let Some(beat) = project.app.heartbeat()? else { return Ok(Cell::text("none yet")) };
    let last = format_millis(beat.last);
    let shown = html! { (context.local(&last.as_str().into())) @if beat.silent.is_some() { " " strong { "silent" } } };
    Ok(Cell::marked(shown, last).class("date"))
}

/// The page that asks whether a project is to be deleted. It is one of the first project: a deletion waits for all that work on the other.
fn deletion_of(project: &Project) -> String {
    format!("/p/{FIRST}/projects/delete?project={}", project.id)
}

/// What would be gone with a project, and the form that deletes it.
pub fn deletion(context: &Context<'_>) -> Result<Answered> {
    let Some(visit) = context.visit else { return Ok(Answered::new("Projects", html! {})) };
    owner_of_all(visit)?;
    let project = visit.projects.meant(context.value("project")).map_err(|e| e.at("project"))?;
    deletable(project.id)?;
    let (name, stats) = (project.name(), Json::from(project.app.reports().stats(&project.app.snapshot())));
    let users = visit.accounts.users();
    let only: Vec<&String> = users
        .iter()
        .filter(|(_, user)| user.projects == BTreeSet::from([project.id]))
        .map(|(email, _)| email)
        .collect();
    let body = html! {
        p { a href="/projects" { "Back to all projects" } }
        (facts(&[
            ("People", html! { (count(number(&stats["people"]))) }),
            ("Events", html! { (count(number(&stats["events"]))) }),
            ("Saved reports", html! { (count(project.app.reports().saved().reports.len() as u64)) }),
        ]))
        p { "All of it goes at once and for good, with its keys, links and settings; nothing can be undone. What its pages send is refused from then on. Backups are not touched." }
        @if !only.is_empty() { p { "Who sees this project alone loses access: " @for (at, email) in only.iter().enumerate() { @if at > 0 { ", " } b { (email) } } "." } }
        form.row method="post" action=(format!("/p/{FIRST}/projects/delete")) {
            (context.refusal(Change::DeleteProject))
            input type="hidden" name="project" value=(project.id);
            (form::needed(&format!("Type {name} to confirm"), "confirm"))
            button { "Delete for good" }
        }
    };
    Ok(Answered::new(format!("Delete {name}?"), body))
}

/// Deletes a project whose name was typed in once more.
pub fn delete(visit: &Visit<'_>, form: &Form) -> Result<Response> {
    owner_of_all(visit)?;
    let project = visit.projects.meant(form.get("project")).map_err(|e| e.at("project"))?;
    if form.get("confirm") != project.name().trim() {
        let message = "the name that was typed in is another one, so nothing was deleted";
        return Err(Error::invalid("not_confirmed", message).at("confirm"));
    }
    let id = project.id;
    drop(project);
    visit.projects.delete(id, visit.project.id, visit.accounts)?;
    Ok(see("/projects"))
}

fn owner_of_all(visit: &Visit<'_>) -> Result<()> {
    if visit.who.owns_all() {
        return Ok(());
    }
    let message = "projects are made and deleted by who owns the whole server";
    Err(Error::new(ErrorKind::Forbidden, "role", message))
}

/// The project's name, and the way to the others: a part of the settings.
pub fn section(context: &Context<'_>) -> Markup {
    let Some(visit) = context.visit else { return html! {} };
    html! {
        @if visit.who.role >= super::Role::Owner {
            form.row method="post" action="/projects/name" {
                (context.refusal(Change::RenameProject))
                (form::field("Name of this project", "name", context.kept(Change::RenameProject, "name", &visit.project.name()), ""))
                button { "Rename" }
            }
        }
        p { a href="/projects" { "All projects" } @if visit.who.owns_all() { ", and how to create another" } "." }
    }
}

/// Gives this project another name.
pub fn rename(visit: &Visit<'_>, form: &Form) -> Result<Response> {
    visit.projects.rename(visit.project, form.get("name"))?;
    Ok(see("/settings"))
}

/// Makes a project, and shows its API key this once.
pub fn create(visit: &Visit<'_>, request: &Request, form: &Form) -> Result<Response> {
    owner_of_all(visit)?;
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
