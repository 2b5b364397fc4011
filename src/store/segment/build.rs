//! Builds a segment from the rows of a memtable.

use std::collections::HashMap;

use super::block::BlockRow;
use super::chunk_of;
use super::dictionary::order_raw;
use super::writer::{Frame, SegmentFile, SegmentWriter};
use crate::disk::Vfs;
use crate::error::Result;
use crate::model::{PersonId, PropertyId};
use crate::store::memtable::Memtable;
use crate::store::persons::Persons;
use crate::store::row::{PropertyIter, Row};

/// Hashes a client's record id under the store's secret.
pub type HashId<'a> = &'a (dyn Fn(&str) -> u64 + Sync);

/// Writes `memtable` as the segment file `name`, with the persons that `persons` says.
pub fn write_memtable(
    vfs: &dyn Vfs,
    name: &str,
    memtable: &Memtable,
    persons: &Persons,
    secret: u64,
    hash_id: HashId<'_>,
) -> Result<SegmentFile> {
    let mut rows: Vec<(PersonId, &Row)> =
        memtable.runs().iter().flat_map(|r| r.rows()).map(|r| (persons.person_of(r.identity), r)).collect();
    rows.sort_unstable_by(|(p, a), (q, b)| {
        (a.name, p, a.time, a.identity).cmp(&(b.name, q, b.time, b.identity)).then_with(|| a.order(b))
    });
    let codes = Codes::collect(rows.iter().map(|(_, r)| *r));
    let mut members: Vec<_> = rows.iter().map(|(p, r)| (*p, r.identity)).collect();
    members.sort_unstable();
    members.dedup();
    let frame = Frame {
        identity_version: persons.version(),
        secret,
        rows: rows.len() as u64,
        dictionaries: codes.dictionaries(),
        members,
    };
    let mut writer = SegmentWriter::create(vfs, name, frame)?;
    for of_name in rows.chunk_by(|a, b| a.1.name == b.1.name) {
        let Some((_, first)) = of_name.first() else { continue };
        writer.start_name(first.name);
        for of_chunk in of_name.chunk_by(|a, b| chunk_of(a.0) == chunk_of(b.0)) {
            let (mut block, mut values, mut ids) =
                (Vec::with_capacity(of_chunk.len()), Vec::new(), Vec::new());
            for (at, (person, row)) in of_chunk.iter().enumerate() {
                let values_from = values.len() as u32;
                codes.values_of(row, &mut values);
                let slot = writer.slot(*person, row.identity);
                block.push(BlockRow {
                    person: *person,
                    time: row.time,
                    slot,
                    values_from,
                    values_to: values.len() as u32,
                });
                ids.extend(row.record_id().map(|id| (at as u32, hash_id(id))));
            }
            writer.block(&block, &values, &ids)?;
        }
        writer.end_name()?;
    }
    writer.finish()
}

/// Dictionary codes of the values of some rows.
struct Codes<'a> {
    by_property: HashMap<PropertyId, HashMap<&'a [u8], u32>>,
}

impl<'a> Codes<'a> {
    fn collect(rows: impl Iterator<Item = &'a Row>) -> Self {
        let mut by_property: HashMap<PropertyId, HashMap<&'a [u8], u32>> = HashMap::new();
        for row in rows {
            let mut properties = PropertyIter::new(&row.properties);
            while let Some((property, raw)) = properties.next_raw(&row.properties) {
                by_property.entry(property).or_default().insert(raw, 0);
            }
        }
        for values in by_property.values_mut() {
            let mut sorted: Vec<_> = values.iter_mut().collect();
            sorted.sort_unstable_by(|a, b| order_raw(a.0, b.0));
            for (code, (_, slot)) in sorted.into_iter().enumerate() {
                *slot = code as u32;
            }
        }
        Self { by_property }
    }

    fn dictionaries(&self) -> Vec<(PropertyId, Vec<Vec<u8>>)> {
        let mut dictionaries: Vec<_> = self
            .by_property
            .iter()
            .map(|(property, codes)| {
                let mut values: Vec<_> = codes.iter().map(|(raw, code)| (*code, raw.to_vec())).collect();
                values.sort_unstable_by_key(|(code, _)| *code);
                (*property, values.into_iter().map(|(_, raw)| raw).collect())
            })
            .collect();
        dictionaries.sort_unstable_by_key(|(property, _)| *property);
        dictionaries
    }

    fn values_of(&self, row: &'a Row, out: &mut Vec<(PropertyId, u64)>) {
        let mut properties = PropertyIter::new(&row.properties);
        while let Some((property, raw)) = properties.next_raw(&row.properties) {
            let code = self.by_property.get(&property).and_then(|codes| codes.get(raw));
            out.extend(code.map(|code| (property, u64::from(*code) + 1)));
        }
        if !row.name.is_event() {
            out.push((PropertyId::ARRIVAL, row.arrival));
            out.push((PropertyId::TARGET, u64::from(row.target)));
        }
    }
}
