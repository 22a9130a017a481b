//! A run under way: writes down what is about to happen, does it, writes down what came of it, and asks again, until nothing is
//! left. Decides nothing itself.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::task::{Id, JoinError, JoinSet};

use super::{
    desk::{Desk, stopped},
    driver::Session,
    exec::Runner,
    gate::{About, Asked, Gate},
    journal::{Journal, JournalError},
    model::Phase,
    operator::Alert,
    run::{Done, Job, close},
    state::State,
    state_machine::{Act, Entry, Failure, Key, Kind, Machine, Outcome, Place, Record, Way},
};

/// A run under way.
pub(super) struct Drive<'r, 'p> {
    pub(super) runner: &'r Runner,
    pub(super) machine: Machine<'p>,
    pub(super) journal: &'r Journal,
    pub(super) desk: Arc<Desk>,
    pub(super) under_way: JoinSet<Done>,
    /// What the tasks are about.
    pub(super) about: HashMap<Id, (Key, Option<Place>, Phase)>,
    pub(super) sessions: HashMap<Place, Box<dyn Session>>,
    /// Rows that are at their beginning, and until when they wait.
    pub(super) waiting: HashMap<Place, u64>,
    /// Those who ask the operator before something begins.
    pub(super) asking: JoinSet<(Job, Option<Done>)>,
    /// What they ask, by what is to begin.
    pub(super) questions: HashMap<About, Asked>,
    /// What is tried again, as it was told last.
    pub(super) retries: BTreeMap<String, State>,
    /// Those that are being ended.
    pub(super) closing: JoinSet<()>,
    /// Those of verified scenarios.
    pub(super) loose: Vec<(Key, Box<dyn Session>)>,
    /// What has happened and is not on disk yet.
    pub(super) fresh: Vec<Entry>,
    /// What was said and is not on disk yet.
    pub(super) said: String,
    /// What nobody was told yet.
    pub(super) alerts: Vec<Alert>,
    /// Whether the operator's wish to stop was heard.
    pub(super) heard: bool,
    /// Those who are told; nothing waits for them before the end of the run.
    pub(super) telling: JoinSet<()>,
}

impl Drive<'_, '_> {
    pub(super) async fn go_on(&mut self) -> Result<(), JournalError> {
        loop {
            self.tidy(false);
            let now = self.runner.clock.now();
            let acts = self.machine.next(now);
            if self.withdraw(&acts) {
                continue;
            }
            let mut wait = None;
            // Whether what is to be done is not what it was.
            let mut again = false;
            let mut jobs = Vec::new();
            for act in acts {
                match act {
                    Act::Wait { until } => wait = Some(wait.map_or(until, |wait: u64| wait.min(until))),
                    Act::Alert { key, why } => {
                        let why = self.desk.secrets.hide(&why);
                        self.note(Record::Dirty { key: key.clone(), why: why.clone() });
                        self.alerts.push(Alert { key, why });
                        again = true;
                    }
                    Act::Begin { key, place, phase, way } => match self.gate(&key, place, phase, way, now) {
                        Gate::Until(until) => {
                            wait = Some(wait.map_or(until, |wait: u64| wait.min(until)));
                        }
                        Gate::Asking => {}
                        Gate::Refused(done) => {
                            self.ended(key, place, phase, *done);
                            again = true;
                            break;
                        }
                        Gate::Open(mut job) => {
                            self.note(Record::Begin { key: key.clone(), phase, way });
                            job.deadline = self.deadline(&key, phase);
                            job.heeds_stop = !self.heard;
                            job.session = place.and_then(|place| self.sessions.remove(&place));
                            jobs.push(*job);
                        }
                    },
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
            self.tell();
            self.tell_retries();
            if again {
                continue;
            }
            if self.under_way.is_empty() && self.asking.is_empty() && wait.is_none() {
                return Ok(());
            }
            self.news(wait).await;
            // What ended meanwhile goes to disk with it, and with what follows.
            while let Some(done) = self.under_way.try_join_next_with_id() {
                self.over(done);
            }
        }
    }

    /// Tells people what only they can help with.
    pub(super) fn tell(&mut self) {
        for alert in std::mem::take(&mut self.alerts) {
            let alerts = Arc::clone(&self.runner.alerts);
            self.telling.spawn(async move { alerts.alert(&alert).await });
        }
    }

    /// Tells what is tried again, and when that has changed.
    fn tell_retries(&mut self) {
        let retries: BTreeMap<String, State> =
            self.machine.retries().map(|(name, state)| (name.to_owned(), state)).collect();
        for (name, state) in &retries {
            if self.retries.get(name) != Some(state) {
                self.runner.progress.retries(name, *state);
            }
        }
        self.retries = retries;
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
        let stop = runner.stop.clone().filter(|_| !self.heard);
        tokio::select! {
            biased;
            () = stopped(stop) => self.stop(),
            Some(done) = self.under_way.join_next_with_id() => self.over(done),
            Some(told) = self.asking.join_next_with_id() => self.answered(told),
            () = time => {}
        }
    }

    /// Takes in what came of a task.
    pub(super) fn over(&mut self, done: Result<(Id, Done), JoinError>) {
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
        if let Some((key, place, phase)) = self.about.remove(&id) {
            self.ended(key, place, phase, done);
        }
    }

    fn ended(&mut self, key: Key, place: Option<Place>, phase: Phase, done: Done) {
        let denied = done.is_denied();
        let Done { outcome, session, said, took } = done;
        self.said.push_str(&said);
        match (place, session) {
            (Some(place), Some(session)) => drop(self.sessions.insert(place, session)),
            (None, Some(session)) => self.loose.push((key.clone(), session)),
            (_, None) => {}
        }
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
        if denied && !self.machine.is_stopped() {
            self.note(Record::Stopped { why });
        }
    }

    /// A failure of ours with the way in which the change is undone nevertheless.
    fn chosen(&self, place: Place, outcome: Outcome) -> Outcome {
        match (outcome, self.machine.unit(place)) {
            (Outcome::Failed(failure), Some((planned, unit))) if failure.way == Way::None => {
                let results = super::cond::Results::default();
                let way = match super::state_machine::way(&planned.step, &results, &unit.vars) {
                    Way::Alert(text) => Way::Alert(self.desk.secrets.hide(&text)),
                    other => other,
                };
                Outcome::Failed(Failure { way, ..failure })
            }
            (outcome, _) => outcome,
        }
    }

    /// Ends the sessions that nothing more is said in, or all; nothing waits for that before the end of the run.
    pub(super) fn tidy(&mut self, all: bool) {
        for (key, session) in std::mem::take(&mut self.loose) {
            self.close(session, key);
        }
        let places = self.sessions.keys().copied();
        let done: Vec<Place> = places.filter(|place| all || !self.machine.needs_session(*place)).collect();
        for place in done {
            let key = self.key(place);
            if let Some(session) = self.sessions.remove(&place) {
                self.close(session, key);
            }
        }
        while self.closing.try_join_next().is_some() {}
    }

    fn close(&mut self, session: Box<dyn Session>, key: Key) {
        let device = if key.device.is_empty() { &key.step } else { &key.device };
        let announced = self.desk.closes(device);
        self.closing.spawn(async move {
            close(session, key).await;
            drop(announced);
        });
    }

    fn key(&self, place: Place) -> Key {
        let unit = self.machine.unit(place);
        let step = unit.map(|(planned, _)| planned.step.name.to_string()).unwrap_or_default();
        let device = unit.map(|(_, unit)| unit.device.clone()).unwrap_or_default();
        Key { step, device, row: unit.and_then(|(_, unit)| unit.row), attempt: 0 }
    }

    pub(super) fn note(&mut self, record: Record) {
        let entry = Entry { at: self.runner.clock.now(), record };
        self.machine.fold(&entry);
        self.fresh.push(entry);
    }

    /// Brings to disk what has happened, then tells it.
    pub(super) async fn flush(&mut self) -> Result<(), JournalError> {
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
