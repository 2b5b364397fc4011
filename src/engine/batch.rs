//! Records and corrections on their way to the writer. What can be done beside the writer is done beside it: names that are known become ids,
//! properties their canonical bytes, identities their fingerprints. The rest, which is rare, the writer does itself.

use std::sync::Arc;

use super::snapshot::Snapshot;
use crate::model::{Correction, Millis, NameId, PropertyId, Record, RecordKind, RecordRef};
use crate::store::catalog::Catalog;
use crate::store::identities::{Fingerprint, IdentitiesView};
use crate::store::row::{PropertyBytes, put_property};

/// Records and corrections in order.
pub struct Batch {
    pub(super) items: Vec<Item>,
    /// The identities of the prepared ones.
    texts: Vec<u8>,
    /// The properties of the prepared ones: rows keep pieces of it.
    properties: Arc<Vec<u8>>,
}

/// A record of a batch.
pub(super) enum Item {
    /// As it came.
    Record(Record),
    /// With every name known.
    Prepared(Prepared),
    /// No record.
    Correction(Correction),
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
        let items = records.into_iter().map(Item::Record).collect();
        Self { items, texts: Vec::new(), properties: Arc::default() }
    }

    /// A correction alone.
    pub fn correction(correction: Correction) -> Self {
        Self { items: vec![Item::Correction(correction)], texts: Vec::new(), properties: Arc::default() }
    }

    /// Records and corrections in it.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The text of an identity.
    pub(super) fn text(&self, named: Named) -> &str {
        let bytes = self.texts.get(named.text.from as usize..named.text.to as usize);
        // It was text when it was put there.
        bytes.and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or("")
    }

    /// The canonical property bytes of a record.
    pub(super) fn properties(&self, prepared: &Prepared) -> PropertyBytes {
        PropertyBytes::piece(&self.properties, prepared.properties.from, prepared.properties.to)
    }
}

/// Prepares records, on any thread.
pub struct BatchBuilder {
    catalog: Arc<Catalog>,
    identities: IdentitiesView,
    /// For each shape of a name (see [`shape_of`]) the id that it was last.
    events: [u32; SHAPES],
    property_names: [u32; SHAPES],
    /// The properties of the record at hand, and where they are in it.
    order: Vec<(PropertyId, usize)>,
    items: Vec<Item>,
    texts: Vec<u8>,
    properties: Vec<u8>,
}

const SHAPES: usize = 256;

/// Names of one length that begin and end alike mostly are the same.
fn shape_of(name: &str) -> usize {
    let bytes = name.as_bytes();
    let at = |at: usize| bytes.get(at).copied().map_or(0, usize::from);
    (at(0) * 31 + at(bytes.len() / 2) * 17 + at(bytes.len().saturating_sub(1)) * 7 + bytes.len()) % SHAPES
}

impl BatchBuilder {
    /// For records of about so many bytes in all, with the names that `snapshot` knows.
    pub fn new(snapshot: &Snapshot, bytes: usize) -> Self {
        Self {
            catalog: Arc::clone(&snapshot.catalog),
            identities: snapshot.identities.clone(),
            events: [0; SHAPES],
            property_names: [0; SHAPES],
            order: Vec::new(),
            items: Vec::with_capacity(bytes / 160),
            texts: Vec::with_capacity(bytes / 8),
            properties: Vec::with_capacity(bytes * 2 / 5),
        }
    }

    /// Adds a record that has been through [`Record::checked`].
    pub fn add(&mut self, record: Record) {
        let mut view = RecordRef::new();
        view.refer_to(&record);
        let prepared = record.id.is_none() && self.prepare(&view);
        if !prepared {
            self.items.push(Item::Record(record));
        }
    }

    /// Adds a correction.
    pub fn correct(&mut self, correction: Correction) {
        self.items.push(Item::Correction(correction));
    }

    /// Adds a clean record if all its names are known; else nothing, and false.
    pub fn prepare(&mut self, record: &RecordRef<'_>) -> bool {
        let (texts, properties) = (self.texts.len(), self.properties.len());
        match self.try_prepare(record) {
            Some(prepared) => {
                self.items.push(Item::Prepared(prepared));
                true
            }
            None => {
                self.texts.truncate(texts);
                self.properties.truncate(properties);
                false
            }
        }
    }

    /// All that was added.
    pub fn finish(self) -> Batch {
        Batch { items: self.items, texts: self.texts, properties: Arc::new(self.properties) }
    }

    /// `None` if a name is new, or given twice.
    fn try_prepare(&mut self, record: &RecordRef<'_>) -> Option<Prepared> {
        let name = match record.kind {
            RecordKind::Set => NameId::SET,
            RecordKind::Identify => NameId::IDENTIFY,
            RecordKind::Event => self.event(record.name)?,
        };
        self.order.clear();
        for (at, (name, _)) in record.properties.iter().enumerate() {
            let id = self.property(name)?;
            self.order.push((id, at));
        }
        self.order.sort_unstable();
        if self.order.windows(2).any(|pair| matches!(pair, [(a, _), (b, _)] if a == b)) {
            return None;
        }
        let from = self.properties.len();
        for (id, at) in &self.order {
            let (_, value) = record.properties.get(*at)?;
            put_property(*id, *value, &mut self.properties);
        }
        let properties = span(from, &self.properties)?;
        let identity = self.named(record.identity)?;
        let target = match record.kind {
            RecordKind::Identify => Some(self.named(record.name)?),
            RecordKind::Event | RecordKind::Set => None,
        };
        Some(Prepared { name, time: record.time, identity, target, properties })
    }

    fn event(&mut self, name: &str) -> Option<NameId> {
        let slot = self.events.get_mut(shape_of(name))?;
        if self.catalog.event_name(NameId(*slot)) != name {
            *slot = self.catalog.event(name)?.0;
        }
        Some(NameId(*slot))
    }

    fn property(&mut self, name: &str) -> Option<PropertyId> {
        let slot = self.property_names.get_mut(shape_of(name))?;
        if self.catalog.property_name(PropertyId(*slot)) != name {
            *slot = self.catalog.property(name)?.0;
        }
        Some(PropertyId(*slot))
    }

    fn named(&mut self, identity: &str) -> Option<Named> {
        let from = self.texts.len();
        self.texts.extend_from_slice(identity.as_bytes());
        Some(Named { fingerprint: self.identities.fingerprint(identity), text: span(from, &self.texts)? })
    }
}

/// What was appended to `bytes` since they were `from` long.
fn span(from: usize, bytes: &[u8]) -> Option<Span> {
    Some(Span { from: u32::try_from(from).ok()?, to: u32::try_from(bytes.len()).ok()? })
}
