//! The live view: records as they become durable and refusals as they happen, as server-sent events.

use std::io::{self, Write};
use std::time::Duration;

use crate::engine::feed::{Feed, Happening};
use crate::engine::{Engine, Snapshot};
use crate::error::Result;
use crate::model::{Json, NameId, PersonId, PropertyId, format_millis};
use crate::store::refusals::Refusal;
use crate::store::row::Row;

/// A sign of life after this long without anything else: proxies end what is silent for a minute.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Happenings sent at once, and the pause behind a full batch: bounds what one watcher costs.
const BATCH: usize = 500;
/// See [`BATCH`].
const PAUSE: Duration = Duration::from_millis(50);
/// Time after which a client that lost the connection should come back, in milliseconds.
const RETRY_MS: u32 = 2000;

/// What a watcher wants to see.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// Only this event.
    pub event: Option<String>,
    /// Only this person, by any identity.
    pub person: Option<String>,
    /// What came after the happening of this number first.
    pub since: Option<u64>,
}

/// Sends what happens until the watcher leaves, the feed is closed, or `may` says that it is none of theirs any more: that is asked before
/// anything is sent, and with each sign of life.
pub fn watch(engine: &Engine, watch: &Watch, may: &dyn Fn() -> bool, out: &mut dyn Write) -> io::Result<()> {
    let feed: &Feed = engine.feed();
    let mut last = watch.since.unwrap_or_else(|| feed.last());
    write!(out, "retry: {RETRY_MS}\n\n")?;
    out.flush()?;
    loop {
        let batch = feed.after(last, BATCH, HEARTBEAT);
        if !may() {
            return Ok(());
        }
        let full = batch.happenings.len() == BATCH;
        if batch.missed != Some(0) {
            let before = batch.happenings.first().map_or(batch.last, |(number, _)| number - 1);
            write_event(
                out,
                before,
                "gap",
                &Json::object([("missed", batch.missed.map_or(Json::Null, Json::from))]),
            )?;
        } else if batch.happenings.is_empty() {
            out.write_all(b": nothing new\n\n")?;
        }
        last = batch.last;
        // Taken after the batch, so it has every row of it.
        let snapshot = engine.snapshot();
        for (number, happening) in batch.happenings {
            match shown(&snapshot, watch, &happening) {
                Ok(Some((kind, data))) => write_event(out, number, kind, &data)?,
                Ok(None) => {}
                Err(e) => return Err(io::Error::other(e.to_string())),
            }
        }
        out.flush()?;
        if batch.closed {
            return Ok(());
        }
        if full {
            std::thread::sleep(PAUSE);
        }
    }
}

/// JSON has no line ends, so one `data` line holds it.
fn write_event(out: &mut dyn Write, number: u64, kind: &str, data: &Json) -> io::Result<()> {
    write!(out, "id: {number}\nevent: {kind}\ndata: {data}\n\n")
}

/// The kind and the data of a happening, if it is wanted.
fn shown(snapshot: &Snapshot, watch: &Watch, happening: &Happening) -> Result<Option<(&'static str, Json)>> {
    match happening {
        // Erased since it was taken from the feed.
        Happening::Stored(row) if snapshot.persons.is_erased(row.identity) => Ok(None),
        Happening::Stored(row) => {
            let person = snapshot.persons.person_of(row.identity);
            let event = snapshot.catalog.event_name(row.name);
            let other_event = watch.event.as_deref().is_some_and(|wanted| wanted != event);
            if other_event || !wants_person(snapshot, watch, Some(person))? {
                return Ok(None);
            }
            Ok(Some(("record", record(snapshot, person, row)?)))
        }
        Happening::Refused(refusal) => {
            let person = snapshot.find_person(refusal.identity.trim())?;
            let same_text = watch.person.as_deref() == Some(refusal.identity.as_str());
            if watch.event.as_deref().is_some_and(|wanted| wanted != refusal.name)
                || !(same_text || wants_person(snapshot, watch, person)?)
            {
                return Ok(None);
            }
            Ok(Some(("refusal", refused(refusal))))
        }
    }
}

/// Looked up each time: the person may come to be, or be merged, while somebody watches.
fn wants_person(snapshot: &Snapshot, watch: &Watch, person: Option<PersonId>) -> Result<bool> {
    match &watch.person {
        None => Ok(true),
        Some(wanted) => Ok(person.is_some() && snapshot.find_person(wanted.trim())? == person),
    }
}

fn record(snapshot: &Snapshot, person: PersonId, row: &Row) -> Result<Json> {
    let mut out = Json::object([]);
    let mut put = |name: &str, value: Json| out.set(name, value);
    put(
        "type",
        match row.name {
            NameId::SET => "set",
            NameId::IDENTIFY => "identify",
            _ => "event",
        }
        .into(),
    );
    put("person", snapshot.display(person)?.into());
    put("identity", snapshot.identity(row.identity)?.into());
    if row.name.is_event() {
        put("event", snapshot.catalog.event_name(row.name).into());
    }
    if row.name == NameId::IDENTIFY {
        put("to", snapshot.identity(row.target)?.into());
    }
    put("time", format_millis(row.time).into());
    let mut properties = Vec::new();
    for (property, value) in row.properties() {
        if property != PropertyId::RECORD_ID {
            let name = snapshot.catalog.property_name(property).to_owned();
            properties.push((name, Json::from(&value.to_owned())));
        }
    }
    put("properties", Json::Object(properties));
    Ok(out)
}

fn refused(refusal: &Refusal) -> Json {
    let text = |text: &str| Json::from(text);
    Json::object([
        ("reason", text(&refusal.reason)),
        ("message", text(&refusal.message)),
        ("time", format_millis(refusal.time).into()),
        ("record", Json::object([("identity", text(&refusal.identity)), ("name", text(&refusal.name))])),
    ])
}
