//! Trends: events, people and amounts, unit by unit.

use serde::Serialize;
use serde::ser::Serializer;

use super::basis::{Basis, Definition};
use super::by::{Allowed, By};
use super::json::{Fields, Node};
use super::pattern::{Events, Pattern};
use super::period::Units;
use super::saved::{Saved, Terms};
use super::segment::{Label, Segment, Tally, take_shown};
use super::tally::Warning;
use crate::error::{Error, Result};
use crate::limits;
use crate::model::{Json, Number, PersonId, Sum, Unit, Zone};

/// A report on trends.
#[derive(Clone, Debug)]
pub struct Trend {
    /// What is counted.
    pub series: Vec<Series>,
    /// The units of the points.
    pub units: Units,
    /// What events are split by.
    pub by: Option<By>,
    /// Segments shown.
    pub limit: usize,
    /// When, and which people.
    pub basis: Basis,
}

/// One series.
#[derive(Clone, Debug)]
pub struct Series {
    /// The events.
    pub events: Pattern,
    /// What is measured of them.
    pub measure: Measured,
    /// The property that is summed up.
    pub property: Option<String>,
}

/// What a series measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measured {
    /// Events.
    Events,
    /// People who did them.
    People,
    /// Events for each of these people.
    PerPerson,
    /// The sum of a property.
    Sum,
    /// Its mean.
    Mean,
    /// Its median.
    Median,
}

/// The people behind a point of a trend, a page at a time.
#[derive(Clone, Debug)]
pub struct TrendPeople {
    /// The report.
    pub trend: Trend,
    /// Which series, from 0.
    pub number: usize,
    /// The unit, by its first day; the whole range if not given.
    pub start: Option<String>,
    /// Only of this segment.
    pub segment: Option<Label>,
    /// People on a page.
    pub limit: usize,
    /// Where the page begins.
    pub cursor: Option<String>,
}

impl Measured {
    const ALL: [Self; 6] = [Self::Events, Self::People, Self::PerPerson, Self::Sum, Self::Mean, Self::Median];

    fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::People => "people",
            Self::PerPerson => "per_person",
            Self::Sum => "sum",
            Self::Mean => "mean",
            Self::Median => "median",
        }
    }

    fn needs_property(self) -> bool {
        matches!(self, Self::Sum | Self::Mean | Self::Median)
    }

    fn take(fields: &mut Fields) -> Result<Option<Self>> {
        let all = Self::ALL.map(|measure| (measure.name(), measure));
        fields.take("measure").map(|node| node.choice("measure", &all)).transpose()
    }
}

impl Trend {
    /// Reads a query for trends.
    pub fn from_json(text: &str, saved: &Saved) -> Result<Self> {
        let mut fields = Node::parse(text)?.object()?;
        let limit = fields.take("limit").map(|n| n.integer(1, limits::SEGMENTS_MAX as u64)).transpose()?;
        let limit = limit.map_or(limits::SEGMENTS_DEFAULT, |n| n as usize);
        let trend = Self::read(&mut fields, limit, saved)?;
        fields.end()?;
        Ok(trend)
    }

    fn read(fields: &mut Fields, limit: usize, saved: &Saved) -> Result<Self> {
        let terms = Terms::new(saved);
        let basis = Basis::read(fields, &terms)?;
        // What stands beside the series is for those that do not say it themselves.
        let measure = Measured::take(fields)?.unwrap_or(Measured::Events);
        let property = fields.take("property").map(Node::name).transpose()?;
        let node = fields.require("series")?;
        let place = node.clone();
        let nodes = node.list()?;
        if nodes.is_empty() || nodes.len() > limits::SERIES_MAX {
            return Err(place.error("out_of_range", format!("1 to {} series expected", limits::SERIES_MAX)));
        }
        let series = nodes.into_iter().map(|node| read_series(node, measure, property.as_deref()));
        let series = series.collect::<Result<_>>()?;
        let units = Units::take(fields, "unit", Unit::Day, &terms)?;
        let by = fields.take("by").map(|node| {
            let allowed = Allowed { event: true, ..Allowed::default() };
            By::read(node, allowed, &basis.period.zone, &terms)
        });
        Ok(Self { series, units, by: by.transpose()?, limit, basis })
    }
}

fn read_series(node: Node, measure: Measured, property: Option<&str>) -> Result<Series> {
    let place = node.clone();
    let mut fields = node.object()?;
    let events = Pattern::take(&mut fields)?;
    let measure = Measured::take(&mut fields)?.unwrap_or(measure);
    let own = fields.take("property").map(Node::name).transpose()?;
    fields.end()?;
    let property = own.or_else(|| property.map(str::to_owned)).filter(|_| measure.needs_property());
    if measure.needs_property() && property.is_none() {
        return Err(
            place.error("missing_field", format!("the measure \"{}\" needs a \"property\"", measure.name()))
        );
    }
    Ok(Series { events, measure, property })
}

impl TrendPeople {
    /// Reads a query for the people behind a point.
    pub fn from_json(text: &str, saved: &Saved) -> Result<Self> {
        let mut fields = Node::parse(text)?.object()?;
        let limit = fields.take("limit").map(|n| n.integer(1, limits::PAGE_MAX as u64)).transpose()?;
        let shown = take_shown(&mut fields)?;
        let trend = Trend::read(&mut fields, shown, saved)?;
        let number = fields.take("number").map(|n| n.integer(1, trend.series.len() as u64)).transpose()?;
        let start = fields.take("start").map(Node::text).transpose()?;
        let segment = fields.take_with_null("segment");
        if let Some(node) = segment.as_ref().filter(|_| trend.by.is_none()) {
            return Err(node.error("no_segments", "\"segment\" needs \"by\""));
        }
        let segment = segment.map(Label::read).transpose()?;
        let cursor = fields.take("cursor").map(Node::text).transpose()?;
        fields.end()?;
        let limit = limit.map_or(limits::PAGE_DEFAULT, |n| n as usize);
        let number = number.map_or(0, |n| n as usize - 1);
        Ok(Self { trend, number, start, segment, limit, cursor })
    }
}

impl Definition for Trend {
    fn basis(&self) -> &Basis {
        &self.basis
    }

    fn fields(&self) -> Json {
        let mut out = Json::object([]);
        let mut put = |name: &str, value: Json| out.set(name, value);
        let series = |series: &Series| {
            let mut out = series.events.to_json();
            out.set("measure", series.measure.name().into());
            if let Some(property) = &series.property {
                out.set("property", property.as_str().into());
            }
            out
        };
        put("series", self.series.iter().map(series).collect());
        put("unit", self.units.unit.name().into());
        put("week_start", self.units.week_start().into());
        if let Some(by) = &self.by {
            put("by", by.text().into());
            put("limit", self.limit.into());
        }
        out
    }
}

/// Events of one unit. Only what the measure needs is filled in.
#[derive(Clone, Debug, Default)]
pub struct UnitTally {
    events: u64,
    /// Some of them several times.
    people: Vec<PersonId>,
    sum: Sum,
    /// Events with a number.
    numbers: u64,
    values: Vec<f64>,
}

impl UnitTally {
    /// Adds an event of a person with a number, as far as the measure needs it.
    pub fn add(&mut self, measure: Measured, person: PersonId, number: Option<Number>) -> Result<()> {
        self.events += 1;
        match measure {
            Measured::People | Measured::PerPerson if self.people.last() != Some(&person) => {
                self.people.push(person);
            }
            Measured::People | Measured::PerPerson => {}
            Measured::Sum | Measured::Mean => {
                if let Some(number) = number {
                    self.numbers += 1;
                    self.sum.add(number)?;
                }
            }
            Measured::Median => self.values.extend(number.map(Number::to_f64)),
            Measured::Events => {}
        }
        Ok(())
    }

    /// How many people.
    fn distinct(&self) -> u64 {
        let mut people = self.people.clone();
        people.sort_unstable();
        people.dedup();
        people.len() as u64
    }

    /// What is measured of it.
    fn value(&self, measure: Measured) -> PointValue {
        match measure {
            Measured::Events => PointValue::Count(self.events),
            Measured::People => PointValue::Count(self.distinct()),
            Measured::PerPerson => PointValue::over(self.events as f64, self.distinct()),
            Measured::Sum => PointValue::Exact(self.sum),
            Measured::Mean => PointValue::over(self.sum.to_f64(), self.numbers),
            Measured::Median => PointValue::Real(median(self.values.clone())),
        }
    }
}

/// The median, linear between the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let low = values.get(values.len().checked_sub(1)? / 2)?;
    let high = values.get(values.len() / 2)?;
    Some(low + (high - low) / 2.0)
}

impl Tally for UnitTally {
    fn merge(&mut self, other: Self) -> Result<()> {
        self.events += other.events;
        self.people.extend(other.people);
        self.sum.add_sum(other.sum)?;
        self.numbers += other.numbers;
        self.values.extend(other.values);
        Ok(())
    }

    fn size(&self) -> u64 {
        self.events
    }
}

/// A series by the numbers of its units.
#[derive(Clone, Debug, Default)]
pub struct SeriesTally(pub std::collections::BTreeMap<i64, UnitTally>);

impl Tally for SeriesTally {
    fn merge(&mut self, other: Self) -> Result<()> {
        for (unit, tally) in other.0 {
            self.0.entry(unit).or_default().merge(tally)?;
        }
        Ok(())
    }

    fn size(&self) -> u64 {
        self.0.values().map(UnitTally::size).sum()
    }
}

/// The value of a point.
#[derive(Clone, Copy, Debug)]
pub enum PointValue {
    /// A number of events or people.
    Count(u64),
    /// A sum, with all digits.
    Exact(Sum),
    /// A quotient or a median, if there is one.
    Real(Option<f64>),
}

impl PointValue {
    fn over(sum: f64, count: u64) -> Self {
        Self::Real((count > 0).then(|| sum / count as f64))
    }
}

impl Serialize for PointValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Count(n) => serializer.serialize_u64(*n),
            Self::Exact(n) => n.serialize(serializer),
            Self::Real(value) => value.serialize(serializer),
        }
    }
}

/// The answer to a query for trends.
#[derive(Clone, Debug, Serialize)]
pub struct TrendReport {
    /// One for each that was asked.
    pub series: Vec<SeriesReport>,
    /// What nobody ever sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// One series.
#[derive(Clone, Debug, Serialize)]
pub struct SeriesReport {
    /// The events, as asked.
    pub event: Events,
    /// What is measured.
    pub measure: &'static str,
    /// Its points.
    #[serde(flatten)]
    pub whole: Points,
    /// The same by value, if asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segments: Option<Vec<Segment<Points>>>,
}

/// The points of some events.
#[derive(Clone, Debug, Serialize)]
pub struct Points {
    /// Unit by unit.
    pub points: Vec<TrendPoint>,
    /// The same over the whole range.
    pub total: PointValue,
}

/// One unit.
#[derive(Clone, Debug, Serialize)]
pub struct TrendPoint {
    /// Its first day.
    pub start: String,
    /// What is measured.
    pub value: PointValue,
}

impl Points {
    fn new(series: &Series, tally: &SeriesTally, units: &[(i64, String)]) -> Result<Self> {
        let nothing = UnitTally::default();
        let point = |(unit, start): &(i64, String)| TrendPoint {
            start: start.clone(),
            value: tally.0.get(unit).unwrap_or(&nothing).value(series.measure),
        };
        let mut whole = UnitTally::default();
        for unit in tally.0.values() {
            whole.merge(unit.clone())?;
        }
        Ok(Self { points: units.iter().map(point).collect(), total: whole.value(series.measure) })
    }
}

impl SeriesReport {
    /// Makes the report of one series on the units with their first days. The segments are in their order.
    pub fn new(
        series: &Series,
        whole: &SeriesTally,
        segments: Option<Vec<Segment<SeriesTally>>>,
        units: &[(i64, String)],
    ) -> Result<Self> {
        let part = |s: Segment<SeriesTally>| -> Result<_> {
            Ok(Segment { part: Points::new(series, &s.part, units)?, label: s.label })
        };
        Ok(Self {
            event: series.events.name(),
            measure: series.measure.name(),
            whole: Points::new(series, whole, units)?,
            segments: segments.map(|all| all.into_iter().map(part).collect::<Result<_>>()).transpose()?,
        })
    }
}

/// The unit of a series that begins on the day `start`, as the calendar numbers it.
pub fn unit_that_begins(
    calendar: &crate::model::Calendar,
    unit: Unit,
    zone: &Zone,
    start: &str,
) -> Result<i64> {
    let number = calendar.number(unit, zone.parse_from(start).map_err(|e| e.at("start"))?);
    if calendar.date(unit, number) == *start {
        return Ok(number);
    }
    Err(Error::invalid("bad_start", format!("no {} begins on {start}", unit.name())).at("start"))
}
