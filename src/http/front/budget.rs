//! What the front holds at once is bounded here: bytes in flight, and streams running.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that may be held at once.
#[derive(Debug)]
pub(in crate::http) struct Budget {
    used: AtomicUsize,
    max: usize,
}

impl Budget {
    pub const fn new(max: usize) -> Self {
        Self { used: AtomicUsize::new(0), max }
    }

    /// A reservation of nothing yet.
    pub fn reserve(&self) -> Reserved<'_> {
        Reserved { budget: self, bytes: 0 }
    }
}

/// A part of the budget, given back when dropped.
pub(in crate::http) struct Reserved<'b> {
    budget: &'b Budget,
    bytes: usize,
}

impl Reserved<'_> {
    /// Makes it `bytes` large; `false` if the budget does not allow it.
    pub fn grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let fits = |used: usize| used.checked_add(more).filter(|sum| *sum <= self.budget.max);
        let grown =
            more == 0 || self.budget.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_ok();
        if grown {
            self.bytes = self.bytes.max(bytes);
        }
        grown
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// A bounded number of permits.
pub(super) struct Permits {
    free: Mutex<usize>,
    returned: Condvar,
}

impl Permits {
    pub fn new(n: usize) -> Self {
        Self { free: Mutex::new(n), returned: Condvar::new() }
    }

    /// One permit, waiting for it at most `patience`.
    pub fn take(&self, patience: Duration) -> Option<Permit<'_>> {
        let deadline = Instant::now() + patience;
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            free = self.returned.wait_timeout(free, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *free -= 1;
        Some(Permit { permits: self })
    }
}

/// One permit, given back when dropped.
pub(super) struct Permit<'p> {
    permits: &'p Permits,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.permits.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.permits.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_ends_with_its_owner() {
        let budget = Budget::new(10);
        let (mut a, mut b) = (budget.reserve(), budget.reserve());
        assert!(a.grow_to(6) && a.grow_to(4) && !b.grow_to(5) && b.grow_to(4) && !a.grow_to(7));
        drop(a);
        assert!(b.grow_to(10));
    }

    #[test]
    fn permits_come_back() {
        let permits = Permits::new(1);
        let one = permits.take(Duration::ZERO);
        assert!(one.is_some() && permits.take(Duration::from_millis(5)).is_none());
        drop(one);
        assert!(permits.take(Duration::ZERO).is_some());
    }
}
