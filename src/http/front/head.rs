//! The head of a request, read strictly: whatever two servers could read in two ways is refused, because a proxy in
//! front may have read it the other way. Bytes above 0x7f, which browsers do send, are repaired instead.

use std::borrow::Cow;
use std::net::IpAddr;

use super::UNPACKED_HEADER;
use crate::http::message::{Headers, Method, Request};
use crate::limits;

/// A refusal by HTTP itself: status, stable code, sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: u16,
    pub code: &'static str,
    pub message: &'static str,
}

/// A refusal.
pub(super) const fn refuse(status: u16, code: &'static str, message: &'static str) -> Refusal {
    Refusal { status, code, message }
}

/// The request line alone is too long.
pub(super) const TARGET_TOO_LONG: Refusal =
    refuse(414, "target_too_long", "the request target is longer than 8 KiB");

const fn bad(message: &'static str) -> Refusal {
    refuse(400, "bad_request", message)
}

const BARE_LINE_FEED: Refusal = bad("a line ends without a carriage return");

/// How the body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
}

impl Framing {
    /// Whether no byte of a body follows.
    pub fn is_empty(self) -> bool {
        matches!(self, Self::None | Self::Length(0))
    }
}

/// The encoding of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    Gzip,
    Unknown,
}

/// A request's head.
#[derive(Debug)]
pub(super) struct Head {
    /// With the headers that matter to handlers; the body is empty.
    pub request: Request,
    /// As sent: `request.method` has `GET` for `HEAD`.
    pub method: Method,
    pub framing: Framing,
    pub coding: Coding,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    pub keep_alive: bool,
    /// HTTP/1.0: no chunked answers, closing by default.
    pub old: bool,
}

/// Where a head ends in `bytes` (behind the empty line), if it does.
pub(super) fn end_of_head(bytes: &[u8], searched: usize) -> Option<usize> {
    let from = searched.saturating_sub(3);
    let rest = bytes.get(from..)?;
    rest.windows(4).position(|four| four == b"\r\n\r\n").map(|at| from + at + 4)
}

/// Refuses a bare line feed in an unfinished head: its end might never come, and the client waits for our answer.
pub(super) fn check_line_ends(bytes: &[u8], searched: usize) -> Result<(), Refusal> {
    let rest = bytes.get(searched.saturating_sub(1)..).unwrap_or(&[]);
    let bare = rest.windows(2).any(|two| matches!(two, [before, b'\n'] if *before != b'\r'));
    if bare { Err(BARE_LINE_FEED) } else { Ok(()) }
}

/// What is wrong with a head that passed [`limits::HEAD_BYTES_MAX`] without an end.
pub(super) fn too_long(bytes: &[u8]) -> Refusal {
    if bytes.get(..limits::TARGET_BYTES_MAX).is_some_and(|start| !start.contains(&b'\n')) {
        TARGET_TOO_LONG
    } else {
        refuse(431, "head_too_long", "the head of the request is longer than 16 KiB")
    }
}

/// Reads a whole head, up to and with its empty line.
pub(super) fn parse(bytes: &[u8], peer: IpAddr) -> Result<Head, Refusal> {
    check_lines(bytes)?;
    let bytes = repair_line(bytes);
    let mut fields = [httparse::EMPTY_HEADER; limits::HEADERS_MAX];
    let mut raw = httparse::Request::new(&mut fields);
    match raw.parse(&bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(bad("the head of the request has no end")),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(refuse(431, "too_many_headers", "the request has more than 100 headers"));
        }
        Err(httparse::Error::HeaderName) => return Err(bad("a header name is not well-formed")),
        Err(httparse::Error::HeaderValue) => return Err(bad("a header value is not well-formed")),
        Err(_) => return Err(bad("the request line is not well-formed")),
    }
    let (Some(method), Some(minor), Some(target)) = (raw.method, raw.version, raw.path) else {
        return Err(bad("the request line is not well-formed"));
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut fields = Fields { old: minor == 0, ..Fields::default() };
    for field in raw.headers.iter() {
        fields.take(field)?;
    }
    if fields.hosts != 1 && (minor == 1 || fields.hosts > 1) {
        return Err(bad("the request needs exactly one Host header"));
    }
    let framing = fields.framing()?;
    let method = Method::parse(method);
    let seen = if method == Method::Head { Method::Get } else { method };
    let (path, query) = (path.to_owned(), query.to_owned());
    let headers = fields.headers;
    let request = Request { method: seen, path, query, headers, body: Vec::new(), peer };
    Ok(Head {
        request,
        method,
        framing,
        coding: fields.coding,
        expects_continue: fields.expects_continue && minor == 1 && !framing.is_empty(),
        keep_alive: if minor == 1 { !fields.close } else { fields.keep && !fields.close },
        old: minor == 0,
    })
}

/// What the tokeniser is lenient about: lines that end in a bare LF, folded lines, and the version.
fn check_lines(bytes: &[u8]) -> Result<(), Refusal> {
    let mut previous = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'\n' if previous != b'\r' => return Err(BARE_LINE_FEED),
            b' ' | b'\t' if previous == b'\n' => return Err(bad("a header line is folded")),
            b'\r' if bytes.get(at + 1) != Some(&b'\n') => {
                return Err(bad("a carriage return stands inside a line"));
            }
            _ => {}
        }
        previous = byte;
    }
    let line = bytes.split(|b| *b == b'\r').next().unwrap_or(&[]);
    let mut parts = line.split(|b| *b == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(bad("the request line needs a method, a target and a version"));
    };
    if method.is_empty() || !method.is_ascii() || target.is_empty() {
        return Err(bad("the request line needs a method, a target and a version"));
    }
    if target.len() > limits::TARGET_BYTES_MAX {
        return Err(TARGET_TOO_LONG);
    }
    if !target.starts_with(b"/") || target.iter().any(|b| *b < 0x21 || *b == 0x7f) {
        return Err(bad("the request target must be a path that begins with a slash"));
    }
    match version {
        b"HTTP/1.1" | b"HTTP/1.0" => Ok(()),
        other if other.starts_with(b"HTTP/") => {
            Err(refuse(505, "http_version", "only HTTP/1.0 and HTTP/1.1 are spoken here"))
        }
        _ => Err(bad("the request line names no version of HTTP")),
    }
}

/// The head with a target that is all ASCII: other bytes of the request line are percent-encoded, as the browser
/// should have done.
fn repair_line(bytes: &[u8]) -> Cow<'_, [u8]> {
    let end = bytes.iter().position(|b| *b == b'\r').unwrap_or(bytes.len());
    let (line, rest) = bytes.split_at(end);
    if line.is_ascii() {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len() + 64);
    for &byte in line {
        if byte.is_ascii() {
            out.push(byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

struct Fields {
    headers: Headers,
    hosts: usize,
    length: Option<u64>,
    chunked: bool,
    coding: Coding,
    expects_continue: bool,
    close: bool,
    keep: bool,
    old: bool,
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            headers: Headers::default(),
            hosts: 0,
            length: None,
            chunked: false,
            coding: Coding::Identity,
            expects_continue: false,
            close: false,
            keep: false,
            old: false,
        }
    }
}

impl Fields {
    /// Takes one field: what concerns this connection stays here, the rest goes on to handlers.
    fn take(&mut self, field: &httparse::Header<'_>) -> Result<(), Refusal> {
        let name = field.name;
        let value = repair_value(field.value);
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if is("content-length") {
            if self.length.is_some() {
                return Err(bad("the request has two lengths"));
            }
            self.length = Some(parse_length(&value)?);
        } else if is("transfer-encoding") {
            if self.chunked || !value.eq_ignore_ascii_case("chunked") {
                return Err(refuse(501, "transfer_encoding", "the only transfer encoding here is chunked"));
            }
            self.chunked = true;
        } else if is("connection") || is("proxy-connection") {
            for option in value.split(',').map(str::trim) {
                self.close |= option.eq_ignore_ascii_case("close");
                self.keep |= option.eq_ignore_ascii_case("keep-alive");
            }
        } else if is("expect") {
            if !value.eq_ignore_ascii_case("100-continue") {
                return Err(refuse(417, "expectation", "the only expectation met here is 100-continue"));
            }
            self.expects_continue = true;
        } else if is("content-encoding") {
            self.coding = match value.to_ascii_lowercase().as_str() {
                "" | "identity" if self.coding == Coding::Identity => Coding::Identity,
                "gzip" | "x-gzip" if self.coding == Coding::Identity => Coding::Gzip,
                _ => Coding::Unknown,
            };
            if self.coding == Coding::Gzip {
                self.headers.push(UNPACKED_HEADER, "1");
            }
        } else if !HOP_BY_HOP.iter().any(|hop| is(hop)) && !starts_with(name, "x-guard-") {
            self.hosts += usize::from(is("host"));
            self.headers.push(name, &value);
        }
        Ok(())
    }

    fn framing(&self) -> Result<Framing, Refusal> {
        match (self.length, self.chunked) {
            (Some(_), true) => Err(bad("the request has both a length and a transfer encoding")),
            (None, true) if self.old => Err(bad("HTTP/1.0 has no chunks")),
            (None, true) => Ok(Framing::Chunked),
            (None, false) => Ok(Framing::None),
            (Some(length), false) => Ok(Framing::Length(length)),
        }
    }
}

/// Headers that concern one connection only and go no further.
const HOP_BY_HOP: [&str; 5] = ["keep-alive", "te", "trailer", "upgrade", "proxy-authorization"];

fn starts_with(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Digits only: no sign, no list, no space.
fn parse_length(value: &str) -> Result<u64, Refusal> {
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad("the length of the body is no number"));
    }
    value.parse().map_err(|_| refuse(413, "too_large", "the body is too large"))
}

/// Trims it, and replaces what is not printable ASCII.
fn repair_value(value: &[u8]) -> String {
    value.trim_ascii().iter().map(|&byte| repair_byte(byte)).collect()
}

fn repair_byte(byte: u8) -> char {
    match byte {
        b'\t' => ' ',
        0x20..=0x7e => char::from(byte),
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(head: &[u8]) -> Result<Head, Refusal> {
        super::parse(head, IpAddr::from([127, 0, 0, 1]))
    }

    fn status(head: &[u8]) -> u16 {
        parse(head).map_or_else(|refusal| refusal.status, |_| 200)
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for (head, expected) in [
            (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], 200),
            (b"GET / HTTP/1.0\r\n\r\n", 200),
            (b"GET / HTTP/1.1\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
            (b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400),
            (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
            (b"GET /\r\n\r\n", 400),
            (b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"GET /\x1b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
            (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
            (b"GET / ICAP/1.0\r\nHost: a\r\n\r\n", 400),
        ] {
            assert_eq!(status(head), expected, "{}", head.escape_ascii());
        }
    }

    #[test]
    fn framing_has_one_reading_or_none() {
        for (headers, expected) in [
            ("Content-Length: 5", Ok(Framing::Length(5))),
            ("Content-Length:5", Ok(Framing::Length(5))),
            ("Content-Length: 0", Ok(Framing::Length(0))),
            ("Transfer-Encoding: CHUNKED", Ok(Framing::Chunked)),
            ("Content-Length: +5", Err(400)),
            ("Content-Length: -5", Err(400)),
            ("Content-Length: 0x5", Err(400)),
            ("Content-Length:", Err(400)),
            ("Content-Length: 5, 5", Err(400)),
            ("Content-Length: 5\r\nContent-Length: 5", Err(400)),
            ("Content-Length: 99999999999999999999", Err(413)),
            ("Content-Length: 5\r\nTransfer-Encoding: chunked", Err(400)),
            ("Transfer-Encoding: chunked\r\ncontent-length: 5", Err(400)),
            ("Transfer-Encoding: gzip, chunked", Err(501)),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Err(501)),
            ("Transfer-Encoding: identity", Err(501)),
            ("Transfer-Encoding:", Err(501)),
            ("Expect: 200-ok", Err(417)),
        ] {
            let head = format!("POST /e HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n");
            let found = parse(head.as_bytes()).map(|head| head.framing).map_err(|refusal| refusal.status);
            assert_eq!(found, expected, "{headers}");
        }
        assert_eq!(status(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
    }

    #[test]
    fn what_browsers_send_is_repaired() {
        let head = "GET /e?caf\u{e9}=%20\u{20ac} HTTP/1.1\r\nHost: a\r\nReferer: http://x/\u{e9}\r\n\r\n";
        let head = parse(head.as_bytes()).unwrap();
        assert_eq!(head.request.path, "/e");
        assert_eq!(head.request.query, "caf%C3%A9=%20%E2%82%AC");
        assert_eq!(head.request.headers.get("referer"), Some("http://x/??"));
        let latin = parse(b"GET /e?caf\xe9 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(latin.request.query, "caf%E9");
    }

    #[test]
    fn what_concerns_the_connection_stays_there() {
        let head = parse(
            b"HEAD /x HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\nX-Guard-Peer: 1.2.3.4\r\nTE: x\r\nUpgrade: h2c\r\n\r\n",
        )
        .unwrap();
        assert_eq!((head.method, head.request.method, head.keep_alive), (Method::Head, Method::Get, false));
        assert_eq!(head.request.headers.iter().collect::<Vec<_>>(), [("Host", "a")]);
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(100));
        assert_eq!(status(many.as_bytes()), 431);
        let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(8192));
        assert_eq!(status(long.as_bytes()), 414);
    }

    #[test]
    fn the_end_is_found_across_reads() {
        let bytes = b"GET / HTTP/1.1\r\n\r\nrest";
        assert_eq!(end_of_head(bytes, 0), Some(18));
        assert_eq!(end_of_head(bytes, 17), Some(18));
        assert_eq!(end_of_head(&bytes[..17], 0), None);
    }
}
