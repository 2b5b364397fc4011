//! Paths over random histories against the oracle, and the people of each. On the grid of hours, where many events share an instant.

use serde_json::{Value as Json, json};
use whodid::testing::random::Grid;
use whodid::testing::random_paths::random_paths;

use crate::histories::{check, play_all};

#[test]
fn random_paths_agree_with_the_oracle() {
    play_all(150, &[Grid::HOURS], &|engine, oracle, seed, grid, context| {
        let now = grid.now;
        for n in 0..3 {
            let query = random_paths(seed.wrapping_mul(1019).wrapping_add(n), grid);
            let ours = engine.report("paths", &query, now);
            assert!(ours.get("error").is_none(), "{context}\n{query}\n{ours}");
            check(&query, ours.clone(), oracle.report("paths", &query, now), context);
            let mut list: Json = serde_json::from_str(&query).unwrap();
            let limit = list.as_object_mut().unwrap().remove("limit");
            let mut numbers = vec![(Json::Null, &ours["people"]), (json!({"other": true}), &ours["other"])];
            numbers.extend(
                ours["paths"].as_array().unwrap().iter().map(|p| (p["events"].clone(), &p["people"])),
            );
            for (path, number) in numbers {
                list["shown"] = limit.clone().filter(|_| path.is_object()).unwrap_or(Json::Null);
                list["path"] = path;
                let query = list.to_string();
                let ours = engine.report("paths/people", &query, now);
                assert_eq!(ours["total"], *number, "{context}: a list is as long as its number\n{query}");
                check(&query, ours, oracle.report("paths/people", &query, now), context);
            }
        }
    });
}
