//! Reading what the tables show out of answers: what is missing is shown as missing.

use super::format;
use super::table::visible;
use crate::http::pages::words;
use crate::model::{Json, thousands};

/// Stands for people without a value.
const NOT_SET: &str = "(not set)";
/// What a star means.
pub const NOT_OVER: &str = "* not over yet\n";

/// The elements of a field; none if it is missing.
pub fn list<'a>(answer: &'a Json, field: &str) -> &'a [Json] {
    answer[field].as_array().unwrap_or_default()
}

/// The text of a field; `-` if it has none.
pub fn text<'a>(answer: &'a Json, field: &str) -> &'a str {
    answer.get(field).and_then(Json::as_str).unwrap_or("-")
}

/// The count in a field with its digits grouped.
pub fn count(answer: &Json, field: &str) -> String {
    answer.get(field).and_then(Json::as_u64).map_or_else(|| "-".to_owned(), thousands)
}

/// The count in a field of what is called so.
pub fn counted(answer: &Json, field: &str, one: &str, many: &str) -> String {
    let number = answer.get(field).and_then(Json::as_u64);
    number.map_or_else(|| format!("- {many}"), |number| format::counted(number, one, many))
}

/// Money as the dashboard has it, with the signs that programs read.
pub fn money(value: &Json) -> String {
    words::money(value).replace(['\u{2212}', '\u{2013}'], "-")
}

/// The share in a field.
pub fn share(answer: &Json, field: &str) -> String {
    format::percent(answer.get(field).and_then(Json::as_f64))
}

/// The instant in a field, without the letters of its notation.
pub fn instant(answer: &Json, field: &str) -> String {
    format::instant(text(answer, field))
}

/// A property value as it reads; null is "(not set)".
pub fn value(value: &Json) -> String {
    match value {
        Json::Null => NOT_SET.to_owned(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Which units of time are not over yet. Their numbers may still change, so that a star stands behind their first days.
pub struct Open(Option<usize>);

impl Open {
    /// Of these points of an answer.
    pub fn of(answer: &Json, points: &[Json]) -> Self {
        Self(words::open_from(answer, points))
    }

    /// Whether the one of this place is.
    pub fn has(&self, at: usize) -> bool {
        self.0.is_some_and(|open| at >= open)
    }

    /// The first day of that one.
    pub fn start(&self, at: usize, point: &Json) -> String {
        format!("{}{}", text(point, "start"), if self.has(at) { "*" } else { "" })
    }

    /// What the star means, as a line below; nothing if there is none.
    pub fn note(&self) -> &'static str {
        if self.0.is_some() { NOT_OVER } else { "" }
    }
}

/// A line for each warning, whether it has a place and a hint or is only a sentence.
pub fn warnings(answer: &Json) -> String {
    let mut out = String::new();
    for warning in list(answer, "warnings") {
        let part = |field| warning.get(field).and_then(Json::as_str).map(visible);
        let at = part("at").filter(|at| !at.is_empty()).map(|at| format!("{at}: "));
        let message = part("message").unwrap_or_else(|| visible(&value(warning)));
        let hint = part("hint").map(|hint| format!(" ({hint})"));
        out.extend(["warning: ", &at.unwrap_or_default(), &message, &hint.unwrap_or_default(), "\n"]);
    }
    out
}

/// "and 7 more", if an answer says that there are more than it lists.
pub fn more(answer: &Json, name: &str) -> Option<String> {
    answer.get(name).and_then(Json::as_u64).map(|more| format!("and {} more", thousands(more)))
}
