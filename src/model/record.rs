//! What comes in: an event, a `set` or an `identify`, with the checks that every way in applies alike.

use memchr::memchr;

use super::{Admission, Millis, Value, ValueRef};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;

/// Names and values, in the order of the names, each name once.
pub type Properties = Vec<(String, Value)>;

/// Which of the three a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// Somebody did something.
    Event,
    /// Somebody's person has these properties.
    Set,
    /// Two identities are one person.
    Identify,
}

/// One record as a client sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which of the three.
    pub kind: RecordKind,
    /// Who: the identity it arrived under.
    pub identity: String,
    /// The event's name; of an identify the other identity; empty for a set.
    pub name: String,
    /// When, if the client said so; else the server's clock decides.
    pub time: Option<Millis>,
    /// Sorted by name; empty for an identify.
    pub properties: Properties,
    /// The client's own id of the record: a second one with the same id is a duplicate.
    pub id: Option<String>,
}

/// A [`Record`] without an id whose text lies somewhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// Which of the three.
    pub kind: RecordKind,
    /// Who.
    pub identity: &'a str,
    /// The event's name; of an identify the other identity; empty for a set.
    pub name: &'a str,
    /// When.
    pub time: Option<Millis>,
    /// In any order.
    pub properties: Vec<(&'a str, ValueRef<'a>)>,
}

impl<'a> RecordRef<'a> {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self { kind: RecordKind::Event, identity: "", name: "", time: None, properties: Vec::new() }
    }

    /// Becomes `record`; its id stays behind.
    pub fn refer_to(&mut self, record: &'a Record) {
        self.properties.clear();
        self.properties.extend(record.properties.iter().map(|(name, value)| (name.as_str(), value.as_ref())));
        (self.kind, self.time) = (record.kind, record.time);
        (self.identity, self.name) = (&record.identity, &record.name);
    }

    /// Whether [`Record::checked`] would leave the record as it is, but for the order of its properties and names given twice. Names
    /// of events and properties are not looked at: one that the store knows is clean. May say no where it would, never yes where
    /// it would not.
    pub fn is_clean(&self, admission: Admission<'_>) -> bool {
        let named = match self.kind {
            RecordKind::Event => true,
            RecordKind::Identify => {
                is_clean_name(self.name)
                    && ![self.name, self.identity].into_iter().any(|word| admission.nobody.includes(word))
            }
            RecordKind::Set => !self.properties.is_empty(),
        };
        let clean = |(_, value): &(&str, ValueRef<'_>)| match value {
            ValueRef::Text(text) => {
                text.len() <= limits::VALUE_BYTES_MAX && memchr(0, text.as_bytes()).is_none()
            }
            ValueRef::Bool(_) | ValueRef::Number(_) => true,
        };
        named
            && is_clean_name(self.identity)
            && self.time.is_none_or(|time| check_time(time, admission.now).is_ok())
            && self.properties.len() <= limits::PROPERTIES_MAX
            && self.properties.iter().all(clean)
    }
}

impl Default for RecordRef<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether [`check_name`] gives `name` back as it is. Names of plain characters, as nearly all are, need no look at each.
fn is_clean_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let spaced = bytes.first() == Some(&b' ') || bytes.last() == Some(&b' ');
    // Without an early end, so that many bytes are looked at together.
    let all_plain = || bytes.iter().fold(true, |plain, b| plain & (0x20..0x7f).contains(b));
    let plain = bytes.len() <= limits::NAME_CHARS_MAX && all_plain();
    if plain {
        !bytes.is_empty() && !spaced
    } else {
        check_name(name, "name").is_ok_and(|n| n.len() == name.len())
    }
}

impl Record {
    fn new(kind: RecordKind, identity: &str, name: &str) -> Self {
        let (identity, name) = (identity.to_owned(), name.to_owned());
        Self { kind, identity, name, time: None, properties: Vec::new(), id: None }
    }

    /// Somebody did something.
    pub fn event(identity: &str, name: &str) -> Self {
        Self::new(RecordKind::Event, identity, name)
    }

    /// Properties of somebody, which [`Record::with`] adds.
    pub fn set(identity: &str) -> Self {
        Self::new(RecordKind::Set, identity, "")
    }

    /// Two identities are one person.
    pub fn identify(identity: &str, other: &str) -> Self {
        Self::new(RecordKind::Identify, identity, other)
    }

    /// With a property more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.properties.push((name.to_owned(), value.into()));
        self
    }

    /// At an instant instead of when it is stored.
    #[must_use]
    pub fn at(mut self, time: Millis) -> Self {
        self.time = Some(time);
        self
    }

    /// With an id of its own, by which it is stored once.
    #[must_use]
    pub fn known_by(mut self, id: &str) -> Self {
        self.id = Some(id.to_owned());
        self
    }

    /// Applies the rules that hold for every record: trims names, bounds lengths and counts, sorts the
    /// properties (of a name given twice the last value stands) and refuses what cannot be stored, naming the field.
    pub fn checked(mut self, admission: Admission<'_>) -> Result<Self> {
        self.identity = check_name(&self.identity, "identity")?.to_owned();
        if self.kind != RecordKind::Set {
            let what = if self.kind == RecordKind::Event { "event" } else { "identity" };
            self.name = check_name(&self.name, what)?.to_owned();
        }
        if let Some(time) = self.time {
            check_time(time, admission.now)?;
        }
        self.id.as_deref().map_or(Ok(()), check_id)?;
        self.properties = check_properties(self.properties)?;
        check_sets(self.kind, &self.properties)?;
        // Either way round, as the two are one person from then on.
        let word = [&self.name, &self.identity].into_iter().find(|word| admission.nobody.includes(word));
        if let Some(word) = word.filter(|_| self.kind == RecordKind::Identify) {
            let message =
                format!("\"{word}\" stands for nobody: everybody identified with it would become one person");
            return Err(Error::invalid("nobody", message)
                .at("identity")
                .hint("call identify only once the user is known"));
        }
        Ok(self)
    }

    /// Whether a store can hold the record as it is: [`Record::checked`] leaves such ones. What depends on the day and on the words for
    /// nobody is not looked at.
    ///
    /// # Errors
    /// Those of [`Record::checked`]; `not_checked` if it would change the record.
    pub fn storable(&self) -> Result<()> {
        clean(&self.identity, "identity")?;
        match self.kind {
            RecordKind::Event => clean(&self.name, "event")?,
            RecordKind::Identify => clean(&self.name, "identity")?,
            // Nobody reads the name of a set.
            RecordKind::Set => {}
        }
        self.time.map_or(Ok(()), |time| check_time(time, limits::TIME_MAX_MS - limits::TIME_AHEAD_MS))?;
        self.id.as_deref().map_or(Ok(()), check_id)?;
        for (name, value) in &self.properties {
            clean(name, "property name")?;
            check_value(name, value)?;
        }
        check_number_of(&self.properties)?;
        if !self.properties.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(not_checked("properties"));
        }
        check_sets(self.kind, &self.properties)
    }
}

/// That [`Record::checked`] would make another record of this one.
fn not_checked(what: &str) -> Error {
    Error::invalid("not_checked", format!("the {what} is not as Record::checked leaves it"))
        .at(what)
        .hint("pass each record through Record::checked before it is written")
}

/// An error unless [`check_name`] gives `text` back as it is.
fn clean(text: &str, what: &str) -> Result<()> {
    if is_clean_name(text) || check_name(text, what)?.len() == text.len() {
        return Ok(());
    }
    Err(not_checked(what))
}

fn check_id(id: &str) -> Result<()> {
    let whole = !id.is_empty() && id.chars().count() <= limits::RECORD_ID_CHARS_MAX;
    if whole && !id.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Error::invalid("bad_id", "an id has 1 to 255 characters and no control characters").at("id"))
}

fn check_sets(kind: RecordKind, properties: &Properties) -> Result<()> {
    if kind == RecordKind::Set && properties.is_empty() {
        return Err(
            Error::invalid("no_properties", "a set record sets at least one property").at("properties")
        );
    }
    Ok(())
}

/// Trims a name or identity and checks its length and characters. `what` names the field in the error.
pub fn check_name<'a>(text: &'a str, what: &str) -> Result<&'a str> {
    let trimmed = text.trim();
    let code = match what {
        "identity" | "person" => "bad_identity",
        "event" => "bad_event",
        _ => "bad_property",
    };
    if trimmed.is_empty() {
        return Err(Error::invalid(code, format!("the {what} is empty")).at(what));
    }
    // 255 characters are at most 1,020 bytes, so most names need no count.
    if trimmed.len() > limits::NAME_CHARS_MAX && trimmed.chars().count() > limits::NAME_CHARS_MAX {
        let message = format!("the {what} is longer than {} characters", limits::NAME_CHARS_MAX);
        return Err(Error::new(ErrorKind::TooLarge, code, message).at(what));
    }
    if trimmed.chars().any(char::is_control) {
        return Err(Error::invalid(code, format!("the {what} holds a control character")).at(what));
    }
    Ok(trimmed)
}

fn check_value(name: &str, value: &Value) -> Result<()> {
    let Value::Text(text) = value else { return Ok(()) };
    if text.len() > limits::VALUE_BYTES_MAX {
        let message = format!("the value of \"{name}\" is longer than {} bytes", limits::VALUE_BYTES_MAX);
        return Err(Error::new(ErrorKind::TooLarge, "bad_value", message).at(name));
    }
    if text.contains('\0') {
        return Err(Error::invalid("bad_value", format!("the value of \"{name}\" holds a NUL")).at(name));
    }
    Ok(())
}

fn check_number_of(properties: &Properties) -> Result<()> {
    if properties.len() > limits::PROPERTIES_MAX {
        let message = format!("{} properties; at most {}", properties.len(), limits::PROPERTIES_MAX);
        return Err(Error::new(ErrorKind::TooLarge, "too_many_properties", message).at("properties"));
    }
    Ok(())
}

/// Trims property names, checks names, values and their number, sorts by name; of equal names the last stands.
pub fn check_properties(properties: Properties) -> Result<Properties> {
    let mut out: Properties = Vec::with_capacity(properties.len());
    for (name, value) in properties {
        let trimmed = check_name(&name, "property name")?;
        check_value(trimmed, &value)?;
        let name = if trimmed.len() == name.len() { name } else { trimmed.to_owned() };
        out.push((name, value));
    }
    // Stable, so that of equal names the last given stays last and wins.
    out.sort_by(|a, b| a.0.cmp(&b.0));
    out.dedup_by(|later, kept| {
        let same = later.0 == kept.0;
        if same {
            std::mem::swap(&mut later.1, &mut kept.1);
        }
        same
    });
    check_number_of(&out)?;
    Ok(out)
}

fn check_time(time: Millis, now: Millis) -> Result<()> {
    if time < limits::TIME_MIN_MS {
        return Err(Error::invalid("bad_time", "the time is before 2009")
            .at("time")
            .hint("times are RFC 3339 or Unix seconds"));
    }
    if time > now.saturating_add(limits::TIME_AHEAD_MS) {
        return Err(Error::invalid("bad_time", "the time is more than a day ahead of this server's clock")
            .at("time")
            .hint("times are RFC 3339 or Unix seconds, not milliseconds"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, properties: &[(&str, &str)]) -> Record {
        let properties = properties.iter().map(|(n, v)| ((*n).to_owned(), Value::from(*v))).collect();
        Record {
            kind: RecordKind::Event,
            identity: " jane ".into(),
            name: name.into(),
            time: None,
            properties,
            id: None,
        }
    }

    #[test]
    fn names_are_trimmed_and_the_last_of_equal_properties_stands() {
        let r = event(" Signed Up ", &[("b", "1"), (" a ", "x"), ("a", "y")])
            .checked(Admission::usual(0))
            .unwrap();
        assert_eq!((r.identity.as_str(), r.name.as_str()), ("jane", "Signed Up"));
        assert_eq!(r.properties, vec![("a".into(), Value::from("y")), ("b".into(), Value::from("1"))]);
    }

    #[test]
    fn over_long_input_is_refused_not_cut() {
        let long = "x".repeat(256);
        assert_eq!(event(&long, &[]).checked(Admission::usual(0)).unwrap_err().code(), "bad_event");
        assert_eq!(
            event("e", &[(&long, "v")]).checked(Admission::usual(0)).unwrap_err().code(),
            "bad_property"
        );
        assert_eq!(
            event("e", &[("p", &"v".repeat(8193))]).checked(Admission::usual(0)).unwrap_err().code(),
            "bad_value"
        );
        assert!(event(&"\u{e9}".repeat(255), &[]).checked(Admission::usual(0)).is_ok());
    }

    #[test]
    fn what_is_clean_is_stored_as_it_is() {
        let long = "\u{e9}".repeat(255);
        let texts = [
            "jane",
            " jane",
            "jane ",
            "",
            "ja\u{7f}ne",
            "a\tb",
            "\u{a0}x",
            "caf\u{e9}",
            "NULL",
            "0",
            "\u{85}",
            &long,
        ];
        let mut clean = 0;
        for (kind, identity, name, time) in texts.iter().flat_map(|identity| {
            texts.iter().flat_map(move |name| {
                [RecordKind::Event, RecordKind::Set, RecordKind::Identify].into_iter().flat_map(move |kind| {
                    [None, Some(5), Some(limits::TIME_MIN_MS)].map(|t| (kind, *identity, *name, t))
                })
            })
        }) {
            let (identity, name) =
                (identity.to_owned(), if kind == RecordKind::Set { "" } else { name }.to_owned());
            for property in texts {
                let value = if property == "jane" { "a\0b" } else { property };
                let properties = if kind == RecordKind::Identify || property.is_empty() {
                    vec![]
                } else {
                    vec![(property.to_owned(), Value::from(value))]
                };
                let record = Record {
                    kind,
                    identity: identity.clone(),
                    name: name.clone(),
                    time,
                    properties,
                    id: None,
                };
                let mut view = RecordRef::new();
                view.refer_to(&record);
                let known = |name: &str| check_name(name, "event").is_ok_and(|n| n == name);
                let names = kind == RecordKind::Event && !known(&name);
                if view.is_clean(Admission::usual(limits::TIME_MIN_MS))
                    && !names
                    && record.properties.iter().all(|(n, _)| known(n))
                {
                    clean += 1;
                    assert_eq!(
                        record.clone().checked(Admission::usual(limits::TIME_MIN_MS)).unwrap(),
                        record
                    );
                }
            }
        }
        assert!(clean > 500, "{clean}");
    }

    #[test]
    fn identify_with_a_placeholder_is_refused() {
        for name in ["null", "GUEST", "[object Object]", "NaN"] {
            let r = Record { kind: RecordKind::Identify, ..event(name, &[]) };
            assert_eq!(r.checked(Admission::usual(0)).unwrap_err().code(), "nobody");
        }
    }

    #[test]
    fn what_is_storable_is_what_checking_leaves() {
        let set = |name: &str, value: &str| Record::set("jane").with(name, value);
        let cases = [
            (Record::event("jane", "Paid").with("Plan", "Pro").with("Revenue", 5).known_by("a"), Ok(())),
            (Record::identify("anon", "jane"), Ok(())),
            (set("Plan", "Pro").with("Z", true).at(limits::TIME_MIN_MS), Ok(())),
            (Record::event("", "Paid"), Err("bad_identity")),
            (Record::event(" jane", "Paid"), Err("not_checked")),
            (Record::event("jane", "Paid\n"), Err("not_checked")),
            (Record::event("jane", "a\nb"), Err("bad_event")),
            (Record::event("jane", &"x".repeat(256)), Err("bad_event")),
            (Record::identify("anon", ""), Err("bad_identity")),
            (Record::set("jane"), Err("no_properties")),
            (Record { name: "x".into(), ..set("Plan", "Pro") }, Ok(())),
            (set("Plan", "Pro").with("Plan", "Team"), Err("not_checked")),
            (set("Plan", "Pro").with("A", 1), Err("not_checked")),
            (set("", "Pro"), Err("bad_property")),
            (set("Plan", "a\0b"), Err("bad_value")),
            (set("Plan", &"v".repeat(8193)), Err("bad_value")),
            (set("Plan", "Pro").at(i64::MAX), Err("bad_time")),
            (set("Plan", "Pro").at(0), Err("bad_time")),
            (set("Plan", "Pro").known_by(""), Err("bad_id")),
            (
                (0..257).fold(Record::set("jane"), |r, n| r.with(&format!("{n:03}"), n)),
                Err("too_many_properties"),
            ),
        ];
        for (record, expected) in cases {
            let said = record.storable();
            assert_eq!(said.as_ref().map_err(Error::code).copied(), expected, "{record:?}");
            match (said, record.clone().checked(Admission::usual(limits::TIME_MIN_MS))) {
                (Ok(()), checked) => assert_eq!(checked.unwrap(), record),
                (Err(error), Ok(checked)) => {
                    assert_eq!(error.code(), "not_checked");
                    checked.storable().unwrap();
                }
                (Err(_), Err(_)) => {}
            }
        }
    }
}
