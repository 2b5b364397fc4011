//! Everything in a snapshot as records that import takes back. Sets and identifies come first, in the order of their arrival, as
//! that order decides who is who; then events, name by name.

use std::io::Write;

use crate::engine::Snapshot;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::stored_rows;
use crate::model::{NameId, PropertyId, Record, RecordKind, Value};
use crate::transfer::format::ExportFormat;
use crate::transfer::ndjson::write_record;
use crate::transfer::{csv, parquet};

/// Writes every record of `snapshot` in a form; how many.
///
/// Merges and unmerges by operators are no records, so they are not part of it.
pub fn export(snapshot: &Snapshot, format: ExportFormat, out: &mut dyn Write) -> Result<u64> {
    match format {
        ExportFormat::Ndjson => export_lines(snapshot, out),
        ExportFormat::Csv => {
            let mut table = csv::Table::new(out).map_err(failed)?;
            let count = each_record(snapshot, &mut |record| table.write(&record).map_err(failed))?;
            table.finish().map_err(failed).map(|()| count)
        }
        ExportFormat::Parquet => {
            let mut table = parquet::Table::new(out).map_err(failed)?;
            let count = each_record(snapshot, &mut |record| table.write(&record).map_err(failed))?;
            table.finish().map_err(failed).map(|()| count)
        }
    }
}

fn export_lines(snapshot: &Snapshot, out: &mut dyn Write) -> Result<u64> {
    let mut buffer = Vec::with_capacity(1 << 20);
    let count = each_record(snapshot, &mut |record| {
        write_record(&record, &mut buffer);
        if buffer.len() > 1 << 19 {
            out.write_all(&buffer).map_err(failed)?;
            buffer.clear();
        }
        Ok(())
    })?;
    out.write_all(&buffer).and_then(|()| out.flush()).map_err(failed)?;
    Ok(count)
}

fn failed(e: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, "io", format!("cannot write the export: {e}")).with_source(e)
}

/// Calls `each` with every record; how many there are.
fn each_record(snapshot: &Snapshot, each: &mut dyn FnMut(Record) -> Result<()>) -> Result<u64> {
    let mut count = 0;
    let mut own: Vec<(u64, Record)> = Vec::new();
    for name in [NameId::SET, NameId::IDENTIFY] {
        stored_rows(snapshot, name, &mut |row| {
            let kind = if name == NameId::SET { RecordKind::Set } else { RecordKind::Identify };
            let target =
                if kind == RecordKind::Identify { snapshot.identity(row.target)? } else { String::new() };
            own.push((row.arrival, record(snapshot, kind, target, &row)?));
            Ok(())
        })?;
    }
    own.sort_by_key(|(arrival, _)| *arrival);
    for (_, record) in own {
        each(record)?;
        count += 1;
    }
    for (name, text) in snapshot.catalog.events() {
        stored_rows(snapshot, name, &mut |row| {
            count += 1;
            each(record(snapshot, RecordKind::Event, text.to_owned(), &row)?)
        })?;
    }
    Ok(count)
}

fn record(
    snapshot: &Snapshot,
    kind: RecordKind,
    name: String,
    row: &crate::exec::StoredRow,
) -> Result<Record> {
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
