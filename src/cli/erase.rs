//! The `erase` command: shows what would be gone, asks, and erases.

use std::path::Path;

use super::args::Erase;
use super::format::counted;
use super::{answer, output};
use crate::app::{App, Reports};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Json;

/// Erases the persons of some identities for good.
pub fn run(data: &Path, args: &Erase) -> Result<()> {
    preview(data, &args.identities)?;
    if !args.yes && !output::confirmed("Erase them for good? It cannot be undone. Type yes:")? {
        return Err(Error::invalid("not_confirmed", "nobody was erased").hint("say --yes to do it"));
    }
    super::change(data, |app: &App| {
        let receipt = app.erase(&args.identities)?;
        if args.json {
            let text = serde_json::to_string(&receipt);
            return output::line(&text.map_err(|e| Error::new(ErrorKind::Io, "encoding", e.to_string()))?);
        }
        let erased = receipt.erased;
        output::line(&format!(
            "erased at {}: {} with {}, {}, {}, {}, {} and {} that named them; {} written anew",
            receipt.at,
            counted(erased.people, "person", "people"),
            counted(erased.identities, "identity", "identities"),
            counted(erased.events, "event", "events"),
            counted(erased.sets, "set", "sets"),
            counted(erased.identifies, "identify", "identifies"),
            counted(erased.refusals, "refusal", "refusals"),
            counted(receipt.saved as u64, "saved definition", "saved definitions"),
            counted(erased.segments, "segment", "segments")
        ))
    })
}

/// Says what there is of each person.
fn preview(data: &Path, identities: &[String]) -> Result<()> {
    let snapshot = crate::engine::read_only(data)?;
    let reports = Reports::new(Default::default());
    for identity in identities {
        let person = Json::parse(&reports.person(&snapshot, identity)?)?;
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
