//! Revenue over random histories against the oracle, and the people behind each number.

use serde_json::{Value as Json, json};
use whodid::testing::random::Grid;
use whodid::testing::random_revenue::random_revenue;

use crate::engine_backend::EngineBackend;
use crate::histories::{check, play_all};

/// What people of a unit can be asked for.
const MOVEMENTS: [&str; 6] = ["at_start", "gained", "regained", "kept", "lost", "at_end"];
/// What recurring revenue can move by.
const RECURRING: [&str; 5] = ["new", "reactivation", "expansion", "contraction", "churn"];

/// Rounds a quotient, which we give as text and the oracle as a float.
fn round(part: &mut Json, field: &str) {
    let number = part[field].as_str().map(|text| text.parse::<f64>().unwrap()).or(part[field].as_f64());
    if let Some(number) = number {
        // A little more than half, so that what lies between two thousandths goes the same way on both sides.
        part[field] = ((number * 1e3 + 0.501).floor() / 1e3).into();
    }
}

fn with_numbers(mut answer: Json) -> Json {
    let parse = |part: &mut Json| ["per_person", "arppu"].iter().for_each(|field| round(part, field));
    parse(&mut answer);
    answer["segments"].as_array_mut().unwrap().iter_mut().for_each(parse);
    if let Some(lifetime) = answer.get_mut("lifetime") {
        ["mrr", "ltv", "ltv_expected"].iter().for_each(|field| round(lifetime, field));
        for point in lifetime["series"].as_array_mut().unwrap() {
            for field in RECURRING.iter().chain(&["start", "end"]) {
                round(&mut point["mrr"], field);
            }
        }
    }
    answer
}

#[test]
fn random_revenue_agrees_with_the_oracle() {
    play_all(150, &[Grid::WEEKS, Grid::NEW_MONTH], &|engine, oracle, seed, grid, context| {
        let now = grid.now;
        for n in 0..3 {
            let query = random_revenue(seed.wrapping_mul(1021).wrapping_add(n), grid);
            let ours = engine.report("revenue", &query, now);
            assert!(ours.get("error").is_none(), "{context}\n{query}\n{ours}");
            check(
                &query,
                with_numbers(ours.clone()),
                with_numbers(oracle.report("revenue", &query, now)),
                context,
            );
            let mut list: Json = serde_json::from_str(&query).unwrap();
            let shown = list.as_object_mut().unwrap().remove("limit").unwrap_or(Json::Null);
            let behind = |engine: &mut EngineBackend, fields: &[(&str, Json)], number: Option<&Json>| {
                let mut list = list.clone();
                for (name, value) in fields {
                    list[*name] = value.clone();
                }
                let query = list.to_string();
                let ours = engine.report("revenue/people", &query, now);
                if let Some(number) = number {
                    assert_eq!(ours["total"], *number, "{context}: a list is as long as its number\n{query}");
                }
                check(&query, ours, oracle.report("revenue/people", &query, now), context);
            };
            behind(engine, &[("which", "people".into())], Some(&ours["people"]));
            behind(engine, &[], Some(&ours["paying"]));
            for point in ours["series"].as_array().unwrap().iter().take(12) {
                behind(engine, &[("start", point["start"].clone())], Some(&point["paying"]));
            }
            for segment in ours["segments"].as_array().unwrap() {
                let Some(value) = segment.get("value") else {
                    let mut others = list.clone();
                    others["segment"] = json!({"other": true});
                    others["shown"] = shown.clone();
                    assert_eq!(
                        engine.report("revenue/people", &others.to_string(), now)["total"],
                        segment["paying"],
                        "{context}: the others\n{query}"
                    );
                    continue;
                };
                behind(engine, &[("segment", value.clone())], Some(&segment["paying"]));
                behind(
                    engine,
                    &[("segment", value.clone()), ("which", "people".into())],
                    Some(&segment["people"]),
                );
            }
            let Some(lifetime) = ours.get("lifetime") else { continue };
            behind(engine, &[("which", "customers".into())], Some(&lifetime["customers"]));
            behind(engine, &[("which", "current".into())], Some(&lifetime["current"]));
            let series = lifetime["series"].as_array().unwrap();
            for point in series.iter().take(4).chain(series.iter().rev().take(3)) {
                let start = ("start", point["start"].clone());
                for which in MOVEMENTS {
                    behind(engine, &[("which", which.into()), start.clone()], Some(&point[which]));
                }
                for which in RECURRING {
                    behind(engine, &[("which", which.into()), start.clone()], None);
                }
            }
        }
    });
}
