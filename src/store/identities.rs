//! The dictionary of identities: string to id and back. Strings live in identity files, which are read in place; only those that came
//! since the last flush are in memory, and a bounded cache of the ones that the writer met lately.

use std::hash::Hasher;
use std::sync::{Arc, PoisonError, RwLock};

use roaring::RoaringBitmap;
use siphasher::sip128::{Hasher128, SipHasher13};

use super::id_table::IdTable;
use super::identity_file::{IdentityFile, Key, hash_identity};
use super::identity_writer::IdentityFileWriter;
use crate::disk::Vfs;
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::model::IdentityId;

/// Identities above which files are merged no more: bounds the memory of a merge to about 200 MB.
pub const FILE_IDENTITIES_MAX: u32 = 8 * 1024 * 1024;
/// Neighbouring files of like size that are merged.
const MERGE_FILES: usize = 4;

/// Stands for an identity in memory: 128 bits of SipHash-1-3 under the store's secret. That two of the four thousand million
/// identities that a store can hold have the same is less likely than 2^-64, whoever chose them.
pub type Fingerprint = (u64, u64);

fn fingerprint(key: Key, identity: &str) -> Fingerprint {
    let mut hasher = SipHasher13::new_with_keys(key.0, key.1);
    hasher.write(identity.as_bytes());
    hasher.finish128().as_u64()
}

/// Identities that came between two seals.
#[derive(Default)]
struct Generation {
    first: IdentityId,
    /// The strings, one after the other.
    text: String,
    /// Where each ends.
    ends: Vec<usize>,
    ids: IdTable,
}

impl Generation {
    fn from(first: IdentityId) -> Self {
        Self { first, ..Self::default() }
    }

    /// An empty one behind this one, with room for about as much.
    fn next(&self) -> Self {
        let count = self.ends.len();
        Self {
            first: self.first + count as u32,
            text: String::with_capacity(self.text.len()),
            ends: Vec::with_capacity(count),
            ids: IdTable::with_room(self.ids.len()),
        }
    }

    fn string(&self, place: usize) -> Option<&str> {
        let from = place.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        self.text.get(from..*self.ends.get(place)?)
    }

    fn get(&self, id: IdentityId) -> Option<String> {
        self.string(id.checked_sub(self.first)? as usize).map(str::to_owned)
    }
}

/// Ids that the writer met lately.
struct Cache {
    most: usize,
    young: IdTable,
    old: IdTable,
    /// Whether any was ever dropped; until then every new identity is here.
    dropped: bool,
    /// Whether every identity is here, so that what is not here is nowhere.
    complete: bool,
}

impl Cache {
    fn find(&mut self, of: Fingerprint) -> Option<IdentityId> {
        if let Some(id) = self.young.get(of) {
            return Some(id);
        }
        let id = self.old.get(of)?;
        self.insert(of, id);
        Some(id)
    }

    fn forget(&mut self) {
        (self.young, self.old) = (IdTable::default(), IdTable::default());
        (self.dropped, self.complete) = (true, false);
    }

    fn insert(&mut self, of: Fingerprint, id: IdentityId) {
        if self.young.len() >= self.most {
            self.renew(IdTable::default());
        }
        self.young.insert(of, id);
    }

    /// Begins with `young`, and forgets the oldest.
    fn renew(&mut self, young: IdTable) {
        self.dropped |= !self.old.is_empty();
        self.complete &= !self.dropped;
        self.old = std::mem::replace(&mut self.young, young);
    }
}

struct Inner {
    key: Key,
    files: RwLock<Arc<Vec<Arc<IdentityFile>>>>,
    /// Being flushed, oldest first.
    sealed: RwLock<Vec<Arc<Generation>>>,
    /// Being filled. An identity goes from here to `sealed` to `files`, so who looks in this order finds it.
    active: RwLock<Generation>,
}

/// The error of a report that is under way while somebody in it is erased.
fn erased() -> Error {
    Error::new(ErrorKind::Busy, "erased", "somebody was erased while this was read").hint("ask again")
}

impl Inner {
    fn files(&self) -> Arc<Vec<Arc<IdentityFile>>> {
        Arc::clone(&self.files.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn find_recent(&self, of: Fingerprint) -> Option<IdentityId> {
        let active = self.active.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = active.ids.get(of) {
            return Some(id);
        }
        drop(active);
        let sealed = self.sealed.read().unwrap_or_else(PoisonError::into_inner);
        sealed.iter().rev().find_map(|g| g.ids.get(of))
    }

    fn find_stored(&self, identity: &str) -> Result<Option<IdentityId>> {
        let hash = hash_identity(self.key, identity.as_bytes());
        for file in self.files().iter().rev() {
            if let Some(id) = file.find(identity, hash)? {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    fn get(&self, id: IdentityId) -> Result<String> {
        if let Some(found) = self.active.read().unwrap_or_else(PoisonError::into_inner).get(id) {
            return Ok(found);
        }
        let sealed = self.sealed.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = sealed.iter().rev().find_map(|g| g.get(id)) {
            return Ok(found);
        }
        drop(sealed);
        let files = self.files();
        let at = files.partition_point(|f| f.first() <= id);
        match at.checked_sub(1).and_then(|at| files.get(at)) {
            Some(file) => match file.get(id)? {
                text if text.is_empty() => Err(erased()),
                text => Ok(text),
            },
            None => Err(Error::corrupt("identity files", 0, format!("no identity {id}"))),
        }
    }

    /// Puts `file` in the place of files that it was merged from, or behind all.
    fn install(&self, file: Arc<IdentityFile>, replaced: &[String]) {
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        let mut next: Vec<_> =
            files.iter().filter(|f| !replaced.iter().any(|r| r == f.name())).cloned().collect();
        next.push(file);
        next.sort_by_key(|f| f.first());
        *files = Arc::new(next);
    }
}

/// The dictionary, as the writer has it.
pub struct Identities {
    inner: Arc<Inner>,
    next: IdentityId,
    cache: Cache,
    /// Where nobody else looks for them: those since the last seal, instead of in their generation and the cache.
    unread: Option<IdTable>,
}

impl Identities {
    /// Opens the files, given as name and bytes in the order of their ids.
    pub fn open(vfs: &dyn Vfs, key: Key, files: &[(String, u64)]) -> Result<Self> {
        let mut open = Vec::new();
        let mut next = 0;
        for (name, length) in files {
            let bytes = vfs.open(name)?;
            if bytes.len() as u64 != *length {
                return Err(Error::corrupt(
                    name,
                    bytes.len() as u64,
                    format!("{length} bytes expected, the file ends"),
                ));
            }
            let file = IdentityFile::open(name, bytes)?;
            if file.first() != next {
                return Err(Error::corrupt(
                    name,
                    0,
                    format!("begins with identity {}, not {next}", file.first()),
                ));
            }
            next += file.count();
            open.push(Arc::new(file));
        }
        let inner = Inner {
            key,
            files: RwLock::new(Arc::new(open)),
            sealed: RwLock::default(),
            active: RwLock::new(Generation::from(next)),
        };
        let (young, old) = (IdTable::default(), IdTable::default());
        let cache = Cache { most: limits::IDENTITY_CACHE, young, old, dropped: false, complete: next == 0 };
        Ok(Self { inner: Arc::new(inner), next, cache, unread: None })
    }

    /// Lets the cache hold twice `most` identities, each about 56 bytes.
    pub fn cache_at_most(&mut self, most: usize) {
        self.cache.most = most;
    }

    /// For a process in which nobody but the writer looks for identities that are not in files yet: they are kept once only.
    pub fn expect_no_readers(&mut self) {
        self.unread = Some(IdTable::default());
    }

    /// Whether as many came since the last seal as the cache may hold.
    pub fn is_due(&self) -> bool {
        self.unread.as_ref().is_some_and(|unread| unread.len() >= self.cache.most)
    }

    /// Identities in it.
    pub fn len(&self) -> u32 {
        self.next
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.next == 0
    }

    /// The id of an identity.
    pub fn find(&mut self, identity: &str) -> Result<Option<IdentityId>> {
        self.find_as(fingerprint(self.inner.key, identity), identity)
    }

    /// What stands for an identity, whether or not it is here.
    pub fn fingerprint(&self, identity: &str) -> Fingerprint {
        fingerprint(self.inner.key, identity)
    }

    /// The id of an identity whose fingerprint is known.
    pub fn find_as(&mut self, of: Fingerprint, identity: &str) -> Result<Option<IdentityId>> {
        if let Some(id) = self.unread.as_ref().and_then(|unread| unread.get(of)) {
            return Ok(Some(id));
        }
        if let Some(id) = self.cache.find(of) {
            return Ok(Some(id));
        }
        if self.cache.complete {
            return Ok(None);
        }
        if self.cache.dropped
            && let Some(id) = self.inner.find_recent(of)
        {
            return Ok(Some(id));
        }
        let found = self.inner.find_stored(identity)?;
        if let Some(id) = found {
            self.cache.insert(of, id);
        }
        Ok(found)
    }

    /// Looks at where ids of identities would be, so that they are at hand when they are needed. Such looks overlap, which those of
    /// one record after the other do not.
    pub fn expect(&self, identities: impl Iterator<Item = Fingerprint>) -> usize {
        let recent = self.unread.as_ref().unwrap_or(&self.cache.young);
        identities.filter(|of| recent.get(*of).is_some()).count()
    }

    /// Adds an identity that is not here: the next id.
    pub fn insert(&mut self, identity: &str) -> IdentityId {
        self.insert_as(fingerprint(self.inner.key, identity), identity)
    }

    /// As [`Identities::insert`], of an identity whose fingerprint is known.
    pub fn insert_as(&mut self, of: Fingerprint, identity: &str) -> IdentityId {
        let id = self.next;
        self.next += 1;
        let mut active = self.inner.active.write().unwrap_or_else(PoisonError::into_inner);
        active.text.push_str(identity);
        let end = active.text.len();
        active.ends.push(end);
        match &mut self.unread {
            Some(unread) => unread.insert(of, id),
            None => {
                self.cache.insert(of, id);
                active.ids.insert(of, id)
            }
        };
        id
    }

    /// Takes out those from `first` on, which came since the last seal.
    pub fn forget_from(&mut self, first: IdentityId) {
        let mut active = self.inner.active.write().unwrap_or_else(PoisonError::into_inner);
        let kept = first.saturating_sub(active.first) as usize;
        active.ids.forget_from(first);
        self.cache.young.forget_from(first);
        self.cache.old.forget_from(first);
        active.ends.truncate(kept);
        let end = active.ends.last().copied().unwrap_or(0);
        active.text.truncate(end);
        self.next = self.next.min(first);
    }

    /// The string of an id.
    pub fn get(&self, id: IdentityId) -> Result<String> {
        self.inner.get(id)
    }

    /// Forgets what it remembers of strings in files: some of them were erased.
    pub fn forget_cached(&mut self) {
        self.cache.forget();
    }

    /// Ends the generation being filled; what is to be flushed, if it holds any.
    pub fn seal(&mut self) -> Option<SealedIdentities> {
        let mut active = self.inner.active.write().unwrap_or_else(PoisonError::into_inner);
        if active.ends.is_empty() {
            return None;
        }
        if let Some(unread) = &mut self.unread {
            self.cache.renew(std::mem::take(unread));
        }
        let next = active.next();
        let sealed = Arc::new(std::mem::replace(&mut *active, next));
        // With the lock on the other one still held, so that nobody finds it in neither.
        self.inner.sealed.write().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&sealed));
        Some(SealedIdentities { inner: Arc::clone(&self.inner), sealed })
    }

    /// For readers.
    pub fn view(&self) -> IdentitiesView {
        IdentitiesView { inner: Arc::clone(&self.inner) }
    }
}

/// A generation that is being flushed.
pub struct SealedIdentities {
    inner: Arc<Inner>,
    sealed: Arc<Generation>,
}

impl SealedIdentities {
    /// Writes and syncs the file `name`; its bytes.
    pub fn write(&self, vfs: &dyn Vfs, name: &str) -> Result<u64> {
        let mut writer = IdentityFileWriter::create(vfs, name, self.inner.key, self.sealed.first)?;
        for string in (0..self.sealed.ends.len()).filter_map(|place| self.sealed.string(place)) {
            writer.add(string.as_bytes())?;
        }
        writer.finish()
    }

    /// Reads from the file from now on.
    pub fn install(self, vfs: &dyn Vfs, name: &str) -> Result<()> {
        self.inner.install(Arc::new(IdentityFile::open(name, vfs.open(name)?)?), &[]);
        let mut sealed = self.inner.sealed.write().unwrap_or_else(PoisonError::into_inner);
        sealed.retain(|g| g.first != self.sealed.first);
        Ok(())
    }
}

/// The dictionary, as readers have it: always the latest.
#[derive(Clone)]
pub struct IdentitiesView {
    inner: Arc<Inner>,
}

impl IdentitiesView {
    /// What stands for an identity, whether or not it is here.
    pub fn fingerprint(&self, identity: &str) -> Fingerprint {
        fingerprint(self.inner.key, identity)
    }

    /// The id of an identity.
    pub fn find(&self, identity: &str) -> Result<Option<IdentityId>> {
        match self.inner.find_recent(fingerprint(self.inner.key, identity)) {
            Some(id) => Ok(Some(id)),
            // Between the two look-ups it may have gone from memory to a file, never the other way.
            None => self.inner.find_stored(identity),
        }
    }

    /// The string of an id.
    pub fn get(&self, id: IdentityId) -> Result<String> {
        self.inner.get(id)
    }

    /// The files that hold any of some identities.
    pub fn files_with(&self, some: &RoaringBitmap) -> Vec<Arc<IdentityFile>> {
        let holds =
            |file: &&Arc<IdentityFile>| some.range_cardinality(file.first()..file.first() + file.count()) > 0;
        self.inner.files().iter().filter(holds).cloned().collect()
    }

    /// Calls `each` with every identity in files and its number.
    pub fn for_each_stored(&self, mut each: impl FnMut(IdentityId, &str)) -> Result<()> {
        for file in self.inner.files().iter() {
            let mut id = file.first();
            file.for_each(|string| {
                let text = std::str::from_utf8(string);
                each(id, text.map_err(|_| Error::corrupt(file.name(), 0, "an identity is not UTF-8"))?);
                id += 1;
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Reads every string and says what is damaged.
    pub fn check(&self) -> Vec<Error> {
        self.inner.files().iter().filter_map(|f| f.for_each(|_| Ok(())).err()).collect()
    }

    /// Neighbouring files to merge: of like size, or with `all` as many as may be and each that is of an older version. None if there
    /// is nothing to merge.
    pub fn to_merge(&self, all: bool, most: u32) -> Vec<Arc<IdentityFile>> {
        let files = self.inner.files();
        let counts: Vec<u32> = files.iter().map(|f| f.count()).collect();
        let is_older = |f: &Arc<IdentityFile>| all && !f.is_present_version() && f.count() <= most;
        let older = || files.iter().position(is_older).map(|at| at..at + 1);
        let range = pick(&counts, all, most).or_else(older);
        range.and_then(|range| files.get(range)).unwrap_or(&[]).to_vec()
    }

    /// Writes neighbouring files as the file `name`, without the strings of `erased`.
    pub fn merge(
        &self,
        vfs: &dyn Vfs,
        name: &str,
        inputs: &[Arc<IdentityFile>],
        erased: &RoaringBitmap,
    ) -> Result<MergedIdentities> {
        let mut id = inputs.first().map_or(0, |file| file.first());
        let mut writer = IdentityFileWriter::create(vfs, name, self.inner.key, id)?;
        for input in inputs {
            input.for_each(|string| {
                let gone = erased.contains(id);
                id += 1;
                writer.add(if gone { &[] } else { string })
            })?;
        }
        writer.finish()?;
        let file = Arc::new(IdentityFile::open(name, vfs.open(name)?)?);
        let inputs = inputs.iter().map(|f| f.name().to_owned()).collect();
        Ok(MergedIdentities { inner: Arc::clone(&self.inner), file, inputs })
    }
}

/// Identity files written as one, which is open already: once a manifest names it, nothing can fail any more.
pub struct MergedIdentities {
    inner: Arc<Inner>,
    file: Arc<IdentityFile>,
    /// The files that it replaces.
    pub inputs: Vec<String>,
}

impl MergedIdentities {
    /// Reads from the merged file from now on.
    pub fn install(&self) {
        self.inner.install(Arc::clone(&self.file), &self.inputs);
    }
}

/// The files to merge, given the identities in each, into one of at most so many.
fn pick(counts: &[u32], all: bool, most: u32) -> Option<std::ops::Range<usize>> {
    for start in 0..counts.len() {
        let (mut sum, mut smallest, mut largest) = (0u32, u32::MAX, 0);
        let mut end = start;
        while let Some(count) = counts.get(end) {
            let (low, high) = (smallest.min(*count), largest.max(*count));
            let alike = all || u64::from(high) <= 4 * u64::from(low);
            if !alike || sum.saturating_add(*count) > most {
                break;
            }
            (sum, smallest, largest, end) = (sum + count, low, high, end + 1);
        }
        if end - start >= if all { 2 } else { MERGE_FILES } {
            return Some(start..end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Bytes, RealVfs};

    fn string(i: u32) -> String {
        match i % 5 {
            0 => format!("{:016x}", u64::from(i).wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            1 => format!("user{i}@company{}.example", i % 4999),
            2 => format!("\u{17c}\u{f3}\u{142}\u{107} {i}"),
            3 => "x".repeat(1 + (i % 900) as usize) + &i.to_string(),
            _ => format!("ABCDEF{i:04}"),
        }
    }

    #[test]
    fn strings_are_found_through_seals_flushes_and_merges() {
        let dir = tempfile::tempdir().unwrap();
        let vfs = RealVfs::new(dir.path()).unwrap();
        let mut identities = Identities::open(&vfs, (1, 2), &[]).unwrap();
        let mut files = Vec::new();
        for round in 0..6u32 {
            for i in round * 700..(round + 1) * 700 {
                assert_eq!(identities.find(&string(i)).unwrap(), None);
                assert_eq!(identities.insert(&string(i)), i);
            }
            let sealed = identities.seal().unwrap();
            assert_eq!(identities.find(&string(round * 700)).unwrap(), Some(round * 700));
            let name = format!("ids-{round}");
            let bytes = sealed.write(&vfs, &name).unwrap();
            sealed.install(&vfs, &name).unwrap();
            files.push((name, bytes));
        }
        assert!(identities.seal().is_none());
        let check = |view: &IdentitiesView| {
            for i in 0..4200 {
                assert_eq!(view.find(&string(i)).unwrap(), Some(i));
                assert_eq!(view.get(i).unwrap(), string(i));
            }
            assert_eq!(view.find("nobody").unwrap(), None);
            assert!(view.get(4200).is_err());
        };
        check(&identities.view());
        check(&Identities::open(&vfs, (1, 2), &files).unwrap().view());
        let view = identities.view();
        let inputs = view.to_merge(false, FILE_IDENTITIES_MAX);
        let merged = view.merge(&vfs, "ids-9", &inputs, &RoaringBitmap::new()).unwrap();
        merged.install();
        assert_eq!(merged.inputs.len(), 6);
        check(&identities.view());
        assert!(view.to_merge(true, FILE_IDENTITIES_MAX).is_empty());
    }

    #[test]
    fn damage_is_an_error_or_harmless() {
        let dir = tempfile::tempdir().unwrap();
        let vfs = RealVfs::new(dir.path()).unwrap();
        let mut identities = Identities::open(&vfs, (1, 2), &[]).unwrap();
        for i in (0..70).filter(|i| i % 5 != 3) {
            identities.insert(&string(i));
        }
        identities.seal().unwrap().write(&vfs, "ids-0").unwrap();
        let good = vfs.open("ids-0").unwrap().to_vec();
        let strings: Vec<String> = (0..70).filter(|i| i % 5 != 3).map(string).collect();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let Ok(file) = IdentityFile::open("ids-0", Bytes::from_vec(bad)) else { continue };
            for (id, string) in strings.iter().enumerate() {
                assert!(file.get(id as u32).map_or(true, |found| found == *string));
                assert!(
                    file.find(string, hash_identity((1, 2), string.as_bytes()))
                        .map_or(true, |f| f == Some(id as u32))
                );
            }
        }
    }
}
