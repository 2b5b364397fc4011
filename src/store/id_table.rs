//! Ids by the fingerprints of identities. Fingerprints are hashes already, so a table of four bytes for each slot finds them, and what is
//! compared lies in the order of arrival: half of what a general map takes, and less to clear when it grows.

use super::identities::Fingerprint;
use crate::model::IdentityId;

/// Fingerprints and ids.
#[derive(Default)]
pub struct IdTable {
    /// Open addressing: the place of an entry and one, or 0. As many as a power of two, half of them free at least.
    slots: Vec<u32>,
    entries: Vec<Entry>,
}

/// A fingerprint in four parts, and its id: twenty bytes, which mostly lie in one line of the processor's cache.
#[derive(Clone, Copy)]
struct Entry {
    of: [u32; 4],
    id: IdentityId,
}

fn parts(of: Fingerprint) -> [u32; 4] {
    [of.0 as u32, (of.0 >> 32) as u32, of.1 as u32, (of.1 >> 32) as u32]
}

impl IdTable {
    /// An empty one with room for so many.
    pub fn with_room(count: usize) -> Self {
        let slots = if count == 0 { Vec::new() } else { vec![0; (2 * count).next_power_of_two()] };
        Self { slots, entries: Vec::with_capacity(count) }
    }

    /// Fingerprints in it.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn first_slot(&self, of: [u32; 4]) -> usize {
        of[0] as usize & self.slots.len().wrapping_sub(1)
    }

    /// The id of a fingerprint.
    #[inline]
    pub fn get(&self, of: Fingerprint) -> Option<IdentityId> {
        let of = parts(of);
        let mut slot = self.first_slot(of);
        loop {
            let entry = self.entries.get(self.slots.get(slot)?.checked_sub(1)? as usize)?;
            if entry.of == of {
                return Some(entry.id);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }

    /// Adds a fingerprint that is not in it.
    pub fn insert(&mut self, of: Fingerprint, id: IdentityId) {
        self.enter(Entry { of: parts(of), id });
    }

    fn enter(&mut self, entry: Entry) {
        self.entries.push(entry);
        if self.entries.len() * 2 > self.slots.len() {
            self.slots = vec![0; (self.entries.len() * 2).next_power_of_two()];
            (0..self.entries.len()).for_each(|place| self.place(place));
        } else {
            self.place(self.entries.len() - 1);
        }
    }

    /// Enters a place into the slots.
    fn place(&mut self, place: usize) {
        let Some(entry) = self.entries.get(place) else { return };
        let mut slot = self.first_slot(entry.of);
        while self.slots.get(slot).is_some_and(|taken| *taken != 0) {
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        if let Some(free) = self.slots.get_mut(slot) {
            *free = place as u32 + 1;
        }
    }

    /// Takes out the ids from `first` on.
    pub fn forget_from(&mut self, first: IdentityId) {
        let kept = std::mem::take(self);
        kept.entries.into_iter().filter(|entry| entry.id < first).for_each(|entry| self.enter(entry));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_found_until_it_is_taken_out() {
        // Many begin at one slot.
        let of = |n: u32| (u64::from(n % 50), u64::from(n));
        for mut table in [IdTable::default(), IdTable::with_room(10), IdTable::with_room(5000)] {
            assert!(table.get(of(0)).is_none() && table.is_empty());
            (0..3000).for_each(|n| table.insert(of(n), n + 7));
            assert!((0..3000).all(|n| table.get(of(n)) == Some(n + 7)));
            assert!((3000..6000).all(|n| table.get(of(n)).is_none()));
            table.forget_from(1007);
            assert!((0..3000).all(|n| table.get(of(n)) == (n < 1000).then_some(n + 7)));
            assert_eq!(table.len(), 1000);
        }
    }
}
