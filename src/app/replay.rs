//! Who is who once an export's identifies were read again, and what sets it right: they alone know nothing of what operators have
//! joined and taken apart.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Result;
use crate::model::{IdentityId, PersonId};
use crate::store::persons::Persons;

/// What whoever reads an export knows so far, with the numbers that identities have here. Of each person the identities are met in
/// the order in which they were met here, since the first of them can be what the person is called.
pub struct Replay<'a> {
    actual: &'a Persons,
    persons: Persons,
    /// Of each identity the next of its person, or nobody.
    next: Vec<IdentityId>,
    /// Of each person the first identity that was not met yet, or nobody.
    unmet: Vec<IdentityId>,
}

const NOBODY: IdentityId = IdentityId::MAX;

/// A correction: of one identity, which joins a person or leaves its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub identity: IdentityId,
    pub into: Option<IdentityId>,
}

impl<'a> Replay<'a> {
    /// Of nothing yet.
    pub fn new(actual: &'a Persons) -> Self {
        let count = actual.identities();
        let mut persons = Persons::default();
        let (mut next, mut unmet) = (vec![NOBODY; count as usize], vec![NOBODY; count as usize]);
        for identity in (0..count).rev() {
            persons.add();
            let first = unmet.get_mut(actual.person_of(identity) as usize);
            if let (Some(first), Some(next)) = (first, next.get_mut(identity as usize)) {
                *next = std::mem::replace(first, identity);
            }
        }
        Self { actual, persons, next, unmet }
    }

    /// Reads a set or an identify; the identities that have to be met before it.
    pub fn meet(&mut self, identity: IdentityId, target: Option<IdentityId>) -> Vec<IdentityId> {
        let new = self.is_unmet(identity);
        let mut earlier = self.before(identity);
        if let Some(target) = target {
            // Nothing can come between the two of an identify.
            let between = self.before(target);
            if new && !between.is_empty() {
                earlier.push(identity);
            }
            earlier.extend(between);
            self.persons.identify(identity, target);
        }
        earlier
    }

    /// Reads an event, after [`Replay::before_events`].
    pub fn meet_in_event(&mut self, identity: IdentityId) {
        self.before(identity);
    }

    /// The identities that have to be met before events, which come in any order: all but one of each person.
    pub fn before_events(&mut self) -> Vec<IdentityId> {
        let mut all = Vec::new();
        for person in 0..self.actual.identities() {
            while let Some(unmet) = self.first_unmet(person)
                && self.next.get(unmet as usize).is_some_and(|next| *next != NOBODY)
            {
                all.push(unmet);
                self.pass(person);
            }
        }
        all
    }

    /// The identities that no record tells of any more.
    pub fn rest(&self) -> Vec<IdentityId> {
        self.unmet.iter().copied().filter(|unmet| *unmet != NOBODY).collect()
    }

    fn first_unmet(&self, person: PersonId) -> Option<IdentityId> {
        self.unmet.get(person as usize).copied().filter(|unmet| *unmet != NOBODY)
    }

    fn is_unmet(&self, identity: IdentityId) -> bool {
        self.first_unmet(self.actual.person_of(identity)).is_some_and(|unmet| unmet <= identity)
    }

    /// The first unmet identity of a person is met.
    fn pass(&mut self, person: PersonId) {
        if let Some(unmet) = self.unmet.get_mut(person as usize) {
            *unmet = self.next.get(*unmet as usize).copied().unwrap_or(NOBODY);
        }
    }

    /// Those of the person before this identity that were not met yet; from now on they and this one are.
    fn before(&mut self, identity: IdentityId) -> Vec<IdentityId> {
        let person = self.actual.person_of(identity);
        let mut earlier = Vec::new();
        while let Some(unmet) = self.first_unmet(person).filter(|unmet| *unmet <= identity) {
            earlier.extend((unmet < identity).then_some(unmet));
            self.pass(person);
        }
        earlier
    }

    /// Calls `each` with the corrections, in their order.
    pub fn set_right(&mut self, each: &mut dyn FnMut(Step) -> Result<()>) -> Result<()> {
        for person in self.differing(|replay, id| replay.persons.person_of(id)) {
            let members = self.persons.members(person);
            // Most stay together, the others leave.
            let mut sizes: BTreeMap<PersonId, usize> = BTreeMap::new();
            members.iter().for_each(|id| *sizes.entry(self.actual.person_of(*id)).or_default() += 1);
            let most = sizes.into_iter().max_by_key(|(_, size)| *size).map(|(person, _)| person);
            for identity in members.into_iter().filter(|id| Some(self.actual.person_of(*id)) != most) {
                self.persons.unmerge(identity);
                each(Step { identity, into: None })?;
            }
        }
        for person in self.differing(|replay, id| replay.actual.person_of(id)) {
            // The identity that stands for a person has to stand for it again: lists are in that order.
            if self.persons.person_of(person) != person {
                self.persons.unmerge(person);
                each(Step { identity: person, into: None })?;
            }
            for identity in self.actual.members(person) {
                if self.persons.merge(identity, person) {
                    each(Step { identity, into: Some(person) })?;
                }
            }
        }
        Ok(())
    }

    /// The persons, in one way to see it, of the identities that belong to another in the other.
    fn differing(&self, of: impl Fn(&Self, IdentityId) -> PersonId) -> BTreeSet<PersonId> {
        let differs = |id: &IdentityId| self.persons.person_of(*id) != self.actual.person_of(*id);
        let identities = (0..self.actual.identities()).filter(|id| !self.actual.is_erased(*id));
        identities.filter(differs).map(|id| of(self, id)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::random::Random;

    #[test]
    fn whatever_operators_did_comes_out_the_same() {
        let (mut steps, mut wrong) = (0, 0);
        for seed in 0..3_000 {
            let mut random = Random::new(seed);
            let (mut actual, mut identifies) = (Persons::default(), Vec::new());
            let count = 2 + random.below(9) as u32;
            for _ in 0..count {
                actual.add();
            }
            for _ in 0..random.below(30) {
                let (a, b) = (random.below(u64::from(count)) as u32, random.below(u64::from(count)) as u32);
                match random.below(4) {
                    0 => drop(actual.merge(a, b)),
                    1 => drop(actual.unmerge(a)),
                    _ => {
                        actual.identify(a, b);
                        identifies.push((a, b));
                    }
                }
            }
            let mut replay = Replay::new(&actual);
            identifies.iter().for_each(|(a, b)| drop(replay.meet(*a, Some(*b))));
            wrong += u32::from(!replay.differing(|_, id| id).is_empty());
            let mut said = Vec::new();
            replay
                .set_right(&mut |step| {
                    said.push(step);
                    Ok(())
                })
                .unwrap();
            // As whoever reads them does it.
            let mut read = Persons::default();
            for _ in 0..count {
                read.add();
            }
            for (a, b) in &identifies {
                read.identify(*a, *b);
            }
            for Step { identity, into } in &said {
                let changed = match into {
                    Some(into) => read.merge(*identity, *into),
                    None => read.unmerge(*identity),
                };
                assert!(changed, "seed {seed}: {identity} {into:?} changes nothing");
            }
            steps += said.len();
            for id in 0..count {
                assert_eq!(read.person_of(id), actual.person_of(id), "seed {seed}: {said:?}");
                assert_eq!(read.is_named(id), actual.is_named(id));
                assert_eq!(
                    read.is_identified(read.person_of(id)),
                    actual.is_identified(actual.person_of(id))
                );
            }
        }
        assert!(wrong > 1_000 && steps > 3_000, "{wrong} {steps}");
    }

    #[test]
    fn identities_of_a_person_are_met_in_their_order() {
        let mut actual = Persons::default();
        for _ in 0..8 {
            actual.add();
        }
        // One person of 1, 3, 4 and 6; one of 2 and 7; 0 is alone, and 5 was erased.
        for (identity, into) in [(1, 4), (3, 4), (6, 3), (2, 7)] {
            actual.merge(identity, into);
        }
        actual.erase(5);
        let mut replay = Replay::new(&actual);
        assert_eq!(replay.meet(3, None), [1]);
        assert_eq!(replay.meet(3, Some(1)), [0; 0]);
        assert_eq!(replay.before_events(), [4, 2], "one of each may come with its events");
        replay.meet_in_event(7);
        replay.meet_in_event(3);
        assert_eq!(replay.rest(), [0, 6], "of whom nothing tells");
        let mut replay = Replay::new(&actual);
        assert_eq!(replay.meet(1, Some(6)), [1, 3, 4], "nothing can come between the two of an identify");
        assert_eq!(replay.meet(7, Some(2)), [2]);
    }
}
