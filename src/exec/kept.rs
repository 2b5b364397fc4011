//! What is decoded, and what is made of it, kept for the next report: values of any type by what they are of, up to a number of bytes.

use std::any::Any;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;

use crate::error::Result;

/// What can be kept.
pub trait Weighed: Any + Send + Sync {
    /// Bytes it takes in memory, about, and ever will.
    fn bytes(&self) -> usize;
}

/// Bytes of an entry besides its value.
const ENTRY_BYTES: usize = 96;

/// Values by key. Of one key all values have one type.
pub struct Kept<K> {
    entries: Mutex<Entries<K>>,
    /// Bytes that are kept.
    most: usize,
}

struct Entries<K> {
    by_key: FxHashMap<K, Entry>,
    bytes: usize,
    clock: u64,
}

struct Entry {
    value: Arc<dyn Any + Send + Sync>,
    bytes: usize,
    used: u64,
}

impl<K: Copy + Eq + Hash> Kept<K> {
    /// Nothing yet, and never more than so many bytes.
    pub fn new(most: usize) -> Self {
        let entries = Mutex::new(Entries { by_key: FxHashMap::default(), bytes: 0, clock: 0 });
        Self { entries, most }
    }

    fn entries(&self) -> MutexGuard<'_, Entries<K>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of all that is kept.
    pub fn bytes(&self) -> usize {
        self.entries().bytes
    }

    /// The value of a key, if it is kept.
    pub fn get<T: Weighed>(&self, key: K) -> Option<Arc<T>> {
        let mut entries = self.entries();
        entries.clock += 1;
        let clock = entries.clock;
        let entry = entries.by_key.get_mut(&key)?;
        entry.used = clock;
        Arc::clone(&entry.value).downcast().ok()
    }

    /// The value of a key, which is made if it is not kept. Nobody waits meanwhile; who comes at the same time makes it as well.
    pub fn get_or<T: Weighed>(&self, key: K, make: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        if let Some(kept) = self.get(key) {
            return Ok(kept);
        }
        let made = Arc::new(make()?);
        self.put(key, &made);
        Ok(made)
    }

    /// Keeps a value in the place of the one that was.
    pub fn put<T: Weighed>(&self, key: K, value: &Arc<T>) {
        let bytes = value.bytes() + ENTRY_BYTES;
        let mut entries = self.entries();
        entries.forget(key);
        // One that would cost nearly all others their places is made again each time.
        if bytes > self.most / 2 {
            return;
        }
        let used = entries.clock;
        let value: Arc<dyn Any + Send + Sync> = Arc::<T>::clone(value);
        entries.by_key.insert(key, Entry { value, bytes, used });
        entries.bytes += bytes;
        if entries.bytes > self.most {
            entries.shrink_to(self.most / 2);
        }
    }
}

impl<K: Copy + Eq + Hash> Entries<K> {
    fn forget(&mut self, key: K) {
        if let Some(old) = self.by_key.remove(&key) {
            self.bytes -= old.bytes;
        }
    }

    /// Drops what was not used for longest, half of it in one go: it is rare then.
    fn shrink_to(&mut self, most: usize) {
        let mut used: Vec<(u64, K)> = self.by_key.iter().map(|(key, entry)| (entry.used, *key)).collect();
        used.sort_unstable_by_key(|(used, _)| *used);
        for (_, key) in used {
            if self.bytes <= most {
                break;
            }
            self.forget(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Weighed for Vec<u8> {
        fn bytes(&self) -> usize {
            self.len()
        }
    }

    #[test]
    fn what_is_used_stays_and_what_is_kept_never_is_too_much() {
        let kept = Kept::new(100 * (1000 + ENTRY_BYTES));
        let of = |key: u32| kept.get_or(key, || Ok(vec![key as u8; 1000])).unwrap()[0];
        for key in 0..1000u32 {
            assert_eq!((of(key), of(7)), (key as u8, 7));
            assert!(kept.bytes() <= 100 * (1000 + ENTRY_BYTES));
            assert!(kept.get::<Vec<u8>>(7).is_some(), "it is used all the time");
        }
        assert!(kept.get::<Vec<u8>>(999).is_some() && kept.get::<Vec<u8>>(8).is_none());
        // One that is too large costs nobody a place but the one before it.
        kept.put(999, &Arc::new(vec![0u8; 1 << 20]));
        assert!(kept.get::<Vec<u8>>(999).is_none() && kept.get::<Vec<u8>>(998).is_some());
    }

    #[test]
    fn a_value_takes_the_place_of_the_one_before() {
        let kept = Kept::new(10_000);
        for size in [10, 2000, 30] {
            kept.put(5u32, &Arc::new(vec![1u8; size]));
            assert_eq!((kept.get::<Vec<u8>>(5).unwrap().len(), kept.bytes()), (size, size + ENTRY_BYTES));
        }
        let failed = || Err(crate::error::Error::invalid("no", "no"));
        assert!(kept.get_or::<Vec<u8>>(6, failed).is_err() && kept.get::<Vec<u8>>(6).is_none());
    }
}
