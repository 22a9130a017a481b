//! The `polder` command: arguments as typed, one file per verb, errors printed once at the edge.
//!
//! A binary of one's own adds [`Extensions`] and is the same command with them; programs `polder-NAME` on the path are
//! verbs, too.

mod args;
mod change_args;
mod cmd;
mod context;
mod cvp_args;
mod exit;
mod extensions;
mod external;
mod flags;
mod init_args;
mod log;
mod machine_args;
mod new;
mod output;
mod portal;
mod run;

use std::process::ExitCode;

pub use extensions::Extensions;
pub use output::OutputFormat;

/// The command line of `polder` as a value, for what describes it or checks lines somebody wrote.
#[must_use]
pub fn command() -> clap::Command {
    <args::Args as clap::CommandFactory>::command()
}

/// The whole of the `polder` command.
#[must_use]
pub fn main() -> ExitCode {
    Extensions::default().main()
}
