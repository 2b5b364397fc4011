//! Labels: which of the values of a report a caller means by one.

use super::binder::Binder;
use super::persons::People;
use crate::error::Result;
use crate::model::Value;
use crate::report::{By, Chosen, Label, Tally};

/// The label of whose people a list is asked for.
pub struct Asked<'a> {
    /// What the report is split by.
    pub by: Option<&'a By>,
    /// The label; none asks for everybody.
    pub label: Option<&'a Label>,
    /// The field of the query that it stands in.
    pub at: &'static str,
}

impl Asked<'_> {
    /// The people that `gather` finds of what is meant, which is `chosen` unless it is a value that the report does not have and its
    /// other form is one. `values` are those of the whole report, which is made for it only if nobody is found.
    pub fn gather(
        &self,
        chosen: Option<Chosen>,
        values: impl FnOnce() -> Result<Vec<Option<Value>>>,
        gather: impl Fn(Option<&Chosen>) -> Result<People>,
        binder: &mut Binder<'_>,
    ) -> Result<People> {
        binder.segment(self.by, self.label, self.at);
        let found = gather(chosen.as_ref())?;
        let (Some(by), Some(Chosen::Value(Some(given)))) = (self.by, &chosen) else { return Ok(found) };
        let other = given.other_form();
        if found.len() > 0 || (other.is_none() && by.property().is_some()) {
            return Ok(found);
        }
        let values = values()?;
        let meant = Value::meant(given, |value| values.iter().flatten().any(|known| known == value));
        if meant != *given {
            return gather(Some(&Chosen::Value(Some(meant))));
        }
        binder.segment_of(by, given, &values, self.at);
        Ok(found)
    }
}

/// The values that anybody has.
pub fn values_of<T: Tally>(tallies: Vec<(Option<Value>, T)>) -> Vec<Option<Value>> {
    let some = tallies.into_iter().filter(|(_, tally)| tally.size() > 0);
    some.map(|(value, _)| value).collect()
}
