//! What properties there are, and which values they have: for those who build a query.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::binder::Binder;
use super::person_values::Which;
use super::scope::{Scope, View, map_scopes};
use super::split::{Groups, Split, Splitter};
use crate::engine::Snapshot;
use crate::error::Result;
use crate::model::{Millis, NameId, PropertyId, Value};
use crate::report::{Tally, Warning};

/// Whose properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// People's.
    Person,
    /// Events'.
    Event,
}

/// Every property.
#[derive(Clone, Debug, Serialize)]
pub struct PropertyList {
    /// By name; one that both people and events have is here twice.
    pub properties: Vec<Property>,
}

/// One property.
#[derive(Clone, Debug, Serialize)]
pub struct Property {
    /// Its name.
    pub property: String,
    /// Whose it is.
    pub of: Owner,
    /// Of an event's property the events that have it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
}

/// The values of a property.
#[derive(Clone, Debug, Serialize)]
pub struct PropertyValues {
    /// The most frequent first.
    pub values: Vec<ValueCount>,
    /// How many there are, shown or not.
    pub distinct: u64,
    /// What nobody ever sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// One value.
#[derive(Clone, Debug, Serialize)]
pub struct ValueCount {
    /// The value.
    pub value: Value,
    /// People who have it now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub people: Option<u64>,
    /// Events with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<u64>,
}

/// Which values are wanted.
#[derive(Clone, Debug)]
pub struct ValueQuery {
    /// The property.
    pub property: String,
    /// Whose.
    pub of: Owner,
    /// Only of this event.
    pub event: Option<String>,
    /// Only values with this text in them, in any case.
    pub containing: Option<String>,
    /// How many at most.
    pub limit: usize,
}

/// The properties that rows of a name have.
pub(super) fn of_name(view: &View, name: NameId) -> Result<BTreeSet<PropertyId>> {
    let mut found: BTreeSet<PropertyId> = view.settled.properties(name)?.iter().copied().collect();
    found.extend(view.source.runs().iter().flat_map(|run| run.properties(name)));
    found.retain(|property| property.0 >= PropertyId::FIRST);
    Ok(found)
}

/// Lists the properties, of one kind or of both.
pub(super) fn list(view: &View, of: Option<Owner>) -> Result<PropertyList> {
    let catalog = &view.source.snapshot.catalog;
    let mut properties = Vec::new();
    if of != Some(Owner::Event) {
        for property in of_name(view, NameId::SET)? {
            let property = catalog.property_name(property).to_owned();
            properties.push(Property { property, of: Owner::Person, events: Vec::new() });
        }
    }
    if of != Some(Owner::Person) {
        let mut events: BTreeMap<PropertyId, Vec<String>> = BTreeMap::new();
        for (name, text) in catalog.events() {
            for property in of_name(view, name)? {
                events.entry(property).or_default().push(text.to_owned());
            }
        }
        for (property, mut events) in events {
            events.sort_unstable();
            let property = catalog.property_name(property).to_owned();
            properties.push(Property { property, of: Owner::Event, events });
        }
    }
    properties.sort_by(|a, b| (&a.property, a.of as u8).cmp(&(&b.property, b.of as u8)));
    Ok(PropertyList { properties })
}

/// How often a value was met.
#[derive(Clone, Copy, Default)]
struct Count(u64);

impl Tally for Count {
    fn merge(&mut self, other: Self) -> Result<()> {
        self.0 += other.0;
        Ok(())
    }

    fn size(&self) -> u64 {
        self.0
    }
}

/// The names of which [`values`] reads rows.
pub(super) fn names(snapshot: &Snapshot, query: &ValueQuery) -> Vec<NameId> {
    match (query.of, &query.event) {
        (Owner::Person, _) => vec![NameId::SET],
        (Owner::Event, None) => snapshot.catalog.events().map(|(name, _)| name).collect(),
        (Owner::Event, Some(event)) => snapshot.event(event).into_iter().collect(),
    }
}

/// Counts the values of a property: of people their latest ones, of events those of each.
pub(super) fn values(
    view: &View,
    query: &ValueQuery,
    names: &[NameId],
    as_of: Millis,
) -> Result<PropertyValues> {
    let mut binder = Binder::new(&view.source.snapshot);
    if let Some(event) = &query.event {
        binder.event(event, "event");
    }
    let property = binder.property(&query.property, "property");
    let warnings = binder.warnings;
    let Some(property) = property else {
        return Ok(PropertyValues { values: Vec::new(), distinct: 0, warnings });
    };
    let split = match query.of {
        Owner::Person => Split::Person(Which::Latest, Some(property)),
        Owner::Event => Split::Row(None, Some(property)),
    };
    let mut carriers = Vec::new();
    for name in names {
        if of_name(view, *name)?.contains(&property) {
            carriers.push(*name);
        }
    }
    let work = |scope: &Scope<'_>| {
        let mut splitter = Splitter::new(&split, scope, as_of)?;
        let mut counts: Vec<Count> = Vec::new();
        let mut add = |number: u32| {
            if counts.len() <= number as usize {
                counts.resize(number as usize + 1, Count::default());
            }
            if let Some(count) = counts.get_mut(number as usize) {
                count.0 += 1;
            }
        };
        for name in &carriers {
            let cell = scope.cell(*name)?;
            for (rank, person) in cell.persons.iter().enumerate().filter(|(_, p)| scope.holds(**p)) {
                if query.of == Owner::Person {
                    add(splitter.number(*person, as_of, None)?);
                    continue;
                }
                let seen = cell.times(rank).partition_point(|time| *time <= as_of);
                for row in cell.rows(rank).take(seen) {
                    add(splitter.number(*person, as_of, Some((*name, cell.row_ref(row))))?);
                }
            }
        }
        Ok(Groups::of_numbers(counts, &splitter.table))
    };
    let mut all = Groups::default();
    map_scopes(&view.scopes(&carriers)?, work, |part| all.merge(part))?;
    let (values, distinct) = listed(query, all);
    Ok(PropertyValues { values, distinct, warnings })
}

/// The values that are asked for, most frequent first, and how many there are.
fn listed(query: &ValueQuery, all: Groups<Count>) -> (Vec<ValueCount>, u64) {
    let containing = query.containing.as_ref().map(|text| text.to_lowercase());
    let matches = |value: &Value| {
        containing.as_ref().is_none_or(|text| value.to_string().to_lowercase().contains(text.as_str()))
    };
    let mut found: Vec<(Value, u64)> = all
        .into_vec()
        .into_iter()
        .filter_map(|(value, count)| Some((value?, count.0)))
        .filter(|(value, count)| *count > 0 && matches(value))
        .collect();
    found.sort_by(|(a, x), (b, y)| y.cmp(x).then_with(|| a.cmp(b)));
    let distinct = found.len() as u64;
    found.truncate(query.limit);
    let people = query.of == Owner::Person;
    let count = |(value, count)| ValueCount {
        value,
        people: Some(count).filter(|_| people),
        events: Some(count).filter(|_| !people),
    };
    (found.into_iter().map(count).collect(), distinct)
}
