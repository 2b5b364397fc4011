//! The state that the log replays into, and the two ways to change it: resolving an incoming record into log entries, and applying
//! entries read back from the log. Both give the same ids in the same order.

use std::sync::Arc;

use super::batch::{Batch, Named, Prepared};
use super::recent::Recent;
use super::snapshot::{Counters, Snapshot};
use super::{Outcome, hash_record_id};
use crate::error::{ErrorKind, Result};
use crate::model::{Correction, IdentityId, Millis, NameId, PropertyId, Record, RecordKind, Value};
use crate::store::catalog::Catalog;
use crate::store::entry::{Entry, put_entry, put_row};
use crate::store::identities::{Fingerprint, Identities};
use crate::store::lookup;
use crate::store::manifest::NUMBER_MAX;
use crate::store::memtable::Memtable;
use crate::store::persons::{Identified, Persons};
use crate::store::refusals::Refusal;
use crate::store::row::{PropertyBytes, PropertyIter, Row, put_property};
use crate::store::segment::Segment;

/// The mutable state. Only the writer thread (and recovery before it) has one.
pub struct State {
    /// Identity strings and ids.
    pub identities: Identities,
    /// Who is who.
    pub persons: Persons,
    /// Names and ids.
    pub catalog: Arc<Catalog>,
    /// Rows since the last seal.
    pub active: Memtable,
    /// The next arrival number.
    pub next_arrival: u64,
    /// What is recent, for duplicates.
    pub recent: Recent,
    /// What has happened.
    pub counters: Counters,
    /// The store's secret.
    pub secret: [u64; 2],
    /// Merges refused since they were last taken.
    pub refused: Vec<Refusal>,
    /// A segment that turned out to be damaged when it was asked for a duplicate.
    pub suspect: Option<Arc<Segment>>,
}

impl State {
    /// Resolves one checked record against the state and the stored rows: appends its log entries to `log`, or says
    /// why nothing is stored.
    pub fn resolve(
        &mut self,
        record: &Record,
        now: Millis,
        stored: &Snapshot,
        log: &mut Vec<u8>,
    ) -> Result<Outcome> {
        if let Some(id) = &record.id
            && self.has_record_id(id, stored)?
        {
            self.counters.duplicates += 1;
            return Ok(Outcome::Duplicate);
        }
        let Some(name) = self.name_of(record, log) else { return Ok(Outcome::TooManyNames) };
        let Some(properties) = self.property_bytes(record, log) else { return Ok(Outcome::TooManyNames) };
        let identity = (self.identities.fingerprint(&record.identity), record.identity.as_str());
        let target = (record.kind == RecordKind::Identify)
            .then(|| (self.identities.fingerprint(&record.name), record.name.as_str()));
        // A record with an id of its own is known by it alone.
        let may_repeat = record.time.is_some() && record.id.is_none();
        let time = record.time.unwrap_or(now);
        let row = Row { name, identity: 0, time, target: 0, arrival: 0, properties };
        self.place(row, identity, target, may_repeat, (now, stored), log)
    }

    /// As [`State::resolve`], of a record that was prepared.
    pub fn resolve_prepared(
        &mut self,
        prepared: &Prepared,
        batch: &Batch,
        now: Millis,
        stored: &Snapshot,
        log: &mut Vec<u8>,
    ) -> Result<Outcome> {
        let named = |named: Named| (named.fingerprint, batch.text(named));
        let row = Row {
            name: prepared.name,
            identity: 0,
            time: prepared.time.unwrap_or(now),
            target: 0,
            arrival: 0,
            properties: batch.properties(prepared),
        };
        let (identity, target) = (named(prepared.identity), prepared.target.map(named));
        self.place(row, identity, target, prepared.time.is_some(), (now, stored), log)
    }

    /// Corrects who is who: appends the log entries of the change, or says why there is none.
    pub fn correct(&mut self, correction: &Correction, log: &mut Vec<u8>) -> Result<Outcome> {
        let changed = match correction {
            Correction::Seen(identity) => {
                let new = self.identities.find(identity)?.is_none();
                if new {
                    self.add_identity(identity, log);
                }
                new
            }
            Correction::Merge { identity, into } => {
                let found = (self.identities.find(identity)?, self.identities.find(into)?);
                let (Some(identity), Some(into)) = found else { return Ok(Outcome::Unknown) };
                let changed = self.persons.merge(identity, into);
                if changed {
                    put_entry(&Entry::Merge(identity, into), log);
                }
                changed
            }
            Correction::Unmerge(identity) => {
                let Some(identity) = self.identities.find(identity)? else { return Ok(Outcome::Unknown) };
                let changed = self.persons.unmerge(identity);
                if changed {
                    put_entry(&Entry::Unmerge(identity), log);
                }
                changed
            }
        };
        Ok(if changed { Outcome::Stored } else { Outcome::Duplicate })
    }

    /// Finds or adds the identities of a row and stores it, unless it is there already.
    fn place(
        &mut self,
        mut row: Row,
        identity: (Fingerprint, &str),
        target: Option<(Fingerprint, &str)>,
        may_repeat: bool,
        (now, stored): (Millis, &Snapshot),
        log: &mut Vec<u8>,
    ) -> Result<Outcome> {
        let known = self.identities.find_as(identity.0, identity.1)?;
        let known_target = target.map(|(of, text)| self.identities.find_as(of, text)).transpose()?;
        // Only a record whose identities are known can be a duplicate.
        if let (Some(identity), Some(target), true) = (known, known_target.unwrap_or(Some(0)), may_repeat) {
            (row.identity, row.target) = (identity, target);
            if self.has_row(&row, stored)? {
                self.counters.duplicates += 1;
                return Ok(Outcome::Duplicate);
            }
        }
        row.identity = known.unwrap_or_else(|| self.add_identity(identity.1, log));
        if let Some((of, text)) = target {
            // Looked up again: the record may name one new identity twice.
            row.target = match self.identities.find_as(of, text)? {
                Some(id) => id,
                None => self.add_identity(text, log),
            };
        }
        if !row.name.is_event() {
            row.arrival = self.next_arrival;
        }
        put_row(&row, log);
        let outcome = self.apply_row(row);
        if outcome == Outcome::MergeRefused {
            self.refuse_merge(now, identity.1, target.map_or("", |(_, text)| text));
        }
        Ok(outcome)
    }

    pub(super) fn refuse_merge(&mut self, time: Millis, identity: &str, name: &str) {
        self.refused.push(Refusal {
            time,
            reason: "merge_refused".into(),
            message: "the identity it came under belongs to an identified person: tracking alone never joins that one to another".into(),
            identity: identity.to_owned(),
            name: name.to_owned(),
        });
    }

    /// Applies one entry of the log. False if the entry names ids that do not exist.
    pub fn apply(&mut self, entry: Entry<'_>) -> Result<bool> {
        let known = |persons: &Persons, id: IdentityId| id < persons.identities();
        match entry {
            Entry::Event(name) => return Ok(Arc::make_mut(&mut self.catalog).add_event(name).is_some()),
            Entry::Property(name) => {
                return Ok(Arc::make_mut(&mut self.catalog).add_property(name).is_some());
            }
            Entry::Identity(identity) => {
                self.identities.insert(identity);
                self.persons.add();
            }
            Entry::Row(row) => {
                if !self.knows(&row) {
                    return Ok(false);
                }
                let (time, identity, target) = (row.time, row.identity, row.target);
                if self.apply_row(row) == Outcome::MergeRefused {
                    let (identity, name) = (self.identities.get(identity)?, self.identities.get(target)?);
                    self.refuse_merge(time, &identity, &name);
                }
            }
            Entry::Merge(a, b) if known(&self.persons, a) && known(&self.persons, b) => {
                self.persons.merge(a, b);
            }
            Entry::Unmerge(identity) if known(&self.persons, identity) => {
                self.persons.unmerge(identity);
            }
            Entry::Merge(..) | Entry::Unmerge(_) => return Ok(false),
        }
        Ok(true)
    }

    /// Whether everything is there that a row of the log names, and its arrival can be counted on from.
    fn knows(&self, row: &Row) -> bool {
        let known = |id: IdentityId| id < self.persons.identities();
        let mut properties = PropertyIter::new(&row.properties);
        known(row.identity)
            && (row.name != NameId::IDENTIFY || known(row.target))
            && (!row.name.is_event() || self.catalog.has_event(row.name))
            && row.arrival < NUMBER_MAX
            && std::iter::from_fn(|| properties.next_raw())
                .all(|(id, _)| id == PropertyId::RECORD_ID || self.catalog.has_property(id))
    }

    /// What a row means for who is who.
    pub(super) fn identify(&mut self, name: NameId, identity: IdentityId, target: IdentityId) -> Outcome {
        if name == NameId::IDENTIFY {
            match self.persons.identify(identity, target) {
                Identified::Same => {}
                Identified::Merged => self.counters.merges += 1,
                Identified::Refused => {
                    self.counters.merges_refused += 1;
                    return Outcome::MergeRefused;
                }
            }
        }
        Outcome::Stored
    }

    fn apply_row(&mut self, row: Row) -> Outcome {
        let outcome = self.identify(row.name, row.identity, row.target);
        if !row.name.is_event() {
            self.next_arrival = self.next_arrival.max(row.arrival + 1);
        }
        self.counters.stored += 1;
        self.recent.push(row);
        outcome
    }

    fn add_identity(&mut self, identity: &str, log: &mut Vec<u8>) -> IdentityId {
        put_entry(&Entry::Identity(identity), log);
        let id = self.identities.insert(identity);
        let person = self.persons.add();
        debug_assert_eq!(id, person, "the dictionary and the graph count alike");
        id
    }

    pub(super) fn name_of(&mut self, record: &Record, log: &mut Vec<u8>) -> Option<NameId> {
        match record.kind {
            RecordKind::Set => Some(NameId::SET),
            RecordKind::Identify => Some(NameId::IDENTIFY),
            RecordKind::Event => match self.catalog.event(&record.name) {
                Some(id) => Some(id),
                None => {
                    let id = Arc::make_mut(&mut self.catalog).add_event(&record.name)?;
                    put_entry(&Entry::Event(&record.name), log);
                    Some(id)
                }
            },
        }
    }

    pub(super) fn property_bytes(&mut self, record: &Record, log: &mut Vec<u8>) -> Option<PropertyBytes> {
        let mut properties: Vec<(PropertyId, &Value)> = Vec::with_capacity(record.properties.len());
        for (name, value) in &record.properties {
            let id = match self.catalog.property(name) {
                Some(id) => id,
                None => {
                    let id = Arc::make_mut(&mut self.catalog).add_property(name)?;
                    put_entry(&Entry::Property(name), log);
                    id
                }
            };
            properties.push((id, value));
        }
        properties.sort_unstable_by_key(|(id, _)| *id);
        let mut bytes = Vec::with_capacity(properties.len() * 16);
        if let Some(id) = &record.id {
            put_property(PropertyId::RECORD_ID, Value::Text(id.clone()).as_ref(), &mut bytes);
        }
        for (id, value) in properties {
            put_property(id, value.as_ref(), &mut bytes);
        }
        Some(bytes.as_slice().into())
    }

    pub(super) fn has_record_id(&mut self, id: &str, stored: &Snapshot) -> Result<bool> {
        if self.recent.has_record_id(id) {
            return Ok(true);
        }
        let hash = hash_record_id(self.secret, id);
        self.in_segments(stored, |_, segment| lookup::contains_record_id(segment, id, hash))
    }

    fn has_row(&mut self, row: &Row, stored: &Snapshot) -> Result<bool> {
        let sealed = stored.sealed.iter().map(|s| (s.generation, &s.table));
        if self.recent.has_row(row, &self.active, sealed) {
            return Ok(true);
        }
        let secret = self.secret[0];
        self.in_segments(stored, |persons, segment| lookup::contains(segment, persons, secret, row))
    }

    /// Whether one of the segments has something. One that is damaged is remembered.
    fn in_segments(
        &mut self,
        stored: &Snapshot,
        has: impl Fn(&Persons, &Segment) -> Result<bool>,
    ) -> Result<bool> {
        for segment in stored.segments.iter() {
            match has(&self.persons, segment) {
                Ok(false) => {}
                Ok(true) => return Ok(true),
                Err(error) => {
                    self.suspect = (error.kind() == ErrorKind::Corrupt).then(|| Arc::clone(segment));
                    return Err(error);
                }
            }
        }
        Ok(false)
    }
}
