//! The `backup` and `restore` commands.

use std::num::NonZero;
use std::path::Path;

use super::args::{Backup, Restore};
use super::format::counted;
use super::{output, table};
use crate::app::{self, Access, BackupReport, RestoreReport, projects};
use crate::engine::Options;
use crate::error::Result;

/// Copies the store, and that of each further project into a directory of its own below.
pub fn backup(data: &Path, args: &Backup) -> Result<()> {
    let (now, keep) = (Options::default().clock.now(), args.keep.map(NonZero::get));
    app::backup_all(data, &args.target, keep, now, |report| {
        if args.json { output::json(&report) } else { told(&report) }
    })
}

fn told(report: &BackupReport) -> Result<()> {
    let removed = match report.removed {
        0 => String::new(),
        n => format!("; {n} older or unfinished removed"),
    };
    output::line(&format!(
        "{}: {}, every byte checked; {} copied ({:.1} MiB), {} shared with the backup before{removed}",
        report.path.display(),
        counted(report.records, "record", "records"),
        counted(report.copied as u64, "file", "files"),
        report.copied_bytes as f64 / (1024.0 * 1024.0),
        report.shared
    ))
}

/// Makes a new store of a backup; with the newest of all come the newest of each further project.
pub fn restore(data: &Path, args: &Restore) -> Result<()> {
    let dir = args.dir.as_deref().unwrap_or(data);
    let report = app::restore(&args.backup, dir, &args.erased, Options::default())?;
    let told = |dir: &Path, report| if args.json { output::json(report) } else { restored(dir, report) };
    told(dir, &report)?;
    report.projects.iter().try_for_each(|(number, report)| told(&projects::dir(dir, *number), report))
}

fn restored(dir: &Path, report: &RestoreReport) -> Result<()> {
    let erased = match report.erased.people {
        0 => "nobody was erased since, as far as the lists at hand say".to_owned(),
        1 => "1 person who was erased since is erased here, too".to_owned(),
        people => format!("{people} people who were erased since are erased here, too"),
    };
    output::line(&format!(
        "{} from {}: {}; {erased}",
        dir.display(),
        report.from.display(),
        counted(report.records, "record", "records")
    ))?;
    told_access(&report.access)
}

/// Says who is let in. What was revoked, removed or changed since is as it was, and nobody else would notice.
fn told_access(access: &Access) -> Result<()> {
    let mut all = Vec::new();
    if access.first_keys {
        all.push("the write key and the API key".to_owned());
    }
    for (what, names) in [("keys", &access.keys), ("accounts", &access.accounts), ("links", &access.links)] {
        if !names.is_empty() {
            let names: Vec<String> = names.iter().map(|name| table::visible(name)).collect();
            all.push(format!("{what}: {}", names.join(", ")));
        }
    }
    if all.is_empty() {
        return Ok(());
    }
    output::line("  lets in as of then, whatever was revoked since; check these:")?;
    all.iter().try_for_each(|line| output::line(&format!("    {line}")))
}
