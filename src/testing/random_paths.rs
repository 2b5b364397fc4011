//! Random queries for paths about what [`super::random::History`] makes.

use serde_json::json;

use super::random::{Grid, Random, audience, pattern, range};
use crate::model::format_millis;

/// A query for paths as JSON text. Ask it at the grid's `now`.
pub fn random_paths(seed: u64, grid: Grid) -> String {
    let mut random = Random::on(seed ^ 0x70_6174_6873, grid);
    let mut query = json!({});
    let ends = random.below(4);
    if ends != 1 {
        query["start"] = pattern(&mut random, "event", 20);
    }
    if ends != 2 {
        query["goal"] = pattern(&mut random, "event", 20);
    }
    if random.chance(60) {
        query["events"] = (1 + random.below(4)).into();
    }
    if random.chance(50) {
        query["side"] = random.pick(&["first", "last"]).into();
    }
    if random.chance(30) {
        query["limit"] = (1 + random.below(3)).into();
    }
    range(&mut random, &mut query);
    if random.chance(25) {
        query["as_of"] = format_millis(random.instant()).into();
    }
    if random.chance(30) {
        query["people"] = audience(&mut random, 1);
    }
    query.to_string()
}
