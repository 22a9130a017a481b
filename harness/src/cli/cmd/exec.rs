//! `polder exec`, and what it has in common with `polder script`: our streams at a command in a machine.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use serde_json::json;

use super::shell::{find, require_running};
use crate::{
    cli::{
        context::Cx,
        machine_args::{ExecArgs, How},
        run::Said,
    },
    guest::{Channel, Command, Status},
};

pub(in crate::cli) async fn run(cx: &Cx, args: &ExecArgs) -> anyhow::Result<Said> {
    let [program, rest @ ..] = args.argv.as_slice() else { return Ok(().into()) };
    passed_through(cx, &args.host, Command::new(program).args(rest), &args.how).await
}

/// Runs `command` in a machine with our streams; for programs that read results, with what it printed as one of them.
pub(super) async fn passed_through(cx: &Cx, host: &str, command: Command, how: &How) -> anyhow::Result<Said> {
    cx.format()?;
    let env = cx.env().await?;
    let vm = find(&env, host)?;
    require_running(&env, &vm).await?;
    let command = how_to_run(command, how, env.time_factor());
    if cx.for_people() {
        let streams = (tokio::io::stdin(), tokio::io::stdout(), tokio::io::stderr());
        let ran = vm.pipe(command, streams.0, streams.1, streams.2).await?;
        return Ok(Said::code(ran.output.status.code()));
    }
    let command = if io::stdin().is_terminal() { command } else { command.stdin_file("/dev/stdin") };
    let output = vm.execute(command).await?;
    let (status, signal) = match &output.status {
        Status::Code(code) => (Some(code), None),
        Status::Signal(name) => (None, Some(name)),
        Status::Unknown => (None, None),
    };
    let text = cx.print(&json!({
        "machine": vm.name().to_string(),
        "status": status,
        "signal": signal,
        "stdout": output.stdout.text(),
        "stderr": output.stderr.text(),
        "seconds": output.took.as_secs_f64(),
    }))?;
    Ok(Said::from(text).with_code(output.status.code()))
}

/// Who types a deadline means it, however slow the machines are: by `factor`.
fn how_to_run(mut command: Command, how: &How, factor: f64) -> Command {
    let limit = how.timeout.map_or(Duration::MAX, |s| Duration::from_secs_f64(f64::from(s) / factor));
    command = command.timeout(limit);
    if let Some(user) = &how.user {
        command = command.user(user);
    }
    if let Some(dir) = &how.cwd {
        command = command.cwd(dir);
    }
    let ways = [(how.ssh, Channel::Ssh), (how.agent, Channel::Agent), (how.console, Channel::Console)];
    if let Some((_, over)) = ways.into_iter().find(|(asked, _)| *asked) {
        command = command.over(over);
    }
    how.env.iter().fold(command, |command, (name, value)| command.env(name, value))
}
