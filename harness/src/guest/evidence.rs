//! What a guest can tell after a failure: its journal, its kernel log, what commands say of it. Each is tried over every way to the
//! guest, so that there is something when ssh never came up; each goes to a file of this host as it comes.

use std::{collections::BTreeMap, future::Future, path::Path, time::Duration};

use super::{
    command::Command,
    error::GuestError,
    handle::{Guest, timed, verb},
    limits,
    output::{Capture, Status},
    run::{Sink, Source},
    spec::Channel,
};
use crate::image::Ability;

/// What one of several commands left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandOutput {
    /// Its name.
    pub name: String,
    /// Its exit status.
    pub status: i32,
    /// What it printed, to both outputs.
    pub output: Vec<u8>,
}

impl Guest {
    /// Writes the systemd journal, oldest entry first, to the file `dest`; returns how it came.
    ///
    /// # Errors
    /// [`GuestError`]; what came until then stays. [`GuestError::Unsupported`] without a journal.
    pub async fn journal(&self, dest: &Path) -> Result<Channel, GuestError> {
        timed(verb!(self, "journal"), async {
            self.require(Ability::Journal, "read the journal")?;
            let command = Command::new("journalctl").args(["--no-pager", "--output=short-precise"]);
            self.log_to(&command, "read the journal", dest).await
        })
        .await
    }

    /// Writes the systemd journal to the file `dest` as `journalctl` and `systemd-journal-remote` read it back; returns
    /// how it came.
    ///
    /// # Errors
    /// As [`Guest::journal`].
    pub async fn journal_export(&self, dest: &Path) -> Result<Channel, GuestError> {
        timed(verb!(self, "journal_export"), async {
            self.require(Ability::Journal, "read the journal")?;
            let command = Command::new("journalctl").args(["--no-pager", "--output=export"]);
            self.log_to(&command, "read the journal", dest).await
        })
        .await
    }

    /// Writes the kernel log to the file `dest`; returns how it came.
    ///
    /// # Errors
    /// [`GuestError`]; what came until then stays.
    pub async fn dmesg(&self, dest: &Path) -> Result<Channel, GuestError> {
        timed(verb!(self, "dmesg"), async {
            let command = Command::new("dmesg");
            self.log_to(&command, "read the kernel log", dest).await
        })
        .await
    }

    async fn log_to(&self, command: &Command, what: &str, dest: &Path) -> Result<Channel, GuestError> {
        let limit = self.scaled(limits::EVIDENCE);
        self.over_any(what, |over| self.output_to(over, command, dest, limit)).await
    }

    /// Runs commands, lines for the guest's shell by their names, and returns what each printed and its exit status;
    /// 124 when it did not end within ten seconds.
    ///
    /// # Errors
    /// [`GuestError`]
    pub async fn outputs(
        &self,
        commands: &BTreeMap<String, String>,
        limit: Duration,
    ) -> Result<(Channel, Vec<CommandOutput>), GuestError> {
        const RUN: &str = r#"
while [ $# -gt 1 ]; do
  out=$(timeout 10 sh -c "$2" 2>&1 </dev/null); s=$?
  printf '%s\0%s\0%s
\0' "$1" "$s" "$out"; shift 2
done"#;
        timed(verb!(self, "outputs", commands = commands.len()), async {
            let args = commands.iter().flat_map(|(name, line)| [name, line]);
            let command = Command::script(RUN).args(args).shown_as("ask how it fares");
            let limit = self.scaled(limit);
            let ask = async |over| {
                let sink = Sink::Capture(self.capture("stdout"));
                let ran = self.run_over(over, &command, Source::Bytes(Vec::new()), sink, limit).await?;
                Ok((over, self.all_of(ran.output.stdout).await?))
            };
            let (over, said) = self.over_any("run commands", ask).await?;
            let fields: Vec<&[u8]> = said.split(|&byte| byte == 0).collect();
            let output = |record: &[&[u8]]| {
                let [name, status, output] = record else { return None };
                Some(CommandOutput {
                    name: String::from_utf8_lossy(name).into_owned(),
                    status: String::from_utf8_lossy(status).parse().ok()?,
                    output: output.to_vec(),
                })
            };
            Ok((over, fields.chunks(3).filter_map(output).collect()))
        })
        .await
    }

    /// Writes what a command prints to the file `dest` as it comes.
    pub(super) async fn output_to(
        &self,
        over: Channel,
        command: &Command,
        dest: &Path,
        limit: Duration,
    ) -> Result<Channel, GuestError> {
        let sink = Sink::Capture(Capture::new(0, dest.to_owned()));
        let ran = self.run_over(over, command, Source::Bytes(Vec::new()), sink, limit).await?;
        match ran.output.status {
            // An empty log is a log.
            Status::Code(0) if ran.output.stdout.total == 0 => {
                let made = tokio::fs::write(dest, b"").await;
                made.map(|()| over).map_err(|source| self.local("keep a log", source))
            }
            Status::Code(0) => Ok(over),
            _ => Err(GuestError::Failed(Box::new(self.with_console(ran).await))),
        }
    }

    /// Tries the ways to the guest in order, the next one only where the former did not reach it.
    pub(super) async fn over_any<T, Fut>(
        &self,
        what: &str,
        attempt: impl Fn(Channel) -> Fut,
    ) -> Result<T, GuestError>
    where
        Fut: Future<Output = Result<T, GuestError>>,
    {
        let mut tried = Vec::new();
        for over in self.channels(what)? {
            match attempt(over).await {
                Err(
                    error @ (GuestError::Unreachable { .. }
                    | GuestError::Lost { .. }
                    | GuestError::Deadline { .. }),
                ) => {
                    tried.push((over, error));
                }
                result => return result,
            }
        }
        Err(GuestError::NoWay { machine: self.name().clone(), what: what.to_owned(), tried })
    }
}
