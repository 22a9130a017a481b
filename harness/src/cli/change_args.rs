//! What `polder change` takes.

use std::{num::NonZeroUsize, path::PathBuf};

use clap::{Args as Group, Subcommand};

use crate::report::changes::ReportFile;

/// What to do with changes of many devices.
#[derive(Debug, Subcommand)]
pub(super) enum Change {
    /// Say what is wrong with a file of changes; else what is in it, and in what order it is done.
    Check(ChangeCheck),
    /// Say what would be sent to which device, in order. Nothing is done.
    Plan(ChangePlan),
    /// Do the changes of a file; what fails is undone.
    Run(ChangeRun),
    /// Go on with a run that was ended before its time.
    Resume(ChangeAgain),
    /// Undo everything that a run has changed, what was done last first.
    Rollback(ChangeAgain),
    /// Say what became of a run.
    Show(ChangeShow),
    /// Write a file of `ModiPy`'s as YAML that says the same.
    Convert {
        /// The file.
        file: PathBuf,
    },
}

/// What a file is read with.
#[derive(Debug, Default, Group)]
#[command(next_help_heading = "File")]
pub(super) struct ChangeReading {
    /// How the file is meant, whatever it says itself.
    #[arg(long, value_name = "DIALECT", value_parser = ["current", "legacy"])]
    pub(super) dialect: Option<String>,
    /// Give a variable this value, instead of the one that the file has for everything. Others see it; secrets belong into
    /// the environment, as POLDER_VAR_NAME.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(super) set: Vec<(String, String)>,
    /// Take warnings for errors, and with them what looks like success without work: changes that do nothing, or wait for
    /// what is left out.
    #[arg(long)]
    pub(super) strict: bool,
}

/// Which changes.
#[derive(Debug, Default, Group)]
#[command(next_help_heading = "Changes")]
pub(super) struct ChangeSelection {
    /// Do only this one; of a scenario, all that is in it.
    #[arg(long, value_name = "NAME")]
    pub(super) only: Vec<String>,
    /// Leave this one out; those that wait for it are done nevertheless.
    #[arg(long, value_name = "NAME")]
    pub(super) skip: Vec<String>,
    /// Begin what needs nothing of one another in unordered scenarios in another order: the same one for the same number.
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
}

/// What the operator is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Confirm {
    /// Before every command.
    Command,
    /// Before every device is rolled back; it is, unless `--autobackout` is given.
    Backout,
}

/// How it is done.
#[derive(Debug, Default, Group)]
#[command(next_help_heading = "Operation")]
pub(super) struct ChangeDoing {
    /// Roll back without asking.
    #[arg(long)]
    pub(super) autobackout: bool,
    /// What is asked before; with no terminal the answer is no.
    #[arg(long, value_name = "WHAT", value_enum)]
    pub(super) confirm: Vec<Confirm>,
    /// Do not ask where the file has a pause.
    #[arg(long)]
    pub(super) nopause: bool,
    /// Run this command for each thing that is left changed and needs a person, with what there is to know of it as JSON on
    /// its standard input.
    #[arg(long, value_name = "COMMAND", value_parser = words)]
    pub(super) alert_command: Option<Words>,
    /// How many changes of an unordered scenario may be under way at once.
    #[arg(long, value_name = "N", default_value = "1")]
    pub(super) jobs: Option<NonZeroUsize>,
    /// Write what became of everything into this file: as a page for people if its name ends with .html, in `JUnit`'s form if
    /// with .xml, as JSON if with .json.
    #[arg(long, value_name = "FILE")]
    pub(super) report: Option<ReportFile>,
    /// Print what became of everything as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// Options of `change check`.
#[derive(Debug, Group)]
pub(super) struct ChangeCheck {
    /// The file.
    pub(super) file: PathBuf,
    #[command(flatten)]
    pub(super) reading: ChangeReading,
    /// Print it as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// Options of `change plan`.
#[derive(Debug, Group)]
pub(super) struct ChangePlan {
    /// The file.
    pub(super) file: PathBuf,
    /// Only these devices.
    pub(super) devices: Vec<String>,
    #[command(flatten)]
    pub(super) reading: ChangeReading,
    #[command(flatten)]
    pub(super) selection: ChangeSelection,
    /// Print it as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// Options of `change run`.
#[derive(Debug, Group)]
pub(super) struct ChangeRun {
    /// The file.
    pub(super) file: PathBuf,
    /// Only these devices.
    pub(super) devices: Vec<String>,
    /// Undo everything as if it had been done, by no journal but the file alone.
    #[arg(long)]
    pub(super) backout_only: bool,
    #[command(flatten)]
    pub(super) reading: ChangeReading,
    #[command(flatten)]
    pub(super) selection: ChangeSelection,
    #[command(flatten)]
    pub(super) doing: ChangeDoing,
}

/// Options of `change resume` and `change rollback`.
#[derive(Debug, Group)]
pub(super) struct ChangeAgain {
    /// The run: its name, or its folder [default: the last one].
    pub(super) run: Option<String>,
    /// Give a variable the value that it was given for the run.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(super) set: Vec<(String, String)>,
    #[command(flatten)]
    pub(super) doing: ChangeDoing,
}

/// Options of `change show`.
#[derive(Debug, Group)]
pub(super) struct ChangeShow {
    /// The run: its name, or its folder [default: the last one].
    pub(super) run: Option<String>,
    /// Give a variable the value that it was given for the run.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(super) set: Vec<(String, String)>,
    /// Write what became of everything into this file, as `change run --report` does.
    #[arg(long, value_name = "FILE")]
    pub(super) report: Option<ReportFile>,
    /// Print it as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// A command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Words(pub(super) Vec<String>);

/// With quotes as in a shell, which nothing is given to.
fn words(text: &str) -> Result<Words, String> {
    match shlex::split(text) {
        Some(words) if !words.is_empty() => Ok(Words(words)),
        Some(_) => Err("there is no command".to_owned()),
        None => Err("it has a quote without an end".to_owned()),
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("it is NAME=VALUE".to_owned()),
    }
}
