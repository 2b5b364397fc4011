//! Random queries for trends and lifecycles about what [`super::random::History`] makes.

use serde_json::{Value as Json, json};

use super::random::{Grid, PROPERTIES, Random, ZONES, audience, pattern, range};
use crate::model::format_millis;

fn common(random: &mut Random, query: &mut Json) {
    if random.chance(80) {
        query["unit"] = random.pick(&["day", "week", "month"]).into();
    }
    if random.chance(20) {
        query["week_start"] = "sunday".into();
    }
    range(random, query);
    if random.chance(30) {
        query["tz"] = random.pick(&ZONES).into();
    }
    if random.chance(25) {
        query["as_of"] = format_millis(random.instant()).into();
    }
    if random.chance(30) {
        query["people"] = audience(random, 1);
    }
}

/// A query for trends as JSON text. Ask it at the grid's `now`.
pub fn random_trend(seed: u64, grid: Grid) -> String {
    let mut random = Random::on(seed ^ 0x0074_7265_6e64, grid);
    let mut series = Vec::new();
    for _ in 0..1 + random.below(2) {
        let mut one = pattern(&mut random, "event", 20);
        let measure = random.pick(&["events", "people", "per_person", "sum", "mean", "median"]);
        one["measure"] = measure.into();
        if matches!(measure, "sum" | "mean" | "median") {
            one["property"] = random.pick(&["Price", "Price", "Plan"]).into();
        }
        series.push(one);
    }
    let mut query = json!({ "series": series });
    if random.chance(50) {
        let property = random.pick(&PROPERTIES);
        query["by"] = format!("{}.{property}", random.pick(&["event", "person", "first:person"])).into();
        if random.chance(50) {
            query["limit"] = (1 + random.below(3)).into();
        }
    }
    common(&mut random, &mut query);
    query.to_string()
}

/// A lifecycle query as JSON text. Ask it at the grid's `now`.
pub fn random_lifecycle(seed: u64, grid: Grid) -> String {
    let mut random = Random::on(seed ^ 0x6c69_6665, grid);
    let mut query = json!({});
    if random.chance(50) {
        query["event"] = pattern(&mut random, "event", 0)["event"].clone();
    }
    common(&mut random, &mut query);
    query.to_string()
}
