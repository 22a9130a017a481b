//! An environment and its names, as suites and commands hold it: loaded, up or down. What it does is in files of
//! their own, one for each group of verbs.

use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
    time::Duration,
};

use tokio::task::JoinHandle;

use super::{
    EnvError, Host, Names, Net, Progress, Vm,
    checkpoint::Origin,
    daemon,
    error::chain,
    host::limits,
    keys::Keys,
    lago,
    machine::Common,
    ordered,
    plan::{EnvPlan, PlanErrors, Warning},
    prepare,
    site::{Ground, Running, Site},
    state::{EnvState, LabState},
    turn::Home,
};
use crate::{
    event::Usage,
    initfile::EnvSpec,
    lab::{Hermetic, Lab, paths::LabPaths},
    provider::MachineState,
    workdir::{Maker, Prefix},
};

/// An environment, up or down; clones are the same one.
///
/// ```no_run
/// use polder::prelude::*;
///
/// async fn split(env: &Env, web: &Vm, db: &Vm) -> Result {
///     for vm in env.with_role("server") {
///         vm.succeed("uname -a").await?;
///     }
///     let apart = env.partition(&[&[web], &[db]]).await?;
///     apart.heal().await?; // it heals by itself when it is dropped; here one learns whether it could
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Env(Arc<Inner>);

struct Inner {
    host: Host,
    home: Home,
    site: Site,
    plan: Arc<EnvPlan>,
    machines: Vec<Vm>,
    factor: f64,
    state: Mutex<EnvState>,
    /// Who changes the environment holds it, see `turn`.
    turns: tokio::sync::Mutex<()>,
    /// Where states of it are kept, if they are.
    origin: OnceLock<Origin>,
    /// States that are being put in place.
    finishing: tokio::sync::Mutex<Vec<JoinHandle<()>>>,
}

/// An environment that is kept by others.
pub(super) struct WeakEnv(Weak<Inner>);

impl WeakEnv {
    pub(super) fn upgrade(&self) -> Option<Env> {
        self.0.upgrade().map(Env)
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Env({})", self.folder().display())
    }
}

impl Env {
    /// Whether `spec` can be planned on `host`, as far as that can be told without having any of its images; and what
    /// of it does nothing.
    ///
    /// # Errors
    /// Every reason why it cannot be as asked.
    pub fn check(host: &Host, spec: &EnvSpec) -> Result<Vec<Warning>, PlanErrors> {
        prepare::check(host, &mut spec.clone())
    }

    /// Memory in MiB and processors that machines of `spec` have together, as far as this host makes them and the init file
    /// tells it.
    #[must_use]
    pub fn size(host: &Host, spec: &EnvSpec) -> (u64, u64) {
        prepare::size(host, spec)
    }

    /// Names of the machines of `spec` that are waited for until they answer.
    #[must_use]
    pub fn answering(host: &Host, spec: &EnvSpec) -> Vec<String> {
        prepare::answering(host, spec)
    }

    /// Decides everything for `spec` without making any of it (images excepted: their facts are needed).
    ///
    /// # Errors
    /// An image cannot be had, or what is asked for does not fit together.
    pub async fn plan_of(host: &Host, spec: &EnvSpec, progress: &Progress) -> Result<EnvPlan, EnvError> {
        let gathered = prepare::gather(host, spec, prepare::Place::Nowhere, progress).await?;
        let plan = gathered.decide(host, &gathered.new_keys()?)?;
        plan.warnings.iter().for_each(|warning| progress.warn(&warning.to_string()));
        Ok(plan)
    }

    /// The environment of a prefix, up or down.
    ///
    /// # Errors
    /// What was written down of it cannot be read.
    pub async fn load(host: &Host, prefix: &Prefix) -> Result<Self, EnvError> {
        let state = state_of(host, prefix)?;
        let keys = Keys::load(prefix.path(), state.host_keys.clone())?;
        let env = Self::assemble(host, Home::Prefix(prefix.clone()), state, &keys)?;
        env.refresh().await?;
        Ok(env)
    }

    /// An environment that is down as far as it knows.
    pub(super) fn assemble(host: &Host, home: Home, state: EnvState, keys: &Keys) -> Result<Self, EnvError> {
        let site = Site::default();
        let plan = Arc::new(state.plan.clone());
        let common = Common {
            site: &site,
            machines: &plan.machines,
            folder: home.folder(),
            keys,
            factor: state.factor,
            host,
        };
        let machines =
            plan.machines.iter().map(|machine| Vm::new(machine, &common)).collect::<Result<_, _>>()?;
        let env = Self(Arc::new(Inner {
            host: host.clone(),
            home,
            site,
            plan,
            machines,
            factor: state.factor,
            state: Mutex::new(state),
            turns: tokio::sync::Mutex::default(),
            origin: OnceLock::new(),
            finishing: tokio::sync::Mutex::default(),
        }));
        env.site().belong_to(&env);
        Ok(env)
    }

    /// Takes over what other processes have changed: the state, and which lab is up.
    pub(super) async fn refresh(&self) -> Result<(), EnvError> {
        let Home::Prefix(prefix) = self.home() else { return Ok(()) };
        let state = state_of(self.host(), prefix)?;
        let record = state.lab.clone();
        self.set_state(state);
        let lab: Arc<dyn Lab> = match record {
            LabState::System { uri, .. } => {
                let mut ground = daemon::ground(self, &uri).await;
                // What Lago made needs its daemon only while machines run.
                if matches!(ground, Ground::Broken { .. }) && lago::is_idle(prefix) {
                    ground = Ground::Down;
                }
                self.site().set(ground);
                return Ok(());
            }
            LabState::Hermetic { folder: None } => {
                self.site().set(Ground::Down);
                return Ok(());
            }
            LabState::Hermetic { folder: Some(folder) } => match join(&folder, prefix.path()) {
                Some(lab) => Arc::new(lab),
                None => {
                    self.site().set(Ground::Down);
                    return Ok(());
                }
            },
        };
        if let Ground::Up(running) = self.site().ground()
            && running.lab.runtime() == lab.runtime()
        {
            return Ok(());
        }
        let ground = match Running::connect(Arc::clone(&lab)).await {
            Ok(running) => Ground::Up(Arc::new(running)),
            Err(error) => Ground::Broken { lab, why: chain(&error) },
        };
        self.site().set(ground);
        Ok(())
    }

    /// The machine of that name.
    #[must_use]
    pub fn vm(&self, name: &str) -> Option<Vm> {
        self.0.machines.iter().find(|vm| vm.name().as_str() == name).cloned()
    }

    /// All machines, in the init file's order.
    #[must_use]
    pub fn vms(&self) -> Vec<Vm> {
        self.0.machines.clone()
    }

    /// The network of that name.
    #[must_use]
    pub fn net(&self, name: &str) -> Option<Net> {
        let spec = self.0.plan.nets.iter().find(|net| net.name.as_str() == name)?;
        Some(Net { spec: Arc::new(spec.clone()), env: self.clone() })
    }

    /// Names of its machines and nets.
    #[must_use]
    pub fn names(&self) -> Names {
        Names::of_plan(&self.0.plan)
    }

    /// What was decided.
    #[must_use]
    pub fn plan(&self) -> &EnvPlan {
        &self.0.plan
    }

    /// By how much deadlines are stretched on this host.
    #[must_use]
    pub fn time_factor(&self) -> f64 {
        self.0.factor
    }

    /// Its folder: disks, consoles, keys and what is written down of it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.0.home.folder()
    }

    /// How a machine is, as who makes it sees it. Those that libvirt makes are absent while the environment is down.
    ///
    /// # Errors
    /// libvirt or the provider does not answer, or this binary has no such provider.
    pub async fn state_of(&self, vm: &Vm) -> Result<MachineState, EnvError> {
        if let Some(state) = ordered::state(self, vm).await? {
            return Ok(state);
        }
        match self.site().ground() {
            Ground::Down => Ok(MachineState::Absent),
            _ => Ok(self.site().running()?.connection.domain_state(vm.domain(), limits::COMMAND).await?),
        }
    }

    /// Why it cannot be used any more, if that is so.
    #[must_use]
    pub fn failure(&self) -> Option<EnvError> {
        match self.site().ground() {
            Ground::Up(running) => running.lab.failure().map(EnvError::from),
            Ground::Down => None,
            Ground::Broken { why, .. } => Some(EnvError::Broken { why }),
        }
    }

    /// As [`Env::failure`], when its boundary and its daemon have been asked whether they are still there: who has just lost
    /// a machine may be told of it before we are told why.
    pub async fn examine(&self) -> Option<EnvError> {
        if let Ok(running) = self.site().running()
            && running.lab.runtime().is_some()
        {
            let answer = running.connection.answers(limits::COMMAND);
            // One that is only late, or hangs, is not gone.
            let daemon = async {
                matches!(tokio::time::timeout(limits::EXAMINE, answer).await, Ok(Err(error)) if !error.hangs())
            };
            let (boundary, is_gone) = tokio::join!(running.lab.usage(), daemon);
            if boundary.is_err() || is_gone {
                let _ = tokio::time::timeout(limits::OBITUARY, running.lab.broken()).await;
            }
        }
        self.failure()
    }

    /// Comes back only when the environment has broken: its daemon or its boundary ended.
    pub async fn broken(&self) -> EnvError {
        match self.site().running() {
            Ok(running) => running.lab.broken().await.into(),
            Err(_) => std::future::pending().await,
        }
    }

    /// What all its processes used so far.
    ///
    /// # Errors
    /// It is not started, or the lab does not answer.
    pub async fn usage(&self) -> Result<Usage, EnvError> {
        Ok(self.site().running()?.lab.usage().await?)
    }

    /// The runtime folder of its lab, while there is one that is ours.
    #[must_use]
    pub fn runtime(&self) -> Option<LabPaths> {
        self.site().running().ok()?.lab.runtime().cloned()
    }

    /// Leaves it running when this process ends. Machines that need no lab are left as they are.
    ///
    /// # Errors
    /// The lab is gone.
    pub fn detach(&self) -> Result<(), EnvError> {
        if !self.0.machines.iter().any(Vm::is_made) {
            return Ok(());
        }
        Ok(self.site().running()?.lab.detach()?)
    }

    /// Ends a suite's environment; nothing is left, of its prefix neither if it has one.
    ///
    /// # Errors
    /// Something could not be removed.
    pub async fn down(self) -> Result<(), EnvError> {
        self.finished().await;
        if let Home::Prefix(prefix) = self.home() {
            let quiet = Progress::new(|_| {});
            return EnvError::all(Self::destroy(self.host(), prefix, true, &quiet).await?.left);
        }
        let removed = ordered::remove(&self).await;
        let ended = match self.site().set(Ground::Down) {
            Ground::Up(running) => running.lab.end(limits::DOWN).await,
            Ground::Broken { lab, .. } => lab.end(limits::DOWN).await,
            Ground::Down => Ok(()),
        };
        EnvError::all(removed.err().into_iter().chain(ended.err().map(EnvError::from)).collect())
    }

    /// Says where states of it are kept.
    pub(super) fn came_from(&self, origin: Origin) {
        // It has one for good.
        let _ = self.0.origin.set(origin);
    }

    /// Where states of it are kept, if they are.
    pub(super) fn origin(&self) -> Option<&Origin> {
        self.0.origin.get()
    }

    /// Whether states of it can be kept for later ones at all.
    #[must_use]
    pub fn keeps_checkpoints(&self) -> bool {
        self.0.origin.get().is_some()
    }

    /// Takes note that a state is being put in place.
    pub(super) async fn finishing(&self, work: JoinHandle<()>) {
        self.0.finishing.lock().await.push(work);
    }

    /// Waits until all states that were kept of it are in place.
    pub async fn finished(&self) {
        for work in std::mem::take(&mut *self.0.finishing.lock().await) {
            // One that panicked has said so.
            let _ = work.await;
        }
    }

    pub(super) fn downgrade(&self) -> WeakEnv {
        WeakEnv(Arc::downgrade(&self.0))
    }

    pub(super) fn host(&self) -> &Host {
        &self.0.host
    }

    pub(super) fn home(&self) -> &Home {
        &self.0.home
    }

    pub(super) fn site(&self) -> &Site {
        &self.0.site
    }

    pub(super) fn turns(&self) -> &tokio::sync::Mutex<()> {
        &self.0.turns
    }

    pub(super) fn state(&self) -> EnvState {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_state(&self, state: EnvState) {
        *self.0.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    pub(super) fn scaled(&self, limit: Duration) -> Duration {
        limit.mul_f64(self.0.factor)
    }
}

/// The lab a prefix names, when it is alive and serves that prefix: one that was moved since, but not the original of
/// a copy.
pub(super) fn join(lab: &Path, prefix: &Path) -> Option<Hermetic> {
    let lab = Hermetic::join(lab).ok()?;
    (lab.serves(prefix) || !lab.env().exists()).then_some(lab)
}

/// What is written down of the environment of a prefix, by whoever made it.
fn state_of(host: &Host, prefix: &Prefix) -> Result<EnvState, EnvError> {
    match prefix.maker() {
        Maker::Polder => EnvState::load(prefix.path()),
        Maker::Lago => lago::state(host, prefix),
    }
}
