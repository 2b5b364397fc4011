//! The pairs of a query string or a form as tracking clients write them: whatever the bytes are, nothing is lost and no two values
//! become one.

use memchr::memchr;
use percent_encoding::percent_decode;

/// The characters of the bytes 0x80 to 0x9f in Windows-1252; of the five that stand for nothing the mark of what cannot be read.
const HIGH: [char; 32] = [
    '\u{20ac}', '\u{fffd}', '\u{201a}', '\u{192}', '\u{201e}', '\u{2026}', '\u{2020}', '\u{2021}', '\u{2c6}',
    '\u{2030}', '\u{160}', '\u{2039}', '\u{152}', '\u{fffd}', '\u{17d}', '\u{fffd}', '\u{fffd}', '\u{2018}',
    '\u{2019}', '\u{201c}', '\u{201d}', '\u{2022}', '\u{2013}', '\u{2014}', '\u{2dc}', '\u{2122}', '\u{161}',
    '\u{203a}', '\u{153}', '\u{fffd}', '\u{17e}', '\u{178}',
];

/// Name and value of each pair in turn. `+` is a space, what is no percent sequence stays as it is, a pair without `=` has an empty
/// value, an empty pair is none.
pub fn pairs(input: &[u8]) -> impl Iterator<Item = (String, String)> {
    input.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = memchr(b'=', pair).map_or((pair, [].as_slice()), |at| {
            (pair.get(..at).unwrap_or(pair), pair.get(at + 1..).unwrap_or(&[]))
        });
        (text(name), text(value))
    })
}

/// What is no UTF-8 is Windows-1252, as of old pages: with one mark in the place of such bytes, many people would be one. What is stays:
/// a text may be cut in the middle of a character.
fn text(written: &[u8]) -> String {
    let spaced: Vec<u8> = written.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    let bytes = if memchr(b'%', &spaced).is_some() { percent_decode(&spaced).collect() } else { spaced };
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

    fn read(input: &[u8]) -> Vec<(String, String)> {
        pairs(input).collect()
    }

    #[test]
    fn what_is_well_formed_reads_as_any_form() {
        for input in ["a=b", "a+b=c%20d&e", "&&a=&=b&a=b=c&%2=%zz&caf%C3%A9=%e2%82%ac", "", "%"] {
            let expected: Vec<_> = form_urlencoded::parse(input.as_bytes()).into_owned().collect();
            assert_eq!(read(input.as_bytes()), expected, "{input}");
        }
    }

    #[test]
    fn what_is_no_utf_8_stays_apart() {
        let value = |input: &[u8]| read(input).remove(0).1;
        assert_eq!(value(b"_p=M%FCller"), "M\u{fc}ller");
        assert_eq!(value(b"_p=M\xf6ller"), "M\u{f6}ller");
        assert_eq!(value(b"_p=%80+%93%94"), "\u{20ac} \u{201c}\u{201d}");
        assert_eq!(value(b"_p=%D0%9D%D0%B8%D0"), "\u{41d}\u{438}\u{d0}");
        assert_eq!(value(b"_p=%E3%81%82%E3%81"), "\u{3042}\u{e3}\u{fffd}");
        assert!((0x80..=255).map(single).all(|c| !c.is_control() || c > '\u{9f}'));
    }
}
