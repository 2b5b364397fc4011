//! Audiences and reports that were given a name: a file beside the data, replaced as a whole with every change.

use std::path::Path;

use super::keys::{checked, discard, read_checked, replace};
use super::reports::check_query;
use crate::disk::{RealVfs, Vfs};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::model::Json;
use crate::report::{Audience, Node, Saved, SavedReport};

const FILE: &str = "saved.json";
const FILE_NEW: &str = "saved.json.new";

/// What a saved definition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SavedKind {
    /// An audience.
    Audience,
    /// A report.
    Report,
}

/// The saved definitions of the store in `dir`.
pub fn load(dir: &Path) -> Result<Saved> {
    load_on(&RealVfs::new(dir)?)
}

/// The same on any disk.
pub fn load_on(vfs: &dyn Vfs) -> Result<Saved> {
    let hint = "restore the file from a backup, or remove it to begin anew";
    Ok(read_checked(vfs, FILE, hint)?.unwrap_or_default())
}

/// Puts them in the store directory `dir`.
pub fn store(dir: &Path, saved: &Saved) -> Result<()> {
    replace(dir, FILE, FILE_NEW, &checked(FILE, saved)?)
}

/// Removes what an attempt to store them has left in `dir`.
pub fn discard_attempt(dir: &Path) -> Result<()> {
    discard(&RealVfs::new(dir)?, FILE_NEW)
}

/// `saved` with the definition in `body` under `name`, if everything in it is well defined then.
pub fn with(saved: &Saved, kind: SavedKind, name: &str, body: &str) -> Result<Saved> {
    let name = name.trim().to_owned();
    if name.is_empty() || name.chars().count() > limits::NAME_CHARS_MAX {
        let message = format!("a name has 1 to {} characters", limits::NAME_CHARS_MAX);
        return Err(Error::invalid("bad_name", message));
    }
    if body.len() > limits::SAVED_BYTES_MAX {
        let message = format!("a saved definition has at most {} bytes", limits::SAVED_BYTES_MAX);
        return Err(Error::new(ErrorKind::TooLarge, "too_large", message));
    }
    let mut next = saved.clone();
    let mut fields = Node::parse(body)?.object()?;
    let count = match kind {
        SavedKind::Audience => {
            next.audiences.insert(name.clone(), fields.require("people")?.to_text());
            next.audiences.len()
        }
        SavedKind::Report => {
            let report = fields.require("report")?.text()?;
            let query = fields.require("query")?.to_text();
            next.reports.insert(name.clone(), SavedReport { report, query });
            next.reports.len()
        }
    };
    fields.end()?;
    if count > limits::SAVED_MAX {
        return Err(Error::invalid("too_many", format!("there are {} of them already", limits::SAVED_MAX)));
    }
    // First itself, so that its own mistake is the one that is told; then whatever refers to it.
    check_one(&next, kind, &name)?;
    check_all(&next)?;
    Ok(next)
}

/// `saved` without the definition under `name`; an error if there is none or if another needs it.
pub fn without(saved: &Saved, kind: SavedKind, name: &str) -> Result<Saved> {
    let mut next = saved.clone();
    let removed = match kind {
        SavedKind::Audience => next.audiences.remove(name).is_some(),
        SavedKind::Report => next.reports.remove(name).is_some(),
    };
    if !removed {
        return Err(nothing(kind, name));
    }
    check_all(&next).map_err(|e| {
        Error::new(ErrorKind::Conflict, "in_use", format!("\"{name}\" is used by another definition: {e}"))
            .hint("change or delete that one first")
    })?;
    Ok(next)
}

fn check_one(saved: &Saved, kind: SavedKind, name: &str) -> Result<()> {
    match kind {
        SavedKind::Audience => match saved.audiences.get(name) {
            Some(text) => {
                let audience = Audience::from_json(text, &saved.time.zone, saved);
                audience.map(drop).map_err(|e| e.within("people"))
            }
            None => Ok(()),
        },
        SavedKind::Report => match saved.reports.get(name) {
            Some(report) => check_query(&report.report, &report.query, saved).map_err(|e| e.within("query")),
            None => Ok(()),
        },
    }
}

fn check_all(saved: &Saved) -> Result<()> {
    for name in saved.audiences.keys() {
        check_one(saved, SavedKind::Audience, name).map_err(|e| e.within(name))?;
    }
    for name in saved.reports.keys() {
        check_one(saved, SavedKind::Report, name).map_err(|e| e.within(name))?;
    }
    Ok(())
}

fn nothing(kind: SavedKind, name: &str) -> Error {
    let what = if kind == SavedKind::Audience { "audience" } else { "report" };
    Error::new(ErrorKind::NotFound, "unknown_name", format!("no saved {what} \"{name}\""))
}

/// The definition under `name` as it was sent.
pub fn get(saved: &Saved, kind: SavedKind, name: &str) -> Result<String> {
    let found = match kind {
        SavedKind::Audience => saved.audiences.get(name).map(|text| audience(text)),
        SavedKind::Report => saved.reports.get(name).map(report),
    };
    found.map(|json| json.map(|json| json.to_string())).unwrap_or_else(|| Err(nothing(kind, name)))
}

/// All of a kind, by name.
pub fn list(saved: &Saved, kind: SavedKind) -> Result<String> {
    let named = |name: &String, json: Result<Json>| {
        let mut json = json?;
        json.set("name", name.as_str().into());
        Ok(json)
    };
    let (field, all) = match kind {
        SavedKind::Audience => (
            "audiences",
            saved.audiences.iter().map(|(n, t)| named(n, audience(t))).collect::<Result<Vec<_>>>()?,
        ),
        SavedKind::Report => {
            ("reports", saved.reports.iter().map(|(n, r)| named(n, report(r))).collect::<Result<Vec<_>>>()?)
        }
    };
    Ok(Json::object([(field, all.into())]).to_string())
}

fn kept(text: &str) -> Result<Json> {
    Json::parse(text).map_err(|e| Error::corrupt(FILE, 0, e))
}

fn audience(text: &str) -> Result<Json> {
    Ok(Json::object([("people", kept(text)?)]))
}

fn report(saved: &SavedReport) -> Result<Json> {
    Ok(Json::object([("report", saved.report.as_str().into()), ("query", kept(&saved.query)?)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_kept_while_they_are_needed() {
        let put = |saved: &Saved, kind, name: &str, body: &str| with(saved, kind, name, body);
        let (a, r) = (SavedKind::Audience, SavedKind::Report);
        let empty = Saved::default();
        let one = put(&empty, a, "Payers", r#"{"people":{"did":"Purchased","at_least":2}}"#).unwrap();
        let two = put(&one, a, "Others", r#"{"people":{"not":{"audience":"Payers"}}}"#).unwrap();
        assert_eq!(without(&two, a, "Payers").unwrap_err().code(), "in_use");
        let report = r#"{"report":"funnel","query":{"steps":[{"event":"A"}],"by":"audience:Others"}}"#;
        let three = put(&two, r, "F", report).unwrap();
        assert_eq!(without(&three, a, "Others").unwrap_err().code(), "in_use");
        assert_eq!(get(&three, a, "Payers").unwrap(), r#"{"people":{"did":"Purchased","at_least":2}}"#);
        assert!(without(&three, r, "F").is_ok_and(|s| without(&s, a, "Others").is_ok()));
        for (kind, name, body, code) in [
            (a, "Payers", r#"{"people":{"audience":"Others"}}"#, "circular"),
            (a, "X", r#"{"people":{"audience":"Nobody"}}"#, "unknown_audience"),
            (a, "", r#"{"people":{"identified":true}}"#, "bad_name"),
            (a, "X", r#"{"pepole":{}}"#, "missing_field"),
            (r, "X", r#"{"report":"pie","query":{}}"#, "no_such_report"),
            (r, "X", r#"{"report":"funnel","query":{"steps":[]}}"#, "out_of_range"),
        ] {
            assert_eq!(with(&three, kind, name, body).unwrap_err().code(), code, "{body}");
        }
    }
}
