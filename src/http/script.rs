//! The browser's tracker over HTTP: compressed where that is understood, and kept by browsers for as long as its name
//! allows.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use super::auth::base64_url;
use super::message::{Request, Response};
use crate::error::Result;
use crate::tracker;

/// Names the text, so that a page can ask for this one and no other.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let hash = Sha256::digest(tracker::TEXT);
    base64_url(hash.get(..12).unwrap_or(&hash))
});

/// A new version reaches every page within the hour.
const SOON_STALE: &str = "public, max-age=3600, stale-while-revalidate=86400";
/// With `?v=` and the version the text can never be another.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// The script, or 304 if the client has it.
pub fn answer(request: &Request) -> Result<Response> {
    // Weak, since the bytes differ with the compression.
    let tag = format!("W/\"{}\"", *VERSION);
    let same = |known: &str| known.trim() == tag || known.trim() == "*";
    let known = request.headers.get("if-none-match").is_some_and(|list| list.split(',').any(same));
    let gzip = accepts_gzip(request.headers.get("accept-encoding").unwrap_or(""));
    let kind = "text/javascript; charset=utf-8";
    let response = match (known, gzip) {
        (true, _) => Response::new(304, "", Vec::new()),
        (false, true) => Response::new(200, kind, tracker::GZIPPED).with("Content-Encoding", "gzip"),
        (false, false) => Response::new(200, kind, tracker::TEXT.as_bytes()),
    };
    let asked = request.parameter("v");
    let keep = if asked.as_deref() == Some(VERSION.as_str()) { FOR_EVER } else { SOON_STALE };
    response.with("Cache-Control", keep).with("Vary", "Accept-Encoding").with_value("ETag", tag)
}

/// Whether gzip is among the encodings and not excluded.
fn accepts_gzip(header: &str) -> bool {
    header.split(',').any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().unwrap_or("");
        let refused = parts.any(|part| {
            let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
            weight.is_some_and(|w| w.parse::<f32>().is_ok_and(|w| w <= 0.0))
        });
        (name.eq_ignore_ascii_case("gzip") || name == "*") && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::super::message::{Headers, Method};
    use super::*;

    fn ask(query: &str, headers: &[(&str, &str)]) -> Response {
        let mut all = Headers::default();
        headers.iter().for_each(|(name, value)| all.push(name, value));
        let peer = std::net::IpAddr::from([127, 0, 0, 1]);
        let (path, query) = ("/i.js".to_owned(), query.to_owned());
        answer(&Request { method: Method::Get, path, query, headers: all, body: Vec::new(), peer }).unwrap()
    }

    fn header<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
        response.headers().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    #[test]
    fn it_is_compressed_for_whom_it_may() {
        for (accept, gzip) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, GZIP;q=0.5", true),
            ("*", true),
            ("gzip;q=0", false),
            ("br", false),
            ("", false),
        ] {
            let response = ask("", &[("Accept-Encoding", accept)]);
            assert_eq!(header(&response, "Content-Encoding").is_some(), gzip, "{accept}");
            let expected = if gzip { tracker::GZIPPED } else { tracker::TEXT.as_bytes() };
            assert_eq!(response.bytes(), expected);
            assert_eq!(header(&response, "Vary"), Some("Accept-Encoding"));
        }
    }

    #[test]
    fn who_has_it_need_not_load_it() {
        let tag = header(&ask("", &[]), "ETag").unwrap().to_owned();
        for (known, status) in
            [(tag.as_str(), 304), (&format!("\"x\", {tag}"), 304), ("*", 304), ("\"x\"", 200)]
        {
            assert_eq!(ask("", &[("If-None-Match", known)]).status, status, "{known}");
        }
        let version = format!("v={}", *VERSION);
        assert_eq!(header(&ask(&version, &[]), "Cache-Control"), Some(FOR_EVER));
        assert_eq!(header(&ask("v=old", &[]), "Cache-Control"), Some(SOON_STALE));
    }
}
