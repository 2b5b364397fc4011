//! The command line.

mod answer;
mod events_table;
mod format;
mod funnel_table;
mod person_table;
mod table;

/// Runs the program with the arguments of the process.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
