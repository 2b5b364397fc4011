//! JSON as it was written: numbers keep their literal, so that none is rounded, and objects keep the order of their fields.

use std::fmt;
use std::ops::Index;

use rustc_hash::FxHashSet;
use serde_json::value::RawValue;

use super::depth::json_depth;
use super::value::Value;
use crate::error::{Error, ErrorKind, Result};
use crate::limits;

/// A JSON value.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Json {
    /// `null`.
    #[default]
    Null,
    /// A truth.
    Bool(bool),
    /// The literal of a number.
    Number(String),
    /// Text, without its quotes.
    String(String),
    /// A list.
    Array(Vec<Json>),
    /// An object: no name twice.
    Object(Vec<(String, Json)>),
}

static NULL: Json = Json::Null;

impl Json {
    /// Reads a text: `bad_json` if it is none or a field is given twice, `too_deep` if it is nested deeper than
    /// [`limits::QUERY_DEPTH_MAX`].
    pub fn parse(text: &str) -> Result<Self> {
        if json_depth(text) > limits::QUERY_DEPTH_MAX {
            let message = format!("nested deeper than {} levels", limits::QUERY_DEPTH_MAX);
            return Err(Error::new(ErrorKind::Malformed, "too_deep", message));
        }
        let bad = |e| Error::new(ErrorKind::Malformed, "bad_json", format!("not JSON: {e}"));
        serde_json::from_str::<&RawValue>(text).and_then(Self::read).map_err(bad)
    }

    /// Calls itself for each level, whose number is bounded before.
    fn read(raw: &RawValue) -> serde_json::Result<Self> {
        let text = raw.get();
        Ok(match text.as_bytes().first() {
            Some(b'{') => {
                let fields: Fields<'_> = serde_json::from_str(text)?;
                let fields = fields.0.into_iter().map(|(name, raw)| Ok((name, Self::read(raw)?)));
                Self::Object(fields.collect::<serde_json::Result<_>>()?)
            }
            Some(b'[') => {
                let list: Vec<&RawValue> = serde_json::from_str(text)?;
                Self::Array(list.into_iter().map(Self::read).collect::<serde_json::Result<_>>()?)
            }
            Some(b'"') => Self::String(serde_json::from_str(text)?),
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'n') => Self::Null,
            _ => Self::Number(text.to_owned()),
        })
    }

    /// An object of these fields.
    pub fn object<const N: usize>(fields: [(&str, Self); N]) -> Self {
        Self::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// The field of an object.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.as_object()?.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The field of an object, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Self> {
        match self {
            Self::Object(fields) => {
                fields.iter_mut().find(|(known, _)| known == name).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// Gives an object a field, which it may have had; anything else stays as it is.
    pub fn set(&mut self, name: &str, value: Self) {
        if let Some(old) = self.get_mut(name) {
            *old = value;
        } else if let Self::Object(fields) = self {
            fields.push((name.to_owned(), value));
        }
    }

    /// Takes a field out of an object.
    pub fn remove(&mut self, name: &str) -> Option<Self> {
        let Self::Object(fields) = self else { return None };
        let at = fields.iter().position(|(known, _)| known == name)?;
        Some(fields.remove(at).1)
    }

    /// The text.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The truth.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(truth) = self { Some(*truth) } else { None }
    }

    /// The number, if it is whole and fits.
    pub fn as_u64(&self) -> Option<u64> {
        if let Self::Number(literal) = self { literal.parse().ok() } else { None }
    }

    /// The number, rounded.
    pub fn as_f64(&self) -> Option<f64> {
        if let Self::Number(literal) = self { literal.parse().ok() } else { None }
    }

    /// The elements.
    pub fn as_array(&self) -> Option<&[Self]> {
        if let Self::Array(list) = self { Some(list) } else { None }
    }

    /// The fields in their order.
    pub fn as_object(&self) -> Option<&[(String, Self)]> {
        if let Self::Object(fields) = self { Some(fields) } else { None }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        *self == Self::Null
    }
}

/// The field of an object; null if there is none.
impl Index<&str> for Json {
    type Output = Self;

    fn index(&self, name: &str) -> &Self {
        self.get(name).unwrap_or(&NULL)
    }
}

/// The element of a list; null if there is none.
impl Index<usize> for Json {
    type Output = Self;

    fn index(&self, place: usize) -> &Self {
        self.as_array().and_then(|list| list.get(place)).unwrap_or(&NULL)
    }
}

impl PartialEq<&str> for Json {
    fn eq(&self, text: &&str) -> bool {
        self.as_str() == Some(text)
    }
}

impl PartialEq<bool> for Json {
    fn eq(&self, truth: &bool) -> bool {
        self.as_bool() == Some(*truth)
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for Json {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<u64> for Json {
    fn from(number: u64) -> Self {
        Self::Number(number.to_string())
    }
}

/// Null, if JSON has no such number.
impl From<f64> for Json {
    fn from(number: f64) -> Self {
        if number.is_finite() {
            Self::Number(serde_json::Value::from(number).to_string())
        } else {
            Self::Null
        }
    }
}

/// What was made as it should be; of what was read as this, numbers are rounded already.
impl From<serde_json::Value> for Json {
    fn from(value: serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(truth) => Self::Bool(truth),
            serde_json::Value::Number(number) => Self::Number(number.to_string()),
            serde_json::Value::String(text) => Self::String(text),
            serde_json::Value::Array(list) => Self::Array(list.into_iter().map(Self::from).collect()),
            serde_json::Value::Object(fields) => {
                Self::Object(fields.into_iter().map(|(name, value)| (name, value.into())).collect())
            }
        }
    }
}

impl<T: Into<Json>> FromIterator<T> for Json {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        Self::Array(elements.into_iter().map(Into::into).collect())
    }
}

impl From<&String> for Json {
    fn from(text: &String) -> Self {
        Self::String(text.clone())
    }
}

impl From<usize> for Json {
    fn from(number: usize) -> Self {
        Self::Number(number.to_string())
    }
}

impl From<&Value> for Json {
    fn from(value: &Value) -> Self {
        match value {
            Value::Bool(truth) => Self::Bool(*truth),
            Value::Number(number) => Self::Number(number.to_string()),
            Value::Text(text) => Self::String(text.clone()),
        }
    }
}

impl From<Vec<Self>> for Json {
    fn from(list: Vec<Self>) -> Self {
        Self::Array(list)
    }
}

impl serde::Serialize for Json {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_string()).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

/// As text, without spaces.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(truth) => write!(f, "{truth}"),
            Self::Number(literal) => f.write_str(literal),
            Self::String(text) => f.write_str(&quoted(text)),
            Self::Array(list) => {
                f.write_str("[")?;
                for (place, element) in list.iter().enumerate() {
                    write!(f, "{}{element}", if place > 0 { "," } else { "" })?;
                }
                f.write_str("]")
            }
            Self::Object(fields) => {
                f.write_str("{")?;
                for (place, (name, value)) in fields.iter().enumerate() {
                    write!(f, "{}{}:{value}", if place > 0 { "," } else { "" }, quoted(name))?;
                }
                f.write_str("}")
            }
        }
    }
}

/// The fields of an object in their order.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Fields<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Visit;
        impl<'de> serde::de::Visitor<'de> for Visit {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Self::Value, A::Error> {
                let (mut fields, mut names) = (Vec::new(), FxHashSet::default());
                while let Some((name, raw)) = map.next_entry::<String, &'de RawValue>()? {
                    if !names.insert(name.clone()) {
                        return Err(serde::de::Error::custom(format!("the field \"{name}\" is given twice")));
                    }
                    fields.push((name, raw));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Visit)
    }
}

/// Makes one as it is written down.
#[cfg(test)]
macro_rules! json_of {
    ($($json:tt)*) => { crate::model::Json::from(serde_json::json!($($json)*)) };
}
#[cfg(test)]
pub(crate) use json_of;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_the_same() {
        for text in [
            "0.12345678901234567891",
            "-12345678901234567890123456789012345678",
            "1e3",
            r#"{"b":[1.50,null,true,"\"\\\u0007"],"a":{},"":[]}"#,
        ] {
            assert_eq!(Json::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Json::parse(" [ 1 , { \"a\" : 2 } ] ").unwrap().to_string(), r#"[1,{"a":2}]"#);
    }

    #[test]
    fn what_is_none_is_refused() {
        for (text, code) in [
            ("", "bad_json"),
            ("{", "bad_json"),
            ("01", "bad_json"),
            ("[1,]", "bad_json"),
            (r#"{"a":1,"b":{"c":1,"c":2}}"#, "bad_json"),
            (&"[".repeat(65), "too_deep"),
        ] {
            assert_eq!(Json::parse(text).unwrap_err().code(), code, "{text}");
        }
        let deepest = "[".repeat(64) + &"]".repeat(64);
        assert_eq!(Json::parse(&deepest).unwrap().to_string(), deepest);
    }

    #[test]
    fn fields_are_found_changed_and_taken() {
        let mut json = Json::parse(r#"{"a":1,"list":["x",2.5]}"#).unwrap();
        assert_eq!(
            (json["a"].as_u64(), json["list"][1].as_f64(), json["list"][0].as_str()),
            (Some(1), Some(2.5), Some("x"))
        );
        assert!(json["none"][7]["none"].is_null());
        json.set("a", true.into());
        json.set("b", 2_u64.into());
        assert_eq!(json.remove("list"), Some(Json::Array(vec!["x".into(), 2.5.into()])));
        assert_eq!(json.to_string(), r#"{"a":true,"b":2}"#);
        assert_eq!(Json::from(f64::NAN), Json::Null);
    }
}
