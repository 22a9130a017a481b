//! Brings machines up: a lab, the networks they need, and they themselves; named steps, each with a deadline,
//! machines in parallel.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    Began, Env, EnvError, Host, Progress, Selection, Stages, Vm,
    checkpoint::Origin,
    daemon, deploy, disk,
    error::chain,
    host::limits,
    needed::lab_spec,
    network, ordered, parallel,
    prepare::{ALONE, Place, gather},
    ready::ready,
    site::{Ground, Running},
    state::{EnvState, LabState},
    turn::{Home, Turn, thing},
};
use crate::{
    base::id::MachineName,
    initfile::{EnvSpec, Loaded},
    lab::{Hermetic, Plot},
    provider::libvirt::{DomainState, xml},
    workdir::{Kind, Workdir},
};

/// An environment that did not come up, and what there is of it: evidence can be collected, then it must go down.
#[derive(Debug)]
pub struct UpFailure {
    /// Why.
    pub error: EnvError,
    /// What had been made.
    pub env: Option<Env>,
}

impl<E: Into<EnvError>> From<E> for UpFailure {
    fn from(error: E) -> Self {
        Self { error: error.into(), env: None }
    }
}

/// How long to wait for the word that a daemon has ended.
const OBITUARY: Duration = Duration::from_millis(300);

/// When a machine counts as started.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// Its emulator runs.
    Running,
    /// It answers.
    Ready,
}

/// Files of memory from which machines go on instead of booting, relative to the environment's folder.
pub(super) type Memory = BTreeMap<MachineName, PathBuf>;

/// How machines are started.
struct How {
    until: Until,
    memory: Memory,
}

/// What a command has started so far: what is to be undone when it fails.
#[derive(Default)]
struct Started {
    lab: bool,
    nets: Vec<String>,
    machines: Vec<Vm>,
}

impl Env {
    /// Brings up what `spec` asks for in a lab that ends with this process (in none, where no machine needs one), waits until every machine answers, and runs
    /// their deploy scripts. Where a checkpoint of the same is there, machines go on from that instead; else one is kept
    /// ([`Host::checkpoints`]).
    ///
    /// # Errors
    /// The first failure, and what there is of the environment: it can be looked at, then must go down.
    pub async fn up(host: &Host, spec: &EnvSpec, progress: &Progress) -> Result<Self, UpFailure> {
        Self::up_at(host, spec, Stages::NONE, progress).await.map(|(env, _)| env)
    }

    /// As [`Env::up`], but goes on from the end of the first of `stages` that an earlier run has kept; says which, and what was kept
    /// with it.
    ///
    /// # Errors
    /// As [`Env::up`].
    pub async fn up_at(
        host: &Host,
        spec: &EnvSpec,
        stages: Stages<'_>,
        progress: &Progress,
    ) -> Result<(Self, Option<Began>), UpFailure> {
        let gathered = gather(host, spec, Place::Alone, progress).await?;
        let mut keys = gathered.new_keys()?;
        let mut plan = gathered.decide(host, &keys)?;
        gathered.lay(host, &plan, Place::Alone, progress).await?;
        ordered::require_lasting(host, &plan)?;
        let needs_lab = plan.machines.iter().any(|machine| machine.domain.is_some());
        let mut origin = None;
        let (home, lab) = if needs_lab {
            let lab = Hermetic::start(&host.lab, lab_spec(host, &plan, None)?, limits::LAB);
            let (lab, found) =
                tokio::join!(lab, Origin::find(host, &gathered, (&plan, &keys), stages, progress));
            let lab = lab?;
            if let Some((found, known)) = found {
                origin = Some(found);
                (plan, keys) = gathered.decide_again(host, known, (plan, keys))?;
            }
            progress.say("the lab is up");
            (Home::Lab(lab.paths().env()), Some(lab))
        } else {
            (Home::Alone(Plot::make(&host.lab).await?), None)
        };
        let folder = lab.as_ref().map(|lab| lab.paths().folder.clone());
        let lab_state = LabState::Hermetic { folder };
        let state = EnvState::new(ALONE.to_owned(), lab_state, plan, keys.hosts().clone(), gathered.factor);
        keys.save(home.folder())?;
        state.save(home.folder())?;
        let env = Self::assemble(host, home, state, &keys)?;
        if let Some(lab) = lab {
            env.site().set(Ground::Up(Arc::new(Running::connect(Arc::new(lab)).await?)));
        }
        env.come_up(origin, progress).await
    }

    /// As [`Env::up_at`], in a new prefix `name` of a workdir: the lab ends with this process just the same, unless it is
    /// told to stay by [`Env::detach`]; then all verbs of the command find the environment there.
    ///
    /// # Errors
    /// As [`Env::up`].
    pub async fn up_in(
        host: &Host,
        workdir: &Workdir,
        name: &str,
        asked: &Loaded,
        stages: Stages<'_>,
        progress: &Progress,
    ) -> Result<(Self, Option<Began>), UpFailure> {
        let (env, origin) = Self::create_at(host, workdir, name, asked, Some(stages), progress).await?;
        env.come_up(origin, progress).await
    }

    /// Has the machines of an environment that was made go on or boot; then there is something to look at when it fails.
    pub(super) async fn come_up(
        self,
        origin: Option<Origin>,
        progress: &Progress,
    ) -> Result<(Self, Option<Began>), UpFailure> {
        if let Some(origin) = origin {
            self.came_from(origin);
        }
        let work = async {
            let turn = Turn::begin(&self, "up").await?;
            if self.vms().iter().any(Vm::is_made) {
                self.lab_up(&turn, &Mutex::default(), progress).await?;
            }
            if let Some(origin) = self.origin()
                && self.go_on_from(&turn, origin, progress).await?
            {
                return Ok(origin.stage());
            }
            if !matches!(self.home(), Home::Prefix(_)) || self.origin().is_some_and(Origin::is_found) {
                disk::make(&self).await?;
            }
            self.rise(&turn, progress).await?;
            drop(turn);
            if self.origin().is_some() {
                match self.keep_for_others(None).await {
                    Ok(()) => progress.say("kept as a checkpoint: next time, machines need not boot"),
                    Err(error) => progress.warn(&format!("no checkpoint is kept: {}", chain(&error))),
                }
            }
            Ok(None)
        };
        match work.await {
            Ok(stage) => Ok((self, stage)),
            Err(error) => Err(UpFailure { error, env: Some(self) }),
        }
    }

    /// Brings up the machines of a lab that is up, until all is done that is done before anybody uses them.
    async fn rise(&self, turn: &Turn<'_>, progress: &Progress) -> Result<(), EnvError> {
        let how = How { until: Until::Ready, memory: Memory::new() };
        let (made, others) = ordered::split(self.vms());
        ordered::start(self, turn, others.clone(), |_| (), progress).await?;
        if !made.is_empty() {
            self.bring_up(turn, made, how, &Mutex::default(), progress).await?;
        }
        let each = |vm: Vm| {
            let (env, progress) = (self.clone(), progress.clone());
            async move { ready(&env, None, &vm, Instant::now(), &progress).await }
        };
        parallel::first_failure(others, each).await?;
        deploy::run(self, turn, deploy::all(self.vms()), false, progress).await?;
        self.set_up_in(turn, self.vms(), progress).await
    }

    /// Starts machines that are off, and before them the networks they need; machines that run are left alone. Does
    /// not wait until they answer, see [`Env::wait_ready`].
    ///
    /// # Errors
    /// Every failure, and that the operator has asked us to stop; what this call had started is stopped again.
    pub async fn start(&self, selection: &Selection, progress: &Progress) -> Result<(), EnvError> {
        let vms = self.select(selection)?;
        let turn = Turn::begin(self, "start").await?;
        self.start_from(&turn, vms, Memory::new(), progress).await
    }

    /// Starts machines that are off; those that have memory go on from there.
    pub(super) async fn start_from(
        &self,
        turn: &Turn<'_>,
        vms: Vec<Vm>,
        memory: Memory,
        progress: &Progress,
    ) -> Result<(), EnvError> {
        let started = Mutex::new(Started::default());
        let work = async {
            let (made, others) = ordered::split(vms);
            let begun = |vms: &[Vm]| locked(&started).machines.extend(vms.iter().cloned());
            tokio::select! {
                biased;
                result = ordered::start(self, turn, others, begun, progress) => result?,
                stopped = self.host().told_to_stop() => return Err(stopped),
            }
            self.host().require_wanted()?;
            if made.is_empty() {
                return Ok(());
            }
            self.lab_up(turn, &started, progress).await?;
            let how = How { until: Until::Running, memory };
            self.bring_up(turn, made, how, &started, progress).await?;
            self.host().require_wanted()?;
            // Last, so that a command that is killed before leaves nothing running.
            let new = locked(&started).lab;
            if new { self.detach() } else { Ok(()) }
        };
        match work.await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.roll_back(turn, started, error).await),
        }
    }

    /// Waits until machines answer, over ssh or their guest agent; one that can do neither, or whose type is not waited
    /// for, is ready when it runs.
    ///
    /// # Errors
    /// Every machine that is not running, or does not answer in time.
    pub async fn wait_ready(&self, selection: &Selection, progress: &Progress) -> Result<(), EnvError> {
        let vms = self.select(selection)?;
        let running = match vms.iter().any(Vm::is_made) {
            true => Some(self.site().running()?),
            false => None,
        };
        let each = |vm: Vm| {
            let (env, running, progress) = (self.clone(), running.clone(), progress.clone());
            async move { ready(&env, running.as_deref(), &vm, Instant::now(), &progress).await }
        };
        parallel::each(vms, each).await.map(drop)
    }

    /// Starts the lab of a prefix when there is none.
    async fn lab_up(
        &self,
        turn: &Turn<'_>,
        started: &Mutex<Started>,
        progress: &Progress,
    ) -> Result<(), EnvError> {
        match self.site().ground() {
            Ground::Up(_) => return Ok(()),
            Ground::Broken { why, .. } => return Err(EnvError::Broken { why }),
            Ground::Down => {}
        }
        if let LabState::System { uri, .. } = self.state().lab {
            let running = daemon::enter(self, &uri).await?;
            self.site().set(Ground::Up(Arc::new(running)));
            return Ok(());
        }
        let spec = lab_spec(self.host(), self.plan(), Some(self.folder()))?;
        let lab = Hermetic::start(&self.host().lab, spec, limits::LAB).await?;
        locked(started).lab = true;
        let folder = lab.paths().folder.clone();
        turn.making(&thing(Kind::Lab, &folder.display().to_string(), &lab))?;
        turn.update(|state| state.lab = LabState::Hermetic { folder: Some(folder.clone()) })?;
        progress.say("the lab is up");
        self.site().set(Ground::Up(Arc::new(Running::connect(Arc::new(lab)).await?)));
        Ok(())
    }

    /// Starts those of `vms` that are off, with their networks, in a lab that is up.
    async fn bring_up(
        &self,
        turn: &Turn<'_>,
        vms: Vec<Vm>,
        how: How,
        started: &Mutex<Started>,
        progress: &Progress,
    ) -> Result<(), EnvError> {
        let running = self.site().running()?;
        let work = async {
            let vms = self.off(&running, vms, progress).await?;
            networks(self, turn, &running, &vms, started).await?;
            self.machines(turn, &running, vms, Arc::new(how), started, progress).await
        };
        let result = tokio::select! {
            biased;
            result = work => result,
            error = self.broken() => Err(error),
            // Found at once, so that a call may take as long as it needs on a busy host.
            error = running.hangs() => Err(error),
        };
        match result {
            Err(error) if error.hangs() => {
                // Else everything that is still to be asked of it runs into a deadline of its own.
                let _ = running.lab.kill_daemon().await;
                Err(error)
            }
            Err(EnvError::Provider { error, daemon: None }) => {
                // A call notices the daemon's end a moment before we are told of it.
                let _ = tokio::time::timeout(OBITUARY, running.lab.broken()).await;
                Err(running.explain(error))
            }
            other => other,
        }
    }

    /// Those that do not run; what is left of one that crashed is removed.
    async fn off(&self, running: &Running, vms: Vec<Vm>, progress: &Progress) -> Result<Vec<Vm>, EnvError> {
        let mut off = Vec::new();
        for vm in vms {
            let connection = &running.connection;
            let state = connection.domain_state(vm.domain(), limits::COMMAND).await;
            match state.map_err(|e| running.explain(e))? {
                DomainState::Absent => off.push(vm),
                DomainState::Off | DomainState::Crashed => {
                    connection.destroy_domain(vm.domain(), self.scaled(limits::DOMAIN)).await?;
                    off.push(vm);
                }
                _ => progress.say(&format!("{} runs already", vm.name())),
            }
        }
        Ok(off)
    }

    /// Starts machines, in parallel; those that are waited for, only as many at once as the host has boot slots.
    async fn machines(
        &self,
        turn: &Turn<'_>,
        running: &Arc<Running>,
        vms: Vec<Vm>,
        how: Arc<How>,
        started: &Mutex<Started>,
        progress: &Progress,
    ) -> Result<(), EnvError> {
        let until = how.until;
        for vm in &vms {
            turn.making(&thing(Kind::Domain, vm.domain(), &*running.lab))?;
        }
        // What was attached to them went when they were switched off.
        let booting = || vms.iter().filter(|vm| !how.memory.contains_key(vm.name()));
        turn.update(|state| booting().for_each(|vm| drop(state.attached.remove(vm.name()))))?;
        // Before it is known whether they start: a machine whose start failed half-way is to be undone, too.
        locked(started).machines.extend(vms.iter().cloned());
        let each = |vm: Vm| {
            let (env, running, progress) = (self.clone(), Arc::clone(running), progress.clone());
            let how = Arc::clone(&how);
            async move {
                // Never closed, so there is always a permit sooner or later.
                let _slot = match how.until {
                    Until::Ready => env.host().boot_slots.clone().acquire_owned().await.ok(),
                    Until::Running => None,
                };
                env.host().require_wanted()?;
                let start = Instant::now();
                vm.is_now("starting");
                create(&env, &running, &vm, how.memory.get(vm.name())).await?;
                match how.until {
                    Until::Ready => ready(&env, Some(&running), &vm, start, &progress).await,
                    Until::Running => {
                        progress.say(&format!("{} is started", vm.name()));
                        Ok(())
                    }
                }
            }
        };
        match until {
            // Who waits for all of them is told of the first that fails.
            Until::Ready => parallel::first_failure(vms, each).await,
            Until::Running => parallel::each(vms, each).await.map(drop),
        }
    }

    /// Stops what a failed start had started, and returns its error with what could not be stopped.
    async fn roll_back(&self, turn: &Turn<'_>, started: Mutex<Started>, error: EnvError) -> EnvError {
        let Started { lab, nets, machines } = started.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (machines, others) = ordered::split(machines);
        let ours = async {
            if lab {
                return self.end_lab(turn).await;
            }
            if machines.is_empty() && nets.is_empty() {
                return Ok(());
            }
            let running = self.site().running()?;
            let machines = super::stop::destroy_all(turn, &running, machines).await;
            let nets = network::destroy_all(turn, &running, nets).await;
            EnvError::all(machines.err().into_iter().chain(nets.err()).collect())
        };
        let quiet = Progress::new(|_| {});
        let others = ordered::stop(self, others, Duration::ZERO, &quiet).await;
        let left = others.err().into_iter().chain(ours.await.err()).collect();
        match EnvError::all(left) {
            Ok(()) => error,
            Err(left) => EnvError::NotUndone { error: Box::new(error), left: chain(&left) },
        }
    }
}

fn locked(started: &Mutex<Started>) -> std::sync::MutexGuard<'_, Started> {
    started.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the networks `vms` need and waits until they serve.
async fn networks(
    env: &Env,
    turn: &Turn<'_>,
    running: &Running,
    vms: &[Vm],
    started: &Mutex<Started>,
) -> Result<(), EnvError> {
    let active = network::active(running, &env.plan().nets).await?;
    let needed = env.plan().nets.iter().filter(|net| vms.iter().any(|vm| network::needs(env, vm, net)));
    for net in needed.filter(|net| !active.contains(&net.libvirt_name)) {
        env.host().require_wanted()?;
        locked(started).nets.push(net.libvirt_name.clone());
        network::raise(env, turn, running, net).await?;
    }
    Ok(())
}

/// Starts one machine: from memory if it has any.
async fn create(env: &Env, running: &Running, vm: &Vm, memory: Option<&PathBuf>) -> Result<(), EnvError> {
    let Some(spec) = disk::current(env, vm) else { return Ok(()) };
    let connection = running.connection.another(limits::CONNECT).await?;
    let spec = daemon::dress(env, &connection, vm, spec).await?;
    // What its console said in a former life does not count any more.
    vm.restarted().await;
    // Else its first packets would take a better way than they should.
    let paused = super::link::are_kept(vm);
    let limit = env.scaled(limits::DOMAIN);
    let started = match memory {
        None if paused => connection.create_domain_paused(vm.domain(), xml::domain_xml(&spec), limit).await,
        None => connection.create_domain(vm.domain(), xml::domain_xml(&spec), limit).await,
        Some(memory) => {
            let (memory, limit) = (running.lab.view().env.join(memory), env.scaled(limits::SAVE));
            let saved = connection.saved_xml(vm.domain(), &memory, limits::COMMAND).await;
            let saved = saved.map_err(|e| running.explain(e))?;
            let xml = xml::as_now(&saved, &spec).map_err(|error| EnvError::SavedXml {
                machine: vm.name().clone(),
                error: error.to_string(),
            })?;
            connection.restore_domain(vm.domain(), &memory, xml, paused, limit).await
        }
    };
    started.map_err(|e| running.explain(e))?;
    super::link::reserve_attached(env, running, vm).await?;
    if paused {
        super::link::keep_all(env, running, vm).await?;
        connection.resume_domain(vm.domain(), limit).await.map_err(|e| running.explain(e))?;
    }
    Ok(())
}
