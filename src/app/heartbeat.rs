//! Whether events still come: a project is silent when its latest event is at least twice as old as its longest pause in the four weeks
//! before it, and at least two hours.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::App;
use crate::engine::Snapshot;
use crate::error::Result;
use crate::exec::pauses;
use crate::model::{Millis, NameId};

const HOUR: Millis = 3_600_000;

/// The latest event of a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Its time.
    pub last: Millis,
    /// How long ago that is.
    pub age: Millis,
    /// The longest pause before it, if no event has come for longer than is usual.
    pub silent: Option<Millis>,
}

/// The longest pause as it was found last, for the number of events and the latest of them that it was found for.
#[derive(Default)]
pub struct Known(Mutex<Option<((u64, Millis), Millis)>>);

impl Known {
    fn pause(&self, snapshot: &Snapshot, last: Millis) -> Result<Millis> {
        let others = snapshot.rows_of(NameId::SET) + snapshot.rows_of(NameId::IDENTIFY);
        let now = (snapshot.rows() - others, last);
        let known = *self.known();
        if let Some((of, pause)) = known
            && of == now
        {
            return Ok(pause);
        }
        // Nobody waits for whoever reads the rows of four weeks.
        let pause = pauses::longest(snapshot, last)?;
        *self.known() = Some((now, pause));
        Ok(pause)
    }

    fn known(&self) -> MutexGuard<'_, Option<((u64, Millis), Millis)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl App {
    /// When the latest event was, and whether that is too long ago; `None` if none ever came.
    pub fn heartbeat(&self) -> Result<Option<Heartbeat>> {
        let snapshot = self.snapshot();
        let Some(last) = pauses::latest(&snapshot) else { return Ok(None) };
        let age = self.now().saturating_sub(last).max(0);
        let mut silent = None;
        if age >= 2 * HOUR {
            let usual = self.known_pause.pause(&snapshot, last)?;
            silent = Some(usual).filter(|usual| age >= 2 * usual);
        }
        Ok(Some(Heartbeat { last, age, silent }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Record, RecordKind};

    #[test]
    fn what_is_found_of_events_is_known_until_another_comes() {
        let dir = tempfile::tempdir().unwrap();
        let app = App::open(dir.path()).unwrap();
        let now = app.now();
        let send = |kind: RecordKind, hours: Millis| {
            let time = Some(now - hours * HOUR);
            let (name, properties) = match kind {
                RecordKind::Event => ("Did".to_owned(), Vec::new()),
                _ => (String::new(), vec![("Plan".to_owned(), "Pro".into())]),
            };
            let record = Record { kind, identity: "a".to_owned(), name, time, properties, id: None };
            app.engine().write(vec![record]).unwrap();
        };
        let pause = || {
            let snapshot = app.snapshot();
            app.known_pause.pause(&snapshot, pauses::latest(&snapshot).unwrap()).unwrap()
        };
        send(RecordKind::Event, 3);
        send(RecordKind::Event, 5);
        assert_eq!(pause(), 2 * HOUR);
        // What nobody can have found in rows: it is what was known.
        app.known_pause.known().as_mut().unwrap().1 = 7 * HOUR;
        send(RecordKind::Set, 1);
        assert_eq!(pause(), 7 * HOUR);
        send(RecordKind::Event, 9);
        assert_eq!(pause(), 4 * HOUR);
    }
}
