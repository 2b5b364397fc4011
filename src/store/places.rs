//! Finds the places of rows in a list by keys that are hashes: chains through two arrays, so that to add a place is two writes and
//! no allocation.

/// The places from 0 on, by their keys.
#[derive(Debug, Default)]
pub struct Places {
    /// The latest place of each chain, plus one; 0 ends a chain.
    heads: Vec<u32>,
    /// By place the one before it in its chain, plus one.
    previous: Vec<u32>,
}

impl Places {
    /// Adds the places up to `count`, whose keys `key_of` gives.
    pub fn add_up_to(&mut self, count: usize, key_of: impl Fn(usize) -> u64) {
        if self.heads.len() < count {
            self.heads = vec![0; count.next_power_of_two()];
            self.previous.clear();
        }
        self.previous.reserve(count.saturating_sub(self.previous.len()));
        for place in self.previous.len()..count {
            let chain = self.chain(key_of(place));
            if let Some(head) = self.heads.get_mut(chain) {
                self.previous.push(*head);
                *head = place as u32 + 1;
            }
        }
    }

    /// The places that may have a key, the latest first.
    pub fn of(&self, key: u64) -> impl Iterator<Item = usize> + '_ {
        let place = |next: u32| next.checked_sub(1).map(|place| place as usize);
        let head = self.heads.get(self.chain(key)).and_then(|head| place(*head));
        std::iter::successors(head, move |at| self.previous.get(*at).and_then(|next| place(*next)))
    }

    /// As many chains as a power of two, or none.
    fn chain(&self, key: u64) -> usize {
        key as usize & self.heads.len().saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_found_by_its_key_however_many_come() {
        let key_of = |at: usize| (at as u64 % 50).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut places = Places::default();
        assert_eq!(places.of(1).count(), 0);
        for count in [0, 1, 3, 3, 64, 500] {
            places.add_up_to(count, key_of);
            for at in 0..count {
                let found: Vec<usize> = places.of(key_of(at)).collect();
                assert!(found.contains(&at) && found.is_sorted_by(|a, b| a > b));
            }
        }
        assert!(places.of(key_of(7)).filter(|at| at % 50 == 7).eq((0..10).rev().map(|n| n * 50 + 7)));
    }
}
