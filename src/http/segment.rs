//! The routes of the Segment HTTP API: who may send, what is answered. What messages mean is in `transfer::segment`.

use std::time::{Duration, Instant};

use serde_json::json;

use super::auth;
use super::front::Budget;
use super::message::{Request, Response};
use super::projects::{Project, Projects};
use super::respond;
use crate::app::Sent;
use crate::error::{Error, Result};
use crate::limits;
use crate::model::Admission;
use crate::transfer::segment::{self, Kind, Message};
use crate::transfer::unpack;

/// How long a packed body waits for others.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(5);

/// Answers a call of `kind`, or of a batch. What is unpacked is held within `unpacking`, large or not, until it is stored. `allowed` checks a presented key that sends so many messages to its project.
pub fn answer(
    projects: &Projects,
    kind: Option<Kind>,
    request: &Request,
    unpacking: &[Budget; 2],
    allowed: impl Fn(&Project, Option<&str>, usize) -> Result<()>,
) -> Response {
    match store(projects, kind, request, unpacking, allowed) {
        // A message that is refused is counted and can be looked at; sending it again would not help.
        Ok(()) => Response::json(json!({ "success": true }).to_string()),
        Err(error) => {
            // Segment's clients and RudderStack's look for the two in different places.
            let body = json!({
                "success": false,
                "code": error.code(),
                "message": error.message(),
                "error": respond::value(&error),
            });
            let body = body.to_string();
            let response =
                Response::new(respond::status(error.kind()), "application/json", body.into_bytes());
            if error.is_passing() { response.with("Retry-After", "5") } else { response }
        }
    }
}

fn store(
    projects: &Projects,
    kind: Option<Kind>,
    request: &Request,
    unpacking: &[Budget; 2],
    allowed: impl Fn(&Project, Option<&str>, usize) -> Result<()>,
) -> Result<()> {
    let presented = auth::presented(request).filter(|key| !key.is_empty());
    let presented = presented.or_else(|| request.parameter("writeKey"));
    // The key may be in the body, so that is looked at first; what it says counts only after the key.
    let [mut large, mut small] = unpacking.each_ref().map(Budget::reserve);
    let until = Instant::now() + PATIENCE;
    let text = unpack::decode(&request.body, |bytes| {
        // Large ones that waited with a part of the room in hand would keep each other from ever having enough.
        if bytes > limits::UNPACKED_SMALL_BYTES {
            return large.grow_to(limits::UNPACKED_LARGE_BYTES);
        }
        while !small.grow_to(bytes) {
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(PAUSE);
        }
        true
    });
    // The key may be in what could not be looked at yet.
    if let Err(error) = &text
        && error.is_passing()
    {
        return Err(error.again());
    }
    let key = presented.or_else(|| segment::write_key(text.as_ref().ok()?));
    let project = projects.of_key(key.as_deref());
    let dashboard = project.app.dashboard();
    let admission = Admission { now: project.app.now(), nobody: &dashboard.nobody };
    let read = text.and_then(|text| segment::read(&text, kind, admission));
    let refused = |error: &Error| project.app.refuse(error, "", "");
    let count = read.as_ref().map_or(0, Vec::len);
    allowed(&project, key.as_deref(), count).inspect_err(refused)?;
    let messages = read.inspect_err(refused)?;
    let mut records = Vec::new();
    for message in messages {
        match message {
            Ok(Message { records: of_message, agent }) => {
                records.extend(of_message.into_iter().map(|record| Sent { record, agent: agent.clone() }));
            }
            Err(refused) => project.app.refuse(&refused.error, &refused.person, &refused.event),
        }
    }
    project.app.track_all(records)
}

/// What a browser's client asks for before it sends: where to send to.
pub fn settings(request: &Request, key: &str) -> Response {
    let host = request.headers.get("host").unwrap_or("localhost");
    let proto = request.scheme();
    let settings = json!({
        "integrations": { "Segment.io": {
            "apiKey": key,
            "apiHost": format!("{host}/v1"),
            "protocol": proto,
            "unbundledIntegrations": [],
            "addBundledMetadata": true,
        } },
        "plan": { "track": {}, "identify": {}, "group": {} },
        "edgeFunction": {},
        "analyticsNextEnabled": true,
        "middlewareSettings": {},
        "enabledMiddleware": {},
        "metrics": { "sampleRate": 0 },
        "legacyVideoPluginsEnabled": false,
        "remotePlugins": [],
    });
    // It names the host that was asked, whichever that is, so what one is told is nothing for others.
    Response::json(settings.to_string()).with("Cache-Control", "private, max-age=300")
}
