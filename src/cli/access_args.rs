//! What the command line says about who may do what and where: people with accounts, keys, projects.

use clap::{Subcommand, ValueEnum};

/// Say who may log in.
#[derive(Debug, Subcommand)]
pub enum User {
    /// Give somebody access, and print the path of the link with which they choose a password
    Add {
        /// Their e-mail address
        email: String,
        /// What they may do: viewer, editor or owner
        #[arg(long, default_value = "viewer")]
        role: String,
    },
    /// Everybody with access
    List {
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the path of a link with which somebody chooses another password
    Password {
        /// Their e-mail address
        email: String,
    },
    /// Take somebody's access away
    Remove {
        /// Their e-mail address
        email: String,
    },
}

/// What to do with projects.
#[derive(Debug, Subcommand)]
pub enum ProjectCommand {
    /// Numbers, names and how much there is in each
    List {
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Delete a project with all its people, keys and settings, for good; no server may run
    Delete {
        /// Its number
        project: u32,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key and print it, this once
    Add {
        /// What you call it
        name: String,
        /// What it is good for
        #[arg(long, default_value = "read")]
        scope: KeyScope,
    },
    /// Names and scopes
    List {
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a key away
    Remove {
        /// What you called it
        name: String,
    },
}

/// What a key is good for.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum KeyScope {
    /// To send records; it may stand in pages
    Write,
    /// To read everything and change nothing
    Read,
    /// To read and change everything
    Manage,
}
