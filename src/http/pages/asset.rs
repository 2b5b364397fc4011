//! Styles and scripts of the pages. Their addresses name their content, so browsers keep them and need not ask again.

use std::sync::LazyLock;

use crate::error::{Error, ErrorKind, Result};
use crate::http::message::Response;

/// A file that pages load.
struct Asset {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

const ASSETS: [Asset; 5] = [
    Asset { name: "app.css", kind: "text/css; charset=utf-8", text: include_str!("app.css") },
    Asset { name: "app.js", kind: SCRIPT, text: concat!(include_str!("renew.js"), include_str!("app.js")) },
    Asset {
        name: "live.js",
        kind: SCRIPT,
        text: concat!(include_str!("visible.js"), include_str!("live.js")),
    },
    Asset {
        name: "first.js",
        kind: SCRIPT,
        text: concat!(include_str!("visible.js"), include_str!("first.js")),
    },
    Asset { name: "icon.svg", kind: "image/svg+xml", text: include_str!("icon.svg") },
];

/// The checksum of each file, in the order of `ASSETS`.
static VERSIONS: LazyLock<[String; ASSETS.len()]> =
    LazyLock::new(|| ASSETS.map(|asset| format!("{:08x}", crc32fast::hash(asset.text.as_bytes()))));

fn place(name: &str) -> Option<usize> {
    ASSETS.iter().position(|asset| asset.name == name)
}

/// The address of a file with its checksum, so that another content has another address.
pub fn link(name: &str) -> String {
    let version = place(name).map_or("", |at| &VERSIONS[at]);
    format!("/assets/{name}?v={version}")
}

/// The file, to be kept for a year if it is what the address means.
///
/// # Errors
/// `no_such_path`.
pub fn respond(name: &str, version: Option<&str>) -> Result<Response> {
    let Some(at) = place(name) else {
        return Err(Error::new(ErrorKind::NotFound, "no_such_path", "there is no such path").at("path"));
    };
    let Asset { kind, text, .. } = ASSETS[at];
    let known = version == Some(VERSIONS[at].as_str());
    let kept = if known { "public, max-age=31536000, immutable" } else { "no-cache" };
    Ok(Response::new(200, kind, text.as_bytes()).with("Cache-Control", kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_names_the_content_is_kept_and_no_other() {
        for asset in ASSETS {
            let link = link(asset.name);
            let (_, version) = link.split_once("?v=").unwrap();
            let kept = |version| {
                let reply = respond(asset.name, version).unwrap();
                reply.headers().any(|(name, value)| name == "Cache-Control" && value.contains("immutable"))
            };
            assert!(kept(Some(version)), "{link}");
            assert!(!kept(None) && !kept(Some("0")), "{link}");
        }
        assert_eq!(respond("app.txt", None).unwrap_err().code(), "no_such_path");
    }

    #[test]
    fn scripts_show_the_same_characters_as_what_they_are_as_pages_do() {
        let script = include_str!("visible.js");
        let class = script.split_once("replace(/[").unwrap().1.split_once("]/gu").unwrap().0;
        let (mut ranges, mut open): (Vec<(u32, u32)>, bool) = (Vec::new(), false);
        for escape in class.split("\\u").skip(1) {
            let code = u32::from_str_radix(escape.trim_matches(['{', '}', '-']), 16).unwrap();
            if open {
                ranges.last_mut().unwrap().1 = code;
            } else {
                ranges.push((code, code));
            }
            open = escape.ends_with('-');
        }
        for c in '\0'..=char::MAX {
            let shown = ranges.iter().any(|(from, to)| (*from..=*to).contains(&u32::from(c)));
            assert_eq!(shown, crate::model::is_deceptive(c), "{c:?}");
        }
    }
}
