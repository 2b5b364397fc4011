//! Keys: how they are made, presented, kept (as SHA-256 only) and compared. The write key is public, it sits in
//! every page; the API key reads everything.

use std::fmt::Write as _;
use std::hint::black_box;

use sha2::{Digest, Sha256};

use super::message::Request;
use super::router::Access;
use crate::app::Scope;
use crate::error::{Error, ErrorKind, Result};

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The SHA-256 of a key: all that is ever stored of it.
#[derive(Clone, Copy, Debug, Eq)]
pub struct KeyHash([u8; 32]);

impl PartialEq for KeyHash {
    /// In a time that does not depend on where the two differ.
    fn eq(&self, other: &Self) -> bool {
        let difference = self.0.iter().zip(&other.0).fold(0, |sum, (a, b)| black_box(sum | (a ^ b)));
        black_box(difference) == 0
    }
}

impl KeyHash {
    /// The hash of a key as presented.
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// From 64 hex digits, as stored.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut out = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (byte, at) in out.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
        }
        // `from_str_radix` takes a sign, which would make two spellings of one hash.
        (!text.contains('+')).then_some(Self(out))
    }

    /// A number to count by, which is no secret.
    pub fn short(self) -> u64 {
        self.0.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
    }

    /// As 64 hex digits.
    pub fn to_hex(self) -> String {
        hex(&self.0)
    }
}

/// The keys that are good, by what they allow.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// Allow sending records.
    pub write: Vec<KeyHash>,
    /// Allow reading everything.
    pub read: Vec<KeyHash>,
    /// Allow reading and changing everything.
    pub manage: Vec<KeyHash>,
}

impl Keys {
    /// Whether a key of this hash is among them, for whatever it is good.
    pub fn hold(&self, hash: &KeyHash) -> bool {
        known(&self.write, hash) | known(&self.read, hash) | known(&self.manage, hash)
    }

    /// Whether a key of this hash is among those that change everything.
    pub fn manage(&self, hash: &KeyHash) -> bool {
        known(&self.manage, hash)
    }

    /// Whether `presented` may do what `access` asks. No key or an unknown one is `Unauthorized`; a good one of the
    /// wrong kind is `Forbidden`.
    pub fn check(&self, access: Access, presented: Option<&str>) -> Result<()> {
        if matches!(access, Access::Open | Access::Session) {
            return Ok(());
        }
        let key = presented.filter(|key| !key.is_empty()).ok_or_else(|| {
            Error::new(ErrorKind::Unauthorized, "no_key", "this needs a key").hint(match access {
                Access::Read | Access::Manage => "send the API key as \"Authorization: Bearer KEY\"",
                Access::Write => "send the write key as _k, or a key as \"Authorization: Bearer KEY\"",
                _ => "send a key as \"Authorization: Bearer KEY\"",
            })
        })?;
        let hash = KeyHash::of(key);
        // All lists are walked to their ends, whatever is found on the way.
        let (write, read, manage) =
            (known(&self.write, &hash), known(&self.read, &hash), known(&self.manage, &hash));
        match access {
            Access::Write if write => Ok(()),
            Access::Read if read || manage => Ok(()),
            Access::Manage if manage => Ok(()),
            Access::WriteOrRead if write || manage => Ok(()),
            _ if write => Err(forbidden("the write key sends records, it reads nothing", "use the API key")),
            _ if manage => Err(forbidden("the API key reads, it does not track", "use the write key")),
            _ if read => Err(forbidden(
                "this key reads, it changes nothing",
                "use the API key, or one with the scope manage",
            )),
            _ => Err(Error::new(ErrorKind::Unauthorized, "unknown_key", "this key is not known").hint(
                "the write key stands in the tracker's snippet; the API key was printed once, at the first start",
            )),
        }
    }
}

fn forbidden(message: &str, hint: &str) -> Error {
    Error::new(ErrorKind::Forbidden, "wrong_key", message).hint(hint)
}

fn known(stored: &[KeyHash], hash: &KeyHash) -> bool {
    stored.iter().fold(false, |found, one| found | (one == hash))
}

/// The key in the `Authorization` header: a bearer token, or the user name of Basic as Segment's clients send it.
pub fn presented(request: &Request) -> Option<String> {
    let (scheme, rest) = request.headers.get("authorization")?.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let pair = String::from_utf8(base64_decode(rest)?).ok()?;
        return Some(pair.split_once(':').map_or(pair.as_str(), |(user, _)| user).to_owned());
    }
    None
}

/// A new write key: 40 lower-case hex digits, the form that Kissmetrics' clients expect.
pub fn new_write_key() -> Result<String> {
    Ok(hex(&random::<20>()?))
}

/// A new API key: `rk_` and 256 random bits.
pub fn new_api_key() -> Result<String> {
    Ok(format!("rk_{}", new_token()?))
}

/// A new key for a scope.
pub fn new_key(scope: Scope) -> Result<String> {
    match scope {
        Scope::Write => new_write_key(),
        Scope::Read | Scope::Manage => new_api_key(),
    }
}

/// A new secret of a session or a link: 256 random bits.
pub fn new_token() -> Result<String> {
    Ok(base64_url(&random::<32>()?))
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| {
        Error::new(ErrorKind::Io, "no_randomness", format!("the system gives no random bytes: {e}"))
    })?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// Base64 with `-` and `_`, without padding.
pub(super) fn base64_url(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |group, byte| (group << 8) | u32::from(*byte));
        let group = group << (8 * (3 - chunk.len()));
        for at in 0..=chunk.len() {
            let index = (group >> (18 - 6 * at)) & 63;
            let symbol = BASE64.get(index as usize).copied().unwrap_or(b'A');
            out.push(match symbol {
                b'+' => '-',
                b'/' => '_',
                other => char::from(other),
            });
        }
    }
    out
}

fn base64_decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut group, mut bits) = (0u32, 0);
    for symbol in text.bytes() {
        let index = BASE64.iter().position(|s| *s == symbol)?;
        group = ((group << 6) | u32::try_from(index).ok()?) & 0xff_ffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((group >> bits) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::super::message::{Headers, Method};
    use super::*;

    fn request(authorization: &str) -> Request {
        let mut headers = Headers::default();
        headers.push("Authorization", authorization);
        let peer = std::net::IpAddr::from([127, 0, 0, 1]);
        let (path, query) = ("/".to_owned(), String::new());
        Request { method: Method::Get, path, query, headers, body: Vec::new(), peer }
    }

    #[test]
    fn every_access_with_every_key() {
        let of = |keys: &[&str]| keys.iter().map(|key| KeyHash::of(key)).collect();
        let keys = Keys { write: of(&["w"]), read: of(&["x", "r"]), manage: of(&["m", "y"]) };
        let table = [
            (Access::Open, ["ok", "ok", "ok", "ok", "ok"]),
            (Access::Write, ["no_key", "ok", "wrong_key", "wrong_key", "unknown_key"]),
            (Access::Read, ["no_key", "wrong_key", "ok", "ok", "unknown_key"]),
            (Access::Manage, ["no_key", "wrong_key", "wrong_key", "ok", "unknown_key"]),
            (Access::WriteOrRead, ["no_key", "ok", "wrong_key", "ok", "unknown_key"]),
        ];
        for (access, expected) in table {
            for (key, code) in
                [None, Some("w"), Some("r"), Some("m"), Some("nonsense")].into_iter().zip(expected)
            {
                let found = keys.check(access, key).map_or_else(|e| e.code(), |()| "ok");
                assert_eq!(found, code, "{access:?} {key:?}");
            }
        }
    }

    #[test]
    fn keys_come_as_bearer_or_as_basic_user_name() {
        assert_eq!(presented(&request("Bearer rk_1")).as_deref(), Some("rk_1"));
        assert_eq!(presented(&request("bearer  rk_1 ")).as_deref(), Some("rk_1"));
        assert_eq!(presented(&request("Basic d2tleTo=")).as_deref(), Some("wkey"));
        assert_eq!(presented(&request("Basic d2tleQ==")).as_deref(), Some("wkey"));
        assert_eq!(presented(&request("Basic !!")), None);
        assert_eq!(presented(&request("Digest x")), None);
    }

    #[test]
    fn new_keys_have_their_form_and_differ() {
        let (a, b) = (new_write_key().unwrap(), new_write_key().unwrap());
        assert!(a != b && a.len() == 40 && a.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')));
        let key = new_api_key().unwrap();
        assert_eq!(key.len(), 46);
        assert!(key.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_'));
        assert_eq!(base64_url(&[0xfb, 0xff]), "-_8");
    }

    #[test]
    fn hashes_survive_their_text_form() {
        let hash = KeyHash::of("k");
        assert_eq!(KeyHash::from_hex(&hash.to_hex()), Some(hash));
        assert_ne!(hash, KeyHash::of("l"));
        assert_eq!(KeyHash::from_hex("+f"), None);
        assert_eq!(KeyHash::from_hex(&"+f".repeat(32)), None);
    }
}
