//! The list of events: how often, by how many people, first and last.

use serde::Serialize;

use super::rows::span_of;
use super::scope::{Scope, View, map_scopes};
use crate::error::{Error, Result};
use crate::limits;
use crate::model::{Millis, NameId, format_millis, json_text_len, within};
use crate::store::catalog::Catalog;
use crate::threads::go_on;

/// Pairs of names that differ only in case which are warned of one by one: more of them are no slip.
const WARNED_MAX: usize = 50;

/// Every event.
#[derive(Clone, Debug, Serialize)]
pub struct EventList {
    /// By name.
    pub events: Vec<EventCount>,
    /// Where the next part begins, if this is not the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
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

/// What is counted of one event.
struct Counted {
    count: u64,
    people: u64,
    first: Millis,
    last: Millis,
}

/// What is known of an event without looking at its rows; nothing if there are none.
fn known(view: &View, name: NameId) -> Result<Option<Counted>> {
    let snapshot = &view.source.snapshot;
    let Some((first, last)) = span_of(snapshot, view.source.runs(), name) else { return Ok(None) };
    let settled = view.settled.persons(name)? - &view.overlay.touched;
    let people = settled.len() + view.overlay.persons(&view.source, &view.settled, name)?.len();
    Ok(Some(Counted { count: snapshot.rows_of(name), people, first, last }))
}

/// The same of its rows that are not later than `now`.
fn until(view: &View, name: NameId, now: Millis) -> Result<Option<Counted>> {
    let work = |scope: &Scope<'_>| {
        let cell = scope.cell(name)?;
        let mut part = Counted { count: 0, people: 0, first: Millis::MAX, last: Millis::MIN };
        for (rank, _) in cell.persons.iter().enumerate().filter(|(_, person)| scope.holds(**person)) {
            let times = cell.times(rank);
            let seen = times.get(..times.partition_point(|time| *time <= now)).unwrap_or(&[]);
            let (Some(first), Some(last)) = (seen.first(), seen.last()) else { continue };
            part.count += seen.len() as u64;
            part.people += 1;
            part.first = part.first.min(*first);
            part.last = part.last.max(*last);
        }
        Ok(part)
    };
    let mut all = Counted { count: 0, people: 0, first: Millis::MAX, last: Millis::MIN };
    map_scopes(&view.scopes(&[name])?, work, |part| {
        all.count += part.count;
        all.people += part.people;
        all.first = all.first.min(part.first);
        all.last = all.last.max(part.last);
        Ok(())
    })?;
    Ok(Some(all).filter(|all| all.count > 0))
}

/// Lists the events of a view that holds all of their names, as far as they are not later than `now`.
pub fn list(view: &View, now: Millis) -> Result<EventList> {
    let mut events = Vec::new();
    for (name, text) in view.source.snapshot.catalog.events() {
        go_on()?;
        let mut counted = known(view, name)?;
        // Few clocks are ahead, so rows are hardly ever looked at.
        if counted.as_ref().is_some_and(|all| all.last > now) {
            counted = until(view, name, now)?;
        }
        events.extend(counted.map(|Counted { count, people, first, last }| EventCount {
            event: text.to_owned(),
            count,
            people,
            first: format_millis(first),
            last: format_millis(last),
        }));
    }
    events.sort_by(|a, b| a.event.cmp(&b.event));
    let warnings = in_case(&events);
    Ok(EventList { events, cursor: None, warnings })
}

/// What names that differ only in case are warned of with.
fn in_case(events: &[EventCount]) -> Vec<String> {
    let mut folded: Vec<(String, &str)> =
        events.iter().map(|e| (e.event.to_lowercase(), e.event.as_str())).collect();
    folded.sort_unstable();
    let mut pairs = folded.windows(2).filter_map(|pair| match pair {
        [(a, first), (b, second)] if a == b => Some((*first, *second)),
        _ => None,
    });
    let warning =
        |(first, second)| format!("\"{first}\" and \"{second}\" differ only in case and are two events");
    let mut warnings: Vec<String> = pairs.by_ref().take(WARNED_MAX).map(warning).collect();
    let more = pairs.count();
    if more > 0 {
        warnings.push(format!("further pairs of names that differ only in case: {more}"));
    }
    warnings
}

impl EventList {
    /// The part of a whole list behind the event of `cursor`: as many as `limit` says and as fit into an answer.
    pub(super) fn part(mut self, catalog: &Catalog, limit: usize, cursor: Option<&str>) -> Result<Self> {
        if let Some(cursor) = cursor {
            let name = cursor.parse().map_or("", |id| catalog.event_name(NameId(id)));
            if name.is_empty() {
                return Err(Error::invalid("bad_cursor", "no cursor of this list").at("cursor"));
            }
            let begin = self.events.partition_point(|event| event.event.as_str() <= name);
            self.events.drain(..begin);
        }
        let first = self.events.iter().take(limit);
        let fits = within(first, limits::NAMES_LISTED_BYTES, |event| event.json_len()).count();
        if fits < self.events.len() {
            self.events.truncate(fits);
            let last = self.events.last().and_then(|last| catalog.event(&last.event));
            self.cursor = last.map(|name| name.0.to_string());
        }
        Ok(self)
    }
}

impl EventCount {
    /// Bytes of JSON.
    fn json_len(&self) -> usize {
        json_text_len(&self.event) + self.first.len() + self.last.len() + 96
    }
}
