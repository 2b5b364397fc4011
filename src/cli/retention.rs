//! The `retention` command: says how long events are kept, or changes it; what is too old by that it takes out once it may.

use std::path::Path;

use super::removal_args::Retention as Args;
use super::{format, output};
use crate::app::{App, Retention};
use crate::engine::read_only;
use crate::error::{Error, Result};

/// Shows it, or changes it and takes out what is too old.
pub fn run(data: &Path, args: &Args) -> Result<()> {
    drop(read_only(data)?);
    let mut retention = Retention::load(data)?;
    if args.days.is_none() && args.event.is_empty() {
        return show(&retention, args.json);
    }
    if let Some(days) = &args.days {
        retention.days = number(days)?;
    }
    for text in &args.event {
        let (name, days) = text.rsplit_once('=').ok_or_else(|| {
            Error::invalid("bad_retention", format!("\"{text}\" says no days")).hint("NAME=DAYS")
        })?;
        match days {
            // As all others.
            "" => drop(retention.events.remove(name.trim())),
            days => drop(retention.events.insert(name.trim().to_owned(), number(days)?)),
        }
    }
    let retention = retention.checked()?;
    super::running::change_here(data, |app| {
        if !args.yes {
            ask(app, &retention)?;
        }
        let events = app.retain(&retention)?;
        show(&retention, args.json)?;
        let gone = format::counted(events, "event was older and is gone", "events were older and are gone");
        if args.json {
            output::note(&gone);
            return Ok(());
        }
        output::line(&gone)
    })
}

/// Says what would go, and makes sure that it may: there is no way back. Where nothing goes nothing is asked.
fn ask(app: &App, retention: &Retention) -> Result<()> {
    let older = app.too_old(retention)?;
    if older == 0 {
        return Ok(());
    }
    output::note(&told(retention).join("\n"));
    let go = format::counted(older, "event is older and goes", "events are older and go");
    output::note(&format!("{go} for good; backups are not touched"));
    output::make_sure("Take them out? It cannot be undone. Type yes:", "nothing was changed")
}

fn number(days: &str) -> Result<Option<u32>> {
    if days == "forever" {
        return Ok(None);
    }
    let bad = |_| Error::invalid("bad_retention", format!("\"{days}\" is no number of days"));
    days.parse().map(Some).map_err(|e: std::num::ParseIntError| bad(e).hint("a whole number, or forever"))
}

fn show(retention: &Retention, json: bool) -> Result<()> {
    if json {
        return output::json(retention);
    }
    told(retention).iter().try_for_each(|line| output::line(line))
}

/// A line for all events, and one for each that is kept for another time.
fn told(retention: &Retention) -> Vec<String> {
    let days = |days: u32| format::counted(days.into(), "day", "days");
    let kept = |kept: Option<u32>| kept.map_or("for ever".to_owned(), days);
    let named =
        |(name, days): (&String, &Option<u32>)| format!("{}: {}", super::table::visible(name), kept(*days));
    let all = format!("events are kept {}", kept(retention.days));
    std::iter::once(all).chain(retention.events.iter().map(named)).collect()
}
