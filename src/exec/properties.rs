//! What properties there are, and which values they have: for those who build a query.

use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};
use serde::Serialize;

use super::binder::Binder;
use super::person_values::Which;
use super::scope::{Scope, View, map_scopes};
use super::split::{Groups, Split, Splitter};
use crate::engine::Snapshot;
use crate::error::Result;
use crate::model::{Millis, NameId, PropertyId, Value, json_text_len, within};
use crate::report::{Tally, Warning};
use crate::threads::go_on;

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
    /// How many more there are than are listed here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more_properties: Option<usize>,
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
    /// How many more events have it than are listed here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more_events: Option<usize>,
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

/// The properties that rows of a name have, rising.
pub(super) fn of_name(view: &View, name: NameId) -> Result<Vec<PropertyId>> {
    go_on()?;
    let mut found = view.settled.properties(name)?.to_vec();
    found.extend(view.source.runs().iter().flat_map(|run| run.properties(name)));
    found.retain(|property| property.0 >= PropertyId::FIRST);
    // Several sorted lists, which the stable sort makes use of.
    found.sort();
    found.dedup();
    Ok(found)
}

/// The first `most` names of properties, of one kind or of both, in their order.
pub(super) fn first_names(view: &View, of: Option<Owner>, most: usize) -> Result<Vec<String>> {
    let catalog = &view.source.snapshot.catalog;
    let people = Some(NameId::SET).filter(|_| of != Some(Owner::Event));
    let events = catalog.events().map(|(name, _)| name).filter(|_| of != Some(Owner::Person));
    let mut found = HashSet::default();
    for name in people.into_iter().chain(events) {
        found.extend(of_name(view, name)?);
    }
    let mut names: Vec<&str> = found.into_iter().map(|property| catalog.property_name(property)).collect();
    names.sort_unstable();
    Ok(names.into_iter().take(most).map(str::to_owned).collect())
}

/// A property that may be listed, and what its events are in all.
struct Candidate<'a> {
    id: PropertyId,
    name: &'a str,
    of: Owner,
    events: usize,
    /// Bytes of JSON of their names.
    bytes: usize,
}

impl Candidate<'_> {
    /// Bytes of JSON without the names of its events.
    fn fixed_len(&self) -> usize {
        json_text_len(self.name) + 64
    }
}

/// How many of the first properties are listed, and how many bytes of the names of its events each: all if they take no more than `most`.
fn fit(candidates: &[Candidate<'_>], most: usize) -> (usize, usize) {
    if candidates.iter().map(|one| one.fixed_len() + one.bytes).sum::<usize>() <= most {
        return (candidates.len(), usize::MAX);
    }
    let listed = within(candidates.iter(), most / 2, |one| one.fixed_len()).count();
    (listed, most / 2 / listed.max(1))
}

/// Lists the properties, of one kind or of both, in no more than `most` bytes of JSON. Ten thousand events with 256 properties each are
/// some gigabytes of names, so events are counted first, and their names are taken for what is listed only.
pub(super) fn list(view: &View, of: Option<Owner>, most: usize) -> Result<PropertyList> {
    let catalog = &view.source.snapshot.catalog;
    let candidate =
        |id, of, events, bytes| Candidate { id, name: catalog.property_name(id), of, events, bytes };
    let mut candidates = Vec::new();
    if of != Some(Owner::Event) {
        candidates
            .extend(of_name(view, NameId::SET)?.into_iter().map(|id| candidate(id, Owner::Person, 0, 0)));
    }
    let mut names: Vec<(NameId, &str)> = catalog.events().filter(|_| of != Some(Owner::Person)).collect();
    names.sort_unstable_by_key(|(_, text)| *text);
    let mut sizes: HashMap<PropertyId, (usize, usize)> = HashMap::default();
    for (name, text) in &names {
        let length = json_text_len(text) + 1;
        for property in of_name(view, *name)? {
            let (events, bytes) = sizes.entry(property).or_default();
            *events += 1;
            *bytes += length;
        }
    }
    candidates
        .extend(sizes.into_iter().map(|(id, (events, bytes))| candidate(id, Owner::Event, events, bytes)));
    candidates.sort_unstable_by_key(|one| (one.name, one.of as u8));
    let (listed, share) = fit(&candidates, most);
    let more = candidates.len() - listed;
    candidates.truncate(listed);
    let of_events = candidates.iter().filter(|one| one.of == Owner::Event);
    let mut events: HashMap<PropertyId, (usize, Vec<String>)> =
        of_events.map(|one| (one.id, (share, Vec::new()))).collect();
    for (name, text) in &names {
        let length = json_text_len(text) + 1;
        for property in of_name(view, *name)? {
            let Some((left, list)) = events.get_mut(&property) else { continue };
            let rest = left.checked_sub(length);
            list.extend(rest.map(|_| (*text).to_owned()));
            *left = rest.unwrap_or(0);
        }
    }
    let property = |one: Candidate<'_>| {
        let events = Some(one.id).filter(|_| one.of == Owner::Event).and_then(|id| events.remove(&id));
        let events = events.map_or_else(Vec::new, |(_, list)| list);
        let more_events = Some(one.events - events.len()).filter(|more| *more > 0);
        Property { property: one.name.to_owned(), of: one.of, events, more_events }
    };
    let properties = candidates.into_iter().map(property).collect();
    Ok(PropertyList { properties, more_properties: Some(more).filter(|more| *more > 0) })
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
