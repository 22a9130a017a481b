//! Doing a change: awaited, it is done and verified on its devices, or undone at once.

use std::{
    collections::BTreeMap,
    future::IntoFuture,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{
    all::{Begun, Changes, Inner, page, told},
    change::{Change, DRIVER},
    file,
};
use crate::{
    base::{dial::BoxFuture, exit::Exit},
    change::{
        self, Driver, Drivers, Entry, Head, Outcome, Plan, Progress, Record, Report, Runner, State,
        TRANSCRIPT, Vars,
    },
    driver::{Outside, drivers},
    env::{Env, Vm},
    guest::Guest,
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
    /// The suite names no file of changes.
    #[error(
        "the suite names no file of changes: write `changes = \"changes.yaml\"` in its `#[polder::suite(..)]`"
    )]
    NoFile,
    /// No change or scenario of the suite's file has the name.
    #[error("{0}")]
    NoChange(String),
    /// It failed. What it had done is undone as far as that could be.
    #[error("the change `{name}` failed: {what}")]
    Failed {
        /// Its name.
        name: String,
        /// What went wrong on which device, and where all of it is told.
        what: String,
    },
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum What {
    /// What a scenario says.
    Own(Change),
    /// A change of the suite's file, or a scenario there.
    Named(String),
}

/// What is to be done, decided.
pub(super) struct Fit {
    /// What it is called.
    pub(super) name: String,
    /// The same, as part of a folder's name.
    pub(super) folder: String,
    pub(super) plan: Plan,
    pub(super) drivers: Drivers,
    pub(super) head: Head,
}

/// A change that is about to be done: awaited, it is.
#[must_use = "nothing is changed before it is awaited"]
#[derive(Debug)]
pub struct Applying {
    changes: Changes,
    what: What,
    devices: Vec<String>,
    driver: Option<Arc<dyn Driver>>,
    keep: bool,
}

impl Applying {
    pub(super) fn new(changes: Changes, what: What) -> Self {
        Self { changes, what, devices: Vec::new(), driver: None, keep: false }
    }

    /// On these devices; machines of the environment, unless a driver of one's own knows others. Of a change of the suite's file,
    /// those of its devices.
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

    /// By a driver of one's own, instead of commands over ssh, or of those that the suite's file says.
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
        let all = &*self.changes.0;
        let fit = match self.what {
            What::Own(change) => own(change, all, &self.devices, self.driver)?,
            What::Named(name) => {
                let mut fit = file::fit(&self.changes, &name, &self.devices).await?;
                if let Some(driver) = self.driver {
                    fit.drivers.values_mut().for_each(|carried| *carried = Arc::clone(&driver));
                }
                fit
            }
        };
        let Fit { name, folder, plan, drivers, head } = fit;
        let mut runner = Runner::new(Arc::new(plan), drivers);
        let number = all.count.fetch_add(1, Ordering::Relaxed) + 1;
        let folder = all.folder.join(format!("{number}-{folder}"));
        runner.progress = Arc::new(Logged { transcript: folder.join(TRANSCRIPT) });
        let begun = Begun { name: name.clone(), runner, folder: folder.clone(), keep: self.keep };
        // Before it begins, so that it is undone, or told, even when whoever waits for it is ended.
        self.changes.begun().push(begun.clone());
        let report = begun.runner.run(&folder, head).await;
        if self.keep {
            self.changes.begun().retain(|begun| begun.folder != folder);
        }
        let report = report?;
        let page = page(all.tell, &begun, &report).await;
        if report.exit() == Exit::Done {
            Ok(report)
        } else {
            Err(ChangeError::Failed { name, what: told(&report, page.as_deref()) }.into())
        }
    }
}

/// A change that a scenario says.
fn own(
    change: Change,
    all: &Inner,
    devices: &[String],
    driver: Option<Arc<dyn Driver>>,
) -> anyhow::Result<Fit> {
    let name = change.name().to_owned();
    let changes = change.on(&all.name, devices);
    let changes = changes.map_err(|problems| ChangeError::Unfit { name: name.clone(), problems })?;
    let plan = change::plan(&changes, &Vars::new())?;
    // Nobody would see a warning.
    plan.strict(&[])?;
    let drivers = match driver {
        Some(driver) => [(DRIVER.to_owned(), driver)].into(),
        None => over_ssh(&changes, all.env.as_ref(), devices)?,
    };
    let head = Head::new(plan.digest())?;
    let folder = folder_name(&name);
    Ok(Fit { name, folder, plan, drivers, head })
}

/// What the folder of a change is called: what cannot be in a file's name, or would make it too long, is not in it.
pub(super) fn folder_name(name: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    name.chars().take(40).map(plain).collect()
}

/// The machines of an environment, by their names.
pub(super) fn machines(env: Option<&Env>) -> BTreeMap<String, Guest> {
    let vms = env.into_iter().flat_map(Env::vms);
    vms.map(|vm| (vm.name().to_string(), vm.as_ref().clone())).collect()
}

/// What carries commands to machines of the environment.
fn over_ssh(changes: &change::Changes, env: Option<&Env>, devices: &[String]) -> anyhow::Result<Drivers> {
    let machines = machines(env);
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
