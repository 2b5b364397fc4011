//! The `backup` and `restore` commands.

use std::path::Path;

use super::args::Restore;
use super::output;
use crate::app::{self, BackupReport, projects};
use crate::engine::Options;
use crate::error::{Error, ErrorKind, Result};

fn json(report: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string(report);
    output::line(&text.map_err(|e| Error::new(ErrorKind::Io, "encoding", e.to_string()))?)
}

/// Copies the store, and that of each further project into a directory of its own below.
pub fn backup(data: &Path, target: &Path, as_json: bool) -> Result<()> {
    let now = Options::default().clock.now();
    app::backup_all(data, target, now, |report| if as_json { json(&report) } else { told(&report) })
}

fn told(report: &BackupReport) -> Result<()> {
    output::line(&format!(
        "{}: {} records, every byte checked; {} files copied ({:.1} MiB), {} shared with the backup before",
        report.path.display(),
        report.records,
        report.copied,
        report.copied_bytes as f64 / (1024.0 * 1024.0),
        report.shared
    ))
}

/// Makes a new store of a backup; with the newest of all come the newest of each further project.
pub fn restore(data: &Path, args: &Restore) -> Result<()> {
    let dir = args.dir.as_deref().unwrap_or(data);
    one_restore(&args.backup, dir, args)?;
    for project in projects::numbers(&args.backup)? {
        one_restore(&projects::dir(&args.backup, project), &projects::dir(dir, project), args)?;
    }
    Ok(())
}

fn one_restore(backup: &Path, dir: &Path, args: &Restore) -> Result<()> {
    let report = app::restore(backup, dir, &args.erased, Options::default())?;
    if args.json {
        return json(&report);
    }
    let erased = match report.erased.people {
        0 => "nobody was erased since, as far as the lists at hand say".to_owned(),
        people => format!("{people} people who were erased since are erased here, too"),
    };
    output::line(&format!(
        "{} from {}: {} records; {erased}",
        dir.display(),
        report.from.display(),
        report.records
    ))
}
