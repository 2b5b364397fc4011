//! Whether events still come: a project is silent when its latest event is at least twice as old as its longest pause in the four weeks
//! before it, and at least two hours.

use std::sync::{Mutex, PoisonError};

use super::App;
use crate::engine::Snapshot;
use crate::error::Result;
use crate::exec::pauses;
use crate::model::Millis;

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

/// The longest pause as it was found last, for the records and the latest event it was found for.
#[derive(Default)]
pub struct Known(Mutex<Option<((u64, Millis), Millis)>>);

impl Known {
    fn pause(&self, snapshot: &Snapshot, last: Millis) -> Result<Millis> {
        let (mut known, now) =
            (self.0.lock().unwrap_or_else(PoisonError::into_inner), (snapshot.rows(), last));
        if let Some((of, pause)) = *known
            && of == now
        {
            return Ok(pause);
        }
        let pause = pauses::longest(snapshot, last)?;
        *known = Some((now, pause));
        Ok(pause)
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
