//! The `check` command: says what is damaged in a store, and gives it up if that is wanted.

use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use super::running::change_here;
use super::{format, output};
use crate::app::projects::{self, FIRST};
use crate::app::{beside, not_unfinished};
use crate::engine::{Checked, Snapshot, check_files, give_up_list};
use crate::error::{ErrorKind, Result};
use crate::model::{Clock, SystemClock, thousands};
use crate::store::erasures::ERASED;

/// What was found and done. As JSON it is told in the end, as lines at once: a large store takes its time.
#[derive(Default, Serialize)]
struct Report {
    #[serde(skip)]
    json: bool,
    damaged: Vec<String>,
    notes: Vec<String>,
    projects: Vec<Contents>,
    given_up: Vec<String>,
}

/// What is in a project that can be read.
#[derive(Serialize)]
struct Contents {
    project: u32,
    segments: u64,
    in_segments: u64,
    in_log: u64,
}

/// Tells a line, and keeps it in `list`.
fn tell(json: bool, list: &mut Vec<String>, line: String) -> Result<()> {
    if !json {
        output::line(&line)?;
    }
    list.push(line);
    Ok(())
}

/// Reads every byte of all projects; gives up damaged segments if that is wanted.
pub fn run(data: &Path, drop_damaged: bool, json: bool) -> Result<ExitCode> {
    let mut report = Report { json, ..Report::default() };
    let projects = match projects::all(data) {
        Ok(projects) => projects,
        Err(error) => {
            report.damage(error.to_string())?;
            vec![FIRST]
        }
    };
    projects.iter().try_for_each(|project| report.check(data, *project))?;
    if !json {
        output::line(&match report.damaged.len() {
            0 => "all sound".to_owned(),
            1 => "1 piece is damaged".to_owned(),
            pieces => format!("{pieces} pieces are damaged"),
        })?;
    }
    if drop_damaged {
        projects.iter().try_for_each(|project| report.give_up(data, *project))?;
    }
    if json {
        output::json(&report)?;
    }
    Ok(if drop_damaged || report.damaged.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Report {
    fn damage(&mut self, line: String) -> Result<()> {
        tell(self.json, &mut self.damaged, line)
    }

    /// Says what is damaged in a project, and what is in it.
    fn check(&mut self, data: &Path, project: u32) -> Result<()> {
        let (dir, prefix) = (projects::dir(data, project), projects::prefix(project));
        let unfinished = if dir.is_dir() { not_unfinished(&dir) } else { Ok(()) };
        let found = unfinished.and_then(|()| check_files(&dir));
        let checked = match found {
            // There are no others either.
            Err(error) if error.kind() == ErrorKind::NotFound && project == FIRST => return Err(error),
            Err(error) => Checked { snapshot: None, damaged: vec![error], notes: Vec::new() },
            Ok(mut checked) => {
                checked.damaged.extend(beside::damaged(data, project).unwrap_or_else(|error| vec![error]));
                checked
            }
        };
        for error in checked.damaged {
            self.damage(projects::named(project, error).to_string())?;
        }
        for note in &checked.notes {
            tell(self.json, &mut self.notes, format!("{prefix}{note}"))?;
        }
        checked.snapshot.iter().try_for_each(|snapshot| self.contents(project, snapshot))
    }

    fn contents(&mut self, project: u32, snapshot: &Snapshot) -> Result<()> {
        let (in_log, segments) = (snapshot.recent_rows() as u64, snapshot.segments.len() as u64);
        let in_segments = snapshot.rows() - in_log;
        self.projects.push(Contents { project, segments, in_segments, in_log });
        if self.json {
            return Ok(());
        }
        let prefix = projects::prefix(project);
        let place = if prefix.is_empty() { prefix } else { format!("{prefix}: ") };
        output::line(&format!(
            "{place}{} in {} and {} in the log",
            format::counted(in_segments, "record", "records"),
            format::counted(segments, "segment", "segments"),
            thousands(in_log)
        ))
    }

    /// Takes damaged segments out of a project for good.
    fn give_up(&mut self, data: &Path, project: u32) -> Result<()> {
        let (dir, prefix) = (projects::dir(data, project), projects::prefix(project));
        let mut told = |line: String| tell(self.json, &mut self.given_up, line);
        if give_up_list(&dir, SystemClock.now()).map_err(super::served)? {
            told(format!("{prefix}{ERASED} is given up: nobody knows any more who was erased"))?;
        }
        change_here(&dir, |app| {
            // The opening sees the ends of files only.
            app.engine().leave_out_damaged();
            let dropped = app.engine().drop_damaged()?;
            dropped.iter().try_for_each(|name| told(format!("{prefix}{name} is given up and removed")))
        })
    }
}
