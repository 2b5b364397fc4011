//! What the command line says about what is taken out for good: old events and people.

use clap::Args;

/// How long events are kept.
#[derive(Debug, Args)]
pub struct Retention {
    /// Days that events are kept, or forever
    #[arg(long, value_name = "DAYS")]
    pub days: Option<String>,
    /// The same for one event; NAME= for as long as all others
    #[arg(long, value_name = "NAME=DAYS")]
    pub event: Vec<String>,
    /// Take out what is too old without asking
    #[arg(long)]
    pub yes: bool,
    /// Print what holds as JSON
    #[arg(long)]
    pub json: bool,
}

/// Whom to erase.
#[derive(Debug, Args)]
pub struct Erase {
    /// Any identity of each person
    #[arg(required = true, value_name = "IDENTITY")]
    pub identities: Vec<String>,
    /// Do it without asking
    #[arg(long)]
    pub yes: bool,
    /// Print the receipt as JSON
    #[arg(long)]
    pub json: bool,
}
