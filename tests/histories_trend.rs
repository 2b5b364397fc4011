//! Trends and lifecycles over random histories against the oracle, and the people behind their numbers.

use serde_json::{Value as Json, json};
use whodid::testing::random::Grid;
use whodid::testing::random_trend::{random_lifecycle, random_trend};

use crate::engine_backend::EngineBackend;
use crate::histories::{check, play_all};

#[test]
fn random_trends_agree_with_the_oracle() {
    play_all(120, &[Grid::WEEKS, Grid::NEW_MONTH], &|engine, oracle, seed, grid, context| {
        let now = grid.now;
        for n in 0..3 {
            let query = random_trend(seed.wrapping_mul(1033).wrapping_add(n), grid);
            let ours = engine.report("trend", &query, now);
            assert!(ours.get("error").is_none(), "{context}\n{query}\n{ours}");
            check(&query, ours.clone(), oracle.report("trend", &query, now), context);
            let mut list: Json = serde_json::from_str(&query).unwrap();
            let shown = list.as_object_mut().unwrap().remove("limit").unwrap_or(Json::Null);
            for (number, series) in (1u64..).zip(ours["series"].as_array().unwrap()) {
                list["number"] = number.into();
                let behind = |engine: &mut EngineBackend,
                              start: Option<&Json>,
                              segment: Option<&Json>,
                              people: &Json| {
                    let mut list = list.clone();
                    for (name, value) in [("start", start), ("segment", segment)] {
                        if let Some(value) = value {
                            list[name] = value.clone();
                        }
                    }
                    let query = list.to_string();
                    let ours = engine.report("trend/people", &query, now);
                    if series["measure"] == "people" {
                        assert_eq!(
                            ours["total"], *people,
                            "{context}: a list is as long as its number\n{query}"
                        );
                    }
                    check(&query, ours, oracle.report("trend/people", &query, now), context);
                };
                behind(engine, None, None, &series["total"]);
                for point in series["points"].as_array().unwrap().iter().take(6) {
                    behind(engine, Some(&point["start"]), None, &point["value"]);
                }
                for segment in series.get("segments").and_then(Json::as_array).into_iter().flatten() {
                    if let Some(value) = segment.get("value") {
                        behind(engine, None, Some(value), &segment["total"]);
                    } else if series["measure"] == "people" {
                        let mut others = list.clone();
                        others["segment"] = json!({"other": true});
                        others["shown"] = shown.clone();
                        assert_eq!(
                            engine.report("trend/people", &others.to_string(), now)["total"],
                            segment["total"],
                            "{context}: the others\n{query}"
                        );
                    }
                }
            }
        }
    });
}

#[test]
fn random_lifecycles_agree_with_the_oracle() {
    play_all(120, &[Grid::WEEKS, Grid::NEW_MONTH], &|engine, oracle, seed, grid, context| {
        let now = grid.now;
        for n in 0..3 {
            let query = random_lifecycle(seed.wrapping_mul(1039).wrapping_add(n), grid);
            let ours = engine.report("lifecycle", &query, now);
            assert!(ours.get("error").is_none(), "{context}\n{query}\n{ours}");
            check(&query, ours.clone(), oracle.report("lifecycle", &query, now), context);
            let mut list: Json = serde_json::from_str(&query).unwrap();
            for point in ours["points"].as_array().unwrap().iter().take(6) {
                list["start"] = point["start"].clone();
                for stage in ["new", "returning", "resurrected", "dormant"] {
                    list["which"] = stage.into();
                    let query = list.to_string();
                    let ours = engine.report("lifecycle/people", &query, now);
                    assert_eq!(
                        ours["total"], point[stage],
                        "{context}: a list is as long as its number\n{query}"
                    );
                    check(&query, ours, oracle.report("lifecycle/people", &query, now), context);
                }
            }
        }
    });
}
