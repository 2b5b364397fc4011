//! Numbers that stand for strings inside the store. All are dense, given in order of first arrival and
//! never reused.

/// An identity: any string that a client sent for somebody.
pub type IdentityId = u32;
/// A person: the id of one of its identities (the one that the others were joined to).
pub type PersonId = u32;
/// An event name. The ids below [`NameId::FIRST_EVENT`] are the store's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameId(pub u32);
/// A property name. The ids below [`PropertyId::FIRST`] are the store's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PropertyId(pub u32);

impl NameId {
    /// Rows that are `set` records.
    pub const SET: Self = Self(0);
    /// Rows that are `identify` records.
    pub const IDENTIFY: Self = Self(1);
    /// The first id of an event that a client named.
    pub const FIRST_EVENT: u32 = 2;

    /// Whether rows of this name are events, as opposed to `set` and `identify` records.
    pub fn is_event(self) -> bool {
        self.0 >= Self::FIRST_EVENT
    }
}

impl PropertyId {
    /// The `id` that a client gave its record.
    pub const RECORD_ID: Self = Self(0);
    /// The other identity of an `identify`, as its id.
    pub const TARGET: Self = Self(1);
    /// The arrival number of a `set` or `identify`, which breaks ties in time.
    pub const ARRIVAL: Self = Self(2);
    /// The first id of a property that a client named.
    pub const FIRST: u32 = 3;
}
