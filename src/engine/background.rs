//! The two threads beside the writer: the flusher turns sealed memtables into segments, the compactor merges segments. Both write
//! new files first, then the manifest that names them, then publish; only then do old files go.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};
use roaring::RoaringBitmap;

use super::reply::Reply;
use super::snapshot::{Damaged, Sealed, Snapshot};
use super::{Engine, Shared, hash_record_id};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::store::catalog::Catalog;
use crate::store::compaction;
use crate::store::identities::{IdentitiesView, MergedIdentities, SealedIdentities};
use crate::store::identity_file::IdentityFile;
use crate::store::manifest::{Checkpoint, FileRef, Manifest, checkpoint_name, identities_name, segment_name};
use crate::store::packed::PackedRows;
use crate::store::persons::Persons;
use crate::store::refusals::RefusalsImage;
use crate::store::segment::Segment;
use crate::store::segment::build::{Build, write_rows};
use crate::store::segment::merge::{Merge, merge_segments};
use crate::store::segment::sieve::Sieve;
use crate::store::values::{Table, Values};
use crate::store::wal::parse_wal_name;
use crate::threads::both;

/// A sealed memtable and the state as of its seal.
pub(crate) struct FlushJob {
    pub(crate) sealed: Sealed,
    /// Rows that were loaded, which are in no log, and their values.
    pub(crate) loaded: Option<(PackedRows, Arc<Values>)>,
    pub(crate) identities: Option<SealedIdentities>,
    pub(crate) persons: Persons,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) next_arrival: u64,
    pub(crate) refusals: RefusalsImage,
    /// The first log that is not part of it.
    pub(crate) first_log: u64,
    pub(crate) first_sequence: u64,
    pub(crate) waiting: Vec<Reply>,
}

fn start(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let thread = thread::Builder::new().name(name.into()).spawn(body);
    thread.map_err(|e| Error::new(ErrorKind::Io, "thread", format!("cannot start the {name} thread: {e}")))
}

pub(crate) fn spawn_flusher(
    shared: Arc<Shared>,
    jobs: Receiver<FlushJob>,
    compact: Sender<()>,
) -> Result<JoinHandle<()>> {
    start("flusher", move || {
        let mut closing: Option<Error> = None;
        let mut queue = Queue { jobs, next: None, waiting: Vec::new(), pause: FULL_PAUSE.0 };
        while let Some(job) = queue.take() {
            let done = match &closing {
                Some(error) => Err(error.again()),
                None => shared.healthy().and_then(|()| flush(&shared, job, &mut queue)),
            };
            match &done {
                // What is not flushed because the store closes is in the log. Nothing behind it is flushed either, or that log would go.
                Err(error) if error.kind() == ErrorKind::Busy => closing = Some(error.again()),
                Err(error) => shared.fail(error),
                Ok(()) => {}
            }
            for reply in queue.waiting.drain(..) {
                reply.tell(done.as_ref().map(|()| Vec::new()).map_err(Error::again));
            }
            // Full means that the compactor has been told already.
            let _already_told = compact.try_send(());
        }
    })
}

/// Flushes to come, and who waits for the one at work.
struct Queue {
    jobs: Receiver<FlushJob>,
    /// One that was looked at already.
    next: Option<FlushJob>,
    waiting: Vec<Reply>,
    /// How long the one at work is not tried again if it finds no room.
    pause: Duration,
}

/// The shortest and the longest such pause: each attempt writes files that may have almost fitted, up to the bytes of a log, and a disk can
/// be full for days.
const FULL_PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(5));

impl Queue {
    /// The next one; `None` once the store closes.
    fn take(&mut self) -> Option<FlushJob> {
        let mut job = self.next.take().or_else(|| self.jobs.recv().ok())?;
        self.waiting = std::mem::take(&mut job.waiting);
        self.pause = FULL_PAUSE.0;
        Some(job)
    }

    /// Tells all who wait that the disk is full, those of the next flush as well.
    fn tell(&mut self, full: &Error) {
        self.next = self.next.take().or_else(|| self.jobs.try_recv().ok());
        let of_next = self.next.iter_mut().flat_map(|job| job.waiting.drain(..));
        self.waiting.drain(..).chain(of_next).for_each(|reply| reply.tell(Err(full.again())));
    }
}

/// What a flush has written.
struct Flushed {
    segment: Option<(Arc<Segment>, FileRef)>,
    identities: Option<FileRef>,
    checkpoint: FileRef,
}

/// Writes the files of a flush. On a full disk it waits for room: what was acknowledged is in the log, and nothing more is taken
/// meanwhile. Who waits for the flush is told that the disk is full.
fn write_files(shared: &Shared, job: &FlushJob, queue: &mut Queue) -> Result<Flushed> {
    loop {
        let numbers = {
            let mut manifest = shared.manifest.lock().unwrap_or_else(PoisonError::into_inner);
            [manifest.next_number(), manifest.next_number(), manifest.next_number()]
        };
        let full = match try_write_files(shared, job, numbers) {
            // What was loaded is nowhere else: whoever loads is told, and may begin again.
            Err(error) if error.kind() == ErrorKind::Full && job.loaded.is_none() => error,
            done => return done,
        };
        let begun = [segment_name(numbers[0]), identities_name(numbers[1]), checkpoint_name(numbers[2])];
        let there = shared.vfs.list()?;
        for name in begun.iter().filter(|name| there.contains(name)) {
            // Named nowhere, and in the way.
            shared.vfs.remove(name)?;
        }
        wait_for_room(shared, &full, queue)?;
    }
}

/// Returns when there is room again; until then records are refused. Nobody else waits as long: that may be days.
fn wait_for_room(shared: &Shared, full: &Error, queue: &mut Queue) -> Result<()> {
    if !shared.cramped.swap(true, Ordering::SeqCst) {
        log::error!("records are refused until there is room: {full}");
    }
    queue.tell(full);
    let again = Instant::now() + queue.pause;
    queue.pause = (2 * queue.pause).min(FULL_PAUSE.1);
    // In steps, as the store may close meanwhile.
    let mut step = FULL_PAUSE.0;
    loop {
        if shared.closing.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Busy, "closing", "the store closes before there was room"));
        }
        thread::sleep(step);
        // The writer may have been about to hand over another.
        queue.tell(full);
        step = (2 * step).min(Duration::from_secs(1));
        if Instant::now() >= again && shared.vfs.free_bytes()? >= limits::FREE_BYTES_MIN {
            return Ok(());
        }
    }
}

fn try_write_files(shared: &Shared, job: &FlushJob, numbers: [u64; 3]) -> Result<Flushed> {
    let vfs = shared.vfs.as_ref();
    let secret = shared.manifest.lock().unwrap_or_else(PoisonError::into_inner).secret;
    let name = segment_name(numbers[0]);
    // While rows are loaded nobody reads, and the loader waits.
    let threads = if job.loaded.is_some() { shared.options.merge_threads } else { 1 };
    let build = |rows: &PackedRows, values: &Table| {
        let hash_id = &|id: &str| hash_record_id(secret, id);
        let (name, persons) = (name.as_str(), &job.persons);
        let build = Build { vfs, name, rows, values, persons, secret: secret[0], hash_id, threads };
        let (file, repeated) = write_rows(&build)?;
        shared.repeated.fetch_add(repeated, Ordering::SeqCst);
        Ok(Some((Arc::new(Segment::open(vfs, name, file.bytes)?), FileRef::of(vfs, name)?)))
    };
    let segment = || match &job.loaded {
        Some((rows, values)) if !rows.is_empty() => build(rows, &values.table()),
        _ if job.sealed.table.is_empty() => Ok(None),
        _ => {
            let mut values = Table::new(secret[0]);
            let rows = PackedRows::of(&job.sealed.table, &mut values);
            build(&rows, &values)
        }
    };
    let identities = || {
        let Some(sealed) = &job.identities else { return Ok(None) };
        let name = identities_name(numbers[1]);
        sealed.write(vfs, &name)?;
        Ok(Some(FileRef::of(vfs, &name)?))
    };
    let (identities, segment) = both(threads, identities, segment)?;
    let checkpoint = Checkpoint {
        catalog: job.catalog.image(),
        persons: job.persons.image(),
        next_arrival: job.next_arrival,
        refusals: job.refusals.clone(),
    };
    let checkpoint = checkpoint.store(vfs, &checkpoint_name(numbers[2]))?;
    Ok(Flushed { segment, identities, checkpoint })
}

fn flush(shared: &Shared, job: FlushJob, queue: &mut Queue) -> Result<()> {
    let vfs = shared.vfs.as_ref();
    let Flushed { segment, identities, checkpoint } = write_files(shared, &job, queue)?;
    let mut old_checkpoint = None;
    let mut name_them = || {
        edit_manifest(shared, |manifest| {
            manifest.segments.extend(segment.as_ref().map(|(_, file)| file.clone()));
            manifest.identities.extend(identities.clone());
            old_checkpoint = manifest.checkpoint.replace(checkpoint.clone());
            manifest.first_log = job.first_log;
            manifest.first_sequence = job.first_sequence;
        })
    };
    loop {
        match name_them() {
            Err(full) if full.kind() == ErrorKind::Full => wait_for_room(shared, &full, queue)?,
            done => break done?,
        }
    }
    shared.cramped.store(false, Ordering::SeqCst);
    if let (Some(sealed), Some(file)) = (job.identities, identities) {
        sealed.install(vfs, &file.name)?;
    }
    shared.publish(|next| {
        next.sealed.retain(|s| s.generation != job.sealed.generation);
        if let Some((segment, _)) = segment {
            next.segments = next.segments.iter().cloned().chain([segment]).collect();
            next.epoch += 1;
        }
    });
    shared.flushes.fetch_add(1, Ordering::Relaxed);
    let logs = vfs.list()?.into_iter().filter(|f| parse_wal_name(f).is_some_and(|n| n < job.first_log));
    for file in logs.chain(old_checkpoint.map(|c| c.name)) {
        vfs.remove(&file)?;
    }
    Ok(())
}

/// The number of the next file.
pub(crate) fn take_number(shared: &Shared) -> u64 {
    shared.manifest.lock().unwrap_or_else(PoisonError::into_inner).next_number()
}

/// Changes the manifest: on disk first, then in memory.
pub(crate) fn edit_manifest(shared: &Shared, edit: impl FnOnce(&mut Manifest)) -> Result<()> {
    let mut manifest = shared.manifest.lock().unwrap_or_else(PoisonError::into_inner);
    // Asked and told with the manifest held: behind one that failed none is written, whoever waits to write one.
    shared.healthy()?;
    let mut next = manifest.clone();
    edit(&mut next);
    next.store(shared.vfs.as_ref()).inspect_err(|error| shared.fail_unless_full(error))?;
    *manifest = next;
    Ok(())
}

/// Has the manifest name new files. If the disk was full it does not, and they go: one may hold somebody who is erased before the next
/// start. After any other error nobody knows which manifest counts, and they stay.
pub(crate) fn name_files(shared: &Shared, files: &[FileRef], edit: impl FnOnce(&mut Manifest)) -> Result<()> {
    edit_manifest(shared, edit).inspect_err(|error| {
        if error.kind() == ErrorKind::Full {
            files.iter().for_each(|file| remove_unnamed(shared, &file.name));
        }
    })
}

pub(crate) fn spawn_compactor(shared: Arc<Shared>, wake: Receiver<()>) -> Result<JoinHandle<()>> {
    start("compactor", move || {
        loop {
            scrub(&shared);
            let again = Instant::now() + shared.options.scrub_every;
            loop {
                match wake.recv_deadline(again) {
                    Ok(()) => leave_out_suspects(&shared),
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                if shared.options.compaction {
                    compact_some(&shared);
                }
            }
        }
    })
}

/// Merges what is worth it.
fn compact_some(shared: &Shared) {
    if shared.healthy().is_err() {
        return;
    }
    while !shared.closing.load(Ordering::SeqCst) {
        let snapshot = shared.snapshot();
        let rows: Vec<u64> = snapshot.segments.iter().map(|s| s.directory().rows).collect();
        let Some(picked) = compaction::pick(&rows, shared.options.merge_segments) else { break };
        if let Err(error) = merge(shared, segments_at(&snapshot, &picked)) {
            give_up(shared, &error);
            if error.kind() == ErrorKind::Corrupt {
                scrub(shared);
            }
            break;
        }
    }
    if let Err(error) = merge_identities(shared, false) {
        give_up(shared, &error);
    }
}

fn segments_at(snapshot: &Snapshot, places: &[usize]) -> Vec<Arc<Segment>> {
    places.iter().filter_map(|at| snapshot.segments.get(*at)).cloned().collect()
}

/// Reads every byte of every segment once, and leaves out those that are damaged.
pub(crate) fn scrub(shared: &Shared) {
    for segment in shared.snapshot().segments.iter() {
        if shared.closing.load(Ordering::SeqCst) {
            return;
        }
        // Writers wait for these, and a scrub takes long.
        leave_out_suspects(shared);
        // A compaction may have removed the file: what is mapped stays readable.
        let unreadable = shared.vfs.read_through(segment.name()).err();
        let unreadable = unreadable.filter(|error| error.kind() == ErrorKind::Corrupt);
        let Some(error) = unreadable.or_else(|| segment.check().into_iter().next()) else { continue };
        leave_out(shared, segment, &error);
    }
}

/// Leaves a damaged segment out, if it is there still.
fn leave_out(shared: &Shared, segment: &Segment, error: &Error) {
    // No merge must read it at the same time.
    let _one = shared.merging.lock().unwrap_or_else(PoisonError::into_inner);
    let is_it = |other: &Arc<Segment>| other.name() == segment.name();
    if shared.snapshot().segments.iter().any(is_it) {
        let damaged = Damaged::new(shared.vfs.as_ref(), segment.name(), error);
        shared.publish(|next| {
            next.segments = next.segments.iter().filter(|s| !is_it(s)).cloned().collect();
            next.damaged.push(damaged);
            next.epoch += 1;
        });
    }
}

/// The same of those that the writer has met. It does not do that itself: an erasure keeps merges off and waits for it.
fn leave_out_suspects(shared: &Shared) {
    let suspects = std::mem::take(&mut *shared.suspects.lock().unwrap_or_else(PoisonError::into_inner));
    suspects.iter().for_each(|(segment, error)| leave_out(shared, segment, error));
}

/// Gives damaged segments up for good; their names.
pub(crate) fn drop_damaged(shared: &Shared) -> Result<Vec<String>> {
    let _one = shared.merging.lock().unwrap_or_else(PoisonError::into_inner);
    let names: Vec<String> = shared.snapshot().damaged.iter().map(|d| d.file.clone()).collect();
    edit_manifest(shared, |manifest| manifest.segments.retain(|f| !names.contains(&f.name)))?;
    shared.publish(|next| next.damaged.clear());
    let there = shared.vfs.list()?;
    names.iter().filter(|name| there.contains(name)).try_for_each(|name| shared.vfs.remove(name))?;
    shared.vfs.sync_dir()?;
    Ok(names)
}

/// A merge that fails costs nothing: its inputs are live. Only a disk that cannot be trusted ends writing.
pub(crate) fn give_up(shared: &Shared, error: &Error) {
    match error.kind() {
        ErrorKind::Busy => {}
        ErrorKind::Io => shared.fail(error),
        _ => log::error!("compaction gives up for now in {}: {error}", shared.vfs.describe()),
    }
}

/// Merges everything into as few files as the size limits allow.
pub(crate) fn compact_all(shared: &Shared) -> Result<()> {
    let threads = shared.options.merge_threads;
    both(threads, || merge_identities(shared, true), || compact_segments(shared)).map(drop)
}

fn compact_segments(shared: &Shared) -> Result<()> {
    let snapshot = shared.snapshot();
    let rows: Vec<u64> = snapshot.segments.iter().map(|s| s.directory().rows).collect();
    for group in compaction::pick_all(&rows) {
        let group = segments_at(&snapshot, &group);
        let version = snapshot.persons.version();
        let is_settled = |s: &Arc<Segment>| s.identity_version() == version && s.is_present_version();
        if group.len() != 1 || !group.iter().all(is_settled) {
            merge(shared, group)?;
        }
    }
    Ok(())
}

/// Merges those of `inputs` that are still there: they were picked before, and others may have been faster.
fn merge(shared: &Shared, mut inputs: Vec<Arc<Segment>>) -> Result<()> {
    let _one = shared.merging.lock().unwrap_or_else(PoisonError::into_inner);
    let snapshot = shared.snapshot();
    inputs.retain(|input| snapshot.segments.iter().any(|s| s.name() == input.name()));
    if inputs.is_empty() {
        return Ok(());
    }
    replace_segments(shared, &inputs, &Sieve::default()).map(drop)
}

impl Engine {
    /// Ends what rewrites segments in the background or waits for its turn, for whoever is about to close the store and waits for that.
    pub fn begin_closing(&self) {
        self.shared.closing.store(true, Ordering::SeqCst);
    }
}

/// Takes out of all segments what `sieve` leaves out; how many rows.
pub(crate) fn sift(shared: &Shared, sieve: &Sieve) -> Result<u64> {
    let _one = shared.merging.lock().unwrap_or_else(PoisonError::into_inner);
    let mut gone = 0;
    for segment in shared.snapshot().segments.iter() {
        if shared.closing.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Busy, "closing", "the store closes before all is taken out"));
        }
        if sieve.concerns(segment)? {
            gone += replace_segments(shared, std::slice::from_ref(segment), sieve)?;
        }
    }
    Ok(gone)
}

/// Puts one segment in the place of others, without what `sieve` leaves out; how many rows are gone. Only one at a time.
fn replace_segments(shared: &Shared, inputs: &[Arc<Segment>], sieve: &Sieve) -> Result<u64> {
    // A disk that failed cannot be believed; and after a flush of what was loaded that failed, who is who is not what it says.
    shared.healthy()?;
    let (segment, file) = rewrite(shared, &shared.snapshot().persons, inputs, sieve)?.unzip();
    let is_input = |file: &str| inputs.iter().any(|s| s.name() == file);
    name_files(shared, file.as_slice(), |manifest| {
        manifest.segments.retain(|f| !is_input(&f.name));
        manifest.segments.extend(file.clone());
    })?;
    shared.publish(|next| {
        let kept = next.segments.iter().filter(|s| !is_input(s.name())).cloned();
        next.segments = kept.chain(segment.clone()).collect();
        next.epoch += 1;
    });
    shared.compactions.fetch_add(1, Ordering::Relaxed);
    for input in inputs {
        shared.vfs.remove(input.name())?;
    }
    let rows = |segment: &Arc<Segment>| segment.directory().rows;
    Ok(inputs.iter().map(rows).sum::<u64>() - segment.iter().map(rows).sum::<u64>())
}

/// Writes segments as one new file, which no manifest names yet, without what `sieve` leaves out; `None` if nothing is left.
pub(crate) fn rewrite(
    shared: &Shared,
    persons: &Persons,
    inputs: &[Arc<Segment>],
    sieve: &Sieve,
) -> Result<Option<(Arc<Segment>, FileRef)>> {
    let vfs = shared.vfs.as_ref();
    let is_input = |file: &str| inputs.iter().any(|s| s.name() == file);
    let (number, secret, bytes) = {
        let mut manifest = shared.manifest.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = manifest.segments.iter().filter(|f| is_input(&f.name)).map(|f| f.bytes).sum();
        (manifest.next_number(), manifest.secret, bytes)
    };
    room_to_merge(shared, bytes)?;
    let name = segment_name(number);
    let job = Merge {
        vfs,
        name: &name,
        persons,
        secret: secret[0],
        hash_id: &|id: &str| hash_record_id(secret, id),
        sieve,
        threads: shared.options.merge_threads,
        cancelled: &|| shared.closing.load(Ordering::SeqCst),
    };
    let written = merge_segments(&job, inputs).and_then(|file| match file.rows {
        0 => Ok(None),
        _ => Ok(Some((Arc::new(Segment::open(vfs, &name, file.bytes)?), FileRef::of(vfs, &name)?))),
    });
    if !matches!(written, Ok(Some(_))) {
        remove_unnamed(shared, &name);
    }
    written
}

/// Writes identity files as one new file, which no manifest names yet, without those of `erased`.
pub(crate) fn rewrite_identities(
    shared: &Shared,
    view: &IdentitiesView,
    inputs: &[Arc<IdentityFile>],
    erased: &RoaringBitmap,
) -> Result<(MergedIdentities, FileRef)> {
    let vfs = shared.vfs.as_ref();
    room_to_merge(shared, inputs.iter().map(|file| file.bytes()).sum())?;
    let name = identities_name(take_number(shared));
    let merged = view.merge(vfs, &name, inputs, erased);
    let written = merged.and_then(|merged| Ok((merged, FileRef::of(vfs, &name)?)));
    if written.is_err() {
        remove_unnamed(shared, &name);
    }
    written
}

/// Removes a file that no manifest names. If that cannot be done now, the next erasure or the next start does.
pub(crate) fn remove_unnamed(shared: &Shared, name: &str) {
    if let Err(error) = shared.vfs.remove(name) {
        log::warn!("cannot remove {name}: {error}");
    }
}

/// An error if the disk has no room for another `bytes`: a merge that filled it would stop what comes in.
fn room_to_merge(shared: &Shared, bytes: u64) -> Result<()> {
    let free = shared.vfs.free_bytes()?;
    let log = shared.meters.log_bytes.load(Ordering::Relaxed);
    if free < bytes + limits::FREE_BYTES_MIN + 2 * log {
        let message = format!(
            "to merge files of {} MiB needs as much room, but {} MiB are free",
            bytes >> 20,
            free >> 20
        );
        return Err(
            Error::new(ErrorKind::Full, "disk_full", message).hint("make room; nothing is lost meanwhile")
        );
    }
    Ok(())
}

/// Merges identity files of like size.
fn merge_identities(shared: &Shared, all: bool) -> Result<()> {
    let _one = shared.merging_identities.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        shared.healthy()?;
        let view = shared.snapshot().identities.clone();
        let inputs = view.to_merge(all, shared.options.identities_merged);
        if inputs.is_empty() {
            return Ok(());
        }
        let (merged, file) = rewrite_identities(shared, &view, &inputs, &RoaringBitmap::new())?;
        name_files(shared, std::slice::from_ref(&file), |manifest| {
            let at = manifest.identities.iter().position(|f| merged.inputs.contains(&f.name)).unwrap_or(0);
            manifest.identities.retain(|f| !merged.inputs.contains(&f.name));
            manifest.identities.insert(at, file.clone());
        })?;
        merged.install();
        for input in &merged.inputs {
            shared.vfs.remove(input)?;
        }
    }
}
