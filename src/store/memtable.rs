//! Recent rows, not yet in a segment file: a short list of immutable sorted runs. A group of writers adds one run; four
//! neighbours of like size are merged into one, so each row is copied once for each factor of four that the table has
//! grown, and at most three runs of each size remain. Clones are snapshots.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use super::row::Row;
use crate::model::{IdentityId, NameId, PropertyId};

/// Runs of like size that are merged into one, where reports read the table.
pub const FAN_IN: usize = 4;

/// Rows in the order of [`Row::order`].
#[derive(Debug)]
pub struct Run {
    rows: Vec<Row>,
    /// Of each name the properties that any row has, found when they are first asked for.
    properties: OnceLock<BTreeSet<(NameId, PropertyId)>>,
}

impl Run {
    fn new(rows: Vec<Row>) -> Self {
        Self { rows, properties: OnceLock::new() }
    }

    /// The properties that any row of a name has, rising.
    pub fn properties(&self, name: NameId) -> impl Iterator<Item = PropertyId> + '_ {
        let all = self.properties.get_or_init(|| {
            let mut all = BTreeSet::new();
            for of_name in self.rows.chunk_by(|a, b| a.name == b.name) {
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

    /// All rows.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The rows of one name, in the order of their identities and times.
    pub fn of_name(&self, name: NameId) -> &[Row] {
        let from = self.rows.partition_point(|r| r.name < name);
        let to = self.rows.partition_point(|r| r.name <= name);
        self.rows.get(from..to).unwrap_or(&[])
    }

    /// The rows of one name and identity, in the order of their times.
    pub fn of_identity(&self, name: NameId, identity: IdentityId) -> &[Row] {
        let from = self.rows.partition_point(|r| (r.name, r.identity) < (name, identity));
        let to = self.rows.partition_point(|r| (r.name, r.identity) <= (name, identity));
        self.rows.get(from..to).unwrap_or(&[])
    }

    /// The names that occur.
    pub fn names(&self) -> Vec<NameId> {
        let mut names = Vec::new();
        let mut rest = self.rows.as_slice();
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
}

impl Default for Memtable {
    fn default() -> Self {
        Self::new(FAN_IN)
    }
}

impl Memtable {
    /// An empty one that merges `fan_in` runs of like size: with many, rows are copied less and found slower.
    pub fn new(fan_in: usize) -> Self {
        Self { runs: Vec::new(), rows: 0, fan_in }
    }

    /// From now on merges `fan_in` runs of like size.
    pub fn merge_runs_of(&mut self, fan_in: usize) {
        self.fan_in = fan_in;
    }

    /// Adds the rows of one group of writers.
    pub fn add(&mut self, mut rows: Vec<Row>) {
        if rows.is_empty() {
            return;
        }
        self.rows += rows.len();
        rows.sort_by(Row::order);
        self.runs.push(Arc::new(Run::new(rows)));
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
            // The standard library's stable sort finds the runs and merges them.
            rows.sort_by(Row::order);
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
        Self::new(self.rows.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_stay_few_and_sorted() {
        let mut table = Memtable::default();
        for i in 0..1000u32 {
            let row = Row {
                name: NameId(i % 7),
                identity: i % 13,
                time: i64::from(i),
                target: 0,
                arrival: 0,
                properties: [].as_slice().into(),
            };
            table.add(vec![row]);
        }
        assert!(table.runs().len() <= 15);
        assert_eq!(table.len(), 1000);
        let of_name: usize = table.runs().iter().map(|r| r.of_name(NameId(3)).len()).sum();
        assert_eq!(of_name, (0..1000).filter(|i| i % 7 == 3).count());
        for run in table.runs() {
            assert!(run.rows().is_sorted_by(|a, b| a.order(b).is_le()));
            assert_eq!(run.names().iter().map(|n| run.of_name(*n).len()).sum::<usize>(), run.rows().len());
        }
    }
}
