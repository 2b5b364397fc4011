//! The load of the soak, made record by record, and an independent count of it: a byte or two for each person, and whole histories only
//! of the few whose persons are joined, parted or erased.

use std::collections::{BTreeMap, BTreeSet};

use whodid::testing::random::Random;

/// What people do, most of it far more often than the rest.
pub const EVENTS: [&str; 8] =
    ["Visited", "Viewed Pricing", "Uploaded", "Invited", "Signed Up", "Exported", "Purchased", "Cancelled"];
/// Of a hundred records, how many are of each and of those before it.
const UP_TO: [u64; 8] = [48, 62, 76, 84, 90, 95, 98, 100];
/// The steps of the funnel, as places in [`EVENTS`].
pub const STEPS: [usize; 3] = [0, 4, 6];
/// When the load begins, in milliseconds; it takes a day.
const BEGIN_MS: u64 = 1_740_787_200_000;
const DAY_MS: u64 = 86_400_000;
/// People who may be joined, parted or erased.
const SPECIAL: u64 = 60;

/// One event of somebody special, in the order of times.
#[derive(Clone, Copy)]
pub struct Done {
    number: u64,
    event: usize,
    /// Whether it came under the anonymous id.
    anonymous: bool,
}

/// What became of somebody special besides.
#[derive(Default)]
pub struct Fates {
    /// The first of each pair joined the second.
    pub merged: Vec<(u64, u64)>,
    /// Their anonymous id was taken out.
    pub parted: BTreeSet<u64>,
    pub erased: BTreeSet<u64>,
}

/// Makes records and counts them.
pub struct Load {
    records: u64,
    people: u64,
    /// One of so many people is special.
    stride: u64,
    made: u64,
    random: Random,
    /// By person: seen at all, and how far in the funnel.
    stages: Vec<u8>,
    /// By person a bit for each event.
    did: Vec<u8>,
    counts: [u64; 8],
    specials: BTreeMap<u64, Vec<Done>>,
    /// Lines that are sent one batch late.
    late: Vec<u8>,
    late_lines: u64,
}

/// What the server must answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Counted {
    pub people: u64,
    /// Of each event how often, and by how many people.
    pub events: [(u64, u64); 8],
    pub funnel: [u64; 3],
}

/// A byte of [`Load::stages`]: whether they were seen.
const SEEN: u8 = 0x80;

impl Load {
    pub fn new(records: u64) -> Self {
        let people = (records / 50).clamp(600, 4_000_000);
        Self {
            records,
            people,
            // Not in step with who is identified.
            stride: people / SPECIAL / 5 * 5 + 1,
            made: 0,
            random: Random::new(7),
            stages: vec![0; people as usize],
            did: vec![0; people as usize],
            counts: [0; 8],
            specials: BTreeMap::new(),
            late: Vec::new(),
            late_lines: 0,
        }
    }

    fn is_special(&self, person: u64) -> bool {
        person.is_multiple_of(self.stride)
    }

    /// Four of five say who they are.
    fn is_identified(person: u64) -> bool {
        !person.is_multiple_of(5)
    }

    /// Who is erased has to be silent by then.
    fn is_doomed(&self, person: u64) -> bool {
        self.is_special(person) && person / self.stride % 15 == 1
    }

    /// Writes the next `lines` records as lines of JSON; how many there are, none at the end.
    pub fn next(&mut self, lines: u64, out: &mut Vec<u8>) -> u64 {
        out.clear();
        out.append(&mut self.late);
        let mut written = std::mem::take(&mut self.late_lines);
        while written < lines && self.made < self.records {
            written += self.add(out);
        }
        written
    }

    /// Makes one event, and what its person has to say before; how many lines that is.
    fn add(&mut self, out: &mut Vec<u8>) -> u64 {
        let n = self.made;
        self.made += 1;
        let mut person = self.random.below(self.people);
        if self.is_doomed(person) && n > self.records / 10 {
            person += 1;
        }
        let share = self.random.below(100);
        let event = UP_TO.iter().position(|up_to| share < *up_to).unwrap_or(0);
        let anonymous = !Self::is_identified(person) || self.random.chance(50);
        let at = person as usize;
        let first = self.stages[at] & SEEN == 0;
        self.stages[at] |= SEEN;
        if self.is_special(person) {
            self.specials.entry(person).or_default().push(Done { number: n, event, anonymous });
        } else {
            self.counts[event] += 1;
            self.did[at] |= 1 << event;
            let stage = usize::from(self.stages[at] & !SEEN);
            self.stages[at] += u8::from(STEPS.get(stage) == Some(&event));
        }
        let time = BEGIN_MS + n * (DAY_MS / self.records).max(1);
        let mut lines = 1;
        if first && Self::is_identified(person) {
            line_of_identify(person, time, out);
            lines += 1;
        }
        if self.is_special(person) && self.random.chance(20) {
            line_of_event(person, anonymous, event, time, &mut self.late);
            self.late_lines += 1;
            return lines - 1;
        }
        line_of_event(person, anonymous, event, time, out);
        lines
    }

    /// Special people who were seen in the first tenth, apart from those who are to be erased; and these.
    pub fn specials(&self) -> (Vec<u64>, Vec<u64>) {
        let early = |history: &[Done]| history.first().is_some_and(|d| d.number < self.records / 10);
        let seen = self.specials.iter().filter(|(_, history)| early(history));
        seen.map(|(person, _)| *person).partition(|person| !self.is_doomed(*person))
    }

    /// The name that a person is known by.
    pub fn name(person: u64) -> String {
        if Self::is_identified(person) { format!("u{person}@x.example") } else { format!("a{person}") }
    }

    /// The anonymous id of somebody who has another one too.
    pub fn anonymous(person: u64) -> Option<String> {
        Self::is_identified(person).then(|| format!("a{person}"))
    }

    /// What the answers have to be by now.
    pub fn count(&self, fates: &Fates) -> Counted {
        let mut counted = Counted { people: 0, events: [(0, 0); 8], funnel: [0; 3] };
        for (event, count) in self.counts.iter().enumerate() {
            counted.events[event].0 = *count;
        }
        for (person, (stage, did)) in self.stages.iter().zip(&self.did).enumerate() {
            if stage & SEEN != 0 && !self.is_special(person as u64) {
                counted.add_person(*did, usize::from(stage & !SEEN));
            }
        }
        for history in self.special_people(fates) {
            let (mut did, mut stage) = (0u8, 0);
            for event in history {
                counted.events[event].0 += 1;
                did |= 1 << event;
                stage += usize::from(STEPS.get(stage) == Some(&event));
            }
            counted.add_person(did, stage);
        }
        counted
    }

    /// The events of each person who special ones became.
    fn special_people(&self, fates: &Fates) -> Vec<Vec<usize>> {
        let mut people = Vec::new();
        let joined: BTreeMap<u64, u64> = fates.merged.iter().copied().collect();
        for (person, history) in &self.specials {
            if fates.erased.contains(person) || joined.contains_key(person) {
                continue;
            }
            if fates.parted.contains(person) {
                let (anonymous, known): (Vec<&Done>, Vec<&Done>) = history.iter().partition(|d| d.anonymous);
                people.extend([anonymous, known].map(|part| part.iter().map(|d| d.event).collect()));
                continue;
            }
            let other = fates.merged.iter().find(|(_, into)| into == person).map(|(from, _)| from);
            match other.and_then(|other| self.specials.get(other)) {
                None => people.push(history.iter().map(|d| d.event).collect()),
                Some(other) => people.push(interleaved(history, other)),
            }
        }
        people
    }
}

impl Counted {
    fn add_person(&mut self, did: u8, stage: usize) {
        self.people += 1;
        for (event, (_, people)) in self.events.iter_mut().enumerate() {
            *people += u64::from(did & (1 << event) != 0);
        }
        self.funnel.iter_mut().take(stage).for_each(|people| *people += 1);
    }
}

/// The events of two people in the order of their times.
fn interleaved(a: &[Done], b: &[Done]) -> Vec<usize> {
    let mut all: Vec<&Done> = a.iter().chain(b).collect();
    all.sort_unstable_by_key(|done| done.number);
    all.iter().map(|done| done.event).collect()
}

fn line_of_identify(person: u64, time: u64, out: &mut Vec<u8>) {
    let line = format!(
        "{{\"type\":\"identify\",\"person\":\"a{person}\",\"identity\":\"{}\",\"time\":{}}}\n",
        Load::name(person),
        seconds(time)
    );
    out.extend_from_slice(line.as_bytes());
}

fn line_of_event(person: u64, anonymous: bool, event: usize, time: u64, out: &mut Vec<u8>) {
    let name = if anonymous { format!("a{person}") } else { Load::name(person) };
    let line = format!(
        "{{\"type\":\"event\",\"person\":\"{name}\",\"event\":\"{}\",\"time\":{},\"properties\":{{\"Plan\":\"{}\",\"Amount\":{}}}}}\n",
        EVENTS[event],
        seconds(time),
        ["Free", "Pro", "Team"][(person % 3) as usize],
        time % 1000
    );
    out.extend_from_slice(line.as_bytes());
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03}", millis / 1000, millis % 1000)
}
