//! The forms that records come and go in, and how a form is known.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use serde::de::IgnoredAny;

/// A form of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Ndjson,
    /// Comma-separated values.
    Csv,
    /// The JSON lines that Kissmetrics exports.
    Kissmetrics,
}

impl Format {
    /// By its name.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "ndjson" => Self::Ndjson,
            "csv" => Self::Csv,
            "kissmetrics" => Self::Kissmetrics,
            _ => return None,
        })
    }

    /// By the name of a file, or else by how its text begins.
    pub fn guess(file: Option<&Path>, begin: &[u8]) -> Self {
        let name = bare_name(file);
        let begin = begin.strip_prefix("\u{feff}".as_bytes()).unwrap_or(begin).trim_ascii_start();
        let line = begin.split(|b| *b == b'\n').next().unwrap_or(begin);
        if name.ends_with(".csv") || (!line.starts_with(b"{") && line.contains(&b',')) {
            return Self::Csv;
        }
        // None of our own lines has such a field, though a property in it may be called so.
        let written = |key: &[u8]| line.windows(key.len()).any(|part| part == key);
        let theirs = serde_json::from_slice::<BTreeMap<Cow<'_, str>, IgnoredAny>>(line).map_or_else(
            |_| written(b"\"_p\"") && !written(b"\"person\""),
            |fields| fields.contains_key("_p"),
        );
        if theirs { Self::Kissmetrics } else { Self::Ndjson }
    }
}

/// The name of a file in small letters, without the ending of how it is packed.
fn bare_name(file: Option<&Path>) -> String {
    let name = file.and_then(Path::file_name).map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
    name.strip_suffix(".gz").or(name.strip_suffix(".zst")).unwrap_or(&name).to_owned()
}

/// A form in which everything is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// One JSON object a line.
    Ndjson,
    /// Comma-separated values.
    Csv,
    /// Parquet.
    Parquet,
}

impl ExportFormat {
    /// By its name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Ndjson, Self::Csv, Self::Parquet].into_iter().find(|format| format.name() == name)
    }

    /// By the name of a file; lines of JSON if that does not say.
    pub fn of(file: Option<&Path>) -> Self {
        let name = bare_name(file);
        let ends = |format: &Self| name.rsplit_once('.').is_some_and(|(_, end)| end == format.name());
        [Self::Csv, Self::Parquet].into_iter().find(ends).unwrap_or(Self::Ndjson)
    }

    /// Its name, which is the ending of its files too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }

    /// What it is called on the network.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_known_by_name_or_by_their_beginning() {
        let guess = |name: &str, begin: &str| Format::guess(Some(Path::new(name)), begin.as_bytes());
        assert_eq!(guess("a.csv.gz", "{"), Format::Csv);
        assert_eq!(guess("-", "\u{feff}Identity,Timestamp\n"), Format::Csv);
        assert_eq!(guess("1.json", "{\"_n\":\"A\",\"_p\":\"b\",\"_t\":1}"), Format::Kissmetrics);
        let typed = "{\"_n\":\"Paid\",\"_p\":\"k1\",\"type\":\"card\",\"person\":\"vip\"}";
        assert_eq!(guess("1.json", typed), Format::Kissmetrics);
        assert_eq!(guess("1.json", &typed.replace("person", "n\\303\\251")), Format::Kissmetrics);
        let ours = "{\"type\":\"event\",\"person\":\"p\",\"event\":\"e\",\"properties\":{\"_p\":1}}";
        assert_eq!(guess("1.json", ours), Format::Ndjson);
        assert_eq!(guess("1.json", "\n{\"type\":\"event\",\"person\":\"p\"}"), Format::Ndjson);
        assert_eq!((guess("-", ""), guess("-", "nonsense\n")), (Format::Ndjson, Format::Ndjson));
        let of = |name: &str| ExportFormat::of(Some(Path::new(name)));
        assert_eq!((of("x/All.CSV.gz"), of("a.parquet")), (ExportFormat::Csv, ExportFormat::Parquet));
        assert_eq!(
            (of("csv"), of("a.json"), ExportFormat::of(None)),
            (ExportFormat::Ndjson, ExportFormat::Ndjson, ExportFormat::Ndjson)
        );
    }
}
