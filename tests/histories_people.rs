//! Searches for people over random histories against the oracle, all pages of each.

use serde_json::{Value as Json, json};
use whodid::testing::random::{Grid, Random, audience, range};

use crate::histories::{check, play_all};

pub fn random_people(seed: u64, grid: Grid) -> Json {
    let mut random = Random::on(seed ^ 0x7065_6f70_6c65, grid);
    let mut query = json!({});
    if random.chance(90) {
        query["people"] = audience(&mut random, 3);
    }
    if random.chance(40) {
        query["columns"] = json!(["person.Plan", "first:person.Price"]);
    }
    if random.chance(30) {
        range(&mut random, &mut query);
    }
    if random.chance(30) {
        query["as_of"] = whodid::model::format_millis(random.instant()).into();
    }
    query
}

#[test]
fn random_searches_agree_with_the_oracle() {
    play_all(150, &[Grid::WEEKS, Grid::NEW_MONTH], &|engine, oracle, seed, grid, context| {
        let now = grid.now;
        for n in 0..6 {
            let mut query = random_people(seed.wrapping_mul(1031).wrapping_add(n), grid);
            let expected = oracle.report("people", &query.to_string(), now);
            query["limit"] = 0.into();
            assert_eq!(
                engine.report("people", &query.to_string(), now)["total"],
                expected["total"],
                "{context}\n{query}"
            );
            query["limit"] = (1 + n).into();
            let mut people = Vec::new();
            loop {
                let page = engine.report("people", &query.to_string(), now);
                assert!(page.get("error").is_none(), "{context}\n{query}\n{page}");
                people.extend(page["people"].as_array().unwrap().iter().cloned());
                query["cursor"] = page["cursor"].clone();
                if query["cursor"].is_null() {
                    break;
                }
            }
            people.sort_by(|a, b| a["person"].as_str().cmp(&b["person"].as_str()));
            let ours = json!({"total": people.len(), "people": people});
            check(&query.to_string(), ours, expected, context);
        }
    });
}
