//! Everything in a snapshot, in lines from which import makes the same store. Sets and identifies come first, in the order of their
//! arrival, as that order decides who is who; then events, name by name; then what operators have made of who is who.

use std::io::Write;

use super::replay::Replay;
use crate::engine::Snapshot;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::{StoredRow, rows_of_person, stored_rows};
use crate::model::{Correction, IdentityId, Line, NameId, PropertyId, Record, RecordKind, Value};
use crate::transfer::format::ExportFormat;
use crate::transfer::ndjson::write_line;
use crate::transfer::{csv, parquet};

/// Writes everything in `snapshot` in a form; how many records. A form that is not read back has nothing but records.
///
/// # Errors
/// Of reading the store, and of writing.
pub fn export(snapshot: &Snapshot, format: ExportFormat, out: &mut dyn Write) -> Result<u64> {
    in_form(format, out, |each| each_line(snapshot, each))
}

/// Writes all records of the person of `identity`, under whichever of its identities they came.
///
/// # Errors
/// `unknown_person`; of reading the store, and of writing.
pub fn export_person(
    snapshot: &Snapshot,
    identity: &str,
    format: ExportFormat,
    out: &mut dyn Write,
) -> Result<u64> {
    in_form(format, out, |each| each_of_person(snapshot, identity, each))
}

/// Takes a line.
type Each<'a> = dyn FnMut(Line) -> Result<()> + 'a;

/// Writes what `lines` gives.
fn in_form(
    format: ExportFormat,
    out: &mut dyn Write,
    lines: impl FnOnce(&mut Each<'_>) -> Result<u64>,
) -> Result<u64> {
    match format {
        ExportFormat::Ndjson => {
            let mut buffer = Vec::with_capacity(1 << 20);
            let count = lines(&mut |line| {
                write_line(&line, &mut buffer);
                if buffer.len() > 1 << 19 {
                    out.write_all(&buffer).map_err(failed)?;
                    buffer.clear();
                }
                Ok(())
            })?;
            out.write_all(&buffer).and_then(|()| out.flush()).map_err(failed)?;
            Ok(count)
        }
        ExportFormat::Csv => {
            let mut table = csv::Table::new(out).map_err(failed)?;
            let count = lines(&mut |line| table.write(&line).map_err(failed))?;
            table.finish().map_err(failed).map(|()| count)
        }
        ExportFormat::Parquet => {
            let mut table = parquet::Table::new(out).map_err(failed)?;
            let count = lines(&mut |line| match line {
                Line::Record(record) => table.write(&record).map_err(failed),
                Line::Correction(_) => Ok(()),
            })?;
            table.finish().map_err(failed).map(|()| count)
        }
    }
}

fn failed(e: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, "io", format!("cannot write the export: {e}")).with_source(e)
}

/// Sets and identifies that are kept in memory to be put in the order of their arrival.
const WINDOW: u64 = 1 << 18;

/// Calls `each` with every line; how many records there are.
fn each_line(snapshot: &Snapshot, each: &mut Each<'_>) -> Result<u64> {
    let mut count = 0;
    let mut replay = Replay::new(&snapshot.persons);
    let seen = |id: IdentityId| snapshot.identity(id).map(|text| Line::Correction(Correction::Seen(text)));
    for from in (0..).step_by(WINDOW as usize) {
        let (rows, more) = arrived(snapshot, from)?;
        for (kind, row) in rows {
            let target = (kind == RecordKind::Identify).then_some(row.target);
            for earlier in replay.meet(row.identity, target) {
                each(seen(earlier)?)?;
            }
            let name = target.map_or_else(|| Ok(String::new()), |target| snapshot.identity(target))?;
            each(Line::Record(record(snapshot, kind, name, &row)?))?;
            count += 1;
        }
        if !more {
            break;
        }
    }
    for unmet in replay.before_events() {
        each(seen(unmet)?)?;
    }
    for (name, text) in snapshot.catalog.events() {
        // Those with an id of the client's come last: such a one is no duplicate of one without that says the same, but one without
        // is a duplicate of any.
        let mut later = false;
        let mut put = |row: StoredRow| {
            replay.meet_in_event(row.identity);
            count += 1;
            each(Line::Record(record(snapshot, RecordKind::Event, text.to_owned(), &row)?))
        };
        let has_id = |row: &StoredRow| row.properties.iter().any(|(p, _)| *p == PropertyId::RECORD_ID);
        stored_rows(snapshot, name, &mut |row| {
            let wait = has_id(&row);
            later |= wait;
            if wait { Ok(()) } else { put(row) }
        })?;
        if later {
            stored_rows(snapshot, name, &mut |row| if has_id(&row) { put(row) } else { Ok(()) })?;
        }
    }
    for unmet in replay.rest() {
        each(seen(unmet)?)?;
    }
    replay.set_right(&mut |step| {
        let (identity, into) =
            (snapshot.identity(step.identity)?, step.into.map(|into| snapshot.identity(into)));
        each(Line::Correction(match into {
            Some(into) => Correction::Merge { identity, into: into? },
            None => Correction::Unmerge(identity),
        }))
    })?;
    Ok(count)
}

/// Calls `each` with every record of a person; how many there are.
fn each_of_person(snapshot: &Snapshot, identity: &str, each: &mut Each<'_>) -> Result<u64> {
    let rows = rows_of_person(snapshot, identity)?;
    for (name, row) in &rows {
        let (kind, name) = match *name {
            NameId::SET => (RecordKind::Set, String::new()),
            NameId::IDENTIFY => (RecordKind::Identify, snapshot.identity(row.target)?),
            name => (RecordKind::Event, snapshot.catalog.event_name(name).to_owned()),
        };
        each(Line::Record(record(snapshot, kind, name, row)?))?;
    }
    Ok(rows.len() as u64)
}

/// The sets and identifies of a window of arrivals, in their order, and whether there are later ones.
fn arrived(snapshot: &Snapshot, from: u64) -> Result<(Vec<(RecordKind, StoredRow)>, bool)> {
    let (mut rows, mut more) = (Vec::new(), false);
    for (name, kind) in [(NameId::SET, RecordKind::Set), (NameId::IDENTIFY, RecordKind::Identify)] {
        stored_rows(snapshot, name, &mut |row| {
            more |= row.arrival >= from + WINDOW;
            if (from..from + WINDOW).contains(&row.arrival) {
                rows.push((kind, row));
            }
            Ok(())
        })?;
    }
    rows.sort_by_key(|(_, row)| row.arrival);
    Ok((rows, more))
}

fn record(snapshot: &Snapshot, kind: RecordKind, name: String, row: &StoredRow) -> Result<Record> {
    let mut id = None;
    let mut properties = Vec::with_capacity(row.properties.len());
    for (property, value) in &row.properties {
        match (*property, value) {
            (PropertyId::RECORD_ID, Value::Text(text)) => id = Some(text.clone()),
            (property, value) => {
                properties.push((snapshot.catalog.property_name(property).to_owned(), value.clone()))
            }
        }
    }
    properties.sort_by(|a, b| a.0.cmp(&b.0));
    let identity = snapshot.identity(row.identity)?;
    Ok(Record { kind, identity, name, time: Some(row.time), properties, id })
}
