//! The `import` command: files or standard input, a progress bar on a terminal, every rejected line with its reason.

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::Path;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};

use super::args::{Format, Import};
use super::{output, served};
use crate::app::{App, Form, ImportReport};
use crate::engine::Options;
use crate::error::{Error, ErrorKind, Result};
use crate::transfer::csv::Mapping;
use crate::transfer::format as transfer;

/// Imports, and says what became of the lines.
pub fn run(data: &Path, args: &Import) -> Result<ExitCode> {
    for file in &args.files {
        // A file that cannot be read is found before anything is stored.
        if file.as_os_str() != "-" {
            File::open(file).map_err(|e| Error::io("cannot open", file, e))?;
        }
    }
    let mapping = args.map.iter().map(|text| meaning(text)).collect::<Result<Mapping>>()?;
    let app = App::open_with(data, Options::bulk()).map_err(served)?;
    let mut total = ImportReport::default();
    for file in &args.files {
        let named = args.format.map(Format::form);
        let by_name = file.to_string_lossy().to_lowercase().contains(".csv").then_some(transfer::Format::Csv);
        let form = Form { format: named.or(by_name), mapping: mapping.clone(), ..Form::default() };
        let report = one(&app, file, &form, args.files.len() > 1)?;
        total.accepted += report.accepted;
        total.duplicates += report.duplicates;
        total.rejected += report.rejected;
        total.merges_refused += report.merges_refused;
        total.errors.extend(report.errors);
    }
    settle(&app, total.accepted)?;
    app.close()?;
    if args.json {
        let text = serde_json::to_string(&total);
        output::line(&text.map_err(|e| Error::new(ErrorKind::Io, "encoding", e.to_string()))?)?;
    } else {
        output::line(&format!(
            "{} accepted, {} duplicates, {} rejected, {} merges refused",
            total.accepted, total.duplicates, total.rejected, total.merges_refused
        ))?;
    }
    Ok(if total.rejected == 0 { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

/// Brings what was imported into segments, and merges them where it is much of the store: the first report would otherwise find
/// many small ones, written before most people were known.
fn settle(app: &App, accepted: u64) -> Result<()> {
    app.engine().flush()?;
    if accepted * 4 >= app.snapshot().rows() && app.snapshot().segments.len() > 1 {
        app.engine().compact()?;
    }
    Ok(())
}

/// `person=Customer` as the meaning and the column.
fn meaning(text: &str) -> Result<(String, String)> {
    let pair = text.split_once('=').map(|(what, column)| (what.trim().to_owned(), column.trim().to_owned()));
    pair.ok_or_else(|| {
        Error::invalid("bad_mapping", format!("\"{text}\" does not say what a column means"))
            .hint("--map person=Customer")
    })
}

fn one(app: &App, file: &Path, form: &Form, several: bool) -> Result<ImportReport> {
    let (input, length): (Box<dyn Read + Send>, Option<u64>) = if file.as_os_str() == "-" {
        (Box::new(std::io::stdin()), None)
    } else {
        let open = File::open(file).map_err(|e| Error::io("cannot open", file, e))?;
        let length = open.metadata().ok().filter(|m| m.is_file()).map(|m| m.len());
        (Box::new(open), length)
    };
    let bar = progress_bar(length);
    let input = bar.wrap_read(input);
    let mut rejected = Vec::new();
    let report = app.import(
        input,
        form,
        |report| bar.set_message(format!("{} records", report.accepted + report.duplicates)),
        |line| rejected.push(line.clone()),
    );
    bar.finish_and_clear();
    for line in rejected {
        let place = if several { format!("{}: ", file.display()) } else { String::new() };
        let at = line.at.map(|at| format!(" at {}", at.escape_debug())).unwrap_or_default();
        output::note(&format!(
            "{place}line {}: {}{at}: {}",
            line.line,
            line.code,
            line.message.escape_debug()
        ));
    }
    report.map_err(|error| broken_input(error, file))
}

/// Input that cannot be read to its end is a failure and no wrong use of the program.
fn broken_input(error: Error, file: &Path) -> Error {
    if error.code() != "bad_input" {
        return error;
    }
    Error::new(ErrorKind::Io, "bad_input", format!("{}: {}", file.display(), error.message()))
        .hint("the lines before it are stored; import the mended file again, nothing is stored twice")
}

fn progress_bar(length: Option<u64>) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = length.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    let template = match length {
        Some(_) => "{bar:30} {percent:>3} %  {bytes}/{total_bytes}  {msg}  {bytes_per_sec}  {eta} left",
        None => "{spinner} {bytes}  {msg}  {bytes_per_sec}",
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
