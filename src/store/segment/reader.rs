//! Opens a segment file and hands out its pieces, each checked against its checksum the first time it is touched.
//! Nothing is decoded before it is asked for.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use roaring::RoaringBitmap;

use super::block::{Around, Block, Owner};
use super::clock::Clock;
use super::dictionary::Dictionary;
use super::filter::may_contain;
use super::low_ids::LowIds;
use super::members::Members;
use super::{
    ChunkEntry, Directory, FOOTER_BYTES, MembersEntry, NameEntry, RECORD_ID_BYTES, Section, Version, chunk_of,
};
use crate::disk::codec::{self, Reader};
use crate::disk::{Bytes, Vfs};
use crate::error::{Error, Result};
use crate::model::{IdentityId, Millis, NameId, PersonId, PropertyId};
use crate::store::manifest::known_format;

/// An open segment.
pub struct Segment {
    name: String,
    bytes: Bytes,
    directory: Directory,
    /// Empty before version 005.
    clock: Section,
    /// Earliest and latest time of all rows.
    times: (Millis, Millis),
    version: Version,
    /// Person sets, decoded on first use.
    persons: Vec<OnceLock<RoaringBitmap>>,
    persons_checked: Vec<AtomicBool>,
    /// Where the persons of each block begin in the set of its name.
    persons_at: Vec<Vec<usize>>,
    /// Which blocks have been checked, per name and chunk.
    blocks_checked: Vec<Vec<AtomicBool>>,
    dictionaries_checked: Vec<AtomicBool>,
    members_checked: Vec<AtomicBool>,
    clock_checked: AtomicBool,
    filter_checked: AtomicBool,
    record_ids_checked: AtomicBool,
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Segment({}, {} rows)", self.name, self.directory.rows)
    }
}

fn unchecked(count: usize) -> Vec<AtomicBool> {
    (0..count).map(|_| AtomicBool::new(false)).collect()
}

impl Segment {
    /// Opens `name`, which must be `length` bytes long.
    pub fn open(vfs: &dyn Vfs, name: &str, length: u64) -> Result<Self> {
        let bytes = vfs.open(name)?;
        if bytes.len() as u64 != length {
            return Err(Error::corrupt(
                name,
                bytes.len() as u64,
                format!("{length} bytes expected, the file ends"),
            ));
        }
        Self::parse(name, bytes)
    }

    /// Opens a segment that is in memory or mapped.
    pub fn parse(name: &str, bytes: Bytes) -> Result<Self> {
        let bad = |offset: usize, what: &str| Error::corrupt(name, offset as u64, what);
        let begin = bytes.get(..8);
        let version = Version::ALL.into_iter().find(|version| begin == Some(version.magic().as_slice()));
        let version = version.unwrap_or(Version::V005);
        let magic = version.magic();
        known_format(name, &bytes, magic)?;
        let footer_at =
            bytes.len().checked_sub(FOOTER_BYTES).ok_or_else(|| bad(0, "too short for a segment"))?;
        let mut footer = Reader::new(bytes.get(footer_at..).unwrap_or(&[]));
        let (offset, length, crc) = (footer.u64(), footer.u64(), footer.u32());
        if bytes.get(..8) != Some(magic) || footer.take(8) != Some(magic) {
            return Err(bad(footer_at, "not a segment, or cut short"));
        }
        let (Some(offset), Some(length), Some(crc)) = (offset, length, crc) else {
            return Err(bad(footer_at, "not a segment"));
        };
        let section = Section { offset, length, crc };
        let payload = slice(&bytes, section).filter(|b| crc32fast::hash(b) == crc);
        let payload = payload.ok_or_else(|| bad(footer_at, "the directory does not match its checksum"))?;
        let (directory, clock): (Directory, Section) = match version {
            Version::V005 => codec::decode(name, payload)?,
            Version::V002 | Version::V003 | Version::V004 => {
                (codec::decode(name, payload)?, Section::default())
            }
        };
        let names = &directory.names;
        let earliest = names.iter().map(|n| n.time_min).min().unwrap_or(Millis::MAX);
        let latest = names.iter().map(|n| n.time_max).max().unwrap_or(Millis::MIN);
        Ok(Self {
            times: (earliest, latest),
            version,
            name: name.to_owned(),
            persons: names.iter().map(|_| OnceLock::new()).collect(),
            persons_checked: unchecked(names.len()),
            persons_at: names.iter().map(|n| starts_of(&n.chunks)).collect(),
            blocks_checked: names.iter().map(|n| unchecked(n.chunks.len())).collect(),
            dictionaries_checked: unchecked(directory.properties.len()),
            members_checked: unchecked(directory.members.len()),
            clock_checked: AtomicBool::new(false),
            filter_checked: AtomicBool::new(false),
            record_ids_checked: AtomicBool::new(false),
            bytes,
            directory,
            clock,
        })
    }

    /// Its file name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its directory.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Whether it is of the version that is written now.
    pub fn is_present_version(&self) -> bool {
        self.version == Version::V005
    }

    /// Whether `time` lies within those of its rows.
    pub fn covers(&self, time: Millis) -> bool {
        (self.times.0..=self.times.1).contains(&time)
    }

    /// The identity version that its persons are of.
    pub fn identity_version(&self) -> u32 {
        self.directory.identity_version
    }

    /// The place of a name in the directory.
    pub fn find_name(&self, name: NameId) -> Option<usize> {
        self.directory.names.binary_search_by_key(&name.0, |n| n.name).ok()
    }

    /// The directory's entry of a name.
    pub fn name_entry(&self, at: usize) -> Option<&NameEntry> {
        self.directory.names.get(at)
    }

    /// The persons who have rows of a name.
    pub fn persons(&self, at: usize) -> Result<&RoaringBitmap> {
        static EMPTY: OnceLock<RoaringBitmap> = OnceLock::new();
        let (Some(cell), Some(entry)) = (self.persons.get(at), self.directory.names.get(at)) else {
            return Ok(EMPTY.get_or_init(RoaringBitmap::new));
        };
        if let Some(persons) = cell.get() {
            return Ok(persons);
        }
        let persons = match self.version {
            Version::V002 | Version::V003 => {
                let bytes = self.checked(entry.persons, &AtomicBool::new(false))?;
                RoaringBitmap::deserialize_from(bytes)
                    .map_err(|e| self.damage(entry.persons, &e.to_string()))?
            }
            Version::V004 | Version::V005 => {
                let mut set = RoaringBitmap::new();
                for (chunk_at, chunk) in entry.chunks.iter().enumerate() {
                    let before = set.len();
                    let added = self.persons_of(at, chunk_at)?.append_to(&mut set, chunk.chunk);
                    added
                        .filter(|()| set.len() - before == u64::from(chunk.persons))
                        .ok_or_else(|| self.damage(entry.persons, "the person set contradicts itself"))?;
                }
                set
            }
        };
        Ok(cell.get_or_init(|| persons))
    }

    /// The persons of a block, where they stand in the set of their name.
    fn persons_of(&self, name_at: usize, chunk_at: usize) -> Result<LowIds<'_>> {
        let (Some(entry), Some(flag)) =
            (self.directory.names.get(name_at), self.persons_checked.get(name_at))
        else {
            return Err(Error::corrupt(&self.name, 0, "no such name"));
        };
        let bytes = self.checked(entry.persons, flag)?;
        let begin = self.persons_at.get(name_at).and_then(|starts| starts.get(chunk_at));
        let chunk = entry.chunks.get(chunk_at);
        let persons = begin.zip(chunk).and_then(|(begin, chunk)| {
            let (persons, _) = LowIds::parse(bytes.get(*begin..)?, chunk.persons as usize, self.version)?;
            Some(persons)
        });
        persons.ok_or_else(|| self.damage(entry.persons, "the person set is too short"))
    }

    /// The block at a place of a name's chunks.
    pub fn block(&self, name_at: usize, chunk_at: usize) -> Result<Block<'_>> {
        let entry = self.directory.names.get(name_at).and_then(|n| n.chunks.get(chunk_at));
        let flag = self.blocks_checked.get(name_at).and_then(|c| c.get(chunk_at));
        let (Some(entry), Some(flag)) = (entry, flag) else {
            return Err(Error::corrupt(&self.name, 0, "no such block"));
        };
        let persons = match self.version {
            Version::V002 | Version::V003 => None,
            Version::V004 | Version::V005 => Some(self.persons_of(name_at, chunk_at)?),
        };
        let members = self.members_of(entry.chunk)?;
        let members =
            members.ok_or_else(|| self.damage(entry.block, "the block's persons have no members"))?;
        let around = Around { version: self.version, persons, members, clock: self.clock()? };
        let block = Block::parse(self.checked(entry.block, flag)?, around);
        let block =
            block.filter(|b| b.rows() == entry.rows as usize && b.persons() == entry.persons as usize);
        block.ok_or_else(|| self.damage(entry.block, "the block contradicts itself"))
    }

    /// The block of a name that holds a person's chunk.
    pub fn block_of(&self, name_at: usize, chunk: u32) -> Result<Option<Block<'_>>> {
        let Some(entry) = self.directory.names.get(name_at) else { return Ok(None) };
        match entry.chunks.binary_search_by_key(&chunk, |c| c.chunk) {
            Ok(at) => self.block(name_at, at).map(Some),
            Err(_) => Ok(None),
        }
    }

    /// At which time the store was at which arrival number.
    pub fn clock(&self) -> Result<Clock<'_>> {
        let clock = Clock::parse(self.checked(self.clock, &self.clock_checked)?);
        clock.ok_or_else(|| self.damage(self.clock, "the clock contradicts itself"))
    }

    /// Whether the arrival numbers of its rows are counted from its clock, as they are from version 005 on.
    pub fn has_clock(&self) -> bool {
        self.version >= Version::V005
    }

    /// What reading the rows of a person of a block needs.
    pub fn owner(&self, block: &Block<'_>, low: u16) -> Result<Owner> {
        let unknown = || Error::corrupt(&self.name, 0, format!("no members for the person {low} of a chunk"));
        block.owner(low).ok_or_else(unknown)
    }

    /// The same, by one of the rows.
    pub fn owner_of_row(&self, block: &Block<'_>, row: usize) -> Result<Owner> {
        self.owner(block, block.person(block.rank_of_row(row)))
    }

    /// Visits every row of a name with its person.
    pub fn each_row(&self, name_at: usize, visit: &mut dyn FnMut(&Block<'_>, usize, Owner)) -> Result<()> {
        for chunk_at in 0..self.name_entry(name_at).map_or(0, |entry| entry.chunks.len()) {
            let block = self.block(name_at, chunk_at)?;
            for (low, rows) in block.each_person() {
                let owner = self.owner(&block, low)?;
                rows.for_each(|row| visit(&block, row, owner));
            }
        }
        Ok(())
    }

    /// The dictionary of a property, if any row has it.
    pub fn dictionary(&self, property: PropertyId) -> Result<Option<Dictionary<'_>>> {
        let Ok(at) = self.directory.properties.binary_search_by_key(&property.0, |p| p.property) else {
            return Ok(None);
        };
        let (Some(entry), Some(flag)) =
            (self.directory.properties.get(at), self.dictionaries_checked.get(at))
        else {
            return Ok(None);
        };
        let dictionary = Dictionary::parse(self.checked(entry.dictionary, flag)?, entry.values);
        dictionary.map(Some).ok_or_else(|| self.damage(entry.dictionary, "the dictionary contradicts itself"))
    }

    /// The members of the chunk at a place of the directory.
    pub fn members(&self, at: usize) -> Result<Members<'_>> {
        let (Some(entry), Some(flag)) = (self.directory.members.get(at), self.members_checked.get(at)) else {
            return Err(Error::corrupt(&self.name, 0, "no such members"));
        };
        let bytes = self.checked(entry.members, flag)?;
        let members = Members::parse(bytes, self.version, entry.chunk, (entry.persons, entry.identities));
        members.ok_or_else(|| self.damage(entry.members, "the members contradict themselves"))
    }

    /// The members of a chunk.
    pub fn members_of(&self, chunk: u32) -> Result<Option<Members<'_>>> {
        match self.directory.members.binary_search_by_key(&chunk, |m: &MembersEntry| m.chunk) {
            Ok(at) => self.members(at).map(Some),
            Err(_) => Ok(None),
        }
    }

    /// The place of an identity among those of the person it is stored under, if this segment has rows of it.
    pub fn slot_of(&self, person: PersonId, identity: IdentityId) -> Result<Option<usize>> {
        let Some(members) = self.members_of(chunk_of(person))? else { return Ok(None) };
        let Some(rank) = members.rank_of((person & 0xffff) as u16) else { return Ok(None) };
        Ok(members.identities(rank).position(|own| own == identity))
    }

    /// Whether a row with this filter key may be here.
    pub fn may_contain(&self, key: u64) -> Result<bool> {
        Ok(may_contain(self.checked(self.directory.filter, &self.filter_checked)?, key))
    }

    /// Where rows lie whose record id has this hash: (name, chunk, row of the block).
    pub fn record_ids(&self, hash: u64) -> Result<Vec<(NameId, u32, usize)>> {
        let bytes = self.checked(self.directory.record_ids, &self.record_ids_checked)?;
        let count = bytes.len() / RECORD_ID_BYTES;
        let entry = |at: usize| bytes.get(at * RECORD_ID_BYTES..(at + 1) * RECORD_ID_BYTES).unwrap_or(&[]);
        let wanted = hash.to_be_bytes();
        let (mut from, mut to) = (0, count);
        while from < to {
            let middle = usize::midpoint(from, to);
            if entry(middle).get(..8) < Some(wanted.as_slice()) { from = middle + 1 } else { to = middle }
        }
        let mut found = Vec::new();
        while from < count && entry(from).get(..8) == Some(wanted.as_slice()) {
            let mut reader = Reader::new(entry(from).get(8..).unwrap_or(&[]));
            if let (Some(name), Some(chunk), Some(row)) = (reader.u32(), reader.u32(), reader.u32()) {
                found.push((NameId(name), chunk, row as usize));
            }
            from += 1;
        }
        Ok(found)
    }

    /// Whether any row carries a client's record id.
    pub fn has_record_ids(&self) -> bool {
        self.directory.record_ids.length > 0
    }

    /// Checks every piece.
    pub fn check(&self) -> Vec<Error> {
        let mut found = Vec::new();
        let mut note = |result: Result<()>| found.extend(result.err());
        for (name_at, entry) in self.directory.names.iter().enumerate() {
            note(self.persons(name_at).map(drop));
            for chunk_at in 0..entry.chunks.len() {
                note(self.block(name_at, chunk_at).map(drop));
            }
        }
        for entry in &self.directory.properties {
            note(self.dictionary(PropertyId(entry.property)).map(drop));
        }
        for at in 0..self.directory.members.len() {
            note(self.members(at).map(drop));
        }
        note(self.clock().map(drop));
        note(self.may_contain(0).map(drop));
        note(self.record_ids(0).map(drop));
        found
    }

    fn checked(&self, section: Section, done: &AtomicBool) -> Result<&[u8]> {
        let bytes =
            slice(&self.bytes, section).ok_or_else(|| self.damage(section, "the piece lies outside"))?;
        if !done.load(Ordering::Relaxed) {
            if crc32fast::hash(bytes) != section.crc {
                return Err(self.damage(section, "checksum does not match"));
            }
            done.store(true, Ordering::Relaxed);
        }
        Ok(bytes)
    }

    fn damage(&self, section: Section, what: &str) -> Error {
        Error::corrupt(&self.name, section.offset, what)
    }
}

/// Where the persons of each block begin in the set of its name; what no file can hold lies behind its end.
fn starts_of(chunks: &[ChunkEntry]) -> Vec<usize> {
    let begins = chunks.iter().scan(0usize, |next, chunk| {
        let length = LowIds::length(chunk.persons as usize).unwrap_or(usize::MAX);
        Some(std::mem::replace(next, next.saturating_add(length)))
    });
    begins.collect()
}

fn slice(bytes: &[u8], section: Section) -> Option<&[u8]> {
    let from = usize::try_from(section.offset).ok()?;
    let to = from.checked_add(usize::try_from(section.length).ok()?)?;
    bytes.get(from..to)
}
