//! What the synthetic company promises to those who build tests and benchmarks on it.

use std::collections::{HashMap, HashSet};

use super::*;
use crate::model::{Admission, RecordKind, Sum, Value, parse_instant};

fn company(people: u32, events: u64, seed: u64) -> Company {
    Company::new(people, events, seed, parse_instant("2026-01-01T00:00:00Z").unwrap()).unwrap()
}

#[test]
fn a_seed_is_a_company() {
    let records = |seed| company(200, 4000, seed).records().collect::<Vec<_>>();
    assert_eq!(records(7), records(7));
    assert_ne!(records(7), records(8));
    let later = Company { until: company(1, 9, 1).until + DAY, ..company(200, 4000, 7) };
    assert_ne!(later.records().collect::<Vec<_>>(), records(7));
}

#[test]
fn events_are_as_many_as_asked_and_every_record_is_sound() {
    for (people, events) in [(1, 60), (1, 100_000), (3, 999), (500, 12_345)] {
        let company = company(people, events, 3);
        let mut count = 0;
        let mut seen = HashSet::new();
        for record in company.records() {
            let checked = record.clone().checked(Admission::usual(company.until)).unwrap();
            assert_eq!(checked, record, "already in order");
            let time = record.time.unwrap();
            assert!(time > company.until - YEAR && time < company.until, "{record:?}");
            count += u64::from(record.kind == RecordKind::Event);
            assert!(seen.insert(format!("{record:?}")), "a duplicate: {record:?}");
        }
        assert_eq!(count, events);
    }
}

#[test]
fn too_few_events_are_refused_with_the_number_needed() {
    let until = company(1, 60, 1).until;
    let error = Company::new(1000, 500, 1, until).unwrap_err();
    assert_eq!((error.code(), error.place()), ("out_of_range", Some("events")));
    let need: u64 = error.message().split(' ').nth(5).unwrap().parse().unwrap();
    assert!(Company::new(1000, need - 1, 1, until).is_err());
    let least = Company::new(1000, need, 1, until).unwrap();
    assert_eq!(least.records().filter(|r| r.kind == RecordKind::Event).count() as u64, need);
    assert!(need < 8000, "journeys leave room for activity: {need}");
    assert!(Company::new(0, 500, 1, until).is_err());
    assert!(Company::new(1, 2_000_000, 1, until).is_err());
    assert!(Company::new(1, 60, 1, 0).is_err());
}

#[test]
fn records_come_as_they_arrive_and_a_few_come_late() {
    let company = company(400, 20_000, 5);
    let ticks = company.ticks();
    assert!(ticks.windows(2).all(|pair| pair[0].arrival() <= pair[1].arrival()));
    assert!(ticks.iter().all(|tick| tick.arrival() <= company.until));
    let late = ticks.iter().filter(|tick| tick.delay > 60_000).count() as f64 / ticks.len() as f64;
    assert!((0.005..0.015).contains(&late), "{late}");
    assert!(ticks.iter().any(|tick| i64::from(tick.delay) > DAY));
    let last = ticks.last().unwrap();
    assert!(company.until - last.arrival() < 120_000, "the year goes on to its end");
    let times: Vec<_> = company.records().map(|record| record.time.unwrap()).collect();
    assert_eq!(times, ticks.iter().map(|tick| tick.time).collect::<Vec<_>>());
    let whole = times.iter().filter(|time| *time % 1000 == 0).count() as f64 / times.len() as f64;
    assert!((0.8..0.95).contains(&whole), "{whole}");
}

/// Everybody's events, by the name that their identities lead to.
fn people(company: &Company) -> HashMap<String, Vec<(Millis, String)>> {
    let records: Vec<Record> = company.records().collect();
    let identify = |r: &&Record| r.kind == RecordKind::Identify;
    let named: HashMap<&str, &str> =
        records.iter().filter(identify).map(|r| (r.identity.as_str(), r.name.as_str())).collect();
    let mut people: HashMap<String, Vec<(Millis, String)>> = HashMap::new();
    for record in records.iter().filter(|r| r.kind == RecordKind::Event) {
        let person = named.get(record.identity.as_str()).copied().unwrap_or(&record.identity);
        people.entry(person.to_owned()).or_default().push((record.time.unwrap(), record.name.clone()));
    }
    people
}

#[test]
fn the_funnel_falls_as_in_life() {
    let company = company(4000, 60_000, 11);
    let steps = ["Visited Pricing Page", "Started Free Trial", "Completed Onboarding", "Purchased"];
    let mut reached = [0f64; 4];
    let (mut out_of_order, mut ties) = (0, 0);
    for events in people(&company).values_mut() {
        events.sort();
        ties += usize::from(events.windows(2).any(|pair| pair[0].0 == pair[1].0));
        let mut after = Millis::MIN;
        for (step, name) in steps.iter().enumerate() {
            match events.iter().find(|(time, event)| event == name && *time >= after) {
                Some((time, _)) => after = *time,
                None => {
                    out_of_order += usize::from(step > 0 && events.iter().any(|(_, event)| event == name));
                    break;
                }
            }
            reached[step] += 1.0;
        }
    }
    let share = reached.map(|people| people / reached[0]);
    assert!((0.40..0.50).contains(&share[1]), "{share:?}");
    assert!((0.23..0.31).contains(&share[2]), "{share:?}");
    assert!((0.08..0.14).contains(&share[3]), "{share:?}");
    assert!(out_of_order > 20 && ties > 500, "{out_of_order} {ties}");
}

#[test]
fn people_are_counted_through_all_their_identities() {
    let company = company(2000, 60_000, 2);
    let people = people(&company);
    // A visitor id that the log-in never named stays a stranger, as in life.
    assert!((2000..2300).contains(&people.len()), "{}", people.len());
    let identities: HashSet<String> = company.records().map(|r| r.identity).collect();
    assert!(identities.len() > 2700, "{}", identities.len());
    let visitors = identities.iter().filter(|i| !i.contains('@'));
    assert!(visitors.clone().all(|i| i.len() == 28 && i.ends_with('=')));
    let mut busy: Vec<usize> = people.values().map(Vec::len).collect();
    busy.sort_unstable_by(|a, b| b.cmp(a));
    let top = busy.iter().take(200).sum::<usize>() as f64 / 60_000.0;
    assert!((0.4..0.9).contains(&top), "a tenth of the people does most: {top}");
}

#[test]
fn weeks_have_weekends_and_the_company_grows() {
    let company = company(3000, 60_000, 4);
    let (mut week, mut half) = ([0u32; 7], [0u32; 2]);
    for record in company.records().filter(|r| r.kind == RecordKind::Event) {
        let time = record.time.unwrap();
        week[(time.div_euclid(DAY) + 3).rem_euclid(7) as usize] += 1;
        half[usize::from(time > company.until - YEAR / 2)] += 1;
    }
    assert!(week[5] + week[6] < week[1], "{week:?}");
    assert!(half[1] > 2 * half[0], "{half:?}");
}

#[test]
fn money_is_exact_and_refunds_take_it_back() {
    let company = company(3000, 40_000, 6);
    let mut names = HashSet::new();
    let (mut sum, mut refunds) = (Sum::ZERO, 0);
    for record in company.records() {
        for (name, value) in &record.properties {
            let Value::Number(number) = value else { continue };
            assert_eq!(name, "Revenue");
            assert!(number.scale() <= 2);
            assert_eq!(number.is_positive(), record.name != "Refunded");
            refunds += u32::from(record.name == "Refunded");
            sum.add(*number).unwrap();
        }
        names.insert((record.kind == RecordKind::Event).then_some(record.name));
    }
    assert!(refunds > 0 && sum.is_positive() && sum.to_string().contains('.'), "{sum}");
    for name in words::EVENTS {
        assert!(names.contains(&Some(name.to_owned())), "{name}");
    }
}
