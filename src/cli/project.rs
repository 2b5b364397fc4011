//! The `project` command: the projects of a store, and the end of one. A running server has them open, so that deleting needs it stopped.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::access_args::ProjectCommand;
use super::{output, served, table};
use crate::app::accounts::Accounts;
use crate::app::projects;
use crate::app::{Dashboard, Reports};
use crate::disk::{RealVfs, Vfs};
use crate::engine::read_only;
use crate::error::Result;
use crate::model::thousands;

/// Lists projects or deletes one.
pub fn run(data: &Path, command: &ProjectCommand) -> Result<()> {
    match command {
        ProjectCommand::List { json } => list(data, *json),
        ProjectCommand::Delete { project, yes } => delete(data, *project, *yes),
    }
}

/// A project with how much there is in it.
fn described(data: &Path, project: u32) -> Result<Json> {
    let dir = projects::dir(data, project);
    let stats = Reports::default().stats(&read_only(&dir)?);
    let name = projects::name(&Dashboard::load(&dir)?, project);
    Ok(json!({ "project": project, "name": name, "people": stats["people"], "events": stats["events"] }))
}

fn list(data: &Path, as_json: bool) -> Result<()> {
    let all = projects::all(data)?
        .into_iter()
        .map(|project| described(data, project))
        .collect::<Result<Vec<_>>>()?;
    if as_json {
        return output::line(&json!({ "projects": all }).to_string());
    }
    all.iter().try_for_each(|project| {
        let number = project["project"].as_u64().unwrap_or_default();
        output::line(&format!("{number:>5}  {}", told(project)))
    })
}

fn told(project: &Json) -> String {
    let name = table::visible(project["name"].as_str().unwrap_or_default());
    let count = |what: &str| thousands(project[what].as_u64().unwrap_or_default());
    format!("{name} (people: {}, events: {})", count("people"), count("events"))
}

fn delete(data: &Path, project: u32, yes: bool) -> Result<()> {
    projects::deletable(project)?;
    if !projects::numbers(data)?.contains(&project) {
        return Err(projects::none().hint("whodid project list shows all"));
    }
    let described = described(data, project)?;
    output::note(&told(&described));
    if !yes {
        output::make_sure("Delete it for good? It cannot be undone. Type yes:", "nothing was deleted")?;
    }
    // The server's lock, and that of whoever works on the project alone.
    let _server = RealVfs::new(data)?.lock().map_err(served)?;
    let _own = RealVfs::new(&projects::dir(data, project))?.lock().map_err(served)?;
    projects::delete(data, project)?;
    Accounts::load(data)?.forget_project(project)?;
    output::line(&format!("project {project} is deleted"))
}
