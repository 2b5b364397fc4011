//! The text form of every definition: names and values, as command line flags and URL parameters have them. It is turned into
//! the JSON query and read like any other, so that all forms are one definition; and a query is written as text again.

use super::nearest::nearest;
use crate::error::{Error, Result};
use crate::model::{Json, Number};

/// How the values of a parameter are read. What begins like a JSON object is one where text alone could not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Text.
    Text,
    /// Text, a number or a boolean, as the value decides; text in quotes is text.
    Value,
    /// The same, `null` or `{"other":true}`.
    Label,
    /// A whole number.
    Whole,
    /// `true` or `false`; without a value true.
    Flag,
    /// An event, or a pattern as JSON.
    Pattern,
    /// Patterns, one each time the parameter is given.
    Patterns,
    /// Excluded events: `Event@2` is one after step 2.
    Exclusions,
    /// The name of a saved audience, or an audience as JSON.
    Audience,
    /// Text, once or several times.
    Texts,
    /// JSON.
    Json,
}

type Parameter = (&'static str, &'static str, Form);

/// What all reports take: the parameter, the field of the query and its form.
const COMMON: [Parameter; 6] = [
    ("from", "from", Form::Text),
    ("to", "to", Form::Text),
    ("tz", "tz", Form::Text),
    ("as_of", "as_of", Form::Text),
    ("people", "people", Form::Audience),
    ("explain", "explain", Form::Flag),
];

const FUNNEL: [Parameter; 9] = [
    ("step", "steps", Form::Patterns),
    ("order", "order", Form::Text),
    ("within", "within", Form::Text),
    ("until", "until", Form::Text),
    ("exclude", "exclude", Form::Exclusions),
    ("by", "by", Form::Text),
    ("limit", "limit", Form::Whole),
    ("times", "times", Form::Flag),
    ("control", "control", Form::Value),
];

const COHORT: [Parameter; 12] = [
    ("start", "start", Form::Pattern),
    ("return", "return", Form::Pattern),
    ("cohort", "cohort", Form::Text),
    ("bucket", "bucket", Form::Text),
    ("count", "count", Form::Whole),
    ("buckets", "buckets", Form::Text),
    ("mode", "mode", Form::Text),
    ("measure", "measure", Form::Text),
    ("property", "property", Form::Text),
    ("by", "by", Form::Text),
    ("limit", "limit", Form::Whole),
    ("week_start", "week_start", Form::Text),
];

const REVENUE: [Parameter; 9] = [
    ("property", "property", Form::Text),
    ("unit", "unit", Form::Text),
    ("by", "by", Form::Text),
    ("limit", "limit", Form::Whole),
    ("week_start", "week_start", Form::Text),
    ("lifetime", "lifetime", Form::Flag),
    ("lost_after", "lost_after", Form::Text),
    ("lost_by", "lost_by", Form::Texts),
    ("period", "period", Form::Text),
];

const TREND: [Parameter; 7] = [
    ("series", "series", Form::Patterns),
    ("measure", "measure", Form::Text),
    ("property", "property", Form::Text),
    ("unit", "unit", Form::Text),
    ("by", "by", Form::Text),
    ("limit", "limit", Form::Whole),
    ("week_start", "week_start", Form::Text),
];

const PATHS: [Parameter; 5] = [
    ("start", "start", Form::Pattern),
    ("goal", "goal", Form::Pattern),
    ("events", "events", Form::Whole),
    ("side", "side", Form::Text),
    ("limit", "limit", Form::Whole),
];

const LIFECYCLE: [Parameter; 3] =
    [("event", "event", Form::Texts), ("unit", "unit", Form::Text), ("week_start", "week_start", Form::Text)];

const PEOPLE: [Parameter; 3] =
    [("columns", "columns", Form::Texts), ("limit", "limit", Form::Whole), ("cursor", "cursor", Form::Text)];

/// What lists of people take besides the report that they are of.
const LIST: [Parameter; 13] = [
    ("limit", "limit", Form::Whole),
    ("cursor", "cursor", Form::Text),
    ("at_step", "step", Form::Whole),
    ("outcome", "outcome", Form::Text),
    ("segment", "segment", Form::Label),
    ("several_variants", "several_variants", Form::Flag),
    ("row", "row", Form::Label),
    ("shown", "shown", Form::Whole),
    ("column", "column", Form::Whole),
    ("number", "number", Form::Whole),
    ("start_of", "start", Form::Text),
    ("which", "which", Form::Text),
    ("path", "path", Form::Json),
];

/// The parameters of a report, or of the list of people of one (`funnel/people`), without those that all have.
fn parameters(report: &str) -> Vec<Parameter> {
    let (name, list) = match report.strip_suffix("/people") {
        Some(name) => (name, true),
        None => (report, false),
    };
    let own: &[Parameter] = match name {
        "funnel" => &FUNNEL,
        "cohort" => &COHORT,
        "revenue" => &REVENUE,
        "trend" => &TREND,
        "paths" => &PATHS,
        "lifecycle" => &LIFECYCLE,
        "people" => &PEOPLE,
        _ => &[],
    };
    let mut all = own.to_vec();
    if list {
        all.extend(LIST.iter().filter(|(name, ..)| !own.iter().any(|(known, ..)| known == name)));
    }
    all.extend(COMMON);
    all
}

/// The JSON query of names and values.
pub fn query<N: AsRef<str>, V: AsRef<str>>(
    report: &str,
    pairs: impl IntoIterator<Item = (N, V)>,
) -> Result<String> {
    let known = parameters(report);
    let mut out = Json::object([]);
    for (name, value) in pairs {
        let (name, value) = (name.as_ref(), value.as_ref());
        let Some((_, field, form)) = known.iter().find(|(parameter, ..)| *parameter == name) else {
            let names: Vec<&str> = known.iter().map(|(parameter, ..)| *parameter).collect();
            return Err(unknown(name, &names));
        };
        let read = form.read(value).map_err(|e| e.at(name))?;
        let repeats = matches!(form, Form::Patterns | Form::Exclusions | Form::Texts);
        match (out.get_mut(field), repeats) {
            (None, true) => out.set(field, vec![read].into()),
            (None, false) => out.set(field, read),
            (Some(Json::Array(list)), true) => list.push(read),
            (Some(_), _) => return Err(twice(name)),
        }
    }
    Ok(out.to_string())
}

/// An error if one of `pairs` has another name than those known, or two have the same.
pub fn check<N: AsRef<str>, V>(
    pairs: impl IntoIterator<Item = (N, V)>,
    known: &[&'static str],
) -> Result<()> {
    let mut met: Vec<&str> = Vec::with_capacity(known.len());
    for (name, _) in pairs {
        let name = name.as_ref();
        let Some(found) = known.iter().find(|known| **known == name) else {
            return Err(unknown(name, known));
        };
        if met.contains(found) {
            return Err(twice(name));
        }
        met.push(found);
    }
    Ok(())
}

fn unknown(name: &str, known: &[&str]) -> Error {
    let error = Error::invalid("unknown_field", format!("there is no parameter \"{name}\" here")).at(name);
    match nearest(name, known.iter().copied()) {
        Some(near) => error.hint(format!("did you mean \"{near}\"?")),
        None if known.is_empty() => error.hint("no parameters are taken here"),
        None => error.hint(format!("the parameters here are {}", known.join(", "))),
    }
}

fn twice(name: &str) -> Error {
    Error::invalid("given_twice", format!("\"{name}\" is given twice")).at(name)
}

/// The JSON query of a definition in its text form, `name=value` pairs joined by `&` and encoded as in URLs.
pub fn read_text(report: &str, text: &str) -> Result<String> {
    query(report, form_urlencoded::parse(text.trim().as_bytes()))
}

/// The text form of a query.
pub fn text(report: &str, query: &Json) -> String {
    let mut out = form_urlencoded::Serializer::new(String::new());
    for (name, field, form) in parameters(report) {
        match query.get(field) {
            None | Some(Json::Null) => {}
            Some(Json::Array(list)) if matches!(form, Form::Patterns | Form::Exclusions | Form::Texts) => {
                for value in list {
                    out.append_pair(name, &form.write(value));
                }
            }
            Some(value) => {
                out.append_pair(name, &form.write(value));
            }
        }
    }
    out.finish()
}

/// Whether a text begins as a JSON object does. Names may begin with a brace or a bracket, too: `[Amplitude] Page Viewed`.
fn begins_object(text: &str) -> bool {
    text.strip_prefix('{').is_some_and(|rest| rest.trim_start().starts_with(['"', '}']))
}

/// A number in the form in which values have it.
fn plain(number: &str) -> Option<String> {
    Number::parse(number).map(|number| number.to_string())
}

impl Form {
    fn read(self, text: &str) -> Result<Json> {
        let bad = |what: &str| Error::invalid("bad_type", format!("{what} expected, \"{text}\" found"));
        let is_json = match self {
            Self::Text | Self::Value | Self::Texts => false,
            Self::Json => text.starts_with(['{', '[']),
            _ => begins_object(text),
        };
        if is_json {
            return Json::parse(text);
        }
        Ok(match self {
            Self::Text | Self::Texts => text.into(),
            Self::Value | Self::Label => match Json::parse(text) {
                Err(_) | Ok(Json::Object(_) | Json::Array(_)) => text.into(),
                Ok(Json::Null) if self == Self::Value => text.into(),
                // A number is one if nothing of how it is written is lost: the version 1.10 is text.
                Ok(Json::Number(_)) if plain(text).as_deref() != Some(text) => text.into(),
                Ok(value) => value,
            },
            Self::Whole => text.parse::<u64>().map_err(|_| bad("a whole number"))?.into(),
            Self::Flag => match text {
                "" | "true" => true.into(),
                "false" => false.into(),
                _ => return Err(bad("true or false")),
            },
            Self::Pattern | Self::Patterns => Json::object([("event", text.into())]),
            Self::Exclusions => {
                match text.rsplit_once('@').map(|(event, after)| (event, after.parse::<u64>())) {
                    Some((event, Ok(after))) => {
                        Json::object([("event", event.into()), ("after", after.into())])
                    }
                    _ => Json::object([("event", text.into())]),
                }
            }
            Self::Audience => Json::object([("audience", text.into())]),
            Self::Json => return Err(bad("JSON")),
        })
    }

    fn write(self, value: &Json) -> String {
        let fields = value.as_object().map_or(0, <[_]>::len);
        let named = |name: &str| value[name].as_str().filter(|text| !begins_object(text));
        let only = |name: &str| named(name).filter(|_| fields == 1);
        match (self, value) {
            (Self::Text | Self::Texts, Json::String(text)) => text.clone(),
            // Text that would be read as something else keeps its quotes.
            (Self::Value | Self::Label, Json::String(text)) => match self.read(text) {
                Ok(Json::String(same)) if same == *text => text.clone(),
                _ => value.to_string(),
            },
            (Self::Value | Self::Label, Json::Number(number)) => {
                plain(number).unwrap_or_else(|| number.clone())
            }
            (Self::Pattern | Self::Patterns, _) => {
                only("event").map_or_else(|| value.to_string(), str::to_owned)
            }
            (Self::Exclusions, _) => match (named("event"), value["after"].as_u64()) {
                (Some(event), Some(after)) if fields == 2 => format!("{event}@{after}"),
                _ => value.to_string(),
            },
            (Self::Audience, _) => only("audience").map_or_else(|| value.to_string(), str::to_owned),
            _ => value.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_the_query_and_the_query_text() {
        let text = "step=Signed+Up&step=%7B%22event%22%3A%5B%22A%22%2C%22B%22%5D%7D&within=7d&exclude=X%402&limit=3&times=false&control=%225%22&people=Payers";
        let query = read_text("funnel", text).unwrap();
        assert_eq!(
            query,
            r#"{"steps":[{"event":"Signed Up"},{"event":["A","B"]}],"within":"7d","exclude":[{"event":"X","after":2}],"limit":3,"times":false,"control":"5","people":{"audience":"Payers"}}"#
        );
        assert_eq!(super::text("funnel", &Json::parse(&query).unwrap()), text);
    }

    #[test]
    fn names_may_begin_like_json() {
        for (name, text) in [
            ("[Amplitude] Page Viewed", "step=%5BAmplitude%5D+Page+Viewed"),
            ("{{7*7}}", "step=%7B%7B7*7%7D%7D"),
            ("{", "step=%7B"),
            ("{\"a\"", "step=%7B%22event%22%3A%22%7B%5C%22a%5C%22%22%7D"),
        ] {
            let query = format!(r#"{{"steps":[{{"event":{}}}]}}"#, Json::from(name));
            assert_eq!(super::text("funnel", &Json::parse(&query).unwrap()), text);
            assert_eq!(read_text("funnel", text).unwrap(), query);
        }
        for (row, read) in
            [("[x]", "\"[x]\""), ("{x}", "\"{x}\""), ("\"90210\"", "\"90210\""), ("90210", "90210")]
        {
            let text = form_urlencoded::Serializer::new(String::new()).append_pair("row", row).finish();
            assert_eq!(read_text("cohort/people", &text).unwrap(), format!("{{\"row\":{read}}}"));
        }
    }

    #[test]
    fn a_value_keeps_how_it_is_written() {
        for (given, read, again) in [
            ("1.10", "\"1.10\"", "1.10"),
            ("1e3", "\"1e3\"", "1e3"),
            ("007", "\"007\"", "007"),
            ("1.1", "1.1", "1.1"),
            ("false", "false", "false"),
            ("null", "\"null\"", "null"),
            ("\"1.1\"", "\"1.1\"", "\"1.1\""),
        ] {
            let pair = form_urlencoded::Serializer::new(String::new()).append_pair("control", given).finish();
            let query = read_text("funnel", &pair).unwrap();
            assert_eq!(query, format!("{{\"control\":{read}}}"));
            let pair = form_urlencoded::Serializer::new(String::new()).append_pair("control", again).finish();
            assert_eq!(text("funnel", &Json::parse(&query).unwrap()), pair);
        }
        let query = Json::parse(r#"{"control":1.10}"#).unwrap();
        assert_eq!(text("funnel", &query), "control=1.1");
        assert_eq!(read_text("cohort/people", "row=null").unwrap(), r#"{"row":null}"#);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, code, at) in [
            ("stp=A", "unknown_field", "stp"),
            ("step=A&limit=many", "bad_type", "limit"),
            ("within=1d&within=2d", "given_twice", "within"),
            ("step=%7B%22event", "bad_json", "step"),
            ("times=maybe", "bad_type", "times"),
        ] {
            let error = read_text("funnel", text).unwrap_err();
            assert_eq!((error.code(), error.place()), (code, Some(at)), "{text}");
        }
        assert!(read_text("cohort/people", "start=A&row=2025-01&column=3").is_ok());
    }
}
