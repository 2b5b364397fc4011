//! The identities of the persons of one chunk, as far as this segment has rows of them, and what each person did in all.
//!
//! ```text
//! base u32, base i64, widths u8 x 4      of: identity - base, first - base, last - first, events
//! persons      see low_ids.rs
//! starts       where each person's identities begin, see marks.rs
//! identities   packed
//! first        packed, one per person: 0 = no event, else milliseconds since base + 1
//! last         packed, one per person: milliseconds since its first
//! events       packed, one per person: how many
//! ```
//! Segments of version 002 have three widths and no events.

use super::low_ids::{LowIds, Sets, write_low_ids};
use super::marks::{Marks, write_marks};
use crate::disk::bits::{Packed, pack, packed_len, width_of};
use crate::disk::codec::Reader;
use crate::model::{IdentityId, Millis, PersonId};

/// Bytes before the arrays.
pub const MEMBERS_HEADER_BYTES: usize = 16;

/// The members of one chunk, borrowed from their segment.
#[derive(Clone, Copy)]
pub struct Members<'a> {
    persons: LowIds<'a>,
    starts: Marks<'a>,
    identities: Packed<'a>,
    first: Packed<'a>,
    last: Packed<'a>,
    /// Not in version 002.
    events: Option<Packed<'a>>,
    n_persons: usize,
    identity_base: u32,
    time_base: Millis,
}

impl<'a> Members<'a> {
    /// Reads them; `None` if the bytes cannot hold them. `counted` says whether numbers of events are there, `sets` how the persons
    /// are written.
    pub fn parse(
        bytes: &'a [u8],
        n_persons: u32,
        n_identities: u32,
        counted: bool,
        sets: Sets,
    ) -> Option<Self> {
        let (n_persons, n_identities) = (n_persons as usize, n_identities as usize);
        let mut reader = Reader::new(bytes);
        let (identity_base, time_base) = (reader.u32()?, reader.i64()?);
        let widths: [u8; 3] = *reader.take(3)?.first_chunk()?;
        let events_width = if counted { Some(reader.u8()?) } else { None };
        let (persons, rest) = LowIds::parse(bytes.get(reader.offset()..)?, n_persons, sets)?;
        let (starts, mut rest) = Marks::parse(rest, n_identities, n_persons)?;
        let mut array = |count: usize, width: u8| -> Option<Packed<'a>> {
            let packed = Packed::new(rest, count, width)?;
            rest = rest.get(packed_len(count, width)?..)?;
            Some(packed)
        };
        Some(Self {
            persons,
            starts,
            identities: array(n_identities, widths[0])?,
            first: array(n_persons, widths[1])?,
            last: array(n_persons, widths[2])?,
            events: match events_width {
                Some(width) => Some(array(n_persons, width)?),
                None => None,
            },
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

    /// The low 16 bits of the person at `rank`.
    pub fn person(&self, rank: usize) -> u16 {
        self.persons.get(rank)
    }

    /// The low 16 bits of all persons, in order.
    pub fn persons(&self) -> impl Iterator<Item = u16> + '_ {
        self.persons.iter()
    }

    /// The rank of a person, if it is here.
    pub fn rank_of(&self, low: u16) -> Option<usize> {
        self.persons.find(low)
    }

    /// The identities of the person at `rank`: their places in [`Members::identity`].
    pub fn slots(&self, rank: usize) -> std::ops::Range<usize> {
        self.starts.rows_of(rank)
    }

    /// The identity at a place.
    pub fn identity(&self, place: usize) -> IdentityId {
        self.identity_base.wrapping_add(self.identities.get(place) as u32)
    }

    /// How many events of the person at `rank` are here, where that is known.
    pub fn events(&self, rank: usize) -> Option<u64> {
        self.events.as_ref().map(|events| events.get(rank))
    }

    /// When the person at `rank` did its first and last event here.
    pub fn seen(&self, rank: usize) -> Option<(Millis, Millis)> {
        let since = self.first.get(rank).checked_sub(1)?;
        let first = self.time_base.wrapping_add(since as i64);
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
            events: self.events + other.events,
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
    /// Of pairs in order, each once.
    pub fn new(members: &[(PersonId, IdentityId)]) -> Self {
        let mut rows: Vec<MemberRow> = Vec::new();
        for (at, (person, _)) in (0..).zip(members) {
            if rows.last().is_none_or(|m| m.person != *person) {
                rows.push(MemberRow { person: *person, identities_from: at });
            }
        }
        Self { rows, identities: members.iter().map(|(_, identity)| *identity).collect() }
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

    /// The slot of an identity of the person at `at`: its place among the person's.
    pub fn slot(&self, at: usize, identity: IdentityId) -> u32 {
        let own = self.identities.get(self.places(at)).unwrap_or(&[]);
        if own.len() < 2 { 0 } else { own.binary_search(&identity).unwrap_or(0) as u32 }
    }

    /// Appends the members of the persons at some places, which are those of one chunk. `totals` has one entry for each person of
    /// the table.
    pub fn write(&self, places: std::ops::Range<usize>, totals: &[Option<Totals>], out: &mut Vec<u8>) {
        let rows = self.rows.get(places.clone()).unwrap_or(&[]);
        let totals = totals.get(places.clone()).unwrap_or(&[]);
        let begin = self.places(places.start).start;
        let own = self.identities.get(begin..self.places(places.end).start).unwrap_or(&[]);
        let identity_base = own.iter().copied().min().unwrap_or(0);
        let identity_width = width_of(u64::from(own.iter().copied().max().unwrap_or(0) - identity_base));
        let time_base = totals.iter().flatten().map(|t| t.first).min().unwrap_or(0);
        let first = |t: &Option<Totals>| t.map_or(0, |t| (t.first - time_base + 1) as u64);
        let last = |t: &Option<Totals>| t.map_or(0, |t| (t.last - t.first) as u64);
        let events = |t: &Option<Totals>| t.map_or(0, |t| t.events);
        let first_width = width_of(totals.iter().map(first).max().unwrap_or(0));
        let last_width = width_of(totals.iter().map(last).max().unwrap_or(0));
        let events_width = width_of(totals.iter().map(events).max().unwrap_or(0));
        out.extend_from_slice(&identity_base.to_le_bytes());
        out.extend_from_slice(&time_base.to_le_bytes());
        out.extend_from_slice(&[identity_width, first_width, last_width, events_width]);
        write_low_ids(&rows.iter().map(|r| r.person as u16).collect::<Vec<_>>(), out);
        let starts: Vec<usize> = rows.iter().map(|r| r.identities_from as usize - begin).collect();
        write_marks(&starts, own.len(), out);
        pack(own.iter().map(|i| u64::from(i - identity_base)), identity_width, out);
        pack(totals.iter().map(first), first_width, out);
        pack(totals.iter().map(last), last_width, out);
        pack(totals.iter().map(events), events_width, out);
    }

    /// Identities of the persons at some places.
    pub fn identities(&self, places: std::ops::Range<usize>) -> usize {
        self.places(places.end).start - self.places(places.start).start
    }
}
