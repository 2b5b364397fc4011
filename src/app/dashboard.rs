//! What the dashboard remembers for everybody: the project's name, its zone and week, pinned reports, what is said of events, and links
//! that show one report to whoever has them. A file beside the data, replaced as a whole with every change.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::keys::{checked, discard, read_checked, replace_on};
use crate::disk::{RealVfs, Vfs};
use crate::error::{Error, Result};
use crate::limits;
use crate::model::{Nobody, WEEKDAYS, Zone};
use crate::report::ProjectTime;

const FILE: &str = "dashboard.json";
const FILE_NEW: &str = "dashboard.json.new";

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dashboard {
    /// The project's name; empty if it has none.
    pub name: String,
    /// The zone of dates; empty for UTC.
    pub tz: String,
    /// The day on which weeks begin; empty for Monday.
    pub week_start: String,
    /// Whether pages leave robots out unless their address says otherwise.
    pub without_robots: bool,
    /// The words that nobody is identified with.
    #[serde(skip_serializing_if = "Nobody::is_usual")]
    pub nobody: Nobody,
    /// Names of saved reports that the overview shows.
    pub pinned: BTreeSet<String>,
    /// Links to reports.
    pub shares: Vec<Share>,
    /// What is said of events, by their names.
    pub events: BTreeMap<String, Described>,
}

/// How pages show an event. Reports and the API know nothing of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Described {
    /// Whether fields no longer offer it.
    pub hidden: bool,
    /// What people call it; empty for its own name.
    pub shown_as: String,
    /// What it means.
    pub description: String,
}

/// A link that shows one report and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// SHA-256 in hex of the link's secret, which is kept nowhere.
    pub token_sha256: String,
    /// The page of the report, such as `/funnels`.
    pub path: String,
    /// The report in the text form.
    pub query: String,
    /// When the link was made.
    pub made: String,
}

impl Dashboard {
    /// How the project counts time.
    pub fn time(&self) -> ProjectTime {
        let week_start = WEEKDAYS.into_iter().zip(0..).find(|(day, _)| *day == self.week_start);
        let zone = if self.tz.is_empty() { None } else { Zone::parse(&self.tz).ok() };
        ProjectTime {
            zone: zone.unwrap_or_else(Zone::utc),
            week_start: week_start.map_or(0, |(_, number)| number),
        }
    }

    /// Gives the project another name.
    pub fn rename(&mut self, name: &str) -> Result<()> {
        let name = name.trim();
        if name.is_empty() || name.chars().count() > limits::NAME_CHARS_MAX {
            let message = format!("a name has 1 to {} characters", limits::NAME_CHARS_MAX);
            return Err(Error::invalid("bad_name", message).at("name"));
        }
        name.clone_into(&mut self.name);
        Ok(())
    }

    /// Says something of an event, or nothing any more.
    pub fn describe(&mut self, event: &str, said: Described) -> Result<()> {
        let (name, text) = (said.shown_as.chars().count(), said.description.chars().count());
        if name > limits::NAME_CHARS_MAX || text > limits::DESCRIPTION_CHARS_MAX {
            let (name, text) = (limits::NAME_CHARS_MAX, limits::DESCRIPTION_CHARS_MAX);
            let message = format!("a name has at most {name} characters, a description {text}");
            return Err(Error::invalid("too_long", message).at("description"));
        }
        if said == Described::default() {
            self.events.remove(event);
        } else {
            self.events.insert(event.to_owned(), said);
        }
        Ok(())
    }

    /// Whether fields offer an event.
    pub fn offers(&self, event: &str) -> bool {
        self.events.get(event).is_none_or(|said| !said.hidden)
    }

    /// What pages call an event.
    pub fn shown<'a>(&'a self, event: &'a str) -> &'a str {
        let said = self.events.get(event).map_or("", |said| said.shown_as.as_str());
        if said.is_empty() { event } else { said }
    }

    /// What is remembered of the store in `dir`.
    pub fn load(dir: &Path) -> Result<Self> {
        Self::load_on(&RealVfs::new(dir)?)
    }

    /// The same on any disk.
    pub fn load_on(vfs: &dyn Vfs) -> Result<Self> {
        let hint = "restore the file from a backup, or remove it to begin anew";
        Ok(read_checked(vfs, FILE, hint)?.unwrap_or_default())
    }

    /// Removes what an attempt to store it has left in `dir`.
    pub fn discard_attempt(dir: &Path) -> Result<()> {
        discard(&RealVfs::new(dir)?, FILE_NEW)
    }

    /// Puts it in the store directory `dir`, if it makes sense.
    pub fn store(&self, dir: &Path) -> Result<()> {
        self.store_then(dir, || ())
    }

    /// The same; `taken` is called once the file says so, as by [`replace_on`].
    pub fn store_then(&self, dir: &Path, taken: impl FnOnce()) -> Result<()> {
        if !self.tz.is_empty() {
            Zone::parse(&self.tz).map_err(|e| e.at("tz"))?;
        }
        if !self.week_start.is_empty() && !WEEKDAYS.contains(&self.week_start.as_str()) {
            let error = Error::invalid("unknown_choice", format!("no day is called \"{}\"", self.week_start));
            return Err(error.at("week_start").hint(WEEKDAYS.join(", ")));
        }
        if self.shares.len() > limits::SAVED_MAX {
            let message = format!("there are {} links already", limits::SAVED_MAX);
            return Err(Error::invalid("too_many", message).hint("end some of them in the settings"));
        }
        replace_on(&RealVfs::new(dir)?, FILE, FILE_NEW, &checked(FILE, self)?, taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_not_remembered() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Dashboard::load(dir.path()).unwrap(), Dashboard::default());
        let mut dashboard = Dashboard { tz: "Mars/Olympus".into(), ..Dashboard::default() };
        assert_eq!(dashboard.store(dir.path()).unwrap_err().code(), "unknown_zone");
        dashboard.tz = "Europe/Berlin".into();
        dashboard.week_start = "someday".into();
        assert_eq!(dashboard.store(dir.path()).unwrap_err().code(), "unknown_choice");
        dashboard.week_start = "sunday".into();
        dashboard.pinned.insert("F".into());
        dashboard.store(dir.path()).unwrap();
        assert_eq!(Dashboard::load(dir.path()).unwrap(), dashboard);
        std::fs::write(dir.path().join(FILE), "{\"tz\":3}").unwrap();
        assert_eq!(Dashboard::load(dir.path()).unwrap_err().code(), "corrupt");
    }
}
