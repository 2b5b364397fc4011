//! When something happened last, and how long the pauses before it were.

use crate::engine::Snapshot;
use crate::error::Result;
use crate::model::Millis;

const HOUR: Millis = 3_600_000;
/// The hours that are looked at: four weeks, so that nights, weekends and a holiday are usual.
const HOURS: usize = 28 * 24;

/// The time of the latest event; `None` if there is none.
pub fn latest(snapshot: &Snapshot) -> Option<Millis> {
    let (runs, segments) = (snapshot.runs(), &snapshot.segments);
    let names = snapshot.catalog.events();
    let latest = |name| {
        let stored = segments.iter().filter_map(|s| s.name_entry(s.find_name(name)?)).map(|e| e.time_max);
        stored.chain(runs.iter().flat_map(|r| r.of_name(name)).map(|row| row.time)).max()
    };
    names.filter_map(|(name, _)| latest(name)).max()
}

/// The longest time without an event in the four weeks up to `last`, in whole hours.
pub fn longest(snapshot: &Snapshot, last: Millis) -> Result<Millis> {
    let mut busy = [false; HOURS];
    let mut seen = |time: Millis| {
        let ago = usize::try_from(last.saturating_sub(time) / HOUR).ok();
        if let Some(hour) = ago.and_then(|ago| busy.get_mut(ago)) {
            *hour = true;
        }
    };
    let since = last.saturating_sub(HOURS as Millis * HOUR);
    for (name, _) in snapshot.catalog.events() {
        for segment in snapshot.segments.iter() {
            let Some(at) = segment.find_name(name) else { continue };
            if segment.name_entry(at).is_none_or(|entry| entry.time_max <= since) {
                continue;
            }
            segment.each_row(at, &mut |block, row, owner| seen(block.time(row, owner)))?;
        }
        snapshot.runs().iter().flat_map(|r| r.of_name(name)).for_each(|row| seen(row.time));
    }
    let hours: Vec<usize> =
        busy.iter().enumerate().filter(|(_, busy)| **busy).map(|(hour, _)| hour).collect();
    let longest = hours.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
    Ok(longest as Millis * HOUR)
}
