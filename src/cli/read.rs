//! The commands that only read: they work beside a running server, on the store as it is at that moment.

use std::io::Write;
use std::path::Path;

use super::args::{Basis, Export, Funnel, Generate, Person};
use super::running::Running;
use super::{events_table, format, funnel_table, output, person_table, report_args};
use crate::app::{Dashboard, Reports, export as export_records, export_person, saved};
use crate::demo::Company;
use crate::disk::system::bytes_in;
use crate::engine::read_only;
use crate::error::Result;
use crate::http::message::Method;
use crate::model::{Clock, Json, SystemClock, parse_instant, thousands};
use crate::transfer::format::ExportFormat;
use crate::transfer::ndjson::write_record;

/// Reports that know what was saved in the store, if there is one, and count time as its project does.
fn reports(data: &Path) -> Result<Reports> {
    if !data.is_dir() {
        return Ok(Reports::default());
    }
    let reports = Reports::new(saved::load(data)?);
    reports.count_time(Dashboard::load(data)?.time());
    Ok(reports)
}

/// Answers a funnel.
pub fn funnel(data: &Path, args: &Funnel) -> Result<()> {
    let query = report_args::funnel(args)?;
    let answer = reports(data)?.answer("funnel", &read_only(data)?, &query, SystemClock.now())?;
    if args.basis.json { output::line(&answer) } else { print_funnel(&query, &answer) }
}

/// Answers a report, as a table that `render` makes for a terminal.
pub fn report(
    data: &Path,
    report: &str,
    query: &str,
    basis: &Basis,
    render: fn(&Json, usize) -> String,
) -> Result<()> {
    let answer = reports(data)?.answer(report, &read_only(data)?, query, SystemClock.now())?;
    if basis.json {
        output::line(&answer)
    } else {
        output::line(render(&Json::parse(&answer)?, output::width()).trim_end())
    }
}

/// Prints the answer to a funnel query as a table.
pub fn print_funnel(query: &str, answer: &str) -> Result<()> {
    let sentence = funnel_table::sentence(&Json::parse(query)?);
    output::line(funnel_table::render(&sentence, &Json::parse(answer)?, output::width()).trim_end())
}

/// Shows a person and its latest events.
pub fn person(data: &Path, args: &Person) -> Result<()> {
    let (snapshot, reports) = (read_only(data)?, Reports::default());
    let now = SystemClock.now();
    let profile = reports.person(&snapshot, &args.identity, now)?;
    let cursor = args.cursor.as_deref();
    let timeline = reports.timeline(&snapshot, &args.identity, now, None, args.limit, cursor)?;
    if args.json {
        return output::line(&format!("{{\"profile\":{profile},\"timeline\":{timeline}}}"));
    }
    output::line(person_table::profile(&Json::parse(&profile)?, output::width()).trim_end())?;
    output::line("")?;
    output::line(person_table::timeline(&Json::parse(&timeline)?, output::width()).trim_end())
}

/// Lists all events.
pub fn events(data: &Path, json: bool) -> Result<()> {
    let answer = Reports::default().events(&read_only(data)?, SystemClock.now())?;
    if json {
        output::line(&answer)
    } else {
        output::line(events_table::render(&Json::parse(&answer)?, output::width()).trim_end())
    }
}

/// Shows counts and sizes.
pub fn stats(data: &Path, json: bool) -> Result<()> {
    let files = Json::from(Reports::default().stats(&read_only(data)?));
    // A server knows more: what it refused, and what it did since it was started. Sockets without one are of a server that was killed.
    let told = Running::of(data).and_then(|server| server.ask(Method::Get, "/stats", "").ok());
    let mut stats = told.unwrap_or(files);
    stats.set("directory_bytes", bytes_in(data)?.into());
    if json {
        return output::line(&stats.to_string());
    }
    for (name, value) in stats.as_object().into_iter().flatten() {
        if let Some(number) = value.as_u64().filter(|_| name != "cached_bytes") {
            output::line(&format!("{:<16}{:>16}", name.replace('_', " "), thousands(number)))?;
        }
    }
    Ok(())
}

/// Writes everything, or all of a person, as records.
pub fn export(data: &Path, args: &Export) -> Result<()> {
    if !args.force {
        output::loses_nothing(args.out.as_deref())?;
    }
    let snapshot = read_only(data)?;
    let form = args.format.map_or_else(|| ExportFormat::of(args.out.as_deref()), |format| format.form());
    let count = output::to_file(args.out.as_deref(), |out| match &args.person {
        Some(person) => export_person(&snapshot, person, form, out),
        None => export_records(&snapshot, form, out),
    })?;
    output::note(&format::counted(count, "record", "records"));
    Ok(())
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
    output::note(&format::counted(count, "record", "records"));
    Ok(())
}
