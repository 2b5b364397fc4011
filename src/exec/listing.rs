//! Lists of people: whoever is behind a number, a page at a time.

use serde::Serialize;

use super::fitting::Page;
use super::persons::{People, PersonSet};
use super::scope::{Scope, View, map_scopes};
use crate::engine::Names;
use crate::error::{Error, Result};
use crate::limits;
use crate::model::PersonId;
use crate::report::Warning;

/// A page of a list of people.
#[derive(Clone, Debug, Serialize)]
pub struct PeoplePage {
    /// The people, in the order of their ids.
    pub people: Vec<Listed>,
    /// How many there are on all pages: exactly the number that the list is behind.
    pub total: u64,
    /// Where the next page begins.
    pub cursor: Option<String>,
    /// What nobody ever sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// One of them.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// What it is called.
    #[serde(flatten)]
    pub names: Names,
}

/// The persons of a page of `found`, and where the next page begins.
pub fn page(found: &People, limit: usize, cursor: Option<&str>) -> Result<(Vec<PersonId>, Option<String>)> {
    let last = cursor.map(|cursor| {
        cursor.parse().map_err(|_| Error::invalid("bad_cursor", "no cursor of this list").at("cursor"))
    });
    let mut page = found.page(last.transpose()?, limit + 1);
    let more = page.len() > limit;
    page.truncate(limit);
    let cursor = page.last().filter(|_| more).map(ToString::to_string);
    Ok((page, cursor))
}

/// The persons that `work` finds in each scope.
pub fn gather<'a>(
    scopes: &[Scope<'a>],
    work: impl Fn(&Scope<'a>) -> Result<PersonSet> + Sync,
) -> Result<People> {
    let mut found = People::default();
    map_scopes(scopes, work, |part| {
        found.add(part);
        Ok(())
    })?;
    Ok(found)
}

/// A page of `found`.
pub fn list(
    view: &View,
    found: &People,
    limit: usize,
    cursor: Option<&str>,
    warnings: Vec<Warning>,
) -> Result<PeoplePage> {
    let (persons, cursor) = page(found, limit, cursor)?;
    let mut page = Page::new();
    for person in persons {
        if !page.has_room(person) {
            break;
        }
        let names = view.source.snapshot.names_of(person, limits::LISTED_IDENTITIES_BYTES)?;
        page.add(person, Listed { names });
    }
    let (people, cursor) = page.finish(cursor);
    Ok(PeoplePage { people, total: found.len(), cursor, warnings })
}
