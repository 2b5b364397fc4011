//! Bulk import: lines are parsed on several threads, written in order, a few blocks ahead of the disk.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::{App, names};
use crate::engine::{Batch, Outcome, Preparer, Ticket};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::transfer::format::Format;
use crate::transfer::lines::{ParsedLine, for_each_block, unpacked};
use crate::transfer::{csv, kissmetrics, ndjson};

/// Blocks that are written and not yet known to be durable.
const BLOCKS_AHEAD: usize = 128;

/// The form of what is imported.
#[derive(Clone, Debug, Default)]
pub struct Form {
    /// Guessed if not given.
    pub format: Option<Format>,
    /// Of comma-separated values the columns whose meaning is told.
    pub mapping: csv::Mapping,
    /// How many names of events, and of properties, there may be; any number if not given.
    pub names_max: Option<usize>,
}

/// The input as it was, and in `begin` its first bytes: up to the end of the first line that says anything.
fn peeked<'a>(
    mut input: Box<dyn Read + Send + 'a>,
    begin: &mut Vec<u8>,
) -> std::io::Result<Box<dyn Read + Send + 'a>> {
    let mut some = [0; 4096];
    while begin.len() < 64 * 1024 && !begin.trim_ascii_start().contains(&b'\n') {
        let read = input.read(&mut some)?;
        if read == 0 {
            break;
        }
        begin.extend_from_slice(some.get(..read).unwrap_or(&[]));
    }
    Ok(Box::new(std::io::Cursor::new(begin.clone()).chain(input)))
}

/// What became of the lines.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ImportReport {
    /// Records stored.
    pub accepted: u64,
    /// Records that were stored before.
    pub duplicates: u64,
    /// Lines that are no valid record.
    pub rejected: u64,
    /// Of the accepted, identifies that left two persons apart.
    pub merges_refused: u64,
    /// The first of the rejected.
    pub errors: Vec<Rejected>,
}

/// A rejected line.
#[derive(Clone, Debug, Serialize)]
pub struct Rejected {
    /// Its number, from 1.
    pub line: u64,
    /// Why: a stable code.
    pub code: &'static str,
    /// Why, in a sentence.
    pub message: String,
    /// Which field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// Parsed lines on their way to the store.
struct Block {
    /// The line of each record.
    numbers: Vec<u64>,
    batch: Batch,
    rejected: Vec<(u64, Error)>,
}

impl Block {
    fn new(
        lines: Vec<ParsedLine>,
        allowance: Option<&Mutex<names::Allowance<'_>>>,
        preparer: &Preparer,
    ) -> Self {
        let (mut numbers, mut records) = (Vec::with_capacity(lines.len()), Vec::with_capacity(lines.len()));
        let mut rejected = Vec::new();
        let mut allowance = allowance.map(|a| a.lock().unwrap_or_else(PoisonError::into_inner));
        for (line, parsed) in lines {
            let allowed = parsed.and_then(|record| match &mut allowance {
                Some(allowance) => allowance.take(&record).map(|()| record),
                None => Ok(record),
            });
            match allowed {
                Ok(record) => {
                    numbers.push(line);
                    records.push(record);
                }
                Err(error) => rejected.push((line, error)),
            }
        }
        drop(allowance);
        Self { numbers, batch: preparer.batch(records.into_iter()), rejected }
    }
}

impl ImportReport {
    fn reject(&mut self, line: u64, error: &Error, each: &mut dyn FnMut(&Rejected)) {
        self.rejected += 1;
        let message = match error.advice() {
            Some(advice) => format!("{} ({advice})", error.message()),
            None => error.message().to_owned(),
        };
        let rejected = Rejected { line, code: error.code(), message, at: error.place().map(str::to_owned) };
        each(&rejected);
        if self.errors.len() < limits::IMPORT_ERRORS_LISTED {
            self.errors.push(rejected);
        }
    }
}

impl App {
    /// Imports records of a form, packed by gzip or zstd or not; without one it is guessed from how they begin. `progress` is called as records become durable, `rejected` with every line that is
    /// none. An error of the input or the store ends it; what was stored until then stays.
    pub fn import(
        &self,
        input: impl Read + Send,
        form: &Form,
        mut progress: impl FnMut(&ImportReport),
        mut rejected: impl FnMut(&Rejected),
    ) -> Result<ImportReport> {
        let mut report = ImportReport::default();
        let mut ahead: VecDeque<(Vec<u64>, Ticket)> = VecDeque::new();
        let unreadable = |e: std::io::Error| {
            Error::new(ErrorKind::Malformed, "bad_input", format!("cannot read the input: {e}"))
        };
        let mut input = unpacked(input).map_err(unreadable)?;
        let mut begin = Vec::new();
        if form.format.is_none() {
            // As much as a first line may take; what is piped in may come later, and is not waited for without need.
            input = peeked(input, &mut begin).map_err(unreadable)?;
        }
        let format = form.format.unwrap_or_else(|| Format::guess(None, &begin));
        let snapshot = self.snapshot();
        let allowance = form.names_max.map(|most| Mutex::new(names::Allowance::new(&snapshot.catalog, most)));
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let each = |block: Block| {
            for (line, error) in block.rejected {
                report.reject(line, &error, &mut rejected);
                self.refuse(&error, "", "");
            }
            ahead.push_back((block.numbers, self.engine.begin_write(block.batch)?));
            if ahead.len() > BLOCKS_AHEAD {
                settle(&mut ahead, &mut report, &mut rejected)?;
                progress(&report);
            }
            Ok(())
        };
        // On the parsing threads, with the names that are known by then.
        let prepare = |lines: Vec<ParsedLine>| {
            Block::new(lines, allowance.as_ref(), &Preparer::new(&self.engine.snapshot()))
        };
        let now = self.now();
        let read = match format {
            Format::Ndjson => for_each_block(input, threads, now, ndjson::parse_record, prepare, each),
            Format::Kissmetrics => {
                for_each_block(input, threads, now, kissmetrics::parse_record, prepare, each)
            }
            Format::Csv => {
                let mut each = each;
                csv::for_each_block(input, &form.mapping, now, |lines| each(prepare(lines)))
            }
        };
        // What was begun is settled even if the input broke off, so that the counts are true.
        while !ahead.is_empty() {
            settle(&mut ahead, &mut report, &mut rejected)?;
        }
        progress(&report);
        read.map(|()| report)
    }
}

fn settle(
    ahead: &mut VecDeque<(Vec<u64>, Ticket)>,
    report: &mut ImportReport,
    rejected: &mut dyn FnMut(&Rejected),
) -> Result<()> {
    let Some((numbers, ticket)) = ahead.pop_front() else { return Ok(()) };
    for (line, outcome) in numbers.into_iter().zip(ticket.wait()?) {
        match outcome {
            Outcome::Stored => report.accepted += 1,
            Outcome::Duplicate => report.duplicates += 1,
            Outcome::MergeRefused => {
                report.accepted += 1;
                report.merges_refused += 1;
            }
            Outcome::TooManyNames => report.reject(line, &names::too_many(limits::NAMES_MAX), rejected),
        }
    }
    Ok(())
}
