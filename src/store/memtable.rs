//! Recent rows, not yet in a segment file: a short list of immutable sorted runs. A group of writers adds one run; four
//! neighbours of like size are merged into one, so each row is copied once for each factor of four that the table has
//! grown, and at most three runs of each size remain. Clones are snapshots.
//!
//! Where nobody is expected to read, rows stay in the order in which they came until somebody does.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use super::places::Places;
use super::row::Row;
use super::segment::filter::row_key;
use crate::model::{IdentityId, NameId, PropertyId};

/// Runs of like size that are merged into one, where reports read the table.
pub const FAN_IN: usize = 4;

/// Some rows.
#[derive(Debug, Default)]
pub struct Run {
    /// In the order of [`Row::order`] if they are `ordered`, else as they came.
    rows: Vec<Row>,
    ordered: bool,
    /// The rows in order where `rows` are not, once somebody reads them.
    sorted: OnceLock<Vec<Row>>,
    /// Where rows are in `rows` where they are not in order, once one is looked for.
    places: OnceLock<Places>,
    /// Of each name the properties that any row has, found when they are first asked for.
    properties: OnceLock<BTreeSet<(NameId, PropertyId)>>,
}

impl Run {
    fn new(mut rows: Vec<Row>, ordered: bool) -> Self {
        if ordered {
            // The standard library's stable sort finds the runs in it and merges them.
            rows.sort_by(Row::order);
        }
        Self { rows, ordered, ..Self::default() }
    }

    /// All rows in any order, at no cost.
    pub fn unsorted(&self) -> &[Row] {
        &self.rows
    }

    /// Whether a row says the same as `row`, whose key under `secret` is `key`.
    pub fn has(&self, row: &Row, secret: u64, key: u64) -> bool {
        if self.ordered {
            let rows = self.of_identity(row.name, row.identity);
            let rows = rows.get(rows.partition_point(|r| r.time < row.time)..).unwrap_or(&[]);
            return rows.iter().take_while(|r| r.time == row.time).any(|r| r.says_the_same(row));
        }
        let places = self.places.get_or_init(|| {
            let mut places = Places::default();
            places.add_up_to(self.rows.len(), |at| {
                self.rows.get(at).map_or(0, |row| row_key(secret, row.name, row.identity, row.time))
            });
            places
        });
        places.of(key).filter_map(|at| self.rows.get(at)).any(|r| r.says_the_same(row))
    }

    /// The properties that any row of a name has, rising.
    pub fn properties(&self, name: NameId) -> impl Iterator<Item = PropertyId> + '_ {
        let all = self.properties.get_or_init(|| {
            let mut all = BTreeSet::new();
            for of_name in self.rows().chunk_by(|a, b| a.name == b.name) {
                let Some(name) = of_name.first().map(|row| row.name) else { continue };
                let mut known: Vec<PropertyId> = Vec::new();
                for (property, _) in of_name.iter().flat_map(Row::properties) {
                    if !known.contains(&property) {
                        known.push(property);
                    }
                }
                all.extend(known.into_iter().map(|property| (name, property)));
            }
            all
        });
        all.range((name, PropertyId(0))..=(name, PropertyId(u32::MAX))).map(|(_, property)| *property)
    }

    /// All rows, in the order of [`Row::order`].
    pub fn rows(&self) -> &[Row] {
        if self.ordered {
            return &self.rows;
        }
        self.sorted.get_or_init(|| {
            let mut rows = self.rows.clone();
            rows.sort_by(Row::order);
            rows
        })
    }

    /// The rows of one name, in the order of their identities and times.
    pub fn of_name(&self, name: NameId) -> &[Row] {
        let rows = self.rows();
        let from = rows.partition_point(|r| r.name < name);
        let to = rows.partition_point(|r| r.name <= name);
        rows.get(from..to).unwrap_or(&[])
    }

    /// The rows of one name and identity, in the order of their times.
    pub fn of_identity(&self, name: NameId, identity: IdentityId) -> &[Row] {
        let rows = self.rows();
        let from = rows.partition_point(|r| (r.name, r.identity) < (name, identity));
        let to = rows.partition_point(|r| (r.name, r.identity) <= (name, identity));
        rows.get(from..to).unwrap_or(&[])
    }

    /// The names that occur.
    pub fn names(&self) -> Vec<NameId> {
        let mut names = Vec::new();
        let mut rest = self.rows();
        while let Some(first) = rest.first() {
            names.push(first.name);
            rest = rest.get(rest.partition_point(|r| r.name <= first.name)..).unwrap_or(&[]);
        }
        names
    }
}

/// The recent rows.
#[derive(Clone, Debug)]
pub struct Memtable {
    runs: Vec<Arc<Run>>,
    rows: usize,
    fan_in: usize,
    ordered: bool,
}

impl Default for Memtable {
    fn default() -> Self {
        Self { runs: Vec::new(), rows: 0, fan_in: FAN_IN, ordered: true }
    }
}

impl Memtable {
    /// For one that is seldom read: from now on it merges `fan_in` runs of like size, and leaves rows as they come.
    pub fn expect_no_readers(&mut self, fan_in: usize) {
        (self.fan_in, self.ordered) = (fan_in, false);
    }

    /// An empty one of the same kind.
    pub fn emptied(&self) -> Self {
        Self { runs: Vec::new(), rows: 0, ..*self }
    }

    /// Adds the rows of one group of writers.
    pub fn add(&mut self, rows: Vec<Row>) {
        if rows.is_empty() {
            return;
        }
        self.rows += rows.len();
        self.runs.push(Arc::new(Run::new(rows, self.ordered)));
        while let Some(first) = self.runs.len().checked_sub(self.fan_in) {
            let sizes: Vec<usize> = self.runs.iter().skip(first).map(|r| r.rows.len()).collect();
            let (oldest, newest) = (sizes.first().copied().unwrap_or(0), sizes.last().copied().unwrap_or(0));
            if oldest > self.fan_in * newest {
                break;
            }
            let mut rows = Vec::with_capacity(sizes.iter().sum());
            for run in self.runs.drain(first..) {
                rows.extend(Arc::unwrap_or_clone(run).rows);
            }
            self.runs.push(Arc::new(Run::new(rows, self.ordered)));
        }
    }

    /// Rows in it.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Its runs.
    pub fn runs(&self) -> &[Arc<Run>] {
        &self.runs
    }
}

impl Clone for Run {
    fn clone(&self) -> Self {
        Self { rows: self.rows.clone(), ordered: self.ordered, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(i: u32) -> Row {
        let properties = [].as_slice().into();
        Row { name: NameId(i % 7), identity: i % 13, time: i64::from(i), target: 0, arrival: 0, properties }
    }

    #[test]
    fn runs_stay_few_and_sorted() {
        let mut lazy = Memtable::default();
        lazy.expect_no_readers(FAN_IN);
        for mut table in [Memtable::default(), lazy] {
            for i in 0..1000u32 {
                table.add(vec![row(i)]);
            }
            assert!(table.runs().len() <= 15);
            assert_eq!(table.len(), 1000);
            let has = |row: &Row| {
                let key = row_key(7, row.name, row.identity, row.time);
                table.runs().iter().any(|run| run.has(row, 7, key))
            };
            assert!((0..1000).all(|i| has(&row(i))));
            assert!((0..1000).all(|i| !has(&Row { time: -1, ..row(i) })));
            let of_name: usize = table.runs().iter().map(|r| r.of_name(NameId(3)).len()).sum();
            assert_eq!(of_name, (0..1000).filter(|i| i % 7 == 3).count());
            for run in table.runs() {
                assert!(run.rows().is_sorted_by(|a, b| a.order(b).is_le()));
                let of_names = run.names().iter().map(|n| run.of_name(*n).len()).sum::<usize>();
                assert_eq!((of_names, run.unsorted().len()), (run.rows().len(), run.rows().len()));
            }
        }
    }
}
