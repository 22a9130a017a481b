//! Has the machines of an environment go on from a checkpoint: all are brought back before the first one goes on. What they
//! write lies over what is in the store, which is never written to.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use super::{Began, Origin, moved::Memory, origin::From, save::copy, saved};
use crate::{
    env::{
        Env, EnvError, Progress, Vm, daemon, deploy, disk,
        error::{chain, file},
        host::limits,
        link,
        moment::go_on,
        network, parallel,
        site::Running,
        snapshot::Chains,
        stop,
        turn::{Home, Turn, thing},
    },
    net::PlannedNet,
    provider::{libvirt::xml, spec::Boot},
    workdir::Kind,
};

/// The number of the images that are laid over a checkpoint: the first that an environment lays over anything.
pub(super) const FIRST: u64 = 1;

impl Origin {
    /// The stage at whose end an environment goes on.
    pub(in crate::env) fn stage(&self) -> Option<Began> {
        let from = self.from.as_ref()?;
        Some(Began { stage: from.stage?, documents: from.documents.clone() })
    }

    /// Whether an environment goes on from here, and does not boot.
    pub(in crate::env) fn is_found(&self) -> bool {
        self.from.is_some()
    }
}

impl Env {
    /// Has all machines go on from the state that `origin` has found. When that fails, nothing of it is left, the checkpoint is
    /// dropped, and they can boot.
    ///
    /// # Errors
    /// The environment broke, or the operator has asked us to stop.
    pub(in crate::env) async fn go_on_from(
        &self,
        turn: &Turn<'_>,
        origin: &Origin,
        progress: &Progress,
    ) -> Result<bool, EnvError> {
        let Some(from) = &origin.from else { return Ok(false) };
        let running = self.site().running()?;
        let start = Instant::now();
        let work = async {
            self.lay_over(turn, from).await?;
            self.raise_all(turn, from).await
        };
        let went = tokio::select! {
            biased;
            went = work => went,
            error = self.broken() => return Err(error),
            error = running.hangs() => return Err(error),
            stopped = self.host().told_to_stop() => return Err(stopped),
        };
        let error = match went {
            Err(error) if error.hangs() => {
                // It is not the checkpoint's fault, and machines would not boot either.
                let _ = running.lab.kill_daemon().await;
                return Err(error);
            }
            Err(error) if origin.is_required => return Err(error),
            Ok(()) => {
                origin.went_on.store(true, Ordering::Relaxed);
                progress.say(&format!(
                    "all machines go on from checkpoint {} after {:.1} s",
                    from.key.digest().get(..12).unwrap_or_default(),
                    start.elapsed().as_secs_f64()
                ));
                return Ok(true);
            }
            Err(error) => error,
        };
        if let Some(broken) = self.examine().await {
            return Err(broken);
        }
        progress.warn(&format!(
            "machines boot, because they do not go on from checkpoint {}, which is dropped: {}",
            from.key.digest().get(..12).unwrap_or_default(),
            chain(&error)
        ));
        stop::destroy_all(turn, &running, self.vms()).await?;
        turn.update(|state| {
            state.chains = Chains::default();
            state.names.clear();
            state.deployed.clear();
            state.set_up.clear();
        })?;
        let (store, key) = (origin.store.clone(), from.key.clone());
        // One that stays is looked at again next time.
        let _ = tokio::task::spawn_blocking(move || store.forget(&key)).await;
        Ok(false)
    }

    /// Makes images that lie over those of a checkpoint, and those that no machine writes to.
    async fn lay_over(&self, turn: &Turn<'_>, from: &From) -> Result<(), EnvError> {
        disk::make_but(self, |machine, dev| {
            from.saved.disks.get(machine).is_some_and(|disks| disks.contains_key(dev))
        })
        .await?;
        let view = self.site().running()?.lab.view();
        let mut layers = Vec::new();
        for (machine, disks) in &from.saved.disks {
            for (dev, images) in disks {
                let Some((number, top)) = images.iter().enumerate().next_back() else { continue };
                let path = PathBuf::from(format!("images/{machine}+{dev}+{FIRST}.qcow2"));
                let name = saved::image(machine, dev, number);
                let elsewhere = self.plan().base_since(&from.saved.state.plan, machine, dev);
                // A prefix outlives the checkpoint.
                let over = if matches!(self.home(), Home::Prefix(_)) || elsewhere.is_some() {
                    for number in 0..images.len() {
                        let name = saved::image(machine, dev, number);
                        copy(&from.entry.folder.join(&name), &saved::copied(self.folder(), &name)).await?;
                    }
                    if let Some(base) = elsewhere {
                        let lowest = saved::copied(self.folder(), &saved::image(machine, dev, 0));
                        disk::relay(&lowest, &base.path, base.format).await?;
                    }
                    name
                } else {
                    Origin::inside(from, &name, &view)
                };
                layers.push((machine.clone(), dev.clone(), path, over, top.clone()));
            }
        }
        turn.update(|state| {
            let before = &from.saved.state;
            state.names.clone_from(&before.names);
            state.deployed.clone_from(&before.deployed);
            state.set_up.clone_from(&before.set_up);
            state.chains.serial = FIRST;
            for (machine, dev, path, over, _) in &layers {
                state.chains.layers.insert(path.clone(), over.clone());
                state.chains.tops.entry(machine.clone()).or_default().insert(dev.clone(), path.clone());
            }
        })?;
        let folder = self.folder().to_owned();
        let each = |(_, _, path, over, top): (_, _, PathBuf, PathBuf, saved::Image)| {
            let path = folder.join(path);
            async move { disk::lay(&path, &over, top.format, top.size).await }
        };
        parallel::each(layers, each).await?;
        self.take_over_printed(from).await
    }

    /// Puts what deploy scripts had printed where it would be had they run here.
    async fn take_over_printed(&self, from: &From) -> Result<(), EnvError> {
        for vm in self.vms() {
            let printed = saved::printed(vm.name());
            for kept in from.entry.manifest.files.keys() {
                let Some(name) = kept.strip_prefix(&printed) else { continue };
                let folder = deploy::folder_of(self.folder(), vm.name());
                fs::create_dir_all(&folder).map_err(file("make", &folder))?;
                copy(&from.entry.folder.join(kept), &folder.join(name)).await?;
            }
        }
        Ok(())
    }

    /// Brings networks up and machines back, and lets them go on.
    async fn raise_all(&self, turn: &Turn<'_>, from: &Arc<From>) -> Result<(), EnvError> {
        let running = self.site().running()?;
        let needed = |net: &&PlannedNet| self.vms().iter().any(|vm| network::needs(self, vm, net));
        for net in self.plan().nets.iter().filter(needed) {
            network::raise(self, turn, &running, net).await?;
        }
        for vm in self.vms() {
            turn.making(&thing(Kind::Domain, vm.domain(), &*running.lab))?;
        }
        let each = |vm: Vm| {
            let (env, running, from) = (self.clone(), Arc::clone(&running), Arc::clone(from));
            async move { bring_back(&env, &running, &vm, &from).await }
        };
        parallel::each(self.vms(), each).await?;
        go_on(&running, &self.vms()).await?;
        self.wake(self.vms(), &from.saved.wakes).await?;
        self.tell_where(from).await
    }
}

/// Brings one machine back from memory; it waits for the others.
async fn bring_back(env: &Env, running: &Running, vm: &Vm, from: &From) -> Result<(), EnvError> {
    let Some(spec) = disk::current(env, vm) else { return Ok(()) };
    let connection = running.connection.another(limits::CONNECT).await?;
    let spec = daemon::dress(env, &connection, vm, spec).await?;
    vm.restarted().await;
    // Its life on the console began before it was kept.
    let before = from.entry.folder.join(saved::console(vm.name()));
    if before.exists() {
        copy(&before, &env.folder().join(&vm.plan().console)).await?;
    }
    if let Boot::Uefi { nvram } = &spec.boot {
        let to = disk::outside(env, nvram);
        copy(&from.entry.folder.join(saved::variables(vm.name())), &to).await?;
    }
    let memory = Memory::of(env, vm, &spec, from).await?;
    let saved = connection.saved_xml(vm.domain(), &memory.path, limits::COMMAND).await;
    let saved = saved.map_err(|error| running.explain(error))?;
    let xml = xml::as_now(&saved, &spec)
        .map_err(|error| EnvError::SavedXml { machine: vm.name().clone(), error: error.to_string() })?;
    let limit = env.scaled(limits::SAVE);
    let restored = connection.restore_domain(vm.domain(), &memory.path, xml, true, limit).await;
    restored.map_err(|error| running.explain(error))?;
    link::reserve_attached(env, running, vm).await?;
    if link::are_kept(vm) {
        link::keep_all(env, running, vm).await?;
    }
    Ok(())
}
