//! A client's socket with one read buffer and deadlines that are totals: before each call the socket's timeout is set
//! to what is left, so a client that sends or takes one byte at a time gains nothing.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::slots::Slot;
use crate::limits;

/// Bytes read at once at first: most heads fit.
const BUFFER_START: usize = 4 * 1024;

/// Why nothing more can be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// The client closed or reset the connection, or we did.
    Closed,
    /// The deadline passed.
    Late,
}

/// One client connection's bytes.
pub(super) struct Wire {
    pub slot: Arc<Slot>,
    /// The client takes no more answers; what it sent before it left can still be read.
    pub deaf: bool,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    read_timeout: Duration,
    write_timeout: Duration,
}

impl Wire {
    pub fn new(slot: Arc<Slot>) -> Self {
        let zero = Duration::ZERO;
        let buffer = vec![0; BUFFER_START];
        Self { slot, deaf: false, buffer, start: 0, end: 0, read_timeout: zero, write_timeout: zero }
    }

    /// What was received and not yet consumed.
    pub fn buffered(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or(&[])
    }

    /// Marks `n` buffered bytes as done with.
    pub fn consume(&mut self, n: usize) {
        self.start = self.start.saturating_add(n).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Receives more into the buffer, which grows to the size of a head; waits no longer than `left`. `Ok(0)` only if
    /// the buffer is full.
    pub fn fill(&mut self, left: Duration) -> Result<usize, Gone> {
        if self.end == self.buffer.len() {
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            } else if self.buffer.len() < limits::HEAD_BYTES_MAX {
                self.buffer.resize((self.buffer.len() * 2).min(limits::HEAD_BYTES_MAX), 0);
            } else {
                return Ok(0);
            }
        }
        self.set_read_timeout(left)?;
        let room = self.buffer.get_mut(self.end..).unwrap_or(&mut []);
        let n = receive(&self.slot, room)?;
        self.end += n;
        Ok(n)
    }

    /// Reads into `out`, buffered bytes first; waits no longer than `left`.
    pub fn read(&mut self, out: &mut [u8], left: Duration) -> Result<usize, Gone> {
        let buffered = self.buffered();
        if !buffered.is_empty() {
            let n = buffered.len().min(out.len());
            if let (Some(to), Some(from)) = (out.get_mut(..n), buffered.get(..n)) {
                to.copy_from_slice(from);
            }
            self.consume(n);
            return Ok(n);
        }
        self.set_read_timeout(left)?;
        receive(&self.slot, out)
    }

    /// Sends all of `bytes` within `total`.
    pub fn write_all(&mut self, mut bytes: &[u8], total: Duration) -> Result<(), Gone> {
        if self.deaf {
            return Err(Gone::Closed);
        }
        let mut started = None;
        let mut left = total;
        while !bytes.is_empty() {
            self.set_write_timeout(left)?;
            match (&self.slot.stream).write(bytes) {
                Ok(0) => return Err(Gone::Closed),
                Ok(n) => bytes = bytes.get(n..).unwrap_or(&[]),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => {
                    let gone = gone(&e);
                    self.deaf = gone == Gone::Closed;
                    return Err(gone);
                }
            }
            if !bytes.is_empty() {
                // The first write nearly always takes everything: the clock is read only when it did not.
                let since = *started.get_or_insert_with(Instant::now);
                left = total.saturating_sub(since.elapsed());
            }
        }
        Ok(())
    }

    /// Ends our side, then reads what the client still sends, for a second or `most` bytes: closing with bytes
    /// unread would reset the connection, and the client would lose our answer.
    pub fn linger(&mut self, most: usize, patience: Duration) {
        if self.slot.stream.shutdown(Shutdown::Write).is_err() {
            return;
        }
        self.consume(usize::MAX);
        let deadline = Instant::now() + patience;
        // On the stack: a thousand threads that each ask the allocator for a size of their own cost half a gigabyte.
        let mut scratch = [0; 4 * 1024];
        let mut read = 0;
        while read < most {
            match self.read(&mut scratch, deadline.saturating_duration_since(Instant::now())) {
                Ok(n) => read += n,
                Err(_) => return,
            }
        }
    }

    fn set_read_timeout(&mut self, left: Duration) -> Result<(), Gone> {
        if left.is_zero() {
            return Err(Gone::Late);
        }
        if left != self.read_timeout {
            self.slot.stream.set_read_timeout(Some(at_least_a_millisecond(left))).map_err(|e| gone(&e))?;
            self.read_timeout = left;
        }
        Ok(())
    }

    fn set_write_timeout(&mut self, left: Duration) -> Result<(), Gone> {
        if left.is_zero() {
            return Err(Gone::Late);
        }
        if left != self.write_timeout {
            self.slot.stream.set_write_timeout(Some(at_least_a_millisecond(left))).map_err(|e| gone(&e))?;
            self.write_timeout = left;
        }
        Ok(())
    }
}

/// The system rounds shorter timeouts down to none at all.
fn at_least_a_millisecond(left: Duration) -> Duration {
    left.max(Duration::from_millis(1))
}

fn receive(slot: &Slot, room: &mut [u8]) -> Result<usize, Gone> {
    loop {
        match (&slot.stream).read(room) {
            Ok(0) => return Err(Gone::Closed),
            Ok(n) => return Ok(n),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(gone(&e)),
        }
    }
}

fn gone(error: &io::Error) -> Gone {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Gone::Late,
        _ => Gone::Closed,
    }
}
