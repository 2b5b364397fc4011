//! Random cohort definitions about what [`super::random::History`] makes.

use serde_json::{Value as Json, json};

use super::random::{Grid, PROPERTIES, Random, ZONES, audience, pattern, range};
use crate::model::format_millis;

/// A cohort query as JSON text. Ask it at the grid's `now`.
pub fn random_cohort(seed: u64, grid: Grid) -> String {
    let mut random = Random::on(seed ^ 0x636f_686f_7274, grid);
    let mut query = json!({
        "start": pattern(&mut random, "event", 20),
        "return": pattern(&mut random, "event", 20),
        "cohort": random.pick(&["day", "week", "month"]),
        "bucket": random.pick(&["day", "week", "month"]),
        "count": 1 + random.below(8),
        "buckets": random.pick(&["relative", "calendar"]),
        "mode": random.pick(&["in", "at_least"]),
    });
    match random.below(4) {
        0 => query["measure"] = "events".into(),
        1 => {
            query["measure"] = "sum".into();
            query["property"] = "Price".into();
        }
        _ => {}
    }
    if random.chance(40) {
        let property = random.pick(&PROPERTIES);
        let which = random.pick(&["person", "first:person", "at:person"]);
        query["by"] = format!("{which}.{property}").into();
        if random.chance(50) {
            query["limit"] = (1 + random.below(3)).into();
        }
    }
    if random.chance(20) {
        query["week_start"] = random.pick(&["sunday", "wednesday"]).into();
    }
    range(&mut random, &mut query);
    if random.chance(40) {
        query["tz"] = random.pick(&ZONES).into();
    }
    if random.chance(25) {
        query["as_of"] = format_millis(random.instant()).into();
    }
    if random.chance(30) {
        query["people"] = audience(&mut random, 1);
    }
    for field in ["bucket", "buckets", "mode", "cohort"] {
        if random.chance(15)
            && let Some(fields) = query.as_object_mut()
        {
            fields.remove(field);
        }
    }
    Json::to_string(&query)
}
