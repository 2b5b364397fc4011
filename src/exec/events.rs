//! The list of events: how often, by how many people, first and last.

use serde::Serialize;

use super::rows::span_of;
use super::scope::View;
use crate::error::Result;
use crate::model::format_millis;

/// Every event.
#[derive(Clone, Debug, Serialize)]
pub struct EventList {
    /// By name.
    pub events: Vec<EventCount>,
    /// Names that differ only in case, which is likely a mistake.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// One event.
#[derive(Clone, Debug, Serialize)]
pub struct EventCount {
    /// Its name.
    pub event: String,
    /// How often it was done.
    pub count: u64,
    /// By how many people.
    pub people: u64,
    /// First time.
    pub first: String,
    /// Last time.
    pub last: String,
}

/// Lists the events of a view that holds all of their names.
pub fn list(view: &View) -> Result<EventList> {
    let snapshot = &view.source.snapshot;
    let mut events = Vec::new();
    for (name, text) in snapshot.catalog.events() {
        let settled = view.settled.persons(name)? - &view.overlay.touched;
        let people = settled.len() + view.overlay.persons(&view.source, &view.settled, name)?.len();
        if let Some((first, last)) = span_of(snapshot, view.source.runs(), name) {
            events.push(EventCount {
                event: text.to_owned(),
                count: snapshot.rows_of(name),
                people,
                first: format_millis(first),
                last: format_millis(last),
            });
        }
    }
    events.sort_by(|a, b| a.event.cmp(&b.event));
    let mut warnings = Vec::new();
    let mut folded: Vec<(String, &str)> =
        events.iter().map(|e| (e.event.to_lowercase(), e.event.as_str())).collect();
    folded.sort_unstable();
    for pair in folded.windows(2) {
        if let [(a, first), (b, second)] = pair
            && a == b
        {
            warnings.push(format!("\"{first}\" and \"{second}\" differ only in case and are two events"));
        }
    }
    Ok(EventList { events, warnings })
}
