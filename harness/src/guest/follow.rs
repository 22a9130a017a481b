//! A command in a guest that goes on beside everything else, its output handed over as it comes.

use std::time::Duration;

use tokio::sync::mpsc;

use super::{
    command::Command,
    error::GuestError,
    handle::Guest,
    output::Status,
    run::{Chunk, Sink, Source},
    spec::Channel,
};

/// As good as for ever.
const FOREVER: Duration = Duration::from_secs(u32::MAX as u64);

impl Guest {
    /// Whether somebody has opened a connection over ssh, which may be shared.
    pub(crate) async fn is_connected(&self) -> bool {
        match &self.0.ssh {
            Some(ssh) => ssh.is_connected().await,
            None => false,
        }
    }

    /// Runs a command over ssh between `input` and `output`, until it ends by itself, the way to the guest is lost, or the
    /// guest starts anew. Has no span: it is nobody's step.
    pub(crate) async fn follow(
        &self,
        command: &Command,
        input: mpsc::Receiver<Chunk>,
        output: mpsc::Sender<Chunk>,
    ) -> Result<Status, GuestError> {
        let (stdin, stdout) = (Source::Chunks(input), Sink::Chunks(output));
        tokio::select! {
            ran = self.run_over(Channel::Ssh, command, stdin, stdout, FOREVER) => Ok(ran?.output.status),
            () = self.0.restarted.notified() => Ok(Status::Unknown),
        }
    }
}
