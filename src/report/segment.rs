//! Segments: one tally for each value that people are split by, the largest shown and the rest added up.

use serde::Serialize;
use serde::ser::Serializer;

use super::json::{Fields, Node};
use crate::error::Result;
use crate::limits;
use crate::model::Value;

/// Counts of disjoint people or events, which add up in any order.
pub trait Tally {
    /// Adds what another tally has counted.
    fn merge(&mut self, other: Self) -> Result<()>;

    /// How large it is, where the largest come first.
    fn size(&self) -> u64;
}

/// Whom a segment is about.
#[derive(Clone, Debug, PartialEq)]
pub enum Label {
    /// Those with this value; with none.
    Value(Option<Value>),
    /// All whose values are not shown.
    Other,
}

impl Label {
    /// Takes from the field `name` whose list is wanted: a value, null, or `{"other": true}`.
    pub fn take(fields: &mut Fields, name: &'static str) -> Result<Option<Self>> {
        fields.take_with_null(name).map(Self::read).transpose()
    }

    /// Reads it.
    pub fn read(node: Node) -> Result<Self> {
        let Ok(mut other) = node.clone().object() else { return node.value_or_null().map(Self::Value) };
        let is_other = other.require("other")?;
        if !is_other.clone().boolean()? {
            return Err(is_other.error("bad_segment", "\"other\" can only be true"));
        }
        other.end()?;
        Ok(Self::Other)
    }
}

/// Takes how many segments the report shows that a list is of: its `limit`, which in a list is that of the page.
pub fn take_shown(fields: &mut Fields) -> Result<usize> {
    let shown = fields.take("shown").map(|n| n.integer(1, limits::SEGMENTS_MAX as u64)).transpose()?;
    Ok(shown.map_or(limits::SEGMENTS_DEFAULT, |n| n as usize))
}

/// The values of whom a list is.
#[derive(Clone, Debug)]
pub enum Chosen {
    /// This one.
    Value(Option<Value>),
    /// All but these.
    AllBut(Vec<Option<Value>>),
}

impl Chosen {
    /// From a label; `segments` are those of the report, which are needed for the others only.
    pub fn new<T>(label: &Label, segments: impl FnOnce() -> Result<Vec<Segment<T>>>) -> Result<Self> {
        Ok(match label {
            Label::Value(value) => Self::Value(value.clone()),
            Label::Other => {
                let value =
                    |s: Segment<T>| if let Label::Value(value) = s.label { Some(value) } else { None };
                Self::AllBut(segments()?.into_iter().filter_map(value).collect())
            }
        })
    }

    /// Whether somebody with this value is wanted.
    pub fn has(&self, value: Option<&Value>) -> bool {
        match self {
            Self::Value(wanted) => wanted.as_ref() == value,
            Self::AllBut(shown) => !shown.iter().any(|s| s.as_ref() == value),
        }
    }
}

/// A segment: its label and what the report says of it, as one object.
#[derive(Clone, Debug)]
pub struct Segment<T> {
    /// Whom it is about.
    pub label: Label,
    /// The report on them.
    pub part: T,
}

impl<T: Serialize> Serialize for Segment<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Flat<'a, T> {
            #[serde(skip_serializing_if = "Option::is_none")]
            value: Option<&'a Option<Value>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            other: Option<bool>,
            #[serde(flatten)]
            part: &'a T,
        }
        let (value, other) = match &self.label {
            Label::Value(value) => (Some(value), None),
            Label::Other => (None, Some(true)),
        };
        Flat { value, other, part: &self.part }.serialize(serializer)
    }
}

/// Orders tallies by size, the largest first and no value before others of its size, and adds up those past `limit`.
pub fn shown<T: Tally>(mut tallies: Vec<(Option<Value>, T)>, limit: usize) -> Result<Vec<Segment<T>>> {
    tallies.sort_by(|(a, x), (b, y)| y.size().cmp(&x.size()).then_with(|| a.cmp(b)));
    cut(tallies, limit)
}

/// Shows the first `limit` tallies and adds up the rest.
pub fn cut<T: Tally>(mut tallies: Vec<(Option<Value>, T)>, limit: usize) -> Result<Vec<Segment<T>>> {
    let rest = tallies.split_off(limit.min(tallies.len()));
    let mut out: Vec<Segment<T>> =
        tallies.into_iter().map(|(value, part)| Segment { label: Label::Value(value), part }).collect();
    let mut rest = rest.into_iter().map(|(_, tally)| tally);
    if let Some(mut other) = rest.next() {
        for tally in rest {
            other.merge(tally)?;
        }
        out.push(Segment { label: Label::Other, part: other });
    }
    Ok(out)
}
