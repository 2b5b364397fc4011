//! The write-ahead log: one file of frames, appended and synced by the writer thread. A log is never appended to after a restart
//! and never used again; what a crash tore off its end was never acknowledged.
//!
//! ```text
//! 0   magic            8   "WDWAL001"
//! 8   number           u64  of the file, as in its name
//! 16  store            u64  the store's id: a log of another store cannot pass
//! 24  first sequence   u64  sequence number of the first frame
//! 32  crc              u32  CRC-32 of the bytes before
//! 36  frames                see disk::frame, sequence numbers rising by one
//! ```

use std::ops::Range;

use super::manifest::{COUNTED_MAX, known_format, number_of};
use crate::disk::frame::{FrameAt, read_frame, write_frame};
use crate::disk::{Vfs, WriteFile};
use crate::error::{Error, Result};
use crate::limits;

/// First bytes of a log.
pub const WAL_MAGIC: &[u8; 8] = b"WDWAL001";
/// Bytes before the first frame.
pub const WAL_HEADER_BYTES: usize = 36;

/// The name of log `number`.
pub fn wal_name(number: u64) -> String {
    format!("wal-{number:012}")
}

/// The number of a log by its name.
pub fn parse_wal_name(name: &str) -> Option<u64> {
    number_of(name, "wal-")
}

/// A log being written.
pub struct WalWriter {
    file: Box<dyn WriteFile>,
    bytes: u64,
    next_sequence: u64,
    buffer: Vec<u8>,
    torn: bool,
}

impl WalWriter {
    /// Begins a log, its header synced. The caller makes the name durable before the first append.
    pub fn create(vfs: &dyn Vfs, number: u64, store_id: u64, first_sequence: u64) -> Result<Self> {
        let mut header = WAL_MAGIC.to_vec();
        for field in [number, store_id, first_sequence] {
            header.extend_from_slice(&field.to_le_bytes());
        }
        header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
        let mut file = vfs.create(&wal_name(number))?;
        file.write_all(&header)?;
        file.sync()?;
        Ok(Self {
            file,
            bytes: header.len() as u64,
            next_sequence: first_sequence,
            buffer: Vec::new(),
            torn: false,
        })
    }

    /// Appends one frame; durable after [`WalWriter::sync`]. If that fails, nothing can be appended any more: behind a part of a frame
    /// nothing would be found. The next log begins with the sequence number of the frame that failed.
    pub fn append(&mut self, payload: &[u8]) -> Result<()> {
        assert!(!self.torn, "nothing is appended behind a part of a frame");
        self.buffer.clear();
        write_frame(self.next_sequence, payload, &mut self.buffer);
        self.torn = true;
        self.file.write_all(&self.buffer)?;
        self.torn = false;
        self.bytes += self.buffer.len() as u64;
        self.next_sequence += 1;
        Ok(())
    }

    /// Returns once everything appended survives a power cut.
    pub fn sync(&mut self) -> Result<()> {
        self.file.sync()
    }

    /// Whether a write failed, so that another log has to be begun.
    pub fn is_torn(&self) -> bool {
        self.torn
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The sequence number of the next frame.
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }
}

/// What a log holds.
#[derive(Debug, PartialEq, Eq)]
pub struct WalContent {
    /// The sequence number of the first frame.
    pub first_sequence: u64,
    /// Where the payloads of the sound frames are.
    pub payloads: Vec<Range<usize>>,
    /// The sequence number behind the last sound frame.
    pub next_sequence: u64,
    /// Bytes behind it: of a write that was cut short.
    pub torn_bytes: u64,
}

/// Reads a log up to the first frame that is not sound. `None` if a crash came before its header was
/// synced, so that it never held anything. A sound frame behind a broken one is damage, and an error.
pub fn read_wal(name: &str, bytes: &[u8], number: u64, store_id: u64) -> Result<Option<WalContent>> {
    let Some(first_sequence) = read_header(name, bytes, number, store_id)? else { return Ok(None) };
    let mut content =
        WalContent { first_sequence, payloads: Vec::new(), next_sequence: first_sequence, torn_bytes: 0 };
    let mut at = WAL_HEADER_BYTES;
    loop {
        match read_frame(bytes, at, content.next_sequence, limits::FRAME_BYTES_MAX) {
            FrameAt::End => return Ok(Some(content)),
            FrameAt::Frame { payload, next } => {
                content.payloads.push(next - payload.len()..next);
                content.next_sequence += 1;
                at = next;
            }
            FrameAt::Broken => break,
        }
    }
    if let Some(later) = find_later(bytes, at, content.next_sequence) {
        let what = format!("write {} is damaged, but a later one at {later} is sound", content.next_sequence);
        return Err(Error::corrupt(name, at as u64, what));
    }
    content.torn_bytes = (bytes.len() - at) as u64;
    Ok(Some(content))
}

fn read_header(name: &str, bytes: &[u8], number: u64, store_id: u64) -> Result<Option<u64>> {
    let field =
        |at: usize| bytes.get(at..at + 8).and_then(|b| b.first_chunk()).map(|b| u64::from_le_bytes(*b));
    let crc = bytes.get(32..36).and_then(|b| b.first_chunk()).map(|b| u32::from_le_bytes(*b));
    let sound = bytes.get(..32).map(crc32fast::hash) == crc && crc.is_some();
    if !sound {
        // The header is synced before the first frame is written, so a log with a torn header is no longer than it.
        if bytes.len() <= WAL_HEADER_BYTES {
            return Ok(None);
        }
        return Err(Error::corrupt(name, 0, "the header does not match its checksum"));
    }
    if bytes.get(..8) != Some(WAL_MAGIC) {
        known_format(name, bytes, WAL_MAGIC)?;
        return Err(Error::corrupt(name, 0, "not a log"));
    }
    if (field(8), field(16)) != (Some(number), Some(store_id)) {
        return Err(Error::corrupt(name, 8, "a log of another store or under another name"));
    }
    match field(24) {
        Some(first) if first > COUNTED_MAX => {
            Err(Error::corrupt(name, 24, format!("no write has the number {first}")))
        }
        first => Ok(first),
    }
}

/// The offset of a sound frame behind a broken one, with one of the sequence numbers that could follow.
fn find_later(bytes: &[u8], broken: usize, sequence: u64) -> Option<usize> {
    let last = sequence.saturating_add(1 << 20);
    (broken + 1..bytes.len().saturating_sub(16)).find(|at| {
        let stored =
            bytes.get(at + 8..at + 16).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b));
        let plausible = stored > sequence && stored <= last;
        plausible && matches!(read_frame(bytes, *at, stored, limits::FRAME_BYTES_MAX), FrameAt::Frame { .. })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealVfs;

    fn log() -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let vfs = RealVfs::new(dir.path()).unwrap();
        let mut wal = WalWriter::create(&vfs, 7, 99, 40).unwrap();
        for payload in ["one", "", "three"] {
            wal.append(payload.as_bytes()).unwrap();
        }
        wal.sync().unwrap();
        assert_eq!(wal.next_sequence(), 43);
        let bytes = vfs.open("wal-000000000007").unwrap().to_vec();
        assert_eq!(bytes.len() as u64, wal.bytes());
        bytes
    }

    #[test]
    fn writes_that_cannot_be_counted_are_damage() {
        let dir = tempfile::tempdir().unwrap();
        let vfs = RealVfs::new(dir.path()).unwrap();
        for first in [1 << 40, u64::MAX] {
            let number = first >> 4;
            WalWriter::create(&vfs, number, 99, first).unwrap();
            let mut bytes = vfs.open(&wal_name(number)).unwrap().to_vec();
            write_frame(first, b"one", &mut bytes);
            let found = read_wal("wal", &bytes, number, 99).map(|content| content.unwrap().next_sequence);
            assert_eq!(found.ok(), (first < u64::MAX).then(|| first + 1));
        }
    }

    fn payloads<'a>(bytes: &'a [u8], content: &WalContent) -> Vec<&'a [u8]> {
        content.payloads.iter().map(|r| &bytes[r.clone()]).collect()
    }

    #[test]
    fn a_cut_log_gives_the_whole_frames_before_the_cut() {
        let bytes = log();
        for cut in 0..=bytes.len() {
            let part = &bytes[..cut];
            match read_wal("wal", part, 7, 99).unwrap() {
                None => assert!(cut < WAL_HEADER_BYTES),
                Some(content) => {
                    let all: [&[u8]; 3] = [b"one", b"", b"three"];
                    let found = payloads(part, &content);
                    assert_eq!(found, all[..found.len()]);
                    let sound = content.payloads.last().map_or(WAL_HEADER_BYTES, |r| r.end);
                    assert_eq!(sound as u64 + content.torn_bytes, cut as u64);
                }
            }
        }
    }

    #[test]
    fn a_flipped_bit_never_gives_another_payload_and_damage_before_a_sound_frame_is_an_error() {
        let bytes = log();
        let all: [&[u8]; 3] = [b"one", b"", b"three"];
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            match read_wal("wal", &bad, 7, 99) {
                Err(_) => {}
                Ok(content) => {
                    let content = content.unwrap();
                    let found = payloads(&bad, &content);
                    assert_eq!(found, all[..2], "only the last frame may pass for torn, bit {bit}");
                }
            }
        }
        assert!(read_wal("wal", &bytes, 8, 99).is_err() && read_wal("wal", &bytes, 7, 98).is_err());
    }
}
