//! What one person does: first visit, sign-up, trial, purchase, and the sessions that fill the year.

use super::words::{self, NAMED, kind};
use super::{DAY, Random, Tick, YEAR};
use crate::model::Millis;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
/// Nothing happens later than this before the end, so that nothing lies behind it.
const MARGIN: i64 = 30 * SECOND;
/// What a session of a member is made of: page views, dashboards, reports, invitations, features A to H.
const DEEDS: [u64; 12] = [14, 22, 4, 1, 26, 16, 10, 7, 5, 4, 2, 1];
/// Of 1000 who see each variant of the pricing page, how many start a trial.
const TRIALS: [u64; 3] = [420, 480, 540];

/// One person's year, as far as it is told.
pub(super) struct Journey {
    random: Random,
    person: u32,
    /// The last instant at which something may happen.
    last: Millis,
    first_visit: Millis,
    signed_up: Option<Millis>,
    cancelled: Option<Millis>,
    /// The share of the company's further activity, against the others.
    pub(super) weight: u64,
}

impl Journey {
    /// Tells into `ticks` how the person came, and whether they stayed and paid.
    pub(super) fn begin(seed: u64, person: u32, until: Millis, ticks: &mut Vec<Tick>) -> Self {
        let mut random = Random::of(seed, u64::from(person));
        let last = until - MARGIN;
        // More come later in the year: the company grows.
        let grown = 0.35 * random.unit() + 0.65 * random.unit().sqrt();
        let first_visit =
            office_hours(&mut random, until - YEAR + DAY + (grown * (YEAR - DAY) as f64) as i64);
        let first_visit = first_visit.min(until - HOUR);
        let mut journey =
            Self { random, person, last, first_visit, signed_up: None, cancelled: None, weight: 1 };
        journey.visit(seed, ticks);
        // A few who are on the site right now.
        if person < 3 {
            let ago = MINUTE + i64::from(person) * 7 * MINUTE;
            journey.tell(until - ago, kind::VISITED_SITE, 0, ticks);
        }
        journey.weigh();
        journey
    }

    /// How many of `ticks` are events.
    pub(super) fn events(&self, ticks: &[Tick]) -> u64 {
        ticks.iter().filter(|tick| words::is_event(tick.kind)).count() as u64
    }

    /// Zipf's law: the inverse of an even draw. Who signed up does far more than who only came by.
    fn weigh(&mut self) {
        let zipf = 1_000_000_000 / (self.random.below(1_000_000) + 4000);
        self.weight = 1 + if self.signed_up.is_some() { zipf } else { zipf / 60 };
    }

    fn tell(&mut self, time: Millis, kind: u8, device: u8, ticks: &mut Vec<Tick>) {
        let extra = (self.random.bits() >> 32) as u32;
        self.tell_with(time, kind, device, extra, ticks);
    }

    /// Nothing is told that has not happened yet.
    fn tell_with(&mut self, time: Millis, kind: u8, device: u8, extra: u32, ticks: &mut Vec<Tick>) {
        if time > self.last {
            return;
        }
        let delay = match self.random.below(1000) {
            0..=5 => self.random.below(4 * 3_600_000),
            6..=9 => self.random.below(4 * 86_400_000),
            _ => self.random.below(900),
        };
        let delay = u32::try_from(delay).unwrap_or(0);
        ticks.push(Tick { time, delay, person: self.person, extra, kind, device });
    }

    fn visit(&mut self, seed: u64, ticks: &mut Vec<Tick>) {
        let profile = words::Profile::of(seed, self.person);
        let mut at = self.first_visit;
        match profile.channel() {
            words::Channel::Search => self.tell(at, kind::SEARCH_ENGINE_HIT, 0, ticks),
            words::Channel::Ad => self.tell(at, kind::AD_CAMPAIGN_HIT, 0, ticks),
            words::Channel::Other | words::Channel::Direct => {}
        }
        self.tell(at, kind::VISITED_SITE, 0, ticks);
        if profile.channel() != words::Channel::Direct {
            self.tell(at, kind::SET_SOURCE, 0, ticks);
        }
        let pricing = self.random.chance(620);
        if pricing {
            if self.random.chance(250) {
                at = self.later_day(at, 1, 6);
            }
            at += self.random.between(8, 400) * SECOND;
            self.tell(at, kind::SET_EXPERIMENT, 0, ticks);
            // Some look at the prices only once they have signed up.
            let seen = if self.random.chance(40) { at + self.random.between(1, 40) * HOUR } else { at };
            self.tell(seen, kind::VISITED_PRICING_PAGE, 0, ticks);
        }
        let trials = TRIALS.get(profile.variant()).copied().unwrap_or(0);
        let trial = self.random.chance(if pricing { trials } else { 60 });
        if trial || self.random.chance(50) {
            if self.random.chance(350) {
                at = self.later_day(at, 1, 7);
            }
            at += self.random.between(5, 300) * SECOND;
            self.sign_up(at, trial, ticks);
        }
    }

    fn sign_up(&mut self, at: Millis, trial: bool, ticks: &mut Vec<Tick>) {
        self.tell(at, kind::CLICKED_SIGNUP_CTA, 0, ticks);
        let at = at + self.random.between(20, 240) * SECOND;
        self.tell(at, kind::SUBMITTED_SIGNUP_FORM, 0, ticks);
        // The form and what the server says of it often share a second.
        let at = if self.random.chance(500) { at } else { at + self.random.between(1, 4) * SECOND };
        if at > self.last {
            return;
        }
        self.signed_up = Some(at);
        self.tell(at, kind::IDENTIFY, 0, ticks);
        self.tell(at, kind::SIGNED_UP, NAMED, ticks);
        self.tell(at, kind::SET_PROFILE, NAMED, ticks);
        self.tell_with(at, kind::SET_PLAN, NAMED, words::FREE, ticks);
        if !trial {
            return;
        }
        let started = if self.random.chance(400) { at } else { at + self.random.between(2, 900) * SECOND };
        self.tell(started, kind::STARTED_FREE_TRIAL, NAMED, ticks);
        if !self.random.chance(630) {
            return;
        }
        let onboarded = match self.random.below(100) {
            // A few are through before they choose the trial.
            0..=3 => at + self.random.between(1, 2) * SECOND,
            4..=50 => started + self.random.between(4, 90) * MINUTE,
            _ => self.later_day(started, 1, 5),
        };
        self.tell(onboarded, kind::COMPLETED_ONBOARDING, NAMED, ticks);
        if self.random.chance(460) {
            let purchased = self.later_day(onboarded.max(started), 1, 20);
            self.purchase(purchased, ticks);
        }
    }

    fn purchase(&mut self, at: Millis, ticks: &mut Vec<Tick>) {
        let plan = 1 + self.random.weighted(&[50, 35, 15]) as u32;
        let annual = self.random.chance(250);
        let coupon = self.random.chance(120);
        let mut sale = words::sale(plan, annual, coupon);
        self.tell_with(at, kind::PURCHASED, NAMED, sale, ticks);
        self.tell_with(at, kind::SET_PLAN, NAMED, plan, ticks);
        if self.random.chance(60) {
            let refunded = self.later_day(at, 2, 20);
            self.tell_with(refunded, kind::REFUNDED, NAMED, sale, ticks);
            self.cancel(refunded, ticks);
            return;
        }
        let cancels = self.random.chance(250).then(|| at + self.random.between(25, 250) * DAY);
        let mut upgrades =
            (plan < 3 && self.random.chance(170)).then(|| at + self.random.between(15, 150) * DAY);
        let period = if annual { 365 } else { 30 };
        let mut due = at + period * DAY;
        loop {
            let end = cancels.unwrap_or(self.last).min(self.last);
            if let Some(upgraded) = upgrades.filter(|upgraded| *upgraded < due.min(end)) {
                upgrades = None;
                sale = words::sale(plan + 1, annual, coupon);
                self.tell_with(upgraded, kind::UPGRADED_PLAN, NAMED, sale, ticks);
                self.tell_with(upgraded, kind::SET_PLAN, NAMED, plan + 1, ticks);
            } else if due < end {
                self.tell_with(due, kind::BILLED, NAMED, sale, ticks);
                due += period * DAY;
            } else {
                break;
            }
        }
        if let Some(cancelled) = cancels {
            self.cancel(cancelled, ticks);
        }
    }

    fn cancel(&mut self, at: Millis, ticks: &mut Vec<Tick>) {
        self.tell(at, kind::CANCELLED, NAMED, ticks);
        self.tell_with(at, kind::SET_PLAN, NAMED, words::FREE, ticks);
        self.cancelled = Some(at);
    }

    fn later_day(&mut self, at: Millis, low: i64, high: i64) -> Millis {
        let day = at + self.random.between(low, high) * DAY;
        // Office hours move within the day and to the Monday behind: never back before `at`.
        office_hours(&mut self.random, day).max(at + HOUR)
    }

    /// Tells exactly `events` further events, in sessions.
    pub(super) fn stay_active(&mut self, events: u64, ticks: &mut Vec<Tick>) {
        let begin = self.signed_up.unwrap_or(self.first_visit);
        let end = match (self.signed_up, self.cancelled) {
            (None, _) => self.last.min(begin + 40 * DAY),
            (Some(_), Some(cancelled)) => self.last.min(cancelled),
            (Some(_), None) => self.last,
        };
        let devices = 1 + self.random.weighted(&[60, 28, 12]) as u8;
        let mut left = events;
        while left > 0 {
            let drawn = self.random.between(begin, end);
            let moved = office_hours(&mut self.random, drawn);
            let start = if moved < begin || moved > end { drawn } else { moved };
            let length = (3 + self.random.below(12)).min(left);
            let device = self.random.below(u64::from(devices)) as u8;
            self.session(start, end, length, device, ticks);
            left -= length;
        }
    }

    fn session(&mut self, start: Millis, end: Millis, events: u64, device: u8, ticks: &mut Vec<Tick>) {
        let member = self.signed_up.is_some();
        let (mut at, mut left) = (start, events);
        // Signed out, or a device for the first time: the visit is the visitor's until the log-in names them.
        if left > 0 && (!member || self.random.chance(180)) {
            self.tell(at, kind::VISITED_SITE, device, ticks);
            left -= 1;
            at = (at + self.random.between(2, 60) * SECOND).min(end);
        }
        if left > 0 && member && self.random.chance(700) {
            self.tell(at, kind::IDENTIFY, device, ticks);
            self.tell(at, kind::LOGGED_IN, NAMED, ticks);
            left -= 1;
        }
        for _ in 0..left {
            let deed =
                if member { kind::DEEDS + self.random.weighted(&DEEDS) as u8 } else { kind::PAGE_VIEW };
            // Some clients send two things of one second.
            if !self.random.chance(60) {
                at = (at + self.random.between(3, 240) * SECOND).min(end);
            }
            self.tell(at, deed, if member { NAMED } else { device }, ticks);
        }
    }
}

/// Moves an instant to where people work: most weekends to the days behind, nights to the day.
fn office_hours(random: &mut Random, at: Millis) -> Millis {
    let mut day = at.div_euclid(DAY);
    // The epoch began on a Thursday.
    let weekday = (day + 3).rem_euclid(7);
    if weekday >= 5 && random.chance(750) {
        day += if random.chance(600) { 7 - weekday } else { 8 - weekday };
    }
    let of_day = 6 * HOUR + random.between(0, 7 * HOUR) + random.between(0, 7 * HOUR);
    day * DAY + of_day
}

/// Most clocks count whole seconds. Two equal deeds of one person are a millisecond apart, since no store can tell
/// them from one deed that was sent twice; nothing arrives after the end.
pub(super) fn settle(until: Millis, ticks: &mut [Tick]) {
    for tick in ticks.iter_mut() {
        // A draw of its own for each instant, so that what shared an instant still does.
        if !Random::of(tick.time as u64, u64::from(tick.person)).chance(120) {
            tick.time -= tick.time.rem_euclid(SECOND);
        }
    }
    ticks.sort_unstable();
    let mut latest = [Millis::MIN; 64];
    for tick in ticks.iter_mut() {
        if let Some(latest) = latest.get_mut(usize::from(tick.kind)) {
            tick.time = tick.time.max(latest.saturating_add(1));
            *latest = tick.time;
        }
        let most = u32::try_from(until.saturating_sub(tick.time)).unwrap_or(u32::MAX);
        tick.delay = tick.delay.min(most);
    }
}
