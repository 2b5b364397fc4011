//! Records and corrections as JSON, one object a line: what import reads and export writes.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    Correction, Line, Millis, Number, Properties, Record, RecordKind, Value, mend_json, parse_instant,
};
use crate::report::nearest;

/// One line as it is written; what it means is decided after.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a record, which is an object")]
struct Fields<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    person: Option<BorrowedText<'a>>,
    #[serde(borrow)]
    event: Option<BorrowedText<'a>>,
    #[serde(borrow)]
    identity: Option<BorrowedText<'a>>,
    #[serde(borrow)]
    time: Option<&'a RawValue>,
    #[serde(borrow)]
    properties: Option<RawProperties<'a>>,
    #[serde(borrow)]
    id: Option<BorrowedText<'a>>,
}

/// Names and the literal text of their values, in the order of the line.
struct RawProperties<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for RawProperties<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = RawProperties<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of properties")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
                let mut pairs = Vec::with_capacity(8);
                while let Some(pair) = map.next_entry::<BorrowedText<'de>, &'de RawValue>()? {
                    pairs.push((pair.0.0, pair.1));
                }
                Ok(RawProperties(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// Text that is borrowed from the line where it holds no escapes.
#[derive(Clone, Deserialize)]
struct BorrowedText<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads one line.
pub fn parse_line(line: &[u8]) -> Result<Line> {
    let text = std::str::from_utf8(line).map_err(|e| {
        Error::new(ErrorKind::Malformed, "bad_utf8", format!("byte {} is not UTF-8", e.valid_up_to() + 1))
    })?;
    let text = mend_json(text);
    // Or else a list would be read as the fields in their order.
    if text.trim_start().starts_with('[') {
        let message = "a record is an object, and this is a list";
        return Err(Error::invalid("bad_type", message).hint("write one record a line, with no list around"));
    }
    let line: Fields<'_> = serde_json::from_str(&text).map_err(|e| json_error(&e))?;
    match line.kind.as_ref() {
        "event" => record(RecordKind::Event, line).map(Line::Record),
        "set" => record(RecordKind::Set, line).map(Line::Record),
        "identify" => record(RecordKind::Identify, line).map(Line::Record),
        "seen" | "merge" | "unmerge" => correction(line).map(Line::Correction),
        other => {
            let message = format!("no record type \"{}\"", other.chars().take(40).collect::<String>());
            Err(Error::invalid("bad_type", message).at("type").hint("event, set or identify"))
        }
    }
}

/// That a line of its type has no such field.
fn foreign(line: &Fields<'_>, field: &str) -> Error {
    let message = format!("a record of type \"{}\" has no \"{field}\"", line.kind);
    Error::invalid("unknown_field", message).at(field)
}

fn correction(line: Fields<'_>) -> Result<Correction> {
    let merges = line.kind == "merge";
    let others = [
        ("event", line.event.is_some()),
        ("identity", line.identity.is_some() && !merges),
        ("time", line.time.is_some()),
        ("properties", line.properties.is_some()),
        ("id", line.id.is_some()),
    ];
    if let Some((field, _)) = others.iter().find(|(_, given)| *given) {
        return Err(foreign(&line, field));
    }
    let identity = required(line.person, "person")?;
    Ok(match line.kind.as_ref() {
        "merge" => Correction::Merge { identity, into: required(line.identity, "identity")? },
        "unmerge" => Correction::Unmerge(identity),
        _ => Correction::Seen(identity),
    })
}

fn record(kind: RecordKind, line: Fields<'_>) -> Result<Record> {
    let name = match kind {
        RecordKind::Event => required(line.event.clone(), "event")?,
        RecordKind::Identify => required(line.identity.clone(), "identity")?,
        RecordKind::Set => String::new(),
    };
    let other = match kind {
        RecordKind::Event => line.identity.is_some().then_some("identity"),
        RecordKind::Identify if line.properties.as_ref().is_some_and(|p| !p.0.is_empty()) => {
            Some("properties")
        }
        RecordKind::Identify => line.event.is_some().then_some("event"),
        RecordKind::Set if line.event.is_some() => Some("event"),
        RecordKind::Set => line.identity.is_some().then_some("identity"),
    };
    if let Some(field) = other {
        return Err(foreign(&line, field));
    }
    Ok(Record {
        kind,
        identity: required(line.person, "person")?,
        name,
        time: line.time.map_or(Ok(None), |raw| parse_time(raw.get()))?,
        properties: line.properties.map_or_else(|| Ok(Vec::new()), |p| values(p))?,
        id: line.id.map(|id| id.0.into_owned()),
    })
}

fn required(value: Option<BorrowedText<'_>>, field: &'static str) -> Result<String> {
    match value {
        Some(text) => Ok(text.0.into_owned()),
        None => Err(Error::invalid("missing_field", format!("\"{field}\" is missing")).at(field)),
    }
}

fn values(raw: RawProperties<'_>) -> Result<Properties> {
    let mut properties = Vec::with_capacity(raw.0.len());
    for (name, literal) in raw.0 {
        match Value::from_json(literal.get()) {
            Ok(Some(value)) => properties.push((name.into_owned(), value)),
            // JSON's null says nothing.
            Ok(None) => {}
            Err(error) => return Err(error.within(&format!("properties.{name}"))),
        }
    }
    Ok(properties)
}

/// A time: RFC 3339 as text, or Unix seconds as a number, read from its literal so that no fraction is lost.
fn parse_time(raw: &str) -> Result<Option<Millis>> {
    let bad = || {
        Error::invalid("bad_time", format!("{} is no time", raw.chars().take(40).collect::<String>()))
            .at("time")
            .hint("RFC 3339 such as \"2025-03-01T10:00:00Z\", or Unix seconds")
    };
    if raw == "null" {
        return Ok(None);
    }
    if raw.starts_with('"') {
        let text: Cow<'_, str> = serde_json::from_str::<BorrowedText<'_>>(raw).map_err(|_| bad())?.0;
        return parse_instant(&text).map(Some).map_err(|_| bad());
    }
    if let Some(millis) = plain_seconds(raw) {
        return Ok(Some(millis));
    }
    let number = Number::parse(raw).ok_or_else(bad)?;
    let unit = 10i128.pow(u32::from(number.scale()));
    let millis = number.mantissa().checked_mul(1000).ok_or_else(bad)?.div_euclid(unit);
    Millis::try_from(millis).map(Some).map_err(|_| bad())
}

/// Seconds as nearly all clients write them, without sign or exponent. What lies below the millisecond is dropped, however
/// many digits it has.
pub(super) fn plain_seconds(raw: &str) -> Option<Millis> {
    leading_seconds(raw.as_bytes()).filter(|(_, length)| *length == raw.len()).map(|(millis, _)| millis)
}

/// The same at the beginning of `bytes`, and the length of what was read.
pub(super) fn leading_seconds(bytes: &[u8]) -> Option<(Millis, usize)> {
    // Fifteen digits are some thirty million years and cannot overflow.
    let (seconds, whole) = leading_digits(bytes, 15);
    let rest = bytes.get(whole..)?;
    // JSON has no leading zeros.
    if whole == 0
        || (whole > 1 && bytes.first() == Some(&b'0'))
        || rest.first().is_some_and(u8::is_ascii_digit)
    {
        return None;
    }
    let Some((b'.', fraction)) = rest.split_first() else { return Some((seconds * 1000, whole)) };
    let (digits, thousandths) = leading_digits(fraction, 3);
    let scale = [0, 100, 10, 1].get(thousandths).filter(|_| thousandths > 0)?;
    let below = fraction.iter().skip(thousandths).take_while(|b| b.is_ascii_digit()).count();
    Some((seconds * 1000 + digits * scale, whole + 1 + thousandths + below))
}

/// The number that the digits at the beginning of `bytes` make, at most `most` of them, and how many they are.
fn leading_digits(bytes: &[u8], most: usize) -> (i64, usize) {
    let (mut number, mut length) = (0, 0);
    for digit in bytes.iter().take(most).map(|byte| byte.wrapping_sub(b'0')).take_while(|digit| *digit < 10) {
        number = number * 10 + i64::from(digit);
        length += 1;
    }
    (number, length)
}

/// The fields of a line, in the order of the documentation.
const FIELDS: [&str; 7] = ["type", "person", "event", "identity", "time", "properties", "id"];

/// What the JSON reader says, with a code and a place of ours.
fn json_error(error: &serde_json::Error) -> Error {
    let text = error.to_string();
    // The line is always 1; where it is in the file only the caller knows.
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    if let Some(rest) = text.strip_prefix("unknown field `") {
        let name = rest.rsplit_once("`, expected").map_or(rest, |(name, _)| name);
        let shown: String = name.chars().take(40).collect();
        let error = Error::invalid("unknown_field", format!("a record has no field \"{shown}\"")).at(shown);
        return match nearest(name, FIELDS.into_iter()) {
            Some(near) => error.hint(format!("did you mean \"{near}\"?")),
            None => error.hint(format!("the fields are {}", FIELDS.join(", "))),
        };
    }
    for (start, code, what) in [
        ("missing field `", "missing_field", "is missing"),
        ("duplicate field `", "duplicate_field", "is given twice"),
    ] {
        if let Some(name) = text.strip_prefix(start).map(|rest| rest.trim_end_matches('`')) {
            return Error::invalid(code, format!("\"{name}\" {what}")).at(name);
        }
    }
    let (kind, code) = match error.classify() {
        serde_json::error::Category::Data => (ErrorKind::Invalid, "bad_type"),
        _ => (ErrorKind::Malformed, "bad_json"),
    };
    Error::new(kind, code, format!("column {}: {text}", error.column()))
}

fn text(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

/// Appends the properties of a record as an object.
pub fn write_properties(record: &Record, out: &mut String) {
    out.push('{');
    for (at, (name, value)) in record.properties.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str(&text(name));
        out.push(':');
        out.push_str(&value.to_json());
    }
    out.push('}');
}

/// Appends one line, such that reading it gives back what it says.
pub fn write_line(line: &Line, out: &mut Vec<u8>) {
    match line {
        Line::Record(record) => write_record(record, out),
        Line::Correction(correction) => write_correction(correction, out),
    }
}

fn write_correction(correction: &Correction, out: &mut Vec<u8>) {
    let line = match correction {
        Correction::Seen(identity) => format!("{{\"type\":\"seen\",\"person\":{}}}\n", text(identity)),
        Correction::Merge { identity, into } => {
            format!("{{\"type\":\"merge\",\"person\":{},\"identity\":{}}}\n", text(identity), text(into))
        }
        Correction::Unmerge(identity) => format!("{{\"type\":\"unmerge\",\"person\":{}}}\n", text(identity)),
    };
    out.extend_from_slice(line.as_bytes());
}

/// As [`write_line`], of a record.
pub fn write_record(record: &Record, out: &mut Vec<u8>) {
    let mut line = String::with_capacity(160);
    line.push_str(match record.kind {
        RecordKind::Event => "{\"type\":\"event\",\"person\":",
        RecordKind::Set => "{\"type\":\"set\",\"person\":",
        RecordKind::Identify => "{\"type\":\"identify\",\"person\":",
    });
    line.push_str(&text(&record.identity));
    match record.kind {
        RecordKind::Event => line.push_str(",\"event\":"),
        RecordKind::Identify => line.push_str(",\"identity\":"),
        RecordKind::Set => {}
    }
    if record.kind != RecordKind::Set {
        line.push_str(&text(&record.name));
    }
    if let Some(time) = record.time {
        line.push_str(",\"time\":");
        line.push_str(&Number::new(i128::from(time), 3).to_string());
    }
    if record.kind != RecordKind::Identify {
        line.push_str(",\"properties\":");
        write_properties(record, &mut line);
    }
    if let Some(id) = &record.id {
        line.push_str(",\"id\":");
        line.push_str(&text(id));
    }
    line.push_str("}\n");
    out.extend_from_slice(line.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn records_come_back_as_they_were_written() {
        for line in [
            r#"{"type":"event","person":"jane \"q\"","event":"Paid","time":1740823200.125,"properties":{"R":99.99,"a":true,"b":"\u00e9\n"},"id":"o-1"}"#,
            r#"{"type":"set","person":"jane","time":"2025-03-01T10:00:00.5+01:00","properties":{"Plan":"Pro","n":null}}"#,
            r#"{"type":"identify","person":"anon","identity":"jane"}"#,
        ] {
            let record = parse_line(line.as_bytes()).and_then(Line::record).unwrap();
            let mut out = Vec::new();
            write_record(&record, &mut out);
            assert_eq!(parse_line(out.trim_ascii_end()).and_then(Line::record).unwrap(), record);
        }
        let record = parse_line(br#"{"type":"event","person":"p","event":"e","time":-1.0005}"#)
            .and_then(Line::record)
            .unwrap();
        assert_eq!(record.time, Some(-1001), "towards the past");
    }

    #[test]
    fn bad_lines_say_what_is_wrong() {
        for (line, code) in [
            ("", "bad_json"),
            ("{", "bad_json"),
            ("[1]", "bad_type"),
            (r#"["event","p","e"]"#, "bad_type"),
            (" [", "bad_type"),
            (r#"{"type":"event","person":"p"}"#, "missing_field"),
            (r#"{"person":"p"}"#, "missing_field"),
            (r#"{"type":"click","person":"p","event":"e"}"#, "bad_type"),
            (r#"{"type":"event","person":7,"event":"e"}"#, "bad_type"),
            (r#"{"type":"event","person":"p","event":"e","tiem":1}"#, "unknown_field"),
            (r#"{"type":"event","person":"p","person":"q","event":"e"}"#, "duplicate_field"),
            (r#"{"type":"event","person":"p","event":"e","time":"soon"}"#, "bad_time"),
            (r#"{"type":"event","person":"p","event":"e","time":1e300}"#, "bad_time"),
            (r#"{"type":"event","person":"p","event":"e","properties":{"a":{"b":1}}}"#, "bad_value"),
            (r#"{"type":"event","person":"p","event":"e","properties":[]}"#, "bad_type"),
            (r#"{"type":"set","person":"p","event":"e","properties":{"a":1}}"#, "unknown_field"),
            (r#"{"type":"merge","person":"p"}"#, "missing_field"),
            (r#"{"type":"seen","person":"p","identity":"q"}"#, "unknown_field"),
            (r#"{"type":"unmerge","person":"p","time":1}"#, "unknown_field"),
        ] {
            assert_eq!(parse_line(line.as_bytes()).unwrap_err().code(), code, "{line}");
        }
        assert_eq!(parse_line(b"{\"type\":\"\xff\"}").unwrap_err().code(), "bad_utf8");
    }

    #[test]
    fn an_unknown_field_is_named_with_the_nearest() {
        for (field, hint) in [
            ("tiem", "did you mean \"time\"?"),
            ("Person", "did you mean \"person\"?"),
            ("xyz", "the fields are type, person, event, identity, time, properties, id"),
            ("a`b\\u001b[31m", "the fields are type, person, event, identity, time, properties, id"),
        ] {
            let line = format!(r#"{{"type":"event","person":"p","event":"e","{field}":1}}"#);
            let error = parse_line(line.as_bytes()).unwrap_err();
            assert_eq!((error.code(), error.advice()), ("unknown_field", Some(hint)), "{field}");
        }
        let error = parse_line(br#"{"type":"event","person":"p","event":"e","tiem":1}"#).unwrap_err();
        assert_eq!(error.place(), Some("tiem"));
        let error = parse_line(br#"{"person":"p","event":"e"}"#).unwrap_err();
        assert_eq!((error.code(), error.place()), ("missing_field", Some("type")));
    }

    #[test]
    fn times_are_exact_to_the_millisecond() {
        for (literal, millis) in [
            ("1740823200", 1_740_823_200_000),
            ("1740823200.1", 1_740_823_200_100),
            ("1740823200.12", 1_740_823_200_120),
            ("1740823200.0999999999999999999999999999999999", 1_740_823_200_099),
            ("1740823200.1259999", 1_740_823_200_125),
            ("1.740823200125e9", 1_740_823_200_125),
            ("0", 0),
            ("-1", -1000),
            ("-1.0005", -1001),
            ("\"2025-03-01T10:00:00.125Z\"", 1_740_823_200_125),
            ("\"2025-03-01T11:00:00.1259+01:00\"", 1_740_823_200_125),
        ] {
            assert_eq!(parse_time(literal).unwrap(), Some(millis), "{literal}");
        }
        assert_eq!(parse_time("null").unwrap(), None);
        for literal in ["\"\"", "\"1740823200\"", "true", "[]", "{}", "1e300", "99999999999999999999999999"] {
            assert_eq!(parse_time(literal).unwrap_err().code(), "bad_time", "{literal}");
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<bool>().prop_map(Value::Bool),
            // As many digits, and as many of them behind the point, as a number may have.
            (-(10i128.pow(27) - 1)..10i128.pow(27), 0u8..=20)
                .prop_map(|(mantissa, scale)| Value::Number(Number::new(mantissa, scale))),
            any::<String>().prop_map(Value::Text),
        ]
    }

    fn any_record() -> impl Strategy<Value = Record> {
        let kind = prop_oneof![Just(RecordKind::Event), Just(RecordKind::Set), Just(RecordKind::Identify)];
        let properties = prop::collection::vec((any::<String>(), any_value()), 0..6);
        let time = prop::option::of(-10_000_000_000_000i64..10_000_000_000_000);
        let texts = (any::<String>(), any::<String>(), prop::option::of(any::<String>()));
        (kind, texts, time, properties).prop_map(|(kind, (identity, name, id), time, properties)| Record {
            kind,
            identity,
            name: if kind == RecordKind::Set { String::new() } else { name },
            time,
            properties: if kind == RecordKind::Identify { Vec::new() } else { properties },
            id,
        })
    }

    proptest! {
        #[test]
        fn any_record_comes_back_from_one_line(record in any_record()) {
            let mut out = Vec::new();
            write_record(&record, &mut out);
            prop_assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 1);
            prop_assert_eq!(parse_line(out.trim_ascii_end()).and_then(Line::record).unwrap(), record);
        }

        #[test]
        fn any_bytes_are_a_record_or_an_error(line in any::<Vec<u8>>()) {
            let _ = parse_line(&line).and_then(Line::record);
        }
    }
}
