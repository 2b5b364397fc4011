//! The `backup` and `restore` commands.

use std::path::Path;

use super::args::Restore;
use super::output;
use crate::app;
use crate::engine::Options;
use crate::error::{Error, ErrorKind, Result};

fn json(report: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string(report);
    output::line(&text.map_err(|e| Error::new(ErrorKind::Io, "encoding", e.to_string()))?)
}

/// Copies the store.
pub fn backup(data: &Path, target: &Path, as_json: bool) -> Result<()> {
    let report = app::backup(data, target, Options::default().clock.now())?;
    if as_json {
        return json(&report);
    }
    output::line(&format!(
        "{}: {} records, every byte checked; {} files copied ({:.1} MiB), {} shared with the backup before",
        report.path.display(),
        report.records,
        report.copied,
        report.copied_bytes as f64 / (1024.0 * 1024.0),
        report.shared
    ))
}

/// Makes a new store of a backup.
pub fn restore(data: &Path, args: &Restore) -> Result<()> {
    let dir = args.dir.as_deref().unwrap_or(data);
    let report = app::restore(&args.backup, dir, &args.erased, Options::default())?;
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
