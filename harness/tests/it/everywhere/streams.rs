//! What passes between a person or a program and a machine while something runs there: streams, terminals, the console.

use std::process::{Command as Program, Stdio};

use anyhow::{Context as _, Result, ensure};
use polder::{guest::Status, prelude::secs};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Place, Row};

pub(super) const ROWS: &[Row] = &[
    Row("much output, exact, on both streams", None, |p| Box::pin(much(p))),
    Row("input and output while a command runs", None, |p| Box::pin(piped(p))),
    Row("an interactive shell on a terminal", None, |p| Box::pin(shell(p))),
    Row("the console, by hand", None, |p| Box::pin(console(p))),
    Row("text on the console", None, |p| Box::pin(spoken(p))),
];

async fn much(p: &Place) -> Result<()> {
    const LINES: u32 = 100_000;
    let output = p.vm.execute(format!("seq {LINES} & seq {LINES} >&2; wait")).await?;
    let all: String = (1..=LINES).map(|n| format!("{n}\n")).collect();
    for (stream, name) in [(&output.stdout, "stdout"), (&output.stderr, "stderr")] {
        let bytes = match &stream.whole {
            Some(file) => std::fs::read(file)?,
            None => stream.bytes.to_vec(),
        };
        ensure!(bytes == all.as_bytes(), "{} of {} bytes of {name}", bytes.len(), all.len());
    }
    Ok(())
}

async fn piped(p: &Place) -> Result<()> {
    let (mut typing, stdin) = tokio::io::duplex(64);
    let (stdout, mut reading) = tokio::io::duplex(64);
    let piped = p.vm.pipe("cat; exit 7", stdin, stdout, tokio::io::sink());
    let talk = async move {
        let mut answer = [0; 5];
        for word in ["first", "other"] {
            typing.write_all(word.as_bytes()).await?;
            reading.read_exact(&mut answer).await?;
            ensure!(answer == word.as_bytes());
        }
        Ok(())
    };
    let (ran, talked) = tokio::join!(piped, talk);
    talked?;
    ensure!(ran?.output.status == Status::Code(7));
    Ok(())
}

/// Types `text` into a program that is connected to a terminal or to pipes, until it has printed `mark`; then `end`.
async fn typed(program: Program, text: &[u8], mark: &str, end: &[u8]) -> Result<(String, Option<i32>)> {
    let mut program = tokio::process::Command::from(program);
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let mut typing = child.stdin.take().context("it is typed at")?;
    let mut printed = child.stdout.take().context("it prints")?;
    typing.write_all(text).await?;
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(mark) {
        let read = tokio::time::timeout(secs(120), printed.read_buf(&mut seen)).await;
        let shown = || String::from_utf8_lossy(&seen).into_owned();
        let read = read.with_context(|| format!("`{mark}` is not printed, but {:?}", shown()))??;
        ensure!(read > 0, "it ended with {:?}, having printed {:?}", child.wait().await?, shown());
    }
    typing.write_all(end).await?;
    let status = child.wait().await?;
    printed.read_to_end(&mut seen).await?;
    Ok((String::from_utf8_lossy(&seen).into_owned(), status.code()))
}

async fn shell(p: &Place) -> Result<()> {
    // A terminal of 33 lines, in which the command runs.
    let own = p.ground.command(&[]);
    let line = format!("stty rows 33 cols 91; exec '{}' shell it", own.get_program().display());
    let mut terminal = Program::new("script");
    terminal.args(["-q", "-e", "-c", &line, "/dev/null"]).env("TERM", "xterm");
    terminal.current_dir(own.get_current_dir().context("it stands somewhere")?);
    for (name, value) in own.get_envs() {
        match value {
            Some(value) => terminal.env(name, value),
            None => terminal.env_remove(name),
        };
    }
    let text = "stty size; test -t 0 && echo it is $((40+2))\r";
    let (seen, code) = typed(terminal, text.as_bytes(), "it is 42", b"exit 7\r").await?;
    ensure!(seen.contains("33 91") && code == Some(7), "{code:?} {seen}");
    Ok(())
}

async fn console(p: &Place) -> Result<()> {
    // The first command at the console has logged in, where that is needed; the shell is there since.
    let (seen, code) = typed(p.ground.command(&["console", "it"]), b"\r", "#", b"\x1d").await?;
    ensure!(code == Some(0), "{code:?} {seen}");
    Ok(())
}

async fn spoken(p: &Place) -> Result<()> {
    p.vm.succeed("echo '<3>it speaks' >/dev/kmsg; echo and says more >/dev/ttyS0").await?;
    let line = p.vm.wait_for_console("says more", secs(20)).await?;
    ensure!(line.contains("and says more"), "{line}");
    ensure!(p.vm.console_tail(50).await.iter().any(|line| line.contains("says more")));
    Ok(())
}
