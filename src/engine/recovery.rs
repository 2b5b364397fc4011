//! Opening a store: manifest, checkpoint, segments, identities, then the log from where the checkpoint ends. Recovery writes
//! nothing that a crash could leave half done: it may be cut anywhere and run again.

use std::sync::Arc;

use super::Options;
use super::recent::Recent;
use super::snapshot::{Counters, Snapshot};
use super::state::State;
use crate::disk::Vfs;
use crate::disk::codec::Reader;
use crate::error::{Error, ErrorKind, Result};
use crate::store::catalog::Catalog;
use crate::store::entry::read_entry;
use crate::store::identities::Identities;
use crate::store::manifest::{Checkpoint, MANIFEST, MANIFEST_NEW, Manifest};
use crate::store::memtable::Memtable;
use crate::store::persons::Persons;
use crate::store::refusals::Refusals;
use crate::store::segment::Segment;
use crate::store::wal::{WalWriter, parse_wal_name, read_wal, wal_name};

pub(crate) struct Recovered {
    pub(crate) manifest: Manifest,
    pub(crate) state: State,
    pub(crate) snapshot: Snapshot,
    pub(crate) refusals: Refusals,
    pub(crate) log: WalWriter,
}

/// Opens what is there, or makes an empty store.
pub(crate) fn recover(vfs: &Arc<dyn Vfs>, _options: &Options) -> Result<Recovered> {
    let files = vfs.list()?;
    let mut manifest = match Manifest::load(vfs.as_ref(), &files)? {
        Some(manifest) => manifest,
        None => create(vfs.as_ref(), &files)?,
    };
    let taken = files.iter().filter_map(|f| f.rsplit_once('-')?.1.parse::<u64>().ok()).max();
    manifest.next_file = manifest.next_file.max(taken.map_or(0, |n| n + 1));
    let mut segments = Vec::new();
    for file in &manifest.segments {
        segments.push(Arc::new(Segment::open(vfs.as_ref(), &file.name, file.bytes)?));
    }
    let key = (manifest.secret[0], manifest.secret[1]);
    let identity_files: Vec<(String, u64)> =
        manifest.identities.iter().map(|f| (f.name.clone(), f.bytes)).collect();
    let identities = Identities::open(vfs.as_ref(), key, &identity_files)?;
    let mut refusals = Refusals::default();
    let (mut catalog, mut persons, mut next_arrival) = (Catalog::default(), Persons::default(), 0);
    if let Some(file) = &manifest.checkpoint {
        let checkpoint = Checkpoint::load(vfs.as_ref(), file)?;
        catalog = Catalog::from_image(checkpoint.catalog);
        persons = Persons::from_image(checkpoint.persons)
            .ok_or_else(|| Error::corrupt(&file.name, 24, "the identity graph contradicts itself"))?;
        next_arrival = checkpoint.next_arrival;
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
        recent: Recent::default(),
        counters: Counters::default(),
        secret: manifest.secret,
        refused: Vec::new(),
    };
    let next_sequence = replay(vfs.as_ref(), &manifest, &files, &mut state)?;
    state.counters = Counters::default();
    state.refused.drain(..).for_each(|r| refusals.add(r));
    sweep(vfs.as_ref(), &manifest)?;
    // Always a new log: what a crash may have left behind the last sound frame is never appended to.
    let number = manifest.next_number();
    let log = WalWriter::create(vfs.as_ref(), number, manifest.store_id, next_sequence)?;
    vfs.sync_dir()?;
    let snapshot = Snapshot {
        epoch: 0,
        segments: segments.into(),
        sealed: Vec::new(),
        active: state.active.clone(),
        persons: state.persons.clone(),
        catalog: Arc::clone(&state.catalog),
        identities: state.identities.view(),
        counters: state.counters,
    };
    Ok(Recovered { manifest, state, snapshot, refusals, log })
}

fn create(vfs: &dyn Vfs, files: &[String]) -> Result<Manifest> {
    let ours = |f: &&String| parse_wal_name(f).is_some() || f.starts_with("seg-") || f.starts_with("state-");
    if let Some(file) = files.iter().find(|f| ours(f) && !f.starts_with("wal-")) {
        return Err(Error::corrupt(MANIFEST, 0, format!("it is missing, but {file} is there"))
            .hint("restore the directory from a backup, or name an empty one"));
    }
    let mut seed = [0u8; 24];
    getrandom::fill(&mut seed)
        .map_err(|e| Error::new(ErrorKind::Io, "random", format!("the system gives no random bytes: {e}")))?;
    let mut reader = Reader::new(&seed);
    let mut random = || reader.u64().unwrap_or(0);
    let manifest =
        Manifest { store_id: random(), secret: [random(), random()], next_file: 1, ..Manifest::default() };
    manifest.store(vfs)?;
    Ok(manifest)
}

/// Applies the logs that are not in segments yet; the sequence number behind them.
///
/// A log may end in a write that a crash cut short. Where it was the last log then, the next log begins at the sequence number of
/// that write, which proves that nobody was told it was stored; a log that ends earlier is damaged.
fn replay(vfs: &dyn Vfs, manifest: &Manifest, files: &[String], state: &mut State) -> Result<u64> {
    let mut numbers: Vec<u64> =
        files.iter().filter_map(|f| parse_wal_name(f)).filter(|n| *n >= manifest.first_log).collect();
    numbers.sort_unstable();
    let mut next_sequence = manifest.first_sequence;
    for number in numbers {
        let name = wal_name(number);
        let bytes = vfs.open(&name)?;
        let Some(content) = read_wal(&name, &bytes, number, manifest.store_id)? else {
            log::warn!("{name}: begun when a crash came, nothing in it");
            continue;
        };
        if content.first_sequence != next_sequence {
            let what = format!(
                "begins at write {}, but the log before ends at {next_sequence}",
                content.first_sequence
            );
            return Err(Error::corrupt(&name, 0, what));
        }
        if content.torn_bytes > 0 {
            log::warn!("{name}: cut {} bytes of a write that was never acknowledged", content.torn_bytes);
        }
        for range in content.payloads {
            replay_payload(&name, range.start as u64, bytes.get(range).unwrap_or(&[]), state)?;
        }
        next_sequence = content.next_sequence;
    }
    let rows = state.recent.take_group();
    state.active.add(rows);
    Ok(next_sequence)
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
/// replacing and removing them.
fn sweep(vfs: &dyn Vfs, manifest: &Manifest) -> Result<()> {
    let live = manifest.segments.iter().chain(&manifest.identities).chain(&manifest.checkpoint);
    let live: Vec<&str> = live.map(|f| f.name.as_str()).collect();
    for file in vfs.list()? {
        let ours = ["seg-", "ids-", "state-"].iter().any(|p| file.starts_with(p)) || file == MANIFEST_NEW;
        let old_log = parse_wal_name(&file).is_some_and(|n| n < manifest.first_log);
        if old_log || (ours && !live.contains(&file.as_str())) {
            vfs.remove(&file)?;
        }
    }
    Ok(())
}
