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

/// The whole of the `polder` command.
#[must_use]
pub fn main() -> ExitCode {
    Extensions::default().main()
}
