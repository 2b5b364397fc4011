//! Which rows and record ids are in memtables, so that duplicates among recent records are found without a search: a filter of rows
//! and a set of ids for each memtable, dropped with it.

use std::collections::{HashSet, VecDeque};

use rustc_hash::FxHashMap;

use crate::limits;
use crate::model::Millis;
use crate::store::memtable::Memtable;
use crate::store::row::Row;
use crate::store::segment::filter::{FilterWriter, row_key};

#[derive(Debug)]
struct Keys {
    /// The latest time of the rows: what comes in is mostly later than all of them, and needs no look-up.
    latest: Millis,
    /// By the rows' keys, made when the first comes. A filter rather than a set, since it stays in the processor's cache; what it
    /// lets through is compared as a whole.
    rows: Option<FilterWriter>,
    record_ids: HashSet<Box<str>>,
}

impl Default for Keys {
    fn default() -> Self {
        Self { latest: Millis::MIN, rows: None, record_ids: HashSet::new() }
    }
}

impl Keys {
    fn add(&mut self, time: Millis, key: u64, rows: usize) {
        self.latest = self.latest.max(time);
        self.rows.get_or_insert_with(|| FilterWriter::new(rows as u64)).add(key);
    }

    fn may_have(&self, time: Millis, key: u64) -> bool {
        time <= self.latest && self.rows.as_ref().is_some_and(|rows| rows.may_contain(key))
    }
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
    /// By key the latest row of the group with it, and for each row the one before it with the same key. They are filled only
    /// when a key is met twice, as far as the length of `group_previous`.
    group_latest: FxHashMap<u64, usize>,
    group_previous: Vec<Option<usize>>,
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
            group_latest: FxHashMap::default(),
            group_previous: Vec::new(),
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

    fn group_has(&mut self, row: &Row) -> bool {
        for (at, added) in self.group.iter().enumerate().skip(self.group_previous.len()) {
            let key = row_key(self.secret, added.name, added.identity, added.time);
            self.group_previous.push(self.group_latest.insert(key, at));
        }
        let mut at = self.group_latest.get(&self.key_of(row)).copied();
        while let Some(index) = at {
            if self.group.get(index).is_some_and(|r| r.says_the_same(row)) {
                return true;
            }
            at = self.group_previous.get(index).copied().flatten();
        }
        false
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
        if self.active.may_have(row.time, key) && (self.group_has(row) || table_has(active, row)) {
            return true;
        }
        for (generation, table) in sealed {
            let known = self.sealed.iter().find(|(g, _)| *g == generation);
            if known.is_none_or(|(_, keys)| keys.may_have(row.time, key)) && table_has(table, row) {
                return true;
            }
        }
        false
    }

    /// Ends the group: gives its rows, and counts them as the active memtable's.
    pub fn take_group(&mut self) -> Vec<Row> {
        self.group_previous.clear();
        self.group_latest.clear();
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

fn table_has(table: &Memtable, row: &Row) -> bool {
    table.runs().iter().any(|run| {
        let rows = run.of_identity(row.name, row.identity);
        let from = rows.partition_point(|r| r.time < row.time);
        rows.get(from..)
            .unwrap_or(&[])
            .iter()
            .take_while(|r| r.time == row.time)
            .any(|r| r.says_the_same(row))
    })
}
