//! What clients write in the place of JSON, made JSON: Python has words for numbers that are none, and a text that JavaScript cut in the
//! middle of a character ends in half of it. Nothing is said that was not: a word stays a word, which is no time and no number.

use std::borrow::Cow;

/// What is no number in JSON.
const NO_NUMBERS: [&str; 3] = ["NaN", "Infinity", "-Infinity"];

/// `text` with `NaN` and the infinities in quotes, as on the tracking wire, and U+FFFD in the place of half a pair of surrogates. What else is
/// wrong with it stays.
pub fn mend_json(text: &str) -> Cow<'_, str> {
    let may_be_half = || {
        memchr::memmem::find_iter(text.as_bytes(), "\\u").any(|at| {
            matches!(
                text.as_bytes().get(at + 2..at + 4),
                Some([b'd' | b'D', b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F'])
            )
        })
    };
    if !text.contains("NaN") && !text.contains("Infinity") && !may_be_half() {
        return Cow::Borrowed(text);
    }
    let (mut out, mut rest, mut in_text) = (String::with_capacity(text.len()), text, false);
    while let Some(next) = rest.chars().next() {
        let taken = match next {
            '\\' if in_text => escape(rest, &mut out),
            'N' | 'I' | '-' if !in_text => word(rest, &mut out),
            _ => {
                in_text ^= next == '"';
                out.push(next);
                next.len_utf8()
            }
        };
        rest = rest.get(taken..).unwrap_or("");
    }
    Cow::Owned(out)
}

/// Writes the word that `rest` begins with; how long it was.
fn word(rest: &str, out: &mut String) -> usize {
    let found = NO_NUMBERS.iter().find(|word| rest.starts_with(**word));
    match found {
        Some(word) => out.extend(["\"", word, "\""]),
        None => out.push_str(rest.get(..1).unwrap_or("")),
    }
    found.map_or(1, |word| word.len())
}

/// Writes the escape that `rest` begins with; how long it was.
fn escape(rest: &str, out: &mut String) -> usize {
    let unit = |at: usize| {
        let digits = rest.get(at..)?.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let (length, half) = match (unit(0), unit(6)) {
        (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => (12, false),
        (Some(0xd800..=0xdfff), _) => (6, true),
        (Some(_), _) => (6, false),
        // A backslash and what it escapes, which may be a backslash too.
        (None, _) => (1 + rest.chars().nth(1).map_or(0, char::len_utf8), false),
    };
    out.push_str(if half { "\\ufffd" } else { rest.get(..length).unwrap_or(rest) });
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_json_stays_as_it_is() {
        for text in [
            r#"{"a":[1,-2.5e3,null,"NaN \"Infinity\" \\"],"\u00e9":"\ud83d\ude00"}"#,
            r#"{"path":"C:\\u\\udata\\NaN"}"#,
            "",
            "not JSON \\",
        ] {
            assert_eq!(mend_json(text), text);
        }
    }

    #[test]
    fn what_clients_write_in_its_place_becomes_json() {
        for (text, mended) in [
            (r#"{"a":NaN,"b":[Infinity,-Infinity,-1]}"#, r#"{"a":"NaN","b":["Infinity","-Infinity",-1]}"#),
            (r#"{"t":"a\ud83d"}"#, r#"{"t":"a\ufffd"}"#),
            (r#"{"t":"\uDE00\ud83d\uD83D\ude00\ud83dx"}"#, r#"{"t":"\ufffd\ufffd\uD83D\ude00\ufffdx"}"#),
            (r#"{"t":"\\\ud83d","u":NaN}"#, r#"{"t":"\\\ufffd","u":"NaN"}"#),
        ] {
            assert_eq!(mend_json(text), mended);
            assert!(serde_json::from_str::<serde_json::Value>(mended).is_ok());
        }
    }
}
