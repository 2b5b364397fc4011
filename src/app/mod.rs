//! What the product does, whatever asks for it: HTTP and command line are two ways in.

pub mod accounts;
pub mod agents;
mod backup;
pub mod backups;
pub mod beside;
mod dashboard;
mod erase;
mod export;
mod heartbeat;
mod import;
mod keys;
pub mod live;
mod memory;
mod names;
mod password;
pub mod projects;
mod replay;
mod reports;
mod restore;
mod resume;
mod retention;
pub mod saved;
pub mod space;
mod unfinished;
mod watch;

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

pub use accounts::{Accounts, Role};
pub use agents::Sent;
pub use backup::{BackupReport, backup, backup_all, backup_on};
pub use dashboard::{Dashboard, Described, Share};
pub use erase::Receipt;
pub use export::{export, export_person};
pub use heartbeat::Heartbeat;
pub use import::{Form, ImportReport, Rejected};
pub use keys::{SCOPES, Scope, ScopedKey, StoredKeys};
pub use memory::Memory;
pub use reports::Reports;
pub use restore::{Access, RestoreReport, restore, restore_on};
pub use retention::{Keeper, Retention};
pub use unfinished::not_unfinished;
pub use watch::Watch;

use crate::demo::Company;
use crate::disk::RealVfs;
use crate::engine::{Engine, Options, Outcome, Snapshot};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::model::{Admission, Millis, Record, RecordKind};
use crate::store::refusals::{Refusal, Refusals};
pub use resume::{Mark, Marks, Source};

/// The directory of a server's sockets, in its data: made by a start, and removed with all that lies in it.
pub const SOCKETS: &str = "sockets";
/// People and events of the demo: a few seconds to make, enough to look real.
pub const DEMO_SIZE: (u32, u64) = (5_000, 100_000);

/// An open store with everything that works on it.
pub struct App {
    engine: Engine,
    reports: Reports,
    agents: agents::Agents,
    known_pause: heartbeat::Known,
    dashboard: RwLock<Arc<Dashboard>>,
    started: Instant,
    names_max: usize,
    warn_below: u64,
    dir: std::path::PathBuf,
    backups: Option<std::path::PathBuf>,
    backups_kept: Option<usize>,
    memory: Memory,
}

impl App {
    /// Opens the store in `dir`.
    pub fn open(dir: &Path) -> Result<Self> {
        Self::open_with(dir, Options::default())
    }

    /// As [`App::open`], within a budget.
    pub fn open_within(dir: &Path, memory: Memory) -> Result<Self> {
        let app = Self::open_with(dir, memory.options())?;
        let reports = Reports::keeping(app.reports.saved(), memory.cache_bytes());
        Ok(Self { memory, reports, ..app })
    }

    /// As [`App::open`], with an engine that runs as `options` say.
    pub fn open_with(dir: &Path, options: Options) -> Result<Self> {
        let vfs = RealVfs::new(dir)?;
        not_unfinished(dir)?;
        space::before_opening(dir)?;
        let engine = Engine::open(dir, options)?;
        space::after_opening(dir)?;
        beside::sweep(&vfs)?;
        let reports = Reports::new(saved::load(dir)?);
        let dashboard = Dashboard::load(dir)?;
        reports.count_time(dashboard.time());
        let dashboard = RwLock::new(Arc::new(dashboard));
        Ok(Self {
            engine,
            reports,
            agents: agents::Agents::default(),
            known_pause: heartbeat::Known::default(),
            dashboard,
            started: Instant::now(),
            names_max: limits::TRACKED_NAMES_MAX,
            warn_below: limits::FREE_BYTES_WARN,
            dir: dir.to_owned(),
            backups: None,
            backups_kept: None,
            memory: Memory::default(),
        })
    }

    /// Warns when fewer bytes of the disk are free.
    #[must_use]
    pub fn warn_below(mut self, bytes: u64) -> Self {
        self.warn_below = bytes;
        self
    }

    /// Bounds the names of events, and apart from them of properties, that tracking may make.
    #[must_use]
    pub fn limit_names(mut self, most: usize) -> Self {
        self.names_max = most.min(limits::NAMES_MAX);
        self
    }

    /// The names of events, and of properties, that tracking may make.
    pub fn names_max(&self) -> usize {
        self.names_max
    }

    /// Its budget of memory.
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// The directory of the store.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where [`App::back_up`] puts backups, and how many are kept there if not all.
    #[must_use]
    pub fn with_backups(mut self, backups: Option<std::path::PathBuf>, keep: Option<usize>) -> Self {
        (self.backups, self.backups_kept) = (backups, keep);
        self
    }

    /// Makes a backup of the store as it is now, and of the projects in its directory.
    pub fn back_up(&self) -> Result<Vec<BackupReport>> {
        let target = self.backups.as_ref().ok_or_else(|| {
            let message = "the server was not told where backups go";
            Error::new(ErrorKind::Conflict, "no_backups", message)
                .hint("start it with --backups DIRECTORY, or run `whodid backup` beside it")
        })?;
        let mut reports = Vec::new();
        backup_all(&self.dir, target, self.backups_kept, self.now(), |report| {
            reports.push(report);
            Ok(())
        })?;
        Ok(reports)
    }

    /// The store.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Reports, which keep what they decode.
    pub fn reports(&self) -> &Reports {
        &self.reports
    }

    /// Saves a definition under a name; returns it once it is durable.
    pub fn save(&self, kind: saved::SavedKind, name: &str, body: &str) -> Result<String> {
        self.reports.change_saved(|known| {
            let next = saved::with(known, kind, name, body)?;
            saved::store(&self.dir, &next)?;
            Ok(next)
        })?;
        saved::get(&self.reports.saved(), kind, name.trim())
    }

    /// Deletes a saved definition that no other needs.
    pub fn forget(&self, kind: saved::SavedKind, name: &str) -> Result<()> {
        self.reports.change_saved(|known| {
            let next = saved::without(known, kind, name)?;
            saved::store(&self.dir, &next)?;
            Ok(next)
        })
    }

    /// What the dashboard remembers.
    pub fn dashboard(&self) -> Arc<Dashboard> {
        Arc::clone(&self.dashboard.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes what the dashboard remembers; returns once it is durable. A link that was ended shows nothing any more, whatever the disk says.
    pub fn change_dashboard(&self, change: impl FnOnce(&mut Dashboard) -> Result<()>) -> Result<()> {
        let mut known = self.dashboard.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = Dashboard::clone(&known);
        change(&mut next)?;
        let next = Arc::new(next);
        next.store_then(&self.dir, || {
            self.reports.count_time(next.time());
            *known = Arc::clone(&next);
        })
    }

    /// Fills an empty store with the records of a made-up company; whether it was empty.
    pub fn fill_with_demo(&self) -> Result<bool> {
        if self.snapshot().rows() > 0 {
            return Ok(false);
        }
        let (people, events) = DEMO_SIZE;
        let mut batch = Vec::new();
        for record in Company::new(people, events, 1, self.now())?.records() {
            batch.push(record.checked(Admission::usual(self.now()))?);
            if batch.len() == 10_000 {
                self.engine.write(std::mem::take(&mut batch))?;
            }
        }
        self.engine.write(batch)?;
        self.engine.flush()?;
        Ok(true)
    }

    /// The store as it is now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.engine.snapshot()
    }

    /// The present instant.
    pub fn now(&self) -> Millis {
        self.engine.clock().now()
    }

    /// How long it has been open.
    pub fn uptime(&self) -> std::time::Duration {
        self.started.elapsed()
    }

    /// Checks and stores one record; returns once it is durable. What is refused is counted and kept.
    /// With it goes what is new of the person's browser.
    pub fn track(&self, sent: Sent) -> Result<Outcome> {
        let (identity, name) = (sent.record.identity.clone(), sent.record.name.clone());
        let stored = self.track_one(sent);
        if let Err(error) = &stored {
            self.refuse(error, &identity, &name);
        }
        stored
    }

    fn track_one(&self, sent: Sent) -> Result<Outcome> {
        let (snapshot, dashboard) = (self.snapshot(), self.dashboard());
        let admission = Admission { now: self.now(), nobody: &dashboard.nobody };
        let mut news = agents::News::default();
        let record = sent.record.checked(admission)?;
        names::Allowance::new(&snapshot.catalog, self.names_max).take(&record)?;
        let told = self.agents.news(&record, sent.agent.as_deref(), &snapshot, admission.now, &mut news)?;
        let told = told.map(|told| told.checked(admission)).transpose()?;
        let is_told = told.is_some();
        let outcomes = self.engine.try_write([record].into_iter().chain(told).collect())?;
        if is_told {
            self.remember(news);
        }
        match outcomes.first() {
            Some(Outcome::TooManyNames) => Err(names::too_many(limits::NAMES_MAX)),
            Some(outcome) => Ok(*outcome),
            None => Err(Error::new(ErrorKind::Io, "no_answer", "the store gave no answer")),
        }
    }

    /// What was stored of browsers need not be told again. It is, if that cannot be remembered.
    fn remember(&self, news: agents::News) {
        if let Err(error) = self.agents.remember(news, &self.snapshot()) {
            log::error!("whose browser was told is not known: {error}");
        }
    }

    /// Checks and stores records together; returns once they are durable. Those that are refused are counted and kept, the others are
    /// stored. Identifies that say nothing new are left out; with the others goes what is new of people's browsers.
    pub fn track_all(&self, all: Vec<Sent>) -> Result<()> {
        let (snapshot, dashboard) = (self.snapshot(), self.dashboard());
        let admission = Admission { now: self.now(), nobody: &dashboard.nobody };
        let mut checked = Vec::with_capacity(all.len());
        let (mut joined, mut news) = (HashSet::new(), agents::News::default());
        let mut allowance = names::Allowance::new(&snapshot.catalog, self.names_max);
        for sent in all {
            let (record, agent) = (sent.record, sent.agent);
            if record.kind == RecordKind::Identify {
                let new = joined.insert((record.identity.clone(), record.name.clone()));
                if !new || known_as_one(&snapshot, &record)? {
                    continue;
                }
            }
            let (identity, name) = (record.identity.clone(), record.name.clone());
            match record.checked(admission).and_then(|record| allowance.take(&record).map(|()| record)) {
                Ok(record) => {
                    let now = admission.now;
                    let told = self.agents.news(&record, agent.as_deref(), &snapshot, now, &mut news)?;
                    checked.push(record);
                    checked.extend(told.map(|told| told.checked(admission)).transpose()?);
                }
                Err(error) => self.refuse(&error, &identity, &name),
            }
        }
        if checked.is_empty() {
            return Ok(());
        }
        let names: Vec<(String, String)> =
            checked.iter().map(|r| (r.identity.clone(), r.name.clone())).collect();
        let outcomes = self.engine.try_write(checked)?;
        self.remember(news);
        for (outcome, (identity, name)) in outcomes.into_iter().zip(names) {
            if outcome == Outcome::TooManyNames {
                self.refuse(&names::too_many(limits::NAMES_MAX), &identity, &name);
            }
        }
        Ok(())
    }

    /// Counts and keeps a refusal, unless the sender does better to come again.
    pub fn refuse(&self, error: &Error, identity: &str, name: &str) {
        if !error.is_passing() {
            let clip = |text: &str| text.chars().take(limits::NAME_CHARS_MAX).collect();
            self.engine.refuse(Refusal {
                time: self.now(),
                reason: error.code().to_owned(),
                message: error.to_string(),
                identity: clip(identity),
                name: clip(name),
            });
        }
    }

    /// What was refused.
    pub fn refusals(&self) -> Refusals {
        self.engine.refusals()
    }

    /// Joins the person of `identity` into that of `into`.
    pub fn merge(&self, identity: &str, into: &str) -> Result<()> {
        if self.engine.merge(identity, into)? {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Conflict,
            "same_person",
            format!("\"{identity}\" and \"{into}\" are one person already"),
        ))
    }

    /// Takes `identity` out of its person.
    pub fn unmerge(&self, identity: &str) -> Result<()> {
        if self.engine.unmerge(identity)? {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Conflict,
            "not_merged",
            format!("\"{identity}\" is the only identity of its person"),
        ))
    }

    /// Ends the watching of what happens: for a server that stops.
    pub fn end_watching(&self) {
        self.engine.feed().close();
    }

    /// Ends it.
    pub fn close(self) -> Result<()> {
        self.engine.close()
    }
}

/// Whether an identify changes nothing: the two are one person, and the second is named already.
fn known_as_one(snapshot: &Snapshot, record: &Record) -> Result<bool> {
    let person = snapshot.find_person(record.identity.trim())?;
    let target = snapshot.find_identity(record.name.trim())?;
    Ok(target.is_some_and(|target| {
        snapshot.persons.is_named(target) && person == Some(snapshot.persons.person_of(target))
    }))
}
