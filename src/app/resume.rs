//! Where imports of files were interrupted, so that the same command goes on there: a file beside the data, which holds nothing but what
//! saves time and tells records without a time and an id apart. Without it an import of the same file stores the same.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::keys::{read, replace};
use crate::disk::{RealVfs, Vfs};
use crate::error::{Error, ErrorKind, Result};

const FILE: &str = "imports.json";
const FILE_NEW: &str = "imports.json.new";
/// How often a mark is moved while an import runs: what it saves is worth a sync now and then.
const MOVED_EVERY: Duration = Duration::from_millis(500);
/// Files whose marks are kept; the oldest go first.
const MARKS_KEPT: usize = 100;

/// A file as it is looked at before it is imported. If all is as it was, so is its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its full path.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// When it was changed last: seconds and nanoseconds.
    pub modified: (i64, i64),
    /// As what it is read: format and meanings of columns.
    pub form: String,
}

/// How far a file was imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The file.
    pub source: Source,
    /// What the ids begin with of records that have neither a time nor an id.
    pub token: String,
    /// All that this line and those before it hold is stored.
    pub line: u64,
}

/// The marks of a store that is open for writing.
#[derive(Debug)]
pub struct Marks {
    dir: std::path::PathBuf,
    marks: Vec<Mark>,
    moved: Instant,
}

impl Marks {
    /// Those of the store in `dir`.
    pub fn load(dir: &Path) -> Result<Self> {
        let hint = "remove the file: interrupted imports then begin at their first line";
        let marks = read(&RealVfs::new(dir)?, FILE, hint)?.unwrap_or_default();
        Ok(Self { dir: dir.to_owned(), marks, moved: Instant::now() })
    }

    /// The mark of `source`: where its import was interrupted, or a new one at its beginning. It is durable.
    pub fn begin(&mut self, source: Source) -> Result<Mark> {
        if let Some(mark) = self.marks.iter().find(|mark| mark.source == source) {
            return Ok(mark.clone());
        }
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(|e| Error::new(ErrorKind::Io, "random", e.to_string()))?;
        let token = format!("import-{:016x}", u64::from_le_bytes(bytes));
        self.marks.retain(|mark| mark.source.file != source.file);
        self.marks.drain(..(self.marks.len() + 1).saturating_sub(MARKS_KEPT));
        let mark = Mark { source, token, line: 0 };
        self.marks.push(mark.clone());
        self.store()?;
        Ok(mark)
    }

    /// All up to `line` is stored now. Written down now and then, or at once if this is the `last` that is said.
    pub fn advance(&mut self, token: &str, line: u64, last: bool) -> Result<()> {
        if let Some(mark) = self.marks.iter_mut().find(|mark| mark.token == token) {
            mark.line = mark.line.max(line);
        }
        if !last && self.moved.elapsed() < MOVED_EVERY {
            return Ok(());
        }
        self.store()
    }

    /// The imports that `tokens` mark are done.
    pub fn end(&mut self, tokens: &[String]) -> Result<()> {
        self.marks.retain(|mark| !tokens.contains(&mark.token));
        self.store()
    }

    fn store(&mut self) -> Result<()> {
        self.moved = Instant::now();
        if !self.marks.is_empty() {
            let text = serde_json::to_vec_pretty(&self.marks).map_err(|e| Error::corrupt(FILE, 0, e))?;
            return replace(&self.dir, FILE, FILE_NEW, &text);
        }
        let vfs = RealVfs::new(&self.dir)?;
        if vfs.list()?.iter().any(|name| name == FILE) {
            vfs.remove(FILE)?;
            vfs.sync_dir()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(file: &str, bytes: u64) -> Source {
        Source { file: file.to_owned(), bytes, modified: (1, 2), form: String::new() }
    }

    #[test]
    fn a_mark_is_found_again_until_its_import_ends_or_the_file_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let mut marks = Marks::load(dir.path()).unwrap();
        let first = marks.begin(source("/a", 1)).unwrap();
        marks.advance(&first.token, 7, false).unwrap();
        assert_eq!(
            Marks::load(dir.path()).unwrap().begin(source("/a", 1)).unwrap().line,
            0,
            "not yet written"
        );
        marks.advance(&first.token, 9, true).unwrap();
        let mut again = Marks::load(dir.path()).unwrap();
        let known = again.begin(source("/a", 1)).unwrap();
        assert_eq!((known.line, &known.token), (9, &first.token));
        let changed = again.begin(source("/a", 2)).unwrap();
        assert_eq!(changed.line, 0);
        assert_ne!(changed.token, first.token);
        assert_eq!(again.marks.len(), 1, "the old mark of a file that was changed is of no use");
        again.end(&[changed.token]).unwrap();
        assert!(!dir.path().join(FILE).exists());
        std::fs::write(dir.path().join(FILE), "[{]").unwrap();
        assert_eq!(Marks::load(dir.path()).unwrap_err().code(), "corrupt");
    }

    #[test]
    fn marks_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let mut marks = Marks::load(dir.path()).unwrap();
        for n in 0..=MARKS_KEPT {
            marks.begin(source(&format!("/{n}"), 1)).unwrap();
        }
        assert_eq!((marks.marks.len(), marks.marks[0].source.file.as_str()), (MARKS_KEPT, "/1"));
    }
}
