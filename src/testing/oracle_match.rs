//! Which events of one person are the steps of a funnel: every attempt and every choice within it is tried,
//! and the best is taken by the rule itself. States that were tried before are remembered, nothing else is clever.

use std::collections::HashMap;

use super::oracle::Event;
use super::oracle_query::{Pattern, Range};
use crate::model::Millis;

/// How steps may follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Ordered,
    Strict,
    Any,
}

/// A funnel's definition.
pub(super) struct Rules {
    pub(super) steps: Vec<Pattern>,
    /// Each with the number of the step after which it may not come.
    pub(super) exclude: Vec<(usize, Pattern)>,
    pub(super) order: Order,
    pub(super) within: Option<i64>,
    pub(super) entry: Range,
    pub(super) until_to: bool,
    pub(super) as_of: Millis,
}

/// The attempt that counts.
pub(super) struct Attempt<'a> {
    /// In the order in which they were done: the definition's step, counted from 0, and its event.
    pub(super) picks: Vec<(usize, Event<'a>)>,
    pub(super) in_progress: bool,
}

/// Where an attempt stands. Events before `time` can no longer be chosen, so only those of that very instant
/// are remembered as used.
#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    done: Vec<bool>,
    time: Millis,
    used: Vec<usize>,
}

/// One attempt: everything from one start on.
struct Search<'r, 'a> {
    rules: &'r Rules,
    /// What was done up to `as_of`, by time and content.
    events: &'r [Event<'a>],
    start: Event<'a>,
    tried: HashMap<State, usize>,
}

/// The attempt of a person that counts, if they entered at all. `events` are theirs, by time and content.
pub(super) fn conversion<'a>(rules: &Rules, events: &[Event<'a>]) -> Option<Attempt<'a>> {
    let seen: Vec<Event<'a>> = events.iter().copied().filter(|e| e.time <= rules.as_of).collect();
    let mut best: Option<(usize, usize)> = None;
    let mut depths = Vec::new();
    for (at, start) in seen.iter().enumerate() {
        let depth = Search::new(rules, &seen, *start).depth_from_start(at);
        depths.push((start.time, depth));
        if depth > best.map_or(0, |(depth, _)| depth) {
            best = Some((depth, at));
        }
        // Nobody gets further than the last step, and whoever did is not in progress.
        if depth == rules.steps.len() {
            break;
        }
    }
    let (depth, at) = best?;
    let picks = Search::new(rules, &seen, *seen.get(at)?).picks(depth);
    let open = |entry: Millis| {
        let within = rules.within.is_some_and(|within| entry.saturating_add(within) >= rules.as_of);
        let until = !rules.until_to || rules.entry.to.is_none_or(|to| rules.as_of < to);
        within && until
    };
    let in_progress =
        depth < rules.steps.len() && depths.iter().any(|(entry, d)| *d == depth && open(*entry));
    Some(Attempt { picks, in_progress })
}

impl<'r, 'a> Search<'r, 'a> {
    fn new(rules: &'r Rules, events: &'r [Event<'a>], start: Event<'a>) -> Self {
        Self { rules, events, start, tried: HashMap::new() }
    }

    /// The states that taking event `at` as the start can lead to.
    fn starts(&self, at: usize) -> Vec<State> {
        if !self.rules.entry.holds(self.start.time) {
            return Vec::new();
        }
        // Another event of the start's instant starts the same attempt.
        let Some(event) = self.events.get(at).filter(|e| e.time == self.start.time) else {
            return Vec::new();
        };
        let nothing = vec![false; self.rules.steps.len()];
        self.steps_for(&nothing, event)
            .into_iter()
            .map(|step| State { done: with(&nothing, step), time: self.start.time, used: vec![at] })
            .collect()
    }

    /// The steps that `event` could be next, given those that are done.
    fn steps_for(&self, done: &[bool], event: &Event<'_>) -> Vec<usize> {
        let open = (0..done.len()).filter(|step| done.get(*step) == Some(&false));
        let next = if self.rules.order == Order::Any { done.len() } else { 1 };
        open.take(next).filter(|step| self.rules.steps.get(*step).is_some_and(|p| p.matches(event))).collect()
    }

    /// The states that choosing event `at` next can lead to.
    fn after(&self, state: &State, at: usize) -> Vec<State> {
        let Some(event) = self.events.get(at) else { return Vec::new() };
        let fits = event.time >= state.time
            && !state.used.contains(&at)
            && !self.has_free_twin(state, at)
            && self.rules.within.is_none_or(|within| event.time - self.start.time <= within)
            && (!self.rules.until_to || self.rules.entry.to.is_none_or(|to| event.time < to))
            && self.gap_is_free(state, event.time);
        if !fits {
            return Vec::new();
        }
        let mut used = if event.time == state.time { state.used.clone() } else { Vec::new() };
        used.push(at);
        used.sort_unstable();
        let led_to = |step| State { done: with(&state.done, step), time: event.time, used: used.clone() };
        self.steps_for(&state.done, event).into_iter().map(led_to).collect()
    }

    /// Whether an event that says the same comes before event `at` and is free: trying both would find nothing new.
    fn has_free_twin(&self, state: &State, at: usize) -> bool {
        let same = |a: &Event<'_>, b: &Event<'_>| {
            (a.time, a.name, a.properties, a.identity) == (b.time, b.name, b.properties, b.identity)
        };
        let twin = |before: &usize| {
            self.events.get(*before).zip(self.events.get(at)).is_some_and(|(a, b)| same(a, b))
        };
        (0..at).any(|before| twin(&before) && !state.used.contains(&before))
    }

    /// Whether nothing lies strictly between the last choice and `next` that would end the attempt.
    fn gap_is_free(&self, state: &State, next: Millis) -> bool {
        let chosen = depth(state);
        let ends = |event: &Event<'_>| {
            self.rules.order == Order::Strict
                || self.rules.exclude.iter().any(|(after, p)| *after == chosen && p.matches(event))
        };
        !self.events.iter().any(|e| state.time < e.time && e.time < next && ends(e))
    }

    /// The most steps that can be done from `state` on, those already done included.
    fn furthest(&mut self, state: &State) -> usize {
        if let Some(known) = self.tried.get(state) {
            return *known;
        }
        let mut best = depth(state);
        for at in 0..self.events.len() {
            for next in self.after(state, at) {
                best = best.max(self.furthest(&next));
                // Nothing gets further than the last step, so the rest need not be tried.
                if best == self.rules.steps.len() {
                    return best;
                }
            }
        }
        self.tried.insert(state.clone(), best);
        best
    }

    fn depth_from_start(&mut self, at: usize) -> usize {
        self.starts(at).iter().map(|state| self.furthest(state)).max().unwrap_or(0)
    }

    /// The choice: first the earliest times, one after the other, with which `depth` can still be reached; then of the events of
    /// those times the lowest, one after the other.
    fn picks(&mut self, depth: usize) -> Vec<(usize, Event<'a>)> {
        let same_instant = |e: &Event<'a>, time| e.time == time;
        let mut times = vec![self.start.time];
        let mut states: Vec<State> = Vec::new();
        for at in 0..self.events.len() {
            if self.events.get(at).is_some_and(|e| same_instant(e, self.start.time)) {
                states.extend(self.starts(at));
            }
        }
        states.retain(|s| self.furthest(s) == depth);
        while times.len() < depth {
            let mut found: Option<(Millis, Vec<State>)> = None;
            for (next, event) in self.events.iter().enumerate() {
                if found.as_ref().is_some_and(|(time, _)| *time != event.time) {
                    break;
                }
                let mut led_to: Vec<State> = states.iter().flat_map(|s| self.after(s, next)).collect();
                led_to.retain(|s| self.furthest(s) == depth);
                if !led_to.is_empty() {
                    found.get_or_insert_with(|| (event.time, Vec::new())).1.extend(led_to);
                }
            }
            let Some((time, led_to)) = found else { break };
            times.push(time);
            states = led_to;
        }
        if self.rules.order == Order::Any {
            let mut picks = self.lowest_by_step(0, &times, &mut Vec::new()).unwrap_or_default();
            picks.sort_by_key(|(_, at)| *at);
            return picks.into_iter().filter_map(|(step, at)| Some((step, *self.events.get(at)?))).collect();
        }
        let chosen = self.lowest(&times);
        let events: Vec<Event<'a>> = chosen.iter().filter_map(|c| self.events.get(*c)).copied().collect();
        let steps = self.assign(&events, &vec![false; self.rules.steps.len()]).unwrap_or_default();
        steps.into_iter().zip(events).collect()
    }

    /// The lowest events, one after the other, with exactly these times.
    fn lowest(&self, times: &[Millis]) -> Vec<usize> {
        let mut chosen: Vec<usize> = Vec::new();
        let mut states: Vec<State> = Vec::new();
        while let Some(time) = times.get(chosen.len()) {
            let rest = times.get(chosen.len() + 1..).unwrap_or(&[]);
            let candidates =
                (0..self.events.len()).filter(|at| self.events.get(*at).is_some_and(|e| e.time == *time));
            let found = candidates.into_iter().find_map(|at| {
                let mut led_to: Vec<State> = match chosen.is_empty() {
                    true => self.starts(at),
                    false => states.iter().flat_map(|s| self.after(s, at)).collect(),
                };
                led_to.retain(|s| self.completes(s, rest));
                (!led_to.is_empty()).then_some((at, led_to))
            });
            let Some((at, led_to)) = found else { break };
            chosen.push(at);
            states = led_to;
        }
        chosen
    }

    /// In any order: for the first step of the definition the lowest event with which all of `times` can still be used, then for
    /// the second, and so on; a step goes without only if it must.
    fn lowest_by_step(
        &self,
        step: usize,
        times: &[Millis],
        used: &mut Vec<usize>,
    ) -> Option<Vec<(usize, usize)>> {
        let Some(pattern) = self.rules.steps.get(step) else { return times.is_empty().then(Vec::new) };
        for (at, event) in self.events.iter().enumerate() {
            let Some(place) = times.iter().position(|t| *t == event.time) else { continue };
            if used.contains(&at) || !pattern.matches(event) {
                continue;
            }
            let mut rest = times.to_vec();
            rest.remove(place);
            used.push(at);
            let found = self.lowest_by_step(step + 1, &rest, used);
            used.pop();
            if let Some(mut picks) = found {
                picks.push((step, at));
                return Some(picks);
            }
        }
        self.lowest_by_step(step + 1, times, used)
    }

    /// Whether choices with exactly these times can follow `state`.
    fn completes(&self, state: &State, times: &[Millis]) -> bool {
        let Some((time, rest)) = times.split_first() else { return true };
        (0..self.events.len())
            .filter(|at| self.events.get(*at).is_some_and(|e| e.time == *time))
            .any(|at| self.after(state, at).iter().any(|s| self.completes(s, rest)))
    }

    /// Which step each event serves: the first gets the lowest step that leaves one to all others, and so on.
    fn assign(&self, events: &[Event<'a>], done: &[bool]) -> Option<Vec<usize>> {
        let Some((event, rest)) = events.split_first() else { return Some(Vec::new()) };
        self.steps_for(done, event).into_iter().find_map(|step| {
            let mut steps = self.assign(rest, &with(done, step))?;
            steps.insert(0, step);
            Some(steps)
        })
    }
}

fn with(done: &[bool], step: usize) -> Vec<bool> {
    done.iter().enumerate().map(|(at, was)| *was || at == step).collect()
}

fn depth(state: &State) -> usize {
    state.done.iter().filter(|d| **d).count()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Properties;
    use crate::testing::oracle_query::object;
    use crate::testing::random::Random;

    /// Every sequence of different events with every assignment of steps, judged as a whole.
    fn enumerate(
        rules: &Rules,
        events: &[Event<'_>],
        picks: &mut Vec<(usize, usize)>,
        all: &mut Vec<Vec<(usize, usize)>>,
    ) {
        if !picks.is_empty() && allowed(rules, events, picks) {
            all.push(picks.clone());
        }
        for at in 0..events.len() {
            for step in 0..rules.steps.len() {
                let in_turn = rules.order == Order::Any || step == picks.len();
                let free = picks.iter().all(|(s, e)| *s != step && *e != at);
                if in_turn && free && rules.steps[step].matches(&events[at]) {
                    picks.push((step, at));
                    enumerate(rules, events, picks, all);
                    picks.pop();
                }
            }
        }
    }

    fn allowed(rules: &Rules, events: &[Event<'_>], picks: &[(usize, usize)]) -> bool {
        let times: Vec<Millis> = picks.iter().map(|(_, at)| events[*at].time).collect();
        let (first, last) = (times[0], times[times.len() - 1]);
        let free = |k: usize| {
            let between =
                |e: &&Event<'_>| times[k - 1] < e.time && e.time < times[k] && e.time <= rules.as_of;
            !events.iter().filter(between).any(|e| {
                rules.order == Order::Strict || rules.exclude.iter().any(|(a, p)| *a == k && p.matches(e))
            })
        };
        times.is_sorted()
            && last <= rules.as_of
            && rules.entry.holds(first)
            && rules.within.is_none_or(|w| last - first <= w)
            && (!rules.until_to || rules.entry.to.is_none_or(|to| last < to))
            && (1..times.len()).all(free)
    }

    fn random_rules(random: &mut Random) -> Rules {
        let mut pattern = || {
            let names = [random.pick(&["A", "B", "C"]), random.pick(&["A", "B", "C", ""])];
            Pattern::read(object(&json!({"event": names})).unwrap(), "event").unwrap()
        };
        let (a, b, c, out, out_later) = (pattern(), pattern(), pattern(), pattern(), pattern());
        let order = [Order::Ordered, Order::Strict, Order::Any][random.below(3) as usize];
        let bound = |random: &mut Random| random.chance(40).then(|| random.below(5) as i64);
        Rules {
            steps: vec![a, b, c],
            exclude: if random.chance(50) { vec![(1, out), (2, out_later)] } else { Vec::new() },
            order,
            within: bound(random),
            entry: Range { from: bound(random), to: bound(random).map(|to| to + 2) },
            until_to: random.chance(30),
            as_of: 3 + random.below(3) as i64,
        }
    }

    #[test]
    fn the_search_finds_what_trying_everything_finds() {
        let none = Properties::new();
        let (mut compared, mut tied) = (0, 0);
        for seed in 0..3000 {
            let mut random = Random::new(seed);
            let rules = random_rules(&mut random);
            let names: Vec<(i64, &str)> = (0..random.below(7))
                .map(|_| (random.below(6) as i64, random.pick(&["A", "B", "C"])))
                .collect();
            let mut events: Vec<Event<'_>> = names
                .iter()
                .map(|(time, name)| Event { time: *time, name, properties: &none, identity: "x" })
                .collect();
            events.sort_by_key(|e| (e.time, e.name));
            let mut all = Vec::new();
            enumerate(&rules, &events, &mut Vec::new(), &mut all);
            // Furthest, then the earliest times one after the other, then for each step in turn the lowest event.
            let order = |picks: &Vec<(usize, usize)>| {
                let (steps, chosen): (Vec<usize>, Vec<usize>) = picks.iter().copied().unzip();
                let times: Vec<Millis> = chosen.iter().map(|at| events[*at].time).collect();
                let by_step: Vec<usize> = (0..rules.steps.len())
                    .map(|step| steps.iter().position(|s| *s == step).map_or(usize::MAX, |k| chosen[k]))
                    .collect();
                (usize::MAX - picks.len(), times, by_step, chosen)
            };
            let expected = all.iter().min_by_key(|picks| order(picks));
            let got = conversion(&rules, &events);
            let shown = |picks: &[(usize, Event<'_>)]| -> Vec<(usize, Millis, String)> {
                picks.iter().map(|(s, e)| (*s, e.time, e.name.to_owned())).collect()
            };
            let expected = expected.map(|picks| {
                tied += usize::from(picks.len() > 1);
                shown(&picks.iter().map(|(s, at)| (*s, events[*at])).collect::<Vec<_>>())
            });
            compared += usize::from(expected.is_some());
            assert_eq!(got.map(|a| shown(&a.picks)), expected, "seed {seed}");
        }
        assert!(compared > 1000 && tied > 500, "{compared} {tied}");
    }

    #[test]
    fn many_events_of_one_instant_are_no_trouble() {
        let none = Properties::new();
        let a = Event { time: 0, name: "A", properties: &none, identity: "x" };
        let step = || Pattern::read(object(&json!({"event": "A"})).unwrap(), "event").unwrap();
        for (events, steps) in [(13, 14), (40, 20)] {
            let mut rules = random_rules(&mut Random::new(1));
            (rules.order, rules.within, rules.entry) = (Order::Ordered, None, Range::default());
            rules.steps = (0..steps).map(|_| step()).collect();
            let attempt = conversion(&rules, &vec![a; events]).unwrap();
            assert_eq!(attempt.picks.len(), events.min(steps));
        }
    }
}
