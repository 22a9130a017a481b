//! The `polder` command.

fn main() -> std::process::ExitCode {
    polder::cli::main()
}
