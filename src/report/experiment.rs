//! Experiments: the segments of a funnel as variants, one of them the control.

use serde::Serialize;

use super::nearest::nearest;
use super::segment::{Label, Segment};
use super::statistics::{Rate, p_value, probability_best, sample_ratio};
use super::tally::{Part, Warning};
use crate::model::Value;

/// People that each variant needs before anything is said of it.
const PEOPLE_MIN: u64 = 30;
/// Conversions that it needs, and people who did not convert.
const EACH_MIN: u64 = 5;
/// Below this p-value a difference counts.
const SIGNIFICANT: f64 = 0.05;

/// What an experiment says.
#[derive(Clone, Debug, Serialize)]
pub struct Experiment {
    /// The variant that the others are compared with.
    pub control: Value,
    /// All variants, the control among them.
    pub variants: Vec<Variant>,
    /// The p-value that people were split equally among the variants that anybody has.
    pub sample_ratio_p: Option<f64>,
    /// People who have had more than one variant.
    pub several_variants: u64,
    /// Whether every variant has enough people, conversions and others.
    pub enough_data: bool,
    /// The variant that is better than the control, if any is.
    pub winner: Option<Value>,
}

/// One variant.
#[derive(Clone, Debug, Serialize)]
pub struct Variant {
    /// Its value.
    pub value: Value,
    /// People who entered.
    pub people: u64,
    /// Of these, who did the last step.
    pub converted: u64,
    /// The share of them.
    pub rate: Option<f64>,
    /// Its 95 % interval.
    pub interval: Option<[f64; 2]>,
    /// How much higher the rate is than the control's, as a share of that.
    pub lift: Option<f64>,
    /// The chance of such a difference if there were none.
    pub p_value: Option<f64>,
    /// The chance that this variant has the highest rate; none of one that nobody has.
    pub probability_best: Option<f64>,
}

impl Experiment {
    /// Compares the shown segments that have a value with `control`, which has the rate `base`, shown or not.
    pub fn new(control: &Value, base: Rate, segments: &[Segment<Part>], several_variants: u64) -> Self {
        let mut rates: Vec<(Value, Rate)> = Vec::new();
        for segment in segments {
            if let Label::Value(Some(value)) = &segment.label {
                let people = segment.part.steps.first().map_or(0, |s| s.people);
                let converted = segment.part.steps.last().map_or(0, |s| s.people);
                rates.push((value.clone(), Rate { people, converted }));
            }
        }
        if !rates.iter().any(|(value, _)| value == control) {
            rates.push((control.clone(), base));
        }
        // Of a variant that nobody has every rate is as likely, and people were never split among it.
        let tried: Vec<Rate> = rates.iter().map(|(_, rate)| *rate).filter(|rate| rate.people > 0).collect();
        let people: Vec<u64> = tried.iter().map(|rate| rate.people).collect();
        let mut chances = probability_best(&tried).into_iter();
        let variant = |(value, rate): &(Value, Rate)| {
            let compared = (value != control).then_some(base);
            let lift = compared.and_then(|base| Some(rate.rate()? / base.rate().filter(|r| *r > 0.0)? - 1.0));
            Variant {
                value: value.clone(),
                people: rate.people,
                converted: rate.converted,
                rate: rate.rate(),
                interval: rate.interval(),
                lift,
                p_value: compared.and_then(|base| p_value(*rate, base)),
                probability_best: if rate.people > 0 { chances.next() } else { None },
            }
        };
        let variants: Vec<Variant> = rates.iter().map(variant).collect();
        let enough = |v: &Variant| {
            v.people >= PEOPLE_MIN && v.converted >= EACH_MIN && v.people - v.converted >= EACH_MIN
        };
        let enough_data = variants.len() > 1 && variants.iter().all(enough);
        let better = variants.iter().filter(|v| {
            enough_data && v.p_value.is_some_and(|p| p < SIGNIFICANT) && v.lift.is_some_and(|lift| lift > 0.0)
        });
        let chance = |v: &Variant| v.probability_best.unwrap_or(0.0);
        let winner = better.max_by(|a, b| chance(a).total_cmp(&chance(b))).map(|v| v.value.clone());
        Self {
            control: control.clone(),
            sample_ratio_p: sample_ratio(&people),
            several_variants,
            enough_data,
            winner,
            variants,
        }
    }

    /// That nobody has the control, if anybody has another variant: its name may be mistyped.
    pub fn warning(&self) -> Option<Warning> {
        if self.variants.len() < 2 || self.variants.iter().all(|variant| variant.people > 0) {
            return None;
        }
        let control = self.control.to_string();
        let others: Vec<String> = self.variants.iter().map(|variant| variant.value.to_string()).collect();
        let near = nearest(&control, others.iter().map(String::as_str).filter(|other| *other != control));
        Some(Warning {
            at: "control".to_owned(),
            message: format!("nobody in this funnel has \"{control}\""),
            hint: near.map(|near| format!("did you mean \"{near}\"?")),
        })
    }
}
