//! The flags of a funnel as the JSON query that the API takes, and in words.

use serde_json::{Value, json};

use super::args::Funnel;
use crate::error::Result;

/// The query.
pub fn query(args: &Funnel) -> Result<String> {
    if let Some(path) = &args.spec {
        return super::report_args::spec(path);
    }
    let mut query =
        json!({ "steps": args.steps.iter().map(|event| json!({ "event": event })).collect::<Vec<_>>() });
    let fields = [
        ("within", &args.within),
        ("order", &args.order),
        ("by", &args.by),
        ("from", &args.from),
        ("to", &args.to),
        ("tz", &args.tz),
        ("as_of", &args.as_of),
        ("until", &args.until),
        ("control", &args.control),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            query[name] = value.as_str().into();
        }
    }
    if let Some(limit) = args.limit {
        query["limit"] = limit.into();
    }
    if !args.exclude.is_empty() {
        query["exclude"] = args.exclude.iter().map(|text| exclusion(text)).collect::<Value>();
    }
    Ok(query.to_string())
}

/// `Event@2` is the event after step 2; an event whose name ends otherwise is taken as it is.
fn exclusion(text: &str) -> Value {
    match text.rsplit_once('@').map(|(event, after)| (event, after.parse::<u64>())) {
        Some((event, Ok(after))) => json!({ "event": event, "after": after }),
        _ => json!({ "event": text }),
    }
}

/// The definition in one sentence.
pub fn sentence(query: &str) -> String {
    let Ok(query) = serde_json::from_str::<Value>(query) else { return String::new() };
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        _ => String::new(),
    };
    let steps: Vec<String> =
        query["steps"].as_array().into_iter().flatten().map(|s| text(&s["event"])).collect();
    let joint = match query["order"].as_str() {
        Some("any") => ", ",
        Some("strict") => ", directly then ",
        _ => ", then ",
    };
    let mut out = format!("People who did {}", steps.join(joint));
    if query["order"] == "any" {
        out.push_str(" in any order");
    }
    for (field, words) in [("within", "within"), ("from", "from"), ("to", "to"), ("tz", "in")] {
        if let Some(value) = query[field].as_str() {
            out.push_str(&format!(" {words} {value}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exclusions_name_their_step() {
        assert_eq!(exclusion("Refunded@2"), json!({"event": "Refunded", "after": 2}));
        assert_eq!(exclusion("jane@home"), json!({"event": "jane@home"}));
    }

    #[test]
    fn a_query_reads_as_a_sentence() {
        let query = r#"{"steps":[{"event":"A"},{"event":["B","C"]}],"within":"7d","from":"2025-01-01"}"#;
        assert_eq!(sentence(query), "People who did A, then B or C within 7d from 2025-01-01");
    }
}
