//! `polder completions` and `polder man`: made from the command line's own description.

use std::{fs, path::Path};

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::args::Args;

pub(in crate::cli) fn completions(shell: Shell) -> anyhow::Result<String> {
    let mut text = vec![];
    clap_complete::generate(shell, &mut Args::command(), "polder", &mut text);
    Ok(String::from_utf8(text)?.trim_end().to_owned())
}

pub(in crate::cli) fn man(dir: &Path) -> anyhow::Result<()> {
    let context = || format!("cannot write manual pages to {}", dir.display());
    fs::create_dir_all(dir).with_context(context)?;
    clap_mangen::generate_to(Args::command(), dir).with_context(context)
}
