//! The pairs of a query string or a form as tracking clients write them: whatever the bytes are, nothing is lost and no two values
//! become one.

use memchr::memchr;
use percent_encoding::percent_decode;

use crate::model::text_of_any;

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

fn text(written: &[u8]) -> String {
    let spaced: Vec<u8> = written.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    text_of_any(if memchr(b'%', &spaced).is_some() { percent_decode(&spaced).collect() } else { spaced })
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
    }
}
