//! Running one suite: environment, set-up, scenarios in order, teardown; every step reported as an event.
//! Does not print, and does not choose what is run.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, sync::mpsc::UnboundedSender};
use tracing::Span;

use crate::{
    artifact::Manifest,
    base::wait::Deadline,
    cvp::{CvpSpec, Stay},
    env::{Env, EnvError, Host, Progress, UpFailure, Watch},
    event::{Fault, Outcome, RunEvent, Usage, scenario_folder},
    health::{Sighting, blame},
    initfile,
    trace::Recorder,
};

use super::{
    changes::{Changes, Tell},
    context::SuiteCx,
    failure,
    order::{Planned, Selection},
    registry::{EnvFile, Ignore, ScenarioDef, StepDef, Suite},
    stop::Stop,
    task::{self, Bounds, Ended},
};

/// Limit of a step that names none.
const STEP_LIMIT: Duration = Duration::from_secs(300);

/// How long it may take until all is set back whose fault was dropped, and until all machines are asked how they are.
const AFTERMATH: Duration = Duration::from_secs(120);

/// Names of what is reported beside the scenarios.
const ENVIRONMENT: &str = "environment";
const SETUP: &str = "setup";
const TEARDOWN: &str = "teardown";
/// What undoing changes is called in reports, and where their journals are.
const CHANGES: &str = "changes";

/// What all suites of a run share.
#[derive(Debug)]
pub(crate) struct Runner {
    /// Where steps run; its threads may be blocked by them, ours may not.
    pub(crate) work: Handle,
    /// Told everything that happens.
    pub(crate) events: UnboundedSender<RunEvent>,
    /// Records what steps log.
    pub(crate) recorder: Recorder,
    /// The operator's wish.
    pub(crate) stop: Stop,
    /// The run's folder.
    pub(crate) folder: PathBuf,
    /// Where environments come up.
    pub(crate) host: Host,
    /// The portal of suites that have a session at one; each has one of its own when absent.
    pub(crate) portal: Option<CvpSpec>,
    /// Writes what became of changes.
    pub(crate) tell: Tell,
}

impl Runner {
    /// Runs what is selected of `suite` to its end, teardown included.
    pub(crate) async fn run(&self, suite: &Suite, selection: &Selection) {
        for &index in &selection.ignored {
            self.report_ignored(suite, index);
        }
        for (&index, reason) in &selection.left_out {
            self.report_left_out(suite, index, reason);
        }
        if !selection.run.is_empty() {
            self.run_selected(suite, &selection.run).await;
        }
    }

    async fn run_selected(&self, suite: &Suite, planned: &[Planned]) {
        let start = Instant::now();
        self.emit(RunEvent::SuiteStarted { suite: suite.name.clone() });
        let usage = match self.begin(suite, start).await {
            Ok(session) => session.run(planned).await,
            Err(reason) => {
                for planned in planned {
                    self.report_not_run(suite, planned.index, &reason);
                }
                None
            }
        };
        self.emit(RunEvent::SuiteFinished {
            suite: suite.name.clone(),
            usage,
            seconds: start.elapsed().as_secs_f64(),
        });
    }

    /// The session at a portal and the environment, as far as the suite has them; otherwise says why nothing can run.
    async fn begin<'a>(&'a self, suite: &'a Suite, start: Instant) -> Result<Session<'a>, String> {
        if self.stop.is_requested() {
            return Err(STOPPED.to_owned());
        }
        // First, because it tells at once when there is none.
        let portal = match suite.def.cvp {
            Some(def) => Some(self.open(suite, def).await?),
            None => None,
        };
        let (env, watched) = match suite.def.env {
            None => (None, None),
            Some(file) => match self.up(suite, file).await {
                Ok(env) => {
                    let watched = self.watch(suite, &env).await;
                    (Some(env), watched)
                }
                Err(reason) => {
                    if let Some(portal) = portal {
                        self.close(suite, portal).await;
                    }
                    return Err(reason);
                }
            },
        };
        Ok(Session { portal, watched, ..Session::new(self, suite, env, start) })
    }

    /// Starts the environment; otherwise says why nothing can run.
    async fn up(&self, suite: &Suite, file: EnvFile) -> Result<Env, String> {
        let start = Instant::now();
        self.report_started(suite, ENVIRONMENT, false);
        let (events, name) = (self.events.clone(), suite.name.clone());
        let progress = Progress::new(move |text| {
            let _ = events.send(RunEvent::SuiteProgress { suite: name.clone(), text: text.to_owned() });
        });
        let host = self.host.clone();
        let rise = async move {
            let env = |name: &str| std::env::var(name).ok();
            let loaded = initfile::load_text(Path::new(file.path), file.text, &initfile::Options::new(&env));
            // What did come up of a failed environment goes on, for its evidence.
            Ok(match loaded {
                Ok(loaded) => {
                    loaded.warnings.iter().for_each(|warning| progress.warn(&warning.line()));
                    Env::up(&host, &loaded.spec, &progress).await
                }
                Err(error) => Err(UpFailure::from(EnvError::from(error))),
            })
        };
        let span = self.recorder.scenario(&suite.name, ENVIRONMENT);
        let bounds = Bounds { limit: None, stop: Some(&self.stop), plain: false };
        let ended = task::run(&self.work, span, bounds, rise).await;
        let mut wreck = None;
        let (env, outcome) = match ended {
            Ended::Returned(Ok(Ok(env))) => (Ok(env), Outcome::Passed),
            Ended::Returned(Ok(Err(UpFailure { error, env }))) => {
                wreck = env;
                let error = failure::describe(&error.into(), suite.def.file);
                (Err(NO_ENVIRONMENT.to_owned()), Outcome::Failed { fault: Fault::Environment, error })
            }
            Ended::Returned(Err(error)) => {
                let error = failure::describe(&error, suite.def.file);
                (Err(NO_ENVIRONMENT.to_owned()), Outcome::Failed { fault: Fault::Environment, error })
            }
            Ended::Panicked(error) => {
                (Err(NO_ENVIRONMENT.to_owned()), Outcome::Failed { fault: Fault::Harness, error })
            }
            Ended::Stopped { .. } | Ended::TimedOut { .. } => {
                (Err(STOPPED.to_owned()), Outcome::NotRun { reason: STOPPED.to_owned() })
            }
        };
        self.report_finished(suite, ENVIRONMENT, outcome, start.elapsed());
        if let Some(wreck) = wreck {
            self.collect(suite, &wreck, ENVIRONMENT).await;
            self.down(suite, wreck).await;
        }
        env
    }

    /// Watches over the machines of an environment; trouble is reported with the step that is under way.
    async fn watch(&self, suite: &Suite, env: &Env) -> Option<Watched> {
        let under_way = Arc::new(Mutex::new(ENVIRONMENT.to_owned()));
        let (events, name, stage) = (self.events.clone(), suite.name.clone(), Arc::clone(&under_way));
        let told = move |seen: &Sighting| {
            let Sighting { machine, trouble, text, expected } = seen.clone();
            let scenario = stage.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let suite = name.clone();
            let _ = events.send(RunEvent::Trouble { suite, scenario, machine, trouble, text, expected });
        };
        let env = env.clone();
        let bounds = Bounds { limit: Some(AFTERMATH), stop: Some(&self.stop), plain: false };
        let begin = async move { Ok(env.watch(told).await) };
        match task::run(&self.work, Span::none(), bounds, begin).await {
            Ended::Returned(Ok(watch)) => Some(Watched { watch: Arc::new(watch), under_way }),
            _ => None,
        }
    }

    async fn collect(&self, suite: &Suite, env: &Env, scenario: &str) {
        let folder = scenario_folder(&self.folder, &suite.name, scenario);
        let (env, path) = (env.clone(), folder.clone());
        // It keeps its own limits.
        let bounds = Bounds { limit: None, stop: None, plain: false };
        let ended =
            task::run(&self.work, Span::none(), bounds, async move { Ok(env.collect(&path).await) }).await;
        let manifest = if let Ended::Returned(Ok(manifest)) = ended { manifest } else { Manifest::default() };
        self.emit(RunEvent::Collected {
            suite: suite.name.clone(),
            scenario: scenario.to_owned(),
            folder: folder.display().to_string(),
            items: manifest.had(),
            missing: manifest.missing(),
        });
    }

    /// Ends an environment and returns what it used; what could not be removed is reported.
    async fn down(&self, suite: &Suite, env: Env) -> Option<Usage> {
        let start = Instant::now();
        let span = self.recorder.scenario(&suite.name, ENVIRONMENT);
        let bounds = Bounds { limit: None, stop: None, plain: false };
        let work = async move {
            let usage = env.usage().await.ok();
            Ok((usage, env.down().await))
        };
        let (usage, failure) = match task::run(&self.work, span, bounds, work).await {
            Ended::Returned(Ok((usage, Ok(())))) => (usage, None),
            Ended::Returned(Ok((usage, Err(error)))) => {
                (usage, Some((Fault::Environment, failure::describe(&error.into(), suite.def.file))))
            }
            Ended::Panicked(error) => (None, Some((Fault::Harness, error))),
            Ended::Returned(Err(_)) | Ended::TimedOut { .. } | Ended::Stopped { .. } => (None, None),
        };
        if let Some((fault, error)) = failure {
            self.report_finished(suite, ENVIRONMENT, Outcome::Failed { fault, error }, start.elapsed());
        }
        usage
    }

    fn report_ignored(&self, suite: &Suite, index: usize) {
        let Some(scenario) = suite.def.scenarios.get(index) else {
            return;
        };
        let reason = match scenario.ignore {
            Ignore::Because(why) => Some(why.to_owned()),
            Ignore::Yes => None,
            Ignore::No => {
                ignored_need(suite, scenario).map(|need| format!("needs `{need}`, which is ignored"))
            }
        };
        self.report_finished(suite, scenario.step.name, Outcome::Ignored { reason }, Duration::ZERO);
    }

    fn report_left_out(&self, suite: &Suite, index: usize, reason: &str) {
        let Some(scenario) = suite.def.scenarios.get(index) else {
            return;
        };
        let outcome = Outcome::Ignored { reason: Some(reason.to_owned()) };
        self.report_finished(suite, scenario.step.name, outcome, Duration::ZERO);
    }

    fn report_not_run(&self, suite: &Suite, index: usize, reason: &str) {
        let Some(scenario) = suite.def.scenarios.get(index) else {
            return;
        };
        let outcome = Outcome::NotRun { reason: reason.to_owned() };
        self.report_finished(suite, scenario.step.name, outcome, Duration::ZERO);
    }

    pub(super) fn report_started(&self, suite: &Suite, scenario: &str, prerequisite: bool) {
        let (suite, scenario) = (suite.name.clone(), scenario.to_owned());
        self.emit(RunEvent::ScenarioStarted { suite, scenario, prerequisite });
    }

    pub(super) fn report_finished(&self, suite: &Suite, scenario: &str, outcome: Outcome, took: Duration) {
        self.emit(RunEvent::ScenarioFinished {
            suite: suite.name.clone(),
            scenario: scenario.to_owned(),
            outcome,
            seconds: took.as_secs_f64(),
        });
    }

    pub(super) fn emit(&self, event: RunEvent) {
        // The receiver outlives every suite; when it is gone, so is whoever could read this.
        let _ = self.events.send(event);
    }
}

/// The scenario because of which one that is not ignored itself is.
fn ignored_need(suite: &Suite, scenario: &ScenarioDef) -> Option<&'static str> {
    let mut needs = suite.def.scenarios.iter().filter(|other| scenario.after.contains(&other.step.name));
    let found = needs.find(|need| need.ignore != Ignore::No || ignored_need(suite, need).is_some());
    found.map(|need| need.step.name)
}

fn seconds(limit: Duration) -> String {
    format!("{} s", limit.as_secs_f64())
}

const NO_ENVIRONMENT: &str = "the environment did not come up";
const STOPPED: &str = "stopped by the operator";

/// Machines that are watched over.
struct Watched {
    watch: Arc<Watch>,
    /// The step with which trouble is reported.
    under_way: Arc<Mutex<String>>,
}

/// A suite whose environment is there.
struct Session<'a> {
    runner: &'a Runner,
    suite: &'a Suite,
    env: Option<Env>,
    watched: Option<Watched>,
    portal: Option<Stay>,
    changes: Changes,
    /// By how much limits are stretched.
    factor: f64,
    /// When the suite's own limit is reached.
    deadline: Option<Deadline>,
}

/// How a step went, for those after it.
struct Went {
    passed: bool,
    stuck: bool,
}

impl<'a> Session<'a> {
    fn new(runner: &'a Runner, suite: &'a Suite, env: Option<Env>, start: Instant) -> Self {
        let factor = env.as_ref().map_or(1.0, Env::time_factor);
        let limit = suite.def.timeout.map(|limit| limit.mul_f64(factor));
        let deadline = limit.map(|limit| Deadline::within(limit.saturating_sub(start.elapsed())));
        let folder = scenario_folder(&runner.folder, &suite.name, CHANGES);
        let changes = Changes::new(&suite.name, folder, env.clone(), runner.tell);
        Self { runner, suite, env, watched: None, portal: None, changes, factor, deadline }
    }

    /// Set-up, scenarios, teardown, session at the portal closed, environment down; returns what the environment used.
    async fn run(mut self, planned: &[Planned]) -> Option<Usage> {
        // Why nothing more can be run, once that is so.
        let mut halted = None;
        for step in self.suite.def.setup {
            let went = self.step(SETUP, step, false, Some(&self.runner.stop)).await;
            if !went.passed {
                halted = Some(format!("`{SETUP}` failed"));
            }
        }
        let mut unmet: HashMap<&str, &str> = HashMap::new();
        for planned in planned {
            let Some(scenario) = self.suite.def.scenarios.get(planned.index) else {
                continue;
            };
            let name = scenario.step.name;
            let needs = scenario.after.iter().find_map(|need| Some((need, unmet.get(need)?)));
            let needs = needs.map(|(need, what)| format!("needs `{need}`, which {what}"));
            if let Some(reason) = self.obstacle().or_else(|| halted.clone()).or(needs) {
                self.runner.report_not_run(self.suite, planned.index, &reason);
                unmet.insert(name, "was not run");
                continue;
            }
            let went = self.step(name, &scenario.step, planned.prerequisite, Some(&self.runner.stop)).await;
            if !went.passed {
                unmet.insert(name, "failed");
            }
            if went.stuck {
                halted = Some(format!("`{name}` still runs: it could not be stopped"));
            }
        }
        for step in self.suite.def.teardown {
            self.step(TEARDOWN, step, false, None).await;
        }
        self.undo().await;
        if let Some(portal) = self.portal.take() {
            self.runner.close(self.suite, portal).await;
        }
        let env = self.env?;
        // Kept of every suite: little, and what people ask for first.
        env.keep_consoles(&scenario_folder(&self.runner.folder, &self.suite.name, "consoles")).await;
        let usage = self.runner.down(self.suite, env).await;
        // Only now: before, it would tidy up in machines that go anyway.
        drop(self.watched);
        usage
    }

    /// Undoes the changes that scenarios made; those that stay against their will are reported.
    async fn undo(&self) {
        if self.changes.is_empty() {
            return;
        }
        let (start, changes, Self { runner, suite, .. }) = (Instant::now(), self.changes.clone(), self);
        let span = runner.recorder.scenario(&suite.name, CHANGES);
        let bounds = Bounds { limit: None, stop: None, plain: false };
        let work = async move { changes.undo().await };
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
        if let Some(error) = self.env.as_ref().and_then(Env::failure) {
            return Some(format!("the environment broke: {error}"));
        }
        let over = self.deadline.is_some_and(Deadline::passed);
        over.then(|| format!("{} are over", self.whole_limit()))
    }

    fn whole_limit(&self) -> String {
        let limit = self.suite.def.timeout.unwrap_or_default();
        format!("the suite's {}", seconds(limit.mul_f64(self.factor)))
    }

    async fn step(
        &self,
        name: &str,
        step: &'static StepDef,
        prerequisite: bool,
        stop: Option<&Stop>,
    ) -> Went {
        let Self { runner, suite, .. } = self;
        let start = Instant::now();
        runner.report_started(suite, name, prerequisite);
        if let Some(Watched { under_way, .. }) = &self.watched {
            name.clone_into(&mut under_way.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let own = step.timeout.unwrap_or(STEP_LIMIT).mul_f64(self.factor);
        // Teardown is owed its time even when the suite's is over.
        let left = self.deadline.filter(|_| stop.is_some()).map(Deadline::left);
        let (limit, words) = match left {
            Some(left) if left < own => (left, self.whole_limit()),
            _ => (own, seconds(own)),
        };
        let folder = scenario_folder(&runner.folder, &suite.name, name);
        let cx = SuiteCx {
            suite: Arc::from(suite.name.as_str()),
            step,
            env: self.env.clone(),
            cvp: self.portal.as_ref().map(|stay| stay.cvp().clone()),
            changes: self.changes.clone(),
            folder: folder.clone(),
        };
        let bounds = Bounds { limit: Some(limit), stop, plain: step.plain };
        let span = runner.recorder.scenario(&suite.name, name);
        let env = self.env.clone();
        let work = async move {
            let Some(env) = env else {
                return (step.run)(cx).await;
            };
            tokio::select! {
                result = (step.run)(cx) => result,
                error = env.broken() => Err(error.into()),
            }
        };
        let ended = task::run(&runner.work, span, bounds, work).await;
        let (unhealed, blame) = self.aftermath().await;
        let took = start.elapsed();
        let stuck = matches!(ended, Ended::TimedOut { stuck: true } | Ended::Stopped { stuck: true });
        let outcome = failure::outcome(&ended, &words, suite.def.file);
        let outcome = failure::after(outcome, unhealed, blame);
        let (passed, failed) = (outcome == Outcome::Passed, matches!(outcome, Outcome::Failed { .. }));
        runner.report_finished(suite, name, outcome, took);
        if let (true, Some(env)) = (failed, &self.env) {
            runner.collect(suite, env, name).await;
        }
        Went { passed, stuck }
    }

    /// Waits until the faults that a step dropped are healed, and asks how the machines are: what could not be set back,
    /// and what is said of the machines.
    async fn aftermath(&self) -> (Option<String>, Option<String>) {
        let Some(env) = self.env.clone().filter(|env| env.failure().is_none()) else { return (None, None) };
        let watch = self.watched.as_ref().map(|watched| Arc::clone(&watched.watch));
        let look = async move {
            let unhealed = env.healed().await;
            let seen = match watch {
                Some(watch) => watch.settle().await,
                None => Vec::new(),
            };
            Ok((unhealed, blame(&seen)))
        };
        let bounds = Bounds { limit: Some(AFTERMATH.mul_f64(self.factor)), stop: None, plain: false };
        match task::run(&self.runner.work, Span::none(), bounds, look).await {
            Ended::Returned(Ok((unhealed, blame))) => {
                let file = self.suite.def.file;
                let error = unhealed.err().map(|error| failure::describe(&error.into(), file));
                (error.map(|error| format!("a fault could not be set back: {error}")), blame)
            }
            Ended::TimedOut { .. } => {
                (Some("faults were not set back, or machines not looked at, in time".to_owned()), None)
            }
            Ended::Panicked(_) | Ended::Stopped { .. } | Ended::Returned(Err(_)) => (None, None),
        }
    }
}
