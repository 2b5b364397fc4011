//! How deep a JSON text is nested and how much is in it, found without reading it: what is decoded level by level would be read once for
//! each level, and by a function that calls itself; and a value of two bytes takes some hundred once it is read.

use crate::error::{Error, ErrorKind, Result};
use crate::limits;

/// How deep lists and objects of a JSON text are nested, by the brackets outside of its strings. Of what is no JSON it is some number.
pub fn json_depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    outside_strings(text, |byte| match byte {
        b'{' | b'[' => {
            depth += 1;
            deepest = deepest.max(depth);
        }
        b'}' | b']' => depth = depth.saturating_sub(1),
        _ => {}
    });
    deepest
}

/// How many values a JSON text has at most, lists and objects among them.
fn json_values(text: &str) -> usize {
    let mut values = 1;
    outside_strings(text, |byte| values += usize::from(matches!(byte, b'{' | b'[' | b',')));
    values
}

/// An error if a text has more values than anybody sends in so many bytes.
pub fn few_values(text: &str) -> Result<()> {
    if json_values(text) <= limits::JSON_VALUES_FREE + text.len() / limits::JSON_VALUE_BYTES {
        return Ok(());
    }
    let message = format!(
        "the JSON has more than {} values, and more than one for {} bytes",
        limits::JSON_VALUES_FREE,
        limits::JSON_VALUE_BYTES
    );
    Err(Error::new(ErrorKind::TooLarge, "too_many_values", message))
}

fn outside_strings(text: &str, mut each: impl FnMut(u8)) {
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            byte if !in_string => each(byte),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_count_and_those_in_strings_do_not() {
        for (text, depth) in [
            ("1", 0),
            ("{}", 1),
            (r#"{"a":[1,{"b":2}],"c":{}}"#, 3),
            (r#"{"[[[":"{{{\"[[[","\\":"["}"#, 1),
            (r#"["\\",["]"]]"#, 2),
            ("]]][", 1),
        ] {
            assert_eq!(json_depth(text), depth, "{text}");
        }
        assert_eq!(json_depth(&"[".repeat(100_000)), 100_000);
    }

    #[test]
    fn values_are_counted_and_commas_in_strings_are_none() {
        for (text, values) in
            [("1", 1), ("[1,2,3]", 4), (r#"{"a":"b,c","d":[1]}"#, 4), (r#"["\\",{"a":1}]"#, 4)]
        {
            assert_eq!(json_values(text), values, "{text}");
        }
        let many = format!("[{}1]", "1,".repeat(limits::JSON_VALUES_FREE + limits::JSON_VALUES_FREE / 4));
        assert_eq!(few_values(&many).unwrap_err().code(), "too_many_values");
        few_values(&many.replace("1,", "\"a longer value\",")).unwrap();
    }
}
