//! Writing to standard output and to files.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// Prints one line.
pub fn line(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(broken)
}

/// Prints one line on standard error. That nobody reads it any more ends nothing: the macro for this would panic.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// An error of writing the output.
pub fn broken(error: io::Error) -> Error {
    Error::new(ErrorKind::Io, "io", format!("cannot write the output: {error}")).with_source(error)
}

/// Whether an error only means that the reader of our output has gone.
pub fn is_broken_pipe(error: &Error) -> bool {
    let source = std::error::Error::source(error).and_then(|e| e.downcast_ref::<io::Error>());
    source.is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

/// Calls `write` with the file `path` (gzipped if its name says so), or standard output. A file appears under its name only
/// when it is whole.
pub fn to_file(path: Option<&Path>, write: impl FnOnce(&mut dyn Write) -> Result<u64>) -> Result<u64> {
    let Some(path) = path else {
        let mut out = BufWriter::new(io::stdout().lock());
        let count = write(&mut out)?;
        out.flush().map_err(broken)?;
        return Ok(count);
    };
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = Path::new(&partial);
    let failed = |e| Error::io("cannot write", partial, e);
    let file = File::create(partial).map_err(failed)?;
    let count = if path.extension().is_some_and(|e| e == "gz") {
        let mut gzip = flate2::write::GzEncoder::new(BufWriter::new(file), flate2::Compression::fast());
        let count = write(&mut gzip)?;
        gzip.finish()
            .and_then(|f| f.into_inner().map_err(io::IntoInnerError::into_error))
            .and_then(|f| f.sync_all())
            .map_err(failed)?;
        count
    } else {
        let mut out = BufWriter::with_capacity(1 << 20, file);
        let count = write(&mut out)?;
        out.into_inner()
            .map_err(io::IntoInnerError::into_error)
            .and_then(|f| f.sync_all())
            .map_err(failed)?;
        count
    };
    std::fs::rename(partial, path).map_err(|e| Error::io("cannot rename to", path, e))?;
    Ok(count)
}
