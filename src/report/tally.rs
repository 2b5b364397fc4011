//! Counts of a funnel that add up, and the report that is made of them: rates, exact quantiles and histograms are computed
//! here and nowhere else.

use serde::Serialize;

use super::durations::{Durations, Seconds};
use super::experiment::Experiment;
use super::funnel::Funnel;
use super::pattern::Events;
use super::segment::{Segment, Tally, shown};
use crate::error::Result;
use crate::model::{Millis, Value, format_millis};

/// How far people got, and how long it took them. Tallies of disjoint people add up in any order.
#[derive(Clone, Debug, Default)]
pub struct FunnelTally {
    /// People whose counted attempt ended at each depth (from 1).
    ended: Vec<u64>,
    /// Of these, people who are in progress.
    in_progress: Vec<u64>,
    /// From each step to the next.
    durations: Vec<Durations>,
}

impl FunnelTally {
    /// For a funnel of so many steps.
    pub fn new(steps: usize) -> Self {
        Self {
            ended: vec![0; steps],
            in_progress: vec![0; steps],
            durations: vec![Durations::default(); steps],
        }
    }

    /// Adds a person whose attempt reached the steps at `times`.
    pub fn add(&mut self, times: &[Millis], in_progress: bool) {
        self.add_depth(times.len(), in_progress);
        for (pair, list) in times.windows(2).zip(&mut self.durations) {
            if let [from, to] = pair {
                list.push(to - from);
            }
        }
    }

    /// Adds so many people who did the first step and nothing more, and never will.
    pub fn add_lost(&mut self, people: u64) {
        if let Some(count) = self.ended.first_mut() {
            *count += people;
        }
    }

    /// Makes clones cheap, when nobody is added any more.
    pub fn seal(&mut self) {
        self.durations.iter_mut().for_each(Durations::seal);
    }

    /// Adds a person of whom only the depth is known.
    pub fn add_depth(&mut self, depth: usize, in_progress: bool) {
        let Some(at) = depth.checked_sub(1) else { return };
        if let Some(count) = self.ended.get_mut(at) {
            *count += 1;
        }
        if in_progress && let Some(count) = self.in_progress.get_mut(at) {
            *count += 1;
        }
    }

    /// People who entered.
    pub fn entrants(&self) -> u64 {
        self.ended.iter().sum()
    }

    /// The report on these people.
    pub fn finish(&self, funnel: &Funnel) -> Part {
        let mut steps = Vec::with_capacity(funnel.steps.len());
        let entrants = self.entrants();
        let mut previous = entrants;
        let mut people = entrants;
        for (k, step) in funnel.steps.iter().enumerate() {
            let ended = self.ended.get(k).copied().unwrap_or(0);
            let in_progress = self.in_progress.get(k).copied().unwrap_or(0);
            let last = k + 1 == funnel.steps.len();
            let durations = k.checked_sub(1).and_then(|k| self.durations.get(k));
            steps.push(StepReport {
                event: step.name(),
                people,
                from_previous: share(people, previous),
                from_first: share(people, entrants),
                lost: if last { 0 } else { ended - in_progress },
                in_progress: if last { 0 } else { in_progress },
                seconds: durations.filter(|_| funnel.times).map(Seconds::of),
            });
            previous = people;
            people -= ended;
        }
        let converted = previous;
        let open: u64 = self.in_progress.iter().take(funnel.steps.len() - 1).sum();
        Part {
            conversion: share(converted, entrants),
            conversion_decided: share(converted, entrants - open),
            steps,
        }
    }
}

impl Tally for FunnelTally {
    fn merge(&mut self, other: Self) -> Result<()> {
        let sum =
            |mine: &mut Vec<u64>, theirs: &[u64]| mine.iter_mut().zip(theirs).for_each(|(a, b)| *a += b);
        sum(&mut self.ended, &other.ended);
        sum(&mut self.in_progress, &other.in_progress);
        for (mine, theirs) in self.durations.iter_mut().zip(other.durations) {
            mine.append(theirs);
        }
        Ok(())
    }

    fn size(&self) -> u64 {
        self.entrants()
    }
}

/// A share; of nothing there is none.
pub fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// The report on some people.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    /// Each step.
    pub steps: Vec<StepReport>,
    /// People who did the last step, over all who entered.
    pub conversion: Option<f64>,
    /// The same over those who are not in progress.
    pub conversion_decided: Option<f64>,
}

/// The report on one step.
#[derive(Clone, Debug, Serialize)]
pub struct StepReport {
    /// The event, as asked.
    pub event: Events,
    /// People who reached it.
    pub people: u64,
    /// Of those who reached the step before.
    pub from_previous: Option<f64>,
    /// Of those who entered.
    pub from_first: Option<f64>,
    /// People who went no further and will not.
    pub lost: u64,
    /// People who may still go further.
    pub in_progress: u64,
    /// How long they took from the step before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<Seconds>,
}

/// Something in a query that nobody ever sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// Where in the query.
    pub at: String,
    /// What.
    pub message: String,
    /// Perhaps what was meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// The answer to a funnel query.
#[derive(Clone, Debug, Serialize)]
pub struct FunnelReport {
    /// The people as a whole.
    #[serde(flatten)]
    pub whole: Part,
    /// The people by value, if asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segments: Option<Vec<Segment<Part>>>,
    /// The variants compared, if a control was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experiment: Option<Experiment>,
    /// What nobody ever sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// The first instant of entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The instant behind the last of entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The zone of dates.
    pub tz: String,
    /// The instant that the report pretends it is.
    pub as_of: String,
}

impl FunnelReport {
    /// Makes the report of the tallies.
    pub fn new(
        funnel: &Funnel,
        whole: FunnelTally,
        by_value: Option<Vec<(Option<Value>, FunnelTally)>>,
        several_variants: u64,
        warnings: Vec<Warning>,
        as_of: Millis,
    ) -> Result<Self> {
        let segments = by_value.map(|mut tallies| {
            tallies.retain(|(_, tally)| tally.entrants() > 0);
            let all = shown(tallies, funnel.limit)?.into_iter();
            Ok(all.map(|s| Segment { label: s.label, part: s.part.finish(funnel) }).collect())
        });
        let segments: Option<Vec<Segment<Part>>> = segments.transpose()?;
        Ok(Self {
            whole: whole.finish(funnel),
            experiment: funnel.control.as_ref().map(|control| {
                Experiment::new(control, segments.as_deref().unwrap_or(&[]), several_variants)
            }),
            segments,
            warnings,
            from: funnel.basis.period.from.map(format_millis),
            to: funnel.basis.period.to.map(format_millis),
            tz: funnel.basis.period.zone.name().to_owned(),
            as_of: format_millis(as_of),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_add_up() {
        let funnel = Funnel::from_json(
            r#"{"steps":[{"event":"A"},{"event":"B"},{"event":"C"}]}"#,
            &Default::default(),
        )
        .unwrap();
        let mut a = FunnelTally::new(3);
        a.add(&[0], true);
        a.add(&[0, 5000], false);
        let mut b = FunnelTally::new(3);
        b.add(&[0, 1000, 1000], false);
        a.merge(b).unwrap();
        let part = a.finish(&funnel);
        let people: Vec<_> = part.steps.iter().map(|s| (s.people, s.lost, s.in_progress)).collect();
        assert_eq!(people, [(3, 0, 1), (2, 1, 0), (1, 0, 0)]);
        assert_eq!((part.conversion, part.conversion_decided), (Some(1.0 / 3.0), Some(0.5)));
        assert_eq!(part.steps[1].seconds.as_ref().unwrap().median, Some(3.0));
        assert_eq!(part.steps[2].seconds.as_ref().unwrap().p90, Some(0.0));
    }
}
