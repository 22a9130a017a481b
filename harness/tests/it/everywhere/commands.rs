//! Commands: over every way there is, with everything they may be given, to their end or beyond it.

use anyhow::{Result, ensure};
use polder::{
    guest::{Channel, Command, GuestError, Status},
    image::Ability,
    prelude::secs,
};

use crate::guests;

use super::{AGENT, AGENT_EXEC, NO_SLEEP, Place, Row, SHORT};

pub(super) const ROWS: &[Row] = &[
    Row("a program and its arguments", None, |p| Box::pin(arguments(p))),
    Row("a command over ssh", None, |p| Box::pin(over(p, Channel::Ssh))),
    Row("a command over the guest agent", AGENT_EXEC, |p| Box::pin(over(p, Channel::Agent))),
    Row("a command at the console", None, |p| Box::pin(over(p, Channel::Console))),
    Row("an uploaded script", None, |p| Box::pin(uploaded(p))),
    Row("a deadline kills all that was started", None, |p| Box::pin(late(p))),
    Row("success, failure and exit status", None, |p| Box::pin(outcomes(p))),
    Row("16 commands at once", None, |p| Box::pin(crowd(p))),
    Row("a job is waited for, asked, and outlives the connection", None, |p| Box::pin(job(p))),
    Row("a job gets signals, and is killed", None, |p| Box::pin(ended_job(p))),
    Row("a job that is gone", None, |p| Box::pin(no_job(p))),
    Row("the guest agent's own functions", AGENT, |p| Box::pin(agent(p))),
    Row("neither ssh nor the guest agent answers", AGENT_EXEC, |p| Box::pin(unanswered(p))),
    Row("exec, shell and script at the command", None, |p| Box::pin(typed(p))),
];

async fn arguments(p: &Place) -> Result<()> {
    let words = Command::new("printf").args(["<%s>", "a  b", "$HOME", "'", "-n", "", "ü"]);
    let said = p.vm.succeed(words).await?;
    ensure!(said == "<a  b><$HOME><'><-n><><ü>", "{said}");
    Ok(())
}

async fn over(p: &Place, over: Channel) -> Result<()> {
    let command = Command::script("echo \"$1 $V\"; cat; pwd; id -un; echo err >&2; exit 3");
    let command = command.arg("a  'b'").env("V", "v").cwd("/tmp").user("nobody").stdin("in\n").over(over);
    let output = p.vm.execute(command).await?;
    let said = (output.stdout.text(), output.stderr.text(), output.status);
    let right = ("a  'b' v\nin\n/tmp\nnobody\n".into(), "err\n".into(), Status::Code(3));
    ensure!(said == right, "{said:?}");
    // At a console, finding out who is there takes some of it.
    let limit = if over == Channel::Console { secs(2) } else { SHORT };
    let endless = Command::script("echo begun; sleep 4741").over(over).timeout(limit);
    let error = p.vm.execute(endless).await.err();
    let killed = matches!(&error, Some(GuestError::Deadline { killed: true, started: true, .. }));
    ensure!(killed, "{error:?}");
    p.vm.wait_for_process_gone("sleep", secs(5)).await?;
    Ok(())
}

async fn uploaded(p: &Place) -> Result<()> {
    let text = "#!/bin/sh -e\necho \"$0|$1|$V\"; pwd; id -un; cat; false\necho never\n";
    let script = Command::upload(text).arg("a  b").env("V", "v").cwd("/usr").user("nobody").stdin("in");
    let output = p.vm.execute(script).await?;
    let said = output.stdout.text();
    let (path, rest) = said.split_once('|').unwrap_or_default();
    ensure!(rest == "a  b|v\n/usr\nnobody\nin" && output.status == Status::Code(1), "{output:?}");
    p.vm.fails(Command::new("ls").arg(path)).await?;
    Ok(())
}

async fn late(p: &Place) -> Result<()> {
    let family = "(sleep 4743 & sleep 4743 & setsid sleep 4743 & wait) & sleep 4743";
    let error = p.vm.execute(Command::from(family).timeout(SHORT)).await.err();
    ensure!(matches!(&error, Some(GuestError::Deadline { killed: true, .. })), "{error:?}");
    p.vm.wait_for_process_gone("sleep", secs(5)).await?;
    Ok(())
}

async fn outcomes(p: &Place) -> Result<()> {
    ensure!(p.vm.execute("kill -KILL $$").await?.status == Status::Signal("KILL".into()));
    ensure!(p.vm.fails("exit 7").await?.status == Status::Code(7));
    let failed = p.vm.succeed("echo out; echo err >&2; exit 9").await.err().map(|error| error.to_string());
    let failed = failed.unwrap_or_default();
    ensure!(["exit status 9", "out\n", "err"].iter().all(|part| failed.contains(part)), "{failed}");
    ensure!(matches!(p.vm.fails("true").await, Err(GuestError::Succeeded(_))));
    let none = p.vm.execute(Command::new("/no/such/program")).await?;
    ensure!(none.status == Status::Code(127), "{none:?}");
    Ok(())
}

async fn crowd(p: &Place) -> Result<()> {
    guests::many_at_once(&p.vm, 16).await;
    Ok(())
}

async fn job(p: &Place) -> Result<()> {
    let script =
        Command::script("echo begun; cat; while [ ! -e /tmp/go ]; do sleep 0.2; done; echo done; exit 4");
    let job = p.vm.spawn(script.stdin("in\n")).await?;
    ensure!(job.is_running().await?);
    p.vm.restarted().await;
    p.vm.wait_until_succeeds("grep -qs in /var/tmp/.polder-*/out", secs(10)).await?;
    let early = job.output_so_far().await?;
    ensure!(early.stdout.text() == "begun\nin\n" && early.status == Status::Unknown, "{early:?}");
    p.vm.succeed("touch /tmp/go").await?;
    let output = job.wait(secs(20)).await?;
    ensure!(output.stdout.text() == "begun\nin\ndone\n" && output.status == Status::Code(4), "{output:?}");
    ensure!(!job.is_running().await?);
    Ok(())
}

async fn ended_job(p: &Place) -> Result<()> {
    let job = p.vm.spawn("trap 'echo bye; exit 5' USR1; while :; do sleep 0.2; done").await?;
    job.signal("USR1").await?;
    let output = job.wait(secs(20)).await?;
    ensure!(output.stdout.text() == "bye\n" && output.status == Status::Code(5), "{output:?}");
    let job = p.vm.spawn("sleep 4744 & sleep 4744").await?;
    job.kill().await?;
    let output = job.wait(secs(20)).await?;
    ensure!(output.status == Status::Code(137), "{output:?}");
    // One that is dropped is ended, one that is let go of is not.
    drop(p.vm.spawn("sleep 4745").await?);
    p.vm.wait_for_process_gone("sleep", secs(10)).await?;
    p.vm.spawn("sleep 4746").await?.detach();
    p.vm.wait_for_process("sleep", secs(10)).await?;
    p.vm.succeed(NO_SLEEP).await?;
    Ok(())
}

async fn no_job(p: &Place) -> Result<()> {
    let job = p.vm.spawn("sleep 4747").await?;
    // Who waited for it writes how it ended, while that is removed.
    let gone =
        "while ls -d /var/tmp/.polder-* >/dev/null 2>&1; do rm -rf /var/tmp/.polder-*; sleep 0.2; done";
    p.vm.succeed(format!("kill -KILL $(pidof sleep); {gone}")).await?;
    let gone = job.wait(secs(5)).await.err();
    ensure!(matches!(&gone, Some(GuestError::JobGone { .. })), "{gone:?}");
    Ok(())
}

async fn agent(p: &Place) -> Result<()> {
    p.vm.wait_for_agent(secs(30)).await?;
    let Some(agent) = p.vm.agent() else { anyhow::bail!("there is no way to it") };
    agent.ping().await?;
    let bytes: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    agent.write_file("/root/written", &bytes).await?;
    ensure!(agent.read_file("/root/written").await? == bytes);
    ensure!(agent.write_file("/no/such", b"x").await.is_err());
    let interfaces = agent.interfaces().await?;
    let own = p.vm.ip();
    let has = interfaces.iter().flat_map(|one| &one.addresses).any(|(ip, _)| Some(*ip) == own);
    ensure!(has, "{own:?} is not among {interfaces:?}");
    ensure!(agent.freeze().await? > 0);
    ensure!(agent.thaw().await? > 0);
    Ok(())
}

async fn unanswered(p: &Place) -> Result<()> {
    p.vm.succeed(Command::new("true").over(Channel::Agent)).await?;
    // Not listening, or listening and silent.
    let (no_ssh, ssh_again) = match p.vm.spec().abilities.has(Ability::Units) {
        true => ("systemctl stop ssh", "systemctl start ssh"),
        false => {
            ("(sleep 0.3; kill -STOP $(pidof dropbear)) >/dev/null 2>&1 &", "kill -CONT $(pidof dropbear)")
        }
    };
    guests::nothing_answers(&p.vm, no_ssh, ssh_again).await;
    Ok(())
}

async fn typed(p: &Place) -> Result<()> {
    ensure!(p.polder(&["exec", "it", "echo", "a  b"])? == "a  b");
    ensure!(p.ground.polder(&["shell", "it", "exit 42"]).code == Some(42));
    p.file("typed.sh", b"#!/bin/sh\necho \"$1\"; exit 3\n")?;
    let said = p.ground.polder(&["script", "it", "typed.sh", "x y"]);
    ensure!(said.code == Some(3) && said.out == "x y", "{said:?}");
    Ok(())
}
