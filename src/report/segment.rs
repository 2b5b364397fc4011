//! Segments: one tally for each value that people are split by, the largest shown and the rest added up.

use serde::Serialize;
use serde::ser::Serializer;

use crate::error::Result;
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
