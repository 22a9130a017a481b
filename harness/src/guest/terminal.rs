//! A person at a guest: the terminal of this process connected to a shell or command there, over ssh.

use std::{
    io::{self, IsTerminal},
    sync::Arc,
    time::Duration,
};

use russh::ChannelMsg;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    signal::unix::{SignalKind, signal},
};

use super::{
    command::Command,
    error::{GuestError, Ran},
    handle::Guest,
    output::{Captured, Output, Status},
    run::{RunError, Stage, call_mark},
    spec::Channel,
};
use crate::image::Ability;

impl Guest {
    /// Connects the standard streams of this process to a login shell, or to `command`, and returns the exit status
    /// (255 when the connection broke or a signal ended it). With a terminal here, there is one there.
    ///
    /// # Errors
    /// The guest has no ssh, cannot be reached, or refuses.
    pub async fn shell(&self, command: Option<Command>) -> Result<u8, GuestError> {
        self.require(Ability::Ssh, "open a shell")?;
        let machine = || self.name().clone();
        let shown = command.as_ref().map_or_else(|| "(login shell)".to_owned(), ToString::to_string);
        let line = command.map(|command| command.line(&call_mark())).transpose();
        let line = line.map_err(|source| GuestError::Command {
            machine: machine(),
            command: shown.clone(),
            source,
        })?;
        match self.terminal(line).await {
            Ok(status) => Ok(status),
            Err(error) => {
                let (stdout, stderr) = (Captured::default(), Captured::default());
                let output = Output { status: Status::Unknown, stdout, stderr, took: Duration::ZERO };
                let console = self.console().await;
                let ran = Ran { machine: machine(), command: shown, over: Channel::Ssh, output, console };
                Err(self.run_error(error, ran, Duration::ZERO).await)
            }
        }
    }

    async fn terminal(&self, line: Option<String>) -> Result<u8, RunError> {
        let Some(ssh) = self.0.ssh.clone() else {
            return Ok(255);
        };
        let mut stage = Stage::Connecting;
        let before = |e: Arc<super::link::SshError>| RunError::Before(e.into());
        let (mut reader, writer) = ssh.open(&mut stage).await.map_err(before)?;
        let sent = |r: Result<(), russh::Error>| r.map_err(|e| before(ssh.broken(Some(e))));
        let terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
        if terminal {
            let (columns, rows) = size();
            let kind = std::env::var("TERM").unwrap_or_else(|_| "xterm".into());
            sent(writer.request_pty(false, &kind, columns, rows, 0, 0, &[]).await)?;
        }
        sent(match line {
            Some(line) => writer.exec(true, line).await,
            None => writer.request_shell(true).await,
        })?;
        let _raw = terminal.then(Raw::enter).transpose().map_err(RunError::Local)?;
        let mut resized = signal(SignalKind::window_change()).map_err(RunError::Local)?;
        let (mut stdin, mut stdout, mut stderr) =
            (tokio::io::stdin(), tokio::io::stdout(), tokio::io::stderr());
        let (mut typed, mut open, mut status) = ([0; 4096], true, 255);
        loop {
            tokio::select! {
                read = stdin.read(&mut typed), if open => match typed.get(..read.map_err(RunError::Local)?) {
                    Some(bytes) if !bytes.is_empty() => sent(writer.data(bytes).await)?,
                    _ => {
                        open = false;
                        sent(writer.eof().await)?;
                    }
                },
                _ = resized.recv() => {
                    let (columns, rows) = size();
                    sent(writer.window_change(columns, rows, 0, 0).await)?;
                }
                message = reader.wait() => match message {
                    Some(ChannelMsg::Data { data }) => show(&mut stdout, &data).await?,
                    Some(ChannelMsg::ExtendedData { data, .. }) => show(&mut stderr, &data).await?,
                    Some(ChannelMsg::ExitStatus { exit_status }) => status = u8::try_from(exit_status).unwrap_or(255),
                    Some(ChannelMsg::Close) | None => return Ok(status),
                    Some(_) => {}
                }
            }
        }
    }
}

async fn show(to: &mut (impl AsyncWriteExt + Unpin), data: &[u8]) -> Result<(), RunError> {
    to.write_all(data).await.map_err(RunError::Local)?;
    to.flush().await.map_err(RunError::Local)
}

/// Columns and rows of our terminal.
fn size() -> (u32, u32) {
    tcgetwinsize(io::stdout()).map_or((80, 24), |s| (s.ws_col.into(), s.ws_row.into()))
}

/// Our terminal passing every key on; as it was before once this goes.
struct Raw(Termios);

impl Raw {
    fn enter() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
