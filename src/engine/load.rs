//! Loading: how an engine that only brings in much takes records. There is no log. Rows are gathered in memory in packed form, and
//! written as one large segment when they are many, when the oldest has waited for some seconds, or when somebody asks; a record is
//! durable from that flush on, and not when its batch is answered ([`super::Ticket::number`] tells them apart). So each record is
//! written once where a log would write it twice, and an import of some ten million makes one segment, which nothing need merge.
//!
//! Duplicates among the gathered rows are found when they are sorted for the segment. Only identifies are compared at once, since they
//! change who is who, and what is in segments already.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Outcome;
use super::batch::{Batch, Item, Named, Prepared, UsedBatch};
use super::reply::promise;
use super::snapshot::Snapshot;
use super::state::State;
use super::writer::{LOOK_AHEAD, Writer};
use crate::error::Result;
use crate::limits;
use crate::model::{IdentityId, Millis, NameId, PropertyId, Record, ValueRef};
use crate::store::identities::Fingerprint;
use crate::store::lookup;
use crate::store::packed::{Head, PackedRows};
use crate::store::places::Places;
use crate::store::row::{Row, put_property};
use crate::store::segment::filter::row_key;
use crate::store::values::{ValueCache, Values};

/// How long a record waits for its flush at most, about.
const WAIT: Duration = Duration::from_secs(30);

/// Where the threads that make batches number values.
pub(crate) struct Numbering {
    values: Mutex<Arc<Values>>,
    /// Caches that no thread uses just now.
    caches: Mutex<Vec<ValueCache>>,
    /// What batches were made in.
    used: Mutex<Vec<UsedBatch>>,
}

impl Numbering {
    /// In a store with this secret.
    pub(crate) fn new(secret: u64) -> Self {
        let values = Mutex::new(Arc::new(Values::new(secret)));
        Self { values, caches: Mutex::default(), used: Mutex::default() }
    }

    fn values(&self) -> Arc<Values> {
        Arc::clone(&self.values.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A cache for a while.
    pub(super) fn take(&self) -> ValueCache {
        let values = self.values();
        let cache = self.caches.lock().unwrap_or_else(PoisonError::into_inner).pop();
        cache.filter(|cache| Arc::ptr_eq(cache.values(), &values)).unwrap_or_else(|| ValueCache::new(values))
    }

    /// Gives one back.
    pub(super) fn give(&self, cache: ValueCache) {
        self.caches.lock().unwrap_or_else(PoisonError::into_inner).push(cache);
    }

    /// What a batch was made in.
    pub(super) fn used_batch(&self) -> Option<UsedBatch> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Begins anew, where values took much memory.
    fn renew(&self, secret: u64) -> Arc<Values> {
        let values = Arc::new(Values::new(secret));
        *self.values.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&values);
        values
    }
}

/// What was loaded since the last flush.
pub(super) struct Load {
    rows: PackedRows,
    values: Arc<Values>,
    numbering: Arc<Numbering>,
    /// Identifies among the rows, by their keys.
    identifies: Places,
    /// When the first came.
    begun: Option<Instant>,
    /// Whether a row has a client's id, which then has a number until the next flush: that tells duplicates.
    identified: bool,
    /// What would go to a log.
    scratch: Vec<u8>,
    numbers: Vec<u32>,
}

/// A record on its way into a [`Load`]; its values are numbers already.
struct Arriving<'a> {
    name: NameId,
    time: Option<Millis>,
    identity: (Fingerprint, &'a str),
    target: Option<(Fingerprint, &'a str)>,
    /// Whether it is known by an id of its own.
    identified: bool,
    numbers: &'a [u32],
}

impl Load {
    pub(super) fn new(numbering: Arc<Numbering>) -> Self {
        Self {
            rows: PackedRows::default(),
            values: numbering.values(),
            numbering,
            identifies: Places::default(),
            begun: None,
            identified: false,
            scratch: Vec::new(),
            numbers: Vec::new(),
        }
    }

    /// When what was loaded has waited for long enough.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.begun.map(|begun| begun + WAIT)
    }

    fn is_due(&self, most: usize) -> bool {
        self.rows.memory() + self.values.table().memory() >= most
            || self.rows.len() >= limits::SEGMENT_ROWS_MAX as usize
            || self.deadline().is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Whether the same identify was loaded since the last flush.
    fn has_identify(&mut self, secret: u64, head: &Head) -> bool {
        let Some(rows) = self.rows.of_name(NameId::IDENTIFY) else { return false };
        let key_of = |identity, time| row_key(secret, NameId::IDENTIFY, identity, time);
        let of_row = |at: usize| rows.row(at as u32).map_or(0, |row| key_of(row.identity, row.time()));
        self.identifies.add_up_to(rows.len(), of_row);
        self.identifies.of(key_of(head.identity, head.time)).any(|at| {
            rows.row(at as u32).is_some_and(|row| {
                (row.identity, row.time()) == (head.identity, head.time)
                    && rows.content(at as u32, row).0 == head.target
            })
        })
    }

    /// All of it, for a flush; what comes next is numbered anew if values take much memory, or are ids.
    fn take(&mut self, secret: u64, most: usize) -> (PackedRows, Arc<Values>) {
        let values = Arc::clone(&self.values);
        // A flush needs much memory; those batches that are being made take it again.
        self.numbering.used.lock().unwrap_or_else(PoisonError::into_inner).clear();
        if std::mem::take(&mut self.identified) || values.table().memory() > most / 8 {
            self.values = self.numbering.renew(secret);
        }
        (self.identifies, self.begun) = (Places::default(), None);
        (std::mem::take(&mut self.rows), values)
    }
}

impl State {
    /// Loads one item of a batch, or says why there is nothing to load.
    fn load(
        &mut self,
        item: &Item,
        batch: &Batch,
        now: Millis,
        stored: &Snapshot,
        load: &mut Load,
    ) -> Result<Outcome> {
        match item {
            Item::Prepared(prepared) => {
                let Prepared { name, time, identity, target, .. } = *prepared;
                let named = |named: Named| (named.fingerprint, batch.text(named));
                let (identity, target, numbers) =
                    (named(identity), target.map(named), batch.numbers(prepared));
                let arriving = Arriving { name, time, identity, target, identified: false, numbers };
                self.arrive(arriving, now, stored, load)
            }
            Item::Record(record) => self.load_record(record, now, stored, load),
            Item::Correction(correction) => {
                let outcome = self.correct(correction, &mut load.scratch);
                load.scratch.clear();
                outcome
            }
        }
    }

    fn load_record(
        &mut self,
        record: &Record,
        now: Millis,
        stored: &Snapshot,
        load: &mut Load,
    ) -> Result<Outcome> {
        let mut raw = Vec::new();
        if let Some(id) = &record.id {
            put_property(PropertyId::RECORD_ID, ValueRef::Text(id), &mut raw);
            // Only what is stored has a number, and this one is a value behind a byte.
            let known =
                load.values.table().find(PropertyId::RECORD_ID, raw.get(1..).unwrap_or(&[])).is_some();
            if known || self.has_record_id(id, stored)? {
                self.counters.duplicates += 1;
                return Ok(Outcome::Duplicate);
            }
        }
        let known =
            self.name_of(record, &mut load.scratch).zip(self.property_bytes(record, &mut load.scratch));
        load.scratch.clear();
        let Some((name, properties)) = known else { return Ok(Outcome::TooManyNames) };
        let mut numbers = std::mem::take(&mut load.numbers);
        numbers.clear();
        load.values.table().numbers(&properties, &mut numbers);
        load.identified |= record.id.is_some();
        let arriving = Arriving {
            name,
            time: record.time,
            identity: (self.identities.fingerprint(&record.identity), &record.identity),
            target: (name == NameId::IDENTIFY)
                .then(|| (self.identities.fingerprint(&record.name), record.name.as_str())),
            identified: record.id.is_some(),
            numbers: &numbers,
        };
        let outcome = self.arrive(arriving, now, stored, load);
        load.numbers = numbers;
        outcome
    }

    fn arrive(
        &mut self,
        new: Arriving<'_>,
        now: Millis,
        stored: &Snapshot,
        load: &mut Load,
    ) -> Result<Outcome> {
        let known = self.identities.find_as(new.identity.0, new.identity.1)?;
        let known_target = new.target.map(|(of, text)| self.identities.find_as(of, text)).transpose()?;
        let mut head = Head {
            name: new.name,
            identity: known.unwrap_or_default(),
            time: new.time.unwrap_or(now),
            target: known_target.flatten().unwrap_or_default(),
            arrival: 0,
            // A record without a time, or with an id of its own, is never a duplicate by what it says.
            may_repeat: new.time.is_some() && !new.identified,
        };
        let all_known = known.is_some() && known_target.is_none_or(|target| target.is_some());
        if head.may_repeat && all_known && self.was_loaded(&head, new.numbers, stored, load)? {
            self.counters.duplicates += 1;
            return Ok(Outcome::Duplicate);
        }
        if known.is_none() {
            head.identity = self.load_identity(new.identity);
        }
        if let Some(target) = new.target {
            // Looked up again: the record may name one new identity twice.
            head.target = match self.identities.find_as(target.0, target.1)? {
                Some(id) => id,
                None => self.load_identity(target),
            };
        }
        if !head.name.is_event() {
            head.arrival = self.next_arrival;
            self.next_arrival += 1;
        }
        self.counters.stored += 1;
        load.rows.push(&head, new.numbers);
        let target = new.target.map_or("", |(_, text)| text);
        let outcome = self.identify(head.name, head.identity, head.target);
        if outcome == Outcome::MergeRefused {
            self.refuse_merge(now, new.identity.1, target);
        }
        Ok(outcome)
    }

    fn load_identity(&mut self, (of, identity): (Fingerprint, &str)) -> IdentityId {
        self.persons.add();
        self.identities.insert_as(of, identity)
    }

    /// Whether the row is in a segment, or is an identify that was loaded before.
    fn was_loaded(&self, head: &Head, numbers: &[u32], stored: &Snapshot, load: &mut Load) -> Result<bool> {
        if head.name == NameId::IDENTIFY && load.has_identify(self.secret[0], head) {
            return Ok(true);
        }
        if !stored.segments.iter().any(|segment| segment.covers(head.time)) {
            return Ok(false);
        }
        let mut raw = Vec::new();
        load.values.table().put_properties(numbers, &mut raw);
        let Head { name, identity, time, target, .. } = *head;
        let row = Row { name, identity, time, target, arrival: 0, properties: raw.as_slice().into() };
        for segment in stored.segments.iter() {
            if lookup::contains(segment, &self.persons, self.secret[0], &row)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Writer {
    /// Loads a batch, and flushes what was loaded if that is due.
    pub(super) fn load(&mut self, mut batch: Batch) -> Result<Vec<Outcome>> {
        self.ready()?;
        let (now, stored) = (self.shared.options.clock.now(), self.shared.snapshot());
        let Some(load) = &mut self.load else { return Ok(Vec::new()) };
        batch.renumber(&load.values);
        load.begun.get_or_insert_with(Instant::now);
        let mut outcomes = Vec::with_capacity(batch.len());
        for (at, item) in batch.items.iter().enumerate() {
            if at.is_multiple_of(LOOK_AHEAD) {
                let ahead = batch.items.iter().skip(at).take(LOOK_AHEAD);
                std::hint::black_box(self.state.identities.expect(ahead.filter_map(Item::identity)));
            }
            outcomes.push(self.state.load(item, &batch, now, &stored, load)?);
        }
        let refused = std::mem::take(&mut self.state.refused);
        if !refused.is_empty() {
            let mut refusals = self.shared.refusals.lock().unwrap_or_else(PoisonError::into_inner);
            refused.into_iter().for_each(|refusal| refusals.add(refusal));
        }
        if !Arc::ptr_eq(&stored.catalog, &self.state.catalog) {
            // Those who make batches know the new names from now on.
            self.shared.publish(|next| next.catalog = Arc::clone(&self.state.catalog));
        }
        load.numbering.used.lock().unwrap_or_else(PoisonError::into_inner).push(batch.emptied());
        self.loaded += 1;
        if load.is_due(self.shared.options.load_bytes.unwrap_or(0)) || self.state.identities.is_due() {
            self.flush_loaded()?;
        }
        Ok(outcomes)
    }

    /// Writes what was loaded; durable when it returns. False if there was nothing.
    pub(super) fn flush_loaded(&mut self) -> Result<bool> {
        let Some(load) = self.load.as_mut().filter(|load| load.begun.is_some()) else { return Ok(false) };
        self.shared.healthy()?;
        let shared = Arc::clone(&self.shared);
        // Who is who is seen from the sealing on and durable only with the flush, as no log has it: until then no segment may be
        // merged by it, or it would be put under persons that a power cut takes back.
        let _no_merge = shared.merging.lock().unwrap_or_else(PoisonError::into_inner);
        let most = shared.options.load_bytes.unwrap_or(0);
        let rows = load.take(self.state.secret[0], most);
        let (reply, done) = promise();
        self.seal_with(vec![reply], Some(rows));
        // The rows are gone, and are in no log: nothing that comes behind them may be stored.
        done.wait().inspect_err(|error| self.shared.fail(error))?;
        self.shared.durable.store(self.loaded, Ordering::SeqCst);
        Ok(true)
    }
}
