//! How deep a JSON text is nested, found without reading it: what is decoded level by level would be read once for each level, and by
//! a function that calls itself.

/// How deep lists and objects of a JSON text are nested, by the brackets outside of its strings. Of what is no JSON it is some number.
pub fn json_depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
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
}
