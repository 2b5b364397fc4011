//! Where rejected lines go: to standard error, or with `--rejects` to a file with their text, to be mended and imported again.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{format, output, table};
use crate::app::Rejected;
use crate::error::{Error, Result};

/// Takes rejected lines.
pub enum Rejects {
    /// Kept to be told at the end, behind the progress bar, each with its file if there are several.
    Told { lines: Vec<(Option<PathBuf>, Rejected)>, several: bool },
    /// Written down as they come.
    Written { path: PathBuf, out: BufWriter<File>, count: u64, failed: Option<Error> },
}

impl Rejects {
    /// To the file `path` if there is one, which is made now, before anything is stored. `inputs` are not to be overwritten.
    pub fn new(path: Option<&Path>, inputs: &[PathBuf]) -> Result<Self> {
        let Some(path) = path else {
            return Ok(Self::Told { lines: Vec::new(), several: inputs.len() > 1 });
        };
        let same = |input: &PathBuf| matches!((fs::canonicalize(input), fs::canonicalize(path)), (Ok(input), Ok(path)) if input == path);
        if inputs.iter().any(same) {
            let message = format!("{} is what is imported", path.display());
            return Err(Error::invalid("bad_path", message).at("--rejects").hint("name another file"));
        }
        let file = File::create(path).map_err(|e| Error::io("cannot write", path, e))?;
        Ok(Self::Written { path: path.to_owned(), out: BufWriter::new(file), count: 0, failed: None })
    }

    /// Whether it wants the text of lines.
    pub fn takes_text(&self) -> bool {
        matches!(self, Self::Written { .. })
    }

    /// Takes a line of `file`.
    pub fn take(&mut self, file: &Path, line: &Rejected) {
        match self {
            Self::Told { lines, several } => lines.push((several.then(|| file.to_owned()), line.clone())),
            Self::Written { path, out, count, failed } => {
                *count += 1;
                let text = line.text.as_deref().map(String::from_utf8_lossy);
                let line = json!({
                    "file": file.to_string_lossy(), "line": line.line, "code": line.code, "at": line.at,
                    "message": line.message, "text": text,
                });
                if let Err(error) = writeln!(out, "{line}") {
                    failed.get_or_insert(Error::io("cannot write", path, error));
                }
            }
        }
    }

    /// Tells of them; an error if they could not be written down.
    pub fn finish(self) -> Result<()> {
        match self {
            Self::Told { lines, .. } => {
                for (file, line) in lines {
                    let place = file.map(|file| format!("{}: ", file.display())).unwrap_or_default();
                    let at = line.at.map(|at| format!(" at {}", table::visible(&at))).unwrap_or_default();
                    let message = table::visible(&line.message);
                    output::note(&format!("{place}line {}: {}{at}: {message}", line.line, line.code));
                }
                Ok(())
            }
            Self::Written { failed: Some(error), .. } => Err(error),
            Self::Written { path, mut out, count, .. } => {
                out.flush().map_err(|e| Error::io("cannot write", &path, e))?;
                if count > 0 {
                    let lines = format::counted(count, "rejected line is", "rejected lines are");
                    output::note(&format!("{lines} in {}", path.display()));
                }
                Ok(())
            }
        }
    }
}
