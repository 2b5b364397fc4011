//! Writes one segment file from blocks that come in the order of name and chunk. Memory is bounded by one block, the members and
//! the filter; the rows pass through.

use std::sync::Arc;

use super::dictionary::write_dictionary;
use super::encoded::EncodedBlock;
use super::filter::FilterWriter;
use super::low_ids::write_low_ids;
use super::members::{MemberTable, Totals};
use super::{
    ChunkEntry, Directory, MembersEntry, NameEntry, PropertyEntry, RECORD_ID_BYTES, Section, Version,
    chunk_of,
};
use crate::disk::{Vfs, WriteFile, codec};
use crate::error::{Error, Result};
use crate::limits;
use crate::model::{Millis, NameId, PropertyId};

/// What a segment is made of besides its rows.
pub struct Frame {
    /// The identity version that the persons are of.
    pub identity_version: u32,
    /// Rows to come.
    pub rows: u64,
    /// Per property, in the order of ids, its distinct raw values in order.
    pub dictionaries: Vec<(PropertyId, Vec<Vec<u8>>)>,
    /// The persons of the rows and their identities.
    pub members: Arc<MemberTable>,
    /// The arrival numbers of sets and identifies by their times, as [`super::clock::write_clock`] makes it.
    pub clock: Arc<Vec<u8>>,
}

impl Frame {
    /// Whether the segment gets a filter: a large one does not.
    pub fn is_filtered(&self) -> bool {
        self.rows <= limits::FILTER_ROWS_MAX
    }
}

/// A finished segment file, as the manifest names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFile {
    /// Bytes of the file.
    pub bytes: u64,
    /// Rows in it.
    pub rows: u64,
}

/// A segment being written.
pub struct SegmentWriter {
    out: Output,
    directory: Directory,
    filter: Option<FilterWriter>,
    members: Arc<MemberTable>,
    clock: Section,
    /// Of each of the members.
    totals: Vec<Option<Totals>>,
    /// The person set of the current name.
    persons: Vec<u8>,
    record_ids: Vec<[u8; RECORD_ID_BYTES]>,
}

struct Output {
    file: Box<dyn WriteFile>,
    offset: u64,
    buffer: Vec<u8>,
}

impl Output {
    /// Writes one piece.
    fn section(&mut self, bytes: &[u8]) -> Result<Section> {
        self.checked_section(bytes, crc32fast::hash(bytes))
    }

    /// Writes one piece with this checksum.
    fn checked_section(&mut self, bytes: &[u8], crc: u32) -> Result<Section> {
        let section = Section { offset: self.offset, length: bytes.len() as u64, crc };
        self.put(bytes)?;
        Ok(section)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.offset += bytes.len() as u64;
        self.buffer.extend_from_slice(bytes);
        // A megabyte at a time: few calls, little memory.
        if self.buffer.len() >= 1 << 20 { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl SegmentWriter {
    /// Begins the file `name`.
    pub fn create(vfs: &dyn Vfs, name: &str, frame: Frame) -> Result<Self> {
        let mut out = Output { file: vfs.create(name)?, offset: 0, buffer: Vec::new() };
        out.put(Version::V005.magic())?;
        let mut directory =
            Directory { rows: frame.rows, identity_version: frame.identity_version, ..Directory::default() };
        for (property, values) in &frame.dictionaries {
            let mut bytes = Vec::new();
            if !write_dictionary(values.iter().map(Vec::as_slice), &mut bytes) {
                return Err(Error::corrupt(name, out.offset, "the values of one property pass 4 GiB"));
            }
            let dictionary = out.section(&bytes)?;
            directory.properties.push(PropertyEntry {
                property: property.0,
                values: values.len() as u32,
                dictionary,
            });
        }
        let clock = out.section(&frame.clock)?;
        Ok(Self {
            out,
            directory,
            clock,
            filter: frame.is_filtered().then(|| FilterWriter::new(frame.rows)),
            totals: vec![None; frame.members.rows().len()],
            members: frame.members,
            persons: Vec::new(),
            record_ids: Vec::new(),
        })
    }

    /// Begins a name; names come in the order of their ids.
    pub fn start_name(&mut self, name: NameId) {
        self.directory.names.push(NameEntry {
            name: name.0,
            rows: 0,
            time_min: Millis::MAX,
            time_max: Millis::MIN,
            persons: Section::default(),
            chunks: Vec::new(),
        });
    }

    /// Writes a block of the current name; blocks come in the order of their chunks.
    pub fn block(&mut self, block: &EncodedBlock) -> Result<()> {
        let Some(entry) = self.directory.names.last_mut() else { return Ok(()) };
        let section = self.out.checked_section(&block.bytes, block.crc)?;
        for visit in &block.visits {
            entry.time_min = entry.time_min.min(visit.totals.first);
            entry.time_max = entry.time_max.max(visit.totals.last);
            let member = visit.member.filter(|_| NameId(entry.name).is_event());
            if let Some(totals) = member.and_then(|at| self.totals.get_mut(at)) {
                *totals = Some(totals.map_or(visit.totals, |before| before.and(visit.totals)));
            }
        }
        write_low_ids(&block.visits.iter().map(|v| v.person as u16).collect::<Vec<_>>(), &mut self.persons);
        if let Some(filter) = &mut self.filter {
            block.keys.iter().for_each(|key| filter.add(*key));
        }
        entry.rows += u64::from(block.rows);
        let persons = block.visits.len() as u32;
        entry.chunks.push(ChunkEntry { chunk: block.chunk, persons, rows: block.rows, block: section });
        for (row, hash) in &block.record_ids {
            let mut id = [0; RECORD_ID_BYTES];
            // Big-endian hash first, so that sorting the bytes sorts by hash.
            let parts = hash.to_be_bytes().into_iter().chain(entry.name.to_le_bytes());
            let parts = parts.chain(block.chunk.to_le_bytes()).chain(row.to_le_bytes());
            id.iter_mut().zip(parts).for_each(|(slot, byte)| *slot = byte);
            self.record_ids.push(id);
        }
        Ok(())
    }

    /// Ends the current name.
    pub fn end_name(&mut self) -> Result<()> {
        let persons = std::mem::take(&mut self.persons);
        let section = self.out.section(&persons)?;
        if let Some(entry) = self.directory.names.last_mut() {
            entry.persons = section;
        }
        Ok(())
    }

    /// Writes the rest and syncs the file. The caller makes its name durable.
    pub fn finish(mut self) -> Result<SegmentFile> {
        self.write_members()?;
        self.directory.rows = self.directory.names.iter().map(|n| n.rows).sum();
        let filter = self.filter.take().map(FilterWriter::finish).unwrap_or_default();
        self.directory.filter = self.out.section(&filter)?;
        self.record_ids.sort_unstable();
        self.directory.record_ids = self.out.section(&self.record_ids.concat())?;
        let directory = codec::encode(&(&self.directory, self.clock))?;
        let section = self.out.section(&directory)?;
        let mut footer = Vec::new();
        footer.extend_from_slice(&section.offset.to_le_bytes());
        footer.extend_from_slice(&section.length.to_le_bytes());
        footer.extend_from_slice(&section.crc.to_le_bytes());
        footer.extend_from_slice(Version::V005.magic());
        self.out.put(&footer)?;
        self.out.flush()?;
        self.out.file.sync()?;
        Ok(SegmentFile { bytes: self.out.offset, rows: self.directory.rows })
    }

    fn write_members(&mut self) -> Result<()> {
        let mut from = 0;
        while let Some(first) = self.members.rows().get(from) {
            let chunk = chunk_of(first.person);
            let rest = self.members.rows().get(from..).unwrap_or(&[]);
            let to = from + rest.partition_point(|m| chunk_of(m.person) == chunk);
            let mut bytes = Vec::new();
            self.members.write(from..to, &self.totals, &mut bytes);
            let (persons, identities) = ((to - from) as u32, self.members.identities(from..to) as u32);
            let members = self.out.section(&bytes)?;
            self.directory.members.push(MembersEntry { chunk, persons, identities, members });
            from = to;
        }
        Ok(())
    }
}
