//! Cohorts over random histories against the oracle: every cell, and the people behind each.

use serde_json::{Value as Json, json};
use whodid::testing::random::Grid;
use whodid::testing::random_cohort::random_cohort;

use crate::histories::{check, other_form, play_all};

/// The audience of who is in the cell that a list is of.
fn cell_of(list: &Json) -> Json {
    let mut cell = json!({"cohort": list, "row": list["row"]});
    for field in ["row", "column"] {
        cell["cohort"].as_object_mut().unwrap().remove(field);
    }
    if !list["column"].is_null() {
        cell["column"] = list["column"].clone();
    }
    cell
}

#[test]
fn random_cohorts_agree_with_the_oracle() {
    play_all(150, &[Grid::WEEKS, Grid::NEW_MONTH], &|engine, oracle, seed, grid, context| {
        let now = grid.now;
        for n in 0..3 {
            let query = random_cohort(seed.wrapping_mul(1013).wrapping_add(n), grid);
            let ours = engine.report("cohort", &query, now);
            assert!(ours.get("error").is_none(), "{context}\n{query}\n{ours}");
            check(&query, ours.clone(), oracle.report("cohort", &query, now), context);
            let mut list: Json = serde_json::from_str(&query).unwrap();
            let shown = list.as_object_mut().unwrap().remove("limit").unwrap_or(Json::Null);
            for row in ours["cohorts"].as_array().unwrap() {
                let Some(name) = row.get("cohort") else {
                    list["row"] = json!({"other": true});
                    list["column"] = Json::Null;
                    list["shown"] = shown.clone();
                    let query = list.to_string();
                    let ours = engine.report("cohort/people", &query, now);
                    assert_eq!(ours["total"], row["size"], "{context}: the others\n{query}");
                    list.as_object_mut().unwrap().remove("shown");
                    continue;
                };
                list["row"] = name.clone();
                list["column"] = Json::Null;
                if let Some(other) = other_form(name).filter(|_| list.get("by").is_some()) {
                    list["row"] = other;
                    let query = list.to_string();
                    let ours = engine.report("cohort/people", &query, now);
                    let search = json!({"people": cell_of(&list), "limit": 0, "as_of": list.get("as_of")});
                    let found = engine.report("people", &search.to_string(), now);
                    assert_eq!(ours["total"], found["total"], "{context}\n{search}");
                    check(&query, ours, oracle.report("cohort/people", &query, now), context);
                    list["row"] = name.clone();
                }
                let mut columns = vec![(Json::Null, &row["size"])];
                let cells = row["cells"].as_array().unwrap().iter().enumerate();
                columns.extend(cells.map(|(k, cell)| (k.into(), &cell["people"])));
                for (column, number) in columns {
                    list["column"] = column;
                    let query = list.to_string();
                    let ours = engine.report("cohort/people", &query, now);
                    assert_eq!(ours["total"], *number, "{context}: a list is as long as its number\n{query}");
                    check(&query, ours, oracle.report("cohort/people", &query, now), context);
                    // Who is in a cell is an audience too.
                    let cell = cell_of(&list);
                    // What is inside a search sees no more than the search, which here may be asked of a later instant.
                    let as_of = list.get("as_of").cloned().unwrap_or(Json::Null);
                    let search = json!({"people": cell, "limit": 0, "as_of": as_of}).to_string();
                    let found = engine.report("people", &search, now);
                    assert_eq!(found["total"], *number, "{context}\n{search}\n{found}");
                    let without = json!({"people": {"not": cell}, "limit": 0, "as_of": as_of}).to_string();
                    let everybody = engine.report("people", r#"{"limit":0}"#, now)["total"].as_u64().unwrap();
                    let rest = engine.report("people", &without, now)["total"].as_u64().unwrap();
                    assert_eq!(rest + number.as_u64().unwrap(), everybody, "{context}\n{without}");
                }
            }
        }
    });
}
