//! Random revenue queries about what [`super::random::History`] makes; its amounts are in `Price`.

use serde_json::json;

use super::random::{EVENTS, Grid, PROPERTIES, Random, ZONES, audience, range};
use crate::model::format_millis;

/// A revenue query as JSON text. Ask it at the grid's `now`.
pub fn random_revenue(seed: u64, grid: Grid) -> String {
    let mut random = Random::on(seed ^ 0x7265_7665_6e75, grid);
    let mut query = json!({"property": random.pick(&["Price", "Price", "Price", "Plan", "Nothing"])});
    if random.chance(80) {
        query["unit"] = random.pick(&["day", "week", "month"]).into();
    }
    if random.chance(20) {
        query["week_start"] = "sunday".into();
    }
    if random.chance(70) {
        let property = random.pick(&PROPERTIES);
        query["by"] = format!("{}.{property}", random.pick(&["person", "first:person"])).into();
    }
    if random.chance(40) {
        query["limit"] = (1 + random.below(3)).into();
    }
    if random.chance(50) {
        query["lifetime"] = true.into();
        match random.below(3) {
            0 => query["lost_after"] = random.pick(&["1d", "7d", "45d"]).into(),
            1 => query["lost_by"] = json!([random.pick(&EVENTS)]),
            _ => {}
        }
        query["period"] = random.pick(&["Plan", "Plan", "Price", "Nothing"]).into();
    }
    range(&mut random, &mut query);
    if random.chance(30) {
        query["tz"] = random.pick(&ZONES).into();
    }
    if random.chance(25) {
        query["as_of"] = format_millis(random.instant()).into();
    }
    if random.chance(30) {
        query["people"] = audience(&mut random, 1);
    }
    query.to_string()
}
