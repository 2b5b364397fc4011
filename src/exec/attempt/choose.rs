//! Which hit serves which step, once it is known how many steps are done at each instant: step by step the
//! first hit, in the order given, that leaves enough for the others.

use super::{Attempt, Hit};
use crate::limits::FUNNEL_STEPS_MAX;

const NONE: u32 = u32::MAX;

/// A hit that can be chosen.
#[derive(Clone, Copy)]
struct Item {
    hit: u32,
    mask: u32,
    instant: u32,
    used: bool,
    seen: bool,
}

/// An instant: which items are its hits, and how many more of them must be chosen.
#[derive(Clone, Copy)]
struct Instant {
    begin: u32,
    end: u32,
    due: u32,
}

/// Chooses hits for steps. Filled with [`Chooser::add`], emptied by [`Chooser::run`].
#[derive(Default)]
pub(super) struct Chooser {
    items: Vec<Item>,
    instants: Vec<Instant>,
    masks: Vec<(u32, usize)>,
    trial: Vec<Item>,
    failed: Vec<(u32, u32)>,
}

/// One trial: can the hits that are left do what is still due?
struct Trial<'a> {
    items: &'a mut [Item],
    instants: &'a [Instant],
    held: [u32; FUNNEL_STEPS_MAX],
    open: u32,
    seen: u32,
}

impl Chooser {
    /// Says that `due` of the steps in `steps` are done by hits of the instant `begin..end`.
    pub(super) fn add(&mut self, hits: &[Hit], begin: usize, end: usize, steps: u32, due: usize) {
        let first = self.items.len() as u32;
        let instant = self.instants.len() as u32;
        self.masks.clear();
        for (at, hit) in hits.iter().enumerate().take(end).skip(begin) {
            let mask = hit.steps & steps;
            if mask == 0 {
                continue;
            }
            // More hits of one kind than steps are never needed.
            match self.masks.iter_mut().find(|(known, _)| *known == mask) {
                Some((_, count)) if *count >= due => continue,
                Some((_, count)) => *count += 1,
                None => self.masks.push((mask, 1)),
            }
            self.items.push(Item { hit: at as u32, mask, instant, used: false, seen: false });
        }
        self.instants.push(Instant { begin: first, end: self.items.len() as u32, due: due as u32 });
    }

    /// Writes the chosen hit of each step into `out` and forgets what was added.
    pub(super) fn run(&mut self, steps: u32, out: &mut Attempt) {
        let mut left = steps;
        while left != 0 {
            let step = left.trailing_zeros() as usize;
            left &= left - 1;
            self.failed.clear();
            for at in 0..self.items.len() {
                let item = self.items[at];
                let kind = (item.instant, item.mask & left);
                let due = self.instants[item.instant as usize].due;
                if item.used || due == 0 || item.mask >> step & 1 == 0 || self.failed.contains(&kind) {
                    continue;
                }
                self.items[at].used = true;
                self.instants[item.instant as usize].due -= 1;
                if self.enough(left) {
                    out.hits[step] = item.hit;
                    break;
                }
                self.items[at].used = false;
                self.instants[item.instant as usize].due += 1;
                self.failed.push(kind);
            }
        }
        self.items.clear();
        self.instants.clear();
    }

    /// Whether unused hits can do as many of the steps in `open` as are due at each instant.
    fn enough(&mut self, open: u32) -> bool {
        self.trial.clear();
        self.trial.extend_from_slice(&self.items);
        let mut trial = Trial {
            items: &mut self.trial,
            instants: &self.instants,
            held: [NONE; FUNNEL_STEPS_MAX],
            open,
            seen: 0,
        };
        for instant in 0..self.instants.len() {
            for _ in 0..self.instants[instant].due {
                trial.items.iter_mut().for_each(|item| item.seen = false);
                trial.seen = 0;
                if !trial.fill(instant) {
                    return false;
                }
            }
        }
        true
    }
}

impl Trial<'_> {
    /// Finds one more hit of `instant` that can do a step, moving others if need be.
    fn fill(&mut self, instant: usize) -> bool {
        let Instant { begin, end, .. } = self.instants[instant];
        for at in begin as usize..end as usize {
            if self.items[at].used || self.items[at].seen {
                continue;
            }
            self.items[at].seen = true;
            if self.place(at) {
                self.items[at].used = true;
                return true;
            }
        }
        false
    }

    /// Finds a step for the hit `at`, moving the hits in its way to other steps or out of their place.
    fn place(&mut self, at: usize) -> bool {
        loop {
            let next = self.items[at].mask & self.open & !self.seen;
            if next == 0 {
                return false;
            }
            let step = next.trailing_zeros() as usize;
            self.seen |= 1 << step;
            let other = self.held[step];
            if other == NONE || self.place(other as usize) {
                self.held[step] = at as u32;
                return true;
            }
            if self.fill(self.items[other as usize].instant as usize) {
                self.items[other as usize].used = false;
                self.held[step] = at as u32;
                return true;
            }
        }
    }
}
