//! Writes one segment file from rows that come in the order of name, chunk, person, time. Memory is bounded by one
//! block, the members and the filter; the rows pass through.

use roaring::RoaringBitmap;

use super::block::{BlockRow, write_block};
use super::dictionary::write_dictionary;
use super::filter::{FilterWriter, row_key};
use super::members::{MemberRow, write_members};
use super::{
    ChunkEntry, Directory, MAGIC, MembersEntry, NameEntry, PropertyEntry, RECORD_ID_BYTES, Section, chunk_of,
};
use crate::disk::{Vfs, WriteFile, codec};
use crate::error::{Error, Result};
use crate::limits;
use crate::model::{IdentityId, Millis, NameId, PersonId, PropertyId};

/// What a segment is made of besides its rows.
pub struct Frame {
    /// The identity version that the persons are of.
    pub identity_version: u32,
    /// The store's secret, for the filter.
    pub secret: u64,
    /// Rows to come.
    pub rows: u64,
    /// Per property, in the order of ids, its distinct raw values in order.
    pub dictionaries: Vec<(PropertyId, Vec<Vec<u8>>)>,
    /// Every (person, identity) of the rows, in order, each once.
    pub members: Vec<(PersonId, IdentityId)>,
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
    secret: u64,
    /// None in a large segment.
    filter: Option<FilterWriter>,
    members: Vec<MemberRow>,
    identities: Vec<IdentityId>,
    /// The member that was looked for last.
    near: usize,
    persons: RoaringBitmap,
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
        let section =
            Section { offset: self.offset, length: bytes.len() as u64, crc: crc32fast::hash(bytes) };
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
        out.put(MAGIC)?;
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
        let mut members: Vec<MemberRow> = Vec::new();
        let mut identities = Vec::with_capacity(frame.members.len());
        for (person, identity) in frame.members {
            if members.last().is_none_or(|m| m.person != person) {
                members.push(MemberRow { person, identities_from: identities.len() as u32, seen: None });
            }
            identities.push(identity);
        }
        Ok(Self {
            out,
            directory,
            secret: frame.secret,
            filter: (frame.rows <= limits::FILTER_ROWS_MAX).then(|| FilterWriter::new(frame.rows)),
            members,
            identities,
            near: 0,
            persons: RoaringBitmap::new(),
            record_ids: Vec::new(),
        })
    }

    /// The identities of the persons to come, as slots: the place of `identity` among those of `person`. Persons mostly rise from
    /// one call to the next, so the search goes on where the last one ended.
    pub fn slot(&mut self, person: PersonId, identity: IdentityId) -> u32 {
        if self.members.get(self.near).is_none_or(|m| m.person > person) {
            self.near = 0;
        }
        let ahead = self.members.get(self.near..).unwrap_or(&[]);
        // In steps that double, so that a near one costs few looks and none far away.
        let mut step = 1;
        while ahead.get(step).is_some_and(|m| m.person < person) {
            step *= 2;
        }
        let (from, to) = (step / 2, (step + 1).min(ahead.len()));
        let near = ahead.get(from..to).unwrap_or(&[]);
        self.near += from + near.partition_point(|m| m.person < person);
        let Some(found) = self.members.get(self.near).filter(|m| m.person == person) else { return 0 };
        let begin = found.identities_from as usize;
        let end =
            self.members.get(self.near + 1).map_or(self.identities.len(), |m| m.identities_from as usize);
        let own = self.identities.get(begin..end).unwrap_or(&[]);
        own.binary_search(&identity).unwrap_or(0) as u32
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

    /// Writes one block of the current name: all its rows of one chunk, in order. `record_ids` holds (row, hash of its id).
    pub fn block(
        &mut self,
        rows: &[BlockRow],
        values: &[(PropertyId, u64)],
        record_ids: &[(u32, u64)],
    ) -> Result<()> {
        let (Some(first), Some(entry)) = (rows.first(), self.directory.names.last_mut()) else {
            return Ok(());
        };
        let (name, chunk) = (NameId(entry.name), chunk_of(first.person));
        let mut bytes = Vec::new();
        write_block(rows, values, &mut bytes);
        let block = self.out.section(&bytes)?;
        let mut persons = 0u32;
        let mut previous = None;
        let mut member = self.members.partition_point(|m| m.person < first.person);
        for row in rows {
            if previous != Some(row.person) {
                previous = Some(row.person);
                persons += 1;
                self.persons.insert(row.person);
                while self.members.get(member).is_some_and(|m| m.person < row.person) {
                    member += 1;
                }
            }
            entry.time_min = entry.time_min.min(row.time);
            entry.time_max = entry.time_max.max(row.time);
            let Some(found) = self.members.get_mut(member) else { continue };
            if name.is_event() {
                let (low, high) = found.seen.unwrap_or((row.time, row.time));
                found.seen = Some((low.min(row.time), high.max(row.time)));
            }
            let place = found.identities_from as usize + row.slot as usize;
            let identity = self.identities.get(place).copied().unwrap_or(0);
            if let Some(filter) = &mut self.filter {
                filter.add(row_key(self.secret, name, identity, row.time));
            }
        }
        entry.rows += rows.len() as u64;
        entry.chunks.push(ChunkEntry { chunk, persons, rows: rows.len() as u32, block });
        for (row, hash) in record_ids {
            let mut id = [0; RECORD_ID_BYTES];
            // Big-endian hash first, so that sorting the bytes sorts by hash.
            let parts = hash.to_be_bytes().into_iter().chain(name.0.to_le_bytes());
            let parts = parts.chain(chunk.to_le_bytes()).chain(row.to_le_bytes());
            id.iter_mut().zip(parts).for_each(|(slot, byte)| *slot = byte);
            self.record_ids.push(id);
        }
        Ok(())
    }

    /// Ends the current name.
    pub fn end_name(&mut self) -> Result<()> {
        let mut persons = std::mem::take(&mut self.persons);
        persons.optimize();
        let mut bytes = Vec::new();
        persons.serialize_into(&mut bytes).map_err(|e| Error::corrupt("person set", 0, e))?;
        let section = self.out.section(&bytes)?;
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
        let directory = codec::encode(&self.directory)?;
        let section = self.out.section(&directory)?;
        let mut footer = Vec::new();
        footer.extend_from_slice(&section.offset.to_le_bytes());
        footer.extend_from_slice(&section.length.to_le_bytes());
        footer.extend_from_slice(&section.crc.to_le_bytes());
        footer.extend_from_slice(MAGIC);
        self.out.put(&footer)?;
        self.out.flush()?;
        self.out.file.sync()?;
        Ok(SegmentFile { bytes: self.out.offset, rows: self.directory.rows })
    }

    fn write_members(&mut self) -> Result<()> {
        let mut from = 0;
        while let Some(first) = self.members.get(from) {
            let chunk = chunk_of(first.person);
            let rest = self.members.get(from..).unwrap_or(&[]);
            let count = rest.partition_point(|m| chunk_of(m.person) == chunk);
            let end =
                self.members.get(from + count).map_or(self.identities.len(), |m| m.identities_from as usize);
            let identities = (end - first.identities_from as usize) as u32;
            let mut bytes = Vec::new();
            write_members(rest.get(..count).unwrap_or(&[]), &self.identities, end, &mut bytes);
            let members = self.out.section(&bytes)?;
            self.directory.members.push(MembersEntry { chunk, persons: count as u32, identities, members });
            from += count;
        }
        Ok(())
    }
}
