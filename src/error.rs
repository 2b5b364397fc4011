//! The one error type. It always says what went wrong and where: which field of a query, which line of
//! an import, which file and offset of the store. HTTP status and exit code are derived from its kind.

use std::fmt;
use std::path::Path;

/// Bytes of the sentence, the place and the advice each: they quote what was sent, and refusals are kept with them.
const TEXT_BYTES_MAX: usize = 2000;

/// Result of everything that can fail here.
pub type Result<T> = std::result::Result<T, Error>;

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is not well-formed (not JSON, not UTF-8, wrong command line).
    Malformed,
    /// The request is well-formed but means nothing valid: fix it.
    Invalid,
    /// A key is missing or unknown.
    Unauthorized,
    /// The key is good, but not for this.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// The request contradicts the present state.
    Conflict,
    /// A limit of `limits.rs` was passed.
    TooLarge,
    /// Too much at once: try again later.
    Busy,
    /// This client asks too often: try again later.
    TooOften,
    /// The disk is full: reads go on, writes are refused.
    Full,
    /// Another process holds the data directory.
    Locked,
    /// A file does not hold what it must.
    Corrupt,
    /// A file is from a newer version, or a feature is not there.
    Unsupported,
    /// A write failed earlier; the store is read-only until it is opened again.
    Poisoned,
    /// The operating system refused.
    Io,
}

/// One error: kind, stable code, sentence, and where known the place, a hint and the cause.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    code: &'static str,
    message: String,
    at: Option<String>,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` with a stable machine-readable `code` and a sentence for people.
    pub fn new(kind: ErrorKind, code: &'static str, message: impl Into<String>) -> Self {
        Self { kind, code, message: shortened(message.into()), at: None, hint: None, source: None }
    }

    /// Something well-formed that means nothing valid.
    pub fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, code, message)
    }

    /// An input or output error on `path` while doing `what`.
    pub fn io(what: &str, path: &Path, source: std::io::Error) -> Self {
        let full = source.kind() == std::io::ErrorKind::StorageFull
            || source.kind() == std::io::ErrorKind::QuotaExceeded;
        let (kind, code) = if full { (ErrorKind::Full, "disk_full") } else { (ErrorKind::Io, "io") };
        Self::new(kind, code, format!("{what} {}: {source}", path.display())).with_source(source)
    }

    /// A failed sync of `path`: never of kind `Full`, which would mean that nothing has happened. Nobody knows what reached the disk.
    pub fn sync(path: &Path, source: std::io::Error) -> Self {
        Self::new(ErrorKind::Io, "io", format!("cannot sync {}: {source}", path.display()))
            .with_source(source)
    }

    /// Damage in `file` at byte `offset`.
    pub fn corrupt(file: impl fmt::Display, offset: u64, what: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Corrupt, "corrupt", format!("{file}: {what} at offset {offset}"))
            .hint("run `whodid check`; restore the file from a backup if it reports damage")
    }

    /// Names the place: a path into a query (`steps[1].where[0]`), a line, a parameter.
    #[must_use]
    pub fn at(mut self, at: impl Into<String>) -> Self {
        self.at = Some(shortened(at.into()));
        self
    }

    /// Puts `prefix` before the place already named, as an enclosing reader does.
    #[must_use]
    pub fn within(mut self, prefix: &str) -> Self {
        let at = match self.at.take() {
            None => prefix.to_owned(),
            Some(inner) if inner.starts_with('[') => format!("{prefix}{inner}"),
            Some(inner) => format!("{prefix}.{inner}"),
        };
        self.at(at)
    }

    /// Names the directory of the file that the sentence begins with.
    #[must_use]
    pub fn in_directory(mut self, dir: &str) -> Self {
        self.message = format!("{dir}/{}", self.message);
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(shortened(hint.into()));
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// The same error once more, without its cause: for the others whom it concerns.
    #[must_use]
    pub fn again(&self) -> Self {
        let (at, hint) = (self.at.clone(), self.hint.clone());
        Self { kind: self.kind, code: self.code, message: self.message.clone(), at, hint, source: None }
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether nothing is wrong with the request: it may succeed later. Of kinds `Busy` and `TooOften` by itself, of `Full` once there is
    /// room, of `Poisoned` and `Io` once the store was opened anew.
    pub fn is_passing(&self) -> bool {
        use ErrorKind::{Busy, Full, Io, Poisoned, TooOften};
        matches!(self.kind, Busy | TooOften | Full | Poisoned | Io)
    }

    /// The stable code, such as `bad_time`.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The sentence alone.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The place, where known.
    pub fn place(&self) -> Option<&str> {
        self.at.as_deref()
    }

    /// The advice, where there is one.
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

/// A text without its middle if it is longer than [`TEXT_BYTES_MAX`]: what is wrong stands at its beginning or its end. It is cut between
/// words if it has any, as half an identity would be found by nobody who erases it.
fn shortened(text: String) -> String {
    const END: usize = 200;
    if text.len() <= TEXT_BYTES_MAX {
        return text;
    }
    let begin = (0..TEXT_BYTES_MAX - END - 8).rev().find_map(|end| text.get(..end)).unwrap_or("");
    let begin = begin.rfind(' ').and_then(|at| begin.get(..at)).unwrap_or(begin);
    let end = (text.len() - END..text.len()).find_map(|begin| text.get(begin..)).unwrap_or("");
    let end = end.find(' ').and_then(|at| end.get(at + 1..)).unwrap_or(end);
    format!("{begin} ... {end}")
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = &self.at {
            write!(f, "{at}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, " ({hint})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_keeps_its_ends() {
        let error = Error::invalid("bad_type", format!("\"{}\" is no type", "\u{e9}".repeat(1 << 20)));
        let error = error.at("x".repeat(1 << 20)).within("batch");
        let message = error.message();
        assert!(message.len() <= TEXT_BYTES_MAX && message.ends_with("\u{e9} ... is no type"), "{message}");
        let place = error.place().unwrap();
        assert!(place.len() <= TEXT_BYTES_MAX && place.starts_with("batch.xxx"));
        assert_eq!(Error::invalid("a", "short").message(), "short");
    }
}
