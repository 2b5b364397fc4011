//! What was refused and why: counted for ever, the latest kept to be looked at. Tracking mistakes must not be silent.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::model::Millis;

/// One refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// When the server refused.
    pub time: Millis,
    /// Why: a stable code such as `bad_time` or `merge_refused`.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
    /// The identity it was about, as far as known.
    pub identity: String,
    /// Of an identify the other identity, of an event its name, as far as known.
    pub name: String,
}

/// Counters and the latest refusals.
#[derive(Clone, Debug, Default)]
pub struct Refusals {
    counts: BTreeMap<String, u64>,
    latest: VecDeque<Refusal>,
}

/// [`Refusals`] as the checkpoint stores it.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct RefusalsImage {
    counts: BTreeMap<String, u64>,
    latest: Vec<Refusal>,
}

impl Refusals {
    /// Adds one.
    pub fn add(&mut self, refusal: Refusal) {
        *self.counts.entry(refusal.reason.clone()).or_default() += 1;
        if self.latest.len() >= limits::REFUSALS_KEPT {
            self.latest.pop_front();
        }
        self.latest.push_back(refusal);
    }

    /// Forgets some of the kept ones; how many. They still count.
    pub fn forget(&mut self, gone: &dyn Fn(&Refusal) -> bool) -> u64 {
        let before = self.latest.len();
        self.latest.retain(|refusal| !gone(refusal));
        (before - self.latest.len()) as u64
    }

    /// How many there were, by reason.
    pub fn counts(&self) -> &BTreeMap<String, u64> {
        &self.counts
    }

    /// The latest, newest first.
    pub fn latest(&self) -> impl Iterator<Item = &Refusal> {
        self.latest.iter().rev()
    }

    /// For the checkpoint.
    pub fn image(&self) -> RefusalsImage {
        RefusalsImage { counts: self.counts.clone(), latest: self.latest.iter().cloned().collect() }
    }

    /// From the checkpoint.
    pub fn from_image(image: RefusalsImage) -> Self {
        Self { counts: image.counts, latest: image.latest.into() }
    }
}
