//! Conditions on a property, of an event or of a person.

use super::json::Node;
use super::nearest::nearest;
use crate::error::Result;
use crate::model::{Json, Number, Value, ValueRef};

/// A condition on one property.
#[derive(Clone, Debug, PartialEq)]
pub struct PropertyCondition {
    /// The property.
    pub property: String,
    /// What must hold.
    pub test: Test,
}

/// What must hold of a value. Text and the number it reads as are equal: on the wire the value decides its type.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// Equal.
    Is(Value),
    /// Not equal, or not set.
    IsNot(Value),
    /// Equal to one of them.
    In(Vec<Value>),
    /// Holds any of these texts.
    Contains(Vec<String>),
    /// Begins with this text.
    StartsWith(String),
    /// Above.
    Gt(Value),
    /// Above or equal.
    Gte(Value),
    /// Below.
    Lt(Value),
    /// Below or equal.
    Lte(Value),
    /// Has a value, or has none.
    Set(bool),
}

const OPERATORS: [&str; 10] =
    ["is", "is_not", "in", "contains", "starts_with", "gt", "gte", "lt", "lte", "set"];

impl PropertyCondition {
    /// Whether `value` (or none) meets it.
    pub fn matches(&self, value: Option<ValueRef<'_>>) -> bool {
        match &self.test {
            Test::Is(wanted) => value.is_some_and(|v| same(v, wanted)),
            Test::IsNot(wanted) => !value.is_some_and(|v| same(v, wanted)),
            Test::In(list) => value.is_some_and(|v| list.iter().any(|wanted| same(v, wanted))),
            Test::Contains(parts) => {
                value.and_then(text_of).is_some_and(|t| parts.iter().any(|part| t.contains(part.as_str())))
            }
            Test::StartsWith(part) => value.and_then(text_of).is_some_and(|t| t.starts_with(part.as_str())),
            Test::Gt(bound) => order(value, bound).is_some_and(std::cmp::Ordering::is_gt),
            Test::Gte(bound) => order(value, bound).is_some_and(std::cmp::Ordering::is_ge),
            Test::Lt(bound) => order(value, bound).is_some_and(std::cmp::Ordering::is_lt),
            Test::Lte(bound) => order(value, bound).is_some_and(std::cmp::Ordering::is_le),
            Test::Set(set) => value.is_some() == *set,
        }
    }

    /// As the query has it.
    pub fn to_json(&self) -> Json {
        let (operator, value) = match &self.test {
            Test::Is(value) => ("is", operand(value)),
            Test::IsNot(value) => ("is_not", operand(value)),
            Test::In(list) => ("in", list.iter().map(operand).collect()),
            Test::Contains(parts) => match parts.as_slice() {
                [part] => ("contains", part.into()),
                parts => ("contains", parts.iter().collect()),
            },
            Test::StartsWith(text) => ("starts_with", text.into()),
            Test::Gt(value) => ("gt", operand(value)),
            Test::Gte(value) => ("gte", operand(value)),
            Test::Lt(value) => ("lt", operand(value)),
            Test::Lte(value) => ("lte", operand(value)),
            Test::Set(set) => ("set", (*set).into()),
        };
        Json::object([("property", self.property.as_str().into()), (operator, value)])
    }

    /// Reads a condition: a property and exactly one operator. `extra` is a field that the place allows besides.
    pub fn read(node: Node, extra: Option<&'static str>) -> Result<(Self, Option<Node>)> {
        let whole = node.clone();
        let mut fields = node.object()?;
        let property = fields.require("property")?.name()?;
        let extra = extra.and_then(|name| fields.take(name));
        let mut found: Vec<(&'static str, Node)> = Vec::new();
        for operator in OPERATORS {
            found.extend(fields.take(operator).map(|node| (operator, node)));
        }
        if let Err(error) = fields.end() {
            // A misspelt operator is the likely mistake here.
            let name = error.place().and_then(|p| p.rsplit('.').next()).unwrap_or("").to_owned();
            let unknown = whole.error("unknown_operator", format!("there is no operator \"{name}\""));
            return Err(match nearest(&name, OPERATORS.into_iter()) {
                Some(near) => unknown.hint(format!("did you mean \"{near}\"?")),
                None => unknown.hint(format!("the operators are {}", OPERATORS.join(", "))),
            });
        }
        let [(operator, node)]: [(&str, Node); 1] = found.try_into().map_err(|all: Vec<_>| {
            let what = if all.is_empty() { "has no operator" } else { "has more than one operator" };
            whole
                .error("bad_condition", format!("the condition on \"{property}\" {what}"))
                .hint(format!("one of {}", OPERATORS.join(", ")))
        })?;
        let test = match operator {
            "is" => Test::Is(node.value()?),
            "is_not" => Test::IsNot(node.value()?),
            "in" => Test::In(node.list()?.into_iter().map(Node::value).collect::<Result<_>>()?),
            "contains" => Test::Contains(match node.clone().list() {
                Ok(list) => list.into_iter().map(|n| Ok(n.value()?.to_string())).collect::<Result<_>>()?,
                Err(_) => vec![node.value()?.to_string()],
            }),
            "starts_with" => Test::StartsWith(node.value()?.to_string()),
            "gt" => Test::Gt(node.value()?),
            "gte" => Test::Gte(node.value()?),
            "lt" => Test::Lt(node.value()?),
            "lte" => Test::Lte(node.value()?),
            _ => Test::Set(node.boolean()?),
        };
        Ok((Self { property, test }, extra))
    }

    /// Reads a list of conditions that must all hold.
    pub fn read_all(node: Option<Node>) -> Result<Vec<Self>> {
        let Some(node) = node else { return Ok(Vec::new()) };
        node.list()?.into_iter().map(|node| Self::read(node, None).map(|(condition, _)| condition)).collect()
    }
}

/// A value in a query. A number with more digits than JSON libraries keep is written as text, which conditions take as the number.
fn operand(value: &Value) -> Json {
    let json = Json::from(value);
    let text = json.to_string();
    let kept = serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|read| format!("{read}") == text);
    if kept { json } else { value.to_string().into() }
}

/// What can be searched: text, and numbers as they are written; booleans are no text.
fn text_of(value: ValueRef<'_>) -> Option<std::borrow::Cow<'_, str>> {
    match value {
        ValueRef::Text(text) => Some(text.into()),
        ValueRef::Number(number) => Some(number.to_string().into()),
        ValueRef::Bool(_) => None,
    }
}

fn same(value: ValueRef<'_>, wanted: &Value) -> bool {
    match (value, wanted) {
        (ValueRef::Number(n), Value::Text(text)) => Number::parse_plain(text) == Some(n),
        (ValueRef::Text(text), Value::Number(n)) => text == n.to_string(),
        (value, wanted) => value == wanted.as_ref(),
    }
}

fn order(value: Option<ValueRef<'_>>, bound: &Value) -> Option<std::cmp::Ordering> {
    match (value?, bound) {
        (ValueRef::Number(n), Value::Number(b)) => Some(n.cmp(b)),
        (ValueRef::Number(n), Value::Text(text)) => Some(n.cmp(&Number::parse_plain(text)?)),
        // A bound that reads as a number is one, and numbers and text have no order between them.
        (ValueRef::Text(text), Value::Text(b)) if Number::parse_plain(b).is_none() => {
            Some(text.cmp(b.as_str()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> PropertyCondition {
        PropertyCondition::read(Node::parse(json).unwrap(), None).unwrap().0
    }

    #[test]
    fn conditions_decide() {
        let number = |n: i64| Value::Number(n.into());
        for (json, value, expected) in [
            (r#"{"property":"a","is":"x"}"#, Some(Value::from("x")), true),
            (r#"{"property":"a","is":"5"}"#, Some(number(5)), true),
            (r#"{"property":"a","is":5.0}"#, Some(Value::from("5")), true),
            (r#"{"property":"a","is_not":"x"}"#, None, true),
            (r#"{"property":"a","in":["x",7]}"#, Some(number(7)), true),
            (r#"{"property":"a","contains":"ell"}"#, Some(Value::from("hello")), true),
            (r#"{"property":"a","contains":["x","ell"]}"#, Some(Value::from("hello")), true),
            (r#"{"property":"a","contains":["x","Ell"]}"#, Some(Value::from("hello")), false),
            (r#"{"property":"a","contains":[]}"#, Some(Value::from("hello")), false),
            (r#"{"property":"a","starts_with":"H"}"#, Some(Value::from("hello")), false),
            (r#"{"property":"a","gte":5}"#, Some(number(5)), true),
            (r#"{"property":"a","lt":"b"}"#, Some(Value::from("a")), true),
            (r#"{"property":"a","gt":5}"#, Some(Value::from("9")), false),
            (r#"{"property":"a","set":false}"#, None, true),
            (r#"{"property":"a","set":true}"#, Some(Value::Bool(false)), true),
        ] {
            assert_eq!(read(json).matches(value.as_ref().map(Value::as_ref)), expected, "{json}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (json, code) in [
            (r#"{"property":"a","start_with":"x"}"#, "unknown_operator"),
            (r#"{"property":"a"}"#, "bad_condition"),
            (r#"{"property":"a","is":1,"gt":2}"#, "bad_condition"),
            (r#"{"is":1}"#, "missing_field"),
            (r#"{"property":"a","set":"yes"}"#, "bad_type"),
            (r#"{"property":"a","in":"x"}"#, "bad_type"),
            (r#"{"property":"a","is":[1]}"#, "bad_type"),
        ] {
            assert_eq!(
                PropertyCondition::read(Node::parse(json).unwrap(), None).unwrap_err().code(),
                code,
                "{json}"
            );
        }
    }
}
