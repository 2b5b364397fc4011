//! Who is who: which person each identity belongs to, and every move of an identity from one person to another.
//!
//! A person is named by the id of one of its identities. The identities of a person form a ring, so joining two
//! persons is one swap of links, whatever their sizes; only the identities of the person that is absorbed
//! change their `person`. Each such change is a [`Move`]; the number of moves so far is the *identity version*.
//! A segment remembers the version under which it was written, so a reader finds the persons in it that are
//! out of date by looking at the moves since then, and compaction makes them permanent.

use serde::{Deserialize, Serialize};

use super::paged::Paged;
use crate::model::{IdentityId, PersonId};

/// No earlier move.
const NONE: u32 = u32::MAX;
/// The identity has been the target of an identify.
const NAMED: u8 = 1;
/// Set on the identity that names the person: some identity of the person is named.
const IDENTIFIED: u8 = 2;

/// One identity went from one person to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The identity.
    pub identity: IdentityId,
    /// The person it belonged to.
    pub from: PersonId,
    /// The person it belongs to since.
    pub to: PersonId,
    /// The number of the same identity's earlier move.
    previous: u32,
}

/// What an identify did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identified {
    /// They were one person already.
    Same,
    /// They are one person now.
    Merged,
    /// They stay two: tracking alone never joins them.
    Refused,
}

/// The identity graph. Clones are snapshots.
#[derive(Clone, Debug, Default)]
pub struct Persons {
    person: Paged<PersonId>,
    next: Paged<IdentityId>,
    flags: Paged<u8>,
    last_move: Paged<u32>,
    moves: Paged<Move>,
    /// The number of the first move that is still kept.
    moves_base: u32,
    persons: u32,
}

/// [`Persons`] as the checkpoint stores it.
#[derive(Serialize, Deserialize)]
pub struct PersonsImage {
    person: Vec<PersonId>,
    next: Vec<IdentityId>,
    flags: Vec<u8>,
    last_move: Vec<u32>,
    moves: Vec<Move>,
    moves_base: u32,
    persons: u32,
}

impl Persons {
    /// Adds the next identity: a person of its own.
    pub fn add(&mut self) -> IdentityId {
        let id = self.person.len() as IdentityId;
        self.person.push(id);
        self.next.push(id);
        self.flags.push(0);
        self.last_move.push(NONE);
        self.persons += 1;
        id
    }

    /// Identities so far.
    pub fn identities(&self) -> u32 {
        self.person.len() as u32
    }

    /// Persons now.
    pub fn persons(&self) -> u32 {
        self.persons
    }

    /// Moves so far.
    pub fn version(&self) -> u32 {
        self.moves_base + self.moves.len() as u32
    }

    /// The person of an identity.
    #[inline]
    pub fn person_of(&self, identity: IdentityId) -> PersonId {
        self.person.get(identity as usize).unwrap_or(identity)
    }

    /// The person that the identity belonged to at `version`, which is not older than the moves that are kept.
    pub fn person_at(&self, identity: IdentityId, version: u32) -> PersonId {
        let mut person = self.person_of(identity);
        let mut at = self.last_move.get(identity as usize).unwrap_or(NONE);
        while at != NONE && at >= version.max(self.moves_base) {
            let Some(step) = self.moves.get((at - self.moves_base) as usize) else { break };
            person = step.from;
            at = step.previous;
        }
        person
    }

    /// The earliest version since which all moves are still kept.
    pub fn moves_known_since(&self) -> u32 {
        self.moves_base
    }

    /// The moves since `version`, which is not before [`Persons::moves_known_since`].
    pub fn moves_since(&self, version: u32) -> impl Iterator<Item = Move> + '_ {
        self.moves.iter_from(version.saturating_sub(self.moves_base) as usize)
    }

    /// The identities of a person, in order of first sight.
    pub fn members(&self, person: PersonId) -> Vec<IdentityId> {
        let mut members = vec![person];
        let mut at = self.next.get(person as usize).unwrap_or(person);
        while at != person && members.len() < self.person.len() {
            members.push(at);
            at = self.next.get(at as usize).unwrap_or(person);
        }
        members.sort_unstable();
        members
    }

    /// Whether an identity has been the target of an identify.
    pub fn is_named(&self, identity: IdentityId) -> bool {
        self.flag(identity, NAMED)
    }

    /// Whether any identity of a person is named.
    pub fn is_identified(&self, person: PersonId) -> bool {
        self.flag(person, IDENTIFIED)
    }

    /// The identity that stands for a person: the named one seen first, else the one seen first.
    pub fn display(&self, person: PersonId) -> IdentityId {
        let members = self.members(person);
        let named = members.iter().copied().find(|m| self.is_named(*m));
        named.or(members.first().copied()).unwrap_or(person)
    }

    /// Applies `identify(p, n)`. Of the two persons an anonymous one joins the other; two identified ones stay
    /// apart, and so does a new name on a device that belongs to somebody already.
    pub fn identify(&mut self, p: IdentityId, n: IdentityId) -> Identified {
        let (from, to) = (self.person_of(p), self.person_of(n));
        let (from_identified, to_identified) = (self.is_identified(from), self.is_identified(to));
        let p_named = self.is_named(p);
        self.set_flag(n, NAMED, true);
        self.set_flag(to, IDENTIFIED, true);
        if from == to {
            return Identified::Same;
        }
        if !from_identified {
            self.absorb(from, to);
        } else if !to_identified && p_named {
            self.absorb(to, from);
        } else {
            return Identified::Refused;
        }
        Identified::Merged
    }

    /// Joins the person of `identity` into the person of `into`, whatever they are. False if they are one already.
    pub fn merge(&mut self, identity: IdentityId, into: IdentityId) -> bool {
        let (from, to) = (self.person_of(identity), self.person_of(into));
        if from != to {
            self.absorb(from, to);
        }
        from != to
    }

    /// Takes one identity out of its person. False if it is alone there.
    pub fn unmerge(&mut self, identity: IdentityId) -> bool {
        let person = self.person_of(identity);
        let members = self.members(person);
        if members.len() < 2 {
            return false;
        }
        let rest: Vec<IdentityId> = members.into_iter().filter(|m| *m != identity).collect();
        let rest_person = if person == identity { rest.first().copied().unwrap_or(person) } else { person };
        for (at, member) in rest.iter().enumerate() {
            let following = rest.get(at + 1).or(rest.first()).copied().unwrap_or(*member);
            self.next.set(*member as usize, following);
        }
        self.next.set(identity as usize, identity);
        if person == identity {
            for member in &rest {
                self.move_to(*member, rest_person);
            }
        } else {
            self.move_to(identity, identity);
        }
        let rest_identified = rest.iter().any(|m| self.is_named(*m));
        self.set_flag(rest_person, IDENTIFIED, rest_identified);
        self.set_flag(identity, IDENTIFIED, self.is_named(identity));
        self.persons += 1;
        true
    }

    /// Forgets the moves before `version`: no segment is that old any more.
    pub fn forget_moves_before(&mut self, version: u32) {
        let keep = version.saturating_sub(self.moves_base) as usize;
        if keep > 0 {
            self.moves = self.moves.iter_from(keep).collect();
            self.moves_base = version.min(self.moves_base + keep as u32);
        }
    }

    fn absorb(&mut self, from: PersonId, to: PersonId) {
        if self.is_identified(from) {
            self.set_flag(to, IDENTIFIED, true);
        }
        for member in self.members(from) {
            self.move_to(member, to);
        }
        let (a, b) = (self.next.get(from as usize).unwrap_or(from), self.next.get(to as usize).unwrap_or(to));
        self.next.set(from as usize, b);
        self.next.set(to as usize, a);
        self.persons -= 1;
    }

    fn move_to(&mut self, identity: IdentityId, to: PersonId) {
        let from = self.person_of(identity);
        let previous = self.last_move.get(identity as usize).unwrap_or(NONE);
        self.last_move.set(identity as usize, self.version());
        self.moves.push(Move { identity, from, to, previous });
        self.person.set(identity as usize, to);
    }

    fn flag(&self, identity: IdentityId, flag: u8) -> bool {
        self.flags.get(identity as usize).is_some_and(|f| f & flag != 0)
    }

    fn set_flag(&mut self, identity: IdentityId, flag: u8, on: bool) {
        let old = self.flags.get(identity as usize).unwrap_or(0);
        let new = if on { old | flag } else { old & !flag };
        if new != old {
            self.flags.set(identity as usize, new);
        }
    }

    /// For the checkpoint.
    pub fn image(&self) -> PersonsImage {
        PersonsImage {
            person: self.person.iter_from(0).collect(),
            next: self.next.iter_from(0).collect(),
            flags: self.flags.iter_from(0).collect(),
            last_move: self.last_move.iter_from(0).collect(),
            moves: self.moves.iter_from(0).collect(),
            moves_base: self.moves_base,
            persons: self.persons,
        }
    }

    /// From the checkpoint; `None` if the image contradicts itself.
    pub fn from_image(image: PersonsImage) -> Option<Self> {
        let count = image.person.len();
        let inside = |ids: &[u32]| ids.iter().all(|id| (*id as usize) < count);
        let same = image.next.len() == count && image.flags.len() == count && image.last_move.len() == count;
        if !same || !inside(&image.person) || !inside(&image.next) || !image.is_sound() {
            return None;
        }
        Some(Self {
            person: image.person.into_iter().collect(),
            next: image.next.into_iter().collect(),
            flags: image.flags.into_iter().collect(),
            last_move: image.last_move.into_iter().collect(),
            moves: image.moves.into_iter().collect(),
            moves_base: image.moves_base,
            persons: image.persons,
        })
    }
}

impl PersonsImage {
    /// Whether each ring goes through identities of one person, each person is one of its own identities, persons are as many as it says,
    /// and moves lead back in time. Whoever walks a ring or moves comes to an end then.
    fn is_sound(&self) -> bool {
        let version =
            u32::try_from(self.moves.len()).ok().and_then(|moves| self.moves_base.checked_add(moves));
        let Some(version) = version.filter(|version| *version != NONE) else { return false };
        let person_of = |id: u32| self.person.get(id as usize).copied();
        let mut entered = vec![false; self.next.len()];
        let rings = self.next.iter().zip(&self.person).all(|(next, person)| {
            let first = entered.get_mut(*next as usize).is_some_and(|seen| !std::mem::replace(seen, true));
            first && person_of(*next) == Some(*person) && person_of(*person) == Some(*person)
        });
        let roots = self.person.iter().enumerate().filter(|(id, person)| **person as usize == *id).count();
        let moves = (self.moves_base..version).zip(&self.moves).all(|(number, one)| {
            let known = [one.identity, one.from, one.to].into_iter().all(|id| person_of(id).is_some());
            known && (one.previous == NONE || one.previous < number)
        });
        let last = self.last_move.iter().all(|at| *at == NONE || *at < version);
        rings && roots == self.persons as usize && moves && last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(n: u32) -> Persons {
        let mut persons = Persons::default();
        for _ in 0..n {
            persons.add();
        }
        persons
    }

    #[test]
    fn an_anonymous_person_joins_and_a_second_name_on_its_device_does_not() {
        let mut p = with(4);
        assert_eq!(p.identify(0, 1), Identified::Merged);
        assert_eq!(p.identify(0, 1), Identified::Same);
        assert_eq!(p.identify(0, 2), Identified::Refused, "device 0 belongs to 1");
        assert_eq!(p.identify(1, 3), Identified::Merged, "1 is a name itself, 3 is new");
        assert_eq!(p.members(p.person_of(3)), [0, 1, 3]);
        assert!(p.is_named(2) && p.is_identified(2));
        assert_eq!((p.persons(), p.display(p.person_of(0))), (2, 1));
    }

    #[test]
    fn unmerge_gives_back_one_identity_wherever_it_stood() {
        let mut p = with(3);
        p.identify(0, 1);
        p.identify(1, 2);
        let before = p.version();
        let root = p.person_of(0);
        assert!(p.unmerge(root));
        assert_eq!(p.members(root), [root]);
        let rest = p.members(p.person_of(if root == 0 { 1 } else { 0 }));
        assert_eq!(rest.len(), 2);
        assert_eq!(p.person_at(rest[0], before), root);
        assert!(!p.unmerge(root));
    }

    #[test]
    fn an_image_round_trips_and_forgotten_moves_do_not_matter() {
        let mut p = with(5);
        p.identify(0, 4);
        p.identify(1, 4);
        p.forget_moves_before(1);
        p.identify(2, 4);
        let q = Persons::from_image(p.image()).unwrap();
        assert_eq!(q.version(), 3);
        assert_eq!((q.person_at(1, 1), q.person_at(1, 2), q.person_at(2, 2)), (1, 4, 2));
        assert_eq!(q.moves_since(1).count(), 2);
    }

    #[test]
    fn an_image_that_contradicts_itself_is_none() {
        let mut p = with(4);
        p.identify(0, 3);
        p.identify(1, 3);
        assert!(Persons::from_image(p.image()).is_some());
        let spoiled = |spoil: &dyn Fn(&mut PersonsImage)| {
            let mut image = p.image();
            spoil(&mut image);
            Persons::from_image(image).is_none()
        };
        assert!(spoiled(&|image| image.persons = 0) && spoiled(&|image| image.persons += 1));
        assert!(spoiled(&|image| image.next[0] = 0), "a ring that nobody leaves or enters twice");
        assert!(spoiled(&|image| image.next.swap(0, 2)), "a ring through two persons");
        assert!(spoiled(&|image| image.person[3] = 2) && spoiled(&|image| image.person[0] = 9));
        assert!(spoiled(&|image| image.last_move[0] = 77) && spoiled(&|image| image.moves_base = u32::MAX));
        assert!(spoiled(&|image| image.moves[0].previous = 5), "a move that leads to itself or ahead");
        assert!(spoiled(&|image| image.moves[0].to = 9));
    }
}
