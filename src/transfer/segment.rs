//! The Segment HTTP API: messages of its clients (and of RudderStack's, which are the same) as records.
//!
//! A message can be several records: who did it and who that is, what it says of the person, and the event. Each has an id made of
//! the message's, so a message that is sent again is stored once.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::model::{Admission, Millis, Number, Record, RecordKind, Value, json_depth, parse_loose_instant};

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something was done.
    Track,
    /// Who somebody is.
    Identify,
    /// Two ids are one person.
    Alias,
    /// A page was viewed.
    Page,
    /// A screen of an app was viewed.
    Screen,
    /// Somebody belongs to a group.
    Group,
}

impl Kind {
    /// By its name, or the one letter that browsers send.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "track" | "t" => Self::Track,
            "identify" | "i" => Self::Identify,
            "alias" | "a" => Self::Alias,
            "page" | "p" => Self::Page,
            "screen" | "s" => Self::Screen,
            "group" | "g" => Self::Group,
            _ => return None,
        })
    }
}

/// A message, or why it is none.
pub type Said = std::result::Result<Message, Box<Refused>>;

/// A message that is refused, and what there is in it to know it by.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub error: Error,
    /// Who it is of, or nothing.
    pub person: String,
    /// The name of its event, or nothing.
    pub event: String,
}

/// What one message says.
#[derive(Debug)]
pub struct Message {
    /// Its records.
    pub records: Vec<Record>,
    /// What the person's browser calls itself (`context.userAgent`).
    pub agent: Option<String>,
}

type Fields<'r> = BTreeMap<String, &'r RawValue>;

pub(super) fn malformed(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Malformed, "bad_json", message)
}

/// An error if a message is nested too deeply: each level is read once for each that is above it.
fn shallow(text: &str) -> Result<()> {
    if json_depth(text) <= limits::MESSAGE_DEPTH_MAX {
        return Ok(());
    }
    let message = format!("the message is nested deeper than {} levels", limits::MESSAGE_DEPTH_MAX);
    Err(Error::new(ErrorKind::Malformed, "too_deep", message))
}

/// The end of the year 9999.
const CLOCK_END: Millis = 253_402_300_800_000;

/// Reads a body: a batch, or one message of `kind`. A batch may be a bare list of messages. It came at the `now`
/// of `admission`, whose words for nobody are no `userId`.
pub fn read(text: &str, kind: Option<Kind>, admission: Admission<'_>) -> Result<Vec<Said>> {
    if kind.is_none() && text.trim_start().starts_with('[') {
        return batch(text, None, None, admission);
    }
    let fields: Fields<'_> =
        serde_json::from_str(text).map_err(|e| malformed(format!("not a JSON object: {e}")))?;
    match kind {
        Some(kind) => {
            let correction = correction(&fields, admission.now);
            let message = shallow(text).and_then(|()| records(&fields, Some(kind), correction, admission));
            Ok(vec![message.map_err(|error| refused(error, &fields))])
        }
        None => {
            let list = fields.get("batch").ok_or_else(|| malformed("there is no \"batch\"").at("batch"))?;
            let context = fields.get("context").copied();
            context.map_or(Ok(()), |context| shallow(context.get()))?;
            batch(list.get(), context, correction(&fields, admission.now), admission)
        }
    }
}

/// The key that a body names itself.
pub fn write_key(text: &str) -> Option<String> {
    text_of(&serde_json::from_str(text).ok()?, "writeKey")
}

/// How far a client's clock is off, by what it says the time was when it sent, if a clock can say so.
fn correction(fields: &Fields<'_>, now: Millis) -> Option<i64> {
    let sent = fields.get("sentAt").and_then(|raw| instant(raw));
    sent.filter(|sent| (0..CLOCK_END).contains(sent)).map(|sent| now - sent)
}

fn refused(error: Error, fields: &Fields<'_>) -> Box<Refused> {
    let person = text_of(fields, "userId").or_else(|| text_of(fields, "anonymousId"));
    let event = text_of(fields, "event").unwrap_or_default();
    Box::new(Refused { error, person: person.unwrap_or_default(), event })
}

/// The messages of a list. A message may say itself when it was sent, where the batch does not.
fn batch(
    list: &str,
    context: Option<&RawValue>,
    corrected: Option<i64>,
    admission: Admission<'_>,
) -> Result<Vec<Said>> {
    let list: Vec<&RawValue> =
        serde_json::from_str(list).map_err(|_| malformed("\"batch\" is no list").at("batch"))?;
    let one = |raw: &&RawValue| {
        let no_object = |_| malformed("a message is no JSON object").at("batch");
        let fields = shallow(raw.get()).and_then(|()| serde_json::from_str(raw.get()).map_err(no_object));
        let mut fields: Fields<'_> = fields.map_err(|error| refused(error, &Fields::new()))?;
        if let Some(context) = context {
            fields.entry("context".to_owned()).or_insert(context);
        }
        let correction = corrected.or_else(|| correction(&fields, admission.now));
        records(&fields, None, correction, admission).map_err(|error| refused(error, &fields))
    };
    if list.len() > limits::SEGMENT_MESSAGES_MAX {
        let message = format!("the batch has more than {} messages", limits::SEGMENT_MESSAGES_MAX);
        return Err(Error::new(ErrorKind::TooLarge, "too_large", message)
            .at("batch")
            .hint("send it in parts"));
    }
    Ok(list.iter().map(one).collect())
}

/// What all records of a message share.
struct Common {
    person: String,
    time: Millis,
    id: Option<String>,
}

impl Common {
    /// A record of the message; `part` tells it from the others.
    fn record(&self, kind: RecordKind, name: String, properties: Vec<(String, Value)>, part: &str) -> Record {
        let id = self.id.as_ref().map(|id| format!("{id}{part}"));
        Record { kind, identity: self.person.clone(), name, time: Some(self.time), properties, id }
    }

    /// That the person is known by another identity too.
    fn also(&self, identity: String, part: &str) -> Record {
        Record { identity, ..self.record(RecordKind::Identify, self.person.clone(), Vec::new(), part) }
    }
}

fn records(
    fields: &Fields<'_>,
    kind: Option<Kind>,
    correction: Option<i64>,
    admission: Admission<'_>,
) -> Result<Message> {
    let named = text_of(fields, "type");
    let kind = kind.or_else(|| Kind::parse(named.as_deref()?)).ok_or_else(|| {
        let message = format!("\"{}\" is no type of message", named.unwrap_or_default());
        Error::invalid("bad_type", message).at("type").hint("track, identify, page, screen, group or alias")
    })?;
    let (user, anonymous) = (text_of(fields, "userId"), text_of(fields, "anonymousId"));
    // A word for nobody, where there is an id of somebody's own: strangers stay apart. That the two are one is refused below.
    let own_id = anonymous.is_some() && kind != Kind::Alias;
    let known = user.clone().filter(|user| !(own_id && admission.nobody.includes(user)));
    let person = known.or_else(|| anonymous.clone()).ok_or_else(|| {
        Error::invalid("bad_identity", "neither userId nor anonymousId").at("userId").hint("send one of them")
    })?;
    let time = said_time(fields)?.map_or(admission.now, |t| t.saturating_add(correction.unwrap_or(0)));
    let common = Common { person, time, id: text_of(fields, "messageId") };
    if kind == Kind::Alias {
        let previous = text_of(fields, "previousId")
            .or(anonymous)
            .ok_or_else(|| Error::invalid("bad_identity", "there is no previousId").at("previousId"))?;
        let new = (previous != common.person).then(|| common.also(previous, ""));
        return Ok(Message { records: new.into_iter().collect(), agent: None });
    }
    let mut out = Vec::new();
    if let (Some(user), Some(anonymous)) = (user, anonymous)
        && user != anonymous
    {
        out.push(Record { name: user, ..common.also(anonymous, ":id") });
    }
    out.push(said(fields, kind, &common)?);
    let context = inner(fields.get("context"));
    out.push(common.record(RecordKind::Set, String::new(), origin(&context), ":origin"));
    // A set of nothing says nothing.
    out.retain(|record| record.kind != RecordKind::Set || !record.properties.is_empty());
    Ok(Message { records: out, agent: said_text(&context, "userAgent") })
}

/// When a message says that it happened. One that says it in no way that can be read is refused: it may be of any year.
fn said_time(fields: &Fields<'_>) -> Result<Option<Millis>> {
    for name in ["timestamp", "originalTimestamp"] {
        let Some(raw) = fields.get(name).filter(|raw| !matches!(raw.get(), "null" | "\"\"")) else {
            continue;
        };
        return instant(raw).map(Some).ok_or_else(|| {
            let text: String = raw.get().chars().take(40).collect();
            Error::invalid("bad_time", format!("{text} is no time"))
                .at(name)
                .hint("RFC 3339 such as 2025-03-01T10:00:00Z, or Unix time")
        });
    }
    Ok(None)
}

/// What a message says itself, of the person or of what was done.
fn said(fields: &Fields<'_>, kind: Kind, common: &Common) -> Result<Record> {
    let of = |name| flattened(fields.get(name).copied(), "");
    let event = |name: String, properties| common.record(RecordKind::Event, name, properties, "");
    let set = |properties| common.record(RecordKind::Set, String::new(), properties, "");
    Ok(match kind {
        Kind::Track => {
            let name = text_of(fields, "event").ok_or_else(|| {
                Error::invalid("bad_event", "the event has no name")
                    .at("event")
                    .hint("send its name as event")
            })?;
            event(name, with_revenue(of("properties")?))
        }
        Kind::Page | Kind::Screen => {
            let mut properties = of("properties")?;
            for (field, property) in [("name", "Name"), ("category", "Category")] {
                properties
                    .extend(text_of(fields, field).map(|text| (property.to_owned(), Value::Text(text))));
            }
            let name = if kind == Kind::Page { "Viewed Page" } else { "Viewed Screen" };
            event(name.to_owned(), properties)
        }
        Kind::Group => {
            let group = text_of(fields, "groupId");
            let mut properties: Vec<_> =
                group.into_iter().map(|id| ("Group".to_owned(), Value::Text(id))).collect();
            properties.extend(flattened(fields.get("traits").copied(), "Group ")?);
            set(properties)
        }
        Kind::Identify | Kind::Alias => set(traits(fields)?),
    })
}

/// What is said of the person: where the message says nothing, its context does, as RudderStack's clients in browsers write it.
fn traits(fields: &Fields<'_>) -> Result<Vec<(String, Value)>> {
    let said = flattened(fields.get("traits").copied(), "")?;
    if !said.is_empty() {
        return Ok(said);
    }
    flattened(inner(fields.get("context")).get("traits").map(AsRef::as_ref), "")
}

/// Where a page's visitor came from, as properties of the person: its campaign, and a referrer of another site.
fn origin(context: &Inner) -> Vec<(String, Value)> {
    let part = |name: &str| inner(context.get(name).map(AsRef::as_ref).as_ref());
    let mut out = Vec::new();
    let campaign = part("campaign");
    for (field, property) in [
        ("source", "Source"),
        ("medium", "Medium"),
        ("name", "Name"),
        ("term", "Terms"),
        ("content", "Content"),
    ] {
        out.extend(
            said_text(&campaign, field).map(|value| (format!("Campaign {property}"), Value::Text(value))),
        );
    }
    let page = part("page");
    if let (Some(url), Some(referrer)) = (said_text(&page, "url"), said_text(&page, "referrer"))
        && host(&url) != host(&referrer)
    {
        out.push(("Referrer".to_owned(), Value::Text(referrer)));
    }
    out
}

/// The members of an object in a message.
type Inner = BTreeMap<String, Box<RawValue>>;

fn inner(raw: Option<&&RawValue>) -> Inner {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

fn said_text(object: &Inner, name: &str) -> Option<String> {
    object.get(name).and_then(|raw| text(raw)).filter(|text| !text.is_empty())
}

fn host(url: &str) -> &str {
    let rest = url.split_once("//").map_or(url, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#', ':']).next().unwrap_or(rest);
    host.strip_prefix("www.").unwrap_or(host)
}

/// `Revenue`, which reports look for, is what clients call `revenue`, or else `total`.
fn with_revenue(mut properties: Vec<(String, Value)>) -> Vec<(String, Value)> {
    let amount = |name: &str| {
        let found = properties.iter().find(|(n, _)| n == name).map(|(_, value)| value);
        match found? {
            Value::Number(number) => Some(*number),
            Value::Text(text) => Number::parse_plain(text.trim()),
            Value::Bool(_) => None,
        }
    };
    let has = properties.iter().any(|(name, _)| name == "Revenue");
    let revenue = ["revenue", "total", "value"].into_iter().find_map(amount);
    if let Some(revenue) = revenue.filter(|_| !has) {
        properties.push(("Revenue".to_owned(), Value::Number(revenue)));
    }
    properties
}

/// The values of an object: those of objects in it under `outer.inner`, lists joined by commas, null and what has no name left out.
/// Numbers keep their digits. PHP writes an object of nothing as a list of nothing.
fn flattened(raw: Option<&RawValue>, prefix: &str) -> Result<Vec<(String, Value)>> {
    let mut out = Vec::new();
    let is_nothing =
        |raw: &str| raw == "null" || raw.strip_prefix('[').is_some_and(|rest| rest.trim() == "]");
    let Some(raw) = raw.filter(|raw| !is_nothing(raw.get())) else { return Ok(out) };
    let fields: Fields<'_> = serde_json::from_str(raw.get())
        .map_err(|_| Error::invalid("bad_type", "properties and traits are objects").at("properties"))?;
    add_all(prefix, fields, &mut out)?;
    Ok(out)
}

fn add_all(prefix: &str, fields: Fields<'_>, out: &mut Vec<(String, Value)>) -> Result<()> {
    for (name, value) in fields.into_iter().filter(|(name, _)| !name.trim().is_empty()) {
        add_value(format!("{prefix}{name}"), value, out)?;
    }
    Ok(())
}

fn add_value(name: String, raw: &RawValue, out: &mut Vec<(String, Value)>) -> Result<()> {
    if out.len() > limits::PROPERTIES_MAX {
        let message = format!("more than {} properties", limits::PROPERTIES_MAX);
        return Err(Error::new(ErrorKind::TooLarge, "too_many_properties", message).at("properties"));
    }
    match raw.get().as_bytes().first() {
        Some(b'{') => {
            let fields = serde_json::from_str::<Fields<'_>>(raw.get()).unwrap_or_default();
            add_all(&format!("{name}."), fields, out)?;
        }
        Some(b'[') => {
            let list: Vec<&RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
            let texts: Vec<String> =
                list.into_iter().map(|v| text(v).unwrap_or_else(|| v.get().to_owned())).collect();
            out.push((name, Value::Text(texts.join(","))));
        }
        // A number that is too large stays as text: the message is worth more than the type of one value.
        _ => match Value::from_json(raw.get()) {
            Ok(value) => out.extend(value.map(|value| (name, value))),
            Err(_) => out.push((name, Value::Text(raw.get().to_owned()))),
        },
    }
    Ok(())
}

/// Text, or a number or boolean as text.
fn text(raw: &RawValue) -> Option<String> {
    match raw.get().as_bytes().first()? {
        b'"' => serde_json::from_str(raw.get()).ok(),
        b'{' | b'[' | b'n' => None,
        _ => Some(raw.get().to_owned()),
    }
}

fn text_of(fields: &Fields<'_>, name: &str) -> Option<String> {
    fields
        .get(name)
        .and_then(|raw| text(raw))
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty())
}

/// RFC 3339 text, or Unix time in seconds or milliseconds.
fn instant(raw: &RawValue) -> Option<Millis> {
    let text = text(raw)?;
    if let Ok(time) = parse_loose_instant(&text) {
        return Some(time);
    }
    let number = text.parse::<f64>().ok().filter(|n| n.is_finite())?;
    Some(if number > 1e11 { number as Millis } else { (number * 1000.0) as Millis })
}

#[cfg(test)]
mod tests {
    use super::super::unpack::decode;
    use super::*;
    use crate::model::mend_json;

    const NOW: Millis = 1_740_823_260_000;

    /// The time of a message with these fields, or why it is refused.
    fn time(fields: &str) -> std::result::Result<Millis, &'static str> {
        let text = format!(r#"{{"userId":"u","event":"E",{fields}"x":1}}"#);
        let message = read(&text, Some(Kind::Track), Admission::usual(NOW)).unwrap().remove(0);
        message.map(|message| message.records[0].time.unwrap()).map_err(|refused| refused.error.code())
    }

    #[test]
    fn a_time_that_cannot_be_read_is_refused_and_none_is_now() {
        let known = Ok(1_740_823_200_000);
        for text in ["2025-03-01T10:00:00Z", "2025-03-01T10:00:00", "2025-03-01 10:00:00", "1740823200"] {
            assert_eq!(time(&format!(r#""timestamp":"{text}","#)), known, "{text}");
        }
        assert_eq!(time(r#""timestamp":1740823200000,"#), known);
        assert_eq!(time(r#""timestamp":null,"originalTimestamp":"2025-03-01T10:00:00Z","#), known);
        assert_eq!(time(r#""timestamp":"2025-03-01","#), Ok(1_740_787_200_000));
        assert_eq!(
            (time(""), time(r#""timestamp":"","#), time(r#""timestamp":null,"#)),
            (Ok(NOW), Ok(NOW), Ok(NOW))
        );
        assert_eq!(time(&mend_json("\"timestamp\":NaN,")), Err("bad_time"));
        for odd in [r#""yesterday""#, "true", "{}", r#""1 March 2025""#] {
            assert_eq!(time(&format!(r#""timestamp":{odd},"#)), Err("bad_time"), "{odd}");
        }
    }

    fn one(text: &str, kind: Kind) -> Vec<Record> {
        read(text, Some(kind), Admission::usual(NOW)).unwrap().remove(0).unwrap().records
    }

    fn property<'r>(record: &'r Record, name: &str) -> Option<&'r Value> {
        record.properties.iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    #[test]
    fn clocks_that_no_clock_can_show_are_none() {
        for sent in ["\"-0021111111111111111111\"", "-1e308", "1e308", "\"1e30\""] {
            let text =
                format!(r#"{{"userId":"u","event":"E","timestamp":"2025-03-01T10:00:00Z","sentAt":{sent}}}"#);
            assert_eq!(one(&text, Kind::Track)[0].time, Some(NOW - 60_000), "{sent}");
            let text = format!(r#"{{"userId":"u","event":"E","timestamp":{sent},"sentAt":{sent}}}"#);
            assert!(one(&text, Kind::Track)[0].time.is_some());
        }
    }

    #[test]
    fn a_message_is_who_what_and_when() {
        // The client's clock is a minute behind.
        let text = r#"{"userId":"u1","anonymousId":"anon","event":"Paid","messageId":"m1",
            "timestamp":"2025-03-01T09:59:50Z","sentAt":"2025-03-01T10:00:00Z",
            "properties":{"revenue":"9.90","big":12345678901234567890.10,"plan":null,"a":{"b":[1,"x",true]},"n":"007"},
            "context":{"campaign":{"source":"news"},"page":{"url":"https://shop.test/","referrer":"https://www.bing.com/"}}}"#;
        let records = one(text, Kind::Track);
        let [link, event, origin] = records.as_slice() else { panic!("{records:?}") };
        assert_eq!(
            (link.identity.as_str(), link.name.as_str(), link.id.as_deref()),
            ("anon", "u1", Some("m1:id"))
        );
        assert_eq!((event.identity.as_str(), event.id.as_deref()), ("u1", Some("m1")));
        assert_eq!(event.time, Some(NOW - 10_000));
        assert_eq!(property(event, "Revenue"), Some(&Value::from_wire("9.9")));
        assert_eq!(property(event, "big"), Some(&Value::from_wire("12345678901234567890.1")));
        assert_eq!(property(event, "a.b"), Some(&Value::from("1,x,true")));
        assert_eq!(property(event, "n"), Some(&Value::from("007")), "text stays text");
        assert!(property(event, "plan").is_none());
        assert_eq!(property(origin, "Campaign Source"), Some(&Value::from("news")));
        assert_eq!(property(origin, "Referrer"), Some(&Value::from("https://www.bing.com/")));
    }

    #[test]
    fn each_kind_is_its_records() {
        let set = one(r#"{"userId":7,"traits":{"email":"a@b.c","n":{"x":1}}}"#, Kind::Identify);
        assert_eq!(
            (set[0].kind, set[0].identity.as_str(), set[0].properties.len()),
            (RecordKind::Set, "7", 2)
        );
        assert!(one(r#"{"userId":"u"}"#, Kind::Identify).is_empty(), "a set of nothing");
        for traits in ["", r#""traits":null,"#, r#""traits":[],"#, r#""traits":{},"#] {
            let text = format!(r#"{{"userId":"u",{traits}"context":{{"traits":{{"email":"r@x"}}}}}}"#);
            let set = one(&text, Kind::Identify);
            assert_eq!(property(&set[0], "email"), Some(&Value::from("r@x")), "{text}");
        }
        let own = r#"{"userId":"u","event":"E","traits":{"a":1},"context":{"traits":{"b":2}}}"#;
        assert!(property(&one(own, Kind::Identify)[0], "b").is_none());
        assert_eq!(one(own, Kind::Track).len(), 1, "only an identify says what somebody is");
        let page = one(r#"{"anonymousId":"a","name":"Home","properties":{"url":"/"}}"#, Kind::Page);
        assert_eq!(
            (page[0].name.as_str(), property(&page[0], "Name")),
            ("Viewed Page", Some(&Value::from("Home")))
        );
        let group = one(r#"{"userId":"u","groupId":"g1","traits":{"name":"Acme"}}"#, Kind::Group);
        assert_eq!(property(&group[0], "Group name"), Some(&Value::from("Acme")));
        let alias = one(r#"{"userId":"u","previousId":"anon"}"#, Kind::Alias);
        assert_eq!((alias[0].identity.as_str(), alias[0].name.as_str()), ("anon", "u"));
        assert!(one(r#"{"userId":"u","previousId":"u"}"#, Kind::Alias).is_empty(), "nobody new");
        let nobody = one(r#"{"userId":"null","anonymousId":"a1","event":"E"}"#, Kind::Track);
        let names: Vec<_> = nobody.iter().map(|r| (r.kind, r.identity.as_str(), r.name.as_str())).collect();
        assert_eq!(names, [(RecordKind::Identify, "a1", "null"), (RecordKind::Event, "a1", "E")]);
        let alias = one(r#"{"userId":"null","anonymousId":"a1","previousId":"a2"}"#, Kind::Alias);
        assert_eq!((alias[0].identity.as_str(), alias[0].name.as_str()), ("a2", "null"));
    }

    #[test]
    fn one_odd_value_costs_no_message() {
        let body = br#"[{"type":"track","userId":"u","event":"A\ud83d","properties":{"tiny":1.2345678901234567e-7,"huge":1e40,
            "half":"a\uDE00b","none":NaN,"":1," ":2,"list":[NaN,"c\ud800"],"in":{"":3,"x":4}}},
            {"type":"track","userId":"u","event":"B","properties":[ ]},{"type":"identify","userId":"u","traits":[]}]"#;
        let text = decode(body, |_| true).unwrap();
        let messages = read(&text, None, Admission::usual(NOW)).unwrap();
        let records: Vec<_> = messages.iter().flat_map(|m| m.as_ref().unwrap().records.clone()).collect();
        assert_eq!(records.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["A\u{fffd}", "B"]);
        let record = records[0].clone().checked(Admission::usual(NOW)).unwrap();
        let shown: Vec<_> = record.properties.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let tiny = "tiny=0.00000012345678901235";
        assert_eq!(shown, ["half=a\u{fffd}b", "huge=1e40", "in.x=4", "list=NaN,c\u{fffd}", "none=NaN", tiny]);
    }

    #[test]
    fn a_message_may_say_itself_when_it_was_sent() {
        // Its clock is a minute behind.
        let own = r#"{"type":"track","userId":"u","event":"A","timestamp":"2025-03-01T10:00:00Z","sentAt":"2025-03-01T10:00:00Z"}"#;
        let time =
            |text: &str| read(text, None, Admission::usual(NOW)).unwrap().remove(0).unwrap().records[0].time;
        assert_eq!(time(&format!("[{own}]")), Some(NOW));
        assert_eq!(
            time(&format!(r#"{{"sentAt":"2025-03-01T10:00:30Z","batch":[{own}]}}"#)),
            Some(NOW - 30_000)
        );
    }

    #[test]
    fn a_batch_takes_what_is_good() {
        let text = r#"{"writeKey":"WK","batch":[{"type":"track","userId":"u","event":"A"},{"type":"track","userId":"u"},
            {"type":"what","userId":"u"},{"type":"page"},7]}"#;
        let messages = read(text, None, Admission::usual(NOW)).unwrap();
        assert_eq!((write_key(text).as_deref(), write_key("[7]")), (Some("WK"), None));
        let codes: Vec<_> = messages
            .iter()
            .map(|m| m.as_ref().map_err(|refused| refused.error.code()).map(|m| m.records.len()))
            .collect();
        assert_eq!(codes, [Ok(1), Err("bad_event"), Err("bad_type"), Err("bad_identity"), Err("bad_json")]);
        assert_eq!(read("7", None, Admission::usual(NOW)).err().unwrap().code(), "bad_json");
        assert_eq!(read("{}", None, Admission::usual(NOW)).err().unwrap().place(), Some("batch"));
    }

    #[test]
    fn a_message_that_is_too_deep_is_refused_and_the_others_are_not() {
        let deep = |levels: usize| {
            let (open, close) = ("{\"a\":".repeat(levels), "}".repeat(levels));
            format!("{{\"type\":\"track\",\"userId\":\"u\",\"event\":\"A\",\"properties\":{open}1{close}}}")
        };
        let batch = format!("{{\"batch\":[{},{},{}]}}", deep(3), deep(100_000), deep(23));
        let messages = read(&batch, None, Admission::usual(NOW)).unwrap();
        let codes: Vec<_> = messages
            .iter()
            .map(|m| m.as_ref().map_err(|refused| refused.error.code()).map(|m| m.records.len()))
            .collect();
        assert_eq!(codes, [Ok(1), Err("too_deep"), Ok(1)]);
        let single = read(&deep(24), Some(Kind::Track), Admission::usual(NOW)).unwrap();
        assert_eq!(single[0].as_ref().map_err(|refused| refused.error.code()).unwrap_err(), "too_deep");
    }

    #[test]
    fn a_batch_of_very_many_values_or_messages_is_refused_as_a_whole() {
        let read = |text: &str| read(&decode(text.as_bytes(), |_| true)?, None, Admission::usual(NOW));
        let tiny = format!(r#"{{"batch":[1{}]}}"#, ",1".repeat(1 << 20));
        assert_eq!(read(&tiny).unwrap_err().code(), "too_many_values");
        let message = r#"{"type":"track","userId":"somebody","event":"Visited Site"}"#;
        let many = |count: usize| format!(r#"{{"batch":[{}]}}"#, vec![message; count].join(","));
        assert_eq!(read(&many(limits::SEGMENT_MESSAGES_MAX + 1)).unwrap_err().code(), "too_large");
        assert_eq!(read(&many(limits::SEGMENT_MESSAGES_MAX)).unwrap().len(), limits::SEGMENT_MESSAGES_MAX);
    }
}
