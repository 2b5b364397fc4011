//! The `import` command: files or standard input, a progress bar on a terminal, every rejected line with its reason. What was
//! interrupted goes on where it was when the same command is given again.

use std::fs::File;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

use super::args::{Format, Import};
use super::input::{self, Input};
use super::rejects::Rejects;
use super::{format, output, served};
use crate::app::{App, Form, ImportReport, Marks};
use crate::disk::system::memory_available;
use crate::engine::Options;
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::model::thousands;
use crate::transfer::csv::Mapping;
use crate::transfer::format as transfer;

/// Bytes of records that may be in memory where so many are free: the whole takes about twice as much, and a small machine has more to
/// do. Where the system does not tell, as on a large one.
fn fitting(available: u64) -> usize {
    let quarter = usize::try_from(available / 4).unwrap_or(usize::MAX);
    if available == 0 {
        limits::BULK_BYTES
    } else {
        quarter.clamp(limits::BULK_BYTES_MIN, limits::BULK_BYTES)
    }
}

/// Imports, and says what became of the lines.
pub fn run(data: &Path, args: &Import) -> Result<ExitCode> {
    for file in &args.files {
        // A file that cannot be read is found before anything is stored.
        if file.as_os_str() != "-" {
            File::open(file).map_err(|e| Error::io("cannot open", file, e))?;
        }
    }
    let mapping = args.map.iter().map(|text| meaning(text)).collect::<Result<Mapping>>()?;
    let mut rejects = Rejects::new(args.rejects.as_deref(), &args.files)?;
    let stop = input::stop_flag()?;
    let mut options = Options::bulk();
    let given = args.memory.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    options.load_bytes = Some(given.unwrap_or_else(|| fitting(memory_available())));
    let app = App::open_with(data, options).map_err(served)?;
    let mut marks = Marks::load(data)?;
    let (mut total, mut tokens) = (ImportReport::default(), Vec::new());
    let mut ended = Ok(());
    for file in &args.files {
        let named = args.format.map(Format::form);
        let by_name = file.to_string_lossy().to_lowercase().contains(".csv").then_some(transfer::Format::Csv);
        let form = Form { format: named.or(by_name), mapping: mapping.clone(), ..Form::default() };
        let mut import = One { app: &app, marks: &mut marks, rejects: &mut rejects, stop: &stop };
        ended = import.run(file, form, &mut total, &mut tokens);
        if ended.is_err() {
            break;
        }
    }
    rejects.finish()?;
    if ended.is_ok() {
        settle(&app, total.accepted)?;
        marks.end(&tokens)?;
    }
    let late = app.engine().found_late();
    total.accepted -= late.min(total.accepted);
    total.duplicates += late;
    app.close()?;
    let interrupted = ended.is_err() && stop.load(Ordering::Relaxed);
    if !interrupted {
        ended?;
    }
    tell(&total, args.json)?;
    if interrupted {
        output::note(how_to_go_on(args.files.iter().any(|file| file.as_os_str() == "-")));
        return Ok(ExitCode::from(input::INTERRUPTED));
    }
    Ok(if total.rejected == 0 { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

fn tell(total: &ImportReport, json: bool) -> Result<()> {
    if json {
        return output::json(total);
    }
    let s = |count: u64| if count == 1 { "" } else { "s" };
    let (duplicates, merges) = (total.duplicates, total.merges_refused);
    output::line(&format!(
        "{} accepted, {duplicates} duplicate{}, {} rejected, {merges} merge{} refused",
        total.accepted,
        s(duplicates),
        total.rejected,
        s(merges)
    ))
}

fn how_to_go_on(piped: bool) -> &'static str {
    if piped {
        "interrupted: what is accepted is stored; import the same again to go on, nothing with a time or an id is stored twice"
    } else {
        "interrupted: what is accepted is stored; give the same command again to go on, nothing is stored twice"
    }
}

/// Brings what was imported into segments, and merges them where it is much of the store: the first report would otherwise find
/// many small ones, written before most people were known.
fn settle(app: &App, accepted: u64) -> Result<()> {
    app.engine().flush()?;
    let stored = app.snapshot();
    let is_much = accepted * 4 >= stored.rows() && stored.segments.len() > 1;
    if is_much { app.engine().compact() } else { Ok(()) }
}

/// `person=Customer` as the meaning and the column.
fn meaning(text: &str) -> Result<(String, String)> {
    let pair = text.split_once('=').map(|(what, column)| (what.trim().to_owned(), column.trim().to_owned()));
    pair.ok_or_else(|| {
        Error::invalid("bad_mapping", format!("\"{text}\" does not say what a column means"))
            .hint("--map person=Customer")
    })
}

/// What the import of one file needs.
struct One<'a> {
    app: &'a App,
    marks: &'a mut Marks,
    rejects: &'a mut Rejects,
    stop: &'a Arc<AtomicBool>,
}

impl One<'_> {
    /// Imports a file, and adds to `total` what was done, to its end or not. Its mark is added to `tokens`.
    fn run(
        &mut self,
        file: &Path,
        mut form: Form,
        total: &mut ImportReport,
        tokens: &mut Vec<String>,
    ) -> Result<()> {
        let input = Input::open(file, self.stop)?;
        let source = input.source(file, format!("{:?} {:?}", form.format, form.mapping))?;
        form.mark = source.map(|source| self.marks.begin(source)).transpose()?;
        form.texts = self.rejects.takes_text();
        let mark = form.mark.clone();
        if let Some(mark) = mark.as_ref().filter(|mark| mark.line > 0) {
            let (file, line) = (file.display(), thousands(mark.line));
            output::note(&format!("{file}: all up to line {line} is stored, going on behind it"));
        }
        tokens.extend(mark.as_ref().map(|mark| mark.token.clone()));
        let bar = progress_bar(input.length());
        let (mut latest, mut marked) = (ImportReport::default(), Ok(()));
        let report = self.app.import(
            bar.wrap_read(input),
            &form,
            |report| {
                bar.set_message(format::counted(report.accepted + report.duplicates, "record", "records"));
                if let (Some(mark), true) = (&mark, marked.is_ok()) {
                    marked = self.marks.advance(&mark.token, report.line, false);
                }
                latest = report.clone();
            },
            |line| self.rejects.take(file, line),
        );
        bar.finish_and_clear();
        marked?;
        if let Some(mark) = &mark {
            self.marks.advance(&mark.token, latest.line, true)?;
        }
        total.accepted += latest.accepted;
        total.duplicates += latest.duplicates;
        total.rejected += latest.rejected;
        total.merges_refused += latest.merges_refused;
        total.errors.extend(report.map_err(|error| broken_input(error, file))?.errors);
        Ok(())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_leaves_most_memory_to_others() {
        let mib = |n: u64| n << 20;
        let taken = [0, 16 * 1024, 1024, 64].map(|free| fitting(mib(free)) >> 20);
        assert_eq!(taken, [512, 512, 256, 32]);
    }
}
