//! The projects that are served: the one place that gives out a project, by its number or by a key.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::auth::{KeyHash, Keys, new_api_key, new_write_key};
use super::message::{Response, ResponseBody};
use super::router::Access;
use crate::app::projects::{self, FIRST};
use crate::app::{App, Scope, ScopedKey, StoredKeys};
use crate::error::{Error, Result};

/// A store with its keys.
pub struct Project {
    /// Its number.
    pub id: u32,
    /// Its store, and all that works on it.
    pub app: Arc<App>,
    /// What lets senders and readers in.
    keys: RwLock<Keys>,
    /// The write key and the API key, which stand beside all others.
    own: (KeyHash, KeyHash),
    /// The key that its pages send with.
    pub write_key: String,
}

impl Project {
    fn new(id: u32, app: Arc<App>, stored: &StoredKeys) -> Result<Self> {
        let bad = || Error::invalid("bad_key", "the stored hash of the API key is not 64 hex digits");
        let manage = KeyHash::from_hex(&stored.api_key_sha256).ok_or_else(bad)?;
        let own = (KeyHash::of(&stored.write_key), manage);
        let project = Self { id, app, own, keys: RwLock::default(), write_key: stored.write_key.clone() };
        project.change_keys(&stored.more)?;
        Ok(project)
    }

    /// Replaces the keys that stand beside its own two.
    pub fn change_keys(&self, more: &[ScopedKey]) -> Result<()> {
        let (write, manage) = self.own;
        let mut keys = Keys { write: vec![write], read: Vec::new(), manage: vec![manage] };
        for key in more {
            let bad = || format!("the stored hash of the key \"{}\" is not 64 hex digits", key.name);
            let hash = KeyHash::from_hex(&key.sha256).ok_or_else(|| Error::invalid("bad_key", bad()))?;
            match key.scope {
                Scope::Write => keys.write.push(hash),
                Scope::Read => keys.read.push(hash),
                Scope::Manage => keys.manage.push(hash),
            }
        }
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    /// Whether a key may do here what `access` asks.
    pub fn check(&self, access: Access, key: Option<&str>) -> Result<()> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).check(access, key)
    }

    fn holds(&self, hash: &KeyHash) -> bool {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).hold(hash)
    }

    /// Its name.
    pub fn name(&self) -> String {
        let dashboard = self.app.dashboard();
        match (dashboard.name.is_empty(), self.id) {
            (false, _) => dashboard.name.clone(),
            (true, FIRST) => "First project".to_owned(),
            (true, id) => format!("Project {id}"),
        }
    }

    /// What addresses of its pages begin with.
    pub fn base(&self) -> String {
        base(self.id)
    }
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

    /// Makes a project; gives it with its API key, which is kept nowhere.
    pub fn create(&self, name: &str) -> Result<(Arc<Project>, String)> {
        let _one_at_a_time = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let api_key = new_api_key()?;
        let (write_key, api_key_sha256) = (new_write_key()?, KeyHash::of(&api_key).to_hex());
        let keys = StoredKeys { write_key, api_key_sha256, more: Vec::new() };
        let (id, app, keys) = projects::create(&self.data, name, keys, self.first.app.memory())?;
        let made = Arc::new(Project::new(id, Arc::new(app), &keys)?);
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = Vec::clone(&all);
        next.push(Arc::clone(&made));
        *all = Arc::new(next);
        Ok((made, api_key))
    }
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
