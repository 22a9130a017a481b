//! `cargo ci test`: the one command that tests everything, on a machine where nothing was installed before too.

use std::process::ExitCode;

use anyhow::Result;

use crate::{gate, setup};

/// The verb.
pub(crate) fn run() -> Result<ExitCode> {
    gate::run(setup::prepare(setup::For::Tests)?)
}
