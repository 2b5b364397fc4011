//! How long events are kept: for all, and for some by name. Who asked for less is served within an hour, by a thread that looks after it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::App;
use super::keys::{checked, read_checked, replace};
use crate::disk::{RealVfs, Vfs};
use crate::error::{Error, ErrorKind, Result};
use crate::exec::{events_before, span_of};
use crate::model::{Millis, format_millis};
use crate::report::Node;

const FILE: &str = "retention.json";
const FILE_NEW: &str = "retention.json.new";
const DAY: Millis = 86_400_000;
/// The longest time that makes sense: longer than any event is old.
const DAYS_MAX: u32 = 36_500;
/// How often events that have become too old are taken out.
const ROUND: Duration = Duration::from_secs(3600);
/// Not every hour for what an hour has added.
const PATIENCE: Millis = DAY;
/// A clock by which nothing has come for so long may be wrong.
const IDLE: Millis = 30 * DAY;
/// So does one that runs ahead by this between two rounds.
const LEAP: Millis = 3_600_000;
/// Time to set it right.
const HOLD: Duration = Duration::from_secs(24 * 3600);

/// How many days events are kept. `null` is for ever.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// All events but those below.
    pub days: Option<u32>,
    /// By name.
    pub events: BTreeMap<String, Option<u32>>,
}

impl Retention {
    /// That of the store in `dir`: for ever, if nothing was said.
    pub fn load(dir: &Path) -> Result<Self> {
        Self::load_on(&RealVfs::new(dir)?)
    }

    /// The same on any disk.
    pub fn load_on(vfs: &dyn Vfs) -> Result<Self> {
        let hint = "restore the file from a backup, or remove it to keep everything";
        Ok(read_checked(vfs, FILE, hint)?.unwrap_or_default())
    }

    /// What a JSON text says.
    pub fn from_json(text: &str) -> Result<Self> {
        let mut fields = Node::parse(text)?.object()?;
        let number = |node: Node| node.integer(1, u64::from(DAYS_MAX)).map(|days| days as u32);
        let days = fields.take("days").map(number).transpose()?;
        let mut events = BTreeMap::new();
        for (event, node) in fields.take("events").map_or_else(|| Ok(Vec::new()), Node::entries)? {
            events.insert(event, node.some().map(number).transpose()?);
        }
        fields.end()?;
        Ok(Self { days, events })
    }

    /// Itself, if all numbers of days make sense.
    pub fn checked(self) -> Result<Self> {
        let fine = |days: &u32| (1..=DAYS_MAX).contains(days);
        if std::iter::once(&self.days).chain(self.events.values()).flatten().all(fine) {
            return Ok(self);
        }
        let message = format!("a number of days from 1 to {DAYS_MAX} expected, or none for ever");
        Err(Error::invalid("out_of_range", message).at("days"))
    }

    fn store(&self, dir: &Path) -> Result<()> {
        replace(dir, FILE, FILE_NEW, &checked(FILE, self)?)
    }

    /// The instants before which events go, at `now`: of all events, and by name.
    fn oldest(&self, now: Millis) -> (Option<Millis>, BTreeMap<String, Millis>) {
        let before = |days: u32| now - Millis::from(days) * DAY;
        let by_name = self.events.iter();
        let by_name = by_name.map(|(name, days)| (name.clone(), days.map_or(Millis::MIN, before))).collect();
        (self.days.map(before), by_name)
    }
}

impl App {
    /// How long events are kept.
    pub fn retention(&self) -> Result<Retention> {
        Retention::load(&self.dir)
    }

    /// Changes how long events are kept, and takes out those that are too old; how many. If that cannot be done it stays as it was.
    pub fn retain(&self, retention: &Retention) -> Result<u64> {
        // What keeps events from being taken out is known before the rule is there: the next start would go by it.
        self.engine().flush()?;
        let before = self.retention().ok();
        retention.store(&self.dir)?;
        let removed = self.expire(0);
        if let (Err(_), Some(before)) = (&removed, before)
            && let Err(error) = before.store(&self.dir)
        {
            log::error!("how long events are kept stays as it was asked for: {error}");
        }
        removed.map_err(|error| {
            let message =
                format!("{}; nothing is kept of the change, but some events may be gone", error.message());
            Error::new(error.kind(), error.code(), message).hint("make sure of room, and ask again")
        })
    }

    /// How many events would be too old.
    pub fn too_old(&self, retention: &Retention) -> Result<u64> {
        let (snapshot, (all, by_name)) = (self.snapshot(), retention.oldest(self.now()));
        let before = |name| by_name.get(name).copied().or(all).filter(|before| *before > Millis::MIN);
        let names = snapshot.catalog.events().filter_map(|(id, name)| Some((id, before(name)?)));
        names.map(|(name, before)| events_before(&snapshot, name, before)).sum()
    }

    /// Whether it has events, and all are older.
    fn is_idle_since(&self, before: Millis) -> bool {
        let snapshot = self.snapshot();
        let runs = snapshot.runs();
        let last = |(name, _)| span_of(&snapshot, &runs, name).map(|(_, last)| last);
        snapshot.catalog.events().filter_map(last).max().is_some_and(|last| last < before)
    }

    /// Takes out the events that are too old, where some are by `patience` milliseconds; how many.
    pub fn expire(&self, patience: Millis) -> Result<u64> {
        let retention = self.retention()?;
        if retention == Retention::default() {
            return Ok(0);
        }
        let (all, by_name) = retention.oldest(self.now());
        self.engine().expire(all, &by_name, patience)
    }
}

/// Looks after the age of events until it is dropped, just before the store is closed.
pub struct Keeper {
    app: Weak<App>,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Begins to look after `app`, at once and every hour.
    pub fn start(app: &Arc<App>) -> Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let (app, looked_after) = (Arc::downgrade(app), Arc::downgrade(app));
        let thread = std::thread::Builder::new().name("keeper".into());
        let thread = thread.spawn(move || look_after(&looked_after, &stopped));
        let thread = thread.map_err(|e| {
            Error::new(ErrorKind::Io, "thread", format!("cannot start the keeper thread: {e}"))
        })?;
        Ok(Self { app, stop: Some(stop), thread: Some(thread) })
    }
}

fn look_after(app: &Weak<App>, stopped: &mpsc::Receiver<()>) {
    let mut trust = Trust::new();
    loop {
        let Some(app) = app.upgrade() else { return };
        match trust.of_clock(&app).and_then(|trusted| if trusted { app.expire(PATIENCE) } else { Ok(0) }) {
            Ok(0) => {}
            Ok(events) => log::info!("{events} events were older than they are kept"),
            // The next start goes on with it.
            Err(_) if stopped.try_recv() == Err(TryRecvError::Disconnected) => return,
            Err(error) => log::error!("events that are too old stay for now: {error}"),
        }
        drop(app);
        if stopped.recv_timeout(ROUND) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

/// Whether the clock may be gone by. One that is years ahead, as after a battery has died, would take everything out at once.
struct Trust {
    /// When it was last looked at: by a watch that cannot leap, and by the clock.
    seen: Option<(Instant, Millis)>,
    /// Until when it is not gone by.
    held: Option<Instant>,
}

impl Trust {
    fn new() -> Self {
        Self { seen: None, held: None }
    }

    /// False for a day after it leapt ahead: at a start if no event is of the last 30 days, later if an hour took it more than two.
    fn of_clock(&mut self, app: &App) -> Result<bool> {
        let (instant, now) = (Instant::now(), app.now());
        let leapt = match self.seen.replace((instant, now)) {
            None => app.retention()? != Retention::default() && app.is_idle_since(now - IDLE),
            Some((before, then)) => {
                let passed = Millis::try_from((instant - before).as_millis()).unwrap_or(Millis::MAX);
                now - then > passed.saturating_add(LEAP)
            }
        };
        if leapt {
            log::warn!(
                "the clock says {}, long after all that was stored: if that is so, events that are too old go in a day, or at once when what is to be kept is saved again",
                format_millis(now)
            );
            self.held = Some(instant + HOLD);
        }
        Ok(self.held.is_none_or(|until| instant >= until))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop = None;
        // To take out what is too old can last for minutes, and whoever closes the store waits for it here.
        if let Some(app) = self.app.upgrade() {
            app.engine().begin_closing();
        }
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("the thread that looks after the age of events panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_said_for_all_and_by_name() {
        let text = r#"{"days":400,"events":{"Seen":90,"Bought":null}}"#;
        let retention = Retention::from_json(text).unwrap();
        let (all, by_name) = retention.oldest(500 * DAY);
        assert_eq!((all, by_name["Seen"], by_name["Bought"]), (Some(100 * DAY), 410 * DAY, Millis::MIN));
        for (bad, code, at) in [
            (r#"{"days":0}"#, "out_of_range", Some("days")),
            (r#"{"days":36501}"#, "out_of_range", Some("days")),
            (r#"{"days":1.5}"#, "out_of_range", Some("days")),
            (r#"{"days":"many"}"#, "bad_type", Some("days")),
            (r#"{"day":3}"#, "unknown_field", Some("day")),
            (r#"{"events":{"A":-1}}"#, "out_of_range", Some("events.A")),
            (r#"{"events":[]}"#, "bad_type", Some("events")),
            ("[]", "bad_type", None),
            ("{x", "bad_json", None),
        ] {
            let error = Retention::from_json(bad).unwrap_err();
            assert_eq!((error.code(), error.place()), (code, at), "{bad}");
            assert!(!error.message().contains("u32"), "{error}");
        }
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Retention::load(dir.path()).unwrap(), Retention::default());
        retention.store(dir.path()).unwrap();
        assert_eq!(Retention::load(dir.path()).unwrap(), retention);
        let path = dir.path().join(FILE);
        let good = std::fs::read(&path).unwrap();
        let no_crc = std::str::from_utf8(&good).unwrap().find(",\n  \"crc\"").unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &bad).unwrap();
            match Retention::load(dir.path()) {
                // Between words.
                Ok(same) => assert_eq!(same, retention, "bit {bit}"),
                Err(error) => assert!(error.message().contains("retention.json"), "{error}"),
            }
        }
        let before = [&good[..no_crc], b"}".as_slice()].concat();
        std::fs::write(&path, before).unwrap();
        assert_eq!(Retention::load(dir.path()).unwrap(), retention, "a file from before");
    }

    #[test]
    fn a_clock_far_ahead_of_all_that_is_stored_is_not_gone_by_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let app = App::open(dir.path()).unwrap();
        let now = app.now();
        let event = |days: Millis| crate::model::Record {
            kind: crate::model::RecordKind::Event,
            identity: "a".into(),
            name: "E".into(),
            time: Some(now - days * DAY),
            properties: Vec::new(),
            id: None,
        };
        assert!(Trust::new().of_clock(&app).unwrap(), "nothing is stored and nothing is asked for");
        app.engine().write(vec![event(40), event(50)]).unwrap();
        assert!(Trust::new().of_clock(&app).unwrap(), "kept for ever");
        Retention { days: Some(30), ..Retention::default() }.store(dir.path()).unwrap();
        let mut trust = Trust::new();
        assert!(!trust.of_clock(&app).unwrap() && !trust.of_clock(&app).unwrap());
        trust.held = Some(Instant::now());
        assert!(trust.of_clock(&app).unwrap(), "a day later");
        app.engine().write(vec![event(1)]).unwrap();
        let mut trust = Trust::new();
        assert!(trust.of_clock(&app).unwrap() && trust.of_clock(&app).unwrap());
        trust.seen = trust.seen.map(|(instant, now)| (instant, now - 2 * LEAP));
        assert!(!trust.of_clock(&app).unwrap(), "it leapt");
    }
    #[test]
    fn who_closes_the_store_does_not_wait_until_all_is_taken_out() {
        let dir = tempfile::tempdir().unwrap();
        let app = Arc::new(App::open(dir.path()).unwrap());
        let now = app.now();
        let event = |n: Millis| crate::model::Record {
            kind: crate::model::RecordKind::Event,
            identity: format!("p{}", n % 1000),
            name: "E".into(),
            // Both the old and one of today, so that the clock is believed.
            time: Some(if n == 0 { now } else { now - 90 * DAY + n }),
            properties: Vec::new(),
            id: None,
        };
        app.engine().write((0..100_000).map(event).collect()).unwrap();
        app.engine().flush().unwrap();
        Retention { days: Some(30), ..Retention::default() }.store(dir.path()).unwrap();
        drop(Keeper::start(&app).unwrap());
        assert_eq!(app.snapshot().rows(), 100_000);
        Arc::into_inner(app).unwrap().close().unwrap();
        let app = Arc::new(App::open(dir.path()).unwrap());
        assert_eq!(app.expire(PATIENCE).unwrap(), 99_999, "the next start goes on with it");
    }
}
