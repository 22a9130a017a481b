//! Carries out what the machine decides: writes down what is about to happen, does it, writes down what came of it, and asks
//! again, until nothing is left. Decides nothing itself.

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::{Id, JoinError, JoinSet},
};

use super::{
    driver::{Driver, Drivers, Session},
    journal::{Head, Journal, JournalError, Recorded},
    model::{Device, Phase},
    operator::{
        Alert, Alerts, Answer, Authorizer, Clock, Heed, LogAlerts, NoProgress, Operator, Progress,
        SystemClock,
    },
    plan::Plan,
    run::{Desk, Done, Job, close},
    state_machine::{Act, Entry, Failure, Key, Kind, Machine, Outcome, Place, Record, Report, Way},
    text::Vars,
};
use crate::base::wait::Deadline;

/// How long a command may take if neither it nor its driver says so.
const COMMAND: Duration = Duration::from_secs(300);
/// How long anything may take that is not bounded otherwise.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

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
        let first = if head.backout_only {
            machine.assume_applied();
            vec![Record::Undo]
        } else {
            Vec::new()
        };
        let (folder, head) = (folder.to_owned(), head.clone());
        let journal = blocking(move || Journal::create(&folder, head)).await?;
        self.drive(machine, &journal, first).await
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

    async fn again(&self, folder: &Path, first: Record) -> Result<Report, RunError> {
        self.check()?;
        let folder = folder.to_owned();
        let digest = self.plan.digest();
        let taken = blocking(move || {
            let recorded = Recorded::read(&folder)?;
            recorded.check(&digest)?;
            let journal = recorded.take()?;
            // Somebody else may have written on before we had it.
            Ok((Recorded::read(&folder)?, journal))
        });
        let (recorded, journal) = taken.await?;
        let mut machine = Machine::new(&self.plan, self.settings.jobs, &recorded.head.skipped);
        recorded.replay(&mut machine);
        self.drive(machine, &journal, vec![first]).await
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
        first: Vec<Record>,
    ) -> Result<Report, RunError> {
        let desk = Desk {
            authorizer: Arc::clone(&self.authorizer),
            clock: Arc::clone(&self.clock),
            heed: self.settings.heed,
            secrets: self.plan.secrets.and(self.drivers.values().flat_map(|driver| driver.secrets())),
            answered: Default::default(),
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
            closing: JoinSet::new(),
            loose: Vec::new(),
            fresh: Vec::new(),
            said: String::new(),
            alerts: Vec::new(),
        };
        first.into_iter().for_each(|record| drive.note(record));
        let ended = drive.go_on().await;
        // Whatever happened: what is under way is waited for, and no session stays open.
        while let Some(done) = drive.under_way.join_next_with_id().await {
            drive.over(done);
        }
        drive.tidy(true);
        while drive.closing.join_next().await.is_some() {}
        ended?;
        let report = drive.machine.report();
        drive.note(Record::Over { exit: report.exit() as u8 });
        drive.flush().await?;
        Ok(report)
    }
}

/// A run under way.
struct Drive<'r, 'p> {
    runner: &'r Runner,
    machine: Machine<'p>,
    journal: &'r Journal,
    desk: Arc<Desk>,
    under_way: JoinSet<Done>,
    /// What the tasks are about.
    about: HashMap<Id, (Key, Option<Place>, Phase)>,
    sessions: HashMap<Place, Box<dyn Session>>,
    /// Rows that are at their beginning, and until when they wait.
    waiting: HashMap<Place, u64>,
    /// Those that are being ended.
    closing: JoinSet<()>,
    /// Those of verified scenarios.
    loose: Vec<(Key, Box<dyn Session>)>,
    /// What has happened and is not on disk yet.
    fresh: Vec<Entry>,
    /// What was said and is not on disk yet.
    said: String,
    /// What nobody was told yet.
    alerts: Vec<Alert>,
}

impl Drive<'_, '_> {
    async fn go_on(&mut self) -> Result<(), JournalError> {
        loop {
            let now = self.runner.clock.now();
            let acts = self.machine.next(now);
            let mut wait = None;
            let mut dirty = false;
            let mut jobs = Vec::new();
            for act in acts {
                match act {
                    Act::Wait { until } => wait = Some(wait.map_or(until, |wait: u64| wait.min(until))),
                    Act::Alert { key, why } => {
                        let why = self.desk.secrets.hide(&why);
                        self.note(Record::Dirty { key: key.clone(), why: why.clone() });
                        self.alerts.push(Alert { key, why });
                        dirty = true;
                    }
                    Act::Begin { key, place, phase, way } => {
                        if let Some(until) = place.and_then(|place| self.not_before(place, now)) {
                            wait = Some(wait.map_or(until, |wait: u64| wait.min(until)));
                            continue;
                        }
                        let job = self.job(&key, place, phase, way);
                        self.note(Record::Begin { key, phase, way });
                        jobs.push(job);
                    }
                }
            }
            if let Err(error) = self.flush().await {
                let sessions = jobs.into_iter().filter_map(|job| Some((job.place?, job.session?)));
                self.sessions.extend(sessions);
                return Err(error);
            }
            for job in jobs {
                let about = (job.key.clone(), job.place, job.phase);
                let task = self.under_way.spawn(job.run());
                self.about.insert(task.id(), about);
            }
            for alert in std::mem::take(&mut self.alerts) {
                self.runner.alerts.alert(&alert).await;
            }
            if dirty {
                continue;
            }
            if self.under_way.is_empty() && wait.is_none() {
                return Ok(());
            }
            self.news(wait).await;
            // What ended meanwhile goes to disk with it, and with what follows.
            while let Some(done) = self.under_way.try_join_next_with_id() {
                self.over(done);
            }
            self.tidy(false);
        }
    }

    /// Until when a row waits that is at its beginning.
    fn not_before(&mut self, place: Place, now: u64) -> Option<u64> {
        let delay = self.machine.unit(place).map(|(planned, _)| planned.delay)?;
        if delay.is_zero() || !self.machine.is_first(place) {
            return None;
        }
        let until = now.saturating_add(delay.as_millis().try_into().unwrap_or(u64::MAX));
        let until = *self.waiting.entry(place).or_insert(until);
        if now >= until {
            self.waiting.remove(&place);
        }
        (now < until).then_some(until)
    }

    /// Waits until something ends, it is time to look again, or the operator wants to stop.
    async fn news(&mut self, wait: Option<u64>) {
        let runner = self.runner;
        let now = runner.clock.now();
        let time = async {
            match wait {
                Some(until) => runner.clock.sleep(Duration::from_millis(until.saturating_sub(now))).await,
                None => std::future::pending().await,
            }
        };
        let mut stop = runner.stop.clone().filter(|_| !self.machine.is_stopped());
        let stopped = async {
            if let Some(stop) = &mut stop
                && stop.wait_for(|stop| *stop).await.is_ok()
            {
                return;
            }
            std::future::pending().await
        };
        tokio::select! {
            biased;
            () = stopped => self.note(Record::Stopped { why: "the operator wanted to stop".to_owned() }),
            Some(done) = self.under_way.join_next_with_id() => self.over(done),
            () = time => {}
        }
    }

    /// Takes in what came of a task.
    fn over(&mut self, done: Result<(Id, Done), JoinError>) {
        let (id, done) = match done {
            Ok((id, done)) => (id, done),
            Err(error) => {
                let failure = Failure {
                    kind: Kind::Internal,
                    message: self.desk.secrets.hide(&format!("the driver broke down: {error}")),
                    sent: true,
                    way: Way::None,
                    tail: String::new(),
                };
                let outcome = Outcome::Failed(failure);
                let done = Done { outcome, session: None, said: String::new(), took: Duration::ZERO };
                (error.id(), done)
            }
        };
        let Some((key, place, phase)) = self.about.remove(&id) else { return };
        let Done { outcome, session, said, took } = done;
        self.said.push_str(&said);
        match (place, session) {
            (Some(place), Some(session)) => drop(self.sessions.insert(place, session)),
            (None, Some(session)) => self.loose.push((key.clone(), session)),
            (_, None) => {}
        }
        let denied = matches!(&outcome, Outcome::Failed(failure) if failure.kind == Kind::Denied);
        let why = format!("the operator said no to {key}, {phase}");
        let took = took.as_millis().try_into().unwrap_or(u64::MAX);
        let broken = place.filter(|_| matches!(&outcome, Outcome::Failed(f) if f.kind == Kind::Internal));
        let outcome = match broken {
            Some(place) => self.chosen(place, outcome),
            None => outcome,
        };
        if let Outcome::Failed(failure) = &outcome
            && Phase::BACK.contains(&phase)
        {
            let why = format!("it could not be undone, {phase} failed: {}", failure.message);
            self.alerts.push(Alert { key: key.clone(), why });
        }
        self.note(Record::End { key, phase, outcome, took });
        if denied {
            self.note(Record::Stopped { why });
        }
    }

    /// A failure of ours with the way in which the change is undone nevertheless.
    fn chosen(&self, place: Place, outcome: Outcome) -> Outcome {
        match (outcome, self.machine.unit(place)) {
            (Outcome::Failed(failure), Some((planned, unit))) if failure.way == Way::None => {
                let results = super::cond::Results::default();
                let way = super::state_machine::way(&planned.step, &results, &unit.vars);
                Outcome::Failed(Failure { way, ..failure })
            }
            (outcome, _) => outcome,
        }
    }

    /// Ends the sessions that nothing more is said in, or all; nothing waits for that before the end of the run.
    fn tidy(&mut self, all: bool) {
        for (key, session) in std::mem::take(&mut self.loose) {
            self.closing.spawn(close(session, key));
        }
        let places = self.sessions.keys().copied();
        let done: Vec<Place> = places.filter(|place| all || !self.machine.needs_session(*place)).collect();
        for place in done {
            let key = self.key(place);
            if let Some(session) = self.sessions.remove(&place) {
                self.closing.spawn(close(session, key));
            }
        }
        while self.closing.try_join_next().is_some() {}
    }

    fn key(&self, place: Place) -> Key {
        let unit = self.machine.unit(place);
        let step = unit.map(|(planned, _)| planned.step.name.to_string()).unwrap_or_default();
        let device = unit.map(|(_, unit)| unit.device.clone()).unwrap_or_default();
        Key { step, device, row: unit.and_then(|(_, unit)| unit.row), attempt: 0 }
    }

    fn job(&mut self, key: &Key, place: Option<Place>, phase: Phase, way: usize) -> Job {
        let plan = &self.runner.plan;
        let back = Phase::BACK.contains(&phase);
        let now = self.runner.clock.now();
        let left = self.machine.due(&key.step).filter(|_| !back);
        let left = left.map_or(LONGEST, |due| Duration::from_millis(due.saturating_sub(now)));
        let mut job = Job {
            key: key.clone(),
            place,
            phase,
            script: Default::default(),
            step: None,
            device: Device { name: key.step.as_str().into(), ..Device::default() },
            vars: Vars::new(),
            driver: None,
            command_timeout: COMMAND,
            deadline: Deadline::within(left.min(LONGEST)),
            ask: None,
            session: None,
            desk: Arc::clone(&self.desk),
        };
        let driver = match place.and_then(|place| Some((place, self.machine.unit(place)?))) {
            Some((place, (planned, unit))) => {
                job.script = planned.step.script(phase, way).cloned().unwrap_or_default();
                job.step = Some(Arc::clone(&planned.step));
                let mut devices = plan.devices.iter();
                job.device =
                    devices.find(|device| device.name.as_str() == unit.device).cloned().unwrap_or(job.device);
                job.vars = unit.vars.clone();
                job.session = self.sessions.remove(&place);
                let first = !self.machine.is_undoing(place);
                if back && first && self.settings().heed.rollbacks {
                    job.ask = Some(self.machine.why(place).unwrap_or_default());
                }
                Some(planned.driver.as_str())
            }
            None => {
                // A scenario is verified through the first driver, with its own name for a device.
                let scenario = self.machine.scenario(&key.step);
                job.script = scenario.and_then(|set| set.verify.clone()).unwrap_or_default();
                job.vars = scenario.map(|set| set.vars.clone()).unwrap_or_default();
                plan.drivers.first().map(|driver| driver.name.as_str())
            }
        };
        let asked = plan.drivers.iter().find(|asked| Some(asked.name.as_str()) == driver);
        job.command_timeout = asked.and_then(|asked| asked.command_timeout).unwrap_or(COMMAND);
        job.driver = driver.and_then(|name| self.runner.drivers.get(name)).map(Arc::<dyn Driver>::clone);
        job
    }

    fn settings(&self) -> &Settings {
        &self.runner.settings
    }

    fn note(&mut self, record: Record) {
        let entry = Entry { at: self.runner.clock.now(), record };
        self.machine.fold(&entry);
        self.fresh.push(entry);
    }

    /// Brings to disk what has happened, then tells it.
    async fn flush(&mut self) -> Result<(), JournalError> {
        let fresh = std::mem::take(&mut self.fresh);
        let said = std::mem::take(&mut self.said);
        if fresh.is_empty() && said.is_empty() {
            return Ok(());
        }
        self.journal.append(fresh.clone(), said).await?;
        for entry in &fresh {
            tracing::debug!(target: "polder", "change: {:?}", entry.record);
            self.runner.progress.happened(entry);
        }
        Ok(())
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
