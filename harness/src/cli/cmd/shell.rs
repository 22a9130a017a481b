//! `polder shell`.

use std::{path::Path, process::ExitCode};

use anyhow::Context;

use crate::{base::text::did_you_mean, cli::pointer::Pointer, env::{Env, Host}, guest::Command};

pub(in crate::cli) async fn run(host: &Host, file: &Path, machine: &str, command: &[String]) -> anyhow::Result<ExitCode> {
    let env = Env::join(host, &Pointer::require(file)?.lab).await?;
    let vm = env.vm(machine).with_context(|| {
        let names: Vec<_> = env.vms().iter().map(|vm| vm.name().to_string()).collect();
        let hint = did_you_mean(machine, names.iter().map(String::as_str));
        let hint = hint
            .map_or_else(|| format!("there are: {}", names.join(", ")), |n| format!("did you mean `{n}`?"));
        format!("no machine `{machine}` in {}; {hint}", file.display())
    })?;
    let command = command.split_first().map(|(program, args)| Command::new(program).args(args));
    let status = vm.shell(command).await?;
    Ok(ExitCode::from(status))
}
