//! Records and corrections on their way to the writer. What can be done beside the writer is done beside it: names that are known become ids,
//! properties their canonical bytes, or for a load the numbers of their values, identities their fingerprints. The rest, which is rare,
//! the writer does itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::load::Numbering;
use super::snapshot::{Opening, Snapshot};
use crate::model::{Correction, Millis, NameId, PropertyId, Record, RecordKind, RecordRef, ValueRef};
use crate::store::catalog::Catalog;
use crate::store::identities::{Fingerprint, IdentitiesView};
use crate::store::row::{PropertyBytes, put_property};
use crate::store::values::{ValueCache, Values};

/// Records and corrections in order.
pub struct Batch {
    pub(super) items: Vec<Item>,
    /// The identities of the prepared ones.
    texts: String,
    properties: Properties,
    /// For which opening of a store the prepared ones were prepared.
    pub(super) opening: Option<Opening>,
    /// What it is a part of.
    pub(super) input: Option<Input>,
}

/// An input of many batches. Once one of them is refused so are those behind it, and what is stored of it has no gap.
#[derive(Clone, Debug, Default)]
pub struct Input(Arc<AtomicBool>);

impl Input {
    pub(super) fn is_refused(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    pub(super) fn refuse_behind(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The properties of the prepared records of a batch.
enum Properties {
    /// Canonical bytes: rows keep pieces of them.
    Bytes(Arc<Vec<u8>>),
    /// Numbers of values, and where they are numbered.
    Numbers(Vec<u32>, Arc<Values>),
}

impl Default for Properties {
    fn default() -> Self {
        Self::Bytes(Arc::default())
    }
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

/// What a batch was made in, emptied, to be used again: clearing new memory for each costs as much as filling it.
#[derive(Default)]
pub(super) struct UsedBatch {
    items: Vec<Item>,
    texts: String,
    numbers: Vec<u32>,
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
        Self { items, texts: String::new(), properties: Properties::default(), opening: None, input: None }
    }

    /// A correction alone.
    pub fn correction(correction: Correction) -> Self {
        let items = vec![Item::Correction(correction)];
        Self { items, texts: String::new(), properties: Properties::default(), opening: None, input: None }
    }

    /// As a part of an input.
    #[must_use]
    pub fn of_input(mut self, input: &Input) -> Self {
        self.input = Some(input.clone());
        self
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
        self.texts.get(named.text.from as usize..named.text.to as usize).unwrap_or("")
    }

    /// The canonical property bytes of a record.
    pub(super) fn properties(&self, prepared: &Prepared) -> PropertyBytes {
        match &self.properties {
            Properties::Bytes(bytes) => {
                PropertyBytes::piece(bytes, prepared.properties.from, prepared.properties.to)
            }
            // An engine that has a log makes no such batch, and refuses that of another.
            Properties::Numbers(..) => [].as_slice().into(),
        }
    }

    /// The numbers of the values of a record.
    pub(super) fn numbers(&self, prepared: &Prepared) -> &[u32] {
        let Span { from, to } = prepared.properties;
        match &self.properties {
            Properties::Numbers(numbers, _) => numbers.get(from as usize..to as usize).unwrap_or(&[]),
            Properties::Bytes(_) => &[],
        }
    }

    /// Ends it.
    pub(super) fn emptied(self) -> UsedBatch {
        let Self { mut items, mut texts, properties, .. } = self;
        let mut numbers = if let Properties::Numbers(numbers, _) = properties { numbers } else { Vec::new() };
        items.clear();
        texts.clear();
        numbers.clear();
        UsedBatch { items, texts, numbers }
    }

    /// Numbers the values in `values`, if they are numbered elsewhere.
    pub(super) fn renumber(&mut self, values: &Arc<Values>) {
        let Properties::Numbers(numbers, old) = &mut self.properties else { return };
        if Arc::ptr_eq(old, values) {
            return;
        }
        let (from, mut to) = (old.table(), values.table());
        for number in numbers {
            if let Some((property, raw)) = from.get(*number) {
                *number = to.number(property, raw);
            }
        }
        drop(from);
        *old = Arc::clone(values);
    }
}

/// Prepares records, on any thread.
pub struct BatchBuilder {
    opening: Opening,
    catalog: Arc<Catalog>,
    identities: IdentitiesView,
    /// For each shape of a name (see [`shape_of`]) the id that it was last.
    events: [u32; SHAPES],
    property_names: [u32; SHAPES],
    /// The properties of the record at hand, and where they are in it.
    order: Vec<(PropertyId, usize)>,
    items: Vec<Item>,
    texts: String,
    properties: Making,
}

/// The [`Properties`] of a batch that is being made.
enum Making {
    Bytes(Vec<u8>),
    Numbers { numbers: Vec<u32>, cache: ValueCache, numbering: Arc<Numbering> },
}

impl Making {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Numbers { numbers, .. } => numbers.len(),
        }
    }

    fn truncate(&mut self, length: usize) {
        match self {
            Self::Bytes(bytes) => bytes.truncate(length),
            Self::Numbers { numbers, .. } => numbers.truncate(length),
        }
    }

    #[inline]
    fn put(&mut self, property: PropertyId, value: ValueRef<'_>) {
        match self {
            Self::Bytes(bytes) => put_property(property, value, bytes),
            Self::Numbers { numbers, cache, .. } => numbers.push(cache.number(property, value)),
        }
    }

    fn finish(self) -> Properties {
        match self {
            Self::Bytes(bytes) => Properties::Bytes(Arc::new(bytes)),
            Self::Numbers { numbers, cache, numbering } => {
                let values = Arc::clone(cache.values());
                numbering.give(cache);
                Properties::Numbers(numbers, values)
            }
        }
    }
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
    pub(super) fn new(snapshot: &Snapshot, bytes: usize, numbering: Option<&Arc<Numbering>>) -> Self {
        let mut used = numbering.and_then(|numbering| numbering.used_batch()).unwrap_or_default();
        used.items.reserve(bytes / 160);
        used.texts.reserve(bytes / 8);
        let properties = match numbering {
            None => Making::Bytes(Vec::with_capacity(bytes * 2 / 5)),
            Some(numbering) => {
                used.numbers.reserve(bytes / 50);
                let (cache, numbering) = (numbering.take(), Arc::clone(numbering));
                Making::Numbers { numbers: used.numbers, cache, numbering }
            }
        };
        Self {
            opening: snapshot.opening,
            catalog: Arc::clone(&snapshot.catalog),
            identities: snapshot.identities.clone(),
            events: [0; SHAPES],
            property_names: [0; SHAPES],
            order: Vec::new(),
            items: used.items,
            texts: used.texts,
            properties,
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
        let (properties, opening) = (self.properties.finish(), Some(self.opening));
        Batch { items: self.items, texts: self.texts, properties, opening, input: None }
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
            self.properties.put(*id, *value);
        }
        let properties = span(from, self.properties.len())?;
        let identity = self.named(record.identity)?;
        let target = match record.kind {
            RecordKind::Identify => Some(self.named(record.name)?),
            RecordKind::Event | RecordKind::Set => None,
        };
        Some(Prepared { name, time: record.time, identity, target, properties })
    }

    /// A name that the store knows. Without any, a name is none: the store calls what is its own by that.
    fn event(&mut self, name: &str) -> Option<NameId> {
        if name.is_empty() {
            return None;
        }
        let slot = self.events.get_mut(shape_of(name))?;
        if self.catalog.event_name(NameId(*slot)) != name {
            *slot = self.catalog.event(name)?.0;
        }
        Some(NameId(*slot))
    }

    fn property(&mut self, name: &str) -> Option<PropertyId> {
        if name.is_empty() {
            return None;
        }
        let slot = self.property_names.get_mut(shape_of(name))?;
        if self.catalog.property_name(PropertyId(*slot)) != name {
            *slot = self.catalog.property(name)?.0;
        }
        Some(PropertyId(*slot))
    }

    fn named(&mut self, identity: &str) -> Option<Named> {
        let from = self.texts.len();
        self.texts.push_str(identity);
        Some(Named {
            fingerprint: self.identities.fingerprint(identity),
            text: span(from, self.texts.len())?,
        })
    }
}

fn span(from: usize, to: usize) -> Option<Span> {
    Some(Span { from: u32::try_from(from).ok()?, to: u32::try_from(to).ok()? })
}
