//! Audiences: whether an expression is true of a person. One function per kind of condition would hide how
//! little there is to it.

use serde_json::Value as Json;

use super::oracle::Person;
use super::oracle_query::{Condition, Pattern, Range, Scope, list, object, only, text, whole, wrong};
use crate::error::{Error, Result};

/// Whether the person belongs to the audience.
pub(super) fn holds(audience: &Json, person: &Person<'_>, scope: &Scope) -> Result<bool> {
    let map = object(audience)?;
    if map.contains_key("all") {
        only(map, &["all"])?;
        for part in list(map, "all")? {
            if !holds(part, person, scope)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    if map.contains_key("any") {
        only(map, &["any"])?;
        for part in list(map, "any")? {
            if holds(part, person, scope)? {
                return Ok(true);
            }
        }
        return Ok(false);
    }
    if let Some(part) = map.get("not") {
        only(map, &["not"])?;
        return Ok(!holds(part, person, scope)?);
    }
    if map.contains_key("did") {
        return did(map, person, scope);
    }
    if map.contains_key("property") {
        let condition = Condition::read(map)?;
        let value = match text(map, "which")? {
            Some("first") => person.first(&condition.property, scope.as_of),
            _ => person.latest(&condition.property, scope.as_of),
        };
        return Ok(condition.holds(value));
    }
    if let Some(range) = map.get("seen") {
        let range = Range::read(object(range)?, &scope.zone)?;
        return Ok(person.events.iter().any(|e| e.time <= scope.as_of && range.holds(e.time)));
    }
    if let Some(wanted) = map.get("identified").and_then(Json::as_bool) {
        return Ok(person.identified == wanted);
    }
    if let Some(name) = map.get("audience") {
        return Err(Error::invalid("unknown_audience", format!("there is no audience {name}")));
    }
    Err(wrong(&format!("the audience {audience}")))
}

fn did(map: &serde_json::Map<String, Json>, person: &Person<'_>, scope: &Scope) -> Result<bool> {
    only(map, &["did", "at_least", "at_most", "from", "to", "where"])?;
    let pattern = Pattern::read(map, "did")?;
    let range = Range::read(map, &scope.zone)?;
    let times = person
        .events
        .iter()
        .filter(|e| e.time <= scope.as_of && range.holds(e.time) && pattern.matches(e))
        .count();
    let at_most = whole(map, "at_most")?;
    // "At most" alone is true of those who never did it.
    let at_least = whole(map, "at_least")?.unwrap_or(usize::from(at_most.is_none()));
    Ok(at_least <= times && at_most.is_none_or(|most| times <= most))
}
