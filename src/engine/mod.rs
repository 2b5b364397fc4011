//! The store, running: one writer thread appends, syncs, applies and publishes; everybody else reads snapshots. Flushes and
//! compactions run beside it.

mod background;
mod batch;
mod check;
mod erase;
pub mod feed;
mod load;
pub mod meters;
mod recent;
mod recovery;
mod reply;
mod shared;
mod snapshot;
mod state;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Sender, TrySendError, bounded};

pub use batch::{Batch, BatchBuilder, Input};
pub use check::{Checked, check_files, check_on};
pub use erase::{Erased, give_up_list};
pub use recovery::has_nothing_of_a_store;
pub use snapshot::{Counters, Damaged, Names, Opening, Sealed, Snapshot};

use crate::disk::{RealVfs, Vfs};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::model::{Clock, Correction, Millis, Record, SystemClock};
use crate::store::identity_file::IdentityFile;
use crate::store::manifest::{FileRef, Manifest};
use crate::store::refusals::{Refusal, Refusals};
use crate::store::segment::sieve::Sieve;
use crate::store::{compaction, identities};
use crate::threads::processors;
use feed::{Feed, Happening};
use load::Numbering;
use meters::Meters;
use reply::{Answer, promise};
pub(crate) use shared::Shared;
use writer::{Op, Request};

/// How the engine runs.
#[derive(Clone)]
pub struct Options {
    /// Rows in the memtable before it is flushed.
    pub memtable_rows: usize,
    /// Bytes of the log before the memtable is flushed.
    pub log_bytes: u64,
    /// Identities that the writer's cache holds, in each of two generations, about 28 bytes each.
    pub identity_cache: usize,
    /// Segments of like size that are merged into one.
    pub merge_segments: usize,
    /// If nobody is expected to read what comes in: there is no log, and records are durable with the next flush only, which comes at
    /// the latest when they take so many bytes in memory.
    pub load_bytes: Option<usize>,
    /// Identities of which files are merged into one, at most.
    pub identities_merged: u32,
    /// Threads that a merge of segments takes.
    pub merge_threads: usize,
    /// Whether segments are merged in the background.
    pub compaction: bool,
    /// How often all segments are read through to find damage, the first time when the store is opened.
    pub scrub_every: Duration,
    /// Where "now" comes from.
    pub clock: Arc<dyn Clock>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            memtable_rows: limits::MEMTABLE_ROWS_MAX,
            log_bytes: limits::WAL_BYTES_MAX,
            identity_cache: limits::IDENTITY_CACHE,
            merge_segments: compaction::TIER_SEGMENTS,
            load_bytes: None,
            identities_merged: identities::FILE_IDENTITIES_MAX,
            // Reports come first.
            merge_threads: 1,
            compaction: true,
            scrub_every: limits::SCRUB_EVERY,
            clock: Arc::new(SystemClock),
        }
    }
}

impl Options {
    /// For a process that does nothing but bring in much, and can bring it again: it takes some hundred megabytes of memory, and writes
    /// each row once.
    pub fn bulk() -> Self {
        Self {
            load_bytes: Some(limits::BULK_BYTES),
            identity_cache: limits::BULK_IDENTITY_CACHE,
            merge_segments: limits::BULK_MERGE_SEGMENTS,
            merge_threads: processors(),
            ..Self::default()
        }
    }

    /// An error if the store could not work with them.
    fn check(&self) -> Result<()> {
        let least = [
            ("memtable_rows", self.memtable_rows as u64, 1),
            ("log_bytes", self.log_bytes, limits::WAL_BYTES_MIN),
            ("merge_segments", self.merge_segments as u64, 2),
            ("identities_merged", self.identities_merged.into(), 1),
            ("merge_threads", self.merge_threads as u64, 1),
            ("scrub_every, in seconds,", self.scrub_every.as_secs(), 1),
        ];
        match least.into_iter().find(|(_, given, least)| given < least) {
            None => Ok(()),
            Some((name, given, least)) => {
                let message = format!("{name} is {given}; it is {least} or more");
                Err(Error::invalid("bad_options", message).at(name))
            }
        }
    }
}

/// What became of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is stored, durably.
    Stored,
    /// It was stored before.
    Duplicate,
    /// It is stored, but the two persons it names stay apart.
    MergeRefused,
    /// Not stored: it brings one event or property name too many.
    TooManyNames,
    /// Nothing changed: a correction names an identity that nobody has.
    Unknown,
}

fn stopped() -> Error {
    Error::new(ErrorKind::Poisoned, "stopped", "the store is closing")
}

/// A write under way.
#[must_use = "only the ticket says what became of the records"]
pub struct Ticket {
    answer: Answer,
    number: u64,
}

impl Ticket {
    /// Which of the writes that were begun this is, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Waits until the records are durable, or in an engine without a log taken; an outcome for each.
    pub fn wait(self) -> Result<Vec<Outcome>> {
        self.answer.wait()
    }
}

/// Reads the store in `dir` as it is now, beside a process that may be writing to it. Changes nothing.
pub fn read_only(dir: &Path) -> Result<Snapshot> {
    if !dir.is_dir() {
        return Err(no_store(dir));
    }
    read_only_on(&RealVfs::existing(dir)?)
}

/// The same on any [`Vfs`].
pub fn read_only_on(vfs: &dyn Vfs) -> Result<Snapshot> {
    recovery::read_only(vfs)
}

/// The identities of the store in `dir`, without opening it; none if there is no store.
pub fn identities_in(dir: &Path) -> Result<u64> {
    if !dir.is_dir() {
        return Ok(0);
    }
    let vfs = RealVfs::existing(dir)?;
    let Some(manifest) = Manifest::load(&vfs, &vfs.list()?)? else { return Ok(0) };
    let count =
        |file: &FileRef| Ok(u64::from(IdentityFile::open(&file.name, vfs.open(&file.name)?)?.count()));
    manifest.identities.iter().map(count).sum()
}

/// That there is nothing where a store should be.
pub fn no_store(dir: &Path) -> Error {
    let message = format!("there is no store in {}", dir.display());
    Error::new(ErrorKind::NotFound, "no_store", message).hint("name the right directory with --data")
}

/// The hash under which segments index a client's record id.
pub(crate) fn hash_record_id(secret: [u64; 2], id: &str) -> u64 {
    use std::hash::Hasher;
    let mut hasher = siphasher::sip::SipHasher13::new_with_keys(secret[0], secret[1]);
    hasher.write(id.as_bytes());
    hasher.finish()
}

/// An open store.
pub struct Engine {
    shared: Arc<Shared>,
    requests: Option<Sender<Request>>,
    threads: Vec<JoinHandle<()>>,
    /// Writes that were begun.
    begun: AtomicU64,
    _lock: Box<dyn Send + Sync>,
}

impl Engine {
    /// Opens the store in the directory `dir`, making an empty one if there is none, and takes the directory for this process.
    pub fn open(dir: &Path, options: Options) -> Result<Self> {
        Self::open_on(Arc::new(RealVfs::new(dir)?), options)
    }

    /// Opens the store on any [`Vfs`].
    pub fn open_on(vfs: Arc<dyn Vfs>, options: Options) -> Result<Self> {
        options.check()?;
        let lock = vfs.lock()?;
        let mut recovered = recovery::recover(&vfs)?;
        recovered.state.identities.cache_at_most(options.identity_cache);
        recovered.state.recent.expect(options.memtable_rows);
        let numbering = options.load_bytes.map(|_| Arc::new(Numbering::new(recovered.manifest.secret[0])));
        if numbering.is_some() {
            recovered.state.identities.expect_no_readers();
        }
        let logged = !recovered.state.active.is_empty();
        let shared = Arc::new(Shared {
            vfs,
            feed: Feed::new(options.clock.now()),
            options,
            meters: Meters::default(),
            current: RwLock::new(Arc::new(recovered.snapshot)),
            manifest: Mutex::new(recovered.manifest),
            refusals: Mutex::new(recovered.refusals),
            poison: Mutex::new(None),
            closing: AtomicBool::new(false),
            merging: Mutex::new(()),
            merging_identities: Mutex::new(()),
            suspects: Mutex::default(),
            compactions: AtomicU64::new(0),
            flushes: AtomicU64::new(0),
            cramped: AtomicBool::new(false),
            numbering,
            durable: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
        });
        let (requests, inbox) = bounded(limits::WRITE_QUEUE_MAX);
        // One flush at work and one waiting: a writer that is faster than the disk waits for it here.
        let (jobs, job_inbox) = bounded(1);
        let (compact, compact_inbox) = bounded(1);
        let threads = vec![
            background::spawn_flusher(Arc::clone(&shared), job_inbox, compact.clone())?,
            background::spawn_compactor(Arc::clone(&shared), compact_inbox)?,
            writer::spawn(Arc::clone(&shared), recovered.state, recovered.log, inbox, jobs, compact)?,
        ];
        let engine =
            Self { shared, requests: Some(requests), threads, begun: AtomicU64::new(0), _lock: lock };
        if logged && engine.shared.numbering.is_some() {
            // What the logs held goes into segments before anything is loaded.
            engine.flush()?;
        }
        Ok(engine)
    }

    /// Stores records that have been through [`Record::checked`], and returns once they are durable: an outcome for each, in their order.
    /// `Ok` does not mean that all are stored: [`Outcome`] says of each whether it is, and why not. Waits for room if many are writing.
    ///
    /// # Errors
    /// `not_checked`, or what [`Record::storable`] says of a record: nothing is stored. `disk_full` while the disk is full, and
    /// `read_only` once a write has failed, until the store is opened anew. Of records that take more than 3 MiB those in front may be stored
    /// then; send all again, and of those with a time or an id none is stored twice.
    pub fn write(&self, records: Vec<Record>) -> Result<Vec<Outcome>> {
        self.write_checked(records, true)
    }

    /// As [`Engine::write`], but an error of kind `Busy` at once if too many are waiting.
    pub fn try_write(&self, records: Vec<Record>) -> Result<Vec<Outcome>> {
        self.write_checked(records, false)
    }

    fn write_checked(&self, records: Vec<Record>, wait: bool) -> Result<Vec<Outcome>> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        for (at, record) in records.iter().enumerate() {
            record.storable().map_err(|error| error.within(&format!("records[{at}]")))?;
        }
        self.store(Batch::of(records), wait)
    }

    /// A batch that is to hold checked records of about so many bytes in all.
    pub fn batch(&self, bytes: usize) -> BatchBuilder {
        BatchBuilder::new(&self.snapshot(), bytes, self.shared.numbering.as_ref())
    }

    /// Whether the records of a write that was begun are durable, once they are answered. For somebody who writes alone.
    pub fn is_durable(&self, number: u64) -> bool {
        self.shared.numbering.is_none() || number <= self.shared.durable.load(Ordering::SeqCst)
    }

    /// Whether what is answered is in a log; without one it is durable after the next flush.
    pub fn has_log(&self) -> bool {
        self.shared.numbering.is_none()
    }

    /// Records that were answered as stored and turned out to be duplicates when they were flushed.
    pub fn found_late(&self) -> u64 {
        self.shared.repeated.load(Ordering::SeqCst)
    }

    /// Begins to store records, as [`Engine::write`] does; the ticket waits for the end. Who keeps a few tickets keeps the writer
    /// busy while the disk syncs.
    pub fn begin_write(&self, batch: Batch) -> Result<Ticket> {
        if batch.opening.is_some_and(|opening| opening != self.snapshot().opening) {
            return Err(Error::invalid("foreign_batch", "the batch was made for another store"));
        }
        let answer = self.send(Op::Records(batch), true)?;
        Ok(Ticket { answer, number: self.begun.load(Ordering::SeqCst) })
    }

    /// Stores a batch durably.
    fn store(&self, batch: Batch, wait: bool) -> Result<Vec<Outcome>> {
        let outcomes = self.request(Op::Records(batch), wait)?;
        if self.shared.numbering.is_some() {
            self.flush()?;
        }
        Ok(outcomes)
    }

    /// Joins the person of `identity` into that of `into`. False if they are one already.
    pub fn merge(&self, identity: &str, into: &str) -> Result<bool> {
        self.correct(Correction::Merge { identity: identity.trim().to_owned(), into: into.trim().to_owned() })
    }

    /// Takes `identity` out of its person. False if it is alone there.
    pub fn unmerge(&self, identity: &str) -> Result<bool> {
        self.correct(Correction::Unmerge(identity.trim().to_owned()))
    }

    fn correct(&self, correction: Correction) -> Result<bool> {
        let snapshot = self.snapshot();
        let outcomes = self.store(Batch::correction(correction.clone()), true)?;
        if outcomes != [Outcome::Unknown] {
            return Ok(outcomes == [Outcome::Stored]);
        }
        // The one that was unknown before is the one that was unknown then, unless somebody was erased between.
        let unknown = |identity: &&str| !matches!(snapshot.find_identity(identity), Ok(Some(_)));
        let identity = correction.identities().find(unknown).unwrap_or_default();
        Err(snapshot::nobody(identity))
    }

    /// Writes everything recent into segments and waits for it.
    pub fn flush(&self) -> Result<()> {
        self.request(Op::Flush, true).map(drop)
    }

    /// Merges all segments into as few as possible and waits for it. A small checkpoint is left.
    pub fn compact(&self) -> Result<()> {
        self.flush()?;
        background::compact_all(&self.shared)
            .inspect_err(|error| background::give_up(&self.shared, error))?;
        // The merges that segments have absorbed need not be remembered: the checkpoint is written anew, without them.
        self.flush()
    }

    /// Takes out events before an instant: `oldest`, or that of their name. Segments whose oldest event is less than `patience`
    /// milliseconds before it are left as they are for now. How many events are gone.
    pub fn expire(
        &self,
        oldest: Option<Millis>,
        by_name: &BTreeMap<String, Millis>,
        patience: Millis,
    ) -> Result<u64> {
        self.flush()?;
        let snapshot = self.snapshot();
        let by_name = by_name.iter().filter_map(|(name, time)| Some((snapshot.event(name)?, *time)));
        let sieve = Sieve::of_age(oldest, by_name.collect(), patience);
        background::sift(&self.shared, &sieve).inspect_err(|error| background::give_up(&self.shared, error))
    }

    /// The store as it is now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.snapshot()
    }

    /// Counts a refusal and keeps it to be looked at.
    pub fn refuse(&self, refusal: Refusal) {
        self.shared.feed.add(1, std::iter::once(Happening::Refused(refusal.clone())));
        self.shared.refusals.lock().unwrap_or_else(PoisonError::into_inner).add(refusal);
    }

    /// What has just become durable or was refused.
    pub fn feed(&self) -> &Feed {
        &self.shared.feed
    }

    /// Counters and the latest refusals.
    pub fn refusals(&self) -> Refusals {
        self.shared.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The counters alone.
    pub fn refusal_counts(&self) -> BTreeMap<String, u64> {
        self.shared.refusals.lock().unwrap_or_else(PoisonError::into_inner).counts().clone()
    }

    /// An error that says why the store cannot store, if it cannot.
    pub fn healthy(&self) -> Result<()> {
        self.shared.healthy()?;
        writer::room(&self.shared, self.shared.meters.log_bytes.load(Ordering::Relaxed))
    }

    /// Bytes of all files that make up the store.
    pub fn disk_bytes(&self) -> u64 {
        let manifest = self.shared.manifest.lock().unwrap_or_else(PoisonError::into_inner);
        manifest.files().map(|f| f.bytes).sum()
    }

    /// Flushes and compactions since the store was opened.
    pub fn work_done(&self) -> (u64, u64) {
        (self.shared.flushes.load(Ordering::Relaxed), self.shared.compactions.load(Ordering::Relaxed))
    }

    /// Reads every byte of every segment and identity file and says what is damaged, what is left out already among it.
    pub fn check(&self) -> Vec<Error> {
        let snapshot = self.snapshot();
        let left_out = |d: &Damaged| Error::new(ErrorKind::Corrupt, "corrupt", d.message.clone());
        let mut found: Vec<Error> = snapshot.segments.iter().flat_map(|s| s.check()).collect();
        // One that is found by others at this moment is here twice rather than not at all.
        found.extend(self.snapshot().damaged.iter().map(left_out));
        found.extend(snapshot.identities.check());
        found
    }

    /// Reads every segment and leaves out those that are damaged, which is done behind each opening as well.
    pub fn leave_out_damaged(&self) {
        background::scrub(&self.shared);
    }

    /// Gives up the segments that are left out because they are damaged: their files are removed. Their names.
    pub fn drop_damaged(&self) -> Result<Vec<String>> {
        background::drop_damaged(&self.shared).inspect_err(|error| background::give_up(&self.shared, error))
    }

    /// The clock that stamps records.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.shared.options.clock)
    }

    /// Ends the threads and reports what went wrong before or while closing. In an engine with a log what was acknowledged is durable
    /// already, so it is quick; without one ([`Options::bulk`]) what was taken is flushed first. An engine that is dropped instead ends its
    /// threads too, but flushes nothing and tells nothing.
    pub fn close(mut self) -> Result<()> {
        let flushed = if self.has_log() { Ok(()) } else { self.flush() };
        self.stop();
        flushed?;
        self.shared
            .poison
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .map_or(Ok(()), |(kind, message)| Err(Error::new(*kind, "read_only", message.clone())))
    }

    /// What is measured while it runs.
    pub fn meters(&self) -> &Meters {
        &self.shared.meters
    }

    /// Requests that wait for the writer.
    pub fn waiting(&self) -> usize {
        self.requests.as_ref().map_or(0, Sender::len)
    }

    /// Rows of segments that are to be merged next.
    pub fn rows_to_merge(&self) -> u64 {
        let snapshot = self.snapshot();
        let rows: Vec<u64> = snapshot.segments.iter().map(|s| s.directory().rows).collect();
        let picked = compaction::pick(&rows, self.shared.options.merge_segments).unwrap_or_default();
        picked.iter().filter_map(|at| rows.get(*at)).sum()
    }

    fn request(&self, op: Op, wait: bool) -> Result<Vec<Outcome>> {
        let begun = Instant::now();
        let answer = self.send(op, wait)?.wait();
        self.shared.meters.acknowledged.add(begun.elapsed());
        answer
    }

    fn send(&self, op: Op, wait: bool) -> Result<Answer> {
        let (reply, answer) = promise();
        let requests = self.requests.as_ref().ok_or_else(stopped)?;
        self.begun.fetch_add(u64::from(matches!(op, Op::Records(_))), Ordering::SeqCst);
        let request = Request { op, reply };
        if wait {
            requests.send(request).map_err(|_| stopped())?;
        } else {
            requests.try_send(request).map_err(|e| match e {
                TrySendError::Full(_) => Error::new(ErrorKind::Busy, "busy", "too many writers at once")
                    .hint("send again in a second"),
                TrySendError::Disconnected(_) => stopped(),
            })?;
        }
        Ok(answer)
    }

    fn stop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        self.requests = None;
        for thread in self.threads.drain(..).rev() {
            if thread.join().is_err() {
                let error = Error::new(ErrorKind::Poisoned, "panic", "a thread of the store panicked");
                self.shared.fail(&error);
            }
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
    }
}
