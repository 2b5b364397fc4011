//! The body of a request: a length or chunks, read strictly and against a deadline. A body that ends early is an
//! error and never a shorter body.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use super::budget::Reserved;
use super::head::{Framing, Refusal, refuse};
use super::wire::{Gone, Wire};
use crate::limits;

/// Bytes taken from the socket at once.
const STEP: usize = 64 * 1024;
/// Time for sending `100 Continue`, which the empty buffer of a waiting client takes at once.
const CONTINUE_TIME: Duration = Duration::from_secs(1);
/// A chunk's size has at most so many digits.
const SIZE_DIGITS_MAX: usize = 8;

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The client left: there is nobody to answer.
    Closed,
    /// Answer this and close.
    Refused(Refusal),
}

impl From<Gone> for Fault {
    fn from(gone: Gone) -> Self {
        match gone {
            Gone::Closed => Self::Closed,
            Gone::Late => Self::Refused(refuse(408, "timeout", "the body did not arrive in time")),
        }
    }
}

const fn bad_chunk(message: &'static str) -> Fault {
    Fault::Refused(refuse(400, "bad_chunk", message))
}

/// How long a body may take.
pub(super) enum Pace {
    /// All of it by then.
    Total(Instant),
    /// As long as it takes, if each `span` of waiting for the client brings [`limits::PROGRESS_BYTES_MIN`]. What the
    /// handler takes to store what it read is not the client's time.
    Progress { span: Duration, waited: Duration, bytes: u64 },
}

impl Pace {
    pub fn progress(span: Duration) -> Self {
        Self::Progress { span, waited: Duration::ZERO, bytes: 0 }
    }

    /// Runs one read with the time that is left for it.
    fn timed(&mut self, read: impl FnOnce(Duration) -> Result<usize, Gone>) -> Result<usize, Gone> {
        let started = Instant::now();
        match self {
            Self::Total(until) => read(until.saturating_duration_since(started)),
            Self::Progress { span, waited, bytes } => {
                let n = read(span.saturating_sub(*waited))?;
                *waited += started.elapsed();
                *bytes += n as u64;
                if *bytes >= limits::PROGRESS_BYTES_MIN {
                    (*waited, *bytes) = (Duration::ZERO, 0);
                }
                Ok(n)
            }
        }
    }
}

/// Reads a body piece by piece.
pub(super) struct BodyReader<'w> {
    pub wire: &'w mut Wire,
    chunked: bool,
    /// Bytes left of the body, or of the present chunk.
    left: u64,
    first_chunk: bool,
    ended: bool,
    pace: Pace,
    /// The client waits for `100 Continue`; it is sent when somebody wants the body.
    expects_continue: bool,
    /// What went wrong, for the one who answers.
    pub fault: Option<Fault>,
}

impl<'w> BodyReader<'w> {
    pub fn new(wire: &'w mut Wire, framing: Framing, expects_continue: bool, pace: Pace) -> Self {
        let (chunked, left) = match framing {
            Framing::None => (false, 0),
            Framing::Length(n) => (false, n),
            Framing::Chunked => (true, 0),
        };
        let ended = !chunked && left == 0;
        Self { wire, chunked, left, first_chunk: true, ended, pace, expects_continue, fault: None }
    }

    /// Whether all of it was read.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Reads all of it: at most `max` bytes, reserved as they come, so that a client's claim reserves nothing.
    pub fn read_whole(&mut self, max: usize, reserved: &mut Reserved<'_>) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::new();
        while !self.ended {
            self.begin()?;
            // Never more than the chunk: tiny chunks must not cost a large buffer each.
            let room = usize::try_from(self.left).unwrap_or(STEP).min(STEP);
            let used = out.len();
            if !reserved.grow_to(used + room) {
                return Err(Fault::Refused(refuse(503, "busy", "too many bytes at once: try again")));
            }
            out.resize(used + room, 0);
            let n = self.next(out.get_mut(used..).unwrap_or(&mut []))?;
            out.truncate(used + n);
            if out.len() > max {
                return Err(Fault::Refused(refuse(413, "too_large", "the body is too large")));
            }
        }
        Ok(out)
    }

    /// The next bytes; 0 only at the end.
    fn next(&mut self, out: &mut [u8]) -> Result<usize, Fault> {
        if self.ended || out.is_empty() {
            return Ok(0);
        }
        self.begin()?;
        if self.ended {
            return Ok(0);
        }
        let most = out.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let room = out.get_mut(..most).unwrap_or(&mut []);
        let n = self.pace.timed(|left| self.wire.read(room, left))?;
        self.left -= n as u64;
        if !self.chunked && self.left == 0 {
            self.ended = true;
        }
        Ok(n)
    }

    /// Makes the next bytes ready to be read, or finds the end.
    fn begin(&mut self) -> Result<(), Fault> {
        if std::mem::take(&mut self.expects_continue) {
            self.wire.write_all(b"HTTP/1.1 100 Continue\r\n\r\n", CONTINUE_TIME)?;
        }
        if self.chunked && self.left == 0 { self.begin_chunk() } else { Ok(()) }
    }

    /// Reads the line with the next chunk's size, and the end of the chunk before it.
    fn begin_chunk(&mut self) -> Result<(), Fault> {
        if !self.first_chunk && !self.line()?.is_empty() {
            return Err(bad_chunk("a chunk is longer than its size"));
        }
        self.first_chunk = false;
        let digits = self.line()?;
        if digits.is_empty() || digits.len() > SIZE_DIGITS_MAX || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(bad_chunk("a chunk's size is 1 to 8 hex digits and nothing else"));
        }
        self.left = digits
            .iter()
            .fold(0, |size, digit| size * 16 + u64::from(char::from(*digit).to_digit(16).unwrap_or(0)));
        if self.left == 0 {
            if !self.line()?.is_empty() {
                return Err(bad_chunk("trailers are not taken"));
            }
            self.ended = true;
        }
        Ok(())
    }

    /// One line of at most the digits of a size, without its CR LF.
    fn line(&mut self) -> Result<Vec<u8>, Fault> {
        loop {
            let seen = self.wire.buffered();
            let line_feed = seen.iter().take(SIZE_DIGITS_MAX + 2).position(|b| *b == b'\n');
            if let Some(at) = line_feed {
                let line = seen.get(..at).and_then(|line| line.strip_suffix(b"\r"));
                let line = line.ok_or(bad_chunk("a line ends without a carriage return"))?.to_vec();
                self.wire.consume(at + 1);
                return Ok(line);
            }
            if seen.len() >= SIZE_DIGITS_MAX + 2 {
                return Err(bad_chunk("a chunk's size is 1 to 8 hex digits and nothing else"));
            }
            self.pace.timed(|left| self.wire.fill(left))?;
        }
    }
}

impl Read for BodyReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let result = match self.fault {
            // Once broken it stays so: a reader that goes on after an error must not see an end.
            Some(fault) => Err(fault),
            None => self.next(out),
        };
        result.map_err(|fault| {
            self.fault = Some(fault);
            match fault {
                Fault::Closed => {
                    io::Error::new(io::ErrorKind::UnexpectedEof, "the connection closed inside the body")
                }
                Fault::Refused(refusal) if refusal.status == 408 => {
                    io::Error::new(io::ErrorKind::TimedOut, refusal.message)
                }
                Fault::Refused(refusal) => io::Error::new(io::ErrorKind::InvalidData, refusal.message),
            }
        })
    }
}

/// A body that is unpacked as it is read. Not before: the decoder waits for the client's first bytes as soon as it is made.
pub(super) enum Unpacked<R> {
    /// Nobody has read any of it.
    Not(Option<R>),
    /// Somebody does.
    Plain(flate2::read::MultiGzDecoder<R>),
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if let Self::Not(packed) = self
            && let Some(packed) = packed.take()
        {
            *self = Self::Plain(flate2::read::MultiGzDecoder::new(packed));
        }
        match self {
            Self::Plain(plain) => plain.read(out),
            Self::Not(_) => Ok(0),
        }
    }
}
