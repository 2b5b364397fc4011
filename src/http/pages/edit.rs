//! What the forms of pages send beyond the text form of a report, turned into it: conditions typed into fields of their own, steps moved
//! and taken out. Afterwards the address is the report, and nothing but it.
use crate::model::{Json, Number, Value};

/// Names and values of an address.
pub type Pairs = Vec<(String, String)>;

/// Parameters that hold events with conditions, so that `where` may follow them.
const PATTERNS: [&str; 5] = ["step", "series", "start", "return", "goal"];

/// Parameters that no report has.
const OWN: [&str; 13] =
    ["where", "op", "val", "after", "only", "among", "did", "often", "since", "before", "not", "drop", "up"];

/// An object of one field.
fn only(name: &str, text: &str) -> Json {
    Json::object([(name, text.into())])
}

/// Those who meet all of these, as a query has them.
pub fn search(all: Vec<Json>) -> Json {
    Json::object([("people", Json::object([("all", all.into())]))])
}

/// The parameters of a form as those of its report.
pub fn tidy(raw: &[(String, String)]) -> Pairs {
    let plain = |(name, value): &(String, String)| {
        !OWN.contains(&name.as_str()) && !value.is_empty() && value.trim() == value
    };
    if raw.iter().all(plain) {
        return raw.to_vec();
    }
    let mut out: Pairs = Vec::new();
    let (mut people, mut edits) = (Vec::new(), Vec::new());
    let mut rest = raw.iter();
    while let Some((name, value)) = rest.next() {
        let value = value.trim();
        match name.as_str() {
            "where" => {
                let conditions = asked(value, &mut rest).map(|test| on_event(value, test));
                if let Some((last, text)) = out.last_mut()
                    && PATTERNS.contains(&last.as_str())
                {
                    conditions.into_iter().flatten().for_each(|one| *text = with_condition(text, one));
                }
            }
            "after" => match out.last_mut() {
                Some((last, text)) if last == "exclude" && !text.is_empty() && !value.is_empty() => {
                    *text = with_step(text, value);
                }
                _ => {}
            },
            "only" => people.extend(asked(value, &mut rest).map(|test| on_person(value, test))),
            "among" if !value.is_empty() => people.push(only("audience", value)),
            "did" => people.extend(did(value, &mut rest)),
            "not" if !value.is_empty() => people.push(Json::object([("not", only("did", value))])),
            "people" if !value.is_empty() => people.splice(0..0, all_of(value)).for_each(drop),
            "drop" | "up" => edits.push((name.as_str(), value)),
            // Of the fields above without their first one nothing is left.
            "op" | "val" | "often" | "since" | "before" | "among" | "not" | "people" => {}
            _ => out.push((name.clone(), value.to_owned())),
        }
    }
    edits.into_iter().for_each(|(edit, place)| moved(&mut out, edit, place));
    out.retain(|(_, value)| !value.is_empty());
    if let Some(text) = written(people) {
        out.push(("people".to_owned(), text));
    }
    out
}

/// The next value, if it is that of `name`.
fn next_is<'a>(rest: &mut std::slice::Iter<'a, (String, String)>, name: &str) -> Option<&'a str> {
    let (found, value) = rest.as_slice().first()?;
    (found == name).then(|| {
        rest.next();
        value.trim()
    })
}

/// An operator and the value beside it, as they were typed.
type Test<'a> = (&'a str, &'a str);

/// What is asked of a property in the two fields behind its own; none if nothing is filled in. Without its property it stays a
/// condition, so that the report says what is missing instead of leaving it out.
fn asked<'a>(property: &str, rest: &mut std::slice::Iter<'a, (String, String)>) -> Option<Test<'a>> {
    let operator = next_is(rest, "op").filter(|op| !op.is_empty()).unwrap_or("is");
    let value = next_is(rest, "val").unwrap_or("");
    let asked = !property.is_empty() || !value.is_empty() || matches!(operator, "set" | "unset");
    asked.then_some((operator, value))
}

/// A condition as a report has it. What was typed is sent as text, which is equal to the number that it reads as, too: as a number
/// `1.10` would be `1.1`.
fn condition(property: &str, (operator, value): Test<'_>) -> Json {
    let (operator, value) = match (operator, truth(value)) {
        ("set", _) => ("set", true.into()),
        ("unset", _) => ("set", false.into()),
        // Without a value the question can only be whether there is one.
        _ if value.is_empty() => ("set", true.into()),
        ("is", Some(truth)) => ("in", vec![value.into(), truth.into()].into()),
        ("gt" | "gte" | "lt" | "lte", _) => (operator, bound(value)),
        _ => (operator, value.into()),
    };
    Json::object([("property", property.into()), (operator, value)])
}

/// The truth that a text may stand for: trackers send it as text, programs as what it is, and nobody can type the difference.
fn truth(text: &str) -> Option<bool> {
    text.parse().ok()
}

/// Conditions on an event that must all hold.
fn on_event(property: &str, test: Test<'_>) -> Vec<Json> {
    match (test, truth(test.1)) {
        (("is_not", text), Some(truth)) => [Json::from(text), truth.into()]
            .map(|value| Json::object([("property", property.into()), ("is_not", value)]))
            .into(),
        _ => vec![condition(property, test)],
    }
}

/// The same of a person, in one: each is shown, and can be taken away, by itself.
fn on_person(property: &str, test: Test<'_>) -> Json {
    match test {
        ("is_not", text) if truth(text).is_some() => {
            Json::object([("not", condition(property, ("is", text)))])
        }
        _ => condition(property, test),
    }
}

/// Having done an event, perhaps so often and in some days; likewise none if nothing is filled in.
fn did(event: &str, rest: &mut std::slice::Iter<'_, (String, String)>) -> Option<Json> {
    let mut given = |name| next_is(rest, name).filter(|text| !text.is_empty());
    let (often, since, before) = (given("often"), given("since"), given("before"));
    if event.is_empty() && often.or(since).or(before).is_none() {
        return None;
    }
    let mut out = only("did", event);
    let mut put = |name: &str, value: Option<Json>| {
        if let Some(value) = value {
            out.set(name, value);
        }
    };
    // Once is what having done it means.
    put("at_least", often.map(times).filter(|n| n.as_u64().is_none_or(|n| n > 1)));
    put("from", since.map(Json::from));
    put("to", before.map(Json::from));
    Some(out)
}

/// A number of times, perhaps with commas between its thousands; what is none stays as it is, for the report to refuse.
fn times(text: &str) -> Json {
    let mut groups = text.split(',');
    let first = groups.next().is_some_and(|group| (1..=3).contains(&group.len()));
    let plain =
        if first && groups.all(|group| group.len() == 3) { text.replace(',', "") } else { text.into() };
    plain.parse::<u64>().map_or_else(|_| bound(text), Json::from)
}

/// A number, or else text: what amounts are compared with.
fn bound(text: &str) -> Json {
    Json::parse(text).ok().filter(|value| matches!(value, Json::Number(_))).unwrap_or_else(|| text.into())
}

/// An excluded event in the text form, with the step after which it must not come.
fn with_step(text: &str, after: &str) -> String {
    match (Json::parse(text), after.parse::<u64>()) {
        (Ok(mut pattern @ Json::Object(_)), Ok(after)) => {
            pattern.set("after", after.into());
            pattern.to_string()
        }
        _ => format!("{text}@{after}"),
    }
}

/// An excluded event as its fields show it: the event, and the step. Names may have an `@`, too.
pub fn excluded(text: &str) -> (String, String) {
    if let Ok(mut pattern @ Json::Object(_)) = Json::parse(text) {
        let after = pattern.remove("after").and_then(|after| after.as_u64()).unwrap_or(1);
        return (pattern.to_string(), after.to_string());
    }
    let step = text.rsplit_once('@').filter(|(_, after)| after.parse::<u64>().is_ok());
    let (event, after) = step.unwrap_or((text, "1"));
    (event.to_owned(), after.to_owned())
}

/// An event in the text form as a pattern.
pub fn pattern(text: &str) -> Json {
    match Json::parse(text) {
        Ok(pattern @ Json::Object(_)) => pattern,
        _ => only("event", text),
    }
}

/// An event in the text form with one more condition.
fn with_condition(text: &str, condition: Json) -> String {
    let mut pattern = pattern(text);
    match pattern.get_mut("where") {
        Some(Json::Array(conditions)) => conditions.push(condition),
        _ => pattern.set("where", vec![condition].into()),
    }
    pattern.to_string()
}

/// Takes out the parameter `step:2`, or moves it before its neighbour.
fn moved(out: &mut Pairs, edit: &str, place: &str) {
    let Some((name, number)) = place.split_once(':') else { return };
    let places: Vec<usize> =
        out.iter().enumerate().filter(|(_, (n, _))| n == name).map(|(at, _)| at).collect();
    let number = number.parse::<usize>().unwrap_or(0);
    let Some(at) = number.checked_sub(1).and_then(|n| places.get(n)).copied() else { return };
    if edit == "drop" {
        out.remove(at);
    } else if let Some(before) = number.checked_sub(2).and_then(|n| places.get(n)).copied() {
        out.swap(at, before);
    }
}

/// The conditions that people meet all of.
pub fn all_of(people: &str) -> Vec<Json> {
    match Json::parse(people) {
        Ok(mut read @ Json::Object(_)) => match read.get_mut("all") {
            Some(Json::Array(all)) => std::mem::take(all),
            _ => vec![read],
        },
        _ => vec![only("audience", people)],
    }
}

/// Whether one of these conditions says whether robots count.
pub fn speaks_of_robots(all: &[Json]) -> bool {
    all.iter().any(|one| one.get("bot").is_some())
}

/// Conditions as the parameter `people`; none without any.
pub fn written(mut all: Vec<Json>) -> Option<String> {
    match all.len() {
        0 => None,
        1 => all.pop().map(|one| match one["audience"].as_str() {
            // A name that looks like JSON has to be in it.
            Some(name) if !name.starts_with(['{', '[']) => name.to_owned(),
            _ => one.to_string(),
        }),
        _ => Some(Json::object([("all", all.into())]).to_string()),
    }
}

/// An event in the text form as its fields show it: event, property, operator and value. What does not fit stays whole in the first.
pub fn fields(text: &str) -> [String; 4] {
    let fit = || {
        let pattern = Json::parse(text).ok()?;
        let conditions = pattern["where"].as_array()?;
        let (event, first) = (pattern["event"].as_str()?, conditions.first()?);
        let property = first["property"].as_str()?;
        let (operator, value) = shown(first)?;
        let fits = conditions.len() == 1 || conditions == on_event(property, (operator, &value));
        fits.then(|| [event.to_owned(), property.to_owned(), operator.to_owned(), value])
    };
    fit().unwrap_or_else(|| [text.to_owned(), String::new(), String::new(), String::new()])
}

/// Operator and value of a condition as fields that ask the same; none if there are no such ones.
fn shown(condition: &Json) -> Option<(&str, String)> {
    let others = condition.as_object()?.iter().filter(|(name, _)| name != "property");
    let [(operator, value)] = others.collect::<Vec<_>>()[..] else { return None };
    let typed = |text: &String| !text.is_empty() && text.trim() == text;
    let value = match (operator.as_str(), value) {
        ("set", Json::Bool(set)) => return Some((if *set { "set" } else { "unset" }, String::new())),
        ("in", Json::Array(list)) => match list.as_slice() {
            [Json::String(text), Json::Bool(both)] if truth(text) == Some(*both) => {
                return Some(("is", text.clone()));
            }
            _ => return None,
        },
        // Text that reads as a number is compared as one; none that fields would make one besides.
        ("gt" | "gte" | "lt" | "lte", Json::String(text)) => {
            let same = Number::parse_plain(text).is_some() || bound(text).as_str().is_some();
            Some(text.clone()).filter(|text| typed(text) && same)
        }
        ("gt" | "gte" | "lt" | "lte", Json::Number(number)) => Some(number.clone()),
        ("is" | "is_not" | "contains" | "starts_with", Json::String(text)) => {
            Some(text.clone()).filter(typed)
        }
        // Text is equal to the number that it is the shortest form of.
        ("is" | "is_not" | "contains" | "starts_with", Json::Number(number)) => {
            Value::from_json(number).ok().flatten().map(|value| value.to_string())
        }
        ("is" | "is_not", Json::Bool(truth)) => Some(truth.to_string()),
        _ => None,
    };
    Some((operator, value?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Pairs {
        form_urlencoded::parse(text.as_bytes()).into_owned().collect()
    }

    fn tidied(text: &str) -> String {
        let pairs = tidy(&read(text));
        pairs.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join("&")
    }

    #[test]
    fn forms_become_reports() {
        for (form, report) in [
            ("step=A&where=&op=is&val=&step=&where=&op=is&val=&within=", "step=A"),
            // What lacks its first field is for the report to refuse.
            (
                "step=&where=Plan&op=is&val=Pro",
                r#"step={"event":"","where":[{"property":"Plan","is":"Pro"}]}"#,
            ),
            ("step=A&where=&op=is&val=5", r#"step={"event":"A","where":[{"property":"","is":"5"}]}"#),
            ("only=&op=unset&val=", r#"people={"property":"","set":false}"#),
            ("did=&often=3&since=&before=", r#"people={"did":"","at_least":3}"#),
            ("did=&often=&since=2025-01-01&before=", r#"people={"did":"","from":"2025-01-01"}"#),
            ("did=A&often=1,000", r#"people={"did":"A","at_least":1000}"#),
            ("did=A&often=1,00", r#"people={"did":"A","at_least":"1,00"}"#),
            ("did=A&often=x", r#"people={"did":"A","at_least":"x"}"#),
            ("did=A&often=-1", r#"people={"did":"A","at_least":-1}"#),
            ("did=A&often=1&since=&before=", r#"people={"did":"A"}"#),
            ("step=A&where=Price&op=gt&val=5", r#"step={"event":"A","where":[{"property":"Price","gt":5}]}"#),
            (
                "step=A&where=Plan&op=unset&val=",
                r#"step={"event":"A","where":[{"property":"Plan","set":false}]}"#,
            ),
            ("step=A&step=&step=B&step=C&drop=step:3", "step=A&step=C"),
            ("step=A&step=B&up=step:2&up=step:1&drop=step:9", "step=B&step=A"),
            // Only amounts are numbers: versions and codes that look like one are compared as they were typed.
            (
                "step=A&where=Version&op=is&val=1.10&only=Sku&op=is_not&val=5e3",
                r#"step={"event":"A","where":[{"property":"Version","is":"1.10"}]}&people={"property":"Sku","is_not":"5e3"}"#,
            ),
            ("only=P&op=gte&val=1.10", r#"people={"property":"P","gte":1.10}"#),
            ("only=P&op=contains&val=1.10", r#"people={"property":"P","contains":"1.10"}"#),
            ("only=P&op=is&val=true", r#"people={"property":"P","in":["true",true]}"#),
            ("only=P&op=is&val=True", r#"people={"property":"P","is":"True"}"#),
            ("only=P&op=is_not&val=false", r#"people={"not":{"property":"P","in":["false",false]}}"#),
            (
                "step=A&where=P&op=is_not&val=true",
                r#"step={"event":"A","where":[{"property":"P","is_not":"true"},{"property":"P","is_not":true}]}"#,
            ),
            ("exclude=X&after=2&exclude=&after=1", "exclude=X@2"),
            ("exclude=Mail%40home&after=2&exclude=a%402&after=1", "exclude=Mail@home@2&exclude=a@2@1"),
            (
                "exclude=%7B%22event%22%3A%22X%22%2C%22where%22%3A[]%7D&after=2",
                r#"exclude={"event":"X","where":[],"after":2}"#,
            ),
            ("only=Plan&op=is_not&val=Free", r#"people={"property":"Plan","is_not":"Free"}"#),
            ("among=Payers", "people=Payers"),
            (
                "people=Payers&did=Paid&often=3&since=2025-01-01&before=&not=Left",
                r#"people={"all":[{"audience":"Payers"},{"did":"Paid","at_least":3,"from":"2025-01-01"},{"not":{"did":"Left"}}]}"#,
            ),
            ("op=is&val=x&often=3", ""),
        ] {
            assert_eq!(tidied(form), report, "{form}");
            assert_eq!(tidy(&tidy(&read(form))), tidy(&read(form)), "nothing is left to do: {form}");
        }
    }

    #[test]
    fn fields_show_what_they_sent() {
        for step in [
            "step=A&where=&op=&val=",
            "step=A&where=Price&op=gt&val=5",
            "step=A&where=Price&op=gt&val=1.10",
            "step=A&where=P&op=unset&val=",
            "step=A&where=P&op=is&val=1.10",
            "step=A&where=P&op=is&val=5e3",
            "step=A&where=P&op=is&val=true",
            "step=A&where=P&op=is_not&val=true",
            "step=A&where=P&op=is_not&val=5",
            "step=A&where=P&op=contains&val=false",
        ] {
            let text = tidy(&read(step)).remove(0).1;
            let [event, property, operator, value] = fields(&text);
            assert_eq!(format!("step={event}&where={property}&op={operator}&val={value}"), step);
        }
        // Numbers of the API, whose text asks the same.
        for (value, shown) in [("1.50", "1.5"), ("1e3", "1000"), ("true", "true")] {
            let text = format!(r#"{{"event":"A","where":[{{"property":"p","is":{value}}}]}}"#);
            assert_eq!(fields(&text), ["A", "p", "is", shown], "{text}");
        }
        for whole in [
            r#"{"event":["A","B"]}"#,
            r#"{"event":"A","where":[{"property":"p","in":[1,2]}]}"#,
            r#"{"event":"A","where":[{"property":"p","is":""}]}"#,
            r#"{"event":"A","where":[{"property":"p","is":" x"}]}"#,
            r#"{"event":"A","where":[{"property":"p","gt":"5e3"}]}"#,
            r#"{"event":"A","where":[{"property":"p","is_not":"true"},{"property":"q","is_not":true}]}"#,
            r#"{"event":"A","where":[{"property":"p","is":"x"},{"property":"p","is":"x"}]}"#,
            "{",
            "A",
        ] {
            assert_eq!(fields(whole)[0], whole);
        }
    }

    #[test]
    fn exclusions_show_what_they_sent() {
        for (text, event, after) in [
            ("X", "X", "1"),
            ("X@2", "X", "2"),
            ("Mail@home", "Mail@home", "1"),
            ("Mail@home@3", "Mail@home", "3"),
            (r#"{"event":"X","where":[],"after":2}"#, r#"{"event":"X","where":[]}"#, "2"),
        ] {
            assert_eq!(excluded(text), (event.to_owned(), after.to_owned()));
            assert_eq!(excluded(&with_step(event, after)), (event.to_owned(), after.to_owned()));
        }
    }
}
