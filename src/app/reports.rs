//! Reports by their JSON: one way for HTTP and command line, so that both give the same answers to the same mistakes.

use std::sync::{PoisonError, RwLock};
use std::time::Instant;

use serde::Serialize;
use serde_json::json;

use crate::engine::Snapshot;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::properties::{Owner, ValueQuery};
use crate::exec::{Executor, Explanation, Run};
use crate::model::{Json, Millis, NameId};
use crate::report::{
    Cohort, CohortPeople, Definition, Funnel, FunnelPeople, Lifecycle, LifecyclePeople, Paths, PathsPeople,
    People, ProjectTime, Receipt, Revenue, RevenuePeople, Saved, Trend, TrendPeople,
};

/// Answers reports, keeping what it has decoded for the next one.
#[derive(Default)]
pub struct Reports {
    executor: Executor,
    saved: RwLock<Saved>,
    time: RwLock<ProjectTime>,
}

#[derive(Serialize)]
struct Answer<T> {
    #[serde(flatten)]
    answer: T,
    receipt: Receipt,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Explanation>,
    elapsed_ms: f64,
}

fn to_json<T: Serialize>(answer: &T) -> Result<String> {
    serde_json::to_string(answer)
        .map_err(|e| Error::new(ErrorKind::Io, "encoding", format!("cannot write the answer: {e}")))
}

/// One question: which report it is of, and what it is asked of.
struct Asked<'a> {
    report: &'a str,
    snapshot: &'a Snapshot,
    now: Millis,
    begin: Instant,
}

impl Asked<'_> {
    /// The answer as JSON, with its receipt.
    fn answer<T: Serialize>(&self, definition: &dyn Definition, run: Run<T>) -> Result<String> {
        let as_of = definition.basis().as_of(self.now);
        let answer = Answer {
            answer: run.answer,
            receipt: Receipt::new(self.report, definition, as_of, self.snapshot.rows()),
            explanation: Some(run.explanation).filter(|_| definition.basis().explain),
            elapsed_ms: (self.begin.elapsed().as_secs_f64() * 1e6).round() / 1e3,
        };
        if self.snapshot.damaged.is_empty() { to_json(&answer) } else { self.incomplete(&answer) }
    }

    /// The answer of a store of which segments are missing says so.
    fn incomplete<T: Serialize>(&self, answer: &Answer<T>) -> Result<String> {
        let mut answer = Json::parse(&to_json(answer)?)?;
        let mut warnings = answer["warnings"].as_array().map(<[_]>::to_vec).unwrap_or_default();
        warnings.extend(self.snapshot.damaged.iter().map(|damaged| {
            let message = format!("{} is damaged and left out, so numbers are too small", damaged.file);
            Json::object([
                ("at", damaged.file.as_str().into()),
                ("message", message.into()),
                ("hint", "put a sound copy from a backup in its place and restart".into()),
            ])
        }));
        answer.set("warnings", warnings.into());
        Ok(answer.to_string())
    }
}

impl Reports {
    /// Definitions may refer to what is in `saved`.
    pub fn new(saved: Saved) -> Self {
        Self::keeping(saved, None)
    }

    /// The same, keeping so many bytes of decoded rows, or as many as is right for the store.
    pub fn keeping(saved: Saved, cache_bytes: Option<usize>) -> Self {
        let (executor, time) = (Executor::keeping(cache_bytes), RwLock::new(saved.time.clone()));
        Self { executor, saved: RwLock::new(saved), time }
    }

    /// What definitions may refer to.
    pub fn saved(&self) -> Saved {
        let saved = self.saved.read().unwrap_or_else(PoisonError::into_inner).clone();
        Saved { time: self.time.read().unwrap_or_else(PoisonError::into_inner).clone(), ..saved }
    }

    /// Counts time in another way where definitions do not say it.
    pub fn count_time(&self, time: ProjectTime) {
        *self.time.write().unwrap_or_else(PoisonError::into_inner) = time;
    }

    /// Replaces what definitions may refer to by what `change` makes of it, one change at a time.
    pub fn change_saved(&self, change: impl FnOnce(&Saved) -> Result<Saved>) -> Result<()> {
        let mut saved = self.saved.write().unwrap_or_else(PoisonError::into_inner);
        *saved = change(&saved)?;
        Ok(())
    }

    /// Answers the JSON query of a report (`funnel`) or of the people of one (`funnel/people`).
    pub fn answer(&self, report: &str, snapshot: &Snapshot, query: &str, now: Millis) -> Result<String> {
        let asked = Asked { report, snapshot, now, begin: Instant::now() };
        let saved = self.saved();
        match report {
            "funnel" => {
                let funnel = Funnel::from_json(query, &saved)?;
                asked.answer(&funnel, self.executor.funnel(snapshot, &funnel, now)?)
            }
            "cohort" => {
                let cohort = Cohort::from_json(query, &saved)?;
                asked.answer(&cohort, self.executor.cohort(snapshot, &cohort, now)?)
            }
            "cohort/people" => {
                let list = CohortPeople::from_json(query, &saved)?;
                asked.answer(&list.cohort, self.executor.cohort_people(snapshot, &list, now)?)
            }
            "funnel/people" => {
                let list = FunnelPeople::from_json(query, &saved)?;
                asked.answer(&list.funnel, self.executor.funnel_people(snapshot, &list, now)?)
            }
            "paths" => {
                let paths = Paths::from_json(query, &saved)?;
                asked.answer(&paths, self.executor.paths(snapshot, &paths, now)?)
            }
            "paths/people" => {
                let list = PathsPeople::from_json(query, &saved)?;
                asked.answer(&list.paths, self.executor.paths_people(snapshot, &list, now)?)
            }
            "revenue" => {
                let revenue = Revenue::from_json(query, &saved)?;
                asked.answer(&revenue, self.executor.revenue(snapshot, &revenue, now)?)
            }
            "revenue/people" => {
                let list = RevenuePeople::from_json(query, &saved)?;
                asked.answer(&list.revenue, self.executor.revenue_people(snapshot, &list, now)?)
            }
            "people" => {
                let people = People::from_json(query, &saved)?;
                asked.answer(&people, self.executor.people(snapshot, &people, now)?)
            }
            "trend" => {
                let trend = Trend::from_json(query, &saved)?;
                asked.answer(&trend, self.executor.trend(snapshot, &trend, now)?)
            }
            "trend/people" => {
                let list = TrendPeople::from_json(query, &saved)?;
                asked.answer(&list.trend, self.executor.trend_people(snapshot, &list, now)?)
            }
            "lifecycle" => {
                let lifecycle = Lifecycle::from_json(query, &saved)?;
                asked.answer(&lifecycle, self.executor.lifecycle(snapshot, &lifecycle, now)?)
            }
            "lifecycle/people" => {
                let list = LifecyclePeople::from_json(query, &saved)?;
                asked.answer(&list.lifecycle, self.executor.lifecycle_people(snapshot, &list, now)?)
            }
            _ => Err(Error::new(
                ErrorKind::NotFound,
                "no_such_report",
                format!("there is no report \"{report}\""),
            )),
        }
    }

    /// A person's profile.
    pub fn person(&self, snapshot: &Snapshot, identity: &str, now: Millis) -> Result<String> {
        to_json(&self.executor.profile(snapshot, identity, now)?)
    }

    /// The first identifies that made a person.
    pub fn links(&self, snapshot: &Snapshot, identity: &str, limit: usize) -> Result<String> {
        to_json(&self.executor.links(snapshot, identity, limit)?)
    }

    /// A page of a person's time line.
    pub fn timeline(
        &self,
        snapshot: &Snapshot,
        identity: &str,
        now: Millis,
        event: Option<&str>,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<String> {
        to_json(&self.executor.timeline(snapshot, identity, now, event, limit, cursor)?)
    }

    /// The properties of people, of events or of both.
    pub fn properties(&self, snapshot: &Snapshot, of: Option<Owner>) -> Result<String> {
        to_json(&self.executor.properties(snapshot, of)?)
    }

    /// The first `most` names of these, in their order.
    pub fn property_names(&self, snapshot: &Snapshot, of: Option<Owner>, most: usize) -> Result<Vec<String>> {
        self.executor.property_names(snapshot, of, most)
    }

    /// The values of a property.
    pub fn property_values(&self, snapshot: &Snapshot, query: &ValueQuery, now: Millis) -> Result<String> {
        to_json(&self.executor.property_values(snapshot, query, now)?)
    }

    /// Every event with its counts.
    pub fn events(&self, snapshot: &Snapshot, now: Millis) -> Result<String> {
        to_json(&self.executor.events(snapshot, now)?)
    }

    /// A part of these: `limit` of them, or as many as an answer has room for, from where `cursor` says.
    pub fn events_part(
        &self,
        snapshot: &Snapshot,
        now: Millis,
        limit: Option<usize>,
        cursor: Option<&str>,
    ) -> Result<String> {
        to_json(&self.executor.events_part(snapshot, now, limit, cursor)?)
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
            "identities": snapshot.persons.identities() - snapshot.persons.erased(),
            "event_names": snapshot.catalog.events().count(),
            "property_names": snapshot.catalog.properties().count(),
            "segments": snapshot.segments.len(),
            "damaged_segments": snapshot.damaged.len(),
            "memory_rows": snapshot.recent_rows(),
            "cached_bytes": self.executor.cached_bytes(),
        })
    }
}

/// An error if `query` is no query of `report`.
pub fn check_query(report: &str, query: &str, saved: &Saved) -> Result<()> {
    match report {
        "funnel" => Funnel::from_json(query, saved).map(drop),
        "cohort" => Cohort::from_json(query, saved).map(drop),
        "revenue" => Revenue::from_json(query, saved).map(drop),
        "trend" => Trend::from_json(query, saved).map(drop),
        "paths" => Paths::from_json(query, saved).map(drop),
        "lifecycle" => Lifecycle::from_json(query, saved).map(drop),
        "people" => People::from_json(query, saved).map(drop),
        _ => {
            let message = format!("there is no report \"{report}\"");
            let hint = "funnel, cohort, revenue, trend, paths, lifecycle or people";
            Err(Error::invalid("no_such_report", message).hint(hint))
        }
    }
}
