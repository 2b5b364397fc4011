//! Passwords: the only place where they are hashed and compared. Kept is Argon2id in its text form, with a salt of its own, 19 MiB and
//! two passes: what a small machine does in some 30 ms, and what a thief of the file has to do for every guess.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};

use crate::error::{Error, ErrorKind, Result};
use crate::limits;

/// Memory of one hash in KiB, and passes over it.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;

/// One hash at a time, so that logging in never takes more memory or more than one processor.
static TURN: Mutex<()> = Mutex::new(());
static WAITING: AtomicUsize = AtomicUsize::new(0);
/// What a password is compared with where there is none, so that this takes as long.
static NONE: LazyLock<Option<String>> = LazyLock::new(|| hashed("no password is compared with this").ok());

/// The text to keep of a new password. An error if it is too short or too long to be one.
pub fn hash(password: &str) -> Result<String> {
    let length = password.chars().count();
    if length < limits::PASSWORD_CHARS_MIN || password.len() > limits::PASSWORD_BYTES_MAX {
        let message = format!("a password has at least {} characters", limits::PASSWORD_CHARS_MIN);
        return Err(Error::invalid("bad_password", message).at("password"));
    }
    in_turn(|| hashed(password))
}

/// Whether `password` is the one of which `kept` was kept. It takes the same work if nothing was.
pub fn matches(kept: Option<&str>, password: &str) -> Result<bool> {
    if password.len() > limits::PASSWORD_BYTES_MAX {
        return Ok(false);
    }
    in_turn(|| {
        let Some(text) = kept.or(NONE.as_deref()) else { return Ok(false) };
        let known = PasswordHash::new(text).map_err(|e| failed(&e))?;
        // The parameters are those of the text, so passwords outlive a change of ours.
        let right = Argon2::default().verify_password(password.as_bytes(), &known).is_ok();
        Ok(right && kept.is_some())
    })
}

fn in_turn<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    struct Waiting;
    impl Drop for Waiting {
        fn drop(&mut self) {
            WAITING.fetch_sub(1, Ordering::AcqRel);
        }
    }
    let before = WAITING.fetch_add(1, Ordering::AcqRel);
    let _waiting = Waiting;
    if before >= limits::PASSWORDS_WAITING_MAX {
        return Err(Error::new(ErrorKind::Busy, "busy", "too many people are logging in at once"));
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    work()
}

fn hashed(password: &str) -> Result<String> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|e| failed(&e))?;
    let salt = SaltString::encode_b64(&salt).map_err(|e| failed(&e))?;
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).map_err(|e| failed(&e))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = argon2.hash_password(password.as_bytes(), &salt).map_err(|e| failed(&e))?;
    Ok(hash.to_string())
}

fn failed(error: &impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Io, "password_hash", format!("the password cannot be hashed or compared: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_matches() {
        let (one, two) = (hash("correct horse").unwrap(), hash("correct horse").unwrap());
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && one != two, "{one}");
        for (kept, password, right) in [
            (Some(one.as_str()), "correct horse", true),
            (Some(two.as_str()), "correct horse", true),
            (Some(&one), "Correct horse", false),
            (Some(&one), "", false),
            (None, "correct horse", false),
            (None, "no password is compared with this", false),
        ] {
            assert_eq!(matches(kept, password).unwrap(), right, "{kept:?} {password}");
        }
        assert_eq!(matches(Some("plain text"), "plain text").unwrap_err().code(), "password_hash");
    }

    #[test]
    fn a_password_is_neither_short_nor_endless() {
        for bad in ["", "ninechars", &"x".repeat(limits::PASSWORD_BYTES_MAX + 1)] {
            assert_eq!(hash(bad).unwrap_err().code(), "bad_password", "{}", bad.len());
        }
        assert!(!matches(None, &"x".repeat(1 << 20)).unwrap());
    }
}
