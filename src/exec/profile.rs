//! The profile of one person: who it is, what became of its properties, what it did in all.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use super::person::{PersonRow, find, rows};
use super::source::Source;
use crate::engine::Names;
use crate::error::Result;
use crate::limits;
use crate::model::{Millis, NameId, PropertyId, Sum, Value, ValueRef, format_millis, json_text_len};

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
    let (property_history, more_properties) = histories(source, &sets)?;
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

/// What became of one property while the `set` rows of a person are gone through in their order. Values are borrowed, and of a property
/// with very many changes the earliest are let go: memory holds little more than the profile will.
struct Course<'a> {
    first: ValueRef<'a>,
    last: ValueRef<'a>,
    /// The latest changes.
    changes: VecDeque<(Millis, ValueRef<'a>)>,
    /// Bytes of JSON of these.
    bytes: usize,
    /// Earlier ones.
    earlier: usize,
}

impl<'a> Course<'a> {
    fn new(first: ValueRef<'a>) -> Self {
        Self { first, last: first, changes: VecDeque::new(), bytes: 0, earlier: 0 }
    }

    /// Adds a change, and says how many bytes of JSON it takes.
    fn push(&mut self, time: Millis, value: ValueRef<'a>) -> usize {
        let bytes = change_len(time, value);
        self.changes.push_back((time, value));
        self.last = value;
        self.bytes += bytes;
        bytes
    }

    fn keep_latest(&mut self, most: usize) {
        while self.bytes > most {
            let Some((time, value)) = self.changes.pop_front() else { break };
            self.bytes -= change_len(time, value);
            self.earlier += 1;
        }
    }

    /// Bytes of JSON besides its changes; the value now stands in a profile twice, and so does the name.
    fn fixed_len(&self, name: &str) -> usize {
        2 * json_text_len(name) + self.first.json_len() + 2 * self.last.json_len() + 64
    }

    fn finish(self) -> History {
        let change = |(time, value): (Millis, ValueRef<'_>)| Change {
            value: value.to_owned(),
            time: format_millis(time),
        };
        History {
            first: self.first.to_owned(),
            last: self.last.to_owned(),
            changes: self.changes.into_iter().map(change).collect(),
            more_changes: Some(self.earlier).filter(|earlier| *earlier > 0),
        }
    }
}

/// Bytes of JSON of a change.
fn change_len(time: Millis, value: ValueRef<'_>) -> usize {
    value.json_len() + format_millis(time).len() + 24
}

/// The courses of the properties of a person, of which so many bytes of JSON are shown at most.
struct Courses<'a> {
    all: BTreeMap<PropertyId, Course<'a>>,
    most: usize,
    /// Bytes of JSON of all changes that are kept.
    bytes: usize,
    /// Whether some had to go.
    full: bool,
}

impl<'a> Courses<'a> {
    fn new(most: usize) -> Self {
        Self { all: BTreeMap::new(), most, bytes: 0, full: false }
    }

    /// A property is set. The same value again is no change.
    fn set(&mut self, property: PropertyId, time: Millis, value: ValueRef<'a>) {
        let course = match self.all.entry(property) {
            Entry::Occupied(known) if known.get().last == value => return,
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(Course::new(value)),
        };
        self.bytes += course.push(time, value);
        if self.bytes > self.most {
            self.full = true;
            self.keep_latest();
        }
    }

    /// Leaves each property its share. Of more properties that would be less: what goes now would go then.
    fn keep_latest(&mut self) {
        let share = self.most / 2 / self.all.len().max(1);
        self.all.values_mut().for_each(|course| course.keep_latest(share));
        self.bytes = self.all.values().map(|course| course.bytes).sum();
    }

    /// By name. Left out is what does not fit: the earliest changes of each property, and if that is not enough the last properties,
    /// which are counted.
    fn finish<'n>(
        mut self,
        name: impl Fn(PropertyId) -> &'n str,
    ) -> (BTreeMap<String, History>, Option<usize>) {
        let fixed: usize = self.all.iter().map(|(property, course)| course.fixed_len(name(*property))).sum();
        let fits = !self.full && fixed + self.bytes <= self.most;
        if !fits {
            self.keep_latest();
        }
        let (count, mut left) = (self.all.len(), if fits { usize::MAX } else { self.most / 2 });
        let by_name: BTreeMap<&str, Course<'_>> =
            self.all.into_iter().map(|(property, course)| (name(property), course)).collect();
        let kept = by_name.into_iter().map_while(|(name, course)| {
            left = left.checked_sub(course.fixed_len(name))?;
            Some((name.to_owned(), course.finish()))
        });
        let kept: BTreeMap<String, History> = kept.collect();
        let more = count - kept.len();
        (kept, Some(more).filter(|more| *more > 0))
    }
}

/// What became of the properties of the person of some `set` rows, and how many more there are.
fn histories(source: &Source, sets: &[PersonRow]) -> Result<(BTreeMap<String, History>, Option<usize>)> {
    let mut reader = source.row_reader(NameId::SET);
    let mut ordered = Vec::with_capacity(sets.len());
    for row in sets {
        ordered.push((row.time, reader.arrival(row.at, row.time)?, row.at));
    }
    ordered.sort_by_key(|(time, arrival, _)| (*time, *arrival));
    let mut courses = Courses::new(limits::PROFILE_PROPERTIES_BYTES);
    for (time, _, at) in ordered {
        reader.properties(at, |property, value| {
            if property != PropertyId::RECORD_ID {
                courses.set(property, time, value);
            }
        })?;
    }
    Ok(courses.finish(|property| source.snapshot.catalog.property_name(property)))
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

    fn names() -> Vec<String> {
        (0..50).map(|n| format!("Property {n:0>2}")).collect()
    }

    /// So many properties that take these values one after the other, and how many bytes of changes were held at most.
    fn shown(
        values: &[String],
        properties: usize,
        most: usize,
    ) -> (BTreeMap<String, History>, Option<usize>, usize) {
        let (mut courses, mut held) = (Courses::new(most), 0);
        for (time, value) in (0..).zip(values) {
            for property in 0..properties {
                courses.set(PropertyId(property as u32), time, ValueRef::Text(value));
                held = held.max(courses.bytes);
            }
        }
        let names = names();
        let (all, more) = courses.finish(|property| &names[property.0 as usize]);
        (all, more, held)
    }

    #[test]
    fn what_fits_is_left_as_it_is_and_the_same_again_is_no_change() {
        let values = ["Free", "Free", "Pro", "Free", "Free"].map(str::to_owned);
        let (all, more, _) = shown(&values, 1, 1000);
        let history = &all["Property 00"];
        assert_eq!((history.changes.len(), history.more_changes, more), (3, None, None));
        let texts: Vec<String> = history.changes.iter().map(|change| change.value.to_string()).collect();
        assert_eq!(texts, ["Free", "Pro", "Free"]);
        assert_eq!(history.changes[1].time, format_millis(2));
    }

    #[test]
    fn the_latest_changes_and_as_many_properties_as_fit_are_kept_and_the_rest_is_counted() {
        let values: Vec<String> = (0..1000).map(|n| format!("{n:0>100}")).collect();
        let (all, more, held) = shown(&values, 50, 30_000);
        let written = serde_json::to_string(&all).unwrap().len();
        assert!(more == Some(50 - all.len()) && !all.is_empty() && written < 30_000, "{more:?} {written}");
        // 50,000 changes of 150 bytes came by.
        assert!(held <= 30_000, "{held}");
        for (name, kept) in &all {
            let listed = kept.changes.len();
            assert!(listed > 0 && kept.more_changes == Some(1000 - listed), "{name} {listed}");
            assert_eq!(kept.changes[listed - 1].value, kept.last, "{name}");
            assert_eq!(kept.first, Value::Text("0".repeat(100)), "{name}");
        }
    }

    #[test]
    fn what_went_early_is_what_would_have_gone_at_the_end() {
        // One property first fills everything, then others come and take their share of it.
        let values: Vec<String> = (0..300).map(|n| format!("{n:0>100}")).collect();
        let mut courses = Courses::new(20_000);
        for (time, value) in (0..).zip(&values) {
            for property in 0..=(time / 100) {
                courses.set(PropertyId(property as u32), time, ValueRef::Text(value));
            }
        }
        let names = names();
        let (all, more) = courses.finish(|property| &names[property.0 as usize]);
        let share = 20_000 / 2 / 3;
        for (at, (name, kept)) in all.iter().enumerate() {
            let total = 300 - 100 * at;
            let one = change_len(0, ValueRef::Text(&values[0]));
            let fits = values.iter().enumerate().skip(300 - total).rev().scan(0, |taken, (time, value)| {
                *taken += change_len(time as Millis, ValueRef::Text(value));
                (*taken <= share).then_some(())
            });
            let fits = fits.count();
            assert!(fits > share / (one + 8) - 1, "{name} {fits}");
            assert_eq!((kept.changes.len(), kept.more_changes), (fits, Some(total - fits)), "{name}");
        }
        assert_eq!((all.len(), more), (3, None));
    }
}
