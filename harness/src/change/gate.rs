//! Whether a phase may begin now: the operator is asked before anything says that it has begun, so that whoever is ended
//! meanwhile has begun nothing.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::task::{AbortHandle, Id, JoinError};

use super::{
    drive::Drive,
    driver::Driver,
    model::{Device, Phase},
    run::{Done, Job},
    state_machine::{Act, Key, Place, Record},
    text::Vars,
};
use crate::base::wait::Deadline;

/// How long a command may take if neither it nor its driver says so.
const COMMAND: Duration = Duration::from_secs(300);
/// How long anything may take that is not bounded otherwise.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// A phase of something.
pub(super) type About = (Key, Phase);

/// A question to the operator before something begins.
pub(super) enum Asked {
    /// There is no answer yet.
    Open(AbortHandle),
    /// It may begin, or this came of it instead.
    Answered(Box<Job>, Option<Box<Done>>),
    /// The operator wanted to stop instead of an answer. It does not begin, and can be asked again by who goes on.
    Never,
}

/// Whether something may begin now.
pub(super) enum Gate {
    Open(Box<Job>),
    Until(u64),
    /// When the operator has answered.
    Asking,
    /// This came of it instead.
    Refused(Box<Done>),
}

impl Drive<'_, '_> {
    /// Whether something may begin now; if not, what that waits for is under way.
    pub(super) fn gate(
        &mut self,
        key: &Key,
        place: Option<Place>,
        phase: Phase,
        way: usize,
        now: u64,
    ) -> Gate {
        let about = (key.clone(), phase);
        match self.questions.remove(&about) {
            Some(Asked::Answered(job, None)) => return Gate::Open(job),
            Some(Asked::Answered(_, Some(done))) => return Gate::Refused(done),
            Some(open) => {
                self.questions.insert(about, open);
                return Gate::Asking;
            }
            None => {}
        }
        if let Some(until) = place.and_then(|place| self.not_before(place, key.attempt, now)) {
            return Gate::Until(until);
        }
        let mut job = self.job(key, place, phase, way);
        if !job.is_asking() {
            return Gate::Open(Box::new(job));
        }
        let task = self.asking.spawn(async move {
            let refused = job.clear().await;
            (job, refused)
        });
        self.questions.insert(about, Asked::Open(task));
        Gate::Asking
    }

    /// Takes back the questions about what is not to begin any more. Says whether a no was among the answers: it counts all the
    /// same, so that what was to be done has to be asked for anew.
    pub(super) fn withdraw(&mut self, acts: &[Act]) -> bool {
        let begin = |act: &Act| match act {
            Act::Begin { key, phase, .. } => Some((key.clone(), *phase)),
            Act::Alert { .. } | Act::Wait { .. } => None,
        };
        if self.questions.is_empty() {
            return false;
        }
        let wanted: HashSet<About> = acts.iter().filter_map(begin).collect();
        let mut denied = None;
        self.questions.retain(|about, asked| match asked {
            Asked::Open(task) if !wanted.contains(about) => {
                task.abort();
                false
            }
            Asked::Answered(_, refused) if !wanted.contains(about) => {
                if refused.as_ref().is_some_and(|done| done.is_denied()) {
                    denied = Some(about.clone());
                }
                false
            }
            Asked::Open(_) | Asked::Answered(..) | Asked::Never => true,
        });
        denied.is_some_and(|about| self.denied(&about))
    }

    /// The operator said no to something. Says whether that is what ends the run.
    fn denied(&mut self, (key, phase): &About) -> bool {
        let is_new = !self.machine.is_stopped();
        if is_new {
            self.note(Record::Stopped { why: format!("the operator said no to {key}, {phase}") });
        }
        is_new
    }

    /// Takes in an answer.
    pub(super) fn answered(&mut self, told: Result<(Id, (Job, Option<Done>)), JoinError>) {
        match told {
            Ok((_, (job, refused))) => {
                let about = (job.key.clone(), job.phase);
                if matches!(self.questions.get(&about), Some(Asked::Open(_))) {
                    self.questions.insert(about, Asked::Answered(Box::new(job), refused.map(Box::new)));
                } else if refused.is_some_and(|done| done.is_denied()) {
                    // It was taken back while the answer came.
                    self.denied(&about);
                }
            }
            // It was taken back.
            Err(error) if error.is_cancelled() => {}
            Err(error) => {
                let is_it = |asked: &Asked| matches!(asked, Asked::Open(task) if task.id() == error.id());
                let found = self.questions.iter().find(|(_, asked)| is_it(asked));
                let Some((key, phase)) = found.map(|(about, _)| about.clone()) else { return };
                self.questions.remove(&(key.clone(), phase));
                self.note(Record::Stopped {
                    why: format!("nobody could be asked about {key}, {phase}: {error}"),
                });
                self.questions.insert((key, phase), Asked::Never);
            }
        }
    }

    /// The operator wants to stop; no answer is waited for any more.
    pub(super) fn stop(&mut self) {
        self.heard = true;
        // What the operator was asked about is left as it is, also where it was to be undone.
        let mut is_left = false;
        for ((_, phase), asked) in &mut self.questions {
            if let Asked::Open(task) = asked {
                task.abort();
                *asked = Asked::Never;
                is_left |= Phase::BACK.contains(phase);
            }
        }
        let goes_on = match self.machine.is_backing_out() && !is_left {
            true => "; what is being undone is undone to its end",
            false => "",
        };
        // A no ended it before.
        if !self.machine.is_stopped() {
            self.note(Record::Stopped { why: format!("the operator wanted to stop{goes_on}") });
        }
    }

    /// Until when a row waits that is at its beginning.
    fn not_before(&mut self, place: Place, attempt: u32, now: u64) -> Option<u64> {
        let delay = self.machine.unit(place).map(|(planned, _)| planned.delay)?;
        if delay.is_zero() || !self.machine.is_first(place, attempt) {
            return None;
        }
        let until = now.saturating_add(delay.as_millis().try_into().unwrap_or(u64::MAX));
        let until = *self.waiting.entry(place).or_insert(until);
        if now >= until {
            self.waiting.remove(&place);
        }
        (now < until).then_some(until)
    }

    fn job(&self, key: &Key, place: Option<Place>, phase: Phase, way: usize) -> Job {
        let plan = &self.runner.plan;
        let back = Phase::BACK.contains(&phase);
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
            deadline: self.deadline(key, phase),
            ask: None,
            cleared: false,
            allowed: false,
            heeds_stop: true,
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
                let first = !self.machine.is_undoing(place);
                if back && first && self.runner.settings.heed.rollbacks {
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

    /// When a phase of a change has to be done.
    pub(super) fn deadline(&self, key: &Key, phase: Phase) -> Deadline {
        let now = self.runner.clock.now();
        let due = self.machine.due(&key.step).filter(|_| !Phase::BACK.contains(&phase));
        let left = due.map_or(LONGEST, |due| Duration::from_millis(due.saturating_sub(now)));
        Deadline::within(left.min(LONGEST))
    }
}
