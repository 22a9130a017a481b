//! Parses, calls the verb, prints the error chain, chooses the exit code.
#![expect(clippy::print_stdout, reason = "a command prints")]

use std::{io::IsTerminal, process::ExitCode};

use clap::Parser;

use super::{
    args::{Args, Verb},
    cmd,
};
use crate::{
    base::exit::Exit,
    env::{EnvError, Host},
    initfile::InitFileError,
    template::TemplateError,
};

/// The whole of the `polder` command.
#[must_use]
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return Exit::Environment.into();
        }
    };
    let result = runtime.block_on(run(args.verb));
    // A blocked libvirt call must not hold up the end.
    runtime.shutdown_background();
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", print(&error));
            exit_of(&error).into()
        }
    }
}

async fn run(verb: Verb) -> anyhow::Result<ExitCode> {
    let host = Host::from_env(&|name| std::env::var(name).ok())?;
    match verb {
        Verb::Plan { file, json } => {
            cmd::plan::run(&host, &file, json).await.map(|text| println!("{text}"))?
        }
        Verb::Validate { file, json, allow_unknown, variables } => {
            let (text, good) = cmd::validate::run(&file, json, allow_unknown, variables);
            println!("{text}");
            return Ok(if good { Exit::Done } else { Exit::Usage }.into());
        }
        Verb::Schema => println!("{}", cmd::schema::run()),
        Verb::Up { file } => cmd::up::run(&host, &file).await?,
        Verb::Status { file, json } => cmd::status::run(&host, &file, json).await.map(|text| println!("{text}"))?,
        Verb::Shell { file, machine, command } => return cmd::shell::run(&host, &file, &machine, &command).await,
        Verb::Down { file } => cmd::down::run(&file).await.map(|text| println!("{text}"))?,
        Verb::Images { what } => cmd::images::run(&host, what).await.map(|text| println!("{text}"))?,
        Verb::Templates(args) => {
            let (shown, code) = cmd::templates::run(&host, args).await?;
            println!("{shown}");
            return Ok(code.into());
        }
        Verb::Doctor => {
            let (text, fit) = cmd::doctor::run(&host).await;
            println!("{text}");
            return Ok(if fit { Exit::Done } else { Exit::Environment }.into());
        }
    }
    Ok(Exit::Done.into())
}

/// The error and its causes; an init file's problems with the lines they are on.
fn print(error: &anyhow::Error) -> String {
    match error.downcast_ref::<EnvError>() {
        Some(EnvError::InitFile(problems)) => problems.render(std::io::stderr().is_terminal()),
        _ => format!("{error:#}"),
    }
}

/// Whose fault it is decides the code: what was typed or written, or the environment.
fn exit_of(error: &anyhow::Error) -> Exit {
    if let Some(error) = error.downcast_ref::<TemplateError>() {
        return if error.is_input() { Exit::Usage } else { Exit::Environment };
    }
    let input = error.chain().any(|cause| {
        cause.is::<InitFileError>()
            || matches!(cause.downcast_ref(), Some(EnvError::InitFile(_) | EnvError::Plan(_)))
    });
    match (input, error.downcast_ref::<EnvError>()) {
        (true, _) => Exit::Usage,
        (false, Some(_)) => Exit::Environment,
        (false, None) => Exit::Failed,
    }
}
