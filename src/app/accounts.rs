//! Who may use the dashboard with a password of their own: one file for the whole server, beside the first project's data. It holds
//! no password and no secret of a link, only their hashes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use super::keys::{checked, read_checked, replace_on};
use super::password;
use crate::disk::{RealVfs, Vfs};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::model::Millis;

const FILE: &str = "accounts.json";
const FILE_NEW: &str = "accounts.json.new";

/// How long the link of an invitation can be used, in milliseconds: a week.
pub const INVITATION_MS: Millis = 7 * 86_400_000;

/// What somebody may do; each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look at everything.
    Viewer,
    /// Save reports and audiences, share them, join people.
    Editor,
    /// Say who has access, make projects, and whatever else there is.
    Owner,
}

/// All roles with their names.
pub const ROLES: [(Role, &str); 3] =
    [(Role::Viewer, "viewer"), (Role::Editor, "editor"), (Role::Owner, "owner")];

impl Role {
    /// The role of a name.
    pub fn parse(name: &str) -> Result<Self> {
        ROLES.iter().find(|(_, known)| *known == name).map(|(role, _)| *role).ok_or_else(|| {
            let error = Error::invalid("unknown_choice", format!("no role is called \"{name}\""));
            error.at("role").hint("viewer, editor or owner")
        })
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        ROLES.iter().find(|(role, _)| *role == self).map_or("", |(_, name)| name)
    }
}

/// Somebody with access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// What they may do.
    pub role: Role,
    /// The projects they may see; none for all.
    #[serde(default)]
    pub projects: BTreeSet<u32>,
    /// The hash of their password; empty until they have chosen one.
    #[serde(default)]
    pub password: String,
    /// The link with which they can choose one.
    #[serde(default)]
    pub invitation: Option<Invitation>,
}

/// A link with which somebody chooses a password, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    /// SHA-256 in hex of the link's secret, which is kept nowhere.
    pub token_sha256: String,
    /// Until when it can be used.
    pub until: Millis,
}

/// Somebody who showed their password, or chose it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proved {
    /// The address of their account.
    pub email: String,
    /// The hash of the password that it was. Each has a salt of its own, so it is another with every new password and in every new account.
    pub kept: String,
}

/// By e-mail address, in lower case.
pub type Users = BTreeMap<String, User>;

/// Everybody with access.
pub struct Accounts {
    vfs: Box<dyn Vfs>,
    users: RwLock<Arc<Users>>,
}

/// Everybody whom the file in a directory names.
pub(super) fn stored(vfs: &dyn Vfs) -> Result<Users> {
    let hint = "restore the file from a backup, or remove it and log in with the API key";
    Ok(read_checked(vfs, FILE, hint)?.unwrap_or_else(Users::new))
}

impl Accounts {
    /// The accounts kept in the data directory `dir`.
    pub fn load(dir: &Path) -> Result<Self> {
        Self::load_on(Box::new(RealVfs::new(dir)?))
    }

    /// The same on any disk.
    pub fn load_on(vfs: Box<dyn Vfs>) -> Result<Self> {
        let users = RwLock::new(Arc::new(stored(&*vfs)?));
        Ok(Self { vfs, users })
    }

    /// An error if those in a directory cannot be read.
    pub fn readable(vfs: &dyn Vfs) -> Result<()> {
        stored(vfs).map(drop)
    }

    /// Everybody as of now.
    pub fn users(&self) -> Arc<Users> {
        Arc::clone(&self.users.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The account of an address.
    pub fn user(&self, email: &str) -> Option<User> {
        self.users().get(&plain(email)).cloned()
    }

    /// Gives somebody new access, once they have chosen a password with the link of `invitation`.
    pub fn add(&self, email: &str, user: User) -> Result<()> {
        let email = plain(email);
        let fine = email.split('@').filter(|part| !part.is_empty()).count() == 2
            && email.chars().count() <= limits::NAME_CHARS_MAX
            && !email.chars().any(|c| c.is_whitespace() || c.is_control());
        if !fine {
            let message = "an e-mail address has a name, an @ and a host";
            return Err(Error::invalid("bad_email", message).at("email"));
        }
        self.change(|users| {
            if users.len() >= limits::USERS_MAX {
                let message = format!("there are {} accounts already", limits::USERS_MAX);
                return Err(Error::invalid("too_many", message));
            }
            if users.contains_key(&email) {
                let error =
                    Error::new(ErrorKind::Conflict, "known_user", format!("{email} has access already"));
                return Err(error.at("email"));
            }
            users.insert(email.clone(), user);
            Ok(())
        })
    }

    /// Changes what is kept of somebody.
    pub fn edit(&self, email: &str, edit: impl FnOnce(&mut User)) -> Result<()> {
        let email = plain(email);
        self.change(|users| users.get_mut(&email).map(edit).ok_or_else(|| nobody(&email)))
    }

    /// Takes somebody's access away.
    pub fn remove(&self, email: &str) -> Result<()> {
        let email = plain(email);
        self.change(|users| users.remove(&email).map(drop).ok_or_else(|| nobody(&email)))
    }

    /// Forgets a project that is no more: who saw it alone has no access any longer.
    pub fn forget_project(&self, project: u32) -> Result<()> {
        self.change(|users| {
            users.retain(|_, user| !user.projects.remove(&project) || !user.projects.is_empty());
            Ok(())
        })
    }

    /// Whoever has this password; `None` for a wrong one as for an unknown address, after the same work. That takes a while, so another may
    /// be kept by the time it is done.
    pub fn check(&self, email: &str, password: &str) -> Result<Option<Proved>> {
        let known = self.user(email).map(|user| user.password).filter(|kept| !kept.is_empty());
        let right = password::matches(known.as_deref(), password)?;
        Ok(known.filter(|_| right).map(|kept| Proved { email: plain(email), kept }))
    }

    /// The address that a link was made for, while it can be used.
    pub fn invited(&self, token_sha256: &str, now: Millis) -> Option<String> {
        let users = self.users();
        let holds = |user: &User| {
            user.invitation.as_ref().is_some_and(|i| i.token_sha256 == token_sha256 && now < i.until)
        };
        users.iter().find(|(_, user)| holds(user)).map(|(email, _)| email.clone())
    }

    /// Uses a link up: its holder has this password from now on.
    pub fn accept(&self, token_sha256: &str, password: &str, now: Millis) -> Result<Proved> {
        let used = || {
            let message = "this link was used, or is too old";
            Error::new(ErrorKind::NotFound, "no_such_link", message).hint("ask for a new one")
        };
        let email = self.invited(token_sha256, now).ok_or_else(used)?;
        let kept = password::hash(password)?;
        self.change(|users| {
            // Hashing takes a while; the link may have been used meanwhile.
            let user = users.get_mut(&email).ok_or_else(used)?;
            if user.invitation.take().is_none_or(|i| i.token_sha256 != token_sha256) {
                return Err(used());
            }
            user.password.clone_from(&kept);
            Ok(())
        })?;
        Ok(Proved { email, kept })
    }

    /// Gives somebody who knows their present password another.
    pub fn set_password(&self, email: &str, present: &str, next: &str) -> Result<Proved> {
        let wrong = || Error::invalid("wrong_password", "this is not your present password").at("present");
        let proved = self.check(email, present)?.ok_or_else(wrong)?;
        let kept = password::hash(next)?;
        self.change(|users| {
            let user = users.get_mut(&proved.email).ok_or_else(|| nobody(&proved.email))?;
            // Hashing takes a while; it may be the present one no longer.
            if user.password != proved.kept {
                return Err(wrong());
            }
            user.password.clone_from(&kept);
            user.invitation = None;
            Ok(())
        })?;
        Ok(Proved { kept, ..proved })
    }

    fn change(&self, change: impl FnOnce(&mut Users) -> Result<()>) -> Result<()> {
        let mut users = self.users.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = Users::clone(&users);
        change(&mut next)?;
        let bytes = checked(FILE, &next)?;
        replace_on(&*self.vfs, FILE, FILE_NEW, &bytes, || *users = Arc::new(next))
    }
}

/// Addresses are compared without case.
fn plain(email: &str) -> String {
    email.trim().to_lowercase()
}

fn nobody(email: &str) -> Error {
    Error::new(ErrorKind::NotFound, "unknown_user", format!("no account is called \"{email}\"")).at("email")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::disk::{Fault, SimDisk};

    fn invited(role: Role, token: &str) -> User {
        let invitation = Some(Invitation { token_sha256: token.to_owned(), until: 100 });
        User { role, projects: BTreeSet::new(), password: String::new(), invitation }
    }

    #[test]
    fn people_choose_a_password_once_and_lose_access() {
        let dir = tempfile::tempdir().unwrap();
        let accounts = Accounts::load(dir.path()).unwrap();
        accounts.add(" Jane@Example.com", invited(Role::Editor, "t")).unwrap();
        assert_eq!(
            accounts.add("jane@example.COM", invited(Role::Owner, "u")).unwrap_err().code(),
            "known_user"
        );
        for bad in ["", "jane", "jane@", "@host", "a b@host", "a@b@c", "a\n@b"] {
            assert_eq!(
                accounts.add(bad, invited(Role::Viewer, "v")).unwrap_err().code(),
                "bad_email",
                "{bad:?}"
            );
        }
        assert_eq!(accounts.check("jane@example.com", "").unwrap(), None, "no password is no way in");
        assert_eq!(accounts.accept("t", "a good password", 100).unwrap_err().code(), "no_such_link");
        assert_eq!(accounts.accept("t", "short", 99).unwrap_err().code(), "bad_password");
        assert_eq!(accounts.accept("t", "a good password", 99).unwrap().email, "jane@example.com");
        assert_eq!(accounts.accept("t", "another password", 99).unwrap_err().code(), "no_such_link");
        let again = Accounts::load(dir.path()).unwrap();
        let proved = again.check("JANE@example.com ", "a good password").unwrap().unwrap();
        assert_eq!(proved.email, "jane@example.com");
        assert_eq!(again.check("jane@example.com", "another password").unwrap(), None);
        assert_eq!(
            again.set_password("jane@example.com", "wrong", "x").unwrap_err().code(),
            "wrong_password"
        );
        again.set_password("jane@example.com", "a good password", "another password").unwrap();
        assert!(again.check("jane@example.com", "another password").unwrap().is_some());
        let file = std::fs::read_to_string(dir.path().join(FILE)).unwrap();
        assert!(!file.contains("another password") && file.contains("$argon2id$"), "{file}");
        again.remove("jane@example.com").unwrap();
        assert_eq!(again.check("jane@example.com", "another password").unwrap(), None);
        assert_eq!(again.remove("jane@example.com").unwrap_err().code(), "unknown_user");
        std::fs::write(dir.path().join(FILE), "{\"a@b\":{}}").unwrap();
        assert_eq!(Accounts::load(dir.path()).map(drop).unwrap_err().code(), "corrupt");
    }

    #[test]
    fn whoever_is_removed_stays_away_when_the_disk_does_not_say_so() {
        let disk = SimDisk::new();
        let accounts = Accounts::load_on(Box::new(disk.clone())).unwrap();
        for name in ["jane@x", "eve@x"] {
            accounts.add(name, invited(Role::Editor, name)).unwrap();
        }
        let left = |accounts: &Accounts| accounts.users().keys().cloned().collect::<Vec<_>>();
        // Nothing of it has happened.
        disk.fail_at(0, Fault::RenameError);
        assert!(accounts.remove("eve@x").is_err());
        assert_eq!(left(&accounts), ["eve@x", "jane@x"]);
        // It has, but a power cut may undo it.
        disk.fail_at(0, Fault::SyncDirError);
        assert!(accounts.remove("eve@x").is_err());
        assert_eq!(left(&accounts), ["jane@x"]);
        accounts.edit("jane@x", |user| user.role = Role::Owner).unwrap();
        assert_eq!(left(&Accounts::load_on(Box::new(disk)).unwrap()), ["jane@x"], "nor is she written back");
    }

    #[test]
    fn each_role_may_what_those_before_it_may() {
        assert!(Role::Viewer < Role::Editor && Role::Editor < Role::Owner);
        for (role, name) in ROLES {
            assert_eq!((Role::parse(name).unwrap(), role.name()), (role, name));
        }
        assert_eq!(Role::parse("admin").unwrap_err().code(), "unknown_choice");
    }
}
