//! `cargo ci docs`: whether the book says what is so; with `--write`, what is made from code is made anew.

use std::process::ExitCode;

use anyhow::Result;

use crate::{
    command::{self, cargo},
    workspace,
};

/// What to do with the book.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write the reference and the picture of a run anew, instead of comparing them.
    #[arg(long)]
    write: bool,
}

/// The verb: the tests of the harness that read the book, and do on machines what it says.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mut tests =
        cargo(&["test", "--workspace", "--test", "it", "--quiet", "--", "book::", "walkthrough::"]);
    if args.write {
        tests.env("POLDER_BLESS", "1");
    }
    command::run(tests.current_dir(workspace::root()))?;
    Ok(ExitCode::SUCCESS)
}
