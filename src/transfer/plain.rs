//! Reads lines of the usual shape without copying any text: no escapes, no nesting, nothing unknown. Whatever it does not take,
//! `ndjson` reads or refuses: here nothing is an error, and nothing is taken that would be read otherwise there.

use crate::model::{Millis, Number, RecordKind, RecordRef, ValueRef, parse_instant};

/// Reads `line` into `record`; `None` if it is not of the usual shape. `record` holds anything then.
pub fn read<'a>(line: &'a str, record: &mut RecordRef<'a>) -> Option<()> {
    record.properties.clear();
    (record.time, record.identity, record.name) = (None, "", "");
    let (mut kind, mut person, mut event, mut identity, mut time, mut properties) =
        (None, None, None, None, None, None);
    let mut text = Scanner { text: line, at: 0 };
    text.object(|text| match text.field()? {
        "type" => once(&mut kind, text.string()?),
        "person" => once(&mut person, text.string()?),
        "event" => once(&mut event, text.string()?),
        "identity" => once(&mut identity, text.string()?),
        "time" => once(&mut time, text.time()?),
        "properties" => {
            once(&mut properties, ())?;
            text.object(|text| {
                let name = text.key()?;
                if let Some(value) = text.value()? {
                    record.properties.push((name, value));
                }
                Some(())
            })
        }
        _ => None,
    })?;
    text.end()?;
    (record.kind, record.name) = match (kind?, event, identity) {
        ("event", Some(name), None) => (RecordKind::Event, name),
        ("set", None, None) => (RecordKind::Set, ""),
        ("identify", None, Some(name)) if record.properties.is_empty() => (RecordKind::Identify, name),
        _ => return None,
    };
    record.identity = person?;
    record.time = time;
    Some(())
}

/// Fills an empty slot.
fn once<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

/// The lowest byte of `word` that ends plain text, which is a quote, a backslash or a control character; 8 if there is none. Others
/// above the lowest may be wrong: a borrow runs upwards only.
fn end_in(word: u64) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let is = |byte: u8| {
        let x = word ^ (ONES * u64::from(byte));
        x.wrapping_sub(ONES) & !x
    };
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    ((is(b'"') | is(b'\\') | control) & HIGH).trailing_zeros() as usize / 8
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or(&[])
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t') = self.text.as_bytes().get(self.at) {
            self.at += 1;
        }
    }

    /// Takes `byte`, behind space.
    #[inline]
    fn take(&mut self, byte: u8) -> bool {
        if self.text.as_bytes().get(self.at) == Some(&byte) {
            self.at += 1;
            return true;
        }
        self.skip_space();
        let there = self.text.as_bytes().get(self.at) == Some(&byte);
        self.at += usize::from(there);
        there
    }

    fn end(&mut self) -> Option<()> {
        self.skip_space();
        self.rest().is_empty().then_some(())
    }

    /// Takes an object; `member` takes each key, its colon and its value.
    #[inline]
    fn object(&mut self, mut member: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        if !self.take(b'{') {
            return None;
        }
        if self.take(b'}') {
            return Some(());
        }
        loop {
            member(self)?;
            if self.take(b'}') {
                return Some(());
            }
            if !self.take(b',') {
                return None;
            }
        }
    }

    /// Takes a key and its colon.
    #[inline]
    fn key(&mut self) -> Option<&'a str> {
        let key = self.string()?;
        self.take(b':').then_some(key)
    }

    /// As [`Scanner::key`], of a key of the line itself: there are so few that comparing with them is quicker than looking for the end.
    #[inline]
    fn field(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let (name, length) = match rest.get(1) {
            Some(b't') if rest.starts_with(b"\"time\":") => ("time", 7),
            Some(b't') if rest.starts_with(b"\"type\":") => ("type", 7),
            Some(b'p') if rest.starts_with(b"\"person\":") => ("person", 9),
            Some(b'p') if rest.starts_with(b"\"properties\":") => ("properties", 13),
            Some(b'e') if rest.starts_with(b"\"event\":") => ("event", 8),
            Some(b'i') if rest.starts_with(b"\"identity\":") => ("identity", 11),
            _ => return self.key(),
        };
        self.at += length;
        Some(name)
    }

    /// Takes text without escapes.
    fn string(&mut self) -> Option<&'a str> {
        if !self.take(b'"') {
            return None;
        }
        let from = self.at;
        while let Some(word) = self.rest().first_chunk() {
            match end_in(u64::from_le_bytes(*word)) {
                8 => self.at += 8,
                end => {
                    self.at += end;
                    return self.close(from);
                }
            }
        }
        self.at += self.rest().iter().position(|b| matches!(b, b'"' | b'\\' | 0..0x20))?;
        self.close(from)
    }

    /// Ends the text that began at `from`.
    fn close(&mut self, from: usize) -> Option<&'a str> {
        let text = self.text.get(from..self.at)?;
        (self.rest().first() == Some(&b'"')).then(|| self.at += 1)?;
        Some(text)
    }

    /// Takes what a number is made of.
    fn digits(&mut self) -> Option<&'a str> {
        let from = self.at;
        self.at += self.rest().iter().take_while(|b| matches!(b, b'0'..=b'9' | b'.' | b'-')).count();
        self.text.get(from..self.at)
    }

    /// Takes a value; within, `None` for null.
    fn value(&mut self) -> Option<Option<ValueRef<'a>>> {
        self.skip_space();
        let rest = self.rest();
        let (value, length) = match rest.first()? {
            b'"' => (Some(ValueRef::Text(self.string()?)), 0),
            b't' if rest.starts_with(b"true") => (Some(ValueRef::Bool(true)), 4),
            b'f' if rest.starts_with(b"false") => (Some(ValueRef::Bool(false)), 5),
            b'n' if rest.starts_with(b"null") => (None, 4),
            _ => (Some(ValueRef::Number(Number::parse(self.digits()?)?)), 0),
        };
        self.at += length;
        Some(value)
    }

    /// Takes a time: text, or seconds without sign or exponent.
    fn time(&mut self) -> Option<Millis> {
        self.skip_space();
        if self.rest().first() == Some(&b'"') {
            return parse_instant(self.string()?).ok();
        }
        let (millis, length) = super::ndjson::leading_seconds(self.rest())?;
        self.at += length;
        Some(millis)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::ndjson::{parse_line, write_record};
    use super::*;
    use crate::model::{Line, Record, Value};

    /// What the reader of all lines reads.
    fn record_of(line: &str) -> Record {
        parse_line(line.as_bytes()).and_then(Line::record).unwrap()
    }

    /// What is read here, as a record.
    fn record(line: &str) -> Option<Record> {
        let mut view = RecordRef::new();
        read(line, &mut view)?;
        let properties =
            view.properties.iter().map(|(name, value)| ((*name).to_owned(), ValueRef::to_owned(*value)));
        Some(Record {
            kind: view.kind,
            identity: view.identity.to_owned(),
            name: view.name.to_owned(),
            time: view.time,
            properties: properties.collect(),
            id: None,
        })
    }

    #[test]
    fn usual_lines_are_read() {
        for line in [
            r#"{"type":"event","person":"1fdd71","event":"Visited Site","time":1735691171.231,"properties":{"Source":"Webinar","n":-12.50,"ok":true,"no":false,"nil":null}}"#,
            " { \"type\" : \"set\" , \"person\":\"jan\u{e9}\",\"properties\": {\"Plan\":\"Pro\"} , \"time\":\"2025-03-01T10:00:00.5+01:00\" } ",
            r#"{"identity":"jane@x.example","type":"identify","person":"a","properties":{}}"#,
            r#"{"type":"event","person":"p","event":"e"}"#,
        ] {
            assert_eq!(record(line), Some(record_of(line)), "{line}");
        }
    }

    #[test]
    fn every_byte_that_ends_text_is_found_wherever_it_is() {
        for end in (0..0x20).chain(*b"\"\\") {
            for at in 0..8 {
                // Behind the end may lie anything, also another end; before it anything that is none.
                for (before, behind) in [(b'a', b'a'), (0xff, b'"'), (0x21, 0x20), (0x80, 0x01), (b']', b'[')]
                {
                    let mut word = [before; 8];
                    word[at..].fill(behind);
                    word[at] = end;
                    assert_eq!(end_in(u64::from_le_bytes(word)), at, "{word:?}");
                }
            }
        }
        assert_eq!(end_in(u64::from_le_bytes([0x20, 0x21, 0x23, 0x5b, 0x5d, 0x7f, 0x80, 0xff])), 8);
    }

    #[test]
    fn the_unusual_is_left_to_the_other_reader() {
        for line in [
            "",
            "{",
            "{}",
            r#"{"type":"event","person":"p","event":"e"} x"#,
            r#"{"type":"event","person":"p","event":"e",}"#,
            r#"{"type":"event","person":"p","person":"p","event":"e"}"#,
            r#"{"type":"event","person":"p","event":"e","id":"1"}"#,
            r#"{"type":"event","person":"p","event":"e\n"}"#,
            r#"{"type":"event","person":"p","event":"e","time":01}"#,
            r#"{"type":"event","person":"p","event":"e","time":1.}"#,
            r#"{"type":"event","person":"p","event":"e","properties":{"a":[1]}}"#,
            r#"{"type":"event","person":"p","event":"e","properties":{"a":truex}}"#,
            r#"{"type":"set","person":"p","event":"e","properties":{"a":1}}"#,
            r#"{"type":"identify","person":"p","identity":"e","properties":{"a":1}}"#,
        ] {
            assert_eq!(record(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_is_read_as_the_other_reader_reads_it(
            name in "[ a-c\"\\\\\u{e9}\u{0}\u{85}]{0,12}", text in ".{0,20}", digits in "-?[0-9.eE]{1,8}", seconds in "[0-9.-]{1,14}",
            cut in 0usize..200, insert in "[ \t\\[\\]{}:,\"a0-]{0,2}", kind in "event|set|identify",
        ) {
            let written = Record {
                kind: RecordKind::Event, identity: name.clone(), name: text.clone(), time: Some(1_740_823_200_125),
                properties: vec![(text.clone(), Value::from(name.as_str()))], id: None,
            };
            let mut out = Vec::new();
            write_record(&written, &mut out);
            let free = format!(
                "{{\"type\":\"{kind}\",\"person\":\"{name}\",\"event\":\"{text}\",\"time\":{seconds},\"properties\":{{\"n\":{digits}}}}}"
            );
            for mut line in [String::from_utf8(out).unwrap().trim_end().to_owned(), free] {
                if let Some(taken) = record(&line) {
                    prop_assert_eq!(taken, record_of(&line));
                }
                let at = (0..=cut.min(line.len())).rev().find(|at| line.is_char_boundary(*at)).unwrap();
                line.insert_str(at, &insert);
                if let Some(taken) = record(&line) {
                    prop_assert_eq!(taken, record_of(&line), "{}", line);
                }
            }
        }
    }
}
