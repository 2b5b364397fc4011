//! The commands that only read: they work beside a running server, on the store as it is at that moment.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

use super::args::{Basis, Export, Funnel, Generate, Person};
use super::{events_table, funnel_args, funnel_table, output, person_table};
use crate::app::{Reports, export as export_records, saved};
use crate::demo::Company;
use crate::engine::read_only;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Clock, SystemClock, parse_instant};
use crate::transfer::ndjson::write_record;

/// Columns of a terminal that tables fit into.
const WIDTH: usize = 80;

fn parse(answer: &str) -> Result<Value> {
    serde_json::from_str(answer).map_err(|e| Error::new(ErrorKind::Io, "encoding", e.to_string()))
}

/// Reports that know what was saved in the store, if there is one.
fn reports(data: &Path) -> Result<Reports> {
    Ok(if data.is_dir() { Reports::new(saved::load(data)?) } else { Reports::default() })
}

/// Answers a funnel.
pub fn funnel(data: &Path, args: &Funnel) -> Result<()> {
    let query = funnel_args::query(args)?;
    let answer = reports(data)?.answer("funnel", &read_only(data)?, &query, SystemClock.now())?;
    if args.json { output::line(&answer) } else { print_funnel(&query, &answer) }
}

/// Answers a report, as a table that `render` makes for a terminal.
pub fn report(
    data: &Path,
    report: &str,
    query: &str,
    basis: &Basis,
    render: fn(&Value, usize) -> String,
) -> Result<()> {
    let answer = reports(data)?.answer(report, &read_only(data)?, query, SystemClock.now())?;
    if basis.json { output::line(&answer) } else { output::line(render(&parse(&answer)?, WIDTH).trim_end()) }
}

/// Prints the answer to a funnel query as a table.
pub fn print_funnel(query: &str, answer: &str) -> Result<()> {
    output::line(funnel_table::render(&funnel_args::sentence(query), &parse(answer)?, WIDTH).trim_end())
}

/// Shows a person and its latest events.
pub fn person(data: &Path, args: &Person) -> Result<()> {
    let (snapshot, reports) = (read_only(data)?, Reports::default());
    let profile = reports.person(&snapshot, &args.identity)?;
    let timeline = reports.timeline(&snapshot, &args.identity, None, args.limit, None)?;
    if args.json {
        return output::line(&format!("{{\"profile\":{profile},\"timeline\":{timeline}}}"));
    }
    output::line(person_table::profile(&parse(&profile)?, WIDTH).trim_end())?;
    output::line("")?;
    output::line(person_table::timeline(&parse(&timeline)?, WIDTH).trim_end())
}

/// Lists all events.
pub fn events(data: &Path, json: bool) -> Result<()> {
    let answer = Reports::default().events(&read_only(data)?)?;
    if json {
        output::line(&answer)
    } else {
        output::line(events_table::render(&parse(&answer)?, WIDTH).trim_end())
    }
}

/// Shows counts and sizes.
pub fn stats(data: &Path, json: bool) -> Result<()> {
    let stats = Reports::default().stats(&read_only(data)?);
    if json {
        return output::line(&stats.to_string());
    }
    for (name, value) in stats.as_object().into_iter().flatten() {
        if name != "cached_bytes" {
            let number = value.as_u64().map_or_else(|| value.to_string(), crate::model::thousands);
            output::line(&format!("{:<16}{number:>16}", name.replace('_', " ")))?;
        }
    }
    Ok(())
}

/// Writes everything as records.
pub fn export(data: &Path, args: &Export) -> Result<()> {
    let snapshot = read_only(data)?;
    let count =
        output::to_file(args.out.as_deref(), |out| export_records(&snapshot, args.format.form(), out))?;
    output::note(&format!("{count} records"));
    Ok(())
}

/// Reads every byte of the store.
pub fn check(data: &Path) -> Result<ExitCode> {
    let snapshot = read_only(data).map_err(damage)?;
    let mut damaged: Vec<Error> = snapshot.segments.iter().flat_map(|s| s.check()).collect();
    for id in 0..snapshot.persons.identities() {
        if let Err(error) = snapshot.identity(id) {
            damaged.push(error);
            break;
        }
    }
    for error in &damaged {
        // Its advice is to run this command.
        output::line(error.message())?;
    }
    output::line(&format!(
        "{} records in {} segments and {} in the log: {}",
        snapshot.rows() - snapshot.recent_rows() as u64,
        snapshot.segments.len(),
        snapshot.recent_rows(),
        match damaged.len() {
            0 => "all sound".to_owned(),
            1 => format!("1 piece damaged; {MEND}"),
            pieces => format!("{pieces} pieces damaged; {MEND}"),
        }
    ))?;
    Ok(if damaged.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

const MEND: &str = "restore the files from a backup";

/// The error of a store that cannot even be opened, with the advice of this command instead of the advice to run it.
fn damage(error: Error) -> Error {
    if error.kind() != ErrorKind::Corrupt {
        return error;
    }
    Error::new(ErrorKind::Corrupt, "corrupt", error.message().to_owned()).hint(MEND)
}

/// Writes a generated data set.
pub fn generate(args: &Generate) -> Result<()> {
    let until = parse_instant(&args.until).map_err(|e| e.at("--until"))?;
    let company = Company::new(args.people, args.events, args.seed, until)?;
    let count = output::to_file(args.out.as_deref(), |out: &mut dyn Write| {
        let mut buffer = Vec::with_capacity(1 << 20);
        let mut count = 0;
        for record in company.records() {
            write_record(&record, &mut buffer);
            count += 1;
            if buffer.len() > 1 << 19 {
                out.write_all(&buffer).map_err(output::broken)?;
                buffer.clear();
            }
        }
        out.write_all(&buffer).map_err(output::broken)?;
        Ok(count)
    })?;
    output::note(&format!("{count} records"));
    Ok(())
}
