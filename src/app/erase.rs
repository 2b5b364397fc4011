//! Erasing a person: from the store, and from what was saved beside it.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{App, Dashboard};
use crate::engine::{Erased, Snapshot};
use crate::error::Result;
use crate::model::format_millis;
use crate::report::{Saved, SavedReport};

/// Characters of an identity without an `@` that is looked for inside of longer texts: a shorter one is a common word or number.
const DISTINCT_CHARS: usize = 8;

/// What an erasure did, for whoever has to prove it. It names nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// What left the store.
    pub erased: Erased,
    /// Saved reports, audiences and links in which they were named; there is a placeholder now.
    pub saved: usize,
    /// When it was done.
    pub at: String,
}

impl App {
    /// Erases the persons of some identities for good, all or none of them. When it returns no file of the store holds anything of
    /// them.
    pub fn erase(&self, identities: &[String]) -> Result<Receipt> {
        let snapshot = self.snapshot();
        let names = names_of(&snapshot, identities)?;
        // First what names them: if the rest fails, this can be done again.
        let saved = self.redact(&names)?;
        let erased = self.engine().erase(identities)?;
        Ok(Receipt { erased, saved, at: format_millis(self.now()) })
    }

    /// Puts a placeholder in place of names in what was saved; in how many definitions.
    fn redact(&self, names: &BTreeSet<String>) -> Result<usize> {
        let dashboard = self.dashboard();
        let placeholder = placeholder(&self.reports().saved(), &dashboard);
        let mut redactor = Redactor { names, placeholder, changed: 0 };
        self.reports().change_saved(|known| {
            let next = redactor.saved(known);
            if next != *known {
                super::saved::store(&self.dir, &next)?;
            }
            Ok(next)
        })?;
        let saved = redactor.changed;
        if redactor.dashboard(&dashboard) != *dashboard {
            redactor.changed = saved;
            self.change_dashboard(|known| {
                *known = redactor.dashboard(known);
                Ok(())
            })?;
        }
        Ok(redactor.changed)
    }
}

/// All identities of the persons of some.
fn names_of(snapshot: &Snapshot, identities: &[String]) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for identity in identities {
        names.extend(snapshot.identities_of(snapshot.person(identity)?)?);
    }
    Ok(names)
}

/// A text that occurs nowhere yet, so that two erased names of definitions do not become one.
fn placeholder(saved: &Saved, dashboard: &Dashboard) -> String {
    let all = format!("{saved:?}{dashboard:?}");
    let free = (1..).map(|n: u32| format!("(erased {n})")).find(|text| !all.contains(text.as_str()));
    free.unwrap_or_else(|| "(erased)".to_owned())
}

struct Redactor<'a> {
    names: &'a BTreeSet<String>,
    placeholder: String,
    /// Definitions that were changed.
    changed: usize,
}

impl Redactor<'_> {
    fn saved(&mut self, saved: &Saved) -> Saved {
        let mut next = Saved::default();
        for (name, text) in &saved.audiences {
            let after = (self.text(name), self.json(text));
            self.changed += usize::from((&after.0, &after.1) != (name, text));
            next.audiences.insert(after.0, after.1);
        }
        for (name, report) in &saved.reports {
            let (after, query) = (self.text(name), self.json(&report.query));
            self.changed += usize::from((&after, &query) != (name, &report.query));
            next.reports.insert(after, SavedReport { report: report.report.clone(), query });
        }
        next
    }

    fn dashboard(&mut self, dashboard: &Dashboard) -> Dashboard {
        let mut next = dashboard.clone();
        next.pinned = dashboard.pinned.iter().map(|name| self.text(name)).collect();
        for share in &mut next.shares {
            let mut query = form_urlencoded::Serializer::new(String::new());
            for (name, value) in form_urlencoded::parse(share.query.as_bytes()) {
                let is_json = value.starts_with(['{', '[']);
                query.append_pair(&name, &if is_json { self.json(&value) } else { self.text(&value) });
            }
            let query = query.finish();
            // Written in another way it means the same, and is left as it is.
            let same =
                form_urlencoded::parse(query.as_bytes()).eq(form_urlencoded::parse(share.query.as_bytes()));
            if !same {
                self.changed += 1;
                share.query = query;
            }
        }
        next
    }

    /// JSON whose texts are redacted, and which is as it was otherwise.
    fn json(&self, json: &str) -> String {
        let mut out = String::with_capacity(json.len());
        let mut rest = json;
        while let Some(begin) = rest.find('"') {
            let (before, literal) = rest.split_at(begin);
            out.push_str(before);
            let end = end_of_literal(literal);
            let (literal, after) = literal.split_at(end);
            match serde_json::from_str::<String>(literal) {
                Ok(text) if self.text(&text) != text => {
                    out.push_str(&serde_json::Value::from(self.text(&text)).to_string());
                }
                _ => out.push_str(literal),
            }
            rest = after;
        }
        out + rest
    }

    /// A text without the names: as a whole, or where they stand for themselves in it.
    fn text(&self, text: &str) -> String {
        if self.names.contains(text.trim()) {
            return self.placeholder.clone();
        }
        let mut text = text.to_owned();
        // Longer ones first: one name may be a part of another.
        let mut names: Vec<&String> =
            self.names.iter().filter(|n| n.contains('@') || n.chars().count() >= DISTINCT_CHARS).collect();
        names.sort_by_key(|name| std::cmp::Reverse(name.len()));
        for name in names {
            text = replace_words(&text, name, &self.placeholder);
        }
        text
    }
}

/// The bytes of the literal at the beginning of `json`, quotes included.
fn end_of_literal(json: &str) -> usize {
    let mut escaped = false;
    for (at, c) in json.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    json.len()
}

/// `text` with `by` for `name` wherever it is no part of a longer word.
fn replace_words(text: &str, name: &str, by: &str) -> String {
    let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let (mut out, mut from) = (String::new(), 0);
    for (at, _) in text.match_indices(name) {
        let before = text.get(..at).and_then(|t| t.chars().next_back());
        let after = text.get(at + name.len()..).and_then(|t| t.chars().next());
        if !is_word(before) && !is_word(after) {
            out.push_str(text.get(from..at).unwrap_or(""));
            out.push_str(by);
            from = at + name.len();
        }
    }
    out.push_str(text.get(from..).unwrap_or(""));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Share;

    #[test]
    fn names_are_taken_out_of_what_was_saved_and_nothing_else() {
        let names = BTreeSet::from(["jane@example.com".to_owned(), "7".to_owned()]);
        let mut saved = Saved::default();
        let audience = r#"{"all":[{"property":"Email","is":"jane@example.com"},{"did":"A","at_least":7}]}"#;
        saved.audiences.insert("Jane (jane@example.com)".into(), audience.into());
        saved.audiences.insert("7".into(), r#"{"property":"Id","is":"7", "x":"a\"7"}"#.into());
        let untouched = r#"{"property":"Email", "is":"xjane@example.com", "n":"17"}"#;
        saved.audiences.insert("Others".into(), untouched.into());
        let query = r#"{"people":{"audience":"Jane (jane@example.com)"}}"#.to_owned();
        saved.reports.insert("R".into(), SavedReport { report: "people".into(), query });
        let mut dashboard = Dashboard::default();
        dashboard.pinned.insert("R".into());
        let share = |query: &str| Share {
            token_sha256: String::new(),
            path: "/people".into(),
            query: query.into(),
            made: String::new(),
        };
        dashboard.shares = vec![
            share("people=%7B%22property%22%3A%22E%22%2C%22is%22%3A%22jane%40example.com%22%7D&limit=7"),
            share("step=A+b&within=7d"),
        ];
        let mut redactor =
            Redactor { names: &names, placeholder: placeholder(&saved, &dashboard), changed: 0 };
        let (saved, dashboard) = (redactor.saved(&saved), redactor.dashboard(&dashboard));
        let all = format!("{saved:?}{dashboard:?}").replace("xjane@example.com", "");
        assert!(!all.contains("jane@example.com") && !all.contains("jane%40"), "{all}");
        assert_eq!(saved.audiences["Others"], untouched);
        assert_eq!(saved.audiences["(erased 1)"], r#"{"property":"Id","is":"(erased 1)", "x":"a\"7"}"#);
        assert!(saved.audiences["Jane ((erased 1))"].contains(r#""at_least":7"#));
        assert_eq!(saved.reports["R"].query, r#"{"people":{"audience":"Jane ((erased 1))"}}"#);
        assert_eq!(dashboard.shares[1].query, "step=A+b&within=7d");
        assert!(dashboard.pinned.contains("R"));
        assert_eq!(redactor.changed, 4);
    }
}
