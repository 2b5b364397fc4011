//! The writer thread: takes waiting writers as one group, resolves their records, appends one frame to the log, syncs it once,
//! applies and publishes, and only then answers.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};

use super::background::FlushJob;
use super::batch::{Batch, Input, Item};
use super::erase::Plan;
use super::feed::Happening;
use super::load::Load;
use super::reply::Reply;
use super::snapshot::Sealed;
use super::state::State;
use super::{Outcome, Shared};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::store::packed::PackedRows;
use crate::store::segment::Segment;
use crate::store::values::Values;
use crate::store::wal::{WalWriter, wal_name};

/// What a caller wants of the writer.
pub(crate) enum Op {
    /// Store records, and correct who is who.
    Records(Batch),
    /// Flush everything recent.
    Flush,
    /// Erase people.
    Erase(Arc<Plan>),
}

impl Op {
    /// The input that its records are a part of.
    fn input(&self) -> Option<&Input> {
        if let Self::Records(batch) = self { batch.input.as_ref() } else { None }
    }

    /// Whether an earlier part of the same input was refused.
    fn is_behind_refused(&self) -> bool {
        self.input().is_some_and(Input::is_refused)
    }

    fn refuse_behind(&self) {
        self.input().into_iter().for_each(Input::refuse_behind);
    }
}

/// An [`Op`] and where to answer.
pub(crate) struct Request {
    pub(crate) op: Op,
    pub(crate) reply: Reply,
}

pub(crate) fn spawn(
    shared: Arc<Shared>,
    state: State,
    log: WalWriter,
    inbox: Receiver<Request>,
    jobs: Sender<FlushJob>,
    compact: Sender<()>,
) -> Result<JoinHandle<()>> {
    let load = shared.numbering.clone().map(Load::new);
    let writer =
        Writer { shared, state, log, jobs, compact, generation: 0, buffer: Vec::new(), load, loaded: 0 };
    let thread = thread::Builder::new().name("writer".into()).spawn(move || writer.run(&inbox));
    thread.map_err(|e| Error::new(ErrorKind::Io, "thread", format!("cannot start the writer thread: {e}")))
}

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) state: State,
    pub(super) log: WalWriter,
    jobs: Sender<FlushJob>,
    /// To wake the compactor, which lives as long as the writer.
    compact: Sender<()>,
    generation: u64,
    /// What a frame of the log is made in.
    buffer: Vec<u8>,
    /// Instead of a log, what was loaded since the last flush.
    pub(super) load: Option<Load>,
    /// Batches that were loaded.
    pub(super) loaded: u64,
}

/// Records whose identities are looked at together.
pub(super) const LOOK_AHEAD: usize = 32;
/// Bytes of a log frame above which a large group gets another one.
const FRAME_BYTES: usize = 4 << 20;
/// How often a writer that is ahead of the disk looks whether it may go on.
const FLUSH_LOOK: Duration = Duration::from_millis(1);
/// Bytes that a batch of an import rarely has more of.
const BATCH_BYTES: usize = 1 << 20;
const _: () = assert!(FRAME_BYTES + limits::IMPORT_LINE_BYTES_MAX < limits::FRAME_BYTES_MAX as usize);

fn behind_refused() -> Error {
    Error::new(ErrorKind::Full, "disk_full", "an earlier part of the same input was refused")
}

/// Tells callers that their request failed.
fn refuse(replies: impl Iterator<Item = Reply>, error: &Error) {
    for reply in replies {
        reply.tell(Err(error.again()));
    }
}

impl Writer {
    fn run(mut self, inbox: &Receiver<Request>) {
        while let Some(first) = self.next_request(inbox) {
            let mut group = vec![first];
            let mut records = records_in(&group);
            while records < limits::GROUP_RECORDS_MAX {
                let Ok(next) = inbox.try_recv() else { break };
                group.push(next);
                records += records_in(group.get(group.len() - 1..).unwrap_or(&[]));
            }
            if self.load.is_some() {
                group.into_iter().for_each(|request| self.load_request(request));
                continue;
            }
            let behind: Vec<_> = group.extract_if(.., |r| r.op.is_behind_refused()).collect();
            if !behind.is_empty() {
                refuse(behind.into_iter().map(|r| r.reply), &behind_refused());
            }
            let flushes: Vec<_> = group.extract_if(.., |r| matches!(r.op, Op::Flush)).collect();
            let erasures: Vec<_> = group.extract_if(.., |r| matches!(r.op, Op::Erase(_))).collect();
            self.write_group(group);
            if self.is_due() {
                self.seal(Vec::new());
            }
            if !flushes.is_empty() {
                self.seal(flushes.into_iter().map(|r| r.reply).collect());
            }
            for Request { op, reply } in erasures {
                let Op::Erase(plan) = op else { continue };
                reply.tell(self.erase_all(&plan));
            }
        }
        drop(self.compact);
    }

    /// Waits for the next request, and flushes meanwhile what was loaded some time ago; `None` if the store closes.
    fn next_request(&mut self, inbox: &Receiver<Request>) -> Option<Request> {
        loop {
            let Some(deadline) = self.load.as_ref().and_then(Load::deadline) else {
                return inbox.recv().ok();
            };
            match inbox.recv_deadline(deadline) {
                Ok(request) => return Some(request),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    // Who sends next, or asks for a flush, is told what went wrong.
                    if let Err(error) = self.flush_loaded() {
                        log::error!("cannot flush: {error}");
                        return inbox.recv().ok();
                    }
                }
            }
        }
    }

    /// Does what is asked for without a log.
    fn load_request(&mut self, request: Request) {
        let (input, is_behind) = (request.op.input().cloned(), request.op.is_behind_refused());
        let done = match request.op {
            Op::Records(_) if is_behind => Err(behind_refused()),
            Op::Records(batch) => {
                self.load(batch).inspect_err(|_| input.iter().for_each(Input::refuse_behind))
            }
            Op::Flush => match self.flush_loaded() {
                // There was nothing, but who is who may have changed.
                Ok(false) => return self.seal(vec![request.reply]),
                done => done.map(|_| Vec::new()),
            },
            Op::Erase(plan) => self.flush_loaded().and_then(|_| self.erase_all(&plan)),
        };
        request.reply.tell(done);
    }

    fn erase_all(&mut self, plan: &Plan) -> Result<Vec<Outcome>> {
        Ok(if self.erase(plan)? { vec![Outcome::Stored] } else { Vec::new() })
    }

    fn write_group(&mut self, group: Vec<Request>) {
        if group.is_empty() {
            return;
        }
        // No room is no failure: nothing was tried, and the next group may find some.
        if let Err(error) = self.ready() {
            group.iter().for_each(|request| request.op.refuse_behind());
            return refuse(group.into_iter().map(|r| r.reply), &error);
        }
        let inputs: Vec<_> = group.iter().map(|request| request.op.input().cloned()).collect();
        let mut log = std::mem::take(&mut self.buffer);
        log.clear();
        let mut answers: Vec<(Reply, Vec<Outcome>)> = Vec::with_capacity(group.len());
        let (mut done, mut durable) = (Ok(()), 0);
        for request in group {
            let frame = self.log.next_sequence();
            let answer = if done.is_ok() { self.resolve(request.op, &mut log) } else { Ok(Vec::new()) };
            if self.log.next_sequence() != frame {
                durable = answers.len() + usize::from(answer.is_ok() && log.is_empty());
            }
            let outcomes = answer.unwrap_or_else(|error| {
                done = Err(error);
                Vec::new()
            });
            answers.push((request.reply, outcomes));
        }
        let done = done.and_then(|()| self.commit(&log));
        self.buffer = log;
        let done = done.map_err(|error| self.give_up(error));
        let refused = if done.is_err() {
            inputs.iter().skip(durable).flatten().for_each(Input::refuse_behind);
            answers.split_off(durable)
        } else {
            Vec::new()
        };
        for (reply, answer) in answers {
            reply.tell(Ok(answer));
        }
        if let Err(error) = done {
            refuse(refused.into_iter().map(|(reply, _)| reply), &error);
        }
    }

    /// An error if nothing can be written now. What a full disk has kept from being done is done first.
    pub(super) fn ready(&mut self) -> Result<()> {
        self.shared.healthy()?;
        if let Err(full) = room(&self.shared, self.log.bytes()) {
            self.make_room();
            return Err(full);
        }
        let oldest = self.shared.snapshot().sealed.first().map_or(u64::MAX, |s| s.generation);
        self.state.recent.forget_before(oldest);
        if self.is_due() {
            self.seal(Vec::new());
            self.shared.healthy()?;
        }
        if self.is_due() {
            let message = "there was no room for a new log";
            return Err(
                Error::new(ErrorKind::Full, "disk_full", message).hint("make room; nothing was stored")
            );
        }
        if self.log.is_torn() {
            self.log = self.new_log().inspect_err(|error| self.shared.fail_unless_full(error))?.1;
        }
        Ok(())
    }

    /// Flushes if there is room for that: it writes no more than the log holds, and then the log goes.
    fn make_room(&mut self) {
        let (bytes, flushing) = (self.log.bytes(), !self.shared.snapshot().sealed.is_empty());
        if !flushing && !self.state.active.is_empty() && room(&self.shared, bytes / 2).is_ok() {
            self.seal(Vec::new());
        }
    }

    /// Whether the memtable or the log is full.
    fn is_due(&self) -> bool {
        let options = &self.shared.options;
        self.state.active.len() >= options.memtable_rows || self.log.bytes() >= options.log_bytes
    }

    /// Begins a log with the next sequence number.
    fn new_log(&self) -> Result<(u64, WalWriter)> {
        let (number, store_id) = {
            let mut manifest = self.shared.manifest.lock().unwrap_or_else(PoisonError::into_inner);
            (manifest.next_number(), manifest.store_id)
        };
        let vfs = self.shared.vfs.as_ref();
        let log = WalWriter::create(vfs, number, store_id, self.log.next_sequence());
        if log.as_ref().is_err_and(|error| error.kind() == ErrorKind::Full)
            && vfs.list()?.contains(&wal_name(number))
        {
            // Nothing is in it.
            vfs.remove(&wal_name(number))?;
        }
        let log = log?;
        vfs.sync_dir()?;
        Ok((number, log))
    }

    /// The log could not be written. If the disk was full, nothing of the group is in it, and the state becomes what it was: a later
    /// group may find room. So it is if a damaged segment was asked for duplicates, as it is left out in a moment. After anything else
    /// nobody knows what is on the disk. The error for those who wrote.
    fn give_up(&mut self, error: Error) -> Error {
        let error = match self.state.suspect.take() {
            Some(segment) => self.suspect(segment, error),
            None if error.kind() == ErrorKind::Full => {
                log::error!("records are refused until there is room: {error}");
                error
            }
            None => {
                self.shared.fail(&error);
                return error;
            }
        };
        let published = self.shared.snapshot();
        let state = &mut self.state;
        state.identities.forget_from(published.persons.identities());
        state.persons = published.persons.clone();
        state.catalog = Arc::clone(&published.catalog);
        state.counters = published.counters;
        state.recent.drop_group();
        state.refused.clear();
        error
    }

    /// Has a segment left out; what to tell meanwhile.
    fn suspect(&self, segment: Arc<Segment>, error: Error) -> Error {
        let message = format!("a file is damaged, and left out from now on: {}", error.message());
        let mut suspects = self.shared.suspects.lock().unwrap_or_else(PoisonError::into_inner);
        if suspects.iter().all(|(known, _)| known.name() != segment.name()) {
            suspects.push((segment, error));
        }
        drop(suspects);
        // Full means that the compactor has been told already.
        let _already_told = self.compact.try_send(());
        Error::new(ErrorKind::Busy, "busy", message).hint("nothing was stored, send it again")
    }

    fn resolve(&mut self, op: Op, log: &mut Vec<u8>) -> Result<Vec<Outcome>> {
        let stored = self.shared.snapshot();
        match op {
            Op::Records(batch) => {
                let now = self.shared.options.clock.now();
                let mut outcomes = Vec::with_capacity(batch.len());
                for (at, item) in batch.items.iter().enumerate() {
                    if at.is_multiple_of(LOOK_AHEAD) {
                        let ahead = batch.items.iter().skip(at).take(LOOK_AHEAD);
                        std::hint::black_box(self.state.identities.expect(ahead.filter_map(Item::identity)));
                    }
                    let outcome = match item {
                        Item::Record(record) => self.state.resolve(record, now, &stored, log),
                        Item::Prepared(prepared) => {
                            self.state.resolve_prepared(prepared, &batch, now, &stored, log)
                        }
                        Item::Correction(correction) => self.state.correct(correction, log),
                    };
                    outcomes.push(outcome?);
                    if log.len() >= FRAME_BYTES {
                        self.commit_frame(log)?;
                    }
                }
                // Where a batch ends, so that all of it is stored or nothing, if it is not a large one.
                if log.len() >= FRAME_BYTES - BATCH_BYTES {
                    self.commit_frame(log)?;
                }
                Ok(outcomes)
            }
            Op::Flush | Op::Erase(_) => Ok(Vec::new()),
        }
    }

    /// Appends one frame to the log; durable when it returns.
    fn append(&mut self, log: &[u8]) -> Result<()> {
        let begun = Instant::now();
        self.log.append(log)?;
        self.log.sync()?;
        let meters = &self.shared.meters;
        meters.synced.add(begun.elapsed());
        meters.log_bytes.store(self.log.bytes(), Ordering::Relaxed);
        meters.last_stored.store(self.shared.options.clock.now(), Ordering::Relaxed);
        Ok(())
    }

    /// One frame of several of a group. Synced one by one: of several unsynced frames a crash could keep a later one alone. And
    /// published, so that what is published is always what is in the log.
    fn commit_frame(&mut self, log: &mut Vec<u8>) -> Result<()> {
        self.commit(log)?;
        log.clear();
        Ok(())
    }

    /// Makes the group durable, then visible.
    fn commit(&mut self, log: &[u8]) -> Result<()> {
        if !log.is_empty() {
            self.append(log)?;
        }
        let rows = self.state.recent.take_group();
        let stored = rows.len();
        // Only as many as the feed keeps: an import costs it next to nothing.
        let latest: Vec<_> = rows.iter().skip(stored.saturating_sub(limits::FEED_KEPT)).cloned().collect();
        self.state.active.add(rows);
        let refused = std::mem::take(&mut self.state.refused);
        if !refused.is_empty() {
            let mut refusals = self.shared.refusals.lock().unwrap_or_else(PoisonError::into_inner);
            refused.iter().for_each(|r| refusals.add(r.clone()));
        }
        let state = &self.state;
        self.shared.publish(|next| {
            next.active = state.active.clone();
            next.persons = state.persons.clone();
            next.catalog = Arc::clone(&state.catalog);
            next.identities = state.identities.view();
            next.counters = state.counters;
        });
        // Behind the publication, so that who learns of a row finds it in any snapshot.
        self.shared.feed.add(stored, latest.into_iter().map(Happening::Stored));
        self.shared.feed.add(refused.len(), refused.into_iter().map(Happening::Refused));
        Ok(())
    }

    /// Hands the memtable to the flusher and begins a new log. `waiting` are answered when it is in a segment.
    pub(super) fn seal(&mut self, waiting: Vec<Reply>) {
        self.seal_with(waiting, None);
    }

    /// The same, with what was loaded.
    pub(super) fn seal_with(&mut self, waiting: Vec<Reply>, loaded: Option<(PackedRows, Arc<Values>)>) {
        if let Err(error) = self.may_flush() {
            return refuse(waiting.into_iter(), &error);
        }
        match self.try_seal() {
            Ok(mut job) => {
                (job.waiting, job.loaded) = (waiting, loaded);
                if self.jobs.send(job).is_err() {
                    self.shared.fail(&Error::new(ErrorKind::Poisoned, "stopped", "the flush thread is gone"));
                }
            }
            Err(error) => {
                self.shared.fail_unless_full(&error);
                refuse(waiting.into_iter(), &error);
            }
        }
    }

    /// Waits while one flush is at work and another is queued. An error if a flush waits for room: another would wait as long, and a third
    /// hold up the writer.
    fn may_flush(&self) -> Result<()> {
        loop {
            self.shared.healthy()?;
            if self.shared.cramped.load(Ordering::SeqCst) {
                return room(&self.shared, self.log.bytes());
            }
            if !self.jobs.is_full() {
                return Ok(());
            }
            thread::sleep(FLUSH_LOOK);
        }
    }

    fn try_seal(&mut self) -> Result<FlushJob> {
        let (number, log) = self.new_log()?;
        self.log = log;
        self.shared.meters.log_bytes.store(self.log.bytes(), Ordering::Relaxed);
        self.generation += 1;
        let sealed = Sealed {
            generation: self.generation,
            table: std::mem::take(&mut self.state.active),
            identity_version: self.state.persons.version(),
        };
        self.state.recent.seal(self.generation);
        let identities = self.state.identities.seal();
        let stored = self.shared.snapshot();
        let versions = stored.segments.iter().map(|s| s.identity_version());
        let versions = versions.chain(stored.sealed.iter().map(|s| s.identity_version));
        // A damaged segment may come back, and nobody knows how old it is.
        if stored.damaged.is_empty() {
            self.state.persons.forget_moves_before(versions.min().unwrap_or(sealed.identity_version));
        }
        let state = &self.state;
        self.shared.publish(|next| {
            next.sealed.push(sealed.clone());
            next.active = state.active.clone();
            next.persons = state.persons.clone();
            next.counters = state.counters;
        });
        let refusals = self.shared.refusals.lock().unwrap_or_else(PoisonError::into_inner).image();
        Ok(FlushJob {
            sealed,
            identities,
            persons: self.state.persons.clone(),
            catalog: Arc::clone(&self.state.catalog),
            next_arrival: self.state.next_arrival,
            refusals,
            first_log: number,
            first_sequence: self.log.next_sequence(),
            loaded: None,
            waiting: Vec::new(),
        })
    }
}

fn records_in(group: &[Request]) -> usize {
    group.iter().map(|r| if let Op::Records(records) = &r.op { records.len() } else { 0 }).sum()
}

/// An error if the disk has no room for what is in memory and some more.
pub(crate) fn room(shared: &Shared, log_bytes: u64) -> Result<()> {
    let (free, cramped) = (shared.vfs.free_bytes()?, shared.cramped.load(Ordering::SeqCst));
    // A flush writes at most about as much as its log holds, and the log itself grows meanwhile.
    if free < limits::FREE_BYTES_MIN + 2 * log_bytes || cramped {
        let waits = if cramped { ", and what is in memory waits for room" } else { "" };
        let disk = shared.vfs.describe();
        let message = format!("only {} MiB are free on the disk of {disk}{waits}", free >> 20);
        return Err(Error::new(ErrorKind::Full, "disk_full", message)
            .hint("make room; nothing was stored, send it again"));
    }
    Ok(())
}
