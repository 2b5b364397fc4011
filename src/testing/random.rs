//! Random histories and random funnel queries, each a function of its seed. Alphabets are small and times
//! lie on a coarse grid, because what breaks reports is ties, repeats and people who melt together.

use serde_json::{Value as Json, json};

use crate::model::{Millis, Number, Record, RecordKind, Value, format_millis};

/// The first instant of the grid: a Berlin evening before the clocks go forward.
pub const START: Millis = 1_743_260_400_000;
/// The instants at which things happen in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Minutes between two of them.
    minutes: u64,
    /// The first of them.
    start: Millis,
    /// Days that queries name.
    days: [&'static str; 2],
    /// When reports are asked: shortly before the end of the grid, so that some records lie in the future.
    pub now: Millis,
}

/// Instants on a grid.
const INSTANTS: u64 = 40;

impl Grid {
    /// Ten hours.
    pub const HOURS: Self = Self { minutes: 15, start: START, days: ["2025-03-29", "2025-03-30"], now: NOW };
    /// Ten hours in which a month begins, in America on a day on which the clocks go back: in Havana to the midnight that was.
    pub const NEW_MONTH: Self = Self {
        minutes: 15,
        start: 1_793_491_200_000,
        days: ["2026-10-31", "2026-11-01"],
        now: 1_793_491_200_000 + 36 * 15 * 60_000,
    };
    /// Twelve weeks, in steps that wander through the day.
    pub const WEEKS: Self = Self {
        minutes: 2985,
        start: START,
        days: ["2025-04-01", "2025-05-04"],
        now: START + 39 * 2985 * 60_000 - 3_600_000,
    };
}
/// A server's clock shortly before the end of the grid, so that some records lie in its future.
pub const NOW: Millis = START + 36 * 15 * 60_000;

const IDENTITIES: [&str; 6] = ["anon-1", "anon-2", "anon-3", "ann@x.org", "bob@x.org", "cy@x.org"];
pub(super) const EVENTS: [&str; 5] = ["A", "B", "C", "D", "E"];
/// The properties of events and people.
pub const PROPERTIES: [&str; 3] = ["Plan", "Price", "Vip"];
/// Zones whose clocks change in the time of a grid, one of them over midnight; two are not whole hours apart from the others.
pub(super) const ZONES: [&str; 6] = [
    "Europe/Berlin",
    "America/New_York",
    "America/Havana",
    "America/St_Johns",
    "Asia/Beirut",
    "Australia/Lord_Howe",
];
const CONDITIONS: [&str; 16] = [
    r#"{"is":"Pro"}"#,
    r#"{"is":"2"}"#,
    r#"{"is":2}"#,
    r#"{"is":true}"#,
    r#"{"is_not":"Pro"}"#,
    r#"{"is_not":2}"#,
    r#"{"in":["Free","10.5"]}"#,
    r#"{"contains":"r"}"#,
    r#"{"contains":"0"}"#,
    r#"{"starts_with":"P"}"#,
    r#"{"gt":2}"#,
    r#"{"gte":"2"}"#,
    r#"{"lt":"Pro"}"#,
    r#"{"lte":10.5}"#,
    r#"{"set":true}"#,
    r#"{"set":false}"#,
];

/// SplitMix64: small, and good enough to choose test data.
#[derive(Clone, Debug)]
pub struct Random(u64, Grid);

impl Random {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self::on(seed, Grid::HOURS)
    }

    /// The sequence of this seed, with instants of `grid`.
    pub fn on(seed: u64, grid: Grid) -> Self {
        // A first step apart, so that neighbouring seeds do not give shifted copies of one sequence.
        let mut mixer = Self(seed, grid);
        Self(mixer.bits() ^ 0x5851_f42d_4c95_7f2d, grid)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 if there is none.
    pub fn below(&mut self, end: u64) -> u64 {
        self.bits().checked_rem(end).unwrap_or(0)
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of them; the default of the type if there is none.
    pub fn pick<T: Clone + Default>(&mut self, from: &[T]) -> T {
        let at = self.below(from.len() as u64);
        usize::try_from(at).ok().and_then(|at| from.get(at)).cloned().unwrap_or_default()
    }

    /// An instant on the grid.
    pub fn instant(&mut self) -> Millis {
        let minutes = self.below(INSTANTS) * self.1.minutes;
        self.1.start + i64::try_from(minutes * 60_000).unwrap_or(0)
    }
}

/// One thing that happens to a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A record arrives. It passes [`Record::checked`] at [`NOW`].
    Record(Record),
    /// An operator merges the person of the first into that of the second.
    Merge(String, String),
    /// An operator takes an identity out of its person.
    Unmerge(String),
    /// A person is erased.
    Erase(String),
    /// The memtable is written out.
    Flush,
    /// Segments are merged.
    Compact,
    /// The store is closed and opened again.
    Reopen,
}

/// Makers of random histories.
pub struct History;

impl History {
    /// Between 1 and 70 actions. Everything but records, operators' merges and erasures is bound to change no answer.
    pub fn random(seed: u64) -> Vec<Action> {
        Self::on(seed, Grid::HOURS)
    }

    /// The same on another grid.
    pub fn on(seed: u64, grid: Grid) -> Vec<Action> {
        let mut random = Random::on(seed, grid);
        let length = 1 + random.below(70);
        let mut actions: Vec<Action> = Vec::new();
        for _ in 0..length {
            let action = match random.below(100) {
                0..=3 => Action::Merge(random.pick(&IDENTITIES).into(), random.pick(&IDENTITIES).into()),
                4..=7 => Action::Unmerge(random.pick(&IDENTITIES).into()),
                8..=10 => Action::Flush,
                11..=12 => Action::Compact,
                13 => Action::Reopen,
                14 => Action::Erase(random.pick(&IDENTITIES).into()),
                15..=19 => repeat(&mut random, &actions),
                _ => Action::Record(record(&mut random)),
            };
            actions.push(action);
        }
        actions
    }
}

/// Sends an earlier record once more, exactly or under the same id.
fn repeat(random: &mut Random, actions: &[Action]) -> Action {
    let sent: Vec<&Record> =
        actions.iter().filter_map(|a| if let Action::Record(r) = a { Some(r) } else { None }).collect();
    let at = usize::try_from(random.below(sent.len() as u64)).unwrap_or(0);
    let Some(earlier) = sent.get(at) else { return Action::Flush };
    let mut again = (*earlier).clone();
    if random.chance(40) {
        again = Record { id: again.id, ..record(random) };
    }
    Action::Record(again)
}

fn record(random: &mut Random) -> Record {
    let kind = match random.below(100) {
        0..=69 => RecordKind::Event,
        70..=84 => RecordKind::Set,
        _ => RecordKind::Identify,
    };
    let name = match kind {
        RecordKind::Event => random.pick(&EVENTS),
        RecordKind::Set => "",
        // Now and then somebody is identified as an anonymous id.
        RecordKind::Identify if random.chance(80) => random.pick(&["ann@x.org", "bob@x.org", "cy@x.org"]),
        RecordKind::Identify => random.pick(&IDENTITIES),
    };
    let mut properties = Vec::new();
    for property in PROPERTIES {
        if kind != RecordKind::Identify && random.chance(35) {
            properties.push((property.to_owned(), value(random, property)));
        }
    }
    if kind == RecordKind::Set && properties.is_empty() {
        properties.push(("Plan".to_owned(), value(random, "Plan")));
    }
    Record {
        kind,
        identity: random.pick(&IDENTITIES).into(),
        name: name.into(),
        time: if random.chance(95) { Some(random.instant()) } else { None },
        properties,
        id: if random.chance(15) { Some(format!("id-{}", random.below(40))) } else { None },
    }
}

fn value(random: &mut Random, property: &str) -> Value {
    match property {
        "Vip" => Value::Bool(random.chance(50)),
        // Now and then what no cell of amounts holds, as far as JSON of 64 bits brings it back, or no amount at all.
        "Price" if random.chance(4) => {
            let (mantissa, scale) = random.pick(&[(i128::from(i64::MIN), 0), (10i128.pow(19), 0), (1, 9)]);
            Value::Number(Number::new(mantissa, scale))
        }
        "Price" if random.chance(4) => Value::from(random.pick(&["2", "free"])),
        "Price" => {
            let numbers = [(2, 0), (105, 1), (-3, 0), (0, 0)];
            let (mantissa, scale) = random.pick(&numbers);
            Value::Number(Number::new(mantissa, scale))
        }
        // A number under a name that mostly holds text, and text that looks like one.
        _ if random.chance(10) => Value::Number(Number::from(2)),
        _ => Value::from(random.pick(&["Free", "Pro", "2", "", "week"])),
    }
}

/// A funnel query as JSON text, valid, about what [`History::random`] makes. Ask it at [`NOW`].
pub fn random_funnel(seed: u64) -> String {
    let mut random = Random::new(seed ^ 0x6675_6e6e_656c);
    let count = 1 + random.below(4);
    let steps: Vec<Json> = (0..count).map(|_| pattern(&mut random, "event", 25)).collect();
    let mut query = json!({"steps": steps});
    let order = random.pick(&["", "", "ordered", "strict", "any"]);
    if !order.is_empty() {
        query["order"] = order.into();
    }
    if random.chance(50) {
        query["within"] = random.pick(&["0s", "15m", "1h", "90m", "1d"]).into();
    }
    range(&mut random, &mut query);
    if query.get("to").is_some() && random.chance(40) {
        query["until"] = "to".into();
    }
    if random.chance(25) {
        query["as_of"] = format_millis(random.instant()).into();
    }
    if count > 1 && random.chance(35) {
        let mut excluded = pattern(&mut random, "event", 20);
        if random.chance(60) {
            excluded["after"] = (1 + random.below(count - 1)).into();
        }
        query["exclude"] = json!([excluded]);
    }
    if random.chance(50) {
        let property = random.pick(&PROPERTIES);
        query["by"] = match random.below(4) {
            0 => format!("person.{property}"),
            1 => format!("first:person.{property}"),
            2 => format!("at:person.{property}"),
            _ => format!("step{}.{property}", 1 + random.below(count)),
        }
        .into();
        if random.chance(50) {
            query["limit"] = (1 + random.below(3)).into();
        }
    }
    if random.chance(35) {
        query["people"] = audience(&mut random, 2);
    }
    if random.chance(10) {
        query["times"] = false.into();
    }
    query.to_string()
}

/// One event or several under `key`, with conditions in `percent` of 100 cases.
pub fn pattern(random: &mut Random, key: &str, percent: u64) -> Json {
    let one = random.pick(&EVENTS);
    let mut out = json!({});
    out[key] = if random.chance(25) { json!([one, random.pick(&EVENTS)]) } else { json!(one) };
    if random.chance(percent) {
        out["where"] = json!([condition(random)]);
    }
    out
}

fn condition(random: &mut Random) -> Json {
    let mut out: Json =
        serde_json::from_str(random.pick(&CONDITIONS)).unwrap_or_else(|_| json!({"set": true}));
    out["property"] = random.pick(&PROPERTIES).into();
    out
}

/// Adds bounds of time, as instants or as days, some of them days of a zone.
pub fn range(random: &mut Random, query: &mut Json) {
    if random.chance(15) {
        query["tz"] = random.pick(&ZONES).into();
    }
    for bound in ["from", "to"] {
        if random.chance(30) {
            let instant = format_millis(random.instant());
            let days = random.1.days;
            let day = random.pick(&days);
            query[bound] = if random.chance(25) { day.into() } else { instant.into() };
        }
    }
}

/// An audience, nested up to `depth` levels.
pub fn audience(random: &mut Random, depth: u64) -> Json {
    let kinds = if depth == 0 { 4 } else { 8 };
    match random.below(kinds) {
        0 => {
            let mut out = pattern(random, "did", 30);
            out["did"] = random.pick(&EVENTS).into();
            for bound in ["at_least", "at_most"] {
                if random.chance(35) {
                    out[bound] = random.below(4).into();
                }
            }
            range(random, &mut out);
            if let Some(fields) = out.as_object_mut() {
                // The zone is the query's own.
                fields.remove("tz");
            }
            out
        }
        1 => {
            let mut out = condition(random);
            if random.chance(30) {
                out["which"] = "first".into();
            }
            out
        }
        2 => json!({"seen": {"from": format_millis(random.instant())}}),
        3 => json!({"identified": random.chance(60)}),
        4 => json!({"not": audience(random, depth - 1)}),
        5 => json!({"all": [audience(random, depth - 1), audience(random, depth - 1)]}),
        6 => {
            // Who did some things ever, and perhaps not others, which sets alone can tell.
            let mut parts = vec![json!({"did": random.pick(&EVENTS)})];
            for _ in 0..random.below(3) {
                let did = json!({"did": random.pick(&EVENTS)});
                parts.push(if random.chance(50) { did } else { json!({"not": did}) });
            }
            json!({"all": parts})
        }
        _ => json!({"any": [audience(random, depth - 1), audience(random, depth - 1)]}),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::model::Admission;
    use crate::testing::oracle::{Applied, Oracle};

    fn told(seed: u64) -> (Oracle, BTreeMap<&'static str, usize>) {
        let mut oracle = Oracle::new();
        let mut seen = BTreeMap::new();
        for action in History::random(seed) {
            let what = match action {
                Action::Record(record) => {
                    match oracle.apply(&record.checked(Admission::usual(NOW)).unwrap(), NOW) {
                        Applied::Stored => "stored",
                        Applied::Duplicate => "duplicate",
                        Applied::MergeRefused { .. } => "refused",
                    }
                }
                Action::Merge(a, b) => {
                    oracle.merge(&a, &b);
                    "merge"
                }
                Action::Unmerge(x) => {
                    oracle.unmerge(&x);
                    "unmerge"
                }
                Action::Erase(x) => {
                    oracle.erase(&x);
                    "erase"
                }
                Action::Flush | Action::Compact | Action::Reopen => "storage",
            };
            *seen.entry(what).or_insert(0) += 1;
        }
        (oracle, seen)
    }

    #[test]
    fn a_seed_gives_the_same_history_and_query_always() {
        assert_eq!(History::random(7), History::random(7));
        assert_ne!(History::random(7), History::random(8));
        assert_eq!(random_funnel(7), random_funnel(7));
    }

    #[test]
    fn histories_and_queries_cover_everything() {
        let (mut outcomes, mut fields, mut depths) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut in_progress = false;
        for seed in 0..400 {
            let (oracle, seen) = told(seed);
            outcomes.extend(seen.into_keys());
            let query: Json = serde_json::from_str(&random_funnel(seed)).unwrap();
            fields.extend(query.as_object().unwrap().keys().cloned());
            let answer = oracle.funnel(&query.to_string(), NOW);
            for (k, step) in answer["steps"].as_array().unwrap().iter().enumerate() {
                if step["people"] != 0 {
                    depths.insert(k + 1);
                }
                in_progress |= step["in_progress"] != 0;
            }
        }
        assert_eq!(outcomes.len(), 7, "{outcomes:?}");
        assert_eq!(fields.len(), 13, "{fields:?}");
        assert_eq!(depths.len(), 4);
        assert!(in_progress);
    }

    /// What holds whatever the right answer is: lists are as long as the numbers, parts add up to the whole.
    #[test]
    fn numbers_agree_with_lists_and_segments_with_the_whole() {
        for seed in 0..400 {
            let (oracle, _) = told(seed);
            let text = random_funnel(seed);
            let answer = oracle.funnel(&text, NOW);
            let steps = answer["steps"].as_array().unwrap();
            for (k, step) in steps.iter().enumerate() {
                let mut query: Json = serde_json::from_str(&text).unwrap();
                query["step"] = (k + 1).into();
                for (outcome, number) in
                    [("reached", "people"), ("lost", "lost"), ("in_progress", "in_progress")]
                {
                    query["outcome"] = outcome.into();
                    let total = &oracle.funnel_people(&query.to_string(), NOW)["total"];
                    assert_eq!(*total, step[number], "seed {seed} step {k} {outcome}");
                }
                if let Some(segments) = answer.get("segments") {
                    for number in ["people", "lost", "in_progress"] {
                        let sum: u64 = segments
                            .as_array()
                            .unwrap()
                            .iter()
                            .map(|s| s["steps"][k][number].as_u64().unwrap())
                            .sum();
                        assert_eq!(sum, step[number].as_u64().unwrap(), "seed {seed} step {k} {number}");
                    }
                }
            }
        }
    }
}
