//! Erasing people: every row, property and identity of them leaves all answers at one instant, and all files.
//!
//! The long part, writing segments and identity files without them, is done beside the writer. The writer then flushes what is in
//! memory, writes anew what has come since, and replaces the manifest: before that nothing has changed, behind it nothing of them is
//! named any more, and what no manifest names is removed. A crash leaves one or the other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use roaring::RoaringBitmap;
use serde::Serialize;

use super::background::{give_up, name_files, remove_unnamed, rewrite, rewrite_identities, take_number};
use super::feed::Happening;
use super::recovery::sweep;
use super::reply::promise;
use super::snapshot::Snapshot;
use super::writer::{Op, Writer};
use super::{Engine, Outcome, Shared};
use crate::disk::{RealVfs, Vfs};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{IdentityId, Millis, NameId};
use crate::store::erasures::{ERASED, Erasure, Erasures, erasure_hash};
use crate::store::identities::MergedIdentities;
use crate::store::manifest::{Checkpoint, FileRef, Manifest, checkpoint_name};
use crate::store::persons::Persons;
use crate::store::refusals::Refusal;
use crate::store::segment::Segment;
use crate::store::segment::sieve::Sieve;

/// How often an erasure begins anew because its people were joined with others meanwhile.
const TRIES: usize = 10;

/// The code of the error that the list of the erased is lost.
pub(super) const LIST_LOST: &str = "list_lost";
/// What to do about it.
pub(super) const PUT_LIST_BACK: &str = "take ERASED from the newest backup; without any, give it up: whodid check --drop-damaged, after which backups from before bring back who was erased";

/// What was erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Erased {
    /// People.
    pub people: u64,
    /// Their identities.
    pub identities: u64,
    /// Their events.
    pub events: u64,
    /// Times that properties of theirs were set.
    pub sets: u64,
    /// Identifies of theirs, and those of others that name them.
    pub identifies: u64,
    /// Segments that were written anew.
    pub segments: u64,
    /// Refusals about them that were kept.
    pub refusals: u64,
}

type NewSegment = (Arc<Segment>, FileRef);

/// Files without the erased, and what they stand for.
#[derive(Default)]
struct Rewritten {
    /// Each segment as it was, and the one in its place; `None` if nothing was left.
    segments: Vec<(Arc<Segment>, Option<NewSegment>)>,
    identities: Vec<(MergedIdentities, FileRef)>,
}

impl Rewritten {
    /// Whether an identity file was written anew.
    fn has_identities(&self, name: &str) -> bool {
        self.identities.iter().any(|(merged, _)| merged.inputs.iter().any(|input| input == name))
    }
}

/// An erasure on its way.
pub(crate) struct Plan {
    /// One identity of each person.
    people: Vec<IdentityId>,
    /// All of theirs.
    members: RoaringBitmap,
    texts: BTreeSet<String>,
    /// The lengths of the texts.
    lengths: BTreeSet<usize>,
    sieve: Sieve,
    /// Files that are certainly named nowhere.
    rewritten: Mutex<Rewritten>,
    receipt: Mutex<Erased>,
}

impl Engine {
    /// Erases the persons of some identities for good; what comes under them later is somebody new. An error of kind `NotFound` if one
    /// of them is unknown: then nobody is erased. Takes as long as writing the segments that they are in. An engine without a log
    /// ([`super::Options::bulk`]) erases nobody: an error of kind `Conflict`.
    pub fn erase(&self, identities: &[String]) -> Result<Erased> {
        self.erase_and_name(identities).map(|(erased, _)| erased)
    }

    /// The same, and all identities that are erased: others may have joined these since somebody looked.
    pub fn erase_and_name(&self, identities: &[String]) -> Result<(Erased, BTreeSet<String>)> {
        let shared = &self.shared;
        if shared.numbering.is_some() {
            let message = "a store that is opened to bring in much without a log erases nobody";
            return Err(Error::new(ErrorKind::Conflict, "no_log", message).hint("open it with other options"));
        }
        let _one = shared.merging.lock().unwrap_or_else(PoisonError::into_inner);
        let _of_identities = shared.merging_identities.lock().unwrap_or_else(PoisonError::into_inner);
        self.can_erase()?;
        // Most of what is in memory is then written anew beside the writer, too.
        self.flush()?;
        for _ in 0..TRIES {
            let plan = Arc::new(Plan::new(&shared.snapshot(), identities)?);
            if let Err(error) = plan.prepare(shared) {
                plan.discard(shared);
                give_up(shared, &error);
                return Err(error);
            }
            match self.request(Op::Erase(Arc::clone(&plan)), true) {
                Ok(outcomes) if outcomes == [Outcome::Stored] => {
                    let erased = *plan.receipt.lock().unwrap_or_else(PoisonError::into_inner);
                    return Ok((erased, plan.texts.clone()));
                }
                Ok(_) => plan.discard(shared),
                Err(error) => {
                    plan.discard(shared);
                    return Err(error);
                }
            }
        }
        Err(Error::new(ErrorKind::Busy, "busy", "the person is being joined with others all the time")
            .hint("try again"))
    }

    /// An error if nobody can be erased: nothing can be written, the list is lost, which a list of them alone would hide, or what is
    /// damaged may hold something of them.
    pub fn can_erase(&self) -> Result<()> {
        self.shared.healthy()?;
        let snapshot = self.snapshot();
        not_lost(&self.erasures()?, snapshot.persons.erased())?;
        let Some(damaged) = snapshot.damaged.first() else { return Ok(()) };
        let message = format!("{} is damaged, so what it holds of them cannot be taken out", damaged.file);
        Err(Error::new(ErrorKind::Conflict, "damaged", message).hint(
            "put a sound copy from a backup in its place and restart, or give it up: whodid check --drop-damaged",
        ))
    }

    /// The identities in this list, of this store, that are not somebody new.
    pub fn listed(&self, list: &Erasures) -> Result<BTreeSet<String>> {
        let secret = {
            let manifest = self.shared.manifest.lock().unwrap_or_else(PoisonError::into_inner);
            if manifest.store_id != list.store_id {
                return Err(Error::invalid("foreign_list", "the list of erasures is another store's"));
            }
            manifest.secret
        };
        self.flush()?;
        let snapshot = self.snapshot();
        let (index, mut found) = (list.index(), BTreeSet::new());
        snapshot.identities.for_each_stored(|id, text| {
            if !text.is_empty() && index.names(&erasure_hash(secret, text), id) {
                found.insert(text.to_owned());
            }
        })?;
        Ok(found)
    }

    /// Erases these identities and no other: whoever is one person with them here was not when they were erased, and stays, as after
    /// [`Engine::unmerge`].
    pub fn erase_only(&self, identities: &BTreeSet<String>) -> Result<Erased> {
        let (snapshot, mut people) = (self.snapshot(), BTreeMap::<_, Vec<&String>>::new());
        for identity in identities {
            people.entry(snapshot.person(identity)?).or_default().push(identity);
        }
        for (person, listed) in &people {
            if snapshot.persons.members(*person).len() > listed.len() {
                listed.iter().try_for_each(|identity| self.unmerge(identity).map(drop))?;
            }
        }
        if people.is_empty() {
            return Ok(Erased::default());
        }
        let erased = self.erase(&identities.iter().cloned().collect::<Vec<_>>())?;
        Ok(Erased { people: people.len() as u64, ..erased })
    }

    /// Who was erased.
    pub fn erasures(&self) -> Result<Erasures> {
        let store_id = self.shared.manifest.lock().unwrap_or_else(PoisonError::into_inner).store_id;
        Erasures::load(self.shared.vfs.as_ref(), &self.shared.vfs.list()?, store_id)
    }
}

/// An error if a list names nobody though identities were erased. Fewer than these would be no evidence: in a restored store one entry can
/// stand for somebody who was erased more than once.
pub(super) fn not_lost(list: &Erasures, erased: u32) -> Result<()> {
    if erased == 0 || !list.entries.is_empty() {
        return Ok(());
    }
    let message = format!("{ERASED}: it names none of {erased} identities that were erased");
    Err(Error::new(ErrorKind::Corrupt, LIST_LOST, message).hint(PUT_LIST_BACK))
}

/// Makes a list in the place of the one that the store in `dir` has lost, or that cannot be read; whether there was need. Nobody knows any
/// more who was erased: it has one entry, which is nobody's.
pub fn give_up_list(dir: &Path, now: Millis) -> Result<bool> {
    let vfs = RealVfs::existing(dir)?;
    let Some(Manifest { store_id, .. }) = Manifest::load(&vfs, &vfs.list()?)? else { return Ok(false) };
    let damaged = |error: Error| error.kind() == ErrorKind::Corrupt;
    let unread = Erasures::load(&vfs, &vfs.list()?, store_id).is_err_and(damaged);
    if !unread && !super::read_only_on(&vfs).is_err_and(|error| error.code() == LIST_LOST) {
        return Ok(false);
    }
    let _lock = vfs.lock()?;
    let nobody = Erasure { hash: [0; 16], before: 0, at: now };
    Erasures { store_id, entries: vec![nobody] }.store(&vfs)?;
    Ok(true)
}

impl Plan {
    fn new(snapshot: &Snapshot, identities: &[String]) -> Result<Self> {
        let mut people = BTreeSet::new();
        for identity in identities {
            people.insert(snapshot.person(identity)?);
        }
        let people: Vec<_> = people.into_iter().collect();
        let members = members_of(&snapshot.persons, &people);
        let texts: BTreeSet<_> = members.iter().map(|id| snapshot.identity(id)).collect::<Result<_>>()?;
        let lengths = texts.iter().map(String::len).collect();
        let sieve = Sieve::of_identities(members.iter());
        let (rewritten, receipt) = (Mutex::default(), Mutex::default());
        Ok(Self { people, members, texts, lengths, sieve, rewritten, receipt })
    }

    /// Writes everything anew that is in files and not written anew yet.
    fn prepare(&self, shared: &Shared) -> Result<()> {
        let snapshot = shared.snapshot();
        let mut rewritten = self.rewritten.lock().unwrap_or_else(PoisonError::into_inner);
        for segment in snapshot.segments.iter() {
            let done = rewritten.segments.iter().any(|(before, _)| before.name() == segment.name());
            if done || !self.sieve.concerns(segment)? {
                continue;
            }
            let after = rewrite(shared, &snapshot.persons, &[Arc::clone(segment)], &self.sieve)?;
            rewritten.segments.push((Arc::clone(segment), after));
        }
        let (view, members) = (&snapshot.identities, &self.members);
        for file in view.files_with(members) {
            if !rewritten.has_identities(file.name()) {
                rewritten.identities.push(rewrite_identities(shared, view, &[file], members)?);
            }
        }
        Ok(())
    }

    /// Has the manifest name what was written anew, and gives it back. From then on nobody removes it, whatever goes wrong; only if the
    /// disk was full it is certain that no manifest names it.
    fn name_rewritten(&self, shared: &Shared, checkpoint: &FileRef) -> Result<Rewritten> {
        let mut planned = self.rewritten.lock().unwrap_or_else(PoisonError::into_inner);
        let rewritten = std::mem::take(&mut *planned);
        let named = name_files(shared, std::slice::from_ref(checkpoint), |manifest| {
            for (before, after) in &rewritten.segments {
                replace(&mut manifest.segments, before.name(), after.as_ref().map(|(_, file)| file));
            }
            for (merged, file) in &rewritten.identities {
                for input in &merged.inputs {
                    replace(&mut manifest.identities, input, Some(file));
                }
            }
            manifest.checkpoint = Some(checkpoint.clone());
        });
        match named {
            Ok(()) => Ok(rewritten),
            Err(error) => {
                if error.kind() == ErrorKind::Full {
                    *planned = rewritten;
                }
                Err(error)
            }
        }
    }

    /// Removes what was written for nothing.
    fn discard(&self, shared: &Shared) {
        let rewritten = std::mem::take(&mut *self.rewritten.lock().unwrap_or_else(PoisonError::into_inner));
        let segments = rewritten.segments.into_iter().filter_map(|(_, after)| Some(after?.1.name));
        for name in segments.chain(rewritten.identities.into_iter().map(|(_, file)| file.name)) {
            remove_unnamed(shared, &name);
        }
    }

    /// Whether a refusal says anything of them.
    fn names(&self, refusal: &Refusal) -> bool {
        let about = |text: &str| self.texts.contains(text.trim());
        about(&refusal.identity) || about(&refusal.name) || self.is_quoted(&refusal.message)
    }

    /// Whether a message holds a text of theirs. Its pieces are looked up, as there can be a hundred thousand texts.
    fn is_quoted(&self, message: &str) -> bool {
        let piece = |from: usize, length: usize| message.get(from..from.checked_add(length)?);
        let known = |from: usize, length: usize| piece(from, length).is_some_and(|p| self.texts.contains(p));
        self.lengths.iter().any(|length| (0..message.len()).any(|from| known(from, *length)))
    }

    fn names_happening(&self, happening: &Happening) -> bool {
        match happening {
            Happening::Stored(row) => {
                self.members.contains(row.identity)
                    || (row.name == NameId::IDENTIFY && self.members.contains(row.target))
            }
            Happening::Refused(refusal) => self.names(refusal),
        }
    }

    fn receipt(&self, rewritten: &Rewritten, refusals: u64) -> Erased {
        let mut receipt = Erased {
            people: self.people.len() as u64,
            identities: self.members.len(),
            segments: rewritten.segments.len() as u64,
            refusals,
            ..Erased::default()
        };
        for (before, after) in &rewritten.segments {
            let after = after.as_ref().map(|(segment, _)| segment);
            for entry in &before.directory().names {
                let name = NameId(entry.name);
                let left = after.and_then(|s| s.name_entry(s.find_name(name)?)).map_or(0, |e| e.rows);
                *match name {
                    NameId::SET => &mut receipt.sets,
                    NameId::IDENTIFY => &mut receipt.identifies,
                    _ => &mut receipt.events,
                } += entry.rows - left;
            }
        }
        receipt
    }
}

fn members_of(persons: &Persons, people: &[IdentityId]) -> RoaringBitmap {
    people.iter().flat_map(|id| persons.members(persons.person_of(*id))).collect()
}

impl Writer {
    /// Carries out what was planned; `false` if its people are others by now.
    pub(super) fn erase(&mut self, plan: &Plan) -> Result<bool> {
        self.ready()?;
        if members_of(&self.state.persons, &plan.people) != plan.members {
            return Ok(false);
        }
        let (reply, flushed) = promise();
        self.seal(vec![reply]);
        flushed.wait()?;
        plan.prepare(&self.shared).inspect_err(|error| give_up(&self.shared, error))?;
        // A full disk is noticed before the manifest is replaced: nothing has changed then.
        self.install(plan).inspect_err(|error| self.shared.fail_unless_full(error))?;
        Ok(true)
    }

    /// Everything is in segments, and the log is empty.
    fn install(&mut self, plan: &Plan) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let vfs = shared.vfs.as_ref();
        let mut persons = self.state.persons.clone();
        plan.people.iter().for_each(|id| persons.erase(*id));
        let mut refusals = shared.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone();
        refusals.forget(&|refusal| plan.names(refusal));
        self.list(plan)?;
        let checkpoint = Checkpoint {
            catalog: self.state.catalog.image(),
            persons: persons.image(),
            next_arrival: self.state.next_arrival,
            refusals: refusals.image(),
        };
        let name = checkpoint_name(take_number(&shared));
        let stored = checkpoint.store(vfs, &name).inspect_err(|_| remove_unnamed(&shared, &name))?;
        let rewritten = plan.name_rewritten(&shared, &stored)?;
        rewritten.identities.iter().for_each(|(merged, _)| merged.install());
        self.state.identities.forget_cached();
        self.state.persons = persons;
        self.state.recent.forget_before(u64::MAX);
        // What was refused meanwhile stays.
        let mut refusals = shared.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let forgotten = refusals.forget(&|refusal| plan.names(refusal));
        drop(refusals);
        let state = &self.state;
        shared.publish(|next| {
            let after = |segment: &Arc<Segment>| {
                let found = rewritten.segments.iter().find(|(before, _)| before.name() == segment.name());
                match found {
                    Some((_, after)) => after.as_ref().map(|(segment, _)| Arc::clone(segment)),
                    None => Some(Arc::clone(segment)),
                }
            };
            next.segments = next.segments.iter().filter_map(after).collect();
            next.persons = state.persons.clone();
            next.epoch += 1;
        });
        shared.feed.forget(|happening| plan.names_happening(happening));
        shared.flushes.fetch_add(1, Ordering::Relaxed);
        // Not what was replaced alone: whatever else is named nowhere may hold them as well. Nobody writes new files meanwhile: no merge
        // is at work, and no flush.
        let swept = sweep(vfs, &shared.manifest.lock().unwrap_or_else(PoisonError::into_inner));
        // Only with the directory's sync the names are gone for good, and with them the bytes. They are erased whatever failed: it is not
        // tried again.
        let synced = vfs.sync_dir().inspect_err(|error| shared.fail(error));
        swept.and(synced)?;
        *plan.receipt.lock().unwrap_or_else(PoisonError::into_inner) = plan.receipt(&rewritten, forgotten);
        Ok(())
    }

    /// Adds them to the list. Before they are erased: if that fails now, a restore does it.
    fn list(&self, plan: &Plan) -> Result<()> {
        let (store_id, secret) = {
            let manifest = self.shared.manifest.lock().unwrap_or_else(PoisonError::into_inner);
            (manifest.store_id, manifest.secret)
        };
        let vfs = self.shared.vfs.as_ref();
        let mut list = Erasures::load(vfs, &vfs.list()?, store_id)?;
        not_lost(&list, self.state.persons.erased())?;
        let (before, at) = (self.state.identities.len(), self.shared.options.clock.now());
        let entry = |text: &String| Erasure { hash: erasure_hash(secret, text), before, at };
        list.add(plan.texts.iter().map(entry));
        list.store(vfs).map(drop)
    }
}

fn replace(files: &mut Vec<FileRef>, name: &str, with: Option<&FileRef>) {
    match (files.iter_mut().find(|f| f.name == name), with) {
        (Some(slot), Some(file)) => *slot = file.clone(),
        (Some(_), None) => files.retain(|f| f.name != name),
        (None, _) => {}
    }
}
