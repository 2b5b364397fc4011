//! Recent rows, not yet in a segment file: a short list of immutable sorted runs. A group of writers adds one run; four
//! neighbours of like size are merged into one, so each row is copied once for each factor of four that the table has
//! grown, and at most three runs of each size remain. Clones are snapshots.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use rustc_hash::FxHashSet as HashSet;

use super::row::Row;
use crate::model::{IdentityId, NameId, PropertyId};

/// Runs of like size that are merged into one.
const FAN_IN: usize = 4;

/// Some rows.
#[derive(Debug, Default)]
pub struct Run {
    /// In the order of [`Row::order`].
    rows: Vec<Row>,
    /// Of each name the properties that any row has, found when they are first asked for.
    properties: OnceLock<BTreeSet<(NameId, PropertyId)>>,
}

impl Run {
    fn new(mut rows: Vec<Row>) -> Self {
        // The standard library's stable sort finds the runs in it and merges them.
        rows.sort_by(Row::order);
        Self { rows, ..Self::default() }
    }

    /// Whether a row says the same as `row`.
    pub fn has(&self, row: &Row) -> bool {
        let rows = self.of_identity(row.name, row.identity);
        let rows = rows.get(rows.partition_point(|r| r.time < row.time)..).unwrap_or(&[]);
        rows.iter().take_while(|r| r.time == row.time).any(|r| r.says_the_same(row))
    }

    /// The properties that any row of a name has, rising.
    pub fn properties(&self, name: NameId) -> impl Iterator<Item = PropertyId> + '_ {
        let all = self.properties.get_or_init(|| {
            let mut all = BTreeSet::new();
            for of_name in self.rows().chunk_by(|a, b| a.name == b.name) {
                let Some(name) = of_name.first().map(|row| row.name) else { continue };
                // Most events have a few, and whoever sends can give one thousands.
                let known: HashSet<PropertyId> =
                    of_name.iter().flat_map(Row::properties).map(|(property, _)| property).collect();
                all.extend(known.into_iter().map(|property| (name, property)));
            }
            all
        });
        all.range((name, PropertyId(0))..=(name, PropertyId(u32::MAX))).map(|(_, property)| *property)
    }

    /// All rows, in the order of [`Row::order`].
    pub fn rows(&self) -> &[Row] {
        &self.rows
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
#[derive(Clone, Debug, Default)]
pub struct Memtable {
    runs: Vec<Arc<Run>>,
    rows: usize,
}

impl Memtable {
    /// Adds the rows of one group of writers.
    pub fn add(&mut self, rows: Vec<Row>) {
        if rows.is_empty() {
            return;
        }
        self.rows += rows.len();
        self.runs.push(Arc::new(Run::new(rows)));
        while let Some(first) = self.runs.len().checked_sub(FAN_IN) {
            let sizes: Vec<usize> = self.runs.iter().skip(first).map(|r| r.rows.len()).collect();
            let (oldest, newest) = (sizes.first().copied().unwrap_or(0), sizes.last().copied().unwrap_or(0));
            if oldest > FAN_IN * newest {
                break;
            }
            let mut rows = Vec::with_capacity(sizes.iter().sum());
            for run in self.runs.drain(first..) {
                rows.extend(Arc::unwrap_or_clone(run).rows);
            }
            self.runs.push(Arc::new(Run::new(rows)));
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
        Self { rows: self.rows.clone(), ..Self::default() }
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
        let mut table = Memtable::default();
        for i in 0..1000u32 {
            table.add(vec![row(i)]);
        }
        assert!(table.runs().len() <= 15);
        assert_eq!(table.len(), 1000);
        let has = |row: &Row| table.runs().iter().any(|run| run.has(row));
        assert!((0..1000).all(|i| has(&row(i))));
        assert!((0..1000).all(|i| !has(&Row { time: -1, ..row(i) })));
        let of_name: usize = table.runs().iter().map(|r| r.of_name(NameId(3)).len()).sum();
        assert_eq!(of_name, (0..1000).filter(|i| i % 7 == 3).count());
        for run in table.runs() {
            assert!(run.rows().is_sorted_by(|a, b| a.order(b).is_le()));
            let of_names = run.names().iter().map(|n| run.of_name(*n).len()).sum::<usize>();
            assert_eq!(of_names, run.rows().len());
        }
    }
}
