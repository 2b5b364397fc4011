//! The unsettled part of a snapshot: all rows, of the names that a report reads, of every person who has recent rows of them or
//! who took part in a merge since the settled part began. Reports walk the settled cells without these
//! persons, then these persons by themselves; the two results add up.

use std::collections::HashMap;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::cell::{Cell, RowRef};
use super::settled::Settled;
use super::source::Source;
use crate::error::Result;
use crate::model::{Millis, NameId, PersonId};

/// Persons whose settled rows are not the whole truth, and their rows.
pub struct Overlay {
    /// The persons, by today's and by the settled part's identities: none of them may be read from settled cells.
    pub touched: RoaringBitmap,
    cells: HashMap<NameId, Arc<Cell>>,
}

impl Overlay {
    /// Gathers the rows of `names`.
    pub fn new(source: &Source, settled: &Settled, names: &[NameId]) -> Result<Self> {
        let persons = &source.snapshot.persons;
        let mut moved = RoaringBitmap::new();
        for step in persons.moves_since(settled.version) {
            moved.insert(step.from);
            moved.insert(step.to);
        }
        let mut recent: HashMap<NameId, Vec<(PersonId, Millis, RowRef)>> = HashMap::new();
        let mut active: Vec<PersonId> = Vec::new();
        for (number, run) in source.runs().iter().enumerate() {
            for name in names {
                let rows = run.of_name(*name);
                let Some(first) = rows.first() else { continue };
                let base = run.rows().partition_point(|r| r.name < first.name);
                let list = recent.entry(*name).or_default();
                for (at, row) in rows.iter().enumerate() {
                    let person = persons.person_of(row.identity);
                    active.push(person);
                    let source = RowRef::RECENT + number as u32;
                    list.push((person, row.time, RowRef { source, chunk_at: 0, row: (base + at) as u32 }));
                }
            }
        }
        active.sort_unstable();
        active.dedup();
        // They rise, so they are always taken.
        let touched = RoaringBitmap::from_sorted_iter(active).unwrap_or_default() | &moved;
        let mut overlay = Self { touched, cells: HashMap::new() };
        if !overlay.touched.is_empty() {
            for name in names {
                let rows = recent.remove(name).unwrap_or_default();
                let cell = overlay.gather(source, settled, *name, &moved, rows)?;
                overlay.cells.insert(*name, Arc::new(cell));
            }
        }
        Ok(overlay)
    }

    /// The rows of a name.
    pub fn cell(&self, name: NameId) -> Arc<Cell> {
        self.cells.get(&name).map_or_else(|| Arc::new(Cell::empty(name)), Arc::clone)
    }

    fn gather(
        &self,
        source: &Source,
        settled: &Settled,
        name: NameId,
        moved: &RoaringBitmap,
        mut rows: Vec<(PersonId, Millis, RowRef)>,
    ) -> Result<Cell> {
        let persons = &source.snapshot.persons;
        for chunk in settled.chunks(name)? {
            let (low, high) = (chunk << 16, chunk << 16 | 0xffff);
            if self.touched.range_cardinality(low..=high) == 0 {
                continue;
            }
            let cell = settled.cell(name, chunk)?;
            let (mut times, mut refs) = (Vec::new(), Vec::new());
            for rank in shared_ranks(&cell.persons, &self.touched, low, high) {
                let Some(person) = cell.persons.get(rank).copied() else { continue };
                let of_rank = cell.rows(rank).zip(cell.times(rank).iter().copied());
                if moved.contains(person) {
                    for (row, time) in of_rank {
                        times.push(time);
                        refs.push(cell.row_ref(row));
                    }
                } else {
                    // None of its identities has gone to another person.
                    rows.extend(of_rank.map(|(row, time)| (person, time, cell.row_ref(row))));
                }
            }
            let identities = source.identities(name, &refs)?;
            for ((time, at), identity) in times.into_iter().zip(refs).zip(identities) {
                rows.push((persons.person_of(identity), time, at));
            }
        }
        rows.sort_by_key(|(person, time, _)| (*person, *time));
        Ok(Cell::of_rows(name, rows.into_iter()))
    }
}

/// The ranks of the persons of a chunk that are in `set`.
fn shared_ranks(persons: &[PersonId], set: &RoaringBitmap, low: u32, high: u32) -> Vec<usize> {
    let mut ranks = Vec::new();
    if (set.range_cardinality(low..=high) as usize) < persons.len() / 16 {
        ranks.extend(set.range(low..=high).filter_map(|person| persons.binary_search(&person).ok()));
    } else {
        ranks.extend((0..persons.len()).filter(|rank| persons.get(*rank).is_some_and(|p| set.contains(*p))));
    }
    ranks
}
