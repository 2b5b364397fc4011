//! The lines of Kissmetrics' own exports: JSON objects with `_p`, `_n` and `_t`, an alias with `_p` and `_p2`, all else properties.
//! Bytes that are no ASCII are written in octal (`\303\251`), which JSON does not know.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;

use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Millis, Number, Record, RecordKind, Value, few_values, mend_json, text_of_any};

/// Reads one line.
pub fn parse_record(line: &[u8]) -> Result<Record> {
    let line = without_octal(line);
    let no_object =
        |e: &dyn Display| Error::new(ErrorKind::Malformed, "bad_json", format!("not a JSON object: {e}"));
    let line = text_of_any(line.into_owned());
    let line = mend_json(&line);
    let fields: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(&line).map_err(|e| no_object(&e))?;
    let text = |name: &str| fields.get(name).and_then(|raw| text(raw)).filter(|t| !t.trim().is_empty());
    let missing =
        |name: &str| Error::invalid("missing_field", format!("\"{name}\" is missing")).at(name.to_owned());
    let identity = text("_p").ok_or_else(|| missing("_p"))?;
    // Here the time counts without `_d`.
    let time = text("_t").map(|t| seconds(&t)).transpose()?;
    let new = |kind, name, properties| Record {
        kind,
        identity: identity.clone(),
        name,
        time,
        properties,
        id: None,
    };
    if let Some(other) = text("_p2") {
        return Ok(new(RecordKind::Identify, other, Vec::new()));
    }
    let mut properties = Vec::new();
    for (name, raw) in &fields {
        if !is_reserved(name) {
            properties.extend(value(raw)?.map(|value| (name.clone().into_owned(), value)));
        }
    }
    Ok(match text("_n") {
        Some(event) => new(RecordKind::Event, event, properties),
        None => new(RecordKind::Set, String::new(), properties),
    })
}

/// Whether a field or parameter is none of the properties. Clients send more with an underscore than are documented, and some without a name.
pub fn is_reserved(name: &str) -> bool {
    let name = name.trim();
    name.starts_with('_') || name.is_empty()
}

/// The line with octal escapes as the bytes that they stand for.
fn without_octal(line: &[u8]) -> Cow<'_, [u8]> {
    let digit = |at: usize| line.get(at).filter(|b| (b'0'..=b'7').contains(*b)).map(|b| u32::from(b - b'0'));
    let octal = |at: usize| Some(digit(at)? * 64 + digit(at + 1)? * 8 + digit(at + 2)?);
    if !line.windows(2).any(|pair| pair[0] == b'\\' && pair[1].is_ascii_digit()) {
        return Cow::Borrowed(line);
    }
    let mut out = Vec::with_capacity(line.len());
    let mut at = 0;
    while let Some(byte) = line.get(at) {
        if *byte != b'\\' {
            out.push(*byte);
            at += 1;
        } else if let Some(value) = octal(at + 1).and_then(|v| u8::try_from(v).ok()).filter(|v| *v >= 0x80) {
            out.push(value);
            at += 4;
        } else {
            // Another escape, of which a second backslash is a part.
            out.extend(line.get(at..(at + 2).min(line.len())).unwrap_or(&[]));
            at += 2;
        }
    }
    Cow::Owned(out)
}

fn text(raw: &RawValue) -> Option<String> {
    match raw.get().as_bytes().first()? {
        b'"' => serde_json::from_str(raw.get()).ok(),
        b'{' | b'[' | b'n' => None,
        _ => Some(raw.get().to_owned()),
    }
}

/// Of text the value decides what it is, as on the wire. Lists are joined by commas.
fn value(raw: &RawValue) -> Result<Option<Value>> {
    match raw.get().as_bytes().first() {
        Some(b'"') => Ok(text(raw).map(|text| Value::from_wire(&text))),
        Some(b'[') => {
            few_values(raw.get())?;
            let list: Vec<&RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
            let parts: Vec<String> =
                list.into_iter().map(|v| text(v).unwrap_or_else(|| v.get().to_owned())).collect();
            Ok(Some(Value::Text(parts.join(","))))
        }
        _ => Value::from_json(raw.get()),
    }
}

/// Unix seconds, or milliseconds where they could be no seconds.
pub fn seconds(text: &str) -> Result<Millis> {
    let number = Number::parse(text.trim()).and_then(|number| {
        let unit = 10i128.checked_pow(u32::from(number.scale()))?;
        let factor = if number.mantissa() > 100_000_000_000i128.checked_mul(unit)? { 1 } else { 1000 };
        Millis::try_from(number.mantissa().checked_mul(factor)?.div_euclid(unit)).ok()
    });
    number.ok_or_else(|| Error::invalid("bad_time", format!("\"{text}\" is no Unix time")).at("_t"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_an_export() {
        let event = parse_record(br#"{"_n":"Signed Up","_p":"caf\303\251 \\101","_t":1740823200,"Plan Name":"Pro","price":"9.50","x":null,"_x":1}"#);
        let event = event.unwrap();
        assert_eq!((event.identity.as_str(), event.time), ("caf\u{e9} \\101", Some(1_740_823_200_000)));
        assert_eq!(
            event.properties,
            [("Plan Name".into(), Value::from("Pro")), ("price".into(), Value::from_wire("9.5"))]
        );
        let alias = parse_record(br#"{"_p":"anon","_p2":"jane","_t":1740823200}"#).unwrap();
        assert_eq!(
            (alias.kind, alias.identity.as_str(), alias.name.as_str()),
            (RecordKind::Identify, "anon", "jane")
        );
        let old = parse_record(br#"{"_n":"T","_p":"k1","a":"caf\351","":"x"," ":1," _y":2,"b":"\303\251"}"#)
            .unwrap();
        let kept = [("a", "caf\u{e9}"), ("b", "\u{e9}")];
        assert_eq!(old.properties, kept.map(|(name, value)| (name.to_owned(), Value::from(value))));
        let set = parse_record(br#"{"_p":"jane","gender":"x"}"#).unwrap();
        assert_eq!((set.kind, set.time), (RecordKind::Set, None));
        for (bad, code) in [
            ("{", "bad_json"),
            (r#"{"_n":"A"}"#, "missing_field"),
            (r#"{"_p":"a","_n":"b","_t":"soon"}"#, "bad_time"),
        ] {
            assert_eq!(parse_record(bad.as_bytes()).unwrap_err().code(), code, "{bad}");
        }
    }
}
