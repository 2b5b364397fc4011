//! How the oracle reads queries: fields of JSON, ranges of time and property conditions, written apart from
//! the parser of the reports so that a misreading there shows.

use serde_json::{Map, Value as Json};

use super::oracle::Event;
use crate::error::{Error, Result};
use crate::model::{Millis, Number, Value, Zone};

/// What every part of a query is read and judged with.
pub(super) struct Scope {
    pub(super) zone: Zone,
    pub(super) as_of: Millis,
}

/// From the first (inclusive) to the second (exclusive), each open if absent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Range {
    pub(super) from: Option<Millis>,
    pub(super) to: Option<Millis>,
}

/// One event name or several, with conditions on the event's properties.
pub(super) struct Pattern {
    names: Vec<String>,
    conditions: Vec<Condition>,
}

/// `property operator operand`.
pub(super) struct Condition {
    pub(super) property: String,
    operator: String,
    operand: Json,
}

const OPERATORS: [&str; 10] =
    ["is", "is_not", "in", "contains", "starts_with", "gt", "gte", "lt", "lte", "set"];

/// JSON text as a value.
pub(super) fn parse(text: &str) -> Result<Json> {
    serde_json::from_str(text).map_err(|e| Error::invalid("bad_json", format!("not JSON: {e}")))
}

pub(super) fn wrong(what: &str) -> Error {
    Error::invalid("bad_query", format!("the oracle cannot read {what}"))
}

pub(super) fn object(value: &Json) -> Result<&Map<String, Json>> {
    value.as_object().ok_or_else(|| wrong(&format!("{value} as an object")))
}

/// A field that is neither absent nor null.
pub(super) fn field<'a>(map: &'a Map<String, Json>, name: &str) -> Option<&'a Json> {
    map.get(name).filter(|v| !v.is_null())
}

pub(super) fn text<'a>(map: &'a Map<String, Json>, name: &str) -> Result<Option<&'a str>> {
    let read = |v: &'a Json| v.as_str().ok_or_else(|| wrong(&format!("{name} as text")));
    field(map, name).map(read).transpose()
}

pub(super) fn whole(map: &Map<String, Json>, name: &str) -> Result<Option<usize>> {
    let read = |v: &Json| v.as_u64().and_then(|n| usize::try_from(n).ok());
    field(map, name).map(|v| read(v).ok_or_else(|| wrong(&format!("{name} as a whole number")))).transpose()
}

pub(super) fn list<'a>(map: &'a Map<String, Json>, name: &str) -> Result<&'a [Json]> {
    match field(map, name) {
        None => Ok(&[]),
        Some(v) => v.as_array().map(Vec::as_slice).ok_or_else(|| wrong(&format!("{name} as a list"))),
    }
}

/// Refuses fields that mean nothing here, so that a mistyped test does not pass for a weaker one.
pub(super) fn only(map: &Map<String, Json>, known: &[&str]) -> Result<()> {
    match map.keys().find(|k| !known.contains(&k.as_str())) {
        None => Ok(()),
        Some(k) => Err(Error::invalid("unknown_field", format!("there is no field \"{k}\" here")).at(k)),
    }
}

/// A date is a whole day; as an `as_of` it is the last instant of it.
pub(super) fn as_of(map: &Map<String, Json>, zone: &Zone, now: Millis) -> Result<Millis> {
    match text(map, "as_of")? {
        None => Ok(now),
        Some(date) if date.len() == 10 => Ok(zone.parse_to(date)? - 1),
        Some(instant) => crate::model::parse_instant(instant),
    }
}

impl Range {
    pub(super) fn read(map: &Map<String, Json>, zone: &Zone) -> Result<Self> {
        let from = text(map, "from")?.map(|t| zone.parse_from(t)).transpose()?;
        let to = text(map, "to")?.map(|t| zone.parse_to(t)).transpose()?;
        Ok(Self { from, to })
    }

    pub(super) fn holds(self, time: Millis) -> bool {
        self.from.is_none_or(|from| from <= time) && self.to.is_none_or(|to| time < to)
    }
}

impl Pattern {
    /// Reads the names under `key` and the conditions under `where`.
    pub(super) fn read(map: &Map<String, Json>, key: &str) -> Result<Self> {
        let names = match field(map, key) {
            Some(Json::String(one)) => vec![one.clone()],
            Some(Json::Array(several)) => {
                several.iter().filter_map(|n| n.as_str().map(str::to_owned)).collect()
            }
            _ => return Err(wrong(&format!("{key} as one event or several"))),
        };
        let names = names.into_iter().map(|n| n.trim().to_owned()).collect();
        let mut conditions = Vec::new();
        for condition in list(map, "where")? {
            let condition = object(condition)?;
            only(condition, &[&["property"], &OPERATORS[..]].concat())?;
            conditions.push(Condition::read(condition)?);
        }
        Ok(Self { names, conditions })
    }

    pub(super) fn matches(&self, event: &Event<'_>) -> bool {
        self.names.iter().any(|n| n == event.name)
            && self.conditions.iter().all(|c| c.holds(event.property(&c.property)))
    }
}

impl Condition {
    pub(super) fn read(map: &Map<String, Json>) -> Result<Self> {
        let property = text(map, "property")?.ok_or_else(|| wrong("a condition without a property"))?;
        let mut given = OPERATORS.iter().filter_map(|o| map.get(*o).map(|operand| (*o, operand)));
        let (Some((operator, operand)), None) = (given.next(), given.next()) else {
            return Err(wrong("a condition that has not exactly one operator"));
        };
        let (property, operator) = (property.trim().to_owned(), operator.to_owned());
        Ok(Self { property, operator, operand: operand.clone() })
    }

    /// Whether it is true of a property's value, or of its absence.
    pub(super) fn holds(&self, value: Option<&Value>) -> bool {
        match (self.operator.as_str(), value) {
            ("set", _) => Some(value.is_some()) == self.operand.as_bool(),
            ("is_not", None) => true,
            (_, None) => false,
            ("is", Some(v)) => equal(v, &self.operand),
            ("is_not", Some(v)) => !equal(v, &self.operand),
            ("in", Some(v)) => self.operand.as_array().is_some_and(|all| all.iter().any(|o| equal(v, o))),
            ("contains", Some(v)) => self.texts(v).is_some_and(|(v, o)| v.contains(&o)),
            ("starts_with", Some(v)) => self.texts(v).is_some_and(|(v, o)| v.starts_with(&o)),
            (_, Some(v)) => self.in_order(v),
        }
    }

    /// Value and operand as text, if both have one.
    fn texts(&self, value: &Value) -> Option<(String, String)> {
        let operand = match &self.operand {
            Json::String(t) => t.clone(),
            Json::Number(_) => number(&self.operand)?.to_string(),
            _ => return None,
        };
        match value {
            Value::Bool(_) => None,
            _ => Some((value.to_string(), operand)),
        }
    }

    fn in_order(&self, value: &Value) -> bool {
        let ordering = match (value, number(&self.operand)) {
            (Value::Number(v), Some(o)) => v.cmp(&o),
            (Value::Text(v), None) => match self.operand.as_str() {
                Some(o) => v.as_bytes().cmp(o.as_bytes()),
                None => return false,
            },
            _ => return false,
        };
        match self.operator.as_str() {
            "gt" => ordering.is_gt(),
            "gte" => ordering.is_ge(),
            "lt" => ordering.is_lt(),
            _ => ordering.is_le(),
        }
    }
}

/// An operand as a number: a number, or text that reads as a plain one.
fn number(operand: &Json) -> Option<Number> {
    match operand {
        Json::Number(n) => Number::parse(&n.to_string()),
        Json::String(t) => Number::parse_plain(t),
        _ => None,
    }
}

/// Which of the values of a report a label means: the same one, or else the one that is written alike.
pub(super) fn meant(label: &Json, values: &[Json]) -> Json {
    let alike = |value: &&Json| match (*value, label) {
        (Json::Bool(v), Json::String(l)) | (Json::String(l), Json::Bool(v)) => *l == v.to_string(),
        (Json::Number(_), Json::String(l)) => {
            Number::parse_plain(l).is_some_and(|l| number(value) == Some(l))
        }
        (Json::String(v), Json::Number(_)) => number(label).is_some_and(|l| l.to_string() == *v),
        _ => false,
    };
    if values.contains(label) { label.clone() } else { values.iter().find(alike).unwrap_or(label).clone() }
}

/// `is`: the same value; text and number are the same where the wire would have made a number of that text.
fn equal(value: &Value, operand: &Json) -> bool {
    match (value, operand) {
        (Value::Bool(v), Json::Bool(o)) => v == o,
        (Value::Number(v), Json::Number(_) | Json::String(_)) => number(operand) == Some(*v),
        (Value::Text(v), Json::String(o)) => v == o,
        (Value::Text(v), Json::Number(_)) => number(operand).is_some_and(|o| o.to_string() == *v),
        _ => false,
    }
}
