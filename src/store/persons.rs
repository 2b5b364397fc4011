//! Who is who: which person each identity belongs to, and every move of an identity from one person to another.
//!
//! A person is named by the id of one of its identities. The identities of a person form a ring, so joining two
//! persons is one swap of links, whatever their sizes; only the identities of the person that is absorbed
//! change their `person`. Each such change is a [`Move`]; the number of moves so far is the *identity version*.
//! A segment remembers the version under which it was written, so a reader finds the persons in it that are
//! out of date by looking at the moves since then, and compaction makes them permanent.

use serde::{Deserialize, Serialize};

use super::paged::Paged;
use crate::disk::bits::{Packed, pack, width_of};
use crate::model::{IdentityId, PersonId};

/// No earlier move.
const NONE: u32 = u32::MAX;
/// The latest version that is believed of a file, so that none overflows: no store comes near two thousand million moves.
const VERSION_READ_MAX: u32 = u32::MAX / 2;
/// In place of the person of an identity that was erased: its number stays, and is nobody's.
const ERASED: PersonId = PersonId::MAX;
/// The identity has been the target of an identify.
const NAMED: u8 = 1;
/// Set on the identity that names the person: some identity of the person is named.
const IDENTIFIED: u8 = 2;

/// One identity went from one person to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    erased: u32,
}

/// [`Persons`] as the checkpoint stores it: packed columns of what cannot be told from the rest. The rings, who is identified and the
/// latest move of each identity follow from it.
#[derive(Debug, Serialize, Deserialize)]
pub struct PersonsImage {
    identities: u32,
    persons: u32,
    moves_base: u32,
    moves: u32,
    /// A bit for each identity that names its person.
    own: Vec<u8>,
    /// A bit for each identity that is named.
    named: Vec<u8>,
    /// The persons of the other identities; the number of identities stands for nobody.
    others: Vec<u8>,
    /// Of each move the identity, the person it belonged to, and the person it belongs to since.
    moved: [Vec<u8>; 3],
}

fn packed(values: impl Iterator<Item = u64>, width: u8) -> Vec<u8> {
    let mut out = Vec::new();
    pack(values, width, &mut out);
    out
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

    /// How many identities a person has, counted up to `most`.
    pub fn count_members(&self, person: PersonId, most: usize) -> usize {
        let next = |at: PersonId| self.next.get(at as usize).unwrap_or(person);
        let others = std::iter::successors(Some(next(person)), |at| Some(next(*at)));
        1 + others.take(most.saturating_sub(1)).take_while(|at| *at != person).count()
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
        // No record names who was erased, but a file may say so.
        if from == ERASED || to == ERASED {
            return Identified::Refused;
        }
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
        let two = from != to && from != ERASED && to != ERASED;
        if two {
            self.absorb(from, to);
        }
        two
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

    /// Erases the person of an identity: none of its identities is anybody's from now on. Their rows are gone already, so nothing moves.
    pub fn erase(&mut self, identity: IdentityId) {
        let person = self.person_of(identity);
        if person == ERASED {
            return;
        }
        for member in self.members(person) {
            self.person.set(member as usize, ERASED);
            self.next.set(member as usize, member);
            self.flags.set(member as usize, 0);
            self.erased += 1;
        }
        self.persons -= 1;
    }

    /// Whether an identity was erased.
    pub fn is_erased(&self, identity: IdentityId) -> bool {
        self.person.get(identity as usize) == Some(ERASED)
    }

    /// Identities that were erased.
    pub fn erased(&self) -> u32 {
        self.erased
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
        let count = self.identities();
        let width = width_of(u64::from(count));
        let person = || (0..).zip(self.person.iter_from(0));
        let others =
            person().filter(|(id, person)| id != person).map(|(_, person)| u64::from(person.min(count)));
        let moved = |part: fn(Move) -> u32| {
            packed(self.moves.iter_from(0).map(|m| u64::from(part(m).min(count))), width)
        };
        PersonsImage {
            identities: count,
            persons: self.persons,
            moves_base: self.moves_base,
            moves: self.moves.len() as u32,
            own: packed(person().map(|(id, person)| u64::from(id == person)), 1),
            named: packed(self.flags.iter_from(0).map(|flags| u64::from(flags & NAMED)), 1),
            others: packed(others, width),
            moved: [moved(|m| m.identity), moved(|m| m.from), moved(|m| m.to)],
        }
    }

    /// From the checkpoint; `None` if the image contradicts itself.
    pub fn from_image(image: &PersonsImage) -> Option<Self> {
        let count = image.identities as usize;
        let width = width_of(u64::from(image.identities));
        let own = Packed::new(&image.own, count, 1)?;
        let named = Packed::new(&image.named, count, 1)?;
        let roots = (0..count).filter(|id| own.get(*id) == 1).count();
        let others = Packed::new(&image.others, count - roots, width)?;
        let version =
            image.moves_base.checked_add(image.moves).filter(|version| *version <= VERSION_READ_MAX);
        if roots != image.persons as usize || version.is_none() {
            return None;
        }
        let mut persons = Self { moves_base: image.moves_base, persons: image.persons, ..Self::default() };
        let mut other = 0;
        let mut person = Vec::with_capacity(count);
        for id in 0..count {
            if own.get(id) == 1 {
                person.push(id as PersonId);
            } else {
                let of = others.get(other) as PersonId;
                // Whoever is a person of their own has the bit.
                if of == id as PersonId {
                    return None;
                }
                person.push(if of == image.identities { ERASED } else { of });
                other += 1;
            }
        }
        let mut next: Vec<IdentityId> = (0..image.identities).collect();
        let mut flags: Vec<u8> = (0..count).map(|id| named.get(id) as u8 * NAMED).collect();
        for (id, root) in (0..image.identities).zip(&person) {
            if *root == ERASED {
                persons.erased += 1;
                continue;
            }
            let root_at = *root as usize;
            if person.get(root_at) != Some(root) {
                return None;
            }
            if id != *root {
                let (Some(after), Some(own)) = (next.get(root_at).copied(), next.get_mut(id as usize)) else {
                    continue;
                };
                *own = after;
                next.get_mut(root_at).into_iter().for_each(|slot| *slot = id);
            }
            if flags.get(id as usize).is_some_and(|f| f & NAMED != 0) {
                flags.get_mut(root_at).into_iter().for_each(|f| *f |= IDENTIFIED);
            }
        }
        persons.person = person.into_iter().collect();
        persons.next = next.into_iter().collect();
        persons.flags = flags.into_iter().collect();
        persons.add_moves(image, width)?;
        Some(persons)
    }

    /// The moves of an image, and with them the latest one of each identity.
    fn add_moves(&mut self, image: &PersonsImage, width: u8) -> Option<()> {
        let count = image.moves as usize;
        let [identities, from, to] = &image.moved;
        let column = |bytes| Packed::new(bytes, count, width);
        let (identities, from, to) = (column(identities)?, column(from)?, column(to)?);
        let mut last_move = vec![NONE; image.identities as usize];
        for at in 0..count {
            let identity = identities.get(at) as IdentityId;
            let last = last_move.get_mut(identity as usize)?;
            let previous = std::mem::replace(last, image.moves_base.checked_add(at as u32)?);
            let (from, to) = (from.get(at) as PersonId, to.get(at) as PersonId);
            if from.max(to) >= image.identities {
                return None;
            }
            self.moves.push(Move { identity, from, to, previous });
        }
        self.last_move = last_move.into_iter().collect();
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_erased_joins_nobody() {
        let mut persons = with(3);
        persons.erase(1);
        let before = persons.image();
        assert_eq!(
            (persons.identify(0, 1), persons.identify(1, 2)),
            (Identified::Refused, Identified::Refused)
        );
        assert!(!persons.merge(0, 1) && !persons.merge(1, 0) && !persons.unmerge(1));
        assert_eq!(format!("{:?}", persons.image()), format!("{before:?}"));
    }

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

    /// Everything that can be asked of a graph.
    fn facts(p: &Persons) -> Vec<(PersonId, Vec<IdentityId>, bool, bool, PersonId)> {
        let of = |id| {
            let person = p.person_of(id);
            let before = p.person_at(id, p.moves_known_since());
            (person, p.members(person), p.is_named(id), p.is_identified(person), before)
        };
        (0..p.identities()).map(of).collect()
    }

    #[test]
    fn images_of_any_graph_say_all_there_is() {
        let mut random = crate::testing::random::Random::new(7);
        for _ in 0..300 {
            let count = 1 + random.below(40) as u32;
            let mut p = with(count);
            for _ in 0..random.below(60) {
                let (a, b) = (random.below(u64::from(count)) as u32, random.below(u64::from(count)) as u32);
                match random.below(6) {
                    0 => drop(p.unmerge(a)),
                    1 => drop(p.merge(a, b)),
                    2 => p.forget_moves_before(p.version() / 2),
                    _ => drop(p.identify(a, b)),
                }
            }
            let mut q = Persons::from_image(&p.image()).unwrap();
            assert_eq!((facts(&p), p.persons(), p.version()), (facts(&q), q.persons(), q.version()));
            // And they go on alike.
            for _ in 0..20 {
                let (a, b) = (random.below(u64::from(count)) as u32, random.below(u64::from(count)) as u32);
                assert_eq!(p.identify(a, b), q.identify(a, b));
                assert_eq!(p.unmerge(b), q.unmerge(b));
            }
            assert_eq!(facts(&p), facts(&q));
        }
    }

    #[test]
    fn an_image_round_trips_and_forgotten_moves_do_not_matter() {
        let mut p = with(5);
        p.identify(0, 4);
        p.identify(1, 4);
        p.forget_moves_before(1);
        p.identify(2, 4);
        let q = Persons::from_image(&p.image()).unwrap();
        assert_eq!(q.version(), 3);
        assert_eq!((q.person_at(1, 1), q.person_at(1, 2), q.person_at(2, 2)), (1, 4, 2));
        assert_eq!(q.moves_since(1).count(), 2);
    }

    #[test]
    fn an_image_that_contradicts_itself_is_none() {
        let mut p = with(4);
        p.identify(0, 3);
        p.identify(1, 3);
        assert!(Persons::from_image(&p.image()).is_some());
        let spoiled = |spoil: &dyn Fn(&mut PersonsImage)| {
            let mut image = p.image();
            spoil(&mut image);
            Persons::from_image(&image).is_none()
        };
        assert!(spoiled(&|image| image.persons = 0) && spoiled(&|image| image.persons += 1));
        assert!(spoiled(&|image| image.own[0] ^= 1), "one that is nobody's and one more than there are");
        assert!(spoiled(&|image| image.others[0] = 1), "somebody who is another's");
        assert!(spoiled(&|image| image.others[0] &= !7), "one of their own who is not counted");
        assert!(spoiled(&|image| image.others.clear()) && spoiled(&|image| image.identities = u32::MAX));
        assert!(spoiled(&|image| image.moves_base = u32::MAX) && spoiled(&|image| image.moves = u32::MAX));
        assert!(spoiled(&|image| image.moved[2][0] = 0xff), "a move to nobody");
        assert!(spoiled(&|image| image.moves_base = VERSION_READ_MAX), "no room for further moves");
    }

    #[test]
    fn an_erased_person_is_nobody_and_its_numbers_stay() {
        let mut p = with(4);
        p.identify(0, 1);
        p.identify(2, 3);
        p.erase(0);
        p.erase(1);
        let q = Persons::from_image(&p.image()).unwrap();
        assert_eq!((q.persons(), q.identities(), q.erased()), (1, 4, 2));
        assert!(q.is_erased(0) && q.is_erased(1) && !q.is_erased(2) && !q.is_named(1));
        assert!((0..2).all(|id| q.person_of(id) != id) && q.members(3) == [2, 3]);
    }
}
