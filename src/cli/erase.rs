//! The `erase` command: shows what would be gone, asks, and erases.

use std::path::Path;

use super::args::Erase;
use super::output;
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
            "erased at {}: {} people with {} identities, {} events, {} sets, {} identifies, {} refusals and {} saved \
             definitions that named them; {} segments written anew",
            receipt.at,
            erased.people,
            erased.identities,
            erased.events,
            erased.sets,
            erased.identifies,
            erased.refusals,
            receipt.saved,
            erased.segments
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
        let seen = |field: &str| person[field].as_str().unwrap_or("never").to_owned();
        output::note(&format!(
            "{}: {} identities, {} properties, {} events, first seen {}, last seen {}",
            super::table::visible(person["person"].as_str().unwrap_or(identity)),
            of("identities"),
            person["properties"].as_object().map_or(0, <[_]>::len),
            person["events"],
            seen("first_seen"),
            seen("last_seen"),
        ));
    }
    Ok(())
}
