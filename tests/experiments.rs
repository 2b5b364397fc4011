//! Experiments end to end: the worked example of the documentation, and what is said of too few people.

use serde_json::{Value as Json, json};
use whodid::model::{Record, RecordKind, Value};

use crate::engine_backend::EngineBackend;

const TIME: i64 = 1_740_000_000_000;

fn tell(engine: &mut EngineBackend, person: &str, variant: &str, events: &[&str]) {
    let record = |kind, name: &str, properties| Record {
        kind,
        identity: person.to_owned(),
        name: name.to_owned(),
        time: Some(TIME),
        properties,
        id: None,
    };
    let set = record(RecordKind::Set, "", vec![("Test".to_owned(), Value::from(variant))]);
    engine.apply(&set, TIME);
    for event in events {
        engine.apply(&record(RecordKind::Event, event, Vec::new()), TIME);
    }
}

fn ask(engine: &mut EngineBackend) -> Json {
    let query =
        json!({"steps": [{"event": "A"}, {"event": "B"}], "by": "person.Test", "control": "Original"});
    engine.report("funnel", &query.to_string(), TIME + 1000)["experiment"].clone()
}

fn fill(people: u32, converted: [u32; 2]) -> EngineBackend {
    let mut engine = EngineBackend::new();
    for (variant, converted) in ["Original", "B"].into_iter().zip(converted) {
        for n in 0..people {
            let events: &[&str] = if n < converted { &["A", "B"] } else { &["A"] };
            tell(&mut engine, &format!("{variant}-{n}"), variant, events);
        }
    }
    engine
}

fn near(value: &Json, known: f64) {
    assert!((value.as_f64().unwrap() - known).abs() < 1e-9, "{value}, known {known}");
}

#[test]
fn the_worked_example_has_a_winner() {
    let mut engine = fill(100, [20, 35]);
    // One of them had seen the other variant first, on an earlier day.
    let mut earlier = Record {
        kind: RecordKind::Set,
        identity: "B-7".to_owned(),
        name: String::new(),
        time: Some(TIME - 86_400_000),
        properties: vec![("Test".to_owned(), Value::from("Original"))],
        id: None,
    };
    engine.apply(&earlier, TIME);
    // And somebody who never entered.
    earlier.identity = "nobody".to_owned();
    engine.apply(&earlier, TIME);
    let experiment = ask(&mut engine);
    let of = |name: &str| {
        let variants = experiment["variants"].as_array().unwrap();
        variants.iter().find(|v| v["value"] == name).unwrap().clone()
    };
    let (original, b) = (of("Original"), of("B"));
    assert_eq!(
        (&original["people"], &original["converted"], &b["converted"]),
        (&json!(100), &json!(20), &json!(35))
    );
    assert_eq!((&original["lift"], &original["p_value"]), (&Json::Null, &Json::Null));
    near(&b["lift"], 0.75);
    near(&b["p_value"], 0.01752886126037276);
    near(&b["interval"][0], 0.2636424824309753);
    near(&b["interval"][1], 0.44745556703112044);
    near(&b["probability_best"], 0.9910269999659781);
    near(&original["probability_best"], 1.0 - 0.9910269999659781);
    assert_eq!(experiment["sample_ratio_p"], 1.0);
    assert_eq!(
        (&experiment["several_variants"], &experiment["enough_data"], &experiment["winner"]),
        (&json!(1), &json!(true), &json!("B"))
    );
    let mut list =
        json!({"steps": [{"event": "A"}, {"event": "B"}], "by": "person.Test", "control": "Original"});
    list["step"] = 1.into();
    list["several_variants"] = true.into();
    let several = engine.report("funnel/people", &list.to_string(), TIME + 1000);
    assert_eq!((&several["total"], &several["people"][0]["person"]), (&json!(1), &json!("B-7")));
    list.as_object_mut().unwrap().remove("control");
    let refused = engine.report("funnel/people", &list.to_string(), TIME + 1000);
    assert_eq!(refused["error"]["code"], "no_segments");
}

#[test]
fn a_control_that_is_not_shown_is_compared_with_as_well() {
    let mut engine = fill(100, [20, 35]);
    // So that the control is the smallest.
    for n in 0..5 {
        tell(&mut engine, &format!("B-more-{n}"), "B", &["A"]);
    }
    let ask = |engine: &mut EngineBackend, by: &str, limit: u64| {
        let query = json!({"steps": [{"event": "A"}, {"event": "B"}], "by": by, "control": "Original", "limit": limit});
        let answer = engine.report("funnel", &query.to_string(), TIME + 1000);
        let mut variants = answer["experiment"]["variants"].as_array().unwrap().clone();
        variants.sort_by_key(|v| v["value"].to_string());
        (variants, answer["experiment"]["winner"].clone(), answer["segments"].as_array().unwrap().len())
    };
    let all = ask(&mut engine, "person.Test", 10);
    let one = ask(&mut engine, "person.Test", 1);
    assert_eq!((all.2, one.2, all.0[1]["people"].as_u64()), (2, 2, Some(100)), "one and the others");
    assert_eq!((&one.0, &one.1), (&all.0, &all.1));
    // Every set came at the instant of entry, where it counts.
    assert_eq!(ask(&mut engine, "at:person.Test", 10), all);
}

#[test]
fn a_control_that_nobody_has_is_warned_of_and_counts_for_nothing() {
    let mut engine = fill(100, [20, 35]);
    let mut ask = |control: &str| {
        let query =
            json!({"steps": [{"event": "A"}, {"event": "B"}], "by": "person.Test", "control": control});
        engine.report("funnel", &query.to_string(), TIME + 1000)
    };
    let (right, wrong) = (ask("Original"), ask("original"));
    assert_eq!(right["warnings"], Json::Null);
    assert_eq!(
        wrong["warnings"],
        json!([{"at": "control", "message": "nobody in this funnel has \"original\"",
            "hint": "did you mean \"Original\"?"}])
    );
    let experiment = &wrong["experiment"];
    assert_eq!(
        (&experiment["sample_ratio_p"], &experiment["enough_data"], &experiment["winner"]),
        (&json!(1.0), &json!(false), &Json::Null)
    );
    let variants = experiment["variants"].as_array().unwrap();
    assert_eq!(variants.len(), 3);
    for variant in variants {
        let same = right["experiment"]["variants"].as_array().unwrap();
        let same = same.iter().find(|v| v["value"] == variant["value"]);
        let best = same.map_or(Json::Null, |v| v["probability_best"].clone());
        assert_eq!(variant["probability_best"], best, "{variant}");
    }
    // Where nobody entered nobody can have it.
    let query = json!({"steps": [{"event": "A"}], "by": "person.Test", "control": "x", "to": "2000-01-01"});
    let empty = engine.report("funnel", &query.to_string(), TIME + 1000);
    assert_eq!(empty["warnings"], Json::Null, "{empty}");
}

#[test]
fn too_few_people_are_no_winner() {
    let experiment = ask(&mut fill(10, [0, 9]));
    assert_eq!((&experiment["enough_data"], &experiment["winner"]), (&json!(false), &Json::Null));
    // A control that nobody has is still listed.
    let mut engine = EngineBackend::new();
    tell(&mut engine, "x", "B", &["A"]);
    let experiment = ask(&mut engine);
    let variants = experiment["variants"].as_array().unwrap();
    assert_eq!(
        (variants.len(), &variants[1]["rate"], &variants[0]["p_value"]),
        (2, &Json::Null, &Json::Null)
    );
}
