//! `polder shell`.

use std::path::Path;

use anyhow::bail;

use crate::{
    base::text::did_you_mean,
    cli::{context::Cx, exit::BadInput, machine_args::Shell_, run::Said},
    env::{Env, Vm},
    guest::Command,
    provider::MachineState,
};

pub(in crate::cli) async fn run(cx: &Cx, args: &Shell_) -> anyhow::Result<Said> {
    let env = cx.env().await?;
    let vm = find(&env, &args.host)?;
    require_running(&env, &vm).await?;
    if vm.spec().ssh.is_some() {
        vm.wait_for_ssh(cx.config.ssh_timeout.saturating_mul(cx.config.ssh_tries)).await?;
    }
    let status = vm.shell(command(&args.args)?).await?;
    Ok(Said::code(status))
}

/// Refuses a machine that is off or paused. One that only does not answer may do so in a moment.
pub(super) async fn require_running(env: &Env, vm: &Vm) -> anyhow::Result<()> {
    let state = env.state_of(vm).await?;
    if !matches!(state, MachineState::Running | MachineState::Unreachable) {
        let state = format!("{state:?}").to_lowercase();
        bail!("{0} is not running but {state}; `polder start {0}` starts it", vm.name());
    }
    Ok(())
}

/// The machine of that name, else the first whose name ends so.
pub(super) fn find(env: &Env, host: &str) -> Result<Vm, BadInput> {
    let vms = env.vms();
    let ends = || vms.iter().find(|vm| vm.name().as_str().ends_with(host)).cloned();
    env.vm(host).or_else(ends).ok_or_else(|| {
        let names: Vec<_> = vms.iter().map(|vm| vm.name().to_string()).collect();
        let hint = did_you_mean(host, names.iter().map(String::as_str));
        let hint = hint
            .map_or_else(|| format!("there are: {}", names.join(", ")), |n| format!("did you mean `{n}`?"));
        BadInput(format!("no machine `{host}`; {hint}"))
    })
}

/// What the words after the machine's name mean: nothing, a local script, a command line, a program with arguments.
fn command(words: &[String]) -> anyhow::Result<Option<Command>> {
    let words = if words.first().is_some_and(|word| word == "-c") {
        words.get(1..).unwrap_or_default()
    } else {
        words
    };
    Ok(match words {
        [] => None,
        [one] if Path::new(one).is_file() => Some(Command::upload(std::fs::read(one)?)),
        [one] => Some(Command::script(one.as_str())),
        [program, args @ ..] => Some(Command::new(program).args(args)),
    })
}
