//! Counts of a funnel that add up, and the report that is made of them: rates, exact quantiles and histograms are computed
//! here and nowhere else.

use serde::Serialize;

use super::durations::{Classes, Durations, Seconds};
use super::experiment::Experiment;
use super::funnel::Funnel;
use super::pattern::Events;
use super::segment::{Segment, Tally, shown};
use super::statistics::Rate;
use crate::error::Result;
use crate::model::{Millis, Value, format_millis};
use crate::threads::{processors, spread};

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

    /// Adds so many people who did the first step.
    pub fn enter(&mut self, people: u64) {
        if let Some(count) = self.ended.first_mut() {
            *count += people;
        }
    }

    /// One of those who had done the steps before did step `step`, from 0, too, and took so long, if that is wanted.
    #[inline]
    pub fn goes_on(&mut self, step: usize, millis: Option<i64>) {
        if let Some([before, here]) = self.ended.get_mut(step.saturating_sub(1)..=step) {
            *before = before.saturating_sub(1);
            *here += 1;
        }
        let durations = step.checked_sub(1).and_then(|step| self.durations.get_mut(step));
        if let (Some(durations), Some(millis)) = (durations, millis) {
            durations.push(millis);
        }
    }

    /// So many of those who had done the steps before did step `step`, from 0, too, and took so long.
    pub fn go_on(&mut self, step: usize, people: u64, millis: &[i64]) {
        if let Some([before, here]) = self.ended.get_mut(step.saturating_sub(1)..=step) {
            *before = before.saturating_sub(people);
            *here += people;
        }
        if let Some(durations) = step.checked_sub(1).and_then(|step| self.durations.get_mut(step)) {
            durations.extend(millis);
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

    /// The same, and those of them who did the last step.
    pub fn rate(&self) -> Rate {
        Rate { people: self.entrants(), converted: self.ended.last().copied().unwrap_or(0) }
    }

    /// How long it took from the step before to step `step`, if that is wanted.
    fn durations(&self, funnel: &Funnel, step: usize) -> Option<&Durations> {
        step.checked_sub(1).and_then(|k| self.durations.get(k)).filter(|_| funnel.times)
    }

    /// The report on these people, who took so long for each step.
    fn finish(&self, funnel: &Funnel, seconds: Vec<Option<Seconds>>) -> Part {
        let mut seconds = seconds.into_iter();
        let mut steps = Vec::with_capacity(funnel.steps.len());
        let entrants = self.entrants();
        let mut previous = entrants;
        let mut people = entrants;
        for (k, step) in funnel.steps.iter().enumerate() {
            let ended = self.ended.get(k).copied().unwrap_or(0);
            let in_progress = self.in_progress.get(k).copied().unwrap_or(0);
            let last = k + 1 == funnel.steps.len();
            steps.push(StepReport {
                event: step.name(),
                people,
                from_previous: share(people, previous),
                from_first: share(people, entrants),
                lost: if last { 0 } else { ended - in_progress },
                in_progress: if last { 0 } else { in_progress },
                seconds: seconds.next().flatten(),
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

/// The reports on all and on each group of them. The times of steps are most of the work, so they are spread over the processors.
fn finish_all(whole: &FunnelTally, groups: &[&FunnelTally], funnel: &Funnel) -> Result<(Part, Vec<Part>)> {
    let steps = funnel.steps.len();
    let size = |tally: &FunnelTally, step| tally.durations(funnel, step).map_or(0, Durations::len);
    let mut work: Vec<(usize, usize)> =
        (0..groups.len()).flat_map(|at| (0..steps).map(move |step| (at, step))).collect();
    // The largest first, so that no thread is left with one at the end.
    work.sort_by_key(|(at, step)| std::cmp::Reverse(groups.get(*at).map(|group| size(group, *step))));
    let all: usize = (0..steps).map(|step| size(whole, step)).sum();
    let threads = if all > SPREAD_MIN { processors() } else { 1 };
    let of_group = |(at, step): &(usize, usize)| {
        let durations = groups.get(*at).and_then(|group| group.durations(funnel, *step));
        let classes = durations.and_then(Classes::of);
        let seconds = durations.map(|durations| Seconds::of(durations, classes.as_ref()));
        Ok((*at, *step, classes, seconds))
    };
    let mut of_groups: Vec<Vec<(Option<Classes>, Option<Seconds>)>> =
        vec![vec![(None, None); steps]; groups.len()];
    for (at, step, classes, seconds) in spread(&work, threads, of_group)? {
        if let Some(slot) = of_groups.get_mut(at).and_then(|s| s.get_mut(step)) {
            *slot = (classes, seconds);
        }
    }
    let of_whole = |step: &usize| {
        let Some(durations) = whole.durations(funnel, *step) else { return Ok((*step, None)) };
        let known = of_groups.iter().map(|steps| steps.get(*step).and_then(|(classes, _)| classes.as_ref()));
        let classes =
            together(groups.iter().filter_map(|g| g.durations(funnel, *step)).zip(known), durations);
        Ok((*step, Some(Seconds::of(durations, classes.as_ref()))))
    };
    let mut seconds = spread(&(0..steps).collect::<Vec<_>>(), threads, of_whole)?;
    seconds.sort_by_key(|(step, _)| *step);
    let whole = whole.finish(funnel, seconds.into_iter().map(|(_, seconds)| seconds).collect());
    let seconds = of_groups.into_iter().map(|steps| steps.into_iter().map(|(_, seconds)| seconds).collect());
    Ok((whole, groups.iter().zip(seconds).map(|(group, seconds)| group.finish(funnel, seconds)).collect()))
}

/// The classes of `all` durations, which are those of the groups together if there are any.
fn together<'a>(
    groups: impl Iterator<Item = (&'a Durations, Option<&'a Classes>)>,
    all: &Durations,
) -> Option<Classes> {
    let mut classes = Classes::default();
    groups.for_each(|(durations, known)| classes.add(durations, known));
    if classes.count() == all.len() && !all.are_few() { Some(classes) } else { Classes::of(all) }
}

/// Durations from which it is worth to spread their work.
const SPREAD_MIN: usize = 50_000;

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
        mut warnings: Vec<Warning>,
        as_of: Millis,
    ) -> Result<Self> {
        // Whether it is shown or not.
        let rate_of = |variant: &Value| {
            let mut all = by_value.iter().flatten().map(|(value, tally)| (value.as_ref(), tally.rate()));
            all.find(|(value, rate)| *value == Some(variant) && rate.people > 0).map(|(_, rate)| rate)
        };
        let control = funnel.control.as_ref().map(|given| {
            let control = Value::meant(given, |value| rate_of(value).is_some());
            let rate = rate_of(&control).unwrap_or(Rate { people: 0, converted: 0 });
            (control, rate)
        });
        let groups = by_value.map(|mut tallies| {
            tallies.retain(|(_, tally)| tally.entrants() > 0);
            shown(tallies, funnel.limit)
        });
        let groups = groups.transpose()?;
        let tallies: Vec<&FunnelTally> = groups.iter().flatten().map(|s| &s.part).collect();
        let (whole, parts) = finish_all(&whole, &tallies, funnel)?;
        let segments = groups.map(|groups| {
            let both = groups.into_iter().zip(parts);
            both.map(|(s, part)| Segment { label: s.label, part }).collect::<Vec<_>>()
        });
        let experiment = control.map(|(control, base)| {
            Experiment::new(&control, base, segments.as_deref().unwrap_or(&[]), several_variants)
        });
        warnings.extend(experiment.as_ref().and_then(Experiment::warning));
        Ok(Self {
            whole,
            experiment,
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
        let (part, _) = finish_all(&a, &[], &funnel).unwrap();
        let people: Vec<_> = part.steps.iter().map(|s| (s.people, s.lost, s.in_progress)).collect();
        assert_eq!(people, [(3, 0, 1), (2, 1, 0), (1, 0, 0)]);
        assert_eq!((part.conversion, part.conversion_decided), (Some(1.0 / 3.0), Some(0.5)));
        assert_eq!(part.steps[1].seconds.as_ref().unwrap().median, Some(3.0));
        assert_eq!(part.steps[2].seconds.as_ref().unwrap().p90, Some(0.0));
    }
}
