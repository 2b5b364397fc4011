//! Our own request and response: what handlers see, whichever way the bytes came in. Both are already checked:
//! a request is well-formed ASCII in its head, and a response cannot carry a header that breaks its framing.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};
use std::net::IpAddr;

use crate::error::{Error, ErrorKind, Result};
use crate::model::Millis;

/// In which a proxy says by what it was asked. The front takes it out where nobody trusted says it.
pub(super) const FORWARDED_SCHEME: &str = "x-forwarded-proto";

/// The methods that some route knows; every other token is `Other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`: handlers see `Get`, the front leaves the body out.
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
    /// `OPTIONS`
    Options,
    /// A well-formed method that no route has.
    Other,
}

impl Method {
    /// The method of a token; methods are case-sensitive.
    pub fn parse(token: &str) -> Self {
        match token {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            _ => Self::Other,
        }
    }

    /// Its token.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Other => "OTHER",
        }
    }
}

/// Header fields of a request in their order, in one allocation: a tracking request has a dozen of them, and
/// most are never looked at.
#[derive(Clone, Default)]
pub struct Headers {
    text: String,
    /// For each field, where its name and its value end in `text`.
    ends: Vec<(usize, usize)>,
}

impl Headers {
    /// Appends a field.
    pub fn push(&mut self, name: &str, value: &str) {
        self.text.push_str(name);
        let name_end = self.text.len();
        self.text.push_str(value);
        self.ends.push((name_end, self.text.len()));
    }

    /// The first value of `name`, whatever its case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Takes out all fields of a name.
    pub fn remove(&mut self, name: &str) {
        if self.get(name).is_none() {
            return;
        }
        let mut left = Self::default();
        let others = self.iter().filter(|(found, _)| !found.eq_ignore_ascii_case(name));
        others.for_each(|(name, value)| left.push(name, value));
        *self = left;
    }

    /// Every field as name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut start = 0;
        self.ends.iter().filter_map(move |&(name_end, end)| {
            let field = Some((self.text.get(start..name_end)?, self.text.get(name_end..end)?));
            start = end;
            field
        })
    }
}

impl fmt::Debug for Headers {
    /// Names only: values hold keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

/// The body of a request, whole. Empty for a streamed one, whose bytes come through a reader.
pub type Body = Vec<u8>;

/// A request as handlers see it.
#[derive(Clone, Debug)]
pub struct Request {
    /// `HEAD` arrives here as `Get`.
    pub method: Method,
    /// The path as sent, percent-encoded, without the query.
    pub path: String,
    /// What follows the `?`, undecoded; empty without one.
    pub query: String,
    /// The header fields; values are printable ASCII.
    pub headers: Headers,
    /// The body; empty for streamed routes.
    pub body: Body,
    /// The client, or what a trusted proxy says is the client.
    pub peer: IpAddr,
}

impl Request {
    /// `http`, or `https` if a trusted proxy in front says that it was asked by that.
    pub fn scheme(&self) -> &'static str {
        if self.headers.get(FORWARDED_SCHEME) == Some("https") { "https" } else { "http" }
    }

    /// The path's segments, percent-decoded. Bytes that are no UTF-8 are an error, not another name.
    pub fn segments(&self) -> Result<Vec<String>> {
        self.path.split('/').skip(1).map(decode_segment).collect()
    }

    /// The decoded values of a query parameter's first occurrence.
    pub fn parameter(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.query.as_bytes())
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.into_owned())
    }

    /// The media type of the body in lower case, without its parameters.
    pub fn media_type(&self) -> Option<String> {
        let value = self.headers.get("content-type")?;
        let essence = value.split(';').next().unwrap_or("").trim();
        (!essence.is_empty()).then(|| essence.to_ascii_lowercase())
    }

    /// Whether the `Accept` header names JSON.
    pub fn accepts_json(&self) -> bool {
        self.headers.get("accept").is_some_and(|accept| {
            accept.split(',').any(|range| {
                let essence = range.split(';').next().unwrap_or("").trim();
                essence.eq_ignore_ascii_case("application/json")
            })
        })
    }
}

/// Decodes one path segment. A `+` stays one: it means a space in forms only.
pub fn decode_segment(segment: &str) -> Result<String> {
    let mut out = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let hex = |digit: Option<u8>| digit.and_then(|d| char::from(d).to_digit(16));
        match (hex(bytes.next()), hex(bytes.next())) {
            (Some(high), Some(low)) => out.push((high * 16 + low) as u8),
            _ => return Err(bad_path("a percent sign in the path needs two hex digits behind it")),
        }
    }
    String::from_utf8(out).map_err(|_| bad_path("the path is not UTF-8"))
}

fn bad_path(message: &str) -> Error {
    Error::new(ErrorKind::Malformed, "bad_path", message).at("path")
}

/// Writes a body of unknown length. An error ends the connection, so that the client sees a cut answer and
/// never takes it for a whole one.
pub type StreamBody = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + Send>;

/// The body of a response.
pub enum ResponseBody {
    /// Known as a whole.
    Whole(Cow<'static, [u8]>),
    /// Written piece by piece; only for routes of the stream class.
    Stream(StreamBody),
}

/// A response on its way to the client.
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The media type, or empty for none.
    pub content_type: Cow<'static, str>,
    /// The body.
    pub body: ResponseBody,
    headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
}

impl Response {
    /// A response with a whole body.
    pub fn new(
        status: u16,
        content_type: impl Into<Cow<'static, str>>,
        body: impl Into<Cow<'static, [u8]>>,
    ) -> Self {
        let body = ResponseBody::Whole(body.into());
        Self { status, content_type: content_type.into(), headers: Vec::new(), body }
    }

    /// A response whose body is written as it is made.
    pub fn stream(content_type: &'static str, body: StreamBody) -> Self {
        let body = ResponseBody::Stream(body);
        Self { status: 200, content_type: content_type.into(), headers: Vec::new(), body }
    }

    /// 200 with a JSON text.
    pub fn json(body: String) -> Self {
        Self::new(200, "application/json", body.into_bytes())
    }

    /// Adds a header that this program's text names.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &'static str) -> Self {
        debug_assert!(is_token(name) && is_printable(value), "{name}: {value}");
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds a header whose value was computed. The only way in for such values: what is not printable ASCII could
    /// end the header and begin another, so it is refused.
    pub fn with_value(mut self, name: impl Into<Cow<'static, str>>, value: String) -> Result<Self> {
        let name = name.into();
        if !is_token(&name) || !is_printable(&value) {
            let message = format!("the value of the header {} is not printable ASCII", name.escape_debug());
            return Err(Error::invalid("bad_header", message));
        }
        self.headers.push((name, value.into()));
        Ok(self)
    }

    /// Sends the browser to another path, if it is sent anywhere. What cannot be in a header leaves it as it is.
    pub fn change_location(&mut self, change: impl Fn(&str) -> String) {
        for (_, value) in self.headers.iter_mut().filter(|(name, _)| name.ends_with("Location")) {
            let next = change(value);
            if is_printable(&next) {
                *value = next.into();
            }
        }
    }

    /// The headers but for `Content-Type`.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// The whole body; empty for a streamed one.
    pub fn bytes(&self) -> &[u8] {
        match &self.body {
            ResponseBody::Whole(bytes) => bytes,
            ResponseBody::Stream(_) => &[],
        }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response {} {}", self.status, self.content_type)
    }
}

/// Whether a header value holds nothing but printable ASCII.
pub fn is_printable(value: &str) -> bool {
    value.bytes().all(|b| (0x20..=0x7e).contains(&b))
}

/// A time as headers have it, to the second.
pub(super) fn http_date(at: Millis) -> Option<String> {
    let second = jiff::Timestamp::from_second(at.div_euclid(1000)).ok()?;
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&second).ok()
}

/// Whether it can be the name of a header.
pub(super) fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_whatever_their_case() {
        let mut headers = Headers::default();
        headers.push("Host", "a");
        headers.push("X-Empty", "");
        headers.push("accept", "text/html, Application/JSON;q=0.9");
        assert_eq!(headers.get("HOST"), Some("a"));
        assert_eq!(headers.get("x-empty"), Some(""));
        assert_eq!(headers.get("hos"), None);
        assert_eq!(headers.iter().count(), 3);
        headers.remove("x-Empty");
        headers.remove("hos");
        assert_eq!(
            (headers.get("x-empty"), headers.get("host"), headers.iter().count()),
            (None, Some("a"), 2)
        );
    }

    #[test]
    fn segments_decode_percent_sequences_and_keep_plus() {
        assert_eq!(decode_segment("jane%40example.com%2Fx+y").unwrap(), "jane@example.com/x+y");
        for bad in ["%", "%4", "%zz", "%ff", "%+1"] {
            assert_eq!(decode_segment(bad).unwrap_err().code(), "bad_path", "{bad}");
        }
    }

    #[test]
    fn header_values_cannot_break_out() {
        for bad in ["a\r\nSet-Cookie: x=1", "a\nb", "\u{1b}[2J", "caf\u{e9}", "\t"] {
            assert!(Response::json(String::new()).with_value("X-Name", bad.to_owned()).is_err(), "{bad:?}");
        }
        assert!(Response::json(String::new()).with_value("X\r\nY", "a".to_owned()).is_err());
        assert!(Response::json(String::new()).with_value("X-Name", "plain ~".to_owned()).is_ok());
    }
}
