//! A reproducible synthetic company: a year of visitors, sign-ups, devices and payments of a software service,
//! as its clients would have sent it. Everything follows from the number of people and events, the seed and the end.

mod journey;
#[cfg(test)]
mod tests;
mod words;

use crate::error::{Error, Result};
use crate::limits;
use crate::model::{Millis, Record};
use journey::Journey;

const DAY: i64 = 86_400_000;
const YEAR: i64 = 365 * DAY;
/// Events of one person: more would not find an instant each in the year.
const EVENTS_PER_PERSON_MAX: u64 = 1_000_000;

/// A company whose records can be generated again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Company {
    /// People, each with one identity or more.
    pub people: u32,
    /// Event records; `set` and `identify` records come on top.
    pub events: u64,
    /// What chance draws from.
    pub seed: u64,
    /// The end of the year that the records lie in.
    pub until: Millis,
}

/// A record before its texts are made: small, because all of them are sorted in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Tick {
    time: Millis,
    /// Milliseconds until the record arrives.
    delay: u32,
    person: u32,
    /// What its properties are drawn from.
    extra: u32,
    /// An index into [`words::EVENTS`], or one of the kinds behind it.
    kind: u8,
    /// The device whose visitor id it is about, or [`words::NAMED`].
    device: u8,
}

impl Tick {
    fn arrival(&self) -> Millis {
        self.time.saturating_add(i64::from(self.delay))
    }
}

impl Company {
    /// A company, if so many people can be told in so many events.
    pub fn new(people: u32, events: u64, seed: u64, until: Millis) -> Result<Self> {
        if people == 0 {
            return Err(Error::invalid("out_of_range", "a company needs at least one person").at("people"));
        }
        if !(limits::TIME_MIN_MS + YEAR + DAY..=limits::TIME_MIN_MS + 200 * YEAR).contains(&until) {
            return Err(Error::invalid(
                "bad_time",
                "the year before the end must lie after 2009 and within reach",
            )
            .at("until"));
        }
        let company = Self { people, events, seed, until };
        let need = company.needs().events;
        if events < need {
            return Err(Error::invalid(
                "out_of_range",
                format!("{people} people need at least {need} events, {events} given"),
            )
            .at("events")
            .hint("ask for more events or fewer people"));
        }
        let most = u64::from(people).saturating_mul(EVENTS_PER_PERSON_MAX);
        if events > most {
            return Err(Error::invalid("out_of_range", format!("{people} people do at most {most} events"))
                .at("events")
                .hint("ask for fewer events or more people"));
        }
        Ok(company)
    }

    /// All records in the order in which they arrive. The order is found at once, in 24 bytes a record; each record is
    /// made when it is asked for.
    pub fn records(&self) -> impl Iterator<Item = Record> + use<> {
        let seed = self.seed;
        self.ticks().into_iter().map(move |tick| words::record(seed, &tick))
    }

    /// What the journeys of all people add up to before anybody is given further activity.
    fn needs(&self) -> Needs {
        let mut needs = Needs { events: 0, weight: 0 };
        let mut ticks = Vec::new();
        for person in 0..self.people {
            let journey = self.journey(person, &mut ticks);
            needs.events += journey.events(&ticks);
            needs.weight += u128::from(journey.weight);
        }
        needs
    }

    fn journey(&self, person: u32, ticks: &mut Vec<Tick>) -> Journey {
        ticks.clear();
        Journey::begin(self.seed, person, self.until, ticks)
    }

    fn ticks(&self) -> Vec<Tick> {
        let needs = self.needs();
        let spare = u128::from(self.events.saturating_sub(needs.events));
        // Room for the other records too, so that the largest list is never copied to grow.
        let room = self.events + self.events / 4 + u64::from(self.people) * 5;
        let mut all = Vec::with_capacity(usize::try_from(room).unwrap_or(0));
        let mut own = Vec::new();
        let (mut weight, mut given) = (0u128, 0u128);
        for person in 0..self.people {
            let mut journey = self.journey(person, &mut own);
            // Shares of a running sum, so that the roundings cancel out and the total is exact.
            weight += u128::from(journey.weight);
            let due = (spare * weight).checked_div(needs.weight).unwrap_or(0);
            journey.stay_active(u64::try_from(due - given).unwrap_or(0), &mut own);
            given = due;
            journey::settle(self.until, &mut own);
            all.extend_from_slice(&own);
        }
        all.sort_unstable_by_key(|tick| (tick.arrival(), *tick));
        all
    }
}

/// See [`Company::needs`].
struct Needs {
    events: u64,
    weight: u128,
}

/// SplitMix64. Only whole numbers and square roots are drawn from it, which are the same on every machine.
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    /// The sequence of one thing of one seed.
    fn of(seed: u64, thing: u64) -> Self {
        let mut mixer = Self(seed);
        let mixed = mixer.bits();
        let mut own = Self(mixed ^ thing.wrapping_mul(0xd134_2543_de82_ef95));
        Self(own.bits())
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 if there is none.
    fn below(&mut self, end: u64) -> u64 {
        self.bits().checked_rem(end).unwrap_or(0)
    }

    /// A number from `low` to `high`.
    fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = u64::try_from(high.saturating_sub(low)).unwrap_or(0).saturating_add(1);
        low.saturating_add(i64::try_from(self.below(span)).unwrap_or(0))
    }

    /// True in `of_1000` of 1000 cases.
    fn chance(&mut self, of_1000: u64) -> bool {
        self.below(1000) < of_1000
    }

    /// From 0 to below 1.
    fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// An index of `weights`, drawn by weight.
    fn weighted(&mut self, weights: &[u64]) -> usize {
        let mut at = self.below(weights.iter().sum());
        for (index, weight) in weights.iter().enumerate() {
            match at.checked_sub(*weight) {
                Some(rest) => at = rest,
                None => return index,
            }
        }
        0
    }
}
