//! The oracle's memory: stored records in order of arrival, people as plain sets of identities. It is the
//! definition of right that the engine is judged against, so it scans and sorts anew for every question.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use super::{
    oracle_audience, oracle_cohort, oracle_funnel, oracle_paths, oracle_people, oracle_query, oracle_revenue,
    oracle_trend,
};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Millis, Properties, Record, RecordKind, Sum, Value, Zone, format_millis};

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is kept and counts.
    Stored,
    /// An equal one was stored before, so this one is not.
    Duplicate,
    /// It is kept, but the two people that it names stay two.
    MergeRefused {
        /// Who called.
        identity: String,
        /// Whom they claimed to be.
        target: String,
    },
}

/// What became of an operator's merge or unmerge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Regrouped {
    /// The people are different now.
    Changed,
    /// They already were one person, or the identity already stood alone.
    Unchanged,
    /// No record ever named that identity.
    UnknownIdentity,
}

struct Stored {
    record: Record,
    time: Millis,
}

/// Everything that was ever stored, with the answers to every question about it.
#[derive(Default)]
pub struct Oracle {
    records: Vec<Stored>,
    /// In order of first sight.
    identities: Vec<String>,
    named: BTreeSet<usize>,
    /// Disjoint sets of positions in `identities` that together hold all of them.
    people: Vec<BTreeSet<usize>>,
}

/// One event, as reports see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event<'a> {
    pub(super) time: Millis,
    pub(super) name: &'a str,
    pub(super) properties: &'a Properties,
    pub(super) identity: &'a str,
}

/// One property of one `set`.
struct Setting<'a> {
    time: Millis,
    property: &'a str,
    value: &'a Value,
}

/// A person with everything that arrived under their identities.
pub(super) struct Person<'a> {
    pub(super) display: &'a str,
    pub(super) identities: Vec<&'a str>,
    pub(super) identified: bool,
    /// By time, then by content.
    pub(super) events: Vec<Event<'a>>,
    /// By time, then by arrival.
    settings: Vec<Setting<'a>>,
}

impl Event<'_> {
    /// The value of one of its properties.
    pub(super) fn property(&self, name: &str) -> Option<&Value> {
        self.properties.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// What orders events: the time, then what they say, never how they came.
    fn key(&self) -> (Millis, &str, String, &str) {
        (self.time, self.name, canonical(self.properties), self.identity)
    }

    /// Its form in lists and timelines.
    pub(super) fn to_json(self) -> Json {
        json!({"event": self.name, "time": format_millis(self.time), "identity": self.identity,
            "properties": properties_json(self.properties)})
    }
}

/// Properties as JSON text, names in order and no white space.
fn canonical(properties: &Properties) -> String {
    let pairs: Vec<String> =
        properties.iter().map(|(n, v)| format!("{}:{}", Json::from(n.as_str()), v.to_json())).collect();
    format!("{{{}}}", pairs.join(","))
}

fn properties_json(properties: &Properties) -> Json {
    properties.iter().map(|(n, v)| (n.clone(), value_json(Some(v)))).collect::<serde_json::Map<_, _>>().into()
}

/// A value as JSON; `null` where there is none.
pub(super) fn value_json(value: Option<&Value>) -> Json {
    value.and_then(|v| serde_json::from_str(&v.to_json()).ok()).unwrap_or(Json::Null)
}

/// The exact sum of some numbers. One that passes even the range of sums fails the test.
pub(super) fn sum(numbers: impl IntoIterator<Item = impl Into<Sum>>) -> Sum {
    let mut sum = Sum::ZERO;
    for number in numbers {
        assert!(sum.add_sum(number.into()).is_ok(), "a sum in range");
    }
    sum
}

impl Person<'_> {
    /// The latest value of a property that was set at or before `as_of`.
    pub(super) fn latest(&self, property: &str, as_of: Millis) -> Option<&Value> {
        self.settings.iter().rfind(|s| s.property == property && s.time <= as_of).map(|s| s.value)
    }

    /// The first value of a property ever, if it was set at or before `as_of`.
    pub(super) fn first(&self, property: &str, as_of: Millis) -> Option<&Value> {
        self.settings.iter().find(|s| s.property == property && s.time <= as_of).map(|s| s.value)
    }

    /// Latest and first of each property, each with the time at which it came to have that value.
    fn properties_json(&self) -> Json {
        let mut out: BTreeMap<&str, (&Setting<'_>, &Setting<'_>)> = BTreeMap::new();
        for setting in &self.settings {
            let kept = out.entry(setting.property).or_insert((setting, setting));
            if kept.1.value != setting.value {
                kept.1 = setting;
            }
        }
        let said =
            |s: &Setting<'_>| json!({"value": value_json(Some(s.value)), "time": format_millis(s.time)});
        out.into_iter()
            .map(|(name, (first, latest))| {
                (name.to_owned(), json!({"latest": said(latest), "first": said(first)}))
            })
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

impl Oracle {
    /// One that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one record that passed [`Record::checked`]. One without a time gets `now`.
    pub fn apply(&mut self, record: &Record, now: Millis) -> Applied {
        if self.is_duplicate(record) {
            return Applied::Duplicate;
        }
        let identity = self.seen(&record.identity);
        let mut outcome = Applied::Stored;
        if record.kind == RecordKind::Identify {
            let target = self.seen(&record.name);
            if !self.identify(identity, target) {
                outcome =
                    Applied::MergeRefused { identity: record.identity.clone(), target: record.name.clone() };
            }
        }
        self.records.push(Stored { time: record.time.unwrap_or(now), record: record.clone() });
        outcome
    }

    fn is_duplicate(&self, new: &Record) -> bool {
        if new.id.is_some() {
            return self.records.iter().any(|old| old.record.id == new.id);
        }
        self.records.iter().any(|old| {
            new.time == Some(old.time)
                && new.kind == old.record.kind
                && new.identity == old.record.identity
                && new.name == old.record.name
                && new.properties == old.record.properties
        })
    }

    /// The number of an identity, which is a person of its own when it is new.
    fn seen(&mut self, identity: &str) -> usize {
        if let Some(known) = self.identities.iter().position(|i| i == identity) {
            return known;
        }
        self.identities.push(identity.to_owned());
        self.people.push(BTreeSet::from([self.identities.len() - 1]));
        self.identities.len() - 1
    }

    /// The identity table. False if the merge is refused.
    fn identify(&mut self, p: usize, n: usize) -> bool {
        let same = self.person_of(p) == self.person_of(n);
        let p_identified = self.is_identified(p);
        let n_identified = self.is_identified(n);
        let p_named = self.named.contains(&p);
        self.named.insert(n);
        let joined = same || !p_identified || (p_named && !n_identified);
        if joined {
            self.join(p, n);
        }
        joined
    }

    fn person_of(&self, identity: usize) -> Option<usize> {
        self.people.iter().position(|person| person.contains(&identity))
    }

    fn is_identified(&self, identity: usize) -> bool {
        self.people.iter().any(|p| p.contains(&identity) && p.iter().any(|i| self.named.contains(i)))
    }

    fn join(&mut self, a: usize, b: usize) {
        let (mut joined, rest): (Vec<_>, Vec<_>) =
            self.people.drain(..).partition(|p| p.contains(&a) || p.contains(&b));
        self.people = rest;
        self.people.push(joined.drain(..).flatten().collect());
    }

    /// An operator's merge of the person of `a` into that of `b`, whoever they are.
    pub fn merge(&mut self, a: &str, b: &str) -> Regrouped {
        let number = |name: &str| self.identities.iter().position(|i| i == name);
        let (Some(a), Some(b)) = (number(a), number(b)) else {
            return Regrouped::UnknownIdentity;
        };
        if self.person_of(a) == self.person_of(b) {
            return Regrouped::Unchanged;
        }
        self.join(a, b);
        Regrouped::Changed
    }

    /// Makes one identity a person of its own again, with all that arrived under it.
    pub fn unmerge(&mut self, identity: &str) -> Regrouped {
        let Some(x) = self.identities.iter().position(|i| i == identity) else {
            return Regrouped::UnknownIdentity;
        };
        for person in &mut self.people {
            if person.len() > 1 && person.remove(&x) {
                self.people.push(BTreeSet::from([x]));
                return Regrouped::Changed;
            }
        }
        Regrouped::Unchanged
    }

    /// Forgets a person, whatever arrived under their identities, and that others were said to be one of them.
    pub fn erase(&mut self, identity: &str) -> Regrouped {
        let Some(x) = self.identities.iter().position(|i| i == identity) else {
            return Regrouped::UnknownIdentity;
        };
        let (gone, kept): (Vec<_>, Vec<_>) = self.people.drain(..).partition(|p| p.contains(&x));
        self.people = kept;
        for member in gone.into_iter().flatten() {
            // Its number stays; nobody has an empty name.
            let Some(slot) = self.identities.get_mut(member) else { continue };
            let name = std::mem::take(slot);
            self.records.retain(|stored| {
                let said_of = stored.record.kind == RecordKind::Identify && stored.record.name == name;
                stored.record.identity != name && !said_of
            });
        }
        Regrouped::Changed
    }

    /// Forgets events from before an instant.
    pub fn expire(&mut self, oldest: Millis) {
        self.records.retain(|stored| stored.record.kind != RecordKind::Event || stored.time >= oldest);
    }

    /// Records that are kept.
    pub fn stored(&self) -> usize {
        self.records.len()
    }

    /// Everybody, in the order of their display identities.
    pub(super) fn everybody(&self) -> Vec<Person<'_>> {
        let mut all: Vec<Person<'_>> = self.people.iter().map(|p| self.person_view(p)).collect();
        all.sort_by_key(|p| p.display);
        all
    }

    fn person_view(&self, members: &BTreeSet<usize>) -> Person<'_> {
        let identities: Vec<&str> =
            members.iter().filter_map(|i| self.identities.get(*i)).map(String::as_str).collect();
        let shown = members.iter().find(|i| self.named.contains(i)).or_else(|| members.first());
        let display = shown.and_then(|i| self.identities.get(*i)).map_or("", String::as_str);
        let theirs = || self.records.iter().filter(|s| identities.contains(&s.record.identity.as_str()));
        let mut events: Vec<Event<'_>> = theirs()
            .filter(|s| s.record.kind == RecordKind::Event)
            .map(|s| Event {
                time: s.time,
                name: &s.record.name,
                properties: &s.record.properties,
                identity: &s.record.identity,
            })
            .collect();
        events.sort_by(|a, b| a.key().cmp(&b.key()));
        let mut settings: Vec<Setting<'_>> = theirs()
            .filter(|s| s.record.kind == RecordKind::Set)
            .flat_map(|s| s.record.properties.iter().map(|(n, v)| (s.time, n, v)))
            .map(|(time, property, value)| Setting { time, property, value })
            .collect();
        // Stable: within an instant they stay in order of arrival.
        settings.sort_by_key(|s| s.time);
        let identified = members.iter().any(|i| self.named.contains(i));
        Person { display, identities, identified, events, settings }
    }

    /// The answer to a funnel query, as the API gives it but for warnings and the time it took.
    pub fn funnel(&self, query: &str, now: Millis) -> Json {
        answer(oracle_funnel::funnel(self, query, now))
    }

    /// All people behind one number of a funnel, in the order of their display identities.
    pub fn funnel_people(&self, query: &str, now: Millis) -> Json {
        answer(oracle_funnel::people(self, query, now))
    }

    /// The answer to any report, or to the list of people of one, by its name; all people, by the identity that stands for them.
    pub fn report(&self, report: &str, query: &str, now: Millis) -> Json {
        answer(match report {
            "funnel" => oracle_funnel::funnel(self, query, now),
            "funnel/people" => oracle_funnel::people(self, query, now),
            "cohort" => oracle_cohort::cohort(self, query, now),
            "cohort/people" => oracle_cohort::people(self, query, now),
            "paths" => oracle_paths::paths(self, query, now),
            "paths/people" => oracle_paths::people(self, query, now),
            "revenue" => oracle_revenue::revenue(self, query, now),
            "revenue/people" => oracle_revenue::people(self, query, now),
            "people" => oracle_people::people(self, query, now),
            "trend" => oracle_trend::trend(self, query, now),
            "trend/people" => oracle_trend::people(self, query, now),
            "lifecycle" => oracle_trend::lifecycle(self, query, now),
            "lifecycle/people" => oracle_trend::lifecycle_people(self, query, now),
            _ => Err(Error::invalid("no_such_report", format!("the oracle has no report {report}"))),
        })
    }

    /// The display identities of the people in an audience. Dates in it are days of UTC.
    pub fn people_of(&self, audience: &str, as_of: Millis) -> Result<Vec<String>> {
        let audience = oracle_query::parse(audience)?;
        let scope = oracle_query::Scope { zone: Zone::utc(), as_of };
        let mut out = Vec::new();
        for person in self.everybody() {
            if oracle_audience::holds(&audience, &person, &scope)? {
                out.push(person.display.to_owned());
            }
        }
        Ok(out)
    }

    /// The profile of the person whose identity this is: all that is stored, whatever its time.
    pub fn person(&self, identity: &str) -> Json {
        let Some(person) = self.find(identity) else {
            let message = format!("nobody is known as \"{identity}\"");
            return answer(Err(Error::new(ErrorKind::NotFound, "unknown_person", message)));
        };
        json!({
            "person": person.display,
            "identities": person.identities,
            "identified": person.identified,
            "properties": person.properties_json(),
            "events": person.events.len(),
            "first_seen": person.events.first().map(|e| format_millis(e.time)),
            "last_seen": person.events.last().map(|e| format_millis(e.time)),
        })
    }

    /// The events of the person whose identity this is, newest first: time, event, identity, properties.
    pub fn person_events(&self, identity: &str) -> Vec<(Millis, String, String, Properties)> {
        let Some(person) = self.find(identity) else { return Vec::new() };
        let said = |e: &Event<'_>| (e.time, e.name.to_owned(), e.identity.to_owned(), e.properties.clone());
        person.events.iter().rev().map(said).collect()
    }

    fn find(&self, identity: &str) -> Option<Person<'_>> {
        self.everybody().into_iter().find(|p| p.identities.contains(&identity))
    }

    /// Every event name with its count, people, first and last time.
    pub fn events(&self) -> Json {
        let mut names: BTreeMap<&str, (usize, usize, Millis, Millis)> = BTreeMap::new();
        for person in self.everybody() {
            let mut counted = BTreeSet::new();
            for event in &person.events {
                let row = names.entry(event.name).or_insert((0, 0, event.time, event.time));
                row.0 += 1;
                row.1 += usize::from(counted.insert(event.name));
                row.2 = row.2.min(event.time);
                row.3 = row.3.max(event.time);
            }
        }
        let rows: Vec<Json> = names
            .into_iter()
            .map(|(name, (count, people, first, last))| {
                json!({"event": name, "count": count, "people": people,
                    "first": format_millis(first), "last": format_millis(last)})
            })
            .collect();
        json!({"events": rows})
    }
}

/// An error takes the form that the API gives it, as far as anybody compares it.
fn answer(result: Result<Json>) -> Json {
    result.unwrap_or_else(|e| json!({"error": {"code": e.code(), "message": e.message(), "at": e.place()}}))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kind, identity, name, time and properties.
    type Told<'a> = (RecordKind, &'a str, &'a str, Millis, &'a [(&'a str, &'a str)]);

    fn told(records: &[Told<'_>]) -> Oracle {
        let mut oracle = Oracle::new();
        for (kind, identity, name, time, properties) in records {
            let properties = properties.iter().map(|(n, v)| ((*n).to_owned(), Value::from(*v))).collect();
            let (identity, name) = ((*identity).to_owned(), (*name).to_owned());
            let record = Record { kind: *kind, identity, name, time: Some(*time), properties, id: None };
            oracle.apply(&record, 0);
        }
        oracle
    }

    #[test]
    fn people_events_and_their_names_are_counted_over_merged_identities() {
        use RecordKind::{Event, Identify, Set};
        let oracle = told(&[
            (Event, "anon", "A", 2000, &[("Plan", "Pro")]),
            (Event, "jane", "A", 1000, &[]),
            (Event, "joe", "A", 5000, &[]),
            (Event, "joe", "B", 4000, &[]),
            (Set, "ann", "", 1000, &[("Plan", "Pro")]),
            (Identify, "anon", "jane", 9000, &[]),
        ]);
        let expected = json!({"events": [
            {"event": "A", "count": 3, "people": 2, "first": "1970-01-01T00:00:01Z", "last": "1970-01-01T00:00:05Z"},
            {"event": "B", "count": 1, "people": 1, "first": "1970-01-01T00:00:04Z", "last": "1970-01-01T00:00:04Z"},
        ]});
        assert_eq!(oracle.events(), expected);
        let timeline = oracle.person_events("jane");
        let pro = vec![("Plan".to_owned(), Value::from("Pro"))];
        let event =
            |time, identity: &str, properties| (time, "A".to_owned(), identity.to_owned(), properties);
        assert_eq!(timeline, vec![event(2000, "anon", pro), event(1000, "jane", Vec::new())]);
        for (audience, people) in [
            (r#"{"did":"A"}"#, vec!["jane", "joe"]),
            (r#"{"did":"B","at_most":0}"#, vec!["ann", "jane"]),
            (r#"{"property":"Plan","set":true}"#, vec!["ann"]),
            (r#"{"identified":true}"#, vec!["jane"]),
            (r#"{"seen":{"from":"1970-01-01T00:00:03Z"}}"#, vec!["joe"]),
        ] {
            assert_eq!(oracle.people_of(audience, 9000).unwrap(), people, "{audience}");
        }
        assert_eq!(oracle.people_of(r#"{"audience":"x"}"#, 0).unwrap_err().code(), "unknown_audience");
    }

    #[test]
    fn a_refused_merge_names_both() {
        use RecordKind::Identify;
        let mut oracle = told(&[(Identify, "tablet", "ann", 0, &[])]);
        let (identity, target) = ("tablet".to_owned(), "bob".to_owned());
        let record = Record {
            kind: Identify,
            identity: identity.clone(),
            name: target.clone(),
            time: None,
            properties: Vec::new(),
            id: None,
        };
        assert_eq!(oracle.apply(&record, 1), Applied::MergeRefused { identity, target });
    }
}
