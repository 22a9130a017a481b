//! Has the guest's kernel panic.

use super::{
    command::Command,
    error::GuestError,
    handle::{Guest, timed, verb},
    limits,
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
}
