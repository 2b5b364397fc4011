//! Opening a store: manifest, checkpoint, segments, identities, then the log from where the checkpoint ends. Recovery writes
//! nothing that a crash could leave half done: it may be cut anywhere and run again.

use std::sync::Arc;

use super::erase::not_lost;
use super::recent::Recent;
use super::snapshot::{Counters, Damaged, Opening, Snapshot};
use super::state::State;
use crate::disk::Vfs;
use crate::disk::codec::Reader;
use crate::error::{Error, ErrorKind, Result};
use crate::store::catalog::Catalog;
use crate::store::entry::read_entry;
use crate::store::erasures::{ERASED_NEW, Erasures};
use crate::store::identities::Identities;
use crate::store::manifest::{COUNTED_MAX, Checkpoint, FileRef, MANIFEST, MANIFEST_NEW, Manifest, number_of};
use crate::store::memtable::Memtable;
use crate::store::persons::Persons;
use crate::store::refusals::Refusals;
use crate::store::segment::Segment;
use crate::store::wal::{WalContent, WalWriter, parse_wal_name, read_wal, wal_name};

/// How the names of files begin that only a manifest makes sense of.
const OURS: [&str; 3] = ["seg-", "ids-", "state-"];

/// How often files are read again that a writer has replaced meanwhile.
pub(super) const TRIES: u32 = 20;

pub(crate) struct Recovered {
    pub(crate) manifest: Manifest,
    pub(crate) state: State,
    pub(crate) snapshot: Snapshot,
    pub(crate) refusals: Refusals,
    pub(crate) log: WalWriter,
}

/// Opens what is there, or makes an empty store.
pub(crate) fn recover(vfs: &Arc<dyn Vfs>) -> Result<Recovered> {
    let files = vfs.list()?;
    let mut manifest = match Manifest::load(vfs.as_ref(), &files)? {
        Some(manifest) => manifest,
        None => create(vfs.as_ref(), &files)?,
    };
    let number =
        |f: &String| OURS.iter().find_map(|prefix| number_of(f, prefix)).or_else(|| parse_wal_name(f));
    let taken = files.iter().filter_map(number).max();
    manifest.next_file = manifest.next_file.max(taken.map_or(0, |n| n + 1));
    let loaded = load(vfs.as_ref(), &manifest, &files)?;
    // A kill may have left the manifest's name undurable: it must be durable before what an older one names goes.
    vfs.sync_dir()?;
    sweep(vfs.as_ref(), &manifest)?;
    let log = begin_log(vfs.as_ref(), &mut manifest, &loaded.replayed)?;
    let snapshot = loaded.snapshot(vfs.as_ref());
    Ok(Recovered { manifest, state: loaded.state, snapshot, refusals: loaded.refusals, log })
}

/// The store as it is, without taking or changing anything. A writer may replace files meanwhile; then it is read again.
pub(crate) fn read_only(vfs: &dyn Vfs) -> Result<Snapshot> {
    let mut tries = 0;
    loop {
        let files = vfs.list()?;
        let Some(manifest) = Manifest::load(vfs, &files)? else {
            manifest_is_not_lost(&files)?;
            let message = format!("there is no store in {}", vfs.describe());
            return Err(Error::new(ErrorKind::NotFound, "no_store", message)
                .hint("name the right directory with --data, or import something first"));
        };
        match load(vfs, &manifest, &files) {
            Ok(loaded) if loaded.missing && tries < TRIES && is_replaced(vfs, &manifest)? => tries += 1,
            Ok(loaded) => return Ok(loaded.snapshot(vfs)),
            // A file that the manifest named has gone since: a newer manifest names others.
            Err(error) if tries < TRIES && is_replaced(vfs, &manifest)? => {
                log::debug!("reading again: {error}");
                tries += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether a writer has put another manifest in the place of this one.
pub(super) fn is_replaced(vfs: &dyn Vfs, manifest: &Manifest) -> Result<bool> {
    Ok(Manifest::load(vfs, &vfs.list()?)?.as_ref() != Some(manifest))
}

/// Opens a segment that the manifest names. One whose file is missing is damaged, as far as this manifest goes.
fn open_segment(vfs: &dyn Vfs, file: &FileRef) -> Result<Segment> {
    let opened = Segment::open(vfs, &file.name, file.bytes);
    match opened.and_then(|segment| file.verify(vfs).map(|()| segment)) {
        Err(error) if error.kind() == ErrorKind::Io && is_missing(vfs, file)? => Err(missing(file)),
        opened => opened,
    }
}

/// That the file of a segment is not there.
pub(super) fn missing(file: &FileRef) -> Error {
    Error::corrupt(&file.name, 0, "the file is missing")
}

/// Whether the file of a segment is not there.
pub(super) fn is_missing(vfs: &dyn Vfs, file: &FileRef) -> Result<bool> {
    Ok(!vfs.list()?.contains(&file.name))
}

/// What the files of a manifest hold.
struct Loaded {
    state: State,
    segments: Vec<Arc<Segment>>,
    /// Segments that are left out, and why.
    damaged: Vec<(String, Error)>,
    /// Whether the file of a segment was not there.
    missing: bool,
    refusals: Refusals,
    replayed: Replayed,
}

impl Loaded {
    fn snapshot(&self, vfs: &dyn Vfs) -> Snapshot {
        Snapshot {
            opening: Opening::new(),
            epoch: 0,
            segments: self.segments.clone().into(),
            damaged: self.damaged.iter().map(|(file, error)| Damaged::new(vfs, file, error)).collect(),
            sealed: Vec::new(),
            active: self.state.active.clone(),
            persons: self.state.persons.clone(),
            catalog: Arc::clone(&self.state.catalog),
            identities: self.state.identities.view(),
            counters: self.state.counters,
        }
    }
}

fn load(vfs: &dyn Vfs, manifest: &Manifest, files: &[String]) -> Result<Loaded> {
    let (mut segments, mut damaged, mut missing) = (Vec::new(), Vec::new(), false);
    for file in &manifest.segments {
        match open_segment(vfs, file) {
            Ok(segment) => segments.push(Arc::new(segment)),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                missing |= is_missing(vfs, file)?;
                damaged.push((file.name.clone(), error));
            }
            Err(error) => return Err(error),
        }
    }
    // What the store cannot do without is read through before it is mapped, so that a bad sector is damage: 10 ms for 80 MB at hand.
    let logs = files.iter().filter(|name| parse_wal_name(name).is_some_and(|n| n >= manifest.first_log));
    let whole = manifest.identities.iter().chain(&manifest.checkpoint).map(|file| &file.name);
    whole.chain(logs).try_for_each(|name| vfs.read_through(name))?;
    let key = (manifest.secret[0], manifest.secret[1]);
    let identity_files: Vec<(String, u64)> =
        manifest.identities.iter().map(|f| (f.name.clone(), f.bytes)).collect();
    let identities = Identities::open(vfs, key, &identity_files)?;
    let mut refusals = Refusals::default();
    let (mut catalog, mut persons, mut next_arrival) = (Catalog::default(), Persons::default(), 0);
    let checkpoint = manifest.checkpoint.as_ref().map(|f| Ok((f, Checkpoint::load(vfs, f)?)));
    let checkpoint = checkpoint.transpose()?;
    // Only now: a file of a newer version is another error.
    manifest.identities.iter().chain(&manifest.checkpoint).try_for_each(|file| file.verify(vfs))?;
    if let Some((file, checkpoint)) = checkpoint {
        catalog = Catalog::from_image(checkpoint.catalog);
        persons = Persons::from_image(&checkpoint.persons)
            .ok_or_else(|| Error::corrupt(&file.name, 24, "the identity graph contradicts itself"))?;
        next_arrival = checkpoint.next_arrival;
        if next_arrival > COUNTED_MAX {
            return Err(Error::corrupt(&file.name, 24, format!("nothing arrived as number {next_arrival}")));
        }
        refusals = Refusals::from_image(checkpoint.refusals);
    }
    if identities.len() != persons.identities() {
        let what =
            format!("{} identities, but the checkpoint has {}", identities.len(), persons.identities());
        return Err(Error::corrupt("identity files", 0, what));
    }
    let mut state = State {
        identities,
        persons,
        catalog: Arc::new(catalog),
        active: Memtable::default(),
        next_arrival,
        recent: Recent::new(manifest.secret[0]),
        counters: Counters::default(),
        secret: manifest.secret,
        refused: Vec::new(),
        suspect: None,
    };
    // Nothing here needs it, but a list that is lost should not be noticed with the next restore only. It is written before the manifest,
    // and so looked for behind it.
    not_lost(&Erasures::load(vfs, &vfs.list()?, manifest.store_id)?, state.persons.erased())?;
    let replayed = replay(vfs, manifest, files, &mut state)?;
    state.counters = Counters::default();
    state.refused.drain(..).for_each(|r| refusals.add(r));
    Ok(Loaded { state, segments, damaged, missing, refusals, replayed })
}

/// Whether none of these files is one of a store.
pub fn has_nothing_of_a_store(files: &[String]) -> bool {
    !files.iter().any(|file| file == MANIFEST) && manifest_is_not_lost(files).is_ok()
}

/// An error if there are files of a store: its manifest was durable before the first of these was begun.
fn manifest_is_not_lost(files: &[String]) -> Result<()> {
    let ours = |f: &&String| OURS.iter().any(|prefix| f.starts_with(prefix)) || parse_wal_name(f).is_some();
    files.iter().find(ours).map_or(Ok(()), |file| {
        Err(Error::corrupt(MANIFEST, 0, format!("it is missing, but {file} is there"))
            .hint("restore the directory from a backup, or name an empty one"))
    })
}

fn create(vfs: &dyn Vfs, files: &[String]) -> Result<Manifest> {
    manifest_is_not_lost(files)?;
    let mut seed = [0u8; 32];
    getrandom::fill(&mut seed)
        .map_err(|e| Error::new(ErrorKind::Io, "random", format!("the system gives no random bytes: {e}")))?;
    let mut reader = Reader::new(&seed);
    let mut random = || reader.u64().unwrap_or(0);
    let mut manifest =
        Manifest { store_id: random(), secret: [random(), random()], next_file: 1, ..Manifest::default() };
    // Nobody outside can guess a sequence number, so no record can be made to look like a frame of the log.
    manifest.first_sequence = random() >> 16;
    manifest.store(vfs)?;
    Ok(manifest)
}

/// Always a new log: what a crash may have left behind the last sound write is never appended to.
///
/// The new log begins with a copy of the last write. That write may never have been synced (the process was killed before, or the
/// sync failed, and a second one would promise what it cannot keep), and it is visible from now on. All writes before it were.
fn begin_log(vfs: &dyn Vfs, manifest: &mut Manifest, replayed: &Replayed) -> Result<WalWriter> {
    let number = manifest.next_number();
    let first = replayed.next_sequence - u64::from(replayed.last.is_some());
    let mut log = WalWriter::create(vfs, number, manifest.store_id, first)?;
    vfs.sync_dir()?;
    if let Some(payload) = &replayed.last {
        log.append(payload)?;
        log.sync()?;
    }
    Ok(log)
}

/// What the logs gave.
struct Replayed {
    /// The sequence number behind the last write.
    next_sequence: u64,
    /// The last write.
    last: Option<Vec<u8>>,
}

/// Applies the logs that are not in segments yet.
///
/// A log may end in a write that a crash cut short. Where it was the last log then, the next log begins at the sequence number of
/// that write, which proves that nobody was told it was stored; a log that ends earlier is damaged. A log that begins with a copy
/// of the last write before it goes on behind the copy.
fn replay(vfs: &dyn Vfs, manifest: &Manifest, files: &[String], state: &mut State) -> Result<Replayed> {
    let mut numbers: Vec<u64> =
        files.iter().filter_map(|f| parse_wal_name(f)).filter(|n| *n >= manifest.first_log).collect();
    numbers.sort_unstable();
    let mut replayed = Replayed { next_sequence: manifest.first_sequence, last: None };
    // The manifest names a first log only after that was made durable.
    if manifest.first_log != 0 && numbers.first() != Some(&manifest.first_log) {
        return Err(Error::corrupt(wal_name(manifest.first_log), 0, "the log is missing"));
    }
    let mut previous = None;
    for number in numbers {
        let name = wal_name(number);
        let bytes = vfs.open(&name)?;
        match read_wal(&name, &bytes, number, manifest.store_id)? {
            Some(content) => replay_log(&name, &bytes, content, previous, &mut replayed, state)?,
            None if number == manifest.first_log => {
                return Err(Error::corrupt(&name, 0, "the log has lost its header"));
            }
            None => log::warn!("{name}: begun when a crash came, nothing in it"),
        }
        previous = Some((name, bytes.len() as u64));
    }
    let rows = state.recent.take_group();
    state.active.add(rows);
    Ok(replayed)
}

fn replay_log(
    name: &str,
    bytes: &[u8],
    content: WalContent,
    previous: Option<(String, u64)>,
    replayed: &mut Replayed,
    state: &mut State,
) -> Result<()> {
    let (begins, next) = (content.first_sequence, replayed.next_sequence);
    let copied = replayed.last.is_some() && begins.checked_add(1) == Some(next);
    if begins != next && !copied {
        return Err(match previous {
            Some((previous, bytes)) if begins > next => {
                let what = format!("its writes end before {next}, but {name} begins with {begins}: damaged");
                Error::corrupt(previous, bytes, what)
            }
            _ => Error::corrupt(name, 0, format!("begins with write {begins}, but {next} is the next")),
        });
    }
    if content.torn_bytes > 0 {
        log::warn!("{name}: cut {} bytes of a write that was never acknowledged", content.torn_bytes);
    }
    let mut last = None;
    for (at, range) in content.payloads.into_iter().enumerate() {
        let (offset, payload) = (range.start as u64, bytes.get(range).unwrap_or(&[]));
        if copied && at == 0 {
            if replayed.last.as_deref() != Some(payload) {
                return Err(Error::corrupt(name, offset, "not the write that it must repeat"));
            }
            continue;
        }
        replay_payload(name, offset, payload, state)?;
        last = Some(payload);
    }
    replayed.last = last.map(<[u8]>::to_vec).or(replayed.last.take());
    replayed.next_sequence = next.max(content.next_sequence);
    Ok(())
}

fn replay_payload(name: &str, offset: u64, payload: &[u8], state: &mut State) -> Result<()> {
    let mut reader = Reader::new(payload);
    while !reader.is_empty() {
        let at = offset + reader.offset() as u64;
        let entry = read_entry(&mut reader).ok_or_else(|| Error::corrupt(name, at, "no entry of a log"))?;
        if !state.apply(entry)? {
            return Err(Error::corrupt(name, at, "an entry names what does not exist"));
        }
    }
    Ok(())
}

/// Removes files that the manifest does not name: left by a crash between writing and naming them, or between
/// replacing and removing them. It goes on behind one that cannot be removed.
pub(super) fn sweep(vfs: &dyn Vfs, manifest: &Manifest) -> Result<()> {
    let live: Vec<&str> = manifest.files().map(|f| f.name.as_str()).collect();
    let mut done = Ok(());
    for file in vfs.list()? {
        let ours =
            OURS.iter().any(|prefix| file.starts_with(prefix)) || file == MANIFEST_NEW || file == ERASED_NEW;
        let old_log = parse_wal_name(&file).is_some_and(|n| n < manifest.first_log);
        if old_log || (ours && !live.contains(&file.as_str())) {
            done = done.and(vfs.remove(&file));
        }
    }
    done
}
