//! Writing to standard output and to files, and asking at the terminal.

use std::fs::{self, File};
use std::io::{self, BufRead, BufWriter, IsTerminal, Write};
use std::path::Path;

use crate::disk::system::terminal_columns;
use crate::error::{Error, ErrorKind, Result};

/// The least that tables take of a terminal.
const COLUMNS_MIN: usize = 80;

/// Columns that tables may fill: what the variable COLUMNS says, or else those of the terminal. A file or a pipe takes any.
pub fn width() -> usize {
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    said.filter(|columns| *columns > 0).unwrap_or_else(|| {
        let out = io::stdout();
        if !out.is_terminal() {
            return usize::MAX;
        }
        terminal_columns(&out).map_or(COLUMNS_MIN, |columns| columns.max(COLUMNS_MIN))
    })
}

/// Prints one line.
pub fn line(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(broken)
}

/// Prints one line on standard error. That nobody reads it any more ends nothing: the macro for this would panic.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// An error that says that nothing was done, unless whoever sits at the terminal says yes.
pub fn make_sure(question: &str, nothing: &str) -> Result<()> {
    if confirmed(question)? {
        return Ok(());
    }
    Err(Error::invalid("not_confirmed", nothing).hint("say --yes to do it"))
}

/// Asks whoever sits at the terminal; nobody there means no.
fn confirmed(question: &str) -> Result<bool> {
    if !io::stdin().is_terminal() {
        return Ok(false);
    }
    note(question);
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|e| Error::new(ErrorKind::Io, "io", format!("cannot read the answer: {e}")))?;
    Ok(answer.trim() == "yes")
}

/// An error of writing the output.
pub fn broken(error: io::Error) -> Error {
    Error::new(ErrorKind::Io, "io", format!("cannot write the output: {error}")).with_source(error)
}

/// Whether an error only means that the reader of our output has gone.
pub fn is_broken_pipe(error: &Error) -> bool {
    let mut sources = std::iter::successors(std::error::Error::source(error), |e| e.source());
    sources.any(|e| e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
}

/// Prints an answer as one line of JSON.
pub fn json(answer: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string(answer);
    line(&text.map_err(|e| Error::new(ErrorKind::Io, "encoding", e.to_string()))?)
}

/// An error if writing to `path` would lose what is in a file there.
pub fn loses_nothing(path: Option<&Path>) -> Result<()> {
    let Some(path) = path.filter(|path| path.as_os_str() != "-") else { return Ok(()) };
    match fs::metadata(path) {
        Ok(there) if there.is_file() && there.len() > 0 => {
            let message = format!("{} is there already", path.display());
            Err(Error::invalid("file_exists", message).hint("say another name, or --force to write over it"))
        }
        _ => Ok(()),
    }
}

/// Calls `write` with the file `path` (gzipped if its name says so), or standard output if there is none or it is `-`. A file
/// appears under its name only when it is whole; a device or pipe is written to as it is.
pub fn to_file(path: Option<&Path>, write: impl FnOnce(&mut dyn Write) -> Result<u64>) -> Result<u64> {
    let Some(path) = path.filter(|path| path.as_os_str() != "-") else {
        let mut out = BufWriter::new(io::stdout().lock());
        let count = write(&mut out)?;
        out.flush().map_err(broken)?;
        return Ok(count);
    };
    let gzip = path.extension().is_some_and(|e| e == "gz");
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        // Renaming a file over it would take the device away from everybody.
        let failed = |e| Error::io("cannot write", path, e);
        let file = File::options().write(true).open(path).map_err(failed)?;
        return fill(file, gzip, write, failed).map(|(count, _)| count);
    }
    // A link goes on to lead to the file.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut partial = target.clone().into_os_string();
    partial.push(".partial");
    let partial = Path::new(&partial);
    let failed = |e| Error::io("cannot write", partial, e);
    let file = File::create(partial).map_err(failed)?;
    let written = fill(file, gzip, write, failed).and_then(|(count, file)| {
        file.sync_all().map_err(failed)?;
        fs::rename(partial, &target).map_err(|e| Error::io("cannot rename to", path, e))?;
        Ok(count)
    });
    if written.is_err() {
        // What went wrong first is what is told, whether this succeeds or not.
        let _ = fs::remove_file(partial);
    }
    written
}

/// Writes all of it, and gives the file back for what is left to do with it.
fn fill(
    file: File,
    gzip: bool,
    write: impl FnOnce(&mut dyn Write) -> Result<u64>,
    failed: impl Fn(io::Error) -> Error,
) -> Result<(u64, File)> {
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let count;
    if gzip {
        let mut packed = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
        count = write(&mut packed)?;
        out = packed.finish().map_err(&failed)?;
    } else {
        count = write(&mut out)?;
    }
    let file = out.into_inner().map_err(|e| failed(e.into_error()))?;
    Ok((count, file))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::FileTypeExt;

    use super::*;

    fn hello(out: &mut dyn Write) -> Result<u64> {
        out.write_all(b"hello").map_err(broken).map(|()| 1)
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_pipe_is_written_to_and_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        // Without a process of its own: a child that is being started holds the locks of stores in other tests.
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        // Open for both, so that neither end waits for the other.
        let mut reader = File::options().read(true).write(true).open(&pipe).unwrap();
        assert_eq!(to_file(Some(&pipe), hello).unwrap(), 1);
        assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
        let mut found = [0; 5];
        reader.read_exact(&mut found).unwrap();
        assert_eq!(&found, b"hello");
    }

    #[test]
    fn a_link_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        to_file(Some(&link), hello).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"hello");
        assert_eq!(names(dir.path()), ["file", "link"]);
    }

    #[test]
    fn what_fails_leaves_the_old_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["plain", "packed.gz"] {
            let path = dir.path().join(name);
            fs::write(&path, "old").unwrap();
            let failed = to_file(Some(&path), |out| {
                hello(out)?;
                Err(broken(io::Error::other("on purpose")))
            });
            assert!(failed.is_err());
            assert_eq!(fs::read(&path).unwrap(), b"old");
        }
        assert_eq!(names(dir.path()), ["packed.gz", "plain"]);
    }
}
