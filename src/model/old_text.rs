//! Text of clients and exports from before everybody wrote UTF-8.

/// The characters of the bytes 0x80 to 0x9f in Windows-1252; of the five that stand for nothing the mark of what cannot be read.
const HIGH: [char; 32] = [
    '\u{20ac}', '\u{fffd}', '\u{201a}', '\u{192}', '\u{201e}', '\u{2026}', '\u{2020}', '\u{2021}', '\u{2c6}',
    '\u{2030}', '\u{160}', '\u{2039}', '\u{152}', '\u{fffd}', '\u{17d}', '\u{fffd}', '\u{fffd}', '\u{2018}',
    '\u{2019}', '\u{201c}', '\u{201d}', '\u{2022}', '\u{2013}', '\u{2014}', '\u{2dc}', '\u{2122}', '\u{161}',
    '\u{203a}', '\u{153}', '\u{fffd}', '\u{17e}', '\u{178}',
];

/// The text that bytes are. What is no UTF-8 is Windows-1252, as of old pages: with one mark in the place of such bytes, many people would
/// be one. What is stays: a text may be cut in the middle of a character.
pub fn text_of_any(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| {
        let mut text = String::with_capacity(2 * error.as_bytes().len());
        for chunk in error.as_bytes().utf8_chunks() {
            text.push_str(chunk.valid());
            text.extend(chunk.invalid().iter().map(|byte| single(*byte)));
        }
        text
    })
}

fn single(byte: u8) -> char {
    let high = byte.checked_sub(0x80).and_then(|at| HIGH.get(usize::from(at)));
    high.copied().unwrap_or(char::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_a_character() {
        assert_eq!(
            text_of_any(b"M\xfcller \x80 \xd0\x9d\xd0".to_vec()),
            "M\u{fc}ller \u{20ac} \u{41d}\u{d0}"
        );
        assert!((0x80..=255).map(single).all(|c| !c.is_control()));
    }
}
