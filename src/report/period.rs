//! The time that a report is about: from, to, as of, in a zone.

use super::json::Fields;
use super::saved::Terms;
use crate::error::Result;
use crate::model::{Millis, Unit, WEEKDAYS, Zone};

/// How a project counts time where a query does not say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectTime {
    /// The zone of dates.
    pub zone: Zone,
    /// The day on which weeks begin, as a number of [`WEEKDAYS`].
    pub week_start: u8,
}

impl Default for ProjectTime {
    fn default() -> Self {
        Self { zone: Zone::utc(), week_start: 0 }
    }
}

/// When a report begins and ends, and when it pretends to be asked.
#[derive(Clone, Debug)]
pub struct Period {
    /// The zone of dates.
    pub zone: Zone,
    /// The first instant.
    pub from: Option<Millis>,
    /// The instant behind the last.
    pub to: Option<Millis>,
    /// What is later is not seen; now, if not given.
    pub as_of: Option<Millis>,
}

impl Period {
    /// Takes `from`, `to`, `tz` and `as_of`. Without `tz` dates are of `zone`.
    pub fn read(fields: &mut Fields, zone: &Zone) -> Result<Self> {
        let zone = match fields.take("tz") {
            Some(node) => {
                let at = node.at.clone();
                Zone::parse(&node.text()?).map_err(|e| e.at(at))?
            }
            None => zone.clone(),
        };
        let (from, to) = read_range(fields, &zone)?;
        let as_of = fields.take("as_of").map(|node| {
            let at = node.at.clone();
            zone.parse_last(&node.text()?).map_err(|e| e.at(at))
        });
        Ok(Self { zone, from, to, as_of: as_of.transpose()? })
    }
}

/// The calendar units of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Units {
    /// Days, weeks or months.
    pub unit: Unit,
    /// The day on which weeks begin, as a number of [`WEEKDAYS`].
    pub week_start: u8,
}

impl Units {
    /// Takes a unit from the field `name`, `default` if it is not there, and `week_start`, or else that of the project.
    pub fn take(fields: &mut Fields, name: &'static str, default: Unit, terms: &Terms<'_>) -> Result<Self> {
        let unit = take_unit(fields, name)?.unwrap_or(default);
        let week_start = fields.take("week_start").map_or(Ok(terms.time().week_start), |node| {
            let days: Vec<(&str, u8)> = WEEKDAYS.into_iter().zip(0..).collect();
            node.choice("day of the week", &days)
        })?;
        Ok(Self { unit, week_start })
    }

    /// The name of the day on which weeks begin.
    pub fn week_start(self) -> &'static str {
        WEEKDAYS.get(usize::from(self.week_start)).copied().unwrap_or("monday")
    }
}

/// Takes a unit from the field `name`.
pub fn take_unit(fields: &mut Fields, name: &'static str) -> Result<Option<Unit>> {
    let units = [Unit::Day, Unit::Week, Unit::Month].map(|unit| (unit.name(), unit));
    fields.take(name).map(|node| node.choice("unit", &units)).transpose()
}

/// Takes `from` and `to`: dates of `zone` or instants. The second of the pair is exclusive.
pub fn read_range(fields: &mut Fields, zone: &Zone) -> Result<(Option<Millis>, Option<Millis>)> {
    let read = |fields: &mut Fields, name, parse: &dyn Fn(&str) -> Result<Millis>| {
        fields
            .take(name)
            .map(|node| {
                let at = node.at.clone();
                parse(&node.text()?).map_err(|e| e.at(at))
            })
            .transpose()
    };
    let from = read(fields, "from", &|text| zone.parse_from(text))?;
    let to = read(fields, "to", &|text| zone.parse_to(text))?;
    Ok((from, to))
}
