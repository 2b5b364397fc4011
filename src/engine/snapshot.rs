//! Everything a reader needs, at one moment. A snapshot is cheap to take, never changes, and keeps the files that
//! it reads alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::disk::Vfs;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{IdentityId, NameId, PersonId, PropertyId, json_text_len};
use crate::store::catalog::Catalog;
use crate::store::identities::IdentitiesView;
use crate::store::memtable::{Memtable, Run};
use crate::store::persons::Persons;
use crate::store::segment::Segment;

/// A memtable that is being flushed.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// Counts up with each seal.
    pub generation: u64,
    /// Its rows.
    pub table: Memtable,
    /// The identity version at the seal, which its segment will have.
    pub identity_version: u32,
}

/// What has happened since the store was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records stored since this process opened the store.
    pub stored: u64,
    /// Duplicates refused since then.
    pub duplicates: u64,
    /// Identifies that joined two persons since then.
    pub merges: u64,
    /// Identifies that left two persons apart since then.
    pub merges_refused: u64,
}

/// What a person is called.
#[derive(Clone, Debug, Serialize)]
pub struct Names {
    /// The identity that stands for the person.
    pub person: String,
    /// Its identities, in order of first sight: all of them but of somebody who has a great many.
    pub identities: Vec<String>,
    /// How many more it has than are listed here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more_identities: Option<usize>,
}

/// A segment that is left out because its file is damaged. The manifest goes on naming it: once a sound copy is in its place, the next
/// start reads it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// Its name.
    pub file: String,
    /// What is wrong, and where.
    pub message: String,
}

impl Damaged {
    /// What `error` says of `file` in a directory.
    pub(crate) fn new(vfs: &dyn Vfs, file: &str, error: &Error) -> Self {
        let (dir, message) = (vfs.describe(), error.message());
        // Files of several projects have the same names.
        let place = if message.contains(&dir) { String::new() } else { format!("{dir}/") };
        log::error!("{place}{message}; everything else goes on without it");
        Self { file: file.to_owned(), message: error.message().to_owned() }
    }
}

/// That an identity was never seen.
pub(super) fn nobody(identity: &str) -> Error {
    Error::new(ErrorKind::NotFound, "unknown_person", format!("nobody is known as \"{identity}\""))
}

/// An opening of a store, unlike all others of this process. What was read in one means nothing in another: numbers of names and people
/// begin anew in each store, and epochs in each opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening(u64);

impl Opening {
    /// The next one.
    pub(super) fn new() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed))
    }
}

/// The store at one moment.
#[derive(Clone)]
pub struct Snapshot {
    /// Of which opening.
    pub opening: Opening,
    /// Changes whenever the set of segments does.
    pub epoch: u64,
    /// The segments.
    pub segments: Arc<[Arc<Segment>]>,
    /// Segments that are left out.
    pub damaged: Vec<Damaged>,
    /// Memtables on their way into segments, oldest first.
    pub sealed: Vec<Sealed>,
    /// The memtable that is being filled.
    pub active: Memtable,
    /// Who is who.
    pub persons: Persons,
    /// Names and ids.
    pub catalog: Arc<Catalog>,
    /// Identities and ids.
    pub identities: IdentitiesView,
    /// What has happened.
    pub counters: Counters,
}

impl Snapshot {
    /// All runs of recent rows.
    pub fn runs(&self) -> Vec<Arc<Run>> {
        let tables = self.sealed.iter().map(|s| &s.table).chain([&self.active]);
        tables.flat_map(|t| t.runs().iter().cloned()).collect()
    }

    /// Rows that are not in segments yet.
    pub fn recent_rows(&self) -> usize {
        self.sealed.iter().map(|s| s.table.len()).sum::<usize>() + self.active.len()
    }

    /// Rows in all: events, sets and identifies.
    pub fn rows(&self) -> u64 {
        self.segments.iter().map(|s| s.directory().rows).sum::<u64>() + self.recent_rows() as u64
    }

    /// Rows of one name.
    pub fn rows_of(&self, name: NameId) -> u64 {
        let stored = self.segments.iter().filter_map(|s| s.name_entry(s.find_name(name)?)).map(|e| e.rows);
        stored.sum::<u64>() + self.runs().iter().map(|r| r.of_name(name).len() as u64).sum::<u64>()
    }

    /// The person of an identity as somebody gives it.
    ///
    /// # Errors
    /// `unknown_person` if it was never seen.
    pub fn person(&self, identity: &str) -> Result<PersonId> {
        self.find_person(identity.trim())?.ok_or_else(|| nobody(identity))
    }

    /// The person of an identity, if it was ever seen.
    pub fn find_person(&self, identity: &str) -> Result<Option<PersonId>> {
        Ok(self.find_identity(identity)?.map(|id| self.persons.person_of(id)))
    }

    /// An identity, if it was ever seen.
    pub fn find_identity(&self, identity: &str) -> Result<Option<IdentityId>> {
        Ok(self.identities.find(identity)?.filter(|id| *id < self.persons.identities()))
    }

    /// The text of an identity.
    pub fn identity(&self, id: IdentityId) -> Result<String> {
        self.identities.get(id)
    }

    /// The identity that stands for a person, as text.
    pub fn display(&self, person: PersonId) -> Result<String> {
        self.identity(self.persons.display(person))
    }

    /// What a person is called, with as many of its identities as take `most` bytes of JSON.
    pub fn names_of(&self, person: PersonId, most: usize) -> Result<Names> {
        let (display, members) = (self.persons.display(person), self.persons.members(person));
        let (mut identities, mut left) = (Vec::with_capacity(members.len().min(16)), most);
        for member in &members {
            let identity = self.identity(*member)?;
            let Some(rest) = left.checked_sub(json_text_len(&identity) + 1) else { break };
            left = rest;
            identities.push(identity);
        }
        let listed = members.binary_search(&display).ok().and_then(|at| identities.get(at));
        let person = listed.cloned().map_or_else(|| self.identity(display), Ok)?;
        let more = members.len() - identities.len();
        Ok(Names { person, identities, more_identities: Some(more).filter(|more| *more > 0) })
    }

    /// The identities of a person, as text, in order of first sight.
    pub fn identities_of(&self, person: PersonId) -> Result<Vec<String>> {
        self.persons.members(person).into_iter().map(|m| self.identity(m)).collect()
    }

    /// The id of an event that somebody has done.
    pub fn event(&self, name: &str) -> Option<NameId> {
        self.catalog.event(name)
    }

    /// The id of a property that some record has.
    pub fn property(&self, name: &str) -> Option<PropertyId> {
        self.catalog.property(name)
    }
}
