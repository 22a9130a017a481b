//! Reboot and shutdown from inside the guest. Cutting the power is the provider's.

use std::time::Duration;

use super::{
    command::Command,
    error::GuestError,
    handle::{Guest, timed, verb},
    limits,
    output::Status,
    waiting::Seen,
};
use crate::image::Ability;

/// A number the kernel makes up at each start.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

impl Guest {
    /// Reboots the guest and waits until it answers again, after a new start of its kernel.
    ///
    /// # Errors
    /// [`GuestError::Wait`], [`GuestError::Panicked`]; [`GuestError::Unsupported`] where the image cannot come back.
    pub async fn reboot(&self, limit: Duration) -> Result<(), GuestError> {
        timed(verb!(self, "reboot"), async {
            self.require(Ability::Reboot, "reboot")?;
            let look = self.scaled(limits::LOOK_AGAIN);
            let before = self.boot_id(self.scaled(limits::LOOK)).await?;
            self.0.console.begin_anew().await;
            self.ask_to_go("reboot").await?;
            self.wait("a new start", limit, limits::SHORT_PAUSE, || async {
                match self.boot_id(look).await {
                    Ok(id) if id != before => Seen::Ready(()),
                    Ok(_) => Seen::NotYet("it has not gone down yet".to_owned()),
                    Err(error) => Seen::Away(error.brief()),
                }
            })
            .await
        })
        .await
    }

    /// Asks the guest to start anew; returns when it was asked, not when it has.
    ///
    /// # Errors
    /// [`GuestError`] when it cannot be asked or refuses.
    pub async fn ask_to_reboot(&self) -> Result<(), GuestError> {
        timed(verb!(self, "reboot"), self.ask_to_go("reboot")).await
    }

    /// Asks the guest to switch itself off; returns when it was asked, not when it is off.
    ///
    /// # Errors
    /// [`GuestError`] when it cannot be asked or refuses.
    pub async fn shutdown(&self) -> Result<(), GuestError> {
        timed(verb!(self, "shutdown"), async {
            let channels = self.channels("shut down");
            match (&self.0.agent, channels) {
                (_, Ok(_)) => self.ask_to_go("poweroff").await,
                (Some(agent), Err(_)) => {
                    agent.shutdown().await.map_err(|source| self.agent_error("shut down", source))
                }
                (None, Err(error)) => Err(error),
            }
        })
        .await
    }

    /// Gives a command that may take the connection with it.
    async fn ask_to_go(&self, command: &str) -> Result<(), GuestError> {
        let command = Command::new(command);
        let ran = match self.run(&command, self.scaled(limits::LOOK)).await {
            Ok(ran) => ran,
            Err(GuestError::Lost { .. } | GuestError::Deadline { started: true, .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        match ran.output.status {
            // The shell itself may have been ended by what it was asked to do; 255 is ssh's own word for that.
            Status::Code(1..=127) => Err(GuestError::Failed(Box::new(self.with_console(ran).await))),
            _ => Ok(()),
        }
    }

    async fn boot_id(&self, limit: Duration) -> Result<String, GuestError> {
        let read = Command::new("cat").arg(BOOT_ID);
        // Over the best way: that another answers does not mean that it is back.
        let best = self.channels("look whether it is back")?.first().copied();
        let read = best.into_iter().fold(read, Command::over);
        let ran = self.look(&read, limit).await?;
        if ran.output.status.success() {
            Ok(ran.output.stdout.text().trim().to_owned())
        } else {
            Err(GuestError::Failed(Box::new(self.with_console(ran).await)))
        }
    }

    pub(super) fn agent_error(&self, what: &str, source: super::AgentError) -> GuestError {
        GuestError::Unreachable {
            machine: self.name().clone(),
            what: what.to_owned(),
            standstill: None,
            console: super::error::ConsoleTail(Vec::new()),
            source: std::sync::Arc::new(source).into(),
        }
    }
}
