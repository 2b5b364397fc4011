//! Records on their way to the writer. What can be done beside the writer is done beside it: names that are known become ids,
//! properties their canonical bytes, identities their fingerprints. The rest, which is rare, the writer does itself.

use std::sync::Arc;

use super::snapshot::Snapshot;
use crate::model::{Millis, NameId, PropertyId, Record, RecordKind, Value};
use crate::store::catalog::Catalog;
use crate::store::identities::{Fingerprint, IdentitiesView};
use crate::store::row::{PropertyBytes, put_property};

/// Records in order.
pub struct Batch {
    pub(super) items: Vec<Item>,
    /// What the prepared ones are made of.
    pub(super) bytes: Arc<[u8]>,
}

/// A record of a batch.
pub(super) enum Item {
    /// As it came.
    Record(Record),
    /// With every name known.
    Prepared(Prepared),
}

impl Item {
    /// The identity of a prepared record.
    pub(super) fn identity(&self) -> Option<Fingerprint> {
        if let Self::Prepared(prepared) = self { Some(prepared.identity.fingerprint) } else { None }
    }
}

/// A piece of a batch's bytes.
#[derive(Clone, Copy)]
pub(super) struct Span {
    from: u32,
    to: u32,
}

/// A prepared record.
pub(super) struct Prepared {
    pub(super) name: NameId,
    pub(super) time: Option<Millis>,
    pub(super) identity: Named,
    /// Of an identify the other identity.
    pub(super) target: Option<Named>,
    properties: Span,
}

/// An identity of a batch.
#[derive(Clone, Copy)]
pub(super) struct Named {
    pub(super) fingerprint: Fingerprint,
    text: Span,
}

impl Batch {
    /// Records as they came.
    pub fn of(records: Vec<Record>) -> Self {
        Self { items: records.into_iter().map(Item::Record).collect(), bytes: Arc::new([]) }
    }

    /// Records in it.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The text of an identity.
    pub(super) fn text(&self, named: Named) -> &str {
        let bytes = self.bytes.get(named.text.from as usize..named.text.to as usize);
        // It was text when it was put there.
        bytes.and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or("")
    }

    /// The canonical property bytes of a record.
    pub(super) fn properties(&self, prepared: &Prepared) -> PropertyBytes {
        PropertyBytes::piece(&self.bytes, prepared.properties.from, prepared.properties.to)
    }
}

/// Prepares records, on any thread.
pub struct Preparer {
    catalog: Arc<Catalog>,
    identities: IdentitiesView,
}

impl Preparer {
    /// With the names that `snapshot` knows.
    pub fn new(snapshot: &Snapshot) -> Self {
        Self { catalog: Arc::clone(&snapshot.catalog), identities: snapshot.identities.clone() }
    }

    /// Prepares records that have been through [`Record::checked`].
    pub fn batch(&self, records: impl ExactSizeIterator<Item = Record>) -> Batch {
        let mut bytes = Vec::with_capacity(records.len() * 96);
        let mut items = Vec::with_capacity(records.len());
        for record in records {
            let prepared = self.prepare(&record, &mut bytes);
            items.push(prepared.map_or_else(|| Item::Record(record), Item::Prepared));
        }
        Batch { items, bytes: bytes.into() }
    }

    /// `None` if a name is new, or the record has an id of its own.
    fn prepare(&self, record: &Record, bytes: &mut Vec<u8>) -> Option<Prepared> {
        let name = match record.kind {
            RecordKind::Set => NameId::SET,
            RecordKind::Identify => NameId::IDENTIFY,
            RecordKind::Event => self.catalog.event(&record.name)?,
        };
        if record.id.is_some() {
            return None;
        }
        let known = record.properties.iter().map(|(name, value)| Some((self.catalog.property(name)?, value)));
        let mut sorted: Vec<(PropertyId, &Value)> = known.collect::<Option<_>>()?;
        sorted.sort_unstable_by_key(|(id, _)| *id);
        let from = bytes.len();
        sorted.iter().for_each(|(id, value)| put_property(*id, value.as_ref(), bytes));
        let properties = span(from, bytes)?;
        let identity = self.named(&record.identity, bytes)?;
        let target = match record.kind {
            RecordKind::Identify => Some(self.named(&record.name, bytes)?),
            RecordKind::Event | RecordKind::Set => None,
        };
        Some(Prepared { name, time: record.time, identity, target, properties })
    }

    fn named(&self, identity: &str, bytes: &mut Vec<u8>) -> Option<Named> {
        let from = bytes.len();
        bytes.extend_from_slice(identity.as_bytes());
        Some(Named { fingerprint: self.identities.fingerprint(identity), text: span(from, bytes)? })
    }
}

/// What was appended to `bytes` since they were `from` long.
fn span(from: usize, bytes: &[u8]) -> Option<Span> {
    Some(Span { from: u32::try_from(from).ok()?, to: u32::try_from(bytes.len()).ok()? })
}
