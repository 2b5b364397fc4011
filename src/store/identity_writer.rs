//! Writes a file of identities, string by string; see identity_file.rs for what is in it.

use super::identity_file::{
    BLOCK, IDENTITIES_FOOTER_BYTES, IDENTITIES_MAGIC, Key, from_hex, hash_identity, slot_of, stored_form,
};
use super::symbols::Symbols;
use crate::disk::bits::{pack, width_of};
use crate::disk::codec::put_varint;
use crate::disk::{Vfs, WriteFile};
use crate::error::Result;
use crate::model::IdentityId;

/// Strings from which symbols are chosen.
const SAMPLE: usize = 4096;
/// Entries of a bucket, on average: all are looked at for one that is not there.
const BUCKET: usize = 16;

/// An identity file being written.
pub struct IdentityFileWriter {
    file: Box<dyn WriteFile>,
    key: Key,
    first: IdentityId,
    buffer: Vec<u8>,
    written: u64,
    /// Strings that came before there were symbols, one after the other, and the bytes of each.
    sample: (Vec<u8>, Vec<usize>),
    symbols: Option<Symbols>,
    /// Strings so far.
    count: u32,
    /// Of the strings of the block their heads, and their bytes.
    heads: Vec<u32>,
    block: Vec<u8>,
    offsets: Vec<u64>,
    /// Of each string its hash, and its place; not of those that were erased, which are not found.
    hashes: Vec<(u64, u32)>,
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
            sample: (Vec::new(), Vec::new()),
            symbols: None,
            count: 0,
            heads: Vec::new(),
            block: Vec::new(),
            offsets: Vec::new(),
            hashes: Vec::new(),
        })
    }

    /// Adds the string of the next id; an empty one if it was erased.
    pub fn add(&mut self, identity: &[u8]) -> Result<()> {
        if self.symbols.is_some() {
            return self.put(identity);
        }
        let (bytes, lengths) = &mut self.sample;
        bytes.extend_from_slice(identity);
        lengths.push(identity.len());
        if lengths.len() == SAMPLE { self.choose_symbols() } else { Ok(()) }
    }

    /// Chooses symbols and writes the strings that waited for them.
    fn choose_symbols(&mut self) -> Result<()> {
        let (bytes, lengths) = std::mem::take(&mut self.sample);
        let strings = lengths.iter().scan(bytes.as_slice(), |rest, length| {
            let (string, behind) = rest.split_at_checked(*length)?;
            *rest = behind;
            Some(string)
        });
        let strings: Vec<&[u8]> = strings.collect();
        let sample: Vec<&[u8]> =
            strings.iter().copied().filter(|string| from_hex(string).is_none()).collect();
        self.symbols = Some(Symbols::of(&sample));
        strings.into_iter().try_for_each(|string| self.put(string))
    }

    /// Writes the next string.
    fn put(&mut self, identity: &[u8]) -> Result<()> {
        if !identity.is_empty() {
            self.hashes.push((hash_identity(self.key, identity), self.count));
        }
        self.count += 1;
        let Some(symbols) = &self.symbols else { return Ok(()) };
        let (form, stored) = stored_form(identity, symbols);
        self.heads.push((stored.len() as u32) << 2 | form);
        self.block.extend_from_slice(&stored);
        if self.count.is_multiple_of(BLOCK) { self.end_block() } else { Ok(()) }
    }

    fn end_block(&mut self) -> Result<()> {
        if self.heads.is_empty() {
            return Ok(());
        }
        let mut different = self.heads.clone();
        different.sort_unstable();
        different.dedup();
        let mut content = vec![different.len() as u8];
        different.iter().for_each(|head| put_varint(u128::from(*head), &mut content));
        let width = width_of(different.len() as u64 - 1);
        let bits_at = content.len();
        content.resize(bits_at + (self.heads.len() * usize::from(width)).div_ceil(8), 0);
        for (at, head) in self.heads.drain(..).enumerate() {
            let bit = at * usize::from(width);
            let pair = (different.partition_point(|other| *other < head) as u16) << (bit % 8);
            let bytes = content.iter_mut().skip(bits_at + bit / 8);
            bytes.zip(pair.to_le_bytes()).for_each(|(byte, value)| *byte |= value);
        }
        content.append(&mut self.block);
        self.offsets.push(self.written + self.buffer.len() as u64);
        self.buffer.extend_from_slice(&crc32fast::hash(&content).to_le_bytes());
        self.buffer.extend_from_slice(&content);
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
        if self.symbols.is_none() {
            self.choose_symbols()?;
        }
        self.end_block()?;
        self.flush()?;
        let offsets_at = self.written;
        self.offsets.push(offsets_at);
        let offsets_width = width_of(offsets_at);
        let mut body = Vec::new();
        pack(self.offsets.iter().copied(), offsets_width, &mut body);
        if let Some(symbols) = &self.symbols {
            symbols.write(&mut body);
        }
        let table_at = offsets_at + body.len() as u64;
        let buckets = self.hashes.len().div_ceil(BUCKET).max(1);
        let entry_width = self.put_table(buckets, &mut body);
        let mut footer = Vec::with_capacity(IDENTITIES_FOOTER_BYTES);
        footer.extend_from_slice(&self.first.to_le_bytes());
        footer.extend_from_slice(&self.count.to_le_bytes());
        footer.extend_from_slice(&(buckets as u64).to_le_bytes());
        footer.extend_from_slice(&offsets_at.to_le_bytes());
        footer.push(offsets_width);
        footer.extend_from_slice(&table_at.to_le_bytes());
        footer.extend_from_slice(&[entry_width, 0, 0]);
        footer.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        footer.extend_from_slice(&crc32fast::hash(&footer).to_le_bytes());
        footer.extend_from_slice(IDENTITIES_MAGIC);
        body.extend_from_slice(&footer);
        self.file.write_all(&body)?;
        self.file.sync()?;
        Ok(offsets_at + body.len() as u64)
    }

    /// Appends the table; how wide its entries are.
    fn put_table(&self, buckets: usize, out: &mut Vec<u8>) -> u8 {
        // Sorted by bucket in one pass, as places in an array of their own.
        let mut starts = vec![0u32; buckets + 1];
        for (hash, _) in &self.hashes {
            starts.get_mut(slot_of(*hash, buckets) + 1).into_iter().for_each(|count| *count += 1);
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        pack(starts.iter().map(|start| u64::from(*start)), width_of(u64::from(self.count)), out);
        let mut entries = vec![0u64; self.hashes.len()];
        for (hash, place) in &self.hashes {
            let Some(next) = starts.get_mut(slot_of(*hash, buckets)) else { continue };
            if let Some(entry) = entries.get_mut(*next as usize) {
                *entry = u64::from(*place / BLOCK) << 8 | hash & 0xff;
            }
            *next += 1;
        }
        let width = width_of(u64::from(self.count / BLOCK) << 8 | 0xff);
        pack(entries.into_iter(), width, out);
        width
    }
}
