//! Strict reading of JSON queries: every value knows its place, unknown fields are errors with the nearest name that
//! exists, and numbers keep their literal, so that none is rounded.

use super::nearest::nearest;
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::model::{Json, Value};

/// A JSON value with its place in the query.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its place, such as `steps[1].where[0]`; empty for the whole query.
    pub at: String,
    json: Json,
}

/// The fields of an object, taken one by one.
#[derive(Debug)]
pub struct Fields {
    /// The place of the object.
    pub at: String,
    fields: Vec<(String, Json)>,
    asked: Vec<&'static str>,
}

impl Node {
    /// Reads a whole query.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > limits::QUERY_BYTES_MAX {
            return Err(Error::new(ErrorKind::TooLarge, "query_too_large", "the query is longer than 1 MiB"));
        }
        Ok(Self { at: String::new(), json: Json::parse(text)? })
    }

    fn expected(&self, what: &str) -> Error {
        let found = match self.json {
            Json::Null => "null",
            Json::Bool(_) => "a boolean",
            Json::Number(_) => "a number",
            Json::String(_) => "text",
            Json::Array(_) => "a list",
            Json::Object(_) => "an object",
        };
        self.error("bad_type", format!("{what} expected, {found} found"))
    }

    /// An error at this place.
    pub fn error(&self, code: &'static str, message: impl Into<String>) -> Error {
        let error = Error::invalid(code, message);
        if self.at.is_empty() { error } else { error.at(self.at.clone()) }
    }

    /// It as JSON text, numbers as they were written.
    pub fn to_text(&self) -> String {
        self.json.to_string()
    }

    /// Whether it is text.
    pub fn is_text(&self) -> bool {
        matches!(self.json, Json::String(_))
    }

    /// Its fields.
    pub fn object(self) -> Result<Fields> {
        match self.json {
            Json::Object(fields) => Ok(Fields { at: self.at, fields, asked: Vec::new() }),
            _ => Err(self.expected("an object")),
        }
    }

    /// Its fields whatever they are called, each with its name.
    pub fn entries(self) -> Result<Vec<(String, Self)>> {
        let Fields { at, fields, .. } = self.object()?;
        let entry = |(name, json): (String, Json)| {
            let at = place(&at, &name);
            (name, Self { at, json })
        };
        Ok(fields.into_iter().map(entry).collect())
    }

    /// Itself, unless it is null.
    pub fn some(self) -> Option<Self> {
        Some(self).filter(|node| !matches!(node.json, Json::Null))
    }

    /// Its elements.
    pub fn list(self) -> Result<Vec<Self>> {
        match self.json {
            Json::Array(list) => {
                let at = |i: usize| format!("{}[{i}]", self.at);
                Ok(list.into_iter().enumerate().map(|(i, json)| Self { at: at(i), json }).collect())
            }
            _ => Err(self.expected("a list")),
        }
    }

    /// Text at a place of a query.
    pub fn of_text(at: &str, text: &str) -> Self {
        Self { at: at.to_owned(), json: Json::String(text.to_owned()) }
    }

    /// One of some texts, each standing for something; `what` says of what kind they are.
    pub fn choice<T: Copy>(self, what: &str, choices: &[(&str, T)]) -> Result<T> {
        let place = self.clone();
        let text = self.text()?;
        choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            place.error("unknown_choice", format!("no {what} \"{text}\"")).hint(names.join(", "))
        })
    }

    /// Text.
    pub fn text(self) -> Result<String> {
        match self.json {
            Json::String(text) => Ok(text),
            _ => Err(self.expected("text")),
        }
    }

    /// A boolean.
    pub fn boolean(self) -> Result<bool> {
        match self.json {
            Json::Bool(b) => Ok(b),
            _ => Err(self.expected("true or false")),
        }
    }

    /// A whole number from `low` to `high`.
    pub fn integer(self, low: u64, high: u64) -> Result<u64> {
        let number = match &self.json {
            Json::Number(text) => text.parse::<u64>().ok(),
            _ => return Err(self.expected("a whole number")),
        };
        number.filter(|n| (low..=high).contains(n)).ok_or_else(|| {
            let range = if high == u64::MAX { "on".to_owned() } else { format!("to {high}") };
            self.error("out_of_range", format!("a whole number from {low} {range} expected"))
        })
    }

    /// A property value: text, a number or a boolean.
    pub fn value(self) -> Result<Value> {
        match &self.json {
            Json::String(text) => Ok(Value::Text(text.clone())),
            Json::Bool(b) => Ok(Value::Bool(*b)),
            Json::Number(text) => match Value::from_json(text) {
                Ok(Some(value)) => Ok(value),
                Ok(None) => Err(self.expected("a value")),
                Err(error) => Err(error.within(&self.at)),
            },
            _ => Err(self.expected("text, a number or a boolean")),
        }
    }

    /// A property value or null.
    pub fn value_or_null(self) -> Result<Option<Value>> {
        if matches!(self.json, Json::Null) { Ok(None) } else { self.value().map(Some) }
    }

    /// One name or a list of them: trimmed, none empty, at most `most`.
    pub fn names(self, most: usize) -> Result<Vec<String>> {
        let nodes = if self.is_text() { vec![self.clone()] } else { self.clone().list()? };
        if nodes.is_empty() || nodes.len() > most {
            return Err(self.error("out_of_range", format!("1 to {most} names expected")));
        }
        nodes.into_iter().map(Self::name).collect()
    }

    /// A name: trimmed, not empty.
    pub fn name(self) -> Result<String> {
        let at = self.at.clone();
        let text = self.text()?;
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(Error::invalid("empty_name", "the name is empty").at(at));
        }
        Ok(trimmed.to_owned())
    }
}

impl Fields {
    /// Takes a field; `None` if it is absent or null.
    pub fn take(&mut self, name: &'static str) -> Option<Node> {
        self.take_with_null(name).and_then(Node::some)
    }

    /// Takes a field, null or not.
    pub fn take_with_null(&mut self, name: &'static str) -> Option<Node> {
        self.asked.push(name);
        let at = self.fields.iter().position(|(n, _)| n == name)?;
        let (_, json) = self.fields.swap_remove(at);
        Some(Node { at: place(&self.at, name), json })
    }

    /// Takes a field that must be there.
    pub fn require(&mut self, name: &'static str) -> Result<Node> {
        self.take(name).ok_or_else(|| {
            let error = Error::invalid("missing_field", format!("\"{name}\" is missing"));
            if self.at.is_empty() { error } else { error.at(self.at.clone()) }
        })
    }

    /// Ends the reading: what was not asked for is an error.
    pub fn end(self) -> Result<()> {
        let mut left: Vec<&str> = self.fields.iter().map(|(n, _)| n.as_str()).collect();
        left.sort_unstable();
        let Some(name) = left.first() else { return Ok(()) };
        let error = Error::invalid("unknown_field", format!("there is no field \"{name}\" here"))
            .at(place(&self.at, name));
        Err(match nearest(name, self.asked.iter().copied()) {
            Some(near) => error.hint(format!("did you mean \"{near}\"?")),
            None => error.hint(format!("the fields here are {}", self.asked.join(", "))),
        })
    }
}

/// Where a field of the object at `at` is.
fn place(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}
