//! What a rewrite of segments leaves out: rows of erased identities, and events that are older than they are kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::Segment;
use super::block::{Block, Owner};
use super::merge::Found;
use crate::error::Result;
use crate::model::{IdentityId, Millis, NameId, PropertyId};

/// By property the codes of a dictionary that some row still has.
pub type UsedCodes = BTreeMap<PropertyId, RoaringBitmap>;

/// Which rows a rewrite leaves out. The default leaves out none.
#[derive(Clone, Debug, Default)]
pub struct Sieve {
    erased: RoaringBitmap,
    /// Events before this instant; by name, and for all others.
    oldest: BTreeMap<NameId, Millis>,
    oldest_default: Option<Millis>,
    /// How much older a segment's oldest event must be for the segment to be written anew.
    patience: Millis,
}

impl Sieve {
    /// Leaves out what arrived under these identities, and what says of others that they are one of them.
    pub fn of_identities(erased: impl IntoIterator<Item = IdentityId>) -> Self {
        Self { erased: erased.into_iter().collect(), ..Self::default() }
    }

    /// Leaves out events before an instant, `default` or that of their name, of segments whose oldest lies `patience` before it.
    pub fn of_age(default: Option<Millis>, oldest: BTreeMap<NameId, Millis>, patience: Millis) -> Self {
        Self { oldest, oldest_default: default, patience, ..Self::default() }
    }

    /// Whether nothing is left out.
    pub fn is_empty(&self) -> bool {
        self.erased.is_empty() && self.oldest.is_empty() && self.oldest_default.is_none()
    }

    /// Whether everything of an identity is left out.
    pub fn is_erased(&self, identity: IdentityId) -> bool {
        self.erased.contains(identity)
    }

    /// The instant before which rows of a name are left out.
    fn oldest_of(&self, name: NameId) -> Option<Millis> {
        if !name.is_event() {
            return None;
        }
        self.oldest.get(&name).copied().or(self.oldest_default)
    }

    fn drops(&self, name: NameId, identity: IdentityId, time: Millis) -> bool {
        self.is_erased(identity) || self.oldest_of(name).is_some_and(|oldest| time < oldest)
    }

    /// Whether the other identity of an identify is erased.
    fn drops_target(&self, name: NameId, block: &Block<'_>, row: usize, owner: Owner) -> bool {
        name == NameId::IDENTIFY && self.is_erased(block.target(row, owner))
    }

    /// Whether a segment holds anything that is left out.
    pub fn concerns(&self, segment: &Segment) -> Result<bool> {
        let too_old = |oldest: Millis, time: Millis| time < oldest.saturating_sub(self.patience);
        let entries = &segment.directory().names;
        if entries.iter().any(|e| self.oldest_of(NameId(e.name)).is_some_and(|o| too_old(o, e.time_min))) {
            return Ok(true);
        }
        if self.erased.is_empty() {
            return Ok(false);
        }
        for at in 0..segment.directory().members.len() {
            let members = segment.members(at)?;
            if members.all_identities().any(|identity| self.is_erased(identity)) {
                return Ok(true);
            }
        }
        let mut found = false;
        if let Some(name_at) = segment.find_name(NameId::IDENTIFY) {
            segment.each_row(name_at, &mut |block, row, owner| {
                found |= self.drops_target(NameId::IDENTIFY, block, row, owner);
            })?;
        }
        Ok(found)
    }

    /// Takes from the rows of a name what is left out.
    pub fn retain(&self, inputs: &[Arc<Segment>], name: NameId, rows: &mut Vec<Found>) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        rows.retain(|row| !self.drops(name, row.identity, row.time));
        if name != NameId::IDENTIFY || self.erased.is_empty() {
            return Ok(());
        }
        let mut kept = Vec::with_capacity(rows.len());
        for row in rows.drain(..) {
            let Some(segment) = inputs.get(row.input as usize) else { continue };
            let Some(name_at) = segment.find_name(name) else { continue };
            let block = segment.block(name_at, row.chunk_at as usize)?;
            let owner = segment.owner_of_row(&block, row.row as usize)?;
            if !self.drops_target(name, &block, row.row as usize, owner) {
                kept.push(row);
            }
        }
        *rows = kept;
        Ok(())
    }

    /// Which codes of its dictionaries a segment still needs; `None` if all.
    pub fn used_codes(&self, segment: &Segment) -> Result<Option<UsedCodes>> {
        if self.is_empty() {
            return Ok(None);
        }
        let mut used = UsedCodes::new();
        for (name_at, entry) in segment.directory().names.iter().enumerate() {
            let name = NameId(entry.name);
            segment.each_row(name_at, &mut |block, row, owner| {
                let is_dropped = self.drops(name, block.identity(row, owner), block.time(row, owner));
                if is_dropped || self.drops_target(name, block, row, owner) {
                    return;
                }
                for (property, column) in block.columns() {
                    let own = matches!(*property, PropertyId::ARRIVAL | PropertyId::TARGET);
                    if let Some(code) = column.code(row).filter(|_| !own) {
                        used.entry(*property).or_default().insert(code);
                    }
                }
            })?;
        }
        Ok(Some(used))
    }
}
