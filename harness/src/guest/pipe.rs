//! A command between streams of the caller: what it prints is there as it is printed, and nothing of it is kept.

use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    command::Command,
    error::{GuestError, Ran},
    handle::{Guest, timed, verb},
    limits,
    run::{Sink, Source, Streams},
};

impl Guest {
    /// Runs a command that reads `stdin` and writes to `stdout` and `stderr` while it runs; returns how it ended. Over the
    /// guest agent and the console its input is read to the end first, and its output comes when it has ended.
    ///
    /// # Errors
    /// As [`Guest::execute`]; [`GuestError::Local`] when one of the streams breaks.
    pub async fn pipe(
        &self,
        command: impl Into<Command>,
        stdin: impl AsyncRead + Send + Unpin + 'static,
        stdout: impl AsyncWrite + Send + Unpin + 'static,
        stderr: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Result<Ran, GuestError> {
        let command = command.into();
        timed(verb!(self, "pipe", command = command), async {
            let limit = self.scaled(command.limit.unwrap_or(limits::COMMAND));
            let streams = Streams {
                stdin: Source::reading(stdin),
                stdout: Sink::Writer(Box::new(stdout)),
                stderr: Sink::Writer(Box::new(stderr)),
            };
            let ran = self.run_between(&command, streams, limit).await?;
            // What the caller prints is not mixed with this, unless there is something to know.
            match ran.because {
                Some(_) => tracing::info!(target: "polder", "{} {}", ran.output.status, ran.way()),
                None => tracing::debug!(target: "polder", "{} {}", ran.output.status, ran.way()),
            }
            Ok(ran)
        })
        .await
    }
}
