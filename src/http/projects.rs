//! The projects that are served: the one place that gives out a project, by its number or by a key.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use serde_json::json;

use super::auth::{KeyHash, Keys, new_api_key, new_write_key};
use super::message::{Response, ResponseBody};
use super::router::Access;
use crate::app::projects::{self, FIRST};
use crate::app::{Accounts, App, Keeper, Scope, StoredKeys};
use crate::disk::{RealVfs, Vfs};
use crate::error::{Error, ErrorKind, Result};

/// How long a deletion waits for requests to the project to end.
const DRAINS: Duration = Duration::from_secs(10);

/// A store with its keys.
pub struct Project {
    /// Its number.
    pub id: u32,
    /// Its store, and all that works on it.
    pub app: Arc<App>,
    /// What lets senders and readers in.
    keys: RwLock<Keys>,
    /// Those of a project that is being deleted, in the first one: whoever shows an unknown key comes there.
    leaving: RwLock<Option<Keys>>,
    /// Held while the file of the keys is changed.
    editing: Mutex<()>,
    /// The key that its pages send with.
    pub write_key: String,
    /// Looks after the age of its events.
    _keeper: Keeper,
}

impl Project {
    fn new(id: u32, app: Arc<App>, stored: &StoredKeys) -> Result<Self> {
        let (_keeper, write_key) = (Keeper::start(&app)?, stored.write_key.clone());
        let keys = RwLock::new(good_keys(&write_key, stored)?);
        let (leaving, editing) = (RwLock::default(), Mutex::default());
        Ok(Self { id, app, keys, leaving, editing, write_key, _keeper })
    }

    /// The keys as their file has them.
    pub fn stored_keys(&self) -> Result<StoredKeys> {
        stored_keys(&self.disk()?)
    }

    fn disk(&self) -> Result<RealVfs> {
        RealVfs::existing(self.app.dir())
    }

    /// Takes the keys from their file again.
    pub fn reload_keys(&self) -> Result<()> {
        let _one_at_a_time = self.editing.lock().unwrap_or_else(PoisonError::into_inner);
        self.take_keys(good_keys(&self.write_key, &self.stored_keys()?)?);
        Ok(())
    }

    /// Changes the keys; they are good, or no longer, once this returns, and also if it fails because the disk does not say that they are
    /// durable.
    pub fn edit_keys(&self, edit: impl FnOnce(&mut StoredKeys) -> Result<()>) -> Result<()> {
        self.edit_keys_on(&self.disk()?, edit)
    }

    fn edit_keys_on(&self, vfs: &dyn Vfs, edit: impl FnOnce(&mut StoredKeys) -> Result<()>) -> Result<()> {
        let _one_at_a_time = self.editing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stored = stored_keys(vfs)?;
        edit(&mut stored)?;
        let keys = good_keys(&self.write_key, &stored)?;
        stored.store_on(vfs, || self.take_keys(keys))
    }

    fn take_keys(&self, keys: Keys) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// Whether a key may do here what `access` asks.
    pub fn check(&self, access: Access, key: Option<&str>) -> Result<()> {
        let checked = self.keys.read().unwrap_or_else(PoisonError::into_inner).check(access, key);
        if checked.is_err() && key.is_some_and(|key| self.is_leaving(key)) {
            // It may stay after all: then nothing is lost of who comes again.
            let message = "the project of this key is about to be deleted";
            return Err(Error::new(ErrorKind::Busy, "busy", message).hint("come again in some seconds"));
        }
        checked
    }

    fn is_leaving(&self, key: &str) -> bool {
        let leaving = self.leaving.read().unwrap_or_else(PoisonError::into_inner);
        leaving.as_ref().is_some_and(|keys| keys.hold(&KeyHash::of(key)))
    }

    fn holds(&self, hash: &KeyHash) -> bool {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).hold(hash)
    }

    /// Whether a key is the project's API key, and none that was made later. That of the first project is the server's.
    fn is_api_key(&self, hash: &KeyHash) -> bool {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).manage.first() == Some(hash)
    }

    /// Whether a key is that of the whole server.
    pub fn is_of_server(&self, key: Option<&str>) -> bool {
        self.id == FIRST && key.is_some_and(|key| self.is_api_key(&KeyHash::of(key)))
    }

    fn is_managed_with(&self, hash: &KeyHash) -> bool {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).manage(hash)
    }

    /// Its name.
    pub fn name(&self) -> String {
        projects::name(&self.app.dashboard(), self.id)
    }

    /// What addresses of its pages begin with.
    pub fn base(&self) -> String {
        base(self.id)
    }
}

fn stored_keys(vfs: &dyn Vfs) -> Result<StoredKeys> {
    let gone = || Error::new(ErrorKind::NotFound, "no_keys", "the file of the keys is gone");
    StoredKeys::load_on(vfs)?.ok_or_else(gone)
}

/// The keys of a file by what they are good for, with the write key that the project has.
fn good_keys(write_key: &str, stored: &StoredKeys) -> Result<Keys> {
    let hash = |name: &str, hex: &str| {
        let bad = || format!("the stored hash of the {name} is not 64 hex digits");
        KeyHash::from_hex(hex).ok_or_else(|| Error::invalid("bad_key", bad()))
    };
    let manage = vec![hash("API key", &stored.api_key_sha256)?];
    let mut keys = Keys { write: vec![KeyHash::of(write_key)], read: Vec::new(), manage };
    for key in &stored.more {
        let hash = hash(&format!("key \"{}\"", key.name), &key.sha256)?;
        match key.scope {
            Scope::Write => keys.write.push(hash),
            Scope::Read => keys.read.push(hash),
            Scope::Manage => keys.manage.push(hash),
        }
    }
    Ok(keys)
}

/// What addresses of a project's pages begin with.
pub fn base(project: u32) -> String {
    if project == FIRST { String::new() } else { format!("/p/{project}") }
}

type All = Arc<Vec<Arc<Project>>>;

/// All projects, by their numbers.
pub struct Projects {
    data: PathBuf,
    first: Arc<Project>,
    all: RwLock<All>,
    making: Mutex<()>,
}

impl Projects {
    /// The projects in the data directory `data`, of which the first is open already.
    pub fn open(data: PathBuf, first: Arc<App>, keys: &StoredKeys) -> Result<Self> {
        let first = Arc::new(Project::new(FIRST, first, keys)?);
        let mut all = vec![Arc::clone(&first)];
        for (id, app, keys) in projects::open(&data, first.app.memory())? {
            all.push(Arc::new(Project::new(id, Arc::new(app), &keys)?));
        }
        Ok(Self { data, first, all: RwLock::new(Arc::new(all)), making: Mutex::default() })
    }

    /// All of them.
    pub fn all(&self) -> All {
        Arc::clone(&self.all.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The one in the data directory itself.
    pub fn first(&self) -> Arc<Project> {
        Arc::clone(&self.first)
    }

    /// The project of a number.
    pub fn get(&self, id: u32) -> Option<Arc<Project>> {
        self.all().iter().find(|project| project.id == id).cloned()
    }

    /// The project that a key is of. One that is of none comes to the first, which refuses it.
    pub fn of_key(&self, presented: Option<&str>) -> Arc<Project> {
        let all = self.all();
        let Some(key) = presented.filter(|_| all.len() > 1) else { return self.first() };
        let hash = KeyHash::of(key);
        all.iter().find(|project| project.holds(&hash)).unwrap_or(&self.first).clone()
    }

    /// The projects that a key lets somebody manage: none, one (a set of its number), or with the API key of the first, all (an empty set).
    pub fn managed_with(&self, hash: &KeyHash) -> Option<BTreeSet<u32>> {
        let all = self.all();
        let of = all.iter().find(|project| project.is_managed_with(hash))?;
        let all = of.id == FIRST && of.is_api_key(hash);
        Some(Some(of.id).filter(|_| !all).into_iter().collect())
    }

    /// Makes a project; gives it with its API key, which is kept nowhere.
    pub fn create(&self, name: &str) -> Result<(Arc<Project>, String)> {
        let _one_at_a_time = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        self.nobody_has(name, None)?;
        let api_key = new_api_key()?;
        let (write_key, api_key_sha256) = (new_write_key()?, KeyHash::of(&api_key).to_hex());
        let keys = StoredKeys::new(write_key, api_key_sha256);
        let (id, app, keys) = projects::create(&self.data, name, keys, self.first.app.memory())?;
        let made = Arc::new(Project::new(id, Arc::new(app), &keys)?);
        self.change(|all| all.push(Arc::clone(&made)));
        Ok((made, api_key))
    }

    /// Gives a project another name.
    pub fn rename(&self, project: &Project, name: &str) -> Result<()> {
        let _one_at_a_time = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        self.nobody_has(name, Some(project.id))?;
        project.app.change_dashboard(|dashboard| dashboard.rename(name))
    }

    /// An error if a project, but the one of the number `but`, is called so: a form that is sent twice would make two that nobody can
    /// tell apart.
    fn nobody_has(&self, name: &str, but: Option<u32>) -> Result<()> {
        let name = name.trim();
        if !self.all().iter().any(|project| Some(project.id) != but && project.name() == name) {
            return Ok(());
        }
        let message = format!("there is a project \"{name}\" already");
        Err(Error::new(ErrorKind::Conflict, "name_taken", message).at("name").hint("take another name"))
    }

    /// The project of a number as people write it.
    pub fn meant(&self, number: &str) -> Result<Arc<Project>> {
        number.parse().ok().and_then(|id| self.get(id)).ok_or_else(projects::none)
    }

    /// Deletes a project with everything in it, and takes it from whoever has access. From the beginning nobody finds it any more, and its
    /// senders are told to come again; what works on it is waited for a while. `asked_in` is the project of the request for it.
    pub fn delete(&self, id: u32, asked_in: u32, accounts: &Accounts) -> Result<()> {
        if id == asked_in && id != FIRST {
            let message = "a project cannot be deleted from within itself";
            return Err(Error::new(ErrorKind::Conflict, "own_project", message)
                .hint("begin at \"All projects\", or ask without /p/ before the path"));
        }
        self.delete_within(id, DRAINS)?;
        accounts.forget_project(id)
    }

    fn delete_within(&self, id: u32, patience: Duration) -> Result<()> {
        let _one_at_a_time = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        projects::deletable(id)?;
        let project = self.get(id).ok_or_else(projects::none)?;
        let leaving = |keys| *self.first.leaving.write().unwrap_or_else(PoisonError::into_inner) = keys;
        leaving(Some(project.keys.read().unwrap_or_else(PoisonError::into_inner).clone()));
        let deleted = self.drain_and_delete(project, patience);
        leaving(None);
        deleted
    }

    fn drain_and_delete(&self, project: Arc<Project>, patience: Duration) -> Result<()> {
        let id = project.id;
        self.change(|all| all.retain(|other| other.id != id));
        if !comes_true(patience, || Arc::strong_count(&project) == 1) {
            self.change(|all| all.push(project));
            let message = "something works on this project, such as an import, so it was not deleted";
            return Err(Error::new(ErrorKind::Busy, "busy", message).hint("try again when that has ended"));
        }
        project.app.end_watching();
        project.app.engine().begin_closing();
        comes_true(patience, || Arc::strong_count(&project.app) == 1);
        // Whoever watches and does not read goes on holding the store for a while. Its files go all the same.
        if let Some(app) = Arc::into_inner(project).and_then(|project| Arc::into_inner(project.app))
            && let Err(error) = app.close()
        {
            log::warn!("closing project {id}, which is to be deleted: {error}");
        }
        projects::delete(&self.data, id)
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Project>>)) {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = Vec::clone(&all);
        change(&mut next);
        next.sort_unstable_by_key(|project| project.id);
        *all = Arc::new(next);
    }
}

/// Projects with how much there is in each, as JSON.
pub fn listed(projects: &[Arc<Project>]) -> String {
    let one = |project: &Arc<Project>| {
        let stats = project.app.reports().stats(&project.app.snapshot());
        let (people, events) = (&stats["people"], &stats["events"]);
        json!({ "project": project.id, "name": project.name(), "people": people, "events": events })
    };
    json!({ "projects": projects.iter().map(one).collect::<Vec<_>>() }).to_string()
}

/// Whether something comes true in time.
fn comes_true(patience: Duration, condition: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    while !condition() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

/// An answer whose links stay in the project whose addresses begin with `base`: pages are made as if theirs was the only one.
pub fn within(base: &str, mut response: Response) -> Response {
    if base.is_empty() {
        return response;
    }
    response.change_location(|target| rebased(base, target));
    if response.content_type.starts_with("text/html")
        && let ResponseBody::Whole(bytes) = &response.body
        && let Ok(page) = std::str::from_utf8(bytes)
    {
        response.body = ResponseBody::Whole(page_within(base, page).into_bytes().into());
    }
    response
}

/// A path of this server in the project; other addresses, and those that name a project, stay.
fn rebased(base: &str, target: &str) -> String {
    let own = target.starts_with('/') && !target.starts_with("//") && !target.starts_with("/p/");
    if own { format!("{base}{target}") } else { target.to_owned() }
}

/// Quotes in texts and values are escaped, so these are of the pages' own tags.
const ATTRIBUTES: [&str; 3] = [" href=\"", " action=\"", " src=\""];

fn page_within(base: &str, page: &str) -> String {
    let mut out = String::with_capacity(page.len() + page.len() / 16);
    let mut rest = page;
    while let Some(at) = rest.find("=\"/") {
        let (before, behind) = rest.split_at(at + 2);
        out.push_str(before);
        let end = behind.find('"').unwrap_or(behind.len());
        let (target, behind) = behind.split_at(end);
        if ATTRIBUTES.iter().any(|attribute| before.ends_with(attribute)) {
            out.push_str(&rebased(base, target));
        } else {
            out.push_str(target);
        }
        rest = behind;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::ScopedKey;
    use crate::testing::disk::{Fault, SimDisk};

    fn opened() -> (tempfile::TempDir, Projects) {
        let data = tempfile::tempdir().unwrap();
        let stored = StoredKeys::new("w".into(), "0".repeat(64));
        let first = Arc::new(App::open(data.path()).unwrap());
        let projects = Projects::open(data.path().to_owned(), first, &stored).unwrap();
        (data, projects)
    }

    #[test]
    fn a_project_that_somebody_uses_is_not_deleted() {
        let (_data, projects) = opened();
        let (shop, key) = projects.create("Shop").unwrap();
        let delete = |id| projects.delete_within(id, Duration::from_millis(50)).map_err(|e| e.code());
        let check = || projects.of_key(Some(&key)).check(Access::Manage, Some(&key)).map_err(|e| e.kind());
        assert_eq!((delete(1), delete(3)), (Err("first_project"), Err("no_such_project")));
        let patience = Duration::from_millis(500);
        std::thread::scope(|scope| {
            let deleted = scope.spawn(|| projects.delete_within(2, patience).map_err(|e| e.code()));
            assert!(comes_true(patience, || projects.get(2).is_none()));
            assert_eq!(check(), Err(ErrorKind::Busy), "nobody is told that its keys are wrong");
            assert_eq!(deleted.join().unwrap(), Err("busy"));
        });
        assert_eq!(projects.of_key(Some(&key)).id, 2, "it is as it was");
        assert_eq!(check(), Ok(()));
        let watched = Arc::clone(&shop.app);
        drop(shop);
        assert_eq!(delete(2), Ok(()), "a watcher that does not read keeps nothing");
        drop(watched);
        assert_eq!((projects.of_key(Some(&key)).id, projects.get(2).is_none()), (1, true));
        assert_eq!(check(), Err(ErrorKind::Unauthorized));
        assert_eq!(projects.create("Next").unwrap().0.id, 3);
    }

    #[test]
    fn a_revoked_key_is_good_for_nothing_when_the_disk_does_not_say_so() {
        let data = tempfile::tempdir().unwrap();
        let mut stored = StoredKeys::new("w".into(), "0".repeat(64));
        let key = ScopedKey { name: "k".into(), scope: Scope::Read, sha256: KeyHash::of("secret").to_hex() };
        stored.add(key).unwrap();
        let disk = SimDisk::new();
        stored.store_on(&disk, || ()).unwrap();
        let app = Arc::new(App::open(data.path()).unwrap());
        let project = Project::new(FIRST, app, &stored).unwrap();
        let reads = || project.check(Access::Read, Some("secret")).is_ok();
        // Nothing of it has happened.
        disk.fail_at(0, Fault::RenameError);
        assert!(project.edit_keys_on(&disk, |keys| keys.remove("k")).is_err());
        assert!(reads() && stored_keys(&disk).unwrap() == stored);
        // It has, but a power cut may undo it.
        disk.fail_at(0, Fault::SyncDirError);
        let error = project.edit_keys_on(&disk, |keys| keys.remove("k")).unwrap_err();
        assert!(disk.struck() && error.kind() == ErrorKind::Io, "{error}");
        assert!(!reads() && stored_keys(&disk).unwrap().more.is_empty());
    }

    #[test]
    fn two_projects_have_two_names() {
        let (_data, projects) = opened();
        let (shop, _) = projects.create("Shop").unwrap();
        for name in ["Shop", " Shop ", "First project"] {
            let again = projects.create(name).map(drop).unwrap_err();
            assert_eq!((again.code(), again.place()), ("name_taken", Some("name")), "{name}");
        }
        assert_eq!(projects.all().len(), 2);
        let (blog, _) = projects.create("Blog").unwrap();
        assert_eq!(projects.rename(&blog, "Shop").unwrap_err().code(), "name_taken");
        projects.rename(&shop, " Shop").unwrap();
        projects.rename(&shop, "Store").unwrap();
        projects.rename(&blog, "Shop").unwrap();
        assert_eq!((shop.name(), blog.name()), ("Store".to_owned(), "Shop".to_owned()));
    }

    #[test]
    fn links_stay_in_the_project() {
        let page = maud::html! {
            a href="/funnels?step=A" title="/x" { "=\"/y" }
            a href="https://example.com/" {} a href="/p/3/" {} a href="/" {} a href="#main" {} a href="/paths" {}
            form action="/reports" { input value="/funnels"; input value=" href=\"/z"; }
        };
        let expected = maud::html! {
            a href="/p/2/funnels?step=A" title="/x" { "=\"/y" }
            a href="https://example.com/" {} a href="/p/3/" {} a href="/p/2/" {} a href="#main" {} a href="/p/2/paths" {}
            form action="/p/2/reports" { input value="/funnels"; input value=" href=\"/z"; }
        };
        assert_eq!(page_within("/p/2", &page.into_string()), expected.into_string());
        for (target, where_to) in [("/", "/p/2/"), ("//evil.test", "//evil.test"), ("/p/3/x", "/p/3/x")] {
            assert_eq!(rebased("/p/2", target), where_to);
        }
        let sent = within("/p/2", Response::new(303, "", Vec::new()).with("Location", "/settings"));
        assert!(sent.headers().any(|header| header == ("Location", "/p/2/settings")));
        let same = within("", Response::new(303, "", Vec::new()).with("Location", "/settings"));
        assert!(same.headers().any(|header| header == ("Location", "/settings")));
    }
}
