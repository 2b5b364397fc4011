//! Prints how many bytes of a store's segments each kind of content takes, as JSON.
//!
//! `cargo run --release --example sizes -- STORE`

use std::path::Path;
use std::process::ExitCode;

use whodid::engine::read_only;
use whodid::model::NameId;
use whodid::store::segment::Directory;
use whodid::{Error, Result};

fn main() -> ExitCode {
    match std::env::args()
        .nth(1)
        .ok_or_else(|| Error::invalid("usage", "which store?"))
        .and_then(|d| sizes(&d))
    {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn sizes(dir: &str) -> Result<String> {
    let snapshot = read_only(Path::new(dir))?;
    let mut total = [0u64; PARTS.len()];
    for segment in snapshot.segments.iter() {
        for (total, bytes) in total.iter_mut().zip(of_segment(segment.directory())) {
            *total += bytes;
        }
    }
    let fields: Vec<String> =
        PARTS.iter().zip(total).map(|(part, bytes)| format!("\"{part}\":{bytes}")).collect();
    Ok(format!("{{{}}}", fields.join(",")))
}

/// The parts of a segment; what is left are its directory and footer.
const PARTS: [&str; 7] = [
    "events: postings, times, properties",
    "events: person sets",
    "sets and identifies",
    "dictionaries",
    "members",
    "filter",
    "record ids",
];

fn of_segment(directory: &Directory) -> [u64; PARTS.len()] {
    let (mut events, mut sets, mut others) = (0, 0, 0);
    for name in &directory.names {
        let blocks: u64 = name.chunks.iter().map(|chunk| chunk.block.length).sum();
        if [NameId::SET, NameId::IDENTIFY].contains(&NameId(name.name)) {
            others += blocks + name.persons.length;
        } else {
            events += blocks;
            sets += name.persons.length;
        }
    }
    let dictionaries = directory.properties.iter().map(|property| property.dictionary.length).sum();
    let members = directory.members.iter().map(|members| members.members.length).sum();
    [events, sets, others, dictionaries, members, directory.filter.length, directory.record_ids.length]
}
