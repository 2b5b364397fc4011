//! The Kissmetrics wire: what the tracking routes receive, as records. It takes what real clients send (empty
//! pairs, keys without a value, text that is no UTF-8) and says why when it cannot.

use std::collections::BTreeMap;
use std::fmt::Display;

use serde_json::{json, value::RawValue};

use super::message::{Method, Request, Response, http_date};
use super::pairs::pairs;
use super::respond;
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::model::{Millis, Number, Record, RecordKind, Value, few_values, mend_json};
use crate::transfer::kissmetrics::is_reserved;

/// An image of one transparent pixel. Trackers wait for it to load, so it has to decode.
pub const PIXEL: &[u8; 43] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

/// Above this a `_t` counts milliseconds: as seconds it would lie in the year 5138.
const MILLISECONDS_ABOVE: i128 = 100_000_000_000;

/// How old a record may be that a browser kept: 30 days.
const AGE_MAX_MS: u32 = 30 * 86_400_000;
/// Clocks that differ by less show the same time: more than a slow request takes, less than what a clock that nobody
/// sets is off.
const CLOCKS_AGREE_MS: u64 = 10_000;

/// A tracking request, read.
#[derive(Debug)]
pub struct Collected {
    /// The write key that came with it (`_k`).
    pub key: Option<String>,
    /// The person (`_p`), for the list of refusals.
    pub person: Option<String>,
    /// The event or other identity (`_n`), for the list of refusals.
    pub name: Option<String>,
    /// What the person's browser calls itself: the one that sent this, or the one that a server passes on (`_ua`).
    pub agent: Option<String>,
    /// Whether the sender wants the outcome as JSON instead of the pixel.
    pub wants_json: bool,
    /// The record, not yet checked, or why there is none.
    pub record: Result<Record>,
}

/// What became of a tracking request.
#[derive(Debug)]
pub enum Outcome<'a> {
    /// It is durable.
    Stored,
    /// The same record was there before.
    Duplicate,
    /// It is durable, but the two identified people that it names stay apart.
    MergeRefused,
    /// It was not stored.
    Refused(&'a Error),
}

#[derive(Default)]
struct Reserved {
    key: Option<String>,
    person: Option<String>,
    name: Option<String>,
    time: Option<String>,
    id: Option<String>,
    age: Option<String>,
    agent: Option<String>,
    use_time: bool,
    debug: bool,
}

/// Reads a request to `/e` (an event), `/s` (a set) or `/a` (an identify). Of a parameter given twice the last
/// one stands, and the body stands over the query string. `now` is when it came.
pub fn read(kind: RecordKind, request: &Request, now: Millis) -> Collected {
    let mut reserved = Reserved::default();
    let mut properties = Vec::new();
    let query = take_pairs(request.query.as_bytes(), &mut reserved, &mut properties);
    let body = take_body(request, &mut reserved, &mut properties);
    let record = query.and(body).and_then(|()| {
        let identity = required(reserved.person.clone(), "_p", "bad_identity", "the identity of the person")?;
        let name = match kind {
            RecordKind::Event => required(reserved.name.clone(), "_n", "bad_event", "the name of the event")?,
            RecordKind::Identify => {
                properties.clear();
                required(reserved.name.clone(), "_n", "bad_identity", "the other identity")?
            }
            RecordKind::Set => String::new(),
        };
        let time = match (reserved.use_time, &reserved.age) {
            (true, _) => read_time(reserved.time.as_deref())?,
            (false, Some(age)) => Some(made(age, reserved.time.as_deref(), now)?),
            (false, None) => None,
        };
        Ok(Record { kind, identity, name, time, properties, id: reserved.id })
    });
    let wants_json = reserved.debug || request.accepts_json();
    let agent = reserved.agent.or_else(|| request.headers.get("user-agent").map(str::to_owned));
    Collected { agent, key: reserved.key, person: reserved.person, name: reserved.name, wants_json, record }
}

/// The answer to a tracking request: the pixel whatever happened, unless the store could not store (the sender has
/// to try again) or JSON was asked for.
pub fn answer(wants_json: bool, outcome: &Outcome<'_>) -> Response {
    let failed = match outcome {
        Outcome::Refused(error) => Some(*error),
        _ => None,
    };
    let status = failed.map_or(200, |error| match error.code() {
        "bad_content_type" => 415,
        _ => respond::status(error.kind()),
    });
    let response = match failed {
        // Browsers call an image with an error status loaded if it decodes, so this must be no image.
        Some(error) if error.is_passing() => respond::error(error),
        _ if !wants_json => Response::new(200, "image/gif", PIXEL.as_slice()),
        Some(error) => {
            let body = json!({ "status": "refused", "reason": error.code(), "error": respond::value(error) });
            Response::new(status, "application/json", body.to_string().into_bytes())
        }
        None => Response::json(stored_json(outcome).to_string()),
    };
    response.with("Cache-Control", "no-store")
}

/// For how long an app may keep what [`mobile_settings`] says, in milliseconds.
const SETTINGS_KEPT_MS: Millis = 86_400_000;

/// What apps ask for before they send anything: where to send to. Whatever key they have, as what comes with a wrong one is counted.
pub fn mobile_settings(request: &Request, now: Millis) -> Response {
    let host = request.headers.get("host").unwrap_or("localhost");
    let settings = json!({ "reason": "OK", "tracking": true, "tracking_endpoint": host });
    let response = Response::json(settings.to_string());
    match http_date(now + SETTINGS_KEPT_MS) {
        Some(until) => response.with_value("Expires", until).unwrap_or_else(|e| respond::error(&e)),
        None => response,
    }
}

/// What to tell of a record that was taken.
fn stored_json(outcome: &Outcome<'_>) -> serde_json::Value {
    match outcome {
        Outcome::Duplicate => json!({ "status": "duplicate" }),
        Outcome::MergeRefused => json!({
            "status": "stored",
            "merged": false,
            "reason": "merge_refused",
            "hint": "the identity it came under belongs to an identified person; POST /api/v1/people/{identity}/merge joins them",
        }),
        Outcome::Stored | Outcome::Refused(_) => json!({ "status": "stored" }),
    }
}

/// Takes the pairs of a query string or a form. All that is reserved is taken even if the rest is too much, as of JSON.
fn take_pairs(input: &[u8], reserved: &mut Reserved, properties: &mut Vec<(String, Value)>) -> Result<()> {
    for (name, value) in pairs(input) {
        if is_reserved(&name) {
            reserved.take(&name, value);
        } else if properties.len() <= limits::PARAMETERS_MAX {
            properties.push((name, Value::from_wire(&value)));
        }
    }
    if properties.len() <= limits::PARAMETERS_MAX {
        return Ok(());
    }
    let message = format!("there are more than {} parameters", limits::PARAMETERS_MAX);
    Err(Error::new(ErrorKind::TooLarge, "too_many_properties", message))
}

/// Takes the fields of a JSON object, of which properties keep their types. All that is reserved is taken even if a property is bad: a
/// refusal is counted under its key.
fn take_json(body: &[u8], reserved: &mut Reserved, properties: &mut Vec<(String, Value)>) -> Result<()> {
    let no_object = |e: &dyn Display| {
        Error::new(ErrorKind::Malformed, "bad_json", format!("the body is no JSON object: {e}"))
    };
    let text = std::str::from_utf8(body).map_err(|e| no_object(&e))?;
    few_values(text)?;
    let text = mend_json(text);
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(&text).map_err(|e| no_object(&e))?;
    let mut bad = None;
    for (name, raw) in fields {
        match Value::from_json(raw.get()) {
            Ok(None) => {}
            Ok(Some(value)) if is_reserved(&name) => reserved.take(&name, value.to_string()),
            Ok(Some(value)) => properties.push((name, value)),
            Err(error) => bad = bad.or(Some(error.at(name))),
        }
    }
    bad.map_or(Ok(()), Err)
}

/// Takes a form or a JSON object. `sendBeacon` calls both plain text; no form begins with a brace or a bracket.
fn take_body(
    request: &Request,
    reserved: &mut Reserved,
    properties: &mut Vec<(String, Value)>,
) -> Result<()> {
    if request.method != Method::Post || request.body.is_empty() {
        return Ok(());
    }
    match request.media_type().as_deref() {
        None | Some("application/x-www-form-urlencoded" | "text/plain" | "application/json") => {}
        Some(_) => {
            return Err(Error::new(
                ErrorKind::Malformed,
                "bad_content_type",
                "the body is no form and no JSON",
            )
            .at("Content-Type")
            .hint("send application/x-www-form-urlencoded, or the parameters in the query string"));
        }
    }
    if matches!(request.body.trim_ascii_start(), [b'{' | b'[', ..]) {
        return take_json(&request.body, reserved, properties);
    }
    take_pairs(&request.body, reserved, properties)
}

impl Reserved {
    fn take(&mut self, name: &str, value: String) {
        match name {
            "_k" => self.key = Some(value),
            "_p" => self.person = Some(value),
            "_n" => self.name = Some(value),
            "_t" => self.time = Some(value),
            "_i" => self.id = Some(value).filter(|id| !id.is_empty()),
            "_ua" => self.agent = Some(value),
            "_o" => self.age = Some(value),
            "_d" => self.use_time = value == "1",
            "_debug" => self.debug = value == "1",
            _ => {}
        }
    }
}

fn required(value: Option<String>, name: &str, code: &'static str, what: &str) -> Result<String> {
    value.filter(|text| !text.trim().is_empty()).ok_or_else(|| {
        Error::invalid(code, format!("{name} is missing")).at(name).hint(format!("send {what} as {name}"))
    })
}

/// `_t` in milliseconds; without one the server's clock decides.
fn read_time(text: Option<&str>) -> Result<Option<Millis>> {
    let text = text.unwrap_or("").trim();
    if text.is_empty() {
        return Ok(None);
    }
    let millis = Number::parse_plain(text).and_then(|number| {
        let unit = 10i128.checked_pow(u32::from(number.scale()))?;
        let is_millis = number.mantissa() > MILLISECONDS_ABOVE.checked_mul(unit)?;
        let factor = if is_millis { 1 } else { 1000 };
        // Towards the past: a fraction of a millisecond is dropped.
        Millis::try_from(number.mantissa().checked_mul(factor)?.div_euclid(unit)).ok()
    });
    match millis {
        Some(millis) => Ok(Some(millis)),
        None => Err(Error::invalid("bad_time", "_t is no Unix time")
            .at("_t")
            .hint("send Unix seconds, or leave out _d=1 to let this server's clock decide")),
    }
}

/// When a browser made a record: by its own clock if that agrees with ours, and else so long ago by ours. Its own is
/// better, as what we see includes the way here, which is longest for the first record of a page.
fn made(age: &str, time: Option<&str>, now: Millis) -> Result<Millis> {
    let age = age.parse::<u32>().ok().filter(|age| *age <= AGE_MAX_MS).ok_or_else(|| {
        Error::invalid("bad_time", "_o is no age in milliseconds, of at most 30 days").at("_o")
    })?;
    let ours = now.saturating_sub(Millis::from(age));
    let theirs = read_time(time).ok().flatten();
    Ok(theirs.filter(|theirs| theirs.abs_diff(ours) <= CLOCKS_AGREE_MS).unwrap_or(ours))
}

#[cfg(test)]
mod tests {
    use super::super::message::Headers;
    use super::*;

    fn request(method: Method, query: &str, body: &[u8], headers: &[(&str, &str)]) -> Request {
        let mut all = Headers::default();
        headers.iter().for_each(|(name, value)| all.push(name, value));
        let peer = std::net::IpAddr::from([127, 0, 0, 1]);
        let (path, query) = ("/e".to_owned(), query.to_owned());
        Request { method, path, query, headers: all, body: body.to_vec(), peer }
    }

    fn event(query: &str) -> Record {
        read(RecordKind::Event, &request(Method::Get, query, b"", &[]), 0).record.unwrap()
    }

    fn property<'a>(record: &'a Record, name: &str) -> Option<&'a Value> {
        record.properties.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    #[test]
    fn an_event_with_all_that_real_clients_send() {
        let query = "?_p=jane%40x.com&&_n=Signed+Up&Plan%20Name=Pro+1&price=-49.99&flag&=lost&_c=mobile&_x=1&+_y=2&%20_campaign=3\
                     &caf%C3%A9=a=b,c:d&bad=%ff%zz&Plan%20Name=Last&list[0]=a&_k=KEY";
        let read = read(RecordKind::Event, &request(Method::Get, &query[1..], b"", &[]), 0);
        assert_eq!(read.key.as_deref(), Some("KEY"));
        assert!(!read.wants_json);
        let record = read.record.unwrap();
        assert_eq!((record.identity.as_str(), record.name.as_str()), ("jane@x.com", "Signed Up"));
        assert_eq!(property(&record, "Plan Name"), Some(&Value::from("Last")));
        assert_eq!(property(&record, "price"), Some(&Value::from_wire("-49.99")));
        assert_eq!(property(&record, "flag"), Some(&Value::from("")));
        assert_eq!(property(&record, "caf\u{e9}"), Some(&Value::from("a=b,c:d")));
        assert_eq!(property(&record, "bad"), Some(&Value::from("\u{ff}%zz")));
        assert_eq!(property(&record, "list[0]"), Some(&Value::from("a")));
        let record = record.checked(crate::model::Admission::usual(0)).unwrap();
        assert_eq!(record.properties.len(), 6, "{:?}", record.properties);
    }

    #[test]
    fn the_time_counts_only_with_d_1() {
        for (pairs, millis) in [
            ("_t=1740823200", None),
            ("_t=1740823200&_d=0", None),
            ("_d=1", None),
            ("_d=1&_t=", None),
            ("_t=1740823200&_d=1", Some(1_740_823_200_000)),
            ("_d=1&_t=1740823200.1259", Some(1_740_823_200_125)),
            ("_d=1&_t=1740823200125", Some(1_740_823_200_125)),
            ("_d=1&_t=1740823200125.9", Some(1_740_823_200_125)),
            ("_d=1&_t=100000000000", Some(100_000_000_000_000)),
            ("_d=1&_t=-0.0005", Some(-1)),
        ] {
            assert_eq!(event(&format!("_p=a&_n=b&{pairs}")).time, millis, "{pairs}");
        }
        for bad in ["yesterday", "1e9", "99999999999999999999999999", "2025-03-01"] {
            let request = request(Method::Get, &format!("_p=a&_n=b&_d=1&_t={bad}"), b"", &[]);
            assert_eq!(read(RecordKind::Event, &request, 0).record.unwrap_err().code(), "bad_time", "{bad}");
        }
    }

    #[test]
    fn a_record_may_have_an_id() {
        assert_eq!(event("_p=a&_n=b&_i=x-1").id.as_deref(), Some("x-1"));
        assert_eq!((event("_p=a&_n=b&_i=").id, event("_p=a&_n=b").id), (None, None));
    }

    #[test]
    fn the_clock_of_a_browser_counts_if_it_agrees_with_ours() {
        let at = |pairs: &str| {
            let request = request(Method::Get, &format!("_p=a&_n=b&{pairs}"), b"", &[]);
            read(RecordKind::Event, &request, 1_740_823_200_000).record.map(|record| record.time)
        };
        for (pairs, millis) in [
            ("_o=0&_t=1740823199.750", 1_740_823_199_750),
            ("_o=5000&_t=1740823194.5", 1_740_823_194_500),
            ("_o=5000&_t=1740823200", 1_740_823_200_000),
            ("_o=5000&_t=1740826800", 1_740_823_195_000),
            ("_o=5000&_t=0", 1_740_823_195_000),
            ("_o=5000&_t=never", 1_740_823_195_000),
            ("_o=5000", 1_740_823_195_000),
            ("_o=5000&_t=1740000000&_d=1", 1_740_000_000_000),
        ] {
            assert_eq!(at(pairs).unwrap(), Some(millis), "{pairs}");
        }
        for bad in ["_o=-1", "_o=", "_o=1.5", "_o=2592000001"] {
            assert_eq!(at(bad).unwrap_err().code(), "bad_time", "{bad}");
        }
    }

    #[test]
    fn an_alias_joins_two_identities_and_has_no_properties() {
        let request = request(Method::Get, "_k=K&_p=anon&_n=jane&_t=1&x=1", b"", &[]);
        let record = read(RecordKind::Identify, &request, 0).record.unwrap();
        assert_eq!((record.identity.as_str(), record.name.as_str()), ("anon", "jane"));
        assert!(record.properties.is_empty() && record.time.is_none());
    }

    #[test]
    fn a_form_body_stands_over_the_query_string() {
        for kind in [None, Some("application/x-www-form-urlencoded; charset=utf-8"), Some("text/plain;x=y")] {
            let headers: Vec<_> = kind.iter().map(|kind| ("content-type", *kind)).collect();
            let request = request(Method::Post, "_k=K&_p=a&Plan=x", "_n=caf\u{e9}&_p=b".as_bytes(), &headers);
            let read = read(RecordKind::Event, &request, 0);
            let record = read.record.unwrap();
            assert_eq!((record.identity.as_str(), record.name.as_str()), ("b", "caf\u{e9}"));
            assert_eq!((read.key.as_deref(), record.properties.len()), (Some("K"), 1));
        }
        let headers = [("Content-Type", "multipart/form-data; boundary=x")];
        let request = request(Method::Post, "_k=K&_p=a&_n=b", b"{}", &headers);
        let read = read(RecordKind::Event, &request, 0);
        assert_eq!(read.record.unwrap_err().code(), "bad_content_type");
        assert_eq!(read.key.as_deref(), Some("K"), "the refusal is counted under its key");
    }

    #[test]
    fn a_json_body_has_the_same_parameters_with_their_types() {
        for kind in [None, Some("application/json; charset=utf-8"), Some("text/plain")] {
            let headers: Vec<_> = kind.iter().map(|kind| ("content-type", *kind)).collect();
            let body = br#" {"_k":"K","_p":7,"_n":"Paid","_t":1300000000.5,"_d":1,"_x":1,"Code":"007","Revenue":9.90,"VIP":true,"No":null}"#;
            let read = read(RecordKind::Event, &request(Method::Post, "_p=a&Plan=x", body, &headers), 0);
            let record = read.record.unwrap();
            assert_eq!((read.key.as_deref(), record.identity.as_str()), (Some("K"), "7"));
            assert_eq!((record.name.as_str(), record.time), ("Paid", Some(1_300_000_000_500)));
            let text: Vec<String> =
                record.properties.iter().map(|(name, value)| format!("{name}={}", value.to_json())).collect();
            assert_eq!(text, ["Plan=\"x\"", "Code=\"007\"", "Revenue=9.9", "VIP=true"]);
        }
        for (body, code) in
            [(&br#"{"a":[1],"_k":"K","_p":"a"}"#[..], "bad_value"), (br#"{"_k":"K""#, "bad_json")]
        {
            let read = read(RecordKind::Event, &request(Method::Post, "_n=b", body, &[]), 0);
            assert_eq!(read.record.unwrap_err().code(), code);
            assert_eq!(read.key.is_some(), code == "bad_value");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (kind, query, code, at) in [
            (RecordKind::Event, "_n=b", "bad_identity", "_p"),
            (RecordKind::Event, "_p=a&_n=+", "bad_event", "_n"),
            (RecordKind::Set, "_p=&x=1", "bad_identity", "_p"),
            (RecordKind::Identify, "_p=a", "bad_identity", "_n"),
        ] {
            let error = read(kind, &request(Method::Get, query, b"", &[]), 0).record.unwrap_err();
            assert_eq!((error.code(), error.place()), (code, Some(at)), "{query}");
        }
    }

    #[test]
    fn the_answer_is_a_pixel_unless_the_store_failed() {
        let refused = Error::invalid("bad_event", "_n is missing");
        for outcome in [Outcome::Stored, Outcome::Duplicate, Outcome::Refused(&refused)] {
            let response = answer(false, &outcome);
            assert_eq!((response.status, response.content_type.as_ref()), (200, "image/gif"));
            assert_eq!(response.bytes(), PIXEL);
            assert_eq!(response.headers().next(), Some(("Cache-Control", "no-store")));
        }
        let full = Error::new(ErrorKind::Full, "disk_full", "the disk is full");
        let response = answer(false, &Outcome::Refused(&full));
        assert_eq!((response.status, response.content_type.as_ref()), (507, "application/json"));
    }

    #[test]
    fn the_outcome_in_json_has_its_true_status() {
        let debug = request(Method::Get, "_debug=1", b"", &[]);
        assert!(read(RecordKind::Set, &debug, 0).wants_json);
        let accept = request(Method::Get, "", b"", &[("Accept", "text/html, application/json;q=0.5")]);
        assert!(read(RecordKind::Set, &accept, 0).wants_json);
        let refused = Error::invalid("bad_event", "_n is missing").at("_n");
        let response = answer(true, &Outcome::Refused(&refused));
        let text = String::from_utf8(response.bytes().to_vec()).unwrap();
        assert_eq!(response.status, 422);
        assert!(text.contains(r#""status":"refused""#) && text.contains(r#""reason":"bad_event""#), "{text}");
        assert_eq!(answer(true, &Outcome::Stored).bytes(), br#"{"status":"stored"}"#);
    }
}
