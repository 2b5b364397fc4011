//! A block as it goes into a segment, with what the segment must know of it. Making it needs nothing but its rows, so that several can
//! be made at once.

use super::block::{BlockRow, Columns, target_number, write_block};
use super::chunk_of;
use super::clock::Clock;
use super::filter::row_key;
use super::members::{MemberTable, Totals};
use crate::model::{IdentityId, Millis, NameId, PersonId, PropertyId};

/// A person of a block.
pub struct Visit {
    /// Who.
    pub person: PersonId,
    /// The person's place among the members, where it is one.
    pub member: Option<usize>,
    /// Of its rows here.
    pub totals: Totals,
}

/// A finished block.
pub struct EncodedBlock {
    /// Which 65,536 persons.
    pub chunk: u32,
    /// Rows in it.
    pub rows: u32,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Their CRC-32.
    pub crc: u32,
    /// Its persons, in order.
    pub visits: Vec<Visit>,
    /// The key of each row for the filter, if there is one.
    pub keys: Vec<u64>,
    /// Rows with a client's record id, and the hash of it.
    pub record_ids: Vec<(u32, u64)>,
}

/// The rows of one name and chunk on their way into a block.
pub struct BlockBuilder<'a> {
    members: &'a MemberTable,
    clock: Clock<'a>,
    name: NameId,
    /// The store's secret, if the segment has a filter.
    filter: Option<u64>,
    rows: Vec<BlockRow>,
    columns: Columns,
    visits: Vec<Visit>,
    keys: Vec<u64>,
    record_ids: Vec<(u32, u64)>,
}

impl<'a> BlockBuilder<'a> {
    /// For rows of `name` whose persons are in `members`. `filter` is the store's secret, if the segment has a filter.
    pub fn new(
        (members, clock): (&'a MemberTable, Clock<'a>),
        name: NameId,
        filter: Option<u64>,
        rows: usize,
    ) -> Self {
        Self {
            members,
            clock,
            name,
            filter,
            rows: Vec::with_capacity(rows),
            columns: Columns::default(),
            visits: Vec::new(),
            keys: Vec::with_capacity(if filter.is_some() { rows } else { 0 }),
            record_ids: Vec::new(),
        }
    }

    /// Adds a row, behind those before it in the order of person, time and identity. `values` are its properties: code + 1, the
    /// arrival number, or the number of the other identity.
    pub fn row(
        &mut self,
        person: PersonId,
        time: Millis,
        identity: IdentityId,
        values: impl Iterator<Item = (PropertyId, u64)>,
    ) {
        let here = Totals { first: time, last: time, events: 1 };
        let last = self.visits.last().and_then(|v| v.member);
        let member = match self.visits.last_mut().filter(|v| v.person == person) {
            Some(visit) => {
                visit.totals = visit.totals.and(here);
                last
            }
            None => {
                let member = self.members.find(person, last.unwrap_or(0));
                self.visits.push(Visit { person, member, totals: here });
                member
            }
        };
        let (members, clock) = (self.members, self.clock);
        let number = |property, value: u64| match property {
            PropertyId::ARRIVAL => clock.stored(time, value),
            PropertyId::TARGET => target_number(members, member, value as IdentityId),
            _ => value,
        };
        let values = values.map(|(property, value)| (property, number(property, value)));
        self.columns.row(self.rows.len(), values);
        let slot = member.and_then(|at| members.slot(at, identity)).unwrap_or(0);
        let since = member.map_or(0, |at| members.since(at));
        self.rows.push(BlockRow { person, time, since, slot });
        if let Some(secret) = self.filter {
            self.keys.push(row_key(secret, self.name, identity, time));
        }
    }

    /// Says that the row added last has a client's record id with this hash.
    pub fn record_id(&mut self, hash: u64) {
        self.record_ids.push((self.rows.len().saturating_sub(1) as u32, hash));
    }

    /// The block; `None` without rows.
    pub fn finish(self) -> Option<EncodedBlock> {
        let chunk = chunk_of(self.rows.first()?.person);
        let mut bytes = Vec::new();
        write_block(&self.rows, self.columns, &mut bytes);
        Some(EncodedBlock {
            chunk,
            rows: self.rows.len() as u32,
            crc: crc32fast::hash(&bytes),
            bytes,
            visits: self.visits,
            keys: self.keys,
            record_ids: self.record_ids,
        })
    }
}
