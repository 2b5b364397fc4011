//! Answers reports from snapshots: who can matter, what each of them did, and counts that add up.

mod active;
mod amounts;
mod attempt;
mod audience;
mod binder;
mod cell;
mod cohort;
mod cohort_masks;
mod events;
mod fitting;
mod funnel;
mod funnel_fast;
mod funnel_plan;
mod funnel_walk;
mod kept;
mod labels;
mod lifecycle;
mod lifetime;
mod listing;
mod mask_counter;
mod overlay;
mod paths;
pub(crate) mod pauses;
mod people;
mod person;
mod person_values;
mod persons;
mod profile;
pub mod properties;
mod revenue;
mod revenue_columns;
mod rows;
mod scope;
mod settled;
mod several;
mod source;
mod split;
mod trend;
mod units;

use std::sync::{Arc, Mutex, PoisonError};

pub use cohort::{CohortPeoplePage, CohortPerson};
pub use events::{EventCount, EventList};
pub use funnel::{ChosenEvent, FunnelPeoplePage, FunnelPerson, Stopped};
pub use listing::{Listed, PeoplePage};
pub use people::{Found, PeopleReport};
pub use person::{Link, Timeline, TimelineEvent};
pub use profile::{Change, Count, History, Profile};
pub use rows::{StoredRow, events_before, rows_of_person, span_of, stored_rows};
pub use scope::Explanation;

use crate::disk::system::memory_available;
use crate::engine::Snapshot;
use crate::error::Result;
use crate::limits;
use crate::model::{Millis, NameId};
use crate::report::{
    Cohort, CohortPeople, CohortReport, Funnel, FunnelPeople, FunnelReport, Paths, PathsPeople, PathsReport,
    People, Revenue, RevenuePeople, RevenueReport,
};
use crate::report::{Lifecycle, LifecyclePeople, LifecycleReport, Trend, TrendPeople, TrendReport};
use cohort::CohortPlan;
use funnel_plan::FunnelPlan;
use lifecycle::LifecyclePlan;
use overlay::Overlay;
use paths::PathsPlan;
use properties::{Owner, PropertyList, PropertyValues, ValueQuery};
use revenue::RevenuePlan;
use scope::{Reads, View};
use settled::Settled;
use source::Source;
use trend::TrendPlan;

/// Moves of identities since the settled part began, above which it begins anew.
const MOVES_MAX: u32 = 4096;

/// The answer to a report, and what was read for it.
#[derive(Clone, Debug)]
pub struct Run<T> {
    /// The answer.
    pub answer: T,
    /// What was read.
    pub explanation: Explanation,
}

/// Answers reports, keeping what it has decoded for the next one. One for each store is best: asked about another, it forgets the first.
pub struct Executor {
    settled: Mutex<Option<Arc<Settled>>>,
    cache_bytes: Option<usize>,
}

impl Default for Executor {
    fn default() -> Self {
        Self::keeping(None)
    }
}

/// Bytes of decoded rows that are worth keeping of a store of so many: what is asked again and again should not be decoded each time.
fn in_proportion(rows: u64) -> usize {
    let wanted = rows.saturating_mul(limits::CACHE_BYTES_PER_ROW).min(memory_available() / 4);
    usize::try_from(wanted).unwrap_or(usize::MAX).max(limits::CACHE_BYTES_MIN)
}

impl Executor {
    /// One that keeps so many bytes of decoded rows, or as many as is right for the store, and half of that of what is made of them.
    pub fn keeping(cache_bytes: Option<usize>) -> Self {
        Self { settled: Mutex::default(), cache_bytes }
    }

    /// Answers a funnel over `snapshot`; `now` is the instant of reports without `as_of`.
    pub fn funnel(&self, snapshot: &Snapshot, funnel: &Funnel, now: Millis) -> Result<Run<FunnelReport>> {
        let as_of = funnel.basis.as_of(now);
        let names = FunnelPlan::new(funnel, snapshot, as_of)?.names(snapshot);
        self.run(snapshot, &names, |view| funnel::funnel(view, funnel, as_of))
    }

    /// Lists the people behind a number of a funnel.
    pub fn funnel_people(
        &self,
        snapshot: &Snapshot,
        query: &FunnelPeople,
        now: Millis,
    ) -> Result<Run<FunnelPeoplePage>> {
        let as_of = query.funnel.basis.as_of(now);
        let names = FunnelPlan::new(&query.funnel, snapshot, as_of)?.names(snapshot);
        self.run(snapshot, &names, |view| funnel::people(view, query, as_of))
    }

    /// Answers a cohort report.
    pub fn cohort(&self, snapshot: &Snapshot, cohort: &Cohort, now: Millis) -> Result<Run<CohortReport>> {
        let plan = CohortPlan::new(cohort, snapshot, cohort.basis.as_of(now))?;
        let names = plan.names(snapshot);
        self.run(snapshot, &names, |view| cohort::cohort(view, plan))
    }

    /// Lists the people of a cell of a cohort report, or of a whole cohort.
    pub fn cohort_people(
        &self,
        snapshot: &Snapshot,
        query: &CohortPeople,
        now: Millis,
    ) -> Result<Run<CohortPeoplePage>> {
        let plan = CohortPlan::new(&query.cohort, snapshot, query.cohort.basis.as_of(now))?;
        let names = plan.names(snapshot);
        self.run(snapshot, &names, |view| cohort::people(view, &plan, query))
    }

    /// Answers a query for paths.
    pub fn paths(&self, snapshot: &Snapshot, paths: &Paths, now: Millis) -> Result<Run<PathsReport>> {
        let plan = PathsPlan::new(paths, snapshot, paths.basis.as_of(now));
        let names = plan.names(snapshot);
        self.run(snapshot, &names, |view| paths::paths(view, plan))
    }

    /// Lists the people of one path, or of all.
    pub fn paths_people(
        &self,
        snapshot: &Snapshot,
        query: &PathsPeople,
        now: Millis,
    ) -> Result<Run<PeoplePage>> {
        let plan = PathsPlan::new(&query.paths, snapshot, query.paths.basis.as_of(now));
        let names = plan.names(snapshot);
        self.run(snapshot, &names, |view| paths::people(view, &plan, query))
    }

    /// Answers a revenue report.
    pub fn revenue(&self, snapshot: &Snapshot, revenue: &Revenue, now: Millis) -> Result<Run<RevenueReport>> {
        let plan = RevenuePlan::new(revenue, snapshot, revenue.basis.as_of(now))?;
        let names = plan.names(snapshot);
        self.run(snapshot, &names, |view| revenue::revenue(view, plan))
    }

    /// Lists the people behind a number of a revenue report.
    pub fn revenue_people(
        &self,
        snapshot: &Snapshot,
        query: &RevenuePeople,
        now: Millis,
    ) -> Result<Run<PeoplePage>> {
        let plan = RevenuePlan::new(&query.revenue, snapshot, query.revenue.basis.as_of(now))?;
        let names = plan.names(snapshot);
        self.run(snapshot, &names, |view| revenue::people(view, plan, query))
    }

    /// Answers a search for people.
    pub fn people(&self, snapshot: &Snapshot, query: &People, now: Millis) -> Result<Run<PeopleReport>> {
        let names = people::names(query, snapshot);
        self.run(snapshot, &names, |view| people::people(view, query, query.basis.as_of(now)))
    }

    /// Answers a query for trends.
    pub fn trend(&self, snapshot: &Snapshot, trend: &Trend, now: Millis) -> Result<Run<TrendReport>> {
        let plan = TrendPlan::new(trend, snapshot, trend.basis.as_of(now))?;
        let names = plan.names(snapshot);
        self.run(snapshot, &names, |view| trend::trend(view, plan))
    }

    /// Lists the people behind a point of a trend.
    pub fn trend_people(
        &self,
        snapshot: &Snapshot,
        query: &TrendPeople,
        now: Millis,
    ) -> Result<Run<PeoplePage>> {
        let plan = TrendPlan::new(&query.trend, snapshot, query.trend.basis.as_of(now))?;
        let names = plan.names(snapshot);
        self.run(snapshot, &names, |view| trend::people(view, &plan, query))
    }

    /// Answers a lifecycle query.
    pub fn lifecycle(
        &self,
        snapshot: &Snapshot,
        lifecycle: &Lifecycle,
        now: Millis,
    ) -> Result<Run<LifecycleReport>> {
        let plan = LifecyclePlan::new(lifecycle, snapshot, lifecycle.basis.as_of(now))?;
        let names = plan.names(snapshot);
        self.run(snapshot, &names, |view| lifecycle::lifecycle(view, plan))
    }

    /// Lists the people of a stage of a lifecycle.
    pub fn lifecycle_people(
        &self,
        snapshot: &Snapshot,
        query: &LifecyclePeople,
        now: Millis,
    ) -> Result<Run<PeoplePage>> {
        let plan = LifecyclePlan::new(&query.lifecycle, snapshot, query.lifecycle.basis.as_of(now))?;
        let names = plan.names(snapshot);
        self.run(snapshot, &names, |view| lifecycle::people(view, &plan, query))
    }

    fn run<T>(
        &self,
        snapshot: &Snapshot,
        names: &[NameId],
        report: impl FnOnce(&View) -> Result<T>,
    ) -> Result<Run<T>> {
        let view = self.view(snapshot, names)?;
        let answer = report(&view)?;
        Ok(Run { answer, explanation: view.explanation() })
    }

    /// The profile of the person of `identity`. What is later than `now` is not seen.
    pub fn profile(&self, snapshot: &Snapshot, identity: &str, now: Millis) -> Result<Profile> {
        profile::profile(&Source::new(snapshot.clone()), identity, now)
    }

    /// The first `limit` identifies that made the person of `identity`.
    pub fn links(&self, snapshot: &Snapshot, identity: &str, limit: usize) -> Result<Vec<Link>> {
        person::links(&Source::new(snapshot.clone()), identity, limit)
    }

    /// A page of the time line of the person of `identity`, newest first, perhaps of one event. What is later than `now` is not seen.
    pub fn timeline(
        &self,
        snapshot: &Snapshot,
        identity: &str,
        now: Millis,
        event: Option<&str>,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Timeline> {
        person::timeline(&Source::new(snapshot.clone()), identity, now, event, limit, cursor)
    }

    /// Every event with its counts. What is later than `now` is not seen.
    pub fn events(&self, snapshot: &Snapshot, now: Millis) -> Result<EventList> {
        let names: Vec<NameId> = snapshot.catalog.events().map(|(id, _)| id).collect();
        events::list(&self.view(snapshot, &names)?, now)
    }

    /// A part of these: `limit` of them, or as many as an answer has room for, from where `cursor` says.
    pub fn events_part(
        &self,
        snapshot: &Snapshot,
        now: Millis,
        limit: Option<usize>,
        cursor: Option<&str>,
    ) -> Result<EventList> {
        self.events(snapshot, now)?.part(&snapshot.catalog, limit.unwrap_or(usize::MAX), cursor)
    }

    /// The properties of people, of events or of both.
    pub fn properties(&self, snapshot: &Snapshot, of: Option<Owner>) -> Result<PropertyList> {
        properties::list(&self.view(snapshot, &[])?, of, limits::NAMES_LISTED_BYTES)
    }

    /// The first `most` names of these, in their order.
    pub fn property_names(&self, snapshot: &Snapshot, of: Option<Owner>, most: usize) -> Result<Vec<String>> {
        properties::first_names(&self.view(snapshot, &[])?, of, most)
    }

    /// The values of a property.
    pub fn property_values(
        &self,
        snapshot: &Snapshot,
        query: &ValueQuery,
        now: Millis,
    ) -> Result<PropertyValues> {
        let names = properties::names(snapshot, query);
        properties::values(&self.view(snapshot, &names)?, query, &names, now)
    }

    /// Bytes of decoded rows that are kept.
    pub fn cached_bytes(&self) -> usize {
        let settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled.as_ref().map_or(0, |s| s.cached_bytes())
    }

    fn view(&self, snapshot: &Snapshot, names: &[NameId]) -> Result<View> {
        let settled = {
            let mut kept = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
            let usable = |s: &&mut Arc<Settled>| {
                let version = snapshot.persons.version();
                // A store without segments forgets all moves when its first rows are sealed, before they are in one.
                let known = snapshot.persons.moves_known_since() <= s.version;
                // One of a newer snapshot knows people who came later.
                let newer = s.identities() > snapshot.persons.identities();
                known
                    && !newer
                    && s.opening == snapshot.opening
                    && s.epoch == snapshot.epoch
                    && s.version <= version
                    && version - s.version <= MOVES_MAX
            };
            match kept.as_mut().filter(usable) {
                Some(settled) => Arc::clone(settled),
                None => {
                    let bytes = self.cache_bytes.unwrap_or_else(|| in_proportion(snapshot.rows()));
                    let settled = Arc::new(Settled::new(snapshot, bytes));
                    // An older snapshot's report must not throw away what newer ones use.
                    let newer = |k: &Arc<Settled>| {
                        k.opening != settled.opening
                            || (k.epoch, k.version) < (settled.epoch, settled.version)
                    };
                    if kept.as_ref().is_none_or(newer) {
                        *kept = Some(Arc::clone(&settled));
                    }
                    settled
                }
            }
        };
        let source = Source::new(snapshot.clone());
        let overlay = Overlay::new(&source, &settled, names);
        Ok(View { source, settled, overlay, reads: Reads::default(), meant: Mutex::default() })
    }
}
