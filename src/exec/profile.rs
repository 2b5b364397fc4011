//! The profile of one person: who it is, what became of its properties, what it did in all.

use std::collections::BTreeMap;

use serde::Serialize;

use super::person::{PersonRow, find, rows};
use super::source::Source;
use crate::engine::Names;
use crate::error::Result;
use crate::limits;
use crate::model::{Millis, NameId, PropertyId, Sum, Value, format_millis, json_text_len};

/// A person as it is now.
#[derive(Clone, Debug, Serialize)]
pub struct Profile {
    /// What it is called.
    #[serde(flatten)]
    pub names: Names,
    /// Whether any of them was the target of an identify.
    pub identified: bool,
    /// The latest value of each property.
    pub properties: BTreeMap<String, Value>,
    /// What became of each property, and when.
    pub property_history: BTreeMap<String, History>,
    /// How many more properties it has than are listed here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more_properties: Option<usize>,
    /// Events in all.
    pub events: u64,
    /// Events by name.
    pub counts: Vec<Count>,
    /// The sum of the numeric `Revenue` of its events.
    pub revenue: String,
    /// Time of the first event.
    pub first_seen: Option<String>,
    /// Time of the last event.
    pub last_seen: Option<String>,
}

/// What became of one property.
#[derive(Clone, Debug, Serialize)]
pub struct History {
    /// The first value ever.
    pub first: Value,
    /// The value now.
    pub last: Value,
    /// Each change: a value that differs from the one before.
    pub changes: Vec<Change>,
    /// How many earlier changes there are than are listed here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more_changes: Option<usize>,
}

/// A property took a value.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// The value.
    pub value: Value,
    /// When.
    pub time: String,
}

/// How often one event was done.
#[derive(Clone, Debug, Serialize)]
pub struct Count {
    /// The event.
    pub event: String,
    /// How often.
    pub count: u64,
    /// First time.
    pub first: String,
    /// Last time.
    pub last: String,
}

/// The profile of the person of `identity`, of what is not later than `now`.
pub fn profile(source: &Source, identity: &str, now: Millis) -> Result<Profile> {
    let snapshot = &source.snapshot;
    let person = find(source, identity)?;
    let mut rows = rows(source, person, |name| name.is_event() || name == NameId::SET)?;
    rows.retain(|row| row.time <= now);
    rows.sort_by_key(|r| (r.name, r.time));
    let (sets, events): (Vec<_>, Vec<_>) = rows.into_iter().partition(|r| r.name == NameId::SET);
    let mut property_history = histories(source, &sets)?;
    let more_properties = fit(&mut property_history, limits::PROFILE_PROPERTIES_BYTES);
    let counts = events.chunk_by(|a, b| a.name == b.name).filter_map(|same| {
        let (first, last) = (same.first()?, same.last()?);
        Some(Count {
            event: snapshot.catalog.event_name(first.name).to_owned(),
            count: same.len() as u64,
            first: format_millis(first.time),
            last: format_millis(last.time),
        })
    });
    let counts = counts.collect();
    let identified = snapshot.persons.is_identified(person);
    Ok(Profile {
        names: snapshot.names_of(person, limits::PROFILE_IDENTITIES_BYTES)?,
        identified,
        properties: property_history.iter().map(|(name, h)| (name.clone(), h.last.clone())).collect(),
        property_history,
        more_properties,
        events: events.len() as u64,
        counts,
        revenue: revenue(source, &events)?.to_string(),
        first_seen: events.iter().map(|r| r.time).min().map(format_millis),
        last_seen: events.iter().map(|r| r.time).max().map(format_millis),
    })
}

fn histories(source: &Source, sets: &[PersonRow]) -> Result<BTreeMap<String, History>> {
    let mut reader = source.row_reader(NameId::SET);
    let mut changes: BTreeMap<PropertyId, Vec<(Millis, u64, Value)>> = BTreeMap::new();
    for row in sets {
        let arrival = reader.arrival(row.at, row.time)?;
        reader.properties(row.at, |property, value| {
            if property != PropertyId::RECORD_ID {
                changes.entry(property).or_default().push((row.time, arrival, value.to_owned()));
            }
        })?;
    }
    let mut out = BTreeMap::new();
    for (property, mut list) in changes {
        list.sort_by_key(|(time, arrival, _)| (*time, *arrival));
        let mut held = list;
        held.dedup_by(|later, earlier| later.2 == earlier.2);
        let (Some(first), Some(last)) = (held.first(), held.last()) else { continue };
        let (first, last) = (first.2.clone(), last.2.clone());
        let changes =
            held.into_iter().map(|(time, _, value)| Change { value, time: format_millis(time) }).collect();
        out.insert(
            source.snapshot.catalog.property_name(property).to_owned(),
            History { first, last, changes, more_changes: None },
        );
    }
    Ok(out)
}

/// Leaves out what does not fit into `most` bytes of JSON: the earliest changes of each property, and if that is not enough the last
/// properties, which it counts.
fn fit(histories: &mut BTreeMap<String, History>, most: usize) -> Option<usize> {
    let total: usize =
        histories.iter().map(|(name, history)| history.fixed_len(name) + history.changes_len()).sum();
    if total <= most {
        return None;
    }
    let share = most / 2 / histories.len().max(1);
    histories.values_mut().for_each(|history| history.keep_latest(share));
    let (had, mut left) = (histories.len(), most / 2);
    histories.retain(|name, history| {
        let rest = left.checked_sub(history.fixed_len(name));
        left = rest.unwrap_or(0);
        rest.is_some()
    });
    Some(had - histories.len()).filter(|more| *more > 0)
}

impl History {
    /// Bytes of JSON besides its changes; the value now stands in a profile twice, and so does the name.
    fn fixed_len(&self, name: &str) -> usize {
        2 * json_text_len(name) + self.first.json_len() + 2 * self.last.json_len() + 64
    }

    fn changes_len(&self) -> usize {
        self.changes.iter().map(Change::len).sum()
    }

    fn keep_latest(&mut self, most: usize) {
        let mut taken = 0;
        let fits = self.changes.iter().rev().take_while(|change| {
            taken += change.len();
            taken <= most
        });
        let earlier = self.changes.len() - fits.count();
        self.changes.drain(..earlier);
        self.more_changes = Some(earlier).filter(|more| *more > 0);
    }
}

impl Change {
    /// Bytes of JSON.
    fn len(&self) -> usize {
        self.value.json_len() + self.time.len() + 24
    }
}

fn revenue(source: &Source, events: &[PersonRow]) -> Result<Sum> {
    let Some(property) = source.snapshot.property("Revenue") else { return Ok(Sum::ZERO) };
    let mut sum = Sum::ZERO;
    for row in events {
        let mut column = source.column(row.name, property);
        let value = column.get(row.at)?;
        if let Some(amount) = column.value(value)?.and_then(|v| v.number()) {
            sum.add(amount)?;
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(values: &[String]) -> History {
        let change =
            |text: &String| Change { value: Value::Text(text.clone()), time: "2025-03-01T10:00:00Z".into() };
        let changes: Vec<Change> = values.iter().map(change).collect();
        let (first, last) = (changes[0].value.clone(), changes[changes.len() - 1].value.clone());
        History { first, last, changes, more_changes: None }
    }

    #[test]
    fn what_fits_is_left_as_it_is() {
        let mut all = BTreeMap::from([("Plan".to_owned(), history(&["Free".into(), "Pro".into()]))]);
        assert_eq!(fit(&mut all, 1000), None);
        assert_eq!((all["Plan"].changes.len(), all["Plan"].more_changes), (2, None));
    }

    #[test]
    fn the_latest_changes_and_as_many_properties_as_fit_are_kept_and_the_rest_is_counted() {
        let values: Vec<String> = (0..1000).map(|n| format!("{n:0>100}")).collect();
        let names = (0..50).map(|n| format!("Property {n:0>2}"));
        let mut all: BTreeMap<String, History> = names.map(|name| (name, history(&values))).collect();
        let more = fit(&mut all, 40_000);
        let written = serde_json::to_string(&all).unwrap().len();
        assert!(more == Some(50 - all.len()) && !all.is_empty() && written < 40_000, "{more:?} {written}");
        for (name, kept) in &all {
            let listed = kept.changes.len();
            assert!(listed > 0 && kept.more_changes == Some(1000 - listed), "{name} {listed}");
            assert_eq!(kept.changes[listed - 1].value, kept.last, "{name}");
            assert_eq!(kept.first, Value::Text("0".repeat(100)), "{name}");
        }
    }
}
