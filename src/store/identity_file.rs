//! A file of identities: a run of consecutive ids and their strings, both ways, read in place.
//!
//! ```text
//! magic          8    "WDIDS003"
//! blocks              32 strings each: crc u32, heads, bytes of the strings
//!                     heads: how many different ones u8; each a varint, stored bytes of a string x 4 + form; then which of them
//!                     each string has, in as many bits as the number of heads less one needs
//!                     form 0 as it is, 1 two lower-case hexadecimal digits a byte, 2 codes of symbols (see symbols.rs)
//! offsets             packed, where each block begins, and the end of the last
//! symbols             see symbols.rs
//! table               packed, for each bucket how many entries lie before it, and at the end all of them;
//!                     packed entries: block x 256 + 8 bits of the hash
//! footer        52    first u32, count u32, buckets u64, offsets at u64, offsets width u8, table at u64,
//!                     width of an entry u8, padding 2, crc of offsets to table u32, crc of the footer u32, magic 8
//! ```
//! The hash is SipHash-1-3 under the store's secret: identities are hostile text.
//!
//! Files of version 002 have its head in front of each string, and places instead of blocks in the table. Those of version 001 have
//! LZ4 blocks, no symbols, and a table of open addressing; what they are in full is in docs/file-format.md.

use std::borrow::Cow;
use std::hash::Hasher;

use super::manifest::known_format;
use super::symbols::Symbols;
use crate::disk::Bytes;
use crate::disk::bits::{Packed, packed_len, width_of};
use crate::disk::codec::Reader;
use crate::error::{Error, Result};
use crate::model::IdentityId;

/// First and last bytes of an identity file.
pub const IDENTITIES_MAGIC: &[u8; 8] = b"WDIDS003";
/// Those of one whose strings have each a head of its own.
const MAGIC_002: &[u8; 8] = b"WDIDS002";
/// Those of one without symbols.
const MAGIC_001: &[u8; 8] = b"WDIDS001";
/// Bytes of the footer.
pub const IDENTITIES_FOOTER_BYTES: usize = 52;
/// Strings per block: it is checked to read any of them.
pub(super) const BLOCK: u32 = 32;
/// Bytes of the strings of a block at most, 32 of 1,020 bytes and their heads.
const BLOCK_BYTES_MAX: u32 = 1 << 16;
/// How a string is stored.
const PLAIN: u32 = 0;
const HEX: u32 = 1;
const SYMBOLS: u32 = 2;

/// The secret of the hash.
pub type Key = (u64, u64);

/// Of what form a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Version {
    V001,
    V002,
    V003,
}

/// The stored strings of a block, each with its form.
type Strings<'a> = [(u32, &'a [u8]); BLOCK as usize];

/// The hash of an identity.
pub fn hash_identity(key: Key, identity: &[u8]) -> u64 {
    let mut hasher = siphasher::sip::SipHasher13::new_with_keys(key.0, key.1);
    hasher.write(identity);
    hasher.finish()
}

/// An open identity file.
pub struct IdentityFile {
    name: String,
    version: Version,
    bytes: Bytes,
    first: IdentityId,
    count: u32,
    /// Or buckets.
    slots: usize,
    offsets_at: usize,
    offsets_width: u8,
    table_at: usize,
    table_width: u8,
    /// Not in version 001.
    symbols: Option<Symbols>,
}

impl std::fmt::Debug for IdentityFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IdentityFile({}, {}+{})", self.name, self.first, self.count)
    }
}

impl IdentityFile {
    /// Opens `name`; offsets and table are checked here, each block when it is read.
    pub fn open(name: &str, bytes: Bytes) -> Result<Self> {
        let older = [(MAGIC_001, Version::V001), (MAGIC_002, Version::V002)];
        let older = older.into_iter().find(|(magic, _)| bytes.get(..8) == Some(magic.as_slice()));
        let (magic, version) = older.unwrap_or((IDENTITIES_MAGIC, Version::V003));
        known_format(name, &bytes, magic)?;
        let file = Self::parse(name, bytes, magic, version);
        file.ok_or_else(|| Error::corrupt(name, 0, "not a file of identities, or damaged"))
    }

    fn parse(name: &str, bytes: Bytes, magic: &[u8; 8], version: Version) -> Option<Self> {
        let footer_at = bytes.len().checked_sub(IDENTITIES_FOOTER_BYTES)?;
        let footer = bytes.get(footer_at..)?;
        let mut reader = Reader::new(footer);
        let (first, count) = (reader.u32()?, reader.u32()?);
        first.checked_add(count)?;
        let slots = u32::try_from(reader.u64()?).ok()? as usize;
        let (offsets_at, offsets_width) = (usize::try_from(reader.u64()?).ok()?, reader.u8()?);
        let (table_at, table_width) = (usize::try_from(reader.u64()?).ok()?, reader.u8()?);
        let padding = reader.take(2)?;
        let (body_crc, footer_crc) = (reader.u32()?, reader.u32()?);
        let sound = crc32fast::hash(footer.get(..40)?) == footer_crc
            && padding == [0, 0]
            && reader.take(8)? == magic
            && bytes.get(..8)? == magic
            && crc32fast::hash(bytes.get(offsets_at..footer_at)?) == body_crc;
        let blocks = count.div_ceil(BLOCK) as usize;
        let offsets = bytes.get(offsets_at..table_at)?;
        Packed::new(offsets, blocks + 1, offsets_width)?;
        let table = bytes.get(table_at..footer_at)?;
        let symbols = if version > Version::V001 {
            let behind = offsets.get(packed_len(blocks + 1, offsets_width)?..)?;
            buckets(table, count, slots, table_width)?;
            Some(Symbols::read(&mut Reader::new(behind))?)
        } else {
            Packed::new(table, slots, table_width)?;
            None
        };
        sound.then_some(Self {
            name: name.to_owned(),
            version,
            bytes,
            first,
            count,
            slots,
            offsets_at,
            offsets_width,
            table_at,
            table_width,
            symbols,
        })
    }

    /// Its file name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Whether it is of the version that is written now.
    pub fn is_present_version(&self) -> bool {
        self.version == Version::V003
    }

    /// Its first id.
    pub fn first(&self) -> IdentityId {
        self.first
    }

    /// Identities in it.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The id of an identity with this hash, if it is here.
    pub fn find(&self, identity: &str, hash: u64) -> Result<Option<IdentityId>> {
        if identity.is_empty() {
            // What an erased identity became is in no table, but it may be in a block that is looked through.
            return Ok(None);
        }
        let bytes = self.bytes.get(self.table_at..).unwrap_or(&[]);
        let is_it = |place: u32| self.with_string(place, |s| s == identity.as_bytes());
        let Some(symbols) = &self.symbols else { return self.find_in_slots(bytes, hash, is_it) };
        let Some((starts, entries)) = buckets(bytes, self.count, self.slots, self.table_width) else {
            return Ok(None);
        };
        let bucket = slot_of(hash, self.slots);
        let places = starts.get(bucket)..starts.get(bucket + 1).min(starts.get(self.slots));
        let alike = places.map(|at| entries.get(at as usize)).filter(|entry| entry & 0xff == hash & 0xff);
        let mut stored = None;
        for found in alike.map(|entry| (entry >> 8) as u32) {
            if self.version == Version::V002 {
                if is_it(found)? {
                    return Ok(Some(self.first + found));
                }
                continue;
            }
            // A string is stored in one way only, so none has to be unpacked.
            let (form, stored) = stored.get_or_insert_with(|| stored_form(identity.as_bytes(), symbols));
            let content = self.block(found)?;
            let strings = self.strings(&content, found).ok_or_else(|| self.damaged(found))?;
            let wanted = (*form, stored.as_ref());
            if let Some(at) = strings.iter().take(self.strings_of(found)).position(|own| *own == wanted) {
                return Ok(Some(self.first + found * BLOCK + at as u32));
            }
        }
        Ok(None)
    }

    /// The same in the table of version 001.
    fn find_in_slots(
        &self,
        bytes: &[u8],
        hash: u64,
        is_it: impl Fn(u32) -> Result<bool>,
    ) -> Result<Option<IdentityId>> {
        let Some(table) = Packed::new(bytes, self.slots, self.table_width) else { return Ok(None) };
        let mut slot = slot_of(hash, self.slots);
        for _ in 0..self.slots {
            let entry = table.get(slot);
            if entry == 0 {
                return Ok(None);
            }
            if entry & 0xff == hash & 0xff {
                let place = ((entry >> 8) as u32).wrapping_sub(1);
                if is_it(place)? {
                    return Ok(Some(self.first + place));
                }
            }
            slot = if slot + 1 == self.slots { 0 } else { slot + 1 };
        }
        Ok(None)
    }

    /// The string of an id that is here.
    pub fn get(&self, id: IdentityId) -> Result<String> {
        let text = self.with_string(id.wrapping_sub(self.first), |s| String::from_utf8(s.to_vec()))?;
        text.map_err(|_| Error::corrupt(&self.name, 0, "an identity is not UTF-8"))
    }

    /// All strings in the order of their ids.
    pub fn for_each(&self, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        for block in 0..self.count.div_ceil(BLOCK) {
            let content = self.block(block)?;
            let strings = self.strings(&content, block).ok_or_else(|| self.damaged(block))?;
            for stored in strings.iter().take(self.strings_of(block)) {
                each(&self.unpacked(*stored, block)?)?;
            }
        }
        Ok(())
    }

    fn with_string<T>(&self, place: u32, look: impl FnOnce(&[u8]) -> T) -> Result<T> {
        if place >= self.count {
            return Err(Error::corrupt(&self.name, 0, format!("no identity {place}")));
        }
        let (block, at) = (place / BLOCK, (place % BLOCK) as usize);
        let content = self.block(block)?;
        let stored = self.strings(&content, block).and_then(|strings| strings.get(at).copied());
        Ok(look(&self.unpacked(stored.ok_or_else(|| self.damaged(block))?, block)?))
    }

    /// How many strings a block has.
    fn strings_of(&self, block: u32) -> usize {
        self.count.saturating_sub(block.saturating_mul(BLOCK)).min(BLOCK) as usize
    }

    /// The strings of a block as they are stored; `None` if its content cannot hold them.
    fn strings<'a>(&self, content: &'a [u8], block: u32) -> Option<Strings<'a>> {
        let mut strings: Strings<'a> = [(PLAIN, &[]); BLOCK as usize];
        let (count, mut reader) = (self.strings_of(block), Reader::new(content));
        if self.version < Version::V003 {
            let bits = if self.version == Version::V001 { 1 } else { 2 };
            for slot in strings.iter_mut().take(count) {
                let head = reader.varint_u32()?;
                *slot = (head & ((1 << bits) - 1), reader.take((head >> bits) as usize)?);
            }
            return Some(strings);
        }
        let different = reader.u8()?;
        let mut heads = [0; BLOCK as usize];
        for head in heads.get_mut(..usize::from(different))? {
            *head = reader.varint_u32()?;
        }
        let width = usize::from(width_of(u64::from(different.saturating_sub(1))));
        let which = reader.take((count * width).div_ceil(8))?;
        for (at, slot) in strings.iter_mut().enumerate().take(count) {
            let bit = at * width;
            let pair = which.get(bit / 8).map(|low| (*low, which.get(bit / 8 + 1).copied().unwrap_or(0)));
            let pair = pair.map_or(0, |(low, high)| u16::from_le_bytes([low, high]));
            let head = heads.get(usize::from(pair >> (bit % 8)) & ((1 << width) - 1))?;
            *slot = (head & 3, reader.take((head >> 2) as usize)?);
        }
        Some(strings)
    }

    fn unpacked(&self, (form, stored): (u32, &[u8]), block: u32) -> Result<Vec<u8>> {
        let string = match form {
            PLAIN => Some(stored.to_vec()),
            HEX => Some(to_hex(stored)),
            SYMBOLS => self.symbols.as_ref().and_then(|symbols| symbols.decode(stored)),
            _ => None,
        };
        string.ok_or_else(|| self.damaged(block))
    }

    /// What a block holds, checked.
    fn block(&self, block: u32) -> Result<Cow<'_, [u8]>> {
        let unpack = || {
            let bytes = self.bytes.get(self.offsets_at..self.table_at)?;
            let offsets = Packed::new(bytes, self.count.div_ceil(BLOCK) as usize + 1, self.offsets_width)?;
            let (from, to) = (offsets.get(block as usize) as usize, offsets.get(block as usize + 1) as usize);
            let mut reader = Reader::new(self.bytes.get(from..to)?);
            let crc = reader.u32()?;
            let content = self.bytes.get(from + 4..to)?;
            if crc32fast::hash(content) != crc {
                return None;
            }
            if self.symbols.is_some() {
                return Some(Cow::Borrowed(content));
            }
            match content.split_first()? {
                (0, plain) => Some(Cow::Borrowed(plain)),
                (1, packed) => {
                    let length = packed.first_chunk::<4>().map(|length| u32::from_le_bytes(*length))?;
                    let unpacked = (length <= BLOCK_BYTES_MAX)
                        .then(|| lz4_flex::block::decompress_size_prepended(packed).ok())?;
                    unpacked.map(Cow::Owned)
                }
                _ => None,
            }
        };
        unpack().ok_or_else(|| self.damaged(block))
    }

    fn damaged(&self, block: u32) -> Error {
        let bytes = self.bytes.get(self.offsets_at..self.table_at).unwrap_or(&[]);
        let offsets = Packed::new(bytes, self.count.div_ceil(BLOCK) as usize + 1, self.offsets_width);
        let at = offsets.map_or(0, |offsets| offsets.get(block as usize));
        Error::corrupt(&self.name, at, "an identity block does not match its checksum")
    }
}

/// The slot or bucket of a hash.
pub(super) fn slot_of(hash: u64, slots: usize) -> usize {
    (((hash >> 32) * slots as u64) >> 32) as usize
}

/// The two parts of a table: how many entries lie before each bucket, and the entries; `None` if `bytes` cannot hold them.
fn buckets(bytes: &[u8], count: u32, buckets: usize, width: u8) -> Option<(Packed<'_>, Packed<'_>)> {
    let (starts, width_of_starts) = (buckets.checked_add(1)?, width_of(u64::from(count)));
    let entries = bytes.get(packed_len(starts, width_of_starts)?..)?;
    let starts = Packed::new(bytes, starts, width_of_starts)?;
    Some((starts, Packed::new(entries, starts.get(buckets) as usize, width)?))
}

/// How a string is stored: its form, and bytes. A string has one form only, so equal strings are equal bytes.
pub(super) fn stored_form<'a>(string: &'a [u8], symbols: &Symbols) -> (u32, Cow<'a, [u8]>) {
    if let Some(packed) = from_hex(string) {
        return (HEX, Cow::Owned(packed));
    }
    let mut codes = Vec::new();
    symbols.encode(string, &mut codes);
    if codes.len() < string.len() { (SYMBOLS, Cow::Owned(codes)) } else { (PLAIN, Cow::Borrowed(string)) }
}

/// Two lower-case hexadecimal digits a byte, if the text is nothing else, and eight digits at least.
pub(super) fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_chunks::<2>();
    if pairs.len() < 4 || !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[a, b]| Some(digit(*a)? << 4 | digit(*b)?)).collect()
}

fn to_hex(bytes: &[u8]) -> Vec<u8> {
    let digit = |d: u8| if d < 10 { b'0' + d } else { b'a' + d - 10 };
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::super::identity_writer::IdentityFileWriter;
    use super::*;
    use crate::disk::RealVfs;
    use crate::disk::Vfs;

    #[test]
    fn what_was_erased_is_not_found_by_an_empty_name() {
        let dir = tempfile::tempdir().unwrap();
        let vfs = RealVfs::new(dir.path()).unwrap();
        for at in 0..200 {
            let (key, name) = ((at, 7), format!("ids-{at}"));
            let mut writer = IdentityFileWriter::create(&vfs, &name, key, 100).unwrap();
            let names: Vec<String> =
                (0..20).map(|n| if n % 5 == 1 { String::new() } else { format!("p{n}") }).collect();
            names.iter().for_each(|name| writer.add(name.as_bytes()).unwrap());
            writer.finish().unwrap();
            let file = IdentityFile::open(&name, vfs.open(&name).unwrap()).unwrap();
            for (id, name) in (100..).zip(&names) {
                let expected = (!name.is_empty()).then_some(id);
                assert_eq!(file.find(name, hash_identity(key, name.as_bytes())).unwrap(), expected);
                assert_eq!(&file.get(id).unwrap(), name);
            }
        }
    }
}
