//! Revenue: what came in and what went back, by time and by where people came from. Sums are exact decimals.

use serde::Serialize;

use super::basis::{Basis, Definition};
use super::by::{Allowed, By};
use super::json::{Fields, Node};
use super::lifetime::{Lifetime, LifetimeReport, Movement};
use super::period::Units;
use super::saved::{Saved, Terms};
use super::segment::{Label, Segment, Tally, cut, take_shown};
use super::tally::Warning;
use crate::error::Result;
use crate::limits;
use crate::model::{Json, Number, Sum, Unit, Value};

/// Digits behind the point of quotients.
const QUOTIENT_DIGITS: u8 = 6;

/// A revenue report.
#[derive(Clone, Debug)]
pub struct Revenue {
    /// The property that holds the amounts.
    pub property: String,
    /// The units of the series.
    pub units: Units,
    /// What people are split by.
    pub by: By,
    /// Segments shown.
    pub limit: usize,
    /// What to say about lifetimes.
    pub lifetime: Option<Lifetime>,
    /// When, and which people.
    pub basis: Basis,
}

/// The people behind a number of a revenue report, a page at a time.
#[derive(Clone, Debug)]
pub struct RevenuePeople {
    /// The report.
    pub revenue: Revenue,
    /// The unit of the series, by its first day; the whole range if not given.
    pub start: Option<String>,
    /// Only of this segment.
    pub segment: Option<Label>,
    /// Which people.
    pub which: Payers,
    /// People on a page.
    pub limit: usize,
    /// Where the page begins.
    pub cursor: Option<String>,
}

/// Which people of a revenue report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payers {
    /// Who paid.
    Paying,
    /// Everybody with any event.
    People,
    /// Who ever paid.
    Customers,
    /// Who pays now.
    Current,
    /// Who moved so in the unit.
    Moved(Movement),
}

impl Revenue {
    /// Reads a revenue query.
    pub fn from_json(text: &str, saved: &Saved) -> Result<Self> {
        let mut fields = Node::parse(text)?.object()?;
        let limit = fields.take("limit").map(|n| n.integer(1, limits::SEGMENTS_MAX as u64)).transpose()?;
        let limit = limit.map_or(limits::SEGMENTS_DEFAULT, |n| n as usize);
        let revenue = Self::read(&mut fields, limit, saved)?;
        fields.end()?;
        Ok(revenue)
    }

    fn read(fields: &mut Fields, limit: usize, saved: &Saved) -> Result<Self> {
        let terms = Terms::new(saved);
        let basis = Basis::read(fields, &terms)?;
        let property = fields.take("property").map(Node::name).transpose()?;
        let units = Units::take(fields, "unit", Unit::Month, &terms)?;
        let by = fields.take("by").map(|node| By::read(node, Allowed::default(), &basis.period.zone, &terms));
        Ok(Self {
            property: property.unwrap_or_else(|| "Revenue".to_owned()),
            units,
            by: by.transpose()?.unwrap_or(By::Source),
            limit,
            lifetime: Lifetime::take(fields)?,
            basis,
        })
    }
}

impl RevenuePeople {
    /// Reads a query for the people behind a number.
    pub fn from_json(text: &str, saved: &Saved) -> Result<Self> {
        let mut fields = Node::parse(text)?.object()?;
        let limit = fields.take("limit").map(|n| n.integer(1, limits::PAGE_MAX as u64)).transpose()?;
        let shown = take_shown(&mut fields)?;
        let revenue = Revenue::read(&mut fields, shown, saved)?;
        let start = fields.take("start").map(Node::text).transpose()?;
        let segment = Label::take(&mut fields, "segment")?;
        let which = fields.take("which").map_or(Ok(Payers::Paying), |node| {
            which(node, revenue.lifetime.is_some(), start.is_some(), segment.is_some())
        })?;
        let cursor = fields.take("cursor").map(Node::text).transpose()?;
        fields.end()?;
        let limit = limit.map_or(limits::PAGE_DEFAULT, |n| n as usize);
        Ok(Self { revenue, start, segment, which, limit, cursor })
    }
}

/// Reads which people are wanted, and whether that goes with the rest of the query.
fn which(node: Node, lifetime: bool, of_unit: bool, of_segment: bool) -> Result<Payers> {
    let place = node.clone();
    let mut choices = vec![
        ("people", Payers::People),
        ("paying", Payers::Paying),
        ("customers", Payers::Customers),
        ("current", Payers::Current),
    ];
    choices.extend(Movement::NAMES.map(|(name, movement)| (name, Payers::Moved(movement))));
    let which = node.choice("kind of people", &choices)?;
    let moved = matches!(which, Payers::Moved(_));
    let problem = match which {
        Payers::Paying => None,
        Payers::People => of_unit.then_some("a unit of the series counts paying people only"),
        _ if !lifetime => Some("these people are known with \"lifetime\" only"),
        _ if of_segment => Some("lifetimes are not split into segments"),
        _ if moved && !of_unit => Some("\"start\" has to say in which unit"),
        _ if !moved && of_unit => Some("these people are not of one unit"),
        _ => None,
    };
    problem.map_or(Ok(which), |problem| Err(place.error("not_used", problem)))
}

impl Definition for Revenue {
    fn basis(&self) -> &Basis {
        &self.basis
    }

    fn fields(&self) -> Json {
        let mut out = Json::object([]);
        let mut put = |name: &str, value: Json| out.set(name, value);
        put("property", self.property.as_str().into());
        put("unit", self.units.unit.name().into());
        put("week_start", self.units.week_start().into());
        put("by", self.by.text().into());
        put("limit", self.limit.into());
        if let Some(lifetime) = &self.lifetime {
            lifetime.fields(&mut out);
        }
        out
    }
}

/// Amounts of some events.
#[derive(Clone, Copy, Debug, Default)]
pub struct Amounts {
    total: Sum,
    refunds: Sum,
    events: u64,
    /// People with a positive amount, and with any event.
    pub paying: u64,
    /// People with any event.
    pub people: u64,
}

impl Amounts {
    /// Adds an amount.
    pub fn add(&mut self, amount: Number) -> Result<()> {
        self.events += 1;
        if amount.mantissa() < 0 {
            self.refunds.add(amount)?;
        }
        self.total.add(amount)
    }

    /// Adds the sum of some amounts, and that of the negative ones.
    pub fn add_sums(&mut self, events: u64, total: Number, refunds: Number) -> Result<()> {
        self.events += events;
        self.refunds.add(refunds)?;
        self.total.add(total)
    }
}

impl Tally for Amounts {
    fn merge(&mut self, other: Self) -> Result<()> {
        self.total.add_sum(other.total)?;
        self.refunds.add_sum(other.refunds)?;
        self.events += other.events;
        self.paying += other.paying;
        self.people += other.people;
        Ok(())
    }

    fn size(&self) -> u64 {
        self.people + self.events
    }
}

/// The answer to a revenue query.
#[derive(Clone, Debug, Serialize)]
pub struct RevenueReport {
    /// The whole range.
    #[serde(flatten)]
    pub whole: Part,
    /// Unit by unit.
    pub series: Vec<Point>,
    /// By where people came from, or what was asked: the largest total first.
    pub segments: Vec<Segment<Part>>,
    /// Paying people over their lifetimes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<LifetimeReport>,
    /// What nobody ever sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// Revenue of some people. Money is text, so that no reader rounds it.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    /// All amounts.
    pub total: String,
    /// The negative ones.
    pub refunds: String,
    /// Events with an amount.
    pub events: u64,
    /// People with any event.
    pub people: u64,
    /// People with a positive amount.
    pub paying: u64,
    /// The total over people.
    pub per_person: Option<String>,
    /// The total over paying people.
    pub arppu: Option<String>,
}

/// Revenue of one unit of time.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// Its first day.
    pub start: String,
    /// All amounts.
    pub total: String,
    /// The negative ones.
    pub refunds: String,
    /// Events with an amount.
    pub events: u64,
    /// People with a positive amount.
    pub paying: u64,
}

impl Point {
    /// The point of the unit that begins on the day `start`.
    pub fn new(start: String, amounts: &Amounts) -> Self {
        let (total, refunds) = (amounts.total.to_string(), amounts.refunds.to_string());
        Self { start, total, refunds, events: amounts.events, paying: amounts.paying }
    }
}

impl Part {
    fn new(amounts: &Amounts) -> Result<Self> {
        let total = amounts.total;
        Ok(Self {
            total: total.to_string(),
            refunds: amounts.refunds.to_string(),
            events: amounts.events,
            people: amounts.people,
            paying: amounts.paying,
            per_person: quotient(total, amounts.people)?,
            arppu: quotient(total, amounts.paying)?,
        })
    }
}

/// `total / count`; nothing for a count of 0.
pub(super) fn quotient(total: Sum, count: u64) -> Result<Option<String>> {
    Ok(total.over(count, QUOTIENT_DIGITS)?.map(|quotient| quotient.to_string()))
}

/// The segments shown: the largest total first.
pub fn by_total(mut segments: Vec<(Option<Value>, Amounts)>, limit: usize) -> Result<Vec<Segment<Amounts>>> {
    segments.retain(|(_, amounts)| amounts.size() > 0);
    segments.sort_by(|(a, x), (b, y)| y.total.cmp(&x.total).then_with(|| a.cmp(b)));
    cut(segments, limit)
}

impl RevenueReport {
    /// Makes the report.
    pub fn new(
        definition: &Revenue,
        whole: &Amounts,
        series: Vec<Point>,
        segments: Vec<(Option<Value>, Amounts)>,
        lifetime: Option<LifetimeReport>,
        warnings: Vec<Warning>,
    ) -> Result<Self> {
        let segments = by_total(segments, definition.limit)?.into_iter();
        let part = |s: Segment<Amounts>| Ok(Segment { label: s.label, part: Part::new(&s.part)? });
        Ok(Self {
            whole: Part::new(whole)?,
            series,
            segments: segments.map(part).collect::<Result<_>>()?,
            lifetime,
            warnings,
        })
    }
}
