//! The `user` command: who has access to the dashboard, for an owner who has lost the way in. A running server keeps its own list in
//! memory, so that changes need it stopped.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;

use super::access_args::User;
use super::{output, served_by};
use crate::app::Role;
use crate::app::accounts::{Accounts, INVITATION_MS, Invitation, User as Account};
use crate::disk::{RealVfs, Vfs};
use crate::error::Result;
use crate::http::auth::{KeyHash, new_token};
use crate::model::{Clock, SystemClock};

/// Lists accounts or changes one.
pub fn run(data: &Path, what: &User) -> Result<()> {
    drop(crate::engine::read_only(data)?);
    if let User::List { json } = what {
        let users = Accounts::load(data)?.users();
        if *json {
            let of = |(email, user): (&String, &Account)| json!({ "email": email, "role": user.role.name(), "projects": user.projects, "password": !user.password.is_empty() });
            return output::line(&json!({ "users": users.iter().map(of).collect::<Vec<_>>() }).to_string());
        }
        if users.is_empty() {
            output::note(
                "nobody has an account: the login link that the server prints, and the API key, are the ways in",
            );
        }
        return users.iter().try_for_each(|(email, user)| {
            let note = if user.password.is_empty() { "  (no password yet)" } else { "" };
            output::line(&format!("{:<8}{email}{note}", user.role.name()))
        });
    }
    let _lock = RealVfs::new(data)?
        .lock()
        .map_err(|error| served_by(error, "the page \"Settings\" of the dashboard"))?;
    let accounts = Accounts::load(data)?;
    match what {
        User::List { .. } => Ok(()),
        User::Add { email, role } => {
            let (token, invitation) = invitation()?;
            let (role, projects, password) = (Role::parse(role)?, BTreeSet::new(), String::new());
            accounts.add(email, Account { role, projects, password, invitation })?;
            link(email, &token)
        }
        User::Password { email } => {
            let (token, invitation) = invitation()?;
            accounts.edit(email, |user| user.invitation = invitation)?;
            link(email, &token)
        }
        User::Remove { email } => {
            accounts.remove(email)?;
            output::line(&format!("{email} has no access any more"))
        }
    }
}

fn invitation() -> Result<(String, Option<Invitation>)> {
    let token = new_token()?;
    let token_sha256 = KeyHash::of(&token).to_hex();
    Ok((token, Some(Invitation { token_sha256, until: SystemClock.now() + INVITATION_MS })))
}

fn link(email: &str, token: &str) -> Result<()> {
    output::line(&format!(
        "start the server; {email} chooses a password, once and within a week, at the address of the dashboard followed by\n/join?token={token}"
    ))
}
