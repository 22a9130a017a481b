//! The changes of a suite: those that were made, what became of each, and undoing them.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicUsize},
    time::Duration,
};

use super::{
    super::registry::EnvFile,
    apply::{Applying, What},
    change::Change,
};
use crate::{
    base::{exit::Exit, wait::Deadline},
    change::{Plan, Recorded, Report, RunError, Runner},
    cvp::Client,
    env::Env,
    trace::{CHANGE, layer::LOG},
};

/// How long a change that was ended may take to let go of its journal, and how often that is looked at.
const FREE: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(50);

/// Writes what became of a run beside its journal, for people and programs, and says where the page for people is.
pub(crate) type Tell = fn(&Plan, &Report, &Recorded) -> anyhow::Result<PathBuf>;

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
pub struct Changes(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    /// What all of them together are called.
    pub(super) name: String,
    pub(super) folder: PathBuf,
    pub(super) env: Option<Env>,
    pub(super) tell: Tell,
    pub(super) source: Source,
    /// What is undone at the end; and while it runs, what is to stay.
    pub(super) begun: Mutex<Vec<Begun>>,
    pub(super) count: AtomicUsize,
}

/// Where changes with names are from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Source {
    /// The suite's file of changes.
    pub(crate) file: Option<EnvFile>,
    /// The portal at which the suite has a session.
    pub(crate) portal: Option<Client>,
}

/// A change that was begun.
#[derive(Debug, Clone)]
pub(super) struct Begun {
    /// What it is called.
    pub(super) name: String,
    pub(super) runner: Runner,
    /// Where its journal is.
    pub(super) folder: PathBuf,
    /// Whether it is to stay.
    pub(super) keep: bool,
}

impl Changes {
    /// Those of a suite that has this environment; what was done is written down below `folder`, and told by `tell`.
    pub(in crate::suite) fn new(
        suite: &str,
        folder: PathBuf,
        env: Option<Env>,
        tell: Tell,
        source: Source,
    ) -> Self {
        let (name, begun, count) = (format!("suite {suite}"), Mutex::default(), AtomicUsize::new(0));
        Self(Arc::new(Inner { name, folder, env, tell, source, begun, count }))
    }

    /// Does a change, as soon as it is known [`on`](Applying::on) what.
    pub fn apply(&self, change: Change) -> Applying {
        Applying::new(self.clone(), What::Own(change))
    }

    /// Does a change of the suite's file (`changes = ".."`), or all that is in a scenario of it, on its devices; what it is
    /// `after` there counts as done. Whose name is known beforehand is better a parameter ([`NamedChange`](super::NamedChange)).
    pub fn named(&self, name: &str) -> Applying {
        Applying::new(self.clone(), What::Named(name.to_owned()))
    }

    /// How many there are to undo, or to tell.
    pub(in crate::suite) fn made(&self) -> usize {
        self.begun().len()
    }

    /// Those that were begun.
    pub(super) fn begun(&self) -> MutexGuard<'_, Vec<Begun>> {
        self.0.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Undoes everything but the first `stay` changes that is not to stay, what was done last first; tells what became of what
    /// is, where its scenario was ended while it ran.
    ///
    /// # Errors
    /// All that could not be undone.
    pub(in crate::suite) async fn undo(&self, stay: usize) -> anyhow::Result<()> {
        self.undo_within(stay, FREE).await
    }

    pub(super) async fn undo_within(&self, stay: usize, patience: Duration) -> anyhow::Result<()> {
        let mut left = Vec::new();
        loop {
            let last = {
                let mut all = self.begun();
                (all.len() > stay).then(|| all.pop()).flatten()
            };
            let Some(begun) = last else { break };
            // It was ended before it began.
            if !begun.folder.is_dir() {
                continue;
            }
            match begun.end(patience).await {
                Ok(report) => {
                    let page = page(self.0.tell, &begun, &report).await;
                    if !begun.keep && report.exit() != Exit::Done {
                        left.push(told(&report, page.as_deref()));
                    }
                }
                Err(RunError::Journal(error)) if error.is_nothing() => {}
                Err(error) => left.push(format!("{:#}", anyhow::Error::from(error))),
            }
        }
        anyhow::ensure!(left.is_empty(), "changes could not be undone: {}", left.join("; "));
        Ok(())
    }
}

impl Begun {
    /// Undoes it, unless it is to stay. If its scenario was ended while it ran, its last words may still be written down.
    async fn end(&self, patience: Duration) -> Result<Report, RunError> {
        let deadline = Deadline::within(patience);
        loop {
            let ended = match self.keep {
                true => self.runner.look(&self.folder).await,
                false => self.runner.rollback(&self.folder).await,
            };
            match ended {
                Err(RunError::Journal(error)) if error.is_taken() && !deadline.passed() => {
                    tokio::time::sleep(AGAIN).await;
                }
                ended => return ended,
            }
        }
    }
}

/// Has it written down what became of a run, and says where the page is. That it cannot be hides nothing of what became of it.
pub(super) async fn page(tell: Tell, begun: &Begun, report: &Report) -> Option<PathBuf> {
    let (plan, run, all) = (Arc::clone(&begun.runner.plan), begun.folder.clone(), report.clone());
    let written = tokio::task::spawn_blocking(move || tell(&plan, &all, &Recorded::read(&run)?)).await;
    let name = begun.name.as_str();
    // Of several, what became of all of them.
    let step = report.steps.iter().find(|step| step.name == name);
    let state = step.map_or(report.state, |step| step.state);
    match written.map_err(anyhow::Error::from).flatten() {
        Ok(page) => {
            let at = page.display();
            tracing::info!(
                target: CHANGE,
                change = name,
                state = %state,
                report = %at,
                "change {name}: {state}, all of it is in {at}"
            );
            Some(page)
        }
        Err(error) => {
            tracing::warn!(target: LOG, "change {name}: its report could not be written: {error:#}");
            None
        }
    }
}

/// What went wrong on which device, and where all of it is told.
pub(super) fn told(report: &Report, page: Option<&Path>) -> String {
    let devices = report.steps.iter().flat_map(|step| &step.devices).filter(|device| !device.why.is_empty());
    let lines: Vec<String> = devices
        .map(|device| format!("{} ({}): {}", device.device, device.result, device.why.join("; ")))
        .collect();
    let what = if lines.is_empty() { report.summary() } else { lines.join("; ") };
    match page {
        Some(page) => format!("{what}; all of it is in {}", page.display()),
        None => what,
    }
}
