//! People search: who meets an audience, how many, and what is known of them.

use super::basis::{Basis, Definition};
use super::json::Node;
use super::saved::{Saved, Terms};
use crate::error::Result;
use crate::limits;
use crate::model::Json;

/// People on a page unless asked otherwise.
const LIMIT_DEFAULT: usize = 50;

/// A search for people.
#[derive(Clone, Debug)]
pub struct People {
    /// The properties shown; all of them if none is named.
    pub columns: Vec<Column>,
    /// People on a page; 0 for the count alone.
    pub limit: usize,
    /// Where the page begins.
    pub cursor: Option<String>,
    /// Which people; with a range only those with any event in it.
    pub basis: Basis,
}

/// A property that is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The property.
    pub property: String,
    /// Its first value instead of the latest.
    pub first: bool,
}

impl People {
    /// Reads a search.
    pub fn from_json(text: &str, saved: &Saved) -> Result<Self> {
        let mut fields = Node::parse(text)?.object()?;
        let basis = Basis::read(&mut fields, &Terms::new(saved))?;
        let columns = match fields.take("columns") {
            None => Vec::new(),
            Some(node) => node.list()?.into_iter().map(read_column).collect::<Result<_>>()?,
        };
        let limit = fields.take("limit").map(|n| n.integer(0, limits::PAGE_MAX as u64)).transpose()?;
        let cursor = fields.take("cursor").map(Node::text).transpose()?;
        fields.end()?;
        Ok(Self { columns, limit: limit.map_or(LIMIT_DEFAULT, |n| n as usize), cursor, basis })
    }
}

fn read_column(node: Node) -> Result<Column> {
    let place = node.clone();
    let text = node.text()?;
    let bad = || {
        let error = place.error("bad_column", format!("no column \"{text}\""));
        error.hint("person.NAME, or first:person.NAME for the first value")
    };
    let (first, name) = match (text.strip_prefix("first:person."), text.strip_prefix("person.")) {
        (Some(name), _) => (true, name),
        (None, Some(name)) => (false, name),
        (None, None) => return Err(bad()),
    };
    let property = name.trim().to_owned();
    if property.is_empty() { Err(bad()) } else { Ok(Column { property, first }) }
}

impl Column {
    /// What it is called in the answer.
    pub fn name(&self) -> String {
        format!("{}{}", if self.first { "first:" } else { "" }, self.property)
    }
}

impl Definition for People {
    fn basis(&self) -> &Basis {
        &self.basis
    }

    fn fields(&self) -> Json {
        let mut out = Json::object([]);
        if !self.columns.is_empty() {
            let text = |c: &Column| format!("{}person.{}", if c.first { "first:" } else { "" }, c.property);
            out.set("columns", self.columns.iter().map(text).collect());
        }
        out.set("limit", self.limit.into());
        if let Some(cursor) = &self.cursor {
            out.set("cursor", cursor.as_str().into());
        }
        out
    }
}
