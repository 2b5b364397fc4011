//! What goes wrong, for people: on standard error as lines of text, or in a file as lines of JSON. The file is begun anew when it
//! is large, and some old ones are kept.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use log::{Level, LevelFilter, Metadata, Record};

use super::{output, table};
use crate::error::{Error, Result};
use crate::model::{Clock, SystemClock, format_millis};

/// Old files that are kept: `FILE.1` is the latest of them.
const KEPT: u32 = 5;
/// Bytes of one message: what strangers sent may be part of it.
const MESSAGE_BYTES_MAX: usize = 2048;

/// Writes the log of this process to standard error.
pub fn to_stderr() {
    install(Logger(None), LevelFilter::Warn);
}

/// Writes it to `file`, which is begun anew when it has more than `bytes`.
pub fn to_file(file: &Path, bytes: u64) -> Result<()> {
    let out =
        Rotated::open(file.to_owned(), bytes).map_err(|e| Error::io("cannot write the log", file, e))?;
    install(Logger(Some(Mutex::new(out))), LevelFilter::Info);
    Ok(())
}

fn install(logger: Logger, most: LevelFilter) {
    // Once for a process; the first one stays.
    if log::set_boxed_logger(Box::new(logger)).is_ok() {
        log::set_max_level(most);
    }
}

struct Logger(Option<Mutex<Rotated>>);

impl log::Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("whodid")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let message = record.args().to_string();
        let message = clipped(&message);
        match &self.0 {
            // Escaped, so that hostile text stays on its line.
            None => output::note(&format!("whodid: {}", table::visible(message))),
            Some(out) => {
                let line = line(&format_millis(SystemClock.now()), record.level(), record.target(), message);
                let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
                if let Err(error) = out.write(&line) {
                    // A full disk must not silence what it causes.
                    output::note(&format!("whodid: the log cannot be written: {error}"));
                    output::note(line.trim_end());
                }
            }
        }
    }

    fn flush(&self) {}
}

/// As much of a message as a line has room for.
fn clipped(message: &str) -> &str {
    let most = MESSAGE_BYTES_MAX.min(message.len());
    let end = (0..=most).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
    message.get(..end).unwrap_or(message)
}

/// One line of the file. What would end the line or change how text looks is escaped.
fn line(time: &str, level: Level, target: &str, message: &str) -> String {
    let level = level.as_str().to_lowercase();
    let message = table::visible(message);
    let line = serde_json::json!({ "time": time, "level": level, "part": target, "message": message });
    format!("{line}\n")
}

/// A file that is begun anew when it is large.
struct Rotated {
    path: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
}

impl Rotated {
    fn open(path: PathBuf, bytes_max: u64) -> io::Result<Self> {
        let file = append_to(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path, file, bytes, bytes_max })
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        // Whatever becomes of it, the line goes into the file that is open.
        let turned = self.turn(line.len() as u64);
        self.file.write_all(line.as_bytes())?;
        self.bytes += line.len() as u64;
        turned
    }

    /// Begins the file anew if it has no room for so many bytes, or is not where it was: somebody has moved or removed it.
    fn turn(&mut self, bytes: u64) -> io::Result<()> {
        if !self.is_in_place()? {
            *self = Self::open(self.path.clone(), self.bytes_max)?;
        }
        if self.bytes > 0 && self.bytes + bytes > self.bytes_max { self.rotate() } else { Ok(()) }
    }

    fn is_in_place(&self) -> io::Result<bool> {
        let (open, named) = (self.file.metadata()?, fs::metadata(&self.path));
        match named {
            Ok(named) => Ok((named.dev(), named.ino()) == (open.dev(), open.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The new file is there before an old one is touched.
    fn rotate(&mut self) -> io::Result<()> {
        let new = self.beside("new");
        let file = append_to(&new)?;
        let turned = self.keep_old().and_then(|()| fs::rename(&new, &self.path));
        if let Err(error) = turned {
            // What went wrong first is what is told.
            let _ = fs::remove_file(&new);
            return Err(error);
        }
        // A crash may have left something in it.
        self.bytes = file.metadata()?.len();
        self.file = file;
        Ok(())
    }

    /// Makes the file the latest of the old ones. Only as many move as have to: an attempt that failed has left a gap.
    fn keep_old(&self) -> io::Result<()> {
        let gap = (1..KEPT).find(|number| !self.old(*number).exists()).unwrap_or(KEPT);
        for number in (1..gap).rev() {
            fs::rename(self.old(number), self.old(number + 1))?;
        }
        fs::rename(&self.path, self.old(1))
    }

    fn old(&self, number: u32) -> PathBuf {
        self.beside(&number.to_string())
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{ending}"));
        name.into()
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_file_is_begun_anew_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut out = Rotated::open(path.clone(), 100).unwrap();
        for n in 0..20 {
            out.write(&format!("{n:02} {}\n", "x".repeat(40))).unwrap();
        }
        drop(out);
        let begin = |path: &Path| fs::read_to_string(path).unwrap().get(..2).unwrap().to_owned();
        assert_eq!(begin(&path), "18");
        let old: Vec<String> = (1..=5).map(|n| begin(&dir.path().join(format!("log.{n}")))).collect();
        assert_eq!(old, ["16", "14", "12", "10", "08"]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 6);
        let mut out = Rotated::open(path.clone(), 100).unwrap();
        out.write("again\n").unwrap();
        assert!(
            fs::read_to_string(&path).unwrap().ends_with("again\n"),
            "a restart goes on in the same file"
        );
    }

    #[test]
    fn a_file_that_was_moved_is_begun_anew_and_costs_no_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("log"), dir.path().join("moved"));
        let begin = |path: &Path| fs::read_to_string(path).unwrap().get(..2).unwrap().to_owned();
        let old = || (1..=5).map(|n| begin(&dir.path().join(format!("log.{n}")))).collect::<Vec<_>>();
        let mut out = Rotated::open(path.clone(), 50).unwrap();
        let mut write = |n: u32| out.write(&format!("{n:02} {}\n", "x".repeat(40)));
        (0..6).for_each(|n| write(n).unwrap());
        fs::rename(&path, &moved).unwrap();
        write(6).unwrap();
        assert_eq!((begin(&path), begin(&moved)), ("06".to_owned(), "05".to_owned()));
        assert_eq!(old(), ["04", "03", "02", "01", "00"], "none is in the place of what was moved");
        fs::remove_file(&path).unwrap();
        write(7).unwrap();
        write(8).unwrap();
        assert_eq!(
            (begin(&path), old()),
            ("08".to_owned(), ["07", "04", "03", "02", "01"].map(str::to_owned).to_vec())
        );
        // Where no new file can be made the one that is there takes what comes, and the old ones stay.
        fs::create_dir(dir.path().join("log.new")).unwrap();
        (9..30).for_each(|n| assert!(write(n).is_err()));
        assert_eq!(old(), ["07", "04", "03", "02", "01"]);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 22);
        fs::remove_dir(dir.path().join("log.new")).unwrap();
        write(30).unwrap();
        assert_eq!(
            (begin(&path), old()),
            ("30".to_owned(), ["08", "07", "04", "03", "02"].map(str::to_owned).to_vec())
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 7);
    }

    #[test]
    fn hostile_text_stays_in_its_line_and_field() {
        let hostile = "a\"},{\"level\":\"error\n\r\u{1b}[2J\u{202e}\u{2028}\u{0}";
        let line = line("t", Level::Warn, "whodid::x", hostile);
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.trim_end().chars().all(|c| (' '..='~').contains(&c)), "{line}");
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&read["level"], &read["part"]), (&"warn".into(), &"whodid::x".into()));
        assert!(
            read["message"].as_str().unwrap().starts_with("a\"},{\"level\":\"error\\n\\r\\u{1b}[2J\\u{202e}")
        );
        assert_eq!(clipped(&"\u{e9}".repeat(5000)).len(), MESSAGE_BYTES_MAX);
    }
}
