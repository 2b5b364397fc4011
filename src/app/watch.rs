//! Looks every few seconds whether the disk fills up or records stay away, and writes it to the log when that changes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::App;
use super::space::Room;
use crate::error::{Error, ErrorKind, Result};

/// How often it looks.
const PAUSE: Duration = Duration::from_secs(2);

/// The watching thread. Dropping it ends it.
pub struct Watch {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Watches `app`; records stay away if none came for `silent_after`.
    pub fn start(app: Arc<App>, silent_after: Option<Duration>) -> Result<Self> {
        let (stop, stopped) = bounded(0);
        let (room, begun) = (Room::Enough, Instant::now());
        let look = Look { silent_after, room, silent: false, no_reserve: false, begun };
        let thread = thread::Builder::new().name("watch".into()).spawn(move || look.run(&app, &stopped));
        let thread = thread.map_err(|e| {
            Error::new(ErrorKind::Io, "thread", format!("cannot start the watch thread: {e}"))
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("the watch thread had panicked");
        }
    }
}

struct Look {
    silent_after: Option<Duration>,
    room: Room,
    silent: bool,
    no_reserve: bool,
    begun: Instant,
}

impl Look {
    fn run(mut self, app: &App, stopped: &Receiver<()>) {
        loop {
            self.at_room(app.room());
            self.at_reserve(app);
            self.at_silence(app.silence(self.begun.elapsed()));
            if stopped.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    fn at_room(&mut self, found: Result<(Room, u64)>) {
        let (room, free) = match found {
            Ok(found) => found,
            Err(error) => return log::error!("cannot see how much room the disk has: {error}"),
        };
        if room == std::mem::replace(&mut self.room, room) {
            return;
        }
        let free = free >> 20;
        match room {
            Room::Enough => log::info!("the disk has room again: {free} MiB are free"),
            Room::Low => log::warn!("the disk fills up: {free} MiB are free"),
            Room::Full => {
                log::error!("the disk is full: {free} MiB are free; records are refused until there is room")
            }
        }
    }

    /// A reserve that was used is set aside again.
    fn at_reserve(&mut self, app: &App) {
        let failed = app.keep_reserve().err();
        if let Some(error) = failed.as_ref().filter(|_| !self.no_reserve) {
            log::warn!("no reserve of room could be set aside: {error}");
        }
        self.no_reserve = failed.is_some();
    }

    fn at_silence(&mut self, silence: Duration) {
        let silent = self.silent_after.is_some_and(|most| silence > most);
        if silent != std::mem::replace(&mut self.silent, silent) {
            match silent {
                true => log::warn!("no record has come for {} minutes", silence.as_secs() / 60),
                false => log::info!("records come again"),
            }
        }
    }
}

impl App {
    /// How long no record has come, if none came since the start, `open` ago, that long.
    fn silence(&self, open: Duration) -> Duration {
        let last = self.engine.meters().last_stored.load(Ordering::Relaxed);
        let ago = u64::try_from(self.now().saturating_sub(last)).unwrap_or(0);
        if last == 0 { open } else { Duration::from_millis(ago) }
    }
}
