//! Taking a part of the host, and waiting until it can be had. Says what is waited for; does not know who shows it.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::{
    host,
    ledger::{Held, Ledger, LedgerError, Standing},
    model::{Capacity, Demand, Who, never},
};
use crate::{
    config::{BudgetConfig, Share},
    suite::stop::Stop,
};

/// Where all users of a host meet. On disk, like labs.
const FOLDER: &str = "/var/tmp/polder-budget";
/// How often it is looked whether others have gone.
const AGAIN: Duration = Duration::from_millis(200);
/// How long nothing may change before who waits gives up.
const PATIENCE: Duration = Duration::from_secs(60 * 60);
/// Machines share processors: so many of theirs are on one of the host's before a suite waits.
const CROWD: u64 = 32;

/// What a suite wants cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// There is not as much.
    #[error("{0}")]
    Never(String),
    /// Others kept it.
    #[error("nothing became free within {} min; it waited {waits}", after.as_secs() / 60)]
    Late {
        /// How long.
        after: Duration,
        /// For what, and who has it.
        waits: String,
    },
    /// The operator wished to stop.
    #[error("stopped while it waited")]
    Stopped,
}

/// What suites of this run may take of the host.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    ledger: Ledger,
    capacity: Capacity,
    run: String,
    freed: Arc<Notify>,
}

/// What a suite has taken; free again when this goes, or this process.
#[derive(Debug)]
pub(crate) struct Token {
    held: Option<Held>,
    freed: Arc<Notify>,
}

impl Budget {
    /// As it is configured, for the run of that name.
    pub(crate) fn of(config: &BudgetConfig, run: &str) -> Self {
        let share = |share: Share, auto: &dyn Fn() -> Option<u64>| match share {
            Share::Auto => auto(),
            Share::Unlimited => None,
            Share::Of(number) => Some(number),
        };
        let cores = || std::thread::available_parallelism().ok().map(|cores| cores.get() as u64 * CROWD);
        let capacity = Capacity {
            memory_mib: share(config.memory, &host::memory_mib),
            cpus: share(config.cpus, &cores),
            seats: share(config.seats, &|| Some(1)),
        };
        let folder = config.folder.clone().unwrap_or_else(|| PathBuf::from(FOLDER));
        Self { ledger: Ledger { folder }, capacity, run: run.to_owned(), freed: Arc::default() }
    }

    /// Takes all of `demand` for `suite` as soon as it can be had. `waits` is told what it waits for and who has that, each
    /// time that changes; `unkept`, why it is not waited where that is so: what others do must not keep us from running.
    ///
    /// # Errors
    /// [`Refused`].
    pub(crate) async fn take(
        &self,
        suite: &str,
        demand: &Demand,
        stop: &Stop,
        waits: impl Fn(String),
        unkept: impl Fn(String),
    ) -> Result<Token, Refused> {
        let token = |held| Token { held, freed: Arc::clone(&self.freed) };
        if demand.is_nothing() || self.capacity == Capacity::default() {
            return Ok(token(None));
        }
        if let Some(why) = never(demand, &self.capacity) {
            return Err(Refused::Never(why));
        }
        match self.queue(suite, demand, stop, waits).await {
            Ok(held) => Ok(token(Some(held?))),
            Err(error) => {
                unkept(format!("{:#}", anyhow::Error::from(error)));
                Ok(token(None))
            }
        }
    }

    async fn queue(
        &self,
        suite: &str,
        demand: &Demand,
        stop: &Stop,
        waits: impl Fn(String),
    ) -> Result<Result<Held, Refused>, LedgerError> {
        let who = Who {
            pid: std::process::id(),
            run: self.run.clone(),
            suite: suite.to_owned(),
            user: String::new(),
        };
        let (ledger, wanted) = (self.ledger.clone(), demand.clone());
        let mut held = blocking(move || ledger.claim(&wanted, &who)).await?;
        let (mut told, mut since) = (String::new(), Instant::now());
        loop {
            let freed = self.freed.notified();
            let (ledger, capacity) = (self.ledger.clone(), self.capacity);
            let standing;
            (held, standing) = blocking(move || {
                let standing = ledger.try_to_take(&mut held, &capacity)?;
                Ok((held, standing))
            })
            .await?;
            let what = match standing {
                Standing::Taken => return Ok(Ok(held)),
                Standing::Waits(what) => what,
            };
            if what != told {
                waits(what.clone());
                (told, since) = (what, Instant::now());
            } else if since.elapsed() > PATIENCE {
                return Ok(Err(Refused::Late { after: PATIENCE, waits: told }));
            }
            tokio::select! {
                () = stop.requested() => return Ok(Err(Refused::Stopped)),
                () = tokio::time::sleep(AGAIN) => {}
                () = freed => {}
            }
        }
    }
}

/// Files may keep one waiting.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LedgerError> + Send + 'static,
) -> Result<T, LedgerError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(LedgerError::cut_short(error)),
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        if self.held.take().is_some() {
            self.freed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, path::Path};

    use super::*;
    use crate::suite::stop;

    fn budget(folder: &Path) -> Budget {
        let config = BudgetConfig {
            memory: Share::Of(1000),
            cpus: Share::Unlimited,
            seats: Share::Of(1),
            folder: Some(folder.to_owned()),
        };
        Budget::of(&config, "run")
    }

    fn memory(memory_mib: u64) -> Demand {
        Demand { memory_mib, ..Demand::default() }
    }

    async fn take(
        budget: &Budget,
        suite: &str,
        demand: &Demand,
        stop: &Stop,
    ) -> (Result<Token, Refused>, Vec<String>) {
        let said = RefCell::new(Vec::new());
        let say = |text| said.borrow_mut().push(text);
        let token = budget.take(suite, demand, stop, say, say).await;
        (token, said.into_inner())
    }

    #[tokio::test]
    async fn who_waits_says_so_and_goes_on_when_it_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let (_stopper, stop) = stop::pair();
        let budget = budget(&dir.path().join("b"));
        let (first, said) = take(&budget, "first", &memory(600), &stop).await;
        assert_eq!(said, [""; 0]);
        let first = first.unwrap();
        let second = memory(500);
        let waiting = take(&budget, "second", &second, &stop);
        let free = async {
            tokio::time::sleep(3 * AGAIN).await;
            drop(first);
        };
        let ((second, said), ()) = tokio::join!(waiting, free);
        assert!(second.is_ok());
        let [said] = said.as_slice() else { panic!("told once: {said:?}") };
        assert!(said.contains("`first`"), "{said}");
    }

    #[tokio::test]
    async fn what_can_never_be_had_is_refused_and_stopping_ends_the_wait() {
        let dir = tempfile::tempdir().unwrap();
        let (stopper, stop) = stop::pair();
        let budget = budget(&dir.path().join("b"));
        let (refused, _) = take(&budget, "big", &memory(1001), &stop).await;
        assert!(matches!(refused, Err(Refused::Never(why)) if why.contains("1001 MiB")));
        let (_first, _) = take(&budget, "first", &memory(600), &stop).await;
        stopper.stop();
        let (stopped, _) = take(&budget, "second", &memory(600), &stop).await;
        assert!(matches!(stopped, Err(Refused::Stopped)));
        // Who asks for nothing does not even look.
        let (nothing, _) = take(&budget, "none", &Demand::default(), &stop).await;
        assert!(nothing.unwrap().held.is_none());
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_used_keeps_nobody_from_running() {
        let dir = tempfile::tempdir().unwrap();
        let (_stopper, stop) = stop::pair();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let budget = budget(&dir.path().join("file/b"));
        let (token, said) = take(&budget, "one", &memory(600), &stop).await;
        assert!(token.unwrap().held.is_none());
        assert!(said[0].starts_with("cannot make "), "{said:?}");
    }
}
