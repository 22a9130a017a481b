//! `cargo ci`: set-up, demo, tests, gate and benchmarks of this workspace. A person and a hosting service run the same lines.
//!
//! It never depends on the harness: it must compile before libvirt's headers exist.
#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod binaries;
mod command;
mod deb;
mod demo;
mod docs;
mod gate;
mod layers;
mod phases;
mod rootless;
mod setup;
mod soak;
mod source;
mod test;
mod tidy;
mod workspace;

/// Set-up, demo, tests, gate and benchmarks of this workspace.
#[derive(Parser)]
#[command(bin_name = "cargo ci", disable_help_subcommand = true)]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Installs what suites need and this machine lacks.
    Setup,
    /// Sets up, and runs a suite of routers that a portal configures; or one that fails, to show what that leaves.
    Demo(demo::Args),
    /// Sets up, also what only our own tests need, then runs the gate.
    Test,
    /// Runs the long campaigns of which `test` runs samples.
    Soak(soak::Args),
    /// What must be green before a push: format, lints, docs, layers, tidy, and all tests, also as an ordinary user.
    Gate,
    /// Makes a package of Debian with the command `polder`.
    Deb(deb::Args),
    /// Checks the book: links, blocks, reference, tutorial; with --write, makes anew what is made from code.
    Docs(docs::Args),
    /// Measures ours against the plain tool, pair by pair.
    Bench(bench::Args),
    /// Checks which module uses which.
    Layers,
    /// Checks habits that no compiler checks.
    Tidy,
    /// The part of the tests that runs as an ordinary user, inside a mount namespace made for it.
    #[command(hide = true)]
    Rootless(rootless::Args),
}

fn main() -> ExitCode {
    let done = match Args::parse().verb {
        Verb::Setup => setup::run(),
        Verb::Demo(args) => demo::run(&args),
        Verb::Test => test::run(),
        Verb::Soak(args) => soak::run(&args),
        Verb::Gate => gate::run(vec![]),
        Verb::Deb(args) => deb::run(&args),
        Verb::Docs(args) => docs::run(&args),
        Verb::Bench(args) => bench::run(&args),
        Verb::Layers => layers::run(),
        Verb::Tidy => tidy::run(),
        Verb::Rootless(args) => rootless::inside(&args),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cargo ci: {error:#}");
            ExitCode::from(if error.is::<command::Refused>() { 2 } else { 1 })
        }
    }
}
