//! A person at a guest: the terminal of this process connected to a shell or command there, over ssh, or to the console
//! of the machine.

use std::{
    io::{self, IsTerminal},
    sync::Arc,
    time::Duration,
};

use russh::ChannelMsg;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    signal::unix::{SignalKind, signal},
};

use super::{
    command::Command,
    error::{ConsoleTail, GuestError},
    handle::Guest,
    limits,
    output::{Captured, Output, Status},
    run::{RunError, Stage},
    serial::ConsoleError,
    spec::Channel,
    ssh::Session,
};
use crate::{
    base::wait::Deadline,
    image::{Ability, info::Unsupported},
};

impl Guest {
    /// Connects the standard streams of this process to a login shell, or to `command`, and returns the exit status
    /// (255 when the connection broke or a signal ended it). With a terminal here, there is one there.
    ///
    /// # Errors
    /// The guest has no ssh, cannot be reached, or refuses.
    pub async fn shell(&self, command: Option<Command>) -> Result<u8, GuestError> {
        self.require(Ability::Ssh, "open a shell")?;
        let limit = self.scaled(limits::BEGIN);
        let uploaded = match &command {
            Some(command) => self.upload(command, Deadline::within(limit)).await?,
            None => None,
        };
        let placed = uploaded.as_ref().map(|(_, placed)| placed).or(command.as_ref());
        let call = placed.map(|command| self.call(command, Deadline::within(limit))).transpose()?;
        let status = self.terminal(call.map(|call| call.line), limit).await;
        if let Some((file, _)) = uploaded {
            file.remove().await;
        }
        match status {
            Ok(status) => Ok(status),
            Err(error) => {
                let shown = command.unwrap_or_else(|| Command::new("login shell"));
                let (stdout, stderr) = (Captured::default(), Captured::default());
                let output = Output { status: Status::Unknown, stdout, stderr, took: Duration::ZERO };
                Err(self.run_error(error, self.ran(&shown, Channel::Ssh, output), limit).await)
            }
        }
    }

    /// Connects the standard streams of this process to the serial console of the machine, until Control-] is typed, the
    /// input ends, or the machine goes. That it is recorded does not change.
    ///
    /// # Errors
    /// [`GuestError::Unsupported`] where nobody makes the machine for us; it is off, or somebody else has its console
    /// open.
    pub async fn attend_console(&self) -> Result<(), GuestError> {
        let Some(machine) = &self.0.spec.machine else {
            let source = Unsupported { image: self.0.spec.image.clone(), ability: Ability::Console };
            return Err(self.unsupported("open the console", source));
        };
        let opened = machine.console(self.scaled(limits::OPEN)).await;
        let console = opened.map_err(|source| GuestError::Unreachable {
            machine: self.name().clone(),
            what: "open the console".to_owned(),
            standstill: None,
            console: ConsoleTail(Vec::new()),
            source: Arc::new(ConsoleError::Open(source)).into(),
        })?;
        attend(console).await.map_err(|source| self.local("connect the terminal", source))
    }

    async fn terminal(&self, line: Option<String>, limit: Duration) -> Result<u8, RunError> {
        let Some(ssh) = self.0.ssh.clone() else {
            return Ok(255);
        };
        let mut stage = Stage::Connecting;
        let before = |e: Arc<super::link::SshError>| RunError::Before(e.into());
        let Session { mut reader, writer, room: _room } =
            ssh.open(limit, &mut stage).await.map_err(before)?;
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

/// What leaves a console: Control-].
const LEAVE: u8 = 0x1d;

async fn attend(console: UnixStream) -> io::Result<()> {
    let _raw = io::stdin().is_terminal().then(Raw::enter).transpose()?;
    let (mut printed, mut typed) = console.into_split();
    let (mut stdin, mut stdout) = (tokio::io::stdin(), tokio::io::stdout());
    let (mut keys, mut bytes) = ([0; 4096], [0; 4096]);
    loop {
        tokio::select! {
            read = stdin.read(&mut keys) => {
                let read = keys.get(..read?).unwrap_or_default();
                let left = read.iter().position(|&key| key == LEAVE);
                typed.write_all(read.get(..left.unwrap_or(read.len())).unwrap_or_default()).await?;
                if left.is_some() || read.is_empty() {
                    return Ok(());
                }
            }
            read = printed.read(&mut bytes) => match bytes.get(..read?) {
                Some(bytes) if !bytes.is_empty() => {
                    stdout.write_all(bytes).await?;
                    stdout.flush().await?;
                }
                _ => return Ok(()),
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
