//! What fits into a list of people: whoever has very much is shown with a part of it, and a page ends before it is too large. Both are
//! decided while a page is made, so that memory holds no more than is shown.

use std::collections::BTreeMap;
use std::io;

use serde::Serialize;

use crate::limits::LISTED_PAGE_BYTES;
use crate::model::{PersonId, Value, ValueRef, json_text_len, within};

/// Bytes of JSON of a property.
pub fn property_len(name: &str, value: ValueRef<'_>) -> usize {
    json_text_len(name) + value.json_len() + 2
}

/// The first properties in the order of their names that take `most` bytes of JSON, and how many more there are.
pub fn fitting<N: Ord + Into<String> + AsRef<str>>(
    all: BTreeMap<N, ValueRef<'_>>,
    most: usize,
) -> (BTreeMap<String, Value>, Option<usize>) {
    let count = all.len();
    let fits = within(all.into_iter(), most, |(name, value)| property_len(name.as_ref(), *value));
    let kept: BTreeMap<String, Value> = fits.map(|(name, value)| (name.into(), value.to_owned())).collect();
    let more = count - kept.len();
    (kept, Some(more).filter(|more| *more > 0))
}

/// A page of people while it is filled, in whatever order they come: of those before the first who does not fit, all; at least one.
pub struct Page<T> {
    /// Each with the bytes of its JSON.
    kept: BTreeMap<PersonId, (usize, T)>,
    bytes: usize,
    most: usize,
    /// The first who does not fit.
    end: Option<PersonId>,
}

impl<T: Serialize> Page<T> {
    /// An empty one.
    pub fn new() -> Self {
        Self::of(LISTED_PAGE_BYTES)
    }

    fn of(most: usize) -> Self {
        Self { kept: BTreeMap::new(), bytes: 0, most, end: None }
    }

    /// Whether there is room for a person yet: who has none need not be looked at.
    pub fn has_room(&self, person: PersonId) -> bool {
        self.end.is_none_or(|end| person < end)
    }

    /// Adds a person.
    pub fn add(&mut self, person: PersonId, one: T) {
        let bytes = json_len(&one) + 1;
        self.put(person, bytes, one);
    }

    /// Adds those of another part of the same page.
    pub fn join(&mut self, other: Self) {
        self.end = [self.end, other.end].into_iter().flatten().min();
        other.kept.into_iter().for_each(|(person, (bytes, one))| self.put(person, bytes, one));
    }

    fn put(&mut self, person: PersonId, bytes: usize, one: T) {
        if !self.has_room(person) {
            return;
        }
        self.bytes += bytes;
        self.kept.insert(person, (bytes, one));
        while self.bytes > self.most && self.kept.len() > 1 {
            let Some((last, (bytes, _))) = self.kept.pop_last() else { break };
            self.bytes -= bytes;
            self.end = Some(last);
        }
    }

    /// The people in the order of their ids, and where the next page begins: where `cursor` says, unless this one ended before.
    pub fn finish(self, cursor: Option<String>) -> (Vec<T>, Option<String>) {
        let last = self.kept.keys().next_back().map(ToString::to_string);
        let cursor = if self.end.is_some() { last } else { cursor };
        (self.kept.into_values().map(|(_, one)| one).collect(), cursor)
    }
}

/// Bytes of something as JSON, of which nothing is kept.
fn json_len<T: Serialize>(one: &T) -> usize {
    let mut counter = Counter(0);
    let written = serde_json::to_writer(&mut counter, one);
    debug_assert!(written.is_ok(), "{written:?}");
    counter.0
}

struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// People of texts of some bytes, added in this order; those who are kept, and the cursor.
    fn filled(sizes: &[(PersonId, usize)]) -> (Vec<usize>, Option<String>) {
        let mut page = Page::of(100);
        for (person, size) in sizes {
            if page.has_room(*person) {
                page.add(*person, "x".repeat(*size));
            }
        }
        let (kept, cursor) = page.finish(Some("9".to_owned()));
        (kept.iter().map(String::len).collect(), cursor)
    }

    #[test]
    fn a_page_ends_before_the_first_who_does_not_fit_in_whatever_order_they_come() {
        let people = [(1, 30), (2, 31), (5, 20), (8, 40), (9, 1)];
        assert_eq!(filled(&people), (vec![30, 31, 20], Some("5".to_owned())));
        let mut orders = vec![people];
        orders.extend((1..people.len()).map(|by| {
            let mut turned = people;
            turned.rotate_left(by);
            turned
        }));
        orders.push([people[4], people[3], people[2], people[1], people[0]]);
        for order in orders {
            assert_eq!(filled(&order), filled(&people), "{order:?}");
        }
        assert_eq!(filled(&people[..3]), (vec![30, 31, 20], Some("9".to_owned())));
        assert_eq!(filled(&[(7, 500), (8, 1)]), (vec![500], Some("7".to_owned())));
        assert_eq!(filled(&[]), (vec![], Some("9".to_owned())));
    }

    #[test]
    fn two_parts_of_a_page_end_where_the_whole_would() {
        let people = [(1, 40), (2, 40), (5, 40), (8, 10), (9, 10)];
        for cut in 0..=people.len() {
            let mut page = Page::of(100);
            let mut other = Page::of(100);
            people[..cut].iter().for_each(|(person, size)| page.add(*person, "x".repeat(*size)));
            people[cut..].iter().for_each(|(person, size)| other.add(*person, "x".repeat(*size)));
            page.join(other);
            let (kept, cursor) = page.finish(None);
            assert_eq!((kept.len(), cursor.as_deref()), (2, Some("2")), "{cut}");
        }
    }

    #[test]
    fn the_first_properties_by_name_are_kept_and_the_rest_is_counted() {
        let long = "\u{1}".repeat(10);
        let all = || {
            BTreeMap::from([
                ("A", ValueRef::Bool(true)),
                ("B", ValueRef::Text(&long)),
                ("C", ValueRef::Bool(true)),
            ])
        };
        let names = |most| {
            let (kept, more) = fitting(all(), most);
            (kept.into_keys().collect::<String>(), more)
        };
        assert_eq!(names(1000), ("ABC".to_owned(), None));
        // 9 bytes of "A":true and its comma, 67 of B, whose value is escaped.
        assert_eq!((names(76), names(75)), (("AB".to_owned(), Some(1)), ("A".to_owned(), Some(2))));
        assert_eq!(names(8), (String::new(), Some(3)));
    }
}
