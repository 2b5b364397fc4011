//! Errors as answers: the one table from kinds of error to HTTP status, and the JSON form that every refusal has.

use serde_json::json;

use super::message::Response;
use crate::error::{Error, ErrorKind};

/// The status of each kind of error.
pub fn status(kind: ErrorKind) -> u16 {
    match kind {
        ErrorKind::Malformed => 400,
        ErrorKind::Unauthorized => 401,
        ErrorKind::Forbidden => 403,
        ErrorKind::NotFound => 404,
        ErrorKind::Conflict => 409,
        ErrorKind::TooLarge => 413,
        ErrorKind::Invalid => 422,
        ErrorKind::TooOften => 429,
        ErrorKind::Busy | ErrorKind::Poisoned => 503,
        ErrorKind::Full => 507,
        ErrorKind::Locked | ErrorKind::Corrupt | ErrorKind::Unsupported | ErrorKind::Io => 500,
    }
}

/// The answer to a request that failed.
pub fn error(error: &Error) -> Response {
    let body = json!({ "error": value(error) }).to_string().into_bytes();
    with_retry(Response::new(status(error.kind()), "application/json", body))
}

/// An answer that is made as a whole would be larger than [`limits::ANSWER_BYTES_MAX`].
pub fn too_large() -> Error {
    Error::new(ErrorKind::Io, "answer_too_large", "the answer is larger than 16 MiB")
        .hint("ask for less: a smaller limit, fewer columns; GET /api/v1/export gives all records of everybody, or with ?person= of one")
}

/// The answer to a request that HTTP itself refuses, before any handler saw it.
pub fn refusal(status: u16, code: &str, message: &str) -> Response {
    let body = json!({ "error": { "code": code, "message": message } }).to_string().into_bytes();
    with_retry(Response::new(status, "application/json", body))
}

/// A refusal that says after how many seconds to come back.
pub fn wait(status: u16, code: &str, message: &str, seconds: u64) -> Response {
    let body = json!({ "error": { "code": code, "message": message } }).to_string().into_bytes();
    let response = Response::new(status, "application/json", body);
    response.with_value("Retry-After", seconds.to_string()).unwrap_or_else(|e| error(&e))
}

/// An error as JSON: code, message, and where known the place and the advice.
pub fn value(error: &Error) -> serde_json::Value {
    let mut value = json!({ "code": error.code(), "message": error.message() });
    if let Some(at) = error.place() {
        value["at"] = at.into();
    }
    if let Some(hint) = error.advice() {
        value["hint"] = hint.into();
    }
    value
}

/// Says in an answer when to come back, where that is the advice, and how to present a key, where that is missing.
pub fn with_retry(response: Response) -> Response {
    match response.status {
        401 => response.with("WWW-Authenticate", "Bearer"),
        429 | 503 => response.with("Retry-After", "2"),
        507 => response.with("Retry-After", "60"),
        _ => response,
    }
}

/// The longest part of a file's name.
const NAME_PART_MAX: usize = 60;

/// The header that names a file for whoever saves it, by what is in it and the day. Letters and digits of ASCII stay, whatever else was
/// sent: a name must end no header, and means nothing on some disks.
pub fn attachment(parts: &[&str], day: &str, kind: &str) -> String {
    let mut name = "whodid".to_owned();
    let mut last = String::new();
    for part in parts.iter().chain([&day]) {
        let words = part.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let mut plain = words.collect::<Vec<_>>().join("-");
        plain.truncate(NAME_PART_MAX);
        if !plain.is_empty() && plain != last {
            name = format!("{name}-{plain}");
        }
        last = plain;
    }
    format!("attachment; filename=\"{name}.{kind}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_in_ascii_whatever_is_in_it() {
        let named = |parts: &[&str]| attachment(parts, "2026-11-30", "csv");
        assert_eq!(
            named(&["funnel", "steps"]),
            "attachment; filename=\"whodid-funnel-steps-2026-11-30.csv\""
        );
        assert_eq!(named(&["people", "people"]), "attachment; filename=\"whodid-people-2026-11-30.csv\"");
        let hostile = named(&["person", "a\"\r\nX-Evil: 1/../\u{202e}\u{e9}b@example.com"]);
        assert_eq!(hostile, "attachment; filename=\"whodid-person-a-X-Evil-1-b-example-com-2026-11-30.csv\"");
        assert_eq!(named(&["person", "\u{645}"]), "attachment; filename=\"whodid-person-2026-11-30.csv\"");
        assert!(named(&[&"x".repeat(5000)]).len() < 120);
    }

    #[test]
    fn an_error_says_code_message_place_and_hint() {
        let e = Error::invalid("unknown_operator", "no operator \"like\"")
            .at("steps[1].where[0]")
            .hint("did you mean \"contains\"?");
        let response = error(&e);
        assert_eq!(response.status, 422);
        let value: serde_json::Value = serde_json::from_slice(response.bytes()).unwrap();
        assert_eq!(value["error"]["code"], "unknown_operator");
        assert_eq!(value["error"]["at"], "steps[1].where[0]");
        assert_eq!(value["error"]["hint"], "did you mean \"contains\"?");
    }

    #[test]
    fn who_must_come_back_is_told_when() {
        let busy = error(&Error::new(ErrorKind::Busy, "busy", "too much at once"));
        assert_eq!((busy.status, busy.headers().next()), (503, Some(("Retry-After", "2"))));
        let plain = error(&Error::new(ErrorKind::NotFound, "no_person", "nobody"));
        assert_eq!((plain.status, plain.headers().next()), (404, None));
        let value: serde_json::Value = serde_json::from_slice(plain.bytes()).unwrap();
        assert_eq!(value["error"].get("hint"), None);
    }
}
