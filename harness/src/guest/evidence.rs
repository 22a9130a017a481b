//! What a guest can tell after a failure: its journal, its kernel log, files. Each is tried over every way to the
//! guest, so that there is something when ssh never came up; each goes to a file of this host as it comes.

use std::{future::Future, path::Path};

use super::{
    command::Command,
    error::GuestError,
    files::ReceiveError,
    handle::{Guest, timed, verb},
    limits,
    output::{Capture, Status},
    run::{Sink, Source},
    spec::Channel,
};
use crate::image::Ability;

impl Guest {
    /// Writes the systemd journal, oldest entry first, to the file `dest`; returns how it came.
    ///
    /// # Errors
    /// [`GuestError`]; what came until then stays. [`GuestError::Unsupported`] without a journal.
    pub async fn journal(&self, dest: &Path) -> Result<Channel, GuestError> {
        timed(verb!(self, "journal"), async {
            self.require(Ability::Journal, "read the journal")?;
            let command = Command::new("journalctl").args(["--no-pager", "--output=short-precise"]);
            self.over_any("read the journal", |over| self.output_to(over, &command, dest)).await
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
            self.over_any("read the kernel log", |over| self.output_to(over, &command, dest)).await
        })
        .await
    }

    /// Brings a file or folder to `dest`, which must not exist; returns how it came.
    ///
    /// Unlike [`Guest::copy_from`] it takes what it can get: files that change or vanish meanwhile are an error
    /// only after everything else has come, and what came stays.
    ///
    /// # Errors
    /// [`GuestError`]; [`GuestError::NoSuchPath`].
    pub async fn fetch(&self, remote: &str, dest: &Path) -> Result<Channel, GuestError> {
        timed(verb!(self, "fetch", remote = remote), async {
            let what = format!("fetch `{remote}`");
            self.over_any(&what, async |over| {
                match self.receive(over, remote, dest, self.scaled(limits::EVIDENCE)).await {
                    Ok(ran) if ran.output.status.success() => Ok(over),
                    Ok(ran) => Err(GuestError::Failed(Box::new(self.with_console(ran).await))),
                    Err(ReceiveError::Run(error)) => Err(error),
                    Err(ReceiveError::Unpack(source)) => Err(self.local(format!("keep `{remote}`"), source)),
                }
            })
            .await
        })
        .await
    }

    async fn output_to(&self, over: Channel, command: &Command, dest: &Path) -> Result<Channel, GuestError> {
        let sink = Sink::Capture(Capture::new(0, dest.to_owned()));
        let limit = self.scaled(limits::EVIDENCE);
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
    async fn over_any<Fut>(&self, what: &str, attempt: impl Fn(Channel) -> Fut) -> Result<Channel, GuestError>
    where
        Fut: Future<Output = Result<Channel, GuestError>>,
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
