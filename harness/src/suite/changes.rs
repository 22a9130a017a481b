//! Changes of machines in scenarios: done and verified, undone at once when they fail, and at the end of the suite unless they
//! are to stay.

use std::{
    collections::BTreeMap,
    future::IntoFuture,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::{
    base::{dial::BoxFuture, exit::Exit, wait::Deadline},
    change::{
        self, Driver, Drivers, Entry, Head, Outcome, Progress, Record, Report, RunError, Runner, State,
        TRANSCRIPT, Text, Vars,
        model::{
            Device, Driver as DriverDef, DriverKind, Exchange, Node, Policy, Rollback, RollbackAction,
            Scenario, Script, Step,
        },
    },
    driver::{Outside, drivers},
    env::{Env, Vm},
    trace::{CHANGE, layer::LOG},
};

/// What the driver of changes in suites is called.
const DRIVER: &str = "machines";
/// How long a change that was ended may take to let go of its journal, and how often that is looked at.
const FREE: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(50);

/// Changes of a suite's machines, a parameter of scenarios.
///
/// ```no_run
/// use polder::{Change, Changes, Result, prelude::*};
///
/// async fn jumbo(changes: &Changes, vms: &Vms) -> Result {
///     let mtu = Change::new("mtu")
///         .apply("ip link set dev eth0 mtu 9000")
///         .verify("ip link show dev eth0 | grep -q 'mtu 9000'")
///         .rollback("ip link set dev eth0 mtu 1500");
///     changes.apply(mtu).on(vms.iter()).await?;
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Changes(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    env: Option<Env>,
    /// What is undone at the end, and where its journals are.
    applied: Mutex<Vec<(Runner, PathBuf)>>,
    count: AtomicUsize,
}

/// A change: what is run on each device, in order. A command that fails makes it fail, and what was applied is undone.
#[derive(Debug, Clone)]
pub struct Change(Step);

impl Change {
    /// One with this name, that does nothing yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(Step { name: name.into(), driver: Some(DRIVER.into()), ..Step::default() })
    }

    /// A command that has to succeed before anything is done.
    #[must_use]
    pub fn precheck(mut self, command: &str) -> Self {
        add(&mut self.0.precheck, command);
        self
    }

    /// A command that does it.
    #[must_use]
    pub fn apply(mut self, command: &str) -> Self {
        add(&mut self.0.apply, command);
        self
    }

    /// A command that has to succeed afterwards.
    #[must_use]
    pub fn verify(mut self, command: &str) -> Self {
        add(&mut self.0.verify, command);
        self
    }

    /// A command that undoes it. Without any, a change that fails half done stays so, and the scenario says it.
    #[must_use]
    pub fn rollback(mut self, command: &str) -> Self {
        match self.0.rollback.first_mut().map(|rollback| &mut rollback.action) {
            Some(RollbackAction::Script(script)) => script.exchanges.push(exchange(command)),
            _ => {
                let script = Script { exchanges: vec![exchange(command)], ..Script::default() };
                self.0.rollback = vec![Rollback { when: None, action: RollbackAction::Script(script) }];
            }
        }
        self
    }

    /// What becomes of the other devices when one fails, how often it is tried, how many devices at once.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.0.policy = policy;
        self
    }
}

fn add(script: &mut Option<Script>, command: &str) {
    script.get_or_insert_default().exchanges.push(exchange(command));
}

fn exchange(command: &str) -> Exchange {
    Exchange { send: Some(Text::plain(command)), ..Exchange::default() }
}

/// What changes are done on: machines, or names of them.
pub trait Target {
    /// The name.
    fn target(&self) -> String;
}

impl Target for Vm {
    fn target(&self) -> String {
        self.name().to_string()
    }
}

impl Target for str {
    fn target(&self) -> String {
        self.to_owned()
    }
}

impl<T: Target + ?Sized> Target for &T {
    fn target(&self) -> String {
        (**self).target()
    }
}

/// A change that did not come to a good end. What it had done is undone as far as that could be.
#[derive(Debug, thiserror::Error)]
#[error("the change `{name}` failed: {what}")]
pub struct ChangeFailed {
    name: String,
    what: String,
}

/// A change that is about to be done: awaited, it is.
#[must_use = "nothing is changed before it is awaited"]
#[derive(Debug)]
pub struct Applying {
    changes: Changes,
    change: Change,
    devices: Vec<String>,
    driver: Option<Arc<dyn Driver>>,
    keep: bool,
}

impl Applying {
    /// On these devices; machines of the environment, unless a driver of one's own knows others.
    pub fn on<T: Target>(mut self, devices: impl IntoIterator<Item = T>) -> Self {
        for device in devices {
            let name = device.target();
            // Once, however often it is named.
            if !self.devices.contains(&name) {
                self.devices.push(name);
            }
        }
        self
    }

    /// By a driver of one's own, instead of commands over ssh.
    pub fn by(mut self, driver: Arc<dyn Driver>) -> Self {
        self.driver = Some(driver);
        self
    }

    /// It stays when the suite ends.
    pub fn keep(mut self) -> Self {
        self.keep = true;
        self
    }

    async fn run(self) -> anyhow::Result<Report> {
        let name = self.change.0.name.to_string();
        let device = |name: &String| Device { name: name.as_str().into(), ..Device::default() };
        let targets = self.devices.iter().map(|name| name.as_str().into()).collect();
        let step = Step { targets, ..self.change.0 };
        let changes = change::Changes {
            devices: self.devices.iter().map(device).collect(),
            drivers: vec![DriverDef { name: DRIVER.into(), kind: DriverKind::Ssh, ..DriverDef::default() }],
            scenario: Scenario { nodes: vec![Node::Step(Arc::new(step))], ..Scenario::default() },
            ..change::Changes::default()
        };
        let plan = change::plan(&changes, &Vars::new())?;
        let Inner { folder, env, applied, count } = &*self.changes.0;
        let carried: Drivers = match self.driver {
            Some(driver) => [(DRIVER.to_owned(), driver)].into(),
            None => {
                let vms = env.iter().flat_map(Env::vms);
                let machines: BTreeMap<_, _> =
                    vms.map(|vm| (vm.name().to_string(), vm.as_ref().clone())).collect();
                let strange: Vec<&str> = self
                    .devices
                    .iter()
                    .filter(|name| !machines.contains_key(*name))
                    .map(String::as_str)
                    .collect();
                anyhow::ensure!(strange.is_empty(), "no machine of the environment: {}", strange.join(", "));
                let variable = |name: &str| std::env::var(name).ok();
                drivers(&changes, &Outside { variable: &variable, machines, portal: None })?
            }
        };
        let head = Head::new(plan.digest())?;
        let mut runner = Runner::new(Arc::new(plan), carried);
        let folder = folder.join(format!("{}-{name}", count.fetch_add(1, Ordering::Relaxed) + 1));
        runner.progress = Arc::new(Logged { transcript: folder.join(TRANSCRIPT) });
        if !self.keep {
            // Before it begins, so that it is undone even when whoever waits for it is ended.
            applied.lock().unwrap_or_else(PoisonError::into_inner).push((runner.clone(), folder.clone()));
        }
        let report = runner.run(&folder, head).await?;
        if report.exit() == Exit::Done {
            Ok(report)
        } else {
            Err(ChangeFailed { name, what: told(&report) }.into())
        }
    }
}

impl IntoFuture for Applying {
    type Output = anyhow::Result<Report>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl Changes {
    /// Those of a suite that has this environment; what was done is written down below `folder`.
    pub(super) fn new(folder: PathBuf, env: Option<Env>) -> Self {
        Self(Arc::new(Inner { folder, env, applied: Mutex::default(), count: AtomicUsize::new(0) }))
    }

    /// Does a change, as soon as it is known [`on`](Applying::on) what.
    pub fn apply(&self, change: Change) -> Applying {
        Applying { changes: self.clone(), change, devices: Vec::new(), driver: None, keep: false }
    }

    /// Whether there is anything to undo.
    pub(super) fn is_empty(&self) -> bool {
        self.0.applied.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Undoes everything that is not to stay, what was done last first.
    ///
    /// # Errors
    /// All that could not be undone.
    pub(super) async fn undo(&self) -> anyhow::Result<()> {
        self.undo_within(FREE).await
    }

    async fn undo_within(&self, patience: Duration) -> anyhow::Result<()> {
        let mut left = Vec::new();
        loop {
            let last = self.0.applied.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some((runner, folder)) = last else { break };
            // It was ended before it began.
            if !folder.is_dir() {
                continue;
            }
            match undone(&runner, &folder, patience).await {
                Ok(report) if report.exit() == Exit::Done => {}
                Err(RunError::Journal(error)) if error.is_nothing() => {}
                Ok(report) => left.push(told(&report)),
                Err(error) => left.push(format!("{:#}", anyhow::Error::from(error))),
            }
        }
        anyhow::ensure!(left.is_empty(), "changes could not be undone: {}", left.join("; "));
        Ok(())
    }
}

/// Undoes a change. One whose scenario was ended while it ran may still have its last words written down.
async fn undone(runner: &Runner, folder: &Path, patience: Duration) -> Result<Report, RunError> {
    let deadline = Deadline::within(patience);
    loop {
        match runner.rollback(folder).await {
            Err(RunError::Journal(error)) if error.is_taken() && !deadline.passed() => {
                tokio::time::sleep(AGAIN).await;
            }
            ended => return ended,
        }
    }
}

/// What went wrong on which device.
fn told(report: &Report) -> String {
    let devices = report.steps.iter().flat_map(|step| &step.devices).filter(|device| !device.why.is_empty());
    let lines: Vec<String> = devices
        .map(|device| format!("{} ({}): {}", device.device, device.result, device.why.join("; ")))
        .collect();
    if lines.is_empty() { report.summary() } else { lines.join("; ") }
}

/// Phases as events of the scenario, and lines of its log.
#[derive(Debug)]
struct Logged {
    /// The file with everything that was said.
    transcript: PathBuf,
}

impl Progress for Logged {
    fn happened(&self, entry: &Entry) {
        match &entry.record {
            Record::End { key, phase, outcome, took } => {
                let error = match outcome {
                    Outcome::Failed(failure) => failure.message.as_str(),
                    Outcome::Ok { .. } | Outcome::Already => "",
                };
                let how = if error.is_empty() { "ok".to_owned() } else { format!("failed: {error}") };
                tracing::info!(
                    target: CHANGE,
                    change = key.step,
                    device = key.device,
                    phase = %phase,
                    error,
                    seconds = %Duration::from_millis(*took).as_secs_f64(),
                    transcript = %self.transcript.display(),
                    "change {key}: {phase} {how}"
                );
            }
            Record::Dirty { key, why } => tracing::info!(target: LOG, "change {key} is left: {why}"),
            _ => {}
        }
    }

    fn retries(&self, step: &str, state: State) {
        tracing::info!(target: LOG, "change {step}: {state}");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::change::{Mock, Said};

    #[tokio::test]
    async fn what_is_applied_is_undone_at_the_end_last_first_unless_it_stays() {
        let folder = tempfile::tempdir().unwrap();
        let changes = Changes::new(folder.path().join("changes"), None);
        let there = Arc::new(Mutex::new(BTreeSet::new()));
        let kept = Arc::clone(&there);
        let mock = Mock::new(move |device, sent| {
            let (verb, what) = sent.split_once(' ').unwrap();
            let thing = format!("{device} {what}");
            match verb {
                "set" => drop(kept.lock().unwrap().insert(thing)),
                "unset" => drop(kept.lock().unwrap().remove(&thing)),
                _ => return Ok(Said::exit(1, "no")),
            }
            Ok(Said::ok(""))
        });
        let driver: Arc<dyn Driver> = Arc::new(mock.clone());
        let set =
            |what: &str| Change::new(what).apply(&format!("set {what}")).rollback(&format!("unset {what}"));
        changes.apply(set("a")).on(["sw1", "sw2"]).by(driver.clone()).await.unwrap();
        changes.apply(set("b")).on(["sw1", "sw1"]).by(driver.clone()).await.unwrap();
        changes.apply(set("c")).on(["sw1"]).by(driver.clone()).keep().await.unwrap();
        // One that fails is undone at once, and says why.
        let failing = changes.apply(set("d").verify("check d")).on(["sw1"]).by(driver.clone());
        let error = failing.await.unwrap_err().to_string();
        assert_eq!(error, "the change `d` failed: sw1 (rolled_back): `check d`: exit status 1");
        let names = |things: &BTreeSet<String>| things.iter().cloned().collect::<Vec<_>>().join(", ");
        assert_eq!(names(&there.lock().unwrap()), "sw1 a, sw1 b, sw1 c, sw2 a");
        changes.undo().await.unwrap();
        assert_eq!(names(&there.lock().unwrap()), "sw1 c");
        let undone: Vec<String> =
            mock.seen().sent.iter().rev().take(3).rev().map(|(_, sent)| sent.clone()).collect();
        assert_eq!(undone, ["unset b", "unset a", "unset a"]);
        assert!(changes.is_empty());

        let stuck = Change::new("x").apply("set x").rollback("fail x");
        let stubborn = driver.clone();
        changes.apply(stuck).on(["sw1"]).by(driver).await.unwrap();
        let error = changes.undo().await.unwrap_err().to_string();
        assert!(
            error.contains("could not be undone: sw1 (rollback_failed): `fail x`: exit status 1"),
            "{error}"
        );
        // A scenario that was ended may still write; who never lets go is named.
        changes.apply(set("z")).on(["sw1"]).by(stubborn.clone()).await.unwrap();
        let run = change::run_folders(&folder.path().join("changes")).unwrap().pop().unwrap();
        let taken = change::Recorded::read(&run).unwrap().take().unwrap();
        let again = changes.0.applied.lock().unwrap().last().cloned().unwrap();
        let error = changes.undo_within(Duration::from_millis(1)).await.unwrap_err();
        assert!(format!("{error:#}").contains("another process has it"), "{error:#}");
        changes.0.applied.lock().unwrap().push(again);
        let (ended, ()) = tokio::join!(changes.undo(), async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            drop(taken);
        });
        ended.unwrap();
        assert!(!there.lock().unwrap().contains("sw1 z"));
        // One that was ended before it wrote anything has done nothing.
        changes.apply(set("w")).on(["sw1"]).by(stubborn).await.unwrap();
        let run = change::run_folders(&folder.path().join("changes")).unwrap().pop().unwrap();
        std::fs::write(run.join("journal.jsonl"), "").unwrap();
        changes.undo().await.unwrap();
        // Without an environment there are no machines.
        let error = changes.apply(set("y")).on(["web"]).await.unwrap_err().to_string();
        assert_eq!(error, "no machine of the environment: web");
    }
}
