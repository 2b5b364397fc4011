//! Writes responses: head and framing are made here and nowhere else.

use std::cell::RefCell;
use std::io::{self, Write};
use std::time::Duration;

use super::wire::{Gone, Wire};
use crate::http::message::{Response, ResponseBody, StreamBody, http_date, is_printable};
use crate::limits;
use crate::model::{Clock, Millis, SystemClock};

/// Bodies up to this size go out in one write with their head.
const TOGETHER_MAX: usize = 16 * 1024;
/// Bytes of one chunk of a streamed answer.
const CHUNK: usize = 32 * 1024;

/// What every answer says to browsers unless it says otherwise itself: load nothing, be framed by nobody, tell nobody.
const GUARDS: [(&str, &str); 5] = [
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
];

/// How an answer is to be framed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub keep_alive: bool,
    /// The request was HTTP/1.0.
    pub old: bool,
    /// The request was HEAD: no body.
    pub head_only: bool,
    pub cross_origin: bool,
}

/// Writes a response. `total` bounds the writing of a whole body, or of each chunk of a streamed one.
pub(super) fn write(wire: &mut Wire, response: Response, form: Form, total: Duration) -> Result<(), Gone> {
    let mut head = Vec::with_capacity(512);
    begin(&mut head, &response, form);
    match response.body {
        ResponseBody::Whole(body) => {
            let bodiless = response.status == 204 || response.status == 304;
            if !bodiless {
                field(&mut head, "Content-Length", &body.len().to_string());
            }
            head.extend_from_slice(b"\r\n");
            if form.head_only || bodiless {
                return wire.write_all(&head, total);
            }
            if body.len() <= TOGETHER_MAX {
                head.extend_from_slice(&body);
                return wire.write_all(&head, total);
            }
            // A large answer waits for its reader, so its connection may be evicted like any that waits.
            if !wire.slot.writing() {
                return Err(Gone::Closed);
            }
            wire.write_all(&head, total)?;
            wire.write_all(&body, total)
        }
        ResponseBody::Stream(body) => {
            if !form.old {
                field(&mut head, "Transfer-Encoding", "chunked");
            }
            head.extend_from_slice(b"\r\n");
            wire.write_all(&head, total)?;
            if form.head_only { Ok(()) } else { write_stream(wire, body, form, total) }
        }
    }
}

/// The status line and all headers but those of the framing.
fn begin(out: &mut Vec<u8>, response: &Response, form: Form) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(response.status.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(reason(response.status).as_bytes());
    out.extend_from_slice(b"\r\n");
    date_field(out);
    if !response.content_type.is_empty() {
        field(out, "Content-Type", &response.content_type);
    }
    field(out, "X-Content-Type-Options", "nosniff");
    for (name, value) in response.headers() {
        field(out, name, value);
    }
    if form.cross_origin {
        field(out, "Access-Control-Allow-Origin", "*");
        // Isolated pages embed nothing without it.
        field(out, "Cross-Origin-Resource-Policy", "cross-origin");
    } else {
        let own = |name: &str| response.headers().any(|(n, _)| n.eq_ignore_ascii_case(name));
        GUARDS.iter().filter(|(name, _)| !own(name)).for_each(|(name, value)| field(out, name, value));
    }
    if !form.keep_alive {
        field(out, "Connection", "close");
    } else if form.old {
        field(out, "Connection", "keep-alive");
    }
}

fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    if !is_printable(value) {
        // Unreachable through `Response::with_value`; here too because a break-out would be so bad.
        log::error!("the response header {name} was left out: its value is not printable ASCII");
        return;
    }
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn date_field(out: &mut Vec<u8>) {
    thread_local! {
        static LAST: RefCell<(Millis, String)> = const { RefCell::new((0, String::new())) };
    }
    let second = SystemClock.now().div_euclid(1000);
    LAST.with_borrow_mut(|(at, text)| {
        if *at != second {
            *text = http_date(second * 1000).unwrap_or_default();
            *at = second;
        }
        if !text.is_empty() {
            field(out, "Date", text);
        }
    });
}

fn write_stream(wire: &mut Wire, body: StreamBody, form: Form, total: Duration) -> Result<(), Gone> {
    let buffer = Vec::with_capacity(CHUNK);
    let mut out = ChunkWriter { wire, buffer, chunked: !form.old, total, gone: None };
    let written = body(&mut out).and_then(|()| out.flush());
    if let Some(gone) = out.gone {
        return Err(gone);
    }
    if let Err(e) = written {
        // Without the last chunk the client sees that the answer is cut.
        log::error!("a streamed answer ended early: {e}");
        return Err(Gone::Closed);
    }
    if form.old { Ok(()) } else { wire.write_all(b"0\r\n\r\n", total) }
}

struct ChunkWriter<'w> {
    wire: &'w mut Wire,
    buffer: Vec<u8>,
    chunked: bool,
    total: Duration,
    gone: Option<Gone>,
}

impl ChunkWriter<'_> {
    fn send(&mut self) -> Result<(), Gone> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        if self.chunked {
            let mut framed = format!("{:x}\r\n", self.buffer.len()).into_bytes();
            framed.extend_from_slice(&self.buffer);
            framed.extend_from_slice(b"\r\n");
            self.wire.write_all(&framed, self.total)?;
        } else {
            self.wire.write_all(&self.buffer, self.total)?;
        }
        self.buffer.clear();
        Ok(())
    }
}

impl Write for ChunkWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(CHUNK - self.buffer.len().min(CHUNK - 1));
        self.buffer.extend_from_slice(bytes.get(..n).unwrap_or(&[]));
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send().map_err(|gone| {
            self.gone = Some(gone);
            io::Error::new(io::ErrorKind::BrokenPipe, "the client left or takes nothing")
        })
    }
}

/// Whether a whole body is small enough to be held.
pub(super) fn fits(response: &Response) -> bool {
    response.bytes().len() <= limits::ANSWER_BYTES_MAX
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        204 => "No Content",
        303 => "See Other",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        // The phrase is for people; a status without one is as good.
        _ => "Status",
    }
}
