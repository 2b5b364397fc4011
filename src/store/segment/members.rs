//! The identities of the persons of one chunk, as far as this segment has rows of them, and what each person did in all.
//!
//! ```text
//! base u32, base i64                     of identities, of since
//! widths u8 x 2 for each column          narrow and wide, see patched.rs
//! persons      see low_ids.rs
//! starts       where each person's identities begin, see marks.rs
//! identities   0 = the one by whose number the person is called, else identity - base + 1
//! since        one per person: milliseconds from the base to a time from which most of its rows are counted (see block.rs)
//! first        one per person: 0 = no event, else milliseconds from since to the first one + 1
//! last         one per person: milliseconds from its first event to the last
//! events       one per person: how many
//! ```
//! Before version 005 columns are packed, with one width each: identities, always less the base; first, since the base; last; events,
//! which version 002 has not.

use super::Version;
use super::low_ids::{LowIds, write_low_ids};
use super::marks::{Marks, write_marks};
use super::patched::{Patched, Widths, write_numbers};
use crate::disk::codec::Reader;
use crate::model::{IdentityId, Millis, PersonId};

/// Bytes before the persons.
pub const MEMBERS_HEADER_BYTES: usize = 22;
/// Columns of members.
const COLUMNS: usize = 5;

/// The members of one chunk, borrowed from their segment.
#[derive(Clone, Copy)]
pub struct Members<'a> {
    version: Version,
    chunk: u32,
    persons: LowIds<'a>,
    starts: Marks<'a>,
    identities: Patched<'a>,
    /// Not before version 005.
    since: Option<Patched<'a>>,
    first: Patched<'a>,
    last: Patched<'a>,
    /// Not in version 002.
    events: Option<Patched<'a>>,
    n_persons: usize,
    identity_base: u32,
    time_base: Millis,
}

impl<'a> Members<'a> {
    /// Reads those of a chunk, so many persons and identities; `None` if the bytes cannot hold them.
    pub fn parse(
        bytes: &'a [u8],
        version: Version,
        chunk: u32,
        (n_persons, n_identities): (u32, u32),
    ) -> Option<Self> {
        let (n_persons, n_identities) = (n_persons as usize, n_identities as usize);
        let mut reader = Reader::new(bytes);
        let (identity_base, time_base) = (reader.u32()?, reader.i64()?);
        let mut widths = |is_there: bool| match is_there {
            false => Some(None),
            true => Widths::read(&mut reader, version).map(Some),
        };
        let is_patched = version >= Version::V005;
        let identities = widths(true)??;
        let (since, first, last) = (widths(is_patched)?, widths(true)??, widths(true)??);
        let events = widths(version > Version::V002)?;
        let (persons, rest) = LowIds::parse(bytes.get(reader.offset()..)?, n_persons, version)?;
        let (starts, mut rest) = Marks::parse(rest, n_identities, n_persons)?;
        let mut column = |count: usize, widths: Widths| -> Option<Patched<'a>> {
            let (column, behind) = Patched::parse(rest, count, widths)?;
            rest = behind;
            Some(column)
        };
        Some(Self {
            version,
            chunk,
            persons,
            starts,
            identities: column(n_identities, identities)?,
            since: since.map_or(Some(None), |widths| column(n_persons, widths).map(Some))?,
            first: column(n_persons, first)?,
            last: column(n_persons, last)?,
            events: events.map_or(Some(None), |widths| column(n_persons, widths).map(Some))?,
            n_persons,
            identity_base,
            time_base,
        })
    }

    /// Persons in it.
    pub fn len(&self) -> usize {
        self.n_persons
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.n_persons == 0
    }

    /// The low 16 bits of all persons, in order.
    pub fn persons(&self) -> impl Iterator<Item = u16> + '_ {
        self.persons.iter()
    }

    /// The rank of a person, if it is here.
    pub fn rank_of(&self, low: u16) -> Option<usize> {
        self.persons.find(low)
    }

    /// The identities of the person at `rank`, in order.
    pub fn identities(&self, rank: usize) -> impl ExactSizeIterator<Item = IdentityId> + '_ {
        let places = self.starts.rows_of(rank);
        (0..places.len()).map(move |slot| self.identity_at(rank, places.start + slot))
    }

    /// All identities here.
    pub fn all_identities(&self) -> impl Iterator<Item = IdentityId> + '_ {
        (0..self.n_persons).flat_map(|rank| self.identities(rank))
    }

    /// The identity of the person at `rank` in a slot.
    pub fn identity(&self, rank: usize, slot: usize) -> IdentityId {
        self.identity_at(rank, self.starts.first_row(rank) + slot)
    }

    fn identity_at(&self, rank: usize, place: usize) -> IdentityId {
        let stored = self.identities.get(place) as u32;
        match (self.version >= Version::V005, stored) {
            (false, _) => self.identity_base.wrapping_add(stored),
            (true, 0) => self.chunk << 16 | u32::from(self.persons.get(rank)),
            (true, _) => self.identity_base.wrapping_add(stored - 1),
        }
    }

    /// How many events of the person at `rank` are here, where that is known.
    pub fn events(&self, rank: usize) -> Option<u64> {
        self.events.as_ref().map(|events| events.get(rank))
    }

    /// From when on times of the person at `rank` are counted.
    pub fn since(&self, rank: usize) -> Millis {
        self.time_base.wrapping_add(self.since.map_or(0, |since| since.get(rank)) as i64)
    }

    /// A time no later than the events of the person at `rank`, if there is one: for a segment that its rows go to.
    pub fn since_about(&self, rank: usize) -> Option<Millis> {
        if self.since.is_some() { Some(self.since(rank)) } else { self.seen(rank).map(|(first, _)| first) }
    }

    /// When the person at `rank` did its first and last event here.
    pub fn seen(&self, rank: usize) -> Option<(Millis, Millis)> {
        let after = self.first.get(rank).checked_sub(1)?;
        let first = self.since(rank).wrapping_add(after as i64);
        Some((first, first.wrapping_add(self.last.get(rank) as i64)))
    }
}

/// One person on its way into the members of a chunk.
#[derive(Clone, Copy, Debug)]
pub struct MemberRow {
    /// The person.
    pub person: PersonId,
    /// Where its identities begin in the shared list.
    pub identities_from: u32,
    /// From when on its times are counted: no later than any of its events, but best not by much.
    pub since: Millis,
}

/// What a person did in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Time of the first event.
    pub first: Millis,
    /// Time of the last event.
    pub last: Millis,
    /// Events, at least one.
    pub events: u64,
}

impl Totals {
    /// Of both together.
    pub fn and(self, other: Self) -> Self {
        Self {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
            events: self.events.saturating_add(other.events),
        }
    }
}

/// Every person of the rows of a segment with its identities among them.
#[derive(Debug, Default)]
pub struct MemberTable {
    rows: Vec<MemberRow>,
    identities: Vec<IdentityId>,
}

impl MemberTable {
    /// Of persons and identities in order, each pair once, and the least time of the rows under that identity, where it is known.
    pub fn new(members: impl Iterator<Item = (PersonId, IdentityId, Option<Millis>)> + Clone) -> Self {
        let mut table = Self::default();
        // Persons are numbered as they come, so that the one before is a good guess.
        let mut guess = members.clone().find_map(|(_, _, since)| since).unwrap_or(0);
        let mut known = None;
        for (person, identity, since) in members {
            if table.rows.last().is_none_or(|m| m.person != person) {
                guess = known.take().unwrap_or(guess);
                let identities_from = table.identities.len() as u32;
                table.rows.push(MemberRow { person, identities_from, since: guess });
            }
            table.identities.push(identity);
            known = known.into_iter().chain(since).min();
            if let (Some(member), Some(known)) = (table.rows.last_mut(), known) {
                member.since = known;
            }
        }
        table
    }

    /// Its persons, in order.
    pub fn rows(&self) -> &[MemberRow] {
        &self.rows
    }

    /// Where the identities of the person at `at` are among those of all.
    fn places(&self, at: usize) -> std::ops::Range<usize> {
        let from =
            |at: usize| self.rows.get(at).map_or(self.identities.len(), |m| m.identities_from as usize);
        from(at)..from(at + 1)
    }

    /// The place of a person, looked for from `near` on: persons mostly rise from one look to the next.
    pub fn find(&self, person: PersonId, near: usize) -> Option<usize> {
        let near = if self.rows.get(near).is_none_or(|m| m.person > person) { 0 } else { near };
        let ahead = self.rows.get(near..).unwrap_or(&[]);
        // In steps that double, so that a near one costs few looks and none far away.
        let mut step = 1;
        while ahead.get(step).is_some_and(|m| m.person < person) {
            step *= 2;
        }
        let (from, to) = (step / 2, (step + 1).min(ahead.len()));
        let within = ahead.get(from..to).unwrap_or(&[]);
        let at = near + from + within.partition_point(|m| m.person < person);
        self.rows.get(at).is_some_and(|m| m.person == person).then_some(at)
    }

    /// The place of an identity among those of the person at `at`.
    pub fn slot(&self, at: usize, identity: IdentityId) -> Option<u32> {
        let own = self.identities.get(self.places(at))?;
        if own.len() < 2 {
            return (own.first() == Some(&identity)).then_some(0);
        }
        own.binary_search(&identity).ok().map(|slot| slot as u32)
    }

    /// From when on the times of the person at `at` are counted.
    pub fn since(&self, at: usize) -> Millis {
        self.rows.get(at).map_or(0, |m| m.since)
    }

    /// Appends the members of the persons at some places, which are those of one chunk. `totals` has one entry for each person of
    /// the table.
    pub fn write(&self, places: std::ops::Range<usize>, totals: &[Option<Totals>], out: &mut Vec<u8>) {
        let rows = self.rows.get(places.clone()).unwrap_or(&[]);
        let totals = totals.get(places.clone()).unwrap_or(&[]);
        let begin = self.places(places.start).start;
        let own = self.identities.get(begin..self.places(places.end).start).unwrap_or(&[]);
        let starts: Vec<usize> = rows.iter().map(|r| r.identities_from as usize - begin).collect();
        let persons = places.clone().zip(rows).flat_map(|(at, row)| self.places(at).map(|_| row.person));
        let pairs = own.iter().copied().zip(persons);
        let others = pairs.clone().filter(|(identity, person)| identity != person);
        let identity_base = others.map(|(identity, _)| identity).min().unwrap_or(0);
        let stored = pairs.map(|(identity, person)| match identity == person {
            true => 0,
            false => u64::from(identity - identity_base) + 1,
        });
        let time_base = rows.iter().map(|r| r.since).min().unwrap_or(0);
        let after = |t: Totals, since: Millis| (t.first.wrapping_sub(since) as u64).saturating_add(1);
        let first = rows.iter().zip(totals).map(|(row, t)| t.map_or(0, |t| after(t, row.since)));

        out.extend_from_slice(&identity_base.to_le_bytes());
        out.extend_from_slice(&time_base.to_le_bytes());
        let widths_at = out.len();
        out.resize(widths_at - 12 + MEMBERS_HEADER_BYTES, 0);
        write_low_ids(&rows.iter().map(|r| r.person as u16).collect::<Vec<_>>(), out);
        write_marks(&starts, own.len(), out);
        let widths: [Widths; COLUMNS] = [
            write_numbers(stored, out),
            write_numbers(rows.iter().map(|r| r.since.wrapping_sub(time_base) as u64), out),
            write_numbers(first, out),
            write_numbers(totals.iter().map(|t| t.map_or(0, |t| t.last.wrapping_sub(t.first) as u64)), out),
            write_numbers(totals.iter().map(|t| t.map_or(0, |t| t.events)), out),
        ];
        let widths = widths.iter().flat_map(|widths| [widths.narrow, widths.wide]);
        out.iter_mut().skip(widths_at).zip(widths).for_each(|(byte, width)| *byte = width);
    }

    /// Identities of the persons at some places.
    pub fn identities(&self, places: std::ops::Range<usize>) -> usize {
        self.places(places.end).start - self.places(places.start).start
    }
}
