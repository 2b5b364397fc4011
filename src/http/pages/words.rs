//! How numbers, instants and definitions read on pages.

use std::borrow::Cow;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan};

use crate::app::Dashboard;
use crate::enrich::USER_AGENT;
use crate::enrich::bot::MARKS;
use crate::model::{Json, is_deceptive, thousands};

/// A list in an answer; empty if there is none of that name.
pub fn list<'j>(answer: &'j Json, name: &str) -> &'j [Json] {
    answer[name].as_array().unwrap_or_default()
}

/// A number with its digits grouped.
pub fn count(number: u64) -> String {
    thousands(number)
}

/// A whole number of an answer, 0 if it is none.
pub fn number(value: &Json) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// "1 person", "2 people".
pub fn some_people(number: u64) -> String {
    format!("{} {}", count(number), plural(number, "person", "people"))
}

/// The first `most` of some names, and how many more there are, with `unlisted` ones.
pub fn names(all: &[&str], unlisted: u64, most: usize) -> String {
    let shown = all.get(..most).unwrap_or(all).join(", ");
    match all.len().saturating_sub(most) as u64 + unlisted {
        0 => shown,
        more => format!("{shown} and {} more", count(more)),
    }
}

/// The word for one, or that for any other number.
pub fn plural(number: u64, one: &'static str, several: &'static str) -> &'static str {
    if number == 1 { one } else { several }
}

/// A share in percent.
pub fn percent(value: &Json) -> String {
    value.as_f64().map_or_else(|| "\u{2013}".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

/// Money with its digits grouped, rounded half up to cents: sums are exact, quotients have more digits than anybody reads.
pub fn money(value: &Json) -> String {
    let Some(text) = value.as_str() else { return "\u{2013}".to_owned() };
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |rest| ("\u{2212}", rest));
    let (whole, cents) = rest.split_once('.').unwrap_or((rest, ""));
    let padded = format!("{cents:0<3}");
    let digits = |text: &str| text.parse::<u128>().ok();
    let (Some(whole), Some(thousandths)) = (digits(whole), padded.get(..3).and_then(digits)) else {
        return text.to_owned();
    };
    let hundredths = whole.saturating_mul(100).saturating_add((thousandths + 5) / 10);
    let Ok(units) = u64::try_from(hundredths / 100) else { return text.to_owned() };
    let sign = if hundredths == 0 { "" } else { sign };
    format!("{sign}{}.{:02}", count(units), hundredths % 100)
}

/// The digits of a number as they were computed, which are more than a float has.
pub fn decimal(value: &Json) -> String {
    match value {
        Json::Number(text) if !text.contains(['e', 'E']) => text.clone(),
        _ => value.as_f64().map_or_else(String::new, |number| format!("{number:.6}")),
    }
}

/// A measured value: whole numbers grouped, others with at most two digits behind the point.
pub fn measured(value: &Json) -> String {
    match (value.as_u64(), value.as_f64()) {
        (Some(whole), _) => count(whole),
        (None, Some(_)) => money(&Json::from(decimal(value))),
        _ if value.as_str().is_some() => money(value),
        _ => "\u{2013}".to_owned(),
    }
}

/// A message as a sentence begins. What is quoted at its beginning stays as it was sent.
pub fn sentence(message: &str) -> String {
    let mut rest = message.chars();
    rest.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + rest.as_str())
}

/// A property value as it reads.
pub fn value(value: &Json) -> String {
    match value {
        Json::Null => "(not set)".to_owned(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The name of a segment.
pub fn segment(part: &Json) -> String {
    part.get("value").map_or_else(|| "(other)".to_owned(), value)
}

/// Bytes that a value may take in an address to stand in the link of each number about it, and to be shown whole: somebody can send
/// such of 8 KiB, which take up to 65 KB there, and a table of segments over time has thousands of links.
const ADDRESS_BYTES_MAX: usize = 512;

/// Bytes of a character in an address.
fn in_address(c: char) -> usize {
    if c.is_ascii_alphanumeric() || "*-._ ".contains(c) { 1 } else { 3 * c.len_utf8() }
}

/// Whether a value, as a list of people takes it, is short enough for links.
pub fn is_short(value: &str) -> bool {
    value.chars().map(in_address).sum::<usize>() <= ADDRESS_BYTES_MAX
}

/// A text as far as a page shows it; files have all of it.
pub fn clipped(text: &str) -> Cow<'_, str> {
    let mut taken = 0;
    let end = text.char_indices().find(|(_, c)| {
        taken += in_address(*c);
        taken > ADDRESS_BYTES_MAX
    });
    match end.and_then(|(at, _)| text.get(..at)) {
        Some(begin) => format!("{begin}\u{2026}").into(),
        None => text.into(),
    }
}

/// The name of a segment, as a list of its people takes it.
pub fn segment_label(part: &Json) -> String {
    label(part.get("value"))
}

/// The name of a row of cohorts, likewise.
pub fn row_label(row: &Json) -> String {
    label(row.get("cohort"))
}

fn label(value: Option<&Json>) -> String {
    // As JSON, so that text which looks like another value stays text.
    value.map_or_else(|| "{\"other\":true}".to_owned(), Json::to_string)
}

/// A duration in seconds as people say it.
pub fn duration(seconds: &Json) -> String {
    seconds.as_f64().map_or_else(|| "\u{2013}".to_owned(), duration_of)
}

/// See [`duration`].
pub fn duration_of(seconds: f64) -> String {
    let (unit, size) = match seconds {
        s if s < 60.0 => ("s", 1.0),
        s if s < 3600.0 => ("min", 60.0),
        s if s < 86_400.0 => ("h", 3600.0),
        _ => ("d", 86_400.0),
    };
    let text = format!("{:.1}", seconds / size);
    format!("{} {unit}", text.strip_suffix(".0").unwrap_or(&text))
}

/// The zone of a name; UTC if it has none or an unknown one.
pub fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap_or(TimeZone::UTC)
}

/// An instant as the clocks of a zone show it, to the second. Days are those of the zone already.
pub fn to_the_second(zone: &TimeZone, value: &Json) -> String {
    let text = value.as_str().unwrap_or("\u{2013}");
    text.parse::<Timestamp>().map_or_else(
        |_| text.to_owned(),
        |instant| zone.to_datetime(instant).strftime("%Y-%m-%d %H:%M:%S").to_string(),
    )
}

/// The same to the minute.
pub fn instant(zone: &TimeZone, value: &Json) -> String {
    let text = to_the_second(zone, value);
    text.get(..16).map_or(text.clone(), str::to_owned)
}

/// How long a unit of time is.
pub fn length(unit: &str) -> Option<Span> {
    match unit {
        "day" => Some(1.day()),
        "week" => Some(1.week()),
        "month" => Some(1.month()),
        _ => None,
    }
}

/// The day that is not over when an answer was counted.
pub fn day_after(receipt: &Json) -> Option<Date> {
    // The last instant counts, so a day is over with its last millisecond.
    let seen = receipt["as_of"].as_str()?.parse::<Timestamp>().ok()?;
    let next = seen.checked_add(1.millisecond()).ok()?;
    Some(zone(receipt["tz"].as_str().unwrap_or_default()).to_datetime(next).date())
}

/// The place of the first of these units that was not over when they were counted; `None` if all were.
pub fn open_from(answer: &Json, points: &[Json]) -> Option<usize> {
    let receipt = &answer["receipt"];
    let unit = length(receipt["query"]["unit"].as_str()?)?;
    let today = day_after(receipt)?;
    points.iter().position(|point| {
        let start = point["start"].as_str().and_then(|start| start.parse::<Date>().ok());
        start.and_then(|start| start.checked_add(unit).ok()).is_some_and(|end| end > today)
    })
}

/// An event as people call it.
pub fn event(names: &Dashboard, event: &Json) -> String {
    event.as_str().map_or_else(|| value(event), |name| names.shown(name).to_owned())
}

/// One event, or several joined by "or", with what they must meet.
pub fn pattern(names: &Dashboard, pattern: &Json) -> String {
    let (events, met) = events_and_conditions(names, &pattern["event"], pattern);
    events + &met
}

/// The events in words, and behind " where" what `pattern` wants of them; nothing if it wants nothing.
fn events_and_conditions(names: &Dashboard, events: &Json, pattern: &Json) -> (String, String) {
    let events = match events {
        Json::Array(several) => several.iter().map(|one| event(names, one)).collect::<Vec<_>>().join(" or "),
        other => event(names, other),
    };
    let mut conditions: Vec<String> = list(pattern, "where").iter().map(condition).collect();
    // A truth and its text read the same.
    conditions.dedup();
    let met =
        if conditions.is_empty() { String::new() } else { format!(" where {}", conditions.join(" and ")) };
    (events, met)
}

/// The operators of conditions, as a query and as people say them.
pub const OPERATORS: [(&str, &str); 9] = [
    ("is", "is"),
    ("is_not", "is not"),
    ("contains", "contains"),
    ("starts_with", "starts with"),
    ("gt", "is above"),
    ("gte", "is at least"),
    ("lt", "is below"),
    ("lte", "is at most"),
    ("set", "is known"),
];

/// A condition on a property.
pub fn condition(condition: &Json) -> String {
    let name = value(&condition["property"]);
    let name = if condition["which"] == "first" { format!("first {name}") } else { name };
    if let Some(known) = condition["set"].as_bool() {
        return format!("{name} is {}", if known { "known" } else { "not known" });
    }
    if let Some(values) = condition["in"].as_array() {
        let mut values: Vec<String> = values.iter().map(value).collect();
        values.dedup();
        return format!("{name} is {}", values.join(" or "));
    }
    let found = OPERATORS.iter().find_map(|(operator, words)| Some((words, condition.get(operator)?)));
    found.map_or_else(|| condition.to_string(), |(words, wanted)| format!("{name} {words} {}", value(wanted)))
}

/// How definitions read: with the names that people gave to events, and instants as clocks of a zone show them.
pub struct Wording<'a> {
    /// Names of events.
    pub names: &'a Dashboard,
    /// Of the days.
    pub zone: TimeZone,
}

impl Wording<'_> {
    /// Whom a report is narrowed to, as the end of a sentence; nothing if to nobody.
    pub fn only_people(&self, query: &Json) -> String {
        query
            .get("people")
            .map_or_else(String::new, |people| format!(". Only people: {}", self.audience(people)))
    }

    /// The steps of a funnel in words, with its window and what must not come.
    pub fn funnel(&self, query: &Json) -> String {
        let steps: Vec<String> = list(query, "steps").iter().map(|step| pattern(self.names, step)).collect();
        let steps = match query["order"].as_str() {
            Some("any") => format!("{}, in any order", steps.join(" and ")),
            Some("strict") => format!("{}, with nothing in between", steps.join(", next ")),
            _ => steps.join(", then "),
        };
        let within =
            query["within"].as_str().map(|w| format!(", all within {w} of the first")).unwrap_or_default();
        let excluded: Vec<String> = list(query, "exclude")
            .iter()
            .map(|one| format!("{} after step {}", pattern(self.names, one), number(&one["after"]).max(1)))
            .collect();
        let without =
            if excluded.is_empty() { String::new() } else { format!(", without {}", excluded.join(" or ")) };
        format!("{steps}{within}{without}")
    }

    /// Which people, in words.
    pub fn audience(&self, people: &Json) -> String {
        let joined = |all: &[Json], word: &str| {
            let parts: Vec<String> = all.iter().map(|one| self.audience(one)).collect();
            parts.join(word)
        };
        if let Some(all) = people["all"].as_array() {
            return joined(all, " and ");
        }
        if let Some(any) = people["any"].as_array() {
            return format!("({})", joined(any, " or "));
        }
        if let Some(inner) = people.get("not") {
            if is_robots(inner) {
                return "no robots".to_owned();
            }
            return format!("not: {}", self.audience(inner));
        }
        if let Some(robots) = people["bot"].as_bool() {
            return if robots { "robots".to_owned() } else { "no robots".to_owned() };
        }
        if people.get("did").is_some() {
            return self.did(people);
        }
        if people.get("property").is_some() {
            return if is_robots(people) { "robots".to_owned() } else { condition(people) };
        }
        if let Some(known) = people["identified"].as_bool() {
            return if known { "identified".to_owned() } else { "anonymous".to_owned() };
        }
        if let Some(name) = people["audience"].as_str() {
            return format!("in \u{201c}{name}\u{201d}");
        }
        if let Some(range) = people.get("seen") {
            return format!("seen{}", self.range(range));
        }
        if let Some(funnel) = people.get("funnel") {
            let outcome = people["outcome"].as_str().unwrap_or("reached").replace('_', " ");
            let at = people["step"].as_u64().map_or_else(String::new, |step| format!(" at step {step}"));
            let others = funnel.get("people").map(|people| format!(", of people: {}", self.audience(people)));
            let entered = Some(self.range(funnel)).filter(|range| !range.is_empty());
            return format!(
                "{outcome}{at} of {}{}{}",
                self.funnel(funnel),
                entered.map_or_else(String::new, |range| format!(", entered{range}")),
                others.unwrap_or_default()
            );
        }
        if let Some(cohort) = people.get("cohort") {
            let row = people.get("row").map_or_else(String::new, |row| format!(" {}", value(row)));
            let at = people["column"]
                .as_u64()
                .map_or_else(String::new, |column| format!(", back in period {column}"));
            let [start, back] = ["start", "return"].map(|name| pattern(self.names, &cohort[name]));
            return format!("in the cohort{row} of {start}, then {back}{at}");
        }
        people.to_string()
    }

    fn did(&self, people: &Json) -> String {
        let (events, met) = events_and_conditions(self.names, &people["did"], people);
        let (least, most) = (people["at_least"].as_u64().unwrap_or(1), people["at_most"].as_u64());
        let times = match (least, most) {
            (1, None) => String::new(),
            (least, None) => format!(" at least {least} times"),
            (least, Some(most)) if least == most => format!(" exactly {most} times"),
            (least, Some(most)) => format!(" {least} to {most} times"),
        };
        format!("did {events}{times}{met}{}", self.range(people))
    }

    /// The days of a range, with a space before them; nothing if there is none.
    pub fn range(&self, range: &Json) -> String {
        let given = |name: &str| range.get(name).filter(|text| text.as_str().is_some());
        let from = given("from").map(|from| {
            day_from(&self.zone, from).map_or_else(|| instant(&self.zone, from), |day| day.to_string())
        });
        // An answer has the instant behind the last one, a question may have the last day itself.
        let to = given("to").map(|to| match day_from(&self.zone, to).and_then(|day| day.yesterday().ok()) {
            Some(last) => (last.to_string(), true),
            None => (instant(&self.zone, to), to.as_str().is_some_and(|text| text.len() == 10)),
        });
        match (from, to) {
            (None, None) => String::new(),
            (Some(from), None) => format!(" from {from} on"),
            (None, Some((last, true))) => format!(" up to {last}"),
            (None, Some((end, false))) => format!(" before {end}"),
            (Some(from), Some((last, true))) if from == last => format!(" on {last}"),
            (Some(from), Some((last, true))) => format!(" from {from} to {last}"),
            (Some(from), Some((end, false))) => format!(" from {from} until {end}"),
        }
    }
}

/// The day of a zone that begins with an instant, if one does.
pub fn day_from(zone: &TimeZone, instant: &Json) -> Option<Date> {
    let at = instant.as_str()?.parse::<Timestamp>().ok()?.to_zoned(zone.clone());
    at.start_of_day().is_ok_and(|first| first == at).then(|| at.date())
}

/// Whether it is the list of robots, which answers have written out.
fn is_robots(people: &Json) -> bool {
    people["property"] == USER_AGENT
        && people["contains"].as_array().is_some_and(|marks| marks.iter().eq(MARKS.iter()))
}

/// A page in whose text characters that turn or hide others can be seen. Attributes keep them, so that forms send what they show; the
/// joiners that scripts and emoji need are left alone.
pub fn visible(page: &str) -> String {
    let deceives = |c: char| is_deceptive(c) || (c.is_control() && !matches!(c, '\n' | '\r' | '\t'));
    let (mut out, mut tag) = (String::with_capacity(page.len()), false);
    for c in page.chars() {
        // Angle brackets of texts and attributes are escaped: these are of tags.
        match c {
            '<' => tag = true,
            '>' => tag = false,
            _ => {}
        }
        if deceives(c) && !tag {
            out.push_str(&format!("[U+{:04X}]", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::model::json_of as json;

    use super::*;

    #[test]
    fn money_is_rounded_to_cents() {
        for (text, shown) in [
            ("454.399264", "454.40"),
            ("105", "105.00"),
            ("-9539.17", "\u{2212}9,539.17"),
            ("0.995", "1.00"),
            ("-0.001", "0.00"),
            ("1234567.8", "1,234,567.80"),
            ("strange", "strange"),
        ] {
            assert_eq!(money(&text.into()), shown, "{text}");
        }
    }

    #[test]
    fn what_deceives_can_be_seen() {
        let page = maud::html! { a title="a\u{202e}>b" { "c\u{202e}<d\u{200d}" } }.into_string();
        assert_eq!(visible(&page), "<a title=\"a\u{202e}&gt;b\">c[U+202E]&lt;d\u{200d}</a>");
    }

    #[test]
    fn definitions_are_sentences() {
        let people =
            json!({"all": [{"did": "Paid", "at_least": 2}, {"not": {"property": "Plan", "is": "Pro"}}]});
        let mut names = Dashboard::default();
        let words = |zone: &str, people: &Json| {
            Wording { names: &Dashboard::default(), zone: super::zone(zone) }.audience(people)
        };
        assert_eq!(words("", &people), "did Paid at least 2 times and not: Plan is Pro");
        let march = json!({"seen": {"from": "2025-02-28T23:00:00Z", "to": "2025-03-31T22:00:00Z"}});
        assert_eq!(words("Europe/Berlin", &march), "seen from 2025-03-01 to 2025-03-31");
        assert_eq!(words("Mars", &march), "seen from 2025-02-28 23:00 until 2025-03-31 22:00");
        let step = json!({"event": ["A", "B"], "where": [{"property": "Price", "gte": 5}]});
        assert_eq!(pattern(&names, &step), "A or B where Price is at least 5");
        let said = crate::app::Described { shown_as: "Bought".into(), ..Default::default() };
        names.describe("B", said).unwrap();
        assert_eq!(pattern(&names, &step), "A or Bought where Price is at least 5");
        let truth = json!({"event": "A", "where": [{"property": "P", "is_not": "true"}, {"property": "P", "is_not": true}]});
        assert_eq!(pattern(&names, &truth), "A where P is not true");
        assert_eq!(condition(&json!({"property": "P", "in": ["true", true, 1]})), "P is true or 1");
        let lost = json!({"funnel": {"steps": [{"event": "A"}, {"event": "C"}], "within": "7d", "from": "2025-03-01T00:00:00Z",
            "to": "2025-04-01T00:00:00Z", "exclude": [{"event": "X"}]}, "outcome": "lost", "step": 1});
        let said = "lost at step 1 of A, then C, all within 7d of the first, without X after step 1, entered from 2025-03-01 to 2025-03-31";
        assert_eq!(words("", &lost), said);
        assert_eq!(duration_of(172_800.0), "2 d");
        assert_eq!(
            [sentence("no event"), sentence("\"soon\" is"), sentence("")],
            ["No event", "\"soon\" is", ""]
        );
    }
}
