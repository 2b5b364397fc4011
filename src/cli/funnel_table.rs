//! A funnel's answer as tables: the steps, the segments, the warnings.

use super::answer;
use super::format;
use super::table::{Align, Table, visible};
use crate::app::Dashboard;
use crate::http::pages::words::{self, Wording};
use crate::model::Json;

/// What is asked, in words.
pub fn sentence(query: &Json) -> String {
    let names = &Dashboard::default();
    let steps: Vec<String> =
        answer::list(query, "steps").iter().map(|step| words::pattern(names, step)).collect();
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
    let excluded: Vec<String> = answer::list(query, "exclude")
        .iter()
        .map(|one| {
            format!("{} after step {}", words::pattern(names, one), one["after"].as_u64().unwrap_or(1))
        })
        .collect();
    if !excluded.is_empty() {
        out.push_str(&format!(", without {}", excluded.join(" or ")));
    }
    if query["until"] == "to" {
        out.push_str(", all steps in that time");
    }
    let zone = words::zone(query["tz"].as_str().unwrap_or("UTC"));
    out + &Wording { names, zone }.only_people(query)
}

/// The answer below `definition`, which says in words what was asked, for a terminal of `width` columns.
pub fn render(definition: &str, funnel: &Json, width: usize) -> String {
    let mut out = format!(
        "{}\n\n{}",
        format::wrap(&visible(definition), width),
        steps(answer::list(funnel, "steps"), width)
    );
    out.push_str(&conclusion(funnel));
    if !answer::list(funnel, "segments").is_empty() {
        out.push('\n');
        out.push_str(&segments(funnel, width));
    }
    if let Some(experiment) = funnel.get("experiment") {
        out.push('\n');
        out.push_str(&comparison(experiment, width));
    }
    let warnings = answer::warnings(funnel);
    if !warnings.is_empty() {
        out.push('\n');
        out.push_str(&warnings);
    }
    out
}

/// The variants of an experiment, and what can be said of them.
fn comparison(experiment: &Json, width: usize) -> String {
    let mut table = Table::new(&[
        ("Variant", Align::Left),
        ("People", Align::Right),
        ("Rate", Align::Right),
        ("95 %\ninterval", Align::Right),
        ("Lift", Align::Right),
        ("p", Align::Right),
        ("Best", Align::Right),
    ]);
    for variant in answer::list(experiment, "variants") {
        let bounds: Vec<String> =
            answer::list(variant, "interval").iter().map(|bound| format::percent(bound.as_f64())).collect();
        let p = variant.get("p_value").and_then(Json::as_f64);
        table.row(vec![
            answer::value(&variant["value"]),
            answer::count(variant, "people"),
            answer::share(variant, "rate"),
            if bounds.is_empty() { "-".to_owned() } else { bounds.join(" to ") },
            if variant["value"] == experiment["control"] {
                "control".to_owned()
            } else {
                answer::share(variant, "lift")
            },
            p.map_or_else(
                || "-".to_owned(),
                |p| if p < 0.0001 { "< 0.0001".to_owned() } else { format!("{p:.4}") },
            ),
            answer::share(variant, "probability_best"),
        ]);
    }
    let verdict = match (experiment["enough_data"].as_bool(), &experiment["winner"]) {
        (Some(true), Json::Null) => "No variant is better than the control so far.".to_owned(),
        (Some(true), winner) => format!("{} is better than the control.", visible(&answer::value(winner))),
        _ => "Not enough data: each variant needs 30 people, 5 who converted and 5 who did not.".to_owned(),
    };
    let several = experiment["several_variants"].as_u64().unwrap_or(0);
    let mixed = if several == 0 {
        String::new()
    } else {
        format!("{} had several variants.\n", format::counted(several, "person has", "people have"))
    };
    format!("{}{verdict}\n{mixed}", table.render(width))
}

/// In progress is a column only if somebody is, and so is the time: the names of events need the room.
fn steps(steps: &[Json], width: usize) -> String {
    let open = |step: &Json| step.get("in_progress").and_then(Json::as_u64).unwrap_or(0) > 0;
    let in_progress = steps.iter().any(open);
    let timed = steps.iter().any(|step| step.get("seconds").is_some());
    let mut headers = vec![
        ("Step", Align::Right),
        ("Event", Align::Left),
        ("People", Align::Right),
        ("of\nprevious", Align::Right),
        ("of\nfirst", Align::Right),
        ("Lost", Align::Right),
    ];
    headers.extend(in_progress.then_some(("In\nprogress", Align::Right)));
    headers.extend(timed.then_some(("Median\ntime", Align::Right)));
    let mut table = Table::new(&headers);
    for (at, step) in steps.iter().enumerate() {
        let mut row = vec![
            (at + 1).to_string(),
            event(step),
            answer::count(step, "people"),
            answer::share(step, "from_previous"),
            answer::share(step, "from_first"),
            answer::count(step, "lost"),
        ];
        row.extend(in_progress.then(|| answer::count(step, "in_progress")));
        row.extend(timed.then(|| median(step)));
        table.row(row);
    }
    table.render(width)
}

/// The first step has no time before it; a later one that nobody reached has none to show.
fn median(step: &Json) -> String {
    let Some(seconds) = step.get("seconds") else { return String::new() };
    seconds.get("median").and_then(Json::as_f64).map_or_else(|| "-".to_owned(), format::duration)
}

fn event(step: &Json) -> String {
    match step.get("event") {
        Some(Json::Array(names)) => names.iter().map(answer::value).collect::<Vec<_>>().join(" or "),
        Some(name) => answer::value(name),
        None => "-".to_owned(),
    }
}

fn conclusion(funnel: &Json) -> String {
    let mut out = format!("\nConversion {}", answer::share(funnel, "conversion"));
    let decided = funnel.get("conversion_decided").filter(|share| Some(*share) != funnel.get("conversion"));
    if decided.is_some() {
        let share = answer::share(funnel, "conversion_decided");
        out.push_str(&format!(" ({share} of those decided)"));
    }
    if funnel.get("as_of").is_some() {
        let as_of = answer::instant(funnel, "as_of");
        // Whole seconds are enough here, and leave the line short.
        let seconds = as_of.split('.').next().unwrap_or_default();
        out.push_str(&format!(", as of {} UTC", visible(seconds)));
    }
    out.push('\n');
    out
}

fn segments(funnel: &Json, width: usize) -> String {
    let numbers: Vec<String> =
        (1..=answer::list(funnel, "steps").len()).map(|step| format!("Step\n{step}")).collect();
    let mut headers = vec![("Value", Align::Left)];
    headers.extend(numbers.iter().map(|number| (number.as_str(), Align::Right)));
    headers.push(("Conversion", Align::Right));
    let mut table = Table::new(&headers);
    for segment in answer::list(funnel, "segments") {
        let other = segment.get("other").and_then(Json::as_bool).unwrap_or(false);
        let value = segment.get("value").unwrap_or(&Json::Null);
        let mut row = vec![if other { "(other)".to_owned() } else { answer::value(value) }];
        row.extend(answer::list(segment, "steps").iter().map(|step| answer::count(step, "people")));
        row.push(answer::share(segment, "conversion"));
        table.row(row);
    }
    table.render(width)
}

#[cfg(test)]
mod tests {
    use crate::model::json_of as json;

    use super::*;

    fn funnel() -> Json {
        json!({
            "steps": [
                {"event": "Visited Pricing Page", "people": 12_400, "from_previous": 1.0, "from_first": 1.0,
                 "lost": 6700, "in_progress": 100},
                {"event": ["Started Free Trial", "Signed Up"], "people": 5600, "from_previous": 0.4516,
                 "from_first": 0.4516, "lost": 4200, "in_progress": 0, "seconds": {"median": 183_600.0}},
                {"event": "Purchased", "people": 1400, "from_previous": 0.25, "from_first": 0.1129, "lost": 0,
                 "in_progress": 0, "seconds": {"median": null}},
            ],
            "conversion": 0.1129, "conversion_decided": 0.1138, "as_of": "2026-01-01T00:00:00Z",
            "segments": [
                {"value": "google", "steps": [{"people": 9000}, {"people": 5000}, {"people": 1000}],
                 "conversion": 0.1111},
                {"value": null, "steps": [{"people": 400}, {"people": 0}, {"people": 0}], "conversion": 0.0},
                {"other": true, "steps": [{"people": 0}, {"people": 0}, {"people": 0}], "conversion": null},
            ],
            "warnings": [{"at": "steps[1]", "message": "no event named \"Sgned Up\"",
                          "hint": "did you mean \"Signed Up\"?"}],
        })
    }

    #[test]
    fn a_funnel_fits_a_terminal() {
        let expected = "\
People who looked at the prices, tried and bought

                                           of       of               In   Median
Step  Event                  People  previous    first   Lost  progress     time
----  ---------------------  ------  --------  -------  -----  --------  -------
   1  Visited Pricing Page   12,400   100.0 %  100.0 %  6,700       100
   2  Started Free Trial...   5,600    45.2 %   45.2 %  4,200         0  2 d 3 h
   3  Purchased               1,400    25.0 %   11.3 %      0         0        -

Conversion 11.3 % (11.4 % of those decided), as of 2026-01-01 00:00:00 UTC

            Step   Step   Step
Value          1      2      3  Conversion
---------  -----  -----  -----  ----------
google     9,000  5,000  1,000      11.1 %
(not set)    400      0      0       0.0 %
(other)        0      0      0           -

warning: steps[1]: no event named \"Sgned Up\" (did you mean \"Signed Up\"?)
";
        let text = render("People who looked at the prices, tried and bought", &funnel(), 80);
        assert_eq!(text, expected);
        assert!(text.lines().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn a_query_reads_as_a_sentence() {
        let query = json!({"steps": [{"event": "A"}, {"event": ["B", "C"], "where": [{"property": "P", "gt": 5}]}],
            "within": "7d", "from": "2025-01-01", "people": {"did": "D"}});
        assert_eq!(
            sentence(&query),
            "People who did A, then B or C where P is above 5 within 7d from 2025-01-01. Only people: did D"
        );
        let query = json!({"steps": [{"event": "A"}, {"event": "B"}, {"event": "C"}], "to": "2025-01-31", "until": "to",
            "exclude": [{"event": "X"}, {"event": ["Y", "Z"], "after": 2}]});
        assert_eq!(
            sentence(&query),
            "People who did A, then B, then C to 2025-01-31, without X after step 1 or Y or Z after step 2, all steps in that time"
        );
    }

    #[test]
    fn a_small_chance_is_not_none() {
        let variant = |value: &str, p: Json| json!({"value": value, "people": 9, "p_value": p});
        let answer = json!({"experiment": {"control": "A", "several_variants": 1,
            "variants": [variant("A", Json::Null), variant("B", 0.00004.into()), variant("C", 0.0123.into())]}});
        let text = render("x", &answer, 80);
        assert!(text.contains(" < 0.0001 ") && text.contains(" 0.0123 "), "{text}");
        assert!(text.ends_with("1 person has had several variants.\n"), "{text}");
    }

    #[test]
    fn columns_without_content_are_left_out() {
        let answer = json!({"steps": [{"event": "A", "people": 0, "from_previous": null, "from_first": null,
            "lost": 0, "in_progress": 0}], "conversion": null, "conversion_decided": null});
        let expected = "\
A

                           of     of
Step  Event  People  previous  first  Lost
----  -----  ------  --------  -----  ----
   1  A           0         -      -     0

Conversion -
";
        assert_eq!(render("A", &answer, 80), expected);
    }

    #[test]
    fn an_answer_of_another_shape_is_no_failure() {
        assert!(render("x", &json!({"steps": [{}, 3]}), 80).contains("-"));
        assert!(render("x", &json!(null), 0).contains("Conversion -"));
    }
}
