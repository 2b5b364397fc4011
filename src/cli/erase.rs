//! The `erase` command: shows what would be gone, asks, and erases.

use std::path::Path;

use super::format::counted;
use super::removal_args::Erase;
use super::{answer, output, running};
use crate::app::{App, Reports};
use crate::error::{Error, ErrorKind, Result};
use crate::http::message::Method;
use crate::model::{Json, Millis};

/// Erases the persons of some identities for good.
pub fn run(data: &Path, args: &Erase) -> Result<()> {
    preview(data, &args.identities)?;
    if !args.yes {
        output::make_sure("Erase them for good? It cannot be undone. Type yes:", "nobody was erased")?;
    }
    let here = |app: &App| {
        let receipt = serde_json::to_value(app.erase(&args.identities)?);
        let receipt = receipt.map_err(|e| Error::new(ErrorKind::Io, "encoding", e.to_string()))?;
        tell(&receipt.into(), args.json)
    };
    running::change(data, here, |server| {
        let mut erased = false;
        for identity in &args.identities {
            match server.ask_of(Method::Delete, identity, "", "") {
                // One person with the one before it.
                Err(error) if erased && error.code() == running::UNKNOWN => {}
                // At once: it is the proof, whatever becomes of the others.
                receipt => tell(&receipt?, args.json)?,
            }
            erased = true;
        }
        Ok(())
    })
}

/// Prints what was erased.
fn tell(receipt: &Json, json: bool) -> Result<()> {
    if json {
        return output::line(&receipt.to_string());
    }
    let erased = |field: &str, one: &str, more: &str| answer::counted(&receipt["erased"], field, one, more);
    output::line(&format!(
        "erased at {}: {} with {}, {}, {}, {}, {} and {} that named them; {} written anew",
        receipt["at"].as_str().unwrap_or_default(),
        erased("people", "person", "people"),
        erased("identities", "identity", "identities"),
        erased("events", "event", "events"),
        erased("sets", "set", "sets"),
        erased("identifies", "identify", "identifies"),
        erased("refusals", "refusal", "refusals"),
        answer::counted(receipt, "saved", "saved definition", "saved definitions"),
        erased("segments", "segment", "segments")
    ))
}

/// Says what there is of each person.
fn preview(data: &Path, identities: &[String]) -> Result<()> {
    let snapshot = crate::engine::read_only(data)?;
    let reports = Reports::new(Default::default());
    for identity in identities {
        // All of it is erased, what a clock ahead has sent too.
        let person = Json::parse(&reports.person(&snapshot, identity, Millis::MAX)?)?;
        let of = |field: &str| person[field].as_array().map_or(0, <[_]>::len);
        let properties = person["properties"].as_object().map_or(0, <[_]>::len);
        let seen = |field: &str| person[field].as_str().unwrap_or("never").to_owned();
        output::note(&format!(
            "{}: {}, {}, {}, first seen {}, last seen {}",
            super::table::visible(person["person"].as_str().unwrap_or(identity)),
            counted(of("identities") as u64, "identity", "identities"),
            counted(properties as u64, "property", "properties"),
            answer::counted(&person, "events", "event", "events"),
            seen("first_seen"),
            seen("last_seen"),
        ));
    }
    Ok(())
}
