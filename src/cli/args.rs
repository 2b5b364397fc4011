//! The command line as it is written.

use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};

use super::access_args::{KeyCommand, ProjectCommand, User};
use super::removal_args::{Erase, Retention};

const DATA: &str = "./whodid-data";

/// A directory; an empty variable says nothing.
fn data_dir() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(|said| if said.is_empty() { DATA.into() } else { said.into() })
}

/// Who did what: person-based analytics on a store of its own.
#[derive(Debug, Parser)]
#[command(name = "whodid", version, about, max_term_width = 100)]
pub struct Cli {
    /// The directory of the store
    #[arg(long, global = true, env = "WHODID_DATA", default_value = DATA, value_name = "DIR", value_parser = data_dir())]
    pub data: PathBuf,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve(Box<Serve>),
    /// Load records in bulk: JSON lines, CSV or Kissmetrics' exports, also packed by gzip or zstd
    Import(Import),
    /// Write everything as records that import takes back
    Export(Export),
    /// How many people go how far through a series of events
    Funnel(Box<Funnel>),
    /// Who came back how long after the first time they did something
    Cohort(Box<Cohort>),
    /// The most common ways from a start to a goal
    Paths(Box<Paths>),
    /// What came in and went back, by time and by where people came from
    Revenue(Box<Revenue>),
    /// Who did or is something, and how many
    People(Box<People>),
    /// Events, people or amounts by day, week or month
    Trend(Box<Trend>),
    /// Who is new, returns, comes back or stays away, by day, week or month
    Lifecycle(Box<Lifecycle>),
    /// Who one person is, and what it did
    Person(Person),
    /// Every event: how often, by how many people, when
    Events {
        /// Print the answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a realistic data set, the same for the same numbers
    Generate(Generate),
    /// Counts and sizes of the store
    Stats {
        /// Print the answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Say who may log in to the dashboard with a password
    #[command(subcommand)]
    User(User),
    /// Read every byte of the store and say what is damaged
    Check {
        /// Remove damaged segments, with all they hold, for good
        #[arg(long)]
        drop_damaged: bool,
        /// Print what was found as JSON
        #[arg(long)]
        json: bool,
    },
    /// Look whether the store can be served well here: rights, room, memory, open files, clock, damage, port
    Doctor {
        /// The address that the server listens on, or is to
        #[arg(long, default_value = "127.0.0.1:8080", env = "WHODID_LISTEN", value_name = "ADDRESS")]
        listen: SocketAddr,
        /// The budget of memory that the server has, or is to have
        #[arg(long, env = "WHODID_MEMORY", value_name = "SIZE", value_parser = size)]
        memory: Option<u64>,
        /// Print what was found as JSON
        #[arg(long)]
        json: bool,
    },
    /// Merge the store's segments into as few as possible
    Compact {
        /// Print the sizes before and after as JSON
        #[arg(long)]
        json: bool,
    },
    /// Erase people for good: all they did and are, from every answer and every file
    Erase(Erase),
    /// Copy the store, running or not, into a new directory in TARGET, and check the copy
    Backup(Backup),
    /// Make a new store of a backup, without those who were erased since
    Restore(Restore),
    /// How long events are kept: shown, or changed and applied
    Retention(Retention),
    /// Join the person of one identity into that of another
    Merge {
        /// The identity whose person is joined
        identity: String,
        /// The identity whose person it is joined into
        into: String,
        /// Print what was done as JSON
        #[arg(long)]
        json: bool,
    },
    /// More keys beside the first two: to send, to read, or to manage; at once, also while a server runs
    #[command(visible_alias = "keys")]
    Key {
        /// What to do with them
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// List the projects beside each other in the store, or delete one
    Project {
        /// What to do with them
        #[command(subcommand)]
        command: ProjectCommand,
    },
    /// Take one identity out of its person again, with all that arrived under it
    Unmerge {
        /// The identity
        identity: String,
        /// Print what was done as JSON
        #[arg(long)]
        json: bool,
    },
}

/// Copy the store.
#[derive(Debug, Args)]
pub struct Backup {
    /// The directory of backups; what the last one has is shared with it
    pub target: PathBuf,
    /// Once the new one is checked, remove all older ones of this store but so many, the new one counted
    #[arg(long, value_name = "N")]
    pub keep: Option<NonZero<usize>>,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

/// Run the server.
#[derive(Debug, Args)]
pub struct Serve {
    /// The address to listen on
    #[arg(long, default_value = "127.0.0.1:8080", env = "WHODID_LISTEN", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// The key that sends records; made at the first start if not given
    #[arg(long, env = "WHODID_WRITE_KEY", hide_env_values = true, value_name = "KEY")]
    pub write_key: Option<String>,
    /// The key that reads, changes and erases everything; made at the first start if not given
    #[arg(long, env = "WHODID_API_KEY", hide_env_values = true, value_name = "KEY")]
    pub api_key: Option<String>,
    /// Names of this server in URLs, besides its address, such as stats.example.com; with commas between, or once for each
    #[arg(long, env = "WHODID_SERVER_NAME", value_delimiter = ',', value_name = "NAME")]
    pub name: Vec<String>,
    /// One more path of the browser tracker, such as /js/app.js
    #[arg(long, env = "WHODID_TRACKER_PATH", value_name = "PATH")]
    pub tracker_path: Option<String>,
    /// Addresses of proxies whose X-Forwarded-For is believed, with commas between
    #[arg(long, env = "WHODID_TRUSTED_PROXY", value_delimiter = ',', value_name = "ADDRESS")]
    pub trusted_proxy: Vec<std::net::IpAddr>,
    /// Records a second that one address may send (of IPv6 one network of 64 bits); 0 is no limit
    #[arg(long, env = "WHODID_RATE", default_value_t = crate::limits::ADDRESS_RATE, value_name = "N")]
    pub rate: u32,
    /// Records a second that may come under one write key; 0 is no limit
    #[arg(long, env = "WHODID_KEY_RATE", default_value_t = 0, value_name = "N")]
    pub key_rate: u32,
    /// Names of events, and as many of properties, that senders may make; imports with the API key may make 65535
    #[arg(long, env = "WHODID_NAMES", default_value_t = crate::limits::TRACKED_NAMES_MAX, value_name = "N")]
    pub names: usize,
    /// Write the log to this file, as lines of JSON, instead of standard error
    #[arg(long, env = "WHODID_LOG", value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// The size at which that file is begun anew; five old ones are kept
    #[arg(long, env = "WHODID_LOG_SIZE", default_value = "10MiB", value_name = "SIZE", value_parser = size)]
    pub log_size: u64,
    /// Warn when less of the disk is free
    #[arg(long, env = "WHODID_DISK_WARNING", default_value = "1GiB", value_name = "SIZE", value_parser = size)]
    pub disk_warning: u64,
    /// Memory that the server may take for itself, such as 512MiB; at least 256MiB, and 24 bytes for each identity
    #[arg(long, env = "WHODID_MEMORY", value_name = "SIZE", value_parser = size)]
    pub memory: Option<u64>,
    /// Warn when no record came for so long, such as 1h
    #[arg(long, env = "WHODID_SILENT_AFTER", value_name = "DURATION")]
    pub silent_after: Option<String>,
    /// The directory of backups that POST /api/v1/backup makes
    #[arg(long, env = "WHODID_BACKUPS", value_name = "DIR")]
    pub backups: Option<PathBuf>,
    /// How many of them are kept; all if not given
    #[arg(long, env = "WHODID_KEEP_BACKUPS", value_name = "N", requires = "backups")]
    pub keep_backups: Option<NonZero<usize>>,
    /// Fill an empty store with generated data first, and show a funnel over it
    #[arg(long)]
    pub demo: bool,
}

/// Bytes as people write them: a number, and KiB, MiB or GiB.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text.get(digits.len()..).unwrap_or("").to_ascii_lowercase().as_str() {
        "" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        _ => return Err("a number of bytes, or one with KiB, MiB or GiB".into()),
    };
    let number = digits.parse::<u64>().map_err(|e| e.to_string())?;
    number.checked_mul(1 << shift).ok_or_else(|| "that is too much".into())
}

/// The same, of a mebibyte at least: a number without a unit is of bytes.
fn mebibytes(text: &str) -> Result<u64, String> {
    let least = |bytes: &u64| *bytes >= 1 << 20;
    size(text).and_then(|bytes| Some(bytes).filter(least).ok_or_else(|| "at least 1MiB".into()))
}

/// The form of records in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON object a line
    Ndjson,
    /// Comma-separated values
    Csv,
    /// The JSON lines that Kissmetrics exports
    Kissmetrics,
}

impl Format {
    /// The form that it names.
    pub fn form(self) -> crate::transfer::format::Format {
        match self {
            Self::Ndjson => crate::transfer::format::Format::Ndjson,
            Self::Csv => crate::transfer::format::Format::Csv,
            Self::Kissmetrics => crate::transfer::format::Format::Kissmetrics,
        }
    }
}

/// The form of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// One JSON object a line
    Ndjson,
    /// Comma-separated values
    Csv,
    /// Parquet, for programs that compute with it
    Parquet,
}

impl ExportFormat {
    /// The form that it names.
    pub fn form(self) -> crate::transfer::format::ExportFormat {
        match self {
            Self::Ndjson => crate::transfer::format::ExportFormat::Ndjson,
            Self::Csv => crate::transfer::format::ExportFormat::Csv,
            Self::Parquet => crate::transfer::format::ExportFormat::Parquet,
        }
    }
}

/// Load records in bulk.
#[derive(Debug, Args)]
pub struct Import {
    /// Files, or - for standard input
    #[arg(default_value = "-", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The form of the records; guessed from the names and the first line if not given
    #[arg(long)]
    pub format: Option<Format>,
    /// What a column of a CSV file means: person, event, alias, time, id or skip; once for each; the others are known by their names or properties
    #[arg(long, value_name = "MEANING=COLUMN")]
    pub map: Vec<String>,
    /// Write rejected lines to this file, one JSON object each: file, line, code, message, and the line itself as text
    #[arg(long, value_name = "PATH")]
    pub rejects: Option<PathBuf>,
    /// Records in memory before they are written, at least 1MiB; the whole takes about as much again [default: 512MiB, or a quarter of what is free]
    #[arg(long, value_name = "SIZE", value_parser = mebibytes)]
    pub memory: Option<u64>,
    /// Print the counts as JSON
    #[arg(long)]
    pub json: bool,
}

/// Write everything.
#[derive(Debug, Args)]
pub struct Export {
    /// The form of the records [default: as the name of the file ends, else ndjson]
    #[arg(long)]
    pub format: Option<ExportFormat>,
    /// Only the records of this person, under whichever of their identities they came
    #[arg(long, value_name = "IDENTITY")]
    pub person: Option<String>,
    /// The file to write, gzipped if its name ends in .gz; standard output for - or if not given
    #[arg(long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    /// Write over a file that is there
    #[arg(long, requires = "out")]
    pub force: bool,
}

/// A funnel.
#[derive(Debug, Args)]
pub struct Funnel {
    /// An event, or as JSON several and what they must meet; once for each step
    #[arg(long = "step", value_name = "EVENT", required_unless_present = "spec")]
    pub steps: Vec<String>,
    /// How long a whole attempt may take, such as 7d
    #[arg(long, value_name = "DURATION")]
    pub within: Option<String>,
    /// In which order: ordered, strict or any
    #[arg(long)]
    pub order: Option<String>,
    /// Split by: source, channel, person.NAME, first:person.NAME, at:person.NAME, step1.NAME or audience:NAME
    #[arg(long)]
    pub by: Option<String>,
    /// "to": later steps must lie before the end as well
    #[arg(long, value_name = "to")]
    pub until: Option<String>,
    /// The variant that the others of --by are compared with
    #[arg(long, value_name = "VALUE")]
    pub control: Option<String>,
    /// An event that must not come between step K (1 if not given) and the next
    #[arg(long, value_name = "EVENT[@K]")]
    pub exclude: Vec<String>,
    /// Segments shown (25 if not given)
    #[arg(long)]
    pub limit: Option<u64>,
    /// What all reports take
    #[command(flatten)]
    pub basis: Basis,
}

/// What all reports take.
#[derive(Debug, Args)]
pub struct Basis {
    /// First day or instant
    #[arg(long)]
    pub from: Option<String>,
    /// Last day, or the instant behind it
    #[arg(long)]
    pub to: Option<String>,
    /// Time zone of days, such as Europe/Berlin
    #[arg(long)]
    pub tz: Option<String>,
    /// The instant that the report pretends it is
    #[arg(long, value_name = "INSTANT")]
    pub as_of: Option<String>,
    /// Only these people: the name of a saved audience, or an audience as JSON
    #[arg(long, value_name = "AUDIENCE")]
    pub people: Option<String>,
    /// A whole query as JSON, from a file or - for standard input, instead of all flags but --json
    #[arg(long, value_name = "FILE")]
    pub spec: Option<PathBuf>,
    /// Print the answer as JSON
    #[arg(long)]
    pub json: bool,
}

/// Cohorts.
#[derive(Debug, Args)]
pub struct Cohort {
    /// The event that begins; people belong to the time of their first
    #[arg(long, value_name = "EVENT", required_unless_present = "spec")]
    pub start: Option<String>,
    /// The event that counts as coming back
    #[arg(long = "return", value_name = "EVENT", required_unless_present = "spec")]
    pub returns: Option<String>,
    /// Cohorts of a day, week or month (month if not given)
    #[arg(long, value_name = "UNIT")]
    pub cohort: Option<String>,
    /// Buckets of a day, week or month (as the cohorts if not given)
    #[arg(long, value_name = "UNIT")]
    pub bucket: Option<String>,
    /// Buckets shown (12 if not given)
    #[arg(long)]
    pub count: Option<u64>,
    /// Buckets are units of the calendar instead of the person's own
    #[arg(long)]
    pub calendar: bool,
    /// Count people in every bucket up to their last return
    #[arg(long)]
    pub at_least: bool,
    /// Measure people, events or sum
    #[arg(long)]
    pub measure: Option<String>,
    /// The property that is summed
    #[arg(long)]
    pub property: Option<String>,
    /// Cohorts by value: source, channel, person.NAME, first:person.NAME, at:person.NAME or audience:NAME
    #[arg(long)]
    pub by: Option<String>,
    /// Values shown (25 if not given)
    #[arg(long)]
    pub limit: Option<u64>,
    /// The day on which weeks begin (monday if not given)
    #[arg(long, value_name = "DAY")]
    pub week_start: Option<String>,
    /// What all reports take
    #[command(flatten)]
    pub basis: Basis,
}

/// Paths.
#[derive(Debug, Args)]
pub struct Paths {
    /// The event where paths begin
    #[arg(long, value_name = "EVENT", required_unless_present_any = ["goal", "spec"])]
    pub start: Option<String>,
    /// The event where they end
    #[arg(long, value_name = "EVENT")]
    pub goal: Option<String>,
    /// Events of a path, repeats counted once (5 if not given)
    #[arg(long)]
    pub events: Option<u64>,
    /// Which of the events between are kept: first or last
    #[arg(long)]
    pub side: Option<String>,
    /// Paths shown (50 if not given)
    #[arg(long)]
    pub limit: Option<u64>,
    /// What all reports take
    #[command(flatten)]
    pub basis: Basis,
}

/// Revenue.
#[derive(Debug, Args)]
pub struct Revenue {
    /// The property that holds amounts (Revenue if not given)
    #[arg(long)]
    pub property: Option<String>,
    /// The series by day, week or month (month if not given)
    #[arg(long)]
    pub unit: Option<String>,
    /// Split by: source (if not given), channel, person.NAME, first:person.NAME or audience:NAME
    #[arg(long)]
    pub by: Option<String>,
    /// Segments shown (25 if not given)
    #[arg(long)]
    pub limit: Option<u64>,
    /// Paying people gained, kept and lost, churn, lifetime value and recurring revenue
    #[arg(long)]
    pub lifetime: bool,
    /// How long without a payment people are lost (30d if not given)
    #[arg(long, value_name = "DURATION", requires = "lifetime")]
    pub lost_after: Option<String>,
    /// The event with which people are lost instead
    #[arg(long, value_name = "EVENT", requires = "lifetime", conflicts_with = "lost_after")]
    pub lost_by: Vec<String>,
    /// The property that says how long a payment is for (Billing Period if not given)
    #[arg(long, value_name = "PROPERTY", requires = "lifetime")]
    pub period: Option<String>,
    /// The day on which weeks begin (monday if not given)
    #[arg(long, value_name = "DAY")]
    pub week_start: Option<String>,
    /// What all reports take
    #[command(flatten)]
    pub basis: Basis,
}

/// People. Which ones: --people.
#[derive(Debug, Args)]
pub struct People {
    /// A property to show: person.NAME or first:person.NAME; all if not given
    #[arg(long = "column", value_name = "COLUMN")]
    pub columns: Vec<String>,
    /// People shown (50 if not given)
    #[arg(long)]
    pub limit: Option<u64>,
    /// Where to go on
    #[arg(long)]
    pub cursor: Option<String>,
    /// What all reports take
    #[command(flatten)]
    pub basis: Basis,
}

/// Trends.
#[derive(Debug, Args)]
pub struct Trend {
    /// An event; once for each series
    #[arg(long = "series", value_name = "EVENT", required_unless_present = "spec")]
    pub series: Vec<String>,
    /// Measure events, people, per_person, sum, mean or median (events if not given)
    #[arg(long)]
    pub measure: Option<String>,
    /// The property that sum, mean and median are of
    #[arg(long)]
    pub property: Option<String>,
    /// Points by day, week or month (day if not given)
    #[arg(long)]
    pub unit: Option<String>,
    /// Split by: source, channel, event.NAME, person.NAME, first:person.NAME or audience:NAME
    #[arg(long)]
    pub by: Option<String>,
    /// Segments shown (25 if not given)
    #[arg(long)]
    pub limit: Option<u64>,
    /// The day on which weeks begin (monday if not given)
    #[arg(long, value_name = "DAY")]
    pub week_start: Option<String>,
    /// What all reports take
    #[command(flatten)]
    pub basis: Basis,
}

/// Lifecycles.
#[derive(Debug, Args)]
pub struct Lifecycle {
    /// What counts as being active; any event if not given
    #[arg(long)]
    pub event: Option<String>,
    /// Points by day, week or month (week if not given)
    #[arg(long)]
    pub unit: Option<String>,
    /// The day on which weeks begin (monday if not given)
    #[arg(long, value_name = "DAY")]
    pub week_start: Option<String>,
    /// What all reports take
    #[command(flatten)]
    pub basis: Basis,
}

/// One person.
#[derive(Debug, Args)]
pub struct Person {
    /// Any of its identities
    pub identity: String,
    /// Events shown
    #[arg(long, default_value_t = 20)]
    pub limit: usize,
    /// Where to go on
    #[arg(long)]
    pub cursor: Option<String>,
    /// Print the answer as JSON
    #[arg(long)]
    pub json: bool,
}

/// What to restore.
#[derive(Debug, Args)]
pub struct Restore {
    /// A backup, or a directory of backups, of which the newest is taken
    pub backup: PathBuf,
    /// The new store, empty or not there; the directory of --data if not given
    pub dir: Option<PathBuf>,
    /// Who was erased since: the file ERASED of the store that was, or its directory; the lists of all backups beside it are known
    #[arg(long, value_name = "PATH")]
    pub erased: Vec<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

/// A data set. It needs no store.
#[derive(Debug, Args)]
#[command(arg(clap::Arg::new("data").long("data").value_parser(data_dir()).hide(true)))]
pub struct Generate {
    /// About so many people: one on two devices who never says who it is counts as two
    #[arg(long, default_value_t = 10_000)]
    pub people: u32,
    /// Events in it
    #[arg(long, default_value_t = 200_000)]
    pub events: u64,
    /// Another number makes another data set
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The instant at which its year ends
    #[arg(long, value_name = "INSTANT", default_value = "2026-01-01T00:00:00Z")]
    pub until: String,
    /// The file to write, gzipped if its name ends in .gz; standard output for - or if not given
    #[arg(long, value_name = "PATH")]
    pub out: Option<PathBuf>,
}
