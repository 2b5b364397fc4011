//! Revenue over random histories against the oracle, and the people behind each number.

use serde_json::Value as Json;
use whodid::testing::random::Grid;
use whodid::testing::random_revenue::random_revenue;

use crate::histories::{check, play_all};

/// Quotients are text; the oracle has them as floats.
fn with_numbers(mut answer: Json) -> Json {
    let parse = |part: &mut Json| {
        for field in ["per_person", "arppu"] {
            if let Some(text) = part[field].as_str() {
                part[field] = ((text.parse::<f64>().unwrap() * 1e4).round() / 1e4).into();
            } else if let Some(number) = part[field].as_f64() {
                part[field] = ((number * 1e4).round() / 1e4).into();
            }
        }
    };
    parse(&mut answer);
    answer["segments"].as_array_mut().unwrap().iter_mut().for_each(parse);
    answer
}

#[test]
fn random_revenue_agrees_with_the_oracle() {
    let now = Grid::WEEKS.now;
    play_all(150, Grid::WEEKS, |engine, oracle, seed, context| {
        for n in 0..3 {
            let query = random_revenue(seed.wrapping_mul(1021).wrapping_add(n), Grid::WEEKS);
            let ours = engine.report("revenue", &query, now);
            assert!(ours.get("error").is_none(), "{context}\n{query}\n{ours}");
            check(
                &query,
                with_numbers(ours.clone()),
                with_numbers(oracle.report("revenue", &query, now)),
                context,
            );
            let mut list: Json = serde_json::from_str(&query).unwrap();
            list.as_object_mut().unwrap().remove("limit");
            let mut behind = |fields: &[(&str, Json)], number: &Json| {
                let mut list = list.clone();
                for (name, value) in fields {
                    list[*name] = value.clone();
                }
                let query = list.to_string();
                let ours = engine.report("revenue/people", &query, now);
                assert_eq!(ours["total"], *number, "{context}: a list is as long as its number\n{query}");
                check(&query, ours, oracle.report("revenue/people", &query, now), context);
            };
            behind(&[("which", "people".into())], &ours["people"]);
            behind(&[], &ours["paying"]);
            for point in ours["series"].as_array().unwrap().iter().take(12) {
                behind(&[("start", point["start"].clone())], &point["paying"]);
            }
            for segment in ours["segments"].as_array().unwrap() {
                let Some(value) = segment.get("value") else { continue };
                behind(&[("segment", value.clone())], &segment["paying"]);
                behind(&[("segment", value.clone()), ("which", "people".into())], &segment["people"]);
            }
        }
    });
}
