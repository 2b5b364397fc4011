//! Event and property names and their ids, in order of first arrival.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::model::{NameId, PropertyId};

/// Names and ids, both ways. Snapshots share it behind an `Arc`; a new name copies it, which is rare.
#[derive(Clone, Debug)]
pub struct Catalog {
    events: Table,
    properties: Table,
}

#[derive(Clone, Debug)]
struct Table {
    first: u32,
    names: Vec<Arc<str>>,
    ids: HashMap<Arc<str>, u32>,
}

/// [`Catalog`] as the checkpoint stores it.
#[derive(Serialize, Deserialize)]
pub struct CatalogImage {
    events: Vec<String>,
    properties: Vec<String>,
}

impl Table {
    fn new(first: u32, names: Vec<String>) -> Self {
        let mut table = Self { first, names: Vec::new(), ids: HashMap::new() };
        for name in names {
            table.add(&name);
        }
        table
    }

    fn add(&mut self, name: &str) -> u32 {
        let id = self.first + self.names.len() as u32;
        let name: Arc<str> = name.into();
        self.names.push(Arc::clone(&name));
        self.ids.insert(name, id);
        id
    }

    fn name(&self, id: u32) -> Option<&Arc<str>> {
        self.names.get(id.checked_sub(self.first)? as usize)
    }

    fn image(&self) -> Vec<String> {
        self.names.iter().map(|n| n.to_string()).collect()
    }
}

impl Default for Catalog {
    fn default() -> Self {
        Self::from_image(CatalogImage { events: Vec::new(), properties: Vec::new() })
    }
}

impl Catalog {
    /// The id of an event name.
    pub fn event(&self, name: &str) -> Option<NameId> {
        self.events.ids.get(name).map(|id| NameId(*id))
    }

    /// The id of a property name.
    pub fn property(&self, name: &str) -> Option<PropertyId> {
        self.properties.ids.get(name).map(|id| PropertyId(*id))
    }

    /// The event name of an id; empty for the store's own.
    pub fn event_name(&self, id: NameId) -> &str {
        self.events.name(id.0).map_or("", |n| n)
    }

    /// The property name of an id; empty for the store's own.
    pub fn property_name(&self, id: PropertyId) -> &str {
        self.properties.name(id.0).map_or("", |n| n)
    }

    /// Whether there is an event name of this id.
    pub fn has_event(&self, id: NameId) -> bool {
        self.events.name(id.0).is_some()
    }

    /// Whether there is a property name of this id.
    pub fn has_property(&self, id: PropertyId) -> bool {
        self.properties.name(id.0).is_some()
    }

    /// How many event names there are, and how many property names.
    pub fn counts(&self) -> (usize, usize) {
        (self.events.names.len(), self.properties.names.len())
    }

    /// All event names with their ids.
    pub fn events(&self) -> impl Iterator<Item = (NameId, &str)> {
        self.events.names.iter().zip(self.events.first..).map(|(name, id)| (NameId(id), name.as_ref()))
    }

    /// All property names with their ids.
    pub fn properties(&self) -> impl Iterator<Item = (PropertyId, &str)> {
        self.properties
            .names
            .iter()
            .zip(self.properties.first..)
            .map(|(name, id)| (PropertyId(id), name.as_ref()))
    }

    /// Adds an event name; `None` if there are too many.
    pub fn add_event(&mut self, name: &str) -> Option<NameId> {
        (self.events.names.len() < limits::NAMES_MAX).then(|| NameId(self.events.add(name)))
    }

    /// Adds a property name; `None` if there are too many.
    pub fn add_property(&mut self, name: &str) -> Option<PropertyId> {
        (self.properties.names.len() < limits::NAMES_MAX).then(|| PropertyId(self.properties.add(name)))
    }

    /// For the checkpoint.
    pub fn image(&self) -> CatalogImage {
        CatalogImage { events: self.events.image(), properties: self.properties.image() }
    }

    /// From the checkpoint.
    pub fn from_image(image: CatalogImage) -> Self {
        Self {
            events: Table::new(NameId::FIRST_EVENT, image.events),
            properties: Table::new(PropertyId::FIRST, image.properties),
        }
    }
}
