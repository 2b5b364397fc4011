//! Reports by their JSON: one way for HTTP and command line, so that both give the same answers to the same mistakes.

use std::time::Instant;

use serde::Serialize;
use serde_json::json;

use crate::engine::Snapshot;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::Executor;
use crate::model::{Millis, NameId};
use crate::report::{Funnel, FunnelPeople};

/// Answers reports, keeping what it has decoded for the next one.
#[derive(Default)]
pub struct Reports {
    executor: Executor,
}

#[derive(Serialize)]
struct Timed<T> {
    #[serde(flatten)]
    answer: T,
    elapsed_ms: f64,
}

fn to_json<T: Serialize>(answer: &T) -> Result<String> {
    serde_json::to_string(answer)
        .map_err(|e| Error::new(ErrorKind::Io, "encoding", format!("cannot write the answer: {e}")))
}

fn timed<T: Serialize>(begin: Instant, answer: T) -> Result<String> {
    let elapsed_ms = (begin.elapsed().as_secs_f64() * 1e6).round() / 1e3;
    to_json(&Timed { answer, elapsed_ms })
}

impl Reports {
    /// Answers a funnel query.
    pub fn funnel(&self, snapshot: &Snapshot, query: &str, now: Millis) -> Result<String> {
        let begin = Instant::now();
        timed(begin, self.executor.funnel(snapshot, &Funnel::from_json(query)?, now)?)
    }

    /// Lists the people behind a number of a funnel.
    pub fn funnel_people(&self, snapshot: &Snapshot, query: &str, now: Millis) -> Result<String> {
        let begin = Instant::now();
        timed(begin, self.executor.funnel_people(snapshot, &FunnelPeople::from_json(query)?, now)?)
    }

    /// A person's profile.
    pub fn person(&self, snapshot: &Snapshot, identity: &str) -> Result<String> {
        to_json(&self.executor.profile(snapshot, identity)?)
    }

    /// A page of a person's time line.
    pub fn timeline(
        &self,
        snapshot: &Snapshot,
        identity: &str,
        event: Option<&str>,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<String> {
        to_json(&self.executor.timeline(snapshot, identity, event, limit, cursor)?)
    }

    /// Every event with its counts.
    pub fn events(&self, snapshot: &Snapshot) -> Result<String> {
        to_json(&self.executor.events(snapshot)?)
    }

    /// Counts and sizes of what a snapshot holds.
    pub fn stats(&self, snapshot: &Snapshot) -> serde_json::Value {
        let (sets, identifies) = (snapshot.rows_of(NameId::SET), snapshot.rows_of(NameId::IDENTIFY));
        json!({
            "records": snapshot.rows(),
            "events": snapshot.rows() - sets - identifies,
            "sets": sets,
            "identifies": identifies,
            "people": snapshot.persons.persons(),
            "identities": snapshot.persons.identities(),
            "event_names": snapshot.catalog.events().count(),
            "property_names": snapshot.catalog.properties().count(),
            "segments": snapshot.segments.len(),
            "memory_rows": snapshot.recent_rows(),
            "cached_bytes": self.executor.cached_bytes(),
        })
    }
}
