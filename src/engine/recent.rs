//! Which rows and record ids are in memtables, so that duplicates among recent records are found without a search: a filter of rows
//! and a set of ids for each memtable, dropped with it.

use std::cmp::Ordering;
use std::collections::{HashSet, VecDeque};

use crate::limits;
use crate::model::Millis;
use crate::store::memtable::Memtable;
use crate::store::places::Places;
use crate::store::row::Row;
use crate::store::segment::filter::{FilterWriter, row_key};

#[derive(Debug)]
struct Keys {
    /// The latest time of the rows: what comes in is mostly later than all of them, and needs no look-up.
    latest: Millis,
    /// The keys of the rows of that time, as long as they are few: what comes together often has one time.
    at_latest: Vec<u64>,
    /// By the rows' keys, made when the first comes. A filter rather than a set, since it stays in the processor's cache; what it
    /// lets through is compared as a whole.
    rows: Option<FilterWriter>,
    /// Keys that are not in it yet: added many at once, they wait for memory together.
    next: Vec<u64>,
    record_ids: HashSet<Box<str>>,
}

/// Keys that are added to a filter at once.
const KEYS_AT_ONCE: usize = 64;
/// Rows of the latest time whose keys are kept apart.
const AT_LATEST: usize = 16;

impl Default for Keys {
    fn default() -> Self {
        let (at_latest, next) = (Vec::with_capacity(AT_LATEST), Vec::with_capacity(KEYS_AT_ONCE));
        Self { latest: Millis::MIN, at_latest, rows: None, next, record_ids: HashSet::new() }
    }
}

impl Keys {
    fn add(&mut self, time: Millis, key: u64, rows: usize) {
        if time > self.latest {
            self.latest = time;
            self.at_latest.clear();
        }
        // One more than may be compared says that there are too many.
        if time == self.latest && self.at_latest.len() <= AT_LATEST {
            self.at_latest.push(key);
        }
        self.next.push(key);
        if self.next.len() == KEYS_AT_ONCE {
            let filter = self.rows.get_or_insert_with(|| FilterWriter::new(rows as u64));
            self.next.drain(..).for_each(|key| filter.add(key));
        }
    }

    fn may_have(&self, time: Millis, key: u64) -> bool {
        match time.cmp(&self.latest) {
            Ordering::Greater => false,
            Ordering::Equal if self.at_latest.len() <= AT_LATEST => self.at_latest.contains(&key),
            _ => self.next.contains(&key) || self.rows.as_ref().is_some_and(|rows| rows.may_contain(key)),
        }
    }
}

fn has_row(table: &Memtable, row: &Row) -> bool {
    table.runs().iter().any(|run| run.has(row))
}

/// The rows of the group being written, and the keys of all rows in memtables.
#[derive(Debug)]
pub struct Recent {
    secret: u64,
    /// Rows that a memtable is expected to take.
    expected: usize,
    active: Keys,
    sealed: VecDeque<(u64, Keys)>,
    group: Vec<Row>,
    /// Of the group's rows up to the latest one that was looked for.
    places: Places,
}

impl Recent {
    /// Nothing yet, in a store with this secret.
    pub fn new(secret: u64) -> Self {
        Self {
            secret,
            expected: limits::MEMTABLE_ROWS_MAX,
            active: Keys::default(),
            sealed: VecDeque::new(),
            group: Vec::new(),
            places: Places::default(),
        }
    }

    /// From the next memtable on, as many rows are expected in each: with more, more look-ups are in vain.
    pub fn expect(&mut self, rows: usize) {
        self.expected = rows;
    }

    fn key_of(&self, row: &Row) -> u64 {
        row_key(self.secret, row.name, row.identity, row.time)
    }

    /// Adds a row to the group.
    pub fn push(&mut self, row: Row) {
        if let Some(id) = row.record_id() {
            self.active.record_ids.insert(id.into());
        }
        let key = self.key_of(&row);
        self.active.add(row.time, key, self.expected);
        self.group.push(row);
    }

    fn group_has(&mut self, row: &Row, key: u64) -> bool {
        let Self { secret, group, places, .. } = self;
        let key_of = |row: &Row| row_key(*secret, row.name, row.identity, row.time);
        places.add_up_to(group.len(), |at| group.get(at).map_or(0, key_of));
        places.of(key).filter_map(|at| group.get(at)).any(|r| r.says_the_same(row))
    }

    /// Whether a recent record has this client's id.
    pub fn has_record_id(&self, id: &str) -> bool {
        self.active.record_ids.contains(id)
            || self.sealed.iter().any(|(_, keys)| keys.record_ids.contains(id))
    }

    /// Whether a row of the group or of a memtable says the same. `sealed` are the memtables being flushed, with their generations.
    pub fn has_row<'a>(
        &mut self,
        row: &Row,
        active: &Memtable,
        sealed: impl Iterator<Item = (u64, &'a Memtable)>,
    ) -> bool {
        let key = self.key_of(row);
        if self.active.may_have(row.time, key) && (self.group_has(row, key) || has_row(active, row)) {
            return true;
        }
        for (generation, table) in sealed {
            let known = self.sealed.iter().find(|(g, _)| *g == generation);
            if known.is_none_or(|(_, keys)| keys.may_have(row.time, key)) && has_row(table, row) {
                return true;
            }
        }
        false
    }

    /// Ends the group: gives its rows, and counts them as the active memtable's.
    pub fn take_group(&mut self) -> Vec<Row> {
        self.places = Places::default();
        // The next group is mostly about as large.
        let next = Vec::with_capacity(self.group.len());
        std::mem::replace(&mut self.group, next)
    }

    /// Ends the group without its rows. Their keys may stay, which only let a row be looked at that is none of theirs.
    pub fn drop_group(&mut self) {
        for row in self.take_group() {
            if let Some(id) = row.record_id() {
                self.active.record_ids.remove(id);
            }
        }
    }

    /// The active memtable was sealed as `generation`.
    pub fn seal(&mut self, generation: u64) {
        self.sealed.push_back((generation, std::mem::take(&mut self.active)));
    }

    /// Memtables before `generation` are in segments now.
    pub fn forget_before(&mut self, generation: u64) {
        self.sealed.retain(|(g, _)| *g >= generation);
    }
}
