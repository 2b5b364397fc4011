//! Comma-separated values. Any table with a column that says who: names of columns are known in the ways that people write them, or
//! told; what has no meaning of its own is a property. And our own, which gives back the same records.

use std::io::{self, Read, Write};

use rustc_hash::FxHashSet;

use super::kissmetrics::seconds;
use super::lines::{ParsedLine, Unread};
use super::ndjson::{parse_line, write_properties};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::model::{
    Admission, Correction, Line, Millis, Record, RecordKind, Value, format_millis, parse_loose_instant,
};

/// The columns of our own tables. Properties are one JSON object, so that each keeps its type.
const OWN: [&str; 7] = ["type", "person", "event", "identity", "time", "properties", "id"];
/// Rows that are handed on together, if they are no more bytes than [`BYTES_TOGETHER`].
const TOGETHER: usize = 2000;
/// Bytes of rows that are handed on before there are as many as [`TOGETHER`]: blocks wait for the store side by side.
const BYTES_TOGETHER: u64 = 256 * 1024;
/// Bytes behind a row above which its text is forgotten.
const TEXT_KEPT: usize = 1 << 20;

/// What a column means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Meaning {
    /// Who, if no column before says so; else a property of this name.
    Person(String),
    Event,
    Alias,
    Time,
    Id,
    Property(String),
    Nothing,
}

/// Columns whose meaning was told: what they mean (`person`, `event`, `alias`, `time`, `id` or nothing), and their names.
pub type Mapping = Vec<(String, String)>;

/// The meaning of a column behind others. What one of them means already is a property here.
fn meaning(header: &str, mapping: &Mapping, before: &FxHashSet<Meaning>) -> Result<Meaning> {
    let header = header.trim();
    let name = header.strip_prefix("Prop:").unwrap_or(header).trim();
    if let Some((what, _)) = mapping.iter().find(|(_, column)| column == header) {
        return Ok(match what.as_str() {
            "person" => Meaning::Person(name.to_owned()),
            "event" => Meaning::Event,
            "alias" => Meaning::Alias,
            "time" => Meaning::Time,
            "id" => Meaning::Id,
            "skip" => Meaning::Nothing,
            other => {
                let message = format!("\"{other}\" is nothing that a column can mean");
                return Err(
                    Error::invalid("bad_mapping", message).hint("person, event, alias, time, id or skip")
                );
            }
        });
    }
    let told = |what: &str| mapping.iter().any(|(m, _)| m == what);
    let plain: String = header.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect();
    let known = match plain.as_str() {
        "identity" | "person" | "personid" | "p" | "userid" | "user" | "distinctid" | "customerid"
        | "email" => Some((Meaning::Person(name.to_owned()), "person")),
        "event" | "eventname" | "n" | "action" => Some((Meaning::Event, "event")),
        "alias" | "p2" | "identity2" => Some((Meaning::Alias, "alias")),
        "timestamp" | "time" | "date" | "datetime" | "createdat" | "t" => Some((Meaning::Time, "time")),
        "recordid" | "messageid" | "insertid" => Some((Meaning::Id, "id")),
        "" => Some((Meaning::Nothing, "skip")),
        _ => None,
    };
    // A meaning that was told for another column, or that one before has, is not guessed for this one.
    let known = known
        .filter(|(meaning, what)| !told(what) && (*meaning == Meaning::Nothing || !before.contains(meaning)));
    Ok(known.map_or_else(|| Meaning::Property(name.to_owned()), |(known, _)| known))
}

/// Ends the input where one row passes every bound, instead of collecting it, and keeps the text of the latest rows.
struct Bounded<R> {
    inner: R,
    since_row: u64,
    text: Vec<u8>,
    /// Where `text` begins in the input.
    text_at: u64,
    /// Whether the input has ended before the row did, so that its end is the row's.
    ended: bool,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        self.since_row += read as u64;
        self.ended = read == 0;
        if self.since_row > 2 * limits::IMPORT_LINE_BYTES_MAX as u64 {
            return Err(io::Error::other("a row is longer than any record can be; is a quote missing?"));
        }
        self.text.extend_from_slice(out.get(..read).unwrap_or(&[]));
        Ok(read)
    }
}

impl<R> Bounded<R> {
    /// A row begins at this byte of the input.
    fn row_begins(&mut self, at: u64) {
        self.since_row = 0;
        let before =
            usize::try_from(at.saturating_sub(self.text_at)).unwrap_or(usize::MAX).min(self.text.len());
        if before > TEXT_KEPT {
            self.text.drain(..before);
            self.text_at += before as u64;
        }
    }

    /// Where a byte of the input lies in the text that is kept.
    fn place(&self, byte: u64) -> Option<usize> {
        usize::try_from(byte.checked_sub(self.text_at)?).ok()
    }

    /// The text that is there from a byte of the input on.
    fn rest(&self, from: u64) -> &[u8] {
        self.place(from).and_then(|at| self.text.get(at..)).unwrap_or(&[])
    }

    /// How many lines are empty from a byte of the input on.
    fn empty_lines(&self, from: u64) -> u64 {
        self.rest(from).iter().take_while(|byte| **byte == b'\n').count() as u64
    }

    /// Whether a quote in the row from a byte of the input on took the lines behind it, up to the end of the input.
    fn is_open(&self, from: u64) -> bool {
        // Behind the empty lines before it.
        let row = self.rest(from).trim_ascii_start();
        self.ended && row.contains(&b'\n') && row.iter().filter(|byte| **byte == b'"').count() % 2 == 1
    }

    /// The text between two bytes of the input.
    fn text(&self, from: u64, to: u64) -> Option<Vec<u8>> {
        self.text.get(self.place(from)?..self.place(to)?).map(|row| row.trim_ascii().to_vec())
    }
}

/// What the columns of a row of names mean.
fn meanings(headers: &csv::StringRecord, mapping: &Mapping) -> Result<Vec<Meaning>> {
    if headers.len() > limits::COLUMNS_MAX {
        let message = format!("there are more than {} columns", limits::COLUMNS_MAX);
        return Err(Error::new(ErrorKind::TooLarge, "too_large", message).at("line 1"));
    }
    if headers.iter().any(|header| header.replace("\r\n", "").contains('\r')) {
        let message = "the lines end with a carriage return alone";
        return Err(Error::new(ErrorKind::Malformed, "bad_line_ends", message)
            .at("line 1")
            .hint("save the table as CSV with line feeds"));
    }
    let (mut columns, mut before) = (Vec::with_capacity(headers.len()), FxHashSet::default());
    for header in headers {
        let meaning = meaning(header.trim_start_matches('\u{feff}'), mapping, &before)?;
        before.insert(meaning.clone());
        columns.push(meaning);
    }
    Ok(columns)
}

/// Reads all rows and calls `each` with some of them after the other. Rows are numbered as lines, the first row of names is line 1. The
/// lines are checked, see [`Record::checked`]; of those that say nothing the text is kept if `texts` says so.
pub fn for_each_block(
    input: impl Read,
    mapping: &Mapping,
    texts: bool,
    admission: Admission<'_>,
    mut each: impl FnMut(Vec<ParsedLine>) -> Result<()>,
) -> Result<()> {
    let broken = |e: csv::Error| {
        Error::new(ErrorKind::Malformed, "bad_input", format!("the input ends with an error: {e}"))
    };
    let bounded = Bounded { inner: input, since_row: 0, text: Vec::new(), text_at: 0, ended: false };
    // Lines end with a line feed; a carriage return before it is cut off the last cell, so that lines are counted right.
    let lines = csv::Terminator::Any(b'\n');
    let mut reader = csv::ReaderBuilder::new().flexible(true).terminator(lines).from_reader(bounded);
    let headers = without_return(reader.headers().map_err(broken)?.clone());
    let own = headers.iter().map(|h| h.trim_start_matches('\u{feff}')).eq(OWN);
    let columns = meanings(&headers, mapping)?;
    if !own && !columns.iter().any(|column| matches!(column, Meaning::Person(_))) {
        return Err(Error::new(ErrorKind::Malformed, "no_person_column", "no column says who did it")
            .at("line 1")
            .hint("call it Identity, or say --map person=COLUMN"));
    }
    let mut block: Vec<ParsedLine> = Vec::with_capacity(TOGETHER);
    let (mut row, mut block_from) = (csv::StringRecord::new(), 0);
    loop {
        let (begin, from) = (reader.position().line(), reader.position().byte());
        reader.get_mut().row_begins(from);
        let read = reader.read_record(&mut row);
        // The reader passes over empty lines before a row, and says where these begin.
        let line = row.position().map_or(begin, csv::Position::line) + reader.get_ref().empty_lines(from);
        row = without_return(row);
        let found = match read {
            Ok(false) => break,
            Ok(true) if row.iter().all(str::is_empty) => continue,
            Ok(true) => fitting(&row, columns.len(), reader.get_ref().is_open(from)).and_then(|()| {
                if own {
                    return own_line(&row).map(|line| vec![line]);
                }
                records(&row, &columns).map(|all| all.into_iter().map(Line::Record).collect())
            }),
            Err(error) if matches!(error.kind(), csv::ErrorKind::Utf8 { .. }) => {
                Err(Error::new(ErrorKind::Malformed, "bad_utf8", "the row is not UTF-8"))
            }
            Err(error) => {
                each(std::mem::take(&mut block))?;
                return Err(broken(error));
            }
        };
        let unread = |error| {
            let end = reader.position().byte();
            let text = if texts { reader.get_ref().text(from, end) } else { None };
            let says_who =
                |(cell, column): &(&str, &Meaning)| matches!(column, Meaning::Person(_)) && !cell.is_empty();
            let person = row.iter().zip(&columns).find(says_who).map_or("", |(cell, _)| cell);
            let person = person.chars().take(limits::NAME_CHARS_MAX).collect();
            (line, Err(Box::new(Unread { error, text, person })))
        };
        match found {
            Err(error) => block.push(unread(error)),
            Ok(said) => block.extend(
                said.into_iter().map(|l| l.checked(admission).map_or_else(unread, |said| (line, Ok(said)))),
            ),
        }
        if block.len() >= TOGETHER || reader.position().byte() - block_from >= BYTES_TOGETHER {
            each(std::mem::take(&mut block))?;
            block_from = reader.position().byte();
        }
    }
    each(block)
}

/// Refuses a row that would lose a part of itself, or of others.
fn fitting(row: &csv::StringRecord, columns: usize, is_open: bool) -> Result<()> {
    if is_open {
        let message = "a quote is never closed, and takes all lines behind it";
        return Err(Error::new(ErrorKind::Malformed, "bad_row", message));
    }
    if row.iter().skip(columns).all(|cell| cell.trim().is_empty()) {
        return Ok(());
    }
    let message = format!("the row has {} cells, and there are {columns} columns", row.len());
    Err(Error::new(ErrorKind::Malformed, "bad_row", message).hint("quote what has a comma in it"))
}

/// The row without a carriage return at its end.
fn without_return(row: csv::StringRecord) -> csv::StringRecord {
    let last = row.len().saturating_sub(1);
    match row.get(last).and_then(|cell| cell.strip_suffix('\r')) {
        None => row,
        Some(cell) => row.iter().take(last).chain([cell]).collect(),
    }
}

/// An event, an alias or both, or what a row says of a person.
fn records(row: &csv::StringRecord, columns: &[Meaning]) -> Result<Vec<Record>> {
    let (mut person, mut event, mut alias, mut time, mut id) = ("", "", "", None, None);
    let mut properties = Vec::new();
    for (cell, meaning) in row.iter().zip(columns).filter(|(cell, _)| !cell.trim().is_empty()) {
        match meaning {
            // Of several columns that say who, the first that does; what the others say is kept.
            Meaning::Person(_) if person.is_empty() => person = cell,
            Meaning::Person(name) => properties.push((name.clone(), Value::from_wire(cell))),
            Meaning::Nothing => {}
            Meaning::Event => event = cell,
            Meaning::Alias => alias = cell,
            Meaning::Time => time = Some(instant(cell)?),
            Meaning::Id => id = Some(cell.to_owned()),
            Meaning::Property(name) => properties.push((name.clone(), Value::from_wire(cell))),
        }
    }
    if person.is_empty() {
        return Err(Error::invalid("bad_identity", "the row does not say who").at("person"));
    }
    let new = |kind, name: &str, properties, id| Record {
        kind,
        identity: person.to_owned(),
        name: name.to_owned(),
        time,
        properties,
        id,
    };
    let mut out = Vec::new();
    if !alias.is_empty() {
        out.push(new(RecordKind::Identify, alias, Vec::new(), None));
    }
    if !event.is_empty() {
        out.push(new(RecordKind::Event, event, properties, id));
    } else if !properties.is_empty() {
        out.push(new(RecordKind::Set, "", properties, id));
    }
    if out.is_empty() {
        return Err(Error::invalid("empty_row", "the row says nothing of the person").at("event"));
    }
    Ok(out)
}

/// What [`parse_loose_instant`] takes, or Unix time.
fn instant(text: &str) -> Result<Millis> {
    let text = text.trim();
    if let Ok(unix) = seconds(text) {
        return Ok(unix);
    }
    parse_loose_instant(text).map_err(|_| {
        Error::invalid("bad_time", format!("\"{text}\" is no time"))
            .at("time")
            .hint("2025-03-01 10:00:00, RFC 3339 or Unix seconds")
    })
}

/// Cells that a spreadsheet would take for a formula begin with a quote: the last four are the full-width forms of the first.
fn guarded(text: &str) -> String {
    let first = text.trim_start_matches([' ', '"']).chars().next();
    let risky = first.is_some_and(|c| "=+-@\t\r\n'\u{ff1d}\u{ff0b}\u{ff0d}\u{ff20}".contains(c));
    if risky { format!("'{text}") } else { text.to_owned() }
}

/// What kept a row from being written, as the error of the writer that it is.
fn own_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

fn own_line(row: &csv::StringRecord) -> Result<Line> {
    let cell =
        |at: usize| row.get(at).map(|text| text.strip_prefix('\'').unwrap_or(text)).filter(|t| !t.is_empty());
    let mut line = String::from("{");
    for (at, name) in OWN.iter().enumerate() {
        if let Some(text) = cell(at) {
            let text = if *name == "properties" {
                text.to_owned()
            } else {
                serde_json::Value::from(text).to_string()
            };
            line.push_str(&format!("{}\"{name}\":{text}", if line.len() > 1 { "," } else { "" }));
        }
    }
    line.push('}');
    parse_line(line.as_bytes())
}

/// Writes records and corrections as our own table.
pub struct Table<W: Write>(csv::Writer<W>);

impl<W: Write> Table<W> {
    /// Begins with the names of the columns.
    pub fn new(out: W) -> io::Result<Self> {
        let mut writer = csv::WriterBuilder::new().from_writer(out);
        writer.write_record(OWN).map_err(own_error)?;
        Ok(Self(writer))
    }

    /// Adds a row.
    pub fn write(&mut self, line: &Line) -> io::Result<()> {
        match line {
            Line::Record(record) => self.write_record(record),
            Line::Correction(correction) => {
                let (kind, person, into) = match correction {
                    Correction::Seen(identity) => ("seen", identity, ""),
                    Correction::Merge { identity, into } => ("merge", identity, into.as_str()),
                    Correction::Unmerge(identity) => ("unmerge", identity, ""),
                };
                let cells = [kind, &guarded(person), "", &guarded(into), "", "", ""];
                self.0.write_record(cells).map_err(own_error)
            }
        }
    }

    fn write_record(&mut self, record: &Record) -> io::Result<()> {
        let mut properties = String::new();
        if !record.properties.is_empty() {
            write_properties(record, &mut properties);
        }
        let (kind, event, identity) = match record.kind {
            RecordKind::Event => ("event", record.name.as_str(), ""),
            RecordKind::Set => ("set", "", ""),
            RecordKind::Identify => ("identify", "", record.name.as_str()),
        };
        let time = record.time.map(format_millis).unwrap_or_default();
        let id = record.id.as_deref().unwrap_or("");
        let cells = [
            kind,
            &guarded(&record.identity),
            &guarded(event),
            &guarded(identity),
            &time,
            &properties,
            &guarded(id),
        ];
        self.0.write_record(cells).map_err(own_error)
    }

    /// Writes what is left.
    pub fn finish(mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_800_000_000_000;

    fn read_lines(
        text: &str,
        mapping: &Mapping,
    ) -> Result<Vec<(u64, std::result::Result<Line, &'static str>)>> {
        let mut out = Vec::new();
        for_each_block(text.as_bytes(), mapping, true, Admission::usual(NOW), |lines| {
            out.extend(lines.into_iter().map(|(n, r)| (n, r.map_err(|e| e.error.code()))));
            Ok(())
        })?;
        Ok(out)
    }

    fn read(text: &str, mapping: &Mapping) -> Result<Vec<(u64, std::result::Result<Record, &'static str>)>> {
        let lines = read_lines(text, mapping)?.into_iter();
        Ok(lines.map(|(n, line)| (n, line.map(|line| line.record().unwrap()))).collect())
    }

    #[test]
    fn a_table_of_kissmetrics() {
        let text = "Identity,Timestamp,Event,Alias,Prop:Plan Name,Prop:price\r\njane,1740823200,Signed Up,,Pro,9.50\r\n\
            jane,2025-03-01 10:00:00,,anon-1,,\r\nbob,2025-03-01,,,\"a \"\"b\"\",\nc\",\r\n,1,x,,,\nbob,soon,x,,,\n";
        let rows = read(text, &Vec::new()).unwrap();
        let codes: Vec<_> = rows.iter().map(|(n, r)| (*n, r.as_ref().err().copied())).collect();
        assert_eq!(
            codes,
            [(2, None), (3, None), (4, None), (6, Some("bad_identity")), (7, Some("bad_time"))]
        );
        let record = |at: usize| rows[at].1.as_ref().unwrap();
        assert_eq!(
            record(0).properties,
            [("Plan Name".into(), Value::from("Pro")), ("price".into(), Value::from_wire("9.5"))]
        );
        assert_eq!(record(0).time, record(1).time);
        assert_eq!((record(1).kind, record(1).name.as_str()), (RecordKind::Identify, "anon-1"));
        assert_eq!(
            (record(2).kind, &record(2).properties[0].1),
            (RecordKind::Set, &Value::from("a \"b\",\nc"))
        );
    }

    #[test]
    fn a_second_column_of_one_meaning_is_a_property() {
        let text = "user_id,email,Event,Action,Timestamp,created_at,P\n\
                    u7,a@b.c,Signup,clicked,2025-03-01,2020-01-01,x\n,d@e.f,Signup,,2025-03-01,,\n";
        let rows = read(text, &Vec::new()).unwrap();
        let record = |at: usize| rows[at].1.as_ref().unwrap();
        assert_eq!((record(0).identity.as_str(), record(0).name.as_str()), ("u7", "Signup"));
        assert_eq!(record(0).time, Some(parse_loose_instant("2025-03-01").unwrap()));
        let kept = [("Action", "clicked"), ("P", "x"), ("created_at", "2020-01-01"), ("email", "a@b.c")];
        assert_eq!(record(0).properties, kept.map(|(name, value)| (name.to_owned(), Value::from(value))));
        assert_eq!((record(1).identity.as_str(), record(1).properties.len()), ("d@e.f", 0));
    }

    #[test]
    fn empty_lines_are_counted() {
        for ends in ["\n", "\r\n"] {
            let text = "Identity,Event\n\na,E\n\n\n,bad\nb,E\n\n".replace('\n', ends);
            let rows = read(&text, &Vec::new()).unwrap();
            let lines: Vec<_> = rows.iter().map(|(n, r)| (*n, r.is_ok())).collect();
            assert_eq!(lines, [(3, true), (6, false), (7, true)]);
        }
    }

    #[test]
    fn columns_are_told_where_names_do_not_say() {
        let text = "Customer,When,What,Email,Code\nc1,2025-03-01T10:00:00+01:00,Paid,a@b.c,007\n";
        assert_eq!(read("Who,What\na,b\n", &Vec::new()).unwrap_err().code(), "no_person_column");
        let told =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let rows = read(text, &told(&[("person", "Customer"), ("time", "When"), ("event", "What")])).unwrap();
        let record = rows[0].1.as_ref().unwrap();
        assert_eq!((record.identity.as_str(), record.name.as_str()), ("c1", "Paid"));
        assert_eq!(
            record.properties,
            [("Code".into(), Value::from("007")), ("Email".into(), Value::from("a@b.c"))]
        );
        assert_eq!(read(text, &told(&[("who", "Customer")])).unwrap_err().code(), "bad_mapping");
    }

    #[test]
    fn our_own_table_gives_the_same_records_back() {
        let lines = [
            r#"{"type":"event","person":"=cmd","event":"'Paid","time":"2025-03-01T10:00:00.125Z","properties":{"R":99.99,"a":true,"b":"\u00e9,\n\"","n":"007"},"id":"-1"}"#,
            r#"{"type":"set","person":"jane","time":"2025-03-01T10:00:00Z","properties":{"Plan":"Pro"}}"#,
            r#"{"type":"identify","person":"anon","identity":"+jane","time":"2025-03-01T10:00:00Z"}"#,
            r#"{"type":"seen","person":"=1"}"#,
            r#"{"type":"merge","person":"anon","identity":"-jane"}"#,
            r#"{"type":"unmerge","person":"'anon"}"#,
        ];
        let said: Vec<Line> = lines
            .iter()
            .map(|l| parse_line(l.as_bytes()).unwrap().checked(Admission::usual(NOW)).unwrap())
            .collect();
        let mut out = Vec::new();
        let mut table = Table::new(&mut out).unwrap();
        said.iter().for_each(|line| table.write(line).unwrap());
        table.finish().unwrap();
        let text = String::from_utf8(out).unwrap();
        let back: Vec<Line> =
            read_lines(&text, &Vec::new()).unwrap().into_iter().map(|(_, line)| line.unwrap()).collect();
        assert_eq!(back, said, "{text}");
        let risky =
            |line: &str| line.split(',').any(|cell| cell.trim_matches('"').starts_with(['=', '+', '-', '@']));
        assert!(!text.lines().skip(1).any(risky), "{text}");
    }

    #[test]
    fn a_row_that_would_lose_something_is_refused() {
        let codes = |text: &str| {
            let rows = read(text, &Vec::new()).unwrap();
            rows.into_iter().map(|(n, r)| (n, r.map_or_else(|code| code, |_| ""))).collect::<Vec<_>>()
        };
        assert_eq!(
            codes("Identity,Event,Name\na,E,Smith, John\nb,E,x,, \nc,E\n"),
            [(2, "bad_row"), (3, ""), (4, "")]
        );
        let open = "Identity,Event,X\na,E,1\nb,E,\"oops\nc,E,2\nd,E,3\n";
        assert_eq!(codes(open), [(2, ""), (3, "bad_row")]);
        // What is closed, and signs of inches, are as they were.
        for last in ["\"two\nlines\"", "\"two\nlines\"\n", "5\" pipe", "5\" pipe\n", "\"not closed"] {
            assert_eq!(
                codes(&format!("Identity,Event,X\na,E,1\nb,E,{last}")),
                [(2, ""), (3, "")],
                "{last:?}"
            );
        }
        assert_eq!(codes("Identity,Event,X\na,E,1\n\n\nb,E,5\" pipe"), [(2, ""), (5, "")]);
        let own = format!("{}\nevent,a,E,,,,i1\nevent,a,E,,,,i2,more\n", OWN.join(","));
        assert_eq!(codes(&own), [(2, ""), (3, "bad_row")]);
    }

    #[test]
    fn lines_that_end_with_a_carriage_return_alone_are_told_of() {
        let error = read("Identity,Event\ra,E\rb,E\r", &Vec::new()).unwrap_err();
        assert_eq!((error.code(), error.place()), ("bad_line_ends", Some("line 1")));
        assert!(read("Identity,Event,\"two\r\nlines\"\r\na,E,\r\n", &Vec::new()).unwrap()[0].1.is_ok());
    }

    #[test]
    fn a_row_without_end_ends_the_input() {
        let text = format!("person,event\na,b\nc,\"{}", "x".repeat(3 * limits::IMPORT_LINE_BYTES_MAX));
        let mut good = 0;
        let error = for_each_block(text.as_bytes(), &Vec::new(), true, Admission::usual(NOW), |lines| {
            good += lines.len();
            Ok(())
        });
        assert_eq!((error.unwrap_err().code(), good), ("bad_input", 1));
    }
}
