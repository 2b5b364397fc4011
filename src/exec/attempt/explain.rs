//! Why an attempt went no further.

use super::matching::Matching;
use super::{Attempt, Hit, Rules, Stop};
use crate::model::Millis;
use crate::report::Order;

/// Fills in why the attempt in `out` stopped. `excluded` is the hit that ended it, if one did.
pub(super) fn run(rules: &Rules, hits: &[Hit], out: &mut Attempt, excluded: Option<usize>) {
    if out.depth == rules.steps || out.in_progress {
        return;
    }
    out.stop = Some(match excluded.and_then(|hit| hits.get(hit).map(|h| (hit, h.time))) {
        Some((hit, at)) => Stop::Excluded { hit, at },
        None => time_ran_out(rules, hits, out),
    });
}

fn time_ran_out(rules: &Rules, hits: &[Hit], out: &Attempt) -> Stop {
    let start = out.times[0];
    let window_end = start.saturating_add(rules.width());
    if rules.until_to && rules.as_of >= rules.to && window_end >= rules.to {
        return Stop::Closed;
    }
    if rules.within.is_none() {
        return Stop::NothingCame;
    }
    let came = match rules.order {
        Order::Any => next_of_any(hits, start, window_end),
        Order::Ordered | Order::Strict => {
            let late = hits.partition_point(|h| h.time <= window_end);
            hits.iter().skip(late).find(|h| h.steps >> out.depth & 1 == 1).map(|h| h.time)
        }
    };
    Stop::WindowEnded { at: window_end, missed_by: came.map(|time| time - window_end) }
}

/// When the first hit after `end` came that does one more step than those from `start` to `end` can.
fn next_of_any(hits: &[Hit], start: Millis, end: Millis) -> Option<Millis> {
    let mut matching = Matching::default();
    for hit in hits.iter().filter(|h| h.time >= start) {
        if matching.add(hit.steps) && hit.time > end {
            return Some(hit.time);
        }
    }
    None
}
