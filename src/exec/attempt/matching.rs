//! Maximum matching between hits and steps, one hit at a time: how many different steps a set of hits can do.

use crate::limits::FUNNEL_STEPS_MAX;

/// A matching that grows by hits and is always the largest for those it was given.
#[derive(Clone, Copy, Default)]
pub(super) struct Matching {
    /// For each step the mask of the hit that serves it, 0 if none does.
    held: [u32; FUNNEL_STEPS_MAX],
    taken: u32,
    /// Steps among which every further hit would be one too many: those that a vain search has seen. The
    /// hits that serve them can serve no other step, so this stays true.
    full: u32,
}

impl Matching {
    /// Adds a hit that can serve the steps of `mask`; false if it lets no further step be done.
    pub(super) fn add(&mut self, mask: u32) -> bool {
        if mask & !self.full == 0 {
            return false;
        }
        let mut seen = self.full;
        if self.place(mask, &mut seen) {
            return true;
        }
        self.full |= seen;
        false
    }

    /// How many steps can be done.
    pub(super) fn size(&self) -> usize {
        self.taken.count_ones() as usize
    }

    fn place(&mut self, mask: u32, seen: &mut u32) -> bool {
        let free = mask & !self.taken;
        if free != 0 {
            let step = free.trailing_zeros() as usize;
            self.taken |= 1 << step;
            self.held[step] = mask;
            return true;
        }
        // At most one level for each step: every level marks one more as seen.
        loop {
            let next = mask & !*seen;
            if next == 0 {
                return false;
            }
            let step = next.trailing_zeros() as usize;
            *seen |= 1 << step;
            if self.place(self.held[step], seen) {
                self.held[step] = mask;
                return true;
            }
        }
    }
}

/// How many different steps the hits with these masks can do, looking no further than `most`.
pub(super) fn rank(masks: impl Iterator<Item = u32>, most: usize) -> usize {
    let mut matching = Matching::default();
    for mask in masks {
        if matching.add(mask) && matching.size() >= most {
            break;
        }
    }
    matching.size()
}
