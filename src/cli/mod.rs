//! The command line: reads arguments, calls the app, prints tables or JSON. Exit codes: 0 done, 1 failed, 2 wrong use, 3 some lines
//! of an import were rejected, 130 an import was interrupted.

mod access_args;
mod answer;
mod args;
mod backup;
mod check;
mod cohort_table;
mod doctor;
mod erase;
mod events_table;
mod format;
mod funnel_table;
mod import;
mod input;
mod keys;
mod log_file;
mod output;
mod paths_table;
mod people_table;
mod person_table;
mod project;
mod read;
mod rejects;
mod removal_args;
mod report_args;
mod retention;
mod revenue_table;
mod running;
mod serve;
mod table;
mod trend_table;
mod user;

use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use serde_json::json;

use crate::app::App;
use crate::disk::system::keep_to_small_pages;
use crate::error::{Error, ErrorKind, Result};
use crate::http::message::Method;
use crate::model::Json;
use args::{Cli, Command};

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return no_command(&error),
    };
    match log_of(&cli).and_then(|()| run(&cli)) {
        Ok(code) => code,
        // Whoever read our output has what it wanted.
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(&format!("whodid: {}", table::visible(&error.to_string())));
            let wrong_use = matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Malformed);
            if wrong_use { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// Where the log goes.
fn log_of(cli: &Cli) -> Result<()> {
    if let Command::Serve(serve) = &cli.command
        && let Some(file) = &serve.log
    {
        return log_file::to_file(file, serve.log_size);
    }
    log_file::to_stderr();
    Ok(())
}

/// Prints the help or version that was asked for, or what is wrong with the arguments.
fn no_command(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind::{
        DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion, MissingSubcommand,
    };
    let help = [DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion];
    if error.kind() == MissingSubcommand {
        // The parser gives help only where no variable names the store: it takes that for an argument.
        output::note(help_of(std::env::args().skip(1)).trim_end());
    } else if help.contains(&error.kind()) {
        // Whoever does not read the help to its end has seen enough.
        let _ = error.print();
    } else {
        output::note(&format!("whodid: {}", one_line(&error.render().to_string())));
    }
    if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS }
}

/// The help of the command that these words name, which takes one of its own.
fn help_of(words: impl Iterator<Item = String>) -> String {
    let mut command = Cli::command();
    command.build();
    for word in words {
        if let Some(named) = command.find_subcommand(&word).cloned() {
            command = named;
        }
    }
    command.render_help().to_string()
}

/// What the parser of arguments says in paragraphs, as one line like all errors: what is wrong, and in parentheses what to do.
fn one_line(paragraphs: &str) -> String {
    let mut parts = paragraphs
        .split("\n\n")
        .map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|part| !part.is_empty() && !part.starts_with("For more information"));
    let what = parts.next().unwrap_or_default();
    let advice = parts.collect::<Vec<_>>().join("; ").replace("Usage:", "usage:");
    let what = table::visible(what.strip_prefix("error: ").unwrap_or(&what));
    if advice.is_empty() {
        format!("{what} (see --help)")
    } else {
        format!("{what} ({})", table::visible(&advice))
    }
}

fn run(cli: &Cli) -> Result<ExitCode> {
    keep_to_small_pages();
    let done = |result: Result<()>| result.map(|()| ExitCode::SUCCESS);
    match &cli.command {
        Command::Serve(args) => done(serve::run(&cli.data, args)),
        Command::Import(args) => import::run(&cli.data, args),
        Command::Export(args) => done(read::export(&cli.data, args)),
        Command::Funnel(args) => done(read::funnel(&cli.data, args)),
        Command::Cohort(args) => done(read::report(
            &cli.data,
            "cohort",
            &report_args::cohort(args)?,
            &args.basis,
            cohort_table::render,
        )),
        Command::Paths(args) => done(read::report(
            &cli.data,
            "paths",
            &report_args::paths(args)?,
            &args.basis,
            paths_table::render,
        )),
        Command::Revenue(args) => done(read::report(
            &cli.data,
            "revenue",
            &report_args::revenue(args)?,
            &args.basis,
            revenue_table::render,
        )),
        Command::People(args) => done(read::report(
            &cli.data,
            "people",
            &report_args::people(args)?,
            &args.basis,
            people_table::render,
        )),
        Command::Trend(args) => done(read::report(
            &cli.data,
            "trend",
            &report_args::trend(args)?,
            &args.basis,
            trend_table::trend,
        )),
        Command::Lifecycle(args) => done(read::report(
            &cli.data,
            "lifecycle",
            &report_args::lifecycle(args)?,
            &args.basis,
            trend_table::lifecycle,
        )),
        Command::Person(args) => done(read::person(&cli.data, args)),
        Command::Events { json } => done(read::events(&cli.data, *json)),
        Command::Generate(args) => done(read::generate(args)),
        Command::Stats { json } => done(read::stats(&cli.data, *json)),
        Command::User(what) => done(user::run(&cli.data, what)),
        Command::Doctor { listen, memory, json } => doctor::run(&cli.data, *listen, *memory, *json),
        Command::Key { command } => done(keys::run(&cli.data, command)),
        Command::Project { command } => done(project::run(&cli.data, command)),
        Command::Check { drop_damaged, json } => check::run(&cli.data, *drop_damaged, *json),
        Command::Compact { json } => done(compact(&cli.data, *json)),
        Command::Backup(args) => done(backup::backup(&cli.data, args)),
        Command::Restore(args) => done(backup::restore(&cli.data, args)),
        Command::Retention(args) => done(retention::run(&cli.data, args)),
        Command::Erase(args) => done(erase::run(&cli.data, args)),
        Command::Merge { identity, into, json } => done(merge(&cli.data, identity, into, *json)),
        Command::Unmerge { identity, json } => done(unmerge(&cli.data, identity, *json)),
    }
}

fn merge(data: &Path, identity: &str, into: &str, as_json: bool) -> Result<()> {
    let act = |app: &App| app.merge(identity, into).map(drop);
    let body = Json::from(json!({ "into": into }));
    running::change(data, act, |server| {
        server.ask_of(Method::Post, identity, "/merge", &body.to_string()).map(drop)
    })?;
    if as_json {
        return output::json(&json!({ "merged": identity, "into": into }));
    }
    output::line(&format!("{identity} and {into} are one person now; `whodid unmerge {identity}` undoes it"))
}

fn unmerge(data: &Path, identity: &str, as_json: bool) -> Result<()> {
    let act = |app: &App| app.unmerge(identity).map(drop);
    running::change(data, act, |server| server.ask_of(Method::Post, identity, "/unmerge", "").map(drop))?;
    if as_json {
        return output::json(&json!({ "unmerged": identity }));
    }
    output::line(&format!("{identity} is a person of its own now"))
}

/// Says how to do it through the server that holds the store.
fn served(error: Error) -> Error {
    served_by(error, "its HTTP API (/api/v1/import, /retention, /projects/{project})")
}

/// The same of what the server has `way` for.
fn served_by(error: Error, way: &str) -> Error {
    if error.kind() != ErrorKind::Locked {
        return error;
    }
    Error::new(ErrorKind::Locked, "locked", error.message().to_owned())
        .hint(format!("a server runs on it: use {way}, or stop it first"))
}

fn compact(data: &Path, as_json: bool) -> Result<()> {
    let size = |app: &App| (app.snapshot().segments.len() as u64, app.engine().disk_bytes());
    let act = |app: &App| {
        let before = size(app);
        app.engine().compact().map(|()| (before, size(app)))
    };
    let (before, after) = running::change(data, act, |server| {
        let of = |stats: Json| {
            let number = |field: &str| stats[field].as_u64().unwrap_or(0);
            (number("segments"), number("disk_bytes"))
        };
        let before = of(server.ask(Method::Get, "/stats", "")?);
        Ok((before, of(server.ask(Method::Post, "/compact", "")?)))
    })?;
    if as_json {
        let told = |(segments, bytes): (u64, u64)| json!({ "segments": segments, "disk_bytes": bytes });
        return output::json(&json!({ "before": told(before), "after": told(after) }));
    }
    let mib = |bytes: u64| bytes as f64 / (1024.0 * 1024.0);
    let segments = |count: u64| format::counted(count, "segment", "segments");
    output::line(&format!(
        "{}, {:.1} MiB; before {}, {:.1} MiB",
        segments(after.0),
        mib(after.1),
        segments(before.0),
        mib(before.1)
    ))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{Cli, one_line};

    #[test]
    fn wrong_arguments_are_told_in_one_line() {
        for (arguments, line) in [
            (
                &["funnel"][..],
                "the following required arguments were not provided: --step <EVENT> (usage: whodid funnel --step <EVENT>)",
            ),
            (
                &["funel"],
                "unrecognized subcommand 'funel' (tip: a similar subcommand exists: 'funnel'; usage: whodid [OPTIONS] <COMMAND>)",
            ),
            (
                &["generate", "--people", "a\n\u{1b}b"],
                "invalid value 'a \\u{1b}b' for '--people <PEOPLE>': invalid digit found in string (see --help)",
            ),
        ] {
            let error = Cli::try_parse_from([&["whodid"], arguments].concat()).unwrap_err();
            assert_eq!(one_line(&error.render().to_string()), line);
        }
    }
}
