//! Frames: the unit of the write-ahead log and the envelope of the manifest and the checkpoint.
//!
//! ```text
//! 0  length    u32  bytes of the payload, at most FRAME_BYTES_MAX
//! 4  crc       u32  CRC-32 of length, sequence and payload
//! 8  sequence  u64  as the caller counts them: old bytes in a reused block cannot pass for new ones
//! 16 payload
//! ```
//! All integers are little-endian.

use crate::error::{Error, ErrorKind, Result};

/// Bytes before the payload.
pub const FRAME_HEADER_BYTES: usize = 16;

/// Appends one frame to `out`.
pub fn write_frame(sequence: u64, payload: &[u8], out: &mut Vec<u8>) {
    let length = (payload.len() as u32).to_le_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&checksum(length, sequence, payload).to_le_bytes());
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(payload);
}

fn checksum(length: [u8; 4], sequence: u64, payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&length);
    crc.update(&sequence.to_le_bytes());
    crc.update(payload);
    crc.finalize()
}

/// What stands at an offset of a file of frames.
#[derive(Debug, PartialEq, Eq)]
pub enum FrameAt<'a> {
    /// A whole, sound frame, and the offset behind it.
    Frame {
        /// Its payload.
        payload: &'a [u8],
        /// The offset behind it.
        next: usize,
    },
    /// The end of the file, exactly.
    End,
    /// Bytes that are no frame with this sequence: torn, or damaged.
    Broken,
}

/// Reads the frame at `offset`, which must carry `sequence`.
pub fn read_frame(bytes: &[u8], offset: usize, sequence: u64, length_max: u32) -> FrameAt<'_> {
    let Some(rest) = bytes.get(offset..) else { return FrameAt::Broken };
    if rest.is_empty() {
        return FrameAt::End;
    }
    let (Some(length), Some(crc), Some(stored)) = (
        rest.first_chunk::<4>(),
        rest.get(4..8).and_then(|b| b.first_chunk::<4>()),
        rest.get(8..16).and_then(|b| b.first_chunk::<8>()),
    ) else {
        return FrameAt::Broken;
    };
    let length_bytes = *length;
    let length = u32::from_le_bytes(length_bytes);
    if length > length_max || u64::from_le_bytes(*stored) != sequence {
        return FrameAt::Broken;
    }
    let end = FRAME_HEADER_BYTES + length as usize;
    match rest.get(FRAME_HEADER_BYTES..end) {
        Some(payload) if checksum(length_bytes, sequence, payload) == u32::from_le_bytes(*crc) => {
            FrameAt::Frame { payload, next: offset + end }
        }
        _ => FrameAt::Broken,
    }
}

/// The payload of a file that is one frame after an 8-byte magic, as the manifest and the checkpoint are.
pub fn read_single<'a>(file: &str, bytes: &'a [u8], magic: &[u8; 8]) -> Result<&'a [u8]> {
    if bytes.get(..8) != Some(magic.as_slice()) {
        return Err(Error::corrupt(file, 0, "not the magic of this kind of file and version"));
    }
    match read_frame(bytes, 8, 0, u32::MAX) {
        FrameAt::Frame { payload, next } if next == bytes.len() => Ok(payload),
        _ => Err(Error::corrupt(file, 8, "checksum or length does not match")),
    }
}

/// A file that is one frame after an 8-byte magic. An error if its length does not fit in the frame's: nobody could read it again.
pub fn write_single(magic: &[u8; 8], payload: &[u8]) -> Result<Vec<u8>> {
    if u32::try_from(payload.len()).is_err() {
        let kind = String::from_utf8_lossy(magic);
        let message = format!("a file {kind} of {} MiB is larger than 4 GiB", payload.len() >> 20);
        return Err(Error::new(ErrorKind::TooLarge, "too_large", message));
    }
    let mut out = magic.to_vec();
    write_frame(0, payload, &mut out);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_not_written() {
        // Pages of zeros that nobody looks at take no memory.
        let payload = vec![0; u32::MAX as usize + 1];
        let error = write_single(b"WDSTA002", &payload).unwrap_err();
        assert!(error.kind() == ErrorKind::TooLarge && error.message().contains("4096 MiB"), "{error}");
        let file = write_single(b"WDSTA002", b"hello").unwrap();
        assert_eq!(read_single("state", &file, b"WDSTA002").unwrap(), b"hello");
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let mut bytes = Vec::new();
        write_frame(7, b"hello", &mut bytes);
        assert!(matches!(read_frame(&bytes, 0, 7, 100), FrameAt::Frame { payload: b"hello", next: 21 }));
        assert_eq!(read_frame(&bytes, 0, 8, 100), FrameAt::Broken);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read_frame(&bytes, 0, 7, 100), FrameAt::Broken, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        for cut in 1..bytes.len() {
            assert_eq!(read_frame(&bytes[..cut], 0, 7, 100), FrameAt::Broken);
        }
    }
}
