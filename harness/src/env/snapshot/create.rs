//! Takes a snapshot: of all chosen machines or of none.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{Frozen, Snapshot, model::Pending};
use crate::{
    base::{id::MachineName, text::did_you_mean},
    env::{
        Env, EnvError, Progress, Selection, Vm, daemon,
        disk::{self, Layer},
        error::chain,
        host::limits,
        parallel,
        site::{Ground, Running},
        turn::Turn,
    },
    image::Ability,
    provider::{
        libvirt::{DomainState, xml::SnapshotSpec},
        spec::ImageFormat,
    },
};

/// How a snapshot is taken.
#[derive(Debug, Clone, Default)]
pub struct SnapshotOptions {
    /// Of which machines.
    pub machines: Selection,
    /// Whether the memory of those that run is kept, so that they come back running.
    pub memory: bool,
    /// What its maker says of it.
    pub description: String,
}

/// One machine of a snapshot that is being taken.
#[derive(Clone)]
struct Moving {
    vm: Vm,
    /// Whether it runs, or is paused.
    state: DomainState,
    /// The new layers of its disks.
    layers: Vec<Layer>,
    /// The file for its memory.
    memory: Option<PathBuf>,
}

impl Env {
    /// Keeps the moment in which the chosen machines are, under a name of its own: they go on, on new disk images laid
    /// over what is kept. Machines that run are stopped for the moment, all at the same time; without memory, their
    /// file systems are brought to rest before, where their guest agent can do that.
    ///
    /// # Errors
    /// The name is taken or cannot be one; a machine is neither running nor off; something failed. There is no snapshot
    /// then, of no machine, and all go on.
    pub async fn snapshot(
        &self,
        name: &str,
        options: &SnapshotOptions,
        progress: &Progress,
    ) -> Result<Snapshot, EnvError> {
        check_name(name)?;
        let (vms, others) = self.select(&options.machines)?.into_iter().partition::<Vec<_>, _>(Vm::is_made);
        if options.machines.is_named() || vms.is_empty() {
            EnvError::all(others.iter().map(|vm| vm.cannot("take snapshots of")).collect())?;
        }
        for vm in others {
            progress.say(&format!("{} is not kept: libvirt does not make it", vm.name()));
        }
        let turn = Turn::begin(self, "snapshot").await?;
        let chains = self.state().chains;
        if chains.snapshot(name).is_some() {
            return Err(EnvError::SnapshotExists { name: name.to_owned() });
        }
        let serial = chains.serial + 1;
        let moving = self.moving(vms, options.memory, serial).await?;
        let running = moving.iter().filter(|one| one.state == DomainState::Running && one.memory.is_some());
        let mut wakes = self.made_wakeable(running.map(|one| one.vm.clone()).collect()).await?;
        let pending = Pending {
            tops: moving.iter().map(|one| (one.vm.name().clone(), one.tops())).collect(),
            saves: moving.iter().filter_map(|one| one.memory.clone()).collect(),
            run: names(&moving, |one| one.state == DomainState::Running),
            calm: names(&moving, Moving::is_calmed),
        };
        turn.update(|state| {
            state.chains.serial = serial;
            state.chains.layers.extend(moving.iter().flat_map(|one| one.layers.iter()).map(Layer::pair));
            state.chains.pending = Some(pending);
        })?;
        if let Err(error) = self.take(&moving, progress).await {
            return Err(match settle(self, &turn).await {
                Ok(()) => error,
                Err(left) => EnvError::NotUndone { error: Box::new(error), left: chain(&left) },
            });
        }
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let snapshot = Snapshot {
            name: name.to_owned(),
            time,
            description: options.description.clone(),
            parent: chains.current,
            machines: moving
                .iter()
                .map(|one| (one.vm.name().clone(), one.frozen(self, wakes.remove(one.vm.name()))))
                .collect(),
        };
        turn.update(|state| {
            let chains = &mut state.chains;
            let moved = chains.pending.take().unwrap_or_default().tops;
            moved
                .into_iter()
                .for_each(|(machine, tops)| chains.tops.entry(machine).or_default().extend(tops));
            chains.current = Some(name.to_owned());
            chains.snapshots.push(snapshot.clone());
        })?;
        Ok(snapshot)
    }

    /// All snapshots, in the order they were taken; which came from which is in their parents.
    #[must_use]
    pub fn snapshots(&self) -> Vec<Snapshot> {
        self.state().chains.snapshots
    }

    /// The snapshot of that name, or an error that says which there are.
    pub(super) fn find_snapshot(&self, name: &str) -> Result<Snapshot, EnvError> {
        let chains = self.state().chains;
        let found = chains.snapshot(name).cloned();
        found.ok_or_else(|| {
            let known: Vec<&str> = chains.snapshots.iter().map(|s| s.name.as_str()).collect();
            let help = match did_you_mean(name, known.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None if known.is_empty() => "there are none".to_owned(),
                None => format!("there are {}", known.join(", ")),
            };
            EnvError::NoSnapshot { name: name.to_owned(), help }
        })
    }

    /// How each machine is and what will become of its disks, all that cannot be kept told at once.
    async fn moving(&self, vms: Vec<Vm>, memory: bool, serial: u64) -> Result<Vec<Moving>, EnvError> {
        let mut moving = Vec::new();
        let mut errors = Vec::new();
        for vm in vms {
            let state = self.state_of(&vm).await?;
            if !matches!(state, DomainState::Running | DomainState::Paused | DomainState::Absent) {
                let what = format!("cannot be kept in a snapshot as it is ({state:?}): stop it first");
                errors.push(EnvError::MachineEnded { machine: vm.name().clone(), what });
                continue;
            }
            let layers = disk::next_layers(self, &vm, serial);
            let save = PathBuf::from(format!("saves/{}+{serial}.save", vm.name()));
            let memory = (memory && state != DomainState::Absent).then_some(save);
            moving.push(Moving { vm, state, layers, memory });
        }
        EnvError::all(errors).map(|()| moving)
    }

    /// Does it, with everything at rest; machines go on afterwards, whatever became of it.
    async fn take(&self, moving: &[Moving], progress: &Progress) -> Result<(), EnvError> {
        self.host().require_wanted()?;
        let saves = self.folder().join("saves");
        fs::create_dir_all(&saves).map_err(crate::env::error::file("make", &saves))?;
        let layers = moving.iter().flat_map(|one| one.layers.clone()).collect();
        let folder = self.folder().to_owned();
        let lay = |layer: Layer| {
            let folder = folder.clone();
            async move { layer.make(&folder).await }
        };
        parallel::each(layers, lay).await?;
        let alive: Vec<Moving> =
            moving.iter().filter(|one| one.state != DomainState::Absent).cloned().collect();
        if alive.is_empty() {
            return Ok(());
        }
        let running = self.site().running()?;
        let layers: Vec<PathBuf> =
            alive.iter().flat_map(|one| &one.layers).map(|layer| layer.path.clone()).collect();
        daemon::open(self, &running, layers.iter().map(PathBuf::as_path)).await?;
        self.host().require_wanted()?;
        let calmed = freeze(&alive, progress).await;
        let kept = async {
            suspend(&running, &alive).await?;
            let limit = self.scaled(limits::SAVE);
            let each = |one: Moving| {
                let running = Arc::clone(&running);
                async move { keep(&running, &one, limit).await }
            };
            parallel::each(alive.clone(), each).await.map(drop)
        };
        let kept = kept.await;
        let ran = alive.iter().filter(|one| one.state == DomainState::Running);
        let resumed = resume(&running, ran.map(|one| &one.vm)).await;
        thaw(calmed, progress).await;
        EnvError::all(kept.err().into_iter().chain(resumed.err()).collect())
    }
}

impl Moving {
    fn tops(&self) -> BTreeMap<String, PathBuf> {
        self.layers.iter().map(|layer| (layer.dev.clone(), layer.path.clone())).collect()
    }

    /// Whether its file systems are brought to rest: its memory, which has the rest, is not kept.
    fn is_calmed(&self) -> bool {
        let agent = self.vm.plan().abilities.has(Ability::Agent) && self.vm.agent().is_some();
        agent && self.state == DomainState::Running && self.memory.is_none()
    }

    fn frozen(&self, env: &Env, wake: Option<String>) -> Frozen {
        let deployed = env.state().deployed.remove(self.vm.name()).unwrap_or_default();
        let attached = env.state().attached.remove(self.vm.name()).filter(|_| self.memory.is_some());
        let disks = self.layers.iter().map(|layer| (layer.dev.clone(), layer.over.clone()));
        let raw = self.layers.iter().filter(|layer| layer.over_format == ImageFormat::Raw);
        let raw = raw.map(|layer| layer.dev.clone()).collect();
        let (memory, attached) = (self.memory.clone(), attached.unwrap_or_default());
        let set_up = env.state().set_up.contains(self.vm.name());
        Frozen { disks: disks.collect(), raw, memory, attached, deployed, set_up, wake }
    }
}

fn check_name(name: &str) -> Result<(), EnvError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let good =
        name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(fits) && name.len() <= 64;
    if good { Ok(()) } else { Err(EnvError::BadSnapshotName { name: name.to_owned() }) }
}

/// Brings the file systems of those to rest whose memory is not kept; returns whom to let go on: everybody who was asked,
/// because who did not answer in time may have done it all the same.
async fn freeze(alive: &[Moving], progress: &Progress) -> Vec<Vm> {
    let in_use = |vm: &Vm, why: &str| {
        progress.say(&format!("{} is kept with its file systems in use: {why}", vm.name()));
    };
    let running = alive.iter().filter(|one| one.state == DomainState::Running && one.memory.is_none());
    let (calm, others): (Vec<&Moving>, Vec<&Moving>) = running.partition(|one| one.is_calmed());
    others.iter().for_each(|one| in_use(&one.vm, "it has no guest agent"));
    let vms: Vec<Vm> = calm.iter().map(|one| one.vm.clone()).collect();
    let each = |vm: Vm| async move {
        let refused = match vm.agent() {
            Some(agent) => agent.freeze().await.err().map(|e| chain(&e)),
            None => None,
        };
        Ok(refused.map(|why| (vm, why)))
    };
    let refused = parallel::each(vms.clone(), each).await.unwrap_or_default();
    refused.iter().flatten().for_each(|(vm, why)| in_use(vm, why));
    vms
}

async fn thaw(calmed: Vec<Vm>, progress: &Progress) {
    let each = |vm: Vm| {
        let progress = progress.clone();
        async move {
            if let Some(agent) = vm.agent()
                && let Err(error) = agent.thaw().await
            {
                progress.say(&format!(
                    "the file systems of {} may still be at rest: {}",
                    vm.name(),
                    chain(&error)
                ));
            }
            Ok(())
        }
    };
    let _ = parallel::each(calmed, each).await;
}

async fn suspend(running: &Arc<Running>, alive: &[Moving]) -> Result<(), EnvError> {
    for one in alive.iter().filter(|one| one.state == DomainState::Running) {
        let paused = running.connection.suspend_domain(one.vm.domain(), limits::DOMAIN).await;
        paused.map_err(|e| running.explain(e))?;
    }
    Ok(())
}

/// Lets those go on that ran before, and are paused now.
async fn resume<'a>(running: &Running, ran: impl Iterator<Item = &'a Vm>) -> Result<(), EnvError> {
    let mut errors = Vec::new();
    for vm in ran {
        let (connection, domain) = (&running.connection, vm.domain());
        let resumed = match connection.domain_state(domain, limits::COMMAND).await {
            Ok(DomainState::Paused) => connection.resume_domain(domain, limits::DOMAIN).await,
            other => other.map(drop),
        };
        errors.extend(resumed.map_err(|e| running.explain(e)).err());
    }
    EnvError::all(errors)
}

async fn keep(running: &Running, one: &Moving, limit: Duration) -> Result<(), EnvError> {
    let connection = running.connection.another(limits::CONNECT).await?;
    let folder = running.lab.view().env;
    let spec = SnapshotSpec {
        disks: one.layers.iter().map(|layer| (layer.dev.clone(), folder.join(&layer.path))).collect(),
        untouched: disk::untouched(&one.vm),
        memory: one.memory.as_ref().map(|file| folder.join(file)),
    };
    connection.snapshot_domain(one.vm.domain(), &spec, false, limit).await.map_err(|e| running.explain(e))
}

/// The machines `which` is true of.
fn names(moving: &[Moving], which: fn(&Moving) -> bool) -> BTreeSet<MachineName> {
    moving.iter().filter(|one| which(one)).map(|one| one.vm.name().clone()).collect()
}

/// Finds out what became of a snapshot that was cut short: machines that had been stopped for the moment go on, on new
/// images if they had moved to those already; what was made for the others goes.
pub(in crate::env) async fn settle(env: &Env, turn: &Turn<'_>) -> Result<(), EnvError> {
    let Some(pending) = env.state().chains.pending else { return Ok(()) };
    if let Ground::Up(running) = env.site().ground() {
        let of = |names: &BTreeSet<MachineName>| -> Vec<Vm> {
            names.iter().filter_map(|name| env.vm(name.as_str())).collect()
        };
        resume(&running, of(&pending.run).iter()).await?;
        // One that has been switched off meanwhile has nothing to say, and nobody to hear it.
        thaw(of(&pending.calm), &Progress::new(|_| {})).await;
    }
    let mut moved = BTreeMap::new();
    for (machine, tops) in &pending.tops {
        let Some(vm) = env.vm(machine.as_str()) else { continue };
        if has_moved(env, &vm, tops).await? {
            moved.insert(machine.clone(), tops.clone());
        }
    }
    let mut garbage = pending.saves;
    turn.update(|state| {
        let chains = &mut state.chains;
        chains.pending = None;
        moved.into_iter().for_each(|(machine, tops)| chains.tops.entry(machine).or_default().extend(tops));
        garbage.extend(chains.take_garbage());
    })?;
    remove(env.folder(), &garbage)
}

/// A machine that runs says itself what it writes to; one that is off has moved when it wrote to a new image, and if it
/// wrote to none, either is right.
async fn has_moved(env: &Env, vm: &Vm, tops: &BTreeMap<String, PathBuf>) -> Result<bool, EnvError> {
    if let Ground::Up(running) = env.site().ground()
        && env.state_of(vm).await? != DomainState::Absent
    {
        let xml = running.connection.domain_xml(vm.domain(), limits::COMMAND).await;
        let xml = xml.map_err(|e| running.explain(e))?;
        let named =
            |top: &PathBuf| top.file_name().is_some_and(|name| xml.contains(&*name.to_string_lossy()));
        return Ok(tops.values().any(named));
    }
    for top in tops.values().map(|top| env.folder().join(top)).filter(|top| top.exists()) {
        if disk::has_data(&top).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes files of the environment; those that are gone are no failure.
pub(super) fn remove(folder: &Path, files: &[PathBuf]) -> Result<(), EnvError> {
    let mut errors = Vec::new();
    for path in files.iter().map(|path| folder.join(path)) {
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                errors.push(crate::env::error::file("remove", &path)(e));
            }
            _ => {}
        }
    }
    EnvError::all(errors)
}
