//! The time that a report is about: from, to, as of, in a zone.

use super::json::Fields;
use crate::error::Result;
use crate::model::{Millis, Zone, parse_instant};

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
    /// Takes `from`, `to`, `tz` and `as_of`.
    pub fn read(fields: &mut Fields) -> Result<Self> {
        let zone = match fields.take("tz") {
            Some(node) => {
                let at = node.at.clone();
                Zone::parse(&node.text()?).map_err(|e| e.at(at))?
            }
            None => Zone::utc(),
        };
        let (from, to) = read_range(fields, &zone)?;
        let as_of = fields.take("as_of").map(|node| {
            let at = node.at.clone();
            let text = node.text()?;
            // A plain date is the end of that day, as its last instant is what can still be seen.
            let parsed =
                if text.contains('T') { parse_instant(&text) } else { zone.parse_to(&text).map(|t| t - 1) };
            parsed.map_err(|e| e.at(at))
        });
        Ok(Self { zone, from, to, as_of: as_of.transpose()? })
    }
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
