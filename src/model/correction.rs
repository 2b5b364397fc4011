//! What an operator says of who is who. In a file it stands beside records, so that an export brings back the same people.

use super::{Admission, Record, check_name};
use crate::error::{Error, Result};

/// A change of who is who that no tracking makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Correction {
    /// This identity was met before those that follow: their order decides what people are called.
    Seen(String),
    /// The person of one identity is that of the other.
    Merge {
        /// The identity whose person joins.
        identity: String,
        /// An identity of the person that is joined.
        into: String,
    },
    /// This identity is a person of its own.
    Unmerge(String),
}

impl Correction {
    /// With trimmed identities.
    ///
    /// # Errors
    /// `bad_identity`, as of a record.
    pub fn checked(self) -> Result<Self> {
        let clean = |identity: &str| check_name(identity, "identity").map(str::to_owned);
        Ok(match self {
            Self::Seen(identity) => Self::Seen(clean(&identity)?),
            Self::Merge { identity, into } => {
                Self::Merge { identity: clean(&identity)?, into: clean(&into)? }
            }
            Self::Unmerge(identity) => Self::Unmerge(clean(&identity)?),
        })
    }

    /// The identities it names.
    pub fn identities(&self) -> impl Iterator<Item = &str> {
        let (first, second) = match self {
            Self::Seen(identity) | Self::Unmerge(identity) => (identity, None),
            Self::Merge { identity, into } => (identity, Some(into.as_str())),
        };
        std::iter::once(first.as_str()).chain(second)
    }
}

/// What a line of a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Something to store.
    Record(Record),
    /// Who is who.
    Correction(Correction),
}

impl Line {
    /// Checked as a record is, see [`Record::checked`].
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn checked(self, admission: Admission<'_>) -> Result<Self> {
        match self {
            Self::Record(record) => record.checked(admission).map(Self::Record),
            Self::Correction(correction) => correction.checked().map(Self::Correction),
        }
    }

    /// The record.
    ///
    /// # Errors
    /// `bad_type` if it is a correction, which is for operators only.
    pub fn record(self) -> Result<Record> {
        match self {
            Self::Record(record) => Ok(record),
            Self::Correction(_) => {
                let message = "who is who is not for senders of records to say";
                Err(Error::invalid("bad_type", message).at("type").hint("import it with the API key"))
            }
        }
    }
}

impl From<Record> for Line {
    fn from(record: Record) -> Self {
        Self::Record(record)
    }
}
