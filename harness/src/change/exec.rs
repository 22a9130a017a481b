//! Plans are run, gone on with and undone: takes the journal, replays what is in it, and has `drive` do the rest.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
};

use tokio::{sync::watch, task::JoinSet};

use super::{
    desk::Desk,
    drive::Drive,
    driver::Drivers,
    journal::{Head, Journal, JournalError, Recorded},
    operator::{
        Alerts, Answer, Authorizer, Clock, Heed, LogAlerts, NoProgress, Operator, Progress, SystemClock,
    },
    plan::Plan,
    state_machine::{Machine, Record, Report},
};

/// Runs plans.
#[derive(Debug, Clone)]
pub struct Runner {
    /// What is to be done.
    pub plan: Arc<Plan>,
    /// What carries it out, by the names that the plan has for it.
    pub drivers: Drivers,
    /// How it is done.
    pub settings: Settings,
    /// Who is asked.
    pub authorizer: Arc<dyn Authorizer>,
    /// Where alerts go.
    pub alerts: Arc<dyn Alerts>,
    /// Who is told what happens.
    pub progress: Arc<dyn Progress>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Says when the operator wants to stop.
    pub stop: Option<watch::Receiver<bool>>,
}

/// How plans are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How many members of an unordered scenario may be under way at once.
    pub jobs: usize,
    /// What the operator is asked for.
    pub heed: Heed,
}

/// A plan could not be run to its end. What failed in it is no such error, but in the report.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The journal could not be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Nothing was done, because the plan names drivers that are not there.
    #[error("there is no driver for: {}", .0.join(", "))]
    NoDriver(Vec<String>),
}

impl Default for Settings {
    fn default() -> Self {
        Self { jobs: 1, heed: Heed::default() }
    }
}

impl Runner {
    /// Runs a plan by these drivers, for an operator who is asked nothing but says yes where the changes want him asked.
    #[must_use]
    pub fn new(plan: Arc<Plan>, drivers: Drivers) -> Self {
        Self {
            plan,
            drivers,
            settings: Settings::default(),
            authorizer: Arc::new(Operator(Answer::Yes)),
            alerts: Arc::new(LogAlerts),
            progress: Arc::new(NoProgress),
            clock: Arc::new(SystemClock),
            stop: None,
        }
    }

    /// Runs all of it, with a journal of its own in `folder`.
    ///
    /// # Errors
    /// The journal cannot be written, or a driver is missing.
    pub async fn run(&self, folder: &Path, head: Head) -> Result<Report, RunError> {
        self.check()?;
        let mut machine = Machine::new(&self.plan, self.settings.jobs, &head.skipped);
        if head.backout_only {
            machine.assume_applied();
        }
        let (folder, head) = (folder.to_owned(), head.clone());
        let journal = blocking(move || Journal::create(&folder, head)).await?;
        self.drive(machine, &journal, None).await
    }

    /// Goes on with a run that was ended before its time. What was being applied then is undone and begun anew.
    ///
    /// # Errors
    /// The journal cannot be used, belongs to another plan, or a driver is missing.
    pub async fn resume(&self, folder: &Path) -> Result<Report, RunError> {
        self.again(folder, Record::Resumed).await
    }

    /// Undoes everything that a run has changed, what was done last first.
    ///
    /// # Errors
    /// The journal cannot be used, belongs to another plan, or a driver is missing.
    pub async fn rollback(&self, folder: &Path) -> Result<Report, RunError> {
        self.again(folder, Record::Undo).await
    }

    /// What has become of a run that nobody works on any more. Nothing is done.
    ///
    /// # Errors
    /// The journal cannot be used, or belongs to another plan.
    pub(crate) async fn look(&self, folder: &Path) -> Result<Report, RunError> {
        let (recorded, _journal) = self.taken(folder).await?;
        Ok(recorded.report(&self.plan, None))
    }

    async fn again(&self, folder: &Path, first: Record) -> Result<Report, RunError> {
        self.check()?;
        let (recorded, journal) = self.taken(folder).await?;
        let mut machine = Machine::new(&self.plan, self.settings.jobs, &recorded.head.skipped);
        recorded.replay(&mut machine);
        self.drive(machine, &journal, Some(first)).await
    }

    /// All that a run of this plan has written down, and its journal.
    async fn taken(&self, folder: &Path) -> Result<(Recorded, Journal), RunError> {
        let folder = folder.to_owned();
        let digest = self.plan.digest();
        let taken = blocking(move || {
            let recorded = Recorded::read(&folder)?;
            recorded.check(&digest)?;
            let journal = recorded.take()?;
            // Somebody else may have written on before we had it.
            Ok((Recorded::read(&folder)?, journal))
        });
        Ok(taken.await?)
    }

    fn check(&self) -> Result<(), RunError> {
        let names = self.plan.steps().into_iter().map(|step| step.driver.clone());
        let mut missing: Vec<String> = names.filter(|name| !self.drivers.contains_key(name)).collect();
        missing.sort();
        missing.dedup();
        if missing.is_empty() { Ok(()) } else { Err(RunError::NoDriver(missing)) }
    }

    async fn drive(
        &self,
        machine: Machine<'_>,
        journal: &Journal,
        first: Option<Record>,
    ) -> Result<Report, RunError> {
        let desk = Desk {
            authorizer: Arc::clone(&self.authorizer),
            clock: Arc::clone(&self.clock),
            heed: self.settings.heed,
            secrets: self.plan.secrets.and(self.drivers.values().flat_map(|driver| driver.secrets())),
            answered: Default::default(),
            stop: self.stop.clone(),
            run: journal.folder().file_name().unwrap_or_default().to_string_lossy().into_owned(),
            closing: Default::default(),
        };
        let mut drive = Drive {
            runner: self,
            machine,
            journal,
            desk: Arc::new(desk),
            under_way: JoinSet::new(),
            about: HashMap::new(),
            sessions: HashMap::new(),
            waiting: HashMap::new(),
            asking: JoinSet::new(),
            questions: HashMap::new(),
            retries: BTreeMap::new(),
            closing: JoinSet::new(),
            loose: Vec::new(),
            fresh: Vec::new(),
            said: String::new(),
            alerts: Vec::new(),
            heard: false,
            telling: JoinSet::new(),
        };
        first.into_iter().for_each(|record| drive.note(record));
        let ended = drive.go_on().await;
        // Whatever happened: what is under way is waited for, and no session stays open.
        while let Some(done) = drive.under_way.join_next_with_id().await {
            drive.over(done);
        }
        drive.tidy(true);
        while drive.closing.join_next().await.is_some() {}
        // Also what is in no journal, where that is what failed.
        drive.tell();
        while drive.telling.join_next().await.is_some() {}
        ended?;
        let report = drive.machine.report();
        drive.note(Record::Over { exit: report.exit() as u8 });
        drive.flush().await?;
        Ok(report)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
) -> Result<T, JournalError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
