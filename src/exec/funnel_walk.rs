//! Any funnel, person by person: the hits of each person who can enter are gathered from the cells and given to the matcher.

use std::cmp::Ordering;
use std::sync::Arc;

use super::attempt::{Attempt, Hit, Scratch, Want, best_attempt};
use super::cell::{Cell, RowRef};
use super::funnel_plan::FunnelPlan;
use super::person::named_properties;
use super::persons::PersonSet;
use super::scope::Scope;
use super::source::{Conditions, Source};
use crate::error::Result;
use crate::model::{Millis, NameId, PersonId, ValueRef};
use crate::threads::go_on;

/// People after whom it is asked whether to go on: matching one can take some milliseconds.
const PEOPLE_BETWEEN: usize = 64;

/// A person's counted attempt, with what is needed to read its events.
pub struct Walked<'a> {
    /// Who.
    pub person: PersonId,
    /// The attempt.
    pub attempt: &'a Attempt,
    hits: &'a [Hit],
    rows: &'a [(NameId, RowRef)],
}

impl Walked<'_> {
    /// The row chosen for step `step` of the definition, from 0, and its time.
    pub fn chosen(&self, step: usize) -> Option<(Millis, NameId, RowRef)> {
        self.row_of(self.attempt.hit(step)?)
    }

    /// The row of a hit, by its index, and its time.
    pub fn row_of(&self, hit: usize) -> Option<(Millis, NameId, RowRef)> {
        let hit = self.hits.get(hit)?;
        let (name, at) = self.rows.get(hit.row as usize)?;
        Some((hit.time, *name, *at))
    }
}

/// One name's rows while a scope is walked.
struct Reading<'a> {
    name: NameId,
    cell: Arc<Cell>,
    near: usize,
    /// Step or block bits, each with conditions.
    steps: Vec<(u32, Conditions<'a>)>,
    blocks: Vec<(u32, Conditions<'a>)>,
    blocks_all: bool,
}

/// Calls `visit` with the counted attempt of every person of `scope` who enters, of those in `only` if given. `want` is as much as
/// `visit` needs.
pub fn walk(
    plan: &FunnelPlan,
    scope: &Scope<'_>,
    only: Option<&PersonSet>,
    want: Want,
    mut visit: impl FnMut(&Walked<'_>) -> Result<()>,
) -> Result<()> {
    let mut readings = Vec::with_capacity(plan.uses.len());
    let mut candidates = scope.none();
    let entries = plan.entry_names();
    for name_use in &plan.uses {
        let cell = scope.cell(name_use.name)?;
        if entries.contains(&name_use.name) {
            cell.mark(&mut candidates);
        }
        let bits = |list: &[(usize, usize)]| {
            let one = |(step, at): &(usize, usize)| {
                let conditions = plan.conditions.get(*at).map_or(&[][..], Vec::as_slice);
                (1u32 << step, scope.source().conditions(name_use.name, conditions))
            };
            list.iter().map(one).collect()
        };
        readings.push(Reading {
            name: name_use.name,
            cell,
            near: 0,
            steps: bits(&name_use.steps),
            blocks: bits(&name_use.blocks),
            blocks_all: name_use.blocks_all,
        });
    }
    if let Some(only) = only {
        candidates.and(only);
    }
    let mut scratch = Scratch::default();
    let (mut hits, mut rows) = (Vec::new(), Vec::new());
    for (at, person) in candidates.iter().filter(|p| scope.holds(*p)).enumerate() {
        if at.is_multiple_of(PEOPLE_BETWEEN) {
            go_on()?;
        }
        hits.clear();
        rows.clear();
        for reading in &mut readings {
            reading.collect(person, plan.rules.as_of, &mut hits, &mut rows)?;
        }
        if !hits.iter().any(|h| plan.rules.from <= h.time && h.time < plan.rules.to) {
            continue;
        }
        hits.sort_by_key(|h| h.time);
        if want >= Want::Hits {
            order_ties(scope.source(), &mut hits, &rows)?;
        }
        if let Some(attempt) = best_attempt(&plan.rules, &hits, &mut scratch, want) {
            visit(&Walked { person, attempt, hits: &hits, rows: &rows })?;
        }
    }
    Ok(())
}

impl Reading<'_> {
    fn collect(
        &mut self,
        person: PersonId,
        as_of: Millis,
        hits: &mut Vec<Hit>,
        rows: &mut Vec<(NameId, RowRef)>,
    ) -> Result<()> {
        // Persons rise, so the place in the cell only moves forward.
        let Some(rank) = self.cell.find(person, &mut self.near) else { return Ok(()) };
        for row in self.cell.rows(rank) {
            let time = self.cell.times.get(row).copied().unwrap_or(Millis::MAX);
            if time > as_of {
                break;
            }
            let at = self.cell.row_ref(row);
            let steps = bits_of(&mut self.steps, at)?;
            let blocks = if self.blocks_all { u32::MAX } else { bits_of(&mut self.blocks, at)? };
            if steps | blocks != 0 {
                hits.push(Hit { time, steps, blocks, row: rows.len() as u32 });
                rows.push((self.name, at));
            }
        }
        Ok(())
    }
}

fn bits_of(list: &mut [(u32, Conditions<'_>)], at: RowRef) -> Result<u32> {
    let mut bits = 0;
    for (bit, conditions) in list {
        if conditions.matches(at)? {
            bits |= *bit;
        }
    }
    Ok(bits)
}

/// Brings hits of one instant into the order in which they are preferred: by name, then properties as JSON, then identity. Content
/// decides, so that neither arrival nor the layout of segments can.
fn order_ties(source: &Source, hits: &mut [Hit], rows: &[(NameId, RowRef)]) -> Result<()> {
    for instant in hits.chunk_by_mut(|a, b| a.time == b.time) {
        if instant.len() < 2 {
            continue;
        }
        let mut keyed = Vec::with_capacity(instant.len());
        for hit in instant.iter() {
            let Some((name, at)) = rows.get(hit.row as usize) else { continue };
            keyed.push((content_key(source, *name, *at)?, *hit));
        }
        keyed.sort_by(|a, b| a.0.cmp(&b.0));
        instant.iter_mut().zip(keyed).for_each(|(slot, (_, hit))| *slot = hit);
    }
    Ok(())
}

/// What decides between events of one instant: the name, then the properties as JSON, then the identity.
pub fn content_key(source: &Source, name: NameId, at: RowRef) -> Result<(&str, Content<'_>, String)> {
    let properties = Content(named_properties(source, name, at)?.into_iter().collect());
    let identity = source.identities(name, &[at])?.first().copied().unwrap_or(0);
    Ok((source.snapshot.catalog.event_name(name), properties, source.snapshot.identity(identity)?))
}

/// Properties by name, in the order of their JSON. It is not made: that of one event takes megabytes, and of one instant there can be
/// thousands. Where two differ first, what is written there decides, up to the comma or brace behind it, for `1` is before `12`.
#[derive(PartialEq, Eq)]
pub struct Content<'a>(Vec<(&'a str, ValueRef<'a>)>);

impl Content<'_> {
    /// The JSON of the property at a place, with what follows it.
    fn written(&self, at: usize) -> String {
        let end = if at + 1 < self.0.len() { ',' } else { '}' };
        let property = self.0.get(at);
        property.map_or_else(
            || end.to_string(),
            |(name, value)| format!("{}:{}{end}", ValueRef::Text(name).to_json(), value.to_json()),
        )
    }
}

impl Ord for Content<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let same = self.0.iter().zip(&other.0).take_while(|(mine, theirs)| mine == theirs).count();
        // Where one ends its last property has a brace behind it, and that of the other a comma.
        let at = if same == self.0.len().min(other.0.len()) { same.saturating_sub(1) } else { same };
        self.written(at).cmp(&other.written(at))
    }
}

impl PartialOrd for Content<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Value;
    use std::collections::BTreeMap;

    #[test]
    fn contents_are_in_the_order_of_their_json() {
        let values = ["1", "12", "1.5", "-1", "true", "false", "", "a", "a\"", "a\u{1}", "ab", "\u{e9}"];
        let values = values.map(|text| match text {
            "true" | "false" => Value::Bool(text == "true"),
            text => Value::from_wire(text),
        });
        let none = [None].into_iter().chain(values.iter().map(Some));
        let mut all = Vec::new();
        for (a, b) in none.clone().flat_map(|a| none.clone().map(move |b| (a, b))) {
            for names in [["A", "B"], ["A", "A\""], ["A b", "A"]] {
                let both = names.into_iter().zip([a, b]).filter_map(|(name, value)| Some((name, value?)));
                all.push(both.collect::<BTreeMap<&str, &Value>>());
            }
        }
        for one in &all {
            for two in &all {
                let [x, y] =
                    [one, two].map(|map| Content(map.iter().map(|(n, v)| (*n, v.as_ref())).collect()));
                let [s, t] = [one, two].map(|map| serde_json::to_string(map).unwrap());
                assert_eq!(x.cmp(&y), s.cmp(&t), "{s} {t}");
            }
        }
    }
}
