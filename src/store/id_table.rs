//! Ids by the fingerprints of identities. Fingerprints are hashes already, so a table of four bytes for each slot finds them, and what is
//! compared lies in the order of arrival: half of what a general map takes, and less to clear when it grows.

use super::identities::Fingerprint;
use crate::model::IdentityId;

/// Fingerprints and ids.
#[derive(Default)]
pub struct IdTable {
    /// Open addressing: the place of an entry and one, or 0. As many as a power of two, half of them free at least.
    slots: Vec<u32>,
    fingerprints: Vec<Fingerprint>,
    ids: Vec<IdentityId>,
}

impl IdTable {
    /// An empty one with room for so many.
    pub fn with_room(count: usize) -> Self {
        let (fingerprints, ids) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let slots = if count == 0 { Vec::new() } else { vec![0; (2 * count).next_power_of_two()] };
        Self { slots, fingerprints, ids }
    }

    /// Fingerprints in it.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    fn first_slot(&self, of: Fingerprint) -> usize {
        of.0 as usize & self.slots.len().wrapping_sub(1)
    }

    /// The id of a fingerprint.
    #[inline]
    pub fn get(&self, of: Fingerprint) -> Option<IdentityId> {
        let mut slot = self.first_slot(of);
        loop {
            let place = self.slots.get(slot)?.checked_sub(1)? as usize;
            if self.fingerprints.get(place) == Some(&of) {
                return self.ids.get(place).copied();
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }

    /// Adds a fingerprint that is not in it.
    pub fn insert(&mut self, of: Fingerprint, id: IdentityId) {
        self.fingerprints.push(of);
        self.ids.push(id);
        if self.ids.len() * 2 > self.slots.len() {
            self.slots = vec![0; (self.ids.len() * 2).next_power_of_two()];
            (0..self.ids.len()).for_each(|place| self.place(place));
        } else {
            self.place(self.ids.len() - 1);
        }
    }

    /// Enters a place into the slots.
    fn place(&mut self, place: usize) {
        let Some(of) = self.fingerprints.get(place) else { return };
        let mut slot = self.first_slot(*of);
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
        for (of, id) in kept.fingerprints.into_iter().zip(kept.ids).filter(|(_, id)| *id < first) {
            self.insert(of, id);
        }
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
