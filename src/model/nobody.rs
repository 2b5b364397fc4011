//! Words that clients send as an identity when they know nobody.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::limits;
use crate::model::Millis;

/// What placeholders, templates and languages leave behind where an id was expected.
const USUAL: [&str; 10] =
    ["null", "nil", "undefined", "none", "anonymous", "guest", "0", "true", "[object object]", "nan"];

/// The words that stand for nobody, in any case of ASCII letters. Whoever is identified with one is refused: it would melt strangers
/// into one person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nobody(Vec<String>);

impl Default for Nobody {
    /// The usual words.
    fn default() -> Self {
        Self(USUAL.map(str::to_owned).to_vec())
    }
}

impl Nobody {
    /// The words of a text, with commas between them; the usual ones if it has none.
    ///
    /// # Errors
    /// `too_many` words, or one that is `too_long` for an identity.
    pub fn parse(text: &str) -> Result<Self> {
        let mut words: Vec<String> = Vec::new();
        for word in text.split(',').map(|word| word.trim().to_ascii_lowercase()).filter(|w| !w.is_empty()) {
            if word.chars().count() > limits::NAME_CHARS_MAX {
                let message = format!("an identity has at most {} characters", limits::NAME_CHARS_MAX);
                return Err(Error::invalid("too_long", message).at("nobody"));
            }
            if !words.contains(&word) {
                words.push(word);
            }
        }
        if words.len() > limits::NOBODY_WORDS_MAX {
            let message = format!("at most {} words may stand for nobody", limits::NOBODY_WORDS_MAX);
            return Err(Error::invalid("too_many", message).at("nobody"));
        }
        Ok(if words.is_empty() { Self::default() } else { Self(words) })
    }

    /// The words with commas between them.
    pub fn text(&self) -> String {
        self.0.join(", ")
    }

    /// Whether they are the usual ones.
    pub fn is_usual(&self) -> bool {
        self.0 == USUAL
    }

    /// Whether an identity is one of them.
    pub fn includes(&self, identity: &str) -> bool {
        self.0.iter().any(|word| word.eq_ignore_ascii_case(identity))
    }
}

/// What records are checked by that is not always the same.
#[derive(Clone, Copy, Debug)]
pub struct Admission<'a> {
    /// The present instant: no record is of much later.
    pub now: Millis,
    /// Who nobody is identified with.
    pub nobody: &'a Nobody,
}

impl Admission<'static> {
    /// With the usual words.
    pub fn usual(now: Millis) -> Self {
        static WORDS: LazyLock<Nobody> = LazyLock::new(Nobody::default);
        Self { now, nobody: &WORDS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_said_with_commas() {
        let own = Nobody::parse(" Test, -1,,test ,\u{c4}h").unwrap();
        assert_eq!(own.text(), "test, -1, \u{c4}h");
        assert!(own.includes("TEST") && own.includes("-1") && !own.includes("guest") && !own.is_usual());
        let usual = Nobody::parse(" , ").unwrap();
        assert!(usual.is_usual() && usual.includes("Guest") && usual.includes("[object Object]"));
        assert_eq!(Nobody::parse(&usual.text()).unwrap(), usual);
        assert_eq!(Nobody::parse(&"x".repeat(256)).unwrap_err().code(), "too_long");
        let many: Vec<String> = (0..=limits::NOBODY_WORDS_MAX).map(|n| n.to_string()).collect();
        assert_eq!(Nobody::parse(&many.join(",")).unwrap_err().code(), "too_many");
    }
}
