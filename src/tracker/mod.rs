//! The browser's tracker as it is sent. Its source is the JavaScript beside this file; `build.rs` joins, minifies and
//! compresses it.

/// The script.
pub const TEXT: &str = include_str!(concat!(env!("OUT_DIR"), "/tracker.js"));

/// The script, compressed with gzip.
pub const GZIPPED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tracker.js.gz"));

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// Every page of a site waits for these bytes on its first visit.
    const GZIPPED_BYTES_MAX: usize = 6 * 1024;

    #[test]
    fn the_script_is_small_and_plain() {
        assert!(GZIPPED.len() <= GZIPPED_BYTES_MAX, "{} bytes", GZIPPED.len());
        assert!(TEXT.is_ascii(), "a page may declare any encoding");
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(GZIPPED).read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, TEXT);
    }

    #[test]
    fn strict_policies_find_nothing_to_forbid() {
        for forbidden in ["eval(", "Function(", "document.write", "innerHTML", "style=", "javascript:"] {
            assert!(!TEXT.contains(forbidden), "{forbidden}");
        }
    }
}
