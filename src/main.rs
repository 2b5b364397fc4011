//! The `whodid` program: hands over to the command line.

// Records are made on parsing threads and freed on the writer's: the system's allocator spends a third of an import on that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    whodid::cli::main()
}
