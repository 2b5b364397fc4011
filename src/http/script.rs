//! The browser's tracker, made by build.rs of `src/tracker`, with the write key of this server in it.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::auth::base64_url;
use super::message::{Request, Response};
use crate::error::{Error, ErrorKind, Result};

const TRACKER: &str = include_str!(concat!(env!("OUT_DIR"), "/tracker.js"));
/// Stands in the script for the write key.
const PLACE_OF_KEY: &str = "WRITE_KEY";
/// Names under which pages of the hosted service load a product's tracker.
const SUFFIXES: [&str; 2] = [".2.js", ".1.js"];

/// The script as it is served.
pub struct Script {
    plain: Vec<u8>,
    gzip: Vec<u8>,
    etag: String,
    /// The write key, which is public.
    pub write_key: String,
    /// A name of the operator's choice.
    name: Option<String>,
}

impl Script {
    /// For senders with `write_key`; also served at `/name`.
    pub fn new(write_key: &str, name: Option<String>) -> Result<Self> {
        let bad = |e: String| Error::new(ErrorKind::Io, "encoding", e);
        if let Some(name) = &name
            && (!name.ends_with(".js") || name.contains('/') || !name.is_ascii())
        {
            let message = format!("\"{name}\" is no name for the tracker");
            return Err(Error::invalid("bad_name", message).hint("a name such as app.js, without a slash"));
        }
        // Escaped as JSON, and so that no quote of any kind ends the text that it stands in.
        let key = serde_json::to_string(write_key).map_err(|e| bad(e.to_string()))?;
        let key = key.trim_matches('"').replace('`', "\\u0060").replace('$', "\\u0024");
        let plain = TRACKER.replace(PLACE_OF_KEY, &key.replace('\'', "\\u0027")).into_bytes();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let gzip =
            encoder.write_all(&plain).and_then(|()| encoder.finish()).map_err(|e| bad(e.to_string()))?;
        let hash = base64_url(&Sha256::digest(&plain));
        let etag = format!("\"{}\"", hash.get(..16).unwrap_or(&hash));
        Ok(Self { plain, gzip, etag, write_key: write_key.to_owned(), name })
    }

    /// Answers a request for a script. `file` is the last part of its path.
    pub fn answer(&self, request: &Request, file: &str) -> Result<Response> {
        let of_key = |suffix| file.strip_suffix(suffix) == Some(self.write_key.as_str());
        let known = file == "i.js" || SUFFIXES.into_iter().any(of_key) || self.name.as_deref() == Some(file);
        if !known {
            let error = Error::new(ErrorKind::NotFound, "no_such_script", "there is no such script here");
            return Err(error.at("path").hint("/i.js, or the write key with .2.js behind it"));
        }
        let has = |name, part: &str| request.headers.get(name).is_some_and(|value| value.contains(part));
        let response = if has("if-none-match", &self.etag) {
            Response::new(304, "", Vec::new())
        } else if has("accept-encoding", "gzip") {
            Response::new(200, CONTENT_TYPE, self.gzip.clone()).with("Content-Encoding", "gzip")
        } else {
            Response::new(200, CONTENT_TYPE, self.plain.clone())
        };
        // Pages of other origins load it, and a new version reaches them within the hour.
        response
            .with("Cache-Control", "public, max-age=3600")
            .with("Vary", "Accept-Encoding")
            .with("Cross-Origin-Resource-Policy", "cross-origin")
            .with_value("ETag", self.etag.clone())
    }
}

const CONTENT_TYPE: &str = "text/javascript; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_stands_in_the_script_and_cannot_break_out_of_it() {
        assert_eq!(TRACKER.matches(PLACE_OF_KEY).count(), 1);
        let script = Script::new("wk`'\"${x}\\", None).unwrap();
        let text = String::from_utf8(script.plain).unwrap();
        assert!(text.contains("wk\\u0060\\u0027\\\"\\u0024{x}\\\\"), "{}", &text[text.len() - 80..]);
    }

    #[test]
    fn it_is_small() {
        let script = Script::new("wk_0123456789abcdef", None).unwrap();
        assert!(script.gzip.len() <= 6 * 1024, "{} bytes", script.gzip.len());
    }

    #[test]
    fn names_of_the_operator_are_plain() {
        assert!(Script::new("k", Some("app.js".into())).is_ok());
        for bad in ["app", "a/b.js", "\u{e9}.js"] {
            assert!(Script::new("k", Some(bad.into())).is_err(), "{bad}");
        }
    }
}
