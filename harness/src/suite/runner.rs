//! Running one suite: the session at a portal and the environment around its steps, and what is reported of both; the steps
//! are in `session`. Does not print, and does not choose what is run.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::runtime::Handle;
use tracing::Span;

use crate::{
    artifact::Manifest,
    cvp::CvpSpec,
    env::{Began, Env, EnvError, Host, Progress, Stage, Stages, UpFailure, Vm},
    event::{Fault, MachineFacts, Outcome, RunEvent, Usage, scenario_folder, suite_folder},
    health::Sighting,
    initfile::{self, InitFileError, Loaded},
    lab,
    trace::{Recorder, Teller},
    workdir::{
        Workdir,
        paths::{DEFAULT, FOLDER},
    },
};

use super::{
    budget::Budget,
    changes::Tell,
    failure,
    leaks::Audit,
    order::{LeftOut, Planned, Selection},
    pause::Pauses,
    registry::{EnvFile, Ignore, ScenarioDef, Suite},
    session::{Session, Watched},
    stages::{self, Start},
    stop::Stop,
    task::{self, Bounds, Ended},
};

/// How long it may take until all is set back whose fault was dropped, and until all machines are asked how they are.
pub(super) const AFTERMATH: Duration = Duration::from_secs(120);

/// What the environment is called in reports.
pub(super) const ENVIRONMENT: &str = "environment";

/// Why nothing can be run.
pub(super) const NO_ENVIRONMENT: &str = "the environment did not come up";
pub(super) const STOPPED: &str = "stopped by the operator";

/// What all suites of a run share.
#[derive(Debug)]
pub(crate) struct Runner {
    /// Where steps run; its threads may be blocked by them, ours may not.
    pub(crate) work: Handle,
    /// Told everything that happens.
    pub(crate) events: Teller,
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
    /// What suites leave.
    pub(crate) audit: Audit,
    /// What suites may take of the host.
    pub(crate) budget: Budget,
    /// Writes what became of changes.
    pub(crate) tell: Tell,
    /// Whether a scenario for which something is lacking has failed.
    pub(crate) strict: bool,
    /// Which environments stay when their suites have ended.
    pub(crate) keep: Keep,
    /// From which all seeds are.
    pub(crate) seed: u64,
    /// Where suites ask that stand still at a failure; absent: none does.
    pub(crate) pauses: Option<Pauses>,
}

/// Which environments stay when their suites have ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Keep {
    /// None.
    #[default]
    Never,
    /// Those of suites in which something failed.
    Failed,
    /// All.
    Always,
    /// None, but the states of their machines when something failed.
    State,
}

impl Runner {
    /// Runs what is selected of `suite` to its end, teardown included.
    pub(crate) async fn run(&self, suite: &Suite, selection: &Selection) {
        for &index in &selection.ignored {
            self.report_ignored(suite, index);
        }
        for (&index, left_out) in &selection.left_out {
            self.report_left_out(suite, index, left_out);
        }
        if !selection.run.is_empty() {
            self.run_selected(suite, &selection.run).await;
        }
    }

    async fn run_selected(&self, suite: &Suite, planned: &[Planned]) {
        let start = Instant::now();
        let place = Some(format!("{}:{}", suite.def.file, suite.def.line));
        self.emit(RunEvent::SuiteStarted { suite: suite.name.clone(), place });
        self.audit.begin(&suite.name);
        let usage = match self.begin(suite, planned).await {
            Ok(session) => session.run(planned).await,
            Err(reason) => {
                for planned in planned {
                    self.report_not_run(suite, planned.index, &reason);
                }
                None
            }
        };
        self.audit(suite).await;
        self.emit(RunEvent::SuiteFinished {
            suite: suite.name.clone(),
            usage,
            seconds: start.elapsed().as_secs_f64(),
        });
    }

    /// The session at a portal and the environment, as far as the suite has them; otherwise says why nothing can run.
    async fn begin<'a>(&'a self, suite: &'a Suite, planned: &[Planned]) -> Result<Session<'a>, String> {
        if self.stop.is_requested() {
            return Err(STOPPED.to_owned());
        }
        let asked = suite.def.env.map(asked);
        // What is wrong with the file is told when it is to come up.
        let spec = asked.as_ref().and_then(|asked| Some(&asked.as_ref().ok()?.spec));
        let token = self.reserve(suite, spec).await?;
        // The suite's own limit is not for what others make it wait.
        let start = Instant::now();
        // One that is there first, because it tells at once when it is not; our own may begin where an earlier run was.
        let mut portal = match suite.def.cvp {
            Some(def) if self.portal.is_some() => Some(self.open(suite, def, None).await?),
            _ => None,
        };
        let mut starts = stages::starts(suite, planned);
        let (mut began, mut kept) = (None, None);
        let (env, watched) = match asked {
            None => (None, None),
            Some(asked) => match self.up(suite, asked, &starts).await {
                Ok((env, at)) => {
                    if let Some(Began { stage, documents }) = at {
                        began = Some(starts.swap_remove(stage));
                        kept = Some((documents, stages::guests(&env)));
                    }
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
        if let (None, Some(def)) = (&portal, suite.def.cvp) {
            match self.open(suite, def, kept).await {
                Ok(stay) => portal = Some(stay),
                Err(reason) => {
                    if let Some(env) = env {
                        self.leave(suite, env, true).await;
                    }
                    return Err(reason);
                }
            }
        }
        let mut session = Session::new(self, suite, env, portal, start);
        (session.watched, session.token, session.began) = (watched, Some(token), began);
        Ok(session)
    }

    /// Starts the environment, where it may in one of these states, and says in which; otherwise says why nothing can run.
    async fn up(
        &self,
        suite: &Suite,
        asked: Result<Loaded, InitFileError>,
        starts: &[Start],
    ) -> Result<(Env, Option<Began>), String> {
        let start = Instant::now();
        self.report_started(suite, ENVIRONMENT, false);
        self.keep_asked(suite);
        let (events, name) = (self.events.clone(), suite.name.clone());
        let progress = Progress::new(move |text| {
            events.send(RunEvent::SuiteProgress { suite: name.clone(), text: text.to_owned() });
        });
        let host = self.host.clone();
        // Where others find it.
        let is_found = matches!(self.keep, Keep::Failed | Keep::Always) || self.pauses.is_some();
        let workdir = is_found.then(|| scenario_folder(&self.folder, &suite.name, FOLDER));
        let known: Vec<Stage> = stages::all(suite, starts).await;
        let judge = if suite.def.cvp.is_some() { stages::judge_stay } else { Stages::NONE.judge };
        let rise = async move {
            let stages = Stages { all: &known, judge };
            // What did come up of a failed environment goes on, for its evidence.
            Ok(match asked {
                Ok(loaded) => {
                    loaded.warnings.iter().for_each(|warning| progress.warn(&warning.line()));
                    match workdir.map(|path| Workdir::create(&path)).transpose() {
                        Ok(None) => Env::up_at(&host, &loaded.spec, stages, &progress).await,
                        Ok(Some(workdir)) => {
                            Env::up_in(&host, &workdir, DEFAULT, &loaded, stages, &progress).await
                        }
                        Err(error) => Err(UpFailure::from(EnvError::from(error))),
                    }
                }
                Err(error) => Err(UpFailure::from(EnvError::from(error))),
            })
        };
        let span = self.recorder.scenario(&suite.name, ENVIRONMENT);
        let bounds = Bounds { limit: None, stop: Some(&self.stop), plain: false };
        let ended = task::run(&self.work, span, bounds, rise).await;
        let mut wreck = None;
        let (env, outcome) = match ended {
            Ended::Returned(Ok(Ok(up))) => (Ok(up), Outcome::Passed),
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
        if let Ok((env, _)) = &env {
            self.report_ready(suite, env);
        }
        if let Some(wreck) = wreck {
            self.collect(suite, &wreck, ENVIRONMENT).await;
            self.leave(suite, wreck, true).await;
        }
        env
    }

    /// Keeps what is asked for in files: whoever reads what became of it has not always the sources.
    fn keep_asked(&self, suite: &Suite) {
        let folder = scenario_folder(&self.folder, &suite.name, ENVIRONMENT);
        for file in suite.def.env.into_iter().chain(suite.def.changes) {
            let name = Path::new(file.path).file_name().unwrap_or_default();
            let kept = fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join(name), file.text));
            if let Err(error) = kept {
                tracing::debug!("{} is not kept: {error}", file.path);
            }
        }
    }

    /// Watches over the machines of an environment; trouble is reported with the step that is under way.
    async fn watch(&self, suite: &Suite, env: &Env) -> Option<Watched> {
        let under_way = Arc::new(Mutex::new(ENVIRONMENT.to_owned()));
        let (events, name, stage) = (self.events.clone(), suite.name.clone(), Arc::clone(&under_way));
        let told = move |seen: &Sighting| {
            let Sighting { machine, trouble, text, expected } = seen.clone();
            let scenario = stage.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let suite = name.clone();
            events.send(RunEvent::Trouble { suite, scenario, machine, trouble, text, expected });
        };
        let env = env.clone();
        let bounds = Bounds { limit: Some(AFTERMATH), stop: Some(&self.stop), plain: false };
        let begin = async move { Ok(env.watch(told).await) };
        match task::run(&self.work, Span::none(), bounds, begin).await {
            Ended::Returned(Ok(watch)) => Some(Watched { watch: Arc::new(watch), under_way }),
            _ => None,
        }
    }

    pub(super) async fn collect(&self, suite: &Suite, env: &Env, scenario: &str) {
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

    /// Whether what a suite had stays when it has ended.
    pub(super) fn stays(&self, failed: bool) -> bool {
        match self.keep {
            Keep::Never | Keep::State => false,
            Keep::Failed => failed,
            Keep::Always => true,
        }
    }

    /// Keeps an environment if it is to be kept, else ends it; returns what it used.
    pub(super) async fn leave(&self, suite: &Suite, env: Env, failed: bool) -> Option<Usage> {
        if !self.stays(failed) {
            return self.down(suite, env).await;
        }
        let staying = env.clone();
        let bounds = Bounds { limit: None, stop: None, plain: false };
        let stay = async move {
            let usage = staying.usage().await.ok();
            staying.finished().await;
            staying.detach()?;
            Ok(usage)
        };
        let Ended::Returned(Ok(usage)) = task::run(&self.work, Span::none(), bounds, stay).await else {
            // Its lab is gone: there is nothing to be kept, only what is to be removed.
            return self.down(suite, env).await;
        };
        self.audit.keeps(env.runtime().and_then(|runtime| lab::warden_of(&runtime)));
        self.emit(RunEvent::EnvironmentKept {
            suite: suite.name.clone(),
            folder: suite_folder(&self.folder, &suite.name).display().to_string(),
            machines: env.vms().iter().map(|vm| vm.name().clone()).collect(),
        });
        usage
    }

    /// Ends an environment and returns what it used; what could not be removed is reported.
    async fn down(&self, suite: &Suite, env: Env) -> Option<Usage> {
        let start = Instant::now();
        let span = self.recorder.scenario(&suite.name, ENVIRONMENT);
        for (what, age) in env.unhealed() {
            self.audit.unhealed(&suite.name, &what, age);
        }
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

    pub(super) fn report_left_out(&self, suite: &Suite, index: usize, left_out: &LeftOut) {
        let Some(scenario) = suite.def.scenarios.get(index) else {
            return;
        };
        let why = left_out.why.clone();
        let outcome = if self.strict && left_out.is_own {
            Outcome::Failed { fault: Fault::Environment, error: why }
        } else {
            Outcome::NotRun { reason: why }
        };
        self.report_finished(suite, scenario.step.name, outcome, Duration::ZERO);
    }

    pub(super) fn report_not_run(&self, suite: &Suite, index: usize, reason: &str) {
        let Some(scenario) = suite.def.scenarios.get(index) else {
            return;
        };
        let outcome = Outcome::NotRun { reason: reason.to_owned() };
        self.report_finished(suite, scenario.step.name, outcome, Duration::ZERO);
    }

    fn report_ready(&self, suite: &Suite, env: &Env) {
        let machine = |vm: &Vm| MachineFacts {
            name: vm.name().clone(),
            image: vm.plan().image.clone(),
            addresses: vm.all_ips(),
        };
        self.emit(RunEvent::EnvironmentReady {
            suite: suite.name.clone(),
            prefix: env.folder().display().to_string(),
            machines: env.vms().iter().map(machine).collect(),
        });
    }

    pub(super) fn report_started(&self, suite: &Suite, scenario: &str, prerequisite: bool) {
        self.report_attempt(suite, scenario, prerequisite, 1);
    }

    pub(super) fn report_attempt(&self, suite: &Suite, scenario: &str, prerequisite: bool, attempt: u32) {
        let def = suite.def;
        let steps = def.scenarios.iter().map(|scenario| &scenario.step);
        let mut steps = steps.chain(def.setup).chain(def.teardown);
        let line = steps.find(|step| step.name == scenario).map(|step| step.line);
        let place = line.map(|line| format!("{}:{line}", def.file));
        self.audit.step(&suite.name, scenario);
        let (suite, scenario) = (suite.name.clone(), scenario.to_owned());
        self.emit(RunEvent::ScenarioStarted { suite, scenario, prerequisite, attempt, place });
    }

    pub(super) fn report_finished(&self, suite: &Suite, scenario: &str, outcome: Outcome, took: Duration) {
        self.audit.step_ended(&suite.name, scenario);
        self.emit(RunEvent::ScenarioFinished {
            suite: suite.name.clone(),
            scenario: scenario.to_owned(),
            outcome,
            seconds: took.as_secs_f64(),
        });
    }

    pub(super) fn emit(&self, event: RunEvent) {
        self.events.send(event);
    }
}

/// The scenario because of which one that is not ignored itself is.
fn ignored_need(suite: &Suite, scenario: &ScenarioDef) -> Option<&'static str> {
    let mut needs = suite.def.scenarios.iter().filter(|other| scenario.needs_passed(other.step.name));
    let found =
        needs.find(|need| need.ignore != Ignore::No || (!need.always && ignored_need(suite, need).is_some()));
    found.map(|need| need.step.name)
}

/// What a suite's init file asks for.
fn asked(file: EnvFile) -> Result<Loaded, InitFileError> {
    let env = |name: &str| std::env::var(name).ok();
    initfile::load_text(Path::new(file.path), file.text, &initfile::Options::new(&env))
}
