//! The `whodid` program: hands over to the command line.

fn main() -> std::process::ExitCode {
    whodid::cli::main()
}
