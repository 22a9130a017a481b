//! The steps of one suite, once its environment is there: set-up, scenarios in order and as often as they may be tried,
//! teardown; which of them can still be run, and what became of each. Emits events, does not print.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::{Timestamp, tz::Offset};
use tracing::Span;

use crate::{
    base::wait::Deadline,
    cvp::Stay,
    env::{Env, Stage, Watch},
    event::{Fault, Outcome, RunEvent, STATES, Usage, scenario_folder, suite_folder},
};

use super::{
    attempt::Went,
    budget::Token,
    changes::{Changes, Source},
    check, failure,
    held::Holdings,
    needs::without_kvm,
    order::{LeftOut, Planned},
    points::{self, Entry, Points, UNBOUNDED},
    registry::{Requirement, ScenarioDef, StepDef, Suite},
    runner::{Keep, Runner, STOPPED},
    stages::{self, SETUP, Start},
    task::{self, Bounds, Ended},
};

/// Limit of a step that names none.
pub(super) const STEP_LIMIT: Duration = Duration::from_secs(300);

/// What is reported beside the scenarios and set-up.
const TEARDOWN: &str = "teardown";
/// What undoing changes is called in reports, and where their journals are.
const CHANGES: &str = "changes";

/// Machines that are watched over.
pub(super) struct Watched {
    pub(super) watch: Arc<Watch>,
    /// The step with which trouble is reported.
    pub(super) under_way: Arc<Mutex<String>>,
}

/// A suite whose environment is there.
pub(super) struct Session<'a> {
    pub(super) runner: &'a Runner,
    pub(super) suite: &'a Suite,
    pub(super) env: Option<Env>,
    pub(super) watched: Option<Watched>,
    pub(super) portal: Option<Stay>,
    /// What it has of the host, until its machines are gone.
    pub(super) token: Option<Token>,
    pub(super) changes: Changes,
    /// Values of parameters that live as long as the suite.
    pub(super) values: Holdings,
    /// Why it cannot go back to an earlier state, if it cannot.
    pub(super) obstacles: Vec<String>,
    /// The state of an earlier run in which it began.
    pub(super) began: Option<Start>,
    /// By how much limits are stretched.
    pub(super) factor: f64,
    /// When the suite's own limit is reached, but for the time in which it stood still.
    deadline: Option<Deadline>,
    /// How long it stood still.
    stood: Mutex<Duration>,
}

/// What became of the suite so far.
#[derive(Default)]
pub(super) struct SoFar {
    /// Why nothing more can be run, once that is so.
    halted: Option<String>,
    /// Why nothing more is to be run but what always is.
    stopped: Option<String>,
    /// Scenarios that did not pass, and what they did instead.
    unmet: HashMap<&'static str, &'static str>,
    /// What failed first, for the teardown.
    failure: Option<Outcome>,
    /// States that are gone back to.
    pub(super) points: Points,
    /// What was done until now, step by step, while all of it passed.
    pub(super) path: Option<Vec<&'static str>>,
}

impl SoFar {
    /// Takes note of how a step ended.
    fn note(&mut self, outcome: &Outcome) {
        if matches!(outcome, Outcome::Failed { .. }) {
            self.failure.get_or_insert_with(|| outcome.clone());
        }
    }

    /// Why a scenario is not to be run.
    fn reason(&self, scenario: &ScenarioDef) -> Option<String> {
        if self.halted.is_some() || scenario.always {
            return self.halted.clone();
        }
        let mut needed = scenario.after.iter().chain(&scenario.from);
        let unmet = needed.find_map(|need| Some((need, self.unmet.get(need)?)));
        let unmet = unmet.map(|(need, what)| format!("needs `{need}`, which {what}"));
        unmet.or_else(|| self.stopped.clone())
    }
}

impl<'a> Session<'a> {
    pub(super) fn new(
        runner: &'a Runner,
        suite: &'a Suite,
        env: Option<Env>,
        portal: Option<Stay>,
        start: Instant,
    ) -> Self {
        let factor = env.as_ref().map_or(1.0, Env::time_factor);
        let limit = suite.def.timeout.map(|limit| limit.mul_f64(factor));
        let deadline = limit.map(|limit| Deadline::within(limit.saturating_sub(start.elapsed())));
        let folder = scenario_folder(&runner.folder, &suite.name, CHANGES);
        let client = portal.as_ref().map(|stay| stay.cvp().client().clone());
        let source = Source { file: suite.def.changes, portal: client };
        let changes = Changes::new(&suite.name, folder, env.clone(), runner.tell, source);
        let values = Holdings::default();
        let names = env.as_ref().map(Env::names);
        let has_real_portal = suite.def.cvp.is_some() && runner.portal.is_some();
        let obstacles = check::obstacles(suite, has_real_portal, names.as_ref());
        Self {
            runner,
            suite,
            env,
            watched: None,
            portal,
            token: None,
            changes,
            values,
            obstacles,
            began: None,
            factor,
            deadline,
            stood: Mutex::default(),
        }
    }

    /// Set-up, scenarios, teardown, session at the portal closed, environment down; returns what the environment used.
    pub(super) async fn run(mut self, planned: &[Planned]) -> Option<Usage> {
        let mut so_far = SoFar { path: Some(Vec::new()), ..SoFar::default() };
        let began = self.began.take();
        for step in self.suite.def.setup.iter().filter(|_| began.is_none()) {
            let outcome = self.step(SETUP, step, None).await;
            so_far.note(&outcome);
            self.pause(SETUP, &outcome).await;
            self.passed_through(SETUP, step, &outcome, &mut so_far).await;
            so_far.halted = match outcome {
                Outcome::Passed => None,
                Outcome::NotRun { reason } => Some(reason),
                _ => Some(format!("`{SETUP}` failed")),
            };
        }
        let done = match began {
            Some(start) => self.begin_at(start, planned, &mut so_far).await,
            None => 0,
        };
        for (place, one) in planned.iter().enumerate().skip(done) {
            let is_wanted = points::is_wanted(self.suite, planned, place);
            self.next(*one, is_wanted, &mut so_far).await;
        }
        self.forget_all(std::mem::take(&mut so_far.points)).await;
        let outcome = so_far.failure.unwrap_or(Outcome::Passed);
        for step in self.suite.def.teardown {
            self.step(TEARDOWN, step, Some(outcome.clone())).await;
        }
        self.end_values(&outcome).await;
        self.undo(0).await;
        let is_failed = outcome != Outcome::Passed;
        if let (Some(portal), Some(env)) = (&self.portal, &self.env) {
            portal.let_go(&stages::made(env));
        }
        match self.portal.take() {
            Some(portal) if self.runner.stays(is_failed) => self.runner.keep_portal(self.suite, portal).await,
            Some(portal) => self.runner.close(self.suite, portal).await,
            None => {}
        }
        let env = self.env?;
        // Kept of every suite: little, and what people ask for first.
        env.keep_consoles(&scenario_folder(&self.runner.folder, &self.suite.name, "consoles")).await;
        let usage = self.runner.leave(self.suite, env, is_failed).await;
        // Only now: before, it would tidy up in machines that go anyway.
        drop(self.watched);
        drop(self.token);
        usage
    }

    /// Runs a scenario if nothing keeps it from that.
    async fn next(&self, planned: Planned, is_wanted: bool, so_far: &mut SoFar) {
        let Self { runner, suite, .. } = *self;
        let Some(scenario) = suite.def.scenarios.get(planned.index) else { return };
        let name = scenario.step.name;
        if let Some(reason) = self.obstacle().or_else(|| so_far.reason(scenario)) {
            runner.report_not_run(suite, planned.index, &reason);
            so_far.unmet.insert(name, "was not run");
            return;
        }
        if let Some(why) = self.lacks(scenario) {
            runner.report_left_out(suite, planned.index, &LeftOut { why, is_own: true });
            so_far.unmet.insert(name, "was not run");
            return;
        }
        if let Some(from) = scenario.from {
            so_far.path = so_far.points.path_to(from);
        }
        let Went { outcome, stuck, lost, is_muddled, .. } =
            self.scenario(scenario, planned.prerequisite, &mut so_far.points).await;
        so_far.note(&outcome);
        if is_muddled {
            so_far.path = None;
        }
        self.passed_through(name, &scenario.step, &outcome, so_far).await;
        if outcome == Outcome::Passed {
            let path = so_far.path.clone();
            self.left(&mut so_far.points, name, path, is_wanted).await;
        }
        self.pause(name, &outcome).await;
        let what = match outcome {
            Outcome::Passed => None,
            Outcome::ExpectedFailure { .. } => Some("failed, as is expected"),
            Outcome::NotRun { .. } | Outcome::Ignored { .. } => Some("was not run"),
            Outcome::Failed { .. } => {
                if suite.def.stop_on_failure {
                    let stopped = || format!("`{name}` failed, and the suite stops at a failure");
                    so_far.stopped.get_or_insert_with(stopped);
                }
                Some("failed")
            }
        };
        so_far.unmet.extend(what.map(|what| (name, what)));
        if lost {
            so_far.halted = Some(format!("the suite could not go back to an earlier state before `{name}`"));
        }
        if stuck {
            so_far.halted = Some(format!("`{name}` still runs: it could not be stopped"));
        }
    }

    /// Stands still at a failure, if it is to, until somebody says to go on: no limit runs on meanwhile, and nothing that is done
    /// to machines is blamed on anybody.
    async fn pause(&self, name: &str, outcome: &Outcome) {
        let Self { runner, suite, .. } = *self;
        let (Outcome::Failed { .. }, Some(pauses)) = (outcome, &runner.pauses) else { return };
        if runner.stop.is_requested() {
            return;
        }
        let (began, told) = (Instant::now(), AtomicBool::new(false));
        let work = async {
            let Some(turn) = pauses.turn().await else { return };
            told.store(true, Ordering::Relaxed);
            let portal = self.portal.as_ref().and_then(|portal| runner.tell_way(suite, portal));
            runner.emit(RunEvent::Paused {
                suite: suite.name.clone(),
                scenario: name.to_owned(),
                folder: self
                    .env
                    .as_ref()
                    .map(|_| suite_folder(&runner.folder, &suite.name).display().to_string()),
                machines: self.env.iter().flat_map(Env::vms).map(|vm| vm.name().clone()).collect(),
                portal: portal.map(|file| file.display().to_string()),
            });
            turn.over().await;
        };
        tokio::select! {
            () = work => {}
            () = runner.stop.requested() => {}
        }
        runner.forget_way(suite);
        if told.load(Ordering::Relaxed) {
            let seconds = began.elapsed().as_secs_f64();
            runner.emit(RunEvent::Resumed { suite: suite.name.clone(), seconds });
        }
        self.aftermath().await;
        *self.stood.lock().unwrap_or_else(PoisonError::into_inner) += began.elapsed();
    }

    /// When the suite's own limit is reached.
    pub(super) fn deadline(&self) -> Option<Deadline> {
        let stood = *self.stood.lock().unwrap_or_else(PoisonError::into_inner);
        self.deadline.map(|deadline| deadline.later(stood))
    }

    /// What a scenario lacks that is known only when the machines are up.
    fn lacks(&self, scenario: &ScenarioDef) -> Option<String> {
        let machines = self.env.as_ref().map(|env| env.plan().machines.as_slice()).unwrap_or_default();
        let is_slow = machines.iter().filter_map(|machine| machine.domain.as_ref()).any(|domain| !domain.kvm);
        let wants_kvm = scenario.needs.contains(&Requirement::Kvm);
        (is_slow && wants_kvm).then(|| without_kvm("the machines run without it"))
    }

    /// Ends the values that live as long as the suite; what kept one from it is reported.
    async fn end_values(&self, outcome: &Outcome) {
        self.end_these(&self.values, outcome).await;
    }

    /// Ends values; what kept one from it is reported.
    pub(super) async fn end_these(&self, values: &Holdings, outcome: &Outcome) {
        if values.is_empty() {
            return;
        }
        let (start, Self { runner, suite, .. }) = (Instant::now(), self);
        let span = runner.recorder.scenario(&suite.name, TEARDOWN);
        let errors = self.end(values, outcome, &span).await;
        let outcome = self.blamed(failure::torn_down(Outcome::Passed, &errors)).await;
        if outcome != Outcome::Passed {
            runner.report_finished(suite, TEARDOWN, outcome, start.elapsed());
        }
    }

    /// Ends values, what was made last first: whatever kept them from it, and whose fault that is.
    pub(super) async fn end(
        &self,
        values: &Holdings,
        outcome: &Outcome,
        span: &Span,
    ) -> Vec<(Fault, String)> {
        let limit = STEP_LIMIT.mul_f64(self.factor);
        let bounds = Bounds { limit: Some(limit), stop: None, plain: false };
        let mut errors = Vec::new();
        while let Some(value) = values.pop() {
            let name = value.name();
            let ended = task::run(&self.runner.work, span.clone(), bounds, value.end(outcome.clone())).await;
            let outcome = failure::outcome(&ended, &seconds(limit), self.suite.def.file);
            if let Outcome::Failed { fault, error } = outcome {
                errors.push((fault, format!("the teardown of `{name}` failed: {error}")));
            }
        }
        errors
    }

    /// Undoes the changes that scenarios made, but for the first `stay`; those that stay against their will are reported.
    pub(super) async fn undo(&self, stay: usize) {
        if self.changes.made() <= stay {
            return;
        }
        let (start, changes, Self { runner, suite, .. }) = (Instant::now(), self.changes.clone(), self);
        let span = runner.recorder.scenario(&suite.name, CHANGES);
        let bounds = Bounds { limit: None, stop: None, plain: false };
        let work = async move { changes.undo(stay).await };
        let (fault, error) = match task::run(&runner.work, span, bounds, work).await {
            Ended::Returned(Err(error)) => (Fault::Environment, failure::describe(&error, suite.def.file)),
            Ended::Panicked(error) => (Fault::Harness, error),
            Ended::Returned(Ok(())) | Ended::TimedOut { .. } | Ended::Stopped { .. } => return,
        };
        runner.report_finished(suite, CHANGES, Outcome::Failed { fault, error }, start.elapsed());
    }

    /// What, outside of the scenarios, keeps the next one from being run.
    fn obstacle(&self) -> Option<String> {
        if self.runner.stop.is_requested() {
            return Some(STOPPED.to_owned());
        }
        let broken = self.env.as_ref().and_then(Env::failure);
        let lost = || self.watched.as_ref().and_then(|watched| watched.watch.failure());
        if let Some(error) = broken.or_else(lost) {
            return Some(format!("the environment broke: {error}"));
        }
        let over = self.deadline().is_some_and(Deadline::passed);
        over.then(|| format!("{} are over", self.whole_limit()))
    }

    pub(super) fn whole_limit(&self) -> String {
        let limit = self.suite.def.timeout.unwrap_or_default();
        format!("the suite's {}", seconds(limit.mul_f64(self.factor)))
    }

    /// Runs a scenario, again as often as it may be, and reports how it ended.
    async fn scenario(
        &self,
        scenario: &'static ScenarioDef,
        prerequisite: bool,
        points: &mut Points,
    ) -> Went {
        let Self { runner, suite, .. } = *self;
        let name = scenario.step.name;
        // One log for all attempts.
        let span = runner.recorder.scenario(&suite.name, name);
        let mut attempt = 1;
        let mut entry = Entry::AsItIs;
        let mut went = loop {
            runner.report_attempt(suite, name, prerequisite, attempt);
            let start = Instant::now();
            let entered = match attempt {
                1 => self.enter(points, scenario).await.map(|found| entry = found),
                _ => self.enter_again(points, name, &entry).await,
            };
            if let Err(error) = entered {
                let outcome = Outcome::Failed { fault: Fault::Environment, error };
                break Went { outcome, took: start.elapsed(), stuck: false, lost: true, is_muddled: false };
            }
            points.moved_on();
            let went = self.attempt(name, &scenario.step, Some(&runner.stop), None, &span, attempt).await;
            let Outcome::Failed { fault, error } = &went.outcome else { break went };
            if attempt > scenario.retries || went.stuck || self.obstacle().is_some() {
                break went;
            }
            runner.emit(RunEvent::AttemptFailed {
                suite: suite.name.clone(),
                scenario: name.to_owned(),
                attempt,
                fault: *fault,
                error: error.clone(),
                seconds: went.took.as_secs_f64(),
            });
            self.collect(&went.outcome, &format!("{name}/attempt-{attempt}")).await;
            attempt += 1;
        };
        went.is_muddled = entry.is_muddled(attempt);
        self.leave(entry).await;
        let today = Offset::UTC.to_datetime(Timestamp::now()).date().to_string();
        went.outcome = failure::expected(went.outcome, scenario.expect_fail, &today);
        runner.report_finished(suite, name, went.outcome.clone(), went.took);
        self.collect(&went.outcome, name).await;
        went
    }

    /// Runs a step beside the scenarios and reports how it ended. The teardown, which is told how the suite did, is not
    /// stopped.
    async fn step(&self, name: &str, step: &'static StepDef, told: Option<Outcome>) -> Outcome {
        let Self { runner, suite, .. } = *self;
        runner.report_started(suite, name, false);
        let span = runner.recorder.scenario(&suite.name, name);
        let stop = told.is_none().then_some(&runner.stop);
        let Went { outcome, took, .. } = self.attempt(name, step, stop, told, &span, 1).await;
        runner.report_finished(suite, name, outcome.clone(), took);
        self.collect(&outcome, name).await;
        outcome
    }

    /// Keeps what a failure left in the machines.
    async fn collect(&self, outcome: &Outcome, name: &str) {
        if let (Outcome::Failed { .. }, Some(env)) = (outcome, &self.env) {
            self.runner.collect(self.suite, env, name).await;
            if self.runner.keep == Keep::State {
                self.keep_instant(env.clone(), name).await;
            }
        }
    }

    /// Keeps the state in which machines and portal are at a failure, for people.
    async fn keep_instant(&self, env: Env, name: &str) {
        let (runner, suite) = (self.runner, &self.suite.name);
        let stage = Stage { executable: String::new(), suite: suite.clone(), step: name.to_owned() };
        let to = scenario_folder(&runner.folder, suite, STATES);
        let work = async move { Ok(env.keep_instant(&stage, &to).await?) };
        let text = match self.done(task::run(&runner.work, Span::none(), UNBOUNDED, work).await) {
            Ok(()) => format!(
                "the state in which `{name}` failed is kept: `polder enter {} --suite {suite} --scenario {name}` goes on from there",
                runner.folder.display()
            ),
            Err(why) => format!("the state in which `{name}` failed is not kept: {why}"),
        };
        if let Some(portal) = &self.portal {
            runner.keep_portal_state(self.suite, portal);
        }
        runner.emit(RunEvent::SuiteProgress { suite: suite.clone(), text });
    }
}

pub(super) fn seconds(limit: Duration) -> String {
    format!("{} s", limit.as_secs_f64())
}
