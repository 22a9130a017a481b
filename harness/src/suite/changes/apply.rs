//! Doing a change: awaited, it is done and verified on its devices, or undone at once.

use std::{
    collections::BTreeMap,
    future::IntoFuture,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{
    all::{Begun, Changes, page, told},
    change::{Change, DRIVER},
};
use crate::{
    base::{dial::BoxFuture, exit::Exit},
    change::{
        self, Driver, Drivers, Entry, Head, Outcome, Progress, Record, Report, Runner, State, TRANSCRIPT,
        Vars,
    },
    driver::{Outside, drivers},
    env::{Env, Vm},
    trace::{CHANGE, layer::LOG},
};

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

/// A change that did not come to a good end.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// It was not begun, because it says what cannot be done.
    #[error("the change `{name}` was not begun: {}", problems.join("; "))]
    Unfit {
        /// Its name.
        name: String,
        /// All that is wrong with it.
        problems: Vec<String>,
    },
    /// It was not begun, because machines that it is to be done on are not there.
    #[error("no machine of the environment: {}", .0.join(", "))]
    NoMachine(Vec<String>),
    /// It failed. What it had done is undone as far as that could be.
    #[error("the change `{name}` failed: {what}")]
    Failed {
        /// Its name.
        name: String,
        /// What went wrong on which device, and where all of it is told.
        what: String,
    },
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
    pub(super) fn new(changes: Changes, change: Change) -> Self {
        Self { changes, change, devices: Vec::new(), driver: None, keep: false }
    }

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
        let name = self.change.name().to_owned();
        let all = &*self.changes.0;
        let changes = self.change.on(&all.name, &self.devices);
        let changes = changes.map_err(|problems| ChangeError::Unfit { name: name.clone(), problems })?;
        let plan = change::plan(&changes, &Vars::new())?;
        // Nobody would see a warning.
        plan.strict(&[])?;
        let carried = match self.driver {
            Some(driver) => [(DRIVER.to_owned(), driver)].into(),
            None => over_ssh(&changes, all.env.as_ref(), &self.devices)?,
        };
        let head = Head::new(plan.digest())?;
        let mut runner = Runner::new(Arc::new(plan), carried);
        let folder = all.folder.join(folder_name(all.count.fetch_add(1, Ordering::Relaxed) + 1, &name));
        runner.progress = Arc::new(Logged { transcript: folder.join(TRANSCRIPT) });
        // Before it begins, so that it is undone, or told, even when whoever waits for it is ended.
        self.changes.begun().push(Begun { runner: runner.clone(), folder: folder.clone(), keep: self.keep });
        let report = runner.run(&folder, head).await;
        if self.keep {
            self.changes.begun().retain(|begun| begun.folder != folder);
        }
        let report = report?;
        let page = page(all.tell, &runner, &folder, &report).await;
        if report.exit() == Exit::Done {
            Ok(report)
        } else {
            Err(ChangeError::Failed { name, what: told(&report, page.as_deref()) }.into())
        }
    }
}

/// The folder of the `number`th change of a suite: what cannot be in a file's name, or would make it too long, is not in it.
fn folder_name(number: usize, name: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    format!("{number}-{}", name.chars().take(40).map(plain).collect::<String>())
}

/// What carries commands to machines of the environment.
fn over_ssh(changes: &change::Changes, env: Option<&Env>, devices: &[String]) -> anyhow::Result<Drivers> {
    let vms = env.into_iter().flat_map(Env::vms);
    let machines: BTreeMap<_, _> = vms.map(|vm| (vm.name().to_string(), vm.as_ref().clone())).collect();
    let strange: Vec<String> = devices.iter().filter(|name| !machines.contains_key(*name)).cloned().collect();
    if !strange.is_empty() {
        return Err(ChangeError::NoMachine(strange).into());
    }
    let variable = |name: &str| std::env::var(name).ok();
    Ok(drivers(changes, &Outside { variable: &variable, machines, portal: None })?)
}

impl IntoFuture for Applying {
    type Output = anyhow::Result<Report>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
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
