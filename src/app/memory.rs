//! A budget of memory, and how it is divided: each part bounds something that the server would else let grow to a size of its own.

use std::path::Path;

use super::projects;
use crate::engine::{Options, identities_in};
use crate::error::{Error, Result};
use crate::limits;

/// What the program takes before it keeps anything: its code's data, stacks of threads, the live feed, names.
const BASE_BYTES: u64 = 64 << 20;
/// Of each identity in memory: who it is, who is next in its person, and pages that two snapshots do not share.
const IDENTITY_BYTES: u64 = 24;
/// The least that may be left to divide: a body and an answer at their limits, and enough rows and cells to work with.
const DIVIDED_BYTES_MIN: u64 = 192 << 20;
/// Parts that what is left is divided into. Those that are given to nobody are for reports and merges at work.
const PARTS: u64 = 32;
/// Parts for decoded rows; what is made of them may take half as much besides.
const CACHE_PARTS: u64 = 4;
/// Parts for three memtables: one being filled, one being flushed, one waiting for that.
const MEMTABLE_PARTS: u64 = 7;
/// Parts for the identities that the writer remembers.
const IDENTITY_CACHE_PARTS: u64 = 1;
/// Parts for a merge of identity files.
const IDENTITY_MERGE_PARTS: u64 = 2;
/// Parts for bodies of requests, and as many for answers.
const IN_FLIGHT_PARTS: u64 = 3;
/// Of a row of usual size on its way through a memtable, measured: with its properties, as it was parsed, and sorted anew as runs are
/// merged. Large ones are bounded by the bytes of the log.
const ROW_BYTES: u64 = 600;
/// Of an identity in the writer's cache, in two generations, each in a table that may be half empty.
const CACHED_IDENTITY_BYTES: u64 = 112;
/// Of an identity in a merge of identity files.
const MERGED_IDENTITY_BYTES: u64 = 25;

/// A budget, or none: then every part has the size that is right on a machine with some gigabytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    budget: Option<u64>,
    /// What is left to divide.
    divided: u64,
    projects: u64,
}

impl Memory {
    /// A budget for the server of all projects in `data`. An error if it is too small for them.
    pub fn of(budget: Option<u64>, data: &Path) -> Result<Self> {
        let mut identities = identities_in(data)?;
        let others = projects::others(data)?;
        for project in &others {
            let found = identities_in(&projects::dir(data, *project));
            identities += found.map_err(|error| projects::named(*project, error))?;
        }
        Self::divide(budget, identities, 1 + others.len() as u64)
    }

    fn divide(budget: Option<u64>, identities: u64, projects: u64) -> Result<Self> {
        let Some(bytes) = budget else { return Ok(Self::default()) };
        let taken = BASE_BYTES + IDENTITY_BYTES * identities;
        let divided = bytes.saturating_sub(taken);
        if divided < DIVIDED_BYTES_MIN {
            let least = (taken + DIVIDED_BYTES_MIN).div_ceil(1 << 20);
            let message = match identities {
                0 => format!("at least {least} MiB are needed"),
                n => format!("at least {least} MiB are needed for a store of {n} identities"),
            };
            return Err(Error::invalid("memory_too_small", message)
                .at("--memory")
                .hint("leave it out for the sizes of a machine with some gigabytes"));
        }
        Ok(Self { budget, divided, projects })
    }

    /// The budget.
    pub fn budget(&self) -> Option<u64> {
        self.budget
    }

    /// So many parts of what is divided, for each project; `None` without a budget.
    fn parts(&self, parts: u64) -> Option<u64> {
        self.budget.map(|_| self.divided / PARTS * parts / self.projects.max(1))
    }

    /// Bytes of decoded rows that the reports of a project keep; without a budget as many as is right for its store.
    pub fn cache_bytes(&self) -> Option<usize> {
        self.parts(CACHE_PARTS).map(as_size)
    }

    /// Bytes of bodies that are held at once, and apart from them of answers.
    pub fn in_flight_bytes(&self) -> usize {
        let all = self.budget.map(|_| as_size(self.divided / PARTS * IN_FLIGHT_PARTS));
        let largest = limits::SEGMENT_BYTES_MAX.max(limits::ANSWER_BYTES_MAX);
        all.map_or(limits::IN_FLIGHT_BYTES_MAX, |bytes| bytes.clamp(largest, limits::IN_FLIGHT_BYTES_MAX))
    }

    /// How the engine of a project runs.
    pub fn options(&self) -> Options {
        let options = Options::default();
        let (Some(tables), Some(cache), Some(merge)) =
            (self.parts(MEMTABLE_PARTS), self.parts(IDENTITY_CACHE_PARTS), self.parts(IDENTITY_MERGE_PARTS))
        else {
            return options;
        };
        let merged = u32::try_from(merge / MERGED_IDENTITY_BYTES).unwrap_or(u32::MAX);
        Options {
            memtable_rows: as_size(tables / 3 / ROW_BYTES).min(options.memtable_rows),
            log_bytes: (tables / 3).min(options.log_bytes),
            identity_cache: as_size(cache / CACHED_IDENTITY_BYTES).min(options.identity_cache),
            identities_merged: merged.min(options.identities_merged),
            ..options
        }
    }

    /// In a line.
    pub fn describe(&self) -> String {
        let mib = |bytes: u64| bytes >> 20;
        let options = self.options();
        let cache = match self.cache_bytes() {
            Some(bytes) => format!("{} MiB of decoded rows", mib(bytes as u64)),
            None => format!(
                "{} bytes of decoded rows for each row stored, at least {} MiB",
                limits::CACHE_BYTES_PER_ROW,
                mib(limits::CACHE_BYTES_MIN as u64)
            ),
        };
        let divided = format!(
            "{cache}, {} rows before a flush, {} MiB of requests",
            options.memtable_rows,
            mib(self.in_flight_bytes() as u64)
        );
        match self.budget {
            Some(budget) => format!("a budget of {} MiB: {divided}", mib(budget)),
            None => format!("no budget (--memory): {divided}"),
        }
    }
}

fn as_size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_within_the_budget_and_a_small_one_is_refused() {
        for (budget, identities, projects) in
            [(256 << 20, 0, 1), (300 << 20, 1_000_000, 1), (1 << 30, 20_000_000, 3), (8 << 30, 5, 1)]
        {
            let memory = Memory::divide(Some(budget), identities, projects).unwrap();
            let options = memory.options();
            let kept = memory.cache_bytes().unwrap();
            let cells = kept as u64 * 3 / 2;
            let tables = 3 * options.memtable_rows as u64 * ROW_BYTES;
            let cache = options.identity_cache as u64 * CACHED_IDENTITY_BYTES;
            let merge = u64::from(options.identities_merged) * MERGED_IDENTITY_BYTES;
            let sum = projects * (cells + tables + cache + merge) + 2 * memory.in_flight_bytes() as u64;
            let taken = BASE_BYTES + identities * IDENTITY_BYTES;
            assert!(taken + sum <= budget, "{budget}: {taken} + {sum}");
            assert!(options.memtable_rows > 10_000 && kept > 8 << 20, "{memory:?}");
        }
        let none = Memory::divide(None, 5, 1).unwrap();
        assert_eq!((none.cache_bytes(), none.in_flight_bytes()), (None, 64 << 20));
        assert_eq!(none.options().memtable_rows, Options::default().memtable_rows);
        let refused = Memory::divide(Some((256 << 20) - 1), 0, 1).unwrap_err();
        assert_eq!((refused.code(), refused.message()), ("memory_too_small", "at least 256 MiB are needed"));
        let refused = Memory::divide(Some(256 << 20), 1_000_000, 1).unwrap_err();
        assert!(refused.message().contains("at least 279 MiB"), "{refused}");
    }
}
