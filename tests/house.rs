//! The rules of the house, checked on the source and the documents: which module may import which, which package is used
//! where, how files look, and that documents say what the code says. A rule that nothing checks is a wish.
//!
//! The checks read text, not syntax. They know enough of it to ignore comments and tests, and no more.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use whodid::app::backups;
use whodid::disk::frame::FRAME_HEADER_BYTES;
use whodid::http::router::{Access, ROUTES};
use whodid::store::segment::block::{BLOCK_HEADER_BYTES, COLUMN_ENTRY_BYTES};
use whodid::store::segment::members::MEMBERS_HEADER_BYTES;
use whodid::store::segment::{self, FOOTER_BYTES, RECORD_ID_BYTES};
use whodid::store::{erasures, identity_file, manifest, wal};

/// Lines of one source file, tests included: more do not fit a head.
const FILE_LINES_MAX: usize = 600;
/// Lines of one function: a screen.
const FUNCTION_LINES_MAX: usize = 70;

/// Modules by floor. A module imports from lower floors and from itself.
const FLOORS: [&[&str]; 8] = [
    &["error", "limits", "model", "demo", "enrich", "tracker"],
    &["disk", "threads"],
    &["store"],
    &["engine", "report"],
    &["exec", "transfer", "testing"],
    &["app"],
    &["http"],
    &["cli"],
];
/// Neighbours that may import each other all the same: importer, imported.
const NEIGHBOURS: [(&str, &str); 5] =
    [("model", "error"), ("model", "limits"), ("demo", "model"), ("demo", "error"), ("demo", "limits")];

/// Words and the only places where code may use them. A place that ends in `/` is a folder.
const CONFINED: [(&str, &[&str]); 13] = [
    ("argon2", &["src/app/password.rs"]),
    ("tiny_http", &["src/http/server.rs"]),
    ("httparse", &["src/http/front/"]),
    ("memmap2", &["src/disk/map.rs"]),
    ("unsafe", &["src/disk/map.rs"]),
    ("unsafe_code", &["src/disk/map.rs"]),
    ("bincode", &["src/disk/codec.rs"]),
    ("SerializedFileWriter", &["src/transfer/parquet.rs"]),
    ("roaring", &["src/store/", "src/engine/", "src/exec/"]),
    ("clap", &["src/cli/"]),
    ("indicatif", &["src/cli/"]),
    ("Timestamp::now", &["src/model/time.rs"]),
    ("SystemTime::now", &["src/model/time.rs"]),
];
/// Where files may be touched: `http/server.rs` makes the directory of its sockets.
const FILE_ACCESS: [&str; 5] =
    ["src/disk/vfs.rs", "src/disk/system.rs", "src/disk/map.rs", "src/http/server.rs", "src/cli/"];

/// One file, its path relative to the package.
struct Text {
    path: String,
    text: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files under `folder` whose names end in `ending`, in order.
fn files(folder: &str, ending: &str) -> Vec<Text> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                found.push(Text { path: name, text: fs::read_to_string(&path).unwrap() });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The library and the program.
fn source() -> Vec<Text> {
    let found = files("src", ".rs");
    assert!(found.len() > 60, "the source is where this test looks for it");
    found
}

fn all_rust() -> Vec<Text> {
    ["src", "tests", "benches", "examples"].into_iter().flat_map(|folder| files(folder, ".rs")).collect()
}

/// What runs in browsers.
fn scripts() -> Vec<Text> {
    let found = files("src", ".js");
    assert!(found.len() > 10, "the scripts are where this test looks for them");
    found
}

fn documents() -> Vec<Text> {
    let mut found = files("docs", ".md");
    found.extend(files("tests", ".md"));
    for name in ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"] {
        if let Ok(text) = fs::read_to_string(root().join(name)) {
            found.push(Text { path: name.to_owned(), text });
        }
    }
    found
}

fn document(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

impl Text {
    /// Whether the file is made for tests only.
    fn is_test(&self) -> bool {
        let named = self.path.ends_with("/tests.rs") || self.path.contains("/tests/");
        named || self.path.ends_with("/brute.rs")
    }

    /// The lines with their numbers, without comments and without the tests at the end.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().take_while(|(_, line)| !line.starts_with("mod tests {"));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//")).map(|(at, line)| {
            let code = line.find(" // ").map_or(line, |end| line.get(..end).unwrap_or(line));
            (at + 1, code)
        })
    }

    /// Names of top-level modules that the code reaches for, with their lines.
    fn imports(&self) -> Vec<(usize, String)> {
        let inner = self.path.trim_start_matches("src/");
        let depth = inner.matches('/').count() + usize::from(!inner.ends_with("/mod.rs"));
        let up = "super::".repeat(depth);
        let mut found = Vec::new();
        for (line, code) in self.code() {
            for prefix in ["crate::", up.as_str()] {
                for (at, _) in code.match_indices(prefix).filter(|(at, _)| starts_word(code, *at)) {
                    let rest = code.get(at + prefix.len()..).unwrap_or("");
                    match rest.strip_prefix('{') {
                        Some(list) => found.extend(top_names(list).into_iter().map(|name| (line, name))),
                        None => found.push((line, word(rest))),
                    }
                }
            }
        }
        found
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn starts_word(text: &str, at: usize) -> bool {
    !text.get(..at).unwrap_or("").ends_with(|c: char| is_word(c) || c == ':')
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| is_word(*c)).collect()
}

/// The first names of a list such as `a::{b, c}, d}`.
fn top_names(list: &str) -> Vec<String> {
    let (mut names, mut level, mut item) = (Vec::new(), 0, String::new());
    for c in list.chars() {
        match c {
            '{' => level += 1,
            '}' if level == 0 => break,
            '}' => level -= 1,
            ',' if level == 0 => names.push(word(std::mem::take(&mut item).trim())),
            c => item.push(c),
        }
    }
    names.push(word(item.trim()));
    names.retain(|name| !name.is_empty());
    names
}

/// Whether `code` holds `wanted` as a word of its own.
fn holds(code: &str, wanted: &str) -> bool {
    code.match_indices(wanted).any(|(at, _)| {
        let after = code.get(at + wanted.len()..).and_then(|rest| rest.chars().next());
        let before = code.get(..at).and_then(|text| text.chars().next_back());
        // A hyphen joins words that are no code, such as those of a security policy.
        !after.is_some_and(|c| is_word(c) || c == '-') && !before.is_some_and(is_word)
    })
}

fn allowed_in(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| if place.ends_with('/') { path.starts_with(place) } else { path == *place })
}

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// Fails with everything that was found.
fn none(rule: &str, found: &[String]) {
    assert!(found.is_empty(), "{rule}:\n  {}\n", found.join("\n  "));
}

#[test]
fn imports_only_go_down_the_floors() {
    let mut found = Vec::new();
    for file in source().iter().filter(|f| !f.is_test()) {
        let module = word(file.path.trim_start_matches("src/"));
        if matches!(module.as_str(), "lib" | "main") {
            continue;
        }
        let Some(own) = floor_of(&module) else {
            found.push(format!("{}: the module {module} stands on no floor", file.path));
            continue;
        };
        for (line, name) in file.imports() {
            // What lib.rs names anew is the error module's.
            let name =
                if matches!(name.as_str(), "Error" | "ErrorKind" | "Result") { "error" } else { &name };
            let allowed = name == module
                || NEIGHBOURS.contains(&(module.as_str(), name))
                || floor_of(name).is_some_and(|floor| floor < own);
            if !allowed {
                found.push(format!("{}:{line}: {module} imports {name}", file.path));
            }
        }
    }
    none("a module imports from lower floors only", &found);
}

#[test]
fn every_module_of_the_library_stands_on_a_floor() {
    let lib = document("src/lib.rs");
    let declared: BTreeSet<String> =
        lib.lines().filter_map(|l| l.strip_prefix("pub mod ")).map(word).collect();
    let placed: BTreeSet<String> = FLOORS.iter().flat_map(|f| f.iter()).map(ToString::to_string).collect();
    assert_eq!(declared, placed);
}

#[test]
fn the_floors_of_the_document_are_the_floors() {
    let text = document("docs/architecture.md");
    for (number, floor) in FLOORS.iter().enumerate() {
        let row = format!("| {number} | {} |", floor.join(", "));
        assert!(text.contains(&row), "docs/architecture.md has no row {row}");
    }
}

#[test]
fn packages_are_used_where_they_belong() {
    let mut found = Vec::new();
    for file in source().iter().filter(|f| !f.is_test()) {
        for (line, code) in file.code() {
            for (word, _) in
                CONFINED.iter().filter(|(w, places)| holds(code, w) && !allowed_in(&file.path, places))
            {
                found.push(format!("{}:{line}: {word}", file.path));
            }
            let grouped = code.trim_start().starts_with("use std::{") && holds(code, "fs");
            if (holds(code, "std::fs") || grouped) && !allowed_in(&file.path, &FILE_ACCESS) {
                found.push(format!("{}:{line}: std::fs", file.path));
            }
        }
    }
    none("a package has its place", &found);
}

#[test]
fn every_file_says_first_what_it_holds() {
    let bad: Vec<String> =
        all_rust().into_iter().filter(|f| !f.text.starts_with("//! ")).map(|f| f.path).collect();
    none("a file begins with `//!`", &bad);
    let bad =
        scripts().into_iter().filter(|f| !f.text.starts_with("// ")).map(|f| f.path).collect::<Vec<_>>();
    none("a script begins with a comment", &bad);
}

#[test]
fn files_and_functions_are_of_a_size_to_be_read() {
    let mut found = Vec::new();
    for file in all_rust().into_iter().chain(scripts()) {
        let lines = file.text.lines().count();
        if lines > FILE_LINES_MAX {
            found.push(format!("{}: {lines} lines", file.path));
        }
        if file.path.starts_with("src/") {
            found.extend(long_functions(&file));
        }
    }
    none("files have at most 600 lines, functions 70", &found);
}

/// Functions that are too long: from the line with `fn` to the closing brace of the same indentation.
fn long_functions(file: &Text) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<(usize, usize, String)> = None;
    for (line, code) in file.code() {
        let indent = code.len() - code.trim_start().len();
        if let Some((from, level, name)) = &open {
            if indent == *level && code.trim_start().starts_with('}') {
                let lines = line - from + 1;
                if lines > FUNCTION_LINES_MAX {
                    found.push(format!("{}:{from}: fn {name} has {lines} lines", file.path));
                }
                open = None;
            }
        } else if let Some(at) = code.find("fn ").filter(|at| starts_word(code, *at)) {
            let only_qualifiers = code.get(..at).unwrap_or("").split_whitespace().all(|w| {
                w.starts_with("pub") || w.ends_with(')') || matches!(w, "const" | "async" | "extern")
            });
            if only_qualifiers && !code.trim_end().ends_with(['}', ';']) {
                open = Some((line, indent, word(code.get(at + 3..).unwrap_or(""))));
            }
        }
    }
    found
}

#[test]
fn nothing_is_left_for_later() {
    // In pieces, so that this file does not find itself.
    let markers = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("HA", "CK"),
        concat!("todo", "!"),
        concat!("unimplemented", "!"),
        concat!("dbg", "!"),
        concat!("#[ig", "nore"),
        concat!("@", "@"),
    ];
    let mut found = Vec::new();
    for file in all_rust().into_iter().chain(scripts()).chain(documents()).chain(files("tests", ".case")) {
        for (at, line) in file.text.lines().enumerate() {
            for marker in
                markers.iter().filter(|m| line.match_indices(**m).any(|(at, _)| starts_word(line, at)))
            {
                found.push(format!("{}:{}: {marker}", file.path, at + 1));
            }
        }
    }
    none("what is worth doing is done or written down as a decision", &found);
}

#[test]
fn source_is_ascii() {
    let mut found = Vec::new();
    for file in all_rust().into_iter().chain(scripts()) {
        let bad = file.text.lines().enumerate().filter(|(_, line)| !line.is_ascii());
        found.extend(bad.map(|(at, _)| format!("{}:{}", file.path, at + 1)));
    }
    none("source is ASCII: everything else is an escape", &found);
}

#[test]
fn every_limit_has_its_reason() {
    let text = document("src/limits.rs");
    let mut previous = "";
    let mut found = Vec::new();
    for line in text.lines() {
        if line.starts_with("pub const ") && !previous.starts_with("/// ") {
            found.push(line.to_owned());
        }
        previous = line;
    }
    assert!(text.matches("pub const ").count() > 30);
    none("a limit without a reason is a guess", &found);
}

#[test]
fn links_and_paths_in_documents_lead_somewhere() {
    let mut found = Vec::new();
    for file in documents() {
        let folder = root().join(&file.path).parent().map(Path::to_owned).unwrap_or_default();
        for (at, line) in file.text.lines().enumerate() {
            for target in links(line).filter(|t| !t.contains("://") && !t.starts_with("mailto:")) {
                if !leads_somewhere(&folder, &file.text, target) {
                    found.push(format!("{}:{}: {target}", file.path, at + 1));
                }
            }
            for path in line.split('`').skip(1).step_by(2).filter(|p| is_own_path(p)) {
                if !root().join(path).exists() {
                    found.push(format!("{}:{}: {path}", file.path, at + 1));
                }
            }
        }
    }
    none("dead links", &found);
}

/// The targets of `[text](target)`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("](").filter_map(|(at, _)| line.get(at + 2..)?.split(')').next())
}

fn leads_somewhere(folder: &Path, own: &str, target: &str) -> bool {
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let text =
        if path.is_empty() { Some(own.to_owned()) } else { fs::read_to_string(folder.join(path)).ok() };
    match (text, anchor) {
        // A folder or a picture.
        (None, _) => folder.join(path).exists() && anchor.is_none(),
        (Some(_), None) => true,
        (Some(text), Some(anchor)) => text.lines().filter(|l| l.starts_with('#')).any(|l| slug(l) == anchor),
    }
}

/// The anchor of a heading.
fn slug(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    kept.chars()
        .filter(|c| is_word(*c) || matches!(c, ' ' | '-'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

fn is_own_path(text: &str) -> bool {
    let plain = |c: char| is_word(c) || matches!(c, '/' | '.' | '-');
    (text.starts_with("src/") || text.starts_with("tests/")) && text.chars().all(plain)
}

#[test]
fn the_routes_of_the_document_are_the_routes() {
    let mut expected = BTreeSet::new();
    for route in &ROUTES {
        let key = match route.access {
            Access::Open => "none",
            Access::Write => "write",
            Access::Read | Access::Manage => "API",
            Access::WriteOrRead => "write or API",
            Access::Session => "session",
        };
        expected.insert(format!("{} {} | {key}", route.method.name(), route.pattern));
    }
    let text = document("docs/http-api.md");
    let mut found = BTreeSet::new();
    for row in text.lines().filter_map(|line| line.strip_prefix("| `")) {
        let mut cells = row.split('|').map(|cell| cell.trim().trim_matches('`'));
        let (Some(route), Some(key)) = (cells.next(), cells.next()) else { continue };
        if route.contains(" /") {
            assert!(found.insert(format!("{route} | {key}")), "listed twice: {route}");
        }
    }
    assert_eq!(found, expected);
}

/// Sizes that `docs/file-format.md` states as `NAME` = N bytes.
const SIZES: [(&str, usize); 8] = [
    ("FRAME_HEADER_BYTES", FRAME_HEADER_BYTES),
    ("WAL_HEADER_BYTES", wal::WAL_HEADER_BYTES),
    ("IDENTITIES_FOOTER_BYTES", identity_file::IDENTITIES_FOOTER_BYTES),
    ("FOOTER_BYTES", FOOTER_BYTES),
    ("BLOCK_HEADER_BYTES", BLOCK_HEADER_BYTES),
    ("COLUMN_ENTRY_BYTES", COLUMN_ENTRY_BYTES),
    ("MEMBERS_HEADER_BYTES", MEMBERS_HEADER_BYTES),
    ("RECORD_ID_BYTES", RECORD_ID_BYTES),
];

#[test]
fn the_formats_of_the_document_are_the_formats() {
    let text = document("docs/file-format.md");
    let magics: [&[u8; 8]; 7] = [
        backups::BACKUP_MAGIC,
        erasures::ERASED_MAGIC,
        manifest::MANIFEST_MAGIC,
        manifest::CHECKPOINT_MAGIC,
        wal::WAL_MAGIC,
        identity_file::IDENTITIES_MAGIC,
        segment::Version::V005.magic(),
    ];
    let expected: BTreeSet<String> =
        magics.iter().map(|m| String::from_utf8_lossy(*m).into_owned()).collect();
    let quoted = text.split('`').skip(1).step_by(2);
    let found: BTreeSet<String> =
        quoted.filter(|t| t.len() == 8 && t.starts_with("WD")).map(ToOwned::to_owned).collect();
    assert_eq!(found, expected, "magics");
    for (name, bytes) in SIZES {
        let stated = format!("`{name}` = {bytes} bytes");
        let at = text.find(&stated).unwrap_or_else(|| panic!("docs/file-format.md does not say {stated}"));
        assert_eq!(table_bytes(text.get(at..).unwrap_or("")), bytes, "the fields of {name} have other sizes");
    }
}

/// The sum of the `bytes` column of the first table of `text`, whose `at` column must go on without a gap.
fn table_bytes(text: &str) -> usize {
    let rows = text.lines().skip_while(|line| !line.starts_with("| at ")).skip(2);
    let mut end = 0;
    for row in rows.take_while(|line| line.starts_with('|')) {
        let mut cells = row.split('|').skip(1).map(str::trim);
        let mut number = || cells.next().and_then(|cell| cell.parse::<usize>().ok());
        let (Some(at), Some(bytes)) = (number(), number()) else { panic!("no offset and size: {row}") };
        assert_eq!(at, end, "a gap or an overlap: {row}");
        end += bytes;
    }
    end
}

#[test]
fn the_checks_find_what_they_look_for() {
    let file = |path: &str, text: &str| Text { path: path.to_owned(), text: text.to_owned() };
    let text = "use crate::disk::Vfs;\nuse crate::{error::{A, B}, exec};\n// use crate::app;\n\
                pub(crate) fn f() -> super::super::http::X {} // crate::cli\nmod tests {\nuse crate::cli::Y;\n}\n";
    let names: Vec<String> = file("src/store/wal.rs", text).imports().into_iter().map(|i| i.1).collect();
    assert_eq!(names, ["disk", "error", "exec", "http"]);
    let names: Vec<String> =
        file("src/app/mod.rs", "use super::cli::Z;\n").imports().into_iter().map(|i| i.1).collect();
    assert_eq!(names, ["cli"]);
    assert!(holds("let x = unsafe { 1 };", "unsafe") && !holds("unsafely 'unsafe-inline'", "unsafe"));
    let long = format!("    pub fn long() {{\n{}    }}\n", "        x();\n".repeat(70));
    assert_eq!(long_functions(&file("src/a.rs", &long)), ["src/a.rs:1: fn long has 72 lines"]);
    assert_eq!(slug("## The `stats` route, once"), "the-stats-route-once");
    assert_eq!(links("see [a](b.md#c) and [d](e)").collect::<Vec<_>>(), ["b.md#c", "e"]);
    assert_eq!(
        table_bytes("x\n| at | bytes | f |\n|---|---|---|\n| 0 | 8 | a |\n| 8 | 4 | b |\n\n| 9 | 9 | c |"),
        12
    );
}
