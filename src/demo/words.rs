//! The texts of the company: names of events, people and places, and the records that are made of them.

use super::{Random, Tick};
use crate::model::{Number, Properties, Record, RecordKind, Value};

/// Stands in a [`Tick`] for the email address instead of a device.
pub(super) const NAMED: u8 = u8::MAX;
/// The plan without a price.
pub(super) const FREE: u32 = 0;

/// Event names; their indices are the kinds of ticks.
pub(super) const EVENTS: [&str; 27] = [
    "Visited Site",
    "Visited Pricing Page",
    "Clicked Signup CTA",
    "Submitted Signup Form",
    "Signed Up",
    "Started Free Trial",
    "Completed Onboarding",
    "Logged In",
    "Purchased",
    "Billed",
    "Refunded",
    "Upgraded Plan",
    "Cancelled",
    "Search Engine Hit",
    "Page View",
    "Viewed Dashboard",
    "Exported Report",
    "Invited Teammate",
    "Used Feature A",
    "Used Feature B",
    "Used Feature C",
    "Used Feature D",
    "Used Feature E",
    "Used Feature F",
    "Used Feature G",
    "Used Feature H",
    "Ad Campaign Hit",
];

/// Kinds of ticks by name.
pub(super) mod kind {
    pub const VISITED_SITE: u8 = 0;
    pub const VISITED_PRICING_PAGE: u8 = 1;
    pub const CLICKED_SIGNUP_CTA: u8 = 2;
    pub const SUBMITTED_SIGNUP_FORM: u8 = 3;
    pub const SIGNED_UP: u8 = 4;
    pub const STARTED_FREE_TRIAL: u8 = 5;
    pub const COMPLETED_ONBOARDING: u8 = 6;
    pub const LOGGED_IN: u8 = 7;
    pub const PURCHASED: u8 = 8;
    pub const BILLED: u8 = 9;
    pub const REFUNDED: u8 = 10;
    pub const UPGRADED_PLAN: u8 = 11;
    pub const CANCELLED: u8 = 12;
    pub const SEARCH_ENGINE_HIT: u8 = 13;
    pub const PAGE_VIEW: u8 = 14;
    /// The first of the kinds that sessions of members consist of.
    pub const DEEDS: u8 = PAGE_VIEW;
    pub const AD_CAMPAIGN_HIT: u8 = 26;
    pub const SET_SOURCE: u8 = 32;
    pub const SET_EXPERIMENT: u8 = 33;
    pub const SET_PROFILE: u8 = 34;
    pub const SET_PLAN: u8 = 35;
    pub const IDENTIFY: u8 = 36;
}

const PLANS: [&str; 4] = ["Free", "Starter", "Pro", "Business"];
/// Cents a month of the plans.
const PRICES: [i64; 4] = [0, 2900, 7990, 19_999];
const VARIANTS: [&str; 3] = ["Original", "Variant B", "Variant C"];
const ENGINES: [(&str, &str); 3] = [
    ("google", "https://www.google.com/"),
    ("bing", "https://www.bing.com/"),
    ("duckduckgo", "https://duckduckgo.com/"),
];
const CAMPAIGNS: [(&str, &str); 4] = [
    ("Spring Launch", "google ads"),
    ("Know Your Customers", "linkedin"),
    ("Retargeting", "facebook"),
    ("Podcast", "newsletter"),
];
const REFERRERS: [(&str, &str); 4] = [
    ("partner", "https://partner.example.net/tools"),
    ("news", "https://news.example.org/item/4711"),
    ("blog", "https://blog.example.net/ten-ways-to-grow"),
    ("review", "https://reviews.example.org/analytics"),
];
const PAGES: [&str; 8] =
    ["/", "/features", "/customers", "/blog/funnels", "/blog/retention", "/docs", "/about", "/contact"];
const INDUSTRIES: [&str; 7] =
    ["Software", "E-Commerce", "Healthcare", "Finance", "Education", "Media", "Manufacturing"];
const SIZES: [&str; 5] = ["1-10", "11-50", "51-200", "201-1000", "1000+"];
const FIRST: [&str; 20] = [
    "Jane", "Omar", "Mei", "Lucas", "Aisha", "Tom", "Ines", "Ravi", "Nora", "Kofi", "Elena", "Jonas", "Yuki",
    "Sara", "Diego", "Hana", "Paul", "Zoe", "Ivan", "Lena",
];
const LAST: [&str; 20] = [
    "Smith", "Haddad", "Chen", "Silva", "Khan", "Miller", "Costa", "Patel", "Berg", "Mensah", "Rossi",
    "Weber", "Tanaka", "Lind", "Lopez", "Kim", "Martin", "Novak", "Petrov", "Young",
];

/// Whether ticks of this kind are events.
pub(super) fn is_event(kind: u8) -> bool {
    kind < kind::SET_SOURCE
}

/// A sale in the `extra` of a tick.
pub(super) fn sale(plan: u32, annual: bool, coupon: bool) -> u32 {
    plan | u32::from(annual) << 2 | u32::from(coupon) << 3
}

/// How a person came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    /// From a search engine.
    Search,
    /// From an advertisement.
    Ad,
    /// From a page that links here.
    Other,
    /// Nobody knows.
    Direct,
}

/// What is always the same of a person, drawn anew whenever it is needed.
pub(super) struct Profile {
    random: Random,
    channel: usize,
    place: u64,
    variant: u64,
}

impl Profile {
    /// The profile of a person.
    pub(super) fn of(seed: u64, person: u32) -> Self {
        let mut random = Random::of(seed, (1 << 32) | u64::from(person));
        let (channel, place, variant) = (random.weighted(&[38, 22, 20, 20]), random.bits(), random.below(3));
        Self { random, channel, place, variant }
    }

    /// How they came.
    pub(super) fn channel(&self) -> Channel {
        match self.channel {
            0 => Channel::Search,
            1 => Channel::Ad,
            2 => Channel::Other,
            _ => Channel::Direct,
        }
    }

    /// Which pricing page they are shown.
    pub(super) fn variant(&self) -> usize {
        usize::try_from(self.variant).unwrap_or(0)
    }

    /// Source and referrer, unless they came directly.
    fn source(&self) -> Option<(&'static str, Option<&'static str>)> {
        match self.channel() {
            // Most searches are made in one place.
            Channel::Search => Some(choose(&ENGINES, choose(&[0, 0, 0, 0, 1, 2], self.place))),
            Channel::Ad => Some((choose(&CAMPAIGNS, self.place).1, "")),
            Channel::Other => Some(choose(&REFERRERS, self.place)),
            Channel::Direct => None,
        }
        .map(|(source, referrer)| (source, (!referrer.is_empty()).then_some(referrer)))
    }

    /// First and last name, and the address made of them. Numbered, so that no two are equal.
    fn names(&mut self, person: u32) -> (String, String) {
        let (first, last) = (choose(&FIRST, self.random.bits()), choose(&LAST, self.random.bits()));
        let email =
            format!("{}.{}{person}@{}.example", first.to_lowercase(), last.to_lowercase(), self.company());
        (format!("{first} {last}"), email)
    }

    fn company(&self) -> &'static str {
        choose(&["acme", "globex", "initech", "umbra", "hooli", "northwind", "contoso"], self.place >> 8)
    }
}

fn choose<T: Copy + Default, const N: usize>(from: &[T; N], at: u64) -> T {
    usize::try_from(at % N as u64).ok().and_then(|at| from.get(at)).copied().unwrap_or_default()
}

/// The random id that a tracker gave a device: 20 bytes as Base64.
fn visitor(seed: u64, person: u32, device: u8) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut random = Random::of(seed, (2 + u64::from(device)) << 32 | u64::from(person));
    let mut id: String = (0..26).map(|_| char::from(choose(DIGITS, random.bits()))).collect();
    // The last digit holds four bits, the padding none.
    id.push(char::from(choose(DIGITS, random.bits() & 0b11_1100)));
    id.push('=');
    id
}

/// The record of a tick.
pub(super) fn record(seed: u64, tick: &Tick) -> Record {
    let mut profile = Profile::of(seed, tick.person);
    let (name, email) = profile.names(tick.person);
    let identity = if tick.device == NAMED { email.clone() } else { visitor(seed, tick.person, tick.device) };
    let (kind, name, mut properties) = match tick.kind {
        kind::SET_SOURCE..kind::IDENTIFY => {
            (RecordKind::Set, String::new(), person_properties(&mut profile, tick, name))
        }
        kind::IDENTIFY => (RecordKind::Identify, email, Properties::new()),
        _ => (RecordKind::Event, event(tick.kind).to_owned(), event_properties(&profile, tick)),
    };
    properties.sort_by(|a, b| a.0.cmp(&b.0));
    Record { kind, identity, name, time: Some(tick.time), properties, id: None }
}

/// The name of an event.
fn event(kind: u8) -> &'static str {
    EVENTS.get(usize::from(kind)).copied().unwrap_or_default()
}

fn text(name: &str, value: impl Into<String>) -> (String, Value) {
    (name.to_owned(), Value::Text(value.into()))
}

fn person_properties(profile: &mut Profile, tick: &Tick, name: String) -> Properties {
    match tick.kind {
        kind::SET_SOURCE => match profile.source() {
            Some((source, Some(referrer))) => {
                vec![text("Campaign Source", source), text("Referrer", referrer)]
            }
            Some((source, None)) => vec![text("Campaign Source", source)],
            None => vec![text("Campaign Source", "direct")],
        },
        kind::SET_EXPERIMENT => vec![text("Pricing Page Experiment", choose(&VARIANTS, profile.variant))],
        kind::SET_PROFILE => {
            let mut properties = vec![
                text("Name", name),
                text("Company Size", choose(&SIZES, profile.random.below(7).saturating_sub(2))),
            ];
            // Not everybody fills in every field.
            if profile.random.chance(900) {
                properties.push(text("Industry", choose(&INDUSTRIES, profile.random.bits())));
            }
            properties
        }
        _ => vec![text("Plan", choose(&PLANS, u64::from(tick.extra)))],
    }
}

fn url(path: &str) -> (String, Value) {
    text("URL", format!("https://www.example.com{path}"))
}

fn event_properties(profile: &Profile, tick: &Tick) -> Properties {
    let extra = u64::from(tick.extra);
    match tick.kind {
        kind::VISITED_SITE => {
            let mut properties = vec![url(choose(&PAGES, extra % 3))];
            if let Some((source, referrer)) = profile.source() {
                properties.push(text("Source", source));
                properties.extend(referrer.map(|referrer| text("Referrer", referrer)));
            }
            properties
        }
        kind::PAGE_VIEW => vec![url(choose(&PAGES, extra))],
        kind::VISITED_PRICING_PAGE => vec![url("/pricing")],
        kind::CLICKED_SIGNUP_CTA => vec![url(choose(&["/", "/pricing", "/features"], extra))],
        kind::SUBMITTED_SIGNUP_FORM => vec![url("/signup")],
        kind::SIGNED_UP => {
            let mut properties = vec![text("Plan", "Free")];
            properties.extend(profile.source().map(|(source, _)| text("Source", source)));
            properties
        }
        kind::STARTED_FREE_TRIAL => {
            vec![text("Plan Name", choose(&["Starter", "Pro", "Pro", "Business"], extra))]
        }
        kind::PURCHASED | kind::BILLED | kind::REFUNDED | kind::UPGRADED_PLAN => sold(tick),
        kind::SEARCH_ENGINE_HIT => match profile.source() {
            Some((engine, referrer)) => {
                let mut properties = vec![text("Search Engine", engine)];
                properties.extend(referrer.map(|referrer| text("Referrer", referrer)));
                properties
            }
            None => Properties::new(),
        },
        kind::AD_CAMPAIGN_HIT => {
            let (campaign, source) = choose(&CAMPAIGNS, profile.place);
            vec![text("Campaign Name", campaign), text("Source", source)]
        }
        kind::LOGGED_IN => vec![url("/login")],
        _ => Properties::new(),
    }
}

/// What was sold and for how much; an upgrade costs the difference to the plan below.
fn sold(tick: &Tick) -> Properties {
    let (plan, annual, coupon) = (tick.extra & 3, tick.extra & 4 != 0, tick.extra & 8 != 0);
    let mut cents = choose(&PRICES, u64::from(plan));
    if tick.kind == kind::UPGRADED_PLAN {
        cents -= choose(&PRICES, u64::from(plan.saturating_sub(1)));
    }
    if annual {
        cents *= 10;
    }
    if coupon {
        cents -= cents / 10;
    }
    if tick.kind == kind::REFUNDED {
        cents = -cents;
    }
    let plan = choose(&PLANS, u64::from(plan));
    vec![
        text("Billing Period", if annual { "Annual" } else { "Monthly" }),
        text("Plan", plan),
        text("Plan Name", plan),
        ("Revenue".to_owned(), Value::Number(Number::new(i128::from(cents), 2))),
    ]
}
