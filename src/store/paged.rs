//! A growable array whose clones are cheap and keep seeing the old values: pages are shared until one side
//! changes them. Snapshots of per-identity state are made of these.

use std::sync::Arc;

/// Values per page: a page is copied when it is changed after a snapshot, so it must be small.
const PAGE: usize = 1024;

/// Copy-on-write array of `T`.
#[derive(Clone, Debug)]
pub struct Paged<T> {
    pages: Arc<Vec<Arc<Vec<T>>>>,
    len: usize,
}

impl<T: Copy> Default for Paged<T> {
    fn default() -> Self {
        Self { pages: Arc::default(), len: 0 }
    }
}

impl<T: Copy> Paged<T> {
    /// Values in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value at `index`.
    #[inline]
    pub fn get(&self, index: usize) -> Option<T> {
        self.pages.get(index / PAGE)?.get(index % PAGE).copied()
    }

    /// Replaces the value at `index`, which exists.
    pub fn set(&mut self, index: usize, value: T) {
        let pages = Arc::make_mut(&mut self.pages);
        if let Some(slot) = pages.get_mut(index / PAGE).and_then(|p| Arc::make_mut(p).get_mut(index % PAGE)) {
            *slot = value;
        }
    }

    /// Appends a value.
    pub fn push(&mut self, value: T) {
        let pages = Arc::make_mut(&mut self.pages);
        if self.len.is_multiple_of(PAGE) {
            pages.push(Arc::new(Vec::with_capacity(PAGE)));
        }
        if let Some(page) = pages.last_mut() {
            Arc::make_mut(page).push(value);
        }
        self.len += 1;
    }

    /// All values from `index` on, in order.
    pub fn iter_from(&self, index: usize) -> impl Iterator<Item = T> + '_ {
        let pages = self.pages.get(index / PAGE..).unwrap_or(&[]);
        pages.iter().flat_map(|p| p.iter().copied()).skip(index % PAGE)
    }
}

impl<T: Copy> FromIterator<T> for Paged<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut paged = Self::default();
        for value in values {
            paged.push(value);
        }
        paged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_keeps_the_old_values() {
        let mut a: Paged<u32> = (0..3000).collect();
        let old = a.clone();
        a.set(2500, 7);
        a.push(1);
        assert_eq!((a.get(2500), a.len(), old.get(2500), old.len()), (Some(7), 3001, Some(2500), 3000));
        assert_eq!(a.get(3001), None);
        assert_eq!(a.iter_from(2999).collect::<Vec<_>>(), [2999, 1]);
    }
}
