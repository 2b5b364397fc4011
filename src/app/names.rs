//! How many names senders may make: the key that tracks is public, and a name once made stays in every list.

use std::collections::HashSet;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Record, RecordKind};
use crate::store::catalog::Catalog;

/// What is left of the quota to records that are stored together.
pub(super) struct Allowance<'a> {
    catalog: &'a Catalog,
    most: usize,
    events: HashSet<String>,
    properties: HashSet<String>,
    /// Events and properties of the records so far, known or not: while these fit nothing has to be looked up.
    seen: (usize, usize),
}

impl<'a> Allowance<'a> {
    /// Up to `most` names of events, and as many of properties, over those of `catalog`.
    pub fn new(catalog: &'a Catalog, most: usize) -> Self {
        Self { catalog, most, events: HashSet::new(), properties: HashSet::new(), seen: (0, 0) }
    }

    /// An error if the record brings a name too many.
    pub fn take(&mut self, record: &Record) -> Result<()> {
        let (events, properties) = self.catalog.counts();
        self.seen.0 += 1;
        self.seen.1 += record.properties.len();
        if events + self.seen.0 <= self.most && properties + self.seen.1 <= self.most {
            return Ok(());
        }
        let new_event = record.kind == RecordKind::Event
            && self.catalog.event(&record.name).is_none()
            && !self.events.contains(&record.name);
        let new: HashSet<&String> = record
            .properties
            .iter()
            .map(|(name, _)| name)
            .filter(|name| self.catalog.property(name).is_none() && !self.properties.contains(*name))
            .collect();
        let full = new_event && events + self.events.len() >= self.most;
        if full || (!new.is_empty() && properties + self.properties.len() + new.len() > self.most) {
            return Err(too_many(self.most).at(if full { "event" } else { "properties" }));
        }
        if new_event {
            self.events.insert(record.name.clone());
        }
        self.properties.extend(new.into_iter().cloned());
        Ok(())
    }
}

/// The error of a record that brings one name too many.
pub(super) fn too_many(most: usize) -> Error {
    let message = format!("there are {most} different names already, which is the limit");
    Error::new(ErrorKind::TooLarge, "too_many_names", message)
        .hint("put what differs into a property's value, not into its name")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Value;

    fn record(name: &str, properties: &[&str]) -> Record {
        let properties = properties.iter().map(|p| ((*p).to_owned(), Value::from("x"))).collect();
        Record {
            kind: RecordKind::Event,
            identity: "a".into(),
            name: name.into(),
            time: None,
            properties,
            id: None,
        }
    }

    #[test]
    fn known_names_go_on_where_new_ones_end() {
        let mut catalog = Catalog::default();
        catalog.add_event("known");
        catalog.add_property("p");
        let mut allowance = Allowance::new(&catalog, 2);
        let mut take = |name: &str, properties: &[&str]| allowance.take(&record(name, properties)).is_ok();
        assert!(take("known", &["p"]) && take("new", &["q"]));
        assert!(!take("newer", &[]) && !take("known", &["r"]));
        assert!(take("new", &["q", "p"]) && take("known", &[]), "what the same batch brought is known");
        let mut allowance = Allowance::new(&catalog, 2);
        assert_eq!(allowance.take(&record("known", &["r", "s"])).unwrap_err().code(), "too_many_names");
        assert!(allowance.take(&record("known", &["r"])).is_ok(), "what was refused took nothing");
    }
}
