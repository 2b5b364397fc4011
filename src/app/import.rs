//! Bulk import: lines are parsed on several threads and given to the engine in order, some blocks ahead of its answers. An engine without
//! a log (see `engine/load.rs`) makes them durable later; the line up to which all is durable is told apart.

use std::collections::{HashMap, VecDeque};
use std::io::Read;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::{App, Mark, names};
use crate::engine::{Batch, BatchBuilder, Engine, Input, Outcome, Ticket};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::model::{Admission, Line, Record, RecordKind, RecordRef, few_values, thousands};
use crate::threads::processors;
use crate::transfer::format::Format;
use crate::transfer::lines::{Block as Lines, ParsedLine, Unread, for_each_block, unpacked};
use crate::transfer::{csv, kissmetrics, ndjson, plain};

/// Blocks that are written and not yet answered: somewhat more than the engine takes at once.
const BLOCKS_AHEAD: usize = 64;

/// The form of what is imported.
#[derive(Clone, Debug, Default)]
pub struct Form {
    /// Guessed if not given.
    pub format: Option<Format>,
    /// Of comma-separated values the columns whose meaning is told.
    pub mapping: csv::Mapping,
    /// Of senders, who may do nothing but track: how many names of events, and of properties, there may be. Others may bring any number,
    /// and corrections.
    pub names_max: Option<usize>,
    /// Where an earlier import of the same input ended.
    pub mark: Option<Mark>,
    /// Whether the text of rejected lines is wanted.
    pub texts: bool,
    /// It was unpacked on its way, and is not packed once more: a gigabyte would come of some kilobytes.
    pub plain: bool,
}

impl Form {
    /// The line up to which all is stored.
    fn stored(&self) -> u64 {
        self.mark.as_ref().map_or(0, |mark| mark.line)
    }

    /// With an id if the record of `line` has neither an id nor a time, so that it is known when the import goes on after an interrupt.
    fn identified(&self, mut record: Record, line: u64) -> Record {
        if let (Some(mark), None, None) = (&self.mark, record.time, &record.id) {
            let part = if record.kind == RecordKind::Identify { "a" } else { "" };
            record.id = Some(format!("{}:{line}{part}", mark.token));
        }
        record
    }
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
    /// Records stored, and corrections made.
    pub accepted: u64,
    /// Records that were stored before, and corrections that change nothing.
    pub duplicates: u64,
    /// Lines that are neither.
    pub rejected: u64,
    /// Of the accepted, identifies that left two persons apart.
    pub merges_refused: u64,
    /// The first of the rejected.
    pub errors: Vec<Rejected>,
    /// All records of this line and those before it are durable.
    #[serde(skip)]
    pub line: u64,
    /// Some record was too much for the store: it has to be tried again, so `line` stays before it.
    #[serde(skip)]
    held: bool,
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
    /// The line itself, if it is wanted and was not too long to be kept.
    #[serde(skip)]
    pub text: Option<Vec<u8>>,
}

/// Lines that are being stored.
struct Ahead {
    numbers: Vec<u64>,
    /// If the text of rejected lines is wanted, by its place each line once more that the store may refuse.
    refusable: HashMap<usize, Line>,
    ticket: Ticket,
    last: u64,
}

/// Blocks on their way, oldest first.
#[derive(Default)]
struct Underway {
    /// Those that are not answered yet.
    ahead: VecDeque<Ahead>,
    /// Writes that were answered and are not durable for certain, and the last line of each.
    taken: VecDeque<(u64, u64)>,
}

/// Parsed lines on their way to the store.
struct Block {
    /// The line of each record.
    numbers: Vec<u64>,
    batch: Batch,
    /// See [`Ahead`].
    refusable: HashMap<usize, Line>,
    rejected: Vec<(u64, Box<Unread>)>,
    /// Records of lines that an earlier import has stored.
    stored: u64,
    last: u64,
}

/// What a [`Block`] is made with.
struct BlockBuilder<'a> {
    form: &'a Form,
    admission: Admission<'a>,
    allowance: Option<&'a Mutex<names::Allowance<'a>>>,
    batch: BatchBuilder,
    numbers: Vec<u64>,
    refusable: HashMap<usize, Line>,
    rejected: Vec<(u64, Box<Unread>)>,
    stored: u64,
    last: u64,
}

impl<'a> BlockBuilder<'a> {
    /// Of about so many bytes of input.
    fn new(
        form: &'a Form,
        admission: Admission<'a>,
        allowance: Option<&'a Mutex<names::Allowance<'a>>>,
        batch: BatchBuilder,
        bytes: usize,
    ) -> Self {
        Self {
            form,
            admission,
            allowance,
            batch,
            numbers: Vec::with_capacity(bytes / 160),
            refusable: HashMap::new(),
            rejected: Vec::new(),
            stored: 0,
            last: 0,
        }
    }

    /// Adds a line of the usual shape whose names are all known, which needs no record of its own; else nothing, and false.
    fn add_plain<'t>(&mut self, number: u64, line: &'t str, view: &mut RecordRef<'t>) -> bool {
        let clean = plain::read(line, view).is_some() && view.is_clean(self.admission);
        // A record without a time needs an id, see `Form::identified`.
        if !clean || number <= self.form.stored() || view.time.is_none() || !self.batch.prepare(view) {
            return false;
        }
        self.numbers.push(number);
        self.last = number;
        true
    }

    fn add(&mut self, (number, parsed): ParsedLine) {
        self.last = number;
        let allowed = parsed.and_then(|line| self.allowed(line).map_err(Unread::new));
        let line = match allowed {
            Ok(_) if number <= self.form.stored() => return self.stored += 1,
            Ok(Line::Record(record)) => Line::Record(self.form.identified(record, number)),
            Ok(correction) => correction,
            Err(unread) => return self.rejected.push((number, unread)),
        };
        if self.form.texts {
            self.refusable.insert(self.numbers.len(), line.clone());
        }
        self.numbers.push(number);
        match line {
            Line::Record(record) => self.batch.add(record),
            Line::Correction(correction) => self.batch.correct(correction),
        }
    }

    /// An error if it comes from a sender, who may not say this.
    fn allowed(&self, line: Line) -> Result<Line> {
        let Some(allowance) = self.allowance else { return Ok(line) };
        let record = line.record()?;
        allowance.lock().unwrap_or_else(PoisonError::into_inner).take(&record)?;
        Ok(Line::Record(record))
    }

    /// With all lines of records as JSON.
    fn ndjson(mut self, lines: &Lines) -> Block {
        let mut view = RecordRef::new();
        for (number, line) in lines.lines() {
            let text = line.as_ref().ok().and_then(|line| std::str::from_utf8(line).ok());
            if !text.is_some_and(|line| self.add_plain(number, line, &mut view)) {
                self.add((number, line.and_then(|line| self.checked(line, ndjson::parse_line))));
            }
        }
        self.finish()
    }

    /// With all lines of an export of Kissmetrics.
    fn kissmetrics(mut self, lines: &Lines) -> Block {
        for (number, line) in lines.lines() {
            let parse = |line: &[u8]| kissmetrics::parse_record(line).map(Line::Record);
            self.add((number, line.and_then(|line| self.checked(line, parse))));
        }
        self.finish()
    }

    /// What a line says, or the line and what is wrong with it.
    fn checked(
        &self,
        line: &[u8],
        parse: impl Fn(&[u8]) -> Result<Line>,
    ) -> std::result::Result<Line, Box<Unread>> {
        let said = parse(line).and_then(|said| said.checked(self.admission));
        said.map_err(|error| Box::new(Unread { error, text: Some(line.to_vec()), person: person_in(line) }))
    }

    fn finish(self) -> Block {
        let Self { numbers, refusable, rejected, stored, last, batch, .. } = self;
        Block { numbers, batch: batch.finish(), refusable, rejected, stored, last }
    }
}

/// Whom a line of JSON is about that cannot be taken, if it says so: what is kept of it goes when they are erased.
fn person_in(line: &[u8]) -> String {
    use serde_json::Value;
    if std::str::from_utf8(line).is_ok_and(|text| few_values(text).is_err()) {
        return String::new();
    }
    let said: Value = serde_json::from_slice(line).unwrap_or_default();
    match said.get("person").or_else(|| said.get("_p")) {
        Some(Value::String(person)) => person.clone(),
        Some(Value::Number(person)) => person.to_string(),
        _ => String::new(),
    }
}

impl ImportReport {
    /// The error that ended an import, with what was stored before it: the store knows of its last records only. Without a log what was
    /// accepted is not stored yet.
    fn broken_off(&self, error: Error, logged: bool) -> Error {
        let stored = if logged { self.accepted + self.duplicates } else { self.line };
        if stored == 0 || !matches!(error.kind(), ErrorKind::Full | ErrorKind::Busy | ErrorKind::Poisoned) {
            return error;
        }
        let records = if logged {
            format!("{} records of the import", thousands(stored))
        } else {
            "of the import".into()
        };
        let message = format!("{}; stored are {records}, all up to line {}", error.message(), self.line);
        let hint = if error.kind() == ErrorKind::Full { "make room, then send" } else { "send" };
        Error::new(error.kind(), error.code(), message).hint(format!(
            "{hint} the lines behind it; those that have a time or an id can be sent again, and are stored once"
        ))
    }

    fn reject(&mut self, line: u64, error: &Error, text: Option<Vec<u8>>, each: &mut dyn FnMut(&Rejected)) {
        self.rejected += 1;
        let message = match error.advice() {
            Some(advice) => format!("{} ({advice})", error.message()),
            None => error.message().to_owned(),
        };
        let at = error.place().map(str::to_owned);
        let rejected = Rejected { line, code: error.code(), message, at, text };
        each(&rejected);
        if self.errors.len() < limits::IMPORT_ERRORS_LISTED {
            self.errors.push(Rejected { text: None, ..rejected });
        }
    }
}

impl App {
    /// Imports records of a form, packed by gzip or zstd or not; without one it is guessed from how they begin. `progress` is called as
    /// records are stored, `rejected` with every line that is none. An error of the input or the store ends it; what was stored until then
    /// stays. In an engine without a log the caller flushes once all is imported.
    pub fn import(
        &self,
        input: impl Read + Send,
        form: &Form,
        mut progress: impl FnMut(&ImportReport),
        mut rejected: impl FnMut(&Rejected),
    ) -> Result<ImportReport> {
        let mut report = ImportReport { line: form.stored(), ..ImportReport::default() };
        let mut underway = Underway::default();
        let unreadable = |e: std::io::Error| {
            Error::new(ErrorKind::Malformed, "bad_input", format!("cannot read the input: {e}"))
        };
        let mut input = if form.plain { Box::new(input) } else { unpacked(input).map_err(unreadable)? };
        let mut begin = Vec::new();
        if form.format.is_none() {
            // As much as a first line may take; what is piped in may come later, and is not waited for without need.
            input = peeked(input, &mut begin).map_err(unreadable)?;
        }
        let format = form.format.unwrap_or_else(|| Format::guess(None, &begin));
        let snapshot = self.snapshot();
        let allowance = form.names_max.map(|most| Mutex::new(names::Allowance::new(&snapshot.catalog, most)));
        let (threads, whole) = (processors(), Input::default());
        let each = |block: Block| {
            report.duplicates += block.stored;
            for (line, unread) in block.rejected {
                report.reject(line, &unread.error, unread.text, &mut rejected);
                self.refuse(&unread.error, &unread.person, "");
            }
            let ticket = self.engine.begin_write(block.batch.of_input(&whole))?;
            let Block { numbers, refusable, last, .. } = block;
            underway.ahead.push_back(Ahead { numbers, refusable, ticket, last });
            if underway.ahead.len() > BLOCKS_AHEAD {
                underway.settle(&self.engine, &mut report, &mut rejected)?;
                progress(&report);
            }
            Ok(())
        };
        let dashboard = self.dashboard();
        let admission = Admission { now: self.now(), nobody: &dashboard.nobody };
        // On the parsing threads, with the names that are known by then.
        let begin =
            |bytes| BlockBuilder::new(form, admission, allowance.as_ref(), self.engine.batch(bytes), bytes);
        let read = match format {
            Format::Ndjson => {
                for_each_block(input, threads, |lines| begin(lines.bytes().len()).ndjson(lines), each)
            }
            Format::Kissmetrics => {
                for_each_block(input, threads, |lines| begin(lines.bytes().len()).kissmetrics(lines), each)
            }
            Format::Csv => {
                let mut each = each;
                csv::for_each_block(input, &form.mapping, form.texts, admission, |lines| {
                    let mut block = begin(lines.len() * 160);
                    lines.into_iter().for_each(|line| block.add(line));
                    each(block.finish())
                })
            }
        };
        let ended = underway.finish(&self.engine, read, &mut report, &mut rejected);
        progress(&report);
        match ended {
            Ok(()) => Ok(report),
            Err(error) => Err(report.broken_off(error, self.engine.has_log())),
        }
    }
}

/// A correction has nobody to correct.
fn unknown() -> Error {
    Error::new(ErrorKind::NotFound, "unknown_person", "nobody is known by an identity of this line")
}

impl Underway {
    /// Waits for the oldest block, and says in `report` what became of its lines, and up to which line all is durable.
    fn settle(
        &mut self,
        engine: &Engine,
        report: &mut ImportReport,
        rejected: &mut dyn FnMut(&Rejected),
    ) -> Result<()> {
        let Some(Ahead { numbers, refusable, ticket, last }) = self.ahead.pop_front() else { return Ok(()) };
        let write = ticket.number();
        // What is stored behind lines that are not is no part of what is stored without a gap.
        let outcomes = ticket.wait().inspect_err(|_| report.held = true)?;
        for (at, (line, outcome)) in numbers.into_iter().zip(outcomes).enumerate() {
            match outcome {
                Outcome::Stored => report.accepted += 1,
                Outcome::Duplicate => report.duplicates += 1,
                Outcome::MergeRefused => {
                    report.accepted += 1;
                    report.merges_refused += 1;
                }
                Outcome::TooManyNames | Outcome::Unknown => {
                    let text = refusable.get(&at).map(|line| {
                        let mut text = Vec::new();
                        ndjson::write_line(line, &mut text);
                        text.trim_ascii_end().to_vec()
                    });
                    let is_unknown = outcome == Outcome::Unknown;
                    let error = if is_unknown { unknown() } else { names::too_many(limits::NAMES_MAX) };
                    report.held |= !is_unknown;
                    report.reject(line, &error, text, rejected);
                }
            }
        }
        if !report.held {
            self.taken.push_back((write, last));
        }
        self.confirm(engine, report);
        Ok(())
    }

    fn confirm(&mut self, engine: &Engine, report: &mut ImportReport) {
        while let Some((_, last)) = self.taken.front().filter(|(write, _)| engine.is_durable(*write)) {
            report.line = report.line.max(*last);
            self.taken.pop_front();
        }
    }

    /// Settles all that was begun, which is done even if the input or the store broke off, so that the counts are true; then all of it
    /// is made durable, too. What broke off first is told.
    fn finish(
        &mut self,
        engine: &Engine,
        mut ended: Result<()>,
        report: &mut ImportReport,
        rejected: &mut dyn FnMut(&Rejected),
    ) -> Result<()> {
        while !self.ahead.is_empty() {
            ended = ended.and(self.settle(engine, report, rejected));
        }
        if ended.is_err() && !self.taken.is_empty() {
            ended = ended.and(engine.flush());
        }
        self.confirm(engine, report);
        ended
    }
}
