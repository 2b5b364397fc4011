//! The bodies of the Segment API as text, packed or not, and bounded.

use std::borrow::Cow;
use std::io::Read;

use super::segment::malformed;
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::model::{few_values, mend_json};

/// The body as text: whatever its headers say, gzip is known by its first bytes. `room` is asked whether so many bytes may be unpacked.
pub fn decode(body: &[u8], room: impl FnMut(usize) -> bool) -> Result<String> {
    let body = if body.starts_with(&[0x1f, 0x8b]) { unpack(body, room)? } else { body.to_vec() };
    let text = String::from_utf8(body).map_err(|_| malformed("the body is not UTF-8"))?;
    few_values(&text)?;
    Ok(match mend_json(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(mended) => mended,
    })
}

fn unpack(body: &[u8], mut room: impl FnMut(usize) -> bool) -> Result<Vec<u8>> {
    const AT_ONCE: u64 = 256 * 1024;
    let most = limits::SEGMENT_BYTES_MAX;
    let (mut plain, mut decoder) = (Vec::new(), flate2::read::MultiGzDecoder::new(body));
    loop {
        let before = plain.len();
        if !room(before + AT_ONCE as usize) {
            let message = "too many packed bodies are being read at once";
            return Err(Error::new(ErrorKind::Busy, "busy", message).hint("send it again"));
        }
        let read = decoder.by_ref().take(AT_ONCE).read_to_end(&mut plain);
        read.map_err(|e| malformed(format!("the body is no gzip: {e}")))?;
        if plain.len() > most {
            let message = format!("the body is more than {} MiB", most >> 20);
            return Err(Error::new(ErrorKind::TooLarge, "too_large", message));
        }
        if plain.len() == before {
            return Ok(plain);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_known_by_its_bytes_and_bounded() {
        use std::io::Write;
        let pack = |bytes: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        assert_eq!(decode(&pack(b"{}"), |_| true).unwrap(), "{}");
        assert_eq!(decode(b"{}", |_| true).unwrap(), "{}");
        let bomb = pack(&vec![b' '; limits::SEGMENT_BYTES_MAX + 1]);
        assert_eq!(decode(&bomb, |_| true).unwrap_err().code(), "too_large");
        assert_eq!(decode(b"\x1f\x8bnonsense", |_| true).unwrap_err().code(), "bad_json");
        let full = decode(&bomb, |bytes| bytes < limits::SEGMENT_BYTES_MAX / 2).unwrap_err();
        assert_eq!((full.code(), full.is_passing()), ("busy", true), "others take the room");
    }
}
