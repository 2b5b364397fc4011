//! A file of identities: a run of consecutive ids and their strings, both ways, read in place.
//!
//! ```text
//! magic          8    "WDIDS001"
//! blocks              32 strings each: crc u32, packing u8 (0 plain, 1 LZ4 behind a u32 length), strings
//!                     a string: varint of (bytes x 2 + hex), bytes; hex means two lower-case digits a byte
//! offsets             packed, where each block begins, and the end of the last
//! table               packed, open addressing: 0 = free, else (place + 1) x 256 + 8 bits of the hash
//! footer        52    first u32, count u32, slots u64, offsets at u64, offsets width u8, table at u64,
//!                     table width u8, padding 2, crc of offsets and table u32, crc of the footer u32, magic 8
//! ```
//! The hash is SipHash-1-3 under the store's secret: identities are hostile text.

use std::hash::Hasher;

use super::manifest::known_format;
use crate::disk::bits::{Packed, pack, packed_len, width_of};
use crate::disk::codec::{Reader, put_varint};
use crate::disk::{Bytes, Vfs, WriteFile};
use crate::error::{Error, Result};
use crate::model::IdentityId;

/// First and last bytes of an identity file.
pub const IDENTITIES_MAGIC: &[u8; 8] = b"WDIDS001";
/// Bytes of the footer.
pub const IDENTITIES_FOOTER_BYTES: usize = 52;
/// Strings per block: one is unpacked to read any of its strings.
const BLOCK: u32 = 32;

/// The secret of the hash.
pub type Key = (u64, u64);

/// The hash of an identity.
pub fn hash_identity(key: Key, identity: &str) -> u64 {
    let mut hasher = siphasher::sip::SipHasher13::new_with_keys(key.0, key.1);
    hasher.write(identity.as_bytes());
    hasher.finish()
}

/// An open identity file.
pub struct IdentityFile {
    name: String,
    bytes: Bytes,
    first: IdentityId,
    count: u32,
    slots: usize,
    offsets_at: usize,
    offsets_width: u8,
    table_at: usize,
    table_width: u8,
}

impl std::fmt::Debug for IdentityFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IdentityFile({}, {}+{})", self.name, self.first, self.count)
    }
}

impl IdentityFile {
    /// Opens `name`; offsets and table are checked here, each block when it is read.
    pub fn open(name: &str, bytes: Bytes) -> Result<Self> {
        known_format(name, &bytes, IDENTITIES_MAGIC)?;
        let file = Self::parse(name, bytes);
        file.ok_or_else(|| Error::corrupt(name, 0, "not a file of identities, or damaged"))
    }

    fn parse(name: &str, bytes: Bytes) -> Option<Self> {
        let footer_at = bytes.len().checked_sub(IDENTITIES_FOOTER_BYTES)?;
        let footer = bytes.get(footer_at..)?;
        let mut reader = Reader::new(footer);
        let (first, count, slots) = (reader.u32()?, reader.u32()?, usize::try_from(reader.u64()?).ok()?);
        let (offsets_at, offsets_width) = (usize::try_from(reader.u64()?).ok()?, reader.u8()?);
        let (table_at, table_width) = (usize::try_from(reader.u64()?).ok()?, reader.u8()?);
        let padding = reader.take(2)?;
        let (body_crc, footer_crc) = (reader.u32()?, reader.u32()?);
        let sound = crc32fast::hash(footer.get(..40)?) == footer_crc
            && padding == [0, 0]
            && reader.take(8)? == IDENTITIES_MAGIC
            && bytes.get(..8)? == IDENTITIES_MAGIC
            && crc32fast::hash(bytes.get(offsets_at..footer_at)?) == body_crc;
        let blocks = count.div_ceil(BLOCK) as usize;
        Packed::new(bytes.get(offsets_at..table_at)?, blocks + 1, offsets_width)?;
        Packed::new(bytes.get(table_at..footer_at)?, slots, table_width)?;
        let name = name.to_owned();
        sound.then_some(Self {
            name,
            bytes,
            first,
            count,
            slots,
            offsets_at,
            offsets_width,
            table_at,
            table_width,
        })
    }

    /// Its file name.
    pub fn name(&self) -> &str {
        &self.name
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
        let bytes = self.bytes.get(self.table_at..).unwrap_or(&[]);
        let Some(table) = Packed::new(bytes, self.slots, self.table_width) else { return Ok(None) };
        let mut slot = slot_of(hash, self.slots);
        for _ in 0..self.slots {
            let entry = table.get(slot);
            if entry == 0 {
                return Ok(None);
            }
            if entry & 0xff == hash & 0xff {
                let place = (entry >> 8) as u32 - 1;
                if self.with_string(place, |s| s == identity.as_bytes())? {
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
            let unpacked = self.block(block)?;
            let mut reader = Reader::new(&unpacked);
            for _ in 0..BLOCK.min(self.count - block * BLOCK) {
                each(&self.next_string(&mut reader)?)?;
            }
        }
        Ok(())
    }

    fn with_string<T>(&self, place: u32, look: impl FnOnce(&[u8]) -> T) -> Result<T> {
        if place >= self.count {
            return Err(Error::corrupt(&self.name, 0, format!("no identity {place}")));
        }
        let unpacked = self.block(place / BLOCK)?;
        let mut reader = Reader::new(&unpacked);
        for _ in 0..place % BLOCK {
            let head = reader.varint_u32().and_then(|head| reader.take(stored_bytes(head)));
            head.ok_or_else(|| self.damaged(place / BLOCK))?;
        }
        Ok(look(&self.next_string(&mut reader)?))
    }

    fn next_string(&self, reader: &mut Reader<'_>) -> Result<Vec<u8>> {
        let read = |reader: &mut Reader<'_>| {
            let head = reader.varint_u32()?;
            let stored = reader.take(stored_bytes(head))?;
            Some(if head & 1 == 1 { to_hex(stored) } else { stored.to_vec() })
        };
        read(reader).ok_or_else(|| self.damaged(0))
    }

    fn block(&self, block: u32) -> Result<Vec<u8>> {
        let unpack = || {
            let bytes = self.bytes.get(self.offsets_at..self.table_at)?;
            let offsets = Packed::new(bytes, self.count.div_ceil(BLOCK) as usize + 1, self.offsets_width)?;
            let (from, to) = (offsets.get(block as usize) as usize, offsets.get(block as usize + 1) as usize);
            let mut reader = Reader::new(self.bytes.get(from..to)?);
            let crc = reader.u32()?;
            let packed = self.bytes.get(from + 4..to)?;
            if crc32fast::hash(packed) != crc {
                return None;
            }
            match packed.split_first()? {
                (0, plain) => Some(plain.to_vec()),
                // The length was checked with the block, and a block is at most 32 strings of 1,020 bytes.
                (1, packed) => lz4_flex::block::decompress_size_prepended(packed).ok(),
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

fn slot_of(hash: u64, slots: usize) -> usize {
    (((hash >> 32) * slots as u64) >> 32) as usize
}

fn stored_bytes(head: u32) -> usize {
    (head >> 1) as usize
}

fn to_hex(bytes: &[u8]) -> Vec<u8> {
    let digit = |d: u8| if d < 10 { b'0' + d } else { b'a' + d - 10 };
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}

fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
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

/// Writes an identity file, string by string.
pub struct IdentityFileWriter {
    file: Box<dyn WriteFile>,
    key: Key,
    first: IdentityId,
    buffer: Vec<u8>,
    written: u64,
    block: Vec<u8>,
    offsets: Vec<u64>,
    /// `None` for an identity that was erased: it is not found.
    hashes: Vec<Option<u64>>,
}

impl IdentityFileWriter {
    /// Begins the file `name` with the id `first`.
    pub fn create(vfs: &dyn Vfs, name: &str, key: Key, first: IdentityId) -> Result<Self> {
        Ok(Self {
            file: vfs.create(name)?,
            key,
            first,
            buffer: IDENTITIES_MAGIC.to_vec(),
            written: 0,
            block: Vec::new(),
            offsets: Vec::new(),
            hashes: Vec::new(),
        })
    }

    /// Adds the string of the next id; an empty one if it was erased.
    pub fn add(&mut self, identity: &[u8]) -> Result<()> {
        let mut hasher = siphasher::sip::SipHasher13::new_with_keys(self.key.0, self.key.1);
        hasher.write(identity);
        self.hashes.push((!identity.is_empty()).then(|| hasher.finish()));
        match from_hex(identity) {
            Some(packed) => {
                put_varint(packed.len() as u128 * 2 + 1, &mut self.block);
                self.block.extend_from_slice(&packed);
            }
            None => {
                put_varint(identity.len() as u128 * 2, &mut self.block);
                self.block.extend_from_slice(identity);
            }
        }
        if (self.hashes.len() as u32).is_multiple_of(BLOCK) { self.end_block() } else { Ok(()) }
    }

    fn end_block(&mut self) -> Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let packed = lz4_flex::block::compress_prepend_size(&self.block);
        let mut bytes = vec![0, 0, 0, 0];
        if packed.len() < self.block.len() {
            bytes.push(1);
            bytes.extend_from_slice(&packed);
        } else {
            bytes.push(0);
            bytes.extend_from_slice(&self.block);
        }
        let crc = crc32fast::hash(bytes.get(4..).unwrap_or(&[])).to_le_bytes();
        bytes.iter_mut().zip(crc).for_each(|(slot, byte)| *slot = byte);
        self.offsets.push(self.written + self.buffer.len() as u64);
        self.block.clear();
        self.buffer.extend_from_slice(&bytes);
        if self.buffer.len() >= 1 << 20 { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.file.write_all(&self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Writes the rest and syncs the file; its bytes.
    pub fn finish(mut self) -> Result<u64> {
        self.end_block()?;
        self.flush()?;
        let offsets_at = self.written;
        self.offsets.push(offsets_at);
        let offsets_width = width_of(offsets_at);
        let mut body = Vec::new();
        pack(self.offsets.iter().copied(), offsets_width, &mut body);
        let table_at = offsets_at + body.len() as u64;
        let count = self.hashes.len();
        // Four of five slots are taken, so a search ends after a few steps.
        let slots = (count + count / 4).max(1);
        let mut table = vec![0u64; slots];
        for (place, hash) in self.hashes.iter().enumerate() {
            let Some(hash) = hash else { continue };
            let mut slot = slot_of(*hash, slots);
            while table.get(slot).is_some_and(|entry| *entry != 0) {
                slot = if slot + 1 == slots { 0 } else { slot + 1 };
            }
            if let Some(entry) = table.get_mut(slot) {
                *entry = (place as u64 + 1) << 8 | hash & 0xff;
            }
        }
        let table_width = width_of((count as u64) << 8 | 0xff);
        debug_assert!(packed_len(slots, table_width).is_some());
        pack(table.into_iter(), table_width, &mut body);
        let mut footer = Vec::with_capacity(IDENTITIES_FOOTER_BYTES);
        footer.extend_from_slice(&self.first.to_le_bytes());
        footer.extend_from_slice(&(count as u32).to_le_bytes());
        footer.extend_from_slice(&(slots as u64).to_le_bytes());
        footer.extend_from_slice(&offsets_at.to_le_bytes());
        footer.push(offsets_width);
        footer.extend_from_slice(&table_at.to_le_bytes());
        footer.extend_from_slice(&[table_width, 0, 0]);
        footer.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        footer.extend_from_slice(&crc32fast::hash(&footer).to_le_bytes());
        footer.extend_from_slice(IDENTITIES_MAGIC);
        body.extend_from_slice(&footer);
        self.file.write_all(&body)?;
        self.file.sync()?;
        Ok(offsets_at + body.len() as u64)
    }
}
