//! Erasing a person: from the store, and from what was saved beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use serde::Serialize;

use super::keys::checked;
use super::{App, Dashboard, saved};
use crate::disk::Vfs;
use crate::engine::{Erased, Snapshot};
use crate::error::{Error, Result};
use crate::model::format_millis;
use crate::report::{Saved, SavedReport};

/// Characters of an identity without an `@` that is looked for inside of longer texts: a shorter one is a common word or number.
const DISTINCT_CHARS: usize = 8;

/// Keys and parameters whose texts name events and properties, or are words of the queries' own: those are nobody's, even if somebody
/// is called the same.
const NOBODYS: [&str; 35] = [
    "as_of",
    "before",
    "bucket",
    "by",
    "cohort",
    "columns",
    "did",
    "event",
    "events",
    "exclude",
    "explain",
    "from",
    "goal",
    "lost_after",
    "lost_by",
    "measure",
    "mode",
    "order",
    "outcome",
    "over",
    "period",
    "property",
    "return",
    "series",
    "side",
    "start",
    "start_of",
    "step",
    "steps",
    "to",
    "tz",
    "unit",
    "until",
    "week_start",
    "within",
];

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
        let mut names = names_of(&snapshot, identities)?;
        // What is refused changes nothing, and what finds no room.
        self.engine().can_erase()?;
        self.engine().flush()?;
        // First what names them: once they are erased nobody knows their names, but if the rest fails, this can be done again.
        let saved = self.redact(&names)?;
        let (erased, all) = self.engine().erase_and_name(identities)?;
        // It took a while, in which somebody may have saved them again, and others may have become one with them.
        names.extend(all);
        let again = self.redact(&names).map_err(|error| {
            let message =
                format!("they are erased, but what was saved meanwhile may name them: {}", error.message());
            Error::new(error.kind(), error.code(), message).hint("look at saved reports, audiences and links")
        })?;
        Ok(Receipt { erased, saved: saved + again, at: format_millis(self.now()) })
    }

    /// Puts a placeholder in place of names in what was saved; in how many definitions. Nobody saves anything meanwhile.
    fn redact(&self, names: &BTreeSet<String>) -> Result<usize> {
        let mut dashboard = self.dashboard.write().unwrap_or_else(PoisonError::into_inner);
        Dashboard::discard_attempt(&self.dir)?;
        let (mut next_dashboard, mut changed) = (Dashboard::default(), 0);
        self.reports().change_saved(|known| {
            saved::discard_attempt(&self.dir)?;
            let mut redactor = Redactor::new(names, placeholder(known, &dashboard));
            let next = redactor.saved(known);
            if next != *known {
                saved::store(&self.dir, &next)?;
            }
            next_dashboard = redactor.dashboard(&dashboard);
            changed = redactor.changed;
            Ok(next)
        })?;
        if next_dashboard != **dashboard {
            next_dashboard.store(&self.dir)?;
            *dashboard = Arc::new(next_dashboard);
        }
        Ok(changed)
    }
}

/// The same in a directory that nobody has open yet, and that is none before this is done.
pub fn redact_on(vfs: &dyn Vfs, names: &BTreeSet<String>) -> Result<()> {
    let (saved, dashboard) = (saved::load_on(vfs)?, Dashboard::load_on(vfs)?);
    let mut redactor = Redactor::new(names, placeholder(&saved, &dashboard));
    let (new_saved, new_dashboard) = (redactor.saved(&saved), redactor.dashboard(&dashboard));
    let put = |name: &str, bytes: Vec<u8>| {
        vfs.remove(name)?;
        let mut file = vfs.create(name)?;
        file.write_all(&bytes)?;
        file.sync()
    };
    if new_saved != saved {
        put("saved.json", checked("saved.json", &new_saved)?)?;
    }
    if new_dashboard != dashboard {
        put("dashboard.json", checked("dashboard.json", &new_dashboard)?)?;
    }
    Ok(())
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
    /// Audiences and reports that get another name, and which.
    audiences: BTreeMap<String, String>,
    reports: BTreeMap<String, String>,
    /// Definitions that were changed.
    changed: usize,
}

impl<'a> Redactor<'a> {
    fn new(names: &'a BTreeSet<String>, placeholder: String) -> Self {
        Self { names, placeholder, audiences: BTreeMap::new(), reports: BTreeMap::new(), changed: 0 }
    }

    fn saved(&mut self, saved: &Saved) -> Saved {
        let mut next = Saved::default();
        self.audiences = self.renamed(saved.audiences.keys());
        self.reports = self.renamed(saved.reports.keys());
        for (name, text) in &saved.audiences {
            let after = (self.audiences.get(name).unwrap_or(name).clone(), self.json(text));
            self.changed += usize::from((&after.0, &after.1) != (name, text));
            next.audiences.insert(after.0, after.1);
        }
        for (name, report) in &saved.reports {
            let (after, query) = (self.reports.get(name).unwrap_or(name).clone(), self.json(&report.query));
            self.changed += usize::from((&after, &query) != (name, &report.query));
            next.reports.insert(after, SavedReport { report: report.report.clone(), query });
        }
        next
    }

    /// The names that change, each to one that nothing else has.
    fn renamed<'n>(&self, names: impl Iterator<Item = &'n String>) -> BTreeMap<String, String> {
        let (mut renamed, mut taken) = (BTreeMap::new(), BTreeSet::new());
        for name in names {
            match self.text(name) {
                same if same == *name => drop(taken.insert(same)),
                other => drop(renamed.insert(name.clone(), other)),
            }
        }
        for after in renamed.values_mut() {
            let plain = after.clone();
            for number in 2.. {
                if taken.insert(after.clone()) {
                    break;
                }
                *after = format!("{plain} {number}");
            }
        }
        renamed
    }

    fn dashboard(&mut self, dashboard: &Dashboard) -> Dashboard {
        let mut next = dashboard.clone();
        let renamed = |name: &String| self.reports.get(name).unwrap_or(name).clone();
        next.pinned = dashboard.pinned.iter().map(renamed).collect();
        for share in &mut next.shares {
            let mut query = form_urlencoded::Serializer::new(String::new());
            for (name, value) in form_urlencoded::parse(share.query.as_bytes()) {
                let is_json = value.starts_with(['{', '[']);
                query
                    .append_pair(&name, &if is_json { self.json(&value) } else { self.value(&name, &value) });
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

    /// The text of a key or of a parameter without the names.
    fn value(&self, key: &str, text: &str) -> String {
        match key {
            "audience" | "people" => self.audiences.get(text).cloned().unwrap_or_else(|| self.text(text)),
            _ if NOBODYS.contains(&key) => text.to_owned(),
            _ => self.text(text),
        }
    }

    /// JSON in which the texts of keys are redacted, and which is as it was otherwise.
    fn json(&self, json: &str) -> String {
        let mut out = String::with_capacity(json.len());
        let (mut rest, mut key) = (json, String::new());
        while let Some(begin) = rest.find('"') {
            let (before, literal) = rest.split_at(begin);
            out.push_str(before);
            let end = end_of_literal(literal);
            let (literal, after) = literal.split_at(end);
            let text = serde_json::from_str::<String>(literal).unwrap_or_default();
            if after.trim_start().starts_with(':') {
                out.push_str(literal);
                key = text;
            } else {
                let redacted = self.value(&key, &text);
                let same = redacted == text;
                out.push_str(&if same {
                    literal.to_owned()
                } else {
                    serde_json::Value::from(redacted).to_string()
                });
            }
            rest = after;
        }
        out + rest
    }

    /// A text without the names: as a whole, or where they stand for themselves in it, then in whatever case of letters.
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
    let (mut out, mut rest, mut before) = (String::new(), text, None);
    while let Some(first) = rest.chars().next() {
        let after = if is_word(before) { None } else { behind(rest, name) };
        match after.filter(|after| !is_word(after.chars().next())) {
            Some(after) => {
                out.push_str(by);
                before = name.chars().next_back();
                rest = after;
            }
            None => {
                out.push(first);
                before = Some(first);
                rest = rest.get(first.len_utf8()..).unwrap_or("");
            }
        }
    }
    out
}

/// What is behind `name` in a text that begins with it, in whatever case of letters.
fn behind<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut wanted = name.chars().flat_map(char::to_lowercase).peekable();
    let mut rest = text.chars();
    while wanted.peek().is_some() {
        if !rest.next()?.to_lowercase().all(|c| wanted.next() == Some(c)) {
            return None;
        }
    }
    Some(rest.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Share;
    use crate::app::saved::SavedKind;
    use crate::model::{Record, RecordKind};

    /// The erasure waits for the dashboard, behind its look at who they are.
    #[test]
    fn who_becomes_one_with_the_erased_meanwhile_is_in_nothing_that_was_saved() {
        let dir = tempfile::tempdir().unwrap();
        let app = App::open(dir.path()).unwrap();
        let record = |kind, identity: &str, name: &str| {
            let (identity, name, time) = (identity.to_owned(), name.to_owned(), Some(1_740_000_000_000));
            Record { kind, identity, name, time, properties: Vec::new(), id: None }
        };
        let write = |record| app.engine().write(vec![record]).unwrap();
        write(record(RecordKind::Event, "device-12345678", "Did"));
        let jane = r#"{"people":{"property":"Email","is":"jane@example.com"}}"#;
        app.save(SavedKind::Audience, "One", jane).unwrap();
        let held = app.dashboard.read().unwrap();
        let flushes = app.engine().work_done().0;
        let receipt = std::thread::scope(|scope| {
            let erased = scope.spawn(|| app.erase(&["device-12345678".to_owned()]).unwrap());
            let begun = std::time::Instant::now();
            while app.engine().work_done().0 == flushes {
                assert!(begun.elapsed() < std::time::Duration::from_secs(20), "it never flushes");
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            write(record(RecordKind::Identify, "device-12345678", "jane@example.com"));
            drop(held);
            erased.join().unwrap()
        });
        assert_eq!((receipt.erased.identities, receipt.saved), (2, 1));
        let saved = format!("{:?}", app.reports().saved());
        assert!(saved.contains("erased") && !saved.contains("jane@"), "{saved}");
        app.close().unwrap();
    }

    #[test]
    fn names_are_taken_out_of_what_was_saved_and_nothing_else() {
        let names = BTreeSet::from(["jane@example.com".to_owned(), "7".to_owned()]);
        let mut saved = Saved::default();
        let audience = r#"{"all":[{"property":"Email","is":"jane@example.com"},{"did":"A","at_least":7}]}"#;
        saved.audiences.insert("Jane (jane@example.com)".into(), audience.into());
        saved.audiences.insert("7".into(), r#"{"property":"Id","is":"7", "x":"a\"7"}"#.into());
        let shouted = r#"{"property":"Email","contains":["JANE@Example.com","XJANE@example.com"]}"#;
        saved.audiences.insert("Shouted".into(), shouted.into());
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
        let mut redactor = Redactor::new(&names, placeholder(&saved, &dashboard));
        let (saved, dashboard) = (redactor.saved(&saved), redactor.dashboard(&dashboard));
        let all = format!("{saved:?}{dashboard:?}").to_lowercase().replace("xjane@example.com", "");
        assert!(!all.contains("jane@example.com") && !all.contains("jane%40"), "{all}");
        assert_eq!(saved.audiences["Others"], untouched);
        let quiet = r#"{"property":"Email","contains":["(erased 1)","XJANE@example.com"]}"#;
        assert_eq!(saved.audiences["Shouted"], quiet);
        assert_eq!(saved.audiences["(erased 1)"], r#"{"property":"Id","is":"(erased 1)", "x":"a\"7"}"#);
        assert!(saved.audiences["Jane ((erased 1))"].contains(r#""at_least":7"#));
        assert_eq!(saved.reports["R"].query, r#"{"people":{"audience":"Jane ((erased 1))"}}"#);
        assert_eq!(dashboard.shares[1].query, "step=A+b&within=7d");
        assert!(dashboard.pinned.contains("R"));
        assert_eq!(redactor.changed, 5);
    }

    #[test]
    fn words_of_queries_and_names_of_events_are_nobody_s() {
        let names = ["did", "steps", "ordered", "Purchased", "Signed Up", "Plan", "anon-77777", "j@x.de"];
        let names: BTreeSet<String> = names.map(str::to_owned).into();
        let mut saved = Saved::default();
        let kept = [
            r#"{"did":"Purchased"}"#,
            r#"{"steps":[{"event":["Signed Up","Signed Up (EU)"]}],"order":"ordered","by":"person.Plan"}"#,
            r#"{"property":"Plan","is":"Pro"}"#,
        ];
        for (at, text) in kept.iter().enumerate() {
            saved.audiences.insert(format!("A{at}"), (*text).to_owned());
        }
        saved.audiences.insert("anon-77777".into(), r#"{"audience":"j@x.de"}"#.into());
        saved.audiences.insert("j@x.de".into(), r#"{"property":"Mail","in":["j@x.de","k@x.de"]}"#.into());
        let mut redactor = Redactor::new(&names, placeholder(&saved, &Dashboard::default()));
        let after = redactor.saved(&saved);
        assert!(kept.iter().enumerate().all(|(at, text)| after.audiences[&format!("A{at}")] == *text));
        assert_eq!(after.audiences["(erased 1)"], r#"{"audience":"(erased 1) 2"}"#);
        assert_eq!(after.audiences["(erased 1) 2"], r#"{"property":"Mail","in":["(erased 1)","k@x.de"]}"#);
        assert_eq!((after.audiences.len(), redactor.changed), (5, 2));
    }
}
