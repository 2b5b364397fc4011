//! Records as a Parquet file: the columns of our own tables, for programs that compute with them. Nothing is lost: properties are one
//! column of JSON, in which each keeps its type and all its digits.

use std::io::{self, Write};
use std::mem::take;
use std::sync::{Arc, Mutex, PoisonError};

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::ndjson::write_properties;
use crate::model::{Millis, Record, RecordKind};

const SCHEMA: &str = "message record {
    required binary type (STRING);
    required binary person (STRING);
    optional binary event (STRING);
    optional binary identity (STRING);
    required int64 time (TIMESTAMP(MILLIS,true));
    optional binary properties (JSON);
    optional binary id (STRING);
}";
/// Records of a row group, and bytes of their texts: what is held in memory until they are written.
const GROUP_RECORDS: usize = 128 * 1024;
const GROUP_BYTES: usize = 32 << 20;

/// What the library writes, until it is passed on: it wants a writer that may go to another thread.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A column of texts, some of them missing.
#[derive(Default)]
struct Texts {
    there: Vec<i16>,
    values: Vec<ByteArray>,
}

impl Texts {
    /// Adds a text, empty for none.
    fn push(&mut self, text: &str) {
        self.there.push(i16::from(!text.is_empty()));
        if !text.is_empty() {
            self.values.push(text.into());
        }
    }
}

/// Writes records as one file.
pub struct Table<W: Write> {
    out: W,
    written: Written,
    writer: SerializedFileWriter<Written>,
    /// Type, person, event, identity, properties and id: the columns of the schema without the time.
    texts: [Texts; 6],
    times: Vec<Millis>,
    bytes: usize,
}

impl<W: Write> Table<W> {
    /// A file in `out`.
    pub fn new(out: W) -> io::Result<Self> {
        let schema = Arc::new(parse_message_type(SCHEMA).map_err(failed)?);
        let properties = Arc::new(WriterProperties::builder().set_compression(Compression::SNAPPY).build());
        let written = Written::default();
        let writer = SerializedFileWriter::new(written.clone(), schema, properties).map_err(failed)?;
        Ok(Self { out, written, writer, texts: Default::default(), times: Vec::new(), bytes: 0 })
    }

    /// Adds a record, which has a time.
    pub fn write(&mut self, record: &Record) -> io::Result<()> {
        let (kind, event, identity) = match record.kind {
            RecordKind::Event => ("event", record.name.as_str(), ""),
            RecordKind::Set => ("set", "", ""),
            RecordKind::Identify => ("identify", "", record.name.as_str()),
        };
        let mut properties = String::new();
        if !record.properties.is_empty() {
            write_properties(record, &mut properties);
        }
        let id = record.id.as_deref().unwrap_or("");
        let cells = [kind, &record.identity, event, identity, &properties, id];
        self.bytes += cells.iter().map(|cell| cell.len()).sum::<usize>();
        self.texts.iter_mut().zip(cells).for_each(|(column, cell)| column.push(cell));
        self.times.push(record.time.unwrap_or_default());
        if self.times.len() >= GROUP_RECORDS || self.bytes >= GROUP_BYTES {
            self.end_group()?;
        }
        Ok(())
    }

    /// Writes what is left, and the index of the file.
    pub fn finish(mut self) -> io::Result<()> {
        if !self.times.is_empty() {
            self.end_group()?;
        }
        self.writer.finish().map_err(failed)?;
        self.pass_on()?;
        self.out.flush()
    }

    fn end_group(&mut self) -> io::Result<()> {
        let mut group = self.writer.next_row_group().map_err(failed)?;
        let times = take(&mut self.times);
        let mut texts = self.texts.iter_mut();
        let mut at = 0;
        while let Some(mut column) = group.next_column().map_err(failed)? {
            // The time is the fifth column; type and person are always there.
            if at == 4 {
                column.typed::<Int64Type>().write_batch(&times, None, None).map_err(failed)?;
            } else if let Some(Texts { there, values }) = texts.next().map(take) {
                let there = (at > 1).then_some(there.as_slice());
                column.typed::<ByteArrayType>().write_batch(&values, there, None).map_err(failed)?;
            }
            column.close().map_err(failed)?;
            at += 1;
        }
        group.close().map_err(failed)?;
        self.bytes = 0;
        self.writer.flush()?;
        self.pass_on()
    }

    fn pass_on(&mut self) -> io::Result<()> {
        let bytes = take(&mut *self.written.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.out.write_all(&bytes)
    }
}

fn failed(error: ParquetError) -> io::Error {
    io::Error::other(error)
}
