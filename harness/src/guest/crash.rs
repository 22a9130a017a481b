//! Has the guest's kernel panic, and hears that it has.

use std::time::Duration;

use super::{
    command::Command,
    error::GuestError,
    handle::{Guest, timed, verb},
    limits,
    machine::Standstill,
    run::{Sink, Source},
};

impl Guest {
    /// Has the guest's kernel panic, over whatever way there is to it; returns when its console says so.
    ///
    /// # Errors
    /// [`GuestError::NoWay`] when it cannot be told in any way, [`GuestError::Failed`] when it refuses.
    pub(crate) async fn panic(&self) -> Result<(), GuestError> {
        timed(verb!(self, "panic"), async {
            let command = Command::script("echo c >/proc/sysrq-trigger");
            let mut tried = Vec::new();
            for over in self.channels("panic")? {
                let stdout = Sink::Capture(self.capture("stdout"));
                let limit = self.scaled(limits::LOOK);
                match self.run_over(over, &command, Source::Bytes(Vec::new()), stdout, limit).await {
                    Err(GuestError::Panicked { .. }) => return Ok(()),
                    Ok(ran) => return Err(GuestError::Failed(Box::new(self.with_console(ran).await))),
                    Err(error) => tried.push((over, error)),
                }
            }
            Err(GuestError::NoWay { machine: self.name().clone(), what: "panic".to_owned(), tried })
        })
        .await
    }

    /// Whether its kernel panics within `limit`, or has before: by its console, or by what its machine knows, which may be
    /// stopped before its console has a word of it.
    pub(crate) async fn panics_within(&self, limit: Duration) -> bool {
        let crashed = async {
            while self.standstill().await != Some(Standstill::Crashed) {
                tokio::time::sleep(limits::PAUSE).await;
            }
        };
        let either = async {
            tokio::select! {
                _ = self.0.console.panicked() => {}
                () = crashed => {}
            }
        };
        tokio::time::timeout(self.scaled(limit), either).await.is_ok()
    }
}
