//! The worked cases of the documentation, and random small cases against trying everything.

use super::brute;
use super::{Attempt, Hit, NO_HIT, Rules, Scratch, Stop, Want, best_attempt};
use crate::model::Millis;
use crate::report::Order;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

fn rules(steps: usize) -> Rules {
    Rules {
        steps,
        order: Order::Ordered,
        within: None,
        from: Millis::MIN,
        to: Millis::MAX,
        until_to: false,
        as_of: 1000 * HOUR,
        disjoint: false,
        blockers: false,
    }
}

/// Hits of a story such as `A0 B10`: letter and minute (`s` behind it: and a second) against a funnel such as
/// `AB`.
fn story(events: &str, funnel: &str) -> Vec<Hit> {
    let mut hits: Vec<Hit> = events
        .split(' ')
        .enumerate()
        .map(|(row, event)| {
            let (name, at) = event.split_at(1);
            let late = if at.ends_with('s') { 1000 } else { 0 };
            let time = at.trim_end_matches('s').parse::<i64>().unwrap() * MINUTE + late;
            let steps = funnel.chars().enumerate().filter(|(_, step)| name.starts_with(*step));
            let steps = steps.fold(0, |all, (k, _)| all | 1 << k);
            Hit { time, steps, blocks: 0, row: row as u32 }
        })
        .collect();
    hits.sort_by_key(|h| h.time);
    hits
}

fn solve(rules: &Rules, hits: &[Hit], want: Want) -> Option<Attempt> {
    best_attempt(rules, hits, &mut Scratch::default(), want).cloned()
}

#[test]
fn the_worked_cases_come_out_as_documented() {
    // Name, events (letter and minute), funnel, depth, minutes from entry to the last step.
    let cases = [
        ("S1 in order", "A0 B10 C20", "ABC", 3, 20),
        ("S2 a second entry saves the window", "A0 A30 B45 C75", "ABC", 3, 45),
        ("S3 the earliest entry that gets furthest", "A0 A10 B20", "AB", 2, 20),
        ("S4 only the second entry is in time", "A0 A50 B80", "AB", 2, 30),
        ("S5 a tie in order", "A0 B0", "AB", 2, 0),
        ("S6 a tie out of order", "B0 A0", "AB", 2, 0),
        ("S7 the answer before the question", "B0 A0s", "AB", 1, 0),
        ("S8 one event never serves two steps", "A0", "AA", 1, 0),
        ("S9 two events serve two equal steps", "A0 A1", "AA", 2, 1),
        ("S10 also at one instant", "A0 A0", "AA", 2, 0),
        ("S11 the window is inclusive", "A0 B60", "AB", 2, 60),
        ("S12 and ends", "A0 B60s", "AB", 1, 0),
        ("S13 the whole attempt must fit", "A0 B50 C100", "ABC", 2, 50),
        ("S14 others between do not matter", "A0 C1 B2 C3", "ABC", 3, 3),
        ("S15 an entry after the end", "A0 B1 A2", "AB", 2, 1),
        ("S16 a later attempt gets further", "A0 B1 A121 B122 C123", "ABC", 3, 2),
        ("S17 steps of different attempts do not add up", "A0 B10 A15 C65", "ABC", 2, 10),
        ("S18 three steps at one instant, backwards", "C0 B0 A0", "ABC", 3, 0),
    ];
    for (name, events, funnel, depth, minutes) in cases {
        let hits = story(events, funnel);
        let overlap = hits.iter().any(|h| h.steps.count_ones() > 1);
        for disjoint in [false, !overlap] {
            let rules = Rules { within: Some(HOUR), disjoint, ..rules(funnel.len()) };
            let got = solve(&rules, &hits, Want::Hits).unwrap();
            let took = got.times()[got.depth - 1] - got.times()[0];
            assert_eq!((got.depth, took), (depth, minutes * MINUTE), "{name}, disjoint: {disjoint}");
        }
    }
}

/// A small generator, so that a failing case can be told by its number.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.roll(100) < percent
    }
}

fn random_case(number: u64) -> (Rules, Vec<Hit>) {
    let mut dice = Dice(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    for _ in 0..4 {
        dice.roll(2);
    }
    let steps = 1 + dice.roll(4) as usize;
    let order =
        [Order::Ordered, Order::Ordered, Order::Strict, Order::Any, Order::Any][dice.roll(5) as usize];
    let single = dice.chance(40);
    let blockers = order == Order::Strict || dice.chance(50);
    let span = 1 + dice.roll(8);
    let all = (1u32 << steps) - 1;
    let mut hits: Vec<Hit> = (0..dice.roll(8))
        .map(|_| {
            let steps = if single { 1 << dice.roll(steps as u64) } else { dice.roll(1 << steps) as u32 };
            let steps = if dice.chance(20) { 0 } else { steps };
            let blocks = if dice.chance(25) { dice.roll(u64::from(all) + 1) as u32 } else { 0 };
            let blocks = match order {
                Order::Strict => all,
                _ if blockers => blocks,
                _ => 0,
            };
            Hit { time: dice.roll(span) as i64, steps, blocks, row: 0 }
        })
        .collect();
    hits.sort_by_key(|h| h.time);
    let rules = Rules {
        order,
        within: dice.chance(60).then(|| dice.roll(span) as i64),
        from: if dice.chance(30) { dice.roll(3) as i64 } else { Millis::MIN },
        to: if dice.chance(40) { dice.roll(span + 2) as i64 } else { Millis::MAX },
        until_to: dice.chance(40),
        as_of: span as i64 - 1 + dice.roll(4) as i64,
        disjoint: hits.iter().all(|h| h.steps.count_ones() <= 1) && dice.chance(70),
        blockers,
        ..rules(steps)
    };
    (rules, hits)
}

#[test]
fn random_cases_agree_with_trying_everything() {
    let mut scratch = Scratch::default();
    let (mut deep, mut progress) = (0, 0);
    for number in 1..=200_000 {
        let (rules, hits) = random_case(number);
        let expected = brute::best(&rules, &hits);
        let shown = || format!("case {number}\n{rules:?}\n{hits:#?}\nexpected {expected:?}");
        for want in [Want::Depth, Want::Times, Want::Hits, Want::Explain] {
            let got = best_attempt(&rules, &hits, &mut scratch, want);
            assert_eq!(got.is_some(), expected.is_some(), "{}", shown());
            let (Some(got), Some(expected)) = (got, &expected) else { continue };
            assert_eq!((got.depth, got.in_progress), (expected.depth, expected.in_progress), "{}", shown());
            if want >= Want::Times {
                assert_eq!(got.times(), expected.times, "{want:?} {}", shown());
            }
            if want >= Want::Hits {
                let hits: Vec<_> = (0..rules.steps).map(|step| got.hit(step).unwrap_or(usize::MAX)).collect();
                assert_eq!(hits, expected.hits, "{}", shown());
            }
            if want == Want::Explain {
                let open = got.depth < rules.steps && !got.in_progress;
                assert_eq!(got.stop.is_some(), open, "{}", shown());
                let excluded = matches!(got.stop, Some(Stop::Excluded { .. }));
                assert_eq!(excluded, open && expected.excluded, "{:?} {}", got.stop, shown());
            }
        }
        deep += usize::from(expected.as_ref().is_some_and(|e| e.depth > 1));
        progress += usize::from(expected.is_some_and(|e| e.in_progress));
    }
    assert!(deep > 50_000 && progress > 5_000, "the cases are worth trying: {deep}, {progress}");
}

#[test]
fn an_attempt_says_why_it_stopped() {
    let windowed = Rules { within: Some(HOUR), ..rules(2) };
    let stop = |rules: &Rules, hits: &[Hit]| solve(rules, hits, Want::Explain).unwrap().stop;
    assert_eq!(stop(&rules(2), &story("A0 C5", "AB")), Some(Stop::NothingCame));
    let missed = Stop::WindowEnded { at: HOUR, missed_by: Some(10 * MINUTE) };
    assert_eq!(stop(&windowed, &story("A0 B70", "AB")), Some(missed));
    let never = Stop::WindowEnded { at: HOUR, missed_by: None };
    assert_eq!(stop(&windowed, &story("A0 C70", "AB")), Some(never));
    let open = Rules { as_of: HOUR, ..windowed };
    assert_eq!(stop(&open, &story("A0", "AB")), None, "in progress");
    let closed = Rules { to: 30 * MINUTE, until_to: true, ..rules(2) };
    assert_eq!(stop(&closed, &story("A0 B40", "AB")), Some(Stop::Closed));

    let mut hits = story("A0 C5 B10", "AB");
    hits[1].blocks = 1;
    let blocked = Rules { blockers: true, ..rules(2) };
    assert_eq!(stop(&blocked, &hits), Some(Stop::Excluded { hit: 1, at: 5 * MINUTE }));
    let any = Rules { order: Order::Any, ..blocked };
    assert_eq!(stop(&any, &hits), Some(Stop::Excluded { hit: 1, at: 5 * MINUTE }));
}

#[test]
fn the_first_of_equal_hits_is_chosen() {
    let hits = story("B0 A0 A0 B0", "AB");
    let got = solve(&rules(2), &hits, Want::Hits).unwrap();
    assert_eq!((got.hit(0), got.hit(1)), (Some(1), Some(0)));
    assert_eq!(got.hits[2], NO_HIT);
}

#[test]
fn heavy_people_take_no_longer_than_their_events_allow() {
    let mut dice = Dice(7);
    for (order, blockers, steps) in [
        (Order::Ordered, true, 20),
        (Order::Any, false, 20),
        (Order::Strict, true, 20),
        (Order::Any, true, 6),
    ] {
        let mut hits: Vec<Hit> = (0..20_000)
            .map(|row| Hit {
                time: dice.roll(15_000) as i64,
                steps: (dice.roll(1 << steps) & dice.roll(1 << steps) & dice.roll(1 << steps)) as u32,
                blocks: if order == Order::Strict || blockers && dice.chance(1) { u32::MAX } else { 0 },
                row,
            })
            .collect();
        hits.sort_by_key(|h| h.time);
        let rules = Rules { order, within: Some(40), blockers, ..rules(steps) };
        assert!(solve(&rules, &hits, Want::Explain).is_some());
    }
}
